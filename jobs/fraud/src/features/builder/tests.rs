//! That features use the past only, and are what a person would compute.

use std::{fs::File, path::Path, sync::Arc};

use arrow::{
    array::{Array, AsArray, Date32Array, Float64Array, Int32Array, StringArray},
    csv::ReaderBuilder,
    datatypes::{DataType, Field, Schema},
};
use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::*;
use crate::metrics::Metrics;

#[derive(Debug, Clone)]
struct Row {
    day: i32,
    hs: u8,
    origin: u8,
    importer: Option<u8>,
    value: f64,
    illicit: Option<bool>,
}

fn batch(rows: &[Row]) -> RecordBatch {
    let number = |of: &dyn Fn(&Row) -> f64| Arc::new(Float64Array::from_iter_values(rows.iter().map(of)));
    let name = |of: &dyn Fn(&Row) -> Option<String>| Arc::new(rows.iter().map(of).collect::<StringArray>());
    RecordBatch::try_from_iter_with_nullable([
        ("declaration_id", name(&|_| Some("D".into())) as ArrayRef, false),
        ("item_number", Arc::new(Int32Array::from(vec![1; rows.len()])) as ArrayRef, false),
        (
            "acceptance_date",
            Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.day))) as ArrayRef,
            false,
        ),
        ("hs_code", name(&|row| Some(format!("0102{:02}0000", row.hs))) as ArrayRef, false),
        ("origin", name(&|row| Some(format!("O{}", row.origin))) as ArrayRef, true),
        ("importer", name(&|row| row.importer.map(|importer| format!("I{importer}"))) as ArrayRef, true),
        ("customs_value", number(&|row| row.value) as ArrayRef, true),
        ("net_mass", number(&|_| 10.0) as ArrayRef, true),
        ("illicit", Arc::new(rows.iter().map(|row| row.illicit).collect::<BooleanArray>()) as ArrayRef, true),
    ])
    .expect("a batch")
}

fn index(name: &str) -> usize {
    features().iter().position(|feature| feature.name == name).expect("a feature of that name")
}

/// Every feature of every row as bits (so that NaN equals NaN), row by row.
fn bits(parameters: Parameters, batches: &[RecordBatch]) -> Vec<Vec<u32>> {
    let mut builder = FeatureBuilder::new(parameters).expect("parameters");
    let mut rows = Vec::new();
    for batch in batches {
        let built = builder.push(batch).expect("features");
        rows.extend((0..built.rows()).map(|row| {
            (0..features().len()).map(|feature| built.feature(feature)[row].to_bits()).collect::<Vec<_>>()
        }));
    }
    rows
}

fn row(day: i32, hs: u8, importer: u8, value: f64, illicit: Option<bool>) -> Row {
    Row { day, hs, origin: 0, importer: Some(importer), value, illicit }
}

/// Six rows over four days, used by the hand-computed cases.
fn six() -> RecordBatch {
    batch(&[
        row(0, 1, 1, 100.0, Some(true)),
        row(0, 1, 2, 200.0, Some(false)),
        row(1, 1, 1, 400.0, Some(true)),
        row(1, 2, 1, 100.0, None),
        row(3, 1, 2, 100.0, Some(false)),
        row(4, 2, 1, 100.0, Some(false)),
    ])
}

fn assert_near(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    for (row, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let equal = (actual.is_nan() && expected.is_nan()) || (actual - expected).abs() < 1e-5;
        assert!(equal, "row {row}: {actual} is not {expected}");
    }
}

