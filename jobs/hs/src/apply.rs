//! The job that applies the HS model to the items of some months: recommended codes, and doubtful declared ones.
//!
//! The description is scored, with origin, unit and value per unit where they are declared. Each item keeps the best
//! code at 2, 4 and 6 digits and with national digits, each with its probability, the five best as JSON, and the
//! *misclassification* score: the probability of all codes but the declared one, null where no training text has that
//! code. Where duty rates are declared, `duty_at_stake` is the additional duty under the recommended code: the median
//! rate of that code's items up to those months, less the item's own rate, of the customs value. The median rates reach
//! the scoring as a small file and not by a join, because the cluster's adaptive planner does not schedule a join below
//! a plan node of ours. The rows are one commit to the table [`PREDICTIONS`]; a repeated apply adds rows of its own
//! (`job` tells them apart). The steps are in [`apply`].

use std::collections::BTreeMap;

use arrow::{
    array::AsArray,
    datatypes::{DataType, Float64Type},
};
use datafusion::{
    functions::expr_fn::left,
    functions_aggregate::{count::count_all, expr_fn::count, median::median},
    logical_expr::when,
    prelude::{DataFrame, SessionContext, cast, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{
    Archive, Commit, DataFile, Table,
    provider::snapshot_provider,
    write_operator::{WriteOperator, stored},
};
use tidewaiter_core::{
    Error, Result, ResultExt,
    answers::{self, one_batch},
    plan,
};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_proto::v1;
use tidewaiter_registry::{Registry, Which};

use crate::{
    codes::digits::DIGITS,
    features::attributes,
    messages,
    parameters::{ApplyParameters, MODEL},
    recommend::RecommendOperator,
};

/// The table of recommended codes: `declaration_id`, `item_number`, `acceptance_date`, `hs_code` (declared), `code_L`
/// and `probability_L` for L = 2, 4, 6 and `national` (null where the model knows no national digits), `rank_6` (the
/// rank of the declared six digits, from 1), `misclassification` (0 to 1), `duty_at_stake` (national currency),
/// `vague`, `suggestions`, `model`, `job`.
pub const PREDICTIONS: &str = "predictions/hs";

/// A misclassification score from which an item counts as doubtful.
const DOUBTFUL: f64 = 0.95;

#[async_trait]
impl JobParameters for ApplyParameters {
    const KIND: &'static str = "apply";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "hs"));
    const ABOUT: &'static str =
        "The HS model: recommended codes of the goods items of some months, and doubtful declared ones";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        apply(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(items) = outcome.metrics.get("items") else { return Vec::new() };
        let number = |name: &str| grouped(items[name].as_u64().unwrap_or_default());
        vec![format!(
            "{} items declared under the first recommendation, {} doubtful, {} too vague",
            number("agreeing"),
            number("doubtful"),
            number("vague")
        )]
    }
}

/// Recommends codes for the items of some months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] for a model that does not exist, [`tidewaiter_core::ErrorKind::Input`] for
/// months without items.
async fn apply(job: &mut Job<'_>, parameters: &ApplyParameters) -> Result<()> {
    let version = job.step("model", choose_version(job, parameters)).await?;
    let scored = job.step("score", score(job, parameters, version)).await?;
    let table = job.step("commit", commit(job, &scored)).await?;
    let counts = job.step("count", count_items(job)).await?;
    job.outcome.rows.read = counts.items;
    job.outcome.model = Some(format!("{MODEL}@{version}"));
    job.outcome.metrics.insert("items".into(), serde_json::to_value(&counts)?);
    job.outcome.tables.push(table);
    Ok(())
}

/// The version of the model to apply; loading it checks its bytes.
fn choose_version<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
) -> impl Future<Output = Result<u64>> + use<'a> {
    let registry = Registry::new(job.archive);
    async move {
        let which = parameters.version.map_or(Which::Champion, Which::Version);
        Ok(registry.load(MODEL, which).await?.manifest.version)
    }
}

fn score<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    version: u64,
) -> impl Future<Output = Result<Vec<DataFile>>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("score"));
    let folder = job.work_folder().to_owned();
    async move {
        let session = session?;
        let rates = format!("{folder}/rates.json");
        archive.put(&rates, serde_json::to_vec(&usual_rates(&session, archive, parameters).await?)?).await?;
        let rows = recommendations(&session, archive, parameters, version, &rates, &id).await?;
        let schema = stored(rows.schema().as_arrow());
        Table::open_or_create(archive, PREDICTIONS, &schema).await?;
        let writer = WriteOperator::new(v1::WriteOperator {
            archive: archive.url().to_string(),
            table: PREDICTIONS.to_owned(),
            country: parameters.country.clone(),
            date_column: "acceptance_date".to_owned(),
            sort_columns: vec!["declaration_id".to_owned(), "item_number".to_owned()],
            name: id,
            memory_bytes: 0,
        })?;
        let files = plan::reports::<Vec<DataFile>>(plan::apply(rows, writer)?).await?.concat();
        if files.iter().all(|file| file.rows == 0) {
            return Err(Error::input(format!(
                "the archive has no declarations of {} in {}; `tidewaiter archive tables` shows what there is",
                parameters.country, parameters.months
            )));
        }
        Ok(files)
    }
}

