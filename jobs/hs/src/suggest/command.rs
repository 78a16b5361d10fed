//! The command `tidewaiter hs suggest`: recommendations from the champion, or another version, with reasons.

use std::path::PathBuf;

use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_ingest::{Encoding, TextForm};
use tidewaiter_job::{
    catalogue::{Answer, Surroundings},
    remote::connect,
};
use tidewaiter_proto::v1::{HsSuggestRequest, hs_service_client::HsServiceClient};
use tidewaiter_registry::{Registry, Which, scope::Scope};

use super::{
    model::model_name,
    rows::{ColumnTitles, DescriptionTable, RowAnswers, suggest_rows},
    service::from_wire,
    suggestion::{Suggestion, suggest},
};
use crate::{
    features::attributes::Attributes,
    model::{
        attributes::AttributeWeights,
        hs_model::HsModel,
        scorer::{Choice, Scorer},
    },
};

/// Commands of the HS model other than jobs.
#[derive(Debug, Subcommand)]
enum Hs {
    /// The five best codes at 2, 4 and 6 digits for a description, or for a column of a CSV file.
    Suggest {
        /// The description of the goods.
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        description: Option<String>,
        /// A delimited text with a header.
        #[arg(long, requires = "column")]
        file: Option<PathBuf>,
        /// The character between two fields of the file; default: the usual one that its first line has most of.
        #[arg(long, requires = "file")]
        delimiter: Option<char>,
        /// The file's encoding, such as latin-1; default: UTF-8, or that of its byte order mark.
        #[arg(long, requires = "file")]
        encoding: Option<String>,
        /// The file's column of descriptions.
        #[arg(long, requires = "file")]
        column: Option<String>,
        /// Countries of the model, as KR, or KR,TW for a regional one; default: the archive's only HS model.
        #[arg(long)]
        country: Option<Scope>,
        /// Country of origin, ISO 3166-1 alpha-2; with --file, the column of it.
        #[arg(long)]
        origin: Option<String>,
        /// Unit of the quantity, as declarations have it; with --file, the column of it. It counts where the model was
        /// trained with --unit-independent.
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
    let Hs::Suggest { description, country, origin, unit, unit_value, version, .. } = &command;
    let country = country.as_ref().map(Scope::to_string).unwrap_or_default();
    if version.is_some() {
        return Err(Error::input("a scheduler answers by its champion; leave out --version, or --scheduler"));
    }
    let mut client = HsServiceClient::new(connect(url).await?);
    let Some(description) = description else {
        let (table, place) = command.table()?;
        let mut answers = RowAnswers::new(&table);
        let mut name = String::new();
        for row in 0..table.len() {
            let (origin, unit, unit_value) = table.attributes(row);
            let request = HsSuggestRequest {
                description: table.description(row).into_owned(),
                origin: origin.unwrap_or_default().to_owned(),
                unit: unit.unwrap_or_default().to_owned(),
                unit_value,
                country: country.clone(),
            };
            let answer =
                client.suggest(request).await.context(|| format!("answer row {} of {place}", row + 1))?;
            let (by, suggestion) = from_wire(answer.into_inner());
            name = by;
            answers.push(suggestion);
        }
        return Ok(answer_rows(answers, &name));
    };
    let request = HsSuggestRequest {
        description: description.clone(),
        origin: origin.clone().unwrap_or_default(),
        unit: unit.clone().unwrap_or_default(),
        unit_value: unit_value.as_deref().map(number).transpose()?,
        country,
    };
    let (name, suggestion) = from_wire(client.suggest(request).await?.into_inner());
    answer_with(&suggestion, &name)
}

/// Answers from the archive.
async fn answer(surroundings: &Surroundings, command: Hs) -> Result<Answer> {
    let Hs::Suggest { description, country, origin, unit, unit_value, version, .. } = &command;
    let archive = &surroundings.archive;
    let which = version.map_or(Which::Champion, Which::Version);
    let registry = Registry::new(archive);
    let countries = country.as_ref().map(Scope::to_string).unwrap_or_default();
    let loaded = registry.load(&model_name(&registry, &countries).await?, which).await?;
    let name = format!("{}@{}", loaded.manifest.name, loaded.manifest.version);
    let model = HsModel::load(loaded.model, archive).await.context(|| format!("read the model {name}"))?;
    let Some(description) = description else {
        let (table, place) = command.table()?;
        return Ok(answer_rows(suggest_rows(&model, &table).context(|| format!("read {place}"))?, &name));
    };
    let value = unit_value.as_deref().map(number).transpose()?;
    let attributes = Attributes::given(origin.as_deref(), unit.as_deref(), value)?;
    let suggestion = suggest(&model, &mut Scorer::new(&model, false), description, &attributes)?;
    Ok(Answer { remarks: unseen(&model.attributes, &attributes), ..answer_with(&suggestion, &name)? })
}

/// What is given and counts for nothing, because the model never saw it, or does not use it.
fn unseen(known: &AttributeWeights, attributes: &Attributes<'_>) -> Vec<String> {
    let numbers = known.numbers(attributes);
    let given = [("origin", attributes.origin), ("unit", attributes.unit)];
    let unseen = given.into_iter().zip(numbers).filter(|(_, number)| number.is_none());
    unseen
        .filter_map(|((what, value), _)| {
            Some(format!("the model knows no {what} {}: it counts for nothing", value?))
        })
        .collect()
}

impl Hs {
    /// The file of descriptions, and its name.
    fn table(&self) -> Result<(DescriptionTable, String)> {
        let Self::Suggest { file, column, delimiter, encoding, origin, unit, unit_value, .. } = self;
        let (Some(file), Some(column)) = (file, column) else {
            return Err(Error::input("give a description, or --file with --column"));
        };
        let place = file.display().to_string();
        let encoding = encoding.as_deref().map(|name| {
            Encoding::named(name).ok_or_else(|| Error::input(format!("{name:?} is not a known encoding")))
        });
        let form = TextForm { delimiter: *delimiter, encoding: encoding.transpose()? };
        let titles = ColumnTitles {
            description: column.clone(),
            origin: origin.clone(),
            unit: unit.clone(),
            unit_value: unit_value.clone(),
        };
        let read = || DescriptionTable::read(&std::fs::read(file)?, &form, &titles);
        Ok((read().context(|| format!("read {place}"))?, place))
    }
}

/// The answer that shows the suggestions of a model for rows.
fn answer_rows(answers: RowAnswers<'_>, model: &str) -> Answer {
    let RowAnswers { csv, rows, counts, .. } = answers;
    let remark = format!(
        "{} rows: {} without a word, {} others too vague, {} read in part ({model})",
        counts.rows,
        counts.without_words,
        counts.vague.saturating_sub(counts.without_words),
        counts.cut
    );
    Answer {
        lines: vec![csv.trim_end().to_owned()],
        document: json!({ "model": model, "counts": counts, "rows": rows, "csv": csv }),
        remarks: vec![remark],
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
    if suggestion.chapters.is_empty() {
        return vec!["no letter or digit in the description: there is nothing to classify".to_owned()];
    }
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
    if suggestion.vague {
        return lines;
    }
    for explained in &suggestion.subheadings {
        let words: Vec<&str> = explained.words.iter().map(|(word, _)| word.as_str()).collect();
        let counted = if words.is_empty() { String::new() } else { format!("   for: {}", words.join(", ")) };
        lines.push(format!("6 digits  {}{counted}", listed(std::slice::from_ref(&explained.choice))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suggest::suggestion::Explained;

    fn suggestion(vague: bool, code: &str) -> Suggestion {
        let choice = |code: &str| Choice { code: code.to_owned(), probability: 0.5 };
        let explained = Explained {
            choice: choice(code),
            words: Vec::new(),
            path: vec!["a text of the nomenclature".to_owned()],
        };
        Suggestion {
            description: "goods".to_owned(),
            vague,
            chapters: vec![choice(&code[..2])],
            headings: vec![choice(&code[..4])],
            subheadings: vec![explained],
            national: Vec::new(),
            similar: Vec::new(),
        }
    }

    #[test]
    fn an_origin_that_the_model_never_saw_is_said() {
        let mut known = AttributeWeights::default();
        let given = |origin: &'static str| Attributes { origin: Some(origin), ..Attributes::default() };
        assert_eq!(unseen(&known, &given("XX")), ["the model knows no origin XX: it counts for nothing"]);
        assert_eq!(unseen(&known, &Attributes::default()), [""; 0]);
        known.keys[0] = vec![("CN".to_owned(), 0)];
        assert_eq!(unseen(&known, &given("CN")), [""; 0]);
    }

    #[test]
    fn nothing_is_listed_of_no_words_and_no_subheading_of_vague_ones() {
        let said = lines(&suggestion(false, "640391"));
        assert_eq!(said[2], "6 digits  640391 50.0 %", "no word is named where none counted");
        let said = lines(&suggestion(true, "640391"));
        assert!(said[0].starts_with("too vague") && said.len() == 3, "{said:?}");
        let nothing = Suggestion { chapters: Vec::new(), ..suggestion(true, "640391") };
        assert_eq!(lines(&nothing), ["no letter or digit in the description: there is nothing to classify"]);
    }
}
