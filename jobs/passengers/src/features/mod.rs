//! Features of travellers on a flight: itinerary, booking, history, and network, each known before the flight departs.
//!
//! 1. [`query`] makes one row of each trip (a traveller on a flight) of all tables;
//! 2. [`operator`] takes the rows day by day and computes features by what was known on earlier days ([`past`]): results
//!    of inspections count from the day on which they were known, and links only once both travellers have flown, and
//!    draws neighbours for a graph network ([`past::sample`]);
//! 3. [`catalogue`] says what each feature is, in words.
//!
//! Nationality, sex, age and residence are no features; they stand beside them, so that their effects can be shown.
//! Start at [`query::extract`].

pub mod catalogue;
pub mod operator;
pub mod past;
pub mod query;
pub mod rows;
