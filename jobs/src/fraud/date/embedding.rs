//! Vectors of importers and of HS codes: bounded tables with sparse updates.
//!
//! An identifier's hash chooses its row among a fixed number (Weinberger et al., "Feature Hashing for Large Scale
//! Multitask Learning", ICML 2009), so that a new identifier needs no vocabulary and a table never outgrows its
//! setting; identifiers that meet in a row share its vector. A row that no training row came to is *unseen*: its
//! vector is zero, as is that of row 0, which stands for "not given" and is never learned.
//!
//! Only rows that a batch touches are read, changed or sent. Their step is row-wise Adagrad (Duchi, Hazan and
//! Singer, JMLR 2011; one sum of squares for each row as in Mudigere et al., "Software-Hardware Co-design for Fast
//! and Scalable Training of Deep Learning Recommendation Models", ISCA 2022): 4 bytes of state for each row, where
//! Adam would need 128.
//!
//! Memory: a leader holds 72 bytes for each learned row (vector 64, sum of squares 4, name 4) and 4 for each row that
//! there may be; a shard holds 77 for each row that its own items touch. Five million importers meet in 2.9
//! million of 2^22 rows: 210 + 17 MB at the leader, as much again for the best epoch and while a checkpoint is
//! written, and 225 MB for a shard that sees them all. A table that is full to the last row takes 323 MB of each
//! such shard: eight of them on one executor, with the message that brings them up to date and its decoded form,
//! stay below 3.3 GB.

use crate::learning::mix;

/// Numbers of a vector.
pub(super) const WIDTH: usize = 16;

/// A row of a table.
pub(super) type Vector = [f32; WIDTH];

/// Added to the root of a row's sum of squares.
const LEAST_ROOT: f32 = 1e-8;

/// Adagrad's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Adagrad {
    pub(super) learning_rate: f32,
    /// Share of a vector that a step at rate 1 takes away.
    pub(super) decay: f32,
    /// By what gradients are multiplied: the items of a batch, where they are those of the batch's mean, so that a
    /// row's step does not depend on how many items there are beside its own.
    pub(super) scale: f32,
}

/// How a table begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Start {
    /// Rows, row 0 included.
    pub(super) rows: u32,
    /// Tells tables and fits apart.
    pub(super) salt: u64,
    /// A row that is learned begins uniform from minus this to this.
    pub(super) bound: f32,
    /// The sum of squares of a row before its first gradient.
    pub(super) first_square: f32,
}

impl Start {
    /// As [`row_of`].
    pub(super) fn row_of(self, key: u64) -> u32 {
        row_of(key, self.rows)
    }

    /// The vector of a row before its first step.
    pub(super) fn vector(self, row: u32) -> Vector {
        let salt = mix(self.salt ^ mix(u64::from(row)));
        std::array::from_fn(|at| {
            (super::weights::centred(mix(salt ^ at as u64)) * f64::from(self.bound)) as f32
        })
    }
}

/// The row of an identifier's key in a table of so many rows; 0 for the key 0, which stands for "not given".
pub(super) fn row_of(key: u64, rows: u32) -> u32 {
    if key == 0 {
        return 0;
    }
    1 + ((u128::from(mix(key)) * u128::from(rows - 1)) >> 64) as u32
}

/// Rows of a table as they travel: whole states from the leader, changes from a shard.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Rows {
    /// Their numbers, rising.
    #[prost(fixed32, repeated, tag = "1")]
    pub(super) rows: Vec<u32>,
    /// Vectors, or what was added to them, one after the other.
    #[prost(float, repeated, tag = "2")]
    pub(super) vectors: Vec<f32>,
    /// Sums of squares, or what was added to them.
    #[prost(float, repeated, tag = "3")]
    pub(super) squares: Vec<f32>,
    /// In changes: the steps of each row.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) steps: Vec<u32>,
}

impl Rows {
    /// Whether the arrays fit each other and the table.
    pub(super) fn fits(&self, rows: u32) -> bool {
        let count = self.rows.len();
        self.vectors.len() == count * WIDTH
            && (self.squares.len() == count || self.squares.is_empty())
            && self.rows.is_sorted_by(|a, b| a < b)
            && self.rows.first().is_none_or(|row| *row > 0)
            && self.rows.last().is_none_or(|row| *row < rows)
    }

    fn push(&mut self, row: u32, vector: &Vector, square: f32) {
        self.rows.push(row);
        self.vectors.extend_from_slice(vector);
        self.squares.push(square);
    }
}

