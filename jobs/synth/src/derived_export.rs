//! Further exports of generated declarations, which other domains make.
//!
//! A domain registers a [`DerivedExport`] as an extension of the program ([`RegisteredExport`]). The generator's job
//! has an option for
//! it and, if it is chosen, passes it every batch of declarations; the export writes files of its own into the same
//! folder.

use std::path::Path;

use tidewaiter_core::Result;

use crate::batch::SynthBatch;

/// A domain's export of generated declarations.
pub trait DerivedExport: Send + Sync {
    /// Its name: the job's option, and its key in a pipeline's file.
    fn name(&self) -> &'static str;

    /// What it writes, for `--help`.
    fn about(&self) -> &'static str;

    /// Writes the files that do not depend on the months into the folder.
    ///
    /// # Errors
    /// Those of the file system.
    fn begin(&self, folder: &Path, country: &str) -> Result<()>;

    /// Begins a month (1 to 12) of a year.
    fn month(&self, seed: u64, year: i32, month: u32) -> Box<dyn DerivedExportMonth>;
}

/// One month of a [`DerivedExport`].
pub trait DerivedExportMonth {
    /// Takes the month's next declarations.
    ///
    /// # Errors
    /// When they cannot be used.
    fn take(&mut self, batch: &SynthBatch) -> Result<()>;

    /// Writes the month's files into the folder.
    ///
    /// # Errors
    /// Those of the file system.
    fn finish(self: Box<Self>, folder: &Path) -> Result<()>;
}

/// The type by which a domain registers its export, see [`tidewaiter_job::Domain::extensions`].
pub struct RegisteredExport(pub &'static dyn DerivedExport);
