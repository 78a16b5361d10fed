//! Inspections of travellers and flights that the archive does not have: nothing is learned from them, so they are told.
//!
//! Start at [`unmatched`].

use std::ops::RangeInclusive;

use datafusion::{
    common::JoinType,
    functions_aggregate::expr_fn::count,
    prelude::{SessionContext, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Result, answers};
use tidewaiter_job::summary::grouped;

use crate::{
    scored::day,
    table::{FLIGHT_DATE, MESSAGES, OUTCOMES},
    view,
};

/// The name of [`Unmatched::sentence`] among the figures of an outcome.
pub(crate) const UNMATCHED: &str = "unmatched_inspections";

/// Inspections without a traveller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unmatched {
    /// How many there are.
    inspections: u64,
    /// Of these, how many are of a flight that the archive has.
    of_known_flights: u64,
    /// The first: identity, flight and day.
    first: String,
}

impl Unmatched {
    /// What is told of them; nothing where there are none.
    pub(crate) fn sentence(&self) -> Option<String> {
        (self.inspections > 0).then(|| {
            format!(
                "{} inspections are of nobody in the archive and are left out, {} of them of flights that it does not have; \
                 the first is {}",
                grouped(self.inspections),
                grouped(self.inspections - self.of_known_flights),
                self.first
            )
        })
    }
}

/// The inspections of some countries on flights of some days that are of nobody who is known.
///
/// # Errors
/// Those of the queries.
pub(crate) async fn unmatched(
    session: &SessionContext,
    archive: &Archive,
    countries: &[String],
    days: RangeInclusive<i32>,
) -> Result<Unmatched> {
    let countries = countries.iter().map(lit).collect::<Vec<_>>();
    let matched =
        view::outcomes(session, archive).await?.select(vec![col("outcome_id").alias("matched_id")])?;
    let wanted = col(FLIGHT_DATE).between(day(*days.start()), day(*days.end()));
    let all = view::table(session, archive, &OUTCOMES).await?;
    let all = all.filter(col("country").in_list(countries, false).and(wanted))?;
    let all = all.select_columns(&["outcome_id", "flight_id", FLIGHT_DATE, "inspected_on"])?;
    let absent = all.join(matched, JoinType::LeftAnti, &["outcome_id"], &["matched_id"], None)?;
    let flights = view::table(session, archive, &MESSAGES).await?;
    let flights = flights.select(vec![col("flight_id").alias("known_flight")])?.distinct()?;
    let absent = absent.join(flights, JoinType::Left, &["flight_id"], &["known_flight"], None)?;
    let counts = vec![
        count(col("outcome_id")).alias("inspections"),
        count(col("known_flight")).alias("of_known_flights"),
    ];
    let counts = answers::one_batch(absent.clone().aggregate(Vec::new(), counts)?).await?;
    let inspections = if counts.num_rows() == 0 { 0 } else { answers::count(&counts, "inspections", 0)? };
    if inspections == 0 {
        return Ok(Unmatched::default());
    }
    let order = vec![col(FLIGHT_DATE).sort(true, false), col("outcome_id").sort(true, false)];
    let first = answers::one_batch(absent.sort(order)?.limit(0, Some(1))?).await?;
    let text =
        |name: &str| Ok::<_, tidewaiter_core::Error>(answers::text(&first, name, 0)?.unwrap_or_default());
    Ok(Unmatched {
        inspections,
        of_known_flights: answers::count(&counts, "of_known_flights", 0)?,
        first: format!(
            "{} of flight {}, inspected on {}",
            text("outcome_id")?,
            text("flight_id")?,
            text("inspected_on")?
        ),
    })
}
