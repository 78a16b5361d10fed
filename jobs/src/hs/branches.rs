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
    features: Vec<Blocks>,
    /// Where each block's entries begin, and where the last one's end.
    starts: Vec<u32>,
    entries: Vec<Entry>,
    biases: Vec<f32>,
}

/// The blocks of a feature: one for each chapter that has entries.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    chapters: Chapters,
    first: u32,
}

/// A class and a feature's weight for it, side by side, as a block is mostly read from memory.
#[derive(Debug, Clone, Copy)]
struct Entry {
    class: u32,
    weight: f32,
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
        let mut entries: Vec<Entry> = Vec::new();
        for feature in 0..features {
            entries.clear();
            entries.extend(headings.entries(feature).map(|(class, weight)| Entry { class, weight }));
            let below = subheadings.entries(feature);
            entries.extend(below.map(|(class, weight)| Entry { class: count as u32 + class, weight }));
            entries.sort_by_key(|entry| chapter_of[entry.class as usize]);
            let mut blocks = Blocks { chapters: 0, first: branches.starts.len() as u32 };
            for block in entries
                .chunk_by(|one, next| chapter_of[one.class as usize] == chapter_of[next.class as usize])
            {
                blocks.chapters |= 1 << chapter_of[block[0].class as usize];
                branches.starts.push(branches.entries.len() as u32);
                branches.entries.extend_from_slice(block);
            }
            branches.features.push(blocks);
        }
        branches.starts.push(branches.entries.len() as u32);
        branches
    }

    /// The margins of the classes below some chapters; those of the others are their biases. `room` is room.
    ///
    /// A model is larger than a processor's near memory, and a text needs some hundred blocks of it. They are found and
    /// touched first, in loops that wait for nothing that they read, so that memory fetches many of them at once.
    pub(super) fn margins(&self, row: Row<'_>, wanted: Chapters, margins: &mut Vec<f32>, room: &mut Room) {
        margins.clear();
        margins.extend_from_slice(&self.biases);
        let Room { features, blocks, spans } = room;
        features.clear();
        features.extend(row.pairs().map(|(feature, value)| (self.features[feature], value)));
        blocks.clear();
        for (Blocks { chapters, first }, value) in &*features {
            blocks.extend(numbers(chapters & wanted).map(|chapter| {
                let before = (chapters & ((1 << chapter) - 1)).count_ones();
                ((first + before) as usize, *value)
            }));
        }
        spans.clear();
        spans.extend(
            blocks.iter().map(|(block, value)| (self.starts[*block], self.starts[*block + 1], *value)),
        );
        let touched =
            spans.iter().fold(0, |touched, (start, ..)| touched ^ self.entries[*start as usize].class);
        std::hint::black_box(touched);
        for (start, end, value) in &*spans {
            for entry in &self.entries[*start as usize..*end as usize] {
                margins[entry.class as usize] += entry.weight * value;
            }
        }
    }
}

/// Room that is used again from text to text.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    /// The blocks of a text's features, and its values.
    features: Vec<(Blocks, f32)>,
    /// Those in the wanted chapters.
    blocks: Vec<(usize, f32)>,
    /// Where their entries begin and end.
    spans: Vec<(u32, u32, f32)>,
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
        let mut room = Room::default();
        branches.margins(row, 0b111, &mut all, &mut room);
        let mut expected = Vec::new();
        for level in &levels[1..] {
            let mut margins = Vec::new();
            level.margins(row, &mut margins);
            expected.extend(margins);
        }
        assert_eq!(all, expected);
        branches.margins(row, 0b101, &mut some, &mut room);
        // Of the second chapter: the second heading, and the fourth subheading after three headings.
        for class in 0..all.len() {
            let expected = if [1, 6].contains(&class) { branches.biases[class] } else { all[class] };
            assert_eq!(some[class], expected, "{class}");
        }
        assert_eq!(numbers(0b1001).collect::<Vec<_>>(), [0, 3]);
    }
}
