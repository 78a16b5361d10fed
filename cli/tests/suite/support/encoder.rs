//! A tiny text encoder of the BERT family, whose weights a formula gives.

use std::{collections::BTreeMap, path::Path};

const TOKENIZER: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../jobs/hs/src/encoder/tiny_tokenizer.json"));

const CONFIG: &str = r#"{"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "max_position_embeddings": 16,
    "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    "model_type": "bert"}"#;

/// Writes its folder.
pub(crate) fn write_encoder(folder: &Path) {
    let mut shapes = BTreeMap::from([
        ("embeddings.word_embeddings.weight".to_owned(), vec![24, 16]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![16, 16]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, 16]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![16]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![16]),
    ]);
    for layer in 0..2 {
        for (name, out, into) in [
            ("attention.self.query", 16, 16),
            ("attention.self.key", 16, 16),
            ("attention.self.value", 16, 16),
            ("attention.output.dense", 16, 16),
            ("intermediate.dense", 24, 16),
            ("output.dense", 16, 24),
        ] {
            shapes.insert(format!("encoder.layer.{layer}.{name}.weight"), vec![out, into]);
            shapes.insert(format!("encoder.layer.{layer}.{name}.bias"), vec![out]);
        }
        for name in ["attention.output", "output"] {
            shapes.insert(format!("encoder.layer.{layer}.{name}.LayerNorm.weight"), vec![16]);
            shapes.insert(format!("encoder.layer.{layer}.{name}.LayerNorm.bias"), vec![16]);
        }
    }
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (number, (name, shape)) in shapes.into_iter().enumerate() {
        let around = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let first = data.len();
        for at in 0..shape.iter().product::<usize>() {
            let value = (around + 0.3 * (0.37 * at as f64 + number as f64).sin()) as f32;
            data.extend(value.to_le_bytes());
        }
        let entry =
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [first, data.len()] });
        header.insert(name, entry);
    }
    let header = serde_json::to_vec(&header).expect("JSON");
    let weights = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::create_dir_all(folder).expect("made");
    for (name, bytes) in [
        ("config.json", CONFIG.as_bytes()),
        ("tokenizer.json", TOKENIZER.as_bytes()),
        ("model.safetensors", &weights),
    ] {
        std::fs::write(folder.join(name), bytes).expect("written");
    }
}
