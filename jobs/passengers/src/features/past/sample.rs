//! Some of the travellers who are linked with a traveller by what was known before the day, as numbers for a graph network.
//!
//! Linked are those who used what the trip uses or what the traveller used before, and the others in the booking. Of more
//! than [`NEIGHBOURS`] so many are drawn, by a hash of traveller, day and neighbour; of a neighbour's own neighbours the
//! mean is taken. Nobody is known before the first flight, and no result before its day. Start at [`Past::sample`].

use std::collections::BTreeMap;

use tidewaiter_core::chance::{mix, stream};

use super::{Past, Traveller, Trip, Use};

/// Neighbours of a sample at most.
pub const NEIGHBOURS: usize = 8;

/// Numbers of a neighbour. Counts are logarithms of one more; recency is 1 on the day and falls to a half in 90 days, 0 never.
pub const NEAR: [&str; 11] = [
    "trips",
    "trips_90",
    "recency_of_trip",
    "inspections",
    "finds",
    "recency_of_find",
    "by_travel",
    "by_contact",
    "by_payment",
    "by_address",
    "by_document",
];

/// The place of the finds among the numbers of a neighbour.
pub const FINDS: usize = 4;

/// Numbers of all neighbours of a neighbour: how many, means of two counts, and the share with a find.
pub const FAR: [&str; 4] = ["neighbours", "trips", "inspections", "finds"];

/// Numbers of a neighbour and of those around it.
pub const WIDTH: usize = NEAR.len() + FAR.len();

/// Days in which recency falls to a half.
const HALF: f32 = 90.0;

fn logarithm(count: u32) -> f32 {
    (count as f32).ln_1p()
}

impl Past {
    /// Adds [`WIDTH`] numbers for each drawn neighbour of a trip of the day; `party` are the others in the booking.
    pub fn sample(&self, trip: &Trip, party: &[u64], numbers: &mut Vec<f32>) {
        let number = self.by_person.get(&trip.person).copied();
        let used = trip.uses.iter().filter_map(|(_, hash)| self.by_key.get(hash));
        let before = number.map_or(&[][..], |number| self.travellers[number as usize].things.as_slice());
        let mut links: BTreeMap<u32, [bool; 5]> = BTreeMap::new();
        for thing in used.chain(before).map(|place| &self.things[*place as usize]) {
            for person in thing.people.iter().filter(|_| !thing.is_hub) {
                links.entry(*person).or_default()[thing.kind as usize] = true;
            }
        }
        for person in party.iter().filter_map(|person| self.by_person.get(person)) {
            links.entry(*person).or_default()[Use::Travel as usize] = true;
        }
        if let Some(number) = number {
            links.remove(&number);
        }
        let seed = mix(trip.person ^ mix(i64::from(trip.day) as u64));
        let mut drawn: Vec<(u64, u32, [bool; 5])> = links
            .into_iter()
            .map(|(person, kinds)| (stream(seed, u64::from(person)), person, kinds))
            .collect();
        drawn.sort_unstable();
        drawn.truncate(NEIGHBOURS);
        for (_, person, kinds) in drawn {
            numbers.extend(self.near(&self.travellers[person as usize], trip.day));
            numbers.extend(kinds.map(|is_kind| f32::from(u8::from(is_kind))));
            numbers.extend(self.far(person, number));
        }
    }

    /// The numbers of a neighbour but for the kinds of its links.
    fn near(&self, one: &Traveller, day: i32) -> [f32; 6] {
        let recent = one.days.iter().filter(|own| day - **own <= 90).count();
        let recency = |own: i32| if own == i32::MIN { 0.0 } else { HALF / (HALF + (day - own) as f32) };
        [
            logarithm(one.record.trips),
            (recent as f32).ln_1p(),
            recency(one.last),
            logarithm(one.record.inspected),
            logarithm(one.record.found),
            recency(one.last_found),
        ]
    }

