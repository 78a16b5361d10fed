//! What executors report at short intervals: which queries they work on, and of which they have files. They are answered
//! which of these have ended, and stop them, and whose files nobody reads any more, and delete them.
//!
//! [`Executors::stopped`] says when nobody works on a query any more, so that its files can be deleted. An executor that
//! is silent counts as lost before Ballista notices ([`Executors::lose_silent`]), and of two processes of one name the
//! one that came first is kept.

mod files;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidewaiter_executor::reports::INTERVAL;
use tidewaiter_proto::v1::{self, executor_service_server::ExecutorService};
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior},
};
use tonic::{Request, Response, Status};

use self::files::Files;
use crate::{ballista::Ballista, placement::Device, progress::Progress};

/// Without a report for so long, nobody waits for an executor.
const SILENT: Duration = Duration::from_secs(3);

/// How long an executor that is silent is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How long an executor that is gone is listed.
const LISTED: Duration = Duration::from_secs(600);

/// Losses that a job may be behind before it misses some.
const LOSSES_KEPT: usize = 64;

/// The last report of an executor.
#[derive(Debug, Clone, Default)]
struct Report {
    /// How many it has sent.
    number: u64,
    at: Option<Instant>,
    /// Of several processes of one name, the one that reports.
    process: String,
    address: String,
    memory_bytes: u64,
    queries: HashSet<String>,
    surroundings: Option<v1::Surroundings>,
}

impl Report {
    fn age(&self, now: Instant) -> Duration {
        self.at.map_or(Duration::MAX, |at| now.saturating_duration_since(at))
    }
}

/// How a report relates to that of its executor before.
#[derive(Debug, PartialEq, Eq)]
enum Sender {
    /// The same process, or the first of its name.
    Known,
    /// Another process, and the one before is silent.
    Replaces,
    /// Another process, and the one at this address reports, too.
    Second { first: String },
}

/// The reports of all executors, by their ids.
#[derive(Debug, Default)]
struct Reports(HashMap<String, Report>);

impl Reports {
    fn add(&mut self, executor: String, report: Report, now: Instant) {
        self.0.retain(|_, report| report.age(now) < REMEMBERED);
        let number = self.0.get(&executor).map_or(0, |report| report.number) + 1;
        self.0.insert(executor, Report { number, at: Some(now), ..report });
    }

    fn sender(&self, executor: &str, process: &str, now: Instant) -> Sender {
        match self.0.get(executor) {
            Some(known) if known.process != process && known.age(now) < SILENT => {
                Sender::Second { first: known.address.clone() }
            }
            Some(known) if known.process != process => Sender::Replaces,
            _ => Sender::Known,
        }
    }

    /// Whether every executor has twice reported since, and works on none of the queries. The first report may have been
    /// written before, and a task may have been on its way to an executor that did not know of it yet.
    fn without(&self, queries: &HashSet<String>, since: &Mark, now: Instant) -> bool {
        let due = |executor: &String| since.0.get(executor).map_or(0, |number| number + 2);
        let mut heard = self.0.iter().filter(|(_, report)| report.age(now) < SILENT);
        heard.all(|(executor, report)| report.number >= due(executor) && report.queries.is_disjoint(queries))
    }

    /// Forgets the executors that have been silent for so long, and gives them.
    fn lose(&mut self, silence: Duration, now: Instant) -> Vec<(String, Report)> {
        self.0.extract_if(|_, report| report.age(now) >= silence).collect()
    }
}

/// An executor that is gone.
#[derive(Debug, Clone)]
pub(crate) struct Gone {
    pub(crate) executor: String,
    pub(crate) address: String,
    /// Bytes for sorts and buffers; 0: it had not said.
    pub(crate) memory_bytes: u64,
    /// When it was last heard.
    pub(crate) heard: Instant,
}

/// The loss of an executor.
#[derive(Debug, Clone)]
pub(crate) struct Loss {
    pub(crate) executor: String,
    /// Those who worked there: jobs that a user submitted, and queries.
    pub(crate) jobs: HashSet<String>,
}

/// A moment in the sequence of reports.
#[derive(Debug, Clone)]
pub(crate) struct Mark(HashMap<String, u64>);

/// What an executor has last said of itself.
pub(crate) struct Said {
    /// Bytes for sorts and buffers; 0: it has not said.
    pub(crate) memory_bytes: u64,
    /// How many queries it works on.
    pub(crate) queries: usize,
    /// How long before now; `None` when it has not, or long ago.
    pub(crate) before: Option<Duration>,
    /// What it is and has.
    pub(crate) surroundings: Option<v1::Surroundings>,
}

