//! The kinds of evidence for a subheading, and how a model weighs them.
//!
//! A subheading's probability is that of a [log-linear model](super::loglinear) of its [`Evidence`], so that headings
//! and chapters, whose probabilities are sums, agree with it. The weights are fitted to the validation texts; those of
//! particulars come after and change no other, so that a description alone is judged as if nothing else were known.

use std::ops::Range;

use super::{
    loglinear::{self, LogLinear},
    particulars::KINDS,
    tree::LEVELS,
};

/// The place of the margins of a subheading's chapter, heading and own classifier among the evidence.
pub(super) const MARGINS: usize = 0;

/// The place of the logarithms of the share of similar precedents in each of the three.
pub(super) const VOTES: usize = MARGINS + LEVELS;

/// The place of the most similar precedent.
pub(super) const NEAREST: usize = VOTES + LEVELS;

/// The place of the similarity to the texts of the nomenclature: the heading's and the subheading's.
pub(super) const NAMES: usize = NEAREST + 1;

/// The place of the logarithm of how many texts taught.
pub(super) const TAUGHT: usize = NAMES + 2;

/// The place of the logarithm of the probability by the encoder's head.
pub(super) const ENCODER: usize = TAUGHT + 1;

/// The place of what particulars say, by their kinds.
pub(super) const STATED: usize = ENCODER + 1;

/// Kinds of evidence for a subheading.
pub(super) const EVIDENCE: usize = STATED + KINDS;

/// The evidence for one subheading.
pub(super) type Evidence = [f64; EVIDENCE];

/// A text with the candidates for its code.
pub(super) type Case = loglinear::Case<EVIDENCE>;

/// The weights of the evidence.
pub(super) type Weighing = LogLinear<EVIDENCE>;

/// Some kinds of evidence.
pub(super) type Chosen = [bool; EVIDENCE];

/// The kinds that need no precedents, names or encoder.
pub(super) const FAST: Chosen = and(kinds(MARGINS..VOTES), TAUGHT..ENCODER);

/// The kinds that need no encoder.
pub(super) const WITHOUT_ENCODER: Chosen = kinds(MARGINS..ENCODER);

/// The kinds that a description gives.
pub(super) const ALL: Chosen = kinds(MARGINS..STATED);

/// The kinds that particulars give.
const PARTICULARS: Chosen = kinds(STATED..EVIDENCE);

/// The kinds of a range.
const fn kinds(range: Range<usize>) -> Chosen {
    and([false; EVIDENCE], range)
}

/// The chosen kinds and those of a range.
const fn and(mut chosen: Chosen, range: Range<usize>) -> Chosen {
    let mut kind = range.start;
    while kind < range.end {
        chosen[kind] = true;
        kind += 1;
    }
    chosen
}

/// The share of precedents that is added to each, so that none has the logarithm of 0.
pub(super) const LEAST_SHARE: f32 = 0.003;

impl Weighing {
    /// What to begin with: margins count, and so do precedents where they are used.
    pub(super) fn first(used: Chosen) -> Self {
        let mut weights = [0.0; EVIDENCE];
        for (place, start) in [
            (MARGINS..VOTES, 1.0),
            (VOTES..NEAREST, 0.3),
            (NEAREST..NAMES, 0.5),
            (NAMES..TAUGHT, 1.0),
            (TAUGHT..ENCODER, 0.1),
            (ENCODER..STATED, 0.3),
        ] {
            if used[place.start] {
                weights[place].fill(start);
            }
        }
        Self { weights, doubt: 0.02 }
    }

    /// The weights and the doubt under which the cases' own candidates are the most likely, the cases being those of so
    /// many texts; kinds not used stay 0.
    pub(super) fn fit(cases: &[Case], texts: usize, used: Chosen) -> Self {
        let mut weighing = Self::first(used);
        weighing.climb(cases, &places(used), Some(texts));
        weighing
    }

    /// With the weights of particulars under which the cases' own candidates are the most likely.
    pub(super) fn with_particulars(mut self, cases: &[Case]) -> Self {
        self.climb(cases, &places(PARTICULARS), None);
        self
    }

    /// Whether precedents count.
    pub(super) fn uses_precedents(&self) -> bool {
        self.weights[VOTES..NAMES].iter().any(|weight| *weight != 0.0)
    }

    /// Whether the texts of the nomenclature count.
    pub(super) fn uses_names(&self) -> bool {
        self.weights[NAMES..TAUGHT].iter().any(|weight| *weight != 0.0)
    }

    /// Whether the encoder's head counts.
    pub(super) fn uses_encoder(&self) -> bool {
        self.weights[ENCODER] != 0.0
    }
}

/// The places of the chosen kinds.
fn places(chosen: Chosen) -> Vec<usize> {
    (0..EVIDENCE).filter(|kind| chosen[*kind]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hs::loglinear::Candidate;

    #[test]
    fn kinds_that_are_not_used_count_nothing_and_particulars_change_nothing_else() {
        let number = |seed: u64| (crate::learning::mix(seed) >> 40) as f64 / (1_u64 << 24) as f64;
        let case = |case: u64| {
            let candidates: Vec<_> = (0..5)
                .map(|at| Candidate {
                    evidence: std::array::from_fn(|kind| number(case * 1000 + at * 100 + kind as u64)),
                    stands_for: 1.0,
                })
                .collect();
            let score = |at: &usize| candidates[*at].evidence[0] + candidates[*at].evidence[STATED];
            let right = (0..5).max_by(|one, other| score(one).total_cmp(&score(other))).expect("five");
            Case { candidates, right, chance: 0.01 }
        };
        let cases: Vec<Case> = (0..200).map(case).collect();
        let fast = Weighing::fit(&cases, cases.len(), FAST);
        assert!(!fast.uses_precedents() && !fast.uses_names() && !fast.uses_encoder());
        assert!(fast.weights[MARGINS] > 1.0, "{fast:?}");
        let all = Weighing::fit(&cases, cases.len(), ALL);
        assert!(all.uses_precedents() && all.uses_names() && all.uses_encoder());
        let stated = fast.with_particulars(&cases);
        assert_eq!((&stated.weights[..STATED], stated.doubt), (&fast.weights[..STATED], fast.doubt));
        assert!(stated.weights[STATED] > 1.0, "{stated:?}");
    }
}
