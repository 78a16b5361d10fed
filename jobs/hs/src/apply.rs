//! The job that applies the HS model to the items of some months: recommended codes, and doubtful declared ones.
//!
//! The description is scored, with what else the model uses of a declaration. Each item keeps the best code at 2, 4 and 6
//! digits and with national digits, each with its probability, the five best as JSON, and the *misclassification* score:
//! the probability of all codes but the declared one, null where no training text has that code. Where duty rates are
//! declared, `duty_at_stake` is the additional duty under the recommended code: the difference of the usual rates of both
//! codes under the item's preference ([`crate::rates`]), of the customs value; 0 where the codes agree. The usual rates
//! reach the scoring as a small file and not by a join, because the cluster's adaptive planner does not schedule a join
//! below a plan node of ours. The rows are one commit to the table [`PREDICTIONS`]; a repeated apply adds rows of its own
//! (`job` tells them apart). Items of months that the model was trained on are among its precedents: they are scored and
//! marked, and no figure and no list counts them. The steps are in [`apply`]; [`crate::applied`] reads the result.

use arrow::{
    array::AsArray,
    datatypes::{DataType, Float64Type},
};
use datafusion::{
    functions::expr_fn::left,
    functions_aggregate::median::median,
    logical_expr::Expr,
    prelude::{DataFrame, cast, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{
    Archive, Commit, DataFile, Table,
    provider::snapshot_provider,
    write_operator::{WriteOperator, stored},
};
use tidewaiter_core::{Error, Period, Result, ResultExt, plan, query::Run as _, threads::on_cpu};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_proto::v1;
use tidewaiter_registry::{Registry, Which, promotion::trained, scope::Scope};
use tidewaiter_report::data;

use crate::{
    applied::{ItemCounts, PREDICTIONS, read_applied},
    codes::digits::DIGITS,
    features::{attributes, texts_operator::within},
    messages,
    parameters::{ApplyParameters, MODEL, RetrainParameters},
    rates::UsualRates,
    recommend::RecommendOperator,
    report::{AppliedFacts, applied_report, applied_tables},
};

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
        let mut lines = vec![format!(
            "{} items declared under the first recommendation, {} doubtful, {} too vague",
            number("agreeing"),
            number("doubtful"),
            number("vague")
        )];
        if items["in_sample"].as_u64() > Some(0) {
            lines.push(format!(
                "{} items are of months that the model was trained on: none of those is counted",
                number("in_sample")
            ));
        }
        lines
    }
}

/// Recommends codes for the items of some months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] for a model that does not exist, [`tidewaiter_core::ErrorKind::Input`] for
/// months without items.
async fn apply(job: &mut Job<'_>, parameters: &ApplyParameters) -> Result<()> {
    let scope = parameters.check()?;
    let chosen = job.step("model", choose(job, parameters, &scope)).await?;
    let scored = job.step("score", score(job, parameters, &chosen)).await?;
    let table = job.step("commit", commit(job, &scored.files)).await?;
    let Reported { counts, path } = job.step("report", report(job, parameters, &chosen, &scored)).await?;
    job.outcome.rows.read = counts.items;
    job.outcome.model = Some(chosen.model());
    job.outcome.metrics.insert("items".into(), serde_json::to_value(&counts)?);
    job.outcome.tables.push(table);
    job.outcome.reports.push(job.archive.display(&path));
    Ok(())
}

/// The model that scores the items.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    name: String,
    version: u64,
    /// How it was trained.
    trained: RetrainParameters,
}

impl Chosen {
    /// Name and version.
    fn model(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The months from the first to the last that it was trained on or tuned by.
    fn trained(&self) -> Result<(Period, Period)> {
        let periods = self.trained.validate()?;
        Ok((periods.train, periods.valid))
    }
}

/// The model to apply; loading it checks its bytes.
fn choose<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    scope: &Scope,
) -> impl Future<Output = Result<Chosen>> + use<'a> {
    let (registry, name) = (Registry::new(job.archive), scope.model(MODEL));
    async move {
        let which = parameters.version.map_or(Which::Champion, Which::Version);
        let manifest = registry.load(&name, which).await?.manifest;
        let trained = trained(manifest.facts.config, &format!("{name}@{}", manifest.version))?;
        Ok(Chosen { name, version: manifest.version, trained })
    }
}

/// Files of scored items that are not yet committed.
#[derive(Debug, Serialize, Deserialize)]
struct Scored {
    files: Vec<DataFile>,
    /// The version of the declarations that was read.
    snapshot: u64,
}

