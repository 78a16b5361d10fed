//! What is known of the past when a flight departs: counters of travellers, of what they use, of routes and airlines, and
//! the groups that links make of travellers.
//!
//! Days follow each other: [`Past::advance`] to a day, then features of all its trips, then [`Past::learn`] of them. So a
//! feature never knows its own day. Groups are kept by union and find (R. E. Tarjan, JACM 1975), so that a link costs
//! almost nothing; nothing is ever forgotten, which takes about 200 bytes for a traveller and 100 for a thing used.

pub mod sample;

use std::collections::{BTreeMap, HashMap};

use xxhash_rust::xxh3::xxh3_64;

use super::catalogue::{At, COUNT};

/// Travellers of one thing that are remembered by name; more than that say little and link nobody.
const MOST_PEOPLE: usize = 30;

/// Things of one traveller that are remembered.
const MOST_KEYS: usize = 40;

/// Travellers a link away whose own links are followed.
const MOST_FOLLOWED: usize = 60;

/// Inspections that the share of finds of everybody is worth beside those of one thing.
const PRIOR: f32 = 20.0;

/// The kinds of what travellers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A booking.
    Travel,
    /// Telephone or e-mail.
    Contact,
    /// Payment account.
    Payment,
    /// Postal address.
    Address,
    /// Travel document.
    Document,
}

impl Use {
    /// The kind of the letter by which the query marks a key.
    fn of(letter: u8) -> Option<Self> {
        Some(match letter {
            b't' => Self::Travel,
            b'c' => Self::Contact,
            b'p' => Self::Payment,
            b'a' => Self::Address,
            b'd' => Self::Document,
            _ => return None,
        })
    }
}

/// Trips, inspections and finds so far.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    trips: u32,
    inspected: u32,
    found: u32,
}

/// A traveller.
#[derive(Debug, Clone)]
struct Traveller {
    record: Record,
    first: i32,
    last: i32,
    last_found: i32,
    /// Days of the last trips.
    days: Vec<i32>,
    /// Routes of the last trips.
    routes: Vec<u64>,
    /// What was used, as places in the list of things.
    things: Vec<u32>,
    /// The traveller above in the group; itself at its top.
    above: u32,
    /// Of the one at the top: members and offenders of the group.
    group: (u32, u32),
}

/// Something that travellers use.
#[derive(Debug, Clone)]
struct Thing {
    kind: Use,
    people: Vec<u32>,
    /// Whether there were more people than are remembered.
    is_hub: bool,
}

/// A trip as the past sees it.
#[derive(Debug, Clone, Default)]
pub struct Trip {
    /// The traveller.
    pub person: u64,
    /// The day of the flight.
    pub day: i32,
    /// Things used: kind and hash.
    pub uses: Vec<(Use, u64)>,
    /// The route's hash.
    pub route: u64,
    /// Hashes of airline, journey's origin, agency and class of lead time, by which shares of finds are kept; 0 is none.
    pub groups: [u64; 4],
    /// Whether an inspection found something, and from which day on that is known.
    pub outcome: Option<(bool, i32)>,
}

impl Trip {
    /// The things of a text of the query: a letter and a key each, with spaces between.
    #[must_use]
    pub fn uses_of(keys: &str) -> Vec<(Use, u64)> {
        let mut uses: Vec<(Use, u64)> = keys
            .split(' ')
            .filter_map(|key| Some((Use::of(*key.as_bytes().first()?)?, xxh3_64(key.as_bytes()))))
            .collect();
        // The engine gives them in any order.
        uses.sort_by_key(|(kind, hash)| (*kind as u8, *hash));
        uses.dedup();
        uses
    }
}

/// The past.
#[derive(Debug, Default)]
pub struct Past {
    day: i32,
    travellers: Vec<Traveller>,
    by_person: HashMap<u64, u32>,
    things: Vec<Thing>,
    by_key: HashMap<u64, u32>,
    records: HashMap<u64, Record>,
    everybody: Record,
    /// Results that are known from a day on.
    results: BTreeMap<i32, Vec<(u32, Trip)>>,
}

impl Past {
    /// Goes on to a day: results that are known by then count.
    pub fn advance(&mut self, day: i32) {
        self.day = day;
        while let Some(entry) = self.results.first_entry() {
            if *entry.key() > day {
                break;
            }
            for (number, trip) in entry.remove() {
                self.result(number, &trip);
            }
        }
    }

