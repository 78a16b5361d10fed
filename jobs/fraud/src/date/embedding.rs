//! The embedding tables of importers and of HS codes: bounded, with sparse updates.
//!
//! An identifier's hash determines its row among a fixed number (Weinberger et al., "Feature Hashing for Large Scale
//! Multitask Learning", ICML 2009), so that no vocabulary is needed and a table never exceeds its set size;
//! identifiers with the same row share its vector. A row that no training row has is *untrained*: in use its vector
//! is zero, as is that of row 0, which stands for a missing identifier and is never trained.
//!
//! Only rows that occur in a batch are read, changed or sent. Their optimiser is row-wise Adagrad (Duchi, Hazan and
//! Singer, JMLR 2011; one sum of squares for each row as in Mudigere et al., "Software-Hardware Co-design for Fast
//! and Scalable Training of Deep Learning Recommendation Models", ISCA 2022): 4 bytes of state for each row, where
//! Adam would need 128.
//!
//! Memory: a leader holds 72 bytes for each trained row (vector 64, sum of squares 4, row number 4) and 4 for each
//! row of the table's size; a shard holds 77 for each row of its own items. Five million importers have 2.9 million
//! of 2^22 rows: 210 + 17 MB at the leader, as much again for the best epoch and while a checkpoint is written, and
//! 225 MB for a shard that sees them all. A table all of whose rows are in use takes 323 MB of each such shard: eight
//! of them on one executor, with the message that brings them up to date and its decoded form, stay below 3.3 GB.

use tidewaiter_core::chance::mix;

use super::vector::{Vector, WIDTH, symmetric_uniform};

/// Added to the root of a row's sum of squares.
const LEAST_ROOT: f32 = 1e-8;

/// Adagrad's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Adagrad {
    pub(super) learning_rate: f32,
    /// Weight decay: a step at rate 1 takes this share of a vector away.
    pub(super) decay: f32,
    /// Factor of the gradients: the items of a batch where the loss is their mean, so that a row's step does not
    /// depend on how many other items the batch has.
    pub(super) scale: f32,
}

/// Size and initial values of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TableInit {
    /// Rows of the table, row 0 included.
    pub(super) rows: u32,
    /// Makes the initial values of tables and fits different.
    pub(super) salt: u64,
    /// Initial values of a row are uniform from minus this to this.
    pub(super) bound: f32,
    /// The sum of squares of a row before its first gradient.
    pub(super) first_square: f32,
}

impl TableInit {
    /// As [`row_of`].
    pub(super) fn row_of(self, key: u64) -> u32 {
        row_of(key, self.rows)
    }

    /// The initial vector of a row.
    pub(super) fn vector(self, row: u32) -> Vector {
        let salt = mix(self.salt ^ mix(u64::from(row)));
        std::array::from_fn(|at| (symmetric_uniform(mix(salt ^ at as u64)) * f64::from(self.bound)) as f32)
    }
}

/// The row of an identifier's key in a table of `rows` rows; 0 for the key 0, which stands for a missing identifier.
pub(super) fn row_of(key: u64, rows: u32) -> u32 {
    if key == 0 {
        return 0;
    }
    1 + ((u128::from(mix(key)) * u128::from(rows - 1)) >> 64) as u32
}

/// Rows of a table in a message: their states, from the leader; their changes, from a shard.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TableRows {
    /// Row numbers, in ascending order.
    #[prost(fixed32, repeated, tag = "1")]
    pub(super) rows: Vec<u32>,
    /// Vectors, or their changes, one after the other.
    #[prost(float, repeated, tag = "2")]
    pub(super) vectors: Vec<f32>,
    /// Sums of squared gradients, or their changes.
    #[prost(float, repeated, tag = "3")]
    pub(super) squares: Vec<f32>,
    /// Of changes: the number of steps of each row.
    #[prost(uint32, repeated, tag = "4")]
    pub(super) steps: Vec<u32>,
}

impl TableRows {
    /// Whether the arrays fit each other and a table of `rows` rows.
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

/// The whole table, as the leader keeps it: the trained rows.
#[derive(Debug, Clone)]
pub(super) struct LeaderTable {
    init: TableInit,
    /// By row: its index in the lists below; 0 for an untrained row.
    places: Vec<u32>,
    rows: Vec<u32>,
    vectors: Vec<Vector>,
    squares: Vec<f32>,
}

impl LeaderTable {
    pub(super) fn new(init: TableInit) -> Self {
        Self {
            init,
            places: vec![0; init.rows as usize],
            rows: vec![0],
            vectors: vec![[0.0; WIDTH]],
            squares: vec![0.0],
        }
    }

