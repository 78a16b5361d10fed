//! The promises of a whole fit.

use std::collections::VecDeque;

use proptest::prelude::*;
use tidewaiter_collective::{Leader, Shard, fit::fit_in_process};
use tidewaiter_core::chance::mix;

use super::*;

struct Table {
    features: Vec<Vec<f32>>,
    labels: Vec<f32>,
    is_validation: Vec<bool>,
}

const WIDTH: usize = 6;

/// A task with an interaction, a step, informative missing values, and noise columns. Plain arithmetic only, so that
/// another language can make the same rows.
fn table(rows: usize) -> Table {
    let mut state = 42_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    let mut table =
        Table { features: vec![Vec::new(); WIDTH], labels: Vec::new(), is_validation: Vec::new() };
    for row in 0..rows {
        let x: Vec<f64> = (0..WIDTH).map(|_| 2.0 * next() - 1.0).collect();
        let missing = next() < 0.1;
        let step = if missing {
            1.5
        } else if x[2] > 0.3 {
            1.0
        } else {
            -1.0
        };
        let s = 6.0 * x[0] * x[1] + step + x[3];
        table.labels.push(if next() < 0.5 + 0.5 * s / (1.0 + s.abs()) { 1.0 } else { 0.0 });
        for (feature, value) in x.iter().enumerate() {
            table.features[feature].push(if feature == 2 && missing { f32::NAN } else { *value as f32 });
        }
        table.is_validation.push(row % 5 == 4);
    }
    table
}

fn shards(table: &Table, count: usize) -> Vec<Box<dyn Shard>> {
    (0..count)
        .map(|shard| {
            let take = |column: &Vec<f32>| column.iter().copied().skip(shard).step_by(count).collect();
            let labels: Vec<f32> = take(&table.labels);
            let flags = table.is_validation.iter().copied().skip(shard).step_by(count).collect();
            let data = Dataset::new(table.features.iter().map(take).collect(), &labels, flags);
            Box::new(GbdtShard::new(shard as u32, data.expect("a good table"))) as Box<dyn Shard>
        })
        .collect()
}

fn fit(table: &Table, parameters: &Parameters, count: usize) -> Model {
    let mut leader = GbdtLeader::new(parameters.clone()).expect("good parameters");
    fit_in_process(&mut leader, &mut shards(table, count)).expect("fits");
    leader.model().expect("a model")
}

fn columns(table: &Table) -> Vec<&[f32]> {
    table.features.iter().map(Vec::as_slice).collect()
}

/// The area under the ROC curve over the validation rows.
fn auc(table: &Table, scores: &[f64]) -> f64 {
    let mut rows: Vec<_> = (0..scores.len()).filter(|row| table.is_validation[*row]).collect();
    rows.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut negatives, mut positives, mut pairs) = (0.0, 0.0, 0.0);
    for row in rows {
        if table.labels[row] == 1.0 {
            positives += 1.0;
            pairs += negatives;
        } else {
            negatives += 1.0;
        }
    }
    pairs / (negatives * positives)
}

fn small() -> Parameters {
    Parameters {
        trees: 12,
        leaves: 7,
        bins: 40,
        row_fraction: 0.8,
        feature_fraction: 0.7,
        ..Default::default()
    }
}

#[test]
fn one_split_has_the_values_of_the_formula() {
    let table = Table {
        features: vec![vec![1.0, 1.0, 2.0, 2.0]],
        labels: vec![0.0, 0.0, 1.0, 1.0],
        is_validation: vec![false; 4],
    };
    let parameters =
        Parameters { trees: 1, leaves: 2, min_rows_per_leaf: 1, learning_rate: 0.5, ..Default::default() };
    let model = fit(&table, &parameters, 2);
    // Half are positive: base 0, gradients of 0.5, hessians of 0.25. Left: -0.5 * 1 / (0.5 + 1).
    assert_eq!(model.base, 0.0);
    let tree = &model.trees[0];
    assert_eq!((tree.thresholds[0], tree.leaf_rows.clone()), (1.5, vec![2, 2]));
    assert!((tree.leaf_values[0] + 1.0 / 3.0).abs() < 1e-6, "{:?}", tree.leaf_values);
    assert!((tree.leaf_values[1] - 1.0 / 3.0).abs() < 1e-6);
    assert!((tree.gains[0] - 2.0 / 1.5).abs() < 1e-6, "{:?}", tree.gains);
}

