//! What of a ranking's figures could be chance: the intervals of its metrics, and its selection against a random one.
//!
//! Precision, recall and the illicit share are shares of items, with the intervals of [`Clusters`]. The interval of the
//! area under the ROC curve is Newcombe's (Statistics in Medicine 2006, part 2, method 5), which has a width where the
//! area is 1 and stays within 0 and 1; declarations are counted in place of items, because items of one resemble each
//! other. Other metrics have no interval here.
//!
//! A selection is compared with one of the same size that is drawn at random, on the same resamples of declarations and
//! of days ([`tidewaiter_registry::comparison`]). Start at [`intervals`] and [`over_random`].

use std::collections::{BTreeMap, HashSet};

use tidewaiter_core::Result;
use tidewaiter_registry::{
    comparison::{Comparison, Groups, RESAMPLES, compare},
    intervals::Clusters,
};

use crate::metrics::{PERCENTS, inspected};

/// The 0.975 quantile of the normal distribution.
const NORMAL: f64 = 1.959_963_985;

/// 95 % intervals by the names of metrics, and that of the illicit share as `illicit`.
pub(crate) type Intervals = BTreeMap<String, [f64; 2]>;

/// Rows in time order, column by column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// What they are ranked by.
    pub(crate) scores: &'a [f64],
    /// 1 illicit, 0 not, NaN unknown.
    pub(crate) labels: &'a [f32],
    /// Keys of the declarations.
    pub(crate) declarations: &'a [u64],
    /// Days of acceptance.
    pub(crate) days: &'a [i32],
}

/// The intervals of the metrics of some of the rows, whose numbers ascend.
pub(crate) fn intervals(rows: Rows<'_>, which: impl IntoIterator<Item = usize>) -> Intervals {
    let ranked = Ranked::of(rows, which);
    let clusters = Clusters { declarations: ranked.declarations(), days: ranked.days() };
    let one = |counts: bool| f64::from(u8::from(counts));
    let mut intervals = Intervals::new();
    let mut add = |name: String, of_place: &dyn Fn(usize) -> (f64, f64)| {
        let share = clusters.interval(of_place);
        intervals.extend(share.map(|share| (name, [share.low, share.high])));
    };
    add("illicit".to_owned(), &|place| (one(ranked.is_illicit(place)), 1.0));
    for percent in PERCENTS {
        let selected = inspected(ranked.order.len(), percent);
        let of_selected = |place: usize| match place < selected {
            true => (one(ranked.is_illicit(place)), 1.0),
            false => (0.0, 0.0),
        };
        add(format!("precision@{percent}"), &of_selected);
        let of_illicit = |place: usize| match ranked.is_illicit(place) {
            true => (one(place < selected), 1.0),
            false => (0.0, 0.0),
        };
        add(format!("recall@{percent}"), &of_illicit);
    }
    intervals.extend(ranked.area().map(|interval| ("roc_auc".to_owned(), interval)));
    intervals
}

/// The share of the known fraud that the `percent` of the rows with the highest scores hold, minus the share that as many
/// of them hold on average when they are drawn at random. Rows of equal scores count in proportion.
///
/// # Errors
/// As [`compare`].
pub(crate) fn over_random(rows: Rows<'_>, percent: f64, seed: u64) -> Result<Comparison> {
    let ranked = Ranked::of(rows, 0..rows.labels.len());
    let (declarations, days) = (ranked.declarations(), ranked.days());
    compare((&declarations, &days), RESAMPLES, seed, &|groups, weights| {
        ranked.gain(percent, &|place| u64::from(weights[groups.of_row(place)]))
    })
}

/// Rows with a known outcome, the highest score first, equal ones in the order of the rows.
struct Ranked<'a> {
    rows: Rows<'a>,
    order: Vec<usize>,
}

impl<'a> Ranked<'a> {
    fn of(rows: Rows<'a>, which: impl IntoIterator<Item = usize>) -> Self {
        let mut order: Vec<usize> = which.into_iter().filter(|row| !rows.labels[*row].is_nan()).collect();
        order.sort_by(|a, b| rows.scores[*b].total_cmp(&rows.scores[*a]));
        Self { rows, order }
    }

    fn is_illicit(&self, place: usize) -> bool {
        self.rows.labels[self.order[place]] == 1.0
    }

    fn declarations(&self) -> Groups {
        Groups::of(self.order.iter().map(|row| self.rows.declarations[*row]))
    }

    fn days(&self) -> Groups {
        Groups::of(self.order.iter().map(|row| self.rows.days[*row]))
    }

    /// See [`over_random`]; a row counts as often as `weight` says. `None` where none is illicit.
    fn gain(&self, percent: f64, weight: &dyn Fn(usize) -> u64) -> Option<f64> {
        let scores = |place: usize| self.rows.scores[self.order[place]];
        let all: u64 = (0..self.order.len()).map(weight).sum();
        let selected = inspected(usize::try_from(all).unwrap_or(usize::MAX), percent) as f64;
        let (mut seen, mut illicit, mut found, mut place) = (0.0, 0.0, 0.0, 0);
        while place < self.order.len() {
            let score = scores(place);
            let (mut tied, mut hits) = (0, 0);
            while place < self.order.len() && scores(place) == score {
                let own = weight(place);
                tied += own;
                hits += if self.is_illicit(place) { own } else { 0 };
                place += 1;
            }
            if tied > 0 {
                let taken = (selected - seen).clamp(0.0, tied as f64);
                found += hits as f64 * taken / tied as f64;
                seen += tied as f64;
                illicit += hits as f64;
            }
        }
        let gain = found / illicit - selected / all as f64;
        // Equal scores select as a random draw does, but for rounding.
        let gain = if gain.abs() < 1e-12 { 0.0 } else { gain };
        (illicit > 0.0).then_some(gain)
    }

