//! What is written is read back.

use chrono::{Days, NaiveDate, NaiveTime};
use proptest::prelude::*;

use super::{paxlst, pnrgov};
use crate::{
    dates,
    edifact::{CharacterSet, Syntax, Writer},
    reading::{self, Item},
    records::*,
};

/// The day on which all messages are prepared.
fn prepared() -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 3, 15).unwrap()
}

fn syntaxes() -> impl Strategy<Value = (Syntax, &'static str)> {
    let own = Syntax {
        component: b'|',
        element: b'*',
        terminator: b'$',
        release: Some(b'\\'),
        ..Syntax::default()
    };
    let repeating = Syntax { repetition: Some(b'*'), ..Syntax::default() };
    prop_oneof![
        Just((Syntax { characters: CharacterSet::Utf8, ..Syntax::default() }, "UNOY")),
        Just((Syntax { characters: CharacterSet::Utf8, ..own }, "UNOW")),
        Just((Syntax { characters: CharacterSet::of("UNOC").unwrap(), ..repeating }, "UNOC")),
    ]
}

fn word() -> impl Strategy<Value = String> {
    "[A-Z]{2}[A-Z0-9]{1,6}"
}

/// Text with everything that has to be released.
fn text() -> impl Strategy<Value = String> {
    "[A-Z0-9'+:?*$|é.,\\\\-]([A-Z0-9 '+:?*$|é.,\\\\-]{0,12}[A-Z0-9'+:?*$|é.,\\\\-])?"
}

fn moment() -> impl Strategy<Value = Moment> {
    (0_u64..700, 0_u32..24, 0_u32..60).prop_map(|(days, hour, minute)| Moment {
        day: NaiveDate::from_ymd_opt(2023, 6, 1).unwrap() + Days::new(days),
        time: NaiveTime::from_hms_opt(hour, minute, 0),
    })
}

fn leg() -> impl Strategy<Value = Leg> {
    ("[A-Z]{3}", "[A-Z]{3}", moment(), moment(), "[A-Z]{2}", "[1-9][0-9]{0,3}").prop_map(
        |(from, to, departs, arrives, carrier, flight)| Leg {
            is_flight: true,
            from,
            to,
            departs: Some(departs),
            arrives: Some(arrives),
            carrier,
            flight,
            ..Leg::default()
        },
    )
}

fn traveller() -> impl Strategy<Value = Traveller> {
    let given = prop::sample::select(vec!["MOLLY", "JOHN", "PETER", "ANNA", "LI", "JEAN-LUC", "ZOË"]);
    let surname = prop::sample::select(vec!["LOBB", "O'BRIEN", "DE LA CRUZ", "MÜLLER", "SMITH+JONES", "HOU"]);
    let title = prop::sample::select(vec!["", "MR", " MR", "MSTR"]);
    (surname, given, title, 0_u64..33_000, "[A-Z]{0,6}", any::<bool>()).prop_map(
        |(surname, given, title, days, middle, is_male)| {
            let birth = prepared() - Days::new(days);
            let adult = days > 20 * 366;
            let title = if is_male { title } else { "" };
            Traveller {
                age: if adult { AgeClass::Adult } else { AgeClass::Child },
                surname: surname.to_owned(),
                surname_text: surname.to_owned(),
                given: given.to_owned(),
                given_text: format!("{given}{title}"),
                title: title.trim().to_owned(),
                middle,
                sex: Some(if is_male { Sex::Male } else { Sex::Female }),
                birth: Some(birth),
                birth_is_ambiguous: !adult && dates::is_ambiguous_birth(birth, prepared()),
                nationality: "KOR".to_owned(),
                ..Traveller::default()
            }
        },
    )
}

fn document() -> impl Strategy<Value = Document> {
    ("[A-Z][0-9]{7}", 0_u64..3000).prop_map(|(number, days)| Document {
        kind: DocumentKind::Passport,
        code: "P".to_owned(),
        number,
        issuer: "FRA".to_owned(),
        expires: Some(prepared() + Days::new(days)),
        ..Document::default()
    })
}

fn message(kind: MessageKind, release: &str, function: &str) -> Message {
    Message {
        kind,
        release: release.to_owned(),
        function: function.to_owned(),
        sender: "A+B".to_owned(),
        recipient: "GOV".to_owned(),
        prepared: Some(Moment { day: prepared(), time: NaiveTime::from_hms_opt(12, 30, 0) }),
        interchange: "I1".to_owned(),
        reference: "M1".to_owned(),
        origin: "ORIGIN".to_owned(),
        ..Message::default()
    }
}

