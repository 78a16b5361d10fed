//! The model and how it scores a description.
//!
//! [`hs_model`] is the model and [`bytes`] its file. [`scorer`] turns a description into probabilities of codes, using
//! [`weights`] and [`beam`] (linear classifiers), [`inverted_index`] and [`precedents`] (similar past declarations),
//! [`nomenclature_texts`], [`attributes`] and [`national`] (codes with national digits); [`fusion`] lists the inputs
//! that the log-linear model ([`loglinear`]) joins. Nothing here is fitted. Start at [`scorer`].

pub(crate) mod attributes;
pub(crate) mod beam;
pub(crate) mod bytes;
pub(crate) mod fusion;
pub mod hs_model;
pub(crate) mod inverted_index;
pub(crate) mod loglinear;
pub(crate) mod national;
pub(crate) mod nomenclature_texts;
pub(crate) mod precedents;
pub mod scorer;
pub(crate) mod top_k;
pub(crate) mod weights;
