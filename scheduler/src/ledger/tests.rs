//! Tests of the ledger: what is durable, what may follow what, who wins, and what a damaged event costs.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_core::ErrorKind;
use tidewaiter_job::StepLog;
use tokio::sync::Notify;

use super::*;
use crate::faulty::{Faulty, Write};

fn memory(name: &str) -> Archive {
    Archive::open(&format!("memory://{name}")).expect("opens")
}

fn ledger(archive: &Archive) -> Ledger {
    Ledger::new(archive.clone(), "writer".to_owned())
}

fn started(step: &str) -> Event {
    Event::StepStarted { step: step.into(), at_ms: 2 }
}

fn finished(step: &str) -> Event {
    Event::StepFinished { step: step.into(), outcome: json!({"rows": 3}), at_ms: 3 }
}

fn succeeded() -> Event {
    Event::Succeeded { outcome: json!({"seconds": 1.5}), at_ms: 5 }
}

fn failed(work_kept: bool) -> Event {
    let (error, kind) = ("x".into(), ErrorKind::Unavailable);
    Event::Failed { error, kind, work_kept, outcome: json!({}), at_ms: 5 }
}

fn cancelled() -> Event {
    Event::Cancelled { at_ms: 4 }
}

/// A job after some events.
async fn job(ledger: &Ledger, id: &str, events: impl IntoIterator<Item = Event>) -> Entry {
    let mut entry = ledger.submit(id, json!({"kind": "retrain"}), 1).await.expect("submitted");
    for event in events {
        entry = ledger.append(entry, event).await.expect("appended");
    }
    entry
}

async fn objects(archive: &Archive, folder: &str) -> usize {
    archive.list(folder).await.expect("listed").len()
}

#[tokio::test]
async fn a_scheduler_that_starts_anew_knows_what_is_committed() {
    let archive = memory("ledger-restart");
    let entry =
        job(&ledger(&archive), "01A", [started("features"), finished("features"), started("fit")]).await;

    let read = Ledger::new(archive, "another".to_owned()).read("01A").await.expect("read");
    assert_eq!(read, entry);
    assert_eq!(read.state.status, Status::Running);
    assert_eq!(read.state.step().map(|step| step.name.as_str()), Some("fit"));
    let finished = read.state.steps.iter().filter(|step| step.finished.is_some());
    assert_eq!(finished.map(|step| step.name.as_str()).collect::<Vec<_>>(), ["features"]);
}

