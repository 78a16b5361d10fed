//! A fit under way: assigns shards, runs the rounds, and hands merged contributions to the leader.
//!
//! Two rounds are open at a time where the leader can give the second instruction before the first round is over
//! ([`Leader::instruct_ahead`]), so that workers compute while contributions travel. A fit waits a moment for the
//! workers that were requested, so that no shard is loaded by one worker and then taken over by another.
//!
//! A worker that lives and is slow is raced ([`Session::race`]): workers without anything to answer load its shards and
//! answer, too. An answer is a pure function of data, history and instruction, so whichever comes first is taken. Every
//! answer that is awaited comes, because at any time
//!
//! - each shard is carried by one worker, which has been sent the open rounds after the assignment of the shard, with
//!   the shards whose answers are taken already;
//! - a contribution is for shards that its worker carried or raced for when it computed it (the number of the
//!   assignment says so), or it is ignored; no worker answers for shards of two kinds at once, because those that race
//!   have answered for their own, and a race ends before shards are assigned anew.
//!
//! Start at [`lead`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};
use tidewaiter_proto::v1::{
    Contribution as ContributionMessage, Done, Failure, Values, leader_message, worker_message,
};
use tokio::{
    sync::oneshot,
    time::{Instant, Interval},
};

use crate::{
    assignment::{Assignment, assign},
    connection::OPEN_ROUNDS,
    fit::{Contribution, Leader},
    hub::{Event, Inbox, Observer},
    liveness::ticks,
    member::Member,
    round::{Content, Round},
    timing::{Timing, Usual},
};

/// Leads a fit of `shards` shards to its end, or until `cancel` is sent or its sender is dropped. The fit begins when
/// `expected` workers have joined, or after a second with those that have.
///
/// # Errors
/// The leader's own, a worker's permanent failure (with its kind), or [`ErrorKind::Cancelled`].
pub async fn lead(
    inbox: Inbox,
    leader: &mut dyn Leader,
    shards: u32,
    expected: usize,
    observer: &mut dyn Observer,
    cancel: oneshot::Receiver<()>,
) -> Result<()> {
    lead_in(Timing::default(), inbox, leader, (shards, expected), observer, cancel).await
}

/// As [`lead`], with other times.
pub(crate) async fn lead_in(
    timing: Timing,
    inbox: Inbox,
    leader: &mut dyn Leader,
    (shards, expected): (u32, usize),
    observer: &mut dyn Observer,
    mut cancel: oneshot::Receiver<()>,
) -> Result<()> {
    let mut session = Session::new(inbox, shards, timing);
    let led = tokio::select! {
        led = session.run(leader, expected, observer) => led,
        _ = &mut cancel => Err(Error::new(ErrorKind::Cancelled, "the fit was cancelled")),
    };
    let reason = led.as_ref().err().map(Error::chain).unwrap_or_default();
    session.dismiss(&reason);
    led
}

/// How long a fit waits for the expected workers at most. Executors ask for tasks several times a second.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A fit under way.
struct Session {
    inbox: Inbox,
    shards: u32,
    timing: Timing,
    workers: BTreeMap<String, Member>,
    /// How many rounds were begun.
    rounds: u64,
    /// The rounds that are not over, the oldest first.
    open: VecDeque<Round>,
    /// The slow worker whose shards others race for.
    raced: Option<String>,
    usual: Usual,
    ticks: Interval,
    /// Bytes of the last contribution, by which those of the next are estimated.
    last_bytes: usize,
}

impl Session {
    fn new(inbox: Inbox, shards: u32, timing: Timing) -> Self {
        Self {
            inbox,
            shards,
            timing,
            workers: BTreeMap::new(),
            rounds: 0,
            open: VecDeque::new(),
            raced: None,
            usual: Usual::default(),
            ticks: ticks(timing.tick),
            last_bytes: 0,
        }
    }