prop_compose! {
    fn lists()(
        legs in prop::collection::vec(leg(), 1..3),
        people in prop::collection::vec((traveller(), document(), text(), 0_u32..3, 1_u32..50), 0..6),
        phone in "[0-9]{8}",
    ) -> Records {
        let mut records = Records { message: message(MessageKind::Paxlst, "D:05B", "745"), legs, ..Records::default() };
        let role = ContactRole::Reporter;
        records.contacts.push(Contact { role, value: phone, ..Contact::default() });
        records.message.stated_travellers = Some(people.len() as u32);
        for (mut person, mut document, place, pieces, weight) in people {
            let own = Some(records.travellers.len());
            person.age = AgeClass::Unknown;
            person.birth_is_ambiguous = dates::is_ambiguous_birth(person.birth.unwrap(), prepared());
            person.birth_place = place;
            person.embarks = "SVO".to_owned();
            person.airline_reference = "R1".to_owned();
            person.booking = Some(records.bookings.len());
            let locator = format!("L{}", records.bookings.len());
            records.bookings.push(Booking { locator, ..Booking::default() });
            document.traveller = own;
            records.documents.push(document);
            if pieces > 0 {
                let kilograms = Some(f64::from(weight));
                let total = BagTotal { traveller: own, leg: Some(0), pieces: Some(pieces), kilograms, segment: 0 };
                records.bag_totals.push(total);
                let tag = format!("266{weight:04}");
                records.bags.push(Bag { traveller: own, leg: Some(0), tag, pieces, ..Bag::default() });
            }
            let number = format!("{weight}C");
            records.seats.push(Seat { traveller: own, leg: Some(0), number, checked_in: true, ..Seat::default() });
            records.travellers.push(person);
        }
        records
    }
}

type Person = (Traveller, Document, u32, Option<String>);

fn person() -> impl Strategy<Value = Person> {
    (traveller(), document(), 1_u32..90, prop::option::of("[a-z]{1,5}[._-]?[a-z]{2,5}@[a-z]{3}\\.org"))
}

prop_compose! {
    fn bookings()(
        flight in leg(),
        bookings in prop::collection::vec(
            (word(), text(), "[0-9]{9}", prop::collection::vec(person(), 1..4), prop::collection::vec(leg(), 0..3),
             moment(), moment()),
            0..4,
        ),
    ) -> Records {
        let mut records = Records { message: message(MessageKind::Pnrgov, "13:1", "22"), ..Records::default() };
        records.legs.push(flight);
        for (locator, street, phone, people, legs, created, changed) in bookings {
            let booking = Some(records.bookings.len());
            let others = vec![("1A".to_owned(), format!("{locator}X"))];
            let (created, changed) = (Some(created), Some(changed));
            let system = "UA".to_owned();
            records.bookings.push(Booking { locator, system, others, created, changed, ..Booking::default() });
            let [system, place, number, office, location, kind, country, currency, agent] =
                ["1A", "MUC", "12345678", "F31", "LON", "T", "GBR", "GBP", "A78987"].map(str::to_owned);
            let agency =
                Agency { booking, system, place, number, office, location, kind, country, currency, agent, segment: 0 };
            records.agencies.push(agency);
            records.contacts.push(Contact {
                booking, kind: ContactKind::Address, value: street, city: "SLOUGH".to_owned(), country: "GBR".to_owned(),
                ..Contact::default()
            });
            records.contacts.push(Contact { booking, value: phone, ..Contact::default() });
            let first = records.travellers.len();
            for (at, (mut one, mut document, seat, email)) in people.into_iter().enumerate() {
                let traveller = Some(records.travellers.len());
                (one.booking, one.reference) = (booking, (at + 1).to_string());
                one.airline_reference = format!("N{seat}");
                (document.traveller, document.booking) = (traveller, booking);
                (document.surname, document.given) = (one.surname_text.clone(), one.given.clone());
                document.birth = one.birth;
                records.documents.push(document);
                if let Some(value) = email {
                    records.contacts.push(Contact { traveller, booking, kind: ContactKind::Email, value, ..Contact::default() });
                }
                let currency = "EUR".to_owned();
                records.tickets.push(Ticket {
                    traveller, booking, number: format!("006{seat:010}"), base: Some(f64::from(seat)),
                    total: Some(f64::from(seat) + 0.25), currency: currency.clone(), issued: changed, segment: 0,
                });
                records.payments.push(Payment {
                    traveller, booking, form: "CC".to_owned(), vendor: "VI".to_owned(), account: "XXXX1234".to_owned(),
                    expires: "0128".to_owned(), amount: Some(f64::from(seat) + 0.25), currency, payer: "PAYER".to_owned(),
                    segment: 0,
                });
                records.contacts.push(Contact {
                    traveller, booking, role: ContactRole::Payer, kind: ContactKind::Address,
                    value: "1 MAIN STREET".to_owned(), ..Contact::default()
                });
                records.travellers.push(one);
            }
            for leg in legs {
                let index = Some(records.legs.len());
                let status = "HK".to_owned();
                records.legs.push(Leg { booking, status, aircraft: "767".to_owned(), class: "Y".to_owned(), ..leg });
                for traveller in first..records.travellers.len() {
                    let number = format!("{}A", traveller + 1);
                    let seat = Seat { traveller: Some(traveller), leg: index, number, ..Seat::default() };
                    records.seats.push(Seat { checked_in: true, sequence: "12".to_owned(), ..seat });
                    records.bag_totals.push(BagTotal {
                        traveller: Some(traveller), leg: index, pieces: Some(2), kilograms: Some(23.5), segment: 0,
                    });
                    records.bags.push(Bag {
                        traveller: Some(traveller), leg: index, carrier: "UA".to_owned(), tag: "0012".to_owned(), pieces: 2,
                        destination: "IAD".to_owned(), pool: "MP".to_owned(), segment: 0,
                    });
                }
            }
        }
        records
    }
}

