//! Files of texts: descriptions of goods with their declared codes.
//!
//! A retrain has one file for each of its three periods, written by [`super::texts_operator`]. A file is ordered by its
//! texts. Start at [`file_schema`] and [`read_texts`].

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result, ResultExt,
    threads::{check, on_cpu},
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{
    attributes::{self, AttributeColumns, Attributes, KINDS},
    defects::TextDefects,
    ngrams::Extractor,
};
use crate::codes::digits::{national, six_digits};

/// The columns of a file: `description`; `hs_code` (six digits); `national` (the whole code where it has more digits
/// and belongs to the nomenclature's edition, else empty); of the test file alone (else empty or 0) `declaration`, `month`
/// (12 × year + month - 1) and `day` (of acceptance, since 1970-01-01); `rows`, the number of declared items with these
/// values; and the attributes ([`attributes::COLUMNS`]; null in the training file).
pub(crate) fn file_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let texts = ["description", "hs_code", "national", "declaration"]
            .map(|name| Field::new(name, DataType::Utf8, false));
        let numbers = ["month", "rows", "day"].map(|name| Field::new(name, DataType::Int64, false));
        let fields = texts.into_iter().chain(numbers).chain(attributes::fields());
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    });
    Arc::clone(&SCHEMA)
}

/// A file of texts, and how many declared items of its period it holds or leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFile {
    /// Its path in the archive.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Distinct pairs of a text and a six-digit code.
    pub texts: u64,
    /// Declared items that its rows stand for.
    pub items: u64,
    /// Items without a description, or one without a letter or digit.
    pub without_words: u64,
    /// Items whose code has no six digits.
    pub without_code: u64,
    /// Items whose code the correlation table maps to another, under which they are used.
    pub carried: u64,
    /// Items whose code neither the nomenclature nor the correlation table has.
    pub not_in_nomenclature: u64,
    /// Items in the file whose description is too long to be read to its end.
    pub cut: u64,
    /// Items with defective descriptions, in the file or not.
    #[serde(rename = "odd")]
    pub defects: TextDefects,
}

impl TextFile {
    /// All declared items of the period, in the file or not.
    pub fn read(&self) -> u64 {
        self.items + self.without_words + self.without_code + self.not_in_nomenclature
    }
}

/// Descriptions with their six-digit codes and their codes with national digits (0: none).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelledTexts {
    pub(crate) descriptions: Vec<String>,
    pub(crate) codes: Vec<u32>,
    pub(crate) nationals: Vec<u64>,
}

impl LabelledTexts {
    fn push(&mut self, row: Row<'_>) {
        self.descriptions.push(row.description.to_owned());
        self.codes.push(row.code);
        self.nationals.push(row.national);
    }

    /// The texts of some numbers, in the order of the numbers.
    pub(crate) fn take(mut self, order: &[u32]) -> Self {
        Self {
            descriptions: order
                .iter()
                .map(|row| std::mem::take(&mut self.descriptions[*row as usize]))
                .collect(),
            codes: order.iter().map(|row| self.codes[*row as usize]).collect(),
            nationals: order.iter().map(|row| self.nationals[*row as usize]).collect(),
        }
    }
}

/// Reads a file's texts, each pair of description and code once. Of more than `most` pairs about `most` are taken:
/// those with the lowest hashes.
///
/// # Errors
/// Those of the store, and [`tidewaiter_core::ErrorKind::Corrupt`] when the file is not one of texts.
pub(crate) async fn read_texts(archive: &Archive, path: &str, most: u64) -> Result<LabelledTexts> {
    let bytes = archive.get(path).await?;
    let read = on_cpu(move || {
        let mut count = 0;
        let mut deduplicator = Deduplicator::default();
        each_row(&bytes, |row, _| count += u64::from(deduplicator.is_new(row)))?;
        let least = least_hash(most, count);
        let (mut texts, mut deduplicator) = (LabelledTexts::default(), Deduplicator::default());
        each_row(&bytes, |row, _| {
            if deduplicator.is_new(row)
                && least.is_none_or(|least| xxh3_64(row.description.as_bytes()) <= least)
            {
                texts.push(row);
            }
        })?;
        Ok(texts)
    });
    read.await.context(|| format!("read the texts in {path}"))
}

