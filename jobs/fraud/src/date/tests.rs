//! The network compared with figures computed by hand, by finite differences and by PyTorch; properties of the fit.

use prost::Message;
use tidewaiter_collective::{
    Contribution, Leader, Shard,
    fit::{fit_in_process, give},
};
use tidewaiter_core::chance::mix;
use tidewaiter_learning::gbdt::{self, Dataset, GbdtLeader, GbdtShard, Model};
use tidewaiter_tensors::gpu;

use super::{
    batch::{Gradients, Predictor},
    graph::TensorGraph,
    items::{Batch, Items, Targets, Vectors},
    leaves::leaf_counts,
    network::NetworkOutput,
    vector::{Vector, WIDTH},
    weights::{PROJECTED, Part, Shape},
    *,
};

/// Items with their vectors and targets.
struct Case {
    shape: Shape,
    weights: Vec<f32>,
    importers: Vec<Vector>,
    codes: Vec<Vector>,
    items: Items,
    labels: Vec<f32>,
    revenue: Vec<f32>,
}

impl Case {
    fn vectors(&self) -> Vectors<'_> {
        Vectors { importers: &self.importers, codes: &self.codes }
    }

    fn outputs(&self) -> Vec<NetworkOutput> {
        Predictor::new(self.shape, &self.weights).outputs(&self.weights, self.vectors(), &self.items, 2)
    }

    /// The mean loss, and the gradients left in `gradients`.
    fn loss(&self, gradients: &mut Gradients) -> f64 {
        let rows: Vec<u32> = (0..self.labels.len() as u32).collect();
        let Items { leaves, importers, codes } = &self.items;
        let batch = Batch { leaves, rows: &rows, importers, codes };
        let targets = Targets { labels: &self.labels, revenue: &self.revenue, revenue_weight: 1.0 };
        gradients.compute(&self.weights, self.vectors(), batch, targets).expect("computes")
            / rows.len() as f64
    }
}

#[test]
fn the_output_of_one_tree_is_as_computed_by_hand() {
    let shape = Shape::new(1, 1);
    let mut weights = vec![0.0; shape.weights()];
    let mut set = |part: Part, at: usize, value: f32| weights[shape.range(part).start + at] = value;
    for number in 0..WIDTH {
        // The leaf's vector: eight ones, eight zeros. Values and joined heads are the identity.
        set(Part::Leaves, number, f32::from(u8::from(number < 8)));
        set(Part::Projection, number * PROJECTED + 2 * WIDTH + number, 1.0);
        set(Part::HeadJoin, number * WIDTH + number, 1.0);
        set(Part::NormGain, number * shape.padded, 1.0);
    }
    for number in 0..8 {
        set(Part::Fusion, (2 * WIDTH + number) * WIDTH, 0.25);
    }
    set(Part::Fusion, 0, 0.5);
    set(Part::Fusion, WIDTH * WIDTH, -0.25);
    set(Part::Hidden, 0, 0.5);
    set(Part::Heads, 0, 1.0);
    set(Part::HeadsBias, 0, -1.0);
    set(Part::Heads, WIDTH, 0.5);
    set(Part::HeadsBias, 1, 0.1);
    let mut vector = [0.0; WIDTH];
    vector[0] = 2.0;
    let case = Case {
        shape,
        weights,
        importers: vec![[0.0; WIDTH], vector],
        codes: vec![[0.0; WIDTH], vector],
        items: Items { leaves: vec![0, 0, 0], importers: vec![0, 1, 0], codes: vec![0, 0, 1] },
        labels: vec![0.0; 3],
        revenue: vec![0.0; 3],
    };
    // Normalised, the ones are 0.5 / sqrt(0.25 + 1e-5) = 0.99998: the fusion has 8 * 0.25 of that, and half of it
    // is hidden. The importer adds 2 * 0.5 to the fusion, the code takes 2 * 0.25.
    let wanted = [0.99998 - 1.0, 1.49998 - 1.0, 0.74998 - 1.0];
    for (output, wanted) in case.outputs().iter().zip(wanted) {
        assert!((output.logit - wanted).abs() < 2e-6, "{output:?} {wanted}");
        assert!((output.revenue - (0.5 * (wanted + 1.0) + 0.1)).abs() < 2e-6, "{output:?}");
    }
}

