//! The reasons of a score: the features that moved it most.
//!
//! They are Shapley values of the model's log odds (Lundberg, Erion and Lee, arXiv:1802.03888): they add up to the
//! score. They explain the model's answer, not what caused a fraud.

use std::fmt::Write as _;

use crate::features::text;

/// The indices of the `count` largest numbers above 0, by their `size`: the largest first, equal ones in order.
pub(crate) fn strongest(attributions: &[f64], count: usize, size: impl Fn(f64) -> f64) -> Vec<usize> {
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
    let of = |at: usize| values.get(at).copied().unwrap_or(f32::NAN);
    let mut json = "[".to_owned();
    for at in strongest(attributions, count, f64::abs) {
        if json.len() > 1 {
            json.push(',');
        }
        let _ = write!(json, "{{\"reason\":{}", serde_json::Value::from(text::reason(at, of)));
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
        insta::assert_snapshot!(json, @r#"[{"reason":"tariff rate: 8 %","feature":"duty_rate","value":8,"log_odds":-2},{"reason":"what the model learned of this importer from its items in the training months","feature":"importer_embedding","value":null,"log_odds":0.3},{"reason":"past illicit share of the HS 6 code: 41.0 %, from 0 outcomes","feature":"hs6_rate","value":0.41,"log_odds":0.1235},{"reason":"past illicit share of the importer: not known","feature":"importer_rate","value":null,"log_odds":0.1}]"#);
        assert_eq!(reasons_json(&attributions, &values, 0), "[]");
        let parsed: serde_json::Value =
            serde_json::from_str(&reasons_json(&attributions, &values, 2)).expect("JSON");
        assert_eq!(parsed.as_array().map(Vec::len), Some(2));
    }
}
