//! The trained model: booster, network and embedding tables in one message; its scores and explanations.
//!
//! Start at [`DateModel::score`].

use tidewaiter_core::{Error, Result};
use tidewaiter_learning::gbdt;
use tidewaiter_tensors::gpu;

use super::{
    batch::{Gradients, Predictor, all_threads},
    embedding::{TableRows, row_of},
    graph::{TensorGraph, tensor_error},
    items::{Batch, Items, Vectors},
    keys::Keys,
    leaves::leaf_counts,
    network::NetworkOutput,
    parameters::Parameters,
    vector::{Vector, WIDTH},
    weights::{Part, Shape},
    wire::{EpochResult, Tables},
};
use crate::{features::text::attribution_width, model::scores::Scores};

/// A model as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoredDateModel {
    #[prost(message, required, tag = "1")]
    pub(super) booster: gbdt::Model,
    #[prost(float, repeated, tag = "2")]
    pub(super) weights: Vec<f32>,
    #[prost(message, required, tag = "3")]
    pub(super) tables: Tables,
    /// Sizes of the embedding tables.
    #[prost(uint32, tag = "4")]
    pub(super) importer_rows: u32,
    #[prost(uint32, tag = "5")]
    pub(super) code_rows: u32,
    /// ln(1 + revenue) to which an output of 1 of the revenue head corresponds; 0: no revenue was known.
    #[prost(float, tag = "6")]
    pub(super) revenue_scale: f32,
    /// Factor of the predicted revenues (see [`EpochResult`]).
    #[prost(double, tag = "7")]
    pub(super) revenue_factor: f64,
}

/// A trained DATE.
#[derive(Debug, Clone, PartialEq)]
pub struct DateModel {
    stored: StoredDateModel,
    shape: Shape,
    /// The vectors of the trained rows, after the zero vector.
    importers: Vec<Vector>,
    codes: Vec<Vector>,
    predictor: Predictor,
}

impl DateModel {
    pub(super) fn new(
        parameters: &Parameters,
        booster: gbdt::Model,
        trained: &EpochResult,
        revenue_scale: f32,
    ) -> Result<Self> {
        Self::of(StoredDateModel {
            booster,
            weights: trained.weights.clone(),
            tables: trained.tables.clone(),
            importer_rows: parameters.importer_rows,
            code_rows: parameters.code_rows,
            revenue_scale,
            revenue_factor: trained.revenue_factor,
        })
    }

    /// Checks that the parts fit each other and prepares predictions.
    fn of(mut stored: StoredDateModel) -> Result<Self> {
        let shape = Shape::of_trees(&leaf_counts(&stored.booster));
        let StoredDateModel { importer_rows, code_rows, .. } = stored;
        let good = shape.trees > 0
            && shape.weights() == stored.weights.len()
            && importer_rows >= 2
            && code_rows >= 2
            && stored.tables.importers.fits(importer_rows)
            && stored.tables.codes.fits(code_rows);
        if !good {
            return Err(Error::corrupt("DATE: the parts of a model do not fit together"));
        }
        let vectors = |rows: &mut TableRows| {
            let numbers = std::mem::take(&mut rows.vectors);
            let mut vectors = vec![[0.0; WIDTH]];
            vectors.extend_from_slice(numbers.as_chunks::<WIDTH>().0);
            vectors
        };
        Ok(Self {
            importers: vectors(&mut stored.tables.importers),
            codes: vectors(&mut stored.tables.codes),
            predictor: Predictor::new(shape, &stored.weights),
            shape,
            stored,
        })
    }

    /// The model as it is stored. The same model always gives the same message.
    pub fn to_message(&self) -> StoredDateModel {
        let mut stored = self.stored.clone();
        stored.tables.importers.vectors = self.importers[1..].as_flattened().to_vec();
        stored.tables.codes.vectors = self.codes[1..].as_flattened().to_vec();
        stored
    }

    /// The model of [`DateModel::to_message`].
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the parts do not fit together.
    pub fn from_message(stored: StoredDateModel) -> Result<Self> {
        stored.booster.check()?;
        Self::of(stored)
    }

    /// The trees whose leaves are embedded.
    pub fn booster(&self) -> &gbdt::Model {
        &self.stored.booster
    }