    async fn run(
        &mut self,
        leader: &mut dyn Leader,
        expected: usize,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.wait_for_workers(expected, leader).await?;
        while let Some(instruction) = beside_others(self.last_bytes, || leader.instruct())? {
            self.begin(instruction);
            self.rebalance(leader)?;
            self.broadcast();
            while !self.open.is_empty() {
                self.begin_ahead(leader)?;
                let contribution = self.collect(leader).await?;
                self.last_bytes = contribution.size();
                beside_others(self.last_bytes, || leader.absorb(contribution))?;
                observer.progress(leader.progress());
                if leader.at_milestone() {
                    let checkpoint = beside_others(self.last_bytes, || leader.checkpoint())?;
                    observer.checkpoint(checkpoint).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits for workers that are about to join, so that no worker loads shards which another takes over at once.
    async fn wait_for_workers(&mut self, expected: usize, leader: &dyn Leader) -> Result<()> {
        let mut late = pin!(tokio::time::sleep(JOIN_TIMEOUT));
        while self.workers.len() < expected {
            tokio::select! {
                event = self.inbox.events.recv() => self.handle(event, leader)?,
                () = &mut late => break,
            }
        }
        Ok(())
    }

    fn begin(&mut self, instruction: Bytes) {
        self.rounds += 1;
        self.open.push_back(Round::new(self.rounds, instruction));
    }

    /// Begins further rounds, as far as the leader knows their instructions. It begins none while the shards are
    /// assigned unevenly, which [`Session::rebalance`] corrects when no round is open.
    fn begin_ahead(&mut self, leader: &mut dyn Leader) -> Result<()> {
        while self.open.len() < OPEN_ROUNDS && self.is_even() {
            let Some(instruction) = leader.instruct_ahead()? else { break };
            self.begin(instruction);
            self.broadcast();
        }
        Ok(())
    }

    /// Waits until every shard has answered the oldest round, and a mean is folded.
    async fn collect(&mut self, leader: &mut dyn Leader) -> Result<Contribution> {
        loop {
            if let Some(contribution) = self.end_round(leader)? {
                return Ok(contribution);
            }
            tokio::select! {
                biased;
                event = self.inbox.events.recv() => self.handle(event, leader)?,
                _ = self.ticks.tick() => self.race(leader)?,
            }
        }
    }

    /// What all shards answered to the oldest round, if they have; asks for what a mean lacks.
    fn end_round(&mut self, leader: &mut dyn Leader) -> Result<Option<Contribution>> {
        let Some(round) = self.open.front_mut() else { return Ok(None) };
        if round.answered.len() < self.shards as usize {
            return Ok(None);
        }
        if let Content::Mean(folding) = &mut round.content
            && !folding.advance(&mut |first, mean| leader.fold(first, mean))?
        {
            for (worker, fetch) in folding.fetches(round.number) {
                if let Some(worker) = self.workers.get(&worker) {
                    worker.send(leader_message::Message::Fetch(fetch));
                }
            }
            return Ok(None);
        }
        let Some(round) = self.open.pop_front() else { return Ok(None) };
        round.count();
        if let Some(fastest) = round.fastest {
            self.usual.note_answer(fastest);
        }
        match round.content {
            Content::Merged(merged) => Ok(merged),
            Content::Mean(folding) => Ok(Some(folding.over())),
        }
    }

    fn handle(&mut self, event: Option<Event>, leader: &dyn Leader) -> Result<()> {
        match event.ok_or_else(|| Error::internal("the fit's hub was dropped while it was led"))? {
            Event::Joined { worker, to_worker } => {
                tracing::info!(worker, "worker joined the fit");
                self.workers.insert(worker, Member::new(to_worker));
                self.inbox.present.send_replace(self.workers.len());
                // Shards in use are moved between rounds; only shards without a worker are assigned now.
                self.assign_unassigned(leader)
            }
            Event::Left { worker } => self.lose(&worker, "the worker left", leader),
            Event::Sent { worker, message } => match message.message {
                Some(worker_message::Message::Contribution(contribution)) => {
                    self.merge(&worker, contribution)
                }
                Some(worker_message::Message::Values(values)) => self.take(&worker, values),
                Some(worker_message::Message::Failure(failure)) => self.fail(&worker, failure, leader),
                _ => Ok(()),
            },
        }
    }

    fn merge(&mut self, name: &str, message: ContributionMessage) -> Result<()> {
        let ContributionMessage { round, shards, assignment, answer } = message;
        // A late message may answer for shards that others carry, or have answered for.
        let Some(worker) = self.workers.get_mut(name) else { return Ok(()) };
        worker.hangs = false;
        let Some(open) = self.open.iter_mut().find(|open| open.number == round) else { return Ok(()) };
        let expected = |shard: &u32| worker.answers(*shard, assignment) && !open.answered.contains(shard);
        let Some(answer) = answer.filter(|_| !shards.is_empty() && shards.iter().all(expected)) else {
            return Ok(());
        };
        let raced = shards.iter().any(|shard| worker.races.contains_key(shard));
        open.take(name, &shards, answer).context(|| format!("take the answer of worker {name}"))?;
        self.note_time(name, round, shards.len());
        self.end_race(name, raced);
        Ok(())
    }

    /// Notes how long a worker took for an answer that was taken.
    fn note_time(&mut self, name: &str, round: u64, shards: usize) {
        let now = Instant::now();
        let owes =
            self.workers.get(name).is_some_and(|worker| self.open.iter().any(|round| worker.owes(round) > 0));
        let Some(worker) = self.workers.get_mut(name) else { return };
        let Some(open) = self.open.iter_mut().find(|open| open.number == round) else { return };
        let loads = worker.clock.loads();
        let of_one = worker.clock.elapsed(now) / u32::try_from(shards).unwrap_or(u32::MAX).max(1);
        let limit = self.usual.limit(&self.timing, loads, shards, open.slowest);
        if worker.clock.overdue(now, limit).is_zero() {
            worker.raced = 0;
        }
        worker.clock.answered(now, limit, owes);
        if loads {
            self.usual.note_load(of_one);
        } else {
            open.note(of_one);
        }
    }

    fn take(&mut self, worker: &str, message: Values) -> Result<()> {
        let Values { round, shard, first, values } = message;
        match self.open.front_mut() {
            Some(Round { number, content: Content::Mean(folding), .. }) if *number == round => {
                folding.take(worker, shard, first, values)
            }
            _ => Ok(()),
        }
    }

    fn fail(&mut self, worker: &str, failure: Failure, leader: &dyn Leader) -> Result<()> {
        let error = Error::from(tonic::Status::new(tonic::Code::from(failure.code), failure.message));
        match error.kind() {
            ErrorKind::Unavailable => self.lose(worker, &error.chain(), leader),
            // Its name has ids of processes in it, and the job's error is the same wherever the job runs.
            _ => {
                tracing::warn!(worker, error = error.chain(), "a worker of the fit failed for good");
                Err(error)
            }
        }
    }

    /// Goes on without a worker.
    fn lose(&mut self, worker: &str, reason: &str, leader: &dyn Leader) -> Result<()> {
        if self.workers.remove(worker).is_none() {
            return Ok(());
        }
        tracing::warn!(worker, reason, "the fit goes on without a worker");
        self.inbox.present.send_replace(self.workers.len());
        let forgotten: BTreeSet<u32> = self.open.iter_mut().flat_map(|round| round.lose(worker)).collect();
        match &self.raced {
            Some(raced) if raced == worker => self.hand_over(true),
            Some(_) => self.call_off(),
            None => {}
        }
        // Who carries them by now believes that they have answered: they are assigned anew, too.
        for other in self.workers.values_mut() {
            if other.carries.keys().any(|shard| forgotten.contains(shard)) {
                other.carries.retain(|shard, _| !forgotten.contains(shard));
                other.assign(Bytes::new());
            }
        }
        self.assign_unassigned(leader)
    }

    /// When no race is run and a worker is slow in the oldest round: the workers without anything to answer load all its
    /// shards and answer, too.
    fn race(&mut self, leader: &dyn Leader) -> Result<()> {
        let now = Instant::now();
        let Some(oldest) = self.open.front().filter(|_| self.raced.is_none()) else { return Ok(()) };
        let overdue = |worker: &Member| {
            let owed = worker.owes(oldest);
            let limit = self.usual.limit(&self.timing, worker.clock.loads(), owed, oldest.slowest);
            if owed == 0 { Duration::ZERO } else { worker.clock.overdue(now, limit) }
        };
        let slowest = self.workers.iter().map(|(name, worker)| (overdue(worker), name));
        let Some((_, raced)) = slowest.filter(|(overdue, _)| *overdue > self.timing.grace).max() else {
            return Ok(());
        };
        let raced = raced.clone();
        let is_idle = |worker: &&mut Member| {
            !worker.rests(now) && self.open.iter().all(|round| worker.owes(round) == 0)
        };
        let shards: Vec<u32> =
            self.workers.get(&raced).into_iter().flat_map(|w| w.carries.keys().copied()).collect();
        let mut idle: Vec<&mut Member> = self.workers.values_mut().filter(is_idle).collect();
        if idle.is_empty() {
            return Ok(());
        }
        let history = beside_others(usize::MAX, || leader.history())?;
        let racers = idle.len();
        for (at, shard) in shards.iter().enumerate() {
            let racer = &mut idle[at % racers];
            racer.races.insert(*shard, racer.next_assignment());
        }
        for racer in idle.into_iter().filter(|racer| !racer.races.is_empty()) {
            racer.assign(history.clone());
            self.open.iter().for_each(|round| racer.instruct(round));
            racer.clock.gain();
            racer.clock.begin(now);
        }
        tracing::warn!(worker = raced, "a worker is slow; others race it");
        if let Some(worker) = self.workers.get_mut(&raced) {
            worker.raced += 1;
        }
        self.raced = Some(raced);
        Ok(())
    }

    /// Ends the race that an answer of this worker decides: `raced` says whether it answered for shards that it races
    /// for. When the slow worker comes first, it keeps its shards the first time.
    fn end_race(&mut self, name: &str, raced: bool) {
        let Some(slow) = &self.raced else { return };
        let again = self.workers.get(slow).is_some_and(|worker| worker.raced > 1);
        match (raced, slow == name) {
            (true, _) => self.hand_over(true),
            (false, true) if again => self.hand_over(false),
            (false, true) => self.call_off(),
            (false, false) => {}
        }
    }

    /// The shards of the slow worker are of those that race it from now on; `hangs` says whether it computes still.
    fn hand_over(&mut self, hangs: bool) {
        let Some(slow) = self.raced.take() else { return };
        for worker in self.workers.values_mut() {
            worker.carries.append(&mut worker.races);
        }
        let Some(worker) = self.workers.get_mut(&slow) else { return };
        tracing::warn!(worker = slow, "the shards of a slow worker are carried by others");
        worker.carries.clear();
        worker.clock.stop();
        worker.assign(Bytes::new());
        let rest = self.timing.rest.saturating_mul(1 << worker.lost.min(10));
        (worker.lost, worker.rests_until, worker.hangs) =
            (worker.lost + 1, Some(Instant::now() + rest), hangs);
    }

    /// The slow worker keeps its shards.
    fn call_off(&mut self) {
        self.raced = None;
        for worker in self.workers.values_mut().filter(|worker| !worker.races.is_empty()) {
            worker.races.clear();
            worker.clock.stop();
            worker.assign(Bytes::new());
        }
    }

    /// Assigns the shards evenly; only before a round that is open alone.
    fn rebalance(&mut self, leader: &dyn Leader) -> Result<()> {
        let wanted = self.even();
        self.apply(wanted, leader, false)
    }

    /// Whether the shards are assigned evenly.
    fn is_even(&self) -> bool {
        self.even() == self.carried(|_| true)
    }

    /// An even assignment, in which workers that rest carry nothing while there are others.
    fn even(&self) -> Assignment {
        let now = Instant::now();
        let mut wanted = assign(self.shards, &self.carried(|worker| !worker.rests(now)));
        if wanted.is_empty() {
            return assign(self.shards, &self.carried(|_| true));
        }
        if wanted.len() < self.workers.len() {
            for name in self.workers.keys() {
                wanted.entry(name.clone()).or_default();
            }
        }
        wanted
    }

    /// While rounds are open: assigns the shards without a worker, and moves no others.
    fn assign_unassigned(&mut self, leader: &dyn Leader) -> Result<()> {
        let mut wanted = self.carried(|_| true);
        if wanted.is_empty() || self.open.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let carried: Vec<u32> = wanted.values().flatten().copied().collect();
        let free: Vec<u32> = (0..self.shards).filter(|shard| !carried.contains(shard)).collect();
        for shard in free {
            let load =
                |name: &String, shards: usize| (self.workers.get(name).is_some_and(|w| w.rests(now)), shards);
            if let Some((_, lightest)) =
                wanted.iter_mut().min_by_key(|(name, shards)| load(name, shards.len()))
            {
                lightest.insert(shard);
            }
        }
        self.apply(wanted, leader, true)
    }

    fn carried(&self, of: impl Fn(&Member) -> bool) -> Assignment {
        let workers = self.workers.iter().filter(|(_, worker)| of(worker));
        workers.map(|(name, worker)| (name.clone(), worker.carries.keys().copied().collect())).collect()
    }

    /// Sends their new assignment to the workers for which it changes, and with `resend` the open rounds' instructions
    /// too, which they answer for the shards that they gained.
    fn apply(&mut self, wanted: Assignment, leader: &dyn Leader, resend: bool) -> Result<()> {
        let (mut history, now) = (None, Instant::now());
        for (name, shards) in wanted {
            let Some(worker) = self.workers.get_mut(&name) else { continue };
            if worker.carries.keys().eq(&shards) {
                continue;
            }
            let number = worker.next_assignment();
            let given = |shard: u32| (shard, worker.carries.get(&shard).copied().unwrap_or(number));
            let carries: BTreeMap<u32, u64> = shards.into_iter().map(given).collect();
            let gains = carries.values().any(|given| *given == number);
            worker.carries = carries;
            if !gains {
                worker.assign(Bytes::new());
                continue;
            }
            let history = match &history {
                Some(history) => Bytes::clone(history),
                None => history.insert(beside_others(usize::MAX, || leader.history())?).clone(),
            };
            worker.assign(history);
            worker.clock.gain();
            for round in self.open.iter().filter(|_| resend) {
                worker.instruct(round);
                if worker.owes(round) > 0 {
                    worker.clock.begin(now);
                }
            }
        }
        Ok(())
    }

    /// Sends the newest round's instruction to all workers that carry shards.
    fn broadcast(&mut self) {
        let Some(round) = self.open.back() else { return };
        let now = Instant::now();
        for worker in self.workers.values_mut().filter(|worker| !worker.carries.is_empty()) {
            worker.instruct(round);
            worker.clock.begin(now);
        }
    }

    fn dismiss(&mut self, reason: &str) {
        for worker in std::mem::take(&mut self.workers).into_values() {
            worker.send(leader_message::Message::Done(Done { reason: reason.to_owned() }));
        }
        self.inbox.present.send_replace(0);
    }
}

impl Drop for Session {
    /// A fit that nobody leads any more has no use for its workers.
    fn drop(&mut self) {
        self.dismiss("the fit is led no more");
    }
}

/// Bytes from which on the leader's work is worth the change of a thread.
const MANY_BYTES: usize = 1 << 20;

/// Does work of the leader's on about so many bytes; where they are many, other tasks leave this thread meanwhile, such
/// as those that send heartbeats.
fn beside_others<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let many = bytes >= MANY_BYTES;
    if many
        && Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
    {
        return tokio::task::block_in_place(work);
    }
    work()
}
