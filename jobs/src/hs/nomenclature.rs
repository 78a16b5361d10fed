//! The text of the nomenclature, as the user gives it: what a code means, and which codes there are.
//!
//! A CSV table with a column of codes (`hscode`, `hs_code` or `code`) of 2, 4 or 6 digits, one of texts
//! (`description` or `text`) and, if there is one, the section (`section`). It is kept with the model.
//! Where one is given, codes that it lacks are not learned and so never predicted.
//!
//! A correlation table between editions of the HS (`from_hs6`, `to_hs6`, and `is_conversion_target`, 0 or 1,
//! where there is one) carries codes of other editions: a code that the nomenclature lacks becomes its only
//! counterpart that the nomenclature has, in either direction of the table. Where there are several, the
//! description alone could tell, and the code is left out. Where the table names editions (`from_edition`,
//! `to_edition`, ending in their years), a code is invalid in a year whose edition lacks it while another has it,
//! so that whole tables are wanted, not only what has changed. An edition is in force from its year on.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{DIGITS, LEVELS, at_level, six_digits, written};
use crate::{Error, Result};

/// The texts by code: of two, four and six digits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nomenclature {
    texts: BTreeMap<String, String>,
    /// What has become of codes of other editions.
    carried: BTreeMap<String, String>,
    editions: Editions,
}

/// The six-digit codes of editions, by the years from which they are in force.
pub(super) type Editions = BTreeMap<i32, BTreeSet<u32>>;

impl Nomenclature {
    /// Reads a table.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when it lacks a column or has no code of six digits.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut records = records(bytes).into_iter();
        let header = records.next().unwrap_or_default();
        let column = |names: &[&str]| {
            header.iter().position(|title| names.contains(&title.trim().to_ascii_lowercase().as_str()))
        };
        let absent = |what: &str| {
            Error::input(format!("the nomenclature's first line names no column {what}; it has {header:?}"))
        };
        let code = column(&["hscode", "hs_code", "code"]).ok_or_else(|| absent("hscode"))?;
        let text = column(&["description", "text"]).ok_or_else(|| absent("description"))?;
        let section = column(&["section"]);
        let mut texts = BTreeMap::new();
        for record in records {
            let cell = |at: usize| record.get(at).map_or("", |cell| cell.trim());
            let digits = cell(code);
            if DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                texts.insert(digits.to_owned(), cell(text).to_owned());
                if let Some(section) =
                    section.map(cell).filter(|section| digits.len() == 2 && !section.is_empty())
                {
                    texts.insert(format!("section {digits}"), section.to_owned());
                }
            }
        }
        let nomenclature = Self { texts, ..Self::default() };
        if nomenclature.subheadings() == 0 {
            return Err(Error::input("the nomenclature has no code of six digits"));
        }
        Ok(nomenclature)
    }

    /// With the codes that a correlation table carries into this nomenclature.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when it lacks a column.
    pub fn with_correlation(mut self, bytes: &[u8]) -> Result<Self> {
        let mut records = records(bytes).into_iter();
        let header = records.next().unwrap_or_default();
        let column = |name: &str| header.iter().position(|title| title.trim() == name);
        let absent = |name: &str| {
            Error::input(format!("the correlation table has no column {name}; its columns are {header:?}"))
        };
        let from = column("from_hs6").ok_or_else(|| absent("from_hs6"))?;
        let to = column("to_hs6").ok_or_else(|| absent("to_hs6"))?;
        let target = column("is_conversion_target");
        let editions = [(column("from_edition"), from), (column("to_edition"), to)];
        let mut counterparts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for record in records {
            let cell = |at: usize| record.get(at).map_or("", |cell| cell.trim());
            for (edition, code) in editions {
                let year = edition.and_then(|edition| year_of(cell(edition)));
                if let (Some(year), Some(code)) = (year, six_digits(cell(code))) {
                    self.editions.entry(year).or_default().insert(code);
                }
            }
            if target.is_some_and(|target| cell(target) != "1") {
                continue;
            }
            for (old, new) in [(cell(from), cell(to)), (cell(to), cell(from))] {
                if !self.texts.contains_key(old) && self.texts.contains_key(new) {
                    counterparts.entry(old.to_owned()).or_default().insert(new.to_owned());
                }
            }
        }
        for (old, new) in counterparts {
            if let (1, Some(only)) = (new.len(), new.into_iter().next()) {
                self.carried.insert(old, only);
            }
        }
        Ok(self)
    }

    /// The nomenclature of what [`Nomenclature::entries`] and [`Nomenclature::carried`] gave.
    pub(super) fn of(
        entries: impl IntoIterator<Item = (String, String)>,
        carried: impl IntoIterator<Item = (String, String)>,
        editions: Editions,
    ) -> Self {
        Self { texts: entries.into_iter().collect(), carried: carried.into_iter().collect(), editions }
    }

    /// The codes of the editions that are known, for keeping.
    pub(super) fn editions(&self) -> &Editions {
        &self.editions
    }

    /// The edition that is in force in a year, where one is known.
    pub fn edition_in(&self, year: i32) -> Option<i32> {
        self.editions.range(..=year).next_back().map(|(edition, _)| *edition)
    }

    /// Whether a six-digit code is valid in an edition.
    pub fn is_valid(&self, code: u32, edition: i32) -> bool {
        self.editions.get(&edition).is_none_or(|codes| codes.contains(&code))
            || !self.editions.values().any(|codes| codes.contains(&code))
    }

    /// Codes of other editions and what they have become, for keeping.
    pub(super) fn carried(&self) -> impl Iterator<Item = (&String, &String)> {
        self.carried.iter()
    }

    /// What a six-digit code is in this nomenclature: itself, its only counterpart, or nothing.
    pub fn current(&self, code: u32) -> Option<u32> {
        if self.has(code) {
            return Some(code);
        }
        self.carried.get(&written(code, LEVELS - 1)).and_then(|code| code.parse().ok())
    }

    /// What it holds, for keeping.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &String)> {
        self.texts.iter()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// How many codes of six digits there are.
    pub fn subheadings(&self) -> usize {
        self.texts.keys().filter(|code| code.len() == DIGITS[2]).count()
    }

    /// The text of a code of two, four or six digits.
    pub fn text(&self, code: &str) -> Option<&str> {
        self.texts.get(code).map(String::as_str)
    }

    /// Whether a six-digit code exists; every code does where no nomenclature is given.
    pub fn has(&self, code: u32) -> bool {
        self.is_empty() || self.texts.contains_key(&written(code, 2))
    }

    /// The texts on the way to a six-digit code: section, chapter, heading, subheading; those known.
    pub fn path(&self, code: u32) -> Vec<String> {
        let chapter = written(at_level(code, 0), 0);
        let section =
            self.texts.get(&format!("section {chapter}")).map(|section| format!("Section {section}"));
        let levels = (0..LEVELS).filter_map(|level| {
            let code = written(at_level(code, level), level);
            self.texts.get(&code).map(|text| format!("{code} {text}"))
        });
        section.into_iter().chain(levels).collect()
    }
}

