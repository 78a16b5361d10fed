//! Tests of the ledger: what is durable, what may follow what, and who wins.

use proptest::prelude::*;
use serde_json::json;
use tidewaiter_core::ErrorKind;

use super::*;

fn started(step: &str) -> Event {
    Event::StepStarted { step: step.into(), at_ms: 2 }
}

fn finished(step: &str) -> Event {
    Event::StepFinished { step: step.into(), outcome: json!({"rows": 3}), at_ms: 3 }
}

#[tokio::test]
async fn a_scheduler_that_starts_anew_knows_what_is_committed() {
    let archive = Archive::open("memory://ledger-restart").expect("opens");
    let ledger = Ledger::new(archive.clone());
    let mut entry = ledger.submit("01A", json!({"kind": "retrain"}), 1).await.expect("submitted");
    for event in [started("features"), finished("features"), started("fit")] {
        entry = ledger.append(entry, event).await.expect("appended");
    }
    drop(ledger);

    let read = Ledger::new(archive).read("01A").await.expect("read");
    assert_eq!(read, entry);
    assert_eq!(read.state.status, Status::Running);
    assert_eq!(read.state.step.as_deref(), Some("fit"));
    assert_eq!(read.state.finished.keys().collect::<Vec<_>>(), ["features"]);
}

#[tokio::test]
async fn of_two_writers_one_must_read_again() {
    let ledger = Ledger::new(Archive::open("memory://ledger-writers").expect("opens"));
    let entry = ledger.submit("01A", json!({}), 1).await.expect("submitted");
    let first = ledger.append(entry.clone(), started("fit")).await;
    first.expect("the first is taken");
    let second = ledger.append(entry, Event::Cancelled { at_ms: 4 }).await;
    assert_eq!(second.expect_err("the second is not").kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn submitting_again_gives_the_job_that_stands() {
    let ledger = Ledger::new(Archive::open("memory://ledger-again").expect("opens"));
    let entry = ledger.submit("01A", json!({"n": 1}), 1).await.expect("submitted");
    let entry = ledger.append(entry, started("fit")).await.expect("appended");
    let again = ledger.submit("01A", json!({"n": 2}), 9).await.expect("answered");
    assert_eq!(again, entry);
    assert_eq!(ledger.jobs().await.expect("listed"), [entry]);
}

#[tokio::test]
async fn a_missing_event_and_an_unknown_job_are_named() {
    let archive = Archive::open("memory://ledger-missing").expect("opens");
    let ledger = Ledger::new(archive.clone());
    assert_eq!(ledger.read("nope").await.expect_err("unknown").kind(), ErrorKind::NotFound);
    ledger.submit("01A", json!({}), 1).await.expect("submitted");
    let event = serde_json::to_vec(&started("fit")).expect("encodes");
    assert!(archive.put_new("ledger/01A/00000002.json", event).await.expect("written"));
    let error = ledger.read("01A").await.expect_err("event 1 is missing");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.chain().contains("00000001"), "{error}");
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![Just("a"), Just("b")];
    let event = prop_oneof![
        4 => step.clone().prop_map(started),
        4 => step.prop_map(finished),
        1 => Just(Event::Succeeded { outcome: json!({}), at_ms: 5 }),
        1 => Just(Event::Failed { error: "x".into(), outcome: json!({}), at_ms: 5 }),
        1 => Just(Event::Cancelled { at_ms: 5 }),
    ];
    prop::collection::vec(event, 0..12)
}

proptest! {
    #[test]
    fn nothing_follows_an_end_and_no_commit_is_lost(events in events()) {
        let mut state =
            JobState::first(&Event::Submitted { specification: json!({}), at_ms: 1 }).expect("a submission");
        for event in &events {
            let before = state.clone();
            match state.clone().after(event) {
                Ok(next) => {
                    prop_assert!(!before.status.is_final());
                    prop_assert!(before.finished.keys().all(|step| next.finished.contains_key(step)));
                    state = next;
                }
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Conflict),
            }
        }
    }
}
