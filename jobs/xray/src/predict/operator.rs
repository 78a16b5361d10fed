//! The plan node that finds objects on images.
//!
//! It takes rows with `image_id`, `hs_code` and the files' `bytes`, passes all columns but the bytes on, and adds:
//! `unreadable` (why the image could not be decoded; null: it was), `found` (the objects, [`super::objects`]),
//! `illicit` (the probability that the image holds something illicit), `whole` and `best` (of what it is made: the
//! logit of the image as a whole and the score of the most certain object), `declared_section`, `likely_section` (HS
//! sections; null where the image has no declared one), `declared_probability`, `likely_probability` (0 to 1) and
//! `mismatch` (the probability of all sections but the declared one; null where the detector does not know it).
//!
//! Images are decoded, two batches ahead, while those before are computed, and computed some squares at a time. Start
//! at [`DetectOperator`].

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use rayon::prelude::*;
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result, ResultExt,
    answers::column,
    plan::{Input, Operator},
    threads::on_cpu,
};
use tokio::sync::OnceCell;

use super::objects::{self, FoundObject};
use crate::{
    features::sections::section,
    image::decode,
    messages,
    model::detector::{Detector, Found, Prepared},
};

/// Batches that are decoded while one is computed.
const AHEAD: usize = 2;

/// The column of the files, which is not passed on.
const BYTES: &str = "bytes";

/// The plan node.
pub struct DetectOperator {
    message: messages::XrayDetectOperator,
    archive: Archive,
    loaded: OnceCell<Arc<Loaded>>,
}

/// What the operator reads from the archive, once.
struct Loaded {
    detector: Detector,
    /// Declared sections of images whose rows do not have them.
    declared: BTreeMap<String, u32>,
}

impl fmt::Debug for DetectOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetectOperator").field("message", &self.message).finish_non_exhaustive()
    }
}

impl DetectOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "XrayDetectExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: messages::XrayDetectOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive, loaded: OnceCell::new() })
    }

    async fn load(&self) -> Result<Arc<Loaded>> {
        let load = async {
            let bytes = self.archive.get(&self.message.model).await?;
            let declared = match self.message.declared.as_str() {
                "" => BTreeMap::new(),
                path => serde_json::from_slice(&self.archive.get(path).await?)?,
            };
            let detector = on_cpu(move || Detector::read(&bytes)).await?;
            Ok::<_, Error>(Arc::new(Loaded { detector, declared }))
        };
        let loaded = self.loaded.get_or_try_init(|| load).await;
        loaded.cloned().context(|| format!("load the detector {}", self.message.model))
    }

    /// The rows with what was found.
    fn rows(&self, loaded: &Loaded, decoded: Decoded) -> Result<RecordBatch> {
        let Decoded { batch, images } = decoded;
        let (mut ready, mut reasons) = (Vec::new(), Vec::with_capacity(images.len()));
        for image in images {
            match image {
                Ok(image) => {
                    ready.push(image);
                    reasons.push(None);
                }
                Err(reason) => reasons.push(Some(reason)),
            }
        }
        let mut found = loaded.detector.find(&ready, self.message.batch as usize)?.into_iter();
        let mut added = Added::default();
        let ids = cast(column(&batch, "image_id")?, &DataType::Utf8)?;
        let codes = cast(column(&batch, "hs_code")?, &DataType::Utf8)?;
        let (ids, codes) = (ids.as_string::<i32>(), codes.as_string::<i32>());
        for (row, reason) in reasons.iter().enumerate() {
            let code = codes.is_valid(row).then(|| codes.value(row));
            let declared = code.and_then(section).or_else(|| loaded.declared.get(ids.value(row)).copied());
            let found = if reason.is_none() { found.next() } else { None };
            added.push(&loaded.detector, declared, found);
        }
        let mut columns: Vec<ArrayRef> = Vec::new();
        let schema = batch.schema();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if field.name() != BYTES {
                columns.push(Arc::clone(column));
            }
        }
        columns.push(Arc::new(StringArray::from(reasons)));
        columns.extend(added.finish()?);
        Ok(RecordBatch::try_new(self.schema(&batch.schema())?, columns)?)
    }
}

/// A batch whose images are decoded, cut and shrunk; the reason where one could not be.
struct Decoded {
    batch: RecordBatch,
    images: Vec<std::result::Result<Prepared, String>>,
}

fn prepare(loaded: &Loaded, batch: RecordBatch) -> Result<Decoded> {
    let files = cast(column(&batch, BYTES)?, &DataType::Binary)?;
    let files = files.as_binary::<i32>();
    let images = (0..batch.num_rows())
        .into_par_iter()
        .map(|row| match decode::image(files.value(row)) {
            Ok(image) => Ok(Prepared::new(&image, &loaded.detector.head)),
            Err(refused) => Err(refused.to_string()),
        })
        .collect();
    Ok(Decoded { batch, images })
}

