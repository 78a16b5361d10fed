//! The list of features: name, order and meaning. Start at [`features`].

use std::sync::LazyLock;

/// A value of a row whose past is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Hs6,
    Hs4,
    Hs2,
    Origin,
    Departure,
    Office,
    Importer,
    Declarant,
    Exporter,
    Carrier,
    Preference,
    Procedure,
}

/// Number of [`Key`]s.
pub(super) const KEYS: usize = Key::Procedure as usize + 1;

/// The column of each [`Key`], and how many of its first characters are used; `None`: all.
pub(super) const KEYED_BY: [(&str, Option<usize>); KEYS] = [
    ("hs_code", Some(6)),
    ("hs_code", Some(4)),
    ("hs_code", Some(2)),
    ("origin", None),
    ("departure", None),
    ("office", None),
    ("importer", None),
    ("declarant", None),
    ("exporter", None),
    ("carrier", None),
    ("preference", None),
    ("procedure", None),
];

/// The history of one key, or of two together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) first: Key,
    pub(super) second: Option<Key>,
    /// Whether it has features of how often and how long ago it was seen, whatever the outcome.
    pub(super) activity: bool,
    /// Whether it has features of how the price per kilogram compares with its past.
    pub(super) prices: bool,
    meaning: &'static str,
}

impl Family {
    /// How many features it has.
    pub(super) const fn columns(&self) -> usize {
        2 + 2 * self.activity as usize + 2 * self.prices as usize
    }
}

const fn one(name: &'static str, key: Key, activity: bool, meaning: &'static str) -> Family {
    Family { name, first: key, second: None, activity, prices: matches!(key, Key::Hs6), meaning }
}

const fn two(name: &'static str, first: Key, second: Key, activity: bool, meaning: &'static str) -> Family {
    let prices = matches!((first, second), (Key::Hs6, Key::Origin));
    Family { name, first, second: Some(second), activity, prices, meaning }
}

/// Every history that is kept.
pub(super) const FAMILIES: &[Family] = &[
    one("hs6", Key::Hs6, true, "the HS 6 code"),
    one("hs4", Key::Hs4, false, "the HS 4 code"),
    one("hs2", Key::Hs2, false, "the HS 2 code"),
    one("origin", Key::Origin, false, "the origin"),
    one("departure", Key::Departure, false, "the departure country"),
    one("office", Key::Office, false, "the customs office"),
    one("importer", Key::Importer, true, "the importer"),
    one("declarant", Key::Declarant, true, "the declarant"),
    one("exporter", Key::Exporter, true, "the exporter"),
    one("carrier", Key::Carrier, false, "the carrier"),
    one("preference", Key::Preference, false, "the tariff treatment"),
    one("procedure", Key::Procedure, false, "the customs procedure"),
    two("hs6_origin", Key::Hs6, Key::Origin, true, "HS 6 × origin"),
    two("hs6_departure", Key::Hs6, Key::Departure, false, "HS 6 × departure country"),
    two("hs6_preference", Key::Hs6, Key::Preference, false, "HS 6 × tariff treatment"),
    two("importer_hs6", Key::Importer, Key::Hs6, true, "importer × HS 6"),
    two("importer_origin", Key::Importer, Key::Origin, true, "importer × origin"),
    two("exporter_hs6", Key::Exporter, Key::Hs6, true, "exporter × HS 6"),
    two("declarant_hs4", Key::Declarant, Key::Hs4, false, "declarant × HS 4"),
    two("office_hs6", Key::Office, Key::Hs6, false, "office × HS 6"),
    two("hs4_origin", Key::Hs4, Key::Origin, false, "HS 4 × origin"),
    two("origin_departure", Key::Origin, Key::Departure, false, "origin × departure country"),
];

