//! The records of a message as rows of the tables, with pseudonyms in place of identifiers.
//!
//! All rows of a message are stored on the day of its flight: of the first flight of the message that says when it
//! departs, or else of its first leg. Start at [`TableRows::add`].

use std::collections::{BTreeMap, HashMap};

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use tidewaiter_archive::schema::Layout;
use tidewaiter_core::{Result, chance};

use super::{
    journey::Journey,
    parts::{Checks, Flight, Origin, Parts, booking_id, flight_id},
    words,
};
use crate::{
    identifiers,
    privacy::{hexadecimal::sixteen, key::Key},
    records::{Contact, ContactKind, Index, Issue, Leg, Records, Traveller},
    table::{
        AGENCIES, BAGS, BOOKINGS, CONTACTS, DOCUMENTS, IDENTITIES, ISSUES, LEGS, MESSAGES, PAYMENTS, TICKETS,
        TRAVELLERS,
        builder::{Cell, Rows},
    },
};

/// Rows after which those of all tables are given on as batches.
const BATCH_ROWS: usize = 24 << 10;

/// Years between a birth and a day.
fn age(birth: NaiveDate, day: NaiveDate) -> Option<u32> {
    day.years_since(birth)
}

/// The rows of all tables that are not yet batches.
pub(super) struct TableRows {
    messages: Rows,
    travellers: Rows,
    documents: Rows,
    bookings: Rows,
    legs: Rows,
    bags: Rows,
    tickets: Rows,
    payments: Rows,
    contacts: Rows,
    agencies: Rows,
    identities: Rows,
    issues: Rows,
}

impl TableRows {
    pub(super) fn new() -> Self {
        Self {
            messages: Rows::new(&MESSAGES),
            travellers: Rows::new(&TRAVELLERS),
            documents: Rows::new(&DOCUMENTS),
            bookings: Rows::new(&BOOKINGS),
            legs: Rows::new(&LEGS),
            bags: Rows::new(&BAGS),
            tickets: Rows::new(&TICKETS),
            payments: Rows::new(&PAYMENTS),
            contacts: Rows::new(&CONTACTS),
            agencies: Rows::new(&AGENCIES),
            identities: Rows::new(&IDENTITIES),
            issues: Rows::new(&ISSUES),
        }
    }

    fn all(&mut self) -> [&mut Rows; 12] {
        [
            &mut self.messages,
            &mut self.travellers,
            &mut self.documents,
            &mut self.bookings,
            &mut self.legs,
            &mut self.bags,
            &mut self.tickets,
            &mut self.payments,
            &mut self.contacts,
            &mut self.agencies,
            &mut self.identities,
            &mut self.issues,
        ]
    }

