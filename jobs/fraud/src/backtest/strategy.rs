//! The strategies of selecting goods items for inspection, with the names that they have in the literature.
//!
//! A strategy spends most inspections on exploitation ([`Exploit`]: the items with the highest score) and may spend a
//! share on exploration ([`Explore`]). Exploitation comes first and no item is chosen twice, as in the *hybrid* of
//! Kim et al., "Active Learning for Human-in-the-Loop Customs Inspection" (TKDE, arXiv:2010.14282). Start at
//! [`STRATEGIES`]; the module `select` chooses the items.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result};

use crate::model::Learner;

/// The score by which a strategy exploits; the items with the highest are inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exploit {
    /// None: all inspections are exploration, at random.
    Nothing,
    /// The mean of the smoothed past illicit rates of the item's importer, HS code and so on.
    RiskProfile,
    /// The probability of fraud.
    Probability,
    /// The expected revenue of an inspection.
    Revenue,
}

/// How the items are chosen that are inspected for exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explore {
    /// There is no exploration.
    Nothing,
    /// At random.
    Random,
    /// Those whose probability is least certain.
    Uncertainty,
    /// Those whose gradient embeddings are far from each other.
    Badge,
    /// As `Badge`, with embeddings weighted by uncertainty and expected revenue.
    Bate,
    /// As `Bate` while the items of the highest probability hold much of the revenue found, else at random.
    Gate,
    /// At random, with a share that adapts to rewards and drift.
    Adapt,
}

/// A strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strategy {
    /// The name by which it is chosen.
    pub name: &'static str,
    /// The score that it exploits.
    pub exploit: Exploit,
    /// The learner of its model, where it needs one.
    pub learner: Learner,
    /// How it explores.
    pub explore: Explore,
    /// Its source, and what differs from it; shown in the report.
    pub source: &'static str,
}

const fn by_trees(name: &'static str, exploit: Exploit, explore: Explore, source: &'static str) -> Strategy {
    Strategy { name, exploit, learner: Learner::Gbdt, explore, source }
}

const fn by_date(name: &'static str, exploit: Exploit, explore: Explore, source: &'static str) -> Strategy {
    Strategy { name, exploit, learner: Learner::Date, explore, source }
}

/// Every strategy.
pub const STRATEGIES: &[Strategy] = &[
    by_trees("random", Exploit::Nothing, Explore::Nothing, "all inspections at random: the baseline"),
    by_trees(
        "risk-profile",
        Exploit::RiskProfile,
        Explore::Nothing,
        "the smoothed rates of DATE's risk profile (Kim et al., KDD 2020), of earlier days only; their mean, \
         so that equal scores are rare",
    ),
    by_trees(
        "risk-profile+random",
        Exploit::RiskProfile,
        Explore::Random,
        "the hybrid of arXiv:2010.14282 over the risk profile",
    ),
    by_trees(
        "gbdt",
        Exploit::Probability,
        Explore::Nothing,
        "exploitation alone (the `xgb` of arXiv:2010.14282), by boosted trees",
    ),
    by_trees(
        "gbdt-revenue",
        Exploit::Revenue,
        Explore::Nothing,
        "ranked by expected revenue, as DATE_REV (KDD 2020), by boosted trees and a revenue regression",
    ),
    by_trees(
        "gbdt+random",
        Exploit::Probability,
        Explore::Random,
        "the hybrid of arXiv:2010.14282 whose exploration is random",
    ),
    by_trees(
        "gbdt+uncertainty",
        Exploit::Probability,
        Explore::Uncertainty,
        "uncertainty 1 - 1.8 |p - 0.5| of arXiv:2010.14282",
    ),
    by_trees(
        "gbdt+badge",
        Exploit::Probability,
        Explore::Badge,
        "BADGE (Ash et al., ICLR 2020): k-means++ on gradient embeddings; here of the weights of the trees in \
         the sum of their outputs, in the place of a network's last layer",
    ),
    by_trees(
        "gbdt+bate",
        Exploit::Probability,
        Explore::Bate,
        "bATE (arXiv:2010.14282): BADGE's embeddings times ln(2 + expected revenue) and uncertainty",
    ),
    by_trees(
        "gbdt+gate",
        Exploit::Probability,
        Explore::Gate,
        "gATE (arXiv:2010.14282): bATE while the riskiest 5 % of the last period's inspected items held 30 % \
         of the revenue found there, else random",
    ),
    by_trees(
        "gbdt+adapt",
        Exploit::Probability,
        Explore::Adapt,
        "ADAPT (arXiv:2109.14155): EXP3 over shares within 0.25 of the drift; the drift here is that of a \
         classifier two-sample test, and the reward uses inspected items only, where the reference used all",
    ),
    by_date(
        "date",
        Exploit::Probability,
        Explore::Nothing,
        "exploitation alone by DATE (Kim et al., KDD 2020: DATE_CLS), a network over the leaves of boosted trees",
    ),
    by_date(
        "date-revenue",
        Exploit::Revenue,
        Explore::Nothing,
        "ranked by the revenue that DATE expects (KDD 2020: DATE_REV)",
    ),
    by_date(
        "date+random",
        Exploit::Probability,
        Explore::Random,
        "DATE in the place of the trees of gbdt+random",
    ),
    by_date(
        "date+badge",
        Exploit::Probability,
        Explore::Badge,
        "BADGE (ICLR 2020) on the gradients of DATE's last layer, as in arXiv:2010.14282",
    ),
    by_date(
        "date+bate",
        Exploit::Probability,
        Explore::Bate,
        "bATE (arXiv:2010.14282), whose network this is",
    ),
    by_date(
        "date+gate",
        Exploit::Probability,
        Explore::Gate,
        "gATE (arXiv:2010.14282), whose network this is",
    ),
    by_date(
        "date+adapt",
        Exploit::Probability,
        Explore::Adapt,
        "DATE in the place of the trees of gbdt+adapt",
    ),
];

impl Strategy {
    /// Whether it needs a model.
    pub fn needs_model(&self) -> bool {
        matches!(self.exploit, Exploit::Probability | Exploit::Revenue)
    }

    /// Whether it needs the expected revenue.
    pub fn needs_revenue(&self) -> bool {
        self.exploit == Exploit::Revenue || matches!(self.explore, Explore::Bate | Explore::Gate)
    }
}

impl FromStr for Strategy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        STRATEGIES.iter().find(|known| known.name == name).copied().ok_or_else(|| {
            let known: Vec<_> = STRATEGIES.iter().map(|known| known.name).collect();
            Error::input(format!("there is no strategy {name:?}; the strategies are {}", known.join(", ")))
        })
    }
}

/// A strategy is serialised as its name.
impl Serialize for Strategy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_parsed_and_the_error_for_an_unknown_one_lists_them() {
        for known in STRATEGIES {
            assert_eq!(known.to_string().parse::<Strategy>().expect("known"), *known);
        }
        let error = "gbdt+magic".parse::<Strategy>().expect_err("unknown");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
        assert!(error.to_string().contains("gbdt+badge"), "{error}");
    }
}
