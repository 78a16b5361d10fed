//! Features of declarations, in one pass over them in time order, from the past only.
//!
//! A feature of a row uses the row itself, rows of *strictly earlier days*, and outcomes of days at least
//! [`Parameters::label_delay_days`] before. So a model fitted on these features has seen in training what it
//! will see in use; the published risk profiles, computed on the rows they are then given to, have not.
//! The families of keys follow the risk profiles of DATE (Kim et al., KDD 2020); smoothing towards the
//! overall rate is Micci-Barreca's (SIGKDD Explorations, 2001). The output does not depend on how the stream
//! is cut into batches. One builder serves one country. Start at [`FeatureBuilder::push`].

mod catalogue;
mod columns;
mod files;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, RecordBatch, StringArray},
    compute::filter_record_batch,
    datatypes::{DataType, Field, Float32Type, Schema, SchemaRef},
};
use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use catalogue::{CODES, FAMILIES, Family, KEYS, Key};
pub use catalogue::{Feature, Measure, Source, features};
pub(super) use files::ORDER;
pub use files::{FeatureFile, FeatureFiles, FeaturesOperator, INPUT, Outcomes, Written, file_schema};

use super::history::{Counts, MISSING, Prices, Table, pair};
use crate::{Error, Result};

/// How features are computed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Days after acceptance when an outcome becomes known, at least 1.
    pub label_delay_days: u32,
    /// Keys of each family that are remembered exactly, at least 1: 30 to 60 bytes each (75 with prices), of
    /// memory used only as keys come. Beyond it the longest unseen are forgotten, and up to twice as many
    /// keys are held.
    pub history_capacity: usize,
    /// Weight of the overall illicit rate in a key's rate, in rows, above 0.
    pub smoothing: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { label_delay_days: 1, history_capacity: 1_000_000, smoothing: 10.0 }
    }
}

impl Parameters {
    fn check(&self) -> Result<()> {
        if self.label_delay_days == 0 {
            return Err(Error::input(
                "label_delay_days is 0: an outcome is known after the day, give 1 or more",
            ));
        }
        if self.history_capacity == 0 {
            return Err(Error::input(
                "history_capacity is 0: give the number of keys to remember, 1 or more",
            ));
        }
        if !(self.smoothing.is_finite() && self.smoothing > 0.0) {
            return Err(Error::input(format!(
                "smoothing is {}: give a number of rows above 0",
                self.smoothing
            )));
        }
        Ok(())
    }
}

/// Columns before the features.
const LEADING: usize = 5;

/// The schema of a [`FeatureBatch`]: `declaration_id`, `item_number`, `acceptance_date`, `label` (1 illicit,
/// 0 not, null unknown), `additional_revenue`, then every feature of [`features`] as a 32-bit float.
pub fn feature_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let mut fields = vec![
            Field::new("declaration_id", DataType::Utf8, false),
            Field::new("item_number", DataType::Int32, false),
            Field::new("acceptance_date", DataType::Date32, false),
            Field::new("label", DataType::Float32, true),
            Field::new("additional_revenue", DataType::Float64, true),
        ];
        fields.extend(features().iter().map(|feature| Field::new(&feature.name, DataType::Float32, false)));
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

/// The features of one batch of rows, in the rows' order.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureBatch {
    records: RecordBatch,
}

impl FeatureBatch {
    /// The batch as a table of [`feature_schema`].
    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.records.num_rows()
    }

    /// The values of the feature at `index` in [`features`]; NaN where missing.
    pub fn feature(&self, index: usize) -> &[f32] {
        self.records.column(LEADING + index).as_primitive::<Float32Type>().values()
    }

    /// The outcomes: 1 illicit, 0 not, null unknown.
    pub fn labels(&self) -> &Float32Array {
        self.records.column(3).as_primitive()
    }
}

