//! A span: its names, its times and what went wrong, and the form in which OTLP sends it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The id of a span, unique in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub(crate) [u8; 8]);

/// What a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A job that was submitted.
    Job,
    /// A job that is part of another, as in a pipeline.
    Part,
    /// A step of a job.
    Step,
    /// A query of a step.
    Query,
    /// A task of a query on an executor.
    Task,
    /// A round of a fit.
    Round,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Part => "part",
            Self::Step => "step",
            Self::Query => "query",
            Self::Task => "task",
            Self::Round => "round",
        }
    }
}

/// Something that took time, and is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The job that was submitted; it is the trace.
    pub job: String,
    /// Its id.
    pub id: Id,
    /// The span in which it lies; `None`: none.
    pub parent: Option<Id>,
    /// What it is of.
    pub level: Level,
    /// Its name.
    pub name: String,
    /// When it began.
    pub begun: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What else is known, by OpenTelemetry's rules for names.
    pub attributes: Vec<(&'static str, String)>,
    /// What went wrong, if anything did.
    pub error: Option<String>,
}

impl Span {
    /// As OTLP's JSON has it.
    pub(crate) fn to_json(&self) -> Value {
        let mut attributes =
            vec![text("tidewaiter.level", self.level.name()), text("tidewaiter.job", &self.job)];
        attributes.extend(self.attributes.iter().map(|(name, value)| text(name, value)));
        let status = match &self.error {
            Some(message) => json!({ "code": 2, "message": message }),
            None => json!({}),
        };
        json!({
            "traceId": trace(&self.job),
            "spanId": hex(&self.id.0),
            "parentSpanId": self.parent.map(|parent| hex(&parent.0)).unwrap_or_default(),
            "name": self.name,
            "kind": 1,
            "startTimeUnixNano": nanoseconds(self.begun),
            "endTimeUnixNano": nanoseconds(self.ended.max(self.begun)),
            "attributes": attributes,
            "status": status,
        })
    }
}

/// An attribute with a text, as OTLP's JSON has it.
pub(crate) fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// The id of a job's trace. It depends on the job alone: a job that another process takes up has one trace.
fn trace(job: &str) -> String {
    hex(&Sha256::digest(job.as_bytes())[..16])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Nanoseconds since 1970-01-01 UTC, as a text: JSON's numbers have too few digits.
fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_span_is_written_as_otlp_has_it() {
        let at = |milliseconds| UNIX_EPOCH + Duration::from_millis(milliseconds);
        let span = Span {
            job: "a".to_owned(),
            id: Id([0, 1, 2, 3, 4, 5, 6, 255]),
            parent: Some(Id([1; 8])),
            level: Level::Step,
            name: "fit \"x\"".to_owned(),
            begun: at(1_700_000_000_123),
            ended: at(1_700_000_001_000),
            attributes: vec![("tidewaiter.executor", "cpu-1".to_owned())],
            error: Some("no space".to_owned()),
        };
        // The first half of SHA-256 of "a", by sha256sum.
        let expected = json!({
            "traceId": "ca978112ca1bbdcafac231b39a23dc4d",
            "spanId": "00010203040506ff",
            "parentSpanId": "0101010101010101",
            "name": "fit \"x\"",
            "kind": 1,
            "startTimeUnixNano": "1700000000123000000",
            "endTimeUnixNano": "1700000001000000000",
            "attributes": [
                { "key": "tidewaiter.level", "value": { "stringValue": "step" } },
                { "key": "tidewaiter.job", "value": { "stringValue": "a" } },
                { "key": "tidewaiter.executor", "value": { "stringValue": "cpu-1" } },
            ],
            "status": { "code": 2, "message": "no space" },
        });
        assert_eq!(span.to_json(), expected);
        let backwards = Span { ended: at(0), error: None, parent: None, ..span };
        assert_eq!(backwards.to_json()["endTimeUnixNano"], "1700000000123000000", "clocks can be set back");
        assert_eq!(backwards.to_json()["parentSpanId"], "");
        assert_eq!(backwards.to_json()["status"], json!({}));
    }
}
