//! Where an archive is: a folder, a bucket, or this process's memory.
//!
//! An [`Archive`] is an object store and a prefix. Every path inside the archive is relative to the prefix and written
//! with `/`. The same URL opens the same archive on every machine that can reach the store; credentials come from the
//! machine's environment and are never part of a plan.
//!
//! What is absent: the meaning of any path; [`crate::table`] and other crates define their folders. Start at
//! [`Archive::open`].

use std::{
    collections::HashMap,
    fs::File,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, local::LocalFileSystem, memory::InMemory,
    path::Path,
};
use tidewaiter_core::{Error, Result, ResultExt};
use url::Url;

use crate::{bucket_uploads::BucketUploads, counted::Counted, verified::Verified};

/// An archive: an object store and the prefix of all its objects.
#[derive(Debug, Clone)]
pub struct Archive {
    url: Url,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// What was uploaded of an object that is neither finished nor given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// The object's path in the archive and, after a `#`, the number of the upload.
    pub path: String,
    /// Its size so far, in bytes.
    pub bytes: u64,
    /// When it was written to last: milliseconds since 1970-01-01 UTC.
    pub modified_ms: i64,
}

/// The stores that this process has opened, by scheme and host: clients are reused, and an in-memory archive is the
/// same wherever its name is opened.
static STORES: LazyLock<Mutex<HashMap<String, Arc<dyn ObjectStore>>>> = LazyLock::new(Mutex::default);

impl Archive {
    /// Opens the archive at `location`: a folder, or a `file://`, `memory://NAME`, `s3://BUCKET/PREFIX`,
    /// `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX` URL. A folder need not exist yet.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the location is not of these forms.
    pub fn open(location: &str) -> Result<Self> {
        let store = store_for(&parse_location(location)?)?;
        Self::of_store(location, store)
    }

    /// The archive at `location` in a store that the caller has made, such as one of a test. A process that is sent the
    /// archive's URL opens its own store.
    ///
    /// # Errors
    /// As [`Archive::open`].
    pub fn of_store(location: &str, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let url = parse_location(location)?;
        let prefix = Path::from_url_path(url.path())
            .map_err(|error| Error::input(format!("archive location {location}: {error}")))?;
        Ok(Self { url, store, prefix })
    }

    /// The archive's URL, by which any machine opens it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The URL of the store alone: scheme and host, as DataFusion registers stores.
    pub fn store_url(&self) -> Url {
        let mut url = self.url.clone();
        url.set_path("/");
        url
    }

