//! Days as the tables hold them, and as dates.

use chrono::NaiveDate;
use datafusion::common::ScalarValue;

/// The date of a number of days since 1970-01-01.
pub(crate) fn date_of(day: i32) -> NaiveDate {
    day.checked_add(719_163).and_then(NaiveDate::from_num_days_from_ce_opt).unwrap_or_default()
}

/// A date as a constant of a query.
pub(crate) fn date_literal(date: NaiveDate) -> ScalarValue {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    ScalarValue::Date32(i32::try_from(days).ok())
}
