//! Where an executor keeps shuffled rows and spills: a folder of its own.
//!
//! It lies in the folder that the operator gave, so that nothing else there is ever deleted, or among the system's
//! temporary files. The files of a query lie in a folder of its name. What an earlier executor left is deleted: spills
//! when this one starts, the files of queries when the scheduler says that nobody wants them. Start at [`Folder::open`].

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::error::Error;

/// The name of the folder in the one that the operator gave.
const NAME: &str = "tidewaiter-executor";

/// How the folders of the engine's spills begin.
const SPILLS: &str = "datafusion-";

/// A folder that this process alone works in.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The folder itself, locked while the executor lives.
    _lock: File,
    /// Deletes a temporary folder in the end.
    _temporary: Option<TempDir>,
}

impl Folder {
    /// The folder in `parent`, or a temporary one.
    ///
    /// # Errors
    /// [`Error::Options`] when it cannot be made, or another executor works in it.
    pub(crate) fn open(parent: Option<&Path>) -> Result<Self, Error> {
        let failed =
            |path: &Path, error: io::Error| Error::Options(format!("use {}: {error}", path.display()));
        let temporary = match parent {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(|error| failed(&std::env::temp_dir(), error))?),
        };
        let parent = temporary.as_ref().map(TempDir::path).or(parent).unwrap_or(Path::new("."));
        let path = parent.join(NAME);
        let lock = || {
            fs::create_dir_all(&path)?;
            File::open(&path)
        };
        let lock = lock().map_err(|error| failed(&path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let parent = parent.display();
                return Err(Error::Options(format!(
                    "another executor works in {parent}; give this one a --work-folder of its own"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path, error)),
        }
        let folder = Self { path, _lock: lock, _temporary: temporary };
        folder.folders().filter(|name| name.starts_with(SPILLS)).for_each(|name| folder.delete(&name));
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The queries of which there are files.
    pub(crate) fn queries(&self) -> Vec<String> {
        self.folders().filter(|name| !name.starts_with(SPILLS)).collect()
    }

    /// Deletes the files of a query.
    pub(crate) fn delete(&self, query: &str) {
        if !self.folders().any(|name| name == query) {
            return;
        }
        match fs::remove_dir_all(self.path.join(query)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(query, %error, "the files of a query stay for now");
            }
            _ => {}
        }
    }

    fn folders(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.filter_map(|entry| entry.file_name().into_string().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_executors_and_loses_what_nobody_wants() {
        let parent = tempfile::tempdir().expect("a folder");
        let of_others = parent.path().join("of-others");
        let inside = parent.path().join(NAME);
        for folder in
            [&of_others, &inside.join("datafusion-abc"), &inside.join("query"), &inside.join("other")]
        {
            fs::create_dir_all(folder).expect("made");
        }
        fs::write(inside.join("query/rows"), "rows").expect("written");
        let folder = Folder::open(Some(parent.path())).expect("it is free");
        let mut queries = folder.queries();
        queries.sort();
        assert_eq!(queries, ["other", "query"], "the spills are gone");
        let error = Folder::open(Some(parent.path())).expect_err("it is in use").to_string();
        assert!(error.contains("--work-folder"), "{error}");

        folder.delete("query");
        folder.delete("../of-others");
        folder.delete("absent");
        assert_eq!(folder.queries(), ["other"]);
        assert!(of_others.exists() && !inside.join("query").exists());
        drop(folder);
        Folder::open(Some(parent.path())).expect("it is free again");
    }

    #[test]
    fn a_temporary_folder_goes_with_its_executor() {
        let folder = Folder::open(None).expect("a folder");
        let path = folder.path().to_owned();
        assert!(path.exists());
        drop(folder);
        assert!(!path.exists());
    }
}
