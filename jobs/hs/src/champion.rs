//! The champion that a new model is compared with. Start at [`standing`].

use tidewaiter_core::{Periods, Result};
use tidewaiter_job::Job;
use tidewaiter_registry::{
    Registry,
    promotion::{self, Retrain},
};

use crate::parameters::{MODEL, RetrainParameters};

/// What a retrain meets in the registry, with the path of the bytes of the champion with which it is compared.
pub(crate) type Standing = promotion::Standing<String>;

/// The champion, and whether the comparison is fair: see [`promotion::standing`].
pub(crate) fn standing<'a>(
    job: &Job<'a>,
    parameters: &RetrainParameters,
    periods: &Periods,
) -> impl Future<Output = Result<Standing>> + use<'a> {
    let registry = Registry::new(job.archive);
    let retrain = Retrain {
        name: parameters.country.model(MODEL),
        job: job.outcome.job.clone(),
        against: parameters.compare,
        test: periods.test,
    };
    async move {
        promotion::standing(&registry, &retrain, |trained: RetrainParameters, model| {
            let learned = trained.validate()?;
            Ok(([learned.train, learned.valid], model))
        })
        .await
    }
}
