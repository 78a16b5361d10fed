//! The job that retrains a detector.
//!
//! Its steps: what is known of the training and validation images ([`crate::features::images`]); their squares in the
//! shards' files ([`crate::features::squares_operator`]); the fit ([`crate::fit`]); thresholds and the image's
//! probability on the validation months; the verdict on the test months ([`crate::metrics::figures`]), by which the
//! version is published and promoted or not, and its report ([`crate::report`]). The test months are used once, for the
//! challenger and the champion alike. The same snapshot, parameters, seed and kind of processor give the same model,
//! byte for byte, on any number of workers.

use std::sync::Arc;

use datafusion::{
    common::ScalarValue,
    logical_expr::when,
    prelude::{SessionContext, col, lit},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Period, Periods, Result, ResultExt, plan, threads::on_cpu};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::evaluated};
use tidewaiter_learning::follow::Followed;
use tidewaiter_registry::{
    Card, Facts, Publication, Registry, TrainingSnapshot,
    comparison::{Against, Comparison},
    promotion::{Published, Retrain, publish, standing},
};
use tidewaiter_report::data;

use crate::{
    features::{
        images::{Images, Labels},
        squares::Part,
        squares_operator::{KnownLabels, Outputs, SquaresOperator, Written, shard_files},
    },
    fit::{
        leader::DetectorLeader,
        loader::{DetectorShards, LEARNER, Layout},
    },
    fraud, messages,
    metrics::{
        figures::{Evaluated, Figures, best_threshold, compared, image_thresholds},
        operating::Roc,
    },
    model::{
        backbone,
        detector::{Detector, Head, to_bytes},
        image_score::{ImageScore, Sample},
    },
    parameters::{MODEL, RetrainParameters},
    predict::{
        operator::DetectOperator,
        rows::{ScoredImage, scored_images},
    },
    report::{ModelFacts, mismatch::worst_mismatches, model_report, model_tables, pictures::chosen},
    table::IMAGES,
};

/// Milestones of the fit (epochs) from one stored checkpoint to the next.
const MILESTONES_PER_CHECKPOINT: u32 = 1;

/// The least training images of a section that is learned.
const LEAST_OF_SECTION: u64 = 5;

/// Squares that are computed at a time when a model is evaluated.
const BATCH: u32 = 8;

#[async_trait]
impl JobParameters for RetrainParameters {
    const KIND: &'static str = "retrain";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "xray"));
    const ABOUT: &'static str =
        "The X-ray model: which illicit objects an image shows, and whether it fits its declaration";

    fn paths(&mut self) -> Vec<&mut String> {
        self.backbone.iter_mut().collect()
    }

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        retrain(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        evaluated(outcome, &["mAP@50", "mAP@50:95", "AUC", "detected@1", "detected@5", "detected@10"])
    }
}

/// Retrains the detector and promotes it where it is better than the champion of its countries.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for parameters out of their ranges, periods that overlap, months without
/// annotated images or without an object, and a champion that learned from the test months.
async fn retrain(job: &mut Job<'_>, parameters: &RetrainParameters) -> Result<()> {
    let periods = parameters.validate()?;
    let known = job.step("labels", labels(job, parameters, &periods)).await?;
    check(&known, parameters, &periods)?;
    let written = job.step("squares", write_squares(job, parameters, &periods, &known)).await?;
    job.outcome.rows.read = written.images;
    if written.unreadable > 0 {
        tracing::warn!(images = written.unreadable, some = ?written.named, "images that could not be read");
        job.outcome.metrics.insert("unreadable".into(), json!(written.unreadable));
    }
    let backbone = match &parameters.backbone {
        None => None,
        Some(path) => Some(job.step("backbone", store_backbone(job, path, parameters.detector.width)).await?),
    };
    let fitted = job.step("fit", fit(job, parameters, &known, &written, backbone.as_ref())).await?;
    let model = job.step("thresholds", thresholds(job, parameters, &periods, &known, &fitted)).await?;
    let verdict = job
        .step(
            "evaluate",
            evaluate_and_publish(job, parameters, &periods, &known, (&model, backbone.as_ref())),
        )
        .await?;

    job.outcome.model = Some(format!("{}@{}", parameters.country.model(MODEL), verdict.version));
    job.outcome.metrics.insert("test".into(), serde_json::to_value(&verdict.challenger)?);
    if let Some(champion) = &verdict.champion {
        job.outcome.metrics.insert("champion".into(), serde_json::to_value(champion)?);
    }
    if let Some(comparison) = &verdict.comparison {
        job.outcome.metrics.insert("comparison".into(), serde_json::to_value(comparison)?);
    }
    if let Some(loss) = fitted.validation_loss {
        job.outcome.metrics.insert("validation".into(), json!({ "loss": loss }));
    }
    if let Some(backbone) = &backbone {
        job.outcome.metrics.insert("backbone".into(), json!({ "sha256": backbone.sha256 }));
    }
    job.outcome.metrics.insert("promoted".into(), json!(verdict.promoted));
    if let Some(champion) = verdict.overtaken_by {
        job.outcome.metrics.insert("overtaken_by".into(), json!(champion));
    }
    job.outcome.reports.push(job.archive.display(&verdict.report));
    Ok(())
}