/// The keys of some rows, 100 bytes each: what is needed of them when their outcomes are revealed later.
#[derive(Debug, Clone)]
pub struct RowKeys {
    days: Vec<i32>,
    keys: [Vec<u64>; KEYS],
}

/// Rows of one day, reduced to what the histories need of them.
#[derive(Debug, Default)]
struct Day {
    day: i32,
    keys: [Vec<u64>; KEYS],
    log_prices: Vec<f32>,
    outcomes: Vec<Option<bool>>,
}

impl Day {
    fn key(&self, family: &Family, row: usize) -> u64 {
        let first = self.keys[family.first as usize][row];
        family.second.map_or(first, |second| pair(first, self.keys[second as usize][row]))
    }

    /// Drops the rows without an outcome, and what an outcome does not need.
    fn keep_outcomes(&mut self) {
        self.log_prices = Vec::new();
        for keys in &mut self.keys {
            let mut outcomes = self.outcomes.iter();
            keys.retain(|_| outcomes.next().is_some_and(Option::is_some));
            keys.shrink_to_fit();
        }
        self.outcomes.retain(Option::is_some);
    }
}

/// Builds features in one pass.
#[derive(Debug)]
pub struct FeatureBuilder {
    parameters: Parameters,
    /// One table per family, and one of prices where the family has them.
    counts: Vec<Table<Counts>>,
    prices: Vec<Option<Table<Prices>>>,
    /// Outcomes of all rows that may be known.
    overall: Counts,
    /// The day that is not over.
    open: Option<Day>,
    /// Days over whose outcomes are not known yet.
    waiting: VecDeque<Day>,
}

