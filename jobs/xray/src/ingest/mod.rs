//! The ingest of images: folders, TAR and ZIP archives of PNG, JPEG, TIFF and DICOM files into the table
//! of images.
//!
//! Two passes: [`inspect`] decodes every file once, on all tasks, and describes it; [`choose`] leaves out what is refused,
//! what is in the archive already and what has the same bytes as another file; [`store`] reads the bytes of the others
//! again and writes them, and one commit adds them, what is put aside, and a record of each source. Files are read in their
//! order, so that even a gzip stream is unpacked once a task and pass. Whatever is refused goes to the table of quarantined
//! rows with its reason: images in are images archived and images put aside; those that the archive has already are counted
//! by themselves. A source is what was named: a folder, an archive or a file; it has no record where the archive has all
//! of its images.
//!
//! What is absent: image files in an object store; every executor must be able to open them as files. Start at
//! [`Parameters`].

mod annotations;
mod choose;
mod digest;
pub mod inspect;
mod lineage;
mod mapping;
mod matching;
pub mod messages;
mod quarantine;
mod reader;
mod source;
pub mod store;
#[cfg(test)]
mod tests;

use std::path::Path;

use clap::Args;
use datafusion::prelude::{DataFrame, SessionContext};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{
    Archive, DataFile, Table,
    table::{Change, SourceChange, SourceState, commit_group},
    tasks,
    write_operator::WriteOperator,
};
use tidewaiter_core::{Error, ErrorKind, Result, plan, threads::on_cpu};
use tidewaiter_ingest::{
    QUARANTINE, SOURCES, SourceRecord, numbers, quarantine_table_schema, source_digest, sources_schema,
    sources_with_digests, write_sources,
};
use tidewaiter_job::{Job, JobParameters, Outcome, Roots, async_trait, summary::grouped};
use tidewaiter_proto::v1;

use self::{
    annotations::Annotations,
    choose::{Choice, OfSource, choose},
    digest::sha256,
    inspect::{InspectImagesOperator, Item},
    lineage::Lineage,
    mapping::Mapping,
    quarantine::{Aside, Origin, Owner, Quarantine},
    source::{Listing, Named, Packing, list},
    store::StoreImagesOperator,
};
use crate::table::{IMAGES, SORT_COLUMNS, TAKEN_AT, stored_schema};

/// Files and bytes of files that one task inspects before its answer goes on, at most.
const TASK: (usize, u64) = (256, 64 << 20);

/// Bytes of images that a task holds, at most: they are written as row groups of this size, so that a reader of the table
/// holds no more of it at a time either.
const WRITER_BYTES: usize = 64 << 20;

