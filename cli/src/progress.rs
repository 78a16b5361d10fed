//! What a person sees while a job runs: one bar per step, on stderr.

use std::{
    io::Write,
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressStyle};
use tidewaiter_job::Listener;

/// Writes a line for a person to stderr.
pub(crate) fn say(line: &str) {
    // When nobody reads stderr there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Progress bars; they show nothing where stderr is not a terminal.
#[derive(Default)]
pub(crate) struct Bars {
    current: Mutex<Option<(String, ProgressBar)>>,
}

impl Listener for Bars {
    fn progress(&self, step: &str, done: u64, total: u64, unit: &str) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|(name, _)| name != step) {
            if let Some((_, bar)) = current.take() {
                bar.finish();
            }
            *current = Some((step.to_owned(), bar(step, total, unit)));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_position(done);
        }
    }
}

impl Bars {
    /// Ends the last bar.
    pub(crate) fn finish(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bar)) = current.take() {
            bar.finish();
        }
    }
}

fn bar(step: &str, total: u64, unit: &str) -> ProgressBar {
    let (bar, template) = if total == 0 {
        (ProgressBar::new_spinner(), format!("{{prefix:12}} {{spinner}} {{human_pos}} {unit} {{elapsed}}"))
    } else {
        let bar = ProgressBar::new(total);
        (bar, format!("{{prefix:12}} {{bar:30}} {{human_pos}}/{{human_len}} {unit} {{elapsed}}"))
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_prefix(step.to_owned())
}
