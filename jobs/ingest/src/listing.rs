//! The files of an ingest: names with `*`, and groups of small files that are ingested together. Start at [`list`].

use std::path::Path;

use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::{Roots, is_url};

use crate::{group::Group, remote};

/// A job of so many files or fewer commits each file by itself.
const FEW_FILES: usize = 16;

/// The most bytes of a small file, as it is and compressed.
const SMALL_BYTES: (u64, u64) = (4 << 20, 256 << 10);

/// The most bytes and files of a group.
const GROUP_BYTES: u64 = 64 << 20;
const GROUP_FILES: usize = 4096;

/// The ends of the names of compressed files.
const COMPRESSED: [&str; 7] = ["gz", "zst", "bz2", "xz", "zip", "parquet", "pq"];

/// The files of the names, paths or URLs, in whose last part a `*` stands for anything; none leads out of the roots. It
/// blocks while a store is asked.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] for a pattern without a file; those of the roots.
pub(crate) fn list(named: &[String], roots: &Roots) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for name in named {
        let path = Path::new(name);
        let pattern = path.file_name().and_then(|name| name.to_str()).filter(|name| name.contains('*'));
        let Some(pattern) = pattern else {
            files.push(name.clone());
            continue;
        };
        if is_url(name) {
            let (folder, _) = name.rsplit_once('/').unwrap_or_default();
            let found = remote::list(folder, |name| matches(pattern, name))?;
            if found.is_empty() {
                return Err(Error::not_found(format!("no object is named {name}")));
            }
            files.extend(found);
            continue;
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).context(|| format!("list {}", folder.display()))? {
            let entry = entry.context(|| format!("list {}", folder.display()))?.path();
            if entry.file_name().and_then(|name| name.to_str()).is_some_and(|name| matches(pattern, name)) {
                found.push(roots.resolve(&entry.display().to_string())?);
            }
        }
        if found.is_empty() {
            return Err(Error::not_found(format!("no file is named {name}")));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// Whether a name is of a pattern in which each `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// Files in groups: large ones and few ones alone, small ones together, so that each of `tasks` has some.
pub(crate) fn grouped_files(files: &[String], tasks: usize) -> Vec<Group> {
    let few = files.len() <= FEW_FILES;
    // A file that cannot be looked at is named by its own error.
    let bytes = |file: &String| match few {
        true => u64::MAX,
        false => std::fs::metadata(file).map_or(u64::MAX, |metadata| metadata.len()),
    };
    let is_small = |file: &String, bytes: u64| {
        let end = Path::new(file).extension().and_then(|end| end.to_str()).unwrap_or_default();
        let is_compressed = COMPRESSED.iter().any(|known| end.eq_ignore_ascii_case(known));
        bytes <= if is_compressed { SMALL_BYTES.1 } else { SMALL_BYTES.0 }
    };
    let sizes: Vec<u64> = files.iter().map(bytes).collect();
    let small: u64 = files
        .iter()
        .zip(&sizes)
        .filter(|(file, bytes)| is_small(file, **bytes))
        .map(|(_, bytes)| bytes)
        .sum();
    let most_bytes = (small / tasks.max(1) as u64).clamp(1, GROUP_BYTES);
    let most_files = files.len().div_ceil(tasks.max(1)).clamp(1, GROUP_FILES);
    let mut groups: Vec<Group> = Vec::new();
    // The bytes of the last group, where more files may follow in it.
    let mut open: Option<u64> = None;
    for (number, (file, bytes)) in files.iter().zip(sizes).enumerate() {
        let small = is_small(file, bytes);
        match (groups.last_mut(), open) {
            (Some(group), Some(before))
                if small && before.saturating_add(bytes) <= most_bytes && group.files.len() < most_files =>
            {
                group.files.push(file.clone());
                open = Some(before + bytes);
            }
            _ => {
                groups.push(Group { number, files: vec![file.clone()] });
                open = small.then_some(bytes);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::ErrorKind;

    use super::*;

    #[test]
    fn a_star_stands_for_anything_in_a_files_name() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b-2.csv", "b-1.csv", "c-1.csv", "b-.txt"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        let listed = list(&[path("c-1.csv"), path("b-*.csv")], &Roots::Anywhere).expect("lists");
        assert_eq!(listed, [path("c-1.csv"), path("b-1.csv"), path("b-2.csv")]);
        let error = list(&[path("d-*.csv")], &Roots::Anywhere).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn every_star_of_a_pattern_stands_for_any_text() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("a*b*.csv", "a1b2.csv", true),
            ("a*b*.csv", "a1c2.csv", false),
            ("*.csv*", "x.csv.gz", true),
            ("ab*ba", "aba", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn many_small_files_are_grouped_and_large_or_few_ones_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |number: usize| folder.path().join(format!("{number:03}.csv")).display().to_string();
        let files: Vec<String> = (0..100).map(path).collect();
        for file in &files {
            std::fs::write(file, [0; 100]).expect("written");
        }
        std::fs::write(&files[50], vec![0; 5 << 20]).expect("written");
        let groups = grouped_files(&files, 2);
        assert!((3..6).contains(&groups.len()), "{groups:?}");
        assert!(groups.iter().any(|group| group.number == 50 && group.files.len() == 1));
        let again: Vec<String> = groups.iter().flat_map(|group| group.files.clone()).collect();
        assert_eq!(again, files);
        assert!(groups.iter().all(|group| group.files[0] == files[group.number]));
        assert_eq!(grouped_files(&files[..12], 2).len(), 12);
    }
}
