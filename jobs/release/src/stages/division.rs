//! How the time of a stage of a case is divided over the steps that hold it.
//!
//! Each moment belongs to the step that is under way; where several are, they share it equally; where none is, it
//! belongs to no step. The parts therefore add up to the whole, which the lengths of the steps do not.

/// The whole from one time to another, divided over steps with their beginnings and ends: the microseconds of each
/// step, in their order, and last those of none. What equal sharing leaves over goes to the first of the steps.
pub(super) fn divide((from, to): (i64, i64), steps: &[Option<(i64, i64)>]) -> Vec<i64> {
    let mut parts = vec![0; steps.len() + 1];
    let clipped: Vec<(usize, i64, i64)> = steps
        .iter()
        .enumerate()
        .filter_map(|(place, step)| step.map(|(begun, ended)| (place, begun.max(from), ended.min(to))))
        .filter(|(_, begun, ended)| begun < ended)
        .collect();
    let mut bounds: Vec<i64> =
        clipped.iter().flat_map(|(_, begun, ended)| [*begun, *ended]).chain([from, to]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    for pair in bounds.windows(2) {
        let length = pair[1] - pair[0];
        let under_way = || clipped.iter().filter(|(_, begun, ended)| *begun <= pair[0] && pair[1] <= *ended);
        match under_way().count() as i64 {
            0 => parts[steps.len()] += length,
            count => {
                let mut rest = length % count;
                for (place, ..) in under_way() {
                    parts[*place] += length / count + rest;
                    rest = 0;
                }
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_case_is_divided_as_by_hand() {
        // A whole of 0 to 50: documents from 5 to 15, a permit from 10 to 30, and a step that lies outside.
        let parts = divide((0, 50), &[Some((5, 15)), Some((10, 30)), None, Some((60, 70))]);
        // 5 alone and half of the 5 together; half of the 5 and 15 alone; of 5 together one is left over.
        assert_eq!(parts, [5 + 3, 2 + 15, 0, 0, 5 + 20]);
        assert_eq!(divide((0, 10), &[]), [10]);
        assert_eq!(divide((0, 10), &[Some((-5, 20))]), [10, 0]);
        assert_eq!(divide((10, 10), &[Some((0, 20))]), [0, 0]);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(
            whole in 0_i64..1000,
            steps in prop::collection::vec(prop::option::of((-100_i64..1000, 0_i64..500)), 0..12),
        ) {
            let steps: Vec<_> = steps.into_iter().map(|step| step.map(|(from, length)| (from, from + length))).collect();
            let parts = divide((0, whole), &steps);
            prop_assert_eq!(parts.iter().sum::<i64>(), whole);
            prop_assert!(parts.iter().all(|part| *part >= 0));
        }
    }
}
