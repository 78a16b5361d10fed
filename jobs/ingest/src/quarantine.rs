//! Rows for quarantine: records that failed a check, with the reason and the raw text.
//!
//! What is absent: the table that they are written to ([`crate::quarantine_table`]). Start at [`quarantine_schema`].

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use tidewaiter_core::Result;

/// The most bytes that are kept of a record's raw text.
const RAW_BYTES: usize = 64 << 10;

/// The schema of quarantined rows.
///
/// `file`; `row_number`, the number of the data record, from 1; `line`, its line in the text, from 1 (null for Parquet
/// and XES); `column`, the first standard column that failed (null when the record as a whole did); `rule`, the reason;
/// `value`, the text of the cell; `raw`, the text of the record, at most 64 KiB of it, with NUL bytes
/// shown as U+2400.
pub fn quarantine_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("file", DataType::Utf8, false),
            Field::new("row_number", DataType::Int64, false),
            Field::new("line", DataType::Int64, true),
            Field::new("column", DataType::Utf8, true),
            Field::new("rule", DataType::Utf8, false),
            Field::new("value", DataType::Utf8, false),
            Field::new("raw", DataType::Utf8, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// A record for quarantine; its fields are the columns of [`quarantine_schema`].
pub(crate) struct BadRecord {
    row: i64,
    line: Option<i64>,
    column: Option<&'static str>,
    rule: Cow<'static, str>,
    value: String,
    raw: String,
}

impl BadRecord {
    /// The record, of whose raw text as much as may be is kept.
    pub(crate) fn new(
        row: i64,
        line: Option<i64>,
        column: Option<&'static str>,
        rule: impl Into<Cow<'static, str>>,
        value: String,
        raw: &[u8],
    ) -> Self {
        let kept = String::from_utf8_lossy(&raw[..raw.len().min(RAW_BYTES)]);
        let raw = shown(kept.trim_end_matches(['\r', '\n']));
        Self { row, line, column, rule: rule.into(), value: shown(&value), raw }
    }
}

/// A text with NUL bytes shown as U+2400, because programs that read the archive end a text at a NUL byte.
fn shown(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

/// The rows of a file's bad records, in the order of their numbers.
pub(crate) fn quarantined(file: &str, mut bad: Vec<BadRecord>) -> Result<RecordBatch> {
    bad.sort_by_key(|record| record.row);
    let (mut rows, mut lines) = (Int64Builder::new(), Int64Builder::new());
    let mut texts: [StringBuilder; 5] = std::array::from_fn(|_| StringBuilder::new());
    for record in bad {
        rows.append_value(record.row);
        lines.append_option(record.line);
        texts[0].append_value(file);
        texts[1].append_option(record.column);
        texts[2].append_value(record.rule);
        texts[3].append_value(record.value);
        texts[4].append_value(record.raw);
    }
    let [files, columns, rules, values, raws] = texts.map(|mut texts| Arc::new(texts.finish()));
    let arrays: Vec<ArrayRef> =
        vec![files, Arc::new(rows.finish()), Arc::new(lines.finish()), columns, rules, values, raws];
    Ok(RecordBatch::try_new(quarantine_schema(), arrays)?)
}
