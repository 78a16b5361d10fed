//! Watch lists: persons who are looked for, and travellers who match an entry.
//!
//! A document's number matches exactly where the births agree; where one is not known the score is lower, and where they
//! differ lower still: the document may be another's. Names match with a score from 0 to 1, whatever their script,
//! transliteration and order ([`tidewaiter_linkage::compare::names`]); a birth that differs rules a match by name out, and
//! one that is not known lowers the score. Entries are looked up by what a traveller shares with them (the number, the surname's skeleton, the birth), so
//! that a long list costs little. A match is a question to an officer and no answer. Start at [`WatchList::read`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use tidewaiter_core::{Error, Result};
use tidewaiter_linkage::{
    compare::{self, Dates},
    normalise::{fold, skeleton},
};

/// What a score is multiplied with where a birth is near, and where one is not known.
const NEAR_BIRTH: f64 = 0.97;
const UNKNOWN_BIRTH: f64 = 0.95;

/// The score of a document whose holder has another birth than the entry. It is always told, whatever the least score is.
const OTHER_BIRTH: f64 = 0.5;

/// A person who is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// All names, the surname last.
    pub name: String,
    surname: String,
    /// The birth, in all readings of a date that can be read in two ways.
    births: Vec<NaiveDate>,
    document: String,
}

/// A list.
#[derive(Debug, Clone, Default)]
pub struct WatchList {
    /// The entries, in the order of the file.
    pub entries: Vec<Entry>,
    by_document: BTreeMap<String, Vec<usize>>,
    by_skeleton: BTreeMap<String, Vec<usize>>,
    by_birth: BTreeMap<NaiveDate, Vec<usize>>,
}

/// A traveller as a list looks at one.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// Surname.
    pub surname: String,
    /// Given names.
    pub given: String,
    /// Birth.
    pub birth: Option<NaiveDate>,
    /// Numbers of documents.
    pub documents: Vec<String>,
}

/// A match.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The number of the entry.
    pub entry: usize,
    /// From 0 to 1.
    pub score: f64,
    /// What matched.
    pub what: &'static str,
}

/// A number of a document as it is compared.
fn number(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_uppercase()).collect()
}

/// The numbers that a document of the archive can mean, which stands there as issuer and number, or as a number alone.
#[must_use]
pub fn document_numbers(value: &str) -> Vec<String> {
    let issued = value
        .split_once(' ')
        .filter(|(issuer, _)| issuer.len() == 3 && issuer.bytes().all(|letter| letter.is_ascii_uppercase()));
    issued.map(|(_, number)| number.to_owned()).into_iter().chain([value.to_owned()]).collect()
}

/// All days that a text can mean: year first, or day and month in either order.
fn days(text: &str) -> Vec<NaiveDate> {
    let parts: Vec<u32> = text.split(['-', '/', '.']).filter_map(|part| part.trim().parse().ok()).collect();
    let [first, second, third] = parts[..] else { return Vec::new() };
    let date = |year: u32, month: u32, day: u32| {
        // A year of two digits is of either century.
        let years = if year < 100 { [1900 + year, 2000 + year] } else { [year, year] };
        years.map(|year| i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day)))
    };
    let found = match first > 31 {
        true => vec![date(first, second, third)],
        false => vec![date(third, second, first), date(third, first, second)],
    };
    let mut days: Vec<NaiveDate> = found.into_iter().flatten().flatten().collect();
    days.sort_unstable();
    days.dedup();
    days
}

/// The fields of a line of CSV (RFC 4180).
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

