//! The scheduler process: Ballista's scheduler on our own gRPC server, with our placement.
//!
//! One port serves Ballista's scheduler, gRPC health and reflection. Assembling the server here and not
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
use tidewaiter_executor::{codec::LogicalCodec, session};
use tidewaiter_jobs::{Error, ErrorKind, Result};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::placement::{Device, DevicePlacement, StageNeeds};

/// The largest message between scheduler, executors and clients, in bytes.
const LARGEST_MESSAGE: u32 = 64 << 20;

/// No plan node of today computes on a GPU, so every stage may run anywhere.
pub fn no_stage_needs_a_gpu(_: &Arc<dyn ExecutionPlan>) -> Device {
    Device::Cpu
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
pub async fn serve(listener: TcpListener, needs: StageNeeds) -> Result<()> {
    let address = listener.local_addr()?;
    let config = SchedulerConfig {
        external_host: address.ip().to_string(),
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        task_distribution: TaskDistributionPolicy::Custom(Arc::new(DevicePlacement::new(needs))),
        grpc_server_max_decoding_message_size: LARGEST_MESSAGE,
        grpc_server_max_encoding_message_size: LARGEST_MESSAGE,
        grpc_client_max_message_size: LARGEST_MESSAGE,
        override_logical_codec: Some(Arc::new(LogicalCodec::default())),
        override_session_builder: Some(Arc::new(session_state)),
        ..SchedulerConfig::default()
    };
    let assemble = |error: ballista_core::error::BallistaError| {
        Error::internal("assemble the scheduler").with_source(error)
    };
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(assemble)?;
    let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await;
    let scheduler = SchedulerGrpcServer::new(scheduler.map_err(assemble)?)
        .max_decoding_message_size(LARGEST_MESSAGE as usize)
        .max_encoding_message_size(LARGEST_MESSAGE as usize);

    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| Error::internal("describe the services").with_source(error))?;

    tracing::info!(%address, "scheduler is listening");
    Server::builder()
        .add_service(scheduler)
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .map_err(|error| Error::unavailable(format!("serve on {address}")).with_source(error))
}

/// The state in which a client's query is planned: Ballista's rules, and every archive's store.
fn session_state(config: SessionConfig) -> datafusion::error::Result<SessionState> {
    Ok(SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(session::runtime(RuntimeEnvBuilder::new())?)
        .with_optimizer_rules(ballista_default_optimizer_rules())
        .build())
}
