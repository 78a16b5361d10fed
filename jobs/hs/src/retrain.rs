//! The job that retrains the HS model.
//!
//! Its steps: the champion ([`crate::champion`]); files of texts ([`crate::features`]); the classifiers and, where one is given, the encoder's
//! head ([`crate::fit::classifiers`], [`crate::encoder`]); the weights of all inputs on the validation months
//! ([`crate::fit::assemble`]); the verdict on the test months ([`crate::evaluate`], [`crate::results`]), by which the
//! version is published and promoted or not, and its report ([`crate::report`]). The test months are used once, for the
//! challenger and the champion alike. Measures are of descriptions alone; the comparison with the champion lets both models
//! know what an apply would. Unit and value per unit are not among it, unless the parameters say that the archive's unit
//! is independent of the declared code. The same snapshot, parameters and seed give the same model, byte for byte, on any number of
//! executors.

use std::sync::Arc;

use clap::{ArgMatches, Args, Command};
use datafusion::{
    functions::expr_fn::character_length,
    prelude::{col, lit},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{Archive, provider::snapshot_provider, table::Table};
use tidewaiter_collective::Leader;
use tidewaiter_core::{Error, Periods, Result, ResultExt, plan, query::Run as _, threads::on_cpu};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{
    Extensions, Job, JobParameters, Outcome, async_trait, parameters::with_arguments, summary::evaluated,
};
use tidewaiter_learning::follow::Followed;
use tidewaiter_proto::v1;
use tidewaiter_registry::{
    Card, Facts, Publication, Registry, TrainingSnapshot,
    comparison::Comparison,
    promotion::{Published, publish},
};
use tidewaiter_report::data;

use crate::{
    champion::{Standing, standing},
    codes::{digits::LEVELS, nomenclature::Nomenclature},
    encoder::{self, Embeddings, FittedEncoder, StoredEncoder, fit_encoder},
    evaluate::{Beside, Figures, evaluate},
    features::{
        attributes::{self, AttributeCount},
        texts::{TextFile, read_texts, text_hashes},
        texts_operator::{TextsOperator, distinct_texts, stored_nomenclature, within},
    },
    fit::{
        assemble::{MOST_VALIDATION_TEXTS, Validation, assemble, with_attributes},
        classifiers::{ClassifierLeader, ClassifierShards, LEARNER, Layout},
    },
    messages,
    parameters::{MODEL, RetrainParameters},
    report::{ReportFacts, hs_report, hs_tables},
    results::{TestResults, compare_accuracy},
};

/// Milestones of the classifiers' fit (rounds) from one stored checkpoint to the next.
const MILESTONES_PER_CHECKPOINT: u32 = 4;

#[async_trait]
impl JobParameters for RetrainParameters {
    const KIND: &'static str = "retrain";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "hs"));
    const ABOUT: &'static str = "The HS model: which HS codes a description of goods suggests";

    fn arguments(command: Command, _: &Extensions) -> Command {
        encoder::Parameters::augment_args(Self::augment_args(command))
    }

    /// One seed serves the classifiers and the encoder.
    fn from_arguments(matches: &ArgMatches) -> Result<Self> {
        let mut parameters: Self = with_arguments(matches)?;
        parameters.encoder = encoder::Parameters::from_arguments(matches, parameters.classifiers.seed)?;
        Ok(parameters)
    }

    /// An encoder that is not a folder of this machine is one of the archive.
    fn paths(&mut self) -> Vec<&mut String> {
        let encoder = self.encoder.iter_mut().map(|encoder| &mut encoder.path);
        let encoder = encoder.filter(|path| std::path::Path::new(path.as_str()).is_dir());
        self.nomenclature.iter_mut().chain(&mut self.correlation).chain(encoder).collect()
    }

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        retrain(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        evaluated(outcome, &["accuracy@1/2", "accuracy@1/4", "accuracy@1/6", "accuracy@5/6"])
    }
}

/// Retrains the HS model and promotes it where it is better than the champion.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for parameters out of their ranges, periods that overlap or lack usable rows,
/// and a nomenclature without the columns.
async fn retrain(job: &mut Job<'_>, parameters: &RetrainParameters) -> Result<()> {
    let periods = parameters.validate()?;
    let standing = job.step("champion", standing(job, parameters, &periods)).await?;
    let texts = job.step("texts", write_texts(job, parameters, &periods)).await?;
    job.outcome.rows.read = texts.files.iter().map(TextFile::read).sum();
    check_texts(&texts, parameters, &periods)?;
    if texts.odd_codes > 0 {
        tracing::warn!(
            items = texts.odd_codes,
            "HS codes with an odd number of digits: they may have lost a leading zero, and would be learned as those of \
             another chapter; ingest them again with `digits` and `nomenclature` in the mapping"
        );
        job.outcome.metrics.insert("odd_codes".into(), json!(texts.odd_codes));
    }
    let classifiers = job.step("fit", fit_classifiers(job, parameters, &texts)).await?;
    let encoder = match &parameters.encoder {
        None => None,
        Some(encoder) => {
            let layout = texts.encoder_layout(parameters, encoder)?;
            Some(job.step("encoder", fit_encoder(job, texts.parquet(0)?, layout)).await?)
        }
    };
    let assembling = assemble_model(job, parameters, &texts, &classifiers, encoder.as_ref());
    let model = job.step("assemble", assembling).await?;
    let parts = (&texts, &model, encoder.as_ref());
    let evaluating = evaluate_and_publish(job, parameters, &periods, &standing, parts);
    let verdict = job.step("evaluate", evaluating).await?;

    job.outcome.model = Some(format!("{}@{}", parameters.country.model(MODEL), verdict.version));
    job.outcome.metrics.insert("test".into(), serde_json::to_value(&verdict.challenger)?);
    job.outcome.metrics.insert("test_looks".into(), json!(standing.looks));
    if let Some(attributes) = &verdict.with_attributes {
        job.outcome.metrics.insert("test_with_attributes".into(), serde_json::to_value(attributes)?);
    }
    if let Some(champion) = &verdict.champion {
        job.outcome.metrics.insert("champion".into(), serde_json::to_value(champion)?);
    }
    if let Some(comparison) = &verdict.comparison {
        job.outcome.metrics.insert("comparison".into(), serde_json::to_value(comparison)?);
    }
    job.outcome.metrics.insert("promoted".into(), json!(verdict.promoted));
    if let Some(champion) = verdict.overtaken_by {
        job.outcome.metrics.insert("overtaken_by".into(), json!(champion));
    }
    job.outcome.metrics.insert("texts".into(), serde_json::to_value(&texts.files)?);
    if let Some(encoder) = &encoder {
        job.outcome.metrics.insert("encoder".into(), serde_json::to_value(encoder)?);
    }
    job.outcome.reports.push(job.archive.display(&verdict.report));
    Ok(())
}

// ---- Features

/// The files of texts and what else the later steps read of the snapshot.
#[derive(Debug, Serialize, Deserialize)]
struct TextsStep {
    /// The version of the declarations.
    version: u64,
    /// The files of the training, validation and test months.
    files: Vec<TextFile>,
    /// Path of the nomenclature in the archive; empty: none.
    nomenclature: String,
    /// Path of the correlation table in the archive; empty: none.
    correlation: String,
    /// The encoder, where there is one.
    encoder: Option<StoredEncoder>,
    /// Path of the counts of attributes, as JSON.
    counted: String,
    /// Training items whose HS code has an odd number of digits.
    #[serde(default)]
    odd_codes: u64,
}

impl TextsStep {
    fn file(&self, period: usize) -> Result<&TextFile> {
        self.files.get(period).ok_or_else(|| Error::internal("the texts of a retrain lack a period"))
    }

    fn parquet(&self, period: usize) -> Result<v1::ParquetFile> {
        let file = self.file(period)?;
        Ok(v1::ParquetFile { path: file.path.clone(), size: file.size })
    }

    /// How an encoder's head is trained on the texts.
    fn encoder_layout(
        &self,
        parameters: &RetrainParameters,
        encoder: &encoder::Parameters,
    ) -> Result<encoder::Layout> {
        let stored = self.encoder.clone();
        Ok(encoder::Layout {
            shards: parameters.shards,
            encoder: stored.ok_or_else(|| Error::internal("the encoder of a retrain was not found"))?,
            parameters: encoder.clone(),
            most_texts: parameters.classifiers.most_texts,
            valid: self.file(1)?.path.clone(),
            most_valid: MOST_VALIDATION_TEXTS,
        })
    }

    async fn nomenclature(&self, archive: &Archive) -> Result<Nomenclature> {
        stored_nomenclature(archive, &self.nomenclature, &self.correlation).await
    }
}

/// Stores the user's tables and encoder in the archive, counts attributes, and writes the files of texts.
fn write_texts<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
) -> impl Future<Output = Result<TextsStep>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("texts"), job.work_folder().to_owned());
    let periods = [periods.train, periods.valid, periods.test];
    async move {
        let session = session?;
        let nomenclature =
            store_table(archive, &folder, "nomenclature", parameters.nomenclature.as_deref()).await?;
        let correlation =
            store_table(archive, &folder, "correlation", parameters.correlation.as_deref()).await?;
        if nomenclature.is_empty() && !correlation.is_empty() {
            return Err(Error::input(
                "a correlation table needs the nomenclature that it carries codes into",
            ));
        }
        let codes = stored_nomenclature(archive, &nomenclature, &correlation).await?;
        let encoder = match &parameters.encoder {
            None => None,
            Some(encoder) => Some(encoder::store(archive, &encoder.path).await?),
        };
        let version = Table::open(archive, DECLARATIONS).await?.version().await?;
        let declarations = snapshot_provider(archive, DECLARATIONS, Some(version)).await?;
        let countries = parameters.country.countries().iter().map(lit).collect();
        let declarations =
            session.read_table(declarations)?.filter(col("country").in_list(countries, false))?;
        let training = declarations.clone().filter(within(periods[0]))?;
        let is_odd = (character_length(col("hs_code")) % lit(2)).eq(lit(1));
        let odd_codes = training.clone().filter(is_odd)?.row_count().await? as u64;
        let counted = format!("{folder}/attributes.json");
        let counts = attributes::counts(&training, &codes, parameters.unit_independent).await?;
        archive.put(&counted, serde_json::to_vec(&counts)?).await?;
        let operator = TextsOperator::new(messages::HsTextsOperator {
            archive: archive.url().to_string(),
            folder,
            nomenclature: nomenclature.clone(),
            correlation: correlation.clone(),
        })?;
        let query = plan::apply(distinct_texts(declarations, periods)?, operator)?;
        let files = plan::reports::<Vec<TextFile>>(query).await;
        let files = files.context(|| format!("read the descriptions in {DECLARATIONS}@{version}"))?;
        Ok(TextsStep {
            version,
            files: files.concat(),
            nomenclature,
            correlation,
            encoder,
            counted,
            odd_codes,
        })
    }
}

