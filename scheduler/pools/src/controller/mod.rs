//! The loop: looks at jobs and pods, decides, and asks Kubernetes for it.
//!
//! Whatever goes wrong is seen anew at the next look, so nothing is repeated here and nothing is lost with the process. A
//! pool whose pods are refused rests for a while, and who waits for them is told why.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tidewaiter_core::Result;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    api::{Client, Refusal},
    decision::{Action, Decision, Need, New, Why, decide},
    manifest,
    pod::{Phase, Pod},
    settings::{Device, Owner, Settings},
};

/// Time from one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a pool rests whose pods are refused.
const REST: Duration = Duration::from_secs(30);

/// How long nothing is asked after an answer that says "later" and not when.
const LATER: Duration = Duration::from_secs(5);

/// The longest that an answer may make it wait.
const LONGEST_LATER: Duration = Duration::from_secs(120);

/// Requests of one look; the others come with the next.
const REQUESTS: usize = 50;

/// What there is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The jobs that have not ended.
    pub live: BTreeSet<String>,
    /// How many of a job's tasks run or wait, by what they need, the oldest job first. Tasks that executors outside of the
    /// pools can take are left out.
    pub tasks: Vec<(String, Device, usize)>,
}

/// The jobs of a scheduler.
#[async_trait]
pub trait Queue: Send + Sync {
    /// What there is to do; `None` while it is not known which jobs there are. Executors of these pods are of the pools.
    async fn look(&self, pods: &BTreeSet<String>) -> Option<Look>;

    /// Says to those who wait for jobs what they wait for, in place of what was said before.
    fn explain(&self, notes: BTreeMap<String, String>);

    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;
}

/// Keeps the pods of a release as its jobs need them, until the future is dropped.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when there is no API.
pub async fn run(settings: Settings, queue: Arc<dyn Queue>) -> Result<()> {
    let client = Client::new(&settings)?;
    keep(Controller::new(settings, client), queue, INTERVAL).await;
    Ok(())
}

async fn keep(mut controller: Controller, queue: Arc<dyn Queue>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        controller.step(queue.as_ref()).await;
    }
}

/// What is remembered from one look to the next, none of which matters for long.
struct Controller {
    settings: Settings,
    client: Client,
    owner: Option<Owner>,
    /// When a job last had a task of a kind, in milliseconds since 1970.
    busy_ms: BTreeMap<(String, Device), i64>,
    /// The pools that rest, until when and why.
    resting: BTreeMap<String, (Instant, String)>,
    /// Nothing is asked until then, and why.
    later: Option<(Instant, String)>,
    /// What went wrong last, which is said once.
    said: Option<String>,
}

impl Controller {
    fn new(settings: Settings, client: Client) -> Self {
        let (busy_ms, resting) = (BTreeMap::new(), BTreeMap::new());
        Self { settings, client, owner: None, busy_ms, resting, later: None, said: None }
    }

    /// Looks, decides and asks once.
    async fn step(&mut self, queue: &dyn Queue) {
        let now = Instant::now();
        if let Some((until, _)) = &self.later {
            if now < *until {
                return;
            }
            self.later = None;
        }
        let listed = self.client.list().await;
        let pods: Vec<Pod> = match &listed {
            Ok(objects) => {
                objects.iter().filter_map(|object| Pod::read(object, &self.settings.release)).collect()
            }
            Err(_) => Vec::new(),
        };
        let names = pods.iter().map(|pod| pod.name.clone()).collect();
        let Some(look) = queue.look(&names).await else { return };
        let needs = self.needs(&look, queue.now_ms());
        if let Err(refusal) = listed {
            self.put_off(&refusal);
            return self.explain(queue, &needs, BTreeMap::new());
        }
        if let Err(refusal) = self.find_owner().await {
            self.put_off(&refusal);
            return self.explain(queue, &needs, BTreeMap::new());
        }
        let Decision { actions, notes } = decide(&self.settings, &look.live, &needs, &pods, queue.now_ms());
        for action in actions.into_iter().take(REQUESTS) {
            if self.later.is_some() {
                break;
            }
            self.act(action, &pods).await;
        }
        self.explain(queue, &needs, notes);
    }

    /// What jobs need, with how long they have needed nothing.
    fn needs(&mut self, look: &Look, now_ms: i64) -> Vec<Need> {
        self.busy_ms.retain(|(job, _), _| look.live.contains(job));
        let mut needs: Vec<Need> = Vec::new();
        for (job, device, tasks) in &look.tasks {
            if *tasks > 0 {
                self.busy_ms.insert((job.clone(), *device), now_ms);
                needs.push(Need { job: job.clone(), device: *device, tasks: *tasks, idle_ms: 0 });
            }
        }
        let busy: BTreeSet<(String, Device)> =
            needs.iter().map(|need| (need.job.clone(), need.device)).collect();
        for job in &look.live {
            for device in [Device::Cpu, Device::Gpu] {
                if !busy.contains(&(job.clone(), device)) {
                    let since = *self.busy_ms.entry((job.clone(), device)).or_insert(now_ms);
                    let (job, idle_ms) = (job.clone(), now_ms.saturating_sub(since));
                    needs.push(Need { job, device, tasks: 0, idle_ms });
                }
            }
        }
        needs
    }

