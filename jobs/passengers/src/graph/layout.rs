//! Where the vertices of a picture stand: a force-directed layout.
//!
//! T. M. J. Fruchterman, E. M. Reingold, "Graph Drawing by Force-directed Placement", Software: Practice and Experience
//! 1991: vertices repel each other, edges pull, and steps become smaller. The repulsion of far vertices is that of their
//! common centre (J. Barnes, P. Hut, "A hierarchical O(N log N) force-calculation algorithm", Nature 1986), so that
//! thousands of vertices take a second. Components are placed one by one and packed in rows, the largest first. The
//! same graph gives the same picture. Start at [`layout`].

use super::{Graph, components::components};

/// The side of a cell over its distance below which the cell counts as one point.
const OPENING: f32 = 0.9;

/// Depth of the tree of cells at most: points that are nearer to each other stay in one cell.
const DEEPEST: usize = 24;

/// Space between components, in lengths of an edge.
const MARGIN: f32 = 1.5;

/// The angle by which the first places of vertices follow each other: a spiral without gaps.
const GOLDEN_ANGLE: f32 = 2.399_963_2;

/// The places of all vertices. An edge is about 1 long; the picture begins at (0, 0).
#[must_use]
pub fn layout(graph: &Graph, steps: usize) -> Vec<[f32; 2]> {
    let labels = components(graph);
    let mut members: std::collections::BTreeMap<u32, Vec<u32>> = std::collections::BTreeMap::new();
    for (vertex, label) in (0..).zip(&labels) {
        members.entry(*label).or_default().push(vertex);
    }
    let mut parts: Vec<Vec<u32>> = members.into_values().collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let placed: Vec<Vec<[f32; 2]>> = parts.iter().map(|part| component(graph, part, steps)).collect();
    let corners = pack(&placed.iter().map(|places| extent(places)).collect::<Vec<_>>());
    let mut all = vec![[0.0; 2]; graph.vertices()];
    for ((part, places), [left, top]) in parts.iter().zip(&placed).zip(corners) {
        for (vertex, [x, y]) in part.iter().zip(places) {
            all[*vertex as usize] = [left + x, top + y];
        }
    }
    all
}

/// Width and height of places that begin at (0, 0).
fn extent(places: &[[f32; 2]]) -> [f32; 2] {
    places.iter().fold([0.0_f32; 2], |most, place| [most[0].max(place[0]), most[1].max(place[1])])
}

/// The upper left corners of boxes in rows.
fn pack(boxes: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let area: f32 = boxes.iter().map(|[width, height]| (width + MARGIN) * (height + MARGIN)).sum();
    let widest = boxes.iter().map(|[width, _]| width + MARGIN).fold(0.0_f32, f32::max);
    let row_width = (1.3 * area.sqrt()).max(widest);
    let (mut left, mut top, mut row_height) = (0.0_f32, 0.0_f32, 0.0_f32);
    let mut corners = Vec::with_capacity(boxes.len());
    for [width, height] in boxes {
        if left > 0.0 && left + width > row_width {
            (left, top, row_height) = (0.0, top + row_height + MARGIN, 0.0);
        }
        corners.push([left, top]);
        left += width + MARGIN;
        row_height = row_height.max(*height);
    }
    corners
}

