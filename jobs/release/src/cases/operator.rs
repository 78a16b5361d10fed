//! The plan node that makes cases of events.

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch, UInt32Array},
    compute::{concat_batches, take_record_batch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    execution::{
        SendableRecordBatchStream,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_plan::{
        metrics::{ExecutionPlanMetricsSet, SpillMetrics},
        spill::SpillManager,
    },
};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use prost::Message as _;
use tidewaiter_core::{
    Error, Result,
    plan::{Input, Operator},
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    event_texts::{EventTexts, numbered_schema},
    grouping::EventGroups,
};
use crate::{
    messages,
    scope::STRATA,
    stage_file::{Calendars, StageFile, role_column},
};

/// Bytes of an event in memory, about.
pub const EVENT_BYTES: u64 = 128;

/// Rows that are buffered before they are written, over all parts.
const BUFFERED_ROWS: usize = 262_144;

/// The plan node.
#[derive(Debug)]
pub struct CasesOperator {
    message: messages::CasesOperator,
    /// Present where the times between events are also given in open hours.
    calendars: Option<Calendars>,
}

impl CasesOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "CasesExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] for a message without parts;
    /// [`tidewaiter_core::ErrorKind::Input`] when the stage file is wrong.
    pub fn new(message: messages::CasesOperator) -> Result<Self> {
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

    /// Reads all events, and distributes them over the parts by the hash of their case.
    async fn distribute(self: Arc<Self>, mut input: Input) -> Result<Parts> {
        let mut texts = EventTexts::new(&self.message.roles);
        let parts = self.message.parts as usize;
        let schema = numbered_schema(&input.rows.schema());
        let memory = MemoryConsumer::new("CasesExec").register(input.task.memory_pool());
        if parts == 1 {
            let mut groups = EventGroups::default();
            while let Some(batch) = input.rows.next().await {
                let batch = texts.number(&batch?, &schema)?;
                memory.grow(batch.num_rows() * EVENT_BYTES as usize);
                groups.push(&batch)?;
                input.meter.advance(batch.num_rows() as u64);
            }
            return Ok(Parts {
                operator: self,
                texts,
                memory,
                parts: vec![Part::InMemory(Box::new(groups))],
            });
        }
        let together = (BUFFERED_ROWS / parts).clamp(256, 16_384);
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), input.partition);
        let manager = Arc::new(SpillManager::new(input.task.runtime_env(), metrics, Arc::clone(&schema)));
        let mut files = Vec::with_capacity(parts);
        for _ in 0..parts {
            files.push(manager.create_in_progress_file("the events of cases")?);
        }
        let mut buffered = vec![Vec::new(); parts];
        let mut rows = vec![0; parts];
        while let Some(batch) = input.rows.next().await {
            let batch = texts.number(&batch?, &schema)?;
            for (part, slice) in by_part(&batch, parts)? {
                rows[part] += slice.num_rows();
                buffered[part].push(slice);
                if rows[part] >= together {
                    rows[part] = 0;
                    let slices = std::mem::take(&mut buffered[part]);
                    files[part].append_batch(&concat_batches(&schema, &slices)?)?;
                }
            }
            input.meter.advance(batch.num_rows() as u64);
        }
        let mut spilled = Vec::with_capacity(parts);
        for (mut file, slices) in files.into_iter().zip(buffered) {
            if !slices.is_empty() {
                file.append_batch(&concat_batches(&schema, &slices)?)?;
            }
            if let Some(file) = file.finish()? {
                spilled.push(Part::Spilled(manager.read_spill_as_stream(file, None)?));
            }
        }
        Ok(Parts { operator: self, texts, memory, parts: spilled })
    }
}

/// Some of the events, of whole cases.
enum Part {
    /// In memory.
    InMemory(Box<EventGroups>),
    /// In a file.
    Spilled(SendableRecordBatchStream),
}

/// The events of a partition, in parts.
struct Parts {
    operator: Arc<CasesOperator>,
    texts: EventTexts,
    memory: MemoryReservation,
    parts: Vec<Part>,
}

impl Parts {
    /// The cases, part by part.
    fn cases(self) -> impl futures::Stream<Item = Result<RecordBatch>> {
        let Self { operator, texts, memory, parts } = self;
        let shared = Arc::new((operator, texts, memory));
        stream::iter(parts)
            .then(move |part| {
                let shared = Arc::clone(&shared);
                async move {
                    let (operator, texts, memory) = shared.as_ref();
                    let groups = match part {
                        Part::InMemory(groups) => *groups,
                        Part::Spilled(mut rows) => {
                            let mut groups = EventGroups::default();
                            while let Some(batch) = rows.next().await {
                                let batch = batch?;
                                memory.grow(batch.num_rows() * EVENT_BYTES as usize);
                                groups.push(&batch)?;
                            }
                            groups
                        }
                    };
                    let cases = groups.finish(
                        texts,
                        operator.cases_schema(),
                        operator.message.intervals,
                        operator.calendars.as_ref(),
                    );
                    memory.free();
                    Ok::<_, Error>(stream::iter(cases?.into_iter().map(Ok)))
                }
            })
            .try_flatten()
    }
}

/// The rows of a batch by their part.
fn by_part(batch: &RecordBatch, parts: usize) -> Result<Vec<(usize, RecordBatch)>> {
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

impl Operator for CasesOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in ["case_id", "done", "file_order", "utc_offset", "event", "role"] {
            input.field_with_name(name)?;
        }
        Ok(self.cases_schema())
    }

    fn partition_keys(&self) -> &[&'static str] {
        &["case_id"]
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        stream::once(self.distribute(input)).map_ok(Parts::cases).try_flatten().boxed()
    }
}
