//! The reader of PAXLST.

use std::collections::HashMap;

use crate::{
    context::Context,
    dates::{self, Century},
    edifact::{IssueKind, Message, Segment},
    free_text, names,
    records::{
        AgeClass, Bag, BagTotal, Booking, Contact, ContactKind, ContactRole, Document, DocumentKind, Index,
        Leg, MessageKind, Records, Remark, Sex, Traveller, TravellerKind,
    },
};

/// What the segments that follow belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Head,
    Reporter,
    Flight,
    Traveller(Index),
    Document(Index, Index),
}

/// The records of a PAXLST message. Never fails: see the issues.
#[must_use]
pub fn read(message: &Message) -> Records {
    let mut reader = Reader {
        context: Context::new(message, MessageKind::Paxlst),
        group: Group::Head,
        flight: None,
        locators: HashMap::new(),
        carrier: (String::new(), String::new()),
    };
    for segment in message.segments() {
        reader.segment(segment);
    }
    reader.context.records
}

struct Reader {
    context: Context,
    group: Group,
    /// The leg that ports and times belong to.
    flight: Option<Index>,
    locators: HashMap<String, Index>,
    /// Airline and number of the last TDT.
    carrier: (String, String),
}

impl Reader {
    fn records(&mut self) -> &mut Records {
        &mut self.context.records
    }

    fn traveller(&mut self) -> Option<&mut Traveller> {
        match self.group {
            Group::Traveller(index) | Group::Document(index, _) => {
                self.context.records.travellers.get_mut(index)
            }
            _ => None,
        }
    }

    fn segment(&mut self, segment: Segment<'_>) {
        match segment.tag() {
            "UNH" | "UNT" | "GEI" | "CPI" | "QTY" | "AUT" | "EMP" => {}
            "BGM" => {
                let function = segment.get(1, 0).to_owned();
                if !["745", "250", "266", "336", "655"].contains(&function.as_str()) {
                    self.context.issue(
                        segment,
                        IssueKind::UnknownCode,
                        format!("{function:?} is no kind of list"),
                    );
                }
                self.records().message.function = function;
            }
            "RFF" => self.reference(segment),
            "DTM" => self.date(segment),
            "NAD" => self.party(segment),
            "COM" => self.communication(segment),
            "TDT" => self.transport(segment),
            "LOC" => self.location(segment),
            "ATT" => self.attribute(segment),
            "MEA" => self.measure(segment),
            "FTX" => self.text(segment),
            "NAT" => {
                let country = self.context.country(segment, segment.get(2, 0));
                match self.traveller() {
                    Some(traveller) => traveller.nationality = country,
                    None => self.context.keep(segment, IssueKind::MisplacedSegment),
                }
            }
            "DOC" => self.document(segment),
            "CNT" => self.count(segment),
            _ => self.context.keep(segment, IssueKind::UnknownSegment),
        }
    }

    /// RFF: of the message (TN), or of a traveller.
    fn reference(&mut self, segment: Segment<'_>) {
        let (code, value) = (segment.get(1, 0), segment.get(1, 1));
        let number = segment.number();
        match (code, self.group) {
            ("AVF", Group::Traveller(index) | Group::Document(index, _)) => {
                let records = &mut self.context.records;
                let known = self.locators.get(value).copied();
                let booking = known.unwrap_or_else(|| {
                    let locator = value.to_owned();
                    records.bookings.push(Booking { locator, segment: number, ..Booking::default() });
                    let booking = records.bookings.len() - 1;
                    self.locators.insert(value.to_owned(), booking);
                    booking
                });
                records.travellers[index].booking = Some(booking);
            }
            ("ABO", Group::Traveller(index)) => {
                value.clone_into(&mut self.context.records.travellers[index].airline_reference);
            }
            ("SEA", Group::Traveller(index)) => {
                let seat = crate::records::Seat {
                    traveller: Some(index),
                    leg: self.flight.map(|_| 0),
                    number: value.trim_start_matches('0').to_owned(),
                    checked_in: true,
                    segment: number,
                    ..crate::records::Seat::default()
                };
                self.records().seats.push(seat);
            }
            ("AEA" | "CR" | "YZY" | "ZZZ" | "ALP" | "TN" | "AFM" | "PB", group) => {
                let traveller = match group {
                    Group::Traveller(index) | Group::Document(index, _) => Some(index),
                    _ => None,
                };
                let text = segment.rest(1, 1).into_owned();
                let code = format!("RFF {code}");
                self.records().remarks.push(Remark {
                    traveller,
                    code,
                    text,
                    segment: number,
                    ..Remark::default()
                });
            }
            _ => {
                self.context.issue(
                    segment,
                    IssueKind::UnknownCode,
                    format!("{code:?} is no kind of reference here"),
                );
                self.context.keep(segment, IssueKind::MisplacedSegment);
            }
        }
    }

