//! The chance that the outcome of a test row is known, which is that of having been inspected: see
//! [`crate::population`].

use tidewaiter_core::{Result, chance::mix, threads::on_cpu};
use tidewaiter_learning::gbdt::{self, Dataset};

use crate::{
    features::Outcomes,
    model::{Classifier, FraudModel},
    population::propensity_trees,
    scored::{FeatureSample, ScoredFiles},
};

/// The most rows on which the two fits are made.
const MOST_SAMPLE: u64 = 200_000;

/// The chance of each row, in the order of [`ScoredFiles::rows`]; `None` where outcomes are known of all rows or of too
/// few to predict. A row's chance is predicted by the fit on the half of the declarations in which it is not; the fits
/// are stored in `folder`.
pub(crate) async fn chances_of_inspection(
    test: &ScoredFiles<'_>,
    outcomes: Outcomes,
    folder: &str,
    seed: u64,
) -> Result<Option<Vec<f64>>> {
    if outcomes.labelled == outcomes.rows {
        return Ok(None);
    }
    let sample = test.known_by_features(MOST_SAMPLE).await?;
    let Some(models) = on_cpu(move || fit_halves(&sample, seed)).await? else { return Ok(None) };
    let mut by_half = Vec::new();
    for (half, model) in models.into_iter().enumerate() {
        let path = format!("{folder}/inspection-{half}.bin");
        let model = FraudModel { classifier: Classifier::Gbdt(model), head: None };
        test.archive.put(&path, model.to_bytes()).await?;
        by_half.push(ScoredFiles { model: &path, ..*test }.rows().await?);
    }
    let [first, second] = by_half.as_slice() else { return Ok(None) };
    // The first fit is that on the rows of the first half.
    let other = |row: usize| match half_of(first.declarations[row]) {
        0 => second.probabilities[row],
        _ => first.probabilities[row],
    };
    Ok(Some((0..first.declarations.len()).map(other).collect()))
}

/// The half of a declaration, by its key.
fn half_of(key: u64) -> u64 {
    mix(key) & 1
}

