//! Retraining the fraud model: features of the past, a learner's fit, and a verdict on the test months.
//!
//! The rows of the snapshot pass once, in time order; those with a known outcome become the shards of the
//! training data and the test rows, by their month. The fit stops by the validation months, and the test
//! months are looked at once, for the challenger and the champion alike. What it promises: the same
//! snapshot, parameters and seed give the same model, byte for byte, on any number of executors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_proto::v1;

use super::{
    compare::{Against, Comparison, RESAMPLES, paired_bootstrap},
    date,
    features::{self, FeatureFile, Outcomes, features},
    fitting::{Fitting, Learner},
    judgement::Judged,
    metrics::Metrics,
    model::{Classifier, FraudModel},
    prepare::{Preparation, Prepared, output, prepare},
    report::{LISTED, ReportFacts, fraud_report},
    revenue,
    scoring::{RankBy, Scoring},
};
use crate::{
    Error, ErrorKind, Result,
    archive::schema::DECLARATIONS,
    job::{Job, Period, Periods},
    learning::{gbdt, logistic, rows::Layout},
    registry::{Card, Champion, Facts, Publication, Registry, TrainingSnapshot, Which},
};

/// The model's name in the registry.
pub const MODEL: &str = "fraud";

/// Share of the items that a report assumes can be inspected.
const CAPACITY: f64 = 0.05;

/// What a retrain is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The reporting country whose rows are used, ISO 3166-1 alpha-2.
    pub country: String,
    /// Months that teach.
    pub train: Period,
    /// Months that stop the fit; absent: the last tenth of the training months.
    #[serde(default)]
    pub valid: Option<Period>,
    /// Months that judge.
    pub test: Period,
    /// How features are computed.
    #[serde(default)]
    pub features: features::Parameters,
    /// What learns.
    #[serde(default)]
    pub learner: Learner,
    /// How the trees are grown.
    #[serde(default)]
    pub trees: gbdt::Parameters,
    /// Boosters whose log odds are averaged, 1 to 100, the seed of each one higher than the one's before. They
    /// differ only where chance enters: by a `feature_fraction` or a `row_fraction` below 1.
    #[serde(default = "one")]
    pub members: u32,
    /// How logistic regression is fitted.
    #[serde(default)]
    pub logistic: logistic::Parameters,
    /// How DATE is trained.
    #[serde(default)]
    pub date: date::Parameters,
    /// Parts of the training data; the most workers that a fit can use.
    #[serde(default = "eight")]
    pub shards: u32,
    /// What must be beaten beyond chance for a promotion; absent: the champion's average precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Against>,
}

impl Parameters {
    /// The seed of the learner.
    fn seed(&self) -> u64 {
        match self.learner {
            Learner::Gbdt | Learner::Logistic => self.trees.seed,
            Learner::Date => self.date.seed,
        }
    }
}

fn one() -> u32 {
    1
}

fn eight() -> u32 {
    8
}

/// Retrains the fraud model and promotes it where it is better than the champion.
///
/// # Errors
/// [`ErrorKind::Input`] for periods that overlap, lack rows or have one class only.
pub async fn retrain(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let periods = Periods::new(parameters.train, parameters.valid, parameters.test)?;
    if parameters.shards == 0 {
        return Err(Error::input("a fit needs at least one shard"));
    }
    if !(1..=100).contains(&parameters.members) {
        return Err(Error::input(format!("members is {}; give 1 to 100", parameters.members)));
    }
    parameters.trees.validate()?;
    parameters.logistic.validate()?;
    parameters.date.validate()?;
    let prepared = job.step("features", prepare(preparation(job, parameters, &periods)?)).await?;
    job.outcome.rows.read = prepared.files.rows;
    check_outcomes(&prepared, parameters, &periods)?;
    let fitted = job.step("fit", fit(job, parameters, &periods, &prepared)).await?;
    let verdict = job.step("evaluate", evaluate(job, parameters, &periods, &prepared, &fitted)).await?;

    job.outcome.model = Some(format!("{MODEL}@{}", verdict.version));
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
    job.outcome.metrics.insert("promoted".into(), json!(verdict.promoted));
    job.outcome.reports.push(job.archive.display(&verdict.report));
    Ok(())
}

