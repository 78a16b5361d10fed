//! Reading the answer of a query value by value.
//!
//! For answers of up to some hundred rows, such as an aggregate's: every value is cast on its own. Code that loops over
//! data takes whole columns instead. Start at [`one_batch`].

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Float64Type},
};
use datafusion::prelude::DataFrame;

use crate::{Error, Result, query::Run as _};

/// Runs a query and gives all its rows as one batch, which has the query's columns even without a row.
///
/// # Errors
/// Those of the query.
pub async fn one_batch(query: DataFrame) -> Result<RecordBatch> {
    let schema = Arc::new(query.schema().as_arrow().clone());
    let batches = query.batches().await?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

/// The row numbers of a batch, from 0.
pub fn rows(batch: &RecordBatch) -> Range<usize> {
    0..batch.num_rows()
}

/// The column of that name.
///
/// # Errors
/// [`crate::ErrorKind::Internal`] when the batch has no such column.
pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch
        .column_by_name(name)
        .ok_or_else(|| Error::internal(format!("a query's answer has no column {name}")))
}

/// One value as a number; 0 where it is null, or a text that is no number. `row` must be one of [`rows`].
///
/// # Errors
/// [`crate::ErrorKind::Internal`] when the batch has no such column or its type cannot be cast to numbers.
pub fn number(batch: &RecordBatch, name: &str, row: usize) -> Result<f64> {
    let value = cast(&column(batch, name)?.slice(row, 1), &DataType::Float64)?;
    let value = value.as_primitive::<Float64Type>();
    Ok(if value.is_valid(0) { value.value(0) } else { 0.0 })
}

/// One value as a count: a negative number becomes 0 and a fraction is cut off; 0 where it is null. Exact below 2^53.
///
/// # Errors
/// As [`number`].
pub fn count(batch: &RecordBatch, name: &str, row: usize) -> Result<u64> {
    Ok(number(batch, name, row)?.max(0.0) as u64)
}

/// One value as text; `None` where it is null. `row` must be one of [`rows`].
///
/// # Errors
/// [`crate::ErrorKind::Internal`] when the batch has no such column or its type cannot be cast to text.
pub fn text(batch: &RecordBatch, name: &str, row: usize) -> Result<Option<String>> {
    let value = cast(&column(batch, name)?.slice(row, 1), &DataType::Utf8)?;
    let value = value.as_string::<i32>();
    Ok(value.is_valid(0).then(|| value.value(0).to_owned()))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::{ErrorKind, query::Plan as _};

    async fn answer(sql: &str) -> RecordBatch {
        one_batch(SessionContext::new().query(sql).await.expect("plans")).await.expect("runs")
    }

    #[tokio::test]
    async fn values_are_read_by_column_and_row() {
        let batch = answer(
            "SELECT * FROM (VALUES (1, 'a', 2.75), (2, NULL, -1.0), (3, 'c', NULL)) AS t(place, code, amount) \
             ORDER BY place",
        )
        .await;
        assert_eq!(rows(&batch), 0..3);
        let numbers = rows(&batch).map(|row| number(&batch, "amount", row).expect("a number"));
        assert_eq!(numbers.collect::<Vec<_>>(), [2.75, -1.0, 0.0]);
        let counts = rows(&batch).map(|row| count(&batch, "amount", row).expect("a number"));
        assert_eq!(counts.collect::<Vec<_>>(), [2, 0, 0]);
        let texts: Vec<_> = rows(&batch).map(|row| text(&batch, "code", row).expect("a text")).collect();
        assert_eq!(texts, [Some("a".to_owned()), None, Some("c".to_owned())]);
        assert_eq!(text(&batch, "place", 1).expect("a text").as_deref(), Some("2"));
        assert_eq!(number(&batch, "absent", 0).expect_err("no column").kind(), ErrorKind::Internal);
        assert_eq!(number(&batch, "code", 0).expect("a column"), 0.0, "a text that is no number");
    }

    #[tokio::test]
    async fn an_answer_without_rows_has_its_columns() {
        let batch = answer("SELECT 1 AS place WHERE false").await;
        assert_eq!(rows(&batch), 0..0);
        assert!(column(&batch, "place").is_ok());
    }
}
