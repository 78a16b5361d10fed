//! The parameters of a backtest, their ranges, and the runs that they ask for.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Period, Result};
use tidewaiter_learning::gbdt;
use tidewaiter_report::{format::period, words::Language};

use super::{run::RunParameters, strategy::Strategy};
use crate::{date, features};

/// What a backtest computes.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Reporting country, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub country: String,
    /// First month of the backtest, such as 2021-01; all before it in the archive is known history.
    #[arg(long)]
    pub from: Period,
    /// Last month of the backtest.
    #[arg(long)]
    pub to: Period,
    /// A strategy, such as random, risk-profile, gbdt, gbdt+random or date; several may be given.
    #[arg(long = "strategy", value_name = "STRATEGY", required = true)]
    pub strategies: Vec<Strategy>,
    /// Files (Parquet) of the true outcomes, such as the generator's: `declaration_id`, `item_number`, `illicit`,
    /// `additional_revenue`; none: the archive's own outcomes are the truth.
    #[serde(default)]
    #[arg(long, num_args = 1..)]
    pub truth: Vec<String>,
    /// Repetitions of each strategy, 1 or more, each with a seed of its own; default: 3.
    #[serde(default = "three")]
    #[arg(long, required = false)]
    pub seeds: u32,
    /// First seed; default: 0.
    #[serde(default)]
    #[arg(skip)]
    pub seed: u64,
    /// Days of a period, 1 or more; the last period may be shorter; default: 28.
    #[serde(default = "four_weeks")]
    #[arg(long, required = false)]
    pub period_days: u32,
    /// Percent of the items of a period that can be inspected, above 0 and at most 100; default: 5.
    #[serde(default = "five")]
    #[arg(long, required = false)]
    pub capacity_percent: f64,
    /// Items that each office can inspect on a day: the items of each day and office are ranked by themselves, as an
    /// office sees them. Absent: the items of a period are ranked together, and capacity-percent of them inspected.
    #[serde(default)]
    #[arg(long, conflicts_with = "capacity_percent")]
    pub daily_capacity: Option<u32>,
    /// Share of the inspections that hybrids spend on exploration, 0 to 1; default: 0.1.
    #[serde(default = "tenth")]
    #[arg(long, required = false)]
    pub exploration: f64,
    /// How features are computed; the label delay counts for the model's rows, too.
    #[serde(default)]
    #[command(flatten)]
    pub features: features::Parameters,
    /// How the trees are grown, each period anew.
    #[serde(default = "default_trees")]
    #[command(flatten)]
    pub trees: gbdt::Parameters,
    /// How DATE is trained, each period anew.
    #[serde(default)]
    #[command(flatten)]
    pub date: date::Parameters,
    /// Language of the report; default: en.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub language: Language,
    /// Most rows with an outcome that a model learns from, the newest ones; default: 500000.
    #[serde(default = "half_a_million")]
    #[arg(long, required = false)]
    pub training_rows: usize,
}

fn three() -> u32 {
    3
}

fn four_weeks() -> u32 {
    28
}

fn five() -> f64 {
    5.0
}

fn tenth() -> f64 {
    0.1
}

fn half_a_million() -> usize {
    500_000
}

/// The trees of a backtest: fewer and smaller than those of a retrain, because no validation months stop the
/// training, and each on a part of the features, so that models with different seeds differ.
fn default_trees() -> gbdt::Parameters {
    gbdt::Parameters { trees: 100, leaves: 15, feature_fraction: 0.7, ..gbdt::Parameters::default() }
}

impl Parameters {
    /// Checks every parameter; gives the first and the last day, as days since 1970-01-01.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] naming the first parameter that is out of range.
    pub(super) fn check(&self) -> Result<(i32, i32)> {
        let wrong = |text: String| Err(Error::input(text));
        if self.strategies.is_empty() {
            return wrong("a backtest needs at least one --strategy".to_owned());
        }
        if let Some(twice) =
            self.strategies.iter().enumerate().find(|(at, one)| self.strategies[..*at].contains(one))
        {
            return wrong(format!("the strategy {} is named twice", twice.1));
        }
        if !(self.capacity_percent > 0.0 && self.capacity_percent <= 100.0) {
            return wrong(format!(
                "the capacity is {} percent; give a number above 0 and at most 100",
                self.capacity_percent
            ));
        }
        if self.daily_capacity == Some(0) {
            return wrong("the capacity of a day is 0; give 1 or more".to_owned());
        }
        if !(0.0..=1.0).contains(&self.exploration) {
            return wrong(format!("the exploration is {}; give a share from 0 to 1", self.exploration));
        }
        for (what, value) in [("seeds", self.seeds), ("period_days", self.period_days)] {
            if value == 0 {
                return wrong(format!("{what} is 0; give 1 or more"));
            }
        }
        if self.training_rows < 100 {
            return wrong(format!("training_rows is {}; give 100 or more", self.training_rows));
        }
        self.trees.validate()?;
        self.date.validate()?;
        let days = (*self.from.days().start(), *self.to.days().end());
        if days.1 < days.0 {
            let [from, to] = [self.from, self.to].map(|months| period(&months.to_string()));
            return wrong(format!("the backtest ends with {to} before it begins with {from}"));
        }
        Ok(days)
    }

    /// All runs: the strategies in their order, each with its seeds. The first run also measures drift.
    pub(super) fn runs(&self, days: (i32, i32)) -> Vec<RunParameters> {
        let one = |strategy: Strategy, seed: u64, first: bool| RunParameters {
            strategy,
            seed,
            days,
            period_days: self.period_days,
            inspection_rate: self.capacity_percent / 100.0,
            daily_capacity: self.daily_capacity,
            exploration: self.exploration,
            features: self.features,
            trees: self.trees.clone(),
            date: self.date.clone(),
            training_rows: self.training_rows,
            drift: first,
        };
        let seeds = (0..self.seeds).map(|at| self.seed.wrapping_add(u64::from(at)));
        let pairs = self.strategies.iter().flat_map(|strategy| seeds.clone().map(|seed| (*strategy, seed)));
        pairs.enumerate().map(|(at, (strategy, seed))| one(strategy, seed, at == 0)).collect()
    }
}
