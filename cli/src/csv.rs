//! Rows as CSV (RFC 4180): a header, fields in quotes where they need them, an empty field where there is no value.
//!
//! Times are in the form of ISO 8601, binary values in hexadecimal, and lists and structures are one JSON text. A text
//! that is empty is written `""`, so that it is not read as no value. Start at [`lines`].

use arrow::{
    array::{Array, RecordBatch},
    json::LineDelimitedWriter,
    util::display::{ArrayFormatter, FormatOptions},
};
use tidewaiter_core::Result;

/// The lines of some rows, after the header where it is asked for.
pub(crate) fn lines(batch: &RecordBatch, header: bool) -> Result<String> {
    let mut text = String::new();
    if header {
        let names = batch.schema_ref().fields().iter().map(|field| Some(field.name().clone()));
        line(&mut text, names);
    }
    let options = FormatOptions::default();
    let columns = (0..batch.num_columns()).map(|place| column(batch, place, &options));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    for row in 0..batch.num_rows() {
        line(&mut text, columns.iter().map(|column| column(row)));
    }
    Ok(text)
}

/// The text of a row's value; `None` where there is none.
type Cells<'a> = Box<dyn Fn(usize) -> Option<String> + 'a>;

fn column<'a>(batch: &'a RecordBatch, place: usize, options: &'a FormatOptions<'a>) -> Result<Cells<'a>> {
    let values = batch.column(place);
    if values.data_type().is_nested() {
        let texts = json(batch, place)?;
        return Ok(Box::new(move |row| texts.get(row).cloned().flatten()));
    }
    let formatter = ArrayFormatter::try_new(values, options)?;
    Ok(Box::new(move |row| values.is_valid(row).then(|| formatter.value(row).to_string())))
}

/// Appends a line.
fn line(text: &mut String, cells: impl Iterator<Item = Option<String>>) {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            text.push(',');
        }
        match cell {
            None => {}
            Some(cell) if cell.is_empty() || cell.contains([',', '"', '\n', '\r']) => {
                text.push('"');
                text.push_str(&cell.replace('"', "\"\""));
                text.push('"');
            }
            Some(cell) => text.push_str(&cell),
        }
    }
    text.push('\n');
}

/// The values of a column as JSON texts.
fn json(batch: &RecordBatch, place: usize) -> Result<Vec<Option<String>>> {
    let column = batch.project(&[place])?;
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&column)?;
    writer.finish()?;
    let written = writer.into_inner();
    let lines = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let value = |line: &[u8]| -> Result<Option<String>> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line)?;
        Ok(object.into_iter().next().map(|(_, value)| value.to_string()))
    };
    lines.map(value).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray,
            StringArray, StructArray, TimestampMicrosecondArray,
        },
        datatypes::{DataType, Field, Int32Type},
    };

    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_and_nothing_is_an_empty_field() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
        ]);
        let inner = Arc::new(Int32Array::from(vec![7, 8, 9])) as ArrayRef;
        let structure = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int32, true)), inner)]);
        let columns: [(&str, ArrayRef); 8] = [
            ("number", Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)]))),
            ("text, quoted", Arc::new(StringArray::from(vec![Some("a \"b\", c\nd"), None, Some("")]))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("value", Arc::new(Float64Array::from(vec![0.1, 1e300, -0.0]))),
            ("time", Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2]).with_timezone("UTC"))),
            ("bytes", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b"", b"a"]))),
            ("list", Arc::new(list)),
            ("structure", Arc::new(structure)),
        ];
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
        let batch = batch.expect("a batch");
        let text = lines(&batch, true).expect("writes");
        assert_eq!(
            text,
            "number,\"text, quoted\",flag,value,time,bytes,list,structure\n\
             1,\"a \"\"b\"\", c\nd\",true,0.1,1970-01-01T00:00:00Z,00ff,\"[1,null]\",\"{\"\"x\"\":7}\"\n\
             ,,false,1e300,1970-01-01T00:00:00.000001Z,\"\",,\"{\"\"x\"\":8}\"\n\
             -3,\"\",,-0.0,1970-01-01T00:00:00.000002Z,61,[],\"{\"\"x\"\":9}\"\n"
        );
        assert!(lines(&batch.slice(0, 0), false).expect("writes").is_empty());
    }
}
