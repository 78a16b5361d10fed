//! Retraining the HS model: distinct texts, classifiers, the weighing of evidence, and a verdict.
//!
//! The training months teach, the validation months settle how evidence is weighed (and so the
//! probabilities), and the test months are looked at once, for the challenger and the champion alike. The better
//! one by `accuracy@1/6` is the champion. What it promises: the same snapshot, parameters and seed give
//! the same model, byte for byte, on any number of executors.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use datafusion::prelude::{col, lit};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_proto::v1;

use super::{
    assemble::{MOST_VALIDATION_TEXTS, Validation, assemble, with_particulars},
    encoder::{self, Embeddings, Encoded, Kept, fit_encoder},
    judge::judge,
    learner::{self, HsLeader, LEARNER, Layout, TextShards},
    nomenclature::Nomenclature,
    particulars::{self, Counted},
    report::{ReportFacts, hs_report},
    texts::{TextsOperator, Written, distinct_texts, kept_nomenclature, read_texts, within},
    tree::LEVELS,
};
use crate::{
    Archive, Error, ErrorKind, Result, ResultExt,
    archive::{provider::snapshot_provider, schema::DECLARATIONS, table::Table},
    job::{Job, Listener, Period, Periods},
    learning::{
        Progress,
        collective::Observer,
        run::{Fit, run},
    },
    plan,
    registry::{Card, Champion, Facts, Publication, Registry, TrainingSnapshot, Which},
    threads::on_cpu,
};

/// The model's name in the registry.
pub const MODEL: &str = "hs";

/// Milestones of the fit (rounds) from one stored checkpoint to the next.
const MILESTONES_PER_CHECKPOINT: u32 = 4;

/// What a retrain is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The reporting country whose rows are used, ISO 3166-1 alpha-2.
    pub country: String,
    /// Months that teach.
    pub train: Period,
    /// Months that settle the weighing of evidence; absent: the last tenth of the training months.
    #[serde(default)]
    pub valid: Option<Period>,
    /// Months that judge.
    pub test: Period,
    /// How the classifiers are learned.
    #[serde(default)]
    pub classifiers: learner::Parameters,
    /// Parts of the work; the most workers that a fit can use.
    #[serde(default = "eight")]
    pub shards: u32,
    /// Most past declarations that are kept to compare with.
    #[serde(default = "precedents")]
    pub precedents: u64,
    /// A description whose best heading is less likely is called too vague; 0 to 1.
    #[serde(default = "half")]
    pub vague_below: f32,
    /// A table of the codes that there are and their texts (CSV); absent: any code is learned.
    #[serde(default)]
    pub nomenclature: Option<String>,
    /// A table that carries codes of other editions of the HS into the nomenclature (CSV).
    #[serde(default)]
    pub correlation: Option<String>,
    /// A text encoder whose head is one more evidence; absent: none.
    #[serde(default)]
    pub encoder: Option<encoder::Parameters>,
}

fn eight() -> u32 {
    8
}

fn precedents() -> u64 {
    200_000
}

fn half() -> f32 {
    0.5
}

