//! Weights under which evidence says how likely each candidate is: a log-linear model with doubt.
//!
//! A candidate's score is a weighted sum of its evidence, and the softmax of the scores is its probability. Some
//! declared codes have nothing to do with the description; so that these few do not take the confidence
//! from all others, a code is due to chance with a small probability, the *doubt*. Weights and doubt maximise the
//! likelihood of the right candidates, which also calibrates the probabilities (Platt 1999, and Guo
//! et al., ICML 2017, fit one weight). Source of the method: Dempster, Laird and Rubin 1977 (EM), with one of
//! Newton's steps for its maximisation. There are too few weights to overfit. Start at [`LogLinear::climb`].

#![allow(clippy::needless_range_loop, reason = "matrices are read best by their indices")]

/// What the square of a weight's distance from its beginning costs, beside the logarithm of the cases' likelihood. Some
/// thousand cases outweigh it; where everything is told apart without effort, it keeps the weights, and so the
/// confidence, from growing without end.
const PENALTY: f64 = 1.0;

/// Less likely candidates do not move the derivatives.
const LEAST_PROBABILITY: f64 = 1e-9;

/// Most steps.
const MOST_STEPS: usize = 50;

/// The smallest part of a step that is tried.
const LEAST_STEP: f64 = 1e-4;

/// A gain a case that is not worth another step.
const TOLERANCE: f64 = 1e-5;

/// Likely candidates of a case.
const CANDIDATES: usize = 100;

/// Of the others, one in so many is a candidate that stands for them.
const STRIDE: usize = 16;

/// Weights for so many kinds of evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LogLinear<const KINDS: usize> {
    pub(super) weights: [f64; KINDS],
    /// How likely a declared code has nothing to do with the description, 0 to 1.
    pub(super) doubt: f64,
}

/// A class that may be the right one, alone or for others like it (a sampled softmax: Jean et al., ACL
/// 2015, section 3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate<const KINDS: usize> {
    /// The evidence for it.
    pub(super) evidence: [f64; KINDS],
    /// How many classes it stands for.
    pub(super) stands_for: f64,
}

/// A text whose code is known, with the candidates for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case<const KINDS: usize> {
    /// The candidates.
    pub(super) candidates: Vec<Candidate<KINDS>>,
    /// Which candidate is right.
    pub(super) right: usize,
    /// How likely its code is for a description that says nothing: its share of the training texts.
    pub(super) chance: f64,
}

impl<const KINDS: usize> Case<KINDS> {
    /// The case of a text, given roughly how well each class does, which is right, and the evidence for a class.
    pub(super) fn of(
        scores: &[f32],
        right: usize,
        chance: f64,
        evidence: impl Fn(usize) -> [f64; KINDS],
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
        let candidate = |class: &usize, stands_for| Candidate { evidence: evidence(*class), stands_for };
        let mut candidates: Vec<_> = likely.iter().map(|class| candidate(class, 1.0)).collect();
        candidates.extend(sampled.iter().map(|class| candidate(class, each)));
        let place = likely.iter().position(|class| *class == right).unwrap_or_else(|| {
            candidates.push(candidate(&right, 1.0));
            candidates.len() - 1
        });
        Self { candidates, right: place, chance }
    }
}

impl<const KINDS: usize> LogLinear<KINDS> {
    /// Changes some weights until the cases get no likelier. Evidence should have about the size of 1 and begin with a
    /// sensible weight, near which a prior keeps it (a Gaussian of variance 1). The doubt is free where the number of
    /// texts is given: those that are no cases, as their code was never taught, are due to it.
    pub(super) fn climb(&mut self, cases: &[Case<KINDS>], free: &[usize], texts: Option<usize>) {
        if cases.is_empty() {
            return;
        }
        let (start, mut before) = (self.weights, f64::NEG_INFINITY);
        for _ in 0..MOST_STEPS {
            let trust = self.trust(cases, &start);
            if trust.total - before < TOLERANCE * cases.len() as f64 {
                break;
            }
            before = trust.total;
            *self = self.improved(cases, &trust.shares, free, &start);
            if let Some(texts) = texts {
                self.doubt = 1.0 - trust.shares.iter().sum::<f64>() / texts.max(cases.len()) as f64;
            }
        }
    }

    /// The scores of a case's candidates; one that stands for several has as many times the likelihood.
    fn scores(&self, case: &Case<KINDS>) -> Vec<f64> {
        let score = |evidence: &[f64; KINDS]| {
            self.weights.iter().zip(evidence).map(|(weight, value)| weight * value).sum::<f64>()
        };
        case.candidates
            .iter()
            .map(|candidate| score(&candidate.evidence) + candidate.stands_for.ln())
            .collect()
    }

    /// How likely each case's code is due to its description, and the logarithm of the likelihood of all.
    fn trust(&self, cases: &[Case<KINDS>], start: &[f64; KINDS]) -> Trust {
        let mut trust = Trust { shares: Vec::with_capacity(cases.len()), total: 0.0 };
        for case in cases {
            let due = (1.0 - self.doubt) * self.logarithm(case).exp();
            let all = due + self.doubt * case.chance;
            trust.shares.push(due / all);
            trust.total += all.ln();
        }
        trust.total -= self.penalty(start);
        trust
    }

