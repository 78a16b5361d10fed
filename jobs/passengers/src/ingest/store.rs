//! The second pass as a plan node: files in, data files of all tables out.
//!
//! Messages are read on a thread of their own, which gives batches of rows to the writers and waits when they are behind,
//! so that memory does not grow with a file. Start at [`StoreOperator`].

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use chrono::{DateTime, NaiveDate};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, DataFile, PartitionWriter, WriterSettings, tasks};
use tidewaiter_core::{
    Error, Result,
    plan::{self, Input, Operator},
    threads::on_cpu,
};
use tidewaiter_ingest::{QUARANTINE, quarantine_table_schema};
use tokio::sync::mpsc::{Sender, channel};

use super::{
    forms::Outcome,
    messages,
    parts::{Origin, booking_id, flight_id, flight_of},
    quarantine::{self, INGESTED_AT},
    rows::TableRows,
    units::{Form, Refused, Unit, read},
};
use crate::{
    identifiers,
    privacy::{hexadecimal::sixteen, key::Key},
    reading,
    records::{MessageKind, Records},
    table::{
        FLIGHT_DATE, OUTCOMES, TABLES,
        builder::{Cell, Rows},
    },
};

/// Batches that wait for the writers, at most.
const WAITING: usize = 2;

/// Bytes of rows and buffers of the writer of one table, at least and at most.
const WRITER_BYTES: (usize, usize) = (12 << 20, 48 << 20);

/// A file with what is left out of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) path: String,
    /// Messages or records, by their places, ascending.
    pub(super) left_out: Vec<usize>,
}

/// What was stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// The data files, by table.
    pub(super) files: BTreeMap<String, Vec<DataFile>>,
    pub(super) tally: Tally,
}

/// Counts of what was stored and put aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Messages or records that were archived.
    pub(super) archived: u64,
    pub(super) quarantined: u64,
    /// Rows, by table.
    pub(super) rows: BTreeMap<String, u64>,
    /// What was put aside, by rule.
    pub(super) rules: BTreeMap<String, u64>,
    /// What is wrong with what was archived, by kind.
    pub(super) issues: BTreeMap<String, u64>,
    /// The first thing that was put aside, in words.
    pub(super) first: Option<String>,
}

impl Tally {
    pub(super) fn merge(&mut self, other: Self) {
        self.archived += other.archived;
        self.quarantined += other.quarantined;
        for (own, others) in
            [(&mut self.rows, other.rows), (&mut self.rules, other.rules), (&mut self.issues, other.issues)]
        {
            for (name, count) in others {
                *own.entry(name).or_default() += count;
            }
        }
        self.first = self.first.take().or(other.first);
    }
}

/// The operator: each task is a list of [`Task`]s as JSON, and each partition answers with one report
/// ([`plan::report`]), a [`Stored`].
#[derive(Debug)]
pub struct StoreOperator {
    message: messages::PassengersStoreOperator,
    form: Form,
}

impl StoreOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "PassengersStoreExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when its mapping is wrong.
    pub fn new(message: messages::PassengersStoreOperator) -> Result<Self> {
        let form = Form::of(&message.mapping)?;
        Ok(Self { message, form })
    }

    /// The key, which must be that of the job's process.
    fn key(&self) -> Result<Key> {
        let key = Key::read(&self.message.key)?;
        if key.fingerprint() != self.message.fingerprint {
            return Err(Error::input(format!(
                "the key in {} of this executor is not that of the job; give all processes the same",
                self.message.key
            )));
        }
        Ok(key)
    }

    async fn store_all(self: Arc<Self>, mut input: Input) -> Result<Stored> {
        let key = Arc::new(self.key()?);
        let name = format!("{}-{}", self.message.job, input.unique_name());
        let mut writers = Writers::new(&self.message, name)?;
        let mut stored = Stored::default();
        while let Some(batch) = input.rows.next().await {
            for (_, task) in tasks::of_batch(&batch?)? {
                let files: Vec<Task> = serde_json::from_str(&task)?;
                for file in files {
                    let (send, mut receive) = channel(WAITING);
                    let (operator, key) = (Arc::clone(&self), Arc::clone(&key));
                    let produced = on_cpu(move || operator.produce(&key, file, send));
                    let consumed = async {
                        while let Some((table, rows)) = receive.recv().await {
                            writers.write(table, &rows).await?;
                        }
                        // Whoever still sends learns that nobody takes any more.
                        drop(receive);
                        Ok::<_, Error>(())
                    };
                    let (produced, consumed) = futures::join!(produced, consumed);
                    consumed?;
                    let tally = produced?;
                    input.meter.advance(tally.archived);
                    stored.tally.merge(tally);
                }
            }
        }
        stored.files = writers.finish().await?;
        Ok(stored)
    }

    /// Reads a file, and sends batches of the rows of all tables.
    fn produce(&self, key: &Key, task: Task, send: Sender<Batch>) -> Result<Tally> {
        let mut producer = Producer {
            message: &self.message,
            key,
            file: &task.path,
            table: self.form.table(),
            send,
            rows: TableRows::new(),
            outcomes: Rows::new(&OUTCOMES),
            refused: Vec::new(),
            tally: Tally::default(),
            day: day_of(self.message.ingested_us),
        };
        let mut left_out = task.left_out.iter().copied().peekable();
        let mut place = 0;
        read(&task.path, &self.form, &mut |unit| {
            let has_id = !matches!(unit, Unit::Refused(_) | Unit::Envelope(_));
            let is_left_out = has_id && left_out.next_if_eq(&place).is_some();
            place += usize::from(has_id);
            if is_left_out { Ok(()) } else { producer.take(unit) }
        })?;
        producer.finish()
    }
}

