//! Fits the weights and the label noise of a log-linear model by maximum likelihood.
//!
//! EM (Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data", 1977): the expectation is how likely each
//! label is not a random one, the maximisation is one Newton step. The fit also calibrates the probabilities (Platt,
//! 1999, and Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, fit one weight). There are some twenty
//! weights for thousands of cases, too few to overfit. Start at [`LogLinear::maximise_likelihood`].

#![allow(clippy::needless_range_loop, reason = "matrices are read best by their indices")]

use tidewaiter_core::statistics::linear::solve;

use crate::model::loglinear::LogLinear;

/// The penalty of a weight's squared distance from its initial value (a Gaussian prior of variance 1). Some thousand
/// cases outweigh it; where all cases are separable it keeps the weights, and so the confidence, from growing without
/// bound.
const PENALTY: f64 = 1.0;

/// Candidates below this probability are left out of the derivatives.
const LEAST_PROBABILITY: f64 = 1e-9;

/// Most Newton steps.
const MOST_STEPS: usize = 50;

/// The smallest fraction of a Newton step that is tried.
const LEAST_STEP: f64 = 1e-4;

/// The fit ends when a step gains less log-likelihood for each case.
const TOLERANCE: f64 = 1e-5;

/// The most likely classes, each of which is a candidate of a case.
const CANDIDATES: usize = 100;

/// Of the other classes one in so many is a candidate, which stands for them.
const STRIDE: usize = 16;

/// A class that may be the right one, for itself or as a sample of several (sampled softmax: Jean et al., ACL 2015,
/// section 3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate<const INPUTS: usize> {
    /// The inputs for it.
    pub(crate) inputs: [f64; INPUTS],
    /// How many classes it stands for.
    pub(crate) stands_for: f64,
}

/// A text with a known code: the candidates for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case<const INPUTS: usize> {
    /// The candidates.
    pub(crate) candidates: Vec<Candidate<INPUTS>>,
    /// The index of the right candidate.
    pub(crate) right: usize,
    /// The probability of the code as a random label: its share of the training texts.
    pub(crate) prior: f64,
}

impl<const INPUTS: usize> Case<INPUTS> {
    /// The case of a text, given a rough score of each class, the right class, and the inputs of a class.
    pub(crate) fn of(
        scores: &[f32],
        right: usize,
        prior: f64,
        inputs: impl Fn(usize) -> [f64; INPUTS],
    ) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        let by = |one: &usize, other: &usize| scores[*other].total_cmp(&scores[*one]).then(one.cmp(other));
        let likely = CANDIDATES.min(order.len());
        if likely < order.len() {
            order.select_nth_unstable_by(likely, by);
            order[likely..].sort_unstable();
        }
        let (likely, others) = order.split_at(likely);
        let sampled: Vec<usize> = others.iter().copied().step_by(STRIDE).collect();
        let each = others.len() as f64 / sampled.len().max(1) as f64;
        let candidate = |class: &usize, stands_for| Candidate { inputs: inputs(*class), stands_for };
        let mut candidates: Vec<_> = likely.iter().map(|class| candidate(class, 1.0)).collect();
        candidates.extend(sampled.iter().map(|class| candidate(class, each)));
        let place = likely.iter().position(|class| *class == right).unwrap_or_else(|| {
            candidates.push(candidate(&right, 1.0));
            candidates.len() - 1
        });
        Self { candidates, right: place, prior }
    }
}

impl<const INPUTS: usize> LogLinear<INPUTS> {
    /// Changes the `free` weights until the likelihood of the cases grows no further. Inputs should be of the order of
    /// 1, and the initial weights sensible, since the penalty draws towards them. Where the number of texts is given,
    /// the label noise is fitted too; texts without a case, whose code has no training text, are counted as label
    /// noise.
    pub(crate) fn maximise_likelihood(
        &mut self,
        cases: &[Case<INPUTS>],
        free: &[usize],
        texts: Option<usize>,
    ) {
        if cases.is_empty() {
            return;
        }
        let (start, mut before) = (self.weights, f64::NEG_INFINITY);
        for _ in 0..MOST_STEPS {
            let expectation = self.expectation(cases, &start);
            if expectation.total - before < TOLERANCE * cases.len() as f64 {
                break;
            }
            before = expectation.total;
            *self = self.newton_step(cases, &expectation.shares, free, &start);
            if let Some(texts) = texts {
                self.label_noise =
                    1.0 - expectation.shares.iter().sum::<f64>() / texts.max(cases.len()) as f64;
            }
        }
    }

