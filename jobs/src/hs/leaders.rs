//! The best of many probabilities, and what place one has, found without putting them in order.
//!
//! Probabilities are compared in runs, without a branch inside, so that a processor compares several at once; few runs
//! hold one that is looked at further.

/// Probabilities that are compared at once.
const RUN: usize = 16;

/// The places of the largest probabilities with their values, the largest first; of equals the one that comes first.
/// `room` is room that is used again.
pub(super) fn leaders(
    probabilities: &[f32],
    count: usize,
    room: &mut Vec<f32>,
    found: &mut Vec<(usize, f32)>,
) {
    let (runs, rest) = probabilities.as_chunks::<RUN>();
    room.clear();
    room.extend(runs.iter().map(largest));
    // Where so many runs have one that is as large, the others have none to look at.
    let mut least = f32::NEG_INFINITY;
    if room.len() >= count {
        least = room.select_nth_unstable_by(count - 1, |one, other| other.total_cmp(one)).1.next_down();
    }
    found.clear();
    let mut look = |first: usize, run: &[f32]| {
        for (place, probability) in (first..).zip(run) {
            if *probability > least {
                let before = found.partition_point(|(_, other)| other >= probability);
                found.truncate(count - 1);
                found.insert(before, (place, *probability));
                if found.len() == count {
                    least = least.max(found[count - 1].1);
                }
            }
        }
        least
    };
    let mut least = look(0, &[]);
    for (number, run) in runs.iter().enumerate() {
        if any_above(run, least) {
            least = look(number * RUN, run);
        }
    }
    look(runs.len() * RUN, rest);
}

/// How many come before the one at a place in the order of [`leaders`].
pub(super) fn before(probabilities: &[f32], place: usize) -> u32 {
    let own = probabilities[place];
    let (first, last) = probabilities.split_at(place);
    let first: u32 = first.iter().map(|other| u32::from(*other >= own)).sum();
    let last: u32 = last.iter().map(|other| u32::from(*other > own)).sum();
    first + last
}

/// The places and values of the probabilities above one.
pub(super) fn above(probabilities: &[f32], least: f32) -> impl Iterator<Item = (usize, f32)> {
    let (runs, rest) = probabilities.as_chunks::<RUN>();
    let whole = runs.iter().map(<[f32; RUN]>::as_slice).enumerate();
    let whole = runs.iter().zip(whole).filter(move |(run, _)| any_above(run, least)).map(|(_, run)| run);
    whole
        .chain(std::iter::once((runs.len(), rest)))
        .flat_map(|(number, run)| (number * RUN..).zip(run.iter().copied()))
        .filter(move |(_, probability)| *probability > least)
}

fn largest(run: &[f32; RUN]) -> f32 {
    run.iter().fold(f32::NEG_INFINITY, |most, one| if *one > most { *one } else { most })
}

fn any_above(run: &[f32; RUN], least: f32) -> bool {
    run.iter().fold(false, |any, probability| any | (*probability > least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::mix;

    #[test]
    fn leaders_are_the_first_of_all_in_order_and_places_agree() {
        for count in [1, 5, 40] {
            // Few values, so that many are equal.
            let probabilities: Vec<f32> = (0..100).map(|at| (mix(at + count) % 7) as f32).collect();
            let mut ordered: Vec<usize> = (0..100).collect();
            ordered.sort_by(|one, other| probabilities[*other].total_cmp(&probabilities[*one]));
            let mut found = Vec::new();
            leaders(&probabilities, count as usize, &mut Vec::new(), &mut found);
            let expected: Vec<_> =
                ordered.iter().take(count as usize).map(|at| (*at, probabilities[*at])).collect();
            assert_eq!(found, expected);
            for (place, at) in ordered.iter().enumerate() {
                assert_eq!(before(&probabilities, *at), place as u32);
            }
            let above: Vec<usize> = above(&probabilities, 3.0).map(|(at, _)| at).collect();
            assert!(above.is_sorted() && above.iter().all(|at| probabilities[*at] > 3.0));
            assert_eq!(above.len(), probabilities.iter().filter(|value| **value > 3.0).count());
        }
    }

    #[test]
    fn of_too_few_all_lead() {
        let mut found = vec![(7, 1.0)];
        leaders(&[0.25, 0.75], 5, &mut Vec::new(), &mut found);
        assert_eq!(found, [(1, 0.75), (0, 0.25)]);
    }
}
