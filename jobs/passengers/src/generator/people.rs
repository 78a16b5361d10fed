//! The generated population: persons in households, each a function of the seed and its number.

use chrono::{Datelike, Days, NaiveDate};

use super::{
    draws::Draws,
    world::{AIRPORTS, Airport, GIVEN, SURNAMES},
};
use crate::records::Sex;

/// Persons of a household.
pub(super) const HOUSEHOLD: u64 = 4;

/// Days for which a passport is valid.
const VALID_DAYS: u64 = 3652;

/// A person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Person {
    pub(super) number: u64,
    pub(super) surname: &'static str,
    pub(super) given: &'static str,
    pub(super) sex: Sex,
    pub(super) birth: NaiveDate,
    pub(super) home: Airport,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) frequent_flyer: Option<String>,
}

/// What the members of a household share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Household {
    pub(super) card: Card,
    pub(super) street: String,
    pub(super) city: &'static str,
    pub(super) postcode: String,
    pub(super) phone: String,
}

/// A payment card.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Card {
    pub(super) vendor: &'static str,
    pub(super) account: String,
    pub(super) expires: String,
    pub(super) payer: String,
}

/// Who lives in the generated world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Population {
    pub(super) seed: u64,
    /// How many persons there are.
    pub(super) persons: u64,
    /// The country into which they fly, in two letters.
    pub(super) country: [u8; 2],
    /// The first day of the generated period.
    pub(super) first: NaiveDate,
}

impl Population {
    /// Where a household lives: half of them in the country.
    fn home(&self, household: u64) -> Airport {
        let mut draws = Draws::of(self.seed, 1, [household, 0]);
        let is_own = |airport: &Airport| airport.country.as_bytes() == self.country;
        let inside = draws.happens(0.5);
        let homes: Vec<Airport> = AIRPORTS.into_iter().filter(|airport| is_own(airport) == inside).collect();
        draws.one(&homes, AIRPORTS[0])
    }

    /// What a household has.
    pub(super) fn household(&self, household: u64) -> Household {
        let home = self.home(household);
        let mut draws = Draws::of(self.seed, 2, [household, 0]);
        let surname = draws.one(SURNAMES[home.culture], "DOE");
        Household {
            card: card(&mut draws, surname),
            street: format!(
                "{} {} STREET",
                1 + draws.below(199),
                draws.one(&["MAIN", "HIGH", "PARK", "STATION", "RIVER"], "MAIN")
            ),
            city: home.code,
            postcode: draws.digits(5),
            phone: format!("{}{}", 1 + draws.below(9), draws.digits(10)),
        }
    }

    /// A person.
    pub(super) fn person(&self, number: u64) -> Person {
        let household = number / HOUSEHOLD;
        let (home, place) = (self.home(household), number % HOUSEHOLD);
        let surname = Draws::of(self.seed, 2, [household, 0]).one(SURNAMES[home.culture], "DOE");
        let mut draws = Draws::of(self.seed, 3, [number, 0]);
        // Two parents, then children.
        let sex = match place {
            0 => Sex::Male,
            1 => Sex::Female,
            _ if draws.happens(0.5) => Sex::Male,
            _ => Sex::Female,
        };
        let given = draws.one(GIVEN[home.culture][usize::from(sex == Sex::Female)], "ALEX");
        let years = if place < 2 { 22 + draws.below(48) } else { 1 + draws.below(17) };
        let birth = self.first - Days::new(years * 365 + years / 4 + draws.below(365));
        let frequent_flyer = (place < 2 && draws.happens(0.3)).then(|| draws.digits(9));
        let word = |text: &str| text.to_lowercase().replace([' ', '\''], "");
        let host = draws.one(&["mail.example", "post.example", "web.example"], "mail.example");
        Person {
            number,
            surname,
            given,
            sex,
            birth,
            home,
            email: format!("{}.{}{}@{host}", word(given), word(surname), draws.below(1000)),
            phone: format!("{}{}", 1 + draws.below(9), draws.digits(10)),
            frequent_flyer,
        }
    }

    /// The number of a person's passport on a day, and its last day: it is renewed every ten years.
    pub(super) fn passport(&self, person: &Person, day: NaiveDate) -> (String, NaiveDate) {
        let mut draws = Draws::of(self.seed, 4, [person.number, 0]);
        let since = draws.below(VALID_DAYS);
        let days = u64::try_from((day - self.first).num_days()).unwrap_or(0);
        let (issue, left) = ((since + days) / VALID_DAYS, VALID_DAYS - (since + days) % VALID_DAYS);
        let mut draws = Draws::of(self.seed, 5, [person.number, issue]);
        let number = format!("{}{}", draws.letters(1), draws.digits(8));
        (number, day + Days::new(left))
    }

    /// Persons of a household who travel together: a person, and members of the same household.
    pub(super) fn party(&self, person: u64, size: u64) -> Vec<Person> {
        let first = person - person % HOUSEHOLD;
        let others = (first..first + HOUSEHOLD).filter(|other| *other != person && *other < self.persons);
        let adult = if person % HOUSEHOLD < 2 { person } else { first };
        let mut numbers: Vec<u64> =
            std::iter::once(adult).chain(others.filter(|other| *other != adult)).collect();
        numbers.truncate(usize::try_from(size).unwrap_or(1));
        numbers.into_iter().map(|number| self.person(number)).collect()
    }
}

/// A card in somebody's name.
pub(super) fn card(draws: &mut Draws, payer: &str) -> Card {
    let vendor = draws.one(&["VI", "CA", "AX", "JC"], "VI");
    Card {
        vendor,
        account: format!("{}XXXXXX{}", draws.digits(6), draws.digits(4)),
        expires: format!("{:02}{:02}", 1 + draws.below(12), 25 + draws.below(5)),
        payer: payer.to_owned(),
    }
}

/// Years of age on a day.
pub(super) fn age(birth: NaiveDate, day: NaiveDate) -> i32 {
    day.year() - birth.year() - i32::from((day.month(), day.day()) < (birth.month(), birth.day()))
}
