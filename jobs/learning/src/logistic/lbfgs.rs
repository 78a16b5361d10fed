//! Minimises a convex objective by L-BFGS, one evaluation at a time.
//!
//! Source: Liu and Nocedal, "On the limited memory BFGS method" (Mathematical Programming 45, 1989): the two-loop
//! recursion, here around a diagonal that approximates the curvature of each variable, with backtracking: a step is
//! halved until the objective decreases enough (Armijo's rule).
//!
//! The objective is evaluated elsewhere, at the point that [`Lbfgs::trial`] gives, and [`Lbfgs::absorb`] takes the
//! result, so that the minimisation can be stored and continued between any two evaluations.

use super::messages::{CorrectionPair, Evaluation, Lbfgs};

/// How many steps are remembered.
const MEMORY: usize = 10;
/// A step must reach this fraction of the decrease that the slope predicts.
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// The minimisation ends at a smaller step, in multiples of the direction.
const LEAST_STEP: f64 = 1e-9;

/// The objective: the evaluated loss, and a quadratic penalty on all variables but the last.
pub(super) struct Objective<'a> {
    pub(super) penalty: f64,
    /// Approximately the second derivative of the loss by each variable.
    pub(super) curvature: &'a [f64],
    /// The minimisation ends at a smaller decrease of the objective.
    pub(super) tolerance: f64,
}

impl Objective<'_> {
    fn value(&self, point: &[f64], evaluation: &Evaluation) -> f64 {
        let penalised = point.split_last().map_or(&[][..], |(_, terms)| terms);
        evaluation.loss + 0.5 * self.penalty * dot(penalised, penalised)
    }

    fn gradient(&self, point: &[f64], evaluation: &Evaluation) -> Vec<f64> {
        let mut gradient = evaluation.gradient.clone();
        let penalised = gradient.iter_mut().zip(point).rev().skip(1);
        penalised.for_each(|(slope, term)| *slope += self.penalty * term);
        gradient
    }
}

impl Lbfgs {
    /// A minimisation that begins at a point.
    pub(super) fn starting_at(point: Vec<f64>) -> Self {
        Self { direction: vec![0.0; point.len()], point, ..Self::default() }
    }

    /// The next point to evaluate.
    pub(super) fn trial(&self) -> Vec<f64> {
        self.point.iter().zip(&self.direction).map(|(at, direction)| at + self.step * direction).collect()
    }

    /// Takes the evaluation of the trial. Returns whether the minimum is reached.
    pub(super) fn absorb(&mut self, evaluation: Evaluation, objective: &Objective<'_>) -> bool {
        let Some(before) = &self.evaluation else {
            self.evaluation = Some(evaluation);
            return self.choose_direction(objective);
        };
        let trial = self.trial();
        let (was, is) = (objective.value(&self.point, before), objective.value(&trial, &evaluation));
        let slopes = objective.gradient(&self.point, before);
        // NaN is no decrease.
        let decreases = is <= was + SUFFICIENT_DECREASE * self.step * dot(&slopes, &self.direction);
        if !decreases {
            self.step /= 2.0;
            return self.step < LEAST_STEP;
        }
        let point_change: Vec<f64> = trial.iter().zip(&self.point).map(|(is, was)| is - was).collect();
        let gradient_change: Vec<f64> =
            objective.gradient(&trial, &evaluation).iter().zip(&slopes).map(|(is, was)| is - was).collect();
        if dot(&point_change, &gradient_change) > 0.0 {
            self.pairs.push(CorrectionPair { point_change, gradient_change });
            if self.pairs.len() > MEMORY {
                self.pairs.remove(0);
            }
        }
        self.point = trial;
        self.evaluation = Some(evaluation);
        self.choose_direction(objective) || was - is < objective.tolerance
    }

    /// Continues from the point that is reached with another objective. Returns whether the point is its minimum too.
    pub(super) fn restart(&mut self, objective: &Objective<'_>) -> bool {
        self.pairs.clear();
        self.choose_direction(objective)
    }

    /// Sets the direction and a step of 1. Returns whether the objective does not decrease in this direction.
    fn choose_direction(&mut self, objective: &Objective<'_>) -> bool {
        let Some(evaluation) = &self.evaluation else { return false };
        let slopes = objective.gradient(&self.point, evaluation);
        let mut direction: Vec<f64> = slopes.iter().map(|slope| -slope).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for CorrectionPair { point_change, gradient_change } in self.pairs.iter().rev() {
            let share = dot(point_change, &direction) / dot(point_change, gradient_change);
            add(&mut direction, -share, gradient_change);
            shares.push(share);
        }
        let inverse: Vec<f64> =
            objective.curvature.iter().map(|curvature| 1.0 / (curvature + objective.penalty)).collect();
        // The diagonal is scaled to the curvature of the last step.
        let scale = self.pairs.last().map_or(1.0, |CorrectionPair { point_change, gradient_change }| {
            let weighted: f64 =
                gradient_change.iter().zip(&inverse).map(|(change, inverse)| change * change * inverse).sum();
            dot(point_change, gradient_change) / weighted
        });
        direction.iter_mut().zip(&inverse).for_each(|(direction, inverse)| *direction *= scale * inverse);
        for (CorrectionPair { point_change, gradient_change }, share) in
            self.pairs.iter().zip(shares.iter().rev())
        {
            let back = dot(gradient_change, &direction) / dot(point_change, gradient_change);
            add(&mut direction, share - back, point_change);
        }
        let slope = dot(&slopes, &direction);
        (self.direction, self.step) = (direction, 1.0);
        let decreases = slope < -objective.tolerance;
        !decreases
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], share: f64, of: &[f64]) {
    to.iter_mut().zip(of).for_each(|(to, of)| *to += share * of);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A valley that is a hundred times as steep across as along, and not quadratic; its minimum is at (1, 2).
    fn valley(at: &[f64]) -> Evaluation {
        let (across, along) = (at[0] + at[1] - 3.0, at[0] - 1.0);
        Evaluation {
            loss: 500.0 * across.powi(2) + along.powi(2) + along.powi(4),
            gradient: vec![1000.0 * across + 2.0 * along + 4.0 * along.powi(3), 1000.0 * across],
            validation_loss: 0.0,
        }
    }

    #[test]
    fn the_minimum_of_a_narrow_valley_is_found() {
        let objective = Objective { penalty: 0.0, curvature: &[1.0, 1.0], tolerance: 1e-14 };
        let mut minimiser = Lbfgs::starting_at(vec![-1.2, 1.0]);
        let rounds = (1..200).find(|_| {
            let evaluation = valley(&minimiser.trial());
            minimiser.absorb(evaluation, &objective)
        });
        assert!(rounds.is_some_and(|rounds| rounds < 60), "{rounds:?}");
        let found = &minimiser.point;
        assert!((found[0] - 1.0).abs() < 1e-5 && (found[1] - 2.0).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn an_evaluation_of_nan_shortens_the_step() {
        let objective = Objective { penalty: 0.0, curvature: &[1.0, 1.0], tolerance: 1e-14 };
        let mut minimiser = Lbfgs::starting_at(vec![-1.2, 1.0]);
        minimiser.absorb(valley(&[-1.2, 1.0]), &objective);
        let step = minimiser.step;
        let nan = Evaluation { loss: f64::NAN, ..valley(&[0.0, 0.0]) };
        assert!(!minimiser.absorb(nan, &objective));
        assert_eq!((minimiser.point.as_slice(), minimiser.step), (&[-1.2, 1.0][..], step / 2.0));
    }
}
