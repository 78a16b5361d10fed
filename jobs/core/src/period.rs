//! Periods of whole months, as users write them: `2020-01..2020-12`, both ends included.
//!
//! A [`Period`] reads and writes that form; [`Periods`] are the three of a retrain, which follow each other.

use std::{fmt, str::FromStr};

use chrono::{Datelike, Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One or more whole months, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    first: NaiveDate,
    last: NaiveDate,
}

fn month_number(day: NaiveDate) -> i32 {
    12 * day.year() + day.month0() as i32
}

impl Period {
    /// The first day.
    pub fn first(&self) -> NaiveDate {
        self.first
    }

    /// The last day.
    pub fn last(&self) -> NaiveDate {
        self.last
    }

    /// The first and last day as days since 1970-01-01, as Arrow's dates are.
    pub fn days(&self) -> std::ops::RangeInclusive<i32> {
        let day = |date: NaiveDate| {
            let days = date.signed_duration_since(NaiveDate::default()).num_days();
            i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX })
        };
        day(self.first)..=day(self.last)
    }

    /// Year and month of the first day.
    pub fn first_month(&self) -> (i32, u32) {
        (self.first.year(), self.first.month())
    }

    /// The last month, counted from year 0: 12 × year + month - 1.
    pub fn last_month_number(&self) -> i32 {
        month_number(self.last)
    }

    /// How many months it has.
    pub fn months(&self) -> u32 {
        (month_number(self.last) - month_number(self.first) + 1).unsigned_abs()
    }

    /// Splits off the last `months`: the months before them, and they; `None` unless both parts have months.
    pub fn split_last(&self, months: u32) -> Option<(Self, Self)> {
        let before = self.months().checked_sub(months).filter(|before| *before > 0 && months > 0)?;
        let boundary = self.first.checked_add_months(Months::new(before))?;
        let last = boundary.pred_opt()?;
        Some((Self { first: self.first, last }, Self { first: boundary, last: self.last }))
    }

    /// Whether the whole of this period lies before another begins.
    pub fn is_before(&self, other: &Self) -> bool {
        self.last < other.first
    }
}

/// The periods of a retrain, which follow each other in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Training months.
    pub train: Period,
    /// Validation months: they choose hyper-parameters, stop the training or set weights.
    pub valid: Period,
    /// Test months, by which the model is evaluated.
    pub test: Period,
}

impl Periods {
    /// The three periods; without `valid`, the validation months are the last tenth of `train`, rounded up.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when they do not follow each other, or when `train` is one month and is to be split.
    pub fn new(train: Period, valid: Option<Period>, test: Period) -> Result<Self> {
        let is_split = valid.is_none();
        let (train, valid) = match valid {
            Some(valid) => (train, valid),
            None => train.split_last(train.months().div_ceil(10)).ok_or_else(|| {
                Error::input(format!("the training period {train} is one month; give --valid months"))
            })?,
        };
        if !(train.is_before(&valid) && valid.is_before(&test)) {
            let split =
                if is_split { " (the last tenth of the training months: --valid names others)" } else { "" };
            return Err(Error::input(format!(
                "training {train}, validation {valid}{split} and test {test} must follow each other in time"
            )));
        }
        Ok(Self { train, valid, test })
    }
}

impl FromStr for Period {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::input(format!(
                "the period {text:?} {why}; write it as 2020-01..2020-12, both ends included"
            ))
        };
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let month = |part: &str| {
            NaiveDate::parse_from_str(&format!("{}-01", part.trim()), "%Y-%m-%d")
                .map_err(|_| wrong(&format!("has no month in {part:?}")))
        };
        let (first, last) = (month(first)?, month(last)?);
        let last = last
            .checked_add_months(Months::new(1))
            .and_then(|next| next.checked_sub_days(Days::new(1)))
            .ok_or_else(|| wrong("lies outside the calendar"))?;
        if last < first {
            return Err(wrong("ends before it begins"));
        }
        Ok(Self { first, last })
    }
}

impl TryFrom<String> for Period {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first.format("%Y-%m"), self.last.format("%Y-%m"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_included() {
        let period: Period = "2020-01..2020-02".parse().expect("a period");
        assert_eq!(
            (period.first().to_string(), period.last().to_string()),
            ("2020-01-01".into(), "2020-02-29".into())
        );
        assert_eq!(period.days(), 18262..=18321);
        assert_eq!(period.to_string(), "2020-01..2020-02");
        assert!(period.is_before(&"2020-03".parse().expect("a period")));
    }

    #[test]
    fn a_text_that_is_no_period_is_an_input_error() {
        for text in ["", "2020", "2020-13", "2020-02..2020-01", "x..y", "262142-12"] {
            let error = text.parse::<Period>().expect_err(text);
            assert_eq!(error.kind(), crate::ErrorKind::Input, "{text}");
        }
    }

    #[test]
    fn without_validation_months_the_last_tenth_of_the_training_months_is_taken() {
        let period = |text: &str| text.parse::<Period>().expect("a period");
        let test = period("2022-01..2022-03");
        let periods = Periods::new(period("2020-01..2021-12"), None, test).expect("splits");
        assert_eq!(
            (periods.train.to_string(), periods.valid.to_string()),
            ("2020-01..2021-09".into(), "2021-10..2021-12".into())
        );
        assert!(Periods::new(period("2020-01"), None, test).is_err());
        assert!(Periods::new(period("2020-01..2021-12"), Some(period("2021-12")), test).is_err());
        let late = Periods::new(period("2020-01..2022-06"), None, test).expect_err("overlaps").to_string();
        assert!(late.contains("2022-06 (the last tenth of the training months"), "{late}");
    }
}
