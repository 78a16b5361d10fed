//! How good recommendations were: shares of items whose declared code stands among the best k, and more.
//!
//! An item whose code no training text has counts as wrong at every k. `macro_f1/6` is the mean over the
//! codes that were declared or recommended (as scikit-learn has it). All that grows is bounded by the number
//! of codes: probabilities are kept in bins. Start at [`Evaluation::add`].

use std::collections::BTreeMap;

use super::tree::{DIGITS, LEVELS};

/// The places that are counted.
pub const PLACES: [u32; 4] = [1, 3, 5, 10];

/// Bins of a probability, for coverage at a precision.
const BINS: usize = 1000;

/// Bins of the calibration diagram.
pub const CALIBRATION_BINS: usize = 10;

/// Examples that are kept for a chapter.
const EXAMPLES: usize = 3;

/// One item that was judged: its weight, its description, and by level what was declared, recommended, its probability,
/// and the place of the declared code.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    /// Declared items like it.
    pub items: u64,
    /// The description.
    pub description: &'a str,
    /// The declared six digits.
    pub declared: &'a str,
    /// The most likely code at each level.
    pub recommended: [&'a str; LEVELS],
    /// Its probability.
    pub probability: [f32; LEVELS],
    /// The place of the declared code at each level, from 1.
    pub rank: [Option<u32>; LEVELS],
    /// Whether the description was called too vague.
    pub vague: bool,
    /// When the items were accepted: 12 × year + month - 1.
    pub month: i64,
    /// Of an item declared with national digits, the place of its whole code.
    pub national: Option<Option<u32>>,
}

/// Right and wrong items of a bin of probabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// Items.
    pub items: u64,
    /// Those whose most likely code is right.
    pub right: u64,
    /// The sum of their probabilities.
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

/// What is known of one chapter's items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chapter {
    /// Declared items.
    pub items: u64,
    /// Those right at first place, by level.
    pub right: [u64; LEVELS],
    /// Those whose six digits are among the best five.
    pub right_of_five: u64,
    /// The most confident wrong recommendations.
    pub examples: Vec<Example>,
}

/// What is known of one month's items.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Month {
    /// Declared items.
    pub items: u64,
    /// Those right at first place, by level.
    pub right: [u64; LEVELS],
    /// Those whose code no training text has.
    pub never_taught: u64,
    /// Those called too vague.
    pub vague: u64,
    /// The sum of the probabilities of the first six digits.
    pub probability: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Outcomes {
    right: u64,
    declared: u64,
    recommended: u64,
}

/// All that is known of judged items.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Items.
    pub items: u64,
    /// Items whose code no training text has.
    pub never_taught: u64,
    /// Items called too vague.
    pub vague: u64,
    /// Items not called too vague whose heading is right.
    pub clear_and_right: u64,
    /// Items by chapter.
    pub chapters: BTreeMap<String, Chapter>,
    /// Items by month: 12 × year + month - 1.
    pub months: BTreeMap<i64, Month>,
    /// Wrong headings: declared and recommended.
    pub confusions: BTreeMap<(String, String), u64>,
    /// Items that were declared with national digits.
    pub national: u64,
    hits: [[u64; PLACES.len()]; LEVELS],
    national_hits: [u64; PLACES.len()],
    bins: [Vec<Bin>; LEVELS],
    codes: BTreeMap<String, Outcomes>,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            items: 0,
            never_taught: 0,
            vague: 0,
            clear_and_right: 0,
            chapters: BTreeMap::new(),
            months: BTreeMap::new(),
            confusions: BTreeMap::new(),
            national: 0,
            hits: Default::default(),
            national_hits: Default::default(),
            bins: std::array::from_fn(|_| vec![Bin::default(); BINS]),
            codes: BTreeMap::new(),
        }
    }
}