// ---- Features

/// What is known of the images before they are read.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The version of the images.
    version: u64,
    /// What is learned.
    outputs: Outputs,
    /// Of the training, validation and test months: images, annotated ones, illicit ones.
    counts: [[u64; 3]; 3],
    /// Path of the labels of the training and validation months.
    labels: String,
    /// Paths of the declared sections of the validation and the test months.
    declared: [String; 2],
}

fn labels<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
) -> impl Future<Output = Result<Known>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("labels"), job.work_folder().to_owned());
    let Periods { train, valid, test } = *periods;
    async move {
        let session = session?;
        let images = Images::of(archive, &session, parameters.country.countries(), None).await?;
        let (training, validation) = (images.labels(train).await?, images.labels(valid).await?);
        let testing = images.labels(test).await?;
        let learned = training.sections.iter().filter(|(_, images)| **images >= LEAST_OF_SECTION);
        let sections: Vec<u32> = learned.map(|(section, _)| *section).collect();
        let outputs = Outputs {
            classes: training.classes.keys().cloned().collect(),
            // One section alone is nothing to train on.
            sections: if sections.len() < 2 { Vec::new() } else { sections },
        };
        let counts = [&training, &validation, &testing]
            .map(|labels| [labels.images, labels.annotated, labels.illicit]);
        let declared = [
            store(archive, format!("{folder}/declared-valid.json"), &validation.declared).await?,
            store(archive, format!("{folder}/declared-test.json"), &testing.declared).await?,
        ];
        let declared_before = training.declared.into_iter().chain(validation.declared).collect();
        let labels = KnownLabels {
            outputs: outputs.clone(),
            labels: Labels { declared: declared_before, ..Labels::default() },
        };
        let labels = store(archive, format!("{folder}/labels.json"), &labels).await?;
        Ok(Known { version: images.version, outputs, counts, labels, declared })
    }
}

/// Stores a document in the job's folder, where executors can read it, and returns its path.
async fn store(archive: &Archive, path: String, document: &impl Serialize) -> Result<String> {
    archive.put(&path, serde_json::to_vec(document)?).await?;
    Ok(path)
}

/// Every period must have annotated images, and the training months objects.
fn check(known: &Known, parameters: &RetrainParameters, periods: &Periods) -> Result<()> {
    let named = [("training", periods.train), ("validation", periods.valid), ("test", periods.test)];
    for ((what, period), [images, annotated, illicit]) in named.into_iter().zip(known.counts) {
        let of = &parameters.country;
        if annotated == 0 {
            return Err(Error::input(format!(
                "of the {images} images of {of} in the {what} months {period} none is annotated; ingest annotations, or \
                 choose other months"
            )));
        }
        if illicit == 0 {
            return Err(Error::input(format!(
                "none of the {annotated} annotated images of {of} in the {what} months {period} has an object; choose \
                 other months"
            )));
        }
    }
    Ok(())
}

