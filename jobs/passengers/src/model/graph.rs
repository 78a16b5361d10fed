//! A graph network ([`crate::sage`]) over travellers: their own features, and those of drawn neighbours.
//!
//! Own features are all but those that count links; their signed logarithms are set against mean and spread of the
//! training trips, and what is not known is the mean. Numbers of neighbours are taken as they are. Start at
//! [`GraphModel::fit`].

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Float32Type,
};
use prost::Message;
use tidewaiter_core::{Error, Result, ResultExt, answers};

use super::{
    learner::own,
    reasons::{Reason, feature_columns, rounded, strongest},
};
use crate::{
    features::{
        catalogue::{FEATURES, Part},
        past::sample::{FAR, FINDS, NEAR, NEIGHBOURS, WIDTH},
        rows,
    },
    sage::{Sage, Samples, Settings},
};

/// The first bytes of a stored graph network; a message of trees begins with none of them.
const MARK: &[u8] = b"graph network of travellers 1\n";

/// Spreads to which a value is cut.
const MOST_SPREADS: f32 = 4.0;

/// Training trips by which the importance of inputs is computed, at most.
const EXAMPLES: usize = 4096;

/// What a reason says of neighbours.
const LINKED: &str = "travellers linked with the traveller";

/// The stored form.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(uint32, tag = "1")]
    hidden: u32,
    /// Means of the own features' logarithms.
    #[prost(float, repeated, tag = "2")]
    means: Vec<f32>,
    /// Their spreads.
    #[prost(float, repeated, tag = "3")]
    spreads: Vec<f32>,
    #[prost(float, repeated, tag = "4")]
    weights: Vec<f32>,
    /// Shares of the own features, then of the neighbours.
    #[prost(double, repeated, tag = "5")]
    importance: Vec<f64>,
}

/// A fitted graph network.
#[derive(Debug)]
pub struct GraphModel {
    stored: Stored,
    sage: Sage,
}

/// Trips as they are read, before the own features have their scale.
#[derive(Debug, Default)]
pub(super) struct Trips(Samples);

impl Trips {
    /// Adds the chosen rows of a batch with their labels.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] where a column is absent or of another type.
    pub(super) fn push(&mut self, rows: &RecordBatch, chosen: &[usize], labels: &[f32]) -> Result<()> {
        let columns = feature_columns(rows)?;
        let lists = answers::column(rows, rows::NEIGHBOURS)?.as_list_opt::<i32>();
        let numbers = lists.and_then(|lists| lists.values().as_primitive_opt::<Float32Type>());
        let (Some(lists), Some(numbers)) = (lists, numbers) else {
            return Err(Error::internal("neighbours of travellers are no lists of 32-bit floats"));
        };
        let samples = &mut self.0;
        (samples.widths, samples.neighbours) = (widths(), NEIGHBOURS);
        for (row, label) in chosen.iter().zip(labels) {
            samples.own.extend(own().map(|place| logarithm(columns[place][*row])));
            let (from, to) = (lists.value_offsets()[*row] as usize, lists.value_offsets()[*row + 1] as usize);
            let neighbours = numbers.values()[from..to].chunks_exact(WIDTH).take(NEIGHBOURS);
            samples.counts.push(neighbours.len() as u32);
            for neighbour in neighbours {
                let (near, far) = neighbour.split_at(NEAR.len());
                samples.near.extend_from_slice(near);
                samples.far.extend_from_slice(far);
            }
            let trips = samples.counts.len();
            samples.near.resize(trips * NEIGHBOURS * NEAR.len(), 0.0);
            samples.far.resize(trips * NEIGHBOURS * FAR.len(), 0.0);
            samples.labels.push(*label);
        }
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.0.count()
    }

    /// Mean and spread of each own feature where it is known.
    fn moments(&self) -> (Vec<f32>, Vec<f32>) {
        let width = own().count();
        let mut sums = vec![(0.0_f64, 0.0_f64, 0.0_f64); width];
        for row in self.0.own.chunks_exact(width) {
            for (sum, value) in sums.iter_mut().zip(row).filter(|(_, value)| !value.is_nan()) {
                let value = f64::from(*value);
                *sum = (sum.0 + 1.0, sum.1 + value, sum.2 + value * value);
            }
        }
        let moments = sums.iter().map(|(count, sum, squares)| {
            let mean = sum / count.max(1.0);
            let spread = (squares / count.max(1.0) - mean * mean).max(0.0).sqrt();
            (mean as f32, if spread > 1e-6 { spread as f32 } else { 1.0 })
        });
        moments.unzip()
    }

    /// The samples, by the scale of the own features.
    fn scaled(mut self, means: &[f32], spreads: &[f32]) -> Samples {
        for row in self.0.own.chunks_exact_mut(means.len()) {
            for (value, (mean, spread)) in row.iter_mut().zip(means.iter().zip(spreads)) {
                let scaled = ((*value - mean) / spread).clamp(-MOST_SPREADS, MOST_SPREADS);
                *value = if scaled.is_nan() { 0.0 } else { scaled };
            }
        }
        self.0
    }
}

