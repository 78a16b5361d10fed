//! The files of an ingest: files, folders with all that is below them, and names with `*`. Start at [`list`].

use std::{fs, path::Path};

use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::{Roots, is_url};

/// Files and bytes of files that one task reads, at most; a larger file is a task of its own.
const TASK: (usize, u64) = (512, 64 << 20);

/// A file and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) bytes: u64,
}

/// The files of the names, in their order; those of a folder or a pattern in the order of their names. Hidden files are
/// passed over. None leads out of the roots.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] for a name without a file; [`tidewaiter_core::ErrorKind::Input`] for a URL.
pub(super) fn list(named: &[String], roots: &Roots) -> Result<Vec<Listed>> {
    let mut files = Vec::new();
    for name in named {
        if is_url(name) {
            return Err(Error::input(format!(
                "{name} is in an object store; copy its messages to files first"
            )));
        }
        let before = files.len();
        let path = Path::new(name);
        match path.file_name().and_then(|name| name.to_str()).filter(|name| name.contains('*')) {
            Some(pattern) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                for entry in entries(folder.unwrap_or(Path::new(".")))? {
                    if file_name(&entry).is_some_and(|name| matches(pattern, name)) {
                        add(Path::new(&roots.resolve(&entry)?), &mut files)?;
                    }
                }
            }
            None => add(path, &mut files)?,
        }
        if files.len() == before {
            return Err(Error::not_found(format!("there is no file in {name}")));
        }
    }
    Ok(files)
}

fn add(path: &Path, files: &mut Vec<Listed>) -> Result<()> {
    let metadata = fs::metadata(path).context(|| format!("read {}", path.display()))?;
    if !metadata.is_dir() {
        files.push(Listed { path: path.display().to_string(), bytes: metadata.len() });
        return Ok(());
    }
    for entry in entries(path)? {
        add(Path::new(&entry), files)?;
    }
    Ok(())
}

/// What is in a folder, in the order of its names.
fn entries(folder: &Path) -> Result<Vec<String>> {
    let doing = || format!("list {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).context(doing)? {
        let path = entry.context(doing)?.path();
        let path = path.into_os_string().into_string();
        let path =
            path.map_err(|path| Error::input(format!("{} is not text in UTF-8; rename it", path.display())))?;
        if file_name(&path).is_some_and(|name| !name.starts_with('.')) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn file_name(path: &str) -> Option<&str> {
    Path::new(path).file_name()?.to_str()
}

/// Whether a name is of a pattern in which each `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

/// Files in tasks for `at_once` partitions, each of files that follow each other.
pub(super) fn tasks<T>(files: Vec<(T, u64)>, at_once: usize) -> Vec<Vec<T>> {
    let most = files.len().div_ceil(at_once.max(1) * 4).clamp(1, TASK.0);
    let (mut tasks, mut open, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (file, size) in files {
        open.push(file);
        bytes += size;
        if open.len() == most || bytes >= TASK.1 {
            tasks.push(std::mem::take(&mut open));
            bytes = 0;
        }
    }
    if !open.is_empty() {
        tasks.push(open);
    }
    tasks
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::ErrorKind;

    use super::*;

    #[test]
    fn files_of_folders_and_patterns_are_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(path("b")).expect("made");
        for name in ["b/2.edi", "b/1.edi", "a.edi", ".hidden", "c.txt"] {
            fs::write(path(name), "x").expect("written");
        }
        let names = |named: &[String]| -> Vec<String> {
            list(named, &Roots::Anywhere).expect("lists").into_iter().map(|file| file.path).collect()
        };
        let all = [path("a.edi"), path("b/1.edi"), path("b/2.edi"), path("c.txt")];
        assert_eq!(names(&[folder.path().display().to_string()]), all);
        assert_eq!(names(&[path("c.txt"), path("*.edi")]), [path("c.txt"), path("a.edi")]);
        for missing in ["d.edi", "x*"] {
            let error = list(&[path(missing)], &Roots::Anywhere).expect_err("there is none");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn small_files_share_a_task_and_a_large_one_ends_it() {
        let files = (0..100).map(|number| (number, if number == 50 { TASK.1 } else { 1 })).collect();
        let made = tasks(files, 2);
        assert!(made.len() == 8 && made.iter().all(|task| task.len() <= 13), "{made:?}");
        assert_eq!(made.concat(), (0..100).collect::<Vec<_>>());
        assert!(made.iter().any(|task| task.last() == Some(&50)));
    }
}
