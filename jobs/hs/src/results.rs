//! What the test months say of a model: measures with intervals, automation at thresholds that other months chose, and
//! accuracy on texts that the training months had and on new ones.
//!
//! The thresholds from which items are classified without a person are chosen on the validation months, and what they
//! would have done is measured on the test months. Start at [`TestResults::of`].

use tidewaiter_registry::{
    comparison::{Comparison, Groups, RESAMPLES, compare},
    intervals::{Clusters, Share},
};

use crate::{
    codes::digits::{DIGITS, LEVELS},
    evaluate::Figures,
    metrics::{BINS, Evaluation, RANKS, ScoredRows},
};

/// The shares of right codes among the automated for which thresholds are chosen.
pub const PRECISIONS: [f64; 5] = [0.8, 0.9, 0.95, 0.98, 0.99];

/// What a threshold of the validation months does on the test months.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Automation {
    /// Index of the level.
    pub level: usize,
    /// The share that must be right, 0 to 1.
    pub precision: f64,
    /// The probability from which the validation months reach it; `None`: nowhere.
    pub threshold: Option<f64>,
    /// The share of the test items at or above it.
    pub automated: f64,
    /// The share of these that is right; `None` where there is none.
    pub right: Option<Share>,
}

/// Accuracy of the first recommendation on texts whose words a training text has, or on others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Novelty {
    /// Whether these are texts that training had.
    pub seen: bool,
    /// Items.
    pub items: u64,
    /// The share that is right, by level.
    pub right: [Option<Share>; LEVELS],
}

/// The measures of a model on its test months.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResults {
    /// The items that were scored.
    pub evaluation: Evaluation,
    /// Accuracy by level and number of recommendations.
    pub accuracy: [[Option<Share>; RANKS.len()]; LEVELS],
    /// By level and share that must be right.
    pub automation: Vec<Automation>,
    /// Texts that training had, and others.
    pub novelty: [Novelty; 2],
}

impl TestResults {
    /// The measures of the test items, with thresholds that the validation items choose.
    pub fn of(evaluation: Evaluation, valid: &Evaluation) -> Self {
        let rows = &evaluation.rows;
        let clusters = clusters(rows);
        let accuracy = std::array::from_fn(|level| {
            std::array::from_fn(|place| clusters.interval(&|row| hit(rows, row, level, place)))
        });
        let automation = (0..LEVELS).flat_map(|level| PRECISIONS.map(|precision| (level, precision)));
        let automation = automation.map(|(level, precision)| {
            let bin = valid.automating_bin(level, precision);
            let is_above = |row: usize| bin.is_some_and(|bin| usize::from(rows.bins[row][level]) >= bin);
            let above = clusters.interval(&|row| {
                let items = f64::from(rows.items[row]);
                (if is_above(row) { items } else { 0.0 }, items)
            });
            let right =
                clusters.interval(&|row| if is_above(row) { hit(rows, row, level, 0) } else { (0.0, 0.0) });
            Automation {
                level,
                precision,
                threshold: bin.map(|bin| bin as f64 / BINS as f64),
                automated: above.map_or(0.0, |above| above.share),
                right,
            }
        });
        let automation = automation.collect();
        let novelty = [true, false].map(|seen| {
            let of = |row: usize| rows.seen[row] == seen;
            let own = (0..rows.len()).filter(|row| of(*row));
            Novelty {
                seen,
                items: own.map(|row| u64::from(rows.items[row])).sum(),
                right: std::array::from_fn(|level| {
                    clusters.interval(&|row| if of(row) { hit(rows, row, level, 0) } else { (0.0, 0.0) })
                }),
            }
        });
        Self { accuracy, automation, novelty, evaluation }
    }

    /// What the threshold of a level for a share of right codes does.
    pub fn automated(&self, level: usize, precision: f64) -> Option<&Automation> {
        self.automation.iter().find(|own| own.level == level && own.precision == precision)
    }

    /// All measures by the names of the documentation.
    pub fn figures(&self) -> Figures {
        let mut figures = self.evaluation.figures();
        for (level, digits) in DIGITS.iter().enumerate() {
            for (place, k) in RANKS.iter().enumerate() {
                if let Some(Share { low, high, .. }) = self.accuracy[level][place] {
                    figures.insert(format!("accuracy@{k}/{digits}_low"), low);
                    figures.insert(format!("accuracy@{k}/{digits}_high"), high);
                }
            }
            for Novelty { seen, right, .. } in &self.novelty {
                let texts = if *seen { "seen" } else { "new" };
                figures
                    .extend(right[level].map(|right| (format!("accuracy@1/{digits}_{texts}"), right.share)));
            }
        }
        for Automation { level, precision, automated, right, .. } in &self.automation {
            let name = format!("{:.0}/{}", 100.0 * precision, DIGITS[*level]);
            figures.insert(format!("automated@{name}"), *automated);
            figures.extend(right.map(|right| (format!("automated_right@{name}"), right.share)));
        }
        let [seen, new] = self.novelty.map(|texts| texts.items as f64);
        figures.insert("seen".to_owned(), if seen + new > 0.0 { seen / (seen + new) } else { 0.0 });
        figures
    }
}

