//! How far the queries of the driver's jobs are, by their stages on the cluster.
//!
//! Every half second [`Progress::tell`] looks at the running queries: of each stage how many tasks are done, and how many
//! rows its tasks have read, those that run included, which the executors report. The [`Meter`] of the step's session is
//! told. The rows that are counted are those of the tables' files, of all stages from the beginning, so that their number
//! stays the same; a table that a query reads twice counts twice. Where they are not known, tasks are counted.
//! What is absent: the progress of fits, which their leaders tell themselves. Start at [`Progress::follow`].

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use ballista_core::serde::protobuf::task_status::Status;
use ballista_scheduler::state::execution_stage::{ExecutionStage, RunningStage};
use datafusion::{
    datasource::{physical_plan::FileScanConfig, source::DataSourceExec},
    physical_plan::ExecutionPlan,
};
use tidewaiter_core::plan::{Meter, OperatorExec, QueryProgress};
use tidewaiter_executor::rows::read;
use tidewaiter_job::summary::grouped;
use tidewaiter_proto::v1::StageRows;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{ballista::Ballista, placement::collapses_its_input};

/// Time from one look at the queries to the next.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long what an executor reported counts.
const RECENT: Duration = Duration::from_secs(3);

/// Who is told of which queries, and what executors report of them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// The meters of a job's sessions, the oldest first, by the job's id, which its queries have as their name.
    meters: HashMap<String, Vec<Weak<Meter>>>,
    /// The last report of every executor, by its id.
    reports: HashMap<String, (Instant, Vec<StageRows>)>,
}

impl Known {
    /// Forgets the meters that nothing holds any more.
    fn forget(&mut self) {
        self.meters.retain(|_, meters| {
            meters.retain(|meter| meter.strong_count() > 0);
            !meters.is_empty()
        });
    }

    /// The rows that running tasks of a stage have read.
    fn rows(&self, query: &str, stage: usize, now: Instant) -> u64 {
        let recent = self.reports.values().filter(|(at, _)| now - *at < RECENT);
        let tasks = recent.flat_map(|(_, tasks)| tasks);
        tasks.filter(|task| task.query == query && task.stage as usize == stage).map(|task| task.rows).sum()
    }
}

impl Progress {
    /// Tells a meter of the queries of a job from now on, until nothing holds the meter or a newer one follows. A step has
    /// a session of its own, and steps follow each other.
    pub(crate) fn follow(&self, job: &str, meter: &Arc<Meter>) {
        self.known().meters.entry(job.to_owned()).or_default().push(Arc::downgrade(meter));
    }

    /// Notes what an executor's running tasks have read.
    pub(crate) fn hear(&self, executor: &str, rows: Vec<StageRows>) {
        let now = Instant::now();
        let reports = &mut self.known().reports;
        reports.retain(|_, (at, _)| now - *at < RECENT);
        reports.insert(executor.to_owned(), (now, rows));
    }

