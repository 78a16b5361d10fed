//! The scheduler process: Ballista's scheduler on our own gRPC server, with our placement.
//!
//! One port serves Ballista's scheduler, the jobs, fits, models, tables, the services of the domains,
//! gRPC health and reflection. Assembling the server here and not
//! through Ballista's helper is what lets TLS, access control and our own services stand beside it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ballista_core::optimizer::ballista_default_optimizer_rules;
use ballista_core::{
    config::TaskSchedulingPolicy, serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer,
};
use ballista_scheduler::{
    cluster::BallistaCluster,
    config::{SchedulerConfig, TaskDistributionPolicy},
    scheduler_process::create_scheduler,
};
use datafusion::{
    execution::{SessionState, SessionStateBuilder, runtime_env::RuntimeEnvBuilder},
    physical_plan::ExecutionPlan,
    prelude::{SessionConfig, SessionContext},
};
use futures::future::BoxFuture;
use tidewaiter_archive::Archive;
use tidewaiter_collective::grpc::LARGEST_MESSAGE as LARGEST_FIT_MESSAGE;
use tidewaiter_core::{Error, ErrorKind, Result, plan::OperatorExec};
use tidewaiter_executor::{
    codec::{LogicalCodec, PhysicalCodec},
    failure::Planner,
};
use tidewaiter_job::{
    Catalogue, Roots,
    engine::{Engine, runtime},
};
use tidewaiter_proto::{
    DESCRIPTORS, LARGEST_MESSAGE,
    v1::{
        archive_service_server::ArchiveServiceServer, cluster_service_server::ClusterServiceServer,
        executor_service_server::ExecutorServiceServer, fit_service_server::FitServiceServer,
        job_service_server::JobServiceServer, model_service_server::ModelServiceServer,
    },
};
use tidewaiter_registry::Registry;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tonic::{
    service::RoutesBuilder,
    transport::{Endpoint, Server, server::TcpIncoming},
};

use crate::{
    archive_service::Tables,
    ballista::{self, Ballista},
    cluster::{Addresses, Cluster},
    driver::{Driver, Retries, Settings, Sources},
    gate::{Gate, Rules},
    lease::{Claim, Lease},
    members::Members,
    model_service::Models,
    observed::Observed,
    on_demand::{Demand, most_on_gpus},
    placement::{Device, DevicePlacement, StageNeeds},
    planner::JobPlanner,
    polls::Polls,
    routine::{self, Routine},
    services::Jobs,
    traced::Traced,
};

/// Seconds without a request after which Ballista forgets an executor of which there was no report either.
const EXECUTOR_TIMEOUT_SECONDS: u64 = 20;

/// The largest HTTP/2 frame that is taken, in bytes.
const FIT_FRAME: u32 = 1 << 20;

/// Bytes that a stream, and a connection, may have on the way.
const FIT_WINDOW: u32 = 8 << 20;

/// How often HTTP/2 asks whether the other side of a connection is there, and how long it waits for the answer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The device that a stage's plan asks for: a GPU where one of its operators computes on one.
pub fn needs_of_plan(plan: &Arc<dyn ExecutionPlan>) -> Device {
    let own = plan.downcast_ref::<OperatorExec>().is_some_and(|node| node.operator().needs_gpu());
    if own || plan.children().into_iter().any(|child| needs_of_plan(child) == Device::Gpu) {
        Device::Gpu
    } else {
        Device::Cpu
    }
}

