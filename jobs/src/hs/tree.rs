//! The HS as a tree of classes, and linear classifiers on its branches.
//!
//! A code's class stands under its heading, and that under its chapter. A chapter's classifier tells it from
//! all other goods, a heading's and a subheading's from the others of its chapter, so that most classifiers learn from few
//! rows. Source: Prabhu et al., "Parabel", WWW 2018, section 4, with the customs nomenclature for its learned tree;
//! there a leaf is told from those beside it only, here also from those of other headings, whose texts are often as
//! near. Start at [`Classes`].

use std::ops::Range;

use prost::Message;

use super::{
    svm::{Classifier, Question},
    vectors::Row,
};
use crate::{Error, Result};

/// The levels: chapters, headings, subheadings.
pub(super) const LEVELS: usize = 3;

/// Digits of a code at each level.
pub const DIGITS: [usize; LEVELS] = [2, 4, 6];

/// What a six-digit code is divided by to have a level's code.
const DIVISORS: [u32; LEVELS] = [10_000, 100, 1];

/// A level's code of a six-digit code.
pub(super) fn at_level(code: u32, level: usize) -> u32 {
    code / DIVISORS[level]
}

/// A code as it is written.
pub fn written(code: u32, level: usize) -> String {
    format!("{code:0width$}", width = DIGITS[level])
}

/// Appends a code as it is written.
pub(super) fn write(code: u32, level: usize, text: &mut String) {
    let digits = (0..DIGITS[level] as u32).rev();
    text.extend(digits.map(|place| char::from(b'0' + (code / 10_u32.pow(place) % 10) as u8)));
}

/// The six digits that a written code begins with; `None` when there are fewer, or none of a chapter.
pub fn six_digits(code: &str) -> Option<u32> {
    let digits = code.get(..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|code| *code >= 10_000)
}

/// The classes of each level, with their places in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Classes {
    /// Codes of each level, ascending.
    codes: [Vec<u32>; LEVELS],
    /// For each subheading: the numbers of its chapter, its heading and itself.
    paths: Vec<[u32; LEVELS]>,
    /// Where the headings of each chapter and the subheadings of each heading begin; one more than there are.
    starts: [Vec<u32>; LEVELS - 1],
}

impl Classes {
    /// The classes of six-digit codes that ascend.
    pub(super) fn new(subheadings: Vec<u32>) -> Self {
        let mut codes: [Vec<u32>; LEVELS] = Default::default();
        let mut starts: [Vec<u32>; LEVELS - 1] = Default::default();
        let mut paths = Vec::with_capacity(subheadings.len());
        for code in subheadings {
            for level in 0..LEVELS {
                let own = at_level(code, level);
                if codes[level].last() != Some(&own) {
                    codes[level].push(own);
                    if let Some(starts) = starts.get_mut(level) {
                        starts.push(codes[level + 1].len() as u32);
                    }
                }
            }
            paths.push(std::array::from_fn(|level| codes[level].len() as u32 - 1));
        }
        for (level, starts) in starts.iter_mut().enumerate() {
            starts.push(codes[level + 1].len() as u32);
        }
        Self { codes, paths, starts }
    }

    /// The classes of the next level that stand under a class.
    pub(super) fn under(&self, level: usize, class: usize) -> Range<usize> {
        let starts = &self.starts[level];
        starts[class] as usize..starts[class + 1] as usize
    }

    /// The codes of a level.
    pub(super) fn codes(&self, level: usize) -> &[u32] {
        &self.codes[level]
    }

    /// How many subheadings there are.
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The number of a level's code.
    pub(super) fn number(&self, code: u32, level: usize) -> Option<usize> {
        self.codes[level].binary_search(&code).ok()
    }

    /// Where each subheading stands: numbers of chapter, heading and itself.
    pub(super) fn paths(&self) -> &[[u32; LEVELS]] {
        &self.paths
    }

    /// How many classifiers there are: one a class, chapters first.
    pub(super) fn classifiers(&self) -> usize {
        self.codes.iter().map(Vec::len).sum()
    }

    /// The level of a classifier and its number there.
    pub(super) fn place(&self, mut classifier: usize) -> (usize, usize) {
        for (level, codes) in self.codes.iter().enumerate() {
            if classifier < codes.len() {
                return (level, classifier);
            }
            classifier -= codes.len();
        }
        (LEVELS, classifier)
    }

