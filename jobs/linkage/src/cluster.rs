//! Pairs become clusters, the surest pairs first, and no cluster holds a contradiction.
//!
//! Union–find with union by size and path halving (R. E. Tarjan, J. van Leeuwen, JACM 1984). Pairs are taken by
//! falling weight. Two clusters that contradict each other (two birth dates, two sexes) stay apart, so that one wrong
//! pair does not merge two persons with all that hangs on them; the pair is reported.

/// What a cluster knows, so that it can contradict another.
pub trait Facts: Sized {
    /// Whether both cannot be of the same.
    fn contradicts(&self, other: &Self) -> bool;
    /// What both know together.
    fn join(&mut self, other: Self);
}

/// A pair of rows with its weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// A row.
    pub one: u32,
    /// Another row.
    pub other: u32,
    /// How sure the link is.
    pub weight: f64,
}

/// The clusters of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// For each row the smallest row of its cluster.
    pub labels: Vec<u32>,
    /// Links between clusters that contradict each other, in the order of their weights.
    pub refused: Vec<Link>,
}

/// Disjoint sets of rows.
#[derive(Debug, Clone)]
pub struct Sets {
    parents: Vec<u32>,
    sizes: Vec<u32>,
}

impl Sets {
    /// Each of a number of rows alone.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        Self { parents: (0..rows).collect(), sizes: vec![1; rows as usize] }
    }

    /// The row that stands for the set of a row.
    pub fn find(&mut self, mut row: u32) -> u32 {
        while self.parents[row as usize] != row {
            let above = self.parents[self.parents[row as usize] as usize];
            self.parents[row as usize] = above;
            row = above;
        }
        row
    }

    /// Joins the sets of two rows: the root that stays, and the one that was joined to it; `None` if they were one.
    pub fn join(&mut self, one: u32, other: u32) -> Option<(u32, u32)> {
        let (one, other) = (self.find(one), self.find(other));
        if one == other {
            return None;
        }
        let size = |row: u32| (self.sizes[row as usize], std::cmp::Reverse(row));
        let (stays, joined) = if size(one) >= size(other) { (one, other) } else { (other, one) };
        self.parents[joined as usize] = stays;
        self.sizes[stays as usize] += self.sizes[joined as usize];
        Some((stays, joined))
    }

    /// For each row the smallest row of its set.
    #[must_use]
    pub fn labels(mut self) -> Vec<u32> {
        let rows = u32::try_from(self.parents.len()).unwrap_or(u32::MAX);
        let mut smallest: Vec<u32> = vec![u32::MAX; rows as usize];
        let roots: Vec<u32> = (0..rows).map(|row| self.find(row)).collect();
        for (row, root) in (0..rows).zip(&roots) {
            smallest[*root as usize] = smallest[*root as usize].min(row);
        }
        roots.iter().map(|root| smallest[*root as usize]).collect()
    }
}

/// Clusters rows by links. Links of the same weight are taken by their rows, so that the result does not depend on
/// their order.
#[must_use]
pub fn cluster<F: Facts>(facts: Vec<F>, mut links: Vec<Link>) -> Clusters {
    links.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| (a.one, a.other).cmp(&(b.one, b.other))));
    let mut sets = Sets::new(facts.len());
    let mut facts: Vec<Option<F>> = facts.into_iter().map(Some).collect();
    let mut refused = Vec::new();
    for link in links {
        let (one, other) = (sets.find(link.one), sets.find(link.other));
        let known = (&facts[one as usize], &facts[other as usize]);
        if one != other
            && let (Some(a), Some(b)) = known
            && a.contradicts(b)
        {
            refused.push(link);
            continue;
        }
        if let Some((stays, joined)) = sets.join(one, other)
            && let Some(more) = facts[joined as usize].take()
            && let Some(own) = &mut facts[stays as usize]
        {
            own.join(more);
        }
    }
    Clusters { labels: sets.labels(), refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Birth(Option<u32>);

    impl Facts for Birth {
        fn contradicts(&self, other: &Self) -> bool {
            self.0.zip(other.0).is_some_and(|(a, b)| a != b)
        }

        fn join(&mut self, other: Self) {
            self.0 = self.0.or(other.0);
        }
    }

    fn link(one: u32, other: u32, weight: f64) -> Link {
        Link { one, other, weight }
    }

    #[test]
    fn contradictions_stay_apart_also_through_a_row_that_does_not_know() {
        // 0 and 2 were born on different days; 1 does not know, and is closer to 2.
        let births = [Some(1), None, Some(2), None].map(Birth).into_iter().collect();
        let clusters = cluster(births, vec![link(0, 1, 3.0), link(1, 2, 5.0)]);
        assert_eq!(clusters.labels, [0, 1, 1, 3]);
        assert_eq!(clusters.refused, [link(0, 1, 3.0)]);
    }

    proptest::proptest! {
        #[test]
        fn clusters_do_not_depend_on_the_order_of_links(
            births in proptest::collection::vec(proptest::option::of(0_u32..2), 8),
            links in proptest::collection::vec((0_u32..8, 0_u32..8, 0_u32..5), 0..20),
        ) {
            let facts = || births.iter().map(|birth| Birth(*birth)).collect::<Vec<_>>();
            let links: Vec<Link> =
                links.iter().map(|(a, b, w)| link(*a.min(b), *a.max(b), f64::from(*w))).collect();
            let forward = cluster(facts(), links.clone());
            let backward = cluster(facts(), links.into_iter().rev().collect());
            proptest::prop_assert_eq!(&forward.labels, &backward.labels);
            for one in 0..8 {
                for other in 0..8 {
                    if forward.labels[one] == forward.labels[other] {
                        proptest::prop_assert!(!Birth(births[one]).contradicts(&Birth(births[other])));
                    }
                }
            }
        }
    }
}
