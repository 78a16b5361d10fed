//! The model: a vocabulary, classifiers on the HS tree, precedents, and the weights that join them.
//!
//! Three linear classifiers are blended into one for each class; similar past declarations, the nomenclature's texts,
//! an encoder and attributes are further inputs of a log-linear model ([`super::fusion`]). [`super::scorer`] computes
//! probabilities with it, and [`super::bytes`] stores it.

use tidewaiter_core::Result;

use super::{
    attributes::AttributeWeights,
    beam::BeamWeights,
    fusion::{FAST, Fusion, WITHOUT_ENCODER},
    inverted_index::InvertedIndex,
    national::NationalCodes,
    nomenclature_texts::NomenclatureTexts,
    precedents::{Precedent, index_of},
    weights::ClassWeights,
};
use crate::{
    codes::{digits::LEVELS, nomenclature::Nomenclature, tree::CodeTree},
    encoder::{Embeddings, ModelEncoder},
    features::vectors::Vocabulary,
};

/// Recommends HS codes for descriptions of goods.
#[derive(Debug, Clone)]
pub struct HsModel {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) classes: CodeTree,
    /// The number of training texts of each subheading.
    pub(crate) training_texts: Vec<u32>,
    /// The national codes of each subheading.
    pub(crate) nationals: NationalCodes,
    /// The share of the training texts that belong to each class of each level.
    pub(crate) shares: [Vec<f32>; LEVELS],
    /// The blended classifiers, as they are stored and as reasons read them.
    pub(crate) weights: [ClassWeights; LEVELS],
    /// The same weights below the chapters, as scoring reads them.
    pub(crate) weights_below: BeamWeights,
    /// Past declarations to compare descriptions with.
    pub(crate) precedents: Vec<Precedent>,
    /// The index of their descriptions.
    pub(crate) index: InvertedIndex,
    /// Joins all inputs that the model has.
    pub(crate) whole: Fusion,
    /// Joins the inputs of a fast model: without precedents, nomenclature and encoder.
    pub(crate) fast: Fusion,
    /// A description whose best heading is less likely than this is too vague.
    pub(crate) vague_below: f32,
    pub(crate) nomenclature: Nomenclature,
    /// The nomenclature's texts, to compare descriptions with, where there is a nomenclature.
    pub(crate) nomenclature_texts: Option<NomenclatureTexts>,
    /// The encoder and its head, where the model has one.
    pub(crate) encoder: Option<ModelEncoder>,
    /// The weights of origin, unit and value per unit, where declarations state them.
    pub(crate) attributes: AttributeWeights,
}

impl HsModel {
    /// A model with the initial weights of its inputs.
    pub(crate) fn new(
        vocabulary: Vocabulary,
        classes: CodeTree,
        training_texts: Vec<u32>,
        nationals: NationalCodes,
        weights: [ClassWeights; LEVELS],
        precedents: Vec<Precedent>,
        nomenclature: Nomenclature,
    ) -> Self {
        let index = index_of(&vocabulary, &precedents);
        let shares = training_shares(&classes, &training_texts);
        let (whole, fast) = (Fusion::initial(WITHOUT_ENCODER), Fusion::initial(FAST));
        Self {
            weights_below: BeamWeights::of(&classes, &weights),
            nomenclature_texts: NomenclatureTexts::of(&nomenclature, &classes),
            vocabulary,
            classes,
            training_texts,
            nationals,
            shares,
            weights,
            precedents,
            index,
            whole,
            fast,
            vague_below: 0.0,
            nomenclature,
            encoder: None,
            attributes: AttributeWeights::default(),
        }
    }

    /// The weights of the inputs of a fast model, or of one with all inputs.
    pub(crate) fn fusion_mut(&mut self, fast: bool) -> &mut Fusion {
        if fast { &mut self.fast } else { &mut self.whole }
    }

    /// The embeddings of descriptions, which a scorer needs; empty without an encoder.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the encoder was not loaded.
    pub(crate) fn encode<'a>(
        &self,
        fast: bool,
        descriptions: impl IntoIterator<Item = &'a str>,
    ) -> Result<Embeddings> {
        let fusion = if fast { &self.fast } else { &self.whole };
        match self.encoder.as_ref().filter(|_| fusion.uses_encoder()) {
            None => Ok(Embeddings::default()),
            Some(encoder) => encoder.encode(descriptions),
        }
    }

    /// How many chapters, headings and subheadings it can predict.
    pub fn class_counts(&self) -> [usize; LEVELS] {
        std::array::from_fn(|level| self.classes.codes(level).len())
    }

    /// The code of a class of a level.
    pub(crate) fn code(&self, level: usize, class: usize) -> u32 {
        self.classes.codes(level)[class]
    }

    /// How many subheadings have one training text only.
    pub fn with_one_text(&self) -> usize {
        self.training_texts.iter().filter(|texts| **texts == 1).count()
    }
}

/// The share of the training texts that belong to each class of each level.
pub(crate) fn training_shares(classes: &CodeTree, training_texts: &[u32]) -> [Vec<f32>; LEVELS] {
    let total = training_texts.iter().map(|texts| f64::from(*texts)).sum::<f64>().max(1.0);
    let mut shares: [Vec<f64>; LEVELS] = std::array::from_fn(|level| vec![0.0; classes.codes(level).len()]);
    for (path, texts) in classes.paths().iter().zip(training_texts) {
        for (shares, class) in shares.iter_mut().zip(path) {
            shares[*class as usize] += f64::from(*texts) / total;
        }
    }
    shares.map(|shares| shares.into_iter().map(|share| share as f32).collect())
}
