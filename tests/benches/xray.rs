//! The detector of X-ray images beside the same network in PyTorch: a training step, inference, and what the jobs around
//! them cost; and the ingest of many files beside a loop that only decodes them.
//!
//! `TIDEWAITER_BENCH_PYTHON=… cargo bench --workspace --bench xray`, where the variable names a Python that has torch;
//! without it only our figures are printed. The folder `TIDEWAITER_BENCH_IMAGES`, which `jobs/xray/src/peers.py files`
//! fills, is ingested and decoded; without it that part is left out.
//!
//! A training step is the `fit` step of a retrain divided by its steps, with augmentation and the validation images of each
//! epoch, which the peer's step does not have. Inference is that of prepared images; `apply` is its `find` step, which
//! reads, decodes and shrinks the images and writes the predictions.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Instant,
};

use serde_json::{Value, json};
use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_job::{Job, JobParameters, Listener, NoLog, Outcome, Roots, Setting, engine::Local};
use tidewaiter_tests::{BenchResult, is_bench, median, peak_kib, python};
use tidewaiter_xray::{
    image::decode,
    ingest,
    model::detector::{Detector, Prepared},
    parameters::{ApplyParameters, RetrainParameters},
    synth,
};

/// Pixels of the network's input.
const SIDE: usize = 320;

const BATCH: usize = 8;
const EPOCHS: u64 = 3;
const THREADS: usize = 2;

/// Generated images, about a quarter of them a month.
const IMAGES: usize = 320;

/// Times that inference and apply are measured.
const REPEATS: usize = 3;

struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

fn main() {
    if !is_bench("X-ray images") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("a runtime");
    // First, so that the peak of memory is its own.
    if let Some(folder) = std::env::var_os("TIDEWAITER_BENCH_IMAGES") {
        runtime.block_on(many_files(Path::new(&folder))).expect("ingests");
    }
    runtime.block_on(detector()).expect("is measured");
    if let Some(python) = python("torch") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../jobs/xray/src/peers.py");
        let status = Command::new(python).args([script, "speed", "--threads", "2"]).status();
        assert!(status.expect("TIDEWAITER_BENCH_PYTHON can be started").success(), "the peer failed");
    }
}

/// Runs a job of these parameters.
async fn run<P: JobParameters>(archive: &Archive, id: &str, parameters: Value) -> BenchResult<Outcome> {
    let engine = Local::new(THREADS, 512 << 20)?;
    let mut job = Job::new(
        P::KIND,
        Setting {
            archive,
            engine: &engine,
            extensions: CATALOGUE.extensions(),
            listener: Arc::new(Silent),
            log: &NoLog,
            id,
            submitted_ms: 1_700_000_000_000,
            roots: Roots::Anywhere,
        },
    );
    let parameters: P = serde_json::from_value(parameters)?;
    let result = parameters.run(&mut job).await;
    let outcome = job.finish(&result);
    result?;
    Ok(outcome)
}

fn seconds(outcome: &Outcome, step: &str) -> f64 {
    outcome.steps.iter().filter(|known| known.name == step).map(|step| step.seconds).sum()
}

async fn detector() -> BenchResult<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let archive = Archive::open(&path("archive"))?;
    let months = "2024-01..2024-04";
    let made =
        json!({ "out": path("images"), "country": "TW", "images": IMAGES, "months": months, "threats": 0.5 });
    run::<synth::Parameters>(&archive, "1-synth", made).await?;
    let files = json!({
        "files": [path("images/images")],
        "annotations": path("images/annotations.json"),
        "mapping": path("images/mapping.toml"),
    });
    run::<ingest::Parameters>(&archive, "2-ingest", files).await?;
    let retrain = json!({
        "country": "TW", "train": "2024-01..2024-02", "valid": "2024-03", "test": "2024-04", "shards": 1, "tile": 0,
        "detector": { "side": SIDE, "epochs": EPOCHS, "batch_images": BATCH },
    });
    let trained = run::<RetrainParameters>(&archive, "3-retrain", retrain).await?;
    let query = "SELECT count(*) AS images FROM images WHERE month <= 2";
    let engine = Local::new(1, 64 << 20)?;
    let images = training_images(&archive, &engine, query).await?;
    let steps = EPOCHS * images.div_ceil(BATCH as u64);
    println!("training step of {BATCH} images: {:.3} s of {steps}", seconds(&trained, "fit") / steps as f64);

    let model = archive.get("models/xray-TW/1/model.bin").await?;
    let detector = Detector::read(&model)?;
    let mut prepared = Vec::new();
    for file in files_of(&folder.path().join("images/images"))? {
        prepared.push(Prepared::new(&decode::image(&std::fs::read(file)?)?, &detector.head));
    }
    let (mut alone, mut applied) = (Vec::new(), Vec::new());
    for repeat in 0..REPEATS {
        let begun = Instant::now();
        detector.find(&prepared, BATCH)?;
        alone.push(begun.elapsed().as_secs_f64());
        let apply = json!({ "country": "TW", "months": months });
        let outcome = run::<ApplyParameters>(&archive, &format!("5-apply-{repeat}"), apply).await?;
        applied.push(seconds(&outcome, "find"));
    }
    let (alone, applied) = (median(alone), median(applied));
    let batches = prepared.len() as f64 / BATCH as f64;
    println!("inference of {BATCH} images: {:.3} s, with suppression", alone / batches);
    println!(
        "{IMAGES} images: inference {:.1} a second, apply {:.1}, {:.3} times its time",
        IMAGES as f64 / alone,
        IMAGES as f64 / applied,
        applied / alone
    );
    Ok(())
}

/// The number that a query gives.
async fn training_images(archive: &Archive, engine: &Local, query: &str) -> BenchResult<u64> {
    use tidewaiter_core::{answers, plan::Meter, query::Run as _};
    use tidewaiter_job::engine::Engine as _;

    let session = engine.session("bench", Meter::new(|_| ()))?;
    let rows = tidewaiter_archive::sql::query(&session, archive, query).await?.batches().await?;
    let batch = rows.iter().find(|batch| batch.num_rows() > 0).ok_or("no answer")?;
    Ok(answers::count(batch, "images", 0)?)
}

/// The files of a folder, by name.
fn files_of(folder: &Path) -> BenchResult<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// Ingests the files of a folder, and decodes them on as many threads.
async fn many_files(folder: &Path) -> BenchResult<()> {
    let place = tempfile::tempdir()?;
    let archive = Archive::open(&place.path().join("archive").display().to_string())?;
    let begun = Instant::now();
    let named = json!({ "files": [folder.display().to_string()], "country": "TW" });
    let outcome = run::<ingest::Parameters>(&archive, "1-ingest", named).await?;
    let ingested = begun.elapsed().as_secs_f64();
    let peak = peak_kib();
    let files = files_of(folder)?;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let part = files.len().div_ceil(THREADS).max(1);
        for files in files.chunks(part) {
            scope.spawn(move || {
                for file in files {
                    let bytes = std::fs::read(file).expect("a file");
                    decode::decode(&bytes).expect("an image");
                }
            });
        }
    });
    let decoded = begun.elapsed().as_secs_f64();
    println!(
        "{} files: ingest {ingested:.1} s, peak {peak:?} KiB; a loop that reads and decodes them {decoded:.1} s: {:.2} times",
        outcome.rows.read,
        ingested / decoded
    );
    Ok(())
}
