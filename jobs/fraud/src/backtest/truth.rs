//! The true outcomes of a backtest: files that a user gives, kept in the archive while the job runs.
//!
//! An item is identified by `acceptance_date`, `declaration_id` and `item_number`, the columns by which the rows of a
//! backtest are sorted. The files' rows are partitioned by month once ([`by_month`]) and then read, sorted a month at
//! a time, side by side with the declarations ([`TruthReader`]). Of several rows of one item, it is illicit if one of
//! them says so, with the largest revenue.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, AsArray, BooleanArray, Date32Array, Float64Array, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use chrono::NaiveDate;
use datafusion::{
    execution::TaskContext,
    prelude::{Expr, SessionContext, col, lit},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidewaiter_archive::{Archive, DataFile, provider, tasks, upload::upload, write_operator::WriteOperator};
use tidewaiter_core::{Error, Result, ResultExt, plan, threads::on_cpu};
use tidewaiter_job::Job;
use tidewaiter_proto::v1;
use tokio::{io::AsyncWriteExt, sync::mpsc::Receiver, task::JoinSet};

use crate::{calendar::date_literal, features::sorted_by_month};

/// The columns of true outcomes beside those of the declarations, null where the outcome is not known.
pub(super) const TRUTH: [&str; 2] = ["true_illicit", "true_revenue"];

/// The columns that a file must have, with their types.
fn columns() -> [(&'static str, DataType); 5] {
    [
        ("acceptance_date", DataType::Date32),
        ("declaration_id", DataType::Utf8),
        ("item_number", DataType::Int32),
        ("illicit", DataType::Boolean),
        ("additional_revenue", DataType::Float64),
    ]
}

/// Those of the columns that identify an item.
const ITEM: [&str; 3] = ["acceptance_date", "declaration_id", "item_number"];

pub(super) fn schema() -> SchemaRef {
    let fields = columns().map(|(name, kind)| Field::new(name, kind, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Checks the files' columns and copies the files into the job's folder, where every task can read them; gives their
/// paths and sizes.
pub(super) fn keep<'a>(
    job: &Job<'a>,
    files: &'a [String],
) -> impl Future<Output = Result<Vec<(String, u64)>>> + use<'a> {
    let (archive, folder) = (job.archive, job.work_folder().to_owned());
    async move {
        let mut kept = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let name = file.clone();
            on_cpu(move || check(&name)).await?;
            let path = format!("{folder}/truth-{number:04}.parquet");
            let size = copy(archive, file, &path).await.context(|| format!("copy the truth in {file}"))?;
            kept.push((path, size));
        }
        Ok(kept)
    }
}

/// Checks a file's columns, of which only the file's end tells.
fn check(file: &str) -> Result<()> {
    let opened = std::fs::File::open(file).context(|| format!("read the truth in {file}"))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened)
        .map_err(|error| Error::input(format!("{file} is no Parquet file")).with_source(error))?;
    for (name, kind) in columns() {
        let found = builder.schema().field_with_name(name).ok();
        if found.is_none_or(|field| field.data_type() != &kind) {
            return Err(Error::input(format!(
                "the truth in {file} has no column {name} of {kind}; a truth has acceptance_date (date), \
                 declaration_id (text), item_number (32-bit integer), illicit (flag) and \
                 additional_revenue (64-bit float)"
            )));
        }
    }
    Ok(())
}

/// Copies a file into the archive part by part, and gives its bytes.
async fn copy(archive: &Archive, file: &str, path: &str) -> Result<u64> {
    let mut from = tokio::fs::File::open(file).await?;
    let mut to = upload(archive, path);
    let size = tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await?;
    Ok(size)
}

/// Writes the files' rows up to a day into files of one month each, which are returned in the order of the months;
/// rows that lack a column of the identifier are left out. A task holds up to `memory` bytes of them.
pub(super) async fn by_month(
    session: &SessionContext,
    archive: &Archive,
    folder: &str,
    country: &str,
    memory: usize,
    (files, last): (&[(String, u64)], NaiveDate),
) -> Result<Vec<DataFile>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let files = files.iter().map(|(path, size)| v1::ParquetFile { path: path.clone(), size: *size });
    let rows = tasks::scan(session, archive, files.collect(), schema(), false)?;
    let named = ITEM.map(|name| col(name).is_not_null());
    let named = named.into_iter().fold(col(ITEM[0]).lt_eq(lit(date_literal(last))), Expr::and);
    let writer = WriteOperator::new(v1::WriteOperator {
        archive: archive.url().to_string(),
        table: folder.to_owned(),
        country: country.to_owned(),
        date_column: ITEM[0].to_owned(),
        sort_columns: ITEM[1..].iter().map(|name| (*name).to_owned()).collect(),
        name: "truth".to_owned(),
        memory_bytes: memory as u64,
    })?;
    let files = plan::reports::<Vec<DataFile>>(plan::apply(rows.filter(named)?, writer)?).await;
    let mut files = files.context(|| "divide the truth into months")?.concat();
    files.sort_by(|a, b| (a.month_number(), &a.path).cmp(&(b.month_number(), &b.path)));
    files.iter_mut().for_each(|file| file.path = format!("{folder}/{}", file.path));
    Ok(files)
}

