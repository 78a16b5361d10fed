//! The results of strategies over their runs: means over seeds with intervals, and every figure as a table.
//!
//! The interval of a figure of all periods, and of the difference of two strategies, is that of drawing seeds and blocks
//! of periods again (module `intervals`). The interval of one period is Student's over the seeds, cut to 0 .. 1: it
//! measures how far chance in selections and fits moves the figure of that period; where all seeds give the same, there
//! is none. Start at [`Summary::of`].

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, UInt64Array};
use serde_json::{Value, json};
use tidewaiter_core::{
    Error, Result,
    statistics::{Interval, mean_interval},
};
use tidewaiter_report::data::{batch, text_column};

use super::{
    drift::FeatureDrift,
    figures::{Calibration, Figure, PeriodFigures},
    intervals::Draws,
    parameters::Parameters,
    run::RunReport,
    strategy::Strategy,
};

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
    /// What is drawn for intervals; the same for all strategies.
    draws: Arc<Draws>,
}

/// The difference of two strategies in a figure, on the same draws.
pub(super) struct Difference {
    pub(super) one: &'static str,
    pub(super) other: &'static str,
    pub(super) figure: &'static str,
    pub(super) difference: Interval,
}

impl StrategySummary {
    /// The mean over seeds of a figure of all periods together.
    pub(super) fn overall(&self, figure: Figure) -> Option<Interval> {
        self.draws.figure(&self.runs, figure)
    }

    /// The mean over seeds of a count of all runs together.
    pub(super) fn of_one_seed(&self, all: u64) -> f64 {
        all as f64 / self.runs.len().max(1) as f64
    }

    /// The mean over seeds of a figure of one period.
    pub(super) fn of_period(&self, period: usize, figure: Figure) -> Option<Interval> {
        let values = self.runs.iter().filter_map(|(_, periods)| periods.get(period).and_then(figure));
        let values: Vec<f64> = values.collect();
        let interval = mean_interval(&values)?;
        let moved = values.iter().any(|value| *value != values[0]);
        let end = |end: Option<f64>| end.filter(|_| moved).map(|end| end.clamp(0.0, 1.0));
        Some(Interval { low: end(interval.low), high: end(interval.high), ..interval })
    }

    /// The difference from another strategy in a figure of all periods together.
    pub(super) fn difference(&self, other: &Self, figure: Figure) -> Option<Interval> {
        self.draws.difference(&self.runs, &other.runs, figure)
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
            return Err(Error::internal("a backtest has other runs than were requested"));
        }
        let periods = runs.first().map_or(0, |run| run.periods.len());
        let draws = Arc::new(Draws::new(seeds, periods, parameters.seed));
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
                draws: Arc::clone(&draws),
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

    /// The differences of each strategy from each one after it, in every figure.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (at, one) in self.strategies.iter().enumerate() {
            for other in &self.strategies[at + 1..] {
                for (name, figure) in FIGURES {
                    let Some(difference) = one.difference(other, figure) else { continue };
                    let (one, other) = (one.strategy.name, other.strategy.name);
                    differences.push(Difference { one, other, figure: name, difference });
                }
            }
        }
        differences
    }

    /// The figures of each strategy, for the job's metrics: means over its seeds.
    pub(super) fn headline(&self) -> Value {
        let of = |strategy: &StrategySummary| {
            let mut figures: serde_json::Map<String, Value> = FIGURES
                .iter()
                .filter_map(|(name, figure)| {
                    Some(((*name).to_owned(), serde_json::to_value(strategy.overall(*figure)?).ok()?))
                })
                .collect();
            figures.insert("inspected".into(), json!(strategy.of_one_seed(strategy.total.inspected)));
            figures.insert("unknown".into(), json!(strategy.of_one_seed(strategy.total.unknown)));
            (strategy.strategy.name.to_owned(), Value::Object(figures))
        };
        Value::Object(self.strategies.iter().map(of).collect())
    }

    /// All figures, as the tables `periods`, `strategies`, `differences`, `curves`, `drift` and `calibration`.
    pub(super) fn tables(&self) -> Result<Vec<(&'static str, RecordBatch)>> {
        Ok(vec![
            ("periods", self.period_table()?),
            ("strategies", self.strategy_table()?),
            ("differences", self.difference_table()?),
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
            ("strategy", text_column(rows.iter().map(|row| row.0))),
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

    fn difference_table(&self) -> Result<RecordBatch> {
        let rows = self.differences();
        let number = |of: fn(&Interval) -> Option<f64>| -> ArrayRef {
            Arc::new(rows.iter().map(|row| of(&row.difference)).collect::<Float64Array>())
        };
        batch(vec![
            ("strategy", text_column(rows.iter().map(|row| row.one))),
            ("other", text_column(rows.iter().map(|row| row.other))),
            ("measure", text_column(rows.iter().map(|row| row.figure))),
            ("difference", number(|interval| Some(interval.mean))),
            ("low", number(|interval| interval.low)),
            ("high", number(|interval| interval.high)),
        ])
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
        let mut columns = vec![("strategy", text_column(rows.iter().map(|row| row.0)))];
        if rows.iter().any(|row| row.1.is_some()) {
            columns.push(("first_day", Arc::new(rows.iter().map(|row| row.1).collect::<Date32Array>())));
        }
        columns.extend([
            ("measure", text_column(rows.iter().map(|row| row.2))),
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
            ("feature", text_column(rows.iter().map(|row| row.feature.as_str()))),
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
            ("strategy", text_column(rows.iter().map(|row| row.0))),
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
