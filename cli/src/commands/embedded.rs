//! A job in this process. Its steps are kept in the archive, so that after an interruption, a crash or a transient error
//! the same command with `--resume` goes on from the last finished step, and a fit from its checkpoint.

use std::{num::NonZero, sync::Arc, thread::available_parallelism};

use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::Result;
use tidewaiter_job::{Listener, Outcome, Roots, Specification, engine::Local, work_folder};
use tidewaiter_scheduler::{
    driver::{Retries, Run, keeps_work},
    ledger::{Entry, Journal, Ledger},
};

use super::sources::{new_id, now_ms};
use crate::{arguments::Place, progress::say};

/// Memory for sorts and buffers of a job in this process, unless it is told.
const DEFAULT_MEMORY_MIB: usize = 1024;

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
    let ledger = Ledger::embedded(archive.clone(), new_id());
    let entry = begin(&ledger, place.resume, specification).await?;
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
    let (outcome, result) = run.to_end(specification).await;
    match &result {
        Err(error) if keeps_work(error.kind()) => {
            say("the finished steps are kept: the same command with --resume goes on from there");
        }
        _ => {
            archive.delete_folder(&work_folder(&id)).await?;
            ledger.forget(&id).await?;
        }
    }
    Ok((outcome, result))
}

/// The job as the ledger has it: the unfinished one of an earlier process if it is to be resumed, otherwise a new one.
async fn begin(ledger: &Ledger, resume: bool, specification: &Specification) -> Result<Entry> {
    let asked = specification.to_json()?;
    let mut jobs = ledger.open().await?.into_iter().flatten();
    let earlier = jobs.rfind(|entry| entry.state.specification == asked);
    match earlier {
        Some(entry) if resume => {
            say(&format!("job {} goes on {}", entry.job, place_of(&entry)));
            return Ok(entry);
        }
        Some(entry) => say(&format!(
            "an earlier run of this job was interrupted {}; --resume goes on from there",
            place_of(&entry)
        )),
        None if resume => say("no run of this job was interrupted: it begins anew"),
        None => {}
    }
    ledger.submit(&new_id(), asked, now_ms()).await
}

fn place_of(entry: &Entry) -> String {
    match entry.state.step() {
        Some(step) => format!("in its step {:?}", step.name),
        None => "between two steps".to_owned(),
    }
}
