//! The plan node that writes a retrain's files of texts, and the query below it.
//!
//! [`distinct_texts`] is the query: the distinct pairs of description and code of the training, validation and test
//! months, with national digits and numbers of rows; those of the test months also by declaration and day, and those of
//! the validation and test months also by attributes. [`TextsOperator`] writes one Parquet file for each period with the
//! columns of [`file_schema`], and counts the items that cannot be used: descriptions without a letter or digit, codes
//! of fewer than six digits, codes that the nomenclature lacks. A file is ordered by its texts, so that it does not
//! depend on how the query was partitioned. Start at [`distinct_texts`].

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, UInt64Array},
    compute::{cast, filter_record_batch, take},
    datatypes::{DataType, Int64Type, Schema, SchemaRef},
};
use datafusion::{
    functions_aggregate::expr_fn::count,
    logical_expr::{Expr, when},
    prelude::{DataFrame, cast as cast_to, col, lit},
};
use futures::{StreamExt, stream::BoxStream};
use object_store::buffered::BufWriter;
use parquet::{
    arrow::AsyncArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use prost::Message as _;
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Period, Result, ResultExt,
    plan::{self, Input, Operator},
};

use super::{
    attributes::{self, KINDS},
    defects::TextDefects,
    ngrams::{Extractor, is_cut},
    texts::{TextFile, column, file_schema},
};
use crate::{
    codes::{
        digits::{LEVELS, national, six_digits, written},
        nomenclature::Nomenclature,
    },
    messages,
};

/// The names of the periods' files, by the periods' numbers in the query.
const PARTS: [&str; 3] = ["train", "valid", "test"];

/// The order of the operator's input.
const ORDER: [&str; 6 + KINDS] = {
    let [one, two, three, four] = attributes::COLUMNS;
    ["part", "description", "hs_code", "month", one, two, three, four, "day", "declaration"]
};

/// The distinct texts of declarations in three periods (training, validation, test), in the columns of the operator.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when the declarations lack a column.
pub(crate) fn distinct_texts(declarations: DataFrame, periods: [Period; 3]) -> Result<DataFrame> {
    let [within_train, within_valid, within_test] = periods.map(within);
    let part = when(within_train.clone(), lit(0_i64))
        .when(within_valid.clone(), lit(1_i64))
        .otherwise(lit(2_i64))?
        .alias("part");
    let number = |name: &str| cast_to(col(name), DataType::Int64);
    let month = number("year") * lit(12_i64) + number("month") - lit(1_i64);
    let month = when(within_test.clone(), month).otherwise(lit(0_i64))?.alias("month");
    let day = cast_to(cast_to(col("acceptance_date"), DataType::Int32), DataType::Int64);
    let day = when(within_test.clone(), day).otherwise(lit(0_i64))?.alias("day");
    let declaration = cast_to(col("declaration_id"), DataType::Utf8);
    let declaration = when(within_test.clone(), declaration).otherwise(lit(""))?.alias("declaration");
    let mut columns = vec![part, col("description"), col("hs_code"), month, day, declaration];
    for (name, attribute) in attributes::COLUMNS.into_iter().zip(attributes::expressions()?) {
        columns.push(when(!within_train.clone(), attribute.unalias()).end()?.alias(name));
    }
    let rows = declarations.filter(within_train.or(within_valid).or(within_test))?.select(columns)?;
    let counted = rows.aggregate(ORDER.map(col).to_vec(), vec![count(lit(1_i64)).alias("rows")])?;
    let mut columns = ORDER.map(col).to_vec();
    columns.push(cast_to(col("rows"), DataType::Int64).alias("rows"));
    Ok(counted.select(columns)?)
}

/// The condition that a declaration was accepted in a period.
pub(crate) fn within(period: Period) -> Expr {
    let day = |day: i32| lit(datafusion::common::ScalarValue::Date32(Some(day)));
    let days = period.days();
    col("acceptance_date").between(day(*days.start()), day(*days.end()))
}

/// The plan node; its report is the list of [`TextFile`].
#[derive(Debug)]
pub struct TextsOperator {
    message: messages::HsTextsOperator,
    archive: Archive,
}

