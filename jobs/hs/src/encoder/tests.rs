//! The encoder on tiny weights, beside the figures of PyTorch and transformers (`peers.py`), and its training.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use candle_core::{Device, Tensor, Var};
use serde::Deserialize;
use tidewaiter_archive::Archive;
use tidewaiter_collective::{
    Leader, Shard,
    fit::{fit_in_process, give},
};
use tidewaiter_core::{ErrorKind, chance::mix};

use super::{
    files::{Files, store},
    head::{Head, HeadLayout},
    layers::LayerShapes,
    leader::EncoderLeader,
    network::{Batch, EncoderParts},
    parameters::Parameters,
    shard::{EncoderShard, Shared},
};
use crate::{codes::tree::CodeTree, features::texts::LabelledTexts};

const TOKENIZER: &str = include_str!("tiny_tokenizer.json");

const CONFIG: &str = r#"{"vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "max_position_embeddings": 16,
    "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    "model_type": "bert"}"#;

const TEXTS: [&str; 5] =
    ["Frozen shrimps, peeled", "horse", "10 pcs black smartphone", "", "Ünknown STEEL-pipes 冷凍"];

/// What `python peers.py figures` gave.
#[derive(Deserialize)]
struct Peers {
    tokens: Vec<Vec<u32>>,
    embeddings: Vec<Vec<f64>>,
    loss: f64,
    /// The sums of each gradient times cos(0.1 place) and times sin(0.3 place).
    gradients: BTreeMap<String, [f64; 2]>,
}

fn peers() -> Peers {
    serde_json::from_str(include_str!("peers.json")).expect("figures")
}

/// The weights of `peers.py`, by their names.
fn tensors() -> HashMap<String, Tensor> {
    let mut shapes = BTreeMap::from([
        ("embeddings.word_embeddings.weight".to_owned(), vec![24, 32]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![16, 32]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, 32]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![32]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![32]),
    ]);
    let config = serde_json::from_str(CONFIG).expect("a configuration");
    for layer in 0..2 {
        for part in LayerShapes::of(&config).parts() {
            shapes.insert(format!("encoder.layer.{layer}.{}", part.name), part.shape.clone());
        }
    }
    let tensor = |(number, (name, shape)): (usize, (String, Vec<usize>))| {
        let around = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let count = shape.iter().product();
        let value = |at: usize| (around + 0.3 * (0.37 * at as f64 + number as f64).sin()) as f32;
        let values: Vec<f32> = (0..count).map(value).collect();
        (name, Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor"))
    };
    shapes.into_iter().enumerate().map(tensor).collect()
}

/// Writes a tiny encoder's folder.
fn write(folder: &Path) {
    std::fs::create_dir_all(folder).expect("made");
    std::fs::write(folder.join("config.json"), CONFIG).expect("written");
    std::fs::write(folder.join("tokenizer.json"), TOKENIZER).expect("written");
    candle_core::safetensors::save(&tensors(), folder.join("model.safetensors")).expect("written");
}

fn files() -> Files {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("read").into();
    Files {
        config: read("config.json"),
        tokenizer: read("tokenizer.json"),
        weights: read("model.safetensors"),
    }
}

fn parts() -> EncoderParts {
    EncoderParts::read(&files(), 128).expect("reads")
}

/// An encoder that separates texts. The waves of [`tensors`] make matrices of rank two, so that all embeddings lie near
/// one plane, in which no head parts four nouns among seven words; weights by chance have every rank.
fn telling_parts() -> EncoderParts {
    let mut parts = parts();
    let mut names: Vec<String> = parts.tensors.keys().cloned().collect();
    names.sort();
    for (number, name) in names.into_iter().enumerate() {
        let around = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let shape = parts.tensors[&name].dims().to_vec();
        let chance = |at: usize| mix((number << 32 | at) as u64) as f64 / u64::MAX as f64;
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|at| (around + 0.6 * (chance(at) - 0.5)) as f32).collect();
        parts.tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor"));
    }
    parts
}

#[test]
fn embeddings_are_those_of_pytorch() {
    let (parts, peers) = (parts(), peers());
    for (text, tokens) in TEXTS.iter().zip(&peers.tokens) {
        assert_eq!(&parts.tokens(text).expect("tokens").0, tokens, "{text}");
    }
    let encoder = parts.encoder().expect("an encoder");
    let together = encoder.encode(TEXTS).expect("encodes");
    for (at, (text, expected)) in TEXTS.iter().zip(&peers.embeddings).enumerate() {
        let alone = encoder.encode([*text]).expect("encodes");
        for ((one, other), expected) in together.row(at).iter().zip(alone.row(0)).zip(expected) {
            assert!((f64::from(*one) - expected).abs() < 1e-4, "{text}: {one} and {expected}");
            assert!((one - other).abs() < 1e-4, "{text}: {one} in a batch and {other} alone");
        }
    }
    assert_eq!((together.cut, together.row(5)), (0, &[][..]));
}

