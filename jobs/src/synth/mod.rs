//! A seeded generator of a national archive of declarations, of any size, with the truth beside it.
//!
//! [`Synth`] promises: the same [`Parameters`] give the same rows; a month depends on no other month, so
//! that months may be generated in any order, on any machine ([`Synth::month`]); rows come in the order of
//! their dates; and each batch carries a truth batch, row for row. It draws traders from Zipf laws, prices
//! from log-normal laws by HS code and origin, and plants four schemes of fraud, tied to traders, to rings
//! (a declarant and the origins it works for) and to goods with a high duty: undervaluation,
//! misclassification, false origin and under-weighing; a fifth, a false discount on the invoice, can appear
//! at a date. The schemes are those of the WCO's *Illicit Trade Report* and of Kim et al., *DATE*
//! (KDD 2020), whose synthetic declarations set the pattern.
//!
//! What an inspector finds ([`write_csv`] and the columns `illicit` and `additional_revenue`) is less than
//! the truth: only the inspected rows have an outcome, they are chosen by a noisy rule, and a share of the
//! illicit ones is missed.
//!
//! For backtests each of these has a switch of its own, whose default leaves the archive as it is without it:
//! the traders' histories (`histories`), the rings (`rings`), new tricks (`new_scheme_from`, practised by
//! `new_scheme_traders`, or by those whom a clean past protects, `new_scheme_by_unsuspected`, or through a ring
//! of new brokers, `new_scheme_by_new_brokers`, on goods free of duty alone, `new_scheme_on_free_goods`, in
//! shipments `new_scheme_size` times as large), the end of the old ones (`old_schemes_until`), honest trade that
//! moves (`covariate_drift`), heavy-tailed shipments (`heavy_tail`) and how far the archive's own inspection
//! follows its rule (`inspection_bias`).
//!
//! Nothing but what a scheme needs gives it away: a declared code carries its own unit, papers agree with
//! the declared origin, and honest trade too brings goods and origins that a route has not seen. Of the
//! illicit items about 30 in a hundred are undervalued, 30 misclassified, 20 of a false origin and 20
//! under-weighed; a small archive, in which a few traders dominate, strays from that.
//!
//! The declarations' way to release is a log of its own ([`releases`]), for the Time Release Study.
//!
//! How hard it is: a tuned booster reaches a ROC AUC between 0.75 and 0.92 on rows with a known outcome of the
//! last half year of three. `hardness.py` in this folder measures it, on features of strictly earlier
//! months, and `docs/benchmarks.md` holds its figures.
//!
//! Start at [`Parameters`].

use std::sync::{Arc, LazyLock};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod economy;
mod month;
mod raw;
pub mod releases;
#[cfg(test)]
mod tests;

pub use month::Month;
pub use raw::write_csv;

/// Most rows of a batch.
pub const BATCH_ROWS: usize = 65_536;

/// Names of the schemes in the truth's column `scheme`.
pub const SCHEMES: [&str; 5] =
    ["undervaluation", "misclassification", "false_origin", "under_weighing", "false_discount"];

/// Names of the errors that [`write_csv`] plants, in the truth's column `planted_error`.
pub const PLANTED_ERRORS: [&str; 4] =
    ["impossible_date", "unknown_country", "negative_mass", "letters_in_number"];

/// How much of the year's trade falls in each month; the mean is one.
const SEASON: [f64; 12] = [0.88, 0.86, 0.98, 0.96, 1.0, 0.98, 0.99, 1.0, 1.05, 1.12, 1.14, 1.04];

/// Which schemes of fraud are practised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schemes {
    /// The value is declared too low.
    pub undervaluation: bool,
    /// A nearby HS code with a lower duty is declared.
    pub misclassification: bool,
    /// An origin that enjoys a preference is declared.
    pub false_origin: bool,
    /// A part of the mass, and its value, is not declared.
    pub under_weighing: bool,
}

impl Default for Schemes {
    fn default() -> Self {
        Self { undervaluation: true, misclassification: true, false_origin: true, under_weighing: true }
    }
}

