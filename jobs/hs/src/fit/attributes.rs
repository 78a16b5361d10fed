//! Naive Bayes weights of attributes, from counts of items by code.
//!
//! A value's weight for a code is the logarithm of its smoothed share among the code's items, less that of its share
//! among all items ([`super::smoothing`]).

use std::collections::BTreeMap;

use super::smoothing::smoothed_weights;
use crate::{
    codes::{digits::LEVELS, tree::CodeTree},
    features::attributes::{AttributeCount, IS_VALUE},
    model::attributes::AttributeWeights,
};

/// The weight of a heading's shares in each of its subheadings, in items; and so for each level above.
const PRIOR: f64 = 20.0;

/// The weights of counted attributes; counts of codes that the tree lacks are left out.
pub(crate) fn attribute_weights(counts: &[AttributeCount], tree: &CodeTree) -> AttributeWeights {
    let mut fitted = AttributeWeights::default();
    for (kind, is_value) in IS_VALUE.into_iter().enumerate() {
        // Similar values are evidence for each other: half of an item counts for the neighbouring classes.
        let spread: &[(i64, f64)] = if is_value { &[(-1, 0.25), (0, 0.5), (1, 0.25)] } else { &[(0, 1.0)] };
        let mut items: BTreeMap<(&str, i64), BTreeMap<u32, f64>> = BTreeMap::new();
        let known = counts.iter().filter(|count| count.kind == kind);
        for AttributeCount { key, code, items: number, .. } in known {
            let Some(class) = tree.number(*code, LEVELS - 1) else { continue };
            for (step, share) in spread {
                let of_key = items.entry((&key.0, key.1 + step)).or_default();
                *of_key.entry(class as u32).or_default() += share * *number as f64;
            }
        }
        fitted.keys[kind] = items.keys().map(|(text, number)| ((*text).to_owned(), *number)).collect();
        let items: Vec<_> = items.into_values().map(|of_key| of_key.into_iter().collect()).collect();
        fitted.weights[kind] = smoothed_weights(tree, &items, [PRIOR; LEVELS]);
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::attributes::Attributes;

    fn count(kind: usize, text: &str, number: i64, code: u32, items: u64) -> AttributeCount {
        AttributeCount { kind, key: (text.to_owned(), number), code, items }
    }

    #[test]
    fn what_was_counted_is_stored_and_what_was_not_adds_nothing() {
        let tree = CodeTree::new(vec![10_121, 10_129, 20_110]);
        let counts = [
            count(0, "NZ", 0, 10_121, 30),
            count(0, "FR", 0, 10_121, 10),
            count(0, "FR", 0, 10_129, 20),
            count(0, "FR", 0, 20_110, 140),
        ];
        let weights = attribute_weights(&counts, &tree);
        let score = |origin: &str, class: usize| {
            let attributes = Attributes { origin: Some(origin), ..Attributes::default() };
            let [number, ..] = weights.numbers(&attributes);
            number.map(|number| weights.score(0, number, tree.paths()[class]))
        };
        assert!(score("NZ", 0) > score("NZ", 1) && score("NZ", 1) > score("NZ", 2));
        assert_eq!(score("XX", 0), None);

        let mut sums: [Vec<f32>; LEVELS] = [vec![0.0; 2], vec![0.0; 2], vec![0.0; 3]];
        weights.add(0, 1, 2.0, &mut sums);
        for (class, path) in tree.paths().iter().enumerate() {
            let sum: f32 = sums.iter().zip(path).map(|(level, class)| level[*class as usize]).sum();
            assert!((sum - 2.0 * score("NZ", class).expect("known")).abs() < 1e-5);
        }
        let again = AttributeWeights::of_stored(weights.to_stored(), &tree);
        assert_eq!(again.as_ref(), Some(&weights));
        assert_eq!(AttributeWeights::of_stored(weights.to_stored(), &CodeTree::new(vec![10_121])), None);
        assert!(AttributeWeights::of_stored(Vec::new(), &tree).is_some_and(|weights| weights.is_empty()));
    }

    #[test]
    fn a_value_is_similar_to_its_neighbours_and_belongs_to_its_unit() {
        let tree = CodeTree::new(vec![10_121, 20_110]);
        let counts = [
            count(2, "NAR", 10, 10_121, 100),
            count(2, "NAR", 14, 20_110, 100),
            count(2, "KGM", 10, 20_110, 100),
        ];
        let weights = attribute_weights(&counts, &tree);
        let score = |unit: Option<&'static str>, value: i64, class: usize| {
            let attributes = Attributes { unit, unit_value: Some(value), ..Attributes::default() };
            let [.., number, _] = weights.numbers(&attributes);
            number.map(|number| weights.score(2, number, tree.paths()[class]))
        };
        for value in [9, 10, 11] {
            assert!(score(Some("NAR"), value, 0) > score(Some("NAR"), value, 1));
            assert!(score(Some("KGM"), value, 0) < score(Some("KGM"), value, 1));
        }
        assert_eq!((score(None, 10, 0), score(Some("NAR"), 30, 0)), (None, None));
    }
}
