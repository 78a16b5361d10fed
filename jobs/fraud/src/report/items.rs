//! The items that a page lists, with the reasons that raise each score most.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Date32Type, Float32Type, Float64Type, Int32Type},
};
use tidewaiter_core::{Error, Result};
use tidewaiter_report::words::Words;

use super::item_table::SelectedItem;
use crate::{
    calendar::date_of,
    features::{LEADING, feature_schema, features, text},
    model::strongest_themes,
    scored::TopItems,
};

/// Reasons that a page gives for an item.
const REASONS: usize = 3;

/// The items as a page in a language lists them, in the order given; none for `None`.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the parts differ in rows or the features have another schema;
/// [`tidewaiter_core::ErrorKind::Input`] when a declared column cannot be read.
pub fn listed_items(words: &Words, top: Option<&TopItems>) -> Result<Vec<SelectedItem>> {
    let Some(top) = top else { return Ok(Vec::new()) };
    let TopItems { features: records, declared, probabilities, expected, attributions } = top;
    let (rows, width) = (records.num_rows(), text::attribution_width());
    if records.schema() != feature_schema() {
        return Err(Error::internal("the items of a list are no rows of features"));
    }
    let lengths = [declared.num_rows(), probabilities.len(), expected.len()];
    if lengths.iter().any(|length| *length != rows) || attributions.len() != rows * width {
        return Err(Error::internal(format!(
            "{rows} items of a list have columns of {lengths:?} rows and {} attributions",
            attributions.len()
        )));
    }
    let column = |name: &str, kind: &DataType| -> Result<Option<ArrayRef>> {
        let read = |array: &ArrayRef| {
            cast(array, kind).map_err(|error| {
                Error::input(format!("column {name} of the declarations cannot be read as {kind}"))
                    .with_source(error)
            })
        };
        declared.column_by_name(name).map(read).transpose()
    };
    let importer = column("importer", &DataType::Utf8)?;
    let hs_code = column("hs_code", &DataType::Utf8)?;
    let origin = column("origin", &DataType::Utf8)?;
    let value = column("customs_value", &DataType::Float64)?;
    let declared_text = |array: &Option<ArrayRef>, row: usize| {
        let array = array.as_ref().filter(|array| array.is_valid(row));
        array.map_or_else(String::new, |array| array.as_string::<i32>().value(row).to_owned())
    };
    let number = |array: &ArrayRef, row: usize| {
        array.is_valid(row).then(|| array.as_primitive::<Float64Type>().value(row))
    };
    let identifiers = records.column(0).as_string::<i32>();
    let items = records.column(1).as_primitive::<Int32Type>().values();
    let days = records.column(2).as_primitive::<Date32Type>().values();
    let labels = records.column(3).as_primitive::<Float32Type>();
    let values: Vec<&[f32]> = (0..features().len())
        .map(|at| records.column(LEADING + at).as_primitive::<Float32Type>().values().as_ref())
        .collect();
    Ok((0..rows)
        .map(|row| {
            let contributions = &attributions[row * width..(row + 1) * width];
            let sentence = |at: usize| text::reason(words, at, |other| values[other][row]);
            let reasons = strongest_themes(contributions, REASONS);
            let reasons = reasons.into_iter().map(|(at, sum)| (sentence(at), sum));
            SelectedItem {
                rank: row as u64 + 1,
                declaration: identifiers.value(row).to_owned(),
                item: u64::try_from(items[row]).unwrap_or_default(),
                date: date_of(days[row]).format("%Y-%m-%d").to_string(),
                importer: declared_text(&importer, row),
                hs_code: declared_text(&hs_code, row),
                origin: declared_text(&origin, row),
                value: value.as_ref().and_then(|array| number(array, row)),
                probability: probabilities[row],
                expected_revenue: expected[row],
                office: String::new(),
                description: String::new(),
                illicit: labels.is_valid(row).then(|| labels.value(row) == 1.0),
                reasons: reasons.collect(),
            }
        })
        .collect())
}