/// A whole table, as the leader keeps it: the rows that were learned.
#[derive(Debug, Clone)]
pub(super) struct Table {
    start: Start,
    /// By row: its place; 0 for one that was never learned.
    places: Vec<u32>,
    rows: Vec<u32>,
    vectors: Vec<Vector>,
    squares: Vec<f32>,
}

impl Table {
    pub(super) fn new(start: Start) -> Self {
        Self {
            start,
            places: vec![0; start.rows as usize],
            rows: vec![0],
            vectors: vec![[0.0; WIDTH]],
            squares: vec![0.0],
        }
    }

    /// Takes in what shards changed in one round, in the order of the shards: a row moves by the mean of its
    /// changes, weighted by their steps; sums of squares add up. Returns the rows' new states.
    pub(super) fn merge(&mut self, changes: &[&Rows]) -> Rows {
        let mut all: Vec<(u32, u32, u32)> = Vec::new();
        for (shard, changes) in changes.iter().enumerate() {
            all.extend(changes.rows.iter().enumerate().map(|(at, row)| (*row, shard as u32, at as u32)));
        }
        all.sort_unstable();
        let mut merged = Rows::default();
        for same in all.chunk_by(|a, b| a.0 == b.0) {
            let row = same[0].0;
            let place = self.place(row);
            let (mut sums, mut square, mut steps) = ([0.0_f64; WIDTH], 0.0_f64, 0.0_f64);
            for (_, shard, at) in same {
                let (changes, at) = (changes[*shard as usize], *at as usize);
                let weight = f64::from(changes.steps.get(at).copied().unwrap_or(1));
                for (sum, change) in sums.iter_mut().zip(&changes.vectors[at * WIDTH..]) {
                    *sum += weight * f64::from(*change);
                }
                square += f64::from(changes.squares[at]);
                steps += weight;
            }
            for (number, sum) in self.vectors[place].iter_mut().zip(sums) {
                *number = (f64::from(*number) + sum / steps.max(1.0)) as f32;
            }
            self.squares[place] = (f64::from(self.squares[place]) + square) as f32;
            merged.push(row, &self.vectors[place], self.squares[place]);
        }
        merged
    }

    fn place(&mut self, row: u32) -> usize {
        let place = &mut self.places[row as usize];
        if *place == 0 {
            *place = self.rows.len() as u32;
            self.rows.push(row);
            self.vectors.push(self.start.vector(row));
            self.squares.push(self.start.first_square);
        }
        *place as usize
    }

    /// All learned rows, with their sums of squares when a fit is to go on with them.
    pub(super) fn to_rows(&self, squares: bool) -> Rows {
        let mut order: Vec<u32> = (1..self.rows.len() as u32).collect();
        order.sort_unstable_by_key(|place| self.rows[*place as usize]);
        let mut rows = Rows::default();
        rows.rows = order.iter().map(|place| self.rows[*place as usize]).collect();
        rows.vectors.reserve_exact(order.len() * WIDTH);
        for place in &order {
            rows.vectors.extend_from_slice(&self.vectors[*place as usize]);
        }
        if squares {
            rows.squares = order.iter().map(|place| self.squares[*place as usize]).collect();
        }
        rows
    }

    /// A table of such rows, which must fit it.
    pub(super) fn from_rows(start: Start, rows: &Rows) -> Self {
        let mut table = Self::new(start);
        let vectors = rows.vectors.as_chunks::<WIDTH>().0;
        for (at, (row, vector)) in rows.rows.iter().zip(vectors).enumerate() {
            let place = table.place(*row);
            table.vectors[place] = *vector;
            table.squares[place] = rows.squares.get(at).copied().unwrap_or(start.first_square);
        }
        table
    }
}

/// The part of a table that one shard's items touch.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    /// The rows, rising; the first is row 0.
    rows: Vec<u32>,
    /// Their vectors, by place.
    pub(super) vectors: Vec<Vector>,
    squares: Vec<f32>,
    /// Whether any shard has learned the row.
    learned: Vec<bool>,
    /// Places touched in this round, their states before it, and the steps since.
    touched: Vec<u32>,
    before: Vec<(Vector, f32, u32)>,
    /// By place: where it stands in `touched`, counted from 1; 0 when it does not.
    at: Vec<u32>,
}

