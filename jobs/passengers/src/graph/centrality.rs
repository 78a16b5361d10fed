//! How central vertices are: degree, PageRank and betweenness.
//!
//! PageRank: S. Brin, L. Page, "The Anatomy of a Large-Scale Hypertextual Web Search Engine", 1998, here on weighted
//! undirected edges, by power iteration. Betweenness: U. Brandes, "A Faster Algorithm for Betweenness Centrality",
//! Journal of Mathematical Sociology 2001, from a sample of sources (Brandes and Pich, 2007) where all are too many.

use super::{Graph, random::Random};

/// How many neighbours each vertex has, itself left out.
#[must_use]
pub fn degrees(graph: &Graph) -> Vec<u32> {
    let of = |vertex: u32| graph.neighbours(vertex).filter(|(next, _)| *next != vertex).count();
    graph.all().map(|vertex| u32::try_from(of(vertex)).unwrap_or(u32::MAX)).collect()
}

/// Largest sum of changes at which PageRank has settled.
const SETTLED: f64 = 1e-10;

/// Steps of PageRank at most.
const MOST_STEPS: usize = 200;

/// The share of time that a walk spends at each vertex which follows edges by their weights and, with probability
/// `1 - damping` and where there is none, goes to any vertex. Shares sum to 1.
#[must_use]
pub fn page_rank(graph: &Graph, damping: f64) -> Vec<f64> {
    let count = graph.vertices() as f64;
    let out = |vertex: u32| graph.neighbours(vertex).map(|(_, weight)| f64::from(weight)).sum::<f64>();
    let strengths: Vec<f64> = graph.all().map(out).collect();
    let mut ranks = vec![1.0 / count; graph.vertices()];
    for _ in 0..MOST_STEPS {
        let lost: f64 =
            ranks.iter().zip(&strengths).filter(|(_, out)| **out <= 0.0).map(|(rank, _)| rank).sum();
        let jump = (1.0 - damping + damping * lost) / count;
        // Edges have two directions, so that what comes in is read at the vertex itself.
        let next: Vec<f64> = graph
            .all()
            .map(|vertex| {
                let comes = |(from, weight): (u32, f32)| {
                    f64::from(weight) * ranks[from as usize] / strengths[from as usize]
                };
                jump + damping * graph.neighbours(vertex).map(comes).sum::<f64>()
            })
            .collect();
        let change: f64 = ranks.iter().zip(&next).map(|(a, b)| (a - b).abs()).sum();
        ranks = next;
        if change < SETTLED {
            break;
        }
    }
    ranks
}

/// The number of pairs of other vertices between which each vertex stands on the shortest paths, by edges and not by
/// weights; where paths are several, its share of them. From `sources` vertices of a seed, scaled to all.
#[must_use]
pub fn betweenness(graph: &Graph, sources: usize, seed: u64) -> Vec<f64> {
    let vertices = graph.vertices();
    let mut chosen: Vec<u32> = graph.all().collect();
    if sources < vertices {
        Random::new(seed).shuffle(&mut chosen);
        chosen.truncate(sources);
    }
    let mut sums = vec![0.0; vertices];
    let mut search = Search::new(vertices);
    for source in &chosen {
        search.add(graph, *source, &mut sums);
    }
    // Each pair is seen from both of its ends.
    let scale = vertices as f64 / chosen.len().max(1) as f64 / 2.0;
    sums.iter().map(|sum| sum * scale).collect()
}

/// The shortest paths from a source.
struct Search {
    distances: Vec<u32>,
    paths: Vec<f64>,
    dependencies: Vec<f64>,
    order: Vec<u32>,
}

impl Search {
    fn new(vertices: usize) -> Self {
        Self {
            distances: vec![u32::MAX; vertices],
            paths: vec![0.0; vertices],
            dependencies: vec![0.0; vertices],
            order: Vec::new(),
        }
    }

    /// Adds the dependencies of all vertices on a source.
    fn add(&mut self, graph: &Graph, source: u32, sums: &mut [f64]) {
        self.order.clear();
        self.order.push(source);
        self.distances[source as usize] = 0;
        self.paths[source as usize] = 1.0;
        let mut read = 0;
        while let Some(vertex) = self.order.get(read).copied() {
            read += 1;
            let distance = self.distances[vertex as usize] + 1;
            for (next, _) in graph.neighbours(vertex) {
                if self.distances[next as usize] == u32::MAX {
                    self.distances[next as usize] = distance;
                    self.order.push(next);
                }
                if self.distances[next as usize] == distance {
                    self.paths[next as usize] += self.paths[vertex as usize];
                }
            }
        }
        for vertex in self.order.iter().rev() {
            let at = *vertex as usize;
            for (next, _) in graph.neighbours(*vertex) {
                let next = next as usize;
                if self.distances[next] == self.distances[at] + 1 {
                    let share = self.paths[at] / self.paths[next];
                    self.dependencies[at] += share * (1.0 + self.dependencies[next]);
                }
            }
            if *vertex != source {
                sums[at] += self.dependencies[at];
            }
        }
        for vertex in &self.order {
            let at = *vertex as usize;
            (self.distances[at], self.paths[at], self.dependencies[at]) = (u32::MAX, 0.0, 0.0);
        }
    }
}
