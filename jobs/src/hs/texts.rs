//! From declarations to files of distinct texts: what teaches, what chooses and what judges.
//!
//! [`distinct_texts`] is the query: the distinct pairs of description and code of each period, with
//! national digits and numbers of rows; those of the period that judges also by month, and those that choose or judge also
//! by their particulars. [`TextsOperator`] is the plan node above it, which writes one Parquet file for
//! each period with the columns of [`file_schema`] and counts what cannot be used: descriptions without a
//! letter or digit, codes of fewer than six digits, codes that the nomenclature lacks. A file's order is
//! that of its texts, so that it does not depend on how the query was cut.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, UInt64Array},
    compute::{cast, filter_record_batch, take},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use bytes::Bytes;
use datafusion::{
    functions_aggregate::expr_fn::count,
    logical_expr::{Expr, when},
    prelude::{DataFrame, cast as cast_to, col, lit},
};
use futures::{StreamExt, stream::BoxStream};
use object_store::buffered::BufWriter;
use parquet::{
    arrow::{AsyncArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{
    national::national,
    nomenclature::Nomenclature,
    oddities::Oddities,
    particulars::{self, KINDS, Particulars, Usage},
    text::{Reader, is_cut},
    tree::{LEVELS, six_digits, written},
};
use crate::{
    Archive, Error, Result, ResultExt,
    job::Period,
    plan::{self, Input, Operator},
    threads::on_cpu,
};

/// The periods, by their numbers in the query: what teaches, what chooses, what judges.
pub(super) const PARTS: [&str; 3] = ["train", "valid", "test"];

/// The order of the operator's input.
const ORDER: [&str; 4 + KINDS] = {
    let [one, two, three, four] = particulars::COLUMNS;
    ["part", "description", "hs_code", "month", one, two, three, four]
};

/// The columns of a file: `description`, `hs_code` (six digits), `national` (the whole code where it has more digits, and
/// is of the nomenclature's edition; empty otherwise), `month` (12 × year + month - 1, of what judges; 0
/// otherwise), `rows`, how many declared items had these, and the particulars ([`particulars::COLUMNS`]; null in what
/// teaches).
pub(super) fn file_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let texts =
            ["description", "hs_code", "national"].map(|name| Field::new(name, DataType::Utf8, false));
        let numbers = ["month", "rows"].map(|name| Field::new(name, DataType::Int64, false));
        let fields = texts.into_iter().chain(numbers).chain(particulars::fields());
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    });
    Arc::clone(&SCHEMA)
}

/// The distinct texts of declarations in three periods that follow each other, in the operator's order.
pub(super) fn distinct_texts(declarations: DataFrame, periods: [Period; 3]) -> Result<DataFrame> {
    let [within_train, within_valid, within_test] = periods.map(within);
    let part = when(within_train.clone(), lit(0_i64))
        .when(within_valid.clone(), lit(1_i64))
        .otherwise(lit(2_i64))?
        .alias("part");
    let number = |name: &str| cast_to(col(name), DataType::Int64);
    let month = number("year") * lit(12_i64) + number("month") - lit(1_i64);
    let month = when(within_test.clone(), month).otherwise(lit(0_i64))?.alias("month");
    let mut columns = vec![part, col("description"), col("hs_code"), month];
    for (name, stated) in particulars::COLUMNS.into_iter().zip(particulars::expressions()?) {
        columns.push(when(!within_train.clone(), stated.unalias()).end()?.alias(name));
    }
    let rows = declarations.filter(within_train.or(within_valid).or(within_test))?.select(columns)?;
    let counted = rows.aggregate(ORDER.map(col).to_vec(), vec![count(lit(1_i64)).alias("rows")])?;
    let mut columns = ORDER.map(col).to_vec();
    columns.push(cast_to(col("rows"), DataType::Int64).alias("rows"));
    Ok(counted.select(columns)?)
}

/// Whether a declaration was accepted in a period.
pub(super) fn within(period: Period) -> Expr {
    let day = |day: i32| lit(datafusion::common::ScalarValue::Date32(Some(day)));
    let days = period.days();
    col("acceptance_date").between(day(*days.start()), day(*days.end()))
}

/// What became of the declared items of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The file.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Its distinct pairs of text and code, in each month of what judges, with each of their particulars.
    pub texts: u64,
    /// Declared items that stand behind them.
    pub items: u64,
    /// Items without a description, or one without a letter or digit.
    pub without_words: u64,
    /// Items whose code has no six digits.
    pub without_code: u64,
    /// Items that are used under another code, into which the correlation table carries theirs.
    pub carried: u64,
    /// Items whose code the nomenclature lacks, and no correlation table carries.
    pub not_in_nomenclature: u64,
    /// Items whose description is read only in part, as it is too long; they are in the file.
    pub cut: u64,
    /// Items with odd descriptions, used or not.
    pub odd: Oddities,
}

