//! Working hours: for how much of a time an office was open.
//!
//! Opening hours are local: a day of 08:00 to 17:00 has nine hours on every day of the year, and a night
//! shift over a change to or from daylight saving time is as long as it really was. Promises: working hours
//! are additive, never more than the elapsed ones, and equal to them where the office never closes. Each
//! office's hours are computed once as intervals in UTC and found by their day, so that a time costs two
//! look-ups. Start at [`Calendar`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{
    DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Weekday,
};
use chrono_tz::Tz;
use serde::Deserialize;
use tidewaiter_core::{Error, Result};

/// Microseconds of an hour.
pub const HOUR: f64 = 3.6e9;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The opening hours of an office.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningHours {
    /// Its time zone, an IANA name.
    pub time_zone: String,
    /// The hours of each weekday, by its English name, as `08:00-17:00`; on a day that is not named it is
    /// closed.
    #[serde(default)]
    pub hours: BTreeMap<String, Vec<String>>,
    /// Days on which it is closed.
    #[serde(default)]
    pub holidays: BTreeSet<NaiveDate>,
}

/// Opening and closing, in minutes from midnight.
type Shift = (u32, u32);

impl OpeningHours {
    /// Checks the zone, the days and the hours.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`], naming the one that is wrong.
    pub fn check(&self) -> Result<()> {
        self.week().map(|_| ())
    }

    /// A time of the office's clock, RFC 3339 with its offset; `None` for a zone or a time that there is not.
    pub fn local(&self, microseconds: i64) -> Option<String> {
        let zone: Tz = self.time_zone.parse().ok()?;
        let time = DateTime::from_timestamp_micros(microseconds)?.with_timezone(&zone);
        Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// When a day (since 1970-01-01) begins by the office's clock, microseconds since 1970 UTC; `None` for a zone or a day
    /// that there is not.
    pub fn begin_of(&self, day: i64) -> Option<i64> {
        let zone: Tz = self.time_zone.parse().ok()?;
        let date = NaiveDate::default().checked_add_signed(TimeDelta::try_days(day)?)?;
        Some(instant(zone, date, 0))
    }

    /// The same hours with the last shift of each day two hours longer, to midnight at most.
    #[must_use]
    pub fn longer(&self) -> Self {
        let mut longer = self.clone();
        for shifts in longer.hours.values_mut() {
            let last =
                shifts.iter_mut().filter_map(|text| Some((parse_shift(text)?, text))).max_by_key(|(s, _)| *s);
            if let Some(((open, close), text)) = last {
                let close = (close + 120).min(24 * 60);
                *text = format!("{:02}:{:02}-{:02}:{:02}", open / 60, open % 60, close / 60, close % 60);
            }
        }
        longer
    }

    /// The zone, and the shifts of each weekday from Monday.
    fn week(&self) -> Result<(Tz, [Vec<Shift>; 7])> {
        let zone = self.time_zone.parse().map_err(|_| {
            Error::input(format!(
                "{:?} is not a time zone; write an IANA name such as Europe/Paris",
                self.time_zone
            ))
        })?;
        let mut week: [Vec<Shift>; 7] = Default::default();
        for (day, shifts) in &self.hours {
            let weekday: Weekday =
                day.parse().map_err(|_| Error::input(format!("{day:?} is not a weekday, such as monday")))?;
            let of_day = &mut week[weekday.num_days_from_monday() as usize];
            for text in shifts {
                let shift = parse_shift(text).ok_or_else(|| {
                    Error::input(format!("{day}: {text:?} are not hours; write them as 09:00-17:00"))
                })?;
                of_day.push(shift);
            }
            of_day.sort_unstable();
            if of_day.windows(2).any(|pair| pair[1].0 < pair[0].1) {
                return Err(Error::input(format!("{day}: hours overlap")));
            }
        }
        Ok((zone, week))
    }
}

fn parse_shift(text: &str) -> Option<Shift> {
    let minutes = |text: &str| {
        let (hours, minutes) = text.trim().split_once(':')?;
        let two = |part: &str| (part.len() == 2).then(|| part.parse::<u32>().ok()).flatten();
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        let total = hours * 60 + minutes;
        (minutes < 60 && total <= 24 * 60).then_some(total)
    };
    let (open, close) = text.split_once('-')?;
    let (open, close) = (minutes(open)?, minutes(close)?);
    (open < close).then_some((open, close))
}

/// The open intervals of an office over some years.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    /// The first opening, microseconds since 1970 UTC.
    first: i64,
    /// For each day of 24 hours from the first opening, how many intervals have begun when it begins.
    days: Vec<usize>,
    /// Opening and closing, microseconds since 1970 UTC, and the open time before; rising, without overlaps.
    intervals: Vec<(i64, i64, i64)>,
}