fn write_squares<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    known: &'a Known,
) -> impl Future<Output = Result<Written>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("squares"), job.work_folder().to_owned());
    let Periods { train, valid, .. } = *periods;
    async move {
        let session = session?;
        let images =
            Images::of(archive, &session, parameters.country.countries(), Some(known.version)).await?;
        let mut written = Written::default();
        for (period, part) in [(train, Part::Training), (valid, Part::Validation)] {
            let rows = images.within(period).await?.filter(col("objects").is_not_null())?;
            let part_column = lit(ScalarValue::Int32(Some(part.number()))).alias("part");
            let rows = rows.select(vec![
                col("image_id"),
                col("hs_code"),
                part_column,
                col("objects"),
                col("bytes"),
            ])?;
            let operator = SquaresOperator::new(messages::XraySquaresOperator {
                archive: archive.url().to_string(),
                folder: format!("{folder}/squares-{}", part.number()),
                side: u32::try_from(parameters.detector.side).unwrap_or(u32::MAX),
                tile: parameters.tile,
                shards: parameters.shards,
                labels: known.labels.clone(),
            })?;
            let parts = plan::reports::<Written>(plan::apply(rows, operator)?).await;
            let parts = parts.context(|| format!("read the images in {IMAGES}@{}", known.version))?;
            parts.into_iter().for_each(|part| written.add(part));
        }
        if written.examples == 0 {
            let some = written.named.join("; ");
            return Err(Error::input(format!("none of the annotated images could be read: {some}")));
        }
        Ok(written)
    }
}

// ---- Fit

/// The weights that a network's first layers begin from.
#[derive(Debug, Serialize, Deserialize)]
struct Backbone {
    /// Path in the archive of the file that the user gave.
    path: String,
    /// The digest of its bytes, in hexadecimal digits.
    sha256: String,
}

/// Checks the file of a backbone, and stores it where a fit that goes on finds it.
fn store_backbone<'a>(
    job: &Job<'a>,
    path: &'a str,
    width: usize,
) -> impl Future<Output = Result<Backbone>> + use<'a> {
    let (archive, folder) = (job.archive, job.work_folder().to_owned());
    async move {
        let bytes = tokio::fs::read(path).await.context(|| format!("read the backbone {path}"))?;
        let (bytes, sha256) = on_cpu(move || {
            backbone::weights(&bytes, width)?;
            let digest = Sha256::digest(&bytes);
            Ok((bytes, digest.iter().map(|byte| format!("{byte:02x}")).collect()))
        })
        .await
        .context(|| format!("read the backbone {path}"))?;
        let path = format!("{folder}/backbone.safetensors");
        archive.put(&path, bytes).await?;
        Ok(Backbone { path, sha256 })
    }
}

/// The weights of a fit.
#[derive(Debug, Serialize, Deserialize)]
struct Fitted {
    /// Path of a detector with them, without thresholds.
    model: String,
    validation_loss: Option<f64>,
}

fn fit<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    known: &'a Known,
    written: &'a Written,
    backbone: Option<&'a Backbone>,
) -> impl Future<Output = Result<Fitted>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let (session, name) = (job.session("fit"), job.outcome.job.clone());
    let listener = Arc::clone(&job.listener);
    async move {
        let Outputs { classes, sections } = &known.outputs;
        let detector = &parameters.detector;
        let extents = detector.extents(classes.len(), sections.len());
        let (files, shards) = shard_files(written);
        let layout = Layout { files, parameters: detector.clone(), extents };
        let count = shards.len();
        let fit = Followed {
            archive,
            engine,
            session: &session?,
            name,
            folder: format!("{folder}/fit"),
            learner: (LEARNER, serde_json::to_string(&layout)?),
            shards,
            loader: Arc::new(DetectorShards::new(archive.clone(), layout)),
            gains_from_gpu: true,
            listener,
            step: ("fit", "epochs"),
            place: (0, 1),
            milestones_per_checkpoint: MILESTONES_PER_CHECKPOINT,
        };
        let first = match backbone {
            None => Vec::new(),
            Some(Backbone { path, .. }) => backbone::weights(&archive.get(path).await?, detector.width)?,
        };
        let begin = || DetectorLeader::new(detector.clone(), extents, count, &first);
        let leader = fit.lead(begin, |bytes| DetectorLeader::restore(bytes, extents, count)).await?;
        let head = Head {
            side: detector.side,
            width: detector.width,
            tile: parameters.tile as usize,
            classes: classes.clone(),
            sections: sections.clone(),
            image_score: ImageScore::default(),
            object_threshold: 0.5,
            thresholds: Vec::new(),
        };
        let model = format!("{folder}/fitted.bin");
        archive.put(&model, to_bytes(&head, leader.weights())?).await?;
        Ok(Fitted { model, validation_loss: leader.validation_loss() })
    }
}