impl Written {
    /// Declared items of the period, used or not.
    pub fn read(&self) -> u64 {
        self.items + self.without_words + self.without_code + self.not_in_nomenclature
    }
}

/// The plan node; it answers with a list of [`Written`].
#[derive(Debug)]
pub struct TextsOperator {
    message: v1::HsTextsOperator,
    archive: Archive,
}

impl TextsOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: v1::HsTextsOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive })
    }

    async fn write(&self, mut input: Input) -> Result<Vec<Written>> {
        let nomenclature =
            kept_nomenclature(&self.archive, &self.message.nomenclature, &self.message.correlation).await?;
        let mut files = PARTS
            .map(|part| File::new(&self.archive, format!("{}/{part}.parquet", self.message.folder)))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            let parts = cast(column(&batch, "part")?, &DataType::Int64)?;
            let parts = parts.as_primitive::<Int64Type>();
            for (number, file) in (0..).zip(&mut files) {
                let own: BooleanArray = parts.iter().map(|part| Some(part == Some(number))).collect();
                if own.true_count() > 0 {
                    file.take(&filter_record_batch(&batch, &own)?, &nomenclature).await?;
                }
            }
            input.meter.advance(batch.num_rows() as u64);
        }
        let mut written = Vec::new();
        for file in files {
            written.push(file.finish(&self.archive).await?);
        }
        Ok(written)
    }
}

impl Operator for TextsOperator {
    fn name(&self) -> &'static str {
        "HsTextsExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::HsTexts(self.message.clone())) }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in ORDER.iter().chain(&["rows"]) {
            if input.index_of(name).is_err() {
                return Err(Error::input(format!("HS texts need the column {name}")));
            }
        }
        Ok(plan::report_schema())
    }

    fn order(&self) -> &[&'static str] {
        &ORDER
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.write(input).await?) }).boxed()
    }
}

/// The nomenclature that a job keeps in the archive; empty paths: none.
pub(super) async fn kept_nomenclature(
    archive: &Archive,
    nomenclature: &str,
    correlation: &str,
) -> Result<Nomenclature> {
    if nomenclature.is_empty() {
        return Ok(Nomenclature::default());
    }
    let nomenclature = Nomenclature::parse(&archive.get(nomenclature).await?)?;
    if correlation.is_empty() {
        return Ok(nomenclature);
    }
    nomenclature.with_correlation(&archive.get(correlation).await?)
}

/// One period's file while it is written.
struct File {
    writer: AsyncArrowWriter<BufWriter>,
    written: Written,
    reader: Reader,
}

impl File {
    fn new(archive: &Archive, path: String) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_created_by("tidewaiter".to_owned())
            .build();
        let file = BufWriter::new(Arc::clone(archive.store()), archive.path(&path));
        let writer = AsyncArrowWriter::try_new(file, file_schema(), Some(properties))?;
        Ok(Self { writer, written: Written { path, ..Written::default() }, reader: Reader::default() })
    }

    /// Takes the rows that can be used, and counts the others.
    async fn take(&mut self, batch: &RecordBatch, nomenclature: &Nomenclature) -> Result<()> {
        let text = |name| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Utf8)?);
        let (descriptions, codes) = (text("description")?, text("hs_code")?);
        let (descriptions, codes) = (descriptions.as_string::<i32>(), codes.as_string::<i32>());
        let rows = cast(column(batch, "rows")?, &DataType::Int64)?;
        let rows: &Int64Array = rows.as_primitive();
        let months = cast(column(batch, "month")?, &DataType::Int64)?;
        let months: &Int64Array = months.as_primitive();
        let mut kept = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let items = rows.value(row).unsigned_abs();
            let description = if descriptions.is_valid(row) { descriptions.value(row) } else { "" };
            let code = if codes.is_valid(row) { six_digits(codes.value(row)) } else { None };
            self.reader.read(description);
            self.written.odd += Oddities::of(description).times(items);
            let current = code.and_then(|code| nomenclature.current(code));
            let counted = match (code, current) {
                _ if self.reader.words().len() == 0 => &mut self.written.without_words,
                (None, _) => &mut self.written.without_code,
                (Some(_), None) => &mut self.written.not_in_nomenclature,
                (Some(code), Some(current)) => {
                    let whole = if current == code { codes.value(row) } else { "" };
                    let more = if national(whole) > 0 { whole } else { "" };
                    kept.push((row, written(current, LEVELS - 1), more));
                    self.written.carried += if current == code { 0 } else { items };
                    self.written.cut += if is_cut(description) { items } else { 0 };
                    &mut self.written.items
                }
            };
            *counted += items;
        }
        self.written.texts += kept.len() as u64;
        let texts = StringArray::from_iter_values(kept.iter().map(|(row, ..)| descriptions.value(*row)));
        let codes = StringArray::from_iter_values(kept.iter().map(|(_, code, _)| code));
        let nationals = StringArray::from_iter_values(kept.iter().map(|(.., national)| national));
        let number = |column: &Int64Array| {
            Arc::new(Int64Array::from_iter_values(kept.iter().map(|(row, ..)| column.value(*row))))
        };
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(texts), Arc::new(codes), Arc::new(nationals), number(months), number(rows)];
        let own: UInt64Array = kept.iter().map(|(row, ..)| *row as u64).collect();
        for field in particulars::fields() {
            columns.push(take(&cast(column(batch, field.name())?, field.data_type())?, &own, None)?);
        }
        let kept = RecordBatch::try_new(file_schema(), columns)?;
        self.writer.write(&kept).await.context(|| format!("write {}", self.written.path))
    }

    async fn finish(self, archive: &Archive) -> Result<Written> {
        let Self { writer, mut written, .. } = self;
        writer.close().await.context(|| format!("write {}", written.path))?;
        written.size = archive.size(&written.path).await?;
        Ok(written)
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Arc<dyn Array>> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("HS texts have no column {name}")))
}

