//! Measures of recommendations: shares of items whose declared code is among the best k, calibration, and more.
//!
//! An item whose code no training text has counts as wrong at every k. `macro_f1/6` is the mean F1 over the codes that
//! were declared or recommended (as scikit-learn computes it). Probabilities are kept in bins, and of each row the few
//! bytes that intervals and comparisons need ([`ScoredRows`]). Start at [`Evaluation::add`].

use std::collections::BTreeMap;

use crate::codes::digits::{DIGITS, LEVELS};

/// The numbers k of the top-k accuracies.
pub const RANKS: [u32; 4] = [1, 3, 5, 10];

/// Bins of probabilities, for coverage at a precision.
pub const BINS: usize = 1000;

/// Bins of the calibration diagram.
pub const CALIBRATION_BINS: usize = 10;

/// Most examples that are kept for a chapter.
const EXAMPLES: usize = 3;

/// A scored text with its declared code; values by level are for 2, 4 and 6 digits.
#[derive(Debug, Clone)]
pub struct ScoredItem<'a> {
    /// The number of declared items that it stands for.
    pub items: u64,
    /// The description.
    pub description: &'a str,
    /// The declared six digits.
    pub declared: &'a str,
    /// The most likely code at each level.
    pub recommended: [&'a str; LEVELS],
    /// Its probability.
    pub probability: [f32; LEVELS],
    /// The rank of the declared code at each level, from 1; `None` when no training text has it.
    pub rank: [Option<u32>; LEVELS],
    /// Whether the description is too vague to choose a heading.
    pub vague: bool,
    /// The month of acceptance: 12 × year + month - 1.
    pub month: i64,
    /// The rank of the whole code, where it was declared with national digits.
    pub national: Option<Option<u32>>,
    /// The declaration, as a hash.
    pub declaration: u64,
    /// The day of acceptance since 1970-01-01.
    pub day: i64,
    /// Whether a training text has the same words.
    pub seen: bool,
}

/// What is kept of each scored row, in columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoredRows {
    /// The declarations, as hashes.
    pub declarations: Vec<u64>,
    /// Days of acceptance since 1970-01-01.
    pub days: Vec<i64>,
    /// Declared items.
    pub items: Vec<u32>,
    /// Whether a training text has the same words.
    pub seen: Vec<bool>,
    /// The bins of the probabilities of the most likely codes, by level.
    pub bins: Vec<[u16; LEVELS]>,
    /// A bit for each level and k: whether the declared code is among the best k.
    hits: Vec<u16>,
}

impl ScoredRows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the declared code of a row is among the best `RANKS[place]` at a level.
    pub fn is_hit(&self, row: usize, level: usize, place: usize) -> bool {
        self.hits[row] >> (level * RANKS.len() + place) & 1 == 1
    }

    fn push(&mut self, item: &ScoredItem<'_>) {
        let hits =
            (0..LEVELS).flat_map(|level| RANKS.map(|k| item.rank[level].is_some_and(|rank| rank <= k)));
        self.hits.push(hits.rev().fold(0, |bits, is_hit| bits << 1 | u16::from(is_hit)));
        self.declarations.push(item.declaration);
        self.days.push(item.day);
        self.items.push(u32::try_from(item.items).unwrap_or(u32::MAX));
        self.seen.push(item.seen);
        self.bins.push(item.probability.map(|probability| bin_of(probability) as u16));
    }
}

/// The bin of a probability.
fn bin_of(probability: f32) -> usize {
    ((probability * BINS as f32) as usize).min(BINS - 1)
}

/// The items of a bin of probabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProbabilityBin {
    /// Items.
    pub items: u64,
    /// Items whose most likely code is the declared one.
    pub right: u64,
    /// The sum of the probabilities of the most likely codes.
    pub probability: f64,
}

/// A wrong recommendation, kept as an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The description.
    pub description: String,
    /// The declared six digits.
    pub declared: String,
    /// The recommended ones.
    pub recommended: String,
    /// Their probability.
    pub probability: f32,
}