/// The hash of a text's words, by which texts that differ in nothing but case, spaces and punctuation are the same.
pub(crate) fn text_hash(extractor: &mut Extractor, description: &str) -> u64 {
    extractor.read(description);
    xxh3_64(extractor.text().as_bytes())
}

/// The hashes of all texts of a file ([`text_hash`]).
///
/// # Errors
/// As [`read_texts`].
pub(crate) async fn text_hashes(archive: &Archive, path: &str) -> Result<HashSet<u64>> {
    let bytes = archive.get(path).await?;
    let read = on_cpu(move || {
        let (mut hashes, mut extractor) = (HashSet::new(), Extractor::default());
        each_row(&bytes, |row, _| {
            hashes.insert(text_hash(&mut extractor, row.description));
        })?;
        Ok(hashes)
    });
    read.await.context(|| format!("read the texts in {path}"))
}

/// An item with its code and the numbers of its attributes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LabelledItem {
    pub(crate) description: String,
    pub(crate) code: u32,
    /// The numbers that a model gives to the attributes, by kind.
    pub(crate) attributes: [Option<usize>; KINDS],
}

/// Reads a file's items that have attributes with a number. Of more than `most` items about `most` are taken: those
/// with the lowest hashes.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Corrupt`] when the file is not one of texts.
pub(crate) fn read_items(
    bytes: &Bytes,
    numbers: impl Fn(&Attributes<'_>) -> [Option<usize>; KINDS],
    most: u64,
) -> Result<Vec<LabelledItem>> {
    let mut count = 0;
    each_row(bytes, |_, attributes| count += u64::from(!attributes.is_empty()))?;
    let least = least_hash(most, count);
    let (mut items, mut number) = (Vec::new(), 0);
    each_row(bytes, |Row { description, code, .. }, attributes| {
        number += 1;
        // Not the hash of the text alone: all items with a frequent text would be taken together.
        let hash = || xxh3_64_with_seed(description.as_bytes(), number);
        let attributes = numbers(attributes);
        if attributes.iter().any(Option::is_some) && least.is_none_or(|least| hash() <= least) {
            items.push(LabelledItem { description: description.to_owned(), code, attributes });
        }
    })?;
    Ok(items)
}

/// The highest hash with which about `most` of `count` rows are taken; `None`: all are taken.
fn least_hash(most: u64, count: u64) -> Option<u64> {
    (most < count).then(|| (u128::from(u64::MAX) * u128::from(most) / u128::from(count)) as u64)
}

/// A row of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row<'a> {
    description: &'a str,
    code: u32,
    /// The code with national digits (0: none).
    national: u64,
}

/// Finds the first of equal rows, which follow each other in a file.
#[derive(Debug, Default)]
struct Deduplicator {
    description: String,
    codes: (u32, u64),
}

impl Deduplicator {
    fn is_new(&mut self, row: Row<'_>) -> bool {
        let codes = (row.code, row.national);
        let new = self.codes != codes || self.description != row.description;
        if new {
            self.codes = codes;
            self.description.clear();
            self.description.push_str(row.description);
        }
        new
    }
}

/// Calls `visit` for each row of a file with its attributes, in order.
fn each_row(bytes: &Bytes, mut visit: impl FnMut(Row<'_>, &Attributes<'_>)) -> Result<()> {
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?.build()? {
        check()?;
        let batch = batch?;
        let texts = |name| Ok::<_, Error>(column(&batch, name)?.as_string::<i32>().iter());
        let attributes = AttributeColumns::of(&batch)?;
        let rows = texts("description")?.zip(texts("hs_code")?).zip(texts("national")?).enumerate();
        for (at, ((description, code), whole)) in rows {
            let (Some(description), Some(code)) = (description, code.and_then(six_digits)) else {
                return Err(Error::corrupt("a text has no code; run the job again"));
            };
            let national = whole.map_or(0, national);
            visit(Row { description, code, national }, &attributes.at(at));
        }
    }
    Ok(())
}

/// A column of a query's rows or a file's.
pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("HS texts have no column {name}")))
}
