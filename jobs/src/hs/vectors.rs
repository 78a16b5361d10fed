//! Texts as sparse vectors of unit length, over a vocabulary of hashed features.
//!
//! A feature's weight is that of its kind times its inverse document frequency, ln((1 + texts) / (1 + texts
//! with it)) + 1, whatever its count in the text (Salton and Buckley, "Term-weighting approaches in
//! automatic text retrieval", 1988).

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::text::{Feature, Kind, Reader};

/// Texts that a feature must stand in to be kept.
pub(super) const LEAST_TEXTS: u32 = 2;

/// What a feature of each kind weighs beside a word.
fn weight_of(kind: Kind) -> f32 {
    match kind {
        Kind::Word | Kind::Pair => 1.0,
        Kind::Piece => 0.5,
    }
}

/// A map by hashes, which need no hashing again.
type ByHash<V> = HashMap<u64, V, BuildHasherDefault<Same>>;

/// Gives a hash back as it is.
#[derive(Debug, Default, Clone, Copy)]
struct Same(u64);

impl Hasher for Same {
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

/// The features that are known, in the order of their hashes, and their weights.
#[derive(Debug, Clone, Default)]
pub(super) struct Vocabulary {
    hashes: Vec<u64>,
    /// Inverse document frequency.
    rarity: Vec<f32>,
    numbers: ByHash<u32>,
}

impl Vocabulary {
    /// The vocabulary of training texts: features of fewer than [`LEAST_TEXTS`] are left out.
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_at_least(LEAST_TEXTS, texts)
    }

    /// The vocabulary of some texts, of the features that stand in at least so many.
    pub(super) fn of_at_least<'a>(least: u32, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut reader = Reader::default();
        let mut counts = ByHash::<u32>::default();
        let mut total = 0_u32;
        for text in texts {
            total += 1;
            for feature in reader.read(text) {
                *counts.entry(feature.hash).or_default() += 1;
            }
        }
        let mut kept: Vec<(u64, u32)> = counts.into_iter().filter(|(_, count)| *count >= least).collect();
        kept.sort_unstable();
        let rarity = |count: u32| ((f64::from(total) + 1.0) / (f64::from(count) + 1.0)).ln() as f32 + 1.0;
        let rarities = kept.iter().map(|(_, count)| rarity(*count)).collect();
        Self::new(kept.into_iter().map(|(hash, _)| hash).collect(), rarities)
    }

    /// The vocabulary of hashes in ascending order and their inverse document frequencies.
    pub(super) fn new(hashes: Vec<u64>, rarity: Vec<f32>) -> Self {
        let numbers = (0..).zip(&hashes).map(|(number, hash)| (*hash, number)).collect();
        Self { hashes, rarity, numbers }
    }

    /// Number of features.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The hashes, ascending.
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The inverse document frequencies.
    pub(super) fn rarity(&self) -> &[f32] {
        &self.rarity
    }

    /// The vector of features, as pairs of a feature's number and value by ascending number; `words` gets
    /// the word of each.
    pub(super) fn vector(&self, features: &[Feature], vector: &mut Vector) {
        let Vector { features: numbers, values, words } = vector;
        numbers.clear();
        values.clear();
        words.clear();
        let mut length = 0.0;
        // Features come by ascending hash, as the numbers do.
        for feature in features {
            let Some(number) = self.numbers.get(&feature.hash) else { continue };
            let value = self.rarity[*number as usize] * weight_of(feature.kind);
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
pub(super) struct Vector {
    /// Numbers of its features, ascending.
    pub(super) features: Vec<u32>,
    /// Their values; the squares add up to 1, or there are none.
    pub(super) values: Vec<f32>,
    /// The word that each belongs to.
    pub(super) words: Vec<u32>,
}

impl Vector {
    /// As a row of a matrix.
    pub(super) fn row(&self) -> Row<'_> {
        Row { features: &self.features, values: &self.values }
    }
}

/// A row of a sparse matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    /// Columns, ascending.
    pub(super) features: &'a [u32],
    /// Values.
    pub(super) values: &'a [f32],
}

impl Row<'_> {
    /// Columns with their values.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (usize, f32)> {
        self.features.iter().map(|feature| *feature as usize).zip(self.values.iter().copied())
    }
}

/// The vectors of many texts, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Vectors {
    starts: Vec<usize>,
    features: Vec<u32>,
    values: Vec<f32>,
}

impl Vectors {
    /// The vectors of texts.
    pub(super) fn of<'a>(vocabulary: &Vocabulary, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut reader = Reader::default();
        let mut vector = Vector::default();
        let mut vectors = Self { starts: vec![0], features: Vec::new(), values: Vec::new() };
        for text in texts {
            vocabulary.vector(reader.read(text), &mut vector);
            vectors.features.extend_from_slice(&vector.features);
            vectors.values.extend_from_slice(&vector.values);
            vectors.starts.push(vectors.features.len());
        }
        vectors
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// One of them.
    pub(super) fn row(&self, at: usize) -> Row<'_> {
        let range = self.starts[at]..self.starts[at + 1];
        Row { features: &self.features[range.clone()], values: &self.values[range] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_the_formula() {
        let texts = ["ab", "ab 7", "7", "xyz"];
        let vocabulary = Vocabulary::of(texts);
        // Of `ab`: the word and three pieces; of `7`: the word; pairs and `xyz` stand in one text only.
        assert_eq!(vocabulary.len(), 5);
        let rarity = (5.0_f32 / 3.0).ln() + 1.0;
        assert!(vocabulary.rarity().iter().all(|value| (value - rarity).abs() < 1e-6));

        let vectors = Vectors::of(&vocabulary, texts);
        assert_eq!((vectors.len(), vectors.row(3).features.len()), (4, 0));
        assert_eq!(vectors.row(2).values, [1.0]);
        // A word of weight 1 and three pieces of 1/2: the length is sqrt(1 + 3/4).
        let mut values = vectors.row(0).values.to_vec();
        values.sort_by(f32::total_cmp);
        let (piece, word) = (0.5 / 1.75_f32.sqrt(), 1.0 / 1.75_f32.sqrt());
        for (value, expected) in values.iter().zip([piece, piece, piece, word]) {
            assert!((value - expected).abs() < 1e-6, "{values:?}");
        }
    }
}
