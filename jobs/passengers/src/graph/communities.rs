//! Communities by the Leiden algorithm: V. A. Traag, L. Waltman, N. J. van Eck, "From Louvain to Leiden: guaranteeing
//! well-connected communities", Scientific Reports 2019.
//!
//! Each round moves vertices to the community where modularity (M. E. J. Newman, M. Girvan, Physical Review E 2004)
//! gains most, splits each community into parts that hang together, and goes on with these parts as vertices. Rounds
//! are repeated from the result until one changes nothing. No community falls apart into unconnected parts.

use std::collections::VecDeque;

use super::{Graph, random::Random};

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leiden {
    /// How many communities: more above 1, fewer below. 1 is modularity.
    pub resolution: f64,
    /// Rounds at most.
    pub rounds: usize,
    /// Seed of the order in which vertices are visited.
    pub seed: u64,
}

impl Default for Leiden {
    fn default() -> Self {
        Self { resolution: 1.0, rounds: 20, seed: 1 }
    }
}

/// Randomness of the choice of a part, in the units of an edge's weight (the paper's θ).
const THETA: f64 = 0.01;

/// Least gain that counts, as a share of the weight of all edges.
const LEAST_GAIN: f64 = 1e-12;

/// For each vertex the number of its community; communities are numbered by their smallest vertices.
#[must_use]
pub fn leiden(graph: &Graph, settings: Leiden) -> Vec<u32> {
    let mut random = Random::new(settings.seed);
    let mut labels: Vec<u32> = graph.all().collect();
    if graph.total() <= 0.0 {
        return labels;
    }
    let mut best = modularity(graph, &labels, settings.resolution);
    for _ in 0..settings.rounds {
        let next = round(graph, labels.clone(), settings.resolution, &mut random);
        let quality = modularity(graph, &next, settings.resolution);
        if quality <= best + LEAST_GAIN {
            break;
        }
        (labels, best) = (next, quality);
    }
    numbered(&labels)
}

/// Share of the weight inside of communities, less what chance would put there.
#[must_use]
pub fn modularity(graph: &Graph, labels: &[u32], resolution: f64) -> f64 {
    let total = graph.total();
    if total <= 0.0 {
        return 0.0;
    }
    let communities = labels.iter().copied().max().map_or(0, |most| most as usize + 1);
    let (mut inside, mut strengths) = (vec![0.0; communities], vec![0.0; communities]);
    for vertex in graph.all() {
        let own = labels[vertex as usize];
        for (next, weight) in graph.neighbours(vertex) {
            let ends = if next == vertex { 2.0 } else { 1.0 };
            strengths[own as usize] += f64::from(weight) * ends;
            if labels[next as usize] == own {
                inside[own as usize] += f64::from(weight) * ends;
            }
        }
    }
    let of = |(inside, strength): (&f64, &f64)| inside / total - resolution * (strength / total).powi(2);
    inside.iter().zip(&strengths).map(of).sum()
}

/// Labels numbered from 0 in the order of their first vertices.
fn numbered(labels: &[u32]) -> Vec<u32> {
    let mut numbers = vec![u32::MAX; labels.iter().copied().max().map_or(0, |most| most as usize + 1)];
    let mut next = 0;
    labels
        .iter()
        .map(|label| {
            let number = &mut numbers[*label as usize];
            if *number == u32::MAX {
                *number = next;
                next += 1;
            }
            *number
        })
        .collect()
}

/// A graph whose vertices are parts of the graph that is clustered.
struct Level {
    graph: Graph,
    strengths: Vec<f64>,
    /// Resolution over the weight of all edges, twice.
    penalty: f64,
}

/// Weights from a vertex to communities.
struct Scratch {
    weights: Vec<f64>,
    touched: Vec<u32>,
}

impl Scratch {
    fn new(size: usize) -> Self {
        Self { weights: vec![0.0; size], touched: Vec::new() }
    }

    fn add(&mut self, community: u32, weight: f64) {
        if self.weights[community as usize] == 0.0 {
            self.touched.push(community);
        }
        self.weights[community as usize] += weight;
    }

