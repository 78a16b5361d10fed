//! The fraud model's predictions, as far as the study reads them.
//!
//! The study does not know the fraud domain; it knows a table of the archive by its name and by the columns
//! in [`COLUMNS`]. Whatever writes a table of this name and these columns gives the study what inspections
//! that are dropped are expected to lose ([`crate::measures`]). The table may be absent. Start at [`open`].

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::catalog::TableProvider;
use tidewaiter_archive::{Archive, Table, provider::snapshot_provider};
use tidewaiter_core::{Error, ErrorKind, Result};

/// Name of the table.
pub const PREDICTIONS: &str = "predictions/fraud";

/// The columns that the study reads, with their types. A row is one goods item that was scored by one job.
pub const COLUMNS: [(&str, DataType); 6] = [
    // The reporting country, ISO 3166-1 alpha-2: the partition column.
    ("country", DataType::Utf8),
    // The declaration, which is a case of the release events.
    ("declaration_id", DataType::Utf8),
    // The goods item's number in its declaration.
    ("item_number", DataType::Int32),
    // Probability that the item is illicit, 0..=1.
    ("probability", DataType::Float64),
    // Revenue that an inspection would raise, national currency; null where the model does not estimate it.
    ("expected_revenue", DataType::Float64),
    // The job that scored the item; of several jobs the greatest name counts.
    ("job", DataType::Utf8),
];

/// The newest version of the predictions; `None` where the archive has none.
///
/// # Errors
/// Those of reading the table's log.
pub async fn newest_version(archive: &Archive) -> Result<Option<u64>> {
    match Table::open(archive, PREDICTIONS).await {
        Ok(table) => Ok(Some(table.version().await?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The predictions of a version, checked to have the [`COLUMNS`].
///
/// # Errors
/// [`ErrorKind::NotFound`] without this version; [`ErrorKind::Input`] when a column is missing or of another
/// type.
pub async fn open(archive: &Archive, version: u64) -> Result<Arc<dyn TableProvider>> {
    let provider = snapshot_provider(archive, PREDICTIONS, Some(version)).await?;
    check(&provider.schema())?;
    Ok(provider)
}

/// Checks that a table of predictions has the columns that the study reads.
fn check(schema: &Schema) -> Result<()> {
    let remedy = "write the predictions again with `tidewaiter apply fraud`";
    for (name, wanted) in COLUMNS {
        let Ok(field) = schema.field_with_name(name) else {
            return Err(Error::input(format!(
                "the table {PREDICTIONS} has no column {name}, which a study reads; {remedy}"
            )));
        };
        let found = field.data_type();
        let is_text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if *found != wanted && !(wanted == DataType::Utf8 && is_text) {
            return Err(Error::input(format!(
                "the column {name} of the table {PREDICTIONS} is {found}, and a study reads {wanted}; {remedy}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn schema(columns: impl IntoIterator<Item = (&'static str, DataType)>) -> Schema {
        Schema::new(columns.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect::<Vec<_>>())
    }

    #[test]
    fn a_table_with_more_columns_than_are_read_is_accepted() {
        let more = COLUMNS.into_iter().chain([("reasons", DataType::Utf8)]);
        check(&schema(more)).expect("has all columns");
        let views = COLUMNS.map(|(name, kind)| match kind {
            DataType::Utf8 => (name, DataType::Utf8View),
            other => (name, other),
        });
        check(&schema(views)).expect("views are texts, too");
    }

    #[test]
    fn a_column_that_is_missing_or_of_another_type_is_named() {
        for (name, _) in COLUMNS {
            let fewer = COLUMNS.into_iter().filter(|(other, _)| *other != name);
            let error = check(&schema(fewer)).expect_err("lacks a column");
            assert_eq!(error.kind(), ErrorKind::Input);
            assert!(error.chain().contains(&format!("no column {name},")), "{}", error.chain());
        }
        let texts = COLUMNS.map(|(name, _)| (name, DataType::Utf8));
        let error = check(&schema(texts)).expect_err("an item number is no text");
        assert!(
            error.chain().contains("item_number") && error.chain().contains("Int32"),
            "{}",
            error.chain()
        );
    }

    #[tokio::test]
    async fn an_archive_without_predictions_has_no_version_of_them() {
        let archive = Archive::open("memory://release-predictions/archive").expect("opens");
        assert_eq!(newest_version(&archive).await.expect("reads"), None);
    }
}
