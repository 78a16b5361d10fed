//! What a declaration says of goods beside their description: origin, unit of quantity, and value per unit.
//!
//! Each [`Particulars`] is missing or one of some classes: an origin; a unit; the customs value per unit, or per
//! kilogram, in half octaves (a step is a factor of √2). How usual a class is among the items of a subheading
//! is learned by counting, and speaks for the code by the logarithm of how much more usual it is there than
//! among all items, codes with few items borrowing from those above them ([`super::shrinkage`]). What is missing, or
//! was never seen, says nothing: a description alone is judged as if nothing of this was there. Start at
//! [`Usage::of`].

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, Int64Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Int64Type},
};
use datafusion::{
    functions::expr_fn::{floor, left, log2},
    functions_aggregate::expr_fn::count,
    logical_expr::{Expr, try_cast, when},
    prelude::{DataFrame, col, lit},
};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{
    nomenclature::Nomenclature,
    shrinkage::shrunk,
    tree::{Classes, LEVELS, StoredWeights, Weights, six_digits},
};
use crate::{Error, Result, ResultExt};

/// Kinds of particulars.
pub(super) const KINDS: usize = 4;

/// The columns that hold them, in a query's rows and in files: the origin, the unit, and the classes of the value per unit and
/// per kilogram.
pub(super) const COLUMNS: [&str; KINDS] = ["origin", "unit", "unit_value", "mass_value"];

/// The kinds that are classes of values, which resemble their neighbours.
const VALUES: [bool; KINDS] = [false, false, true, true];

/// How many items a heading's usage counts for in each of its subheadings, and so upwards.
const PRIOR: f64 = 20.0;

/// Steps of a value's classes in a doubling.
const STEPS: f64 = 2.0;

/// What is known of an item beside its description.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Particulars<'a> {
    /// Country of origin, ISO 3166-1 alpha-2.
    pub origin: Option<&'a str>,
    /// Unit of the quantity, as declarations have it.
    pub unit: Option<&'a str>,
    /// The class of the customs value per unit; says nothing without the unit.
    pub unit_value: Option<i64>,
    /// The class of the customs value per kilogram.
    pub mass_value: Option<i64>,
}

impl<'a> Particulars<'a> {
    /// Those that a person gives: the value is that of a unit where there is one, and of a kilogram otherwise.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] for a value that is not above 0.
    pub fn given(origin: Option<&'a str>, unit: Option<&'a str>, value: Option<f64>) -> Result<Self> {
        let named = |text: Option<&'a str>| text.map(str::trim).filter(|text| !text.is_empty());
        let (origin, unit) = (named(origin), named(unit));
        let class = value.map(|value| {
            let class = class_of(value);
            class.ok_or_else(|| Error::input(format!("the unit value is {value}; give a number above 0")))
        });
        let class = class.transpose()?;
        let (unit_value, mass_value) = if unit.is_some() { (class, None) } else { (None, class) };
        Ok(Self { origin, unit, unit_value, mass_value })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a kind says, as text and number; `None` when it is missing.
    fn key(&self, kind: usize) -> Option<(&'a str, i64)> {
        match kind {
            0 => Some((self.origin?, 0)),
            1 => Some((self.unit?, 0)),
            2 => Some((self.unit?, self.unit_value?)),
            _ => Some(("", self.mass_value?)),
        }
    }
}

/// The class of a value; `None` when it is not above 0.
fn class_of(value: f64) -> Option<i64> {
    (value > 0.0 && value.is_finite()).then(|| (value.log2() * STEPS).floor() as i64)
}

/// The particulars of declarations, as expressions with the names of [`COLUMNS`].
pub(super) fn expressions() -> Result<[Expr; KINDS]> {
    let value = |measure: &str, name: &str| {
        let per = col("customs_value") / col(measure);
        let class = try_cast(floor(log2(per) * lit(STEPS)), DataType::Int64);
        let known = col(measure).gt(lit(0.0)).and(col("customs_value").gt(lit(0.0)));
        Ok::<_, Error>(when(known, class).end()?.alias(name))
    };
    let unit = col("quantity_unit").alias("unit");
    Ok([col("origin"), unit, value("quantity", "unit_value")?, value("net_mass", "mass_value")?])
}

/// The columns' fields in files.
pub(super) fn fields() -> [Field; KINDS] {
    std::array::from_fn(|kind| {
        let data = if VALUES[kind] { DataType::Int64 } else { DataType::Utf8 };
        Field::new(COLUMNS[kind], data, true)
    })
}

/// The particulars of a batch's rows, where it has their columns.
pub(super) struct Columns {
    texts: [Option<StringArray>; 2],
    values: [Option<Int64Array>; 2],
}

impl Columns {
    /// Those of a batch.
    pub(super) fn of(batch: &RecordBatch) -> Result<Self> {
        let column = |kind: usize, data: &DataType| {
            batch.column_by_name(COLUMNS[kind]).map(|column| cast(column, data)).transpose()
        };
        let text = |kind| Ok::<_, Error>(column(kind, &DataType::Utf8)?.map(|all| all.as_string().clone()));
        let value = |kind| {
            let column = column(kind, &DataType::Int64)?;
            Ok::<_, Error>(column.map(|all| all.as_primitive::<Int64Type>().clone()))
        };
        Ok(Self { texts: [text(0)?, text(1)?], values: [value(2)?, value(3)?] })
    }

