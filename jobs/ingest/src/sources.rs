//! The table of sources: every export file of which the archive has rows or quarantined rows, with what was made of it.
//!
//! A source is known by the bytes of its file and by what was made of them, which is its mapping. Its number stands in
//! every row that came from it. Start at [`SourceRecord`].

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use datafusion::{
    logical_expr::{Expr, col, lit},
    prelude::SessionContext,
};
use tidewaiter_archive::{
    Archive, DataFile, PartitionWriter, WriterSettings, provider::snapshot_provider, schema::SOURCE,
};
use tidewaiter_core::{Result, ResultExt, answers};

use crate::quarantine_table::{INGESTED_AT, ingested_at, times};

/// The name of the table.
pub const SOURCES: &str = "sources";

/// The columns by which the rows are sorted after their time.
pub(crate) const SORT_COLUMNS: &[&str] = &[SOURCE];

/// The columns of text, in the order of [`SourceRecord::texts`].
const TEXTS: [&str; 6] = ["table_name", "file", "digest", "mapping_digest", "mapping", "job"];

/// The columns of counts, in the order of [`SourceRecord::counts`].
const COUNTS: [&str; 4] = ["rows_read", "rows_archived", "rows_quarantined", "rows_replaced"];

/// A source. `read` is always `archived + quarantined + replaced`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRecord {
    /// Its number, from 1.
    pub number: i32,
    /// The reporting country of its mapping.
    pub country: String,
    /// The table that it was read into.
    pub table: String,
    /// The path of the file.
    pub file: String,
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// The SHA-256 of the mapping and of the nomenclature that it names.
    pub mapping_digest: String,
    /// The text of the mapping.
    pub mapping: String,
    /// The job that read it.
    pub job: String,
    /// When that was, in microseconds since 1970-01-01 UTC.
    pub ingested_us: i64,
    /// Its rows.
    pub read: i64,
    /// Rows that are in the table.
    pub archived: i64,
    /// Rows that are in quarantine.
    pub quarantined: i64,
    /// Rows that were in the table until others replaced them.
    pub replaced: i64,
}

impl SourceRecord {
    fn texts(&self) -> [&str; 6] {
        [&self.table, &self.file, &self.digest, &self.mapping_digest, &self.mapping, &self.job]
    }

    fn counts(&self) -> [i64; 4] {
        [self.read, self.archived, self.quarantined, self.replaced]
    }
}

/// The columns of the table, without the partition columns: `source`, the number; `table_name`; `file`, `digest`,
/// `mapping_digest`, `mapping` and `job`; `rows_read`, which is always `rows_archived + rows_quarantined +
/// rows_replaced`; `ingested_at`.
pub fn sources_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = vec![Field::new(SOURCE, DataType::Int32, false)];
        fields.extend(TEXTS.map(|name| Field::new(name, DataType::Utf8, false)));
        fields.extend(COUNTS.map(|name| Field::new(name, DataType::Int64, false)));
        fields.push(ingested_at());
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// Writes records as files of the table, whose names begin with `name`; their commit is the caller's, together with that of
/// the rows.
///
/// # Errors
/// Those of the store.
pub async fn write(archive: &Archive, name: &str, records: &[SourceRecord]) -> Result<Vec<DataFile>> {
    let mut by_country: BTreeMap<&str, Vec<&SourceRecord>> = BTreeMap::new();
    for record in records {
        by_country.entry(&record.country).or_default().push(record);
    }
    let order = [&[INGESTED_AT], SORT_COLUMNS].concat();
    let mut files = Vec::new();
    for (country, records) in by_country {
        let settings = WriterSettings::default();
        let schema = sources_schema();
        let mut writer = PartitionWriter::new(archive, SOURCES, &schema, country, &order, name, settings)?;
        writer.write(&batch(&records)?).await?;
        files.extend(writer.finish().await?);
    }
    Ok(files)
}

