//! A run: one strategy with one seed, replayed over past months.
//!
//! Rows come in time order. Those before the first day are the warm-up: their outcomes are the archive's own. From
//! then on, for each period, a run (1) fits a model on the outcomes known when the period begins, (2) chooses the
//! items to inspect, (3) gets the true outcomes of these and of no others, and (4) adds them to its training rows and
//! to the histories from which features are computed, which use them after the label delay. So another strategy on
//! the same rows has other features. A chosen item whose true outcome is not known is counted, and otherwise left
//! out.
//!
//! Memory holds the features of the largest period (about 0.6 KB an item), the rows with a known outcome (0.4 KB
//! each, up to 1.25 × `training_rows`, twice during a fit) and the histories (`history_capacity`); it does not grow
//! with the number of rows otherwise. Start at [`Run::push`].

mod block;
mod scores;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Date32Type, Float64Type},
};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Result, chance::stream, threads::check};
use tidewaiter_learning::gbdt;

use super::{
    adapt::AdaptiveShare,
    drift::{FeatureDrift, Reference, ReservoirSampler, Sample, joint_drift, sample_of},
    embeddings::embeddings,
    figures::{Calibration, PeriodFigures, PeriodOutcome, figures},
    select::{Exploration, choose, uncertainty},
    strategy::{Exploit, Explore, Strategy},
    training::{FitParameters, TrainingRows, one_sided},
};
use crate::{
    calendar::date_of,
    date::{self, Keys},
    features::{self, FeatureBatch, FeatureBuilder},
    metrics,
    model::FraudModel,
};
use block::{RowBlock, column};
use scores::{PeriodScores, revenue_is_concentrated};

/// The parameters of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunParameters {
    pub(super) strategy: Strategy,
    pub(super) seed: u64,
    /// The first day of the first period and the last day of the last, as days since 1970-01-01.
    pub(super) days: (i32, i32),
    pub(super) period_days: u32,
    pub(super) inspection_rate: f64,
    /// Inspections of an office and day, where these are ranked by themselves.
    #[serde(default)]
    pub(super) daily_capacity: Option<u32>,
    pub(super) exploration: f64,
    pub(super) features: features::Parameters,
    pub(super) trees: gbdt::Parameters,
    pub(super) date: date::Parameters,
    pub(super) training_rows: usize,
    /// Whether the drift of the features is measured.
    pub(super) drift: bool,
}

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RunReport {
    /// Rows of the warm-up, and outcomes known among them.
    pub(super) warm_up: (u64, u64),
    pub(super) periods: Vec<PeriodFigures>,
    pub(super) calibration: Calibration,
    pub(super) drift: Vec<FeatureDrift>,
    /// Keys that the bounded histories dropped; 0: every feature is exact.
    pub(super) forgotten: u64,
}

/// A run in progress.
pub(super) struct Run {
    parameters: RunParameters,
    builder: FeatureBuilder,
    training: TrainingRows,
    /// Number of the open period, from 0, and its rows.
    period: usize,
    open: Vec<RowBlock>,
    /// Samples the warm-up, until the first period is over.
    warm_up: Option<ReservoirSampler>,
    /// With what the drift of the features is measured.
    reference: Option<Reference>,
    adaptive_share: AdaptiveShare,
    /// A sample of the previous period, for the drift on which the adaptive share depends.
    previous: Sample,
    /// Whether the inspected items of highest probability of the last period held much of the revenue found.
    revenue_concentrated: bool,
    report: RunReport,
    /// The rows chosen in each period.
    #[cfg(test)]
    chosen: Vec<Vec<usize>>,
}

impl Run {
    pub(super) fn new(parameters: RunParameters) -> Result<Self> {
        Ok(Self {
            builder: FeatureBuilder::new(parameters.features)?,
            training: TrainingRows::new(parameters.training_rows),
            period: 0,
            open: Vec::new(),
            warm_up: Some(ReservoirSampler::new(stream(parameters.seed, 0))),
            reference: None,
            adaptive_share: AdaptiveShare::default(),
            previous: Sample::new(),
            revenue_concentrated: false,
            report: RunReport::default(),
            #[cfg(test)]
            chosen: Vec::new(),
            parameters,
        })
    }