impl Calendar {
    /// The calendar from two days before `first` to two days after `last`, both in microseconds since 1970 UTC.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] as [`OpeningHours::check`].
    pub fn new(hours: &OpeningHours, first: i64, last: i64) -> Result<Self> {
        let (zone, week) = hours.week()?;
        let day = |time: i64| DateTime::from_timestamp_micros(time).map(|time| time.date_naive());
        let (Some(first), Some(last)) = (day(first), day(last)) else {
            return Err(Error::input("the times of a study lie outside the calendar"));
        };
        let mut intervals: Vec<(i64, i64, i64)> = Vec::new();
        let mut before = 0;
        let (mut date, end) = (first - TimeDelta::days(2), last + TimeDelta::days(2));
        while date <= end {
            let shifts = &week[date.weekday().num_days_from_monday() as usize];
            if !hours.holidays.contains(&date) {
                for &(open, close) in shifts {
                    let (open, close) = (instant(zone, date, open), instant(zone, date, close));
                    if close <= open {
                        continue;
                    }
                    match intervals.last_mut() {
                        // An office that is open over midnight has one interval.
                        Some(last) if last.1 >= open => {
                            before += close - last.1;
                            last.1 = close;
                        }
                        _ => {
                            intervals.push((open, close, before));
                            before += close - open;
                        }
                    }
                }
            }
            date += TimeDelta::days(1);
        }
        let first = intervals.first().map_or(0, |(open, ..)| *open);
        let days = intervals.last().map_or(0, |(open, ..)| (open - first) / DAY + 1);
        let begun = |day| intervals.partition_point(|(open, ..)| *open <= first + day * DAY);
        let days = (0..days).map(begun).collect();
        Ok(Self { first, days, intervals })
    }

    /// Open time before a time, in microseconds.
    pub(crate) fn before(&self, time: i64) -> i64 {
        let next = match usize::try_from(time.saturating_sub(self.first).div_euclid(DAY)) {
            Ok(day) => {
                let day = day.min(self.days.len().saturating_sub(1));
                let begun = self.days.get(day).copied().unwrap_or(0);
                let later = self.intervals.iter().skip(begun);
                begun + later.take_while(|(open, ..)| *open <= time).count()
            }
            Err(_) => 0,
        };
        match next.checked_sub(1).and_then(|place| self.intervals.get(place)) {
            Some((open, close, before)) => before + time.min(*close) - open,
            None => 0,
        }
    }

    /// When so much open time (microseconds, as [`Calendar::before`] gives it) has passed: the first such time for
    /// the end of work, which may be a closing time, and the last for its beginning, which is then the next opening.
    /// After the calendar's last interval the office counts as open.
    pub(crate) fn at(&self, open_time: i64, end: WorkEnd) -> i64 {
        let begun = |before: &i64| match end {
            WorkEnd::Beginning => *before <= open_time,
            WorkEnd::End => *before < open_time,
        };
        let next = self.intervals.partition_point(|(.., before)| begun(before));
        match next.checked_sub(1).and_then(|place| self.intervals.get(place)) {
            Some((open, _, before)) => open + open_time - before,
            None => self.first,
        }
    }

    /// The part of the time between two times (microseconds since 1970 UTC) in which the office is open, in
    /// microseconds; below zero where the second is the earlier.
    pub fn working(&self, from: i64, to: i64) -> i64 {
        self.before(to) - self.before(from)
    }
}

/// An end of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkEnd {
    /// Its beginning.
    Beginning,
    /// Its end.
    End,
}

