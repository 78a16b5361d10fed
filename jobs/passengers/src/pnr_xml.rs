//! PNR as IATA's XML (PNRGOV XML, namespace `http://www.iata.org/IATA/2007/00`), translated to a PNRGOV message, so that
//! both say the same and are read by one reader.
//!
//! Issues of the records have the segment and byte of the translation. XML that is not well formed is translated up to
//! where it can be read; [`Translation::damage`] has the byte. Start at [`translate`].

use std::io::BufRead;

use quick_xml::{
    Reader,
    escape::resolve_xml_entity,
    events::{BytesRef, BytesStart, Event},
};

use crate::edifact::{CharacterSet, Syntax, Writer};

/// A message made of XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// An interchange with one PNRGOV message.
    pub message: Vec<u8>,
    /// The byte of the XML from which it cannot be read, and why.
    pub damage: Option<(u64, String)>,
}

#[derive(Default)]
struct Passenger {
    reference: String,
    surname: String,
    given: String,
    sex: String,
    contacts: Vec<String>,
}

#[derive(Default)]
struct Flight {
    departs: String,
    arrives: String,
    from: String,
    to: String,
    carrier: String,
    number: String,
    class: String,
    status: String,
    aircraft: String,
    services: Vec<Service>,
    check_ins: Vec<CheckIn>,
}

#[derive(Default)]
struct Service {
    code: String,
    status: String,
    carrier: String,
    from: String,
    to: String,
    reference: String,
    text: String,
}

#[derive(Default)]
struct CheckIn {
    number: String,
    seat: String,
    person: Passenger,
}

/// What was read so far.
#[derive(Default)]
struct Pnr {
    created: String,
    sent: String,
    /// System and locator.
    locators: Vec<(String, String)>,
    passengers: Vec<Passenger>,
    flights: Vec<Flight>,
    /// The elements that are open.
    path: Vec<String>,
    text: String,
    /// Names that stand in a flight without a passenger.
    loose: Passenger,
}

/// Translates one PNR.
#[must_use]
pub fn translate(xml: impl BufRead) -> Translation {
    let mut reader = Reader::from_reader(xml);
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    let mut pnr = Pnr::default();
    let mut buffer = Vec::new();
    let damage = loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Start(element)) => pnr.begin(&element),
            Ok(Event::Empty(element)) => {
                pnr.begin(&element);
                pnr.end();
            }
            Ok(Event::End(_)) => pnr.end(),
            Ok(Event::Text(text)) => pnr.text.push_str(&text.decode().unwrap_or_default()),
            Ok(Event::CData(text)) => pnr.text.push_str(&text.decode().unwrap_or_default()),
            Ok(Event::GeneralRef(reference)) => pnr.text.push_str(&referred(&reference)),
            Ok(Event::Eof) => break None,
            Ok(_) => {}
            Err(error) => break Some((reader.error_position(), error.to_string())),
        }
    };
    Translation { message: pnr.message(), damage }
}

/// What a reference such as `&amp;` or `&#233;` stands for; empty for one that XML does not know.
fn referred(reference: &BytesRef<'_>) -> String {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => character.to_string(),
        _ => {
            reference.decode().ok().and_then(|name| resolve_xml_entity(&name)).unwrap_or_default().to_owned()
        }
    }
}

/// The value of an attribute; empty if it is not there.
fn attribute(element: &BytesStart<'_>, name: &str) -> String {
    let mut attributes = element.attributes();
    let mut all = attributes.with_checks(false).flatten();
    let found = all.find(|attribute| attribute.key.local_name().as_ref() == name.as_bytes());
    let value =
        found.and_then(|it| it.decode_and_unescape_value(element.decoder()).ok().map(|it| it.into_owned()));
    value.unwrap_or_default().trim().to_owned()
}

impl Pnr {
    fn is_inside(&self, name: &str) -> bool {
        self.path.iter().any(|open| open == name)
    }

