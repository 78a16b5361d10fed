//! `tidewaiter archive trace`: the rows of a declaration, followed back to the records of their files.
//!
//! The archive says from which source and record a row comes; the raw text is read from the file, where it still lies at
//! its path on this machine with the same bytes. Start at [`trace`].

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use serde_json::json;
use tidewaiter_archive::{Archive, schema::Layout};
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_catalogue::{RawRecord, raw_records};
use tidewaiter_core::{Error, ErrorKind, Result};

use super::query::{answer, tables};
use crate::{
    arguments::{Output, Place},
    output::write,
};

/// The columns of an answer that say where a row comes from.
const LINEAGE: [&str; 6] = ["source", "source_row", "file", "digest", "mapping", "job"];

/// A row of the archive, and the source that it comes from.
struct Traced {
    country: String,
    month: String,
    item: Option<String>,
    source: Option<Source>,
}

/// A record of a source.
#[derive(Clone)]
struct Source {
    number: i64,
    record: i64,
    file: String,
    digest: String,
    mapping: String,
    job: String,
}

/// Shows where the rows of a declaration come from.
pub(super) async fn trace(
    archive: &Archive,
    place: &Place,
    declaration: &str,
    table: &str,
    output: Output,
) -> Result<()> {
    let extensions = CATALOGUE.extensions();
    let layout =
        extensions.tables().iter().copied().find(|layout| layout.table == table).ok_or_else(|| {
            if extensions.layouts().any(|layout| layout.table == table) {
                return Error::input(format!(
                    "the rows of {table} are not made of records of text, so that there is none to show; where its rows \
                     have a column `source`, the files: tidewaiter archive sql \"SELECT source, file, digest, job FROM \
                     sources WHERE table_name = '{table}'\""
                ));
            }
            let known: Vec<_> = extensions.tables().iter().map(|layout| layout.table).collect();
            Error::not_found(format!("exports are read into {}, and not into {table}", known.join(", ")))
        })?;
    let rows = match rows_of(archive, place, layout, declaration).await {
        Err(error) if matches!(error.kind(), ErrorKind::Input | ErrorKind::NotFound) => {
            return Err(without_table(archive, place, table).await.unwrap_or(error));
        }
        rows => rows?,
    };
    if rows.is_empty() {
        return Err(Error::not_found(format!(
            "{table} has no row of {declaration:?}; numbers are compared as they are, with their capitals and zeros; rows \
             that were put aside: tidewaiter archive sql \"SELECT * FROM quarantine WHERE raw LIKE '%NUMBER%'\""
        )));
    }
    let raw = raw_texts(&rows, extensions.tables());
    let raw_of = |source: &Source| raw.get(&source.number).map(|found| (found, source.record));
    let documents: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut document = json!({
                "table": table, "country": row.country, "month": row.month, "item": row.item,
            });
            if let Some(source) = &row.source {
                document["source"] = json!(source.number);
                document["source_row"] = json!(source.record);
                document["file"] = json!(source.file);
                document["digest"] = json!(source.digest);
                document["job"] = json!(source.job);
                match raw_of(source) {
                    Some((Ok(records), record)) => {
                        let found = records.get(&record);
                        document["line"] = json!(found.and_then(|found| found.line));
                        document["raw"] = json!(found.map(|found| found.raw.as_str()));
                    }
                    Some((Err(error), _)) => document["not_read"] = json!(error),
                    None => {}
                }
            }
            document
        })
        .collect();
    write(output, &json!(documents), || rows.iter().flat_map(|row| lines(row, &raw)).collect())
}

/// The error of an archive that does not have a table; `None` for one that has it, or cannot say.
async fn without_table(archive: &Archive, place: &Place, table: &str) -> Option<Error> {
    let tables = tables(archive, place).await.ok()?;
    let mut names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    if names.contains(&table) {
        return None;
    }
    if names.is_empty() {
        names.push("none");
    }
    Some(Error::not_found(format!("there is no table {table}; tables here: {}", names.join(", "))))
}

/// What a person reads of a row.
fn lines(row: &Traced, raw: &BTreeMap<i64, Result<BTreeMap<i64, RawRecord>, String>>) -> Vec<String> {
    let item = row.item.as_ref().map(|item| format!(", item {item}")).unwrap_or_default();
    let head = format!("{} {}{item}", row.country, row.month);
    let Some(source) = &row.source else {
        return vec![format!("{head}: archived by a version that kept no sources")];
    };
    let mut lines = vec![format!(
        "{head}: record {} of source {}, {} (job {})",
        source.record, source.number, source.file, source.job
    )];
    match raw.get(&source.number) {
        Some(Ok(records)) => {
            if let Some(RawRecord { line, raw }) = records.get(&source.record) {
                let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                lines.push(format!("  {line}{raw}"));
            }
        }
        Some(Err(error)) => lines.push(format!("  its text cannot be read: {error}")),
        None => {}
    }
    lines
}

