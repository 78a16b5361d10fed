//! The bookings of a flight: who travels, how they booked and paid, and whether they smuggle.
//!
//! Whether somebody smuggles depends on the origin and on how the booking was made, and for members of rings on the ring.
//! Start at [`Bookings::of_flight`].

use chrono::{Days, NaiveDate, NaiveTime};

use super::{
    draws::Draws,
    people::{Card, HOUSEHOLD, Household, Person, Population, age},
    rings::{Ring, RingTrip, Way},
    world::{AIRPORTS, Airport, HUBS},
};
use crate::records::Moment;

/// A flight into the country.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) origin: Airport,
    pub(super) destination: Airport,
    pub(super) number: String,
    pub(super) departs: Moment,
    pub(super) arrives: Moment,
}

/// A leg of a booking.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) from: Airport,
    pub(super) to: Airport,
    pub(super) number: String,
    pub(super) departs: Moment,
    pub(super) arrives: Moment,
}

/// A traveller of a booking.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) person: Person,
    pub(super) pieces: u32,
    pub(super) kilograms: u32,
    pub(super) seat: String,
    pub(super) is_illicit: bool,
}

/// How a booking was paid.
#[derive(Debug, Clone)]
pub(super) enum Paid {
    Card(Card),
    Cash,
}

/// A booking.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) locator: String,
    pub(super) created: Moment,
    pub(super) agency: u64,
    pub(super) members: Vec<Member>,
    pub(super) steps: Vec<Step>,
    pub(super) paid: Paid,
    pub(super) fare: f64,
    pub(super) phone: String,
    pub(super) email: String,
    pub(super) street: String,
    pub(super) city: &'static str,
    pub(super) postcode: String,
    pub(super) ring: Option<usize>,
}

/// Makes the bookings of flights.
pub(super) struct Bookings<'a> {
    pub(super) population: &'a Population,
    pub(super) rings: &'a [Ring],
    pub(super) agencies: u64,
    /// The probability that an ordinary traveller of the most ordinary kind smuggles.
    pub(super) base: f64,
}

/// The probability that a member of a ring smuggles on a trip of it.
const OF_RINGS: f64 = 0.65;

