//! What the model reads of a declaration, and the files of texts that a retrain makes of declarations.
//!
//! - [`ngrams`]: a description becomes hashed words, pairs of words and character n-grams.
//! - [`vectors`]: those become a sparse vector of unit length, weighted by TF-IDF.
//! - [`attributes`]: origin, unit and value per unit, which declarations state beside the description.
//! - [`texts`]: the files of distinct texts with their codes, and [`texts_operator`], the plan node that writes them.
//! - [`defects`]: counts of defective descriptions for the report.

pub mod attributes;
pub mod defects;
pub mod ngrams;
pub mod texts;
pub mod texts_operator;
pub(crate) mod vectors;
