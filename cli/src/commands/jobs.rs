//! The jobs: run in this process or on a cluster, and looked at.

use std::{num::NonZero, sync::Arc, thread::available_parallelism, time::SystemTime};

use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};
use tidewaiter_job::{Job, Listener, NoLog, Outcome, Setting, Specification, engine::Local, remote};
use tidewaiter_proto::v1::{
    CancelRequest, GetJobRequest, JobStatus, ListJobsRequest, SubmitRequest, WatchRequest,
    job_service_client::JobServiceClient,
};
use tonic::transport::Channel;
use ulid::Ulid;

use super::summary;
use crate::{
    arguments::{Jobs, Output, Place},
    output::write,
    progress::Bars,
};

/// Runs a job where `place` says, and writes its outcome.
pub(super) async fn run(
    archive: &Archive,
    place: &Place,
    mut specification: Specification,
    output: Output,
) -> Result<()> {
    specification.make_absolute()?;
    let Some(url) = &place.scheduler else { return embedded(archive, place, &specification, output).await };
    let mut client = connect(url).await?;
    let specification = specification.to_json()?.to_string();
    let request = SubmitRequest { specification, request_id: new_id() };
    let job = client.submit(request).await?.into_inner().job;
    if place.detach {
        return write(output, &json!({ "job": job }), || vec![job.clone()]);
    }
    follow(&mut client, &job, output).await
}

/// Looks at the jobs of a scheduler.
pub(super) async fn look(place: &Place, command: Jobs, output: Output) -> Result<()> {
    let url = place.scheduler.as_deref();
    let url =
        url.ok_or_else(|| Error::input("say which scheduler's jobs, with --scheduler http://host:port"))?;
    let mut client = connect(url).await?;
    match command {
        Jobs::List { limit } => {
            let jobs = client.list(ListJobsRequest { limit }).await?.into_inner().jobs;
            let documents: Vec<_> = jobs
                .iter()
                .map(|job| {
                    json!({"job": job.job, "kind": job.kind, "status": status(job.status()),
                           "step": job.step, "submitted_ms": job.submitted_ms})
                })
                .collect();
            write(output, &json!(documents), || {
                let mut lines = vec![format!("{:<28} {:<10} {:<10} step", "job", "kind", "status")];
                lines.extend(jobs.iter().map(|job| {
                    format!("{:<28} {:<10} {:<10} {}", job.job, job.kind, status(job.status()), job.step)
                }));
                lines
            })
        }
        Jobs::Show { job } => {
            let job = client.get(GetJobRequest { job }).await?.into_inner();
            let parse = |text: &str| serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
            let document = json!({
                "job": job.job, "kind": job.kind, "status": status(job.status()), "step": job.step,
                "submitted_ms": job.submitted_ms, "specification": parse(&job.specification),
                "outcome": parse(&job.outcome),
            });
            let text = serde_json::to_string_pretty(&document)?;
            write(output, &document, || vec![text])
        }
        Jobs::Watch { job } => follow(&mut client, &job, output).await,
        Jobs::Cancel { job } => {
            let job = client.cancel(CancelRequest { job }).await?.into_inner();
            let document = json!({ "job": job.job, "status": status(job.status()) });
            write(output, &document, || vec![format!("{} is {}", job.job, status(job.status()))])
        }
    }
}

async fn embedded(
    archive: &Archive,
    place: &Place,
    specification: &Specification,
    output: Output,
) -> Result<()> {
    let engine = engine(place)?;
    let bars = Arc::new(Bars::default());
    let listener: Arc<dyn Listener> = Arc::clone(&bars) as _;
    let id = new_id();
    let submitted_ms = now_ms();
    let extensions = CATALOGUE.extensions();
    let setting =
        Setting { archive, engine: &engine, extensions, listener, log: &NoLog, id: &id, submitted_ms };
    let mut job = Job::new(specification.kind(), setting);
    let result = specification.run(&mut job).await;
    let outcome = job.finish(&result);
    bars.finish();
    report(output, &outcome, result)
}

/// The engine of this process.
pub(super) fn engine(place: &Place) -> Result<Local> {
    let workers = place.workers.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get));
    Local::new(workers, place.memory_mib << 20)
}

/// Follows a job of a scheduler to its end, and writes its outcome.
async fn follow(client: &mut JobServiceClient<Channel>, id: &str, output: Output) -> Result<()> {
    let mut events = client.watch(WatchRequest { job: id.to_owned() }).await?.into_inner();
    let bars = Bars::default();
    let mut last = None;
    while let Some(event) = events.message().await.context(|| format!("follow job {id}"))? {
        if let Some(progress) = event.progress {
            bars.progress(&progress.step, progress.done, progress.total, &progress.unit);
        }
        last = event.job.or(last);
    }
    bars.finish();
    let last = last.ok_or_else(|| Error::unavailable(format!("the scheduler said nothing of job {id}")))?;
    let outcome =
        || serde_json::from_str::<Outcome>(&last.outcome).context(|| format!("read job {id}'s outcome"));
    match last.status() {
        JobStatus::Succeeded => report(output, &outcome()?, Ok(())),
        JobStatus::Failed => {
            let outcome = outcome()?;
            let error = outcome.error.clone().unwrap_or_default();
            let kind = outcome.error_kind.unwrap_or(ErrorKind::Internal);
            report(output, &outcome, Err(Error::new(kind, error)))
        }
        JobStatus::Cancelled => Err(Error::new(ErrorKind::Cancelled, format!("job {id} was cancelled"))),
        _ => Err(Error::unavailable(format!(
            "the scheduler stopped telling of job {id}; `tidewaiter jobs watch {id}` goes on"
        ))),
    }
}

/// A client of the jobs of the scheduler at a URL.
pub(super) async fn connect(url: &str) -> Result<JobServiceClient<Channel>> {
    Ok(JobServiceClient::new(remote::connect(url).await?).max_decoding_message_size(LARGEST_MESSAGE))
}

/// The largest message from a scheduler, in bytes: a pipeline's outcome document.
const LARGEST_MESSAGE: usize = 64 << 20;

fn status(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Unspecified => "unknown",
        JobStatus::Queued => "queued",
        JobStatus::Running => "running",
        JobStatus::Succeeded => "succeeded",
        JobStatus::Failed => "failed",
        JobStatus::Cancelled => "cancelled",
    }
}

/// Writes the outcome of a job that succeeded; one that failed is written only as JSON.
fn report(output: Output, outcome: &Outcome, result: Result<()>) -> Result<()> {
    if result.is_ok() || output == Output::Json {
        write(output, &serde_json::to_value(outcome)?, || summary::lines(outcome))?;
    }
    result
}

/// A job's id: the time it was asked for, then chance.
#[allow(clippy::disallowed_methods, reason = "the command line is where time and chance come in")]
pub(super) fn new_id() -> String {
    Ulid::new().to_string()
}

/// Milliseconds since 1970; 0 where the clock is before that.
#[allow(clippy::disallowed_methods, reason = "the command line is where time and chance come in")]
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
