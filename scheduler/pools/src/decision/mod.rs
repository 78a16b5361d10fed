//! What pods there should be: a pure function from what jobs need and which pods there are to what is to be done.
//!
//! Its properties, each held by a test over random clusters:
//!
//! - there are never more pods than a pool, or all pools together, may have;
//! - a pod whose job has ended, or has had nothing to do for it for long enough, goes;
//! - no two pods have the same pool, job and number;
//! - done once, there is nothing more to do until something changes;
//! - work for a GPU makes pods of pools with one and of no others, and the other way round.
//!
//! A pod of a job that goes on is kept, whatever its job needs at the moment: a job's stages come and go, and pods that
//! come and go with them would do nothing else. A pod that has ended is replaced after a pause that doubles each time.
//! What is absent: time and the API; the caller gives the one and asks the other.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    pod::{Phase, Pod},
    settings::{Device, Settings},
};

/// The pause before a pod that ended is replaced for the first time, in milliseconds.
const FIRST_PAUSE_MS: i64 = 10_000;

/// The longest such pause.
const LONGEST_PAUSE_MS: i64 = 300_000;

/// What a job needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The job's id.
    pub job: String,
    /// For what.
    pub device: Device,
    /// Tasks that run or wait for a slot, without those that executors outside of the pools can take.
    pub tasks: usize,
    /// For how long there has been none, in milliseconds.
    pub idle_ms: i64,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a pod.
    Create(New),
    /// Delete a pod, which may finish the tasks that it has.
    Delete(String, Why),
    /// Delete a pod that has ended, and make its successor.
    Replace(String, New),
}

/// A pod that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// Of which pool.
    pub pool: String,
    /// For which job.
    pub job: String,
    /// Its number among those of the job and the pool.
    pub number: usize,
    /// How many of that number have ended before.
    pub attempt: u32,
}

/// Why a pod goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its job has ended.
    JobEnded,
    /// Its job has had nothing to do for it.
    Idle,
    /// Another pod has its number.
    Double,
    /// Its pool is not in the settings.
    NoPool,
}

/// What is to be done, and what stays undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// In this order.
    pub actions: Vec<Action>,
    /// What each job that waits should know.
    pub notes: BTreeMap<String, Vec<String>>,
}

/// Decides. `live` are the jobs that have not ended, `needs` what they need, the oldest first, `now_ms` is milliseconds
/// since 1970.
pub fn decide(
    settings: &Settings,
    live: &BTreeSet<String>,
    needs: &[Need],
    pods: &[Pod],
    now_ms: i64,
) -> Decision {
    let mut decision = Decision::default();
    let mut kept = Vec::new();
    let mut numbers = BTreeSet::new();
    let of_job: BTreeMap<(&str, Device), &Need> =
        needs.iter().map(|need| ((need.job.as_str(), need.device), need)).collect();
    // Of two with one number the one that works stays, and of others the later one.
    let mut ordered: Vec<&Pod> = pods.iter().collect();
    ordered.sort_by_key(|pod| (!pod.is_alive(), Reverse(pod.attempt)));
    for pod in ordered {
        match leaves(settings, live, &of_job, pod) {
            Some(why) => decision.actions.push(Action::Delete(pod.name.clone(), why)),
            None if pod.phase == Phase::Leaving => {}
            None if !numbers.insert((&pod.pool, &pod.job, pod.number)) => {
                decision.actions.push(Action::Delete(pod.name.clone(), Why::Double));
            }
            None => kept.push(pod),
        }
    }
    for pod in &kept {
        if let Phase::Ended(ended_ms, _) = pod.phase
            && now_ms >= ended_ms.saturating_add(pause_ms(pod.attempt))
            && needs.iter().any(|need| need.job == pod.job && need.tasks > 0 && is_for(settings, pod, need))
        {
            let same =
                |other: &&Pod| (&other.pool, &other.job, other.number) == (&pod.pool, &pod.job, pod.number);
            let last = pods.iter().filter(same).map(|other| other.attempt).max().unwrap_or(pod.attempt);
            let Pod { pool, job, number, .. } = (*pod).clone();
            let new = New { pool, job, number, attempt: last.saturating_add(1) };
            decision.actions.push(Action::Replace(pod.name.clone(), new));
        }
    }
    let mut own_of = BTreeMap::<&str, Vec<&Pod>>::new();
    for pod in kept {
        own_of.entry(&pod.job).or_default().push(pod);
    }
    // What is deleted is there until it has left.
    let mut count = Count::of(pods);
    for need in needs.iter().filter(|need| need.tasks > 0 && live.contains(&need.job)) {
        let own = own_of.get(need.job.as_str()).into_iter().flatten().copied();
        let own: Vec<&Pod> = own.filter(|pod| is_for(settings, pod, need)).collect();
        let short = grow(settings, need, &own, pods, &mut count, &mut decision.actions);
        let notes = notes(settings, need, &own, short);
        if !notes.is_empty() {
            decision.notes.entry(need.job.clone()).or_default().extend(notes);
        }
    }
    decision
}

