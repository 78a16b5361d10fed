//! Reads of data files that are compared with the digests which the files carry ([`crate::blocks`]).
//!
//! A [`Verified`] store reads whole blocks where a part of a data file is asked for, compares them, and gives the part.
//! So whatever a query reads of a table is what was written, or the query fails and names the file. The digests of a file
//! come with its end, which every reader of Parquet reads first; of a part that is read before it, the whole blocks are
//! compared. Files without digests, of older versions or of other
//! programs, are read as they are.
//!
//! What is absent: whole objects, which `archive verify` compares with the log. Start at [`Verified::new`].

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, path::Path,
};
use tidewaiter_core::Error;

use crate::blocks::{Blocks, Broken, footer_bytes};

/// Files whose digests are kept, at most.
const KNOWN_FILES: usize = 4096;

/// The last bytes of a file that are read where its digests are not known and something else is asked for.
const END_BYTES: u64 = 64 << 10;

/// A store whose data files are compared with their digests when a part of them is read.
#[derive(Debug)]
pub(crate) struct Verified {
    inner: Arc<dyn ObjectStore>,
    /// The digests of files; `None` for a file without.
    known: Mutex<HashMap<Path, Option<Arc<Blocks>>>>,
}

impl Verified {
    /// A store that compares what it reads of `inner`.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Path, Option<Arc<Blocks>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digests of a file of `size` bytes, whose last bytes `end` are.
    async fn learn(&self, path: &Path, size: u64, mut end: Bytes) -> Result<Option<Arc<Blocks>>> {
        if let Some(wanted) = footer_bytes(&end)
            && wanted > end.len() as u64
            && wanted <= size
        {
            end = self.inner.get_range(path, size - wanted..size).await?;
        }
        let found = Blocks::find(&end, size);
        let found = found.map_err(|Broken| damage(format!("the end of {path} is not as it was written")))?;
        let blocks = found.map(Arc::new);
        if let Some(blocks) = &blocks {
            // Digests count where the end that holds them is whole.
            let whole = blocks.widened(&(size - 1..size));
            let read = size - end.len() as u64;
            if whole.start < read {
                end = self.inner.get_range(path, whole.clone()).await?;
                compare(blocks, path, &whole, &end)?;
            } else {
                compare(blocks, path, &(read..size), &end)?;
            }
        }
        let mut known = self.known();
        if known.len() >= KNOWN_FILES {
            known.clear();
        }
        known.insert(path.clone(), blocks.clone());
        Ok(blocks)
    }

    /// The digests of a file; its end is read where they are not known.
    async fn blocks(&self, path: &Path) -> Result<Option<Arc<Blocks>>> {
        let known = self.known().get(path).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let size = self.inner.head(path).await?.size;
        if size == 0 {
            return Ok(None);
        }
        let end = self.inner.get_range(path, size.saturating_sub(END_BYTES)..size).await?;
        self.learn(path, size, end).await
    }

    /// Reads ranges of a file that has digests.
    async fn read(&self, path: &Path, blocks: &Blocks, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let wide = merged(ranges.iter().map(|range| blocks.widened(range)).collect());
        let read = self.inner.get_ranges(path, &wide).await?;
        for (range, bytes) in wide.iter().zip(&read) {
            compare(blocks, path, range, bytes)?;
        }
        let part = |range: &Range<u64>| {
            let holds = wide.iter().position(|wide| wide.start <= range.start && range.end <= wide.end);
            let (start, bytes) = holds.map(|place| (wide[place].start, &read[place]))?;
            let place = |byte: u64| usize::try_from(byte - start).ok();
            let (from, to) = (place(range.start)?, place(range.end)?);
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        };
        let parts: Option<Vec<Bytes>> = ranges.iter().map(part).collect();
        parts.ok_or_else(|| damage(format!("{path} is shorter than its footer says")))
    }
}

/// Ranges without those that overlap or touch, in order.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Compares what was read of a file with its digests.
fn compare(blocks: &Blocks, path: &Path, range: &Range<u64>, bytes: &[u8]) -> Result<()> {
    blocks.damaged(range, bytes).map_or(Ok(()), |damaged| {
        let Range { start, end } = damaged;
        Err(damage(format!("bytes {start} to {end} of {path} are not those that were written")))
    })
}

fn damage(what: String) -> object_store::Error {
    object_store::Error::Generic { store: "archive", source: Box::new(Error::corrupt(what)) }
}