/// The places of one component, from (0, 0) on.
fn component(graph: &Graph, part: &[u32], steps: usize) -> Vec<[f32; 2]> {
    let count = part.len();
    if count == 1 {
        return vec![[0.0; 2]];
    }
    let index: std::collections::HashMap<u32, u32> = part.iter().copied().zip(0..).collect();
    let mut edges: Vec<(u32, u32, f32)> = Vec::new();
    for (own, vertex) in (0..).zip(part) {
        for (next, weight) in graph.neighbours(*vertex) {
            let next = index.get(&next).copied().unwrap_or(own);
            if own < next {
                edges.push((own, next, pull(weight)));
            }
        }
    }
    let mut places = spiral(&order(count, &edges));
    let hottest = 0.4 * (count as f32).sqrt();
    let mut moves = vec![[0.0_f32; 2]; count];
    for step in 0..steps {
        let heat = hottest * (1.0 - step as f32 / steps as f32) + 0.01;
        let tree = Tree::new(&places);
        for (place, moved) in places.iter().zip(&mut moves) {
            *moved = tree.push(*place);
        }
        for (one, other, pull) in &edges {
            let (one, other) = (*one as usize, *other as usize);
            let (x, y) = (places[other][0] - places[one][0], places[other][1] - places[one][1]);
            let force = (x * x + y * y).sqrt() * pull;
            moves[one] = [moves[one][0] + x * force, moves[one][1] + y * force];
            moves[other] = [moves[other][0] - x * force, moves[other][1] - y * force];
        }
        for (place, [x, y]) in places.iter_mut().zip(&moves) {
            let length = (x * x + y * y).sqrt().max(1e-6);
            let share = length.min(heat) / length;
            *place = [place[0] + x * share, place[1] + y * share];
        }
    }
    let least = places
        .iter()
        .fold([f32::INFINITY; 2], |least, place| [least[0].min(place[0]), least[1].min(place[1])]);
    places.iter().map(|place| [place[0] - least[0], place[1] - least[1]]).collect()
}

/// How strongly an edge of a weight pulls: heavier edges more, within bounds.
fn pull(weight: f32) -> f32 {
    (0.8 + 0.2 * weight.max(0.0).ln_1p()).min(2.0)
}

/// Vertices in the order of a search in breadth, so that neighbours begin near each other.
fn order(count: usize, edges: &[(u32, u32, f32)]) -> Vec<u32> {
    let graph = Graph::new(count, edges);
    let mut seen = vec![false; count];
    let mut order: Vec<u32> = Vec::with_capacity(count);
    let first =
        graph.all().max_by_key(|vertex| (graph.neighbours(*vertex).len(), std::cmp::Reverse(*vertex)));
    for start in first.into_iter().chain(graph.all()) {
        if std::mem::replace(&mut seen[start as usize], true) {
            continue;
        }
        let mut read = order.len();
        order.push(start);
        while let Some(vertex) = order.get(read).copied() {
            read += 1;
            for (next, _) in graph.neighbours(vertex) {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    order.push(next);
                }
            }
        }
    }
    order
}

/// First places: the vertices in an order on a spiral.
fn spiral(order: &[u32]) -> Vec<[f32; 2]> {
    let mut places = vec![[0.0; 2]; order.len()];
    for (number, vertex) in order.iter().enumerate() {
        let (angle, radius) = (number as f32 * GOLDEN_ANGLE, (number as f32 + 0.5).sqrt() * 0.7);
        places[*vertex as usize] = [radius * angle.cos(), radius * angle.sin()];
    }
    places
}

/// Cells of a plane, each divided into four.
struct Tree {
    cells: Vec<Cell>,
}

#[derive(Clone, Copy)]
struct Cell {
    /// The centre of its points.
    centre: [f32; 2],
    points: f32,
    side: f32,
    /// The numbers of its parts; 0 is none.
    parts: [u32; 4],
}

impl Tree {
    fn new(places: &[[f32; 2]]) -> Self {
        let bound = |pick: fn(f32, f32) -> f32, from: f32| {
            places.iter().fold([from; 2], |found, place| [pick(found[0], place[0]), pick(found[1], place[1])])
        };
        let (least, most) = (bound(f32::min, f32::INFINITY), bound(f32::max, f32::NEG_INFINITY));
        let side = (most[0] - least[0]).max(most[1] - least[1]).max(1e-3);
        let mut tree = Self { cells: Vec::with_capacity(2 * places.len()) };
        let mut points: Vec<[f32; 2]> = places.to_vec();
        tree.divide(&mut points, least, side, 0);
        tree
    }