    /// Takes the next rows: columns of the declarations, `true_illicit` and `true_revenue`.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let day_column = cast(column(batch, "acceptance_date")?, &DataType::Date32)?;
        let days = day_column.as_primitive::<Date32Type>().values();
        let mut first = 0;
        while first < days.len() {
            let period = self.period_of(days[first]);
            let length = days[first..].partition_point(|day| self.period_of(*day) == period);
            let rows = batch.slice(first, length);
            first += length;
            match period {
                None => self.add_warm_up(&rows)?,
                Some(period) => {
                    while self.period < period {
                        self.close_period()?;
                    }
                    let block = RowBlock::new(&mut self.builder, &rows, &days[first - length..first])?;
                    self.open.push(block);
                }
            }
        }
        Ok(())
    }

    /// Closes the remaining periods and gives the report.
    pub(super) fn finish(mut self) -> Result<RunReport> {
        let (first, last) = self.parameters.days;
        while self.period * self.parameters.period_days as usize <= (last - first).unsigned_abs() as usize {
            self.close_period()?;
        }
        self.report.forgotten = self.builder.forgotten();
        Ok(self.report)
    }

    /// The period of a day; `None` before the first one.
    fn period_of(&self, day: i32) -> Option<usize> {
        let since = usize::try_from(day - self.parameters.days.0).ok()?;
        Some(since / self.parameters.period_days as usize)
    }

    fn first_day(&self, period: usize) -> i32 {
        self.parameters.days.0 + period as i32 * self.parameters.period_days as i32
    }

    /// Adds rows from before the first period, with the archive's own outcomes.
    fn add_warm_up(&mut self, rows: &RecordBatch) -> Result<()> {
        let features = self.builder.push(rows)?;
        let known: Vec<usize> = (0..features.rows()).filter(|row| features.labels().is_valid(*row)).collect();
        let days = features.records().column(2).as_primitive::<Date32Type>().values();
        let revenue = features.records().column(4).as_primitive::<Float64Type>();
        let outcome = |row: &usize| {
            let raised = if revenue.is_valid(*row) { revenue.value(*row) } else { f64::NAN };
            (days[*row], features.labels().value(*row) == 1.0, raised)
        };
        if self.parameters.strategy.needs_model() {
            let outcomes: Vec<_> = known.iter().map(outcome).collect();
            self.training.add(&features, &Keys::of(rows)?, &known, &outcomes);
        }
        if let Some(sampler) = &mut self.warm_up {
            sampler.add(&features);
        }
        self.report.warm_up.0 += features.rows() as u64;
        self.report.warm_up.1 += known.len() as u64;
        Ok(())
    }

    /// Closes the open period: fits the model, chooses the items, evaluates the choice and reveals their outcomes.
    fn close_period(&mut self) -> Result<()> {
        check()?;
        let (period, blocks) = (self.period, std::mem::take(&mut self.open));
        self.period += 1;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(stream(self.parameters.seed, 1 + period as u64));
        if let Some(sampler) = self.warm_up.take() {
            let sample = sampler.finish();
            if self.parameters.drift {
                self.reference = Some(Reference::new(&sample));
            }
            self.previous = sample;
        }
        let rows: usize = blocks.iter().map(|block| block.days.len()).sum();
        let batches: Vec<&FeatureBatch> = blocks.iter().map(|block| &block.features).collect();
        if rows == 0 {
            self.evaluate(period, &blocks, &PeriodScores::default(), &[], 0, 0.0);
            return Ok(());
        }
        let model = self.fit(period)?;
        if let Some(reference) = &self.reference {
            self.report.drift.extend(reference.drift_of(period, &batches));
        }

        let scores = PeriodScores::of(&self.parameters.strategy, model.as_ref(), &blocks)?;
        let share = self.exploration_share(&batches, period, &mut rng)?;
        let (mut chosen, mut explored, mut owed) = (Vec::new(), Vec::new(), 0.0);
        for (group, inspections) in self.groups(&blocks) {
            check()?;
            // What a small group cannot explore is explored in the next.
            owed += share * inspections as f64;
            let explores = (owed.round() as usize).min(inspections);
            owed -= explores as f64;
            let counts = (inspections, explores);
            let (own, exploited) = self.choose(&group, counts, &scores, model.as_ref(), &blocks, &mut rng)?;
            let (exploits, explores) = own.split_at(exploited);
            chosen.extend_from_slice(exploits);
            explored.extend_from_slice(explores);
        }
        let exploited = chosen.len();
        chosen.extend(explored);
        self.evaluate(period, &blocks, &scores, &chosen, exploited, share);
        #[cfg(test)]
        self.chosen.push(chosen.clone());
        self.reveal(&blocks, chosen);
        Ok(())
    }

    /// Fits the strategy's model, if it needs one, on the outcomes known when a period begins.
    fn fit(&self, period: usize) -> Result<Option<FraudModel>> {
        let strategy = self.parameters.strategy;
        if !strategy.needs_model() {
            return Ok(None);
        }
        let first = self.first_day(period);
        let known = self.training.known(first - self.parameters.features.label_delay_days as i32);
        let (newest, illicit) = self.training.newest(known);
        if illicit == 0 || illicit == newest.len() {
            let months = match self.training.days(newest.clone()) {
                Some((first, last)) => format!(" of {} to {}", date_of(first), date_of(last)),
                None => String::new(),
            };
            let when = format!(
                "{strategy} learns from the newest outcomes{months} when the period from {} begins",
                date_of(first)
            );
            return Err(one_sided(newest.len() as u64, illicit as u64, &when));
        }
        let seed = stream(self.parameters.seed, 0x7EE5 ^ period as u64);
        let parameters = FitParameters { trees: &self.parameters.trees, date: &self.parameters.date, seed };
        self.training.fit(known, &strategy, parameters).map(Some)
    }

    /// The share of the inspections that is spent on exploration.
    fn exploration_share(
        &mut self,
        batches: &[&FeatureBatch],
        period: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<f64> {
        match self.parameters.strategy.explore {
            Explore::Nothing if self.parameters.strategy.exploit == Exploit::Nothing => Ok(1.0),
            Explore::Nothing => Ok(0.0),
            Explore::Adapt => {
                let now = sample_of(batches, rng);
                let drift = joint_drift(&self.previous, &now, stream(self.parameters.seed, period as u64))?;
                self.previous = now;
                Ok(self.adaptive_share.draw(drift, rng))
            }
            _ => Ok(self.parameters.exploration),
        }
    }

    /// The rows that are ranked together, in ascending order, and how many of them are inspected: those of the period, or
    /// of each day and office.
    fn groups(&self, blocks: &[RowBlock]) -> Vec<(Vec<usize>, usize)> {
        let rows: usize = blocks.iter().map(|block| block.days.len()).sum();
        let Some(capacity) = self.parameters.daily_capacity else {
            let inspections = metrics::inspected(rows, self.parameters.inspection_rate * 100.0);
            return vec![((0..rows).collect(), inspections)];
        };
        let mut groups: BTreeMap<(i32, u64), Vec<usize>> = BTreeMap::new();
        let keys = blocks.iter().flat_map(|block| block.days.iter().zip(&block.offices));
        for (row, (day, office)) in keys.enumerate() {
            groups.entry((*day, *office)).or_default().push(row);
        }
        let inspected = |rows: Vec<usize>| {
            let inspections = rows.len().min(capacity as usize);
            (rows, inspections)
        };
        groups.into_values().map(inspected).collect()
    }

    /// Chooses among the rows of a group, of a period's (see [`choose`]): the rows, and how many of them are exploited.
    fn choose(
        &self,
        group: &[usize],
        (inspections, explored): (usize, usize),
        scores: &PeriodScores,
        model: Option<&FraudModel>,
        blocks: &[RowBlock],
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<(Vec<usize>, usize)> {
        let of_group = |scores: &[f64]| group.iter().map(|row| scores[*row]).collect::<Vec<f64>>();
        let exploited =
            (self.parameters.strategy.exploit != Exploit::Nothing).then(|| of_group(&scores.exploit));
        let uncertainties: Vec<f64>;
        let embed = |weighted: bool| {
            move |rows: &[usize]| -> Result<Vec<Vec<f32>>> {
                let Some(model) = model else { return Ok(Vec::new()) };
                let rows: Vec<usize> = rows.iter().map(|row| group[*row]).collect();
                let mut embeddings = block_embeddings(model, blocks, &rows)?;
                for (row, embedding) in rows.iter().zip(&mut embeddings) {
                    let probability = scores.probability[*row];
                    // Times this, an embedding is the gradient of the loss for the likelier outcome with respect to
                    // the weights of the model's last layer.
                    let mut factor = probability.min(1.0 - probability);
                    if weighted {
                        factor *= (2.0 + scores.revenue[*row]).ln() * uncertainty(probability);
                    }
                    embedding.iter_mut().for_each(|number| *number *= factor as f32);
                }
                Ok(embeddings)
            }
        };
        let (plain, weighted) = (embed(false), embed(true));
        let exploration = match self.parameters.strategy.explore {
            Explore::Uncertainty => {
                uncertainties = of_group(&scores.probability).into_iter().map(uncertainty).collect();
                Exploration::Highest(&uncertainties)
            }
            Explore::Badge => Exploration::Diverse(&plain),
            Explore::Bate => Exploration::Diverse(&weighted),
            Explore::Gate if self.revenue_concentrated => Exploration::Diverse(&weighted),
            Explore::Gate | Explore::Nothing | Explore::Random | Explore::Adapt => Exploration::Random,
        };
        let (chosen, first) =
            choose(group.len(), inspections, explored, exploited.as_deref(), &exploration, rng)?;
        Ok((chosen.into_iter().map(|row| group[row]).collect(), first))
    }

    /// Adds the figures of a period.
    fn evaluate(
        &mut self,
        period: usize,
        blocks: &[RowBlock],
        scores: &PeriodScores,
        chosen: &[usize],
        exploited: usize,
        share: f64,
    ) {
        let truth: Vec<f32> = blocks.iter().flat_map(|block| block.truth.iter().copied()).collect();
        let revenue: Vec<f64> = blocks.iter().flat_map(|block| block.revenue.iter().copied()).collect();
        let outcome = PeriodOutcome { truth: &truth, revenue: &revenue, chosen, exploited };
        let mut figures = figures(&outcome);
        let (last, next) = (self.parameters.days.1, self.first_day(period + 1));
        figures.period = period;
        figures.first_day = self.first_day(period);
        figures.last_day = last.min(next - 1);
        figures.exploration = share;
        if self.parameters.strategy.needs_model() && !truth.is_empty() {
            self.report.calibration.add(&scores.probability, &truth);
            self.revenue_concentrated = revenue_is_concentrated(chosen, &scores.probability, &revenue);
        }
        if let Some(precision) = figures.precision {
            self.adaptive_share.update(precision);
        }
        self.report.periods.push(figures);
    }

    /// Adds the chosen items' outcomes to the histories and to the training rows.
    fn reveal(&mut self, blocks: &[RowBlock], mut chosen: Vec<usize>) {
        chosen.sort_unstable();
        let mut chosen = chosen.into_iter().peekable();
        let mut first = 0;
        for block in blocks {
            let mut rows = Vec::new();
            while let Some(row) = chosen.next_if(|row| *row < first + block.days.len()) {
                if !block.truth[row - first].is_nan() {
                    rows.push(row - first);
                }
            }
            first += block.days.len();
            let illicit: Vec<bool> = rows.iter().map(|row| block.truth[*row] == 1.0).collect();
            self.builder.reveal(&block.history_keys, &rows, &illicit);
            if self.parameters.strategy.needs_model() {
                let outcomes: Vec<_> = rows
                    .iter()
                    .zip(&illicit)
                    .map(|(row, illicit)| (block.days[*row], *illicit, block.revenue[*row]))
                    .collect();
                self.training.add(&block.features, &block.embedding_keys, &rows, &outcomes);
            }
        }
    }
}

/// The embeddings of some rows of a period, given in ascending order.
fn block_embeddings(model: &FraudModel, blocks: &[RowBlock], mut rows: &[usize]) -> Result<Vec<Vec<f32>>> {
    let (mut all, mut first) = (Vec::with_capacity(rows.len()), 0);
    for block in blocks {
        let own = rows.partition_point(|row| *row < first + block.days.len());
        let own_rows: Vec<usize> = rows[..own].iter().map(|row| row - first).collect();
        all.extend(embeddings(model, &block.features, &block.embedding_keys, &own_rows)?);
        (rows, first) = (&rows[own..], first + block.days.len());
    }
    Ok(all)
}