impl FeatureBuilder {
    /// A builder that has seen nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a parameter is out of its range.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.check()?;
        Ok(Self {
            parameters,
            counts: FAMILIES.iter().map(|_| Table::new(parameters.history_capacity)).collect(),
            prices: FAMILIES
                .iter()
                .map(|family| family.prices.then(|| Table::new(parameters.history_capacity)))
                .collect(),
            overall: Counts::default(),
            open: None,
            waiting: VecDeque::new(),
        })
    }

    /// How many keys were forgotten so far, over all families: 0 means that every feature is exact.
    pub fn forgotten(&self) -> u64 {
        self.counts.iter().map(Table::forgotten).sum::<u64>()
            + self.prices.iter().flatten().map(Table::forgotten).sum::<u64>()
    }

    /// The features of the next rows. The batch has columns of [`crate::archive::schema::declarations`] (the
    /// ones not required may be absent) and continues the stream in order of `acceptance_date`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a required column is absent, null or of the wrong type, or the rows are
    /// not in time order; the
    /// builder is then as it was before.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<FeatureBatch> {
        self.push_some(batch, &BooleanArray::from(vec![true; batch.num_rows()]))
    }

    /// As [`FeatureBuilder::push`], with the features of some rows only, one flag for each row: the others are
    /// only remembered, which costs a fraction.
    ///
    /// # Errors
    /// As [`FeatureBuilder::push`].
    pub fn push_some(&mut self, batch: &RecordBatch, wanted: &BooleanArray) -> Result<FeatureBatch> {
        let days = columns::days(batch)?;
        let outcomes = columns::flags(batch, "illicit")?;
        let hs = columns::required(batch, "hs_code", &DataType::Utf8)?.as_string::<i32>().clone();
        let keys = row_keys(batch, &hs)?;
        let log_prices =
            ln_ratio(&columns::numbers(batch, "customs_value")?, &columns::numbers(batch, "net_mass")?);
        let of_wanted = filter_record_batch(batch, wanted)?;
        let (mut arrays, mut table) = leading_and_own(&of_wanted)?;
        self.check_order(days.values())?;

        let own = table.len();
        table.resize_with(features().len(), || Vec::with_capacity(of_wanted.num_rows()));
        let mut start = 0;
        let mut rows = Vec::new();
        for run in days.values().chunk_by(|a, b| a == b) {
            let range = start..start + run.len();
            start = range.end;
            self.advance(run[0]);
            rows.clear();
            rows.extend(range.clone().filter(|row| wanted.value(*row)));
            self.look_up(&keys, &log_prices, &rows, run[0], &mut table[own..]);
            self.note(&keys, &log_prices, &outcomes, range, run[0]);
        }
        arrays.extend(table.into_iter().map(|values| Arc::new(Float32Array::from(values)) as ArrayRef));
        Ok(FeatureBatch { records: RecordBatch::try_new(feature_schema(), arrays)? })
    }

    /// What the histories would learn outcomes by: the keys of rows, to be kept for [`FeatureBuilder::reveal`].
    ///
    /// # Errors
    /// As [`FeatureBuilder::push`].
    pub fn keys(batch: &RecordBatch) -> Result<RowKeys> {
        let hs = columns::required(batch, "hs_code", &DataType::Utf8)?.as_string::<i32>().clone();
        Ok(RowKeys { days: columns::days(batch)?.values().to_vec(), keys: row_keys(batch, &hs)? })
    }

    /// Takes in outcomes of rows that were pushed without one; they become known `label_delay_days` after their
    /// own day, to rows of days not yet pushed. `rows` are rising places in `keys`, one for each outcome
    /// (whether it is illicit); days come in order over all calls.
    pub fn reveal(&mut self, keys: &RowKeys, rows: &[usize], illicit: &[bool]) {
        let known: Vec<(usize, bool)> = rows.iter().copied().zip(illicit.iter().copied()).collect();
        for day in known.chunk_by(|(a, _), (b, _)| keys.days[*a] == keys.days[*b]) {
            let Some((first, _)) = day.first() else { continue };
            self.waiting.push_back(Day {
                day: keys.days[*first],
                keys: std::array::from_fn(|key| day.iter().map(|(row, _)| keys.keys[key][*row]).collect()),
                log_prices: Vec::new(),
                outcomes: day.iter().map(|(_, illicit)| Some(*illicit)).collect(),
            });
        }
    }

    fn check_order(&self, days: &[i32]) -> Result<()> {
        let last = self.open.as_ref().map_or(i32::MIN, |open| open.day);
        let late = days.iter().scan(last, |last, day| Some((std::mem::replace(last, *day), *day)));
        match late.enumerate().find(|(_, (before, day))| day < before) {
            None => Ok(()),
            Some((row, (before, day))) => Err(Error::input(format!(
                "row {row} of a batch of declarations was accepted on {}, after a row of {}: sort them by \
                 acceptance_date",
                date(day),
                date(before),
            ))),
        }
    }

    /// Ends the open day if `day` is a later one, and takes in the outcomes known by then.
    fn advance(&mut self, day: i32) {
        if let Some(mut over) = self.open.take_if(|open| open.day < day) {
            self.remember(&over);
            over.keep_outcomes();
            if !over.outcomes.is_empty() {
                self.waiting.push_back(over);
            }
        }
        let known = i64::from(day) - i64::from(self.parameters.label_delay_days);
        while self.waiting.front().is_some_and(|waiting| i64::from(waiting.day) <= known) {
            if let Some(waiting) = self.waiting.pop_front() {
                self.learn(&waiting);
            }
        }
    }

    /// Takes in the rows of a day that is over, without their outcomes.
    fn remember(&mut self, over: &Day) {
        for ((family, counts), prices) in FAMILIES.iter().zip(&mut self.counts).zip(&mut self.prices) {
            for (row, log_price) in over.log_prices.iter().enumerate() {
                let key = over.key(family, row);
                if key == MISSING {
                    continue;
                }
                counts.touch(key).see(over.day);
                if let Some(prices) = prices
                    && log_price.is_finite()
                {
                    prices.touch(key).add(f64::from(*log_price));
                }
            }
        }
    }

    /// Takes in the outcomes of a day.
    fn learn(&mut self, day: &Day) {
        for (family, counts) in FAMILIES.iter().zip(&mut self.counts) {
            for (row, outcome) in day.outcomes.iter().enumerate() {
                let key = day.key(family, row);
                if let Some(illicit) = *outcome
                    && key != MISSING
                {
                    counts.touch(key).learn(illicit);
                }
            }
        }
        for illicit in day.outcomes.iter().flatten() {
            self.overall.learn(*illicit);
        }
    }

    /// Appends the histories' features of rows of one day to the feature columns.
    fn look_up(
        &self,
        keys: &[Vec<u64>; KEYS],
        log_prices: &[f32],
        rows: &[usize],
        day: i32,
        table: &mut [Vec<f32>],
    ) {
        let prior = self.parameters.smoothing;
        // NaN before the first outcome: there is no rate to fall back on.
        let global = f64::from(self.overall.illicit) / f64::from(self.overall.labelled);
        let mut at = 0;
        for ((family, counts), prices) in FAMILIES.iter().zip(&self.counts).zip(&self.prices) {
            let columns = &mut table[at..];
            at += 2 + 2 * usize::from(family.activity) + 2 * usize::from(family.prices);
            for row in rows.iter().copied() {
                let first = keys[family.first as usize][row];
                let key = family.second.map_or(first, |second| pair(first, keys[second as usize][row]));
                let known = (key != MISSING).then(|| counts.get(key).copied().unwrap_or_default());
                let value = |of: &dyn Fn(Counts) -> f32| known.map_or(f32::NAN, of);
                columns[0].push(value(&|known| known.rate(prior, global) as f32));
                columns[1].push(value(&|known| (known.labelled as f32).ln_1p()));
                let mut next = 2;
                if family.activity {
                    columns[2].push(value(&|known| (known.seen as f32).ln_1p()));
                    columns[3].push(value(&|known| match known.last_day {
                        i32::MIN => f32::NAN,
                        last => (day - last) as f32,
                    }));
                    next = 4;
                }
                if let Some(prices) = prices {
                    let log_price = f64::from(log_prices[row]);
                    let past = prices.get(key).copied().unwrap_or_default();
                    columns[next].push(past.deviation(log_price).map_or(f32::NAN, |value| value as f32));
                    columns[next + 1].push(past.log_ratio(log_price).map_or(f32::NAN, |value| value as f32));
                }
            }
        }
    }

    /// Holds rows until their day is over.
    fn note(
        &mut self,
        keys: &[Vec<u64>; KEYS],
        log_prices: &[f32],
        outcomes: &BooleanArray,
        range: Range<usize>,
        day: i32,
    ) {
        let open = self.open.get_or_insert_with(|| Day { day, ..Day::default() });
        for (held, keys) in open.keys.iter_mut().zip(keys) {
            held.extend_from_slice(&keys[range.clone()]);
        }
        open.log_prices.extend_from_slice(&log_prices[range.clone()]);
        open.outcomes.extend(range.map(|row| outcomes.is_valid(row).then(|| outcomes.value(row))));
    }
}

