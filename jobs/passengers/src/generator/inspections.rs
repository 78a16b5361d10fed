//! Who was inspected, and what was found: a random share of the travellers, and those whom an officer chose.
//!
//! The officer sees the booking, not the ring: cash, a late booking, a single ticket, an origin. What is found of what is
//! there, and when the result is known, is drawn. Start at [`inspection`].

use chrono::{Days, NaiveDate};

use super::{
    bookings::{Flight, Member, Paid, Plan},
    draws::Draws,
    people::Population,
};

/// An inspection of a traveller.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Inspection {
    pub(super) selected_by: &'static str,
    pub(super) inspected_on: NaiveDate,
    pub(super) known_on: NaiveDate,
    pub(super) found: bool,
    pub(super) category: &'static str,
    /// Kilograms, or thousands of a currency.
    pub(super) amount: f64,
}

/// Shares of travellers that are inspected: at random, and by an officer's choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    pub(super) random: f64,
    pub(super) officer: f64,
}

/// What an inspection finds of what is there.
const DETECTION: f64 = 0.92;

/// The inspection of a traveller, if there is one.
pub(super) fn inspection(
    population: &Population,
    shares: Shares,
    flight: &Flight,
    plan: &Plan,
    member: &Member,
) -> Option<Inspection> {
    let day = u64::try_from((flight.departs.day - population.first).num_days()).unwrap_or(0);
    let mut draws = Draws::of(population.seed, 70, [member.person.number, day]);
    let lead = (flight.departs.day - plan.created.day).num_days();
    let suspicion = flight.origin.risk
        * if matches!(plan.paid, Paid::Cash) { 3.0 } else { 1.0 }
        * if lead < 5 { 2.0 } else { 1.0 }
        * if plan.steps.len() == 1 { 1.5 } else { 1.0 }
        * if plan.members.len() == 1 { 1.2 } else { 0.4 };
    // Travellers have a suspicion of about 2.3 on average.
    let by_officer = draws.happens((shares.officer * suspicion / 2.3).min(1.0));
    let at_random = draws.happens(shares.random);
    let selected_by = match (at_random, by_officer) {
        (true, _) => "random",
        (false, true) => "officer",
        (false, false) => return None,
    };
    let inspected_on = flight.arrives.day;
    let found = member.is_illicit && draws.happens(DETECTION);
    let category = if found {
        draws.one(&["drugs", "drugs", "tobacco", "cash", "wildlife", "gold"], "drugs")
    } else {
        ""
    };
    let amount = if found { (1.0 + draws.unit() * 90.0).round() / 10.0 } else { 0.0 };
    let known_on = inspected_on + Days::new(if found { draws.below(11) } else { draws.below(2) });
    Some(Inspection { selected_by, inspected_on, known_on, found, category, amount })
}
