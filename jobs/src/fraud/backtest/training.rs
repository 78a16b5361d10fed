//! The rows that a strategy has learned outcomes of, and the model that is fitted on them.
//!
//! Rows stand in the order of their days, column by column. A fit takes those whose outcome is known on a day;
//! of more than [`Training::most`] rows the oldest are forgotten, which bounds the memory of a walk. Fits run
//! through the same leader and shard as a retrain, as one shard. Start at [`Training::fit`].

use crate::{
    Error, Result,
    fraud::{
        features::{FeatureBatch, features},
        revenue::{self, RevenueHead},
    },
    learning::{
        Leader, Shard,
        gbdt::{Dataset, GbdtLeader, GbdtShard, Model, Parameters, Tree},
    },
};

/// Rows with a known outcome.
#[derive(Debug)]
pub(super) struct Training {
    columns: Vec<Vec<f32>>,
    labels: Vec<f32>,
    revenue: Vec<f64>,
    days: Vec<i32>,
    /// Most rows that are kept.
    most: usize,
}

/// What a period's items are scored by.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) model: Model,
    pub(super) head: Option<RevenueHead>,
}

impl Training {
    pub(super) fn new(most: usize) -> Self {
        let columns = vec![Vec::new(); features().len()];
        Self { columns, labels: Vec::new(), revenue: Vec::new(), days: Vec::new(), most }
    }

    /// Adds rows of a batch, by rising place, with the day, outcome and revenue (NaN: not known) of each.
    pub(super) fn add(&mut self, batch: &FeatureBatch, rows: &[usize], outcomes: &[(i32, bool, f64)]) {
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
    pub(super) fn fit(&self, known: usize, parameters: &Parameters, weighs_revenue: bool) -> Result<Fitted> {
        let first = known.saturating_sub(self.most);
        let columns: Vec<Vec<f32>> =
            self.columns.iter().map(|column| column[first..known].to_vec()).collect();
        let head = if weighs_revenue { self.head(first, known)? } else { None };
        let data = Dataset::new(columns, &self.labels[first..known], vec![false; known - first])?;
        Ok(Fitted { model: fit_alone(data, parameters)?, head })
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

/// Fits trees on one shard, in this thread.
pub(super) fn fit_alone(data: Dataset, parameters: &Parameters) -> Result<Model> {
    let mut shard = GbdtShard::new(0, data);
    let mut leader = GbdtLeader::new(parameters.clone())?;
    while let Some(instruction) = leader.instruct()? {
        let mut answer = None;
        shard.contribute(&instruction, &mut answer)?;
        leader.absorb(answer.ok_or_else(|| Error::internal("a shard gave no answer"))?)?;
    }
    leader.model()
}

impl Fitted {
    /// The probability of each row, and its expected revenue (the customs value's place is taken by 0 where no
    /// revenue is known).
    pub(super) fn score(&self, batch: &FeatureBatch) -> Result<(Vec<f64>, Vec<f64>)> {
        let columns: Vec<&[f32]> = (0..features().len()).map(|feature| batch.feature(feature)).collect();
        let probability = self.model.predict_probability(&columns)?;
        let revenue = match &self.head {
            None => vec![0.0; probability.len()],
            Some(head) => {
                let read = revenue::places().map(|place| columns[place]);
                let amounts = head.predict(&read);
                amounts.iter().zip(&probability).map(|(amount, probability)| amount * probability).collect()
            }
        };
        Ok((probability, revenue))
    }

    /// What each tree says of one row, which the model adds up.
    pub(super) fn outputs(&self, batch: &FeatureBatch, row: usize) -> Vec<f32> {
        let output = |tree: &Tree| {
            let mut at = if tree.features.is_empty() { !0 } else { 0 };
            while let Ok(node) = usize::try_from(at) {
                let value = batch.feature(tree.features[node] as usize)[row];
                let left =
                    if value.is_nan() { tree.missing_left[node] } else { value <= tree.thresholds[node] };
                at = if left { tree.left[node] } else { tree.right[node] };
            }
            tree.leaf_values.get(!at as usize).copied().unwrap_or_default() as f32
        };
        self.model.trees.iter().map(output).collect()
    }
}

/// What is told of rows that cannot teach a model.
pub(super) fn one_sided(rows: usize, illicit: usize, when: &str) -> Error {
    Error::input(format!(
        "{when}, {rows} outcomes are known, {illicit} of them illicit; a model needs both kinds: begin later, \
         shorten the label delay, or archive inspected declarations of earlier months"
    ))
}