/// Copies a user's table to the job's folder, where executors can read it, and returns its path; empty without a table.
async fn store_table(archive: &Archive, folder: &str, what: &str, file: Option<&str>) -> Result<String> {
    let Some(file) = file else { return Ok(String::new()) };
    let read = std::fs::read(file).context(|| format!("read the {what} table {file}"))?;
    let path = format!("{folder}/{what}.csv");
    archive.put(&path, read).await?;
    Ok(path)
}

/// Every period must have texts.
fn check_texts(texts: &TextsStep, parameters: &RetrainParameters, periods: &Periods) -> Result<()> {
    let named = [("training", periods.train), ("validation", periods.valid), ("test", periods.test)];
    for (number, (what, period)) in named.into_iter().enumerate() {
        let file = texts.file(number)?;
        if file.texts == 0 {
            return Err(Error::input(format!(
                "the {what} months {period} of {} have no item with a description and a usable HS code \
                 ({} lack a description, {} have fewer than six digits, {} have a code that the nomenclature \
                 lacks); choose other months",
                parameters.country, file.without_words, file.without_code, file.not_in_nomenclature
            )));
        }
    }
    Ok(())
}

// ---- Fit

/// The trained classifiers.
#[derive(Debug, Serialize, Deserialize)]
struct FittedClassifiers {
    /// Path of the fit's last checkpoint, which holds them.
    classifiers: String,
}