fn score<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &'a Chosen,
) -> impl Future<Output = Result<Scored>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("score"));
    let folder = job.work_folder().to_owned();
    async move {
        let session = session?;
        let snapshot = Table::open(archive, DECLARATIONS).await?.version().await?;
        let declarations = session
            .read_table(snapshot_provider(archive, DECLARATIONS, Some(snapshot)).await?)?
            .filter(col("country").eq(lit(&parameters.country)))?;
        let rates = format!("{folder}/rates.json");
        let usual = usual_rates(declarations.clone(), parameters.months).await?;
        archive.put(&rates, serde_json::to_vec(&usual)?).await?;
        let rows = recommendations(declarations, archive, parameters, chosen, (&rates, &id))?;
        let schema = stored(rows.schema().as_arrow());
        let opened = Table::open_or_create(archive, PREDICTIONS, &schema).await;
        opened.context(|| {
            format!("open {PREDICTIONS}, of which one of an earlier version is to be moved to another name")
        })?;
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
        Ok(Scored { files, snapshot })
    }
}

/// The median duty rate of each six-digit code and preference, percent, over all items that were declared up to the
/// months.
async fn usual_rates(declarations: DataFrame, months: Period) -> Result<UsualRates> {
    let rates = declarations
        .filter(col("duty_rate").is_not_null().and(col("acceptance_date").lt_eq(day(*months.days().end()))))?
        .select(vec![
            col("preference"),
            left(col("hs_code"), lit(6_i64)).alias("code"),
            col("duty_rate").alias("rate"),
        ])?
        .aggregate(vec![col("preference"), col("code")], vec![median(col("rate")).alias("usual_rate")])?
        .select_columns(&["preference", "code", "usual_rate"])?;
    let mut usual = UsualRates::default();
    for batch in rates.batches().await.context(|| "read the duty rates of codes")? {
        let texts = [0, 1].map(|at| arrow::compute::cast(batch.column(at), &DataType::Utf8));
        let rates = arrow::compute::cast(batch.column(2), &DataType::Float64)?;
        let [preferences, codes] = texts;
        let (preferences, codes) = (preferences?, codes?);
        let rows = preferences.as_string::<i32>().iter().zip(codes.as_string::<i32>());
        for ((preference, code), rate) in rows.zip(rates.as_primitive::<Float64Type>()) {
            if let (Some(code), Some(rate)) = (code, rate) {
                usual.insert(preference.unwrap_or_default(), code, rate);
            }
        }
    }
    Ok(usual)
}

/// A day since 1970-01-01.
fn day(day: i32) -> Expr {
    lit(datafusion::common::ScalarValue::Date32(Some(day)))
}

/// The rows of [`PREDICTIONS`] for the declarations of a country.
fn recommendations(
    declarations: DataFrame,
    archive: &Archive,
    parameters: &ApplyParameters,
    chosen: &Chosen,
    (rates, job): (&str, &str),
) -> Result<DataFrame> {
    let days = parameters.months.days();
    let kept = ["declaration_id", "item_number", "acceptance_date", "hs_code", "description"];
    let read = [&kept[..], &["customs_value", "preference"]].concat();
    let read = read.into_iter().map(col).chain(attributes::expressions()?);
    let items = declarations
        .filter(col("acceptance_date").between(day(*days.start()), day(*days.end())))?
        .select(read.collect::<Vec<_>>())?;
    let operator = RecommendOperator::new(messages::HsRecommendOperator {
        archive: archive.url().to_string(),
        model: Registry::new(archive).model_path(&chosen.name, chosen.version),
        fast: parameters.fast,
        suggestions: true,
        rates: rates.to_owned(),
        description_alone: false,
        without_unit: !chosen.trained.unit_independent,
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
    let duty = col("rate_difference") * col("customs_value") / lit(100.0);
    columns.push(duty.alias("duty_at_stake"));
    columns.extend(["vague", "suggestions"].map(col));
    let (train, valid) = chosen.trained()?;
    columns.push(within(train).or(within(valid)).alias("in_sample"));
    columns.push(lit(chosen.model()).alias("model"));
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

/// A report that is written.
#[derive(Debug, Serialize, Deserialize)]
struct Reported {
    counts: ItemCounts,
    /// Its path in the archive.
    path: String,
}

fn report<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &'a Chosen,
    scored: &'a Scored,
) -> impl Future<Output = Result<Reported>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("report"));
    async move {
        let applied = read_applied(&session?, archive, &id).await?;
        let (train, valid) = chosen.trained()?;
        let facts = AppliedFacts {
            language: parameters.language,
            model: chosen.model(),
            country: parameters.country.clone(),
            months: parameters.months.to_string(),
            trained: [train, valid].map(|period| period.to_string()),
            uses_unit: chosen.trained.unit_independent,
            snapshot: format!("{DECLARATIONS}@{}", scored.snapshot),
        };
        let counts = applied.counts.clone();
        let (page, tables) = on_cpu(move || {
            Ok((applied_report(&applied, &facts)?.render(), data::files(&applied_tables(&applied))?))
        })
        .await?;
        let folder = format!("reports/codes-{MODEL}-{id}");
        let path = format!("{folder}.html");
        archive.put(&path, page).await?;
        for (file, bytes) in tables {
            archive.put(&format!("{folder}/{file}"), bytes).await?;
        }
        Ok(Reported { counts, path })
    }
}
