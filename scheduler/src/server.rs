//! The scheduler process: Ballista's scheduler on our own gRPC server, with our placement.
//!
//! One port serves Ballista's scheduler, the jobs, fits, models, tables, the services of the domains,
//! gRPC health and reflection. Assembling the server here and not
//! through Ballista's helper is what lets TLS, access control and our own services stand beside it.

use std::{net::SocketAddr, sync::Arc};

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
    prelude::SessionConfig,
};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tidewaiter_archive::Archive;
use tidewaiter_collective::grpc::LARGEST_MESSAGE as LARGEST_FIT_MESSAGE;
use tidewaiter_core::{
    Error, ErrorKind, Result,
    plan::{OperatorExec, QueryPlanner},
};
use tidewaiter_executor::codec::{LogicalCodec, PhysicalCodec};
use tidewaiter_job::{
    Catalogue,
    engine::{Engine, runtime},
};
use tidewaiter_proto::{
    DESCRIPTORS,
    v1::{
        archive_service_server::ArchiveServiceServer, fit_service_server::FitServiceServer,
        job_service_server::JobServiceServer, model_service_server::ModelServiceServer,
    },
};
use tidewaiter_registry::Registry;
use tokio::net::TcpListener;
use tonic::{
    service::RoutesBuilder,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    cluster::Cluster,
    driver::{Driver, Sources},
    placement::{Device, DevicePlacement, StageNeeds},
    services::{Jobs, Models, Tables},
};

/// Seconds without a heartbeat after which an executor counts as lost and its tasks run elsewhere.
const EXECUTOR_TIMEOUT_SECONDS: u64 = 20;

/// The largest HTTP/2 frame that is taken, in bytes.
const FIT_FRAME: u32 = 1 << 20;

/// Bytes that a stream, and a connection, may have on the way.
const FIT_WINDOW: u32 = 8 << 20;

/// The largest message between scheduler, executors and clients, in bytes.
const LARGEST_MESSAGE: u32 = 64 << 20;

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
    /// The address at which executors and the driver reach this scheduler, `http://host:port`; absent: the
    /// one it listens on.
    pub advertise: Option<String>,
    /// Says which device a stage asks for.
    pub needs: StageNeeds,
    /// Time and names.
    pub sources: Sources,
    /// What its jobs can be, and the services that domains add.
    pub catalogue: Catalogue,
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

/// Serves until the process is told to stop.
///
/// # Errors
/// When the scheduler cannot be assembled or its port fails.
pub async fn serve(listener: TcpListener, options: Options) -> Result<()> {
    let Options { archive, advertise, needs, sources, catalogue } = options;
    let address = listener.local_addr()?;
    let url = advertise.unwrap_or_else(|| format!("http://{address}"));
    let config = SchedulerConfig {
        external_host: address.ip().to_string(),
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        task_distribution: TaskDistributionPolicy::Custom(Arc::new(DevicePlacement::new(needs))),
        grpc_server_max_decoding_message_size: LARGEST_MESSAGE,
        grpc_server_max_encoding_message_size: LARGEST_MESSAGE,
        grpc_client_max_message_size: LARGEST_MESSAGE,
        override_logical_codec: Some(Arc::new(LogicalCodec::new(catalogue))),
        override_physical_codec: Some(Arc::new(PhysicalCodec::new(catalogue))),
        override_session_builder: Some(Arc::new(session_state)),
        executor_timeout_seconds: EXECUTOR_TIMEOUT_SECONDS,
        expire_dead_executor_interval_seconds: EXECUTOR_TIMEOUT_SECONDS / 4,
        ..SchedulerConfig::default()
    };
    let assemble = |error: ballista_core::error::BallistaError| {
        Error::internal("assemble the scheduler").with_source(error)
    };
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(assemble)?;
    let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await;
    let scheduler = scheduler.map_err(assemble)?;
    let driver =
        Driver::new(archive.clone(), Cluster::new(scheduler.clone(), url, catalogue), sources, catalogue);
    let fits = FitServiceServer::new(driver.cluster().hubs().clone())
        .max_decoding_message_size(LARGEST_FIT_MESSAGE)
        .max_encoding_message_size(LARGEST_FIT_MESSAGE);
    let scheduler = SchedulerGrpcServer::new(scheduler)
        .max_decoding_message_size(LARGEST_MESSAGE as usize)
        .max_encoding_message_size(LARGEST_MESSAGE as usize);

    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()
        .map_err(|error| Error::internal("describe the services").with_source(error))?;

    let mut domains = RoutesBuilder::default();
    catalogue.add_services(&archive, &mut domains);

    driver.resume().await?;
    tracing::info!(%address, "scheduler is listening");
    // A fit's rounds are small messages there and back: none may wait to be sent together with another.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        // A worker's histogram goes in one frame, and never waits for the window.
        .max_frame_size(Some(FIT_FRAME))
        .initial_stream_window_size(Some(FIT_WINDOW))
        .initial_connection_window_size(Some(FIT_WINDOW))
        .add_routes(domains.routes())
        .add_service(scheduler)
        .add_service(fits)
        .add_service(JobServiceServer::new(Jobs(driver)))
        .add_service(ModelServiceServer::new(Models(Registry::new(&archive))))
        .add_service(ArchiveServiceServer::new(Tables(archive)))
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming(incoming)
        .await
        .map_err(|error| Error::unavailable(format!("serve on {address}")).with_source(error))
}

/// The state in which a client's query is planned: Ballista's rules, and every archive's store.
fn session_state(config: SessionConfig) -> datafusion::error::Result<SessionState> {
    Ok(SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime(RuntimeEnvBuilder::new())?)
        .with_query_planner(Arc::new(QueryPlanner))
        .with_optimizer_rules(ballista_default_optimizer_rules())
        .build())
}