    fn penalty(&self, start: &[f64; KINDS]) -> f64 {
        let squares = self.weights.iter().zip(start).map(|(weight, start)| (weight - start).powi(2));
        PENALTY / 2.0 * squares.sum::<f64>()
    }

    /// The logarithm of a case's own candidate's probability, without doubt.
    fn logarithm(&self, case: &Case<KINDS>) -> f64 {
        let scores = self.scores(case);
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        scores[case.right] - largest - sum.ln()
    }

    /// The logarithm of the likelihood of the cases as far as they are trusted, less the penalty.
    fn likelihood(&self, cases: &[Case<KINDS>], shares: &[f64], start: &[f64; KINDS]) -> f64 {
        let total: f64 = cases.iter().zip(shares).map(|(case, share)| share * self.logarithm(case)).sum();
        total - self.penalty(start)
    }

    /// After one of Newton's steps, made shorter until it helps; itself where none does.
    fn improved(&self, cases: &[Case<KINDS>], shares: &[f64], free: &[usize], start: &[f64; KINDS]) -> Self {
        let (gradient, curvature) = self.derivatives(cases, shares, free, start);
        let Some(step) = solve(curvature, gradient) else { return *self };
        let here = self.likelihood(cases, shares, start);
        let mut length = 1.0;
        while length > LEAST_STEP {
            let mut next = *self;
            for (kind, step) in free.iter().zip(&step) {
                next.weights[*kind] += length * step;
            }
            if next.likelihood(cases, shares, start) > here {
                return next;
            }
            length /= 2.0;
        }
        *self
    }

