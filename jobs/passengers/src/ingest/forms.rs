//! Records of CSV files: travellers as the records of a message, and inspections. Start at [`Table::new`].

use std::collections::HashMap;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{Date32Type, Float64Type, Int32Type, TimestampMicrosecondType},
    util::display::{ArrayFormatter, FormatOptions},
};
use chrono::{DateTime, NaiveDate};
use tidewaiter_core::{Error, Result};

use super::digest::first_64_bits;
use crate::{
    countries, free_text, names,
    records::{
        Agency, BagTotal, Booking, Contact, ContactKind, Document, DocumentKind, Issue, IssueKind, Leg,
        Membership, Moment, Payment, Records, Seat, Sex, Traveller, TravellerKind,
    },
};

/// An inspection as an officer's list has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) carrier: String,
    pub(super) flight: String,
    pub(super) departs_on: NaiveDate,
    pub(super) from: String,
    pub(super) surname: String,
    pub(super) given: String,
    pub(super) birth: Option<NaiveDate>,
    pub(super) document_number: String,
    pub(super) document_issuer: String,
    pub(super) locator: String,
    pub(super) selected_by: String,
    pub(super) inspected_on: NaiveDate,
    pub(super) known_on: NaiveDate,
    pub(super) found: bool,
    pub(super) category: String,
    pub(super) amount: Option<f64>,
}

/// The identities of records: digests of their cells.
pub(super) fn digests(rows: &RecordBatch) -> Result<Vec<u64>> {
    let options = FormatOptions::default();
    let columns = rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let columns: Vec<ArrayFormatter<'_>> = columns.collect::<Result<_, _>>()?;
    let mut text = String::new();
    let digest = |row: usize| {
        text.clear();
        for column in &columns {
            text.push_str(&column.value(row).to_string());
            text.push('\u{1f}');
        }
        first_64_bits(text.as_bytes())
    };
    Ok((0..rows.num_rows()).map(digest).collect())
}

/// The columns of a block of records.
pub(super) struct Table<'a> {
    columns: HashMap<&'a str, &'a ArrayRef>,
}

impl<'a> Table<'a> {
    /// The columns of a block.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when it has no columns.
    pub(super) fn new(rows: &'a RecordBatch) -> Result<Self> {
        let fields = rows.schema_ref().fields().iter();
        let columns: HashMap<_, _> = fields.map(|field| field.name().as_str()).zip(rows.columns()).collect();
        if columns.is_empty() {
            Err(Error::internal("a block of records has no columns"))
        } else {
            Ok(Self { columns })
        }
    }