/// Retrains the HS model and promotes it where it is better than the champion.
///
/// # Errors
/// [`ErrorKind::Input`] for periods that overlap or lack usable rows, and for a nomenclature that is none.
pub async fn retrain(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let periods = Periods::new(parameters.train, parameters.valid, parameters.test)?;
    if parameters.shards == 0 {
        return Err(Error::input("a fit needs at least one shard"));
    }
    parameters.classifiers.validate()?;
    parameters.encoder.as_ref().map_or(Ok(()), encoder::Parameters::validate)?;
    if !(0.0..=1.0).contains(&parameters.vague_below) {
        let text = format!("vague_below is {}; set it to a probability, 0 to 1", parameters.vague_below);
        return Err(Error::input(text));
    }
    let prepared = job.step("texts", prepare(job, parameters, &periods)).await?;
    job.outcome.rows.read = prepared.files.iter().map(Written::read).sum();
    check_texts(&prepared, parameters, &periods)?;
    let fitted = job.step("fit", fit(job, parameters, &prepared)).await?;
    let encoded = match &parameters.encoder {
        None => None,
        Some(encoder) => {
            let layout = prepared.layout(parameters, encoder)?;
            Some(job.step("encoder", fit_encoder(job, prepared.parquet(0)?, layout)).await?)
        }
    };
    let weighed = job.step("weigh", weigh(job, parameters, &prepared, &fitted, encoded.as_ref())).await?;
    let judging = evaluate(job, parameters, &periods, &prepared, &weighed, encoded.as_ref());
    let verdict = job.step("evaluate", judging).await?;

    job.outcome.model = Some(format!("{MODEL}@{}", verdict.version));
    job.outcome.metrics.insert("test".into(), serde_json::to_value(&verdict.challenger)?);
    if let Some(alone) = &verdict.alone {
        job.outcome.metrics.insert("test_description_alone".into(), serde_json::to_value(alone)?);
    }
    if let Some(champion) = &verdict.champion {
        job.outcome.metrics.insert("champion".into(), serde_json::to_value(champion)?);
    }
    job.outcome.metrics.insert("promoted".into(), json!(verdict.promoted));
    job.outcome.metrics.insert("texts".into(), serde_json::to_value(&prepared.files)?);
    if let Some(encoded) = &encoded {
        job.outcome.metrics.insert("encoder".into(), serde_json::to_value(encoded)?);
    }
    job.outcome.reports.push(job.archive.display(&verdict.report));
    Ok(())
}

/// The files of texts, and the snapshot that they were taken from.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    /// The version of the declarations.
    version: u64,
    /// Those that teach, choose and judge.
    files: Vec<Written>,
    /// Path of the nomenclature in the archive; empty: none.
    nomenclature: String,
    /// Path of the correlation table in the archive; empty: none.
    correlation: String,
    /// The encoder, where there is one.
    encoder: Option<Kept>,
    /// Path of the particulars that were counted, as JSON.
    counted: String,
}

impl Prepared {
    fn file(&self, part: usize) -> Result<&Written> {
        self.files.get(part).ok_or_else(|| Error::internal("the texts of a retrain lack a period"))
    }

    fn parquet(&self, part: usize) -> Result<v1::ParquetFile> {
        let file = self.file(part)?;
        Ok(v1::ParquetFile { path: file.path.clone(), size: file.size })
    }

    /// How an encoder's head is trained on the texts.
    fn layout(&self, parameters: &Parameters, encoder: &encoder::Parameters) -> Result<encoder::Layout> {
        let kept = self.encoder.clone();
        Ok(encoder::Layout {
            shards: parameters.shards,
            encoder: kept.ok_or_else(|| Error::internal("the encoder of a retrain was not found"))?,
            parameters: encoder.clone(),
            most_texts: parameters.classifiers.most_texts,
            valid: self.file(1)?.path.clone(),
            most_valid: MOST_VALIDATION_TEXTS,
        })
    }

    async fn nomenclature(&self, archive: &Archive) -> Result<Nomenclature> {
        kept_nomenclature(archive, &self.nomenclature, &self.correlation).await
    }
}

