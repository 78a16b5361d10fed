//! The output of operators that write files: rows that each hold a report as one JSON document.

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::prelude::DataFrame;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result, query::Run as _};

/// The schema of report rows: one text column `report`, a JSON document.
pub fn report_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("report", DataType::Utf8, false)]))
}

/// One report row.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when the report has no JSON form.
pub fn report(report: &impl Serialize) -> Result<RecordBatch> {
    let text = StringArray::from(vec![serde_json::to_string(report)?]);
    Ok(RecordBatch::try_new(report_schema(), vec![Arc::new(text)])?)
}

/// Runs a query whose rows are [`report`] rows, and reads them.
///
/// # Errors
/// Those of the query; [`crate::ErrorKind::Internal`] when its rows are no reports; [`crate::ErrorKind::Corrupt`] when
/// a report is not a `T`.
pub async fn reports<T: DeserializeOwned>(query: DataFrame) -> Result<Vec<T>> {
    let mut reports = Vec::new();
    for batch in query.batches().await? {
        let texts = batch
            .column_by_name("report")
            .and_then(|column| arrow::compute::cast(column, &DataType::Utf8).ok());
        let texts = texts.ok_or_else(|| Error::internal("an operator's answer has no report"))?;
        for text in texts.as_string::<i32>().iter().flatten() {
            reports.push(serde_json::from_str(text)?);
        }
    }
    Ok(reports)
}
