//! What jobs wait for: an executor, an executor with a GPU, or a free slot.
//!
//! A job waits when its queries have tasks to do and none of them runs. [`Waiting::tell`] looks every half second; what is
//! so at one look only is the moment between two stages and does not count. Who does something about it, such as pools
//! that grow, says what by [`Waiting::explain`]. What is absent: the places of tasks, which [`crate::placement`] decides.
//! Start at [`Waiting::longer_than`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ballista_core::serde::protobuf::task_status::Status;
use ballista_scheduler::state::execution_stage::ExecutionStage;
use tidewaiter_metrics::families::JOB_WAIT;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    ballista::Ballista,
    executors::{Executors, Present},
    placement::{Device, StageNeeds, collapses_its_input},
};

/// Time from one look at the queries to the next.
const INTERVAL: Duration = Duration::from_millis(500);

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// No executor is connected.
    Executor,
    /// No executor with a GPU is connected.
    Gpu,
    /// Other jobs have all slots.
    Slot,
}

impl Lack {
    /// As a user reads it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Executor => "an executor: none is connected",
            Self::Gpu => "an executor with a GPU: none is connected",
            Self::Slot => "a free slot: other jobs have all of them",
        }
    }

    /// As a label of metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Executor => "executor",
            Self::Gpu => "gpu",
            Self::Slot => "slot",
        }
    }

    /// Whether a job waits for it no longer than its bound. Where other jobs have the slots, its turn comes.
    fn is_bounded(self) -> bool {
        self != Self::Slot
    }
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wait {
    since: Instant,
    looks: u32,
    lack: Lack,
}

impl Wait {
    /// What it waits for, once that is more than a moment.
    fn lack(&self) -> Option<Lack> {
        (self.looks > 1).then_some(self.lack)
    }
}

/// The tasks of a job, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tasks {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    /// Whether some of those that wait ask for a GPU.
    need_gpu: bool,
    /// Those that ask for a GPU, whether they run or wait.
    pub(crate) of_gpu: usize,
}

/// The jobs that wait, and what is done about it.
#[derive(Debug, Default)]
struct Waits {
    jobs: HashMap<String, Wait>,
    notes: BTreeMap<String, String>,
}

impl Waits {
    /// What a job waits for, as a user reads it.
    fn text(&self, job: &str) -> Option<String> {
        let lack = self.jobs.get(job)?.lack()?.text();
        Some(match self.notes.get(job) {
            Some(note) => format!("{lack} ({note})"),
            None => lack.to_owned(),
        })
    }
}

/// The jobs that wait. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Waiting {
    waits: Arc<watch::Sender<Waits>>,
    /// The tasks of the jobs that have queries, as they were when they were last looked at.
    tasks: Arc<Mutex<HashMap<String, Tasks>>>,
}

impl Waiting {
    /// What a job waits for, as a user reads it; `None` while its tasks run.
    pub(crate) fn text(&self, job: &str) -> Option<String> {
        self.waits.borrow().text(job)
    }

    /// What a job waits for; `None` while its tasks run.
    pub(crate) fn lack(&self, job: &str) -> Option<Lack> {
        self.waits.borrow().jobs.get(job)?.lack()
    }

    /// The tasks of every job that has a query.
    pub(crate) fn tasks(&self) -> HashMap<String, Tasks> {
        self.last().clone()
    }

    /// Says what is done for the jobs that wait, in place of what was said before.
    pub(crate) fn explain(&self, notes: BTreeMap<String, String>) {
        self.waits.send_if_modified(|waits| {
            let news = waits.notes != notes;
            waits.notes = notes;
            news
        });
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, Tasks>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when a job has waited for as long as `bound` for executors that are not there, and says for what; `tell`
    /// hears of each change.
    pub(crate) async fn longer_than(
        &self,
        job: &str,
        bound: Duration,
        tell: impl Fn(Option<String>),
    ) -> String {
        let (mut changes, mut told) = (self.waits.subscribe(), None);
        loop {
            let (wait, text) = {
                let waits = changes.borrow_and_update();
                (waits.jobs.get(job).cloned(), waits.text(job))
            };
            if told != text {
                told.clone_from(&text);
                tell(text.clone());
            }
            // The sender lives as long as this.
            let change = async { drop(changes.changed().await) };
            match wait.filter(|wait| wait.lack().is_some_and(Lack::is_bounded)) {
                None => change.await,
                Some(wait) => {
                    let left = bound.saturating_sub(wait.since.elapsed());
                    if tokio::time::timeout(left, change).await.is_err() {
                        return text.unwrap_or_else(|| wait.lack.text().to_owned());
                    }
                }
            }
        }
    }

    /// Looks at the queries of a scheduler until the future is dropped.
    pub(crate) async fn tell(self, ballista: Ballista, executors: Executors, needs: StageNeeds) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let jobs = tasks(&ballista, needs).await;
            let slots = ballista.executors().get_executors_state().await.unwrap_or_default();
            let slots = slots.iter().map(|(executor, ..)| executor.specification.vcores as usize).sum();
            let lacks = lacks(&jobs, executors.present(), slots);
            *self.last() = jobs;
            self.waits.send_if_modified(|waits| note(&mut waits.jobs, &lacks, now));
            for lack in self.waits.borrow().jobs.values().filter_map(Wait::lack) {
                JOB_WAIT.add(&[lack.name()], INTERVAL.as_secs_f64());
            }
        }
    }
}

