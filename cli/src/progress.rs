//! What a person sees while a job runs: on stderr, one bar per step, or lines where that is no terminal.

use std::{
    io::{IsTerminal, Write, stderr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidewaiter_job::{Listener, summary::grouped};

/// Writes a line for a person to stderr.
pub(crate) fn say(line: &str) {
    // When nobody reads stderr there is nobody to tell.
    let _ = writeln!(stderr(), "{line}");
}

/// A line that is said when the user interrupts the command before the work is over: its future is dropped then.
pub(crate) struct IfInterrupted(Option<String>);

impl IfInterrupted {
    /// Says the line unless the work is over before this is dropped.
    pub(crate) fn say(line: impl Into<String>) -> Self {
        Self(Some(line.into()))
    }

    /// The work is over, well or not.
    pub(crate) fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for IfInterrupted {
    fn drop(&mut self) {
        if let Some(line) = self.0.take() {
            say(&line);
        }
    }
}

/// Time from one line about a step to the next.
const LINES: Duration = Duration::from_secs(10);

/// Progress bars; they show nothing where stderr is not a terminal.
#[derive(Default)]
pub(crate) struct Bars {
    current: Mutex<Option<Step>>,
    /// Whether lines are written instead.
    lines: bool,
}

/// The step that is shown.
struct Step {
    name: String,
    unit: String,
    bar: ProgressBar,
    /// When the bar was this old, the last line was written.
    line: Option<Duration>,
    pace: Pace,
}

/// How fast a step goes, from the first that was heard of it: what was done before took an unknown time.
#[derive(Debug, Default)]
struct Pace {
    first: Option<(u64, Duration)>,
}

impl Pace {
    /// The time that is left when a bar of an age stands there; `None` while nothing was done since it began.
    fn left(&mut self, done: u64, total: u64, age: Duration) -> Option<Duration> {
        let (first, since) = *self.first.get_or_insert((done, age));
        let (more, left) = (done.checked_sub(first)?, total.checked_sub(done)?);
        if more == 0 || left == 0 {
            return None;
        }
        let seconds = (age - since).as_secs_f64() * left as f64 / more as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

impl Bars {
    /// Progress bars, or lines where stderr is not a terminal.
    pub(crate) fn or_lines() -> Self {
        Self { lines: !stderr().is_terminal(), ..Self::default() }
    }

    /// Ends the last bar.
    pub(crate) fn finish(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(step) = current.take() {
            step.bar.finish();
        }
    }
}

impl Listener for Bars {
    fn progress(&self, step: &str, done: u64, total: u64, unit: &str) {
        self.noted_progress(step, done, total, unit, "");
    }

    fn noted_progress(&self, step: &str, done: u64, total: u64, unit: &str, note: &str) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = |shown: &Step| {
            shown.name == step && shown.unit == unit && shown.bar.length().is_some() == (total > 0)
        };
        let shown = match current.take() {
            Some(shown) if goes_on(&shown) => shown,
            other => {
                if let Some(over) = other {
                    over.bar.finish();
                }
                Step {
                    name: step.to_owned(),
                    unit: unit.to_owned(),
                    bar: bar(step, total, unit),
                    line: None,
                    pace: Pace::default(),
                }
            }
        };
        let shown = current.insert(shown);
        if total > 0 {
            shown.bar.set_length(total);
        }
        shown.bar.set_position(done);
        let age = shown.bar.elapsed();
        let remark = remark(shown.pace.left(done, total, age), note);
        if self.lines && shown.line.is_none_or(|line| age >= line + LINES) {
            shown.line = Some(age);
            say(&line(step, done, total, unit, &remark));
        }
        shown.bar.set_message(remark);
    }
}

fn bar(step: &str, total: u64, unit: &str) -> ProgressBar {
    let (length, counts) = match total {
        0 => (None, "{spinner} {human_pos}"),
        total => (Some(total), "{bar:30} {human_pos}/{human_len}"),
    };
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template(&format!("{{prefix:12}} {counts} {unit} {{elapsed}} {{wide_msg}}"));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_prefix(step.to_owned())
}

/// What follows the counts: the time that is left, and what else is known.
fn remark(left: Option<Duration>, note: &str) -> String {
    let left = left.map(|left| format!("about {} left", HumanDuration(left)));
    let parts: Vec<String> = left.into_iter().chain((!note.is_empty()).then(|| note.to_owned())).collect();
    parts.join("; ")
}

fn line(step: &str, done: u64, total: u64, unit: &str, remark: &str) -> String {
    let of = if total > 0 { format!(" of {}", grouped(total)) } else { String::new() };
    let remark = if remark.is_empty() { String::new() } else { format!("; {remark}") };
    format!("{step}: {}{of} {unit}{remark}", grouped(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_done_how_long_it_takes_and_where_the_query_is() {
        let said = |done, total, left, note| line("features", done, total, "rows", &remark(left, note));
        let left = Some(Duration::from_secs(125));
        assert_eq!(
            said(1_200, 5_000, left, "stage 2: 1 of 3 tasks, 1,200 rows"),
            "features: 1,200 of 5,000 rows; about 2 minutes left; stage 2: 1 of 3 tasks, 1,200 rows"
        );
        assert_eq!(said(7, 0, None, ""), "features: 7 rows");
    }

    #[test]
    fn the_time_that_is_left_goes_by_what_was_done_since_the_step_was_first_heard_of() {
        let mut pace = Pace::default();
        let mut left =
            |done, seconds| pace.left(done, 100, Duration::from_secs(seconds)).map(|it| it.as_secs());
        assert_eq!(left(60, 0), None, "as after a restart");
        assert_eq!(left(60, 5), None);
        assert_eq!(left(70, 10), Some(30));
        assert_eq!(left(100, 40), None);
        assert_eq!(Pace::default().left(5, 0, Duration::ZERO), None, "the total is not known");
    }

    #[test]
    fn a_bar_follows_a_step_whose_total_grows_and_begins_anew_for_another_unit() {
        let bars = Bars::default();
        let shown = || {
            let current = bars.current.lock().expect("not poisoned");
            let step = current.as_ref().expect("a step");
            (step.unit.clone(), step.bar.position(), step.bar.length())
        };
        bars.progress("features", 3, 10, "rows");
        bars.noted_progress("features", 9, 30, "rows", "stage 2");
        assert_eq!(shown(), ("rows".to_owned(), 9, Some(30)));
        bars.progress("features", 1, 4, "tasks");
        assert_eq!(shown(), ("tasks".to_owned(), 1, Some(4)));
        bars.progress("features", 5, 0, "tasks");
        assert_eq!(shown(), ("tasks".to_owned(), 5, None));
        bars.finish();
        assert!(bars.current.lock().expect("not poisoned").is_none());
    }
}
