//! AdamW with a learning rate that rises, then falls as a cosine.
//!
//! Sources: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; the schedule is that of "SGDR" by
//! the same (ICLR 2017), without restarts, after a linear warm-up. Start at [`Schedule`] and [`step`].

use tidewaiter_learning::local_sgd::Trained;

/// Shares of the old running means that are kept.
const KEPT: (f64, f64) = (0.9, 0.999);

/// Added to the root of the mean square.
const EPSILON: f64 = 1e-8;

/// The learning rate over the steps of a fit.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The largest rate.
    pub rate: f64,
    /// Steps until it is reached.
    pub warm_up: u64,
    /// Steps of the whole fit.
    pub steps: u64,
}

impl Schedule {
    /// The rate of a step, from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return self.rate * (step + 1) as f64 / self.warm_up as f64;
        }
        let rest = self.steps.saturating_sub(self.warm_up).max(1);
        let share = ((step - self.warm_up) as f64 / rest as f64).min(1.0);
        self.rate * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
    }
}

/// Moves the weights against the gradient. `step` counts from 0; `decays` says which weights the decay pulls to zero.
/// A gradient whose norm is larger than `largest_norm` is scaled down to it.
pub fn step(
    trained: &mut Trained,
    gradient: &[f32],
    decays: &[bool],
    (step, rate, decay, largest_norm): (u64, f64, f64, f64),
) {
    let norm = gradient.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let scale = if norm > largest_norm { largest_norm / norm } else { 1.0 };
    let power = i32::try_from(step + 1).unwrap_or(i32::MAX);
    let corrections = (1.0 - KEPT.0.powi(power), 1.0 - KEPT.1.powi(power));
    let moments = trained.means.iter_mut().zip(&mut trained.squares);
    let weights = trained.weights.iter_mut().zip(moments).zip(gradient.iter().zip(decays));
    for ((weight, (mean, square)), (gradient, decays)) in weights {
        let gradient = scale * f64::from(*gradient);
        let new_mean = KEPT.0 * f64::from(*mean) + (1.0 - KEPT.0) * gradient;
        let new_square = KEPT.1 * f64::from(*square) + (1.0 - KEPT.1) * gradient * gradient;
        (*mean, *square) = (new_mean as f32, new_square as f32);
        let direction = new_mean / corrections.0 / ((new_square / corrections.1).sqrt() + EPSILON);
        let pull = if *decays { decay * f64::from(*weight) } else { 0.0 };
        *weight = (f64::from(*weight) - rate * (direction + pull)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let schedule = Schedule { rate: 1.0, warm_up: 4, steps: 14 };
        assert_eq!([0, 1, 3].map(|step| schedule.at(step)), [0.25, 0.5, 1.0]);
        assert!((schedule.at(9) - 0.5).abs() < 1e-12);
        assert!(schedule.at(14) < 1e-12 && schedule.at(99) < 1e-12);
    }

    #[test]
    fn one_step_by_hand() {
        // The first step moves each weight by the rate in the gradient's direction, whatever its size, and the decay
        // takes 0.01 · 0.5 of the weight.
        let mut trained = Trained::new(vec![2.0, 2.0]);
        step(&mut trained, &[4.0, -0.5], &[true, false], (0, 0.01, 0.5, 1e9));
        assert!((trained.weights[0] - (2.0 - 0.01 - 0.01)).abs() < 1e-6);
        assert!((trained.weights[1] - 2.01).abs() < 1e-6);
        assert!((trained.means[0] - 0.4).abs() < 1e-6 && (trained.squares[0] - 0.016).abs() < 1e-6);
    }

    #[test]
    fn a_large_gradient_is_scaled_down() {
        let mut trained = Trained::new(vec![0.0, 0.0]);
        step(&mut trained, &[30.0, 40.0], &[true, true], (0, 0.1, 0.0, 5.0));
        assert!((trained.means[0] - 0.3).abs() < 1e-6 && (trained.means[1] - 0.4).abs() < 1e-6);
    }
}
