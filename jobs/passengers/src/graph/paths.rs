//! Shortest paths to the nearest of some vertices, by edges and not by weights (a search in breadth from all of them).

use super::Graph;

/// The distance that a vertex has from which none of the targets can be reached.
pub const UNREACHED: u32 = u32::MAX;

/// For each vertex how far the nearest target is, and the next vertex on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nearest {
    distances: Vec<u32>,
    next: Vec<u32>,
}

impl Nearest {
    /// Searches from the targets; those that are no vertices are left out. Of several nearest targets the one that is
    /// named first counts.
    #[must_use]
    pub fn new(graph: &Graph, targets: &[u32]) -> Self {
        let vertices = graph.vertices();
        let mut found = Self { distances: vec![UNREACHED; vertices], next: graph.all().collect() };
        let mut queue: Vec<u32> = Vec::new();
        for target in targets.iter().filter(|target| (**target as usize) < vertices) {
            if std::mem::replace(&mut found.distances[*target as usize], 0) != 0 {
                queue.push(*target);
            }
        }
        let mut read = 0;
        while let Some(vertex) = queue.get(read).copied() {
            read += 1;
            for (next, _) in graph.neighbours(vertex) {
                if found.distances[next as usize] == UNREACHED {
                    found.distances[next as usize] = found.distances[vertex as usize] + 1;
                    found.next[next as usize] = vertex;
                    queue.push(next);
                }
            }
        }
        found
    }

    /// Edges to the nearest target; `None` where there is none.
    #[must_use]
    pub fn distance(&self, vertex: u32) -> Option<u32> {
        self.distances.get(vertex as usize).copied().filter(|distance| *distance != UNREACHED)
    }

    /// The vertices from one to its nearest target, both included; empty where there is none.
    #[must_use]
    pub fn path(&self, vertex: u32) -> Vec<u32> {
        let Some(distance) = self.distance(vertex) else { return Vec::new() };
        let mut path = vec![vertex];
        for _ in 0..distance {
            let at = path.last().map_or(vertex, |last| self.next[*last as usize]);
            path.push(at);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_target_is_found_by_the_shortest_way() {
        // 0-1-2-3-4, and 5 alone.
        let graph = Graph::new(6, &[(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0), (3, 4, 1.0)]);
        let found = Nearest::new(&graph, &[0, 4, 99, 0]);
        assert_eq!(
            graph.all().map(|vertex| found.distance(vertex)).collect::<Vec<_>>(),
            [Some(0), Some(1), Some(2), Some(1), Some(0), None]
        );
        assert_eq!((found.path(3), found.path(2), found.path(5)), (vec![3, 4], vec![2, 1, 0], vec![]));
        assert_eq!(Nearest::new(&graph, &[]).path(1), Vec::<u32>::new());
    }
}
