//! The usual order of activities: which comes before which in most of the cases that have both.
//!
//! The mean place in a trace would mislead: an activity that ends every case has a low place in the many short ones, and
//! would come before the activities of the few long ones that it follows. Here one after the other is taken that no
//! remaining activity usually precedes; in a circle, the one that the others precede in the fewest cases. Start at
//! [`usual_order`].

use super::variants::Variant;

/// The activities in their usual order; those of which no variant tells come last, in the order given.
pub fn usual_order<'a>(activities: &[&'a str], variants: &[Variant]) -> Vec<&'a str> {
    let count = activities.len();
    // In how many cases the row's activity comes first before the column's.
    let mut before = vec![vec![0_i64; count]; count];
    // The sum of the places of each activity, and the cases that have it.
    let mut places = vec![(0.0, 0.0); count];
    for variant in variants {
        let cases = variant.cases as i64;
        let first = |activity: &&str| variant.events.iter().position(|event| event == activity);
        let firsts: Vec<Option<usize>> = activities.iter().map(first).collect();
        for (row, own) in firsts.iter().enumerate() {
            let Some(own) = own else { continue };
            places[row].0 += *own as f64 * cases as f64;
            places[row].1 += cases as f64;
            for (column, other) in firsts.iter().enumerate() {
                if other.is_some_and(|other| *own < other) {
                    before[row][column] += cases;
                }
            }
        }
    }
    let mean = |row: usize| if places[row].1 > 0.0 { places[row].0 / places[row].1 } else { f64::MAX };
    let mut left: Vec<usize> = (0..count).collect();
    let mut order = Vec::with_capacity(count);
    while !left.is_empty() {
        let preceded = |row: usize| -> i64 {
            left.iter().map(|other| (before[*other][row] - before[row][*other]).max(0)).sum()
        };
        let next = left
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| preceded(**a).cmp(&preceded(**b)).then(mean(**a).total_cmp(&mean(**b))))
            .map_or(0, |(place, _)| place);
        order.push(activities[left.remove(next)]);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(events: &str, cases: u64) -> Variant {
        let events = events.chars().map(String::from).collect();
        Variant { events, cases, mean: 0.0, median: 0.0 }
    }

    #[test]
    fn what_ends_every_case_comes_last_though_most_cases_are_short() {
        // The mean place of R is 2.3, that of C is 2, of D 3 and of E 4.
        let variants = [variant("ABR", 90), variant("ABCDER", 10)];
        assert_eq!(usual_order(&["R", "A", "B", "C", "D", "E"], &variants), ["A", "B", "C", "D", "E", "R"]);
    }

    #[test]
    fn few_comparisons_and_circles_are_put_in_order() {
        // A meets B alone, which precedes three others.
        let variants = [variant("AB", 5), variant("BCDE", 50)];
        assert_eq!(usual_order(&["C", "D", "E", "B", "A"], &variants), ["A", "B", "C", "D", "E"]);
        // A repeated activity counts by its first time; what nobody has comes last.
        let variants = [variant("ABAB", 3), variant("BA", 1)];
        assert_eq!(usual_order(&["x", "B", "A"], &variants), ["A", "B", "x"]);
    }
}