/// The items of a declared chapter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chapter {
    /// Declared items.
    pub items: u64,
    /// Items whose most likely code is the declared one, by level.
    pub right: [u64; LEVELS],
    /// Items whose declared six digits are among the best five.
    pub right_of_five: u64,
    /// The most confident wrong recommendations.
    pub examples: Vec<Example>,
}

/// The items of a month.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Month {
    /// Declared items.
    pub items: u64,
    /// Items whose most likely code is the declared one, by level.
    pub right: [u64; LEVELS],
    /// Items whose code no training text has.
    pub unknown_codes: u64,
    /// Items with a description that is too vague.
    pub vague: u64,
    /// The sum of the probabilities of the most likely six digits.
    pub probability: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct CodeOutcomes {
    right: u64,
    declared: u64,
    recommended: u64,
}

/// The measures of all items.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Items.
    pub items: u64,
    /// Items whose code no training text has.
    pub unknown_codes: u64,
    /// Items with a description that is too vague.
    pub vague: u64,
    /// Items with another description whose most likely heading is right.
    pub clear_and_right: u64,
    /// Items by chapter.
    pub chapters: BTreeMap<String, Chapter>,
    /// Items by month: 12 × year + month - 1.
    pub months: BTreeMap<i64, Month>,
    /// Items with a wrong heading, by the declared and the recommended one.
    pub confusions: BTreeMap<(String, String), u64>,
    /// Items declared with national digits.
    pub national: u64,
    /// Every row.
    pub rows: ScoredRows,
    hits: [[u64; RANKS.len()]; LEVELS],
    national_hits: [u64; RANKS.len()],
    bins: [Vec<ProbabilityBin>; LEVELS],
    codes: BTreeMap<String, CodeOutcomes>,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            items: 0,
            unknown_codes: 0,
            vague: 0,
            clear_and_right: 0,
            chapters: BTreeMap::new(),
            months: BTreeMap::new(),
            confusions: BTreeMap::new(),
            national: 0,
            rows: ScoredRows::default(),
            hits: Default::default(),
            national_hits: Default::default(),
            bins: std::array::from_fn(|_| vec![ProbabilityBin::default(); BINS]),
            codes: BTreeMap::new(),
        }
    }
}

impl Evaluation {
    /// Adds a scored text.
    pub fn add(&mut self, item: &ScoredItem<'_>) {
        let items = item.items;
        self.rows.push(item);
        self.items += items;
        self.unknown_codes += if item.rank[LEVELS - 1].is_none() { items } else { 0 };
        self.vague += if item.vague { items } else { 0 };
        let is_right = item.rank.map(|rank| rank == Some(1));
        self.clear_and_right += if !item.vague && is_right[1] { items } else { 0 };
        if let Some(rank) = item.national {
            self.national += items;
            for (hits, place) in self.national_hits.iter_mut().zip(RANKS) {
                *hits += if rank.is_some_and(|rank| rank <= place) { items } else { 0 };
            }
        }
        let month = self.months.entry(item.month).or_default();
        month.items += items;
        month.unknown_codes += if item.rank[LEVELS - 1].is_none() { items } else { 0 };
        month.vague += if item.vague { items } else { 0 };
        month.probability += f64::from(item.probability[LEVELS - 1]) * items as f64;
        for (right, is_right) in month.right.iter_mut().zip(is_right) {
            *right += if is_right { items } else { 0 };
        }
        let chapter = self.chapters.entry(item.declared[..2].to_owned()).or_default();
        chapter.items += items;
        chapter.right_of_five += if item.rank[LEVELS - 1].is_some_and(|rank| rank <= 5) { items } else { 0 };
        for (level, is_right) in is_right.into_iter().enumerate() {
            for (hits, place) in self.hits[level].iter_mut().zip(RANKS) {
                *hits += if item.rank[level].is_some_and(|rank| rank <= place) { items } else { 0 };
            }
            chapter.right[level] += if is_right { items } else { 0 };
            let probability = item.probability[level];
            let bin = &mut self.bins[level][bin_of(probability)];
            bin.items += items;
            bin.right += if is_right { items } else { 0 };
            bin.probability += f64::from(probability) * items as f64;
        }
        let recommended = item.recommended[LEVELS - 1];
        if !is_right[LEVELS - 1] {
            keep_example(&mut chapter.examples, item);
        }
        if !is_right[1] {
            let pair = (item.declared[..4].to_owned(), item.recommended[1].to_owned());
            *self.confusions.entry(pair).or_default() += items;
        }
        let declared = self.codes.entry(item.declared.to_owned()).or_default();
        declared.declared += items;
        declared.right += if is_right[LEVELS - 1] { items } else { 0 };
        self.codes.entry(recommended.to_owned()).or_default().recommended += items;
    }