impl Bookings<'_> {
    /// The bookings of ordinary travellers of a flight: so many that there are about `travellers`.
    pub(super) fn of_flight(&self, flight: &Flight, place: u64, places: u64, travellers: u64) -> Vec<Plan> {
        let day = self.day(flight);
        let (mut plans, mut seated, mut households) = (Vec::new(), 0, std::collections::HashSet::new());
        for number in 0.. {
            if seated >= travellers || number > travellers * 20 {
                break;
            }
            let mut draws = Draws::of(self.population.seed, 30, [day, place << 32 | number]);
            let person = self.somebody(&mut draws, flight, place, places);
            if !households.insert(person / HOUSEHOLD) {
                continue;
            }
            let plan = self.ordinary(&mut draws, flight, person, seated);
            seated += plan.members.len() as u64;
            plans.push(plan);
        }
        plans
    }

    fn day(&self, flight: &Flight) -> u64 {
        u64::try_from((flight.departs.day - self.population.first).num_days()).unwrap_or(0)
    }

    /// A person who flies: some fly often. Each household has one flight a day at most.
    fn somebody(&self, draws: &mut Draws, flight: &Flight, place: u64, places: u64) -> u64 {
        let mut person = 0;
        for _ in 0..5 {
            let share = draws.unit();
            let household = (share * share * (self.population.persons / HOUSEHOLD) as f64) as u64;
            let household = household - household % places + place;
            person = household * HOUSEHOLD + draws.below(2);
            let home = self.population.person(person).home;
            // Foreigners come from their homes mostly.
            if home.country == flight.destination.country || home.code == flight.origin.code {
                break;
            }
        }
        person
    }

    fn ordinary(&self, draws: &mut Draws, flight: &Flight, person: u64, seated: u64) -> Plan {
        let size = [1, 1, 1, 1, 1, 2, 2, 2, 3, 4][usize::try_from(draws.below(10)).unwrap_or(0)];
        let party = self.population.party(person, size);
        let Household { card, street, city, postcode, phone } = self.population.household(person / HOUSEHOLD);
        let lead = (-25.0 * (1.0 - draws.unit()).ln()) as u64 + u64::from(size > 1) * 14;
        let (is_cash, is_one_way) = (draws.happens(0.06), draws.happens(0.1));
        let first = &party[0];
        let (home, email) = (first.home, first.email.clone());
        let stay = 2 + draws.below(if size > 1 { 12 } else { 7 });
        let steps = journey(draws, flight, home, stay, is_one_way);
        let alone = size == 1;
        let factor = flight.origin.risk
            * if is_cash { 5.0 } else { 1.0 }
            * if lead < 4 { 2.5 } else { 1.0 }
            * if is_one_way { 1.6 } else { 1.0 }
            * if alone && stay < 4 { 1.6 } else { 1.0 };
        let probability = (self.base * factor).min(0.4);
        let members = party.into_iter().enumerate().map(|(place, person)| {
            let is_adult = age(person.birth, flight.departs.day) >= 16;
            let is_illicit = is_adult && draws.happens(probability);
            let pieces = u32::try_from(draws.below(3)).unwrap_or(0);
            let kilograms = pieces * (12 + u32::try_from(draws.below(12)).unwrap_or(0));
            Member { person, pieces, kilograms, seat: seat(seated + place as u64), is_illicit }
        });
        Plan {
            members: members.collect(),
            locator: locator(draws),
            created: booked(draws, flight, lead),
            agency: (draws.unit() * draws.unit() * self.agencies as f64) as u64,
            steps,
            paid: if is_cash { Paid::Cash } else { Paid::Card(card) },
            fare: 180.0 + 60.0 * flight.origin.hours as f64 * (0.5 + draws.unit()),
            phone: if draws.happens(0.5) { phone } else { draws.digits(11) },
            email,
            street,
            city,
            postcode,
            ring: None,
        }
    }

    /// The bookings of a trip of a ring.
    pub(super) fn of_ring(&self, flight: &Flight, trip: &RingTrip, seated: u64) -> Vec<Plan> {
        let Some(ring) = self.rings.get(trip.ring) else { return Vec::new() };
        let mut common = Draws::of(self.population.seed, 40, [ring.number, trip.number]);
        let (lead, minute) = (1 + common.below(4), common.below(600));
        let plan = |(place, number): (usize, &u64)| {
            let mut draws = Draws::of(self.population.seed, 41, [ring.number << 20 | trip.number, *number]);
            let person = self.population.person(*number);
            let own = self.population.household(*number / HOUSEHOLD);
            let stay = 1 + draws.below(3);
            let is_one_way = ring.way == Way::SplitItineraries;
            let steps = match ring.way {
                Way::BrokenTravel => broken(flight, AIRPORTS[ring.source], stay),
                _ => journey(&mut draws, flight, person.home, stay, is_one_way),
            };
            let is_heavy = ring.way == Way::Couriers || draws.happens(0.3);
            let pieces = if is_heavy { 2 } else { u32::try_from(draws.below(2)).unwrap_or(0) };
            let each = if is_heavy { 22 + draws.below(8) } else { 12 + draws.below(10) };
            let is_illicit = draws.happens(OF_RINGS);
            let seat = seat(seated + place as u64 * 7);
            let kilograms = pieces * u32::try_from(each).unwrap_or(0);
            let email = person.email.clone();
            Plan {
                members: vec![Member { person, pieces, kilograms, seat, is_illicit }],
                locator: locator(&mut draws),
                created: moment(
                    flight.departs.day - Days::new(lead),
                    8 * 60
                        + minute
                        + if ring.way == Way::SplitItineraries { place as u64 * 3 } else { draws.below(240) },
                ),
                agency: match ring.way {
                    Way::SharedPayment => ring.agency,
                    _ if draws.happens(0.5) => ring.agency,
                    _ => draws.below(self.agencies),
                },
                steps,
                paid: match ring.way {
                    Way::SharedPayment => Paid::Card(ring.card.clone()),
                    Way::Couriers if draws.happens(0.7) => Paid::Cash,
                    _ => Paid::Card(own.card),
                },
                fare: 180.0 + 60.0 * flight.origin.hours as f64 * (0.7 + draws.unit()),
                phone: match ring.way {
                    Way::Couriers => ring.phone.clone(),
                    _ if draws.happens(0.2) => ring.phone.clone(),
                    _ => draws.digits(11),
                },
                email: if ring.way == Way::SplitItineraries { ring.email.clone() } else { email },
                street: if ring.way == Way::BrokenTravel { ring.street.clone() } else { own.street },
                city: own.city,
                postcode: own.postcode,
                ring: Some(trip.ring),
            }
        };
        trip.members.iter().enumerate().map(plan).collect()
    }
}

