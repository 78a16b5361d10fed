//! PNRGOV.

use super::parts;
use crate::{
    dates,
    edifact::Writer,
    records::{
        AgeClass, Agency, Booking, Contact, ContactKind, ContactRole, Document, DocumentKind, Index, Leg,
        MessageKind, Records, Traveller,
    },
};

/// Writes bookings: for each its agency and contacts, its travellers with documents, tickets and payments, and its legs
/// with seats and bags. Flights of the message are those legs that have no booking.
pub fn pnrgov(writer: &mut Writer, records: &Records) {
    let message = &records.message;
    debug_assert_eq!(message.kind, MessageKind::Pnrgov, "bookings are written");
    let (version, release) = message.release.split_once(':').unwrap_or(("13", "1"));
    writer.begin(&message.reference, &["PNRGOV", version, release, "IA"]);
    writer.segment("MSG", &[&["", &message.function]]);
    writer.segment("ORG", &[&[&message.origin]]);
    for leg in records.legs.iter().filter(|leg| leg.booking.is_none()) {
        flight(writer, leg);
    }
    writer.segment("EQN", &[&[&records.bookings.len().to_string()]]);
    for (index, one) in records.bookings.iter().enumerate() {
        booking(writer, records, index, one);
    }
    writer.end();
}

fn booking(writer: &mut Writer, records: &Records, index: Index, one: &Booking) {
    writer.segment("SRC", &[]);
    let (day, clock) = parts::day_and_clock(one.created);
    let own: [&str; 5] = [&one.system, &one.locator, "", &day, &clock];
    let others: Vec<[&str; 2]> =
        one.others.iter().map(|(system, locator)| [system.as_str(), locator]).collect();
    let elements: Vec<&[&str]> =
        std::iter::once(own.as_slice()).chain(others.iter().map(<[&str; 2]>::as_slice)).collect();
    writer.segment("RCI", &elements);
    if one.changed.is_some() {
        let (day, clock) = parts::day_and_clock(one.changed);
        writer.segment("DAT", &[&["700", &day, &clock]]);
    }
    for agency in records.agencies.iter().filter(|agency| agency.booking == Some(index)) {
        origin(writer, agency);
    }
    for contact in contacts(records, Some(index), None, ContactRole::Traveller) {
        reachable(writer, contact);
    }
    if !one.group.is_empty() {
        writer.segment("TIF", &[&[&one.group, "G"]]);
    }
    let of_booking = |traveller: &Traveller| traveller.booking == Some(index);
    for (at, traveller) in (0..).zip(&records.travellers).filter(|(_, traveller)| of_booking(traveller)) {
        person(writer, records, at, traveller);
    }
    for (at, leg) in (0..).zip(&records.legs).filter(|(_, leg)| leg.booking == Some(index)) {
        flight(writer, leg);
        seats(writer, records, at, leg);
        check_ins(writer, records, at);
    }
}

fn contacts(
    records: &Records,
    booking: Option<Index>,
    traveller: Option<Index>,
    role: ContactRole,
) -> impl Iterator<Item = &Contact> {
    let is_it = move |it: &&Contact| (it.booking, it.traveller, it.role) == (booking, traveller, role);
    records.contacts.iter().filter(is_it)
}

fn origin(writer: &mut Writer, agency: &Agency) {
    writer.segment(
        "ORG",
        &[
            &[&agency.system, &agency.place],
            &[&agency.number, &agency.office],
            &[&agency.location],
            &[],
            &[&agency.kind],
            &[&agency.country, &agency.currency],
            &[&agency.agent],
        ],
    );
}

fn reachable(writer: &mut Writer, contact: &Contact) {
    match contact.kind {
        ContactKind::Phone => writer.segment("ADD", &[&[], &["700", "", "", "", "", "", "", &contact.value]]),
        ContactKind::Email => {
            let text = format!("CTCE {}", parts::keyed_email(&contact.value));
            writer.segment("IFT", &[&["4", "28"], &[&text]]);
        }
        ContactKind::Address => {
            let Contact { value, city, region, country, postcode, .. } = contact;
            writer.segment("ADD", &[&[], &["700", value, city, region, "", country, postcode]]);
        }
    }
}

fn person(writer: &mut Writer, records: &Records, index: Index, one: &Traveller) {
    name(writer, one);
    for it in records.memberships.iter().filter(|it| it.traveller == Some(index)) {
        writer.segment("FTI", &[&[&it.carrier, &it.number, "", "", &it.level]]);
    }
    for contact in contacts(records, one.booking, Some(index), ContactRole::Traveller) {
        reachable(writer, contact);
    }
    if !one.airline_reference.is_empty() {
        writer.segment("REF", &[&["", &one.airline_reference]]);
    }
    for document in records.documents.iter().filter(|document| document.traveller == Some(index)) {
        travel_document(writer, one, document);
    }
    for ticket in records.tickets.iter().filter(|ticket| ticket.traveller == Some(index)) {
        writer.segment("TKT", &[&[&ticket.number]]);
        let amount = |amount: Option<f64>| amount.map_or(String::new(), |amount| format!("{amount:.2}"));
        let (base, total) = (amount(ticket.base), amount(ticket.total));
        writer.segment("MON", &[&["B", &base, &ticket.currency], &["T", &total, &ticket.currency]]);
        if ticket.issued.is_some() {
            let (day, clock) = parts::day_and_clock(ticket.issued);
            writer.segment("DAT", &[&["710", &day, &clock]]);
        }
    }
    for payment in records.payments.iter().filter(|payment| payment.traveller == Some(index)) {
        let amount = payment.amount.map_or(String::new(), |amount| format!("{amount:.2}"));
        let card: [&str; 6] =
            [&payment.form, "", &amount, &payment.vendor, &payment.account, &payment.expires];
        writer.segment("FOP", &[&card]);
        let payer = |kind| {
            let mut found = contacts(records, one.booking, Some(index), ContactRole::Payer);
            found.find(|contact| contact.kind == kind).map_or("", |contact| contact.value.as_str())
        };
        let (address, phone) = (payer(ContactKind::Address), payer(ContactKind::Phone));
        if ![&payment.payer, address, phone].iter().all(|text| text.is_empty()) {
            writer.segment("IFT", &[&["4", "43"], &[&payment.payer], &[address], &[phone]]);
        }
    }
}

