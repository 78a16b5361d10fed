//! From several kinds of evidence to one probability for each subheading.
//!
//! A log-linear model: a subheading's score is a weighted sum of its [`Evidence`], and the softmax of the
//! scores is its probability, so that headings and chapters, whose probabilities are sums, agree with it. Some
//! declared codes have nothing to do with the description; so that these few do not take the confidence
//! from all others, a code is due to chance with a small probability, the *doubt*. Weights and doubt maximise the
//! likelihood of the validation texts' codes, which also calibrates the probabilities (Platt 1999, and Guo
//! et al., ICML 2017, fit one weight). Source of the method: Dempster, Laird and Rubin 1977 (EM), with one of
//! Newton's steps for its maximisation. There are too few weights to overfit.

#![allow(clippy::needless_range_loop, reason = "matrices are read best by their indices")]

use std::ops::Range;

use super::{particulars::KINDS, tree::LEVELS};

/// The place of the margins of a subheading's chapter, heading and own classifier among the evidence.
pub(super) const MARGINS: usize = 0;

/// The place of the logarithms of the share of similar precedents in each of the three.
pub(super) const VOTES: usize = MARGINS + LEVELS;

/// The place of the most similar precedent.
pub(super) const NEAREST: usize = VOTES + LEVELS;

/// The place of the logarithm of how many texts taught.
pub(super) const TAUGHT: usize = NEAREST + 1;

/// The place of the logarithm of the probability by the encoder's head.
pub(super) const ENCODER: usize = TAUGHT + 1;

/// The place of what particulars say, by their kinds.
pub(super) const STATED: usize = ENCODER + 1;

/// Kinds of evidence for a subheading.
pub(super) const EVIDENCE: usize = STATED + KINDS;

/// The evidence for one subheading.
pub(super) type Evidence = [f64; EVIDENCE];

/// Some kinds of evidence.
pub(super) type Chosen = [bool; EVIDENCE];

/// The kinds that need neither precedents nor an encoder.
pub(super) const FAST: Chosen = and(kinds(MARGINS..VOTES), TAUGHT..ENCODER);

/// The kinds that need no encoder.
pub(super) const WITHOUT_ENCODER: Chosen = kinds(MARGINS..ENCODER);

/// The kinds that a description gives.
pub(super) const ALL: Chosen = kinds(MARGINS..STATED);

/// The kinds that particulars give.
pub(super) const PARTICULARS: Chosen = kinds(STATED..EVIDENCE);

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

/// The weights of the evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighing {
    pub(super) weights: Evidence,
    /// How likely a declared code has nothing to do with the description, 0 to 1.
    pub(super) doubt: f64,
}

impl Weighing {
    /// What to begin with: margins count, and so do precedents where they are used.
    pub(super) fn first(used: Chosen) -> Self {
        let mut weights = [1.5, 1.2, 1.2, 0.25, 0.35, 0.45, 0.5, 0.1, 0.3, 0.0, 0.0, 0.0, 0.0];
        for (weight, used) in weights.iter_mut().zip(used) {
            if !used {
                *weight = 0.0;
            }
        }
        Self { weights, doubt: 0.02 }
    }

    /// Whether precedents count.
    pub(super) fn uses_precedents(&self) -> bool {
        self.weights[VOTES..TAUGHT].iter().any(|weight| *weight != 0.0)
    }

    /// Whether the encoder's head counts.
    pub(super) fn uses_encoder(&self) -> bool {
        self.weights[ENCODER] != 0.0
    }

    /// The scores of a case's candidates; one that stands for several has as many times the likelihood.
    fn scores(&self, case: &Case) -> Vec<f64> {
        let score = |evidence: &Evidence| {
            self.weights.iter().zip(evidence).map(|(weight, value)| weight * value).sum::<f64>()
        };
        case.candidates
            .iter()
            .map(|candidate| score(&candidate.evidence) + candidate.stands_for.ln())
            .collect()
    }

