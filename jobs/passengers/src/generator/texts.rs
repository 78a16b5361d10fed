//! Bookings of a flight as the messages that an airline sends: PNRGOV a day before, PAXLST when the doors close.
//!
//! The same person is not always written alike: titles are glued to names in bookings, a new passport can have another
//! transliteration, and a few births are keyed wrong. Start at [`messages`].

use chrono::{Days, NaiveDate, NaiveTime};

use super::{
    bookings::{Flight, Member, Paid, Plan},
    draws::Draws,
    people::{Card, Population, age},
    world::respelt,
};
use crate::{
    edifact::{CharacterSet, Syntax, Writer},
    records::{
        AgeClass, Agency, Bag, BagTotal, Booking, Contact, ContactKind, ContactRole, Document, DocumentKind,
        Leg, Membership, Message, MessageKind, Moment, Payment, Records, Seat, Sex, Ticket, Traveller,
    },
    write,
};

/// A traveller as messages name it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) surname: String,
    pub(super) given: String,
    pub(super) birth: NaiveDate,
    pub(super) passport: String,
    pub(super) expires: NaiveDate,
}

/// The name and passport under which a person flies on a day.
pub(super) fn named(population: &Population, member: &Member, day: NaiveDate) -> Named {
    let person = &member.person;
    let (passport, expires) = population.passport(person, day);
    // The spelling is that of the passport.
    let letters = passport.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
    let mut draws = Draws::of(population.seed, 50, [person.number, letters]);
    let surname = if draws.happens(0.12) { respelt(person.surname) } else { person.surname.to_owned() };
    let given = if draws.happens(0.06) { respelt(person.given) } else { person.given.to_owned() };
    Named { surname, given, birth: person.birth, passport, expires }
}

/// The interchanges of a flight, one after the other.
pub(super) fn messages(population: &Population, flight: &Flight, plans: &[Plan]) -> Vec<u8> {
    let day_before =
        Moment { day: flight.departs.day - Days::new(1), time: NaiveTime::from_hms_opt(12, 0, 0) };
    let mut bytes = interchange(flight, day_before, |writer| {
        write::pnrgov(writer, &pnr(population, flight, day_before, plans))
    });
    bytes.push(b'\n');
    bytes.extend(interchange(flight, flight.departs, |writer| {
        write::paxlst(writer, &list(population, flight, plans));
    }));
    bytes.push(b'\n');
    bytes
}

fn interchange(flight: &Flight, prepared: Moment, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let syntax = Syntax { characters: CharacterSet::Ascii, ..Syntax::default() };
    let (day, clock) = (prepared.day.format("%y%m%d").to_string(), clock(prepared));
    let (sender, recipient) = (flight.origin.carrier, format!("{}GOV", flight.destination.country));
    let mut writer =
        Writer::new(syntax, ("UNOA", "4"), sender, &recipient, (&day, &clock), &reference(flight));
    write(&mut writer);
    writer.finish()
}

fn clock(moment: Moment) -> String {
    moment.time.map_or("0000".to_owned(), |time| time.format("%H%M").to_string())
}

fn reference(flight: &Flight) -> String {
    format!("{}{}{}", flight.origin.carrier, flight.number, flight.departs.day.format("%y%m%d"))
}

fn head(kind: MessageKind, release: &str, function: &str, flight: &Flight) -> Records {
    let message = Message {
        kind,
        release: release.to_owned(),
        function: function.to_owned(),
        reference: "1".to_owned(),
        origin: flight.origin.carrier.to_owned(),
        ..Message::default()
    };
    let legs = vec![Leg {
        is_flight: true,
        from: flight.origin.code.to_owned(),
        to: flight.destination.code.to_owned(),
        departs: Some(flight.departs),
        arrives: Some(flight.arrives),
        carrier: flight.origin.carrier.to_owned(),
        flight: flight.number.clone(),
        ..Leg::default()
    }];
    Records { message, legs, ..Records::default() }
}

fn age_class(birth: NaiveDate, day: NaiveDate) -> AgeClass {
    match age(birth, day) {
        ..=1 => AgeClass::Infant,
        2..=11 => AgeClass::Child,
        _ => AgeClass::Adult,
    }
}

