//! Filling the fraud pages: what a retrain and an apply know becomes the report's figures and sentences.
//!
//! [`fraud_report`] makes the report of a retrain, which is the model's card too; [`apply_report`] makes that
//! of scored months; [`selection`] puts into words why an item stands in the list. The reasons are Shapley
//! values of the model's log-odds (Lundberg, Erion and Lee, arXiv:1802.03888): they add up to the score, and
//! say what the model looked at, not what caused a fraud. The pages themselves stand in [`crate::report`].

use std::{collections::BTreeMap, fmt::Write as _};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Date32Type, Float32Type, Float64Type, Int32Type},
};

use super::{
    compare::Comparison,
    features::{date, feature_schema, features},
    judgement::Judged,
    metrics::{self, Metrics, PERCENTS},
    scoring::RankBy,
    wording,
};
use crate::{
    Error, Result,
    report::{
        format,
        fraud::{CalibrationBin, Curves, FraudReport, Importance, Month, Periods},
        measures::Metric,
        selection::{SelectedItem, SelectedMonth, SelectionReport},
    },
};

/// Items that a page lists.
pub const LISTED: usize = 50;
/// Reasons that a page gives for an item.
const REASONS: usize = 3;
/// Features whose importance is shown.
const FEATURES: usize = 15;
/// Groups of equally many rows in the calibration.
const BINS: usize = 10;
/// Columns of a feature batch before its features.
const LEADING: usize = 5;
/// Shares at which the curves are read, evenly spread; the capacity is one more.
const CURVE_POINTS: u32 = 150;
/// Curves reach this share of the items inspected, or twice the capacity where that is more.
const CURVE_END: f64 = 0.3;

/// What a retrain knows beside the figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportFacts {
    /// The new model, `fraud@3`.
    pub model: String,
    /// The model in use before, where there was one.
    pub champion: Option<String>,
    /// Whether the new model took its place.
    pub promoted: bool,
    /// The reporting country.
    pub country: String,
    /// Months that taught, `2020-01..2020-12`.
    pub train: String,
    /// Months that stopped the fit.
    pub valid: String,
    /// Months of the judged rows.
    pub test: String,
    /// Share of the items that customs can inspect, 0 .. 1.
    pub capacity: f64,
    /// Currency of the amounts, ISO 4217; empty: not named.
    pub currency: String,
    /// Seed of the fit.
    pub seed: u64,
    /// Snapshot that was read, `declarations@12`.
    pub snapshot: String,
    /// The challenger against the champion, where that was asked for.
    pub comparison: Option<Comparison>,
}

/// The report of a retrain.
///
/// `importance` is each feature's share of what the model tells items apart by, in the order of [`features`].
///
/// # Errors
/// As [`Judged::metrics`].
pub fn fraud_report(
    judged: &Judged,
    facts: ReportFacts,
    importance: &[f64],
    selection: Vec<SelectedItem>,
) -> Result<FraudReport> {
    let (challenger, champion) = judged.metrics()?;
    let revenue = judged.known_revenue();
    let percent = nearest_percent(facts.capacity);
    let months = metrics::by_month(&judged.days, &judged.challenger, &judged.labels, revenue)?;
    let [gain, precision, revenue_found] = curves(judged, facts.capacity)?;
    Ok(FraudReport {
        title: format!("Fraud selection by {}", facts.model),
        decision: decision(&facts, &challenger, champion.as_ref()),
        capacity: facts.capacity,
        periods: Periods {
            train: period(&facts.train),
            valid: period(&facts.valid),
            test: period(&facts.test),
        },
        test_rows: challenger.rows,
        illicit_rate: challenger.illicit as f64 / challenger.rows as f64,
        metrics: metric_rows(&challenger, champion.as_ref()),
        gain,
        precision,
        revenue: revenue_found,
        by_month: months.into_iter().map(|month| month_row(month, percent)).collect(),
        importance: strongest_features(importance),
        calibration: metrics::calibration(&judged.challenger, &judged.labels, BINS)?
            .into_iter()
            .map(|bin| CalibrationBin { predicted: bin.predicted, observed: bin.observed, rows: bin.rows })
            .collect(),
        selection,
        model: facts.model,
        champion: facts.champion,
        country: facts.country,
        currency: facts.currency,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: Some(facts.seed),
        snapshot: Some(facts.snapshot),
    })
}

