//! The jobs: run in this process or on a cluster, and looked at.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};
use tidewaiter_job::{Listener, Outcome, Specification, remote};
use tidewaiter_proto::{
    LARGEST_MESSAGE,
    v1::{
        CancelRequest, GetJobRequest, Job, JobEvent, JobStatus, ListJobsRequest, ListJobsResponse, Progress,
        RetryRequest, SubmitRequest, WatchRequest, job_service_client::JobServiceClient,
    },
};
use tokio::time::Instant;
use tonic::{Streaming, transport::Channel};

use super::{
    embedded,
    history::{self, status},
    sources::{new_id, now_ms},
    summary,
};
use crate::{
    arguments::{Jobs, Output, Place},
    output::write,
    progress::{Bars, IfInterrupted, say},
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
    follow(url, &job, output, Bars::default()).await
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
        Jobs::Watch { job } => follow(url, &job, output, Bars::or_lines()).await,
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
            follow(url, &job, output, Bars::default()).await
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

/// Follows a job of a scheduler to its end, and writes its outcome. A scheduler that ends meanwhile is awaited: its
/// successor goes on with the job.
async fn follow(url: &str, id: &str, output: Output, bars: Bars) -> Result<()> {
    let goes_on =
        format!("job {id} does not depend on this command; `tidewaiter jobs watch {id}` follows it");
    let interrupted = IfInterrupted::say(goes_on);
    let mut follower = Follower { url, id, bars, waits_for: String::new(), lost: None };
    let followed = follower.ended().await;
    interrupted.over();
    follower.bars.finish();
    let last = followed.context(|| {
        format!(
            "follow job {id}, which does not depend on this command; `tidewaiter jobs watch {id}` goes on"
        )
    })?;
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
        _ => Err(Error::unavailable(format!("job {id} is not driven: {}", last.error))),
    }
}

/// How long a scheduler is awaited that does not answer any more; a standby takes its place meanwhile.
const RECONNECT: Duration = Duration::from_secs(120);

/// The pause before it is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Who follows a job.
struct Follower<'a> {
    url: &'a str,
    id: &'a str,
    bars: Bars,
    /// What the job waits for, as it was said last.
    waits_for: String,
    /// Since when the scheduler has told nothing new.
    lost: Option<Instant>,
}

impl Follower<'_> {
    /// Shows what the scheduler tells until the job has ended or cannot be driven, and gives it as it is then.
    async fn ended(&mut self) -> Result<Job> {
        let mut events = self.events().await?;
        loop {
            let lost = match self.show(events).await {
                Ok(Some(job)) if job.ended_ms > 0 || !job.error.is_empty() => return Ok(job),
                Ok(_) => Error::unavailable("the scheduler ended"),
                Err(error) if !passes(&error) => return Err(error),
                Err(error) => error,
            };
            events = self.again(lost).await?;
        }
    }

    /// What happens to the job from now on.
    async fn events(&self) -> Result<Streaming<JobEvent>> {
        let request = WatchRequest { job: self.id.to_owned() };
        Ok(connect(self.url).await?.watch(request).await?.into_inner())
    }

    /// The same from a scheduler that was lost, as soon as it or its successor answers.
    async fn again(&mut self, mut error: Error) -> Result<Streaming<JobEvent>> {
        if self.lost.is_none() {
            say(&format!(
                "the scheduler does not answer; job {} is followed as soon as it does again",
                self.id
            ));
        }
        let lost = *self.lost.get_or_insert_with(Instant::now);
        while lost.elapsed() < RECONNECT && passes(&error) {
            tokio::time::sleep(PAUSE).await;
            match self.events().await {
                Ok(events) => return Ok(events),
                Err(next) => error = next,
            }
        }
        Err(error)
    }

    /// Shows events until there are no more, and gives the job as it was last.
    async fn show(&mut self, mut events: Streaming<JobEvent>) -> Result<Option<Job>> {
        let mut last = None;
        while let Some(event) = events.message().await? {
            // The first only says how the job stands.
            if last.is_some() {
                self.lost = None;
            }
            if let Some(Progress { step, done, total, unit, note }) = event.progress {
                self.bars.noted_progress(&step, done, total, &unit, &note);
            }
            let Some(job) = event.job else { continue };
            if job.waits_for != self.waits_for {
                self.waits_for.clone_from(&job.waits_for);
                if !job.waits_for.is_empty() {
                    say(&format!("job {} waits for {}", self.id, job.waits_for));
                }
            }
            last = Some(job);
        }
        Ok(last)
    }
}

/// Whether asking again can help. What breaks a connection has no kind of its own.
fn passes(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal | ErrorKind::Cancelled)
}

/// A client of the jobs of the scheduler at a URL.
pub(super) async fn connect(url: &str) -> Result<JobServiceClient<Channel>> {
    Ok(JobServiceClient::new(remote::connect(url).await?).max_decoding_message_size(LARGEST_MESSAGE))
}

/// Writes the outcome of a job that succeeded; of one that failed as JSON, or where parts of it are done and have taken
/// effect.
fn report(output: Output, outcome: &Outcome, result: Result<()>) -> Result<()> {
    let has_effects = outcome.parts.iter().any(|part| part.error.is_none());
    if result.is_ok() || output == Output::Json || has_effects {
        write(output, &serde_json::to_value(outcome)?, || summary::lines(outcome))?;
    }
    result
}
