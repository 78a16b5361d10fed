//! Walks over generated months: what a choice may depend on, what it finds, and the published lesson.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use super::*;
use crate::synth::{self, Synth};

fn generated() -> synth::Parameters {
    synth::Parameters {
        country: "TW".to_owned(),
        first_month: (2020, 1),
        months: 8,
        rows_per_year: 24_000,
        seed: 5,
        inspection_rate: 0.2,
        ..synth::Parameters::default()
    }
}

/// A batch with the columns that a walk reads; `truth` may change what is true, by the row's place.
fn with_truth(
    batch: &synth::SynthBatch,
    first: usize,
    truth: &dyn Fn(usize, bool) -> Option<bool>,
) -> RecordBatch {
    let illicit = batch.truth["illicit"].as_boolean();
    let illicit: BooleanArray =
        illicit.iter().enumerate().map(|(at, illicit)| truth(first + at, illicit == Some(true))).collect();
    let schema = batch.declarations.schema();
    let own = schema.fields().iter().zip(batch.declarations.columns());
    let own = own.map(|(field, column)| (field.name().clone(), Arc::clone(column)));
    let added = [
        ("true_illicit".to_owned(), Arc::new(illicit) as ArrayRef),
        ("true_revenue".to_owned(), Arc::clone(&batch.truth["additional_revenue"])),
    ];
    RecordBatch::try_from_iter(own.chain(added)).expect("a batch")
}

fn rows(parameters: synth::Parameters, truth: &dyn Fn(usize, bool) -> Option<bool>) -> Vec<RecordBatch> {
    let mut first = 0;
    let batches = Synth::new(parameters).expect("valid").map(|batch| batch.expect("generated"));
    batches
        .map(|batch| {
            let rows = with_truth(&batch, first, truth);
            first += rows.num_rows();
            rows
        })
        .collect()
}

fn told(_: usize, illicit: bool) -> Option<bool> {
    Some(illicit)
}

/// Days since 1970-01-01 of 2020-05-01 and of 2020-08-31.
const DAYS: (i32, i32) = (18_383, 18_505);

fn parameters(strategy: &str) -> WalkParameters {
    WalkParameters {
        strategy: strategy.parse().expect("known"),
        seed: 1,
        days: DAYS,
        period_days: 28,
        inspection_rate: 0.05,
        exploration: 0.2,
        features: features::Parameters { label_delay_days: 5, ..features::Parameters::default() },
        trees: gbdt::Parameters { trees: 20, leaves: 8, min_rows_per_leaf: 5, ..gbdt::Parameters::default() },
        date: date::Parameters {
            booster: gbdt::Parameters { trees: 6, leaves: 8, ..date::Parameters::default().booster },
            least_steps: 40,
            batch_rows: 64,
            importer_rows: 1 << 12,
            code_rows: 1 << 12,
            ..date::Parameters::default()
        },
        training_rows: 100_000,
        drift: false,
    }
}

/// A walk's choices and report.
fn walked(parameters: WalkParameters, rows: &[RecordBatch]) -> (Vec<Vec<usize>>, WalkReport) {
    let mut walk = Walk::new(parameters).expect("valid");
    for batch in rows {
        walk.push(batch).expect("walks");
    }
    while walk.first_day(walk.period) <= walk.parameters.days.1 {
        walk.close().expect("walks");
    }
    (walk.chosen.clone(), walk.finish().expect("walks"))
}

#[test]
fn a_choice_depends_on_no_outcome_that_was_not_revealed() {
    let honest = rows(generated(), &told);
    let warm_up: usize = rows(generated(), &told)
        .iter()
        .map(|batch| {
            let days = batch["acceptance_date"].as_primitive::<Date32Type>().values();
            days.iter().filter(|day| **day < DAYS.0).count()
        })
        .sum();
    for strategy in ["risk-profile", "gbdt+badge", "gbdt+gate", "gbdt+adapt", "date+bate"] {
        let (chosen, report) = walked(parameters(strategy), &honest);
        let inspected: Vec<u64> = report.periods.iter().map(|period| period.inspected).collect();
        assert_eq!(chosen.len(), 5);
        let mut seen = std::collections::HashSet::new();
        let mut first = warm_up;
        for (choice, period) in chosen.iter().zip(&report.periods) {
            seen.extend(choice.iter().map(|row| first + row));
            first += period.items as usize;
        }
        assert_eq!(seen.len() as u64, inspected.iter().sum::<u64>());
        // Every other truth turned round, and the archive's own outcomes of the walked months with it.
        let lie = |row: usize, illicit: bool| {
            Some(if row < warm_up || seen.contains(&row) { illicit } else { !illicit })
        };
        let lying = rows(generated(), &lie);
        let (other, lied) = walked(parameters(strategy), &lying);
        assert_eq!(other, chosen, "{strategy}");
        let found =
            |report: &WalkReport| report.periods.iter().map(|period| period.found).collect::<Vec<_>>();
        assert_eq!(found(&lied), found(&report), "{strategy}");
        assert_ne!(lied.periods[0].illicit, report.periods[0].illicit);
    }
}

#[test]
fn a_repetition_is_the_same_and_another_seed_is_not() {
    let rows = rows(generated(), &told);
    for strategy in ["random", "gbdt+bate", "gbdt+uncertainty"] {
        let first = walked(parameters(strategy), &rows);
        assert_eq!(first, walked(parameters(strategy), &rows), "{strategy}");
    }
    let other = walked(WalkParameters { seed: 2, ..parameters("random") }, &rows);
    assert_ne!(other.0, walked(parameters("random"), &rows).0);
}

