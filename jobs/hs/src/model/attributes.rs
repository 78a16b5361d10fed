//! Weights of attributes: how much origin, unit and value per unit add to a code's score.
//!
//! A value's score for a code is the logarithm of how much more frequent the value is among the code's items than among
//! all items, by naive Bayes with smoothing along the HS tree (`fit::attributes`). A value that is missing or was
//! never seen adds nothing, so that a description alone, the usual case, is scored as if there were no attributes.
//! Start at [`AttributeWeights`].

use prost::Message;

use super::weights::{ClassWeights, StoredWeights};
use crate::{
    codes::{digits::LEVELS, tree::CodeTree},
    features::attributes::{Attributes, KINDS},
};

/// The weights of attributes for the classes of each level.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AttributeWeights {
    /// The values of each kind as text and number ([`Attributes::key`]), ascending; a value's number is its index.
    pub(crate) keys: [Vec<(String, i64)>; KINDS],
    /// The weights of each kind's values at each level of the tree; values take the place of features.
    pub(crate) weights: [[ClassWeights; LEVELS]; KINDS],
}

impl AttributeWeights {
    /// Whether no attribute is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.iter().all(Vec::is_empty)
    }

    /// The numbers of an item's attributes, by kind; `None` for those that are missing or were never seen.
    pub(crate) fn numbers(&self, attributes: &Attributes<'_>) -> [Option<usize>; KINDS] {
        std::array::from_fn(|kind| {
            let key = attributes.key(kind)?;
            self.keys[kind].binary_search_by(|(text, number)| (text.as_str(), *number).cmp(&key)).ok()
        })
    }

    /// The name of a kind's value, for people.
    pub(crate) fn name(&self, kind: usize, number: usize) -> String {
        let (text, _) = &self.keys[kind][number];
        match kind {
            0 => format!("origin {text}"),
            1 => format!("unit {text}"),
            2 => format!("value per {text}"),
            _ => "value per kg".to_owned(),
        }
    }

    /// Adds a value's weights, times a factor, to the scores of each level's classes.
    pub(crate) fn add(&self, kind: usize, number: usize, factor: f32, scores: &mut [Vec<f32>; LEVELS]) {
        for (weights, scores) in self.weights[kind].iter().zip(scores) {
            for (sum, bias) in scores.iter_mut().zip(&weights.biases) {
                *sum += factor * bias;
            }
            for (class, weight) in weights.entries(number) {
                scores[class as usize] += factor * weight;
            }
        }
    }

    /// A value's score for a subheading, given the subheading's path.
    pub(crate) fn score(&self, kind: usize, number: usize, path: [u32; LEVELS]) -> f32 {
        let of_level = |(weights, class): (&ClassWeights, u32)| {
            weights.biases[class as usize] + weights.weight(number, class)
        };
        self.weights[kind].iter().zip(path).map(of_level).sum()
    }

    /// The form in a model's bytes.
    pub(crate) fn to_stored(&self) -> Vec<StoredAttributeWeights> {
        let stored =
            |(keys, weights): (&Vec<(String, i64)>, &[ClassWeights; LEVELS])| StoredAttributeWeights {
                texts: keys.iter().map(|(text, _)| text.clone()).collect(),
                numbers: keys.iter().map(|(_, number)| *number).collect(),
                levels: weights.iter().map(ClassWeights::to_stored).collect(),
            };
        self.keys.iter().zip(&self.weights).map(stored).collect()
    }

    /// The weights of a model's bytes; `None` when they do not fit each other or the tree. A model without attributes
    /// has none.
    pub(crate) fn of_stored(stored: Vec<StoredAttributeWeights>, tree: &CodeTree) -> Option<Self> {
        if stored.is_empty() {
            return Some(Self::default());
        }
        let mut read = Self::default();
        let stored: [StoredAttributeWeights; KINDS] = stored.try_into().ok()?;
        for (kind, StoredAttributeWeights { texts, numbers, levels }) in stored.into_iter().enumerate() {
            let levels: Vec<ClassWeights> = levels.into_iter().map(ClassWeights::of_stored).collect();
            let levels: [ClassWeights; LEVELS] = levels.try_into().ok()?;
            let whole = |level: usize| levels[level].is_whole(texts.len(), tree.codes(level).len());
            if texts.len() != numbers.len() || !(0..LEVELS).all(whole) {
                return None;
            }
            read.keys[kind] = texts.into_iter().zip(numbers).collect();
            if !read.keys[kind].is_sorted_by(|one, next| one < next) {
                return None;
            }
            read.weights[kind] = levels;
        }
        Some(read)
    }
}

/// The weights of one kind in a model's bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredAttributeWeights {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
    #[prost(sint64, repeated, tag = "2")]
    numbers: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    levels: Vec<StoredWeights>,
}
