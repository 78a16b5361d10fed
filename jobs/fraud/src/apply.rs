//! Applying the fraud model: probability, rank and reasons of the goods items of some months.
//!
//! The items get the features that the model was trained with, computed from everything before each of them. The
//! scored rows are one commit to the table [`PREDICTIONS`]; another apply adds rows of its own, with another `job`.
//! Start at [`apply`].

use datafusion::{
    functions_window::expr_fn::row_number,
    logical_expr::ExprFunctionExt,
    prelude::{col, lit},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{
    Commit, DataFile, Table,
    write_operator::{WriteOperator, stored},
};
use tidewaiter_core::{Error, Result, ResultExt, plan};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_proto::v1;
use tidewaiter_registry::{Registry, Which};

use crate::{
    features::{ExtractedFeatures, Extraction, FeatureFile, extract, feature_output},
    metrics,
    model::{self, FraudModel},
    parameters::{ApplyParameters, RetrainParameters},
    report::{LISTED, SelectionFacts, listed_items, selection_report},
    scored::{RankBy, ScoredFiles, by_rank},
};

/// The table of scored items: `declaration_id`, `item_number`, `acceptance_date`, `probability` (0 to 1),
/// `expected_revenue` (national currency; null for a model without a revenue head), `rank` (1 comes first in the
/// apply), `reasons` (JSON; for the items within the capacity), `model`, `job`.
pub const PREDICTIONS: &str = "predictions/fraud";

/// Files over which the items are distributed for scoring.
const PARTS: u32 = 8;

#[async_trait]
impl JobParameters for ApplyParameters {
    const KIND: &'static str = "apply";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "fraud"));
    const ABOUT: &'static str =
        "The fraud model: probability, rank and reasons of the goods items of some months";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        apply(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(selection) = outcome.metrics.get("selection") else { return Vec::new() };
        let number = |name: &str| grouped(selection[name].as_u64().unwrap_or_default());
        let ranked = match selection["rank_by"].as_str() {
            Some("revenue") => "expected revenue",
            _ => "probability",
        };
        vec![format!(
            "{} of {} items selected, from {ranked} {:.3}",
            number("selected"),
            number("items"),
            selection["threshold"].as_f64().unwrap_or_default()
        )]
    }
}

/// Scores the items of some months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] for a model that does not exist, [`tidewaiter_core::ErrorKind::Input`]
/// for months without items.
async fn apply(job: &mut Job<'_>, parameters: &ApplyParameters) -> Result<()> {
    parameters.check()?;
    let chosen = job.step("model", choose(job, parameters)).await?;
    let features = job.step("features", extract(extraction(job, parameters, &chosen)?)).await?;
    let files = files(&features)?;
    let items: u64 = files.iter().map(|file| file.rows).sum();
    if items == 0 {
        return Err(Error::input(format!(
            "the archive has no declarations of {} in {}; `tidewaiter archive tables` shows what there is",
            parameters.country, parameters.months
        )));
    }
    job.outcome.rows.read = features.files.rows;
    let predictions = job.step("score", score(job, parameters, &chosen, files)).await?;
    let table = job.step("commit", commit(job, &predictions)).await?;
    let report =
        job.step("report", report(job, parameters, &chosen, &features, predictions.selected)).await?;

    job.outcome.model = Some(format!("{}@{}", model::NAME, chosen.version));
    job.outcome.metrics.insert(
        "selection".into(),
        json!({
            "items": items,
            "selected": predictions.selected,
            "threshold": predictions.threshold,
            "rank_by": parameters.rank_by,
        }),
    );
    job.outcome.tables.push(table);
    job.outcome.reports.push(job.archive.display(&report));
    Ok(())
}

/// The model that scores the items.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    version: u64,
    /// How it was trained.
    trained: RetrainParameters,
}

fn choose<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
) -> impl Future<Output = Result<Chosen>> + use<'a> {
    let registry = Registry::new(job.archive);
    async move {
        let which = parameters.version.map_or(Which::Champion, Which::Version);
        // Loading checks the model's bytes.
        let loaded = registry.load(model::NAME, which).await?;
        let manifest = loaded.manifest;
        if parameters.rank_by == RankBy::Revenue && !FraudModel::from_bytes(&loaded.model)?.expects_revenue()
        {
            return Err(Error::input(format!(
                "{}@{} expects no revenue: it was trained on months without known revenue, or before models did; \
                 rank by probability, or retrain",
                model::NAME,
                manifest.version
            )));
        }
        let trained = serde_json::from_value(manifest.facts.config);
        let trained =
            trained.context(|| format!("read how {}@{} was trained", model::NAME, manifest.version))?;
        Ok(Chosen { version: manifest.version, trained })
    }
}