impl TextsOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "HsTextsExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: messages::HsTextsOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive })
    }

    async fn write(&self, mut input: Input) -> Result<Vec<TextFile>> {
        let nomenclature =
            stored_nomenclature(&self.archive, &self.message.nomenclature, &self.message.correlation).await?;
        let mut files = PARTS
            .map(|part| TextFileWriter::new(&self.archive, format!("{}/{part}.parquet", self.message.folder)))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            let parts = cast(column(&batch, "part")?, &DataType::Int64)?;
            let parts = parts.as_primitive::<Int64Type>();
            for (number, file) in (0..).zip(&mut files) {
                let own: BooleanArray = parts.iter().map(|part| Some(part == Some(number))).collect();
                if own.true_count() > 0 {
                    file.write(&filter_record_batch(&batch, &own)?, &nomenclature).await?;
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
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in ORDER.iter().chain(&["rows"]) {
            if input.index_of(name).is_err() {
                return Err(Error::input(format!("HS texts need the column {name}")));
            }
        }
        Ok(plan::report_schema())
    }

    fn sort_columns(&self) -> &[&'static str] {
        &ORDER
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.write(input).await?) }).boxed()
    }
}

/// Reads the nomenclature that a job stored in the archive; empty paths: none.
///
/// # Errors
/// Those of the store, and [`tidewaiter_core::ErrorKind::Input`] for a table without the columns.
pub(crate) async fn stored_nomenclature(
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

/// Writes the file of a period.
struct TextFileWriter {
    writer: AsyncArrowWriter<BufWriter>,
    written: TextFile,
    /// The last text with its code; equal ones follow each other.
    last: (String, String),
    extractor: Extractor,
}

impl TextFileWriter {
    fn new(archive: &Archive, path: String) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_created_by("tidewaiter".to_owned())
            .build();
        let file = BufWriter::new(Arc::clone(archive.store()), archive.path(&path));
        let writer = AsyncArrowWriter::try_new(file, file_schema(), Some(properties))?;
        Ok(Self {
            writer,
            written: TextFile { path, ..TextFile::default() },
            last: Default::default(),
            extractor: Extractor::default(),
        })
    }

    /// Writes the rows that can be used, and counts the others.
    async fn write(&mut self, batch: &RecordBatch, nomenclature: &Nomenclature) -> Result<()> {
        let text = |name| Ok::<_, Error>(cast(column(batch, name)?, &DataType::Utf8)?);
        let (descriptions, codes) = (text("description")?, text("hs_code")?);
        let (descriptions, codes) = (descriptions.as_string::<i32>(), codes.as_string::<i32>());
        let rows = cast(column(batch, "rows")?, &DataType::Int64)?;
        let rows: &Int64Array = rows.as_primitive();
        let months = cast(column(batch, "month")?, &DataType::Int64)?;
        let months: &Int64Array = months.as_primitive();
        let days = cast(column(batch, "day")?, &DataType::Int64)?;
        let days: &Int64Array = days.as_primitive();
        let declarations = text("declaration")?;
        let declarations = declarations.as_string::<i32>();
        let mut kept = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let items = rows.value(row).unsigned_abs();
            let description = if descriptions.is_valid(row) { descriptions.value(row) } else { "" };
            let code = if codes.is_valid(row) { six_digits(codes.value(row)) } else { None };
            self.extractor.read(description);
            self.written.defects += TextDefects::of(description).times(items);
            let current = code.and_then(|code| nomenclature.current(code));
            let counted = match (code, current) {
                _ if self.extractor.words().len() == 0 => &mut self.written.without_words,
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
        for (row, code, _) in &kept {
            let description = descriptions.value(*row);
            if self.last.0 != description || self.last.1 != *code {
                self.last = (description.to_owned(), code.clone());
                self.written.texts += 1;
            }
        }
        let texts = StringArray::from_iter_values(kept.iter().map(|(row, ..)| descriptions.value(*row)));
        let codes = StringArray::from_iter_values(kept.iter().map(|(_, code, _)| code));
        let nationals = StringArray::from_iter_values(kept.iter().map(|(.., national)| national));
        let number = |column: &Int64Array| {
            Arc::new(Int64Array::from_iter_values(kept.iter().map(|(row, ..)| column.value(*row))))
        };
        let declarations =
            StringArray::from_iter_values(kept.iter().map(|(row, ..)| declarations.value(*row)));
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(texts), Arc::new(codes), Arc::new(nationals), Arc::new(declarations)];
        columns.extend([months, rows, days].map(|column| -> ArrayRef { number(column) }));
        let own: UInt64Array = kept.iter().map(|(row, ..)| *row as u64).collect();
        for field in attributes::fields() {
            columns.push(take(&cast(column(batch, field.name())?, field.data_type())?, &own, None)?);
        }
        let kept = RecordBatch::try_new(file_schema(), columns)?;
        self.writer.write(&kept).await.context(|| format!("write {}", self.written.path))
    }

    async fn finish(self, archive: &Archive) -> Result<TextFile> {
        let Self { writer, mut written, .. } = self;
        writer.close().await.context(|| format!("write {}", written.path))?;
        written.size = archive.size(&written.path).await?;
        Ok(written)
    }
}
