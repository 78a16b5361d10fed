//! What a strategy scores the items of a period by.

use tidewaiter_core::{Result, threads::check};

use super::block::RowBlock;
use crate::{
    backtest::strategy::{Exploit, Strategy},
    features::{FeatureBatch, Measure, Source, features},
    model::FraudModel,
};

/// The scores of a period's rows.
#[derive(Default)]
pub(super) struct PeriodScores {
    /// The scores that the strategy exploits; empty for a strategy that does not exploit.
    pub(super) exploit: Vec<f64>,
    /// Probability of being illicit, 0 to 1; empty for a strategy without a model.
    pub(super) probability: Vec<f64>,
    /// Expected revenue, national currency, 0 where the model predicts none; empty for a strategy without a model.
    pub(super) revenue: Vec<f64>,
}

impl PeriodScores {
    /// Scores the rows of a period by the model, where the strategy has one.
    pub(super) fn of(strategy: &Strategy, model: Option<&FraudModel>, blocks: &[RowBlock]) -> Result<Self> {
        let (mut probability, mut revenue) = (Vec::new(), Vec::new());
        if let Some(model) = model {
            for block in blocks {
                check()?;
                let columns: Vec<&[f32]> =
                    (0..features().len()).map(|feature| block.features.feature(feature)).collect();
                let scores = model.score_columns(&columns, &block.embedding_keys)?;
                probability.extend(scores.probabilities);
                revenue.extend(scores.expected.unwrap_or_else(|| vec![0.0; block.features.rows()]));
            }
        }
        let exploit = match strategy.exploit {
            Exploit::Nothing => Vec::new(),
            Exploit::Probability => probability.clone(),
            Exploit::Revenue => revenue.clone(),
            Exploit::RiskProfile => blocks.iter().flat_map(|block| risk_profile(&block.features)).collect(),
        };
        Ok(Self { exploit, probability, revenue })
    }
}

/// The mean of the known ones of each row's features that are past illicit rates; 0 where none is known.
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

/// Whether the 5 % of the inspected items with the highest probabilities held more than 30 % of the revenue found:
/// the condition of gATE (arXiv:2010.14282).
pub(super) fn revenue_is_concentrated(chosen: &[usize], probability: &[f64], revenue: &[f64]) -> bool {
    let known = |row: &usize| if revenue[*row] > 0.0 { revenue[*row] } else { 0.0 };
    let mut order = chosen.to_vec();
    order.sort_by(|a, b| probability[*b].total_cmp(&probability[*a]).then(a.cmp(b)));
    let all: f64 = order.iter().map(known).sum();
    let top: f64 = order[..order.len().div_ceil(20)].iter().map(known).sum();
    top > 0.3 * all
}