    /// The scores of a case's candidates; that of a candidate for several classes is raised by their number's
    /// logarithm.
    fn scores(&self, case: &Case<INPUTS>) -> Vec<f64> {
        let score = |inputs: &[f64; INPUTS]| {
            self.weights.iter().zip(inputs).map(|(weight, value)| weight * value).sum::<f64>()
        };
        case.candidates.iter().map(|candidate| score(&candidate.inputs) + candidate.stands_for.ln()).collect()
    }

    /// The expectation of EM, and the penalised log-likelihood of all cases.
    fn expectation(&self, cases: &[Case<INPUTS>], start: &[f64; INPUTS]) -> Expectation {
        let mut expectation = Expectation { shares: Vec::with_capacity(cases.len()), total: 0.0 };
        for case in cases {
            let due = (1.0 - self.label_noise) * self.logarithm(case).exp();
            let all = due + self.label_noise * case.prior;
            expectation.shares.push(due / all);
            expectation.total += all.ln();
        }
        expectation.total -= self.penalty(start);
        expectation
    }

    fn penalty(&self, start: &[f64; INPUTS]) -> f64 {
        let squares = self.weights.iter().zip(start).map(|(weight, start)| (weight - start).powi(2));
        PENALTY / 2.0 * squares.sum::<f64>()
    }

    /// The logarithm of the right candidate's probability, without label noise.
    fn logarithm(&self, case: &Case<INPUTS>) -> f64 {
        let scores = self.scores(case);
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        scores[case.right] - largest - sum.ln()
    }

    /// The log-likelihood of the cases without label noise, weighted by their shares, less the penalty.
    fn likelihood(&self, cases: &[Case<INPUTS>], shares: &[f64], start: &[f64; INPUTS]) -> f64 {
        let total: f64 = cases.iter().zip(shares).map(|(case, share)| share * self.logarithm(case)).sum();
        total - self.penalty(start)
    }

    /// The model after a Newton step, halved until the likelihood grows; the same model where it does not.
    fn newton_step(
        &self,
        cases: &[Case<INPUTS>],
        shares: &[f64],
        free: &[usize],
        start: &[f64; INPUTS],
    ) -> Self {
        let (gradient, curvature) = self.derivatives(cases, shares, free, start);
        let Some(step) = solve(curvature, gradient) else { return *self };
        let here = self.likelihood(cases, shares, start);
        let mut length = 1.0;
        while length > LEAST_STEP {
            let mut next = *self;
            for (input, step) in free.iter().zip(&step) {
                next.weights[*input] += length * step;
            }
            if next.likelihood(cases, shares, start) > here {
                return next;
            }
            length /= 2.0;
        }
        *self
    }

