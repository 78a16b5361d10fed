//! An object store whose requests are counted for this process's metrics, and which changes nothing else.
//!
//! That an object is not there, or is there already, is an answer and no failure. A listing counts once, whatever its
//! pages are, and an upload once with each of its parts.

use std::{fmt, ops::Range};

use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};
use tidewaiter_metrics::families::{STORE_BYTES, STORE_ERRORS, STORE_REQUESTS, STORE_SECONDS};
use tokio::time::Instant;

/// A store that is counted.
#[derive(Debug)]
pub(crate) struct Counted<S>(pub(crate) S);

impl<S: fmt::Display> fmt::Display for Counted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts a request by its answer.
async fn counted<T>(operation: &'static str, request: impl Future<Output = Result<T>>) -> Result<T> {
    let begun = Instant::now();
    let answer = request.await;
    STORE_SECONDS.observe(&[operation], begun.elapsed().as_secs_f64());
    note(operation, &answer);
    answer
}

fn note<T>(operation: &'static str, answer: &Result<T>) {
    STORE_REQUESTS.add(&[operation], 1.0);
    let answers = |error: &Error| {
        matches!(
            error,
            Error::NotFound { .. }
                | Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotModified { .. }
        )
    };
    if answer.as_ref().is_err_and(|error| !answers(error)) {
        STORE_ERRORS.add(&[operation], 1.0);
    }
}

/// Counts the failures of a stream as one request.
fn counted_stream<T: Send + 'static>(
    operation: &'static str,
    items: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    STORE_REQUESTS.add(&[operation], 1.0);
    let failed = move |item: &Result<T>| {
        if item.as_ref().is_err_and(|error| !matches!(error, Error::NotFound { .. })) {
            STORE_ERRORS.add(&[operation], 1.0);
        }
    };
    items.inspect(failed).boxed()
}

fn read(bytes: u64) {
    STORE_BYTES.add(&["read"], bytes as f64);
}

fn written(bytes: usize) {
    STORE_BYTES.add(&["written"], bytes as f64);
}

#[async_trait::async_trait]
impl<S: ObjectStore> ObjectStore for Counted<S> {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        written(payload.content_length());
        counted("put", self.0.put_opts(to, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = counted("upload", self.0.put_multipart_opts(to, options)).await?;
        Ok(Box::new(CountedUpload(upload)))
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { "head" } else { "get" };
        let answer = counted(operation, self.0.get_opts(from, options)).await?;
        if operation == "get" {
            read(answer.range.end - answer.range.start);
        }
        Ok(answer)
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let answer = counted("get", self.0.get_ranges(from, ranges)).await?;
        read(answer.iter().map(|bytes| bytes.len() as u64).sum());
        Ok(answer)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        counted_stream("delete", self.0.delete_stream(paths))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_stream("list", self.0.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        counted_stream("list", self.0.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        counted("list", self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        counted("copy", self.0.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        counted("copy", self.0.rename_opts(from, to, options)).await
    }
}

/// An upload whose parts are counted.
#[derive(Debug)]
struct CountedUpload(Box<dyn MultipartUpload>);

#[async_trait::async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        written(part.content_length());
        let sent = self.0.put_part(part);
        Box::pin(counted("upload", sent))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        counted("upload", self.0.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        counted("upload", self.0.abort()).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, PutMode, memory::InMemory};

    use super::*;

    #[tokio::test]
    async fn requests_are_counted_and_what_is_not_there_is_no_failure() {
        let store = Counted(InMemory::new());
        let counts = || ["put", "get", "head"].map(|operation| STORE_REQUESTS.value(&[operation]) as u64);
        let (before, errors) = (counts(), STORE_ERRORS.value(&["get"]));
        let path = Path::from("counted/a");
        store.put(&path, PutPayload::from_static(b"12345")).await.expect("written");
        let again = store.put_opts(&path, PutPayload::new(), PutOptions::from(PutMode::Create)).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
        assert_eq!(store.get(&path).await.expect("there").bytes().await.expect("read"), "12345");
        assert_eq!(store.head(&path).await.expect("there").size, 5);
        let missing = store.get(&Path::from("counted/b")).await;
        assert!(matches!(missing, Err(Error::NotFound { .. })));
        // Other tests of this process may count meanwhile.
        let more: Vec<u64> = counts().iter().zip(before).map(|(now, before)| now - before).collect();
        assert!(more[0] >= 2 && more[1] >= 2 && more[2] >= 1, "{more:?}");
        assert_eq!(STORE_ERRORS.value(&["get"]), errors);
        assert!(STORE_BYTES.value(&["read"]) >= 5.0 && STORE_BYTES.value(&["written"]) >= 5.0);
    }
}