    /// The weights and the doubt under which the cases' own candidates are the most likely; kinds not used
    /// stay 0.
    pub(super) fn fit(cases: &[Case], used: Chosen) -> Self {
        let mut weighing = Self::first(used);
        weighing.climb(cases, used, true);
        weighing
    }

    /// With the weights of particulars under which the cases' own candidates are the most likely. All others stay as
    /// they are, so that a description alone is judged as before.
    pub(super) fn with_particulars(mut self, cases: &[Case]) -> Self {
        self.climb(cases, PARTICULARS, false);
        self
    }

    /// Changes some weights, and the doubt if that is free, until the cases get no likelier.
    fn climb(&mut self, cases: &[Case], free: Chosen, free_doubt: bool) {
        let mut before = f64::NEG_INFINITY;
        for _ in 0..MOST_STEPS {
            let trust = self.trust(cases);
            if trust.total - before < TOLERANCE * cases.len() as f64 {
                break;
            }
            before = trust.total;
            *self = self.improved(cases, &trust.shares, free);
            if free_doubt {
                self.doubt = 1.0 - trust.shares.iter().sum::<f64>() / cases.len().max(1) as f64;
            }
        }
    }

    /// How likely each case's code is due to its description, and the logarithm of the likelihood of all.
    fn trust(&self, cases: &[Case]) -> Trust {
        let mut trust = Trust { shares: Vec::with_capacity(cases.len()), total: 0.0 };
        for case in cases {
            let due = (1.0 - self.doubt) * self.logarithm(case).exp();
            let all = due + self.doubt * case.chance;
            trust.shares.push(due / all);
            trust.total += all.ln();
        }
        trust.total -= PENALTY / 2.0 * self.weights.iter().map(|weight| weight * weight).sum::<f64>();
        trust
    }

    /// The logarithm of a case's own candidate's probability, without doubt.
    fn logarithm(&self, case: &Case) -> f64 {
        let scores = self.scores(case);
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        scores[case.right] - largest - sum.ln()
    }

    /// The logarithm of the likelihood of the cases as far as they are trusted, less a penalty on large
    /// weights.
    fn likelihood(&self, cases: &[Case], shares: &[f64]) -> f64 {
        let total: f64 = cases.iter().zip(shares).map(|(case, share)| share * self.logarithm(case)).sum();
        total - PENALTY / 2.0 * self.weights.iter().map(|weight| weight * weight).sum::<f64>()
    }

    /// After one of Newton's steps, made shorter until it helps; itself where none does.
    fn improved(&self, cases: &[Case], shares: &[f64], used: Chosen) -> Self {
        let Some(step) = self.step(cases, shares, used) else { return *self };
        let here = self.likelihood(cases, shares);
        let mut length = 1.0;
        while length > LEAST_STEP {
            let mut next = *self;
            for (weight, step) in next.weights.iter_mut().zip(step) {
                *weight += length * step;
            }
            if next.likelihood(cases, shares) > here {
                return next;
            }
            length /= 2.0;
        }
        *self
    }

    /// Newton's step: the solution of Hessian × step = gradient.
    fn step(&self, cases: &[Case], shares: &[f64], used: Chosen) -> Option<Evidence> {
        let (gradient, mut curvature) = self.derivatives(cases, shares);
        let mut right = gradient;
        for kind in (0..EVIDENCE).filter(|kind| !used[*kind]) {
            right[kind] = 0.0;
            for other in 0..EVIDENCE {
                curvature[kind][other] = 0.0;
                curvature[other][kind] = 0.0;
            }
            curvature[kind][kind] = 1.0;
        }
        solve(curvature, right)
    }

