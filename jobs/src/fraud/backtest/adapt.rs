//! The adaptive share of exploration: EXP3 over shares, held near the measured drift.
//!
//! Sources: Auer et al., "The nonstochastic multiarmed bandit problem" (SIAM J. Computing, 2002) for EXP3; Kim et
//! al., "Customs fraud detection in the presence of concept drift" (ADAPT, arXiv:2109.14155) for its arms (0,
//! 0.05 .. 1) and for the *balance* that allows only the arms within five of the drift's. The reference rewards
//! by a precision relative to all that was there to find; a customs house does not know that, so that the
//! reward here is the precision among inspected items against its own mean. Start at [`Share::draw`].

use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

const ARMS: usize = 21;
/// Arms on either side of the drift's.
const REACH: usize = 5;
/// The share of the draws that ignore the weights.
const GAMMA: f64 = 0.2;

/// The share's memory.
#[derive(Debug, Clone)]
pub(super) struct Share {
    weights: [f64; ARMS],
    /// The arm drawn last, how likely it was and among how many.
    drawn: Option<(usize, f64, usize)>,
    precisions: (f64, f64),
}

impl Default for Share {
    fn default() -> Self {
        Self { weights: [1.0; ARMS], drawn: None, precisions: (0.0, 0.0) }
    }
}

impl Share {
    /// The share of the next period, 0 to 1; `drift` is 0 (none) to 1.
    pub(super) fn draw(&mut self, drift: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
        let centre = (drift.clamp(0.0, 1.0) * (ARMS - 1) as f64).round() as usize;
        let allowed = centre.saturating_sub(REACH)..=(centre + REACH).min(ARMS - 1);
        let (first, count) = (*allowed.start(), allowed.clone().count());
        let total: f64 = self.weights[allowed.clone()].iter().sum();
        let chance = |arm: usize| (1.0 - GAMMA) * self.weights[arm] / total + GAMMA / count as f64;
        let mut lot = rng.random::<f64>();
        let arm = allowed.clone().find(|arm| {
            lot -= chance(*arm);
            lot < 0.0
        });
        let arm = arm.unwrap_or(first);
        self.drawn = Some((arm, chance(arm), count));
        arm as f64 / (ARMS - 1) as f64
    }

    /// Tells what the last share came to: the illicit share of the inspected.
    pub(super) fn learn(&mut self, precision: f64) {
        let (sum, count) = self.precisions;
        let mean = if count > 0.0 { sum / count } else { precision };
        // One half is as good as usual, 1 twice as good or better.
        let reward = if mean > 0.0 { (precision / mean / 2.0).min(1.0) } else { 0.5 };
        self.precisions = (sum + precision, count + 1.0);
        if let Some((arm, chance, arms)) = self.drawn.take() {
            self.weights[arm] *= (GAMMA * reward / chance / arms as f64).exp();
            // Only ratios matter; a weight must not leave the range of its type.
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
        let mut share = Share::default();
        for _ in 0..200 {
            assert!(share.draw(0.0, &mut rng) <= 0.25);
            assert!(share.draw(1.0, &mut rng) >= 0.75);
            assert!((0.25..=0.75).contains(&share.draw(0.5, &mut rng)));
        }
    }

    #[test]
    fn one_step_of_exp3_is_as_computed_by_hand() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut share = Share::default();
        share.learn(0.2);
        let arm = (share.draw(0.0, &mut rng) * 20.0).round() as usize;
        // Six arms of equal weight: each has one sixth. Half the usual precision is a reward of one quarter.
        share.learn(0.1);
        let step = (GAMMA * 0.25 / (1.0 / 6.0) / 6.0).exp();
        for (at, weight) in share.weights.iter().enumerate() {
            let wanted = if at == arm { 1.0 } else { 1.0 / step };
            assert!((weight - wanted).abs() < 1e-12, "{at}: {weight} {wanted}");
        }
    }

    #[test]
    fn the_arm_that_pays_is_drawn_most() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut share = Share::default();
        let mut drawn = [0; ARMS];
        for round in 0..3000 {
            let arm = (share.draw(0.0, &mut rng) * 20.0).round() as usize;
            if round >= 1500 {
                drawn[arm] += 1;
            }
            share.learn(if arm == 2 { 0.4 } else { 0.1 });
        }
        assert!(drawn[2] > 750, "{drawn:?}");
    }
}
