//! A job in this process. Its steps are kept in the archive, so that after an interruption, a crash or a transient error
//! the same command with `--resume` goes on from the last finished step, and a fit from its checkpoint.

use std::{fmt, num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};

use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{Error, Result};
use tidewaiter_job::{Listener, Outcome, Roots, Specification, engine::Local, work_folder};
use tidewaiter_scheduler::{
    driver::{Retries, Run, keeps_work},
    lease::{Claim, Lease},
    ledger::{Entry, Journal, Ledger},
};

use super::sources::{new_id, now_ms};
use crate::{
    arguments::Place,
    progress::{IfInterrupted, say},
};

/// Memory for sorts and buffers of a job in this process, unless it is told.
pub(super) const DEFAULT_MEMORY_MIB: usize = 1024;

/// How long a process of another machine is awaited that may still run a job.
const LEASE: Duration = Duration::from_secs(30);

/// What a user reads whose job ended before it was done.
const KEPT: &str = "the finished steps are kept: the same command with --resume goes on from there";

/// The engine of this process.
pub(super) fn engine(place: &Place) -> Result<Local> {
    let workers = place.workers.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get));
    Local::new(workers, place.memory_mib.unwrap_or(DEFAULT_MEMORY_MIB) << 20)
}

/// Runs a job to its end.
///
/// # Errors
/// Those of the engine's assembly and of the archive; the job's own is beside its outcome.
pub(super) async fn run(
    archive: &Archive,
    place: &Place,
    specification: &Specification,
    listener: Arc<dyn Listener>,
) -> Result<(Outcome, Result<()>)> {
    let engine = engine(place)?;
    let is_new = archive.folders("").await?.is_empty();
    let ledger = Ledger::embedded(archive.clone(), new_id());
    let (entry, mut lease) = begin(archive, &ledger, place.resume, specification).await?;
    let (id, submitted_ms) = (entry.job.clone(), entry.state.submitted_ms);
    let journal = Journal::new(ledger.clone(), now_ms, entry);
    let run = Run {
        archive,
        engine: &engine,
        extensions: CATALOGUE.extensions(),
        listener,
        roots: Roots::Anywhere,
        journal: &journal,
        retries: Retries::NONE,
        now_ms,
        id: &id,
        submitted_ms,
    };
    let interrupted = IfInterrupted::say(KEPT);
    let ended = tokio::select! {
        ended = run.to_end(specification) => Ok(ended),
        lost = lease.keep() => Err(lost),
    };
    interrupted.over();
    let (outcome, result) = ended?;
    lease.give_back().await;
    match &result {
        Err(error) if keeps_work(error.kind()) => {
            say(KEPT);
        }
        _ => {
            archive.delete_folder(&work_folder(&id)).await?;
            ledger.forget(&id).await?;
        }
    }
    // A job that wrote nothing, such as a dry run, leaves no archive.
    if is_new {
        archive.remove_empty("").await;
    }
    Ok((outcome, result))
}

/// The job as the ledger has it, and the lease of it: the unfinished one of an earlier process if it is to be resumed,
/// otherwise a new one.
async fn begin(
    archive: &Archive,
    ledger: &Ledger,
    resume: bool,
    specification: &Specification,
) -> Result<(Entry, Lease)> {
    let asked = specification.to_json()?;
    let mut jobs = ledger.open().await?.into_iter().flatten();
    match jobs.rfind(|entry| entry.state.specification == asked) {
        Some(earlier) if resume => {
            let lease = take(archive, &earlier.job).await?;
            // Its process may have gone on since it was read.
            let entry = ledger.read(&earlier.job).await?;
            say(&format!("job {} goes on {}", entry.job, place_of(&entry)));
            return Ok((entry, lease));
        }
        Some(earlier) => match claim(archive, &earlier.job).holder().await? {
            Some(holder) => say(&format!("the same job is run by {holder} as well, as job {}", earlier.job)),
            None => say(&format!(
                "an earlier run of this job was interrupted {}; --resume goes on from there",
                place_of(&earlier)
            )),
        },
        None if resume => say("no run of this job was interrupted: it begins anew"),
        None => {}
    }
    let job = new_id();
    let lease = take(archive, &job).await?;
    Ok((ledger.submit(&job, asked, now_ms()).await?, lease))
}

/// Takes the lease of a job, so that no other process goes on with it.
async fn take(archive: &Archive, job: &str) -> Result<Lease> {
    let runs = |holder: &dyn fmt::Display| {
        Error::conflict(format!("job {job} is run by {holder}; wait for its end, or end that process first"))
    };
    let vacancy = claim(archive, job).vacancy_or_holder().await?.map_err(|holder| runs(&holder))?;
    let lease = vacancy.take("another command").await?;
    lease.ok_or_else(|| runs(&"another command"))
}

fn claim(archive: &Archive, job: &str) -> Claim {
    let folder = format!("leases/{job}");
    Claim { archive: archive.clone(), folder, id: new_id(), now_ms, expiry: LEASE }
}

fn place_of(entry: &Entry) -> String {
    match entry.state.step() {
        Some(step) => format!("in its step {:?}", step.name),
        None => "between two steps".to_owned(),
    }
}