    /// The gradient of the likelihood, and its curvature (the Hessian's opposite).
    fn derivatives(&self, cases: &[Case], shares: &[f64]) -> (Evidence, [Evidence; EVIDENCE]) {
        let mut gradient: Evidence = std::array::from_fn(|kind| -PENALTY * self.weights[kind]);
        let mut curvature = [[0.0; EVIDENCE]; EVIDENCE];
        for (kind, row) in curvature.iter_mut().enumerate() {
            row[kind] = PENALTY;
        }
        for (case, share) in cases.iter().zip(shares) {
            let scores = self.scores(case);
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            let mut mean = [0.0; EVIDENCE];
            for (Candidate { evidence, .. }, score) in case.candidates.iter().zip(&scores) {
                let probability = (score - largest).exp() / sum;
                if probability < LEAST_PROBABILITY {
                    continue;
                }
                for one in 0..EVIDENCE {
                    mean[one] += probability * evidence[one];
                    for other in 0..=one {
                        curvature[one][other] += share * probability * evidence[one] * evidence[other];
                    }
                }
            }
            for one in 0..EVIDENCE {
                gradient[one] += share * (case.candidates[case.right].evidence[one] - mean[one]);
                for other in 0..=one {
                    curvature[one][other] -= share * mean[one] * mean[other];
                }
            }
        }
        for one in 0..EVIDENCE {
            for other in 0..one {
                curvature[other][one] = curvature[one][other];
            }
        }
        (gradient, curvature)
    }
}

/// What is believed of cases.
struct Trust {
    shares: Vec<f64>,
    total: f64,
}

/// Keeps the weights of evidence that never differs from growing.
const PENALTY: f64 = 1e-2;

/// Less likely candidates do not move the derivatives.
const LEAST_PROBABILITY: f64 = 1e-9;

/// Most steps.
const MOST_STEPS: usize = 50;

/// The smallest part of a step that is tried.
const LEAST_STEP: f64 = 1e-4;

/// A gain a case that is not worth another step.
const TOLERANCE: f64 = 1e-5;

/// A subheading that may be the right one, alone or for others like it (a sampled softmax: Jean et al., ACL
/// 2015, section 3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// The evidence for it.
    pub(super) evidence: Evidence,
    /// How many subheadings it stands for.
    pub(super) stands_for: f64,
}

/// A text whose code is known, with the candidates for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    /// The candidates.
    pub(super) candidates: Vec<Candidate>,
    /// Which candidate is right.
    pub(super) right: usize,
    /// How likely its code is for a description that says nothing: its share of the training texts.
    pub(super) chance: f64,
}