    /// The object store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The path in the store of a path inside the archive.
    pub fn path(&self, relative: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(relative).parts()))
    }

    /// The path inside the archive of a path in the store; `None` when it lies outside the archive.
    pub fn relative(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.prefix)?.map(|part| part.as_ref().to_owned()).collect();
        Some(parts.join("/"))
    }

    /// The URL of a path inside the archive.
    pub fn url_of(&self, relative: &str) -> Url {
        let mut url = self.url.clone();
        let path = format!("{}/{}", self.url.path().trim_end_matches('/'), relative);
        url.set_path(&path);
        url
    }

    /// A path inside the archive as messages show it: a file system path where there is one, else a URL.
    pub fn display(&self, relative: &str) -> String {
        let url = self.url_of(relative);
        match url.to_file_path() {
            Ok(path) => path.display().to_string(),
            Err(()) => url.to_string(),
        }
    }

    /// Reads a whole object.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when there is no such object; those of the store.
    pub async fn get(&self, relative: &str) -> Result<Bytes> {
        let read = async { self.store.get(&self.path(relative)).await?.bytes().await };
        read.await.context(|| format!("read {}", self.display(relative)))
    }

    /// Writes an object, replacing one of the same path.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put(&self, relative: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let put = self.store.put(&self.path(relative), bytes.into().into()).await;
        put.map(|_| ()).context(|| format!("write {}", self.display(relative)))
    }

    /// Writes an object unless there is one of the same path; `false` when there is. What is written survives a loss of
    /// power ([`Archive::sync`]): this is how things are committed.
    ///
    /// # Errors
    /// Those of the store. The object may have been written all the same.
    pub async fn put_new(&self, relative: &str, bytes: impl Into<Bytes>) -> Result<bool> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.path(relative), bytes.into().into(), options).await {
            Ok(_) => self.sync(relative).await.map(|()| true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error).context(|| format!("write {}", self.display(relative))),
        }
    }

    /// Makes an object that was written survive a loss of power. A remote store promises this of every write; a file
    /// and the folders above it are flushed to their disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub async fn sync(&self, relative: &str) -> Result<()> {
        let (Ok(root), Ok(file)) = (self.url.to_file_path(), self.url_of(relative).to_file_path()) else {
            return Ok(());
        };
        let flush = move || {
            let folders = file.ancestors().skip(1).take_while(|folder| folder.starts_with(&root));
            std::iter::once(file.as_path()).chain(folders).try_for_each(|path| File::open(path)?.sync_all())
        };
        let flushed = tokio::task::spawn_blocking(flush).await;
        let flushed = flushed.map_err(|error| Error::internal("flush a file").with_source(error))?;
        flushed.context(|| format!("flush {} to disk", self.display(relative)))
    }

    /// Deletes an object; there may be none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete(&self, relative: &str) -> Result<()> {
        match self.store.delete(&self.path(relative)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error).context(|| format!("delete {}", self.display(relative))),
        }
    }

    /// Whether an object exists.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn exists(&self, relative: &str) -> Result<bool> {
        match self.store.head(&self.path(relative)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error).context(|| format!("look at {}", self.display(relative))),
        }
    }

    /// The size of an object, in bytes.
    ///
    /// # Errors
    /// As [`Archive::get`].
    pub async fn size(&self, relative: &str) -> Result<u64> {
        let meta = self.store.head(&self.path(relative)).await;
        Ok(meta.context(|| format!("look at {}", self.display(relative)))?.size)
    }

    /// All objects below a folder, at any depth, in the order of their paths.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let prefix = self.path(folder);
        let listed: std::result::Result<Vec<_>, _> = self.store.list(Some(&prefix)).try_collect().await;
        let mut objects = listed.context(|| format!("list {}", self.display(folder)))?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(objects)
    }

    /// The names of the folders directly below a folder, sorted. The archive itself is the folder `""`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = self.path(folder);
        let listed = self.store.list_with_delimiter(Some(&prefix)).await;
        let listed = listed.context(|| format!("list {}", self.display(folder)))?;
        let mut names: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// Deletes all objects below a folder.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete_folder(&self, folder: &str) -> Result<()> {
        for object in self.list(folder).await? {
            match self.store.delete(&object.location).await {
                // Somebody else deletes the folder, too.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => Err(error).context(|| format!("delete {}", object.location))?,
            }
        }
        self.remove_empty(folder).await;
        Ok(())
    }

    /// What was uploaded of objects below a folder that are neither finished nor given up; of an archive in a bucket of
    /// S3 without the sizes. Of other buckets nothing is known ([`Archive::lists_uploads`]).
    ///
    /// # Errors
    /// Those of the store and of the file system.
    pub async fn unfinished_uploads(&self, folder: &str) -> Result<Vec<UnfinishedUpload>> {
        if let Some(bucket) = self.bucket()? {
            let listed = bucket.list(&self.path(folder)).await?.into_iter();
            let inside = listed.filter_map(|upload| {
                let path = format!("{}#{}", self.relative(&upload.path)?, upload.id);
                Some(UnfinishedUpload { path, bytes: 0, modified_ms: upload.begun_ms })
            });
            return Ok(inside.collect());
        }
        let (Ok(root), Ok(below)) = (self.url.to_file_path(), self.url_of(folder).to_file_path()) else {
            return Ok(Vec::new());
        };
        let walked = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            staged_files(&root, &below, &mut found).map(|()| found)
        });
        let walked = walked.await.map_err(|error| Error::internal("look for uploads").with_source(error))?;
        walked.context(|| format!("look for unfinished uploads in {}", self.display(folder)))
    }

    /// Whether unfinished uploads are known of the archive's store.
    pub fn lists_uploads(&self) -> bool {
        matches!(self.url.scheme(), "file" | "memory" | "s3")
    }

    /// The bucket of S3 in which the archive is.
    fn bucket(&self) -> Result<Option<BucketUploads>> {
        let is_bucket = self.url.scheme() == "s3";
        is_bucket.then(|| BucketUploads::new(bucket_builder(self.store_url().as_str()))).transpose()
    }

    /// Deletes what was uploaded of an object ([`Archive::unfinished_uploads`]); there may be nothing.
    ///
    /// # Errors
    /// Those of the store and of the file system.
    pub async fn abort_upload(&self, relative: &str) -> Result<()> {
        let Some((object, number)) = relative.rsplit_once('#') else { return Ok(()) };
        if let Some(bucket) = self.bucket()? {
            return bucket.abort(&self.path(object), number).await;
        }
        let Ok(mut path) = self.url_of(object).to_file_path().map(PathBuf::into_os_string) else {
            return Ok(());
        };
        path.push(format!("#{number}"));
        match tokio::fs::remove_file(path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(|| format!("delete {}", self.display(relative)))
            }
            _ => Ok(()),
        }
    }

    /// Removes a folder of this machine's file system in which no objects are left; in other stores there is none. A
    /// folder that stays does no harm.
    pub async fn remove_empty(&self, folder: &str) {
        if let Ok(path) = self.url_of(folder).to_file_path() {
            drop(tokio::task::spawn_blocking(move || remove_empty(&path)).await);
        }
    }
}

