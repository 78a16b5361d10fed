//! What the rows of a message have in common: its flight, the identities of its records, and who has which seat.
//!
//! Start at [`Parts`].

use chrono::NaiveDate;

use crate::{
    identifiers,
    privacy::{hexadecimal::sixteen, key::Key},
    records::{BagTotal, Index, Leg, Records, Seat},
};

/// Where a message comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// The first 64 bits of the digest of its bytes.
    pub(super) id: u64,
    pub(super) kind: &'a str,
    pub(super) characters: &'a str,
    pub(super) file: &'a str,
    pub(super) job: &'a str,
    /// Microseconds since 1970 UTC.
    pub(super) ingested_us: i64,
}

/// The flight of a message.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) id: String,
    pub(super) day: NaiveDate,
    /// The leg, where there is one.
    pub(super) leg: Option<Index>,
}

/// The identity of a flight.
pub(super) fn flight_id(carrier: &str, flight: &str, day: NaiveDate, from: &str) -> String {
    format!("{carrier}{}-{}-{from}", flight.trim_start_matches('0'), day.format("%Y%m%d"))
}

/// The flight of a message; `None` where nothing says on what day it was.
pub(super) fn flight_of(records: &Records, id: u64) -> Option<Flight> {
    let legs = &records.legs;
    let dated = |leg: &Leg| leg.is_flight && leg.departs.is_some();
    let of_message = legs.iter().position(|leg| leg.booking.is_none() && dated(leg));
    let leg = of_message.or_else(|| legs.iter().position(dated)).or_else(|| (!legs.is_empty()).then_some(0));
    let departs = leg.and_then(|leg| legs[leg].departs);
    let day = departs.or(records.message.prepared)?.day;
    let named = leg.map(|leg| &legs[leg]).filter(|leg| !leg.flight.is_empty() || !leg.from.is_empty());
    let id = match named {
        Some(leg) => flight_id(&leg.carrier, &leg.flight, day, &leg.from),
        None => format!("none-{}-{}", day.format("%Y%m%d"), sixteen(id)),
    };
    Some(Flight { id, day, leg })
}

/// The pseudonym of a booking on a flight: the same in every message that names its locator.
pub(super) fn booking_id(key: &Key, locator: &str, flight: &str) -> String {
    key.pseudonym("booking", &identifiers::number_of(flight, locator))
}

/// What the rows of one message have in common.
pub(super) struct Parts<'a> {
    pub(super) key: &'a Key,
    pub(super) records: &'a Records,
    pub(super) message_id: String,
    pub(super) flight: &'a Flight,
    pub(super) traveller_ids: Vec<String>,
    pub(super) booking_ids: Vec<String>,
}

impl Parts<'_> {
    pub(super) fn traveller(&self, index: Option<Index>) -> &str {
        index.and_then(|index| self.traveller_ids.get(index)).map_or("", String::as_str)
    }

    pub(super) fn booking(&self, index: Option<Index>) -> &str {
        index.and_then(|index| self.booking_ids.get(index)).map_or("", String::as_str)
    }

    /// Whose an identifier is: the traveller's, the booking's or the message's.
    pub(super) fn owner(&self, traveller: Option<Index>, booking: Option<Index>) -> &str {
        let found = [self.traveller(traveller), self.booking(booking)].into_iter().find(|id| !id.is_empty());
        found.unwrap_or(&self.message_id)
    }

    /// Whether a leg is the flight of the message.
    fn is_of_flight(&self, index: Index) -> bool {
        let Some(own) = self.flight.leg else { return false };
        let same = |one: &Leg, other: &Leg| {
            let day = |leg: &Leg| leg.departs.map(|moment| moment.day);
            one.from == other.from && one.to == other.to && day(one) == day(other)
        };
        index == own || self.records.legs.get(index).is_some_and(|leg| same(leg, &self.records.legs[own]))
    }
}

/// Seats, bags and documents of each traveller on the flight.
pub(super) struct Checks<'a> {
    pub(super) seats: Vec<Option<&'a Seat>>,
    pub(super) totals: Vec<Option<&'a BagTotal>>,
    pub(super) documents: Vec<u32>,
}

impl<'a> Checks<'a> {
    pub(super) fn of(parts: &Parts<'a>) -> Self {
        let count = parts.records.travellers.len();
        let mut checks =
            Self { seats: vec![None; count], totals: vec![None; count], documents: vec![0; count] };
        let is_of_flight = |leg: Option<Index>| leg.is_none_or(|leg| parts.is_of_flight(leg));
        for seat in parts.records.seats.iter().filter(|seat| is_of_flight(seat.leg)) {
            if let Some(own) = seat.traveller.and_then(|index| checks.seats.get_mut(index)) {
                // The seat of the check-in stands over one that was asked for.
                *own = own.filter(|own| own.checked_in || !seat.checked_in).or(Some(seat));
            }
        }
        for total in parts.records.bag_totals.iter().filter(|total| is_of_flight(total.leg)) {
            if let Some(own) = total.traveller.and_then(|index| checks.totals.get_mut(index)) {
                *own = own.or(Some(total));
            }
        }
        for document in &parts.records.documents {
            if let Some(own) = document.traveller.and_then(|index| checks.documents.get_mut(index)) {
                *own += 1;
            }
        }
        checks
    }
}