fn widths() -> [usize; 3] {
    [own().count(), NEAR.len(), FAR.len()]
}

fn logarithm(value: f32) -> f32 {
    value.abs().ln_1p().copysign(value)
}

/// Samples in which one own feature is the mean of the training trips.
fn without_feature(samples: &Samples, at: usize) -> Samples {
    let mut without = samples.clone();
    without.own.chunks_exact_mut(samples.widths[0]).for_each(|row| row[at] = 0.0);
    without
}

impl GraphModel {
    /// Fits a network, and gives the mean log loss of a validation trip; `None` without any.
    ///
    /// # Errors
    /// Those of [`Sage::fit`].
    pub(super) fn fit(train: Trips, valid: Trips, settings: Settings) -> Result<(Self, Option<f64>)> {
        let (means, spreads) = train.moments();
        let (train, valid) = (train.scaled(&means, &spreads), valid.scaled(&means, &spreads));
        let (sage, loss) = Sage::fit(&train, &valid, settings)?;
        let (weights, hidden) = (sage.weights()?, u32::try_from(settings.hidden).unwrap_or(u32::MAX));
        if weights.iter().any(|weight| !weight.is_finite()) {
            return Err(Error::input("graph network: the weights grew beyond all bounds; lower rate"));
        }
        let stored = Stored { hidden, means, spreads, weights, importance: Vec::new() };
        let mut model = Self { stored, sage };
        let every = train.count().div_ceil(EXAMPLES).max(1);
        let added = model.added(&train.every(every))?;
        let changes: Vec<f64> =
            added.iter().map(|own| own.iter().map(|value| value.abs()).sum::<f64>()).collect();
        let all: f64 = changes.iter().sum();
        model.stored.importance = changes.iter().map(|own| own / all.max(f64::MIN_POSITIVE)).collect();
        Ok((model, loss))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [MARK, &self.stored.encode_to_vec()].concat()
    }

    /// Reads what [`GraphModel::to_bytes`] wrote; `None` where the bytes are of another kind of model.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] where they are no network of these features.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(bytes) = bytes.strip_prefix(MARK) else { return Ok(None) };
        let stored = Stored::decode(bytes).context(|| "read a graph network")?;
        let [own, ..] = widths();
        let fits = [stored.means.len(), stored.spreads.len(), stored.importance.len().saturating_sub(1)];
        if fits != [own; 3] || !(1..=1024).contains(&stored.hidden) {
            return Err(Error::corrupt(format!(
                "the graph network has {} features of a traveller, and this version computes {own}; retrain",
                stored.means.len()
            )));
        }
        let sage = Sage::of_weights(widths(), stored.hidden as usize, &stored.weights)?;
        Ok(Some(Self { stored, sage }))
    }

    fn samples(&self, rows: &RecordBatch) -> Result<Samples> {
        let mut trips = Trips::default();
        let chosen: Vec<usize> = answers::rows(rows).collect();
        trips.push(rows, &chosen, &vec![0.0; chosen.len()])?;
        Ok(trips.scaled(&self.stored.means, &self.stored.spreads))
    }

    pub(super) fn score(&self, rows: &RecordBatch) -> Result<Vec<f64>> {
        let scores = self.sage.score(&self.samples(rows)?)?;
        Ok(scores.into_iter().map(|score| 1.0 / (1.0 + (-score).exp())).collect())
    }

    /// What each own feature, and then the neighbours, add to the log odds of each sample: how far these fall when the
    /// feature is the mean of the training trips, or when there are no neighbours.
    fn added(&self, samples: &Samples) -> Result<Vec<Vec<f64>>> {
        let scores = self.sage.score(samples)?;
        let [own, ..] = samples.widths;
        let mut added = Vec::with_capacity(own + 1);
        for at in 0..=own {
            let without = match at < own {
                true => without_feature(samples, at),
                false => Samples { counts: vec![0; samples.count()], ..samples.clone() },
            };
            let others = self.sage.score(&without)?;
            added.push(scores.iter().zip(others).map(|(score, other)| score - other).collect());
        }
        Ok(added)
    }

    /// What raises the score of each row most, by what is lost without it: one own feature, or all neighbours. What inputs
    /// do together is not divided among them, so that these values do not add up to the score.
    ///
    /// # Errors
    /// As [`super::RiskModel::score`].
    pub fn reasons(&self, rows: &RecordBatch) -> Result<Vec<Vec<Reason>>> {
        let (columns, samples) = (feature_columns(rows)?, self.samples(rows)?);
        let places: Vec<usize> = own().collect();
        let added = self.added(&samples)?;
        let of_row = |row: usize| {
            let reason = |(input, log_odds): &(usize, f64)| match places.get(*input) {
                Some(place) => Reason::of_feature(*place, columns[*place][row], *log_odds),
                None => linked(&samples, row, *log_odds),
            };
            strongest(added.iter().map(|own| own[row])).iter().map(reason).collect()
        };
        Ok(answers::rows(rows).map(of_row).collect())
    }

    pub(super) fn importance(&self) -> Vec<(Part, &'static str, f64)> {
        let names = own().map(|place| (FEATURES[place].part, FEATURES[place].words));
        let names = names.chain([(Part::Network, LINKED)]);
        names.zip(&self.stored.importance).map(|((part, words), share)| (part, words, *share)).collect()
    }
}

