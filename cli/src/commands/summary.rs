//! What a person reads when a job is done: a table of its figures, then the paths of its reports.

use serde_json::Value;
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_job::{Outcome, summary::grouped};

/// The lines of an outcome.
pub(super) fn lines(outcome: &Outcome) -> Vec<String> {
    let parts = if outcome.parts.is_empty() { std::slice::from_ref(outcome) } else { &outcome.parts };
    let mut lines = vec![format!("{:<10} {:>9}  result", "job", "seconds")];
    for part in parts {
        let results = match part.error {
            Some(_) => vec!["failed".to_owned()],
            None => results(part),
        };
        let first = results.first().cloned().unwrap_or_default();
        lines.push(format!("{:<10} {:>9.1}  {first}", part.kind, part.seconds));
        lines.extend(results.into_iter().skip(1).map(|result| format!("{:<20}  {result}", "")));
    }
    if !outcome.reports.is_empty() {
        lines.push(String::new());
        lines.push("reports".to_owned());
        lines.extend(outcome.reports.iter().map(|report| format!("  {report}")));
    }
    lines
}

/// What a job came to, in a few lines: its kind's own between those that all kinds have.
fn results(outcome: &Outcome) -> Vec<String> {
    let own = CATALOGUE.summary(outcome);
    let mut results = Vec::new();
    // A job that archives rows says itself what became of them, one that learns from outcomes how many are known, one that
    // selects items of how many, and one that compares strategies on how many.
    let says_itself = outcome.rows.archived + outcome.rows.quarantined > 0
        || ["outcomes", "selection", "strategies"].iter().any(|own| outcome.metrics.contains_key(*own));
    if outcome.rows.read > 0 && !says_itself {
        results.push(format!("{} rows", grouped(outcome.rows.read)));
    }
    if let Some(model) = &outcome.model {
        let name = model.split('@').next().unwrap_or(model);
        let overtaken_by = outcome.metrics.get("overtaken_by").and_then(Value::as_u64);
        let promoted = match (outcome.metrics.get("promoted"), overtaken_by) {
            (Some(Value::Bool(true)), None) => ", promoted: it is the champion now".to_owned(),
            (Some(Value::Bool(true)), Some(other)) => {
                format!(", promoted, but {name}@{other} was promoted after it and is the champion")
            }
            (Some(Value::Bool(false)), None) => ", not promoted: no better than the champion".to_owned(),
            (Some(Value::Bool(false)), Some(other)) => format!(
                ", not promoted though it was better: {name}@{other} became the champion since they were compared; \
                 compare the two"
            ),
            _ => String::new(),
        };
        results.push(format!("model {model}{promoted}"));
    }
    results.extend(own);
    results.extend(outcome.tables.iter().map(|table| format!("table {table}")));
    results
}
