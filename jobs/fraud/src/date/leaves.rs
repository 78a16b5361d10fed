//! The leaves of a booster, which DATE embeds.

use tidewaiter_learning::gbdt;

/// How many leaves each tree of a booster has; empty for a booster without any split.
pub(super) fn leaf_counts(booster: &gbdt::Model) -> Vec<u32> {
    if booster.trees.iter().all(|tree| tree.features.is_empty()) {
        return Vec::new();
    }
    booster.trees.iter().map(|tree| tree.leaf_values.len() as u32).collect()
}
