//! How the files of a task are ingested. Start at [`Options`].

use tidewaiter_archive::WriterSettings;

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
    /// Is called with the number of new rows.
    pub(crate) progress: &'a (dyn Fn(u64) + Sync),
}
