//! `tidewaiter hs`: instant recommendations from the champion, with reasons.

use serde_json::json;
use tidewaiter_jobs::{
    Archive, Error, Result, ResultExt,
    hs::{
        adviser::from_wire,
        model::Model,
        particulars::Particulars,
        retrain::MODEL,
        scorer::Choice,
        suggest::{Suggestion, Titles, suggest, suggest_rows},
    },
    registry::{Registry, Which},
};
use tidewaiter_proto::v1::{HsSuggestRequest, hs_service_client::HsServiceClient};

use super::{jobs::channel, write};
use crate::{
    arguments::{Hs, Output, Place},
    progress,
};

pub(super) async fn run(archive: &Archive, place: &Place, command: Hs, output: Output) -> Result<()> {
    let Hs::Suggest { description, file, column, origin, unit, unit_value, version } = command;
    if let Some(url) = &place.scheduler {
        let Some(description) = description.filter(|_| version.is_none()) else {
            return Err(Error::input(
                "a scheduler answers for one description, by its champion; leave out --file and --version, or --scheduler",
            ));
        };
        let mut client = HsServiceClient::new(channel(url).await?);
        let request = HsSuggestRequest {
            description,
            origin: origin.unwrap_or_default(),
            unit: unit.unwrap_or_default(),
            unit_value: unit_value.as_deref().map(number).transpose()?,
        };
        let answer = client.suggest(request).await?.into_inner();
        let (version, suggestion) = from_wire(answer);
        return show(&suggestion, &format!("{MODEL}@{version}"), output);
    }
    let which = version.map_or(Which::Champion, Which::Version);
    let loaded = Registry::new(archive).load(MODEL, which).await?;
    let name = format!("{MODEL}@{}", loaded.manifest.version);
    let model = Model::load(loaded.model, archive).await.context(|| format!("read the model {name}"))?;
    match (description, file, column) {
        (Some(description), ..) => {
            let value = unit_value.as_deref().map(number).transpose()?;
            let particulars = Particulars::given(origin.as_deref(), unit.as_deref(), value)?;
            let suggestion = suggest(&model, &mut model.scorer(false), &description, &particulars)?;
            show(&suggestion, &name, output)
        }
        (None, Some(file), Some(column)) => {
            let bytes = std::fs::read(&file).context(|| format!("read {}", file.display()))?;
            let titles = Titles { description: column, origin, unit, unit_value };
            let (text, counts) =
                suggest_rows(&model, &bytes, &titles).context(|| format!("read {}", file.display()))?;
            progress::say(&format!(
                "{} rows: {} without a word, {} too vague, {} read in part ({name})",
                counts.rows, counts.without_words, counts.vague, counts.cut
            ));
            let document = json!({ "model": name, "counts": counts, "csv": text });
            write(output, &document, || vec![text.trim_end().to_owned()])
        }
        (None, ..) => Err(Error::input("give a description, or --file with --column")),
    }
}

/// The number of a unit value.
fn number(text: &str) -> Result<f64> {
    text.trim().parse().map_err(|_| Error::input(format!("--unit-value is {text:?}; give a number")))
}

/// Writes a suggestion of a model.
fn show(suggestion: &Suggestion, model: &str, output: Output) -> Result<()> {
    let mut document = serde_json::to_value(suggestion)?;
    document["model"] = json!(model);
    write(output, &document, || lines(suggestion))
}

/// A suggestion for people.
fn lines(suggestion: &Suggestion) -> Vec<String> {
    let mut lines = Vec::new();
    if suggestion.vague {
        lines.push("too vague to choose a heading: ask for more (what it is, of what, for what)".to_owned());
    }
    let listed = |choices: &[Choice]| {
        let shown =
            choices.iter().map(|choice| format!("{} {:.1} %", choice.code, 100.0 * choice.probability));
        shown.collect::<Vec<_>>().join("   ")
    };
    lines.push(format!("2 digits  {}", listed(&suggestion.chapters)));
    lines.push(format!("4 digits  {}", listed(&suggestion.headings)));
    for explained in &suggestion.subheadings {
        let words: Vec<&str> = explained.words.iter().map(|(word, _)| word.as_str()).collect();
        lines.push(format!(
            "6 digits  {}   for: {}",
            listed(std::slice::from_ref(&explained.choice)),
            words.join(", ")
        ));
        lines.extend(explained.path.iter().map(|text| format!("          {text}")));
    }
    if !suggestion.national.is_empty() {
        lines.push(format!("national  {}", listed(&suggestion.national)));
    }
    for similar in &suggestion.similar {
        lines.push(format!("similar   {:.2}  {}  {}", similar.similarity, similar.code, similar.description));
    }
    lines
}
