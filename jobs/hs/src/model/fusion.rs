//! The inputs of the log-linear model that scores subheadings, and which of them a model uses.
//!
//! A subheading's [`Inputs`] are the margins of the blended classifiers, the votes of similar past declarations, the
//! similarity to the nomenclature's texts, the number of training texts, the encoder's probability and the scores of
//! attributes. The probabilities of headings and chapters are sums of their subheadings', so that the levels agree. The
//! constants give the index of each input. `fit::fusion` fits the weights.

use std::ops::Range;

use super::loglinear::LogLinear;
use crate::{codes::digits::LEVELS, features::attributes::KINDS};

/// The margins of the classifiers of a subheading's chapter, of its heading and of itself.
pub(crate) const MARGINS: usize = 0;

/// The logarithms of the shares of the votes of similar precedents that fall on each of these three.
pub(crate) const VOTES: usize = MARGINS + LEVELS;

/// The similarity of the most similar precedent of the subheading.
pub(crate) const NEAREST: usize = VOTES + LEVELS;

/// The similarities to the nomenclature's texts of the heading and the subheading.
pub(crate) const NOMENCLATURE: usize = NEAREST + 1;

/// The logarithm of the subheading's number of training texts.
pub(crate) const FREQUENCY: usize = NOMENCLATURE + 2;

/// The logarithm of the probability that the encoder's head gives.
pub(crate) const ENCODER: usize = FREQUENCY + 1;

/// The scores of the attributes, by kind.
pub(crate) const ATTRIBUTES: usize = ENCODER + 1;

/// The number of inputs.
pub(crate) const INPUTS: usize = ATTRIBUTES + KINDS;

/// The inputs of one subheading.
pub(crate) type Inputs = [f64; INPUTS];

/// The model of these inputs.
pub(crate) type Fusion = LogLinear<INPUTS>;

/// Which inputs are used.
pub(crate) type Selection = [bool; INPUTS];

/// The inputs that need neither precedents nor the nomenclature nor an encoder.
pub(crate) const FAST: Selection = with(only(MARGINS..VOTES), FREQUENCY..ENCODER);

/// The inputs of a description without an encoder.
pub(crate) const WITHOUT_ENCODER: Selection = only(MARGINS..ENCODER);

/// The inputs of a description.
pub(crate) const DESCRIPTION: Selection = only(MARGINS..ATTRIBUTES);

/// The inputs of attributes.
pub(crate) const ATTRIBUTES_ONLY: Selection = only(ATTRIBUTES..INPUTS);

/// Added to the share of votes, so that no vote at all has a logarithm.
pub(crate) const LEAST_SHARE: f32 = 0.003;

/// A range of inputs.
const fn only(range: Range<usize>) -> Selection {
    with([false; INPUTS], range)
}

/// A selection and a range of inputs.
const fn with(mut selection: Selection, range: Range<usize>) -> Selection {
    let mut input = range.start;
    while input < range.end {
        selection[input] = true;
        input += 1;
    }
    selection
}

impl Fusion {
    /// The weights before the fit, 0 for inputs that are not used and for attributes.
    pub(crate) fn initial(used: Selection) -> Self {
        let mut weights = [0.0; INPUTS];
        for (inputs, weight) in [
            (MARGINS..VOTES, 1.0),
            (VOTES..NEAREST, 0.3),
            (NEAREST..NOMENCLATURE, 0.5),
            (NOMENCLATURE..FREQUENCY, 1.0),
            (FREQUENCY..ENCODER, 0.1),
            (ENCODER..ATTRIBUTES, 0.3),
        ] {
            if used[inputs.start] {
                weights[inputs].fill(weight);
            }
        }
        Self { weights, label_noise: 0.02 }
    }

    /// Whether precedents count.
    pub(crate) fn uses_precedents(&self) -> bool {
        self.weights[VOTES..NOMENCLATURE].iter().any(|weight| *weight != 0.0)
    }

    /// Whether the nomenclature's texts count.
    pub(crate) fn uses_nomenclature(&self) -> bool {
        self.weights[NOMENCLATURE..FREQUENCY].iter().any(|weight| *weight != 0.0)
    }

    /// Whether the encoder counts.
    pub(crate) fn uses_encoder(&self) -> bool {
        self.weights[ENCODER] != 0.0
    }
}