    /// Adds the changes of one round, given in the order of the shards: to a row's vector the mean of its changes,
    /// weighted by their steps; to its sum of squares their sum. Returns the rows' new states.
    pub(super) fn merge(&mut self, changes: &[&TableRows]) -> TableRows {
        let mut all: Vec<(u32, u32, u32)> = Vec::new();
        for (shard, changes) in changes.iter().enumerate() {
            all.extend(changes.rows.iter().enumerate().map(|(at, row)| (*row, shard as u32, at as u32)));
        }
        all.sort_unstable();
        let mut merged = TableRows::default();
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
            self.vectors.push(self.init.vector(row));
            self.squares.push(self.init.first_square);
        }
        *place as usize
    }

    /// All trained rows; with their sums of squares, which training needs, where `squares` is set.
    pub(super) fn to_rows(&self, squares: bool) -> TableRows {
        let mut order: Vec<u32> = (1..self.rows.len() as u32).collect();
        order.sort_unstable_by_key(|place| self.rows[*place as usize]);
        let mut rows = TableRows::default();
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

    /// A table of rows that fit it (see [`TableRows::fits`]).
    pub(super) fn from_rows(init: TableInit, rows: &TableRows) -> Self {
        let mut table = Self::new(init);
        let vectors = rows.vectors.as_chunks::<WIDTH>().0;
        for (at, (row, vector)) in rows.rows.iter().zip(vectors).enumerate() {
            let place = table.place(*row);
            table.vectors[place] = *vector;
            table.squares[place] = rows.squares.get(at).copied().unwrap_or(init.first_square);
        }
        table
    }
}

/// The part of a table that a shard needs: the rows of its own items.
#[derive(Debug, Clone)]
pub(super) struct ShardTable {
    /// The rows, in ascending order; the first is row 0.
    rows: Vec<u32>,
    /// Their vectors.
    pub(super) vectors: Vec<Vector>,
    squares: Vec<f32>,
    /// Whether any shard has trained the row.
    trained: Vec<bool>,
    /// Indices of the rows changed in this round; their vectors and sums of squares before it, and their steps since.
    touched: Vec<u32>,
    before: Vec<(Vector, f32, u32)>,
    /// By index: its position in `touched`, counted from 1; 0 for an unchanged row.
    position: Vec<u32>,
}

impl ShardTable {
    /// The part of a table for some rows, in any order, and the index of each of them.
    pub(super) fn new(init: TableInit, rows: &[u32]) -> (Self, Vec<u32>) {
        let mut distinct = vec![0];
        distinct.extend_from_slice(rows);
        distinct.sort_unstable();
        distinct.dedup();
        distinct.shrink_to_fit();
        let places = rows.iter().map(|row| distinct.partition_point(|other| other < row) as u32).collect();
        let mut vectors: Vec<Vector> = distinct.iter().map(|row| init.vector(*row)).collect();
        vectors[0] = [0.0; WIDTH];
        let count = distinct.len();
        let shard_table = Self {
            rows: distinct,
            vectors,
            squares: vec![init.first_square; count],
            trained: vec![false; count],
            touched: Vec::new(),
            before: Vec::new(),
            position: vec![0; count],
        };
        (shard_table, places)
    }

    /// Sets rows to the states that the leader sent; rows without an item of this shard are left out.
    pub(super) fn set(&mut self, rows: &TableRows) {
        let vectors = rows.vectors.as_chunks::<WIDTH>().0;
        for ((row, vector), square) in rows.rows.iter().zip(vectors).zip(&rows.squares) {
            if let Ok(place) = self.rows.binary_search(row) {
                self.vectors[place] = *vector;
                self.squares[place] = *square;
                self.trained[place] = true;
            }
        }
    }

    /// The index of the vector to predict with: that of the zero vector for an untrained row.
    pub(super) fn prediction_index(&self, place: u32) -> u32 {
        if self.trained[place as usize] { place } else { 0 }
    }

    /// One step of the rows with these indices, each with its gradient; gradients of one row are summed first.
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
        if self.position[place] == 0 {
            self.touched.push(place as u32);
            self.before.push((self.vectors[place], self.squares[place], 0));
            self.position[place] = self.touched.len() as u32;
        }
        self.before[self.position[place] as usize - 1].2 += 1;
    }

