//! The queries that make a network: what each traveller used, who shares it, and who is linked with whom.
//!
//! All heavy work is done by plans of the engine, on whatever machines it has: what a traveller used is grouped and
//! written to files of the job once; joins are joins of sorted rows, which spill. What more than a given number of
//! travellers share links nobody: such hubs (a hotel's address, a large agency) say little and would make links in the
//! square of their number. Start at [`used`], then [`Shared::links`].

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Date32Type, Field, Int64Type, Schema, SchemaRef},
};
use datafusion::prelude::{DataFrame, Expr, SessionContext, col, lit};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_core::{
    Error, Period, Result, ResultExt, answers,
    query::{Plan as _, Run as _},
};

use super::{
    kind::Kind,
    people::{Facts, Link, People},
};
use crate::{own_files::OwnFiles, table, view};

/// The columns of what travellers used.
fn used_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("person", DataType::Utf8, true),
        Field::new("kind", DataType::Utf8, true),
        Field::new("key", DataType::Utf8, true),
        Field::new("first", DataType::Date32, true),
        Field::new("last", DataType::Date32, true),
    ]))
}

/// What a sort keeps free to merge what it spilled, in bytes. A plan of joins of sorted rows has some hundred sorts, each
/// with two partitions: the engine's 10 MiB for each would be all the memory that there is.
const SORT_RESERVE: &str = "1048576";

/// Makes joins of a session joins of sorted rows, whose memory has a bound that many of them can share.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] where the engine has no such setting.
pub fn bound_joins(session: &SessionContext) -> Result<()> {
    let state = session.state_ref();
    let mut state = state.write();
    let options = state.config_mut().options_mut();
    options.set("datafusion.optimizer.prefer_hash_join", "false")?;
    options.set("datafusion.execution.sort_spill_reservation_bytes", SORT_RESERVE)?;
    // A cluster's adaptive planner waits for ever for stages that it has planned away, as it does where a join of these
    // turns out to be empty. One process has no such setting, so that there is nothing to set.
    let _ = options.set("ballista.planner.adaptive.enabled", "false");
    Ok(())
}

/// The trips of countries in some months.
async fn trips(
    session: &SessionContext,
    archive: &Archive,
    countries: &[String],
    months: Option<Period>,
) -> Result<DataFrame> {
    of_countries(view::trips(session, archive).await?, countries, months)
}

fn of_countries(rows: DataFrame, countries: &[String], months: Option<Period>) -> Result<DataFrame> {
    let countries = countries.iter().map(lit).collect();
    let rows = rows.filter(col("country").in_list(countries, false))?;
    let Some(months) = months else { return Ok(rows) };
    let day = |day: i32| lit(datafusion::common::ScalarValue::Date32(Some(day)));
    let days = months.days();
    Ok(rows.filter(col(table::FLIGHT_DATE).between(day(*days.start()), day(*days.end())))?)
}

/// Each thing of the kinds wanted that a traveller used: `person`, `kind`, `key` and `day`, a row for each use.
async fn uses(
    session: &SessionContext,
    archive: &Archive,
    countries: &[String],
    months: Option<Period>,
    kinds: &[Kind],
) -> Result<DataFrame> {
    let row = |kind: Kind, key: &str| {
        vec![
            col("person_id").alias("person"),
            lit(kind.name()).alias("kind"),
            col(key).alias("key"),
            col(table::FLIGHT_DATE).alias("day"),
        ]
    };
    let mut all: Option<DataFrame> = None;
    for kind in kinds {
        let (rows, key) = match kind {
            Kind::Travel => (view::trips(session, archive).await?, "booking_id"),
            Kind::Contact => {
                let kinds = vec![lit("phone"), lit("email")];
                let contacts = view::of_trips(session, archive, &table::CONTACTS).await?;
                (contacts.filter(col("kind").in_list(kinds, false))?, "contact_key")
            }
            Kind::Address => {
                let contacts = view::of_trips(session, archive, &table::CONTACTS).await?;
                (contacts.filter(col("kind").eq(lit("address")))?, "contact_key")
            }
            Kind::Payment => (view::of_trips(session, archive, &table::PAYMENTS).await?, "account_key"),
            Kind::Document => (view::of_trips(session, archive, &table::DOCUMENTS).await?, "document_key"),
            Kind::Agency => (view::agencies_of_trips(session, archive).await?, "agency_key"),
        };
        let rows = of_countries(rows, countries, months)?;
        let rows = rows.filter(col(key).is_not_null().and(col("person_id").is_not_null()))?;
        let rows = rows.select(row(*kind, key))?;
        all = Some(match all {
            None => rows,
            Some(all) => all.union(rows)?,
        });
    }
    all.ok_or_else(|| Error::input("a network needs one kind of links at least"))
}

