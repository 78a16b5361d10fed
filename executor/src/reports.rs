//! What an executor reports to its scheduler at short intervals, and what it learns by it: which of its tasks are not
//! wanted, which files, and that another executor has its name.
//!
//! Ballista's scheduler tells a pulling executor of new tasks, never of the end of a query. Here the executor asks: it
//! names the queries whose tasks it runs, and stops those that the scheduler answers have ended. So a cancelled query, a
//! failed one, and those of a scheduler that was started anew end alike, and nothing is lost with a broken connection.
//! Start at [`Reporter::join`].

use std::{sync::Arc, time::Duration};

use tidewaiter_proto::v1::{ExecutorReport, executor_service_client::ExecutorServiceClient};
use tokio::{
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior},
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use crate::{folder::Folder, observed::Observed, rows::Rows, running::Running};

/// Time from one report to the next.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// How long a report may be on its way before the next one is sent instead.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a scheduler is awaited that does not answer when the executor starts.
const SCHEDULER_WAIT: Duration = Duration::from_secs(10);

/// How long an executor waits for its name: another one that has it may just have ended.
const NAME_WAIT: Duration = Duration::from_secs(5);

/// Who reports.
pub(crate) struct Reporter {
    /// The executor's id.
    pub(crate) executor: String,
    /// Tells this process from another of its name.
    pub(crate) process: String,
    /// Where results are fetched.
    pub(crate) address: String,
    /// Bytes for sorts and buffers; 0: a share of the machine's.
    pub(crate) memory_bytes: u64,
    /// Its tasks.
    pub(crate) running: Running,
    /// What they have read.
    pub(crate) rows: Rows,
    /// Its files.
    pub(crate) folder: Arc<Folder>,
    /// What it is and has.
    pub(crate) observed: Observed,
}

/// Why an executor cannot serve a scheduler.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The scheduler does not answer.
    Silent(tonic::Status),
    /// Another executor has its name; the scheduler's words.
    Name(String),
}

type Client = ExecutorServiceClient<Channel>;

impl Reporter {
    /// Reports for the first time to the scheduler at `endpoint`, as soon as that answers.
    ///
    /// # Errors
    /// When it does not, or another executor has the name, for some seconds.
    pub(crate) async fn join(&self, endpoint: Endpoint) -> Result<Client, Refusal> {
        let channel = endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).connect_lazy();
        let mut client = ExecutorServiceClient::new(channel);
        let (begin, mut said) = (Instant::now(), false);
        loop {
            let Err(status) = self.report(&mut client).await else { return Ok(client) };
            let is_taken = status.code() == Code::AlreadyExists;
            let wait = if is_taken { NAME_WAIT } else { SCHEDULER_WAIT };
            if begin.elapsed() >= wait {
                let message = status.message().to_owned();
                return Err(if is_taken { Refusal::Name(message) } else { Refusal::Silent(status) });
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(
                    reason = status.message(),
                    ?wait,
                    "the scheduler does not take this executor; asking again"
                );
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Reports until the future is dropped, another executor has the name, or the scheduler has not answered for as long
    /// as this executor waits.
    pub(crate) async fn follow(&self, mut client: Client) -> Refusal {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut answers, mut heard) = (true, Instant::now());
        loop {
            ticks.tick().await;
            let answer = self.report(&mut client).await;
            if answer.is_ok() {
                heard = Instant::now();
            }
            match answer {
                Ok(()) if answers => {}
                Ok(()) => {
                    answers = true;
                    tracing::warn!("the scheduler answers again");
                }
                Err(status) if status.code() == Code::AlreadyExists => {
                    return Refusal::Name(status.message().to_owned());
                }
                Err(status)
                    if self.observed.about.leave_after.is_some_and(|longest| heard.elapsed() >= longest) =>
                {
                    return Refusal::Silent(status);
                }
                // The next report says the same again.
                Err(status) if answers => {
                    answers = false;
                    tracing::warn!(reason = status.message(), "the scheduler does not answer; asking again");
                }
                Err(_) => {}
            }
        }
    }

    async fn report(&self, client: &mut Client) -> Result<(), tonic::Status> {
        let folder = Arc::clone(&self.folder);
        // A folder that cannot be read has nothing to delete.
        let kept = spawn_blocking(move || folder.queries()).await.unwrap_or_default();
        let report = ExecutorReport {
            executor: self.executor.clone(),
            queries: self.running.ids(),
            rows: self.rows.of_running(),
            memory_bytes: self.memory_bytes,
            process: self.process.clone(),
            address: self.address.clone(),
            kept,
            surroundings: Some(self.observed.surroundings()),
        };
        let answer = client.report(report).await?.into_inner();
        for query in &answer.ended {
            tracing::info!(query, "the query has ended: its tasks are stopped");
            self.running.stop(query);
        }
        // What its tasks still write is deleted when they have stopped.
        let running = self.running.ids();
        let unwanted = answer.unwanted.into_iter().filter(|query| !running.contains(query));
        let (unwanted, folder): (Vec<String>, _) = (unwanted.collect(), Arc::clone(&self.folder));
        if !unwanted.is_empty() {
            drop(spawn_blocking(move || unwanted.iter().for_each(|query| folder.delete(query))).await);
        }
        Ok(())
    }
}
