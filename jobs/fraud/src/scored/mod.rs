//! Feature files as a model scores them: queries over the rows, in the order of time or of the ranking.
//!
//! [`ScoredFiles`] runs the queries; [`ScoredRows`], [`TopItems`] and [`Selection`] hold their results. Start at
//! [`ScoredFiles::query`].

mod files;
mod order;
mod rows;
mod selection;

pub(crate) use files::ScoredFiles;
pub use order::RankBy;
pub(crate) use order::{by_rank, by_time};
pub(crate) use rows::FeatureSample;
pub use rows::{ScoredRows, TopItems};
pub use selection::{MonthSelection, Selection};
