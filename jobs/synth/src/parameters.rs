//! What to generate: the parameters of an archive, with their ranges. The descriptions of the fields are the texts of
//! `--help`.

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Period, Result};

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
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// The reporting country: two capital letters.
    #[arg(long)]
    pub country: String,
    /// Year and month of the first month; the month is 1 to 12.
    #[arg(skip)]
    pub first_month: (i32, u32),
    /// How many months, 1 to 1200.
    #[arg(skip)]
    pub months: u32,
    /// Goods items a year, 12 to 10 billion; default: 200,000.
    #[arg(long, required = false)]
    pub rows_per_year: u64,
    /// Two archives differ if their seeds do; default: 0.
    #[arg(long, required = false)]
    pub seed: u64,
    /// Share of the items that try to evade duty, 0 to 0.3; a few of them find nothing to evade. Default:
    /// 0.06.
    #[arg(long, required = false)]
    pub illicit_rate: f64,
    /// Share of the items that are inspected, 0 to 0.6; default: 0.1.
    #[arg(long, required = false)]
    pub inspection_rate: f64,
    /// Share of the inspected illicit items that inspectors miss, 0 to 1.
    #[arg(skip)]
    pub label_noise: f64,
    /// Share of the rows that [`write_csv`] spoils, 0 to 1.
    #[arg(skip)]
    pub planted_error_rate: f64,
    /// Which schemes are practised.
    #[arg(skip)]
    pub schemes: Schemes,
    /// Year and month from which false discounts appear, among traders picked without regard to their
    /// past; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_parser = month_of)]
    pub new_scheme_from: Option<(i32, u32)>,
    /// Share of the traders that practise false discounts, in whole hundredths, 0 to 1.
    #[arg(long, required = false)]
    pub new_scheme_traders: f64,
    /// Share of their items that these traders discount, 0 to 1.
    #[arg(long, required = false)]
    pub new_scheme_share: f64,
    /// How many times as large their discounted shipments are, 1 to 1000: the more, the more of the revenue that
    /// is lost is theirs.
    #[arg(long, required = false)]
    pub new_scheme_size: f64,
    /// Whether only traders of the least inclination and in no ring, whose past is clean, practise false discounts.
    #[arg(long)]
    pub new_scheme_by_unsuspected: bool,
    /// Whether those traders then declare through three new brokers: a new ring.
    #[arg(long)]
    pub new_scheme_by_new_brokers: bool,
    /// Whether they discount nothing but goods that are free of duty, and so evade the tax alone, where the old
    /// schemes are fewest.
    #[arg(long)]
    pub new_scheme_on_free_goods: bool,
    /// Year and month of the last month in which the schemes other than false discounts are practised in full;
    /// absent: to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long, value_parser = month_of)]
    pub old_schemes_until: Option<(i32, u32)>,
    /// Share of those schemes that goes on after that month, 0 to 1.
    #[arg(long, required = false)]
    pub old_schemes_left: f64,
    /// Whether the inclination of some traders changes every half year, and prices rise faster.
    #[arg(long)]
    pub drift: bool,
    /// Whether traders differ in their inclination to fraud, so that their past predicts their future.
    #[arg(skip)]
    pub histories: bool,
    /// Whether complicit declarants cheat more often on some of their origins.
    #[arg(skip)]
    pub rings: bool,
    /// Whether honest trade changes: every half year another twentieth of the items, up to half, are codes in high
    /// demand, whatever their trader's routes. It changes what is declared and not how likely fraud is.
    #[arg(long)]
    pub covariate_drift: bool,
    /// Pareto index of the size of shipments, above 0 and at most 10; the smaller, the heavier the tail of
    /// values and revenue. Absent: sizes are log-normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub heavy_tail: Option<f64>,
    /// How far the archive's own inspection follows its risk rule: 0 (at random) to 1.
    #[arg(long, required = false)]
    pub inspection_bias: f64,
}

/// Reads the month of an option such as 2021-06.
fn month_of(text: &str) -> Result<(i32, u32)> {
    Ok(text.parse::<Period>()?.first_month())
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
    /// [`tidewaiter_core::ErrorKind::Input`], naming the parameter, its value and the range.
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

    /// Year and month (1 to 12), so many months after the first.
    pub(crate) fn month_at(&self, since: u32) -> (i32, u32) {
        let (year, month) = self.first_month;
        let months = month - 1 + since;
        (year + (months / 12) as i32, months % 12 + 1)
    }
}
