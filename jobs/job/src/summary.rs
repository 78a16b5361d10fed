//! The figures of an outcome as lines for people.

use serde_json::{Map, Value};

use crate::outcome::Outcome;

/// The named figures of an object, `name 0.123`, in the order given; those that are absent are left out.
pub fn figures(object: &Map<String, Value>, names: &[&str], decimals: usize) -> String {
    let shown = names.iter().filter_map(|name| {
        let value = object.get(*name)?.as_f64()?;
        Some(format!("{name} {value:.decimals$}"))
    });
    shown.collect::<Vec<_>>().join("  ")
}

/// A line for each model that was evaluated: the new one (`test`) and the champion.
pub fn evaluated(outcome: &Outcome, names: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    for part in ["test", "champion"] {
        let of_part = outcome.metrics.get(part).and_then(Value::as_object);
        let line = of_part.map(|object| figures(object, names, 3)).filter(|line| !line.is_empty());
        lines.extend(line.map(|line| format!("{part}: {line}")));
    }
    lines
}

/// A count with a comma between groups of three digits.
pub fn grouped(count: u64) -> String {
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

    #[test]
    fn absent_figures_are_left_out() {
        let object = Map::from_iter([("b".to_owned(), 0.25.into()), ("c".to_owned(), "text".into())]);
        assert_eq!(figures(&object, &["a", "b", "c"], 3), "b 0.250");
        assert_eq!(evaluated(&Outcome::default(), &["b"]), [""; 0]);
    }
}