    /// The means over the neighbours of a neighbour, the traveller of the trip left out.
    fn far(&self, person: u32, traveller: Option<u32>) -> [f32; FAR.len()] {
        let mut around: Vec<u32> = self.travellers[person as usize]
            .things
            .iter()
            .map(|place| &self.things[*place as usize])
            .filter(|thing| !thing.is_hub)
            .flat_map(|thing| thing.people.iter().copied())
            .filter(|other| *other != person && Some(*other) != traveller)
            .collect();
        around.sort_unstable();
        around.dedup();
        let mut sums = [0.0; 3];
        for other in &around {
            let record = &self.travellers[*other as usize].record;
            let own =
                [logarithm(record.trips), logarithm(record.inspected), f32::from(u8::from(record.found > 0))];
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
        let count = around.len().max(1) as f32;
        let [trips, inspections, finds] = sums.map(|sum| sum / count);
        [(around.len() as f32).ln_1p(), trips, inspections, finds]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(person: u64, day: i32, keys: &str, outcome: Option<(bool, i32)>) -> Trip {
        Trip { person, day, uses: Trip::uses_of(keys), outcome, ..Trip::default() }
    }

    fn sample(past: &mut Past, trip: &Trip, party: &[u64]) -> Vec<f32> {
        past.advance(trip.day);
        let mut numbers = Vec::new();
        past.sample(trip, party, &mut numbers);
        numbers
    }

    #[test]
    fn a_neighbour_has_the_numbers_of_earlier_days_by_hand() {
        let mut past = Past::default();
        past.learn(&trip(1, 10, "pcard cmail", Some((true, 40))));
        past.learn(&trip(2, 10, "cmail", None));
        // Person 3 shares the card with 1, who shares an e-mail address with 2. On day 39 the find is not known.
        let ln2 = 1.0_f32.ln_1p();
        let kinds = [0.0_f32, 0.0, 1.0, 0.0, 0.0];
        let expected = |day: i32, finds: [f32; 3]| {
            let recency = 90.0 / (90.0 + (day - 10) as f32);
            let own = [ln2, ln2, recency, finds[0], finds[1], finds[2]];
            [&own[..], &kinds, &[ln2, ln2, 0.0, 0.0]].concat()
        };
        let flight = |day| trip(3, day, "pcard", Some((true, day)));
        assert_eq!(sample(&mut past, &flight(39), &[]), expected(39, [0.0; 3]));
        assert_eq!(sample(&mut past, &flight(40), &[]), expected(40, [ln2, ln2, 1.0]));
        // What is learned of the day itself is not of the day's samples before: the trip is not its own neighbour.
        past.learn(&flight(40));
        let again = sample(&mut past, &flight(41), &[]);
        assert_eq!(again.len(), WIDTH, "person 1 alone");
        assert_eq!(again[NEAR.len()..], [ln2, ln2, 0.0, 0.0], "person 3 does not count around person 1");
    }

    #[test]
    fn who_has_not_flown_is_no_neighbour_and_others_in_the_booking_are() {
        let mut past = Past::default();
        past.learn(&trip(1, 1, "d1", Some((true, 2))));
        let booked = trip(2, 9, "tbooking", None);
        assert_eq!(sample(&mut past, &booked, &[]), [0.0_f32; 0]);
        let party = sample(&mut past, &booked, &[1, 7]);
        assert_eq!(party.len(), WIDTH, "person 7 has never flown");
        assert_eq!((party[FINDS], party[6], party[7]), (1.0_f32.ln_1p(), 1.0, 0.0));
    }

    #[test]
    fn of_many_some_are_drawn_the_same_each_time() {
        let mut past = Past::default();
        for person in 0..20 {
            past.learn(&trip(person, person as i32 / 10, "ahome", None));
        }
        let flight = trip(99, 30, "ahome", None);
        let drawn = sample(&mut past, &flight, &[]);
        assert_eq!(drawn.len(), NEIGHBOURS * WIDTH);
        assert_eq!(drawn, sample(&mut past, &flight, &[]));
        // Over many travellers, those of both days are drawn.
        let first = |person| sample(&mut Past::default(), &trip(person, 30, "", None), &[]).len();
        assert_eq!(first(5), 0);
        let recent: std::collections::BTreeSet<u32> = (100..140)
            .map(|person| {
                let mut numbers = Vec::new();
                past.sample(&trip(person, 30, "ahome", None), &[], &mut numbers);
                numbers.chunks_exact(WIDTH).filter(|own| own[2] > 90.0 / 119.5).count() as u32
            })
            .collect();
        assert!(recent.len() > 1, "{recent:?}");
    }
}