impl Evaluation {
    /// Counts an item.
    pub fn add(&mut self, judged: &Judged<'_>) {
        let items = judged.items;
        self.items += items;
        self.never_taught += if judged.rank[LEVELS - 1].is_none() { items } else { 0 };
        self.vague += if judged.vague { items } else { 0 };
        let is_right = judged.rank.map(|rank| rank == Some(1));
        self.clear_and_right += if !judged.vague && is_right[1] { items } else { 0 };
        if let Some(rank) = judged.national {
            self.national += items;
            for (hits, place) in self.national_hits.iter_mut().zip(PLACES) {
                *hits += if rank.is_some_and(|rank| rank <= place) { items } else { 0 };
            }
        }
        let month = self.months.entry(judged.month).or_default();
        month.items += items;
        month.never_taught += if judged.rank[LEVELS - 1].is_none() { items } else { 0 };
        month.vague += if judged.vague { items } else { 0 };
        month.probability += f64::from(judged.probability[LEVELS - 1]) * items as f64;
        for (right, is_right) in month.right.iter_mut().zip(is_right) {
            *right += if is_right { items } else { 0 };
        }
        let chapter = self.chapters.entry(judged.declared[..2].to_owned()).or_default();
        chapter.items += items;
        chapter.right_of_five +=
            if judged.rank[LEVELS - 1].is_some_and(|rank| rank <= 5) { items } else { 0 };
        for (level, is_right) in is_right.into_iter().enumerate() {
            for (hits, place) in self.hits[level].iter_mut().zip(PLACES) {
                *hits += if judged.rank[level].is_some_and(|rank| rank <= place) { items } else { 0 };
            }
            chapter.right[level] += if is_right { items } else { 0 };
            let probability = judged.probability[level];
            let bin = ((probability * BINS as f32) as usize).min(BINS - 1);
            let bin = &mut self.bins[level][bin];
            bin.items += items;
            bin.right += if is_right { items } else { 0 };
            bin.probability += f64::from(probability) * items as f64;
        }
        let recommended = judged.recommended[LEVELS - 1];
        if !is_right[LEVELS - 1] {
            keep(&mut chapter.examples, judged);
        }
        if !is_right[1] {
            let pair = (judged.declared[..4].to_owned(), judged.recommended[1].to_owned());
            *self.confusions.entry(pair).or_default() += items;
        }
        let declared = self.codes.entry(judged.declared.to_owned()).or_default();
        declared.declared += items;
        declared.right += if is_right[LEVELS - 1] { items } else { 0 };
        self.codes.entry(recommended.to_owned()).or_default().recommended += items;
    }

    /// The share of items whose declared code is among the best of `PLACES[place]` at a level.
    pub fn accuracy(&self, level: usize, place: usize) -> f64 {
        share(self.hits[level][place], self.items)
    }

    /// The same with national digits, of the items that were declared with such.
    pub fn national_accuracy(&self, place: usize) -> f64 {
        share(self.national_hits[place], self.national)
    }

    /// The mean of the codes' F1, at six digits.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |code: &Outcomes| share(2 * code.right, code.declared + code.recommended);
        self.codes.values().map(f1).sum::<f64>() / (self.codes.len().max(1) as f64)
    }

    /// The bins of the calibration diagram of a level.
    pub fn calibration(&self, level: usize) -> Vec<Bin> {
        let merged = self.bins[level].chunks(BINS / CALIBRATION_BINS).map(|bins| {
            bins.iter().fold(Bin::default(), |sum, bin| Bin {
                items: sum.items + bin.items,
                right: sum.right + bin.right,
                probability: sum.probability + bin.probability,
            })
        });
        merged.collect()
    }

    /// The mean distance of probability and share of right items over the calibration bins, weighted by
    /// items.
    pub fn calibration_error(&self, level: usize) -> f64 {
        let distance = |bin: &Bin| (bin.probability - bin.right as f64).abs();
        self.calibration(level).iter().map(distance).sum::<f64>() / self.items.max(1) as f64
    }

    /// Coverage and precision when items of at least a probability are automated, from the strictest on.
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

    /// The largest share of items that can be automated at a precision of at least `precision`.
    pub fn coverage_at(&self, level: usize, precision: f64) -> f64 {
        let curve = self.coverage(level).into_iter();
        curve.filter(|(_, reached)| *reached >= precision).map(|(coverage, _)| coverage).fold(0.0, f64::max)
    }

    /// The figures by their names in the documentation.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let mut figures = BTreeMap::new();
        for (level, digits) in DIGITS.iter().enumerate() {
            for (place, k) in PLACES.iter().enumerate() {
                figures.insert(format!("accuracy@{k}/{digits}"), self.accuracy(level, place));
            }
            figures.insert(format!("calibration_error/{digits}"), self.calibration_error(level));
            for precision in [90, 95] {
                let coverage = self.coverage_at(level, f64::from(precision) / 100.0);
                figures.insert(format!("coverage@precision{precision}/{digits}"), coverage);
            }
        }
        for (place, k) in PLACES.iter().enumerate().filter(|_| self.national > 0) {
            figures.insert(format!("accuracy@{k}/national"), self.national_accuracy(place));
        }
        figures.insert("macro_f1/6".to_owned(), self.macro_f1());
        figures.insert("items".to_owned(), self.items as f64);
        figures.insert("never_taught".to_owned(), share(self.never_taught, self.items));
        figures.insert("vague".to_owned(), share(self.vague, self.items));
        figures.insert("accuracy@1/4_clear".to_owned(), share(self.clear_and_right, self.items - self.vague));
        figures
    }
}