/// What a scheduler is told when it starts.
pub struct Options {
    /// The archive that holds the ledger, and that its jobs work on.
    pub archive: Archive,
    /// Where executors reach this scheduler ([`url`]).
    pub url: String,
    /// Says which device a stage asks for.
    pub needs: StageNeeds,
    /// How long what needs a GPU waits for an executor with one, before processors do it.
    pub gpu_wait: Duration,
    /// Time and names.
    pub sources: Sources,
    /// What its jobs can be, and the services that domains add.
    pub catalogue: Catalogue,
    /// Where the files may lie that jobs name.
    pub exports: Roots,
    /// When a job is tried again after a transient error.
    pub retries: Retries,
    /// How many jobs run at once; the others wait for their turn, in the order in which they came.
    pub jobs_at_once: usize,
    /// How long it waits for executors.
    pub patience: Patience,
    /// Where metrics are read, if anywhere.
    pub metrics: Option<TcpListener>,
    /// The pools whose executors come when they are needed.
    pub pools: Option<tidewaiter_pools::Settings>,
    /// The job that it submits by itself at intervals, if any.
    pub routine: Option<Routine>,
    /// The lease of the archive's jobs; `None` where the caller knows that no other scheduler can come to the archive.
    pub lease: Option<Lease>,
}

/// How long a scheduler waits for executors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a sign of life of one, before it counts as lost and its tasks run elsewhere.
    pub silence: Duration,
    /// For another one when the last is lost, before the step under way fails and is tried again; whole seconds.
    pub replacement: Duration,
    /// For one that could run the tasks of a query that is no job's.
    pub query: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(8),
            replacement: Duration::from_secs(180),
            query: Duration::from_secs(300),
        }
    }
}

/// The claim of a process to be the scheduler of an archive; without a sign of life of another one for `takeover` it
/// takes its place.
pub fn claim(archive: &Archive, sources: Sources, takeover: Duration) -> Claim {
    Claim {
        archive: archive.clone(),
        folder: "leases/scheduler".to_owned(),
        id: (sources.new_id)(),
        now_ms: sources.now_ms,
        expiry: takeover,
    }
}

/// Binds the scheduler's port; port 0 takes a free one.
///
/// # Errors
/// [`ErrorKind::Input`] when the address is taken or not this machine's.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(ErrorKind::Input, format!("listen on {address}: {error}; choose another --bind address"))
    })
}

/// Where executors reach a scheduler: as its operator advertises it, otherwise the address that it listens on.
///
/// # Errors
/// [`ErrorKind::Input`] when it listens on all addresses of the machine and none is advertised, or what is advertised is
/// not `http://host:port`.
pub fn url(listener: &TcpListener, advertise: Option<&str>) -> Result<String> {
    let address = listener.local_addr()?;
    match advertise {
        Some(url) if Endpoint::from_shared(url.to_owned()).is_ok() && url.starts_with("http://") => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        Some(url) => Err(Error::input(format!("--advertise {url} is no address; write http://host:port"))),
        None if address.ip().is_unspecified() => Err(Error::input(format!(
            "{address} means every address of this machine, and executors must know one: say it with \
             --advertise http://host:{}",
            address.port()
        ))),
        None => Ok(format!("http://{address}")),
    }
}