    fn vectors(&self) -> Vectors<'_> {
        Vectors { importers: &self.importers, codes: &self.codes }
    }

    /// The network's input for rows with these leaves and keys.
    fn items(&self, leaves: Vec<u32>, importers: &[u64], codes: &[u64]) -> Items {
        let places = |keys: &[u64], table_rows: u32, trained: &TableRows| -> Vec<u32> {
            let place = |key: &u64| match trained.rows.binary_search(&row_of(*key, table_rows)) {
                Ok(place) => place as u32 + 1,
                Err(_) => 0,
            };
            keys.iter().map(place).collect()
        };
        let StoredDateModel { tables, importer_rows, code_rows, .. } = &self.stored;
        Items {
            leaves,
            importers: places(importers, *importer_rows, &tables.importers),
            codes: places(codes, *code_rows, &tables.codes),
        }
    }

    /// The outputs for rows with these leaves of the booster and keys of importers and HS codes.
    ///
    /// # Errors
    /// Those of a GPU.
    pub(super) fn outputs(
        &self,
        leaves: Vec<u32>,
        importers: &[u64],
        codes: &[u64],
    ) -> Result<Vec<NetworkOutput>> {
        let items = self.items(leaves, importers, codes);
        let StoredDateModel { weights, booster, .. } = &self.stored;
        match gpu()? {
            Some(device) => {
                let graph = TensorGraph::new(&leaf_counts(booster), device);
                graph.outputs(weights, self.vectors(), &items).map_err(tensor_error)
            }

            None => Ok(self.predictor.outputs(weights, self.vectors(), &items, all_threads())),
        }
    }

    /// Scores rows by their features, on as many threads as there are processors.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the columns do not fit the model.
    pub fn score(&self, columns: &[&[f32]], keys: &Keys) -> Result<Scores> {
        let leaves = self.stored.booster.leaves(columns)?;
        let outputs = self.outputs(leaves, &keys.importers, &keys.codes)?;
        let scale = f64::from(self.stored.revenue_scale);
        let expected = |revenue: f32| {
            // The targets of the training rows were at most 1.
            let logarithm = scale * f64::from(revenue).clamp(0.0, 1.0);
            logarithm.exp_m1() * self.stored.revenue_factor
        };
        Ok(Scores {
            probabilities: outputs.iter().map(|output| f64::from(output.probability())).collect(),
            expected: (scale > 0.0).then(|| outputs.iter().map(|output| expected(output.revenue)).collect()),
        })
    }

    /// The last hidden layer of each row, which both heads read.
    ///
    /// # Errors
    /// As [`DateModel::score`].
    pub fn embeddings(&self, columns: &[&[f32]], keys: &Keys) -> Result<Vec<Vec<f32>>> {
        let leaves = self.stored.booster.leaves(columns)?;
        let outputs = self.outputs(leaves, &keys.importers, &keys.codes)?;
        Ok(outputs.iter().map(|output| output.hidden.to_vec()).collect())
    }

    /// Whether the model predicts revenue.
    pub fn expects_revenue(&self) -> bool {
        self.stored.revenue_scale > 0.0
    }

    /// The contribution of each feature of each row to its log odds, to first order, then those of the importer's and of
    /// the HS code's vector: row by row.
    ///
    /// The network is linearised at the row, where every leaf then has a value, and the contributions are the Shapley
    /// values of trees with these values. A vector is compared with the zero vector of an unknown importer or code; it
    /// belongs to no feature, whose value need not agree with it.
    ///
    /// # Errors
    /// As [`DateModel::score`].
    pub fn attributions(&self, columns: &[&[f32]], keys: &Keys) -> Result<Vec<f64>> {
        let leaves = self.stored.booster.leaves(columns)?;
        let items = self.items(leaves, &keys.importers, &keys.codes);
        let leaf_vectors = self.stored.weights[self.shape.range(Part::Leaves)].as_chunks::<WIDTH>().0;
        let first_leaves: Vec<usize> = leaf_counts(&self.stored.booster)
            .iter()
            .scan(0, |next, leaves| Some(std::mem::replace(next, *next + *leaves as usize)))
            .chain([self.shape.leaves])
            .collect();
        let mut gradients = Gradients::new(self.shape);
        let mut values = vec![0.0; self.shape.leaves];
        let mut all = Vec::with_capacity(keys.importers.len() * attribution_width());
        let dot = |a: &Vector, b: &Vector| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        for row in 0..keys.importers.len() as u32 {
            let (importer, code) = (items.importers[row as usize], items.codes[row as usize]);
            let batch = Batch { leaves: &items.leaves, rows: &[row], importers: &[importer], codes: &[code] };
            gradients.compute_of_log_odds(&self.stored.weights, self.vectors(), batch)?;
            for (leaf, gradient) in gradients.leaves() {
                let tree = first_leaves.partition_point(|first| *first <= leaf as usize) - 1;
                for leaf in first_leaves[tree]..first_leaves[tree + 1] {
                    values[leaf] = dot(gradient, &leaf_vectors[leaf]);
                }
            }
            all.extend(self.stored.booster.attributions_with(&values, columns, row as usize)?);
            all.push(dot(&gradients.importers[0], &self.importers[importer as usize]));
            all.push(dot(&gradients.codes[0], &self.codes[code as usize]));
        }
        Ok(all)
    }
}
