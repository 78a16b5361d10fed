//! The whole model on published declarations, beside the figures of an independent implementation.

use std::{io::Read, path::PathBuf, sync::Arc};

use super::{
    learner::{Corpus, HsLeader, Layout, Parameters, shard_of},
    metrics::{Evaluation, Judged},
    model::Model,
    nomenclature::{Nomenclature, records},
    retrain::assemble,
    suggest::suggest,
    texts::Texts,
    tree::{LEVELS, written},
};
use crate::learning::{Shard, fit::fit_in_process};

/// The folder of published HS data, where it lies beside the checkout.
fn data() -> Option<PathBuf> {
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/hs"));
    if !data.is_dir() {
        eprintln!("SKIPPED: the published HS data are not beside the checkout");
        return None;
    }
    Some(data)
}

fn unzipped(path: PathBuf) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).expect("opens");
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).expect("unzips");
    bytes
}

/// A quarter of the texts of a split: those whose skeleton begins with 0 to 3.
fn quarter(table: &str, split: &str) -> Texts {
    let mut texts = Texts::default();
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        if cells[0] == split && cells[3].as_bytes()[0] < b'4' {
            texts.descriptions.push(cells[4].to_owned());
            texts.codes.push(cells[1][..6].parse().expect("digits"));
        }
    }
    texts
}

fn fitted(train: &Texts, valid: &Texts) -> Model {
    let layout = Layout { shards: 2, parameters: Parameters::default() };
    let corpus = Arc::new(Corpus::of(train.clone()));
    let mut shards: Vec<Box<dyn Shard>> =
        (0..2).map(|number| shard_of(number, layout.clone(), Arc::clone(&corpus))).collect();
    let mut leader = HsLeader::new();
    fit_in_process(&mut leader, &mut shards).expect("fits");
    assemble(leader, train.clone(), train.clone(), valid, Nomenclature::default(), 0.5, None)
        .expect("a model")
}

fn judged(model: &Model, test: &Texts, fast: bool) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let mut scorer = model.scorer(fast);
    for (description, code) in test.descriptions.iter().zip(&test.codes) {
        scorer.score(description, &[]);
        let tops: [_; LEVELS] = std::array::from_fn(|level| scorer.top(level));
        let codes: [String; LEVELS] =
            std::array::from_fn(|level| written(model.code(level, tops[level].0), level));
        evaluation.add(&Judged {
            items: 1,
            description,
            declared: &written(*code, LEVELS - 1),
            recommended: std::array::from_fn(|level| codes[level].as_str()),
            probability: tops.map(|(_, probability)| probability),
            rank: std::array::from_fn(|level| scorer.rank(*code, level).map(|(rank, _)| rank)),
            vague: scorer.is_vague(),
        });
    }
    evaluation
}

#[test]
fn published_declarations_are_recommended_better_than_by_a_linear_svm() {
    let Some(data) = data() else { return };
    let table = unzipped(data.join("declarations_bacuda_example.tsv.gz"));
    let table = String::from_utf8(table).expect("UTF-8");
    let [train, valid, test] = ["train", "valid", "test"].map(|split| quarter(&table, split));
    let model = fitted(&train, &valid);
    let again = Model::from_bytes(&model.to_bytes()).expect("reads");
    assert_eq!(again.to_bytes(), model.to_bytes());

    let evaluation = judged(&again, &test, false);
    let figures = evaluation.figures();
    eprintln!("{figures:#?}");
    for (name, least) in SVM {
        assert!(figures[name] > least, "{name}: {} against the peer's {least}", figures[name]);
    }
    assert!(figures["calibration_error/6"] < 0.2, "{}", figures["calibration_error/6"]);
    let fast = judged(&again, &test, true).figures();
    assert!(fast["accuracy@1/6"] > figures["accuracy@1/6"] - 0.05, "{}", fast["accuracy@1/6"]);

    // Descriptions that a customs administration calls too vague, and texts of goods, which are not.
    let terms = records(&unzipped(data.join("uk_fpo_vague_terms.csv.gz")));
    let mut scorer = again.scorer(false);
    let mut vague = |text: &str| suggest(&again, &mut scorer, text).expect("suggests").vague;
    let called =
        terms.iter().skip(1).filter(|term| vague(&term[0])).count() as f64 / (terms.len() - 1) as f64;
    let clear = evaluation.vague as f64 / evaluation.items as f64;
    eprintln!("{called:.3} of the vague terms are called vague, {clear:.3} of the declarations");
    assert!(called > clear + 0.2, "{called} and {clear}");
}

/// What `python jobs/src/hs/peers.py TABLE --part 0.25` gave (scikit-learn 1.9.1).
const SVM: [(&str, f64); 4] =
    [("accuracy@1/6", 0.3994), ("accuracy@3/6", 0.5922), ("accuracy@5/6", 0.6227), ("accuracy@10/6", 0.6720)];

#[test]
fn a_model_of_other_bytes_is_refused() {
    for bytes in [&b""[..], b"\x0a\x01", &[0xff; 40]] {
        let error = Model::from_bytes(bytes).expect_err("refused");
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
    }
}
