//! The records of a message: what PAXLST and PNRGOV have in common, in flat lists that refer to each other by index.
//!
//! Text stays as the message has it but for spaces around it; what is derived from it (names without titles, countries
//! in three letters, telephone digits, full years) says so. Empty text and `None` mean that the message does not say.

use chrono::NaiveDate;

pub use crate::dates::Moment;
pub use crate::edifact::{Issue, IssueKind};
pub use crate::names::Sex;

/// The index of a record in its list.
pub type Index = usize;

/// All that a message says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Records {
    /// The message itself.
    pub message: Message,
    /// Flights: first those of the message, then those of its bookings.
    pub legs: Vec<Leg>,
    /// Bookings (PNR). A passenger list has one for each record locator that it names.
    pub bookings: Vec<Booking>,
    /// Travellers and crew. Two of one name are two.
    pub travellers: Vec<Traveller>,
    /// Travel documents, each once for a traveller.
    pub documents: Vec<Document>,
    /// Checked bags.
    pub bags: Vec<Bag>,
    /// Pieces and weight of all bags of a traveller on a leg.
    pub bag_totals: Vec<BagTotal>,
    /// Seats.
    pub seats: Vec<Seat>,
    /// Tickets with their fares.
    pub tickets: Vec<Ticket>,
    /// How it was paid.
    pub payments: Vec<Payment>,
    /// Telephones, e-mail and postal addresses.
    pub contacts: Vec<Contact>,
    /// Who made the bookings.
    pub agencies: Vec<Agency>,
    /// Frequent flyer numbers.
    pub memberships: Vec<Membership>,
    /// Free text and history as they stand.
    pub remarks: Vec<Remark>,
    /// Segments that were not understood.
    pub unknown: Vec<RawSegment>,
    /// What is wrong, in form and content.
    pub issues: Vec<Issue>,
}

/// The types of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MessageKind {
    /// PAXLST: a passenger or crew list (API).
    Paxlst,
    /// PNRGOV: bookings (PNR).
    Pnrgov,
    /// Another; its segments are kept as text.
    #[default]
    Other,
}

/// The message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Its type.
    pub kind: MessageKind,
    /// Version and release as UNH has them: `D:02B`, `13:1`.
    pub release: String,
    /// What the list is for (BGM): 745 passengers, 250 crew; in PNRGOV the function of MSG, such as 22.
    pub function: String,
    /// Sender of the interchange.
    pub sender: String,
    /// Recipient of the interchange.
    pub recipient: String,
    /// When the interchange was prepared.
    pub prepared: Option<Moment>,
    /// Control reference of the interchange.
    pub interchange: String,
    /// Reference of the message.
    pub reference: String,
    /// What it shares with other messages of its transfer.
    pub access: String,
    /// Part of a transfer: `C` the first, `F` the last.
    pub transfer: String,
    /// The system or airline from which it comes (ORG), or the reporting party (NAD+MS).
    pub origin: String,
    /// Travellers that it says it has.
    pub stated_travellers: Option<u32>,
    /// The byte of the input at which it begins.
    pub offset: u64,
}

/// A flight, or a service on the ground that is part of a booking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leg {
    /// The booking; none for a flight of the message.
    pub booking: Option<Index>,
    /// Whether it is a flight; if not, a hotel, a car or the like.
    pub is_flight: bool,
    /// Airport or place of departure.
    pub from: String,
    /// Airport of arrival.
    pub to: String,
    /// Departure, local.
    pub departs: Option<Moment>,
    /// Arrival, local.
    pub arrives: Option<Moment>,
    /// The airline that sells it.
    pub carrier: String,
    /// Flight number of the airline that sells it, without leading zeros.
    pub flight: String,
    /// The airline that flies it, where it is another.
    pub operating_carrier: String,
    /// Flight number of the airline that flies it.
    pub operating_flight: String,
    /// Class of booking.
    pub class: String,
    /// Status, such as HK (confirmed).
    pub status: String,
    /// Aircraft type.
    pub aircraft: String,
    /// The segment that says so.
    pub segment: u32,
}

/// A booking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Booking {
    /// Record locator.
    pub locator: String,
    /// Airline or system whose locator it is.
    pub system: String,
    /// Locators of the same booking in other systems, as system and locator.
    pub others: Vec<(String, String)>,
    /// When it was made.
    pub created: Option<Moment>,
    /// When it was last changed.
    pub changed: Option<Moment>,
    /// Name of a group.
    pub group: String,
    /// Changes in its history.
    pub changes: u32,
    /// The segment that says so.
    pub segment: u32,
}