/// The passenger list.
fn list(population: &Population, flight: &Flight, plans: &[Plan]) -> Records {
    let mut records = head(MessageKind::Paxlst, "D:05B", "745", flight);
    let (role, value) = (ContactRole::Reporter, "0800123456".to_owned());
    records.contacts.push(Contact { role, value, ..Contact::default() });
    for plan in plans {
        let booking = Some(records.bookings.len());
        records.bookings.push(Booking { locator: plan.locator.clone(), ..Booking::default() });
        for member in &plan.members {
            let traveller = Some(records.travellers.len());
            let Named { surname, given, birth, passport, expires } =
                named(population, member, flight.departs.day);
            let home = member.person.home;
            let embarks = plan.steps.first().filter(|step| step.to.code == flight.origin.code);
            records.travellers.push(Traveller {
                booking,
                age: AgeClass::Unknown,
                surname_text: surname,
                given_text: given,
                sex: Some(member.person.sex),
                birth: Some(birth),
                nationality: home.three.to_owned(),
                residence: home.three.to_owned(),
                embarks: embarks.map_or(flight.origin, |step| step.from).code.to_owned(),
                debarks: flight.destination.code.to_owned(),
                clears: flight.destination.code.to_owned(),
                ..Traveller::default()
            });
            records.documents.push(Document {
                traveller,
                kind: DocumentKind::Passport,
                code: "P".to_owned(),
                number: passport,
                issuer: home.three.to_owned(),
                expires: Some(expires),
                ..Document::default()
            });
            let leg = Some(0);
            if member.pieces > 0 {
                let (pieces, kilograms) = (Some(member.pieces), Some(f64::from(member.kilograms)));
                records.bag_totals.push(BagTotal { traveller, leg, pieces, kilograms, segment: 0 });
            }
            records.seats.push(Seat {
                traveller,
                leg,
                number: member.seat.clone(),
                checked_in: true,
                ..Seat::default()
            });
        }
    }
    records
}

/// The bookings.
fn pnr(population: &Population, flight: &Flight, prepared: Moment, plans: &[Plan]) -> Records {
    let mut records = head(MessageKind::Pnrgov, "13:1", "22", flight);
    for plan in plans {
        booking(population, flight, prepared, plan, &mut records);
    }
    records
}

