//! From several kinds of evidence to one probability for each subheading.
//!
//! A log-linear model: a subheading's score is a weighted sum of its [`Evidence`], and the softmax of the
//! scores is its probability, so that headings and chapters, whose probabilities are sums, agree with it. The
//! weights maximise the likelihood of the validation texts' codes, which also calibrates the
//! probabilities (Platt 1999, and Guo et al., ICML 2017, fit one such weight). The problem is concave, and Newton's method
//! solves it in a few passes; there are too few weights to overfit.

use super::tree::LEVELS;

/// Kinds of evidence for a subheading: the margins of its chapter, heading and own classifier; the logarithm
/// of the share of similar precedents in each of the three; its most similar precedent; the logarithm of
/// how many texts taught it.
pub(super) const EVIDENCE: usize = 8;

/// The evidence for one subheading.
pub(super) type Evidence = [f64; EVIDENCE];

/// The kinds that need no precedents.
pub(super) const FAST: [bool; EVIDENCE] = [true, true, true, false, false, false, false, true];

/// Every kind.
pub(super) const ALL: [bool; EVIDENCE] = [true; EVIDENCE];

/// The share of precedents that is added to each, so that none has the logarithm of 0.
pub(super) const LEAST_SHARE: f32 = 0.003;

/// The weights of the evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighing(pub(super) Evidence);

impl Weighing {
    /// What to begin with: margins count, and so do precedents where they are used.
    pub(super) fn first(used: [bool; EVIDENCE]) -> Self {
        let mut weights = [1.5, 1.2, 1.2, 0.25, 0.35, 0.45, 0.5, 0.1];
        for (weight, used) in weights.iter_mut().zip(used) {
            if !used {
                *weight = 0.0;
            }
        }
        Self(weights)
    }

    /// Whether precedents count.
    pub(super) fn uses_precedents(&self) -> bool {
        self.0[LEVELS..EVIDENCE - 1].iter().any(|weight| *weight != 0.0)
    }

    /// The scores of a case's candidates; one that stands for several has as many times the likelihood.
    fn scores(&self, case: &Case) -> Vec<f64> {
        let score = |evidence: &Evidence| {
            self.0.iter().zip(evidence).map(|(weight, value)| weight * value).sum::<f64>()
        };
        case.candidates
            .iter()
            .map(|candidate| score(&candidate.evidence) + candidate.stands_for.ln())
            .collect()
    }

    /// The weights under which the cases' own candidates are the most likely; kinds not used stay 0.
    pub(super) fn fit(cases: &[Case], used: [bool; EVIDENCE]) -> Self {
        let mut weighing = Self::first(used);
        let mut here = weighing.likelihood(cases);
        for _ in 0..MOST_STEPS {
            let Some(step) = weighing.step(cases, used) else { break };
            let mut share = 1.0;
            let better = loop {
                let mut next = weighing;
                for (weight, step) in next.0.iter_mut().zip(step) {
                    *weight += share * step;
                }
                let there = next.likelihood(cases);
                if there > here {
                    break Some((next, there));
                }
                share /= 2.0;
                if share < LEAST_STEP {
                    break None;
                }
            };
            let Some((next, there)) = better else { break };
            let gained = there - here;
            (weighing, here) = (next, there);
            if gained < TOLERANCE * cases.len() as f64 {
                break;
            }
        }
        weighing
    }

    /// The logarithm of the likelihood of the cases, less a penalty on large weights.
    fn likelihood(&self, cases: &[Case]) -> f64 {
        let mut total = 0.0;
        for case in cases {
            let scores = self.scores(case);
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            total += scores[case.right] - largest - sum.ln();
        }
        total - PENALTY / 2.0 * self.0.iter().map(|weight| weight * weight).sum::<f64>()
    }

