//! What levels of agreement are worth: the model of Fellegi and Sunter, its parameters by expectation–maximisation.
//!
//! A pair of rows is a pattern: for each field the level at which it agrees (0 different, higher more alike), or that
//! it cannot be compared. Among matches a level of a field has probability m, among others u; fields are taken as
//! independent given whether the pair matches. The weight of a pattern is the sum of log₂(m/u) over its fields, and its
//! probability of a match follows from the share of matches λ by Bayes' rule.
//!
//! I. P. Fellegi, A. B. Sunter, "A Theory for Record Linkage", JASA 1969. Estimation without labels: W. E. Winkler,
//! "Using the EM Algorithm for Weight Computation in the Fellegi–Sunter Model of Record Linkage", 1988; M. A. Jaro,
//! JASA 1989. A missing value is left out of the sum, as missing at random.

use std::collections::BTreeMap;

/// The level of each field: `None` where one of the values is missing.
pub type Pattern = Vec<Option<u8>>;

/// How often each pattern was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    counts: BTreeMap<Pattern, u64>,
}

impl Patterns {
    /// Counts a pair.
    pub fn add(&mut self, pattern: Pattern) {
        self.add_times(pattern, 1);
    }

    /// Counts so many pairs of a pattern.
    pub fn add_times(&mut self, pattern: Pattern, times: u64) {
        *self.counts.entry(pattern).or_insert(0) += times;
    }

    /// Each pattern with how often it was seen, in the order of the patterns.
    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, u64)> {
        self.counts.iter().map(|(pattern, count)| (pattern, *count))
    }

    /// Pairs in all.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// The probabilities of a field's levels.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Of each level among matches; they sum to 1.
    pub m: Vec<f64>,
    /// Of each level among other pairs; they sum to 1.
    pub u: Vec<f64>,
}

/// A model of agreement.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Share of matches among the pairs that the model is of, 0 to 1: those that were compared, or all that there are.
    pub matches: f64,
    /// The fields.
    pub fields: Vec<Field>,
}

/// Least probability of a level, so that no weight is infinite: one in a million.
const FLOOR: f64 = 1e-6;

/// Least share of matches: below it there is no match in a million rows.
const LEAST_MATCHES: f64 = 1e-12;

/// Steps of expectation and maximisation at most.
const MOST_STEPS: usize = 500;

/// Largest change of a probability at which the steps end.
const SETTLED: f64 = 1e-7;

impl Model {
    /// A model to start from: the highest of a field's levels is likely among matches, the lowest among others.
    #[must_use]
    pub fn initial(levels: &[usize]) -> Self {
        let spread = |levels: usize, upwards: bool| {
            let weight = |level: usize| 4_f64.powi(i32::try_from(level).unwrap_or(0));
            let of = |level: usize| weight(if upwards { level } else { levels - 1 - level });
            let sum: f64 = (0..levels).map(of).sum();
            (0..levels).map(|level| of(level) / sum).collect::<Vec<_>>()
        };
        let field = |levels: &usize| Field { m: spread(*levels, true), u: spread(*levels, false) };
        Self { matches: 0.1, fields: levels.iter().map(field).collect() }
    }

    /// The model that makes the patterns most likely, from this one on.
    #[must_use]
    pub fn fitted(self, patterns: &Patterns) -> Self {
        self.settled(patterns, patterns.pairs() as f64, false)
    }

    /// The same for all of so many pairs, of which only those that share a key were compared: the levels of other pairs are
    /// those of pairs drawn at random, which hardly ever match, and a pair that shares no key counts as no match.
    ///
    /// Pairs that share a key are no sample of the others, so that an estimate from them alone can be far off. The share of
    /// matches must be of the same pairs as the levels: beside those of all pairs, a share among the compared ones would
    /// make a match of every pair that agrees in a key.
    #[must_use]
    pub fn fitted_beside(mut self, patterns: &Patterns, at_random: &Patterns, all_pairs: f64) -> Self {
        for (place, field) in self.fields.iter_mut().enumerate() {
            // One pair of each level beside those that were drawn, so that none is impossible.
            let mut counts = vec![1.0; field.u.len()];
            for (pattern, count) in at_random.iter() {
                if let Some(level) = pattern.get(place).copied().flatten() {
                    counts[usize::from(level)] += count as f64;
                }
            }
            let sum: f64 = counts.iter().sum();
            field.u = counts.iter().map(|count| count / sum).collect();
        }
        let all_pairs = all_pairs.max(patterns.pairs() as f64);
        self.matches = share_of_matches(self.matches * patterns.pairs() as f64, all_pairs);
        self.settled(patterns, all_pairs, true)
    }