fn fit_classifiers<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    texts: &'a TextsStep,
) -> impl Future<Output = Result<FittedClassifiers>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let (session, name) = (job.session("fit"), job.outcome.job.clone());
    let listener = Arc::clone(&job.listener);
    async move {
        let layout = Layout { shards: parameters.shards, parameters: parameters.classifiers.clone() };
        let shards = vec![texts.parquet(0)?; parameters.shards as usize];
        let learner = (LEARNER, serde_json::to_string(&layout)?);
        let fit = Followed {
            archive,
            engine,
            session: &session?,
            name,
            folder: folder.clone(),
            learner,
            shards: shards.clone(),
            loader: Arc::new(ClassifierShards::new(archive.clone(), shards, layout)),
            gains_from_gpu: false,
            listener,
            step: ("fit", "classifiers"),
            place: (0, 1),
            milestones_per_checkpoint: MILESTONES_PER_CHECKPOINT,
        };
        let leader = fit.lead(|| Ok(ClassifierLeader::new()), ClassifierLeader::restore).await?;
        let classifiers = format!("{folder}/classifiers");
        archive.put(&classifiers, leader.checkpoint()?).await?;
        Ok(FittedClassifiers { classifiers })
    }
}

/// A whole model that is not yet evaluated.
#[derive(Debug, Serialize, Deserialize)]
struct AssembledModel {
    /// Path of its bytes in the archive.
    model: String,
    /// Chapters, headings and subheadings that it can predict.
    classes: [usize; LEVELS],
    /// Subheadings with one training text only.
    with_one_text: usize,
    /// Whether it uses attributes.
    uses_attributes: bool,
}

