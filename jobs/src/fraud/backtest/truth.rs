//! The truth of a backtest: files that a user gives, kept in the archive while the job runs.
//!
//! An item is named by `acceptance_date`, `declaration_id` and `item_number`, as a history orders its rows. What the
//! files say is dealt to months once ([`by_month`]) and is then read, sorted a month at a time, beside the rows
//! ([`Truth`]). What they say twice of one item counts as illicit when one of them says so, with the larger revenue.

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
use tidewaiter_proto::v1;
use tokio::{sync::mpsc::Receiver, task::JoinSet};

use crate::{
    Archive, Error, Result, ResultExt,
    archive::{DataFile, provider, write_operator::WriteOperator},
    fraud::{features::in_order, prepare::day_of},
    job::Job,
    plan::{self, tasks},
};

/// The columns that a file must have, in these types.
fn columns() -> [(&'static str, DataType); 5] {
    [
        ("acceptance_date", DataType::Date32),
        ("declaration_id", DataType::Utf8),
        ("item_number", DataType::Int32),
        ("illicit", DataType::Boolean),
        ("additional_revenue", DataType::Float64),
    ]
}

/// Those of the columns that name an item.
const NAMES: [&str; 3] = ["acceptance_date", "declaration_id", "item_number"];

fn schema() -> SchemaRef {
    let fields = columns().map(|(name, kind)| Field::new(name, kind, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Copies the files into the job's folder, where every task can read them, after a look at their columns.
pub(super) fn keep<'a>(
    job: &Job<'a>,
    files: &'a [String],
) -> impl Future<Output = Result<Vec<(String, u64)>>> + use<'a> {
    let (archive, folder) = (job.archive, job.work_folder().to_owned());
    async move {
        let mut kept = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let bytes = tokio::fs::read(file).await.context(|| format!("read the truth in {file}"))?;
            let bytes = bytes::Bytes::from(bytes);
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
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
            let path = format!("{folder}/truth-{number:04}.parquet");
            let size = bytes.len() as u64;
            archive.put(&path, bytes).await?;
            kept.push((path, size));
        }
        Ok(kept)
    }
}

/// Deals what the files say of items up to a day to files of a month each, in the months' order; rows that name no
/// item are left out. A task holds `memory` bytes of them.
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
    let named = NAMES.map(|name| col(name).is_not_null());
    let named = named.into_iter().fold(col(NAMES[0]).lt_eq(lit(day_of(last))), Expr::and);
    let writer = WriteOperator::new(v1::WriteOperator {
        archive: archive.url().to_string(),
        table: folder.to_owned(),
        country: country.to_owned(),
        date_column: NAMES[0].to_owned(),
        name: "truth".to_owned(),
        memory_bytes: memory as u64,
    })?;
    let files = plan::reports::<Vec<DataFile>>(plan::above(rows.filter(named)?, writer)?).await;
    let mut files = files.context(|| "deal the truth to months")?.concat();
    files.sort_by(|a, b| (a.month_number(), &a.path).cmp(&(b.month_number(), &b.path)));
    files.iter_mut().for_each(|file| file.path = format!("{folder}/{}", file.path));
    Ok(files)
}

/// What is true of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    pub(super) illicit: Option<bool>,
    pub(super) revenue: Option<f64>,
}

impl Said {
    fn and(self, other: Self) -> Self {
        Self {
            illicit: self.illicit.max(other.illicit),
            revenue: match (self.revenue, other.revenue) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            },
        }
    }
}

/// The files of [`by_month`], read beside items that come in the order of their names.
pub(super) struct Truth {
    rows: Receiver<Result<RecordBatch>>,
    open: Option<Rows>,
    /// The item that was spoken of last, and what was said of it.
    day: i32,
    declaration: String,
    item: i32,
    said: Option<Said>,
}

/// A batch of the files' rows, and the next row of it.
struct Rows {
    next: usize,
    days: Date32Array,
    declarations: StringArray,
    items: Int32Array,
    illicit: BooleanArray,
    revenue: Float64Array,
}

impl Rows {
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

    /// How the next row's item stands to one.
    fn cmp(&self, day: i32, declaration: &str, item: i32) -> Ordering {
        let own =
            (self.days.value(self.next), self.declarations.value(self.next), self.items.value(self.next));
        own.cmp(&(day, declaration, item))
    }

