//! Events to cases as a plan node: rows of events in any order in, one row of each case out.
//!
//! The events of a case meet in one partition, by the hash of the case, and are put in order case by case, so that
//! nothing is sorted as a whole. A case keeps what every later query needs of its events: its milestones, its ways by
//! the ends and by the beginnings of events, and the times between them, by the clock and in open hours. Texts are numbered as they come; where the
//! events are many they are dealt to files by their case first, and one file at a time is in memory. Promises: the rows
//! are those of a sort by case, and memory grows with the events of a part ([`EVENT_BYTES`] each), not with the log; besides
//! them only the different names are held. Start at [`CasesOperator`].

mod fold;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::{cast, concat_batches, take_record_batch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    execution::memory_pool::{MemoryConsumer, MemoryReservation},
    physical_plan::{
        metrics::{ExecutionPlanMetricsSet, SpillMetrics},
        spill::SpillManager,
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use tidewaiter_proto::v1;
use xxhash_rust::xxh3::xxh3_64;

use self::fold::Fold;
use super::{
    operator::role_column,
    queries::STRATA,
    stages::{Calendars, StageFile},
    texts::Numbering,
};
use crate::{
    Error, Result,
    plan::{Input, Operator},
};

/// Bytes of an event in memory, about.
pub const EVENT_BYTES: u64 = 128;

/// Rows that wait to be written, over all parts.
const WAITING_ROWS: usize = 262_144;

/// The plan node.
#[derive(Debug)]
pub struct CasesOperator {
    message: v1::CasesOperator,
    /// Where times between events are told in open hours, too.
    calendars: Option<Calendars>,
}

impl CasesOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] for a message without parts; [`crate::ErrorKind::Input`] when the stage file is
    /// wrong.
    pub fn new(message: v1::CasesOperator) -> Result<Self> {
        if message.parts == 0 {
            return Err(Error::corrupt("cases are made of no part of the events"));
        }
        let calendars = match message.stages.as_str() {
            "" => None,
            text => Some(StageFile::parse(text)?.calendars(message.first, message.cut_off)?),
        };
        Ok(Self { message, calendars })
    }

    /// The columns of a case.
    fn cases_schema(&self) -> SchemaRef {
        let whole = |name: &str, nullable| Field::new(name, DataType::Int64, nullable);
        let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
        let mut fields = vec![
            text("case_id", false),
            whole("first_us", false),
            whole("last_us", false),
            whole("events", false),
            whole("different_events", false),
            text("variant", false),
            text("sequence", true),
            Field::new("gaps", DataType::Binary, false),
            Field::new("utc_offset", DataType::Int32, false),
            Field::new("mixed", DataType::Boolean, false),
            whole("without_role", false),
            whole("out_of_order", false),
            whole("negative", false),
            whole("unfinished", false),
            whole("duplicates", false),
        ];
        fields.extend(STRATA.map(|name| text(name, true)));
        fields.extend((0..self.message.roles.len()).map(|place| whole(&role_column(place), true)));
        if self.calendars.is_some() {
            fields.push(Field::new("working_gaps", DataType::Binary, true));
        }
        Arc::new(Schema::new(fields))
    }

    /// Reads all events, and deals them to parts.
    async fn deal(self: Arc<Self>, mut input: Input) -> Result<Dealt> {
        let mut names = Names::new(&self.message.roles);
        let parts = self.message.parts as usize;
        let schema = numbered_schema(&input.rows.schema());
        let held = MemoryConsumer::new("CasesExec").register(input.task.memory_pool());
        if parts == 1 {
            let mut fold = Fold::default();
            while let Some(batch) = input.rows.next().await {
                let batch = names.number(&batch?, &schema)?;
                held.grow(batch.num_rows() * EVENT_BYTES as usize);
                fold.push(&batch)?;
                input.meter.advance(batch.num_rows() as u64);
            }
            return Ok(Dealt { operator: self, names, held, parts: vec![Part::Held(Box::new(fold))] });
        }
        let together = (WAITING_ROWS / parts).clamp(256, 16_384);
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), input.partition);
        let manager = Arc::new(SpillManager::new(input.task.runtime_env(), metrics, Arc::clone(&schema)));
        let mut files = Vec::with_capacity(parts);
        for _ in 0..parts {
            files.push(manager.create_in_progress_file("the events of cases")?);
        }
        let mut waiting = vec![Vec::new(); parts];
        let mut rows = vec![0; parts];
        while let Some(batch) = input.rows.next().await {
            let batch = names.number(&batch?, &schema)?;
            for (part, slice) in dealt(&batch, parts)? {
                rows[part] += slice.num_rows();
                waiting[part].push(slice);
                if rows[part] >= together {
                    rows[part] = 0;
                    let slices = std::mem::take(&mut waiting[part]);
                    files[part].append_batch(&concat_batches(&schema, &slices)?)?;
                }
            }
            input.meter.advance(batch.num_rows() as u64);
        }
        let mut dealt = Vec::with_capacity(parts);
        for (mut file, slices) in files.into_iter().zip(waiting) {
            if !slices.is_empty() {
                file.append_batch(&concat_batches(&schema, &slices)?)?;
            }
            if let Some(file) = file.finish()? {
                dealt.push(Part::Dealt(manager.read_spill_as_stream(file, None)?));
            }
        }
        Ok(Dealt { operator: self, names, held, parts: dealt })
    }
}

/// Some of the events, of whole cases.
enum Part {
    /// In memory.
    Held(Box<Fold>),
    /// To be read.
    Dealt(datafusion::execution::SendableRecordBatchStream),
}