/// The parameters of an ingest of images.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Folders, TAR (.tar, .tar.gz) and ZIP archives, and image files, as every executor can open them.
    #[arg(required = true)]
    pub files: Vec<String>,
    /// The annotated objects: a COCO JSON file, or a folder of Pascal VOC XML or YOLO text files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub annotations: Option<String>,
    /// The names of YOLO's class numbers, from 0; default: those of classes.txt or data.yaml among the annotations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[arg(long, value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Where site, scanner, time, declaration number and HS code of the images come from (TOML).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub mapping: Option<String>,
    /// The reporting country, where there is no mapping, as ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub country: Option<String>,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "ingest";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("table", IMAGES));
    const ABOUT: &'static str =
        "X-ray images: PNG, JPEG, TIFF or DICOM files in folders, TAR or ZIP archives, with annotations";

    fn paths(&mut self) -> Vec<&mut String> {
        self.files.iter_mut().chain(&mut self.annotations).chain(&mut self.mapping).collect()
    }

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for wrong parameters, and where there is no image;
    /// [`tidewaiter_core::ErrorKind::Corrupt`] where all images are put aside.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let mapping = Mapping::read(self.mapping.as_deref(), self.country.as_deref(), &job.roots)?;
        let (parameters, text, archive) = (self.clone(), mapping.text.clone(), job.archive);
        let made_by = on_cpu(move || made_by(&parameters, text)).await?;
        let reserved = job.step("number sources", numbers::reserve(archive, self.files.len())).await?;
        let origin = Origin {
            archive: archive.clone(),
            job: job.outcome.job.clone(),
            country: mapping.country.clone(),
            ingested_us: job.submitted_ms.saturating_mul(1000),
            first_source: reserved.first,
            mapping: made_by,
        };
        let inspected = job.step("inspect images", inspect_images(job, self, mapping, &origin)).await?;
        let lineage = lineage(&origin, &inspected.named);
        let choice = job.step("choose images", choose_images(job, &inspected, &lineage, &origin)).await?;
        let store = store_images(job, &inspected, &choice, &lineage, &origin);
        let files = job.step("store images", store).await?;
        let records = records(&origin, &lineage, &inspected, &choice);
        let session = job.session("commit images")?;
        let commit = commit(&session, &origin, files, &records, &inspected, &choice);
        let Committed { tables, has_records } = job.step("commit images", commit).await?;
        numbers::settle(archive, reserved, has_records).await?;
        job.outcome.tables.extend(tables);
        finish(job, inspected, choice)
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(images) = outcome.metrics.get(IMAGES) else { return Vec::new() };
        let count = |of: &serde_json::Value| grouped(of.as_u64().unwrap_or(0));
        let rows = outcome.rows;
        let mut lines = vec![
            format!(
                "{} images in = {} archived + {} put aside",
                grouped(rows.read),
                grouped(rows.archived),
                grouped(rows.quarantined)
            ),
            format!(
                "{} with {} annotated objects, {} annotated as clean, {} without annotation",
                count(&images["with_objects"]),
                count(&images["objects"]),
                count(&images["clean"]),
                count(&images["without_annotation"])
            ),
        ];
        let counts =
            |key: &str| outcome.metrics.get(key).and_then(serde_json::Value::as_object).into_iter().flatten();
        lines.extend(
            counts("quarantined").map(|(rule, number)| format!("{:>9} put aside: {rule}", count(number))),
        );
        lines.extend(counts("repaired").map(|(what, number)| format!("{:>9} noted: {what}", count(number))));
        let text = |key: &str| outcome.metrics.get(key).and_then(|text| text.as_str());
        lines.extend(text("first_quarantined").map(|first| format!("first put aside: {first}")));
        if let Some(known) = outcome.metrics.get("ingested_before") {
            lines.push(format!(
                "{} images were in the archive before: nothing is added for them",
                count(known)
            ));
        }
        if let (Some(first), Some(second)) =
            (images["near_pair"][0].as_str(), images["near_pair"][1].as_str())
        {
            let near = count(&images["near"]);
            lines.push(format!("{near} images look like another one, such as {second} like {first}"));
        }
        lines
    }
}

/// What the first pass gave.
#[derive(Debug, Serialize, Deserialize)]
struct Inspected {
    /// The files of inspected images.
    files: Vec<DataFile>,
    /// Images that were listed.
    images: u64,
    /// What they come from.
    named: Vec<Named>,
    /// What was put aside before any image was read.
    aside: Aside,
}

/// What is read before any image is.
struct Listed {
    images: u64,
    named: Vec<Named>,
    tasks: Vec<String>,
    quarantine: Quarantine,
}

/// By what rows are made of the files, as the table of sources keeps it: the mapping, and in comments the annotations.
fn made_by(parameters: &Parameters, mapping: String) -> Result<String> {
    let mut lines = vec![mapping];
    if let Some(path) = &parameters.annotations {
        let place = Path::new(path);
        let digest = place.is_file().then(|| source_digest(place)).transpose()?;
        let digest = digest.map(|digest| format!(", SHA-256 {digest}")).unwrap_or_default();
        lines.push(format!("# annotations: {path:?}{digest}"));
    }
    if !parameters.classes.is_empty() {
        lines.push(format!("# classes: {:?}", parameters.classes));
    }
    Ok(lines.join("\n"))
}

/// The numbers of what was named as sources.
fn lineage(origin: &Origin, named: &[Named]) -> Lineage {
    let begins = named.iter().map(|named| named.first).collect();
    Lineage { first_source: origin.first_source, begins }
}

/// Computes the digests of files and archives, which are read for it once more.
fn with_digests(mut named: Vec<Named>) -> Result<Vec<Named>> {
    for file in named.iter_mut().filter(|named| !named.is_folder) {
        file.digest = Some(source_digest(Path::new(&file.path))?);
    }
    Ok(named)
}

