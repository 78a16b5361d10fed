//! The histogram of a leaf: the sums of its rows by feature and bin. A fit spends most of its time here.
//!
//! What makes it fast: the bins of a row lie in lanes of 32 bytes that do not cross a cache line; the rows of a leaf are
//! gathered in blocks, so that many distant reads overlap; each block is then summed for a few features at a time,
//! whose sums stay in the first-level cache; and both sums of a bin are one addition of 16 bytes. All sums are of
//! integers, so that no order of rows, blocks or features changes them. Start at [`HistogramBuilder::fill`].
//!
//! Source of the layout: Ke et al. (NeurIPS 2017) for histograms by row; the blocks are those of dense linear
//! algebra (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", TOMS 2008).

/// How many bins of a row lie in one lane.
const LANE: usize = 32;

/// Some bins of one row, placed so that none crosses a cache line.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Lane([u8; LANE]);

/// How many rows are gathered together: they fit the second-level cache.
const BLOCK_ROWS: usize = 2048;

/// How many features are summed together at most: their sums fit the first-level cache.
const GROUP: usize = 6;

/// The sums of one feature by bin: as many bins as 8 bits can number, so that no index needs a check.
type FeatureHistogram = [BinSums; 256];

/// A sum of first derivatives, and one of second derivatives packed with a count; the processor adds both at once.
#[derive(Clone, Copy, Default)]
#[repr(align(16))]
pub(super) struct BinSums([i64; 2]);

impl BinSums {
    /// Adds both sums to those of other rows.
    pub(super) fn add_to(self, sums: &mut [i64; 2]) {
        sums[0] += self.0[0];
        sums[1] += self.0[1];
    }
}

/// The bins of all rows of a shard, in both orders: by row for histograms, by column for partitions.
#[derive(Default)]
pub(super) struct BinMatrix {
    /// How many lanes a row has.
    lanes: usize,
    rows: Vec<Lane>,
    columns: Vec<Vec<u8>>,
}

impl BinMatrix {
    /// Lays out the columns, which are of one length.
    pub(super) fn new(columns: Vec<Vec<u8>>) -> Self {
        let length = columns.first().map_or(0, Vec::len);
        let lanes = columns.len().div_ceil(LANE);
        let mut rows = vec![Lane([0; LANE]); length * lanes];
        for (block, rows) in rows.chunks_mut(BLOCK_ROWS * lanes).enumerate() {
            for (feature, column) in columns.iter().enumerate() {
                let (lane, at) = (feature / LANE, feature % LANE);
                let column = &column[block * BLOCK_ROWS..];
                for (row, cell) in rows[lane..].iter_mut().step_by(lanes).zip(column) {
                    row.0[at] = *cell;
                }
            }
        }
        Self { lanes, rows, columns }
    }

    /// The bins of one row, in the order of the features.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = u8> {
        self.columns.iter().map(move |column| column[row])
    }

    /// The bins of one feature.
    pub(super) fn column(&self, feature: usize) -> &[u8] {
        &self.columns[feature]
    }
}

/// Makes histograms. Its memory is used again for every leaf.
#[derive(Default)]
pub(super) struct HistogramBuilder {
    bins: Vec<FeatureHistogram>,
    /// The current block: its lanes one after the other, each for all rows.
    lanes: Vec<Lane>,
    derivatives: Vec<BinSums>,
}

