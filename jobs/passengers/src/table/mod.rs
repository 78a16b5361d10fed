//! The tables of passengers: what messages say, row by row, and what is found out about it.
//!
//! Every table is stored by the month of [`FLIGHT_DATE`], the day on which the message's flight departs. Columns that end
//! in `_id` join tables. Columns that end in `_key` are keyed pseudonyms: the same value has the same one in every table
//! and month, and nobody without the key can say whose it is. Raw identifiers stand in [`IDENTITIES`] alone, in the
//! particulars of [`ISSUES`] and in the table of quarantined rows, so that depersonalisation has three tables to blank.
//! Local times are stored as if they were UTC.
//!
//! What is absent: how rows are made ([`crate::ingest`]). Start at [`TABLES`]; [`builder`] makes batches.

pub mod builder;
mod forms;

use tidewaiter_archive::schema::{Check, Column, Kind, Layout, arrow_schema, column};

pub use self::forms::{LISTS, OUTCOME_LISTS};

/// The column by whose month every row is stored.
pub const FLIGHT_DATE: &str = "flight_date";

/// The tables, in the order in which an ingest changes them.
pub static TABLES: &[&Layout] = &[
    &MESSAGES,
    &TRAVELLERS,
    &DOCUMENTS,
    &BOOKINGS,
    &LEGS,
    &BAGS,
    &TICKETS,
    &PAYMENTS,
    &CONTACTS,
    &AGENCIES,
    &IDENTITIES,
    &ISSUES,
    &OUTCOMES,
    &PERSONS,
    &AUDIT,
];

const fn text(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Text, false, Check::Any, meaning)
}

const fn needed(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Text, true, Check::Any, meaning)
}

const fn count(name: &'static str, meaning: &'static str) -> Column {
    column(name, Kind::Integer, true, Check::NotNegative, meaning)
}

const fn some(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    column(name, kind, false, Check::Any, meaning)
}

const fn sure(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    column(name, kind, true, Check::Any, meaning)
}

const MESSAGE_ID: Column = needed("message_id", "the message: the first 64 bits of the SHA-256 of its bytes");
const DATE: Column =
    sure(FLIGHT_DATE, Kind::Date, "local day of departure of the message's flight, or else of preparation");
const FLIGHT_ID: Column = needed("flight_id", "the flight: airline, number, day and airport of departure");
const BOOKING_ID: Column = text("booking_id", "the booking on this flight, the same in all messages");
const TRAVELLER_ID: Column = text("traveller_id", "the traveller of this message");
const SEGMENT: Column = count("segment", "number of the segment that says so, UNH being 1");

