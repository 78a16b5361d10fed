//! Sessions whose queries run on a cluster.

use std::{collections::HashMap, sync::Arc};

use ballista_core::{
    config::BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK,
    extension::{SessionConfigExt, SessionStateExt},
};
use datafusion::{
    error::Result,
    execution::{SessionStateBuilder, runtime_env::RuntimeEnvBuilder},
    prelude::{SessionConfig, SessionContext},
};
use tidewaiter_job::{Catalogue, engine::runtime};
use tidewaiter_proto::LARGEST_MESSAGE;

use crate::codec::{LogicalCodec, PhysicalCodec};

/// The metadata key of requests under which a scheduler's own driver shows its secret.
pub const SECRET: &str = "tidewaiter-driver";

/// Partitions of a task. An executor counts a task as one of its slots, and a slot has its share of the memory; by default
/// Ballista gives a task as many partitions as slots are free.
const PARTITIONS_PER_TASK: usize = 1;

/// A session whose queries run on the cluster of the scheduler at `url` (`http://host:port`), under a name by
/// which the scheduler knows them, and may hold the plan nodes of a catalogue. Without the scheduler's `secret` it takes
/// queries that read its archive's tables only.
///
/// # Errors
/// Those of the engine's own assembly; whether a scheduler answers shows with the first query.
pub fn remote(url: &str, name: &str, catalogue: Catalogue, secret: Option<&str>) -> Result<SessionContext> {
    let metadata = secret.map(|secret| (SECRET.to_owned(), secret.to_owned()));
    let config = SessionConfig::new_with_ballista()
        .with_ballista_job_name(name)
        .set_usize(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, PARTITIONS_PER_TASK)
        // A partition's files are its own, as in one process; a task has no other partition to share them with.
        .set_bool("datafusion.execution.enable_file_stream_work_stealing", false)
        .with_ballista_grpc_client_max_message_size(LARGEST_MESSAGE)
        .with_ballista_grpc_metadata(HashMap::from_iter(metadata))
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
