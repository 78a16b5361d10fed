//! The fit compared with a case computed by hand and with scikit-learn, and its promises.

use tidewaiter_collective::{Contribution, Leader, Shard, fit::fit_in_process};
use tidewaiter_core::chance::mix;

use super::*;

fn fit(rows: &Rows, parameters: &Parameters, shards: usize) -> Model {
    let mut leader = LogisticLeader::new(parameters.clone()).expect("good parameters");
    fit_in_process(&mut leader, &mut partitioned(rows, shards)).expect("fits");
    leader.model().expect("a model")
}

/// The rows, assigned to the shards in turn.
fn partitioned(rows: &Rows, shards: usize) -> Vec<Box<dyn Shard>> {
    let shard = |index: usize| {
        let mine = || (index..rows.labels.len()).step_by(shards);
        let part = Rows {
            features: rows.features.iter().map(|column| mine().map(|row| column[row]).collect()).collect(),
            labels: mine().map(|row| rows.labels[row]).collect(),
            is_validation: mine().map(|row| rows.is_validation[row]).collect(),
        };
        shard_of(index as u32, part).expect("good rows")
    };
    (0..shards).map(shard).collect()
}

fn columns(rows: &Rows) -> Vec<&[f32]> {
    rows.features.iter().map(Vec::as_slice).collect()
}

/// Three categorical features, one of them sometimes missing.
fn table(rows: u64, validation_every: u64) -> Rows {
    let mut table = Rows { features: vec![Vec::new(); 3], ..Rows::default() };
    for row in 0..rows {
        let [a, b, c] = [mix(3 * row) % 5, mix(3 * row + 1) % 4, mix(3 * row + 2) % 7];
        table.features[0].push(a as f32);
        table.features[1].push(if b == 3 { f32::NAN } else { b as f32 });
        table.features[2].push(c as f32);
        let permille = 50 + 120 * a + if b == 3 { 200 } else { 0 } + if c == 6 { 150 } else { 0 };
        table.labels.push(f32::from(u8::from(mix(1_000_000 + row) % 1000 < permille)));
        table.is_validation.push(row % validation_every == validation_every - 1);
    }
    table
}

fn one(penalty: f64) -> Parameters {
    Parameters { penalties: vec![penalty], ..Parameters::default() }
}

#[test]
fn one_feature_of_two_values_has_the_terms_of_the_formula() {
    let rows = Rows {
        features: vec![vec![0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]],
        labels: vec![1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0],
        is_validation: vec![false; 8],
    };
    // The intercept is 0 by symmetry, and the term of the second value has 4 (3/4 - p) = penalty times term. With
    // p = 2/3 the term is ln 2, so that the penalty is (1/3) / ln 2.
    let model = fit(&rows, &one(1.0 / (3.0 * 2.0_f64.ln())), 2);
    let Scale { upper, terms, rows: counts } = &model.scales[0];
    assert_eq!((upper.as_slice(), counts.as_slice()), (&[0.5][..], &[0, 4, 4][..]));
    for (found, wanted) in terms.iter().zip([0.0, -(2.0_f64.ln()), 2.0_f64.ln()]) {
        assert!((found - wanted).abs() < 1e-4, "{terms:?}");
    }
    assert!(model.intercept.abs() < 1e-4, "{}", model.intercept);
    let probabilities = model.predict_probability(&[&[0.0, 1.0, 9.0]]).expect("predicts");
    assert!((probabilities[1] - 2.0 / 3.0).abs() < 1e-4 && probabilities[2] == probabilities[1]);
}

/// scikit-learn 1.9.1's terms and first probabilities, of the same table made in Python, a missing value as a
/// value of its own: `OneHotEncoder` then `LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=10000,
/// solver="newton-cholesky")`.
#[test]
fn its_terms_are_those_of_its_peer() {
    let rows = Rows { is_validation: vec![false; 600], ..table(600, 2) };
    let peer: [(f64, f64, [f64; 15], [f64; 4]); 2] = [
        (
            10.0,
            -0.685_477,
            [
                -0.986_97, -0.228_087, -0.010_809, 0.610_183, 0.615_683, 0.541_543, -0.090_165, -0.184_302,
                -0.267_076, 0.066_541, -0.109_403, -0.111_408, 0.080_191, -0.170_987, -0.018_755,
            ],
            [0.116_321, 0.434_828, 0.419_28, 0.388_939],
        ),
        (
            1.0,
            -0.773_317,
            [
                -1.565_371, -0.251_083, 0.044_135, 0.888_707, 0.883_613, 0.756_191, -0.119_215, -0.255_217,
                -0.381_758, 0.127_881, -0.158_376, -0.191_966, 0.127_749, -0.304_42, -0.002_717,
            ],
            [0.052_236, 0.465_4, 0.431_088, 0.395_382],
        ),
    ];
    for (penalty, intercept, terms, probabilities) in peer {
        let model = fit(&rows, &one(penalty), 1);
        assert!((model.intercept - intercept).abs() < 1e-3, "{} {intercept}", model.intercept);
        // The first bin of the first and of the third feature is that of missing values, which there are none of.
        let own = [&model.scales[0].terms[1..], &model.scales[1].terms, &model.scales[2].terms[1..]].concat();
        for (found, wanted) in own.iter().zip(terms) {
            assert!((found - wanted).abs() < 2e-3, "{penalty}: {own:?}");
        }
        let found = model.predict_probability(&columns(&rows)).expect("predicts");
        for (found, wanted) in found.iter().zip(probabilities) {
            assert!((found - wanted).abs() < 2e-4, "{penalty}: {found} {wanted}");
        }
    }
}

