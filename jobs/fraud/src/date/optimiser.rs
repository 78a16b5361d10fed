//! The optimiser of the dense weights: Ranger, as the authors of DATE use it.
//!
//! Ranger is RAdam (Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020) inside
//! LookAhead (Zhang et al., NeurIPS 2019), with weight decay apart from the gradient (Loshchilov and Hutter, ICLR
//! 2019). The slow weights are those at the beginning of a round and after each [`LOOK_AHEAD_STEPS`], so that
//! they need no memory between rounds.

use tidewaiter_learning::local_sgd::Trained;

/// Steps from one look ahead to the next.
pub(super) const LOOK_AHEAD_STEPS: u32 = 6;
/// Share of the way that the slow weights take towards the fast ones.
const LOOK_AHEAD_SHARE: f32 = 0.5;
const MEAN_DECAY: f64 = 0.95;
const SQUARE_DECAY: f64 = 0.999;
const LEAST_ROOT: f32 = 1e-5;
/// Below so many effective squares their variance is too large to divide by.
const LEAST_SQUARES: f64 = 5.0;

/// The step number `step`, counted from 1: its size, and whether it is divided by the root of the squares.
fn size(step: u64) -> (f64, bool) {
    let whole = i32::try_from(step).unwrap_or(i32::MAX);
    let step = f64::from(whole);
    let square_power = SQUARE_DECAY.powi(whole);
    let most = 2.0 / (1.0 - SQUARE_DECAY) - 1.0;
    let effective = most - 2.0 * step * square_power / (1.0 - square_power);
    let mean = 1.0 - MEAN_DECAY.powi(whole);
    if effective > LEAST_SQUARES {
        let rectified =
            ((1.0 - square_power) * (effective - 4.0) / (most - 4.0) * (effective - 2.0) / effective * most
                / (most - 2.0))
                .sqrt();
        (rectified / mean, true)
    } else {
        (1.0 / mean, false)
    }
}

/// One step of RAdam; `step` counts from 1 over the whole fit.
pub(super) fn radam(dense: &mut Trained, gradient: &[f32], step: u64, learning_rate: f32, decay: f32) {
    let (size, divided) = size(step);
    let (mean_decay, square_decay) = (MEAN_DECAY as f32, SQUARE_DECAY as f32);
    let (rate, kept) = ((f64::from(learning_rate) * size) as f32, 1.0 - learning_rate * decay);
    let moments = dense.means.iter_mut().zip(&mut dense.squares);
    for ((weight, gradient), (mean, square)) in dense.weights.iter_mut().zip(gradient).zip(moments) {
        *mean = mean_decay * *mean + (1.0 - mean_decay) * gradient;
        *square = square_decay * *square + (1.0 - square_decay) * gradient * gradient;
        let by = if divided { square.sqrt() + LEAST_ROOT } else { 1.0 };
        *weight = *weight * kept - rate * *mean / by;
    }
}

/// Moves the slow weights towards the fast ones and goes on from there.
pub(super) fn look_ahead(slow: &mut [f32], fast: &mut [f32]) {
    for (slow, fast) in slow.iter_mut().zip(fast) {
        *slow += LOOK_AHEAD_SHARE * (*fast - *slow);
        *fast = *slow;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first steps of RAdam by the paper's algorithm 2: the fifth effective square comes with the sixth step.
    #[test]
    fn the_first_steps_are_not_divided() {
        for step in 1..=5 {
            let (size, divided) = size(step);
            assert!(!divided && (size - 1.0 / (1.0 - 0.95_f64.powi(step as i32))).abs() < 1e-12);
        }
        assert!(size(6).1);
        // Long after the beginning nothing is left to correct.
        assert!((size(200_000).0 - 1.0).abs() < 1e-3);
        let mut dense = Trained::new(vec![1.0]);
        radam(&mut dense, &[2.0], 1, 0.1, 0.01);
        // Mean 0.1, corrected to 2: the step is 0.1 * 2, the decay 0.001.
        assert!((dense.weights[0] - (0.999 - 0.2)).abs() < 1e-6, "{:?}", dense.weights);
        let (mut slow, mut fast) = (vec![0.0], vec![3.0]);
        look_ahead(&mut slow, &mut fast);
        assert_eq!((slow, fast), (vec![1.5], vec![1.5]));
    }
}
