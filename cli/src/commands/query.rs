//! The archive's tables and SQL over them, in this process or on the cluster of a scheduler. Start at [`answer`].

use arrow::{array::RecordBatch, buffer::Buffer, ipc::reader::StreamDecoder};
use futures::StreamExt;
use tidewaiter_archive::{
    Archive, sql,
    table::{Table, list_tables},
};
use tidewaiter_core::{Result, ResultExt, plan::Meter, query::Run as _};
use tidewaiter_job::{engine::Engine, remote};
use tidewaiter_proto::{
    LARGEST_MESSAGE,
    v1::{self, archive_service_client::ArchiveServiceClient},
};
use tonic::transport::Channel;

use super::embedded;
use crate::{arguments::Place, progress::say};

/// Runs a query where `place` says; its rows are given as they come, and without a row there are still columns.
pub(super) async fn answer(
    archive: &Archive,
    place: &Place,
    query: String,
    sink: &mut (dyn FnMut(RecordBatch) -> Result<()> + Send),
) -> Result<()> {
    match &place.scheduler {
        None => sql_here(archive, place, &query, sink).await,
        Some(url) => sql_there(url, query, sink).await,
    }
}

/// The tables of the archive, or of a scheduler's.
pub(super) async fn tables(archive: &Archive, place: &Place) -> Result<Vec<v1::Table>> {
    if let Some(url) = &place.scheduler {
        return Ok(connect(url).await?.tables(v1::TablesRequest {}).await?.into_inner().tables);
    }
    let mut tables = Vec::new();
    for name in list_tables(archive).await? {
        let snapshot = Table::open(archive, &name).await?.snapshot(None).await?;
        let (rows, bytes) = (snapshot.rows(), snapshot.bytes());
        let (version, files) = (snapshot.version, snapshot.files.len() as u64);
        tables.push(v1::Table { name, version, rows, files, bytes });
    }
    Ok(tables)
}

/// A client of the archive of the scheduler at a URL.
pub(super) async fn connect(url: &str) -> Result<ArchiveServiceClient<Channel>> {
    let client = ArchiveServiceClient::new(remote::connect(url).await?);
    Ok(client.max_decoding_message_size(LARGEST_MESSAGE))
}

/// Runs a query in this process.
async fn sql_here(
    archive: &Archive,
    place: &Place,
    query: &str,
    sink: &mut (dyn FnMut(RecordBatch) -> Result<()> + Send),
) -> Result<()> {
    let session = embedded::engine(place)?.session("sql", Meter::new(|_| ()))?;
    let mut batches = sql::query(&session, archive, query).await?.batch_stream().await?;
    sink(RecordBatch::new_empty(batches.schema()))?;
    while let Some(batch) = batches.next().await {
        sink(batch?)?;
    }
    Ok(())
}

/// Runs a query on the cluster of a scheduler.
async fn sql_there(
    url: &str,
    sql: String,
    sink: &mut (dyn FnMut(RecordBatch) -> Result<()> + Send),
) -> Result<()> {
    let doing = || format!("read the answer of the scheduler at {url}");
    let mut answer = connect(url).await?.query(v1::QueryRequest { sql }).await?.into_inner();
    let mut decoder = StreamDecoder::new();
    while let Some(v1::QueryRows { arrow, waits_for }) = answer.message().await? {
        if !waits_for.is_empty() {
            say(&format!("the query waits for {waits_for}"));
        }
        let mut bytes = Buffer::from(arrow);
        while !bytes.is_empty() {
            if let Some(batch) = decoder.decode(&mut bytes).context(doing)? {
                sink(batch)?;
            }
        }
    }
    decoder.finish().context(doing)
}
