//! What executors report at short intervals: which queries they work on. They are answered which of these have ended, and
//! stop them.
//!
//! [`Executors::stopped`] says when nobody works on a query any more, so that its files can be deleted.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidewaiter_executor::reports::INTERVAL;
use tidewaiter_proto::v1::{self, executor_service_server::ExecutorService};
use tokio::{sync::watch, time::Instant};
use tonic::{Request, Response, Status};

use crate::{ballista::Ballista, progress::Progress};

/// Without a report for so long, nobody waits for an executor.
const SILENT: Duration = Duration::from_secs(3);

/// The last report of an executor.
#[derive(Debug)]
struct Report {
    /// How many it has sent.
    number: u64,
    at: Instant,
    queries: HashSet<String>,
}

/// The reports of all executors, by their ids.
#[derive(Debug, Default)]
struct Reports(HashMap<String, Report>);

impl Reports {
    fn add(&mut self, executor: String, queries: HashSet<String>, at: Instant) {
        self.0.retain(|_, report| at - report.at < SILENT);
        let number = self.0.get(&executor).map_or(0, |report| report.number) + 1;
        self.0.insert(executor, Report { number, at, queries });
    }

    /// Whether every executor has twice reported since, and works on none of the queries. The first report may have been
    /// written before, and a task may have been on its way to an executor that did not know of it yet.
    fn without(&self, queries: &HashSet<String>, since: &Mark, now: Instant) -> bool {
        let due = |executor: &String| since.0.get(executor).map_or(0, |number| number + 2);
        let mut heard = self.0.iter().filter(|(_, report)| now - report.at < SILENT);
        heard.all(|(executor, report)| report.number >= due(executor) && report.queries.is_disjoint(queries))
    }
}

/// A moment in the sequence of reports.
#[derive(Debug, Clone)]
pub(crate) struct Mark(HashMap<String, u64>);

/// The executors of a scheduler. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Executors {
    ballista: Ballista,
    reports: Arc<watch::Sender<Reports>>,
    progress: Progress,
    /// Bytes for sorts and buffers, by the executors' ids.
    memory: Arc<Mutex<HashMap<String, u64>>>,
}

impl Executors {
    /// The executors of a scheduler.
    pub(crate) fn new(ballista: Ballista) -> Self {
        Self { ballista, reports: Arc::default(), progress: Progress::default(), memory: Arc::default() }
    }

    /// How far queries are.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Bytes that an executor has for sorts and buffers (0: it has not said), and how many queries it works on.
    pub(crate) fn said_by(&self, executor: &str) -> (u64, usize) {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let queries = self.reports.borrow().0.get(executor).map_or(0, |report| report.queries.len());
        (memory.get(executor).copied().unwrap_or(0), queries)
    }

    /// This moment.
    pub(crate) fn mark(&self) -> Mark {
        let numbers = |(executor, report): (&String, &Report)| (executor.clone(), report.number);
        Mark(self.reports.borrow().0.iter().map(numbers).collect())
    }

    /// Whether no executor has worked on any of the queries since a moment.
    pub(crate) fn stopped(&self, queries: &HashSet<String>, since: &Mark) -> bool {
        self.reports.borrow().without(queries, since, Instant::now())
    }

    /// Waits for the next report of any executor, no longer than one takes.
    pub(crate) async fn next_report(&self) {
        let mut reports = self.reports.subscribe();
        // Where no executor lives there is none.
        let _ = tokio::time::timeout(INTERVAL, reports.changed()).await;
    }
}

#[tonic::async_trait]
impl ExecutorService for Executors {
    async fn report(
        &self,
        request: Request<v1::ExecutorReport>,
    ) -> Result<Response<v1::ExecutorReportResponse>, Status> {
        let v1::ExecutorReport { executor, queries, rows, memory_bytes } = request.into_inner();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).insert(executor.clone(), memory_bytes);
        self.progress.hear(&executor, rows);
        let running = self.ballista.running();
        let ended = queries.iter().filter(|query| !running.contains_key(query.as_str())).cloned().collect();
        let queries = queries.into_iter().collect();
        self.reports.send_modify(|reports| reports.add(executor, queries, Instant::now()));
        Ok(Response::new(v1::ExecutorReportResponse { ended }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_query_has_stopped_when_every_executor_has_reported_twice_without_it() {
        let start = Instant::now();
        let after = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let mut reports = Reports::default();
        reports.add("a".to_owned(), queries(&["1", "2"]), after(0));
        reports.add("b".to_owned(), queries(&[]), after(1));
        let since = Mark([("a".to_owned(), 1), ("b".to_owned(), 1)].into());
        let wanted = queries(&["1"]);
        assert!(!reports.without(&wanted, &since, after(2)), "a works on it");
        reports.add("a".to_owned(), queries(&["2"]), after(5));
        reports.add("b".to_owned(), queries(&[]), after(6));
        assert!(
            !reports.without(&wanted, &since, after(7)),
            "a report may be older than the end of the query"
        );
        reports.add("a".to_owned(), queries(&["2"]), after(10));
        assert!(!reports.without(&wanted, &since, after(11)), "b may have got a task meanwhile");
        reports.add("b".to_owned(), queries(&["1"]), after(11));
        assert!(!reports.without(&wanted, &since, after(12)), "b has got one");
        reports.add("b".to_owned(), queries(&[]), after(16));
        reports.add("c".to_owned(), queries(&["2"]), after(17));
        assert!(reports.without(&wanted, &since, after(18)), "c came later and works on another");
        assert!(!reports.without(&queries(&["2"]), &since, after(18)));
    }

    #[test]
    fn nobody_waits_for_an_executor_that_is_silent() {
        let start = Instant::now();
        let mut reports = Reports::default();
        reports.add("a".to_owned(), queries(&["1"]), start);
        let since = Mark([("a".to_owned(), 1)].into());
        assert!(!reports.without(&queries(&["1"]), &since, start + SILENT / 2));
        assert!(reports.without(&queries(&["1"]), &since, start + SILENT));
        reports.add("b".to_owned(), queries(&[]), start + SILENT);
        assert_eq!(reports.0.len(), 1, "a silent executor is forgotten");
    }
}
