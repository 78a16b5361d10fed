//! The classifiers below the chapters, laid out so that scoring reads those of a few chapters only.
//!
//! A text's features stand in the classifiers of nearly every chapter, and few chapters can be its own. The
//! weights of headings and subheadings are therefore kept by feature and then by chapter, with a bit for
//! each chapter that has any, so that a search that goes on in some chapters (a beam: Prabhu et al.,
//! "Parabel", WWW 2018, section 4.3) reads no weight of the others.

use std::ops::Range;

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

/// Weights of headings and subheadings. A chapter's classes have places that follow each other: its headings, then its
/// subheadings.
#[derive(Debug, Clone, Default)]
pub(super) struct Branches {
    features: Vec<Blocks>,
    /// Where each block's entries begin, and where the last one's end.
    starts: Vec<u32>,
    entries: Vec<Entry>,
    /// The classes' biases, by their places.
    biases: Vec<f32>,
    /// The first heading and the first subheading of each chapter, and the number of all.
    firsts: Vec<[u32; 2]>,
}

/// The blocks of a feature: one for each chapter that has entries.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    chapters: Chapters,
    first: u32,
}

/// A class, by its place in its chapter, and a feature's weight for it. Both are short, as a model is larger than a
/// processor's near memory: a chapter has no more than 100 headings and 10,000 subheadings, and of the weight the upper
/// half of its bits is kept (the format bfloat16), some three digits.
#[derive(Debug, Clone, Copy)]
struct Entry {
    place: u16,
    weight: u16,
}

impl Entry {
    fn of(place: usize, weight: f32) -> Self {
        // Half of the last bit that is kept is added, so that the rest is rounded and not cut off.
        Self { place: place as u16, weight: (weight.to_bits().saturating_add(0x8000) >> 16) as u16 }
    }

    fn weight(self) -> f32 {
        f32::from_bits(u32::from(self.weight) << 16)
    }
}

impl Branches {
    /// The weights of the levels below the chapters.
    pub(super) fn of(classes: &Classes, levels: &[Weights; LEVELS]) -> Self {
        let [_, headings, subheadings] = levels;
        let chapters = classes.codes(0).len();
        let first = |chapter: usize| {
            let heading = classes.under(0, chapter).start;
            [heading as u32, classes.under(1, heading).start as u32]
        };
        let ends = [classes.codes(1).len() as u32, classes.len() as u32];
        let mut branches =
            Self { firsts: (0..chapters).map(first).chain([ends]).collect(), ..Self::default() };
        branches.biases = vec![0.0; headings.biases.len() + subheadings.biases.len()];
        let (mut of_heading, mut of_subheading) = (vec![0; ends[0] as usize], vec![0; ends[1] as usize]);
        for [chapter, heading, own] in classes.paths().iter().map(|path| path.map(|class| class as usize)) {
            (of_heading[heading], of_subheading[own]) = (chapter, chapter);
            let places = [branches.heading(chapter, heading), branches.subheading(chapter, own)];
            branches.biases[places[0]] = headings.biases[heading];
            branches.biases[places[1]] = subheadings.biases[own];
        }
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for feature in 0..headings.starts.len().saturating_sub(1) {
            entries.clear();
            for (heading, weight) in headings.entries(feature) {
                let chapter = of_heading[heading as usize];
                let place = branches.heading(chapter, heading as usize) - branches.places(chapter).start;
                entries.push((chapter, Entry::of(place, weight)));
            }
            for (own, weight) in subheadings.entries(feature) {
                let chapter = of_subheading[own as usize];
                let place = branches.subheading(chapter, own as usize) - branches.places(chapter).start;
                entries.push((chapter, Entry::of(place, weight)));
            }
            entries.sort_by_key(|(chapter, _)| *chapter);
            let mut blocks = Blocks { chapters: 0, first: branches.starts.len() as u32 };
            for block in entries.chunk_by(|one, next| one.0 == next.0) {
                blocks.chapters |= 1 << block[0].0;
                branches.starts.push(branches.entries.len() as u32);
                branches.entries.extend(block.iter().map(|(_, entry)| *entry));
            }
            branches.features.push(blocks);
        }
        branches.starts.push(branches.entries.len() as u32);
        branches
    }

