//! For tests: a store in memory whose writes fail as those of a remote store do.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
};

use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use tidewaiter_archive::Archive;
use tokio::sync::Notify;

/// What becomes of a write.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// It lands and is answered.
    Lands,
    /// It lands, and the answer is a 5xx or a time-out.
    LandsUnanswered,
    /// It does not land.
    Fails,
    /// It lands when it is notified.
    LandsWhen(Arc<Notify>),
}

/// The store. The writes that are not said of land.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    inner: InMemory,
    writes: Mutex<VecDeque<Write>>,
}

impl Faulty {
    /// Says what becomes of the next writes.
    pub(crate) fn next(&self, writes: impl IntoIterator<Item = Write>) {
        self.writes.lock().expect("not poisoned").extend(writes);
    }

    /// A store, and an archive in it.
    pub(crate) fn archive() -> (Arc<Self>, Archive) {
        let store = Arc::new(Self::default());
        let archive = Archive::of_store("memory://faulty/archive", Arc::clone(&store) as _).expect("opens");
        (store, archive)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn unanswered<T>() -> Result<T> {
    Err(object_store::Error::Generic { store: "Faulty", source: "503 Slow Down".into() })
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let write = self.writes.lock().expect("not poisoned").pop_front().unwrap_or(Write::Lands);
        match write {
            Write::Lands => self.inner.put_opts(to, payload, options).await,
            Write::LandsUnanswered => {
                self.inner.put_opts(to, payload, options).await?;
                unanswered()
            }
            Write::Fails => unanswered(),
            Write::LandsWhen(notified) => {
                notified.notified().await;
                self.inner.put_opts(to, payload, options).await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(from, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