/// Whether an object is a data file of a table.
fn is_data_file(path: &Path) -> bool {
    path.as_ref().contains("country=") && path.extension() == Some("parquet")
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[async_trait]
impl ObjectStore for Verified {
    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        let range = match &options.range {
            Some(GetRange::Bounded(range)) if is_data_file(from) && !options.head => range.clone(),
            _ => return self.inner.get_opts(from, options).await,
        };
        let known = self.known().get(from).cloned();
        let wide = match &known {
            Some(None) => return self.inner.get_opts(from, options).await,
            Some(Some(blocks)) => blocks.widened(&range),
            None => range.clone(),
        };
        let options = GetOptions { range: Some(GetRange::Bounded(wide)), ..options };
        let result = self.inner.get_opts(from, options).await?;
        let (meta, read, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let bytes = result.bytes().await?;
        let blocks = match known.flatten() {
            Some(blocks) => Some(blocks),
            None if read.end == meta.size => self.learn(from, meta.size, bytes.clone()).await?,
            None => self.blocks(from).await?,
        };
        if let Some(blocks) = &blocks {
            compare(blocks, from, &read, &bytes)?;
        }
        let end = range.end.min(read.end);
        let place = |byte: u64| usize::try_from(byte - read.start).unwrap_or(usize::MAX).min(bytes.len());
        let part = bytes.slice(place(range.start)..place(end));
        let payload = GetResultPayload::Stream(stream::once(async move { Ok(part) }).boxed());
        Ok(GetResult { payload, meta, range: range.start..end, attributes })
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let blocks = if is_data_file(from) { self.blocks(from).await? } else { None };
        match blocks {
            Some(blocks) => self.read(from, &blocks, ranges).await,
            None => self.inner.get_ranges(from, ranges).await,
        }
    }

    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.known().remove(to);
        self.inner.put_opts(to, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.known().remove(to);
        self.inner.put_multipart_opts(to, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use object_store::memory::InMemory;
    use proptest::prelude::*;
    use tidewaiter_core::{
        ErrorKind,
        query::{Plan as _, Run as _},
    };

    use super::*;
    use crate::{
        Archive, Table,
        blocks::{BLOCK_BYTES, tests::sealed},
        provider::snapshot_provider,
        testing::{memory, rows, schema, write},
    };

    const PATH: &str = "t/country=KR/year=2020/month=1/job-00000.parquet";

    async fn store(file: Vec<u8>) -> (Verified, Path) {
        let (store, path) = (InMemory::new(), Path::from(PATH));
        store.put(&path, file.into()).await.expect("written");
        (Verified::new(Arc::new(store)), path)
    }

    #[tokio::test]
    async fn a_file_without_digests_is_read_as_it_is() {
        let (store, path) = store(b"PAR1 an older file \0\0\0\0PAR1".to_vec()).await;
        for _ in 0..2 {
            assert_eq!(store.get_range(&path, 5..7).await.expect("reads"), "an");
            assert_eq!(store.get_ranges(&path, &[5..7, 8..13]).await.expect("reads"), ["an", "older"]);
        }
        assert_eq!(*store.known(), HashMap::from([(path, None)]));
    }

    #[tokio::test]
    async fn damage_is_named_whatever_is_read_first() {
        let rows = vec![9; 2 * BLOCK_BYTES as usize + 100];
        let whole = sealed(&rows);
        let size = whole.len() as u64;
        let block = BLOCK_BYTES + 5..BLOCK_BYTES + 9;
        for bit in [BLOCK_BYTES * 8 + 3, rows.len() as u64 * 8 + 100, size * 8 - 400] {
            let mut damaged = whole.clone();
            damaged[bit as usize / 8] ^= 1 << (bit % 8);
            let (store, path) = store(damaged).await;
            let reads = [vec![block.clone()], vec![0..1, size - 9..size, block.clone()]];
            let mut errors = Vec::new();
            for ranges in reads {
                errors.extend(store.get_ranges(&path, &ranges).await.err());
            }
            errors.extend(store.get_range(&path, size - 8..size).await.err());
            errors.extend(store.get_range(&path, block.clone()).await.err());
            assert!(!errors.is_empty(), "bit {bit}");
            for error in errors {
                let error = Error::from(error);
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.chain().contains(PATH), "{}", error.chain());
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_asked_for_is_given(
            length in 0_usize..2 * BLOCK_BYTES as usize, asked in prop::collection::vec((0_u64..150_000, 1_u64..9000), 1..5)
        ) {
            let rows: Vec<u8> = (0..length).map(|place| (place % 253) as u8).collect();
            let file = sealed(&rows);
            let size = file.len() as u64;
            let ranges: Vec<Range<u64>> = asked
                .iter()
                .map(|&(from, more)| from.min(size - 1)..(from.min(size - 1) + more).min(size))
                .collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let (store, path) = store(file.clone()).await;
                let read = store.get_ranges(&path, &ranges).await.expect("reads");
                for (range, bytes) in ranges.iter().zip(read) {
                    let wanted = &file[range.start as usize..range.end as usize];
                    assert!(bytes == wanted && store.get_range(&path, range.clone()).await.expect("reads") == wanted);
                }
            });
        }
    }

    async fn count(archive: &Archive) -> Result<usize, Error> {
        let session = SessionContext::new();
        session.register_object_store(&archive.store_url(), Arc::clone(archive.store()));
        let provider = snapshot_provider(archive, "declarations", None).await?;
        session.register_table("declarations", provider)?;
        let answer = session.query("SELECT * FROM declarations").await?.batches().await?;
        Ok(answer.iter().map(|batch| batch.num_rows()).sum())
    }

    #[tokio::test]
    async fn a_query_names_the_data_file_in_which_a_bit_was_flipped() {
        let archive = memory("verified-query");
        let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
        let files = write(&archive, "declarations", "job", &rows(0, 400)).await;
        table.commit(&files, &["job".to_owned()], "ingest").await.expect("commits");
        assert_eq!(count(&archive).await.expect("reads"), 400);
        let objects = archive.list("").await.expect("lists");
        let path = format!("declarations/{}", files[3].path);
        let bytes = archive.get(&path).await.expect("reads");
        for bit in (0..bytes.len() * 8).step_by(bytes.len()) {
            // Another archive, so that nothing of the file is known.
            let copy = memory(&format!("verified-query-{bit}"));
            for object in &objects {
                let name = archive.relative(&object.location).expect("inside");
                let mut bytes = archive.get(&name).await.expect("reads").to_vec();
                if name == path {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                copy.put(&name, bytes).await.expect("written");
            }
            let error = count(&copy).await.expect_err("it is damaged");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {}", error.chain());
            assert!(error.chain().contains(&files[3].path), "bit {bit}: {}", error.chain());
        }
    }
}