fn locator(draws: &mut Draws) -> String {
    draws.letters(6)
}

fn seat(number: u64) -> String {
    format!("{}{}", 10 + number / 6, char::from(b'A' + (number % 6) as u8))
}

fn moment(day: NaiveDate, minutes: u64) -> Moment {
    let minutes = u32::try_from(minutes % 1440).unwrap_or(0);
    Moment { day, time: NaiveTime::from_hms_opt(minutes / 60, minutes % 60, 0) }
}

fn booked(draws: &mut Draws, flight: &Flight, lead: u64) -> Moment {
    moment(flight.departs.day - Days::new(lead + 1), 360 + draws.below(960))
}

/// The flight, and what the traveller flew before or flies later.
fn journey(draws: &mut Draws, flight: &Flight, home: Airport, stay: u64, is_one_way: bool) -> Vec<Step> {
    let own = Step {
        from: flight.origin,
        to: flight.destination,
        number: flight.number.clone(),
        departs: flight.departs,
        arrives: flight.arrives,
    };
    let other = |from: Airport, to: Airport, day: NaiveDate, minutes: u64, hours: i64| {
        let departs = moment(day, minutes);
        let arrives = moment(day, (minutes + u64::try_from(hours).unwrap_or(0) * 60).min(1439));
        Step { from, to, number: format!("{}", 100 + (minutes % 800)), departs, arrives }
    };
    let minutes = 400 + draws.below(600);
    let day = flight.departs.day;
    let back = |steps: &mut Vec<Step>| {
        if home.country == flight.destination.country {
            steps.insert(
                0,
                other(
                    flight.destination,
                    flight.origin,
                    day - Days::new(stay + 1),
                    minutes,
                    flight.origin.hours,
                ),
            );
        } else {
            steps.push(other(
                flight.destination,
                flight.origin,
                flight.arrives.day + Days::new(stay),
                minutes,
                flight.origin.hours,
            ));
        }
    };
    let mut steps = vec![own];
    let comes_from_afar = HUBS.contains(&flight.origin.code)
        && home.country != flight.destination.country
        && home.code != flight.origin.code;
    if comes_from_afar {
        steps.insert(0, other(home, flight.origin, day - Days::new(1), minutes, 6));
    }
    if !is_one_way {
        back(&mut steps);
    }
    steps
}

/// The last flight alone, and a way back to where the goods come from.
fn broken(flight: &Flight, source: Airport, stay: u64) -> Vec<Step> {
    let back = moment(flight.arrives.day + Days::new(stay), 700);
    vec![
        Step {
            from: flight.origin,
            to: flight.destination,
            number: flight.number.clone(),
            departs: flight.departs,
            arrives: flight.arrives,
        },
        Step {
            from: flight.destination,
            to: source,
            number: "777".to_owned(),
            departs: back,
            arrives: Moment { time: None, ..back },
        },
    ]
}
