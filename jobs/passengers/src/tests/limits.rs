//! What GTAS's users ran into, and what a broken message must not do.

use super::*;
use crate::records::{AgeClass, ContactKind, IssueKind, MessageKind, Records};

/// A PAXLST message of segments.
fn list(segments: &str) -> Records {
    one(&format!(
        "UNB+UNOA:4+A+B+240315:1230+1'UNH+1+PAXLST:D:05B:UN:IATA'BGM+745'{segments}UNT+9+1'UNZ+1+1'"
    ))
}

/// A PNRGOV message with one booking of segments.
fn booking(segments: &str) -> Records {
    one(&format!(
        "UNB+IATA:1+A+B+240315:1230+1'UNH+1+PNRGOV:11:1:IA'MSG+:22'ORG+UA'SRC'RCI+UA:ABC123'{segments}UNT+9+1'UNZ+1+1'"
    ))
}

/// The kinds of issues but for counts that these texts do not keep.
fn kinds(records: &Records) -> Vec<(IssueKind, u32)> {
    let issues = records.issues.iter().filter(|issue| issue.kind != IssueKind::SegmentCount);
    issues.map(|issue| (issue.kind, issue.segment)).collect()
}

#[test]
fn travellers_of_one_name_are_kept_apart() {
    let records = booking(
        "TIF+LEE+ANNAMRS:A:1'SSR+DOCS:HK:1:UA:::::/P/KOR/M1/KOR/01JAN70/F/01JAN30/LEE/ANNA+::1'\
         TIF+LEE+ANNAMRS:A:2'SSR+DOCS:HK:1:UA:::::/P/KOR/M2/KOR/01JAN95/F/01JAN30/LEE/ANNA+::2'\
         TVL+160324:0915::1230+LHR+JFK+UA+1:B'TRI++7:::2'TIF+LEE+ANNAMRS:A:2'SSD+15A'TRI++8:::1'TIF+LEE+ANNAMRS:A:1'\
         SSD+15B'",
    );
    assert_eq!(travellers(&records).len(), 2);
    assert_eq!(documents(&records), ["0 Passport M1 KOR 2030-01-01", "1 Passport M2 KOR 2030-01-01"]);
    let births: Vec<_> = records.travellers.iter().map(|it| day(it.birth)).collect();
    assert_eq!(births, ["1970-01-01", "1995-01-01"]);
    let seats: Vec<_> = records.seats.iter().map(|seat| (seat.traveller, seat.number.as_str())).collect();
    assert_eq!(seats, [(Some(1), "15A"), (Some(0), "15B")]);
    assert_eq!(kinds(&records), []);
}

#[test]
fn birth_dates_that_contradict_are_flagged_with_their_segment() {
    let records = booking(
        "TIF+LEE+ANNAMRS:A:1'SSR+DOCS:HK:1:UA:::::/P/KOR/M1/KOR/01JAN70/F//LEE/ANNA+::1'\
         SSR+DOCS:HK:1:UA:::::/P/KOR/M1/KOR/02JAN70/F//LEE/ANNA+::1'",
    );
    assert_eq!(kinds(&records), [(IssueKind::BirthDates, 8)]);
    assert_eq!((records.documents.len(), day(records.travellers[0].birth)), (1, "1970-01-01".to_owned()));
    let records = list("NAD+FL+++LEE:ANNA'DTM+329:700101'DTM+329:700102'");
    assert_eq!(kinds(&records), [(IssueKind::BirthDates, 5)]);
}

