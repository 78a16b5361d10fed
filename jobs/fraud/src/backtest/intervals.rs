//! How far chance moves a strategy's figures, and the difference of two strategies.
//!
//! Chance is in the seeds (selections and fits) and in the months: other months would go otherwise. Each resample draws
//! seeds with replacement, and periods in blocks with replacement, because neighbouring periods are alike (the circular
//! block bootstrap: Politis and Romano, "A circular block-resampling procedure for stationary data", 1992). A figure is
//! computed from the counts of what was drawn, so that a share stays within 0 and 1; its interval is the middle 95 % of
//! the resamples. A strategy without chance has no interval by seeds, and has this one. Two strategies are compared on
//! the same draws: period with period, seed with seed. With fewer than [`LEAST_PERIODS`] periods there is no interval.
//! Start at [`Draws::new`].

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidewaiter_core::{chance::stream, statistics::Interval};

use super::figures::{Figure, PeriodFigures};

/// Resamples.
const RESAMPLES: u64 = 1000;
/// Fewest periods of an interval.
const LEAST_PERIODS: usize = 4;

/// The periods of a strategy's runs, by seed.
pub(super) type Runs = [(u64, Vec<PeriodFigures>)];

/// What each resample draws; the same for all strategies.
#[derive(Debug, Clone, Default)]
pub(super) struct Draws(Vec<Draw>);

/// The places of the seeds and periods of one resample.
#[derive(Debug, Clone)]
struct Draw {
    seeds: Vec<usize>,
    periods: Vec<usize>,
}

impl Draws {
    /// The draws of so many seeds and periods.
    pub(super) fn new(seeds: usize, periods: usize, seed: u64) -> Self {
        if periods < LEAST_PERIODS || seeds == 0 {
            return Self::default();
        }
        let block = (periods as f64).cbrt().round().max(1.0) as usize;
        let draw = |number| {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(stream(seed, number));
            let drawn = (0..seeds).map(|_| rng.random_range(0..seeds)).collect();
            let blocks = (0..periods.div_ceil(block)).flat_map(|_| {
                let first = rng.random_range(0..periods);
                (first..first + block).map(move |period| period % periods)
            });
            let taken = blocks.take(periods).collect();
            Draw { seeds: drawn, periods: taken }
        };
        Self((0..RESAMPLES).map(draw).collect())
    }

    /// The mean over the drawn seeds of a figure of the drawn periods together, for each resample.
    fn means(&self, runs: &Runs, figure: Figure) -> Vec<Option<f64>> {
        let mean = |draw: &Draw| {
            let of_seed = |seed: &usize| {
                let periods = &runs.get(*seed)?.1;
                figure(&PeriodFigures::total(draw.periods.iter().filter_map(|period| periods.get(*period))))
            };
            let values: Vec<f64> = draw.seeds.iter().filter_map(of_seed).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        self.0.iter().map(mean).collect()
    }

    /// A figure of all periods together, the mean over the seeds, with its interval. A figure that is the same in all draws,
    /// as where nothing was found, has none: the draws do not tell how far it is chance.
    pub(super) fn figure(&self, runs: &Runs, figure: Figure) -> Option<Interval> {
        let found = interval(runs.len(), mean(runs, figure)?, self.means(runs, figure))?;
        Some(match found.low == found.high {
            true => Interval { low: None, high: None, ..found },
            false => found,
        })
    }

    /// The difference of two strategies in a figure.
    pub(super) fn difference(&self, one: &Runs, other: &Runs, figure: Figure) -> Option<Interval> {
        let pairs = self.means(one, figure).into_iter().zip(self.means(other, figure));
        let differences = pairs.map(|(one, other)| Some(one? - other?)).collect();
        interval(one.len().min(other.len()), mean(one, figure)? - mean(other, figure)?, differences)
    }
}

/// The mean over seeds of a figure of all periods together.
fn mean(runs: &Runs, figure: Figure) -> Option<f64> {
    let values: Vec<f64> =
        runs.iter().filter_map(|(_, periods)| figure(&PeriodFigures::total(periods))).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn interval(seeds: usize, mean: f64, drawn: Vec<Option<f64>>) -> Option<Interval> {
    let mut values: Vec<f64> = drawn.into_iter().flatten().collect();
    values.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let last = values.len().checked_sub(1)?;
        values.get((share * last as f64).round() as usize).copied()
    };
    let (low, high) = (quantile(0.025), quantile(0.975));
    Some(Interval {
        mean,
        low: low.map(|end| end.min(mean)),
        high: high.map(|end| end.max(mean)),
        seeds: seeds as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECALL: Figure = |figures| figures.recall;

    /// Periods of 100 illicit items, with so many found.
    fn run(found: &[u64]) -> Vec<PeriodFigures> {
        let period =
            |found: &u64| PeriodFigures { illicit: 100, inspected: 100, found: *found, ..Default::default() };
        found.iter().map(period).collect()
    }

    #[test]
    fn a_strategy_without_chance_has_an_interval_over_periods_within_0_and_1() {
        let runs = [(0, run(&[100, 100, 99, 100, 100, 100])), (1, run(&[100, 100, 99, 100, 100, 100]))];
        let draws = Draws::new(2, 6, 1);
        let found = draws.figure(&runs, RECALL).expect("a figure");
        assert!((found.mean - 599.0 / 600.0).abs() < 1e-12);
        let (low, high) = (found.low.expect("an end"), found.high.expect("an end"));
        assert!(low < found.mean && low > 0.98 && found.mean < high && high <= 1.0, "{found:?}");
        assert_eq!(draws.figure(&runs, RECALL), Some(found), "the same draws");
    }

    #[test]
    fn few_periods_have_no_interval() {
        let runs = [(0, run(&[10, 20, 30]))];
        let found = Draws::new(1, 3, 1).figure(&runs, RECALL).expect("a figure");
        assert_eq!((found.mean, found.low, found.high), (0.2, None, None));
    }

    #[test]
    fn a_strategy_that_finds_nothing_is_not_certain_to_find_nothing() {
        let runs = [(0, run(&[0; 8]))];
        let found = Draws::new(1, 8, 1).figure(&runs, RECALL).expect("a figure");
        assert_eq!((found.mean, found.low, found.high), (0.0, None, None));
    }

    /// Both strategies go up and down by half with the months, so that their own intervals overlap; one finds two more in
    /// each.
    #[test]
    fn a_paired_difference_is_seen_where_the_intervals_overlap() {
        let months = [20, 60, 30, 50, 25, 55, 40, 35];
        let (one, other) = ([(0, run(&months.map(|found| found + 2)))], [(0, run(&months))]);
        let draws = Draws::new(1, 8, 3);
        let [a, b] = [&one, &other].map(|runs| draws.figure(runs, RECALL).expect("a figure"));
        assert!(a.low < b.high, "{a:?} {b:?}");
        let difference = draws.difference(&one, &other, RECALL).expect("a difference");
        assert!(difference.low > Some(0.019) && difference.high < Some(0.021), "{difference:?}");
        let none = draws.difference(&one, &one, RECALL).expect("a difference");
        assert_eq!((none.mean, none.low, none.high), (0.0, Some(0.0), Some(0.0)));
    }
}
