//! Chooses the items of a period to inspect: those with the highest scores, then the exploration among the rest.
//!
//! The choice is a function of the scores, of the order of the rows and of seeded random numbers. Items with equal
//! scores are taken in the order of the rows. Start at [`choose`].

use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use tidewaiter_core::Result;

/// Candidates of a diverse choice, or twice the number to choose if that is more: each one chosen is compared with
/// all.
const CANDIDATES: usize = 10_000;

/// Gives the embeddings of some rows, all of one length.
type Embed<'a> = dyn Fn(&[usize]) -> Result<Vec<Vec<f32>>> + 'a;

/// How exploration chooses.
pub(super) enum Exploration<'a> {
    /// At random.
    Random,
    /// The rows with the highest of these scores.
    Highest(&'a [f64]),
    /// The seeding of k-means++ on these embeddings.
    Diverse(&'a Embed<'a>),
}

/// Chooses `inspections` of the rows, `explored` of these by exploration. Gives the chosen rows, those of
/// exploitation first, and how many these are. Without scores, all are chosen by exploration.
pub(super) fn choose(
    rows: usize,
    inspections: usize,
    explored: usize,
    scores: Option<&[f64]>,
    exploration: &Exploration<'_>,
    rng: &mut Xoshiro256PlusPlus,
) -> Result<(Vec<usize>, usize)> {
    let inspections = inspections.min(rows);
    let exploited = match scores {
        Some(_) => inspections - explored.min(inspections),
        None => 0,
    };
    let mut chosen = scores.map_or_else(Vec::new, |scores| highest(scores, exploited, |_| true));
    let mut taken = vec![false; rows];
    chosen.iter().for_each(|row| taken[*row] = true);
    let left = inspections - exploited;
    if left > 0 {
        let more = match exploration {
            Exploration::Highest(scores) => highest(scores, left, |row| !taken[row]),
            Exploration::Random => {
                let free: Vec<usize> = (0..rows).filter(|row| !taken[*row]).collect();
                draw(free, left, rng)
            }
            Exploration::Diverse(embed) => {
                let free: Vec<usize> = (0..rows).filter(|row| !taken[*row]).collect();
                let mut pool = draw(free, CANDIDATES.max(2 * left), rng);
                pool.sort_unstable();
                let picks = diverse(&embed(&pool)?, left, rng);
                picks.into_iter().map(|pick| pool[pick]).collect()
            }
        };
        chosen.extend(more);
    }
    Ok((chosen, exploited))
}

/// The allowed rows with the highest scores, the highest first; equal ones in the order of the rows.
fn highest(scores: &[f64], count: usize, allowed: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|row| allowed(*row)).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(count);
    order
}

