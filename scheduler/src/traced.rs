//! Queries and their tasks, as spans of their jobs' traces.
//!
//! With its request for work an executor says which of its tasks have ended, and when they began and ended by its clock.
//! A query is known from the first of them on; its span is recorded when Ballista runs it no longer. Queries that belong
//! to no job of this process are left out. Start at [`Traced::hear`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ballista_core::serde::protobuf::{TaskStatus, task_status::Status};
use tidewaiter_traces::{Id, Level, Span};

use crate::ballista::Ballista;

/// Characters of an error that a span shows.
const ERROR_LENGTH: usize = 200;

/// The queries of which tasks have ended. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Traced {
    ballista: Ballista,
    queries: Arc<Mutex<HashMap<String, Query>>>,
}

#[derive(Debug)]
struct Query {
    job: String,
    id: Id,
    /// The step that was under way.
    step: Id,
    begun: SystemTime,
    /// The end of its last task so far.
    ended: SystemTime,
    error: Option<String>,
}

impl Traced {
    pub(crate) fn new(ballista: Ballista) -> Self {
        Self { ballista, queries: Arc::default() }
    }

    /// Records tasks of an executor that have ended, and the queries that have.
    pub(crate) async fn hear(&self, executor: &str, tasks: &[TaskStatus]) {
        if !tidewaiter_traces::are_wanted() {
            return;
        }
        for task in tasks {
            self.begin(&task.job_id).await;
            if let Some(query) = self.queries().get_mut(&task.job_id)
                && let Some(span) = of_task(query, executor, task)
            {
                tidewaiter_traces::record(span);
            }
        }
        let running = self.ballista.running();
        let ended: Vec<_> =
            self.queries().extract_if(|query, _| !running.contains_key(query.as_str())).collect();
        for (name, query) in ended {
            tidewaiter_traces::record(of_query(name, query));
        }
    }

    /// Notes a query that runs for a job of this process.
    async fn begin(&self, query: &str) {
        if self.queries().contains_key(query) {
            return;
        }
        let running = self.ballista.running();
        let Some(running) = running.get(query) else { return };
        let (job, begun) = {
            let graph = running.execution_graph.read().await;
            (graph.job_name().to_owned(), at(graph.start_time()))
        };
        let (Some(id), Some(step)) = (tidewaiter_traces::new_id(&job), tidewaiter_traces::innermost(&job))
        else {
            return;
        };
        let begun = Query { job, id, step, begun, ended: begun, error: None };
        self.queries().entry(query.to_owned()).or_insert(begun);
    }

    fn queries(&self) -> MutexGuard<'_, HashMap<String, Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The span of a task that has ended; its query ends with it, or later.
fn of_task(query: &mut Query, executor: &str, task: &TaskStatus) -> Option<Span> {
    let error = match task.status.as_ref()? {
        Status::Running(_) => return None,
        Status::Failed(failed) => Some(failed.error.chars().take(ERROR_LENGTH).collect::<String>()),
        Status::Successful(_) => None,
    };
    let (begun, ended) = (at(task.start_exec_time), at(task.end_exec_time));
    query.ended = query.ended.max(ended);
    query.error = error.clone();
    Some(Span {
        job: query.job.clone(),
        id: tidewaiter_traces::new_id(&query.job)?,
        parent: Some(query.id),
        level: Level::Task,
        name: format!("stage {} task {}", task.stage_id, task.task_id),
        begun,
        ended,
        attributes: vec![
            ("tidewaiter.query", task.job_id.clone()),
            ("tidewaiter.executor", executor.to_owned()),
        ],
        error,
    })
}

fn of_query(name: String, query: Query) -> Span {
    let Query { job, id, step, begun, ended, error } = query;
    Span {
        job,
        id,
        parent: Some(step),
        level: Level::Query,
        name: format!("query {name}"),
        begun,
        ended,
        attributes: vec![("tidewaiter.query", name)],
        error,
    }
}

/// A time of Ballista: milliseconds since 1970-01-01 UTC.
fn at(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}