impl Said {
    /// Whether reports are missing.
    pub(crate) fn is_silent(&self) -> bool {
        self.before.is_none_or(|before| before >= SILENT)
    }
}

/// The executors that are present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Present {
    /// All.
    pub(crate) executors: usize,
    /// Those with a GPU.
    pub(crate) with_gpu: usize,
}

/// The executors of a scheduler. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Executors {
    ballista: Ballista,
    reports: Arc<watch::Sender<Reports>>,
    gone: Arc<Mutex<Vec<Gone>>>,
    losses: broadcast::Sender<Loss>,
    progress: Progress,
    files: Files,
}

impl Executors {
    /// The executors of a scheduler.
    pub(crate) fn new(ballista: Ballista) -> Self {
        Self {
            files: Files::new(ballista.clone()),
            ballista,
            reports: Arc::default(),
            gone: Arc::default(),
            losses: broadcast::channel(LOSSES_KEPT).0,
            progress: Progress::default(),
        }
    }

    /// How far queries are.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whose files are wanted.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// The losses of executors from now on.
    pub(crate) fn losses(&self) -> broadcast::Receiver<Loss> {
        self.losses.subscribe()
    }

    /// The executors that went some minutes ago and have not come back, by their ids.
    pub(crate) fn gone(&self) -> Vec<Gone> {
        let (reports, now) = (self.reports.borrow(), Instant::now());
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|gone| {
            now.saturating_duration_since(gone.heard) < LISTED && !reports.0.contains_key(&gone.executor)
        });
        gone.clone()
    }

    /// What an executor has said of itself.
    pub(crate) fn said_by(&self, executor: &str) -> Said {
        match self.reports.borrow().0.get(executor) {
            Some(report) => Said {
                memory_bytes: report.memory_bytes,
                queries: report.queries.len(),
                before: Some(report.age(Instant::now())),
                surroundings: report.surroundings.clone(),
            },
            None => Said { memory_bytes: 0, queries: 0, before: None, surroundings: None },
        }
    }

    /// The executors that report.
    pub(crate) fn present(&self) -> Present {
        let (reports, now) = (self.reports.borrow(), Instant::now());
        let present = reports.0.iter().filter(|(_, report)| report.age(now) < SILENT);
        present.fold(Present::default(), |Present { executors, with_gpu }, (executor, _)| Present {
            executors: executors + 1,
            with_gpu: with_gpu + usize::from(Device::of_executor(executor) == Device::Gpu),
        })
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

    /// Tells Ballista of each executor that has been silent for so long, until the future is dropped.
    pub(crate) async fn lose_silent(self, silence: Duration) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            let now = Instant::now();
            // A scheduler that stood still itself has heard nobody.
            if now.saturating_duration_since(std::mem::replace(&mut last, now)) > silence / 2 + INTERVAL {
                let here = |report: &mut Report| report.at = Some(now);
                self.reports.send_if_modified(|reports| {
                    reports.0.values_mut().for_each(here);
                    false
                });
            }
            let mut lost = Vec::new();
            self.reports.send_if_modified(|reports| {
                lost = reports.lose(silence, now);
                !lost.is_empty()
            });
            for (executor, report) in lost {
                tracing::warn!(executor, ?silence, "an executor is silent: its tasks run elsewhere");
                self.note_loss(executor.clone(), report, now).await;
                self.forget(&executor).await;
            }
        }
    }

    /// Lists an executor as gone, and tells the jobs that it worked for.
    async fn note_loss(&self, executor: String, report: Report, now: Instant) {
        let running = self.ballista.running();
        let mut jobs = HashSet::new();
        for query in &report.queries {
            if let Some(query) = running.get(query.as_str()) {
                jobs.insert(query.execution_graph.read().await.job_name().to_owned());
            }
        }
        let Report { address, memory_bytes, at, .. } = report;
        let gone = Gone { executor: executor.clone(), address, memory_bytes, heard: at.unwrap_or(now) };
        let mut all = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.executor != executor);
        all.push(gone);
        all.sort_by(|one, other| one.executor.cmp(&other.executor));
        drop(all);
        // Nobody may listen.
        drop(self.losses.send(Loss { executor, jobs }));
    }

    async fn forget(&self, executor: &str) {
        if let Err(error) = self.ballista.lose(executor).await {
            tracing::warn!(executor, %error, "an executor that is lost is not forgotten yet");
        }
    }
}