#[test]
fn any_sharding_gives_the_same_bytes() {
    let table = table(3000, 5);
    let model = fit(&table, &Parameters::default(), 1);
    for shards in [4, 7] {
        assert_eq!(fit(&table, &Parameters::default(), shards), model, "{shards} shards");
    }
}

#[test]
fn losses_of_leader_and_shards_change_nothing() {
    let table = table(2000, 5);
    let whole = fit(&table, &Parameters::default(), 2);
    let mut leader = LogisticLeader::new(Parameters::default()).expect("good parameters");
    let mut carried = partitioned(&table, 2);
    let mut round = 0;
    while let Some(instruction) = leader.instruct().expect("instructs") {
        round += 1;
        if round % 3 == 0 {
            // A shard is lost after the instruction was given.
            carried[1] = partitioned(&table, 2).remove(1);
            carried[1].restore(&leader.history().expect("history")).expect("restores");
        }
        let mut answer = None;
        for shard in &mut carried {
            shard.contribute(&instruction, &mut answer).expect("answers");
        }
        leader.absorb(answer.expect("two shards answered")).expect("absorbs");
        if round % 4 == 0 {
            leader = LogisticLeader::restore(&leader.checkpoint().expect("checkpoint")).expect("restores");
        }
    }
    assert_eq!(leader.model().expect("a model"), whole);
}

#[test]
fn the_validation_rows_choose_the_penalty() {
    let table = table(4000, 4);
    let loss = |penalty: f64| {
        let mut leader = LogisticLeader::new(one(penalty)).expect("good parameters");
        fit_in_process(&mut leader, &mut partitioned(&table, 1)).expect("fits");
        leader.validation_loss().expect("validation rows")
    };
    let penalties = vec![2000.0, 20.0, 0.001];
    let best = penalties.iter().map(|penalty| loss(*penalty)).fold(f64::INFINITY, f64::min);
    let mut leader = LogisticLeader::new(Parameters { penalties, ..Parameters::default() }).expect("good");
    fit_in_process(&mut leader, &mut partitioned(&table, 1)).expect("fits");
    let found = leader.validation_loss().expect("validation rows");
    assert!((found - best).abs() < 1e-5, "{found} {best}");
    assert!(found < loss(2000.0) - 1e-3);
}

#[test]
fn attributions_add_up_to_the_score() {
    let table = table(1000, 5);
    let model = fit(&table, &Parameters::default(), 1);
    let columns = columns(&table);
    let raw = model.predict_raw(&columns).expect("predicts");
    let attributions = model.attributions(&columns).expect("explains");
    let training = || (0..1000).filter(|row| !table.is_validation[*row]);
    let mean = training().map(|row| raw[row]).sum::<f64>() / training().count() as f64;
    for (row, raw) in raw.iter().enumerate() {
        let sum: f64 = attributions[3 * row..3 * row + 3].iter().sum();
        assert!((mean + sum - raw).abs() < 1e-9, "row {row}");
    }
    let importance = model.feature_importance();
    assert!((importance.iter().sum::<f64>() - 1.0).abs() < 1e-12 && importance[0] > importance[2]);
}

#[test]
fn wrong_inputs_are_named() {
    for (parameters, says) in [
        (Parameters { bins: 256, ..Parameters::default() }, "bins is 256"),
        (Parameters { penalties: vec![1.0, 2.0], ..Parameters::default() }, "the largest first"),
        (Parameters { penalties: vec![0.0], ..Parameters::default() }, "above 0"),
        (Parameters { most_rounds: 0, ..Parameters::default() }, "most_rounds is 0"),
    ] {
        let error = LogisticLeader::new(parameters).err().expect("an error");
        assert!(error.to_string().contains(says), "{error}");
    }
    let rows = Rows { features: vec![vec![1.0; 9]], labels: vec![0.0; 9], is_validation: vec![false; 9] };
    let mut leader = LogisticLeader::new(Parameters::default()).expect("good parameters");
    let error = fit_in_process(&mut leader, &mut partitioned(&rows, 1)).expect_err("one class");
    assert!(error.to_string().contains("0 of 9"), "{error}");
    assert!(shard_of(0, Rows { labels: vec![0.5; 9], ..rows.clone() }).is_err());
    assert!(shard_of(0, Rows { is_validation: Vec::new(), ..rows }).is_err());
    let answer = Contribution::Sum(vec![1]);
    assert!(LogisticLeader::new(Parameters::default()).expect("good").absorb(answer).is_err());
    assert!(LogisticLeader::restore(&[1, 2, 3]).is_err());
}
