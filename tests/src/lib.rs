//! What the benches share: their settings, the peer's Python, and how a run's figures are read.
//!
//! Tests over several crates live in `tests/`, benches in `benches/`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "benches print, and stop where a setting is wrong"
)]

use std::{env, error::Error, ffi::OsString, fs, process::Output};

use serde_json::Value;

/// What a bench may fail with.
pub type BenchResult<T> = Result<T, Box<dyn Error>>;

/// Whether this program was started by `cargo bench`. `cargo test --all-targets` starts it, too, without optimisation;
/// then a line says so.
pub fn is_bench(what: &str) -> bool {
    let is_bench = env::args().any(|argument| argument == "--bench");
    if !is_bench {
        println!("the bench of {what} runs under cargo bench only");
    }
    is_bench
}

/// A setting of the environment.
///
/// # Panics
/// When it is not a whole number.
pub fn number(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
}

/// The Python of the peers, which needs these packages; where none is named, a line says that there is no peer.
pub fn python(packages: &str) -> Option<OsString> {
    let python = env::var_os("TIDEWAITER_BENCH_PYTHON");
    if python.is_none() {
        eprintln!("NO PEER: set TIDEWAITER_BENCH_PYTHON to a Python interpreter that has {packages}");
    }
    python
}

/// The middle one of some seconds; of an even number the later of the two.
pub fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// This process's peak resident memory in KiB; null where the system does not tell it.
pub fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// The line of JSON that a process printed.
///
/// # Errors
/// What it said where it failed.
pub fn answer(output: &Output) -> BenchResult<Value> {
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