impl Operator for DetectOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in ["image_id", "hs_code", BYTES] {
            if input.index_of(name).is_err() {
                return Err(Error::input(format!("finding objects on images needs the column {name}")));
            }
        }
        let mut fields: Vec<_> =
            input.fields().iter().filter(|field| field.name() != BYTES).map(Arc::clone).collect();
        let mut add = |name: &str, kind: DataType| fields.push(Arc::new(Field::new(name, kind, true)));
        add("unreadable", DataType::Utf8);
        add("found", objects::data_type());
        for name in ["illicit", "whole", "best"] {
            add(name, DataType::Float64);
        }
        add("declared_section", DataType::Int32);
        add("likely_section", DataType::Int32);
        for name in ["declared_probability", "likely_probability", "mismatch"] {
            add(name, DataType::Float64);
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let Input { rows, meter, .. } = input;
        let decoding = Arc::clone(&self);
        let decoded = rows.map(move |batch| {
            let operator = Arc::clone(&decoding);
            async move {
                let (batch, loaded) = (batch?, operator.load().await?);
                on_cpu(move || prepare(&loaded, batch)).await
            }
        });
        // Decoding goes on, on threads of its own, while the batch before is computed.
        let decoded = started(decoded.boxed());
        decoded
            .then(move |decoded| {
                let (operator, meter) = (Arc::clone(&self), Arc::clone(&meter));
                async move {
                    let decoded = decoded?;
                    let rows = decoded.batch.num_rows() as u64;
                    let loaded = operator.load().await?;
                    let found = on_cpu(move || operator.rows(&loaded, decoded)).await;
                    meter.advance(rows);
                    found
                }
            })
            .boxed()
    }
}

/// The results of futures in their order, of which some are on their way before they are asked for.
fn started<F>(futures: BoxStream<'static, F>) -> BoxStream<'static, Result<Decoded>>
where
    F: Future<Output = Result<Decoded>> + Send + 'static,
{
    let spawned = futures.map(|future| {
        let handle = AbortOnDrop(tokio::spawn(future));
        async move { handle.join().await }
    });
    spawned.buffered(AHEAD + 1).boxed()
}

/// A task that ends when nobody waits for it.
struct AbortOnDrop(tokio::task::JoinHandle<Result<Decoded>>);

impl AbortOnDrop {
    async fn join(mut self) -> Result<Decoded> {
        (&mut self.0).await.map_err(|error| Error::internal("decoding images stopped").with_source(error))?
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The added columns beside the reason.
#[derive(Default)]
struct Added {
    found: Vec<Option<Vec<FoundObject>>>,
    illicit: Vec<Option<f64>>,
    whole: Vec<Option<f64>>,
    best: Vec<Option<f64>>,
    declared: Vec<Option<i32>>,
    likely: Vec<Option<i32>>,
    declared_probability: Vec<Option<f64>>,
    likely_probability: Vec<Option<f64>>,
    mismatch: Vec<Option<f64>>,
}

impl Added {
    fn push(&mut self, detector: &Detector, declared: Option<u32>, found: Option<Found>) {
        let head = &detector.head;
        let number = |section: u32| i32::try_from(section).ok();
        self.declared.push(declared.and_then(number));
        let best =
            found.as_ref().map(|found| found.objects.first().map_or(0.0, |best| f64::from(best.score)));
        let whole = found.as_ref().map(|found| f64::from(found.whole));
        self.illicit.push(whole.zip(best).map(|(whole, best)| head.image_score.probability(whole, best)));
        self.whole.push(whole);
        self.best.push(best);
        let sections = found.as_ref().filter(|_| declared.is_some()).map(|found| &found.sections);
        let likely = sections.and_then(|sections| {
            (0..sections.len()).max_by(|a, b| sections[*a].total_cmp(&sections[*b]).then(b.cmp(a)))
        });
        self.likely.push(likely.and_then(|place| number(head.sections[place])));
        let probability = |place: usize| sections.map(|sections| f64::from(sections[place]));
        self.likely_probability.push(likely.and_then(probability));
        let place = declared.and_then(|own| head.sections.iter().position(|known| *known == own));
        let of_declared = place.and_then(probability);
        self.declared_probability.push(of_declared);
        self.mismatch.push(of_declared.map(|probability| 1.0 - probability));
        self.found.push(found.map(|found| {
            let named = found.objects.into_iter().map(|object| FoundObject {
                class: head.classes[object.class as usize].clone(),
                score: object.score,
                rectangle: object.rectangle,
            });
            named.collect()
        }));
    }

    fn finish(self) -> Result<Vec<ArrayRef>> {
        let number = |values: Vec<Option<f64>>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let whole = |values: Vec<Option<i32>>| -> ArrayRef { Arc::new(Int32Array::from(values)) };
        Ok(vec![
            objects::column(&self.found)?,
            number(self.illicit),
            number(self.whole),
            number(self.best),
            whole(self.declared),
            whole(self.likely),
            number(self.declared_probability),
            number(self.likely_probability),
            number(self.mismatch),
        ])
    }
}
