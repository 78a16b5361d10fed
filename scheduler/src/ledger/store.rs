//! The ledger's objects: how events are written, read, listed, and put together when a job has ended.
//!
//! An open job is a folder with one object for each event, made with create-if-absent. When it has ended, its events are
//! put together in one object and its folder goes away, so that what is open is found by one listing, whatever the
//! number of jobs that ended. An event that is read from the one object hides one of the same number in the folder: a
//! process that ends between the two leaves nothing that is read twice. Start at [`Ledger::append`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};

use super::{
    event::{Event, Record},
    state::JobState,
};

/// Jobs that are read at once where many are.
const READS_AT_ONCE: usize = 32;

/// How often an event is written before its writer gives up.
const WRITES: usize = 6;

/// The pause after the first write that failed; it doubles at each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The ledger of one archive. Cheap to clone; clones are one writer.
#[derive(Debug, Clone)]
pub struct Ledger {
    archive: Archive,
    /// The folder of open jobs, and that of ended ones.
    folders: (&'static str, &'static str),
    writer: Arc<Writer>,
}

#[derive(Debug)]
struct Writer {
    id: String,
    written: AtomicU64,
    /// Held while a job's events are put together.
    compacts: tokio::sync::Mutex<()>,
}

/// A job read from the ledger: its state, and the number of its next event.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The job's id.
    pub job: String,
    /// Its state.
    pub state: JobState,
    next: u64,
}

/// A job whose events cannot all be read.
#[derive(Debug)]
pub struct Damaged {
    /// The job's id.
    pub job: String,
    /// Which object is damaged, and what to do.
    pub error: Error,
}

/// A job of a listing.
pub type Listed = std::result::Result<Entry, Damaged>;

/// The events of a job, as far as they can be read.
#[derive(Default)]
struct History {
    records: Vec<Record>,
    state: Option<JobState>,
    /// Why there may be more events than these.
    damage: Option<Error>,
}

impl History {
    fn push(&mut self, record: Record) -> Result<()> {
        match &mut self.state {
            None => self.state = Some(JobState::first(&record.event)?),
            Some(state) => state.apply(&record.event)?,
        }
        self.records.push(record);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.records.len() as u64
    }
}

impl Ledger {
    /// The ledger of the schedulers of an archive, for a process that writes under an id that no other one has.
    pub fn new(archive: Archive, writer: String) -> Self {
        Self::in_folders(archive, writer, ("ledger", "ledger-ended"))
    }

    /// The ledger of the jobs that run in the process of their command, which a scheduler does not take up.
    pub fn embedded(archive: Archive, writer: String) -> Self {
        Self::in_folders(archive, writer, ("ledger-embedded", "ledger-embedded-ended"))
    }

    fn in_folders(archive: Archive, id: String, folders: (&'static str, &'static str)) -> Self {
        let writer = Writer { id, written: AtomicU64::new(0), compacts: tokio::sync::Mutex::default() };
        Self { archive, folders, writer: Arc::new(writer) }
    }

    /// Writes a new job's submission; the same id submitted again is the job that stands.
    ///
    /// # Errors
    /// Those of the store, and of [`Ledger::read`].
    pub async fn submit(&self, job: &str, specification: Value, at_ms: i64) -> Result<Entry> {
        let record = self.record(Event::Submitted { specification, at_ms });
        let state = JobState::first(&record.event)?;
        if self.write(job, 0, &record).await?.is_some() {
            return self.read(job).await;
        }
        // The events of a job that ended are elsewhere.
        if self.archive.exists(&self.ended(job)).await? {
            self.compact(job).await?;
            return self.read(job).await;
        }
        Ok(Entry { job: job.to_owned(), state, next: 1 })
    }

    /// Appends an event to a job as it was read. An event that was written but not answered counts as written, whether
    /// this is found out now or at the next event.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the move is illegal, or another writer appended first: read again;
    /// [`ErrorKind::Unavailable`] when the store did not answer several times.
    pub async fn append(&self, mut entry: Entry, event: Event) -> Result<Entry> {
        let record = self.record(event);
        loop {
            let state = entry.state.clone().after(&record.event)?;
            let Some(there) = self.write(&entry.job, entry.next, &record).await? else {
                return Ok(Entry { state, next: entry.next + 1, ..entry });
            };
            if there.writer != self.writer.id {
                let Entry { job, next, .. } = entry;
                return Err(Error::conflict(format!("somebody else wrote event {next} of job {job}")));
            }
            entry.state = entry.state.after(&there.event)?;
            entry.next += 1;
        }
    }

    /// Reads a job.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id, [`ErrorKind::Corrupt`] when its events are damaged or one
    /// is missing.
    pub async fn read(&self, job: &str) -> Result<Entry> {
        self.entry(job, &self.numbers(job).await?).await
    }

