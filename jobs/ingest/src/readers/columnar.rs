//! Parquet exports: typed columns are taken as they are, others are cast to text; both are checked by the same rules as
//! delimited text. Start at [`Columnar::new`].

use arrow::{
    array::{Array, AsArray, RecordBatch, StringArray},
    compute::cast,
    datatypes::DataType,
};
use parquet::{
    arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    file::reader::ChunkReader,
};
use tidewaiter_archive::schema::Kind;
use tidewaiter_core::{Error, Result, ResultExt};

use crate::{
    block::ParsedBlock,
    cells::{Rules, Source, assemble, is_taken, value_text},
    mapping::Mapping,
    quarantine::{BadRecord, quarantined},
};

/// Rows of a block, at most.
const BLOCK_ROWS: usize = 1 << 14;

/// A reader of a Parquet file, block by block.
pub(super) struct Columnar {
    name: String,
    reader: ParquetRecordBatchReader,
    rules: Rules,
    row: i64,
}

impl Columnar {
    pub(super) fn new<T: ChunkReader + 'static>(name: &str, input: T, mapping: &Mapping) -> Result<Self> {
        if input.len() == 0 {
            return Err(Error::input(format!("{name} is empty")));
        }
        let broken = |error| Error::input(format!("{name} is not a whole Parquet file")).with_source(error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(input).map_err(broken)?;
        let schema = builder.schema().clone();
        let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut rules = mapping.rules_for(name, &columns)?;
        for rule in &mut rules.columns {
            if let Source::Field(field) = rule.source {
                let kind = schema.field(field).data_type();
                // A cast writes typed values in one way, so that the mapping's conventions of writing do not apply.
                if !is_text(kind) {
                    rule.formats = match rule.column.kind {
                        Kind::Date => vec!["%Y-%m-%d".to_owned()],
                        _ => Vec::new(),
                    };
                    rule.decimal_comma = false;
                }
                if kind.is_nested() {
                    return Err(Error::input(format!(
                        "{name}: the column {:?} for {} is nested ({kind})",
                        columns[field], rule.column.name
                    )));
                }
            }
        }
        let reader = builder.with_batch_size(BLOCK_ROWS).build().map_err(broken)?;
        Ok(Self { name: name.to_owned(), reader, rules, row: 0 })
    }

    /// Rows read so far.
    pub(super) fn read(&self) -> i64 {
        self.row
    }

    pub(super) fn next_block(&mut self) -> Result<Option<ParsedBlock>> {
        let Some(read) = self.reader.next() else { return Ok(None) };
        let source = read.map_err(|error| {
            Error::input(format!("{} is cut off or damaged", self.name)).with_source(error)
        })?;
        let texts = self.texts(&source)?;
        let cell = |row: usize, field: usize| {
            let text = texts[field].as_ref()?;
            text.is_valid(row).then(|| text.value(row))
        };
        let number = |row: usize| self.row + 1 + i64::try_from(row).unwrap_or(i64::MAX);
        let typed = |field: usize| Some(source.column(field));
        let (batch, faults) = assemble(&self.rules, source.num_rows(), number, typed, cell)?;
        let mut bad = Vec::with_capacity(faults.len());
        for fault in faults {
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
            bad.push(BadRecord::new(row, None, Some(fault.column), fault.rule, fault.value, raw));
        }
        self.row += i64::try_from(source.num_rows()).unwrap_or(i64::MAX);
        Ok(Some(ParsedBlock { batch, quarantined: quarantined(&self.name, bad)? }))
    }

    fn is_mapped(&self, place: usize) -> bool {
        self.rules.columns.iter().any(|rule| matches!(rule.source, Source::Field(field) if field == place))
    }

    /// The mapped columns as text, by place; `None` for those that are taken as they are and for those not mapped.
    fn texts(&self, source: &RecordBatch) -> Result<Vec<Option<StringArray>>> {
        let mut texts = vec![None; source.num_columns()];
        for rule in &self.rules.columns {
            let Source::Field(field) = rule.source else { continue };
            let column = source.column(field);
            if texts[field].is_some() || is_taken(rule, column.data_type()) {
                continue;
            }
            let text = || -> Result<StringArray> {
                // For a column of dates, a time is written as its day.
                let column = match column.data_type() {
                    DataType::Timestamp(..) | DataType::Date64 if rule.column.kind == Kind::Date => {
                        cast(column, &DataType::Date32)?
                    }
                    _ => column.clone(),
                };
                Ok(cast(&column, &DataType::Utf8)?.as_string::<i32>().clone())
            };
            texts[field] = Some(text().context(|| {
                format!("read column {:?} of {}", source.schema().field(field).name(), self.name)
            })?);
        }
        Ok(texts)
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