/// What a traveller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TravellerKind {
    /// A passenger.
    #[default]
    Passenger,
    /// A member of the crew.
    Crew,
    /// A passenger in transit.
    TransitPassenger,
    /// A member of the crew in transit.
    TransitCrew,
}

/// The age for which a traveller was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AgeClass {
    /// Not said.
    #[default]
    Unknown,
    /// Twelve years or more.
    Adult,
    /// Two to eleven years.
    Child,
    /// Under two years, or without a seat.
    Infant,
}

/// A traveller on one message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traveller {
    /// The booking.
    pub booking: Option<Index>,
    /// Passenger or crew.
    pub kind: TravellerKind,
    /// Age class.
    pub age: AgeClass,
    /// The message's own reference of the traveller, unique in a booking.
    pub reference: String,
    /// The airline's reference of the traveller (REF, RFF+ABO), the same in later messages.
    pub airline_reference: String,
    /// Surname without the mark of a generation.
    pub surname: String,
    /// Given name without a title.
    pub given: String,
    /// Middle names.
    pub middle: String,
    /// Title.
    pub title: String,
    /// Mark of a generation: JR, II.
    pub suffix: String,
    /// Surname as it stands.
    pub surname_text: String,
    /// Given names as they stand.
    pub given_text: String,
    /// Sex.
    pub sex: Option<Sex>,
    /// Date of birth.
    pub birth: Option<NaiveDate>,
    /// Whether the century of the birth was derived and another one is possible.
    pub birth_is_ambiguous: bool,
    /// Nationality, three letters.
    pub nationality: String,
    /// Country of residence, three letters.
    pub residence: String,
    /// Place of birth.
    pub birth_place: String,
    /// Airport of embarkation.
    pub embarks: String,
    /// Airport of debarkation.
    pub debarks: String,
    /// Airport of clearance by border control.
    pub clears: String,
    /// The segment that says so.
    pub segment: u32,
}

/// Kinds of travel documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DocumentKind {
    /// Passport, passport card.
    Passport,
    /// Visa.
    Visa,
    /// Identity card.
    Identity,
    /// Crew member's certificate, seaman's book.
    Crew,
    /// Military identity.
    Military,
    /// Permit of residence or re-entry, document of a refugee.
    Permit,
    /// Another, or not said.
    #[default]
    Other,
}

impl DocumentKind {
    /// The kind of a code, and whether it is in our list.
    #[must_use]
    pub fn of(code: &str) -> (Self, bool) {
        let kind = match code {
            "P" | "PP" | "PD" | "PO" | "PS" | "IP" => Self::Passport,
            "V" => Self::Visa,
            "I" | "A" | "C" | "ID" | "IN" => Self::Identity,
            "AC" | "G" | "S" | "L" => Self::Crew,
            "M" | "MI" => Self::Military,
            "F" | "R" | "T" | "N" | "PR" => Self::Permit,
            _ => return (Self::Other, false),
        };
        (kind, true)
    }
}

/// A travel document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Whose it is.
    pub traveller: Option<Index>,
    /// The booking in which it stands.
    pub booking: Option<Index>,
    /// Its kind.
    pub kind: DocumentKind,
    /// The code of its kind as it stands.
    pub code: String,
    /// Its number.
    pub number: String,
    /// The country that issued it, three letters.
    pub issuer: String,
    /// Place of issue (visa).
    pub place: String,
    /// The country for which it is (visa), three letters.
    pub valid_for: String,
    /// Day of issue.
    pub issued: Option<NaiveDate>,
    /// Last day.
    pub expires: Option<NaiveDate>,
    /// Surname on it.
    pub surname: String,
    /// Given names on it as they stand.
    pub given: String,
    /// Date of birth on it.
    pub birth: Option<NaiveDate>,
    /// The segment that says so.
    pub segment: u32,
}

/// Checked bags that follow each other in number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bag {
    /// Whose they are.
    pub traveller: Option<Index>,
    /// The leg.
    pub leg: Option<Index>,
    /// Airline, by code or by number.
    pub carrier: String,
    /// Number of the first tag.
    pub tag: String,
    /// Pieces from this number on.
    pub pieces: u32,
    /// Airport to which they are checked.
    pub destination: String,
    /// Whether they are pooled with those of others: HP the head of the pool, MP a member.
    pub pool: String,
    /// The segment that says so.
    pub segment: u32,
}

