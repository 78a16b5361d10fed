//! The commit of an ingest: rows, quarantined rows and sources become visible together, and what they take the place of
//! goes in the same moment.
//!
//! What leaves is worked out for one state of the tables; where somebody else has changed it meanwhile, the commit is
//! refused and worked out again. A commit has a name and takes place once, so that a job that is taken up again repeats
//! it without harm. Start at [`Tables::commit`].

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use datafusion::{
    functions_aggregate::expr_fn::count,
    logical_expr::{cast as cast_to, col, lit},
    prelude::SessionContext,
};
use tidewaiter_archive::{
    Archive, DataFile, Table,
    schema::{Layout, SOURCE, with_lineage},
    table::{Change, SourceChange, SourceState, commit_group},
};
use tidewaiter_core::{Error, ErrorKind, Period, Result, answers};

use crate::{
    amendment::{Newest, amended},
    group::{GroupReport, SourceStatus},
    quarantine_table::{self, INGESTED_AT, QUARANTINE, quarantine_table_schema},
    refusals::{
        ReadSource, is_in, refuse_emptied, refuse_emptied_months, refuse_other_months, refuse_replaced,
        refuse_twice, refuse_without_number, rows_by_month,
    },
    removal::{Rewritten, Written, scan, without_sources},
    sources::{self, SOURCES, SourceRecord, sources_schema},
};

/// How often a commit is worked out again because somebody else has changed the tables.
const ROUNDS: usize = 5;

/// What becomes of rows that the archive has of the same sources or months.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A source of which it has rows is left alone.
    New,
    /// The rows of a source make way for those that are read of it now.
    Again,
    /// So do all rows of the country in these months.
    Months(Period),
    /// A source of which the table has rows is left alone; of others, each row takes the place of those with its key.
    Amend,
}

impl Mode {
    /// Whether files are read of which the table has rows.
    pub(crate) fn reads_known(&self) -> bool {
        matches!(self, Self::Again | Self::Months(_))
    }

    /// Whether files are read whose rows were taken out on purpose.
    pub(crate) fn reads_forgotten(&self) -> bool {
        *self != Self::New
    }

    /// What the history of the tables calls the commit.
    fn operation(&self) -> &'static str {
        match self {
            Self::New => "ingest",
            Self::Again => "ingest again",
            Self::Months(_) => "replace months",
            Self::Amend => "amend",
        }
    }
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It took place.
    Done {
        /// Rows of the table that made way for it.
        replaced: u64,
        /// Rows of the files that are not in force, because later ones are.
        outdated: u64,
    },
    /// The table has got rows of some of the sources meanwhile.
    Again,
}

/// What of the sources of a commit is the same for all.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) country: String,
    pub(crate) mapping_digest: String,
    pub(crate) mapping: String,
    pub(crate) job: String,
    pub(crate) ingested_us: i64,
    /// The number of the job's first file as a source.
    pub(crate) first_source: i32,
}

/// The tables that an ingest changes.
pub(crate) struct Tables {
    pub(crate) layout: &'static Layout,
    pub(crate) rows: Table,
    pub(crate) quarantine: Table,
    pub(crate) sources: Table,
    /// Bytes of rows and buffers that one task may hold.
    pub(crate) memory_bytes: u64,
}

/// What leaves the tables.
#[derive(Debug, Default)]
struct Leaving {
    rows: Rewritten,
    quarantine: Rewritten,
    sources: Rewritten,
    /// Sources some or all of whose rows leave, as they are recorded then.
    kept: Vec<SourceRecord>,
    /// What comes instead of the new rows, where some of them are not in force.
    newest: Option<Newest>,
}

impl Tables {
    /// The tables of an archive, which are made where there are none.
    ///
    /// # Errors
    /// Those of [`Table::open_or_create`].
    pub(crate) async fn open(archive: &Archive, layout: &'static Layout, memory_bytes: u64) -> Result<Self> {
        let columns = with_lineage(&(layout.schema)());
        let (of_quarantine, of_sources) = (quarantine_table_schema(), sources_schema());
        // Each reads the newest state of its log, and the first task of the job waits for all of them.
        let (rows, quarantine, sources) = tokio::try_join!(
            Table::open_or_create(archive, layout.table, &columns),
            Table::open_or_create(archive, QUARANTINE, &of_quarantine),
            Table::open_or_create(archive, SOURCES, &of_sources),
        )?;
        Ok(Self { layout, rows, quarantine, sources, memory_bytes })
    }