/// What a detector finds on the images of a period.
async fn found(
    (archive, session): (&Archive, &SessionContext),
    parameters: &RetrainParameters,
    (version, period): (u64, Period),
    (model, declared): (&str, &str),
) -> Result<Vec<ScoredImage>> {
    let images = Images::of(archive, session, parameters.country.countries(), Some(version)).await?;
    let rows = images.within(period).await?.select_columns(&[
        "image_id",
        "taken_at",
        "site",
        "scanner",
        "declaration_id",
        "hs_code",
        "objects",
        "bytes",
    ])?;
    // An image that is not annotated says nothing, but it is counted.
    let pixels =
        when(col("objects").is_not_null(), col("bytes")).otherwise(lit(ScalarValue::Binary(None)))?;
    let mut columns: Vec<_> = rows.schema().fields().iter().map(|field| col(field.name())).collect();
    columns.pop();
    columns.push(pixels.alias("bytes"));
    let rows = rows.select(columns)?;
    let operator = DetectOperator::new(messages::XrayDetectOperator {
        archive: archive.url().to_string(),
        model: model.to_owned(),
        declared: declared.to_owned(),
        batch: BATCH,
    })?;
    scored_images(plan::apply(rows, operator)?).await
}

/// A whole model that is not yet evaluated.
#[derive(Debug, Serialize, Deserialize)]
struct Model {
    /// Path of its bytes in the archive.
    path: String,
}

/// Fits the image's probability and chooses thresholds on the validation months.
fn thresholds<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    known: &'a Known,
    fitted: &'a Fitted,
) -> impl Future<Output = Result<Model>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("thresholds"), job.work_folder().to_owned());
    let valid = periods.valid;
    async move {
        let session = session?;
        let [declared, _] = &known.declared;
        let place = (known.version, valid);
        let images = found((archive, &session), parameters, place, (&fitted.model, declared)).await?;
        let bytes = archive.get(&fitted.model).await?;
        let made = on_cpu(move || {
            let Detector { head, weights, .. } = Detector::read(&bytes)?;
            to_bytes(&with_thresholds(head, images), &weights)
        });
        let path = format!("{folder}/model.bin");
        archive.put(&path, made.await?).await?;
        Ok(Model { path })
    }
}

/// A detector with the image's probability and the thresholds that its validation images suggest.
fn with_thresholds(head: Head, images: Vec<ScoredImage>) -> Head {
    let samples: Vec<Sample> = images
        .iter()
        .filter_map(|image| {
            Some(Sample { whole: image.whole, object: image.best, is_illicit: image.is_illicit()? })
        })
        .collect();
    let image_score = ImageScore::fit(&samples);
    let probability = |sample: &Sample| image_score.probability(sample.whole, sample.object) as f32;
    let roc = Roc::new(samples.iter().map(|sample| (probability(sample), sample.is_illicit)).collect());
    let thresholds = image_thresholds(&roc);
    let object_threshold = best_threshold(&Evaluated::new(images, &head).evaluations);
    Head { image_score, thresholds, object_threshold, ..head }
}

// ---- Evaluate and publish

/// The figures on the test months, and the version that was published.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    version: u64,
    promoted: bool,
    /// The version that is the champion instead of this better one.
    overtaken_by: Option<u64>,
    challenger: Figures,
    champion: Option<Figures>,
    comparison: Option<Comparison>,
    /// Path of the report.
    report: String,
}

/// Finds on the images of a period and compares with the truth: the matched images, the figures, and what the detector is.
async fn measured(
    data: (&Archive, &SessionContext),
    parameters: &RetrainParameters,
    place: (u64, Period),
    (model, declared): (&str, &str),
) -> Result<(Evaluated, Figures, Head)> {
    let images = found(data, parameters, place, (model, declared)).await?;
    let bytes = data.0.get(model).await?;
    on_cpu(move || {
        let head = Detector::read(&bytes)?.head;
        let evaluated = Evaluated::new(images, &head);
        let figures = evaluated.figures(&head);
        Ok((evaluated, figures, head))
    })
    .await
}

