//! Where a task puts what is larger than its memory: files on its machine's disk, deleted when nobody holds them.
//!
//! A task of a query has the folder and the limit of its engine's spills, so that on an executor its files lie in the
//! executor's work folder, whose next process deletes what a lost one left. What runs outside a task has the system's
//! temporary files. Start at [`Disk::current`].

use std::{
    fmt,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use datafusion::execution::{
    DiskManager, SpillFile, SpillWriter, TaskContext, disk_manager::DiskManagerBuilder,
};

use crate::{Error, Result};

tokio::task_local! {
    static OF_TASK: Disk;
}

/// The disk of a task. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Disk(Arc<DiskManager>);

impl Disk {
    /// The disk of a task of a query.
    pub fn of_task(task: &TaskContext) -> Self {
        Self(Arc::clone(&task.runtime_env().disk_manager))
    }

    /// The disk of the task that this future belongs to ([`within`]); the system's temporary files where it is none's.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn current() -> Result<Self> {
        match OF_TASK.try_with(Self::clone) {
            Ok(disk) => Ok(disk),
            Err(_) => Ok(Self(Arc::new(DiskManagerBuilder::default().build()?))),
        }
    }

    /// A new, empty file for `purpose`, such as `the shard 3 of a fit`.
    ///
    /// # Errors
    /// Those of the file system; [`crate::ErrorKind::Internal`] when the engine was given no disk.
    pub fn file(&self, purpose: &str) -> Result<DiskFile> {
        let file = self.0.create_tmp_file(purpose)?;
        file.path().ok_or_else(|| Error::internal(format!("{purpose}: the engine has no files")))?;
        Ok(DiskFile(file))
    }

    /// How many files there are, of all tasks of the engine.
    pub fn files(&self) -> usize {
        self.0.spilling_progress().active_files_count
    }
}

/// Runs a future whose files lie on a task's disk.
pub async fn within<F: Future>(disk: Disk, future: F) -> F::Output {
    OF_TASK.scope(disk, future).await
}

/// A file, deleted when the last of its clones is dropped.
#[derive(Clone)]
pub struct DiskFile(Arc<dyn SpillFile>);

impl DiskFile {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        // It has one, or it would not have been made.
        self.0.path().unwrap_or(Path::new(""))
    }

    /// What writes to its end, up to the engine's limit for all its files.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn writer(&self) -> Result<DiskWriter> {
        Ok(DiskWriter(self.0.open_writer()?))
    }
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DiskFile").field(&self.path()).finish()
    }
}

/// Writes to a file.
pub struct DiskWriter(Box<dyn SpillWriter>);

impl Write for DiskWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_file_lies_on_the_disk_of_its_task_and_goes_with_its_last_holder() {
        let task = TaskContext::default();
        let disk = Disk::of_task(&task);
        let file = within(disk.clone(), async { Disk::current()?.file("a test") }).await.expect("a file");
        assert_eq!(disk.files(), 1, "it is the task's");
        let mut writer = file.writer().expect("opens");
        writer.write_all(b"rows").and_then(|()| writer.flush()).expect("written");
        let (path, other) = (file.path().to_owned(), file.clone());
        drop((file, writer));
        assert_eq!(fs::read(&path).expect("it is there"), b"rows");
        drop(other);
        assert!(!path.exists() && disk.files() == 0);
        let outside = Disk::current().expect("the system's").file("a test").expect("a file");
        assert!(outside.path().exists() && disk.files() == 0);
    }
}
