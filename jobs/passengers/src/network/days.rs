//! Days since 1970-01-01 as text and for documents.

use chrono::{Days, NaiveDate};

/// A day; `None` for one that is not known (the largest and the smallest number).
#[must_use]
pub fn known(number: i32) -> Option<i32> {
    (number != i32::MAX && number != i32::MIN).then_some(number)
}

/// A day as text, `2020-01-31`; `None` for one that is not known.
#[must_use]
pub fn text(number: i32) -> Option<String> {
    let (epoch, days) = (NaiveDate::default(), Days::new(u64::from(known(number)?.unsigned_abs())));
    let date = if number < 0 { epoch.checked_sub_days(days) } else { epoch.checked_add_days(days) };
    date.map(|date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_dates() {
        assert_eq!(
            [0, -1, 18_262].map(text),
            ["1970-01-01", "1969-12-31", "2020-01-01"].map(|day| Some(day.to_owned()))
        );
        assert_eq!((text(i32::MAX), text(i32::MIN)), (None, None));
    }
}
