//! The Time Release Study's process table beside DuckDB and pm4py.
//!
//! `TIDEWAITER_BENCH_PYTHON=… cargo bench --workspace --bench release`, where the variable names a Python that has
//! duckdb and pm4py; without it only our figures are printed. `TIDEWAITER_BENCH_EVENTS` (default 50000000),
//! `TIDEWAITER_BENCH_PM4PY_EVENTS` (default 2000000, a size that pm4py can do), `TIDEWAITER_BENCH_MEMORY_MIB` (default
//! 2048, ours) and `TIDEWAITER_BENCH_ROUNDS` (default 3, in turns) set the sizes; a log of 0 events is left out.
//!
//! A seeded log is written into an archive in the order of time, as exports are. The table: cases; mean and quantiles
//! of their throughput; count, mean, median and sum of the time between events that follow each other directly; the
//! same and more of each stage of the default stage file. Ours is what the command runs: the steps `survey`, `cases`,
//! `stages` and `edges` of a job; the rest of the study is printed beside. DuckDB reads the same Parquet files on as
//! many threads and computes counts, means, medians and sums of edges and stages and the throughput's quantiles; its
//! window sorts by case, time and file order, as ours does. Each runs in a process of its own, for its peak memory.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{env, error::Error, fs, path::Path, process::Command, sync::Arc};

use arrow::{
    array::{
        Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
    },
    datatypes::Schema,
};
use serde_json::{Value, json};
use tidewaiter_jobs::{
    Archive,
    archive::{
        PartitionWriter, Table, WriterSettings,
        schema::{RELEASES, releases},
    },
    catalogue::{self, Specification},
    engine::Local,
    job::{Job, Listener, NoLog, Setting, release},
    release::stages::{DEFAULT, StageFile},
};

/// The argument that makes this program study an archive and print what it took.
const OURS: &str = "ours";

/// Threads of ours and of DuckDB.
const THREADS: usize = 2;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [mode, archive, memory] = arguments.as_slice()
        && mode == OURS
    {
        println!("{}", ours(archive, memory.parse()?)?);
        return Ok(());
    }
    // `cargo test --all-targets` runs benches too, without this argument and without optimisation.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("the bench of the release study runs under cargo bench only");
        return Ok(());
    }
    let number = |name: &str, default: u64| {
        env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
    };
    let events = number("TIDEWAITER_BENCH_EVENTS", 50_000_000);
    let small = number("TIDEWAITER_BENCH_PM4PY_EVENTS", 2_000_000);
    let memory = number("TIDEWAITER_BENCH_MEMORY_MIB", 2048).to_string();
    let rounds = number("TIDEWAITER_BENCH_ROUNDS", 3).max(1);
    let python = env::var_os("TIDEWAITER_BENCH_PYTHON");
    if python.is_none() {
        eprintln!("NO PEER: set TIDEWAITER_BENCH_PYTHON to a Python interpreter that has duckdb and pm4py");
    }
    for (events, peer, script) in [(events, "DuckDB", duckdb()?), (small, "pm4py", PM4PY.to_owned())] {
        if events == 0 {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let archive = folder.path().join("archive");
        let made = generate(&archive, events)?;
        println!("{made} events, {memory} MiB for sorts and buffers, {THREADS} threads");
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let done = child(Command::new(env::current_exe()?).arg(OURS).arg(&archive).arg(&memory))?;
            println!("ours   {done}");
            ours.push(done["table"].as_f64().expect("seconds"));
            if let Some(python) = &python {
                let temporary = folder.path().join("spills");
                let peer_done =
                    child(Command::new(python).args(["-c", &script]).arg(&archive).arg(temporary))?;
                println!("{peer} {peer_done}");
                for figure in ["cases", "edges", "sum"] {
                    let of = |done: &Value| done[figure].as_f64().expect("a number");
                    let same = (of(&done) - of(&peer_done)).abs() <= 1e-9 * of(&done);
                    assert!(same, "{figure} is the same of both");
                }
                peers.push(peer_done["seconds"].as_f64().expect("seconds"));
            }
        }
        let ours = median(ours);
        println!("ours: {ours:.2} s (median of {rounds})");
        if !peers.is_empty() {
            let theirs = median(peers);
            println!(
                "{peer}: {theirs:.2} s; ours / {peer} = {:.3}, {peer} / ours = {:.1}",
                ours / theirs,
                theirs / ours
            );
        }
    }
    Ok(())
}

/// Hears nothing.
struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

