//! A report's tables and curves for other programs: makes them of columns, and writes them as CSV, Parquet and JSON,
//! with the same names in all three. The same table gives the same bytes. Start at [`batch`]; [`files`] gives all that
//! is written of a report.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array},
    datatypes::{Field, Schema},
    json::writer::{JsonArray, WriterBuilder},
};
use parquet::arrow::ArrowWriter;
use tidewaiter_core::Result;

/// A column of text.
pub fn text_column<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

/// A column of counts.
pub fn count_column(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<UInt64Array>())
}

/// A column of 64-bit floats.
pub fn number_column(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<Float64Array>())
}

/// A table of named columns. All columns may hold nulls, so that the schema does not depend on the values.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] for columns of different lengths.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The table as CSV, the names of the columns in the first line; nulls are empty.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] for a column that CSV cannot hold.
pub fn as_csv(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = arrow::csv::Writer::new(Vec::new());
    writer.write(table)?;
    Ok(writer.into_inner())
}

/// The table as a Parquet file.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when it cannot be encoded.
pub fn as_parquet(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), None)?;
    writer.write(table)?;
    Ok(writer.into_inner()?)
}

/// The table as JSON: a list of objects, one for each row, with every column in each; nulls and numbers that are not
/// finite are null.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when it cannot be encoded.
pub fn as_json(table: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(table)?;
    writer.finish()?;
    let mut bytes = writer.into_inner();
    if bytes.is_empty() {
        bytes.extend_from_slice(b"[]");
    }
    Ok(bytes)
}

/// Every file of a report's tables: the name below the report's folder, and the bytes.
///
/// # Errors
/// As [`as_csv`], [`as_parquet`] and [`as_json`].
pub fn files(tables: &[(&str, RecordBatch)]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::with_capacity(3 * tables.len());
    for (name, table) in tables {
        files.push((format!("{name}.csv"), as_csv(table)?));
        files.push((format!("{name}.parquet"), as_parquet(table)?));
        files.push((format!("{name}.json"), as_json(table)?));
    }
    Ok(files)
}

/// A table of curves in long form: a row for each point, with the name of its curve and the two columns that are named.
///
/// # Errors
/// As [`batch`].
pub fn curves([x, y]: [&str; 2], curves: &[(&str, &[(f64, f64)])]) -> Result<RecordBatch> {
    let points = || curves.iter().flat_map(|(name, points)| points.iter().map(move |point| (*name, *point)));
    batch(vec![
        ("curve", text_column(points().map(|(name, _)| name))),
        (x, number_column(points().map(|(_, point)| point.0))),
        (y, number_column(points().map(|(_, point)| point.1))),
    ])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringArray};

    use super::*;

    #[test]
    fn a_table_has_the_same_names_and_values_in_every_form() {
        let table = batch(vec![
            ("month", Arc::new(StringArray::from(vec!["2024-01", "2024-02"])) as ArrayRef),
            ("share", Arc::new(Float64Array::from(vec![Some(0.5), None])) as ArrayRef),
        ])
        .expect("a table");
        let files = files(&[("months", table)]).expect("files");
        let names: Vec<&str> = files.iter().map(|file| file.0.as_str()).collect();
        assert_eq!(names, ["months.csv", "months.parquet", "months.json"]);
        let text = |place: usize| String::from_utf8(files[place].1.clone()).expect("text");
        assert_eq!(text(0), "month,share\n2024-01,0.5\n2024-02,\n");
        assert_eq!(text(2), r#"[{"month":"2024-01","share":0.5},{"month":"2024-02","share":null}]"#);
        assert_eq!(files[1].1[..4], *b"PAR1");
        let none = batch(vec![("month", text_column(std::iter::empty()))]).expect("a table");
        assert_eq!(as_json(&none).expect("written"), b"[]");
    }

    #[test]
    fn curves_are_rows_of_points() {
        let table = curves(["inspected", "found"], &[("model", &[(0.0, 0.0), (1.0, 1.0)]), ("empty", &[])]);
        let csv = as_csv(&table.expect("a table")).expect("written");
        assert_eq!(csv, b"curve,inspected,found\nmodel,0.0,0.0\nmodel,1.0,1.0\n");
    }
}