    /// The share of items whose declared code is among the best `RANKS[place]` at a level.
    pub fn accuracy(&self, level: usize, place: usize) -> f64 {
        share(self.hits[level][place], self.items)
    }

    /// The share of items whose declared code with national digits is among the best `RANKS[place]`, of the items that
    /// were declared with such digits.
    pub fn national_accuracy(&self, place: usize) -> f64 {
        share(self.national_hits[place], self.national)
    }

    /// The mean F1 of the codes at six digits.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |code: &CodeOutcomes| share(2 * code.right, code.declared + code.recommended);
        self.codes.values().map(f1).sum::<f64>() / (self.codes.len().max(1) as f64)
    }

    /// The bins of the calibration diagram of a level.
    pub fn calibration(&self, level: usize) -> Vec<ProbabilityBin> {
        let merged = self.bins[level].chunks(BINS / CALIBRATION_BINS).map(|bins| {
            bins.iter().fold(ProbabilityBin::default(), |sum, bin| ProbabilityBin {
                items: sum.items + bin.items,
                right: sum.right + bin.right,
                probability: sum.probability + bin.probability,
            })
        });
        merged.collect()
    }

    /// The mean absolute difference between mean probability and share of right items in the calibration bins, weighted
    /// by items.
    pub fn calibration_error(&self, level: usize) -> f64 {
        let distance = |bin: &ProbabilityBin| (bin.probability - bin.right as f64).abs();
        self.calibration(level).iter().map(distance).sum::<f64>() / self.items.max(1) as f64
    }

    /// The curve of coverage and precision when all items above a probability are automated, from the strictest
    /// threshold on.
    pub fn coverage(&self, level: usize) -> Vec<(f64, f64)> {
        let (mut items, mut right) = (0, 0);
        let mut curve = Vec::new();
        for bin in self.bins[level].iter().rev().filter(|bin| bin.items > 0) {
            items += bin.items;
            right += bin.right;
            curve.push((share(items, self.items), share(right, items)));
        }
        curve
    }

    /// The lowest bin of probabilities from which on, all items of it and above automated, at least `precision` of them are
    /// right, and most are automated; `None` where no bin is such.
    pub fn automating_bin(&self, level: usize, precision: f64) -> Option<usize> {
        let (mut items, mut right, mut lowest) = (0, 0, None);
        for (bin, counts) in self.bins[level].iter().enumerate().rev().filter(|(_, bin)| bin.items > 0) {
            items += counts.items;
            right += counts.right;
            if share(right, items) >= precision {
                lowest = Some(bin);
            }
        }
        lowest
    }

    /// All measures by the names of the documentation.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let mut figures = BTreeMap::new();
        for (level, digits) in DIGITS.iter().enumerate() {
            for (place, k) in RANKS.iter().enumerate() {
                figures.insert(format!("accuracy@{k}/{digits}"), self.accuracy(level, place));
            }
            figures.insert(format!("calibration_error/{digits}"), self.calibration_error(level));
        }
        for (place, k) in RANKS.iter().enumerate().filter(|_| self.national > 0) {
            figures.insert(format!("accuracy@{k}/national"), self.national_accuracy(place));
        }
        figures.insert("macro_f1/6".to_owned(), self.macro_f1());
        figures.insert("items".to_owned(), self.items as f64);
        figures.insert("unknown_code".to_owned(), share(self.unknown_codes, self.items));
        figures.insert("vague".to_owned(), share(self.vague, self.items));
        figures.insert("accuracy@1/4_clear".to_owned(), share(self.clear_and_right, self.items - self.vague));
        figures
    }
}

