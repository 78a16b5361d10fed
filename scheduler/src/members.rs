//! The executors of a scheduler, as a user sees them: what each has, and when it was last heard.

use tidewaiter_proto::v1::{self, cluster_service_server::ClusterService};
use tonic::{Request, Response, Status};

use crate::{ballista::Ballista, executors::Executors, placement::Device};

/// Lists the executors.
pub(crate) struct Members {
    pub(crate) ballista: Ballista,
    pub(crate) executors: Executors,
}

#[tonic::async_trait]
impl ClusterService for Members {
    async fn executors(
        &self,
        _: Request<v1::ExecutorsRequest>,
    ) -> Result<Response<v1::ExecutorsResponse>, Status> {
        let known = self.ballista.executors().get_executors_state().await;
        let known = known.map_err(|error| Status::internal(error.to_string()))?;
        let executors = known.into_iter().map(|(executor, heard, _)| {
            let (memory_bytes, queries) = self.executors.said_by(&executor.id);
            let heard = heard.map_or(0, |heard| heard.as_millis());
            v1::ClusterExecutor {
                device: Device::of_executor(&executor.id).to_string(),
                slots: executor.specification.vcores,
                memory_bytes,
                address: format!("{}:{}", executor.host, executor.port),
                heard_ms: i64::try_from(heard).unwrap_or(i64::MAX),
                queries: u32::try_from(queries).unwrap_or(u32::MAX),
                executor: executor.id,
            }
        });
        let mut executors: Vec<_> = executors.collect();
        executors.sort_by(|a, b| a.executor.cmp(&b.executor));
        Ok(Response::new(v1::ExecutorsResponse { executors }))
    }
}
