//! Minimising by L-BFGS, one measurement at a time.
//!
//! Source: Liu and Nocedal, "On the limited memory BFGS method" (Mathematical Programming 45, 1989): the two-loop
//! recursion, here around a diagonal that stands for the curvature of each term, with steps that are halved until
//! the objective falls enough (Armijo's rule), which serves convex objectives. What is measured at a point comes from outside, and the point to
//! measure next is [`Descent::trial`], so that a descent can be put down and taken up between any two.

use super::wire::{Descent, Measured, Step};

/// Steps that are remembered.
const MEMORY: usize = 10;
/// The share of the fall that the slope promises and that a step must reach.
const ENOUGH: f64 = 1e-4;
/// A step below this share of the direction is none.
const LEAST_STEP: f64 = 1e-9;

/// The objective: a measured loss and a quadratic penalty on all variables but the last.
pub(super) struct Objective<'a> {
    pub(super) penalty: f64,
    /// About the second derivative of the measured loss by each variable.
    pub(super) curvature: &'a [f64],
    /// A fall of the objective below this is none.
    pub(super) tolerance: f64,
}

impl Objective<'_> {
    fn value(&self, at: &[f64], measured: &Measured) -> f64 {
        let penalised = at.split_last().map_or(&[][..], |(_, terms)| terms);
        measured.loss + 0.5 * self.penalty * dot(penalised, penalised)
    }

    fn gradient(&self, at: &[f64], measured: &Measured) -> Vec<f64> {
        let mut gradient = measured.gradient.clone();
        let penalised = gradient.iter_mut().zip(at).rev().skip(1);
        penalised.for_each(|(slope, term)| *slope += self.penalty * term);
        gradient
    }
}

impl Descent {
    /// A descent that begins at a point.
    pub(super) fn from(at: Vec<f64>) -> Self {
        Self { direction: vec![0.0; at.len()], at, ..Self::default() }
    }

    /// The point to measure next.
    pub(super) fn trial(&self) -> Vec<f64> {
        self.at.iter().zip(&self.direction).map(|(at, direction)| at + self.step * direction).collect()
    }

    /// Takes what was measured at the trial. Returns whether the end is reached.
    pub(super) fn absorb(&mut self, measured: Measured, objective: &Objective<'_>) -> bool {
        let Some(before) = &self.measured else {
            self.measured = Some(measured);
            return self.turn(objective);
        };
        let trial = self.trial();
        let (was, is) = (objective.value(&self.at, before), objective.value(&trial, &measured));
        let slopes = objective.gradient(&self.at, before);
        // A value that is no number is no fall.
        let falls = is <= was + ENOUGH * self.step * dot(&slopes, &self.direction);
        if !falls {
            self.step /= 2.0;
            return self.step < LEAST_STEP;
        }
        let moved: Vec<f64> = trial.iter().zip(&self.at).map(|(is, was)| is - was).collect();
        let changed: Vec<f64> =
            objective.gradient(&trial, &measured).iter().zip(&slopes).map(|(is, was)| is - was).collect();
        if dot(&moved, &changed) > 0.0 {
            self.steps.push(Step { moved, changed });
            if self.steps.len() > MEMORY {
                self.steps.remove(0);
            }
        }
        self.at = trial;
        self.measured = Some(measured);
        self.turn(objective) || was - is < objective.tolerance
    }

    /// Goes on with another objective from the point that is reached. Returns whether that is its end, too.
    pub(super) fn turn_to(&mut self, objective: &Objective<'_>) -> bool {
        self.steps.clear();
        self.turn(objective)
    }

    /// Chooses the direction. Returns whether none leads down.
    fn turn(&mut self, objective: &Objective<'_>) -> bool {
        let Some(measured) = &self.measured else { return false };
        let slopes = objective.gradient(&self.at, measured);
        let mut direction: Vec<f64> = slopes.iter().map(|slope| -slope).collect();
        let mut shares = Vec::with_capacity(self.steps.len());
        for Step { moved, changed } in self.steps.iter().rev() {
            let share = dot(moved, &direction) / dot(moved, changed);
            add(&mut direction, -share, changed);
            shares.push(share);
        }
        let inverse: Vec<f64> =
            objective.curvature.iter().map(|curvature| 1.0 / (curvature + objective.penalty)).collect();
        // The diagonal is brought to the scale of the last step.
        let scale = self.steps.last().map_or(1.0, |Step { moved, changed }| {
            let weighed: f64 =
                changed.iter().zip(&inverse).map(|(changed, inverse)| changed * changed * inverse).sum();
            dot(moved, changed) / weighed
        });
        direction.iter_mut().zip(&inverse).for_each(|(direction, inverse)| *direction *= scale * inverse);
        for (Step { moved, changed }, share) in self.steps.iter().zip(shares.iter().rev()) {
            let back = dot(changed, &direction) / dot(moved, changed);
            add(&mut direction, share - back, moved);
        }
        let fall = dot(&slopes, &direction);
        (self.direction, self.step) = (direction, 1.0);
        let leads_down = fall < -objective.tolerance;
        !leads_down
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

    /// A valley a hundred times as steep across as along, and not a parabola; its least value is at (1, 2).
    fn valley(at: &[f64]) -> Measured {
        let (across, along) = (at[0] + at[1] - 3.0, at[0] - 1.0);
        Measured {
            loss: 500.0 * across.powi(2) + along.powi(2) + along.powi(4),
            gradient: vec![1000.0 * across + 2.0 * along + 4.0 * along.powi(3), 1000.0 * across],
            validation_loss: 0.0,
        }
    }

    #[test]
    fn the_floor_of_a_narrow_valley_is_found() {
        let objective = Objective { penalty: 0.0, curvature: &[1.0, 1.0], tolerance: 1e-14 };
        let mut descent = Descent::from(vec![-1.2, 1.0]);
        let rounds = (1..200).find(|_| {
            let measured = valley(&descent.trial());
            descent.absorb(measured, &objective)
        });
        assert!(rounds.is_some_and(|rounds| rounds < 60), "{rounds:?}");
        assert!((descent.at[0] - 1.0).abs() < 1e-5 && (descent.at[1] - 2.0).abs() < 1e-5, "{:?}", descent.at);
    }

    #[test]
    fn a_measurement_that_is_no_number_shortens_the_step() {
        let objective = Objective { penalty: 0.0, curvature: &[1.0, 1.0], tolerance: 1e-14 };
        let mut descent = Descent::from(vec![-1.2, 1.0]);
        descent.absorb(valley(&[-1.2, 1.0]), &objective);
        let step = descent.step;
        let odd = Measured { loss: f64::NAN, ..valley(&[0.0, 0.0]) };
        assert!(!descent.absorb(odd, &objective));
        assert_eq!((descent.at.as_slice(), descent.step), (&[-1.2, 1.0][..], step / 2.0));
    }
}