/// Assembles the model, with weights that are fitted on the validation texts.
fn assemble_model<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    texts: &'a TextsStep,
    classifiers: &'a FittedClassifiers,
    encoder: Option<&'a FittedEncoder>,
) -> impl Future<Output = Result<AssembledModel>> + use<'a> {
    let (archive, folder) = (job.archive, job.work_folder().to_owned());
    async move {
        let most = parameters.classifiers.most_texts;
        let train = read_texts(archive, &texts.file(0)?.path, most).await?;
        let precedents = read_texts(archive, &texts.file(0)?.path, most.min(parameters.precedents)).await?;
        let valid = read_texts(archive, &texts.file(1)?.path, MOST_VALIDATION_TEXTS).await?;
        let leader = ClassifierLeader::restore(&archive.get(&classifiers.classifiers).await?)?;
        let nomenclature = texts.nomenclature(archive).await?;
        let counts: Vec<AttributeCount> = serde_json::from_slice(&archive.get(&texts.counted).await?)?;
        let items = archive.get(&texts.file(1)?.path).await?;
        let vague_below = parameters.vague_below;
        let (encoder, embeddings) = match encoder {
            None => (None, Embeddings::default()),
            Some(encoder) => {
                let (encoder, embeddings) = encoder.parts(archive).await?;
                (Some(encoder), embeddings)
            }
        };
        let valid = Validation { texts: valid, embeddings };
        let made = on_cpu(move || {
            let model = assemble(leader, train, precedents, &valid, nomenclature, vague_below, encoder)?;
            with_attributes(model, &counts, &items, &valid)
        });
        let model = made.await?;
        let path = format!("{folder}/model.bin");
        archive.put(&path, model.to_bytes()).await?;
        Ok(AssembledModel {
            model: path,
            classes: model.class_counts(),
            with_one_text: model.with_one_text(),
            uses_attributes: !model.attributes.is_empty(),
        })
    }
}

// ---- Evaluate and publish

/// The measures on the test months, and the version that was published.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    version: u64,
    promoted: bool,
    /// The version that is the champion instead of this better one.
    #[serde(default)]
    overtaken_by: Option<u64>,
    /// The measures by descriptions alone.
    challenger: Figures,
    /// The measures with attributes, where the model uses them.
    with_attributes: Option<Figures>,
    /// The champion's measures by descriptions alone.
    champion: Option<Figures>,
    /// Of both models as an apply would use them.
    comparison: Option<Comparison>,
    /// Path of the report.
    report: String,
}

