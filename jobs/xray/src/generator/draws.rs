//! Random numbers of one image: a function of its seed.

use tidewaiter_core::chance::stream;

/// A stream of random numbers.
pub(super) struct Draws {
    seed: u64,
    next: u64,
}

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, next: 0 }
    }

    /// From 0 to 1, without 1.
    pub(super) fn share(&mut self) -> f32 {
        self.next += 1;
        (stream(self.seed, self.next) >> 40) as f32 / (1_u32 << 24) as f32
    }

    pub(super) fn between(&mut self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.share()
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        ((self.share() * count as f32) as usize).min(count.saturating_sub(1))
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Standard normal (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f32 {
        let (a, b) = (1.0 - self.share(), self.share());
        (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
    }
}
