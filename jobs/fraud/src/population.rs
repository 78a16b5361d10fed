//! Of which items the figures of a selection speak, and an estimate for all items where only some were inspected.
//!
//! Outcomes are known of inspected items, and these were selected by somebody, mostly for being suspicious. The share of
//! the fraud that a model finds among them is not its share among all items. There are two estimates for all
//! ([`Basis`]), both by weights of the inspected items (Horvitz and Thompson, JASA 1952; Hájek's ratio form):
//!
//! - Where the archive records which inspections a random draw alone chose, these stand for all items that nothing else
//!   chose, each for as many; an item that a rule or an inspector chose counts for itself. This is right whatever the
//!   rule knew, if the draw was.
//! - Else, where each item had some chance of being inspected, an inspected item counts as many items as have its chance
//!   for each one of them that was inspected. The chance is predicted from the features by boosted trees, for each half
//!   of the declarations by a fit on the other half, and items are grouped by it (subclassification on the propensity
//!   score: Rosenbaum and Rubin, JASA 1984), so that a prediction needs only the right order. This is right when, among
//!   items of one chance, which of them were inspected did not depend on what was to be found: true of a rule that knew no
//!   more than the features do.
//!
//! The interval is that of drawing the declarations again that stand for others (see
//! [`tidewaiter_registry::comparison::resample`]); it leaves out the chance in predicted chances. Where too few items were
//! inspected, or many items are unlike all that were, there is no estimate, and [`Population::Inspected`] says why. Start
//! at [`population`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};
use tidewaiter_learning::gbdt;
use tidewaiter_registry::comparison::{Groups, RESAMPLES, resample};

use crate::metrics::{PERCENTS, inspected};

/// Of at least this share of the items the outcome is known: the others would not change a figure.
const WHOLE: f64 = 0.999;
/// Fewest inspected items, and illicit ones among them, of an estimate.
pub(crate) const LEAST_INSPECTED: usize = 200;
pub(crate) const LEAST_ILLICIT: usize = 20;
/// Fewest items that stand for others in a selection of which figures are estimated.
const LEAST_SELECTED: usize = 10;
/// Groups of items by their chance of inspection, and the fewest inspected items of one.
const STRATA: usize = 20;
const LEAST_IN_STRATUM: usize = 30;
/// The most items, as a share, that may be less likely to be inspected than any that was.
const MOST_OUTSIDE: f64 = 0.1;

/// The trees that predict the chance of inspection.
pub(crate) fn propensity_trees(seed: u64) -> gbdt::Parameters {
    gbdt::Parameters {
        trees: 60,
        leaves: 8,
        min_rows_per_leaf: 50,
        early_stopping_rounds: 0,
        seed,
        ..gbdt::Parameters::default()
    }
}

/// Of which items figures speak.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Population {
    /// All items: practically every one has a known outcome.
    #[default]
    All,
    /// Inspected items, and an estimate for all.
    Estimated(Estimate),
    /// Inspected items only.
    Inspected {
        /// Why there is no estimate for all items.
        why: NoEstimate,
    },
}

/// Why there is no estimate for all items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum NoEstimate {
    /// The chance of inspection was not predicted.
    NotPredicted,
    /// Too few items were inspected, or too few of these were illicit.
    TooFew {
        /// Inspected items.
        inspected: u64,
        /// Illicit ones among them.
        illicit: u64,
    },
    /// Too many items are unlike all that were inspected.
    Unlike {
        /// Their share, 0 to 1.
        share: f64,
    },
}

/// By which inspected items an estimate for all was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Basis {
    /// By all inspected ones, weighted by their predicted chance of inspection.
    #[default]
    Propensity,
    /// By those that a random draw alone chose, which stand for all that nothing else chose.
    Random {
        /// How many of them have a known outcome.
        drawn: u64,
    },
}

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimated {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Figures of all items, estimated from the inspected ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// All items.
    pub items: u64,
    /// Those with a known outcome.
    pub inspected: u64,
    /// Which of these stand for others.
    #[serde(default)]
    pub basis: Basis,
    /// The most items for which one inspected item stands.
    pub most_weight: f64,
    /// `illicit` (illicit share of all items), and `precision@K`, `recall@K` and `revenue_recall@K` where the K percent
    /// of all items with the highest scores are inspected, each 0 to 1; absent where undefined, or where fewer than ten
    /// of the selected items have a known outcome and stand for others.
    pub figures: BTreeMap<String, Estimated>,
}

