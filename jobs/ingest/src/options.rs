//! How the files of a task are ingested. Start at [`Options`].

use tidewaiter_archive::{
    Table, WriterSettings,
    table::{Revision, SourceState},
};
use tidewaiter_core::Result;

/// How the files of a group are ingested.
pub(crate) struct Options<'a> {
    /// The name with which its data files begin.
    pub(crate) name: &'a str,
    /// The job.
    pub(crate) job: &'a str,
    /// The time of the job, in microseconds since 1970-01-01 UTC.
    pub(crate) ingested_us: i64,
    /// The number of the group's first file as a source; the others follow.
    pub(crate) first_source: i32,
    pub(crate) settings: WriterSettings,
    /// The largest share of a file's rows that may fail a check.
    pub(crate) most_quarantined: f64,
    /// Whether files are read that the table has rows of.
    pub(crate) again: bool,
    /// Whether files are read whose rows were taken out on purpose.
    pub(crate) forgotten: bool,
    /// Is called with the number of new rows.
    pub(crate) progress: &'a (dyn Fn(u64) + Sync),
}

impl Options<'_> {
    /// Those of the digests whose files are not read: the table has rows of them, or had some until they were forgotten.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn left_alone(&self, table: &Table, digests: &[String]) -> Result<Vec<String>> {
        if self.again {
            return Ok(Vec::new());
        }
        let named: Vec<&str> = digests.iter().map(String::as_str).collect();
        let revisions = table.revisions(&named).await?;
        let is_left = |revision: Revision| {
            revision.state() == SourceState::Archived || (revision.was_forgotten() && !self.forgotten)
        };
        let left = digests.iter().zip(revisions).filter(|(_, revision)| is_left(*revision));
        Ok(left.map(|(digest, _)| digest.clone()).collect())
    }
}
