//! Estimates for all items, in worlds whose truth is known.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;

#[test]
fn weights_of_a_case_by_hand() {
    // Two groups of 10 and 90 items with two inspected each: weights 5 and 45. The first of each is illicit; the
    // first group's is in the selection of 10 percent and no other.
    let item = |stratum, group, selected, illicit, revenue| Inspected {
        stands_in: Some((stratum, group)),
        selected,
        illicit,
        revenue,
    };
    let sample = [
        item(0, 0, 4, true, 10.0),
        item(0, 1, 5, false, 0.0),
        item(1, 2, 5, true, 2.0),
        item(1, 3, 5, false, 0.0),
    ];
    let named = |weights: &[u32]| -> BTreeMap<String, Option<f64>> {
        names().into_iter().zip(figures(&sample, &[10, 90], weights)).collect()
    };
    let once = named(&[1, 1, 1, 1]);
    assert_eq!((once["illicit"], once["recall@10"], once["recall@5"]), (Some(0.5), Some(0.1), Some(0.0)));
    assert_eq!((once["precision@10"], once["precision@5"]), (Some(1.0), None));
    assert_eq!(once["revenue_recall@10"], Some(50.0 / 140.0));
    // The illicit item of the second group is not drawn, the licit one twice.
    let drawn = named(&[1, 1, 0, 2]);
    assert_eq!((drawn["illicit"], drawn["recall@10"]), (Some(0.05), Some(1.0)));
}

#[test]
fn items_that_a_rule_chose_count_for_themselves() {
    // Of ten items a rule chose the first two, and a draw the next two of the other eight: these count four times.
    let random: Vec<_> = (0..10).map(|row| Some(row == 2 || row == 3)).collect();
    let labels: Vec<f32> = [1.0, 1.0, 1.0, 0.0].into_iter().chain([f32::NAN; 6]).collect();
    let strata = Strata::drawn(&random, &labels);
    assert_eq!((strata.basis, strata.items.as_slice()), (Basis::Random { drawn: 2 }, [8].as_slice()));
    assert_eq!(strata.of_row[..5], [None, None, Some(0), Some(0), Some(0)]);
    let item = |stands_in, selected, illicit| Inspected { stands_in, selected, illicit, revenue: 0.0 };
    let sample =
        [item(None, 4, true), item(None, 4, true), item(Some((0, 0)), 5, true), item(Some((0, 1)), 5, false)];
    let named = |weights: &[u32]| -> BTreeMap<String, Option<f64>> {
        names().into_iter().zip(figures(&sample, &strata.items, weights)).collect()
    };
    let once = named(&[1, 1]);
    assert_eq!((once["illicit"], once["precision@10"]), (Some(0.6), Some(1.0)));
    assert_eq!(once["recall@10"], Some(2.0 / 6.0));
    // What a rule chose is there in every draw.
    assert_eq!((named(&[0, 2])["illicit"], named(&[2, 0])["illicit"]), (Some(0.2), Some(1.0)));
}

/// A tenth of 3,000 items is drawn. Either all of the riskiest tenth are illicit, or none of these is and one in ten of
/// the others.
#[test]
fn a_share_of_none_or_all_or_few_has_an_interval_with_a_width_that_holds_it() {
    let illicit = |row: usize, found: bool| match found {
        true => row < 300,
        false => row > 300 && row % 100 == 50 || row == 20,
    };
    let scores: Vec<f64> = (0..3000).map(|row| 1.0 - f64::from(row) / 3000.0).collect();
    for found in [true, false] {
        let drawn = |row: usize| row.is_multiple_of(10);
        let label = |row| if drawn(row) { f32::from(u8::from(illicit(row, found))) } else { f32::NAN };
        let labels: Vec<f32> = (0..3000).map(label).collect();
        let random: Vec<_> = (0..3000).map(|row| Some(drawn(row))).collect();
        let (revenue, declarations) = (vec![f64::NAN; 3000], (0..3000).collect::<Vec<u64>>());
        let (scores, labels, revenue, random) = (&scores, &labels, &revenue, &random);
        let items = Items { scores, labels, revenue, declarations: &declarations, random, propensity: None };
        let Population::Estimated(estimate) = population(items, 1).expect("figures") else {
            panic!("an estimate")
        };
        let wanted = if found { 1.0 } else { 1.0 / 30.0 };
        let precision = estimate.at("precision", 10.0).expect("enough are selected");
        assert!((precision.value - wanted).abs() < 1e-9, "{precision:?}");
        for (name, Estimated { value, low, high }) in &estimate.figures {
            assert!(low <= value && value <= high && high - low > 0.03, "{name}: {value}, {low} to {high}");
        }
        // Wilson's of 30 of 30 declarations, and of 1 of 30, by hand.
        let by_hand = if found { (0.8865, 1.0) } else { (0.0059, 0.1667) };
        assert!(precision.low <= by_hand.0 + 1e-4 && precision.high >= by_hand.1 - 1e-4, "{precision:?}");
    }
}

