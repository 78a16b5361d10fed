//! Workers that are lost, late, slow and raced at random: the fit ends, and with the same states.

use tidewaiter_core::chance::mix;
use tokio::task::JoinSet;

use super::*;
use crate::{session::lead_in, timing::Timing};

/// Races begin at once where a worker takes longer than others.
const NERVOUS: Timing = Timing {
    tick: Duration::from_millis(1),
    grace: Duration::from_millis(2),
    load: Duration::from_millis(1),
    rest: Duration::from_millis(20),
};

/// Loads links that take long at random.
#[derive(Clone, Copy)]
struct Moody {
    seed: u64,
}

#[async_trait::async_trait]
impl ShardLoader for Moody {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let seed = mix(self.seed ^ u64::from(shard));
        wait(seed).await;
        Ok(Box::new(MoodyLink { link: Link { number: i64::from(shard), sum: 0 }, seed }))
    }
}

/// Waits, one time of eight.
async fn wait(random: u64) {
    if random.is_multiple_of(8) {
        tokio::time::sleep(Duration::from_millis(random >> 32 & 31)).await;
    }
}

struct MoodyLink {
    link: Link,
    seed: u64,
}

#[async_trait::async_trait]
impl Shard for MoodyLink {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        self.link.restore(history)
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        self.link.contribute(instruction, merged)
    }

    async fn contribute_async(
        &mut self,
        instruction: &[u8],
        merged: &mut Option<Contribution>,
    ) -> Result<()> {
        self.seed = mix(self.seed);
        wait(self.seed).await;
        self.contribute(instruction, merged)
    }
}

#[tokio::test]
async fn a_fit_ends_with_the_same_states_whatever_happens_to_its_workers() {
    for seed in 0..24 {
        let (hub, inbox) = Hub::new();
        let mut workers = JoinSet::new();
        let mut names = 0;
        let mut start = move |workers: &mut JoinSet<_>| {
            names += 1;
            let (hub, name, loader) =
                (hub.clone(), format!("w{names}"), Moody { seed: mix(seed << 8 | names) });
            workers.spawn(async move { work(hub.join(name).await?, &loader).await })
        };
        let mut handles: Vec<_> = (0..3).map(|_| start(&mut workers)).collect();
        let workers = Arc::new(Mutex::new(workers));
        let started = Arc::clone(&workers);
        let mut recorded = Recorded {
            after_round: Some(Box::new(move |done| {
                let random = mix(seed ^ mix(done));
                if random.is_multiple_of(4) {
                    handles.push(start(&mut started.lock().expect("not poisoned")));
                }
                if (random >> 8).is_multiple_of(5) && handles.len() > 2 {
                    handles.swap_remove((random >> 16) as usize % handles.len()).abort();
                }
            })),
            ..Recorded::default()
        };
        let (_cancel, cancelled) = oneshot::channel();
        let mut leader = chain();
        let led = lead_in(NERVOUS, inbox, &mut leader, (SHARDS, 3), &mut recorded, cancelled);
        let led = tokio::time::timeout(Duration::from_secs(60), led).await;
        led.unwrap_or_else(|_| panic!("the fit of seed {seed} hangs")).expect("the fit ends");
        assert_eq!(leader.states, expected(), "of seed {seed}");
    }
}
