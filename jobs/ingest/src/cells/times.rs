//! Times: a text with date, time and zone becomes microseconds since 1970-01-01 UTC and the offset of the clock.
//!
//! ISO 8601 is tried first (`2011-10-11T13:45:40.276+02:00`, a space for the `T`, fewer or no digits of the seconds,
//! `Z`, `+0200`, `+02`), then the formats of the mapping. A text without a zone is read in the zone of the mapping.
//! Where clocks are set back and a local time occurs twice, the earlier one is taken; a local time that clocks skip
//! when they are set forward is refused. Start at [`parse`].

use chrono::{
    DateTime, Datelike, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Timelike,
};
use chrono_tz::Tz;
use serde::Deserialize;

/// A time zone: by the rules of the IANA database, or a fixed offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Zone {
    /// A zone of the IANA database.
    Named(Tz),
    /// A fixed offset.
    Fixed(FixedOffset),
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some((offset, "")) = offset(&text) {
            return Ok(Self::Fixed(offset));
        }
        text.parse().map(Self::Named).map_err(|_| {
            format!("{text:?} is not a time zone; write an IANA name such as Europe/Paris, or +02:00")
        })
    }
}

/// A point in time, and the offset with which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    /// Since 1970-01-01 UTC.
    pub(super) microseconds: i64,
    /// The offset of the clock, in minutes east of UTC.
    pub(super) offset_minutes: i32,
}

/// A date and a time without a zone.
#[derive(Clone, Copy)]
struct Local {
    date: NaiveDate,
    /// The beginning of the date, in microseconds since 1970-01-01 as if the zone were UTC.
    midnight: i64,
    /// The time since the beginning of the date.
    nanoseconds: i64,
}

impl Local {
    fn of(local: NaiveDateTime) -> Self {
        let time = local.time();
        let nanoseconds =
            i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond());
        Self { date: local.date(), midnight: midnight(local.date()), nanoseconds }
    }

    fn date_and_time(&self) -> Option<NaiveDateTime> {
        self.date.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::nanoseconds(self.nanoseconds))
    }
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
}

/// The date that was read last, mostly that of the next time, too: its text, the date, and its beginning.
pub(super) type LastDate = Option<([u8; 10], NaiveDate, i64)>;

/// Reads a time; the error is the reason for the quarantine.
///
/// `formats` are in `strftime` notation, `zone` is that of texts without one, and `last` is passed from call to call:
/// it does not change the result.
pub(super) fn parse(
    text: &str,
    formats: &[String],
    zone: Option<Zone>,
    last: &mut LastDate,
) -> Result<Time, &'static str> {
    if let Some((local, rest)) = iso_local(text, last) {
        if rest.is_empty() {
            return in_zone(local, zone);
        }
        if let Some((offset, "")) = offset(rest) {
            return at(local, offset);
        }
    }
    for format in formats {
        if let Ok(time) = DateTime::parse_from_str(text, format) {
            return at(Local::of(time.naive_local()), *time.offset());
        }
        if let Ok(local) = NaiveDateTime::parse_from_str(text, format) {
            return in_zone(Local::of(local), zone);
        }
    }
    Err("not a date and time, nor one of the mapping's time formats")
}

/// A local time in the zone of the mapping.
fn in_zone(local: Local, zone: Option<Zone>) -> Result<Time, &'static str> {
    match zone {
        None => Err("a time without a zone; set time_zone in the mapping"),
        Some(Zone::Fixed(offset)) => at(local, offset),
        Some(Zone::Named(zone)) => {
            let offset = local.date_and_time().map(|local| zone.offset_from_local_datetime(&local));
            match offset {
                Some(LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _)) => {
                    at(local, offset.fix())
                }
                Some(LocalResult::None) | None => Err("a local time that the clocks skip"),
            }
        }
    }
}

/// A local time of a clock with this offset.
fn at(local: Local, offset: FixedOffset) -> Result<Time, &'static str> {
    if !(1900..=2200).contains(&local.date.year()) {
        return Err("date outside the years 1900 to 2200");
    }
    let seconds = offset.local_minus_utc();
    let microseconds = local.midnight + local.nanoseconds / 1000 - i64::from(seconds) * 1_000_000;
    Ok(Time { microseconds, offset_minutes: seconds.div_euclid(60) })
}

