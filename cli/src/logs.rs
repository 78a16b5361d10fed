//! The log of this process, on stderr: text, or one JSON object a line.
//!
//! What is logged in a job's work names the job and the step: as text before the message, in JSON as fields of the line.
//! Start at [`begin`].

use std::io::{self, IsTerminal as _, Write, stderr};

use serde_json::{Map, Value};
use tracing_subscriber::{EnvFilter, filter::Directive};

/// What is logged unless the user says otherwise: warnings, except the errors of queries that Ballista logs before it
/// hands them back, since whoever receives an error reports it; except what it says of tasks that it cannot cancel,
/// because executors ask for tasks and are not called; except what its executors say at each of twenty requests a
/// second that is not answered, which the reports say once; and except what a table's log says of each commit that another
/// one overtook, which is made again.
const DEFAULT: &str = "warn,ballista_core::execution_plans::distributed_query=off,\
                    ballista_scheduler::scheduler_server::query_stage_scheduler=off,\
                    ballista_scheduler::scheduler_server::grpc=off,\
                    ballista_scheduler::state::task_manager=off,\
                    ballista_scheduler::state::executor_manager=off,\
                    ballista_scheduler::cluster::memory=off,\
                    ballista_executor::execution_loop=off,\
                    ballista_executor::executor=off,\
                    ballista_executor::cpu_bound_executor=off,\
                    deltalake_core::kernel::transaction=error";

/// The variable that says how logs are written: `text`, or `json` for one object a line.
const FORMAT: &str = "TIDEWAITER_LOG_FORMAT";

/// The variable that says what is logged.
const FILTER: &str = "TIDEWAITER_LOG";

/// Logs from now on, as the environment says.
///
/// # Errors
/// A text that names the variable which is wrong.
pub(crate) fn begin() -> Result<(), String> {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    // Whatever lines are taken, they say of which job they are.
    let spans = format!("{}=error", tidewaiter_traces::LINES).parse::<Directive>();
    let filter = filter.add_directive(spans.map_err(|error| error.to_string())?);
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    match std::env::var(FORMAT).as_deref() {
        Ok("json") => {
            let logs = logs.json().flatten_event(true).with_current_span(false).with_span_list(true);
            logs.with_writer(|| Flat).init();
        }
        Ok("text" | "") | Err(_) => logs.with_writer(stderr).with_ansi(is_coloured()).init(),
        Ok(other) => return Err(format!("{FORMAT} is {other:?}; it is text or json")),
    }
    tidewaiter_executor::spawned::keep_spans();
    Ok(())
}

/// Whether logs are coloured: on a terminal whose user has nothing against it (<https://no-color.org>).
fn is_coloured() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Writes lines of JSON to stderr, each with the fields of its spans beside its own.
struct Flat;

impl Write for Flat {
    /// Takes a whole line, as the log writes it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stderr().write_all(&flat(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

/// A line with the fields of its spans beside its own. Of two of one name the line's counts, then the inner span's.
fn flat(line: &[u8]) -> Vec<u8> {
    let Ok(mut fields) = serde_json::from_slice::<Map<String, Value>>(line) else { return line.to_vec() };
    let Some(Value::Array(spans)) = fields.remove("spans") else { return line.to_vec() };
    for span in spans.into_iter().rev() {
        let Value::Object(of_span) = span else { continue };
        for (name, value) in of_span.into_iter().filter(|(name, _)| name != "name") {
            fields.entry(name).or_insert(value);
        }
    }
    format!("{}\n", Value::Object(fields)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_fields_of_its_spans_and_its_own_count() {
        let line = br#"{"level":"WARN","message":"it is slow","step":"other","target":"a","spans":[
            {"name":"job","job":"01A","kind":"retrain"},{"name":"step","step":"fit","kind":"inner"}]}"#;
        let written: Value = serde_json::from_slice(&flat(line)).expect("one object");
        let wanted = serde_json::json!({
            "level": "WARN", "message": "it is slow", "step": "other", "target": "a", "job": "01A", "kind": "inner",
        });
        assert_eq!(written, wanted);
        assert!(flat(line).ends_with(b"}\n"));
        for whole in [&b"{\"message\":\"no job\"}\n"[..], b"no object\n"] {
            assert_eq!(flat(whole), whole);
        }
    }
}
