//! National digits: how a subheading's probability is divided among the codes of more than six digits that a country
//! adds.
//!
//! The shares of a subheading's national codes sum to 1, so that their probabilities sum to the subheading's. A share
//! is a mean of the code's frequency among the subheading's training texts and of the votes of the similar past
//! declarations, shrunk towards the frequency where few of those vote (Zhai and Lafferty, "A Study of Smoothing
//! Methods", TOIS 2004, section 2.2). Most subheadings have one national code or two, so no classifier is trained. A
//! subheading whose texts have no national digits stands for itself. Start at [`NationalCodes::shares`].

use std::{collections::BTreeMap, ops::Range};

/// The weight of the frequencies, where a precedent with the same text has the weight 1.
const FREQUENCY_WEIGHT: f32 = 0.5;

/// The national codes of each subheading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NationalCodes {
    /// Where each subheading's codes begin, and where the last ones end.
    pub(crate) starts: Vec<u32>,
    /// The codes ([`crate::codes::digits::national`]), ascending within a subheading.
    pub(crate) codes: Vec<u64>,
    /// The number of training texts of each code.
    pub(crate) texts: Vec<u32>,
}

impl NationalCodes {
    /// The national codes of training texts, given as pairs of subheading and code (0: none), of so many subheadings.
    pub(crate) fn of(subheadings: usize, texts: impl Iterator<Item = (u32, u64)>) -> Self {
        let mut counts: BTreeMap<(u32, u64), u32> = BTreeMap::new();
        for text in texts.filter(|(_, code)| *code > 0) {
            *counts.entry(text).or_default() += 1;
        }
        let mut starts = vec![0; subheadings + 1];
        for (class, _) in counts.keys() {
            starts[*class as usize + 1] += 1;
        }
        for class in 0..subheadings {
            starts[class + 1] += starts[class];
        }
        let codes = counts.keys().map(|(_, code)| *code).collect();
        Self { starts, codes, texts: counts.into_values().collect() }
    }

    /// Whether the parts fit each other and so many subheadings.
    pub(crate) fn is_whole(&self, subheadings: usize) -> bool {
        self.starts.len() == subheadings + 1
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|end| *end as usize == self.codes.len())
            && self.codes.len() == self.texts.len()
    }

    /// Whether no training text had national digits.
    pub(crate) fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Whether a subheading has more than one national code.
    pub(crate) fn is_divided(&self, class: usize) -> bool {
        self.under(class).len() > 1
    }

    fn under(&self, class: usize) -> Range<usize> {
        self.starts[class] as usize..self.starts[class + 1] as usize
    }

    /// Computes the shares of a subheading's national codes, which sum to 1, from the votes for some of them; none
    /// where it has no national code.
    pub(crate) fn shares(
        &self,
        class: usize,
        votes: impl Iterator<Item = (u64, f32)>,
        shares: &mut Vec<(u64, f32)>,
    ) {
        shares.clear();
        let under = self.under(class);
        let (codes, texts) = (&self.codes[under.clone()], &self.texts[under]);
        let total: u32 = texts.iter().sum();
        let frequency = |texts: &u32| FREQUENCY_WEIGHT * *texts as f32 / total.max(1) as f32;
        shares.extend(codes.iter().copied().zip(texts.iter().map(frequency)));
        if shares.len() > 1 {
            for (code, vote) in votes {
                if let Ok(at) = codes.binary_search(&code) {
                    shares[at].1 += vote;
                }
            }
        }
        let sum: f32 = shares.iter().map(|(_, share)| share).sum();
        shares.iter_mut().for_each(|(_, share)| *share /= sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::digits::national;

    #[test]
    fn shares_are_frequencies_and_votes_and_sum_to_one() {
        let (one, other) = (national("0306170010"), national("0306170090"));
        let texts = [(1, other), (1, one), (1, other), (1, other), (0, 0)];
        let nationals = NationalCodes::of(3, texts.into_iter());
        assert!(nationals.is_whole(3) && !nationals.is_whole(2));
        let shares = |class, votes: &[(u64, f32)]| {
            let mut shares = Vec::new();
            nationals.shares(class, votes.iter().copied(), &mut shares);
            shares
        };
        assert!(shares(0, &[]).is_empty());
        assert_eq!(shares(1, &[]), vec![(one, 0.25), (other, 0.75)]);
        // 0.5 × 1/4 + 0.5 of 1, and 0.5 × 3/4 of 1; a vote for a code without training texts does not count.
        let voted = shares(1, &[(one, 0.5), (national("0306170099"), 9.0)]);
        assert_eq!(voted, vec![(one, 0.625), (other, 0.375)]);
    }
}
