//! The list of features: name, part, unit and words.

/// What a feature is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The flight and the journey.
    Itinerary,
    /// How it was booked and paid, and what is carried.
    Booking,
    /// Earlier trips of the traveller, and earlier results of route, airline and agency.
    History,
    /// What the traveller shares with others, and earlier results of these.
    Network,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Itinerary, Self::Booking, Self::History, Self::Network];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Itinerary => "itinerary",
            Self::Booking => "booking",
            Self::History => "history",
            Self::Network => "network",
        }
    }
}

/// The unit of a feature, which decides how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A whole number.
    Count,
    /// Days.
    Days,
    /// A share from 0 to 1.
    Share,
    /// 1 for yes, 0 for no.
    Flag,
    /// Kilograms.
    Kilograms,
    /// The hour of a day.
    Hour,
    /// Currency of the booking.
    Amount,
}

/// A feature.
#[derive(Debug, Clone, Copy)]
pub struct Feature {
    /// Its name in files.
    pub name: &'static str,
    /// What it is about.
    pub part: Part,
    /// Its unit.
    pub unit: Unit,
    /// What it is, in words that its value follows.
    pub words: &'static str,
}

macro_rules! features {
    ($($name:ident $part:ident $unit:ident $words:literal;)*) => {
        /// The places of the features in a row.
        #[allow(non_camel_case_types, missing_docs, reason = "they are the names of columns, whose words are in FEATURES")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum At { $($name),* }

        /// All features, in the order of a row.
        pub const FEATURES: &[Feature] = &[
            $(Feature { name: stringify!($name), part: Part::$part, unit: Unit::$unit, words: $words }),*
        ];
    };
}

features! {
    legs Itinerary Count "flights in the booking";
    is_return Itinerary Flag "return journey";
    departs_hour Itinerary Hour "hour of departure";
    weekday Itinerary Count "day of the week, Monday being 0";
    came_from_elsewhere Itinerary Flag "journey began at another airport than this flight";
    goes_elsewhere Itinerary Flag "journey ends at another airport than this flight";
    route_trips Itinerary Count "earlier travellers on the route";
    days_booked_before Booking Days "booked before the flight";
    days_since_change Booking Days "booking last changed before the flight";
    changes Booking Count "changes of the booking";
    party Booking Count "travellers in the booking";
    is_group Booking Flag "group booking";
    paid_cash Booking Flag "paid in cash";
    paid_by_other Booking Flag "paid from an account that others used before";
    fare Booking Amount "fare";
    bags Booking Count "checked bags";
    bag_kilograms Booking Kilograms "weight of checked bags";
    kilograms_per_bag Booking Kilograms "weight per checked bag";
    documents Booking Count "travel documents";
    contacts Booking Count "telephones, e-mail and postal addresses";
    has_agency Booking Flag "booked by an agency";
    past_trips History Count "earlier flights of the traveller";
    trips_90 History Count "flights in the 90 days before";
    days_since_trip History Days "since the traveller's last flight";
    days_since_first History Days "since the traveller's first flight";
    same_route History Count "earlier flights on the same route";
    past_inspections History Count "earlier inspections of the traveller";
    past_offences History Count "earlier inspections of the traveller that found something";
    new_document History Flag "known traveller with a new travel document";
    new_contact History Flag "known traveller with a new telephone or e-mail";
    new_payment History Flag "known traveller with a new payment account";
    route_rate History Share "earlier share of finds on the route";
    airline_rate History Share "earlier share of finds with the airline";
    origin_rate History Share "earlier share of finds from the journey's first airport";
    agency_rate History Share "earlier share of finds with the agency";
    agency_trips History Count "earlier travellers of the agency";
    lead_rate History Share "earlier share of finds among bookings made as shortly before";
    payment_people Network Count "others who used the payment account before";
    payment_offences Network Count "earlier finds with others who used the payment account";
    contact_people Network Count "others who used the telephone or e-mail before";
    contact_offences Network Count "earlier finds with others who used the telephone or e-mail";
    address_people Network Count "others at the address before";
    address_offences Network Count "earlier finds with others at the address";
    document_people Network Count "others who travelled on the document before";
    travel_people Network Count "others who travelled in one booking with the traveller before";
    travel_offences Network Count "earlier finds with those who travelled in one booking with the traveller";
    neighbours Network Count "travellers linked with the traveller";
    near_offenders Network Count "known offenders a link away";
    near_share Network Share "share of offenders among those a link away";
    far_offenders Network Count "known offenders two links away";
    party_offenders Network Count "known offenders in the booking";
    group_size Network Count "travellers who hang together with the traveller by links";
    group_offenders Network Count "known offenders among those who hang together with the traveller";
    days_since_near_offence Network Days "since the last find with somebody a link away";
}

/// How many features there are.
pub const COUNT: usize = FEATURES.len();

/// A value in words, as an officer reads it.
#[must_use]
pub fn value_words(unit: Unit, value: f32) -> String {
    if value.is_nan() {
        return "not known".to_owned();
    }
    match unit {
        Unit::Count => format!("{value:.0}"),
        Unit::Days if (value - 1.0).abs() < 0.5 => "1 day".to_owned(),
        Unit::Days => format!("{value:.0} days"),
        Unit::Share => format!("{:.1} %", f64::from(value) * 100.0),
        Unit::Flag if value > 0.5 => "yes".to_owned(),
        Unit::Flag => "no".to_owned(),
        Unit::Kilograms => format!("{value:.0} kg"),
        Unit::Hour => format!("{value:.0} h"),
        Unit::Amount => format!("{value:.2}"),
    }
}

/// A feature and its value in words.
#[must_use]
pub fn words(feature: usize, value: f32) -> String {
    let Some(feature) = FEATURES.get(feature) else { return String::new() };
    format!("{}: {}", feature.words, value_words(feature.unit, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_names_of_their_own_and_words() {
        let names: std::collections::BTreeSet<_> = FEATURES.iter().map(|feature| feature.name).collect();
        assert_eq!(names.len(), COUNT);
        assert_eq!(FEATURES[At::past_trips as usize].name, "past_trips");
        assert_eq!(words(At::paid_cash as usize, 1.0), "paid in cash: yes");
        assert_eq!(words(At::route_rate as usize, 0.125), "earlier share of finds on the route: 12.5 %");
        assert_eq!(
            words(At::days_since_trip as usize, f32::NAN),
            "since the traveller's last flight: not known"
        );
        let protected = ["age", "sex", "nationality", "residence"];
        assert!(FEATURES.iter().all(|feature| !protected.contains(&feature.name)));
    }
}
