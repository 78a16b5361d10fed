//! The results of strategies over their runs: means over seeds with intervals, and every figure as a table.
//!
//! An interval is Student's, of 95 %: the mean plus and minus `t s / sqrt(n)` over the `n` seeds of a strategy. It
//! measures how far chance in selections and fits moves a figure on these months, and not how other months would
//! differ. With one seed there is none. Start at [`Summary::of`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, UInt64Array};
use serde_json::{Value, json};
use tidewaiter_core::{
    Error, Result,
    statistics::{Interval, mean_interval},
};
use tidewaiter_report::data::{batch, texts};

use super::{
    drift::FeatureDrift,
    figures::{Calibration, PeriodFigures},
    parameters::Parameters,
    run::RunReport,
    strategy::Strategy,
};

/// Reads a figure of a period, which may be absent.
type Figure = fn(&PeriodFigures) -> Option<f64>;

/// The figures by which strategies are compared, with their names.
pub(super) const FIGURES: [(&str, Figure); 6] = [
    ("precision", |figures| figures.precision),
    ("recall", |figures| figures.recall),
    ("f1", |figures| figures.f1),
    ("revenue_recall", |figures| figures.revenue_recall),
    ("norm_precision", |figures| figures.norm_precision),
    ("norm_revenue", |figures| figures.norm_revenue),
];

/// One strategy over all its seeds.
pub(super) struct StrategySummary {
    pub(super) strategy: Strategy,
    /// The seeds, each with the periods of its run.
    pub(super) runs: Vec<(u64, Vec<PeriodFigures>)>,
    /// The figures of all runs together.
    pub(super) total: PeriodFigures,
    pub(super) calibration: Calibration,
}

impl StrategySummary {
    /// The mean over seeds of a figure of all periods together.
    pub(super) fn overall(&self, figure: Figure) -> Option<Interval> {
        let values = self.runs.iter().filter_map(|(_, periods)| figure(&PeriodFigures::total(periods)));
        mean_interval(&values.collect::<Vec<_>>())
    }

    /// The mean over seeds of a figure of one period.
    pub(super) fn of_period(&self, period: usize, figure: Figure) -> Option<Interval> {
        let values = self.runs.iter().filter_map(|(_, periods)| periods.get(period).and_then(figure));
        mean_interval(&values.collect::<Vec<_>>())
    }

    /// The revenue found up to the end of each period, national currency: the mean over seeds.
    pub(super) fn cumulative(&self) -> Vec<f64> {
        let mut sum = 0.0;
        let periods = self.runs.first().map_or(0, |(_, periods)| periods.len());
        let mean = |period: usize| {
            let found = self.runs.iter().map(|(_, periods)| periods[period].revenue_found);
            found.sum::<f64>() / self.runs.len() as f64
        };
        (0..periods)
            .map(|period| {
                sum += mean(period);
                sum
            })
            .collect()
    }
}

/// The results of a backtest.
pub(super) struct Summary {
    pub(super) strategies: Vec<StrategySummary>,
    pub(super) drift: Vec<FeatureDrift>,
    /// Rows of the warm-up, and outcomes known among them.
    pub(super) warm_up: (u64, u64),
}

impl Summary {
    /// Summarises the runs, which are in the order of [`Parameters::runs`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when these are not all runs.
    pub(super) fn of(parameters: &Parameters, runs: &[RunReport]) -> Result<Self> {
        let seeds = parameters.seeds as usize;
        if runs.len() != seeds * parameters.strategies.len() {
            return Err(Error::internal("a backtest has other walks than were asked for"));
        }
        let summaries = parameters.strategies.iter().zip(runs.chunks(seeds)).map(|(strategy, runs)| {
            let mut calibration = Calibration::default();
            runs.iter().for_each(|run| calibration.merge(&run.calibration));
            let all: Vec<PeriodFigures> = runs.iter().flat_map(|run| run.periods.iter().cloned()).collect();
            let numbered = (0..).map(|at| parameters.seed.wrapping_add(at));
            StrategySummary {
                strategy: *strategy,
                runs: numbered.zip(runs.iter().map(|run| run.periods.clone())).collect(),
                total: PeriodFigures::total(&all),
                calibration,
            }
        });
        Ok(Self {
            strategies: summaries.collect(),
            drift: runs.iter().flat_map(|run| run.drift.iter().cloned()).collect(),
            warm_up: runs.first().map_or((0, 0), |run| run.warm_up),
        })
    }

    /// The periods of the first run; those of the others have the same days and items.
    pub(super) fn periods(&self) -> &[PeriodFigures] {
        let run = self.strategies.first().and_then(|strategy| strategy.runs.first());
        run.map_or(&[], |(_, periods)| periods)
    }

    /// The figures of each strategy, for the job's metrics.
    pub(super) fn headline(&self) -> Value {
        let of = |strategy: &StrategySummary| {
            let mut figures: serde_json::Map<String, Value> = FIGURES
                .iter()
                .filter_map(|(name, figure)| {
                    Some(((*name).to_owned(), serde_json::to_value(strategy.overall(*figure)?).ok()?))
                })
                .collect();
            figures.insert("inspected".into(), json!(strategy.total.inspected));
            figures.insert("unknown".into(), json!(strategy.total.unknown));
            (strategy.strategy.name.to_owned(), Value::Object(figures))
        };
        Value::Object(self.strategies.iter().map(of).collect())
    }

    /// All figures, as the tables `periods`, `strategies`, `curves`, `drift` and `calibration`.
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
            for (seed, periods) in &strategy.runs {
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
        let number =
            |of: Figure| -> ArrayRef { Arc::new(rows.iter().map(|row| of(row.3)).collect::<Float64Array>()) };
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
        columns.extend(FIGURES.iter().map(|(name, figure)| (*name, number(*figure))));
        batch(columns)
    }

    fn strategy_table(&self) -> Result<RecordBatch> {
        self.interval_table(&mut |rows| {
            for strategy in &self.strategies {
                for (name, figure) in FIGURES {
                    rows.push((strategy.strategy.name, None, name, strategy.overall(figure)));
                }
            }
        })
    }

    fn curve_table(&self) -> Result<RecordBatch> {
        self.interval_table(&mut |rows| {
            for strategy in &self.strategies {
                for (period, figures) in self.periods().iter().enumerate() {
                    for (name, figure) in FIGURES {
                        let interval = strategy.of_period(period, figure);
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
        let groups = self.strategies.iter().filter(|strategy| strategy.strategy.needs_model());
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

/// Strategy, first day of the period (absent: all periods), name of the figure, and its mean.
type IntervalRow = (&'static str, Option<i32>, &'static str, Option<Interval>);
