//! Tests of attempts: what is done again, how often, and what a panic costs.

use std::sync::atomic::{AtomicU32, Ordering};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_job::{Catalogue, Domain, JobKind, JobParameters, async_trait, engine::Local, work_folder};

use super::*;
use crate::ledger::{JobState, Ledger};

/// A job of two steps, of which the second fails some times in one of several ways.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
struct Parameters {
    #[arg(long)]
    failures: u32,
    #[arg(long)]
    how: String,
}

static FIRST_STEPS: AtomicU32 = AtomicU32::new(0);

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "trial";
    const ABOUT: &'static str = "Fail";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let (archive, count) = (job.archive, format!("{}/attempts", job.work_folder()));
        job.step("first", async { Ok(FIRST_STEPS.fetch_add(1, Ordering::Relaxed)) }).await?;
        let second = async {
            let before = archive.list(&count).await?.len();
            archive.put(&format!("{count}/{before}"), "").await?;
            match (before < self.failures as usize, self.how.as_str()) {
                (false, _) => Ok(before),
                (true, "panic") => panic!("an index is out of bounds"),
                (true, "input") => Err(Error::input("the file is wrong")),
                (true, _) => Err(Error::unavailable("the store is away")),
            }
        };
        let attempts = job.step("second", second).await?;
        job.outcome.metrics.insert("attempts".into(), json!(attempts));
        Ok(())
    }
}

static DOMAINS: &[&Domain] = &[&Domain { jobs: &[JobKind::of::<Parameters>()], ..Domain::EMPTY }];

struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

/// A job with so many retries: its outcome, its result, its events' fold, and the archive.
async fn run(name: &str, failures: u32, how: &str, most: u32) -> (Outcome, Result<()>, JobState, Archive) {
    let archive = Archive::open(&format!("memory://run-{name}")).expect("opens");
    let specification = json!({"kind": "trial", "failures": failures, "how": how});
    let ledger = Ledger::new(archive.clone(), "writer".to_owned());
    let entry = ledger.submit("01A", specification.clone(), 1).await.expect("submitted");
    let journal = Journal::new(ledger.clone(), || 2, entry);
    let catalogue = Catalogue::new(DOMAINS);
    let engine = Local::new(1, 1 << 20).expect("an engine");
    let run = Run {
        archive: &archive,
        engine: &engine,
        extensions: catalogue.extensions(),
        listener: Arc::new(Silent),
        roots: Roots::Anywhere,
        journal: &journal,
        retries: Retries { most, within: Duration::MAX, first_pause: Duration::from_millis(1) },
        now_ms: || 2,
        id: "01A",
        submitted_ms: 1,
    };
    let specification = catalogue.read(&specification.to_string()).expect("it is known");
    let (outcome, result) = run.to_end(&specification).await;
    let state = ledger.read("01A").await.expect("read").state;
    (outcome, result, state, archive)
}

#[tokio::test]
async fn a_transient_error_repeats_its_step_alone_with_its_work_files() {
    let (outcome, result, state, archive) = run("transient", 2, "unavailable", 2).await;
    result.expect("the third attempt succeeds");
    assert_eq!(outcome.metrics["attempts"], 2, "it found the work files of the attempts before");
    let tries: Vec<_> = state.steps.iter().map(|step| (step.name.as_str(), step.tries)).collect();
    assert_eq!(tries, [("first", 1), ("second", 3)]);
    assert_eq!(outcome.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    let retries: Vec<_> = state.retries.iter().map(|retry| (retry.step.as_deref(), retry.pause_ms)).collect();
    assert_eq!(retries, [(Some("second"), 1), (Some("second"), 2)]);
    assert!(state.retries[0].error.contains("the store is away"));
    assert_eq!(archive.list("work").await.expect("listed").len(), 0);
}

#[tokio::test]
async fn retries_end_and_the_work_files_stay() {
    let (_, result, state, archive) = run("exhausted", 9, "unavailable", 3).await;
    let error = result.expect_err("it fails each time");
    assert_eq!((error.kind(), state.retries.len()), (ErrorKind::Unavailable, 3));
    assert_eq!(archive.list(&work_folder("01A")).await.expect("listed").len(), 4);
    assert!(keeps_work(error.kind()));
}

#[tokio::test]
async fn wrong_input_is_not_tried_again() {
    let (_, result, state, _) = run("input", 1, "input", 3).await;
    let error = result.expect_err("it is wrong");
    assert_eq!((error.kind(), state.retries.len()), (ErrorKind::Input, 0));
    assert!(!keeps_work(error.kind()));
}

#[tokio::test]
async fn a_panic_fails_the_job_and_nothing_else() {
    let (outcome, result, state, _) = run("panic", 1, "panic", 3).await;
    let error = result.expect_err("it panics");
    assert_eq!((error.kind(), state.retries.len()), (ErrorKind::Internal, 0));
    assert!(error.chain().contains("an index is out of bounds"), "{}", error.chain());
    assert_eq!(outcome.error_kind, Some(ErrorKind::Internal));
}

#[test]
fn pauses_double_and_end_by_number_or_by_time_unless_a_step_was_finished() {
    let retries = Retries::new(3, Duration::from_secs(100));
    let mut failures = Failures::default();
    let mut pause = |steps, now_s: i64| failures.pause(retries, steps, now_s * 1000).map(|it| it.as_secs());
    assert_eq!([pause(0, 1), pause(0, 2), pause(0, 4), pause(0, 8)], [Some(1), Some(2), Some(4), None]);
    assert_eq!([pause(1, 9), pause(1, 10)], [Some(1), Some(2)], "a finished step is a new start");
    assert_eq!(pause(1, 110), None, "the time is over");
    assert_eq!(Failures::default().pause(Retries::NONE, 0, 0), None);
}

#[test]
fn a_pause_is_bounded() {
    let retries = Retries::new(u32::MAX, Duration::MAX);
    let mut failures = Failures { in_a_row: 40, ..Failures::default() };
    assert_eq!(failures.pause(retries, 0, 0), Some(LONGEST_PAUSE));
}
