//! The champion that a new model is compared with: whether the comparison is fair, and on which features it is scored.
//!
//! Start at [`standing`].

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Periods, Result, ResultExt};
use tidewaiter_job::Job;
use tidewaiter_registry::{
    Champion, Registry, Which,
    comparison::Against,
    promotion::{champion_before, looks},
};

use crate::{features, model, parameters::RetrainParameters};

/// What a retrain meets in the registry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The champion of the same countries before this job.
    pub(crate) champion: Option<Champion>,
    /// The champion, where the new model is compared with it.
    pub(crate) compared: Option<Compared>,
    /// How often the test months were looked at, this time included.
    pub(crate) looks: u64,
}

/// A champion that is scored on the test months.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Compared {
    /// Path of its bytes in the archive.
    pub(crate) model: String,
    /// How the features are computed that it was trained with.
    pub(crate) features: features::Parameters,
}

/// Reads the champion and checks that it did not learn from the test months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when it did; [`tidewaiter_core::ErrorKind::Corrupt`] when its bytes are damaged.
pub(crate) fn standing<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
) -> impl Future<Output = Result<Standing>> + use<'a> {
    let (registry, id, periods) = (Registry::new(job.archive), job.outcome.job.clone(), *periods);
    async move {
        let name = parameters.country.model(model::NAME);
        let looks = looks(&registry, &name, &id, &periods.test).await?;
        let champion = champion_before(&registry, &name, &id).await?;
        let compared = match (&champion, parameters.compare) {
            (Some(champion), Against::Champion) => {
                // Loading checks the champion's bytes before anything is promoted over it.
                let loaded = registry.load(&name, Which::Version(champion.version)).await?;
                let of = format!("{name}@{}", champion.version);
                let trained = trained(loaded.manifest.facts.config, &of)?;
                check_fairness(&trained.check()?, &periods, &of)?;
                let model = registry.model_path(&name, champion.version);
                Some(Compared { model, features: trained.features })
            }
            _ => None,
        };
        Ok(Standing { champion, compared, looks })
    }
}

/// How a model was trained.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Corrupt`] when this version does not know its parameters.
pub(crate) fn trained(config: serde_json::Value, model: &str) -> Result<RetrainParameters> {
    serde_json::from_value(config).context(|| {
        format!("read how {model} was trained; retrain with --compare nothing and promote the new version")
    })
}

/// Checks that a champion learned from months before the test months only.
fn check_fairness(champion: &Periods, new: &Periods, name: &str) -> Result<()> {
    let learned = [champion.train, champion.valid];
    match learned.iter().find(|period| !period.is_before(&new.test)) {
        None => Ok(()),
        Some(period) => Err(Error::input(format!(
            "the champion {name} learned from {period}, which is not before the test months {}: its figures there would \
             not be those of new months; choose later test months, or --compare nothing and promote by hand",
            new.test
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_champion_that_learned_from_the_test_months_is_no_comparison() {
        let periods = |train: &str, valid: &str, test: &str| {
            let period = |text: &str| text.parse().expect("a period");
            Periods::new(period(train), Some(period(valid)), period(test)).expect("periods")
        };
        let new = periods("2020-01..2020-08", "2020-09", "2020-10..2020-11");
        let before = periods("2019-01..2019-12", "2020-01..2020-09", "2020-12");
        check_fairness(&before, &new, "fraud-KR@1").expect("fair");
        for champion in
            [periods("2020-01..2020-09", "2020-10", "2020-12"), periods("2020-12", "2021-01", "2021-02")]
        {
            let error = check_fairness(&champion, &new, "fraud-KR@1").expect_err("refused");
            assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
            assert!(error.to_string().contains("--compare nothing"), "{error}");
        }
    }
}