/// A fit on each half of the declarations; `None` where one of them has only rows of one kind.
fn fit_halves(sample: &FeatureSample, seed: u64) -> Result<Option<Vec<gbdt::Model>>> {
    let mut models = Vec::new();
    for half in 0..2 {
        let rows: Vec<usize> =
            (0..sample.known.len()).filter(|row| half_of(sample.declarations[*row]) == half).collect();
        let known: Vec<f32> = rows.iter().map(|row| sample.known[*row]).collect();
        let positives = known.iter().filter(|known| **known == 1.0).count();
        if positives == 0 || positives == known.len() {
            return Ok(None);
        }
        let columns = sample.columns.iter().map(|column| rows.iter().map(|row| column[*row]).collect());
        let data = Dataset::new(columns.collect(), &known, vec![false; known.len()])?;
        models.push(gbdt::fit_alone(data, &propensity_trees(seed))?);
    }
    Ok(Some(models))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use tidewaiter_synth::{self as synth, Synth};

    use super::*;
    use crate::{
        Metrics,
        features::{FeatureBuilder, Parameters, columns, features, keys::key_of},
        population::{Basis, Estimate, Estimated, Items, Population, population},
    };

    /// The goods items of some months, with what nobody but the generator knows.
    #[derive(Default)]
    struct Months {
        sample: FeatureSample,
        labels: Vec<f32>,
        truth: Vec<f32>,
        revenue: Vec<f64>,
        random: Vec<Option<bool>>,
    }

    impl Months {
        fn columns(&self) -> Vec<&[f32]> {
            self.sample.columns.iter().map(Vec::as_slice).collect()
        }
    }

    /// Days since 1970-01-01 of 2020-09-01.
    const FIRST_TEST_DAY: i32 = 18_506;

    /// A year of generated declarations: eight months to train on, and four to test.
    fn generated(inspection_bias: f64) -> [Months; 2] {
        let parameters = synth::Parameters {
            country: "TW".to_owned(),
            first_month: (2020, 1),
            months: 12,
            rows_per_year: 60_000,
            seed: 11,
            inspection_rate: 0.2,
            inspection_bias,
            label_noise: 0.0,
            ..synth::Parameters::default()
        };
        let mut builder = FeatureBuilder::new(Parameters::default()).expect("valid");
        let empty = || Months {
            sample: FeatureSample { columns: vec![Vec::new(); features().len()], ..FeatureSample::default() },
            ..Months::default()
        };
        let mut months = [empty(), empty()];
        for batch in Synth::new(parameters).expect("valid") {
            let batch = batch.expect("generated");
            let own = builder.push(&batch.declarations).expect("features");
            let days = columns::days(&batch.declarations).expect("days");
            let declarations = columns::text(&batch.declarations, "declaration_id").expect("identifiers");
            let truth = batch.truth["illicit"].as_boolean().clone();
            let random = columns::flags(&batch.declarations, "random_inspection").expect("flags");
            for row in 0..own.rows() {
                let part = &mut months[usize::from(days.value(row) >= FIRST_TEST_DAY)];
                for (feature, column) in part.sample.columns.iter_mut().enumerate() {
                    column.push(own.feature(feature)[row]);
                }
                let known = own.labels().is_valid(row);
                part.sample.known.push(f32::from(u8::from(known)));
                part.sample.declarations.push(key_of(declarations.value(row).as_bytes()));
                part.labels.push(if known { own.labels().value(row) } else { f32::NAN });
                part.truth.push(f32::from(u8::from(truth.value(row))));
                part.revenue.push(f64::NAN);
                part.random.push(Some(random.value(row)));
            }
        }
        months
    }

    /// A model of the inspected items of the first months, scoring the last.
    fn scores([training, test]: &[Months; 2]) -> Vec<f64> {
        let known: Vec<usize> =
            (0..training.labels.len()).filter(|row| !training.labels[*row].is_nan()).collect();
        let columns = training.sample.columns.iter();
        let columns = columns.map(|column| known.iter().map(|row| column[*row]).collect()).collect();
        let labels: Vec<f32> = known.iter().map(|row| training.labels[*row]).collect();
        let data = Dataset::new(columns, &labels, vec![false; known.len()]).expect("rows");
        let parameters = gbdt::Parameters { trees: 40, leaves: 8, ..gbdt::Parameters::default() };
        let model = gbdt::fit_alone(data, &parameters).expect("fits");
        model.predict_probability(&test.columns()).expect("predicts")
    }

    /// The chance of each test row by the fit on the other half.
    fn chances(test: &Months) -> Vec<f64> {
        let models = fit_halves(&test.sample, 1).expect("fits").expect("both kinds");
        let [first, second] =
            [0, 1].map(|half| models[half].predict_probability(&test.columns()).expect("predicts"));
        let other = |row: usize| match half_of(test.sample.declarations[row]) {
            0 => second[row],
            _ => first[row],
        };
        (0..test.labels.len()).map(other).collect()
    }

    /// The estimate of the last months by recorded random inspections (`recorded`) or predicted chances, and `(estimate,
    /// truth, figure of the inspected items)` of the illicit share, recall and precision at 5 %.
    fn estimated(months: &[Months; 2], recorded: bool) -> (Estimate, [(Estimated, f64, f64); 3]) {
        let test = &months[1];
        let (scores, nothing) = (scores(months), vec![None; test.labels.len()]);
        let propensity = (!recorded).then(|| chances(test));
        let items = Items {
            scores: &scores,
            labels: &test.labels,
            revenue: &test.revenue,
            declarations: &test.sample.declarations,
            random: if recorded { &test.random } else { &nothing },
            propensity: propensity.as_deref(),
        };
        let Population::Estimated(estimate) = population(items, 1).expect("figures") else {
            panic!("an estimate")
        };
        let [truth, inspected] =
            [&test.truth, &test.labels].map(|labels| Metrics::of(&scores, labels, None).expect("both kinds"));
        let share = |metrics: &Metrics| metrics.illicit as f64 / metrics.rows as f64;
        let recall = |metrics: &Metrics| metrics.recall_at(5.0).expect("K");
        let precision = |metrics: &Metrics| metrics.precision_at(5.0).expect("K");
        let figures = [
            (estimate.figures["illicit"], share(&truth), share(&inspected)),
            (estimate.at("recall", 5.0).expect("K"), recall(&truth), recall(&inspected)),
            (estimate.at("precision", 5.0).expect("K"), precision(&truth), precision(&inspected)),
        ];
        (estimate, figures)
    }

    /// The generator knows the truth of every item.
    #[test]
    fn the_estimate_of_randomly_inspected_items_covers_the_truth_of_all() {
        for (figure, truth, _) in estimated(&generated(0.0), false).1 {
            assert!(figure.low <= truth && truth <= figure.high, "{truth} is not in {figure:?}");
        }
    }

    /// Inspectors who follow a rule, by more than the features show, find more among what they inspect than there is
    /// among all: the estimate by predicted chances is nearer to the truth than the inspected items are, and that by the
    /// recorded random inspections covers it.
    #[test]
    fn under_a_rule_random_inspections_cover_the_truth_and_predicted_chances_come_nearer_to_it() {
        let months = generated(0.9);
        let [(figure, truth, inspected), ..] = estimated(&months, false).1;
        assert!(inspected > 1.2 * truth, "{inspected} of the inspected, {truth} of all");
        let (error, naive) = ((figure.value - truth).abs(), (inspected - truth).abs());
        assert!(error < 0.8 * naive, "{figure:?} for {truth}; {inspected} of the inspected");
        let (estimate, figures) = estimated(&months, true);
        assert!(matches!(estimate.basis, Basis::Random { drawn } if drawn > 300), "{:?}", estimate.basis);
        for (figure, truth, _) in figures {
            assert!(figure.low <= truth && truth <= figure.high, "{truth} is not in {figure:?}");
        }
    }
}
