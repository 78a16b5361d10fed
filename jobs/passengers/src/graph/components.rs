//! Connected components.

use super::Graph;

/// For each vertex the smallest vertex of its component: in one pass over the edges, by breadth-first search.
#[must_use]
pub fn components(graph: &Graph) -> Vec<u32> {
    let mut labels = vec![u32::MAX; graph.vertices()];
    let mut open = Vec::new();
    for start in graph.all() {
        if labels[start as usize] != u32::MAX {
            continue;
        }
        labels[start as usize] = start;
        open.push(start);
        while let Some(vertex) = open.pop() {
            for (next, _) in graph.neighbours(vertex) {
                if labels[next as usize] == u32::MAX {
                    labels[next as usize] = start;
                    open.push(next);
                }
            }
        }
    }
    labels
}

/// The vertices up to some edges away from a vertex, with how many: what a network of some hops shows.
#[must_use]
pub fn within(graph: &Graph, seeds: &[u32], hops: u32) -> Vec<(u32, u32)> {
    let mut distances = std::collections::BTreeMap::new();
    let mut ring: Vec<u32> =
        seeds.iter().copied().filter(|seed| (*seed as usize) < graph.vertices()).collect();
    for distance in 0..=hops {
        ring.sort_unstable();
        ring.dedup();
        ring.retain(|vertex| !distances.contains_key(vertex));
        distances.extend(ring.iter().map(|vertex| (*vertex, distance)));
        ring = ring.iter().flat_map(|vertex| graph.neighbours(*vertex)).map(|(next, _)| next).collect();
    }
    distances.into_iter().collect()
}
