//! An inverted index of texts in memory, searched by cosine similarity.
//!
//! The similarity of two texts is the dot product of their unit vectors: 1 for the same text. A text is compared with
//! all that share a feature with it (Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008,
//! figure 7.1). Equal similarities keep the order of the index. Start at [`InvertedIndex::search`].

use crate::features::vectors::{SparseRow, TextVectors};

/// Most neighbours that a search gives.
pub(crate) const NEIGHBOURS: usize = 40;

/// Texts of this similarity or less are not neighbours.
const LEAST_SIMILARITY: f32 = 0.05;

/// A text that shares features with the one searched for: its number in the index and its similarity, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) number: u32,
    pub(crate) similarity: f32,
}

/// The index.
#[derive(Debug, Clone, Default)]
pub(crate) struct InvertedIndex {
    /// Where each feature's texts begin, and where the last ones end.
    starts: Vec<usize>,
    texts: Vec<u32>,
    values: Vec<f32>,
    count: usize,
}

impl InvertedIndex {
    /// The index of some vectors over so many features.
    pub(crate) fn of(vectors: &TextVectors, features: usize) -> Self {
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
    pub(crate) fn texts_with(&self, feature: usize) -> impl Iterator<Item = (u32, f32)> {
        let entries = self.starts[feature]..self.starts[feature + 1];
        self.texts[entries.clone()].iter().copied().zip(self.values[entries].iter().copied())
    }

    /// The similarity of each text of the index to a text.
    pub(crate) fn similarities(&self, row: SparseRow<'_>, similarities: &mut Vec<f32>) {
        similarities.clear();
        similarities.resize(self.count, 0.0);
        for (feature, value) in row.pairs() {
            let entries = self.starts[feature]..self.starts[feature + 1];
            for (text, other) in self.texts[entries.clone()].iter().zip(&self.values[entries]) {
                similarities[*text as usize] += value * other;
            }
        }
    }

    /// Finds the most similar texts, the most similar first, at most [`NEIGHBOURS`]; `similarities` is a buffer.
    pub(crate) fn search(&self, row: SparseRow<'_>, similarities: &mut Vec<f32>, found: &mut Vec<Neighbour>) {
        self.similarities(row, similarities);
        found.clear();
        let all = (0..)
            .zip(similarities.iter())
            .map(|(number, similarity)| Neighbour { number, similarity: *similarity });
        found.extend(all.filter(|similar| similar.similarity > LEAST_SIMILARITY));
        let order = |one: &Neighbour, other: &Neighbour| {
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
    use crate::features::vectors::Vocabulary;

    #[test]
    fn the_same_text_comes_first() {
        let texts = ["frozen shrimps", "frozen fish", "steel pipe", "steel pipes", "frozen shrimps"];
        let vocabulary = Vocabulary::of(texts);
        let vectors = TextVectors::of(&vocabulary, texts);
        let index = InvertedIndex::of(&vectors, vocabulary.len());
        let (mut similarities, mut found) = (Vec::new(), Vec::new());
        index.search(vectors.row(4), &mut similarities, &mut found);
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