    /// The interval of the area under the ROC curve; `None` without both outcomes.
    fn area(&self) -> Option<[f64; 2]> {
        let of = |illicit: bool| {
            let own = (0..self.order.len()).filter(|place| self.is_illicit(*place) == illicit);
            own.map(|place| self.rows.declarations[self.order[place]]).collect::<HashSet<_>>().len() as f64
        };
        let (illicit, licit) = (of(true), of(false));
        if illicit == 0.0 || licit == 0.0 {
            return None;
        }
        let (mut pairs, mut found, mut all, mut place) = (0.0, 0.0, [0.0; 2], 0);
        while place < self.order.len() {
            let score = self.rows.scores[self.order[place]];
            let mut tied = [0.0; 2];
            while place < self.order.len() && self.rows.scores[self.order[place]] == score {
                tied[usize::from(self.is_illicit(place))] += 1.0;
                place += 1;
            }
            pairs += tied[0] * (found + tied[1] / 2.0);
            found += tied[1];
            all = [all[0] + tied[0], all[1] + tied[1]];
        }
        let area = pairs / (all[0] * all[1]);
        Some([0.0, 1.0].map(|bound| end_of_area(area, bound, (illicit, licit))))
    }
}

/// The area between `area` and `bound` at which `area` lies at the end of the normal interval around it.
fn end_of_area(area: f64, bound: f64, (illicit, licit): (f64, f64)) -> f64 {
    let mean = (illicit + licit) / 2.0 - 1.0;
    let variance = |at: f64| {
        let correlated = mean * ((1.0 - at) / (2.0 - at) + at / (1.0 + at));
        at * (1.0 - at) * (1.0 + correlated) / (illicit * licit)
    };
    let is_outside = |at: f64| (area - at).abs() > NORMAL * variance(at).sqrt();
    let (mut inside, mut outside) = (area, bound);
    for _ in 0..50 {
        let middle = (inside + outside) / 2.0;
        if is_outside(middle) { outside = middle } else { inside = middle }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of items, two to a declaration and twenty to a day.
    struct World {
        scores: Vec<f64>,
        labels: Vec<f32>,
        declarations: Vec<u64>,
        days: Vec<i32>,
    }

    impl World {
        fn of(items: &[(f64, bool)]) -> Self {
            let count = items.len();
            Self {
                scores: items.iter().map(|item| item.0).collect(),
                labels: items.iter().map(|item| f32::from(u8::from(item.1))).collect(),
                declarations: (0..count).map(|row| row as u64 / 2).collect(),
                days: (0..count).map(|row| 18_718 + row as i32 / 20).collect(),
            }
        }

        /// 400 items of which one in ten is illicit; these have the highest scores, or the scores say nothing.
        fn large(is_found: bool) -> Self {
            let items: Vec<(f64, bool)> = (0..400_u32)
                .map(|row| {
                    let chance = f64::from(row * 7919 % 400) / 400.0;
                    let illicit = row % 10 == 3;
                    (if is_found && illicit { 0.9 + chance / 10.0 } else { 0.8 * chance }, illicit)
                })
                .collect();
            Self::of(&items)
        }

        fn rows(&self) -> Rows<'_> {
            let Self { scores, labels, declarations, days } = self;
            Rows { scores, labels, declarations, days }
        }
    }

    #[test]
    fn a_selection_is_better_than_a_random_one_only_beyond_chance() {
        let good = over_random(World::large(true).rows(), 5.0, 1).expect("compared");
        // Twenty of the forty illicit items are found, and two by a random draw.
        assert!((good.difference - 0.45).abs() < 1e-12 && good.is_better(), "{good:?}");
        let none = over_random(World::large(false).rows(), 5.0, 1).expect("compared");
        assert!(!none.is_better() && none.low < 0.0 && 0.0 < none.high, "{none:?}");
        let mut constant = World::large(true);
        constant.scores.fill(0.5);
        let same = over_random(constant.rows(), 5.0, 1).expect("compared");
        assert!(same.difference.abs() < 1e-12 && same.high < 1e-12 && !same.is_better(), "{same:?}");
    }

    #[test]
    fn the_interval_of_an_area_has_a_width_and_stays_within_0_and_1() {
        // Declarations in perfect order, five of them illicit and five not: the lower end is not 1.
        let perfect: Vec<(f64, bool)> = (0..20).map(|row| (1.0 - f64::from(row) / 20.0, row < 10)).collect();
        let [low, high] = intervals(World::of(&perfect).rows(), 0..20)["roc_auc"];
        assert!((0.4..0.9).contains(&low) && (high - 1.0).abs() < 1e-9, "{low} to {high}");
        let [low, high] = intervals(World::large(false).rows(), 0..400)["roc_auc"];
        assert!(0.3 < low && low < 0.5 && 0.5 < high && high < 0.7, "{low} to {high}");
    }

    #[test]
    fn every_share_lies_in_its_interval_and_the_unknown_is_left_out() {
        let mut world = World::large(true);
        world.labels[0] = f32::NAN;
        let found = intervals(world.rows(), 0..400);
        let metrics = crate::Metrics::of(&world.scores, &world.labels, None).expect("outcomes of both kinds");
        for (name, value) in metrics.at.iter().filter(|metric| !metric.0.starts_with("f1")) {
            let [low, high] = found[name];
            assert!(0.0 <= low && low <= *value && *value <= high && high <= 1.0, "{name}: {low} to {high}");
            assert!(low < high, "{name}");
        }
        assert!(found["illicit"][0] < 0.1 && 0.1 < found["illicit"][1]);
        assert!(intervals(world.rows(), 0..1).is_empty(), "no outcome is known");
    }
}
