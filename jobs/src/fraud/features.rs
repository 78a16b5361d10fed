//! Features of declarations, in one pass over them in time order, from the past only.
//!
//! A feature of a row uses the row itself, rows of *strictly earlier days*, and outcomes of days at least
//! [`Parameters::label_delay_days`] before. So a model fitted on these features has seen in training what it
//! will see in use; the published risk profiles, computed on the rows they are then given to, have not.
//! The families of keys follow the risk profiles of DATE (Kim et al., KDD 2020); smoothing towards the
//! overall rate is Micci-Barreca's (SIGKDD Explorations, 2001). The output does not depend on how the stream
//! is cut into batches. One builder serves one country. Start at [`FeatureBuilder::push`].

mod catalogue;
pub(super) mod columns;
mod files;
mod months;
mod past;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, RecordBatch, StringArray},
    compute::filter_record_batch,
    datatypes::{DataType, Field, Float32Type, Schema, SchemaRef},
};
use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use catalogue::{CODES, KEYED_BY};
pub use catalogue::{Feature, Measure, Source, features};
pub(super) use files::ORDER;
pub use files::{FeatureFile, FeatureFiles, FeaturesOperator, INPUT, Outcomes, Written, file_schema};
pub(super) use months::in_order;
use past::{Day, Keys, Past, Rows, Step};

use super::history::Counts;
use crate::{Error, Result};

/// How features are computed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Days after acceptance when an outcome becomes known, at least 1.
    pub label_delay_days: u32,
    /// Keys of each family that are remembered exactly, at least 1: 45 to 85 bytes each (100 to 190 with prices), of
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
    keys: Keys,
}

/// A batch with all that its features need except the past, so that batches can be prepared side by side, ahead of
/// the pass. Made by [`Prepared::new`] and taken by [`FeatureBuilder::push_prepared`].
#[derive(Debug)]
pub struct Prepared {
    days: Vec<i32>,
    rows: Arc<Rows>,
    wanted: BooleanArray,
    of_wanted: RecordBatch,
    leading: Vec<ArrayRef>,
    own: Vec<Vec<f32>>,
}

impl Prepared {
    /// Prepares the next rows; `wanted` says of each whether its features are asked for.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a required column is absent, null or of the wrong type.
    pub fn new(batch: &RecordBatch, wanted: BooleanArray) -> Result<Self> {
        let days = columns::days(batch)?.values().to_vec();
        let outcomes = columns::flags(batch, "illicit")?.iter().collect();
        let (values, masses) =
            (columns::numbers(batch, "customs_value")?, columns::numbers(batch, "net_mass")?);
        let rows = Rows { keys: row_keys(batch)?, log_prices: ln_ratio(&values, &masses), outcomes };
        let of_wanted = filter_record_batch(batch, &wanted)?;
        let (leading, own) = leading_and_own(&of_wanted)?;
        Ok(Self { days, rows: Arc::new(rows), wanted, of_wanted, leading, own })
    }

    /// How many rows there are, wanted or not.
    pub fn rows(&self) -> usize {
        self.days.len()
    }

    /// The wanted rows as they were given.
    pub fn of_wanted(&self) -> &RecordBatch {
        &self.of_wanted
    }
}

