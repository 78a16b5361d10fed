//! The model: a vocabulary, classifiers on the HS tree, precedents, and the weights that join them.
//!
//! Its bytes are one protobuf message ([`Stored`]); the index of precedents is made anew when it is read,
//! which takes about 10 µs a precedent. Start at [`Model::scorer`].

use bytes::Bytes;
use prost::Message;

use super::{
    branches::Branches,
    encoder::{Embeddings, Encoding, StoredEncoding},
    fusion::{EVIDENCE, FAST, WITHOUT_ENCODER, Weighing},
    names::Names,
    national::Nationals,
    nomenclature::Nomenclature,
    particulars::{StoredUsage, Usage},
    precedents::Index,
    scorer::Scorer,
    tree::{Classes, LEVELS, StoredWeights, Weights},
    vectors::{Vectors, Vocabulary},
};
use crate::{Archive, Error, Result, threads::on_cpu};

/// Recommends HS codes for descriptions of goods.
#[derive(Debug, Clone)]
pub struct Model {
    pub(super) vocabulary: Vocabulary,
    pub(super) classes: Classes,
    /// How many texts taught each subheading.
    pub(super) taught: Vec<u32>,
    /// The national codes of each subheading.
    pub(super) nationals: Nationals,
    /// The share of the training texts that each class of each level has.
    pub(super) shares: [Vec<f32>; LEVELS],
    /// The blended classifiers: what is kept, and what explains.
    pub(super) weights: [Weights; LEVELS],
    /// The same weights below the chapters, as scoring reads them.
    pub(super) branches: Branches,
    pub(super) precedents: Vec<Precedent>,
    pub(super) index: Index,
    /// Joins all evidence.
    pub(super) whole: Weighing,
    /// Joins what needs no precedents.
    pub(super) fast: Weighing,
    /// A description whose best heading is less likely is too vague.
    pub(super) vague_below: f32,
    pub(super) nomenclature: Nomenclature,
    /// The nomenclature's texts, to compare with; none where there is no nomenclature.
    pub(super) names: Option<Names>,
    /// What an encoder adds, where the model was made with one.
    pub(super) encoding: Option<Encoding>,
    /// What origin, unit and value say, where declarations have them.
    pub(super) usage: Usage,
}

/// A past declaration that reasons can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precedent {
    /// Its description.
    pub description: String,
    /// The number of its subheading's class.
    pub class: u32,
    /// Its code with national digits (0: none).
    pub(super) national: u64,
}

impl Model {
    /// A model whose evidence is not weighed yet.
    pub(super) fn new(
        vocabulary: Vocabulary,
        classes: Classes,
        taught: Vec<u32>,
        nationals: Nationals,
        weights: [Weights; LEVELS],
        precedents: Vec<Precedent>,
        nomenclature: Nomenclature,
    ) -> Self {
        let index = index_of(&vocabulary, &precedents);
        let shares = shares(&classes, &taught);
        let (whole, fast) = (Weighing::first(WITHOUT_ENCODER), Weighing::first(FAST));
        Self {
            branches: Branches::of(&classes, &weights),
            names: Names::of(&nomenclature, &classes),
            vocabulary,
            classes,
            taught,
            nationals,
            shares,
            weights,
            precedents,
            index,
            whole,
            fast,
            vague_below: 0.0,
            nomenclature,
            encoding: None,
            usage: Usage::default(),
        }
    }

    /// How evidence is weighed with or without precedents.
    pub(super) fn weighing(&mut self, fast: bool) -> &mut Weighing {
        if fast { &mut self.fast } else { &mut self.whole }
    }

