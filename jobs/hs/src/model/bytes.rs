//! A model's bytes: one protobuf message ([`Stored`]).
//!
//! What can be computed from the rest is not stored: the index of precedents is made again when a model is read, which
//! takes about 10 µs a precedent. Start at [`HsModel::load`].

use bytes::Bytes;
use prost::Message;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, threads::on_cpu};

use super::{
    attributes::{AttributeWeights, StoredAttributeWeights},
    beam::BeamWeights,
    fusion::{Fusion, INPUTS},
    hs_model::{HsModel, training_shares},
    national::NationalCodes,
    nomenclature_texts::NomenclatureTexts,
    precedents::{Precedent, index_of},
    weights::{ClassWeights, StoredWeights},
};
use crate::{
    codes::{digits::LEVELS, nomenclature::Nomenclature, tree::CodeTree},
    encoder::{ModelEncoder, StoredModelEncoder},
    features::vectors::Vocabulary,
};

impl HsModel {
    /// Reads a model and loads its encoder, where it has one.
    ///
    /// # Errors
    /// As [`HsModel::from_bytes`]; [`tidewaiter_core::ErrorKind::Corrupt`] when the encoder has changed since the model
    /// was trained.
    pub async fn load(bytes: Bytes, archive: &Archive) -> Result<Self> {
        let mut model = on_cpu(move || Self::from_bytes(&bytes)).await?;
        if let Some(encoder) = &mut model.encoder {
            encoder.load(archive).await?;
        }
        Ok(model)
    }

    /// The bytes that [`HsModel::from_bytes`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kept = |(code, text): (&String, &String)| StoredText { code: code.clone(), text: text.clone() };
        Stored {
            hashes: self.vocabulary.hashes().to_vec(),
            idf: self.vocabulary.idf().to_vec(),
            subheadings: self.classes.codes(LEVELS - 1).to_vec(),
            training_texts: self.training_texts.clone(),
            levels: self.weights.iter().map(ClassWeights::to_stored).collect(),
            precedents: self.precedents.iter().map(|precedent| precedent.description.clone()).collect(),
            precedent_classes: self.precedents.iter().map(|precedent| precedent.class).collect(),
            precedent_nationals: self.precedents.iter().map(|precedent| precedent.national).collect(),
            national_starts: self.nationals.starts.clone(),
            nationals: self.nationals.codes.clone(),
            national_texts: self.nationals.texts.clone(),
            whole: stored_weighing(&self.whole),
            fast: stored_weighing(&self.fast),
            vague_below: self.vague_below,
            nomenclature: self.nomenclature.entries().map(kept).collect(),
            carried: self.nomenclature.carried().map(kept).collect(),
            editions: self
                .nomenclature
                .editions()
                .iter()
                .map(|(year, codes)| StoredEdition { year: *year, codes: codes.iter().copied().collect() })
                .collect(),
            encoder: self.encoder.as_ref().map(ModelEncoder::to_stored),
            attributes: if self.attributes.is_empty() { Vec::new() } else { self.attributes.to_stored() },
        }
        .encode_to_vec()
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the bytes are no HS model, or its parts do not fit each other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let stored = Stored::decode(bytes)?;
        let corrupt =
            || Error::corrupt("the parts of an HS model do not fit each other; promote another version");
        let ascend = stored.hashes.is_sorted_by(|one, next| one < next)
            && stored.subheadings.is_sorted_by(|one, next| one < next);
        let fit = stored.hashes.len() == stored.idf.len()
            && stored.subheadings.len() == stored.training_texts.len()
            && !stored.subheadings.is_empty()
            && stored.precedents.len() == stored.precedent_classes.len()
            && stored.precedents.len() == stored.precedent_nationals.len()
            && stored.precedent_classes.iter().all(|class| (*class as usize) < stored.subheadings.len());
        if !ascend || !fit {
            return Err(corrupt());
        }
        let vocabulary = Vocabulary::new(stored.hashes, stored.idf);
        let classes = CodeTree::new(stored.subheadings);
        let weights: Vec<ClassWeights> = stored.levels.into_iter().map(ClassWeights::of_stored).collect();
        let weights: [ClassWeights; LEVELS] = weights.try_into().map_err(|_| corrupt())?;
        if !(0..LEVELS).all(|level| weights[level].is_whole(vocabulary.len(), classes.codes(level).len())) {
            return Err(corrupt());
        }
        let nationals = NationalCodes {
            starts: stored.national_starts,
            codes: stored.nationals,
            texts: stored.national_texts,
        };
        if !nationals.is_whole(classes.len()) {
            return Err(corrupt());
        }
        let precedents =
            stored.precedents.into_iter().zip(stored.precedent_classes).zip(stored.precedent_nationals);
        let precedents: Vec<_> = precedents
            .map(|((description, class), national)| Precedent { description, class, national })
            .collect();
        let fusion = |numbers: Vec<f64>| match numbers.split_last() {
            Some((label_noise, weights)) => {
                let weights = <[f64; INPUTS]>::try_from(weights).map_err(|_| corrupt())?;
                Ok::<_, Error>(Fusion { weights, label_noise: *label_noise })
            }
            None => Err(corrupt()),
        };
        let encoder = match stored.encoder {
            None => None,
            Some(stored) => Some(ModelEncoder::of_stored(stored, classes.len()).ok_or_else(corrupt)?),
        };
        let attributes = AttributeWeights::of_stored(stored.attributes, &classes).ok_or_else(corrupt)?;
        let entries =
            |entries: Vec<StoredText>| entries.into_iter().map(|StoredText { code, text }| (code, text));
        let editions = stored.editions.into_iter();
        let nomenclature = Nomenclature::of(
            entries(stored.nomenclature),
            entries(stored.carried),
            editions.map(|edition| (edition.year, edition.codes.into_iter().collect())).collect(),
        );
        Ok(Self {
            nomenclature_texts: NomenclatureTexts::of(&nomenclature, &classes),
            weights_below: BeamWeights::of(&classes, &weights),
            index: index_of(&vocabulary, &precedents),
            shares: training_shares(&classes, &stored.training_texts),
            whole: fusion(stored.whole)?,
            fast: fusion(stored.fast)?,
            vague_below: stored.vague_below,
            encoder,
            attributes,
            nomenclature,
            training_texts: stored.training_texts,
            nationals,
            vocabulary,
            classes,
            weights,
            precedents,
        })
    }
}

