//! The rules by which rows are checked, each as SQL. Start at [`RULES`].

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
#[derive(Debug, Clone, Copy)]
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
    pub broken: &'static str,
}

/// All rules on single rows; uniqueness is not a property of one row.
pub const RULES: &[Rule] = &[
    Rule {
        name: "hs_code_length",
        meaning: "an HS code has 6 to 12 digits",
        dimension: Dimension::Validity,
        columns: &["hs_code"],
        broken: "character_length(hs_code) < 6 OR character_length(hs_code) > 12",
    },
    Rule {
        name: "customs_value_not_negative",
        meaning: "the customs value is not negative",
        dimension: Dimension::Validity,
        columns: &["customs_value"],
        broken: "customs_value < 0",
    },
    Rule {
        name: "net_mass_not_negative",
        meaning: "the net mass is not negative",
        dimension: Dimension::Validity,
        columns: &["net_mass"],
        broken: "net_mass < 0",
    },
    Rule {
        name: "item_number_from_one",
        meaning: "goods items are numbered from 1",
        dimension: Dimension::Validity,
        columns: &["item_number"],
        broken: "item_number < 1",
    },
    Rule {
        name: "net_within_gross",
        meaning: "the net mass is not above the gross mass",
        dimension: Dimension::Consistency,
        columns: &["net_mass", "gross_mass"],
        broken: "net_mass > gross_mass",
    },
    Rule {
        name: "duty_is_value_times_rate",
        meaning: "the duty is the customs value times the rate, within 1 % and one currency unit",
        dimension: Dimension::Consistency,
        columns: &["duty_amount", "customs_value", "duty_rate"],
        // One unit: exports round the duty to whole units.
        broken: "abs(duty_amount - customs_value * duty_rate / 100.0) > \
                 1.0 + 0.01 * abs(customs_value * duty_rate / 100.0)",
    },
    Rule {
        name: "accepted_in_its_month",
        meaning: "the day of acceptance lies in the partition's year and month",
        dimension: Dimension::Consistency,
        columns: &["acceptance_date", "year", "month"],
        broken: "date_part('year', acceptance_date) <> year OR date_part('month', acceptance_date) <> month",
    },
    Rule {
        name: "illicit_was_inspected",
        meaning: "an outcome of illicit comes from an inspection",
        dimension: Dimension::Consistency,
        columns: &["illicit", "inspected"],
        broken: "illicit AND NOT inspected",
    },
];

impl Rule {
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