impl WatchList {
    /// Reads a CSV file with a heading: firstname, middlename, lastname, dob, documentnumber, each of which may be absent.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a file without lastname and documentnumber, and for an entry without both,
    /// or with a dob that is no date, with its line.
    pub fn read(text: &str) -> Result<Self> {
        let mut lines = text.trim_start_matches('\u{feff}').lines();
        let heading: Vec<String> =
            fields(lines.next().unwrap_or_default()).iter().map(|name| name.trim().to_lowercase()).collect();
        let place = |name: &str| heading.iter().position(|own| own == name);
        if place("lastname").is_none() && place("documentnumber").is_none() {
            return Err(Error::input("a watch list needs a heading with lastname or documentnumber"));
        }
        let mut list = Self::default();
        for (number_of_line, line) in (2..).zip(lines).filter(|(_, line)| !line.trim().is_empty()) {
            let line = fields(line);
            let of = |name: &str| {
                place(name).and_then(|place| line.get(place)).map_or("", |text| text.trim()).to_owned()
            };
            let names = [of("firstname"), of("middlename"), of("lastname")];
            let name = names.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>().join(" ");
            let [_, _, surname] = names;
            let (dob, document) = (of("dob"), number(&of("documentnumber")));
            let births = days(&dob);
            if births.is_empty() && !dob.is_empty() {
                return Err(Error::input(format!(
                    "line {number_of_line} has the dob {dob}, which is no date; write it as 1975-10-11 or 11-10-1975"
                )));
            }
            let entry = Entry { name, surname, births, document };
            if entry.surname.is_empty() && entry.document.is_empty() {
                return Err(Error::input(format!(
                    "line {number_of_line} has neither a lastname nor a documentnumber"
                )));
            }
            list.add(entry);
        }
        Ok(list)
    }

    fn add(&mut self, entry: Entry) {
        let place = self.entries.len();
        if !entry.document.is_empty() {
            self.by_document.entry(entry.document.clone()).or_default().push(place);
        }
        if !entry.surname.is_empty() {
            self.by_skeleton.entry(skeleton(&fold(&entry.surname))).or_default().push(place);
        }
        for birth in &entry.births {
            self.by_birth.entry(*birth).or_default().push(place);
        }
        self.entries.push(entry);
    }

    /// The entries that a traveller matches with a score of at least `least`, the best first.
    #[must_use]
    pub fn matches(&self, person: &Person, least: f64) -> Vec<Match> {
        let mut found: BTreeMap<usize, Match> = BTreeMap::new();
        for document in &person.documents {
            for entry in self.by_document.get(&number(document)).into_iter().flatten() {
                let (score, what) = match births(&self.entries[*entry], person.birth) {
                    Births::Same => (1.0, "document and birth"),
                    Births::Near => (NEAR_BIRTH, "document and nearly the birth"),
                    Births::Unknown => (UNKNOWN_BIRTH, "document"),
                    Births::Other => (OTHER_BIRTH, "document, with another birth"),
                };
                found.insert(*entry, Match { entry: *entry, score, what });
            }
        }
        let by_name = self.by_skeleton.get(&skeleton(&fold(&person.surname)));
        let by_birth = person.birth.and_then(|birth| self.by_birth.get(&birth));
        let near: BTreeSet<usize> = by_name.into_iter().chain(by_birth).flatten().copied().collect();
        let own = fold(&format!("{} {}", person.given, person.surname));
        for place in near {
            let entry = &self.entries[place];
            if entry.surname.is_empty() || found.contains_key(&place) {
                continue;
            }
            let (birth, what) = match births(entry, person.birth) {
                Births::Same => (1.0, "name and birth"),
                Births::Near => (NEAR_BIRTH, "name and nearly the birth"),
                Births::Unknown => (UNKNOWN_BIRTH, "name"),
                Births::Other => continue,
            };
            let score = compare::names(&fold(&entry.name), &own) * birth;
            if score >= least {
                found.insert(place, Match { entry: place, score, what });
            }
        }
        let mut matches: Vec<Match> = found.into_values().collect();
        matches.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.entry.cmp(&other.entry)));
        matches
    }
}

/// How two births agree; of several readings the best counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Births {
    Other,
    Unknown,
    Near,
    Same,
}

