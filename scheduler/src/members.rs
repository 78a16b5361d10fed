//! The executors of a scheduler, as a user sees them: what each has, when it was last heard, and what is wrong with them.

use std::time::Duration;

use tidewaiter_archive::Archive;
use tidewaiter_proto::v1::{self, cluster_service_server::ClusterService};
use tonic::{Request, Response, Status};

use crate::{
    ballista::Ballista,
    doctor::{
        clock,
        executors::{Known, executors},
        machine, store, version,
    },
    driver::Sources,
    executors::Executors,
    placement::Device,
};

/// Lists the executors, and looks for what is wrong.
pub(crate) struct Members {
    pub(crate) ballista: Ballista,
    pub(crate) executors: Executors,
    pub(crate) archive: Archive,
    pub(crate) sources: Sources,
}

impl Members {
    async fn ids(&self) -> Result<Vec<String>, Status> {
        let known = self.ballista.executors().get_executors_state().await;
        let known = known.map_err(|error| Status::internal(error.to_string()))?;
        let mut ids: Vec<_> = known.into_iter().map(|(executor, ..)| executor.id).collect();
        ids.sort();
        Ok(ids)
    }

    fn known(&self, executor: String) -> Known {
        let said = self.executors.said_by(&executor);
        let before = said.before.and_then(|before| i64::try_from(before.as_millis()).ok()).unwrap_or(0);
        let clock_ms = said.surroundings.as_ref().map_or(0, |it| it.clock_ms);
        Known {
            is_silent: said.is_silent(),
            memory_bytes: said.memory_bytes,
            skew_ms: clock_ms.saturating_add(before).saturating_sub((self.sources.now_ms)()),
            surroundings: said.surroundings,
            executor,
        }
    }
}

#[tonic::async_trait]
impl ClusterService for Members {
    async fn executors(
        &self,
        _: Request<v1::ExecutorsRequest>,
    ) -> Result<Response<v1::ExecutorsResponse>, Status> {
        let known = self.ballista.executors().get_executors_state().await;
        let known = known.map_err(|error| Status::internal(error.to_string()))?;
        let now_ms = (self.sources.now_ms)();
        let before_ms = |heard: Duration| i64::try_from(heard.as_millis()).unwrap_or(i64::MAX);
        let executors = known.into_iter().map(|(executor, _, _)| {
            let said = self.executors.said_by(&executor.id);
            v1::ClusterExecutor {
                device: Device::of_executor(&executor.id).to_string(),
                slots: executor.specification.vcores,
                memory_bytes: said.memory_bytes,
                address: format!("{}:{}", executor.host, executor.port),
                heard_ms: said.before.map_or(0, |before| now_ms.saturating_sub(before_ms(before))),
                queries: u32::try_from(said.queries).unwrap_or(u32::MAX),
                silent: said.is_silent(),
                gone: false,
                executor: executor.id,
            }
        });
        let mut executors: Vec<_> = executors.collect();
        for gone in self.executors.gone() {
            if executors.iter().all(|present| present.executor != gone.executor) {
                executors.push(v1::ClusterExecutor {
                    device: Device::of_executor(&gone.executor).to_string(),
                    memory_bytes: gone.memory_bytes,
                    address: gone.address,
                    heard_ms: now_ms.saturating_sub(before_ms(gone.heard.elapsed())),
                    gone: true,
                    executor: gone.executor,
                    ..v1::ClusterExecutor::default()
                });
            }
        }
        executors.sort_by(|a, b| a.executor.cmp(&b.executor));
        Ok(Response::new(v1::ExecutorsResponse { executors }))
    }

    async fn diagnose(
        &self,
        request: Request<v1::DiagnoseRequest>,
    ) -> Result<Response<v1::DiagnoseResponse>, Status> {
        let v1::DiagnoseRequest { clock_ms, version: of_client } = request.into_inner();
        let now_ms = (self.sources.now_ms)();
        let mut findings = vec![version("this command", &of_client)];
        findings.push(clock("this command", clock_ms.saturating_sub(now_ms)));
        findings.extend(store::store(&self.archive, &(self.sources.new_id)(), self.sources.now_ms).await);
        findings.extend(machine::own("scheduler", 0, &std::env::temp_dir()));
        let known: Vec<Known> = self.ids().await?.into_iter().map(|executor| self.known(executor)).collect();
        findings.extend(executors(&known));
        Ok(Response::new(v1::DiagnoseResponse { findings }))
    }
}
