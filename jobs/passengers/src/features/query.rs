//! From the archive's tables to one row of each trip, and from these to files of features.
//!
//! Start at [`extract`].

use datafusion::prelude::{SessionContext, col, lit};
use tidewaiter_archive::{Archive, Table, schema::Layout};
use tidewaiter_core::{Result, ResultExt, plan, query::Plan as _};

use super::operator::{FeaturesMessage, PassengerFeaturesOperator};
use crate::{
    network::plans::bound_joins,
    own_files::OwnFiles,
    table::{BOOKINGS, CONTACTS, DOCUMENTS, MESSAGES, PAYMENTS, TICKETS, TRAVELLERS},
    view,
};

/// What one trip uses, of each table: the letter of its kind, the column of its key, and a condition.
static USES: [(&Layout, char, &str, &str); 4] = [
    (&CONTACTS, 'c', "contact_key", "kind IN ('phone', 'email')"),
    (&CONTACTS, 'a', "contact_key", "kind = 'address'"),
    (&PAYMENTS, 'p', "account_key", "true"),
    (&DOCUMENTS, 'd', "document_key", "true"),
];

/// One row of each trip.
const TRIPS: &str = "SELECT t.trip_id AS trip_id, coalesce(t.person_id, t.trip_id) AS person_id, t.booking_id AS booking_id, \
    t.flight_id AS flight_id, t.flight_date AS flight_date, o.found AS found, o.known_on AS known_on, \
    o.selected_by AS selected_by, t.age AS age, t.sex AS sex, t.nationality AS nationality, t.residence AS residence, \
    t.bags AS bags, t.bag_kilograms AS bag_kilograms, t.documents AS documents, b.legs AS legs, \
    CAST(b.is_return AS INT) AS is_return, date_part('hour', f.departs) AS departs_hour, \
    CAST(t.flight_date AS INT) - CAST(CAST(b.created AS DATE) AS INT) AS days_booked_before, \
    CAST(t.flight_date AS INT) - CAST(CAST(b.changed AS DATE) AS INT) AS days_since_change, b.changes AS changes, \
    b.travellers AS party, CAST(b.is_group AS INT) AS is_group, k.total AS fare, u.keys AS keys, a.agency_key AS agency_key, \
    coalesce(f.from_airport, t.embarks) AS from_airport, coalesce(f.to_airport, t.debarks) AS to_airport, f.carrier AS carrier, \
    b.origin AS origin, b.destination AS destination, p.form AS payment_form, a.place AS agency_place, \
    b.system AS booking_system FROM trips t \
    LEFT JOIN (SELECT booking_id, max(legs) AS legs, bool_or(is_return) AS is_return, min(created) AS created, \
        max(changed) AS changed, max(changes) AS changes, max(travellers) AS travellers, bool_or(is_group) AS is_group, \
        max(origin) AS origin, max(destination) AS destination, max(system) AS system FROM bookings GROUP BY booking_id) b \
        ON t.booking_id = b.booking_id \
    LEFT JOIN (SELECT flight_id, min(departs) AS departs, max(from_airport) AS from_airport, max(to_airport) AS to_airport, \
        max(carrier) AS carrier FROM messages GROUP BY flight_id) f ON t.flight_id = f.flight_id \
    LEFT JOIN (SELECT trip_id, string_agg(key, ' ') AS keys FROM (SELECT DISTINCT trip_id, key FROM uses) own \
        GROUP BY trip_id) u ON t.trip_id = u.trip_id \
    LEFT JOIN (SELECT trip_id, max(form) AS form FROM payments GROUP BY trip_id) p ON t.trip_id = p.trip_id \
    LEFT JOIN (SELECT trip_id, max(total) AS total FROM tickets GROUP BY trip_id) k ON t.trip_id = k.trip_id \
    LEFT JOIN (SELECT trip_id, max(agency_key) AS agency_key, max(place) AS place FROM agencies \
        GROUP BY trip_id) a ON t.trip_id = a.trip_id \
    LEFT JOIN (SELECT trip_id, bool_or(found) AS found, CASE WHEN bool_or(found) THEN min(CASE WHEN found THEN known_on END) \
        ELSE min(known_on) END AS known_on, min(selected_by) AS selected_by \
        FROM outcomes GROUP BY trip_id) o ON t.trip_id = o.trip_id";