impl Slice {
    /// The slice for rows in any order, and the place of each of them.
    pub(super) fn new(start: Start, rows: &[u32]) -> (Self, Vec<u32>) {
        let mut distinct = vec![0];
        distinct.extend_from_slice(rows);
        distinct.sort_unstable();
        distinct.dedup();
        distinct.shrink_to_fit();
        let places = rows.iter().map(|row| distinct.partition_point(|other| other < row) as u32).collect();
        let mut vectors: Vec<Vector> = distinct.iter().map(|row| start.vector(*row)).collect();
        vectors[0] = [0.0; WIDTH];
        let count = distinct.len();
        let slice = Self {
            rows: distinct,
            vectors,
            squares: vec![start.first_square; count],
            learned: vec![false; count],
            touched: Vec::new(),
            before: Vec::new(),
            at: vec![0; count],
        };
        (slice, places)
    }

    /// Puts rows at states that the leader sent; those of other shards' items are passed over.
    pub(super) fn set(&mut self, rows: &Rows) {
        let vectors = rows.vectors.as_chunks::<WIDTH>().0;
        for ((row, vector), square) in rows.rows.iter().zip(vectors).zip(&rows.squares) {
            if let Ok(place) = self.rows.binary_search(row) {
                self.vectors[place] = *vector;
                self.squares[place] = *square;
                self.learned[place] = true;
            }
        }
    }

    /// The place of the vector that stands for a place in use: that of zeros where nothing was learned.
    pub(super) fn in_use(&self, place: u32) -> u32 {
        if self.learned[place as usize] { place } else { 0 }
    }

    /// One step of the rows at `places`, each with its gradient; those of one place are summed first.
    pub(super) fn step(
        &mut self,
        settings: Adagrad,
        places: &[u32],
        gradients: &[Vector],
        order: &mut Vec<u32>,
    ) {
        order.clear();
        order.extend(0..places.len() as u32);
        order.sort_unstable_by_key(|at| (places[*at as usize], *at));
        for same in order.chunk_by(|a, b| places[*a as usize] == places[*b as usize]) {
            let place = places[same[0] as usize] as usize;
            if place == 0 {
                continue;
            }
            let mut gradient = [0.0_f32; WIDTH];
            for at in same {
                for (sum, number) in gradient.iter_mut().zip(&gradients[*at as usize]) {
                    *sum += settings.scale * number;
                }
            }
            self.touch(place);
            let mean_square = gradient.iter().map(|number| number * number).sum::<f32>() / WIDTH as f32;
            self.squares[place] += mean_square;
            let rate = settings.learning_rate / (self.squares[place].sqrt() + LEAST_ROOT);
            let kept = 1.0 - settings.learning_rate * settings.decay;
            for (number, gradient) in self.vectors[place].iter_mut().zip(&gradient) {
                *number = *number * kept - rate * gradient;
            }
        }
    }

    fn touch(&mut self, place: usize) {
        if self.at[place] == 0 {
            self.touched.push(place as u32);
            self.before.push((self.vectors[place], self.squares[place], 0));
            self.at[place] = self.touched.len() as u32;
        }
        self.before[self.at[place] as usize - 1].2 += 1;
    }