    fn result(&mut self, number: u32, trip: &Trip) {
        let Some((found, known)) = trip.outcome else { return };
        let count = |record: &mut Record| {
            record.inspected += 1;
            record.found += u32::from(found);
        };
        count(&mut self.everybody);
        for group in std::iter::once(trip.route).chain(trip.groups).filter(|group| *group != 0) {
            count(self.records.entry(group).or_default());
        }
        let traveller = &mut self.travellers[number as usize];
        count(&mut traveller.record);
        if found {
            traveller.last_found = known;
            if traveller.record.found == 1 {
                let top = self.top(number);
                self.travellers[top as usize].group.1 += 1;
            }
        }
    }

    /// The one at the top of a traveller's group.
    fn top(&mut self, mut number: u32) -> u32 {
        while self.travellers[number as usize].above != number {
            let above = self.travellers[number as usize].above;
            self.travellers[number as usize].above = self.travellers[above as usize].above;
            number = above;
        }
        number
    }

    /// The same without shortening the way.
    fn group(&self, mut number: u32) -> (u32, u32) {
        while self.travellers[number as usize].above != number {
            number = self.travellers[number as usize].above;
        }
        self.travellers[number as usize].group
    }

    fn join(&mut self, one: u32, other: u32) {
        let (mut one, mut other) = (self.top(one), self.top(other));
        if one == other {
            return;
        }
        if self.travellers[one as usize].group.0 < self.travellers[other as usize].group.0 {
            std::mem::swap(&mut one, &mut other);
        }
        let joined = self.travellers[other as usize].group;
        self.travellers[other as usize].above = one;
        let group = &mut self.travellers[one as usize].group;
        *group = (group.0 + joined.0, group.1 + joined.1);
    }

    /// Takes a trip of the day into the past.
    pub fn learn(&mut self, trip: &Trip) {
        let next = u32::try_from(self.travellers.len()).unwrap_or(u32::MAX);
        let number = *self.by_person.entry(trip.person).or_insert(next);
        if number == next {
            self.travellers.push(Traveller {
                record: Record::default(),
                first: trip.day,
                last: trip.day,
                last_found: i32::MIN,
                days: Vec::new(),
                routes: Vec::new(),
                things: Vec::new(),
                above: number,
                group: (1, 0),
            });
        }
        let traveller = &mut self.travellers[number as usize];
        traveller.record.trips += 1;
        traveller.last = trip.day;
        push_bounded(&mut traveller.days, trip.day, 16);
        push_bounded(&mut traveller.routes, trip.route, 16);
        self.everybody.trips += 1;
        for group in std::iter::once(trip.route).chain(trip.groups).filter(|group| *group != 0) {
            self.records.entry(group).or_default().trips += 1;
        }
        for (kind, hash) in &trip.uses {
            let next = u32::try_from(self.things.len()).unwrap_or(u32::MAX);
            let place = *self.by_key.entry(*hash).or_insert(next);
            if place == next {
                self.things.push(Thing { kind: *kind, people: Vec::new(), is_hub: false });
            }
            let things = &mut self.travellers[number as usize].things;
            if !things.contains(&place) && things.len() < MOST_KEYS {
                things.push(place);
            }
            let thing = &mut self.things[place as usize];
            if thing.people.contains(&number) {
                continue;
            }
            if thing.people.len() >= MOST_PEOPLE {
                thing.is_hub = true;
                continue;
            }
            thing.people.push(number);
            let first = thing.people[0];
            self.join(first, number);
        }
        if let Some((_, known)) = trip.outcome {
            self.results.entry(known).or_default().push((number, trip.clone()));
        }
    }

    /// The share of finds, drawn towards that of everybody where inspections are few.
    fn rate(&self, record: Option<&Record>) -> f32 {
        let all = &self.everybody;
        let mean = (all.found as f32 + 0.5) / (all.inspected as f32 + 50.0);
        let record = record.copied().unwrap_or_default();
        (record.found as f32 + PRIOR * mean) / (record.inspected as f32 + PRIOR)
    }

