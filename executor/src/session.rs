//! Sessions whose queries run on a cluster.

use std::sync::Arc;

use ballista_core::extension::{SessionConfigExt, SessionStateExt};
use datafusion::{
    error::Result,
    execution::{SessionStateBuilder, runtime_env::RuntimeEnvBuilder},
    prelude::{SessionConfig, SessionContext},
};
use tidewaiter_job::{Catalogue, engine::runtime};

use crate::codec::{LogicalCodec, PhysicalCodec};

/// A session whose queries run on the cluster of the scheduler at `url` (`http://host:port`), under a name by
/// which the scheduler knows them, and may hold the plan nodes of a catalogue.
///
/// # Errors
/// Those of the engine's own assembly; whether a scheduler answers shows with the first query.
pub fn remote(url: &str, name: &str, catalogue: Catalogue) -> Result<SessionContext> {
    let config = SessionConfig::new_with_ballista()
        .with_ballista_job_name(name)
        .with_ballista_logical_extension_codec(Arc::new(LogicalCodec::new(catalogue)))
        .with_ballista_physical_extension_codec(Arc::new(PhysicalCodec::new(catalogue)));
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime(RuntimeEnvBuilder::new())?)
        .build()
        .upgrade_for_ballista(url.to_owned())?;
    Ok(SessionContext::new_with_state(state))
}
