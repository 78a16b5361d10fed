//! Identity resolution: which travellers of all messages and flights are one person.
//!
//! Travellers of the same pseudonyms have one identity. Identities meet under keys ([`compared`]), those of a key are
//! compared as Fellegi and Sunter do (the crate `tidewaiter-linkage`), and the links become persons without contradictions
//! of births ([`clusters`]). The weights are found on the archive itself: those of other pairs on travellers drawn at
//! random, those of matches by expectation and maximisation.
//!
//! Keys are gathered by the engine, which spills to disk, and a block is compared at a time; the job's process holds the
//! links and nothing of travellers without one. The table of persons is written anew, so that the same archive gives the
//! same persons. Travellers of one message are never one trip. Start at [`Parameters`].

mod clusters;
mod compared;
pub mod operators;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use clap::Args;
use datafusion::{
    functions_aggregate::expr_fn::{array_agg, count},
    prelude::{DataFrame, SessionContext, col, lit},
};
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{
    Archive, DataFile, Table,
    provider::snapshot_provider,
    schema::Layout,
    table::{Change, finish_groups},
    tasks,
    write_operator::WriteOperator,
};
use tidewaiter_core::{
    Error, Result, plan,
    query::{Plan as _, Run as _},
    threads::on_cpu,
};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_linkage::weights::Model;
use tidewaiter_proto::v1;

use self::{
    clusters::{Clusters, linked},
    compared::{COMPARISONS, patterns},
    operators::{IdentityOperator, KeysOperator, PairsOperator, Seen, Wanted, links_schema},
};
use crate::{
    own_files::OwnFiles,
    table::{CONTACTS, DOCUMENTS, FLIGHT_DATE, IDENTITIES, MESSAGES, PERSONS, TRAVELLERS},
};

/// The parameters of a linking.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The reporting country; default: the only one that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub country: Option<String>,
    /// Probability from which two travellers are linked; default: 0.95.
    #[serde(default = "threshold")]
    #[arg(long, required = false)]
    pub threshold: f64,
}

fn threshold() -> f64 {
    0.95
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "passengers";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("task", "link"));
    const ABOUT: &'static str = "Find which travellers of all messages and flights are one person";

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for parameters out of range, and for several countries of which none is
    /// named; [`tidewaiter_core::ErrorKind::NotFound`] without messages.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        if !(0.5..1.0).contains(&self.threshold) {
            return Err(Error::input(format!("--threshold is {}; give 0.5 to 1", self.threshold)));
        }
        finish_groups(job.archive).await?;
        let country = country_of(job.archive, self.country.as_deref()).await?;
        let gathered = job.step("gather travellers", gather(job, &country)).await?;
        let seen = job.step("compare", compare(job, &gathered)).await?;
        let fitted = fitted(&seen, gathered.identities);
        let linked = job.step("link", link(job, &gathered, &fitted, self.threshold)).await?;
        let files = job.step("write persons", persons(job, &gathered, &linked, &country)).await?;
        let version = job.step("commit persons", commit(job, &country, files)).await?;
        job.outcome.tables.push(format!("{}@{version}", PERSONS.table));
        finish(job, &gathered, &seen, &fitted, &linked);
        Ok(())
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(figures) = outcome.metrics.get("link") else { return Vec::new() };
        let count = |name: &str| grouped(figures[name].as_u64().unwrap_or(0));
        vec![
            format!("{} travellers of messages have {} identities", count("travellers"), count("identities")),
            format!(
                "{} pairs were compared, {} are links, {} were refused because births contradict each other",
                count("pairs"),
                count("links"),
                count("refused")
            ),
            format!(
                "{} persons; {} keys were shared by too many to say anything",
                count("persons"),
                count("left_out")
            ),
        ]
    }
}

/// The reporting country whose rows are meant.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] without messages; [`tidewaiter_core::ErrorKind::Input`] where none is named
/// and there are several.
pub async fn country_of(archive: &Archive, named: Option<&str>) -> Result<String> {
    let files = Table::open(archive, MESSAGES.table).await?.snapshot(None).await?.files;
    let mut countries: Vec<&str> = files.iter().map(|file| file.country.as_str()).collect();
    countries.sort_unstable();
    countries.dedup();
    match (named, countries.as_slice()) {
        (Some(named), known) if known.contains(&named) => Ok(named.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (_, []) => {
            Err(Error::not_found("there are no messages; `tidewaiter ingest passengers` brings them in"))
        }
        (_, known) => {
            Err(Error::input(format!("name the country by --country: one of {}", known.join(", "))))
        }
    }
}

/// Travellers with what they are compared by.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Gathered {
    /// Of each month.
    months: Vec<OwnFiles>,
    identities: u64,
}