#[test]
fn years_of_two_digits_follow_the_message_and_the_age_class() {
    let records =
        list("NAD+FL+++A:B'DTM+329:240314'NAD+FL+++C:D'DTM+329:250101'NAD+FL+++E:F'DTM+329:18631224'");
    let births: Vec<_> = records.travellers.iter().map(|it| (day(it.birth), it.birth_is_ambiguous)).collect();
    let expected = [("2024-03-14", true), ("1925-01-01", false), ("1863-12-24", false)];
    assert_eq!(births, expected.map(|(day, doubt)| (day.to_owned(), doubt)));
    let records = booking("TIF+OLD+JANE:A:1'SSR+DOCS:HK:1:UA:::::/P/KOR/M1/KOR/01JAN20/F//OLD/JANE+::1'");
    assert_eq!(day(records.travellers[0].birth), "1920-01-01");
}

#[test]
fn titles_are_no_part_of_names_and_text_stays_as_it_was() {
    let records = booking("TIF+LOBB+MOLLYMRS:A:1'TIF+ADAMS+ADAMS:A:2'TIF+SMITHJR+ISABELLE MARIE MRS:A:3'");
    let names: Vec<_> =
        records.travellers.iter().map(|it| (it.given.as_str(), it.given_text.as_str())).collect();
    let expected = [("MOLLY", "MOLLYMRS"), ("ADAMS", "ADAMS"), ("ISABELLE MARIE", "ISABELLE MARIE MRS")];
    assert_eq!(names, expected);
    let last = &records.travellers[2];
    assert_eq!((last.surname.as_str(), last.suffix.as_str(), last.title.as_str()), ("SMITH", "JR", "MRS"));
}

#[test]
fn an_e_mail_is_found_in_free_text() {
    let records =
        booking("TIF+LOBB+MOLLY:A:1'IFT+4:28::YY+CTCE MOLLY..LOBB?+X//GMAIL.COM'IFT+4:28+NO CONTACT'");
    let contact = &records.contacts[0];
    assert_eq!((contact.kind, contact.value.as_str()), (ContactKind::Email, "molly_lobb+x@gmail.com"));
    assert_eq!((contact.traveller, records.remarks[0].text.as_str()), (Some(0), "NO CONTACT"));
}

#[test]
fn an_infant_has_its_own_document_though_it_stands_with_the_adult() {
    let records = booking(
        "TIF+DYE+KAYLAMS:A:1:1'SSR+DOCS:HK:1:UA:::::/P/USA/A1/USA/07APR93/F//DYE/KAYLA+::1'\
         SSR+DOCS:HK:1:UA:::::/P/USA/B2/USA/15APR23/MI//DYE/ARCHER+::1'TIF+DYE+ARCHER:IN:2'",
    );
    assert_eq!(documents(&records), ["0 Passport A1 USA ?", "1 Passport B2 USA ?"]);
    assert_eq!(records.travellers[1].age, AgeClass::Infant);
    // An infant that is only requested with the flight is a traveller too.
    let records = booking(
        "TIF+DYE+KAYLAMS:A:1'TVL+160324:0915+LHR+JFK+UA+1:B'SSR+INFT:HK:1:UA:::LHR:JFK:DYE/BO 15APR23+::1'",
    );
    assert_eq!(records.travellers.len(), 2);
    assert_eq!(day(records.travellers[1].birth), "2023-04-15");
}

#[test]
fn unknown_segments_and_codes_are_kept() {
    let records = list("XYZ+a:b?'c+d'NAD+FL+++LEE:ANNA'LOC+999+IAD'DOC+Q7+123'NAT+2+QQQ'RFF+XXX:1'");
    let unknown: Vec<_> = records.unknown.iter().map(|it| (it.segment, it.text.as_str())).collect();
    assert_eq!(unknown, [(3, "XYZ+a:b?'c+d"), (5, "LOC+999+IAD"), (8, "RFF+XXX:1")]);
    assert_eq!((records.documents[0].code.as_str(), records.documents[0].number.as_str()), ("Q7", "123"));
    assert_eq!(records.travellers[0].nationality, "QQQ");
    let found: Vec<_> =
        kinds(&records).into_iter().filter(|(kind, _)| *kind == IssueKind::UnknownCode).collect();
    assert_eq!(found.iter().map(|(_, segment)| *segment).collect::<Vec<_>>(), [5, 6, 7, 8]);
}

