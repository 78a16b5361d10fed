//! Applying the HS model: recommended codes for the items of some months, and how doubtful the declared ones are.
//!
//! The description speaks, and origin, unit and value per unit where they are declared. Each item keeps the best code at 2, 4 and 6 digits, and with national digits, with its probability, the five best as JSON, and the
//! *misclassification* score: the probability that the model gives to all codes but the declared one, null
//! where no training text has that code. Where duty rates are declared, `duty_at_stake` is what the recommended
//! code would pay more (the median rate of its items up to those months, less the item's own rate, of the
//! customs value). The rows are one commit to the table [`PREDICTIONS`]; a repeated apply adds rows of its
//! own (`job` tells them apart). Start at [`apply`].

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    functions::expr_fn::left,
    functions_aggregate::{count::count_all, expr_fn::count, median::median},
    logical_expr::when,
    prelude::{DataFrame, SessionContext, cast, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{particulars, retrain::MODEL, score::RecommendOperator};
use crate::{
    Archive, Error, Result, ResultExt,
    archive::{
        Commit, DataFile, Table,
        provider::snapshot_provider,
        schema::DECLARATIONS,
        write_operator::{WriteOperator, stored},
    },
    job::{Job, Period},
    plan,
    registry::{Registry, Which},
};

/// The table of recommended codes: `declaration_id`, `item_number`, `acceptance_date`, `hs_code` (declared),
/// `code_L` and `probability_L` for L = 2, 4, 6 and `national` (null where the model knows no national digits), `rank_6` (place of the declared six digits, from 1),
/// `misclassification` (0 to 1), `duty_at_stake` (national currency), `vague`, `suggestions`, `model`, `job`.
pub const PREDICTIONS: &str = "predictions/hs";

/// A misclassification score from which an item counts as doubtful.
const DOUBTFUL: f64 = 0.95;

/// What an apply is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The reporting country whose items are scored, ISO 3166-1 alpha-2.
    pub country: String,
    /// The months scored.
    pub months: Period,
    /// The model's version; absent: the champion.
    #[serde(default)]
    pub version: Option<u64>,
    /// Leave out the search for similar past declarations: many times faster, a little less right.
    #[serde(default)]
    pub fast: bool,
}

/// Recommends codes for the items of some months.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for a model that does not exist, [`crate::ErrorKind::Input`] for months
/// without items.
pub async fn apply(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let chosen = job.step("model", choose(job, parameters)).await?;
    let scored = job.step("score", score(job, parameters, chosen)).await?;
    let table = job.step("commit", commit(job, &scored)).await?;
    let counts = job.step("count", count_items(job)).await?;
    job.outcome.rows.read = counts.items;
    job.outcome.model = Some(format!("{MODEL}@{chosen}"));
    job.outcome.metrics.insert("items".into(), serde_json::to_value(&counts)?);
    job.outcome.tables.push(table);
    Ok(())
}

/// The version of the model that scores; loading it checks its bytes.
fn choose<'a>(job: &Job<'a>, parameters: &'a Parameters) -> impl Future<Output = Result<u64>> + use<'a> {
    let registry = Registry::new(job.archive);
    async move {
        let which = parameters.version.map_or(Which::Champion, Which::Version);
        Ok(registry.load(MODEL, which).await?.manifest.version)
    }
}

fn score<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    version: u64,
) -> impl Future<Output = Result<Vec<DataFile>>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("score"));
    let folder = job.work_folder().to_owned();
    async move {
        let session = session?;
        let rates = format!("{folder}/rates.json");
        archive.put(&rates, serde_json::to_vec(&usual_rates(&session, archive, parameters).await?)?).await?;
        let rows = scored(&session, archive, parameters, version, &rates, &id).await?;
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
        if files.iter().all(|file| file.rows == 0) {
            return Err(Error::input(format!(
                "the archive has no declarations of {} in {}; `tidewaiter archive tables` shows what there is",
                parameters.country, parameters.months
            )));
        }
        Ok(files)
    }
}

/// The median duty rate of each six-digit code, percent, over all that was declared up to the months: a row a
/// code, so that it goes to the scoring as a small file and not as a join.
async fn usual_rates(
    session: &SessionContext,
    archive: &Archive,
    parameters: &Parameters,
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
async fn scored(
    session: &SessionContext,
    archive: &Archive,
    parameters: &Parameters,
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
    let read = read.into_iter().map(col).chain(particulars::expressions()?);
    let items = session
        .read_table(declarations)?
        .filter(col("country").eq(lit(&parameters.country)))?
        .filter(col("acceptance_date").between(day(*days.start()), day(*days.end())))?
        .select(read.collect::<Vec<_>>())?;
    let operator = RecommendOperator::new(v1::HsRecommendOperator {
        archive: archive.url().to_string(),
        model: Registry::new(archive).model_path(MODEL, version),
        fast: parameters.fast,
        suggestions: true,
        rates: rates.to_owned(),
        description_alone: false,
    })?;
    let recommended = plan::above(items, operator)?;

    let mut columns: Vec<_> = kept.iter().map(|name| col(*name)).collect();
    for digits in super::tree::DIGITS {
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

/// What the apply found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Items scored.
    pub items: u64,
    /// Those without a description that has a word.
    pub without_words: u64,
    /// Those too vague to choose a heading; those without a word included.
    pub vague: u64,
    /// Those declared under the first recommendation, six digits.
    pub agreeing: u64,
    /// Those declared under a code that no training text has.
    pub never_taught: u64,
    /// Those not vague whose misclassification score is 0.95 or more.
    pub doubtful: u64,
}

fn count_items<'a>(job: &Job<'a>) -> impl Future<Output = Result<Counts>> + use<'a> {
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
                counted(worded.and(col("rank_6").is_null()), "never_taught")?,
                counted(col("misclassification").gt_eq(lit(DOUBTFUL)).and(!col("vague")), "doubtful")?,
            ],
        )?;
        let mut figures = figures.collect().await.context(|| "count the recommended codes")?;
        let batch = figures.pop().filter(|batch| batch.num_rows() == 1);
        let batch = batch.ok_or_else(|| Error::internal("the counting of items gave no row"))?;
        let figure = |name: &str| {
            let column = batch
                .column_by_name(name)
                .and_then(|column| arrow::compute::cast(column, &DataType::Int64).ok());
            column
                .filter(|column| column.is_valid(0))
                .map_or(0, |column| column.as_primitive::<Int64Type>().value(0).unsigned_abs())
        };
        Ok(Counts {
            items: figure("items"),
            without_words: figure("without_words"),
            vague: figure("vague"),
            agreeing: figure("agreeing"),
            never_taught: figure("never_taught"),
            doubtful: figure("doubtful"),
        })
    }
}