#[test]
fn groups_have_equally_many_inspected_items_and_all_items() {
    let propensity: Vec<f64> = (0..1000).map(|row| f64::from(row * 7919 % 1000) / 1000.0).collect();
    let labels: Vec<f32> =
        propensity.iter().map(|chance| if *chance > 0.8 { 1.0 } else { f32::NAN }).collect();
    let strata = Strata::of(&propensity, &labels);
    assert_eq!((strata.items.len(), strata.items.iter().sum::<u64>()), (6, 1000));
    assert_eq!(strata.items[0], 801 + 34);
}

/// Items of which suspicious ones are illicit and inspected more often, in declarations of two.
#[derive(Default)]
struct World {
    scores: Vec<f64>,
    labels: Vec<f32>,
    truth: Vec<bool>,
    propensity: Vec<f64>,
    declarations: Vec<u64>,
    random: Vec<Option<bool>>,
}

fn world(seed: u64) -> World {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut world = World::default();
    for declaration in 0..10_000 {
        let suspicion = rng.random::<f64>();
        let chance = 0.02 + 0.3 * suspicion.powi(4);
        let inspected = rng.random::<f64>() < chance;
        for _ in 0..2 {
            let illicit = rng.random::<f64>() < 0.02 + 0.25 * suspicion * suspicion;
            world.scores.push((0.7 * suspicion + 0.3 * rng.random::<f64>()).clamp(0.0, 1.0));
            world.labels.push(if inspected { f32::from(u8::from(illicit)) } else { f32::NAN });
            world.truth.push(illicit);
            // Only the order counts.
            world.propensity.push(suspicion);
            world.declarations.push(declaration);
            world.random.push(None);
        }
    }
    world
}

/// The 95 % intervals cover the truth in about 95 of 100 worlds, and the figures of the inspected items do not.
#[test]
fn intervals_cover_the_truth_that_the_inspected_items_miss() {
    let (mut covered, mut naive_errors) = ([0; 3], 0.0);
    const WORLDS: u64 = 40;
    for seed in 0..WORLDS {
        let World { scores, labels, truth, propensity, declarations, random } = world(seed);
        let revenue = vec![f64::NAN; labels.len()];
        let items = Items {
            scores: &scores,
            labels: &labels,
            revenue: &revenue,
            declarations: &declarations,
            random: &random,
            propensity: Some(&propensity),
        };
        let Population::Estimated(estimate) = population(items, seed).expect("figures") else {
            panic!("an estimate")
        };
        let truth: Vec<f32> = truth.iter().map(|illicit| f32::from(u8::from(*illicit))).collect();
        let true_figures = crate::Metrics::of(&scores, &truth, None).expect("both kinds");
        let naive = crate::Metrics::of(&scores, &labels, None).expect("both kinds");
        let share = true_figures.illicit as f64 / true_figures.rows as f64;
        naive_errors += naive.illicit as f64 / naive.rows as f64 - share;
        let wanted = [
            (estimate.figures["illicit"], share),
            (estimate.at("recall", 5.0).expect("a figure"), true_figures.recall_at(5.0).expect("K")),
            (estimate.at("precision", 5.0).expect("a figure"), true_figures.precision_at(5.0).expect("K")),
        ];
        for (covered, (figure, truth)) in covered.iter_mut().zip(wanted) {
            *covered += u64::from(figure.low <= truth && truth <= figure.high);
        }
    }
    assert!(covered.iter().all(|covered| *covered >= 34), "{covered:?} of {WORLDS}");
    assert!(naive_errors / WORLDS as f64 > 0.04, "{naive_errors}");
}

#[test]
fn what_cannot_be_estimated_is_said_with_its_reason() {
    let World { scores, labels, declarations, propensity, random, .. } = world(1);
    let revenue = vec![0.0; labels.len()];
    let population_of = |labels: &[f32], propensity: Option<&[f64]>| {
        let (scores, revenue, declarations, random) = (&scores, &revenue, &declarations, &random);
        population(Items { scores, labels, revenue, declarations, random, propensity }, 0).expect("figures")
    };
    let why = |labels: &[f32], propensity: Option<&[f64]>| match population_of(labels, propensity) {
        Population::Inspected { why } => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&labels, None), NoEstimate::NotPredicted);
    let few: Vec<f32> =
        labels.iter().enumerate().map(|(row, label)| if row < 900 { *label } else { f32::NAN }).collect();
    assert!(matches!(why(&few, Some(&propensity)), NoEstimate::TooFew { .. }), "too few");
    // A rule that looks at the suspicious half alone says nothing of the other.
    let half: Vec<f32> = labels
        .iter()
        .zip(&propensity)
        .map(|(label, chance)| if *chance > 0.5 { *label } else { f32::NAN })
        .collect();
    let overlap = why(&half, Some(&propensity));
    assert!(matches!(overlap, NoEstimate::Unlike { share } if share > 0.1), "no overlap: {overlap:?}");
    let all = vec![0.0; labels.len()];
    assert_eq!(population_of(&all, None), Population::All);
}