#[tokio::test]
async fn of_two_writers_one_must_read_again() {
    let archive = memory("ledger-writers");
    let entry = job(&ledger(&archive), "01A", []).await;
    ledger(&archive).append(entry.clone(), started("fit")).await.expect("the first is taken");
    let other = Ledger::new(archive, "another".to_owned());
    let second = other.append(entry, cancelled()).await;
    assert_eq!(second.expect_err("the second is not").kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn an_event_that_landed_without_an_answer_is_ones_own_and_stands_once() {
    let (store, archive) = Faulty::archive();
    let ledger = ledger(&archive);
    store.next([Write::LandsUnanswered]);
    let entry = ledger.submit("01A", json!({}), 1).await.expect("submitted");
    store.next([Write::LandsUnanswered]);
    let entry = ledger.append(entry, started("fit")).await.expect("it is its own event");
    store.next([Write::Fails, Write::LandsUnanswered]);
    let entry = ledger.append(entry, cancelled()).await.expect("it is its own event");
    assert_eq!(entry.state.status, Status::Cancelled);
    assert_eq!(Ledger::new(archive.clone(), "another".into()).read("01A").await.expect("read"), entry);
    assert_eq!(objects(&archive, "ledger/01A").await, 3);
}

#[tokio::test]
async fn an_event_given_up_that_landed_later_is_found_by_the_next_one() {
    let (store, archive) = Faulty::archive();
    let ledger = ledger(&archive);
    let before = job(&ledger, "01A", []).await;
    // As a write that arrives after its writer has given up.
    ledger.append(before.clone(), started("fit")).await.expect("appended");
    let retrying = Event::Retrying { error: "x".into(), pause_ms: 1, at_ms: 3 };
    let entry = ledger.append(before, retrying).await.expect("appended");
    assert_eq!(entry.state.retries[0].step.as_deref(), Some("fit"), "the step has begun");
    store.next(vec![Write::Fails; 6]);
    let refused = ledger.append(entry.clone(), succeeded()).await.expect_err("the store is away");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(ledger.read("01A").await.expect("read"), entry);
}

#[tokio::test]
async fn an_append_goes_on_when_the_step_that_asked_for_it_is_dropped() {
    let (store, archive) = Faulty::archive();
    let ledger = ledger(&archive);
    let entry = job(&ledger, "01A", [started("fit")]).await;
    let journal = Journal::new(ledger.clone(), || 7, entry);
    let landing = Arc::new(Notify::new());
    store.next([Write::LandsWhen(Arc::clone(&landing))]);
    let attempt = journal.attempt().await;
    let (one, two) = (json!(1), json!(2));
    tokio::select! {
        biased;
        _ = attempt.finish("fit", &one) => panic!("it has not landed"),
        () = tokio::task::yield_now() => {}
    }
    landing.notify_one();
    let ended = journal.append(|at_ms| Event::Cancelled { at_ms }).await.expect("it follows");
    assert_eq!(ended.state.steps[0].finished, Some((7, Arc::new(one))), "the step was committed before");
    assert_eq!(ended.state.status, Status::Cancelled);
    assert_eq!(ledger.read("01A").await.expect("read"), ended);
    assert!(attempt.finish("fit", &two).await.is_err());
}

#[tokio::test]
async fn submitting_again_gives_the_job_that_stands_also_when_it_has_ended() {
    let archive = memory("ledger-again");
    let ledger = ledger(&archive);
    let entry = job(&ledger, "01A", [started("fit")]).await;
    let again = ledger.submit("01A", json!({"n": 2}), 9).await.expect("answered");
    assert_eq!(again, entry);
    let entry = ledger.append(entry, cancelled()).await.expect("appended");
    ledger.compact("01A").await.expect("put together");
    assert_eq!(ledger.submit("01A", json!({"n": 3}), 9).await.expect("answered"), entry);
    assert_eq!(objects(&archive, "ledger").await, 0);
}

#[tokio::test]
async fn a_job_that_has_ended_is_one_object_with_all_its_events_and_can_be_reopened() {
    let archive = memory("ledger-ended");
    let ledger = ledger(&archive);
    let open = job(&ledger, "01A", [started("fit")]).await;
    ledger.compact("01A").await.expect("nothing to do");
    assert_eq!(objects(&archive, "ledger/01A").await, 2, "it is open");
    let ended = ledger.append(open, failed(true)).await.expect("appended");
    ledger.compact("01A").await.expect("put together");
    assert_eq!((objects(&archive, "ledger").await, objects(&archive, "ledger-ended").await), (0, 1));
    assert_eq!(ledger.read("01A").await.expect("read"), ended);

    let open = ledger.append(ended, Event::Reopened { at_ms: 6 }).await.expect("it can be retried");
    assert_eq!(ledger.read("01A").await.expect("read"), open);
    assert_eq!(open.state.status, Status::Queued);
    assert_eq!(ledger.open().await.expect("listed").len(), 1);
    let ended = ledger.append(open, succeeded()).await.expect("appended");
    ledger.compact("01A").await.expect("put together");
    assert_eq!((objects(&archive, "ledger").await, objects(&archive, "ledger-ended").await), (0, 1));
    assert_eq!(Ledger::new(archive, "another".into()).read("01A").await.expect("read"), ended);
}

#[tokio::test]
async fn events_left_beside_their_one_object_are_not_read_twice() {
    let archive = memory("ledger-left");
    let ledger = ledger(&archive);
    let ended = job(&ledger, "01A", [started("fit"), cancelled()]).await;
    // As after a process that ended between writing the one object and deleting the others.
    let first = archive.get("ledger/01A/00000000.json").await.expect("read");
    ledger.compact("01A").await.expect("put together");
    assert!(archive.put_new("ledger/01A/00000000.json", first).await.expect("written"));
    assert_eq!(ledger.read("01A").await.expect("read"), ended);
    ledger.compact("01A").await.expect("put together");
    assert_eq!(objects(&archive, "ledger").await, 0);
    assert_eq!(ledger.read("01A").await.expect("read"), ended);
}

#[tokio::test]
async fn the_newest_jobs_are_listed_open_or_ended() {
    let archive = memory("ledger-newest");
    let ledger = ledger(&archive);
    for id in ["01A", "01B", "01C", "01D"] {
        job(&ledger, id, [started("fit"), cancelled()]).await;
    }
    for id in ["01A", "01C"] {
        ledger.compact(id).await.expect("put together");
    }
    let (newest, older) = ledger.newest(3).await.expect("listed");
    let ids: Vec<String> = newest.into_iter().map(|job| job.expect("whole").job).collect();
    assert_eq!((ids, older), (["01D", "01C", "01B"].map(str::to_owned).to_vec(), 1));
    assert_eq!(ledger.newest(0).await.expect("listed").0.len(), 4);
}

#[tokio::test]
async fn a_damaged_or_missing_event_is_named_and_concerns_its_job_alone() {
    let archive = memory("ledger-damaged");
    let ledger = ledger(&archive);
    assert_eq!(ledger.read("nope").await.expect_err("unknown").kind(), ErrorKind::NotFound);
    let good = job(&ledger, "01A", [started("fit")]).await;
    for id in ["01B", "01C", "01D", "01E"] {
        job(&ledger, id, []).await;
    }
    let event = serde_json::to_vec(&started("fit")).expect("encodes");
    for (place, bytes) in [
        ("ledger/01B/00000002.json", event.as_slice()),
        ("ledger/01C/00000001.json", b"{\"event\": \"step_sta"),
        ("ledger/01D/00000001.json", b"{\"event\": \"submitted\", \"specification\": {}, \"at_ms\": 1}"),
        ("ledger/01E/00000001.json", b""),
        ("ledger/01F/00000000.json", b""),
    ] {
        assert!(archive.put_new(place, bytes.to_vec()).await.expect("written"));
    }
    let mut damaged = Vec::new();
    for listed in ledger.open().await.expect("listed") {
        match listed {
            Ok(entry) => assert_eq!(entry, good),
            Err(Damaged { job, error }) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.chain().contains(&format!("{job}/0000000")), "{}", error.chain());
                damaged.push(job);
            }
        }
    }
    assert_eq!(damaged, ["01B", "01C", "01D", "01E", "01F"]);
    for job in damaged {
        let ended = ledger.give_up(&job, 9).await.expect("given up");
        assert_eq!(ended.state.status, Status::Cancelled);
        assert_eq!(ledger.read(&job).await.expect("read"), ended);
    }
    assert_eq!(ledger.open().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn a_ledger_of_an_earlier_version_is_read() {
    let archive = memory("ledger-earlier");
    let events = [
        json!({"event": "submitted", "specification": {"kind": "retrain"}, "at_ms": 1}),
        json!({"event": "step_started", "step": "fit", "at_ms": 2}),
        json!({"event": "failed", "error": "x", "outcome": {}, "at_ms": 3}),
    ];
    for (number, event) in events.iter().enumerate() {
        let place = format!("ledger/01A/{number:08}.json");
        assert!(archive.put_new(&place, event.to_string()).await.expect("written"));
    }
    let state = ledger(&archive).read("01A").await.expect("read").state;
    assert_eq!((state.status, state.can_be_retried()), (Status::Failed, false));
    assert_eq!(state.error, Some((ErrorKind::Internal, "x".to_owned())));
}

#[tokio::test]
async fn the_last_of_some_jobs_is_found_however_many_came_after_it() {
    let archive = memory("ledger-last");
    let ledger = ledger(&archive);
    let is_one = |specification: &serde_json::Value| specification["kind"] == "archive";
    assert_eq!(ledger.last(is_one, 0).await.expect("looked"), None);
    for (at_ms, kind) in [(1, "archive"), (2, "archive")].into_iter().chain((3..60).map(|at| (at, "apply"))) {
        let entry =
            ledger.submit(&format!("01{at_ms:03}"), json!({"kind": kind}), at_ms).await.expect("written");
        // Every other one has ended, and its events lie elsewhere.
        if at_ms % 2 == 0 {
            ledger.append(entry, cancelled()).await.expect("appended");
            ledger.compact(&format!("01{at_ms:03}")).await.expect("put together");
        }
    }
    let found = async |since_ms| {
        let last = ledger.last(is_one, since_ms).await.expect("looked");
        last.map(|entry| (entry.job, entry.state.submitted_ms))
    };
    assert_eq!(found(0).await, Some(("01002".to_owned(), 2)));
    assert_eq!(found(2).await, Some(("01002".to_owned(), 2)));
    // Not all jobs are read to find one that nobody asks for.
    assert_eq!(found(50).await, None);
}

#[test]
fn inner_steps_are_under_way_before_those_around_them() {
    let events = [started("1 ingest"), started("1 ingest: list"), finished("1 ingest: list")];
    let first = JobState::first(&Event::Submitted { specification: json!({}), at_ms: 1 }).expect("first");
    let mut under_way = Vec::new();
    let mut state = first;
    for event in &events {
        state = state.after(event).expect("legal");
        under_way.push(state.step().expect("one").name.clone());
    }
    assert_eq!(under_way, ["1 ingest", "1 ingest: list", "1 ingest"]);
    let state = state.after(&Event::Retrying { error: "x".into(), pause_ms: 5, at_ms: 4 }).expect("legal");
    assert_eq!(state.retries[0].step.as_deref(), Some("1 ingest"));
    let state = state.after(&Event::Noted { text: "an executor was lost".into(), at_ms: 5 }).expect("legal");
    assert_eq!((state.notes[0].step.as_deref(), state.notes[0].at_ms), (Some("1 ingest"), 5));
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![Just("a"), Just("b")];
    let event = prop_oneof![
        4 => step.clone().prop_map(started),
        4 => step.prop_map(finished),
        1 => Just(Event::Retrying { error: "x".into(), pause_ms: 1, at_ms: 5 }),
        1 => Just(Event::Noted { text: "x".into(), at_ms: 5 }),
        1 => Just(succeeded()),
        2 => any::<bool>().prop_map(failed),
        2 => Just(Event::Reopened { at_ms: 5 }),
        1 => Just(cancelled()),
    ];
    prop::collection::vec(event, 0..16)
}

fn commits(state: &JobState) -> usize {
    state.steps.iter().filter(|step| step.finished.is_some()).count()
}

proptest! {
    #[test]
    fn only_a_users_wish_follows_an_end_and_no_commit_is_lost(events in events()) {
        let mut state =
            JobState::first(&Event::Submitted { specification: json!({}), at_ms: 1 }).expect("a submission");
        for event in &events {
            let before = state.clone();
            match state.clone().after(event) {
                Ok(next) => {
                    let wish = matches!(event, Event::Reopened { .. } | Event::Cancelled { .. });
                    prop_assert!(!before.status.is_final() || (wish && before.can_be_retried()));
                    prop_assert!(commits(&next) >= commits(&before));
                    prop_assert_eq!(next.ended_ms.is_some(), next.status.is_final());
                    prop_assert_eq!(next.error.is_some(), next.status == Status::Failed);
                    prop_assert!(next.step().is_none() || !next.status.is_final());
                    state = next;
                }
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Conflict),
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whichever writes are lost, delayed or not answered: what the writer believes is what is read.
    #[test]
    fn what_a_writer_believes_is_what_is_read(
        events in events(),
        writes in prop::collection::vec(prop_oneof![Just(Write::Lands), Just(Write::LandsUnanswered)], 8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (store, archive) = Faulty::archive();
            let ledger = ledger(&archive);
            let mut entry = ledger.submit("01A", json!({}), 1).await.expect("submitted");
            store.next(writes);
            for event in events {
                if let Ok(next) = ledger.append(entry.clone(), event).await {
                    entry = next;
                }
                ledger.compact("01A").await.ok();
            }
            assert_eq!(ledger.read("01A").await.expect("read"), entry);
        });
    }
}