fn extraction<'a>(job: &Job<'a>, parameters: &'a ApplyParameters, chosen: &Chosen) -> Result<Extraction<'a>> {
    Ok(Extraction {
        session: job.session("features")?,
        archive: job.archive,
        folder: job.work_folder().to_owned(),
        country: &parameters.country,
        last_month: parameters.months.last_month_number(),
        parameters: chosen.trained.features,
        outputs: vec![feature_output("part", PARTS, &[parameters.months.days()], false)],
    })
}

fn files(features: &ExtractedFeatures) -> Result<&[FeatureFile]> {
    match features.files.outputs.as_slice() {
        [parts] => Ok(&parts.files),
        _ => Err(Error::internal("the features of an apply have other outputs than were asked for")),
    }
}

/// Files of scored items that are not yet committed.
#[derive(Debug, Serialize, Deserialize)]
struct Predictions {
    files: Vec<DataFile>,
    /// Items within the capacity.
    selected: usize,
    /// The lowest probability, or expected revenue, among them.
    threshold: f64,
}

fn score<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &Chosen,
    files: &'a [FeatureFile],
) -> impl Future<Output = Result<Predictions>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("score"));
    let version = chosen.version;
    async move {
        let session = session?;
        let path = Registry::new(archive).model_path(model::NAME, version);
        let scored = ScoredFiles { session: &session, archive, files, model: &path };
        let items = usize::try_from(scored.count()).unwrap_or(usize::MAX);
        let selected = metrics::inspected(items, parameters.capacity_percent);
        let rank_by = parameters.rank_by;
        let threshold = scored.threshold(selected, rank_by).await?;

        let kept = [
            "declaration_id",
            "item_number",
            "acceptance_date",
            "probability",
            "expected_revenue",
            "reasons",
        ];
        let tie_breakers = ["hs_code", "customs_value"];
        let rows =
            scored.query(Some((rank_by, threshold)))?.select_columns(&[&kept[..], &tie_breakers].concat())?;
        let rank = row_number().order_by(by_rank(rank_by)).build()?.alias("rank");
        let mut columns: Vec<_> = kept.iter().map(|name| col(*name)).collect();
        columns.insert(5, col("rank"));
        columns.push(lit(format!("{}@{version}", model::NAME)).alias("model"));
        columns.push(lit(id.clone()).alias("job"));
        let rows = rows.window(vec![rank])?.select(columns)?;

        let schema = stored(rows.schema().as_arrow());
        Table::open_or_create(archive, PREDICTIONS, &schema).await?;
        let writer = WriteOperator::new(v1::WriteOperator {
            archive: archive.url().to_string(),
            table: PREDICTIONS.to_owned(),
            country: parameters.country.clone(),
            date_column: "acceptance_date".to_owned(),
            name: id,
            memory_bytes: 0,
        })?;
        let files = plan::reports::<Vec<DataFile>>(plan::above(rows, writer)?).await?.concat();
        Ok(Predictions { files, selected, threshold })
    }
}

fn commit<'a>(job: &Job<'a>, predictions: &'a Predictions) -> impl Future<Output = Result<String>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let table = Table::open(archive, PREDICTIONS).await?;
        let version = match table.commit(&predictions.files, &[id], "apply").await? {
            Commit::Version(version) => version,
            Commit::AlreadyThere => table.version().await?,
        };
        Ok(format!("{PREDICTIONS}@{version}"))
    }
}

fn report<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &Chosen,
    features: &'a ExtractedFeatures,
    selected: usize,
) -> impl Future<Output = Result<String>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("report"));
    let version = chosen.version;
    async move {
        let (session, files) = (session?, files(features)?);
        let registry = Registry::new(archive);
        let path = registry.model_path(model::NAME, version);
        let model = FraudModel::from_bytes(&archive.get(&path).await?)?;
        let scored = ScoredFiles { session: &session, archive, files, model: &path };
        let facts = SelectionFacts {
            model: format!("{}@{version}", model::NAME),
            country: parameters.country.clone(),
            months: parameters.months.to_string(),
            capacity: parameters.capacity_percent / 100.0,
            snapshot: format!("{DECLARATIONS}@{}", features.version),
            rank_by: parameters.rank_by,
            ..SelectionFacts::default()
        };
        let top = scored.top_items(&model, selected.min(LISTED), parameters.rank_by).await?;
        let items = listed_items(top.as_ref())?;
        let page = selection_report(&scored.rows().await?, facts, items)?;
        let report = format!("reports/selection-{}-{id}.html", model::NAME);
        archive.put(&report, page.html()).await?;
        Ok(report)
    }
}