/// The files below a folder in which the local store gathers the parts of an upload: `NAME#1` becomes `NAME`.
fn staged_files(
    root: &std::path::Path,
    folder: &std::path::Path,
    found: &mut Vec<UnfinishedUpload>,
) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_staged = name.rsplit_once('#').is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        if kind.is_dir() {
            staged_files(root, &path, found)?;
        } else if kind.is_file() && is_staged {
            let inside = path.strip_prefix(root).unwrap_or(&path);
            let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
            let meta = entry.metadata()?;
            let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            found.push(UnfinishedUpload {
                path: parts.join("/"),
                bytes: meta.len(),
                modified_ms: i64::try_from(modified.as_millis()).unwrap_or(i64::MAX),
            });
        }
    }
    Ok(())
}

/// Removes a folder and those in it, as far as they are empty.
fn remove_empty(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // The file system refuses where something is in it.
    drop(std::fs::remove_dir(folder));
}

/// The object store that serves a URL, opened once per process.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a scheme that is not served.
pub fn store_for(url: &Url) -> Result<Arc<dyn ObjectStore>> {
    let key = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = stores.get(&key) {
        return Ok(Arc::clone(store));
    }
    let inner: Arc<dyn ObjectStore> = match url.scheme() {
        "file" => Arc::new(LocalFileSystem::new()),
        "memory" => Arc::new(InMemory::new()),
        "s3" => {
            let built = bucket_builder(&key).build();
            Arc::new(built.map_err(|error| Error::input(format!("open {key}: {error}")))?)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env();
            let built = builder.with_url(key.as_str()).build();
            Arc::new(built.map_err(|error| Error::input(format!("open {key}: {error}")))?)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::from_env();
            let built = builder.with_url(key.as_str()).build();
            Arc::new(built.map_err(|error| Error::input(format!("open {key}: {error}")))?)
        }
        scheme => {
            return Err(Error::input(format!(
                "the store {url} has the scheme {scheme:?}; use a folder, file://, s3://, gs://, az:// or memory://"
            )));
        }
    };
    let store: Arc<dyn ObjectStore> = Arc::new(Verified::new(inner));
    let store: Arc<dyn ObjectStore> = Arc::new(Counted(store));
    stores.insert(key, Arc::clone(&store));
    Ok(store)
}

/// The builder of a bucket's client, with the credentials of the environment.
fn bucket_builder(url: &str) -> AmazonS3Builder {
    AmazonS3Builder::from_env().with_url(url)
}

fn parse_location(location: &str) -> Result<Url> {
    if location.contains("://") {
        return Url::parse(location)
            .map_err(|error| Error::input(format!("archive location {location}: {error}")));
    }
    let path = std::path::absolute(PathBuf::from(location))
        .map_err(|error| Error::input(format!("archive location {location:?}: {error}")))?;
    Url::from_directory_path(&path)
        .map_err(|()| Error::input(format!("archive location {location:?} is not a folder's path")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_memory_archive_is_the_same_wherever_its_name_is_opened() {
        let first = Archive::open("memory://location-test/a").expect("opens");
        let second = Archive::open("memory://location-test/a").expect("opens");
        assert!(first.put_new("x/y", "1").await.expect("written"));
        assert!(!second.put_new("x/y", "2").await.expect("answered"));
        assert_eq!(second.get("x/y").await.expect("read"), "1");
        assert_eq!(second.folders("").await.expect("listed"), ["x"]);
    }

    #[test]
    fn an_unknown_scheme_is_an_input_error() {
        let error = Archive::open("ftp://host/x").expect_err("not served");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
    }

    #[test]
    fn a_google_bucket_is_opened_by_its_url() {
        let archive = Archive::open("gs://bucket/archive").expect("opens");
        assert_eq!(archive.store_url().as_str(), "gs://bucket/");
        assert_eq!(archive.path("models").as_ref(), "archive/models");
    }

    #[test]
    fn an_azure_container_is_opened_or_the_error_names_what_is_missing() {
        // Without the variables of an account in the environment the builder names what is missing.
        match Archive::open("az://container/archive") {
            Ok(archive) => assert_eq!(archive.path("models").as_ref(), "archive/models"),
            Err(error) => assert!(error.chain().contains("open az://container"), "{}", error.chain()),
        }
    }

    #[test]
    fn paths_inside_and_outside_agree() {
        let archive = Archive::open("memory://n/prefix").expect("opens");
        let path = archive.path("models/fraud/1/model.json");
        assert_eq!(path.as_ref(), "prefix/models/fraud/1/model.json");
        assert_eq!(archive.relative(&path).as_deref(), Some("models/fraud/1/model.json"));
    }
}