/// The head of `peers.py`, whose codes have chapters and headings of their own so that their weights are not
/// shared, and its loss with the last layer as variables.
#[test]
fn gradients_are_those_of_pytorch() {
    let (parts, peers) = (parts(), peers());
    let classes = CodeTree::new(vec![10_121, 20_110, 30_617, 40_110, 50_100]);
    let head = HeadLayout::new(&classes, 32);
    let mut weights = vec![0.0; head.len()];
    let own = 5 * 33;
    for (at, weight) in weights[2 * own..].iter_mut().enumerate() {
        *weight = (0.1 * (0.23 * at as f64).cos()) as f32;
    }
    let shapes = LayerShapes::of(&parts.config);
    let layer: Vec<f32> = shapes
        .parts()
        .iter()
        .flat_map(|part| {
            parts.tensors[&format!("encoder.layer.1.{}", part.name)]
                .flatten_all()
                .expect("flat")
                .to_vec1::<f32>()
                .expect("floats")
        })
        .collect();
    assert_eq!(layer.len(), shapes.len());
    let tokens: Vec<&[u32]> = peers.tokens.iter().map(Vec::as_slice).collect();
    let batch = Batch::new(&tokens, &Device::Cpu).expect("a batch");
    let lower = parts.network(1).expect("a network");
    let layer = shapes.variables(&layer, &Device::Cpu).expect("variables");
    let states = batch.states(&lower).expect("states");
    let states = shapes.forward(&layer, &states, &batch.attention().expect("a mask")).expect("states");
    let embeddings = batch.pooled(&states).expect("embeddings");
    let ones = Tensor::ones((5, 1), candle_core::DType::F32, &Device::Cpu).expect("ones");
    let texts = Tensor::cat(&[&embeddings, &ones], 1).expect("texts");
    let variables = head.variables(&weights, &Device::Cpu).expect("variables");
    let loss = head.loss(&variables, &texts, &[0, 1, 2, 3, 4]).expect("a loss");
    let value = f64::from(loss.to_scalar::<f32>().expect("a number"));
    assert!((value - peers.loss).abs() < 1e-4, "{value} and {}", peers.loss);

    let gradients = loss.backward().expect("gradients");
    let named = shapes.parts().iter().map(|part| format!("encoder.layer.1.{}", part.name)).zip(&layer);
    for (name, variable) in named.chain([("head".to_owned(), &variables[2])]) {
        let gradient = gradients.get(variable).expect("a gradient").flatten_all().expect("flat");
        let gradient = gradient.to_vec1::<f32>().expect("floats");
        let sum = |by: fn(f64) -> f64, step: f64| -> f64 {
            gradient.iter().enumerate().map(|(at, value)| f64::from(*value) * by(step * at as f64)).sum()
        };
        let found = [sum(f64::cos, 0.1), sum(f64::sin, 0.3)];
        for (found, expected) in found.iter().zip(&peers.gradients[&name]) {
            assert!(
                (found - expected).abs() < 1e-4 + 1e-3 * expected.abs(),
                "{name}: {found} and {expected}"
            );
        }
    }
}

#[test]
fn the_head_shares_weights_along_the_tree_and_its_gradient_is_that_of_finite_differences() {
    // Two codes of one heading, one of another in the chapter, one elsewhere.
    let classes = CodeTree::new(vec![10_121, 10_129, 10_200, 851_712]);
    let head = HeadLayout::new(&classes, 3);
    assert_eq!(head.len(), (2 + 3 + 4) * 4);
    let number = |at: usize| (1.3 * at as f64).sin() as f32;
    let weights: Vec<f32> = (0..head.len()).map(number).collect();
    let texts: Vec<f32> =
        (0..5).flat_map(|row| [number(row), number(row + 9), number(row * 2), 1.0]).collect();
    let texts = Tensor::from_vec(texts, (5, 4), &Device::Cpu).expect("texts");
    let own = [0, 1, 2, 3, 1];
    let loss = |weights: &[f32]| {
        let variables = head.variables(weights, &Device::Cpu).expect("variables");
        let loss = head.loss(&variables, &texts, &own).expect("a loss");
        (f64::from(loss.to_scalar::<f32>().expect("a number")), loss, variables)
    };
    let (value, graph, variables) = loss(&weights);
    let gradients = graph.backward().expect("gradients");
    let flat = |variable: &Var| {
        gradients
            .get(variable)
            .expect("a gradient")
            .flatten_all()
            .expect("flat")
            .to_vec1::<f32>()
            .expect("floats")
    };
    let gradient: Vec<f32> = variables.iter().flat_map(flat).collect();
    for at in 0..head.len() {
        let moved = |by: f32| {
            let mut weights = weights.clone();
            weights[at] += by;
            loss(&weights).0
        };
        let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((slope - f64::from(gradient[at])).abs() < 1e-3, "{at}: {slope} and {}", gradient[at]);
    }

    // The head that is stored gives the same probabilities.
    let stored = head.head(&weights);
    let mut logarithms = Vec::new();
    let rows = texts.to_vec2::<f32>().expect("rows");
    let mut sum = 0.0;
    for (row, own) in rows.iter().zip(own) {
        stored.logarithms(&row[..3], &mut logarithms);
        assert!((logarithms.iter().map(|log| log.exp()).sum::<f32>() - 1.0).abs() < 1e-5);
        sum -= f64::from(logarithms[own as usize]);
    }
    assert!((sum / 5.0 - value).abs() < 1e-5, "{sum}");
    assert!(Head::new(3, 4, stored.weights().to_vec()).is_some_and(|again| again == stored));
    assert!(
        Head::new(3, 5, stored.weights().to_vec()).is_none() && Head::new(0, 1, vec![f32::NAN]).is_none()
    );
}

