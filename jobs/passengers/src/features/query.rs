//! From the archive's tables to one row of each trip, and from these to files of features.
//!
//! Start at [`extract`].

use datafusion::{
    common::JoinType,
    prelude::{DataFrame, SessionContext, col, lit},
};
use tidewaiter_archive::{Archive, Table, schema::Layout};
use tidewaiter_core::{
    Result, ResultExt, plan,
    query::{Plan as _, Run as _},
};

use super::operator::{FeaturesMessage, PassengerFeaturesOperator};
use crate::{
    network::plans::bound_joins,
    own_files::OwnFiles,
    table::{BOOKINGS, CONTACTS, DOCUMENTS, MESSAGES, PAYMENTS, PERSONS, TICKETS, TRAVELLERS},
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

/// Messages that were prepared after their flight had departed, wherever on earth it departs: the sender's clock is that of
/// any zone, and departure is in local time, half a day apart at most.
const LATE: &str = "SELECT message_id AS late_id FROM all_messages WHERE CAST(prepared AS BIGINT) > \
    coalesce(CAST(departs AS BIGINT) + 43200000000, (CAST(CAST(flight_date AS INT) AS BIGINT) + 2) * 86400000000)";

/// Of each trip the row to be used, as [`crate::link`] chooses it, of messages that are not late.
const TIMELY_TRIPS: &str = "SELECT * FROM (SELECT t.*, p.trip_id AS trip_id, p.person_id AS person_id, row_number() OVER \
    (PARTITION BY p.trip_id ORDER BY CASE m.kind WHEN 'PNRGOV' THEN 0 WHEN 'PNR-XML' THEN 1 WHEN 'PAXLST' THEN 2 ELSE 3 END, \
    coalesce(CAST(m.prepared AS BIGINT), 0) DESC, t.traveller_id) AS standing FROM timely_travellers t \
    JOIN persons p ON p.traveller_id = t.traveller_id JOIN all_messages m ON m.message_id = t.message_id) ranked \
    WHERE standing = 1";

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
    /// Whether neighbours are drawn for a graph network.
    pub(crate) neighbours: bool,
}

/// Computes features and writes them to files of the job, whose columns are [`super::rows::schema`]. Several countries
/// share what is known of a traveller. What only a message says that was prepared after the departure is not used, and who
/// is known by no other message has no row.
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
    let message = FeaturesMessage { first, last, neighbours: extraction.neighbours };
    let features = plan::apply(trips, PassengerFeaturesOperator::new(message))?;
    let files = OwnFiles::write(archive, features, extraction.folder, extraction.name).await;
    files.context(|| "compute features of travellers")
}

/// Makes the tables of [`TRIPS`] known to a session.
async fn register(session: &SessionContext, archive: &Archive, extraction: &Extraction<'_>) -> Result<()> {
    let countries = extraction.countries.iter().map(lit).collect::<Vec<_>>();
    let day = |day: i32| lit(datafusion::common::ScalarValue::Date32(Some(day)));
    let up_to = col("flight_date").lt_eq(day(extraction.days.1));
    session.register_table("all_messages", view::table(session, archive, &MESSAGES).await?.into_view())?;
    let late = session.query(LATE).await?;
    let late = (late.clone().limit(0, Some(1))?.row_count().await? > 0).then_some(late);
    let late = late.as_ref();
    let trips = match late {
        None => view::trips(session, archive).await?,
        Some(_) => {
            let travellers = timely(view::table(session, archive, &TRAVELLERS).await?, late)?;
            session.register_table("timely_travellers", travellers.into_view())?;
            session.register_table("persons", view::table(session, archive, &PERSONS).await?.into_view())?;
            session.query(TIMELY_TRIPS).await?
        }
    };
    let trips = trips.filter(col("country").in_list(countries, false).and(up_to))?;
    let trips = trips.filter(col("kind").eq(lit("passenger")))?;
    session.register_table("trips", trips.into_view())?;
    let of_trips = "SELECT trip_id, concat('t', booking_id) AS key FROM trips WHERE booking_id IS NOT NULL";
    let mut uses = session.query(of_trips).await?;
    for (layout, letter, key, condition) in USES {
        let table = format!("own_{letter}");
        let rows = timely(view::of_trips(session, archive, layout).await?, late)?;
        session.register_table(&table, rows.into_view())?;
        let text = format!(
            "SELECT trip_id, concat('{letter}', {key}) AS key FROM {table} WHERE {key} IS NOT NULL AND {condition}"
        );
        uses = uses.union(session.query(&text).await?)?;
    }
    session.register_table("uses", uses.into_view())?;
    for (layout, table) in [(&PAYMENTS, "payments"), (&TICKETS, "tickets")] {
        let rows = timely(view::of_trips(session, archive, layout).await?, late)?;
        session.register_table(table, rows.into_view())?;
    }
    let agencies = timely(view::agencies_of_trips(session, archive).await?, late)?;
    let agencies = agencies.select(vec![col("trip_id"), col("agency_key"), col("place")])?;
    session.register_table("agencies", agencies.into_view())?;
    session.register_table("outcomes", view::outcomes(session, archive).await?.into_view())?;
    for (layout, table) in [(&BOOKINGS, "bookings"), (&MESSAGES, "messages")] {
        let rows = timely(view::table(session, archive, layout).await?, late)?;
        session.register_table(table, rows.into_view())?;
    }
    Ok(())
}

