//! Rows as the pieces of one Arrow IPC stream, each small enough for a message.
//!
//! The pieces one after the other are the stream: its schema, its batches, its end. A batch that makes too large a piece
//! is divided by rows.

use std::{collections::VecDeque, sync::Arc};

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, MutableArrayData, RecordBatch, make_array},
    datatypes::{DataType, SchemaRef},
    ipc::writer::StreamWriter,
};
use tidewaiter_core::{Error, Result};
use tidewaiter_proto::LARGEST_MESSAGE;

/// Bytes beyond which a piece is divided, if it has more than one row.
const LARGEST_PIECE: usize = 4 << 20;

/// An Arrow IPC stream that is written piece by piece.
pub(crate) struct Pieces {
    writer: StreamWriter<Vec<u8>>,
    ready: VecDeque<Vec<u8>>,
}

impl Pieces {
    /// The stream of rows with a schema. Its first piece has no row, so that a reader knows the columns.
    ///
    /// # Errors
    /// When the schema has no form in Arrow IPC.
    pub(crate) fn new(schema: SchemaRef) -> Result<Self> {
        let writer = StreamWriter::try_new(Vec::new(), &schema)?;
        let mut pieces = Self { writer, ready: VecDeque::new() };
        pieces.writer.write(&RecordBatch::new_empty(schema))?;
        pieces.take();
        Ok(pieces)
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a row that is too large for a message.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.add_divided(&compact(batch)?, LARGEST_PIECE)
    }

    fn add_divided(&mut self, batch: &RecordBatch, largest: usize) -> Result<()> {
        let rows = batch.num_rows();
        if batch.get_array_memory_size() > largest && rows > 1 {
            for (from, count) in [(0, rows / 2), (rows / 2, rows - rows / 2)] {
                self.add_divided(&compact(&batch.slice(from, count))?, largest)?;
            }
            return Ok(());
        }
        self.writer.write(batch)?;
        self.take();
        match self.ready.back().map(Vec::len) {
            Some(bytes) if bytes > LARGEST_MESSAGE - (1 << 10) => Err(Error::input(format!(
                "a row of the answer has {bytes} bytes, more than one message; select fewer or shorter columns"
            ))),
            _ => Ok(()),
        }
    }

    /// Adds the end.
    ///
    /// # Errors
    /// When the end has been added before.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.writer.finish()?;
        self.take();
        Ok(())
    }

    /// The next piece that is ready.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// Makes a piece of what was written.
    fn take(&mut self) {
        self.ready.push_back(std::mem::take(self.writer.get_mut()));
    }
}

/// The same rows in memory of their own: a part of a batch holds the memory of the whole.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| -> Result<ArrayRef> {
        Ok(match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => {
                let data = column.to_data();
                let mut copy = MutableArrayData::new(vec![&data], false, data.len());
                copy.try_extend(0, 0, data.len())?;
                make_array(copy.freeze())
            }
        })
    });
    let columns = columns.collect::<Result<_>>()?;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        array::{Int64Array, StringArray, StringViewArray},
        buffer::Buffer,
        compute::concat_batches,
        ipc::reader::StreamDecoder,
    };
    use proptest::prelude::*;

    use super::*;

    fn batch(texts: &[String]) -> RecordBatch {
        let texts = || texts.iter().map(String::as_str);
        let columns: [(&str, ArrayRef); 3] = [
            ("number", Arc::new(Int64Array::from_iter_values(0..texts().count() as i64))),
            ("text", Arc::new(StringArray::from_iter_values(texts()))),
            ("view", Arc::new(StringViewArray::from_iter_values(texts()))),
        ];
        RecordBatch::try_from_iter(columns).expect("a batch")
    }

    /// The pieces of batches, and the rows that a reader finds in them.
    fn travel(batches: &[RecordBatch], largest: usize) -> (Vec<usize>, RecordBatch) {
        let schema = batches[0].schema();
        let mut pieces = Pieces::new(Arc::clone(&schema)).expect("a stream");
        for batch in batches {
            pieces.add_divided(batch, largest).expect("written");
        }
        pieces.finish().expect("ended");
        let (mut decoder, mut found, mut sizes) = (StreamDecoder::new(), Vec::new(), Vec::new());
        while let Some(piece) = pieces.next() {
            sizes.push(piece.len());
            let mut buffer = Buffer::from(piece);
            while !buffer.is_empty() {
                found.extend(decoder.decode(&mut buffer).expect("decodes"));
            }
        }
        decoder.finish().expect("it is whole");
        (sizes, concat_batches(&schema, &found).expect("joins"))
    }

    #[test]
    fn a_large_batch_travels_in_small_pieces() {
        let texts: Vec<String> = (0..3000).map(|row| format!("{row:0100}")).collect();
        let whole = batch(&texts);
        let (sizes, found) = travel(std::slice::from_ref(&whole), 64 << 10);
        assert_eq!(found, whole);
        let largest = sizes.iter().max().copied();
        assert!(largest < Some(80 << 10), "{largest:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_rows_travel_whole_and_in_order(
            texts in prop::collection::vec(prop::collection::vec(".{0,40}", 0..30), 1..4),
            largest in 1_usize..4000,
        ) {
            let batches: Vec<_> = texts.iter().map(|texts| batch(texts)).collect();
            let whole = concat_batches(&batches[0].schema(), &batches).expect("joins");
            prop_assert_eq!(travel(&batches, largest).1, whole);
        }
    }
}
