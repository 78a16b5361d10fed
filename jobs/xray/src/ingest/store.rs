//! The second pass over image files as a plan node: those that are kept become rows of the table, with their bytes.
//!
//! A batch ends at [`BATCH_BYTES`], so that memory does not grow with the number of images. Start at
//! [`StoreImagesOperator`].

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use arrow::{
    array::{
        ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{Int64Type, Schema, SchemaRef},
};
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message as _;
use tidewaiter_core::{
    Error, Result,
    plan::{Input, Operator},
    threads::{check, on_cpu},
};

use super::{digest::sha256, inspect::Record, lineage::Lineage, messages, reader::Reader};
use crate::table::{self, ID_DIGITS, objects_column, texts};

/// Bytes of files in a batch: it is full as soon as it has so many.
const BATCH_BYTES: usize = 16 << 20;

/// Images in a batch at most.
const BATCH_ROWS: usize = 1024;

/// The operator: rows of [`super::inspect`] in, rows of the table out.
#[derive(Debug)]
pub struct StoreImagesOperator {
    left_out: BTreeSet<u64>,
    lineage: Lineage,
}

impl StoreImagesOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "XrayStoreExec";

    /// The operator of a message.
    pub fn new(message: messages::StoreImagesOperator) -> Self {
        let messages::StoreImagesOperator { left_out, first_source, begins } = message;
        Self { left_out: left_out.into_iter().collect(), lineage: Lineage { first_source, begins } }
    }

    /// The images of a batch that are kept.
    fn kept(&self, rows: &RecordBatch) -> Result<Vec<Kept>> {
        let numbers =
            rows.column_by_name("number").and_then(|numbers| numbers.as_primitive_opt::<Int64Type>());
        let numbers = numbers.ok_or_else(|| Error::internal("inspected images have no numbers"))?;
        let (records, sums, hashes) =
            (texts(rows, "record")?, texts(rows, "sha256")?, texts(rows, "perceptual_hash")?);
        let mut kept = Vec::new();
        for row in 0..rows.num_rows() {
            let number = u64::try_from(numbers.value(row)).unwrap_or_default();
            if let (Some(record), Some(sha256), Some(perceptual_hash)) =
                (records(row), sums(row), hashes(row))
                && !self.left_out.contains(&number)
            {
                let (record, lineage) = (serde_json::from_str(&record)?, self.lineage.of(number));
                kept.push(Kept { record, sha256, perceptual_hash, lineage });
            }
        }
        Ok(kept)
    }
}

/// An image that is kept.
struct Kept {
    record: Record,
    sha256: String,
    perceptual_hash: String,
    /// The number of its source, and its own in it.
    lineage: (i32, i64),
}

impl Operator for StoreImagesOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        let Lineage { first_source, begins } = self.lineage.clone();
        let left_out = self.left_out.iter().copied().collect();
        messages::StoreImagesOperator { left_out, first_source, begins }.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match input.index_of("record") {
            Ok(_) => Ok(table::stored_schema()),
            Err(_) => Err(Error::internal("images are stored by rows that describe them")),
        }
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let state = State { operator: self, input, waiting: VecDeque::new(), reader: Reader::default() };
        stream::try_unfold(state, next).boxed()
    }
}

/// What an operator has before it makes its next batch.
struct State {
    operator: Arc<StoreImagesOperator>,
    input: Input,
    waiting: VecDeque<Kept>,
    reader: Reader,
}

/// The next batch; `None` after the last one.
async fn next(state: State) -> Result<Option<(RecordBatch, State)>> {
    let State { operator, mut input, mut waiting, mut reader } = state;
    while waiting.is_empty() {
        match input.rows.next().await {
            Some(batch) => waiting.extend(operator.kept(&batch?)?),
            None => return Ok(None),
        }
    }
    let (rows, waiting, reader) = on_cpu(move || {
        let rows = next_rows(&mut waiting, &mut reader)?;
        Ok((rows, waiting, reader))
    })
    .await?;
    input.meter.advance(rows.num_rows() as u64);
    Ok(Some((rows, State { operator, input, waiting, reader })))
}

/// The rows of the next images, until a batch is full.
fn next_rows(waiting: &mut VecDeque<Kept>, reader: &mut Reader) -> Result<RecordBatch> {
    let (mut images, mut files, mut bytes) = (Vec::new(), Vec::new(), 0);
    while bytes < BATCH_BYTES && images.len() < BATCH_ROWS {
        let Some(image) = waiting.pop_front() else { break };
        check()?;
        let source = &image.record.source;
        let file = reader.read(source)?.ok().filter(|file| sha256(file) == image.sha256);
        let file = file.ok_or_else(|| {
            let place = format!("{} of {}", source.name, source.path);
            Error::conflict(format!("{place} was changed while it was ingested; run this again"))
        })?;
        bytes += file.len();
        files.push(file);
        images.push(image);
    }
    rows(&images, &files)
}

fn rows(images: &[Kept], files: &[Vec<u8>]) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(&Kept) -> Option<&str>| -> ArrayRef {
        Arc::new(images.iter().map(of).collect::<StringArray>())
    };
    let number = |of: fn(&Record) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(images.iter().map(|image| of(&image.record))))
    };
    let times = images.iter().map(|image| image.record.attributes.taken_at);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let sizes = images.iter().map(|image| i64::try_from(image.record.source.size).unwrap_or(i64::MAX));
    let columns: Vec<ArrayRef> = vec![
        text(&|image| image.sha256.get(..ID_DIGITS)),
        Arc::new(times),
        text(&|image| Some(&image.record.source.name)),
        text(&|image| image.record.attributes.site.as_deref()),
        text(&|image| image.record.attributes.scanner.as_deref()),
        text(&|image| image.record.attributes.declaration_id.as_deref()),
        text(&|image| image.record.attributes.hs_code.as_deref()),
        text(&|image| Some(&image.record.format)),
        number(|record| record.pages),
        number(|record| record.width),
        number(|record| record.height),
        number(|record| record.channels),
        number(|record| record.bits),
        Arc::new(Int64Array::from_iter_values(sizes)),
        text(&|image| Some(&image.sha256)),
        text(&|image| Some(&image.perceptual_hash)),
        objects_column(images.iter().map(|image| image.record.objects.as_deref()))?,
        Arc::new(BinaryArray::from_iter_values(files)),
        Arc::new(Int32Array::from_iter_values(images.iter().map(|image| image.lineage.0))),
        Arc::new(Int64Array::from_iter_values(images.iter().map(|image| image.lineage.1))),
    ];
    Ok(RecordBatch::try_new(table::stored_schema(), columns)?)
}