#[test]
fn a_message_of_another_type_is_kept_as_text() {
    let records = one("UNB+UNOA:4+A+B+240315:1230+1'UNH+1+CUSRES:D:05B:UN'BGM+1'UNT+3+1'UNZ+1+1'");
    assert_eq!((records.message.kind, records.unknown.len()), (MessageKind::Other, 3));
}

#[test]
fn values_that_cannot_be_read_are_empty_and_flagged() {
    let records = list("TDT+20+UA1'DTM+189:2402301200:201'NAD+FL+++LEE:ANNA'DTM+329:XX'MEA+CT++x'ATT+2++Z'");
    let found = kinds(&records);
    let expected = [
        (IssueKind::BadDate, 4),
        (IssueKind::BadDate, 6),
        (IssueKind::BadNumber, 7),
        (IssueKind::UnknownCode, 8),
    ];
    assert_eq!(found, expected);
    assert_eq!((records.legs[0].departs, records.travellers[0].birth), (None, None));
}

#[test]
fn a_cut_message_keeps_what_came_before() {
    let text = "UNB+IATA:1+A+B+240315:1230+1'UNH+1+PNRGOV:11:1:IA'MSG+:22'SRC'RCI+UA:ABC123'TIF+LOBB+MOLLYMRS:A:1'SSR+DOCS:HK:1:UA:::::/P/GBR/79642";
    let records = one(text);
    assert_eq!(documents(&records), ["0 Passport 79642 GBR ?"]);
    let at = text.find("SSR").unwrap();
    let cut: Vec<_> = records.issues.iter().map(|issue| (issue.kind, issue.segment, issue.offset)).collect();
    assert_eq!(
        cut,
        [(IssueKind::MissingTerminator, 6, at as u64), (IssueKind::CutMessage, 6, text.len() as u64)]
    );
}

#[test]
fn routes_of_several_ports_are_legs_whether_ports_are_named_once_or_twice() {
    let once = list("TDT+20+UA1'LOC+92+AAA'LOC+92+BBB'LOC+92+CCC'");
    let twice = list("TDT+20+UA1'LOC+92+AAA'LOC+92+BBB'LOC+92+BBB'LOC+92+CCC'");
    for records in [once, twice] {
        let routes: Vec<_> = records.legs.iter().map(|leg| format!("{}-{}", leg.from, leg.to)).collect();
        assert_eq!(routes, ["AAA-BBB", "BBB-CCC"]);
    }
}

/// Samples of all kinds, the long ones left out.
const CHANGED: [&str; 8] = [
    "paxlst/loader__Test1.txt",
    "paxlst/loader__airline2.edi",
    "paxlst/parsers__apisMessage.txt",
    "pnrgov/loader__2_pnrs_basic.edi",
    "pnrgov/loader__3_pnrs.edi",
    "pnrgov/loader__infant.edi",
    "pnrgov/parsers__pnrMessagePg75.txt",
    "pnrgov/parsers__pnrWithDoco.txt",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..proptest::prelude::ProptestConfig::with_cases(128) })]

    #[test]
    fn samples_that_were_cut_and_changed_are_read_to_their_end(
        which in 0..CHANGED.len(), cut in 0.0..1.2_f64,
        changes in proptest::collection::vec((0.0..1.0_f64, proptest::num::u8::ANY), 0..30),
    ) {
        let Some(mut bytes) = sample(CHANGED[which]) else { return Ok(()) };
        for (place, byte) in changes {
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        let length = (cut * bytes.len() as f64) as usize;
        bytes.truncate(length);
        let (messages, _) = read(&bytes);
        for issue in messages.iter().flat_map(|records| &records.issues) {
            proptest::prop_assert!(issue.offset <= bytes.len() as u64 && !issue.to_string().is_empty());
        }
    }
}
