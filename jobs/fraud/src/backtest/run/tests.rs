//! Runs over generated months: what a choice may depend on, what it finds, and the published results.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use tidewaiter_synth::{self as synth, Synth};

use super::*;

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

/// A batch with the columns that a run reads; `truth` may change the true outcome of a row, given its number.
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

fn unchanged(_: usize, illicit: bool) -> Option<bool> {
    Some(illicit)
}

/// Days since 1970-01-01 of 2020-05-01 and of 2020-08-31.
const DAYS: (i32, i32) = (18_383, 18_505);

fn parameters(strategy: &str) -> RunParameters {
    RunParameters {
        strategy: strategy.parse().expect("known"),
        seed: 1,
        days: DAYS,
        period_days: 28,
        inspection_rate: 0.05,
        daily_capacity: None,
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

/// The choices and the report of a run.
fn run_over(parameters: RunParameters, rows: &[RecordBatch]) -> (Vec<Vec<usize>>, RunReport) {
    let mut run = Run::new(parameters).expect("valid");
    for batch in rows {
        run.push(batch).expect("runs");
    }
    while run.first_day(run.period) <= run.parameters.days.1 {
        run.close_period().expect("runs");
    }
    (run.chosen.clone(), run.finish().expect("runs"))
}

#[test]
fn a_choice_depends_on_no_outcome_that_was_not_revealed() {
    let honest = rows(generated(), &unchanged);
    let warm_up: usize = rows(generated(), &unchanged)
        .iter()
        .map(|batch| {
            let days = batch["acceptance_date"].as_primitive::<Date32Type>().values();
            days.iter().filter(|day| **day < DAYS.0).count()
        })
        .sum();
    for strategy in ["risk-profile", "gbdt+badge", "gbdt+gate", "gbdt+adapt", "date+bate"] {
        let (chosen, report) = run_over(parameters(strategy), &honest);
        let inspected: Vec<u64> = report.periods.iter().map(|period| period.inspected).collect();
        assert_eq!(chosen.len(), 5);
        let mut seen = std::collections::HashSet::new();
        let mut first = warm_up;
        for (choice, period) in chosen.iter().zip(&report.periods) {
            seen.extend(choice.iter().map(|row| first + row));
            first += period.items as usize;
        }
        assert_eq!(seen.len() as u64, inspected.iter().sum::<u64>());
        // All other outcomes of these months are inverted, those of the archive too.
        let lie = |row: usize, illicit: bool| {
            Some(if row < warm_up || seen.contains(&row) { illicit } else { !illicit })
        };
        let lying = rows(generated(), &lie);
        let (other, lied) = run_over(parameters(strategy), &lying);
        assert_eq!(other, chosen, "{strategy}");
        let found = |report: &RunReport| report.periods.iter().map(|period| period.found).collect::<Vec<_>>();
        assert_eq!(found(&lied), found(&report), "{strategy}");
        assert_ne!(lied.periods[0].illicit, report.periods[0].illicit);
    }
}

#[test]
fn a_repetition_is_the_same_and_another_seed_is_not() {
    let rows = rows(generated(), &unchanged);
    for strategy in ["random", "gbdt+bate", "gbdt+uncertainty"] {
        let first = run_over(parameters(strategy), &rows);
        assert_eq!(first, run_over(parameters(strategy), &rows), "{strategy}");
    }
    let other = run_over(RunParameters { seed: 2, ..parameters("random") }, &rows);
    assert_ne!(other.0, run_over(parameters("random"), &rows).0);
}

#[test]
fn results_do_not_depend_on_the_batches() {
    let whole = rows(generated(), &unchanged);
    let cut: Vec<RecordBatch> = whole
        .iter()
        .flat_map(|batch| {
            (0..batch.num_rows())
                .step_by(700)
                .map(|at| batch.slice(at, 700.min(batch.num_rows() - at)))
                .collect::<Vec<_>>()
        })
        .collect();
    let parameters = RunParameters { drift: true, ..parameters("gbdt+random") };
    assert_eq!(run_over(parameters.clone(), &whole), run_over(parameters, &cut));
}

#[test]
fn items_of_unknown_outcome_reveal_nothing_and_are_counted() {
    let rows = rows(generated(), &|row, illicit| (row % 2 == 0).then_some(illicit));
    let (_, report) = run_over(parameters("random"), &rows);
    let total = PeriodFigures::total(&report.periods);
    assert!(total.unknown > total.inspected / 3 && total.unknown < total.inspected * 2 / 3, "{total:?}");
    assert!(total.known < total.items && total.precision.is_some());
}

#[test]
fn a_strategy_with_a_model_needs_both_outcomes_and_the_others_do_not() {
    let blind = rows(synth::Parameters { inspection_rate: 0.0, ..generated() }, &unchanged);
    let mut run = Run::new(parameters("gbdt")).expect("valid");
    let error = blind.iter().try_for_each(|batch| run.push(batch)).expect_err("refused");
    assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
    assert!(error.to_string().contains("0 outcomes are known"), "{error}");
    let (_, report) = run_over(parameters("random"), &blind);
    assert_eq!(report.warm_up.1, 0);
    assert!(PeriodFigures::total(&report.periods).found > 0);
}

#[test]
fn trees_find_more_than_the_risk_profile_and_that_more_than_random_selection() {
    let rows = rows(synth::Parameters { rows_per_year: 60_000, ..generated() }, &unchanged);
    let precision = |strategy| {
        PeriodFigures::total(&run_over(parameters(strategy), &rows).1.periods).precision.expect("inspected")
    };
    let [random, profile, trees] = ["random", "risk-profile", "gbdt"].map(precision);
    assert!(profile > 2.0 * random && trees > 1.05 * profile, "{random} {profile} {trees}");
}

/// The result of Kim et al. (arXiv:2010.14282): when fraud schemes change, a strategy of exploitation alone goes on
/// inspecting where it used to find something and collapses; a tenth of the inspections at random finds the new
/// schemes.
#[test]
fn exploitation_alone_collapses_when_schemes_change_and_a_tenth_of_exploration_finds_more() {
    let drifting = synth::Parameters {
        months: 16,
        rows_per_year: 60_000,
        old_schemes_until: Some((2020, 6)),
        new_scheme_from: Some((2020, 7)),
        new_scheme_by_unsuspected: true,
        schemes: synth::Schemes { undervaluation: false, under_weighing: false, ..synth::Schemes::default() },
        ..generated()
    };
    let rows = rows(drifting, &unchanged);
    let last_third = |strategy| {
        let parameters = RunParameters { days: (18_383, 18_747), exploration: 0.1, ..parameters(strategy) };
        let periods = run_over(parameters, &rows).1.periods;
        let figures =
            |periods: &[PeriodFigures]| PeriodFigures::total(periods).norm_precision.expect("illicit");
        (figures(&periods[..2]), figures(&periods[periods.len() * 2 / 3..]))
    };
    let (alone, saved) = (last_third("gbdt"), last_third("gbdt+random"));
    assert!(alone.1 < 0.5 * alone.0, "exploitation alone: {alone:?}");
    assert!(saved.1 > alone.1, "with a tenth of exploration {saved:?}, alone {alone:?}");
}

/// The second part of that result: old schemes that continue take up the inspection capacity, so that exploitation
/// alone keeps its precision and never finds the new scheme (large shipments through new brokers, by traders without
/// detected fraud), which then holds nearly all lost revenue. See docs/benchmarks.md for archives on which the effect
/// is slower or smaller.
#[test]
fn old_schemes_that_take_the_capacity_hide_a_new_one_until_a_tenth_of_exploration_finds_it() {
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
    let rows = rows(hidden, &unchanged);
    let totals = |strategy| {
        let days = (18_383, 18_809);
        let own = RunParameters { days, exploration: 0.1, inspection_rate: 0.02, ..parameters(strategy) };
        let periods = run_over(own, &rows).1.periods;
        let of = |periods: &[PeriodFigures]| {
            let total = PeriodFigures::total(periods);
            (total.norm_precision.expect("illicit"), total.norm_revenue.expect("revenue"))
        };
        (of(&periods[..2]), of(&periods[periods.len() - 5..]))
    };
    let ((before, earned), (alone, blind)) = totals("gbdt");
    assert!(alone > 0.9 * before, "its precision does not show it: {before}, then {alone}");
    assert!(blind < 0.2 * earned && blind < 0.05, "exploitation alone: revenue {earned}, then {blind}");
    let (_, (found, saved)) = totals("gbdt+random");
    assert!(saved > 10.0 * blind && saved > 0.3, "with a tenth of exploration {saved}, alone {blind}");
    assert!(found > 1.5 * alone, "with a tenth of exploration {found}, alone {alone}");
}

#[test]
fn each_office_inspects_up_to_its_capacity_a_day() {
    let rows = rows(generated(), &unchanged);
    let batch = |row: &mut usize| {
        let batch = rows.iter().find(|batch| {
            let inside = *row < batch.num_rows();
            *row -= if inside { 0 } else { batch.num_rows() };
            inside
        });
        batch.expect("a row")
    };
    let warm_up = |day: i32| day < DAYS.0;
    let days: Vec<i32> = rows
        .iter()
        .flat_map(|batch| batch["acceptance_date"].as_primitive::<Date32Type>().values().to_vec())
        .collect();
    let before = days.iter().filter(|day| warm_up(**day)).count();
    for strategy in ["risk-profile", "gbdt+random"] {
        let (chosen, report) = run_over(
            RunParameters { daily_capacity: Some(2), exploration: 0.25, ..parameters(strategy) },
            &rows,
        );
        let mut first = before;
        for (choice, period) in chosen.iter().zip(&report.periods) {
            let mut inspected = std::collections::HashMap::new();
            let mut offered = std::collections::HashMap::new();
            let group = |row: usize| {
                let mut place = first + row;
                let office = batch(&mut place)["office"].as_string::<i32>().value(place).to_owned();
                (days[first + row], office)
            };
            (0..period.items as usize).for_each(|row| *offered.entry(group(row)).or_insert(0) += 1);
            choice.iter().for_each(|row| *inspected.entry(group(*row)).or_insert(0) += 1);
            assert_eq!(inspected.len(), offered.len(), "every day and office with items inspects some");
            for (group, items) in &offered {
                assert_eq!(inspected[group], 2.min(*items), "{group:?}");
            }
            first += period.items as usize;
        }
    }
}