fn preparation<'a>(job: &Job<'a>, parameters: &'a Parameters, periods: &Periods) -> Result<Preparation<'a>> {
    let teaching = [periods.train.days(), periods.valid.days()];
    Ok(Preparation {
        session: job.session("features")?,
        archive: job.archive,
        folder: job.work_folder().to_owned(),
        country: &parameters.country,
        last_month: periods.test.last_month_number(),
        parameters: parameters.features,
        outputs: vec![
            output("shard", parameters.shards, &teaching, true),
            output("test", parameters.shards, &[periods.test.days()], true),
        ],
    })
}

/// The shards' files and the test rows' files.
fn outputs(prepared: &Prepared) -> Result<(&[FeatureFile], &[FeatureFile])> {
    match prepared.files.outputs.as_slice() {
        [shards, test] => Ok((&shards.files, &test.files)),
        _ => Err(Error::internal("the features of a retrain have other outputs than were asked for")),
    }
}

/// Every period must have both outcomes.
fn check_outcomes(prepared: &Prepared, parameters: &Parameters, periods: &Periods) -> Result<()> {
    let counts: Vec<Outcomes> =
        prepared.files.outputs.iter().flat_map(|output| output.ranges.iter().copied()).collect();
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

/// A model that is fitted and not yet judged.
#[derive(Debug, Serialize, Deserialize)]
struct Fitted {
    /// Path of its bytes in the archive.
    model: String,
    /// Mean log loss of the validation months.
    validation_loss: Option<f64>,
}

fn fit<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    periods: &Periods,
    prepared: &'a Prepared,
) -> impl Future<Output = Result<Fitted>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let (session, name) = (job.session("fit"), job.outcome.job.clone());
    let listener = std::sync::Arc::clone(&job.listener);
    let (train, valid) = (periods.train.days(), periods.valid.days());
    async move {
        let session = session?;
        let files = outputs(prepared)?.0;
        let fitting = Fitting {
            archive,
            engine,
            session: &session,
            name,
            folder: folder.clone(),
            files: files
                .iter()
                .map(|file| v1::ParquetFile { path: file.path.clone(), size: file.size })
                .collect(),
            layout: Layout {
                features: features().iter().map(|feature| feature.name.clone()).collect(),
                label: "label".to_owned(),
                date: "acceptance_date".to_owned(),
                validation_days: (*valid.start(), *valid.end()),
            },
            listener,
        };
        let (classifier, validation_loss) = fitting.classifier(parameters).await?;
        let head = match &classifier {
            // DATE has a head of its own.
            Classifier::Date(_) => None,
            Classifier::Gbdt(_) | Classifier::Logistic(_) => {
                revenue::of_files(&session, archive, files, &train).await?
            }
        };
        let model = format!("{folder}/model.bin");
        archive.put(&model, FraudModel { classifier, head }.to_bytes()).await?;
        Ok(Fitted { model, validation_loss })
    }
}

/// What the test months said, and what became of the model.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    version: u64,
    promoted: bool,
    challenger: Metrics,
    champion: Option<Metrics>,
    /// Shares found when items are ranked by expected revenue.
    by_revenue: Option<BTreeMap<String, f64>>,
    comparison: Option<Comparison>,
    report: String,
}

