//! Tests of the reports' contents.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float32Array, Float64Array, Int32Array, RecordBatch, StringArray};
use proptest::prelude::*;
use tidewaiter_registry::{
    Promotion,
    comparison::{Comparison, Resampled},
};
use tidewaiter_report::words::{Language, Words};

use super::{
    model_report::{FEATURES, curves, decision},
    *,
};
use crate::{
    evaluation::{TestRows, Verdict, evaluate},
    features::{feature_schema, features, text::attribution_width},
    metrics::RankedRow,
    scored::{RankBy, Selection, TopItems},
};

/// Ten rows of April and May 2021, three of them illicit.
fn rows() -> TestRows {
    TestRows {
        days: vec![18_718, 18_718, 18_719, 18_720, 18_747, 18_748, 18_748, 18_749, 18_750, 18_751],
        declarations: (0..10).collect(),
        labels: vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        revenue: vec![100.0, f64::NAN, 0.0, 0.0, 0.0, 300.0, 0.0, 0.0, 0.0, 0.0],
        challenger: vec![0.9, 0.2, 0.1, 0.1, 0.7, 0.8, 0.6, 0.3, 0.2, 0.1],
        champion: Some(vec![0.5, 0.6, 0.1, 0.1, 0.9, 0.8, 0.2, 0.3, 0.2, 0.1]),
        expected: vec![f64::NAN; 10],
        random: vec![None; 10],
        propensity: None,
    }
}

fn facts() -> ModelFacts {
    ModelFacts {
        model: "fraud@3".to_owned(),
        champion: Some("fraud@2".to_owned()),
        promotion: Promotion::Champion,
        country: "KR".to_owned(),
        train: "2020-01..2020-12".to_owned(),
        valid: "2021-01..2021-01".to_owned(),
        test: "2021-04..2021-05".to_owned(),
        capacity: 0.2,
        currency: "KRW".to_owned(),
        seed: 7,
        snapshot: "declarations@12".to_owned(),
        looks: 1,
        ..ModelFacts::default()
    }
}

fn verdict() -> Verdict {
    evaluate(&rows(), 0).expect("a verdict")
}

/// A comparison whose resamples of declarations begin with `low`.
fn comparison(low: f64) -> Comparison {
    let drawn = |low, groups| Resampled { groups, low, high: 0.021, better: 0.998, resamples: 1000 };
    Comparison {
        difference: 0.0123,
        low: low.min(0.005),
        high: 0.021,
        by_declaration: drawn(low, 10),
        by_day: drawn(0.005, 4),
        seed: 7,
    }
}

fn report(facts: ModelFacts, importance: &[f64], items: Vec<SelectedItem>) -> ModelPage {
    let verdict = Verdict { over_random: comparison(0.004), ..verdict() };
    model_report(&rows(), &verdict, facts, importance, items).expect("filled")
}

fn without_spaces(text: &str) -> String {
    text.replace('\u{a0}', " ")
}