/// The UTC time of a local time, in microseconds since 1970. Of a local time that occurs twice it is the
/// first; of one that is skipped by a change of clocks it is the first time after the change.
fn instant(zone: Tz, date: NaiveDate, minutes: u32) -> i64 {
    let local = NaiveDateTime::new(date, NaiveTime::MIN) + TimeDelta::minutes(i64::from(minutes));
    if let Some(time) = zone.from_local_datetime(&local).earliest() {
        return time.timestamp_micros();
    }
    let before = zone.from_local_datetime(&(local - TimeDelta::hours(3))).earliest();
    before.map_or(0, |time| first_after_gap(zone, time.timestamp_micros(), local))
}

/// The first full minute whose local time is not before `local`.
fn first_after_gap(zone: Tz, from: i64, local: NaiveDateTime) -> i64 {
    const MINUTE: i64 = 60_000_000;
    let reached = |time: i64| {
        DateTime::from_timestamp_micros(time)
            .is_some_and(|time| time.with_timezone(&zone).naive_local() >= local)
    };
    (0..24 * 60).map(|minute| from + minute * MINUTE).find(|time| reached(*time)).unwrap_or(from)
}

#[cfg(test)]
mod tests {
    use chrono::Timelike;
    use proptest::prelude::*;

    use super::*;

    fn hours(zone: &str, days: &[(&str, &str)], holidays: &[&str]) -> OpeningHours {
        let mut week = BTreeMap::<String, Vec<String>>::new();
        for (day, shift) in days {
            week.entry((*day).to_owned()).or_default().push((*shift).to_owned());
        }
        let holidays = holidays.iter().map(|day| day.parse().expect("a day")).collect();
        OpeningHours { time_zone: zone.to_owned(), hours: week, holidays }
    }

    const WEEK: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