/// What became of the new model, and why.
fn decision(facts: &ReportFacts, challenger: &Metrics, champion: Option<&Metrics>) -> String {
    let model = &facts.model;
    let new = challenger.average_precision;
    let (Some(in_use), Some(champion)) = (&facts.champion, champion) else {
        let average = format::ratio(new);
        return match facts.promoted {
            true => format!(
                "{model} becomes the model in use: there was none. Its average precision is {average}."
            ),
            false => format!("{model} is kept and not in use. Its average precision is {average}."),
        };
    };
    let old = champion.average_precision;
    // As many decimals as tell the two apart.
    if let Some(comparison) = &facts.comparison {
        return compared(&facts.model, in_use, facts.promoted, comparison);
    }
    let digits =
        (3..9).find(|digits| format::fixed(new, *digits) != format::fixed(old, *digits)).unwrap_or(3);
    let (new_text, old_text) = (format::fixed(new, digits), format::fixed(old, digits));
    if facts.promoted {
        return format!(
            "{model} becomes the model in use: average precision {new_text} against {old_text} of {in_use}. \
             {in_use} is kept and can be put back."
        );
    }
    if new > old {
        return format!(
            "{model} is kept and not in use, though its average precision {new_text} is above the {old_text} of \
             {in_use}: another model was put in its place meanwhile. Compare the two before promoting either."
        );
    }
    format!(
        "{in_use} stays the model in use: average precision {old_text} against {new_text} of {model}, which is kept \
         and can be promoted by hand."
    )
}

/// What a comparison decided, with its figures.
fn compared(model: &str, in_use: &str, promoted: bool, comparison: &Comparison) -> String {
    let Comparison { difference, low, high, better, resamples, seed } = comparison;
    let number = |value: f64| format::fixed(value, 4);
    let figures = format!(
        "its average precision differs by {} from that of {in_use} (95 % interval {} to {}; it is above in {} of \
         {resamples} paired draws of the test items, seed {seed})",
        number(*difference),
        number(*low),
        number(*high),
        format::percent(*better)
    );
    match (promoted, comparison.is_better()) {
        (true, _) => {
            format!("{model} becomes the model in use: {figures}. {in_use} is kept and can be put back.")
        }
        (false, true) => format!(
            "{model} is kept and not in use, though it is better: {figures}. Another model was put in the place of \
             {in_use} meanwhile."
        ),
        (false, false) => format!(
            "{in_use} stays the model in use: {model} is not better beyond the chance of the test items: {figures}. \
             {model} is kept and can be promoted by hand."
        ),
    }
}

/// The gain, precision and revenue curves of both models.
fn curves(judged: &Judged, capacity: f64) -> Result<[Curves; 3]> {
    let shares = curve_shares(capacity);
    let mut all: [Curves; 3] = Default::default();
    let models = [Some(&judged.challenger), judged.champion.as_ref()];
    for (scores, is_champion) in models.into_iter().zip([false, true]) {
        let Some(scores) = scores else { continue };
        let curve = metrics::gain_curve(scores, &judged.labels, judged.known_revenue(), &shares)?;
        let points = [
            curve.iter().map(|gain| (gain.inspected, gain.recall)).collect(),
            curve.iter().filter_map(|gain| gain.precision.map(|value| (gain.inspected, value))).collect(),
            curve
                .iter()
                .filter_map(|gain| gain.revenue_recall.map(|value| (gain.inspected, value)))
                .collect(),
        ];
        for (curves, points) in all.iter_mut().zip(points) {
            let curve: &mut Vec<(f64, f64)> =
                if is_champion { &mut curves.champion } else { &mut curves.challenger };
            *curve = points;
        }
    }
    Ok(all)
}

