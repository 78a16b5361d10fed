//! What an executor reports to its scheduler at short intervals, and how it learns which of its tasks are not wanted.
//!
//! Ballista's scheduler tells a pulling executor of new tasks, never of the end of a query. Here the executor asks: it
//! names the queries whose tasks it runs, and stops those that the scheduler answers have ended. So a cancelled query, a
//! failed one, and those of a scheduler that was started anew end alike, and nothing is lost with a broken connection.

use std::{convert::Infallible, time::Duration};

use tidewaiter_proto::v1::{ExecutorReport, executor_service_client::ExecutorServiceClient};
use tokio::time::MissedTickBehavior;
use tonic::transport::Endpoint;

use crate::{rows::Rows, running::Running};

/// Time from one report to the next.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// How long a report may be on its way before the next one is sent instead.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reports to the scheduler at `endpoint` until the future is dropped.
pub(crate) async fn report(
    endpoint: Endpoint,
    executor: &str,
    memory_bytes: u64,
    running: &Running,
    rows: &Rows,
) -> Infallible {
    let channel = endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).connect_lazy();
    let mut client = ExecutorServiceClient::new(channel);
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (queries, rows) = (running.ids(), rows.of_running());
        let report = ExecutorReport { executor: executor.to_owned(), queries, rows, memory_bytes };
        match client.report(report).await {
            Ok(answer) => answer.into_inner().ended.iter().for_each(|query| {
                tracing::info!(query, "the query has ended: its tasks are stopped");
                running.stop(query);
            }),
            // The next report says the same again.
            Err(status) => tracing::debug!(%status, "the scheduler does not answer a report"),
        }
    }
}
