//! What a network says: its communities, its central persons, and who is how near to a known offender.

use super::people::People;
use crate::graph::{
    Graph,
    centrality::{betweenness, degrees, page_rank},
    communities::{Leiden, leiden},
    paths::Nearest,
};

/// Probability with which PageRank follows a link.
const DAMPING: f64 = 0.85;

/// Links that the search for betweenness looks at, about: more links, fewer sources.
const LOOKED_AT: usize = 200_000_000;

/// A community.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Community {
    /// Its members, the most central first.
    pub members: Vec<u32>,
    /// Members with an offence.
    pub offenders: u32,
    /// Flights of all members.
    pub trips: u64,
}

/// The analysis of a network. Lists are by the numbers of travellers.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The graph.
    pub graph: Graph,
    /// The number of the community.
    pub community: Vec<u32>,
    /// The communities by their numbers, the largest first.
    pub communities: Vec<Community>,
    /// How many travellers each is linked with.
    pub degrees: Vec<u32>,
    /// PageRank, relative to the mean of 1.
    pub rank: Vec<f64>,
    /// Pairs of others between which it stands on the shortest paths, estimated from a sample in large networks.
    pub between: Vec<f64>,
    /// The way to the nearest known offender; offenders themselves are at distance 0.
    pub nearest: Nearest,
}

impl Analysis {
    /// Analyses a network; the seed is that of the order in which communities are looked for.
    #[must_use]
    pub fn new(people: &People, seed: u64) -> Self {
        let graph = people.graph();
        let labels = leiden(&graph, Leiden { seed, ..Leiden::default() });
        let count = people.count() as f64;
        let rank: Vec<f64> = page_rank(&graph, DAMPING).into_iter().map(|share| share * count).collect();
        let (community, communities) = communities(people, &labels, &rank);
        let sources = (LOOKED_AT / (people.links.len() + people.count()).max(1)).clamp(8, 2000);
        Self {
            community,
            communities,
            degrees: degrees(&graph),
            between: betweenness(&graph, sources, seed),
            nearest: Nearest::new(&graph, &people.offenders()),
            rank,
            graph,
        }
    }

    /// Travellers by their rank, the most central first.
    #[must_use]
    pub fn central(&self, count: usize) -> Vec<u32> {
        let mut all: Vec<u32> = self.graph.all().collect();
        all.sort_by(|one, other| self.by_rank(*one, *other));
        all.truncate(count);
        all
    }

    fn by_rank(&self, one: u32, other: u32) -> std::cmp::Ordering {
        let rank = |number: u32| self.rank[number as usize];
        rank(other).total_cmp(&rank(one)).then(one.cmp(&other))
    }
}

/// Communities by their size, and the number of each traveller's.
fn communities(people: &People, labels: &[u32], rank: &[f64]) -> (Vec<u32>, Vec<Community>) {
    let count = labels.iter().copied().max().map_or(0, |most| most as usize + 1);
    let mut found = vec![Community { members: Vec::new(), offenders: 0, trips: 0 }; count];
    for (number, label) in (0..).zip(labels) {
        let (community, facts) = (&mut found[*label as usize], people.facts(number));
        community.members.push(number);
        community.offenders += u32::from(facts.offences > 0);
        community.trips += u64::from(facts.trips);
    }
    // Labels are numbered by their first members, so that equal sizes keep that order.
    found.sort_by_key(|community| std::cmp::Reverse(community.members.len()));
    let mut numbers = vec![0; labels.len()];
    for (own, community) in (0..).zip(&mut found) {
        community.members.iter().for_each(|member| numbers[*member as usize] = own);
        community
            .members
            .sort_by(|one, other| rank[*other as usize].total_cmp(&rank[*one as usize]).then(one.cmp(other)));
    }
    (numbers, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{
        kind::Kind,
        people::{Facts, Link},
    };

    #[test]
    fn a_network_has_communities_central_persons_and_paths() {
        let mut people = People::default();
        for name in ["a", "b", "c", "d", "e", "f", "alone"] {
            let number = people.number(name);
            let offences = u32::from(name == "f");
            people.know(number, Facts { trips: 2, days: (1, 2), offences });
        }
        for ends in [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 3)] {
            people.links.push(Link { ends, kind: Kind::Travel, shared: 1, days: (1, 2) });
        }
        let found = Analysis::new(&people, 1);
        assert_eq!(found.community, [0, 0, 0, 1, 1, 1, 2]);
        let second = &found.communities[1];
        assert_eq!((second.offenders, second.trips, second.members[0]), (1, 6, 3));
        let mut central = found.central(2);
        central.sort_unstable();
        assert_eq!(central, [2, 3]);
        assert_eq!((found.nearest.path(0), found.nearest.distance(6)), (vec![0, 2, 3, 5], None));
        assert!((found.between[2] - 6.0).abs() < 1e-9);
    }
}