/// The neighbours of a sample as a reason.
fn linked(samples: &Samples, row: usize, log_odds: f64) -> Reason {
    let count = samples.counts[row] as usize;
    let size = NEIGHBOURS * NEAR.len();
    let near = samples.near[row * size..(row + 1) * size].chunks_exact(NEAR.len()).take(count);
    let found = near.filter(|neighbour| neighbour[FINDS] > 0.0).count();
    Reason {
        reason: format!("{LINKED}: {count} looked at, {found} of them with an earlier find"),
        feature: rows::NEIGHBOURS.to_owned(),
        value: Some(count as f32),
        log_odds: rounded(log_odds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::catalogue::{At, COUNT};

    /// Rows of which those with a find next to them are positive; every other feature is the same.
    fn rows(count: usize) -> (RecordBatch, Vec<f32>) {
        use std::sync::Arc;

        use arrow::{
            array::{ArrayRef, Float32Array, Float32Builder, ListBuilder},
            datatypes::{DataType, Field, Schema},
        };
        let is_found = |row: usize| row.is_multiple_of(3);
        let mut columns: Vec<ArrayRef> = Vec::new();
        for feature in 0..COUNT {
            let value = |row: usize| match feature == At::fare as usize {
                true if row.is_multiple_of(5) => f32::NAN,
                true => (row % 7) as f32,
                false => 1.0,
            };
            columns.push(Arc::new(Float32Array::from_iter_values((0..count).map(value))));
        }
        let mut lists = ListBuilder::new(Float32Builder::new());
        for row in 0..count {
            for neighbour in 0..row % 3 + 1 {
                let mut numbers = [0.5_f32; WIDTH];
                numbers[FINDS] = f32::from(u8::from(is_found(row) && neighbour == 0));
                lists.values().append_slice(&numbers);
            }
            lists.append(true);
        }
        columns.push(Arc::new(lists.finish()));
        let mut fields: Vec<Field> =
            FEATURES.iter().map(|feature| Field::new(feature.name, DataType::Float32, false)).collect();
        let list = Field::new_list(rows::NEIGHBOURS, Field::new_list_field(DataType::Float32, true), false);
        fields.push(list);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch");
        (batch, (0..count).map(|row| f32::from(u8::from(is_found(row)))).collect())
    }

    fn fitted() -> GraphModel {
        let (batch, labels) = rows(300);
        let mut trips = Trips::default();
        let chosen: Vec<usize> = (0..300).collect();
        trips.push(&batch, &chosen, &labels).expect("fits");
        assert_eq!(trips.count(), 300);
        let settings = Settings { hidden: 8, epochs: 10, batch: 16, rate: 0.01, seed: 3 };
        GraphModel::fit(trips, Trips::default(), settings).expect("fits").0
    }

    #[test]
    fn what_neighbours_say_is_learned_stored_and_given_as_a_reason() {
        let model = fitted();
        let (batch, labels) = rows(30);
        let scores = model.score(&batch).expect("scores");
        for (score, label) in scores.iter().zip(&labels) {
            assert_eq!(*score > 0.5, *label > 0.5, "{scores:?}");
        }
        let bytes = model.to_bytes();
        assert_eq!(bytes, fitted().to_bytes(), "the same seed gives the same bytes");
        let read = GraphModel::from_bytes(&bytes).expect("reads").expect("a graph network");
        assert_eq!(scores, read.score(&batch).expect("scores"));
        let reasons = read.reasons(&batch).expect("reasons");
        let first = &reasons[0][0];
        assert_eq!(first.feature, rows::NEIGHBOURS);
        assert_eq!(
            first.reason,
            "travellers linked with the traveller: 1 looked at, 1 of them with an earlier find"
        );
        let (_, words, share) = *model.importance().last().expect("inputs");
        assert!(words == LINKED && share > 0.5, "{share}");
        let sum: f64 = model.importance().iter().map(|own| own.2).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn bytes_of_another_version_are_refused() {
        assert!(GraphModel::from_bytes(b"\x08\x03").expect("other bytes").is_none());
        let mut model = fitted();
        model.stored.means.pop();
        let error = GraphModel::from_bytes(&model.to_bytes()).expect_err("refused");
        assert!(error.to_string().contains("retrain"), "{error}");
    }
}
