//! The embedding of a row in a fitted model: the numbers whose weighted sum is its log odds.
//!
//! Strategies of exploration that choose diverse rows (BADGE, Ash et al., ICLR 2020) measure distances between them.

use tidewaiter_core::{Error, Result};
use tidewaiter_learning::gbdt;

use crate::{
    date::Keys,
    features::{FeatureBatch, features},
    model::{Classifier, FraudModel},
};

/// The embeddings of some rows of a batch: of boosted trees the output of each tree, of DATE the last hidden layer.
/// `keys` are those of the whole batch.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] for a model without embeddings, and those of a GPU.
pub(super) fn embeddings(
    model: &FraudModel,
    batch: &FeatureBatch,
    keys: &Keys,
    rows: &[usize],
) -> Result<Vec<Vec<f32>>> {
    let gathered: Vec<Vec<f32>> = (0..features().len())
        .map(|feature| batch.feature(feature))
        .map(|values| rows.iter().map(|row| values[*row]).collect())
        .collect();
    let columns: Vec<&[f32]> = gathered.iter().map(Vec::as_slice).collect();
    match &model.classifier {
        Classifier::Gbdt(booster) => tree_outputs(booster, &columns, rows.len()),
        Classifier::Date(model) => {
            let of = |keys: &[u64]| rows.iter().map(|row| keys[*row]).collect();
            model.embeddings(&columns, &Keys { importers: of(&keys.importers), codes: of(&keys.codes) })
        }
        Classifier::Logistic(_) => Err(Error::internal("a logistic regression has no embeddings")),
    }
}

/// The output of each tree for each row.
fn tree_outputs(booster: &gbdt::Model, columns: &[&[f32]], rows: usize) -> Result<Vec<Vec<f32>>> {
    let leaf_values: Vec<f32> =
        booster.trees.iter().flat_map(|tree| &tree.leaf_values).map(|value| *value as f32).collect();
    let (trees, leaves) = (booster.trees.len(), booster.leaves(columns)?);
    let outputs =
        |row: usize| leaves[row * trees..][..trees].iter().map(|leaf| leaf_values[*leaf as usize]).collect();
    Ok((0..rows).map(outputs).collect())
}