fn inspect_images<'a>(
    job: &Job<'a>,
    parameters: &Parameters,
    mapping: Mapping,
    origin: &'a Origin,
) -> impl Future<Output = Result<Inspected>> + use<'a> {
    let (archive, engine, session) = (job.archive, job.engine, job.session("inspect images"));
    let (work, roots, parameters) = (job.work_folder().to_owned(), job.roots.clone(), parameters.clone());
    async move {
        let session = session?;
        let at_once = engine.most_tasks().await.max(1);
        let Listed { images, named, tasks, quarantine } =
            on_cpu(move || listed(&parameters, &mapping, &roots, at_once)).await?;
        let aside = quarantine.write(origin, &lineage(origin, &named), "listing").await?;
        // It runs beside the query.
        let digests = on_cpu(move || with_digests(named));
        let files = match tasks.len() {
            0 => Vec::new(),
            count => {
                let folder = format!("{work}/files");
                let rows = tasks::spread(&session, archive, &folder, &tasks, at_once.min(count)).await?;
                let rows = plan::apply(rows, InspectImagesOperator)?;
                let message = v1::WriteOperator {
                    archive: archive.url().to_string(),
                    table: inspected_folder(&work),
                    country: origin.country.clone(),
                    name: origin.job.clone(),
                    ..v1::WriteOperator::default()
                };
                plan::reports::<Vec<DataFile>>(plan::apply(rows, WriteOperator::new(message)?)?)
                    .await?
                    .concat()
            }
        };
        Ok(Inspected { files, images, named: digests.await?, aside })
    }
}

/// The folder of the files of inspected images.
fn inspected_folder(work: &str) -> String {
    format!("{work}/inspected")
}

/// Lists the images with what is known of them, in tasks for `at_once` partitions.
fn listed(parameters: &Parameters, mapping: &Mapping, roots: &Roots, at_once: usize) -> Result<Listed> {
    let Listing { named, sources, refused, passed_over } = list(&parameters.files)?;
    let mut quarantine = Quarantine::default();
    let images = (sources.len() + refused.len()) as u64;
    if images == 0 {
        return Err(Error::input(format!(
            "there is no image in {}; give PNG, JPEG, TIFF or DICOM files",
            parameters.files.join(", ")
        )));
    }
    if passed_over > 0 {
        tracing::info!(files = passed_over, "hidden files and descriptions among the images are passed over");
    }
    let begins = named.iter().map(|named| named.first_refused).collect();
    let of_refused = Lineage { first_source: 0, begins };
    for (number, refusal) in (0..).zip(refused) {
        quarantine.image(Owner::Source(of_refused.place(number)), refusal);
    }
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let annotations = match &parameters.annotations {
        Some(path) => Annotations::read(path, &parameters.classes, roots)?,
        None => Annotations::default(),
    };
    let (of_images, unused) = annotations.of(&names);
    let (attributes, unknown) = mapping.attributes(&sources);
    unused.into_iter().chain(unknown).for_each(|refusal| quarantine.description(Owner::Nobody, refusal));
    let mut items = Vec::new();
    for (number, ((source, attributes), annotation)) in
        (0..).zip(sources.into_iter().zip(attributes).zip(of_images))
    {
        match attributes {
            Ok(attributes) => items.push(Item { number, source, attributes, annotation }),
            Err(refusal) => quarantine.image(Owner::Image(number), refusal),
        }
    }
    Ok(Listed { images, named, tasks: tasks_of(items, at_once)?, quarantine })
}

