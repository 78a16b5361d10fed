//! The classifiers below the chapters, stored so that a beam search reads only those of a few chapters.
//!
//! A text's features have weights in the classifiers of nearly every chapter, but few chapters are likely. The weights
//! of headings and subheadings are therefore grouped by feature and then by chapter, with a bit for each chapter that
//! has any, so that a search in some chapters reads no weight of the others (beam search: Prabhu et al., "Parabel", WWW
//! 2018, section 4.3). Start at [`BeamWeights::margins`].

use std::ops::Range;

use super::weights::ClassWeights;
use crate::{
    codes::{digits::LEVELS, tree::CodeTree},
    features::vectors::SparseRow,
};

/// A set of chapters, a bit for each; two digits allow 99 at most.
pub(crate) type ChapterSet = u128;

/// The chapters of a set, ascending.
pub(crate) fn members(mut chapters: ChapterSet) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let number = (chapters != 0).then(|| chapters.trailing_zeros() as usize);
        chapters &= chapters.wrapping_sub(1);
        number
    })
}

/// The weights of headings and subheadings. A class has a *place* among the classes of all chapters: chapter by
/// chapter, first the headings and then the subheadings.
#[derive(Debug, Clone, Default)]
pub(crate) struct BeamWeights {
    features: Vec<Blocks>,
    /// Where each block's entries begin, and where the last ones end.
    starts: Vec<u32>,
    entries: Vec<Entry>,
    /// The classes' biases, by their places.
    biases: Vec<f32>,
    /// The first heading and the first subheading of each chapter, and at the end the numbers of all.
    firsts: Vec<[u32; 2]>,
}

/// The blocks of a feature: one for each chapter in whose classifiers it has a weight.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    chapters: ChapterSet,
    first: u32,
}

/// The place of a class within its chapter, and a feature's weight for it. Both have 16 bits, because a model is larger
/// than a processor's caches: a chapter has at most 100 headings and 10,000 subheadings, and the weight is rounded to
/// bfloat16, about three decimal digits.
#[derive(Debug, Clone, Copy)]
struct Entry {
    place: u16,
    weight: u16,
}

impl Entry {
    fn of(place: usize, weight: f32) -> Self {
        // Half of the lowest bit that is kept is added, so that the weight is rounded and not truncated.
        Self { place: place as u16, weight: (weight.to_bits().saturating_add(0x8000) >> 16) as u16 }
    }

    fn weight(self) -> f32 {
        f32::from_bits(u32::from(self.weight) << 16)
    }
}

impl BeamWeights {
    /// The weights of the levels below the chapters.
    pub(crate) fn of(classes: &CodeTree, levels: &[ClassWeights; LEVELS]) -> Self {
        let [_, headings, subheadings] = levels;
        let chapters = classes.codes(0).len();
        let first = |chapter: usize| {
            let heading = classes.under(0, chapter).start;
            [heading as u32, classes.under(1, heading).start as u32]
        };
        let ends = [classes.codes(1).len() as u32, classes.len() as u32];
        let mut weights_below =
            Self { firsts: (0..chapters).map(first).chain([ends]).collect(), ..Self::default() };
        weights_below.biases = vec![0.0; headings.biases.len() + subheadings.biases.len()];
        let (mut of_heading, mut of_subheading) = (vec![0; ends[0] as usize], vec![0; ends[1] as usize]);
        for [chapter, heading, own] in classes.paths().iter().map(|path| path.map(|class| class as usize)) {
            (of_heading[heading], of_subheading[own]) = (chapter, chapter);
            let places = [weights_below.heading(chapter, heading), weights_below.subheading(chapter, own)];
            weights_below.biases[places[0]] = headings.biases[heading];
            weights_below.biases[places[1]] = subheadings.biases[own];
        }
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for feature in 0..headings.starts.len().saturating_sub(1) {
            entries.clear();
            for (heading, weight) in headings.entries(feature) {
                let chapter = of_heading[heading as usize];
                let place =
                    weights_below.heading(chapter, heading as usize) - weights_below.places(chapter).start;
                entries.push((chapter, Entry::of(place, weight)));
            }
            for (own, weight) in subheadings.entries(feature) {
                let chapter = of_subheading[own as usize];
                let place =
                    weights_below.subheading(chapter, own as usize) - weights_below.places(chapter).start;
                entries.push((chapter, Entry::of(place, weight)));
            }
            entries.sort_by_key(|(chapter, _)| *chapter);
            let mut blocks = Blocks { chapters: 0, first: weights_below.starts.len() as u32 };
            for block in entries.chunk_by(|one, next| one.0 == next.0) {
                blocks.chapters |= 1 << block[0].0;
                weights_below.starts.push(weights_below.entries.len() as u32);
                weights_below.entries.extend(block.iter().map(|(_, entry)| *entry));
            }
            weights_below.features.push(blocks);
        }
        weights_below.starts.push(weights_below.entries.len() as u32);
        weights_below
    }

