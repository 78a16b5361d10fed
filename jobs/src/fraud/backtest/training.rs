//! The rows that a strategy has learned outcomes of, and the model that is fitted on them.
//!
//! Rows stand in the order of their days, column by column. A fit takes those whose outcome is known on a day;
//! of more than [`Training::most`] rows the oldest are forgotten, which bounds the memory of a walk. Fits run
//! through the same leaders and shards as a retrain, as one shard. Start at [`Training::fit`].

use super::strategy::{Learner, Strategy};
use crate::{
    Error, Result,
    fraud::{
        date::{self, DateLeader, DateModel, DateShard, Keys, Taught, taught_revenue},
        features::{FeatureBatch, features},
        revenue::{self, RevenueHead},
    },
    learning::{
        fit::fit_in_process,
        gbdt::{Dataset, GbdtLeader, GbdtShard, Model, Parameters, Tree},
    },
};

/// Rows with a known outcome.
#[derive(Debug)]
pub(super) struct Training {
    columns: Vec<Vec<f32>>,
    keys: Keys,
    labels: Vec<f32>,
    revenue: Vec<f64>,
    days: Vec<i32>,
    /// Most rows that are kept.
    most: usize,
}

/// What a period's items are scored by.
#[derive(Debug)]
pub(super) enum Fitted {
    /// Boosted trees, and what an illicit item is expected to raise, where the strategy asks and revenue is known.
    Trees(Model, Option<RevenueHead>),
    /// DATE, which expects revenue itself.
    Date(Box<DateModel>),
}

/// How models are fitted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub(super) trees: &'a Parameters,
    pub(super) date: &'a date::Parameters,
    pub(super) seed: u64,
}

impl Training {
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

    /// Adds rows of a batch, by rising place, with the day, outcome and revenue (NaN: not known) of each. `keys`
    /// are those of the whole batch.
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
        // A quarter beyond the bound, so that rows are moved seldom.
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

    /// Rows whose outcome is known when outcomes up to a day are.
    pub(super) fn known(&self, until: i32) -> usize {
        self.days.partition_point(|day| *day <= until)
    }

    /// The known rows and the illicit ones among them.
    pub(super) fn outcomes(&self, known: usize) -> (usize, usize) {
        (known, self.labels[..known].iter().filter(|label| **label == 1.0).count())
    }

    /// Fits a model on the first `known` rows, which must have both outcomes.
    pub(super) fn fit(&self, known: usize, strategy: &Strategy, recipe: Recipe<'_>) -> Result<Fitted> {
        let first = known.saturating_sub(self.most);
        let Recipe { trees, date, seed } = recipe;
        match strategy.learner {
            Learner::Date => {
                let parameters = date::Parameters { seed, ..date.clone() };
                self.date(first, known, parameters).map(|model| Fitted::Date(Box::new(model)))
            }
            Learner::Trees => {
                let head = if strategy.weighs_revenue() { self.head(first, known)? } else { None };
                let model = self.trees(first, known, &Parameters { seed, ..trees.clone() })?;
                Ok(Fitted::Trees(model, head))
            }
        }
    }

    fn trees(&self, first: usize, known: usize, parameters: &Parameters) -> Result<Model> {
        let columns: Vec<Vec<f32>> =
            self.columns.iter().map(|column| column[first..known].to_vec()).collect();
        let data = Dataset::new(columns, &self.labels[first..known], vec![false; known - first])?;
        fit_trees(data, parameters)
    }

    fn date(&self, first: usize, known: usize, parameters: date::Parameters) -> Result<DateModel> {
        let booster = self.trees(first, known, &gbdt_of(&parameters))?;
        let columns: Vec<&[f32]> = self.columns.iter().map(|column| &column[first..known]).collect();
        let (labels, revenue) = (&self.labels[first..known], &self.revenue[first..known]);
        let taught = Taught {
            leaves: booster.leaves(&columns)?,
            importers: self.keys.importers[first..known].to_vec(),
            codes: self.keys.codes[first..known].to_vec(),
            labels: labels.to_vec(),
            revenue: labels
                .iter()
                .zip(revenue)
                .map(|(label, revenue)| taught_revenue(*label, Some(*revenue)))
                .collect(),
            is_validation: vec![false; known - first],
        };
        let mut leader = DateLeader::new(parameters.clone(), booster)?;
        let shard = DateShard::new(0, parameters, leader.leaves(), taught)?;
        fit_in_process(&mut leader, &mut [Box::new(shard)])?;
        leader.model()
    }

