//! The published sample messages (GTAS), each with what it says, and the limits that GTAS has with such messages.

mod limits;
mod paxlst;
mod pnr_xml;
mod pnrgov;
mod whole;
mod yardsticks;

use std::path::PathBuf;

use crate::{
    edifact::InterchangeEnd,
    reading::{self, Item},
    records::{Index, Moment, Records, Sex},
};

/// Everything that a text gives.
fn read(bytes: &[u8]) -> (Vec<Records>, Vec<InterchangeEnd>) {
    let (mut messages, mut ends) = (Vec::new(), Vec::new());
    reading::read::<std::io::Error>(bytes, |item| {
        match item {
            Item::Message(records) => messages.push(*records),
            Item::End(end) => ends.push(end),
        }
        Ok(())
    })
    .unwrap();
    (messages, ends)
}

/// The one message of a text.
fn one(text: &str) -> Records {
    let (mut messages, _) = read(text.as_bytes());
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

/// A sample file, if the folder of samples is beside the checkout.
fn sample(name: &str) -> Option<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut folders = folder.ancestors().map(|above| above.join("shared/data/passengers"));
    let Some(found) = folders.find(|folder| folder.is_dir()) else {
        eprintln!(
            "SKIPPED: the sample messages are not beside the checkout (shared/data/passengers): {name}"
        );
        return None;
    };
    Some(std::fs::read(found.join(name)).unwrap())
}

fn moment(moment: Option<Moment>) -> String {
    let Some(Moment { day, time }) = moment else { return "?".to_owned() };
    let time = time.map_or(String::new(), |time| time.format("T%H:%M").to_string());
    format!("{day}{time}")
}

fn day(day: Option<chrono::NaiveDate>) -> String {
    day.map_or("?".to_owned(), |day| day.to_string())
}

fn at(index: Option<Index>) -> String {
    index.map_or("-".to_owned(), |index| index.to_string())
}

/// The flights of a message, a line each.
fn legs(records: &Records) -> Vec<String> {
    let line = |leg: &crate::records::Leg| {
        let operating = match (leg.operating_carrier.as_str(), leg.operating_flight.as_str()) {
            ("", "") => String::new(),
            (carrier, flight) => format!(" by {carrier}{flight}"),
        };
        let ground = if leg.is_flight { "" } else { " on the ground" };
        format!(
            "{} {}-{} {} {} {}{}{operating}{ground}",
            at(leg.booking),
            leg.from,
            leg.to,
            moment(leg.departs),
            moment(leg.arrives),
            leg.carrier,
            leg.flight
        )
    };
    records.legs.iter().map(line).collect()
}

/// The travellers of a message, a line each.
fn travellers(records: &Records) -> Vec<String> {
    let line = |it: &crate::records::Traveller| {
        let sex = match it.sex {
            Some(Sex::Male) => "M",
            Some(Sex::Female) => "F",
            Some(Sex::Other) => "X",
            None => "?",
        };
        let names = [&it.surname, &it.given, &it.middle].map(String::as_str).join("/");
        format!("{} {names} {} {sex} {} {:?}", at(it.booking), it.title, day(it.birth), it.age)
            .replace("  ", " ")
    };
    records.travellers.iter().map(line).collect()
}

/// The documents of a message, a line each.
fn documents(records: &Records) -> Vec<String> {
    let line = |it: &crate::records::Document| {
        format!("{} {:?} {} {} {}", at(it.traveller), it.kind, it.number, it.issuer, day(it.expires))
            .replace("  ", " ")
    };
    records.documents.iter().map(line).collect()
}

/// What a sample's one message says, in lines.
struct Found {
    legs: Vec<String>,
    travellers: Vec<String>,
    documents: Vec<String>,
    /// How often each kind of issue was found; those of the envelope one by one.
    issues: Vec<String>,
}

/// Reads a sample of one message; `None` if there are no samples.
fn found(name: &str) -> Option<Found> {
    let (messages, ends) = read(&sample(name)?);
    assert_eq!((messages.len(), ends.len()), (1, 1), "{name}");
    let records = &messages[0];
    let mut counts = std::collections::BTreeMap::new();
    for issue in &records.issues {
        *counts.entry(issue.kind.word()).or_insert(0) += 1;
    }
    let mut issues: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    issues.extend(ends[0].issues.iter().map(|issue| format!("1 envelope {}", issue.kind.word())));
    Some(Found {
        legs: legs(records),
        travellers: travellers(records),
        documents: documents(records),
        issues,
    })
}

/// How many lines there are, the first and the last.
fn ends(lines: &[String]) -> (usize, &str, &str) {
    (lines.len(), &lines[0], &lines[lines.len() - 1])
}