    /// The place of a heading of a chapter: after the subheadings of the chapters before it.
    pub(crate) fn heading(&self, chapter: usize, heading: usize) -> usize {
        heading + self.firsts[chapter][1] as usize
    }

    /// The place of a subheading of a chapter: after the headings of the chapter and of those before it.
    pub(crate) fn subheading(&self, chapter: usize, subheading: usize) -> usize {
        subheading + self.firsts[chapter + 1][0] as usize
    }

    /// The places of a chapter's classes.
    fn places(&self, chapter: usize) -> Range<usize> {
        let place = |[heading, subheading]: [u32; 2]| (heading + subheading) as usize;
        place(self.firsts[chapter])..place(self.firsts[chapter + 1])
    }

    /// Computes the margins of the classes below some chapters, by their places; those of other chapters are left as
    /// they are. `buffers` are used again.
    ///
    /// A text needs some hundred blocks that are not in the processor's caches. Loops without a dependency on what they
    /// load find the blocks and read the first entry of each, so that many cache lines are fetched at once.
    pub(crate) fn margins(
        &self,
        row: SparseRow<'_>,
        wanted: ChapterSet,
        margins: &mut Vec<f32>,
        buffers: &mut BeamBuffers,
    ) {
        margins.resize(self.biases.len(), 0.0);
        for chapter in members(wanted) {
            let places = self.places(chapter);
            margins[places.clone()].copy_from_slice(&self.biases[places]);
        }
        let BeamBuffers { features, blocks, spans } = buffers;
        features.clear();
        features.extend(row.pairs().map(|(feature, value)| (self.features[feature], value)));
        blocks.clear();
        for (Blocks { chapters, first }, value) in &*features {
            blocks.extend(members(chapters & wanted).map(|chapter| {
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

/// Buffers that are used again from text to text.
#[derive(Debug, Clone, Default)]
pub(crate) struct BeamBuffers {
    /// The blocks of a text's features, with the text's values.
    features: Vec<(Blocks, f32)>,
    /// The blocks of the wanted chapters, with the chapter and the text's value.
    blocks: Vec<(usize, u32, f32)>,
    /// Where the entries of those begin and end.
    spans: Vec<(u32, u32, u32, f32)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::weights::Classifier;

    #[test]
    fn chapters_that_are_wanted_have_the_margins_of_all_levels() {
        let classes = CodeTree::new(vec![10_121, 10_129, 10_130, 20_110, 851_712]);
        // A classifier for each of three chapters, three headings and five subheadings, with made-up weights.
        let classifier = |number: u32| Classifier {
            bias: number as f32,
            weights: (0..6)
                .filter(|feature| !(feature + number).is_multiple_of(3))
                .map(|at| (at, at as f32 - 2.5))
                .collect(),
        };
        let level =
            |range: std::ops::Range<u32>| ClassWeights::of(6, &range.map(classifier).collect::<Vec<_>>());
        let levels = [level(0..3), level(3..6), level(6..11)];
        let weights_below = BeamWeights::of(&classes, &levels);
        let row = SparseRow { features: &[0, 1, 4, 5], values: &[0.5, 0.25, 0.5, 1.0] };
        let expected = [1, 2].map(|level| {
            let mut margins = Vec::new();
            levels[level].margins(row, &mut margins);
            margins
        });
        let mut buffers = BeamBuffers::default();
        for wanted in [0b111, 0b101] {
            let mut margins = vec![7.0; 8];
            weights_below.margins(row, wanted, &mut margins, &mut buffers);
            for [chapter, heading, own] in classes.paths().iter().map(|path| path.map(|class| class as usize))
            {
                let found = [weights_below.heading(chapter, heading), weights_below.subheading(chapter, own)]
                    .map(|place| margins[place]);
                let is_wanted = wanted & (1 << chapter) != 0;
                let expected = if is_wanted { [expected[0][heading], expected[1][own]] } else { [7.0; 2] };
                assert_eq!(found, expected, "{chapter} {heading} {own}");
            }
        }
        assert_eq!(members(0b1001).collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn weights_are_rounded_by_less_than_half_a_percent() {
        for weight in [0.2, -0.2, 1.0, -3.21, 17.77, 1e-3, 1.999_999] {
            let kept = Entry::of(0, weight).weight();
            assert!((kept - weight).abs() <= weight.abs() / 256.0, "{weight}: {kept}");
        }
    }
}
