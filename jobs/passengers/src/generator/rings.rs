//! The planted rings: people who smuggle together, in four ways that leave traces in bookings.
//!
//! Their trips are drawn for the whole period at once, as they are few. Start at [`rings`].

use std::collections::BTreeMap;

use super::{
    draws::Draws,
    people::{Card, HOUSEHOLD, Population, card},
    world::AIRPORTS,
};

/// How the members of a ring travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Bookings of their own, all paid with one card and made by one agency.
    SharedPayment,
    /// Alone, often, for days, with heavy bags, paid in cash; one telephone for all.
    Couriers,
    /// On one flight under bookings of their own made within minutes, with one e-mail address.
    SplitItineraries,
    /// From afar by way of a hub, of which the booking shows the last flight only; one address for all.
    BrokenTravel,
}

/// All ways, in the order in which rings get them.
pub(super) const WAYS: [Way; 4] =
    [Way::SharedPayment, Way::Couriers, Way::SplitItineraries, Way::BrokenTravel];

impl Way {
    /// In a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::SharedPayment => "shared payment",
            Self::Couriers => "couriers",
            Self::SplitItineraries => "split itineraries",
            Self::BrokenTravel => "broken travel",
        }
    }
}

/// A ring.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    pub(super) number: u64,
    pub(super) way: Way,
    pub(super) card: Card,
    pub(super) agency: u64,
    pub(super) phone: String,
    pub(super) email: String,
    pub(super) street: String,
    /// Where the goods come from.
    pub(super) source: usize,
}

/// A trip of members of a ring.
#[derive(Debug, Clone)]
pub(super) struct RingTrip {
    pub(super) ring: usize,
    pub(super) number: u64,
    pub(super) members: Vec<u64>,
}

/// Travellers of a ring's trips in all, on average.
const TRAVELLERS_OF_A_RING: f64 = 14.0;

/// The rings, and their trips by the day of the period. `travellers` are those of rings in the whole period.
pub(super) fn rings(
    population: &Population,
    travellers: f64,
    days: u64,
    agencies: u64,
) -> (Vec<Ring>, BTreeMap<u64, Vec<RingTrip>>) {
    let count = (travellers / TRAVELLERS_OF_A_RING).round() as u64;
    let sources: Vec<usize> = (0..AIRPORTS.len()).filter(|place| AIRPORTS[*place].risk > 2.0).collect();
    let (mut rings, mut trips) = (Vec::new(), BTreeMap::<u64, Vec<RingTrip>>::new());
    for number in 0..count {
        let mut draws = Draws::of(population.seed, 20, [number, 0]);
        let way = WAYS[(number % 4) as usize];
        let households = (population.persons / HOUSEHOLD).max(1);
        // Adults of different households.
        let mut members: Vec<u64> =
            (0..4 + draws.below(4)).map(|_| draws.below(households) * HOUSEHOLD + draws.below(2)).collect();
        members.sort_unstable();
        members.dedup_by_key(|member| *member / HOUSEHOLD);
        let (times, together) = match way {
            Way::Couriers => (10 + draws.below(6), 1),
            Way::SharedPayment | Way::SplitItineraries => (4 + draws.below(2), 3),
            Way::BrokenTravel => (5 + draws.below(3), 2),
        };
        for time in 0..times {
            let first = usize::try_from(draws.below(members.len() as u64)).unwrap_or(0);
            let travelling = (0..together).map(|place| members[(first + place) % members.len()]);
            let mut travelling: Vec<u64> = travelling.collect();
            travelling.sort_unstable();
            travelling.dedup();
            let trip = RingTrip { ring: rings.len(), number: time, members: travelling };
            trips.entry(draws.below(days)).or_default().push(trip);
        }
        rings.push(Ring {
            number,
            way,
            card: card(&mut draws, &format!("PAYER {number}")),
            agency: draws.below(agencies),
            phone: format!("9{}", draws.digits(10)),
            email: format!("{}@web.example", draws.letters(10).to_lowercase()),
            street: format!("{} HARBOUR STREET", 1 + draws.below(999)),
            source: draws.one(&sources, 0),
        });
    }
    (rings, trips)
}