/// The true outcome of an item, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TrueOutcome {
    pub(super) illicit: Option<bool>,
    pub(super) revenue: Option<f64>,
}

impl TrueOutcome {
    /// Merges two rows of one item.
    fn merge(self, other: Self) -> Self {
        Self {
            illicit: self.illicit.max(other.illicit),
            revenue: match (self.revenue, other.revenue) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            },
        }
    }
}

/// Looks true outcomes up in the files of [`by_month`], for items that come in the order of their identifiers.
pub(super) struct TruthReader {
    rows: Receiver<Result<RecordBatch>>,
    open: Option<OpenBatch>,
    /// The item that was looked up last, and its outcome.
    day: i32,
    declaration: String,
    item: i32,
    outcome: Option<TrueOutcome>,
}

/// A batch of the files' rows, and the next row of it.
struct OpenBatch {
    next: usize,
    days: Date32Array,
    declarations: StringArray,
    items: Int32Array,
    illicit: BooleanArray,
    revenue: Float64Array,
}

impl OpenBatch {
    fn new(batch: &RecordBatch) -> Self {
        Self {
            next: 0,
            days: batch.column(0).as_primitive().clone(),
            declarations: batch.column(1).as_string().clone(),
            items: batch.column(2).as_primitive().clone(),
            illicit: batch.column(3).as_boolean().clone(),
            revenue: batch.column(4).as_primitive().clone(),
        }
    }

    /// Compares the next row's item with one.
    fn cmp(&self, day: i32, declaration: &str, item: i32) -> Ordering {
        let own =
            (self.days.value(self.next), self.declarations.value(self.next), self.items.value(self.next));
        own.cmp(&(day, declaration, item))
    }

    /// The outcome that the next row gives.
    fn outcome(&self) -> TrueOutcome {
        let (illicit, revenue) = (&self.illicit, &self.revenue);
        TrueOutcome {
            illicit: illicit.is_valid(self.next).then(|| illicit.value(self.next)),
            revenue: revenue.is_valid(self.next).then(|| revenue.value(self.next)),
        }
    }
}

impl TruthReader {
    /// Opens the files, which tasks of `sorting` read and sort; errors of reading are those of the tasks.
    pub(super) fn open(
        archive: &Archive,
        files: &[v1::ParquetFile],
        task: Arc<TaskContext>,
        sorting: &mut JoinSet<Result<()>>,
    ) -> Result<Self> {
        let rows = provider::stream(archive, files, schema(), Arc::clone(&task))?;
        let rows = sorted_by_month(rows, &ITEM, task, sorting);
        Ok(Self { rows, open: None, day: i32::MIN, declaration: String::new(), item: 0, outcome: None })
    }

    /// The outcome of an item that is not before the last one looked up; `None` when no file has it.
    pub(super) async fn outcome_of(
        &mut self,
        day: i32,
        declaration: &str,
        item: i32,
    ) -> Result<Option<TrueOutcome>> {
        // Two rows of the declarations may have one identifier.
        if (self.day, self.declaration.as_str(), self.item) != (day, declaration, item) {
            (self.day, self.item, self.outcome) = (day, item, None);
            self.declaration.clear();
            self.declaration.push_str(declaration);
        }
        while let Some(rows) = self.next_row().await? {
            match rows.cmp(day, declaration, item) {
                Ordering::Greater => break,
                Ordering::Less => {}
                Ordering::Equal => {
                    let outcome = rows.outcome();
                    self.outcome = Some(self.outcome.map_or(outcome, |before| before.merge(outcome)));
                }
            }
            if let Some(rows) = &mut self.open {
                rows.next += 1;
            }
        }
        Ok(self.outcome)
    }

