//! Commits that are sealed ([`crate::seal`]), so that damage of the log is found.
//!
//! [`SealedLog`] stands before the store of a table's log and seals each commit. To Delta the seal is one more field of
//! `commitInfo`, which every reader passes over. What is absent: checkpoints, which Delta writes by another way;
//! [`super::log`] has their digests.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

use crate::seal::sealed;

/// What a commit begins with.
pub(super) const BEGIN: &[u8] = b"{\"commitInfo\":{";

/// A store that seals the commits of a table's log.
#[derive(Debug)]
pub(super) struct SealedLog(pub(super) Arc<dyn ObjectStore>);

fn is_commit(path: &Path) -> bool {
    let mut parts = path.parts();
    parts.next().is_some_and(|folder| folder.as_ref() == "_delta_log")
        && path.extension() == Some("json")
        && path.filename().is_some_and(|name| name.len() == 25)
}

impl fmt::Display for SealedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedLog({})", self.0)
    }
}

#[async_trait]
impl ObjectStore for SealedLog {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let payload = if is_commit(to) { sealed(&Bytes::from(payload), BEGIN).into() } else { payload };
        self.0.put_opts(to, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(from, options).await
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(from, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}