    /// A row's particulars.
    pub(super) fn at(&self, row: usize) -> Particulars<'_> {
        let text = |at: usize| {
            let known = self.texts[at].as_ref().filter(|texts| texts.is_valid(row));
            known.map(|texts| texts.value(row)).filter(|text| !text.is_empty())
        };
        let value = |at: usize| {
            let known = self.values[at].as_ref().filter(|values| values.is_valid(row));
            known.map(|values| values.value(row))
        };
        Particulars { origin: text(0), unit: text(1), unit_value: value(0), mass_value: value(1) }
    }
}

/// Items of a code that have a particular.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// Its kind.
    pub(super) kind: usize,
    /// What it says, as text and number.
    pub(super) key: (String, i64),
    /// Six digits.
    pub(super) code: u32,
    pub(super) items: u64,
}

/// Counts the particulars of declarations by code: a row for each code and class of a kind, so that they are
/// collected.
pub(super) async fn counts(declarations: &DataFrame, nomenclature: &Nomenclature) -> Result<Vec<Counted>> {
    let mut counts: BTreeMap<(usize, (String, i64), u32), u64> = BTreeMap::new();
    let [origin, unit, unit_value, mass_value] = expressions()?;
    let (no_text, no_number) = (lit("").alias("text"), lit(0_i64).alias("number"));
    let keys = [
        [origin.alias("text"), no_number.clone()],
        [unit.clone().alias("text"), no_number],
        [unit.alias("text"), unit_value.alias("number")],
        [no_text, mass_value.alias("number")],
    ];
    for (kind, [text, number]) in keys.into_iter().enumerate() {
        let code = left(col("hs_code"), lit(6_i64)).alias("code");
        let counted = declarations
            .clone()
            .select(vec![code, text, number])?
            .filter(col("text").is_not_null().and(col("number").is_not_null()))?
            .aggregate(
                vec![col("code"), col("text"), col("number")],
                vec![count(lit(1_i64)).alias("items")],
            )?;
        for batch in counted.collect().await.context(|| format!("count the {} of codes", COLUMNS[kind]))? {
            let texts = [0, 1].map(|at| cast(batch.column(at), &DataType::Utf8));
            let [codes, texts] = texts.map(|column| column.map(|column| column.as_string::<i32>().clone()));
            let (codes, texts) = (codes?, texts?);
            let [numbers, items] = [2, 3].map(|at| batch.column(at).as_primitive::<Int64Type>());
            for row in 0..batch.num_rows() {
                let code = six_digits(codes.value(row)).and_then(|code| nomenclature.current(code));
                if let Some(code) = code.filter(|_| kind == 3 || !texts.value(row).is_empty()) {
                    let key = (texts.value(row).to_owned(), numbers.value(row));
                    *counts.entry((kind, key, code)).or_default() += items.value(row).unsigned_abs();
                }
            }
        }
    }
    let counted = |((kind, key, code), items)| Counted { kind, key, code, items };
    Ok(counts.into_iter().map(counted).collect())
}

