//! Recommendations with reasons from a model in memory.
//!
//! Character references of HTML in a description are read as their characters. Start at [`suggest`].

use serde::Serialize;
use tidewaiter_core::Result;
use tidewaiter_ingest::decoded;

use crate::{
    codes::digits::LEVELS,
    features::{attributes::Attributes, ngrams::start_of},
    model::{
        hs_model::HsModel,
        scorer::{Choice, SUGGESTED, Scorer, SimilarDeclaration},
    },
};

/// Words that are given as reasons.
const WORDS: usize = 5;

/// Past declarations that are given as reasons.
const SIMILAR: usize = 3;

/// The codes that are recommended for a description, with reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// The description.
    pub description: String,
    /// Whether it is too vague to choose a heading, so that the declarant should be asked for more.
    pub vague: bool,
    /// The best chapters.
    pub chapters: Vec<Choice>,
    /// The best headings.
    pub headings: Vec<Choice>,
    /// The best subheadings, with reasons.
    pub subheadings: Vec<Explained>,
    /// The best codes with national digits, where the model knows any.
    pub national: Vec<Choice>,
    /// The past declarations that resemble it most.
    pub similar: Vec<SimilarDeclaration>,
}

/// A recommended subheading and its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// Code and probability.
    #[serde(flatten)]
    pub choice: Choice,
    /// The words and attributes that add most to its score, with what each adds.
    pub words: Vec<(String, f32)>,
    /// The nomenclature's texts from its section to itself, where the model has them.
    pub path: Vec<String>,
}

/// Recommends codes for one description and attributes of the goods.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the model's encoder is not loaded ([`HsModel::load`]).
pub fn suggest(
    model: &HsModel,
    scorer: &mut Scorer<'_>,
    description: &str,
    attributes: &Attributes<'_>,
) -> Result<Suggestion> {
    let description = &*decoded(description);
    scorer.set_attributes(attributes);
    scorer.score(description, model.encode(false, [description])?.row(0));
    let has_words = scorer.has_words();
    let best = |level: usize| if has_words { scorer.best(level, SUGGESTED) } else { Vec::new() };
    let subheadings = best(LEVELS - 1).into_iter().map(|choice| Explained {
        words: scorer.words(&choice.code, WORDS),
        path: choice.code.parse().map_or_else(|_| Vec::new(), |code| model.nomenclature.path(code)),
        choice,
    });
    Ok(Suggestion {
        vague: scorer.is_vague(),
        chapters: best(0),
        headings: best(1),
        subheadings: subheadings.collect(),
        national: national(model, scorer),
        similar: scorer.similar(SIMILAR),
        description: start_of(description).to_owned(),
    })
}

/// The best codes with national digits; none where the model knows none or the description has no word.
pub(super) fn national(model: &HsModel, scorer: &Scorer<'_>) -> Vec<Choice> {
    if model.nationals.is_empty() || !scorer.has_words() {
        return Vec::new();
    }
    scorer.best_national(SUGGESTED)
}
