//! Rules: conditions on fields of a trip, all of which must hold.
//!
//! The operators are those of the criteria that officers write in US-CBP's GTAS; its names of fields are understood where a
//! trip has such a field. Start at [`Rules::read`].

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::user_file;

use crate::features::{
    catalogue::{FEATURES, value_words},
    rows::TEXTS,
};

/// Fields of text beside those of [`TEXTS`], which a trip has.
const MORE_TEXTS: [&str; 4] = ["trip_id", "person_id", "booking_id", "flight_id"];

/// Names of GTAS and the fields that they are here.
const NAMES_OF_GTAS: [(&str, &str); 16] = [
    ("Flight.origin", "from_airport"),
    ("Flight.destination", "to_airport"),
    ("Flight.carrier", "carrier"),
    ("BookingDetail.origin", "from_airport"),
    ("BookingDetail.destination", "to_airport"),
    ("Pnr.origin", "origin"),
    ("Pnr.carrier", "booking_system"),
    ("Pnr.bagCount", "bags"),
    ("Pnr.baggageWeight", "bag_kilograms"),
    ("Pnr.daysBookedBeforeTravel", "days_booked_before"),
    ("Pnr.passengerCount", "party"),
    ("PaymentForm.paymentType", "payment_form"),
    ("Agency.location", "agency_place"),
    ("Passenger.passengerDetails.age", "age"),
    ("Passenger.passengerDetails.gender", "sex"),
    ("Passenger.passengerDetails.nationality", "nationality"),
];

/// What a condition asks of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The value.
    Equal,
    /// Another value.
    NotEqual,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// A beginning.
    BeginsWith,
    /// Another beginning.
    NotBeginsWith,
    /// A part.
    Contains,
    /// No such part.
    NotContains,
    /// An end.
    EndsWith,
    /// Another end.
    NotEndsWith,
    /// Below.
    Less,
    /// At most.
    LessOrEqual,
    /// Above.
    Greater,
    /// At least.
    GreaterOrEqual,
    /// From the first to the second of a list, both included.
    Between,
    /// Outside of that.
    NotBetween,
    /// Not known.
    IsNull,
    /// Known.
    IsNotNull,
}

/// The value of a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false, as 1 and 0.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text, compared without regard to capitals.
    Text(String),
    /// Several.
    List(Vec<Value>),
}

impl Value {
    fn number(&self) -> Option<f64> {
        match self {
            Self::Flag(flag) => Some(f64::from(u8::from(*flag))),
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::List(_) => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.trim().to_uppercase(),
            Self::List(_) => String::new(),
        }
    }

    fn list(&self) -> Vec<&Self> {
        match self {
            Self::List(list) => list.iter().collect(),
            one => vec![one],
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The field: a feature, a text of a trip, `age`, or a name of GTAS.
    pub field: String,
    /// What is asked.
    pub operator: Operator,
    /// With what it is compared; none for `is_null` and `is_not_null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// What was found out about a rule, for those who read its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Inspected travellers of the training months of whom it holds.
    pub support: u64,
    /// Finds among them.
    pub found: u64,
    /// Share of finds in the training months.
    pub precision: f64,
    /// The same in the test months; none where nobody of whom it holds was inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_precision: Option<f64>,
    /// Precision of the test months over the share of finds of all inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_lift: Option<f64>,
}

/// A rule: it holds of whom all its conditions hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it means, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The conditions.
    pub when: Vec<Condition>,
    /// What was found out about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
}

/// A file of rules.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The rules, `[[rule]]`.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

impl Rules {
    /// Reads a file's text and checks it.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a text that is not of this form, for fields that are not known, and for
    /// values that do not fit their operators.
    pub fn read(text: &str) -> Result<Self> {
        let rules: Self = user_file::read(text)?;
        if rules.rules.is_empty() {
            return Err(Error::input("there is no [[rule]]"));
        }
        for rule in &rules.rules {
            rule.check().context(|| format!("the rule {:?}", rule.name))?;
        }
        let names: std::collections::BTreeSet<&str> =
            rules.rules.iter().map(|rule| rule.name.as_str()).collect();
        if names.len() < rules.rules.len() {
            return Err(Error::input("two rules have the same name; give each its own"));
        }
        Ok(rules)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where the rules have no such form.
    pub fn to_text(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::internal("rules have no form in TOML").with_source(error))
    }
}

impl Rule {
    fn check(&self) -> Result<()> {
        if self.name.trim().is_empty() || self.name.contains(';') {
            return Err(Error::input(
                "its name must not be empty or have a semicolon, which parts the names of rules",
            ));
        }
        if self.when.is_empty() {
            return Err(Error::input("it has no condition"));
        }
        self.when.iter().try_for_each(Condition::check)
    }