    /// DTM: of the flight, a birth, or of a document.
    fn date(&mut self, segment: Segment<'_>) {
        let (code, text) = (segment.get(1, 0), segment.get(1, 1));
        let prepared = self.context.prepared;
        let near = || dates::year_first_moment(text, prepared, Century::Nearest);
        match (code, self.group) {
            ("329", Group::Traveller(index) | Group::Document(index, _)) => {
                let birth = dates::year_first(text, prepared, Century::Birth);
                let birth = self.context.readable(segment, text, IssueKind::BadDate, birth);
                self.birth(segment, index, birth, text.len() == 6);
            }
            ("36" | "182", Group::Document(_, index)) => {
                let day =
                    self.context.readable(segment, text, IssueKind::BadDate, near()).map(|moment| moment.day);
                let document = &mut self.context.records.documents[index];
                if code == "36" { document.expires = day } else { document.issued = day }
            }
            ("189" | "133" | "136" | "186", _) => {
                let moment = self.context.readable(segment, text, IssueKind::BadDate, near());
                if let Some(leg) = self.leg() {
                    leg.departs = moment;
                }
            }
            ("232" | "132" | "178", _) => {
                let moment = self.context.readable(segment, text, IssueKind::BadDate, near());
                if let Some(leg) = self.leg() {
                    leg.arrives = moment;
                }
            }
            ("137" | "147" | "171" | "554", _) => {}
            _ => {
                self.context.issue(
                    segment,
                    IssueKind::UnknownCode,
                    format!("{code:?} is no kind of date here"),
                );
                self.context.keep(segment, IssueKind::MisplacedSegment);
            }
        }
    }

    fn birth(
        &mut self,
        segment: Segment<'_>,
        index: Index,
        birth: Option<chrono::NaiveDate>,
        two_digits: bool,
    ) {
        let Some(birth) = birth else { return };
        let prepared = self.context.prepared;
        let traveller = &mut self.context.records.travellers[index];
        match traveller.birth {
            None => {
                traveller.birth = Some(birth);
                traveller.birth_is_ambiguous = two_digits && dates::is_ambiguous_birth(birth, prepared);
            }
            Some(other) if other != birth => {
                let detail = format!("born {birth} here and {other} before");
                self.context.issue(segment, IssueKind::BirthDates, detail);
            }
            Some(_) => {}
        }
    }

