//! Filling the report of a retrain from the test rows and the verdict on them.

use std::collections::BTreeMap;

use tidewaiter_core::Result;
use tidewaiter_registry::{
    Promotion,
    comparison::{Comparison, Resampled},
};
use tidewaiter_report::{
    format::period,
    words::{Language, Words},
};

use super::{
    item_table::SelectedItem,
    metric_table::{AT_K, metric_rows},
    model_page::{Curves, Importance, ModelPage, MonthRow, Months},
    random_draw, words,
};
use crate::{
    evaluation::{TestRows, Verdict},
    features::{features, text},
    metrics::{self, PERCENTS, rows_by_month},
    significance::{Intervals, intervals},
};

/// Features whose importance is shown.
pub(super) const FEATURES: usize = 15;
/// Groups of equally many rows in the calibration.
const BINS: usize = 10;
/// Evenly spaced shares at which the curves are computed, beside 0 and the capacity.
const CURVE_POINTS: u32 = 150;
/// Curves reach this share of the items inspected, or twice the capacity where that is more.
const CURVE_END: f64 = 0.3;

/// What the report of a retrain states beside the metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelFacts {
    /// The language of the page.
    pub language: Language,
    /// The new model, `fraud@3`.
    pub model: String,
    /// The model in use before, where there was one.
    pub champion: Option<String>,
    /// Whether the new model took its place.
    pub promotion: Promotion,
    /// The reporting country.
    pub country: String,
    /// Training months, `2020-01..2020-12`.
    pub train: String,
    /// Validation months.
    pub valid: String,
    /// Test months.
    pub test: String,
    /// Share of the items that customs can inspect, 0 .. 1.
    pub capacity: f64,
    /// Currency of the amounts, ISO 4217; empty: not named.
    pub currency: String,
    /// Seed of the fit.
    pub seed: u64,
    /// The snapshot of the table that was read, `declarations@12`.
    pub snapshot: String,
    /// How often the test months were looked at, this time included.
    pub looks: u64,
}

