//! Retraining the fraud model: parameters → features → fit → evaluation → publication → report.
//!
//! The rows of a snapshot pass once, in time order. Those with a known outcome go to the shards (training and
//! validation months) or to the test files, by their month. The validation months stop the fit. The test months are
//! used once, for the new model and the champion alike. The same snapshot, parameters and seed give the same model,
//! byte for byte, on any number of executors. Start at [`retrain`].

use std::sync::Arc;

use clap::ArgMatches;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_core::{Error, Periods, Result};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{
    Job, JobParameters, Outcome, async_trait, parameters::with_arguments, summary::evaluated,
};
use tidewaiter_registry::{
    Card, Champion, Facts, Publication, Registry, TrainingSnapshot, Which,
    promotion::{champion_before, publish},
};

use crate::{
    evaluation::{TestRows, Verdict, evaluate},
    features::{ExtractedFeatures, Extraction, FeatureFile, Outcomes, extract, feature_output, features},
    fit::ModelFit,
    model::{self, FraudModel},
    parameters::RetrainParameters,
    report::{LISTED, ModelFacts, SelectedItem, listed_items, model_report},
    scored::{RankBy, ScoredFiles},
};

/// Share of the items that the report assumes can be inspected.
const CAPACITY: f64 = 0.05;

#[async_trait]
impl JobParameters for RetrainParameters {
    const KIND: &'static str = "retrain";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "fraud"));
    const ABOUT: &'static str = "The fraud model: which goods items an inspection should look at";

    /// Options of trees are those of DATE's trees, too, over DATE's own defaults; one seed serves all.
    fn from_arguments(matches: &ArgMatches) -> Result<Self> {
        let mut parameters: Self = with_arguments(matches)?;
        parameters.date.from_arguments(matches)?;
        parameters.date.seed = parameters.trees.seed;
        Ok(parameters)
    }

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        retrain(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let names = ["roc_auc", "average_precision", "precision@1", "precision@5", "recall@5"];
        evaluated(outcome, &names)
    }
}

/// Retrains the fraud model and promotes it where it is better than the champion.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for months that overlap, have no rows, or have outcomes of one kind only.
async fn retrain(job: &mut Job<'_>, parameters: &RetrainParameters) -> Result<()> {
    let periods = parameters.check()?;
    let features = job.step("features", extract(extraction(job, parameters, &periods)?)).await?;
    job.outcome.rows.read = features.files.rows;
    check_outcomes(&features, parameters, &periods)?;
    let fitted = job.step("fit", fit(job, parameters, &periods, &features)).await?;
    let evaluating = evaluate_and_publish(job, parameters, &periods, &features, &fitted);
    let Evaluated { version, promoted, verdict, report } = job.step("evaluate", evaluating).await?;

    job.outcome.model = Some(format!("{}@{version}", model::NAME));
    if let Some(loss) = fitted.validation_loss {
        job.outcome.metrics.insert("validation".into(), json!({ "log_loss": loss }));
    }
    job.outcome.metrics.insert("test".into(), serde_json::to_value(&verdict.challenger)?);
    if let Some(champion) = &verdict.champion {
        job.outcome.metrics.insert("champion".into(), serde_json::to_value(champion)?);
    }
    if let Some(by_revenue) = &verdict.by_revenue {
        job.outcome.metrics.insert("test_by_revenue".into(), serde_json::to_value(by_revenue)?);
    }
    if let Some(comparison) = &verdict.comparison {
        job.outcome.metrics.insert("comparison".into(), serde_json::to_value(comparison)?);
    }
    job.outcome.metrics.insert("promoted".into(), json!(promoted));
    job.outcome.reports.push(job.archive.display(&report));
    Ok(())
}

/// What features are extracted: the shards with the training and validation months, and the test files.
fn extraction<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
) -> Result<Extraction<'a>> {
    let fitted = [periods.train.days(), periods.valid.days()];
    Ok(Extraction {
        session: job.session("features")?,
        archive: job.archive,
        folder: job.work_folder().to_owned(),
        country: &parameters.country,
        last_month: periods.test.last_month_number(),
        parameters: parameters.features,
        outputs: vec![
            feature_output("shard", parameters.shards, &fitted, true),
            feature_output("test", parameters.shards, &[periods.test.days()], true),
        ],
    })
}

/// The shards and the test files.
fn shards_and_test(features: &ExtractedFeatures) -> Result<(&[FeatureFile], &[FeatureFile])> {
    match features.files.outputs.as_slice() {
        [shards, test] => Ok((&shards.files, &test.files)),
        _ => Err(Error::internal("the features of a retrain have other outputs than were asked for")),
    }
}

/// Checks that the training, the validation and the test months have outcomes of both kinds.
fn check_outcomes(
    features: &ExtractedFeatures,
    parameters: &RetrainParameters,
    periods: &Periods,
) -> Result<()> {
    let counts: Vec<Outcomes> =
        features.files.outputs.iter().flat_map(|output| output.ranges.iter().copied()).collect();
    let named = [("training", periods.train), ("validation", periods.valid), ("test", periods.test)];
    for ((what, period), Outcomes { labelled, illicit, .. }) in named.into_iter().zip(counts) {
        if illicit == 0 || illicit == labelled {
            return Err(Error::input(format!(
                "the {what} months {period} of {} have {labelled} rows with a known outcome, {illicit} of them \
                 illicit; both outcomes are needed, choose other months",
                parameters.country
            )));
        }
    }
    Ok(())
}