/// The weights, then the label noise.
fn stored_weighing(fusion: &Fusion) -> Vec<f64> {
    fusion.weights.iter().copied().chain([fusion.label_noise]).collect()
}

/// A model's bytes.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(fixed64, repeated, tag = "1")]
    hashes: Vec<u64>,
    #[prost(float, repeated, tag = "2")]
    idf: Vec<f32>,
    #[prost(uint32, repeated, tag = "3")]
    subheadings: Vec<u32>,
    #[prost(uint32, repeated, tag = "4")]
    training_texts: Vec<u32>,
    #[prost(message, repeated, tag = "5")]
    levels: Vec<StoredWeights>,
    #[prost(string, repeated, tag = "6")]
    precedents: Vec<String>,
    #[prost(uint32, repeated, tag = "7")]
    precedent_classes: Vec<u32>,
    #[prost(double, repeated, tag = "8")]
    whole: Vec<f64>,
    #[prost(double, repeated, tag = "9")]
    fast: Vec<f64>,
    #[prost(float, tag = "10")]
    vague_below: f32,
    #[prost(message, repeated, tag = "11")]
    nomenclature: Vec<StoredText>,
    #[prost(message, repeated, tag = "12")]
    carried: Vec<StoredText>,
    #[prost(message, repeated, tag = "13")]
    editions: Vec<StoredEdition>,
    #[prost(uint64, repeated, tag = "14")]
    precedent_nationals: Vec<u64>,
    #[prost(uint32, repeated, tag = "15")]
    national_starts: Vec<u32>,
    #[prost(uint64, repeated, tag = "16")]
    nationals: Vec<u64>,
    #[prost(uint32, repeated, tag = "17")]
    national_texts: Vec<u32>,
    #[prost(message, optional, tag = "18")]
    encoder: Option<StoredModelEncoder>,
    #[prost(message, repeated, tag = "19")]
    attributes: Vec<StoredAttributeWeights>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredEdition {
    #[prost(int32, tag = "1")]
    year: i32,
    #[prost(uint32, repeated, tag = "2")]
    codes: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredText {
    #[prost(string, tag = "1")]
    code: String,
    #[prost(string, tag = "2")]
    text: String,
}
