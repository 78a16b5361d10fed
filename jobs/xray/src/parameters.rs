//! The parameters of the crate's jobs, as commands and pipeline files give them.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Period, Periods, Result};
use tidewaiter_registry::{comparison::Against, scope::Scope};
use tidewaiter_report::words::Language;

use crate::fit;

/// The kind of model, which begins its name in the registry.
pub const MODEL: &str = "xray";

/// The parameters of a retrain.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct RetrainParameters {
    /// Reporting country whose images are used, ISO 3166-1 alpha-2; several, as KR,TW, make one regional model for all of
    /// them. The countries are part of the model's name, and models of different countries are never compared.
    #[arg(long)]
    pub country: Scope,
    /// Training months, such as 2020-01..2020-12.
    #[arg(long)]
    pub train: Period,
    /// Validation months, which choose the epoch and the thresholds; default: the last tenth of the training months.
    #[serde(default)]
    #[arg(long)]
    pub valid: Option<Period>,
    /// Test months, used once, to evaluate the model.
    #[arg(long)]
    pub test: Period,
    /// How the detector is trained.
    #[serde(default)]
    #[command(flatten)]
    pub detector: fit::parameters::Parameters,
    /// File of the form safetensors with the weights from which the network's first layers begin (names in docs/guide.md);
    /// default: random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub backbone: Option<String>,
    /// Pixels of a tile: an image with a longer side is cut into tiles that overlap by a quarter; 0: no image is cut;
    /// default: 1280.
    #[serde(default = "tile")]
    #[arg(long, required = false)]
    pub tile: u32,
    /// Shards of the training images, the most workers that a fit can use; default: 4.
    #[serde(default = "four")]
    #[arg(long, required = false)]
    pub shards: u32,
    /// What must be beaten beyond chance for a promotion; default: champion, in mAP@50 on the test months, which must lie
    /// after the months that it learned from.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub compare: Against,
    /// Language of the report; default: en.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub language: Language,
}

fn four() -> u32 {
    4
}

fn tile() -> u32 {
    1280
}

impl RetrainParameters {
    /// Checks every parameter against its range, and gives the periods.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for periods that overlap and for values that are out of range.
    pub(crate) fn validate(&self) -> Result<Periods> {
        let periods = Periods::new(self.train, self.valid, self.test)?;
        if self.shards == 0 {
            return Err(Error::input("a fit needs at least one shard"));
        }
        if self.tile > 0 && (self.tile as usize) < self.detector.side {
            return Err(Error::input(format!(
                "--tile {} is smaller than the network's input of --side {} pixels; give as many or more, or 0",
                self.tile, self.detector.side
            )));
        }
        self.detector.validate()?;
        Ok(periods)
    }
}

/// The parameters of an apply.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct ApplyParameters {
    /// Reporting country whose images are searched, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub country: String,
    /// Countries of the model, as KR,TW for a regional one; default: the country's own model.
    #[serde(default)]
    #[arg(long)]
    pub scope: Option<Scope>,
    /// Months whose images are searched, such as 2021-04..2021-06.
    #[arg(long)]
    pub months: Period,
    /// Version of the model; default: the champion.
    #[serde(default)]
    #[arg(long)]
    pub version: Option<u64>,
    /// Share of clean images that may alarm, percent: 1, 5 or 10; default: 5.
    #[serde(default = "five")]
    #[arg(long, required = false)]
    pub false_alarms: u32,
    /// Squares that are computed at a time; default: 8.
    #[serde(default = "eight")]
    #[arg(long, required = false)]
    pub batch: u32,
    /// Language of the report; default: en.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub language: Language,
}

fn five() -> u32 {
    5
}

fn eight() -> u32 {
    8
}

impl ApplyParameters {
    /// The scope of the model.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for what is no country, for a scope without the country, and for values out
    /// of range.
    pub(crate) fn scope(&self) -> Result<Scope> {
        if ![1, 5, 10].contains(&self.false_alarms) {
            return Err(Error::input(format!("--false-alarms {} is not 1, 5 or 10", self.false_alarms)));
        }
        if self.batch == 0 {
            return Err(Error::input("--batch is 0; give 1 or more"));
        }
        Scope::applied_to(&self.country, self.scope.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_its_default() {
        let text = r#"{"country":"TW","train":"2020-01..2020-12","test":"2021-01","detector":{"side":160}}"#;
        let read: RetrainParameters = serde_json::from_str(text).expect("reads");
        assert_eq!((read.shards, read.tile, read.detector.side, read.detector.epochs), (4, 1280, 160, 40));
        assert!(read.validate().is_ok());
        let small = RetrainParameters { tile: 100, ..read };
        assert!(small.validate().expect_err("refused").to_string().contains("--tile 100"));
        let text = r#"{"country":"TW","months":"2021-01"}"#;
        let read: ApplyParameters = serde_json::from_str(text).expect("reads");
        assert_eq!(read.scope().expect("a scope").model(MODEL), "xray-TW");
        assert!(ApplyParameters { false_alarms: 7, ..read.clone() }.scope().is_err());
        assert!(ApplyParameters { scope: Some("KR".parse().expect("a scope")), ..read }.scope().is_err());
    }
}