    /// NAD: the reporting party, or the next traveller.
    fn party(&mut self, segment: Segment<'_>) {
        let kind = match segment.get(1, 0) {
            "FL" => TravellerKind::Passenger,
            "FM" => TravellerKind::Crew,
            "DDU" => TravellerKind::TransitPassenger,
            "DDT" => TravellerKind::TransitCrew,
            code => {
                if !["MS", "GR", "WPA"].contains(&code) {
                    self.context.issue(
                        segment,
                        IssueKind::UnknownCode,
                        format!("{code:?} is no kind of party"),
                    );
                }
                self.group = Group::Reporter;
                let name: Vec<_> =
                    segment.components(4).chain(segment.components(3)).filter(|it| !it.is_empty()).collect();
                if self.context.records.message.origin.is_empty() {
                    self.records().message.origin = name.join(" ");
                }
                return;
            }
        };
        let (surname_text, given_text) = (segment.get(4, 0), segment.get(4, 1));
        let (surname, suffix) = names::without_suffix(surname_text);
        let (given, title) = names::without_title(given_text, None);
        if names::is_placeholder(surname) {
            self.context.issue(segment, IssueKind::PlaceholderName, format!("{surname} is no name"));
        }
        if surname.is_empty() {
            self.context.issue(segment, IssueKind::MissingValue, "the traveller has no surname");
        }
        let traveller = Traveller {
            kind,
            surname: surname.to_owned(),
            given: given.to_owned(),
            middle: segment.get(4, 2).to_owned(),
            title: title.to_owned(),
            suffix: suffix.to_owned(),
            surname_text: surname_text.to_owned(),
            given_text: given_text.to_owned(),
            segment: segment.number(),
            ..Traveller::default()
        };
        self.records().travellers.push(traveller);
        self.group = Group::Traveller(self.context.records.travellers.len() - 1);
    }

    /// COM: telephone, fax and e-mail of the reporting party or the traveller.
    fn communication(&mut self, segment: Segment<'_>) {
        let (traveller, role) = match self.group {
            Group::Traveller(index) | Group::Document(index, _) => (Some(index), ContactRole::Traveller),
            _ => (None, ContactRole::Reporter),
        };
        for element in 1..=segment.elements() {
            let parts: Vec<&str> = segment.components(element).collect();
            for pair in parts.chunks(2) {
                let (text, code) = (pair[0], pair.get(1).copied().unwrap_or_default());
                let (kind, value) = match code {
                    "EM" => (ContactKind::Email, text.to_lowercase()),
                    _ => (ContactKind::Phone, free_text::phone(text).unwrap_or_else(|| text.to_owned())),
                };
                let segment = segment.number();
                self.records().contacts.push(Contact {
                    traveller,
                    kind,
                    role,
                    value,
                    segment,
                    ..Contact::default()
                });
            }
        }
    }

    /// TDT: a flight.
    fn transport(&mut self, segment: Segment<'_>) {
        self.group = Group::Flight;
        let text: String = segment.get(2, 0).chars().filter(|letter| !letter.is_whitespace()).collect();
        let (mut carrier, mut flight) = flight_number(&text);
        let stated = segment.get(5, 0);
        if let Some(number) = text.strip_prefix(stated).filter(|_| !stated.is_empty()) {
            (carrier, flight) = (stated, number);
        } else if !stated.is_empty() {
            if carrier.is_empty() {
                carrier = stated;
            } else {
                let detail = format!("the flight is {text}, its airline {stated}");
                self.context.issue(segment, IssueKind::MisplacedValue, detail);
            }
        }
        self.carrier = (carrier.to_owned(), flight.trim_start_matches('0').to_owned());
        self.flight = None;
        self.new_leg(segment);
    }

    fn new_leg(&mut self, segment: Segment<'_>) {
        let (carrier, flight) = self.carrier.clone();
        let leg = Leg { is_flight: true, carrier, flight, segment: segment.number(), ..Leg::default() };
        self.records().legs.push(leg);
        self.flight = Some(self.context.records.legs.len() - 1);
    }

    fn leg(&mut self) -> Option<&mut Leg> {
        let index = self.flight?;
        self.context.records.legs.get_mut(index)
    }

