//! The gRPC service over the archive's tables, and the queries over them.
//!
//! A query's answer goes out while it comes in, a piece at a time: neither side holds more than a few. A client that
//! hangs up stops its query. Where no executor is connected the client is told so, and a query that waits too long ends.
//! Start at [`Tables`].

use std::time::Duration;

use futures::{
    FutureExt as _,
    stream::{BoxStream, StreamExt, try_unfold},
};
use tidewaiter_archive::{
    Archive, sql,
    table::{Table, list_tables},
};
use tidewaiter_core::{Error, plan::Meter, query::Run as _};
use tidewaiter_job::engine::Engine;
use tidewaiter_proto::v1;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use crate::{driver::Driver, pieces::Pieces};

/// Shows the archive's tables, and answers queries over them.
pub(crate) struct Tables {
    archive: Archive,
    driver: Driver,
    new_id: fn() -> String,
    longest_wait: Duration,
}

impl Tables {
    /// The service over an archive; its queries run on the driver's cluster, under names that begin with `sql-`, and wait
    /// no longer than `longest_wait` where no executor is connected.
    pub(crate) fn new(
        archive: Archive,
        driver: Driver,
        new_id: fn() -> String,
        longest_wait: Duration,
    ) -> Self {
        Self { archive, driver, new_id, longest_wait }
    }
}

/// Why a query ended that waited too long.
fn waited(bound: Duration, what: &str) -> Error {
    Error::unavailable(format!(
        "the query waited {} s for {what}; start an executor that joins this scheduler (--query-wait says how long queries \
         wait)",
        bound.as_secs()
    ))
}

/// A query that is stopped unless it ended, and whose work files are deleted.
struct Running {
    driver: Driver,
    name: String,
    has_ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let (driver, name, has_ended) = (self.driver.clone(), std::mem::take(&mut self.name), self.has_ended);
        tokio::spawn(async move {
            if !has_ended {
                driver.cluster().stop(&name).await;
            }
            driver.delete_work(&name).await;
        });
    }
}

#[tonic::async_trait]
impl v1::archive_service_server::ArchiveService for Tables {
    type QueryStream = BoxStream<'static, Result<v1::QueryRows, Status>>;

    async fn query(&self, request: Request<v1::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let name = format!("sql-{}", (self.new_id)());
        let session = self.driver.cluster().session(&name, Meter::new(|_| ()))?;
        let frame = sql::query(&session, &self.archive, &request.into_inner().sql).await?;
        let (tell, waits) = mpsc::unbounded_channel();
        let (waiting, waits_as, bound) =
            (self.driver.cluster().waiting().clone(), name.clone(), self.longest_wait);
        let too_long = async move {
            // Whoever asked may be gone.
            waiting.longer_than(&waits_as, bound, |what| drop(tell.send(what.unwrap_or_default()))).await
        };
        let running = Running { driver: self.driver.clone(), name, has_ended: false };
        let rows = frame.batch_stream().await.map_err(Error::from)?;
        let pieces = Pieces::new(rows.schema())?;
        let state = (rows, pieces, running, waits, too_long.boxed());
        let stream = try_unfold(
            state,
            move |(mut rows, mut pieces, mut running, mut waits, mut too_long)| async move {
                loop {
                    if let Some(arrow) = pieces.next() {
                        let piece = v1::QueryRows { arrow, waits_for: String::new() };
                        return Ok(Some((piece, (rows, pieces, running, waits, too_long))));
                    }
                    let batch = tokio::select! {
                        batch = rows.next() => batch,
                        Some(waits_for) = waits.recv() => {
                            let told = v1::QueryRows { arrow: Vec::new(), waits_for };
                            return Ok(Some((told, (rows, pieces, running, waits, too_long))));
                        }
                        what = &mut too_long => return Err(Status::from(waited(bound, &what))),
                    };
                    match batch {
                        Some(batch) => pieces.add(&batch.map_err(Error::from)?)?,
                        None if !std::mem::replace(&mut running.has_ended, true) => pieces.finish()?,
                        None => return Ok(None),
                    }
                }
            },
        );
        let stream = stream.boxed();
        Ok(Response::new(stream))
    }

    async fn tables(&self, _: Request<v1::TablesRequest>) -> Result<Response<v1::TablesResponse>, Status> {
        let mut tables = Vec::new();
        for name in list_tables(&self.archive).await? {
            let snapshot = Table::open(&self.archive, &name).await?.snapshot(None).await?;
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
        let table = Table::open(&self.archive, &request.into_inner().table).await?;
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
        let snapshot = Table::open(&self.archive, &table).await?.snapshot(version).await?;
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