    /// Tells the meters of the queries of a scheduler until the future is dropped.
    pub(crate) async fn tell(self, ballista: Ballista) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = HashMap::new();
        loop {
            ticks.tick().await;
            self.known().forget();
            let running = ballista.running();
            told.retain(|query: &String, _| running.contains_key(query.as_str()));
            for (query, running) in running.iter() {
                let graph = running.execution_graph.read().await;
                let meter =
                    self.known().meters.get(graph.job_name()).and_then(|meters| meters.last()?.upgrade());
                let Some(meter) = meter else { continue };
                let stages = graph.stages().values();
                if stages.clone().any(|stage| tells_progress(stage.plan())) {
                    continue;
                }
                let stages = stages.filter_map(|stage| self.stage(query.as_str(), stage)).collect();
                let (last, next) = (told.get(query.as_str()), progress(stages));
                if last != Some(&next) {
                    told.insert(query.as_str().to_owned(), next.clone());
                    meter.report(next);
                }
            }
        }
    }

    /// How far a stage is, if it has begun.
    fn stage(&self, query: &str, stage: &ExecutionStage) -> Option<Stage> {
        match stage {
            ExecutionStage::Running(stage) => {
                let of_ended = stage.stage_metrics.as_deref().unwrap_or_default();
                let of_running = self.known().rows(query, stage.stage_id, Instant::now());
                let (done, tasks) = tasks(stage);
                Some(Stage {
                    number: stage.stage_id,
                    done,
                    tasks,
                    read: read(stage.plan.as_ref(), of_ended) + of_running,
                    rows: rows(stage.plan.as_ref()),
                })
            }
            ExecutionStage::Successful(stage) => {
                let read = read(stage.plan.as_ref(), &stage.stage_metrics);
                let tasks = stage.partitions as u64;
                let rows = rows(stage.plan.as_ref());
                Some(Stage { number: stage.stage_id, done: tasks, tasks, read, rows })
            }
            ExecutionStage::UnResolved(unresolved) => {
                Some(Stage::not_begun(unresolved.stage_id, rows(stage.plan())))
            }
            ExecutionStage::Resolved(resolved) => {
                Some(Stage::not_begun(resolved.stage_id, rows(stage.plan())))
            }
            ExecutionStage::Failed(_) => None,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an operator of a plan tells of its progress itself.
fn tells_progress(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<OperatorExec>().is_some_and(|node| node.operator().tells_progress())
        || plan.children().into_iter().any(|input| tells_progress(input.as_ref()))
}

/// The tasks of a stage that are done, and all.
fn tasks(stage: &RunningStage) -> (u64, u64) {
    let ended = stage.task_infos.iter().filter(|task| matches!(task.task_status, Status::Successful(_)));
    if collapses_its_input(&stage.plan) {
        return (u64::from(ended.count() > 0), 1);
    }
    let partitions = ended.map(|task| task.global_input_partition_ids.len() as u64);
    (partitions.sum(), stage.partitions as u64)
}

/// How many rows the files have that a plan scans, 0 where it scans none; `None` where one is not known.
fn rows(plan: &dyn ExecutionPlan) -> Option<u64> {
    if plan.children().is_empty() {
        let scan = plan.downcast_ref::<DataSourceExec>();
        let scan =
            scan.and_then(|scan| (scan.data_source().as_ref() as &dyn Any).downcast_ref::<FileScanConfig>());
        return scan.map_or(Some(0), rows_of_files);
    }
    plan.children().into_iter().map(|input| rows(input.as_ref())).sum()
}

/// The rows of a scan's files, as their table's log has them.
fn rows_of_files(scan: &FileScanConfig) -> Option<u64> {
    let files = scan.file_groups.iter().flat_map(|group| group.iter());
    let rows = files.map(|file| {
        let rows = *file.statistics.as_ref()?.num_rows.get_value()? as u64;
        // A file may be divided between tasks.
        let (part, whole) = (u128::from(file.effective_size()), u128::from(file.object_meta.size.max(1)));
        u64::try_from(u128::from(rows) * part / whole).ok()
    });
    rows.sum()
}

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage {
    number: usize,
    /// Tasks done.
    done: u64,
    /// All tasks; 0: it has not begun.
    tasks: u64,
    /// Rows read, from files and from stages before.
    read: u64,
    /// All rows of its files, if known.
    rows: Option<u64>,
}

impl Stage {
    fn not_begun(number: usize, rows: Option<u64>) -> Self {
        Self { number, done: 0, tasks: 0, read: 0, rows }
    }

    /// The rows of its files, where it has some.
    fn of_files(&self) -> Option<u64> {
        self.rows.filter(|rows| *rows > 0)
    }

    /// How many of them it has read.
    fn read_of_files(&self) -> u64 {
        match self.of_files() {
            // A scan that skips rows by a filter reads fewer, a task that is repeated more.
            Some(rows) if self.tasks == 0 || self.done < self.tasks => self.read.min(rows),
            rows => rows.unwrap_or(0),
        }
    }
}

/// How far a query is.
fn progress(mut stages: Vec<Stage>) -> QueryProgress {
    stages.sort_by_key(|stage| stage.number);
    let notes = stages.iter().filter(|stage| stage.done < stage.tasks).map(|stage| {
        let Stage { number, done, tasks, .. } = stage;
        let rows = stage.of_files().map(|rows| (stage.read_of_files(), rows));
        let read = rows
            .map(|(read, rows)| format!(", {} of {} rows read", grouped(read), grouped(rows)))
            .unwrap_or_default();
        format!("stage {}: {done} of {tasks} tasks{read}", number + 1)
    });
    let note = notes.collect::<Vec<_>>().join("; ");
    let rows: Option<u64> = stages.iter().map(|stage| stage.rows).sum();
    match rows {
        Some(total) if total > 0 => {
            let done = stages.iter().map(Stage::read_of_files).sum();
            QueryProgress { done, total, unit: "rows read", note }
        }
        _ => {
            let done = stages.iter().map(|stage| stage.done).sum();
            let total = stages.iter().map(|stage| stage.tasks).sum();
            QueryProgress { done, total, unit: "tasks", note }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_where_all_are_known_and_tasks_otherwise() {
        let ended = Stage { number: 0, done: 4, tasks: 4, read: 900, rows: Some(900) };
        let running = Stage { number: 1, done: 1, tasks: 3, read: 1_200, rows: Some(2_000) };
        let both = progress(vec![running.clone(), ended.clone()]);
        assert_eq!((both.done, both.total, both.unit), (2_100, 2_900, "rows read"));
        assert_eq!(both.note, "stage 2: 1 of 3 tasks, 1,200 of 2,000 rows read");

        let unknown = Stage { rows: None, ..running.clone() };
        let both = progress(vec![ended, unknown]);
        assert_eq!((both.done, both.total, both.unit), (5, 7, "tasks"));
        assert_eq!(both.note, "stage 2: 1 of 3 tasks");

        let beyond = Stage { read: 2_500, ..running.clone() };
        assert_eq!(progress(vec![beyond]).done, 2_000, "never more than all");
        let (first, next) = (Stage::not_begun(0, Some(900)), Stage::not_begun(2, Some(0)));
        let from_the_beginning = progress(vec![first, running, next]);
        assert_eq!((from_the_beginning.done, from_the_beginning.total), (1_200, 2_900), "all stages count");
        let merging = Stage { number: 1, done: 0, tasks: 1, read: 77, rows: Some(0) };
        let merged =
            progress(vec![Stage { number: 0, done: 4, tasks: 4, read: 900, rows: Some(1_000) }, merging]);
        assert_eq!((merged.done, merged.total), (1_000, 1_000), "what is merged was read before");
        assert_eq!(merged.note, "stage 2: 0 of 1 tasks");
        assert_eq!(progress(Vec::new()), QueryProgress { unit: "tasks", ..QueryProgress::default() });
    }

    #[test]
    fn what_executors_report_is_added_up_and_forgotten() {
        let known = |at, executors: &[(&str, u64)]| {
            let tasks = |rows| vec![StageRows { query: "q".to_owned(), stage: 1, rows }];
            let reports = executors.iter().map(|(name, rows)| ((*name).to_owned(), (at, tasks(*rows))));
            Known { reports: reports.collect(), ..Known::default() }
        };
        let now = Instant::now();
        let known = known(now, &[("a", 3), ("b", 4)]);
        assert_eq!(known.rows("q", 1, now), 7);
        assert_eq!((known.rows("q", 2, now), known.rows("p", 1, now)), (0, 0));
        assert_eq!(known.rows("q", 1, now + RECENT), 0);
    }
}