/// Rising shares from 0, with the capacity among them.
fn curve_shares(capacity: f64) -> Vec<f64> {
    let capacity = capacity.clamp(0.0, 1.0);
    let end = CURVE_END.max(2.0 * capacity).min(1.0);
    let step = |index: u32| end * f64::from(index) / f64::from(CURVE_POINTS);
    let mut shares: Vec<f64> = (0..=CURVE_POINTS).map(step).chain([capacity]).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    shares
}

/// The figures that exist at each share inspected, as the names in [`Metrics::at`] begin.
const FIGURES_AT: [&str; 4] = ["precision", "recall", "f1", "revenue_recall"];

/// The metrics in the order of reading: overall ones, then each at rising shares.
fn metric_rows(challenger: &Metrics, champion: Option<&Metrics>) -> Vec<Metric> {
    let overall = |name: &str, of: fn(&Metrics) -> f64| Metric {
        name: name.to_owned(),
        challenger: of(challenger),
        champion: champion.map(of),
    };
    let mut rows = vec![
        overall("average_precision", |of| of.average_precision),
        overall("roc_auc", |of| of.roc_auc),
        overall("log_loss", |of| of.log_loss),
    ];
    for what in FIGURES_AT {
        for percent in PERCENTS {
            let name = format!("{what}@{percent}");
            if let Some(value) = challenger.at.get(&name) {
                let champion = champion.and_then(|champion| champion.at.get(&name).copied());
                rows.push(Metric { name, challenger: *value, champion });
            }
        }
    }
    rows
}

fn month_row(month: metrics::Month, percent: f64) -> Month {
    let mut figures = BTreeMap::new();
    if let Some(metrics) = month.metrics {
        figures.insert("average_precision".to_owned(), metrics.average_precision);
        figures.insert("roc_auc".to_owned(), metrics.roc_auc);
        for what in FIGURES_AT {
            let name = format!("{what}@{percent}");
            figures.extend(metrics.at.get(&name).map(|value| (name.clone(), *value)));
        }
    }
    let illicit_rate = if month.rows == 0 { f64::NAN } else { month.illicit as f64 / month.rows as f64 };
    Month { month: month.month, rows: month.rows, illicit_rate, metrics: figures }
}

/// The share at which metrics exist that is nearest to the capacity, in percent.
fn nearest_percent(capacity: f64) -> f64 {
    let distance = |percent: &f64| (percent / 100.0 - capacity).abs();
    PERCENTS.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(5.0)
}

fn strongest_features(importance: &[f64]) -> Vec<Importance> {
    let mut rows: Vec<Importance> = features()
        .iter()
        .zip(importance)
        .filter(|(_, share)| **share > 0.0)
        .map(|(feature, share)| Importance {
            feature: feature.name.clone(),
            label: wording::label(feature),
            meaning: wording::meaning(feature),
            share: *share,
        })
        .collect();
    rows.sort_by(|a, b| b.share.total_cmp(&a.share));
    rows.truncate(FEATURES);
    rows
}

/// `2020-01..2020-12` for reading.
fn period(text: &str) -> String {
    match text.split_once("..") {
        Some((first, last)) if first == last => first.to_owned(),
        Some((first, last)) => format!("{first} to {last}"),
        None => text.to_owned(),
    }
}

/// The rows of the highest probabilities, the highest first, equal ones in the order of the rows.
pub fn riskiest(probabilities: &[f64], count: usize) -> Vec<usize> {
    let before = |a: &usize, b: &usize| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b));
    let mut rows: Vec<usize> = (0..probabilities.len()).collect();
    if count < rows.len() {
        rows.select_nth_unstable_by(count, before);
        rows.truncate(count);
    }
    rows.sort_unstable_by(before);
    rows
}

