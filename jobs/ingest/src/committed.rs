//! What became of the files of an ingest: rows, rules, failures. Start at [`Committed`].

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, ErrorKind};
use tidewaiter_job::Rows;

use crate::{
    block::RowCounts,
    group::{Group, GroupReport, SourceStatus},
    tally::Tally,
};

/// Rules and failures that are named to people, at most.
pub(crate) const NAMED: usize = 10;

/// What was committed of several groups.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub(crate) rows: Rows,
    pub(crate) tally: Tally,
    pub(crate) failures: Vec<Failure>,
    /// Files that were ingested before, with their digests.
    pub(crate) known: Vec<(String, String)>,
    /// Rows of the table that made way for others.
    pub(crate) replaced: u64,
    /// Rows of the files that are not in force, because later ones are.
    #[serde(default)]
    pub(crate) outdated: u64,
    /// Groups that must be read again, because some of their files were ingested meanwhile.
    pub(crate) again: Vec<Group>,
}

/// The error of a file that was not ingested.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) error: String,
    pub(crate) kind: ErrorKind,
    /// Whether its rows are in quarantine.
    pub(crate) has_quarantine: bool,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        Self { error: error.chain(), kind: error.kind(), has_quarantine: false }
    }
}

impl Committed {
    /// Adds what was committed later, and gives the groups that must be read again.
    pub(crate) fn merge(&mut self, other: Self) -> Vec<Group> {
        self.rows.read += other.rows.read;
        self.rows.archived += other.rows.archived;
        self.rows.quarantined += other.rows.quarantined;
        self.tally.merge(other.tally);
        self.failures.extend(other.failures);
        self.known.extend(other.known);
        self.replaced += other.replaced;
        self.outdated += other.outdated;
        other.again
    }

    fn count(&mut self, rows: RowCounts, tally: Tally) {
        let rows = Rows { read: rows.read, archived: rows.archived, quarantined: rows.quarantined };
        self.merge(Self { rows, tally, ..Self::default() });
    }

    /// Counts the files of a group that was committed.
    pub(crate) fn count_group(&mut self, report: GroupReport) {
        for (file, source) in report.group.files.into_iter().zip(report.sources) {
            match source {
                SourceStatus::AlreadyThere { digest } => self.known.push((file, digest)),
                SourceStatus::Read { rows, tally, .. } => {
                    self.failures.extend(put_aside(&file, rows, &tally));
                    self.count(rows, tally);
                }
                SourceStatus::Failed { error, kind } => {
                    self.failures.push(Failure { error, kind, has_quarantine: false });
                }
            }
        }
    }
}

/// The failure of a file none of whose rows is archived.
pub(crate) fn put_aside(file: &str, rows: RowCounts, tally: &Tally) -> Option<Failure> {
    if rows.archived > 0 || rows.quarantined == 0 {
        return None;
    }
    let rules = tally.frequent();
    let named = rules.iter().take(NAMED).map(|(rule, count)| format!("{count} × {rule}")).collect::<Vec<_>>();
    let error = format!(
        "{file}: all {} rows are put aside ({}); first: {}; correct the mapping or the file and ingest it again",
        rows.quarantined,
        named.join(", "),
        tally.first.as_deref().unwrap_or("unknown")
    );
    Some(Failure { error, kind: ErrorKind::Corrupt, has_quarantine: true })
}