    /// Scores descriptions one after the other; `fast` leaves the precedents out.
    pub fn scorer(&self, fast: bool) -> Scorer<'_> {
        Scorer::new(self, if fast { self.fast } else { self.whole })
    }

    /// Reads a model and loads its encoder, where it has one.
    ///
    /// # Errors
    /// As [`Model::from_bytes`]; [`crate::ErrorKind::Corrupt`] when the encoder has changed since.
    pub async fn load(bytes: Bytes, archive: &Archive) -> Result<Self> {
        let mut model = on_cpu(move || Self::from_bytes(&bytes)).await?;
        if let Some(encoding) = &mut model.encoding {
            encoding.load(archive).await?;
        }
        Ok(model)
    }

    /// The embeddings of descriptions, which a scorer asks for; empty ones when nothing is to be encoded.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when the encoder was not loaded.
    pub(super) fn encode<'a>(
        &self,
        fast: bool,
        descriptions: impl IntoIterator<Item = &'a str>,
    ) -> Result<Embeddings> {
        let weighing = if fast { &self.fast } else { &self.whole };
        match self.encoding.as_ref().filter(|_| weighing.uses_encoder()) {
            None => Ok(Embeddings::default()),
            Some(encoding) => encoding.encode(descriptions),
        }
    }

    /// How many chapters, headings and subheadings it can predict.
    pub fn class_counts(&self) -> [usize; LEVELS] {
        std::array::from_fn(|level| self.classes.codes(level).len())
    }

    /// The code of a class at a level.
    pub(super) fn code(&self, level: usize, class: usize) -> u32 {
        self.classes.codes(level)[class]
    }

    /// How many subheadings were taught by one text only.
    pub fn taught_once(&self) -> usize {
        self.taught.iter().filter(|taught| **taught == 1).count()
    }

    /// The bytes that [`Model::from_bytes`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kept = |(code, text): (&String, &String)| Entry { code: code.clone(), text: text.clone() };
        Stored {
            hashes: self.vocabulary.hashes().to_vec(),
            rarity: self.vocabulary.rarity().to_vec(),
            subheadings: self.classes.codes(LEVELS - 1).to_vec(),
            taught: self.taught.clone(),
            levels: self.weights.iter().map(Weights::to_stored).collect(),
            precedents: self.precedents.iter().map(|precedent| precedent.description.clone()).collect(),
            precedent_classes: self.precedents.iter().map(|precedent| precedent.class).collect(),
            precedent_nationals: self.precedents.iter().map(|precedent| precedent.national).collect(),
            national_starts: self.nationals.starts.clone(),
            nationals: self.nationals.codes.clone(),
            nationals_taught: self.nationals.taught.clone(),
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
            encoding: self.encoding.as_ref().map(Encoding::to_stored),
            usage: if self.usage.is_empty() { Vec::new() } else { self.usage.to_stored() },
        }
        .encode_to_vec()
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the bytes are no HS model, or its parts do not fit each other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let stored = Stored::decode(bytes)?;
        let corrupt =
            || Error::corrupt("the parts of an HS model do not fit each other; promote another version");
        let ascend = stored.hashes.is_sorted_by(|one, next| one < next)
            && stored.subheadings.is_sorted_by(|one, next| one < next);
        let fit = stored.hashes.len() == stored.rarity.len()
            && stored.subheadings.len() == stored.taught.len()
            && !stored.subheadings.is_empty()
            && stored.precedents.len() == stored.precedent_classes.len()
            && stored.precedents.len() == stored.precedent_nationals.len()
            && stored.precedent_classes.iter().all(|class| (*class as usize) < stored.subheadings.len());
        if !ascend || !fit {
            return Err(corrupt());
        }
        let vocabulary = Vocabulary::new(stored.hashes, stored.rarity);
        let classes = Classes::new(stored.subheadings);
        let weights: Vec<Weights> = stored.levels.into_iter().map(Weights::of_stored).collect();
        let weights: [Weights; LEVELS] = weights.try_into().map_err(|_| corrupt())?;
        if !(0..LEVELS).all(|level| weights[level].is_whole(vocabulary.len(), classes.codes(level).len())) {
            return Err(corrupt());
        }
        let nationals = Nationals {
            starts: stored.national_starts,
            codes: stored.nationals,
            taught: stored.nationals_taught,
        };
        if !nationals.is_whole(classes.len()) {
            return Err(corrupt());
        }
        let precedents =
            stored.precedents.into_iter().zip(stored.precedent_classes).zip(stored.precedent_nationals);
        let precedents: Vec<_> = precedents
            .map(|((description, class), national)| Precedent { description, class, national })
            .collect();
        let weighing = |numbers: Vec<f64>| match numbers.split_last() {
            Some((doubt, weights)) => {
                let weights = <[f64; EVIDENCE]>::try_from(weights).map_err(|_| corrupt())?;
                Ok::<_, Error>(Weighing { weights, doubt: *doubt })
            }
            None => Err(corrupt()),
        };
        let encoding = match stored.encoding {
            None => None,
            Some(stored) => Some(Encoding::of_stored(stored, classes.len()).ok_or_else(corrupt)?),
        };
        let usage = Usage::of_stored(stored.usage, &classes).ok_or_else(corrupt)?;
        let entries = |entries: Vec<Entry>| entries.into_iter().map(|Entry { code, text }| (code, text));
        let editions = stored.editions.into_iter();
        let nomenclature = Nomenclature::of(
            entries(stored.nomenclature),
            entries(stored.carried),
            editions.map(|edition| (edition.year, edition.codes.into_iter().collect())).collect(),
        );
        Ok(Self {
            names: Names::of(&nomenclature, &classes),
            branches: Branches::of(&classes, &weights),
            index: index_of(&vocabulary, &precedents),
            shares: shares(&classes, &stored.taught),
            whole: weighing(stored.whole)?,
            fast: weighing(stored.fast)?,
            vague_below: stored.vague_below,
            encoding,
            usage,
            nomenclature,
            taught: stored.taught,
            nationals,
            vocabulary,
            classes,
            weights,
            precedents,
        })
    }
}

