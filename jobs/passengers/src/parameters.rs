//! The parameters of a retrain and of an apply; the comments of the fields are the command's help.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Period, Periods, Result};
use tidewaiter_learning::gbdt;
use tidewaiter_registry::{comparison::Against, scope::Scope};

use crate::{model::Learner, sage};

/// The kind of model, the first part of its name in the registry.
pub const MODEL: &str = "passengers";

/// The parameters of a retrain.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct RetrainParameters {
    /// Reporting country whose travellers are used, ISO 3166-1 alpha-2; several, as KR,TW, make one regional model.
    #[arg(long)]
    pub country: Scope,
    /// Training months, such as 2023-01..2023-10.
    #[arg(long)]
    pub train: Period,
    /// Validation months, which stop the fit; default: the last tenth of the training months.
    #[serde(default)]
    #[arg(long)]
    pub valid: Option<Period>,
    /// Test months, used once, to evaluate the model.
    #[arg(long)]
    pub test: Period,
    /// What is fitted; default: trees.
    #[serde(default)]
    #[arg(long = "model", value_name = "MODEL", value_enum, required = false)]
    pub learner: Learner,
    /// How the trees are grown; the seed is that of the graph network, too.
    #[serde(default)]
    #[command(flatten)]
    pub trees: gbdt::Parameters,
    /// How the graph network is fitted.
    #[serde(default)]
    #[arg(skip)]
    pub graph: sage::Settings,
    /// Shards of the training data, the most workers that a fit can use; default: 8.
    #[serde(default = "eight")]
    #[arg(long, required = false)]
    pub shards: u32,
    /// What must be beaten beyond chance for a promotion; default: champion, in average precision on the test months,
    /// which must lie after the months that it learned from.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub compare: Against,
}

fn eight() -> u32 {
    8
}

impl RetrainParameters {
    /// Checks every parameter against its range, and gives the periods.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for periods that overlap and for values that are out of range.
    pub(crate) fn check(&self) -> Result<Periods> {
        let periods = Periods::new(self.train, self.valid, self.test)?;
        if self.shards == 0 {
            return Err(Error::input("a fit needs at least one shard"));
        }
        self.trees.validate()?;
        self.graph.validate()?;
        Ok(periods)
    }

    /// The settings of the graph network, with the seed of everything.
    pub(crate) fn network(&self) -> sage::Settings {
        sage::Settings { seed: self.trees.seed, ..self.graph }
    }
}

/// The parameters of an apply.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct ApplyParameters {
    /// Reporting country whose travellers are scored, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub country: String,
    /// Countries of the model, as KR,TW for a regional one; default: the country's own model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub scope: Option<Scope>,
    /// Months whose travellers are scored, such as 2024-04..2024-06.
    #[arg(long)]
    pub months: Period,
    /// Version of the model; default: the champion.
    #[serde(default)]
    #[arg(long)]
    pub version: Option<u64>,
    /// Percent of the travellers that can be inspected, above 0 and at most 100; default: 1.
    #[serde(default = "one")]
    #[arg(long, required = false)]
    pub capacity_percent: f64,
    /// A TOML file of rules, such as `tidewaiter passengers profiles` writes or an officer does: whoever fulfils one is
    /// selected too.
    #[serde(default)]
    #[arg(long)]
    pub profiles: Option<String>,
    /// A CSV file of a watch list with a heading; of its columns firstname, middlename, lastname, dob and documentnumber
    /// are read.
    #[serde(default)]
    #[arg(long)]
    pub watch_list: Option<String>,
    /// Score from which a name of the watch list is a match, 0.5 to 1; default: 0.9.
    #[serde(default = "nine_tenths")]
    #[arg(long, required = false)]
    pub watch_score: f64,
}

fn one() -> f64 {
    1.0
}

fn nine_tenths() -> f64 {
    0.9
}

impl ApplyParameters {
    /// Checks the values, and gives the countries of the model.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for values out of range, and where the model is for other countries.
    pub(crate) fn check(&self) -> Result<Scope> {
        let scope = Scope::applied_to(&self.country, self.scope.as_ref())?;
        let capacity = self.capacity_percent;
        if !(capacity > 0.0 && capacity <= 100.0) {
            return Err(Error::input(format!(
                "the capacity is {capacity} percent; give a number above 0 and at most 100"
            )));
        }
        if !(0.5..=1.0).contains(&self.watch_score) {
            return Err(Error::input(format!("--watch-score {} is not from 0.5 to 1", self.watch_score)));
        }
        Ok(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_its_default() {
        let text = r#"{"country":"TW","train":"2023-01..2023-10","test":"2023-11"}"#;
        let read: RetrainParameters = serde_json::from_str(text).expect("reads");
        assert_eq!((read.shards, read.compare, read.trees.trees), (8, Against::Champion, 300));
        assert_eq!((read.learner, read.graph.epochs), (Learner::Trees, 8));
        let graph = RetrainParameters { learner: Learner::Graph, ..read.clone() };
        assert!(serde_json::to_string(&graph).expect("writes").contains(r#""learner":"graph""#));
        let wrong = sage::Settings { rate: 0.0, ..graph.graph };
        assert!(RetrainParameters { graph: wrong, ..graph }.check().is_err());
        assert_eq!(read.check().expect("fits").valid.to_string(), "2023-10..2023-10");
        let text = r#"{"country":"TW","months":"2023-12"}"#;
        let read: ApplyParameters = serde_json::from_str(text).expect("reads");
        assert_eq!((read.capacity_percent, read.watch_score), (1.0, 0.9));
        assert_eq!(read.check().expect("fits").model(MODEL), "passengers-TW");
        assert!(ApplyParameters { capacity_percent: 0.0, ..read.clone() }.check().is_err());
        assert!(ApplyParameters { watch_score: 0.2, ..read }.check().is_err());
    }
}