#[test]
fn rates_of_six_rows_are_as_computed_by_hand() {
    let parameters = Parameters { smoothing: 2.0, ..Parameters::default() };
    let built = FeatureBuilder::new(parameters).expect("parameters").push(&six()).expect("features");
    let nan = f32::NAN;
    // Overall before each day: day 0 nothing; day 1: 1/2; day 3: 2/3; day 4: 2/4.
    assert_near(
        built.feature(index("hs6_rate")),
        &[nan, nan, (1.0 + 1.0) / 4.0, 0.5, (2.0 + 4.0 / 3.0) / 5.0, 0.5],
    );
    assert_near(
        built.feature(index("importer_rate")),
        &[nan, nan, (1.0 + 1.0) / 3.0, (1.0 + 1.0) / 3.0, (4.0 / 3.0) / 3.0, (2.0 + 1.0) / 4.0],
    );
    let ln = |count: f32| count.ln_1p();
    assert_near(built.feature(index("hs6_labelled")), &[0.0, 0.0, ln(2.0), 0.0, ln(3.0), 0.0]);
    assert_near(built.feature(index("hs6_seen")), &[0.0, 0.0, ln(2.0), 0.0, ln(3.0), ln(1.0)]);
    assert_near(built.feature(index("hs6_days")), &[nan, nan, 1.0, nan, 2.0, 3.0]);
    // Prices per kg of hs 1: 10, 20, then 40; the log mean of the first two is ln 10 + ln 2 / 2.
    let two = std::f32::consts::LN_2;
    assert_near(built.feature(index("hs6_price_ratio")), &[nan, nan, 1.5 * two, nan, -two, 0.0]);
    let spread = (two * two / 2.0).sqrt();
    assert_near(built.feature(index("hs6_price_deviation")), &[nan, nan, 1.5 * two / spread, nan, -1.0, nan]);
    assert_near(built.feature(index("hs6_code")), &[10201.0, 10201.0, 10201.0, 10202.0, 10201.0, 10202.0]);
    assert_near(built.feature(index("day_of_week")), &[4.0, 4.0, 5.0, 5.0, 7.0, 1.0]);
    assert!(built.feature(index("office_rate")).iter().all(|rate| rate.is_nan()));
    assert_eq!(built.labels().null_count(), 1);
}

#[test]
fn an_outcome_is_used_only_after_its_delay() {
    let parameters = Parameters { smoothing: 2.0, label_delay_days: 3, ..Parameters::default() };
    let built = FeatureBuilder::new(parameters).expect("parameters").push(&six()).expect("features");
    // On day 3 the outcomes of day 0 are known, on day 4 also those of day 1.
    let rate = built.feature(index("importer_rate"));
    assert!(rate[..4].iter().all(|rate| rate.is_nan()));
    assert_near(&rate[4..], &[(0.0 + 1.0) / 3.0, (2.0 + 4.0 / 3.0) / 4.0]);
    // Rows themselves are known the next day.
    assert_near(&built.feature(index("hs6_seen"))[2..3], &[2.0_f32.ln_1p()]);
}

#[test]
fn rows_out_of_time_order_are_refused_and_change_nothing() {
    let mut builder = FeatureBuilder::new(Parameters::default()).expect("parameters");
    builder.push(&six()).expect("features");
    let late = batch(&[row(5, 1, 1, 1.0, None), row(4, 1, 1, 1.0, None)]);
    let error = builder.push(&late).expect_err("refused");
    assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
    assert!(error.to_string().contains("row 1") && error.to_string().contains("1970-01-05"), "{error}");
    assert!(builder.push(&batch(&[row(4, 1, 1, 1.0, None)])).is_ok());
}

