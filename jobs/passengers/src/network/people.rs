//! Travellers and their links in memory: about 60 bytes for a traveller and 24 for a link.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use super::kind::Kind;
use crate::graph::Graph;

/// What is known of a traveller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Flights.
    pub trips: u32,
    /// Days of the first and the last flight, since 1970-01-01.
    pub days: (i32, i32),
    /// Inspections that found something.
    pub offences: u32,
}

impl Default for Facts {
    fn default() -> Self {
        Self { trips: 0, days: (i32::MAX, i32::MIN), offences: 0 }
    }
}

/// Something that two travellers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The numbers of the travellers.
    pub ends: (u32, u32),
    /// What they share.
    pub kind: Kind,
    /// How many of the kind they share.
    pub shared: u32,
    /// The first day on which both had it, and the last on which one of them used it.
    pub days: (i32, i32),
}

impl Link {
    /// What the link counts in the graph and in files for other programs: the more, the more its ends share and the more
    /// its kind says.
    #[must_use]
    pub fn weight(&self) -> f32 {
        self.kind.weight() * (1.0 + (self.shared.max(1) as f32).ln())
    }
}

/// Travellers, numbered from 0, and what they share.
#[derive(Debug, Clone, Default)]
pub struct People {
    /// The identifiers one after the other, and where each ends.
    names: String,
    ends: Vec<u64>,
    numbers: HashMap<u64, u32>,
    facts: Vec<Facts>,
    /// The links. Each pair has one of a kind at most.
    pub links: Vec<Link>,
}

impl People {
    /// The number of a traveller, who is added if it is new.
    pub fn number(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(xxh3_64(name.as_bytes())).or_insert(next);
        if number == next {
            self.names.push_str(name);
            self.ends.push(self.names.len() as u64);
            self.facts.push(Facts::default());
        }
        number
    }

    /// The number of a traveller who is there.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(&xxh3_64(name.as_bytes())).copied()
    }

    /// How many travellers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A traveller's identifier.
    #[must_use]
    pub fn name(&self, number: u32) -> &str {
        let at = number as usize;
        let end = |at: usize| self.ends.get(at).map_or(self.names.len(), |end| *end as usize);
        let start = if at == 0 { 0 } else { end(at - 1) };
        self.names.get(start..end(at)).unwrap_or_default()
    }

    /// What is known of a traveller.
    #[must_use]
    pub fn facts(&self, number: u32) -> Facts {
        self.facts.get(number as usize).copied().unwrap_or_default()
    }

    /// Sets what is known of a traveller; of one who is not there nothing is kept.
    pub fn know(&mut self, number: u32, facts: Facts) {
        if let Some(own) = self.facts.get_mut(number as usize) {
            *own = facts;
        }
    }

    /// The numbers of those with an offence.
    #[must_use]
    pub fn offenders(&self) -> Vec<u32> {
        (0..).zip(&self.facts).filter(|(_, facts)| facts.offences > 0).map(|(number, _)| number).collect()
    }

    /// Whether a link counts in the graph: agencies link many who have nothing to do with each other, and count only
    /// where there is no other kind.
    fn counts(&self) -> impl Fn(&&Link) -> bool + use<> {
        let has_others = self.links.iter().any(|link| link.kind != Kind::Agency);
        move |link| link.kind != Kind::Agency || !has_others
    }

    /// The graph of the links, by their weights. Links by agencies are left out where there are others.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let counted = self.links.iter().filter(self.counts());
        let edges: Vec<_> = counted.map(|link| (link.ends.0, link.ends.1, link.weight())).collect();
        Graph::new(self.count(), &edges)
    }

    /// Some of the travellers, in the order given, with the links between them.
    #[must_use]
    pub fn part(&self, chosen: &[u32]) -> Self {
        let mut part = Self::default();
        let mut numbers = vec![u32::MAX; self.count()];
        for number in chosen {
            let own = part.number(self.name(*number));
            part.know(own, self.facts(*number));
            numbers[*number as usize] = own;
        }
        let inside = self.links.iter().filter_map(|link| {
            let ends = (numbers[link.ends.0 as usize], numbers[link.ends.1 as usize]);
            (ends.0.max(ends.1) != u32::MAX).then_some(Link { ends, ..*link })
        });
        part.links = inside.collect();
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn travellers_have_numbers_names_and_facts() {
        let mut people = People::default();
        assert_eq!((people.number("ada"), people.number("bo"), people.number("ada")), (0, 1, 0));
        people.know(1, Facts { trips: 3, days: (10, 20), offences: 1 });
        people.links.push(Link { ends: (0, 1), kind: Kind::Document, shared: 1, days: (10, 20) });
        assert_eq!((people.name(0), people.name(1), people.name(9)), ("ada", "bo", ""));
        assert_eq!((people.find("bo"), people.find("cy"), people.count()), (Some(1), None, 2));
        assert_eq!((people.offenders(), people.facts(1).trips), (vec![1], 3));
        people.links.push(Link { ends: (0, 1), kind: Kind::Agency, shared: 9, days: (10, 20) });
        assert_eq!(people.graph().neighbours(0).collect::<Vec<_>>(), [(1, 2.0)]);
        people.links.pop();
        let part = people.part(&[1]);
        assert_eq!((part.count(), part.name(0), part.links.len()), (1, "bo", 0));
        assert_eq!(people.part(&[1, 0]).links[0].ends, (1, 0));
    }
}