/// A fitted model that is not yet evaluated.
#[derive(Debug, Serialize, Deserialize)]
struct Fitted {
    /// Path of its bytes in the archive.
    model: String,
    /// Mean log loss on the validation months.
    validation_loss: Option<f64>,
}

/// Fits the model on the shards and stores its bytes in the job's folder.
fn fit<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    features: &'a ExtractedFeatures,
) -> impl Future<Output = Result<Fitted>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let (session, name) = (job.session("fit"), job.outcome.job.clone());
    let listener = Arc::clone(&job.listener);
    let (training_days, validation_days) = (periods.train.days(), periods.valid.days());
    async move {
        let session = session?;
        let path = format!("{folder}/model.bin");
        let (shards, _) = shards_and_test(features)?;
        let fit = ModelFit {
            archive,
            engine,
            session: &session,
            name,
            folder,
            shards,
            training_days,
            validation_days,
            listener,
        };
        let (model, validation_loss) = fit.fit(parameters).await?;
        archive.put(&path, model.to_bytes()).await?;
        Ok(Fitted { model: path, validation_loss })
    }
}

/// A model that was evaluated and published.
#[derive(Debug, Serialize, Deserialize)]
struct Evaluated {
    /// Its version in the registry.
    version: u64,
    /// Whether it is the champion now.
    promoted: bool,
    #[serde(flatten)]
    verdict: Verdict,
    /// Path of its report in the archive.
    report: String,
}

/// Evaluates the model on the test rows, publishes it with its report as its card, and promotes it where it is
/// better.
fn evaluate_and_publish<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    features: &'a ExtractedFeatures,
    fitted: &'a Fitted,
) -> impl Future<Output = Result<Evaluated>> + use<'a> {
    let (archive, periods) = (job.archive, *periods);
    let (session, id, submitted_ms) = (job.session("evaluate"), job.outcome.job.clone(), job.submitted_ms);
    async move {
        let session = session?;
        let (_, files) = shards_and_test(features)?;
        let test = ScoredFiles { session: &session, archive, files, model: &fitted.model };
        let registry = Registry::new(archive);
        let bytes = archive.get(&fitted.model).await?;
        let model = FraudModel::from_bytes(&bytes)?;

        let champion = champion_before(&registry, model::NAME, &id).await?;
        let rows = test_rows(&test, &registry, champion.as_ref()).await?;
        let verdict = evaluate(&rows, parameters.compare, parameters.seed())?;

        let top = test.top_items(&model, LISTED, RankBy::Probability).await?;
        let facts = ModelFacts {
            champion: champion.as_ref().map(|champion| format!("{}@{}", model::NAME, champion.version)),
            promoted: verdict.is_better(),
            country: parameters.country.clone(),
            train: periods.train.to_string(),
            valid: periods.valid.to_string(),
            test: periods.test.to_string(),
            capacity: CAPACITY,
            seed: parameters.seed(),
            snapshot: format!("{DECLARATIONS}@{}", features.version),
            ..ModelFacts::default()
        };
        let publication = Publication {
            model: bytes,
            card: Some(card(rows, verdict.clone(), facts, model.importance(), listed_items(top.as_ref())?)),
            facts: publication_facts(id, parameters, features.version, &verdict, submitted_ms)?,
        };
        let is_better = verdict.is_better();
        let published = publish(&registry, model::NAME, publication, champion.as_ref(), is_better).await?;
        let (version, promoted) = (published.manifest.version, published.promoted);
        Ok(Evaluated { version, promoted, verdict, report: published.report })
    }
}

/// The test rows by both models.
async fn test_rows(
    test: &ScoredFiles<'_>,
    registry: &Registry,
    champion: Option<&Champion>,
) -> Result<TestRows> {
    let challenger = test.rows().await?;
    let champion = match champion {
        None => None,
        Some(champion) => {
            // Loading checks the champion's bytes before anything is promoted over it.
            registry.load(model::NAME, Which::Version(champion.version)).await?;
            let path = registry.model_path(model::NAME, champion.version);
            Some(ScoredFiles { model: &path, ..*test }.rows().await?.probabilities)
        }
    };
    Ok(TestRows::new(challenger, champion))
}

/// The model's card, which is the report of the retrain, once the model's version is known.
fn card(
    rows: TestRows,
    verdict: Verdict,
    facts: ModelFacts,
    importance: Vec<f64>,
    items: Vec<SelectedItem>,
) -> Card {
    Box::new(move |version| {
        let facts = ModelFacts { model: format!("{}@{version}", model::NAME), ..facts };
        Ok(model_report(&rows, &verdict, facts, &importance, items)?.html())
    })
}

/// What the registry keeps of the model beside its bytes.
fn publication_facts(
    job: String,
    parameters: &RetrainParameters,
    snapshot: u64,
    verdict: &Verdict,
    created_ms: i64,
) -> Result<Facts> {
    Ok(Facts {
        job,
        config: serde_json::to_value(parameters)?,
        features: features().iter().map(|feature| feature.name.clone()).collect(),
        snapshot: Some(TrainingSnapshot { table: DECLARATIONS.to_owned(), version: snapshot }),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        metrics: json!({
            "test": verdict.challenger,
            "test_by_revenue": verdict.by_revenue,
            "comparison": verdict.comparison,
        }),
        seed: parameters.seed(),
        created_ms,
    })
}