/// Evaluates the model beside the champion, publishes it, promotes it where it is better, and writes its report.
fn evaluate_and_publish<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    standing: &'a Standing,
    (texts, model, encoder): (&'a TextsStep, &'a AssembledModel, Option<&'a FittedEncoder>),
) -> impl Future<Output = Result<Verdict>> + use<'a> {
    let (archive, periods) = (job.archive, *periods);
    let (session, id, submitted_ms) = (job.session("evaluate"), job.outcome.job.clone(), job.submitted_ms);
    async move {
        let session = session?;
        let (registry, name) = (Registry::new(archive), parameters.country.model(MODEL));
        let training = text_hashes(archive, &texts.file(0)?.path).await?;
        let evaluate = |period: usize, model: String, beside: Beside| {
            let (session, training, file) = (&session, &training, texts.file(period));
            async move { evaluate(archive, session, file?, &model, beside, training).await }
        };
        let allowed = if parameters.unit_independent { Beside::All } else { Beside::WithoutUnit };
        let new = || model.model.clone();
        let (valid, test) =
            (evaluate(1, new(), Beside::Nothing).await?, evaluate(2, new(), Beside::Nothing).await?);
        let with_attributes = match model.uses_attributes {
            true => Some(evaluate(2, new(), allowed).await?),
            false => None,
        };
        let (mut champion, mut comparison) = (None, None);
        if let Some(path) = &standing.compared {
            champion = Some(evaluate(2, path.clone(), Beside::Nothing).await?.figures());
            let theirs = evaluate(2, path.clone(), allowed).await?.rows;
            let ours = with_attributes.as_ref().unwrap_or(&test).rows.clone();
            let seed = parameters.classifiers.seed;
            comparison = Some(on_cpu(move || compare_accuracy(&ours, &theirs, seed)).await?);
        }
        let better = match (&standing.champion, &comparison) {
            (None, _) => true,
            (Some(_), comparison) => comparison.is_some_and(|comparison| comparison.is_better()),
        };
        let results = on_cpu(move || Ok(TestResults::of(test, &valid))).await?;
        let (challenger, with_attributes) =
            (results.figures(), with_attributes.map(|evaluation| evaluation.figures()));
        let facts = ReportFacts {
            language: parameters.language,
            champion: standing.champion.as_ref().map(|champion| format!("{name}@{}", champion.version)),
            comparison,
            looks: standing.looks,
            country: parameters.country.countries().join(", "),
            periods: [periods.train, periods.valid, periods.test].map(|period| period.to_string()),
            classes: model.classes,
            with_one_text: model.with_one_text,
            files: texts.files.clone(),
            seed: parameters.classifiers.seed,
            snapshot: format!("{DECLARATIONS}@{}", texts.version),
            nomenclature: texts.nomenclature(archive).await?,
            encoder: encoder.map(FittedEncoder::words),
            champion_figures: champion.clone(),
            figures_with_attributes: with_attributes.clone(),
            unit_independent: parameters.unit_independent,
        };
        let tables = data::files(&hs_tables(&results, &facts)?)?;
        let of_version = name.clone();
        let card: Card = Arc::new(move |version, promotion| {
            Ok(hs_report(&results, &format!("{of_version}@{version}"), &facts, promotion).render())
        });
        let snapshot = TrainingSnapshot { table: DECLARATIONS.to_owned(), version: texts.version };
        let metrics = json!({
            "test": challenger,
            "test_with_attributes": with_attributes,
            "test_looks": standing.looks,
            "comparison": comparison,
        });
        let publication = Publication {
            model: archive.get(&model.model).await?,
            card: Some(card),
            facts: Facts {
                job: id,
                config: serde_json::to_value(parameters)?,
                features: features(model.uses_attributes, parameters.unit_independent),
                snapshot: Some(snapshot),
                code_version: env!("CARGO_PKG_VERSION").to_owned(),
                metrics,
                seed: parameters.classifiers.seed,
                created_ms: submitted_ms,
            },
        };
        let Published { manifest, promoted, overtaken_by, report } =
            publish(&registry, &name, publication, standing.champion.as_ref(), better).await?;
        let folder = report.trim_end_matches(".html");
        for (file, bytes) in tables {
            archive.put(&format!("{folder}/{file}"), bytes).await?;
        }
        let version = manifest.version;
        Ok(Verdict {
            version,
            promoted,
            overtaken_by,
            challenger,
            with_attributes,
            champion,
            comparison,
            report,
        })
    }
}

/// The columns of a declaration that a model reads.
fn features(uses_attributes: bool, unit_independent: bool) -> Vec<String> {
    let attributes = attributes::columns(unit_independent).filter(|_| uses_attributes);
    std::iter::once("description").chain(attributes).map(str::to_owned).collect()
}
