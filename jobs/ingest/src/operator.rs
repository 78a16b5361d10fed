//! The ingest as a plan node: each input row names a group of export files, and the answer says how each file ended.
//!
//! A file that cannot be ingested is an answer and not an error, so that the other files are ingested all the same.
//! Only an error of the archive's store that waiting can cure fails the task, which the engine then retries. Data files
//! are named by the job and the group, so that a repeated task replaces its own files.
//!
//! What is absent: the commit, which is the driver's. Start at [`IngestOperator`].

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use tidewaiter_archive::{Archive, Table, WriterSettings, schema::Layout, tasks};
use tidewaiter_core::{
    Error, Result,
    plan::{self, Input, Operator},
};

use crate::{
    group::{Group, GroupReport, ingest_group},
    mapping::Mapping,
    messages,
    options::Options,
};

/// The operator; each partition answers with one report ([`plan::report`]): a list of [`GroupReport`], one for each
/// group.
#[derive(Debug)]
pub struct IngestOperator {
    message: messages::IngestOperator,
    archive: Archive,
    mapping: Mapping,
}

impl IngestOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "IngestExec";

    /// The operator of a message, whose mapping is for one of `tables`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the mapping is wrong.
    pub fn new(message: messages::IngestOperator, tables: &[&'static Layout]) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        let codes = message.nomenclature.lines().map(str::to_owned).collect();
        let mapping =
            Mapping::parse(&message.mapping, tables)?.with_nomenclature(codes).on_day(message.today);
        Ok(Self { message, archive, mapping })
    }

    async fn ingest_all(&self, mut input: Input) -> Result<Vec<GroupReport>> {
        let table = Table::open(&self.archive, self.mapping.layout().table).await?;
        let mut reports = Vec::new();
        let meter = Arc::clone(&input.meter);
        while let Some(batch) = input.rows.next().await {
            for (_, group) in tasks::of_batch(&batch?)? {
                let group: Group = serde_json::from_str(&group)?;
                let name = format!("{}-{}", self.message.job, group.number);
                let memory = usize::try_from(self.message.memory_bytes).unwrap_or(usize::MAX);
                let place = i32::try_from(group.number).unwrap_or(i32::MAX);
                let options = Options {
                    name: &name,
                    job: &self.message.job,
                    ingested_us: self.message.ingested_us,
                    first_source: self.message.first_source.saturating_add(place),
                    again: self.message.again,
                    forgotten: self.message.forgotten,
                    settings: WriterSettings { memory_bytes: memory, ..WriterSettings::default() },
                    most_quarantined: self.message.most_quarantined,
                    progress: &|rows| meter.advance(rows),
                };
                reports.push(ingest_group(&table, &self.mapping, group, options).await?);
            }
        }
        Ok(reports)
    }
}

impl Operator for IngestOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match input.index_of("task") {
            Ok(_) => Ok(plan::report_schema()),
            Err(_) => Err(Error::internal("an ingest needs rows that name files")),
        }
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.ingest_all(input).await?) }).boxed()
    }
}
