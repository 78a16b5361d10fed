//! The repository's files, and their code without comments and text.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file by its path from the repository's root, with `/`.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether all of it is compiled for tests only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

/// The source with comments and the insides of literals blanked, line ends kept.
pub(crate) fn code_of(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source.as_bytes()[at..];
        let length = if rest.starts_with(b"//") {
            rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            rest.windows(2).position(|pair| pair == b"*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_literal(rest, at.checked_sub(1).map(|before| bytes[before])) {
            length
        } else if rest[0] == b'"' || (rest[0] == b'\'' && is_character(rest)) {
            literal(rest)
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length.max(1);
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// The length of a raw string at the start, unless `r` ends a word there.
fn raw_literal(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| (byte.is_ascii_alphanumeric() && byte != b'b') || byte == b'_') {
        return None;
    }
    let hashes = rest.strip_prefix(b"r")?.iter().take_while(|byte| **byte == b'#').count();
    (rest.get(hashes + 1) == Some(&b'"')).then(|| {
        let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
        let inside = &rest[hashes + 2..];
        let end = inside.windows(close.len()).position(|window| window == close);
        end.map_or(rest.len(), |end| hashes + 2 + end + close.len())
    })
}

/// Whether a quote opens a character and not a lifetime.
fn is_character(rest: &[u8]) -> bool {
    match rest.get(1..) {
        Some([b'\\', ..]) => true,
        Some([first, second, ..]) => *second == b'\'' || !first.is_ascii(),
        _ => false,
    }
}

/// The length of a quoted literal.
fn literal(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != rest[0] {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The repository's sources and documents.
pub(crate) fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root is there");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree") {
            let path: PathBuf = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                // What git ignores, git's own, and data.
                let left_out = ["target", "archive", "bench-data"].contains(&name.as_str())
                    && (folder == root || name == "target");
                if !left_out && name != ".git" {
                    folders.push(path);
                }
            } else if [".rs", ".toml", ".proto", ".md"].iter().any(|ending| name.ends_with(ending)) {
                let inside = path.strip_prefix(&root).expect("it is below the root").to_string_lossy();
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                files.push(File { path: inside.replace('\\', "/"), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
