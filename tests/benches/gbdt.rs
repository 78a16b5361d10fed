//! The boosted trees beside LightGBM: seconds, ratios and areas under the ROC curve on the same rows.
//!
//! `TIDEWAITER_BENCH_PYTHON=… cargo bench -p tidewaiter-tests --bench gbdt`, where the variable names a Python
//! that has LightGBM; without it only our figures are printed. `TIDEWAITER_BENCH_ROWS` (default 1000000, of
//! training and again of test) and `TIDEWAITER_BENCH_REPEATS` (default 3) make it smaller or surer;
//! `TIDEWAITER_BENCH_THREADS` (default 2) sets the threads of both.
//!
//! Both fit the same rows of a file on as many threads: ours as one shard for each worker of a collective in
//! this process. Ours and the peer's runs take turns, so that a busy machine slows both; medians are
//! printed. Seconds count from columns in memory to the model, and from columns to probabilities.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{
    ffi::OsString,
    fs,
    num::NonZero,
    path::Path,
    process::Command,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use tidewaiter_collective::{Hub, Observer, Progress, Shard, ShardLoader, lead, work};
use tidewaiter_core::{Error, Result};
use tidewaiter_learning::gbdt::{Dataset, GbdtLeader, GbdtShard, Model, Parameters};
use tidewaiter_tests::{is_bench, median, number, python};
use tokio::sync::oneshot;

const FEATURES: usize = 30;

fn main() {
    if !is_bench("the boosted trees") {
        return;
    }
    let rows = number("TIDEWAITER_BENCH_ROWS", 1_000_000);
    let repeats = number("TIDEWAITER_BENCH_REPEATS", 3).max(1);
    let threads = number("TIDEWAITER_BENCH_THREADS", 2).max(1);
    let processors = available_parallelism().map_or(1, NonZero::get);
    if processors != threads {
        eprintln!("NOT LIKE FOR LIKE: we score on all {processors} processors; bind the bench to {threads}");
    }
    let python = python("lightgbm");
    let folder = tempfile::tempdir().expect("a folder for the rows");
    let file = folder.path().join("rows.f32");
    let (train, test) = (Table::new(rows, 1), Table::new(rows, 2));
    fs::write(&file, [train.bytes(), test.bytes()].concat()).expect("rows are written");
    println!(
        "{rows} training rows, {rows} test rows, {FEATURES} features, {threads} threads, median of {repeats}"
    );

    let small = Parameters { trees: 100, early_stopping_rounds: 0, ..Parameters::default() };
    let large = Parameters { leaves: 255, learning_rate: 0.05, feature_fraction: 0.5, ..small.clone() };
    for parameters in [small, large] {
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..repeats {
            ours.push(run(&train, &test, &parameters, threads));
            peer.extend(python.as_ref().map(|python| run_peer(python, &file, &test, &parameters, threads)));
        }
        println!(
            "\n{} trees of {} leaves, rate {}, share of features {}",
            parameters.trees, parameters.leaves, parameters.learning_rate, parameters.feature_fraction
        );
        println!("              binning   growing  training   scoring  ROC AUC");
        let ours = report("tidewaiter", &ours);
        if !peer.is_empty() {
            let peer = report("LightGBM", &peer);
            println!(
                "ratio         {:7.2}   {:7.2}   {:7.2}   {:7.2}  {:+.5}",
                ours.binning / peer.binning,
                ours.growing / peer.growing,
                ours.training() / peer.training(),
                ours.scoring / peer.scoring,
                ours.auc - peer.auc
            );
        }
    }
}

/// Seconds of one run, and how well its scores tell the test rows apart.
#[derive(Clone, Copy)]
struct Figures {
    binning: f64,
    growing: f64,
    scoring: f64,
    auc: f64,
}

impl Figures {
    fn training(&self) -> f64 {
        self.binning + self.growing
    }
}