    /// The jobs that may be open, in the order of their ids (which begin with the time of submission). Those that have
    /// ended wait for [`Ledger::compact`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(&self) -> Result<Vec<Listed>> {
        self.entries(self.open_numbers().await?).await
    }

    /// The newest `limit` jobs (0: all), the newest first, and how many older ones there are.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn newest(&self, limit: usize) -> Result<(Vec<Listed>, usize)> {
        // In this order: a job that ends meanwhile is in both.
        let open = self.open_numbers().await?;
        let ended = self.archive.list(self.folders.1).await?;
        let mut names: BTreeSet<String> = open.keys().cloned().collect();
        names.extend(
            ended
                .iter()
                .filter_map(|object| Some(object.location.filename()?.strip_suffix(".json")?.to_owned())),
        );
        let shown = if limit == 0 { names.len() } else { limit.min(names.len()) };
        let older = names.len() - shown;
        let jobs = names.into_iter().rev().take(shown).map(|job| {
            let numbers = open.get(&job).cloned().unwrap_or_default();
            (job, numbers)
        });
        Ok((self.entries(jobs).await?, older))
    }

    /// The newest job whose specification `is_one`; those that were submitted before `since_ms` (milliseconds since 1970)
    /// need not be found.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn last(&self, is_one: impl Fn(&Value) -> bool, since_ms: i64) -> Result<Option<Entry>> {
        let mut limit = READS_AT_ONCE;
        loop {
            let (jobs, older) = self.newest(limit).await?;
            let jobs: Vec<Entry> = jobs.into_iter().flatten().collect();
            let reaches_back = jobs.last().is_some_and(|oldest| oldest.state.submitted_ms < since_ms);
            let found = jobs.into_iter().filter(|entry| is_one(&entry.state.specification));
            let found = found.max_by_key(|entry| entry.state.submitted_ms);
            if found.is_some() || reaches_back || older == 0 {
                return Ok(found);
            }
            limit = limit.saturating_mul(4);
        }
    }

    /// Puts the events of a job that has ended together in one object. Does nothing to one that is open or damaged.
    ///
    /// # Errors
    /// Those of the store; then the events stay where they are.
    pub async fn compact(&self, job: &str) -> Result<()> {
        let _alone = self.writer.compacts.lock().await;
        let numbers = self.numbers(job).await?;
        let History { records, state, damage } = self.gather(job, &numbers).await?;
        let ended = damage.is_none() && state.is_some_and(|state| state.status.is_final());
        if ended && !numbers.is_empty() {
            self.put_together(job, &records, &numbers).await?;
        }
        Ok(())
    }

    /// Ends a job whose events cannot all be read: those that can be, and a cancellation, take their place.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn give_up(&self, job: &str, at_ms: i64) -> Result<Entry> {
        let _alone = self.writer.compacts.lock().await;
        let numbers = self.numbers(job).await?;
        let mut history = self.gather(job, &numbers).await?;
        if history.records.is_empty() {
            history.push(self.record(Event::Submitted { specification: Value::Null, at_ms }))?;
        }
        // Of a job that has ended only the end is not known.
        let ended = history.state.as_ref().is_some_and(|state| state.status.is_final());
        if !ended {
            history.push(self.record(Event::Cancelled { at_ms }))?;
        }
        self.put_together(job, &history.records, &numbers).await?;
        self.entry(job, &[]).await
    }

    /// Deletes the events of a job that nobody asks for again.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn forget(&self, job: &str) -> Result<()> {
        self.archive.delete_folder(&format!("{}/{job}", self.folders.0)).await?;
        self.archive.remove_empty(self.folders.0).await;
        Ok(())
    }

    fn record(&self, event: Event) -> Record {
        let number = self.writer.written.fetch_add(1, Ordering::Relaxed);
        Record { event, writer: self.writer.id.clone(), number }
    }

    fn place(&self, job: &str, number: u64) -> String {
        format!("{}/{job}/{number:08}.json", self.folders.0)
    }

    fn ended(&self, job: &str) -> String {
        format!("{}/{job}.json", self.folders.1)
    }

    /// Writes an event; gives the event that is there instead, if it is another.
    async fn write(&self, job: &str, number: u64, record: &Record) -> Result<Option<Record>> {
        let place = self.place(job, number);
        let bytes = serde_json::to_vec(record)?;
        let mut pause = FIRST_PAUSE;
        for _ in 1..WRITES {
            match self.write_once(&place, &bytes, record).await {
                // It may have been written all the same; then it is found at the next try.
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(job, number, error = error.chain(), "an event is written again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                written => return written,
            }
        }
        self.write_once(&place, &bytes, record).await
    }

    async fn write_once(&self, place: &str, bytes: &[u8], record: &Record) -> Result<Option<Record>> {
        if self.archive.put_new(place, bytes.to_vec()).await? {
            return Ok(None);
        }
        let there = self.read_record(place).await?;
        Ok((!there.is_same_writing(record)).then_some(there))
    }

    async fn read_record(&self, place: &str) -> Result<Record> {
        let bytes = self.archive.get(place).await?;
        serde_json::from_slice(&bytes).context(|| format!("read {}", self.archive.display(place)))
    }

    /// The numbers of the events in a job's folder, in their order.
    async fn numbers(&self, job: &str) -> Result<Vec<u64>> {
        let objects = self.archive.list(&format!("{}/{job}", self.folders.0)).await?;
        Ok(objects.iter().filter_map(|object| number_of(object.location.filename()?)).collect())
    }

    /// The numbers of the events in the folders of all open jobs.
    async fn open_numbers(&self) -> Result<BTreeMap<String, Vec<u64>>> {
        let mut jobs = BTreeMap::<String, Vec<u64>>::new();
        for object in self.archive.list(self.folders.0).await? {
            let Some(inside) = self.archive.relative(&object.location) else { continue };
            let mut parts = inside.split('/').skip(1);
            if let (Some(job), Some(number)) = (parts.next(), parts.next().and_then(number_of)) {
                jobs.entry(job.to_owned()).or_default().push(number);
            }
        }
        Ok(jobs)
    }

    /// Reads jobs, several at once; they keep their order.
    async fn entries(&self, jobs: impl IntoIterator<Item = (String, Vec<u64>)>) -> Result<Vec<Listed>> {
        let read = jobs.into_iter().map(|(job, numbers)| async move {
            match self.entry(&job, &numbers).await {
                Ok(entry) => Ok(Some(Ok(entry))),
                Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Some(Err(Damaged { job, error }))),
                // It was deleted since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        });
        let read = futures::stream::iter(read).buffered(READS_AT_ONCE);
        read.try_filter_map(|listed| async move { Ok(listed) }).try_collect().await
    }

    /// A job whose folder has events of these numbers.
    async fn entry(&self, job: &str, numbers: &[u64]) -> Result<Entry> {
        let history = match self.gather(job, numbers).await {
            // Its events were put together since they were listed.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.gather(job, &self.numbers(job).await?).await?
            }
            gathered => gathered?,
        };
        let next = history.len();
        match history {
            History { damage: Some(damage), .. } => Err(damage),
            History { state: Some(state), .. } => Ok(Entry { job: job.to_owned(), state, next }),
            _ => Err(Error::not_found(format!(
                "there is no job {job}; `tidewaiter jobs list` shows those there are"
            ))),
        }
    }

    /// The events of a job whose folder has events of these numbers, up to the first that cannot be read.
    async fn gather(&self, job: &str, numbers: &[u64]) -> Result<History> {
        let mut history = History::default();
        let advice = || format!("restore it, or give the job up by `tidewaiter jobs cancel {job}`");
        let damaged = |place: &str, error: Error| {
            let place = self.archive.display(place);
            Error::corrupt(format!("{place} is damaged; {}", advice())).with_source(error)
        };
        let place = self.ended(job);
        match self.ended_records(&place).await {
            Ok(records) => {
                for record in records {
                    if let Err(error) = history.push(record) {
                        history.damage = Some(damaged(&place, error));
                        return Ok(history);
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                history.damage = Some(damaged(&place, error));
                return Ok(history);
            }
            Err(error) => return Err(error),
        }
        let put_together = history.len();
        for number in numbers.iter().filter(|number| **number >= put_together) {
            let next = self.place(job, history.len());
            if *number != history.len() {
                let next = self.archive.display(&next);
                history.damage =
                    Some(Error::corrupt(format!("the ledger of job {job} lacks {next}; {}", advice())));
                break;
            }
            let pushed = match self.read_record(&next).await {
                Ok(record) => history.push(record),
                Err(error) if error.kind() == ErrorKind::Corrupt => Err(error),
                Err(error) => return Err(error),
            };
            if let Err(error) = pushed {
                history.damage = Some(damaged(&next, error));
                break;
            }
        }
        Ok(history)
    }

    /// The events that were put together at a place; none where there is no such object.
    async fn ended_records(&self, place: &str) -> Result<Vec<Record>> {
        match self.archive.get(place).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes a job's events as one object, then deletes those of these numbers.
    async fn put_together(&self, job: &str, records: &[Record], numbers: &[u64]) -> Result<()> {
        let place = self.ended(job);
        self.archive.put(&place, serde_json::to_vec(records)?).await?;
        self.archive.sync(&place).await?;
        // Only these: the job may have been reopened meanwhile.
        for number in numbers {
            self.archive.delete(&self.place(job, *number)).await?;
        }
        self.archive.remove_empty(&format!("{}/{job}", self.folders.0)).await;
        Ok(())
    }
}

/// The number in the name of an event's object.
fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}
