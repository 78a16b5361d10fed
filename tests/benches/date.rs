//! DATE beside the same network in PyTorch: an epoch, and scoring.
//!
//! `TIDEWAITER_BENCH_PYTHON=… cargo bench --workspace --bench date`, where the variable names a Python that has torch;
//! without it only our figures are printed. `TIDEWAITER_BENCH_ROWS` (default 37385, the rows of the published
//! file's training months) makes it smaller or larger.
//!
//! Ours are two shards carried by two workers of a collective in one process; an epoch ends when its judgement is in
//! (there are no validation rows). Both take batches of 256 rows, 100 trees of 16 leaves, 8000 importers and 6000
//! codes drawn at random, and two threads. Scoring takes all processors; leaves are found before by neither.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{process::Command, sync::Arc, time::Instant};

use tidewaiter_collective::{Hub, Leader, Observer, Progress, Shard, ShardLoader, lead, work};
use tidewaiter_core::{Error, Result};
use tidewaiter_fraud::date::{DateLeader, DateModel, DateShard, Keys, Parameters, ShardRows};
use tidewaiter_learning::gbdt::{self, Dataset, GbdtLeader, GbdtShard};
use tidewaiter_tests::{is_bench, median, number, python};
use tokio::sync::oneshot;

const FEATURES: usize = 20;
const EPOCHS: u32 = 4;
const THREADS: usize = 2;

fn main() {
    if !is_bench("DATE") {
        return;
    }
    let rows = number("TIDEWAITER_BENCH_ROWS", 37_385);
    let items = Items::new(rows);
    let parameters = Parameters { epochs: EPOCHS, least_steps: 0, ..Parameters::default() };
    let booster = items.booster(&parameters);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("a runtime");
    let (model, epochs) = runtime.block_on(fit(&items, &booster, &parameters)).expect("fits");
    let epoch = median(epochs);

    let columns: Vec<&[f32]> = items.columns.iter().map(Vec::as_slice).collect();
    let score = || {
        let begun = Instant::now();
        model.score(&columns, &items.keys).expect("scores");
        begun.elapsed().as_secs_f64()
    };
    let scoring = median(vec![score(), score(), score()]);
    println!("tidewaiter, {THREADS} shards on {THREADS} threads");
    for (name, seconds) in [("epoch", epoch), ("scoring", scoring)] {
        println!("{name}: {seconds:.2} s, {:.0} rows a second", rows as f64 / seconds);
    }
    if let Some(python) = python("torch") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../jobs/fraud/src/date/peers.py");
        let status = Command::new(python).args([script, "epoch", &rows.to_string()]).status();
        assert!(status.expect("TIDEWAITER_BENCH_PYTHON can be started").success(), "the peer failed");
    }
}

/// Rows drawn at random, whose outcome follows two of the features and a part of the importers.
struct Items {
    columns: Vec<Vec<f32>>,
    keys: Keys,
    labels: Vec<f32>,
}

impl Items {
    fn new(rows: usize) -> Self {
        let mut state = 1_u64;
        // SplitMix64.
        let mut next = move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut x = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^ (x >> 31)
        };
        let mut share = move || (next() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut items =
            Self { columns: vec![Vec::new(); FEATURES], keys: Keys::default(), labels: Vec::new() };
        for _ in 0..rows {
            for column in &mut items.columns {
                column.push(share() as f32);
            }
            let (importer, code) = ((share() * 8000.0) as u64, (share() * 6000.0) as u64);
            let seen = |at: usize| f64::from(items.columns[at][items.labels.len()]);
            let bad = if importer.is_multiple_of(7) { 2.0 } else { 0.0 };
            let logit = 3.0 * seen(0) * seen(1) + bad - 2.0;
            items.labels.push(f32::from(u8::from(share() < 1.0 / (1.0 + (-logit).exp()))));
            items.keys.importers.push(importer + 1);
            items.keys.codes.push(code + 1);
        }
        items
    }

    fn booster(&self, parameters: &Parameters) -> gbdt::Model {
        let unseen = vec![false; self.labels.len()];
        let data = Dataset::new(self.columns.clone(), &self.labels, unseen).expect("good rows");
        let mut leader = GbdtLeader::new(parameters.booster.clone()).expect("good parameters");
        let mut shard = GbdtShard::new(0, data);
        while let Some(instruction) = leader.instruct().expect("instructs") {
            let mut answer = None;
            shard.contribute(&instruction, &mut answer).expect("answers");
            leader.absorb(answer.expect("an answer")).expect("absorbs");
        }
        leader.model().expect("a model")
    }

    /// One of a number of shards: row `i` goes to shard `i` modulo their number.
    fn taught(&self, leaves: &[u32], shard: usize, shards: usize) -> ShardRows {
        let trees = leaves.len() / self.labels.len();
        let own = || (shard..self.labels.len()).step_by(shards);
        let labels: Vec<f32> = own().map(|row| self.labels[row]).collect();
        ShardRows {
            leaves: own().flat_map(|row| &leaves[row * trees..][..trees]).copied().collect(),
            importers: own().map(|row| self.keys.importers[row]).collect(),
            codes: own().map(|row| self.keys.codes[row]).collect(),
            revenue: labels.iter().map(|label| 6.0 * label).collect(),
            is_validation: vec![false; labels.len()],
            labels,
        }
    }
}

/// Hands out shards that lie in memory.
struct InMemory {
    parameters: Parameters,
    leaves: Vec<u32>,
    shards: Arc<Vec<ShardRows>>,
}

#[async_trait::async_trait]
impl ShardLoader for InMemory {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let taught = self.shards.get(shard as usize).cloned();
        let taught = taught.ok_or_else(|| Error::internal("no such shard"))?;
        Ok(Box::new(DateShard::new(shard, self.parameters.clone(), &self.leaves, taught)?))
    }
}

/// Notes when each epoch was over.
#[derive(Default)]
struct Clock(Vec<Instant>);

#[async_trait::async_trait]
impl Observer for Clock {
    fn progress(&mut self, _: Progress) {}

    async fn checkpoint(&mut self, _: bytes::Bytes) -> Result<()> {
        self.0.push(Instant::now());
        Ok(())
    }
}

/// The model, and the seconds of each epoch.
async fn fit(items: &Items, booster: &gbdt::Model, parameters: &Parameters) -> Result<(DateModel, Vec<f64>)> {
    let columns: Vec<&[f32]> = items.columns.iter().map(Vec::as_slice).collect();
    let leaves = booster.leaves(&columns)?;
    let shards =
        Arc::new((0..THREADS).map(|shard| items.taught(&leaves, shard, THREADS)).collect::<Vec<_>>());
    let mut leader = DateLeader::new(parameters.clone(), booster.clone())?;
    let mut clock = Clock::default();
    let (hub, floor) = Hub::new();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..THREADS {
        let connection = hub.join(format!("worker-{worker}")).await?;
        let (parameters, shards) = (parameters.clone(), Arc::clone(&shards));
        let loader = InMemory { parameters, leaves: leader.leaf_counts().to_vec(), shards };
        workers.spawn(async move { work(connection, &loader).await });
    }
    let (_running, cancelled) = oneshot::channel();
    lead(floor, &mut leader, THREADS as u32, THREADS, &mut clock, cancelled).await?;
    while let Some(ended) = workers.join_next().await {
        ended.expect("a worker ends")?;
    }
    let seconds = clock.0.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    Ok((leader.model()?, seconds))
}
