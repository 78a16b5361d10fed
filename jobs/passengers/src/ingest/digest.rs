//! Identities of messages and records: digests of what they say.

use sha2::{Digest, Sha256};

/// The first 64 bits of the SHA-256 of bytes.
pub(super) fn first_64_bits(bytes: &[u8]) -> u64 {
    Sha256::digest(bytes).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
