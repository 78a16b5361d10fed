//! From what was learned and counted to a whole model.
//!
//! The validation texts settle how evidence is weighed, in turn: what descriptions say, and then what an item's
//! particulars say beside its description. Start at [`assemble`].

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    encoder::{Embeddings, Encoding},
    fusion::{ALL, FAST, WITHOUT_ENCODER, Weighing},
    learner::{Corpus, HsLeader},
    model::{Model, Precedent},
    national::Nationals,
    nomenclature::Nomenclature,
    particulars::{Counted, Usage},
    texts::{Item, Texts, read_items},
    tree::LEVELS,
};
use crate::Result;

/// Most validation texts that settle how evidence is weighed: there are sixteen weights.
pub(super) const MOST_VALIDATION_TEXTS: u64 = 8192;

/// The texts that settle how evidence is weighed, and their embeddings; those are empty without an encoder.
#[derive(Debug, Default)]
pub(super) struct Validation {
    pub(super) texts: Texts,
    pub(super) embeddings: Embeddings,
}

/// The model of what was learned, with the weights of what descriptions say.
pub(super) fn assemble(
    leader: HsLeader,
    train: Texts,
    compared: Texts,
    valid: &Validation,
    nomenclature: Nomenclature,
    vague_below: f32,
    encoding: Option<Encoding>,
) -> Result<Model> {
    let (vocabulary, classes, train) = Corpus::of(train).into_parts();
    let mut taught = vec![0_u32; classes.len()];
    for code in &train.codes {
        taught[classes.number(*code, LEVELS - 1).unwrap_or_default()] += 1;
    }
    let numbered = |code: u32| classes.number(code, LEVELS - 1).map(|class| class as u32);
    let nationals = train.codes.iter().zip(&train.nationals);
    let nationals = nationals.filter_map(|(code, national)| Some((numbered(*code)?, *national)));
    let nationals = Nationals::of(classes.len(), nationals);
    let compared = compared.descriptions.into_iter().zip(compared.codes).zip(compared.nationals);
    let precedents = compared.filter_map(|((description, code), national)| {
        Some(Precedent { description, class: numbered(code)?, national })
    });
    let precedents = precedents.collect();
    let classifiers = leader.classifiers()?;
    let mut model =
        Model::new(vocabulary, classes, taught, nationals, &classifiers, precedents, nomenclature)?;
    let whole = if encoding.is_some() { ALL } else { WITHOUT_ENCODER };
    model.encoding = encoding;
    model.whole = Weighing::first(whole);
    for (fast, used) in [(false, whole), (true, FAST)] {
        let mut scorer = model.scorer(fast);
        let texts = valid.texts.descriptions.iter().zip(&valid.texts.codes).enumerate();
        let case =
            |(at, (text, code)): (usize, (&String, &u32))| scorer.case(text, valid.embeddings.row(at), *code);
        let cases: Vec<_> = texts.filter_map(case).collect();
        let weighing = Weighing::fit(&cases, used);
        if fast {
            model.fast = weighing;
        } else {
            model.whole = weighing;
        }
    }
    model.vague_below = vague_below;
    Ok(model)
}

/// The model with the weights of what particulars say, by the validation file's items.
pub(super) fn with_particulars(
    mut model: Model,
    counted: &[Counted],
    file: &Bytes,
    valid: &Validation,
) -> Result<Model> {
    let usage = Usage::of(counted, &model.classes);
    let items = read_items(file, &usage, MOST_VALIDATION_TEXTS)?;
    if items.is_empty() {
        return Ok(model);
    }
    model.usage = usage;
    let rows: HashMap<&str, usize> =
        valid.texts.descriptions.iter().enumerate().map(|(row, text)| (text.as_str(), row)).collect();
    for fast in [false, true] {
        let mut scorer = model.scorer(fast);
        let mut cases = Vec::new();
        for Item { description, code, stated } in &items {
            // With an encoder, items whose text was encoded.
            let row = rows.get(description.as_str()).copied();
            if row.is_some() || !scorer.uses_encoder() {
                scorer.state_numbers(*stated);
                let embedding = row.map_or(&[][..], |row| valid.embeddings.row(row));
                cases.extend(scorer.case(description, embedding, *code));
            }
        }
        let weighing = if fast { &mut model.fast } else { &mut model.whole };
        *weighing = weighing.with_particulars(&cases);
    }
    Ok(model)
}