/// Serves until `ended` ends ([`termination`]), or another scheduler has the lease.
///
/// # Errors
/// When the scheduler cannot be assembled or its port fails; [`ErrorKind::Conflict`] when the lease is lost.
pub async fn serve(listener: TcpListener, options: Options, ended: BoxFuture<'static, ()>) -> Result<()> {
    let Options {
        archive,
        url,
        needs,
        gpu_wait,
        sources,
        catalogue,
        exports,
        retries,
        jobs_at_once,
        patience,
        metrics,
        pools,
        routine,
        lease,
    } = options;
    let address = listener.local_addr()?;
    let polls = Polls::default();
    let largest = u32::try_from(LARGEST_MESSAGE).unwrap_or(u32::MAX);
    let planned = archive.clone();
    let config = SchedulerConfig {
        external_host: address.ip().to_string(),
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        task_distribution: TaskDistributionPolicy::Custom(Arc::new(DevicePlacement::new(needs, gpu_wait))),
        grpc_server_max_decoding_message_size: largest,
        grpc_server_max_encoding_message_size: largest,
        grpc_client_max_message_size: largest,
        override_logical_codec: Some(Arc::new(LogicalCodec::new(catalogue))),
        override_physical_codec: Some(Arc::new(PhysicalCodec::new(catalogue))),
        override_session_builder: Some(Arc::new(move |config| session_state(config, &planned))),
        executor_timeout_seconds: EXECUTOR_TIMEOUT_SECONDS,
        expire_dead_executor_interval_seconds: EXECUTOR_TIMEOUT_SECONDS / 4,
        on_work_available: Some(polls.callback()),
        no_executors_grace_period_seconds: patience.replacement.as_secs(),
        ..SchedulerConfig::default()
    };
    // Names are made of chance, too: two of them cannot be guessed.
    let secret = format!("{}{}", (sources.new_id)(), (sources.new_id)());
    let rules = Rules {
        archive: archive.clone(),
        secret: secret.clone(),
        codec: LogicalCodec::new(catalogue),
        context: SessionContext::new_with_state(session_state(SessionConfig::new(), &archive)?).task_ctx(),
    };
    let mut routes = RoutesBuilder::default();
    let ballista = assemble(config, rules, polls, &mut routes).await?;
    let addresses = Addresses { executors: url, driver: own_url(address), secret };
    let on_gpus = pools.as_ref().map_or(0, most_on_gpus);
    let cluster = Cluster::new(ballista.clone(), addresses, catalogue, patience.silence, needs, on_gpus);
    let at_once = jobs_at_once;
    let settings =
        Settings { archive: archive.clone(), cluster, sources, catalogue, exports, retries, at_once };
    let driver = Driver::new(settings);
    let beside = beside(&driver, &ballista, sources, metrics, pools, routine);
    let executors = driver.cluster().executors().clone();
    let members = Members { ballista, executors, archive: archive.clone(), sources };
    let fits = FitServiceServer::new(driver.cluster().hubs().clone())
        .max_decoding_message_size(LARGEST_FIT_MESSAGE)
        .max_encoding_message_size(LARGEST_FIT_MESSAGE);

    // A job may name a hundred thousand files.
    let jobs = JobServiceServer::new(Jobs(driver.clone()))
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);

    let (health, health_service) = tonic_health::server::health_reporter();
    // By the empty name it is alive, as one that stands by is; by this one it serves jobs.
    health.set_serving::<JobServiceServer<Jobs>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()
        .map_err(|error| Error::internal("describe the services").with_source(error))?;

    catalogue.add_services(&archive, &mut routes);
    let tables = Tables::new(archive.clone(), driver.clone(), sources.new_id, patience.query);

    // Beside serving: a long ledger, or a store that does not answer, keeps nobody waiting.
    let resumed = driver.clone();
    tokio::spawn(async move { resumed.resume().await });
    tracing::info!(%address, "scheduler is listening");
    // A fit's rounds are small messages there and back: none may wait to be sent together with another.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = Server::builder()
        // A worker's histogram goes in one frame, and never waits for the window.
        .max_frame_size(Some(FIT_FRAME))
        .initial_stream_window_size(Some(FIT_WINDOW))
        .initial_connection_window_size(Some(FIT_WINDOW))
        // A process that stands still, or whose host is gone, closes no connection.
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_routes(routes.routes())
        .add_service(fits)
        .add_service(ExecutorServiceServer::new(driver.cluster().executors().clone()))
        .add_service(ClusterServiceServer::new(members))
        .add_service(jobs)
        .add_service(ModelServiceServer::new(Models(Registry::new(&archive))))
        .add_service(ArchiveServiceServer::new(tables))
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming(incoming);
    let mut lease = lease;
    let result = tokio::select! {
        served = serving => {
            served.map_err(|error| Error::unavailable(format!("serve on {address}")).with_source(error))
        }
        failed = beside => Err(failed),
        // The caller ends the process, and with it what was driven here.
        lost = kept(lease.as_mut()) => Err(lost),
        () = ended => Ok(()),
    };
    if let (Ok(()), Some(lease)) = (&result, lease) {
        lease.give_back().await;
    }
    result
}

