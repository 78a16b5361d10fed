//! The gRPC service over the driver. Each method only translates.

use std::pin::Pin;

use futures::Stream;
use tidewaiter_proto::v1;
use tokio::sync::broadcast::error::RecvError;
use tonic::{Request, Response, Status};

use crate::driver::Driver;

/// A streamed answer.
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Submits, shows, follows, cancels and retries jobs.
pub(crate) struct Jobs(pub(crate) Driver);

#[tonic::async_trait]
impl v1::job_service_server::JobService for Jobs {
    type WatchStream = Streamed<v1::JobEvent>;

    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let v1::SubmitRequest { specification, request_id } = request.into_inner();
        let job = self.0.submit(&request_id, &specification).await?;
        Ok(Response::new(v1::SubmitResponse { job }))
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        Ok(Response::new(self.0.get(&request.into_inner().job).await?))
    }

    async fn list(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let listed = self.0.list(request.into_inner().limit as usize).await?;
        let older = u32::try_from(listed.older).unwrap_or(u32::MAX);
        Ok(Response::new(v1::ListJobsResponse { jobs: listed.jobs, older }))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let id = request.into_inner().job;
        // Subscribed before the job is read, so that its end is not missed between the two.
        let mut follow = self.0.follow(&id);
        let mut job = self.0.get(&id).await?;
        if follow.is_none() && job.ended_ms == 0 {
            // The scheduler may just have started.
            self.0.taken_up().await;
            follow = self.0.follow(&id);
            job = self.0.get(&id).await?;
        }
        let first = v1::JobEvent { job: Some(job), progress: None };
        let driver = self.0.clone();
        let rest = futures::stream::try_unfold(follow, move |follow| {
            let (driver, id) = (driver.clone(), id.clone());
            async move {
                let Some(mut follow) = follow else { return Ok(None) };
                loop {
                    match follow.recv().await {
                        Ok(event) => return Ok(Some((event, Some(follow)))),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => {
                            let job = driver.get(&id).await?;
                            return Ok(Some((v1::JobEvent { job: Some(job), progress: None }, None)));
                        }
                    }
                }
            }
        });
        let first = futures::stream::once(async { Ok(first) });
        Ok(Response::new(Box::pin(futures::StreamExt::chain(first, rest))))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::Job>, Status> {
        Ok(Response::new(self.0.cancel(&request.into_inner().job).await?))
    }

    async fn retry(&self, request: Request<v1::RetryRequest>) -> Result<Response<v1::Job>, Status> {
        Ok(Response::new(self.0.retry(&request.into_inner().job).await?))
    }
}
