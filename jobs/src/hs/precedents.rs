//! Past declarations that resemble a description: an inverted index in memory, by cosine.
//!
//! The similarity of two texts is the product of their unit vectors, so that 1 is the same text. Each text
//! is compared with all that share a feature with it (Manning, Raghavan and Schütze, "Introduction to
//! Information Retrieval", 2008, figure 7.1). Equal similarities keep the order of the index.

use super::vectors::{Row, Vectors};

/// Precedents that are looked at for one description.
pub(super) const NEIGHBOURS: usize = 40;

/// Less similar texts are no precedents.
const LEAST_SIMILARITY: f32 = 0.05;

/// A precedent: its number and its similarity, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Similar {
    pub(super) number: u32,
    pub(super) similarity: f32,
}

/// The index.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// Where each feature's texts begin; one more than there are features.
    starts: Vec<usize>,
    texts: Vec<u32>,
    values: Vec<f32>,
    count: usize,
}

impl Index {
    /// The index of vectors over so many features.
    pub(super) fn of(vectors: &Vectors, features: usize) -> Self {
        let mut starts = vec![0_usize; features + 1];
        for text in 0..vectors.len() {
            for (feature, _) in vectors.row(text).pairs() {
                starts[feature + 1] += 1;
            }
        }
        for feature in 0..features {
            starts[feature + 1] += starts[feature];
        }
        let mut next = starts.clone();
        let (mut texts, mut values) = (vec![0; starts[features]], vec![0.0; starts[features]]);
        for text in 0..vectors.len() {
            for (feature, value) in vectors.row(text).pairs() {
                texts[next[feature]] = text as u32;
                values[next[feature]] = value;
                next[feature] += 1;
            }
        }
        Self { starts, texts, values, count: vectors.len() }
    }

    /// The texts that have a feature, ascending, with its values in them.
    pub(super) fn texts_with(&self, feature: usize) -> impl Iterator<Item = (u32, f32)> {
        let entries = self.starts[feature]..self.starts[feature + 1];
        self.texts[entries.clone()].iter().copied().zip(self.values[entries].iter().copied())
    }

    /// The similarity of each text.
    pub(super) fn similarities(&self, row: Row<'_>, similarities: &mut Vec<f32>) {
        similarities.clear();
        similarities.resize(self.count, 0.0);
        for (feature, value) in row.pairs() {
            let entries = self.starts[feature]..self.starts[feature + 1];
            for (text, other) in self.texts[entries.clone()].iter().zip(&self.values[entries]) {
                similarities[*text as usize] += value * other;
            }
        }
    }

    /// The most similar texts, the most similar first; `similarities` is room that is used again.
    pub(super) fn search(&self, row: Row<'_>, similarities: &mut Vec<f32>, found: &mut Vec<Similar>) {
        self.similarities(row, similarities);
        found.clear();
        let all = (0..)
            .zip(similarities.iter())
            .map(|(number, similarity)| Similar { number, similarity: *similarity });
        found.extend(all.filter(|similar| similar.similarity > LEAST_SIMILARITY));
        let order = |one: &Similar, other: &Similar| {
            other.similarity.total_cmp(&one.similarity).then(one.number.cmp(&other.number))
        };
        if found.len() > NEIGHBOURS {
            found.select_nth_unstable_by(NEIGHBOURS, order);
            found.truncate(NEIGHBOURS);
        }
        found.sort_unstable_by(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hs::vectors::Vocabulary;

    #[test]
    fn the_same_text_comes_first() {
        let texts = ["frozen shrimps", "frozen fish", "steel pipe", "steel pipes", "frozen shrimps"];
        let vocabulary = Vocabulary::of(texts);
        let vectors = Vectors::of(&vocabulary, texts);
        let index = Index::of(&vectors, vocabulary.len());
        let (mut room, mut found) = (Vec::new(), Vec::new());
        index.search(vectors.row(4), &mut room, &mut found);
        let numbers: Vec<u32> = found.iter().map(|similar| similar.number).collect();
        assert_eq!(numbers, [0, 4, 1]);
        assert!((found[0].similarity - 1.0).abs() < 1e-5 && found[2].similarity < 0.9);
        for similar in &found {
            let other = vectors.row(similar.number as usize);
            let product: f32 = other
                .pairs()
                .filter_map(|(feature, value)| {
                    vectors.row(4).pairs().find(|(own, _)| *own == feature).map(|(_, own)| own * value)
                })
                .sum();
            assert!((product - similar.similarity).abs() < 1e-5);
        }
    }
}