    /// LOC: a port of the flight, or a place of the traveller or the document.
    fn location(&mut self, segment: Segment<'_>) {
        let (code, place) = (segment.get(1, 0), segment.get(2, 0));
        let country = |reader: &mut Self| reader.context.country(segment, place);
        match (self.group, code) {
            (
                Group::Head | Group::Reporter | Group::Flight,
                "125" | "87" | "92" | "5" | "8" | "188" | "130",
            ) => {
                self.port(segment, code, place);
            }
            (Group::Document(_, index), "91") => {
                let issuer = country(self);
                self.context.records.documents[index].issuer = issuer;
            }
            (Group::Traveller(index) | Group::Document(index, _), _) => {
                let countries = matches!(code, "174").then(|| country(self));
                let named = segment.get(2, 3);
                let traveller = &mut self.context.records.travellers[index];
                match code {
                    "22" => place.clone_into(&mut traveller.clears),
                    "174" => traveller.residence = countries.unwrap_or_default(),
                    "178" => place.clone_into(&mut traveller.embarks),
                    "179" => place.clone_into(&mut traveller.debarks),
                    "180" => {
                        let place = if named.is_empty() { place } else { named };
                        place.clone_into(&mut traveller.birth_place);
                    }
                    _ => {
                        let detail = format!("{code:?} is no kind of place of a traveller");
                        self.context.issue(segment, IssueKind::UnknownCode, detail);
                        self.context.keep(segment, IssueKind::MisplacedSegment);
                    }
                }
            }
            _ => {
                self.context.issue(segment, IssueKind::UnknownCode, format!("{code:?} is no kind of port"));
                self.context.keep(segment, IssueKind::MisplacedSegment);
            }
        }
    }

    /// A port: 125 and 87 are the last port abroad and the first at home; 92 names the ports of a route in pairs.
    fn port(&mut self, segment: Segment<'_>, code: &str, place: &str) {
        if self.flight.is_none() {
            self.new_leg(segment);
            self.context.issue(segment, IssueKind::MisplacedSegment, "a port before any flight");
        }
        let Some(leg) = self.leg() else { return };
        match code {
            "125" | "5" | "188" => place.clone_into(&mut leg.from),
            "87" | "8" | "130" => place.clone_into(&mut leg.to),
            _ if leg.from.is_empty() => place.clone_into(&mut leg.from),
            _ if leg.to.is_empty() => place.clone_into(&mut leg.to),
            _ => {
                // A route goes on from where the last leg ended, whether or not that port is named again.
                let last = leg.to.clone();
                self.new_leg(segment);
                if let Some(leg) = self.leg() {
                    leg.to = if last == place { String::new() } else { place.to_owned() };
                    leg.from = last;
                }
            }
        }
    }

    fn attribute(&mut self, segment: Segment<'_>) {
        let code = segment.get(3, 0);
        let sex = Sex::of(code);
        if sex.is_none() || segment.get(1, 0) != "2" {
            self.context.issue(segment, IssueKind::UnknownCode, format!("{code:?} is no sex"));
        }
        match (self.traveller(), sex) {
            (Some(traveller), Some((sex, infant))) => {
                traveller.sex = Some(sex);
                if infant {
                    traveller.age = AgeClass::Infant;
                }
                let (given, title) = names::without_title(&traveller.given_text, Some(sex));
                given.clone_into(&mut traveller.given);
                title.clone_into(&mut traveller.title);
            }
            (None, _) => self.context.keep(segment, IssueKind::MisplacedSegment),
            _ => {}
        }
    }

