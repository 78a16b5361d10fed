//! The classifiers below the chapters, laid out so that scoring reads those of a few chapters only.
//!
//! A text's features stand in the classifiers of nearly every chapter, and few chapters can be its own. The
//! weights of headings and subheadings are therefore kept by feature and then by chapter, with a bit for
//! each chapter that has any, so that a search that goes on in some chapters (a beam: Prabhu et al.,
//! "Parabel", WWW 2018, section 4.3) reads no weight of the others.

use super::{
    tree::{Classes, LEVELS, Weights},
    vectors::Row,
};

/// Chapters, by the bits of their numbers; two digits leave room for no more than 99.
pub(super) type Chapters = u128;

/// The numbers of some chapters, ascending.
pub(super) fn numbers(mut chapters: Chapters) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let number = (chapters != 0).then(|| chapters.trailing_zeros() as usize);
        chapters &= chapters.wrapping_sub(1);
        number
    })
}

/// Weights of headings and subheadings; a class is a heading's number, or a subheading's after all headings.
#[derive(Debug, Clone, Default)]
pub(super) struct Branches {
    /// For each feature, the chapters that have entries: a block each.
    chapters: Vec<Chapters>,
    /// For each feature, its first block.
    blocks: Vec<u32>,
    /// Where each block's entries begin, and where the last one's end.
    starts: Vec<u32>,
    classes: Vec<u32>,
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl Branches {
    /// The weights of the levels below the chapters.
    pub(super) fn of(classes: &Classes, levels: &[Weights; LEVELS]) -> Self {
        let [_, headings, subheadings] = levels;
        let count = headings.biases.len();
        let mut chapter_of = vec![0; count + subheadings.biases.len()];
        for [chapter, heading, own] in classes.paths() {
            chapter_of[*heading as usize] = *chapter;
            chapter_of[count + *own as usize] = *chapter;
        }
        let features = headings.starts.len().saturating_sub(1);
        let mut branches =
            Self { biases: [headings.biases.as_slice(), &subheadings.biases].concat(), ..Self::default() };
        let mut entries: Vec<(u32, f32)> = Vec::new();
        for feature in 0..features {
            entries.clear();
            entries.extend(headings.entries(feature));
            entries
                .extend(subheadings.entries(feature).map(|(class, weight)| (count as u32 + class, weight)));
            entries.sort_by_key(|(class, _)| chapter_of[*class as usize]);
            branches.blocks.push(branches.starts.len() as u32);
            let mut chapters = 0;
            for block in
                entries.chunk_by(|one, next| chapter_of[one.0 as usize] == chapter_of[next.0 as usize])
            {
                chapters |= 1 << chapter_of[block[0].0 as usize];
                branches.starts.push(branches.classes.len() as u32);
                branches.classes.extend(block.iter().map(|(class, _)| *class));
                branches.weights.extend(block.iter().map(|(_, weight)| *weight));
            }
            branches.chapters.push(chapters);
        }
        branches.starts.push(branches.classes.len() as u32);
        branches
    }

    /// The margins of the classes below some chapters; those of the others are their biases.
    pub(super) fn margins(&self, row: Row<'_>, wanted: Chapters, margins: &mut Vec<f32>) {
        margins.clear();
        margins.extend_from_slice(&self.biases);
        for (feature, value) in row.pairs() {
            let present = self.chapters[feature];
            for chapter in numbers(present & wanted) {
                let before = (present & ((1 << chapter) - 1)).count_ones();
                let block = (self.blocks[feature] + before) as usize;
                let entries = self.starts[block] as usize..self.starts[block + 1] as usize;
                for (class, weight) in self.classes[entries.clone()].iter().zip(&self.weights[entries]) {
                    margins[*class as usize] += weight * value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hs::svm::Classifier;

    #[test]
    fn chapters_that_are_wanted_have_the_margins_of_all_and_the_others_their_biases() {
        let classes = Classes::new(vec![10_121, 10_129, 10_130, 20_110, 851_712]);
        // A classifier for each of three chapters, three headings and five subheadings, with made-up weights.
        let classifier = |number: u32| Classifier {
            bias: number as f32,
            weights: (0..6)
                .filter(|feature| !(feature + number).is_multiple_of(3))
                .map(|at| (at, at as f32 - 2.5))
                .collect(),
        };
        let level = |range: std::ops::Range<u32>| Weights::of(6, &range.map(classifier).collect::<Vec<_>>());
        let levels = [level(0..3), level(3..6), level(6..11)];
        let branches = Branches::of(&classes, &levels);
        let row = Row { features: &[0, 1, 4, 5], values: &[0.5, 0.25, 0.5, 1.0] };
        let (mut all, mut some) = (Vec::new(), Vec::new());
        branches.margins(row, 0b111, &mut all);
        let mut expected = Vec::new();
        for level in &levels[1..] {
            let mut margins = Vec::new();
            level.margins(row, &mut margins);
            expected.extend(margins);
        }
        assert_eq!(all, expected);
        branches.margins(row, 0b101, &mut some);
        // Of the second chapter: the second heading, and the fourth subheading after three headings.
        for class in 0..all.len() {
            let expected = if [1, 6].contains(&class) { branches.biases[class] } else { all[class] };
            assert_eq!(some[class], expected, "{class}");
        }
        assert_eq!(numbers(0b1001).collect::<Vec<_>>(), [0, 3]);
    }
}