    /// The changes by the steps since the last call, which are undone.
    pub(super) fn take_changes(&mut self) -> TableRows {
        let mut changes = TableRows::default();
        let mut order: Vec<u32> = (0..self.touched.len() as u32).collect();
        order.sort_unstable_by_key(|at| self.touched[*at as usize]);
        for at in order {
            let place = self.touched[at as usize] as usize;
            let (vector, square, steps) = self.before[at as usize];
            let now = &self.vectors[place];
            let change: Vector = std::array::from_fn(|number| now[number] - vector[number]);
            changes.push(self.rows[place], &change, self.squares[place] - square);
            changes.steps.push(steps);
            (self.vectors[place], self.squares[place], self.position[place]) = (vector, square, 0);
        }
        self.touched.clear();
        self.before.clear();
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: TableInit = TableInit { rows: 1 << 22, salt: 7, bound: 0.05, first_square: 0.1 };
    const STEP: Adagrad = Adagrad { learning_rate: 0.1, decay: 0.0, scale: 1.0 };

    #[test]
    fn a_missing_identifier_has_row_zero_and_no_other_has() {
        assert_eq!(INIT.row_of(0), 0);
        let small = TableInit { rows: 2, ..INIT };
        assert!((1..999).all(|key| small.row_of(key) == 1 && (1..INIT.rows).contains(&INIT.row_of(key))));
    }

    #[test]
    fn a_step_is_that_of_the_formula_and_row_zero_never_moves() {
        let (mut shard_table, places) = ShardTable::new(INIT, &[9, 0, 9, 4]);
        assert_eq!((places, shard_table.rows.clone()), (vec![2, 0, 2, 1], vec![0, 4, 9]));
        let before = shard_table.vectors.clone();
        assert_eq!(before[0], [0.0; WIDTH]);
        let mut gradient = [0.0; WIDTH];
        gradient[3] = 2.0;
        shard_table.step(STEP, &[2, 0, 2], &[gradient; 3], &mut Vec::new());
        // Both gradients of row 9 add up to 4; the mean square over 16 numbers is 1.
        let wanted = before[2][3] - 0.1 * 4.0 / 1.1_f32.sqrt();
        assert!((shard_table.vectors[2][3] - wanted).abs() < 1e-6);
        assert_eq!((shard_table.vectors[0], shard_table.vectors[1]), (before[0], before[1]));
        let changes = shard_table.take_changes();
        assert_eq!((changes.rows.as_slice(), changes.steps.as_slice()), (&[9][..], &[1][..]));
        assert!((changes.squares[0] - 1.0).abs() < 1e-6);
        assert_eq!(shard_table.vectors, before, "a shard undoes its own steps");
    }

    #[test]
    fn a_row_changes_by_the_mean_over_the_shards_that_have_it() {
        let change = |rows: &[u32], by: f32, steps: u32| TableRows {
            rows: rows.to_vec(),
            vectors: vec![by; rows.len() * WIDTH],
            squares: vec![1.0; rows.len()],
            steps: vec![steps; rows.len()],
        };
        let mut table = LeaderTable::new(INIT);
        let merged = table.merge(&[&change(&[3, 8], 1.0, 3), &change(&[8], 5.0, 1)]);
        assert_eq!(merged.rows, [3, 8]);
        assert!((merged.vectors[0] - (INIT.vector(3)[0] + 1.0)).abs() < 1e-6);
        assert!((merged.vectors[WIDTH] - (INIT.vector(8)[0] + 2.0)).abs() < 1e-6);
        assert_eq!(merged.squares, [1.1, 2.1]);
        let rows = table.to_rows(true);
        assert!(rows.fits(INIT.rows) && !rows.fits(8));
        assert_eq!(LeaderTable::from_rows(INIT, &rows).to_rows(true), rows);
        let (mut shard_table, places) = ShardTable::new(INIT, &[8, 5]);
        shard_table.set(&rows);
        assert_eq!(shard_table.vectors[places[0] as usize][0], merged.vectors[WIDTH]);
        assert_eq!(shard_table.vectors[places[1] as usize], INIT.vector(5));
        assert_eq!(
            (shard_table.prediction_index(places[0]), shard_table.prediction_index(places[1])),
            (places[0], 0)
        );
    }

    /// Memory is what the module's documentation says; with a tenth of the importers and rows in builds without
    /// optimisation.
    #[test]
    fn five_million_importers_need_the_documented_memory() {
        let part = if cfg!(debug_assertions) { 10 } else { 1 };
        let (importers, table_rows) = (5_000_000 / u64::from(part), INIT.rows / part);
        let init = TableInit { rows: table_rows, ..INIT };
        let rows: Vec<u32> = (1..=importers).map(|importer| init.row_of(mix(importer))).collect();
        let (mut shard_table, places) = ShardTable::new(init, &rows);
        // Throwing n balls into r boxes leaves r exp(-n / r) empty.
        let boxes = f64::from(table_rows);
        let expected = boxes * (1.0 - (-(importers as f64) / boxes).exp());
        let trained = shard_table.rows.len() - 1;
        assert!((trained as f64 / expected - 1.0).abs() < 0.005, "{trained} {expected}");
        // Every importer once, in batches of 4096.
        let gradients = vec![[0.01; WIDTH]; 4096];
        let mut order = Vec::new();
        for batch in places.chunks(4096) {
            shard_table.step(STEP, batch, &gradients[..batch.len()], &mut order);
        }
        let mut table = LeaderTable::new(init);
        table.merge(&[&shard_table.take_changes()]);
        assert_eq!(table.rows.len() - 1, trained);
        let held = |rows: usize| rows * (size_of::<Vector>() + 4 + 4);
        // A list that grows may have room for twice what it holds.
        assert!(held(table.rows.capacity()) + 4 * table.places.len() <= 2 * held(table_rows as usize));
        assert!(held(shard_table.rows.len()) <= held(table_rows as usize) && held(1) == 72);
    }
}
