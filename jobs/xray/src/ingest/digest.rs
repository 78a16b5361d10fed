//! Digests of image files. Start at [`sha256`].

use sha2::{Digest, Sha256};

/// The SHA-256 of bytes, in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of files by theirs, in whatever order they are: the SHA-256 of the sorted lines of `sha256sum` without names.
pub(super) fn of_files<'a>(digests: impl IntoIterator<Item = &'a str>) -> String {
    let mut lines: Vec<String> = digests.into_iter().map(|digest| format!("{digest}\n")).collect();
    lines.sort_unstable();
    sha256(lines.concat().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_files_is_that_of_their_lines_in_any_order() {
        assert_eq!(of_files([]), sha256(b""));
        assert_eq!(of_files(["b", "a"]), sha256(b"a\nb\n"));
        assert_ne!(of_files(["a", "a"]), of_files(["a"]));
    }
}
