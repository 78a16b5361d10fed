//! From what was fitted and counted to a whole model.
//!
//! The validation texts fit, in turn, the weights of the blended classifiers, those of all inputs of a description, and
//! those of attributes beside it. This also calibrates the probabilities. Start at [`assemble`].

use std::collections::HashMap;

use bytes::Bytes;
use tidewaiter_core::{Error, Result, threads::check};

use super::{
    attributes::attribute_weights,
    blend::Blend,
    classifiers::{ClassifierLeader, Corpus},
    fusion::{case_of, fit_attributes, fit_fusion},
    problem::classifier_count,
};
use crate::{
    codes::{digits::LEVELS, nomenclature::Nomenclature},
    encoder::{Embeddings, ModelEncoder},
    features::{
        attributes::AttributeCount,
        texts::{LabelledItem, LabelledTexts, read_items},
    },
    model::{
        fusion::{DESCRIPTION, FAST, Fusion, WITHOUT_ENCODER},
        hs_model::HsModel,
        national::NationalCodes,
        precedents::Precedent,
        scorer::Scorer,
    },
};

/// Most validation texts that are used: there are some twenty weights to fit.
pub(crate) const MOST_VALIDATION_TEXTS: u64 = 8192;

/// The validation texts and their embeddings, which are empty without an encoder.
#[derive(Debug, Default)]
pub(crate) struct Validation {
    pub(crate) texts: LabelledTexts,
    pub(crate) embeddings: Embeddings,
}

/// A model of descriptions: from the classifiers' fit, the training texts, those of them that are kept as precedents,
/// and the validation texts.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the fit is not over or was of other texts.
pub(crate) fn assemble(
    leader: ClassifierLeader,
    train: LabelledTexts,
    precedents: LabelledTexts,
    valid: &Validation,
    nomenclature: Nomenclature,
    vague_below: f32,
    encoder: Option<ModelEncoder>,
) -> Result<HsModel> {
    let Corpus { texts: train, vectors, vocabulary, classes } = Corpus::of(train);
    let classifiers = leader.classifiers()?;
    if classifiers.len() != classifier_count(&classes) {
        return Err(Error::internal("the fit gave another number of classifiers than there are classes"));
    }
    let mut training_texts = vec![0_u32; classes.len()];
    for code in &train.codes {
        training_texts[classes.number(*code, LEVELS - 1).unwrap_or_default()] += 1;
    }
    let weights = Blend::of(&vocabulary, &classes, &training_texts, &vectors, &classifiers).fit(&valid.texts);
    let numbered = |code: u32| classes.number(code, LEVELS - 1).map(|class| class as u32);
    let nationals = train.codes.iter().zip(&train.nationals);
    let nationals = nationals.filter_map(|(code, national)| Some((numbered(*code)?, *national)));
    let nationals = NationalCodes::of(classes.len(), nationals);
    let precedents = precedents.descriptions.into_iter().zip(precedents.codes).zip(precedents.nationals);
    let precedents = precedents.filter_map(|((description, code), national)| {
        Some(Precedent { description, class: numbered(code)?, national })
    });
    let precedents = precedents.collect();
    let mut model =
        HsModel::new(vocabulary, classes, training_texts, nationals, weights, precedents, nomenclature);
    let whole = if encoder.is_some() { DESCRIPTION } else { WITHOUT_ENCODER };
    model.encoder = encoder;
    model.whole = Fusion::initial(whole);
    for (fast, used) in [(false, whole), (true, FAST)] {
        let mut scorer = Scorer::new(&model, fast);
        let texts = valid.texts.descriptions.iter().zip(&valid.texts.codes).enumerate();
        let case = |(at, (text, code)): (usize, (&String, &u32))| {
            check()?;
            Ok(case_of(&mut scorer, text, valid.embeddings.row(at), *code))
        };
        let cases = texts.map(case).filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
        *model.fusion_mut(fast) = fit_fusion(&cases, valid.texts.codes.len(), used);
    }
    model.vague_below = vague_below;
    Ok(model)
}

/// The model with weights of attributes, from counts over the training months and the items of the validation file;
/// the same model where no item has attributes.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Corrupt`] when the file is not one of texts.
pub(crate) fn with_attributes(
    mut model: HsModel,
    counts: &[AttributeCount],
    file: &Bytes,
    valid: &Validation,
) -> Result<HsModel> {
    let weights = attribute_weights(counts, &model.classes);
    let items = read_items(file, |attributes| weights.numbers(attributes), MOST_VALIDATION_TEXTS)?;
    if items.is_empty() {
        return Ok(model);
    }
    model.attributes = weights;
    let rows: HashMap<&str, usize> =
        valid.texts.descriptions.iter().enumerate().map(|(row, text)| (text.as_str(), row)).collect();
    for fast in [false, true] {
        let mut scorer = Scorer::new(&model, fast);
        let mut cases = Vec::new();
        for LabelledItem { description, code, attributes } in &items {
            check()?;
            // Only the texts of the validation sample have an embedding.
            let row = rows.get(description.as_str()).copied();
            if row.is_some() || !scorer.uses_encoder() {
                scorer.set_attribute_numbers(*attributes);
                let embedding = row.map_or(&[][..], |row| valid.embeddings.row(row));
                cases.extend(case_of(&mut scorer, description, embedding, *code));
            }
        }
        let fusion = model.fusion_mut(fast);
        *fusion = fit_attributes(*fusion, &cases);
    }
    Ok(model)
}
