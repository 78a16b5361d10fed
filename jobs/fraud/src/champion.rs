//! The champion that a new model is compared with: whether the comparison is fair, and on which features it is scored.
//!
//! Start at [`standing`].

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Periods, Result, ResultExt};
use tidewaiter_job::Job;
use tidewaiter_registry::{
    Champion, Registry, Which,
    comparison::Against,
    promotion::{champion_before, check_fairness, looks},
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
                let learned = trained.check()?;
                check_fairness(&of, [learned.train, learned.valid], &periods.test)?;
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