/// The report of a retrain.
///
/// `importance` is each feature's share of the model's gain, in the order of [`features`]; `selection` are the items
/// to list.
///
/// # Errors
/// As [`metrics::by_month`].
pub fn model_report(
    rows: &TestRows,
    verdict: &Verdict,
    facts: ModelFacts,
    importance: &[f64],
    selection: Vec<SelectedItem>,
) -> Result<ModelPage> {
    let Verdict { challenger, champion, .. } = verdict;
    let percent = nearest_percent(facts.capacity);
    let months = metrics::by_month(&rows.days, &rows.challenger, &rows.labels, rows.known_revenue())?;
    let of_month: Vec<Intervals> =
        rows_by_month(&rows.days).into_values().map(|own| intervals(rows.ranked(), own)).collect();
    let by_month = months.into_iter().zip(of_month);
    let [gain, precision, revenue] = curves(rows, facts.capacity)?;
    Ok(ModelPage {
        language: facts.language,
        title: words(facts.language).fill("Fraud selection by {model}", &[("model", &facts.model)]),
        decision: decision(&facts, verdict),
        capacity: facts.capacity,
        over_random: Some(verdict.over_random),
        population: verdict.population.clone(),
        looks: facts.looks,
        periods: Months {
            train: period(&facts.train),
            valid: period(&facts.valid),
            test: period(&facts.test),
        },
        test_rows: challenger.rows,
        illicit_rate: challenger.illicit as f64 / challenger.rows as f64,
        metrics: metric_rows(challenger, champion.as_ref(), &intervals(rows.ranked(), 0..rows.labels.len())),
        gain,
        precision,
        revenue,
        by_month: by_month.map(|(month, intervals)| month_row(month, percent, &intervals)).collect(),
        importance: strongest_features(&words(facts.language), importance),
        calibration: metrics::calibration(&rows.challenger, &rows.labels, BINS)?,
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

/// Whether the new model was promoted, and why.
pub(super) fn decision(facts: &ModelFacts, verdict: &Verdict) -> String {
    let words = &words(facts.language);
    let average = words.numbers().ratio(verdict.challenger.average_precision);
    let overtaking = match facts.promotion {
        Promotion::OvertakenBy(version) => {
            let name = facts.model.split('@').next().unwrap_or_default();
            format!("{name}@{version}")
        }
        _ => String::new(),
    };
    let in_use = facts.champion.as_deref().unwrap_or_default();
    let values = [
        ("model", facts.model.as_str()),
        ("in_use", in_use),
        ("average", average.as_str()),
        ("other", overtaking.as_str()),
    ];
    let fill = |text: &str| words.fill(text, &values);
    let Some(comparison) = verdict.comparison.as_ref().filter(|_| facts.champion.is_some()) else {
        let said = match (&facts.champion, facts.promotion) {
            (Some(_), _) => words.say(
                "{model} is kept and not in use: it was not compared with {in_use}, which stays the model in use.",
            ),
            (None, Promotion::Champion) if verdict.over_random.is_better() => {
                words.say("{model} becomes the model in use: there was none.")
            }
            (None, Promotion::Champion) => words.say(
                "{model} becomes the model in use because there was none, and not because it is good: it is not shown to \
                 select better than a random draw. Retrain with more known outcomes before you rely on it.",
            ),
            (None, Promotion::OvertakenBy(_)) => words.say(
                "{model} is kept and not in use: there was no model in use when it was evaluated, but {other} was \
                 promoted before it.",
            ),
            (None, _) => words.say(
                "There was no model in use when {model} was evaluated: it is promoted, unless another model was before \
                 it.",
            ),
        };
        return format!(
            "{} {} {}",
            fill(said),
            fill(words.say("Its average precision is {average}.")),
            random_draw::figures(words, &verdict.over_random)
        );
    };
    let said = match (facts.promotion, comparison.is_better()) {
        (Promotion::Champion, _) => words.say(
            "{model} becomes the model in use: it is better than {in_use}, which is kept and can be put back.",
        ),
        (Promotion::OvertakenBy(_), _) => words.say(
            "{model} is kept and not in use, though it is better than {in_use}: {other} was put in its place meanwhile.",
        ),
        (Promotion::Pending, true) => words.say(
            "{model} is better than {in_use} and is promoted, unless another model was since they were compared.",
        ),
        (_, _) => words.say(
            "{in_use} stays the model in use: {model} is not better beyond the chance of the test items. It is kept and \
             can be promoted by hand.",
        ),
    };
    format!("{} {}", fill(said), compared_text(words, in_use, comparison))
}

/// The figures of a comparison.
fn compared_text(words: &Words, in_use: &str, comparison: &Comparison) -> String {
    let Comparison { difference, by_declaration, by_day, seed, .. } = comparison;
    let number = |value: f64| words.numbers().fixed(value, 4);
    let resampled = |text: &str, drawn: &Resampled| {
        words.fill(
            text,
            &[
                ("low", &number(drawn.low)),
                ("high", &number(drawn.high)),
                ("n", &words.count(drawn.groups)),
                ("better", &words.numbers().percent(drawn.better)),
                ("resamples", &words.count(drawn.resamples)),
            ],
        )
    };
    let declarations = resampled(
        words.say(
            "{low} to {high} when its {n} declarations are drawn again, above 0 in {better} of {resamples} paired \
             resamples",
        ),
        by_declaration,
    );
    let days = resampled(
        words.say(
            "{low} to {high} when its {n} days are drawn again, above 0 in {better} of {resamples} paired resamples",
        ),
        by_day,
    );
    words.fill(
        "On the inspected items of the test months its average precision differs by {difference} from that of {in_use} \
         (95 % interval {declarations}; {days}; seed {seed}).",
        &[
            ("difference", &number(*difference)),
            ("in_use", in_use),
            ("declarations", &declarations),
            ("days", &days),
            ("seed", &seed.to_string()),
        ],
    )
}

/// The gain, precision and revenue curves of both models.
pub(super) fn curves(rows: &TestRows, capacity: f64) -> Result<[Curves; 3]> {
    let shares = curve_shares(capacity);
    let mut all: [Curves; 3] = Default::default();
    let models = [Some(&rows.challenger), rows.champion.as_ref()];
    for (scores, is_champion) in models.into_iter().zip([false, true]) {
        let Some(scores) = scores else { continue };
        let curve = metrics::gain_curve(scores, &rows.labels, rows.known_revenue(), &shares)?;
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

/// Ascending shares from 0, with the capacity among them.
fn curve_shares(capacity: f64) -> Vec<f64> {
    let capacity = capacity.clamp(0.0, 1.0);
    let end = CURVE_END.max(2.0 * capacity).min(1.0);
    let step = |index: u32| end * f64::from(index) / f64::from(CURVE_POINTS);
    let mut shares: Vec<f64> = (0..=CURVE_POINTS).map(step).chain([capacity]).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    shares
}

fn month_row(month: metrics::Month, percent: f64, intervals: &Intervals) -> MonthRow {
    let mut figures = BTreeMap::new();
    let selected = match month.rows {
        0 => 0,
        rows => metrics::inspected(rows as usize, percent) as u64,
    };
    if let Some(metrics) = month.metrics {
        figures.insert("average_precision".to_owned(), metrics.average_precision);
        figures.insert("roc_auc".to_owned(), metrics.roc_auc);
        for what in AT_K {
            let name = format!("{what}@{percent}");
            figures.extend(metrics.at.get(&name).map(|value| (name.clone(), *value)));
        }
    }
    let illicit_rate = if month.rows == 0 { f64::NAN } else { month.illicit as f64 / month.rows as f64 };
    let is_shown = |name: &&String| name.as_str() == "illicit" || figures.contains_key(name.as_str());
    let names = intervals.keys().filter(is_shown);
    let intervals = names.map(|name| (name.clone(), intervals[name])).collect();
    MonthRow { month: month.month, rows: month.rows, illicit_rate, selected, metrics: figures, intervals }
}

/// The share at which metrics exist that is nearest to the capacity, in percent.
fn nearest_percent(capacity: f64) -> f64 {
    let distance = |percent: &f64| (percent / 100.0 - capacity).abs();
    PERCENTS.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(5.0)
}

fn strongest_features(words: &Words, importance: &[f64]) -> Vec<Importance> {
    let mut rows: Vec<Importance> = features()
        .iter()
        .zip(importance)
        .filter(|(_, share)| **share > 0.0)
        .map(|(feature, share)| Importance {
            feature: feature.name.clone(),
            label: text::label(words, feature),
            meaning: text::meaning(words, feature),
            share: *share,
        })
        .collect();
    rows.sort_by(|a, b| b.share.total_cmp(&a.share));
    rows.truncate(FEATURES);
    rows
}