/// Records without the places of their segments.
fn placeless(mut records: Records) -> Records {
    records.message.offset = 0;
    records.legs.iter_mut().for_each(|it| it.segment = 0);
    records.bookings.iter_mut().for_each(|it| it.segment = 0);
    records.travellers.iter_mut().for_each(|it| it.segment = 0);
    records.documents.iter_mut().for_each(|it| it.segment = 0);
    records.bags.iter_mut().for_each(|it| it.segment = 0);
    records.bag_totals.iter_mut().for_each(|it| it.segment = 0);
    records.seats.iter_mut().for_each(|it| it.segment = 0);
    records.tickets.iter_mut().for_each(|it| it.segment = 0);
    records.payments.iter_mut().for_each(|it| it.segment = 0);
    records.contacts.iter_mut().for_each(|it| it.segment = 0);
    records.agencies.iter_mut().for_each(|it| it.segment = 0);
    records
}

fn bytes(records: &Records, syntax: Syntax, identifier: &str) -> Vec<u8> {
    let mut writer = Writer::new(syntax, (identifier, "4"), "A+B", "GOV", ("240315", "1230"), "I1");
    match records.message.kind {
        MessageKind::Paxlst => paxlst(&mut writer, records),
        _ => pnrgov(&mut writer, records),
    }
    writer.finish()
}

fn read(bytes: &[u8]) -> Vec<Records> {
    let mut messages = Vec::new();
    reading::read::<std::io::Error>(bytes, |item| {
        match item {
            Item::Message(records) => messages.push(placeless(*records)),
            Item::End(end) => assert!(end.issues.is_empty(), "{:?}", end.issues),
        }
        Ok(())
    })
    .unwrap();
    messages
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn lists_are_read_as_they_were_written(records in lists(), (syntax, identifier) in syntaxes()) {
        let written = bytes(&records, syntax, identifier);
        let found = read(&written);
        prop_assert_eq!(&found, &[records], "{}", String::from_utf8_lossy(&written));
    }

    #[test]
    fn bookings_are_read_as_they_were_written(records in bookings(), (syntax, identifier) in syntaxes()) {
        let written = bytes(&records, syntax, identifier);
        let found = read(&written);
        prop_assert_eq!(&found, &[records], "{}", String::from_utf8_lossy(&written));
    }

    #[test]
    fn messages_that_were_cut_or_changed_are_read_to_their_end(
        records in prop_oneof![lists(), bookings()], from in 0.0..1.0_f64, length in 0_usize..40,
        noise in prop::collection::vec(prop::sample::select(b"'+:?*$|AZ09\n\xc3 ".to_vec()), 0..12),
    ) {
        let mut written = bytes(&records, Syntax::default(), "UNOC");
        let start = (from * written.len() as f64) as usize;
        let end = (start + length).min(written.len());
        written.splice(start..end, noise);
        let mut messages = 0;
        reading::read::<std::io::Error>(written.as_slice(), |item| {
            messages += usize::from(matches!(item, Item::Message(_)));
            Ok(())
        })
        .unwrap();
        prop_assert!(messages <= 3);
    }
}