#[test]
fn how_the_rows_are_cut_into_batches_changes_nothing() {
    let whole = rows(generated(), &told);
    let cut: Vec<RecordBatch> = whole
        .iter()
        .flat_map(|batch| {
            (0..batch.num_rows())
                .step_by(700)
                .map(|at| batch.slice(at, 700.min(batch.num_rows() - at)))
                .collect::<Vec<_>>()
        })
        .collect();
    let parameters = WalkParameters { drift: true, ..parameters("gbdt+random") };
    assert_eq!(walked(parameters.clone(), &whole), walked(parameters, &cut));
}

#[test]
fn items_of_unknown_truth_reveal_nothing_and_are_counted() {
    let rows = rows(generated(), &|row, illicit| (row % 2 == 0).then_some(illicit));
    let (_, report) = walked(parameters("random"), &rows);
    let total = PeriodFigures::total(&report.periods);
    assert!(total.unknown > total.inspected / 3 && total.unknown < total.inspected * 2 / 3, "{total:?}");
    assert!(total.known < total.items && total.precision.is_some());
}

#[test]
fn a_learner_without_both_kinds_of_outcome_is_refused_and_the_others_go_on() {
    let blind = rows(synth::Parameters { inspection_rate: 0.0, ..generated() }, &told);
    let mut walk = Walk::new(parameters("gbdt")).expect("valid");
    let error = blind.iter().try_for_each(|batch| walk.push(batch)).expect_err("refused");
    assert_eq!(error.kind(), crate::ErrorKind::Input);
    assert!(error.to_string().contains("0 outcomes are known"), "{error}");
    let (_, report) = walked(parameters("random"), &blind);
    assert_eq!(report.warm_up.1, 0);
    assert!(PeriodFigures::total(&report.periods).found > 0);
}

#[test]
fn trees_find_more_than_the_risk_profile_and_that_more_than_chance() {
    let rows = rows(synth::Parameters { rows_per_year: 60_000, ..generated() }, &told);
    let precision = |strategy| {
        PeriodFigures::total(&walked(parameters(strategy), &rows).1.periods).precision.expect("inspected")
    };
    let [random, profile, trees] = ["random", "risk-profile", "gbdt"].map(precision);
    assert!(profile > 2.0 * random && trees > 1.05 * profile, "{random} {profile} {trees}");
}

/// The lesson of Kim et al. (arXiv:2010.14282): when the tricks change, exploitation alone goes on where it used
/// to find something and collapses; a tenth of the inspections by lot finds the new tricks.
#[test]
fn exploitation_alone_collapses_when_the_tricks_change_and_a_tenth_of_exploration_finds_more() {
    let drifting = synth::Parameters {
        months: 16,
        rows_per_year: 60_000,
        old_schemes_until: Some((2020, 6)),
        new_scheme_from: Some((2020, 7)),
        new_scheme_by_unsuspected: true,
        schemes: synth::Schemes { undervaluation: false, under_weighing: false, ..synth::Schemes::default() },
        ..generated()
    };
    let rows = rows(drifting, &told);
    let last_third = |strategy| {
        let parameters = WalkParameters { days: (18_383, 18_747), exploration: 0.1, ..parameters(strategy) };
        let periods = walked(parameters, &rows).1.periods;
        let figures =
            |periods: &[PeriodFigures]| PeriodFigures::total(periods).norm_precision.expect("illicit");
        (figures(&periods[..2]), figures(&periods[periods.len() * 2 / 3..]))
    };
    let (alone, saved) = (last_third("gbdt"), last_third("gbdt+random"));
    assert!(alone.1 < 0.5 * alone.0, "exploitation alone: {alone:?}");
    assert!(saved.1 > alone.1, "with a tenth of exploration {saved:?}, alone {alone:?}");
}

/// The other half of the lesson: old tricks that go on fill the capacity, so that exploitation alone never misses
/// and never learns that large shipments through new brokers, of traders with a clean past, now hold nearly all
/// that is lost. See docs/benchmarks.md for archives on which it takes longer, or shows less.
#[test]
fn old_tricks_that_fill_the_capacity_hide_new_ones_until_a_tenth_of_exploration_finds_them() {
    let hidden = synth::Parameters {
        months: 18,
        rows_per_year: 60_000,
        seed: 5,
        inspection_rate: 0.3,
        new_scheme_from: Some((2020, 7)),
        new_scheme_by_unsuspected: true,
        new_scheme_by_new_brokers: true,
        new_scheme_traders: 0.15,
        new_scheme_share: 0.9,
        new_scheme_size: 20.0,
        ..generated()
    };
    let rows = rows(hidden, &told);
    let totals = |strategy| {
        let days = (18_383, 18_809);
        let own = WalkParameters { days, exploration: 0.1, inspection_rate: 0.02, ..parameters(strategy) };
        let periods = walked(own, &rows).1.periods;
        let of = |periods: &[PeriodFigures]| {
            let total = PeriodFigures::total(periods);
            (total.norm_precision.expect("illicit"), total.norm_revenue.expect("revenue"))
        };
        (of(&periods[..2]), of(&periods[periods.len() - 5..]))
    };
    let ((before, earned), (alone, blind)) = totals("gbdt");
    assert!(alone > 0.9 * before, "nothing tells it: precision {before}, then {alone}");
    assert!(blind < 0.2 * earned && blind < 0.05, "exploitation alone: revenue {earned}, then {blind}");
    let (_, (found, saved)) = totals("gbdt+random");
    assert!(saved > 10.0 * blind && saved > 0.3, "with a tenth of exploration {saved}, alone {blind}");
    assert!(found > 1.5 * alone, "with a tenth of exploration {found}, alone {alone}");
}