/// Studies an archive as the command does.
fn ours(archive: &str, memory_mib: usize) -> Outcome<Value> {
    let archive = Archive::open(archive)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let engine = Local::new(THREADS, memory_mib << 20)?;
    let setting = Setting {
        archive: &archive,
        engine: &engine,
        listener: Arc::new(Silent),
        log: &NoLog,
        id: "bench",
        submitted_ms: 0,
    };
    let mut job = Job::new("release-study", setting);
    let specification = Specification::ReleaseStudy(release::Parameters::default());
    let result = runtime.block_on(catalogue::run(&mut job, &specification));
    let outcome = job.finish(&result);
    result?;
    let seconds = |of: &[&str]| -> f64 {
        let steps = outcome.steps.iter().filter(|step| of.contains(&step.name.as_str()));
        steps.map(|step| step.seconds).sum()
    };
    let document = outcome.reports.iter().find(|report| report.ends_with(".json")).expect("a document");
    let study: Value = serde_json::from_slice(&fs::read(document)?)?;
    let edges = study["edges"].as_array().expect("edges");
    let sum: f64 = edges.iter().filter_map(|edge| edge["sum"].as_f64()).sum();
    Ok(json!({
        "table": seconds(&["survey", "cases", "stages", "edges"]),
        "steps": outcome.steps.iter().map(|step| (step.name.clone(), json!(step.seconds))).collect::<serde_json::Map<_, _>>(),
        "cases": study["cases"],
        "edges": edges.len(),
        "sum": sum.round() as i64,
        "peak_mib": peak_kib().map(|kib| kib / 1024),
    }))
}

/// The table by DuckDB, for the stages of the default file.
fn duckdb() -> Outcome<String> {
    let file = StageFile::parse(DEFAULT)?;
    let first = |roles: &[String]| {
        let firsts = roles.iter().map(|role| format!("min(t) FILTER (role = '{role}')"));
        format!("coalesce({})", firsts.collect::<Vec<_>>().join(", "))
    };
    let stages: Vec<String> = file
        .stages
        .iter()
        .enumerate()
        .map(|(place, stage)| format!("{} - {} AS s{place}", first(&stage.to), first(&stage.from)))
        .collect();
    let figures: Vec<String> = (0..file.stages.len())
        .map(|place| {
            let kept = format!("FILTER (s{place} >= 0)");
            format!("count(s{place}) {kept}, avg(s{place}) {kept}, quantile_cont(s{place}, [0.1, 0.25, 0.5, 0.75, 0.9, 0.99]) {kept}, sum(s{place}) {kept}")
        })
        .collect();
    Ok(DUCKDB.replace("STAGES", &stages.join(", ")).replace("FIGURES", &figures.join(", ")))
}

const DUCKDB: &str = r#"
import duckdb, json, resource, sys, time
archive, temporary = sys.argv[1:]
connection = duckdb.connect()
connection.execute("SET threads = 2")
connection.execute("SET enable_progress_bar = false")
connection.execute(f"SET temp_directory = '{temporary}'")
started = time.monotonic()
rows = f"(SELECT case_id, event, role, epoch_us(event_time) AS t, file_order FROM '{archive}/releases/**/*.parquet')"
edges = connection.execute(f"""
    SELECT source, target, count(*), avg(gap), median(gap), sum(gap) FROM (
        SELECT lag(event) OVER w AS source, event AS target, t - lag(t) OVER w AS gap FROM {rows}
        WINDOW w AS (PARTITION BY case_id ORDER BY t, file_order, event)) WHERE source IS NOT NULL GROUP BY ALL""").fetchall()
cases = connection.execute(f"""
    SELECT count(*), avg(d), quantile_cont(d, [0.1, 0.25, 0.5, 0.75, 0.9, 0.99]), FIGURES FROM (
        SELECT max(t) - min(t) AS d, STAGES FROM {rows} GROUP BY case_id)""").fetchall()