fn prepare<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    periods: &Periods,
) -> impl Future<Output = Result<Prepared>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("texts"), job.work_folder().to_owned());
    let periods = [periods.train, periods.valid, periods.test];
    async move {
        let session = session?;
        let nomenclature = keep(archive, &folder, "nomenclature", parameters.nomenclature.as_deref()).await?;
        let correlation = keep(archive, &folder, "correlation", parameters.correlation.as_deref()).await?;
        if nomenclature.is_empty() && !correlation.is_empty() {
            return Err(Error::input(
                "a correlation table needs the nomenclature that it carries codes into",
            ));
        }
        let codes = kept_nomenclature(archive, &nomenclature, &correlation).await?;
        let encoder = match &parameters.encoder {
            None => None,
            Some(encoder) => Some(encoder::keep(archive, &encoder.path).await?),
        };
        let version = Table::open(archive, DECLARATIONS).await?.version().await?;
        let declarations = snapshot_provider(archive, DECLARATIONS, Some(version)).await?;
        let declarations =
            session.read_table(declarations)?.filter(col("country").eq(lit(&parameters.country)))?;
        let teaching = declarations.clone().filter(within(periods[0]))?;
        let counted = format!("{folder}/particulars.json");
        archive.put(&counted, serde_json::to_vec(&particulars::counts(&teaching, &codes).await?)?).await?;
        let operator = TextsOperator::new(v1::HsTextsOperator {
            archive: archive.url().to_string(),
            folder,
            nomenclature: nomenclature.clone(),
            correlation: correlation.clone(),
        })?;
        let query = plan::above(distinct_texts(declarations, periods)?, operator)?;
        let files = plan::reports::<Vec<Written>>(query).await;
        let files = files.context(|| format!("read the descriptions in {DECLARATIONS}@{version}"))?;
        Ok(Prepared { version, files: files.concat(), nomenclature, correlation, encoder, counted })
    }
}

/// Copies a user's table to the job's folder, where executors can read it; gives its path, empty for none.
async fn keep(archive: &Archive, folder: &str, what: &str, file: Option<&str>) -> Result<String> {
    let Some(file) = file else { return Ok(String::new()) };
    let read = std::fs::read(file).context(|| format!("read the {what} table {file}"))?;
    let path = format!("{folder}/{what}.csv");
    archive.put(&path, read).await?;
    Ok(path)
}

/// Every period must have texts.
fn check_texts(prepared: &Prepared, parameters: &Parameters, periods: &Periods) -> Result<()> {
    let named = [("training", periods.train), ("validation", periods.valid), ("test", periods.test)];
    for (part, (what, period)) in named.into_iter().enumerate() {
        let file = prepared.file(part)?;
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

/// Classifiers that are learned.
#[derive(Debug, Serialize, Deserialize)]
struct Fitted {
    /// Path of the fit's last checkpoint, which holds them.
    classifiers: String,
}

fn fit<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    prepared: &'a Prepared,
) -> impl Future<Output = Result<Fitted>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let (session, name) = (job.session("fit"), job.outcome.job.clone());
    let listener = Arc::clone(&job.listener);
    async move {
        let layout = Layout { shards: parameters.shards, parameters: parameters.classifiers.clone() };
        let files = vec![prepared.parquet(0)?; parameters.shards as usize];
        let task = v1::FitTask {
            learner: LEARNER.to_owned(),
            shards: files.clone(),
            parameters: serde_json::to_string(&layout)?,
        };
        let loader = Arc::new(TextShards::new(archive.clone(), files, layout));
        let checkpoint = format!("{folder}/checkpoint");
        let mut leader = if archive.exists(&checkpoint).await? {
            HsLeader::restore(&archive.get(&checkpoint).await?)?
        } else {
            HsLeader::new()
        };
        let mut following =
            Following { archive, checkpoint, listener, milestones: 0, step: "fit", unit: "classifiers" };
        let session = session?;
        let fit = Fit {
            archive,
            engine,
            session: &session,
            name: &name,
            folder: &folder,
            task,
            loader,
            gains_from_gpu: false,
        };
        run(fit, &mut leader, &mut following).await?;
        let classifiers = format!("{folder}/classifiers");
        archive.put(&classifiers, crate::learning::Leader::checkpoint(&leader)?).await?;
        Ok(Fitted { classifiers })
    }
}

/// Tells of the fit's progress and keeps its checkpoints.
pub(super) struct Following<'a> {
    pub(super) archive: &'a Archive,
    /// Path of the checkpoint.
    pub(super) checkpoint: String,
    pub(super) listener: Arc<dyn Listener>,
    /// Checkpoints that could have been kept.
    pub(super) milestones: u32,
    /// The step's name, and what it counts.
    pub(super) step: &'static str,
    pub(super) unit: &'static str,
}

