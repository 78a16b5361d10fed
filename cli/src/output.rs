//! A command's result on stdout: lines for people, one JSON document, or a query's rows as CSV.
//!
//! A query's rows are written as they come ([`Rows`]); of anything else the whole is known before ([`write`]).

use std::{
    error::Error as StdError,
    fmt,
    io::{self, BufWriter, Write, stdout},
};

use arrow::{
    array::RecordBatch,
    json::LineDelimitedWriter,
    util::{
        display::{ArrayFormatter, FormatOptions},
        pretty::pretty_format_batches,
    },
};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt};

use crate::{arguments::Output, csv};

/// Rows by which the widths of a table's columns are chosen.
const SAMPLE_ROWS: usize = 1000;

/// Nobody reads stdout any more, as when its lines go to `head`: there is nothing left to do, and nothing wrong.
#[derive(Debug)]
struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the result")
    }
}

impl StdError for ReaderGone {}

/// Whether an error only says that nobody reads stdout any more.
pub(crate) fn is_reader_gone(error: &Error) -> bool {
    error.source().is_some_and(|source| source.is::<ReaderGone>())
}

/// What became of a write to stdout.
fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Cancelled, doing()).with_source(ReaderGone))
        }
        result => result.context(doing),
    }
}

/// Holds that a result can be written as it is asked for: only a query's rows are CSV.
pub(crate) fn check(output: Output, is_query: bool) -> Result<()> {
    match output {
        Output::Csv if !is_query => Err(not_rows()),
        _ => Ok(()),
    }
}

fn not_rows() -> Error {
    Error::input("--output csv is for the rows of `archive sql`; this command has text and json")
}

/// Writes a command's result: the lines for people, or the JSON document.
pub(crate) fn write(
    output: Output,
    json: &serde_json::Value,
    text: impl FnOnce() -> Vec<String>,
) -> Result<()> {
    let text = match output {
        Output::Text => text().join("\n"),
        Output::Json => serde_json::to_string_pretty(json)?,
        Output::Csv => return Err(not_rows()),
    };
    written(writeln!(stdout(), "{text}"))
}

/// The rows of a query: as a table, as CSV, or as a JSON array with one object a line. It holds no more than the rows of a
/// table's beginning.
pub(crate) struct Rows<W: Write> {
    out: BufWriter<W>,
    form: Form,
}

enum Form {
    /// CSV whose header is written or not.
    Csv { begun: bool },
    /// An array that has elements or not.
    Json { begun: bool },
    /// The first rows of a table, which is not begun.
    Sample(Vec<RecordBatch>),
    /// A table whose head is written.
    Table { border: String, widths: Vec<usize> },
}

impl Rows<std::io::Stdout> {
    /// The rows on stdout.
    pub(crate) fn on_stdout(output: Output) -> Self {
        Self::new(stdout(), output)
    }
}

impl<W: Write> Rows<W> {
    fn new(out: W, output: Output) -> Self {
        let form = match output {
            Output::Json => Form::Json { begun: false },
            Output::Csv => Form::Csv { begun: false },
            Output::Text => Form::Sample(Vec::new()),
        };
        Self { out: BufWriter::new(out), form }
    }

    /// Writes rows; a batch without any still says which columns there are.
    pub(crate) fn write(&mut self, batch: RecordBatch) -> Result<()> {
        match &mut self.form {
            Form::Json { begun } => write_objects(&mut self.out, &batch, begun),
            Form::Csv { begun } => {
                let header = !std::mem::replace(begun, true);
                written(self.out.write_all(csv::lines(&batch, header)?.as_bytes()))
            }
            Form::Table { widths, .. } => write_cells(&mut self.out, &batch, widths),
            Form::Sample(batches) => {
                batches.push(batch);
                if batches.iter().map(RecordBatch::num_rows).sum::<usize>() < SAMPLE_ROWS {
                    return Ok(());
                }
                let table = pretty_format_batches(batches)?.to_string();
                let (head, border) = table.rsplit_once('\n').unwrap_or_default();
                let widths = border.trim_matches('+').split('+').map(|part| part.len().saturating_sub(2));
                let table = Form::Table { border: border.to_owned(), widths: widths.collect() };
                written(writeln!(self.out, "{head}"))?;
                self.form = table;
                Ok(())
            }
        }
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> Result<()> {
        let end = match &self.form {
            Form::Csv { .. } => return written(self.out.flush()),
            Form::Json { begun: false } => "[]".to_owned(),
            Form::Json { begun: true } => "\n]".to_owned(),
            Form::Sample(batches) => pretty_format_batches(batches)?.to_string(),
            Form::Table { border, .. } => border.clone(),
        };
        written(writeln!(self.out, "{end}").and_then(|()| self.out.flush()))
    }
}

fn doing() -> &'static str {
    "write the result to stdout"
}