/// The day of a time.
fn day_of(microseconds: i64) -> NaiveDate {
    DateTime::from_timestamp_micros(microseconds).map_or(NaiveDate::default(), |time| time.date_naive())
}

/// Rows of a table by its name.
type Batch = (&'static str, RecordBatch);

/// Makes rows of what a file holds.
struct Producer<'a> {
    message: &'a messages::PassengersStoreOperator,
    key: &'a Key,
    file: &'a str,
    /// The table of what the file holds.
    table: &'static str,
    send: Sender<Batch>,
    rows: TableRows,
    outcomes: Rows,
    refused: Vec<Refused>,
    tally: Tally,
    /// The day of the last message, or else of the ingest: envelopes are stored by it.
    day: NaiveDate,
}

impl Producer<'_> {
    fn take(&mut self, unit: Unit<'_>) -> Result<()> {
        match unit {
            Unit::Message { id, kind, message, damage } => {
                let mut records = reading::records(message);
                records.issues.extend(damage.cloned());
                match refusal(&records) {
                    Some(rule) => {
                        let place = records.issues.first().map_or(String::new(), ToString::to_string);
                        self.refuse(Refused::at_byte(message.offset(), rule, place, message.raw()));
                    }
                    None => self.message(id, kind, &message.interchange.syntax, &records, message.raw()),
                }
            }
            Unit::Record { id, row, mut records } => {
                records.message.offset = u64::try_from(row).unwrap_or_default();
                self.message(id, "CSV", "", &records, b"");
            }
            Unit::Outcome { id, outcome } => self.outcome(id, &outcome),
            Unit::Refused(refused) => self.refuse(refused),
            Unit::Envelope(issues) => {
                self.rows.issues(&issues, &BTreeMap::new(), None, self.day, self.file);
                self.count_issues(issues.iter().map(|issue| issue.kind.word()));
            }
        }
        if self.rows.is_full() || self.outcomes.len() + self.refused.len() >= 4096 {
            self.flush()?;
        }
        Ok(())
    }

    fn message(&mut self, id: u64, kind: &str, characters: &str, records: &Records, raw: &[u8]) {
        let Some(flight) = flight_of(records, id) else {
            let offset = records.message.offset;
            let rule = "nothing says on what day it was: neither a flight's departure nor the interchange's preparation";
            return self.refuse(Refused::at_byte(offset, rule, String::new(), raw));
        };
        let origin = Origin {
            id,
            kind,
            characters,
            file: self.file,
            job: &self.message.job,
            ingested_us: self.message.ingested_us,
        };
        self.rows.add(self.key, origin, &flight, records);
        self.count_issues(records.issues.iter().map(|issue| issue.kind.word()));
        self.tally.archived += 1;
        self.day = flight.day;
    }

    fn outcome(&mut self, id: u64, outcome: &Outcome) {
        let Outcome { carrier, flight, departs_on, from, surname, given, birth, locator, .. } = outcome;
        let flight = flight_id(carrier, flight, *departs_on, from);
        let name = self.key.pseudonym("name", &identifiers::name(surname, given, *birth));
        let document = identifiers::document(&outcome.document_issuer, &outcome.document_number);
        let document = self.key.pseudonym("document", &document);
        let booking = booking_id(self.key, locator, &flight);
        self.outcomes.push([
            Cell::Text(&sixteen(id)),
            (*departs_on).into(),
            Cell::from(&flight),
            Cell::from(&name),
            Cell::from(&document),
            Cell::from(&booking),
            Cell::from(&outcome.selected_by),
            outcome.inspected_on.into(),
            outcome.known_on.into(),
            outcome.found.into(),
            Cell::from(&outcome.category),
            outcome.amount.into(),
        ]);
        self.tally.archived += 1;
    }

    fn count_issues<'i>(&mut self, words: impl Iterator<Item = &'i str>) {
        for word in words {
            match self.tally.issues.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    self.tally.issues.insert(word.to_owned(), 1);
                }
            }
        }
    }

    fn refuse(&mut self, refused: Refused) {
        self.tally.quarantined += 1;
        *self.tally.rules.entry(refused.rule.clone()).or_default() += 1;
        let place = if refused.value.is_empty() { String::new() } else { format!(" ({})", refused.value) };
        let first = || format!("{}: {}{place}", self.file, refused.rule);
        self.tally.first = self.tally.first.take().or_else(|| Some(first()));
        self.refused.push(refused);
    }

    fn flush(&mut self) -> Result<()> {
        let mut batches: Vec<Batch> =
            self.rows.finish()?.into_iter().map(|(layout, rows)| (layout.table, rows)).collect();
        if !self.outcomes.is_empty() {
            batches.push((OUTCOMES.table, self.outcomes.finish()?));
        }
        let messages::PassengersStoreOperator { job, ingested_us, .. } = self.message;
        if !self.refused.is_empty() {
            let refused = std::mem::take(&mut self.refused);
            batches.push((QUARANTINE, quarantine::rows(&refused, self.table, self.file, job, *ingested_us)?));
        }
        for (table, rows) in batches {
            *self.tally.rows.entry(table.to_owned()).or_default() += rows.num_rows() as u64;
            let sent = self.send.blocking_send((table, rows));
            sent.map_err(|_| Error::internal("the writers of the tables stopped"))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Tally> {
        self.flush()?;
        Ok(self.tally)
    }
}

/// Why no rows can be made of a message.
fn refusal(records: &Records) -> Option<&'static str> {
    let has_content =
        !records.travellers.is_empty() || !records.bookings.is_empty() || !records.legs.is_empty();
    match (records.message.kind, has_content) {
        (MessageKind::Other, _) => Some("it is neither PAXLST nor PNRGOV"),
        (_, false) => Some("it has no flight, no booking and no traveller"),
        (_, true) => None,
    }
}

