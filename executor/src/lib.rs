//! An executor: a Ballista executor that declares what device it has.
//!
//! It holds no durable state: losing it loses no committed work. Its slots are its virtual cores; its
//! device class is the first part of its id, which is all that Ballista lets an executor say of itself.
//! Tasks are pulled, so that only the executor opens connections to the scheduler and not the other way; what it
//! therefore does not learn from Ballista, that a query is over, it asks for itself ([`reports`]).
//! [`session`] makes the sessions of clients. Start at [`Executor`].

pub mod codec;
mod connections;
mod engine;
mod error;
pub mod failure;
mod folder;
mod load;
pub mod machine;
mod observed;
pub mod reports;
pub mod rows;
mod running;
pub mod session;
pub mod spawned;
mod stoppable;

use std::{
    fmt,
    net::{IpAddr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::{config::TaskSchedulingPolicy, extension::SessionConfigExt, utils::create_grpc_server};
use ballista_executor::{
    ArrowFlightServerProvider,
    executor_process::{ExecutorProcessConfig, start_executor_process},
    flight_service::BallistaFlightService,
};
use datafusion::{execution::runtime_env::RuntimeEnvBuilder, prelude::SessionConfig};
use futures::FutureExt as _;
use tidewaiter_core::devices::Devices;
use tidewaiter_job::{Catalogue, engine::runtime};
use tidewaiter_metrics::serve;
use tidewaiter_proto::LARGEST_MESSAGE;
use tonic::transport::{Endpoint, server::TcpIncoming};

use crate::{
    engine::Engine,
    folder::Folder,
    load::Load,
    observed::{MetricsPort, Observed},
    reports::{Refusal, Reporter},
    rows::Rows,
    running::Running,
};
pub use crate::{error::Error, observed::About};

/// What an executor is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plan nodes that its tasks may hold.
    pub catalogue: Catalogue,
    /// Unique name; with the device class it makes the executor's id. Absent: its port and its process's id.
    pub name: Option<String>,
    /// An id that no other process has, not even a later one of the same name.
    pub process: String,
    /// `cpu` or `gpu`: the class that placement goes by.
    pub device: String,
    /// Devices that its tasks share, each for one fit at a time; 0: tasks that need one have the first in common.
    pub gpus: usize,
    /// Tasks that may run at once.
    pub slots: usize,
    /// Address that other executors and clients fetch results from.
    pub host: String,
    /// Port of the Flight service; 0 takes a free one.
    pub port: u16,
    /// Host of the scheduler.
    pub scheduler_host: String,
    /// Port of the scheduler.
    pub scheduler_port: u16,
    /// Folder in which shuffle data and spills have a folder of their own; a temporary one when absent.
    pub work_folder: Option<PathBuf>,
    /// Memory for the query engine's operators, in bytes, of which each slot has its share; absent: seven tenths of the
    /// machine's, or of what its container may use.
    pub memory: Option<u64>,
    /// What it says of itself.
    pub about: About,
}

/// The share of the machine's memory, or of its container's, that an executor takes unless it is told: in tenths.
const MEMORY_TENTHS: u64 = 7;

/// Seconds from one sign of life to the next; the scheduler gives up after several.
const HEARTBEAT_SECONDS: u64 = 5;

/// Seconds to wait for a scheduler that has answered before.
const SCHEDULER_WAIT_SECONDS: u16 = 10;

/// An executor that has its port and serves nobody yet. It is displayed as what it serves once it has joined.
#[derive(Debug)]
pub struct Executor {
    options: Options,
    id: String,
    address: SocketAddr,
    listener: TcpListener,
    folder: Arc<Folder>,
    metrics: Option<MetricsPort>,
    /// Where the scheduler takes reports.
    endpoint: Endpoint,
}

impl Executor {
    /// An executor that listens on its port.
    ///
    /// # Errors
    /// [`Error::Options`] and [`Error::Listen`].
    pub fn bind(mut options: Options) -> Result<Self, Error> {
        let share = || machine::memory_limit().map(|bytes| bytes / 10 * MEMORY_TENTHS);
        options.memory = options.memory.or_else(share);
        if options.slots == 0 {
            return Err(Error::Options("an executor needs at least one slot".into()));
        }
        if !matches!(options.device.as_str(), "cpu" | "gpu") {
            return Err(Error::Options(format!("the device is {:?}; use cpu or gpu", options.device)));
        }
        if options.gpus > 0 && options.device != "gpu" {
            return Err(Error::Options("an executor with --gpus needs --device gpu".into()));
        }
        let folder = Arc::new(Folder::open(options.work_folder.as_deref())?);
        let url = format!("http://{}:{}", options.scheduler_host, options.scheduler_port);
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| Error::Options(format!("the scheduler {url:?} is no address: {error}")))?;
        let listen = || {
            let listener = TcpListener::bind((options.host.as_str(), options.port))?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let failed = |source| Error::Listen { host: options.host.clone(), port: options.port, source };
        let (address, listener) = listen().map_err(failed)?;
        let metrics = options.about.metrics.map(|metrics| {
            let failed = |source| Error::Metrics { address: metrics, source };
            MetricsPort::bind(metrics).map_err(failed)
        });
        let metrics = metrics.transpose()?;
        let name = options.name.clone();
        let name = name.unwrap_or_else(|| format!("{}-{}", address.port(), std::process::id()));
        let id = format!("{}-{name}", options.device);
        Ok(Self { options, id, address, listener, folder, metrics, endpoint })
    }

    /// Runs the executor until the process is told to stop.
    ///
    /// # Errors
    /// [`Error::Scheduler`] when no scheduler answers, [`Error::Name`] when another executor has the name, [`Error::Run`]
    /// when it cannot go on.
    pub async fn run(self) -> Result<(), Error> {
        let serves = self.to_string();
        let Self { options, id, address, listener, folder, metrics, endpoint } = self;
        let (running, rows, load) = (Running::default(), Rows::default(), Load::default());
        let observed = Observed {
            about: options.about.clone(),
            executor: id.clone(),
            slots: options.slots,
            gpus: if options.device == "gpu" { options.gpus.max(1) } else { 0 },
            memory: options.memory,
            work_folder: folder.path().to_owned(),
            load: load.clone(),
        };
        let metrics = match metrics {
            Some(port) => {
                let address = port.address;
                let listener = port.into_listener();
                let listener = listener.map_err(|source| Error::Metrics { address, source })?;
                serve(listener, Arc::new(observed.clone())).boxed()
            }
            None => std::future::pending().boxed(),
        };
        let reporter = Reporter {
            executor: id.clone(),
            process: options.process,
            address: format!("{}:{}", options.host, address.port()),
            memory_bytes: options.memory.unwrap_or(0),
            running: running.clone(),
            rows: rows.clone(),
            folder: Arc::clone(&folder),
            observed,
        };
        let (host, port) = (options.scheduler_host.clone(), options.scheduler_port);
        let refused = |refusal: Refusal| match refusal {
            Refusal::Name(message) => Error::Name(message),
            Refusal::Silent(status) => {
                Error::Scheduler { host: host.clone(), port, source: Box::new(status) }
            }
        };
        let joined = reporter.join(endpoint).await.map_err(refused)?;
        (options.about.joined)(&serves);
        let spills = folder.path().to_owned();
        let produce =
            move |_: &SessionConfig| Ok(runtime(RuntimeEnvBuilder::new().with_temp_file_path(&spills))?);
        let devices = (options.gpus > 0).then(|| Arc::new(Devices::new(options.gpus)));
        let configure = move || {
            let mut config = SessionConfig::new_with_ballista();
            if let Some(devices) = &devices {
                config.set_extension(Arc::clone(devices));
            }
            config
        };
        let config = ExecutorProcessConfig {
            executor_id: id.clone(),
            bind_host: match address.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            },
            external_host: Some(options.host),
            port: address.port(),
            scheduler_host: options.scheduler_host.clone(),
            scheduler_port: options.scheduler_port,
            scheduler_connect_timeout_seconds: SCHEDULER_WAIT_SECONDS,
            vcores: options.slots,
            executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
            grpc_max_decoding_message_size: LARGEST_MESSAGE as u32,
            grpc_max_encoding_message_size: LARGEST_MESSAGE as u32,
            task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
            work_dir: Some(folder.path().display().to_string()),
            memory_pool_size: options.memory,
            override_execution_engine: Some(Arc::new(Engine::new(running, rows, load))),
            override_logical_codec: Some(Arc::new(codec::LogicalCodec::new(options.catalogue))),
            override_physical_codec: Some(Arc::new(codec::PhysicalCodec::new(options.catalogue))),
            override_runtime_producer: Some(Arc::new(produce)),
            override_config_producer: Some(Arc::new(configure)),
            override_arrow_flight_service: Some(flight_service(listener)),
            ..ExecutorProcessConfig::default()
        };
        let ended = tokio::select! {
            ended = start_executor_process(Arc::new(config)) => ended,
            refusal = reporter.follow(joined) => return Err(refused(refusal)),
            // It serves until it is dropped.
            () = metrics => Ok(()),
        };
        ended.map_err(|source| Error::Run {
            host: options.scheduler_host,
            port: options.scheduler_port,
            source: Box::new(source),
        })
    }
}

