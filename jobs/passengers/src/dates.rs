//! Dates and times as messages write them, and the century that two digits leave open.
//!
//! Each rule for the century takes the day on which the message was prepared, and is the same for the same message at
//! any later day.

use chrono::{Datelike, Days, NaiveDate, NaiveTime};

/// A day, with the time of day where it is known. Times of flights are local times of their airports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// The day.
    pub day: NaiveDate,
    /// The time of day, to the minute.
    pub time: Option<NaiveTime>,
}

/// What decides the century of a year of two digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Century {
    /// The year nearest to the message's: flights, bookings, expiry of documents.
    Nearest,
    /// A birth: the latest date that is not after the message.
    Birth,
    /// The birth of somebody who is at least twelve: the latest date twelve years before the message.
    AdultBirth,
}

/// The age from which airlines count a traveller as an adult, in years.
const ADULT: i32 = 12;

/// The day of a year of two digits.
fn with_century(two: i32, month: u32, day: u32, prepared: NaiveDate, century: Century) -> Option<NaiveDate> {
    let base = prepared.year() - prepared.year().rem_euclid(100) + two;
    let of = |year: i32| NaiveDate::from_ymd_opt(year, month, day);
    let latest = match century {
        Century::Nearest => {
            let nearest =
                [base - 100, base, base + 100].into_iter().min_by_key(|year| (year - prepared.year()).abs());
            return nearest.and_then(of);
        }
        // A passenger list can be prepared a day before the flight by another clock.
        Century::Birth => prepared.checked_add_days(Days::new(1))?,
        Century::AdultBirth => years_before(prepared, ADULT)?,
    };
    [base, base - 100].into_iter().filter_map(of).find(|day| *day <= latest)
}

fn years_before(day: NaiveDate, years: i32) -> Option<NaiveDate> {
    let year = day.year() - years;
    NaiveDate::from_ymd_opt(year, day.month(), day.day())
        .or_else(|| NaiveDate::from_ymd_opt(year, day.month(), 28))
}

/// Whether a birth of two digits could as well be a hundred years earlier: the age would be at most 105.
#[must_use]
pub fn is_ambiguous_birth(birth: NaiveDate, prepared: NaiveDate) -> bool {
    prepared.year() - (birth.year() - 100) <= 105
}

