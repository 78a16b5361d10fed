//! The keys of importers and HS codes by which rows find their embedding vectors.

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::DataType,
};
use tidewaiter_core::{Error, Result};

use crate::features::keys::{MISSING, key_of};

/// The keys of rows; 0 where the row has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Of the importers.
    pub importers: Vec<u64>,
    /// Of the HS codes.
    pub codes: Vec<u64>,
}

impl Keys {
    /// The keys of rows that have the columns `importer` and `hs_code`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a column is absent.
    pub fn of(rows: &RecordBatch) -> Result<Self> {
        Ok(Self { importers: keys(rows, "importer")?, codes: keys(rows, "hs_code")? })
    }
}

/// A column of a feature file, cast to a type (the engine may give text as views).
pub(super) fn column_as(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef> {
    let column = batch.column_by_name(name);
    let column =
        column.ok_or_else(|| Error::input(format!("DATE needs the column {name} of feature files")))?;
    Ok(cast(column, kind)?)
}

/// The keys of a text column; [`MISSING`] for null and empty text.
fn keys(batch: &RecordBatch, name: &str) -> Result<Vec<u64>> {
    let column = column_as(batch, name, &DataType::Utf8)?;
    let key = |text: Option<&str>| {
        text.filter(|text| !text.is_empty()).map_or(MISSING, |text| key_of(text.as_bytes()))
    };
    Ok(column.as_string::<i32>().iter().map(key).collect())
}
