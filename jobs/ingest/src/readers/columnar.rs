//! Parquet exports: typed columns are taken as they are, others are cast to text; both are checked by the same rules as
//! delimited text. Start at [`Columnar::new`].

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringBuilder},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    },
    basic::Type as PhysicalType,
    file::reader::ChunkReader,
};
use tidewaiter_archive::schema::Kind;
use tidewaiter_core::{Error, Result, ResultExt};

use crate::{
    block::ParsedBlock,
    cells::{ColumnRule, Fault, Rules, Source, assemble, days, is_binary, is_taken, value_text},
    mapping::Mapping,
    quarantine::{BadRecord, quarantined},
};

/// Rows of a block, at most.
const BLOCK_ROWS: usize = 1 << 14;

/// A reader of a Parquet file, block by block.
pub(super) struct Columnar {
    name: String,
    reader: ParquetRecordBatchReader,
    sets: Vec<Rules>,
    row: i64,
    /// Rows made so far, good and bad.
    made: i64,
}

impl Columnar {
    pub(super) fn new<T: ChunkReader + 'static>(name: &str, input: T, mapping: &Mapping) -> Result<Self> {
        if input.len() == 0 {
            return Err(Error::input(format!("{name} is empty")));
        }
        let broken = |error| Error::input(format!("{name} is not a whole Parquet file")).with_source(error);
        let mut metadata = ArrowReaderMetadata::load(&input, ArrowReaderOptions::new()).map_err(broken)?;
        let columns: Vec<String> =
            metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
        let mut sets = mapping.rules_for(name, &columns)?;
        if let Some(schema) = with_long_times(&metadata, &sets) {
            let options = ArrowReaderOptions::new().with_schema(schema);
            metadata =
                ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map_err(broken)?;
        }
        let schema = Arc::clone(metadata.schema());
        for rule in sets.iter_mut().flat_map(|set| &mut set.columns) {
            if let Source::Field(field) = rule.source {
                let kind = schema.field(field).data_type();
                // A cast writes typed values in one way, so that the mapping's conventions of writing do not apply.
                if !is_text(kind) {
                    rule.formats = match rule.column.kind {
                        Kind::Date => vec!["%Y-%m-%d".to_owned()],
                        _ => Vec::new(),
                    };
                    rule.decimal_comma = false;
                    rule.thousands = Vec::new();
                }
                if kind.is_nested() {
                    return Err(Error::input(format!(
                        "{name}: the column {:?} for {} is nested ({kind})",
                        columns[field], rule.column.name
                    )));
                }
            }
        }
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata);
        let reader = builder.with_batch_size(BLOCK_ROWS).build().map_err(broken)?;
        Ok(Self { name: name.to_owned(), reader, sets, row: 0, made: 0 })
    }

    /// Rows made so far, good and bad.
    pub(super) fn read(&self) -> i64 {
        self.made
    }

    pub(super) fn next_block(&mut self) -> Result<Option<ParsedBlock>> {
        let Some(read) = self.reader.next() else { return Ok(None) };
        let source = read.map_err(|error| {
            Error::input(format!("{} is cut off or damaged", self.name)).with_source(error)
        })?;
        let mut known = Vec::new();
        let texts = self.texts(&source, &mut known)?;
        let cell = |row: usize, field: usize| {
            let text = texts[field].as_ref()?;
            text.is_valid(row).then(|| text.value(row))
        };
        let before = self.row;
        let number = |row: usize| before + 1 + i64::try_from(row).unwrap_or(i64::MAX);
        let typed = |field: usize| Some(source.column(field));
        let assembled = assemble(&self.sets, source.num_rows(), number, typed, cell, known)?;
        let mut bad = Vec::with_capacity(assembled.faults.len());
        for fault in assembled.faults {
            let row = number(fault.row);
            let mut raw = String::new();
            for (place, field) in source.schema().fields().iter().enumerate() {
                let column = source.column(place);
                if self.is_mapped(place) && column.is_valid(fault.row) {
                    let value = value_text(column, fault.row)?;
                    raw.push_str(&format!("{}={value:?} ", field.name()));
                }
            }
            let raw = raw.trim_end().as_bytes();
            bad.push(BadRecord::new(row, None, fault.column, fault.rule, fault.value, raw));
        }
        self.row += i64::try_from(source.num_rows()).unwrap_or(i64::MAX);
        self.made += i64::try_from(assembled.rows).unwrap_or(i64::MAX);
        let quarantined = quarantined(&self.name, bad)?;
        Ok(Some(ParsedBlock {
            batch: assembled.batch,
            records: assembled.records,
            quarantined,
            repairs: assembled.repairs,
        }))
    }

    fn rules(&self) -> impl Iterator<Item = (&ColumnRule, usize)> {
        let rules = self.sets.iter().flat_map(|set| &set.columns);
        rules.filter_map(|rule| match rule.source {
            Source::Field(field) => Some((rule, field)),
            _ => None,
        })
    }

    fn is_mapped(&self, place: usize) -> bool {
        self.rules().any(|(_, field)| field == place)
    }

    /// The mapped columns as text, by place; `None` for those that are taken as they are and for those not mapped. Bytes
    /// that are no text are added to `known`.
    fn texts(&self, source: &RecordBatch, known: &mut Vec<Fault>) -> Result<Vec<Option<StringArray>>> {
        let mut texts = vec![None; source.num_columns()];
        for (rule, field) in self.rules() {
            let column = source.column(field);
            if texts[field].is_some() || is_taken(rule, column.data_type()) {
                continue;
            }
            let text = text_of(column, rule.column.kind, rule.column.name, known);
            texts[field] = Some(text.context(|| {
                format!("read column {:?} of {}", source.schema().field(field).name(), self.name)
            })?);
        }
        Ok(texts)
    }
}