    fn said(&self) -> Said {
        let (illicit, revenue) = (&self.illicit, &self.revenue);
        Said {
            illicit: illicit.is_valid(self.next).then(|| illicit.value(self.next)),
            revenue: revenue.is_valid(self.next).then(|| revenue.value(self.next)),
        }
    }
}

impl Truth {
    /// Opens the files; the work is done by `sorting`, whose errors are those of the reading.
    pub(super) fn open(
        archive: &Archive,
        files: &[v1::ParquetFile],
        task: Arc<TaskContext>,
        sorting: &mut JoinSet<Result<()>>,
    ) -> Result<Self> {
        let rows = provider::stream(archive, files, schema(), Arc::clone(&task))?;
        let rows = in_order(rows, &NAMES, task, sorting);
        Ok(Self { rows, open: None, day: i32::MIN, declaration: String::new(), item: 0, said: None })
    }

    /// What is said of an item that does not come before the last one asked for; `None`: nothing.
    pub(super) async fn of(&mut self, day: i32, declaration: &str, item: i32) -> Result<Option<Said>> {
        // An item may have been declared twice under one number.
        if (self.day, self.declaration.as_str(), self.item) != (day, declaration, item) {
            (self.day, self.item, self.said) = (day, item, None);
            self.declaration.clear();
            self.declaration.push_str(declaration);
        }
        while let Some(rows) = self.row().await? {
            match rows.cmp(day, declaration, item) {
                Ordering::Greater => break,
                Ordering::Less => {}
                Ordering::Equal => {
                    let said = rows.said();
                    self.said = Some(self.said.map_or(said, |before| before.and(said)));
                }
            }
            if let Some(rows) = &mut self.open {
                rows.next += 1;
            }
        }
        Ok(self.said)
    }

    /// The batch whose next row is the next one of all.
    async fn row(&mut self) -> Result<Option<&Rows>> {
        while self.open.as_ref().is_none_or(|rows| rows.next == rows.days.len()) {
            match self.rows.recv().await {
                Some(batch) => self.open = Some(Rows::new(&batch.context(|| "read the truth")?)),
                None => return Ok(None),
            }
        }
        Ok(self.open.as_ref())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::{
        engine::{Engine, Local},
        plan::Meter,
    };

    /// A row of a file: day, declaration, item, whether illicit, revenue.
    pub(in super::super) type Row = (Option<i32>, &'static str, i32, Option<bool>, Option<f64>);

    pub(in super::super) async fn put(archive: &Archive, path: &str, rows: &[Row]) -> (String, u64) {
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Date32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<Float64Array>()),
        ];
        let mut writer = ArrowWriter::try_new(Vec::new(), schema(), None).expect("opens");
        writer.write(&RecordBatch::try_new(schema(), columns).expect("a batch")).expect("writes");
        let bytes = writer.into_inner().expect("closes");
        let size = bytes.len() as u64;
        archive.put(path, bytes).await.expect("puts");
        (path.to_owned(), size)
    }

    #[tokio::test]
    async fn files_in_any_order_are_read_beside_items() {
        let archive = Archive::open("memory://truth").expect("opens");
        let files = [
            put(
                &archive,
                "one.parquet",
                &[
                    (Some(63), "B", 1, Some(false), Some(0.0)),
                    (Some(1), "A", 2, Some(true), Some(5.0)),
                    (None, "A", 3, Some(true), Some(9.0)),
                ],
            )
            .await,
            put(
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
        let last = crate::fraud::features::date(68);
        let by_month =
            by_month(&session, &archive, "work", "TW", 1 << 20, (&files, last)).await.expect("deals");
        let rows =
            |month| -> u64 { by_month.iter().filter(|file| file.month == month).map(|file| file.rows).sum() };
        // The row without a day and the one after the last day are left out.
        assert_eq!([rows(1), rows(2), rows(3), rows(4)], [2, 1, 2, 0]);
        let files: Vec<v1::ParquetFile> =
            by_month.into_iter().map(|file| v1::ParquetFile { path: file.path, size: file.size }).collect();
        let mut sorting = JoinSet::new();
        let mut truth = Truth::open(&archive, &files, session.task_ctx(), &mut sorting).expect("opens");
        let said = |illicit, revenue| Some(Said { illicit: Some(illicit), revenue: Some(revenue) });
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
            let found = truth.of(item.0, item.1, item.2).await.expect("reads");
            assert_eq!(found, expected, "{item:?}");
        }
    }
}
