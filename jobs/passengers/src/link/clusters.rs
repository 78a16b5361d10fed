//! Links become persons: clusters of identities, the surest links first, without a contradiction of births.
//!
//! Only identities that have a link are held, so that memory grows with the links. Start at [`Clusters::of`].

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Float64Type, Int64Type, UInt32Type},
};
use tidewaiter_core::{Error, Result};
use tidewaiter_linkage::{
    cluster::{Facts, Link, cluster},
    compare::{Dates, dates},
};

/// A link of two identities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Linked {
    ids: [u64; 2],
    births: [u32; 2],
    weight: f64,
}

/// The links of a batch of rows.
pub(super) fn linked(rows: &RecordBatch) -> Result<Vec<Linked>> {
    let wrong = || Error::internal("links lack a column");
    let id = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let birth = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<UInt32Type>();
    let weights = rows.column_by_name("weight").and_then(|column| column.as_primitive_opt::<Float64Type>());
    let (ones, others, weights) =
        (id("one").ok_or_else(wrong)?, id("other").ok_or_else(wrong)?, weights.ok_or_else(wrong)?);
    let (one_births, other_births) =
        (birth("one_birth").ok_or_else(wrong)?, birth("other_birth").ok_or_else(wrong)?);
    let of = |row: usize| Linked {
        ids: [ones.value(row) as u64, others.value(row) as u64],
        births: [one_births.value(row), other_births.value(row)],
        weight: weights.value(row),
    };
    Ok((0..rows.num_rows()).map(of).collect())
}

/// A birth, CCYYMMDD; 0 where it is not known.
struct Birth(u32);

impl Facts for Birth {
    /// Births that were keyed wrong do not contradict.
    fn contradicts(&self, other: &Self) -> bool {
        let text = |birth: u32| format!("{birth:08}");
        self.0 != other.0
            && self.0 > 0
            && other.0 > 0
            && dates(&text(self.0), &text(other.0)) == Some(Dates::Different)
    }

    fn join(&mut self, other: Self) {
        if self.0 == 0 {
            self.0 = other.0;
        }
    }
}

/// The persons of identities that have a link.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Clusters {
    /// Identity and person, in the order of the identities. A person is the smallest identity of the cluster.
    pub(super) persons: Vec<(u64, u64)>,
    /// Links that were refused because births contradict each other.
    pub(super) refused: u64,
}

impl Clusters {
    /// The clusters of links.
    pub(super) fn of(mut all: Vec<Linked>) -> Self {
        all.sort_by(|a, b| a.ids.cmp(&b.ids).then(b.weight.total_cmp(&a.weight)));
        all.dedup_by_key(|link| link.ids);
        let mut known: Vec<(u64, u32)> = all
            .iter()
            .flat_map(|link| [(link.ids[0], link.births[0]), (link.ids[1], link.births[1])])
            .collect();
        known.sort_unstable();
        known.dedup_by_key(|(id, _)| *id);
        let place = |id: u64| {
            let place = known.binary_search_by_key(&id, |(known, _)| *known).unwrap_or(0);
            u32::try_from(place).unwrap_or(u32::MAX)
        };
        let links = all.iter().map(|link| Link {
            one: place(link.ids[0]),
            other: place(link.ids[1]),
            weight: link.weight,
        });
        let links: Vec<Link> = links.collect();
        drop(all);
        let facts = known.iter().map(|(_, birth)| Birth(*birth)).collect();
        let clusters = cluster(facts, links);
        let person = |label: &u32| known.get(*label as usize).map_or(0, |(id, _)| *id);
        let persons = known.iter().map(|(id, _)| *id).zip(clusters.labels.iter().map(person)).collect();
        Self { persons, refused: clusters.refused.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ids: [u64; 2], births: [u32; 2], weight: f64) -> Linked {
        Linked { ids, births, weight }
    }

    #[test]
    fn births_that_contradict_keep_persons_apart_and_slips_of_the_pen_do_not() {
        let clusters = Clusters::of(vec![
            link([1, 2], [19_800_102, 19_800_103], 9.0),
            link([2, 9], [19_800_103, 19_611_230], 5.0),
            link([9, 11], [19_611_230, 0], 7.0),
            link([1, 2], [19_800_102, 19_800_103], 9.0),
        ]);
        assert_eq!(clusters, Clusters { persons: vec![(1, 1), (2, 1), (9, 9), (11, 9)], refused: 1 });
        assert_eq!(Clusters::of(Vec::new()), Clusters::default());
    }
}