/// Keeps the examples with the highest probabilities; among equal ones the first.
fn keep_example(examples: &mut Vec<Example>, item: &ScoredItem<'_>) {
    let probability = item.probability[LEVELS - 1];
    let at = examples.partition_point(|example| example.probability >= probability);
    if at < EXAMPLES {
        let example = Example {
            description: item.description.to_owned(),
            declared: item.declared.to_owned(),
            recommended: item.recommended[LEVELS - 1].to_owned(),
            probability,
        };
        examples.insert(at, example);
        examples.truncate(EXAMPLES);
    }
}

/// A share; 0 of a total of 0.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item<'a>(
        declared: &'a str,
        recommended: [&'a str; 3],
        probability: f32,
        rank: Option<u32>,
    ) -> ScoredItem<'a> {
        let same = |level: usize| declared.starts_with(recommended[level]);
        let rank_of_six = rank;
        let rank: [Option<u32>; 3] = std::array::from_fn(|level| match rank {
            Some(_) if same(level) => Some(1),
            other => other,
        });
        ScoredItem {
            items: 1,
            description: "goods",
            declared,
            recommended,
            probability: [probability; 3],
            rank,
            vague: probability < 0.5,
            month: 12 * 2020 + i64::from(rank_of_six.is_none()),
            national: (probability > 0.8).then_some(rank_of_six),
            declaration: 0,
            day: 0,
            seen: false,
        }
    }

    #[test]
    fn four_items_are_counted_as_by_hand() {
        let mut evaluation = Evaluation::default();
        evaluation.add(&item("010121", ["01", "0101", "010121"], 0.95, Some(1)));
        evaluation.add(&item("010129", ["01", "0101", "010121"], 0.85, Some(2)));
        evaluation.add(&item("020110", ["01", "0101", "010121"], 0.45, Some(4)));
        evaluation.add(&item("030617", ["02", "0201", "020110"], 0.75, None));
        let figures = evaluation.figures();
        for (name, value) in [
            ("accuracy@1/2", 0.5),
            ("accuracy@1/4", 0.5),
            ("accuracy@1/6", 0.25),
            ("accuracy@3/6", 0.5),
            ("accuracy@5/6", 0.75),
            ("accuracy@1/national", 0.5),
            ("accuracy@3/national", 1.0),
            ("unknown_code", 0.25),
            ("vague", 0.25),
            ("accuracy@1/4_clear", 2.0 / 3.0),
            // 010121: one right, one declared, three recommended; 010129, 020110 and 030617: none right.
            ("macro_f1/6", 0.5 / 4.0),
            // |0.95 - 1| + |0.85 - 0| + |0.45 - 0| + |0.75 - 0| over four.
            ("calibration_error/6", (0.05 + 0.85 + 0.45 + 0.75) / 4.0),
        ] {
            assert!((figures[name] - value).abs() < 1e-6, "{name}: {}", figures[name]);
        }
        // Of six digits the first item is right; of four the second, too.
        assert_eq!([2, 1].map(|level| evaluation.automating_bin(level, 0.9)), [Some(950), Some(850)]);
        assert_eq!(
            [0.5, 0.4, 0.25].map(|right| evaluation.automating_bin(2, right)),
            [Some(850), Some(850), Some(450)]
        );
        assert_eq!(evaluation.rows.bins[1], [850; LEVELS]);
        let hits = |row: usize| (0..4).map(|place| evaluation.rows.is_hit(row, 2, place)).collect::<Vec<_>>();
        assert_eq!((hits(0), hits(2)), (vec![true; 4], vec![false, false, true, true]));
        assert_eq!(evaluation.confusions[&("0201".to_owned(), "0101".to_owned())], 1);
        assert_eq!(evaluation.chapters["01"].examples.len(), 1);
        let months: Vec<_> = evaluation.months.values().collect();
        assert_eq!((months[0].items, months[0].right, months[0].vague), (3, [2, 2, 1], 1));
        assert_eq!((months[1].items, months[1].right, months[1].unknown_codes), (1, [0, 0, 0], 1));
    }
}