/// The index of a weight of PyTorch's in the list of weights.
fn place(shape: Shape, name: &str, at: usize) -> usize {
    let start = |part: Part| shape.range(part).start;
    let (row, column) = (at / WIDTH, at % WIDTH);
    let projected = |number: usize| start(Part::Projection) + column * PROJECTED + number * WIDTH + row;
    let biased = |number: usize| start(Part::ProjectionBias) + number * WIDTH + at;
    let by_tree = |part: Part| start(part) + column * shape.padded + row;
    match name {
        "ask_weight" => start(Part::AttentionScore) + at,
        "leaf.weight" => start(Part::Leaves) + at,
        "query.weight" => projected(0),
        "query.bias" => biased(0),
        "key.weight" => projected(1),
        "key.bias" => biased(1),
        "value.weight" => projected(2),
        "value.bias" => biased(2),
        "join.weight" => start(Part::HeadJoin) + at,
        "join.bias" => start(Part::HeadJoinBias) + at,
        "norm.weight" => by_tree(Part::NormGain),
        "norm.bias" => by_tree(Part::NormShift),
        "ask.weight" => match (at / (2 * WIDTH), at % (2 * WIDTH)) {
            (output, input) if input < WIDTH => start(Part::AttentionQuery) + input * WIDTH + output,
            (output, input) => start(Part::AttentionTree) + output * WIDTH + input - WIDTH,
        },
        "ask.bias" => start(Part::AttentionBias) + at,
        "fuse.weight" => start(Part::Fusion) + at % (3 * WIDTH) * WIDTH + at / (3 * WIDTH),
        "fuse.bias" => start(Part::FusionBias) + at,
        "hide.weight" => start(Part::Hidden) + column * WIDTH + row,
        "hide.bias" => start(Part::HiddenBias) + at,
        "logit.weight" => start(Part::Heads) + at,
        "logit.bias" => start(Part::HeadsBias),
        "revenue.weight" => start(Part::Heads) + WIDTH + at,
        "revenue.bias" => start(Part::HeadsBias) + 1,
        _ => panic!("no weight is called {name}"),
    }
}

