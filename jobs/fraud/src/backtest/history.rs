//! The input of all runs: a country's rows up to the last month, in time order, with their true outcomes.
//!
//! They are sorted and joined once, however many strategies and seeds there are, into one file in the job's folder
//! that every run reads from beginning to end. [`HistoryOperator`] sorts both the rows and the true outcomes a month
//! at a time and merges them; memory does not grow with the rows. Start at `HistoryFile::write`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    functions_aggregate::expr_fn::count,
    prelude::{DataFrame, SessionContext, col},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, own_rows::OwnRows, provider::snapshot_by_month};
use tidewaiter_core::{
    Error, Result, ResultExt, answers,
    plan::{self, Input, Meter, Operator},
};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::Job;
use tidewaiter_proto::v1;
use tokio::{sync::mpsc::Receiver, task::JoinSet};

use super::{
    parameters::Parameters,
    truth::{self, TRUTH, TruthReader},
};
use crate::{
    features::{INPUT_COLUMNS, TIME_ORDER, columns, sorted_by_month},
    messages,
};

/// The file with the rows, in the job's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HistoryFile(OwnRows);

impl HistoryFile {
    /// Writes the file from a snapshot of the declarations and the files of true outcomes (paths and sizes).
    pub(super) fn write<'a>(
        job: &Job<'a>,
        parameters: &'a Parameters,
        version: u64,
        truths: &'a [(String, u64)],
    ) -> impl Future<Output = Result<Self>> + use<'a> {
        let (archive, engine) = (job.archive, job.engine);
        let (folder, session) = (job.work_folder().to_owned(), job.session("history"));
        async move {
            let session = session?;
            let Parameters { country, to, .. } = parameters;
            let own = format!("{folder}/truth");
            let memory = engine.task_memory() / 2;
            let up_to = (truths, to.last());
            let truth = truth::by_month(&session, archive, &own, country, memory, up_to).await?;
            let month = to.last_month_number();
            let rows = snapshot_by_month(archive, DECLARATIONS, Some(version), country, month).await?;
            // No filter between the scan and the operator, because the engine would then spread the rows over
            // partitions.
            let rows = session.read_table(rows)?.select_columns(INPUT_COLUMNS)?;
            let operator = HistoryOperator::new(messages::HistoryOperator {
                archive: archive.url().to_string(),
                truth: truth
                    .iter()
                    .map(|file| v1::ParquetFile { path: file.path.clone(), size: file.size })
                    .collect(),
                has_truth: !truths.is_empty(),
            })?;
            let rows = OwnRows::write(plan::apply(rows, operator)?, archive, &folder, "history").await;
            let history = Self(rows.context(|| "put the declarations in the order of time")?);
            let files = history.0.files().len();
            if files != 1 {
                return Err(Error::internal(format!("{files} files hold the history, not one")));
            }
            let told: u64 = truth.iter().map(|file| file.rows).sum();
            let named = if told > 0 { history.count_known(&session, archive).await? } else { 0 };
            if named < told {
                tracing::warn!(
                    matched = named,
                    given = told,
                    "some true outcomes are of no item of the archive"
                );
            }
            Ok(history)
        }
    }

    /// A query for the rows, in time order.
    pub(super) fn scan(&self, session: &SessionContext, archive: &Archive) -> Result<DataFrame> {
        let declared = tidewaiter_declarations::schema();
        let input = INPUT_COLUMNS.iter().map(|name| Ok(declared.field_with_name(name)?.clone()));
        let input = Schema::new(input.collect::<Result<Vec<Field>>>()?);
        self.0.scan(session, archive, with_truth(&input), true)
    }

    /// How many rows have a known outcome.
    async fn count_known(&self, session: &SessionContext, archive: &Archive) -> Result<u64> {
        let known = vec![count(col(TRUTH[0])).alias("known")];
        let counted = answers::one_batch(self.scan(session, archive)?.aggregate(vec![], known)?).await?;
        answers::count(&counted, "known", 0)
    }
}