/// Judges the model, publishes it, promotes it where it is better, and writes its report.
fn evaluate<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    periods: &Periods,
    prepared: &'a Prepared,
    fitted: &'a Fitted,
) -> impl Future<Output = Result<Verdict>> + use<'a> {
    let (archive, periods) = (job.archive, *periods);
    let (session, id, submitted_ms) = (job.session("evaluate"), job.outcome.job.clone(), job.submitted_ms);
    async move {
        let session = session?;
        let test = outputs(prepared)?.1;
        let scoring = Scoring { session: &session, archive, files: test, model: &fitted.model };
        let registry = Registry::new(archive);
        let bytes = archive.get(&fitted.model).await?;
        let model = FraudModel::from_bytes(&bytes)?;

        let standing = standing(&registry, &id).await?;
        let (judged, expected) = judge(&scoring, &registry, standing.as_ref()).await?;
        let (challenger, champion) = judged.metrics()?;
        let by_revenue = revenue::found_by(&expected, &judged.labels, judged.known_revenue())?;
        let comparison = match (parameters.compare, &judged.champion) {
            (Some(Against::Champion), Some(champion)) => {
                let seed = parameters.seed();
                Some(paired_bootstrap(&judged.challenger, champion, &judged.labels, RESAMPLES, seed)?)
            }
            _ => None,
        };
        let better = match &comparison {
            Some(comparison) => comparison.is_better(),
            None => champion
                .as_ref()
                .is_none_or(|champion| challenger.average_precision > champion.average_precision),
        };
        let items = scoring.riskiest(&model, LISTED, RankBy::Probability).await?;
        let facts = ReportFacts {
            model: String::new(),
            champion: standing.as_ref().map(|champion| format!("{MODEL}@{}", champion.version)),
            promoted: better,
            country: parameters.country.clone(),
            train: periods.train.to_string(),
            valid: periods.valid.to_string(),
            test: periods.test.to_string(),
            capacity: CAPACITY,
            currency: String::new(),
            seed: parameters.seed(),
            snapshot: format!("{DECLARATIONS}@{}", prepared.version),
            comparison,
        };
        let card: Card = Box::new(move |version| {
            let facts = ReportFacts { model: format!("{MODEL}@{version}"), ..facts };
            Ok(fraud_report(&judged, facts, &model.importance(), items)?.html())
        });
        let publication = Publication {
            model: bytes,
            card: Some(card),
            facts: Facts {
                job: id.clone(),
                config: serde_json::to_value(parameters)?,
                features: features().iter().map(|feature| feature.name.clone()).collect(),
                snapshot: Some(TrainingSnapshot {
                    table: DECLARATIONS.to_owned(),
                    version: prepared.version,
                }),
                code_version: env!("CARGO_PKG_VERSION").to_owned(),
                metrics: json!({ "test": challenger, "test_by_revenue": by_revenue, "comparison": comparison }),
                seed: parameters.seed(),
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
        let version = manifest.version;
        Ok(Verdict { version, promoted, challenger, champion, by_revenue, comparison, report })
    }
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

/// The test rows by both models, and the challenger's expected revenue of each.
async fn judge(
    scoring: &Scoring<'_>,
    registry: &Registry,
    standing: Option<&Champion>,
) -> Result<(Judged, Vec<f64>)> {
    let challenger = scoring.rows().await?;
    let champion = match standing {
        None => None,
        Some(champion) => {
            // Loading checks the champion's bytes before anything is promoted over it.
            registry.load(MODEL, Which::Version(champion.version)).await?;
            let model = registry.model_path(MODEL, champion.version);
            Some(Scoring { model: &model, ..*scoring }.rows().await?.probabilities)
        }
    };
    let judged = Judged {
        days: challenger.days,
        labels: challenger.labels,
        revenue: challenger.revenue,
        challenger: challenger.probabilities,
        champion,
    };
    Ok((judged, challenger.expected))
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
        let text = r#"{"country":"TW","train":"2020-01..2020-12","test":"2021-01","trees":{"seed":3}}"#;
        let read: Parameters = serde_json::from_str(text).expect("reads");
        assert_eq!((read.shards, read.trees.seed, read.trees.trees), (8, 3, 300));
        assert_eq!(read.learner, Learner::Gbdt);
    }
}