    /// What a classifier learns from, where rows are ordered by their codes.
    pub(super) fn question(&self, classifier: usize, codes: &[u32]) -> Result<Question> {
        let (level, number) = self.place(classifier);
        let Some(code) = self.codes.get(level).and_then(|codes| codes.get(number)) else {
            return Err(Error::internal(format!("there is no classifier {classifier}")));
        };
        let rows_of = |code: u32, level: usize| -> Range<usize> {
            let divisor = DIVISORS[level];
            codes.partition_point(|row| row / divisor < code)
                ..codes.partition_point(|row| row / divisor <= code)
        };
        let scope = match level {
            0 => 0..codes.len(),
            _ => rows_of(code * DIVISORS[level] / DIVISORS[0], 0),
        };
        Ok(Question { scope, positives: rows_of(*code, level) })
    }
}

/// The classifiers of one level, by feature: what scoring a text reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Weights {
    /// Where each feature's entries begin; one more than there are features.
    pub(super) starts: Vec<u32>,
    /// Classes of the entries, ascending within a feature.
    pub(super) classes: Vec<u32>,
    /// Weights of the entries.
    pub(super) weights: Vec<f32>,
    /// The classes' biases.
    pub(super) biases: Vec<f32>,
}

impl Weights {
    /// The classifiers of a level, in the order of its classes, turned by feature.
    pub(super) fn of(features: usize, classifiers: &[Classifier]) -> Self {
        let mut starts = vec![0_u32; features + 1];
        for (feature, _) in classifiers.iter().flat_map(|classifier| &classifier.weights) {
            starts[*feature as usize + 1] += 1;
        }
        for feature in 0..features {
            starts[feature + 1] += starts[feature];
        }
        let entries = starts[features] as usize;
        let (mut classes, mut weights) = (vec![0; entries], vec![0.0; entries]);
        let mut next = starts.clone();
        for (class, classifier) in (0..).zip(classifiers) {
            for (feature, weight) in &classifier.weights {
                let at = &mut next[*feature as usize];
                classes[*at as usize] = class;
                weights[*at as usize] = *weight;
                *at += 1;
            }
        }
        let biases = classifiers.iter().map(|classifier| classifier.bias).collect();
        Self { starts, classes, weights, biases }
    }

    /// The sum of classifiers of the same classes, each times a factor.
    pub(super) fn sum(parts: &[(&Self, f32)]) -> Self {
        let count = parts.first().map_or(0, |(weights, _)| weights.biases.len());
        let features = parts.first().map_or(0, |(weights, _)| weights.starts.len() - 1);
        let mut biases = vec![0.0; count];
        for (weights, factor) in parts {
            biases.iter_mut().zip(&weights.biases).for_each(|(sum, bias)| *sum += factor * bias);
        }
        let mut sum = Self { starts: vec![0], biases, ..Self::default() };
        let mut entries: Vec<(u32, f32)> = Vec::new();
        for feature in 0..features {
            entries.clear();
            for (weights, factor) in parts {
                entries.extend(weights.entries(feature).map(|(class, weight)| (class, factor * weight)));
            }
            entries.sort_by_key(|(class, _)| *class);
            for same in entries.chunk_by(|one, next| one.0 == next.0) {
                sum.classes.push(same[0].0);
                sum.weights.push(same.iter().map(|(_, weight)| weight).sum());
            }
            sum.starts.push(sum.classes.len() as u32);
        }
        sum
    }

    /// Without the weights that are nearer to 0 (Babbar and Schölkopf, "DiSMEC", WSDM 2017, section 2.2).
    pub(super) fn pruned(&self, least: f32) -> Self {
        let mut pruned = Self { starts: vec![0], biases: self.biases.clone(), ..Self::default() };
        for feature in 0..self.starts.len().saturating_sub(1) {
            for (class, weight) in self.entries(feature).filter(|(_, weight)| weight.abs() >= least) {
                pruned.classes.push(class);
                pruned.weights.push(weight);
            }
            pruned.starts.push(pruned.classes.len() as u32);
        }
        pruned
    }