#[async_trait::async_trait]
impl Observer for Following<'_> {
    fn progress(&mut self, progress: Progress) {
        self.listener.progress(self.step, progress.done, progress.total, self.unit);
    }

    async fn checkpoint(&mut self, checkpoint: Bytes) -> Result<()> {
        self.milestones += 1;
        if self.milestones.is_multiple_of(MILESTONES_PER_CHECKPOINT) {
            self.archive.put(&self.checkpoint, checkpoint).await?;
        }
        Ok(())
    }
}

/// A model that is whole and not yet judged.
#[derive(Debug, Serialize, Deserialize)]
struct Weighed {
    /// Path of its bytes in the archive.
    model: String,
    classes: [usize; LEVELS],
    taught_once: usize,
    /// Whether it heeds particulars.
    has_particulars: bool,
}

/// Puts the model together and settles how its evidence is weighed, by the validation texts.
fn weigh<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    prepared: &'a Prepared,
    fitted: &'a Fitted,
    encoded: Option<&'a Encoded>,
) -> impl Future<Output = Result<Weighed>> + use<'a> {
    let (archive, folder) = (job.archive, job.work_folder().to_owned());
    async move {
        let most = parameters.classifiers.most_texts;
        let train = read_texts(archive, &prepared.file(0)?.path, most).await?;
        let compared = read_texts(archive, &prepared.file(0)?.path, most.min(parameters.precedents)).await?;
        let valid = read_texts(archive, &prepared.file(1)?.path, MOST_VALIDATION_TEXTS).await?;
        let leader = HsLeader::restore(&archive.get(&fitted.classifiers).await?)?;
        let nomenclature = prepared.nomenclature(archive).await?;
        let counted: Vec<Counted> = serde_json::from_slice(&archive.get(&prepared.counted).await?)?;
        let items = archive.get(&prepared.file(1)?.path).await?;
        let vague_below = parameters.vague_below;
        let (encoding, embeddings) = match encoded {
            None => (None, Embeddings::default()),
            Some(encoded) => {
                let (encoding, embeddings) = encoded.parts(archive).await?;
                (Some(encoding), embeddings)
            }
        };
        let valid = Validation { texts: valid, embeddings };
        let made = on_cpu(move || {
            let model = assemble(leader, train, compared, &valid, nomenclature, vague_below, encoding)?;
            with_particulars(model, &counted, &items, &valid)
        });
        let model = made.await?;
        let path = format!("{folder}/model.bin");
        archive.put(&path, model.to_bytes()).await?;
        Ok(Weighed {
            model: path,
            classes: model.class_counts(),
            taught_once: model.taught_once(),
            has_particulars: !model.usage.is_empty(),
        })
    }
}

/// What the test months said, and what became of the model.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    version: u64,
    promoted: bool,
    challenger: BTreeMap<String, f64>,
    /// The challenger's figures from descriptions alone, where it heeds particulars.
    alone: Option<BTreeMap<String, f64>>,
    champion: Option<BTreeMap<String, f64>>,
    report: String,
}

/// What decides between challenger and champion.
const DECIDES: &str = "accuracy@1/6";