    /// The gradient of the likelihood by the free weights, and the negative Hessian.
    fn derivatives(
        &self,
        cases: &[Case<INPUTS>],
        shares: &[f64],
        free: &[usize],
        start: &[f64; INPUTS],
    ) -> (Vec<f64>, Vec<Vec<f64>>) {
        let count = free.len();
        let away = |input: &usize| -PENALTY * (self.weights[*input] - start[*input]);
        let mut gradient: Vec<f64> = free.iter().map(away).collect();
        let mut curvature = vec![vec![0.0; count]; count];
        for (at, row) in curvature.iter_mut().enumerate() {
            row[at] = PENALTY;
        }
        let (mut own, mut mean) = (vec![0.0; count], vec![0.0; count]);
        for (case, share) in cases.iter().zip(shares) {
            let scores = self.scores(case);
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            mean.fill(0.0);
            for (Candidate { inputs, .. }, score) in case.candidates.iter().zip(&scores) {
                let probability = (score - largest).exp() / sum;
                if probability < LEAST_PROBABILITY {
                    continue;
                }
                for (own, input) in own.iter_mut().zip(free) {
                    *own = inputs[*input];
                }
                for one in 0..count {
                    mean[one] += probability * own[one];
                    for other in 0..=one {
                        curvature[one][other] += share * probability * own[one] * own[other];
                    }
                }
            }
            let right = &case.candidates[case.right].inputs;
            for one in 0..count {
                gradient[one] += share * (right[free[one]] - mean[one]);
                for other in 0..=one {
                    curvature[one][other] -= share * mean[one] * mean[other];
                }
            }
        }
        for one in 0..count {
            for other in 0..one {
                curvature[other][one] = curvature[one][other];
            }
        }
        (gradient, curvature)
    }
}

/// How likely the cases are.
struct Expectation {
    /// The probability that each case's code is not a random label.
    shares: Vec<f64>,
    /// The penalised log-likelihood of all cases.
    total: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: usize = 4;

    type Inputs = [f64; INPUTS];

    const START: LogLinear<INPUTS> = LogLinear { weights: [0.5, 0.3, 0.1, 0.2], label_noise: 0.02 };

    /// Other initial weights, for the derivatives.
    const OTHER_START: Inputs = [0.7, -0.2, 0.4, 0.0];

    /// Cases whose right candidate is not always the one with the highest score; the second input is noise.
    fn cases() -> Vec<Case<INPUTS>> {
        let number = |seed: u64| (tidewaiter_core::chance::mix(seed) >> 40) as f64 / (1_u64 << 24) as f64;
        (0..200)
            .map(|case| {
                let inputs: Vec<Inputs> = (0..5)
                    .map(|candidate| {
                        std::array::from_fn(|input| number(case * 100 + candidate * 10 + input as u64))
                    })
                    .collect();
                let score =
                    |at: &usize| inputs[*at][0] + inputs[*at][2] + number(case * 1000 + 77 + *at as u64);
                let right = (0..5).max_by(|one, other| score(one).total_cmp(&score(other))).expect("five");
                let alone = |inputs| Candidate { inputs, stands_for: 1.0 + (case % 3) as f64 };
                Case { candidates: inputs.into_iter().map(alone).collect(), right, prior: 0.01 }
            })
            .collect()
    }

    /// Inputs of which only the first is not 0.
    fn first(value: f64) -> Inputs {
        [value, 0.0, 0.0, 0.0]
    }

    #[test]
    fn the_derivatives_are_those_of_finite_differences() {
        let cases = cases();
        let shares: Vec<f64> = (0..cases.len()).map(|case| 0.5 + 0.1 * (case % 5) as f64).collect();
        let free = [0, 2, 3];
        let (gradient, curvature) = START.derivatives(&cases, &shares, &free, &OTHER_START);
        let moved = |input: usize, by: f64| {
            let mut moved = START;
            moved.weights[input] += by;
            moved
        };
        for (one, input) in free.into_iter().enumerate() {
            let (up, down) = (moved(input, 1e-5), moved(input, -1e-5));
            let slope = (up.likelihood(&cases, &shares, &OTHER_START)
                - down.likelihood(&cases, &shares, &OTHER_START))
                / 2e-5;
            assert!((slope - gradient[one]).abs() < 1e-3, "{input}: {slope} and {}", gradient[one]);
            let (up, down) = (
                up.derivatives(&cases, &shares, &free, &OTHER_START).0,
                down.derivatives(&cases, &shares, &free, &OTHER_START).0,
            );
            for other in 0..free.len() {
                let bend = (up[other] - down[other]) / 2e-5;
                assert!((bend + curvature[one][other]).abs() < 1e-3, "{input}, {other}");
            }
        }
    }

