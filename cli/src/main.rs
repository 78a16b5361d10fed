//! `tidewaiter`: the one binary, every user's and every server's entry.
//!
//! A command's result goes to stdout, as text or (with `--output json`) as one JSON document; progress and
//! logs go to stderr. Exit status: 0 done, 1 the job failed, 2 the command line or a file is wrong.

mod arguments;
mod commands;
mod progress;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let filter = EnvFilter::try_from_env("TIDEWAITER_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match commands::run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(&format!("error: {}", error.chain()));
            ExitCode::from(error.kind().exit_status())
        }
    }
}