/// What travellers used, in files of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shared {
    files: OwnFiles,
}

/// Finds what each traveller of some countries used in some months, and writes it to a folder of the archive.
///
/// # Errors
/// Those of the query; [`tidewaiter_core::ErrorKind::NotFound`] where the archive has no travellers.
pub async fn used(
    session: &SessionContext,
    archive: &Archive,
    (countries, months): (&[String], Option<Period>),
    kinds: &[Kind],
    folder: &str,
) -> Result<Shared> {
    bound_joins(session)?;
    let uses = uses(session, archive, countries, months, kinds).await?;
    Shared::of(session, archive, uses, folder).await
}

impl Shared {
    /// Groups uses, which are rows of `person`, `kind`, `key` and `day`, and writes them to a folder.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn of(
        session: &SessionContext,
        archive: &Archive,
        uses: DataFrame,
        folder: &str,
    ) -> Result<Self> {
        session.register_table("uses", uses.into_view())?;
        let grouped = session
            .query(
                "SELECT person, kind, key, min(day) AS first, max(day) AS last FROM uses GROUP BY person, kind, key",
            )
            .await?;
        let files = OwnFiles::write(archive, grouped, folder, "used").await;
        Ok(Self { files: files.context(|| "find what travellers used")? })
    }

    /// Rows of a traveller and something used.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.rows()
    }

    /// Makes the table `used` and, of some travellers, `wanted` known to a session.
    async fn register(
        &self,
        session: &SessionContext,
        archive: &Archive,
        wanted: Option<(&[String], &str)>,
    ) -> Result<()> {
        bound_joins(session)?;
        let used = self.files.scan(session, archive, used_schema())?;
        session.deregister_table("used")?;
        session.register_table("used", used.into_view())?;
        if let Some((people, folder)) = wanted {
            let people = tasks::spread(session, archive, folder, people, 1).await?;
            session.deregister_table("wanted")?;
            session.register_table("wanted", people.into_view())?;
        }
        Ok(())
    }

    /// Those who share something of some kinds with some travellers, sorted; `most` are the travellers that may share one
    /// thing.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn neighbours(
        &self,
        session: &SessionContext,
        archive: &Archive,
        (people, folder): (&[String], &str),
        (kinds, most): (&[Kind], u32),
    ) -> Result<Vec<String>> {
        if people.is_empty() || kinds.is_empty() {
            return Ok(Vec::new());
        }
        self.register(session, archive, Some((people, folder))).await?;
        let names: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.name())).collect();
        let text = format!(
            "{} SELECT DISTINCT person FROM shared WHERE kind IN ({}) ORDER BY person",
            shared(most, true),
            names.join(", ")
        );
        let mut found = Vec::new();
        for batch in session.query(&text).await?.batches().await.context(|| "find who shares something")? {
            found.extend(texts(&batch, "person")?.into_iter().flatten());
        }
        Ok(found)
    }

    /// The links between travellers: all of them, or only some with their links among themselves, who are then there
    /// without a link, too.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn links(
        &self,
        session: &SessionContext,
        archive: &Archive,
        wanted: Option<(&[String], &str)>,
        most: u32,
    ) -> Result<People> {
        let mut people = People::default();
        if let Some((wanted, _)) = wanted {
            wanted.iter().for_each(|name| {
                people.number(name);
            });
            if wanted.is_empty() {
                return Ok(people);
            }
        }
        self.register(session, archive, wanted).await?;
        let inside = match wanted {
            Some(_) => " AND a.person IN (SELECT task FROM wanted) AND b.person IN (SELECT task FROM wanted)",
            None => "",
        };
        let text = format!(
            "{} SELECT a.person AS one, b.person AS other, a.kind AS kind, count(*) AS shared, \
             min(greatest(a.first, b.first)) AS first, max(greatest(a.last, b.last)) AS last \
             FROM shared a JOIN shared b ON a.kind = b.kind AND a.key = b.key \
             WHERE a.person < b.person{inside} GROUP BY a.person, b.person, a.kind ORDER BY one, other, kind",
            shared(most, wanted.is_some())
        );
        let mut rows = session.query(&text).await?.batch_stream().await?;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(Error::from).context(|| "link travellers")?;
            let (ones, others, kinds) =
                (texts(&batch, "one")?, texts(&batch, "other")?, texts(&batch, "kind")?);
            let shared = cast(answers::column(&batch, "shared")?, &DataType::Int64)?;
            let shared = shared.as_primitive::<Int64Type>();
            let (first, last) = (days(&batch, "first")?, days(&batch, "last")?);
            for row in 0..batch.num_rows() {
                let (Some(one), Some(other), Some(kind)) = (&ones[row], &others[row], &kinds[row]) else {
                    continue;
                };
                let Some(kind) = Kind::of_name(kind) else { continue };
                let ends = (people.number(one), people.number(other));
                let days = (first[row].unwrap_or(i32::MAX), last[row].unwrap_or(i32::MIN));
                let shared = u32::try_from(shared.value(row)).unwrap_or(u32::MAX);
                people.links.push(Link { ends, kind, shared, days });
            }
        }
        Ok(people)
    }
}