/// The tasks in which images are inspected. They are in the order of time, so that each one writes one month after the
/// other into few large files; members of a gzip stream stay in their order.
fn tasks_of(mut items: Vec<Item>, at_once: usize) -> Result<Vec<String>> {
    items.sort_by_key(|item| match item.source.packing {
        Packing::InGzip => (1, 0),
        Packing::Plain | Packing::Deflated => (0, item.attributes.taken_at),
    });
    let most = items.len().div_ceil(at_once * 8).clamp(1, TASK.0);
    let (mut tasks, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (place, item) in items.iter().enumerate() {
        bytes += item.source.size;
        if place + 1 - begin == most || bytes >= TASK.1 || place + 1 == items.len() {
            tasks.push(serde_json::to_string(&items[begin..=place])?);
            (begin, bytes) = (place + 1, 0);
        }
    }
    Ok(tasks)
}

/// A query of the inspected images, one partition for each file, in the order of their numbers.
fn inspected_images(
    session: &SessionContext,
    archive: &Archive,
    work: &str,
    files: &[DataFile],
) -> Result<Option<DataFrame>> {
    if files.is_empty() {
        return Ok(None);
    }
    let folder = inspected_folder(work);
    let files = files.iter();
    let files =
        files.map(|file| v1::ParquetFile { path: format!("{folder}/{}", file.path), size: file.size });
    tasks::scan(session, archive, files.collect(), inspect::schema(), true).map(Some)
}

fn choose_images<'a>(
    job: &Job<'a>,
    inspected: &'a Inspected,
    lineage: &'a Lineage,
    origin: &'a Origin,
) -> impl Future<Output = Result<Choice>> + use<'a> {
    let (archive, session) = (job.archive, job.session("choose images"));
    let work = job.work_folder().to_owned();
    async move {
        let session = session?;
        Table::open_or_create(archive, IMAGES, &stored_schema()).await?;
        let rows = inspected_images(&session, archive, &work, &inspected.files)?;
        choose(&session, origin, lineage, rows).await
    }
}

fn store_images<'a>(
    job: &Job<'a>,
    inspected: &'a Inspected,
    choice: &'a Choice,
    lineage: &'a Lineage,
    origin: &'a Origin,
) -> impl Future<Output = Result<Vec<DataFile>>> + use<'a> {
    let (archive, engine, session) = (job.archive, job.engine, job.session("store images"));
    let work = job.work_folder().to_owned();
    async move {
        let session = session?;
        let Some(rows) = inspected_images(&session, archive, &work, &inspected.files)? else {
            return Ok(Vec::new());
        };
        if choice.archived == 0 {
            return Ok(Vec::new());
        }
        let message = messages::StoreImagesOperator {
            left_out: choice.left_out.clone(),
            first_source: lineage.first_source,
            begins: lineage.begins.clone(),
        };
        let rows = plan::apply(rows, StoreImagesOperator::new(message))?;
        let message = v1::WriteOperator {
            archive: archive.url().to_string(),
            table: IMAGES.to_owned(),
            country: origin.country.clone(),
            date_column: TAKEN_AT.to_owned(),
            sort_columns: SORT_COLUMNS.map(str::to_owned).to_vec(),
            name: origin.job.clone(),
            memory_bytes: engine.task_memory().min(WRITER_BYTES) as u64,
        };
        Ok(plan::reports::<Vec<DataFile>>(plan::apply(rows, WriteOperator::new(message)?)?).await?.concat())
    }
}

/// The records of the sources of which the archive did not have all images.
fn records(origin: &Origin, lineage: &Lineage, inspected: &Inspected, choice: &Choice) -> Vec<SourceRecord> {
    let mapping_digest = sha256(origin.mapping.as_bytes());
    let none = OfSource { digest: digest::of_files([]), ..OfSource::default() };
    let count = |images: u64| i64::try_from(images).unwrap_or(i64::MAX);
    let record = |(place, named): (usize, &Named)| {
        let OfSource { digest, archived, known } = choice.sources.get(&place).unwrap_or(&none);
        let read = named.images.checked_sub(*known).filter(|read| *read > 0)?;
        Some(SourceRecord {
            number: lineage.source(place),
            country: origin.country.clone(),
            table: IMAGES.to_owned(),
            file: named.path.clone(),
            digest: named.digest.as_ref().unwrap_or(digest).clone(),
            mapping_digest: mapping_digest.clone(),
            mapping: origin.mapping.clone(),
            job: origin.job.clone(),
            ingested_us: origin.ingested_us,
            read: count(read),
            archived: count(*archived),
            quarantined: count(read.saturating_sub(*archived)),
            replaced: 0,
        })
    };
    inspected.named.iter().enumerate().filter_map(record).collect()
}