/// The calendar day that a number of days since 1970-01-01 stands for.
pub(super) fn date(day: i32) -> NaiveDate {
    day.checked_add(719_163).and_then(NaiveDate::from_num_days_from_ce_opt).unwrap_or_default()
}

/// The columns before the features, and the features of the rows themselves.
fn leading_and_own(batch: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<Vec<f32>>)> {
    let days = columns::days(batch)?;
    let hs = columns::required(batch, "hs_code", &DataType::Utf8)?.as_string::<i32>().clone();
    let label: Float32Array = columns::flags(batch, "illicit")?
        .iter()
        .map(|outcome| outcome.map(|illicit| f32::from(u8::from(illicit))))
        .collect();
    let revenue = match columns::column(batch, "additional_revenue", &DataType::Float64)? {
        Some(array) => array,
        None => Arc::new(Float64Array::new_null(batch.num_rows())) as ArrayRef,
    };
    let own = own_features(batch, &hs, days.values())?;
    let leading: Vec<ArrayRef> = vec![
        columns::required(batch, "declaration_id", &DataType::Utf8)?,
        Arc::new(columns::item_numbers(batch)?),
        Arc::new(days),
        Arc::new(label),
        revenue,
    ];
    Ok((leading, own))
}

/// Each number over the other; NaN unless both are above 0: neither a logarithm nor a ratio means anything there.
fn ratio(above: &[f64], below: &[f64]) -> impl Iterator<Item = f64> {
    let positive = |number: f64| if number > 0.0 { number } else { f64::NAN };
    above.iter().zip(below).map(move |(above, below)| positive(*above) / positive(*below))
}