/// Writes rows as the next elements of an array.
fn write_objects(out: &mut impl Write, batch: &RecordBatch, begun: &mut bool) -> Result<()> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    for object in writer.into_inner().split(|byte| *byte == b'\n').filter(|object| !object.is_empty()) {
        let before: &[u8] = if *begun { b",\n" } else { b"[\n" };
        *begun = true;
        written(out.write_all(before).and_then(|()| out.write_all(object)))?;
    }
    Ok(())
}

/// Writes rows as lines of a table whose head is written; longer cells push the border to the right.
fn write_cells(out: &mut impl Write, batch: &RecordBatch, widths: &[usize]) -> Result<()> {
    let options = FormatOptions::default();
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
        let height = cells.iter().map(|cell| cell.lines().count()).max().unwrap_or(1).max(1);
        for line in 0..height {
            let mut text = String::from("|");
            for (cell, width) in cells.iter().zip(widths) {
                let part = cell.lines().nth(line).unwrap_or_default();
                text.push_str(&format!(" {part:<width$} |"));
            }
            written(writeln!(out, "{text}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
        let text = rows.clone().map(|row| (row % 7 != 0).then(|| format!("text \"{row}\"\nof two lines")));
        let columns: [(&str, ArrayRef, bool); 2] = [
            ("number", Arc::new(Int64Array::from_iter_values(rows)), false),
            ("text", Arc::new(StringArray::from_iter(text)), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
    }

    fn written_as(output: Output, batches: &[RecordBatch]) -> String {
        let mut bytes = Vec::new();
        let mut rows = Rows::new(&mut bytes, output);
        for batch in batches {
            rows.write(batch.clone()).expect("written");
        }
        rows.finish().expect("ended");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn rows_that_come_one_after_the_other_make_the_table_of_all() {
        for ends in [vec![0], vec![3], vec![1100, 1400, 1400, 5000]] {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let batches: Vec<_> = starts.zip(&ends).map(|(from, to)| batch(from..*to)).collect();
            let whole = pretty_format_batches(&batches).expect("formats").to_string();
            assert_eq!(written_as(Output::Text, &batches), format!("{whole}\n"), "{ends:?}");
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_told_from_a_full_disk() {
        let gone = written(Err(io::ErrorKind::BrokenPipe.into())).expect_err("it is gone");
        assert!(is_reader_gone(&gone));
        let full = written(Err(io::ErrorKind::StorageFull.into())).expect_err("it is full");
        assert!(!is_reader_gone(&full) && full.chain().contains("write the result to stdout"));
    }

    #[test]
    fn csv_has_one_header_however_the_rows_come() {
        let batches = [batch(0..0), batch(0..2), batch(2..2), batch(2..3)];
        let expected =
            "number,text\n0,\n1,\"text \"\"1\"\"\nof two lines\"\n2,\"text \"\"2\"\"\nof two lines\"\n";
        assert_eq!(written_as(Output::Csv, &batches), expected);
        assert_eq!(written_as(Output::Csv, &batches[..1]), "number,text\n");
    }

    #[test]
    fn rows_that_come_one_after_the_other_make_one_json_array() {
        let batches = [batch(0..0), batch(0..2), batch(2..2), batch(2..9)];
        let document: Vec<serde_json::Value> =
            serde_json::from_str(&written_as(Output::Json, &batches)).expect("one document");
        assert_eq!(document.len(), 9);
        assert_eq!(document[0], serde_json::json!({"number": 0}));
        assert_eq!(document[8]["text"], "text \"8\"\nof two lines");
        assert_eq!(written_as(Output::Json, &batches[..1]), "[]\n");
    }
}
