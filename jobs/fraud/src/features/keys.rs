//! Keys of the values whose past is remembered: 64-bit hashes of texts, and of two keys together.
//!
//! Hashes are XXH3's, mixed by one folded multiplication for two keys.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The key that stands for "no value": never stored.
pub(crate) const MISSING: u64 = 0;

/// Constants: the same text has the same key in every run and on every machine.
const SEED: u64 = 0x7469_6465_7761_6974;
const SECOND_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The key of a text; never [`MISSING`].
pub(crate) fn key_of(text: &[u8]) -> u64 {
    xxh3_64_with_seed(text, SEED).max(1)
}

/// The key of two keys taken together; [`MISSING`] when either is. Both are hashes already, so that one folded
/// multiplication mixes them (Wang Yi's wyhash).
pub(crate) fn pair(first: u64, second: u64) -> u64 {
    if first == MISSING || second == MISSING {
        return MISSING;
    }
    let product = u128::from(first ^ SEED) * u128::from(second ^ SECOND_SEED);
    (product as u64 ^ (product >> 64) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_with_a_missing_half_is_missing_and_order_matters() {
        let (a, b) = (key_of(b"CN"), key_of(b"KR"));
        assert_eq!(pair(a, MISSING), MISSING);
        assert_eq!(pair(MISSING, b), MISSING);
        assert_ne!(pair(a, b), pair(b, a));
    }
}
