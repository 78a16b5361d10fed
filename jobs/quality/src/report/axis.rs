//! The months of a chart: from the first to the last, without the strays of wrong dates.
//!
//! One typing error in a year would otherwise make an axis ten years longer. Start at [`axis`].

use std::{collections::BTreeMap, fmt};

/// Months between two groups of months, from which on they are apart.
const GAP: i32 = 12;

/// The share of all rows up to which a group of months that lies apart is taken for wrong dates.
const STRAY_SHARE: f64 = 0.005;

/// A month of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(i32);

impl Month {
    /// A month, 1 to 12, of a year.
    pub(super) fn of(year: i32, month: i32) -> Self {
        Self(12 * year + month - 1)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// Months with their rows.
type Rows = Vec<(Month, u64)>;

/// Every month from the first to the last with its rows, none left out; and the strays: months that lie more than a year
/// from all others and have few rows.
pub(super) fn axis(rows: &BTreeMap<Month, u64>) -> (Rows, Rows) {
    let all: u64 = rows.values().sum();
    let months: Rows = rows.iter().map(|(month, rows)| (*month, *rows)).collect();
    let groups = months.chunk_by(|a, b| b.0.0 - a.0.0 <= GAP);
    let is_stray = |group: &&[(Month, u64)]| {
        let own: u64 = group.iter().map(|month| month.1).sum();
        own as f64 <= all as f64 * STRAY_SHARE
    };
    let (strays, kept): (Vec<_>, Vec<_>) = groups.partition(is_stray);
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else { return (Vec::new(), strays.concat()) };
    let ends = (first.first().map_or(0, |month| month.0.0), last.last().map_or(-1, |month| month.0.0));
    let stray: Vec<Month> = strays.concat().iter().map(|month| month.0).collect();
    let shown = (ends.0..=ends.1).map(Month).map(|month| {
        let known = rows.get(&month).filter(|_| !stray.contains(&month));
        (month, known.copied().unwrap_or_default())
    });
    (shown.collect(), strays.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_year_does_not_stretch_the_axis() {
        let mut rows: BTreeMap<Month, u64> = (1..=12).map(|month| (Month::of(2024, month), 100)).collect();
        rows.insert(Month::of(2034, 3), 1);
        rows.insert(Month::of(1924, 3), 2);
        let (shown, strays) = axis(&rows);
        assert_eq!(
            (shown.len(), shown[0], shown[11]),
            (12, (Month::of(2024, 1), 100), (Month::of(2024, 12), 100))
        );
        assert_eq!(strays, [(Month::of(1924, 3), 2), (Month::of(2034, 3), 1)]);
        assert_eq!(strays[1].0.to_string(), "2034-03");
    }

    #[test]
    fn a_gap_in_the_data_is_shown_as_months_without_items() {
        let rows =
            BTreeMap::from([(Month::of(2022, 12), 50), (Month::of(2023, 2), 60), (Month::of(2025, 1), 40)]);
        let (shown, strays) = axis(&rows);
        assert_eq!((shown.len(), strays.len()), (26, 0), "none of the three is few");
        assert_eq!(shown[1], (Month::of(2023, 1), 0));
        assert_eq!(axis(&BTreeMap::new()), (vec![], vec![]));
    }
}
