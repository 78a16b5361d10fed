//! A scheduler that stands by: it waits until it may drive the archive's jobs, and says so to whoever asks for its health.
//!
//! By the gRPC health protocol the process is alive (the service of the empty name), and its jobs are not served yet
//! (`tidewaiter.v1.JobService`), so that a supervisor neither ends it nor sends anybody to it. Whoever asks for anything else
//! hears that it is not served yet. Start at [`Standby::begin`].

use std::time::Duration;

use tidewaiter_core::{Result, ResultExt};
use tidewaiter_proto::v1::job_service_server::JobServiceServer;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{
    Status,
    body::Body,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

use crate::services::Jobs;

/// How long open connections may hold up the end.
const LAST_ANSWERS: Duration = Duration::from_millis(250);

/// What is told of everything but the health.
const STANDS_BY: &str =
    "this scheduler stands by: another one drives the jobs of the archive; ask that one, or again later";

/// A port on which nothing but the health is served.
#[derive(Debug)]
pub struct Standby {
    listener: std::net::TcpListener,
    end: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Standby {
    /// Serves the health on a port.
    ///
    /// # Errors
    /// When the operating system gives no second handle of the port.
    pub fn begin(listener: TcpListener) -> Result<Self> {
        let doing = || "stand by";
        let listener = listener.into_std().context(doing)?;
        let served = TcpListener::from_std(listener.try_clone().context(doing)?).context(doing)?;
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let (health, service) = tonic_health::server::health_reporter();
            health.set_not_serving::<JobServiceServer<Jobs>>().await;
            let incoming = TcpIncoming::from(served);
            let ended = async { drop(ended.await) };
            let others = || async { Status::unavailable(STANDS_BY).into_http::<Body>() };
            let routes = Routes::new(service).into_axum_router().fallback(others);
            let serving = Server::builder().add_routes(Routes::from(routes));
            if let Err(error) = serving.serve_with_incoming_shutdown(incoming, ended).await {
                tracing::warn!(%error, "the health of a scheduler that stands by is not served");
            }
        });
        Ok(Self { listener, end, serving })
    }

    /// Ends it, and gives the port to whoever serves the jobs; who connects meanwhile waits for that.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn end(self) -> Result<TcpListener> {
        let Self { listener, end, mut serving } = self;
        drop(end);
        // A probe that follows the health for good would be waited for.
        if tokio::time::timeout(LAST_ANSWERS, &mut serving).await.is_err() {
            serving.abort();
        }
        TcpListener::from_std(listener).context(|| "listen")
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_proto::v1::{ListJobsRequest, job_service_client::JobServiceClient};
    use tonic::{Code, transport::Endpoint};
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    };

    use super::*;

    #[tokio::test]
    async fn a_standby_is_alive_and_not_ready_and_gives_its_port_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let standby = Standby::begin(listener).expect("stands by");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let mut client = HealthClient::new(endpoint.connect().await.expect("connects"));
        for (service, expected) in
            [("", ServingStatus::Serving), ("tidewaiter.v1.JobService", ServingStatus::NotServing)]
        {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = client.check(request).await.expect("answers").into_inner();
            assert_eq!(answer.status(), expected, "{service}");
        }
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let mut jobs = JobServiceClient::new(channel.connect().await.expect("connects"));
        let refused = jobs.list(ListJobsRequest::default()).await.expect_err("it drives none");
        assert_eq!((refused.code(), refused.message()), (Code::Unavailable, STANDS_BY));
        // It is followed for good.
        let request = HealthCheckRequest { service: String::new() };
        let _followed = client.watch(request).await.expect("answers");
        let listener = standby.end().await.expect("ends");
        assert_eq!(listener.local_addr().expect("an address"), address);
        let (accepted, connected) = tokio::join!(listener.accept(), tokio::net::TcpStream::connect(address));
        assert!(accepted.is_ok() && connected.is_ok());
    }
}
