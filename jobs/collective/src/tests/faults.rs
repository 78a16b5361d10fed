//! Workers and leaders that are silent, slow or late.

use std::sync::{Condvar, atomic::AtomicUsize, atomic::Ordering};

use tidewaiter_proto::v1::{
    Contribution as ContributionMessage, WorkerMessage, contribution::Answer, leader_message, worker_message,
};

use super::*;
use crate::{End, session::lead_in, timing::Timing};

/// A second is long here.
const HASTY: Timing = Timing {
    tick: Duration::from_millis(5),
    grace: Duration::from_millis(50),
    load: Duration::from_millis(50),
    rest: Duration::from_secs(3600),
};

/// A test that waits longer has failed.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_shards_of_a_silent_worker_move_and_it_may_join_again() {
    let (hub, inbox) = Hub::new();
    let hubs = Hubs::default();
    hubs.open("fit", hub.clone());
    let stopped = Stopped::new(false);
    let silent = linked(&hubs, "silent", &stopped).await;
    let silent = tokio::spawn(async move { work(silent, &loader()).await });
    let lively = linked(&hubs, "lively", &Stopped::new(false)).await;
    let lively = tokio::spawn(async move { work(lively, &loader()).await });

    let stop = stopped.clone();
    let mut recorded = Recorded {
        after_round: Some(Box::new(move |done| {
            if done == 7 {
                stop.send_replace(true);
            }
        })),
        ..Recorded::default()
    };
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = chain();
    let led = lead(inbox, &mut leader, SHARDS, 2, &mut recorded, cancelled);
    tokio::time::timeout(LONG, led).await.expect("nobody waits for ever").expect("the fit ends");
    assert_eq!(leader.states, expected());
    assert!(*stopped.borrow(), "it stands still to the end");
    assert_eq!(lively.await.expect("no panic").expect("is dismissed").end, End::Dismissed);
    // It goes on, answers late, and learns that the fit did without it.
    stopped.send_replace(false);
    assert_eq!(silent.await.expect("no panic").expect("it may join again").end, End::Expelled);
}

#[tokio::test]
async fn a_worker_whose_leader_is_silent_leaves() {
    let (outgoing, _sent) = mpsc::channel(CHANNEL_DEPTH);
    let incoming = heard(stream::pending(), PACE);
    let left = tokio::time::timeout(LONG, work(Connection { outgoing, incoming }, &loader())).await;
    let error = left.expect("nobody waits for ever").expect_err("the leader is gone");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn the_hub_hears_a_worker_that_computes_for_long() {
    let (hub, inbox) = Hub::new();
    let hubs = Hubs::default();
    hubs.open("fit", hub);
    let worker = linked(&hubs, "w", &Stopped::new(false)).await;
    let gate = Arc::new(Gate::default());
    let loader = Gated { gate: Arc::clone(&gate), at: 3 };
    let worker = tokio::spawn(async move { work(worker, &loader).await });
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = chain();
    let mut recorded = Recorded::default();
    let mut led = Box::pin(lead(inbox, &mut leader, SHARDS, 1, &mut recorded, cancelled));
    // Far longer than a worker may be silent.
    let early = tokio::time::timeout(PACE.every * PACE.silent_ticks * 4, &mut led).await;
    assert!(early.is_err(), "it computes still");
    gate.open();
    led.await.expect("the fit ends");
    assert_eq!(leader.states, expected());
    assert_eq!(worker.await.expect("no panic").expect("was never given up").end, End::Dismissed);
}

/// Closed until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    waited: AtomicUsize,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().expect("not poisoned") = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        self.waited.fetch_add(1, Ordering::SeqCst);
        let is_open = self.is_open.lock().expect("not poisoned");
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).expect("not poisoned"));
    }
}

/// Loads links that wait at a gate in a round.
struct Gated {
    gate: Arc<Gate>,
    at: u64,
}

#[async_trait::async_trait]
impl ShardLoader for Gated {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let link = Link { number: i64::from(shard), sum: 0 };
        Ok(Box::new(GatedLink { link, gate: Arc::clone(&self.gate), at: self.at, round: 0 }))
    }
}

struct GatedLink {
    link: Link,
    gate: Arc<Gate>,
    at: u64,
    round: u64,
}

impl Shard for GatedLink {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        self.round = history.len() as u64 / 8;
        self.link.restore(history)
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        self.round += 1;
        if self.round == self.at {
            self.gate.wait();
        }
        self.link.contribute(instruction, merged)
    }
}

