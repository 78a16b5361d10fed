//! What both messages write alike.

use chrono::{NaiveDate, NaiveTime};

use crate::records::{Moment, Sex};

/// A day as DDMMYY.
pub(super) fn day_first(day: NaiveDate) -> String {
    day.format("%d%m%y").to_string()
}

/// A time as HHMM.
pub(super) fn clock(time: Option<NaiveTime>) -> String {
    time.map_or(String::new(), |time| time.format("%H%M").to_string())
}

/// Day and time of PNRGOV; both empty if nothing is known.
pub(super) fn day_and_clock(moment: Option<Moment>) -> (String, String) {
    moment.map_or_else(Default::default, |moment| (day_first(moment.day), clock(moment.time)))
}

/// Day and time of PAXLST with the code of their format: YYMMDDHHMM (201) or YYMMDD (101).
pub(super) fn year_first(moment: Moment) -> (String, &'static str) {
    let day = crate::dates::six_digits(moment.day);
    match moment.time {
        Some(_) => (day + &clock(moment.time), "201"),
        None => (day, "101"),
    }
}

/// The code of a sex.
pub(super) fn sex(sex: Option<Sex>, is_infant: bool) -> &'static str {
    match (sex, is_infant) {
        (None, _) => "",
        (Some(Sex::Male), false) => "M",
        (Some(Sex::Male), true) => "MI",
        (Some(Sex::Female), false) => "F",
        (Some(Sex::Female), true) => "FI",
        (Some(Sex::Other), false) => "U",
        (Some(Sex::Other), true) => "UI",
    }
}

/// An e-mail address as it is keyed: `//` for `@`, `..` for `_`, `./` for `-`.
pub(super) fn keyed_email(address: &str) -> String {
    address.replace('@', "//").replace('_', "..").replace('-', "./").to_uppercase()
}

/// Text without the slash that parts the fields of a special service request.
pub(super) fn slashless(text: &str) -> String {
    text.replace('/', " ")
}