/// The chosen rows as items of a list, in the order given, with the strongest reasons that raise each score.
///
/// `records` holds the rows by [`feature_schema`]; `declared` holds `importer`, `hs_code`, `origin` and
/// `customs_value` of the same rows, where the archive has them; `attributions` are
/// [`super::model::FraudModel::attributions`] of them.
///
/// # Errors
/// [`ErrorKind::Internal`](crate::ErrorKind::Internal) when the parts differ in rows or the records have another
/// schema; [`ErrorKind::Input`](crate::ErrorKind::Input) when a declared column has an unreadable type.
pub fn selection(
    records: &RecordBatch,
    declared: &RecordBatch,
    probabilities: &[f64],
    attributions: &[f64],
) -> Result<Vec<SelectedItem>> {
    let (rows, width) = (records.num_rows(), features().len());
    if records.schema() != feature_schema() {
        return Err(Error::internal("the items of a list are no rows of features"));
    }
    if declared.num_rows() != rows || probabilities.len() != rows || attributions.len() != rows * width {
        return Err(Error::internal(format!(
            "{rows} items of a list have {} declared rows, {} probabilities and {} attributions",
            declared.num_rows(),
            probabilities.len(),
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
    let text = |array: &Option<ArrayRef>, row: usize| {
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
    let values: Vec<&[f32]> = (0..width)
        .map(|at| records.column(LEADING + at).as_primitive::<Float32Type>().values().as_ref())
        .collect();
    Ok((0..rows)
        .map(|row| {
            let contributions = &attributions[row * width..(row + 1) * width];
            let reasons = strongest(contributions, REASONS, |contribution| contribution);
            let sentence = |at: usize| wording::sentence(at, |other| values[other][row]);
            let reasons = reasons.into_iter().map(|at| (sentence(at), contributions[at]));
            SelectedItem {
                rank: row as u64 + 1,
                declaration: identifiers.value(row).to_owned(),
                item: u64::try_from(items[row]).unwrap_or_default(),
                date: date(days[row]).format("%Y-%m-%d").to_string(),
                importer: text(&importer, row),
                hs_code: text(&hs_code, row),
                origin: text(&origin, row),
                value: value.as_ref().and_then(|array| number(array, row)),
                probability: probabilities[row],
                expected_revenue: None,
                illicit: labels.is_valid(row).then(|| labels.value(row) == 1.0),
                reasons: reasons.collect(),
            }
        })
        .collect())
}

/// The places of the largest numbers above 0, the largest first, equal ones in order.
fn strongest(attributions: &[f64], count: usize, size: impl Fn(f64) -> f64) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    // A number that is not one is not above 0, and stays out.
    for (at, own) in attributions.iter().map(|it| size(*it)).enumerate().filter(|(_, own)| *own > 0.0) {
        let place = best.partition_point(|other| size(attributions[*other]) >= own);
        if place < count {
            best.insert(place, at);
            best.truncate(count);
        }
    }
    best
}

/// The features that moved one row's score the most, either way, as JSON:
/// `[{"feature":"hs6_rate","value":0.41,"log_odds":0.93},…]`; `value` is null where missing, and `log_odds` has
/// four decimals.
pub fn reasons_text(attributions: &[f64], values: &[f32], count: usize) -> String {
    let mut text = "[".to_owned();
    for at in strongest(attributions, count, f64::abs) {
        let (Some(feature), Some(value)) = (features().get(at), values.get(at)) else { continue };
        if text.len() > 1 {
            text.push(',');
        }
        // The names of features hold no character that JSON escapes.
        let _ = write!(text, "{{\"feature\":\"{}\",\"value\":", feature.name);
        let _ = if value.is_finite() { write!(text, "{value}") } else { write!(text, "null") };
        let _ = write!(text, ",\"log_odds\":{}}}", (attributions[at] * 1e4).round() / 1e4);
    }
    text.push(']');
    text
}

/// The rows of the scored months, in time order, column by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// Days of acceptance, since 1970-01-01.
    pub days: Vec<i32>,
    /// Probabilities of fraud, 0 .. 1.
    pub probabilities: Vec<f64>,
    /// Outcomes: 1 illicit, 0 not, NaN unknown.
    pub labels: Vec<f32>,
    /// Revenue raised by inspection, national currency; NaN where not known.
    pub revenue: Vec<f64>,
    /// Expected revenue, national currency; NaN where the model has no revenue head.
    pub expected: Vec<f64>,
}

/// What an apply knows beside the rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApplyFacts {
    /// The model that scored, `fraud@3`.
    pub model: String,
    /// The reporting country.
    pub country: String,
    /// The months scored, `2021-04..2021-06`.
    pub months: String,
    /// Share of the items that customs can inspect, 0 .. 1.
    pub capacity: f64,
    /// Currency of the amounts, ISO 4217; empty: not named.
    pub currency: String,
    /// Snapshot that was read, `declarations@12`.
    pub snapshot: String,
    /// What items are ranked by.
    pub rank_by: RankBy,
}

/// The report of scored months; the riskiest share of all their items together is selected.
///
/// # Errors
/// [`ErrorKind::Internal`](crate::ErrorKind::Internal) when the columns differ in length; else as
/// [`metrics::evaluate`].
pub fn apply_report(
    scored: &Scored,
    facts: ApplyFacts,
    selection: Vec<SelectedItem>,
) -> Result<SelectionReport> {
    let rows = scored.probabilities.len();
    let lengths = [scored.days.len(), scored.labels.len(), scored.revenue.len(), scored.expected.len()];
    if lengths.iter().any(|length| *length != rows) {
        return Err(Error::internal(format!("{rows} probabilities have columns of {lengths:?} rows")));
    }
    let ranking = match facts.rank_by {
        RankBy::Probability => &scored.probabilities,
        RankBy::Revenue => &scored.expected,
    };
    let chosen = match rows {
        0 => Vec::new(),
        _ => riskiest(ranking, metrics::inspected(rows, facts.capacity * 100.0)),
    };
    let month = |row: usize| date(scored.days[row]).format("%Y-%m").to_string();
    let mut months = BTreeMap::<String, SelectedMonth>::new();
    let mut from = 0;
    for run in scored.days.chunk_by(|a, b| a == b) {
        months.entry(month(from)).or_default().rows += run.len() as u64;
        from += run.len();
    }
    for row in &chosen {
        let month = months.entry(month(*row)).or_default();
        month.selected += 1;
        month.expected_hits += scored.probabilities[*row];
        month.known += u64::from(!scored.labels[*row].is_nan());
        month.illicit += u64::from(scored.labels[*row] == 1.0);
    }
    let by_month: Vec<SelectedMonth> =
        months.into_iter().map(|(name, month)| SelectedMonth { month: name, ..month }).collect();

    let known = scored.labels.iter().filter(|label| !label.is_nan()).count();
    let illicit = scored.labels.iter().filter(|label| **label == 1.0).count();
    // A ranking is judged by outcomes of both kinds only.
    let figures = if illicit == 0 || illicit == known {
        Vec::new()
    } else {
        let revenue = scored.revenue.iter().any(|revenue| revenue.is_finite());
        let revenue = revenue.then_some(scored.revenue.as_slice());
        metric_rows(&metrics::evaluate(&scored.probabilities, &scored.labels, revenue)?, None)
    };
    Ok(SelectionReport {
        title: format!("Items to inspect, by {}", facts.model),
        model: facts.model,
        country: facts.country,
        months: period(&facts.months),
        capacity: facts.capacity,
        rows: rows as u64,
        selected: chosen.len() as u64,
        threshold: chosen.last().map(|row| scored.probabilities[*row]),
        expected_hits: chosen.iter().map(|row| scored.probabilities[*row]).sum(),
        known: known as u64,
        by_month,
        metrics: figures,
        selection,
        currency: facts.currency,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        snapshot: Some(facts.snapshot),
    })
}

#[cfg(test)]
mod tests;