/// All bags of a traveller on a leg.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BagTotal {
    /// Whose they are.
    pub traveller: Option<Index>,
    /// The leg.
    pub leg: Option<Index>,
    /// Pieces.
    pub pieces: Option<u32>,
    /// Weight in kilograms.
    pub kilograms: Option<f64>,
    /// The segment that says so.
    pub segment: u32,
}

/// A seat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seat {
    /// Who sits there.
    pub traveller: Option<Index>,
    /// The leg.
    pub leg: Option<Index>,
    /// Row and letter without leading zeros.
    pub number: String,
    /// Whether it was given at check-in.
    pub checked_in: bool,
    /// Sequence or boarding number of the check-in.
    pub sequence: String,
    /// The segment that says so.
    pub segment: u32,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ticket {
    /// For whom.
    pub traveller: Option<Index>,
    /// The booking.
    pub booking: Option<Index>,
    /// Its number.
    pub number: String,
    /// Fare without taxes.
    pub base: Option<f64>,
    /// Fare with taxes.
    pub total: Option<f64>,
    /// Currency of both.
    pub currency: String,
    /// When it was issued.
    pub issued: Option<Moment>,
    /// The segment that says so.
    pub segment: u32,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Payment {
    /// For whom.
    pub traveller: Option<Index>,
    /// The booking.
    pub booking: Option<Index>,
    /// Form: CC credit card, CA cash, and others.
    pub form: String,
    /// Card's issuer, such as VI.
    pub vendor: String,
    /// Account, masked as it stands.
    pub account: String,
    /// Month and year to which the card is valid, MMYY.
    pub expires: String,
    /// Amount.
    pub amount: Option<f64>,
    /// Currency: that of the ticket.
    pub currency: String,
    /// Who paid, where it is said.
    pub payer: String,
    /// The segment that says so.
    pub segment: u32,
}

/// Kinds of contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ContactKind {
    /// Telephone: digits and a leading plus sign.
    #[default]
    Phone,
    /// E-mail address in small letters.
    Email,
    /// Postal address: street.
    Address,
}

/// Whose contact it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ContactRole {
    /// The traveller's or the booking's.
    #[default]
    Traveller,
    /// The payer's.
    Payer,
    /// The reporting party's.
    Reporter,
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact {
    /// Whose it is; none for the booking's.
    pub traveller: Option<Index>,
    /// The booking.
    pub booking: Option<Index>,
    /// Its kind.
    pub kind: ContactKind,
    /// Whose it is in the deal.
    pub role: ContactRole,
    /// Number, address or street.
    pub value: String,
    /// City of an address.
    pub city: String,
    /// Region of an address.
    pub region: String,
    /// Postcode of an address.
    pub postcode: String,
    /// Country of an address, three letters.
    pub country: String,
    /// The segment that says so.
    pub segment: u32,
}

/// Who made a booking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agency {
    /// The booking.
    pub booking: Option<Index>,
    /// Airline or reservation system.
    pub system: String,
    /// Its place.
    pub place: String,
    /// IATA number of the agency.
    pub number: String,
    /// Identifier of the office in the system.
    pub office: String,
    /// Location of the office.
    pub location: String,
    /// Type: A an airline, T a travel agency, N others.
    pub kind: String,
    /// Country, three letters.
    pub country: String,
    /// Currency.
    pub currency: String,
    /// Identifier of the agent.
    pub agent: String,
    /// The segment that says so.
    pub segment: u32,
}

/// A frequent flyer number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// Whose it is.
    pub traveller: Option<Index>,
    /// Airline.
    pub carrier: String,
    /// Number.
    pub number: String,
    /// Level, such as ELITE.
    pub level: String,
    /// The segment that says so.
    pub segment: u32,
}

/// Free text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remark {
    /// The booking.
    pub booking: Option<Index>,
    /// The traveller.
    pub traveller: Option<Index>,
    /// What it is: a tag, and for a special service its code.
    pub code: String,
    /// The text.
    pub text: String,
    /// The segment that says so.
    pub segment: u32,
}

/// A segment that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawSegment {
    /// Its number in the message, UNH being 1.
    pub segment: u32,
    /// The byte of the input at which it begins.
    pub offset: u64,
    /// Its text without the terminator.
    pub text: String,
}