    /// Steps until nothing changes; `pairs` are those that the share of matches is of.
    fn settled(mut self, patterns: &Patterns, pairs: f64, keeps_others: bool) -> Self {
        for _ in 0..MOST_STEPS {
            let mut next = self.step(patterns, pairs);
            if keeps_others {
                for (field, own) in next.fields.iter_mut().zip(&self.fields) {
                    field.u.clone_from(&own.u);
                }
            }
            let change = self.distance(&next);
            self = next;
            if change < SETTLED {
                break;
            }
        }
        self
    }

    fn step(&self, patterns: &Patterns, pairs: f64) -> Self {
        if patterns.pairs() == 0 {
            return self.clone();
        }
        let empty = |field: &Field| (vec![0.0; field.m.len()], vec![0.0; field.m.len()]);
        let mut sums: Vec<(Vec<f64>, Vec<f64>)> = self.fields.iter().map(empty).collect();
        let mut matches = 0.0;
        for (pattern, count) in &patterns.counts {
            let count = *count as f64;
            let probability = self.probability(pattern);
            matches += count * probability;
            for ((m, u), level) in sums.iter_mut().zip(pattern) {
                if let Some(level) = level {
                    m[usize::from(*level)] += count * probability;
                    u[usize::from(*level)] += count * (1.0 - probability);
                }
            }
        }
        let share = |sums: Vec<f64>| {
            let sum: f64 = sums.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            let floored: Vec<f64> = sums.iter().map(|one| (one / sum).max(FLOOR)).collect();
            let sum: f64 = floored.iter().sum();
            floored.iter().map(|one| one / sum).collect()
        };
        let fields = sums.into_iter().map(|(m, u)| Field { m: share(m), u: share(u) }).collect();
        Self { matches: share_of_matches(matches, pairs), fields }
    }

    fn distance(&self, other: &Self) -> f64 {
        let pairs = self.fields.iter().zip(&other.fields);
        let change = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let fields = pairs.map(|(a, b)| change(&a.m, &b.m).max(change(&a.u, &b.u))).fold(0.0, f64::max);
        fields.max((self.matches - other.matches).abs())
    }

    /// The weight of a pattern in bits: positive where it speaks for a match.
    #[must_use]
    pub fn weight(&self, pattern: &[Option<u8>]) -> f64 {
        let of = |(field, level): (&Field, &Option<u8>)| {
            level.map_or(0.0, |level| (field.m[usize::from(level)] / field.u[usize::from(level)]).log2())
        };
        self.fields.iter().zip(pattern).map(of).sum()
    }

    /// The probability that a pair of a pattern matches.
    #[must_use]
    pub fn probability(&self, pattern: &[Option<u8>]) -> f64 {
        let odds = self.matches / (1.0 - self.matches) * self.weight(pattern).exp2();
        if odds.is_infinite() { 1.0 } else { odds / (1.0 + odds) }
    }
}

