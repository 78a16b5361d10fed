//! The rows of one Parquet file of the archive, a row group at a time: for files that are larger than memory.
//!
//! Queries read files by [`crate::provider`]; this is for what is no query, such as the loader of a fit's shard. Start at
//! [`file_rows`].

use std::{ops::Range, sync::Arc};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryFutureExt, future::BoxFuture, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader,
    },
    errors::{ParquetError, Result as ParquetResult},
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
};
use tidewaiter_core::{Error, Result, ResultExt};

use crate::Archive;

/// The rows of a file in their order, in batches of at most `batch_rows`. One row group is in memory, as it is stored.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such file, [`tidewaiter_core::ErrorKind::Corrupt`] when it is
/// no Parquet file; those of the store. Errors of reading come with the rows.
pub async fn file_rows(
    archive: &Archive,
    file: &str,
    batch_rows: usize,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let (store, path) = (Arc::clone(archive.store()), archive.path(file));
    let reader = StoredFile { store, path, size: archive.size(file).await? };
    let doing = || format!("read {}", archive.display(file));
    let rows = ParquetRecordBatchStreamBuilder::new(reader).await.context(doing)?;
    let rows = rows.with_batch_size(batch_rows).build().context(doing)?;
    let place = doing();
    Ok(rows.map(move |batch| batch.map_err(Error::from).context(|| place.clone())).boxed())
}

/// A file whose ranges the decoder asks for.
struct StoredFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.store.get_range(&self.path, range).map_err(ParquetError::from).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move { Ok(self.store.get_ranges(&self.path, &ranges).await?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.size;
        async move { Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, size).await?)) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
    use tidewaiter_core::ErrorKind;

    use super::*;
    use crate::testing::{memory, rows};

    #[tokio::test]
    async fn the_rows_of_a_file_come_in_their_order_a_batch_at_a_time() {
        let archive = memory("file-rows");
        let written = rows(0, 25);
        let groups = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), written.schema(), Some(groups)).expect("a writer");
        writer.write(&written).expect("writes");
        archive.put("work/rows.parquet", writer.into_inner().expect("closes")).await.expect("written");
        let read = file_rows(&archive, "work/rows.parquet", 4).await.expect("opens");
        let read: Vec<RecordBatch> = read.try_collect().await.expect("reads");
        assert!(read.iter().all(|batch| batch.num_rows() <= 4));
        assert_eq!(arrow::compute::concat_batches(&written.schema(), &read).expect("one batch"), written);

        archive.put("work/other", "no Parquet file").await.expect("written");
        for (file, kind) in [("work/other", ErrorKind::Corrupt), ("work/none", ErrorKind::NotFound)] {
            let error = file_rows(&archive, file, 4).await.err().expect("it is no file of rows");
            assert_eq!(error.kind(), kind, "{}", error.chain());
        }
    }
}
