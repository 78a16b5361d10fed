//! Features of declarations, in one pass over them in time order, from the past only.
//!
//! A feature of a row uses the row itself, rows of *strictly earlier days*, and outcomes of days at least
//! [`Parameters::label_delay_days`] before. So a model is trained on what it will see in use. (The published risk
//! profiles are computed on the same rows that they are features of, outcomes included.) The families of keys follow
//! the risk profiles of DATE (Kim et al., KDD 2020); smoothing towards the overall rate is Micci-Barreca's (SIGKDD
//! Explorations, 2001). The features do not depend on how the stream is cut into batches. One builder serves one
//! country.
//!
//! A country is one task, whose stages work on different rows at the same time: read, sort, prepare (everything that
//! needs no past), update the histories, write. Rows of the training and validation months go to shard files in
//! blocks of 4096, those of the test months to others.
//!
//! `extract` is the step of a job, [`FeaturesOperator`] its plan node, [`features`] the list of features, `text` their
//! names and values in words. Start at [`FeatureBuilder::push`].

mod bounded_table;
mod builder;
mod catalogue;
pub(crate) mod columns;
mod extraction;
mod files;
pub(crate) mod keys;
mod operator;
mod parameters;
mod past;
mod prepared;
mod schema;
mod sorting;
mod statistics;
pub(crate) mod text;

pub use builder::{FeatureBuilder, RowKeys};
pub use catalogue::{Feature, Measure, Source, features};
pub(crate) use extraction::{ExtractedFeatures, Extraction, extract, feature_output};
pub use files::{FeatureFile, FeatureFiles, Outcomes, Written, file_schema};
pub(crate) use operator::TIME_ORDER;
pub use operator::{FeaturesOperator, INPUT_COLUMNS};
pub use parameters::Parameters;
pub use prepared::PreparedBatch;
pub use schema::{FeatureBatch, feature_schema};
pub(crate) use schema::{LEADING, feature_columns};
pub(crate) use sorting::sorted_by_month;
