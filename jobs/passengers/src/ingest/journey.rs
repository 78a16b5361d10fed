//! The journey of a booking: where it begins, where it goes, and whether it comes back. Start at [`Journey::of_bookings`].

use crate::records::{Leg, Records};

/// The flights of a booking as a journey.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Journey<'a> {
    /// How many flights it has.
    pub(super) flights: u32,
    /// The airport at which it begins.
    pub(super) origin: &'a str,
    /// The airport of the longest stay of a return journey, or else the last one.
    pub(super) destination: &'a str,
    /// Whether it ends where it begins.
    pub(super) is_return: bool,
}

impl<'a> Journey<'a> {
    /// The journeys of all bookings of a message.
    pub(super) fn of_bookings(records: &'a Records) -> Vec<Self> {
        let mut legs: Vec<Vec<&Leg>> = vec![Vec::new(); records.bookings.len()];
        for leg in records.legs.iter().filter(|leg| leg.is_flight) {
            if let Some(own) = leg.booking.and_then(|booking| legs.get_mut(booking)) {
                own.push(leg);
            }
        }
        legs.into_iter().map(Self::of).collect()
    }

    fn of(mut legs: Vec<&'a Leg>) -> Self {
        // Legs without a time stay where they stand.
        if legs.iter().all(|leg| leg.departs.is_some()) {
            legs.sort_by_key(|leg| leg.departs);
        }
        let (Some(first), Some(last)) = (legs.first(), legs.last()) else { return Self::default() };
        let is_return = legs.len() > 1 && first.from == last.to;
        let stay = |pair: &&[&Leg]| {
            let arrives = pair[0].arrives.or(pair[0].departs).map(|moment| moment.day);
            let departs = pair[1].departs.map(|moment| moment.day);
            departs.zip(arrives).map(|(departs, arrives)| (departs - arrives).num_days())
        };
        let longest = legs.windows(2).max_by_key(stay).filter(|_| is_return);
        Self {
            flights: u32::try_from(legs.len()).unwrap_or(u32::MAX),
            origin: &first.from,
            destination: longest.map_or(&last.to, |pair| &pair[0].to),
            is_return,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::records::{Booking, Moment};

    fn leg(from: &str, to: &str, day: u32) -> Leg {
        let day = NaiveDate::from_ymd_opt(2024, 3, day).map(|day| Moment { day, time: None });
        Leg {
            booking: Some(0),
            is_flight: true,
            from: from.to_owned(),
            to: to.to_owned(),
            departs: day,
            arrives: day,
            ..Leg::default()
        }
    }

    #[test]
    fn a_return_journey_goes_to_where_it_stays_longest() {
        let of = |legs: Vec<Leg>| {
            let records = Records { bookings: vec![Booking::default()], legs, ..Records::default() };
            let journey = Journey::of_bookings(&records).remove(0);
            format!("{} {}-{} {}", journey.flights, journey.origin, journey.destination, journey.is_return)
        };
        let back = vec![leg("BKK", "ICN", 20), leg("ICN", "DOH", 1), leg("DOH", "BKK", 2)];
        assert_eq!(of(back), "3 ICN-BKK true");
        assert_eq!(of(vec![leg("ICN", "DOH", 1), leg("DOH", "LHR", 2)]), "2 ICN-LHR false");
        assert_eq!(of(Vec::new()), "0 - false");
    }
}
