//! The plan node that computes features: one pass over a country's rows in time order, written to Parquet files.
//!
//! Rows come month after month in one partition; [`FeaturesOperator`] sorts them by [`TIME_ORDER`]. A feature depends
//! on all earlier rows, so a country is one task. The task reads and sorts one month after another and never holds
//! more than a few; it spills only where a month outgrows its memory.

use std::sync::Arc;

use arrow::{
    array::{Array, BooleanArray, RecordBatch},
    datatypes::{Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result, ResultExt,
    plan::{self, Input, Operator},
    threads::on_cpu,
};
use tokio::task::JoinSet;

use super::{
    builder::FeatureBuilder,
    columns,
    files::{FeatureFiles, Output, Selection, declared, file_schema},
    parameters::Parameters,
    prepared::PreparedBatch,
    sorting::sorted_by_month,
};
use crate::messages;

/// The order in which rows go through the histories. The first three name a goods item; the others settle the order
/// of items that were declared twice under one number.
pub(crate) const TIME_ORDER: [&str; 6] =
    ["acceptance_date", "declaration_id", "item_number", "hs_code", "customs_value", "net_mass"];

/// The columns of the declarations that the operator reads.
pub const INPUT_COLUMNS: &[&str] = &[
    "declaration_id",
    "item_number",
    "acceptance_date",
    "office",
    "declaration_type",
    "procedure",
    "goods_use",
    "payment_method",
    "importer",
    "declarant",
    "exporter",
    "carrier",
    "origin",
    "departure",
    "origin_marking",
    "transport_mode",
    "hs_code",
    "preference",
    "net_mass",
    "gross_mass",
    "quantity",
    "quantity_unit",
    "customs_value",
    "duty_rate",
    "duty_amount",
    "tax_rate",
    "tax_amount",
    "illicit",
    "additional_revenue",
];

/// Batches that a stage of the operator has ready for the next one.
const AHEAD: usize = 2;

/// Computes features of declarations of one country and writes them to files; its one row is a [`FeatureFiles`].
#[derive(Debug)]
pub struct FeaturesOperator {
    message: messages::FeaturesOperator,
    archive: Archive,
    parameters: Parameters,
}

impl FeaturesOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "FeaturesExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the message is not one of this version.
    pub fn new(message: messages::FeaturesOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        let parameters = serde_json::from_str(&message.parameters).context(|| "read a features operator")?;
        Ok(Self { message, archive, parameters })
    }
}

impl Operator for FeaturesOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match TIME_ORDER.iter().find(|name| input.index_of(name).is_err()) {
            None => Ok(plan::report_schema()),
            Some(name) => Err(Error::input(format!("features need the column {name} of the declarations"))),
        }
    }

    fn single_partition(&self) -> bool {
        true
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.write(input).await?) }).boxed()
    }
}

impl FeaturesOperator {
    /// Reads and sorts batches, prepares them, takes them through the histories and writes them; the stages work on
    /// different batches at the same time.
    async fn write(&self, input: Input) -> Result<FeatureFiles> {
        let mut builder = FeatureBuilder::new(self.parameters)?;
        let outputs = self.message.outputs.iter();
        let outputs = outputs.map(|output| Output::new(&self.archive, &self.message.folder, output));
        let mut outputs: Vec<Output> = outputs.collect::<Result<_>>()?;
        let selections: Arc<[Selection]> = outputs.iter().map(|output| output.selection.clone()).collect();

        let Input { rows, task, meter, .. } = input;
        // The tasks stop when this is dropped.
        let mut reading = JoinSet::new();
        let mut batches = sorted_by_month(rows, &TIME_ORDER, task, &mut reading);
        let batches = futures::stream::poll_fn(|context| batches.poll_recv(context));
        let mut prepared = batches
            .map(|batch| {
                let selections = Arc::clone(&selections);
                on_cpu(move || {
                    let batch = batch?;
                    PreparedBatch::new(&batch, wanted(&batch, &selections)?)
                })
            })
            .buffered(AHEAD);
        let mut rows = 0;
        while let Some(batch) = prepared.next().await {
            let batch = batch?;
            let read = batch.rows() as u64;
            let (returned, records) = on_cpu(move || {
                let declared = declared(batch.wanted_rows())?;
                let features = builder.push_prepared(batch)?;
                let arrays = features.records().columns().iter().cloned().chain(declared);
                Ok((builder, RecordBatch::try_new(file_schema(), arrays.collect())?))
            })
            .await?;
            builder = returned;
            for output in &mut outputs {
                output.write(&records).await?;
            }
            rows += read;
            meter.advance(read);
        }
        while let Some(outcome) = reading.join_next().await {
            let stopped = |error| Error::internal("the reading of declarations stopped").with_source(error);
            outcome.map_err(stopped)??;
        }
        let mut written = Vec::new();
        for output in outputs {
            written.push(output.finish(&self.archive).await?);
        }
        Ok(FeatureFiles { rows, forgotten: builder.forgotten(), outputs: written })
    }
}