/// Goods whose words determine their codes.
fn goods() -> LabelledTexts {
    let kinds = [("shrimps", 30_617), ("horse", 10_129), ("boots", 640_340), ("smartphone", 851_712)];
    let words = ["frozen", "black", "new", "10 pcs", "steel", "live", "peeled"];
    let mut texts = LabelledTexts::default();
    for (number, word) in words.iter().enumerate() {
        for (noun, code) in kinds {
            texts.descriptions.push(if number % 2 == 0 {
                format!("{word} {noun}")
            } else {
                format!("{noun}, {word}")
            });
            texts.codes.push(code);
        }
    }
    texts
}

fn shards(parameters: &Parameters, shards: u32) -> Vec<Box<dyn Shard>> {
    let shared = Shared::new(parameters.clone(), telling_parts(), goods(), goods()).expect("fits");
    let shared = Arc::new(shared);
    let shard = |number| Box::new(EncoderShard::new(number, shards, Arc::clone(&shared))) as Box<dyn Shard>;
    (0..shards).map(shard).collect()
}

fn quick() -> Parameters {
    Parameters {
        head_epochs: 6,
        head_rate: 0.02,
        fine_tune_epochs: 3,
        fine_tune_layers: 1,
        fine_tune_rate: 1e-3,
        batch_texts: 8,
        steps_between_averages: 2,
        ..Parameters::new("tiny")
    }
}

