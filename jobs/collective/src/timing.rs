//! When a worker that lives is too slow to be waited for: pure computations on times.
//!
//! Source of the idea: backup tasks (Dean and Ghemawat, "MapReduce", OSDI 2004, section 3.6). What differs is that a
//! worker is compared with the others of its own round, and that a fit of short rounds is helped as well: what a worker
//! takes too long adds up over rounds, until it answers in time again. Start at [`Clock::overdue`].

use std::time::Duration;

use tokio::time::Instant;

/// A worker is slow when it takes so many times as long as the others for a shard.
const SLOW: u32 = 10;

/// The times that decide about slow workers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How often it is asked whether a worker is slow.
    pub(crate) tick: Duration,
    /// How much too long a worker may take, at once or in rounds one after the other, before it is raced.
    pub(crate) grace: Duration,
    /// Time that a worker has to load the shards that it gained.
    pub(crate) load: Duration,
    /// How long a worker that lost a race carries no shard, if there are others; twice as long after the next.
    pub(crate) rest: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            grace: Duration::from_secs(5),
            load: Duration::from_secs(30),
            rest: Duration::from_secs(60),
        }
    }
}

/// Running means of the times that one shard takes.
#[derive(Debug, Default)]
pub(crate) struct Usual {
    /// To be loaded and answer for the first time.
    load: Option<Duration>,
    /// To answer, on the fastest worker of a round.
    answer: Option<Duration>,
}

impl Usual {
    pub(crate) fn note_load(&mut self, took: Duration) {
        self.load = Some(self.load.map_or(took, |load| (load * 7 + took) / 8));
    }

    pub(crate) fn note_answer(&mut self, took: Duration) {
        self.answer = Some(self.answer.map_or(took, |answer| (answer * 7 + took) / 8));
    }

    /// How long a worker may take for so many shards, where others took at most `others` for one of the same round.
    pub(crate) fn limit(
        &self,
        timing: &Timing,
        loads: bool,
        shards: usize,
        others: Option<Duration>,
    ) -> Duration {
        let times = SLOW.saturating_mul(u32::try_from(shards.max(1)).unwrap_or(u32::MAX));
        match (loads, self.load, self.answer.max(others)) {
            (true, None, _) => timing.load * SLOW,
            (true, Some(load), _) => timing.load.max(load.saturating_mul(times)),
            (false, _, None) => Duration::MAX,
            (false, _, Some(answer)) => answer.saturating_mul(times),
        }
    }
}

/// Since when one worker has something to answer, and how late it was with that before.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    since: Option<Instant>,
    /// Whether it has gained shards since it last answered, which it loads first.
    loads: bool,
    overdue: Duration,
}

impl Clock {
    /// It has something to answer from now on, unless it had before.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// It has gained shards to load.
    pub(crate) fn gain(&mut self) {
        self.loads = true;
    }

    /// It has nothing to answer any more, and no shards to load.
    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn loads(&self) -> bool {
        self.loads
    }

    /// How long it has taken until now.
    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// By how much it takes too long, with what it took too long in the rounds before.
    pub(crate) fn overdue(&self, now: Instant, limit: Duration) -> Duration {
        self.overdue + self.elapsed(now).saturating_sub(limit)
    }

    /// It has answered, and goes on with another answer if it `owes` one.
    pub(crate) fn answered(&mut self, now: Instant, limit: Duration, owes: bool) {
        let late = self.elapsed(now).saturating_sub(limit);
        self.overdue = if late.is_zero() { Duration::ZERO } else { self.overdue + late };
        self.loads = false;
        self.since = owes.then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        tick: Duration::from_secs(1),
        grace: Duration::from_secs(5),
        load: Duration::from_secs(30),
        rest: Duration::from_secs(60),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_limit_grows_with_the_usual_time_and_with_that_of_the_others() {
        let mut usual = Usual::default();
        assert_eq!(usual.limit(&TIMING, false, 1, None), Duration::MAX, "nothing is known");
        usual.note_answer(seconds(2));
        assert_eq!(usual.limit(&TIMING, false, 1, None), seconds(20));
        assert_eq!(usual.limit(&TIMING, false, 3, None), seconds(60));
        assert_eq!(usual.limit(&TIMING, false, 1, Some(seconds(7))), seconds(70), "a round may be longer");
        assert_eq!(usual.limit(&TIMING, false, 1, Some(seconds(1))), seconds(20), "but is not shorter");
        usual.note_answer(seconds(10));
        assert_eq!(usual.limit(&TIMING, false, 1, None), seconds(30), "an eighth of the new");
    }

    #[test]
    fn loading_has_a_limit_of_its_own() {
        let mut usual = Usual::default();
        usual.note_answer(Duration::from_millis(1));
        assert_eq!(usual.limit(&TIMING, true, 1, None), seconds(300));
        usual.note_load(seconds(1));
        assert_eq!(usual.limit(&TIMING, true, 1, None), seconds(30));
        usual.note_load(seconds(57));
        assert_eq!(usual.limit(&TIMING, true, 2, None), seconds(160));
    }

    #[test]
    fn what_is_too_long_adds_up_until_an_answer_is_in_time() {
        let (mut clock, begin, limit) = (Clock::default(), Instant::now(), seconds(10));
        clock.begin(begin);
        clock.begin(begin + seconds(1));
        assert_eq!(clock.overdue(begin + seconds(9), limit), seconds(0));
        clock.answered(begin + seconds(12), limit, true);
        assert_eq!(clock.overdue(begin + seconds(25), limit), seconds(2 + 3));
        clock.answered(begin + seconds(25), limit, true);
        clock.answered(begin + seconds(30), limit, false);
        assert_eq!(clock.overdue(begin + seconds(90), limit), seconds(0), "it has nothing to answer");
    }
}
