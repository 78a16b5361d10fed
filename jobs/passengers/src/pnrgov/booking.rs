//! What is known of the booking that is being read, and how segments find their traveller and leg in it.

use crate::{
    edifact::Segment,
    names,
    records::{AgeClass, Index, Records, Traveller},
};

/// The part of the message that a segment stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Before the first booking.
    Head,
    /// A booking before its travellers.
    Booking,
    /// A traveller of it.
    Traveller,
    /// A leg of it.
    Leg,
    /// A traveller's check-in on a leg.
    CheckIn,
    /// Hotels and cars.
    Ground,
    /// What was changed.
    History,
}

/// Where the records of the open booking begin, and what the next segment belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) part: Part,
    pub(super) booking: Option<Index>,
    pub(super) traveller: Option<Index>,
    pub(super) leg: Option<Index>,
    pub(super) travellers: Index,
    pub(super) legs: Index,
}

impl Open {
    /// The traveller of a reference.
    pub(super) fn by_reference(&self, records: &Records, reference: &str) -> Option<Index> {
        self.one(records, |traveller| !reference.is_empty() && traveller.reference == reference)
    }

    /// The traveller whom a check-in names: of the same reference and surname, or the only one of the same name.
    pub(super) fn checked_in(&self, records: &Records, segment: Segment<'_>) -> Option<Index> {
        let (surname, given, reference) = (segment.get(1, 0), segment.get(2, 0), segment.get(2, 2));
        let same_name =
            |traveller: &Traveller| traveller.surname_text == surname && traveller.given_text == given;
        let exact =
            self.one(records, |it| same_name(it) && (it.reference == reference || reference.is_empty()));
        exact
            .or_else(|| self.one(records, |it| it.reference == reference && it.surname_text == surname))
            .or_else(|| self.one(records, same_name))
    }

    /// The infant whom a document or a request names: by name, or the only one.
    pub(super) fn infant(&self, records: &Records, surname: &str, given: &str) -> Option<Index> {
        let is_infant = |traveller: &Traveller| traveller.age == AgeClass::Infant;
        self.one(records, |it| is_infant(it) && is_named(it, surname, given))
            .or_else(|| self.one(records, is_infant))
    }

    /// The only traveller of a name.
    pub(super) fn named(&self, records: &Records, surname: &str, given: &str) -> Option<Index> {
        self.one(records, |it| is_named(it, surname, given))
    }

    /// The leg between two airports; the current one if none is named.
    pub(super) fn leg_between(&self, records: &Records, from: &str, to: &str) -> Option<Index> {
        if from.is_empty() && to.is_empty() {
            return self.leg;
        }
        let is_it = |index: &Index| {
            let leg = &records.legs[*index];
            leg.from == from && leg.to == to
        };
        self.leg.filter(is_it).or_else(|| (self.legs..records.legs.len()).find(is_it))
    }

    fn one(&self, records: &Records, is_it: impl Fn(&Traveller) -> bool) -> Option<Index> {
        let mut found =
            (self.travellers..records.travellers.len()).filter(|index| is_it(&records.travellers[*index]));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

/// Whether a document's name can be a traveller's: the same letters of the surname, and one given name begins with the
/// other.
fn is_named(traveller: &Traveller, surname: &str, given: &str) -> bool {
    let same = |one: &str, other: &str| names::letters(one).eq(names::letters(other));
    let has_letters = |text: &str| names::letters(text).next().is_some();
    let own = traveller.given.as_str();
    (same(surname, &traveller.surname_text) || same(surname, &traveller.surname))
        && has_letters(own)
        && has_letters(given)
        && (begins_with(given, own) || begins_with(own, given))
}

/// Whether the letters of a text begin with those of another.
fn begins_with(text: &str, start: &str) -> bool {
    let mut letters = names::letters(text);
    names::letters(start).all(|letter| letters.next() == Some(letter))
}
