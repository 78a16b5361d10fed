//! What a person reads when a job is done: a table of its figures, then the paths of its reports.

use serde_json::Value;
use tidewaiter_jobs::job::{Outcome, Rows};

/// Figures of a retrain that the table shows, in this order.
const FIGURES: [&str; 9] = [
    "roc_auc",
    "average_precision",
    "precision@1",
    "precision@5",
    "recall@5",
    "accuracy@1/2",
    "accuracy@1/4",
    "accuracy@1/6",
    "accuracy@5/6",
];

/// The lines of an outcome.
pub(super) fn lines(outcome: &Outcome) -> Vec<String> {
    let parts = if outcome.parts.is_empty() { std::slice::from_ref(outcome) } else { &outcome.parts };
    let mut lines = vec![format!("{:<10} {:>9}  result", "job", "seconds")];
    for part in parts {
        let results = results(part);
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

/// What a job came to, in a few lines.
fn results(outcome: &Outcome) -> Vec<String> {
    let Rows { read, archived, quarantined } = outcome.rows;
    let mut results = Vec::new();
    match outcome.kind.as_str() {
        "ingest" => results.push(format!(
            "{} rows in = {} archived + {} quarantined",
            grouped(read),
            grouped(archived),
            grouped(quarantined)
        )),
        _ if read > 0 => results.push(format!("{} rows", grouped(read))),
        _ => {}
    }
    if let Some(model) = &outcome.model {
        let promoted = match outcome.metrics.get("promoted") {
            Some(Value::Bool(true)) => ", promoted: it is the champion now",
            Some(Value::Bool(false)) => ", not promoted: no better than the champion",
            _ => "",
        };
        results.push(format!("model {model}{promoted}"));
    }
    for part in ["test", "champion"] {
        let Some(figures) = outcome.metrics.get(part) else { continue };
        let shown =
            FIGURES.iter().filter_map(|name| Some(format!("{name} {:.3}", figures.get(name)?.as_f64()?)));
        results.push(format!("{part}: {}", shown.collect::<Vec<_>>().join("  ")));
    }
    if let Some(scores) = outcome.metrics.get("declarations").and_then(Value::as_object) {
        let shown = scores.iter().filter_map(|(name, score)| Some(format!("{name} {:.3}", score.as_f64()?)));
        results.push(shown.collect::<Vec<_>>().join("  "));
    }
    if let Some(strategies) = outcome.metrics.get("strategies").and_then(Value::as_object) {
        for (strategy, figures) in strategies {
            let mean = |name: &str| figures.get(name)?.get("mean")?.as_f64();
            let shown = ["precision", "recall", "revenue_recall", "norm_precision"];
            let shown = shown.iter().filter_map(|name| Some(format!("{name} {:.3}", mean(name)?)));
            results.push(format!("{strategy}: {}", shown.collect::<Vec<_>>().join("  ")));
        }
    }
    if let Some(release) = outcome.metrics.get("release").and_then(Value::as_object) {
        let shown = ["median_hours", "mean_hours", "p90_hours"]
            .into_iter()
            .filter_map(|name| Some(format!("{name} {:.2}", release.get(name)?.as_f64()?)));
        let stage = release.get("stage").and_then(Value::as_str).unwrap_or_default();
        results.push(format!("{stage}: {}", shown.collect::<Vec<_>>().join("  ")));
    }
    if let Some(selection) = outcome.metrics.get("selection") {
        let number = |name: &str| selection.get(name).and_then(Value::as_u64).unwrap_or_default();
        let by_revenue = selection.get("rank_by").and_then(Value::as_str) == Some("revenue");
        results.push(format!(
            "{} of {} items selected, from {} {:.3}",
            grouped(number("selected")),
            grouped(number("items")),
            if by_revenue { "expected revenue" } else { "probability" },
            selection.get("threshold").and_then(Value::as_f64).unwrap_or_default()
        ));
    }
    if let Some(items) = outcome.metrics.get("items") {
        let number = |name: &str| grouped(items.get(name).and_then(Value::as_u64).unwrap_or_default());
        results.push(format!(
            "{} items declared under the first recommendation, {} doubtful, {} too vague",
            number("agreeing"),
            number("doubtful"),
            number("vague")
        ));
    }
    results.extend(outcome.tables.iter().map(|table| format!("table {table}")));
    results
}

/// A count with a comma between groups of three digits.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