    /// MEA: pieces and weight of checked bags.
    fn measure(&mut self, segment: Segment<'_>) {
        let Group::Traveller(index) = self.group else {
            return self.context.keep(segment, IssueKind::MisplacedSegment);
        };
        let leg = self.flight.map(|_| 0);
        let has_total =
            self.context.records.bag_totals.last().is_some_and(|total| total.traveller == Some(index));
        if !has_total {
            let total =
                BagTotal { traveller: Some(index), leg, segment: segment.number(), ..BagTotal::default() };
            self.records().bag_totals.push(total);
        }
        let (code, unit) = (segment.get(1, 0), segment.get(3, 0));
        let value = if segment.get(3, 1).is_empty() { unit } else { segment.get(3, 1) };
        let (mut pieces, mut kilograms) = (None, None);
        match code {
            "CT" => pieces = self.context.number(segment, value),
            "WT" => {
                let pound = if unit == "LBR" { KILOGRAMS_OF_A_POUND } else { 1.0 };
                kilograms = self.context.amount(segment, value).map(|value| value * pound);
            }
            _ => self.context.issue(segment, IssueKind::UnknownCode, format!("{code:?} is no measure")),
        }
        if let Some(total) = self.records().bag_totals.last_mut() {
            total.pieces = pieces.or(total.pieces);
            total.kilograms = kilograms.or(total.kilograms);
        }
    }

    /// FTX+BAG: tags of bags; other texts are remarks.
    fn text(&mut self, segment: Segment<'_>) {
        let traveller = match self.group {
            Group::Traveller(index) | Group::Document(index, _) => Some(index),
            _ => None,
        };
        let number = segment.number();
        if segment.get(1, 0) != "BAG" {
            let code = format!("FTX {}", segment.get(1, 0));
            let text = segment.rest(4, 0).into_owned();
            return self.records().remarks.push(Remark {
                traveller,
                code,
                text,
                segment: number,
                ..Remark::default()
            });
        }
        let pieces = self.context.number(segment, segment.get(4, 1)).unwrap_or(1);
        let leg = self.flight.map(|_| 0);
        let tag = segment.get(4, 0).to_owned();
        self.records().bags.push(Bag { traveller, leg, tag, pieces, segment: number, ..Bag::default() });
    }

    fn document(&mut self, segment: Segment<'_>) {
        let (Group::Traveller(traveller) | Group::Document(traveller, _)) = self.group else {
            return self.context.keep(segment, IssueKind::MisplacedSegment);
        };
        let code = segment.get(1, 0);
        let (kind, known) = DocumentKind::of(code);
        if code.is_empty() {
            self.context.issue(segment, IssueKind::MissingValue, "the document has no kind");
        } else if !known {
            self.context.issue(segment, IssueKind::UnknownCode, format!("{code:?} is no kind of document"));
        }
        let document = Document {
            traveller: Some(traveller),
            kind,
            code: code.to_owned(),
            number: segment.get(2, 0).to_owned(),
            segment: segment.number(),
            ..Document::default()
        };
        if document.number.is_empty() {
            self.context.issue(segment, IssueKind::MissingValue, "the document has no number");
        }
        self.records().documents.push(document);
        self.group = Group::Document(traveller, self.context.records.documents.len() - 1);
    }

    /// CNT: 42 counts passengers, 41 crew.
    fn count(&mut self, segment: Segment<'_>) {
        let parted = segment.get(1, 1);
        let stated = if parted.is_empty() { segment.get(2, 0) } else { parted };
        let stated = self.context.number(segment, stated);
        let travellers = u32::try_from(self.context.records.travellers.len()).unwrap_or(u32::MAX);
        self.records().message.stated_travellers = stated;
        if stated.is_some_and(|stated| stated != travellers) {
            let detail =
                format!("CNT counts {} travellers; there are {travellers}", stated.unwrap_or_default());
            self.context.issue(segment, IssueKind::TravellerCount, detail);
        }
    }
}

/// An international avoirdupois pound, by definition.
const KILOGRAMS_OF_A_POUND: f64 = 0.453_592_37;

/// Airline and number of a flight: an airline's code has two letters or digits, or three letters.
fn flight_number(text: &str) -> (&str, &str) {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let length = match letters {
        3 => 3,
        0 if text.bytes().all(|byte| byte.is_ascii_digit()) => 0,
        _ if text.len() > 2 && text.is_char_boundary(2) => 2,
        _ => 0,
    };
    text.split_at(length)
}