/// Evaluates the model beside the champion, publishes it, promotes it where it is better, and writes its report.
fn evaluate_and_publish<'a>(
    job: &Job<'a>,
    parameters: &'a RetrainParameters,
    periods: &Periods,
    known: &'a Known,
    (model, backbone): (&'a Model, Option<&'a Backbone>),
) -> impl Future<Output = Result<Verdict>> + use<'a> {
    let (archive, periods) = (job.archive, *periods);
    let (session, id, submitted_ms) = (job.session("evaluate"), job.outcome.job.clone(), job.submitted_ms);
    async move {
        let session = session?;
        let (registry, name) = (Registry::new(archive), parameters.country.model(MODEL));
        let seed = parameters.detector.seed;
        let [_, declared] = &known.declared;
        let (place, data) = ((known.version, periods.test), (archive, &session));
        let (challenger, figures, head) = measured(data, parameters, place, (&model.path, declared)).await?;
        let retrain =
            Retrain { name: name.clone(), job: id.clone(), against: parameters.compare, test: periods.test };
        let standing = standing(&registry, &retrain, |trained: RetrainParameters, path| {
            let learned = trained.validate()?;
            Ok(([learned.train, learned.valid], path))
        })
        .await?;
        let of_champion = match &standing.compared {
            Some(path) => Some(measured(data, parameters, place, (path, declared)).await?),
            None => None,
        };
        let (champion, champion_figures) = match of_champion {
            Some((evaluated, figures, _)) => (Some(evaluated), Some(figures)),
            None => (None, None),
        };
        let challenger = Arc::new(challenger);
        let comparison = match champion {
            None => None,
            Some(champion) => {
                let challenger = Arc::clone(&challenger);
                Some(on_cpu(move || compared(&challenger, &champion, seed)).await?)
            }
        };
        let better = match (parameters.compare, &standing.champion) {
            (Against::Nothing, Some(_)) => false,
            _ => comparison.as_ref().is_none_or(Comparison::is_better),
        };
        let object_threshold = head.object_threshold;
        let worst = worst_mismatches(&challenger.images);
        let declarations: Vec<String> = worst.into_iter().map(|image| image.declaration).collect();
        let countries = parameters.country.countries();
        let fraud = fraud::probabilities(archive, &session, countries, &declarations).await?;
        let facts = ModelFacts {
            language: parameters.language,
            champion: standing.champion.as_ref().map(|champion| format!("{name}@{}", champion.version)),
            country: parameters.country.to_string(),
            periods: [periods.train, periods.valid, periods.test].map(|period| period.to_string()),
            counts: known.counts,
            seed,
            snapshot: format!("{IMAGES}@{}", known.version),
            figures: figures.clone(),
            champion_figures: champion_figures.clone(),
            comparison,
            head,
            backbone: backbone.map(|backbone| backbone.sha256.clone()),
            fraud,
        };
        let tables = {
            let (challenger, facts) = (Arc::clone(&challenger), facts.clone());
            on_cpu(move || data::files(&model_tables(&challenger, &facts)?)).await?
        };
        let images = Images::of(archive, &session, countries, Some(known.version)).await?;
        let pictures = chosen(&images, periods.test, &challenger, object_threshold).await?;
        let card: Card = {
            let (name, challenger) = (name.clone(), Arc::clone(&challenger));
            Arc::new(move |version, promotion| {
                let model = format!("{name}@{version}");
                Ok(model_report(&challenger, (&model, promotion), &facts, &pictures).render())
            })
        };
        let publication = Publication {
            model: archive.get(&model.path).await?,
            card: Some(card),
            facts: Facts {
                job: id,
                config: serde_json::to_value(parameters)?,
                features: ["bytes", "objects", "hs_code", "declaration_id"].map(str::to_owned).into(),
                snapshot: Some(TrainingSnapshot { table: IMAGES.to_owned(), version: known.version }),
                code_version: env!("CARGO_PKG_VERSION").to_owned(),
                metrics: json!({
                    "test": figures,
                    "comparison": comparison,
                    "backbone": backbone.map(|backbone| &backbone.sha256),
                }),
                seed,
                created_ms: submitted_ms,
            },
        };
        let Published { manifest, promoted, overtaken_by, report } =
            publish(&registry, &name, publication, standing.champion.as_ref(), better).await?;
        let folder = report.trim_end_matches(".html");
        for (file, bytes) in tables {
            archive.put(&format!("{folder}/{file}"), bytes).await?;
        }
        let version = manifest.version;
        Ok(Verdict {
            version,
            promoted,
            overtaken_by,
            challenger: figures,
            champion: champion_figures,
            comparison,
            report,
        })
    }
}
