//! Travellers of many messages as rows for record linkage: who they are across trips.
//!
//! A traveller is a row of names, birth, document and contacts; [`plan`] says how rows are compared with
//! [`tidewaiter_linkage`]. Sex and nationality are left out, so that no one is found or missed by them.

use tidewaiter_linkage::link::{Comparison, Part, Plan};

use crate::records::{ContactKind, ContactRole, DocumentKind, Index, Records};

/// The columns of a row.
pub const COLUMNS: [&str; 6] = ["surname", "given", "birth", "passport", "telephone", "e-mail"];

/// The row of a traveller. Of several passports or telephones the first counts; a booking's contacts are those of its
/// only traveller.
#[must_use]
pub fn row(records: &Records, traveller: Index) -> [String; 6] {
    let Some(one) = records.travellers.get(traveller) else { return Default::default() };
    let passport = records
        .documents
        .iter()
        .find(|document| document.traveller == Some(traveller) && document.kind == DocumentKind::Passport)
        .map_or(String::new(), |document| format!("{}{}", document.issuer, document.number));
    let alone = one.booking.is_some()
        && records.travellers.iter().filter(|other| other.booking == one.booking).count() == 1;
    let contact = |kind: ContactKind| {
        let mut own = records.contacts.iter().filter(|contact| {
            let of_booking = alone && contact.traveller.is_none() && contact.booking == one.booking;
            contact.kind == kind
                && contact.role == ContactRole::Traveller
                && (contact.traveller == Some(traveller) || of_booking)
        });
        own.next().map_or(String::new(), |contact| contact.value.clone())
    };
    let given = [one.given.as_str(), &one.middle].join(" ").trim().to_owned();
    let birth = one.birth.map_or(String::new(), |birth| birth.format("%Y%m%d").to_string());
    [one.surname.clone(), given, birth, passport, contact(ContactKind::Phone), contact(ContactKind::Email)]
}

/// How travellers are linked. Rows meet if they share a passport, a contact, a spelling of the surname and the year of
/// birth, or a spelling of the given names and the birth; two births are never one person.
#[must_use]
pub fn plan() -> Plan {
    Plan {
        columns: vec![
            Comparison::Name,
            Comparison::Name,
            Comparison::Date,
            Comparison::Identifier,
            Comparison::Identifier,
            Comparison::Exact,
        ],
        keys: vec![
            vec![(3, Part::Whole)],
            vec![(5, Part::Whole)],
            vec![(4, Part::Whole), (2, Part::Start(4))],
            vec![(0, Part::Skeleton), (2, Part::Start(4))],
            vec![(1, Part::Skeleton), (2, Part::Whole)],
        ],
        contradicting: vec![2],
        most: 2000,
        threshold: 0.9,
    }
}

#[cfg(test)]
mod tests {
    use tidewaiter_linkage::{
        link::link,
        weights::{Field, Model},
    };

    use super::*;
    use crate::{
        edifact::{Event, Reader},
        reading,
    };

    fn records(people: &str) -> Records {
        let text =
            format!("UNB+UNOA:4+A+B+200130:0300+1'UNH+1+PAXLST:D:02B:UN'BGM+745'{people}UNT+9+1'UNZ+1+1'");
        let mut reader = Reader::new(text.as_bytes());
        let Some(Event::Message(message)) = reader.next().unwrap() else { panic!("a message") };
        reading::records(message)
    }

    /// Weights as they are found on lists of passengers: names and births are seldom wrong, and seldom shared.
    fn model() -> Model {
        let field = |m: &[f64], u: &[f64]| Field { m: m.to_vec(), u: u.to_vec() };
        let contact = || field(&[0.2, 0.02, 0.78], &[0.98, 0.01, 0.01]);
        Model {
            matches: 0.1,
            fields: vec![
                field(&[0.03, 0.05, 0.12, 0.8], &[0.9, 0.05, 0.03, 0.02]),
                field(&[0.05, 0.05, 0.1, 0.8], &[0.9, 0.05, 0.03, 0.02]),
                field(&[0.01, 0.04, 0.95], &[0.97, 0.02, 0.01]),
                contact(),
                contact(),
                field(&[0.2, 0.8], &[0.99, 0.01]),
            ],
        }
    }

    #[test]
    fn a_traveller_is_found_under_another_transliteration_and_passport() {
        let trips = [
            "NAD+FL+++JIANG:HSIUYUAN'DTM+329:670603'DOC+P+433419360'LOC+91+CHN'",
            "NAD+FL+++JIANG:XIUYUAN'DTM+329:670603'DOC+P+461448207'LOC+91+CHN'",
            "NAD+FL+++CHIANG:XIUYUAN'DTM+329:670604'DOC+P+51447450'LOC+91+CHN'",
            "NAD+FL+++JOSEPH:GAYLA:COOKE'DTM+329:700202'DOC+P+276616110'LOC+91+GBR'",
        ];
        let rows: Vec<_> = trips.iter().map(|trip| row(&records(trip), 0)).collect();
        assert_eq!(rows[3], ["JOSEPH", "GAYLA COOKE", "19700202", "GBR276616110", "", ""].map(str::to_owned));
        let linkage = link(&rows, &plan(), Some(model()));
        // The third has another birth, so that it stays apart.
        assert_eq!(linkage.clusters.labels, [0, 0, 2, 3]);
    }
}