    /// Reads who owns the pods, once.
    async fn find_owner(&mut self) -> Result<(), Refusal> {
        if self.owner.is_none() && !self.settings.owner.is_empty() {
            self.owner = match self.client.owner(&self.settings.owner).await {
                Ok(owner) => Some(owner),
                Err(Refusal::Gone) => {
                    let message = format!("the Deployment {} is not there", self.settings.owner);
                    return Err(Refusal::Invalid(message));
                }
                Err(refusal) => return Err(refusal),
            };
        }
        Ok(())
    }

    async fn act(&mut self, action: Action, pods: &[Pod]) {
        match action {
            Action::Create(new) => self.create(new).await,
            Action::Delete(name, why) => {
                let why = match why {
                    Why::JobEnded => "its job has ended",
                    Why::Idle => "its job has nothing to do for it",
                    Why::Double => "another one has its number",
                    Why::NoPool => "its pool is not in the settings",
                };
                tracing::info!(pod = name, why, "a pod is deleted");
                let has_ended =
                    pods.iter().any(|pod| pod.name == name && matches!(pod.phase, Phase::Ended(..)));
                self.delete(&name, has_ended).await;
            }
            Action::Replace(name, new) => {
                tracing::warn!(pod = name, "a pod that has ended is replaced");
                if self.delete(&name, true).await {
                    self.create(new).await;
                }
            }
        }
    }

    async fn create(&mut self, new: New) {
        let is_resting = self.resting.get(&new.pool).is_some_and(|(until, _)| Instant::now() < *until);
        let Some(pool) = self.settings.pools.get(&new.pool).filter(|_| !is_resting) else { return };
        let numbers = (new.number, new.attempt);
        let pod = manifest::pod(&self.settings, self.owner.as_ref(), (&new.pool, pool), &new.job, numbers);
        match self.client.create(&pod).await {
            Ok(()) => {
                self.resting.remove(&new.pool);
                tracing::info!(pool = new.pool, job = new.job, number = new.number, "a pod is made");
            }
            // It was made before, and the list did not show it yet.
            Err(Refusal::Conflict) => {}
            Err(refusal @ Refusal::Later(..)) => self.put_off(&refusal),
            Err(refusal) => {
                let remedy = match refusal {
                    Refusal::Quota(_) => "; raise the quota of the namespace, or let fewer jobs run at once",
                    Refusal::Denied(_) => "; the scheduler's account needs the chart's Role",
                    _ => "; correct the pool's values",
                };
                let reason = format!("the pool {}: {refusal}{remedy}", new.pool);
                self.say(&reason);
                self.resting.insert(new.pool, (Instant::now() + REST, reason));
            }
        }
    }

    /// Deletes a pod; whether it is gone or going.
    async fn delete(&mut self, name: &str, has_ended: bool) -> bool {
        match self.client.delete(name, has_ended).await {
            Ok(()) | Err(Refusal::Gone) => true,
            // Somebody changes it: the next look shows what it is then.
            Err(Refusal::Conflict) => false,
            Err(refusal) => {
                self.put_off(&refusal);
                false
            }
        }
    }

    /// Asks nothing for a while.
    fn put_off(&mut self, refusal: &Refusal) {
        let wait = match refusal {
            Refusal::Later(_, Some(after)) => (*after).min(LONGEST_LATER),
            Refusal::Later(_, None) | Refusal::Conflict | Refusal::Gone => LATER,
            Refusal::Quota(_) | Refusal::Denied(_) | Refusal::Invalid(_) => REST,
        };
        let message = format!("pods cannot be asked for: {refusal}");
        self.say(&message);
        self.later = Some((Instant::now() + wait, message));
    }

    fn say(&mut self, message: &str) {
        if self.said.as_deref() != Some(message) {
            tracing::warn!(reason = message, "pools on demand");
            self.said = Some(message.to_owned());
        }
    }

    /// Tells those who wait, with what was refused.
    fn explain(&mut self, queue: &dyn Queue, needs: &[Need], mut notes: BTreeMap<String, Vec<String>>) {
        let now = Instant::now();
        self.resting.retain(|_, (until, _)| now < *until);
        for need in needs.iter().filter(|need| need.tasks > 0) {
            let refused = self.resting.iter().filter(|(pool, _)| {
                self.settings.pools.get(*pool).is_some_and(|pool| pool.device == need.device)
            });
            let refused = refused.map(|(_, (_, why))| why.clone());
            let refused = refused.chain(self.later.iter().map(|(_, why)| why.clone()));
            notes.entry(need.job.clone()).or_default().extend(refused);
        }
        let notes = notes.into_iter().filter(|(_, notes)| !notes.is_empty());
        queue.explain(notes.map(|(job, notes)| (job, notes.join("; "))).collect());
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
