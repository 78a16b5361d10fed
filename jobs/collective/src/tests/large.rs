//! Fits whose messages are large: they travel in small ones, and give the same bytes.

use super::*;
use crate::{Numbers, Part, Values, fit::fit_in_process};

/// Bytes of a message that is large: no multiple of anything.
const MANY: usize = (9 << 20) + 12_345;

/// What all shards compute in a round.
#[derive(Clone, Copy, PartialEq)]
enum Question {
    Sum,
    Gather,
    Average,
}

/// A fit of three rounds whose instructions, history and contributions are large.
struct Large {
    questions: Vec<Question>,
    done: usize,
    mean: Vec<f32>,
    absorbed: Vec<Contribution>,
    folded: Option<Box<dyn FnMut(usize) + Send + Sync>>,
}

impl Large {
    fn new() -> Self {
        let questions = vec![Question::Sum, Question::Average, Question::Gather, Question::Average];
        Self { questions, done: 0, mean: Vec::new(), absorbed: Vec::new(), folded: None }
    }
}

impl Leader for Large {
    fn instruct(&mut self) -> Result<Option<Bytes>> {
        self.mean.clear();
        let Some(question) = self.questions.get(self.done) else { return Ok(None) };
        let mut instruction = vec![self.done as u8; MANY];
        instruction[0] = *question as u8;
        Ok(Some(Bytes::from(instruction)))
    }

    fn fold(&mut self, first: usize, mean: &[f32]) -> Result<()> {
        assert_eq!(first, self.mean.len(), "parts come in order");
        self.mean.extend_from_slice(mean);
        if let Some(folded) = &mut self.folded {
            folded(self.mean.len());
        }
        Ok(())
    }

    fn absorb(&mut self, contribution: Contribution) -> Result<()> {
        self.done += 1;
        self.absorbed.push(contribution);
        if !self.mean.is_empty() {
            let bits = self.mean.iter().map(|value| i64::from(value.to_bits())).collect();
            self.absorbed.push(Contribution::Sum(bits));
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    fn history(&self) -> Result<Bytes> {
        Ok(Bytes::from(vec![7; MANY]))
    }

    fn at_milestone(&self) -> bool {
        false
    }

    fn progress(&self) -> Progress {
        Progress { done: self.done as u64, ..Progress::default() }
    }
}

struct LargeShard(u32);

impl Shard for LargeShard {
    fn restore(&mut self, history: &[u8]) -> Result<()> {
        assert!(history.len() == MANY && history.iter().all(|byte| *byte == 7), "it is whole");
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        assert_eq!(instruction.len(), MANY, "it is whole");
        let number = |at: usize| (at as u64).wrapping_mul(2_654_435_761 + u64::from(self.0)) % 1_000_003;
        let numbers = (0..MANY / 4).map(number);
        let contribution = match instruction[0] {
            0 => Contribution::Sum(numbers.map(|number| number as i64).collect()),
            1 => Contribution::Gather(vec![(self.0, numbers.flat_map(|number| [number as u8; 4]).collect())]),
            _ => {
                let values = Numbers::new(numbers.map(|number| 1.0 / (1.0 + number as f32)).collect());
                let note = Bytes::from(vec![self.0 as u8]);
                Contribution::Average(vec![(self.0, Values { weight: 3 + u64::from(self.0), note, values })])
            }
        };
        contribution.merge_onto(merged)
    }
}

struct LargeShards;

#[async_trait::async_trait]
impl ShardLoader for LargeShards {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        Ok(Box::new(LargeShard(shard)))
    }
}

/// What the leader absorbs of a fit in one thread.
fn alone() -> Vec<Contribution> {
    let mut leader = Large::new();
    let mut shards: Vec<Box<dyn Shard>> = (0..3).map(|shard| Box::new(LargeShard(shard)) as _).collect();
    fit_in_process(&mut leader, &mut shards).expect("fits");
    let Contribution::Mean(parts) = &leader.absorbed[1] else { panic!("a mean") };
    let part = |shard: u32| Part {
        shard,
        weight: 3 + u64::from(shard),
        note: Bytes::from(vec![shard as u8]),
        length: (MANY / 4) as u64,
    };
    assert!(parts.iter().eq(&[part(0), part(1), part(2)]));
    leader.absorbed
}

#[tokio::test(flavor = "multi_thread")]
async fn large_contributions_travel_in_small_messages_and_give_the_same_bytes() {
    let hubs = Hubs::default();
    let (hub, inbox) = Hub::new();
    hubs.open("fit", hub);
    let stopped = Stopped::new(false);
    for name in ["a", "b"] {
        let connection = linked(&hubs, name, &stopped).await;
        tokio::spawn(async move { work(connection, &LargeShards).await });
    }
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = Large::new();
    lead(inbox, &mut leader, 3, 2, &mut Recorded::default(), cancelled).await.expect("the fit ends");
    assert!(leader.absorbed == alone(), "the same bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_lost_while_a_mean_is_folded_changes_nothing() {
    let hubs = Hubs::default();
    let (hub, inbox) = Hub::new();
    hubs.open("fit", hub);
    let stopped = Stopped::new(false);
    for (name, stopped) in [("a", &stopped), ("b", &Stopped::new(false))] {
        let connection = linked(&hubs, name, stopped).await;
        tokio::spawn(async move { work(connection, &LargeShards).await });
    }
    let (_cancel, cancelled) = oneshot::channel();
    let mut leader = Large::new();
    // One of three parts is folded when the first worker's process stops.
    let stop = stopped.clone();
    leader.folded = Some(Box::new(move |_| _ = stop.send_replace(true)));
    lead(inbox, &mut leader, 3, 2, &mut Recorded::default(), cancelled).await.expect("the fit ends");
    assert!(leader.absorbed == alone(), "the same bytes");
}
