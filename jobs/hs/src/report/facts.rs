//! What a report says of a model besides its measures.

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
    /// Whether it is the champion now.
    pub promoted: bool,
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
    /// The measures by descriptions alone, where the model uses origin, unit and value.
    pub figures_alone: Option<Figures>,
    /// The champion's measures on the same items.
    pub champion_figures: Option<Figures>,
}