/// What a scheduler does beside serving: shows its metrics, and keeps its pools and its routine. It ends with an error only.
fn beside(
    driver: &Driver,
    ballista: &Ballista,
    sources: Sources,
    metrics: Option<TcpListener>,
    pools: Option<tidewaiter_pools::Settings>,
    routine: Option<Routine>,
) -> BoxFuture<'static, Error> {
    let observed = Observed { driver: driver.clone(), ballista: ballista.clone() };
    let routine = routine.map(|routine| routine::keep(routine, driver.clone(), sources.now_ms));
    let demand = Demand { driver: driver.clone(), ballista: ballista.clone(), now_ms: sources.now_ms };
    Box::pin(async move {
        let shown = async {
            match metrics {
                Some(listener) => tidewaiter_metrics::serve(listener, Arc::new(observed)).await,
                None => std::future::pending().await,
            }
        };
        let kept = async {
            match pools {
                Some(settings) => tidewaiter_pools::run(settings, Arc::new(demand)).await,
                None => std::future::pending().await,
            }
        };
        let submitted = async {
            match routine {
                Some(routine) => routine.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shown => Error::internal("the metrics are served no more"),
            kept = kept => kept.err().unwrap_or_else(|| Error::internal("the pools are kept no more")),
            never = submitted => match never {},
        }
    })
}

/// Keeps a lease until it is lost.
async fn kept(lease: Option<&mut Lease>) -> Error {
    match lease {
        Some(lease) => lease.keep().await,
        None => std::future::pending().await,
    }
}

/// Ends when the process is asked to end, as by a supervisor that starts another one next; from the call on, being asked
/// does not end the process by itself.
pub fn termination() -> BoxFuture<'static, ()> {
    #[cfg(unix)]
    if let Ok(mut asked) = signal(SignalKind::terminate()) {
        return Box::pin(async move {
            asked.recv().await;
        });
    }
    Box::pin(std::future::pending())
}

/// Starts Ballista's scheduler, and adds its service to the routes.
async fn assemble(
    config: SchedulerConfig,
    rules: Rules,
    polls: Polls,
    routes: &mut RoutesBuilder,
) -> Result<Ballista> {
    let failed = |error: ballista_core::error::BallistaError| {
        Error::internal("assemble the scheduler").with_source(error)
    };
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(failed)?;
    // Boxed, so that no future around this one holds the type with its parameters.
    let created: BoxFuture<'_, _> = Box::pin(create_scheduler(cluster, Arc::new(config)));
    let server: ballista::Server = created.await.map_err(failed)?;
    let ballista = Ballista::new(server.clone());
    routes.add_service(
        SchedulerGrpcServer::new(Gate::new(server, rules, polls, Traced::new(ballista.clone())))
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE),
    );
    Ok(ballista)
}

/// Where a scheduler itself reaches the address that it listens on.
fn own_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// The state in which a client's query over an archive is planned: Ballista's rules, and every archive's store.
fn session_state(config: SessionConfig, archive: &Archive) -> datafusion::error::Result<SessionState> {
    Ok(SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime(RuntimeEnvBuilder::new())?)
        .with_query_planner(Arc::new(Planner(JobPlanner { archive: archive.clone() })))
        .with_optimizer_rules(ballista_default_optimizer_rules())
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn executors_are_told_an_address_that_leads_back() {
        let listen = async |address: &str| bind(address.parse().expect("an address")).await.expect("binds");
        let loopback = listen("127.0.0.1:0").await;
        let port = loopback.local_addr().expect("an address").port();
        assert_eq!(url(&loopback, None).expect("its own"), format!("http://127.0.0.1:{port}"));

        let all = listen("0.0.0.0:0").await;
        let error = url(&all, None).expect_err("0.0.0.0 leads nowhere");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.chain().contains("--advertise http://host:"), "{}", error.chain());
        assert_eq!(url(&all, Some("http://customs:5000/")).expect("as said"), "http://customs:5000");
        for wrong in ["customs", "customs:5000", "https://customs:5000", "http://a b"] {
            url(&all, Some(wrong)).expect_err(wrong);
        }
        let address = all.local_addr().expect("an address");
        assert_eq!(own_url(address), format!("http://127.0.0.1:{}", address.port()));
    }
}