/// Rows of a batch. The query has some 250 sorts, which share the memory, and each must hold a batch with all keys of its trips.
const BATCH_ROWS: &str = "1024";

/// What features are computed of.
#[derive(Debug, Clone)]
pub(crate) struct Extraction<'a> {
    /// The reporting countries.
    pub(crate) countries: &'a [String],
    /// First and last day of the trips whose features are wanted; earlier ones are the past.
    pub(crate) days: (i32, i32),
    /// The folder of the files.
    pub(crate) folder: &'a str,
    /// Their name.
    pub(crate) name: &'a str,
}

/// Computes features and writes them to files of the job, whose columns are [`super::rows::schema`]. Several countries
/// share what is known of a traveller.
///
/// # Errors
/// Those of the query; [`tidewaiter_core::ErrorKind::NotFound`] where the archive has no travellers.
pub(crate) async fn extract(
    session: &SessionContext,
    archive: &Archive,
    extraction: &Extraction<'_>,
) -> Result<OwnFiles> {
    bound_joins(session)?;
    let state = session.state_ref();
    state.write().config_mut().options_mut().set("datafusion.execution.batch_size", BATCH_ROWS)?;
    register(session, archive, extraction).await?;
    let trips = session.query(TRIPS).await?;
    let (first, last) = extraction.days;
    let features = plan::apply(trips, PassengerFeaturesOperator::new(FeaturesMessage { first, last }))?;
    let files = OwnFiles::write(archive, features, extraction.folder, extraction.name).await;
    files.context(|| "compute features of travellers")
}

/// Makes the tables of [`TRIPS`] known to a session.
async fn register(session: &SessionContext, archive: &Archive, extraction: &Extraction<'_>) -> Result<()> {
    let countries = extraction.countries.iter().map(lit).collect::<Vec<_>>();
    let day = |day: i32| lit(datafusion::common::ScalarValue::Date32(Some(day)));
    let up_to = col("flight_date").lt_eq(day(extraction.days.1));
    let trips = view::trips(session, archive).await?;
    let trips = trips.filter(col("country").in_list(countries, false).and(up_to))?;
    let trips = trips.filter(col("kind").eq(lit("passenger")))?;
    session.register_table("trips", trips.into_view())?;
    let of_trips = "SELECT trip_id, concat('t', booking_id) AS key FROM trips WHERE booking_id IS NOT NULL";
    let mut uses = session.query(of_trips).await?;
    for (layout, letter, key, condition) in USES {
        let table = format!("own_{letter}");
        session.register_table(&table, view::of_trips(session, archive, layout).await?.into_view())?;
        let text = format!(
            "SELECT trip_id, concat('{letter}', {key}) AS key FROM {table} WHERE {key} IS NOT NULL AND {condition}"
        );
        uses = uses.union(session.query(&text).await?)?;
    }
    session.register_table("uses", uses.into_view())?;
    for (layout, table) in [(&PAYMENTS, "payments"), (&TICKETS, "tickets")] {
        session.register_table(table, view::of_trips(session, archive, layout).await?.into_view())?;
    }
    let agencies = view::agencies_of_trips(session, archive).await?;
    let agencies = agencies.select(vec![col("trip_id"), col("agency_key"), col("place")])?;
    session.register_table("agencies", agencies.into_view())?;
    session.register_table("outcomes", view::outcomes(session, archive).await?.into_view())?;
    for (layout, table) in [(&BOOKINGS, "bookings"), (&MESSAGES, "messages")] {
        session.register_table(table, view::table(session, archive, layout).await?.into_view())?;
    }
    Ok(())
}

/// The version of the travellers' table, as a snapshot's name.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] where the archive has no travellers.
pub(crate) async fn version(archive: &Archive) -> Result<u64> {
    let table = Table::open(archive, TRAVELLERS.table).await;
    table
        .context(|| "the archive has no travellers; `tidewaiter ingest passengers` brings them in")?
        .version()
        .await
}
