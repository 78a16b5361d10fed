//! The job that applies a detector to the images of some months.
//!
//! Each image keeps its objects (class, score, box), the probability that it holds something illicit, whether that
//! alarms, and, where its declaration is known, how well its goods fit the declared HS section. The rows are one commit
//! to the table [`PREDICTIONS`]; a repeated apply adds rows of its own (`job` tells them apart). An image that cannot be
//! decoded has a row with the reason. The steps are in [`apply`].

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    logical_expr::when,
    prelude::{Expr, cast, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{
    Commit, DataFile, Table,
    provider::snapshot_provider,
    write_operator::{WriteOperator, stored},
};
use tidewaiter_core::{Error, Result, ResultExt, plan, threads::on_cpu};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_proto::v1;
use tidewaiter_registry::{Registry, Which};
use tidewaiter_report::data;

use crate::{
    features::images::Images,
    fraud, messages,
    model::detector::{Detector, Threshold},
    parameters::{ApplyParameters, MODEL},
    predict::{
        operator::DetectOperator,
        rows::{ScoredImage, scored_images},
    },
    report::{
        SelectionFacts, mismatch::worst_mismatches, pictures::alarming, selection_report, selection_tables,
    },
    table::{IMAGES, TAKEN_AT},
};

/// The table of what was found: `image_id`, `taken_at`, `name`, `site`, `scanner`, `declaration_id`, `hs_code` and
/// `sha256` of the image; `unreadable`, `found`, `illicit`, `whole`, `best`, `declared_section`, `likely_section`,
/// `declared_probability`, `likely_probability` and `mismatch` as [`DetectOperator`] gives them; `alarm` and the
/// `threshold` of the probability from which an image alarms; `model` and `job`.
pub const PREDICTIONS: &str = "predictions/xray";

#[async_trait]
impl JobParameters for ApplyParameters {
    const KIND: &'static str = "apply";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "xray"));
    const ABOUT: &'static str = "The X-ray model: illicit objects on the images of some months, and cargo that does not fit its \
                                 declaration";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        apply(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(images) = outcome.metrics.get("searched") else { return Vec::new() };
        let number = |name: &str| grouped(images[name].as_u64().unwrap_or_default());
        vec![format!(
            "{} images, {} alarms, {} that could not be read, {} with a declaration",
            number("images"),
            number("alarms"),
            number("unreadable"),
            number("declared")
        )]
    }
}

/// Applies a detector to the images of some months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] for a model that does not exist, [`tidewaiter_core::ErrorKind::Input`] for months without images.
async fn apply(job: &mut Job<'_>, parameters: &ApplyParameters) -> Result<()> {
    let chosen = job.step("model", choose(job, parameters)).await?;
    let files = job.step("find", find(job, parameters, &chosen)).await?;
    let table = job.step("commit", commit(job, &files)).await?;
    let reported = job.step("report", report(job, parameters, &chosen)).await?;
    job.outcome.rows.read = reported.images;
    job.outcome.model = Some(chosen.name.clone());
    job.outcome.metrics.insert("searched".into(), serde_json::to_value(&reported)?);
    job.outcome.tables.push(table);
    job.outcome.reports.push(job.archive.display(&reported.report));
    Ok(())
}

/// The model to apply.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    /// Its name and version.
    name: String,
    /// Path of its bytes in the archive.
    path: String,
    /// The threshold from which an image alarms; `None`: the validation images did not suffice for one.
    threshold: Option<Threshold>,
    /// The least score of a reported object.
    object_threshold: f32,
    /// The version of the images.
    images: u64,
}

/// Chooses the model; loading it checks its bytes.
fn choose<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
) -> impl Future<Output = Result<Chosen>> + use<'a> {
    let (registry, archive) = (Registry::new(job.archive), job.archive);
    async move {
        let name = parameters.scope()?.model(MODEL);
        let which = parameters.version.map_or(Which::Champion, Which::Version);
        let model = registry.load(&name, which).await?;
        let version = model.manifest.version;
        let head = on_cpu(move || Ok(Detector::read(&model.model)?.head)).await?;
        let wanted = |threshold: &&Threshold| {
            (threshold.false_alarms * 100.0).round() == f64::from(parameters.false_alarms)
        };
        let threshold = head.thresholds.iter().find(wanted).copied();
        let images = Table::open(archive, IMAGES).await;
        let images =
            images.context(|| "the archive has no images; `tidewaiter ingest images` brings them in")?;
        Ok(Chosen {
            path: registry.model_path(&name, version),
            name: format!("{name}@{version}"),
            threshold,
            object_threshold: head.object_threshold,
            images: images.version().await?,
        })
    }
}

/// Columns of the images that predictions have too.
const KEPT: [&str; 8] =
    ["image_id", TAKEN_AT, "name", "site", "scanner", "declaration_id", "hs_code", "sha256"];