/// Which rows any output takes.
fn wanted(batch: &RecordBatch, selections: &[Selection]) -> Result<BooleanArray> {
    let days = columns::days(batch)?;
    let outcomes = columns::flags(batch, "illicit")?;
    let wanted = |(row, day): (usize, &i32)| {
        selections.iter().any(|selection| selection.range_of(*day, outcomes.is_valid(row)).is_some())
    };
    Ok(days.values().iter().enumerate().map(|row| Some(wanted(row))).collect())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, StringArray},
        datatypes::{Date32Type, Float32Type},
    };
    use datafusion::datasource::MemTable;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use tidewaiter_core::plan::Meter;
    use tidewaiter_job::engine::{Engine, Local};

    use super::{
        super::{
            catalogue::CODES,
            files::{FeatureFile, Outcomes},
        },
        *,
    };

    #[test]
    fn every_code_and_the_order_are_read() {
        assert!(CODES.iter().chain(&TIME_ORDER).all(|column| INPUT_COLUMNS.contains(column)));
    }

    /// Ten thousand items over ten days, in no order; every third has a known outcome.
    fn declarations() -> RecordBatch {
        let rows = 0..10_000_i32;
        let number = |row: i32| row * 7919 % 10_000;
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "declaration_id",
                Arc::new(StringArray::from_iter_values(
                    rows.clone().map(|row| format!("D{:05}", number(row))),
                )),
            ),
            ("item_number", Arc::new(Int32Array::from_iter_values(rows.clone().map(|_| 1)))),
            (
                "acceptance_date",
                Arc::new(Date32Array::from_iter_values(rows.clone().map(|row| number(row) / 1000))),
            ),
            (
                "hs_code",
                Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("61091{}", row % 7)))),
            ),
            (
                "customs_value",
                Arc::new(Float64Array::from_iter_values(rows.clone().map(|row| f64::from(number(row) + 1)))),
            ),
            (
                "net_mass",
                Arc::new(Float64Array::from_iter_values(rows.clone().map(|row| f64::from(row % 13 + 1)))),
            ),
            (
                "illicit",
                Arc::new(
                    rows.map(|row| (number(row) % 3 == 0).then_some(number(row) % 5 == 0))
                        .collect::<BooleanArray>(),
                ),
            ),
        ];
        RecordBatch::try_from_iter(columns).expect("a batch")
    }

    async fn write(archive: &Archive, folder: &str, batches: usize) -> FeatureFiles {
        let all = declarations();
        let part = all.num_rows() / batches;
        let batches = (0..batches).map(|at| all.slice(at * part, part)).collect();
        let table = MemTable::try_new(all.schema(), vec![batches]).expect("a table");
        let engine = Local::new(2, 64 << 20).expect("an engine");
        let session = engine.session("job", Meter::new(|_| ())).expect("a session");
        let days = |first, last| messages::DayRange { first, last };
        let operator = FeaturesOperator::new(messages::FeaturesOperator {
            archive: archive.url().to_string(),
            folder: folder.to_owned(),
            outputs: vec![
                messages::FeatureOutput {
                    name: "shard".to_owned(),
                    parts: 2,
                    days: vec![days(1, 5), days(6, 7)],
                    labelled_only: false,
                },
                messages::FeatureOutput {
                    name: "test".to_owned(),
                    parts: 1,
                    days: vec![days(8, 9)],
                    labelled_only: true,
                },
            ],
            parameters: "{}".to_owned(),
        })
        .expect("an operator");
        let rows = session.read_table(Arc::new(table)).expect("reads");
        let mut files = plan::reports(plan::apply(rows, operator).expect("plans")).await.expect("runs");
        files.pop().expect("one answer")
    }

    async fn read(archive: &Archive, file: &FeatureFile) -> RecordBatch {
        let bytes = archive.get(&file.path).await.expect("reads");
        assert_eq!(bytes.len() as u64, file.size);
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").with_batch_size(20_000);
        reader.build().expect("builds").next().expect("rows").expect("decodes")
    }

    #[tokio::test]
    async fn rows_are_assigned_in_blocks_of_time_and_counted_by_their_days() {
        let archive = Archive::open("memory://feature-files").expect("opens");
        let files = write(&archive, "work/one", 1).await;
        assert_eq!((files.rows, files.forgotten), (10_000, 0));
        let [shards, test] = files.outputs.as_slice() else { panic!("two outputs") };
        let rows: Vec<u64> = shards.files.iter().map(|file| file.rows).collect();
        // Seven days of a thousand: a block of 4096 for each part.
        assert_eq!(rows, [4096, 2904]);
        assert_eq!(shards.ranges.iter().map(|range| range.rows).collect::<Vec<_>>(), [5000, 2000]);
        let known: Vec<_> = (8000..10_000).filter(|number| number % 3 == 0).collect();
        let illicit = known.iter().filter(|number| **number % 5 == 0).count() as u64;
        let expected = Outcomes { rows: known.len() as u64, labelled: known.len() as u64, illicit };
        assert_eq!(test.ranges, [expected]);

        let first = read(&archive, &shards.files[0]).await;
        assert_eq!(first.schema().fields(), file_schema().fields());
        assert!(first.column(2).as_primitive::<Date32Type>().values().is_sorted());
        assert_eq!(first.column(0).as_string::<i32>().value(0), "D01000");
        let tested = read(&archive, &test.files[0]).await;
        assert_eq!(tested.column(3).null_count(), 0);
        // From the third day on every key has a history.
        let rate = tested.column_by_name("hs6_rate").expect("the feature").as_primitive::<Float32Type>();
        assert!(rate.values().iter().all(|rate| (0.0..1.0).contains(rate)));
    }

    #[tokio::test]
    async fn the_files_do_not_depend_on_how_the_input_was_cut() {
        let archive = Archive::open("memory://feature-files-cut").expect("opens");
        let (one, many) = (write(&archive, "work/one", 1).await, write(&archive, "work/many", 4).await);
        for (one, many) in one.outputs.iter().zip(&many.outputs) {
            assert_eq!(one.ranges, many.ranges);
            for (one, many) in one.files.iter().zip(&many.files) {
                assert_eq!(
                    archive.get(&one.path).await.expect("reads"),
                    archive.get(&many.path).await.expect("reads")
                );
            }
        }
    }
}
