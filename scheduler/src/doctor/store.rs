//! Whether the archive's store does what commits and the ledger rely on.

use std::time::Duration;

use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result};
use tidewaiter_executor::machine::space;
use tidewaiter_proto::v1::Finding;
use tokio::time::Instant;

use super::{
    certificates::{certificate, endpoint},
    clock, fine,
    machine::disk,
    warning, wrong,
};

/// A write that takes longer makes every step of a job slow.
const SLOW: Duration = Duration::from_secs(2);

/// The folder of the object that is written.
const FOLDER: &str = "doctor";

/// Writes an object to the archive, tries to write it again, reads, lists and deletes it. `id` is new; `now_ms` is
/// milliseconds since 1970.
pub async fn store(archive: &Archive, id: &str, now_ms: fn() -> i64) -> Vec<Finding> {
    let place = archive.display("");
    let path = format!("{FOLDER}/{id}");
    let mut findings = Vec::new();
    let result = looked(archive, &path, &place, now_ms, &mut findings).await;
    if let Err(error) = result {
        let remedy = "look at the store's address, its keys or role, and the network between; the archive needs the rights \
                      to list, read, write and delete";
        findings.push(wrong("store", &place, error.chain(), remedy));
    }
    findings.extend(certificate(archive.url().scheme(), endpoint().as_deref()));
    if let Ok(root) = archive.url().to_file_path()
        && let Some(space) = space(&root)
    {
        findings.push(disk(&place, space));
    }
    findings
}

async fn looked(
    archive: &Archive,
    path: &str,
    place: &str,
    now_ms: fn() -> i64,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let text = path.as_bytes().to_vec();
    let begun = Instant::now();
    if !archive.put_new(path, text.clone()).await? {
        return Err(Error::conflict(format!("{} is there already", archive.display(path))));
    }
    let (took, written_ms) = (begun.elapsed(), now_ms());
    let result = read_again(archive, path, place, &text, written_ms, findings).await;
    archive.delete(path).await?;
    archive.remove_empty(FOLDER).await;
    result?;
    let said = format!("written, read, listed and deleted; a write takes {} ms", took.as_millis());
    findings.insert(
        0,
        match took {
            took if took > SLOW => {
                let remedy = "every step of a job waits for such writes: bring the store nearer, or find what slows it";
                warning("store", place, said, remedy)
            }
            _ => fine("store", place, said),
        },
    );
    Ok(())
}

async fn read_again(
    archive: &Archive,
    path: &str,
    place: &str,
    text: &[u8],
    written_ms: i64,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let is_refused = !archive.put_new(path, b"again".to_vec()).await?;
    let read = archive.get(path).await?;
    findings.push(match (is_refused, read == text) {
        (true, true) => {
            fine("conditional put", place, "an object that is there is not written over (If-None-Match)")
        }
        _ => wrong(
            "conditional put",
            place,
            "an object that was there was written over: two commits at once would destroy each other",
            "use a store that honours If-None-Match: * (AWS S3, Google Cloud Storage, Azure, MinIO, Ceph since 2024), or \
             switch it on there",
        ),
    });
    let listed = archive.list(FOLDER).await?;
    let Some(object) =
        listed.iter().find(|object| archive.relative(&object.location).as_deref() == Some(path))
    else {
        findings.push(wrong(
            "listing",
            place,
            "an object that was written is not listed",
            "use a store whose listings are consistent: commits are found by them",
        ));
        return Ok(());
    };
    findings.push(clock(place, object.last_modified.timestamp_millis().saturating_sub(written_ms)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fmt, sync::Arc};

    use futures::stream::BoxStream;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
    };
    use tidewaiter_proto::v1::FindingLevel;

    use super::*;
    use crate::faulty::{Faulty, Write};

    fn now_ms() -> i64 {
        #[allow(clippy::disallowed_methods, reason = "a test compares with the store's own clock")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        i64::try_from(now.as_millis()).expect("fits")
    }

    fn levels(findings: &[Finding]) -> Vec<(&str, FindingLevel)> {
        findings.iter().map(|finding| (finding.check.as_str(), finding.level())).collect()
    }

    #[tokio::test]
    async fn a_store_that_does_what_it_should_is_left_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = Archive::open(&folder.path().join("a").display().to_string()).expect("opens");
        let findings = store(&archive, "1", now_ms).await;
        assert!(findings.len() >= 4, "{findings:?}");
        for check in ["store", "conditional put", "clock"] {
            assert!(levels(&findings).contains(&(check, FindingLevel::Fine)), "{findings:?}");
        }
        assert!(archive.list("").await.expect("lists").is_empty());
        let late = store(&archive, "2", || now_ms() - 3_600_000).await;
        assert!(levels(&late).contains(&("clock", FindingLevel::Wrong)), "{late:?}");
    }

    #[tokio::test]
    async fn a_store_that_refuses_is_found() {
        let (faulty, archive) = Faulty::archive();
        faulty.next([Write::Fails]);
        let findings = store(&archive, "1", now_ms).await;
        assert_eq!(levels(&findings), [("store", FindingLevel::Wrong)]);
        assert!(findings[0].text.contains("503 Slow Down"), "{findings:?}");
    }

    /// A store that writes over what is there, whatever it is asked.
    #[derive(Debug, Default)]
    struct Overwrites(InMemory);

    impl fmt::Display for Overwrites {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Overwrites")
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Overwrites {
        async fn put_opts(
            &self,
            to: &Path,
            payload: PutPayload,
            options: PutOptions,
        ) -> object_store::Result<PutResult> {
            self.0.put_opts(to, payload, PutOptions { mode: PutMode::Overwrite, ..options }).await
        }

        async fn put_multipart_opts(
            &self,
            to: &Path,
            options: PutMultipartOptions,
        ) -> object_store::Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(to, options).await
        }

        async fn get_opts(&self, from: &Path, options: GetOptions) -> object_store::Result<GetResult> {
            self.0.get_opts(from, options).await
        }

        fn delete_stream(
            &self,
            paths: BoxStream<'static, object_store::Result<Path>>,
        ) -> BoxStream<'static, object_store::Result<Path>> {
            self.0.delete_stream(paths)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
            self.0.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn a_store_that_ignores_conditions_is_found() {
        let store_of_test = Arc::new(Overwrites::default());
        let archive = Archive::of_store("memory://overwrites/archive", store_of_test).expect("opens");
        let findings = store(&archive, "1", now_ms).await;
        assert!(levels(&findings).contains(&("conditional put", FindingLevel::Wrong)), "{findings:?}");
    }
}
