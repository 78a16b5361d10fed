//! Naive Bayes weights with shares that are smoothed along the HS tree.
//!
//! Values (words, origins and so on) are counted in the subheadings. With n of the N counts of a class being of one
//! value, whose share is p in the class above, its share in the class is estimated as (n + prior × p) / (N + prior): a
//! hierarchical Dirichlet prior (MacKay and Peto, "A Hierarchical Dirichlet Language Model", Natural Language
//! Engineering 1995; for texts in a tree of classes, McCallum et al., "Improving Text Classification by Shrinkage in a
//! Hierarchy of Classes", ICML 1998). The logarithm of that share less the logarithm of p is ln(prior / (N + prior)), a
//! bias of the class, plus ln(1 + n / (prior × p)) where n is not 0. So it has the form of a linear classifier with few
//! weights. Start at [`smoothed_weights`].

use crate::{
    codes::{digits::LEVELS, tree::CodeTree},
    model::weights::ClassWeights,
};

/// The weights of values at each level, given for each value its counts in the subheadings that have it, ascending.
pub(crate) fn smoothed_weights(
    classes: &CodeTree,
    counts: &[Vec<(u32, f64)>],
    priors: [f64; LEVELS],
) -> [ClassWeights; LEVELS] {
    let paths = classes.paths();
    let mut totals: [Vec<f64>; LEVELS] = std::array::from_fn(|level| vec![0.0; classes.codes(level).len()]);
    for (class, number) in counts.iter().flatten() {
        for (totals, class) in totals.iter_mut().zip(paths[*class as usize]) {
            totals[class as usize] += number;
        }
    }
    let all: f64 = totals[0].iter().sum();
    let mut weights: [ClassWeights; LEVELS] = std::array::from_fn(|level| {
        let bias = |total: &f64| (priors[level] / (total + priors[level])).ln() as f32;
        let biases = totals[level].iter().map(bias).collect();
        ClassWeights { starts: vec![0], biases, ..ClassWeights::default() }
    });
    // The share of a value among all counts, then in its class of each level down to a subheading.
    let mut shares = [0.0; LEVELS + 1];
    for of_value in counts {
        shares[0] = of_value.iter().map(|(_, number)| number).sum::<f64>() / all;
        add(
            &mut Smoothing { paths, totals: &totals, priors, weights: &mut weights },
            of_value,
            0,
            &mut shares,
        );
        for weights in &mut weights {
            weights.starts.push(weights.classes.len() as u32);
        }
    }
    weights
}

/// The inputs and outputs of the recursion.
struct Smoothing<'a> {
    paths: &'a [[u32; LEVELS]],
    totals: &'a [Vec<f64>; LEVELS],
    priors: [f64; LEVELS],
    weights: &'a mut [ClassWeights; LEVELS],
}

/// Adds the weights of a value, counted in some subheadings of one class, for the levels from `level` on.
fn add(smoothing: &mut Smoothing<'_>, of_value: &[(u32, f64)], level: usize, shares: &mut [f64; LEVELS + 1]) {
    if level == LEVELS {
        return;
    }
    let paths = smoothing.paths;
    for part in of_value.chunk_by(|one, next| paths[one.0 as usize][level] == paths[next.0 as usize][level]) {
        let class = paths[part[0].0 as usize][level];
        let number: f64 = part.iter().map(|(_, number)| number).sum();
        let prior = smoothing.priors[level] * shares[level];
        smoothing.weights[level].classes.push(class);
        smoothing.weights[level].weights.push((number / prior).ln_1p() as f32);
        let total = smoothing.totals[level][class as usize];
        shares[level + 1] = (number + prior) / (total + smoothing.priors[level]);
        add(smoothing, part, level + 1, shares);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_smoothed_along_the_tree_as_by_hand() {
        let classes = CodeTree::new(vec![10_121, 10_129, 20_110]);
        // The first value: 30 in the first subheading; the second: 10, 20 and 140.
        let counts = [vec![(0, 30.0)], vec![(0, 10.0), (1, 20.0), (2, 140.0)]];
        let priors = [5.0, 10.0, 20.0];
        let weights = smoothed_weights(&classes, &counts, priors);
        for (level, weights) in weights.iter().enumerate() {
            assert!(weights.is_whole(2, classes.codes(level).len()));
        }
        let score = |value: usize, class: usize| -> f64 {
            let path = classes.paths()[class];
            let of_level = |(weights, class): (&ClassWeights, u32)| {
                f64::from(weights.biases[class as usize] + weights.weight(value, class))
            };
            weights.iter().zip(path).map(of_level).sum()
        };
        // The first has 30 of 200: 0.15. Chapter 01 and heading 0101 have 60, 30 of them the first.
        let chapter = (30.0 + 5.0 * 0.15) / 65.0;
        let heading = (30.0 + 10.0 * chapter) / 70.0;
        let own = |number: f64, all: f64| (number + 20.0 * heading) / (all + 20.0);
        for (class, share) in [(0, own(30.0, 40.0)), (1, own(0.0, 20.0))] {
            let expected = (share / 0.15_f64).ln();
            assert!((score(0, class) - expected).abs() < 1e-5, "{class}: {} and {expected}", score(0, class));
        }
        // None of 140 in a chapter, heading and subheading of its own.
        let nothing: f64 = priors.iter().map(|prior| (prior / (140.0 + prior)).ln()).sum();
        assert!((score(0, 2) - nothing).abs() < 1e-5);
    }
}