/// The weights in PyTorch's order, with their lengths.
fn named(shape: Shape) -> [(&'static str, usize); 24] {
    let (square, block) = (WIDTH * WIDTH, shape.trees * WIDTH);
    [
        ("ask_weight", WIDTH),
        ("leaf.weight", shape.leaves * WIDTH),
        ("query.weight", square),
        ("query.bias", WIDTH),
        ("key.weight", square),
        ("key.bias", WIDTH),
        ("value.weight", square),
        ("value.bias", WIDTH),
        ("join.weight", square),
        ("join.bias", WIDTH),
        ("norm.weight", block),
        ("norm.bias", block),
        ("ask.weight", 2 * square),
        ("ask.bias", WIDTH),
        ("fuse.weight", 3 * square),
        ("fuse.bias", WIDTH),
        ("hide.weight", square),
        ("hide.bias", WIDTH),
        ("logit.weight", WIDTH),
        ("logit.bias", 1),
        ("revenue.weight", WIDTH),
        ("revenue.bias", 1),
        ("importer.weight", 5 * WIDTH),
        ("code.weight", 4 * WIDTH),
    ]
}

/// The case of `peers.py figures`.
fn peers_case() -> Case {
    let (trees, rows) = (11_usize, 6_usize);
    let shape = Shape::new(trees, 3 * trees);
    let mut case = Case {
        shape,
        weights: vec![0.0; shape.weights()],
        importers: vec![[0.0; WIDTH]; 5],
        codes: vec![[0.0; WIDTH]; 4],
        items: Items {
            leaves: (0..rows)
                .flat_map(|row| (0..trees).map(move |tree| (3 * tree + (7 * row + 5 * tree) % 3) as u32))
                .collect(),
            importers: (0..rows as u32).map(|row| 2 * row % 5).collect(),
            codes: (0..rows as u32).map(|row| row % 4).collect(),
        },
        labels: (0..rows).map(|row| (row % 2) as f32).collect(),
        revenue: vec![0.0, 0.5, f32::NAN, 0.25, 0.0, 0.9],
    };
    for (number, (name, length)) in named(shape).into_iter().enumerate() {
        for at in 0..length {
            let weight = (0.6 * (0.37 * at as f64 + number as f64).sin()) as f32;
            match name {
                "importer.weight" if at >= WIDTH => case.importers[at / WIDTH][at % WIDTH] = weight,
                "code.weight" if at >= WIDTH => case.codes[at / WIDTH][at % WIDTH] = weight,
                "importer.weight" | "code.weight" => {}
                _ => case.weights[place(shape, name, at)] = weight,
            }
        }
    }
    case
}

#[test]
fn outputs_loss_and_gradients_are_those_of_pytorch() {
    let expected: serde_json::Value = serde_json::from_str(include_str!("peers.json")).expect("reads");
    let near = |found: f64, wanted: &serde_json::Value, what: &str| {
        let wanted = wanted.as_f64().expect("a number");
        assert!((found - wanted).abs() < 2e-5 * (1.0 + wanted.abs()), "{what}: {found} {wanted}");
    };
    let case = peers_case();
    for (row, output) in case.outputs().iter().enumerate() {
        near(f64::from(output.logit), &expected["logits"][row], "logit");
        near(f64::from(output.revenue), &expected["revenue"][row], "revenue");
    }
    let mut gradients = Gradients::new(case.shape);
    near(case.loss(&mut gradients), &expected["loss"], "loss");
    let sums = |places: &[u32], vectors: &[Vector], at: usize| -> f32 {
        let of_place =
            places.iter().zip(vectors).filter(|(place, _)| **place as usize == at / WIDTH && **place > 0);
        of_place.map(|(_, vector)| vector[at % WIDTH]).sum()
    };
    for (name, length) in named(case.shape) {
        let gradient = |at: usize| match name {
            "importer.weight" => sums(&case.items.importers, &gradients.importers, at),
            "code.weight" => sums(&case.items.codes, &gradients.codes, at),
            _ => gradients.weights[place(case.shape, name, at)],
        };
        let along = |wave: fn(f64) -> f64| -> f64 {
            (0..length).map(|at| f64::from(gradient(at)) * wave(at as f64)).sum()
        };
        near(along(|at| (0.1 * at).cos()), &expected["gradients"][name][0], name);
        near(along(|at| (0.3 * at).sin()), &expected["gradients"][name][1], name);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let mut case = peers_case();
    let mut gradients = Gradients::new(case.shape);
    case.loss(&mut gradients);
    let (weights, importers) = (gradients.weights.clone(), gradients.importers.clone());
    let mut scratch = Gradients::new(case.shape);
    const STEP: f32 = 2e-3;
    for part in Part::ALL {
        let range = case.shape.range(part);
        // A few of each part, without the padding.
        for at in range.clone().step_by((range.len() / 7).max(1)) {
            let by_tree = matches!(part, Part::NormGain | Part::NormShift);
            if by_tree && (at - range.start) % case.shape.padded >= case.shape.trees {
                continue;
            }
            let kept = case.weights[at];
            case.weights[at] = kept + STEP;
            let above = case.loss(&mut scratch);
            case.weights[at] = kept - STEP;
            let below = case.loss(&mut scratch);
            case.weights[at] = kept;
            let difference = (above - below) / f64::from(2.0 * STEP);
            let found = f64::from(weights[at]);
            assert!(
                (found - difference).abs() < 4e-3 * (1.0 + found.abs()),
                "{part:?} {at}: {found} {difference}"
            );
        }
    }
    for (number, found) in importers[1].into_iter().enumerate() {
        let kept = case.importers[2][number];
        case.importers[2][number] = kept + STEP;
        let above = case.loss(&mut scratch);
        case.importers[2][number] = kept - STEP;
        let below = case.loss(&mut scratch);
        case.importers[2][number] = kept;
        let difference = (above - below) / f64::from(2.0 * STEP);
        // Only the second item has this importer.
        let found = f64::from(found);
        assert!((found - difference).abs() < 4e-3 * (1.0 + found.abs()), "{number}: {found} {difference}");
    }
}

/// On the GPU where the tests are built for one and there is one, else on the processor.
#[test]
fn a_graph_of_tensors_agrees_with_the_loops() {
    let mut case = peers_case();
    // Trees of one to five leaves, of which the items fall in some.
    let trees: Vec<u32> = (0..11).map(|tree| 1 + tree * 3 % 5).collect();
    let shape = Shape::new(trees.len(), trees.iter().sum::<u32>() as usize);
    let mut first = 0;
    for (tree, leaves) in trees.iter().enumerate() {
        for row in 0..6 {
            case.items.leaves[row * trees.len() + tree] = first + (7 * row + 5 * tree) as u32 % leaves;
        }
        first += leaves;
    }
    case.weights = (0..shape.weights()).map(|at| (0.6 * (0.37 * at as f64).sin()) as f32).collect();
    case.shape = shape;
    let device = gpu().expect("looks for a GPU").unwrap_or(candle_core::Device::Cpu);
    let near = |found: &[f32], wanted: &[f32], what: &str| {
        assert_eq!(found.len(), wanted.len(), "{what}");
        for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            assert!((found - wanted).abs() < 1e-4 * (1.0 + wanted.abs()), "{what} {at}: {found} {wanted}");
        }
    };

    let graph = TensorGraph::new(&trees, device.clone());
    let outputs = graph.outputs(&case.weights, case.vectors(), &case.items).expect("outputs");
    for (found, wanted) in outputs.iter().zip(case.outputs()) {
        near(&[found.logit, found.revenue], &[wanted.logit, wanted.revenue], "output");
        near(&found.hidden, &wanted.hidden, "hidden");
    }
    let (mut by_graph, mut by_loops) = (Gradients::on_device(&trees, device), Gradients::new(shape));
    let losses = (case.loss(&mut by_graph), case.loss(&mut by_loops));
    assert!((losses.0 - losses.1).abs() < 1e-5, "{losses:?}");
    for part in Part::ALL {
        // Gradients of the padding are undefined.
        let pads =
            |at: usize| matches!(part, Part::NormGain | Part::NormShift) && at % shape.padded >= shape.trees;
        let of = |gradients: &Gradients| -> Vec<f32> {
            let own = gradients.weights[shape.range(part)].iter().enumerate();
            own.filter(|(at, _)| !pads(*at)).map(|(_, number)| *number).collect()
        };
        let wanted = of(&by_loops);
        assert!(wanted.iter().any(|number| *number != 0.0), "all gradients of {part:?} are 0");
        near(&of(&by_graph), &wanted, &format!("{part:?}"));
    }
    near(by_graph.importers.as_flattened(), by_loops.importers.as_flattened(), "importers");
    near(by_graph.codes.as_flattened(), by_loops.codes.as_flattened(), "codes");
}

#[test]
fn an_output_does_not_depend_on_the_other_items() {
    let case = peers_case();
    let together = case.outputs();
    for (row, together) in together.iter().enumerate() {
        let trees = case.shape.trees;
        let items = Items {
            leaves: case.items.leaves[row * trees..][..trees].to_vec(),
            importers: vec![case.items.importers[row]],
            codes: vec![case.items.codes[row]],
        };
        let alone =
            Predictor::new(case.shape, &case.weights).outputs(&case.weights, case.vectors(), &items, 1);
        assert_eq!(alone, [*together]);
    }
}

const FEATURES: usize = 4;

/// Rows whose outcome depends on importer, HS code and two numbers; the last third are validation rows.
struct Rows {
    features: Vec<Vec<f32>>,
    importers: Vec<u64>,
    codes: Vec<u64>,
    labels: Vec<f32>,
    revenue: Vec<f32>,
    is_validation: Vec<bool>,
}

fn rows(count: usize) -> Rows {
    let share = |row: usize, salt: u64| (mix(row as u64 ^ mix(salt)) >> 11) as f64 / (1_u64 << 53) as f64;
    let mut rows = Rows {
        features: vec![Vec::new(); FEATURES],
        importers: Vec::new(),
        codes: Vec::new(),
        labels: Vec::new(),
        revenue: Vec::new(),
        is_validation: (0..count).map(|row| row >= count * 2 / 3).collect(),
    };
    for row in 0..count {
        let numbers: Vec<f64> = (0..FEATURES as u64).map(|salt| share(row, salt)).collect();
        let (importer, code) = ((share(row, 10) * 60.0) as usize, (share(row, 11) * 20.0) as usize);
        let bad = f64::from(u8::from(importer % 5 == 0)) * 2.5;
        let logit = -2.5 + 3.0 * numbers[0] * numbers[1] + bad + f64::from(u8::from(code % 4 == 0));
        let illicit = share(row, 12) < 1.0 / (1.0 + (-logit).exp());
        for (column, number) in rows.features.iter_mut().zip(numbers) {
            column.push(number as f32);
        }
        rows.importers.push(mix(importer as u64 + 1000));
        rows.codes.push(mix(code as u64 + 5000));
        rows.labels.push(f32::from(u8::from(illicit)));
        rows.revenue.push(if illicit { (5.0 + share(row, 13)) as f32 } else { 0.0 });
    }
    rows
}

fn booster(rows: &Rows) -> Model {
    let parameters =
        gbdt::Parameters { trees: 8, leaves: 6, early_stopping_rounds: 0, ..gbdt::Parameters::default() };
    let mut leader = GbdtLeader::new(parameters).expect("good parameters");
    let data =
        Dataset::new(rows.features.clone(), &rows.labels, rows.is_validation.clone()).expect("good rows");
    let mut shards: Vec<Box<dyn Shard>> = vec![Box::new(GbdtShard::new(0, data))];
    fit_in_process(&mut leader, &mut shards).expect("fits");
    leader.model().expect("a model")
}

fn small() -> Parameters {
    Parameters {
        epochs: 4,
        least_steps: 0,
        batch_rows: 64,
        importer_rows: 1 << 12,
        code_rows: 1 << 10,
        ..Parameters::default()
    }
}

fn leaves(booster: &Model, rows: &Rows) -> Vec<u32> {
    booster.leaves(&rows.features.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("leaves")
}

fn shards(parameters: &Parameters, booster: &Model, rows: &Rows, count: usize) -> Vec<Box<dyn Shard>> {
    let leaves = leaves(booster, rows);
    let trees = booster.trees.len();
    let shard = |shard: usize| {
        let own = || (shard..rows.labels.len()).step_by(count);
        let rows = ShardRows {
            leaves: own().flat_map(|row| leaves[row * trees..][..trees].iter().copied()).collect(),
            importers: own().map(|row| rows.importers[row]).collect(),
            codes: own().map(|row| rows.codes[row]).collect(),
            labels: own().map(|row| rows.labels[row]).collect(),
            revenue: own().map(|row| rows.revenue[row]).collect(),
            is_validation: own().map(|row| rows.is_validation[row]).collect(),
        };
        let shard = DateShard::new(shard as u32, parameters.clone(), &leaf_counts(booster), rows);
        Box::new(shard.expect("a shard")) as Box<dyn Shard>
    };
    (0..count).map(shard).collect()
}

fn fit(parameters: &Parameters, rows: &Rows, count: usize) -> DateModel {
    let booster = booster(rows);
    let mut leader = DateLeader::new(parameters.clone(), booster.clone()).expect("good parameters");
    fit_in_process(&mut leader, &mut shards(parameters, &booster, rows, count)).expect("fits");
    leader.model().expect("a model")
}

/// The area under the ROC curve over the validation rows.
fn auc(model: &DateModel, rows: &Rows) -> f64 {
    let outputs =
        model.outputs(leaves(model.booster(), rows), &rows.importers, &rows.codes).expect("outputs");
    let mut order: Vec<_> = (0..outputs.len()).filter(|row| rows.is_validation[*row]).collect();
    order.sort_by(|a, b| outputs[*a].logit.total_cmp(&outputs[*b].logit));
    let (mut negatives, mut positives, mut pairs) = (0.0, 0.0, 0.0);
    for row in order {
        if rows.labels[row] == 1.0 {
            positives += 1.0;
            pairs += negatives;
        } else {
            negatives += 1.0;
        }
    }
    pairs / (negatives * positives)
}

#[test]
fn leaves_are_those_of_the_nodes() {
    let rows = rows(5000);
    let booster = booster(&rows);
    let leaves = leaves(&booster, &rows);
    let trees = booster.trees.len();
    for row in (0..5000).step_by(501) {
        let mut first = 0;
        for (tree, found) in booster.trees.iter().zip(&leaves[row * trees..]) {
            let mut at = 0;
            while at >= 0 {
                let node = at as usize;
                let left = rows.features[tree.features[node] as usize][row] <= tree.thresholds[node];
                at = if left { tree.left[node] } else { tree.right[node] };
            }
            assert_eq!(*found, first + !at as u32, "row {row}");
            first += tree.leaf_values.len() as u32;
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let rows = rows(900);
    let one = fit(&small(), &rows, 3).to_message();
    assert_eq!(fit(&small(), &rows, 3).to_message().encode_to_vec(), one.encode_to_vec());
    assert_ne!(fit(&Parameters { seed: 1, ..small() }, &rows, 3).to_message(), one);
    let read = DateModel::from_message(one.clone()).expect("reads");
    assert_eq!(read.to_message(), one);
}

#[test]
fn losses_of_leader_and_shards_change_nothing() {
    let (rows, parameters) = (rows(900), Parameters { steps_between_averages: 4, ..small() });
    let booster = booster(&rows);
    let whole = fit(&parameters, &rows, 2);
    let mut leader = DateLeader::new(parameters.clone(), booster.clone()).expect("good parameters");
    let mut carried = shards(&parameters, &booster, &rows, 2);
    let mut round = 0;
    while let Some(instruction) = leader.instruct().expect("instructs") {
        round += 1;
        if round % 3 == 0 {
            // A shard is lost after the instruction was given.
            carried[1] = shards(&parameters, &booster, &rows, 2).remove(1);
            carried[1].restore(&leader.history().expect("history")).expect("restores");
        }
        let mut output: Option<Contribution> = None;
        for shard in carried.iter_mut().rev() {
            shard.contribute(&instruction, &mut output).expect("outputs");
        }
        give(&mut leader, output.expect("two shards answered")).expect("absorbs");
        if leader.at_milestone() {
            let checkpoint = leader.checkpoint().expect("checkpoint");
            leader = DateLeader::restore(&checkpoint, booster.clone()).expect("restores");
            carried = shards(&parameters, &booster, &rows, 2);
            for shard in &mut carried {
                shard.restore(&leader.history().expect("history")).expect("restores");
            }
        }
    }
    assert_eq!(leader.model().expect("a model"), whole);
}

#[test]
fn four_shards_are_as_good_as_one_and_importers_count() {
    let rows = rows(9000);
    let parameters = Parameters { epochs: 8, ..small() };
    let (one, four) = (fit(&parameters, &rows, 1), fit(&parameters, &rows, 4));
    let (one, four) = (auc(&one, &rows), auc(&four, &rows));
    assert!((one - four).abs() < 0.005, "one shard {one}, four {four}");
    // The trees alone.
    let booster = booster(&rows);
    let columns: Vec<&[f32]> = rows.features.iter().map(Vec::as_slice).collect();
    let raw = booster.predict_raw(&columns).expect("predicts");
    let mut order: Vec<usize> = (6000..9000).collect();
    order.sort_by(|a, b| raw[*a].total_cmp(&raw[*b]));
    let positives = order.iter().filter(|row| rows.labels[**row] == 1.0).count() as f64;
    let ranks: f64 =
        order.iter().enumerate().filter(|(_, row)| rows.labels[**row] == 1.0).map(|(at, _)| at as f64).sum();
    let trees = (ranks - positives * (positives - 1.0) / 2.0) / (positives * (3000.0 - positives));
    assert!(one > trees + 0.05, "trees {trees}, DATE {one}");
}

#[test]
fn unknown_identifiers_are_predicted_as_missing_ones() {
    let rows = rows(900);
    let model = fit(&small(), &rows, 2);
    let leaves = leaves(model.booster(), &rows)[..3 * model.booster().trees.len()].to_vec();
    let known = rows.importers[0];
    let outputs = model.outputs(leaves.clone(), &[known, 0, 77], &[0, 78, rows.codes[0]]).expect("outputs");
    let others = model.outputs(leaves, &[known, 79, 0], &[80, 0, rows.codes[0]]).expect("outputs");
    assert_eq!(outputs, others);
    let trained = model.to_message().tables;
    let (importers, codes) = (trained.importers.rows.len(), trained.codes.rows.len());
    assert!((50..=60).contains(&importers) && codes == 20, "{importers} {codes}");
}

/// An importer's record is no reason to call its past illicit share, which may be 0 %, suspicious.
#[test]
fn what_is_learned_of_an_importer_is_attributed_to_no_feature() {
    let rows = rows(3000);
    let model = fit(&small(), &rows, 1);
    let columns: Vec<Vec<f32>> = rows.features.iter().map(|column| vec![column[0]; 2]).collect();
    let columns: Vec<&[f32]> = columns.iter().map(Vec::as_slice).collect();
    // The first of the importers whose items are illicit more often, and an unknown one.
    let keys = Keys { importers: vec![mix(1000), 0], codes: vec![0, 0] };
    let attributions = model.attributions(&columns, &keys).expect("attributes");
    let [known, unknown] = [0, 1].map(|row| &attributions[row * (FEATURES + 2)..][..FEATURES + 2]);
    assert!(known[FEATURES] > 0.0 && known[FEATURES + 1] == 0.0, "{known:?}");
    assert_eq!(unknown[FEATURES..], [0.0, 0.0]);
}

#[test]
fn progress_is_told_within_an_epoch() {
    let rows = rows(900);
    let (booster, parameters) = (booster(&rows), Parameters { steps_between_averages: 3, ..small() });
    let mut leader = DateLeader::new(parameters.clone(), booster.clone()).expect("good parameters");
    let mut shards = shards(&parameters, &booster, &rows, 1);
    let mut told = Vec::new();
    while let Some(instruction) = leader.instruct().expect("instructs") {
        let mut merged = None;
        shards[0].contribute(&instruction, &mut merged).expect("contributes");
        give(&mut leader, merged.expect("an answer")).expect("absorbs");
        told.push((leader.progress().done, leader.progress().total));
    }
    // Six hundred rows are ten steps of 64: four rounds in each of the four epochs.
    assert!(told.last().is_some_and(|(done, total)| done == total && *done >= 20), "{told:?}");
    assert!(told.is_sorted() && told.contains(&(3, 40)) && told.contains(&(19, 40)), "{told:?}");
}

#[test]
fn wrong_inputs_are_named() {
    let error = Parameters { hidden_share: 1.0, ..small() }.validate().expect_err("refused");
    assert!(error.to_string().contains("hidden_share is 1"), "{error}");
    let empty = Model { features: 2, base: 0.0, trees: Vec::new() };
    assert!(DateLeader::new(small(), empty).err().expect("an error").to_string().contains("no leaves"));
    let sound = fit(&small(), &rows(300), 1).to_message();
    let mut damaged = [sound.clone(), sound.clone(), sound];
    damaged[0].weights.pop();
    damaged[1].tables.codes.rows[0] = 1 << 30;
    damaged[2].booster.trees[0].left[0] = 99;
    for damaged in damaged {
        let error = DateModel::from_message(damaged).expect_err("refused");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Corrupt);
    }
}