/// The date and time at the start of an ISO 8601 text, and what follows it.
fn iso_local<'a>(text: &'a str, last: &mut LastDate) -> Option<(Local, &'a str)> {
    let bytes = text.as_bytes();
    let is = |place: usize, marks: &[u8]| bytes.get(place).is_some_and(|byte| marks.contains(byte));
    let two = |place: usize| two_digits(bytes.get(place..)?);
    let written = bytes.first_chunk::<10>()?;
    let (date, midnight) = match last {
        Some((known, date, midnight)) if known == written => (*date, *midnight),
        _ => {
            if !is(4, b"-") || !is(7, b"-") {
                return None;
            }
            let year = i32::try_from(two(0)? * 100 + two(2)?).ok()?;
            let date = NaiveDate::from_ymd_opt(year, two(5)?, two(8)?)?;
            let (_, date, midnight) = last.insert((*written, date, midnight(date)));
            (*date, *midnight)
        }
    };
    if !is(10, b"T ") || !is(13, b":") {
        return None;
    }
    let (hour, minute) = (two(11)?, two(14)?);
    let (mut second, mut nanosecond, mut end) = (0, 0, 16);
    if is(16, b":") {
        (second, end) = (two(17)?, 19);
        if is(19, b".") {
            let digits = bytes.get(20..)?.iter().take_while(|byte| byte.is_ascii_digit());
            // Digits beyond nanoseconds are dropped.
            let mut unit = 1_000_000_000;
            for digit in digits.clone().take(9) {
                unit /= 10;
                nanosecond += i64::from(digit - b'0') * unit;
            }
            end = 20 + Some(digits.count()).filter(|count| *count > 0)?;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanoseconds = i64::from(hour * 3600 + minute * 60 + second) * 1_000_000_000 + nanosecond;
    Some((Local { date, midnight, nanoseconds }, text.get(end..)?.trim_start()))
}

/// The number that the first two bytes write in digits.
fn two_digits(bytes: &[u8]) -> Option<u32> {
    let [tens, ones, ..] = bytes else { return None };
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// The offset at the start of a text (`Z`, `+02`, `+0200`, `+02:00`), and what follows it.
fn offset(text: &str) -> Option<(FixedOffset, &str)> {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return Some((FixedOffset::east_opt(0)?, rest));
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let two = |text: &str| i32::try_from(two_digits(text.as_bytes())?).ok();
    let hours = two(text.get(1..)?)?;
    let rest = text.get(3..)?;
    let after = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = match two(after) {
        Some(minutes) if minutes < 60 => (minutes, after.get(2..)?),
        _ => (0, rest),
    };
    Some((FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Without a date before it.
    fn parse(text: &str, formats: &[String], zone: Option<Zone>) -> Result<Time, &'static str> {
        super::parse(text, formats, zone, &mut None)
    }

    fn zone(name: &str) -> Option<Zone> {
        Some(Zone::try_from(name.to_owned()).expect("a zone"))
    }

    #[test]
    fn all_forms_of_iso_8601_give_the_same_time() {
        for text in [
            "2011-10-11T13:45:40.276+02:00",
            "2011-10-11 13:45:40.276000+02:00",
            "2011-10-11T11:45:40.276Z",
            "2011-10-11T13:45:40.2760000001 +0200",
            "2011-10-11T13:45:40.276+02",
            "2011-10-11T06:45:40.276-05:00",
        ] {
            let time = parse(text, &[], None).expect(text);
            assert_eq!(time.microseconds, 1_318_333_540_276_000, "{text}");
        }
        let minutes = parse("2011-10-11 06:45-03:30", &[], None).expect("parses");
        assert_eq!(minutes, Time { microseconds: 1_318_328_100_000_000, offset_minutes: -210 });
    }

    #[test]
    fn local_times_follow_their_zone_over_daylight_saving() {
        let paris = zone("Europe/Paris");
        let offset = |text: &str| parse(text, &[], paris).map(|time| time.offset_minutes);
        assert_eq!(offset("2024-01-15 12:00"), Ok(60));
        assert_eq!(offset("2024-07-15 12:00"), Ok(120));
        // Clocks go from 02:00 to 03:00 on 31 March, and from 03:00 to 02:00 on 27 October.
        assert_eq!(offset("2024-03-31 02:30"), Err("a local time that the clocks skip"));
        assert_eq!(offset("2024-10-27 02:30"), Ok(120), "the earlier of the two");
        assert!(parse("2024-01-15 12:00", &[], None).is_err_and(|rule| rule.contains("time_zone")));
        assert_eq!(parse("2024-01-15 12:00", &[], zone("+09:00")).map(|time| time.offset_minutes), Ok(540));
    }

    #[test]
    fn other_formats_are_the_mappings() {
        let formats = ["%d/%m/%Y %H:%M".to_owned(), "%d.%m.%Y %H:%M:%S %z".to_owned()];
        let utc = zone("UTC");
        let iso = parse("2024-12-31 23:59", &[], utc).expect("parses");
        assert_eq!(parse("31/12/2024 23:59", &formats, utc), Ok(iso));
        assert_eq!(
            parse("01.01.2025 00:59:00 +0100", &formats, None).map(|time| time.microseconds),
            Ok(iso.microseconds)
        );
        for text in [
            "",
            "yesterday",
            "2024-13-01 00:00Z",
            "2024-01-01",
            "2024-01-01T25:00Z",
            "2024-01-01T10:00+99:00",
        ] {
            assert!(parse(text, &formats, utc).is_err(), "{text}");
        }
        assert!(Zone::try_from("Mars/Base".to_owned()).is_err());
    }

    proptest! {
        #[test]
        fn a_time_is_read_back_from_its_text_in_any_zone(
            seconds in -2_000_000_000_i64..7_000_000_000, minutes in -720_i32..=840,
        ) {
            let offset = FixedOffset::east_opt(minutes * 60).expect("an offset");
            let time = DateTime::from_timestamp(seconds, 250_000_000).expect("a time").with_timezone(&offset);
            let found = parse(&time.to_rfc3339(), &[], None).expect("parses");
            prop_assert_eq!(found, Time { microseconds: seconds * 1_000_000 + 250_000, offset_minutes: minutes });
        }

        #[test]
        fn the_date_before_does_not_matter(
            texts in prop::collection::vec("20(24|25)-0[1-3]-(0[1-3]|31)[T ]1[0-2]:30(:[0-6][0-9](\\.[0-9]{1,3})?)?Z?", 1..20),
        ) {
            let mut last = None;
            for text in texts {
                let found = super::parse(&text, &[], zone("Europe/Paris"), &mut last);
                prop_assert_eq!(found, parse(&text, &[], zone("Europe/Paris")), "{}", text);
            }
        }

        #[test]
        fn no_text_panics(text in "[-+0-9T:.Zé ]{0,40}") {
            let _ = parse(&text, &["%d/%m/%Y %H:%M".to_owned()], zone("Europe/Paris"));
        }
    }
}
