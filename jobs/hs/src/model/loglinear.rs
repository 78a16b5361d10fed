//! A log-linear model with label noise: how inputs become the probability of a class.
//!
//! A class's score is the weighted sum of its inputs, and the softmax of the scores gives the probabilities. Some
//! declared codes have nothing to do with the description. So that these few do not lower the confidence in all others,
//! a label is taken to be a random one with a small probability, the *label noise*. `fit::loglinear` fits both.

/// The weights of so many inputs, and the label noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LogLinear<const INPUTS: usize> {
    pub(crate) weights: [f64; INPUTS],
    /// The probability that a declared code has nothing to do with the description, 0 to 1.
    pub(crate) label_noise: f64,
}