/// The schema in which times of 96 bits, which Spark and Impala write, are read with the resolution that holds all of
/// them; `None` where there are none. Without it they are read as nanoseconds, which end in 2262 and begin again in 1677.
fn with_long_times(metadata: &ArrowReaderMetadata, sets: &[Rules]) -> Option<SchemaRef> {
    let is_time = |field: usize| {
        let rules = sets.iter().flat_map(|set| &set.columns);
        let of_field = |rule: &&ColumnRule| matches!(rule.source, Source::Field(place) if place == field);
        rules.filter(of_field).any(|rule| rule.column.kind != Kind::Date)
    };
    let leaves = metadata.parquet_schema();
    let is_long = |name: &str| {
        let mut columns = leaves.columns().iter();
        columns.any(|leaf| leaf.path().parts() == [name] && leaf.physical_type() == PhysicalType::INT96)
    };
    let mut found = false;
    let fields: Vec<Field> = metadata
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(place, field)| match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) if is_long(field.name()) => {
                found = true;
                // A day never wraps in seconds.
                let unit = if is_time(place) { TimeUnit::Microsecond } else { TimeUnit::Second };
                field.as_ref().clone().with_data_type(DataType::Timestamp(unit, zone.clone()))
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    found.then(|| Arc::new(Schema::new(fields)))
}

/// A column as text for a standard column of a kind.
fn text_of(column: &ArrayRef, kind: Kind, name: &'static str, known: &mut Vec<Fault>) -> Result<StringArray> {
    let column = match column.data_type() {
        DataType::Dictionary(_, values) if is_binary(values) => cast(column, &DataType::Binary)?,
        // For a column of dates, a time is written as its day.
        DataType::Timestamp(..) | DataType::Date64 if kind == Kind::Date => days(column)?,
        _ => Arc::clone(column),
    };
    if is_binary(column.data_type()) {
        return text_of_bytes(&column, name, known);
    }
    let is_fraction = column.data_type().is_floating() || column.data_type().is_decimal();
    let is_whole_text = kind == Kind::Text && is_fraction;
    if !is_whole_text {
        if let Ok(text) = cast(&column, &DataType::Utf8)
            && text.null_count() == column.null_count()
        {
            return Ok(text.as_string::<i32>().clone());
        }
        // A time beyond the calendar.
        let text = |row: usize| column.is_valid(row).then(|| value_text(&column, row)).transpose();
        return (0..column.len()).map(text).collect::<Result<StringArray>>();
    }
    // Databases and data frames keep whole numbers, and codes of digits, as decimal or floating-point numbers.
    let numbers = match column.data_type().is_floating() {
        true => whole_floats(&column)?,
        false => cast(&column, &DataType::Utf8)?,
    };
    let numbers = numbers.as_string::<i32>();
    let whole = |text: &str| match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole.len(),
        _ => text.len(),
    };
    let mut texts = StringBuilder::with_capacity(numbers.len(), numbers.value_data().len());
    numbers.iter().for_each(|text| texts.append_option(text.map(|text| &text[..whole(text)])));
    Ok(texts.finish())
}

/// Floating-point numbers as text, without exponents.
fn whole_floats(column: &ArrayRef) -> Result<ArrayRef> {
    let numbers = cast(column, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<arrow::datatypes::Float64Type>();
    let texts = numbers.iter().map(|number| number.map(|number| number.to_string()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// Bytes as text; those that are no UTF-8 are null and added to `known`.
fn text_of_bytes(column: &ArrayRef, name: &'static str, known: &mut Vec<Fault>) -> Result<StringArray> {
    let bytes = cast(column, &DataType::Binary)?;
    let bytes = bytes.as_binary::<i32>();
    let mut texts = StringBuilder::with_capacity(bytes.len(), bytes.value_data().len());
    for (row, bytes) in bytes.iter().enumerate() {
        match bytes.map(std::str::from_utf8) {
            Some(Ok(text)) => texts.append_value(text),
            None => texts.append_null(),
            Some(Err(_)) => {
                let value = String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                known.push(Fault { row, column: Some(name), rule: "invalid UTF-8".into(), value });
                texts.append_null();
            }
        }
    }
    Ok(texts.finish())
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        kind if is_binary(kind) => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
