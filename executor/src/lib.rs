//! An executor: a Ballista executor that declares what device it has.
//!
//! It holds no durable state: losing it loses no committed work. Its slots are its virtual cores; its
//! device class is the first part of its id, which is all that Ballista lets an executor say of itself.
//! [`session`] makes the sessions of clients. Tasks are pulled, so that only the executor opens connections
//! to the scheduler and not the other way.

pub mod codec;
pub mod session;

use std::{path::PathBuf, sync::Arc};

use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use tidewaiter_job::{Catalogue, engine::runtime};

/// What an executor is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plan nodes that its tasks may hold.
    pub catalogue: Catalogue,
    /// Unique name; with the device class it makes the executor's id.
    pub name: String,
    /// `cpu` or `gpu`: the class that placement goes by.
    pub device: String,
    /// Tasks that may run at once.
    pub slots: usize,
    /// Address that other executors and clients fetch results from.
    pub host: String,
    /// Port of the Flight service.
    pub port: u16,
    /// Host of the scheduler.
    pub scheduler_host: String,
    /// Port of the scheduler.
    pub scheduler_port: u16,
    /// Folder for shuffle data and spills; a temporary one when absent.
    pub work_folder: Option<PathBuf>,
    /// Memory for the query engine's operators, in bytes; absent: seven tenths of the machine's.
    pub memory: Option<u64>,
}

/// What can go wrong with an executor as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options contradict themselves or the machine.
    #[error("start the executor: {0}")]
    Options(String),
    /// The executor's own port cannot be listened on.
    #[error("listen on {host}:{port}; give another port (--port), or an address of this machine (--host)")]
    Listen {
        /// The executor's address.
        host: String,
        /// The executor's port.
        port: u16,
        /// The machine's own account.
        #[source]
        source: std::io::Error,
    },
    /// The executor could not start, or lost its scheduler for good.
    #[error("run the executor for the scheduler at {host}:{port}; is one running there?")]
    Run {
        /// Host of the scheduler.
        host: String,
        /// Port of the scheduler.
        port: u16,
        /// Ballista's own account.
        #[source]
        source: Box<ballista_core::error::BallistaError>,
    },
}

/// Seconds from one sign of life to the next; the scheduler gives up after several.
const HEARTBEAT_SECONDS: u64 = 5;

/// Seconds to wait for a scheduler that is still starting.
const SCHEDULER_WAIT_SECONDS: u16 = 10;

/// Runs an executor until the process is told to stop.
///
/// # Errors
/// [`Error::Options`] and [`Error::Listen`] at once; [`Error::Run`] when no scheduler answers.
pub async fn run(options: Options) -> Result<(), Error> {
    if options.slots == 0 {
        return Err(Error::Options("an executor needs at least one slot".into()));
    }
    if !matches!(options.device.as_str(), "cpu" | "gpu") {
        return Err(Error::Options(format!("the device is {:?}; use cpu or gpu", options.device)));
    }
    if let Some(folder) = &options.work_folder {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::Options(format!("create {}: {error}", folder.display())))?;
    }
    // Ballista's own error says neither where it would listen nor why it cannot.
    if let Err(source) = tokio::net::TcpListener::bind((options.host.as_str(), options.port)).await {
        return Err(Error::Listen { host: options.host, port: options.port, source });
    }
    let spills = options.work_folder.clone();
    let produce = move |_: &datafusion::prelude::SessionConfig| {
        let builder = RuntimeEnvBuilder::new();
        Ok(runtime(match &spills {
            Some(folder) => builder.with_temp_file_path(folder),
            None => builder,
        })?)
    };
    let config = ExecutorProcessConfig {
        executor_id: format!("{}-{}", options.device, options.name),
        bind_host: options.host.clone(),
        external_host: Some(options.host),
        port: options.port,
        scheduler_host: options.scheduler_host.clone(),
        scheduler_port: options.scheduler_port,
        scheduler_connect_timeout_seconds: SCHEDULER_WAIT_SECONDS,
        vcores: options.slots,
        executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: options.work_folder.map(|folder| folder.display().to_string()),
        memory_pool_size: options.memory,
        override_logical_codec: Some(Arc::new(codec::LogicalCodec::new(options.catalogue))),
        override_physical_codec: Some(Arc::new(codec::PhysicalCodec::new(options.catalogue))),
        override_runtime_producer: Some(Arc::new(produce)),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config)).await.map_err(|source| Error::Run {
        host: options.scheduler_host,
        port: options.scheduler_port,
        source: Box::new(source),
    })
}
