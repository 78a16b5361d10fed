//! The average precision of a ranking.
//!
//! Source: Zhu, "Recall, precision and average precision" (University of Waterloo, 2004), as scikit-learn's
//! `average_precision_score` computes it: the sum, over distinct scores, of the gain in recall times the precision.

/// The average precision, from 0 to 1, of a ranking given as groups of equal scores, the highest score first: for each
/// group the number of its positives and the number of all its rows. `None` where nothing is positive.
///
/// Rows with equal scores count together, so that their order does not matter.
pub fn average_precision(groups: impl IntoIterator<Item = (u64, u64)>) -> Option<f64> {
    let (mut found, mut above, mut sum) = (0_u64, 0_u64, 0.0);
    for (positives, rows) in groups {
        found += positives;
        above += rows;
        if positives > 0 {
            sum += positives as f64 * found as f64 / above as f64;
        }
    }
    (found > 0).then(|| sum / found as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_is_that_of_the_formula() {
        // By hand: positives at the places 1, 3 and 5.
        let found = average_precision([(1, 1), (0, 1), (1, 1), (0, 1), (1, 1)]).expect("positives");
        assert!((found - (1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0).abs() < 1e-15);
        // The example of scikit-learn's documentation: labels 0, 0, 1, 1 with scores 0.1, 0.4, 0.35, 0.8.
        let found = average_precision([(1, 1), (0, 1), (1, 1), (0, 1)]).expect("positives");
        assert!((found - 5.0 / 6.0).abs() < 1e-15);
    }

    #[test]
    fn rows_of_equal_scores_count_together() {
        assert_eq!(average_precision([(1, 2), (1, 2)]), Some(0.5));
        // From the top: a positive, a negative, a positive and a negative of one score.
        let found = average_precision([(1, 1), (0, 1), (1, 2)]).expect("positives");
        assert!((found - (1.0 + 2.0 / 4.0) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn a_ranking_without_positives_has_none() {
        assert_eq!(average_precision([(0, 3)]), None);
        assert_eq!(average_precision([]), None);
    }
}
