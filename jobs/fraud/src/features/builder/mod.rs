//! Features in one pass over rows in time order. Start at [`FeatureBuilder::push`].

use std::{collections::VecDeque, sync::Arc};

use arrow::array::{ArrayRef, BooleanArray, Float32Array, RecordBatch};
use tidewaiter_core::{Error, Result};

use super::{
    catalogue::features,
    columns,
    parameters::Parameters,
    past::{Day, DayStep, Histories, HistoryRows, KeyColumns},
    prepared::{PreparedBatch, row_keys},
    schema::FeatureBatch,
    statistics::OutcomeCounts,
};
use crate::calendar::date_of;

/// The keys of some rows, 100 bytes each: what is needed to add their outcomes later.
#[derive(Debug, Clone)]
pub struct RowKeys {
    days: Vec<i32>,
    keys: KeyColumns,
}

/// Builds features in one pass.
#[derive(Debug)]
pub struct FeatureBuilder {
    parameters: Parameters,
    histories: Histories,
    /// Outcomes of all rows that may be known.
    overall: OutcomeCounts,
    /// The day whose rows still come.
    open: Option<Day>,
    /// Past days whose outcomes are not known yet.
    waiting: VecDeque<Day>,
}

impl FeatureBuilder {
    /// A builder that has seen nothing.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a parameter is out of its range.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.check()?;
        Ok(Self {
            parameters,
            histories: Histories::new(parameters.history_capacity, parameters.smoothing),
            overall: OutcomeCounts::default(),
            open: None,
            waiting: VecDeque::new(),
        })
    }

    /// How many keys were forgotten so far, over all families: 0 means that every feature is exact.
    pub fn forgotten(&self) -> u64 {
        self.histories.forgotten()
    }

    /// The features of the next rows. The batch has columns of [`tidewaiter_declarations::schema`] (the
    /// ones not required may be absent) and continues the stream in order of `acceptance_date`.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a required column is absent, null or of the wrong type, or the rows
    /// are not in time order; the builder is then as it was before.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<FeatureBatch> {
        self.push_prepared(PreparedBatch::new(batch, BooleanArray::from(vec![true; batch.num_rows()]))?)
    }

    /// As [`FeatureBuilder::push`], with the features of the wanted rows only: the others only enter the histories,
    /// which costs a fraction.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the rows are not in time order; the builder is then as it was
    /// before.
    pub fn push_prepared(&mut self, batch: PreparedBatch) -> Result<FeatureBatch> {
        let PreparedBatch { days, rows, wanted, wanted_rows, leading: mut arrays, declared: mut table } =
            batch;
        self.check_order(&days)?;
        let declared = table.len();
        table.resize_with(features().len(), || Vec::with_capacity(wanted_rows.num_rows()));
        let mut steps = Vec::new();
        let mut start = 0;
        for run in days.chunk_by(|a, b| a == b) {
            let range = start..start + run.len() as u32;
            start = range.end;
            steps.push(self.step(run[0], range.clone().filter(|row| wanted.value(*row as usize)).collect()));
            self.open.get_or_insert_with(|| Day::new(run[0])).push(&rows, range);
        }
        self.histories.advance(&steps, &rows, &mut table[declared..]);
        arrays.extend(table.into_iter().map(|values| Arc::new(Float32Array::from(values)) as ArrayRef));
        FeatureBatch::new(arrays)
    }

    /// The keys of rows whose outcomes are added later by [`FeatureBuilder::reveal`].
    ///
    /// # Errors
    /// As [`FeatureBuilder::push`].
    pub fn keys(batch: &RecordBatch) -> Result<RowKeys> {
        Ok(RowKeys { days: columns::days(batch)?.values().to_vec(), keys: row_keys(batch)? })
    }

    /// Adds outcomes of rows that were pushed without one; they become known `label_delay_days` after their own day,
    /// to rows of days not yet pushed. `rows` are indices in `keys` in ascending order, one for each outcome (whether
    /// it is illicit); days come in order over all calls.
    pub fn reveal(&mut self, keys: &RowKeys, rows: &[usize], illicit: &[bool]) {
        let known: Vec<(usize, bool)> = rows.iter().copied().zip(illicit.iter().copied()).collect();
        for day in known.chunk_by(|(a, _), (b, _)| keys.days[*a] == keys.days[*b]) {
            let Some((first, _)) = day.first() else { continue };
            let rows = HistoryRows {
                keys: std::array::from_fn(|key| day.iter().map(|(row, _)| keys.keys[key][*row]).collect()),
                log_prices: Vec::new(),
                outcomes: day.iter().map(|(_, illicit)| Some(*illicit)).collect(),
            };
            let mut known = Day::new(keys.days[*first]);
            known.push(&Arc::new(rows), 0..day.len() as u32);
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
                date_of(day),
                date_of(before),
            ))),
        }
    }

    /// The step to rows of `day`: closes the open day if that is an earlier one, and finds the outcomes known by
    /// `day`.
    fn step(&mut self, day: i32, rows: Vec<u32>) -> DayStep {
        let over = self.open.take_if(|open| open.day < day);
        self.waiting.extend(over.as_ref().and_then(Day::known));
        let limit = i64::from(day) - i64::from(self.parameters.label_delay_days);
        let mut known = Vec::new();
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| i64::from(waiting.day) <= limit) {
            waiting.outcomes().for_each(|illicit| self.overall.add_outcome(illicit));
            known.push(waiting);
        }
        // NaN before the first outcome: there is no rate to fall back on.
        let rate = f64::from(self.overall.illicit) / f64::from(self.overall.labelled);
        DayStep { over, known, rate, day, rows }
    }
}

#[cfg(test)]
mod tests;
