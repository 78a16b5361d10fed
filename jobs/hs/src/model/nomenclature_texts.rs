//! How similar a description is to the nomenclature's texts of each code.
//!
//! The texts of headings and subheadings are vectors as descriptions are ([`crate::features::vectors`]), with a
//! vocabulary of their own in which every feature is kept; the similarity is the cosine. It helps for codes with few
//! training texts and for words that no training text has. Start at [`NomenclatureTexts::similarities`].

use super::inverted_index::InvertedIndex;
use crate::{
    codes::{
        digits::{DIGITS, written},
        nomenclature::Nomenclature,
        tree::CodeTree,
    },
    features::{
        ngrams::Feature,
        vectors::{TextVector, TextVectors, Vocabulary},
    },
};

/// The levels whose texts are compared with descriptions: headings and subheadings.
pub(crate) const TEXT_LEVELS: [usize; 2] = [1, 2];

/// The nomenclature's texts of a model's classes.
#[derive(Debug, Clone)]
pub(crate) struct NomenclatureTexts {
    vocabulary: Vocabulary,
    /// The texts of the classes of each level of [`TEXT_LEVELS`].
    levels: [InvertedIndex; TEXT_LEVELS.len()],
}

impl NomenclatureTexts {
    /// The texts of a nomenclature; `None` when no nomenclature was given.
    pub(crate) fn of(nomenclature: &Nomenclature, classes: &CodeTree) -> Option<Self> {
        if nomenclature.is_empty() {
            return None;
        }
        let known = nomenclature.entries().filter(|(code, _)| DIGITS.contains(&code.len()));
        let vocabulary = Vocabulary::of_at_least(1, known.map(|(_, text)| text.as_str()));
        let levels = TEXT_LEVELS.map(|level| {
            let text = |code: &u32| nomenclature.text(&written(*code, level)).unwrap_or_default();
            InvertedIndex::of(
                &TextVectors::of(&vocabulary, classes.codes(level).iter().map(text)),
                vocabulary.len(),
            )
        });
        Some(Self { vocabulary, levels })
    }

    /// Computes the similarity, 0 to 1, of each class's text to a description's features, for each of [`TEXT_LEVELS`];
    /// `vector` is a buffer.
    pub(crate) fn similarities(
        &self,
        features: &[Feature],
        vector: &mut TextVector,
        similarities: &mut [Vec<f32>; TEXT_LEVELS.len()],
    ) {
        self.vocabulary.vector(features, vector);
        for (index, similarities) in self.levels.iter().zip(similarities) {
            index.similarities(vector.row(), similarities);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::ngrams::Extractor;

    #[test]
    fn a_description_resembles_the_texts_that_share_its_words() {
        let table = "hscode,description\n0306,Crustaceans\n030617,Frozen shrimps\n030619,Other\n6403,Footwear\n\
                     640340,Boots\n";
        let nomenclature = Nomenclature::parse(table.as_bytes()).expect("reads");
        let classes = CodeTree::new(vec![30_617, 30_619, 30_699, 640_340]);
        assert!(NomenclatureTexts::of(&Nomenclature::default(), &classes).is_none());
        let texts = NomenclatureTexts::of(&nomenclature, &classes).expect("texts");
        let mut similarities = [Vec::new(), Vec::new()];
        let mut compare = |text: &str| {
            let mut extractor = Extractor::default();
            texts.similarities(extractor.read(text), &mut TextVector::default(), &mut similarities);
            similarities.clone()
        };
        let [headings, subheadings] = compare("crustacean: shrimp, frozen");
        assert!(headings[0] > 0.3 && headings[1] == 0.0, "{headings:?}");
        assert!(subheadings[0] > 0.4 && subheadings[1..] == [0.0; 3], "{subheadings:?}");
        let [_, subheadings] = compare("frozen shrimps");
        assert!((subheadings[0] - 1.0).abs() < 1e-5);
    }
}