#[tokio::test]
async fn a_worker_that_hangs_is_raced_and_does_not_hold_the_fit_up() {
    let (hub, inbox) = Hub::new();
    let gate = Arc::new(Gate::default());
    let slow = hub.join("slow".into()).await.expect("the fit is open");
    let gated = Gated { gate: Arc::clone(&gate), at: 6 };
    let slow = tokio::spawn(async move { work(slow, &gated).await });
    let fast: Vec<_> = futures::future::join_all(["fast", "other"].map(|name| hub.join(name.into()))).await;
    let fast: Vec<_> = fast
        .into_iter()
        .map(|fast| tokio::spawn(async move { work(fast.expect("the fit is open"), &loader()).await }))
        .collect();
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = chain();
    let mut recorded = Recorded::default();
    let led = lead_in(HASTY, inbox, &mut leader, (SHARDS, 3), &mut recorded, cancelled);
    tokio::time::timeout(LONG, led).await.expect("nobody waits for ever").expect("the fit ends");
    assert_eq!(leader.states, expected());
    assert_eq!(gate.waited.load(Ordering::SeqCst), 1, "it hangs still");
    gate.open();
    for worker in fast.into_iter().chain([slow]) {
        assert_eq!(worker.await.expect("no panic").expect("is dismissed").end, End::Dismissed);
    }
}

#[tokio::test]
async fn a_slow_worker_that_comes_first_keeps_its_shards_and_the_racer_is_called_off() {
    let (hub, inbox) = Hub::new();
    let gate = Arc::new(Gate::default());
    let slow = hub.join("slow".into()).await.expect("the fit is open");
    let gated = Gated { gate: Arc::clone(&gate), at: 6 };
    let slow = tokio::spawn(async move { work(slow, &gated).await });
    let fast = hub.join("fast".into()).await.expect("the fit is open");
    let loads = Arc::new(AtomicUsize::new(0));
    let (told, done) = watch::channel(0);
    // It carries three of the five shards.
    let racer = Opening { gate: Arc::clone(&gate), own: 3, loads: Arc::clone(&loads), done };
    let fast = tokio::spawn(async move { work(fast, &racer).await });
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = chain();
    let mut recorded = Recorded {
        after_round: Some(Box::new(move |done| _ = told.send_replace(done))),
        ..Recorded::default()
    };
    let led = lead_in(HASTY, inbox, &mut leader, (SHARDS, 2), &mut recorded, cancelled);
    tokio::time::timeout(LONG, led).await.expect("nobody waits for ever").expect("the fit ends");
    drop(recorded);
    assert_eq!(leader.states, expected());
    assert!(loads.load(Ordering::SeqCst) > 3, "it raced");
    for worker in [slow, fast] {
        assert_eq!(worker.await.expect("no panic").expect("is dismissed").end, End::Dismissed);
    }
}

/// Loads links; those after its own open the gate at which the slow worker waits, and are loaded when the round is over.
struct Opening {
    gate: Arc<Gate>,
    own: usize,
    loads: Arc<AtomicUsize>,
    done: watch::Receiver<u64>,
}

#[async_trait::async_trait]
impl ShardLoader for Opening {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        if self.loads.fetch_add(1, Ordering::SeqCst) >= self.own {
            let mut done = self.done.clone();
            let rounds = *done.borrow();
            self.gate.open();
            // The sender is dropped when the fit is over.
            let _ = done.wait_for(|done| *done > rounds).await;
        }
        loader().load(shard).await
    }
}

#[tokio::test]
async fn answers_of_a_worker_that_lost_its_shards_are_ignored() {
    let (hub, inbox) = Hub::new();
    let mut slow = hub.join("slow".into()).await.expect("the fit is open");
    let fast = hub.join("fast".into()).await.expect("the fit is open");
    let fast = tokio::spawn(async move { work(fast, &loader()).await });
    // It answers nothing until it has lost its shards, and then answers nonsense for every round that it knows.
    let slow = tokio::spawn(async move {
        let (mut shards, mut rounds, mut assignment) = (Vec::new(), Vec::new(), 0);
        while let Some(message) = slow.incoming.recv().await {
            match message.message {
                Some(leader_message::Message::Assign(assign)) if assign.shards.is_empty() => break,
                Some(leader_message::Message::Assign(assign)) => {
                    (shards, assignment) = (assign.shards, assign.number);
                }
                Some(leader_message::Message::Instruct(instruct)) => rounds.push(instruct.round),
                _ => {}
            }
        }
        for round in rounds.into_iter().chain(1..=ROUNDS) {
            let answer = Some(Answer::Sum(Bytes::from_static(&[9; 8])));
            let wrong = ContributionMessage { round, shards: shards.clone(), assignment, answer };
            let message = worker_message::Message::Contribution(wrong);
            let _ = slow.outgoing.send(WorkerMessage { message: Some(message) }).await;
        }
        slow
    });
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = chain();
    let mut recorded = Recorded::default();
    // A worker that has never answered has the time to load.
    let timing = Timing { load: Duration::from_millis(5), ..HASTY };
    let led = lead_in(timing, inbox, &mut leader, (SHARDS, 2), &mut recorded, cancelled);
    tokio::time::timeout(LONG, led).await.expect("nobody waits for ever").expect("the fit ends");
    assert_eq!(leader.states, expected());
    assert_eq!(fast.await.expect("no panic").expect("is dismissed").end, End::Dismissed);
    let mut slow = slow.await.expect("no panic");
    assert!(slow.incoming.recv().await.is_some(), "it is dismissed in the end");
}