/// Prints and returns the medians.
fn report(name: &str, runs: &[Figures]) -> Figures {
    let median = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
    let medians = Figures {
        binning: median(|run| run.binning),
        growing: median(|run| run.growing),
        scoring: median(|run| run.scoring),
        auc: median(|run| run.auc),
    };
    println!(
        "{name:12}  {:7.3}   {:7.3}   {:7.3}   {:7.3}  {:.5}",
        medians.binning,
        medians.growing,
        median(Figures::training),
        medians.scoring,
        medians.auc
    );
    medians
}

/// Rows by column, with labels.
struct Table {
    columns: Vec<Vec<f32>>,
    labels: Vec<f32>,
}

impl Table {
    /// Generated rows: continuous, heavy-tailed and integer-coded columns, some with missing values; the
    /// label follows interactions, steps, single codes and the absence of values.
    fn new(rows: usize, seed: u64) -> Self {
        let mut state = seed;
        // SplitMix64, from 0 to 1.
        let mut next = move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut x = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut columns = vec![Vec::new(); FEATURES];
        let mut labels = Vec::with_capacity(rows);
        let codes = [2.0, 5.0, 12.0, 30.0, 60.0, 200.0, 1000.0, 4000.0];
        for _ in 0..rows {
            let mut x = [0.0; FEATURES];
            for (feature, value) in x.iter_mut().enumerate() {
                let u = next();
                *value = match feature {
                    0..6 => u,
                    // About normal.
                    6..14 => u + next() + next() + next() - 2.0,
                    // Heavy tails, as of values and weights.
                    14..20 => (u / (1.0 - u)).powf(1.5) * 100.0,
                    // Codes, the low ones frequent.
                    20..28 => (u * u * codes[feature - 20]).floor(),
                    // Counts, mostly none.
                    _ => (6.0 * u - 4.0).max(0.0).floor(),
                };
                if matches!(feature, 4 | 12 | 18) && next() < 0.15 {
                    *value = f64::NAN;
                }
            }
            let flag = |condition: bool| f64::from(u8::from(condition));
            let code = (x[26] * 0.618_033_988_749).fract() - 0.5;
            let score = 3.0 * (x[0] - 0.5) * x[6]
                + 1.2 * flag(x[1] > 0.7) * flag(x[21] > 1.0)
                + 0.5 * (x[14] / (x[15] + 1.0)).ln_1p()
                + 1.5 * code
                + 0.8 * flag(x[12].is_nan())
                + 0.6 * x[7] * x[8]
                + 0.7 * flag(x[23] % 3.0 == 0.0)
                + 0.4 * x[28]
                - 0.5 * (x[9] * x[9])
                - 2.4;
            labels.push(f32::from(u8::from(next() < 1.0 / (1.0 + (-1.5 * score).exp()))));
            for (column, value) in columns.iter_mut().zip(x) {
                column.push(value as f32);
            }
        }
        Self { columns, labels }
    }

    /// The values row after row, then the labels: 32-bit floats, least byte first.
    fn bytes(&self) -> Vec<u8> {
        let rows = 0..self.labels.len();
        let cells = rows.flat_map(|row| self.columns.iter().map(move |column| column[row]));
        cells.chain(self.labels.iter().copied()).flat_map(f32::to_le_bytes).collect()
    }

    /// One of a number of shards: row `i` goes to shard `i` modulo their number.
    fn shard(&self, shard: usize, shards: usize) -> Dataset {
        let take = |column: &Vec<f32>| column.iter().copied().skip(shard).step_by(shards).collect();
        let labels: Vec<f32> = take(&self.labels);
        let is_validation = vec![false; labels.len()];
        Dataset::new(self.columns.iter().map(take).collect(), &labels, is_validation).expect("good rows")
    }