/// Judges the model, publishes it, promotes it where it is better, and writes its report.
fn evaluate<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    periods: &Periods,
    prepared: &'a Prepared,
    weighed: &'a Weighed,
    encoded: Option<&'a Encoded>,
) -> impl Future<Output = Result<Verdict>> + use<'a> {
    let (archive, periods) = (job.archive, *periods);
    let (session, id, submitted_ms) = (job.session("evaluate"), job.outcome.job.clone(), job.submitted_ms);
    async move {
        let session = session?;
        let registry = Registry::new(archive);
        let test = prepared.file(2)?;
        let evaluation = judge(archive, &session, test, &weighed.model, false).await?;
        let challenger = evaluation.figures();
        let alone = match weighed.has_particulars {
            true => Some(judge(archive, &session, test, &weighed.model, true).await?.figures()),
            false => None,
        };
        let standing = standing(&registry, &id).await?;
        let champion = match &standing {
            None => None,
            Some(champion) => {
                // Loading checks the champion's bytes before anything is promoted over it.
                registry.load(MODEL, Which::Version(champion.version)).await?;
                let model = registry.model_path(MODEL, champion.version);
                Some(judge(archive, &session, test, &model, false).await?.figures())
            }
        };
        let better = champion.as_ref().is_none_or(|champion| challenger[DECIDES] > champion[DECIDES]);
        let facts = ReportFacts {
            champion: standing.as_ref().map(|champion| format!("{MODEL}@{}", champion.version)),
            promoted: better,
            country: parameters.country.clone(),
            periods: [periods.train, periods.valid, periods.test].map(|period| period.to_string()),
            classes: weighed.classes,
            taught_once: weighed.taught_once,
            files: prepared.files.clone(),
            seed: parameters.classifiers.seed,
            snapshot: format!("{DECLARATIONS}@{}", prepared.version),
            nomenclature: prepared.nomenclature(archive).await?,
            encoder: encoded.map(Encoded::words),
            champion_figures: champion.clone(),
            figures_alone: alone.clone(),
        };
        let card: Card = Box::new(move |version| {
            Ok(hs_report(&evaluation, &format!("{MODEL}@{version}"), &facts).render())
        });
        let publication = Publication {
            model: archive.get(&weighed.model).await?,
            card: Some(card),
            facts: Facts {
                job: id.clone(),
                config: serde_json::to_value(parameters)?,
                features: features(weighed.has_particulars),
                snapshot: Some(TrainingSnapshot {
                    table: DECLARATIONS.to_owned(),
                    version: prepared.version,
                }),
                code_version: env!("CARGO_PKG_VERSION").to_owned(),
                metrics: json!({ "test": challenger }),
                seed: parameters.classifiers.seed,
                created_ms: submitted_ms,
            },
        };
        let manifest = match registry.of_job(MODEL, &id).await? {
            Some(published) => published,
            None => registry.publish(MODEL, publication).await?,
        };
        let sequence = standing.map_or(0, |champion| champion.sequence);
        let promoted = better && promote(&registry, manifest.version, sequence).await?;
        let report = format!("reports/{MODEL}-{}.html", manifest.version);
        if let Some(card) = registry.load(MODEL, Which::Version(manifest.version)).await?.card {
            archive.put(&report, card).await?;
        }
        Ok(Verdict { version: manifest.version, promoted, challenger, alone, champion, report })
    }
}

/// What a model reads of a declaration.
fn features(has_particulars: bool) -> Vec<String> {
    let particulars = particulars::COLUMNS.iter().filter(|_| has_particulars);
    ["description"].iter().chain(particulars).map(|name| (*name).to_owned()).collect()
}

/// The champion that a job's model is compared with: never the job's own, when the step is repeated.
async fn standing(registry: &Registry, job: &str) -> Result<Option<Champion>> {
    let Some(champion) = registry.champion(MODEL).await? else { return Ok(None) };
    let own = registry.of_job(MODEL, job).await?.is_some_and(|own| own.version == champion.version);
    if !own {
        return Ok(Some(champion));
    }
    registry.champion_before(MODEL, champion.sequence).await
}

/// Makes a version the champion, unless somebody else promoted one that it was not compared with.
async fn promote(registry: &Registry, version: u64, sequence: u64) -> Result<bool> {
    if registry.champion(MODEL).await?.is_some_and(|champion| champion.version == version) {
        return Ok(true);
    }
    match registry.promote(MODEL, version, sequence).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_few_words() {
        let text = r#"{"country":"TW","train":"2020-01..2020-12","test":"2021-01","classifiers":{"cost":2}}"#;
        let read: Parameters = serde_json::from_str(text).expect("reads");
        assert_eq!((read.shards, read.precedents, read.vague_below), (8, 200_000, 0.5));
        assert_eq!((read.classifiers.cost, read.classifiers.passes), (2.0, 15));
        let periods = Periods::new(read.train, read.valid, read.test).expect("periods");
        assert_eq!(
            (periods.train.to_string(), periods.valid.to_string()),
            ("2020-01..2020-10".into(), "2020-11..2020-12".into())
        );
    }
}
