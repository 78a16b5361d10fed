//! National digits: how a subheading parts into the codes of more than six digits that a country adds.
//!
//! A subheading's probability is shared out among its national codes, so that the sums roll up: by how many
//! texts taught each, and by which of them the similar past declarations have (a mean that shrinks to what is
//! usual where few precedents speak: Zhai and Lafferty, "A Study of Smoothing Methods", TOIS 2004, section
//! 2.2). Most subheadings have one national code or two, so that no classifier is learned. A subheading whose
//! texts have no national digits stands for itself.

use std::{collections::BTreeMap, ops::Range};

/// Most digits of a code.
const MOST_DIGITS: usize = 12;

/// What the usual shares count beside a precedent that is the same text.
const USUAL: f32 = 0.5;

/// A code of more than six digits as a number: its digits after a 1, which keeps leading zeros; 0 where there is
/// none.
pub(super) fn national(code: &str) -> u64 {
    let more = (7..=MOST_DIGITS).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit());
    if more { code.bytes().fold(1, |number, byte| number * 10 + u64::from(byte - b'0')) } else { 0 }
}

/// A national code's digits.
pub(super) fn written(national: u64) -> String {
    let mut digits = national.to_string();
    digits.remove(0);
    digits
}

/// The national codes of each subheading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Nationals {
    /// Where each subheading's codes begin; one more than there are subheadings.
    pub(super) starts: Vec<u32>,
    /// Ascending within a subheading.
    pub(super) codes: Vec<u64>,
    /// How many texts taught each.
    pub(super) taught: Vec<u32>,
}

impl Nationals {
    /// The national codes of texts, each with the number of its subheading, of so many.
    pub(super) fn of(subheadings: usize, texts: impl Iterator<Item = (u32, u64)>) -> Self {
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
        Self { starts, codes, taught: counts.into_values().collect() }
    }

    /// Whether the parts fit each other, and so many subheadings.
    pub(super) fn is_whole(&self, subheadings: usize) -> bool {
        self.starts.len() == subheadings + 1
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|end| *end as usize == self.codes.len())
            && self.codes.len() == self.taught.len()
    }

    /// Whether no text had national digits.
    pub(super) fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Whether a subheading has more than one national code.
    pub(super) fn is_parted(&self, class: usize) -> bool {
        self.under(class).len() > 1
    }

    fn under(&self, class: usize) -> Range<usize> {
        self.starts[class] as usize..self.starts[class + 1] as usize
    }

    /// The shares of a subheading's national codes, given what speaks for some of them; none where it has none.
    pub(super) fn shares(
        &self,
        class: usize,
        votes: impl Iterator<Item = (u64, f32)>,
        shares: &mut Vec<(u64, f32)>,
    ) {
        shares.clear();
        let under = self.under(class);
        let (codes, taught) = (&self.codes[under.clone()], &self.taught[under]);
        let total: u32 = taught.iter().sum();
        let usual = |taught: &u32| USUAL * *taught as f32 / total.max(1) as f32;
        shares.extend(codes.iter().copied().zip(taught.iter().map(usual)));
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

    #[test]
    fn codes_keep_their_zeros_and_shares_add_up() {
        assert_eq!(written(national("0306170010")), "0306170010");
        assert_eq!(["030617", "03061x0010", "", "1234567890123"].map(national), [0; 4]);
        let (one, other) = (national("0306170010"), national("0306170090"));
        let texts = [(1, other), (1, one), (1, other), (1, other), (0, 0)];
        let nationals = Nationals::of(3, texts.into_iter());
        assert!(nationals.is_whole(3) && !nationals.is_whole(2));
        let shares = |class, votes: &[(u64, f32)]| {
            let mut shares = Vec::new();
            nationals.shares(class, votes.iter().copied(), &mut shares);
            shares
        };
        assert!(shares(0, &[]).is_empty());
        assert_eq!(shares(1, &[]), vec![(one, 0.25), (other, 0.75)]);
        // 0.5 × 1/4 + 0.5 of 1, and 0.5 × 3/4 of 1; a code that nobody was taught has no say.
        let voted = shares(1, &[(one, 0.5), (national("0306170099"), 9.0)]);
        assert_eq!(voted, vec![(one, 0.625), (other, 0.375)]);
    }
}
