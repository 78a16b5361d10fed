//! A command's result on stdout: lines for people, or one JSON document.

use std::io::Write;

use tidewaiter_core::{Result, ResultExt};

use crate::arguments::Output;

/// Writes a command's result: the lines for people, or the JSON document.
pub(crate) fn write(
    output: Output,
    json: &serde_json::Value,
    text: impl FnOnce() -> Vec<String>,
) -> Result<()> {
    let text = match output {
        Output::Text => text().join("\n"),
        Output::Json => serde_json::to_string_pretty(json)?,
    };
    writeln!(std::io::stdout(), "{text}").context(|| "write the result to stdout")
}
