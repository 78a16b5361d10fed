//! 95 % confidence intervals of shares of items that depend on each other.
//!
//! Items of one declaration, and declarations of one day, resemble each other, so that they say less than as many
//! independent items. By how much is the design effect: the variance of the share between groups over that of
//! independent items (Cochran, "Sampling Techniques", 1977, chapter 11, by linearisation of the ratio). The interval is
//! Wilson's for the number of items divided by the larger design effect of both groupings (Dean and Pagano, "Evaluating
//! confidence interval methods for binomial proportions in clustered surveys", 2015): it stays within 0 and 1 and is wide
//! where few items are known. Start at [`Clusters::interval`].

use serde::{Deserialize, Serialize};

use crate::comparison::Groups;

/// The 0.975 quantile of the normal distribution.
const NORMAL: f64 = 1.959_963_985;

/// The groups of rows that resemble each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clusters {
    /// Rows of one declaration.
    pub declarations: Groups,
    /// Rows of one day.
    pub days: Groups,
}

impl Clusters {
    /// The share of the items that `of_row` counts (its first value) among those that it looks at (the second), with the
    /// interval; `None` where it looks at none.
    pub fn interval(&self, of_row: &dyn Fn(usize) -> (f64, f64)) -> Option<Share> {
        let rows = self.declarations.rows();
        let (part, items) = (0..rows).map(of_row).fold((0.0, 0.0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
        if items == 0.0 {
            return None;
        }
        let share = part / items;
        let independent = share * (1.0 - share) / items;
        let mut effect: f64 = 1.0;
        let mut declarations = 0;
        for (groups, are_declarations) in [(&self.declarations, true), (&self.days, false)] {
            let mut residuals = vec![(0.0, 0.0); groups.count()];
            for row in 0..rows {
                let (part, items) = of_row(row);
                let sum = &mut residuals[groups.of_row(row)];
                *sum = (sum.0 + part - share * items, sum.1 + items);
            }
            residuals.retain(|(_, items)| *items > 0.0);
            let count = residuals.len() as f64;
            if are_declarations {
                declarations = residuals.len();
            }
            let squares: f64 = residuals.iter().map(|(residual, _)| residual * residual).sum();
            if independent > 0.0 && count > 1.0 {
                effect = effect.max(count / (count - 1.0) * squares / (items * items) / independent);
            }
        }
        // Where all items agree nothing is known of how much they resemble each other: a declaration counts once.
        let effective = if independent > 0.0 { items / effect } else { declarations as f64 };
        let (low, high) = wilson(share, effective);
        Some(Share { share, low, high })
    }
}

/// A share of items with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The share, 0 to 1.
    pub share: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Wilson's 95 % interval (JASA 1927) of a share, 0 to 1, among so many independent items, more than none. It holds the
/// share, and is never without width.
pub fn wilson(share: f64, items: f64) -> (f64, f64) {
    let square = NORMAL * NORMAL / items;
    let centre = (share + square / 2.0) / (1.0 + square);
    let half = (share * (1.0 - share) * square + square * square / 4.0).sqrt() / (1.0 + square);
    ((centre - half).max(0.0).min(share), (centre + half).min(1.0).max(share))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clusters(declarations: Vec<u64>, days: Vec<i64>) -> Clusters {
        Clusters { declarations: Groups::of(declarations), days: Groups::of(days) }
    }

    #[test]
    fn items_of_one_declaration_say_less_than_as_many_declarations() {
        let right = |row: usize| (f64::from(u8::from((row / 10).is_multiple_of(2))), 1.0);
        let rows = || 0..400_u64;
        // Wilson's interval of 200 in 400, by hand: 0.5 ± 0.0488.
        let days = || rows().map(|row| row as i64 % 7).collect();
        let alone = clusters(rows().collect(), days()).interval(&right).expect("items");
        assert!((alone.share - 0.5).abs() < 1e-12 && (alone.low - 0.4512).abs() < 2e-4, "{alone:?}");
        // Ten items of a declaration agree: forty declarations say as much as forty items, 0.5 ± 0.148.
        let together =
            clusters(rows().map(|row| row / 10).collect(), days()).interval(&right).expect("items");
        assert!((together.low - 0.352).abs() < 4e-3, "{together:?}");
        // The same by day, however many declarations there are.
        let by_day = clusters(rows().collect(), rows().map(|row| row as i64 / 10).collect());
        let by_day = by_day.interval(&right).expect("items");
        assert!((by_day.low - together.low).abs() < 1e-12, "{by_day:?}");
        assert_eq!(clusters(Vec::new(), Vec::new()).interval(&right), None);
    }

    #[test]
    fn a_share_of_all_is_not_certain() {
        let all = clusters(vec![1, 1, 2, 3], vec![0; 4]).interval(&|_| (1.0, 1.0)).expect("items");
        assert!(all.share == 1.0 && all.high == 1.0 && (all.low - 0.4385).abs() < 1e-3, "{all:?}");
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_share_and_stays_within_0_and_1(
            rows in prop::collection::vec((0_u64..5, 0_i64..3, any::<bool>(), 1_u8..4), 1..40)
        ) {
            let clusters = clusters(rows.iter().map(|row| row.0).collect(), rows.iter().map(|row| row.1).collect());
            let of_row = |row: usize| {
                let items = f64::from(rows[row].3);
                (if rows[row].2 { items } else { 0.0 }, items)
            };
            let Share { share, low, high } = clusters.interval(&of_row).expect("items");
            prop_assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
        }
    }
}
