//! What a report says of a model besides its measures.

use tidewaiter_registry::comparison::Comparison;
use tidewaiter_report::words::Language;

use crate::{
    codes::{digits::LEVELS, nomenclature::Nomenclature},
    evaluate::Figures,
    features::texts::TextFile,
};

/// What the report says of a model besides its measures.
#[derive(Debug, Clone)]
pub struct ReportFacts {
    /// The language of the report.
    pub language: Language,
    /// The champion that it was compared with.
    pub champion: Option<String>,
    /// The difference of both, as an apply would use them.
    pub comparison: Option<Comparison>,
    /// How often the test months were looked at, this time included.
    pub looks: u64,
    /// The reporting country.
    pub country: String,
    /// Training, validation and test months.
    pub periods: [String; 3],
    /// Chapters, headings and subheadings that it can predict.
    pub classes: [usize; LEVELS],
    /// Subheadings with one training text only.
    pub with_one_text: usize,
    /// The files of texts of the three periods.
    pub files: Vec<TextFile>,
    /// The seed of the fit.
    pub seed: u64,
    /// The snapshot of the declarations that was read.
    pub snapshot: String,
    /// The texts of the codes, where they were given.
    pub nomenclature: Nomenclature,
    /// The text encoder in words, where the model has one.
    pub encoder: Option<String>,
    /// The measures with what else declarations state, where the model uses it.
    pub figures_with_attributes: Option<Figures>,
    /// The champion's measures on the same items, by descriptions alone.
    pub champion_figures: Option<Figures>,
    /// Whether unit and value per unit are among what else counts.
    pub unit_independent: bool,
}