    fn column(&self, name: &str) -> Option<&'a ArrayRef> {
        self.columns.get(name).copied()
    }

    /// A text without spaces around it; empty where there is none.
    fn text(&self, name: &str, row: usize) -> &'a str {
        let column = self.column(name).and_then(|column| column.as_string_opt::<i32>());
        column.filter(|column| column.is_valid(row)).map_or("", |column| column.value(row).trim())
    }

    fn owned(&self, name: &str, row: usize) -> String {
        self.text(name, row).to_owned()
    }

    fn day(&self, name: &str, row: usize) -> Option<NaiveDate> {
        let column = self.column(name)?.as_primitive_opt::<Date32Type>()?;
        column.is_valid(row).then(|| Date32Type::to_naive_date_opt(column.value(row)))?
    }

    fn moment(&self, name: &str, row: usize) -> Option<Moment> {
        let column = self.column(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
        let time = column.is_valid(row).then(|| DateTime::from_timestamp_micros(column.value(row)))??;
        let time = time.naive_utc();
        Some(Moment { day: time.date(), time: Some(time.time()) })
    }

    fn integer(&self, name: &str, row: usize) -> Option<u32> {
        let column = self.column(name)?.as_primitive_opt::<Int32Type>()?;
        column.is_valid(row).then(|| u32::try_from(column.value(row)).ok())?
    }

    fn number(&self, name: &str, row: usize) -> Option<f64> {
        let column = self.column(name)?.as_primitive_opt::<Float64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn flag(&self, name: &str, row: usize) -> bool {
        let column = self.column(name).and_then(|column| column.as_boolean_opt());
        column.is_some_and(|column| column.is_valid(row) && column.value(row))
    }

    fn required_day(&self, name: &str, row: usize) -> Result<NaiveDate> {
        self.day(name, row).ok_or_else(|| Error::internal(format!("a record has no {name}")))
    }

    /// The inspection of a record.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when a day is missing that the reader should have missed.
    pub(super) fn outcome(&self, row: usize) -> Result<Outcome> {
        let inspected_on = self.required_day("inspected_on", row)?;
        let issuer = countries::country(self.text("document_issuer", row)).0;
        Ok(Outcome {
            carrier: self.owned("carrier", row),
            flight: self.owned("flight", row),
            departs_on: self.required_day("departs_on", row)?,
            from: self.owned("from_airport", row),
            surname: self.owned("surname", row),
            given: self.owned("given", row),
            birth: self.day("birth", row),
            document_number: self.owned("document_number", row),
            document_issuer: issuer,
            locator: self.owned("locator", row),
            selected_by: self.owned("selected_by", row),
            inspected_on,
            known_on: self.day("known_on", row).unwrap_or(inspected_on),
            found: self.flag("found", row),
            category: self.owned("category", row),
            amount: self.number("amount", row),
        })
    }

    /// The traveller of a record, as a message of one traveller.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the day of departure is missing that the reader should have missed.
    pub(super) fn records(&self, row: usize) -> Result<Records> {
        let mut records = Records::default();
        let country = |records: &mut Records, name: &str| {
            let code = self.text(name, row);
            if code.is_empty() {
                return String::new();
            }
            let (country, is_known) = countries::country(code);
            if !is_known {
                let detail = format!("{name} {code:?} is no country");
                records.issues.push(issue(IssueKind::UnknownCode, detail));
            }
            country
        };
        let day = self.required_day("departs_on", row)?;
        let flight = Leg {
            is_flight: true,
            from: self.owned("from_airport", row),
            to: self.owned("to_airport", row),
            departs: self.moment("departs", row).or(Some(Moment { day, time: None })),
            arrives: self.moment("arrives", row),
            carrier: self.owned("carrier", row),
            flight: self.text("flight", row).trim_start_matches('0').to_owned(),
            ..Leg::default()
        };
        records.legs.push(flight.clone());
        let locator = self.owned("locator", row);
        let booking = (!locator.is_empty()).then_some(0);
        if booking.is_some() {
            let created = self.day("booked_on", row).map(|day| Moment { day, time: None });
            records.bookings.push(Booking { locator, created, ..Booking::default() });
            records.legs.push(Leg { booking, ..flight });
        }
        let sex = Sex::of(self.text("sex", row)).map(|(sex, _)| sex);
        if sex.is_none() && !self.text("sex", row).is_empty() {
            let detail = format!("{:?} is no sex", self.text("sex", row));
            records.issues.push(issue(IssueKind::UnknownCode, detail));
        }
        let (surname_text, given_text) = (self.text("surname", row), self.text("given", row));
        let (surname, suffix) = names::without_suffix(surname_text);
        let (given, title) = names::without_title(given_text, sex);
        if names::is_placeholder(surname) {
            records.issues.push(issue(IssueKind::PlaceholderName, format!("{surname} is no name")));
        }
        let kind =
            if self.text("kind", row) == "FM" { TravellerKind::Crew } else { TravellerKind::Passenger };
        let traveller = Traveller {
            booking,
            kind,
            surname: surname.to_owned(),
            given: given.to_owned(),
            middle: self.owned("middle", row),
            title: title.to_owned(),
            suffix: suffix.to_owned(),
            surname_text: surname_text.to_owned(),
            given_text: given_text.to_owned(),
            sex,
            birth: self.day("birth", row),
            nationality: country(&mut records, "nationality"),
            residence: country(&mut records, "residence"),
            ..Traveller::default()
        };
        records.travellers.push(traveller);
        let issuer = country(&mut records, "document_issuer");
        let address_country = country(&mut records, "country_of_address");
        self.particulars(row, &mut records, issuer, address_country);
        Ok(records)
    }

    /// What a record says beside the traveller and the flight.
    fn particulars(&self, row: usize, records: &mut Records, issuer: String, address_country: String) {
        let (traveller, leg) = (Some(0), Some(0));
        let booking = records.travellers.first().and_then(|one| one.booking);
        let number = self.owned("document_number", row);
        if !number.is_empty() {
            let code = self.owned("document_code", row);
            let (kind, expires) = (DocumentKind::of(&code).0, self.day("document_expires", row));
            let document =
                Document { traveller, booking, kind, code, number, issuer, expires, ..Document::default() };
            records.documents.push(document);
        }
        let seat = self.text("seat", row).trim_start_matches('0').to_owned();
        if !seat.is_empty() {
            records.seats.push(Seat { traveller, leg, number: seat, ..Seat::default() });
        }
        let (pieces, kilograms) = (self.integer("bags", row), self.number("bag_kilograms", row));
        if pieces.is_some() || kilograms.is_some() {
            records.bag_totals.push(BagTotal { traveller, leg, pieces, kilograms, segment: 0 });
        }
        let contact = Contact { traveller, booking, ..Contact::default() };
        if let Some(value) = free_text::phone(self.text("phone", row)) {
            records.contacts.push(Contact { value, ..contact.clone() });
        }
        let value = self.text("email", row).to_lowercase();
        if !value.is_empty() {
            records.contacts.push(Contact { kind: ContactKind::Email, value, ..contact.clone() });
        }
        let value = self.owned("address", row);
        if !value.is_empty() {
            let (city, postcode) = (self.owned("city", row), self.owned("postcode", row));
            let kind = ContactKind::Address;
            records.contacts.push(Contact {
                kind,
                value,
                city,
                postcode,
                country: address_country,
                ..contact
            });
        }
        let number = self.owned("frequent_flyer", row);
        if !number.is_empty() {
            let carrier = self.owned("carrier", row);
            records.memberships.push(Membership { traveller, carrier, number, ..Membership::default() });
        }
        let number = self.owned("agency", row);
        if !number.is_empty() {
            records.agencies.push(Agency { booking, number, ..Agency::default() });
        }
        let payment = Payment {
            traveller,
            booking,
            form: self.owned("payment_form", row),
            vendor: self.owned("payment_vendor", row),
            account: self.owned("payment_account", row),
            amount: self.number("amount", row),
            currency: self.owned("currency", row),
            ..Payment::default()
        };
        if !payment.form.is_empty() || !payment.account.is_empty() || payment.amount.is_some() {
            records.payments.push(payment);
        }
    }
}

fn issue(kind: IssueKind, detail: String) -> Issue {
    Issue { kind, segment: 0, offset: 0, tag: String::new(), detail }
}
