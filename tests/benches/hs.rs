//! HS codes from descriptions, beside fastText, neighbours and a linear SVM on TF-IDF: training, applying, suggesting.
//!
//! `TIDEWAITER_BENCH_HS=declarations_bacuda_example.tsv.gz TIDEWAITER_BENCH_PYTHON=… cargo bench --workspace --bench
//! hs`: the table as `examples/hs.toml` reads it, and a Python with scikit-learn and fasttext; without the latter only our
//! figures are printed. `TIDEWAITER_BENCH_PART` (default 16: the first so many of 16 parts by the first digit of the text's
//! skeleton) makes it smaller. `TIDEWAITER_BENCH_SVM=1` runs the SVM too, which takes many minutes for the whole table.
//!
//! Ours is what the commands run, on two threads: the steps of a retrain, and the plan node of `apply hs` over
//! texts in memory, one partition, which is one thread. Suggestions are asked one after the other of a real server on
//! this machine, from its second answer on. The peers' script is `jobs/hs/src/peers.py`, which says what they are.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{
    env, fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use datafusion::datasource::MemTable;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use futures::StreamExt;
use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::{
    plan::{self, Meter},
    query::Run as _,
};
use tidewaiter_hs::{RecommendOperator, messages};
use tidewaiter_job::{
    Job, Listener, NoLog, Outcome, Roots, Setting,
    engine::{Engine, Local},
};
use tidewaiter_proto::v1::{HsSuggestRequest, hs_service_client::HsServiceClient};
use tidewaiter_scheduler::{
    driver::{Retries, Sources},
    server::{self, Options, Patience},
};
use tidewaiter_tests::{BenchResult, is_bench, number, python};

const THREADS: usize = 2;

/// Rows of a batch that a scan gives.
const BATCH_ROWS: usize = 8192;

/// Suggestions that are asked for.
const QUESTIONS: usize = 5000;

struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

fn main() -> BenchResult<()> {
    if !is_bench("HS codes") {
        return Ok(());
    }
    let Some(table) = env::var_os("TIDEWAITER_BENCH_HS") else {
        println!("set TIDEWAITER_BENCH_HS to a table of declarations; see the head of this file");
        return Ok(());
    };
    let part = u32::try_from(number("TIDEWAITER_BENCH_PART", 16))?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("declarations.tsv.gz");
    let texts = take_part(Path::new(&table), part, &file)?;
    println!("{part} of 16 parts, {} texts, {THREADS} threads", texts.len());

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(ours(folder.path(), &file, &texts))?;
    let Some(python) = python("scikit-learn and fasttext") else { return Ok(()) };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../jobs/hs/src/peers.py");
    let mut peers = vec!["knn", "fasttext"];
    peers.extend(env::var_os("TIDEWAITER_BENCH_SVM").map(|_| "svm"));
    for peer in peers {
        println!("{peer}:");
        let options = ["--model", peer, "--levels", "2,4,6", "--threads", &THREADS.to_string()];
        let status = Command::new(&python).arg(script).arg(&file).args(options).status()?;
        if !status.success() {
            eprintln!("{peer} ended with {status}");
        }
    }
    Ok(())
}

/// Writes the rows of some parts of a table, and gives their descriptions and codes.
fn take_part(table: &Path, part: u32, to: &Path) -> BenchResult<Vec<(String, String)>> {
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(table)?).read_to_string(&mut text)?;
    let mut lines = text.lines();
    let header = lines.next().ok_or("the table is empty")?;
    let mut file = GzEncoder::new(fs::File::create(to)?, Compression::fast());
    writeln!(file, "{header}")?;
    let mut texts = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let digit = cells.get(3).and_then(|skeleton| skeleton.chars().next()?.to_digit(16));
        if digit.is_some_and(|digit| digit < part) {
            writeln!(file, "{line}")?;
            texts.push((cells[4].to_owned(), cells[1].to_owned()));
        }
    }
    file.finish()?;
    Ok(texts)
}

async fn run(archive: &Archive, engine: &Local, specification: &serde_json::Value) -> BenchResult<Outcome> {
    let specification = CATALOGUE.read(&specification.to_string())?;
    let (id, listener, extensions) = (specification.kind(), Arc::new(Silent), CATALOGUE.extensions());
    let roots = Roots::Anywhere;
    let setting = Setting { archive, engine, extensions, listener, log: &NoLog, id, submitted_ms: 0, roots };
    let mut job = Job::new(id, setting);
    let result = specification.run(&mut job).await;
    let outcome = job.finish(&result);
    result?;
    Ok(outcome)
}

