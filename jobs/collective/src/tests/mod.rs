//! A fit ends with the same states when workers are lost, late or fail, in this process and over gRPC.

mod chaos;
mod faults;
mod large;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use prost::Message;
use tidewaiter_core::{Error, ErrorKind, Result};
use tidewaiter_proto::v1::fit_service_server::FitServiceServer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::TcpListenerStream;

use crate::{
    Connection, Contribution, Hub, Leader, Observer, Progress, Shard, ShardLoader,
    connection::CHANNEL_DEPTH,
    grpc::{Hubs, heard, join, said},
    lead,
    liveness::Pace,
    work,
};

/// A fit whose states can be computed without a collective: in each round a shard adds the state of two rounds before to
/// a sum that it must keep itself. So one round can be begun while another is open.
#[derive(Clone, Debug, PartialEq)]
struct Chain {
    rounds: u64,
    instructed: u64,
    done: u64,
    states: Vec<i64>,
    /// How many rounds were begun while another was open.
    ahead: u64,
}

impl Chain {
    fn next(&mut self) -> Option<Bytes> {
        if self.instructed == self.rounds {
            return None;
        }
        let state = self.instructed.checked_sub(2).map_or(1, |before| self.states[before as usize]);
        self.instructed += 1;
        Some(Bytes::copy_from_slice(&state.to_le_bytes()))
    }
}

impl Leader for Chain {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        assert_eq!(self.instructed, self.done, "no round is open");
        Ok(self.next())
    }

    fn instruct_ahead(&mut self) -> Result<Option<Bytes>> {
        assert_eq!(self.instructed, self.done + 1, "one round is open");
        let instructed = self.next();
        self.ahead += u64::from(instructed.is_some());
        Ok(instructed)
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        let Contribution::Sum(sums) = contribution else { return Err(Error::internal("sums expected")) };
        self.states.push(sums[0] % 1_000_003);
        self.done += 1;
        Ok(())
    }

    fn checkpoint(&self) -> Result<Bytes> {
        self.history()
    }

    /// The instructions of all rounds that are over.
    fn history(&self) -> Result<Bytes> {
        let mut sent = vec![1, 1];
        sent.extend(&self.states);
        sent.truncate(self.done as usize);
        Ok(sent.iter().flat_map(|state: &i64| state.to_le_bytes()).collect())
    }

    fn at_milestone(&self) -> bool {
        self.done.is_multiple_of(5)
    }

    fn progress(&self) -> Progress {
        Progress { done: self.done, total: self.rounds, note: String::new() }
    }
}

struct Link {
    number: i64,
    sum: i64,
}

impl Shard for Link {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        self.sum = history.chunks_exact(8).map(|c| i64::from_le_bytes(c.try_into().expect("8"))).sum();
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        self.sum += i64::from_le_bytes(instruction.try_into().expect("8 bytes"));
        Contribution::Sum(vec![(self.sum % 1_000_003) * (self.number + 1)]).merge_onto(merged)
    }
}

/// Loads links; fails after a number of loads, as a worker that dies does.
struct Links {
    loads: Mutex<usize>,
    kind: ErrorKind,
}

#[async_trait::async_trait]
impl ShardLoader for Links {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let mut loads = self.loads.lock().expect("not poisoned");
        if *loads == 0 {
            return Err(Error::new(self.kind, "no memory left"));
        }
        *loads -= 1;
        Ok(Box::new(Link { number: i64::from(shard), sum: 0 }))
    }
}

fn loader() -> Links {
    Links { loads: Mutex::new(usize::MAX), kind: ErrorKind::Unavailable }
}

#[derive(Default)]
struct Recorded {
    checkpoints: usize,
    /// Called after each round with the number of rounds done.
    after_round: Option<Box<dyn FnMut(u64) + Send>>,
}

#[async_trait::async_trait]
impl Observer for Recorded {
    fn progress(&mut self, progress: Progress) {
        if let Some(after_round) = &mut self.after_round {
            after_round(progress.done);
        }
    }

    async fn checkpoint(&mut self, _: Bytes) -> Result<()> {
        self.checkpoints += 1;
        Ok(())
    }
}

const ROUNDS: u64 = 20;
const SHARDS: u32 = 5;

fn chain() -> Chain {
    Chain { rounds: ROUNDS, instructed: 0, done: 0, states: Vec::new(), ahead: 0 }
}

/// The states, computed without any collective.
fn expected() -> Vec<i64> {
    let mut chain = chain();
    let mut links: Vec<Link> = (0..SHARDS).map(|n| Link { number: i64::from(n), sum: 0 }).collect();
    while let Some(instruction) = chain.instruct().expect("instructs") {
        let mut merged = None;
        for link in &mut links {
            link.contribute(&instruction, &mut merged).expect("contributes");
        }
        chain.absorb(merged.expect("links answered")).expect("absorbs");
    }
    chain.states
}

/// Whether a worker's process stands still.
type Stopped = watch::Sender<bool>;

/// A stream that gives nothing while a process stands still.
fn running<T: Send + 'static>(
    messages: impl Stream<Item = T> + Send + Unpin + 'static,
    stopped: &Stopped,
) -> impl Stream<Item = T> + Send + Unpin + 'static {
    let stopped = stopped.subscribe();
    Box::pin(stream::unfold((messages, stopped), |(mut messages, mut stopped)| async {
        let next = messages.next().await?;
        stopped.wait_for(|stopped| !*stopped).await.ok()?;
        Some((next, (messages, stopped)))
    }))
}

