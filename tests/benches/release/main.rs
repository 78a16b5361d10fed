//! The Time Release Study beside DuckDB and pm4py.
//!
//! `TIDEWAITER_BENCH_PYTHON=… cargo bench --workspace --bench release`, where the variable names a Python that has
//! duckdb and pm4py; without it only our figures are printed. `TIDEWAITER_BENCH_EVENTS` (default 50000000),
//! `TIDEWAITER_BENCH_PM4PY_EVENTS` (default 4000000, a size that pm4py can do), `TIDEWAITER_BENCH_MEMORY_MIB` (default
//! 2048, ours) and `TIDEWAITER_BENCH_ROUNDS` (default 3, in turns) set the sizes; a log of 0 events is left out.
//!
//! *The bare table*, of an archive: cases; mean and quantiles of their throughput; count, mean, median and sum of the
//! time between events that follow each other directly; the same and more of each stage of the default stage file.
//! Ours is what the command runs: the steps `survey`, `cases`, `stages` and `process` of a job. DuckDB reads the same
//! Parquet files on as many threads and computes counts, means, medians and sums of edges and stages and the
//! throughput's quantiles; its window sorts by case, time and file order, as ours does. pm4py has a frame that is
//! sorted, and no stages.
//!
//! *From a file*, CSV, Parquet or XES: pm4py reads it, and computes throughput, the time of one stage (as the throughput
//! of its two events) and edges by the clock and in working hours, variants and rework. Ours is `ingest releases` and
//! all of `release-study` with the same hours, to its page; and once more its steps up to the same figures, with a stage
//! file of that one stage. Figures that both have are held to be the same. Each runs in a process of its own, for its peak memory.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

mod log;

use std::{
    env,
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use tidewaiter_archive::Archive;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_job::{Job, Listener, NoLog, Outcome as Done, Roots, Setting, engine::Local};
use tidewaiter_release::stage_file::{DEFAULT, StageFile};
use tidewaiter_tests::{BenchResult, answer, is_bench, median, number, peak_kib, python};

/// The argument that makes this program study an archive and print what it took.
const OURS: &str = "ours";

/// The argument that makes it ingest a file and study that.
const WHOLE: &str = "whole";

/// The argument that makes it do the same with one stage, and count the steps to pm4py's figures.
const SAME: &str = "same";

/// The steps of the bare table.
const TABLE: [&str; 4] = ["survey", "cases", "stages", "process"];

/// A stage file of one stage.
const ONE_STAGE: &str = "roles = [\"arrival\", \"release\"]\n[[stage]]\nname = \"release\"\nkind = \"whole\"\n\
    from = [\"arrival\"]\nto = [\"release\"]\n";

/// Opening hours in which pm4py counts working hours where it is not told others.
const HOURS: &str = "\n[calendar]\ntime_zone = \"UTC\"\n[calendar.hours]\nmonday = [\"07:00-17:00\"]\n\
    tuesday = [\"07:00-17:00\"]\nwednesday = [\"07:00-17:00\"]\nthursday = [\"07:00-17:00\"]\nfriday = [\"07:00-17:00\"]\n";

/// Threads of ours and of DuckDB.
const THREADS: usize = 2;

fn main() -> BenchResult<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [OURS, archive, memory] => {
            println!("{}", ours(archive, memory.parse()?)?);
            return Ok(());
        }
        [part @ (WHOLE | SAME), form, file, archive, memory] => {
            println!("{}", from_file(part, form, file, archive, memory.parse()?)?);
            return Ok(());
        }
        _ => {}
    }
    if !is_bench("the release study") {
        return Ok(());
    }
    let bench = Bench {
        memory: number("TIDEWAITER_BENCH_MEMORY_MIB", 2048).to_string(),
        rounds: number("TIDEWAITER_BENCH_ROUNDS", 3).max(1),
        python: python("duckdb and pm4py"),
    };
    let small = number("TIDEWAITER_BENCH_PM4PY_EVENTS", 4_000_000) as u64;
    let pm4py = include_str!("pm4py_peer.py");
    for (events, peer, script) in [
        (number("TIDEWAITER_BENCH_EVENTS", 50_000_000) as u64, "DuckDB", duckdb()?),
        (small, "pm4py", pm4py.to_owned()),
    ] {
        if events == 0 {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let (archive, spills) = (folder.path().join("archive"), folder.path().join("spills"));
        println!("{} events in an archive", log::archive(&archive, events)?);
        let (archive, spills) = (archive.display().to_string(), spills.display().to_string());
        let of_peer = if peer == "DuckDB" {
            [&archive, &spills].map(String::as_str)
        } else {
            ["archive", archive.as_str()]
        };
        bench.compare(peer, &["cases", "edges", "sum"], &script, &of_peer, || {
            Ok(Command::new(env::current_exe()?).args([OURS, &archive, &bench.memory]).output()?)
        })?;
    }
    if small == 0 {
        return Ok(());
    }
    for (form, write) in [
        ("csv", log::csv as fn(&Path, u64) -> BenchResult<u64>),
        ("parquet", log::parquet),
        ("xes", log::xes),
    ] {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(form).display().to_string();
        println!("{} events in one {form} file", write(Path::new(&path), small)?);
        let figures = [
            "cases",
            "edges",
            "sum",
            "variants",
            "rework",
            "stage",
            "working_throughput",
            "working_stage",
            "working_sum",
        ];
        for part in [WHOLE, SAME] {
            let mut round = 0;
            println!("{part}:");
            bench.compare("pm4py", &figures, pm4py, &[form, &path], || {
                round += 1;
                let archive = folder.path().join(format!("{part}-{round}")).display().to_string();
                let arguments = [part, form, &path, &archive, &bench.memory];
                Ok(Command::new(env::current_exe()?).args(arguments).output()?)
            })?;
        }
    }
    Ok(())
}

