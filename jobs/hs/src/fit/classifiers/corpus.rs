//! The training texts as every worker holds them.

use crate::{
    codes::tree::CodeTree,
    features::{
        texts::LabelledTexts,
        vectors::{TextVectors, Vocabulary},
    },
};

/// Training texts in the order of their codes, with their vectors.
#[derive(Debug)]
pub(crate) struct Corpus {
    pub(crate) texts: LabelledTexts,
    pub(crate) vectors: TextVectors,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) classes: CodeTree,
}

impl Corpus {
    /// Of training texts in any order.
    pub(crate) fn of(texts: LabelledTexts) -> Self {
        let mut order: Vec<u32> = (0..texts.codes.len() as u32).collect();
        order.sort_by_key(|row| texts.codes[*row as usize]);
        let texts = texts.take(&order);
        let descriptions = || texts.descriptions.iter().map(String::as_str);
        let vocabulary = Vocabulary::of(descriptions());
        let vectors = TextVectors::of(&vocabulary, descriptions());
        let mut codes = texts.codes.clone();
        codes.dedup();
        Self { vectors, vocabulary, classes: CodeTree::new(codes), texts }
    }
}