/// Keeps the most confident examples; of equal ones the first.
fn keep(examples: &mut Vec<Example>, judged: &Judged<'_>) {
    let probability = judged.probability[LEVELS - 1];
    let at = examples.partition_point(|example| example.probability >= probability);
    if at < EXAMPLES {
        let example = Example {
            description: judged.description.to_owned(),
            declared: judged.declared.to_owned(),
            recommended: judged.recommended[LEVELS - 1].to_owned(),
            probability,
        };
        examples.insert(at, example);
        examples.truncate(EXAMPLES);
    }
}

/// A share; 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged<'a>(
        declared: &'a str,
        recommended: [&'a str; 3],
        probability: f32,
        rank: Option<u32>,
    ) -> Judged<'a> {
        let same = |level: usize| declared.starts_with(recommended[level]);
        let rank_of_six = rank;
        let rank: [Option<u32>; 3] = std::array::from_fn(|level| match rank {
            Some(_) if same(level) => Some(1),
            other => other,
        });
        Judged {
            items: 1,
            description: "goods",
            declared,
            recommended,
            probability: [probability; 3],
            rank,
            vague: probability < 0.5,
            month: 12 * 2020 + i64::from(rank_of_six.is_none()),
            national: (probability > 0.8).then_some(rank_of_six),
        }
    }

    #[test]
    fn four_items_are_counted_as_by_hand() {
        let mut evaluation = Evaluation::default();
        evaluation.add(&judged("010121", ["01", "0101", "010121"], 0.95, Some(1)));
        evaluation.add(&judged("010129", ["01", "0101", "010121"], 0.85, Some(2)));
        evaluation.add(&judged("020110", ["01", "0101", "010121"], 0.45, Some(4)));
        evaluation.add(&judged("030617", ["02", "0201", "020110"], 0.75, None));
        let figures = evaluation.figures();
        for (name, value) in [
            ("accuracy@1/2", 0.5),
            ("accuracy@1/4", 0.5),
            ("accuracy@1/6", 0.25),
            ("accuracy@3/6", 0.5),
            ("accuracy@5/6", 0.75),
            ("accuracy@1/national", 0.5),
            ("accuracy@3/national", 1.0),
            ("never_taught", 0.25),
            ("vague", 0.25),
            ("accuracy@1/4_clear", 2.0 / 3.0),
            ("coverage@precision90/6", 0.25),
            ("coverage@precision90/4", 0.5),
            // 010121: one right, one declared, three recommended; 010129, 020110 and 030617: none right.
            ("macro_f1/6", 0.5 / 4.0),
            // |0.95 - 1| + |0.85 - 0| + |0.45 - 0| + |0.75 - 0| over four.
            ("calibration_error/6", (0.05 + 0.85 + 0.45 + 0.75) / 4.0),
        ] {
            assert!((figures[name] - value).abs() < 1e-6, "{name}: {}", figures[name]);
        }
        assert_eq!(evaluation.confusions[&("0201".to_owned(), "0101".to_owned())], 1);
        assert_eq!(evaluation.chapters["01"].examples.len(), 1);
        let months: Vec<_> = evaluation.months.values().collect();
        assert_eq!((months[0].items, months[0].right, months[0].vague), (3, [2, 2, 1], 1));
        assert_eq!((months[1].items, months[1].right, months[1].never_taught), (1, [0, 0, 0], 1));
    }
}