fn digits(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A day as YYMMDD or CCYYMMDD.
#[must_use]
pub fn year_first(text: &str, prepared: NaiveDate, century: Century) -> Option<NaiveDate> {
    let number = digits(text)?;
    let (month, day) = (number / 100 % 100, number % 100);
    match text.len() {
        6 => with_century(i32::try_from(number / 10_000).ok()?, month, day, prepared, century),
        8 => NaiveDate::from_ymd_opt(i32::try_from(number / 10_000).ok()?, month, day),
        _ => None,
    }
}

/// A day as DDMMYY or DDMMCCYY.
#[must_use]
pub fn day_first(text: &str, prepared: NaiveDate, century: Century) -> Option<NaiveDate> {
    let number = digits(text)?;
    match text.len() {
        6 => {
            let year = i32::try_from(number % 100).ok()?;
            with_century(year, number / 100 % 100, number / 10_000, prepared, century)
        }
        8 => {
            let year = i32::try_from(number % 10_000).ok()?;
            NaiveDate::from_ymd_opt(year, number / 10_000 % 100, number / 1_000_000)
        }
        _ => None,
    }
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// A day with its month as a word: 12JUL64 or 12JUL1964.
#[must_use]
pub fn month_named(text: &str, prepared: NaiveDate, century: Century) -> Option<NaiveDate> {
    let day = digits(text.get(..2)?)?;
    let name = text.get(2..5)?;
    let place = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    let month = u32::try_from(place).ok()? + 1;
    let year = text.get(5..)?;
    let number = i32::try_from(digits(year)?).ok()?;
    match year.len() {
        2 => with_century(number, month, day, prepared, century),
        4 => NaiveDate::from_ymd_opt(number, month, day),
        _ => None,
    }
}

/// A time as HHMM, or as HHMMSS of which the seconds are left out.
#[must_use]
pub fn time(text: &str) -> Option<NaiveTime> {
    let number = digits(text)?;
    match text.len() {
        4 => NaiveTime::from_hms_opt(number / 100, number % 100, 0),
        6 => NaiveTime::from_hms_opt(number / 10_000, number / 100 % 100, 0),
        _ => None,
    }
}

/// A day and time as YYMMDDHHMM or CCYYMMDDHHMM, or a day alone.
#[must_use]
pub fn year_first_moment(text: &str, prepared: NaiveDate, century: Century) -> Option<Moment> {
    let at = match text.len() {
        10 => 6,
        12 | 14 => 8,
        _ => return Some(Moment { day: year_first(text, prepared, century)?, time: None }),
    };
    let (day, clock) = (text.get(..at)?, text.get(at..at + 4)?);
    Some(Moment { day: year_first(day, prepared, century)?, time: Some(time(clock)?) })
}

/// A day of the writer's messages: YYMMDD.
#[must_use]
pub fn six_digits(day: NaiveDate) -> String {
    day.format("%y%m%d").to_string()
}

/// A day as SSR DOCS has it: 12JUL64.
#[must_use]
pub fn named(day: NaiveDate) -> String {
    let month = MONTHS[(day.month0() as usize).min(11)];
    format!("{:02}{month}{:02}", day.day(), day.year().rem_euclid(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn two_digits_of_a_birth_are_the_latest_year_before_the_message() {
        let prepared = day(2014, 2, 11);
        let birth = |text: &str| year_first(text, prepared, Century::Birth).unwrap().year();
        assert_eq!(
            (birth("541016"), birth("140210"), birth("140311"), birth("000520")),
            (1954, 2014, 1914, 2000)
        );
        assert!(is_ambiguous_birth(day(2012, 9, 20), day(2013, 5, 27)));
        assert!(!is_ambiguous_birth(day(1954, 10, 16), prepared));
        // An adult of 2010 was not born in 2009.
        let adult = month_named("12JUL09", day(2010, 12, 9), Century::AdultBirth);
        assert_eq!(adult, Some(day(1909, 7, 12)));
        assert_eq!(month_named("12JUL1964", prepared, Century::Birth), Some(day(1964, 7, 12)));
    }

    #[test]
    fn other_years_are_the_nearest() {
        let prepared = day(2014, 2, 1);
        assert_eq!(year_first("610218", prepared, Century::Nearest), Some(day(2061, 2, 18)));
        assert_eq!(year_first("991231", day(2001, 1, 1), Century::Nearest), Some(day(1999, 12, 31)));
        assert_eq!(day_first("121210", day(2010, 12, 9), Century::Nearest), Some(day(2010, 12, 12)));
    }

    #[test]
    fn dates_that_do_not_exist_are_none() {
        let prepared = day(2014, 2, 1);
        assert_eq!(year_first("140230", prepared, Century::Nearest), None);
        assert_eq!(year_first("1402", prepared, Century::Nearest), None);
        assert_eq!(day_first("Ü1402", prepared, Century::Nearest), None);
        assert_eq!(month_named("1ÜL64XX", prepared, Century::Birth), None);
        assert_eq!((time("4321"), time("0750").is_some(), time("181348").is_some()), (None, true, true));
        assert_eq!(
            year_first_moment("1701271725", day(2017, 1, 27), Century::Nearest).unwrap().day,
            day(2017, 1, 27)
        );
    }

    #[test]
    fn days_are_written_as_they_are_read() {
        let birth = day(1964, 7, 12);
        assert_eq!((six_digits(birth), named(birth)), ("640712".to_owned(), "12JUL64".to_owned()));
        assert_eq!(month_named(&named(birth), day(2014, 1, 1), Century::Birth), Some(birth));
    }
}