fn booking(population: &Population, flight: &Flight, prepared: Moment, plan: &Plan, records: &mut Records) {
    let booking = Some(records.bookings.len());
    let system = flight.origin.carrier.to_owned();
    let Plan { locator, created, phone, email, street, city, postcode, .. } = plan;
    records.bookings.push(Booking {
        locator: locator.clone(),
        system: system.clone(),
        others: vec![("1A".to_owned(), format!("{}Z", &locator[..5.min(locator.len())]))],
        created: Some(*created),
        changed: Some(*created),
        ..Booking::default()
    });
    let broken = plan.steps.last().filter(|step| step.to.code != flight.origin.code && plan.steps.len() > 1);
    let seller = broken.map_or(flight.origin, |step| step.to);
    records.agencies.push(Agency {
        booking,
        system: "1A".to_owned(),
        place: "MUC".to_owned(),
        number: format!("{}", 10_000_000 + plan.agency * 7919),
        office: format!("{}{:03}", seller.code, plan.agency),
        location: seller.code.to_owned(),
        kind: "T".to_owned(),
        country: seller.three.to_owned(),
        currency: "EUR".to_owned(),
        agent: format!("A{}", plan.agency % 7),
        segment: 0,
    });
    let contact = Contact { booking, ..Contact::default() };
    let (city, country) =
        ((*city).to_owned(), plan.members.first().map_or("", |one| one.person.home.three).to_owned());
    records.contacts.push(Contact {
        kind: ContactKind::Address,
        value: street.clone(),
        city,
        postcode: postcode.clone(),
        country,
        ..contact.clone()
    });
    records.contacts.push(Contact { value: phone.clone(), ..contact.clone() });
    let first = records.travellers.len();
    for (place, member) in plan.members.iter().enumerate() {
        let traveller = Some(records.travellers.len());
        traveller_of(population, flight, plan, member, place, records);
        if place == 0 {
            records.contacts.push(Contact {
                traveller,
                kind: ContactKind::Email,
                value: email.clone(),
                ..contact.clone()
            });
        }
        let total = (plan.fare * 100.0).round() / 100.0;
        let currency = "EUR".to_owned();
        records.tickets.push(Ticket {
            traveller,
            booking,
            number: format!(
                "{}{:010}",
                180 + plan.agency % 9,
                Draws::of(
                    population.seed,
                    60,
                    [
                        member.person.number,
                        created.day.signed_duration_since(population.first).num_days().unsigned_abs()
                    ]
                )
                .below(10_000_000_000)
            ),
            base: Some((plan.fare * 80.0).round() / 100.0),
            total: Some(total),
            currency: currency.clone(),
            issued: Some(*created),
            segment: 0,
        });
        let payment = Payment { traveller, booking, amount: Some(total), currency, ..Payment::default() };
        records.payments.push(match &plan.paid {
            Paid::Cash => Payment { form: "CA".to_owned(), ..payment },
            Paid::Card(Card { vendor, account, expires, payer }) => Payment {
                form: "CC".to_owned(),
                vendor: (*vendor).to_owned(),
                account: account.clone(),
                expires: expires.clone(),
                payer: payer.clone(),
                ..payment
            },
        });
    }
    for step in &plan.steps {
        let leg = Some(records.legs.len());
        let is_own = step.from.code == flight.origin.code && step.departs == flight.departs;
        let is_later = (step.departs.day, step.departs.time) > (prepared.day, prepared.time);
        records.legs.push(Leg {
            booking,
            is_flight: true,
            from: step.from.code.to_owned(),
            to: step.to.code.to_owned(),
            departs: Some(step.departs),
            arrives: step.arrives.time.is_some().then_some(step.arrives),
            carrier: flight.origin.carrier.to_owned(),
            flight: step.number.clone(),
            class: "Y".to_owned(),
            status: if is_later { "HK" } else { "TK" }.to_owned(),
            ..Leg::default()
        });
        if !is_own {
            continue;
        }
        for (place, member) in plan.members.iter().enumerate() {
            let traveller = Some(first + place);
            records.seats.push(Seat { traveller, leg, number: member.seat.clone(), ..Seat::default() });
            if member.pieces > 0 {
                let (pieces, kilograms) = (Some(member.pieces), Some(f64::from(member.kilograms)));
                records.bag_totals.push(BagTotal { traveller, leg, pieces, kilograms, segment: 0 });
                records.bags.push(Bag {
                    traveller,
                    leg,
                    carrier: flight.origin.carrier.to_owned(),
                    tag: format!("{:06}", member.person.number % 1_000_000),
                    pieces: member.pieces,
                    destination: flight.destination.code.to_owned(),
                    ..Bag::default()
                });
            }
        }
    }
}

fn traveller_of(
    population: &Population,
    flight: &Flight,
    plan: &Plan,
    member: &Member,
    place: usize,
    records: &mut Records,
) {
    let (booking, traveller) = (Some(records.bookings.len() - 1), Some(records.travellers.len()));
    let Named { surname, given, birth, passport, expires } = named(population, member, flight.departs.day);
    let day =
        u64::try_from(flight.departs.day.signed_duration_since(population.first).num_days()).unwrap_or(0);
    let mut draws = Draws::of(population.seed, 51, [member.person.number, day]);
    let title = match (member.person.sex, age(birth, flight.departs.day) < 12) {
        _ if draws.happens(0.5) => "",
        (Sex::Male, true) => "MSTR",
        (Sex::Male, false) => "MR",
        (_, true) => "MISS",
        (_, false) => "MRS",
    };
    let booked: String = given.split(' ').collect();
    // Of a hundred births a few are keyed wrong by the traveller.
    let keyed = if draws.happens(0.004) { birth + Days::new(1) } else { birth };
    records.travellers.push(Traveller {
        booking,
        age: age_class(birth, flight.departs.day),
        reference: format!("{}", place + 1),
        airline_reference: format!("{}{place}", plan.locator),
        surname_text: surname.clone(),
        given_text: format!("{booked}{title}"),
        sex: Some(member.person.sex),
        birth: Some(keyed),
        nationality: member.person.home.three.to_owned(),
        ..Traveller::default()
    });
    records.documents.push(Document {
        traveller,
        booking,
        kind: DocumentKind::Passport,
        code: "P".to_owned(),
        number: passport,
        issuer: member.person.home.three.to_owned(),
        expires: Some(expires),
        surname,
        given,
        birth: Some(keyed),
        ..Document::default()
    });
    if let Some(number) = &member.person.frequent_flyer {
        let (carrier, number) = (flight.origin.carrier.to_owned(), number.clone());
        records.memberships.push(Membership { traveller, carrier, number, ..Membership::default() });
    }
}
