//! Commits that carry a digest of themselves, so that damage of the log is found.
//!
//! [`SealedLog`] stands before the store of a table's log and adds to each commit, where it begins, the digest of the
//! rest. To Delta it is one more field of `commitInfo`, which every reader passes over. What is absent: checkpoints,
//! which Delta writes by another way; [`super::log`] has their digests. Start at [`check`].

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

use crate::upload::digest;

/// What a commit begins with.
const BEGIN: &[u8] = b"{\"commitInfo\":{";

/// What stands before and after the digest of a sealed commit.
const BEFORE: &[u8] = b"{\"commitInfo\":{\"tidewaiterSeal\":\"crc32:";
const AFTER: &[u8] = b"\",";

/// The hexadecimal digits of a digest.
const DIGITS: usize = 8;

/// A store that seals the commits of a table's log.
#[derive(Debug)]
pub(super) struct SealedLog(pub(super) Arc<dyn ObjectStore>);

/// What the bytes of a commit say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seal {
    /// They are those that were written.
    Whole,
    /// They are not.
    Broken,
    /// Nothing: an older version or another program wrote them.
    Absent,
}

/// Compares a commit with its seal.
pub(super) fn check(commit: &[u8]) -> Seal {
    let (digits, after) = (BEFORE.len(), BEFORE.len() + DIGITS);
    let Some((head, rest)) = commit.split_at_checked(after + AFTER.len()) else { return Seal::Absent };
    if &head[..digits] != BEFORE || &head[after..] != AFTER {
        // A seal that is damaged itself still looks much like one.
        let frame = [BEFORE, &[0; DIGITS], AFTER].concat();
        let same = frame.iter().zip(head).filter(|(a, b)| a == b).count();
        return if same + DIGITS + 2 >= frame.len() { Seal::Broken } else { Seal::Absent };
    }
    let wanted = digest([BEGIN, rest]);
    if wanted.as_bytes().ends_with(&head[digits..after]) { Seal::Whole } else { Seal::Broken }
}

/// The commit with its seal; as it is where it begins in another way.
fn sealed(commit: &[u8]) -> Vec<u8> {
    match commit.strip_prefix(BEGIN).filter(|rest| !rest.starts_with(b"}")) {
        None => commit.to_vec(),
        Some(rest) => {
            let digest = digest([commit]);
            let digits = &digest.as_bytes()[digest.len() - DIGITS..];
            [BEFORE, digits, AFTER, rest].concat()
        }
    }
}

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
        let payload = if is_commit(to) { sealed(&Bytes::from(payload)).into() } else { payload };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_of_a_sealed_commit_is_found() {
        let commit =
            b"{\"commitInfo\":{\"timestamp\":17960,\"operation\":\"WRITE\"}}\n{\"add\":{\"size\":3}}\n";
        assert_eq!(check(commit), Seal::Absent);
        let sealed = sealed(commit);
        assert_eq!(check(&sealed), Seal::Whole);
        let info: serde_json::Value =
            serde_json::from_slice(sealed.split(|byte| *byte == b'\n').next().expect("a line"))
                .expect("JSON");
        assert_eq!(info["commitInfo"]["operation"], "WRITE");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&damaged), Seal::Broken, "bit {bit}");
        }
        assert_eq!(check(&sealed[..sealed.len() - 1]), Seal::Broken);
        assert_eq!(check(b""), Seal::Absent);
    }
}