    /// The gradient of the likelihood by the free weights, and its curvature (the Hessian's opposite).
    fn derivatives(
        &self,
        cases: &[Case<KINDS>],
        shares: &[f64],
        free: &[usize],
        start: &[f64; KINDS],
    ) -> (Vec<f64>, Vec<Vec<f64>>) {
        let count = free.len();
        let away = |kind: &usize| -PENALTY * (self.weights[*kind] - start[*kind]);
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
            for (Candidate { evidence, .. }, score) in case.candidates.iter().zip(&scores) {
                let probability = (score - largest).exp() / sum;
                if probability < LEAST_PROBABILITY {
                    continue;
                }
                for (own, kind) in own.iter_mut().zip(free) {
                    *own = evidence[*kind];
                }
                for one in 0..count {
                    mean[one] += probability * own[one];
                    for other in 0..=one {
                        curvature[one][other] += share * probability * own[one] * own[other];
                    }
                }
            }
            let right = &case.candidates[case.right].evidence;
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

/// What is believed of cases.
struct Trust {
    shares: Vec<f64>,
    total: f64,
}

/// Solves a symmetric system by Gaussian elimination with pivots; `None` when it is singular.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let count = right.len();
    for column in 0..count {
        let pivot = (column..count)
            .max_by(|one, other| matrix[*one][column].abs().total_cmp(&matrix[*other][column].abs()))?;
        if matrix[pivot][column].abs() < 1e-12 {
            return None;
        }
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..count {
            let factor = matrix[row][column] / matrix[column][column];
            for other in column..count {
                matrix[row][other] -= factor * matrix[column][other];
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: usize = 4;

    type Evidence = [f64; KINDS];

    const START: LogLinear<KINDS> = LogLinear { weights: [0.5, 0.3, 0.1, 0.2], doubt: 0.02 };

    /// Another beginning, for the derivatives.
    const CENTRE: Evidence = [0.7, -0.2, 0.4, 0.0];

    /// Cases whose right candidate is not always the one with the most evidence; the second kind says nothing.
    fn cases() -> Vec<Case<KINDS>> {
        let number = |seed: u64| (crate::learning::mix(seed) >> 40) as f64 / (1_u64 << 24) as f64;
        (0..200)
            .map(|case| {
                let evidence: Vec<Evidence> = (0..5)
                    .map(|candidate| {
                        std::array::from_fn(|kind| number(case * 100 + candidate * 10 + kind as u64))
                    })
                    .collect();
                let score =
                    |at: &usize| evidence[*at][0] + evidence[*at][2] + number(case * 1000 + 77 + *at as u64);
                let right = (0..5).max_by(|one, other| score(one).total_cmp(&score(other))).expect("five");
                let alone = |evidence| Candidate { evidence, stands_for: 1.0 + (case % 3) as f64 };
                Case { candidates: evidence.into_iter().map(alone).collect(), right, chance: 0.01 }
            })
            .collect()
    }

    /// Evidence of the first kind only.
    fn first(value: f64) -> Evidence {
        [value, 0.0, 0.0, 0.0]
    }

    #[test]
    fn the_derivatives_are_those_of_finite_differences() {
        let cases = cases();
        let shares: Vec<f64> = (0..cases.len()).map(|case| 0.5 + 0.1 * (case % 5) as f64).collect();
        let free = [0, 2, 3];
        let (gradient, curvature) = START.derivatives(&cases, &shares, &free, &CENTRE);
        let moved = |kind: usize, by: f64| {
            let mut moved = START;
            moved.weights[kind] += by;
            moved
        };
        for (one, kind) in free.into_iter().enumerate() {
            let (up, down) = (moved(kind, 1e-5), moved(kind, -1e-5));
            let slope =
                (up.likelihood(&cases, &shares, &CENTRE) - down.likelihood(&cases, &shares, &CENTRE)) / 2e-5;
            assert!((slope - gradient[one]).abs() < 1e-3, "{kind}: {slope} and {}", gradient[one]);
            let (up, down) = (
                up.derivatives(&cases, &shares, &free, &CENTRE).0,
                down.derivatives(&cases, &shares, &free, &CENTRE).0,
            );
            for other in 0..free.len() {
                let bend = (up[other] - down[other]) / 2e-5;
                assert!((bend + curvature[one][other]).abs() < 1e-3, "{kind}, {other}");
            }
        }
    }

    #[test]
    fn the_climb_ends_where_nothing_near_is_likelier_and_moves_what_is_free() {
        let cases = cases();
        let mut fitted = START;
        fitted.climb(&cases, &[0, 1, 2, 3], Some(cases.len()));
        let total = |weighing: &LogLinear<KINDS>| weighing.trust(&cases, &START.weights).total;
        assert!(total(&fitted) > total(&START));
        for kind in 0..KINDS {
            for by in [0.2, -0.2] {
                let mut moved = fitted;
                moved.weights[kind] += by;
                assert!(total(&moved) < total(&fitted) + 0.01, "{kind}");
            }
        }
        assert!(fitted.weights[0] > 1.0 && fitted.weights[2] > 1.0, "{fitted:?}");
        let mut some = START;
        some.climb(&cases, &[2], None);
        let [one, two, _, four] = START.weights;
        assert_eq!((some.weights, some.doubt), ([one, two, some.weights[2], four], START.doubt));
        assert!(total(&some) > total(&START) && some.weights[2] > 0.5);
    }

    #[test]
    fn two_candidates_have_the_odds_that_were_seen() {
        // Three of four cases are the candidate with the evidence 1 against 0; chance gives one of a million.
        let alone = |evidence| Candidate { evidence, stands_for: 1.0 };
        let case =
            |right| Case { candidates: vec![alone(first(1.0)), alone(first(0.0))], right, chance: 1e-6 };
        let three_of_four: Vec<_> = (0..400).map(|number| case(usize::from(number % 4 == 3))).collect();
        let mut fitted = START;
        fitted.climb(&three_of_four, &[0], Some(400));
        assert!((fitted.weights[0] - 3_f64.ln()).abs() < 0.02 && fitted.doubt < 1e-3, "{fitted:?}");
    }

    #[test]
    fn codes_by_chance_are_doubted_and_take_no_confidence() {
        // Nine of ten cases are what evidence says without fail; the tenth is one of many codes by chance.
        let cases: Vec<_> = (0..1000)
            .map(|number| Case {
                candidates: (0..10)
                    .map(|at| Candidate { evidence: first(if at == 0 { 5.0 } else { 0.0 }), stands_for: 1.0 })
                    .collect(),
                right: if number % 10 == 0 { 1 + number / 10 % 9 } else { 0 },
                chance: 0.1,
            })
            .collect();
        let mut fitted = LogLinear { weights: [1.5, 0.0, 0.0, 0.0], ..START };
        fitted.climb(&cases, &[0, 1, 2, 3], Some(cases.len()));
        assert!((0.05..0.15).contains(&fitted.doubt), "{fitted:?}");
        assert!(fitted.logarithm(&cases[1]).exp() > 0.95, "{fitted:?}");
        // As many texts whose codes were never taught.
        fitted.climb(&cases, &[0, 1, 2, 3], Some(2 * cases.len()));
        assert!((0.5..0.6).contains(&fitted.doubt), "{fitted:?}");
    }

    #[test]
    fn a_case_has_the_likely_classes_a_part_of_the_others_and_the_right_one() {
        let scores: Vec<f32> = (0..500).map(|class| -(class as f32)).collect();
        let evidence = |class: usize| [class as f64, 0.0, 0.0, 0.0];
        let case = Case::of(&scores, 3, 0.5, evidence);
        assert_eq!((case.candidates.len(), case.candidates[case.right].evidence[0]), (100 + 25, 3.0));
        assert!(case.candidates[..100].iter().all(|candidate| candidate.evidence[0] < 100.0));
        let all: f64 = case.candidates.iter().map(|candidate| candidate.stands_for).sum();
        assert!((all - 500.0).abs() < 1e-9);
        let far = Case::of(&scores, 499, 0.5, evidence);
        assert_eq!((far.candidates.len(), far.candidates[far.right].evidence[0]), (126, 499.0));
    }
}
