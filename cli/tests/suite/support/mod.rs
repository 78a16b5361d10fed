//! What the tests that drive the built binary share.

#[allow(dead_code, reason = "few tests have an encoder")]
pub(crate) mod encoder;
pub(crate) mod processes;

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// The built binary.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tidewaiter"))
}

/// A command in this process's engine, on an archive.
pub(crate) fn tidewaiter(archive: &Path, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.args(["--output", "json", "--archive"]).arg(archive).args(arguments);
    command.output().expect("the binary starts")
}

/// The document of a command that must succeed.
pub(crate) fn document(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|wrong| panic!("one JSON document: {wrong}; {error}"))
}