macro_rules! table {
    ($(#[$doc:meta])* $layout:ident, $name:literal, $about:literal, $key:expr, [$($column:expr),* $(,)?]) => {
        $(#[$doc])*
        pub static $layout: Layout = {
            const COLUMNS: &[Column] = &[$($column),*];
            Layout {
                table: $name,
                about: $about,
                columns: COLUMNS,
                date_column: FLIGHT_DATE,
                sort_columns: $key,
                key: $key,
                schema: || arrow_schema(COLUMNS),
            }
        };
    };
}

table!(
    /// One row a message.
    MESSAGES, "passengers/messages", "Messages of airlines, one row a message", &["message_id"],
    [
        MESSAGE_ID,
        DATE,
        FLIGHT_ID,
        needed("kind", "PAXLST, PNRGOV, PNR-XML or CSV"),
        text("release", "version and release, such as D:02B or 13:1"),
        text("function", "what the list is for: 745 passengers, 250 crew; of PNRGOV the code of MSG"),
        text("sender", "sender of the interchange"),
        text("recipient", "recipient of the interchange"),
        text("origin", "reporting party"),
        text("interchange", "control reference of the interchange"),
        text("reference", "reference of the message"),
        text("access", "what it shares with other messages of its transfer"),
        text("transfer", "part of a transfer: C the first, F the last"),
        some("prepared", Kind::Time, "when the interchange was prepared, by the sender's clock"),
        text("characters", "character set of the interchange, UNOA to UNOY"),
        text("carrier", "airline of the flight"),
        text("flight", "number of the flight"),
        text("from_airport", "airport of departure, IATA"),
        text("to_airport", "airport of arrival, IATA"),
        some("departs", Kind::Time, "departure, local time"),
        some("arrives", Kind::Time, "arrival, local time"),
        count("travellers", "travellers and crew that it lists"),
        some("stated_travellers", Kind::Integer, "travellers that it says it lists"),
        count("bookings", "bookings that it lists"),
        count("issues", "what is wrong with it, see passengers/issues"),
        needed("file", "the file from which it was read"),
        sure("byte", Kind::Position, "the byte, or the record of a CSV file, at which it begins"),
        needed("job", "the job that read it"),
        sure("ingested_at", Kind::Time, "when that job was asked for"),
        needed("key", "fingerprint of the key of the pseudonyms"),
    ]
);

table!(
    /// One row a traveller and message.
    TRAVELLERS, "passengers/travellers", "Travellers and crew, one row for each message that lists them",
    &["flight_id", "traveller_id"],
    [
        needed("traveller_id", "the traveller of this message"),
        MESSAGE_ID,
        DATE,
        FLIGHT_ID,
        BOOKING_ID,
        needed("kind", "passenger, crew, transit passenger or transit crew"),
        text("age_class", "adult, child or infant, as booked"),
        some("age", Kind::Integer, "years on the day of the flight"),
        sure("birth_is_ambiguous", Kind::Flag, "whether the century of the birth was derived and could be another"),
        text("sex", "M, F or X"),
        text("nationality", "three letters"),
        text("residence", "country of residence, three letters"),
        text("embarks", "airport of embarkation"),
        text("debarks", "airport of debarkation"),
        text("clears", "airport of clearance by border control"),
        text("name_key", "pseudonym of surname, given names and birth"),
        text("birth_key", "pseudonym of the birth"),
        text("seat", "row and letter on this flight"),
        sure("checked_in", Kind::Flag, "whether the message has a check-in of the traveller"),
        some("bags", Kind::Integer, "pieces of checked baggage on this flight"),
        some("bag_kilograms", Kind::Number, "weight of checked baggage on this flight, kg"),
        count("documents", "travel documents that the message has of the traveller"),
        SEGMENT,
    ]
);

table!(
    /// One row a travel document of a traveller of a message.
    DOCUMENTS, "passengers/documents", "Travel documents", &["traveller_id"],
    [
        TRAVELLER_ID,
        BOOKING_ID,
        MESSAGE_ID,
        DATE,
        needed("kind", "passport, visa, identity, crew, military, permit or other"),
        text("code", "code of the kind as it stands"),
        text("document_key", "pseudonym of issuer and number"),
        text("issuer", "country of issue, three letters"),
        text("valid_for", "country for which a visa is, three letters"),
        some("issued", Kind::Date, "day of issue"),
        some("expires", Kind::Date, "last day"),
        SEGMENT,
    ]
);

table!(
    /// One row a booking of a message.
    BOOKINGS, "passengers/bookings", "Bookings (PNR), one row for each message that has them", &["booking_id"],
    [
        needed("booking_id", "the booking on this flight, the same in all messages"),
        text("reservation_key", "pseudonym of locator and day of creation, the same on all its flights"),
        MESSAGE_ID,
        DATE,
        FLIGHT_ID,
        text("system", "airline or system whose locator it is"),
        some("created", Kind::Time, "when it was made"),
        some("changed", Kind::Time, "when it was last changed"),
        count("changes", "entries of its history"),
        sure("is_group", Kind::Flag, "whether it is of a group"),
        count("travellers", "travellers in it"),
        count("legs", "flights in it"),
        text("origin", "airport at which the journey begins"),
        text("destination", "airport of the longest stay of a return journey, or else the last one"),
        sure("is_return", Kind::Flag, "whether the journey ends where it began"),
        count("locators", "locators in other systems"),
        count("remarks", "free texts in it"),
        SEGMENT,
    ]
);

table!(
    /// One row a leg of a booking, and one for each flight of a message.
    LEGS, "passengers/legs", "Legs of bookings and flights of messages", &["booking_id", "number"],
    [
        BOOKING_ID,
        MESSAGE_ID,
        DATE,
        text("flight_id", "the flight of this leg: airline, number, day and airport of departure"),
        count("number", "place in the booking or message, from 1"),
        sure("is_flight", Kind::Flag, "whether it is a flight; if not, a hotel, a car or the like"),
        text("from_airport", "airport or place of departure"),
        text("to_airport", "airport of arrival"),
        some("departs", Kind::Time, "departure, local time"),
        some("arrives", Kind::Time, "arrival, local time"),
        text("carrier", "airline that sells it"),
        text("flight", "flight number of that airline"),
        text("operating_carrier", "airline that flies it, where it is another"),
        text("operating_flight", "flight number of that airline"),
        text("class", "class of booking"),
        text("status", "status, such as HK (confirmed)"),
        text("aircraft", "type of aircraft"),
        SEGMENT,
    ]
);

table!(
    /// Checked bags that follow each other in number.
    BAGS, "passengers/bags", "Checked bags", &["traveller_id"],
    [
        TRAVELLER_ID,
        BOOKING_ID,
        MESSAGE_ID,
        DATE,
        some("leg", Kind::Integer, "number of the leg, from 1"),
        text("carrier", "airline, by code or by number"),
        text("bag_key", "pseudonym of airline and number of the first tag"),
        count("pieces", "pieces from this number on"),
        text("destination", "airport to which they are checked"),
        text("pool", "pooled with those of others: HP the head of the pool, MP a member"),
        SEGMENT,
    ]
);

table!(
    /// One row a ticket.
    TICKETS, "passengers/tickets", "Tickets with their fares", &["booking_id"],
    [
        TRAVELLER_ID,
        BOOKING_ID,
        MESSAGE_ID,
        DATE,
        text("ticket_key", "pseudonym of the number"),
        some("base", Kind::Number, "fare without taxes"),
        some("total", Kind::Number, "fare with taxes"),
        text("currency", "currency of both"),
        some("issued", Kind::Time, "when it was issued"),
        SEGMENT,
    ]
);

table!(
    /// One row a payment.
    PAYMENTS, "passengers/payments", "Payments", &["booking_id"],
    [
        TRAVELLER_ID,
        BOOKING_ID,
        MESSAGE_ID,
        DATE,
        text("form", "form: CC credit card, CA cash and others"),
        text("vendor", "issuer of the card, such as VI"),
        text("account_key", "pseudonym of issuer, account and expiry"),
        text("payer_key", "pseudonym of the payer's name"),
        some("amount", Kind::Number, "amount"),
        text("currency", "currency"),
        SEGMENT,
    ]
);

table!(
    /// One row a telephone, e-mail or postal address or frequent flyer number.
    CONTACTS, "passengers/contacts", "Telephones, addresses and frequent flyer numbers", &["booking_id"],
    [
        text("traveller_id", "the traveller of this message; null: the booking's"),
        BOOKING_ID,
        MESSAGE_ID,
        DATE,
        needed("kind", "phone, email, address or frequent flyer"),
        needed("role", "whose it is: traveller, payer or reporter"),
        text("contact_key", "pseudonym of the number or address"),
        text("carrier", "airline of a frequent flyer number"),
        text("address_country", "country of an address, three letters"),
        SEGMENT,
    ]
);

table!(
    /// One row an agency of a booking.
    AGENCIES, "passengers/agencies", "Who made the bookings", &["booking_id"],
    [
        BOOKING_ID,
        MESSAGE_ID,
        DATE,
        text("system", "airline or reservation system"),
        text("place", "its place"),
        text("number", "IATA number of the agency"),
        text("office", "office in the system"),
        text("location", "location of the office"),
        text("kind", "A an airline, T a travel agency, N others"),
        text("agency_country", "country of the agency, three letters"),
        text("currency", "currency"),
        text("agent_key", "pseudonym of agency and agent"),
        text("agency_key", "pseudonym of number and office"),
        SEGMENT,
    ]
);

table!(
    /// The raw identifiers, by their pseudonyms.
    IDENTITIES, "passengers/identities", "Raw identifiers, which depersonalisation blanks", &["key"],
    [
        needed("owner_id", "the traveller or booking"),
        MESSAGE_ID,
        DATE,
        needed("kind", "name, document, phone, email, address, frequent flyer, account, payer, ticket, locator, agent, bag or remark"),
        text("key", "its pseudonym"),
        text("value", "the identifier; of a name the surname; null once it is sealed"),
        text("given", "given and middle names, of a name"),
        text("birth", "birth, of a name: CCYY-MM-DD, as a text, of which the log of the table says nothing"),
        text("sealed", "once it is depersonalised: encrypted under the key, for re-identification"),
    ]
);

table!(
    /// What is wrong with messages.
    ISSUES, "passengers/issues", "What is wrong with messages, and segments kept as text", &["message_id"],
    [
        text("message_id", "the message; null: the envelope around messages"),
        DATE,
        needed("kind", "what is wrong, in a word"),
        count("segment", "number of the segment, UNH being 1; 0 for the envelope"),
        text("tag", "tag of the segment"),
        sure("byte", Kind::Position, "the byte of the file at which the segment begins"),
        text("detail", "what was found and expected; null once it is depersonalised"),
        text("raw", "the segment, where it is kept as text"),
        needed("file", "the file"),
    ]
);

table!(
    /// Inspections and what they found.
    OUTCOMES, "passengers/outcomes", "Inspections of travellers, one row an inspection", &["flight_id", "outcome_id"],
    [
        needed("outcome_id", "the inspection: the first 64 bits of the SHA-256 of its record"),
        DATE,
        FLIGHT_ID,
        text("name_key", "pseudonym of surname, given names and birth"),
        text("document_key", "pseudonym of issuer and number of the document"),
        BOOKING_ID,
        text("selected_by", "who chose the traveller: random, officer, profile, model or another word"),
        sure("inspected_on", Kind::Date, "day of the inspection"),
        sure("known_on", Kind::Date, "day from which on the result is known"),
        sure("found", Kind::Flag, "whether something was found"),
        text("category", "what was found"),
        some("amount", Kind::Number, "how much of it, in the category's unit"),
    ]
);

table!(
    /// Who a traveller is, across messages and trips.
    PERSONS, "passengers/persons", "Travellers linked to persons, one row a traveller of a message", &["traveller_id"],
    [
        needed("traveller_id", "the traveller of a message"),
        DATE,
        needed("trip_id", "the traveller on the flight, the same in all messages"),
        needed("person_id", "the person, the same on all flights"),
        sure("is_primary", Kind::Flag, "whether this is the row of the trip to be used"),
    ]
);

table!(
    /// What was done to personal data, and why.
    AUDIT, "passengers/audit", "Depersonalisation, deletion and re-identification, one row an action and table", &["at"],
    [
        sure("at", Kind::Time, "when it was asked for"),
        sure(FLIGHT_DATE, Kind::Date, "the day of it"),
        needed("action", "depersonalise, delete or reidentify"),
        needed("job", "the job"),
        text("reason", "the written reason"),
        some("cutoff", Kind::Date, "flights before this day"),
        text("table_name", "the table"),
        sure("rows", Kind::Position, "rows that were changed, deleted or shown"),
        text("key", "the pseudonym that was asked for"),
    ]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_date_and_its_order() {
        for layout in TABLES {
            let schema = (layout.schema)();
            assert!(
                schema.field_with_name(FLIGHT_DATE).is_ok_and(|field| !field.is_nullable()),
                "{}",
                layout.table
            );
            for column in layout.sort_columns {
                assert!(schema.field_with_name(column).is_ok(), "{} {column}", layout.table);
            }
            assert!(layout.table.starts_with("passengers/"));
        }
    }
}