/// How a comparison is made.
struct Bench {
    memory: String,
    rounds: usize,
    python: Option<OsString>,
}

impl Bench {
    /// Runs ours and the peer's in turns, checks that these figures of theirs are the same, and prints both.
    fn compare(
        &self,
        peer: &str,
        figures: &[&str],
        script: &str,
        arguments: &[&str],
        mut ours: impl FnMut() -> BenchResult<Output>,
    ) -> BenchResult<()> {
        let (mut own, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let done = answer(&ours()?)?;
            println!("ours   {done}");
            own.push(done["seconds"].as_f64().expect("seconds"));
            if let Some(python) = &self.python {
                let peer_done = answer(&Command::new(python).args(["-c", script]).args(arguments).output()?)?;
                println!("{peer} {peer_done}");
                for figure in figures {
                    let of = |done: &Value| done[figure].as_f64().expect("a number");
                    // Seconds that are rounded.
                    let same = (of(&done) - of(&peer_done)).abs() <= (1e-9 * of(&done)).max(1.0);
                    assert!(same, "{figure} is the same of both");
                }
                peers.push(peer_done["seconds"].as_f64().expect("seconds"));
            }
        }
        let own = median(own);
        println!("ours: {own:.2} s (median of {})", self.rounds);
        if !peers.is_empty() {
            let theirs = median(peers);
            println!(
                "{peer}: {theirs:.2} s; ours / {peer} = {:.3}, {peer} / ours = {:.1}",
                own / theirs,
                theirs / own
            );
        }
        Ok(())
    }
}

/// Hears nothing.
struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

/// Studies an archive as the command does; the seconds are those of the bare table.
fn ours(archive: &str, memory_mib: usize) -> BenchResult<Value> {
    let done = run(archive, memory_mib, &json!({"kind": "release-study"}))?;
    figures(&done, seconds_of(&done, &TABLE), steps_of(&done))
}