#[test]
fn a_missing_or_unreadable_column_is_refused_and_changes_nothing() {
    let mut builder = FeatureBuilder::new(Parameters::default()).expect("parameters");
    let good = six();
    let with = |name: &str, array: Option<ArrayRef>| {
        let schema = good.schema();
        let columns = schema.fields().iter().zip(good.columns()).filter_map(|(field, column)| {
            let column = if field.name() == name { array.clone()? } else { Arc::clone(column) };
            Some((field.name().clone(), column, true))
        });
        RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
    };
    let words = Arc::new(StringArray::from(vec!["dear"; 6])) as ArrayRef;
    for bad in [
        with("hs_code", None),
        with("declaration_id", Some(Arc::new(StringArray::new_null(6)))),
        with("customs_value", Some(words)),
    ] {
        let error = builder.push(&bad).expect_err("refused");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input, "{error}");
    }
    let fresh = bits(Parameters::default(), std::slice::from_ref(&good));
    let built = builder.push(&good).expect("features");
    assert_eq!(built.feature(index("hs6_rate"))[2].to_bits(), fresh[2][index("hs6_rate")]);
    // An engine's string views are the same text.
    let view = arrow::compute::cast(good.column_by_name("hs_code").expect("column"), &DataType::Utf8View);
    assert_eq!(bits(Parameters::default(), &[with("hs_code", Some(view.expect("a view")))]), fresh);
}

#[test]
fn parameters_out_of_range_are_refused() {
    for parameters in [
        Parameters { label_delay_days: 0, ..Parameters::default() },
        Parameters { history_capacity: 0, ..Parameters::default() },
        Parameters { smoothing: 0.0, ..Parameters::default() },
        Parameters { smoothing: f64::NAN, ..Parameters::default() },
    ] {
        assert!(FeatureBuilder::new(parameters).is_err());
    }
}

#[test]
fn memory_is_bounded_and_forgetting_is_counted() {
    let parameters = Parameters { history_capacity: 8, ..Parameters::default() };
    let mut builder = FeatureBuilder::new(parameters).expect("parameters");
    for day in 0..200 {
        builder.push(&batch(&[row(day, (day % 50) as u8, day as u8, 1.0, Some(false))])).expect("features");
    }
    assert!(builder.forgotten() > 0);
    assert!(builder.histories.largest() <= 16);
    assert!(builder.waiting.len() <= 2);
}

#[test]
fn codes_keep_their_order() {
    let column = StringArray::from(vec![Some("10"), Some("40"), Some("A"), Some("FCN1"), Some("FEU1"), None]);
    let codes = columns::codes(&column);
    assert!(codes[..5].is_sorted_by(|a, b| a < b));
    assert!(codes[5].is_nan());
}