/// Rows of which no late message says so.
fn timely(rows: DataFrame, late: Option<&DataFrame>) -> Result<DataFrame> {
    match late {
        None => Ok(rows),
        Some(late) => Ok(rows.join(late.clone(), JoinType::LeftAnti, &["message_id"], &["late_id"], None)?),
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray};

    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    /// A session with messages of a flight of day 100, departing at noon: a booking of the day before, a list that a
    /// clock of another zone can have at departure, a correction of the next day, and two without departure, the second
    /// prepared after the next day.
    async fn session() -> SessionContext {
        let session = SessionContext::new();
        let days = |halves: &[i64]| {
            TimestampMicrosecondArray::from_iter_values(halves.iter().map(|half| half * DAY / 2))
                .with_timezone("UTC")
        };
        let departs: Vec<Option<i64>> =
            [Some(201), Some(201), Some(201), None, None].map(|half| half.map(|half| half * DAY / 2)).into();
        let columns: [(&str, ArrayRef); 5] = [
            ("message_id", texts(&["booking", "list", "correction", "timely", "late"])),
            ("kind", texts(&["PAXLST", "PAXLST", "PNRGOV", "PAXLST", "PNRGOV"])),
            ("prepared", Arc::new(days(&[199, 202, 203, 203, 205]))),
            ("departs", Arc::new(TimestampMicrosecondArray::from(departs).with_timezone("UTC"))),
            ("flight_date", Arc::new(Date32Array::from(vec![100; 5]))),
        ];
        let messages = RecordBatch::try_from_iter(columns).expect("a batch");
        session.register_batch("all_messages", messages).expect("registers");
        session
    }

    async fn column(rows: DataFrame, name: &str) -> Vec<String> {
        let batch = tidewaiter_core::answers::one_batch(rows.select_columns(&[name]).expect("selects")).await;
        let batch = batch.expect("answers");
        let text = |row| tidewaiter_core::answers::text(&batch, name, row).expect("text").unwrap_or_default();
        let mut texts: Vec<String> = tidewaiter_core::answers::rows(&batch).map(text).collect();
        texts.sort();
        texts
    }

    #[tokio::test]
    async fn what_a_message_after_departure_says_is_not_used() {
        let session = session().await;
        let late = session.query(LATE).await.expect("plans");
        assert_eq!(column(late.clone(), "late_id").await, ["correction", "late"]);
        let travellers: [(&str, ArrayRef); 2] = [
            ("traveller_id", texts(&["a1", "a2", "a3", "b5"])),
            ("message_id", texts(&["booking", "list", "correction", "late"])),
        ];
        let travellers = RecordBatch::try_from_iter(travellers).expect("a batch");
        let travellers = timely(session.read_batch(travellers).expect("reads"), Some(&late)).expect("plans");
        session.register_table("timely_travellers", travellers.into_view()).expect("registers");
        let persons: [(&str, ArrayRef); 3] = [
            ("traveller_id", texts(&["a1", "a2", "a3", "b5"])),
            ("trip_id", texts(&["a", "a", "a", "b"])),
            ("person_id", texts(&["p", "p", "p", "q"])),
        ];
        let persons = RecordBatch::try_from_iter(persons).expect("a batch");
        session.register_batch("persons", persons).expect("registers");
        // The newest of the timely lists stands for the trip; nobody knew of the other trip in time.
        let trips = session.query(TIMELY_TRIPS).await.expect("plans");
        assert_eq!(column(trips, "traveller_id").await, ["a2"]);
    }
}