/// What to generate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// The reporting country: two capital letters.
    pub country: String,
    /// Year and month of the first month; the month is 1 to 12.
    pub first_month: (i32, u32),
    /// How many months, 1 to 1200.
    pub months: u32,
    /// Goods items a year, 12 to 10 billion.
    pub rows_per_year: u64,
    /// Two archives differ if their seeds do.
    pub seed: u64,
    /// Share of the items that try to evade duty, 0 to 0.3; a few of them find nothing to evade.
    pub illicit_rate: f64,
    /// Share of the items that are inspected, 0 to 0.6.
    pub inspection_rate: f64,
    /// Share of the inspected illicit items that inspectors miss, 0 to 1.
    pub label_noise: f64,
    /// Share of the rows that [`write_csv`] spoils, 0 to 1.
    pub planted_error_rate: f64,
    /// Which schemes are practised.
    pub schemes: Schemes,
    /// Year and month from which false discounts appear, among traders picked without regard to their
    /// past; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_scheme_from: Option<(i32, u32)>,
    /// Share of the traders that take to false discounts, in whole hundredths, 0 to 1.
    pub new_scheme_traders: f64,
    /// Share of their items that these traders discount, 0 to 1.
    pub new_scheme_share: f64,
    /// How many times as large their discounted shipments are, 1 to 1000: the more, the more of the revenue that
    /// is lost is theirs.
    pub new_scheme_size: f64,
    /// Whether the false discounts are those of traders that nobody suspects: of the least inclination and in no
    /// ring, so that their past is clean.
    pub new_scheme_by_unsuspected: bool,
    /// Whether those traders then declare through brokers that nobody knows, three of them: a new ring.
    pub new_scheme_by_new_brokers: bool,
    /// Whether they discount nothing but goods that are free of duty, and so evade the tax alone, where the old tricks
    /// are fewest.
    pub new_scheme_on_free_goods: bool,
    /// Year and month of the last month in which the schemes in [`Schemes`] are practised in full; absent: to the
    /// end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_schemes_until: Option<(i32, u32)>,
    /// Share of those schemes that goes on after that month, 0 to 1.
    pub old_schemes_left: f64,
    /// Whether traders change their ways every half year and prices rise faster.
    pub drift: bool,
    /// Whether traders differ in their inclination to fraud, so that their past tells of their future.
    pub histories: bool,
    /// Whether complicit declarants cheat more often on some of their origins.
    pub rings: bool,
    /// Whether honest trade moves: every half year another twentieth of the items, up to half, are goods in
    /// fashion, whatever their trader's routes. It changes what is declared and not how likely fraud is.
    pub covariate_drift: bool,
    /// Pareto index of the size of shipments, above 0 and at most 10; the smaller, the heavier the tail of
    /// values and revenue. Absent: sizes are log-normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heavy_tail: Option<f64>,
    /// How far the archive's own inspection follows its risk rule: 0 (by lot alone) to 1.
    pub inspection_bias: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            country: "ZA".to_owned(),
            first_month: (2019, 1),
            months: 12,
            rows_per_year: 1_000_000,
            seed: 1,
            illicit_rate: 0.06,
            inspection_rate: 0.1,
            label_noise: 0.1,
            planted_error_rate: 0.001,
            schemes: Schemes::default(),
            new_scheme_from: None,
            new_scheme_traders: 0.06,
            new_scheme_share: 0.35,
            new_scheme_size: 1.0,
            new_scheme_by_unsuspected: false,
            new_scheme_by_new_brokers: false,
            new_scheme_on_free_goods: false,
            old_schemes_until: None,
            old_schemes_left: 0.0,
            drift: false,
            histories: true,
            rings: true,
            covariate_drift: false,
            heavy_tail: None,
            inspection_bias: 1.0,
        }
    }
}