    /// Of which rows it holds.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where the rows have no such column.
    pub fn holds(&self, rows: &RecordBatch) -> Result<Vec<bool>> {
        let mut holds = vec![true; rows.num_rows()];
        for condition in &self.when {
            for (all, own) in holds.iter_mut().zip(condition.holds(rows)?) {
                *all &= own;
            }
        }
        Ok(holds)
    }

    /// Its conditions in words.
    #[must_use]
    pub fn words(&self) -> String {
        self.when.iter().map(Condition::words).collect::<Vec<_>>().join(" and ")
    }
}

impl Condition {
    /// The column of the field.
    fn column(&self) -> &str {
        let of_gtas = NAMES_OF_GTAS.iter().find(|(name, _)| *name == self.field);
        of_gtas.map_or(self.field.as_str(), |(_, column)| column)
    }

    fn is_text(&self) -> bool {
        TEXTS.contains(&self.column()) || MORE_TEXTS.contains(&self.column())
    }

    fn check(&self) -> Result<()> {
        use Operator as O;
        let column = self.column();
        let is_number = column == "age" || FEATURES.iter().any(|feature| feature.name == column);
        if !is_number && !self.is_text() {
            let features = FEATURES.iter().map(|feature| feature.name);
            let known: Vec<&str> = TEXTS.into_iter().chain(["age"]).chain(features).collect();
            return Err(Error::input(format!(
                "there is no field {:?}; the fields are {}",
                self.field,
                known.join(", ")
            )));
        }
        let wrong = |what: &str| Err(Error::input(format!("the condition on {} needs {what}", self.field)));
        let Some(value) = &self.value else {
            return match self.operator {
                O::IsNull | O::IsNotNull => Ok(()),
                _ => wrong("a value"),
            };
        };
        match self.operator {
            O::IsNull | O::IsNotNull => wrong("no value"),
            O::Between | O::NotBetween if value.list().len() != 2 => wrong("a list of two values"),
            O::Less | O::LessOrEqual | O::Greater | O::GreaterOrEqual | O::Between | O::NotBetween
                if self.is_text() || value.list().iter().any(|value| value.number().is_none()) =>
            {
                wrong("a field and values that are numbers")
            }
            O::BeginsWith
            | O::NotBeginsWith
            | O::Contains
            | O::NotContains
            | O::EndsWith
            | O::NotEndsWith
                if is_number =>
            {
                wrong("a field of text")
            }
            O::Equal | O::NotEqual | O::In | O::NotIn
                if is_number && value.list().iter().any(|value| value.number().is_none()) =>
            {
                wrong("values that are numbers")
            }
            _ => Ok(()),
        }
    }

    /// Of which rows it holds. A value that is not known fulfils `is_null` alone.
    fn holds(&self, rows: &RecordBatch) -> Result<Vec<bool>> {
        let column = rows.column_by_name(self.column());
        let column =
            column.ok_or_else(|| Error::internal(format!("trips have no column {}", self.column())))?;
        if self.is_text() {
            let column = cast(column, &DataType::Utf8)?;
            let column = column.as_string::<i32>();
            return Ok(column.iter().map(|text| self.holds_of_text(text)).collect());
        }
        let column = cast(column, &DataType::Float64)?;
        let column = column.as_primitive::<Float64Type>();
        let number =
            |row: usize| (column.is_valid(row) && !column.value(row).is_nan()).then(|| column.value(row));
        Ok((0..column.len()).map(|row| self.holds_of_number(number(row))).collect())
    }

