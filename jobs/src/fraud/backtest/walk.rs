//! One walk through time by one strategy: what a customs house would have known, chosen and found.
//!
//! Rows come in time order. Those before the first day are the warm-up: their outcomes are the archive's own. From
//! then on, period by period, a walk (1) fits a model on the outcomes known when the period begins, (2) chooses
//! which of the period's items to inspect, (3) is told the truth of those and of no others, (4) goes on. The
//! histories behind the features learn of those outcomes only, and after the label delay, so that another
//! strategy on the same rows sees other features. An item without a truth reveals nothing when it is chosen; it
//! is counted and left out of the figures.
//!
//! What it holds in memory is the largest period's features (about 0.6 KB an item), the rows it has outcomes of
//! (0.4 KB each, up to `training_rows` and a quarter, twice over during a fit) and the histories
//! (`history_capacity`); none of it grows with the number of rows beyond. Start at [`Walk::push`].

#[cfg(test)]
mod tests;

use arrow::{
    array::{Array, AsArray, BooleanArray, Float64Array, RecordBatch, new_null_array},
    compute::cast,
    datatypes::{DataType, Date32Type, Float64Type},
};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::{
    adapt::Share,
    drift::{FeatureDrift, Reference, Sample, Sampler, joint, sample_of},
    measures::{Calibration, Found, PeriodFigures, figures},
    select::{Exploration, choose, uncertainty},
    strategy::{Exploit, Explore, Strategy},
    training::{Fitted, Recipe, Training, one_sided},
};
use crate::{
    Error, Result,
    fraud::{
        date::{self, Keys},
        features::{self, FeatureBatch, FeatureBuilder, Measure, RowKeys, Source, features},
        metrics,
    },
    learning::gbdt,
};

/// What a walk is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct WalkParameters {
    pub(super) strategy: Strategy,
    pub(super) seed: u64,
    /// The first day of the first period, and the last day of the last, since 1970-01-01.
    pub(super) days: (i32, i32),
    pub(super) period_days: u32,
    pub(super) inspection_rate: f64,
    pub(super) exploration: f64,
    pub(super) features: features::Parameters,
    pub(super) trees: gbdt::Parameters,
    pub(super) date: date::Parameters,
    pub(super) training_rows: usize,
    /// Whether the drift of the features is measured on the way.
    pub(super) drift: bool,
}

/// What a walk came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct WalkReport {
    /// Rows of the warm-up, and outcomes known among them.
    pub(super) warm_up: (u64, u64),
    pub(super) periods: Vec<PeriodFigures>,
    pub(super) calibration: Calibration,
    pub(super) drift: Vec<FeatureDrift>,
    /// Keys that the histories forgot; 0: every feature is exact.
    pub(super) forgotten: u64,
}

/// Consecutive rows of the open period.
struct Block {
    features: FeatureBatch,
    keys: RowKeys,
    /// What finds the vectors of a network.
    named: Keys,
    days: Vec<i32>,
    /// 1 illicit, 0 not, NaN not known.
    truth: Vec<f32>,
    revenue: Vec<f64>,
}

/// A walk under way.
pub(super) struct Walk {
    parameters: WalkParameters,
    builder: FeatureBuilder,
    training: Training,
    /// Number of the open period.
    period: usize,
    open: Vec<Block>,
    warm_up: Option<Sampler>,
    reference: Option<Reference>,
    share: Share,
    /// The period before, for the drift that adapts the share.
    before: Sample,
    /// Whether the last period's riskiest inspected items held much of the revenue found.
    earns: bool,
    report: WalkReport,
    /// The choices of each period, for tests of what they depend on.
    #[cfg(test)]
    chosen: Vec<Vec<usize>>,
}

impl Walk {
    pub(super) fn new(parameters: WalkParameters) -> Result<Self> {
        Ok(Self {
            builder: FeatureBuilder::new(parameters.features)?,
            training: Training::new(parameters.training_rows),
            period: 0,
            open: Vec::new(),
            warm_up: Some(Sampler::new(mix(parameters.seed, 0))),
            reference: None,
            share: Share::default(),
            before: Sample::new(),
            earns: false,
            report: WalkReport::default(),
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
                None => self.warm(&rows)?,
                Some(period) => {
                    while self.period < period {
                        self.close()?;
                    }
                    self.take(&rows, &days[first - length..first])?;
                }
            }
        }
        Ok(())
    }