/// Builds features in one pass.
#[derive(Debug)]
pub struct FeatureBuilder {
    parameters: Parameters,
    past: Past,
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
            past: Past::new(parameters.history_capacity, parameters.smoothing),
            overall: Counts::default(),
            open: None,
            waiting: VecDeque::new(),
        })
    }

    /// How many keys were forgotten so far, over all families: 0 means that every feature is exact.
    pub fn forgotten(&self) -> u64 {
        self.past.forgotten()
    }

    /// The features of the next rows. The batch has columns of [`crate::archive::schema::declarations`] (the
    /// ones not required may be absent) and continues the stream in order of `acceptance_date`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when a required column is absent, null or of the wrong type, or the rows are
    /// not in time order; the
    /// builder is then as it was before.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<FeatureBatch> {
        self.push_prepared(Prepared::new(batch, BooleanArray::from(vec![true; batch.num_rows()]))?)
    }

    /// As [`FeatureBuilder::push`], with the features of the wanted rows only: the others are only remembered,
    /// which costs a fraction.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the rows are not in time order; the builder is then as it was before.
    pub fn push_prepared(&mut self, batch: Prepared) -> Result<FeatureBatch> {
        let Prepared { days, rows, wanted, of_wanted, leading: mut arrays, own: mut table } = batch;
        self.check_order(&days)?;
        let own = table.len();
        table.resize_with(features().len(), || Vec::with_capacity(of_wanted.num_rows()));
        let mut steps = Vec::new();
        let mut start = 0;
        for run in days.chunk_by(|a, b| a == b) {
            let range = start..start + run.len() as u32;
            start = range.end;
            steps.push(self.step(run[0], range.clone().filter(|row| wanted.value(*row as usize)).collect()));
            self.open.get_or_insert_with(|| Day::new(run[0])).note(&rows, range);
        }
        self.past.pass(&steps, &rows, &mut table[own..]);
        arrays.extend(table.into_iter().map(|values| Arc::new(Float32Array::from(values)) as ArrayRef));
        Ok(FeatureBatch { records: RecordBatch::try_new(feature_schema(), arrays)? })
    }

    /// What the histories would learn outcomes by: the keys of rows, to be kept for [`FeatureBuilder::reveal`].
    ///
    /// # Errors
    /// As [`FeatureBuilder::push`].
    pub fn keys(batch: &RecordBatch) -> Result<RowKeys> {
        Ok(RowKeys { days: columns::days(batch)?.values().to_vec(), keys: row_keys(batch)? })
    }

    /// Takes in outcomes of rows that were pushed without one; they become known `label_delay_days` after their
    /// own day, to rows of days not yet pushed. `rows` are rising places in `keys`, one for each outcome
    /// (whether it is illicit); days come in order over all calls.
    pub fn reveal(&mut self, keys: &RowKeys, rows: &[usize], illicit: &[bool]) {
        let known: Vec<(usize, bool)> = rows.iter().copied().zip(illicit.iter().copied()).collect();
        for day in known.chunk_by(|(a, _), (b, _)| keys.days[*a] == keys.days[*b]) {
            let Some((first, _)) = day.first() else { continue };
            let rows = Rows {
                keys: std::array::from_fn(|key| day.iter().map(|(row, _)| keys.keys[key][*row]).collect()),
                log_prices: Vec::new(),
                outcomes: day.iter().map(|(_, illicit)| Some(*illicit)).collect(),
            };
            let mut known = Day::new(keys.days[*first]);
            known.note(&Arc::new(rows), 0..day.len() as u32);
            self.waiting.push_back(known);
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

    /// The step to rows of `day`: ends the open day if that is an earlier one, and finds the outcomes known by then.
    fn step(&mut self, day: i32, rows: Vec<u32>) -> Step {
        let over = self.open.take_if(|open| open.day < day);
        self.waiting.extend(over.as_ref().and_then(Day::known));
        let limit = i64::from(day) - i64::from(self.parameters.label_delay_days);
        let mut known = Vec::new();
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| i64::from(waiting.day) <= limit) {
            waiting.outcomes().for_each(|illicit| self.overall.learn(illicit));
            known.push(waiting);
        }
        // NaN before the first outcome: there is no rate to fall back on.
        let rate = f64::from(self.overall.illicit) / f64::from(self.overall.labelled);
        Step { over, known, rate, day, rows }
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

/// The keys of the rows.
fn row_keys(batch: &RecordBatch) -> Result<Keys> {
    let mut keys = Keys::default();
    for (keys, (column, digits)) in keys.iter_mut().zip(KEYED_BY) {
        let texts = match digits {
            Some(_) => columns::required(batch, column, &DataType::Utf8)?.as_string::<i32>().clone(),
            None => columns::text(batch, column)?,
        };
        *keys = columns::keys(&texts, digits);
    }
    Ok(keys)
}