    fn holds_of_text(&self, text: Option<&str>) -> bool {
        use Operator as O;
        let Some(text) = text.filter(|text| !text.is_empty()) else { return self.operator == O::IsNull };
        let text = text.trim().to_uppercase();
        let value = self.value.as_ref();
        let any = |holds: fn(&str, &str) -> bool| {
            value.is_some_and(|value| value.list().iter().any(|value| holds(&text, &value.text())))
        };
        match self.operator {
            O::Equal | O::In => any(|text, value| text == value),
            O::NotEqual | O::NotIn => !any(|text, value| text == value),
            O::BeginsWith => any(|text, value| text.starts_with(value)),
            O::NotBeginsWith => !any(|text, value| text.starts_with(value)),
            O::Contains => any(|text, value| text.contains(value)),
            O::NotContains => !any(|text, value| text.contains(value)),
            O::EndsWith => any(|text, value| text.ends_with(value)),
            O::NotEndsWith => !any(|text, value| text.ends_with(value)),
            O::IsNotNull => true,
            _ => false,
        }
    }

    fn holds_of_number(&self, number: Option<f64>) -> bool {
        use Operator as O;
        let Some(number) = number else { return self.operator == O::IsNull };
        let values: Vec<f64> = self.value.iter().flat_map(Value::list).filter_map(Value::number).collect();
        let (first, second) = (values.first().copied(), values.get(1).copied());
        let compared = |holds: fn(f64, f64) -> bool| first.is_some_and(|first| holds(number, first));
        let is_between = first.zip(second).is_some_and(|(first, second)| (first..=second).contains(&number));
        match self.operator {
            O::Equal | O::In => values.contains(&number),
            O::NotEqual | O::NotIn => !values.contains(&number),
            O::Less => compared(|number, value| number < value),
            O::LessOrEqual => compared(|number, value| number <= value),
            O::Greater => compared(|number, value| number > value),
            O::GreaterOrEqual => compared(|number, value| number >= value),
            O::Between => is_between,
            O::NotBetween => !is_between,
            O::IsNotNull => true,
            _ => false,
        }
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        use Operator as O;
        let column = self.column();
        let feature = FEATURES.iter().find(|feature| feature.name == column);
        let name = feature.map_or_else(|| column.replace('_', " "), |feature| feature.words.to_owned());
        let word = |value: &Value| match (feature, value.number()) {
            (Some(feature), Some(number)) => value_words(feature.unit, number as f32),
            (None, Some(number)) if !self.is_text() => format!("{number}"),
            _ => match value {
                Value::Text(text) => text.clone(),
                other => other.text(),
            },
        };
        let values: Vec<String> = self.value.iter().flat_map(Value::list).map(word).collect();
        let list = values.join(", ");
        match self.operator {
            O::Equal => format!("{name}: {list}"),
            O::NotEqual => format!("{name}: not {list}"),
            O::In => format!("{name}: one of {list}"),
            O::NotIn => format!("{name}: none of {list}"),
            O::BeginsWith => format!("{name} begins with {list}"),
            O::NotBeginsWith => format!("{name} does not begin with {list}"),
            O::Contains => format!("{name} contains {list}"),
            O::NotContains => format!("{name} does not contain {list}"),
            O::EndsWith => format!("{name} ends with {list}"),
            O::NotEndsWith => format!("{name} does not end with {list}"),
            O::Less => format!("{name}: below {list}"),
            O::LessOrEqual => format!("{name}: at most {list}"),
            O::Greater => format!("{name}: above {list}"),
            O::GreaterOrEqual => format!("{name}: at least {list}"),
            O::Between => format!("{name}: from {}", values.join(" to ")),
            O::NotBetween => format!("{name}: not from {}", values.join(" to ")),
            O::IsNull => format!("{name}: not known"),
            O::IsNotNull => format!("{name}: known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float32Array, StringArray};

    use super::*;

    const FILE: &str = r#"
[[rule]]
name = "late and cash"
when = [
    { field = "Pnr.daysBookedBeforeTravel", operator = "less_or_equal", value = 2 },
    { field = "payment_form", operator = "in", value = ["ca", "MS"] },
]

[[rule]]
name = "unknown origin"
when = [{ field = "origin", operator = "is_null" }]
"#;

    fn rows() -> RecordBatch {
        let days: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, f32::NAN]));
        let forms: ArrayRef = Arc::new(StringArray::from(vec![Some("CA"), Some("CC"), Some("CA"), None]));
        let origins: ArrayRef = Arc::new(StringArray::from(vec![Some("ICN"), None, Some(""), Some("LHR")]));
        let columns = [("days_booked_before", days), ("payment_form", forms), ("origin", origins)];
        RecordBatch::try_from_iter(columns).expect("a batch")
    }

