//! Cases made by hand; neither the order of the events nor the number of parts changes them.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
        new_null_array,
    },
    compute::{concat_batches, take_record_batch},
    datatypes::{DataType, Int32Type, Int64Type},
};
use datafusion::prelude::SessionContext;
use tidewaiter_core::{plan, query::Run as _};

use super::{
    CasesOperator,
    trace::{SEPARATOR, times},
};
use crate::{messages, scope::STRATA};

/// Case, event, role, done, begun, order, and office.
type Row<'a> = (&'a str, &'a str, Option<&'a str>, i64, i64, i64, Option<&'a str>);

fn batch(rows: &[Row<'_>]) -> RecordBatch {
    let text = |of: fn(&Row<'_>) -> Option<String>| {
        Arc::new(StringArray::from_iter(rows.iter().map(of))) as ArrayRef
    };
    let whole =
        |of: fn(&Row<'_>) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let mut columns = vec![
        ("case_id", text(|row| Some(row.0.to_owned()))),
        ("event", text(|row| Some(row.1.to_owned()))),
        ("role", text(|row| row.2.map(str::to_owned))),
        ("done", whole(|row| row.3)),
        ("begun", whole(|row| row.4)),
        ("file_order", whole(|row| row.5)),
        ("utc_offset", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| (row.5 % 2) as i32)))),
        ("starts", Arc::new(BooleanArray::from(vec![false; rows.len()]))),
    ];
    for name in STRATA {
        let column = match name {
            "office" => text(|row| row.6.map(str::to_owned)),
            _ => new_null_array(&DataType::Utf8, rows.len()),
        };
        columns.push((name, column));
    }
    RecordBatch::try_from_iter(columns).expect("a batch")
}

/// Only the south has opening hours; 1970 began on a Thursday.
const STAGES: &str = r#"
    roles = ["lodgement", "release"]
    [[stage]]
    name = "customs"
    kind = "whole"
    from = ["lodgement"]
    to = ["release"]
    [offices.SOUTH]
    time_zone = "UTC"
    hours = { thursday = ["00:00-24:00"] }
"#;

