//! Which files of queries on executors are wanted.
//!
//! A query's shuffled rows, and its result until somebody has fetched it, lie on executors. Ballista deletes those of a
//! query that succeeded five minutes after its end, and tells only executors that are present then. Here those of a job's
//! queries go when the job has ended, and those of a query that this scheduler does not know, because it was started
//! since, at once. Start at [`Files::unwanted`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ballista_core::serde::protobuf::job_status::Status;

use crate::ballista::Ballista;

/// Ended jobs, and queries that are over, that are remembered.
const REMEMBERED: usize = 10_000;

/// The files of queries. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Files {
    ballista: Ballista,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Jobs that have ended; their ids begin with their time.
    ended: BTreeSet<String>,
    /// The jobs of queries that are over, by the queries.
    over: HashMap<String, String>,
}

impl Known {
    fn end(&mut self, job: &str) {
        self.ended.insert(job.to_owned());
        if self.ended.len() > REMEMBERED {
            self.ended.pop_first();
        }
    }

    fn note(&mut self, query: &str, job: String) {
        if self.over.len() >= REMEMBERED {
            self.over.clear();
        }
        self.over.insert(query.to_owned(), job);
    }

    /// Whether the job of a query has ended; `None` for a query that is not known to be over.
    fn is_unwanted(&self, query: &str) -> Option<bool> {
        self.over.get(query).map(|job| self.ended.contains(job))
    }
}

impl Files {
    pub(super) fn new(ballista: Ballista) -> Self {
        Self { ballista, known: Arc::default() }
    }

    /// Notes that a job begins, or goes on.
    pub(crate) fn begin(&self, job: &str) {
        self.known().ended.remove(job);
    }

    /// Notes that a job has ended.
    pub(crate) fn end(&self, job: &str) {
        self.known().end(job);
    }

    /// The queries whose files nobody reads any more, of those that an executor has files of.
    pub(super) async fn unwanted(&self, queries: Vec<String>) -> Vec<String> {
        let mut unwanted = Vec::new();
        for query in queries {
            if self.is_unwanted(&query).await {
                unwanted.push(query);
            }
        }
        unwanted
    }

    async fn is_unwanted(&self, query: &str) -> bool {
        if self.ballista.running().contains_key(query) {
            return false;
        }
        if let Some(unwanted) = self.known().is_unwanted(query) {
            return unwanted;
        }
        match self.ballista.status(query).await {
            Ok(None) => true,
            Ok(Some(status)) if matches!(status.status, Some(Status::Successful(_) | Status::Failed(_))) => {
                let mut known = self.known();
                let ended = known.ended.contains(&status.job_name);
                known.note(query, status.job_name);
                ended
            }
            Ok(Some(_)) | Err(_) => false,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = Known::default();
        for job in 0..=REMEMBERED {
            known.end(&format!("{job:06}"));
            known.note(&format!("query {job}"), "job".to_owned());
        }
        assert_eq!((known.ended.len(), known.over.len()), (REMEMBERED, 1));
        assert!(!known.ended.contains("000000") && known.ended.contains("010000"));
    }
}