/// The median duty rate of each six-digit code, percent, over all items that were declared up to the months.
async fn usual_rates(
    session: &SessionContext,
    archive: &Archive,
    parameters: &ApplyParameters,
) -> Result<BTreeMap<String, f64>> {
    let until = lit(datafusion::common::ScalarValue::Date32(Some(*parameters.months.days().end())));
    let declarations = snapshot_provider(archive, DECLARATIONS, None).await?;
    let rates = session
        .read_table(declarations)?
        .filter(col("country").eq(lit(&parameters.country)))?
        .filter(col("duty_rate").is_not_null().and(col("acceptance_date").lt_eq(until)))?
        .select(vec![left(col("hs_code"), lit(6_i64)).alias("code"), col("duty_rate").alias("rate")])?
        .aggregate(vec![col("code")], vec![median(col("rate")).alias("usual_rate")])?
        .select_columns(&["code", "usual_rate"])?;
    let mut usual = BTreeMap::new();
    for batch in rates.collect().await.context(|| "read the duty rates of codes")? {
        let codes = arrow::compute::cast(batch.column(0), &DataType::Utf8)?;
        let rates = arrow::compute::cast(batch.column(1), &DataType::Float64)?;
        let pairs = codes.as_string::<i32>().iter().zip(rates.as_primitive::<Float64Type>());
        usual.extend(pairs.filter_map(|(code, rate)| Some((code?.to_owned(), rate?))));
    }
    Ok(usual)
}

/// The rows of [`PREDICTIONS`].
async fn recommendations(
    session: &SessionContext,
    archive: &Archive,
    parameters: &ApplyParameters,
    version: u64,
    rates: &str,
    job: &str,
) -> Result<DataFrame> {
    let day = |day: i32| lit(datafusion::common::ScalarValue::Date32(Some(day)));
    let days = parameters.months.days();
    let snapshot = Table::open(archive, DECLARATIONS).await?.version().await?;
    let declarations = snapshot_provider(archive, DECLARATIONS, Some(snapshot)).await?;
    let kept = ["declaration_id", "item_number", "acceptance_date", "hs_code"];
    let read = [&kept[..], &["description", "customs_value", "duty_rate"]].concat();
    let read = read.into_iter().map(col).chain(attributes::expressions()?);
    let items = session
        .read_table(declarations)?
        .filter(col("country").eq(lit(&parameters.country)))?
        .filter(col("acceptance_date").between(day(*days.start()), day(*days.end())))?
        .select(read.collect::<Vec<_>>())?;
    let operator = RecommendOperator::new(messages::HsRecommendOperator {
        archive: archive.url().to_string(),
        model: Registry::new(archive).model_path(MODEL, version),
        fast: parameters.fast,
        suggestions: true,
        rates: rates.to_owned(),
        description_alone: false,
    })?;
    let recommended = plan::apply(items, operator)?;

    let mut columns: Vec<_> = kept.iter().map(|name| col(*name)).collect();
    for digits in DIGITS {
        columns.push(col(format!("code_{digits}")));
        let probability = format!("probability_{digits}");
        columns.push(cast(col(&probability), DataType::Float64).alias(probability));
    }
    columns.push(col("code_national"));
    columns.push(cast(col("probability_national"), DataType::Float64).alias("probability_national"));
    columns.push(col("rank_6"));
    let declared = cast(col("declared_probability"), DataType::Float64);
    columns.push((lit(1.0) - declared).alias("misclassification"));
    let difference = (col("usual_rate") - col("duty_rate")) * col("customs_value") / lit(100.0);
    columns.push(difference.alias("duty_at_stake"));
    columns.extend(["vague", "suggestions"].map(col));
    columns.push(lit(format!("{MODEL}@{version}")).alias("model"));
    columns.push(lit(job).alias("job"));
    Ok(recommended.select(columns)?)
}

fn commit<'a>(job: &Job<'a>, files: &'a [DataFile]) -> impl Future<Output = Result<String>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let table = Table::open(archive, PREDICTIONS).await?;
        let version = match table.commit(files, &[id], "apply").await? {
            Commit::Version(version) => version,
            Commit::AlreadyThere => table.version().await?,
        };
        Ok(format!("{PREDICTIONS}@{version}"))
    }
}

/// Numbers of the scored items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCounts {
    /// Items scored.
    pub items: u64,
    /// Items without a word in the description.
    pub without_words: u64,
    /// Items too vague to choose a heading, those without a word included.
    pub vague: u64,
    /// Items declared under the first recommendation, six digits.
    pub agreeing: u64,
    /// Items declared under a code that no training text has.
    #[serde(rename = "unknown_code")]
    pub unknown_codes: u64,
    /// Items not vague whose misclassification score is 0.95 or more.
    pub doubtful: u64,
}

fn count_items<'a>(job: &Job<'a>) -> impl Future<Output = Result<ItemCounts>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("count"));
    async move {
        let rows = session?.read_table(snapshot_provider(archive, PREDICTIONS, None).await?)?;
        let counted = |what: datafusion::prelude::Expr, name: &str| {
            Ok::<_, Error>(count(when(what, lit(1_i64)).end()?).alias(name))
        };
        let worded = col("code_6").is_not_null();
        let figures = rows.filter(col("job").eq(lit(id)))?.aggregate(
            Vec::new(),
            vec![
                count_all().alias("items"),
                counted(col("code_6").is_null(), "without_words")?,
                counted(col("vague"), "vague")?,
                counted(col("rank_6").eq(lit(1_i32)), "agreeing")?,
                counted(worded.and(col("rank_6").is_null()), "unknown_code")?,
                counted(col("misclassification").gt_eq(lit(DOUBTFUL)).and(!col("vague")), "doubtful")?,
            ],
        )?;
        let batch = one_batch(figures).await.context(|| "count the recommended codes")?;
        let figure = |name: &str| answers::count(&batch, name, 0);
        Ok(ItemCounts {
            items: figure("items")?,
            without_words: figure("without_words")?,
            vague: figure("vague")?,
            agreeing: figure("agreeing")?,
            unknown_codes: figure("unknown_code")?,
            doubtful: figure("doubtful")?,
        })
    }
}