    fn working_hours(office: &Calendar, from: i64, to: i64) -> f64 {
        office.working(from, to) as f64 / HOUR
    }

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
    }

    #[test]
    fn nights_weekends_and_holidays_do_not_count() {
        let week: Vec<_> = WEEK[..5].iter().map(|day| (*day, "07:00-17:00")).collect();
        let (first, last) = (micros("2024-01-01T00:00:00Z"), micros("2024-12-31T00:00:00Z"));
        let office = Calendar::new(&hours("Europe/Paris", &week, &["2024-05-01"]), first, last)
            .expect("is a calendar");
        let worked = |from: &str, to: &str| working_hours(&office, micros(from), micros(to));
        // Friday 16:00 to Monday 08:00.
        assert_eq!(worked("2024-01-05T16:00:00+01:00", "2024-01-08T08:00:00+01:00"), 2.0);
        // Tuesday 12:00 to Thursday 12:00 over Labour Day.
        assert_eq!(worked("2024-04-30T12:00:00+02:00", "2024-05-02T12:00:00+02:00"), 10.0);
        // A week in which clocks change has its fifty hours.
        assert_eq!(worked("2024-03-25T00:00:00+01:00", "2024-04-01T00:00:00+02:00"), 50.0);
        assert_eq!(worked("2024-01-08T08:00:00+01:00", "2024-01-05T16:00:00+01:00"), -2.0);
    }

    #[test]
    fn a_night_over_the_change_of_clocks_is_as_long_as_it_was() {
        let night = [("sunday", "00:00-06:00")];
        let (first, last) = (micros("2024-01-01T00:00:00Z"), micros("2024-12-31T00:00:00Z"));
        let office = Calendar::new(&hours("Europe/Paris", &night, &[]), first, last).expect("is a calendar");
        let worked = |day: &str| {
            let noon = micros(&format!("{day}T12:00:00Z"));
            working_hours(&office, noon - 86_400_000_000, noon)
        };
        assert_eq!((worked("2024-03-24"), worked("2024-03-31"), worked("2024-10-27")), (6.0, 5.0, 7.0));
        // Who opens in the skipped hour opens after the change.
        let skipped = hours("Europe/Paris", &[("sunday", "02:30-06:00")], &[]);
        let office = Calendar::new(&skipped, first, last).expect("is a calendar");
        let noon = micros("2024-03-31T12:00:00Z");
        assert_eq!(working_hours(&office, noon - 86_400_000_000, noon), 3.0);
    }

    #[test]
    fn open_time_is_turned_back_into_the_time_of_the_clock() {
        let week: Vec<_> = WEEK[..5].iter().map(|day| (*day, "09:00-17:00")).collect();
        let (first, last) = (micros("2024-01-01T00:00:00Z"), micros("2024-01-31T00:00:00Z"));
        let office = Calendar::new(&hours("UTC", &week, &[]), first, last).expect("is a calendar");
        let open = |text: &str| office.before(micros(text));
        // Friday 16:30 and one hour of work: over on Monday at 09:30.
        let (begun, hour) = (open("2024-01-05T16:30:00Z"), HOUR as i64);
        assert_eq!(office.at(begun, WorkEnd::Beginning), micros("2024-01-05T16:30:00Z"));
        assert_eq!(office.at(begun + hour, WorkEnd::End), micros("2024-01-08T09:30:00Z"));
        // Half an hour ends when the office closes; what waits for it begins when it opens.
        assert_eq!(office.at(begun + hour / 2, WorkEnd::End), micros("2024-01-05T17:00:00Z"));
        assert_eq!(office.at(begun + hour / 2, WorkEnd::Beginning), micros("2024-01-08T09:00:00Z"));
    }

    #[test]
    fn a_time_is_told_by_the_offices_clock() {
        let office = hours("Africa/Kampala", &[], &[]);
        assert_eq!(
            office.local(micros("2024-03-01T22:30:00Z")).as_deref(),
            Some("2024-03-02T01:30:00+03:00")
        );
        assert_eq!(office.begin_of(19_784), Some(micros("2024-03-01T21:00:00Z")), "2024-03-02");
        assert_eq!(hours("UTC", &[], &[]).local(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(hours("Mars", &[], &[]).local(0), None);
    }

    fn zone() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "UTC",
            "Europe/Paris",
            "America/New_York",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
        ])
    }

    const FIRST: i64 = 1_704_067_200_000_000;
    const YEAR_MINUTES: i64 = 366 * 24 * 60;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_office_that_never_closes_works_as_long_as_time_goes(
            zone in zone(), from in 0..YEAR_MINUTES, length in 0..YEAR_MINUTES,
        ) {
            let always: Vec<_> = WEEK.iter().map(|day| (*day, "00:00-24:00")).collect();
            let (from, to) = (FIRST + from * 60_000_000, FIRST + (from + length) * 60_000_000);
            let office = Calendar::new(&hours(zone, &always, &[]), from, to).expect("is a calendar");
            prop_assert_eq!(working_hours(&office, from, to), (to - from) as f64 / HOUR);
        }

        #[test]
        fn hours_add_up_and_match_a_clock_that_is_read_each_minute(
            zone in zone(), open in 0_u32..23, length in 1_u32..12, from in 0..YEAR_MINUTES,
            parts in prop::collection::vec(0_i64..4000, 2),
        ) {
            let close = (open + length).min(24);
            let shift = format!("{open:02}:00-{close:02}:00");
            let days: Vec<_> = ["monday", "wednesday", "sunday"].iter().map(|day| (*day, shift.as_str())).collect();
            let start = FIRST + from * 60_000_000;
            let (middle, end) = (start + parts[0] * 60_000_000, start + (parts[0] + parts[1]) * 60_000_000);
            let office = Calendar::new(&hours(zone, &days, &[]), start, end).expect("is a calendar");
            let whole = working_hours(&office, start, end);
            let sum = working_hours(&office, start, middle) + working_hours(&office, middle, end);
            prop_assert!((whole - sum).abs() < 1e-9);
            prop_assert!(whole >= 0.0 && whole <= (end - start) as f64 / HOUR);
            let zone: Tz = zone.parse().expect("a zone");
            let minutes = (0..parts[0] + parts[1]).filter(|minute| {
                let local = DateTime::from_timestamp_micros(start + minute * 60_000_000).expect("a time");
                let local = local.with_timezone(&zone);
                matches!(local.weekday(), Weekday::Mon | Weekday::Wed | Weekday::Sun)
                    && (open..close).contains(&local.hour())
            });
            prop_assert!((whole - minutes.count() as f64 / 60.0).abs() < 1e-9);
        }
    }
}
