//! Running the study's queries: small answers as one batch, large ones batch by batch.

use arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tidewaiter_core::{
    Result, ResultExt, answers,
    query::{Plan as _, Run as _},
};
use tokio::{sync::mpsc, task::JoinSet};

/// The whole answer of a query of few rows.
pub(crate) async fn query(session: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let query = session.query(sql).await.context(|| "plan a query of the study")?;
    answers::one_batch(query).await.context(|| "measure releases")
}

/// A text of an answer; empty where there is none.
pub(crate) fn text_or_empty(answer: &RecordBatch, name: &str, row: usize) -> Result<String> {
    Ok(answers::text(answer, name, row)?.unwrap_or_default())
}

/// Gives every batch of a query's answer to a function. Few batches are in memory at a time, and the next are
/// computed meanwhile.
pub(crate) async fn batches(
    session: &SessionContext,
    sql: &str,
    mut take: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let doing = || "sort the times of a study";
    let mut stream = session.query(sql).await.context(doing)?.batch_stream().await.context(doing)?;
    let (sender, mut computed) = mpsc::channel(1);
    // It stops where this function ends before it, for example because the study is cancelled.
    let mut computing = JoinSet::new();
    computing.spawn(async move {
        while let Some(batch) = stream.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
    });
    while let Some(batch) = computed.recv().await {
        take(&batch.context(doing)?)?;
    }
    Ok(())
}