    fn begin(&mut self, element: &BytesStart<'_>) {
        let name = String::from_utf8_lossy(element.local_name().as_ref()).into_owned();
        let get = |attribute_name: &str| attribute(element, attribute_name);
        self.text.clear();
        let in_flight = self.is_inside("Flight");
        match (name.as_str(), in_flight) {
            ("PNR", _) => (self.created, self.sent) = (get("PNR_CreationDate"), get("PNR_TransDate")),
            ("BookingRefID", _) => self.locators.push((String::new(), get("ID"))),
            ("CompanyName", _) => {
                if let Some(locator) = self.locators.last_mut() {
                    locator.0 = get("Code");
                }
            }
            ("Passenger", false) => {
                self.passengers.push(Passenger { reference: get("RPH"), ..Passenger::default() });
            }
            ("ContactInfo", false) => {
                if let Some(passenger) = self.passengers.last_mut() {
                    passenger.contacts.push(get("PhoneNumber"));
                }
            }
            ("DOCS", false) => {
                if let Some(passenger) = self.passengers.last_mut() {
                    passenger.sex = get("Gender");
                }
            }
            ("Flight", false) => self.flights.push(Flight {
                departs: get("DepartureDateTime"),
                arrives: get("ArrivalDateTime"),
                number: get("FlightNumber"),
                class: get("ResBookDesigCode"),
                status: get("Status"),
                ..Flight::default()
            }),
            (_, true) => self.begin_in_flight(&name, get),
            _ => {}
        }
        self.path.push(name);
    }

    fn begin_in_flight(&mut self, name: &str, get: impl Fn(&str) -> String) {
        let Some(flight) = self.flights.last_mut() else { return };
        match name {
            "DepartureAirport" => flight.from = get("LocationCode"),
            "ArrivalAirport" => flight.to = get("LocationCode"),
            "MarketingAirline" => flight.carrier = get("Code"),
            "Equipment" => flight.aircraft = get("AirEquipType"),
            "SSR" => flight.services.push(Service {
                code: get("SSRCode"),
                status: get("Status"),
                from: get("BoardPoint"),
                to: get("OffPoint"),
                reference: get("RPH"),
                ..Service::default()
            }),
            "Airline" => {
                if let Some(service) = flight.services.last_mut() {
                    service.carrier = get("Code");
                }
            }
            "BoardingNumber" => flight.check_ins.push(CheckIn {
                number: get("Number"),
                person: Passenger { reference: get("RPH"), ..Passenger::default() },
                ..CheckIn::default()
            }),
            _ => {}
        }
    }

    fn end(&mut self) {
        let Some(name) = self.path.pop() else { return };
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let at_check_in = self.is_inside("BoardingNumber");
        let in_flight = self.is_inside("Flight");
        let flight = self.flights.last_mut();
        let person = match flight {
            Some(flight) if at_check_in => flight.check_ins.last_mut().map(|check_in| &mut check_in.person),
            _ if in_flight => Some(&mut self.loose),
            _ => self.passengers.last_mut(),
        };
        match name.as_str() {
            "GivenName" => person.into_iter().for_each(|it| text.clone_into(&mut it.given)),
            "Surname" => {
                person.into_iter().for_each(|it| text.clone_into(&mut it.surname));
                if in_flight && !at_check_in {
                    self.add_loose();
                }
            }
            "SeatNumber" if in_flight => {
                if let Some(check_in) = self.flights.last_mut().and_then(|it| it.check_ins.last_mut()) {
                    check_in.seat = text;
                }
            }
            "Text" if in_flight => {
                if let Some(service) = self.flights.last_mut().and_then(|it| it.services.last_mut()) {
                    service.text = text;
                }
            }
            _ => {}
        }
    }

    /// A name in a flight is a passenger's, unless the passenger is listed.
    fn add_loose(&mut self) {
        let one = std::mem::take(&mut self.loose);
        let listed = |it: &Passenger| it.surname == one.surname && it.given == one.given;
        if !self.passengers.iter().any(listed) {
            let reference = format!("X{}", self.passengers.len() + 1);
            self.passengers.push(Passenger { reference, ..one });
        }
    }

