//! How usual something is in each class, where classes with little to go by borrow from those above them.
//!
//! With n of the N things of a class being the one in question, and its share p in the class above, its share in the
//! class is taken for (n + prior × p) / (N + prior): a hierarchical Dirichlet prior (MacKay and Peto, "A Hierarchical
//! Dirichlet Language Model", Natural Language Engineering 1995; for texts in a tree of classes, McCallum et al.,
//! "Improving Text Classification by Shrinkage in a Hierarchy of Classes", ICML 1998). The logarithm of that share
//! less the logarithm of p is ln(prior / (N + prior)), a bias of the class, and where n is not 0 it is more by
//! ln(1 + n / (prior × p)). So it has the form of a linear classifier's weights, and few of them.

use super::tree::{Classes, LEVELS, Weights};

/// The weights of things at each level, given for each thing its number in the subheadings that have it, ascending.
pub(super) fn shrunk(
    classes: &Classes,
    things: &[Vec<(u32, f64)>],
    priors: [f64; LEVELS],
) -> [Weights; LEVELS] {
    let paths = classes.paths();
    let mut totals: [Vec<f64>; LEVELS] = std::array::from_fn(|level| vec![0.0; classes.codes(level).len()]);
    for (class, number) in things.iter().flatten() {
        for (totals, class) in totals.iter_mut().zip(paths[*class as usize]) {
            totals[class as usize] += number;
        }
    }
    let all: f64 = totals[0].iter().sum();
    let mut weights: [Weights; LEVELS] = std::array::from_fn(|level| {
        let bias = |total: &f64| (priors[level] / (total + priors[level])).ln() as f32;
        let biases = totals[level].iter().map(bias).collect();
        Weights { starts: vec![0], biases, ..Weights::default() }
    });
    // The share of a thing in the class of each level, on the way to a subheading.
    let mut shares = [0.0; LEVELS + 1];
    for thing in things {
        shares[0] = thing.iter().map(|(_, number)| number).sum::<f64>() / all;
        add(&mut Walk { paths, totals: &totals, priors, weights: &mut weights }, thing, 0, &mut shares);
        for weights in &mut weights {
            weights.starts.push(weights.classes.len() as u32);
        }
    }
    weights
}

struct Walk<'a> {
    paths: &'a [[u32; LEVELS]],
    totals: &'a [Vec<f64>; LEVELS],
    priors: [f64; LEVELS],
    weights: &'a mut [Weights; LEVELS],
}

/// Adds the weights of a thing in some subheadings of one class for the levels from a level on.
fn add(walk: &mut Walk<'_>, thing: &[(u32, f64)], level: usize, shares: &mut [f64; LEVELS + 1]) {
    if level == LEVELS {
        return;
    }
    let paths = walk.paths;
    for part in thing.chunk_by(|one, next| paths[one.0 as usize][level] == paths[next.0 as usize][level]) {
        let class = paths[part[0].0 as usize][level];
        let number: f64 = part.iter().map(|(_, number)| number).sum();
        let prior = walk.priors[level] * shares[level];
        walk.weights[level].classes.push(class);
        walk.weights[level].weights.push((number / prior).ln_1p() as f32);
        let total = walk.totals[level][class as usize];
        shares[level + 1] = (number + prior) / (total + walk.priors[level]);
        add(walk, part, level + 1, shares);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_shrink_along_the_tree_as_by_hand() {
        let classes = Classes::new(vec![10_121, 10_129, 20_110]);
        // The first thing: 30 in the first subheading; the second: 10, 20 and 140.
        let things = [vec![(0, 30.0)], vec![(0, 10.0), (1, 20.0), (2, 140.0)]];
        let priors = [5.0, 10.0, 20.0];
        let weights = shrunk(&classes, &things, priors);
        for (level, weights) in weights.iter().enumerate() {
            assert!(weights.is_whole(2, classes.codes(level).len()));
        }
        let says = |thing: usize, class: usize| -> f64 {
            let path = classes.paths()[class];
            let of_level = |(weights, class): (&Weights, u32)| {
                f64::from(weights.biases[class as usize] + weights.weight(thing, class))
            };
            weights.iter().zip(path).map(of_level).sum()
        };
        // The first has 30 of 200: 0.15. Chapter 01 and heading 0101 have 60, 30 of them the first.
        let chapter = (30.0 + 5.0 * 0.15) / 65.0;
        let heading = (30.0 + 10.0 * chapter) / 70.0;
        let own = |number: f64, all: f64| (number + 20.0 * heading) / (all + 20.0);
        for (class, share) in [(0, own(30.0, 40.0)), (1, own(0.0, 20.0))] {
            let expected = (share / 0.15_f64).ln();
            assert!((says(0, class) - expected).abs() < 1e-5, "{class}: {} and {expected}", says(0, class));
        }
        // None of 140 in a chapter, heading and subheading of its own.
        let nothing: f64 = priors.iter().map(|prior| (prior / (140.0 + prior)).ln()).sum();
        assert!((says(0, 2) - nothing).abs() < 1e-5);
    }
}