    /// The tables of an archive, where it has them; nothing is made.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn existing(
        archive: &Archive,
        layout: &'static Layout,
        memory_bytes: u64,
    ) -> Result<Option<Self>> {
        let opened = tokio::try_join!(
            Table::open(archive, layout.table),
            Table::open(archive, QUARANTINE),
            Table::open(archive, SOURCES),
        );
        match opened {
            Ok((rows, quarantine, sources)) => {
                Ok(Some(Self { layout, rows, quarantine, sources, memory_bytes }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn archive(&self) -> &Archive {
        self.rows.archive()
    }

    /// Commits what was written of groups of files. `id` is the name of the commit.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] where rows are not of the months that they replace, or a file is among them twice;
    /// [`ErrorKind::NotFound`] where the rows of a source that is read again have no number of a source; those of the
    /// store and of queries.
    pub(crate) async fn commit(
        &self,
        session: &SessionContext,
        id: &str,
        origin: &Origin,
        reports: &[GroupReport],
        mode: &Mode,
    ) -> Result<Committed> {
        let read = read_sources(origin, reports);
        if read.is_empty() {
            return Ok(Committed::Done { replaced: 0, outdated: 0 });
        }
        refuse_twice(&read)?;
        let adds: Vec<DataFile> = reports.iter().flat_map(|report| report.files.clone()).collect();
        let quarantine: Vec<DataFile> = reports.iter().flat_map(|report| report.quarantine.clone()).collect();
        let added = rows_by_month(&adds);
        if let Mode::Months(months) = mode {
            refuse_other_months(&added, months)?;
        }
        let digests: Vec<&str> = read.iter().map(|source| source.digest).collect();
        for round in 0..ROUNDS {
            let revisions = self.rows.revisions(&digests).await?;
            let of_state = |state: SourceState| {
                let pairs = digests.iter().zip(&revisions);
                pairs.filter(move |(_, revision)| revision.state() == state).map(|(digest, _)| *digest)
            };
            let archived: Vec<&str> = of_state(SourceState::Archived).collect();
            let known: Vec<&str> = archived.iter().copied().chain(of_state(SourceState::PutAside)).collect();
            let may_be_done = !known.is_empty() || matches!(mode, Mode::Months(_) | Mode::Amend);
            if may_be_done && self.rows.was_made(id).await? {
                return Ok(Committed::Done { replaced: 0, outdated: 0 });
            }
            if !archived.is_empty() && !mode.reads_known() {
                return Ok(Committed::Again);
            }
            refuse_emptied(&read, &archived)?;
            let name = format!("{id}-{round}");
            let before = sources::with_digests(session, self.archive(), self.layout.table, &known).await?;
            match mode {
                Mode::Months(months) => {
                    let before = self.rows.snapshot(None).await?.files;
                    refuse_emptied_months(&before, &added, months, &origin.country)?;
                }
                _ => refuse_without_number(&archived, &before, self.layout.table)?,
            }
            if *mode == Mode::Again {
                refuse_replaced(&before, self.layout.table)?;
            }
            let making_way = match mode {
                Mode::New | Mode::Again => MakingWay::Sources,
                Mode::Months(months) => MakingWay::Months(months, &origin.country),
                Mode::Amend => MakingWay::Keys(&adds),
            };
            let mut leaving = match (before.is_empty(), &making_way) {
                (true, MakingWay::Sources) => Leaving::default(),
                _ => self.leaving(session, &before, &making_way, &name).await?,
            };
            let mut changes = Vec::with_capacity(read.len());
            for (source, from) in read.iter().zip(revisions) {
                let is_archived = source.rows.archived > 0 || source.rows.read == 0;
                let to = if is_archived { SourceState::Archived } else { SourceState::PutAside };
                changes.push(SourceChange { digest: source.digest.to_owned(), from: Some(from), to });
            }
            let (adds, outdated) = match leaving.newest.take() {
                Some(Newest { adds, outdated }) => (adds, outdated),
                None => (adds.clone(), BTreeMap::new()),
            };
            let record = |source| self.record(origin, source, &outdated);
            let records: Vec<SourceRecord> = read.iter().map(record).collect();
            let replaced = leaving.rows.rows();
            let new = New { adds, quarantine: quarantine.clone(), records };
            match self.change(&name, id, mode.operation(), new, changes, leaving).await {
                Ok(()) => {
                    let outdated = outdated.values().map(|rows| rows.unsigned_abs()).sum();
                    return Ok(Committed::Done { replaced, outdated });
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("other jobs change the same sources; run this again when they are over"))
    }

    /// Takes sources out of the archive: their rows, quarantined rows and records. Gives the rows that left the table.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when others change the same tables; those of the store and of queries.
    pub(crate) async fn forget(
        &self,
        session: &SessionContext,
        id: &str,
        records: &[SourceRecord],
    ) -> Result<u64> {
        for round in 0..ROUNDS {
            if self.rows.was_made(id).await? {
                return Ok(records.iter().map(|record| record.archived.unsigned_abs()).sum());
            }
            // Several sources can have the same bytes.
            let digests: BTreeSet<&str> = records.iter().map(|record| record.digest.as_str()).collect();
            let digests: Vec<&str> = digests.into_iter().collect();
            let revisions = self.rows.revisions(&digests).await?;
            let forget = |(digest, from): (&&str, _)| SourceChange {
                digest: (*digest).to_owned(),
                from: Some(from),
                to: SourceState::Unknown,
            };
            let changes = digests.iter().zip(revisions).map(forget).collect();
            let name = format!("{id}-{round}");
            let leaving = self.leaving(session, records, &MakingWay::Sources, &name).await?;
            let rows = leaving.rows.rows();
            match self.change(&name, id, "forget", New::default(), changes, leaving).await {
                Ok(()) => return Ok(rows),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::conflict("other jobs change the same sources; run this again when they are over"))
    }

    fn record(
        &self,
        origin: &Origin,
        source: &ReadSource<'_>,
        outdated: &BTreeMap<i32, i64>,
    ) -> SourceRecord {
        let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let outdated = outdated.get(&source.number).copied().unwrap_or(0);
        SourceRecord {
            number: source.number,
            country: origin.country.clone(),
            table: self.layout.table.to_owned(),
            file: source.file.to_owned(),
            digest: source.digest.to_owned(),
            mapping_digest: origin.mapping_digest.clone(),
            mapping: origin.mapping.clone(),
            job: origin.job.clone(),
            ingested_us: origin.ingested_us,
            read: count(source.rows.read),
            archived: count(source.rows.archived) - outdated,
            quarantined: count(source.rows.quarantined),
            replaced: outdated,
        }
    }

    /// What leaves the tables when some sources do, and other rows make way.
    async fn leaving(
        &self,
        session: &SessionContext,
        sources: &[SourceRecord],
        making_way: &MakingWay<'_>,
        name: &str,
    ) -> Result<Leaving> {
        let mut numbers: BTreeSet<i32> = sources.iter().map(|record| record.number).collect();
        let snapshot = self.rows.snapshot(None).await?;
        let rows = self.rows_written();
        let mut leaving = Leaving::default();
        let counted = match making_way {
            MakingWay::Sources => BTreeMap::new(),
            MakingWay::Months(months, country) => {
                let makes_way =
                    |file: &&DataFile| file.country == **country && is_in((file.year, file.month), months);
                leaving.rows.removes = snapshot.files.iter().filter(makes_way).cloned().collect();
                count_sources(session, &rows, &snapshot.schema, &leaving.rows.removes).await?
            }
            MakingWay::Keys(new) => {
                let amended = amended(session, &rows, &snapshot, self.layout.key, new, name).await?;
                leaving.rows = amended.rewritten;
                leaving.newest = amended.newest;
                amended.by_source
            }
        };
        let gone: BTreeSet<&str> = leaving.rows.removes.iter().map(|file| file.path.as_str()).collect();
        let others = snapshot.files.iter().filter(|file| !gone.contains(file.path.as_str()));
        let others: Vec<DataFile> = others.cloned().collect();
        let of_sources = without_sources(session, &rows, &snapshot.schema, &others, &numbers, name).await?;
        leaving.rows.removes.extend(of_sources.removes);
        leaving.rows.adds.extend(of_sources.adds);
        let mut emptied: Vec<i32> = Vec::new();
        let others: Vec<i32> = counted.keys().copied().filter(|number| !numbers.contains(number)).collect();
        if !others.is_empty() {
            let values = others.iter().map(|number| lit(*number));
            for mut record in sources::with_values(session, self.archive(), SOURCE, values).await? {
                let rows = counted.get(&record.number).copied().unwrap_or(0);
                record.archived -= rows;
                record.replaced += rows;
                // What was put aside of an amended source was not amended. A source all of whose rows made way stays known.
                if record.archived == 0 && matches!(making_way, MakingWay::Months(..)) {
                    record.replaced += std::mem::take(&mut record.quarantined);
                    emptied.push(record.number);
                }
                leaving.kept.push(record);
            }
        }
        numbers.extend(emptied);
        let snapshot = self.quarantine.snapshot(None).await?;
        let own = self.own(&self.quarantine, quarantine_table::SORT_COLUMNS);
        leaving.quarantine =
            without_sources(session, &own, &snapshot.schema, &snapshot.files, &numbers, name).await?;
        numbers.extend(leaving.kept.iter().map(|record| record.number));
        let snapshot = self.sources.snapshot(None).await?;
        let own = self.own(&self.sources, sources::SORT_COLUMNS);
        leaving.sources =
            without_sources(session, &own, &snapshot.schema, &snapshot.files, &numbers, name).await?;
        Ok(leaving)
    }

    /// The table of the rows, and how its files are written.
    pub(crate) fn rows_written(&self) -> Written<'_> {
        Written {
            table: &self.rows,
            date_column: self.layout.date_column,
            sort_columns: self.layout.sort_columns,
            memory_bytes: self.memory_bytes,
        }
    }

    fn own<'a>(&self, table: &'a Table, sort_columns: &'a [&'a str]) -> Written<'a> {
        Written { table, date_column: INGESTED_AT, sort_columns, memory_bytes: self.memory_bytes }
    }

    /// Makes the change: new files and sources come, others leave.
    async fn change(
        &self,
        name: &str,
        id: &str,
        operation: &str,
        new: New,
        changes: Vec<SourceChange>,
        leaving: Leaving,
    ) -> Result<()> {
        let New { adds, quarantine, mut records } = new;
        let Leaving { rows, quarantine: aside, sources, kept, newest: _ } = leaving;
        records.extend(kept);
        let records = sources::write(self.archive(), name, &records).await?;
        let change = |adds: Vec<DataFile>, rewritten: Rewritten, sources: Vec<SourceChange>| Change {
            adds: [adds, rewritten.adds].concat(),
            removes: rewritten.removes,
            sources,
            operation: operation.to_owned(),
            changes_rows: true,
            once: None,
        };
        let mut parts = vec![(&self.rows, change(adds, rows, changes))];
        if !(quarantine.is_empty() && aside.removes.is_empty()) {
            parts.push((&self.quarantine, change(quarantine, aside, Vec::new())));
        }
        if !(records.is_empty() && sources.removes.is_empty()) {
            parts.push((&self.sources, change(records, sources, Vec::new())));
        }
        commit_group(self.archive(), id, parts).await.map(|_| ())
    }
}

/// The rows, beside those of sources, that make way for new ones.
enum MakingWay<'a> {
    /// None.
    Sources,
    /// All of a country in some months.
    Months(&'a Period, &'a str),
    /// Those with the keys of the rows of these files.
    Keys(&'a [DataFile]),
}

/// What comes into the tables.
#[derive(Debug, Default)]
struct New {
    adds: Vec<DataFile>,
    quarantine: Vec<DataFile>,
    records: Vec<SourceRecord>,
}

/// The files of groups that were read.
fn read_sources<'a>(origin: &Origin, reports: &'a [GroupReport]) -> Vec<ReadSource<'a>> {
    let mut read = Vec::new();
    for report in reports {
        let places = report.group.number..;
        for ((place, file), status) in places.zip(&report.group.files).zip(&report.sources) {
            if let SourceStatus::Read { rows, digest, .. } = status {
                let number = origin.first_source.saturating_add(i32::try_from(place).unwrap_or(i32::MAX));
                read.push(ReadSource { number, file, rows: *rows, digest });
            }
        }
    }
    read
}

/// The number of rows of each source in files of a table.
async fn count_sources(
    session: &SessionContext,
    written: &Written<'_>,
    schema: &SchemaRef,
    files: &[DataFile],
) -> Result<BTreeMap<i32, i64>> {
    if files.is_empty() || schema.index_of(SOURCE).is_err() {
        return Ok(BTreeMap::new());
    }
    let rows = scan(session, written, schema, files)?.filter(col(SOURCE).is_not_null())?;
    let source = cast_to(col(SOURCE), arrow::datatypes::DataType::Int64).alias("number");
    let counted =
        rows.select(vec![source])?.aggregate(vec![col("number")], vec![count(lit(1)).alias("n")])?;
    let answer = answers::one_batch(counted).await?;
    answers::rows(&answer)
        .map(|row| {
            let of = |name: &str| answers::count(&answer, name, row);
            let number = i32::try_from(of("number")?).unwrap_or(i32::MAX);
            Ok((number, i64::try_from(of("n")?).unwrap_or(i64::MAX)))
        })
        .collect()
}