    /// What the steps since the last call changed; the rows go back to where they were.
    pub(super) fn take_changes(&mut self) -> Rows {
        let mut changes = Rows::default();
        let mut order: Vec<u32> = (0..self.touched.len() as u32).collect();
        order.sort_unstable_by_key(|at| self.touched[*at as usize]);
        for at in order {
            let place = self.touched[at as usize] as usize;
            let (vector, square, steps) = self.before[at as usize];
            let now = &self.vectors[place];
            let change: Vector = std::array::from_fn(|number| now[number] - vector[number]);
            changes.push(self.rows[place], &change, self.squares[place] - square);
            changes.steps.push(steps);
            (self.vectors[place], self.squares[place], self.at[place]) = (vector, square, 0);
        }
        self.touched.clear();
        self.before.clear();
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start = Start { rows: 1 << 22, salt: 7, bound: 0.05, first_square: 0.1 };
    const STEP: Adagrad = Adagrad { learning_rate: 0.1, decay: 0.0, scale: 1.0 };

    #[test]
    fn what_is_not_given_is_row_zero_and_nothing_else_is() {
        assert_eq!(START.row_of(0), 0);
        let small = Start { rows: 2, ..START };
        assert!((1..999).all(|key| small.row_of(key) == 1 && (1..START.rows).contains(&START.row_of(key))));
    }

    #[test]
    fn a_step_is_that_of_the_formula_and_row_zero_never_moves() {
        let (mut slice, places) = Slice::new(START, &[9, 0, 9, 4]);
        assert_eq!((places, slice.rows.clone()), (vec![2, 0, 2, 1], vec![0, 4, 9]));
        let before = slice.vectors.clone();
        assert_eq!(before[0], [0.0; WIDTH]);
        let mut gradient = [0.0; WIDTH];
        gradient[3] = 2.0;
        slice.step(STEP, &[2, 0, 2], &[gradient; 3], &mut Vec::new());
        // Both gradients of row 9 add up to 4; the mean square over 16 numbers is 1.
        let wanted = before[2][3] - 0.1 * 4.0 / 1.1_f32.sqrt();
        assert!((slice.vectors[2][3] - wanted).abs() < 1e-6);
        assert_eq!((slice.vectors[0], slice.vectors[1]), (before[0], before[1]));
        let changes = slice.take_changes();
        assert_eq!((changes.rows.as_slice(), changes.steps.as_slice()), (&[9][..], &[1][..]));
        assert!((changes.squares[0] - 1.0).abs() < 1e-6);
        assert_eq!(slice.vectors, before, "a shard leaves no trace of its own steps");
    }

    #[test]
    fn rows_move_by_the_mean_of_the_changes_of_those_who_touched_them() {
        let change = |rows: &[u32], by: f32, steps: u32| Rows {
            rows: rows.to_vec(),
            vectors: vec![by; rows.len() * WIDTH],
            squares: vec![1.0; rows.len()],
            steps: vec![steps; rows.len()],
        };
        let mut table = Table::new(START);
        let merged = table.merge(&[&change(&[3, 8], 1.0, 3), &change(&[8], 5.0, 1)]);
        assert_eq!(merged.rows, [3, 8]);
        assert!((merged.vectors[0] - (START.vector(3)[0] + 1.0)).abs() < 1e-6);
        assert!((merged.vectors[WIDTH] - (START.vector(8)[0] + 2.0)).abs() < 1e-6);
        assert_eq!(merged.squares, [1.1, 2.1]);
        let rows = table.to_rows(true);
        assert!(rows.fits(START.rows) && !rows.fits(8));
        assert_eq!(Table::from_rows(START, &rows).to_rows(true), rows);
        let (mut slice, places) = Slice::new(START, &[8, 5]);
        slice.set(&rows);
        assert_eq!(slice.vectors[places[0] as usize][0], merged.vectors[WIDTH]);
        assert_eq!(slice.vectors[places[1] as usize], START.vector(5));
        assert_eq!((slice.in_use(places[0]), slice.in_use(places[1])), (places[0], 0));
    }

    /// Five million importers (a tenth of them, and of the rows, without optimisation): what the module's
    /// arithmetic says is what is held.
    #[test]
    fn five_million_importers_fit_their_setting() {
        let part = if cfg!(debug_assertions) { 10 } else { 1 };
        let (importers, table_rows) = (5_000_000 / u64::from(part), START.rows / part);
        let start = Start { rows: table_rows, ..START };
        let rows: Vec<u32> = (1..=importers).map(|importer| start.row_of(mix(importer))).collect();
        let (mut slice, places) = Slice::new(start, &rows);
        // Throwing n balls into r boxes leaves r exp(-n / r) empty.
        let boxes = f64::from(table_rows);
        let expected = boxes * (1.0 - (-(importers as f64) / boxes).exp());
        let learned = slice.rows.len() - 1;
        assert!((learned as f64 / expected - 1.0).abs() < 0.005, "{learned} {expected}");
        // Every importer once, in batches of 4096.
        let gradients = vec![[0.01; WIDTH]; 4096];
        let mut order = Vec::new();
        for batch in places.chunks(4096) {
            slice.step(STEP, batch, &gradients[..batch.len()], &mut order);
        }
        let mut table = Table::new(start);
        table.merge(&[&slice.take_changes()]);
        assert_eq!(table.rows.len() - 1, learned);
        let held = |rows: usize| rows * (size_of::<Vector>() + 4 + 4);
        // A list that grows may have room for twice what it holds.
        assert!(held(table.rows.capacity()) + 4 * table.places.len() <= 2 * held(table_rows as usize));
        assert!(held(slice.rows.len()) <= held(table_rows as usize) && held(1) == 72);
    }
}
