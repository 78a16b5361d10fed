//! The gRPC services over the driver, the registry and the archive. Each method only translates.

use std::pin::Pin;

use futures::Stream;
use tidewaiter_archive::{
    Archive,
    table::{Table, list_tables},
};
use tidewaiter_core::Result as JobsResult;
use tidewaiter_proto::v1;
use tidewaiter_registry::{Manifest, Registry, Which};
use tokio::sync::broadcast::error::RecvError;
use tonic::{Request, Response, Status};

use crate::driver::Driver;

/// A streamed answer.
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Submits, shows, follows and cancels jobs.
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
        let mut jobs = self.0.list().await?;
        let limit = request.into_inner().limit as usize;
        if limit > 0 {
            jobs.truncate(limit);
        }
        Ok(Response::new(v1::ListJobsResponse { jobs }))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let id = request.into_inner().job;
        // Subscribed before the job is read, so that its end is not missed between the two.
        let follow = self.0.follow(&id);
        let job = self.0.get(&id).await?;
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
}

/// Lists, shows and promotes models.
pub(crate) struct Models(pub(crate) Registry);

impl Models {
    async fn message(&self, manifest: Manifest) -> JobsResult<v1::Model> {
        let champion = self.0.champion(&manifest.name).await?;
        Ok(v1::Model {
            champion: champion.is_some_and(|champion| champion.version == manifest.version),
            manifest: serde_json::to_string(&manifest)?,
            name: manifest.name,
            version: manifest.version,
        })
    }
}

#[tonic::async_trait]
impl v1::model_service_server::ModelService for Models {
    async fn list(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let name = request.into_inner().name;
        let mut models = Vec::new();
        for manifest in self.0.list((!name.is_empty()).then_some(name.as_str())).await? {
            models.push(self.message(manifest).await?);
        }
        Ok(Response::new(v1::ListModelsResponse { models }))
    }

    async fn get(&self, request: Request<v1::GetModelRequest>) -> Result<Response<v1::Model>, Status> {
        let v1::GetModelRequest { name, version } = request.into_inner();
        let which = if version == 0 { Which::Champion } else { Which::Version(version) };
        Ok(Response::new(self.message(self.0.manifest(&name, which).await?).await?))
    }

    async fn promote(&self, request: Request<v1::PromoteRequest>) -> Result<Response<v1::Model>, Status> {
        let v1::PromoteRequest { name, version } = request.into_inner();
        let sequence = self.0.champion(&name).await?.map_or(0, |champion| champion.sequence);
        self.0.promote(&name, version, sequence).await?;
        let manifest = self.0.manifest(&name, Which::Version(version)).await?;
        Ok(Response::new(self.message(manifest).await?))
    }
}

/// Shows the archive's tables.
pub(crate) struct Tables(pub(crate) Archive);

#[tonic::async_trait]
impl v1::archive_service_server::ArchiveService for Tables {
    async fn tables(&self, _: Request<v1::TablesRequest>) -> Result<Response<v1::TablesResponse>, Status> {
        let mut tables = Vec::new();
        for name in list_tables(&self.0).await? {
            let snapshot = Table::open(&self.0, &name).await?.snapshot(None).await?;
            tables.push(v1::Table {
                name,
                version: snapshot.version,
                rows: snapshot.rows(),
                files: snapshot.files.len() as u64,
                bytes: snapshot.bytes(),
            });
        }
        Ok(Response::new(v1::TablesResponse { tables }))
    }

    async fn snapshots(
        &self,
        request: Request<v1::SnapshotsRequest>,
    ) -> Result<Response<v1::SnapshotsResponse>, Status> {
        let table = Table::open(&self.0, &request.into_inner().table).await?;
        let snapshots = table.snapshots().await?.into_iter().map(|entry| v1::Snapshot {
            version: entry.version,
            committed_ms: entry.committed_ms,
            operation: entry.operation,
        });
        Ok(Response::new(v1::SnapshotsResponse { snapshots: snapshots.collect() }))
    }

    async fn partitions(
        &self,
        request: Request<v1::PartitionsRequest>,
    ) -> Result<Response<v1::PartitionsResponse>, Status> {
        let v1::PartitionsRequest { table, version } = request.into_inner();
        let snapshot = Table::open(&self.0, &table).await?.snapshot(version).await?;
        let mut partitions = std::collections::BTreeMap::<_, v1::Partition>::new();
        for file in snapshot.files {
            let partition = partitions.entry((file.country, file.year, file.month)).or_default();
            partition.rows += file.rows;
            partition.files += 1;
            partition.bytes += file.size;
        }
        let partitions = partitions.into_iter().map(|((country, year, month), partition)| v1::Partition {
            values: [
                ("country".to_owned(), country),
                ("year".to_owned(), year.to_string()),
                ("month".to_owned(), month.to_string()),
            ]
            .into(),
            ..partition
        });
        Ok(Response::new(v1::PartitionsResponse { partitions: partitions.collect() }))
    }
}