/// The columns, followed by those of the true outcome, which are null where it is not known.
fn with_truth(input: &Schema) -> SchemaRef {
    let kinds = [DataType::Boolean, DataType::Float64];
    let truth = TRUTH.into_iter().zip(kinds).map(|(name, kind)| Arc::new(Field::new(name, kind, true)));
    Arc::new(Schema::new(input.fields().iter().cloned().chain(truth).collect::<Vec<_>>()))
}

/// The plan node: its input are rows month after month, its output the same rows in time order with their true
/// outcomes.
#[derive(Debug)]
pub struct HistoryOperator {
    message: messages::HistoryOperator,
    archive: Archive,
}

impl HistoryOperator {
    /// The name of the plan node.
    pub const NAME: &'static str = "HistoryExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: messages::HistoryOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive })
    }

    fn begin(&self, input: Input) -> Result<Joined> {
        let Input { rows, task, meter, .. } = input;
        let schema = with_truth(&rows.schema());
        let mut sorting = JoinSet::new();
        let truth = match self.message.truth.as_slice() {
            [] => None,
            files => Some(TruthReader::open(&self.archive, files, Arc::clone(&task), &mut sorting)?),
        };
        let rows = sorted_by_month(rows, &TIME_ORDER, task, &mut sorting);
        Ok(Joined { rows, sorting, schema, truth, has_truth: self.message.has_truth, meter })
    }
}

impl Operator for HistoryOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match TIME_ORDER.iter().find(|name| input.index_of(name).is_err()) {
            None => Ok(with_truth(input)),
            Some(name) => Err(Error::input(format!("a history needs the column {name} of the declarations"))),
        }
    }

    fn single_partition(&self) -> bool {
        true
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        match self.begin(input) {
            Ok(rows) => rows.batches(),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }
}

/// Rows and true outcomes while they are merged.
struct Joined {
    rows: Receiver<Result<RecordBatch>>,
    /// The tasks that read and sort; they stop when this is dropped.
    sorting: JoinSet<Result<()>>,
    schema: SchemaRef,
    truth: Option<TruthReader>,
    /// Whether true outcomes come from files; otherwise they are the archive's own.
    has_truth: bool,
    meter: Arc<Meter>,
}

impl Joined {
    fn batches(self) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::try_unfold(self, |mut rows| async move {
            let next = rows.next().await?;
            Ok(next.map(|batch| (batch, rows)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self.rows.recv().await {
            Some(batch) => {
                let batch = batch?;
                self.meter.advance(batch.num_rows() as u64);
                self.join(&batch).await.map(Some)
            }
            None => {
                // True outcomes of later items are not needed.
                self.truth = None;
                while let Some(outcome) = self.sorting.join_next().await {
                    let stopped =
                        |error| Error::internal("the reading of a history stopped").with_source(error);
                    outcome.map_err(stopped)??;
                }
                Ok(None)
            }
        }
    }

    /// Adds the true outcomes to rows.
    async fn join(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let truth: [ArrayRef; 2] = if let Some(truth) = &mut self.truth {
            let (days, items) = (columns::days(rows)?, columns::item_numbers(rows)?);
            let declarations = columns::text(rows, "declaration_id")?;
            let (mut illicit, mut revenue) = (Vec::new(), Vec::new());
            for row in 0..rows.num_rows() {
                let found =
                    truth.outcome_of(days.value(row), declarations.value(row), items.value(row)).await?;
                illicit.push(found.and_then(|found| found.illicit));
                revenue.push(found.and_then(|found| found.revenue));
            }
            [Arc::new(BooleanArray::from(illicit)), Arc::new(Float64Array::from(revenue))]
        } else if self.has_truth {
            [
                Arc::new(BooleanArray::new_null(rows.num_rows())),
                Arc::new(Float64Array::new_null(rows.num_rows())),
            ]
        } else {
            let revenue = columns::column(rows, "additional_revenue", &DataType::Float64)?;
            let revenue = revenue.unwrap_or_else(|| Arc::new(Float64Array::new_null(rows.num_rows())));
            [Arc::new(columns::flags(rows, "illicit")?), revenue]
        };
        let all = rows.columns().iter().cloned().chain(truth).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), all)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Date32Array, Int32Array, StringArray},
        compute::concat_batches,
    };
    use datafusion::datasource::MemTable;
    use tidewaiter_core::query::Run as _;

