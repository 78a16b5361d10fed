//! Features as files: one pass over a country's rows in time order, dealt to Parquet files.
//!
//! [`FeaturesOperator`] is the plan node. Its rows come month after month in one partition; it sorts them by
//! [`ORDER`]. Each of its outputs takes the rows of some days and deals them in blocks to its parts, so that every
//! part sees all of the time and the dealing depends on nothing but the rows. A file has the columns of
//! [`file_schema`].

use std::{
    ops::RangeInclusive,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::{DataType, Date32Type, Field, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use object_store::buffered::BufWriter;
use parquet::{
    arrow::AsyncArrowWriter,
    basic::Compression,
    file::properties::{EnabledStatistics, WriterProperties},
};
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;
use tokio::{sync::mpsc, task::JoinSet};

use super::{FeatureBuilder, Parameters, Prepared, columns, feature_schema, months};
use crate::{
    Archive, Error, Result, ResultExt,
    plan::{self, Input, Operator},
    threads::on_cpu,
};

/// The order in which rows go through the histories. The first three name a goods item; the others settle the order of
/// items that were declared twice under one number.
pub(in crate::fraud) const ORDER: [&str; 6] =
    ["acceptance_date", "declaration_id", "item_number", "hs_code", "customs_value", "net_mass"];

/// What was declared, for people who read a selection: columns after the features, null where not given.
const DECLARED_TEXTS: [&str; 3] = ["importer", "hs_code", "origin"];

/// The columns of the declarations that the operator reads.
pub const INPUT: &[&str] = &[
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

/// Consecutive rows that go to one part before the next part's turn.
const ROWS_PER_TURN: usize = 4096;

/// Batches that a stage of the operator has ready for the next one.
pub(super) const AHEAD: usize = 2;

/// Rows of a file that are encoded together.
const ROW_GROUP_ROWS: usize = 32 << 10;

/// The columns of a feature file: those of [`feature_schema`], then `importer`, `hs_code`, `origin` and
/// `customs_value` as declared.
pub fn file_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = feature_schema().fields().to_vec();
        fields.extend(DECLARED_TEXTS.map(|name| Arc::new(Field::new(name, DataType::Utf8, true))));
        fields.push(Arc::new(Field::new("customs_value", DataType::Float64, true)));
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// What the operator wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureFiles {
    /// Rows read.
    pub rows: u64,
    /// Keys forgotten for want of capacity; 0: every feature is exact.
    pub forgotten: u64,
    /// By output, in the order of the request.
    pub outputs: Vec<Written>,
}

/// What one output received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its files, by part; a part without rows has an empty file.
    pub files: Vec<FeatureFile>,
    /// Its rows, by the request's ranges of days.
    pub ranges: Vec<Outcomes>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureFile {
    /// In the archive.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
}

/// Rows, and how many of them are known to be illicit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// All rows.
    pub rows: u64,
    /// Rows with a known outcome.
    pub labelled: u64,
    /// Rows known to be illicit.
    pub illicit: u64,
}

/// The plan node.
#[derive(Debug)]
pub struct FeaturesOperator {
    message: v1::FeaturesOperator,
    archive: Archive,
    parameters: Parameters,
}

impl FeaturesOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the message is not one of this version.
    pub fn new(message: v1::FeaturesOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        let parameters = serde_json::from_str(&message.parameters).context(|| "read a features operator")?;
        Ok(Self { message, archive, parameters })
    }
}

impl Operator for FeaturesOperator {
    fn name(&self) -> &'static str {
        "FeaturesExec"
    }

    fn message(&self) -> v1::PlanOperator {
        let operator = v1::plan_operator::Operator::Features(self.message.clone());
        v1::PlanOperator { operator: Some(operator) }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match ORDER.iter().find(|name| input.index_of(name).is_err()) {
            None => Ok(plan::report_schema()),
            Some(name) => Err(Error::input(format!("features need the column {name} of the declarations"))),
        }
    }

    fn undivided(&self) -> bool {
        true
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.write(input).await?) }).boxed()
    }
}