    /// The batch that holds the next row.
    async fn next_row(&mut self) -> Result<Option<&OpenBatch>> {
        while self.open.as_ref().is_none_or(|rows| rows.next == rows.days.len()) {
            match self.rows.recv().await {
                Some(batch) => self.open = Some(OpenBatch::new(&batch.context(|| "read the truth")?)),
                None => return Ok(None),
            }
        }
        Ok(self.open.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::plan::Meter;
    use tidewaiter_job::engine::{Engine, Local};

    use super::*;
    use crate::{backtest::testing::put_truth, calendar::date_of};

    /// Four parts of an upload and a half: as large as it is, a file is not held in memory.
    #[tokio::test]
    async fn a_large_file_is_copied_part_by_part() {
        let archive = Archive::open("memory://truth-copy").expect("opens");
        let file = std::env::temp_dir().join(format!("tidewaiter-truth-copy-{}", std::process::id()));
        let bytes: Vec<u8> = (0..(45 << 20) / 2).map(|at: u32| (at % 251) as u8).collect();
        std::fs::write(&file, &bytes).expect("written");
        let name = file.display().to_string();
        let size = copy(&archive, &name, "work/truth").await.expect("copies");
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(size, bytes.len() as u64);
        assert!(archive.get("work/truth").await.expect("reads") == bytes);
        assert!(check(&name).expect_err("gone").to_string().contains("read the truth in"));
    }

    #[tokio::test]
    async fn files_in_any_order_are_read_beside_items() {
        let archive = Archive::open("memory://truth").expect("opens");
        let files = [
            put_truth(
                &archive,
                "one.parquet",
                &[
                    (Some(63), "B", 1, Some(false), Some(0.0)),
                    (Some(1), "A", 2, Some(true), Some(5.0)),
                    (None, "A", 3, Some(true), Some(9.0)),
                ],
            )
            .await,
            put_truth(
                &archive,
                "two.parquet",
                &[
                    (Some(1), "A", 2, None, Some(7.0)),
                    (Some(63), "B", 1, Some(true), None),
                    (Some(40), "nobody's", 1, Some(true), Some(1.0)),
                    (Some(69), "C", 1, Some(true), Some(1.0)),
                ],
            )
            .await,
        ];
        let engine = Local::new(2, 64 << 20).expect("an engine");
        let session = engine.session("job", Meter::new(|_| ())).expect("a session");
        let last = date_of(68);
        let by_month =
            by_month(&session, &archive, "work", "TW", 1 << 20, (&files, last)).await.expect("writes");
        let rows =
            |month| -> u64 { by_month.iter().filter(|file| file.month == month).map(|file| file.rows).sum() };
        // The row without a day and the one after the last day are left out.
        assert_eq!([rows(1), rows(2), rows(3), rows(4)], [2, 1, 2, 0]);
        let files: Vec<v1::ParquetFile> =
            by_month.into_iter().map(|file| v1::ParquetFile { path: file.path, size: file.size }).collect();
        let mut sorting = JoinSet::new();
        let mut truth = TruthReader::open(&archive, &files, session.task_ctx(), &mut sorting).expect("opens");
        let said = |illicit, revenue| Some(TrueOutcome { illicit: Some(illicit), revenue: Some(revenue) });
        for (item, expected) in [
            ((0, "A", 1), None),
            ((1, "A", 1), None),
            ((1, "A", 2), said(true, 7.0)),
            // The same item, declared twice.
            ((1, "A", 2), said(true, 7.0)),
            ((1, "AA", 1), None),
            ((63, "B", 1), said(true, 0.0)),
            ((63, "B", 2), None),
            ((68, "C", 1), None),
        ] {
            let found = truth.outcome_of(item.0, item.1, item.2).await.expect("reads");
            assert_eq!(found, expected, "{item:?}");
        }
    }
}
