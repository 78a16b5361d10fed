//! The raw text of records of an export, by their numbers: how an archived row is followed back to its file. Start at
//! [`raw_records`].

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
};
use tidewaiter_archive::schema::Layout;
use tidewaiter_core::{Error, Result};

use crate::{
    cells::TRACED,
    mapping::Mapping,
    readers::{ExportReader, source_digest},
};

/// A record of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Its line in a text, from 1.
    pub line: Option<i64>,
    /// Its text; of Parquet and XES the names and values of the mapped fields.
    pub raw: String,
}

/// The records of these numbers, from 1, of a file that was read by a mapping. The file is read up to the last of them.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such file; [`tidewaiter_core::ErrorKind::Conflict`] when
/// its bytes are not those of the digest; [`tidewaiter_core::ErrorKind::Input`] when the mapping is wrong.
pub fn raw_records(
    file: &Path,
    digest: &str,
    mapping: &str,
    tables: &[&'static Layout],
    records: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, RawRecord>> {
    if source_digest(file)? != digest {
        return Err(Error::conflict(format!(
            "{} has been changed since it was ingested; put the file of SHA-256 {digest} there",
            file.display()
        )));
    }
    let mapping = Mapping::parse(mapping, tables)?.tracing(records.clone());
    let mut reader = ExportReader::open(file, &mapping)?;
    let mut found = BTreeMap::new();
    while found.len() < records.len()
        && let Some(block) = reader.next_block()?
    {
        let column = |name: &str| {
            let column = block.quarantined.column_by_name(name);
            column.ok_or_else(|| Error::internal(format!("quarantined rows have no column {name}")))
        };
        let (rules, raws) = (column("rule")?.as_string::<i32>(), column("raw")?.as_string::<i32>());
        let numbers = column("row_number")?.as_primitive::<Int64Type>();
        let lines = column("line")?.as_primitive::<Int64Type>();
        for row in (0..block.quarantined.num_rows()).filter(|row| rules.value(*row) == TRACED) {
            let line = lines.is_valid(row).then(|| lines.value(row));
            found.insert(numbers.value(row), RawRecord { line, raw: raws.value(row).to_owned() });
        }
    }
    Ok(found)
}
