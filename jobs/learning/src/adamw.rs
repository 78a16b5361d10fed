//! AdamW with a learning rate that rises, then falls as a cosine, and a moving average of the weights.
//!
//! Sources: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; the schedule is that of "SGDR" by
//! the same (ICLR 2017), without restarts, after a linear warm-up; averages of weights: Polyak and Juditsky, SIAM J.
//! Control and Optimization 30 (1992). Start at [`Schedule`], [`step`] and [`average`].

use crate::local_sgd::Trained;

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

/// Moves a moving average of weights towards those after some more `steps`, the last of them the step number `done`,
/// counted from 1. It reaches back over `reach` steps, and over a quarter of all at the beginning of a fit.
pub fn average(average: &mut [f32], weights: &[f32], (done, steps): (u64, u32), reach: f64) {
    let reach = reach.min(done as f64 / 4.0).max(1.0);
    let kept = (-f64::from(steps) / reach).exp() as f32;
    for (average, weight) in average.iter_mut().zip(weights) {
        *average = kept * *average + (1.0 - kept) * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures by PyTorch 2.15 in 64 bits: `torch.optim.AdamW` with the rates of a schedule, `clip_grad_norm_` at 4, weight
    /// decay 0.1 on the first three weights and none on the last.
    #[test]
    fn six_steps_are_those_of_pytorch() {
        let mut trained = Trained::new(vec![0.5, -1.25, 2.0, 0.75]);
        let schedule = Schedule { rate: 0.01, warm_up: 2, steps: 6 };
        for at in 0..6_u32 {
            let gradient: Vec<f32> =
                (0..4).map(|place| (3.0 * (1.3 * f64::from(at * 4 + place) + 0.4).sin()) as f32).collect();
            let setting = (u64::from(at), schedule.at(u64::from(at)), 0.1, 4.0);
            step(&mut trained, &gradient, &[true, true, true, false], setting);
        }
        let expected = [0.508_644_17, -1.262_802_7, 1.964_855_5, 0.758_489_88];
        for (weight, expected) in trained.weights.iter().zip(expected) {
            assert!((f64::from(*weight) - expected).abs() < 2e-6, "{weight} instead of {expected}");
        }
    }

    #[test]
    fn an_average_reaches_back_over_a_quarter_of_a_short_fit() {
        let mut mean = vec![0.0, 4.0];
        // 8 steps are done, the reach is 2: after 2 more, 1/e of the old average is left.
        average(&mut mean, &[1.0, 4.0], (8, 2), 200.0);
        assert!(
            (mean[0] - (1.0 - (-1.0_f32).exp())).abs() < 1e-6 && (mean[1] - 4.0).abs() < 1e-6,
            "{mean:?}"
        );
        // Of a long fit the reach is the given one.
        let mut mean = vec![0.0];
        average(&mut mean, &[1.0], (100_000, 200), 200.0);
        assert!((mean[0] - (1.0 - (-1.0_f32).exp())).abs() < 1e-6);
    }

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