    fn clear(&mut self) {
        for community in self.touched.drain(..) {
            self.weights[community as usize] = 0.0;
        }
    }
}

/// One round from a partition on.
fn round(graph: &Graph, labels: Vec<u32>, resolution: f64, random: &mut Random) -> Vec<u32> {
    let total = graph.total();
    let strengths = graph.all().map(|vertex| graph.strength(vertex)).collect();
    let mut level = Level { graph: graph.clone(), strengths, penalty: resolution / total };
    let mut partition = numbered(&labels);
    // For each vertex of the graph the vertex of the level that it is part of.
    let mut place: Vec<u32> = graph.all().collect();
    loop {
        move_vertices(&level, &mut partition, random);
        partition = numbered(&partition);
        let communities = partition.iter().copied().max().map_or(0, |most| most as usize + 1);
        let vertices = level.graph.vertices();
        if communities == vertices {
            break;
        }
        let mut refined = numbered(&refine(&level, &partition, random));
        let parts = refined.iter().copied().max().map_or(0, |most| most as usize + 1);
        if parts == vertices {
            // Nothing hangs together well enough to be joined for good: the communities themselves go on.
            refined.clone_from(&partition);
        }
        let mut above = vec![0; refined.iter().copied().max().map_or(0, |most| most as usize + 1)];
        for (part, community) in refined.iter().zip(&partition) {
            above[*part as usize] = *community;
        }
        level = aggregate(&level, &refined);
        for vertex in &mut place {
            *vertex = refined[*vertex as usize];
        }
        partition = above;
    }
    place.iter().map(|part| partition[*part as usize]).collect()
}

/// Moves vertices to the neighbouring community that gains most, until none is left to move; a vertex is visited again
/// when a neighbour has left its community.
fn move_vertices(level: &Level, partition: &mut [u32], random: &mut Random) {
    let vertices = partition.len();
    let mut order: Vec<u32> = level.graph.all().collect();
    random.shuffle(&mut order);
    let mut queue: VecDeque<u32> = order.into();
    let mut queued = vec![true; vertices];
    let (mut strengths, mut sizes) = (vec![0.0; vertices], vec![0_u32; vertices]);
    for (vertex, community) in partition.iter().enumerate() {
        strengths[*community as usize] += level.strengths[vertex];
        sizes[*community as usize] += 1;
    }
    let mut empty: Vec<u32> = (0..).zip(&sizes).filter(|(_, size)| **size == 0).map(|(at, _)| at).collect();
    let mut scratch = Scratch::new(vertices);
    while let Some(vertex) = queue.pop_front() {
        let at = vertex as usize;
        queued[at] = false;
        let own = partition[at];
        for (next, weight) in level.graph.neighbours(vertex) {
            if next != vertex {
                scratch.add(partition[next as usize], f64::from(weight));
            }
        }
        strengths[own as usize] -= level.strengths[at];
        sizes[own as usize] -= 1;
        let gain = |community: u32, weight: f64| {
            weight - level.penalty * level.strengths[at] * strengths[community as usize]
        };
        let mut best = (own, gain(own, scratch.weights[own as usize]));
        for community in &scratch.touched {
            let gains = gain(*community, scratch.weights[*community as usize]);
            if gains > best.1 + LEAST_GAIN {
                best = (*community, gains);
            }
        }
        if best.1 < -LEAST_GAIN
            && sizes[own as usize] > 0
            && let Some(alone) = empty.last()
        {
            best = (*alone, 0.0);
        }
        scratch.clear();
        let chosen = best.0;
        if sizes[chosen as usize] == 0 && chosen != own {
            empty.pop();
        }
        strengths[chosen as usize] += level.strengths[at];
        sizes[chosen as usize] += 1;
        if chosen == own {
            continue;
        }
        if sizes[own as usize] == 0 {
            empty.push(own);
        }
        partition[at] = chosen;
        for (next, _) in level.graph.neighbours(vertex) {
            if partition[next as usize] != chosen && !queued[next as usize] {
                queued[next as usize] = true;
                queue.push_back(next);
            }
        }
    }
}