async fn cases(rows: &[Row<'_>], parts: u32) -> RecordBatch {
    cases_of(batch(rows), parts).await
}

async fn cases_of(events: RecordBatch, parts: u32) -> RecordBatch {
    let session = SessionContext::new();
    let events = session.read_batch(events).expect("reads");
    let events = events.physical_plan().await.expect("plans");
    let roles = ["lodgement", "inspection-start", "inspection-end"].map(str::to_owned).to_vec();
    let operator = CasesOperator::new(messages::CasesOperator {
        roles,
        intervals: true,
        parts,
        stages: STAGES.to_owned(),
        first: 0,
        cut_off: 1000,
    })
    .expect("is right");
    let node = plan::OperatorExec::new(Arc::new(operator), events).expect("a node");
    let batches = datafusion::physical_plan::collect(Arc::new(node), session.task_ctx()).await.expect("runs");
    let schema = batches.first().expect("a batch").schema();
    let rows = concat_batches(&schema, &batches).expect("are alike");
    let order = arrow::compute::sort_to_indices(rows.column(0), None, None).expect("sorts");
    take_record_batch(&rows, &order).expect("is taken")
}

const ROWS: [Row<'static>; 7] = [
    ("b", "look", Some("inspection-end"), 90, 40, 5, Some("NORTH")),
    ("a", "lodge", Some("lodgement"), 10, 10, 2, None),
    ("b", "lodge", Some("lodgement"), 20, 20, 1, None),
    ("b", "coffee", None, 60, 60, 4, Some("SOUTH")),
    ("b", "coffee", None, 60, 60, 6, None),
    // Begun after the look, done before it.
    ("b", "stamp", Some("stamp"), 50, 45, 3, None),
    ("c", "look", Some("inspection-end"), 5, 7, 7, None),
];

#[tokio::test]
async fn cases_are_those_made_by_hand() {
    let found = cases(&ROWS, 1).await;
    let whole = |name: &str| {
        let column = found.column_by_name(name).expect("is there");
        column.as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
    };
    let text = |name: &str, row: usize| {
        let column = found.column_by_name(name).expect("is there").as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).replace(SEPARATOR, ">"))
    };
    assert_eq!(whole("first_us"), [Some(10), Some(20), Some(5)]);
    assert_eq!(whole("last_us"), [Some(10), Some(90), Some(5)]);
    assert_eq!(whole("events"), [Some(1), Some(5), Some(1)]);
    assert_eq!(whole("different_events"), [Some(1), Some(4), Some(1)]);
    assert_eq!(text("variant", 1).as_deref(), Some("lodge>stamp>coffee>coffee>look"));
    assert_eq!(text("sequence", 1).as_deref(), Some("lodge>look>stamp>coffee>coffee"));
    let gaps = found.column_by_name("gaps").expect("is there").as_binary::<i32>();
    assert_eq!(times(gaps.value(1)).collect::<Vec<_>>(), [20, -45, 10, 0]);
    let working = found.column_by_name("working_gaps").expect("is there").as_binary::<i32>();
    assert_eq!((0..3).map(|row| working.is_valid(row)).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(times(working.value(1)).collect::<Vec<_>>(), [20, -45, 10, 0]);
    assert_eq!(whole("without_role"), [Some(0), Some(2), Some(0)]);
    // The second coffee stands in the file after the look.
    assert_eq!(whole("out_of_order"), [Some(0), Some(1), Some(0)]);
    assert_eq!(whole("negative"), [Some(0), Some(0), Some(1)]);
    assert_eq!(whole("duplicates"), [Some(0), Some(1), Some(0)]);
    let mixed = found.column_by_name("mixed").expect("is there").as_boolean();
    assert_eq!(mixed.iter().collect::<Vec<_>>(), [Some(false), Some(true), Some(false)]);
    let offsets = found.column_by_name("utc_offset").expect("is there").as_primitive::<Int32Type>();
    assert_eq!(offsets.values().to_vec(), [0, 1, 1]);
    assert_eq!((text("office", 0), text("office", 1).as_deref()), (None, Some("SOUTH")));
    assert_eq!(whole("role_0"), [Some(10), Some(20), None]);
    assert_eq!(whole("role_1"), [None, Some(40), None], "an inspection with a beginning has both milestones");
    assert_eq!(whole("role_2"), [None, Some(90), Some(5)]);
}

#[tokio::test]
async fn absent_columns_are_the_same_as_columns_of_nulls() {
    let rows = ROWS
        .map(|(case, event, role, done, _, order, office)| (case, event, role, done, done, order, office));
    let all = batch(&rows);
    let names = ["case_id", "event", "role", "done", "file_order", "utc_offset", "office"];
    let places: Vec<usize> =
        names.iter().map(|name| all.schema().index_of(name).expect("is there")).collect();
    let few = all.project(&places).expect("are there");
    assert_eq!(cases_of(few, 1).await, cases_of(all, 1).await);
}

#[tokio::test]
async fn neither_order_nor_parts_change_the_cases() {
    let names: Vec<String> = (0..500).map(|case| format!("case {case}")).collect();
    let events = ["lodge", "look", "stamp", "coffee"];
    let mut rows: Vec<Row<'_>> = (0..5000_i64)
        .map(|row| {
            let done = row * 7919 % 1009;
            let event = events[(row * 31 % 4) as usize];
            (
                names[(row * 13 % 500) as usize].as_str(),
                event,
                Some("lodgement"),
                done,
                done - row % 5,
                row,
                None,
            )
        })
        .collect();
    let whole = cases(&rows, 1).await;
    assert_eq!(whole.num_rows(), 500);
    rows.reverse();
    assert_eq!(cases(&rows, 7).await, whole);
}