    #[test]
    fn rules_are_read_and_hold_of_rows() {
        let rules = Rules::read(FILE).expect("reads");
        assert_eq!(rules.rules[0].holds(&rows()).expect("columns"), [true, false, false, false]);
        assert_eq!(rules.rules[1].holds(&rows()).expect("columns"), [false, true, true, false]);
        assert_eq!(
            rules.rules[0].words(),
            "booked before the flight: at most 2 days and payment form: one of ca, MS"
        );
        assert_eq!(Rules::read(&rules.to_text().expect("writes")).expect("reads"), rules);
    }

    #[test]
    fn operators_are_those_of_a_hand() {
        let holds = |operator: Operator, value: Option<Value>| {
            let condition = Condition { field: "days_booked_before".to_owned(), operator, value };
            condition.check().expect("fits");
            condition.holds(&rows()).expect("columns")
        };
        let number = |number: f64| Some(Value::Number(number));
        let pair = Some(Value::List(vec![Value::Number(2.0), Value::Number(9.0)]));
        assert_eq!(holds(Operator::Greater, number(1.0)), [false, true, true, false]);
        assert_eq!(holds(Operator::NotEqual, number(1.0)), [false, true, true, false]);
        assert_eq!(holds(Operator::Between, pair.clone()), [false, true, true, false]);
        assert_eq!(holds(Operator::NotBetween, pair), [true, false, false, false]);
        assert_eq!(holds(Operator::IsNull, None), [false, false, false, true]);
        let text = |operator: Operator, value: &str| {
            let value = Some(Value::Text(value.to_owned()));
            Condition { field: "origin".to_owned(), operator, value }.holds(&rows()).expect("columns")
        };
        assert_eq!(text(Operator::BeginsWith, "ic"), [true, false, false, false]);
        assert_eq!(text(Operator::NotContains, "H"), [true, false, false, false]);
        assert_eq!(text(Operator::EndsWith, "r"), [false, false, false, true]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_reason() {
        let error = |condition: &str| {
            let text = format!("[[rule]]\nname = \"x\"\nwhen = [{condition}]");
            Rules::read(&text).expect_err("refused").chain()
        };
        for (condition, reason) in [
            (r#"{ field = "shoe", operator = "equal", value = 1 }"#, "there is no field"),
            (r#"{ field = "bags", operator = "contains", value = "x" }"#, "a field of text"),
            (r#"{ field = "origin", operator = "less", value = 1 }"#, "numbers"),
            (r#"{ field = "bags", operator = "between", value = 1 }"#, "a list of two"),
            (r#"{ field = "bags", operator = "equal" }"#, "needs a value"),
            (r#"{ field = "bags", operator = "is_null", value = 1 }"#, "no value"),
        ] {
            assert!(error(condition).contains(reason), "{condition}: {}", error(condition));
        }
        assert!(Rules::read("").is_err());
        let named = |name: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\nwhen = [{{ field = \"origin\", operator = \"is_null\" }}]\n"
            )
        };
        let twice = [named("a"), named("a")].concat();
        assert!(Rules::read(&named("a")).is_ok() && Rules::read(&twice).is_err());
        assert!(Rules::read(&named("a; b")).is_err() && Rules::read(&named(" ")).is_err());
    }
}
