//! Requests of executors for tasks, answered as soon as there is one.
//!
//! Ballista's executor asks, and where there is nothing for it, asks again after 50 ms; at each stage of a query it waits
//! half of that on average, and again where its last task has just ended. Here the request of an executor without tasks
//! is kept until work comes, half a second at most. One that runs tasks is answered at once: with its next request it says
//! that they have ended. Start at [`Polls::answer`].

use std::{sync::Arc, time::Duration};

use ballista_core::serde::{
    protobuf::{PollWorkParams, PollWorkResult, scheduler_grpc_server::SchedulerGrpc},
    scheduler::ExecutorSpecification,
};
use ballista_scheduler::config::OnWorkAvailableFn;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

/// How long a request is kept; an executor that asks so seldom still counts as present.
const KEPT: Duration = Duration::from_millis(500);

/// The requests that wait. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Polls(Arc<Notify>);

impl Polls {
    /// What Ballista calls when there is work: those that wait ask for it.
    pub(crate) fn callback(&self) -> OnWorkAvailableFn {
        let waiting = Arc::clone(&self.0);
        Arc::new(move |_| waiting.notify_waiters())
    }

    /// Answers a request for tasks.
    ///
    /// # Errors
    /// Those of the scheduler.
    pub(crate) async fn answer(
        &self,
        scheduler: &impl SchedulerGrpc,
        request: Request<PollWorkParams>,
    ) -> Result<Response<PollWorkResult>, Status> {
        let (metadata, extensions, params) = request.into_parts();
        let again = PollWorkParams { task_status: Vec::new(), ..params.clone() };
        let first = Request::from_parts(metadata.clone(), extensions.clone(), params);
        // Work that comes while the first answer is made counts.
        let mut work = std::pin::pin!(self.0.notified());
        work.as_mut().enable();
        let answer = scheduler.poll_work(first).await?;
        let PollWorkResult { tasks, jobs_to_clean } = answer.get_ref();
        if !is_idle(&again) || !tasks.is_empty() || !jobs_to_clean.is_empty() {
            return Ok(answer);
        }
        match tokio::time::timeout(KEPT, work).await {
            Ok(()) => scheduler.poll_work(Request::from_parts(metadata, extensions, again)).await,
            Err(_) => Ok(answer),
        }
    }
}

/// Whether an executor runs no task.
fn is_idle(params: &PollWorkParams) -> bool {
    let specification = params.metadata.as_ref().and_then(|metadata| metadata.specification.clone());
    let specification: Option<ExecutorSpecification> = specification.map(Into::into);
    specification.is_some_and(|specification| params.num_free_vcores >= specification.vcores)
}