#[tonic::async_trait]
impl ExecutorService for Executors {
    async fn report(
        &self,
        request: Request<v1::ExecutorReport>,
    ) -> Result<Response<v1::ExecutorReportResponse>, Status> {
        let v1::ExecutorReport {
            executor,
            queries,
            rows,
            memory_bytes,
            process,
            address,
            kept,
            surroundings,
        } = request.into_inner();
        let sender = self.reports.borrow().sender(&executor, &process, Instant::now());
        match sender {
            Sender::Known => {}
            Sender::Second { first } => {
                return Err(Status::already_exists(format!(
                    "an executor of the name {executor} is connected already, at {first}; give this one another --name"
                )));
            }
            // Its tasks ended with the process before.
            Sender::Replaces => {
                let before = self.reports.borrow().0.get(&executor).cloned();
                self.note_loss(executor.clone(), before.unwrap_or_default(), Instant::now()).await;
                self.forget(&executor).await;
            }
        }
        self.progress.hear(&executor, rows);
        let running = self.ballista.running();
        let ended = queries.iter().filter(|query| !running.contains_key(query.as_str())).cloned().collect();
        let unwanted = self.files.unwanted(kept).await;
        let queries = queries.into_iter().collect();
        let report = Report { process, address, memory_bytes, queries, surroundings, ..Report::default() };
        self.reports.send_modify(|reports| reports.add(executor, report, Instant::now()));
        Ok(Response::new(v1::ExecutorReportResponse { ended, unwanted }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn report(names: &[&str]) -> Report {
        Report { queries: queries(names), process: "first".to_owned(), ..Report::default() }
    }

    #[test]
    fn a_query_has_stopped_when_every_executor_has_reported_twice_without_it() {
        let start = Instant::now();
        let after = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let mut reports = Reports::default();
        reports.add("a".to_owned(), report(&["1", "2"]), after(0));
        reports.add("b".to_owned(), report(&[]), after(1));
        let since = Mark([("a".to_owned(), 1), ("b".to_owned(), 1)].into());
        let wanted = queries(&["1"]);
        assert!(!reports.without(&wanted, &since, after(2)), "a works on it");
        reports.add("a".to_owned(), report(&["2"]), after(5));
        reports.add("b".to_owned(), report(&[]), after(6));
        assert!(
            !reports.without(&wanted, &since, after(7)),
            "a report may be older than the end of the query"
        );
        reports.add("a".to_owned(), report(&["2"]), after(10));
        assert!(!reports.without(&wanted, &since, after(11)), "b may have got a task meanwhile");
        reports.add("b".to_owned(), report(&["1"]), after(11));
        assert!(!reports.without(&wanted, &since, after(12)), "b has got one");
        reports.add("b".to_owned(), report(&[]), after(16));
        reports.add("c".to_owned(), report(&["2"]), after(17));
        assert!(reports.without(&wanted, &since, after(18)), "c came later and works on another");
        assert!(!reports.without(&queries(&["2"]), &since, after(18)));
    }

    #[test]
    fn nobody_waits_for_an_executor_that_is_silent() {
        let start = Instant::now();
        let mut reports = Reports::default();
        reports.add("a".to_owned(), report(&["1"]), start);
        let since = Mark([("a".to_owned(), 1)].into());
        assert!(!reports.without(&queries(&["1"]), &since, start + SILENT / 2));
        assert!(reports.without(&queries(&["1"]), &since, start + SILENT));
        reports.add("b".to_owned(), report(&[]), start + REMEMBERED);
        assert_eq!(reports.0.len(), 1, "a silent executor is forgotten");
    }

    #[test]
    fn of_two_processes_of_one_name_the_first_is_kept_while_it_reports() {
        let start = Instant::now();
        let mut reports = Reports::default();
        assert_eq!(reports.sender("a", "first", start), Sender::Known);
        reports.add("a".to_owned(), Report { address: "host:1".to_owned(), ..report(&[]) }, start);
        assert_eq!(reports.sender("a", "first", start + SILENT), Sender::Known);
        let second = reports.sender("a", "second", start + SILENT / 2);
        assert_eq!(second, Sender::Second { first: "host:1".to_owned() });
        assert_eq!(reports.sender("a", "second", start + SILENT), Sender::Replaces);
    }

    #[test]
    fn an_executor_is_lost_when_it_has_been_silent_for_the_time() {
        let start = Instant::now();
        let mut reports = Reports::default();
        reports.add("a".to_owned(), report(&["1"]), start);
        reports.add("b".to_owned(), report(&[]), start + SILENT);
        let mut lost = |after: Duration| {
            let lost = reports.lose(2 * SILENT, start + after).into_iter();
            lost.map(|(executor, report)| (executor, report.queries)).collect::<Vec<_>>()
        };
        assert!(lost(SILENT).is_empty());
        assert_eq!(lost(2 * SILENT), [("a".to_owned(), queries(&["1"]))]);
        assert!(lost(2 * SILENT).is_empty(), "it is lost once");
    }
}
