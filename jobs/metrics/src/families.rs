//! All that this program counts. docs/operations/metrics.md has the same list; a test compares them.

use crate::{
    family::{Counter, Histogram},
    page::Page,
};

/// Seconds up to which waits and jobs are told apart.
const LONG: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0];

/// Seconds up to which requests are told apart.
const SHORT: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Jobs that were submitted.
pub static JOBS_SUBMITTED: Counter = Counter::new(
    "tidewaiter_jobs_submitted_total",
    "Jobs that were submitted, or taken up at the start.",
    &["kind"],
);

/// Jobs that have ended.
pub static JOBS_ENDED: Counter = Counter::new(
    "tidewaiter_jobs_ended_total",
    "Jobs that have ended: succeeded, failed or cancelled.",
    &["kind", "status"],
);

/// From a job's submission to its first step.
pub static JOB_QUEUE: Histogram = Histogram::new(
    "tidewaiter_job_queue_seconds",
    "From a job's submission to the begin of its first step, of jobs that have ended.",
    &["kind"],
    LONG,
);

/// From a job's first step to its end.
pub static JOB_LENGTH: Histogram = Histogram::new(
    "tidewaiter_job_seconds",
    "From the begin of a job's first step to its end.",
    &["kind", "status"],
    LONG,
);

/// Retries of jobs.
pub static JOB_RETRIES: Counter = Counter::new(
    "tidewaiter_job_retries_total",
    "Transient errors after which jobs went on, of jobs that have ended.",
    &["kind"],
);

/// Time for which jobs waited.
pub static JOB_WAIT: Counter = Counter::new(
    "tidewaiter_job_wait_seconds_total",
    "Time for which jobs with tasks to do had none that ran, by what was missing: an executor, one with a GPU, a free slot.",
    &["for"],
);

/// Rounds of fits.
pub static FIT_ROUNDS: Counter =
    Counter::new("tidewaiter_fit_rounds_total", "Rounds of fits that all shards have answered.", &[]);

/// How long fits waited for their slowest workers.
pub static FIT_WAIT: Counter = Counter::new(
    "tidewaiter_fit_slowest_wait_seconds_total",
    "From the first answer of each round to the last: time for which the others waited for the slowest worker.",
    &[],
);

/// Time of the rounds of fits.
pub static FIT_TIME: Counter = Counter::new(
    "tidewaiter_fit_round_seconds_total",
    "From the begin of each round to its last answer; rounds overlap.",
    &[],
);

/// Requests to stores.
pub static STORE_REQUESTS: Counter = Counter::new(
    "tidewaiter_store_requests_total",
    "Requests to the object store: get, head, put, upload, list, delete, copy. One that the client repeats counts once.",
    &["operation"],
);

/// Requests to stores that failed.
pub static STORE_ERRORS: Counter = Counter::new(
    "tidewaiter_store_errors_total",
    "Requests to the object store that failed, after the client's own repetitions; that an object is not there, or there \
     already, is no failure.",
    &["operation"],
);

/// Time of requests to stores.
pub static STORE_SECONDS: Histogram = Histogram::new(
    "tidewaiter_store_request_seconds",
    "From a request to the object store to its answer, without the transfer of what is read.",
    &["operation"],
    SHORT,
);

/// Bytes to and from stores.
pub static STORE_BYTES: Counter = Counter::new(
    "tidewaiter_store_bytes_total",
    "Bytes of objects that were asked for (read) or given (written) to the object store.",
    &["direction"],
);

/// Tasks of an executor.
pub static TASKS: Counter = Counter::new(
    "tidewaiter_tasks_total",
    "Tasks that this executor has ended: done, failed or stopped.",
    &["status"],
);

/// Time of an executor's tasks.
pub static TASK_SECONDS: Counter = Counter::new(
    "tidewaiter_task_seconds_total",
    "Time of the tasks that this executor has ended.",
    &["status"],
);

/// Rows that an executor's tasks have read.
pub static ROWS_READ: Counter = Counter::new(
    "tidewaiter_rows_read_total",
    "Rows that the tasks of this executor have read from tables and shuffles.",
    &[],
);

/// Rows that an executor's tasks have written to shuffles.
pub static ROWS_WRITTEN: Counter = Counter::new(
    "tidewaiter_shuffle_rows_written_total",
    "Rows that the tasks of this executor have written for others.",
    &[],
);

/// Bytes that an executor's tasks have written to shuffles.
pub static BYTES_WRITTEN: Counter = Counter::new(
    "tidewaiter_shuffle_bytes_written_total",
    "Bytes that the tasks of this executor have written for others.",
    &[],
);

/// Requests to the API of Kubernetes.
pub static POD_REQUESTS: Counter = Counter::new(
    "tidewaiter_pod_requests_total",
    "Requests to Kubernetes for pods of pools on demand, by what is asked and the status that came back (0: none).",
    &["operation", "status"],
);

static COUNTERS: &[&Counter] = &[
    &JOBS_SUBMITTED,
    &JOBS_ENDED,
    &JOB_RETRIES,
    &JOB_WAIT,
    &FIT_ROUNDS,
    &FIT_WAIT,
    &FIT_TIME,
    &STORE_REQUESTS,
    &STORE_ERRORS,
    &STORE_BYTES,
    &TASKS,
    &TASK_SECONDS,
    &ROWS_READ,
    &ROWS_WRITTEN,
    &BYTES_WRITTEN,
    &POD_REQUESTS,
];

static HISTOGRAMS: &[&Histogram] = &[&JOB_QUEUE, &JOB_LENGTH, &STORE_SECONDS];

pub(crate) fn write(page: &mut Page) {
    COUNTERS.iter().for_each(|counter| counter.write(page));
    HISTOGRAMS.iter().for_each(|histogram| histogram.write(page));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_counted_is_on_the_page_once() {
        FIT_ROUNDS.add(&[], 3.0);
        JOB_QUEUE.observe(&["profile"], 0.2);
        let mut page = Page::default();
        write(&mut page);
        let lines: Vec<&str> = page.text().lines().collect();
        assert!(lines.contains(&"tidewaiter_fit_rounds_total 3"), "{}", page.text());
        assert!(lines.contains(&"tidewaiter_job_queue_seconds_count{kind=\"profile\"} 1"));
        let families: BTreeSet<&&str> = lines.iter().filter(|line| line.starts_with("# TYPE")).collect();
        assert_eq!(families.len(), COUNTERS.len() + HISTOGRAMS.len());
        assert!(lines.iter().all(|line| line.starts_with('#') || line.starts_with("tidewaiter_")));
    }
}
