//! Trips: the rows of the tables by traveller and flight, whichever message they are from.
//!
//! They need the table of persons, which a linking writes ([`crate::link`]). Start at [`trips`].

use datafusion::{
    common::JoinType,
    functions_aggregate::expr_fn::min,
    prelude::{DataFrame, SessionContext, col, lit},
};
use tidewaiter_archive::{Archive, provider::snapshot_provider, schema::Layout};
use tidewaiter_core::{Error, ErrorKind, Result};

use crate::table::{AGENCIES, DOCUMENTS, OUTCOMES, PERSONS, TRAVELLERS};

/// The columns that a trip is known by.
const TRIP: [&str; 2] = ["trip_id", "person_id"];

/// The whole newest snapshot of a table.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is no such table.
pub async fn table(session: &SessionContext, archive: &Archive, layout: &Layout) -> Result<DataFrame> {
    Ok(session.read_table(snapshot_provider(archive, layout.table, None).await?)?)
}

/// The persons of travellers, with the traveller's id under another name.
async fn persons(session: &SessionContext, archive: &Archive) -> Result<DataFrame> {
    let persons = table(session, archive, &PERSONS).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::not_found("travellers are not linked to persons; run `tidewaiter passengers link`")
        }
        _ => error,
    })?;
    let [trip, person] = TRIP.map(col);
    Ok(persons.select(vec![col("traveller_id").alias("linked_id"), trip, person, col("is_primary")])?)
}

/// One row a traveller and flight: the columns of `passengers/travellers` with `trip_id` and `person_id`.
///
/// # Errors
/// [`ErrorKind::NotFound`] when nothing is linked yet.
pub async fn trips(session: &SessionContext, archive: &Archive) -> Result<DataFrame> {
    let linked = persons(session, archive).await?.filter(col("is_primary"))?;
    let travellers = table(session, archive, &TRAVELLERS).await?;
    let trips = travellers.join(linked, JoinType::Inner, &["traveller_id"], &["linked_id"], None)?;
    Ok(trips.drop_columns(&["linked_id", "is_primary"])?)
}

/// The rows of a table that has `traveller_id` and `booking_id`, with `trip_id` and `person_id`: those of a traveller, and
/// those of a booking for each of its travellers. What several messages say is there several times.
///
/// # Errors
/// [`ErrorKind::NotFound`] when nothing is linked yet.
pub async fn of_trips(session: &SessionContext, archive: &Archive, layout: &Layout) -> Result<DataFrame> {
    let rows = table(session, archive, layout).await?;
    let linked = persons(session, archive).await?.drop_columns(&["is_primary"])?;
    let own = rows.clone().join(linked, JoinType::Inner, &["traveller_id"], &["linked_id"], None)?;
    let bookings = trips(session, archive).await?;
    let [trip, person] = TRIP.map(col);
    let bookings = bookings.select(vec![col("booking_id").alias("linked_id"), trip, person])?.distinct()?;
    let of_booking = rows.filter(col("traveller_id").is_null())?;
    let of_booking = of_booking.join(bookings, JoinType::Inner, &["booking_id"], &["linked_id"], None)?;
    Ok(own.union(of_booking)?.drop_columns(&["linked_id"])?)
}

/// The agencies of trips: the columns of `passengers/agencies` with `trip_id` and `person_id`, a row for each traveller of a
/// booking.
///
/// # Errors
/// [`ErrorKind::NotFound`] when nothing is linked yet.
pub async fn agencies_of_trips(session: &SessionContext, archive: &Archive) -> Result<DataFrame> {
    let agencies = table(session, archive, &AGENCIES).await?;
    let [trip, person] = TRIP.map(col);
    let bookings = trips(session, archive).await?;
    let bookings = bookings.select(vec![col("booking_id").alias("linked_id"), trip, person])?.distinct()?;
    let rows = agencies.join(bookings, JoinType::Inner, &["booking_id"], &["linked_id"], None)?;
    Ok(rows.drop_columns(&["linked_id"])?)
}

/// The inspections of trips: the columns of `passengers/outcomes` with `trip_id` and `person_id`, by the document or else by
/// name and birth on the same flight. An inspection of nobody who is known has no row.
///
/// # Errors
/// [`ErrorKind::NotFound`] when nothing is linked yet.
pub async fn outcomes(session: &SessionContext, archive: &Archive) -> Result<DataFrame> {
    let linked = persons(session, archive).await?.drop_columns(&["is_primary"])?;
    let travellers = table(session, archive, &TRAVELLERS).await?;
    let travellers = travellers.select(vec![
        col("traveller_id"),
        col("flight_id").alias("of_flight"),
        col("name_key").alias("of_name"),
    ])?;
    let known = travellers.join(linked, JoinType::Inner, &["traveller_id"], &["linked_id"], None)?;
    let known = known.drop_columns(&["linked_id"])?;
    let documents = table(session, archive, &DOCUMENTS).await?;
    let documents = documents
        .select(vec![col("traveller_id").alias("owner_id"), col("document_key").alias("of_document")])?;
    let by_document =
        known.clone().join(documents, JoinType::Inner, &["traveller_id"], &["owner_id"], None)?;
    let found = |rows: DataFrame, key: &str, rank: i64| -> Result<DataFrame> {
        let outcomes = [
            col("outcome_id").alias("of_outcome"),
            col("trip_id"),
            col("person_id"),
            lit(rank).alias("rank"),
        ];
        Ok(rows.filter(col(key).is_not_null())?.select(outcomes.to_vec())?)
    };
    let keys = table(session, archive, &OUTCOMES).await?;
    let keys = keys.select_columns(&["outcome_id", "flight_id", "document_key", "name_key"])?;
    let on = |rows: DataFrame, key: &str, of: &str| -> Result<DataFrame> {
        Ok(keys.clone().join(rows, JoinType::Inner, &["flight_id", key], &["of_flight", of], None)?)
    };
    let all = found(on(by_document, "document_key", "of_document")?, "document_key", 0)?.union(found(
        on(known, "name_key", "of_name")?,
        "name_key",
        1,
    )?)?;
    // One trip an inspection: by the document where it is known, and of several the first.
    let best = all.clone().aggregate(vec![col("of_outcome")], vec![min(col("rank")).alias("best")])?;
    let best = best.select(vec![col("of_outcome").alias("best_outcome"), col("best")])?;
    let all = all.join(best, JoinType::Inner, &["of_outcome", "rank"], &["best_outcome", "best"], None)?;
    let one = all.aggregate(
        vec![col("of_outcome")],
        vec![min(col("trip_id")).alias("trip_id"), min(col("person_id")).alias("person_id")],
    )?;
    let outcomes = table(session, archive, &OUTCOMES).await?;
    let outcomes = outcomes.join(one, JoinType::Inner, &["outcome_id"], &["of_outcome"], None)?;
    Ok(outcomes.drop_columns(&["of_outcome"])?)
}
