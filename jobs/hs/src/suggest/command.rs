//! The command `tidewaiter hs suggest`: recommendations from the champion, or another version, with reasons.

use std::path::PathBuf;

use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::{
    catalogue::{Answer, Surroundings},
    remote::connect,
};
use tidewaiter_proto::v1::{HsSuggestRequest, hs_service_client::HsServiceClient};
use tidewaiter_registry::{Registry, Which};

use super::{
    service::from_wire,
    suggestion::{ColumnTitles, Suggestion, suggest, suggest_rows},
};
use crate::{
    features::attributes::Attributes,
    model::{
        hs_model::HsModel,
        scorer::{Choice, Scorer},
    },
    parameters::MODEL,
};

/// Commands of the HS model other than jobs.
#[derive(Debug, Subcommand)]
enum Hs {
    /// The five best codes at 2, 4 and 6 digits for a description, or for a column of a CSV file.
    Suggest {
        /// The description of the goods.
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        description: Option<String>,
        /// A CSV file with a header.
        #[arg(long, requires = "column")]
        file: Option<PathBuf>,
        /// The file's column of descriptions.
        #[arg(long, requires = "file")]
        column: Option<String>,
        /// Country of origin, ISO 3166-1 alpha-2; with --file, the column of it.
        #[arg(long)]
        origin: Option<String>,
        /// Unit of the quantity, as declarations have it; with --file, the column of it.
        #[arg(long)]
        unit: Option<String>,
        /// Customs value per unit, or per kilogram without a unit; with --file, the column of it.
        #[arg(long)]
        unit_value: Option<String>,
        /// Version of the model; default: the champion.
        #[arg(long)]
        version: Option<u64>,
    },
}

/// Adds the command's help and sub-commands.
pub(crate) fn arguments(command: Command) -> Command {
    let command = Hs::augment_subcommands(command).about("Recommend HS codes at once, with reasons");
    command.subcommand_required(true).arg_required_else_help(true)
}

/// Runs the command.
pub(crate) fn run(surroundings: Surroundings, matches: ArgMatches) -> BoxFuture<'static, Result<Answer>> {
    async move {
        let command = Hs::from_arg_matches(&matches).map_err(|error| Error::input(error.to_string()))?;
        match &surroundings.scheduler {
            Some(url) => ask(url, command).await,
            None => answer(&surroundings, command).await,
        }
    }
    .boxed()
}

/// Asks a scheduler.
async fn ask(url: &str, command: Hs) -> Result<Answer> {
    let Hs::Suggest { description, origin, unit, unit_value, version, .. } = command;
    let Some(description) = description.filter(|_| version.is_none()) else {
        return Err(Error::input(
            "a scheduler answers for one description, by its champion; leave out --file and --version, or --scheduler",
        ));
    };
    let mut client = HsServiceClient::new(connect(url).await?);
    let request = HsSuggestRequest {
        description,
        origin: origin.unwrap_or_default(),
        unit: unit.unwrap_or_default(),
        unit_value: unit_value.as_deref().map(number).transpose()?,
    };
    let (version, suggestion) = from_wire(client.suggest(request).await?.into_inner());
    answer_with(&suggestion, &format!("{MODEL}@{version}"))
}

/// Answers from the archive.
async fn answer(surroundings: &Surroundings, command: Hs) -> Result<Answer> {
    let Hs::Suggest { description, file, column, origin, unit, unit_value, version } = command;
    let archive = &surroundings.archive;
    let which = version.map_or(Which::Champion, Which::Version);
    let loaded = Registry::new(archive).load(MODEL, which).await?;
    let name = format!("{MODEL}@{}", loaded.manifest.version);
    let model = HsModel::load(loaded.model, archive).await.context(|| format!("read the model {name}"))?;
    match (description, file, column) {
        (Some(description), ..) => {
            let value = unit_value.as_deref().map(number).transpose()?;
            let attributes = Attributes::given(origin.as_deref(), unit.as_deref(), value)?;
            answer_with(&suggest(&model, &mut Scorer::new(&model, false), &description, &attributes)?, &name)
        }
        (None, Some(file), Some(column)) => {
            let bytes = std::fs::read(&file).context(|| format!("read {}", file.display()))?;
            let titles = ColumnTitles { description: column, origin, unit, unit_value };
            let (text, counts) =
                suggest_rows(&model, &bytes, &titles).context(|| format!("read {}", file.display()))?;
            let remark = format!(
                "{} rows: {} without a word, {} too vague, {} read in part ({name})",
                counts.rows, counts.without_words, counts.vague, counts.cut
            );
            Ok(Answer {
                document: json!({ "model": name, "counts": counts, "csv": text }),
                lines: vec![text.trim_end().to_owned()],
                remarks: vec![remark],
            })
        }
        (None, ..) => Err(Error::input("give a description, or --file with --column")),
    }
}

/// Reads a unit value.
fn number(text: &str) -> Result<f64> {
    text.trim().parse().map_err(|_| Error::input(format!("--unit-value is {text:?}; give a number")))
}

/// The answer that shows a suggestion of a model.
fn answer_with(suggestion: &Suggestion, model: &str) -> Result<Answer> {
    let mut document = serde_json::to_value(suggestion)?;
    document["model"] = json!(model);
    Ok(Answer { document, lines: lines(suggestion), remarks: Vec::new() })
}

/// The lines that show a suggestion to people.
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