    /// The features of history and network of a trip of the day; the others are left as they are. `party` are the others
    /// in the booking.
    pub fn fill(&self, trip: &Trip, party: &[u64], row: &mut [f32; COUNT]) {
        let mut set = |at: At, value: f32| row[at as usize] = value;
        let of = |group: u64| self.records.get(&group);
        let trips = |group: u64| of(group).map_or(0.0, |record| record.trips as f32);
        let [airline, origin, agency, lead] = trip.groups;
        set(At::route_trips, trips(trip.route));
        set(At::route_rate, self.rate(of(trip.route)));
        set(At::airline_rate, self.rate(of(airline)));
        set(At::origin_rate, self.rate(of(origin)));
        set(At::agency_rate, if agency == 0 { f32::NAN } else { self.rate(of(agency)) });
        set(At::agency_trips, if agency == 0 { f32::NAN } else { trips(agency) });
        set(At::lead_rate, self.rate(of(lead)));

        let number = self.by_person.get(&trip.person).copied();
        let own = number.map(|number| &self.travellers[number as usize]);
        let since = |day: i32| if day == i32::MIN { f32::NAN } else { (trip.day - day) as f32 };
        set(At::past_trips, own.map_or(0.0, |own| own.record.trips as f32));
        let recent = |own: &Traveller| own.days.iter().filter(|day| trip.day - **day <= 90).count() as f32;
        set(At::trips_90, own.map_or(0.0, recent));
        set(At::days_since_trip, own.map_or(f32::NAN, |own| since(own.last)));
        set(At::days_since_first, own.map_or(f32::NAN, |own| since(own.first)));
        let same = |own: &Traveller| own.routes.iter().filter(|route| **route == trip.route).count() as f32;
        set(At::same_route, own.map_or(0.0, same));
        set(At::past_inspections, own.map_or(0.0, |own| own.record.inspected as f32));
        set(At::past_offences, own.map_or(0.0, |own| own.record.found as f32));
        // A new thing of a kind of which the traveller used others before.
        let is_new = |kind: Use| {
            let own = own?;
            let of_kind = |place: &&u32| self.things[**place as usize].kind == kind;
            own.things.iter().find(of_kind)?;
            let mut uses = trip.uses.iter().filter(|(own, _)| *own == kind).peekable();
            uses.peek()?;
            let is_known = |hash: &u64| self.by_key.get(hash).is_some_and(|place| own.things.contains(place));
            Some(f32::from(u8::from(!uses.all(|(_, hash)| is_known(hash)))))
        };
        set(At::new_document, is_new(Use::Document).unwrap_or(f32::NAN));
        set(At::new_contact, is_new(Use::Contact).unwrap_or(f32::NAN));
        set(At::new_payment, is_new(Use::Payment).unwrap_or(f32::NAN));
        self.fill_network(trip, number, party, row);
    }

    fn fill_network(&self, trip: &Trip, number: Option<u32>, party: &[u64], row: &mut [f32; COUNT]) {
        let mut set = |at: At, value: f32| row[at as usize] = value;
        let found = |person: &u32| self.travellers[*person as usize].record.found;
        // What this trip uses, and what the traveller used before.
        let mut places: Vec<u32> =
            trip.uses.iter().filter_map(|(_, hash)| self.by_key.get(hash).copied()).collect();
        let used_now = places.len();
        if let Some(number) = number {
            places.extend(&self.travellers[number as usize].things);
        }
        let others = |places: &[u32], kind: Use| {
            let of_kind = places.iter().map(|place| &self.things[*place as usize]);
            let mut people: Vec<u32> = of_kind
                .filter(|thing| thing.kind == kind)
                .flat_map(|thing| thing.people.iter().copied())
                .filter(|person| Some(*person) != number)
                .collect();
            people.sort_unstable();
            people.dedup();
            people
        };
        let finds = |people: &[u32]| people.iter().map(found).sum::<u32>() as f32;
        let now = &places[..used_now];
        let payment = others(now, Use::Payment);
        set(At::payment_people, payment.len() as f32);
        set(At::payment_offences, finds(&payment));
        let is_used_by_others = !payment.is_empty();
        set(At::paid_by_other, f32::from(u8::from(is_used_by_others)));
        let contact = others(now, Use::Contact);
        set(At::contact_people, contact.len() as f32);
        set(At::contact_offences, finds(&contact));
        let address = others(now, Use::Address);
        set(At::address_people, address.len() as f32);
        set(At::address_offences, finds(&address));
        set(At::document_people, others(now, Use::Document).len() as f32);
        let travel = others(&places, Use::Travel);
        set(At::travel_people, travel.len() as f32);
        set(At::travel_offences, finds(&travel));

        let mut near: Vec<u32> = places
            .iter()
            .map(|place| &self.things[*place as usize])
            .filter(|thing| !thing.is_hub)
            .flat_map(|thing| thing.people.iter().copied())
            .filter(|person| Some(*person) != number)
            .collect();
        near.sort_unstable();
        near.dedup();
        let offenders = near.iter().filter(|person| found(person) > 0).count() as f32;
        set(At::neighbours, near.len() as f32);
        set(At::near_offenders, offenders);
        set(At::near_share, if near.is_empty() { 0.0 } else { offenders / near.len() as f32 });
        let last = near.iter().map(|person| self.travellers[*person as usize].last_found).max();
        let last = last.filter(|day| *day != i32::MIN);
        set(At::days_since_near_offence, last.map_or(f32::NAN, |day| (trip.day - day) as f32));
        let mut far: Vec<u32> = near
            .iter()
            .take(MOST_FOLLOWED)
            .flat_map(|person| &self.travellers[*person as usize].things)
            .map(|place| &self.things[*place as usize])
            .filter(|thing| !thing.is_hub)
            .flat_map(|thing| thing.people.iter().copied())
            .filter(|person| Some(*person) != number && found(person) > 0)
            .collect();
        far.sort_unstable();
        far.dedup();
        let beyond = far.iter().filter(|person| near.binary_search(person).is_err()).count();
        set(At::far_offenders, beyond as f32);
        let in_party = party.iter().filter_map(|person| self.by_person.get(person));
        set(At::party_offenders, in_party.filter(|person| found(person) > 0).count() as f32);
        // The groups that this trip would join.
        let mut tops: Vec<u32> =
            near.iter().copied().chain(number).map(|person| self.top_of(person)).collect();
        tops.sort_unstable();
        tops.dedup();
        let groups = tops.iter().map(|top| self.group(*top));
        let (members, offenders) = groups.fold((0, 0), |sum, group| (sum.0 + group.0, sum.1 + group.1));
        set(At::group_size, members as f32);
        set(At::group_offenders, offenders as f32);
    }

