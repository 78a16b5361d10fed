//! Sessions: the client's, whose queries run on a cluster, and the runtime that every process shares.

use std::sync::Arc;

use ballista_core::extension::{SessionConfigExt, SessionStateExt};
use datafusion::{
    error::Result,
    execution::{
        SessionStateBuilder,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::{SessionConfig, SessionContext},
};
use tidewaiter_jobs::archive::stores::Stores;

use crate::codec::LogicalCodec;

/// A session whose queries run on the cluster of the scheduler at `url` (`http://host:port`).
///
/// # Errors
/// Those of the engine's own assembly; whether a scheduler answers shows with the first query.
pub fn remote(url: &str) -> Result<SessionContext> {
    let config = SessionConfig::new_with_ballista()
        .with_ballista_logical_extension_codec(Arc::new(LogicalCodec::default()));
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime(RuntimeEnvBuilder::new())?)
        .build()
        .upgrade_for_ballista(url.to_owned())?;
    Ok(SessionContext::new_with_state(state))
}

/// A session whose queries run in this process.
///
/// # Errors
/// Those of the engine's own assembly.
pub fn local() -> Result<SessionContext> {
    Ok(SessionContext::new_with_config_rt(SessionConfig::new(), runtime(RuntimeEnvBuilder::new())?))
}

/// A runtime that reads any archive's store.
///
/// # Errors
/// When the folder for spills cannot be made.
pub fn runtime(builder: RuntimeEnvBuilder) -> Result<Arc<RuntimeEnv>> {
    builder.with_object_store_registry(Arc::new(Stores)).build_arc()
}
