//! `tidewaiter`: the one binary, every user's and every server's entry.
//!
//! A command's result goes to stdout, as text or (with `--output json`) as one JSON document; progress and
//! logs go to stderr. Exit status: 0 done, 1 the job failed, 2 the command line or a file is wrong.

mod arguments;
mod commands;
mod output;
mod progress;

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    keep_freed_memory_together();
    run()
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

#[tokio::main]
async fn run() -> ExitCode {
    let matches = arguments::command_line().get_matches();
    let filter = EnvFilter::try_from_env("TIDEWAITER_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match commands::run(&matches).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(&format!("error: {}", error.chain()));
            ExitCode::from(error.kind().exit_status())
        }
    }
}