/// A weighing's numbers: the weights, then the doubt.
fn stored_weighing(weighing: &Weighing) -> Vec<f64> {
    weighing.weights.iter().copied().chain([weighing.doubt]).collect()
}

/// The share of texts of each class of each level.
fn shares(classes: &Classes, taught: &[u32]) -> [Vec<f32>; LEVELS] {
    let total = taught.iter().map(|texts| f64::from(*texts)).sum::<f64>().max(1.0);
    let mut shares: [Vec<f64>; LEVELS] = std::array::from_fn(|level| vec![0.0; classes.codes(level).len()]);
    for (path, texts) in classes.paths().iter().zip(taught) {
        for (shares, class) in shares.iter_mut().zip(path) {
            shares[*class as usize] += f64::from(*texts) / total;
        }
    }
    shares.map(|shares| shares.into_iter().map(|share| share as f32).collect())
}

fn index_of(vocabulary: &Vocabulary, precedents: &[Precedent]) -> Index {
    let texts = precedents.iter().map(|precedent| precedent.description.as_str());
    Index::of(&Vectors::of(vocabulary, texts), vocabulary.len())
}

/// A model's bytes.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(fixed64, repeated, tag = "1")]
    hashes: Vec<u64>,
    #[prost(float, repeated, tag = "2")]
    rarity: Vec<f32>,
    #[prost(uint32, repeated, tag = "3")]
    subheadings: Vec<u32>,
    #[prost(uint32, repeated, tag = "4")]
    taught: Vec<u32>,
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
    nomenclature: Vec<Entry>,
    #[prost(message, repeated, tag = "12")]
    carried: Vec<Entry>,
    #[prost(message, repeated, tag = "13")]
    editions: Vec<StoredEdition>,
    #[prost(uint64, repeated, tag = "14")]
    precedent_nationals: Vec<u64>,
    #[prost(uint32, repeated, tag = "15")]
    national_starts: Vec<u32>,
    #[prost(uint64, repeated, tag = "16")]
    nationals: Vec<u64>,
    #[prost(uint32, repeated, tag = "17")]
    nationals_taught: Vec<u32>,
    #[prost(message, optional, tag = "18")]
    encoding: Option<StoredEncoding>,
    #[prost(message, repeated, tag = "19")]
    usage: Vec<StoredUsage>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredEdition {
    #[prost(int32, tag = "1")]
    year: i32,
    #[prost(uint32, repeated, tag = "2")]
    codes: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    code: String,
    #[prost(string, tag = "2")]
    text: String,
}
