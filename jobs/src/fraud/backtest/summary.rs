//! From walks to what is said of strategies: means over seeds with their intervals, and every figure as a table.
//!
//! An interval is Student's, of 95 %: the mean plus and minus `t s / sqrt(n)` over the `n` seeds of a strategy. It says
//! how far chance in the choices and in the fit moves a figure on these months; not how another year would
//! go. With one seed there is none. Start at [`Summary::of`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, UInt64Array};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Parameters,
    drift::FeatureDrift,
    measures::{Calibration, PeriodFigures},
    strategy::Strategy,
    walk::WalkReport,
};
use crate::{
    Error, Result,
    report::data::{batch, texts},
};

/// A figure of a period, which may be absent.
type Measure = fn(&PeriodFigures) -> Option<f64>;

/// The figures that strategies are compared by.
pub(super) const MEASURES: [(&str, Measure); 6] = [
    ("precision", |figures| figures.precision),
    ("recall", |figures| figures.recall),
    ("f1", |figures| figures.f1),
    ("revenue_recall", |figures| figures.revenue_recall),
    ("norm_precision", |figures| figures.norm_precision),
    ("norm_revenue", |figures| figures.norm_revenue),
];

/// The 0.975 quantiles of Student's t with 1 to 30 degrees of freedom; beyond, the normal one is taken.
const STUDENT: [f64; 30] = [
    12.706_204_736,
    4.302_652_730,
    3.182_446_305,
    2.776_445_105,
    2.570_581_836,
    2.446_911_851,
    2.364_624_252,
    2.306_004_135,
    2.262_157_163,
    2.228_138_852,
    2.200_985_160,
    2.178_812_830,
    2.160_368_656,
    2.144_786_688,
    2.131_449_546,
    2.119_905_299,
    2.109_815_578,
    2.100_922_040,
    2.093_024_054,
    2.085_963_447,
    2.079_613_845,
    2.073_873_068,
    2.068_657_610,
    2.063_898_562,
    2.059_538_553,
    2.055_529_439,
    2.051_830_516,
    2.048_407_142,
    2.045_229_642,
    2.042_272_456,
];
const NORMAL: f64 = 1.959_963_985;

/// A mean over seeds and its 95 % interval, absent with one seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Interval {
    pub(super) mean: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) seeds: u64,
}

/// The mean of some values and its interval; `None` of no values.
pub(super) fn interval(values: &[f64]) -> Option<Interval> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let mut interval = Interval { mean, low: None, high: None, seeds: count as u64 };
    if count > 1 {
        let variance =
            values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (count - 1) as f64;
        let reach = STUDENT.get(count - 2).copied().unwrap_or(NORMAL) * (variance / count as f64).sqrt();
        (interval.low, interval.high) = (Some(mean - reach), Some(mean + reach));
    }
    Some(interval)
}

/// One strategy over all its seeds.
pub(super) struct StrategySummary {
    pub(super) strategy: Strategy,
    /// Seeds with the periods of their walks.
    pub(super) walks: Vec<(u64, Vec<PeriodFigures>)>,
    /// The whole of all walks.
    pub(super) total: PeriodFigures,
    pub(super) calibration: Calibration,
}

impl StrategySummary {
    /// A measure of the whole walks, over seeds.
    pub(super) fn whole(&self, measure: Measure) -> Option<Interval> {
        let values = self.walks.iter().filter_map(|(_, periods)| measure(&PeriodFigures::total(periods)));
        interval(&values.collect::<Vec<_>>())
    }

    /// A measure of one period, over seeds.
    pub(super) fn of_period(&self, period: usize, measure: Measure) -> Option<Interval> {
        let values = self.walks.iter().filter_map(|(_, periods)| periods.get(period).and_then(measure));
        interval(&values.collect::<Vec<_>>())
    }

    /// The revenue found up to each period, the mean over seeds.
    pub(super) fn cumulative(&self) -> Vec<f64> {
        let mut sum = 0.0;
        let periods = self.walks.first().map_or(0, |(_, periods)| periods.len());
        let mean = |period: usize| {
            let found = self.walks.iter().map(|(_, periods)| periods[period].revenue_found);
            found.sum::<f64>() / self.walks.len() as f64
        };
        (0..periods)
            .map(|period| {
                sum += mean(period);
                sum
            })
            .collect()
    }
}

/// What a backtest found.
pub(super) struct Summary {
    pub(super) strategies: Vec<StrategySummary>,
    pub(super) drift: Vec<FeatureDrift>,
    /// Rows and known outcomes of the warm-up.
    pub(super) warm_up: (u64, u64),
}

