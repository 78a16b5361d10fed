//! Retraining the fraud model: parameters → champion → features → fit → evaluation → publication → report.
//!
//! The rows of a snapshot pass once, in time order. Those with a known outcome go to the shards (training and
//! validation months), all of the test months to the test files. The validation months stop the fit. The test months
//! are used once, for the new model and the champion alike; each is scored on the features that it was trained with. The
//! same snapshot, parameters and seed give the same model, byte for byte, on any number of executors. Start at
//! [`retrain`].

use std::sync::Arc;

use clap::ArgMatches;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewaiter_core::{Error, Periods, Result, threads::on_cpu};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{
    Job, JobParameters, Outcome, async_trait,
    parameters::with_arguments,
    summary::{evaluated, grouped},
};
use tidewaiter_registry::{
    Card, Facts, Publication, Registry, TrainingSnapshot,
    comparison::{Against, Comparison},
    promotion::{Published, publish},
};
use tidewaiter_report::{data, format::period};

use crate::{
    champion::{Standing, standing},
    evaluation::{CAPACITY_PERCENT, TestRows, Verdict, evaluate},
    features::{Extraction, FeatureFile, Outcomes, extract, feature_output, features},
    fit::{ModelFit, chances_of_inspection},
    model::{self, FraudModel},
    parameters::RetrainParameters,
    population::enough_drawn,
    report::{LISTED, ModelFacts, SelectedItem, listed_items, model_report, words},
    scored::{RankBy, ScoredFiles, ScoredRows},
};

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
        let known = outcome.metrics.get("outcomes").map(|outcomes| {
            let number = |part: &str, what: &str| grouped(outcomes[part][what].as_u64().unwrap_or_default());
            format!(
                "items with a known outcome: {} in the training, {} in the validation and {} of {} in the test months",
                number("train", "labelled"),
                number("valid", "labelled"),
                number("test", "labelled"),
                number("test", "rows"),
            )
        });
        let over_random = outcome.metrics.get("over_random").and_then(not_over_random);
        known.into_iter().chain(over_random).chain(evaluated(outcome, &names)).collect()
    }
}

/// What is said of a model whose selection is not shown to be better than a random one, from its comparison with that.
fn not_over_random(comparison: &Value) -> Option<String> {
    let comparison: Comparison = serde_json::from_value(comparison.clone()).ok()?;
    let points = |share: f64| format!("{:.1}", share * 100.0);
    (!comparison.is_better()).then(|| {
        format!(
            "WARNING: not shown to select better than a random draw: the riskiest {CAPACITY_PERCENT} % of the inspected \
             items hold {} points more of the fraud than as many drawn at random (95 % interval {} to {})",
            points(comparison.difference),
            points(comparison.low),
            points(comparison.high)
        )
    })
}

/// Retrains the fraud model and promotes it where it is better than the champion of its countries.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for months that overlap, have no rows, have outcomes of one kind only, or that
/// the champion learned from.
async fn retrain(job: &mut Job<'_>, parameters: &RetrainParameters) -> Result<()> {
    let periods = parameters.check()?;
    let standing = job.step("champion", standing(job, parameters, &periods)).await?;
    let features = job.step("features", training_features(job, parameters, &periods)?).await?;
    job.outcome.rows.read = features.rows;
    check_outcomes(&features, parameters, &periods)?;
    let [train, valid, test] = features.outcomes;
    let outcomes = json!({ "train": train, "valid": valid, "test": test });
    job.outcome.metrics.insert("outcomes".into(), outcomes);
    let of_champion = champion_features(job, parameters, &periods, &standing, &features)?;
    let of_champion = match of_champion {
        None => None,
        Some(extracting) => Some(job.step("champion features", extracting).await?),
    };
    let fitted = job.step("fit", fit(job, parameters, &periods, &features)).await?;
    let champion = (&standing, of_champion.as_deref());
    let evaluating = evaluate_and_publish(job, parameters, &periods, &features, champion, &fitted);
    let Evaluated { version, promoted, overtaken_by, verdict, report } =
        job.step("evaluate", evaluating).await?;

    job.outcome.model = Some(format!("{}@{version}", parameters.country.model(model::NAME)));
    if let Some(loss) = fitted.validation_loss {
        job.outcome.metrics.insert("validation".into(), json!({ "log_loss": loss }));
    }
    job.outcome.metrics.insert("test".into(), serde_json::to_value(&verdict.challenger)?);
    job.outcome.metrics.insert("test_population".into(), serde_json::to_value(&verdict.population)?);
    job.outcome.metrics.insert("test_looks".into(), json!(standing.looks));
    job.outcome.metrics.insert("over_random".into(), serde_json::to_value(verdict.over_random)?);
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
    if let Some(champion) = overtaken_by {
        job.outcome.metrics.insert("overtaken_by".into(), json!(champion));
    }
    job.outcome.reports.push(job.archive.display(&report));
    Ok(())
}

