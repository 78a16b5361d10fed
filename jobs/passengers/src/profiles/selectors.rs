//! The conditions that a search may use: thresholds of features at their quantiles, and values of texts.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::DataType,
};
use tidewaiter_core::{Result, answers};

use super::{
    rules::{Condition, Operator, Rule, Value},
    search::{Bits, Selector},
};
use crate::{
    features::{
        catalogue::{FEATURES, Unit},
        rows::TEXTS,
    },
    model::feature_columns,
};

/// Attributes of a person that the law protects: no condition uses them unless that is asked for.
pub const PROTECTED: [&str; 4] = ["sex", "nationality", "residence", "age"];

/// Texts that say how a traveller was chosen, and not who it is.
const OF_THE_CHOICE: [&str; 1] = ["selected_by"];

/// Thresholds of a feature.
const THRESHOLDS: [f64; 7] = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

/// Values of a text at most, the most frequent ones.
const MOST_VALUES: usize = 60;

/// The conditions of some rows and of whom they hold; those of fewer than `least` rows or of all are left out.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] where a column is absent.
pub fn selectors(
    rows: &RecordBatch,
    least: u64,
    with_protected: bool,
) -> Result<(Vec<Condition>, Vec<Selector>)> {
    let mut conditions = Vec::new();
    for (feature, column) in FEATURES.iter().zip(feature_columns(rows)?) {
        let mut values: Vec<f32> = column.iter().copied().filter(|value| !value.is_nan()).collect();
        values.sort_by(f32::total_cmp);
        if values.is_empty() || values.first() == values.last() {
            continue;
        }
        if feature.unit == Unit::Flag {
            conditions.extend(
                [(0, 1.0), (1, 0.0)]
                    .map(|(half, value)| (feature.name, half, Operator::Equal, Value::Number(value))),
            );
            continue;
        }
        let mut thresholds: Vec<f32> = THRESHOLDS
            .iter()
            .map(|share| values[(share * (values.len() - 1) as f64).round() as usize])
            .collect();
        // A count is often 0 or 1, below which quantiles do not look.
        thresholds.extend([0.0, 1.0, 2.0].into_iter().filter(|_| feature.unit == Unit::Count));
        thresholds.iter_mut().for_each(|value| *value = readable(*value));
        thresholds.sort_by(f32::total_cmp);
        thresholds.dedup();
        for threshold in thresholds {
            let value = || Value::Number(f64::from(threshold));
            conditions.push((feature.name, 0, Operator::LessOrEqual, value()));
            conditions.push((feature.name, 1, Operator::Greater, value()));
        }
    }
    for name in TEXTS {
        let is_left_out = OF_THE_CHOICE.contains(&name) || (!with_protected && PROTECTED.contains(&name));
        if is_left_out {
            continue;
        }
        for value in frequent(rows, name)? {
            conditions.push((name, 0, Operator::Equal, Value::Text(value)));
        }
    }
    if with_protected {
        for (half, operator) in [Operator::LessOrEqual, Operator::Greater].into_iter().enumerate() {
            let ages = [18.0, 25.0, 35.0, 50.0, 65.0].map(Value::Number);
            conditions.extend(ages.map(|age| ("age", half, operator, age)));
        }
    }
    let count = rows.num_rows() as u64;
    let (mut kept, mut found): (Vec<Condition>, Vec<Selector>) = (Vec::new(), Vec::new());
    let mut groups: BTreeMap<(&str, usize), u32> = BTreeMap::new();
    let mut last: Option<Bits> = None;
    for (field, half, operator, value) in conditions {
        let condition = Condition { field: field.to_owned(), operator, value: Some(value) };
        let rule = Rule {
            name: String::new(),
            description: String::new(),
            when: vec![condition.clone()],
            found: None,
        };
        let bits = Bits::new(&rule.holds(rows)?);
        if bits.count() < least || bits.count() == count || last.as_ref() == Some(&bits) {
            continue;
        }
        let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let group = *groups.entry((field, half)).or_insert(next);
        last = Some(bits.clone());
        kept.push(condition);
        found.push(Selector { rows: bits, group });
    }
    Ok((kept, found))
}

/// A threshold of three figures, which is read more easily.
fn readable(value: f32) -> f32 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f32.powf(2.0 - value.abs().log10().floor());
    if scale < 1.0 { value.round() } else { (value * scale).round() / scale }
}

/// The most frequent values of a text.
fn frequent(rows: &RecordBatch, name: &str) -> Result<Vec<String>> {
    let column = cast(answers::column(rows, name)?, &DataType::Utf8)?;
    let column = column.as_string::<i32>();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in 0..column.len() {
        if column.is_valid(row) && !column.value(row).is_empty() {
            *counts.entry(column.value(row)).or_default() += 1;
        }
    }
    let mut values: Vec<(&str, u64)> = counts.into_iter().collect();
    values.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    Ok(values.into_iter().take(MOST_VALUES).map(|(value, _)| value.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_rounded_to_three_figures() {
        assert_eq!([0.0, 1.0, 1234.4, 0.012_345, -2.345_6].map(readable), [0.0, 1.0, 1234.0, 0.0123, -2.35]);
    }
}