impl Summary {
    /// Sorts the walks, which come in the order of [`Parameters`], to their strategies.
    pub(super) fn of(parameters: &Parameters, walks: &[WalkReport]) -> Result<Self> {
        let seeds = parameters.seeds as usize;
        if walks.len() != seeds * parameters.strategies.len() {
            return Err(Error::internal("a backtest has other walks than were asked for"));
        }
        let summaries = parameters.strategies.iter().zip(walks.chunks(seeds)).map(|(strategy, walks)| {
            let mut calibration = Calibration::default();
            walks.iter().for_each(|walk| calibration.merge(&walk.calibration));
            let all: Vec<PeriodFigures> =
                walks.iter().flat_map(|walk| walk.periods.iter().cloned()).collect();
            let numbered = (0..).map(|at| parameters.seed.wrapping_add(at));
            StrategySummary {
                strategy: *strategy,
                walks: numbered.zip(walks.iter().map(|walk| walk.periods.clone())).collect(),
                total: PeriodFigures::total(&all),
                calibration,
            }
        });
        Ok(Self {
            strategies: summaries.collect(),
            drift: walks.iter().flat_map(|walk| walk.drift.iter().cloned()).collect(),
            warm_up: walks.first().map_or((0, 0), |walk| walk.warm_up),
        })
    }

    /// The periods of the first walk, which are those of all.
    pub(super) fn periods(&self) -> &[PeriodFigures] {
        let walk = self.strategies.first().and_then(|strategy| strategy.walks.first());
        walk.map_or(&[], |(_, periods)| periods)
    }

    /// The figures of each strategy, by the names of the documentation.
    pub(super) fn headline(&self) -> Value {
        let of = |strategy: &StrategySummary| {
            let mut figures: serde_json::Map<String, Value> = MEASURES
                .iter()
                .filter_map(|(name, measure)| {
                    Some(((*name).to_owned(), serde_json::to_value(strategy.whole(*measure)?).ok()?))
                })
                .collect();
            figures.insert("inspected".into(), json!(strategy.total.inspected));
            figures.insert("unknown".into(), json!(strategy.total.unknown));
            (strategy.strategy.name.to_owned(), Value::Object(figures))
        };
        Value::Object(self.strategies.iter().map(of).collect())
    }

    /// Every figure: `periods`, `strategies`, `curves`, `drift` and `calibration`.
    pub(super) fn tables(&self) -> Result<Vec<(&'static str, RecordBatch)>> {
        Ok(vec![
            ("periods", self.period_table()?),
            ("strategies", self.strategy_table()?),
            ("curves", self.curve_table()?),
            ("drift", self.drift_table()?),
            ("calibration", self.calibration_table()?),
        ])
    }