impl FeaturesOperator {
    /// Batches are read and sorted, then prepared, passed through the histories and written; every
    /// stage works on other batches at the same time.
    async fn write(&self, input: Input) -> Result<FeatureFiles> {
        let mut builder = FeatureBuilder::new(self.parameters)?;
        let outputs = self.message.outputs.iter();
        let outputs = outputs.map(|output| Output::new(&self.archive, &self.message.folder, output));
        let mut outputs: Vec<Output> = outputs.collect::<Result<_>>()?;
        let choices: Arc<[Choice]> = outputs.iter().map(|output| output.choice.clone()).collect();

        let Input { rows, task, meter, .. } = input;
        // Dropped, they stop.
        let mut reading = JoinSet::new();
        let mut batches = months::in_order(rows, &ORDER, task, &mut reading);
        let batches = futures::stream::poll_fn(|context| batches.poll_recv(context));
        let mut prepared = batches
            .map(|batch| {
                let choices = Arc::clone(&choices);
                on_cpu(move || {
                    let batch = batch?;
                    Prepared::new(&batch, wanted(&batch, &choices)?)
                })
            })
            .buffered(AHEAD);
        let mut rows = 0;
        while let Some(batch) = prepared.next().await {
            let batch = batch?;
            let read = batch.rows() as u64;
            let (returned, records) = on_cpu(move || {
                let declared = declared(batch.of_wanted())?;
                let features = builder.push_prepared(batch)?;
                let arrays = features.records().columns().iter().cloned().chain(declared);
                Ok((builder, RecordBatch::try_new(file_schema(), arrays.collect())?))
            })
            .await?;
            builder = returned;
            for output in &mut outputs {
                output.take(&records).await?;
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

/// The rows that some output takes.
fn wanted(batch: &RecordBatch, choices: &[Choice]) -> Result<BooleanArray> {
    let days = columns::days(batch)?;
    let outcomes = columns::flags(batch, "illicit")?;
    let wanted = |(row, day): (usize, &i32)| {
        choices.iter().any(|choice| choice.range_of(*day, outcomes.is_valid(row)).is_some())
    };
    Ok(days.values().iter().enumerate().map(|row| Some(wanted(row))).collect())
}

/// The columns after the features.
fn declared(rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let mut declared = Vec::new();
    for name in DECLARED_TEXTS {
        declared.push(Arc::new(columns::text(rows, name)?) as ArrayRef);
    }
    let values = columns::column(rows, "customs_value", &DataType::Float64)?;
    declared.push(values.unwrap_or_else(|| Arc::new(Float64Array::new_null(rows.num_rows()))));
    Ok(declared)
}

/// Which rows an output takes.
#[derive(Clone)]
struct Choice {
    days: Vec<RangeInclusive<i32>>,
    labelled_only: bool,
}

impl Choice {
    /// The range of days by which a row is taken, if it is; `labelled`: its outcome is known.
    fn range_of(&self, day: i32, labelled: bool) -> Option<usize> {
        let range = self.days.iter().position(|days| days.contains(&day))?;
        (labelled || !self.labelled_only).then_some(range)
    }
}

/// One output while it is written.
struct Output {
    choice: Choice,
    parts: Vec<Part>,
    ranges: Vec<Outcomes>,
    dealt: usize,
}

/// One file while it is written, by a task of its own.
struct Part {
    path: String,
    rows: u64,
    batches: mpsc::Sender<RecordBatch>,
    /// Dropped, it stops.
    writing: JoinSet<Result<()>>,
}

impl Output {
    fn new(archive: &Archive, folder: &str, output: &v1::FeatureOutput) -> Result<Self> {
        let parts = (0..output.parts.max(1))
            .map(|part| Part::new(archive, format!("{folder}/{}-{part:04}.parquet", output.name)));
        let days = output.days.iter().map(|range| range.first..=range.last).collect();
        Ok(Self {
            choice: Choice { days, labelled_only: output.labelled_only },
            parts: parts.collect::<Result<_>>()?,
            ranges: vec![Outcomes::default(); output.days.len()],
            dealt: 0,
        })
    }

    /// Takes the rows that are this output's.
    async fn take(&mut self, records: &RecordBatch) -> Result<()> {
        let days = records.column(2).as_primitive::<Date32Type>().values();
        let labels: &Float32Array = records.column(3).as_primitive();
        let mut chosen = vec![Vec::new(); self.parts.len()];
        for (row, day) in days.iter().enumerate() {
            let labelled = labels.is_valid(row);
            let Some(range) = self.choice.range_of(*day, labelled) else { continue };
            let counts = &mut self.ranges[range];
            counts.rows += 1;
            counts.labelled += u64::from(labelled);
            counts.illicit += u64::from(labelled && labels.value(row) > 0.5);
            chosen[self.dealt / ROWS_PER_TURN % self.parts.len()].push(row as u32);
            self.dealt += 1;
        }
        for (part, rows) in self.parts.iter_mut().zip(chosen) {
            if !rows.is_empty() {
                part.write(chosen_of(records, rows)?).await?;
            }
        }
        Ok(())
    }

    async fn finish(self, archive: &Archive) -> Result<Written> {
        let mut files = Vec::new();
        for part in self.parts {
            files.push(part.finish(archive).await?);
        }
        Ok(Written { files, ranges: self.ranges })
    }
}

/// Some rows, which rise; not copied where they follow each other.
fn chosen_of(records: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    match rows.as_slice() {
        [first, .., last] if (last - first) as usize + 1 == rows.len() => {
            Ok(records.slice(*first as usize, rows.len()))
        }
        _ => Ok(take_record_batch(records, &UInt32Array::from(rows))?),
    }
}

impl Part {
    fn new(archive: &Archive, path: String) -> Result<Self> {
        let properties = WriterProperties::builder()
            // Read once or twice and soon, so that what is cheap to make and to read beats what is small.
            .set_compression(Compression::LZ4_RAW)
            .set_dictionary_enabled(false)
            // Rows come in time order, and are asked for by days at most.
            .set_statistics_enabled(EnabledStatistics::None)
            .set_column_statistics_enabled("acceptance_date".into(), EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("tidewaiter".to_owned())
            .build();
        let file = BufWriter::new(Arc::clone(archive.store()), archive.path(&path));
        let mut writer = AsyncArrowWriter::try_new(file, file_schema(), Some(properties))?;
        let (batches, mut rows) = mpsc::channel(AHEAD);
        let mut writing = JoinSet::new();
        let name = path.clone();
        writing.spawn(async move {
            while let Some(rows) = rows.recv().await {
                writer.write(&rows).await.context(|| format!("write {name}"))?;
            }
            writer.close().await.context(|| format!("write {name}"))?;
            Ok(())
        });
        Ok(Self { path, rows: 0, batches, writing })
    }

    async fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        match self.batches.send(rows).await {
            Ok(()) => Ok(()),
            // Nobody takes them only when the writing failed.
            Err(_) => outcome(&mut self.writing, &self.path).await,
        }
    }

    async fn finish(self, archive: &Archive) -> Result<FeatureFile> {
        let Self { path, rows, batches, mut writing } = self;
        // No more are to come.
        drop(batches);
        outcome(&mut writing, &path).await?;
        Ok(FeatureFile { size: archive.size(&path).await?, path, rows })
    }
}

/// How the writing of a file ended.
async fn outcome(writing: &mut JoinSet<Result<()>>, path: &str) -> Result<()> {
    match writing.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(Error::internal(format!("the writing of {path} stopped")).with_source(error)),
        None => Err(Error::internal(format!("the writing of {path} had ended before"))),
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{BooleanArray, Date32Array, Int32Array, StringArray},
        datatypes::Float32Type,
    };
    use datafusion::datasource::MemTable;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::{
        engine::{Engine, Local},
        fraud::features::catalogue::CODES,
        plan::Meter,
    };

    #[test]
    fn every_code_and_the_order_are_read() {
        assert!(CODES.iter().chain(&ORDER).all(|column| INPUT.contains(column)));
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
        let days = |first, last| v1::DayRange { first, last };
        let operator = FeaturesOperator::new(v1::FeaturesOperator {
            archive: archive.url().to_string(),
            folder: folder.to_owned(),
            outputs: vec![
                v1::FeatureOutput {
                    name: "shard".to_owned(),
                    parts: 2,
                    days: vec![days(1, 5), days(6, 7)],
                    labelled_only: false,
                },
                v1::FeatureOutput {
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
        let mut files = plan::reports(plan::above(rows, operator).expect("plans")).await.expect("runs");
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
    async fn rows_are_dealt_in_blocks_of_time_and_counted_by_their_days() {
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
        let judged = read(&archive, &test.files[0]).await;
        assert_eq!(judged.column(3).null_count(), 0);
        // From the third day on there is a history to speak of.
        let rate = judged.column_by_name("hs6_rate").expect("the feature").as_primitive::<Float32Type>();
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
