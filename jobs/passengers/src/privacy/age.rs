//! Ages by the calendar as a user writes them: `6m` months, `5y` years, `30d` days. Start at [`cutoff`].

use chrono::{DateTime, Days, Months, NaiveDate};
use tidewaiter_core::{Error, Result};

/// The day before which something is older than an age, at a time in milliseconds since 1970-01-01 UTC.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a text of another form.
pub(crate) fn cutoff(age: &str, now_ms: i64) -> Result<NaiveDate> {
    let wrong = || {
        Error::input(format!("{age:?} is no age; write a number and y, m (months) or d, such as 6m or 5y"))
    };
    let today = DateTime::from_timestamp_millis(now_ms).ok_or_else(wrong)?.date_naive();
    let text = age.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u32 = digits.parse().map_err(|_| wrong())?;
    let day = match &text[digits.len()..] {
        "y" => number.checked_mul(12).and_then(|months| today.checked_sub_months(Months::new(months))),
        "m" => today.checked_sub_months(Months::new(number)),
        "d" => today.checked_sub_days(Days::new(u64::from(number))),
        _ => None,
    };
    day.ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_of_the_calendar() {
        // 2023-11-14.
        let now = 1_700_000_000_000;
        for (age, day) in
            [("6m", "2023-05-14"), ("5y", "2018-11-14"), ("10d", "2023-11-04"), ("0d", "2023-11-14")]
        {
            assert_eq!(cutoff(age, now).expect("an age").to_string(), day);
        }
        for age in ["", "6", "m", "-1m", "1.5y", "6w", "99999999999y", "999999999y"] {
            assert!(cutoff(age, now).is_err(), "{age}");
        }
    }
}