/// The year that an edition's name ends in.
fn year_of(edition: &str) -> Option<i32> {
    let digits = edition.len().checked_sub(4).and_then(|at| edition.get(at..))?;
    digits.parse().ok().filter(|year| (1988..3000).contains(year))
}

/// The records of a CSV text; what is not UTF-8 is replaced.
pub fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv_core::Reader::new();
    let (mut records, mut record) = (Vec::new(), Vec::new());
    let (mut length, mut room) = (0, vec![0; 4096]);
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    loop {
        let (result, read, written) = reader.read_field(rest, &mut room[length..]);
        rest = &rest[read..];
        length += written;
        match result {
            csv_core::ReadFieldResult::OutputFull => room.resize(room.len() * 2, 0),
            csv_core::ReadFieldResult::Field { record_end } => {
                record.push(String::from_utf8_lossy(&room[..length]).into_owned());
                length = 0;
                if record_end {
                    records.push(std::mem::take(&mut record));
                }
            }
            csv_core::ReadFieldResult::InputEmpty => {}
            csv_core::ReadFieldResult::End => return records,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_the_path_to_a_code() {
        let table = "section,hscode,description,parent,level\nI,01,Animals; live,TOTAL,2\n\
                     I,0101,\"Horses, asses\",01,4\nI,010121,Pure-bred,0101,6\n";
        let nomenclature = Nomenclature::parse(table.as_bytes()).expect("reads");
        let path = ["Section I", "01 Animals; live", "0101 Horses, asses", "010121 Pure-bred"];
        assert_eq!(nomenclature.path(10_121), path);
        assert!(nomenclature.has(10_121) && !nomenclature.has(10_129) && Nomenclature::default().has(10_129));
        let kept = nomenclature.entries().map(|(code, text)| (code.clone(), text.clone()));
        assert_eq!(Nomenclature::of(kept, [], Editions::new()), nomenclature);

        let pairs = "from_edition,from_hs6,to_edition,to_hs6,relationship,is_conversion_target\n\
                     HS2022,010121,HS2017,010110,1:n,1\nHS2022,010121,HS2017,010190,n:n,0\n";
        let carrying = nomenclature.clone().with_correlation(pairs.as_bytes()).expect("reads");
        assert_eq!(
            [10_121, 10_110, 10_190].map(|code| carrying.current(code)),
            [Some(10_121), Some(10_121), None]
        );
        assert!(nomenclature.with_correlation(b"a,b\n").is_err());
        let editions = [2016, 2017, 2021, 2022, 2030].map(|year| carrying.edition_in(year));
        assert_eq!(editions, [None, Some(2017), Some(2017), Some(2022), Some(2022)]);
        // The code of 2022 is none of 2017 and the other way round; one that the table never names is both.
        let valid = |code: u32| [2017, 2022].map(|edition| carrying.is_valid(code, edition));
        assert_eq!([10_121, 10_110, 30_617].map(valid), [[false, true], [true, false], [true, true]]);
    }

    #[test]
    fn a_table_of_something_else_is_refused() {
        for table in ["", "a,b\n1,2\n", "hscode,description\n01,Animals\n"] {
            let error = Nomenclature::parse(table.as_bytes()).expect_err(table);
            assert_eq!(error.kind(), crate::ErrorKind::Input);
        }
        let long = format!("hscode,description\n010121,{}", "x".repeat(10_000));
        assert!(Nomenclature::parse(long.as_bytes()).is_ok());
    }
}
