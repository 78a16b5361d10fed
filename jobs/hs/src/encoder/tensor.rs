//! Errors of tensor operations as errors of this crate.

use tidewaiter_core::Error;

/// An error of candle, by the first line of its message: with backtraces switched on the others are a backtrace.
pub(super) fn tensor_error(error: candle_core::Error) -> Error {
    let text = error.to_string();
    Error::internal(format!("HS encoder: {}", text.lines().next().unwrap_or_default()))
}
