//! Times and lengths of time for people.

use chrono::DateTime;

/// A time in UTC, to the second; `ms` is milliseconds since 1970, and 0 for none.
pub(super) fn time(ms: i64) -> String {
    match DateTime::from_timestamp_millis(ms).filter(|_| ms > 0) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        None => "-".to_owned(),
    }
}

/// A length of time in milliseconds, in the two largest units that it has.
pub(super) fn length(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) if s < 10 => format!("{:.1} s", ms.max(0) as f64 / 1000.0),
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, min, s) => format!("{min} min {s:02} s"),
        (0, h, min, _) => format!("{h} h {min:02} min"),
        (d, h, ..) => format!("{d} d {h:02} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_are_written_for_people() {
        assert_eq!(time(1_772_000_000_000), "2026-02-25 06:13:20");
        assert_eq!(time(0), "-");
        let lengths = [-5, 420, 59_999, 65_000, 3_600_000, 90_000_000].map(length);
        assert_eq!(lengths, ["0.0 s", "0.4 s", "59 s", "1 min 05 s", "1 h 00 min", "1 d 01 h"]);
    }
}