#[test]
fn a_retrain_of_ten_rows_counted_by_hand() {
    let mut importance = vec![0.0; features().len()];
    importance[3] = 0.25;
    importance[0] = 0.75;
    let report = report(facts(), &importance, Vec::new());
    insta::assert_snapshot!(without_spaces(&report.headline()), @"Inspecting the riskiest 20 % of items finds 67 % of the fraud and 100 % of the revenue to be recovered; of these 2 items 2 are illicit: 100.0 %. Inspecting as many at random would find 20 % of the fraud; the champion so far finds 33 %.");
    assert!(
        report
            .decision
            .starts_with("fraud@3 becomes the model in use: it is better than fraud@2, which is kept"),
        "{}",
        report.decision
    );
    assert_eq!((report.test_rows, report.illicit_rate), (10, 0.3));
    assert_eq!(report.periods.train, "2020-01 – 2020-12");
    assert_eq!(report.periods.valid, "2021-01");
    let names: Vec<&str> = report.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names[..5], ["average_precision", "roc_auc", "log_loss", "precision@0.1", "precision@1"]);
    assert_eq!(names.len(), 23);
    // Two of three illicit rows and the whole revenue are in the first two.
    let at = |curves: &Curves| curves.challenger.iter().find(|point| point.0 == 0.2).map(|point| point.1);
    assert_eq!(at(&report.gain), Some(2.0 / 3.0));
    assert_eq!((at(&report.precision), at(&report.revenue)), (Some(1.0), Some(1.0)));
    let months: Vec<(&str, u64)> =
        report.by_month.iter().map(|month| (month.month.as_str(), month.rows)).collect();
    assert_eq!(months, [("2021-04", 5), ("2021-05", 5)]);
    assert_eq!(report.by_month[0].metrics["roc_auc"], 1.0);
    assert!(report.by_month[0].metrics.contains_key("precision@10"));
    let shown: Vec<(&str, f64)> =
        report.importance.iter().map(|one| (one.feature.as_str(), one.share)).collect();
    assert_eq!(shown, [("ln_customs_value", 0.75), ("ln_price_per_kg", 0.25)]);
    assert_eq!((report.calibration.len(), report.calibration[9].observed), (10, 1.0));
    assert!(report.html().contains("customs value per kg"));
}

#[test]
fn the_decision_says_what_became_of_the_model() {
    let over_random =
        |low| Verdict { champion: None, comparison: None, over_random: comparison(low), ..verdict() };
    let (alone, unproven) = (over_random(0.004), over_random(-0.001));
    let compared = |low| Verdict { comparison: Some(comparison(low)), ..verdict() };
    for (champion, promotion, verdict, expected) in [
        (false, Promotion::Champion, &alone, "fraud@3 becomes the model in use: there was none."),
        (
            false,
            Promotion::Champion,
            &unproven,
            "fraud@3 becomes the model in use because there was none, and not because it is good",
        ),
        (false, Promotion::Pending, &alone, "it is promoted, unless another model was before it."),
        (
            false,
            Promotion::OvertakenBy(2),
            &alone,
            "fraud@3 is kept and not in use: there was no model in use",
        ),
        (
            true,
            Promotion::NotBetter,
            &alone,
            "it was not compared with fraud@2, which stays the model in use.",
        ),
        (
            true,
            Promotion::Champion,
            &compared(0.004),
            "fraud@3 becomes the model in use: it is better than fraud@2",
        ),
        (
            true,
            Promotion::NotBetter,
            &compared(-0.001),
            "fraud@2 stays the model in use: fraud@3 is not better",
        ),
        (
            true,
            Promotion::Pending,
            &compared(-0.001),
            "fraud@2 stays the model in use: fraud@3 is not better",
        ),
        (
            true,
            Promotion::Pending,
            &compared(0.004),
            "is promoted, unless another model was since they were compared.",
        ),
        (
            true,
            Promotion::OvertakenBy(4),
            &compared(0.004),
            "though it is better than fraud@2: fraud@4 was put in",
        ),
    ] {
        let champion = champion.then(|| "fraud@2".to_owned());
        let said = decision(&ModelFacts { champion, promotion, ..facts() }, verdict);
        assert!(said.contains(expected), "{said}");
        let wins = said.contains("becomes the model in use");
        assert_eq!(wins, promotion == Promotion::Champion, "{said}");
    }
    let said = without_spaces(&decision(&facts(), &compared(0.004)));
    assert!(
        said.ends_with(
            "On the inspected items of the test months its average precision differs by 0.0123 from that of fraud@2 \
             (95 % interval 0.0040 to 0.0210 when its 10 declarations are drawn again, above 0 in 99.8 % of 1,000 paired \
             resamples; 0.0050 to 0.0210 when its 4 days are drawn again, above 0 in 99.8 % of 1,000 paired resamples; \
             seed 7)."
        ),
        "{said}"
    );
    let french = decision(&ModelFacts { language: Language::French, ..facts() }, &compared(0.004));
    assert!(french.starts_with("fraud@3 devient le modèle en service"), "{french}");
}

