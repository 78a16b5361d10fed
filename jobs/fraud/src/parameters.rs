//! The parameters of a retrain and of an apply. (Those of a backtest are in [`crate::backtest`].)
//!
//! A parameter is one field of one struct, read by `serde` from a pipeline's file and by `clap` from the command
//! line; the comments of the fields are the command's help. What is set here flows one way: features, fit,
//! evaluation, report.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Period, Periods, Result};
use tidewaiter_learning::{gbdt, logistic};
use tidewaiter_registry::{comparison::Against, scope::Scope};
use tidewaiter_report::words::Language;

use crate::{date, features, model::Learner, scored::RankBy};

/// The parameters of a retrain.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct RetrainParameters {
    /// Reporting country whose rows are used, ISO 3166-1 alpha-2; several, as KR,TW, make one regional model for all of
    /// them. The countries are part of the model's name, and models of different countries are never compared.
    #[arg(long)]
    pub country: Scope,
    /// Training months, such as 2020-01..2020-12.
    #[arg(long)]
    pub train: Period,
    /// Validation months, which stop the fit; default: the last tenth of the training months.
    #[serde(default)]
    #[arg(long)]
    pub valid: Option<Period>,
    /// Test months, used once, to evaluate the model.
    #[arg(long)]
    pub test: Period,
    /// How features are computed.
    #[serde(default)]
    #[command(flatten)]
    pub features: features::Parameters,
    /// What is fitted; default: gbdt.
    #[serde(default)]
    #[arg(long = "model", value_name = "MODEL", value_enum, required = false)]
    pub learner: Learner,
    /// How the trees are grown.
    #[serde(default)]
    #[command(flatten)]
    pub trees: gbdt::Parameters,
    /// Boosters whose log odds are averaged, 1 to 100, the seed of each one higher than the one's before; default: 1.
    /// They differ only where chance enters: by a feature fraction or a row fraction below 1.
    #[serde(default = "one")]
    #[arg(long, required = false)]
    pub members: u32,
    /// How logistic regression is fitted.
    #[serde(default)]
    #[arg(skip)]
    pub logistic: logistic::Parameters,
    /// How DATE is trained.
    #[serde(default)]
    #[command(flatten)]
    pub date: date::Parameters,
    /// Shards of the training data, the most workers that a fit can use; default: 8.
    #[serde(default = "eight")]
    #[arg(long, required = false)]
    pub shards: u32,
    /// What must be beaten beyond chance for a promotion; default: champion, in average precision on the test months,
    /// which must lie after the months that it learned from.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub compare: Against,
    /// Language of the report; default: en.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub language: Language,
}

impl RetrainParameters {
    /// Checks every parameter against its range, and gives the training, validation and test months.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for months that overlap and for a parameter out of its range.
    pub(crate) fn check(&self) -> Result<Periods> {
        let periods = Periods::new(self.train, self.valid, self.test)?;
        if self.shards == 0 {
            return Err(Error::input("a fit needs at least one shard"));
        }
        if !(1..=100).contains(&self.members) {
            return Err(Error::input(format!("members is {}; give 1 to 100", self.members)));
        }
        self.trees.validate()?;
        self.logistic.validate()?;
        self.date.validate()?;
        Ok(periods)
    }

    /// The seed of the fit and of the comparison.
    pub(crate) fn seed(&self) -> u64 {
        match self.learner {
            Learner::Gbdt | Learner::Logistic => self.trees.seed,
            Learner::Date => self.date.seed,
        }
    }
}

/// The parameters of an apply.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct ApplyParameters {
    /// Reporting country whose items are scored, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub country: String,
    /// Countries of the model, as KR,TW for a regional one; default: the country's own model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub scope: Option<Scope>,
    /// Months whose items are scored, such as 2021-04..2021-06.
    #[arg(long)]
    pub months: Period,
    /// Version of the model; default: the champion.
    #[serde(default)]
    #[arg(long)]
    pub version: Option<u64>,
    /// Percent of the items that can be inspected, above 0 and at most 100: those get reasons; default: 5.
    #[serde(default = "five")]
    #[arg(long, required = false)]
    pub capacity_percent: f64,
    /// What the items are ranked by; default: probability.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub rank_by: RankBy,
    /// Language of the report; default: en.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub language: Language,
}

impl ApplyParameters {
    /// Checks the capacity against its range, and gives the countries of the model.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the capacity is out of it, or the model is for other countries.
    pub(crate) fn check(&self) -> Result<Scope> {
        let scope = Scope::applied_to(&self.country, self.scope.as_ref())?;
        let capacity = self.capacity_percent;
        if capacity > 0.0 && capacity <= 100.0 {
            return Ok(scope);
        }
        Err(Error::input(format!(
            "the capacity is {capacity} percent; give a number above 0 and at most 100"
        )))
    }
}

fn one() -> u32 {
    1
}

fn eight() -> u32 {
    8
}

fn five() -> f64 {
    5.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_few_words() {
        let text = r#"{"country":"TW","train":"2020-01..2020-12","test":"2021-01","trees":{"seed":3}}"#;
        let read: RetrainParameters = serde_json::from_str(text).expect("reads");
        assert_eq!((read.shards, read.trees.seed, read.trees.trees), (8, 3, 300));
        assert_eq!((read.learner, read.compare), (Learner::Gbdt, Against::Champion));
    }

    #[test]
    fn a_model_of_other_countries_is_refused() {
        let apply = |scope: &str| {
            let text = format!(r#"{{"country":"TW","months":"2021-01","scope":"{scope}"}}"#);
            serde_json::from_str::<ApplyParameters>(&text).expect("reads").check()
        };
        assert_eq!(apply("TW,KR").expect("has it").model("fraud"), "fraud-KR-TW");
        let error = apply("KR").expect_err("refused");
        assert!(error.to_string().contains("the model of KR is not for TW"), "{error}");
    }
}
