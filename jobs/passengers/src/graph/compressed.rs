//! The graph itself.

/// An undirected weighted graph. Vertices are numbered from 0; each edge stands at both of its ends, a loop once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// Where the neighbours of a vertex begin; one more at the end.
    offsets: Vec<u64>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

impl Graph {
    /// A graph of a number of vertices and edges; the weights of parallel edges are summed. Edges to vertices that are
    /// not there are left out.
    #[must_use]
    pub fn new(vertices: usize, edges: &[(u32, u32, f32)]) -> Self {
        let inside = |edge: &&(u32, u32, f32)| (edge.0.max(edge.1) as usize) < vertices;
        let mut offsets = vec![0_u64; vertices + 1];
        for (one, other, _) in edges.iter().filter(inside) {
            offsets[*one as usize + 1] += 1;
            if one != other {
                offsets[*other as usize + 1] += 1;
            }
        }
        for vertex in 0..vertices {
            offsets[vertex + 1] += offsets[vertex];
        }
        let ends = offsets[vertices] as usize;
        let (mut targets, mut weights) = (vec![0; ends], vec![0.0; ends]);
        let mut next = offsets.clone();
        let mut put = |at: u32, target: u32, weight: f32| {
            let place = next[at as usize] as usize;
            (targets[place], weights[place]) = (target, weight);
            next[at as usize] += 1;
        };
        for (one, other, weight) in edges.iter().filter(inside) {
            put(*one, *other, *weight);
            if one != other {
                put(*other, *one, *weight);
            }
        }
        let mut graph = Self { offsets, targets, weights };
        graph.merge_parallel();
        graph
    }

    /// Sorts the neighbours of each vertex and sums what is parallel, in place.
    fn merge_parallel(&mut self) {
        let mut written = 0;
        let mut start = 0;
        let mut row: Vec<(u32, f32)> = Vec::new();
        for vertex in 0..self.vertices() {
            let end = self.offsets[vertex + 1] as usize;
            row.clear();
            row.extend(
                self.targets[start..end].iter().copied().zip(self.weights[start..end].iter().copied()),
            );
            row.sort_by_key(|(target, _)| *target);
            for parallel in row.chunk_by(|a, b| a.0 == b.0) {
                self.targets[written] = parallel[0].0;
                self.weights[written] = parallel.iter().map(|(_, weight)| weight).sum();
                written += 1;
            }
            start = end;
            self.offsets[vertex + 1] = written as u64;
        }
        self.targets.truncate(written);
        self.weights.truncate(written);
        self.targets.shrink_to_fit();
        self.weights.shrink_to_fit();
    }

    /// How many vertices it has.
    #[must_use]
    pub fn vertices(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The neighbours of a vertex in their order, each with the weight of its edge.
    pub fn neighbours(&self, vertex: u32) -> impl ExactSizeIterator<Item = (u32, f32)> + '_ {
        let (start, end) =
            (self.offsets[vertex as usize] as usize, self.offsets[vertex as usize + 1] as usize);
        self.targets[start..end].iter().copied().zip(self.weights[start..end].iter().copied())
    }

    /// The weight of a vertex's edges, a loop counted twice.
    #[must_use]
    pub fn strength(&self, vertex: u32) -> f64 {
        let of = |(target, weight): (u32, f32)| f64::from(weight) * if target == vertex { 2.0 } else { 1.0 };
        self.neighbours(vertex).map(of).sum()
    }

    /// Twice the weight of all edges.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.all().map(|vertex| self.strength(vertex)).sum()
    }

    /// The numbers of its vertices.
    pub fn all(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.vertices()).unwrap_or(u32::MAX)
    }
}
