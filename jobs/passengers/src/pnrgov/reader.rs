//! The reader of PNRGOV.

use super::{
    booking::{Open, Part},
    documents::{self, Pending},
};
use crate::{
    context::Context,
    dates::{self, Century},
    edifact::{IssueKind, Message, Segment},
    names,
    records::{
        AgeClass, Agency, Bag, BagTotal, Booking, Index, Leg, Membership, MessageKind, Moment, Records, Seat,
        Traveller,
    },
};

/// The records of a PNRGOV message. Never fails: see the issues.
#[must_use]
pub fn read(message: &Message) -> Records {
    let open = Open { part: Part::Head, booking: None, traveller: None, leg: None, travellers: 0, legs: 0 };
    let mut reader = Reader {
        message,
        context: Context::new(message, MessageKind::Pnrgov),
        open,
        pending: Vec::new(),
        sequence: String::new(),
    };
    for segment in message.segments() {
        reader.segment(segment);
        if let Some((element, tag)) = glued(segment) {
            let detail = format!("{tag} stands at the end of element {element}");
            reader.context.issue(segment, IssueKind::MissingTerminator, detail);
            reader.segment(segment.tail(element, tag));
        }
    }
    reader.settle();
    reader.context.records
}

/// A tag at the end of an element of a segment that has no free text: the terminator before it was lost.
fn glued(segment: Segment<'_>) -> Option<(u16, &'static str)> {
    let tags: &[&'static str] = match segment.tag() {
        "ORG" => &["TIF"],
        "RPI" => &["IFT", "APD", "SSR", "TVL"],
        _ => return None,
    };
    (1..segment.elements()).find_map(|element| {
        let text = segment.get(element, 0);
        let tag = tags.iter().find(|tag| text.len() > 3 && text.ends_with(**tag))?;
        Some((element, *tag))
    })
}

/// The reader of a message; what is read of contacts and fares is beside it.
pub(super) struct Reader<'a> {
    message: &'a Message,
    pub(super) context: Context,
    pub(super) open: Open,
    pending: Vec<Pending>,
    /// Sequence number of the check-in.
    sequence: String,
}