    #[test]
    fn the_fit_ends_at_a_maximum_and_changes_only_free_weights() {
        let cases = cases();
        let mut fitted = START;
        fitted.maximise_likelihood(&cases, &[0, 1, 2, 3], Some(cases.len()));
        let total = |fusion: &LogLinear<INPUTS>| fusion.expectation(&cases, &START.weights).total;
        assert!(total(&fitted) > total(&START));
        for input in 0..INPUTS {
            for by in [0.2, -0.2] {
                let mut moved = fitted;
                moved.weights[input] += by;
                assert!(total(&moved) < total(&fitted) + 0.01, "{input}");
            }
        }
        assert!(fitted.weights[0] > 1.0 && fitted.weights[2] > 1.0, "{fitted:?}");
        let mut some = START;
        some.maximise_likelihood(&cases, &[2], None);
        let [one, two, _, four] = START.weights;
        assert_eq!((some.weights, some.label_noise), ([one, two, some.weights[2], four], START.label_noise));
        assert!(total(&some) > total(&START) && some.weights[2] > 0.5);
    }

    #[test]
    fn two_candidates_have_the_odds_that_were_seen() {
        // In three of four cases the candidate with the input 1 is right and not that with 0; a random label is rare.
        let alone = |inputs| Candidate { inputs, stands_for: 1.0 };
        let case =
            |right| Case { candidates: vec![alone(first(1.0)), alone(first(0.0))], right, prior: 1e-6 };
        let three_of_four: Vec<_> = (0..400).map(|number| case(usize::from(number % 4 == 3))).collect();
        let mut fitted = START;
        fitted.maximise_likelihood(&three_of_four, &[0], Some(400));
        assert!((fitted.weights[0] - 3_f64.ln()).abs() < 0.02 && fitted.label_noise < 1e-3, "{fitted:?}");
    }

    #[test]
    fn random_labels_become_label_noise_and_lower_no_confidence() {
        // Nine of ten cases have the candidate with the highest input; the tenth has a random label.
        let cases: Vec<_> = (0..1000)
            .map(|number| Case {
                candidates: (0..10)
                    .map(|at| Candidate { inputs: first(if at == 0 { 5.0 } else { 0.0 }), stands_for: 1.0 })
                    .collect(),
                right: if number % 10 == 0 { 1 + number / 10 % 9 } else { 0 },
                prior: 0.1,
            })
            .collect();
        let mut fitted = LogLinear { weights: [1.5, 0.0, 0.0, 0.0], ..START };
        fitted.maximise_likelihood(&cases, &[0, 1, 2, 3], Some(cases.len()));
        assert!((0.05..0.15).contains(&fitted.label_noise), "{fitted:?}");
        assert!(fitted.logarithm(&cases[1]).exp() > 0.95, "{fitted:?}");
        // As many texts again whose codes have no training text.
        fitted.maximise_likelihood(&cases, &[0, 1, 2, 3], Some(2 * cases.len()));
        assert!((0.5..0.6).contains(&fitted.label_noise), "{fitted:?}");
    }

    #[test]
    fn a_case_has_the_likely_classes_a_part_of_the_others_and_the_right_one() {
        let scores: Vec<f32> = (0..500).map(|class| -(class as f32)).collect();
        let inputs = |class: usize| [class as f64, 0.0, 0.0, 0.0];
        let case = Case::of(&scores, 3, 0.5, inputs);
        assert_eq!((case.candidates.len(), case.candidates[case.right].inputs[0]), (100 + 25, 3.0));
        assert!(case.candidates[..100].iter().all(|candidate| candidate.inputs[0] < 100.0));
        let all: f64 = case.candidates.iter().map(|candidate| candidate.stands_for).sum();
        assert!((all - 500.0).abs() < 1e-9);
        let far = Case::of(&scores, 499, 0.5, inputs);
        assert_eq!((far.candidates.len(), far.candidates[far.right].inputs[0]), (126, 499.0));
    }
}
