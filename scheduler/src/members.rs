//! The executors of a scheduler, as a user sees them: what each has, and when it was last heard.

use std::time::Duration;

use tidewaiter_proto::v1::{self, cluster_service_server::ClusterService};
use tonic::{Request, Response, Status};

use crate::{ballista::Ballista, executors::Executors, placement::Device};

/// Lists the executors.
pub(crate) struct Members {
    pub(crate) ballista: Ballista,
    pub(crate) executors: Executors,
    /// Milliseconds since 1970.
    pub(crate) now_ms: fn() -> i64,
}

#[tonic::async_trait]
impl ClusterService for Members {
    async fn executors(
        &self,
        _: Request<v1::ExecutorsRequest>,
    ) -> Result<Response<v1::ExecutorsResponse>, Status> {
        let known = self.ballista.executors().get_executors_state().await;
        let known = known.map_err(|error| Status::internal(error.to_string()))?;
        let now_ms = (self.now_ms)();
        let executors = known.into_iter().map(|(executor, _, _)| {
            let said = self.executors.said_by(&executor.id);
            let before_ms = |heard: Duration| i64::try_from(heard.as_millis()).unwrap_or(i64::MAX);
            v1::ClusterExecutor {
                device: Device::of_executor(&executor.id).to_string(),
                slots: executor.specification.vcores,
                memory_bytes: said.memory_bytes,
                address: format!("{}:{}", executor.host, executor.port),
                heard_ms: said.before.map_or(0, |before| now_ms.saturating_sub(before_ms(before))),
                queries: u32::try_from(said.queries).unwrap_or(u32::MAX),
                silent: said.is_silent(),
                executor: executor.id,
            }
        });
        let mut executors: Vec<_> = executors.collect();
        executors.sort_by(|a, b| a.executor.cmp(&b.executor));
        Ok(Response::new(v1::ExecutorsResponse { executors }))
    }
}
