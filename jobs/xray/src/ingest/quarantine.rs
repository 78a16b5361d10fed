//! What is put aside of an ingest of images: files, annotations and rows of the table of images, each with its reason.
//!
//! They are rows of the table of quarantined rows, as those of every ingest ([`quarantine_table_schema`]). They have no
//! record of a source: `source` is 0, and `source_row` the image's number among the files. Start at [`Quarantine`].

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

use super::source::Refusal;
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
    numbers: Vec<i64>,
    columns: Vec<&'static str>,
    refused: Vec<Refusal>,
    images: u64,
}

impl Quarantine {
    /// Puts an image aside, by its number among the files where it has one.
    pub(super) fn image(&mut self, number: Option<u64>, refusal: Refusal) {
        self.images += 1;
        self.push(number, BYTES, refusal);
    }

    /// Puts something aside that belongs to an image, or should.
    pub(super) fn description(&mut self, number: Option<u64>, refusal: Refusal) {
        self.push(number, "objects", refusal);
    }

    fn push(&mut self, number: Option<u64>, column: &'static str, refusal: Refusal) {
        self.numbers.push(number.and_then(|number| i64::try_from(number + 1).ok()).unwrap_or(0));
        self.columns.push(column);
        self.refused.push(refusal);
    }

    /// Writes what is put aside into files of the table, which a commit must add, and counts it. The names of the files
    /// begin with the job and `part`.
    pub(super) async fn write(self, origin: &Origin, part: &str) -> Result<Aside> {
        let mut tally = Tally { images: self.images, ..Tally::default() };
        for refusal in &self.refused {
            *tally.rules.entry(refusal.rule.clone()).or_default() += 1;
        }
        let Some(first) = self.refused.first() else { return Ok(Aside { tally, files: Vec::new() }) };
        let value = if first.value.is_empty() { String::new() } else { format!(" ({})", first.value) };
        tally.first = Some(format!("{}: {}{value}", first.name, first.rule));
        let Origin { archive, job, country, ingested_us } = origin;
        let settings = WriterSettings::default();
        let (schema, name) = (quarantine_table_schema(), format!("{job}-{part}"));
        let mut writer =
            PartitionWriter::new(archive, QUARANTINE, &schema, country, &[INGESTED_AT], &name, settings)?;
        writer.write(&self.rows(job, *ingested_us)?).await?;
        Ok(Aside { tally, files: writer.finish().await? })
    }

    fn rows(self, job: &str, ingested_us: i64) -> Result<RecordBatch> {
        let count = self.refused.len();
        let text = |of: fn(&Refusal) -> &String| -> ArrayRef {
            // Programs that read the archive end a text at a NUL byte.
            let shown = self.refused.iter().map(|refusal| of(refusal).replace('\0', "\u{2400}"));
            Arc::new(StringArray::from_iter_values(shown))
        };
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
        };
        let times = TimestampMicrosecondArray::from_value(ingested_us, count).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_value(0, count)),
            Arc::new(Int64Array::from(self.numbers.clone())),
            new_null_array(&DataType::Int64, count),
            Arc::new(StringArray::from(self.columns.clone())),
            text(|refusal| &refusal.rule),
            text(|refusal| &refusal.value),
            same(""),
            same(IMAGES),
            text(|refusal| &refusal.name),
            same(job),
            Arc::new(times),
        ];
        Ok(RecordBatch::try_new(quarantine_table_schema(), columns)?)
    }
}