fn share_of_matches(matches: f64, pairs: f64) -> f64 {
    (matches / pairs.max(1.0)).clamp(LEAST_MATCHES, 1.0 - FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64, by: f64) {
        assert!((value - expected).abs() < by, "{value} is not {expected}");
    }

    fn two_levels(m: f64, u: f64) -> Field {
        Field { m: vec![1.0 - m, m], u: vec![1.0 - u, u] }
    }

    #[test]
    fn weights_are_logarithms_of_the_ratio() {
        let model = Model { matches: 0.5, fields: vec![two_levels(0.9, 0.1), two_levels(0.8, 0.05)] };
        // log2(9) + log2(16) = 3.1699 + 4; log2(9) + log2(0.2 / 0.95) = 3.1699 - 2.2479.
        near(model.weight(&[Some(1), Some(1)]), 7.1699, 1e-4);
        near(model.weight(&[Some(1), Some(0)]), 0.9220, 1e-4);
        near(model.weight(&[Some(1), None]), 3.1699, 1e-4);
        // Odds 9 · 16 = 144 to 1.
        near(model.probability(&[Some(1), Some(1)]), 144.0 / 145.0, 1e-9);
        near(model.probability(&[None, None]), 0.5, 1e-9);
    }

    #[test]
    fn one_step_is_what_a_hand_computes() {
        // One field, λ = 1/2, m = 3/4, u = 1/4; 3 pairs agree, 1 does not.
        let model = Model { matches: 0.5, fields: vec![two_levels(0.75, 0.25)] };
        let mut patterns = Patterns::default();
        for level in [1, 1, 1, 0] {
            patterns.add(vec![Some(level)]);
        }
        // An agreeing pair is a match with 3/4, the other one with 1/4: 2.5 matches, of which 2.25 agree; 1.5 others,
        // of which 0.75 agree.
        let next = model.step(&patterns, 4.0);
        near(next.matches, 2.5 / 4.0, 1e-12);
        near(next.fields[0].m[1], 2.25 / 2.5, 1e-12);
        near(next.fields[0].u[1], 0.75 / 1.5, 1e-12);
    }

    #[test]
    fn the_parameters_of_exact_frequencies_are_found_again() {
        let truth = Model {
            matches: 0.2,
            fields: vec![
                two_levels(0.95, 0.02),
                two_levels(0.9, 0.1),
                two_levels(0.85, 0.05),
                two_levels(0.8, 0.2),
            ],
        };
        let mut patterns = Patterns::default();
        for bits in 0..16_u8 {
            let pattern: Pattern = (0..4).map(|field| Some((bits >> field) & 1)).collect();
            let of = |matched: bool| {
                let one = |(field, level): (&Field, &Option<u8>)| {
                    let levels = if matched { &field.m } else { &field.u };
                    level.map_or(1.0, |level| levels[usize::from(level)])
                };
                truth.fields.iter().zip(&pattern).map(one).product::<f64>()
            };
            let share = 0.2 * of(true) + 0.8 * of(false);
            patterns.counts.insert(pattern, (share * 1e9).round() as u64);
        }
        let found = Model::initial(&[2, 2, 2, 2]).fitted(&patterns);
        near(found.matches, 0.2, 1e-3);
        for (found, truth) in found.fields.iter().zip(&truth.fields) {
            near(found.m[1], truth.m[1], 1e-3);
            near(found.u[1], truth.u[1], 1e-3);
        }
    }

    #[test]
    fn levels_of_other_pairs_are_those_of_pairs_drawn_at_random() {
        // All pairs of the blocks match; alone they would show other pairs as agreeing, too.
        let (mut patterns, mut at_random) = (Patterns::default(), Patterns::default());
        patterns.add_times(vec![Some(1), Some(1)], 90);
        patterns.add_times(vec![Some(1), Some(0)], 10);
        at_random.add_times(vec![Some(0), Some(0)], 980);
        at_random.add_times(vec![Some(0), Some(1)], 18);
        let model = Model::initial(&[2, 2]).fitted_beside(&patterns, &at_random, 1e4);
        near(model.fields[0].u[1], 1.0 / 1000.0, 1e-9);
        near(model.fields[1].u[1], 19.0 / 1000.0, 1e-9);
        assert!(model.probability(&[Some(1), Some(1)]) > 0.99, "{model:?}");
        near(model.matches, 0.009, 5e-4);
        assert_eq!(patterns.iter().map(|(_, count)| count).sum::<u64>(), 100);
    }

    #[test]
    fn many_pairs_that_share_a_key_by_chance_are_no_matches() {
        // 2,000 rows, 1,999,000 pairs: 300 are matches, which agree in two fields; 5,000 others share the first field, as
        // a thousandth of all pairs do by chance, and of those one in a hundred agrees in the second.
        let (mut patterns, mut at_random) = (Patterns::default(), Patterns::default());
        patterns.add_times(vec![Some(1), Some(1)], 300 + 50);
        patterns.add_times(vec![Some(1), Some(0)], 4_950);
        at_random.add_times(vec![Some(0), Some(0)], 98_700);
        at_random.add_times(vec![Some(1), Some(0)], 300);
        at_random.add_times(vec![Some(0), Some(1)], 1_000);
        let model = Model::initial(&[2, 2]).fitted_beside(&patterns, &at_random, 1_999_000.0);
        assert!(model.probability(&[Some(1), Some(0)]) < 0.01, "{model:?}");
        assert!(model.probability(&[Some(1), Some(1)]) > 0.5, "{model:?}");
        near(model.matches, 300.0 / 1_999_000.0, 5e-5);
    }

    #[test]
    fn without_pairs_the_model_stays() {
        let model = Model::initial(&[3]);
        assert_eq!(model.clone().fitted(&Patterns::default()), model);
    }
}
