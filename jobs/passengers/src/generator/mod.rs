//! The generator of passengers: flights into a country, their bookings, planted rings, inspections and the truth.
//!
//! Messages are real PNRGOV and PAXLST interchanges, so that the parsers are in the loop. Each day is a function of the seed
//! and its number, so that memory does not grow with the period; the trips of rings alone are drawn at once. Persons and
//! names are invented. The job is [`synth`].

mod bookings;
mod draws;
mod inspections;
mod people;
mod rings;
pub mod synth;
mod texts;
mod world;
