//! What can be fitted.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::features::{
    catalogue::{FEATURES, Part},
    past::sample::{FAR, NEAR},
};

/// What learns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learner {
    /// Boosted trees over all features.
    #[default]
    Trees,
    /// A graph network (GraphSAGE) over the traveller's own features and those of drawn neighbours.
    Graph,
}

impl Learner {
    /// Its name on pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trees => "boosted trees",
            Self::Graph => "graph network",
        }
    }

    /// Whether it reads neighbours.
    #[must_use]
    pub fn has_neighbours(self) -> bool {
        self == Self::Graph
    }

    /// The names of what its models read.
    #[must_use]
    pub fn inputs(self) -> Vec<String> {
        match self {
            Self::Trees => FEATURES.iter().map(|feature| feature.name.to_owned()).collect(),
            Self::Graph => own()
                .map(|place| FEATURES[place].name.to_owned())
                .chain(NEAR.iter().map(|name| format!("neighbour.{name}")))
                .chain(FAR.iter().map(|name| format!("around_neighbour.{name}")))
                .collect(),
        }
    }
}

/// The places of the features that a graph network reads of the traveller: all but those that count links, which it has to
/// learn from the neighbours.
pub(super) fn own() -> impl Iterator<Item = usize> + Clone {
    (0..FEATURES.len()).filter(|place| FEATURES[*place].part != Part::Network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_network_reads_no_counts_of_links() {
        let inputs = Learner::Graph.inputs();
        assert!(inputs.contains(&"past_trips".to_owned()) && inputs.contains(&"neighbour.finds".to_owned()));
        assert!(!inputs.contains(&"near_offenders".to_owned()));
        assert_eq!(inputs.len(), own().count() + NEAR.len() + FAR.len());
        assert_eq!(Learner::Trees.inputs().len(), FEATURES.len());
    }
}
