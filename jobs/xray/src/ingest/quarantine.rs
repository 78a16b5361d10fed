//! What is put aside of an ingest of images: files, annotations and rows of the table of images, each with its reason.
//!
//! They are rows of the table of quarantined rows, as those of every ingest ([`quarantine_table_schema`]). `source` is the
//! number of the image's source, and `source_row` that of the image in it, from 1; it is 0 for an image that is not even
//! listed, such as one that its name leads out of an archive. Of what belongs to no image both are 0. Start at
//! [`Quarantine`].

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
    },
    datatypes::DataType,
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, DataFile, PartitionWriter, WriterSettings};
use tidewaiter_core::Result;
use tidewaiter_ingest::{QUARANTINE, quarantine_table_schema};

use super::{lineage::Lineage, source::Refusal};
use crate::table::{BYTES, IMAGES};

/// The column of the table's time, by whose month a row is stored.
const INGESTED_AT: &str = "ingested_at";

/// By which job, of which country and when things are put aside.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) archive: Archive,
    pub(super) job: String,
    pub(super) country: String,
    /// Microseconds since 1970 UTC.
    pub(super) ingested_us: i64,
    /// The number of the job's first source.
    pub(super) first_source: i32,
    /// By what rows are made of the files: the mapping, and in comments the annotations.
    pub(super) mapping: String,
}

/// What something that is put aside belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The image with this number among all that are listed.
    Image(u64),
    /// The source at this place among those that were named: it is an image that is not listed.
    Source(usize),
    /// No image that was found.
    Nobody,
}

/// How much was put aside, by rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Images.
    pub(super) images: u64,
    /// Images, annotations and rows of the table of images.
    pub(super) rules: BTreeMap<String, u64>,
    pub(super) first: Option<String>,
}

impl Tally {
    pub(super) fn merge(&mut self, other: Self) {
        self.images += other.images;
        for (rule, count) in other.rules {
            *self.rules.entry(rule).or_default() += count;
        }
        self.first = self.first.take().or(other.first);
    }
}

/// What was put aside, and the files of the table that have it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Aside {
    pub(super) tally: Tally,
    pub(super) files: Vec<DataFile>,
}

/// What is put aside.
#[derive(Default)]
pub(super) struct Quarantine {
    owners: Vec<Owner>,
    columns: Vec<&'static str>,
    refused: Vec<Refusal>,
    images: u64,
}

impl Quarantine {
    /// Puts an image aside.
    pub(super) fn image(&mut self, owner: Owner, refusal: Refusal) {
        self.images += 1;
        self.push(owner, BYTES, refusal);
    }

    /// Puts something aside that belongs to an image, or should.
    pub(super) fn description(&mut self, owner: Owner, refusal: Refusal) {
        self.push(owner, "objects", refusal);
    }

    fn push(&mut self, owner: Owner, column: &'static str, refusal: Refusal) {
        self.owners.push(owner);
        self.columns.push(column);
        self.refused.push(refusal);
    }

    /// Writes what is put aside into files of the table, which a commit must add, and counts it. The names of the files
    /// begin with the job and `part`.
    pub(super) async fn write(self, origin: &Origin, lineage: &Lineage, part: &str) -> Result<Aside> {
        let mut tally = Tally { images: self.images, ..Tally::default() };
        for refusal in &self.refused {
            *tally.rules.entry(refusal.rule.clone()).or_default() += 1;
        }
        let Some(first) = self.refused.first() else { return Ok(Aside { tally, files: Vec::new() }) };
        let value = if first.value.is_empty() { String::new() } else { format!(" ({})", first.value) };
        tally.first = Some(format!("{}: {}{value}", first.name, first.rule));
        let Origin { archive, job, country, .. } = origin;
        let settings = WriterSettings::default();
        let (schema, name) = (quarantine_table_schema(), format!("{job}-{part}"));
        let mut writer =
            PartitionWriter::new(archive, QUARANTINE, &schema, country, &[INGESTED_AT], &name, settings)?;
        writer.write(&self.rows(origin, lineage)?).await?;
        Ok(Aside { tally, files: writer.finish().await? })
    }

    fn rows(self, origin: &Origin, lineage: &Lineage) -> Result<RecordBatch> {
        let count = self.refused.len();
        let of_owner = |owner: &Owner| match *owner {
            Owner::Image(number) => lineage.of(number),
            Owner::Source(place) => (lineage.source(place), 0),
            Owner::Nobody => (0, 0),
        };
        let (sources, numbers): (Vec<i32>, Vec<i64>) = self.owners.iter().map(of_owner).unzip();
        let text = |of: fn(&Refusal) -> &String| -> ArrayRef {
            // Programs that read the archive end a text at a NUL byte.
            let shown = self.refused.iter().map(|refusal| of(refusal).replace('\0', "\u{2400}"));
            Arc::new(StringArray::from_iter_values(shown))
        };
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
        };
        let times = TimestampMicrosecondArray::from_value(origin.ingested_us, count).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(sources)),
            Arc::new(Int64Array::from(numbers)),
            new_null_array(&DataType::Int64, count),
            Arc::new(StringArray::from(self.columns.clone())),
            text(|refusal| &refusal.rule),
            text(|refusal| &refusal.value),
            same(""),
            same(IMAGES),
            text(|refusal| &refusal.name),
            same(&origin.job),
            Arc::new(times),
        ];
        Ok(RecordBatch::try_new(quarantine_table_schema(), columns)?)
    }
}
