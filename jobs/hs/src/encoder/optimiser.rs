//! AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2).

use tidewaiter_learning::local_sgd::Trained;

/// The decay of the running mean of gradients.
const MEAN_DECAY: f64 = 0.9;
/// The decay of the running mean of squared gradients.
const SQUARE_DECAY: f64 = 0.999;
/// Added to the root of the mean square, so that nothing is divided by 0.
const LEAST_ROOT: f32 = 1e-8;

/// One step for as many weights as `gradient` has, from index `from` on; `step` counts from 1.
pub(super) fn adamw(trained: &mut Trained, from: usize, gradient: &[f32], step: u64, rate: f32, decay: f32) {
    let whole = i32::try_from(step).unwrap_or(i32::MAX);
    let mean_scale = (1.0 / (1.0 - MEAN_DECAY.powi(whole))) as f32;
    let square_scale = (1.0 / (1.0 - SQUARE_DECAY.powi(whole))) as f32;
    let (mean_decay, square_decay) = (MEAN_DECAY as f32, SQUARE_DECAY as f32);
    let range = from..from + gradient.len();
    let moments = trained.means[range.clone()].iter_mut().zip(&mut trained.squares[range.clone()]);
    for ((weight, gradient), (mean, square)) in trained.weights[range].iter_mut().zip(gradient).zip(moments) {
        *mean = mean_decay * *mean + (1.0 - mean_decay) * gradient;
        *square = square_decay * *square + (1.0 - square_decay) * gradient * gradient;
        let by = (*square * square_scale).sqrt() + LEAST_ROOT;
        *weight -= rate * (*mean * mean_scale / by + decay * *weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_rate_for_its_size() {
        let mut trained = Trained::new(vec![1.0, 2.0]);
        adamw(&mut trained, 1, &[-3.0], 1, 0.1, 0.5);
        // Both moments are corrected to the gradient: the step is the rate, the decay 0.1 * 0.5 * 2.
        assert!((trained.weights[1] - (2.0 + 0.1 - 0.1)).abs() < 1e-6, "{:?}", trained.weights);
        assert_eq!((trained.weights[0], trained.means[0]), (1.0, 0.0));
        adamw(&mut trained, 1, &[0.0], 2, 0.1, 0.0);
        let (mean, square) = (0.9 * -0.3 / 0.19, 0.999 * 0.009 / (1.0 - 0.999_f32 * 0.999));
        let expected = 2.0 - 0.1 * mean / square.sqrt();
        assert!((trained.weights[1] - expected).abs() < 1e-4, "{} and {expected}", trained.weights[1]);
    }
}