impl Estimate {
    /// A figure by what it is and the percent inspected.
    pub fn at(&self, what: &str, percent: f64) -> Option<Estimated> {
        self.figures.get(&format!("{what}@{percent}")).copied()
    }
}

/// Items of a period, column by column.
#[derive(Debug, Clone, Copy)]
pub struct Items<'a> {
    /// The scores by which they are selected.
    pub scores: &'a [f64],
    /// 1 illicit, 0 not, NaN not known.
    pub labels: &'a [f32],
    /// Additional revenue; NaN where not known.
    pub revenue: &'a [f64],
    /// Keys of their declarations.
    pub declarations: &'a [u64],
    /// Whether a random draw alone chose them for inspection; `None` where the archive does not say.
    pub random: &'a [Option<bool>],
    /// The predicted chance that their outcome is known, 0 to 1; `None` where it was not predicted.
    pub propensity: Option<&'a [f64]>,
}

/// Of which items figures speak that are computed from known outcomes, with the estimate for all items.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the columns differ in length.
pub fn population(items: Items<'_>, seed: u64) -> Result<Population> {
    let rows = items.labels.len();
    let propensity = items.propensity.map_or(rows, <[f64]>::len);
    let lengths =
        [items.scores.len(), items.revenue.len(), items.declarations.len(), items.random.len(), propensity];
    if lengths.iter().any(|length| *length != rows) {
        return Err(Error::internal(format!("{rows} outcomes have columns of {lengths:?} rows")));
    }
    let known: Vec<usize> = (0..rows).filter(|row| !items.labels[*row].is_nan()).collect();
    if known.len() as f64 >= WHOLE * rows as f64 {
        return Ok(Population::All);
    }
    if enough_drawn(items.random, items.labels) {
        let strata = Strata::drawn(items.random, items.labels);
        return Ok(Population::Estimated(estimate(items, &known, &strata, seed)));
    }
    let illicit = known.iter().filter(|row| items.labels[**row] == 1.0).count();
    let none = |why: NoEstimate| Ok(Population::Inspected { why });
    let Some(propensity) = items.propensity else {
        return none(NoEstimate::NotPredicted);
    };
    if !is_enough(known.len(), illicit) {
        return none(NoEstimate::TooFew { inspected: known.len() as u64, illicit: illicit as u64 });
    }
    let least = known.iter().map(|row| propensity[*row]).fold(f64::INFINITY, f64::min);
    let outside = propensity.iter().filter(|chance| **chance < least).count() as f64 / rows as f64;
    if outside > MOST_OUTSIDE {
        return none(NoEstimate::Unlike { share: outside });
    }
    Ok(Population::Estimated(estimate(items, &known, &Strata::of(propensity, items.labels), seed)))
}

/// Whether inspections that a random draw alone chose are recorded of all inspected items, and are enough for an estimate.
pub(crate) fn enough_drawn(random: &[Option<bool>], labels: &[f32]) -> bool {
    let known = || random.iter().zip(labels).filter(|(_, label)| !label.is_nan());
    let drawn = || known().filter(|(random, _)| **random == Some(true));
    known().all(|(random, _)| random.is_some())
        && is_enough(drawn().count(), drawn().filter(|(_, label)| **label == 1.0).count())
}

/// Whether so many inspected items, and illicit ones among them, are enough for an estimate.
fn is_enough(inspected: usize, illicit: usize) -> bool {
    inspected >= LEAST_INSPECTED && illicit >= LEAST_ILLICIT
}