/// Solves a symmetric system by Gaussian elimination with pivots; `None` when it is singular.
fn solve(mut matrix: [Evidence; EVIDENCE], mut right: Evidence) -> Option<Evidence> {
    for column in 0..EVIDENCE {
        let pivot = (column..EVIDENCE)
            .max_by(|one, other| matrix[*one][column].abs().total_cmp(&matrix[*other][column].abs()))?;
        if matrix[pivot][column].abs() < 1e-12 {
            return None;
        }
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..EVIDENCE {
            let factor = matrix[row][column] / matrix[column][column];
            for other in column..EVIDENCE {
                matrix[row][other] -= factor * matrix[column][other];
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..EVIDENCE).rev() {
        let known: f64 = (row + 1..EVIDENCE).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases whose right candidate is not always the one with the most evidence.
    fn cases() -> Vec<Case> {
        let number = |seed: u64| (crate::learning::mix(seed) >> 40) as f64 / (1_u64 << 24) as f64;
        (0..200)
            .map(|case| {
                let evidence: Vec<Evidence> = (0..5)
                    .map(|candidate| {
                        std::array::from_fn(|kind| number(case * 100 + candidate * 20 + kind as u64))
                    })
                    .collect();
                let chance = |at: usize| number(case * 1000 + 77 + at as u64);
                let score = |at: &usize| {
                    [0, 4, STATED].map(|kind| evidence[*at][kind]).iter().sum::<f64>() + chance(*at)
                };
                let right = (0..5).max_by(|one, other| score(one).total_cmp(&score(other))).expect("five");
                let alone = |evidence| Candidate { evidence, stands_for: 1.0 + (case % 3) as f64 };
                Case { candidates: evidence.into_iter().map(alone).collect(), right, chance: 0.01 }
            })
            .collect()
    }

    /// Evidence of the first kind only.
    fn first(value: f64) -> Evidence {
        std::array::from_fn(|kind| if kind == 0 { value } else { 0.0 })
    }

    #[test]
    fn the_derivatives_are_those_of_finite_differences() {
        let cases = cases();
        let shares: Vec<f64> = (0..cases.len()).map(|case| 0.5 + 0.1 * (case % 5) as f64).collect();
        let weighing = Weighing::first(ALL);
        let (gradient, curvature) = weighing.derivatives(&cases, &shares);
        let moved = |kind: usize, by: f64| {
            let mut moved = weighing;
            moved.weights[kind] += by;
            moved
        };
        for kind in 0..EVIDENCE {
            let (up, down) = (moved(kind, 1e-5), moved(kind, -1e-5));
            let slope = (up.likelihood(&cases, &shares) - down.likelihood(&cases, &shares)) / 2e-5;
            assert!((slope - gradient[kind]).abs() < 1e-3, "{kind}: {slope} and {}", gradient[kind]);
            for other in 0..EVIDENCE {
                let (up, down) = (up.derivatives(&cases, &shares).0, down.derivatives(&cases, &shares).0);
                let bend = (up[other] - down[other]) / 2e-5;
                assert!((bend + curvature[kind][other]).abs() < 1e-3, "{kind}, {other}");
            }
        }
    }

    #[test]
    fn the_fit_ends_where_nothing_near_is_likelier() {
        let cases = cases();
        let fitted = Weighing::fit(&cases, ALL);
        let total = |weighing: &Weighing| weighing.trust(&cases).total;
        assert!(total(&fitted) > total(&Weighing::first(ALL)));
        for kind in 0..STATED {
            for by in [0.2, -0.2] {
                let mut moved = fitted;
                moved.weights[kind] += by;
                assert!(total(&moved) < total(&fitted) + 0.01, "{kind}");
            }
        }
        assert!(fitted.weights[0] > 1.0 && fitted.weights[4] > 1.0, "{fitted:?}");
        let fast = Weighing::fit(&cases, FAST);
        assert!(!fast.uses_precedents() && fitted.uses_precedents());
    }

    #[test]
    fn particulars_are_weighed_beside_what_stands() {
        let cases = cases();
        let alone = Weighing::fit(&cases, FAST);
        let both = alone.with_particulars(&cases);
        assert_eq!((&both.weights[..STATED], both.doubt), (&alone.weights[..STATED], alone.doubt));
        assert!(both.weights[STATED] > 0.5 && both.trust(&cases).total > alone.trust(&cases).total);
    }

    #[test]
    fn two_candidates_have_the_odds_that_were_seen() {
        // Three of four cases are the candidate with the evidence 1 against 0; chance gives one of a million.
        let alone = |evidence| Candidate { evidence, stands_for: 1.0 };
        let case =
            |right| Case { candidates: vec![alone(first(1.0)), alone(first(0.0))], right, chance: 1e-6 };
        let three_of_four: Vec<Case> = (0..400).map(|number| case(usize::from(number % 4 == 3))).collect();
        let fitted = Weighing::fit(&three_of_four, FAST);
        assert!((fitted.weights[0] - 3_f64.ln()).abs() < 0.02 && fitted.doubt < 1e-3, "{fitted:?}");
    }

    #[test]
    fn codes_by_chance_are_doubted_and_take_no_confidence() {
        // Nine of ten cases are what evidence says without fail; the tenth is one of many codes by chance.
        let cases: Vec<Case> = (0..1000)
            .map(|number| Case {
                candidates: (0..10)
                    .map(|at| Candidate { evidence: first(if at == 0 { 5.0 } else { 0.0 }), stands_for: 1.0 })
                    .collect(),
                right: if number % 10 == 0 { 1 + number / 10 % 9 } else { 0 },
                chance: 0.1,
            })
            .collect();
        let fitted = Weighing::fit(&cases, FAST);
        assert!((0.05..0.15).contains(&fitted.doubt), "{fitted:?}");
        assert!(fitted.logarithm(&cases[1]).exp() > 0.95, "{fitted:?}");
    }
}
