//! The generator's promises: shares near their parameters, the truth, the order of rows, and reproducibility.

use std::collections::HashMap;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{Date32Type, Float64Type},
};
use proptest::prelude::*;
use tidewaiter_core::{ErrorKind, Result};

use crate::{
    Parameters, SCHEMES, Schemes, Synth, SynthBatch, economy::NEW_BROKERS, revenue_evaded, truth_schema,
    write_csv,
};

fn small() -> Parameters {
    Parameters { rows_per_year: 120_000, months: 3, planted_error_rate: 0.02, ..Parameters::default() }
}

fn all(parameters: Parameters) -> SynthBatch {
    let batches: Vec<SynthBatch> =
        Synth::new(parameters).expect("valid").collect::<Result<_>>().expect("generated");
    let declarations: Vec<_> = batches.iter().map(|batch| batch.declarations.clone()).collect();
    let truth: Vec<_> = batches.iter().map(|batch| batch.truth.clone()).collect();
    SynthBatch {
        declarations: concat_batches(&tidewaiter_declarations::schema(), &declarations).expect("one schema"),
        truth: concat_batches(&truth_schema(), &truth).expect("one schema"),
    }
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> &'a [f64] {
    batch[name].as_primitive::<Float64Type>().values()
}

fn share(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

#[test]
fn the_same_parameters_give_the_same_rows_and_another_seed_others() {
    let first = all(small());
    assert_eq!(first, all(small()));
    assert_ne!(first, all(Parameters { seed: 2, ..small() }));
}

#[test]
fn months_do_not_depend_on_their_order() {
    let whole: Vec<_> = Synth::new(small()).expect("valid").map(|batch| batch.expect("generated")).collect();
    let synth = Synth::new(small()).expect("valid");
    let mut apart: Vec<_> = (0..3).rev().map(|since| synth.month(since)).collect();
    let mut apart: Vec<Vec<_>> =
        apart.iter_mut().map(|month| month.map(|batch| batch.expect("generated")).collect()).collect();
    apart.reverse();
    assert_eq!(whole, apart.concat());
}

#[test]
fn shares_lie_near_their_parameters() {
    let SynthBatch { declarations, truth } = all(small());
    let rows = declarations.num_rows();
    assert_eq!(rows as u64, Synth::new(small()).expect("valid").rows());
    assert_eq!(declarations.schema(), tidewaiter_declarations::schema());
    let illicit = share(truth["illicit"].as_boolean().true_count(), rows);
    assert!((0.035..0.08).contains(&illicit), "illicit {illicit}");
    let inspected = share(declarations["inspected"].as_boolean().true_count(), rows);
    assert!((0.08..0.12).contains(&inspected), "inspected {inspected}");
    let planted = share(rows - truth["planted_error"].null_count(), rows);
    assert!((0.016..0.024).contains(&planted), "planted {planted}");
}

#[test]
fn the_shares_of_the_schemes_are_near_30_30_20_and_20_percent() {
    for seed in 1..=3 {
        let truth = all(Parameters { seed, rows_per_year: 1_000_000, months: 1, ..small() }).truth;
        let illicit = truth["illicit"].as_boolean().true_count();
        for (scheme, wanted) in SCHEMES[..4].iter().zip([0.3, 0.3, 0.2, 0.2]) {
            let count = truth["scheme"].as_string::<i32>().iter().filter(|s| *s == Some(*scheme)).count();
            let found = share(count, illicit);
            assert!((found - wanted).abs() < 0.08, "seed {seed}: {scheme} {found}");
        }
    }
}

#[test]
fn what_a_forger_can_choose_agrees_with_the_declared_code_and_origin() {
    let rows = all(small()).declarations;
    let text = |name: &str| rows[name].as_string::<i32>();
    let (codes, units) = (text("hs_code"), text("quantity_unit"));
    let (origins, currencies) = (text("origin"), text("invoice_currency"));
    let (net, quantity) = (numbers(&rows, "net_mass"), numbers(&rows, "quantity"));
    let (mut unit_of, mut currency_of) = (HashMap::new(), HashMap::new());
    for row in 0..rows.num_rows() {
        let unit = units.value(row);
        assert_eq!(*unit_of.entry(codes.value(row)).or_insert(unit), unit);
        let currency = currencies.value(row);
        assert_eq!(*currency_of.entry(origins.value(row)).or_insert(currency), currency);
        assert!(unit != "KGM" || quantity[row] == net[row]);
    }
}

#[test]
fn rows_are_in_date_order_and_their_amounts_agree() {
    let rows = all(small()).declarations;
    assert!(rows["acceptance_date"].as_primitive::<Date32Type>().values().is_sorted());
    let (value, duty, tax) =
        (numbers(&rows, "customs_value"), numbers(&rows, "duty_amount"), numbers(&rows, "tax_amount"));
    let (duty_rate, tax_rate) = (numbers(&rows, "duty_rate"), numbers(&rows, "tax_rate"));
    let (net, gross) = (numbers(&rows, "net_mass"), numbers(&rows, "gross_mass"));
    for row in 0..rows.num_rows() {
        assert!((duty[row] - value[row] * duty_rate[row] / 100.0).abs() < 0.0051);
        assert!((tax[row] - (value[row] + duty[row]) * tax_rate[row] / 100.0).abs() < 0.0051);
        assert!(gross[row] >= net[row] && net[row] > 0.0);
    }
}

#[test]
fn outcomes_are_known_only_where_inspected_and_never_exceed_the_truth() {
    let SynthBatch { declarations, truth } = all(small());
    let (inspected, found) = (declarations["inspected"].as_boolean(), declarations["illicit"].as_boolean());
    let (illicit, scheme) = (truth["illicit"].as_boolean(), &truth["scheme"]);
    let raised = declarations["additional_revenue"].as_primitive::<Float64Type>();
    let evaded = numbers(&truth, "additional_revenue");
    let (mut caught, mut missed) = (0, 0);
    for (row, evaded) in evaded.iter().enumerate() {
        assert_eq!(found.is_valid(row), inspected.value(row));
        assert_eq!(scheme.is_valid(row), illicit.value(row));
        assert_eq!(*evaded > 0.0, illicit.value(row));
        if inspected.value(row) && illicit.value(row) {
            if found.value(row) { caught += 1 } else { missed += 1 }
        }
        if found.is_valid(row) {
            assert!(!found.value(row) || illicit.value(row));
            assert!(raised.value(row) == if found.value(row) { *evaded } else { 0.0 });
        }
    }
    let noise = share(missed, missed + caught);
    assert!((0.05..0.15).contains(&noise), "label noise {noise}");
}

/// Of the declarations that no rule and no inspector chose, 0.7 · 0.4 · 0.25 = 7 % are drawn, suspicious or not.
#[test]
fn random_inspections_are_a_fair_sample_of_what_nothing_else_chose() {
    let parameters = Parameters { rows_per_year: 600_000, inspection_rate: 0.4, ..small() };
    let SynthBatch { declarations, truth } = all(parameters);
    let flags = |name: &str| declarations[name].as_boolean().clone();
    let (inspected, random) = (flags("inspected"), flags("random_inspection"));
    let illicit = truth["illicit"].as_boolean();
    let (mut drawn, mut left) = ((0, 0), (0, 0));
    for row in 0..declarations.num_rows() {
        assert!(inspected.value(row) || !random.value(row));
        let sum = match (random.value(row), inspected.value(row)) {
            (true, _) => &mut drawn,
            (false, false) => &mut left,
            (false, true) => continue,
        };
        *sum = (sum.0 + 1, sum.1 + usize::from(illicit.value(row)));
    }
    let chance = share(drawn.0, drawn.0 + left.0);
    assert!((0.062..0.078).contains(&chance), "{chance}");
    let lift = share(drawn.1, drawn.0) / share(left.1, left.0);
    assert!((0.85..1.15).contains(&lift), "{lift}");
}

#[test]
fn evaded_revenue_by_hand() {
    // True value 1000 at 20 % duty and 15 % tax owes 200 + 180 = 380. Declared at 400, it was assessed
    // 80 + 72 = 152. The difference is 228.
    assert!((revenue_evaded(1000.0, 20.0, 15.0, 152.0) - 228.0).abs() < 1e-9);
}

#[test]
fn schemes_can_be_switched_off_and_the_new_one_begins_at_its_date() {
    let none = Schemes {
        undervaluation: false,
        misclassification: false,
        false_origin: false,
        under_weighing: false,
    };
    let parameters = Parameters { schemes: none, new_scheme_from: Some((2019, 3)), ..small() };
    let synth = Synth::new(parameters).expect("valid");
    for since in 0..3 {
        let batches = synth.month(since).map(|batch| batch.expect("generated"));
        let illicit: usize = batches.map(|batch| batch.truth["illicit"].as_boolean().true_count()).sum();
        assert_eq!(illicit > 0, since == 2, "month {since}: {illicit}");
    }
}

#[test]
fn the_defaults_of_the_parameters_for_backtests_leave_the_archive_unchanged() {
    // The sums over the first month's export of the generator without these parameters, by Python's csv module:
    // `synth --country ZA --years 1 --first-year 2019 --rows-per-year 120000 --seed 1`.
    let rows = all(Parameters { months: 1, ..small() }).declarations;
    let sum = |name: &str| (numbers(&rows, name).iter().sum::<f64>() * 100.0).round() / 100.0;
    assert_eq!((sum("gross_mass"), sum("duty_amount")), (8_679_331.98, 79_711_511.43));
}

#[test]
fn old_schemes_end_at_their_date() {
    let synth = Synth::new(Parameters { old_schemes_until: Some((2019, 2)), ..small() }).expect("valid");
    for since in 0..3 {
        let batches = synth.month(since).map(|batch| batch.expect("generated"));
        let illicit: usize = batches.map(|batch| batch.truth["illicit"].as_boolean().true_count()).sum();
        assert_eq!(illicit > 0, since < 2, "month {since}: {illicit}");
    }
}

#[test]
fn new_brokers_come_with_the_new_scheme() {
    let parameters =
        Parameters { new_scheme_by_new_brokers: true, new_scheme_from: Some((2019, 2)), ..small() };
    let synth = Synth::new(parameters).expect("valid");
    let known = synth.economy.declarants.len() - NEW_BROKERS;
    for since in 0..2 {
        let batches = synth.month(since).map(|batch| batch.expect("generated").declarations);
        let new = |batch: RecordBatch| {
            let names = batch["declarant"].as_string::<i32>();
            names
                .iter()
                .filter(|name| {
                    synth.economy.declarants[known..].iter().any(|new| *name == Some(new.as_str()))
                })
                .count()
        };
        let items: usize = batches.map(new).sum();
        assert_eq!(items > 0, since == 1, "month {since}: {items} items");
    }
}

#[test]
fn the_new_scheme_can_be_limited_to_goods_free_of_duty() {
    let of = |new_scheme_on_free_goods| {
        let new_scheme_from = Some((2019, 1));
        let SynthBatch { declarations, truth } =
            all(Parameters { new_scheme_on_free_goods, new_scheme_from, ..small() });
        let duties = numbers(&declarations, "duty_rate").to_vec();
        let schemes = truth["scheme"].as_string::<i32>().iter().zip(duties);
        let new = schemes.filter(|(scheme, _)| *scheme == Some("false_discount"));
        let (free, other): (Vec<_>, Vec<_>) = new.partition(|(_, duty)| *duty == 0.0);
        (free.len(), other.len())
    };
    let (usual, kept) = (of(false), of(true));
    assert!(usual.0 > 0 && usual.1 > usual.0, "{usual:?}");
    assert!(kept.0 > 0 && kept.1 == 0, "{kept:?}");
}

#[test]
fn the_size_of_the_new_scheme_changes_its_shipments_and_no_others() {
    let of = |new_scheme_size| {
        let parameters = Parameters { new_scheme_size, new_scheme_from: Some((2019, 2)), ..small() };
        let SynthBatch { declarations, truth } = all(parameters);
        let new = truth["scheme"].as_string::<i32>().iter().map(|scheme| scheme == Some("false_discount"));
        (
            new.collect::<Vec<_>>(),
            numbers(&declarations, "net_mass").to_vec(),
            numbers(&truth, "additional_revenue").to_vec(),
        )
    };
    let ((_, usual, lost), (new, mass, revenue)) = (of(1.0), of(20.0));
    let near = |ratio: f64| (ratio - 1.0).abs() < 0.06;
    for row in 0..new.len() {
        let (same, larger) = (near(mass[row] / usual[row]), near(mass[row] / usual[row] / 20.0));
        // An item that evades less than one unit of currency is not illicit, however large its shipment.
        let expected = if new[row] { larger } else { same || (larger && revenue[row] == 0.0) };
        assert!(expected, "row {row}: {} {}", mass[row], usual[row]);
        let times = if new[row] { 20.0 } else { 1.0 };
        assert!(lost[row] < 1.0 || near(revenue[row] / lost[row] / times), "row {row}");
    }
    assert!(new.iter().filter(|new| **new).count() > 100);
}

#[test]
fn without_histories_and_rings_every_trader_is_alike() {
    let truth = all(Parameters { histories: false, rings: false, ..small() }).truth;
    assert!(numbers(&truth, "inclination").iter().all(|inclination| *inclination == 1.0));
    assert_eq!(truth["ring"].as_boolean().true_count(), 0);
    let truth = all(small()).truth;
    let (ring, illicit) = (truth["ring"].as_boolean(), truth["illicit"].as_boolean());
    let rate = |wanted: bool| {
        let of = (0..truth.num_rows()).filter(|row| ring.value(*row) == wanted);
        let (rows, found) = of.fold((0, 0), |sum, row| (sum.0 + 1, sum.1 + usize::from(illicit.value(row))));
        share(found, rows)
    };
    assert!(rate(true) > 1.5 * rate(false), "{} {}", rate(true), rate(false));
}

#[test]
fn a_heavy_tail_puts_the_revenue_into_few_items() {
    let share_of_top = |heavy_tail| {
        let truth = all(Parameters { heavy_tail, rows_per_year: 600_000, ..small() }).truth;
        let mut revenue: Vec<f64> =
            numbers(&truth, "additional_revenue").iter().copied().filter(|revenue| *revenue > 0.0).collect();
        revenue.sort_by(|a, b| b.total_cmp(a));
        revenue[..revenue.len() / 100].iter().sum::<f64>() / revenue.iter().sum::<f64>()
    };
    assert!(
        share_of_top(Some(1.1)) > 1.3 * share_of_top(None),
        "{} {}",
        share_of_top(Some(1.1)),
        share_of_top(None)
    );
}

#[test]
fn a_random_inspection_finds_the_overall_illicit_rate() {
    let lift = |inspection_bias| {
        let SynthBatch { declarations, truth } =
            all(Parameters { inspection_bias, label_noise: 0.0, ..small() });
        let (inspected, illicit) = (declarations["inspected"].as_boolean(), truth["illicit"].as_boolean());
        let both = (0..truth.num_rows()).filter(|row| inspected.value(*row) && illicit.value(*row)).count();
        share(both, inspected.true_count()) / share(illicit.true_count(), truth.num_rows())
    };
    assert!((0.8..1.2).contains(&lift(0.0)), "{}", lift(0.0));
    assert!(lift(1.0) > 1.4, "{}", lift(1.0));
}

#[test]
fn covariate_drift_changes_the_goods_after_the_first_half_year() {
    let codes = |covariate_drift, since: u32| -> Vec<String> {
        let synth = Synth::new(Parameters { covariate_drift, months: 13, ..small() }).expect("valid");
        let batches = synth.month(since).map(|batch| batch.expect("generated").declarations);
        batches
            .flat_map(|batch| {
                batch["hs_code"].as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    };
    assert_eq!(codes(true, 5), codes(false, 5));
    let apart = |moving| {
        let mut counts = HashMap::new();
        codes(moving, 5).into_iter().for_each(|code| counts.entry(code).or_insert((0, 0)).0 += 1);
        codes(moving, 12).into_iter().for_each(|code| counts.entry(code).or_insert((0, 0)).1 += 1);
        let (before, after) = counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        counts.values().map(|count| (share(count.0, before) - share(count.1, after)).abs()).sum::<f64>() / 2.0
    };
    let (moving, still) = (apart(true), apart(false));
    assert!(moving > still + 0.03, "total variation {moving} with it, {still} without");
}

#[test]
fn the_raw_export_has_a_line_for_each_row_and_the_named_errors() {
    let batch = all(Parameters { months: 1, ..small() });
    let mut text = Vec::new();
    let bad = write_csv(&batch, true, &mut text).expect("written");
    let text = String::from_utf8(text).expect("UTF-8");
    let planted = batch.truth["planted_error"].as_string::<i32>();
    assert_eq!(bad as usize, planted.len() - planted.null_count());
    assert_eq!(text.lines().count(), batch.declarations.num_rows() + 1);
    let names: Vec<_> = tidewaiter_declarations::COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(text.lines().next(), Some(names.join(",").as_str()));
    let dates = planted.iter().filter(|error| *error == Some("impossible_date")).count();
    assert_eq!(text.matches(",2021-02-30,").count(), dates);
    let sound = SynthBatch {
        declarations: batch.declarations.clone(),
        truth: all(Parameters { months: 1, planted_error_rate: 0.0, ..small() }).truth,
    };
    let mut clean = Vec::new();
    assert_eq!(write_csv(&sound, true, &mut clean).expect("written"), 0);
    let reader = arrow::csv::ReaderBuilder::new(tidewaiter_declarations::schema()).with_header(true);
    let read: Vec<_> = reader
        .build(clean.as_slice())
        .expect("a reader")
        .collect::<std::result::Result<_, _>>()
        .expect("every cell has its type");
    let read = concat_batches(&tidewaiter_declarations::schema(), &read).expect("one schema");
    assert_eq!(read, batch.declarations);
}

#[test]
fn a_wrong_parameter_is_named() {
    let error = Synth::new(Parameters { inspection_rate: 0.9, ..small() }).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("inspection_rate is 0.9"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn any_seed_gives_the_promised_number_of_rows(seed: u64, rows_per_year in 12u64..30_000, drift: bool) {
        let parameters = Parameters { seed, rows_per_year, drift, months: 2, ..small() };
        let synth = Synth::new(parameters).expect("valid");
        let wanted = synth.rows();
        let rows: usize = synth.map(|batch| batch.expect("generated").declarations.num_rows()).sum();
        prop_assert_eq!(rows as u64, wanted);
    }
}
