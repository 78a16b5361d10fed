//! The vectors of the network: their width, and the random numbers that they start with.

/// Numbers of a vector: of a leaf, an importer, an HS code, and of every hidden layer.
pub(super) const WIDTH: usize = 16;

/// A vector of [`WIDTH`] numbers.
pub(super) type Vector = [f32; WIDTH];

/// A number from -1 to 1, made of the highest 53 bits of a random one.
pub(super) fn symmetric_uniform(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}