impl Gathered {
    fn travellers(&self) -> u64 {
        self.months.iter().map(OwnFiles::rows).sum()
    }

    /// The travellers of all months.
    fn scan(&self, session: &SessionContext, archive: &Archive) -> Result<DataFrame> {
        let files = self.months.iter().flat_map(OwnFiles::parquet).collect();
        tasks::scan(session, archive, files, gathered_schema(), false)
    }
}

/// The columns of gathered travellers.
fn gathered_schema() -> SchemaRef {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("traveller_id", false),
        text("message_id", false),
        Field::new(FLIGHT_DATE, DataType::Date32, false),
        text("flight_id", false),
        Field::new("place", DataType::Int32, false),
        text("name_key", true),
        text("document_key", true),
        text("phone", true),
        text("email", true),
        text("surname", true),
        text("given", true),
        text("birth", true),
        Field::new("rank", DataType::Int64, false),
        Field::new("prepared", DataType::Int64, false),
        Field::new("identity", DataType::Int64, false),
    ]))
}

async fn register(session: &SessionContext, archive: &Archive, tables: &[(&str, &Layout)]) -> Result<()> {
    for (name, layout) in tables {
        session.register_table(*name, snapshot_provider(archive, layout.table, None).await?)?;
    }
    Ok(())
}

/// The travellers of a month. All that a message says is stored in the month of its flight, so that a month is joined
/// with itself. Of several documents of a traveller the passport counts; a booking's contacts are those of its only
/// traveller.
fn gather_query(country: &str, month: i32) -> String {
    let (country, year, month) =
        (country.replace('\'', "''"), month.div_euclid(12), month.rem_euclid(12) + 1);
    let of = |table: &str| {
        format!("{table}country = '{country}' AND {table}year = {year} AND {table}month = {month}")
    };
    let (own, of_t, of_m, of_c) = (of(""), of("t."), of("m."), of("c."));
    format!(
        "WITH own_documents AS (
            SELECT traveller_id, min(concat(CASE WHEN kind = 'passport' THEN '0' ELSE '1' END, document_key)) AS document
            FROM documents WHERE {own} AND traveller_id IS NOT NULL AND document_key IS NOT NULL
            GROUP BY traveller_id),
        own_contacts AS (
            SELECT traveller_id, min(CASE WHEN kind = 'phone' THEN contact_key END) AS phone,
                min(CASE WHEN kind = 'email' THEN contact_key END) AS email
            FROM contacts WHERE {own} AND role = 'traveller' AND traveller_id IS NOT NULL
            GROUP BY traveller_id),
        alone AS (
            SELECT booking_id, message_id, min(traveller_id) AS traveller_id
            FROM travellers WHERE {own} AND booking_id IS NOT NULL
            GROUP BY booking_id, message_id HAVING count(*) = 1),
        of_booking AS (
            SELECT a.traveller_id, min(CASE WHEN c.kind = 'phone' THEN c.contact_key END) AS phone,
                min(CASE WHEN c.kind = 'email' THEN c.contact_key END) AS email
            FROM contacts c JOIN alone a ON a.booking_id = c.booking_id AND a.message_id = c.message_id
            WHERE {of_c} AND c.role = 'traveller' AND c.traveller_id IS NULL GROUP BY a.traveller_id)
        SELECT t.traveller_id, t.message_id, t.flight_date, t.flight_id, t.segment AS place, t.name_key,
            substr(d.document, 2) AS document_key, coalesce(o.phone, b.phone) AS phone, coalesce(o.email, b.email) AS email,
            n.value AS surname, n.given, n.birth,
            CASE m.kind WHEN 'PNRGOV' THEN 0 WHEN 'PNR-XML' THEN 1 WHEN 'PAXLST' THEN 2 ELSE 3 END AS rank,
            coalesce(CAST(m.prepared AS BIGINT), 0) AS prepared
        FROM travellers t JOIN messages m ON m.message_id = t.message_id
            LEFT JOIN own_documents d ON d.traveller_id = t.traveller_id
            LEFT JOIN own_contacts o ON o.traveller_id = t.traveller_id
            LEFT JOIN of_booking b ON b.traveller_id = t.traveller_id
            LEFT JOIN (SELECT * FROM identities WHERE {own} AND kind = 'name') n ON n.owner_id = t.traveller_id
        WHERE {of_t} AND {of_m}"
    )
}