#[test]
fn a_model_that_is_not_shown_to_beat_a_random_draw_is_said_first() {
    let importance = vec![0.0; features().len()];
    // Ten rows show nothing.
    assert!(!verdict().over_random.is_better());
    let page = |language| {
        let facts = ModelFacts { champion: None, language, ..facts() };
        model_report(&rows(), &verdict(), facts, &importance, Vec::new()).expect("filled")
    };
    let headline = without_spaces(&page(Language::English).headline());
    assert!(
        headline.starts_with(
            "This model is not shown to select better than a random draw. The riskiest 5 % of the items with a known outcome \
             hold 23.3 percentage points more of the fraud than as many drawn at random (95 % interval −"
        ),
        "{headline}"
    );
    let proven = report(facts(), &importance, Vec::new());
    assert!(!proven.headline().contains("random draw"), "{}", proven.headline());
    for (language, says) in [(Language::French, "tirage au hasard"), (Language::Spanish, "selección al azar")]
    {
        assert!(page(language).headline().contains(says), "{}", page(language).headline());
    }
}

#[test]
fn a_month_says_of_how_many_items_its_metrics_are_and_how_far_they_are_chance() {
    let report = report(facts(), &vec![0.0; features().len()], Vec::new());
    let month = &report.by_month[0];
    assert_eq!((month.rows, month.selected), (5, 1));
    let [low, high] = month.intervals["precision@10"];
    // One of one item.
    assert!(low < 0.3 && high == 1.0, "{low} to {high}");
    assert!(report.metrics.iter().any(|metric| metric.interval.is_some()));
    let html = without_spaces(&report.html());
    assert!(html.contains("95 % interval<") && html.contains("1.000 (0.207 to 1.000)"), "{html}");
}

/// Rows whose features are all `value`.
fn records(rows: usize, value: f32) -> RecordBatch {
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("D{row}")))),
        Arc::new(Int32Array::from_iter_values((0..rows).map(|row| row as i32 + 1))),
        Arc::new(Date32Array::from_iter_values((0..rows).map(|_| 18_718))),
        Arc::new((0..rows).map(|row| [Some(1.0), None][row % 2]).collect::<Float32Array>()),
        Arc::new(Float64Array::new_null(rows)),
    ];
    arrays.extend(features().iter().map(|_| Arc::new(Float32Array::from(vec![value; rows])) as ArrayRef));
    RecordBatch::try_new(feature_schema(), arrays).expect("records")
}

