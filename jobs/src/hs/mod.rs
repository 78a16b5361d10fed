//! Recommending HS codes for descriptions of goods, and saying why.
//!
//! A description becomes hashed words and pieces of words ([`text`]); linear classifiers on the branches of
//! the HS tree ([`learner`], blended by `blend`), the most similar past declarations (`precedents`) and the nomenclature's
//! texts (`names`) speak for codes, and a log-linear model joins them to probabilities that agree at 2, 4 and 6 digits
//! ([`model`], `fusion`); origin, unit and unit value speak too, where they are known ([`particulars`]). Why so, and
//! not a neural network: on real declarations linear and neighbour models on words and pieces lead (see
//! `docs/benchmarks.md`), they learn in seconds, and each recommendation can name its words and its precedents. A
//! transformer can be one more evidence ([`encoder`]). Start reading at [`retrain`] for the whole way to a model, and
//! at [`suggest`] for its use, which [`adviser`] offers to many; [`apply`] scores an archive.

pub mod adviser;
pub mod apply;
mod assemble;
mod blend;
mod branches;
pub mod encoder;
mod fusion;
mod judge;
mod leaders;
pub mod learner;
mod loglinear;
pub mod metrics;
pub mod model;
mod names;
mod national;
pub mod nomenclature;
pub mod oddities;
pub mod particulars;
mod precedents;
pub mod report;
pub mod retrain;
pub mod score;
pub mod scorer;
mod shrinkage;
pub mod suggest;
mod svm;
pub mod text;
pub mod texts;
pub mod tree;
mod vectors;

#[cfg(test)]
mod tests;
