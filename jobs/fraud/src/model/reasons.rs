//! The reasons of a score: the features that moved it most.
//!
//! They are Shapley values of the model's log odds (Lundberg, Erion and Lee, arXiv:1802.03888): they add up to the
//! score. They explain the model's answer, not what caused a fraud.

use std::{collections::BTreeMap, fmt::Write as _};

use tidewaiter_report::words::Words;

use crate::features::text;

/// The reasons that raise a score most, each with all that is about the same ([`text::theme`]): the index of the strongest
/// of them and the sum of their attributions, at most `count` and the largest first.
pub(crate) fn strongest_themes(attributions: &[f64], count: usize) -> Vec<(usize, f64)> {
    let mut sums: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
    for (at, own) in attributions.iter().enumerate().filter(|(_, own)| own.is_finite() && **own != 0.0) {
        let (strongest, sum) = sums.entry(text::theme(at)).or_insert((at, 0.0));
        *sum += own;
        if *own > attributions[*strongest] {
            *strongest = at;
        }
    }
    let mut themes: Vec<(usize, f64)> = sums.into_values().filter(|theme| theme.1 > 0.0).collect();
    themes.sort_by(|one, other| other.1.total_cmp(&one.1));
    themes.truncate(count);
    themes
}

/// The indices of the `count` largest numbers above 0, by their `size`: the largest first, equal ones in order.
fn strongest(attributions: &[f64], count: usize, size: impl Fn(f64) -> f64) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    // A number that is not one is not above 0, and stays out.
    for (at, own) in attributions.iter().map(|it| size(*it)).enumerate().filter(|(_, own)| *own > 0.0) {
        let place = best.partition_point(|other| size(attributions[*other]) >= own);
        if place < count {
            best.insert(place, at);
            best.truncate(count);
        }
    }
    best
}

/// The reasons that moved one row's score the most, either way, in words and for programs, as JSON:
/// `[{"reason":"past illicit share of the HS 6 code: 41.0 %, from 120 outcomes","feature":"hs6_rate","value":0.41,
/// "log_odds":0.93},…]`; `value` is null where missing or where the reason is no feature, and `log_odds` has four
/// decimals. `values` are those of the features.
pub(super) fn reasons_json(attributions: &[f64], values: &[f32], count: usize) -> String {
    let (of, words) = (|at: usize| values.get(at).copied().unwrap_or(f32::NAN), Words::default());
    let mut json = "[".to_owned();
    for at in strongest(attributions, count, f64::abs) {
        if json.len() > 1 {
            json.push(',');
        }
        let _ = write!(json, "{{\"reason\":{}", serde_json::Value::from(text::reason(&words, at, of)));
        // The names of features hold no character that JSON escapes.
        let _ = write!(json, ",\"feature\":\"{}\",\"value\":", text::reason_name(at));
        let _ = if of(at).is_finite() { write!(json, "{}", of(at)) } else { write!(json, "null") };
        let _ = write!(json, ",\"log_odds\":{}}}", (attributions[at] * 1e4).round() / 1e4);
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::features;

    fn place(name: &str) -> usize {
        features().iter().position(|feature| feature.name == name).expect("a feature")
    }

    #[test]
    fn a_price_told_three_ways_is_one_reason() {
        let mut attributions = vec![0.0; features().len()];
        for (name, own) in [
            ("hs6_price_ratio", 0.4),
            ("ln_price_per_kg", 0.3),
            ("hs6_price_deviation", 0.5),
            ("duty_rate", 0.6),
            ("importer_rate", 0.2),
            ("importer_labelled", -0.3),
        ] {
            attributions[place(name)] = own;
        }
        let themes = strongest_themes(&attributions, 3);
        let named: Vec<&str> = themes.iter().map(|theme| features()[theme.0].name.as_str()).collect();
        assert_eq!(named, ["hs6_price_deviation", "duty_rate"]);
        assert!((themes[0].1 - 1.2).abs() < 1e-12, "{themes:?}");
    }

    #[test]
    fn reasons_are_json_by_absolute_value() {
        let mut attributions = vec![0.0; features().len()];
        let mut values = vec![0.0; features().len()];
        for (name, contribution, value) in
            [("hs6_rate", 0.123_456, 0.41), ("duty_rate", -2.0, 8.0), ("importer_rate", 0.1, f32::NAN)]
        {
            attributions[place(name)] = contribution;
            values[place(name)] = value;
        }
        // Beside the features, what a network learned of the importer.
        attributions.push(0.3);
        let json = reasons_json(&attributions, &values, 5).replace('\u{a0}', " ");
        insta::assert_snapshot!(json, @r#"[{"reason":"tariff rate: 8 %","feature":"duty_rate","value":8,"log_odds":-2},{"reason":"what the model learned of this importer from its items in the training months","feature":"importer_embedding","value":null,"log_odds":0.3},{"reason":"past illicit share of the HS 6 code: no earlier outcome is known","feature":"hs6_rate","value":0.41,"log_odds":0.1235},{"reason":"past illicit share of the importer: not known","feature":"importer_rate","value":null,"log_odds":0.1}]"#);
        assert_eq!(reasons_json(&attributions, &values, 0), "[]");
        let parsed: serde_json::Value =
            serde_json::from_str(&reasons_json(&attributions, &values, 2)).expect("JSON");
        assert_eq!(parsed.as_array().map(Vec::len), Some(2));
    }
}
