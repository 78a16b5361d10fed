//! The first pass over image files as a plan node: each is decoded once, checked, and described without its bytes.
//!
//! A file that cannot be used is a row with the reason and not an error. Start at [`InspectImagesOperator`]; the rows are
//! read again by [`super::store`] and [`super::choose`].

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use futures::{StreamExt, stream, stream::BoxStream};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::tasks;
use tidewaiter_core::{
    Error, Result,
    plan::{Input, Operator},
    threads::{check, on_cpu},
};

use super::{
    annotations::{OfImage, on_image},
    digest::sha256,
    mapping::Attributes,
    reader::Reader,
    source::Source,
};
use crate::{
    image::{
        decode::{Format, decode, joined},
        hash::perceptual_hash,
        refused::Refused,
    },
    table::Annotated,
};

/// One image file with what is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Item {
    /// Its place among all files of the job.
    pub(super) number: u64,
    pub(super) source: Source,
    pub(super) attributes: Attributes,
    pub(super) annotation: Option<OfImage>,
}

/// What the second pass needs of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) source: Source,
    pub(super) attributes: Attributes,
    pub(super) format: String,
    pub(super) pages: i32,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) channels: i32,
    pub(super) bits: i32,
    pub(super) objects: Option<Vec<Annotated>>,
}

/// What a person should know of an image that is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// Rules and particulars of annotations that are refused.
    pub(super) refused: Vec<(String, String)>,
    /// Rectangles that are cut at the image's edge.
    pub(super) cut: u64,
    /// Whether its name has the ending of another format.
    pub(super) is_misnamed: bool,
}

/// The columns of inspected images. `rule` and `value` say why a file is refused; of the others `sha256`,
/// `perceptual_hash`, `notes` ([`Notes`]) and `record` ([`Record`], both JSON) are there. `objects` counts the annotated
/// ones, and is null without annotation.
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        Field::new("number", DataType::Int64, false),
        text("name", false),
        text("rule", true),
        text("value", true),
        text("sha256", true),
        text("perceptual_hash", true),
        Field::new("objects", DataType::Int32, true),
        text("notes", true),
        text("record", true),
    ]))
}

/// The operator: each task is a list of [`Item`]s as JSON, and each item one row of [`schema`].
#[derive(Debug)]
pub struct InspectImagesOperator;

impl InspectImagesOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "XrayInspectExec";
}

impl Operator for InspectImagesOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        Vec::new()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match input.index_of("task") {
            Ok(_) => Ok(schema()),
            Err(_) => Err(Error::internal("an ingest of images needs rows that name files")),
        }
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let state = State { input, waiting: VecDeque::new(), reader: Reader::default() };
        stream::try_unfold(state, next).boxed()
    }
}

/// What an operator has before it inspects its next task.
struct State {
    input: Input,
    waiting: VecDeque<String>,
    reader: Reader,
}

/// The rows of the next task; `None` after the last one.
async fn next(state: State) -> Result<Option<(RecordBatch, State)>> {
    let State { mut input, mut waiting, mut reader } = state;
    loop {
        if let Some(task) = waiting.pop_front() {
            let (rows, reader) = on_cpu(move || {
                let items: Vec<Item> = serde_json::from_str(&task)?;
                Ok((rows(&items, &mut reader)?, reader))
            })
            .await?;
            input.meter.advance(rows.num_rows() as u64);
            return Ok(Some((rows, State { input, waiting, reader })));
        }
        match input.rows.next().await {
            Some(batch) => waiting.extend(tasks::of_batch(&batch?)?.into_iter().map(|(_, task)| task)),
            None => return Ok(None),
        }
    }
}

/// What is found of one file.
struct Inspected {
    sha256: String,
    perceptual_hash: String,
    notes: Notes,
    record: Record,
}

fn rows(items: &[Item], reader: &mut Reader) -> Result<RecordBatch> {
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        check()?;
        found.push(match reader.read(&item.source)? {
            Ok(bytes) => inspected(item, &bytes),
            Err(reason) => Err(("it is damaged or cut short".to_owned(), reason)),
        });
    }
    let numbers = items.iter().map(|item| i64::try_from(item.number).unwrap_or(i64::MAX));
    let names = items.iter().map(|item| Some(item.source.name.as_str()));
    let of_refused = |of: fn(&(String, String)) -> &String| {
        found.iter().map(move |found| found.as_ref().err().map(|refused| of(refused).clone()))
    };
    let json = |value: Result<String, serde_json::Error>| value.map(Some);
    let none = || Ok(None);
    let of_kept = |of: &dyn Fn(&Inspected) -> Result<Option<String>, serde_json::Error>| {
        found
            .iter()
            .map(|found| found.as_ref().map_or_else(|_| none(), of))
            .collect::<Result<StringArray, _>>()
    };
    let objects = found.iter().map(|found| {
        let objects = found.as_ref().ok().and_then(|found| found.record.objects.as_ref())?;
        i32::try_from(objects.len()).ok()
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers)),
        Arc::new(names.collect::<StringArray>()),
        Arc::new(of_refused(|refused| &refused.0).collect::<StringArray>()),
        Arc::new(of_refused(|refused| &refused.1).collect::<StringArray>()),
        Arc::new(of_kept(&|found| Ok(Some(found.sha256.clone())))?),
        Arc::new(of_kept(&|found| Ok(Some(found.perceptual_hash.clone())))?),
        Arc::new(objects.collect::<Int32Array>()),
        Arc::new(of_kept(&|found| json(serde_json::to_string(&found.notes)))?),
        Arc::new(of_kept(&|found| json(serde_json::to_string(&found.record)))?),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// What is found of a file's bytes, or the rule that they break and the particulars.
fn inspected(item: &Item, bytes: &[u8]) -> Result<Inspected, (String, String)> {
    let refused = |refused: Refused| (refused.rule().to_owned(), refused.to_string());
    let format = Format::of(bytes).map_err(refused)?;
    let pages = decode(bytes).map_err(refused)?;
    let count = pages.len();
    let image = joined(pages);
    let mut notes = Notes { is_misnamed: !format.is_ending(&item.source.name), ..Notes::default() };
    let objects = item.annotation.as_ref().and_then(|annotation| {
        let kept = on_image(annotation, image.width, image.height);
        (notes.refused, notes.cut) = (kept.refused, kept.cut);
        kept.objects
    });
    let number = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
    Ok(Inspected {
        sha256: sha256(bytes),
        perceptual_hash: format!("{:016x}", perceptual_hash(&image)),
        notes,
        record: Record {
            source: item.source.clone(),
            attributes: item.attributes.clone(),
            format: format.name().to_owned(),
            pages: number(count),
            width: number(image.width),
            height: number(image.height),
            channels: number(image.channels),
            bits: i32::from(image.bits),
            objects,
        },
    })
}
