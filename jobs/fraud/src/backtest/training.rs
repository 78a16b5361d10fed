//! The rows whose outcomes a run knows, and the models that are fitted on them.
//!
//! Rows are kept by column, in the order of their days. A fit uses those whose outcome is known on its day; of more
//! than [`TrainingRows::most`] rows the oldest are dropped, which bounds the memory of a run. Fits use the same
//! leaders and shards as a retrain, with one shard. Start at [`TrainingRows::fit`].

use tidewaiter_collective::fit::fit_in_process;
use tidewaiter_core::{Error, Result};
use tidewaiter_learning::gbdt::{self, Dataset};

use super::strategy::Strategy;
use crate::{
    date::{self, DateLeader, DateModel, DateShard, Keys, ShardRows, revenue_target},
    features::{FeatureBatch, features},
    model::{Classifier, FraudModel, Learner, RevenueHead, revenue::feature_indices},
};

/// Rows with a known outcome.
#[derive(Debug)]
pub(super) struct TrainingRows {
    columns: Vec<Vec<f32>>,
    keys: Keys,
    labels: Vec<f32>,
    revenue: Vec<f64>,
    days: Vec<i32>,
    /// Most rows that are kept.
    most: usize,
}

/// Hyper-parameters and seed of a fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct FitParameters<'a> {
    pub(super) trees: &'a gbdt::Parameters,
    pub(super) date: &'a date::Parameters,
    pub(super) seed: u64,
}

impl TrainingRows {
    pub(super) fn new(most: usize) -> Self {
        let columns = vec![Vec::new(); features().len()];
        Self {
            columns,
            keys: Keys::default(),
            labels: Vec::new(),
            revenue: Vec::new(),
            days: Vec::new(),
            most,
        }
    }

    /// Adds rows of a batch, in ascending order, with the day, outcome (whether illicit) and revenue (NaN where not
    /// known) of each. `keys` are those of the whole batch.
    pub(super) fn add(
        &mut self,
        batch: &FeatureBatch,
        keys: &Keys,
        rows: &[usize],
        outcomes: &[(i32, bool, f64)],
    ) {
        self.keys.importers.extend(rows.iter().map(|row| keys.importers[*row]));
        self.keys.codes.extend(rows.iter().map(|row| keys.codes[*row]));
        for (feature, column) in self.columns.iter_mut().enumerate() {
            let values = batch.feature(feature);
            column.extend(rows.iter().map(|row| values[*row]));
        }
        for (day, illicit, revenue) in outcomes {
            self.days.push(*day);
            self.labels.push(f32::from(u8::from(*illicit)));
            self.revenue.push(*revenue);
        }
        // Only when a quarter is too much, so that the remaining rows are seldom moved.
        if self.days.len() > self.most + self.most / 4 {
            let excess = self.days.len() - self.most;
            self.columns.iter_mut().for_each(|column| drop(column.drain(..excess)));
            self.keys.importers.drain(..excess);
            self.keys.codes.drain(..excess);
            self.labels.drain(..excess);
            self.revenue.drain(..excess);
            self.days.drain(..excess);
        }
    }

    /// How many rows have a day not after `until`; they are the first ones.
    pub(super) fn known(&self, until: i32) -> usize {
        self.days.partition_point(|day| *day <= until)
    }

    /// Of the first `known` rows the newest, from which a model is fitted, and how many of them are illicit.
    pub(super) fn newest(&self, known: usize) -> (std::ops::Range<usize>, usize) {
        let newest = known.saturating_sub(self.most)..known;
        let illicit = self.labels[newest.clone()].iter().filter(|label| **label == 1.0).count();
        (newest, illicit)
    }

    /// First and last day of some rows.
    pub(super) fn days(&self, rows: std::ops::Range<usize>) -> Option<(i32, i32)> {
        let days = &self.days[rows];
        Some((*days.first()?, *days.last()?))
    }

    /// Fits the strategy's model on the newest of the first `known` rows, which must have both outcomes; with a revenue head where
    /// the strategy needs one and enough revenues are known.
    ///
    /// # Errors
    /// Those of the fit.
    pub(super) fn fit(
        &self,
        known: usize,
        strategy: &Strategy,
        parameters: FitParameters<'_>,
    ) -> Result<FraudModel> {
        let first = self.newest(known).0.start;
        let FitParameters { trees, date, seed } = parameters;
        match strategy.learner {
            Learner::Date => {
                let model = self.fit_date(first, known, date::Parameters { seed, ..date.clone() })?;
                Ok(FraudModel { classifier: Classifier::Date(Box::new(model)), head: None })
            }
            Learner::Gbdt => {
                let head = if strategy.needs_revenue() { self.fit_revenue_head(first, known)? } else { None };
                let model = self.fit_booster(first, known, &gbdt::Parameters { seed, ..trees.clone() })?;
                Ok(FraudModel { classifier: Classifier::Gbdt(model), head })
            }
            Learner::Logistic => {
                Err(Error::internal(format!("the strategy {strategy} has a learner that backtests lack")))
            }
        }
    }

    fn fit_booster(&self, first: usize, known: usize, parameters: &gbdt::Parameters) -> Result<gbdt::Model> {
        let columns: Vec<Vec<f32>> =
            self.columns.iter().map(|column| column[first..known].to_vec()).collect();
        let data = Dataset::new(columns, &self.labels[first..known], vec![false; known - first])?;
        gbdt::fit_alone(data, parameters)
    }

    fn fit_date(&self, first: usize, known: usize, parameters: date::Parameters) -> Result<DateModel> {
        let of_booster = gbdt::Parameters { seed: parameters.seed, ..parameters.booster.clone() };
        let booster = self.fit_booster(first, known, &of_booster)?;
        let columns: Vec<&[f32]> = self.columns.iter().map(|column| &column[first..known]).collect();
        let (labels, revenue) = (&self.labels[first..known], &self.revenue[first..known]);
        let rows = ShardRows {
            leaves: booster.leaves(&columns)?,
            importers: self.keys.importers[first..known].to_vec(),
            codes: self.keys.codes[first..known].to_vec(),
            labels: labels.to_vec(),
            revenue: labels
                .iter()
                .zip(revenue)
                .map(|(label, revenue)| revenue_target(*label, Some(*revenue)))
                .collect(),
            is_validation: vec![false; known - first],
        };
        let mut leader = DateLeader::new(parameters.clone(), booster)?;
        let shard = DateShard::new(0, parameters, leader.leaf_counts(), rows)?;
        fit_in_process(&mut leader, &mut [Box::new(shard)])?;
        leader.model()
    }

    fn fit_revenue_head(&self, first: usize, known: usize) -> Result<Option<RevenueHead>> {
        let rows: Vec<usize> =
            (first..known).filter(|row| self.labels[*row] == 1.0 && self.revenue[*row] > 0.0).collect();
        let columns: Vec<Vec<f32>> = feature_indices()
            .iter()
            .map(|feature| rows.iter().map(|row| self.columns[*feature][*row]).collect())
            .collect();
        RevenueHead::fit(&columns, &rows.iter().map(|row| self.revenue[*row]).collect::<Vec<_>>())
    }
}

/// The error for rows without both outcomes, on which no model can be fitted.
pub(super) fn one_sided(rows: u64, illicit: u64, when: &str) -> Error {
    Error::input(format!(
        "{when}: {rows} outcomes are known, {illicit} of them illicit; a model needs both kinds: begin later, \
         shorten the label delay, or archive inspected declarations of earlier months"
    ))
}