    /// The area under the ROC curve; of rows with one score, half come before the others.
    fn auc(&self, scores: &[f64]) -> f64 {
        let mut order: Vec<(f64, bool)> =
            scores.iter().zip(&self.labels).map(|(score, label)| (*score, *label == 1.0)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut negatives, mut positives, mut pairs) = (0.0, 0.0, 0.0);
        for equal in order.chunk_by(|a, b| a.0 == b.0) {
            let ones = equal.iter().filter(|(_, positive)| *positive).count() as f64;
            let zeros = equal.len() as f64 - ones;
            pairs += ones * (negatives + zeros / 2.0);
            negatives += zeros;
            positives += ones;
        }
        pairs / (negatives * positives)
    }
}

/// Hands out shards that lie in memory.
struct InMemory(Arc<Vec<Dataset>>);

#[async_trait::async_trait]
impl ShardLoader for InMemory {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let data = self.0.get(shard as usize).cloned().ok_or_else(|| Error::internal("no such shard"))?;
        Ok(Box::new(GbdtShard::new(shard, data)))
    }
}

/// Notes when the features were binned.
#[derive(Default)]
struct Clock {
    binned: Option<Instant>,
}

#[async_trait::async_trait]
impl Observer for Clock {
    fn progress(&mut self, _: Progress) {}

    async fn checkpoint(&mut self, _: bytes::Bytes) -> Result<()> {
        self.binned.get_or_insert_with(Instant::now);
        Ok(())
    }
}

fn run(train: &Table, test: &Table, parameters: &Parameters, threads: usize) -> Figures {
    let data = Arc::new((0..threads).map(|shard| train.shard(shard, threads)).collect::<Vec<_>>());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime");
    let begun = Instant::now();
    let (model, binned) = runtime.block_on(fit(data, parameters)).expect("fits");
    let ended = Instant::now();
    let columns: Vec<&[f32]> = test.columns.iter().map(Vec::as_slice).collect();
    let scores = model.predict_probability(&columns).expect("scores");
    let scoring = ended.elapsed();
    let seconds = |duration: Duration| duration.as_secs_f64();
    Figures {
        binning: seconds(binned - begun),
        growing: seconds(ended - binned),
        scoring: seconds(scoring),
        auc: test.auc(&scores),
    }
}

/// The model, and when the features were binned.
async fn fit(shards: Arc<Vec<Dataset>>, parameters: &Parameters) -> Result<(Model, Instant)> {
    let mut leader = GbdtLeader::new(parameters.clone())?;
    let mut clock = Clock::default();
    let (hub, floor) = Hub::new();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..shards.len() {
        let connection = hub.join(format!("worker-{worker}")).await?;
        let loader = InMemory(Arc::clone(&shards));
        workers.spawn(async move { work(connection, &loader).await });
    }
    let (_running, cancelled) = oneshot::channel();
    lead(floor, &mut leader, shards.len() as u32, shards.len(), &mut clock, cancelled).await?;
    while let Some(ended) = workers.join_next().await {
        ended.expect("a worker ends")?;
    }
    Ok((leader.model()?, clock.binned.expect("the features were binned")))
}

fn run_peer(
    python: &OsString,
    file: &Path,
    test: &Table,
    parameters: &Parameters,
    threads: usize,
) -> Figures {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/gbdt_peer.py");
    let scores = file.with_extension("scores");
    let mut settings = serde_json::to_value(parameters).expect("parameters are JSON");
    settings["rows"] = test.labels.len().into();
    settings["features"] = FEATURES.into();
    settings["threads"] = threads.into();
    let output = Command::new(python)
        .arg(script)
        .args([file, &scores])
        .arg(settings.to_string())
        .output()
        .expect("TIDEWAITER_BENCH_PYTHON can be started");
    assert!(output.status.success(), "the peer failed: {}", String::from_utf8_lossy(&output.stderr));
    let seconds: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the peer prints JSON");
    let second = |name: &str| seconds[name].as_f64().expect("the peer prints seconds");
    let scores = fs::read(scores).expect("the peer writes its scores");
    let scores: Vec<f64> = scores.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    Figures {
        binning: second("binning"),
        growing: second("growing"),
        scoring: second("scoring"),
        auc: test.auc(&scores),
    }
}
