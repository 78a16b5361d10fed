//! The largest k of many probabilities and the rank of one of them, without sorting all.
//!
//! Probabilities are compared in runs of [`RUN`] without a branch inside, so that vector instructions compare a run at
//! once; only the few runs that hold a large enough probability are looked at one by one. Start at [`top_k`].

/// Probabilities that are compared at once.
const RUN: usize = 16;

/// Finds the indices of the largest `count` probabilities with their values, the largest first; among equals the one
/// with the lowest index. `maxima` is a buffer that is used again.
pub(crate) fn top_k(
    probabilities: &[f32],
    count: usize,
    maxima: &mut Vec<f32>,
    found: &mut Vec<(usize, f32)>,
) {
    let (runs, rest) = probabilities.as_chunks::<RUN>();
    maxima.clear();
    maxima.extend(runs.iter().map(largest));
    // The count-th largest maximum of a run bounds the count-th largest probability from below.
    let mut least = f32::NEG_INFINITY;
    if maxima.len() >= count {
        least = maxima.select_nth_unstable_by(count - 1, |one, other| other.total_cmp(one)).1.next_down();
    }
    found.clear();
    let mut scan = |first: usize, run: &[f32]| {
        for (index, probability) in (first..).zip(run) {
            if *probability > least {
                let before = found.partition_point(|(_, other)| other >= probability);
                found.truncate(count - 1);
                found.insert(before, (index, *probability));
                if found.len() == count {
                    least = least.max(found[count - 1].1);
                }
            }
        }
        least
    };
    let mut least = scan(0, &[]);
    for (number, run) in runs.iter().enumerate() {
        if any_above(run, least) {
            least = scan(number * RUN, run);
        }
    }
    scan(runs.len() * RUN, rest);
}

/// How many probabilities come before the one at an index, in the order of [`top_k`].
pub(crate) fn count_before(probabilities: &[f32], index: usize) -> u32 {
    let own = probabilities[index];
    let (first, last) = probabilities.split_at(index);
    let first: u32 = first.iter().map(|other| u32::from(*other >= own)).sum();
    let last: u32 = last.iter().map(|other| u32::from(*other > own)).sum();
    first + last
}

/// The indices and values of the probabilities above a bound, in ascending order of the indices.
pub(crate) fn above(probabilities: &[f32], least: f32) -> impl Iterator<Item = (usize, f32)> {
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
    use tidewaiter_core::chance::mix;

    use super::*;

    #[test]
    fn the_top_k_are_the_first_of_all_in_order_and_ranks_agree() {
        for count in [1, 5, 40] {
            // Few values, so that many are equal.
            let probabilities: Vec<f32> = (0..100).map(|at| (mix(at + count) % 7) as f32).collect();
            let mut ordered: Vec<usize> = (0..100).collect();
            ordered.sort_by(|one, other| probabilities[*other].total_cmp(&probabilities[*one]));
            let mut found = Vec::new();
            top_k(&probabilities, count as usize, &mut Vec::new(), &mut found);
            let expected: Vec<_> =
                ordered.iter().take(count as usize).map(|at| (*at, probabilities[*at])).collect();
            assert_eq!(found, expected);
            for (rank, at) in ordered.iter().enumerate() {
                assert_eq!(count_before(&probabilities, *at), rank as u32);
            }
            let above: Vec<usize> = above(&probabilities, 3.0).map(|(at, _)| at).collect();
            assert!(above.is_sorted() && above.iter().all(|at| probabilities[*at] > 3.0));
            assert_eq!(above.len(), probabilities.iter().filter(|value| **value > 3.0).count());
        }
    }

    #[test]
    fn of_fewer_than_k_all_are_found() {
        let mut found = vec![(7, 1.0)];
        top_k(&[0.25, 0.75], 5, &mut Vec::new(), &mut found);
        assert_eq!(found, [(1, 0.75), (0, 0.25)]);
    }
}