/// How usual particulars are among the items of each code.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Usage {
    /// The classes of each kind, ascending.
    keys: [Vec<(String, i64)>; KINDS],
    /// What each class adds at each level of the tree; classes stand where classifiers have features.
    weights: [[Weights; LEVELS]; KINDS],
}

impl Usage {
    /// The usage that was counted.
    pub(super) fn of(counted: &[Counted], classes: &Classes) -> Self {
        let mut usage = Self::default();
        for (kind, is_value) in VALUES.into_iter().enumerate() {
            // A value may have been a little more or less: a half of it counts so.
            let spread: &[(i64, f64)] =
                if is_value { &[(-1, 0.25), (0, 0.5), (1, 0.25)] } else { &[(0, 1.0)] };
            let mut items: BTreeMap<(&str, i64), BTreeMap<u32, f64>> = BTreeMap::new();
            let known = counted.iter().filter(|counted| counted.kind == kind);
            for Counted { key, code, items: number, .. } in known {
                let Some(class) = classes.number(*code, LEVELS - 1) else { continue };
                for (step, share) in spread {
                    let of_key = items.entry((&key.0, key.1 + step)).or_default();
                    *of_key.entry(class as u32).or_default() += share * *number as f64;
                }
            }
            usage.keys[kind] = items.keys().map(|(text, number)| ((*text).to_owned(), *number)).collect();
            let items: Vec<_> = items.into_values().map(|of_key| of_key.into_iter().collect()).collect();
            usage.weights[kind] = shrunk(classes, &items, [PRIOR; LEVELS]);
        }
        usage
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.iter().all(Vec::is_empty)
    }

    /// The numbers of what is said, by kind; `None` for what is missing or was never seen.
    pub(super) fn numbers(&self, particulars: &Particulars<'_>) -> [Option<usize>; KINDS] {
        std::array::from_fn(|kind| {
            let key = particulars.key(kind)?;
            self.keys[kind].binary_search_by(|(text, number)| (text.as_str(), *number).cmp(&key)).ok()
        })
    }

    /// A class of a kind in words.
    pub(super) fn name(&self, kind: usize, number: usize) -> String {
        let (text, _) = &self.keys[kind][number];
        match kind {
            0 => format!("origin {text}"),
            1 => format!("unit {text}"),
            2 => format!("value per {text}"),
            _ => "value per kg".to_owned(),
        }
    }

    /// Adds what a class of a kind says, times a factor, to the classes of each level.
    pub(super) fn add(&self, kind: usize, number: usize, factor: f32, to: &mut [Vec<f32>; LEVELS]) {
        for (weights, to) in self.weights[kind].iter().zip(to) {
            for (sum, bias) in to.iter_mut().zip(&weights.biases) {
                *sum += factor * bias;
            }
            for (class, weight) in weights.entries(number) {
                to[class as usize] += factor * weight;
            }
        }
    }

    /// What a class of a kind says for a subheading, given its path.
    pub(super) fn says(&self, kind: usize, number: usize, path: [u32; LEVELS]) -> f32 {
        let of_level = |(weights, class): (&Weights, u32)| {
            weights.biases[class as usize] + weights.weight(number, class)
        };
        self.weights[kind].iter().zip(path).map(of_level).sum()
    }

    /// As it is kept.
    pub(super) fn to_stored(&self) -> Vec<StoredUsage> {
        let stored = |(keys, weights): (&Vec<(String, i64)>, &[Weights; LEVELS])| StoredUsage {
            texts: keys.iter().map(|(text, _)| text.clone()).collect(),
            numbers: keys.iter().map(|(_, number)| *number).collect(),
            levels: weights.iter().map(Weights::to_stored).collect(),
        };
        self.keys.iter().zip(&self.weights).map(stored).collect()
    }

    /// Of kept parts; `None` when they do not fit each other or the classes. A model that was made before has none.
    pub(super) fn of_stored(stored: Vec<StoredUsage>, classes: &Classes) -> Option<Self> {
        if stored.is_empty() {
            return Some(Self::default());
        }
        let mut usage = Self::default();
        let stored: [StoredUsage; KINDS] = stored.try_into().ok()?;
        for (kind, StoredUsage { texts, numbers, levels }) in stored.into_iter().enumerate() {
            let levels: Vec<Weights> = levels.into_iter().map(Weights::of_stored).collect();
            let levels: [Weights; LEVELS] = levels.try_into().ok()?;
            let whole = |level: usize| levels[level].is_whole(texts.len(), classes.codes(level).len());
            if texts.len() != numbers.len() || !(0..LEVELS).all(whole) {
                return None;
            }
            usage.keys[kind] = texts.into_iter().zip(numbers).collect();
            if !usage.keys[kind].is_sorted_by(|one, next| one < next) {
                return None;
            }
            usage.weights[kind] = levels;
        }
        Some(usage)
    }
}