/// Why a pod is to be deleted, if it is.
fn leaves(
    settings: &Settings,
    live: &BTreeSet<String>,
    needs: &BTreeMap<(&str, Device), &Need>,
    pod: &Pod,
) -> Option<Why> {
    if pod.phase == Phase::Leaving {
        return None;
    }
    if !live.contains(&pod.job) {
        return Some(Why::JobEnded);
    }
    let Some(pool) = settings.pools.get(&pod.pool) else { return Some(Why::NoPool) };
    let need = needs.get(&(pod.job.as_str(), pool.device));
    let longest = i64::try_from(pool.idle_seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    need.is_some_and(|need| need.tasks == 0 && need.idle_ms >= longest).then_some(Why::Idle)
}

/// Makes pods for a job until its tasks have slots or nothing more may be made; how many tasks have none then.
fn grow(
    settings: &Settings,
    need: &Need,
    own: &[&Pod],
    pods: &[Pod],
    count: &mut Count,
    actions: &mut Vec<Action>,
) -> usize {
    // One that has ended is about to be replaced.
    let slots = own.iter().filter_map(|pod| Some(settings.pools.get(&pod.pool)?.slots)).sum();
    let mut missing = need.tasks.saturating_sub(slots);
    for (name, pool) in settings.pools.iter().filter(|(_, pool)| pool.device == need.device) {
        if missing == 0 || !count.has_room(name, pool.most, settings.most) {
            continue;
        }
        let mut taken: BTreeSet<usize> = pods
            .iter()
            .filter(|pod| pod.pool == *name && pod.job == need.job)
            .map(|pod| pod.number)
            .collect();
        let mut next = 0;
        while missing > 0 && count.has_room(name, pool.most, settings.most) {
            while !taken.insert(next) {
                next += 1;
            }
            let (pool_name, job) = (name.clone(), need.job.clone());
            actions.push(Action::Create(New { pool: pool_name, job, number: next, attempt: 0 }));
            count.add(name);
            missing = missing.saturating_sub(pool.slots);
        }
    }
    missing
}

/// What whoever waits for a job should know of its pods.
fn notes(settings: &Settings, need: &Need, own: &[&Pod], short: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let device = match need.device {
        Device::Cpu => "processors",
        Device::Gpu => "a GPU",
    };
    let mut pools = settings.pools.iter().filter(|(_, pool)| pool.device == need.device).peekable();
    if pools.peek().is_none() {
        return vec![format!("no pool on demand has {device}")];
    }
    let names: Vec<&str> = pools.map(|(name, _)| name.as_str()).collect();
    if short > 0 {
        let names = names.join(", ");
        notes.push(format!(
            "{short} of its tasks find no place: the pool {names} may not have more pods (its most, or the most of all \
             pools); they follow when others end"
        ));
    }
    let starting = own.iter().filter(|pod| matches!(pod.phase, Phase::Starting(_))).count();
    if starting > 0 {
        notes.push(format!("{starting} of {} pods start", own.len()));
    }
    let troubles = own.iter().filter_map(|pod| match &pod.phase {
        Phase::Starting(Some(trouble)) => Some(format!("a pod of the pool {} {trouble}", pod.pool)),
        Phase::Ended(_, why) => Some(format!(
            "a pod of the pool {} ended ({why}) and is replaced after a pause of {} s",
            pod.pool,
            pause_ms(pod.attempt) / 1000
        )),
        _ => None,
    });
    // Pods of a pool have the same trouble.
    notes.extend(troubles.collect::<BTreeSet<_>>());
    notes
}

fn is_for(settings: &Settings, pod: &Pod, need: &Need) -> bool {
    settings.pools.get(&pod.pool).is_some_and(|pool| pool.device == need.device)
}

fn pause_ms(attempt: u32) -> i64 {
    FIRST_PAUSE_MS
        .saturating_mul(1_i64.checked_shl(attempt.min(32)).unwrap_or(i64::MAX))
        .min(LONGEST_PAUSE_MS)
}

/// How many pods there are, those that are leaving included.
struct Count {
    all: usize,
    of_pool: BTreeMap<String, usize>,
}

impl Count {
    fn of(pods: &[Pod]) -> Self {
        let mut count = Self { all: 0, of_pool: BTreeMap::new() };
        pods.iter().for_each(|pod| count.add(&pod.pool));
        count
    }

    fn add(&mut self, pool: &str) {
        self.all += 1;
        match self.of_pool.get_mut(pool) {
            Some(count) => *count += 1,
            None => drop(self.of_pool.insert(pool.to_owned(), 1)),
        }
    }

    fn has_room(&self, pool: &str, most: usize, most_of_all: usize) -> bool {
        self.all < most_of_all && self.of_pool.get(pool).copied().unwrap_or(0) < most
    }
}

#[cfg(test)]
mod tests;
