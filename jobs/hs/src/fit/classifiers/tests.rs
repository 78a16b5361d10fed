//! The classifiers' fit in one process.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tidewaiter_collective::{Contribution, Leader, Shard, fit::fit_in_process};

use super::{ClassifierLeader, Corpus, Layout, Parameters, shard::ClassifierShard, wire::CodeCounts};
use crate::{features::texts::LabelledTexts, model::weights::Classifier};

fn corpus() -> Arc<Corpus> {
    let goods = [
        ("frozen shrimps peeled", 30_617),
        ("shrimps frozen", 30_617),
        ("frozen prawns", 30_617),
        ("live horses", 10_129),
        ("horses for racing", 10_129),
        ("pure bred horses", 10_121),
        ("steel pipe", 730_419),
        ("steel pipes welded", 730_630),
        ("mobile phone", 851_712),
        ("phone with case", 851_712),
    ];
    let texts = LabelledTexts {
        descriptions: goods.iter().map(|(text, _)| (*text).to_owned()).collect(),
        codes: goods.iter().map(|(_, code)| *code).collect(),
        nationals: vec![0; goods.len()],
    };
    Arc::new(Corpus::of(texts))
}

fn fitted(shards: u32) -> Vec<Classifier> {
    let corpus = corpus();
    let layout = Layout { shards, parameters: Parameters::default() };
    let mut shards: Vec<Box<dyn Shard>> = (0..shards)
        .map(|number| {
            let (layout, corpus) = (layout.clone(), Arc::clone(&corpus));
            Box::new(ClassifierShard { number, layout, corpus }) as Box<dyn Shard>
        })
        .collect();
    let mut leader = ClassifierLeader::new();
    fit_in_process(&mut leader, &mut shards).expect("fits");
    leader.classifiers().expect("whole")
}

#[test]
fn the_classifiers_do_not_depend_on_the_shards() {
    let one = fitted(1);
    assert_eq!(one.len(), 4 + 5 + 6);
    assert_eq!(one, fitted(3));
    assert!(one.iter().any(|classifier| !classifier.weights.is_empty()));
}

#[test]
fn a_fit_goes_on_from_its_checkpoint() {
    let shard = |corpus: &Arc<Corpus>| ClassifierShard {
        number: 0,
        layout: Layout { shards: 1, parameters: Parameters::default() },
        corpus: Arc::clone(corpus),
    };
    let corpus = corpus();
    let mut leader = ClassifierLeader::new();
    for _ in 0..3 {
        let instruction = leader.instruct().expect("asks").expect("not done");
        let mut answer = None;
        shard(&corpus).contribute(&instruction, &mut answer).expect("answers");
        leader.absorb(answer.expect("one shard answered")).expect("absorbs");
    }
    assert!(leader.at_milestone() && leader.progress().done > 0);
    let mut again = ClassifierLeader::restore(&leader.checkpoint().expect("writes")).expect("reads");
    fit_in_process(&mut again, &mut [Box::new(shard(&corpus))]).expect("fits");
    assert_eq!(again.classifiers().expect("whole"), fitted(1));
}

#[test]
fn one_code_and_parameters_out_of_range_are_input_errors() {
    let mut leader = ClassifierLeader::new();
    let counts = CodeCounts { codes: vec![10_121], texts: vec![7] };
    let error = leader.absorb(Contribution::Gather(vec![(0, Bytes::from(counts.encode_to_vec()))]));
    assert_eq!(error.expect_err("refused").kind(), tidewaiter_core::ErrorKind::Input);
    assert!(ClassifierLeader::new().classifiers().is_ok_and(|none| none.is_empty()));
    let parameters = Parameters { cost: 0.0, ..Parameters::default() };
    assert!(parameters.validate().expect_err("refused").chain().contains("cost"));
}