#[test]
fn any_sharding_gives_the_same_bytes() {
    let table = table(3000);
    let one = fit(&table, &small(), 1).to_bytes();
    for count in [4, 7] {
        assert_eq!(fit(&table, &small(), count).to_bytes(), one, "{count} shards");
    }
    assert_eq!(Model::from_bytes(&one).expect("reads").to_bytes(), one);
}

#[test]
fn losses_of_leader_and_shards_change_nothing() {
    let table = table(2000);
    let whole = fit(&table, &small(), 2).to_bytes();
    let mut leader = GbdtLeader::new(small()).expect("good parameters");
    let mut carried = shards(&table, 2);
    let mut round = 0;
    while let Some(instruction) = leader.instruct().expect("instructs") {
        round += 1;
        if round % 5 == 0 {
            // A shard is lost after the instruction was given.
            carried[1] = shards(&table, 2).remove(1);
            carried[1].restore(&leader.history().expect("history")).expect("restores");
        }
        let mut answer = None;
        for shard in &mut carried {
            shard.contribute(&instruction, &mut answer).expect("answers");
        }
        leader.absorb(answer.expect("two shards answered")).expect("absorbs");
        if round % 17 == 0 {
            leader = GbdtLeader::restore(&leader.checkpoint().expect("checkpoint")).expect("restores");
        }
    }
    assert_eq!(leader.model().expect("a model").to_bytes(), whole);
}

#[test]
fn speculative_rounds_change_nothing() {
    let table = table(2000);
    let full = Parameters { trees: 5, early_stopping_rounds: 0, ..Default::default() };
    let stopped =
        Parameters { learning_rate: 0.5, early_stopping_rounds: 3, leaves: 4, ..Default::default() };
    let stumps = Parameters { trees: 4, leaves: 2, early_stopping_rounds: 0, ..Default::default() };
    // With few leaves, most requests need the answers before them.
    for (parameters, share) in [(small(), 0.5), (full, 0.8), (stopped, 0.2), (stumps, 0.25)] {
        let whole = fit(&table, &parameters, 2).to_bytes();
        for most_open in [2, 3] {
            let mut leader = GbdtLeader::new(parameters.clone()).expect("good parameters");
            let mut carried = shards(&table, 2);
            let mut open = VecDeque::new();
            let (mut rounds, mut speculative) = (0_u32, 0_u32);
            loop {
                while open.len() < most_open {
                    let next = if open.is_empty() { leader.instruct() } else { leader.instruct_ahead() };
                    let Some(instruction) = next.expect("instructs") else { break };
                    open.push_back(instruction);
                    (rounds, speculative) = (rounds + 1, speculative + u32::from(open.len() > 1));
                }
                if rounds % 7 == 0 {
                    // A shard is lost while rounds are open; the one that takes its place has answered none of them.
                    carried[1] = shards(&table, 2).remove(1);
                    carried[1].restore(&leader.history().expect("history")).expect("restores");
                }
                let Some(instruction) = open.pop_front() else { break };
                let mut answer = None;
                for shard in &mut carried {
                    shard.contribute(&instruction, &mut answer).expect("answers");
                }
                leader.absorb(answer.expect("two shards answered")).expect("absorbs");
            }
            assert_eq!(leader.model().expect("a model").to_bytes(), whole);
            assert!(f64::from(speculative) > share * f64::from(rounds), "{speculative} of {rounds}");
        }
    }
}

