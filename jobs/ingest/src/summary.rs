//! What an ingest says at its end, for people. Start at [`lines`].

use serde_json::Value;
use tidewaiter_job::{Outcome, Rows, summary::grouped};

/// The lines of an outcome.
pub(crate) fn lines(outcome: &Outcome) -> Vec<String> {
    let Rows { read, archived, quarantined } = outcome.rows;
    let is_dry = outcome.metrics.get("dry_run").is_some();
    let mut lines = vec![format!(
        "{}{} rows in = {} archived + {} quarantined",
        if is_dry { "nothing is written; it would be: " } else { "" },
        grouped(read),
        grouped(archived),
        grouped(quarantined)
    )];
    if read == 0 && outcome.error.is_none() && outcome.metrics.get("ingested_before").is_none() {
        lines.push("the files have no rows".to_owned());
    }
    let counts = |key: &str| outcome.metrics.get(key).and_then(Value::as_object).into_iter().flatten();
    let mut rules: Vec<(&String, u64)> =
        counts("quarantined").map(|(rule, count)| (rule, count.as_u64().unwrap_or(0))).collect();
    rules.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    lines.extend(rules.iter().map(|(rule, count)| format!("{:>9} put aside: {rule}", grouped(*count))));
    lines.extend(counts("repaired").map(|(correction, count)| {
        format!("{:>9} corrected: {correction}", grouped(count.as_u64().unwrap_or(0)))
    }));
    let count = |key: &str| outcome.metrics.get(key).and_then(Value::as_u64);
    if let Some(replaced) = count("replaced") {
        let are = if is_dry { "would be" } else { "are" };
        lines.push(format!("{:>9} rows of earlier ingests {are} replaced", grouped(replaced)));
    }
    if let Some(outdated) = count("outdated") {
        lines.push(format!(
            "{:>9} rows are left out: later ones of the same key are in force",
            grouped(outdated)
        ));
    }
    if let Some(repeated) = count("repeated") {
        lines.push(format!(
            "{:>9} rows have keys that the archive has already: if their file is a new edition of an earlier one, {}",
            grouped(repeated),
            match is_dry {
                true => "ingest it with --amend or --replace-months",
                false => "take it out with `archive forget` and ingest it with --amend or --replace-months",
            }
        ));
    }
    let text = |key: &str| outcome.metrics.get(key).and_then(Value::as_str);
    lines.extend(text("uncompared").map(str::to_owned));
    let texts = |key: &str| outcome.metrics.get(key).and_then(Value::as_array).into_iter().flatten();
    lines.extend(texts("date_formats").filter_map(Value::as_str).map(str::to_owned));
    lines.extend(text("first_quarantined").map(|first| format!("first put aside: {first}")));
    lines.extend(text("quarantine").map(|query| format!("rows that were put aside: {query}")));
    let known: Vec<String> = texts("known").filter_map(Value::as_str).map(str::to_owned).collect();
    let before = count("ingested_before").unwrap_or(0);
    let more = before.saturating_sub(known.len() as u64);
    lines.extend(known);
    if more > 0 {
        lines.push(format!(
            "{}{} files were ingested before: nothing {} for them{}",
            grouped(more),
            if is_dry { "" } else { " more" },
            if is_dry { "would be added" } else { "is added" },
            if is_dry { " without --again" } else { "" },
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn that_keys_are_not_compared_is_a_line_of_its_own() {
        let mut outcome =
            Outcome { rows: Rows { read: 2, archived: 2, quarantined: 0 }, ..Outcome::default() };
        assert_eq!(lines(&outcome), ["2 rows in = 2 archived + 0 quarantined"]);
        outcome.metrics.insert("uncompared".to_owned(), json!("the keys are not compared: why"));
        assert_eq!(lines(&outcome)[1..], ["the keys are not compared: why"]);
    }
}
