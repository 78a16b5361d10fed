//! A tree computed by hand, the tail of chi-square by SciPy, and what must not change a tree.

use std::sync::Arc;

use arrow::array::{Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};

use super::*;

/// Cases by channel, mode, hours, status, period and beginning.
type Case = (Option<&'static str>, &'static str, f64, i32, i32, i64);

/// Rows of 400 cases: of the 100 red ones 45 of 50 by sea and 5 of 50 by air are long, of the 300 green ones
/// 5 of 150 by either.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (channel, mode, all, long) in
        [("red", "sea", 50, 45), ("red", "air", 50, 5), ("green", "sea", 150, 5), ("green", "air", 150, 5)]
    {
        let hours = |place: usize| if place < long { 10.0 } else { 1.0 };
        cases.extend((0..all).map(|place| (Some(channel), mode, hours(place), 0, 0, 0)));
    }
    cases
}

async fn tree(cases: &[Case]) -> Option<Drivers> {
    let channels = StringArray::from_iter(cases.iter().map(|case| case.0));
    let modes = StringArray::from_iter_values(cases.iter().map(|case| case.1));
    let whole = |of: fn(&Case) -> i32| Arc::new(Int32Array::from_iter_values(cases.iter().map(of)));
    let rows = RecordBatch::try_from_iter([
        ("channel", Arc::new(channels) as Arc<dyn Array>),
        ("mode", Arc::new(modes)),
        ("office", Arc::new(StringArray::from(vec!["ONE"; cases.len()]))),
        ("hours", Arc::new(Float64Array::from_iter_values(cases.iter().map(|case| case.2)))),
        ("status", whole(|case| case.3)),
        ("period", whole(|case| case.4)),
        ("begun", Arc::new(Int64Array::from_iter_values(cases.iter().map(|case| case.5)))),
    ]);
    let session = SessionContext::new();
    session.register_batch("headline", rows.expect("a batch")).expect("registers");
    let cut_off = (100.0 * HOUR) as i64;
    find(&session, &["mode", "channel", "office"], 10.0, cut_off).await.expect("is found")
}

#[tokio::test]
async fn a_tree_is_that_computed_by_hand() {
    let found = tree(&cases()).await.expect("there are long cases");
    // Gini's impurity of all is 2 * 60 * 340 / 400 = 102; by channel 50 and 58 / 3 are left of it, by mode 75
    // and 19.
    let gains = |place: usize| {
        let driver = &found.attributes[place];
        (driver.attribute.as_str(), driver.alone, driver.in_tree)
    };
    let close = |found: f64, wanted: f64| (found - wanted).abs() < 1e-12;
    assert!(matches!(gains(0), ("channel", alone, tree) if close(alone, 98.0 / 306.0) && close(tree, alone)));
    assert!(
        matches!(gains(1), ("mode", alone, tree) if close(alone, 8.0 / 102.0) && close(tree, 32.0 / 102.0))
    );
    assert_eq!(found.attributes.len(), 2, "an attribute with one value is left out");
    let nodes: Vec<(Option<usize>, &str, u64, u64)> = found
        .nodes
        .iter()
        .map(|node| (node.parent, node.values.first().map_or("", String::as_str), node.cases, node.long))
        .collect();
    assert_eq!(
        nodes,
        [
            (None, "", 400, 60),
            (Some(0), "red", 100, 50),
            (Some(0), "green", 300, 10),
            (Some(1), "sea", 50, 45),
            (Some(1), "air", 50, 5),
        ]
    );
    assert!(close(found.nodes[1].gain.expect("is split"), 32.0 / 102.0));
    assert_eq!(found.nodes[2].gain, None, "the green ones are alike by any mode");
}

#[tokio::test]
async fn cases_that_are_not_known_as_long_or_not_are_left_out() {
    let whole = tree(&cases()).await;
    let mut more = cases();
    let late = (91.0 * HOUR) as i64;
    // Begun too late to be known, ended before it began, without an end, and of the other period.
    more.extend([
        (Some("red"), "air", 12.0, 0, 0, late),
        (Some("red"), "air", -1.0, 3, 0, 0),
        (Some("red"), "air", 99.0, 2, 0, 0),
    ]);
    more.push((Some("red"), "air", 99.0, 0, 1, 0));
    more.reverse();
    assert_eq!(tree(&more).await, whole);
    more.push((None, "air", 99.0, 1, 0, 0));
    let found = tree(&more).await.expect("there are long cases");
    assert_eq!((found.nodes[0].cases, found.nodes[0].long), (401, 61));
    // A single case without a channel goes with the most.
    assert!(found.nodes[2].values.contains(&String::new()), "{:?}", found.nodes);
    assert_eq!(tree(&more[..0]).await, None);
    assert_eq!(tree(&[(Some("red"), "sea", 20.0, 0, 0, 0)]).await, None, "all are long");
}

#[test]
fn chance_does_not_split() {
    // 40 values with 100 cases each; as many are long as chance would have it.
    let cell = |place: u64| Cell { values: vec![place.to_string()], cases: 100, long: 8 + place * 7 % 5 };
    let counts = Cells::from([(0, (0..40).map(cell).collect())]);
    assert_eq!(best_split(&counts, 50), None);
    assert!(
        best_groups(&counts[&0], 50).is_some_and(|(gain, ..)| gain > 0.0),
        "although some split always has a gain"
    );
}

#[test]
fn the_tail_of_chi_square_is_that_of_scipy() {
    // scipy 1.17.1, chi2.logsf.
    for (value, freedom, wanted) in [
        (3.841, 1.0, -2.995_458_635_717_103),
        (0.5, 3.0, -0.084_587_322_851_899_4),
        (25.0, 10.0, -5.231_499_167_015_302),
        (94.058_593_75, 1.0, -49.537_410_073_200_704),
        (12.0, 11.0, -1.011_582_055_434_986_6),
    ] {
        let found = ln_chi_square_tail(value, freedom);
        assert!((found - wanted).abs() < 1e-10, "{value} {freedom}: {found}");
    }
    // Where SciPy has nothing left: for 4 degrees it is exp(-x / 2) (1 + x / 2).
    assert!((ln_chi_square_tail(2000.0, 4.0) - (1001.0_f64.ln() - 1000.0)).abs() < 1e-9);
    assert_eq!(ln_chi_square_tail(0.0, 4.0), 0.0);
}
