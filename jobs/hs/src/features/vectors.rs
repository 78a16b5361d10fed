//! Texts as sparse vectors of unit length over a vocabulary of hashed features (TF-IDF).
//!
//! A feature's value is the weight of its kind times its inverse document frequency, ln((1 + texts) / (1 + texts with
//! it)) + 1, however often the text has it (Salton and Buckley, "Term-weighting approaches in automatic text
//! retrieval", 1988). Start at [`Vocabulary`] and [`TextVectors`].

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::ngrams::{Extractor, Feature, FeatureKind};

/// Training texts that must have a feature for it to be kept.
pub(crate) const LEAST_TEXTS: u32 = 2;

/// The weight of a feature's kind, 1 for a word.
fn weight_of(kind: FeatureKind) -> f32 {
    match kind {
        FeatureKind::Word | FeatureKind::Pair => 1.0,
        FeatureKind::Ngram => 0.5,
    }
}

/// A map by hashes, which are not hashed again.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<IdentityHasher>>;

/// Returns a 64-bit key as its own hash.
#[derive(Debug, Default, Clone, Copy)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The known features in ascending order of their hashes, with their inverse document frequencies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocabulary {
    hashes: Vec<u64>,
    /// The inverse document frequency of each feature.
    idf: Vec<f32>,
    numbers: ByHash<u32>,
}

impl Vocabulary {
    /// The vocabulary of training texts: features of fewer than [`LEAST_TEXTS`] texts are left out.
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_at_least(LEAST_TEXTS, texts)
    }

    /// The vocabulary of the features that at least so many of the texts have.
    pub(crate) fn of_at_least<'a>(least: u32, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut extractor = Extractor::default();
        let mut counts = ByHash::<u32>::default();
        let mut total = 0_u32;
        for text in texts {
            total += 1;
            for feature in extractor.read(text) {
                *counts.entry(feature.hash).or_default() += 1;
            }
        }
        let mut kept: Vec<(u64, u32)> = counts.into_iter().filter(|(_, count)| *count >= least).collect();
        kept.sort_unstable();
        let idf_of = |count: u32| ((f64::from(total) + 1.0) / (f64::from(count) + 1.0)).ln() as f32 + 1.0;
        let frequencies = kept.iter().map(|(_, count)| idf_of(*count)).collect();
        Self::new(kept.into_iter().map(|(hash, _)| hash).collect(), frequencies)
    }

    /// The vocabulary of hashes in ascending order and their inverse document frequencies.
    pub(crate) fn new(hashes: Vec<u64>, idf: Vec<f32>) -> Self {
        let numbers = (0..).zip(&hashes).map(|(number, hash)| (*hash, number)).collect();
        Self { hashes, idf, numbers }
    }

    /// The number of features.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The hashes, ascending.
    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The inverse document frequencies.
    pub(crate) fn idf(&self) -> &[f32] {
        &self.idf
    }

    /// Makes the vector of a text's features, which come in ascending order of their hashes; unknown ones are left
    /// out.
    pub(crate) fn vector(&self, features: &[Feature], vector: &mut TextVector) {
        let TextVector { features: numbers, values, words } = vector;
        numbers.clear();
        values.clear();
        words.clear();
        let mut length = 0.0;
        for feature in features {
            let Some(number) = self.numbers.get(&feature.hash) else { continue };
            let value = self.idf[*number as usize] * weight_of(feature.kind);
            length += value * value;
            numbers.push(*number);
            values.push(value);
            words.push(feature.word);
        }
        let scale = if length > 0.0 { length.sqrt().recip() } else { 0.0 };
        values.iter_mut().for_each(|value| *value *= scale);
    }
}

/// One text's vector, in buffers that are used again.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextVector {
    /// Numbers of its features, ascending.
    pub(crate) features: Vec<u32>,
    /// Their values; the squares add up to 1, or there are none.
    pub(crate) values: Vec<f32>,
    /// The number of the word that each belongs to.
    pub(crate) words: Vec<u32>,
}

impl TextVector {
    /// A view of the vector without its words.
    pub(crate) fn row(&self) -> SparseRow<'_> {
        SparseRow { features: &self.features, values: &self.values }
    }
}

/// A view of one text's vector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SparseRow<'a> {
    /// Numbers of its features, ascending.
    pub(crate) features: &'a [u32],
    /// Their values.
    pub(crate) values: &'a [f32],
}

impl SparseRow<'_> {
    /// Features with their values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, f32)> {
        self.features.iter().map(|feature| *feature as usize).zip(self.values.iter().copied())
    }
}

/// The vectors of many texts: a sparse matrix by rows.
#[derive(Debug, Clone)]
pub(crate) struct TextVectors {
    starts: Vec<usize>,
    features: Vec<u32>,
    values: Vec<f32>,
}

impl TextVectors {
    /// The vectors of texts.
    pub(crate) fn of<'a>(vocabulary: &Vocabulary, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut extractor = Extractor::default();
        let mut vector = TextVector::default();
        let mut vectors = Self { starts: vec![0], features: Vec::new(), values: Vec::new() };
        for text in texts {
            vocabulary.vector(extractor.read(text), &mut vector);
            vectors.features.extend_from_slice(&vector.features);
            vectors.values.extend_from_slice(&vector.values);
            vectors.starts.push(vectors.features.len());
        }
        vectors
    }

    /// The number of texts.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The vector of a text.
    pub(crate) fn row(&self, at: usize) -> SparseRow<'_> {
        let range = self.starts[at]..self.starts[at + 1];
        SparseRow { features: &self.features[range.clone()], values: &self.values[range] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_the_formula() {
        let texts = ["ab", "ab 7", "7", "xyz"];
        let vocabulary = Vocabulary::of(texts);
        // Of `ab`: the word and three n-grams; of `7`: the word; pairs and `xyz` occur in one text only.
        assert_eq!(vocabulary.len(), 5);
        let idf = (5.0_f32 / 3.0).ln() + 1.0;
        assert!(vocabulary.idf().iter().all(|value| (value - idf).abs() < 1e-6));

        let vectors = TextVectors::of(&vocabulary, texts);
        assert_eq!((vectors.len(), vectors.row(3).features.len()), (4, 0));
        assert_eq!(vectors.row(2).values, [1.0]);
        // A word of weight 1 and three n-grams of 1/2: the length is sqrt(1 + 3/4).
        let mut values = vectors.row(0).values.to_vec();
        values.sort_by(f32::total_cmp);
        let (ngram, word) = (0.5 / 1.75_f32.sqrt(), 1.0 / 1.75_f32.sqrt());
        for (value, expected) in values.iter().zip([ngram, ngram, ngram, word]) {
            assert!((value - expected).abs() < 1e-6, "{values:?}");
        }
    }
}
