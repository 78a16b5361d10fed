//! The generator of an archive, month by month. Start at [`Synth`].

use std::sync::Arc;

use tidewaiter_core::Result;

use crate::{batch::SynthBatch, economy::Economy, month::Month, parameters::Parameters};

/// The trade of each month of the year, relative to the mean month.
const SEASON: [f64; 12] = [0.88, 0.86, 0.98, 0.96, 1.0, 0.98, 0.99, 1.0, 1.05, 1.12, 1.14, 1.04];

/// The generator: an iterator over the batches of all months.
pub struct Synth {
    parameters: Arc<Parameters>,
    pub(crate) economy: Arc<Economy>,
    /// The next month, counted from the first.
    next: u32,
    current: Option<Month>,
}

impl Synth {
    /// Makes the traders, goods and routes, which takes some milliseconds.
    ///
    /// # Errors
    /// Those of [`Parameters::validate`].
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.validate()?;
        let economy = Arc::new(Economy::new(&parameters));
        Ok(Self { parameters: Arc::new(parameters), economy, next: 0, current: None })
    }

    /// One month alone, so many months after the first, with the same rows as in the iterator.
    pub fn month(&self, since: u32) -> Month {
        let rows = self.rows_of(since);
        Month::new(Arc::clone(&self.parameters), Arc::clone(&self.economy), since, rows)
    }

    /// Year and month (1 to 12), so many months after the first.
    pub fn month_at(&self, since: u32) -> (i32, u32) {
        self.parameters.month_at(since)
    }

    /// How many goods items the month has that is so many months after the first.
    pub fn rows_of(&self, since: u32) -> u64 {
        let (_, month) = self.parameters.month_at(since);
        (self.parameters.rows_per_year as f64 / 12.0 * SEASON[month as usize - 1]).round() as u64
    }

    /// How many goods items all months have.
    pub fn rows(&self) -> u64 {
        (0..self.parameters.months).map(|since| self.rows_of(since)).sum()
    }
}

impl Iterator for Synth {
    type Item = Result<SynthBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.current.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            if self.next == self.parameters.months {
                return None;
            }
            self.current = Some(self.month(self.next));
            self.next += 1;
        }
    }
}