/// The tasks of every job that has a query.
async fn tasks(ballista: &Ballista, needs: StageNeeds) -> HashMap<String, Tasks> {
    let running = ballista.running();
    let mut jobs = HashMap::<String, Tasks>::new();
    for query in running.values() {
        let graph = query.execution_graph.read().await;
        let tasks = jobs.entry(graph.job_name().to_owned()).or_default();
        for stage in graph.stages().values() {
            let ExecutionStage::Running(stage) = stage else { continue };
            let running =
                stage.task_infos.iter().filter(|task| matches!(task.task_status, Status::Running(_))).count();
            tasks.running += running;
            let waiting = match stage.pending.remaining() {
                // All of them are one task.
                partitions if partitions > 0 && collapses_its_input(&stage.plan) => 1,
                partitions => partitions,
            };
            tasks.waiting += waiting;
            if needs(&stage.plan) == Device::Gpu {
                tasks.need_gpu |= waiting > 0;
                tasks.of_gpu += waiting + running;
            }
        }
    }
    jobs
}

/// The jobs that wait, and what for.
fn lacks(jobs: &HashMap<String, Tasks>, present: Present, slots: usize) -> HashMap<String, Lack> {
    let running: usize = jobs.values().map(|tasks| tasks.running).sum();
    let waiting = jobs.iter().filter(|(_, tasks)| tasks.running == 0 && tasks.waiting > 0);
    let waiting = waiting.filter_map(|(job, tasks)| {
        let lack = if present.executors == 0 {
            Lack::Executor
        } else if tasks.need_gpu && present.with_gpu == 0 {
            Lack::Gpu
        } else if running > 0 && running >= slots {
            Lack::Slot
        } else {
            return None;
        };
        Some((job.clone(), lack))
    });
    waiting.collect()
}

/// Notes what was seen; `true` where it says something new.
fn note(waits: &mut HashMap<String, Wait>, lacks: &HashMap<String, Lack>, now: Instant) -> bool {
    let before = waits.len();
    waits.retain(|job, _| lacks.contains_key(job));
    let mut news = waits.len() < before;
    for (job, lack) in lacks {
        let new = Wait { since: now, looks: 0, lack: *lack };
        let wait = waits.entry(job.clone()).or_insert(new);
        if wait.lack.is_bounded() != lack.is_bounded() {
            wait.since = now;
        }
        news |= wait.looks < 2 || wait.lack != *lack;
        (wait.looks, wait.lack) = (wait.looks.saturating_add(1), *lack);
    }
    news
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_job_waits_that_has_tasks_and_none_of_them_runs() {
        let tasks = |running, waiting, need_gpu| Tasks { running, waiting, need_gpu, ..Tasks::default() };
        let jobs = |tasks: Tasks| HashMap::from([("job".to_owned(), tasks)]);
        let lack = |jobs: &HashMap<String, Tasks>, executors, with_gpu, slots| {
            lacks(jobs, Present { executors, with_gpu }, slots).get("job").copied()
        };
        assert_eq!(lack(&jobs(tasks(0, 3, false)), 0, 0, 0), Some(Lack::Executor));
        assert_eq!(lack(&jobs(tasks(0, 3, false)), 1, 0, 2), None, "it is given a slot next");
        assert_eq!(lack(&jobs(tasks(0, 3, false)), 1, 0, 0), None, "an executor has just joined");
        assert_eq!(lack(&jobs(tasks(1, 3, false)), 1, 0, 1), None);
        assert_eq!(lack(&jobs(tasks(0, 0, false)), 0, 0, 0), None);
        assert_eq!(lack(&jobs(tasks(0, 3, true)), 1, 0, 2), Some(Lack::Gpu));
        assert_eq!(lack(&jobs(tasks(0, 3, true)), 2, 1, 2), None);
        let mut two = jobs(tasks(0, 3, false));
        two.insert("other".to_owned(), tasks(2, 5, false));
        assert_eq!(lack(&two, 1, 0, 2), Some(Lack::Slot));
    }

    #[tokio::test]
    async fn a_wait_counts_from_its_second_look_and_ends_a_job_after_its_time() {
        let waiting = Waiting::default();
        let of = |lack| HashMap::from([("job".to_owned(), lack)]);
        let told = Mutex::new(Vec::new());
        let tell = |text| told.lock().expect("not poisoned").push(text);
        let now = Instant::now();
        let look = |lacks: &HashMap<String, Lack>| {
            waiting.waits.send_if_modified(|waits| note(&mut waits.jobs, lacks, now))
        };
        assert!(look(&of(Lack::Executor)));
        assert_eq!(waiting.lack("job"), None);
        let mut follows = Box::pin(waiting.longer_than("job", Duration::from_secs(3600), tell));
        assert!(futures::poll!(&mut follows).is_pending());
        assert!(look(&of(Lack::Executor)));
        assert_eq!(waiting.lack("job"), Some(Lack::Executor));
        assert!(futures::poll!(&mut follows).is_pending());
        assert!(!look(&of(Lack::Executor)), "nothing new");
        assert!(look(&HashMap::new()));
        assert!(futures::poll!(&mut follows).is_pending());
        let executor = || Some(Lack::Executor.text().to_owned());
        assert_eq!(*told.lock().expect("not poisoned"), [executor(), None]);
        assert_eq!(waiting.lack("job"), None);

        look(&of(Lack::Slot));
        look(&of(Lack::Slot));
        let mut follows = Box::pin(waiting.longer_than("job", Duration::ZERO, |_| ()));
        assert!(futures::poll!(&mut follows).is_pending(), "its turn comes");
        assert!(look(&of(Lack::Gpu)));
        waiting.explain([("job".to_owned(), "2 of 2 pods start".to_owned())].into());
        assert_eq!(follows.await, "an executor with a GPU: none is connected (2 of 2 pods start)");
    }
}
