//! Recommendations with reasons from a model in memory.
//!
//! Start at [`suggest`] for one description, and at [`suggest_rows`] for a column of a CSV file.

use serde::Serialize;
use tidewaiter_core::{Error, Result};

use crate::{
    codes::digits::{DIGITS, LEVELS},
    csv::records,
    features::{
        attributes::Attributes,
        ngrams::{is_cut, start_of},
    },
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
fn national(model: &HsModel, scorer: &Scorer<'_>) -> Vec<Choice> {
    if model.nationals.is_empty() || !scorer.has_words() {
        return Vec::new();
    }
    scorer.best_national(SUGGESTED)
}

/// Numbers of the rows of a file of descriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Rows read.
    pub rows: u64,
    /// Rows without a letter or digit.
    pub without_words: u64,
    /// Rows too vague to choose a heading; those without a word included.
    pub vague: u64,
    /// Rows whose description is too long to be read to its end.
    pub cut: u64,
}

/// The columns of a CSV file, by their titles.
#[derive(Debug, Clone, Default)]
pub struct ColumnTitles {
    /// The descriptions.
    pub description: String,
    /// Countries of origin, if any.
    pub origin: Option<String>,
    /// Units of quantities, if any.
    pub unit: Option<String>,
    /// Customs values per unit, or per kilogram where a row has no unit, if any.
    pub unit_value: Option<String>,
}

/// Recommends codes for the rows of a CSV file with a header. Returns a CSV text with a row for each row of the file,
/// in order, and the numbers of rows.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when the file is empty or has no such column.
pub fn suggest_rows(model: &HsModel, file: &[u8], titles: &ColumnTitles) -> Result<(String, RowCounts)> {
    let mut records = records(file).into_iter();
    let header = records.next().ok_or_else(|| Error::input("the file of descriptions is empty"))?;
    let place = |title: &String| {
        header.iter().position(|column| column.trim() == title).ok_or_else(|| {
            Error::input(format!("the file has no column {title:?}; its columns are {}", header.join(", ")))
        })
    };
    let at = place(&titles.description)?;
    let of_title = |title: &Option<String>| title.as_ref().map(place).transpose();
    let (origin, unit) = (of_title(&titles.origin)?, of_title(&titles.unit)?);
    let unit_value = of_title(&titles.unit_value)?;
    let mut text = String::from("row,vague");
    for digits in DIGITS {
        for place in 1..=SUGGESTED {
            text.push_str(&format!(",code_{digits}_{place},probability_{digits}_{place}"));
        }
    }
    for place in 1..=SUGGESTED {
        text.push_str(&format!(",code_national_{place},probability_national_{place}"));
    }
    text.push('\n');
    let mut counts = RowCounts::default();
    let mut scorer = Scorer::new(model, false);
    let records: Vec<_> = records.collect();
    let descriptions = records.iter().map(|record| record.get(at).map_or("", String::as_str));
    let embeddings = model.encode(false, descriptions.clone())?;
    for (row, description) in descriptions.enumerate() {
        counts.rows += 1;
        let cell = |place: Option<usize>| records[row].get(place?).map(String::as_str);
        let value = cell(unit_value).and_then(|text| text.trim().parse().ok());
        // A value that is not a positive number counts as missing.
        let value = value.filter(|value: &f64| *value > 0.0 && value.is_finite());
        scorer.set_attributes(&Attributes::given(cell(origin), cell(unit), value)?);
        scorer.score(description, embeddings.row(row));
        let vague = scorer.is_vague();
        counts.without_words += u64::from(!scorer.has_words());
        counts.vague += u64::from(vague);
        counts.cut += u64::from(is_cut(description));
        text.push_str(&format!("{},{vague}", counts.rows));
        let levels = (0..LEVELS)
            .map(|level| if scorer.has_words() { scorer.best(level, SUGGESTED) } else { Vec::new() });
        for best in levels.chain([national(model, &scorer)]) {
            for place in 0..SUGGESTED {
                match best.get(place) {
                    Some(Choice { code, probability }) => text.push_str(&format!(",{code},{probability:.4}")),
                    None => text.push_str(",,"),
                }
            }
        }
        text.push('\n');
    }
    Ok((text, counts))
}
