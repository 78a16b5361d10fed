//! How much a description resembles the texts of the nomenclature.
//!
//! The names of headings and subheadings are vectors as texts are ([`super::vectors`]), with a vocabulary of their own
//! in which every word counts, and the similarity is the product of unit vectors. Names speak for codes that few texts
//! taught, and for words that no training text has.

use super::{
    nomenclature::Nomenclature,
    precedents::Index,
    text::Feature,
    tree::{Classes, DIGITS, written},
    vectors::{Vector, Vectors, Vocabulary},
};

/// The levels that have names to compare with: headings and subheadings.
pub(super) const NAMED: [usize; 2] = [1, 2];

/// The names of a model's classes.
#[derive(Debug, Clone)]
pub(super) struct Names {
    vocabulary: Vocabulary,
    /// The names of the classes of each level of [`NAMED`].
    levels: [Index; NAMED.len()],
}

impl Names {
    /// The names that a nomenclature gives; `None` where there is none.
    pub(super) fn of(nomenclature: &Nomenclature, classes: &Classes) -> Option<Self> {
        if nomenclature.is_empty() {
            return None;
        }
        let known = nomenclature.entries().filter(|(code, _)| DIGITS.contains(&code.len()));
        let vocabulary = Vocabulary::of_at_least(1, known.map(|(_, text)| text.as_str()));
        let levels = NAMED.map(|level| {
            let name = |code: &u32| nomenclature.text(&written(*code, level)).unwrap_or_default();
            Index::of(&Vectors::of(&vocabulary, classes.codes(level).iter().map(name)), vocabulary.len())
        });
        Some(Self { vocabulary, levels })
    }

    /// The similarity of each class's name to a description, by the levels of [`NAMED`]; `vector` is room.
    pub(super) fn similarities(
        &self,
        features: &[Feature],
        vector: &mut Vector,
        similarities: &mut [Vec<f32>; NAMED.len()],
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
    use crate::hs::text::Reader;

    #[test]
    fn a_description_resembles_the_names_that_share_its_words() {
        let table = "hscode,description\n0306,Crustaceans\n030617,Frozen shrimps\n030619,Other\n6403,Footwear\n\
                     640340,Boots\n";
        let nomenclature = Nomenclature::parse(table.as_bytes()).expect("reads");
        let classes = Classes::new(vec![30_617, 30_619, 30_699, 640_340]);
        assert!(Names::of(&Nomenclature::default(), &classes).is_none());
        let names = Names::of(&nomenclature, &classes).expect("names");
        let mut similarities = [Vec::new(), Vec::new()];
        let mut compare = |text: &str| {
            let mut reader = Reader::default();
            names.similarities(reader.read(text), &mut Vector::default(), &mut similarities);
            similarities.clone()
        };
        let [headings, subheadings] = compare("crustacean: shrimp, frozen");
        assert!(headings[0] > 0.3 && headings[1] == 0.0, "{headings:?}");
        assert!(subheadings[0] > 0.4 && subheadings[1..] == [0.0; 3], "{subheadings:?}");
        let [_, subheadings] = compare("frozen shrimps");
        assert!((subheadings[0] - 1.0).abs() < 1e-5);
    }
}