    fn period_table(&self) -> Result<RecordBatch> {
        let mut rows: Vec<(&str, u64, f64, &PeriodFigures)> = Vec::new();
        for strategy in &self.strategies {
            for (seed, periods) in &strategy.walks {
                let mut sum = 0.0;
                for period in periods {
                    sum += period.revenue_found;
                    rows.push((strategy.strategy.name, *seed, sum, period));
                }
            }
        }
        let count = |of: fn(&PeriodFigures) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| of(row.3))))
        };
        let number = |of: Measure| -> ArrayRef {
            Arc::new(rows.iter().map(|row| of(row.3)).collect::<Float64Array>())
        };
        let day = |of: fn(&PeriodFigures) -> i32| -> ArrayRef {
            Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| of(row.3))))
        };
        let mut columns = vec![
            ("strategy", texts(rows.iter().map(|row| row.0))),
            ("seed", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.1))) as ArrayRef),
            ("period", count(|figures| figures.period as u64)),
            ("first_day", day(|figures| figures.first_day)),
            ("last_day", day(|figures| figures.last_day)),
            ("items", count(|figures| figures.items)),
            ("known", count(|figures| figures.known)),
            ("illicit", count(|figures| figures.illicit)),
            ("inspected", count(|figures| figures.inspected)),
            ("unknown", count(|figures| figures.unknown)),
            ("found", count(|figures| figures.found)),
            ("found_exploring", count(|figures| figures.found_exploring)),
            ("exploration", number(|figures| Some(figures.exploration))),
            ("revenue", number(|figures| Some(figures.revenue))),
            ("revenue_found", number(|figures| Some(figures.revenue_found))),
            ("revenue_best", number(|figures| Some(figures.revenue_best))),
            ("cumulative_revenue", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2)))),
        ];
        columns.extend(MEASURES.iter().map(|(name, measure)| (*name, number(*measure))));
        batch(columns)
    }

    fn strategy_table(&self) -> Result<RecordBatch> {
        let whole = |strategy: &StrategySummary, measure: Measure| strategy.whole(measure);
        self.interval_table(&mut |rows| {
            for strategy in &self.strategies {
                for (name, measure) in MEASURES {
                    rows.push((strategy.strategy.name, None, name, whole(strategy, measure)));
                }
            }
        })
    }

    fn curve_table(&self) -> Result<RecordBatch> {
        self.interval_table(&mut |rows| {
            for strategy in &self.strategies {
                for (period, figures) in self.periods().iter().enumerate() {
                    for (name, measure) in MEASURES {
                        let interval = strategy.of_period(period, measure);
                        rows.push((strategy.strategy.name, Some(figures.first_day), name, interval));
                    }
                }
            }
        })
    }

    fn interval_table(&self, fill: &mut dyn FnMut(&mut Vec<IntervalRow>)) -> Result<RecordBatch> {
        let mut rows: Vec<IntervalRow> = Vec::new();
        fill(&mut rows);
        let number = |of: fn(Interval) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row.3.and_then(of)).collect::<Float64Array>())
        };
        let seeds = rows.iter().map(|row| row.3.map_or(0, |interval| interval.seeds));
        let mut columns = vec![("strategy", texts(rows.iter().map(|row| row.0)))];
        if rows.iter().any(|row| row.1.is_some()) {
            columns.push(("first_day", Arc::new(rows.iter().map(|row| row.1).collect::<Date32Array>())));
        }
        columns.extend([
            ("measure", texts(rows.iter().map(|row| row.2))),
            ("mean", number(|interval| Some(interval.mean))),
            ("low", number(|interval| interval.low)),
            ("high", number(|interval| interval.high)),
            ("seeds", Arc::new(UInt64Array::from_iter_values(seeds)) as ArrayRef),
        ]);
        batch(columns)
    }

    fn drift_table(&self) -> Result<RecordBatch> {
        let rows = &self.drift;
        let first_day = |period: usize| self.periods().get(period).map(|figures| figures.first_day);
        batch(vec![
            ("first_day", Arc::new(rows.iter().map(|row| first_day(row.period)).collect::<Date32Array>())),
            ("feature", texts(rows.iter().map(|row| row.feature.as_str()))),
            ("psi", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.psi)))),
            ("auc", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.auc)))),
        ])
    }

    fn calibration_table(&self) -> Result<RecordBatch> {
        let groups = self.strategies.iter().filter(|strategy| strategy.strategy.learns());
        let rows: Vec<(&str, usize, (u64, f64, u64))> = groups
            .flat_map(|one| {
                one.calibration.groups.iter().enumerate().map(|(at, group)| (one.strategy.name, at, *group))
            })
            .collect();
        let number = |of: &dyn Fn(usize, (u64, f64, u64)) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(|row| of(row.1, row.2)).collect::<Float64Array>())
        };
        batch(vec![
            ("strategy", texts(rows.iter().map(|row| row.0))),
            ("from", number(&|at, _| Some(at as f64 / 10.0))),
            ("to", number(&|at, _| Some((at + 1) as f64 / 10.0))),
            ("items", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.2.0)))),
            ("predicted", number(&|_, group| (group.0 > 0).then(|| group.1 / group.0 as f64))),
            ("observed", number(&|_, group| (group.0 > 0).then(|| group.2 as f64 / group.0 as f64))),
        ])
    }
}

type IntervalRow = (&'static str, Option<i32>, &'static str, Option<Interval>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_students() {
        // 1, 2, 3: mean 2, standard deviation 1, t with two degrees of freedom 4.303.
        let found = interval(&[1.0, 2.0, 3.0]).expect("values");
        assert_eq!((found.mean, found.seeds), (2.0, 3));
        let reach = 4.302_652_730 / 3.0_f64.sqrt();
        assert!((found.high.expect("seeds") - 2.0 - reach).abs() < 1e-9);
        assert!((found.low.expect("seeds") - 2.0 + reach).abs() < 1e-9);
        assert_eq!(interval(&[5.0]).expect("a value").low, None);
        assert_eq!(interval(&[]), None);
        let many = interval(&[0.0, 1.0].repeat(50)).expect("values");
        assert!((many.high.expect("seeds") - 0.5 - NORMAL * (25.0 / 99.0_f64).sqrt() / 10.0).abs() < 1e-9);
    }
}
