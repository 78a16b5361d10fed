//! The trained model: booster, network and tables in one file, and what can be asked of them.

use super::{
    Parameters,
    batch::{Batch, Gradients, Items, Scorer, Vectors, all_threads},
    embedding::{Rows, Vector, WIDTH, row_of},
    graph::Graph,
    leader::leaves_of,
    load::Keys,
    network::Answer,
    weights::{Part, Shape},
    wire::{Learned, Tables},
};
use crate::{
    Error, Result,
    fraud::{features::features, model::Scores},
    learning::{device::gpu, gbdt},
};

/// A model as it is written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stored {
    #[prost(message, required, tag = "1")]
    pub(super) booster: gbdt::Model,
    #[prost(float, repeated, tag = "2")]
    pub(super) weights: Vec<f32>,
    #[prost(message, required, tag = "3")]
    pub(super) tables: Tables,
    /// Rows of the tables.
    #[prost(uint32, tag = "4")]
    pub(super) importer_rows: u32,
    #[prost(uint32, tag = "5")]
    pub(super) code_rows: u32,
    /// ln(1 + revenue) that the revenue head calls 1; 0: no revenue was known.
    #[prost(float, tag = "6")]
    pub(super) revenue_scale: f32,
    /// By which predicted revenues are multiplied.
    #[prost(double, tag = "7")]
    pub(super) revenue_factor: f64,
}

/// A trained DATE.
#[derive(Debug, Clone, PartialEq)]
pub struct DateModel {
    stored: Stored,
    shape: Shape,
    importers: Vec<Vector>,
    codes: Vec<Vector>,
    scorer: Scorer,
}

impl DateModel {
    pub(super) fn new(
        parameters: &Parameters,
        booster: gbdt::Model,
        learned: &Learned,
        revenue_scale: f32,
    ) -> Result<Self> {
        Self::of(Stored {
            booster,
            weights: learned.weights.clone(),
            tables: learned.tables.clone(),
            importer_rows: parameters.importer_rows,
            code_rows: parameters.code_rows,
            revenue_scale,
            revenue_factor: learned.revenue_factor,
        })
    }

    /// Checks what the parts promise each other and prepares for scoring.
    fn of(mut stored: Stored) -> Result<Self> {
        let leaves = leaves_of(&stored.booster);
        let shape = Shape::new(leaves.len(), leaves.iter().map(|leaves| *leaves as usize).sum());
        let Stored { importer_rows, code_rows, .. } = stored;
        let good = shape.trees > 0
            && shape.weights() == stored.weights.len()
            && importer_rows >= 2
            && code_rows >= 2
            && stored.tables.importers.fits(importer_rows)
            && stored.tables.codes.fits(code_rows);
        if !good {
            return Err(Error::corrupt("DATE: the parts of a model do not fit together"));
        }
        let vectors = |rows: &mut Rows| {
            let numbers = std::mem::take(&mut rows.vectors);
            let mut vectors = vec![[0.0; WIDTH]];
            vectors.extend_from_slice(numbers.as_chunks::<WIDTH>().0);
            vectors
        };
        Ok(Self {
            importers: vectors(&mut stored.tables.importers),
            codes: vectors(&mut stored.tables.codes),
            scorer: Scorer::new(shape, &stored.weights),
            shape,
            stored,
        })
    }

    /// The message that stands for the model in a file. One model has one form.
    pub fn to_message(&self) -> Stored {
        let mut stored = self.stored.clone();
        stored.tables.importers.vectors = self.importers[1..].as_flattened().to_vec();
        stored.tables.codes.vectors = self.codes[1..].as_flattened().to_vec();
        stored
    }

    /// The model of [`DateModel::to_message`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the parts do not fit together.
    pub fn from_message(stored: Stored) -> Result<Self> {
        stored.booster.check()?;
        Self::of(stored)
    }

    /// The trees whose leaves are embedded.
    pub fn booster(&self) -> &gbdt::Model {
        &self.stored.booster
    }

    /// How many importers' and HS codes' vectors were learned.
    pub fn learned(&self) -> (usize, usize) {
        (self.importers.len() - 1, self.codes.len() - 1)
    }