    /// Whether there are enough for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.identities.len() + self.travellers.len() + self.issues.len() >= BATCH_ROWS
    }

    /// The rows of each table that has some.
    pub(super) fn finish(&mut self) -> Result<Vec<(&'static Layout, RecordBatch)>> {
        let filled = self.all().into_iter().filter(|rows| !rows.is_empty());
        filled.map(|rows| Ok((rows.layout(), rows.finish()?))).collect()
    }

    /// Adds the rows of a message.
    pub(super) fn add(&mut self, key: &Key, origin: Origin<'_>, flight: &Flight, records: &Records) {
        let id_of = |place: u64, index: usize| sixteen(chance::stream(origin.id ^ place, index as u64));
        let booking = |(index, booking): (usize, &crate::records::Booking)| {
            let id = booking_id(key, &booking.locator, &flight.id);
            if id.is_empty() { id_of(2, index) } else { id }
        };
        let parts = Parts {
            key,
            records,
            message_id: sixteen(origin.id),
            flight,
            traveller_ids: (0..records.travellers.len()).map(|index| id_of(1, index)).collect(),
            booking_ids: records.bookings.iter().enumerate().map(booking).collect(),
        };
        self.message(&parts, origin);
        self.travellers(&parts);
        self.documents(&parts);
        self.bookings(&parts);
        self.legs(&parts);
        self.bags(&parts);
        self.fares(&parts);
        self.contacts(&parts);
        self.agencies(&parts);
        for remark in &records.remarks {
            let owner = parts.owner(remark.traveller, remark.booking);
            self.identity(&parts, owner, "remark", "", &format!("{}: {}", remark.code, remark.text));
        }
        let raw = records.unknown.iter().map(|raw| (raw.segment, raw.text.as_str())).collect();
        self.issues(&records.issues, &raw, Some(&parts.message_id), flight.day, origin.file);
    }

    fn message(&mut self, parts: &Parts<'_>, origin: Origin<'_>) {
        let (message, flight) = (&parts.records.message, parts.flight);
        let leg = flight.leg.map(|leg| &parts.records.legs[leg]);
        let text = |of: fn(&Leg) -> &String| Cell::from(leg.map(of));
        self.messages.push([
            Cell::from(&parts.message_id),
            flight.day.into(),
            Cell::from(&flight.id),
            origin.kind.into(),
            Cell::from(&message.release),
            Cell::from(&message.function),
            Cell::from(&message.sender),
            Cell::from(&message.recipient),
            Cell::from(&message.origin),
            Cell::from(&message.interchange),
            Cell::from(&message.reference),
            Cell::from(&message.access),
            Cell::from(&message.transfer),
            message.prepared.into(),
            origin.characters.into(),
            text(|leg| &leg.carrier),
            text(|leg| &leg.flight),
            text(|leg| &leg.from),
            text(|leg| &leg.to),
            leg.and_then(|leg| leg.departs).into(),
            leg.and_then(|leg| leg.arrives).into(),
            parts.records.travellers.len().into(),
            message.stated_travellers.into(),
            parts.records.bookings.len().into(),
            parts.records.issues.len().into(),
            origin.file.into(),
            message.offset.into(),
            origin.job.into(),
            Cell::Time(origin.ingested_us),
            parts.key.fingerprint().into(),
        ]);
    }

    fn identity(&mut self, parts: &Parts<'_>, owner: &str, kind: &str, key: &str, value: &str) {
        self.identities.push([
            owner.into(),
            Cell::from(&parts.message_id),
            parts.flight.day.into(),
            kind.into(),
            key.into(),
            value.into(),
            Cell::None,
            Cell::None,
            Cell::None,
        ]);
    }

    /// The pseudonym of an identifier, which is kept with its raw value; the empty text for none.
    fn keyed(&mut self, parts: &Parts<'_>, owner: &str, kind: &str, normal: &str, value: &str) -> String {
        let key = parts.key.pseudonym(kind, normal);
        if !key.is_empty() {
            self.identity(parts, owner, kind, &key, value);
        }
        key
    }

    fn travellers(&mut self, parts: &Parts<'_>) {
        let (records, flight) = (parts.records, parts.flight);
        let checks = Checks::of(parts);
        for (index, (one, id)) in records.travellers.iter().zip(&parts.traveller_ids).enumerate() {
            let Traveller { surname, given, middle, birth, .. } = one;
            let name_key = parts.key.pseudonym("name", &identifiers::name(surname, given, *birth));
            let birth_key = parts.key.pseudonym("birth", &identifiers::day(*birth));
            let all_given = [given.as_str(), middle].join(" ");
            self.identities.push([
                Cell::from(id),
                Cell::from(&parts.message_id),
                flight.day.into(),
                "name".into(),
                Cell::from(&name_key),
                Cell::from(surname),
                all_given.trim().into(),
                Cell::from(&birth.map_or(String::new(), |birth| birth.to_string())),
                Cell::None,
            ]);
            let (seat, total) = (checks.seats[index], checks.totals[index]);
            let is_checked_in = seat.is_some_and(|seat| seat.checked_in) || total.is_some();
            self.travellers.push([
                Cell::from(id),
                Cell::from(&parts.message_id),
                flight.day.into(),
                Cell::from(&flight.id),
                parts.booking(one.booking).into(),
                words::of_traveller(one.kind).into(),
                words::of_age(one.age).into(),
                birth.and_then(|birth| age(birth, flight.day)).into(),
                one.birth_is_ambiguous.into(),
                one.sex.map(words::of_sex).into(),
                Cell::from(&one.nationality),
                Cell::from(&one.residence),
                Cell::from(&one.embarks),
                Cell::from(&one.debarks),
                Cell::from(&one.clears),
                Cell::from(&name_key),
                Cell::from(&birth_key),
                seat.map(|seat| &seat.number).into(),
                is_checked_in.into(),
                total.and_then(|total| total.pieces).into(),
                total.and_then(|total| total.kilograms).into(),
                checks.documents[index].into(),
                one.segment.into(),
            ]);
        }
    }

    fn documents(&mut self, parts: &Parts<'_>) {
        for one in &parts.records.documents {
            let owner = parts.owner(one.traveller, one.booking);
            let normal = identifiers::document(&one.issuer, &one.number);
            let shown = format!("{} {}", one.issuer, one.number);
            let key = self.keyed(parts, owner, "document", &normal, shown.trim());
            let booking = one.booking.or_else(|| parts.records.travellers.get(one.traveller?)?.booking);
            self.documents.push([
                parts.traveller(one.traveller).into(),
                parts.booking(booking).into(),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                words::of_document(one.kind).into(),
                Cell::from(&one.code),
                Cell::from(&key),
                Cell::from(&one.issuer),
                Cell::from(&one.valid_for),
                one.issued.into(),
                one.expires.into(),
                one.segment.into(),
            ]);
        }
    }

    fn bookings(&mut self, parts: &Parts<'_>) {
        let records = parts.records;
        let travellers = counts(records.bookings.len(), records.travellers.iter().map(|one| one.booking));
        let remarks = counts(records.bookings.len(), records.remarks.iter().map(|one| one.booking));
        let journeys = Journey::of_bookings(records);
        for (index, (one, id)) in records.bookings.iter().zip(&parts.booking_ids).enumerate() {
            let created = identifiers::day(one.created.map(|moment| moment.day));
            let normal = if created.is_empty() {
                String::new()
            } else {
                identifiers::number_of(&created, &one.locator)
            };
            let reservation = parts.key.pseudonym("reservation", &normal);
            if !one.locator.is_empty() {
                self.identity(parts, id, "locator", id, &one.locator);
            }
            let journey = &journeys[index];
            self.bookings.push([
                Cell::from(id),
                Cell::from(&reservation),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                Cell::from(&parts.flight.id),
                Cell::from(&one.system),
                one.created.into(),
                one.changed.into(),
                one.changes.into(),
                (!one.group.is_empty()).into(),
                travellers[index].into(),
                journey.flights.into(),
                journey.origin.into(),
                journey.destination.into(),
                journey.is_return.into(),
                one.others.len().into(),
                remarks[index].into(),
                one.segment.into(),
            ]);
        }
    }

    fn legs(&mut self, parts: &Parts<'_>) {
        for (leg, number) in parts.records.legs.iter().zip(leg_numbers(&parts.records.legs)) {
            let departs = leg.departs.filter(|_| leg.is_flight);
            let id = departs
                .map_or(String::new(), |moment| flight_id(&leg.carrier, &leg.flight, moment.day, &leg.from));
            self.legs.push([
                parts.booking(leg.booking).into(),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                Cell::from(&id),
                number.into(),
                leg.is_flight.into(),
                Cell::from(&leg.from),
                Cell::from(&leg.to),
                leg.departs.into(),
                leg.arrives.into(),
                Cell::from(&leg.carrier),
                Cell::from(&leg.flight),
                Cell::from(&leg.operating_carrier),
                Cell::from(&leg.operating_flight),
                Cell::from(&leg.class),
                Cell::from(&leg.status),
                Cell::from(&leg.aircraft),
                leg.segment.into(),
            ]);
        }
    }

    fn bags(&mut self, parts: &Parts<'_>) {
        let leg_numbers = leg_numbers(&parts.records.legs);
        for bag in &parts.records.bags {
            let booking = bag.traveller.and_then(|index| parts.records.travellers.get(index)?.booking);
            let owner = parts.owner(bag.traveller, booking);
            let normal = identifiers::number_of(&bag.carrier, &bag.tag);
            let key = self.keyed(parts, owner, "bag", &normal, &normal);
            let leg = bag.leg.and_then(|at| leg_numbers.get(at).copied());
            self.bags.push([
                parts.traveller(bag.traveller).into(),
                parts.booking(booking).into(),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                leg.into(),
                Cell::from(&bag.carrier),
                Cell::from(&key),
                bag.pieces.into(),
                Cell::from(&bag.destination),
                Cell::from(&bag.pool),
                bag.segment.into(),
            ]);
        }
    }

    /// Tickets and payments.
    fn fares(&mut self, parts: &Parts<'_>) {
        for one in &parts.records.tickets {
            let owner = parts.owner(one.traveller, one.booking);
            let key =
                self.keyed(parts, owner, "ticket", &identifiers::number_of("", &one.number), &one.number);
            self.tickets.push([
                parts.traveller(one.traveller).into(),
                parts.booking(one.booking).into(),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                Cell::from(&key),
                one.base.into(),
                one.total.into(),
                Cell::from(&one.currency),
                one.issued.into(),
                one.segment.into(),
            ]);
        }
        for one in &parts.records.payments {
            let owner = parts.owner(one.traveller, one.booking);
            let normal = identifiers::account(&one.vendor, &one.account, &one.expires);
            let account = self.keyed(parts, owner, "account", &normal, &normal);
            let payer = self.keyed(parts, owner, "payer", &identifiers::payer(&one.payer), &one.payer);
            self.payments.push([
                parts.traveller(one.traveller).into(),
                parts.booking(one.booking).into(),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                Cell::from(&one.form),
                Cell::from(&one.vendor),
                Cell::from(&account),
                Cell::from(&payer),
                one.amount.into(),
                Cell::from(&one.currency),
                one.segment.into(),
            ]);
        }
    }

    fn contacts(&mut self, parts: &Parts<'_>) {
        for one in &parts.records.contacts {
            let booking = one.booking.or_else(|| parts.records.travellers.get(one.traveller?)?.booking);
            let owner = parts.owner(one.traveller, booking);
            let kind = words::of_contact(one.kind);
            let (normal, shown) = contact(one);
            let key = self.keyed(parts, owner, kind, &normal, &shown);
            self.contacts.push([
                parts.traveller(one.traveller).into(),
                parts.booking(booking).into(),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                kind.into(),
                words::of_role(one.role).into(),
                Cell::from(&key),
                Cell::None,
                Cell::from(&one.country),
                one.segment.into(),
            ]);
        }
        for one in &parts.records.memberships {
            let booking = one.traveller.and_then(|index| parts.records.travellers.get(index)?.booking);
            let owner = parts.owner(one.traveller, booking);
            let normal = identifiers::number_of(&one.carrier, &one.number);
            let key = self.keyed(parts, owner, words::FREQUENT_FLYER, &normal, &normal);
            self.contacts.push([
                parts.traveller(one.traveller).into(),
                parts.booking(booking).into(),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                words::FREQUENT_FLYER.into(),
                "traveller".into(),
                Cell::from(&key),
                Cell::from(&one.carrier),
                Cell::None,
                one.segment.into(),
            ]);
        }
    }

    fn agencies(&mut self, parts: &Parts<'_>) {
        for one in &parts.records.agencies {
            let owner = parts.owner(None, one.booking);
            let issuer = if one.number.is_empty() { &one.office } else { &one.number };
            let normal = identifiers::number_of(issuer, &one.agent);
            let agent = self.keyed(parts, owner, "agent", &normal, &normal);
            let both = [one.number.as_str(), &one.office].concat();
            let agency = parts.key.pseudonym("agency", &both);
            self.agencies.push([
                parts.booking(one.booking).into(),
                Cell::from(&parts.message_id),
                parts.flight.day.into(),
                Cell::from(&one.system),
                Cell::from(&one.place),
                Cell::from(&one.number),
                Cell::from(&one.office),
                Cell::from(&one.location),
                Cell::from(&one.kind),
                Cell::from(&one.country),
                Cell::from(&one.currency),
                Cell::from(&agent),
                Cell::from(&agency),
                one.segment.into(),
            ]);
        }
    }

    /// Adds what is wrong with a message or, without an id, with the envelope around messages. Of segments that are kept
    /// as text there is the text.
    pub(super) fn issues(
        &mut self,
        issues: &[Issue],
        raw: &BTreeMap<u32, &str>,
        message: Option<&str>,
        day: NaiveDate,
        file: &str,
    ) {
        for issue in issues {
            self.issues.push([
                message.into(),
                day.into(),
                issue.kind.word().into(),
                issue.segment.into(),
                Cell::from(&issue.tag),
                issue.offset.into(),
                Cell::from(&issue.detail),
                raw.get(&issue.segment).copied().into(),
                file.into(),
            ]);
        }
    }
}

/// The number of each leg: its place among those of its booking, from 1.
fn leg_numbers(legs: &[Leg]) -> Vec<u32> {
    let mut counts = HashMap::<Option<Index>, u32>::new();
    let number = |leg: &Leg| {
        let count = counts.entry(leg.booking).or_default();
        *count += 1;
        *count
    };
    legs.iter().map(number).collect()
}

/// How often each index is there.
fn counts(length: usize, indices: impl Iterator<Item = Option<Index>>) -> Vec<u32> {
    let mut counts = vec![0; length];
    for index in indices.flatten() {
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
    }
    counts
}

/// A contact in its normal form, and as it is shown.
fn contact(one: &Contact) -> (String, String) {
    match one.kind {
        ContactKind::Phone => (identifiers::phone(&one.value), one.value.clone()),
        ContactKind::Email => (identifiers::email(&one.value), one.value.clone()),
        ContactKind::Address => {
            let Contact { value, city, region, postcode, country, .. } = one;
            let parts = [value, city, region, postcode, country];
            let shown: Vec<&str> =
                parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
            (identifiers::address([value, city, postcode, country]), shown.join(", "))
        }
    }
}
