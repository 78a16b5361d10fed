//! The nomenclature that the user gives: which codes there are, and their texts.
//!
//! A delimited table (comma, semicolon or tab) with a column of codes (`hscode`, `hs_code` or `code`) of 2, 4 or 6 digits, one of texts (`description`
//! or `text`) and, where there is one, of the section (`section`). None is shipped with the program. The model keeps
//! the table: a code that it lacks is not learned, and so never predicted.
//!
//! Editions of the HS come from the user's correlation table (`from_hs6`, `to_hs6` and, where there is one,
//! `is_conversion_target`, 0 or 1). The model is trained in the nomenclature's edition: a code that the nomenclature
//! lacks becomes its only counterpart there, in either direction of the table. A code with several counterparts is left
//! out, because only the goods themselves could decide between them. Where the table names editions (`from_edition`,
//! `to_edition`, which end in their years), a code is invalid in a year whose edition lacks it while another edition
//! has it; this needs whole tables, not only the codes that changed. An edition is in force from its year on.

use std::collections::{BTreeMap, BTreeSet};

use tidewaiter_core::{Error, Result};
use tidewaiter_ingest::{TextForm, code_digits, records};

use super::digits::{DIGITS, LEVELS, at_level, six_digits, written};

/// Codes of two, four and six digits with their texts, and codes of other editions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nomenclature {
    texts: BTreeMap<String, String>,
    /// The counterparts of codes of other editions.
    carried: BTreeMap<String, String>,
    editions: Editions,
}

/// The six-digit codes of editions, by the years from which they are in force.
pub(crate) type Editions = BTreeMap<i32, BTreeSet<u32>>;

impl Nomenclature {
    /// Reads a table.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when it lacks a column or has no code of six digits, or where codes have lost
    /// their leading zero.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut records = records(bytes, &TextForm::default())?.into_iter();
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
        let mut cut = Vec::new();
        for record in records {
            let cell = |at: usize| record.get(at).map_or("", |cell| cell.trim());
            let printed = code_digits(cell(code));
            let digits = printed.as_deref().unwrap_or(cell(code));
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if is_number && digits.len() < DIGITS[2] && !DIGITS.contains(&digits.len()) {
                cut.push(digits.to_owned());
            }
            if DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                texts.insert(digits.to_owned(), cell(text).to_owned());
                if let Some(section) =
                    section.map(cell).filter(|section| digits.len() == 2 && !section.is_empty())
                {
                    texts.insert(format!("section {digits}"), section.to_owned());
                }
            }
        }
        if let Some(first) = cut.first() {
            return Err(Error::input(format!(
                "{} codes of the nomenclature have 1, 3 or 5 digits, the first of them {first}: codes of the chapters 1 to \
                 9 have lost their leading zero; save the column as text, or write the zeros",
                cut.len()
            )));
        }
        let nomenclature = Self { texts, ..Self::default() };
        if nomenclature.subheadings() == 0 {
            return Err(Error::input("the nomenclature has no code of six digits"));
        }
        Ok(nomenclature)
    }

    /// Adds the codes of other editions that a correlation table maps into this nomenclature.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when it lacks a column.
    pub fn with_correlation(mut self, bytes: &[u8]) -> Result<Self> {
        let mut records = records(bytes, &TextForm::default())?.into_iter();
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

    /// The nomenclature of stored [`Nomenclature::entries`], [`Nomenclature::carried`] and [`Nomenclature::editions`].
    pub(crate) fn of(
        entries: impl IntoIterator<Item = (String, String)>,
        carried: impl IntoIterator<Item = (String, String)>,
        editions: Editions,
    ) -> Self {
        Self { texts: entries.into_iter().collect(), carried: carried.into_iter().collect(), editions }
    }

    /// The codes of the known editions, to store.
    pub(crate) fn editions(&self) -> &Editions {
        &self.editions
    }

    /// The year of the edition that is in force in a year; `None` when none is known.
    pub fn edition_in(&self, year: i32) -> Option<i32> {
        self.editions.range(..=year).next_back().map(|(edition, _)| *edition)
    }

    /// Whether a six-digit code is valid in an edition; a code that no edition names always is.
    pub fn is_valid(&self, code: u32, edition: i32) -> bool {
        self.editions.get(&edition).is_none_or(|codes| codes.contains(&code))
            || !self.editions.values().any(|codes| codes.contains(&code))
    }

    /// Codes of other editions with their counterparts, to store.
    pub(crate) fn carried(&self) -> impl Iterator<Item = (&String, &String)> {
        self.carried.iter()
    }

    /// The code of this nomenclature for a six-digit code: itself, or its only counterpart; `None` when it has neither.
    pub fn current(&self, code: u32) -> Option<u32> {
        if self.has(code) {
            return Some(code);
        }
        self.carried.get(&written(code, LEVELS - 1)).and_then(|code| code.parse().ok())
    }

    /// All codes with their texts, to store.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &String)> {
        self.texts.iter()
    }

    /// Whether no table was given.
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

    /// The texts above and of a six-digit code: section, chapter, heading and subheading, as far as they are known.
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
        // One code is of 2022 only, one of 2017 only; a code that the table never names is valid in both.
        let valid = |code: u32| [2017, 2022].map(|edition| carrying.is_valid(code, edition));
        assert_eq!([10_121, 10_110, 30_617].map(valid), [[false, true], [true, false], [true, true]]);
    }

    #[test]
    fn a_table_of_something_else_is_refused() {
        for table in ["", "a,b\n1,2\n", "hscode,description\n01,Animals\n"] {
            let error = Nomenclature::parse(table.as_bytes()).expect_err(table);
            assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
        }
        for (table, code) in [
            ("hscode,description\n610910,T-shirts\n90111,Coffee\n", "90111"),
            ("code;text\n010121;a\n1;b\n", "1"),
        ] {
            let error = Nomenclature::parse(table.as_bytes()).expect_err(table);
            assert!(error.chain().contains(&format!("the first of them {code}:")), "{}", error.chain());
        }
        let excel =
            "\u{feff}hscode;description\r\n610910;T-shirts of cotton\r\n090111;Coffee, not roasted\r\n";
        assert_eq!(
            Nomenclature::parse(excel.as_bytes()).expect("reads").text("090111"),
            Some("Coffee, not roasted")
        );
        let printed = "hscode,description\n0901.11,Coffee\n0901 21,Roasted\n";
        let printed = Nomenclature::parse(printed.as_bytes()).expect("reads");
        assert_eq!((printed.text("090111"), printed.text("090121")), (Some("Coffee"), Some("Roasted")));
        let long = format!("hscode,description\n010121,{}", "x".repeat(10_000));
        assert!(Nomenclature::parse(long.as_bytes()).is_ok());
    }
}