impl fmt::Display for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { slots, memory, scheduler_host, scheduler_port, .. } = &self.options;
        let slots = if *slots == 1 { "1 slot".to_owned() } else { format!("{slots} slots") };
        let memory = match memory {
            Some(bytes) => format!("{} MiB", bytes >> 20),
            None => "seven tenths of the memory".to_owned(),
        };
        let (id, address) = (&self.id, self.address);
        write!(f, "executor {id} serves {slots} and {memory} on http://{address}")?;
        write!(f, ", for the scheduler at http://{scheduler_host}:{scheduler_port}")?;
        match &self.metrics {
            Some(port) => write!(f, ", and its metrics on http://{}/metrics", port.address),
            None => Ok(()),
        }
    }
}

/// Ballista's Flight service on a port that is bound already. Ballista's own binds it itself, and says neither where nor
/// why it cannot.
fn flight_service(listener: TcpListener) -> Arc<ArrowFlightServerProvider> {
    Arc::new(move |folder, _, mut shutdown, config| {
        let listener = listener.try_clone();
        tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener?)?;
            let service = FlightServiceServer::new(BallistaFlightService::new(folder))
                .max_decoding_message_size(LARGEST_MESSAGE)
                .max_encoding_message_size(LARGEST_MESSAGE);
            create_grpc_server(&config)
                .add_service(service)
                .serve_with_incoming_shutdown(
                    TcpIncoming::from(listener).with_nodelay(Some(true)),
                    shutdown.recv(),
                )
                .await?;
            Ok(())
        })
    })
}