    fn message(&self) -> Vec<u8> {
        let syntax = Syntax { characters: CharacterSet::Utf8, ..Syntax::default() };
        let first =
            |texts: [&str; 3]| texts.into_iter().find(|text| !text.is_empty()).unwrap_or("").to_owned();
        let departs = self.flights.first().map_or("", |flight| flight.departs.as_str());
        let prepared = first([&self.sent, &self.created, departs]);
        let (day, clock) = day_and_clock(&prepared, true);
        let (system, locator) = self.locators.first().map_or(("", ""), |(a, b)| (a.as_str(), b.as_str()));
        let mut writer = Writer::new(syntax, ("UNOY", "4"), system, "", (&day, &clock), locator);
        writer.begin("1", &["PNRGOV", "XML", "2007", "IA"]);
        writer.segment("MSG", &[&["", "22"]]);
        writer.segment("ORG", &[&[system]]);
        writer.segment("SRC", &[]);
        let (day, clock) = day_and_clock(&self.created, false);
        let own: [&str; 5] = [system, locator, "", &day, &clock];
        let others: Vec<[&str; 2]> = self.locators.iter().skip(1).map(|(a, b)| [a.as_str(), b]).collect();
        let elements: Vec<&[&str]> =
            std::iter::once(own.as_slice()).chain(others.iter().map(<[&str; 2]>::as_slice)).collect();
        writer.segment("RCI", &elements);
        let (day, clock) = day_and_clock(&self.sent, false);
        if !day.is_empty() {
            writer.segment("DAT", &[&["700", &day, &clock]]);
        }
        self.passengers.iter().for_each(|passenger| passenger.write(&mut writer));
        self.flights.iter().for_each(|flight| flight.write(&mut writer));
        writer.end();
        writer.finish()
    }
}

/// Day and time of `2024-01-01T10:15:00` as PNRGOV has them: DDMMYY, or YYMMDD for an envelope, and HHMM.
fn day_and_clock(text: &str, year_first: bool) -> (String, String) {
    let (day, clock) = text.split_once('T').unwrap_or((text, ""));
    let parts: Vec<&str> = day.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return Default::default() };
    let year = year.get(2..).unwrap_or("");
    let day = if year_first { format!("{year}{month}{day}") } else { format!("{day}{month}{year}") };
    (day, clock.split(':').take(2).collect())
}

impl Passenger {
    fn write(&self, writer: &mut Writer) {
        writer.segment("TIF", &[&[&self.surname], &[&self.given, "", &self.reference]]);
        for contact in &self.contacts {
            let kind = if contact.contains('@') { "CTCE" } else { "CTCM" };
            // The kind of the contact stands before a plus sign.
            let value = contact.strip_prefix("E+").unwrap_or(contact);
            writer.segment("IFT", &[&["4", "28"], &[&format!("{kind} {value}")]]);
        }
        if !self.sex.is_empty() {
            let text = format!("//////{}//{}/{}", self.sex, self.surname, self.given);
            writer
                .segment("SSR", &[&["DOCS", "", "", "", "", "", "", "", &text], &["", "", &self.reference]]);
        }
    }
}

impl Flight {
    fn write(&self, writer: &mut Writer) {
        let ((day, clock), (to_day, to_clock)) =
            (day_and_clock(&self.departs, false), day_and_clock(&self.arrives, false));
        writer.segment(
            "TVL",
            &[
                &[&day, &clock, &to_day, &to_clock],
                &[&self.from],
                &[&self.to],
                &[&self.carrier],
                &[&self.number, &self.class],
            ],
        );
        writer.segment("RPI", &[&[], &[&self.status]]);
        writer.segment("APD", &[&[&self.aircraft]]);
        for Service { code, status, carrier, from, to, reference, text } in &self.services {
            let service: [&str; 9] = [code, status, "1", carrier, "", "", from, to, text];
            writer.segment("SSR", &[&service, &["", "", reference]]);
        }
        for CheckIn { number, seat, person } in &self.check_ins {
            writer.segment("TRI", &[&[], &[number]]);
            writer.segment("TIF", &[&[&person.surname], &[&person.given, "", &person.reference]]);
            writer.segment("SSD", &[&[seat]]);
        }
    }
}