/// The feature files of all countries.
#[derive(Debug, Serialize, Deserialize)]
struct TrainingFeatures {
    /// The version of the declarations.
    version: u64,
    /// Rows read.
    rows: u64,
    /// Rows of the training and validation months with a known outcome.
    shards: Vec<FeatureFile>,
    /// All rows of the test months.
    test: Vec<FeatureFile>,
    /// Rows of the training, the validation and the test months.
    outcomes: [Outcomes; 3],
}

/// A country's part of a name: none for a model of one country.
fn part(parameters: &RetrainParameters, country: &str, name: &str) -> String {
    match parameters.country.countries() {
        [_] => name.to_owned(),
        _ => format!("{name}-{country}"),
    }
}

/// Extracts the shards with the training and validation months, and the test files, country after country from one
/// snapshot: features of the past are those of a country.
fn training_features<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
) -> Result<impl Future<Output = Result<TrainingFeatures>> + use<'a>> {
    let fitted = [periods.train.days(), periods.valid.days()];
    let countries = parameters.country.countries();
    let shards = parameters.shards.div_ceil(countries.len() as u32);
    let extraction = |country: &'a String| {
        Ok(Extraction {
            session: job.session("features")?,
            archive: job.archive,
            folder: job.work_folder().to_owned(),
            country,
            version: None,
            last_month: periods.test.last_month_number(),
            parameters: parameters.features,
            outputs: vec![
                feature_output(&part(parameters, country, "shard"), shards, &fitted, true),
                feature_output(&part(parameters, country, "test"), shards, &[periods.test.days()], false),
            ],
        })
    };
    let extractions: Vec<Extraction<'a>> = countries.iter().map(extraction).collect::<Result<_>>()?;
    Ok(async move {
        let mut all: Option<TrainingFeatures> = None;
        for extraction in extractions {
            let version = all.as_ref().map(|all| all.version);
            let extracted = extract(Extraction { version, ..extraction }).await?;
            let [shards, test] = <[_; 2]>::try_from(extracted.files.outputs).map_err(|_| unexpected())?;
            let ranges = shards.ranges.into_iter().chain(test.ranges);
            let outcomes = <[Outcomes; 3]>::try_from(ranges.collect::<Vec<_>>()).map_err(|_| unexpected())?;
            let own = TrainingFeatures {
                version: extracted.version,
                rows: extracted.files.rows,
                shards: shards.files,
                test: test.files,
                outcomes,
            };
            match &mut all {
                None => all = Some(own),
                Some(all) => all.add(own),
            }
        }
        all.ok_or_else(unexpected)
    })
}

fn unexpected() -> Error {
    Error::internal("the features of a retrain have other outputs than were asked for")
}

impl TrainingFeatures {
    /// Adds those of another country.
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.shards.extend(other.shards);
        self.test.extend(other.test);
        for (own, other) in self.outcomes.iter_mut().zip(other.outcomes) {
            own.rows += other.rows;
            own.labelled += other.labelled;
            own.illicit += other.illicit;
        }
    }
}

