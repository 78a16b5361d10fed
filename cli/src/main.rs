//! `tidewaiter`: the one binary, every user's and every server's entry.
//!
//! A command's result goes to stdout, as text or (with `--output json`) as one JSON document; progress and
//! logs go to stderr. Exit status: 0 done, 1 the job failed, 2 the command line or a file is wrong, 130 interrupted
//! (Ctrl-C).

mod arguments;
mod commands;
mod csv;
mod logs;
mod output;
mod progress;

use std::{process::ExitCode, time::Duration};

use clap::ArgMatches;
use tidewaiter_core::{Error, ErrorKind};
use tokio::runtime::Builder;

/// The exit status of a command that its user interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// The variable that names the collector of traces, as OpenTelemetry has it.
const COLLECTOR: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How long computations that nobody awaits any more may take to notice it.
const LAST_COMPUTATIONS: Duration = Duration::from_secs(2);

/// Bytes of a thread's stack. Plans are read by recursion, up to the hundred levels that their messages may have, and a
/// level takes up to 100 KiB where nothing is optimised; what is not used takes no memory.
const STACK_BYTES: usize = 16 << 20;

fn main() -> ExitCode {
    keep_freed_memory_together();
    let matches = arguments::command_line().get_matches();
    if let Err(error) = logs::begin() {
        progress::say(&format!("error: {error}"));
        return ExitCode::from(ErrorKind::Input.exit_status());
    }
    let runtime = match Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            progress::say(&format!("error: start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(run(matches));
    runtime.shutdown_timeout(LAST_COMPUTATIONS);
    status
}

/// Gives glibc's allocator one arena a core, unless the user has said how many. It would make eight, each of which
/// keeps what its threads have freed, so that an ingest of many files held twice the memory that it was given.
fn keep_freed_memory_together() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // SAFETY: it sets a number of the allocator, and no other thread has begun.
        #[expect(unsafe_code, reason = "the allocator has no other door")]
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, i32::try_from(cores).unwrap_or(i32::MAX));
        }
    }
}

/// Runs a command to its end, or until its user interrupts it.
async fn run(matches: ArgMatches) -> ExitCode {
    let is_executor = matches.subcommand_name() == Some("executor");
    if let Err(error) = trace(matches.subcommand_name().unwrap_or_default()) {
        progress::say(&format!("error: {error}"));
        return ExitCode::from(ErrorKind::Input.exit_status());
    }
    let status = run_command(matches, is_executor).await;
    tidewaiter_traces::flush().await;
    status
}

/// Sends traces to the collector that the environment names, where this process drives jobs: an executor's work is in
/// its scheduler's.
fn trace(command: &str) -> Result<(), String> {
    let endpoint = std::env::var(COLLECTOR).ok().filter(|endpoint| !endpoint.is_empty());
    let Some(endpoint) = endpoint.filter(|_| command != "executor") else { return Ok(()) };
    let part = if command == "scheduler" { "scheduler" } else { "command" };
    let exporter =
        tidewaiter_traces::start(&endpoint, part).map_err(|error| format!("{COLLECTOR}: {error}"))?;
    tokio::spawn(exporter.run());
    Ok(())
}

async fn run_command(matches: ArgMatches, is_executor: bool) -> ExitCode {
    // A task of its own, so that an interrupt is noticed whatever the command does.
    let mut command = tokio::spawn(async move { commands::run(&matches).await });
    let result = tokio::select! {
        result = &mut command => result,
        () = interrupt(is_executor) => {
            // What the command had begun is dropped, and with it its queries, fits and computations.
            command.abort();
            // It may be in a computation that it does not leave at once.
            let _ = tokio::time::timeout(LAST_COMPUTATIONS, command).await;
            progress::say("interrupted");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match result.unwrap_or_else(|error| Err(Error::internal("the command stopped").with_source(error))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(&format!("error: {}", error.chain()));
            ExitCode::from(error.kind().exit_status())
        }
    }
}

/// Ends when the user interrupts the command. An executor takes the interrupt itself: it tells its scheduler first.
async fn interrupt(is_executor: bool) {
    if is_executor || tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