fn streams() -> impl Strategy<Value = Vec<Row>> {
    let row = (0..3i32, 0..3u8, 0..3u8, prop::option::of(0..3u8), 1.0..1000.0f64, any::<Option<bool>>());
    prop::collection::vec(row, 1..60).prop_map(|rows| {
        let mut day = 100;
        rows.into_iter()
            .map(|(gap, hs, origin, importer, value, illicit)| {
                day += (gap - 1).max(0);
                Row { day, hs, origin, importer, value, illicit }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_leaks_from_the_same_or_a_later_day(
        rows in streams(), at in any::<prop::sample::Index>(), delay in 1..4u32, capacity in 1..12usize,
    ) {
        let parameters = Parameters { label_delay_days: delay, history_capacity: capacity, smoothing: 5.0 };
        let at = at.index(rows.len());
        let before = bits(parameters, &[batch(&rows)]);

        let mut relabelled = rows.clone();
        relabelled[at].illicit = match rows[at].illicit { Some(true) => Some(false), _ => Some(true) };
        // Forgetting depends on which rows have an outcome at all, but not earlier than the delay either.
        let after = bits(parameters, &[batch(&relabelled)]);
        for (row, (before, after)) in rows.iter().zip(before.iter().zip(&after)) {
            if row.day < rows[at].day + delay as i32 {
                prop_assert_eq!(before, after);
            }
        }

        let mut changed = rows.clone();
        changed[at].value *= 7.0;
        changed[at].hs = 9;
        changed[at].importer = Some(9);
        let after = bits(parameters, &[batch(&changed)]);
        for (index, (before, after)) in before.iter().zip(&after).enumerate() {
            if index != at && rows[index].day <= rows[at].day {
                prop_assert_eq!(before, after);
            }
        }
    }

    #[test]
    fn batch_boundaries_do_not_matter(
        rows in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5), capacity in 1..12usize,
    ) {
        let parameters = Parameters { history_capacity: capacity, ..Parameters::default() };
        let whole = batch(&rows);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len())).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| whole.slice(cut[0], cut[1] - cut[0])).collect();
        prop_assert_eq!(bits(parameters, &pieces), bits(parameters, &[whole]));
    }

    #[test]
    fn the_features_of_some_rows_are_those_that_they_have_among_all(
        rows in streams(), cut in 0usize..60, every in 1usize..4,
    ) {
        let all = bits(Parameters::default(), &[batch(&rows)]);
        let (before, after) = rows.split_at(cut.min(rows.len()));
        let mut builder = FeatureBuilder::new(Parameters::default()).expect("parameters");
        let mut start = 0;
        for part in [before, after] {
            let wanted: Vec<usize> = (start..start + part.len()).filter(|row| row % every == 0).collect();
            let flags = BooleanArray::from_iter((start..start + part.len()).map(|row| Some(row % every == 0)));
            let prepared = PreparedBatch::new(&batch(part), flags).expect("prepares");
            let built = builder.push_prepared(prepared).expect("features");
            prop_assert_eq!(built.rows(), wanted.len());
            for (place, row) in wanted.into_iter().enumerate() {
                for (feature, bits) in all[row].iter().enumerate() {
                    prop_assert_eq!(built.feature(feature)[place].to_bits(), *bits);
                }
            }
            start += part.len();
        }
    }

    #[test]
    fn rates_agree_with_their_definition(rows in streams(), delay in 1..4u32) {
        let parameters = Parameters { label_delay_days: delay, smoothing: 3.0, ..Parameters::default() };
        let built = FeatureBuilder::new(parameters).expect("parameters").push(&batch(&rows)).expect("features");
        let rates = built.feature(index("importer_hs6_rate"));
        for (row, rate) in rows.iter().zip(rates) {
            let share = |same: &dyn Fn(&Row) -> bool| {
                let known: Vec<bool> = rows
                    .iter()
                    .filter(|past| past.day <= row.day - delay as i32 && same(past))
                    .filter_map(|past| past.illicit)
                    .collect();
                (known.iter().filter(|illicit| **illicit).count() as f64, known.len() as f64)
            };
            let (illicit, labelled) = share(&|_| true);
            let global = illicit / labelled;
            let (illicit, labelled) = share(&|past| past.hs == row.hs && past.importer == row.importer);
            let expected = (illicit + 3.0 * global) / (labelled + 3.0);
            if row.importer.is_none() || expected.is_nan() {
                prop_assert!(rate.is_nan());
            } else {
                prop_assert!((f64::from(*rate) - expected).abs() < 1e-6);
            }
        }
    }
}

/// The public Korean declarations (see their README), in the archive's columns.
fn korean(file: &str) -> Option<Vec<RecordBatch>> {
    let path =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/declarations")).join(file);
    let file = File::open(&path).ok()?;
    let (text, number) = (DataType::Utf8, DataType::Float64);
    let fields = [
        ("declaration_id", &text),
        ("acceptance_date", &DataType::Date32),
        ("office", &text),
        ("declaration_type", &text),
        ("procedure", &text),
        ("goods_use", &text),
        ("payment_method", &text),
        ("transport_mode", &text),
        ("declarant", &text),
        ("importer", &text),
        ("exporter", &text),
        ("carrier", &text),
        ("hs_code", &text),
        ("departure", &text),
        ("origin", &text),
        ("duty_rate", &number),
        ("preference", &text),
        ("origin_marking", &text),
        ("net_mass", &number),
        ("customs_value", &number),
        ("fraud", &DataType::Int32),
        ("critical_fraud", &DataType::Int32),
    ];
    let schema = Schema::new(fields.map(|(name, kind)| Field::new(name, kind.clone(), true)).to_vec());
    let reader = ReaderBuilder::new(Arc::new(schema)).with_header(true).build(GzDecoder::new(file));
    let batches = reader.expect("a CSV").map(|batch| {
        let batch = batch.expect("a batch of the CSV");
        let fraud =
            batch.column_by_name("fraud").expect("the label").as_primitive::<arrow::datatypes::Int32Type>();
        let illicit: BooleanArray = fraud.iter().map(|fraud| fraud.map(|fraud| fraud == 1)).collect();
        let items = Int32Array::from(vec![1; batch.num_rows()]);
        let mut columns: Vec<(String, ArrayRef)> = batch
            .schema()
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| (field.name().clone(), Arc::clone(column)))
            .collect();
        columns.push(("illicit".into(), Arc::new(illicit)));
        columns.push(("item_number".into(), Arc::new(items)));
        RecordBatch::try_from_iter(columns).expect("a batch")
    });
    Some(batches.collect())
}

