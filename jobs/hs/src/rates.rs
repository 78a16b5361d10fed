//! The usual duty rates of codes, by which an item's duty at stake is reckoned.
//!
//! A preference lowers the rate: an item at a preferential 0 % differs from the usual rate of any other code. The usual
//! rate of a code is therefore the median among items of the same preference, and two codes are compared by their usual
//! rates under the item's own preference. Start at [`UsualRates::difference`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Median duty rates, percent, by preference (empty: not declared) and six-digit code.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsualRates {
    by_preference: BTreeMap<String, BTreeMap<String, f64>>,
}

impl UsualRates {
    /// Adds a code's median rate, percent, among the items of a preference.
    pub fn insert(&mut self, preference: &str, code: &str, rate: f64) {
        self.by_preference.entry(preference.to_owned()).or_default().insert(code.to_owned(), rate);
    }

    /// By how many points of percent the usual rate of the recommended code exceeds that of the declared one among items
    /// of a preference: 0 where they are the same code, `None` where one of them has no such items.
    pub fn difference(&self, preference: &str, declared: &str, recommended: &str) -> Option<f64> {
        if declared == recommended {
            return Some(0.0);
        }
        let rates = self.by_preference.get(preference)?;
        Some(rates.get(recommended)? - rates.get(declared)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_at_stake_where_codes_agree_and_like_preferences_are_compared() {
        let mut rates = UsualRates::default();
        for (preference, code, rate) in [
            ("100", "010121", 8.0),
            ("100", "020110", 10.0),
            ("300", "010121", 0.0),
            ("300", "020110", 5.0),
            ("300", "030617", 0.0),
        ] {
            rates.insert(preference, code, rate);
        }
        // An item at a preferential 0 % under the recommended code is not compared with the general rate.
        assert_eq!(rates.difference("300", "010121", "010121"), Some(0.0));
        assert_eq!(rates.difference("300", "010121", "020110"), Some(5.0));
        assert_eq!(rates.difference("100", "010121", "020110"), Some(2.0));
        assert_eq!(rates.difference("100", "020110", "010121"), Some(-2.0));
        assert_eq!(rates.difference("100", "010121", "030617"), None, "no such item pays the general rate");
        assert_eq!(rates.difference("", "010121", "020110"), None);
        assert_eq!(rates.difference("", "999999", "999999"), Some(0.0));
    }
}
