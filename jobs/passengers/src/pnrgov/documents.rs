//! Special service requests DOCS, DOCO and INFT: documents and infants, matched to the travellers of their booking.

use std::borrow::Cow;

use super::booking::Open;
use crate::{
    context::Context,
    dates::{self, Century},
    edifact::{IssueKind, Message, Segment},
    names,
    records::{AgeClass, Document, DocumentKind, Index, Sex, Traveller},
};

/// A document whose traveller is not known yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    segment: u32,
    document: Document,
    /// The traveller in whose group it stands.
    traveller: Option<Index>,
    reference: String,
    birth: String,
    nationality: String,
    sex: Option<Sex>,
    is_infant: bool,
    middle: String,
    birth_place: String,
}

/// The text of a special service request: after the route, or the last component.
pub(super) fn service_text(segment: Segment<'_>) -> Cow<'_, str> {
    segment.rest(1, 8)
}

/// The parts of such a text without the spaces around them; those that it does not have are empty.
pub(super) fn parts<const N: usize>(text: &str) -> [&str; N] {
    let mut parts = [""; N];
    for (to, from) in parts.iter_mut().zip(text.split('/')) {
        *to = from.trim();
    }
    parts
}

/// The reference of a traveller in a special service request.
pub(super) fn service_reference(segment: Segment<'_>) -> &str {
    (2..=segment.elements()).map(|element| segment.get(element, 2)).find(|it| !it.is_empty()).unwrap_or("")
}

/// DOCS: `/P/GBR/123456789/GBR/12JUL64/M/23AUG19/SMITH/JOHN/ROBERT`.
pub(super) fn travel_document(
    context: &mut Context,
    segment: Segment<'_>,
    traveller: Option<Index>,
) -> Pending {
    let text = service_text(segment);
    let [_, code, issuer, number, nationality, birth, sex_code, expiry, surname, given, middle] =
        parts(&text);
    let (kind, known) = DocumentKind::of(code);
    if !known && !code.is_empty() {
        context.issue(segment, IssueKind::UnknownCode, format!("{code:?} is no kind of document"));
    }
    let sex = Sex::of(sex_code);
    if sex.is_none() && !sex_code.is_empty() {
        context.issue(segment, IssueKind::UnknownCode, format!("{sex_code:?} is no sex"));
    }
    let issuer = context.country(segment, issuer);
    let nationality = context.country(segment, nationality);
    let expires = dates::month_named(expiry, context.prepared, Century::Nearest);
    let expires = context.readable(segment, expiry, IssueKind::BadDate, expires);
    let document = Document {
        kind,
        code: code.to_owned(),
        number: number.to_owned(),
        issuer,
        expires,
        surname: surname.to_owned(),
        given: given.to_owned(),
        segment: segment.number(),
        ..Document::default()
    };
    Pending {
        segment: segment.number(),
        document,
        traveller,
        reference: service_reference(segment).to_owned(),
        birth: birth.to_owned(),
        nationality,
        sex: sex.map(|(sex, _)| sex),
        is_infant: sex.is_some_and(|(_, infant)| infant),
        middle: middle.to_owned(),
        birth_place: String::new(),
    }
}

/// DOCO: `BIRTH PLACE/V/8675309/PLACE OF ISSUE/22DEC06/COUNTRY`.
pub(super) fn other_document(
    context: &mut Context,
    segment: Segment<'_>,
    traveller: Option<Index>,
) -> Pending {
    let text = service_text(segment);
    let [birth_place, code, number, place, day, valid_for] = parts(&text);
    let (kind, known) = DocumentKind::of(code);
    if !known {
        context.issue(segment, IssueKind::UnknownCode, format!("{code:?} is no kind of document"));
    }
    let issued = dates::month_named(day, context.prepared, Century::Nearest)
        .or_else(|| dates::day_first(day, context.prepared, Century::Nearest));
    let issued = context.readable(segment, day, IssueKind::BadDate, issued);
    let document = Document {
        kind,
        code: code.to_owned(),
        number: number.to_owned(),
        place: place.to_owned(),
        valid_for: context.country(segment, valid_for),
        issued,
        segment: segment.number(),
        ..Document::default()
    };
    Pending {
        segment: segment.number(),
        document,
        traveller,
        reference: service_reference(segment).to_owned(),
        birth: String::new(),
        nationality: String::new(),
        sex: None,
        is_infant: false,
        middle: String::new(),
        birth_place: birth_place.to_owned(),
    }
}

/// INFT: `DYE/ARCHER 15APR12` or `DYE/ARCHER/15APR12`: an infant without a seat, whom the booking may not list itself.
pub(super) fn infant(context: &mut Context, open: &Open, segment: Segment<'_>) {
    let text = service_text(segment);
    let Some((surname, rest)) = text.trim().split_once('/') else { return };
    let (given, birth) = rest.rsplit_once(['/', ' ']).unwrap_or((rest, ""));
    let index = open.infant(&context.records, surname, given).unwrap_or_else(|| {
        context.issue(segment, IssueKind::MissingValue, "the infant has no name element (TIF)");
        context.records.travellers.push(Traveller {
            booking: open.booking,
            age: AgeClass::Infant,
            surname: surname.to_owned(),
            given: given.to_owned(),
            surname_text: surname.to_owned(),
            given_text: given.to_owned(),
            segment: segment.number(),
            ..Traveller::default()
        });
        context.records.travellers.len() - 1
    });
    set_birth(context, segment, index, birth);
}

/// Gives each document its traveller, once, and each traveller what the document says.
pub(super) fn settle(context: &mut Context, open: &Open, message: &Message, pending: Vec<Pending>) {
    // The documents of the booking are those from here on.
    let first = context.records.documents.len();
    for mut pending in pending {
        let Some(segment) = message.segment(pending.segment) else { continue };
        let index = owner(context, open, &pending);
        pending.document.traveller = index;
        pending.document.booking = open.booking;
        let Some(index) = index else {
            context.issue(segment, IssueKind::MissingValue, "the document names no traveller of the booking");
            context.records.documents.push(pending.document);
            continue;
        };
        let birth = set_birth(context, segment, index, &pending.birth);
        pending.document.birth = birth;
        set_name(&mut context.records.travellers[index], &pending);
        // Without a number, a kind and an issuer it only says who the traveller is.
        let Document { number, code, issuer, .. } = &pending.document;
        if number.is_empty() && code.is_empty() && issuer.is_empty() {
            continue;
        }
        let same = |other: &&mut Document| {
            let one = &pending.document;
            other.traveller == Some(index)
                && (other.kind, &other.number) == (one.kind, &one.number)
                && (!one.number.is_empty() || (other.birth, &other.given) == (one.birth, &one.given))
        };
        match context.records.documents[first..].iter_mut().find(same) {
            Some(other) => {
                for (to, from) in
                    [(&mut other.issuer, &pending.document.issuer), (&mut other.code, &pending.document.code)]
                {
                    if to.is_empty() {
                        to.clone_from(from);
                    }
                }
                other.expires = other.expires.or(pending.document.expires);
            }
            None => context.records.documents.push(pending.document),
        }
    }
}

/// The traveller to whom a document belongs. An infant's stands with the adult, so its name decides.
fn owner(context: &Context, open: &Open, pending: &Pending) -> Option<Index> {
    let records = &context.records;
    let (surname, given) = (&pending.document.surname, &pending.document.given);
    if pending.is_infant {
        let infant = open.infant(records, surname, given);
        if infant.is_some() {
            return infant;
        }
    }
    let only = || (records.travellers.len() == open.travellers + 1).then_some(open.travellers);
    open.by_reference(records, &pending.reference)
        .or(pending.traveller)
        .or_else(|| open.named(records, surname, given))
        .or_else(only)
}

fn set_name(traveller: &mut Traveller, pending: &Pending) {
    let Pending { document, sex, nationality, middle, birth_place, .. } = pending;
    traveller.sex = traveller.sex.or(*sex);
    for (to, from) in [(&mut traveller.nationality, nationality), (&mut traveller.birth_place, birth_place)] {
        if to.is_empty() {
            to.clone_from(from);
        }
    }
    if document.given.is_empty() {
        return;
    }
    let (booked, title) = names::without_title(&traveller.given_text, traveller.sex);
    let (given, document_title) = names::without_title(&document.given, traveller.sex);
    let (given, leading) = names::without_leading_title(given, booked);
    let title = [title, document_title, leading].into_iter().find(|title| !title.is_empty()).unwrap_or("");
    title.clone_into(&mut traveller.title);
    (traveller.given, traveller.middle) = names::given_and_middle(booked, given, middle);
}

/// Sets a birth, and reports one that contradicts another.
fn set_birth(
    context: &mut Context,
    segment: Segment<'_>,
    index: Index,
    text: &str,
) -> Option<chrono::NaiveDate> {
    let prepared = context.prepared;
    let is_adult = context.records.travellers[index].age == AgeClass::Adult;
    let century = if is_adult { Century::AdultBirth } else { Century::Birth };
    let read = |century| dates::month_named(text, prepared, century);
    let birth = context.readable(
        segment,
        text,
        IssueKind::BadDate,
        read(century).or_else(|| read(Century::Birth)),
    )?;
    let traveller = &mut context.records.travellers[index];
    match traveller.birth {
        None => {
            traveller.birth = Some(birth);
            let two_digits = text.len() == 7;
            traveller.birth_is_ambiguous =
                two_digits && !is_adult && dates::is_ambiguous_birth(birth, prepared);
        }
        Some(other) if other != birth => {
            let detail = format!("born {birth} here and {other} before");
            context.issue(segment, IssueKind::BirthDates, detail);
        }
        Some(_) => {}
    }
    Some(birth)
}
