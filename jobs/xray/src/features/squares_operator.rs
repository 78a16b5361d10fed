//! The plan node that writes the shards' files of a fit.
//!
//! Its rows are annotated images with their file's bytes and the column `part` ([`super::squares::Part`]). Each
//! partition decodes its images, a batch while the one before is written, and writes one file for each shard that it
//! has images of. Its report is a [`Written`]. Start at [`SquaresOperator`].

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int32Type, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use object_store::buffered::BufWriter;
use parquet::{
    arrow::AsyncArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use prost::Message as _;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result, ResultExt,
    answers::column,
    plan::{self, Input, Operator},
    threads::on_cpu,
};
use tidewaiter_proto::v1;

use super::{
    images::Labels,
    squares::{Square, examples, rows, schema, shard},
};
use crate::{image::decode, messages, metrics::average_precision::Object, table};

/// Squares of a row group, which the encoder holds in memory.
const ROW_GROUP_SQUARES: usize = 16;

/// Unreadable images that are named.
const NAMED: usize = 5;

/// The classes and sections that a fit learns, in the order of the network's outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Classes of objects.
    pub classes: Vec<String>,
    /// HS sections; empty: none.
    pub sections: Vec<u32>,
}

/// What an operator reads of the labels.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct KnownLabels {
    /// What is learned.
    pub outputs: Outputs,
    /// What is known of the images.
    pub labels: Labels,
}

/// What was written of the images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The files of each shard.
    pub files: BTreeMap<u32, Vec<String>>,
    /// Images read.
    pub images: u64,
    /// Examples written: images, and tiles of large ones.
    pub examples: u64,
    /// Images that could not be decoded.
    pub unreadable: u64,
    /// Some of them, with the reason.
    pub named: Vec<String>,
}

impl Written {
    /// Adds what another partition wrote.
    pub fn add(&mut self, other: Self) {
        for (shard, files) in other.files {
            self.files.entry(shard).or_default().extend(files);
        }
        self.images += other.images;
        self.examples += other.examples;
        self.unreadable += other.unreadable;
        self.named.extend(other.named);
        self.named.sort();
        self.named.truncate(NAMED);
    }
}

/// The plan node.
#[derive(Debug)]
pub struct SquaresOperator {
    message: messages::XraySquaresOperator,
    archive: Archive,
}