/// Whether the archive has records of the same: of the same bytes of each source as much was put aside under the same
/// mapping. It can have been more: a second copy of an image is put aside once, and is known afterwards.
async fn are_known(session: &SessionContext, archive: &Archive, records: &[SourceRecord]) -> Result<bool> {
    let digests: Vec<&str> = records.iter().map(|record| record.digest.as_str()).collect();
    let known = sources_with_digests(session, archive, IMAGES, &digests).await?;
    let is_of = |record: &SourceRecord, known: &SourceRecord| {
        (&known.digest, &known.mapping_digest) == (&record.digest, &record.mapping_digest)
            && known.quarantined >= record.quarantined
    };
    Ok(records.iter().all(|record| known.iter().any(|known| is_of(record, known))))
}

/// What a commit came to.
#[derive(Debug, Serialize, Deserialize)]
struct Committed {
    /// The tables with their versions.
    tables: Vec<String>,
    /// Whether there are new records of sources.
    has_records: bool,
}

/// Makes the images, what is put aside and the records visible together. Where no image is new, and all else was put aside
/// before, nothing is added.
async fn commit(
    session: &SessionContext,
    origin: &Origin,
    images: Vec<DataFile>,
    records: &[SourceRecord],
    inspected: &Inspected,
    choice: &Choice,
) -> Result<Committed> {
    let name = format!("{}-images", origin.job);
    let aside = [inspected.aside.files.clone(), choice.aside.files.clone()].concat();
    let sources = Table::open_or_create(&origin.archive, SOURCES, &sources_schema()).await?;
    let is_known = choice.archived == 0 && are_known(session, &origin.archive, records).await?;
    let (aside, records) = match is_known {
        true => (Vec::new(), Vec::new()),
        false => (aside, write_sources(&origin.archive, &name, records).await?),
    };
    let has_records = !records.is_empty();
    let change = |adds: Vec<DataFile>, sources: Vec<SourceChange>| Change {
        adds,
        sources,
        operation: Parameters::KIND.to_owned(),
        changes_rows: true,
        ..Change::default()
    };
    let (digest, from) = (choice.digest.clone(), choice.revision);
    let set = SourceChange { digest, from, to: SourceState::Archived };
    let table = Table::open(&origin.archive, IMAGES).await?;
    let quarantine = Table::open_or_create(&origin.archive, QUARANTINE, &quarantine_table_schema()).await?;
    let mut changes = Vec::new();
    if !images.is_empty() {
        changes.push((&table, change(images, vec![set])));
    }
    if !aside.is_empty() {
        changes.push((&quarantine, change(aside, Vec::new())));
    }
    if has_records {
        changes.push((&sources, change(records, Vec::new())));
    }
    if !changes.is_empty() {
        match commit_group(&origin.archive, &name, changes).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let text =
                    "another job has added the same images meanwhile; run this again: none is added twice";
                return Err(Error::conflict(text).with_source(error));
            }
            committed => committed?,
        };
    }
    Ok(Committed { tables: vec![format!("{IMAGES}@{}", table.version().await?)], has_records })
}

/// Notes in the outcome what became of the images.
fn finish(job: &mut Job<'_>, inspected: Inspected, choice: Choice) -> Result<()> {
    let mut tally = inspected.aside.tally;
    tally.merge(choice.aside.tally);
    job.outcome.rows.read = inspected.images - choice.known;
    job.outcome.rows.archived = choice.archived;
    job.outcome.rows.quarantined = tally.images;
    let metrics = &mut job.outcome.metrics;
    let figures = json!({
        "with_objects": choice.with_objects,
        "objects": choice.objects,
        "clean": choice.clean,
        "without_annotation": choice.without_annotation,
        "near": choice.near,
        "near_pair": choice.near_pair,
    });
    metrics.insert(IMAGES.to_owned(), figures);
    if !tally.rules.is_empty() {
        metrics.insert("quarantined".to_owned(), json!(tally.rules));
    }
    if let Some(first) = &tally.first {
        metrics.insert("first_quarantined".to_owned(), json!(first));
    }
    if !choice.repairs.is_empty() {
        metrics.insert("repaired".to_owned(), json!(choice.repairs));
    }
    if choice.known > 0 {
        metrics.insert("ingested_before".to_owned(), json!(choice.known));
    }
    if choice.archived == 0 && choice.known == 0 {
        return Err(Error::corrupt(format!(
            "all {} images are put aside; first: {}; the table {QUARANTINE} has the reasons",
            tally.images,
            tally.first.unwrap_or_default()
        )));
    }
    Ok(())
}
