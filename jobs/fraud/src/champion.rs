//! The champion that a new model is compared with, and on which features it is scored.
//!
//! Start at [`standing`].

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Periods, Result};
use tidewaiter_job::Job;
use tidewaiter_registry::{
    Registry,
    promotion::{self, Retrain},
};

use crate::{features, model, parameters::RetrainParameters};

/// What a retrain meets in the registry.
pub(crate) type Standing = promotion::Standing<Compared>;

/// A champion that is scored on the test months.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Compared {
    /// Path of its bytes in the archive.
    pub(crate) model: String,
    /// How the features are computed that it was trained with.
    pub(crate) features: features::Parameters,
}

/// The champion, and whether the comparison is fair: see [`promotion::standing`].
pub(crate) fn standing<'a>(
    job: &Job<'a>,
    parameters: &RetrainParameters,
    periods: &Periods,
) -> impl Future<Output = Result<Standing>> + use<'a> {
    let registry = Registry::new(job.archive);
    let retrain = Retrain {
        name: parameters.country.model(model::NAME),
        job: job.outcome.job.clone(),
        against: parameters.compare,
        test: periods.test,
    };
    async move {
        promotion::standing(&registry, &retrain, |trained: RetrainParameters, model| {
            let learned = trained.check()?;
            Ok(([learned.train, learned.valid], Compared { model, features: trained.features }))
        })
        .await
    }
}