    /// Whether the parts fit each other.
    pub(super) fn is_whole(&self, features: usize, classes: usize) -> bool {
        self.starts.len() == features + 1
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|end| *end as usize == self.classes.len())
            && self.classes.len() == self.weights.len()
            && self.biases.len() == classes
            && self.classes.iter().all(|class| (*class as usize) < classes)
    }

    /// As they are kept.
    pub(super) fn to_stored(&self) -> StoredWeights {
        let Self { starts, classes, weights, biases } = self.clone();
        StoredWeights { starts, classes, weights, biases }
    }

    /// Those that were kept; [`Weights::is_whole`] tells whether they are whole.
    pub(super) fn of_stored(stored: StoredWeights) -> Self {
        let StoredWeights { starts, classes, weights, biases } = stored;
        Self { starts, classes, weights, biases }
    }

    /// A feature's classes, ascending, with its weights for them.
    pub(super) fn entries(&self, feature: usize) -> impl Iterator<Item = (u32, f32)> {
        let entries = self.starts[feature] as usize..self.starts[feature + 1] as usize;
        self.classes[entries.clone()].iter().copied().zip(self.weights[entries].iter().copied())
    }

    /// The margins of all classes.
    pub(super) fn margins(&self, row: Row<'_>, margins: &mut Vec<f32>) {
        margins.clear();
        margins.extend_from_slice(&self.biases);
        // Entries are touched first, in a loop that waits for none of them, so that memory fetches them side by side.
        let touch = |touched, (feature, _): (usize, f32)| {
            let start = self.starts[feature] as usize;
            touched ^ self.classes.get(start).map_or(0, |class| class ^ self.weights[start].to_bits())
        };
        std::hint::black_box(row.pairs().fold(0, touch));
        for (feature, value) in row.pairs() {
            let entries = self.starts[feature] as usize..self.starts[feature + 1] as usize;
            for (class, weight) in self.classes[entries.clone()].iter().zip(&self.weights[entries]) {
                margins[*class as usize] += weight * value;
            }
        }
    }

    /// The weight of a feature for a class; 0 where there is none.
    pub(super) fn weight(&self, feature: usize, class: u32) -> f32 {
        let entries = self.starts[feature] as usize..self.starts[feature + 1] as usize;
        let found = self.classes[entries.clone()].binary_search(&class);
        found.map_or(0.0, |at| self.weights[entries.start + at])
    }
}

/// [`Weights`] in a model's bytes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredWeights {
    #[prost(uint32, repeated, tag = "1")]
    starts: Vec<u32>,
    #[prost(uint32, repeated, tag = "2")]
    classes: Vec<u32>,
    #[prost(float, repeated, tag = "3")]
    weights: Vec<f32>,
    #[prost(float, repeated, tag = "4")]
    biases: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_stand_under_their_headings_and_chapters() {
        let classes = Classes::new(vec![10_121, 10_129, 10_130, 851_712]);
        assert_eq!([0, 1, 2].map(|level| classes.codes(level).len()), [2, 2, 4]);
        assert_eq!(classes.paths()[2], [0, 0, 2]);
        assert_eq!(classes.paths()[3], [1, 1, 3]);
        assert_eq!([classes.under(0, 0), classes.under(1, 0), classes.under(1, 1)], [0..1, 0..3, 3..4]);
        let mut text = String::new();
        write(101, 1, &mut text);
        write(10_121, 2, &mut text);
        assert_eq!(text, "0101010121");
        assert_eq!((written(101, 1), written(10_121, 2)), ("0101".to_owned(), "010121".to_owned()));
        assert_eq!(
            (six_digits("0101210090"), six_digits("01012"), six_digits("000000")),
            (Some(10_121), None, None)
        );

        let rows = [10_121, 10_121, 10_130, 20_110, 851_712];
        let classes = Classes::new(vec![10_121, 10_130, 20_110, 851_712]);
        assert_eq!(classes.classifiers(), 3 + 3 + 4);
        assert_eq!(classes.question(0, &rows).expect("a chapter"), Question { scope: 0..5, positives: 0..3 });
        assert_eq!(classes.question(4, &rows).expect("a heading"), Question { scope: 3..4, positives: 3..4 });
        let subheading = classes.question(7, &rows).expect("a subheading");
        assert_eq!(subheading, Question { scope: 0..3, positives: 2..3 });
        let rows = [10_121, 10_130, 10_221, 20_110];
        let classes = Classes::new(rows.to_vec());
        let subheading = classes.question(2 + 3, &rows).expect("the first subheading");
        assert_eq!(subheading, Question { scope: 0..3, positives: 0..1 });
        assert!(classes.question(10, &rows).is_err());
    }

    #[test]
    fn margins_are_sums_over_features() {
        let classifiers = [
            Classifier { bias: 0.5, weights: vec![(0, 1.0), (2, -1.0)] },
            Classifier { bias: 0.0, weights: vec![(2, 4.0)] },
        ];
        let weights = Weights::of(3, &classifiers);
        assert!(weights.is_whole(3, 2) && !weights.is_whole(4, 2));
        let mut margins = Vec::new();
        weights.margins(Row { features: &[0, 2], values: &[0.5, 0.25] }, &mut margins);
        assert_eq!(margins, [0.75, 1.0]);
        assert_eq!((weights.weight(2, 1), weights.weight(0, 1)), (4.0, 0.0));
    }
}