/// Extracts the test months once more, with the features that the champion was trained with; `None` where these are the
/// same, or there is no champion.
fn champion_features<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    standing: &Standing,
    features: &TrainingFeatures,
) -> Result<Option<impl Future<Output = Result<Vec<FeatureFile>>> + use<'a>>> {
    let own = standing.compared.as_ref().map(|compared| compared.features);
    let Some(own) = own.filter(|own| *own != parameters.features) else { return Ok(None) };
    let extraction = |country: &'a String| {
        let name = part(parameters, country, "champion-test");
        Ok(Extraction {
            session: job.session("champion features")?,
            archive: job.archive,
            folder: job.work_folder().to_owned(),
            country,
            version: Some(features.version),
            last_month: periods.test.last_month_number(),
            parameters: own,
            outputs: vec![feature_output(&name, parameters.shards, &[periods.test.days()], false)],
        })
    };
    let extractions = parameters.country.countries().iter().map(extraction);
    let extractions: Vec<Extraction<'a>> = extractions.collect::<Result<_>>()?;
    Ok(Some(async move {
        let mut files = Vec::new();
        for extraction in extractions {
            files
                .extend(extract(extraction).await?.files.outputs.into_iter().flat_map(|output| output.files));
        }
        Ok(files)
    }))
}

