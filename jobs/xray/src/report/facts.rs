//! What the card of a detector says beside what it found.

use std::collections::BTreeMap;

use tidewaiter_registry::comparison::Comparison;
use tidewaiter_report::words::Language;

use crate::{metrics::figures::Figures, model::detector::Head};

/// What a page says of a detector beside what it found.
#[derive(Debug, Clone)]
pub struct ModelFacts {
    /// The language of the page.
    pub language: Language,
    /// The champion before it, where there was one.
    pub champion: Option<String>,
    /// The reporting countries.
    pub country: String,
    /// Training, validation and test months.
    pub periods: [String; 3],
    /// Of each of them: images, annotated ones, illicit ones.
    pub counts: [[u64; 3]; 3],
    /// Seed of the fit.
    pub seed: u64,
    /// The snapshot of the images.
    pub snapshot: String,
    /// The figures on the test months.
    pub figures: Figures,
    /// Those of the champion.
    pub champion_figures: Option<Figures>,
    /// The comparison of both.
    pub comparison: Option<Comparison>,
    /// What the detector is.
    pub head: Head,
    /// The digest of the weights that its training began from; `None`: random ones.
    pub backbone: Option<String>,
    /// The fraud model's probability of declarations, where there is one.
    pub fraud: BTreeMap<String, f64>,
}