/// The usage of one kind in a model's bytes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredUsage {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
    #[prost(sint64, repeated, tag = "2")]
    numbers: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    levels: Vec<StoredWeights>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(kind: usize, text: &str, number: i64, code: u32, items: u64) -> Counted {
        Counted { kind, key: (text.to_owned(), number), code, items }
    }

    #[test]
    fn what_was_counted_is_kept_and_what_was_not_says_nothing() {
        let classes = Classes::new(vec![10_121, 10_129, 20_110]);
        let counts = [
            counted(0, "NZ", 0, 10_121, 30),
            counted(0, "FR", 0, 10_121, 10),
            counted(0, "FR", 0, 10_129, 20),
            counted(0, "FR", 0, 20_110, 140),
        ];
        let usage = Usage::of(&counts, &classes);
        let says = |origin: &str, class: usize| {
            let particulars = Particulars { origin: Some(origin), ..Particulars::default() };
            let [number, ..] = usage.numbers(&particulars);
            number.map(|number| usage.says(0, number, classes.paths()[class]))
        };
        assert!(says("NZ", 0) > says("NZ", 1) && says("NZ", 1) > says("NZ", 2));
        assert_eq!(says("XX", 0), None);

        let mut sums: [Vec<f32>; LEVELS] = [vec![0.0; 2], vec![0.0; 2], vec![0.0; 3]];
        usage.add(0, 1, 2.0, &mut sums);
        for (class, path) in classes.paths().iter().enumerate() {
            let sum: f32 = sums.iter().zip(path).map(|(level, class)| level[*class as usize]).sum();
            assert!((sum - 2.0 * says("NZ", class).expect("known")).abs() < 1e-5);
        }
        let again = Usage::of_stored(usage.to_stored(), &classes);
        assert_eq!(again.as_ref(), Some(&usage));
        assert_eq!(Usage::of_stored(usage.to_stored(), &Classes::new(vec![10_121])), None);
        assert!(Usage::of_stored(Vec::new(), &classes).is_some_and(|usage| usage.is_empty()));
    }

    #[test]
    fn a_value_resembles_its_neighbours_and_belongs_to_its_unit() {
        let classes = Classes::new(vec![10_121, 20_110]);
        let counts = [
            counted(2, "NAR", 10, 10_121, 100),
            counted(2, "NAR", 14, 20_110, 100),
            counted(2, "KGM", 10, 20_110, 100),
        ];
        let usage = Usage::of(&counts, &classes);
        let says = |unit: Option<&'static str>, value: i64, class: usize| {
            let particulars = Particulars { unit, unit_value: Some(value), ..Particulars::default() };
            let [.., number, _] = usage.numbers(&particulars);
            number.map(|number| usage.says(2, number, classes.paths()[class]))
        };
        for value in [9, 10, 11] {
            assert!(says(Some("NAR"), value, 0) > says(Some("NAR"), value, 1));
            assert!(says(Some("KGM"), value, 0) < says(Some("KGM"), value, 1));
        }
        assert_eq!((says(None, 10, 0), says(Some("NAR"), 30, 0)), (None, None));
    }

    #[test]
    fn what_a_person_gives_has_the_classes_of_declarations() {
        let given = |unit, value| Particulars::given(Some(" TH "), unit, Some(value));
        let particulars = given(Some("NAR"), 8.0).expect("given");
        assert_eq!((particulars.origin, particulars.unit_value), (Some("TH"), Some(6)));
        assert_eq!(given(Some(" "), 0.9).expect("given").mass_value, Some(-1));
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(given(None, wrong).expect_err("refused").kind(), crate::ErrorKind::Input);
        }
        assert!(Particulars::given(Some(""), None, None).expect("given").is_empty());
    }
}