#[test]
fn past_rates_rank_the_korean_declarations_as_measured_elsewhere() {
    let files = ["df_syn_train_eng.csv.gz", "df_syn_valid_eng.csv.gz", "df_syn_test_eng.csv.gz"];
    let Some(periods) = files.map(korean).into_iter().collect::<Option<Vec<_>>>() else {
        eprintln!("SKIPPED: the Korean declarations are not beside the checkout (shared/data/declarations)");
        return;
    };
    let mut builder = FeatureBuilder::new(Parameters::default()).expect("parameters");
    let mut scores = Vec::new();
    let mut labels = Vec::new();
    let mut rows = 0;
    for (period, batches) in periods.iter().enumerate() {
        for batch in batches {
            let built = builder.push(batch).expect("features");
            rows += built.rows();
            if period == 2 {
                let rates = built.feature(index("hs6_departure_rate"));
                scores.extend(rates.iter().map(|rate| f64::from(*rate)));
                labels.extend_from_slice(built.labels().values());
            }
        }
    }
    assert_eq!((rows, scores.len(), builder.forgotten()), (54_000, 8_481, 0));
    // A throw-away Python computation of the same rate from the twelve months of 2020 gave 0.818.
    let area = Metrics::of(&scores, &labels, None).expect("two classes").roc_auc;
    assert!((0.80..0.85).contains(&area), "ROC AUC {area}");
}

#[test]
fn an_outcome_revealed_later_has_the_same_effect_as_one_given_at_once() {
    let parameters = Parameters { smoothing: 2.0, label_delay_days: 2, ..Parameters::default() };
    let rows: Vec<Row> = (0..60)
        .map(|at| row(at / 4, (at % 3) as u8, (at % 5) as u8, 100.0 + f64::from(at), Some(at % 7 == 0)))
        .collect();
    // The first ten days are chosen from when they are over; the rest are the next period.
    let (first, next) = rows.split_at(40);
    let chosen: Vec<usize> = (0..40).filter(|at| at % 3 != 1).collect();
    let hidden: Vec<Row> = first.iter().map(|row| Row { illicit: None, ..row.clone() }).collect();
    let known: Vec<Row> = (0..40)
        .map(|at| Row { illicit: first[at].illicit.filter(|_| chosen.contains(&at)), ..first[at].clone() })
        .collect();

    let mut direct = FeatureBuilder::new(parameters).expect("parameters");
    direct.push(&batch(&known)).expect("features");
    let wanted = direct.push(&batch(next)).expect("features");

    let mut revealed = FeatureBuilder::new(parameters).expect("parameters");
    revealed.push(&batch(&hidden)).expect("features");
    let illicit: Vec<bool> = chosen.iter().map(|at| first[*at].illicit == Some(true)).collect();
    revealed.reveal(&FeatureBuilder::keys(&batch(&hidden)).expect("keys"), &chosen, &illicit);
    let found = revealed.push(&batch(next)).expect("features");
    for feature in 0..features().len() {
        let bits = |built: &FeatureBatch| {
            built.feature(feature).iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(bits(&found), bits(&wanted), "{}", features()[feature].name);
    }
}