fn gather<'a>(job: &Job<'a>, country: &'a str) -> impl Future<Output = Result<Gathered>> + use<'a> {
    let (archive, session) = (job.archive, job.session("gather travellers"));
    let (folder, id) = (format!("{}/travellers", job.work_folder()), job.outcome.job.clone());
    async move {
        let session = session?;
        let tables = [
            ("travellers", &TRAVELLERS),
            ("messages", &MESSAGES),
            ("documents", &DOCUMENTS),
            ("contacts", &CONTACTS),
            ("identities", &IDENTITIES),
        ];
        register(&session, archive, &tables).await?;
        let files = Table::open(archive, TRAVELLERS.table).await?.snapshot(None).await?.files;
        let own = files.iter().filter(|file| file.country == country);
        let months: BTreeSet<i32> = own.map(DataFile::month_number).collect();
        let mut gathered = Gathered { months: Vec::new(), identities: 0 };
        for month in months {
            let rows = plan::apply(session.query(&gather_query(country, month)).await?, IdentityOperator)?;
            gathered.months.push(OwnFiles::write(archive, rows, &folder, &format!("{id}-{month}")).await?);
        }
        let identities = gathered.scan(&session, archive)?.select_columns(&["identity"])?;
        gathered.identities = identities.distinct()?.row_count().await? as u64;
        Ok(gathered)
    }
}

/// The blocks of identities that share a key.
async fn blocks(session: &SessionContext, archive: &Archive, gathered: &Gathered) -> Result<DataFrame> {
    session.register_table("gathered", gathered.scan(session, archive)?.into_view())?;
    let columns = operators::COLUMNS.map(|name| format!("min({name}) AS {name}")).join(", ");
    let identities =
        session.query(&format!("SELECT identity, {columns} FROM gathered GROUP BY identity")).await?;
    let keyed = plan::apply(identities, KeysOperator::new(gathered.identities))?;
    let blocks = keyed.aggregate(
        vec![col("key")],
        vec![array_agg(col("row")).alias("rows"), count(col("row")).alias("size")],
    )?;
    Ok(blocks.filter(col("size").gt(lit(1_i64)))?.select_columns(&["key", "rows"])?)
}

fn compare<'a>(job: &Job<'a>, gathered: &'a Gathered) -> impl Future<Output = Result<Seen>> + use<'a> {
    let (archive, session) = (job.archive, job.session("compare"));
    async move {
        let session = session?;
        let pairs =
            plan::apply(blocks(&session, archive, gathered).await?, PairsOperator::new(Wanted::Patterns))?;
        let mut seen = Seen::default();
        for part in plan::reports::<Seen>(pairs).await? {
            seen.shared.extend(part.shared);
            seen.at_random.extend(part.at_random);
            seen.left_out += part.left_out;
        }
        Ok(seen)
    }
}

/// The weights that are estimated from the pairs of so many identities.
fn fitted(seen: &Seen, identities: u64) -> Model {
    let levels: Vec<usize> = COMPARISONS.iter().map(|comparison| comparison.levels()).collect();
    let (shared, at_random) = (patterns([seen.shared.clone()]), patterns([seen.at_random.clone()]));
    let identities = identities as f64;
    Model::initial(&levels).fitted_beside(&shared, &at_random, identities * (identities - 1.0) / 2.0)
}

/// The persons of identities that have a link.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LinkedPersons {
    /// The file of identities and persons; none without links.
    file: Option<(String, u64)>,
    links: u64,
    refused: u64,
    /// Identities that have a link, and their persons.
    identities: u64,
    persons: u64,
}

fn persons_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("identity", DataType::Int64, false),
        Field::new("person", DataType::Int64, false),
    ]))
}

fn link<'a>(
    job: &Job<'a>,
    gathered: &'a Gathered,
    model: &'a Model,
    threshold: f64,
) -> impl Future<Output = Result<LinkedPersons>> + use<'a> {
    let (archive, session) = (job.archive, job.session("link"));
    let (folder, id) = (format!("{}/links", job.work_folder()), job.outcome.job.clone());
    async move {
        let session = session?;
        let wanted = Wanted::links(model, threshold);
        let pairs = plan::apply(blocks(&session, archive, gathered).await?, PairsOperator::new(wanted))?;
        let files = OwnFiles::write(archive, pairs, &folder, &id).await?;
        let links = files.scan(&session, archive, links_schema())?.distinct()?;
        let mut batches = links.batch_stream().await?;
        let mut all = Vec::new();
        while let Some(batch) = batches.next().await {
            all.extend(linked(&batch?)?);
        }
        let links = all.len() as u64;
        let Clusters { persons, refused } = on_cpu(move || Ok(Clusters::of(all))).await?;
        let mut numbers: Vec<u64> = persons.iter().map(|(_, person)| *person).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let (identities, count) = (persons.len() as u64, numbers.len() as u64);
        let file =
            if persons.is_empty() { None } else { Some(write_persons(archive, &folder, &persons).await?) };
        Ok(LinkedPersons { file, links, refused, identities, persons: count })
    }
}

