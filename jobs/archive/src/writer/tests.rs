//! Tests of the partition writer.

use arrow::{
    array::Date32Array,
    compute::{concat, concat_batches},
    datatypes::Date32Type,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use serde_json::Value;

use super::{order::SLICE_ROWS, *};
use crate::testing::{memory, rows, rows_on, schema};

fn writer(archive: &Archive, job: &str, settings: WriterSettings) -> PartitionWriter {
    let order = ["acceptance_date", "declaration_id", "item_number"];
    PartitionWriter::new(archive, "t", &schema(), "KR", &order, job, settings).expect("a writer")
}

async fn read(archive: &Archive, file: &DataFile) -> RecordBatch {
    let bytes = archive.get(&format!("t/{}", file.path)).await.expect("reads");
    assert_eq!(bytes.len() as u64, file.size);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("is Parquet").build();
    let batches: Vec<_> = reader.expect("builds").map(|batch| batch.expect("reads")).collect();
    concat_batches(&schema(), &batches).expect("same columns")
}

#[tokio::test]
async fn rows_go_to_their_month_sorted_by_date_and_declaration() {
    let archive = memory("writer-split");
    let mut writer = writer(&archive, "job", WriterSettings::default());
    // 18262 is 2020-01-01, 18293 is 2020-02-01, 18261 is 2019-12-31.
    writer.write(&rows_on(&[18293, 18262, 18261])).await.expect("takes");
    writer.write(&rows_on(&[18262, 18292, 18264])).await.expect("takes");
    let files = writer.finish().await.expect("finishes");
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "country=KR/year=2019/month=12/job-00000.parquet",
            "country=KR/year=2020/month=1/job-00000.parquet",
            "country=KR/year=2020/month=2/job-00000.parquet",
        ]
    );
    let january = read(&archive, &files[1]).await;
    let dates = january.column(2).as_primitive::<Date32Type>().values().to_vec();
    assert_eq!(dates, [18262, 18262, 18264, 18292]);
    let ids = january.column(0).as_string::<i32>();
    assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["D000000", "D000001", "D000002", "D000001"]);
    let statistics: Value =
        serde_json::from_str(files[1].statistics.as_deref().unwrap_or("null")).expect("is JSON");
    assert_eq!(statistics["minValues"]["acceptance_date"], "2020-01-01");
    assert_eq!(statistics["maxValues"]["acceptance_date"], "2020-01-31");
    assert_eq!(statistics["nullCount"]["customs_value"], 0);
}

#[tokio::test]
async fn a_file_ends_at_the_target_size_and_the_next_begins() {
    let archive = memory("writer-roll");
    let settings = WriterSettings { target_file_bytes: 1, ..WriterSettings::default() };
    let mut writer = writer(&archive, "job", settings);
    writer.write(&rows_on(&vec![18262; SLICE_ROWS + 1])).await.expect("takes");
    let files = writer.finish().await.expect("finishes");
    assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [SLICE_ROWS as u64, 1]);
    assert!(files[1].path.ends_with("job-00001.parquet"));
}

#[tokio::test]
async fn a_month_is_written_when_later_rows_come_and_still_takes_late_rows() {
    let archive = memory("writer-over");
    let mut writer = writer(&archive, "job", WriterSettings::default());
    writer.write(&rows_on(&vec![18262; SLICE_ROWS - 1])).await.expect("takes");
    writer.write(&rows_on(&[18293])).await.expect("takes");
    assert!(writer.writing.is_empty(), "a few rows are buffered");
    writer.write(&rows_on(&[18263, 18293])).await.expect("takes");
    assert!(writer.writing.is_empty(), "rows of the month have come");
    writer.write(&rows_on(&[18293])).await.expect("takes");
    assert!(!writer.writing.is_empty());
    writer.write(&rows_on(&[18262])).await.expect("takes");
    let files = writer.finish().await.expect("finishes");
    let rows: Vec<_> = files.iter().map(|file| (file.month, file.rows)).collect();
    assert_eq!(rows, [(1, SLICE_ROWS as u64 + 1), (2, 3)]);
    assert_eq!(read(&archive, &files[0]).await.num_rows(), SLICE_ROWS + 1);
}

#[tokio::test]
async fn a_row_without_a_date_is_refused() {
    let archive = memory("writer-null");
    let mut writer = writer(&archive, "job", WriterSettings::default());
    let rows = rows(0, 2);
    let mut columns = rows.columns().to_vec();
    columns[2] = Arc::new(Date32Array::from(vec![None, Some(1)]));
    let lax: Vec<_> =
        schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(lax)), columns).expect("a batch");
    let error = writer.write(&batch).await.expect_err("no date");
    assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_row_is_written_once_in_its_month_within_the_memory(
        batches in prop::collection::vec(prop::collection::vec(-800_i32..20_000, 0..60), 1..8),
        memory_bytes in 0_usize..8000,
        open_files in 0_usize..3,
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let archive = memory("writer-random");
            let memory_bytes = memory_bytes + open_files * 2 * UPLOAD_BYTES;
            let mut writer =
                writer(&archive, "job", WriterSettings { memory_bytes, ..WriterSettings::default() });
            for days in &batches {
                writer.write(&rows_on(days)).await.expect("takes");
                prop_assert!(writer.held_bytes() <= memory_bytes || writer.buffered_bytes == 0);
            }
            let mut dates: Vec<ArrayRef> = vec![Arc::new(Date32Array::from(Vec::<i32>::new()))];
            for file in writer.finish().await.expect("finishes") {
                let rows = read(&archive, &file).await;
                prop_assert_eq!(rows.num_rows() as u64, file.rows);
                let months = month_numbers(rows.column(2)).expect("dates");
                prop_assert!(months.values().iter().all(|month| *month == file.month_number()));
                dates.push(Arc::clone(rows.column(2)));
            }
            let dates: Vec<&dyn Array> = dates.iter().map(AsRef::as_ref).collect();
            let dates = concat(&dates).expect("concatenates");
            let mut found = dates.as_primitive::<Date32Type>().values().to_vec();
            let mut expected = batches.concat();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn rows_in_any_order_end_up_sorted_and_the_same_batches_give_the_same_bytes() {
    let days: Vec<i32> = (0..3 * SLICE_ROWS as i32).map(|row| 18262 + row * 7919 % 31).collect();
    let mut files = Vec::new();
    for name in ["writer-order-a", "writer-order-b"] {
        let archive = memory(name);
        let mut writer = writer(&archive, "job", WriterSettings::default());
        for days in days.chunks(10_000) {
            writer.write(&rows_on(days)).await.expect("takes");
        }
        let done = writer.finish().await.expect("finishes");
        assert_eq!(done.len(), 1);
        let rows = read(&archive, &done[0]).await;
        let dates = rows.column(2).as_primitive::<Date32Type>().values();
        let ids = rows.column(0).as_string::<i32>();
        let keys = || dates.iter().zip(ids.iter());
        assert!(keys().is_sorted() && dates.len() == days.len());
        files.push(archive.get(&format!("t/{}", done[0].path)).await.expect("reads"));
    }
    assert!(files[0] == files[1]);
}