/// Checks that the training, the validation and the test months have outcomes of both kinds.
fn check_outcomes(
    features: &TrainingFeatures,
    parameters: &RetrainParameters,
    periods: &Periods,
) -> Result<()> {
    let named = [("training", periods.train), ("validation", periods.valid), ("test", periods.test)];
    for ((what, months), Outcomes { rows, labelled, illicit }) in named.into_iter().zip(features.outcomes) {
        if illicit == 0 || illicit == labelled {
            let split = match (parameters.valid, what) {
                (None, "training" | "validation") => {
                    " (--train without --valid: its last tenth is the validation)"
                }
                _ => "",
            };
            let why = match (features.rows, rows) {
                (0, _) => {
                    format!("the archive has no declarations of {} at all until then", parameters.country)
                }
                (_, 0) => "the archive has no declarations of these months, choose other months".to_owned(),
                _ => format!("{illicit} of them illicit; both outcomes are needed, choose other months"),
            };
            return Err(Error::input(format!(
                "the {what} months {}{split} of {} have {labelled} rows with a known outcome: {why}; `tidewaiter archive \
                 tables` shows what there is",
                period(&months.to_string()).replace(" – ", ".."),
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
    features: &'a TrainingFeatures,
) -> impl Future<Output = Result<Fitted>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let (session, name) = (job.session("fit"), job.outcome.job.clone());
    let listener = Arc::clone(&job.listener);
    let (training_days, validation_days) = (periods.train.days(), periods.valid.days());
    async move {
        let session = session?;
        let path = format!("{folder}/model.bin");
        let fit = ModelFit {
            archive,
            engine,
            session: &session,
            name,
            folder,
            shards: &features.shards,
            training_days,
            validation_days,
            listener,
        };
        let (model, validation_loss) = fit.fit(parameters).await?;
        let bytes = on_cpu(move || Ok(model.to_bytes())).await?;
        archive.put(&path, bytes).await?;
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
    /// The version that was promoted in its place since the comparison.
    overtaken_by: Option<u64>,
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
    features: &'a TrainingFeatures,
    (standing, of_champion): (&'a Standing, Option<&'a [FeatureFile]>),
    fitted: &'a Fitted,
) -> impl Future<Output = Result<Evaluated>> + use<'a> {
    let (archive, periods, folder) = (job.archive, *periods, job.work_folder().to_owned());
    let (session, id, submitted_ms) = (job.session("evaluate"), job.outcome.job.clone(), job.submitted_ms);
    async move {
        let session = session?;
        let (name, seed) = (parameters.country.model(model::NAME), parameters.seed());
        let test = ScoredFiles { session: &session, archive, files: &features.test, model: &fitted.model };
        let registry = Registry::new(archive);
        let model = FraudModel::load(archive, &fitted.model).await?;

        let [_, _, outcomes] = features.outcomes;
        let compared = ScoredFiles { files: of_champion.unwrap_or(&features.test), ..test };
        let (scored, champion) = scored_rows(&test, &compared, standing).await?;
        let propensity = match enough_drawn(&scored.random, &scored.labels) {
            true => None,
            false => chances_of_inspection(&test, outcomes, &folder, seed).await?,
        };
        let rows = Arc::new(TestRows::new(scored, champion, propensity));
        let evaluated = Arc::clone(&rows);
        let verdict = on_cpu(move || evaluate(&evaluated, seed)).await?;
        let is_better = match (parameters.compare, &standing.champion) {
            (Against::Nothing, Some(_)) => false,
            _ => verdict.is_better(),
        };

        let top = test.top_items(&model, LISTED, RankBy::Probability).await?;
        let facts = ModelFacts {
            language: parameters.language,
            champion: standing.champion.as_ref().map(|champion| format!("{name}@{}", champion.version)),
            country: parameters.country.countries().join(", "),
            train: periods.train.to_string(),
            valid: periods.valid.to_string(),
            test: periods.test.to_string(),
            capacity: CAPACITY_PERCENT / 100.0,
            seed,
            snapshot: format!("{DECLARATIONS}@{}", features.version),
            looks: standing.looks,
            ..ModelFacts::default()
        };
        let items = listed_items(&words(parameters.language), top.as_ref())?;
        let page = (Arc::clone(&rows), verdict.clone(), facts.clone(), model.importance(), items.clone());
        let tables = on_cpu(move || {
            let (rows, verdict, facts, importance, items) = page;
            data::files(&model_report(&rows, &verdict, facts, &importance, items)?.tables()?)
        })
        .await?;
        let publication = Publication {
            model: archive.get(&fitted.model).await?,
            card: Some(card(name.clone(), rows, verdict.clone(), facts, model.importance(), items)),
            facts: publication_facts(
                id,
                parameters,
                features.version,
                (&verdict, standing.looks),
                submitted_ms,
            )?,
        };
        let published = publish(&registry, &name, publication, standing.champion.as_ref(), is_better).await?;
        let Published { manifest, promoted, overtaken_by, report } = published;
        let folder = report.trim_end_matches(".html");
        for (file, bytes) in tables {
            archive.put(&format!("{folder}/{file}"), bytes).await?;
        }
        Ok(Evaluated { version: manifest.version, promoted, overtaken_by, verdict, report })
    }
}

/// The test rows by the new model, and the champion's probabilities of the same rows.
async fn scored_rows(
    test: &ScoredFiles<'_>,
    compared: &ScoredFiles<'_>,
    standing: &Standing,
) -> Result<(ScoredRows, Option<Vec<f64>>)> {
    let challenger = test.rows().await?;
    let champion = match &standing.compared {
        None => None,
        Some(champion) => {
            let rows = ScoredFiles { model: &champion.model, ..*compared }.rows().await?;
            if rows.declarations != challenger.declarations {
                return Err(Error::internal("the champion scored other rows than the new model"));
            }
            Some(rows.probabilities)
        }
    };
    Ok((challenger, champion))
}

/// The model's card, which is the report of the retrain, once the model's version is known.
fn card(
    name: String,
    rows: Arc<TestRows>,
    verdict: Verdict,
    facts: ModelFacts,
    importance: Vec<f64>,
    items: Vec<SelectedItem>,
) -> Card {
    Arc::new(move |version, promotion| {
        let facts = ModelFacts { model: format!("{name}@{version}"), promotion, ..facts.clone() };
        Ok(model_report(&rows, &verdict, facts, &importance, items.clone())?.html())
    })
}

/// What the registry keeps of the model beside its bytes.
fn publication_facts(
    job: String,
    parameters: &RetrainParameters,
    snapshot: u64,
    (verdict, looks): (&Verdict, u64),
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
            "test_population": verdict.population,
            "test_looks": looks,
            "test_by_revenue": verdict.by_revenue,
            "comparison": verdict.comparison,
            "over_random": verdict.over_random,
        }),
        seed: parameters.seed(),
        created_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_not_shown_to_beat_a_random_draw_is_said_on_the_console() {
        let drawn = |low, high| {
            let group = json!({"groups": 9, "low": low, "high": high, "better": 0.5, "resamples": 1000});
            json!({
                "difference": 0.015, "low": low, "high": high, "by_declaration": group, "by_day": group, "seed": 1,
            })
        };
        let said = not_over_random(&drawn(-0.05, 0.098)).expect("is said");
        assert!(said.contains("hold 1.5 points more of the fraud than as many drawn at random"), "{said}");
        assert!(said.ends_with("(95 % interval -5.0 to 9.8)"), "{said}");
        assert_eq!(not_over_random(&drawn(0.001, 0.098)), None);
        let outcome = Outcome {
            metrics: [("over_random".to_owned(), drawn(-0.05, 0.098))].into_iter().collect(),
            ..Outcome::default()
        };
        assert!(RetrainParameters::summary(&outcome)[0].starts_with("WARNING"));
    }
}