fn declared() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("importer", Arc::new(StringArray::from(vec![Some("IMP1"), None]))),
        ("hs_code", Arc::new(StringArray::from(vec!["010121", "851713"]))),
        ("customs_value", Arc::new(Float64Array::from(vec![Some(1250.0), None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("declared")
}

fn top(
    features: RecordBatch,
    declared: RecordBatch,
    probabilities: &[f64],
    attributions: &[f64],
) -> TopItems {
    TopItems {
        features,
        declared,
        probabilities: probabilities.to_vec(),
        expected: vec![None; probabilities.len()],
        attributions: attributions.to_vec(),
    }
}

fn place(name: &str) -> usize {
    features().iter().position(|feature| feature.name == name).expect("a feature")
}

#[test]
fn an_item_has_the_three_reasons_that_raise_it_most() {
    let width = attribution_width();
    let mut attributions = vec![0.0; 2 * width];
    for (name, contribution) in [
        ("importer_rate", 0.5),
        ("hs6_rate", 1.5),
        ("duty_rate", -3.0),
        ("month", 0.4),
        ("hs6_origin_seen", 0.9),
    ] {
        attributions[place(name)] = contribution;
    }
    attributions[width + place("month")] = -1.0;
    let items =
        listed_items(&Words::default(), Some(&top(records(2, 0.0), declared(), &[0.9, 0.8], &attributions)))
            .expect("items");
    let reasons: Vec<(String, f64)> =
        items[0].reasons.iter().map(|(text, value)| (without_spaces(text), *value)).collect();
    assert_eq!(
        reasons,
        [
            ("past illicit share of the HS 6 code: no earlier outcome is known".to_owned(), 1.5),
            ("first item of HS 6 × origin".to_owned(), 0.9),
            ("past illicit share of the importer: no earlier outcome is known".to_owned(), 0.5),
        ]
    );
    assert_eq!((items[0].rank, items[0].item, items[0].date.as_str()), (1, 1, "2021-04-01"));
    assert_eq!(
        (items[0].importer.as_str(), items[0].value, items[0].illicit),
        ("IMP1", Some(1250.0), Some(true))
    );
    assert_eq!((items[1].importer.as_str(), items[1].origin.as_str(), items[1].value), ("", "", None));
    assert_eq!((items[1].reasons.len(), items[1].illicit, items[1].probability), (0, None, 0.8));
}

#[test]
fn items_whose_parts_do_not_fit_are_a_bug() {
    let attributions = vec![0.0; 2 * attribution_width()];
    for (probabilities, attributions) in
        [(vec![0.1], &attributions[..]), (vec![0.1, 0.2], &attributions[1..])]
    {
        let top = top(records(2, 0.0), declared(), &probabilities, attributions);
        let error = listed_items(&Words::default(), Some(&top)).expect_err("refused");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Internal);
    }
    let top = top(declared(), declared(), &[0.1, 0.2], &attributions);
    let error = listed_items(&Words::default(), Some(&top)).expect_err("refused");
    assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Internal);
}

/// The ten rows in the order of their probabilities; the outcomes are known where `labels` are.
fn selected(capacity: u64, labels: &[f32]) -> Selection {
    let TestRows { days, revenue, challenger, .. } = rows();
    let known = labels.iter().filter(|label| !label.is_nan()).count() as u64;
    let mut order: Vec<usize> = (0..10).collect();
    order.sort_by(|a, b| challenger[*b].total_cmp(&challenger[*a]));
    let mut selection = Selection::new(capacity, known, None);
    for row in order {
        let (score, label, revenue) = (challenger[row], labels[row], revenue[row]);
        selection.push(days[row], RankedRow { score, probability: score, label, revenue }, None);
    }
    selection
}

fn selection_facts() -> SelectionFacts {
    SelectionFacts {
        model: "fraud@3".to_owned(),
        country: "KR".to_owned(),
        months: "2021-04..2021-05".to_owned(),
        trained: "2020-01..2021-01".to_owned(),
        capacity: 0.35,
        currency: "KRW".to_owned(),
        snapshot: "declarations@12".to_owned(),
        rank_by: RankBy::Probability,
        ..SelectionFacts::default()
    }
}

#[test]
fn scored_months_counted_by_hand() {
    let report = selection_report(&selected(3, &[f32::NAN; 10]), selection_facts(), Vec::new());
    // 0.9, 0.8 and 0.7 are the three of ten.
    assert_eq!((report.rows, report.selected, report.threshold), (10, 3, Some(0.7)));
    assert!((report.expected_hits - 2.4).abs() < 1e-12);
    let months: Vec<_> =
        report.by_month.iter().map(|month| (month.month.as_str(), month.rows, month.selected)).collect();
    assert_eq!(months, [("2021-04", 5, 2), ("2021-05", 5, 1)]);
    assert_eq!((report.known, report.metrics.len()), (0, 0));
    insta::assert_snapshot!(without_spaces(&report.headline()), @"Inspect the riskiest 3 of 10 items: those with a probability of fraud of 70.0 % or more. By the probabilities, which are learned from inspected items, about 2 of them should prove illicit.");

    let report = selection_report(&selected(3, &rows().labels), selection_facts(), Vec::new());
    assert_eq!((report.known, report.metrics.len()), (10, 23));
    assert_eq!((report.by_month[0].inspected, report.by_month[0].outcomes), (2, Some((2, 1))));
    insta::assert_snapshot!(without_spaces(&report.headline()), @"Inspect the riskiest 3 of 10 items: those with a probability of fraud of 70.0 % or more. By the probabilities, which are learned from inspected items, about 2 of them should prove illicit. 3 of them were inspected already, and 2 of these found illicit: 0 are left.");
}

#[test]
fn months_without_items_have_a_report() {
    let report = selection_report(&Selection::new(1, 0, None), selection_facts(), Vec::new());
    assert_eq!((report.rows, report.selected, report.threshold), (0, 0, None));
    assert!(report.html().contains("no items to inspect"));
}

/// A card is read over slow lines and sent by mail.
#[test]
fn fifty_items_with_reasons_stay_small() {
    let width = attribution_width();
    let records = records(LISTED, 0.25);
    let attributions: Vec<f64> = (0..LISTED * width).map(|at| at as f64 % 7.0).collect();
    let declared = RecordBatch::try_from_iter([(
        "importer",
        Arc::new(StringArray::from(vec!["an importer of a long name"; LISTED])) as ArrayRef,
    )])
    .expect("declared");
    let items = listed_items(&Words::default(), Some(&top(records, declared, &[0.5; LISTED], &attributions)))
        .expect("items");
    let importance = vec![1.0 / width as f64; width];
    let report = report(facts(), &importance, items);
    assert!(report.html().len() < 400_000, "{}", report.html().len());
    assert_eq!(report.importance.len(), FEATURES);
}

proptest! {
    #[test]
    fn curves_stay_within_0_and_1_and_gain_never_falls(
        rows in prop::collection::vec((0.0..=1.0f64, any::<bool>(), 0.0..1e6f64), 2..300),
        capacity in 0.0..=1.0f64,
    ) {
        let labels: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(row.1))).collect();
        prop_assume!(labels.contains(&1.0));
        let rows = TestRows {
            days: vec![18_718; rows.len()],
            declarations: (0..rows.len() as u64).collect(),
            labels,
            revenue: rows.iter().map(|row| row.2).collect(),
            challenger: rows.iter().map(|row| row.0).collect(),
            champion: Some(rows.iter().map(|row| 1.0 - row.0).collect()),
            expected: vec![f64::NAN; rows.len()],
            random: vec![None; rows.len()],
            propensity: None,
        };
        let [gain, precision, revenue] = curves(&rows, capacity).expect("curves");
        for curve in [&gain, &precision, &revenue].map(|of| [&of.challenger, &of.champion]).as_flattened() {
            prop_assert!(curve.len() <= 200);
            prop_assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0));
            prop_assert!(curve.iter().all(|point| (0.0..=1.0 + 1e-12).contains(&point.1)));
        }
        for curve in [&gain.challenger, &gain.champion, &revenue.challenger] {
            prop_assert!(curve.windows(2).all(|pair| pair[0].1 <= pair[1].1 + 1e-12));
            prop_assert!(curve.iter().any(|point| point.0 == capacity));
        }
    }
}

#[test]
fn every_text_is_in_the_list_of_words() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let gaps = tidewaiter_report::words::testing::gaps(&sources, WORDS).expect("is read");
    assert_eq!(gaps, Vec::<String>::new());
}

#[test]
fn the_tables_of_both_pages_hold_what_the_pages_show() {
    let mut importance = vec![0.0; features().len()];
    importance[0] = 1.0;
    let page = report(facts(), &importance, Vec::new());
    let tables = page.tables().expect("tables");
    let rows = |name: &str| tables.iter().find(|table| table.0 == name).expect(name).1.num_rows();
    assert_eq!(rows("gain"), page.gain.challenger.len() + page.gain.champion.len());
    assert_eq!((rows("metrics"), rows("calibration"), rows("features")), (page.metrics.len(), 10, 1));
    let names: std::collections::BTreeSet<&str> = tables.iter().map(|table| table.0).collect();
    assert_eq!(names.len(), tables.len());
    let empty = SelectionPage::default().tables().expect("tables");
    assert!(empty.iter().all(|(_, table)| table.num_rows() == 0 && table.num_columns() >= 3));
}