fn births(entry: &Entry, birth: Option<NaiveDate>) -> Births {
    let Some(birth) = birth.filter(|_| !entry.births.is_empty()) else { return Births::Unknown };
    let digits = |day: &NaiveDate| day.format("%Y%m%d").to_string();
    let compared = entry.births.iter().filter_map(|own| compare::dates(&digits(own), &digits(&birth)));
    let agreement = compared.map(|dates| match dates {
        Dates::Same => Births::Same,
        Dates::Near => Births::Near,
        Dates::Different => Births::Other,
    });
    agreement.max().unwrap_or(Births::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "firstname,lastname,middlename,dob,documentcountry,documentnumber\n\
                        ROBERT,PICHA,ANTONIO,,USA,P123456\n\
                        ryan,benson,,11-10-1975,USA,883456\n\
                        Xiuyuan,\"Jiang\",,1967-06-03,,\n";

    fn person(surname: &str, given: &str, birth: Option<&str>, document: &str) -> Person {
        Person {
            surname: surname.to_owned(),
            given: given.to_owned(),
            birth: birth.map(|birth| birth.parse().expect("a day")),
            documents: vec![document.to_owned()],
        }
    }

    #[test]
    fn documents_match_exactly_and_names_with_a_score() {
        let list = WatchList::read(LIST).expect("reads");
        assert_eq!(list.entries.len(), 3);
        let found = list.matches(&person("SOMEBODY", "ELSE", None, "p-123 456"), 0.9);
        assert_eq!(found, [Match { entry: 0, score: 0.95, what: "document" }]);
        // A number with the birth of the entry is exact; with another one it is told, and far from exact.
        let of = |birth: &str| list.matches(&person("SOMEBODY", "ELSE", Some(birth), "883456"), 0.9);
        assert_eq!(of("1975-10-11"), [Match { entry: 1, score: 1.0, what: "document and birth" }]);
        assert_eq!(of("1980-01-01"), [Match { entry: 1, score: 0.5, what: "document, with another birth" }]);
        // The eleventh of October or the tenth of November.
        for birth in ["1975-10-11", "1975-11-10"] {
            let found = list.matches(&person("BENSON", "RYAN", Some(birth), ""), 0.9);
            assert_eq!((found[0].entry, found[0].what), (1, "name and birth"));
            assert!(found[0].score > 0.99, "{found:?}");
        }
        assert!(list.matches(&person("BENSON", "RYAN", Some("1980-01-01"), ""), 0.5).is_empty());
        assert_eq!(days("13/10/75").len(), 2, "1975 or 2075");
        let spelled = list.matches(&person("JIANG", "HSIUYUAN", Some("1967-06-03"), ""), 0.8);
        assert_eq!(spelled.first().map(|found| found.entry), Some(2));
        let unknown = list.matches(&person("PICHA", "ROBERT ANTONIO", None, ""), 0.9);
        assert!(unknown[0].score < 0.96, "{unknown:?}");
    }

    #[test]
    fn a_document_of_the_archive_is_found_with_and_without_its_issuer() {
        let list = WatchList::read(LIST).expect("reads");
        for value in ["GBR P123456", "P123456"] {
            let documents = document_numbers(value);
            let holder = Person { documents, ..person("SOMEBODY", "ELSE", None, "") };
            assert_eq!(list.matches(&holder, 0.9).len(), 1, "{value}");
        }
        assert_eq!(document_numbers("AB 12"), ["AB 12"]);
    }

    #[test]
    fn a_list_without_what_is_looked_for_is_refused() {
        assert!(WatchList::read("a,b\n1,2").is_err());
        let error = WatchList::read("lastname,dob\n,1975-01-01").expect_err("refused");
        assert!(error.to_string().contains("line 2"), "{error}");
        let error = WatchList::read("lastname,dob\nBENSON,1975").expect_err("refused");
        assert!(error.to_string().contains("line 2 has the dob 1975"), "{error}");
    }
}
