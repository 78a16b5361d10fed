//! Signs of life between a worker's process and the one that leads its fit.
//!
//! Each side sends a heartbeat at every tick of its clock ([`beating`]), also while it computes, and gives the other up
//! after some ticks without any message ([`Listener`]): a process that was stopped or whose host is gone closes no
//! connection. Promise: silence is counted in the listener's own ticks while it listens, so that a process that was
//! itself stopped for an hour has missed one tick when it goes on, and gives nobody up for it.

use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// How often heartbeats are sent, and for how many of these times the other side may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) every: Duration,
    pub(crate) silent_ticks: u32,
}

/// A worker is given up after six seconds: heartbeats pass beside its computation, and what it costs to give it up
/// wrongly is that its shards are loaded once more.
pub(crate) const OF_WORKERS: Pace = Pace { every: Duration::from_secs(1), silent_ticks: 6 };

/// A leader is given up later: all that waits is a worker's slot.
pub(crate) const OF_LEADERS: Pace = Pace { every: Duration::from_secs(1), silent_ticks: 20 };

/// The first tick is due after one time of the interval.
pub(crate) fn ticks(every: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The messages, and a heartbeat at every tick, until the messages end.
pub(crate) fn beating<M: Clone>(
    messages: impl Stream<Item = M> + Unpin,
    every: Duration,
    heartbeat: M,
) -> impl Stream<Item = M> {
    stream::unfold((messages, ticks(every), heartbeat), |(mut messages, mut ticks, heartbeat)| async {
        let next = tokio::select! {
            biased;
            message = messages.next() => message?,
            _ = ticks.tick() => heartbeat.clone(),
        };
        Some((next, (messages, ticks, heartbeat)))
    })
}

/// What a listener hears.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard<T> {
    /// The next message.
    Message(T),
    /// The stream has ended.
    End,
    /// Nothing came for too long.
    Silence,
}

/// Listens to a stream whose other side sends heartbeats.
pub(crate) struct Listener<S> {
    stream: S,
    ticks: Interval,
    silent_ticks: u32,
}

impl<S: Stream + Unpin> Listener<S> {
    pub(crate) fn new(stream: S, pace: Pace) -> Self {
        Self { stream, ticks: ticks(pace.every), silent_ticks: pace.silent_ticks }
    }

    /// Waits for the next message, heartbeats included.
    pub(crate) async fn next(&mut self) -> Heard<S::Item> {
        let mut silent = 0;
        loop {
            tokio::select! {
                biased;
                next = self.stream.next() => return next.map_or(Heard::End, Heard::Message),
                _ = self.ticks.tick() => {
                    silent += 1;
                    if silent > self.silent_ticks {
                        return Heard::Silence;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    const PACE: Pace = Pace { every: Duration::from_millis(10), silent_ticks: 3 };

    #[tokio::test]
    async fn heartbeats_keep_a_stream_alive_that_has_nothing_to_say() {
        let (say, said) = mpsc::unbounded_channel::<u32>();
        let mut listener =
            Listener::new(Box::pin(beating(UnboundedReceiverStream::new(said), PACE.every, 0)), PACE);
        for _ in 0..20 {
            assert_eq!(listener.next().await, Heard::Message(0));
        }
        say.send(7).expect("it is heard");
        drop(say);
        let mut last = listener.next().await;
        while last == Heard::Message(0) {
            last = listener.next().await;
        }
        assert_eq!((last, listener.next().await), (Heard::Message(7), Heard::End));
    }

    #[tokio::test]
    async fn a_stream_without_a_message_for_some_ticks_is_silent() {
        let begun = Instant::now();
        let mut listener = Listener::new(stream::pending::<u32>(), PACE);
        assert_eq!(listener.next().await, Heard::Silence);
        assert!(begun.elapsed() >= PACE.every * (PACE.silent_ticks + 1));
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "the whole process stands still")]
    async fn a_listener_that_was_stopped_itself_gives_nobody_up() {
        let (say, said) = mpsc::unbounded_channel();
        let mut listener = Listener::new(UnboundedReceiverStream::new(said), PACE);
        // Far more than the allowed silence.
        std::thread::sleep(PACE.every * 20);
        let next = tokio::spawn(async move { listener.next().await });
        tokio::task::yield_now().await;
        say.send(1).expect("it is heard");
        assert_eq!(next.await.expect("no panic"), Heard::Message(1));
    }
}