    /// Ends the walk with its last period.
    pub(super) fn finish(mut self) -> Result<WalkReport> {
        let (first, last) = self.parameters.days;
        while self.period * self.parameters.period_days as usize <= (last - first).unsigned_abs() as usize {
            self.close()?;
        }
        self.report.forgotten = self.builder.forgotten();
        Ok(self.report)
    }

    fn period_of(&self, day: i32) -> Option<usize> {
        let since = usize::try_from(day - self.parameters.days.0).ok()?;
        Some(since / self.parameters.period_days as usize)
    }

    fn first_day(&self, period: usize) -> i32 {
        self.parameters.days.0 + period as i32 * self.parameters.period_days as i32
    }

    /// Takes rows of before the first period, with the outcomes that the archive has of them.
    fn warm(&mut self, rows: &RecordBatch) -> Result<()> {
        let features = self.builder.push(rows)?;
        let known: Vec<usize> = (0..features.rows()).filter(|row| features.labels().is_valid(*row)).collect();
        let days = features.records().column(2).as_primitive::<Date32Type>().values();
        let revenue = features.records().column(4).as_primitive::<Float64Type>();
        let outcome = |row: &usize| {
            let raised = if revenue.is_valid(*row) { revenue.value(*row) } else { f64::NAN };
            (days[*row], features.labels().value(*row) == 1.0, raised)
        };
        if self.parameters.strategy.learns() {
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

    /// Takes rows of the open period, whose outcomes nobody knows yet.
    fn take(&mut self, rows: &RecordBatch, days: &[i32]) -> Result<()> {
        let truth = cast(column(rows, "true_illicit")?, &DataType::Boolean)?;
        let truth: &BooleanArray = truth.as_boolean();
        let revenue = cast(column(rows, "true_revenue")?, &DataType::Float64)?;
        let revenue: &Float64Array = revenue.as_primitive();
        let features = self.builder.push(&blinded(rows)?)?;
        self.open.push(Block {
            features,
            keys: FeatureBuilder::keys(rows)?,
            named: Keys::of(rows)?,
            days: days.to_vec(),
            truth: truth
                .iter()
                .map(|truth| truth.map_or(f32::NAN, |truth| f32::from(u8::from(truth))))
                .collect(),
            revenue: revenue.iter().map(|revenue| revenue.unwrap_or(f64::NAN)).collect(),
        });
        Ok(())
    }

    /// Lives the open period: learn, choose, be told, go on.
    fn close(&mut self) -> Result<()> {
        let (period, blocks) = (self.period, std::mem::take(&mut self.open));
        self.period += 1;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(mix(self.parameters.seed, 1 + period as u64));
        if let Some(sampler) = self.warm_up.take() {
            let sample = sampler.finish();
            if self.parameters.drift {
                self.reference = Some(Reference::new(&sample));
            }
            self.before = sample;
        }
        let rows: usize = blocks.iter().map(|block| block.days.len()).sum();
        let batches: Vec<&FeatureBatch> = blocks.iter().map(|block| &block.features).collect();
        if rows == 0 {
            self.judge(period, &blocks, &Scored::default(), &[], 0, 0.0);
            return Ok(());
        }
        let fitted = self.fit(period)?;
        if let Some(reference) = &self.reference {
            self.report.drift.extend(reference.compare(period, &batches));
        }

        let scored = Scored::of(&self.parameters.strategy, fitted.as_ref(), &blocks)?;
        let inspections = metrics::inspected(rows, self.parameters.inspection_rate * 100.0);
        let share = self.share(&batches, period, &mut rng)?;
        let explored = (share * inspections as f64).round() as usize;
        let (chosen, exploited) =
            self.choose(rows, inspections, explored, &scored, fitted.as_ref(), &blocks, &mut rng)?;
        self.judge(period, &blocks, &scored, &chosen, exploited, share);
        #[cfg(test)]
        self.chosen.push(chosen.clone());
        self.learn(&blocks, chosen);
        Ok(())
    }

    /// The model of what is known when a period begins.
    fn fit(&self, period: usize) -> Result<Option<Fitted>> {
        let strategy = self.parameters.strategy;
        if !strategy.learns() {
            return Ok(None);
        }
        let first = self.first_day(period);
        let known = self.training.known(first - self.parameters.features.label_delay_days as i32);
        let (known, illicit) = self.training.outcomes(known);
        if illicit == 0 || illicit == known {
            return Err(one_sided(
                known,
                illicit,
                &format!("when the period from {} begins", features::date(first)),
            ));
        }
        let seed = mix(self.parameters.seed, 0x7EE5 ^ period as u64);
        let recipe = Recipe { trees: &self.parameters.trees, date: &self.parameters.date, seed };
        self.training.fit(known, &strategy, recipe).map(Some)
    }

    /// The share of the inspections that explores.
    fn share(
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
                let drift = joint(&self.before, &now, mix(self.parameters.seed, period as u64))?;
                self.before = now;
                Ok(self.share.draw(drift, rng))
            }
            _ => Ok(self.parameters.exploration),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what a choice depends on, each once")]
    fn choose(
        &self,
        rows: usize,
        inspections: usize,
        explored: usize,
        scored: &Scored,
        fitted: Option<&Fitted>,
        blocks: &[Block],
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<(Vec<usize>, usize)> {
        let scores = (self.parameters.strategy.exploit != Exploit::Nothing).then_some(scored.by.as_slice());
        let unsure: Vec<f64>;
        let embed = |weighted: bool| {
            move |pool: &[usize]| -> Result<Vec<Vec<f32>>> {
                let Some(fitted) = fitted else { return Ok(Vec::new()) };
                let mut parts = parts(fitted, blocks, pool)?;
                for (row, parts) in pool.iter().zip(&mut parts) {
                    let probability = scored.probability[*row];
                    // The gradient of the loss for the likelier outcome, with respect to each part's weight.
                    let mut weight = probability.min(1.0 - probability);
                    if weighted {
                        weight *= (2.0 + scored.revenue[*row]).ln() * uncertainty(probability);
                    }
                    parts.iter_mut().for_each(|part| *part *= weight as f32);
                }
                Ok(parts)
            }
        };
        let (plain, weighted) = (embed(false), embed(true));
        let exploration = match self.parameters.strategy.explore {
            Explore::Uncertainty => {
                unsure = scored.probability.iter().map(|probability| uncertainty(*probability)).collect();
                Exploration::Highest(&unsure)
            }
            Explore::Badge => Exploration::Diverse(&plain),
            Explore::Bate => Exploration::Diverse(&weighted),
            Explore::Gate if self.earns => Exploration::Diverse(&weighted),
            Explore::Gate | Explore::Nothing | Explore::Random | Explore::Adapt => Exploration::Random,
        };
        choose(rows, inspections, explored, scores, &exploration, rng)
    }

    /// Measures the period: what was found against what was there.
    fn judge(
        &mut self,
        period: usize,
        blocks: &[Block],
        scored: &Scored,
        chosen: &[usize],
        exploited: usize,
        share: f64,
    ) {
        let truth: Vec<f32> = blocks.iter().flat_map(|block| block.truth.iter().copied()).collect();
        let revenue: Vec<f64> = blocks.iter().flat_map(|block| block.revenue.iter().copied()).collect();
        let found = Found { truth: &truth, revenue: &revenue, chosen, exploited };
        let mut figures = figures(&found);
        let (last, next) = (self.parameters.days.1, self.first_day(period + 1));
        figures.period = period;
        figures.first_day = self.first_day(period);
        figures.last_day = last.min(next - 1);
        figures.exploration = share;
        if self.parameters.strategy.learns() && !truth.is_empty() {
            self.report.calibration.add(&scored.probability, &truth);
            self.earns = earns(chosen, &scored.probability, &revenue);
        }
        if let Some(precision) = figures.precision {
            self.share.learn(precision);
        }
        self.report.periods.push(figures);
    }

    /// Tells the histories and the training of the chosen items' outcomes.
    fn learn(&mut self, blocks: &[Block], mut chosen: Vec<usize>) {
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
            self.builder.reveal(&block.keys, &rows, &illicit);
            if self.parameters.strategy.learns() {
                let outcomes: Vec<_> = rows
                    .iter()
                    .zip(&illicit)
                    .map(|(row, illicit)| (block.days[*row], *illicit, block.revenue[*row]))
                    .collect();
                self.training.add(&block.features, &block.named, &rows, &outcomes);
            }
        }
    }
}

/// What a strategy says of a period's rows.
#[derive(Default)]
struct Scored {
    /// What it exploits; without rows for a strategy that does not.
    by: Vec<f64>,
    probability: Vec<f64>,
    revenue: Vec<f64>,
}

impl Scored {
    fn of(strategy: &Strategy, fitted: Option<&Fitted>, blocks: &[Block]) -> Result<Self> {
        let (mut probability, mut revenue) = (Vec::new(), Vec::new());
        if let Some(fitted) = fitted {
            for block in blocks {
                let (probabilities, amounts) = fitted.score(&block.features, &block.named)?;
                probability.extend(probabilities);
                revenue.extend(amounts);
            }
        }
        let by = match strategy.exploit {
            Exploit::Nothing => Vec::new(),
            Exploit::Probability => probability.clone(),
            Exploit::Revenue => revenue.clone(),
            Exploit::RiskProfile => blocks.iter().flat_map(|block| risk_profile(&block.features)).collect(),
        };
        Ok(Self { by, probability, revenue })
    }
}

/// The mean of the known past illicit rates of each row's keys; 0 where none is known.
fn risk_profile(batch: &FeatureBatch) -> Vec<f64> {
    let rates: Vec<&[f32]> = features()
        .iter()
        .enumerate()
        .filter(|(_, feature)| matches!(feature.source, Source::Past(Measure::Rate, _)))
        .map(|(place, _)| batch.feature(place))
        .collect();
    let mean = |row: usize| {
        let known = rates.iter().map(|rate| f64::from(rate[row])).filter(|rate| rate.is_finite());
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), rate| (sum + rate, count + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    };
    (0..batch.rows()).map(mean).collect()
}

/// Whether the twentieth of the inspected items with the highest probabilities held more than 30 % of the
/// revenue that inspection raised.
fn earns(chosen: &[usize], probability: &[f64], revenue: &[f64]) -> bool {
    let known = |row: &usize| if revenue[*row] > 0.0 { revenue[*row] } else { 0.0 };
    let mut order = chosen.to_vec();
    order.sort_by(|a, b| probability[*b].total_cmp(&probability[*a]).then(a.cmp(b)));
    let all: f64 = order.iter().map(known).sum();
    let top: f64 = order[..order.len().div_ceil(20)].iter().map(known).sum();
    top > 0.3 * all
}

/// What a model says of rows in its parts (see [`Fitted::parts`]); the rows come by rising place.
fn parts(fitted: &Fitted, blocks: &[Block], mut rows: &[usize]) -> Result<Vec<Vec<f32>>> {
    let (mut all, mut first) = (Vec::with_capacity(rows.len()), 0);
    for block in blocks {
        let own = rows.partition_point(|row| *row < first + block.days.len());
        let places: Vec<usize> = rows[..own].iter().map(|row| row - first).collect();
        all.extend(fitted.parts(&block.features, &block.named, &places)?);
        (rows, first) = (&rows[own..], first + block.days.len());
    }
    Ok(all)
}

/// The rows as they are when nobody knows their outcomes.
fn blinded(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let hidden = |(field, column): (&arrow::datatypes::FieldRef, &arrow::array::ArrayRef)| {
        if ["illicit", "additional_revenue"].contains(&field.name().as_str()) {
            new_null_array(field.data_type(), rows.num_rows())
        } else {
            std::sync::Arc::clone(column)
        }
    };
    let columns = schema.fields().iter().zip(rows.columns()).map(hidden).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow::array::ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("a backtest's rows have no {name}")))
}

/// Seeds that have nothing in common (SplitMix64's finaliser).
fn mix(seed: u64, salt: u64) -> u64 {
    let mut z = seed.wrapping_add((salt + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
