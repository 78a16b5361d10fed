//! Attributes of goods that declarations state beside the description: origin, unit of quantity, and value per unit.
//!
//! An attribute ([`Attributes`]) is missing or one of some classes: an origin; a unit; the customs value per unit, or
//! per kilogram, in half octaves (a class is a factor of √2 wide). They are counted by code in one query each
//! ([`counts`]). A retrain's validation and test files hold each item's own attributes ([`expressions`],
//! [`AttributeColumns`]); the training file does not. Start at [`Attributes`].

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
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, ResultExt, query::Run as _};

use crate::codes::{digits::six_digits, nomenclature::Nomenclature};

/// The kinds of attributes: origin, unit, value per unit, value per kilogram.
pub(crate) const KINDS: usize = 4;

/// The columns of the attributes in a query's rows and in files, by kind.
pub(crate) const COLUMNS: [&str; KINDS] = ["origin", "unit", "unit_value", "mass_value"];

/// Whether a kind's classes are those of a value, whose neighbours are similar.
pub(crate) const IS_VALUE: [bool; KINDS] = [false, false, true, true];

/// Whether a kind follows from the declared code: customs tariffs prescribe the supplementary unit by the code, so that a
/// wrong code brings a unit, and a value per unit, that confirm it.
const FOLLOWS_FROM_CODE: [bool; KINDS] = [false, true, true, false];

/// Classes of a value for each doubling.
const CLASSES_PER_DOUBLING: f64 = 2.0;

/// The attributes of an item, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// Country of origin, ISO 3166-1 alpha-2.
    pub origin: Option<&'a str>,
    /// Unit of the quantity, as declarations have it.
    pub unit: Option<&'a str>,
    /// The class of the customs value per unit; ignored without the unit.
    pub unit_value: Option<i64>,
    /// The class of the customs value per kilogram.
    pub mass_value: Option<i64>,
}

impl<'a> Attributes<'a> {
    /// The attributes that a user gives; the value is per unit where there is a unit, and per kilogram otherwise.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a value that is not above 0.
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

    /// The same without unit and value per unit.
    pub(crate) fn without_unit(self) -> Self {
        Self { unit: None, unit_value: None, ..self }
    }

    /// Whether none is known.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The class of a kind, as text and number; `None` when it is missing.
    pub(crate) fn key(&self, kind: usize) -> Option<(&'a str, i64)> {
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
    (value > 0.0 && value.is_finite()).then(|| (value.log2() * CLASSES_PER_DOUBLING).floor() as i64)
}

/// The columns of the attributes that a model may use.
pub(crate) fn columns(unit_independent: bool) -> impl Iterator<Item = &'static str> {
    let allowed = FOLLOWS_FROM_CODE.map(|follows| unit_independent || !follows);
    COLUMNS.into_iter().zip(allowed).filter(|(_, allowed)| *allowed).map(|(name, _)| name)
}

/// The attributes of declarations, as expressions with the names of [`COLUMNS`].
pub(crate) fn expressions() -> Result<[Expr; KINDS]> {
    let value = |measure: &str, name: &str| {
        let per = col("customs_value") / col(measure);
        let class = try_cast(floor(log2(per) * lit(CLASSES_PER_DOUBLING)), DataType::Int64);
        let known = col(measure).gt(lit(0.0)).and(col("customs_value").gt(lit(0.0)));
        Ok::<_, Error>(when(known, class).end()?.alias(name))
    };
    let unit = col("quantity_unit").alias("unit");
    Ok([col("origin"), unit, value("quantity", "unit_value")?, value("net_mass", "mass_value")?])
}

/// The fields of the columns in files.
pub(crate) fn fields() -> [Field; KINDS] {
    std::array::from_fn(|kind| {
        let data = if IS_VALUE[kind] { DataType::Int64 } else { DataType::Utf8 };
        Field::new(COLUMNS[kind], data, true)
    })
}

/// The attributes of a batch's rows; those without a column are missing.
pub(crate) struct AttributeColumns {
    texts: [Option<StringArray>; 2],
    values: [Option<Int64Array>; 2],
}

impl AttributeColumns {
    /// The columns of a batch.
    pub(crate) fn of(batch: &RecordBatch) -> Result<Self> {
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

    /// The attributes of a row.
    pub(crate) fn at(&self, row: usize) -> Attributes<'_> {
        let text = |at: usize| {
            let known = self.texts[at].as_ref().filter(|texts| texts.is_valid(row));
            known.map(|texts| texts.value(row)).filter(|text| !text.is_empty())
        };
        let value = |at: usize| {
            let known = self.values[at].as_ref().filter(|values| values.is_valid(row));
            known.map(|values| values.value(row))
        };
        Attributes { origin: text(0), unit: text(1), unit_value: value(0), mass_value: value(1) }
    }
}

/// How many items of a code have an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttributeCount {
    /// The attribute's kind.
    pub(crate) kind: usize,
    /// Its class, as text and number.
    pub(crate) key: (String, i64),
    /// The code, six digits.
    pub(crate) code: u32,
    pub(crate) items: u64,
}

/// Counts the attributes of declarations by code, in a query for each kind; codes that the nomenclature lacks are left
/// out, and unless `unit_independent` the kinds that follow from the declared code. There is one count for each code and
/// class, few enough to collect.
///
/// # Errors
/// Those of the queries.
pub(crate) async fn counts(
    declarations: &DataFrame,
    nomenclature: &Nomenclature,
    unit_independent: bool,
) -> Result<Vec<AttributeCount>> {
    let mut counts: BTreeMap<(usize, (String, i64), u32), u64> = BTreeMap::new();
    let [origin, unit, unit_value, mass_value] = expressions()?;
    let (no_text, no_number) = (lit("").alias("text"), lit(0_i64).alias("number"));
    let keys = [
        [origin.alias("text"), no_number.clone()],
        [unit.clone().alias("text"), no_number],
        [unit.alias("text"), unit_value.alias("number")],
        [no_text, mass_value.alias("number")],
    ];
    let counted =
        keys.into_iter().enumerate().filter(|(kind, _)| unit_independent || !FOLLOWS_FROM_CODE[*kind]);
    for (kind, [text, number]) in counted {
        let code = left(col("hs_code"), lit(6_i64)).alias("code");
        let counted = declarations
            .clone()
            .select(vec![code, text, number])?
            .filter(col("text").is_not_null().and(col("number").is_not_null()))?
            .aggregate(
                vec![col("code"), col("text"), col("number")],
                vec![count(lit(1_i64)).alias("items")],
            )?;
        for batch in counted.batches().await.context(|| format!("count the {} of codes", COLUMNS[kind]))? {
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
    let counted = |((kind, key, code), items)| AttributeCount { kind, key, code, items };
    Ok(counts.into_iter().map(counted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_gives_has_the_classes_of_declarations() {
        let given = |unit, value| Attributes::given(Some(" TH "), unit, Some(value));
        let attributes = given(Some("NAR"), 8.0).expect("given");
        assert_eq!((attributes.origin, attributes.unit_value), (Some("TH"), Some(6)));
        assert_eq!(given(Some(" "), 0.9).expect("given").mass_value, Some(-1));
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(given(None, wrong).expect_err("refused").kind(), tidewaiter_core::ErrorKind::Input);
        }
        assert!(Attributes::given(Some(""), None, None).expect("given").is_empty());
    }
}