/// Items by their chance of inspection. The inspected ones of a group stand for all of it.
struct Strata {
    basis: Basis,
    /// The group of each item; none of an inspected one that stands for itself alone.
    of_row: Vec<Option<u8>>,
    /// Items of each group.
    items: Vec<u64>,
}

impl Strata {
    /// One group of those that a random draw chose and those that nothing did.
    fn drawn(random: &[Option<bool>], labels: &[f32]) -> Self {
        let (mut drawn, mut items) = (0, 0);
        let of_row = random.iter().zip(labels).map(|(random, label)| {
            let is_known = !label.is_nan();
            if is_known && *random != Some(true) {
                return None;
            }
            (drawn, items) = (drawn + u64::from(is_known), items + 1);
            Some(0)
        });
        let of_row = of_row.collect();
        Self { basis: Basis::Random { drawn }, of_row, items: vec![items] }
    }

    /// Groups of about equally many inspected items, in the order of the chance; equal ones in the order of the rows.
    fn of(propensity: &[f64], labels: &[f32]) -> Self {
        let known = labels.iter().filter(|label| !label.is_nan()).count();
        let count = (known / LEAST_IN_STRATUM).clamp(1, STRATA);
        let mut order: Vec<u32> = (0..propensity.len() as u32).collect();
        order.sort_by(|a, b| propensity[*a as usize].total_cmp(&propensity[*b as usize]));
        let (mut of_row, mut items) = (vec![None; propensity.len()], vec![0; count]);
        let mut seen = 0;
        for row in order {
            let row = row as usize;
            // An item after the last inspected one of a group is in the next group, and of the last one in the last.
            let stratum = (seen * count / known).min(count - 1);
            of_row[row] = Some(stratum as u8);
            items[stratum] += 1;
            seen += usize::from(!labels[row].is_nan());
        }
        Self { basis: Basis::Propensity, of_row, items }
    }
}

/// An inspected item, as the estimate needs it.
struct Inspected {
    /// Its stratum, and its group among those that are drawn again; none where it stands for itself alone.
    stands_in: Option<(usize, usize)>,
    /// The smallest of [`PERCENTS`], by its place, whose selection has the item; their number when none has.
    selected: usize,
    illicit: bool,
    revenue: f64,
}

fn estimate(items: Items<'_>, known: &[usize], strata: &Strata, seed: u64) -> Estimate {
    let rows = items.labels.len();
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.sort_by(|a, b| items.scores[*b as usize].total_cmp(&items.scores[*a as usize]));
    let mut selected = vec![PERCENTS.len() as u8; rows];
    for (at, percent) in PERCENTS.iter().enumerate().rev() {
        order[..inspected(rows, *percent)].iter().for_each(|row| selected[*row as usize] = at as u8);
    }
    let standing = known.iter().filter(|row| strata.of_row[**row].is_some());
    let groups = Groups::of(standing.map(|row| items.declarations[*row]));
    let mut groups_in_order = (0..groups.rows()).map(|at| groups.of_row(at));
    let sample: Vec<Inspected> = known
        .iter()
        .map(|row| Inspected {
            stands_in: strata.of_row[*row].and_then(|own| Some((usize::from(own), groups_in_order.next()?))),
            selected: usize::from(selected[*row]),
            illicit: items.labels[*row] == 1.0,
            revenue: if items.revenue[*row] > 0.0 { items.revenue[*row] } else { 0.0 },
        })
        .collect();
    let figures = |weights: &[u32]| figures(&sample, &strata.items, weights);
    let whole = figures(&vec![1; groups.count()]);
    let drawn = resample(groups.count(), RESAMPLES, seed, &figures);
    let stand_in =
        |cut: usize| sample.iter().filter(|it| it.stands_in.is_some() && it.selected <= cut).count();
    let is_enough: [bool; PERCENTS.len()] = std::array::from_fn(|cut| stand_in(cut) >= LEAST_SELECTED);
    let named = names().into_iter().zip(whole.into_iter().zip(drawn)).enumerate();
    let named = named.filter_map(|(at, (name, (value, drawn)))| {
        // The first is of no selection; then those of all selections follow each other.
        let is_known = at == 0 || is_enough[(at - 1) % PERCENTS.len()];
        let (value, drawn) = (value.filter(|_| is_known)?, drawn?);
        let seen = if at == 0 { groups.count() } else { stand_in((at - 1) % PERCENTS.len()) };
        let (low, high) =
            if drawn.low == drawn.high { certain(value, seen) } else { (drawn.low, drawn.high) };
        Some((name, Estimated { value, low: low.min(value), high: high.max(value) }))
    });
    let mut inspected_in = vec![0_u64; strata.items.len()];
    sample.iter().filter_map(|item| item.stands_in).for_each(|(stratum, _)| inspected_in[stratum] += 1);
    let weights =
        strata.items.iter().zip(&inspected_in).map(|(items, own)| *items as f64 / (*own).max(1) as f64);
    Estimate {
        items: rows as u64,
        inspected: known.len() as u64,
        basis: strata.basis,
        most_weight: weights.fold(0.0, f64::max),
        figures: named.collect(),
    }
}