/// The events of a partition, in parts.
struct Dealt {
    operator: Arc<CasesOperator>,
    names: Names,
    held: MemoryReservation,
    parts: Vec<Part>,
}

impl Dealt {
    /// The cases, part by part.
    fn cases(self) -> impl futures::Stream<Item = Result<RecordBatch>> {
        let Self { operator, names, held, parts } = self;
        let shared = Arc::new((operator, names, held));
        stream::iter(parts)
            .then(move |part| {
                let shared = Arc::clone(&shared);
                async move {
                    let (operator, names, held) = shared.as_ref();
                    let fold = match part {
                        Part::Held(fold) => *fold,
                        Part::Dealt(mut rows) => {
                            let mut fold = Fold::default();
                            while let Some(batch) = rows.next().await {
                                let batch = batch?;
                                held.grow(batch.num_rows() * EVENT_BYTES as usize);
                                fold.push(&batch)?;
                            }
                            fold
                        }
                    };
                    let cases = fold.finish(
                        names,
                        operator.cases_schema(),
                        operator.message.intervals,
                        operator.calendars.as_ref(),
                    );
                    held.free();
                    Ok::<_, Error>(stream::iter(cases?.into_iter().map(Ok)))
                }
            })
            .try_flatten()
    }
}

/// The times between a case's events in microseconds, as its row holds them.
pub(super) fn times(bytes: &[u8]) -> impl Iterator<Item = i64> {
    bytes.as_chunks().0.iter().map(|time| i64::from_le_bytes(*time))
}

/// The rows of a batch by their part.
fn dealt(batch: &RecordBatch, parts: usize) -> Result<Vec<(usize, RecordBatch)>> {
    let cases = batch.column(0).as_string::<i32>();
    let part_of: Vec<usize> = cases
        .iter()
        .map(|case| (xxh3_64(case.unwrap_or_default().as_bytes()) % parts as u64) as usize)
        .collect();
    let mut ends = vec![0; parts + 1];
    for part in &part_of {
        ends[part + 1] += 1;
    }
    for part in 0..parts {
        ends[part + 1] += ends[part];
    }
    let mut next = ends.clone();
    let mut places = vec![0_u32; part_of.len()];
    for (row, part) in (0..).zip(&part_of) {
        places[next[*part]] = row;
        next[*part] += 1;
    }
    let sorted = take_record_batch(batch, &UInt32Array::from(places))?;
    let slice = |part: usize| (part, sorted.slice(ends[part], ends[part + 1] - ends[part]));
    Ok((0..parts).map(slice).filter(|(_, slice)| slice.num_rows() > 0).collect())
}

/// The columns of numbered events that come with these; 0 is no text, and the texts are numbered from 1. When an event
/// begins, whether it is the start of another, and the strata need not be told.
fn numbered_schema(events: &Schema) -> SchemaRef {
    let whole = |name: &str| Field::new(name, DataType::Int64, false);
    let mut fields = vec![Field::new("case_id", DataType::Utf8, false)];
    fields.extend(["done", "begun", "file_order"].map(whole));
    fields.push(Field::new("utc_offset", DataType::Int32, false));
    fields.push(Field::new("starts", DataType::Boolean, false));
    let numbers = ["event", "role"].into_iter().chain(STRATA);
    fields.extend(numbers.map(|name| Field::new(name, DataType::UInt32, false)));
    fields.retain(|field| events.index_of(field.name()).is_ok());
    Arc::new(Schema::new(fields))
}

/// The texts of the events, numbered.
struct Names {
    events: Numbering,
    /// The study's milestones first.
    roles: Numbering,
    /// For each milestone of work that ends, that of its beginning.
    beginnings: Vec<Option<usize>>,
    milestones: usize,
    strata: [Numbering; STRATA.len()],
}

impl Names {
    fn new(milestones: &[String]) -> Self {
        let mut roles = Numbering::default();
        for role in milestones {
            roles.number(role);
        }
        let beginning = |role: &String| {
            let start = format!("{}-start", role.strip_suffix("-end")?);
            milestones.iter().position(|other| *other == start)
        };
        Self {
            events: Numbering::default(),
            roles,
            beginnings: milestones.iter().map(beginning).collect(),
            milestones: milestones.len(),
            strata: Default::default(),
        }
    }

    /// The events with numbers for their texts.
    fn number(&mut self, events: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let name = field.name().as_str();
            let column = events
                .column_by_name(name)
                .ok_or_else(|| Error::internal(format!("the events have no column {name}")))?;
            if field.data_type() != &DataType::UInt32 {
                columns.push(cast(column, field.data_type())?);
                continue;
            }
            let texts = match name {
                "event" => &mut self.events,
                "role" => &mut self.roles,
                _ => {
                    let place = STRATA.iter().position(|stratum| *stratum == name).unwrap_or_default();
                    &mut self.strata[place]
                }
            };
            let values = cast(column, &DataType::Utf8View)?;
            columns.push(Arc::new(texts.numbers(values.as_string_view())));
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

impl Operator for CasesOperator {
    fn name(&self) -> &'static str {
        "CasesExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::Cases(self.message.clone())) }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in ["case_id", "done", "file_order", "utc_offset", "event", "role"] {
            input.field_with_name(name)?;
        }
        Ok(self.cases_schema())
    }

    fn meets(&self) -> &[&'static str] {
        &["case_id"]
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        stream::once(self.deal(input)).map_ok(Dealt::cases).try_flatten().boxed()
    }
}

#[cfg(test)]
mod tests;