    fn head(&self, first: usize, known: usize) -> Result<Option<RevenueHead>> {
        let rows: Vec<usize> =
            (first..known).filter(|row| self.labels[*row] == 1.0 && self.revenue[*row] > 0.0).collect();
        let columns: Vec<Vec<f32>> = revenue::places()
            .iter()
            .map(|place| rows.iter().map(|row| self.columns[*place][*row]).collect())
            .collect();
        RevenueHead::fit(&columns, &rows.iter().map(|row| self.revenue[*row]).collect::<Vec<_>>())
    }
}

/// The trees under DATE, with its seed.
fn gbdt_of(parameters: &date::Parameters) -> Parameters {
    Parameters { seed: parameters.seed, ..parameters.booster.clone() }
}

/// Fits trees on one shard, in this thread.
pub(super) fn fit_trees(data: Dataset, parameters: &Parameters) -> Result<Model> {
    let mut leader = GbdtLeader::new(parameters.clone())?;
    fit_in_process(&mut leader, &mut [Box::new(GbdtShard::new(0, data))])?;
    leader.model()
}

impl Fitted {
    /// The probability of each row, and its expected revenue (0 where no revenue is known).
    pub(super) fn score(&self, batch: &FeatureBatch, keys: &Keys) -> Result<(Vec<f64>, Vec<f64>)> {
        let columns: Vec<&[f32]> = (0..features().len()).map(|feature| batch.feature(feature)).collect();
        let (model, head) = match self {
            Self::Trees(model, head) => (model, head),
            Self::Date(model) => {
                let scores = model.score(&columns, keys)?;
                let revenue = scores.expected.unwrap_or_else(|| vec![0.0; batch.rows()]);
                return Ok((scores.probabilities, revenue));
            }
        };
        let probability = model.predict_probability(&columns)?;
        let revenue = match head {
            None => vec![0.0; probability.len()],
            Some(head) => {
                let read = revenue::places().map(|place| columns[place]);
                let amounts = head.predict(&read);
                amounts.iter().zip(&probability).map(|(amount, probability)| amount * probability).collect()
            }
        };
        Ok((probability, revenue))
    }

    /// What the model adds up, with weights, to the log odds of some rows: the output of each tree, or what DATE's
    /// heads read.
    pub(super) fn parts(&self, batch: &FeatureBatch, keys: &Keys, rows: &[usize]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Trees(model, _) => Ok(rows.iter().map(|row| outputs(model, batch, *row)).collect()),
            Self::Date(model) => {
                let gathered: Vec<Vec<f32>> = (0..features().len())
                    .map(|feature| batch.feature(feature))
                    .map(|values| rows.iter().map(|row| values[*row]).collect())
                    .collect();
                let columns: Vec<&[f32]> = gathered.iter().map(Vec::as_slice).collect();
                let of = |keys: &[u64]| rows.iter().map(|row| keys[*row]).collect();
                model.embeddings(&columns, &Keys { importers: of(&keys.importers), codes: of(&keys.codes) })
            }
        }
    }
}

/// What each tree says of one row.
fn outputs(model: &Model, batch: &FeatureBatch, row: usize) -> Vec<f32> {
    let output = |tree: &Tree| {
        let mut at = if tree.features.is_empty() { !0 } else { 0 };
        while let Ok(node) = usize::try_from(at) {
            let value = batch.feature(tree.features[node] as usize)[row];
            let left = if value.is_nan() { tree.missing_left[node] } else { value <= tree.thresholds[node] };
            at = if left { tree.left[node] } else { tree.right[node] };
        }
        tree.leaf_values.get(!at as usize).copied().unwrap_or_default() as f32
    };
    model.trees.iter().map(output).collect()
}

/// What is told of rows that cannot teach a model.
pub(super) fn one_sided(rows: usize, illicit: usize, when: &str) -> Error {
    Error::input(format!(
        "{when}, {rows} outcomes are known, {illicit} of them illicit; a model needs both kinds: begin later, \
         shorten the label delay, or archive inspected declarations of earlier months"
    ))
}