/// The groups of scored rows.
fn clusters(rows: &ScoredRows) -> Clusters {
    Clusters { declarations: Groups::of(&rows.declarations), days: Groups::of(&rows.days) }
}

/// The items of a row that a level's best `RANKS[place]` hit, and all of them.
fn hit(rows: &ScoredRows, row: usize, level: usize, place: usize) -> (f64, f64) {
    let items = f64::from(rows.items[row]);
    (if rows.is_hit(row, level, place) { items } else { 0.0 }, items)
}

/// Compares two models by the share of items whose first recommendation is the declared six digits, on the same rows.
///
/// # Errors
/// As [`compare`].
pub(crate) fn compare_accuracy(
    challenger: &ScoredRows,
    champion: &ScoredRows,
    seed: u64,
) -> tidewaiter_core::Result<Comparison> {
    if challenger.declarations != champion.declarations || challenger.items != champion.items {
        return Err(tidewaiter_core::Error::internal("the champion scored other rows than the new model"));
    }
    let Clusters { declarations, days } = clusters(challenger);
    let difference = |groups: &Groups, weights: &[u32]| {
        let (mut gained, mut items) = (0.0, 0.0);
        for row in 0..challenger.len() {
            let weight = f64::from(weights[groups.of_row(row)]);
            let [new, old] = [challenger, champion].map(|rows| hit(rows, row, LEVELS - 1, 0));
            gained += weight * (new.0 - old.0);
            items += weight * new.1;
        }
        (items > 0.0).then(|| gained / items)
    };
    compare((&declarations, &days), RESAMPLES, seed, &difference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ScoredItem;

    /// Items with probabilities of which a share is right, ten to a declaration.
    fn evaluation(items: &[(f32, bool)]) -> Evaluation {
        let mut evaluation = Evaluation::default();
        for (number, (probability, right)) in items.iter().enumerate() {
            evaluation.add(&ScoredItem {
                items: 1,
                description: "goods",
                declared: "010121",
                recommended: if *right { ["01", "0101", "010121"] } else { ["02", "0201", "020110"] },
                probability: [*probability; LEVELS],
                rank: [Some(if *right { 1 } else { 2 }); LEVELS],
                vague: false,
                month: 24_240,
                national: None,
                declaration: number as u64 / 10,
                day: number as i64 / 50,
                seen: number % 2 == 0,
            });
        }
        evaluation
    }

    #[test]
    fn a_threshold_is_chosen_on_validation_and_reported_on_test() {
        // On validation all items from 0.9 are right; on test one in four of them is wrong.
        let valid: Vec<(f32, bool)> =
            (0..100).map(|at| if at < 50 { (0.95, true) } else { (0.5, false) }).collect();
        let test: Vec<(f32, bool)> =
            (0..200).map(|at| if at < 100 { (0.95, at % 4 > 0) } else { (0.5, at % 2 == 0) }).collect();
        let results = TestResults::of(evaluation(&test), &evaluation(&valid));
        let automation = results.automated(2, 0.98).expect("listed");
        assert_eq!((automation.threshold, automation.automated), (Some(0.95), 0.5));
        let right = automation.right.expect("some are automated");
        assert!((right.share - 0.75).abs() < 1e-12 && right.low < 0.75 && right.high > 0.75, "{right:?}");
        let figures = results.figures();
        assert_eq!((figures["automated@98/6"], figures["automated_right@98/6"]), (0.5, 0.75));
        assert!(figures["accuracy@1/6_low"] < 0.625 && figures["accuracy@1/6_high"] > 0.625);
        // Texts at even places were in training: all of the second half's right ones are.
        assert_eq!(
            (figures["accuracy@1/6_seen"], figures["accuracy@1/6_new"], figures["seen"]),
            (0.75, 0.5, 0.5)
        );

        let none = TestResults::of(evaluation(&test), &evaluation(&[(0.9, false)]));
        let automation = none.automated(2, 0.8).expect("listed");
        assert_eq!((automation.threshold, automation.automated, automation.right), (None, 0.0, None));
    }

    #[test]
    fn models_are_compared_by_declaration_and_day() {
        let items = |wrong: usize| (0..400).map(|at| (0.5, at % 10 >= wrong)).collect::<Vec<_>>();
        let [good, poor] = [1, 4].map(|wrong| evaluation(&items(wrong)).rows);
        let better = compare_accuracy(&good, &poor, 3).expect("compared");
        assert!(better.is_better() && (better.difference - 0.3).abs() < 1e-12, "{better:?}");
        assert_eq!((better.by_declaration.groups, better.by_day.groups), (40, 8));
        assert!(!compare_accuracy(&good, &good, 3).expect("compared").is_better());
        // One declaration of forty that one model has right is no difference beyond chance.
        let mut items = items(1);
        items[..10].iter_mut().for_each(|item| item.1 = false);
        assert!(!compare_accuracy(&good, &evaluation(&items).rows, 3).expect("compared").is_better());
    }
}
