//! The adaptive share of exploration: EXP3 over shares near the measured drift.
//!
//! Sources: Auer et al., "The nonstochastic multiarmed bandit problem" (SIAM J. Computing, 2002) for EXP3; Kim et
//! al., "Customs fraud detection in the presence of concept drift" (ADAPT, arXiv:2109.14155) for its arms (0 to 1 in
//! steps of 0.05) and for allowing only the arms within five of that of the drift. In the reference the reward is the precision
//! relative to the best possible one, which is not known outside a simulation; here it is the precision among
//! inspected items relative to its mean so far. Start at [`AdaptiveShare::draw`].

use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Shares to choose from: 0, 0.05 .. 1.
const ARMS: usize = 21;
/// Arms that are allowed on either side of that of the drift.
const REACH: usize = 5;
/// Share of the draws that ignore the weights.
const GAMMA: f64 = 0.2;

/// The state of EXP3.
#[derive(Debug, Clone)]
pub(super) struct AdaptiveShare {
    weights: [f64; ARMS],
    /// The arm drawn last, its probability, and the number of allowed arms.
    drawn: Option<(usize, f64, usize)>,
    /// Sum and number of the precisions so far.
    precisions: (f64, f64),
}

impl Default for AdaptiveShare {
    fn default() -> Self {
        Self { weights: [1.0; ARMS], drawn: None, precisions: (0.0, 0.0) }
    }
}

impl AdaptiveShare {
    /// Draws the share of the next period, 0 to 1; `drift` is from 0 (none) to 1.
    pub(super) fn draw(&mut self, drift: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
        let centre = (drift.clamp(0.0, 1.0) * (ARMS - 1) as f64).round() as usize;
        let allowed = centre.saturating_sub(REACH)..=(centre + REACH).min(ARMS - 1);
        let (first, count) = (*allowed.start(), allowed.clone().count());
        let total: f64 = self.weights[allowed.clone()].iter().sum();
        let probability = |arm: usize| (1.0 - GAMMA) * self.weights[arm] / total + GAMMA / count as f64;
        let mut remaining = rng.random::<f64>();
        let arm = allowed.clone().find(|arm| {
            remaining -= probability(*arm);
            remaining < 0.0
        });
        let arm = arm.unwrap_or(first);
        self.drawn = Some((arm, probability(arm), count));
        arm as f64 / (ARMS - 1) as f64
    }

    /// Updates the weights by the precision that the last share led to.
    pub(super) fn update(&mut self, precision: f64) {
        let (sum, count) = self.precisions;
        let mean = if count > 0.0 { sum / count } else { precision };
        // One half: as good as the mean; 1: at least twice as good.
        let reward = if mean > 0.0 { (precision / mean / 2.0).min(1.0) } else { 0.5 };
        self.precisions = (sum + precision, count + 1.0);
        if let Some((arm, probability, arms)) = self.drawn.take() {
            self.weights[arm] *= (GAMMA * reward / probability / arms as f64).exp();
            // Only ratios matter; scaling avoids overflow and underflow.
            let most = self.weights.iter().copied().fold(0.0, f64::max);
            self.weights.iter_mut().for_each(|weight| *weight = (*weight / most).max(1e-9));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn shares_stay_near_the_drift() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut share = AdaptiveShare::default();
        for _ in 0..200 {
            assert!(share.draw(0.0, &mut rng) <= 0.25);
            assert!(share.draw(1.0, &mut rng) >= 0.75);
            assert!((0.25..=0.75).contains(&share.draw(0.5, &mut rng)));
        }
    }

    #[test]
    fn one_step_of_exp3_is_as_computed_by_hand() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut share = AdaptiveShare::default();
        share.update(0.2);
        let arm = (share.draw(0.0, &mut rng) * 20.0).round() as usize;
        // Six arms of equal weight: each has one sixth. Half the usual precision is a reward of one quarter.
        share.update(0.1);
        let step = (GAMMA * 0.25 / (1.0 / 6.0) / 6.0).exp();
        for (at, weight) in share.weights.iter().enumerate() {
            let wanted = if at == arm { 1.0 } else { 1.0 / step };
            assert!((weight - wanted).abs() < 1e-12, "{at}: {weight} {wanted}");
        }
    }

    #[test]
    fn the_arm_with_the_highest_reward_is_drawn_most() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut share = AdaptiveShare::default();
        let mut drawn = [0; ARMS];
        for round in 0..3000 {
            let arm = (share.draw(0.0, &mut rng) * 20.0).round() as usize;
            if round >= 1500 {
                drawn[arm] += 1;
            }
            share.update(if arm == 2 { 0.4 } else { 0.1 });
        }
        assert!(drawn[2] > 750, "{drawn:?}");
    }
}
