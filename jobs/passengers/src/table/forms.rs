//! What a CSV file can say of travellers and of inspections: the columns that its mapping names.
//!
//! They are no tables of the archive: their rows become those of the tables of passengers, with pseudonyms.

use tidewaiter_archive::schema::{Check, Column, Kind, Layout, arrow_schema};

use super::{needed, some, sure, text};
use tidewaiter_archive::schema::column;

/// A list of travellers, one record a traveller on a flight.
pub static LISTS: Layout = Layout {
    table: "passengers/lists",
    about: "Lists of travellers, one record a traveller on a flight",
    columns: LIST_COLUMNS,
    date_column: "departs_on",
    sort_columns: &[],
    key: &["surname"],
    schema: || arrow_schema(LIST_COLUMNS),
};

/// A list of inspections, one record an inspection of a traveller of a flight.
pub static OUTCOME_LISTS: Layout = Layout {
    table: "passengers/outcomes",
    about: "Lists of inspections, one record an inspection of a traveller of a flight",
    columns: OUTCOME_COLUMNS,
    date_column: "departs_on",
    sort_columns: &[],
    key: &["flight"],
    schema: || arrow_schema(OUTCOME_COLUMNS),
};

const CARRIER: Column = needed("carrier", "airline of the flight, IATA");
const FLIGHT: Column = needed("flight", "number of the flight");
const DEPARTS_ON: Column = sure("departs_on", Kind::Date, "local day of departure");
const FROM: Column = needed("from_airport", "airport of departure, IATA");

const LIST_COLUMNS: &[Column] = &[
    CARRIER,
    FLIGHT,
    DEPARTS_ON,
    FROM,
    text("to_airport", "airport of arrival, IATA"),
    some("departs", Kind::Time, "departure, local time"),
    some("arrives", Kind::Time, "arrival, local time"),
    needed("surname", "surname"),
    text("given", "given names"),
    text("middle", "middle names"),
    some("birth", Kind::Date, "birth"),
    text("sex", "M, F or X"),
    text("nationality", "country code of two or three letters"),
    text("residence", "country code of two or three letters"),
    text("kind", "FL passenger, FM crew"),
    text("document_code", "kind of the document, such as P"),
    text("document_number", "number of the document"),
    text("document_issuer", "country of issue, two or three letters"),
    some("document_expires", Kind::Date, "last day of the document"),
    text("locator", "record locator of the booking"),
    some("booked_on", Kind::Date, "day on which the booking was made"),
    text("seat", "row and letter"),
    column("bags", Kind::Integer, false, Check::NotNegative, "pieces of checked baggage"),
    column("bag_kilograms", Kind::Number, false, Check::NotNegative, "weight of checked baggage, kg"),
    text("phone", "telephone"),
    text("email", "e-mail address"),
    text("address", "street of the postal address"),
    text("city", "city of the postal address"),
    text("postcode", "postcode of the postal address"),
    text("country_of_address", "country of the postal address, two or three letters"),
    text("frequent_flyer", "frequent flyer number with the airline"),
    text("agency", "IATA number of the agency"),
    text("payment_form", "CC credit card, CA cash and others"),
    text("payment_vendor", "issuer of the card, such as VI"),
    text("payment_account", "account, masked or not"),
    column("amount", Kind::Number, false, Check::NotNegative, "amount paid"),
    text("currency", "currency of the amount"),
];

const OUTCOME_COLUMNS: &[Column] = &[
    CARRIER,
    FLIGHT,
    DEPARTS_ON,
    FROM,
    text("surname", "surname"),
    text("given", "given names"),
    some("birth", Kind::Date, "birth"),
    text("document_number", "number of the document"),
    text("document_issuer", "country of issue, two or three letters"),
    text("locator", "record locator of the booking"),
    text("selected_by", "who chose the traveller: random, officer, profile, model or another word"),
    sure("inspected_on", Kind::Date, "day of the inspection"),
    some("known_on", Kind::Date, "day from which on the result is known; default: that of the inspection"),
    sure("found", Kind::Flag, "whether something was found"),
    text("category", "what was found"),
    column("amount", Kind::Number, false, Check::NotNegative, "how much of it"),
];
