//! The fixed-point numbers of a fit: by which factors real numbers become integers, whose sums do not depend on their
//! order.
//!
//! A histogram entry is two 64-bit integers: the sum of first derivatives, and the sum of second derivatives in the high
//! bits with the number of rows in the low bits ([`count_bits`]). No sum of [`MOST_ROWS`] rows overflows.

use super::messages::Binning;

/// The integer that a loss of 1 becomes, before the positive weight.
pub(super) const LOSS_SCALE: f64 = (1_u64 << 24) as f64;

/// The most that a row's loss can be, so that no sum of losses overflows.
pub(super) const MOST_LOSS: f64 = 100.0;

/// The integer that the largest gradient of a row becomes.
const GRADIENT_SCALE: f64 = (1_u64 << 28) as f64;

/// The most training rows of all shards together.
pub(super) const MOST_ROWS: u64 = (1 << 27) - 1;

/// The integer that a first derivative of 1 becomes.
pub(super) fn gradient_scale(binning: &Binning) -> f64 {
    GRADIENT_SCALE / binning.positive_weight.max(1.0)
}

/// The integer that a second derivative of 1 becomes. No second derivative is above a quarter of the largest weight.
pub(super) fn hessian_scale(binning: &Binning) -> f64 {
    4.0 * f64::from((1_u32 << binning.hessian_bits) - 1) / binning.positive_weight.max(1.0)
}

/// The bits of a row's second derivative in a fit of so many rows, from 9 to 23: the more rows, the fewer bits, so that
/// the sum over all rows and their number fit in one integer that is never negative. The sum loses no precision by it,
/// because rounding errors average out over more rows.
pub(super) fn hessian_bits(rows: u64) -> u32 {
    (i64::BITS - 1).saturating_sub(2 * (u64::BITS - rows.leading_zeros())).clamp(9, 23)
}

/// How many low bits of a packed histogram entry count rows, when second derivatives have so many bits.
pub(super) fn count_bits(hessian_bits: u32) -> u32 {
    (i64::BITS - 1 - hessian_bits) / 2
}