/// Splits each community into parts that hang together: vertices that are alone join a part of their community, more
/// likely one that gains more.
fn refine(level: &Level, partition: &[u32], random: &mut Random) -> Vec<u32> {
    let vertices = partition.len();
    let mut parts: Vec<u32> = level.graph.all().collect();
    let mut part_strengths = level.strengths.clone();
    let mut sizes = vec![1_u32; vertices];
    let mut community_strengths = vec![0.0; vertices];
    // The weight from a part to the rest of its community.
    let mut outwards = vec![0.0; vertices];
    for vertex in level.graph.all() {
        let community = partition[vertex as usize];
        community_strengths[community as usize] += level.strengths[vertex as usize];
        let inside = level
            .graph
            .neighbours(vertex)
            .filter(|(next, _)| *next != vertex && partition[*next as usize] == community);
        outwards[vertex as usize] = inside.map(|(_, weight)| f64::from(weight)).sum();
    }
    let hangs_together = |strength: f64, outwards: f64, community: f64| {
        outwards >= level.penalty * strength * (community - strength)
    };
    let mut order: Vec<u32> = level.graph.all().collect();
    random.shuffle(&mut order);
    let mut scratch = Scratch::new(vertices);
    let mut choices: Vec<(u32, f64)> = Vec::new();
    for vertex in order {
        let at = vertex as usize;
        let (own, community) = (parts[at], partition[at]);
        let whole = community_strengths[community as usize];
        let is_alone = sizes[own as usize] == 1;
        if !is_alone || !hangs_together(level.strengths[at], outwards[own as usize], whole) {
            continue;
        }
        for (next, weight) in level.graph.neighbours(vertex) {
            if next != vertex && partition[next as usize] == community {
                scratch.add(parts[next as usize], f64::from(weight));
            }
        }
        choices.clear();
        for part in &scratch.touched {
            let strength = part_strengths[*part as usize];
            let gain = scratch.weights[*part as usize] - level.penalty * level.strengths[at] * strength;
            if *part != own && gain >= 0.0 && hangs_together(strength, outwards[*part as usize], whole) {
                choices.push((*part, gain));
            }
        }
        if let Some(chosen) = choose(&choices, random) {
            let joined = scratch.weights[chosen as usize];
            parts[at] = chosen;
            sizes[own as usize] = 0;
            sizes[chosen as usize] += 1;
            part_strengths[own as usize] = 0.0;
            part_strengths[chosen as usize] += level.strengths[at];
            outwards[chosen as usize] += outwards[own as usize] - 2.0 * joined;
            outwards[own as usize] = 0.0;
        }
        scratch.clear();
    }
    parts
}

/// One of the choices, or to stay (gain 0), with a probability that grows with the exponential of the gain.
fn choose(choices: &[(u32, f64)], random: &mut Random) -> Option<u32> {
    let most = choices.iter().map(|(_, gain)| *gain).fold(0.0, f64::max);
    let likelihood = |gain: f64| ((gain - most) / THETA).exp();
    let sum: f64 = likelihood(0.0) + choices.iter().map(|(_, gain)| likelihood(*gain)).sum::<f64>();
    let mut left = random.share() * sum;
    for (part, gain) in choices {
        left -= likelihood(*gain);
        if left < 0.0 {
            return Some(*part);
        }
    }
    None
}

/// The graph whose vertices are the parts. The weight inside of a part becomes its loop.
fn aggregate(level: &Level, parts: &[u32]) -> Level {
    let count = parts.iter().copied().max().map_or(0, |most| most as usize + 1);
    let mut strengths = vec![0.0; count];
    let mut edges = Vec::new();
    for vertex in level.graph.all() {
        let own = parts[vertex as usize];
        strengths[own as usize] += level.strengths[vertex as usize];
        for (next, weight) in level.graph.neighbours(vertex) {
            // Each edge stands at both ends and is taken at one.
            if next >= vertex {
                edges.push((own, parts[next as usize], weight));
            }
        }
    }
    Level { graph: Graph::new(count, &edges), strengths, penalty: level.penalty }
}