/// Ingests a file and studies it, with opening hours; the seconds are those of everything, to the report, or those of
/// the steps to pm4py's figures.
fn from_file(part: &str, form: &str, file: &str, archive: &str, memory_mib: usize) -> BenchResult<Value> {
    let started = std::time::Instant::now();
    fs::create_dir_all(archive)?;
    let beside = |name: &str, text: &str| -> BenchResult<String> {
        let path = format!("{archive}/{name}");
        fs::write(&path, text)?;
        Ok(path)
    };
    let mapping = beside("mapping.toml", &log::mapping(form))?;
    let stages =
        beside("stages.toml", &format!("{}{HOURS}", if part == SAME { ONE_STAGE } else { DEFAULT }))?;
    let ingested = run(archive, memory_mib, &json!({"kind": "ingest", "mapping": mapping, "files": [file]}))?;
    let studied = run(archive, memory_mib, &json!({"kind": "release-study", "stages": stages}))?;
    let mut steps = steps_of(&studied);
    let ingested: f64 = ingested.steps.iter().map(|step| step.seconds).sum();
    steps.insert("ingest".to_owned(), json!(ingested));
    let seconds = match part {
        SAME => ingested + seconds_of(&studied, &TABLE),
        _ => started.elapsed().as_secs_f64(),
    };
    figures(&studied, seconds, steps)
}

/// The seconds of some steps.
fn seconds_of(done: &Done, steps: &[&str]) -> f64 {
    done.steps.iter().filter(|step| steps.contains(&step.name.as_str())).map(|step| step.seconds).sum()
}

/// Does a job as the command does.
fn run(archive: &str, memory_mib: usize, specification: &Value) -> BenchResult<Done> {
    let specification = CATALOGUE.read(&specification.to_string())?;
    let archive = Archive::open(archive)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let engine = Local::new(THREADS, memory_mib << 20)?;
    let setting = Setting {
        archive: &archive,
        engine: &engine,
        extensions: CATALOGUE.extensions(),
        listener: Arc::new(Silent),
        log: &NoLog,
        id: "bench",
        submitted_ms: 0,
        roots: Roots::Anywhere,
    };
    let mut job = Job::new("bench", setting);
    let result = runtime.block_on(specification.run(&mut job));
    let outcome = job.finish(&result);
    result?;
    Ok(outcome)
}

fn steps_of(done: &Done) -> Map<String, Value> {
    done.steps.iter().map(|step| (step.name.clone(), json!(step.seconds))).collect()
}

/// What a study found and took.
fn figures(done: &Done, seconds: f64, steps: Map<String, Value>) -> BenchResult<Value> {
    let document = done.reports.iter().find(|report| report.ends_with(".json")).expect("a document");
    let study: Value = serde_json::from_slice(&fs::read(document)?)?;
    let edges = study["edges"].as_array().expect("edges");
    let sum = |of: fn(&Value) -> Option<f64>| edges.iter().filter_map(of).sum::<f64>().round();
    let anomalies = study["anomalies"].as_array().expect("anomalies");
    let seconds_of = |summary: &Value| summary["sum"].as_f64().map(|hours| (hours * 3600.0).round());
    let stages = study["stages"].as_array().expect("stages");
    let stage = stages.iter().skip(1).find(|stage| stage["stage"]["kind"] == "whole").expect("a stage");
    let rework = anomalies.iter().find(|anomaly| anomaly["name"] == "cases_with_repeated_events");
    Ok(json!({
        "seconds": seconds,
        "steps": steps,
        "cases": study["cases"],
        "variants": study["variants"],
        "edges": edges.len(),
        "sum": sum(|edge| edge["sum"].as_f64()),
        "working_sum": sum(|edge| edge["working"]["sum"].as_f64()),
        "stage": seconds_of(&stage["elapsed"]),
        "working_throughput": seconds_of(&stages[0]["working"]),
        "working_stage": seconds_of(&stage["working"]),
        "rework": rework.map(|rework| &rework["count"]),
        "peak_mib": peak_kib().map(|kib| kib / 1024),
    }))
}

/// The table by DuckDB, for the stages of the default file.
fn duckdb() -> BenchResult<String> {
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
    let script = include_str!("duckdb_peer.py");
    Ok(script.replace("{STAGES}", &stages.join(", ")).replace("{FIGURES}", &figures.join(", ")))
}
