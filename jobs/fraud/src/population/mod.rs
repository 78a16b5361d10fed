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
//! [`tidewaiter_registry::comparison::resample`]); it leaves out the chance in predicted chances. Draws say little of a share
//! of nearly none or nearly all: its interval is at least as wide as Wilson's of so many declarations. Where too few items were
//! inspected, or many items are unlike all that were, there is no estimate, and [`Population::Inspected`] says why. Start
//! at [`population`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};
use tidewaiter_learning::gbdt;
use tidewaiter_registry::{
    comparison::{Groups, RESAMPLES, resample},
    intervals::wilson,
};

use crate::metrics::{PERCENTS, inspected};

/// Of at least this share of the items the outcome is known: the others would not change a figure.
const WHOLE: f64 = 0.999;
/// Fewest inspected items, and illicit ones among them, of an estimate.
pub(crate) const LEAST_INSPECTED: usize = 200;
pub(crate) const LEAST_ILLICIT: usize = 20;
/// Fewest items that stand for others in a selection of which figures are estimated.
const LEAST_SELECTED: usize = 10;
/// Fewest items for a share, and against it, of which draws alone give the interval.
const FEW: usize = 10;
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
    let mut inspected_in = vec![0_u64; strata.items.len()];
    sample.iter().filter_map(|item| item.stands_in).for_each(|(stratum, _)| inspected_in[stratum] += 1);
    let weights =
        strata.items.iter().zip(&inspected_in).map(|(items, own)| *items as f64 / (*own).max(1) as f64);
    let weights: Vec<f64> = weights.collect();
    let named = names().into_iter().zip(whole.into_iter().zip(drawn)).enumerate();
    let named = named.filter_map(|(at, (name, (value, drawn)))| {
        // The first is of no selection; then those of all selections follow each other.
        let is_known = at == 0 || is_enough[(at - 1) % PERCENTS.len()];
        let (value, drawn) = (value.filter(|_| is_known)?, drawn?);
        let (mut low, mut high) = (drawn.low.min(value), drawn.high.max(value));
        let support = Support::of(&sample, &weights, &|item| counts(at, item));
        if support.is_small() {
            let (lower, upper) = wilson(value, support.declarations.max(1.0));
            (low, high) = (low.min(lower), high.max(upper));
        }
        Some((name, Estimated { value, low, high }))
    });
    let figures = named.collect();
    Estimate {
        items: rows as u64,
        inspected: known.len() as u64,
        basis: strata.basis,
        most_weight: weights.iter().copied().fold(0.0, f64::max),
        figures,
    }
}

/// Of how many items that stand for others a figure is a share.
struct Support {
    items: usize,
    hits: usize,
    /// Their declarations, fewer where they stand for unequal numbers (Kish, "Survey Sampling", 1965, section 11.7).
    declarations: f64,
}

impl Support {
    /// Whether an item counts for a share, by `counts`: not at all, against it or for it. `weights` are those of the strata.
    fn of(sample: &[Inspected], weights: &[f64], counts: &dyn Fn(&Inspected) -> Option<bool>) -> Self {
        let (mut items, mut hits, mut sum, mut squares) = (0, 0, 0.0, 0.0);
        let mut declarations = BTreeSet::new();
        for item in sample {
            let (Some((stratum, group)), Some(hit)) = (item.stands_in, counts(item)) else { continue };
            (items, hits) = (items + 1, hits + usize::from(hit));
            (sum, squares) = (sum + weights[stratum], squares + weights[stratum].powi(2));
            declarations.insert(group);
        }
        let equal = if items == 0 { 0.0 } else { sum * sum / (items as f64 * squares) };
        Self { items, hits, declarations: declarations.len() as f64 * equal }
    }

    /// Whether too few items count for the share, or against it, for draws to tell its interval.
    fn is_small(&self) -> bool {
        self.hits.min(self.items - self.hits) < FEW
    }
}

/// Whether an item counts for the figure at a place of [`names`], against it, or not at all.
fn counts(at: usize, item: &Inspected) -> Option<bool> {
    let Some(at) = at.checked_sub(1) else { return Some(item.illicit) };
    let is_selected = item.selected <= at % PERCENTS.len();
    match at / PERCENTS.len() {
        0 => is_selected.then_some(item.illicit),
        1 => item.illicit.then_some(is_selected),
        _ => (item.revenue > 0.0).then_some(is_selected),
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
mod tests;