/// What is shared by two travellers to `most`, as the tables `common` and `shared` of a query; `wanted`: only what a
/// traveller of that table uses.
fn shared(most: u32, wanted: bool) -> String {
    let of_wanted = match wanted {
        true => {
            " JOIN (SELECT DISTINCT kind, key FROM used WHERE person IN (SELECT task FROM wanted)) own \
             ON own.kind = u.kind AND own.key = u.key"
        }
        false => "",
    };
    format!(
        "WITH common AS (SELECT u.kind AS kind, u.key AS key FROM used u{of_wanted} GROUP BY u.kind, u.key \
         HAVING count(*) BETWEEN 2 AND {most}), \
         shared AS (SELECT u.person AS person, u.kind AS kind, u.key AS key, u.first AS first, u.last AS last \
         FROM used u JOIN common c ON u.kind = c.kind AND u.key = c.key)"
    )
}

/// Adds to travellers what the archive knows of them: flights, their days, and inspections that found something.
///
/// # Errors
/// Those of the query.
pub async fn add_facts(
    session: &SessionContext,
    archive: &Archive,
    (countries, months): (&[String], Option<Period>),
    people: &mut People,
) -> Result<()> {
    bound_joins(session)?;
    let trips = trips(session, archive, countries, months).await?;
    session.register_table("trips", trips.into_view())?;
    let outcomes = view::outcomes(session, archive).await?.filter(col("found"))?;
    session.register_table("offences", of_countries(outcomes, countries, None)?.into_view())?;
    let text = "SELECT t.person_id AS person, t.trips AS trips, t.first AS first, t.last AS last, o.offences AS offences \
                FROM (SELECT person_id, count(DISTINCT trip_id) AS trips, min(flight_date) AS first, \
                max(flight_date) AS last FROM trips WHERE person_id IS NOT NULL GROUP BY person_id) t \
                LEFT JOIN (SELECT person_id, count(*) AS offences FROM offences GROUP BY person_id) o \
                ON t.person_id = o.person_id";
    let mut rows = session.query(text).await?.batch_stream().await?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(Error::from).context(|| "count flights and offences")?;
        let names = texts(&batch, "person")?;
        let number = |name: &str| {
            let column = cast(answers::column(&batch, name)?, &DataType::Int64)?;
            let column = column.as_primitive::<Int64Type>().clone();
            Ok::<_, Error>(column)
        };
        let (flights, offences) = (number("trips")?, number("offences")?);
        let (first, last) = (days(&batch, "first")?, days(&batch, "last")?);
        for (row, name) in names.iter().enumerate() {
            let Some(own) = name.as_deref().and_then(|name| people.find(name)) else { continue };
            let count = |column: &arrow::array::Int64Array| {
                if column.is_valid(row) { u32::try_from(column.value(row)).unwrap_or(u32::MAX) } else { 0 }
            };
            let days = (first[row].unwrap_or(i32::MAX), last[row].unwrap_or(i32::MIN));
            people.know(own, Facts { trips: count(&flights), days, offences: count(&offences) });
        }
    }
    Ok(())
}

/// The travellers that a text names: by their own identifier, that of a booking, or that of a trip; sorted.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] where nobody has it.
pub async fn seeds(
    session: &SessionContext,
    archive: &Archive,
    countries: &[String],
    text: &str,
) -> Result<Vec<String>> {
    const IDENTIFIERS: [&str; 4] = ["person_id", "booking_id", "trip_id", "traveller_id"];
    let mut missing: BTreeSet<&str> =
        text.split(',').map(str::trim).filter(|wanted| !wanted.is_empty()).collect();
    let wanted: Vec<Expr> = missing.iter().map(|wanted| lit(*wanted)).collect();
    let is_wanted =
        IDENTIFIERS.into_iter().map(|name| col(name).in_list(wanted.clone(), false)).reduce(Expr::or);
    let rows = trips(session, archive, countries, None).await?;
    let rows = rows.filter(is_wanted.unwrap_or_else(|| lit(false)).and(col("person_id").is_not_null()))?;
    let rows = rows.select_columns(&IDENTIFIERS)?.distinct()?;
    let mut found = BTreeSet::new();
    for batch in rows.batches().await.context(|| format!("look for {text}"))? {
        for name in IDENTIFIERS {
            for identifier in texts(&batch, name)?.iter().flatten() {
                missing.remove(identifier.as_str());
            }
        }
        found.extend(texts(&batch, "person_id")?.into_iter().flatten());
    }
    if let Some(wanted) = missing.first() {
        return Err(Error::not_found(format!(
            "no traveller, booking or trip of {} has the identifier {wanted}; give a person_id, booking_id, trip_id or \
             traveller_id of the tables of passengers, or `all`",
            countries.join(", ")
        )));
    }
    Ok(found.into_iter().collect())
}

fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>> {
    let column = cast(answers::column(batch, name)?, &DataType::Utf8)?;
    Ok(column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

fn days(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i32>>> {
    let column = cast(answers::column(batch, name)?, &DataType::Date32)?;
    Ok(column.as_primitive::<Date32Type>().iter().collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, StringArray};
    use datafusion::datasource::MemTable;
    use tidewaiter_core::plan::Meter;
    use tidewaiter_job::engine::{Engine, Local};

    use super::*;

    /// Who used what on which day.
    const USES: [(&str, &str, &str, i32); 12] = [
        ("ada", "travel", "b1", 10),
        ("bo", "travel", "b1", 10),
        ("bo", "payment", "card", 10),
        ("cy", "payment", "card", 30),
        ("cy", "payment", "card", 40),
        ("cy", "contact", "mail", 30),
        ("dee", "contact", "mail", 50),
        // What all share links nobody.
        ("ada", "address", "hotel", 10),
        ("bo", "address", "hotel", 10),
        ("cy", "address", "hotel", 30),
        ("dee", "address", "hotel", 50),
        ("eve", "address", "hotel", 60),
    ];

    async fn shared_of(name: &str) -> (Archive, SessionContext, Shared) {
        let archive = Archive::open(&format!("memory://{name}")).expect("opens");
        let text = |pick: fn(&(&str, &str, &str, i32)) -> String| {
            Arc::new(USES.iter().map(|row| Some(pick(row))).collect::<StringArray>())
        };
        let days: Date32Array = USES.iter().map(|row| Some(row.3)).collect();
        let batch = RecordBatch::try_from_iter(vec![
            ("person", text(|row| row.0.to_owned()) as _),
            ("kind", text(|row| row.1.to_owned()) as _),
            ("key", text(|row| row.2.to_owned()) as _),
            ("day", Arc::new(days) as _),
        ])
        .expect("a batch");
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table");
        let engine = Local::new(2, 64 << 20).expect("an engine");
        let session = engine.session("job", Meter::new(|_| ())).expect("a session");
        let uses = session.read_table(Arc::new(table)).expect("reads");
        let shared = Shared::of(&session, &archive, uses, "work/shared").await.expect("is written");
        (archive, session, shared)
    }

    #[tokio::test]
    async fn travellers_are_linked_by_what_they_share_but_not_by_hubs() {
        let (archive, session, shared) = shared_of("network-links").await;
        assert_eq!(shared.rows(), 11);
        let people = shared.links(&session, &archive, None, 4).await.expect("links");
        let named: Vec<_> = people
            .links
            .iter()
            .map(|link| (people.name(link.ends.0), people.name(link.ends.1), link.kind, link.days))
            .collect();
        assert_eq!(
            named,
            [
                ("ada", "bo", Kind::Travel, (10, 10)),
                ("bo", "cy", Kind::Payment, (30, 40)),
                ("cy", "dee", Kind::Contact, (50, 50)),
            ]
        );
        let all = shared.links(&session, &archive, None, 5).await.expect("links");
        assert_eq!(all.links.len(), 3 + 10, "five share the hotel");
    }

    #[tokio::test]
    async fn neighbours_are_found_step_by_step() {
        let (archive, session, shared) = shared_of("network-hops").await;
        let near = |people: &[&str]| people.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = (Kind::ALL.as_slice(), 4);
        let first =
            shared.neighbours(&session, &archive, (&near(&["ada"]), "work/1"), all).await.expect("finds");
        assert_eq!(first, ["ada", "bo"]);
        let paid = (&near(&["ada"]), "work/paid");
        let paid = shared.neighbours(&session, &archive, (paid.0, paid.1), (&[Kind::Payment], 4)).await;
        assert!(paid.expect("finds").is_empty(), "she shares a booking only");
        let second = shared.neighbours(&session, &archive, (&first, "work/2"), all).await.expect("finds");
        assert_eq!(second, ["ada", "bo", "cy"]);
        let wanted = near(&["eve", "ada", "cy", "bo"]);
        let people = shared.links(&session, &archive, Some((&wanted, "work/3")), 4).await.expect("links");
        assert_eq!((people.count(), people.links.len(), people.name(0)), (4, 2, "eve"));
    }
}
