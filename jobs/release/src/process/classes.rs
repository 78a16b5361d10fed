//! Classes of times: how medians are found without sorting all times.
//!
//! A class is a sixteenth of a power of two wide, so that its number rises with the time and there are few
//! classes. Counts by class tell in which class a median lies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The class of a time in microseconds.
pub(super) fn class(gap: i64) -> i32 {
    let size = gap.unsigned_abs();
    let class = match size {
        0..16 => size as i32,
        _ => {
            let power = 63 - size.leading_zeros();
            16 * (power as i32 - 3) + ((size >> (power - 4)) & 15) as i32
        }
    };
    if gap < 0 { -class } else { class }
}

/// A class of an edge whose times are wanted, by the names of the edge's activities.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct WantedClass {
    /// The earlier activity.
    pub source: String,
    /// The later activity.
    pub target: String,
    /// Whether the times are in open hours.
    pub working: bool,
    /// The class.
    pub class: i32,
}

/// Count, least and greatest time of each class of an edge.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Classes(pub(super) BTreeMap<i32, (u64, i64, i64)>);

/// Where the median of an edge's times lies: the two middle ones, which are the same one where their number
/// is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Median {
    /// The two middle times are known.
    Known(i64, i64),
    /// They are at these places among the sorted times of these classes.
    Among {
        /// The classes; the same twice where both lie in one.
        classes: [i32; 2],
        /// The places from 0.
        places: [u64; 2],
    },
}

impl Classes {
    /// Where the median lies; `None` without times.
    pub(super) fn median(&self) -> Option<Median> {
        let count: u64 = self.0.values().map(|class| class.0).sum();
        let low = self.at(count.checked_sub(1)? / 2)?;
        let high = self.at(count / 2)?;
        let known =
            |(_, _, (_, least, greatest)): (i32, u64, (u64, i64, i64))| (least == greatest).then_some(least);
        Some(match (known(low), known(high)) {
            (Some(low), Some(high)) => Median::Known(low, high),
            _ => {
                let before = if low.0 == high.0 { 0 } else { low.2.0 };
                Median::Among { classes: [low.0, high.0], places: [low.1, before + high.1] }
            }
        })
    }

    /// The class of a rank, the rank within it, and the class's figures.
    fn at(&self, rank: u64) -> Option<(i32, u64, (u64, i64, i64))> {
        let mut before = 0;
        for (class, figures) in &self.0 {
            if rank < before + figures.0 {
                return Some((*class, rank - before, *figures));
            }
            before += figures.0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_sixteenth_of_a_power_of_two() {
        assert_eq!([0, 1, 15, 16, 17, 31, 32, 33, 34].map(class), [0, 1, 15, 16, 17, 31, 32, 32, 33]);
        assert_eq!([-1, -16, -33].map(class), [-1, -16, -32]);
        assert!(class(i64::MAX) < 1000 && class(i64::MIN) > -1000);
    }
}