impl Parameters {
    /// Checks every range.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`], naming the parameter, its value and the range.
    pub fn validate(&self) -> Result<()> {
        let wrong = |what: &str, value: String, wanted: &str| {
            Err(Error::input(format!("{what} is {value}; it must be {wanted}")))
        };
        if self.country.len() != 2 || !self.country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return wrong("country", format!("{:?}", self.country), "two capital letters (ISO 3166-1)");
        }
        for (what, (year, month)) in [
            ("first_month", Some(self.first_month)),
            ("new_scheme_from", self.new_scheme_from),
            ("old_schemes_until", self.old_schemes_until),
        ]
        .into_iter()
        .filter_map(|(what, month)| month.map(|month| (what, month)))
        {
            if !(1900..=2200).contains(&year) || !(1..=12).contains(&month) {
                return wrong(what, format!("({year}, {month})"), "a year 1900 to 2200 and a month 1 to 12");
            }
        }
        if !(1..=1200).contains(&self.months) {
            return wrong("months", self.months.to_string(), "1 to 1200");
        }
        if !(12..=10_000_000_000).contains(&self.rows_per_year) {
            return wrong("rows_per_year", self.rows_per_year.to_string(), "12 to 10 billion");
        }
        for (what, value, most) in [
            ("illicit_rate", self.illicit_rate, 0.3),
            ("inspection_rate", self.inspection_rate, 0.6),
            ("label_noise", self.label_noise, 1.0),
            ("planted_error_rate", self.planted_error_rate, 1.0),
            ("inspection_bias", self.inspection_bias, 1.0),
            ("new_scheme_traders", self.new_scheme_traders, 1.0),
            ("new_scheme_share", self.new_scheme_share, 1.0),
            ("old_schemes_left", self.old_schemes_left, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return wrong(what, value.to_string(), &format!("0 to {most}"));
            }
        }
        if !(1.0..=1000.0).contains(&self.new_scheme_size) {
            return wrong("new_scheme_size", self.new_scheme_size.to_string(), "1 to 1000");
        }
        if let Some(index) = self.heavy_tail.filter(|index| !(*index > 0.0 && *index <= 10.0)) {
            return wrong("heavy_tail", index.to_string(), "above 0 and at most 10");
        }
        Ok(())
    }

    /// Year and month, so many months after the first.
    fn month_at(&self, since: u32) -> (i32, u32) {
        let (year, month) = self.first_month;
        let months = month - 1 + since;
        (year + (months / 12) as i32, months % 12 + 1)
    }
}

/// A batch of goods items and the truth about them, row for row.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthBatch {
    /// Rows of [`crate::archive::schema::declarations`].
    pub declarations: RecordBatch,
    /// Rows of [`truth_schema`].
    pub truth: RecordBatch,
}

/// The schema of the truth: `illicit`, `scheme` (null where licit), `additional_revenue` (evaded duty and
/// tax, national currency), `planted_error` (null where the row is sound), `inclination` (factor of the
/// trader's fraud rate at the time) and `ring` (whether a complicit declarant works on its origin).
pub fn truth_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("illicit", DataType::Boolean, false),
            Field::new("scheme", DataType::Utf8, true),
            Field::new("additional_revenue", DataType::Float64, false),
            Field::new("planted_error", DataType::Utf8, true),
            Field::new("inclination", DataType::Float64, false),
            Field::new("ring", DataType::Boolean, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Duty and tax that the true goods owe, less what was assessed on the declaration; national currency, to
/// the hundredth. Rates are in percent; the tax is due on the value with the duty.
pub fn revenue_evaded(true_value: f64, true_duty_rate: f64, true_tax_rate: f64, assessed: f64) -> f64 {
    let duty = true_value * true_duty_rate / 100.0;
    let tax = (true_value + duty) * true_tax_rate / 100.0;
    ((duty + tax - assessed) * 100.0).round() / 100.0
}

/// The generator: an iterator of batches over all months.
pub struct Synth {
    parameters: Arc<Parameters>,
    economy: Arc<economy::Economy>,
    next: u32,
    current: Option<Month>,
}

impl Synth {
    /// Builds the traders, goods and routes, which takes some milliseconds.
    ///
    /// # Errors
    /// Those of [`Parameters::validate`].
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.validate()?;
        let economy = Arc::new(economy::Economy::new(&parameters));
        Ok(Self { parameters: Arc::new(parameters), economy, next: 0, current: None })
    }

    /// One month alone, so many months after the first; the same rows as the iterator gives for it.
    pub fn month(&self, since: u32) -> Month {
        let rows = self.rows_of(since);
        Month::new(Arc::clone(&self.parameters), Arc::clone(&self.economy), since, rows)
    }

    /// Year and month, so many months after the first.
    pub fn month_at(&self, since: u32) -> (i32, u32) {
        self.parameters.month_at(since)
    }

    /// How many goods items a month has.
    pub fn rows_of(&self, since: u32) -> u64 {
        let (_, month) = self.parameters.month_at(since);
        (self.parameters.rows_per_year as f64 / 12.0 * SEASON[month as usize - 1]).round() as u64
    }

    /// How many goods items all months have.
    pub fn rows(&self) -> u64 {
        (0..self.parameters.months).map(|since| self.rows_of(since)).sum()
    }
}

impl Iterator for Synth {
    type Item = Result<SynthBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.current.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            if self.next == self.parameters.months {
                return None;
            }
            self.current = Some(self.month(self.next));
            self.next += 1;
        }
    }
}