#[test]
fn missing_values_go_to_the_better_side() {
    let rows = 200;
    let missing = |row: usize| row.is_multiple_of(4);
    let table = Table {
        features: vec![(0..rows).map(|row| if missing(row) { f32::NAN } else { (row % 2) as f32 }).collect()],
        labels: (0..rows).map(|row| f32::from(u8::from(missing(row) || row % 2 == 1))).collect(),
        is_validation: vec![false; rows],
    };
    let model = fit(&table, &Parameters { trees: 1, leaves: 2, ..Default::default() }, 1);
    let scores = model.predict_raw(&[&[f32::NAN, 0.0, 1.0]]).expect("predicts");
    assert_eq!(scores[0], scores[2]);
    assert!(scores[1] < scores[0]);
}

#[test]
fn a_score_does_not_depend_on_the_rows_beside_it() {
    let table = table(10_000);
    let model = fit(&table, &small(), 2);
    let together = model.predict_raw(&columns(&table)).expect("predicts");
    for (row, together) in together.iter().enumerate().step_by(7) {
        let alone: Vec<&[f32]> = table.features.iter().map(|column| &column[row..=row]).collect();
        assert_eq!(model.predict_raw(&alone).expect("predicts"), [*together], "row {row}");
        // It is also the sum of the leaves that are found node by node.
        let mut by_hand = model.base;
        for tree in &model.trees {
            let mut at = 0;
            while at >= 0 {
                let node = at as usize;
                let left = tree.value_goes_left(node, alone[tree.features[node] as usize][0]);
                at = if left { tree.left[node] } else { tree.right[node] };
            }
            by_hand += tree.leaf_values[!at as usize];
        }
        assert_eq!(by_hand, *together, "row {row}");
    }
}

#[test]
fn attributions_are_shapley_values() {
    let table = table(1500);
    let model = fit(&table, &Parameters { trees: 2, leaves: 9, ..Default::default() }, 1);
    let columns = columns(&table);
    let (all, raw) = (model.attributions(&columns).expect("explains"), model.predict_raw(&columns));
    let raw = raw.expect("predicts");
    // The value of a coalition: known features choose the child, others average both children by cover.
    fn value(tree: &Tree, child: i32, row: &[f32], known: usize) -> f64 {
        if child < 0 {
            return tree.leaf_values[!child as usize];
        }
        let node = child as usize;
        let (left, right) = (tree.left[node], tree.right[node]);
        let feature = tree.features[node] as usize;
        if known >> feature & 1 == 1 {
            let goes_left = tree.value_goes_left(node, row[feature]);
            return value(tree, if goes_left { left } else { right }, row, known);
        }
        let (a, b) = (tree.cover(left), tree.cover(right));
        (a * value(tree, left, row, known) + b * value(tree, right, row, known)) / (a + b)
    }
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    for row in 0..40 {
        let cells: Vec<f32> = columns.iter().map(|column| column[row]).collect();
        let found = &all[row * WIDTH..][..WIDTH];
        assert!((model.expected_raw() + found.iter().sum::<f64>() - raw[row]).abs() < 1e-9);
        for (feature, found) in found.iter().enumerate() {
            let mut shapley = 0.0;
            for known in (0..1_usize << WIDTH).filter(|known| known >> feature & 1 == 0) {
                let size = known.count_ones();
                let weight = factorial(size) * factorial(WIDTH as u32 - size - 1) / factorial(WIDTH as u32);
                for tree in &model.trees {
                    shapley += weight
                        * (value(tree, 0, &cells, known | 1 << feature) - value(tree, 0, &cells, known));
                }
            }
            assert!((shapley - found).abs() < 1e-9, "row {row}, feature {feature}: {shapley} {found}");
        }
    }
}

/// LightGBM 4.7.0 has an AUC of 0.82738 on these rows (validation rows left out of its training as well), this
/// module 0.82597. Its figure was measured in Python with a translation of `table` line by line and
/// `lgb.train(dict(objective="binary", num_leaves=31, learning_rate=0.1, min_data_in_leaf=20, lambda_l2=1.0,
/// max_bin=255, num_threads=1, deterministic=True), lgb.Dataset(X[~v], y[~v]), 100)` on 32-bit floats.
#[test]
fn its_auc_is_within_five_thousandths_of_its_peer() {
    let table = table(20_000);
    let model = fit(&table, &Parameters { trees: 100, early_stopping_rounds: 0, ..Default::default() }, 2);
    let auc = auc(&table, &model.predict_probability(&columns(&table)).expect("predicts"));
    assert!(auc > 0.8274 - 0.005, "AUC {auc}");
    let importance = model.feature_importance();
    assert!(importance[0] > importance[4] && importance[1] > importance[5], "{importance:?}");
}

