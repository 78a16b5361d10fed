//! Which worker carries which shard: a pure function of the workers present and the shards that they carry now.
//!
//! Properties, each with a test: every shard is carried by exactly one worker; the workers' numbers of shards differ by
//! one at most; a shard moves only when its worker left or had too many. Ties are resolved by the workers' names.

use std::collections::{BTreeMap, BTreeSet};

/// The shards that each worker carries, by the worker's name.
pub(crate) type Assignment = BTreeMap<String, BTreeSet<u32>>;

/// Assigns the shards `0..shards` to the workers that are the keys of `current`, which says what each carries now. The
/// result is empty when there is no worker.
pub(crate) fn assign(shards: u32, current: &Assignment) -> Assignment {
    let workers = current.len();
    if workers == 0 {
        return Assignment::new();
    }
    let fair = shards as usize / workers;
    // So many workers carry one shard more than the others: those that carry most now.
    let mut extra = shards as usize % workers;
    let mut by_load: Vec<(&String, &BTreeSet<u32>)> = current.iter().collect();
    by_load.sort_by_key(|(name, carried)| (usize::MAX - carried.len(), (*name).clone()));

    let mut taken = BTreeSet::new();
    let mut next = Assignment::new();
    let mut quotas = BTreeMap::new();
    for (name, carried) in by_load {
        let quota = if extra > 0 {
            extra -= 1;
            fair + 1
        } else {
            fair
        };
        let kept: BTreeSet<u32> = carried
            .iter()
            .copied()
            .filter(|shard| *shard < shards && !taken.contains(shard))
            .take(quota)
            .collect();
        taken.extend(kept.iter().copied());
        next.insert(name.clone(), kept);
        quotas.insert(name.clone(), quota);
    }
    let mut free = (0..shards).filter(|shard| !taken.contains(shard));
    for (name, carried) in &mut next {
        let quota = quotas.get(name).copied().unwrap_or_default();
        let missing = quota - carried.len();
        carried.extend(free.by_ref().take(missing));
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assignments() -> impl Strategy<Value = Assignment> {
        prop::collection::btree_map("[a-d]{1,2}", prop::collection::btree_set(0u32..12, 0..12), 1..6)
    }

    proptest! {
        #[test]
        fn every_shard_is_carried_once_and_loads_are_even(shards in 0u32..12, current in assignments()) {
            let next = assign(shards, &current);
            let carried: Vec<u32> = next.values().flatten().copied().collect();
            let distinct: BTreeSet<u32> = carried.iter().copied().collect();
            prop_assert_eq!(carried.len(), shards as usize);
            prop_assert_eq!(distinct, (0..shards).collect::<BTreeSet<_>>());
            let loads: Vec<usize> = next.values().map(BTreeSet::len).collect();
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        }

        #[test]
        fn an_assignment_that_is_even_stays(shards in 0u32..12, current in assignments()) {
            let next = assign(shards, &current);
            prop_assert_eq!(assign(shards, &next), next);
        }
    }

    #[test]
    fn only_the_shards_of_a_lost_worker_move() {
        let mut current = assign(8, &["a", "b", "c"].map(|name| (name.to_owned(), BTreeSet::new())).into());
        let kept = current.clone();
        let lost = current.remove("b").expect("b was there");
        let next = assign(8, &current);
        for (name, before) in kept.iter().filter(|(name, _)| *name != "b") {
            assert!(before.is_subset(&next[name]), "{name} lost a shard it carried");
        }
        let moved: BTreeSet<u32> =
            next.values().flatten().filter(|shard| lost.contains(shard)).copied().collect();
        assert_eq!(moved, lost);
    }
}
