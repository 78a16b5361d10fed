//! PAXLST.

use super::parts;
use crate::{
    edifact::Writer,
    records::{
        AgeClass, ContactKind, ContactRole, Index, Leg, MessageKind, Moment, Records, Traveller,
        TravellerKind,
    },
};

/// Writes a passenger or crew list: its flights, and all travellers with their documents, bags and seats. Airports must
/// follow each other within a flight.
pub fn paxlst(writer: &mut Writer, records: &Records) {
    let message = &records.message;
    debug_assert_eq!(message.kind, MessageKind::Paxlst, "a list is written");
    let (version, release) = message.release.split_once(':').unwrap_or(("D", "12B"));
    writer.begin(&message.reference, &["PAXLST", version, release, "UN", "IATA"]);
    writer.segment("BGM", &[&[&message.function]]);
    writer.segment("NAD", &[&["MS"], &[], &[], &[&message.origin]]);
    for contact in records.contacts.iter().filter(|contact| contact.role == ContactRole::Reporter) {
        writer.segment("COM", &[&[&contact.value, code(contact.kind)]]);
    }
    for leg in &records.legs {
        flight(writer, leg);
    }
    for (index, one) in records.travellers.iter().enumerate() {
        traveller(writer, records, index, one);
    }
    let count = records.travellers.len().to_string();
    let what = if records.travellers.iter().all(|one| one.kind == TravellerKind::Crew) { "41" } else { "42" };
    writer.segment("CNT", &[&[what, &count]]);
    writer.end();
}

fn code(kind: ContactKind) -> &'static str {
    if kind == ContactKind::Email { "EM" } else { "TE" }
}

fn flight(writer: &mut Writer, leg: &Leg) {
    let number = format!("{}{}", leg.carrier, leg.flight);
    writer.segment("TDT", &[&["20"], &[&number], &[], &[], &[&leg.carrier]]);
    for (place, airport, date, moment) in
        [("125", &leg.from, "189", leg.departs), ("87", &leg.to, "232", leg.arrives)]
    {
        if !airport.is_empty() {
            writer.segment("LOC", &[&[place], &[airport]]);
        }
        if let Some(moment) = moment {
            let (text, format) = parts::year_first(moment);
            writer.segment("DTM", &[&[date, &text, format]]);
        }
    }
}

fn traveller(writer: &mut Writer, records: &Records, index: Index, one: &Traveller) {
    let kind = match one.kind {
        TravellerKind::Passenger => "FL",
        TravellerKind::Crew => "FM",
        TravellerKind::TransitPassenger => "DDU",
        TravellerKind::TransitCrew => "DDT",
    };
    writer.segment("NAD", &[&[kind], &[], &[], &[&one.surname_text, &one.given_text, &one.middle]]);
    let sex = parts::sex(one.sex, one.age == AgeClass::Infant);
    if !sex.is_empty() {
        writer.segment("ATT", &[&["2"], &[], &[sex]]);
    }
    if let Some(birth) = one.birth {
        writer.segment("DTM", &[&["329", &crate::dates::six_digits(birth)]]);
    }
    bags(writer, records, index);
    for (place, text) in
        [("22", &one.clears), ("174", &one.residence), ("178", &one.embarks), ("179", &one.debarks)]
    {
        if !text.is_empty() {
            writer.segment("LOC", &[&[place], &[text]]);
        }
    }
    if !one.birth_place.is_empty() {
        writer.segment("LOC", &[&["180"], &["", "", "", &one.birth_place]]);
    }
    for contact in records.contacts.iter().filter(|contact| contact.traveller == Some(index)) {
        writer.segment("COM", &[&[&contact.value, code(contact.kind)]]);
    }
    if !one.nationality.is_empty() {
        writer.segment("NAT", &[&["2"], &[&one.nationality]]);
    }
    if let Some(booking) = one.booking.and_then(|booking| records.bookings.get(booking)) {
        writer.segment("RFF", &[&["AVF", &booking.locator]]);
    }
    if !one.airline_reference.is_empty() {
        writer.segment("RFF", &[&["ABO", &one.airline_reference]]);
    }
    for seat in records.seats.iter().filter(|seat| seat.traveller == Some(index)) {
        writer.segment("RFF", &[&["SEA", &seat.number]]);
    }
    documents(writer, records, index);
}

fn bags(writer: &mut Writer, records: &Records, index: Index) {
    if let Some(total) = records.bag_totals.iter().find(|total| total.traveller == Some(index)) {
        if let Some(pieces) = total.pieces {
            writer.segment("MEA", &[&["CT"], &[], &[&pieces.to_string()]]);
        }
        if let Some(kilograms) = total.kilograms {
            writer.segment("MEA", &[&["WT"], &[], &["KGM", &kilograms.to_string()]]);
        }
    }
    for bag in records.bags.iter().filter(|bag| bag.traveller == Some(index)) {
        let pieces = if bag.pieces == 1 { String::new() } else { bag.pieces.to_string() };
        writer.segment("FTX", &[&["BAG"], &[], &[], &[&bag.tag, &pieces]]);
    }
}

fn documents(writer: &mut Writer, records: &Records, index: Index) {
    for document in records.documents.iter().filter(|document| document.traveller == Some(index)) {
        writer.segment("DOC", &[&[&document.code], &[&document.number]]);
        for (code, day) in [("36", document.expires), ("182", document.issued)] {
            if let Some(day) = day {
                let (text, _) = parts::year_first(Moment { day, time: None });
                writer.segment("DTM", &[&[code, &text]]);
            }
        }
        if !document.issuer.is_empty() {
            writer.segment("LOC", &[&["91"], &[&document.issuer]]);
        }
    }
}