impl HistogramBuilder {
    /// Sums the derivatives (first and second) of some rows for some features, given in ascending order. The
    /// second derivatives are packed above `count_bits` bits, which count rows.
    pub(super) fn fill(
        &mut self,
        rows: &[u32],
        features: &[usize],
        cells: &BinMatrix,
        derivatives: &[[i32; 2]],
        count_bits: u32,
    ) -> &[FeatureHistogram] {
        self.bins.clear();
        self.bins.resize(features.len(), [BinSums::default(); 256]);
        self.lanes.resize(cells.lanes * BLOCK_ROWS, Lane([0; LANE]));
        self.derivatives.resize(BLOCK_ROWS, BinSums::default());
        for rows in rows.chunks(BLOCK_ROWS) {
            for (packed, row) in self.derivatives.iter_mut().zip(rows) {
                let [first, second] = derivatives[*row as usize];
                *packed = BinSums([i64::from(first), (i64::from(second) << count_bits) | 1]);
            }
            for (lane, gathered) in self.lanes.chunks_exact_mut(BLOCK_ROWS).enumerate() {
                for (gathered, row) in gathered.iter_mut().zip(rows) {
                    *gathered = cells.rows[*row as usize * cells.lanes + lane];
                }
            }
            let derivatives = &self.derivatives[..rows.len()];
            let mut bins = &mut self.bins[..];
            for features in features.chunk_by(|a, b| a / LANE == b / LANE) {
                let lane = &self.lanes[features[0] / LANE * BLOCK_ROWS..][..rows.len()];
                // Groups of about equal size: in a last group of one or two features each addition would wait for the
                // one before it.
                let size = features.len().div_ceil(features.len().div_ceil(GROUP));
                for group in features.chunks(size) {
                    let (of_group, others) = bins.split_at_mut(group.len());
                    bins = others;
                    add_group(of_group, group, lane, derivatives);
                }
            }
        }
        &self.bins
    }
}

fn add_group(bins: &mut [FeatureHistogram], features: &[usize], lane: &[Lane], derivatives: &[BinSums]) {
    match features.len() {
        1 => add::<1>(bins, features, lane, derivatives),
        2 => add::<2>(bins, features, lane, derivatives),
        3 => add::<3>(bins, features, lane, derivatives),
        4 => add::<4>(bins, features, lane, derivatives),
        5 => add::<5>(bins, features, lane, derivatives),
        _ => add::<GROUP>(bins, features, lane, derivatives),
    }
}

/// Adds a block's rows to the sums of `N` features of one lane. It is not inlined, so that the compiler knows that the
/// slices do not overlap and adds both sums of a bin at once.
#[inline(never)]
fn add<const N: usize>(
    bins: &mut [FeatureHistogram],
    features: &[usize],
    lane: &[Lane],
    derivatives: &[BinSums],
) {
    let (Some(bins), Some(features)) = (bins.first_chunk_mut::<N>(), features.first_chunk::<N>()) else {
        return;
    };
    for (cells, derivatives) in lane.iter().zip(derivatives) {
        let BinSums([first, packed]) = *derivatives;
        for (bins, feature) in bins.iter_mut().zip(features) {
            let sums = &mut bins[usize::from(cells.0[feature % LANE])];
            let BinSums([firsts, packeds]) = *sums;
            *sums = BinSums([firsts.wrapping_add(first), packeds.wrapping_add(packed)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::chance::mix;

    use super::*;

    #[test]
    fn sums_are_those_of_adding_row_by_row() {
        const COUNT_BITS: u32 = 20;
        for width in [1, 7, 32, 33, 70] {
            let length = 5000;
            let random = |at: usize| mix((width * length + at) as u64);
            let columns: Vec<Vec<u8>> = (0..width)
                .map(|feature| (0..length).map(|row| random(feature * length + row) as u8).collect())
                .collect();
            let derivatives: Vec<[i32; 2]> =
                (0..length).map(|row| [random(row) as i32 >> 3, (random(row) >> 40) as i32]).collect();
            let rows: Vec<u32> = (0..length as u32).filter(|row| random(*row as usize) % 3 > 0).collect();
            let features: Vec<usize> = (0..width).filter(|feature| random(*feature) % 4 > 0).collect();
            let mut histogram = HistogramBuilder::default();
            let cells = BinMatrix::new(columns);
            // The second time over the memory of the first.
            histogram.fill(&rows, &features, &cells, &derivatives, COUNT_BITS);
            let found = histogram.fill(&rows, &features, &cells, &derivatives, COUNT_BITS);
            assert_eq!(found.len(), features.len());
            for (found, feature) in found.iter().zip(&features) {
                let mut wanted = [(0, 0); 256];
                for row in &rows {
                    let [first, second] = derivatives[*row as usize];
                    let (firsts, packed) = &mut wanted[usize::from(cells.column(*feature)[*row as usize])];
                    *firsts += i64::from(first);
                    *packed += (i64::from(second) << COUNT_BITS) + 1;
                }
                assert_eq!(
                    found.map(|BinSums([firsts, packed])| (firsts, packed)),
                    wanted,
                    "{width} features, feature {feature}"
                );
            }
        }
    }
}
