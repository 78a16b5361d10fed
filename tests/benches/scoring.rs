//! Scoring fraud: items a second of one core through the plan node that `apply fraud` scores by.
//!
//! `taskset -c 0 cargo bench -p tidewaiter-tests --bench scoring`: the node scores on as many threads as there are
//! processors, so that one is given for a figure of one core. `TIDEWAITER_BENCH_ROWS` (default 400000) and
//! `TIDEWAITER_BENCH_REPEATS` (default 3) make it smaller or surer.
//!
//! The items are the generator's, with their real features of the past, in memory in batches as a scan gives
//! them; seconds count from there to the last scored batch, and the median is printed. The models are those of
//! the commands' defaults, and a large one, fitted on the items with a known outcome.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{num::NonZero, sync::Arc, thread::available_parallelism, time::Instant};

use arrow::array::{Array, RecordBatch};
use datafusion::{datasource::MemTable, prelude::SessionContext};
use futures::StreamExt;
use tidewaiter_archive::Archive;
use tidewaiter_collective::{Leader, Shard};
use tidewaiter_core::{
    plan::{self, Meter},
    query::Run as _,
};
use tidewaiter_fraud::{
    FeatureBuilder, feature_schema, features, messages,
    model::{Classifier, FraudModel, ScoreOperator},
};
use tidewaiter_job::engine::{Engine, Local};
use tidewaiter_learning::{
    gbdt::{self, GbdtLeader},
    logistic::{self, LogisticLeader},
    rows::Rows,
};
use tidewaiter_synth::{self as synth, Synth};
use tidewaiter_tests::{is_bench, median, number};

/// Rows of a batch that a scan gives.
const BATCH_ROWS: usize = 8192;

fn main() {
    if !is_bench("scoring") {
        return;
    }
    let rows = number("TIDEWAITER_BENCH_ROWS", 400_000);
    let repeats = number("TIDEWAITER_BENCH_REPEATS", 3).max(1);
    let processors = available_parallelism().map_or(1, NonZero::get);

    let (batches, known) = items(rows);
    let large = gbdt::Parameters { leaves: 255, learning_rate: 0.05, trees: 300, ..defaults() };
    let models = [
        ("boosted trees, 300 of 31 leaves", trees(&known, defaults())),
        ("boosted trees, 300 of 255 leaves", trees(&known, large)),
        ("logistic regression", regression(&known)),
    ];
    println!("{rows} items, {processors} processors, median of {repeats}");
    println!("model                               seconds  items a second of a core");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    for (name, classifier) in models {
        let model = FraudModel { classifier, head: None };
        let seconds = (0..repeats).map(|_| runtime.block_on(score(folder.path(), &model, &batches)));
        let seconds = median(seconds.collect());
        println!("{name:<34}  {seconds:7.3}  {:24.0}", rows as f64 / seconds / processors as f64);
    }
}

fn defaults() -> gbdt::Parameters {
    gbdt::Parameters { early_stopping_rounds: 0, ..gbdt::Parameters::default() }
}

/// Generated items as batches of features, and those with a known outcome as rows to learn from.
fn items(rows: usize) -> (Vec<RecordBatch>, Rows) {
    let parameters = synth::Parameters { rows_per_year: rows as u64, ..synth::Parameters::default() };
    let mut builder = FeatureBuilder::new(features::Parameters::default()).expect("good parameters");
    let mut batches = Vec::new();
    let width = features::features().len();
    let mut known = Rows { features: vec![Vec::new(); width], ..Rows::default() };
    for batch in Synth::new(parameters).expect("good parameters") {
        let made = builder.push(&batch.expect("rows").declarations).expect("features");
        for row in (0..made.rows()).filter(|row| made.labels().is_valid(*row)) {
            known.labels.push(made.labels().value(row));
            known.is_validation.push(row % 10 == 0);
            for (at, column) in known.features.iter_mut().enumerate() {
                column.push(made.feature(at)[row]);
            }
        }
        let records = made.records();
        let places = (0..records.num_rows()).step_by(BATCH_ROWS);
        batches.extend(places.map(|at| records.slice(at, BATCH_ROWS.min(records.num_rows() - at))));
    }
    (batches, known)
}

fn fit(leader: &mut dyn Leader, mut shard: Box<dyn Shard>) {
    while let Some(instruction) = leader.instruct().expect("instructs") {
        let mut answer = None;
        shard.contribute(&instruction, &mut answer).expect("answers");
        leader.absorb(answer.expect("an answer")).expect("absorbs");
    }
}

fn trees(known: &Rows, parameters: gbdt::Parameters) -> Classifier {
    let mut leader = GbdtLeader::new(parameters).expect("good parameters");
    fit(&mut leader, gbdt::shard_of(0, known.clone()).expect("good rows"));
    Classifier::Gbdt(leader.model().expect("a model"))
}

fn regression(known: &Rows) -> Classifier {
    let mut leader = LogisticLeader::new(logistic::Parameters::default()).expect("good parameters");
    fit(&mut leader, logistic::shard_of(0, known.clone()).expect("good rows"));
    Classifier::Logistic(leader.model().expect("a model"))
}

/// Seconds to score the batches.
async fn score(folder: &std::path::Path, model: &FraudModel, batches: &[RecordBatch]) -> f64 {
    let archive = Archive::open(&folder.display().to_string()).expect("an archive");
    archive.put("model.bin", model.to_bytes()).await.expect("stored");
    let engine = Local::new(1, 1 << 30).expect("an engine");
    let session: SessionContext = engine.session("bench", Meter::new(|_| ())).expect("a session");
    let table = MemTable::try_new(feature_schema(), vec![batches.to_vec()]).expect("a table");
    let rows = session.read_table(Arc::new(table)).expect("rows");
    let operator = ScoreOperator::new(messages::ScoreOperator {
        archive: archive.url().to_string(),
        model: "model.bin".to_owned(),
        reasons_from: None,
        revenue_from: None,
    });
    let scored = plan::apply(rows, operator.expect("an operator")).expect("a plan");
    let start = Instant::now();
    let mut stream = scored.batch_stream().await.expect("runs");
    let mut count = 0;
    while let Some(batch) = stream.next().await {
        count += batch.expect("a batch").num_rows();
    }
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(count, batches.iter().map(RecordBatch::num_rows).sum::<usize>());
    seconds
}