/// Features of the row alone, in order.
pub(super) const DECLARED: &[(&str, &str)] = &[
    ("ln_customs_value", "ln(1 + customs value), national currency"),
    ("ln_net_mass", "ln(1 + net mass), kg"),
    ("ln_quantity", "ln(1 + supplementary quantity)"),
    ("ln_price_per_kg", "ln(customs value / net mass), national currency per kg"),
    ("ln_value_per_quantity", "ln(customs value / quantity), national currency per unit"),
    ("gross_net_ratio", "gross mass / net mass"),
    ("duty_rate", "tariff rate, percent"),
    ("tax_rate", "rate of other taxes, percent"),
    ("tax_ratio", "(duty + other taxes) / customs value; an amount not given counts as none"),
    ("hs6_code", "first 6 digits of the commodity code as a number"),
    ("hs4_code", "first 4 digits of the commodity code as a number"),
    ("hs2_code", "first 2 digits of the commodity code as a number"),
    ("day_of_week", "day of acceptance, 1 Monday .. 7 Sunday"),
    ("month", "month of acceptance, 1 .. 12"),
    ("day_of_year", "day of acceptance, 1 .. 366"),
];

/// Columns whose code is a feature `<column>_code`: its first three bytes as a big-endian number.
pub(super) const CODES: &[&str] = &[
    "office",
    "declaration_type",
    "procedure",
    "goods_use",
    "payment_method",
    "carrier",
    "origin",
    "departure",
    "origin_marking",
    "transport_mode",
    "preference",
    "quantity_unit",
];

/// A feature's name and meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its column's name.
    pub name: String,
    /// What it measures, with unit and range.
    pub meaning: String,
    /// What it is computed from.
    pub source: Source,
}

/// What a feature is computed from; texts about its values are written by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Amounts, rates and days of the row alone.
    Row,
    /// The code in this column: its first three bytes as a big-endian number.
    Code(&'static str),
    /// A measure of the past of something, such as `the importer` or `HS 6 × origin` (both together).
    Past(Measure, &'static str),
}

/// What is measured of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Smoothed illicit share, 0 .. 1.
    Rate,
    /// ln(1 + outcomes).
    Labelled,
    /// ln(1 + rows).
    Seen,
    /// Days since the last row.
    Days,
    /// Logarithm of the price per kilogram against its past, in standard deviations.
    PriceDeviation,
    /// ln(price per kilogram / past geometric mean).
    PriceRatio,
}

/// Every feature, in the order of the columns. A missing value is NaN.
pub fn features() -> &'static [Feature] {
    static ALL: LazyLock<Vec<Feature>> = LazyLock::new(|| {
        let feature = |name: String, meaning: String, source| Feature { name, meaning, source };
        let mut all: Vec<Feature> = DECLARED
            .iter()
            .map(|(name, meaning)| feature((*name).into(), (*meaning).into(), Source::Row))
            .collect();
        all.extend(CODES.iter().map(|column| {
            let meaning = format!("first three bytes of {column} as a big-endian number");
            feature(format!("{column}_code"), meaning, Source::Code(column))
        }));
        for family in FAMILIES {
            let Family { name, meaning: of, .. } = *family;
            let mut past = |ending: &str, meaning: String, measure| {
                all.push(feature(format!("{name}_{ending}"), meaning, Source::Past(measure, of)));
            };
            past("rate", format!("smoothed past illicit share of {of}, 0 .. 1"), Measure::Rate);
            past("labelled", format!("ln(1 + past outcomes) of {of}"), Measure::Labelled);
            if family.activity {
                past("seen", format!("ln(1 + past rows) of {of}"), Measure::Seen);
                past("days", format!("days since the last row of {of}"), Measure::Days);
            }
            if family.prices {
                let deviation = format!("log price per kg against the past of {of}, in standard deviations");
                past("price_deviation", deviation, Measure::PriceDeviation);
                let ratio = format!("ln(price per kg / past geometric mean) of {of}");
                past("price_ratio", ratio, Measure::PriceRatio);
            }
        }
        all
    });
    &ALL
}
