//! How a model is fitted on the files of texts.
//!
//! - [`classifiers`]: one support vector machine ([`svm`]) for each class of the HS tree ([`problem`]), fitted on the
//!   collective.
//! - [`blend`]: those are blended with naive Bayes ([`smoothing`]) and class centroids.
//! - [`attributes`]: naive Bayes weights of origin, unit and value per unit.
//! - [`fusion`]: the weights that join all inputs, by maximum likelihood ([`loglinear`]).
//! - [`assemble`]: a whole model of these. Start there.

pub(crate) mod assemble;
pub(crate) mod attributes;
pub(crate) mod blend;
pub mod classifiers;
pub(crate) mod fusion;
pub(crate) mod loglinear;
pub(crate) mod problem;
pub(crate) mod smoothing;
pub(crate) mod svm;
