//! What a job outlives, as its journal has it: executors that are lost, and long waits for them. Start at [`note`].

use std::{convert::Infallible, time::Duration};

use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc,
    },
    time::Instant,
};

use crate::{
    executors::Loss,
    ledger::{Event, Journal},
};

/// A shorter wait is not noted.
pub(super) const WORTH_NOTING: Duration = Duration::from_secs(5);

/// What a job waits for from now on; `None`: its tasks run.
pub(super) type Wait = Option<String>;

/// Notes in a job's journal the losses of executors that work for it, and its waits of `least` and longer.
pub(super) async fn note(
    journal: &Journal,
    job: &str,
    mut losses: broadcast::Receiver<Loss>,
    mut waits: mpsc::UnboundedReceiver<Wait>,
    least: Duration,
) -> Infallible {
    let mut waiting: Option<(Instant, String)> = None;
    loop {
        let text = tokio::select! {
            loss = losses.recv() => match loss {
                Ok(Loss { executor, jobs }) => {
                    jobs.contains(job).then(|| format!("the executor {executor} was lost; its tasks go to others, or wait for one"))
                }
                // Of many at once some are not noted.
                Err(RecvError::Lagged(_)) => None,
                // The sender lives as long as the driver.
                Err(RecvError::Closed) => std::future::pending().await,
            },
            Some(wait) = waits.recv() => match wait {
                Some(what) => {
                    let since = waiting.map_or_else(Instant::now, |(since, _)| since);
                    waiting = Some((since, what));
                    None
                }
                None => waiting.take().filter(|(since, _)| since.elapsed() >= least).map(|(since, what)| {
                    format!("its tasks waited {} s for {what}", since.elapsed().as_secs())
                }),
            },
        };
        let Some(text) = text else { continue };
        if let Err(error) = journal.append(|at_ms| Event::Noted { text, at_ms }).await {
            tracing::warn!(job, error = error.chain(), "what the job outlived is not in the ledger");
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_archive::Archive;

    use super::*;
    use crate::ledger::Ledger;

    #[tokio::test]
    async fn losses_of_its_own_executors_and_long_waits_are_noted() {
        let archive = Archive::open("memory://outlived").expect("opens");
        let ledger = Ledger::new(archive, "writer".to_owned());
        let entry = ledger.submit("01A", serde_json::json!({}), 1).await.expect("submitted");
        let journal = Journal::new(ledger.clone(), || 2, entry);
        let (lose, losses) = broadcast::channel(4);
        let (wait, waits) = mpsc::unbounded_channel();
        let loss =
            |executor: &str, job: &str| Loss { executor: executor.to_owned(), jobs: [job.to_owned()].into() };
        lose.send(loss("cpu-one", "01A")).expect("somebody listens");
        lose.send(loss("cpu-two", "01B")).expect("somebody listens");
        wait.send(Some("an executor: none is connected".to_owned())).expect("somebody listens");
        wait.send(None).expect("somebody listens");
        let noting = note(&journal, "01A", losses, waits, Duration::ZERO);
        let both = async {
            loop {
                let notes = ledger.read("01A").await.expect("read").state.notes;
                if notes.len() == 2 {
                    return notes;
                }
                tokio::task::yield_now().await;
            }
        };
        let notes = tokio::select! {
            never = noting => match never {},
            notes = both => notes,
        };
        let mut texts: Vec<_> = notes.into_iter().map(|note| note.text).collect();
        texts.sort();
        let wanted = [
            "its tasks waited 0 s for an executor: none is connected",
            "the executor cpu-one was lost; its tasks go to others, or wait for one",
        ];
        assert_eq!(texts, wanted);
    }
}