    /// Newton's step: the solution of Hessian × step = gradient.
    fn step(&self, cases: &[Case], used: [bool; EVIDENCE]) -> Option<Evidence> {
        let (gradient, mut curvature) = self.derivatives(cases);
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
    fn derivatives(&self, cases: &[Case]) -> (Evidence, [Evidence; EVIDENCE]) {
        let mut gradient: Evidence = std::array::from_fn(|kind| -PENALTY * self.0[kind]);
        let mut curvature = [[0.0; EVIDENCE]; EVIDENCE];
        for (kind, row) in curvature.iter_mut().enumerate() {
            row[kind] = PENALTY;
        }
        for case in cases {
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
                        curvature[one][other] += probability * evidence[one] * evidence[other];
                    }
                }
            }
            for one in 0..EVIDENCE {
                gradient[one] += case.candidates[case.right].evidence[one] - mean[one];
                for other in 0..=one {
                    curvature[one][other] -= mean[one] * mean[other];
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

/// Keeps the weights of evidence that never differs from growing.
const PENALTY: f64 = 1e-2;

/// Less likely candidates do not move the derivatives.
const LEAST_PROBABILITY: f64 = 1e-9;

/// Most steps; ten are usual.
const MOST_STEPS: usize = 50;

/// The smallest part of a step that is tried.
const LEAST_STEP: f64 = 1e-4;

/// A gain a case that is not worth another step.
const TOLERANCE: f64 = 1e-7;

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
        let number = |seed: u64| (crate::hs::svm::mix(seed) >> 40) as f64 / (1_u64 << 24) as f64;
        (0..200)
            .map(|case| {
                let evidence: Vec<Evidence> = (0..5)
                    .map(|candidate| {
                        std::array::from_fn(|kind| number(case * 100 + candidate * 10 + kind as u64))
                    })
                    .collect();
                let score =
                    |at: &usize| evidence[*at][0] + evidence[*at][4] + number(case * 1000 + 77 + *at as u64);
                let right = (0..5).max_by(|one, other| score(one).total_cmp(&score(other))).expect("five");
                let alone = |evidence| Candidate { evidence, stands_for: 1.0 + (case % 3) as f64 };
                Case { candidates: evidence.into_iter().map(alone).collect(), right }
            })
            .collect()
    }

    #[test]
    fn the_derivatives_are_those_of_finite_differences() {
        let cases = cases();
        let weighing = Weighing::first(ALL);
        let (gradient, curvature) = weighing.derivatives(&cases);
        let moved = |kind: usize, by: f64| {
            let mut moved = weighing;
            moved.0[kind] += by;
            moved
        };
        for kind in 0..EVIDENCE {
            let (up, down) = (moved(kind, 1e-5), moved(kind, -1e-5));
            let slope = (up.likelihood(&cases) - down.likelihood(&cases)) / 2e-5;
            assert!((slope - gradient[kind]).abs() < 1e-3, "{kind}: {slope} and {}", gradient[kind]);
            for other in 0..EVIDENCE {
                let bend = (up.derivatives(&cases).0[other] - down.derivatives(&cases).0[other]) / 2e-5;
                assert!((bend + curvature[kind][other]).abs() < 1e-3, "{kind}, {other}");
            }
        }
    }

    #[test]
    fn the_fit_ends_where_the_gradient_vanishes() {
        let cases = cases();
        let fitted = Weighing::fit(&cases, ALL);
        let (gradient, _) = fitted.derivatives(&cases);
        assert!(gradient.iter().all(|slope| slope.abs() < 0.1), "{gradient:?}");
        assert!(fitted.likelihood(&cases) > Weighing::first(ALL).likelihood(&cases));
        assert!(fitted.0[0] > 1.0 && fitted.0[4] > 1.0 && fitted.0[1].abs() < 1.0, "{fitted:?}");
        let fast = Weighing::fit(&cases, FAST);
        assert!(!fast.uses_precedents() && fitted.uses_precedents());
        // Two candidates that differ by evidence d: the weight w solves Σ d = Σ d / (1 + e^(-w d)).
        let alone = |evidence| Candidate { evidence, stands_for: 1.0 };
        let pair = |right| Case {
            candidates: vec![alone([1.0, 0., 0., 0., 0., 0., 0., 0.]), alone([0.0; EVIDENCE])],
            right,
        };
        let three_of_four = (0..400).map(|case| pair(usize::from(case % 4 == 3))).collect::<Vec<_>>();
        let weight = Weighing::fit(&three_of_four, FAST).0[0];
        assert!((weight - 3_f64.ln()).abs() < 1e-3, "{weight}");
    }
}