/// The rows of a declaration with their sources, in the order of their months and records.
async fn rows_of(
    archive: &Archive,
    place: &Place,
    layout: &'static Layout,
    declaration: &str,
) -> Result<Vec<Traced>> {
    let [key, rest @ ..] = layout.key else {
        return Err(Error::input(format!("the rows of {} have no number", layout.table)));
    };
    let item = rest.first().map_or_else(|| "NULL".to_owned(), |column| format!("t.{column}"));
    let query = |lineage: &str, sources: &str, order: &str| {
        format!(
            "SELECT t.country, t.year, t.month, {item} AS item, {lineage} FROM {table} t {sources} \
             WHERE t.{key} = '{declaration}' ORDER BY t.country, t.year, t.month, {order} item",
            table = layout.table.replace('/', "_"),
            declaration = declaration.replace('\'', "''"),
        )
    };
    let with_sources = query(
        "t.source, t.source_row, s.file, s.digest, s.mapping, s.job",
        "LEFT JOIN sources s ON s.source = t.source",
        "t.source, t.source_row,",
    );
    let mut rows = Vec::new();
    let mut take = |batch: RecordBatch| {
        rows.extend(traced(&batch)?);
        Ok::<(), Error>(())
    };
    if let Err(error) = answer(archive, place, with_sources, &mut take).await {
        // An archive into which this version has read no export has no sources, and no columns that name them.
        let without = LINEAGE.map(|name| format!("NULL AS {name}")).join(", ");
        if !matches!(error.kind(), ErrorKind::Input | ErrorKind::NotFound)
            || answer(archive, place, query(&without, "", ""), &mut take).await.is_err()
        {
            return Err(error);
        }
    }
    Ok(rows)
}

fn traced(batch: &RecordBatch) -> Result<Vec<Traced>> {
    let column = |name: &str, kind: &DataType| -> Result<ArrayRef> {
        let column = batch.column_by_name(name);
        Ok(cast(column.ok_or_else(|| Error::internal(format!("the answer has no {name}")))?, kind)?)
    };
    let texts = |name: &str| column(name, &DataType::Utf8);
    let (country, item, job) = (texts("country")?, texts("item")?, texts("job")?);
    let (file, digest, mapping) = (texts("file")?, texts("digest")?, texts("mapping")?);
    let numbers = |name: &str| column(name, &DataType::Int64);
    let (year, month) = (numbers("year")?, numbers("month")?);
    let (source, record) = (numbers("source")?, numbers("source_row")?);
    let text = |array: &ArrayRef, row: usize| {
        array.is_valid(row).then(|| array.as_string::<i32>().value(row).to_owned())
    };
    let number = |array: &ArrayRef, row: usize| {
        array.is_valid(row).then(|| array.as_primitive::<Int64Type>().value(row))
    };
    let row = |row: usize| {
        let source = number(&source, row).zip(number(&record, row)).zip(text(&file, row));
        Traced {
            country: text(&country, row).unwrap_or_default(),
            month: format!(
                "{}-{:02}",
                number(&year, row).unwrap_or_default(),
                number(&month, row).unwrap_or_default()
            ),
            item: text(&item, row),
            source: source.map(|((number, record), file)| Source {
                number,
                record,
                file,
                digest: text(&digest, row).unwrap_or_default(),
                mapping: text(&mapping, row).unwrap_or_default(),
                job: text(&job, row).unwrap_or_default(),
            }),
        }
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

/// The raw texts of the records, by source and record; what went wrong with a file is in its place.
fn raw_texts(
    rows: &[Traced],
    tables: &[&'static Layout],
) -> BTreeMap<i64, Result<BTreeMap<i64, RawRecord>, String>> {
    let mut wanted: BTreeMap<i64, (Source, BTreeSet<i64>)> = BTreeMap::new();
    for source in rows.iter().filter_map(|row| row.source.as_ref()) {
        let of_source = wanted.entry(source.number).or_insert_with(|| (source.clone(), BTreeSet::new()));
        of_source.1.insert(source.record);
    }
    let read = wanted.into_iter().map(|(number, (source, records))| {
        let path = Path::new(&source.file);
        let found = raw_records(path, &source.digest, &source.mapping, tables, &records);
        (number, found.map_err(|error| error.chain()))
    });
    read.collect()
}