/// Some of the rows, at random (the first steps of Fisher and Yates's shuffle).
pub(super) fn draw(mut rows: Vec<usize>, count: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<usize> {
    let count = count.min(rows.len());
    for at in 0..count {
        let other = rng.random_range(at..rows.len());
        rows.swap(at, other);
    }
    rows.truncate(count);
    rows
}

/// The seeding of k-means++ (Arthur and Vassilvitskii, SODA 2007) as BADGE uses it: first the longest embedding, then
/// each with a probability in proportion to the squared distance from the nearest one chosen. When every other one is
/// equal to one chosen, they follow in their order.
fn diverse(embeddings: &[Vec<f32>], count: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<usize> {
    let count = count.min(embeddings.len());
    let squared = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum()
    };
    let length = |row: &Vec<f32>| row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>();
    let lengths: Vec<f64> = embeddings.iter().map(length).collect();
    let mut picks = highest(&lengths, 1.min(count), |_| true);
    let mut distance = vec![f64::INFINITY; embeddings.len()];
    let mut taken = vec![false; embeddings.len()];
    while let Some(last) = picks.last().copied() {
        taken[last] = true;
        if picks.len() == count {
            break;
        }
        for (row, nearest) in distance.iter_mut().enumerate() {
            *nearest = nearest.min(squared(&embeddings[row], &embeddings[last]));
        }
        let total: f64 = distance.iter().sum();
        let mut remaining = rng.random::<f64>() * total;
        let drawn = distance.iter().position(|nearest| {
            remaining -= nearest;
            remaining < 0.0
        });
        // None is drawn where rounding leaves something beyond the last, or where all distances are 0.
        let next = drawn.filter(|row| !taken[*row]).or_else(|| taken.iter().position(|taken| !taken));
        picks.extend(next);
    }
    picks
}

/// The uncertainty of a probability: 1 at one half, 0.1 at 0 and at 1 (arXiv:2010.14282).
pub(super) fn uncertainty(probability: f64) -> f64 {
    1.0 - 1.8 * (probability - 0.5).abs()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn rng() -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(7)
    }

    #[test]
    fn exploitation_comes_first_and_nothing_is_chosen_twice() {
        let scores = [0.1, 0.9, 0.5, 0.9, 0.3, 0.8];
        let (chosen, exploited) = choose(
            6,
            4,
            1,
            Some(&scores),
            &Exploration::Highest(&[0.0, 9.0, 1.0, 8.0, 2.0, 0.5]),
            &mut rng(),
        )
        .expect("chooses");
        // Three by score (ties in their order), then the best of the other scores that is still free.
        assert_eq!((chosen, exploited), (vec![1, 3, 5, 4], 3));
        for seed in 0..20 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let (mut chosen, _) =
                choose(6, 5, 3, Some(&scores), &Exploration::Random, &mut rng).expect("chooses");
            assert_eq!(chosen[..2], [1, 3]);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 5);
        }
    }

    #[test]
    fn without_scores_all_are_chosen_at_random_with_equal_probability() {
        let mut counts = [0; 5];
        let mut rng = rng();
        for _ in 0..1000 {
            let (chosen, exploited) = choose(5, 2, 0, None, &Exploration::Random, &mut rng).expect("chooses");
            assert_eq!(exploited, 0);
            chosen.iter().for_each(|row| counts[*row] += 1);
        }
        assert!(counts.iter().all(|count| (340..460).contains(count)), "{counts:?}");
        assert_eq!(choose(2, 9, 0, None, &Exploration::Random, &mut rng).expect("chooses").0.len(), 2);
    }

    #[test]
    fn uncertainty_is_greatest_at_one_half() {
        for (probability, wanted) in [(0.5, 1.0), (0.0, 0.1), (1.0, 0.1), (0.75, 0.55)] {
            assert!((uncertainty(probability) - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn a_diverse_choice_takes_the_longest_embedding_and_then_distant_ones() {
        // Two groups of equal points, and one point that is the longest. Equal points have distance 0, so that one of
        // each group is chosen with any seed.
        let embeddings: Vec<Vec<f32>> =
            [[0.0, 1.0], [0.0, 1.0], [9.0, 9.0], [4.0, 0.0], [4.0, 0.0]].map(Vec::from).into();
        for seed in 0..20 {
            let mut picks = diverse(&embeddings, 3, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
            assert_eq!(picks[0], 2);
            picks.sort_unstable();
            assert!(picks[0] < 2 && picks[2] > 2, "{picks:?}");
        }
        assert_eq!(diverse(&embeddings, 9, &mut rng()).len(), 5);
        assert!(diverse(&[], 3, &mut rng()).is_empty());
    }

    #[test]
    fn the_second_of_a_diverse_choice_is_drawn_by_squared_distance() {
        // The others are at distances 1 and 3 from the longest, 5: their odds are 1 to 9.
        let embeddings = [vec![5.0_f32], vec![4.0], vec![2.0]];
        let far = (0..4000)
            .filter(|seed| diverse(&embeddings, 2, &mut Xoshiro256PlusPlus::seed_from_u64(*seed))[1] == 2)
            .count();
        assert!((3500..3700).contains(&far), "{far} of 4000 is not near nine tenths");
    }
}
