//! Weights of linear classifiers, and how a text's margins are computed from them.
//!
//! A [`Classifier`] belongs to one class. [`ClassWeights`] holds those of a level, as a sparse matrix by feature.

use prost::Message;

use crate::features::vectors::SparseRow;

/// A linear classifier: its margin for a text is the bias plus the products of weights and values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Classifier {
    pub(crate) bias: f32,
    /// Features with their weights, ascending.
    pub(crate) weights: Vec<(u32, f32)>,
}

impl Classifier {
    /// Without the weights whose absolute value is below `least` (Babbar and Schölkopf, "DiSMEC", WSDM 2017, section
    /// 2.2).
    pub(crate) fn pruned(mut self, least: f32) -> Self {
        self.weights.retain(|(_, weight)| weight.abs() >= least);
        self
    }
}

/// The classifiers of one level's classes, by feature and then by class: the order in which scoring reads them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ClassWeights {
    /// Where each feature's entries begin, and where the last ones end.
    pub(crate) starts: Vec<u32>,
    /// Classes of the entries, ascending within a feature.
    pub(crate) classes: Vec<u32>,
    /// Weights of the entries.
    pub(crate) weights: Vec<f32>,
    /// The classes' biases.
    pub(crate) biases: Vec<f32>,
}

impl ClassWeights {
    /// The weights of the classifiers of a level's classes, in the order of the classes, over so many features.
    pub(crate) fn of(features: usize, classifiers: &[Classifier]) -> Self {
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

    /// The sum of several classifiers of the same classes over the same features, each times a factor.
    pub(crate) fn sum(parts: &[(&Self, f32)]) -> Self {
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

    /// Without the weights whose absolute value is below `least` (Babbar and Schölkopf, "DiSMEC", WSDM 2017, section
    /// 2.2).
    pub(crate) fn pruned(&self, least: f32) -> Self {
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

    /// Whether the parts fit each other, so many features and so many classes.
    pub(crate) fn is_whole(&self, features: usize, classes: usize) -> bool {
        self.starts.len() == features + 1
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|end| *end as usize == self.classes.len())
            && self.classes.len() == self.weights.len()
            && self.biases.len() == classes
            && self.classes.iter().all(|class| (*class as usize) < classes)
    }

    /// The form in a model's bytes.
    pub(crate) fn to_stored(&self) -> StoredWeights {
        let Self { starts, classes, weights, biases } = self.clone();
        StoredWeights { starts, classes, weights, biases }
    }

    /// The weights of a model's bytes, which [`ClassWeights::is_whole`] has yet to check.
    pub(crate) fn of_stored(stored: StoredWeights) -> Self {
        let StoredWeights { starts, classes, weights, biases } = stored;
        Self { starts, classes, weights, biases }
    }

    /// A feature's classes, ascending, with its weights for them.
    pub(crate) fn entries(&self, feature: usize) -> impl Iterator<Item = (u32, f32)> {
        let entries = self.starts[feature] as usize..self.starts[feature + 1] as usize;
        self.classes[entries.clone()].iter().copied().zip(self.weights[entries].iter().copied())
    }

    /// The margins of all classes for a text: bias plus the products of weights and values.
    pub(crate) fn margins(&self, row: SparseRow<'_>, margins: &mut Vec<f32>) {
        margins.clear();
        margins.extend_from_slice(&self.biases);
        // A first loop reads each feature's first entry and uses none of them, so that their cache lines are fetched
        // side by side.
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
    pub(crate) fn weight(&self, feature: usize, class: u32) -> f32 {
        let entries = self.starts[feature] as usize..self.starts[feature + 1] as usize;
        let found = self.classes[entries.clone()].binary_search(&class);
        found.map_or(0.0, |at| self.weights[entries.start + at])
    }
}

/// [`ClassWeights`] in a model's bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredWeights {
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
    fn margins_are_sums_over_features() {
        let classifiers = [
            Classifier { bias: 0.5, weights: vec![(0, 1.0), (2, -1.0)] },
            Classifier { bias: 0.0, weights: vec![(2, 4.0)] },
        ];
        let weights = ClassWeights::of(3, &classifiers);
        assert!(weights.is_whole(3, 2) && !weights.is_whole(4, 2));
        let mut margins = Vec::new();
        weights.margins(SparseRow { features: &[0, 2], values: &[0.5, 0.25] }, &mut margins);
        assert_eq!(margins, [0.75, 1.0]);
        assert_eq!((weights.weight(2, 1), weights.weight(0, 1)), (4.0, 0.0));
    }
}