    fn vectors(&self) -> Vectors<'_> {
        Vectors { importers: &self.importers, codes: &self.codes }
    }

    /// Items as the network sees them, by leaves and keys.
    fn items(&self, leaves: Vec<u32>, importers: &[u64], codes: &[u64]) -> Items {
        let places = |keys: &[u64], table_rows: u32, learned: &Rows| -> Vec<u32> {
            let place = |key: &u64| match learned.rows.binary_search(&row_of(*key, table_rows)) {
                Ok(place) => place as u32 + 1,
                Err(_) => 0,
            };
            keys.iter().map(place).collect()
        };
        let Stored { tables, importer_rows, code_rows, .. } = &self.stored;
        Items {
            leaves,
            importers: places(importers, *importer_rows, &tables.importers),
            codes: places(codes, *code_rows, &tables.codes),
        }
    }

    /// The answers to items by their leaves in the booster and the keys of importer and HS code.
    ///
    /// # Errors
    /// Those of a GPU.
    pub(super) fn answers(&self, leaves: Vec<u32>, importers: &[u64], codes: &[u64]) -> Result<Vec<Answer>> {
        let items = self.items(leaves, importers, codes);
        let Stored { weights, booster, .. } = &self.stored;
        match gpu()? {
            Some(device) => Graph::new(&leaves_of(booster), device).answers(weights, self.vectors(), &items),
            None => Ok(self.scorer.answers(weights, self.vectors(), &items, all_threads())),
        }
    }

    /// Scores rows by their features, on as many threads as there are processors.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the columns do not fit the model.
    pub fn score(&self, columns: &[&[f32]], keys: &Keys) -> Result<Scores> {
        let leaves = self.stored.booster.leaves(columns)?;
        let answers = self.answers(leaves, &keys.importers, &keys.codes)?;
        let scale = f64::from(self.stored.revenue_scale);
        let expected = |revenue: f32| {
            // The head was taught up to 1; beyond it there is nothing that it could know.
            let logarithm = scale * f64::from(revenue).clamp(0.0, 1.0);
            logarithm.exp_m1() * self.stored.revenue_factor
        };
        Ok(Scores {
            probabilities: answers.iter().map(|answer| f64::from(answer.probability())).collect(),
            expected: (scale > 0.0).then(|| answers.iter().map(|answer| expected(answer.revenue)).collect()),
        })
    }

    /// The numbers that both heads read of each row.
    ///
    /// # Errors
    /// As [`DateModel::score`].
    pub fn embeddings(&self, columns: &[&[f32]], keys: &Keys) -> Result<Vec<Vec<f32>>> {
        let leaves = self.stored.booster.leaves(columns)?;
        let answers = self.answers(leaves, &keys.importers, &keys.codes)?;
        Ok(answers.iter().map(|answer| answer.hidden.to_vec()).collect())
    }

    /// Whether the model expects revenue.
    pub fn expects_revenue(&self) -> bool {
        self.stored.revenue_scale > 0.0
    }

    /// What each feature of each row adds to its log odds, to first order: rows one after the other, each with one
    /// number per feature.
    ///
    /// The log odds are replaced by their tangent at the row, in which every leaf has a value of its own, so that
    /// Shapley values of the trees are those of the network near the row. What the importer's vector adds stands
    /// with the importer's past (`importer_rate`), and what the code's adds with `hs6_code`, against the vector of
    /// zeros of an unknown one.
    ///
    /// # Errors
    /// As [`DateModel::score`].
    pub fn attributions(&self, columns: &[&[f32]], keys: &Keys) -> Result<Vec<f64>> {
        let leaves = self.stored.booster.leaves(columns)?;
        let items = self.items(leaves, &keys.importers, &keys.codes);
        let place =
            |name: &str| features().iter().position(|feature| feature.name == name).unwrap_or_default();
        let (importer_at, code_at) = (place("importer_rate"), place("hs6_code"));
        let leaf_vectors = self.stored.weights[self.shape.range(Part::Leaves)].as_chunks::<WIDTH>().0;
        let first_leaves: Vec<usize> = leaves_of(&self.stored.booster)
            .iter()
            .scan(0, |next, leaves| Some(std::mem::replace(next, *next + *leaves as usize)))
            .chain([self.shape.leaves])
            .collect();
        let mut gradients = Gradients::new(self.shape);
        let mut values = vec![0.0; self.shape.leaves];
        let mut all = Vec::with_capacity(keys.importers.len() * features().len());
        let dot = |a: &Vector, b: &Vector| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        for row in 0..keys.importers.len() as u32 {
            let (importer, code) = (items.importers[row as usize], items.codes[row as usize]);
            let batch = Batch { leaves: &items.leaves, rows: &[row], importers: &[importer], codes: &[code] };
            gradients.explain(&self.stored.weights, self.vectors(), batch)?;
            for (leaf, gradient) in gradients.leaves() {
                let tree = first_leaves.partition_point(|first| *first <= leaf as usize) - 1;
                for leaf in first_leaves[tree]..first_leaves[tree + 1] {
                    values[leaf] = dot(gradient, &leaf_vectors[leaf]);
                }
            }
            let mut attributions = self.stored.booster.attributions_with(&values, columns, row as usize)?;
            attributions[importer_at] += dot(&gradients.importers[0], &self.importers[importer as usize]);
            attributions[code_at] += dot(&gradients.codes[0], &self.codes[code as usize]);
            all.extend(attributions);
        }
        Ok(all)
    }
}