async fn write_persons(archive: &Archive, folder: &str, persons: &[(u64, u64)]) -> Result<(String, u64)> {
    let column = |of: fn(&(u64, u64)) -> u64| {
        Arc::new(Int64Array::from_iter_values(persons.iter().map(|pair| of(pair) as i64)))
    };
    let rows = RecordBatch::try_new(persons_schema(), vec![column(|pair| pair.0), column(|pair| pair.1)])?;
    let mut writer = ArrowWriter::try_new(Vec::new(), persons_schema(), None)?;
    writer.write(&rows)?;
    let bytes = writer.into_inner()?;
    let (path, size) = (format!("{folder}/persons.parquet"), bytes.len() as u64);
    archive.put(&path, bytes).await?;
    Ok((path, size))
}

/// A trip is a person on a flight; a second traveller of one message who would be the same person has a trip of its own.
const TRIPS: &str = "WITH named AS (
        SELECT g.*, coalesce(p.person, g.identity) AS person FROM gathered g LEFT JOIN persons p ON p.identity = g.identity),
    placed AS (
        SELECT *, row_number() OVER (PARTITION BY message_id, person ORDER BY place, traveller_id) AS number FROM named),
    ranked AS (
        SELECT *, row_number() OVER (PARTITION BY flight_id, person, number ORDER BY rank, prepared DESC, traveller_id)
            AS standing
        FROM placed)
    SELECT traveller_id, flight_date,
        substr(md5(concat(flight_id, '/', CAST(person AS VARCHAR), '/', CAST(number AS VARCHAR))), 1, 16) AS trip_id,
        lpad(to_hex(person), 16, '0') AS person_id, standing = 1 AS is_primary
    FROM ranked";

fn persons<'a>(
    job: &Job<'a>,
    gathered: &'a Gathered,
    linked: &'a LinkedPersons,
    country: &'a str,
) -> impl Future<Output = Result<Vec<DataFile>>> + use<'a> {
    let (archive, session, id) = (job.archive, job.session("write persons"), job.outcome.job.clone());
    let memory_bytes = job.engine.task_memory() as u64;
    async move {
        let session = session?;
        Table::open_or_create(archive, PERSONS.table, &(PERSONS.schema)()).await?;
        let files =
            linked.file.iter().map(|(path, size)| v1::ParquetFile { path: path.clone(), size: *size });
        let persons = tasks::scan(&session, archive, files.collect(), persons_schema(), false)?;
        session.register_table("persons", persons.into_view())?;
        let mut written = Vec::new();
        for (number, month) in gathered.months.iter().enumerate() {
            session.deregister_table("gathered")?;
            session
                .register_table("gathered", month.scan(&session, archive, gathered_schema())?.into_view())?;
            let writer = WriteOperator::new(v1::WriteOperator {
                archive: archive.url().to_string(),
                table: PERSONS.table.to_owned(),
                country: country.to_owned(),
                date_column: FLIGHT_DATE.to_owned(),
                sort_columns: PERSONS.sort_columns.iter().map(|name| (*name).to_owned()).collect(),
                name: format!("{id}-{number}"),
                memory_bytes,
            })?;
            let rows = plan::apply(session.query(TRIPS).await?, writer)?;
            written.extend(plan::reports::<Vec<DataFile>>(rows).await?.concat());
        }
        Ok(written)
    }
}

/// Puts the persons in place of those of before.
fn commit<'a>(
    job: &Job<'a>,
    country: &'a str,
    files: Vec<DataFile>,
) -> impl Future<Output = Result<u64>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let table = Table::open(archive, PERSONS.table).await?;
        let before = table.snapshot(None).await?.files;
        let change = Change {
            removes: before.into_iter().filter(|file| file.country == country).collect(),
            adds: files,
            operation: "link".to_owned(),
            changes_rows: true,
            once: Some(format!("{id}-persons")),
            ..Change::default()
        };
        table.change(&change).await?;
        table.version().await
    }
}

fn finish(job: &mut Job<'_>, gathered: &Gathered, seen: &Seen, model: &Model, linked: &LinkedPersons) {
    let pairs: u64 = seen.shared.iter().map(|(_, count)| *count).sum();
    let names = operators::COLUMNS;
    let weights: serde_json::Map<String, serde_json::Value> = names
        .iter()
        .zip(&model.fields)
        .map(|(name, field)| ((*name).to_owned(), json!({ "matches": field.m, "others": field.u })))
        .collect();
    let figures = json!({
        "travellers": gathered.travellers(),
        "identities": gathered.identities,
        "pairs": pairs,
        "links": linked.links,
        "refused": linked.refused,
        "left_out": seen.left_out,
        "persons": gathered.identities - linked.identities + linked.persons,
        "share_of_matches": model.matches,
        "weights": weights,
    });
    job.outcome.rows.read = gathered.travellers();
    job.outcome.metrics.insert("link".to_owned(), figures);
}