/// A worker's connection to a hub as gRPC makes it, without a network: streams of messages, of which none is large.
async fn linked(hubs: &Hubs, worker: &str, stopped: &Stopped) -> Connection {
    let (outgoing, sent) = mpsc::channel(CHANNEL_DEPTH);
    let small = |bytes: usize| assert!(bytes < 5 << 20, "a message of {bytes} bytes");
    let from_worker = said("fit", worker, sent, PACE).inspect(move |message| small(message.encoded_len()));
    let to_hub = running(Box::pin(from_worker), stopped).map(Ok);
    let from_hub = hubs.admit(to_hub, PACE).await.expect("there is a hub");
    let from_hub = Box::pin(from_hub.inspect(move |message| small(message.encoded_len())));
    Connection { outgoing, incoming: heard(running(from_hub, stopped).map(Ok), PATIENT) }
}

/// Heartbeats in quick succession.
const PACE: Pace = Pace { every: Duration::from_millis(20), silent_ticks: 5 };

/// Of those who give nobody up.
const PATIENT: Pace = Pace { every: Duration::from_secs(60), silent_ticks: 60 };

#[tokio::test]
async fn a_fit_on_three_workers_equals_the_computation_on_none() {
    let (hub, inbox) = Hub::new();
    let workers: Vec<_> = (0..3)
        .map(|n| {
            let hub = hub.clone();
            tokio::spawn(async move { work(hub.join(format!("w{n}")).await?, &loader()).await })
        })
        .collect();
    let (_cancel, cancelled) = oneshot::channel();
    let (mut leader, mut recorded) = (chain(), Recorded::default());
    lead(inbox, &mut leader, SHARDS, 3, &mut recorded, cancelled).await.expect("the fit ends");
    assert_eq!(leader.states, expected());
    assert_eq!(recorded.checkpoints, 4);
    // All workers are present from the beginning, so that no shard has to move.
    assert_eq!(leader.ahead, ROUNDS - 1);
    for worker in workers {
        worker.await.expect("no panic").expect("the worker is dismissed");
    }
}

#[tokio::test]
async fn a_worker_lost_in_the_middle_and_one_that_joins_late_change_nothing() {
    let (hub, inbox) = Hub::new();
    let first = hub.clone();
    let doomed = tokio::spawn(async move { work(first.join("doomed".into()).await?, &loader()).await });
    let late = Arc::new(Mutex::new(BTreeSet::new()));
    let started = Arc::clone(&late);
    let abort = doomed.abort_handle();
    let mut recorded = Recorded {
        after_round: Some(Box::new(move |done| {
            if done == 7 {
                abort.abort();
            }
            if done == 7 || done == 12 {
                started.lock().expect("not poisoned").insert(done);
                let hub = hub.clone();
                tokio::spawn(async move { work(hub.join(format!("late{done}")).await?, &loader()).await });
            }
        })),
        ..Recorded::default()
    };
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = chain();
    lead(inbox, &mut leader, SHARDS, 1, &mut recorded, cancelled).await.expect("the fit ends");
    assert_eq!(leader.states, expected());
    assert_eq!(late.lock().expect("not poisoned").len(), 2, "both late workers were started");
    assert!(doomed.await.expect_err("it was aborted").is_cancelled());
}

#[tokio::test]
async fn a_transient_failure_moves_the_shards_and_a_permanent_one_ends_the_fit() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Corrupt] {
        let (hub, inbox) = Hub::new();
        let broken = hub.clone();
        tokio::spawn(async move {
            let loader = Links { loads: Mutex::new(1), kind };
            work(broken.join("broken".into()).await?, &loader).await
        });
        let whole = hub.clone();
        tokio::spawn(async move { work(whole.join("whole".into()).await?, &loader()).await });
        let (_cancel, cancelled) = oneshot::channel();
        let mut leader = chain();
        let led = lead(inbox, &mut leader, SHARDS, 1, &mut Recorded::default(), cancelled).await;
        if kind == ErrorKind::Unavailable {
            led.expect("the other worker carries on");
            assert_eq!(leader.states, expected());
        } else {
            let error = led.expect_err("it is permanent");
            assert!(error.chain().contains("no memory left"), "{}", error.chain());
            assert_eq!(error.kind(), kind, "the remedy is that of the worker's error");
        }
    }
}

#[tokio::test]
async fn a_cancelled_fit_dismisses_its_workers() {
    let (hub, inbox) = Hub::new();
    let worker = tokio::spawn(async move { work(hub.join("w".into()).await?, &loader()).await });
    let (cancel, cancelled) = oneshot::channel();
    let mut cancel = Some(cancel);
    let mut recorded = Recorded {
        after_round: Some(Box::new(move |done| {
            if done == 3 {
                cancel.take().map(|cancel| cancel.send(()));
            }
        })),
        ..Recorded::default()
    };
    let mut leader = Chain { rounds: u64::MAX, ..chain() };
    let led = lead(inbox, &mut leader, SHARDS, 1, &mut recorded, cancelled).await;
    assert_eq!(led.expect_err("cancelled").kind(), ErrorKind::Cancelled);
    worker.await.expect("no panic").expect("dismissed, not failed");
}

#[tokio::test]
async fn the_same_fit_over_grpc_gives_the_same_states() {
    let hubs = Hubs::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("has an address"));
    let service = FitServiceServer::new(hubs.clone());
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let (hub, inbox) = Hub::new();
    hubs.open("fit-1", hub);
    let workers: Vec<_> = (0..2)
        .map(|n| {
            let url = url.clone();
            tokio::spawn(async move { work(join(&url, "fit-1", &format!("w{n}")).await?, &loader()).await })
        })
        .collect();
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = chain();
    lead(inbox, &mut leader, SHARDS, 1, &mut Recorded::default(), cancelled).await.expect("the fit ends");
    assert_eq!(leader.states, expected());
    for worker in workers {
        worker.await.expect("no panic").expect("dismissed");
    }
    let unknown = join(&url, "fit-2", "w").await.expect_err("no such fit");
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}