impl Reader<'_> {
    pub(super) fn records(&mut self) -> &mut Records {
        &mut self.context.records
    }

    fn segment(&mut self, segment: Segment<'_>) {
        let tag = segment.tag();
        if self.open.part == Part::History && !["SRC", "LTS", "ABI", "UNT"].contains(&tag) {
            if !HISTORY.contains(&tag) {
                self.context.keep(segment, IssueKind::UnknownSegment);
            }
            return;
        }
        match tag {
            "UNH" | "UNT" | "PTK" | "TXD" | "FAR" | "EBD" | "SAC" => {}
            "MSG" if self.open.part == Part::Head => {
                let code = segment.get(1, 1);
                let code = if code.is_empty() { segment.get(1, 0) } else { code };
                code.clone_into(&mut self.records().message.function);
            }
            "MSG" | "EQN" => {
                if self.open.part != Part::Head {
                    self.open.part = Part::Ground;
                }
            }
            "SRC" => self.begin(segment),
            "RCI" => self.locator(segment),
            "DAT" => self.date(segment),
            "ORG" => self.origin(segment),
            "ADD" => self.address(segment),
            "TIF" => self.traveller(segment),
            "FTI" => self.membership(segment),
            "REF" => {
                let reference = segment.get(1, 1).to_owned();
                if let Some(index) = self.open.traveller {
                    self.records().travellers[index].airline_reference = reference;
                }
            }
            "IFT" => self.free_text(segment),
            "TKT" => self.ticket(segment),
            "MON" => self.fare(segment),
            "FOP" => self.payment(segment),
            "SSR" => self.service(segment),
            "TVL" => self.travel(segment),
            "TRA" => {
                let (carrier, flight) = (segment.get(1, 0).to_owned(), flight_number(segment.get(2, 0)));
                match self.leg() {
                    Some(leg) => (leg.operating_carrier, leg.operating_flight) = (carrier, flight),
                    None => self.context.keep(segment, IssueKind::MisplacedSegment),
                }
            }
            "RPI" => {
                let status = segment.get(2, 0);
                let status = if status.len() > 3 { status.get(..2).unwrap_or("") } else { status }.to_owned();
                if let Some(leg) = self.leg() {
                    leg.status = status;
                }
            }
            "APD" => {
                let aircraft = segment.get(1, 0).to_owned();
                if let Some(leg) = self.leg() {
                    leg.aircraft = aircraft;
                }
            }
            "TRI" => {
                self.open.part = Part::CheckIn;
                self.sequence = segment.get(2, 0).to_owned();
                self.open.traveller = self.open.by_reference(&self.context.records, segment.get(2, 3));
            }
            "SSD" => {
                let (traveller, leg, number) = (self.open.traveller, self.open.leg, segment.get(1, 0));
                self.seat(segment, traveller, leg, number, true);
            }
            "TBD" => self.bags(segment),
            "ABI" => {
                self.open.part = Part::History;
                if let Some(index) = self.open.booking {
                    self.records().bookings[index].changes += 1;
                }
            }
            "LTS" => self.remark(segment, None, "LTS", segment.rest(1, 0).into_owned()),
            _ => self.context.keep(segment, IssueKind::UnknownSegment),
        }
    }

    /// SRC: the next booking.
    fn begin(&mut self, segment: Segment<'_>) {
        self.settle();
        let records = &mut self.context.records;
        records.bookings.push(Booking { segment: segment.number(), ..Booking::default() });
        self.open = Open {
            part: Part::Booking,
            booking: Some(records.bookings.len() - 1),
            traveller: None,
            leg: None,
            travellers: records.travellers.len(),
            legs: records.legs.len(),
        };
    }

    /// The booking is complete: its documents find their travellers.
    fn settle(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        documents::settle(&mut self.context, &self.open, self.message, pending);
    }

    fn leg(&mut self) -> Option<&mut Leg> {
        let index = self.open.leg?;
        self.context.records.legs.get_mut(index)
    }

    /// RCI: the booking's locators.
    fn locator(&mut self, segment: Segment<'_>) {
        if self.open.part == Part::Ground {
            return;
        }
        let Some(index) = self.open.booking else {
            return self.context.keep(segment, IssueKind::MisplacedSegment);
        };
        for element in 1..=segment.elements() {
            let (system, locator) = (segment.get(element, 0), segment.get(element, 1));
            let booking = &mut self.context.records.bookings[index];
            if booking.locator.is_empty() {
                (booking.system, booking.locator) = (system.to_owned(), locator.to_owned());
                let standard = segment.get(element, 3);
                // Some senders leave out the type before the date.
                let (day, clock) = match segment.get(element, 2) {
                    shifted if shifted.len() == 6 => (shifted, segment.get(element, 3)),
                    _ => (standard, segment.get(element, 4)),
                };
                let is_shifted = day != standard;
                let created = self.moment(segment, day, clock);
                self.records().bookings[index].created = created;
                if is_shifted {
                    self.context.issue(
                        segment,
                        IssueKind::MisplacedValue,
                        "the date stands in the place of the type",
                    );
                }
                continue;
            }
            let other = (system.to_owned(), locator.to_owned());
            let own = booking.locator == locator;
            if !own && !locator.is_empty() && !booking.others.contains(&other) {
                booking.others.push(other);
            }
        }
    }

    fn moment(&mut self, segment: Segment<'_>, day: &str, clock: &str) -> Option<Moment> {
        let read = dates::day_first(day, self.context.prepared, Century::Nearest);
        let day = self.context.readable(segment, day, IssueKind::BadDate, read)?;
        let time = self.context.time(segment, clock);
        Some(Moment { day, time })
    }

    /// DAT: 700 the last change of the booking, 710 the issue of the ticket.
    fn date(&mut self, segment: Segment<'_>) {
        for element in 1..=segment.elements() {
            let code = segment.get(element, 0);
            if !["700", "710"].contains(&code) {
                continue;
            }
            let moment = self.moment(segment, segment.get(element, 1), segment.get(element, 2));
            match (code, self.open.part, self.open.booking) {
                ("700", _, Some(booking)) => self.records().bookings[booking].changed = moment,
                ("710", Part::Traveller, _) => {
                    let traveller = self.open.traveller;
                    if let Some(ticket) =
                        self.records().tickets.last_mut().filter(|it| it.traveller == traveller)
                    {
                        ticket.issued = moment;
                    }
                }
                _ => {}
            }
        }
    }

    /// ORG: the system that sends, or the agency of a booking. At a check-in it is the desk's, which is left out.
    fn origin(&mut self, segment: Segment<'_>) {
        let get = |element, component| segment.get(element, component).to_owned();
        match self.open.part {
            Part::Head => self.records().message.origin = get(1, 0),
            Part::Booking => {
                let agency = Agency {
                    booking: self.open.booking,
                    system: get(1, 0),
                    place: get(1, 1),
                    number: get(2, 0),
                    office: get(2, 1),
                    location: get(3, 0),
                    kind: get(5, 0),
                    country: self.context.country(segment, segment.get(6, 0)),
                    currency: get(6, 1),
                    agent: get(7, 0),
                    segment: segment.number(),
                };
                // Some senders write the currency alone, in the country's element or the one after it.
                let agency = match segment.get(7, 1) {
                    currency if agency.currency.is_empty() && currency.len() == 3 => {
                        Agency { currency: currency.to_owned(), ..agency }
                    }
                    _ => agency,
                };
                self.records().agencies.push(agency);
            }
            _ => {}
        }
    }

    /// TIF: a traveller, a group, or at a check-in who it is.
    fn traveller(&mut self, segment: Segment<'_>) {
        let (surname_text, given_text) = (segment.get(1, 0), segment.get(2, 0));
        let Some(booking) = self.open.booking else {
            return self.context.keep(segment, IssueKind::MisplacedSegment);
        };
        if segment.get(1, 1) == "G" {
            surname_text.clone_into(&mut self.records().bookings[booking].group);
            self.open.traveller = None;
            return;
        }
        if [Part::CheckIn, Part::Leg].contains(&self.open.part) {
            self.open.part = Part::CheckIn;
            self.open.traveller = self.open.checked_in(&self.context.records, segment);
            if self.open.traveller.is_some() {
                return;
            }
            self.context.issue(
                segment,
                IssueKind::MisplacedSegment,
                "checked in, but not in the booking's list",
            );
        } else {
            self.open.part = Part::Traveller;
        }
        let code = segment.get(2, 1);
        let age = match code {
            "A" | "ADT" => AgeClass::Adult,
            "C" | "CH" | "CHD" | "CNN" => AgeClass::Child,
            "IN" | "INF" | "INS" => AgeClass::Infant,
            _ => AgeClass::Unknown,
        };
        if age == AgeClass::Unknown && !code.is_empty() {
            self.context.issue(segment, IssueKind::UnknownCode, format!("{code:?} is no age class"));
        }
        let (surname, suffix) = names::without_suffix(surname_text);
        let (given, title) = names::without_title(given_text, None);
        if names::is_placeholder(surname) {
            self.context.issue(segment, IssueKind::PlaceholderName, format!("{surname} is no name"));
        }
        if surname.is_empty() {
            self.context.issue(segment, IssueKind::MissingValue, "the traveller has no surname");
        }
        let traveller = Traveller {
            booking: Some(booking),
            age,
            reference: segment.get(2, 2).to_owned(),
            surname: surname.to_owned(),
            given: given.to_owned(),
            title: title.to_owned(),
            suffix: suffix.to_owned(),
            surname_text: surname_text.to_owned(),
            given_text: given_text.to_owned(),
            segment: segment.number(),
            ..Traveller::default()
        };
        self.records().travellers.push(traveller);
        self.open.traveller = Some(self.context.records.travellers.len() - 1);
    }

    fn membership(&mut self, segment: Segment<'_>) {
        for element in 1..=segment.elements() {
            let level = segment.components(element).skip(4).find(|level| !level.is_empty()).unwrap_or("");
            let membership = Membership {
                traveller: self.open.traveller,
                carrier: segment.get(element, 0).to_owned(),
                number: segment.get(element, 1).to_owned(),
                level: level.to_owned(),
                segment: segment.number(),
            };
            self.records().memberships.push(membership);
        }
    }

    /// SSR: a special service.
    fn service(&mut self, segment: Segment<'_>) {
        let code = segment.get(1, 0);
        let own = self.open.traveller.filter(|_| self.open.part == Part::Traveller);
        match code {
            "DOCS" => {
                let pending = documents::travel_document(&mut self.context, segment, own);
                self.pending.push(pending);
            }
            "DOCO" => {
                let pending = documents::other_document(&mut self.context, segment, own);
                self.pending.push(pending);
            }
            "DOCA" => self.stay(segment, own),
            "INFT" => {
                // The booking's infants are listed after the adult, so that the request can name one to come.
                if self.open.part != Part::Traveller {
                    documents::infant(&mut self.context, &self.open, segment);
                }
            }
            "SEAT" | "NSST" | "NSSA" | "NSSW" | "RQST" => self.seats(segment),
            _ => {
                let reference = documents::service_reference(segment);
                let traveller = self.open.by_reference(&self.context.records, reference).or(own);
                let text = documents::service_text(segment);
                let keyed = if code.starts_with("CTC") { format!("{code} {text}") } else { String::new() };
                if !self.contact(segment, &keyed) {
                    self.remark(segment, traveller, &format!("SSR {code}"), text.into_owned());
                }
            }
        }
    }

    /// The seats of a request: each element is a seat and the reference of who has it.
    fn seats(&mut self, segment: Segment<'_>) {
        let leg = self.open.leg_between(&self.context.records, segment.get(1, 6), segment.get(1, 7));
        for element in 2..=segment.elements() {
            let traveller = self.open.by_reference(&self.context.records, segment.get(element, 2));
            self.seat(segment, traveller, leg, segment.get(element, 0), false);
        }
    }

    /// A seat, once for a traveller and leg.
    fn seat(
        &mut self,
        segment: Segment<'_>,
        traveller: Option<Index>,
        leg: Option<Index>,
        text: &str,
        checked_in: bool,
    ) {
        let number = text.trim_start_matches('0');
        if number.is_empty() || number == "XXX" {
            return;
        }
        let sequence = if checked_in { self.sequence.clone() } else { String::new() };
        let seats = &mut self.context.records.seats;
        let same =
            |seat: &&mut Seat| (seat.traveller, seat.leg, seat.number.as_str()) == (traveller, leg, number);
        if let Some(seat) = seats.iter_mut().rev().take(MOST_OF_A_BOOKING).find(same) {
            seat.checked_in |= checked_in;
            if !sequence.is_empty() {
                seat.sequence = sequence;
            }
            return;
        }
        let segment = segment.number();
        seats.push(Seat { traveller, leg, number: number.to_owned(), checked_in, sequence, segment });
    }

    /// TVL: a flight, a service on the ground, or the number under which the flight before is flown by its airline.
    fn travel(&mut self, segment: Segment<'_>) {
        let get = |element, component| segment.get(element, component);
        if segment.components(1).chain(segment.components(2)).all(str::is_empty) {
            let flight = flight_number(get(5, 0));
            match self.leg() {
                Some(leg) => leg.operating_flight = flight,
                None => self.context.keep(segment, IssueKind::MisplacedSegment),
            }
            return;
        }
        let (departs, arrives) = self.times(segment);
        let is_airport = |text: &str| text.len() == 3;
        let is_flight = self.open.part != Part::Ground || (is_airport(get(2, 0)) && is_airport(get(3, 0)));
        let leg = Leg {
            booking: self.open.booking,
            is_flight,
            from: get(2, 0).to_owned(),
            to: get(3, 0).to_owned(),
            departs,
            arrives,
            carrier: get(4, 0).to_owned(),
            flight: flight_number(get(5, 0)),
            operating_carrier: get(4, 1).to_owned(),
            operating_flight: String::new(),
            class: get(5, 1).to_owned(),
            status: String::new(),
            aircraft: String::new(),
            segment: segment.number(),
        };
        self.records().legs.push(leg);
        self.open.leg = Some(self.context.records.legs.len() - 1);
        if ![Part::Head, Part::Ground].contains(&self.open.part) {
            self.open.part = Part::Leg;
            self.open.traveller = None;
        }
    }

    /// Departure and arrival. A day of arrival that is left out is that of departure.
    fn times(&mut self, segment: Segment<'_>) -> (Option<Moment>, Option<Moment>) {
        let get = |component| segment.get(1, component);
        let departs = self.moment(segment, get(0), get(1));
        let (day, clock) = match (get(2), get(3)) {
            (time, "") if time.len() == 4 => {
                self.context.issue(
                    segment,
                    IssueKind::MisplacedValue,
                    "the time of arrival stands in the place of its day",
                );
                ("", time)
            }
            pair => pair,
        };
        if !day.is_empty() {
            return (departs, self.moment(segment, day, clock));
        }
        let time = self.context.time(segment, clock);
        let arrives = time.and(departs).map(|moment| Moment { day: moment.day, time });
        (departs, arrives)
    }

    /// TBD: pieces and weight, then tags.
    fn bags(&mut self, segment: Segment<'_>) {
        let (traveller, leg, number) = (self.open.traveller, self.open.leg, segment.number());
        if [2, 4].iter().all(|element| segment.get(*element, 0).is_empty()) && segment.elements() < 5 {
            return;
        }
        let unit = match segment.get(2, 2) {
            "701" => KILOGRAMS_OF_A_POUND,
            _ => 1.0,
        };
        let pieces = self.context.number(segment, segment.get(2, 0));
        let kilograms = self.context.amount(segment, segment.get(2, 1)).map(|weight| weight * unit);
        self.records().bag_totals.push(BagTotal { traveller, leg, pieces, kilograms, segment: number });
        let pool = segment.get(4, 0);
        for element in 5..=segment.elements() {
            let get = |component| segment.get(element, component);
            if get(1).is_empty() {
                continue;
            }
            let stated = get(2);
            let pieces = stated.parse().ok().filter(|pieces| (1..=MOST_PIECES).contains(pieces));
            let pieces = self.context.readable(segment, stated, IssueKind::BadNumber, pieces);
            let bag = Bag {
                traveller,
                leg,
                carrier: get(0).to_owned(),
                tag: get(1).to_owned(),
                pieces: pieces.unwrap_or(1),
                destination: get(3).to_owned(),
                pool: pool.to_owned(),
                segment: number,
            };
            self.records().bags.push(bag);
        }
    }
}

/// An international avoirdupois pound, by definition.
const KILOGRAMS_OF_A_POUND: f64 = 0.453_592_37;

/// Segments of a history, which are counted by its entries and not read.
const HISTORY: [&str; 12] =
    ["SAC", "DAT", "IFT", "TIF", "SSR", "TVL", "RPI", "RCI", "ORG", "FOP", "TKT", "TRA"];

/// Most bags of one traveller that are numbered in a row.
const MOST_PIECES: u32 = 99;

/// Seats among which one that was named before is sought.
const MOST_OF_A_BOOKING: usize = 400;

fn flight_number(text: &str) -> String {
    text.trim_start_matches('0').to_owned()
}