    fn top_of(&self, mut number: u32) -> u32 {
        while self.travellers[number as usize].above != number {
            number = self.travellers[number as usize].above;
        }
        number
    }
}

/// Adds to a list, of which the oldest is dropped where it is full.
fn push_bounded<T>(list: &mut Vec<T>, value: T, most: usize) {
    if list.len() == most {
        list.remove(0);
    }
    list.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(person: u64, day: i32, keys: &str, outcome: Option<(bool, i32)>) -> Trip {
        Trip { person, day, uses: Trip::uses_of(keys), route: 7, groups: [1, 2, 3, 4], outcome }
    }

    fn features(past: &mut Past, trip: &Trip) -> [f32; COUNT] {
        past.advance(trip.day);
        let mut row = [0.0; COUNT];
        past.fill(trip, &[], &mut row);
        row
    }

    #[test]
    fn a_result_counts_from_the_day_on_which_it_is_known() {
        let mut past = Past::default();
        past.learn(&trip(1, 10, "pcard d1", Some((true, 15))));
        let later = |day| trip(2, day, "pcard d2", None);
        let before = features(&mut past, &later(14));
        assert_eq!((before[At::payment_people as usize], before[At::payment_offences as usize]), (1.0, 0.0));
        assert_eq!(before[At::near_offenders as usize], 0.0);
        let after = features(&mut past, &later(15));
        assert_eq!((after[At::payment_offences as usize], after[At::near_offenders as usize]), (1.0, 1.0));
        assert_eq!((after[At::group_size as usize], after[At::group_offenders as usize]), (1.0, 1.0));
        assert!(after[At::route_rate as usize] > before[At::route_rate as usize]);
        assert_eq!(after[At::days_since_near_offence as usize], 0.0);
    }

    #[test]
    fn offenders_two_links_away_and_groups_are_seen() {
        let mut past = Past::default();
        past.learn(&trip(1, 1, "pcard", Some((true, 2))));
        past.learn(&trip(2, 3, "pcard cmail", None));
        let row = features(&mut past, &trip(3, 9, "cmail", None));
        assert_eq!((row[At::near_offenders as usize], row[At::far_offenders as usize]), (0.0, 1.0));
        assert_eq!((row[At::group_size as usize], row[At::group_offenders as usize]), (2.0, 1.0));
        assert_eq!(row[At::contact_people as usize], 1.0);
        assert_eq!((row[At::past_trips as usize], row[At::new_contact as usize].is_nan()), (0.0, true));
    }

    #[test]
    fn a_known_traveller_has_a_history() {
        let mut past = Past::default();
        past.learn(&trip(1, 1, "pcard d1", None));
        past.learn(&trip(1, 50, "pcard d1", Some((false, 52))));
        let row = features(&mut past, &trip(1, 100, "pother d1", None));
        let of = |at: At| row[at as usize];
        assert_eq!((of(At::past_trips), of(At::trips_90), of(At::same_route)), (2.0, 1.0, 2.0));
        assert_eq!((of(At::days_since_trip), of(At::days_since_first)), (50.0, 99.0));
        assert_eq!((of(At::new_payment), of(At::new_document)), (1.0, 0.0));
        assert_eq!((of(At::past_inspections), of(At::past_offences)), (1.0, 0.0));
    }

    #[test]
    fn what_very_many_use_links_nobody_new() {
        let mut past = Past::default();
        for person in 0..40 {
            past.learn(&trip(person, 1, "ahotel", Some((person == 0, 1))));
        }
        let row = features(&mut past, &trip(99, 5, "ahotel", None));
        assert_eq!((row[At::neighbours as usize], row[At::near_offenders as usize]), (0.0, 0.0));
    }
}