#[test]
fn head_and_last_layer_learn_and_the_same_bytes_come_again() {
    let parameters = Parameters { head_epochs: 30, fine_tune_epochs: 20, fine_tune_rate: 3e-3, ..quick() };
    let fitted = || {
        let mut leader = EncoderLeader::new(parameters.clone());
        fit_in_process(&mut leader, &mut shards(&parameters, 3)).expect("fits");
        leader
    };
    let leader = fitted();
    assert_eq!(leader.checkpoint().expect("bytes"), fitted().checkpoint().expect("bytes"));
    let trained = leader.trained().expect("it is over");
    // Chance has the loss ln 4, which is 1.39; the same steps and averages in PyTorch come to 0.06.
    assert!(trained.loss < 0.2, "{}", trained.loss);

    // The trained layer is part of the encoder that a model loads: it gives the embeddings that the fit gave, and by
    // them each text gets its own code.
    let mut parts = telling_parts();
    let before = parts.clone().encoder().expect("an encoder").encode(["frozen horse"]).expect("encodes");
    parts.replace(&trained.layers).expect("fits");
    let encoder = parts.encoder().expect("an encoder");
    let goods = goods();
    let texts = goods.descriptions.iter().map(String::as_str);
    let embeddings = encoder.encode(texts).expect("encodes");
    for (one, other) in embeddings.values.iter().zip(&trained.valid.values) {
        assert!((one - other).abs() < 1e-4, "{one} and {other}");
    }
    assert_ne!(before, encoder.encode(["frozen horse"]).expect("encodes"));
    let mut codes = goods.codes.clone();
    codes.sort_unstable();
    codes.dedup();
    let mut logarithms = Vec::new();
    for (text, code) in goods.codes.iter().enumerate() {
        trained.head.logarithms(embeddings.row(text), &mut logarithms);
        let best = (0..codes.len()).max_by(|one, other| logarithms[*one].total_cmp(&logarithms[*other]));
        assert_eq!(best.map(|best| codes[best]), Some(*code), "{}", goods.descriptions[text]);
    }
    let error = self::parts().replace(&trained.layers[1..]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_fit_goes_on_from_each_of_its_checkpoints() {
    let parameters = quick();
    let mut whole = EncoderLeader::new(parameters.clone());
    fit_in_process(&mut whole, &mut shards(&parameters, 2)).expect("fits");
    let whole = whole.checkpoint().expect("bytes");
    let mut leader = EncoderLeader::new(parameters.clone());
    let mut carried = shards(&parameters, 2);
    let mut rounds = 0;
    while let Some(instruction) = leader.instruct().expect("asks") {
        let mut merged = None;
        // The answers come in another order, and from shards that were loaded anew.
        if rounds % 3 == 0 {
            carried = shards(&parameters, 2);
        }
        for shard in carried.iter_mut().rev() {
            shard.contribute(&instruction, &mut merged).expect("answers");
        }
        give(&mut leader, merged.expect("two shards answered")).expect("absorbs");
        let checkpoint = leader.checkpoint().expect("bytes");
        leader = EncoderLeader::restore(&checkpoint, parameters.clone()).expect("reads");
        rounds += 1;
    }
    assert_eq!(leader.checkpoint().expect("bytes"), whole);
    assert!(rounds > 10 && leader.progress().done == leader.progress().total);
    let short = EncoderLeader::restore(&whole[..whole.len() / 2], parameters).map(drop);
    assert_eq!(short.expect_err("refused").kind(), ErrorKind::Corrupt);
}

#[test]
fn a_megabyte_is_cut_and_counted_and_any_text_is_encoded() {
    let encoder = parts().encoder().expect("an encoder");
    let long = "shrimps ".repeat(150_000);
    let embeddings =
        encoder.encode([long.as_str(), "\u{0}\u{1}\u{fffd}", "冷凍蝦 креветки", "boots"]).expect("encodes");
    assert_eq!(embeddings.cut, 1);
    assert!(embeddings.values.iter().all(|value| value.is_finite()));
    let length = |row: usize| embeddings.row(row).iter().map(|value| value * value).sum::<f32>();
    assert!((0..4).all(|row| (length(row) - 32.0).abs() < 1e-2));
}

#[tokio::test]
async fn files_that_are_missing_wrong_or_changed_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = Archive::open(&folder.path().join("archive").display().to_string()).expect("opens");
    let local = folder.path().join("tiny");
    write(&local);
    let path = local.display().to_string();
    let stored = store(&archive, &path).await.expect("stored");
    assert_eq!(store(&archive, &path).await.expect("stored"), stored);
    // What is in the archive already is used where it lies.
    let there = store(&archive, &stored.folder).await.expect("stored");
    assert_eq!(there, stored);
    stored.read(&archive).await.expect("reads");

    archive
        .put(&format!("{}/config.json", stored.folder), CONFIG.replace("0.02", "0.03"))
        .await
        .expect("written");
    let error = stored.read(&archive).await.map(drop).expect_err("it has changed");
    assert!(error.kind() == ErrorKind::Corrupt && error.chain().contains("checksum"), "{}", error.chain());

    std::fs::remove_file(local.join("tokenizer.json")).expect("removed");
    for (path, says) in [(path.as_str(), "tokenizer.json"), ("no/such/folder", "no/such/folder")] {
        let error = store(&archive, path).await.expect_err("refused");
        assert!(error.kind() == ErrorKind::Input && error.chain().contains(says), "{}", error.chain());
    }
}

#[test]
fn files_that_do_not_fit_each_other_are_input_errors() {
    let wrong = |change: &dyn Fn(&mut Files), says: &str| {
        let mut files = files();
        change(&mut files);
        let read = EncoderParts::read(&files, 128).and_then(EncoderParts::encoder);
        let error = read.map(drop).expect_err(says);
        assert!(error.kind() == ErrorKind::Input && error.chain().contains(says), "{}", error.chain());
    };
    wrong(&|files| files.config = "{".into(), "config.json");
    wrong(
        &|files| {
            files.config = CONFIG.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 5").into()
        },
        "5 heads",
    );
    wrong(
        &|files| files.config = CONFIG.replace("\"hidden_size\": 32", "\"hidden_size\": 64").into(),
        "does not fit",
    );
    wrong(&|files| files.config = CONFIG.replace("_layers\": 2", "_layers\": 3").into(), "does not fit");
    wrong(
        &|files| files.config = CONFIG.replace("\"vocab_size\": 24", "\"vocab_size\": 23").into(),
        "tokenizer.json",
    );
    wrong(&|files| files.tokenizer = "[]".into(), "tokenizer.json");
    wrong(&|files| files.weights = files.weights.slice(..1000), "model.safetensors");
    let parameters = Parameters { fine_tune_layers: 3, ..quick() };
    let error = Shared::new(parameters, parts(), goods(), goods()).expect_err("refused");
    assert!(error.chain().contains("fine_tune_layers"), "{}", error.chain());
    let parameters = Parameters { head_rate: f32::NAN, ..quick() };
    assert!(parameters.validate().expect_err("refused").chain().contains("head_rate"));
}
