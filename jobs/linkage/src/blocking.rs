//! The pairs that are compared: rows that share a key.
//!
//! Comparing all pairs of n rows is n²/2 comparisons. A key is a cheap property that rows of one person share unless it
//! was written wrong: a document's number, a name's [skeleton](crate::normalise::skeleton) with a birth year. With
//! several kinds of keys a pair is missed only if it differs in all of them. Keys are hashes of 64 bits, sorted, so that
//! memory is 16 bytes for a key and row; a pair is given once, under the first kind of key that it shares. Blocks over a
//! limit say little (a common surname alone) and are left to the other kinds of keys; how many is counted.

/// A key of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Keyed {
    key: u64,
    row: u32,
}

/// Rows by their keys.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    /// For each kind of key its hashes, sorted.
    kinds: Vec<Vec<Keyed>>,
    /// The keys of a row at `row * kinds.len()`; 0 for none.
    keys: Vec<u64>,
}

/// What a pass over the pairs left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Blocks over the limit.
    pub blocks: u64,
    /// Pairs in them.
    pub pairs: u64,
}

impl Blocks {
    /// Blocks for a number of kinds of keys.
    #[must_use]
    pub fn new(kinds: usize) -> Self {
        Self { kinds: vec![Vec::new(); kinds], keys: Vec::new() }
    }

    /// Adds the next row with its key of each kind; an empty key is none. Rows are numbered from 0.
    pub fn add<'a>(&mut self, keys: impl IntoIterator<Item = &'a str>) {
        let row = u32::try_from(self.keys.len() / self.kinds.len().max(1)).unwrap_or(u32::MAX);
        let mut keys = keys.into_iter();
        for (kind, list) in self.kinds.iter_mut().enumerate() {
            let text = keys.next().unwrap_or("");
            let key = if text.is_empty() { 0 } else { hash(kind, text) };
            self.keys.push(key);
            if key != 0 {
                list.push(Keyed { key, row });
            }
        }
    }

    /// Gives every pair of rows that share a key once, the smaller row first. Blocks of more than `most` rows are left
    /// out. The order depends on the rows alone.
    pub fn pairs(&mut self, most: usize, mut take: impl FnMut(u32, u32)) -> LeftOut {
        let mut left_out = LeftOut::default();
        for list in &mut self.kinds {
            list.sort_unstable();
        }
        for (kind, list) in self.kinds.iter().enumerate() {
            for block in list.chunk_by(|a, b| a.key == b.key) {
                if block.len() > most {
                    let rows = block.len() as u64;
                    left_out.blocks += 1;
                    left_out.pairs += rows * (rows - 1) / 2;
                    continue;
                }
                for (at, one) in block.iter().enumerate() {
                    for other in &block[at + 1..] {
                        if one.row != other.row && !self.shared_before(kind, one.row, other.row, most) {
                            take(one.row.min(other.row), one.row.max(other.row));
                        }
                    }
                }
            }
        }
        left_out
    }

    /// Whether the rows share a key of an earlier kind whose block was not left out: they were given under it.
    fn shared_before(&self, kind: usize, one: u32, other: u32, most: usize) -> bool {
        let count = self.kinds.len();
        let key = |row: u32, at: usize| self.keys[row as usize * count + at];
        (0..kind).any(|at| {
            key(one, at) != 0 && key(one, at) == key(other, at) && self.is_small(at, key(one, at), most)
        })
    }

    fn is_small(&self, kind: usize, key: u64, most: usize) -> bool {
        let list = &self.kinds[kind];
        let start = list.partition_point(|keyed| keyed.key < key);
        list[start..].iter().take(most + 1).take_while(|keyed| keyed.key == key).count() <= most
    }
}

/// FNV-1a (Fowler, Noll, Vo), with the kind before the text and a last mixing (Murmur3's finaliser); never 0.
fn hash(kind: usize, text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ (kind as u64);
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ (hash >> 33)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(rows: &[[&str; 2]], most: usize) -> (Vec<(u32, u32)>, LeftOut) {
        let mut blocks = Blocks::new(2);
        for row in rows {
            blocks.add(*row);
        }
        let mut found = Vec::new();
        let left_out = blocks.pairs(most, |one, other| found.push((one, other)));
        found.sort_unstable();
        (found, left_out)
    }

    #[test]
    fn a_pair_is_given_once_however_many_keys_it_shares() {
        let rows = [["A", "X"], ["A", "X"], ["B", "X"], ["", ""], ["", ""]];
        assert_eq!(pairs(&rows, 10).0, [(0, 1), (0, 2), (1, 2)]);
    }

    #[test]
    fn blocks_over_the_limit_are_left_to_other_keys() {
        let rows = [["A", "X"], ["A", "X"], ["A", "Y"]];
        let (found, left_out) = pairs(&rows, 2);
        assert_eq!(found, [(0, 1)]);
        assert_eq!(left_out, LeftOut { blocks: 1, pairs: 3 });
    }

    proptest::proptest! {
        #[test]
        fn pairs_are_those_of_all_small_blocks(
            rows in proptest::collection::vec(("[AB]?", "[AB]?"), 0..12), most in 1_usize..6,
        ) {
            let rows: Vec<[&str; 2]> = rows.iter().map(|(a, b)| [a.as_str(), b.as_str()]).collect();
            let small = |kind: usize, key: &str| rows.iter().filter(|row| row[kind] == key).count() <= most;
            let mut expected = Vec::new();
            for one in 0..rows.len() {
                for other in one + 1..rows.len() {
                    let shares = |kind: usize| {
                        let key = rows[one][kind];
                        !key.is_empty() && key == rows[other][kind] && small(kind, key)
                    };
                    if shares(0) || shares(1) {
                        expected.push((one as u32, other as u32));
                    }
                }
            }
            proptest::prop_assert_eq!(pairs(&rows, most).0, expected);
        }
    }
}
