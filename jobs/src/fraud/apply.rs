//! Applying the fraud model: probabilities, ranks and reasons of the items of some months.
//!
//! The months' items get the features that the model learned from, computed of everything before each of
//! them; the scored rows are one commit to the table [`PREDICTIONS`]. A repeated apply adds rows of its own
//! (`job` tells them apart). Start at [`apply`].

use datafusion::{
    functions_window::expr_fn::row_number,
    logical_expr::ExprFunctionExt,
    prelude::{col, lit},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_proto::v1;

pub use super::scoring::RankBy;
use super::{
    features::FeatureFile,
    metrics,
    model::FraudModel,
    prepare::{Preparation, Prepared, output, prepare},
    report::{ApplyFacts, LISTED, apply_report},
    retrain::{self, MODEL},
    scoring::{Scoring, by_risk},
};
use crate::{
    Error, Result, ResultExt,
    archive::{
        Commit, DataFile, Table,
        schema::DECLARATIONS,
        write_operator::{WriteOperator, stored},
    },
    job::{Job, Period},
    plan,
    registry::{Registry, Which},
};

/// The table of scored items: `declaration_id`, `item_number`, `acceptance_date`, `probability` (0 to 1),
/// `expected_revenue` (national currency; null by a model without a revenue head), `rank` (1 comes first in the
/// apply), `reasons` (JSON; of the items within the capacity), `model`, `job`.
pub const PREDICTIONS: &str = "predictions/fraud";

/// Parts in which features are scored.
const PARTS: u32 = 8;

/// What an apply is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The reporting country whose items are scored, ISO 3166-1 alpha-2.
    pub country: String,
    /// The months scored.
    pub months: Period,
    /// The model's version; absent: the champion.
    #[serde(default)]
    pub version: Option<u64>,
    /// Percent of the items that can be inspected, above 0 and at most 100: those are explained.
    #[serde(default = "five")]
    pub capacity_percent: f64,
    /// What the items are ranked by.
    #[serde(default)]
    pub rank_by: RankBy,
}

fn five() -> f64 {
    5.0
}

/// Scores the items of some months.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for a model that does not exist, [`crate::ErrorKind::Input`] for months
/// without items.
pub async fn apply(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let capacity = parameters.capacity_percent;
    if !(capacity > 0.0 && capacity <= 100.0) {
        return Err(Error::input(format!(
            "the capacity is {capacity} percent; give a number above 0 and at most 100"
        )));
    }
    let chosen = job.step("model", choose(job, parameters)).await?;
    let prepared = job.step("features", prepare(preparation(job, parameters, &chosen)?)).await?;
    let files = files(&prepared)?;
    let items: u64 = files.iter().map(|file| file.rows).sum();
    if items == 0 {
        return Err(Error::input(format!(
            "the archive has no declarations of {} in {}; `tidewaiter archive tables` shows what there is",
            parameters.country, parameters.months
        )));
    }
    job.outcome.rows.read = prepared.files.rows;
    let scored = job.step("score", score(job, parameters, &chosen, files)).await?;
    let table = job.step("commit", commit(job, &scored)).await?;
    let report = job.step("report", report(job, parameters, &chosen, &prepared, scored.selected)).await?;

    job.outcome.model = Some(format!("{MODEL}@{}", chosen.version));
    job.outcome.metrics.insert(
        "selection".into(),
        json!({
            "items": items,
            "selected": scored.selected,
            "threshold": scored.threshold,
            "rank_by": parameters.rank_by,
        }),
    );
    job.outcome.tables.push(table);
    job.outcome.reports.push(job.archive.display(&report));
    Ok(())
}

/// The model that scores.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    version: u64,
    /// How it was trained.
    trained: retrain::Parameters,
}

fn choose<'a>(job: &Job<'a>, parameters: &'a Parameters) -> impl Future<Output = Result<Chosen>> + use<'a> {
    let registry = Registry::new(job.archive);
    async move {
        let which = parameters.version.map_or(Which::Champion, Which::Version);
        // Loading checks the model's bytes.
        let loaded = registry.load(MODEL, which).await?;
        let manifest = loaded.manifest;
        if parameters.rank_by == RankBy::Revenue && !FraudModel::from_bytes(&loaded.model)?.expects_revenue()
        {
            return Err(Error::input(format!(
                "{MODEL}@{} expects no revenue: it was trained on months without known revenue, or before models \
                 did; rank by probability, or retrain",
                manifest.version
            )));
        }
        let trained = serde_json::from_value(manifest.facts.config);
        let trained = trained.context(|| format!("read how {MODEL}@{} was trained", manifest.version))?;
        Ok(Chosen { version: manifest.version, trained })
    }
}