/// The writers of all tables that got rows.
struct Writers {
    archive: Archive,
    country: String,
    name: String,
    settings: WriterSettings,
    writers: BTreeMap<&'static str, PartitionWriter>,
}

impl Writers {
    fn new(message: &messages::PassengersStoreOperator, name: String) -> Result<Self> {
        let memory = usize::try_from(message.memory_bytes).unwrap_or(usize::MAX) / (TABLES.len() + 1);
        let memory_bytes = memory.clamp(WRITER_BYTES.0, WRITER_BYTES.1);
        Ok(Self {
            archive: Archive::open(&message.archive)?,
            country: message.country.clone(),
            name,
            settings: WriterSettings { memory_bytes, ..WriterSettings::default() },
            writers: BTreeMap::new(),
        })
    }

    async fn write(&mut self, table: &'static str, rows: &RecordBatch) -> Result<()> {
        if !self.writers.contains_key(table) {
            let layout = TABLES.iter().find(|layout| layout.table == table);
            let (schema, order) = match layout {
                Some(layout) => ((layout.schema)(), [&[FLIGHT_DATE][..], layout.sort_columns].concat()),
                None => (quarantine_table_schema(), vec![INGESTED_AT]),
            };
            let Self { archive, country, name, settings, .. } = &*self;
            let writer = PartitionWriter::new(archive, table, &schema, country, &order, name, *settings)?;
            self.writers.insert(table, writer);
        }
        match self.writers.get_mut(table) {
            Some(writer) => writer.write(rows).await,
            None => Ok(()),
        }
    }

    async fn finish(self) -> Result<BTreeMap<String, Vec<DataFile>>> {
        let mut files = BTreeMap::new();
        for (table, writer) in self.writers {
            files.insert(table.to_owned(), writer.finish().await?);
        }
        Ok(files)
    }
}

impl Operator for StoreOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match input.index_of("task") {
            Ok(_) => Ok(plan::report_schema()),
            Err(_) => Err(Error::internal("an ingest of passengers needs rows that name files")),
        }
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.store_all(input).await?) }).boxed()
    }
}