    /// Adds the cell of some points, from its upper left corner on, and gives its number.
    fn divide(&mut self, points: &mut [[f32; 2]], corner: [f32; 2], side: f32, depth: usize) -> u32 {
        let number = self.cells.len();
        let count = points.len() as f32;
        let sum = points.iter().fold([0.0_f32; 2], |sum, point| [sum[0] + point[0], sum[1] + point[1]]);
        let centre = [sum[0] / count, sum[1] / count];
        self.cells.push(Cell { centre, points: count, side, parts: [0; 4] });
        if points.len() > 1 && depth < DEEPEST {
            let half = side / 2.0;
            let middle = [corner[0] + half, corner[1] + half];
            let (upper, lower) = halves(points, |point| point[1] < middle[1]);
            let (first, second) = halves(upper, |point| point[0] < middle[0]);
            let (third, fourth) = halves(lower, |point| point[0] < middle[0]);
            for (place, part) in [first, second, third, fourth].into_iter().enumerate() {
                if !part.is_empty() {
                    let right = if place % 2 == 1 { half } else { 0.0 };
                    let down = if place > 1 { half } else { 0.0 };
                    let own = self.divide(part, [corner[0] + right, corner[1] + down], half, depth + 1);
                    self.cells[number].parts[place] = own;
                }
            }
        }
        u32::try_from(number).unwrap_or(0)
    }

    /// How all points together push a place away.
    fn push(&self, place: [f32; 2]) -> [f32; 2] {
        let mut push = [0.0_f32; 2];
        let mut open = vec![0_u32];
        while let Some(number) = open.pop() {
            let Some(cell) = self.cells.get(number as usize) else { continue };
            let (x, y) = (place[0] - cell.centre[0], place[1] - cell.centre[1]);
            let square = x * x + y * y;
            let is_far = cell.side * cell.side < OPENING * OPENING * square;
            if is_far || cell.parts == [0; 4] {
                // Its own cell is at no distance.
                if square > 1e-12 {
                    let force = cell.points / square;
                    push = [push[0] + x * force, push[1] + y * force];
                }
                continue;
            }
            open.extend(cell.parts.iter().filter(|part| **part > 0));
        }
        push
    }
}

/// Divides points into those for which something holds and the others.
fn halves(points: &mut [[f32; 2]], holds: impl Fn(&[f32; 2]) -> bool) -> (&mut [[f32; 2]], &mut [[f32; 2]]) {
    let mut count = 0;
    for at in 0..points.len() {
        if holds(&points[at]) {
            points.swap(at, count);
            count += 1;
        }
    }
    points.split_at_mut(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(places: &[[f32; 2]], one: usize, other: usize) -> f32 {
        let [x, y] = [0, 1].map(|axis| places[one][axis] - places[other][axis]);
        (x * x + y * y).sqrt()
    }

    #[test]
    fn neighbours_stand_near_each_other_and_components_apart() {
        // Two cliques of six joined by one edge, and a pair.
        let clique =
            |from: u32| (from..from + 6).flat_map(move |a| (a + 1..from + 6).map(move |b| (a, b, 1.0)));
        let edges: Vec<_> = clique(0).chain(clique(6)).chain([(0, 6, 1.0), (12, 13, 1.0)]).collect();
        let graph = Graph::new(14, &edges);
        let places = layout(&graph, 150);
        assert_eq!(places, layout(&graph, 150));
        assert!(places.iter().flatten().all(|value| value.is_finite() && *value >= -1e-3), "{places:?}");
        let mean = |pairs: &[(usize, usize)]| {
            pairs.iter().map(|(a, b)| distance(&places, *a, *b)).sum::<f32>() / pairs.len() as f32
        };
        let inside = mean(&[(1, 2), (2, 3), (4, 5), (7, 8), (9, 10), (10, 11)]);
        let across = mean(&[(1, 7), (2, 8), (3, 9), (4, 10), (5, 11)]);
        assert!(across > 1.3 * inside, "{inside} inside, {across} across");
        let nearest = (0..12).map(|vertex| distance(&places, vertex, 12)).fold(f32::INFINITY, f32::min);
        assert!(nearest > 0.5, "{nearest}");
    }

    #[test]
    fn no_vertex_and_equal_places_are_no_trouble() {
        assert!(layout(&Graph::default(), 10).is_empty());
        let tree = Tree::new(&[[1.0, 1.0]; 5]);
        assert_eq!(tree.push([1.0, 1.0]), [0.0, 0.0]);
    }
}
