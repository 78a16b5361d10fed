//! The samples of PNR XML, and XML that is broken off.

use super::{documents, legs, read, sample, travellers};
use crate::{pnr_xml::translate, records::Records};

fn xml(name: &str) -> Option<(Records, bool)> {
    let translation = translate(sample(name)?.as_slice());
    let (mut messages, ends) = read(&translation.message);
    assert!(ends[0].issues.is_empty(), "{:?}", ends[0].issues);
    Some((messages.remove(0), translation.damage.is_some()))
}

#[test]
fn sample_three_of_a_family() {
    let Some((records, damaged)) = xml("pnrgov-xml/test_pnr.xml") else { return };
    assert_eq!(legs(&records), ["0 LHR-WAW 2024-01-01T10:15 2024-01-01T14:20 ENT1234"]);
    assert_eq!(
        travellers(&records),
        [
            "0 KOWALSKA/ANNA/ F 2002-12-30 Unknown",
            "0 KOWALSKI/ADAM/ M 2022-12-30 Unknown",
            "0 KOWALSKI/JAN/ M 2002-12-30 Unknown"
        ]
    );
    assert_eq!(
        documents(&records),
        [
            "0 Passport BA5345321 POL 2027-08-30",
            "1 Passport ZC9038023 POL 2026-02-11",
            "2 Passport AB1324659 POL 2025-11-21"
        ]
    );
    assert_eq!((records.bookings[0].locator.as_str(), damaged), ("00A234B", false));
}

#[test]
fn sample_two_flights_with_check_in() {
    let Some((records, damaged)) = xml("pnrgov-xml/test_pnr_2.xml") else { return };
    assert_eq!(
        legs(&records),
        [
            "0 MAD-FRA 2020-08-03T13:00 2020-08-03T15:55 LH1149",
            "0 FRA-WRO 2020-08-03T21:30 2020-08-03T22:40 LH1374"
        ]
    );
    assert_eq!(travellers(&records), ["0 NOWACKI/TOMASZ/ ? ? Unknown", "0 ZIELINSKI/PAWEL/ ? ? Unknown"]);
    let mails: Vec<_> = records.contacts.iter().map(|contact| contact.value.as_str()).collect();
    assert_eq!(mails, ["tomnowack@wp.pl", "pzielinsk@wp.pl"]);
    let seats: Vec<_> = records.seats.iter().map(|seat| (seat.traveller, seat.number.as_str())).collect();
    assert_eq!(seats, [(Some(0), "6F"), (Some(1), "6D")]);
    assert_eq!(records.bookings[0].others, [("F1".to_owned(), "RQAX6T".to_owned())]);
    assert!(!damaged && documents(&records).is_empty());
}

#[test]
fn sample_fragment_without_a_root() {
    let Some((records, _)) = xml("pnrgov-xml/test_pnr_3.xml") else { return };
    assert_eq!(legs(&records), ["0 FRA-WRO 2020-08-03T21:30 2020-08-03T22:40 LH1374"; 2]);
    assert_eq!(travellers(&records), ["0 ZIELINSKI/PAWEL/ ? ? Unknown", "0 PIETRUSZKA/ROBERT/ ? ? Unknown"]);
}

#[test]
fn xml_that_is_broken_off_is_translated_up_to_there() {
    let text =
        "<PNR PNR_TransDate=\"2024-01-01T02:40:00\"><Passenger RPH=\"1\"><Surname>O'BRIEN</Surname><Giv";
    let translation = translate(text.as_bytes());
    assert!(translation.damage.is_some());
    let (messages, _) = read(&translation.message);
    assert_eq!(messages[0].travellers[0].surname, "O'BRIEN");
}

#[test]
fn references_stand_for_their_characters() {
    let text = "<PNR PNR_TransDate=\"2024-01-01T02:40:00\"><Passenger RPH=\"1\"><Surname>O&apos;BRI&#x45;N</Surname>\
                <GivenName><![CDATA[ANN]]></GivenName></Passenger></PNR>";
    let translation = translate(text.as_bytes());
    assert_eq!(translation.damage, None);
    let (messages, _) = read(&translation.message);
    let traveller = &messages[0].travellers[0];
    assert_eq!((traveller.surname.as_str(), traveller.given.as_str()), ("O'BRIEN", "ANN"));
}