fn ln_ratio(above: &[f64], below: &[f64]) -> Vec<f32> {
    ratio(above, below).map(|ratio| ratio.ln() as f32).collect()
}

/// The features of the rows themselves, in the order of [`OWN`] and [`CODES`].
fn own_features(batch: &RecordBatch, hs: &StringArray, days: &[i32]) -> Result<Vec<Vec<f32>>> {
    let number = |name| columns::numbers(batch, name);
    let value = number("customs_value")?;
    let net = number("net_mass")?;
    let quantity = number("quantity")?;
    let gross = number("gross_mass")?;
    let duty = number("duty_amount")?;
    let tax = number("tax_amount")?;

    let ln_1p = |values: &[f64]| values.iter().map(|value| value.ln_1p() as f32).collect::<Vec<_>>();
    let plain = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<_>>();
    let tax_ratio = duty.iter().zip(&tax).zip(&value).map(|((duty, tax), value)| {
        let given = if duty.is_nan() && tax.is_nan() { f64::NAN } else { 0.0 };
        let sum = given + if duty.is_nan() { 0.0 } else { *duty } + if tax.is_nan() { 0.0 } else { *tax };
        if *value > 0.0 { (sum / value) as f32 } else { f32::NAN }
    });
    let mut calendar = [(); 3].map(|()| Vec::with_capacity(days.len()));
    for run in days.chunk_by(|a, b| a == b) {
        let day = date(run[0]);
        let parts = [day.weekday().number_from_monday(), day.month(), day.ordinal()];
        for (column, part) in calendar.iter_mut().zip(parts) {
            column.resize(column.len() + run.len(), part as f32);
        }
    }

    let mut table = vec![
        ln_1p(&value),
        ln_1p(&net),
        ln_1p(&quantity),
        ln_ratio(&value, &net),
        ln_ratio(&value, &quantity),
        ratio(&gross, &net).map(|ratio| ratio as f32).collect(),
        plain(number("duty_rate")?),
        plain(number("tax_rate")?),
        tax_ratio.collect(),
        columns::digits(hs, 6),
        columns::digits(hs, 4),
        columns::digits(hs, 2),
    ];
    table.extend(calendar);
    for column in CODES {
        table.push(columns::codes(&columns::text(batch, column)?));
    }
    Ok(table)
}

/// The keys of the rows, in the order of [`Key`].
fn row_keys(batch: &RecordBatch, hs: &StringArray) -> Result<[Vec<u64>; KEYS]> {
    let mut keys: [Vec<u64>; KEYS] = Default::default();
    for (key, length) in [(Key::Hs6, 6), (Key::Hs4, 4), (Key::Hs2, 2)] {
        keys[key as usize] = columns::keys(hs, Some(length));
    }
    for (key, name) in [
        (Key::Origin, "origin"),
        (Key::Departure, "departure"),
        (Key::Office, "office"),
        (Key::Importer, "importer"),
        (Key::Declarant, "declarant"),
        (Key::Exporter, "exporter"),
        (Key::Carrier, "carrier"),
        (Key::Preference, "preference"),
        (Key::Procedure, "procedure"),
    ] {
        keys[key as usize] = columns::keys(&columns::text(batch, name)?, None);
    }
    Ok(keys)
}
