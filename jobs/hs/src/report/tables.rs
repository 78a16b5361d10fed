//! The tables and curves of the report as Arrow batches, which are written beside the page. Shares are in 0..=1.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use tidewaiter_core::Result;
use tidewaiter_registry::intervals::Share;
use tidewaiter_report::data::{batch, count_column, curves, number_column, text_column};

use super::{
    accuracy::{calibration_points, month_name},
    facts::ReportFacts,
};
use crate::{
    codes::digits::{DIGITS, LEVELS},
    metrics::{Chapter, Evaluation, Month, RANKS},
    results::TestResults,
};

/// Every table of the report with its name: `accuracy`, `novelty`, `automation`, `coverage` and `calibration` (curves), `months`,
/// `chapters`, `confusions`, `texts`.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`], which would be a bug of this function.
pub fn hs_tables(results: &TestResults, facts: &ReportFacts) -> Result<Vec<(&'static str, RecordBatch)>> {
    let evaluation = &results.evaluation;
    Ok(vec![
        ("accuracy", accuracy(results)?),
        ("novelty", novelty(results)?),
        ("automation", automation(results)?),
        ("coverage", by_level(["automated", "right"], |level| evaluation.coverage(level))?),
        ("calibration", by_level(["probability", "right"], |level| calibration_points(evaluation, level))?),
        ("months", months(evaluation)?),
        ("chapters", chapters(evaluation)?),
        ("confusions", confusions(evaluation)?),
        ("texts", texts(facts)?),
    ])
}

/// A curve for each level, by its number of digits.
fn by_level(axes: [&str; 2], points: impl Fn(usize) -> Vec<(f64, f64)>) -> Result<RecordBatch> {
    let all: Vec<(String, Vec<(f64, f64)>)> =
        (0..LEVELS).map(|level| (DIGITS[level].to_string(), points(level))).collect();
    let all: Vec<(&str, &[(f64, f64)])> =
        all.iter().map(|(name, points)| (name.as_str(), points.as_slice())).collect();
    curves(axes, &all)
}

/// The share, and the ends of its 95 % interval, as columns; null where there are no items.
fn share_columns(shares: &[Option<Share>]) -> [ArrayRef; 3] {
    let column = |of: fn(&Share) -> f64| -> ArrayRef {
        Arc::new(shares.iter().map(|own| own.as_ref().map(of)).collect::<Float64Array>())
    };
    [column(|own| own.share), column(|own| own.low), column(|own| own.high)]
}

/// The share of items whose declared code is among the first few, by digits and number of recommendations.
fn accuracy(results: &TestResults) -> Result<RecordBatch> {
    let rows = || (0..LEVELS).flat_map(|level| (0..RANKS.len()).map(move |place| (level, place)));
    let [share, low, high] = share_columns(results.accuracy.as_flattened());
    batch(vec![
        ("digits", count_column(rows().map(|(level, _)| DIGITS[level] as u64))),
        ("among", count_column(rows().map(|(_, place)| u64::from(RANKS[place])))),
        ("share", share),
        ("low", low),
        ("high", high),
    ])
}

/// The share of items whose first recommendation is right, on texts that training had and on others.
fn novelty(results: &TestResults) -> Result<RecordBatch> {
    let rows = || results.novelty.iter().flat_map(|texts| (0..LEVELS).map(move |level| (texts, level)));
    let right: Vec<Option<Share>> = rows().map(|(texts, level)| texts.right[level]).collect();
    let [share, low, high] = share_columns(&right);
    batch(vec![
        ("texts", text_column(rows().map(|(texts, _)| if texts.seen { "in training" } else { "new" }))),
        ("items", count_column(rows().map(|(texts, _)| texts.items))),
        ("digits", count_column(rows().map(|(_, level)| DIGITS[level] as u64))),
        ("share", share),
        ("low", low),
        ("high", high),
    ])
}

/// What thresholds of the validation months do on the test months, by digits and the share that should be right.
fn automation(results: &TestResults) -> Result<RecordBatch> {
    let rows = || results.automation.iter();
    let right: Vec<Option<Share>> = rows().map(|row| row.right).collect();
    let [right, low, high] = share_columns(&right);
    batch(vec![
        ("digits", count_column(rows().map(|row| DIGITS[row.level] as u64))),
        ("right_at_least", number_column(rows().map(|row| row.precision))),
        ("threshold", Arc::new(rows().map(|row| row.threshold).collect::<Float64Array>())),
        ("automated", number_column(rows().map(|row| row.automated))),
        ("right", right),
        ("low", low),
        ("high", high),
    ])
}

fn months(evaluation: &Evaluation) -> Result<RecordBatch> {
    let rows = &evaluation.months;
    let names: Vec<String> = rows.keys().map(|month| month_name(*month)).collect();
    let share = |of: &dyn Fn(&Month) -> f64| -> ArrayRef {
        Arc::new(
            rows.values()
                .map(|month| (month.items > 0).then(|| of(month) / month.items as f64))
                .collect::<Float64Array>(),
        )
    };
    batch(vec![
        ("month", text_column(names.iter().map(String::as_str))),
        ("items", count_column(rows.values().map(|month| month.items))),
        ("right_2", share(&|month| month.right[0] as f64)),
        ("right_4", share(&|month| month.right[1] as f64)),
        ("right_6", share(&|month| month.right[2] as f64)),
        ("mean_probability_6", share(&|month| month.probability)),
        ("vague", share(&|month| month.vague as f64)),
        ("unknown_code", share(&|month| month.unknown_codes as f64)),
    ])
}

fn chapters(evaluation: &Evaluation) -> Result<RecordBatch> {
    let rows = &evaluation.chapters;
    let count = |of: fn(&Chapter) -> u64| count_column(rows.values().map(of));
    batch(vec![
        ("chapter", text_column(rows.keys().map(String::as_str))),
        ("items", count(|chapter| chapter.items)),
        ("right_2", count(|chapter| chapter.right[0])),
        ("right_4", count(|chapter| chapter.right[1])),
        ("right_6", count(|chapter| chapter.right[2])),
        ("right_6_among_5", count(|chapter| chapter.right_of_five)),
    ])
}

fn confusions(evaluation: &Evaluation) -> Result<RecordBatch> {
    let rows = &evaluation.confusions;
    batch(vec![
        ("declared", text_column(rows.keys().map(|pair| pair.0.as_str()))),
        ("recommended", text_column(rows.keys().map(|pair| pair.1.as_str()))),
        ("items", count_column(rows.values().copied())),
    ])
}

/// The items of the three periods: used, left out, with defects.
fn texts(facts: &ReportFacts) -> Result<RecordBatch> {
    let files = || facts.files.iter();
    batch(vec![
        ("period", text_column(["training", "validation", "test"].into_iter().take(facts.files.len()))),
        ("used", count_column(files().map(|file| file.items))),
        ("distinct", count_column(files().map(|file| file.texts))),
        ("without_words", count_column(files().map(|file| file.without_words))),
        ("without_code", count_column(files().map(|file| file.without_code))),
        ("not_in_nomenclature", count_column(files().map(|file| file.not_in_nomenclature))),
        ("converted", count_column(files().map(|file| file.carried))),
        ("cut", count_column(files().map(|file| file.cut))),
        ("empty", count_column(files().map(|file| file.defects.empty))),
        ("one_character", count_column(files().map(|file| file.defects.one_character))),
        ("binary", count_column(files().map(|file| file.defects.junk))),
        ("mixed_scripts", count_column(files().map(|file| file.defects.mixed_scripts))),
    ])
}
