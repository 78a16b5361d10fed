//! The jobs: run in this process or on a cluster, and looked at.

use std::sync::Arc;

use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};
use tidewaiter_job::{Listener, Outcome, Specification, remote};
use tidewaiter_proto::{
    LARGEST_MESSAGE,
    v1::{
        CancelRequest, GetJobRequest, JobStatus, ListJobsRequest, ListJobsResponse, Progress, RetryRequest,
        SubmitRequest, WatchRequest, job_service_client::JobServiceClient,
    },
};
use tonic::transport::Channel;

use super::{
    embedded,
    history::{self, status},
    sources::{new_id, now_ms},
    summary,
};
use crate::{
    arguments::{Jobs, Output, Place},
    output::write,
    progress::{Bars, say},
};

/// Runs a job where `place` says, and writes its outcome.
pub(super) async fn run(
    archive: &Archive,
    place: &Place,
    mut specification: Specification,
    output: Output,
) -> Result<()> {
    specification.make_absolute()?;
    let Some(url) = &place.scheduler else { return run_here(archive, place, &specification, output).await };
    if place.resume {
        return Err(Error::input(
            "--resume is for jobs in this process; `tidewaiter jobs retry ID` goes on with a scheduler's job",
        ));
    }
    let mut client = connect(url).await?;
    let specification = specification.to_json()?.to_string();
    let request = SubmitRequest { specification, request_id: new_id() };
    let job = client.submit(request).await?.into_inner().job;
    if place.detach {
        return write(output, &json!({ "job": job }), || vec![job.clone()]);
    }
    follow(&mut client, &job, output, Bars::default()).await
}

/// Looks at the jobs of a scheduler.
pub(super) async fn look(place: &Place, command: Jobs, output: Output) -> Result<()> {
    let url = place.scheduler.as_deref();
    let url =
        url.ok_or_else(|| Error::input("say which scheduler's jobs, with --scheduler http://host:port"))?;
    let mut client = connect(url).await?;
    match command {
        Jobs::List { limit } => {
            let ListJobsResponse { jobs, older } = client.list(ListJobsRequest { limit }).await?.into_inner();
            let documents: Vec<_> = jobs.iter().map(history::list_document).collect();
            write(output, &json!(documents), || history::list(&jobs, older, now_ms()))
        }
        Jobs::Show { job } => {
            let job = client.get(GetJobRequest { job }).await?.into_inner();
            write(output, &history::document(&job), || history::show(&job, now_ms()))
        }
        Jobs::Watch { job } => follow(&mut client, &job, output, Bars::or_lines()).await,
        Jobs::Cancel { job } => {
            let job = client.cancel(CancelRequest { job }).await?.into_inner();
            let document = json!({ "job": job.job, "status": status(job.status()) });
            write(output, &document, || vec![format!("{} is {}", job.job, status(job.status()))])
        }
        Jobs::Retry { job } => {
            let job = client.retry(RetryRequest { job }).await?.into_inner().job;
            if place.detach {
                return write(output, &json!({ "job": job }), || vec![job.clone()]);
            }
            follow(&mut client, &job, output, Bars::default()).await
        }
    }
}

/// Runs a job in this process, and writes its outcome.
async fn run_here(
    archive: &Archive,
    place: &Place,
    specification: &Specification,
    output: Output,
) -> Result<()> {
    let bars = Arc::new(Bars::default());
    let listener: Arc<dyn Listener> = Arc::clone(&bars) as _;
    let ended = embedded::run(archive, place, specification, listener).await;
    bars.finish();
    let (outcome, result) = ended?;
    report(output, &outcome, result)
}

/// Follows a job of a scheduler to its end, and writes its outcome.
async fn follow(client: &mut JobServiceClient<Channel>, id: &str, output: Output, bars: Bars) -> Result<()> {
    let mut events = client.watch(WatchRequest { job: id.to_owned() }).await?.into_inner();
    let (mut last, mut waits_for) = (None, String::new());
    let lost = || {
        format!(
            "follow job {id}, which does not depend on this command; `tidewaiter jobs watch {id}` goes on"
        )
    };
    while let Some(event) = events.message().await.context(lost)? {
        if let Some(Progress { step, done, total, unit, note }) = event.progress {
            bars.noted_progress(&step, done, total, &unit, &note);
        }
        let Some(job) = event.job else { continue };
        if job.waits_for != waits_for {
            waits_for.clone_from(&job.waits_for);
            if !waits_for.is_empty() {
                say(&format!("job {id} waits for {waits_for}"));
            }
        }
        last = Some(job);
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

/// Writes the outcome of a job that succeeded; one that failed is written only as JSON.
fn report(output: Output, outcome: &Outcome, result: Result<()>) -> Result<()> {
    if result.is_ok() || output == Output::Json {
        write(output, &serde_json::to_value(outcome)?, || summary::lines(outcome))?;
    }
    result
}
