//! The HTML pages of a retrain and of an apply, in English, French and Spanish.
//!
//! [`model_report`] fills the report of a retrain, which is also the model's card, from the verdict on the test rows;
//! [`selection_report`] fills that of scored months; [`listed_items`] gives the items that both list, with the
//! reasons of each score. [`ModelPage`] and [`SelectionPage`] turn them into HTML with the parts of
//! [`tidewaiter_report`]. Reasons are Shapley values of the model's log odds (Lundberg, Erion and Lee,
//! arXiv:1802.03888): they add up to the score and explain what the model looked at, not what caused a fraud.

mod estimate;
mod item_table;
mod items;
mod metric_table;
mod model_page;
mod model_report;
mod random_draw;
mod selection_page;
mod selection_report;
mod tables;
#[cfg(test)]
mod tests;

use tidewaiter_report::words::{Language, Words};

pub use item_table::SelectedItem;
pub use items::listed_items;
pub use metric_table::Metric;
pub use model_page::{Curves, Importance, ModelPage, MonthRow, Months};
pub use model_report::{ModelFacts, model_report};
pub use selection_page::{SelectedMonth, SelectionPage};
pub use selection_report::{SelectionFacts, selection_report};

/// The words of the pages in their languages.
pub(crate) const WORDS: &str = include_str!("words.tsv");

/// The words of a page in a language.
pub(crate) fn words(language: Language) -> Words {
    Words::new(language, &[WORDS])
}

/// Items that a page lists.
pub const LISTED: usize = 50;