fn batch(records: &[&SourceRecord]) -> Result<RecordBatch> {
    let numbers = Int32Array::from_iter_values(records.iter().map(|record| record.number));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers)];
    for place in 0..TEXTS.len() {
        let texts = StringArray::from_iter_values(records.iter().map(|record| record.texts()[place]));
        columns.push(Arc::new(texts));
    }
    for place in 0..COUNTS.len() {
        let counts = Int64Array::from_iter_values(records.iter().map(|record| record.counts()[place]));
        columns.push(Arc::new(counts));
    }
    let ingested: Vec<ArrayRef> = records.iter().map(|record| times(record.ingested_us, 1)).collect();
    let ingested: Vec<&dyn Array> = ingested.iter().map(AsRef::as_ref).collect();
    columns.push(arrow::compute::concat(&ingested)?);
    Ok(RecordBatch::try_new(sources_schema(), columns)?)
}

/// The sources whose column has one of these values, in the order of their numbers.
///
/// # Errors
/// Those of the store and of the query.
pub(crate) async fn with_values(
    session: &SessionContext,
    archive: &Archive,
    column: &str,
    values: impl IntoIterator<Item = Expr>,
) -> Result<Vec<SourceRecord>> {
    matching(session, archive, col(column).in_list(values.into_iter().collect(), false)).await
}

/// The sources with these digests of a table, in the order of their numbers.
///
/// # Errors
/// Those of the store and of the query.
pub async fn with_digests(
    session: &SessionContext,
    archive: &Archive,
    table: &str,
    digests: &[&str],
) -> Result<Vec<SourceRecord>> {
    if digests.is_empty() {
        return Ok(Vec::new());
    }
    let of_digest = col("digest").in_list(digests.iter().map(|digest| lit(*digest)).collect(), false);
    matching(session, archive, of_digest.and(col("table_name").eq(lit(table)))).await
}

/// The sources for which a condition holds, in the order of their numbers.
///
/// # Errors
/// Those of the store and of the query.
pub(crate) async fn matching(
    session: &SessionContext,
    archive: &Archive,
    condition: Expr,
) -> Result<Vec<SourceRecord>> {
    let provider = snapshot_provider(archive, SOURCES, None).await?;
    let query = session.read_table(provider)?.filter(condition)?;
    let rows = answers::one_batch(query).await.context(|| "look for sources")?;
    let column =
        |name: &str, kind: &DataType| -> Result<ArrayRef> { Ok(cast(answers::column(&rows, name)?, kind)?) };
    let texts = TEXTS.map(|name| column(name, &DataType::Utf8)).into_iter().collect::<Result<Vec<_>>>()?;
    let counts = COUNTS.map(|name| column(name, &DataType::Int64)).into_iter().collect::<Result<Vec<_>>>()?;
    let (numbers, ingested) = (column(SOURCE, &DataType::Int64)?, column(INGESTED_AT, &DataType::Int64)?);
    let country = column("country", &DataType::Utf8)?;
    let record = |row: usize| {
        let text = |array: &ArrayRef| array.as_string::<i32>().value(row).to_owned();
        let count = |array: &ArrayRef| array.as_primitive::<Int64Type>().value(row);
        SourceRecord {
            number: i32::try_from(count(&numbers)).unwrap_or(i32::MAX),
            country: text(&country),
            table: text(&texts[0]),
            file: text(&texts[1]),
            digest: text(&texts[2]),
            mapping_digest: text(&texts[3]),
            mapping: text(&texts[4]),
            job: text(&texts[5]),
            ingested_us: count(&ingested),
            read: count(&counts[0]),
            archived: count(&counts[1]),
            quarantined: count(&counts[2]),
            replaced: count(&counts[3]),
        }
    };
    let mut records: Vec<SourceRecord> = (0..rows.num_rows()).map(record).collect();
    records.sort_by_key(|record| record.number);
    Ok(records)
}
