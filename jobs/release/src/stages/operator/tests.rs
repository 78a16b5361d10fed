//! Stages measured by hand.

use arrow::datatypes::Float64Type;

use super::*;

const STAGES: &str = r#"
    roles = ["lodgement", "acceptance", "release"]
    calendar = { time_zone = "UTC", hours = { thursday = ["00:00-01:00"] } }
    [[stage]]
    name = "customs"
    kind = "whole"
    from = ["acceptance", "lodgement"]
    to = ["release"]
    target_hours = 4
    [[stage]]
    name = "acceptance"
    kind = "step"
    from = ["lodgement"]
    to = ["acceptance"]
"#;

#[test]
fn each_stage_of_a_case_has_its_time_and_its_status() {
    let hours = |times: [Option<f64>; 4]| -> ArrayRef {
        Arc::new(Int64Array::from_iter(times.map(|time| time.map(|time| (time * HOUR) as i64))))
    };
    let texts = |texts: [&str; 4]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let cases = RecordBatch::try_from_iter([
        ("case_id", texts(["whole", "open", "unrecorded", "backwards"])),
        ("period", Arc::new(Int32Array::from(vec![0; 4])) as ArrayRef),
        ("first_us", hours([Some(0.0), Some(1.0), Some(0.0), Some(2.0)])),
        ("last_us", hours([Some(5.0), Some(1.0), Some(4.0), Some(9.0)])),
        ("office", texts(["A", "A", "A", "A"])),
        ("role_0", hours([Some(0.5), Some(1.0), Some(0.0), Some(9.0)])),
        ("role_1", hours([Some(1.0), None, None, Some(8.0)])),
        ("role_2", hours([Some(5.0), None, Some(4.0), Some(2.0)])),
    ])
    .expect("a batch");
    let message = messages::StagesOperator {
        stages: STAGES.to_owned(),
        first: 0,
        cut_off: (10.0 * HOUR) as i64,
        ..messages::StagesOperator::default()
    };
    let operator = StagesOperator::new(message).expect("is right");
    let rows = operator.measure(&cases).expect("measures");
    let numbers = |name: &str| {
        rows.column_by_name(name).expect("is there").as_primitive::<Int32Type>().values().to_vec()
    };
    let times = |name: &str| {
        let keys = rows.column_by_name(name).expect("is there").as_primitive::<Int64Type>();
        let hours = |key| Key::of(key).length as f64 / HOUR;
        keys.iter().map(|key| key.map(hours)).collect::<Vec<_>>()
    };
    let counted = StagesOperator::new(messages::StagesOperator { counted: true, ..operator.message.clone() });
    let counted = counted.expect("is right").count(&cases).expect("counts");
    let whole = |name: &str| {
        counted.column_by_name(name).expect("is there").as_primitive::<Int64Type>().values().to_vec()
    };
    assert_eq!(whole("stage"), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    assert_eq!(whole("status"), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    assert_eq!(whole("n"), [4, 0, 0, 0, 2, 1, 0, 1, 1, 1, 1, 1]);
    assert_eq!(whole("working"), [4, 0, 0, 0, 2, 1, 0, 0, 1, 1, 0, 0]);
    assert_eq!(numbers("stage"), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    assert_eq!(numbers("status"), [0, 0, 0, 0, 0, 1, 0, 3, 0, 1, 2, 3]);
    let some = |hours: [f64; 4]| hours.map(Some);
    assert_eq!(times("key")[..4], some([5.0, 0.0, 4.0, 7.0]));
    assert_eq!(times("key")[4..8], [Some(4.0), Some(9.0), Some(4.0), None]);
    assert_eq!(times("key")[8..], [Some(0.5), Some(9.0), None, None]);
    // The target of 4 hours: met by two, past by the open one, which was followed for 9; nobody knows of the last.
    let flags = rows.column_by_name("in_target").expect("is there").as_boolean();
    let flags: Vec<Option<bool>> = flags.iter().collect();
    assert_eq!(flags[4..8], [Some(true), Some(false), Some(true), None]);
    assert_eq!(
        (whole("followed")[4..8].to_vec(), whole("in_target")[4..8].to_vec()),
        (vec![2, 1, 0, 0], vec![2, 0, 0, 0])
    );
    // 1970 began on a Thursday; the office is open in its first hour alone.
    assert_eq!(times("working_key")[..4], some([1.0, 0.0, 1.0, 0.0]));
    assert_eq!(times("working_key")[8], Some(0.5));
}

#[test]
fn a_target_is_judged_on_the_cases_that_were_followed_for_as_long() {
    let message = |cut_off: f64| messages::StagesOperator {
        stages: STAGES.to_owned(),
        cut_off: (cut_off * HOUR) as i64,
        ..messages::StagesOperator::default()
    };
    let met = |cut_off: f64, end: End| {
        let operator = StagesOperator::new(message(cut_off)).expect("is right");
        operator.is_in_target(operator.target(1), 0, end)
    };
    let at = |hours: f64| End::At((hours * HOUR) as i64);
    assert_eq!(met(5.0, at(3.0)), Some(true));
    assert_eq!(met(5.0, at(4.5)), Some(false));
    assert_eq!(met(5.0, End::Open), Some(false), "past its target, though not over");
    // Two hours after it began, neither of these is known to meet four hours: the open ones of the same age are not.
    assert_eq!((met(2.0, at(1.0)), met(2.0, End::Open)), (None, None));
    assert_eq!((met(5.0, End::Missing), met(5.0, at(-1.0))), (None, None));
}

#[test]
fn the_time_of_a_stage_is_divided_over_the_steps_of_its_cases() {
    let hours = |times: [Option<f64>; 3]| -> ArrayRef {
        Arc::new(Int64Array::from_iter(times.map(|time| time.map(|time| (time * HOUR) as i64))))
    };
    let texts = |texts: [&str; 3]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    // The first: lodged at 1, accepted at 3, released at 10; the second is of another period; the third is open.
    let cases = RecordBatch::try_from_iter([
        ("period", Arc::new(Int32Array::from(vec![0, 1, 0])) as ArrayRef),
        ("first_us", hours([Some(0.0); 3])),
        ("last_us", hours([Some(12.0); 3])),
        ("office", texts(["A", "A", "A"])),
        ("role_0", hours([Some(1.0), Some(1.0), Some(1.0)])),
        ("role_1", hours([Some(3.0), Some(3.0), Some(3.0)])),
        ("role_2", hours([Some(10.0), Some(10.0), None])),
    ])
    .expect("a batch");
    let stages = STAGES.replace("[\"acceptance\", \"lodgement\"]", "[\"lodgement\"]");
    let message = messages::StagesOperator { stages, divided: Some(1), ..Default::default() };
    let rows = StagesOperator::new(message).expect("is right").divide(&cases, 1).expect("divides");
    let column = |name: &str| {
        rows.column_by_name(name).expect("is there").as_primitive::<Int64Type>().values().to_vec()
    };
    assert_eq!(column("stage"), [2, 0]);
    assert_eq!(column("seconds"), [2 * 3600, 7 * 3600]);
    assert_eq!(column("microseconds"), [0, 0]);
}

#[test]
fn an_early_end_is_no_error_where_the_stage_file_allows_it() {
    let stages = r#"
        roles = ["arrival", "lodgement", "release", "look"]
        [[stage]]
        name = "before"
        kind = "part"
        from = ["arrival"]
        to = ["lodgement"]
        may_end_early = true
        [[stage]]
        name = "never"
        kind = "step"
        from = ["arrival"]
        to = ["look"]
        optional = true
        [[stage]]
        name = "customs"
        kind = "part"
        from = ["lodgement"]
        not_before = ["arrival"]
        to = ["release"]
    "#;
    let microseconds = |times: [i64; 4]| Arc::new(Int64Array::from(times.to_vec())) as ArrayRef;
    let text = || Arc::new(StringArray::from(vec!["x"; 4])) as ArrayRef;
    let cases = RecordBatch::try_from_iter([
        ("case_id", text()),
        ("period", Arc::new(Int32Array::from(vec![0; 4])) as ArrayRef),
        ("first_us", microseconds([0; 4])),
        ("last_us", microseconds([9; 4])),
        ("office", text()),
        // After arrival; lodged before it; released before it, too; released before it is lodged.
        ("role_0", microseconds([1, 5, 5, 1])),
        ("role_1", microseconds([2, 1, 1, 3])),
        ("role_2", microseconds([4, 8, 3, 2])),
        ("role_3", Arc::new(Int64Array::from(vec![None, None, None, Some(7)])) as ArrayRef),
    ])
    .expect("a batch");
    let message = messages::StagesOperator {
        stages: stages.to_owned(),
        first: 0,
        cut_off: 9,
        ..messages::StagesOperator::default()
    };
    let measure = |only| {
        let message = messages::StagesOperator { only, ..message.clone() };
        let rows = StagesOperator::new(message).expect("is right").measure(&cases).expect("measures");
        let statuses = rows.column_by_name("status").expect("is there").as_primitive::<Int32Type>();
        let statuses = statuses.values().iter().copied();
        match rows.column_by_name("hours") {
            Some(hours) => {
                let hours = hours.as_primitive::<Float64Type>().values();
                statuses.zip(hours.iter().map(|hours| (hours * HOUR).round() as i64)).collect::<Vec<_>>()
            }
            None => statuses.map(|status| (status, 0)).collect(),
        }
    };
    assert_eq!(measure(Some(1)), [(0, 1), (0, 0), (0, 0), (0, 2)]);
    assert_eq!(measure(Some(2)), [(0, 6)], "a case that was not inspected did not wait for it");
    assert_eq!(measure(Some(3)), [(0, 2), (0, 3), (0, 0), (3, -1)]);
    assert_eq!(measure(None).len(), 13);
}