    /// The place of a heading of a chapter: after all classes of the chapters before, and the headings.
    pub(super) fn heading(&self, chapter: usize, heading: usize) -> usize {
        heading + self.firsts[chapter][1] as usize
    }

    /// The place of a subheading of a chapter: after those before, and all of the chapter's headings.
    pub(super) fn subheading(&self, chapter: usize, subheading: usize) -> usize {
        subheading + self.firsts[chapter + 1][0] as usize
    }

    /// The places of a chapter's classes.
    fn places(&self, chapter: usize) -> Range<usize> {
        let place = |[heading, subheading]: [u32; 2]| (heading + subheading) as usize;
        place(self.firsts[chapter])..place(self.firsts[chapter + 1])
    }

    /// The margins of the classes below some chapters, by their places; others are left as they are. `room` is room.
    ///
    /// A text needs some hundred blocks of memory that is not near. They are found and touched first, in loops that wait
    /// for nothing that they read, so that memory fetches many of them at once.
    pub(super) fn margins(&self, row: Row<'_>, wanted: Chapters, margins: &mut Vec<f32>, room: &mut Room) {
        margins.resize(self.biases.len(), 0.0);
        for chapter in numbers(wanted) {
            let places = self.places(chapter);
            margins[places.clone()].copy_from_slice(&self.biases[places]);
        }
        let Room { features, blocks, spans } = room;
        features.clear();
        features.extend(row.pairs().map(|(feature, value)| (self.features[feature], value)));
        blocks.clear();
        for (Blocks { chapters, first }, value) in &*features {
            blocks.extend(numbers(chapters & wanted).map(|chapter| {
                let before = (chapters & ((1 << chapter) - 1)).count_ones();
                ((first + before) as usize, chapter as u32, *value)
            }));
        }
        spans.clear();
        spans.extend(
            blocks.iter().map(|(block, chapter, value)| {
                (self.starts[*block], self.starts[*block + 1], *chapter, *value)
            }),
        );
        let touched =
            spans.iter().fold(0, |touched, (start, ..)| touched ^ self.entries[*start as usize].weight);
        std::hint::black_box(touched);
        for (start, end, chapter, value) in &*spans {
            let margins = &mut margins[self.places(*chapter as usize)];
            for entry in &self.entries[*start as usize..*end as usize] {
                margins[usize::from(entry.place)] += entry.weight() * value;
            }
        }
    }
}

/// Room that is used again from text to text.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    /// The blocks of a text's features, and its values.
    features: Vec<(Blocks, f32)>,
    /// Those in the wanted chapters, with the chapter.
    blocks: Vec<(usize, u32, f32)>,
    /// Where their entries begin and end.
    spans: Vec<(u32, u32, u32, f32)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hs::svm::Classifier;

    #[test]
    fn chapters_that_are_wanted_have_the_margins_of_all_levels() {
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
        let expected = [1, 2].map(|level| {
            let mut margins = Vec::new();
            levels[level].margins(row, &mut margins);
            margins
        });
        let mut room = Room::default();
        for wanted in [0b111, 0b101] {
            let mut margins = vec![7.0; 8];
            branches.margins(row, wanted, &mut margins, &mut room);
            for [chapter, heading, own] in classes.paths().iter().map(|path| path.map(|class| class as usize))
            {
                let found = [branches.heading(chapter, heading), branches.subheading(chapter, own)]
                    .map(|place| margins[place]);
                let is_wanted = wanted & (1 << chapter) != 0;
                let expected = if is_wanted { [expected[0][heading], expected[1][own]] } else { [7.0; 2] };
                assert_eq!(found, expected, "{chapter} {heading} {own}");
            }
        }
        assert_eq!(numbers(0b1001).collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn weights_are_rounded_by_less_than_half_a_percent() {
        for weight in [0.2, -0.2, 1.0, -3.21, 17.77, 1e-3, 1.999_999] {
            let kept = Entry::of(0, weight).weight();
            assert!((kept - weight).abs() <= weight.abs() / 256.0, "{weight}: {kept}");
        }
    }
}