/// The interval of a share of so many items that is the same in all draws: of 0 or 1 that of Wilson (JASA 1927), so that it
/// is not certain.
fn certain(share: f64, items: usize) -> (f64, f64) {
    let (items, z2) = (items as f64, 1.96_f64.powi(2));
    match share {
        0.0 => (0.0, z2 / (items + z2)),
        1.0 => (items / (items + z2), 1.0),
        other => (other, other),
    }
}

/// The names of [`figures`].
fn names() -> Vec<String> {
    let at = |what: &'static str| PERCENTS.map(|percent| format!("{what}@{percent}"));
    let all = ["precision", "recall", "revenue_recall"].into_iter().flat_map(at);
    std::iter::once("illicit".to_owned()).chain(all).collect()
}

/// The illicit share of all items; then precision, recall and revenue recall at each of [`PERCENTS`]. Each inspected item
/// that stands for others counts as often as its group was drawn.
fn figures(sample: &[Inspected], items: &[u64], weights: &[u32]) -> Vec<Option<f64>> {
    let mut drawn = vec![0.0; items.len()];
    for (stratum, group) in sample.iter().filter_map(|item| item.stands_in) {
        drawn[stratum] += f64::from(weights[group]);
    }
    // Items, illicit ones and revenue by the smallest selection that has them, and beyond all.
    let mut sums = [[0.0; 3]; PERCENTS.len() + 1];
    for item in sample {
        let weight = match item.stands_in {
            None => 1.0,
            Some((_, group)) if weights[group] == 0 => continue,
            Some((stratum, group)) => f64::from(weights[group]) * items[stratum] as f64 / drawn[stratum],
        };
        let [all, illicit, revenue] = &mut sums[item.selected];
        *all += weight;
        *illicit += if item.illicit { weight } else { 0.0 };
        *revenue += weight * item.revenue;
    }
    let total: [f64; 3] = std::array::from_fn(|at| sums.iter().map(|sum| sum[at]).sum());
    let up_to = |cut: usize, at: usize| sums[..=cut].iter().map(|sum| sum[at]).sum::<f64>();
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0));
    let cuts = 0..PERCENTS.len();
    let mut figures = vec![share(total[1], total[0])];
    figures.extend(cuts.clone().map(|cut| share(up_to(cut, 1), up_to(cut, 0))));
    figures.extend(cuts.clone().map(|cut| share(up_to(cut, 1), total[1])));
    figures.extend(cuts.map(|cut| share(up_to(cut, 2), total[2])));
    figures
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn weights_of_a_case_by_hand() {
        // Two groups of 10 and 90 items with two inspected each: weights 5 and 45. The first of each is illicit; the
        // first group's is in the selection of 10 percent and no other.
        let item = |stratum, group, selected, illicit, revenue| Inspected {
            stands_in: Some((stratum, group)),
            selected,
            illicit,
            revenue,
        };
        let sample = [
            item(0, 0, 4, true, 10.0),
            item(0, 1, 5, false, 0.0),
            item(1, 2, 5, true, 2.0),
            item(1, 3, 5, false, 0.0),
        ];
        let named = |weights: &[u32]| -> BTreeMap<String, Option<f64>> {
            names().into_iter().zip(figures(&sample, &[10, 90], weights)).collect()
        };
        let once = named(&[1, 1, 1, 1]);
        assert_eq!((once["illicit"], once["recall@10"], once["recall@5"]), (Some(0.5), Some(0.1), Some(0.0)));
        assert_eq!((once["precision@10"], once["precision@5"]), (Some(1.0), None));
        assert_eq!(once["revenue_recall@10"], Some(50.0 / 140.0));
        // The illicit item of the second group is not drawn, the licit one twice.
        let drawn = named(&[1, 1, 0, 2]);
        assert_eq!((drawn["illicit"], drawn["recall@10"]), (Some(0.05), Some(1.0)));
    }

    #[test]
    fn items_that_a_rule_chose_count_for_themselves() {
        // Of ten items a rule chose the first two, and a draw the next two of the other eight: these count four times.
        let random: Vec<_> = (0..10).map(|row| Some(row == 2 || row == 3)).collect();
        let labels: Vec<f32> = [1.0, 1.0, 1.0, 0.0].into_iter().chain([f32::NAN; 6]).collect();
        let strata = Strata::drawn(&random, &labels);
        assert_eq!((strata.basis, strata.items.as_slice()), (Basis::Random { drawn: 2 }, [8].as_slice()));
        assert_eq!(strata.of_row[..5], [None, None, Some(0), Some(0), Some(0)]);
        let item = |stands_in, selected, illicit| Inspected { stands_in, selected, illicit, revenue: 0.0 };
        let sample = [
            item(None, 4, true),
            item(None, 4, true),
            item(Some((0, 0)), 5, true),
            item(Some((0, 1)), 5, false),
        ];
        let named = |weights: &[u32]| -> BTreeMap<String, Option<f64>> {
            names().into_iter().zip(figures(&sample, &strata.items, weights)).collect()
        };
        let once = named(&[1, 1]);
        assert_eq!((once["illicit"], once["precision@10"]), (Some(0.6), Some(1.0)));
        assert_eq!(once["recall@10"], Some(2.0 / 6.0));
        // What a rule chose is there in every draw.
        assert_eq!((named(&[0, 2])["illicit"], named(&[2, 0])["illicit"]), (Some(0.2), Some(1.0)));
    }

    #[test]
    fn a_share_that_is_the_same_in_all_draws_is_not_certain() {
        let (low, high) = certain(1.0, 25);
        assert!((0.86..0.88).contains(&low) && high == 1.0, "{low}");
        let none = certain(0.0, 25);
        assert!(none.0 == 0.0 && (none.1 - (1.0 - low)).abs() < 1e-12, "{none:?}");
        assert_eq!(certain(0.5, 25), (0.5, 0.5));
    }

    #[test]
    fn groups_have_equally_many_inspected_items_and_all_items() {
        let propensity: Vec<f64> = (0..1000).map(|row| f64::from(row * 7919 % 1000) / 1000.0).collect();
        let labels: Vec<f32> =
            propensity.iter().map(|chance| if *chance > 0.8 { 1.0 } else { f32::NAN }).collect();
        let strata = Strata::of(&propensity, &labels);
        assert_eq!((strata.items.len(), strata.items.iter().sum::<u64>()), (6, 1000));
        assert_eq!(strata.items[0], 801 + 34);
    }

    /// Items of which suspicious ones are illicit and inspected more often, in declarations of two.
    #[derive(Default)]
    struct World {
        scores: Vec<f64>,
        labels: Vec<f32>,
        truth: Vec<bool>,
        propensity: Vec<f64>,
        declarations: Vec<u64>,
        random: Vec<Option<bool>>,
    }

    fn world(seed: u64) -> World {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut world = World::default();
        for declaration in 0..10_000 {
            let suspicion = rng.random::<f64>();
            let chance = 0.02 + 0.3 * suspicion.powi(4);
            let inspected = rng.random::<f64>() < chance;
            for _ in 0..2 {
                let illicit = rng.random::<f64>() < 0.02 + 0.25 * suspicion * suspicion;
                world.scores.push((0.7 * suspicion + 0.3 * rng.random::<f64>()).clamp(0.0, 1.0));
                world.labels.push(if inspected { f32::from(u8::from(illicit)) } else { f32::NAN });
                world.truth.push(illicit);
                // Only the order counts.
                world.propensity.push(suspicion);
                world.declarations.push(declaration);
                world.random.push(None);
            }
        }
        world
    }

    /// The 95 % intervals cover the truth in about 95 of 100 worlds, and the figures of the inspected items do not.
    #[test]
    fn intervals_cover_the_truth_that_the_inspected_items_miss() {
        let (mut covered, mut naive_errors) = ([0; 3], 0.0);
        const WORLDS: u64 = 40;
        for seed in 0..WORLDS {
            let World { scores, labels, truth, propensity, declarations, random } = world(seed);
            let revenue = vec![f64::NAN; labels.len()];
            let items = Items {
                scores: &scores,
                labels: &labels,
                revenue: &revenue,
                declarations: &declarations,
                random: &random,
                propensity: Some(&propensity),
            };
            let Population::Estimated(estimate) = population(items, seed).expect("figures") else {
                panic!("an estimate")
            };
            let truth: Vec<f32> = truth.iter().map(|illicit| f32::from(u8::from(*illicit))).collect();
            let true_figures = crate::Metrics::of(&scores, &truth, None).expect("both kinds");
            let naive = crate::Metrics::of(&scores, &labels, None).expect("both kinds");
            let share = true_figures.illicit as f64 / true_figures.rows as f64;
            naive_errors += naive.illicit as f64 / naive.rows as f64 - share;
            let wanted = [
                (estimate.figures["illicit"], share),
                (estimate.at("recall", 5.0).expect("a figure"), true_figures.recall_at(5.0).expect("K")),
                (
                    estimate.at("precision", 5.0).expect("a figure"),
                    true_figures.precision_at(5.0).expect("K"),
                ),
            ];
            for (covered, (figure, truth)) in covered.iter_mut().zip(wanted) {
                *covered += u64::from(figure.low <= truth && truth <= figure.high);
            }
        }
        assert!(covered.iter().all(|covered| *covered >= 34), "{covered:?} of {WORLDS}");
        assert!(naive_errors / WORLDS as f64 > 0.04, "{naive_errors}");
    }

    #[test]
    fn what_cannot_be_estimated_is_said_with_its_reason() {
        let World { scores, labels, declarations, propensity, random, .. } = world(1);
        let revenue = vec![0.0; labels.len()];
        let population_of = |labels: &[f32], propensity: Option<&[f64]>| {
            let (scores, revenue, declarations, random) = (&scores, &revenue, &declarations, &random);
            population(Items { scores, labels, revenue, declarations, random, propensity }, 0)
                .expect("figures")
        };
        let why = |labels: &[f32], propensity: Option<&[f64]>| match population_of(labels, propensity) {
            Population::Inspected { why } => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&labels, None), NoEstimate::NotPredicted);
        let few: Vec<f32> =
            labels.iter().enumerate().map(|(row, label)| if row < 900 { *label } else { f32::NAN }).collect();
        assert!(matches!(why(&few, Some(&propensity)), NoEstimate::TooFew { .. }), "too few");
        // A rule that looks at the suspicious half alone says nothing of the other.
        let half: Vec<f32> = labels
            .iter()
            .zip(&propensity)
            .map(|(label, chance)| if *chance > 0.5 { *label } else { f32::NAN })
            .collect();
        let overlap = why(&half, Some(&propensity));
        assert!(matches!(overlap, NoEstimate::Unlike { share } if share > 0.1), "no overlap: {overlap:?}");
        let all = vec![0.0; labels.len()];
        assert_eq!(population_of(&all, None), Population::All);
    }
}