fn name(writer: &mut Writer, one: &Traveller) {
    let age = match one.age {
        AgeClass::Adult => "A",
        AgeClass::Child => "C",
        AgeClass::Infant => "IN",
        AgeClass::Unknown => "",
    };
    writer.segment("TIF", &[&[&one.surname_text], &[&one.given_text, age, &one.reference]]);
}

fn travel_document(writer: &mut Writer, one: &Traveller, document: &Document) {
    if document.kind == DocumentKind::Visa {
        let issued = document.issued.map_or(String::new(), dates::named);
        let fields = [
            &one.birth_place,
            &document.code,
            &document.number,
            &document.place,
            &issued,
            &document.valid_for,
        ];
        let text = fields.map(|field| parts::slashless(field)).join("/");
        writer.segment("SSR", &[&["DOCO", "HK", "1", "", "", "", "", "", &text], &["", "", &one.reference]]);
        return;
    }
    let birth = one.birth.map_or(String::new(), dates::named);
    let expires = document.expires.map_or(String::new(), dates::named);
    let sex = parts::sex(one.sex, one.age == AgeClass::Infant);
    let fields: [&str; 11] = [
        "",
        &document.code,
        &document.issuer,
        &document.number,
        &one.nationality,
        &birth,
        sex,
        &expires,
        &document.surname,
        &document.given,
        &one.middle,
    ];
    let text = fields.map(parts::slashless).join("/");
    writer.segment("SSR", &[&["DOCS", "HK", "1", "", "", "", "", "", &text], &["", "", &one.reference]]);
}

fn flight(writer: &mut Writer, leg: &Leg) {
    let (day, clock) = parts::day_and_clock(leg.departs);
    let (arrival, arrival_clock) = parts::day_and_clock(leg.arrives);
    writer.segment(
        "TVL",
        &[
            &[&day, &clock, &arrival, &arrival_clock],
            &[&leg.from],
            &[&leg.to],
            &[&leg.carrier, &leg.operating_carrier],
            &[&leg.flight, &leg.class],
        ],
    );
    if leg.booking.is_none() {
        return;
    }
    if !leg.operating_flight.is_empty() {
        writer.segment("TVL", &[&[], &[], &[], &[], &[&leg.operating_flight, &leg.class]]);
    }
    if !leg.status.is_empty() {
        writer.segment("RPI", &[&[], &[&leg.status]]);
    }
    if !leg.aircraft.is_empty() {
        writer.segment("APD", &[&[&leg.aircraft]]);
    }
}

/// Seats that were asked for; those of the check-in follow with it.
fn seats(writer: &mut Writer, records: &Records, index: Index, leg: &Leg) {
    for seat in records.seats.iter().filter(|seat| seat.leg == Some(index) && !seat.checked_in) {
        let Some(traveller) = seat.traveller.and_then(|at| records.travellers.get(at)) else { continue };
        writer.segment(
            "SSR",
            &[
                &["SEAT", "HK", "1", &leg.carrier, "", "", &leg.from, &leg.to],
                &[&seat.number, "", &traveller.reference],
            ],
        );
    }
}

fn check_ins(writer: &mut Writer, records: &Records, index: Index) {
    for (at, traveller) in records.travellers.iter().enumerate() {
        let own = (Some(at), Some(index));
        let seat = records.seats.iter().find(|it| (it.traveller, it.leg) == own && it.checked_in);
        let total = records.bag_totals.iter().find(|it| (it.traveller, it.leg) == own);
        if seat.is_none() && total.is_none() {
            continue;
        }
        let sequence = seat.map_or("", |seat| seat.sequence.as_str());
        writer.segment("TRI", &[&[], &[sequence]]);
        name(writer, traveller);
        if let Some(seat) = seat {
            writer.segment("SSD", &[&[&seat.number]]);
        }
        if let Some(total) = total {
            let pieces = total.pieces.map_or(String::new(), |pieces| pieces.to_string());
            let weight = total.kilograms.map_or(String::new(), |weight| weight.to_string());
            let bags: Vec<_> = records.bags.iter().filter(|it| (it.traveller, it.leg) == own).collect();
            let pool = bags.first().map_or("", |bag| bag.pool.as_str());
            let tags: Vec<[String; 4]> = bags
                .iter()
                .map(|bag| {
                    [bag.carrier.clone(), bag.tag.clone(), bag.pieces.to_string(), bag.destination.clone()]
                })
                .collect();
            let tags: Vec<[&str; 4]> = tags.iter().map(|tag| tag.each_ref().map(String::as_str)).collect();
            let head: [&[&str]; 4] = [&[], &[&pieces, &weight, "700"], &[], &[pool]];
            let elements: Vec<&[&str]> =
                head.into_iter().chain(tags.iter().map(<[&str; 4]>::as_slice)).collect();
            writer.segment("TBD", &elements);
        }
    }
}