fn preparation<'a>(job: &Job<'a>, parameters: &'a Parameters, chosen: &Chosen) -> Result<Preparation<'a>> {
    Ok(Preparation {
        session: job.session("features")?,
        archive: job.archive,
        folder: job.work_folder().to_owned(),
        country: &parameters.country,
        last_month: parameters.months.last_month_number(),
        parameters: chosen.trained.features,
        outputs: vec![output("part", PARTS, &[parameters.months.days()], false)],
    })
}

fn files(prepared: &Prepared) -> Result<&[FeatureFile]> {
    match prepared.files.outputs.as_slice() {
        [parts] => Ok(&parts.files),
        _ => Err(Error::internal("the features of an apply have other outputs than were asked for")),
    }
}

/// Files of scored items that wait for their commit.
#[derive(Debug, Serialize, Deserialize)]
struct ScoredFiles {
    files: Vec<DataFile>,
    /// Items within the capacity.
    selected: usize,
    /// The least probability, or expected revenue, among them.
    threshold: f64,
}

fn score<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    chosen: &Chosen,
    files: &'a [FeatureFile],
) -> impl Future<Output = Result<ScoredFiles>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("score"));
    let version = chosen.version;
    async move {
        let session = session?;
        let model = Registry::new(archive).model_path(MODEL, version);
        let scoring = Scoring { session: &session, archive, files, model: &model };
        let items = usize::try_from(scoring.count()).unwrap_or(usize::MAX);
        let selected = metrics::inspected(items, parameters.capacity_percent);
        let rank_by = parameters.rank_by;
        let threshold = scoring.least_of_riskiest(selected, rank_by).await?;

        let kept = [
            "declaration_id",
            "item_number",
            "acceptance_date",
            "probability",
            "expected_revenue",
            "reasons",
        ];
        let tie_breakers = ["hs_code", "customs_value"];
        let rows = scoring
            .query(Some((rank_by, threshold)))?
            .select_columns(&[&kept[..], &tie_breakers].concat())?;
        let rank = row_number().order_by(by_risk(rank_by)).build()?.alias("rank");
        let mut columns: Vec<_> = kept.iter().map(|name| col(*name)).collect();
        columns.insert(5, col("rank"));
        columns.push(lit(format!("{MODEL}@{version}")).alias("model"));
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
        Ok(ScoredFiles { files, selected, threshold })
    }
}

fn commit<'a>(job: &Job<'a>, scored: &'a ScoredFiles) -> impl Future<Output = Result<String>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let table = Table::open(archive, PREDICTIONS).await?;
        let version = match table.commit(&scored.files, &[id], "apply").await? {
            Commit::Version(version) => version,
            Commit::AlreadyThere => table.version().await?,
        };
        Ok(format!("{PREDICTIONS}@{version}"))
    }
}

fn report<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    chosen: &Chosen,
    prepared: &'a Prepared,
    selected: usize,
) -> impl Future<Output = Result<String>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("report"));
    let version = chosen.version;
    async move {
        let (session, files) = (session?, files(prepared)?);
        let registry = Registry::new(archive);
        let path = registry.model_path(MODEL, version);
        let model = FraudModel::from_bytes(&archive.get(&path).await?)?;
        let scoring = Scoring { session: &session, archive, files, model: &path };
        let facts = ApplyFacts {
            model: format!("{MODEL}@{version}"),
            country: parameters.country.clone(),
            months: parameters.months.to_string(),
            capacity: parameters.capacity_percent / 100.0,
            currency: String::new(),
            snapshot: format!("{DECLARATIONS}@{}", prepared.version),
            rank_by: parameters.rank_by,
        };
        let items = scoring.riskiest(&model, selected.min(LISTED), parameters.rank_by).await?;
        let page = apply_report(&scoring.rows().await?, facts, items)?;
        let report = format!("reports/selection-{MODEL}-{id}.html");
        archive.put(&report, page.html()).await?;
        Ok(report)
    }
}