    use tidewaiter_job::engine::{Engine, Local};

    use super::*;
    use crate::{backtest::testing::put_truth, calendar::date_of};

    /// Items of these days, with the numbers 0, 1 and so on.
    fn items(days: &[i32]) -> RecordBatch {
        let texts = || Arc::new(StringArray::from(vec!["D"; days.len()])) as ArrayRef;
        let numbers = || Arc::new(Float64Array::from(vec![1.0; days.len()])) as ArrayRef;
        RecordBatch::try_from_iter([
            ("acceptance_date", Arc::new(Date32Array::from(days.to_vec())) as ArrayRef),
            ("declaration_id", texts()),
            ("item_number", Arc::new(Int32Array::from_iter_values(0..days.len() as i32)) as ArrayRef),
            ("hs_code", texts()),
            ("customs_value", numbers()),
            ("net_mass", numbers()),
            ("illicit", Arc::new(BooleanArray::from(vec![true; days.len()])) as ArrayRef),
        ])
        .expect("a batch")
    }

    #[tokio::test]
    async fn rows_come_in_time_order_with_their_own_true_outcomes() {
        let archive = Archive::open("memory://backtest-history").expect("opens");
        let engine = Local::new(2, 64 << 20).expect("an engine");
        let session = engine.session("job", Meter::new(|_| ())).expect("a session");
        let rows = items(&[20, 3, 20, 40, 33, 40]);
        let outcomes = [
            (Some(40), "D", 5, Some(true), Some(5.0)),
            (Some(3), "D", 1, Some(false), Some(0.0)),
            // No item of that day has that number.
            (Some(21), "D", 2, Some(true), Some(9.0)),
            (Some(20), "D", 0, Some(true), Some(2.0)),
        ];
        let files = [put_truth(&archive, "truth.parquet", &outcomes).await];
        let last = date_of(60);
        let truth = truth::by_month(&session, &archive, "work", "TW", 1 << 20, (&files, last)).await;
        let truth = truth.expect("writes").into_iter();
        let truth: Vec<_> = truth.map(|file| v1::ParquetFile { path: file.path, size: file.size }).collect();
        let archive = archive.url().to_string();
        for (truth, has_truth, expected) in [
            (truth, true, [Some(false), Some(true), None, None, None, Some(true)]),
            // Files without these items.
            (Vec::new(), true, [None; 6]),
            // The archive's own outcomes.
            (Vec::new(), false, [Some(true); 6]),
        ] {
            let message = messages::HistoryOperator { archive: archive.clone(), truth, has_truth };
            let table = MemTable::try_new(rows.schema(), vec![vec![rows.slice(0, 3), rows.slice(3, 3)]]);
            let table = session.read_table(Arc::new(table.expect("a table"))).expect("reads");
            let operator = HistoryOperator::new(message).expect("an operator");
            let given = plan::apply(table, operator).expect("plans").batches().await.expect("runs");
            let given = concat_batches(&given[0].schema(), &given).expect("joins");
            let numbers = columns::item_numbers(&given).expect("numbers");
            assert_eq!(numbers.values(), &[1, 0, 2, 4, 3, 5]);
            let illicit: Vec<_> = columns::flags(&given, TRUTH[0]).expect("flags").iter().collect();
            assert_eq!(illicit, expected);
        }
    }
}
