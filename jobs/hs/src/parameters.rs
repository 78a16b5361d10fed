//! The parameters of the crate's jobs, as commands and pipeline files give them.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Period, Periods, Result};
use tidewaiter_registry::{comparison::Against, scope::Scope};
use tidewaiter_report::words::Language;

use crate::{encoder, fit::classifiers};

/// The kind of the models, with which their names in the registry begin: `hs-KR`.
pub const MODEL: &str = "hs";

/// The parameters of a retrain.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct RetrainParameters {
    /// Reporting country whose rows are used, ISO 3166-1 alpha-2; several, as KR,TW, for one model of all of them.
    #[arg(long)]
    pub country: Scope,
    /// Training months, such as 2020-01..2020-12.
    #[arg(long)]
    pub train: Period,
    /// Validation months, on which the weights of the inputs are fitted; default: the last tenth of the training months.
    #[serde(default)]
    #[arg(long)]
    pub valid: Option<Period>,
    /// Test months, used once, to evaluate the model.
    #[arg(long)]
    pub test: Period,
    /// What the new model must beat to be promoted; default: champion.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub compare: Against,
    /// Let the unit of quantity and the value per unit count. Only for archives whose unit does not follow from the
    /// declared code: customs tariffs prescribe the supplementary unit by the code, so that a wrong code brings the unit
    /// that confirms it.
    #[serde(default)]
    #[arg(long)]
    pub unit_independent: bool,
    /// How the classifiers are fitted.
    #[serde(default)]
    #[command(flatten)]
    pub classifiers: classifiers::Parameters,
    /// Shards of the classifiers, the most workers that a fit can use; default: 8.
    #[serde(default = "eight")]
    #[arg(long, required = false)]
    pub shards: u32,
    /// Past declarations that the model keeps as precedents, at most; default: 200000.
    #[serde(default = "precedents")]
    #[arg(long, required = false)]
    pub precedents: u64,
    /// Probability of the best heading, 0 to 1, below which a description is called too vague; default: 0.5.
    #[serde(default = "half")]
    #[arg(long, required = false)]
    pub vague_below: f32,
    /// Nomenclature, the codes and their texts: CSV with `hscode` and `description`; default: every code of the training
    /// texts.
    #[serde(default)]
    #[arg(long)]
    pub nomenclature: Option<String>,
    /// Correlation table, which converts codes of other editions of the HS: CSV with `from_hs6` and `to_hs6`.
    #[serde(default)]
    #[arg(long, requires = "nomenclature")]
    pub correlation: Option<String>,
    /// Language of the report; default: en.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub language: Language,
    /// A text encoder whose head is one more input; absent: none.
    #[serde(default)]
    #[arg(skip)]
    pub encoder: Option<encoder::Parameters>,
}

fn eight() -> u32 {
    8
}

fn precedents() -> u64 {
    200_000
}

fn half() -> f32 {
    0.5
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
        self.classifiers.validate()?;
        self.encoder.as_ref().map_or(Ok(()), encoder::Parameters::validate)?;
        if !(0.0..=1.0).contains(&self.vague_below) {
            let text = format!("vague_below is {}; set it to a probability, 0 to 1", self.vague_below);
            return Err(Error::input(text));
        }
        Ok(periods)
    }
}

/// The parameters of an apply.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
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
    /// Leave out the search for similar past declarations: many times faster, a little less accurate.
    #[serde(default)]
    #[arg(long)]
    pub fast: bool,
    /// Language of the report; default: en.
    #[serde(default)]
    #[arg(long, value_enum, required = false)]
    pub language: Language,
}

impl ApplyParameters {
    /// The countries of the model.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the model is for other countries.
    pub(crate) fn check(&self) -> Result<Scope> {
        Scope::applied_to(&self.country, self.scope.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_its_default() {
        let text = r#"{"country":"TW","train":"2020-01..2020-12","test":"2021-01","classifiers":{"cost":2}}"#;
        let read: RetrainParameters = serde_json::from_str(text).expect("reads");
        assert_eq!((read.shards, read.precedents, read.vague_below), (8, 200_000, 0.5));
        assert_eq!((read.unit_independent, read.compare), (false, Against::Champion));
        assert_eq!((read.classifiers.cost, read.classifiers.passes), (2.0, 15));
        let periods = read.validate().expect("periods");
        assert_eq!(
            (periods.train.to_string(), periods.valid.to_string()),
            ("2020-01..2020-10".into(), "2020-11..2020-12".into())
        );
    }
}