print(json.dumps({"seconds": time.monotonic() - started, "cases": cases[0][0], "edges": len(edges),
                  "sum": round(sum(edge[5] for edge in edges) / 1e6), "version": duckdb.__version__,
                  "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"#;

const PM4PY: &str = r#"
import contextlib, json, resource, sys, time, warnings
warnings.filterwarnings("ignore")
import duckdb, pandas, pm4py
archive = sys.argv[1]
started = time.monotonic()
log = duckdb.sql(f"SELECT case_id, event, event_time, file_order FROM '{archive}/releases/**/*.parquet'").df()
log = log.sort_values(["case_id", "event_time", "file_order"])
log = log.rename(columns={"case_id": "case:concept:name", "event": "concept:name", "event_time": "time:timestamp"})
with contextlib.redirect_stdout(sys.stderr):
    edges, _, _ = pm4py.discover_performance_dfg(log)
    durations = pandas.Series(pm4py.get_all_case_durations(log))
    durations.quantile([0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    variants = pm4py.get_variants(log)
print(json.dumps({"seconds": time.monotonic() - started, "cases": len(durations), "edges": len(edges),
                  "sum": round(sum(edge["sum"] for edge in edges.values())), "version": pm4py.__version__,
                  "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"#;

/// The events of a case of the log, with their milestones and about the hours before them.
const STEPS: [(&str, &str, f64); 12] = [
    ("arrival", "arrival", 0.0),
    ("unloading", "unloading", 9.0),
    ("lodgement", "lodgement", 14.0),
    ("acceptance", "acceptance", 0.2),
    ("selection", "selection", 0.1),
    ("document check", "document-check-end", 2.0),
    ("inspection starts", "inspection-start", 5.0),
    ("inspection ends", "inspection-end", 1.5),
    ("assessment", "assessment", 0.3),
    ("payment", "payment", 7.0),
    ("release", "release", 0.1),
    ("gate-out", "gate-out", 14.0),
];

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The next of a stream of words (SplitMix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Writes a year's events into an archive, at least so many, day by day in the order of time; gives their number.
fn generate(archive: &Path, events: u64) -> Outcome<u64> {
    let archive = Archive::open(&archive.display().to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(async {
        let table = Table::open_or_create(&archive, RELEASES, &releases()).await?;
        let mut writer = PartitionWriter::new(
            &archive,
            RELEASES,
            &releases(),
            "UG",
            "event_time",
            "bench-0",
            WriterSettings::default(),
        )?;
        // About 9.2 events a case.
        let cases_a_day = (events as f64 / 9.2 / 360.0).ceil() as u64;
        let (mut state, mut case, mut order) = (1_u64, 0_u64, 0_i64);
        let mut days: Vec<Vec<(i64, u64, u8)>> = vec![Vec::new(); 400];
        for day in 0..days.len() {
            let new = if (order as u64) < events && day < 360 { cases_a_day } else { 0 };
            for _ in 0..new {
                case += 1;
                let mut at = day as i64 * DAY + (next(&mut state) % DAY as u64) as i64;
                let kind = next(&mut state) % 10;
                for (step, (.., hours)) in STEPS.iter().enumerate() {
                    // Green cases are neither checked nor inspected, yellow ones not inspected.
                    if (kind < 6 && (5..=7).contains(&step)) || (kind < 9 && (6..=7).contains(&step)) {
                        continue;
                    }
                    let part = (next(&mut state) >> 11) as f64 / (1_u64 << 53) as f64;
                    at += (hours * -(1.0 - part).ln() * 3.6e9) as i64;
                    if let Some(bucket) = days.get_mut((at / DAY) as usize) {
                        bucket.push((at, case, step as u8));
                    }
                }
            }
            let mut rows = std::mem::take(&mut days[day]);
            rows.sort_unstable();
            for part in rows.chunks(65_536) {
                writer.write(&batch(part, &mut order)?).await?;
            }
        }
        table.commit(&writer.finish().await?, &["bench".to_owned()], "ingest").await?;
        Ok(order as u64)
    })
}

/// The rows of some events: moment since 2024, case, and step.
fn batch(rows: &[(i64, u64, u8)], order: &mut i64) -> Outcome<RecordBatch> {
    let schema: Arc<Schema> = releases();
    let text =
        |of: &dyn Fn(&(i64, u64, u8)) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(of)));
    let start = *order;
    *order += rows.len() as i64;
    let columns = schema.fields().iter().map(|field| -> Arc<dyn Array> {
        match field.name().as_str() {
            "case_id" => text(&|row| format!("UG2024-{:09}", row.1)),
            "event" => text(&|row| STEPS[usize::from(row.2)].0.to_owned()),
            "role" => text(&|row| STEPS[usize::from(row.2)].1.to_owned()),
            "event_time" => {
                let times = rows.iter().map(|row| row.0 + 19_723 * DAY);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            "utc_offset" => Arc::new(Int32Array::from(vec![180; rows.len()])),
            "file_order" => Arc::new(Int64Array::from_iter_values(start + 1..=*order)),
            "office" => text(&|row| format!("OFFICE {}", row.1 % 40)),
            "agency" => text(&|row| ["customs", "port", "bank"][usize::from(row.2 % 3)].to_owned()),
            "actor" => text(&|row| format!("actor {}", (row.1 / 7 + u64::from(row.2)) % 900)),
            "mode" => text(&|row| ["sea", "air", "road"][(row.1 / 3 % 3) as usize].to_owned()),
            "goods" => text(&|row| format!("chapter {}", row.1 / 5 % 97)),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    });
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect())?)
}

/// This process's peak resident memory in KiB; null where the system does not tell it.
fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn child(command: &mut Command) -> Outcome<Value> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
