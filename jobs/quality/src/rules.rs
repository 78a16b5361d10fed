//! The rules by which rows are checked, each as SQL. Start at [`RULES`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The dimension of quality whose score counts the rows that break a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// A value is impossible by itself.
    Validity,
    /// Values contradict each other.
    Consistency,
    /// A key occurs twice.
    Uniqueness,
}

impl Dimension {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validity => "validity",
            Self::Consistency => "consistency",
            Self::Uniqueness => "uniqueness",
        }
    }
}

/// One rule over the columns of a row.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it requires.
    pub meaning: &'static str,
    /// The dimension whose score it counts for.
    pub dimension: Dimension,
    /// Columns that must hold a value for the rule to be checked.
    pub columns: &'static [&'static str],
    /// SQL that is true where the rule is broken, given those values.
    pub broken: Cow<'static, str>,
}

/// The name of the rule that finds codes whose leading zero was lost, as a spreadsheet does. It must not be held against a
/// country whose codes have an odd number of digits ([`Rule::except`]).
pub const LEADING_ZERO: &str = "hs_code_even_length";

/// All rules on single rows; uniqueness is not a property of one row.
pub const RULES: &[Rule] = &[
    Rule {
        name: "hs_code_length",
        meaning: "an HS code has 6 to 12 digits",
        dimension: Dimension::Validity,
        columns: &["hs_code"],
        broken: Cow::Borrowed("character_length(hs_code) < 6 OR character_length(hs_code) > 12"),
    },
    Rule {
        name: LEADING_ZERO,
        meaning: "an HS code has an even number of digits, unless most codes of the country have an odd one",
        dimension: Dimension::Validity,
        columns: &["hs_code"],
        broken: Cow::Borrowed("character_length(hs_code) % 2 = 1"),
    },
    Rule {
        name: "customs_value_not_negative",
        meaning: "the customs value is not negative",
        dimension: Dimension::Validity,
        columns: &["customs_value"],
        broken: Cow::Borrowed("customs_value < 0"),
    },
    Rule {
        name: "net_mass_not_negative",
        meaning: "the net mass is not negative",
        dimension: Dimension::Validity,
        columns: &["net_mass"],
        broken: Cow::Borrowed("net_mass < 0"),
    },
    Rule {
        name: "item_number_from_one",
        meaning: "goods items are numbered from 1",
        dimension: Dimension::Validity,
        columns: &["item_number"],
        broken: Cow::Borrowed("item_number < 1"),
    },
    Rule {
        name: "net_within_gross",
        meaning: "the net mass is not above the gross mass",
        dimension: Dimension::Consistency,
        columns: &["net_mass", "gross_mass"],
        broken: Cow::Borrowed("net_mass > gross_mass"),
    },
    Rule {
        name: "duty_is_value_times_rate",
        meaning: "the duty is the customs value times the rate, within 1 % and one currency unit",
        dimension: Dimension::Consistency,
        columns: &["duty_amount", "customs_value", "duty_rate"],
        // One unit: exports round the duty to whole units.
        broken: Cow::Borrowed(
            "abs(duty_amount - customs_value * duty_rate / 100.0) > \
                 1.0 + 0.01 * abs(customs_value * duty_rate / 100.0)",
        ),
    },
    Rule {
        name: "accepted_in_its_month",
        meaning: "the day of acceptance lies in the partition's year and month",
        dimension: Dimension::Consistency,
        columns: &["acceptance_date", "year", "month"],
        broken: Cow::Borrowed(
            "date_part('year', acceptance_date) <> year OR date_part('month', acceptance_date) <> month",
        ),
    },
    Rule {
        name: "illicit_was_inspected",
        meaning: "an outcome of illicit comes from an inspection",
        dimension: Dimension::Consistency,
        columns: &["illicit", "inspected"],
        broken: Cow::Borrowed("illicit AND NOT inspected"),
    },
];

impl Rule {
    /// The rule where it does not hold for some countries, which are ISO 3166-1 alpha-2 codes.
    #[must_use]
    pub fn except(&self, countries: &[String]) -> Self {
        if countries.is_empty() {
            return self.clone();
        }
        let countries: Vec<String> =
            countries.iter().map(|code| format!("'{}'", code.replace('\'', "''"))).collect();
        let broken = format!("({}) AND country NOT IN ({})", self.broken, countries.join(", "));
        Self { broken: Cow::Owned(broken), ..self.clone() }
    }

    /// SQL that is true where the rule can be checked.
    pub fn checked(&self) -> String {
        let present: Vec<String> =
            self.columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
        present.join(" AND ")
    }

    /// SQL that is true where the rule is broken and false elsewhere, never null.
    pub fn broken(&self) -> String {
        format!("coalesce(({}) AND ({}), false)", self.checked(), self.broken)
    }
}