impl SquaresOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "XraySquaresExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: messages::XraySquaresOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive })
    }

    async fn write(self: Arc<Self>, input: Input) -> Result<Written> {
        let known =
            self.archive.get(&self.message.labels).await.context(|| "read the labels of the images")?;
        let known: Arc<KnownLabels> = Arc::new(serde_json::from_slice(&known)?);
        let name = input.unique_name();
        let Input { rows: batches, meter, .. } = input;
        let operator = Arc::clone(&self);
        let decoded = batches.map(move |batch| {
            let (operator, known) = (Arc::clone(&operator), Arc::clone(&known));
            let batch = batch.map_err(Error::from);
            on_cpu(move || operator.decode(&batch?, &known))
        });
        // The next batch is decoded while one is written.
        let mut decoded = decoded.buffered(2);
        let mut written = Written::default();
        let mut files = BTreeMap::new();
        while let Some(decoded) = decoded.next().await {
            let Decoded { squares, unreadable, images } = decoded?;
            written.images += images;
            written.unreadable += unreadable.len() as u64;
            written.named.extend(unreadable);
            written.named.truncate(NAMED);
            written.examples += squares.len() as u64;
            let mut by_shard: BTreeMap<u32, Vec<Square>> = BTreeMap::new();
            for square in squares {
                by_shard.entry(shard(&square.image, self.message.shards)).or_default().push(square);
            }
            for (shard, squares) in by_shard {
                let file = match files.entry(shard) {
                    std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(ShardFile::new(&self.archive, self.path(shard, &name))?)
                    }
                };
                file.writer.write(&rows(&squares)?).await.context(|| format!("write {}", file.path))?;
            }
            meter.advance(images);
        }
        for (shard, file) in files {
            file.writer.close().await.context(|| format!("write {}", file.path))?;
            written.files.entry(shard).or_default().push(file.path);
        }
        Ok(written)
    }

    fn path(&self, shard: u32, partition: &str) -> String {
        format!("{}/{shard:04}-{partition}.parquet", self.message.folder)
    }

    /// The squares of a batch of images.
    fn decode(&self, batch: &RecordBatch, known: &KnownLabels) -> Result<Decoded> {
        let text = |name| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Utf8)?);
        let (ids, codes) = (text("image_id")?, text("hs_code")?);
        let (ids, codes) = (ids.as_string::<i32>(), codes.as_string::<i32>());
        let parts = cast(column(batch, "part")?, &DataType::Int32)?;
        let parts = parts.as_primitive::<Int32Type>();
        let files = cast(column(batch, "bytes")?, &DataType::Binary)?;
        let files = files.as_binary::<i32>();
        let objects = table::objects(batch)?;
        let sizes = (self.message.side as usize, self.message.tile as usize);
        let of_row = |row: usize| {
            let image = ids.value(row);
            let raster = match decode::image(files.value(row)) {
                Ok(raster) => raster,
                Err(refused) => return Err(format!("{image}: {refused}")),
            };
            let class = |name: &str| known.outputs.classes.iter().position(|class| class == name);
            let annotated = objects[row].iter().flatten().filter_map(|object| {
                let class = u32::try_from(class(&object.class)?).ok()?;
                Some(Object { rectangle: object.rectangle, class, is_crowd: object.is_crowd })
            });
            let annotated: Vec<Object> = annotated.collect();
            let section = known.labels.section(image, codes.is_valid(row).then(|| codes.value(row)));
            let section =
                section.and_then(|own| known.outputs.sections.iter().position(|known| *known == own));
            let squares = examples(&raster, &annotated, section, sizes).into_iter().zip(0..);
            let squares = squares.map(|(example, tile)| Square {
                image: image.to_owned(),
                tile,
                part: parts.value(row),
                example,
            });
            Ok(squares.collect::<Vec<_>>())
        };
        let mut decoded = Decoded { images: batch.num_rows() as u64, ..Decoded::default() };
        let all: Vec<_> = (0..batch.num_rows()).into_par_iter().map(of_row).collect();
        for one in all {
            match one {
                Ok(squares) => decoded.squares.extend(squares),
                Err(refused) => decoded.unreadable.push(refused),
            }
        }
        Ok(decoded)
    }
}

impl Operator for SquaresOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in ["image_id", "hs_code", "part", "objects", "bytes"] {
            if input.index_of(name).is_err() {
                return Err(Error::input(format!("squares of images need the column {name}")));
            }
        }
        Ok(plan::report_schema())
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.write(input).await?) }).boxed()
    }
}

/// The examples of a batch.
#[derive(Default)]
struct Decoded {
    squares: Vec<Square>,
    unreadable: Vec<String>,
    images: u64,
}

/// A file that is being written.
struct ShardFile {
    path: String,
    writer: AsyncArrowWriter<BufWriter>,
}

impl ShardFile {
    fn new(archive: &Archive, path: String) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(ROW_GROUP_SQUARES))
            .set_created_by("tidewaiter".to_owned())
            .build();
        let file = BufWriter::new(Arc::clone(archive.store()), archive.path(&path));
        Ok(Self { writer: AsyncArrowWriter::try_new(file, schema(), Some(properties))?, path })
    }
}

/// The files of a fit's shards, in the shards' order; shards without an image are left out.
pub fn shard_files(written: &Written) -> (Vec<Vec<String>>, Vec<v1::ParquetFile>) {
    let files: Vec<Vec<String>> = written.files.values().cloned().collect();
    let first =
        |files: &Vec<String>| v1::ParquetFile { path: files.first().cloned().unwrap_or_default(), size: 0 };
    let firsts = files.iter().map(first).collect();
    (files, firsts)
}