#[test]
fn early_stopping_keeps_the_best_trees() {
    let table = table(3000);
    let parameters = Parameters { learning_rate: 0.5, early_stopping_rounds: 5, ..Default::default() };
    let mut leader = GbdtLeader::new(parameters).expect("good parameters");
    let (mut shards, mut said) = (shards(&table, 2), false);
    while let Some(instruction) = leader.instruct().expect("goes on") {
        let mut merged = None;
        for shard in &mut shards {
            shard.contribute(&instruction, &mut merged).expect("contributes");
        }
        leader.absorb(merged.expect("there are shards")).expect("absorbs");
        said |= leader.progress().note.ends_with("; it ends 5 trees after the best");
    }
    assert!(said, "the total is an upper bound");
    let progress = leader.progress();
    assert_eq!(leader.model().expect("a model").trees.len() as u64 + 5, progress.done);
    assert!(!progress.note.contains("it ends"), "{}", progress.note);
    assert!(leader.validation_loss().expect("a loss") < 0.693);
}

#[test]
fn wrong_inputs_are_named() {
    let error = GbdtLeader::new(Parameters { bins: 256, ..Default::default() }).err().expect("an error");
    assert!(error.to_string().contains("bins is 256"), "{error}");
    assert!(Dataset::new(vec![vec![1.0]], &[0.5], vec![false]).is_err());
    let table = Table { features: vec![vec![1.0; 9]], labels: vec![0.0; 9], is_validation: vec![false; 9] };
    let mut leader = GbdtLeader::new(Parameters::default()).expect("good parameters");
    let error = fit_in_process(&mut leader, &mut shards(&table, 1)).expect_err("one class");
    assert!(error.to_string().contains("0 of 9"), "{error}");
    assert!(Model::from_bytes(&[1, 2, 3]).is_err());
}

proptest! {
    #[test]
    fn a_model_that_is_not_one_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Model::from_bytes(&bytes);
    }

    #[test]
    fn a_damaged_model_is_refused_or_scores_without_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        kept in any::<prop::sample::Index>(),
    ) {
        let mut bytes = {
            static SOUND: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                fit(&table(400), &Parameters { trees: 3, leaves: 5, ..Parameters::default() }, 1).to_bytes()
            });
            SOUND.clone()
        };
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.truncate(kept.index(2 * bytes.len()) + 1);
        if let Ok(model) = Model::from_bytes(&bytes) {
            let row = [0.5_f32, f32::NAN];
            let _ = model.predict_probability(&vec![&row[..]; model.features.min(64) as usize]);
        }
    }
}

/// More distinct values than a summary holds, and a frequent one among them, whose rows alone are positive.
#[test]
fn a_frequent_value_among_many_is_split_off_exactly_on_any_shards() {
    let rows = 60_000_u64;
    let value =
        |row: u64| if row.is_multiple_of(8) { 0.5 } else { (mix(row) % (1 << 24)) as f32 / (1 << 24) as f32 };
    let data = Table {
        features: vec![(0..rows).map(value).collect()],
        labels: (0..rows).map(|row| f32::from(u8::from(row.is_multiple_of(8)))).collect(),
        is_validation: vec![false; rows as usize],
    };
    let parameters = Parameters { trees: 3, leaves: 3, bins: 16, ..Parameters::default() };
    let whole = fit(&data, &parameters, 1);
    assert_eq!(whole, fit(&data, &parameters, 3));
    let chances = whole.predict_probability(&[&[0.5, 0.49, 0.51]]).expect("predicts");
    assert!(chances[0] > 2.0 * chances[1] && chances[0] > 2.0 * chances[2], "{chances:?}");
}