/// Texts with their six-digit codes, and with national digits (0: none).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) descriptions: Vec<String>,
    pub(super) codes: Vec<u32>,
    pub(super) nationals: Vec<u64>,
}

impl Texts {
    fn push(&mut self, row: Row<'_>) {
        self.descriptions.push(row.description.to_owned());
        self.codes.push(row.code);
        self.nationals.push(row.national);
    }

    /// Those of some numbers, in their order.
    pub(super) fn take(mut self, order: &[u32]) -> Self {
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

/// Reads a file's texts, each pair with a code once; of more than `most`, about as many as that, those with the
/// lowest hashes.
pub(super) async fn read_texts(archive: &Archive, path: &str, most: u64) -> Result<Texts> {
    let bytes = archive.get(path).await?;
    let read = on_cpu(move || {
        let mut count = 0;
        let mut once = Once::default();
        each_row(&bytes, |row, _| count += u64::from(once.is_new(row)))?;
        let least = least_hash(most, count);
        let (mut texts, mut once) = (Texts::default(), Once::default());
        each_row(&bytes, |row, _| {
            if once.is_new(row) && least.is_none_or(|least| xxh3_64(row.description.as_bytes()) <= least) {
                texts.push(row);
            }
        })?;
        Ok(texts)
    });
    read.await.context(|| format!("read the texts in {path}"))
}

/// An item with particulars that a model knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) description: String,
    pub(super) code: u32,
    /// The numbers of its particulars in the model's usage, by kind.
    pub(super) stated: [Option<usize>; KINDS],
}

/// Reads a file's items with particulars; of more than `most`, about as many as that, those with the lowest hashes.
pub(super) fn read_items(bytes: &Bytes, usage: &Usage, most: u64) -> Result<Vec<Item>> {
    let mut count = 0;
    each_row(bytes, |_, particulars| count += u64::from(!particulars.is_empty()))?;
    let least = least_hash(most, count);
    let (mut items, mut number) = (Vec::new(), 0);
    each_row(bytes, |Row { description, code, .. }, particulars| {
        number += 1;
        // Not by the text alone: one that stands in many items would bring all of them.
        let hash = || xxh3_64_with_seed(description.as_bytes(), number);
        let stated = usage.numbers(particulars);
        if stated.iter().any(Option::is_some) && least.is_none_or(|least| hash() <= least) {
            items.push(Item { description: description.to_owned(), code, stated });
        }
    })?;
    Ok(items)
}

/// The hash up to which about `most` of `count` things are taken; `None`: all are.
fn least_hash(most: u64, count: u64) -> Option<u64> {
    (most < count).then(|| (u128::from(u64::MAX) * u128::from(most) / u128::from(count)) as u64)
}

/// A row of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row<'a> {
    description: &'a str,
    code: u32,
    /// With national digits (0: none).
    national: u64,
}

/// Tells rows that differ from the row before; a file's order brings the same ones together.
#[derive(Debug, Default)]
struct Once {
    description: String,
    codes: (u32, u64),
}

impl Once {
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

/// Visits a file's rows in order.
fn each_row(bytes: &Bytes, mut visit: impl FnMut(Row<'_>, &Particulars<'_>)) -> Result<()> {
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?.build()? {
        let batch = batch?;
        let texts = |name| Ok::<_, Error>(column(&batch, name)?.as_string::<i32>().iter());
        let particulars = particulars::Columns::of(&batch)?;
        let rows = texts("description")?.zip(texts("hs_code")?).zip(texts("national")?).enumerate();
        for (at, ((description, code), whole)) in rows {
            let (Some(description), Some(code)) = (description, code.and_then(six_digits)) else {
                return Err(Error::corrupt("a text has no code; run the job again"));
            };
            let national = whole.map_or(0, national);
            visit(Row { description, code, national }, &particulars.at(at));
        }
    }
    Ok(())
}
