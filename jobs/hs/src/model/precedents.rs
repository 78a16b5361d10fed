//! Past declarations that a model keeps in order to compare descriptions with them.

use super::inverted_index::InvertedIndex;
use crate::features::vectors::{TextVectors, Vocabulary};

/// A past declaration, which reasons can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Precedent {
    /// Its description.
    pub(crate) description: String,
    /// The class of its subheading.
    pub(crate) class: u32,
    /// Its code with national digits (0: none).
    pub(crate) national: u64,
}

/// The index of the descriptions of precedents.
pub(crate) fn index_of(vocabulary: &Vocabulary, precedents: &[Precedent]) -> InvertedIndex {
    let texts = precedents.iter().map(|precedent| precedent.description.as_str());
    InvertedIndex::of(&TextVectors::of(vocabulary, texts), vocabulary.len())
}