/// Trains, applies and suggests, and prints what each took.
async fn ours(folder: &Path, file: &Path, texts: &[(String, String)]) -> BenchResult<()> {
    let archive = Archive::open(&folder.join("archive").display().to_string())?;
    let engine = Local::new(THREADS, 1 << 30)?;
    let mapping = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hs.toml");
    let ingest = json!({"kind": "ingest", "mapping": mapping, "files": [file.display().to_string()]});
    run(&archive, &engine, &ingest).await?;
    let retrain = json!({
        "kind": "retrain", "model": "hs", "country": "GH", "train": "2019-01", "valid": "2019-02", "test": "2019-03"
    });
    let outcome = run(&archive, &engine, &retrain).await?;
    let steps: Vec<String> =
        outcome.steps.iter().map(|step| format!("{} {:.1} s", step.name, step.seconds)).collect();
    println!("ours: {:.1} s ({})", outcome.seconds, steps.join(", "));
    let figures = &outcome.metrics["test"];
    for digits in [2, 4, 6] {
        let places = [1, 3, 5, 10].map(|place| {
            let share = figures[format!("accuracy@{place}/{digits}")].as_f64().unwrap_or(f64::NAN);
            format!("{:.2}", 100.0 * share)
        });
        println!("  {digits} digits, top 1/3/5/10 of the test texts: {}", places.join(" / "));
    }
    for (name, fast) in [("apply hs --fast", true), ("apply hs", false)] {
        let seconds = apply(&archive, texts, fast).await?;
        println!("  {name}: {:.0} texts a second of one thread", texts.len() as f64 / seconds);
    }
    suggest(&archive, texts).await
}

/// Seconds to recommend codes for all texts.
async fn apply(archive: &Archive, texts: &[(String, String)], fast: bool) -> BenchResult<f64> {
    let engine = Local::new(1, 1 << 30)?;
    let session = engine.session("bench", Meter::new(|_| ()))?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("description", DataType::Utf8, true),
        Field::new("hs_code", DataType::Utf8, true),
    ]));
    let batch = |texts: &[(String, String)]| {
        let descriptions = StringArray::from_iter_values(texts.iter().map(|(description, _)| description));
        let codes = StringArray::from_iter_values(texts.iter().map(|(_, code)| code));
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(descriptions), Arc::new(codes)])
    };
    let batches = texts.chunks(BATCH_ROWS).map(batch).collect::<Result<Vec<_>, _>>()?;
    let rows =
        session.read_table(Arc::new(MemTable::try_new(Arc::clone(&schema), vec![batches.clone()])?))?;
    let operator = RecommendOperator::new(messages::HsRecommendOperator {
        archive: archive.url().to_string(),
        model: "models/hs-GH/1/model.bin".to_owned(),
        fast,
        suggestions: true,
        rates: String::new(),
        description_alone: false,
        without_unit: true,
    })?;
    let mut stream = plan::apply(rows, operator)?.batch_stream().await?;
    // The model is read with the first batch, which does not count; its rows do, at the others' speed.
    let mut rows = stream.next().await.ok_or("no rows")??.num_rows();
    let (first, start) = (rows, Instant::now());
    while let Some(batch) = stream.next().await {
        rows += batch?.num_rows();
    }
    assert_eq!(rows, texts.len());
    Ok(start.elapsed().as_secs_f64() * rows as f64 / (rows - first) as f64)
}

/// Asks a server for suggestions, one after the other, and prints how long each took.
async fn suggest(archive: &Archive, texts: &[(String, String)]) -> BenchResult<()> {
    let listener = server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let url = server::url(&listener, None)?;
    let sources = Sources { now_ms: || 0, new_id: || "bench".to_owned() };
    let (needs, catalogue) = (server::needs_of_plan, CATALOGUE);
    let (archive, exports) = (archive.clone(), Roots::below(&[])?);
    let (retries, gpu_wait) = (Retries::NONE, Duration::MAX);
    let options = Options {
        archive,
        url: url.clone(),
        needs,
        gpu_wait,
        sources,
        catalogue,
        exports,
        retries,
        jobs_at_once: 1,
        patience: Patience::default(),
        metrics: None,
        pools: None,
        routine: None,
        lease: None,
    };
    let serving = tokio::spawn(server::serve(listener, options, Box::pin(std::future::pending())));
    let mut client = HsServiceClient::connect(url).await?;
    let ask = |description: &str| HsSuggestRequest {
        description: description.to_owned(),
        ..HsSuggestRequest::default()
    };
    client.suggest(ask(&texts[0].0)).await?;
    let mut milliseconds = Vec::new();
    for (description, _) in texts.iter().take(QUESTIONS) {
        let start = Instant::now();
        client.suggest(ask(description)).await?;
        milliseconds.push(1e3 * start.elapsed().as_secs_f64());
    }
    milliseconds.sort_by(f64::total_cmp);
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share) as usize];
    println!(
        "  hs suggest over gRPC, {} questions: median {:.2} ms, p99 {:.2} ms, most {:.2} ms",
        milliseconds.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    serving.abort();
    Ok(())
}