fn find<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &'a Chosen,
) -> impl Future<Output = Result<Vec<DataFile>>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("find"));
    let folder = job.work_folder().to_owned();
    async move {
        let session = session?;
        let countries = [parameters.country.clone()];
        let images = Images::of(archive, &session, &countries, Some(chosen.images)).await?;
        let declared = format!("{folder}/declared.json");
        archive.put(&declared, serde_json::to_vec(&images.declared(parameters.months).await?)?).await?;
        let read: Vec<&str> = KEPT.into_iter().chain(["bytes"]).collect();
        let rows = images.within(parameters.months).await?.select_columns(&read)?;
        let operator = DetectOperator::new(messages::XrayDetectOperator {
            archive: archive.url().to_string(),
            model: chosen.path.clone(),
            declared,
            batch: parameters.batch,
        })?;
        let found = plan::apply(rows, operator)?;
        let mut columns: Vec<Expr> = found.schema().fields().iter().map(|field| col(field.name())).collect();
        let threshold = chosen.threshold.and_then(|threshold| threshold.probability);
        let alarm = match (chosen.threshold, threshold) {
            // As floats of 32 bits, in which thresholds are chosen.
            (_, Some(threshold)) => {
                let single = |value| cast(value, DataType::Float32);
                single(col("illicit")).gt_eq(single(lit(threshold)))
            }
            // Of an image that could not be read it is unknown.
            (Some(_), None) => {
                when(col("illicit").is_not_null(), lit(false)).otherwise(lit(ScalarValue::Boolean(None)))?
            }
            (None, None) => lit(ScalarValue::Boolean(None)),
        };
        columns.push(alarm.alias("alarm"));
        columns.push(lit(ScalarValue::Float64(threshold)).alias("threshold"));
        columns.push(lit(&chosen.name).alias("model"));
        columns.push(lit(&id).alias("job"));
        let rows = found.select(columns)?;
        Table::open_or_create(archive, PREDICTIONS, &stored(rows.schema().as_arrow())).await?;
        let writer = WriteOperator::new(v1::WriteOperator {
            archive: archive.url().to_string(),
            table: PREDICTIONS.to_owned(),
            country: parameters.country.clone(),
            date_column: TAKEN_AT.to_owned(),
            sort_columns: vec!["image_id".to_owned()],
            name: id,
            memory_bytes: 0,
        })?;
        let files = plan::reports::<Vec<DataFile>>(plan::apply(rows, writer)?).await?.concat();
        if files.iter().all(|file| file.rows == 0) {
            return Err(Error::input(format!(
                "the archive has no images of {} in {}; `tidewaiter archive tables` shows what there is",
                parameters.country, parameters.months
            )));
        }
        Ok(files)
    }
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

/// Numbers of the images, and where the report is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Reported {
    images: u64,
    /// Images whose probability reached the threshold.
    alarms: u64,
    /// Images that could not be decoded.
    unreadable: u64,
    /// Images with a declared section that the model knows.
    declared: u64,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    report: String,
}

fn report<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &'a Chosen,
) -> impl Future<Output = Result<Reported>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("report"));
    async move {
        let session = session?;
        let predictions = snapshot_provider(archive, PREDICTIONS, None).await?;
        let predictions = session.read_table(predictions)?;
        let rows =
            predictions.filter(col("job").eq(lit(&id)).and(col("country").eq(lit(&parameters.country))))?;
        let found = scored_images(rows).await.context(|| format!("read {PREDICTIONS}"))?;
        let alarms = |image: &&ScoredImage| {
            image.unreadable.is_empty()
                && chosen.threshold.is_some_and(|threshold| threshold.is_reached(image.illicit))
        };
        let count = |of: &dyn Fn(&ScoredImage) -> bool| found.iter().filter(|image| of(image)).count() as u64;
        let reported = Reported {
            images: found.len() as u64,
            alarms: found.iter().filter(alarms).count() as u64,
            unreadable: count(&|image| !image.unreadable.is_empty()),
            declared: count(&|image| image.mismatch.is_some()),
            report: format!("reports/xray-apply-{id}.html"),
        };
        let countries = [parameters.country.clone()];
        let images = Images::of(archive, &session, &countries, Some(chosen.images)).await?;
        let (threshold, object_threshold) = (chosen.threshold, chosen.object_threshold);
        let pictures = alarming(&images, parameters.months, &found, (threshold, object_threshold)).await?;
        let worst = worst_mismatches(&found);
        let declarations: Vec<String> = worst.iter().map(|image| image.declaration.clone()).collect();
        let fraud = fraud::probabilities(archive, &session, &countries, &declarations).await?;
        let facts = SelectionFacts {
            language: parameters.language,
            country: parameters.country.clone(),
            months: parameters.months.to_string(),
            model: chosen.name.clone(),
            threshold,
            object_threshold,
            snapshot: format!("{IMAGES}@{}", chosen.images),
            fraud,
        };
        let (page, tables) = on_cpu(move || {
            let page = selection_report(&found, &facts, &pictures).render();
            Ok((page, data::files(&selection_tables(&found, &facts)?)?))
        })
        .await?;
        archive.put(&reported.report, page).await?;
        let folder = reported.report.trim_end_matches(".html");
        for (file, bytes) in tables {
            archive.put(&format!("{folder}/{file}"), bytes).await?;
        }
        Ok(reported)
    }
}
