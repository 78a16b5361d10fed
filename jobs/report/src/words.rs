//! The words of reports in English, French and Spanish.
//!
//! A report is written with its English texts; [`Words`] gives each in the report's language. The translations are
//! lists, one text a line: English, French and Spanish, separated by tabs. `words.tsv` beside this file has what several
//! reports say; a domain brings a list of its own. In a text `{name}` stands for a value ([`Words::fill`]).
//!
//! Promises: a text that no list has appears in English, and no report fails for it; [`testing::gaps`] finds such
//! texts in a crate's source, so that a test can forbid them. Spaces that a line must not break are put in here and not
//! in the lists. Start at [`Words`].

use std::collections::HashMap;

use crate::{
    format::{ENGLISH, FRENCH, NumberFormat, SPANISH},
    table::{Kind, Table},
};

/// What several reports say.
const SHARED: &str = include_str!("words.tsv");

/// The language of a report.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    #[value(name = "en")]
    English,
    /// French.
    #[serde(rename = "fr")]
    #[value(name = "fr")]
    French,
    /// Spanish.
    #[serde(rename = "es")]
    #[value(name = "es")]
    Spanish,
}

impl Language {
    /// Its BCP 47 name.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
            Self::Spanish => "es",
        }
    }

    /// How it writes numbers.
    pub fn numbers(self) -> NumberFormat {
        match self {
            Self::English => ENGLISH,
            Self::French => FRENCH,
            Self::Spanish => SPANISH,
        }
    }
}

/// The texts of a report in its language.
#[derive(Debug, Clone, Default)]
pub struct Words {
    language: Language,
    /// The translations by their English texts; none for English.
    translations: HashMap<&'static str, String>,
}

impl Words {
    /// The shared words and those of a report's own lists.
    pub fn new(language: Language, lists: &[&'static str]) -> Self {
        let place = match language {
            Language::English => return Self::default(),
            Language::French => 1,
            Language::Spanish => 2,
        };
        let mut translations = HashMap::new();
        for list in [&[SHARED], lists].concat() {
            for line in list.lines() {
                let texts: Vec<&str> = line.split('\t').collect();
                if let (Some(english), Some(text)) = (texts.first(), texts.get(place)) {
                    translations.insert(*english, unbroken(language, text));
                }
            }
        }
        Self { language, translations }
    }

    /// The language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// How the language writes numbers.
    pub fn numbers(&self) -> NumberFormat {
        self.language.numbers()
    }

    /// A text in the language of the report.
    pub fn say<'a>(&'a self, english: &'a str) -> &'a str {
        self.translations.get(english).map_or(english, String::as_str)
    }

    /// A text with values in the places that have their names in braces.
    pub fn fill(&self, english: &str, values: &[(&str, &str)]) -> String {
        let mut text = String::new();
        let mut rest = self.say(english);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            text.push_str(before);
            text.push_str(values.iter().find(|value| value.0 == name).map_or("", |value| value.1));
            rest = behind;
        }
        text.push_str(rest);
        text
    }

    /// An empty table with a caption and columns in the language of the report.
    pub fn table(&self, caption: &str, columns: &[(&str, Kind)]) -> Table {
        let columns: Vec<(&str, Kind)> =
            columns.iter().map(|(title, kind)| (self.say(title), *kind)).collect();
        Table::new(self.say(caption), &columns).with_numbers(self.numbers())
    }

    /// A percentage such as `4.5 %`, with no decimal where it is zero.
    pub fn percent(&self, share: f64) -> String {
        self.numbers().percent_short(share)
    }

    /// A whole number.
    pub fn count(&self, number: u64) -> String {
        self.numbers().count(number as f64)
    }
}

/// The text with no-break spaces where its language has a space that no line may break: before a percent sign, and in
/// French inside quotation marks and before high punctuation.
fn unbroken(language: Language, text: &str) -> String {
    let text = text.replace(" %", "\u{a0}%");
    if language != Language::French {
        return text;
    }
    [
        (" :", "\u{a0}:"),
        (" ;", "\u{a0};"),
        (" ?", "\u{a0}?"),
        (" !", "\u{a0}!"),
        ("« ", "«\u{a0}"),
        (" »", "\u{a0}»"),
    ]
    .iter()
    .fold(text, |text, (plain, kept)| text.replace(plain, kept))
}

/// For the tests of crates that write reports.
#[doc(hidden)]
pub mod testing {
    use std::{collections::BTreeSet, fs, io, path::Path};

    use super::{Language, SHARED, Words};

    /// What is wrong with a crate's list of words and its use: texts that `say`, `fill` or `table` is given in the
    /// sources below a folder and that no list has, and lines of the list that are incomplete, listed twice, or have
    /// other values than the English text.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn gaps(sources: &Path, list: &'static str) -> io::Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut known = BTreeSet::new();
        for line in SHARED.lines().chain(list.lines()) {
            let texts: Vec<&str> = line.split('\t').collect();
            let [english, french, spanish] = texts.as_slice() else {
                wrong.push(format!("not three texts: {line}"));
                continue;
            };
            for text in [french, spanish] {
                if text.is_empty() || names(text) != names(english) {
                    wrong.push(format!("another text than {english:?}: {text:?}"));
                }
            }
            if !known.insert(*english) {
                wrong.push(format!("listed twice: {english:?}"));
            }
        }
        let mut files = Vec::new();
        rust_files(sources, &mut files)?;
        for file in files {
            let source = fs::read_to_string(&file)?;
            // Tests say what they like.
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            for text in said(source).iter().filter(|text| !known.contains(text.as_str())) {
                wrong.push(format!("{}: no list has {text:?}", file.display()));
            }
        }
        Ok(wrong)
    }

    /// Whether a language has a text of its own for an English one.
    pub fn translates(language: Language, list: &'static str, english: &str) -> bool {
        Words::new(language, &[list]).translations.contains_key(english)
    }

    fn rust_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                rust_files(&path, files)?;
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && path.file_name().is_none_or(|name| name != "tests.rs")
            {
                files.push(path);
            }
        }
        Ok(())
    }

    /// The names in braces, sorted.
    fn names(text: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or(rest)).collect();
        names.sort_unstable();
        names
    }

    /// The literals that `say`, `fill` and `table` are given as their first argument, and the titles of columns.
    fn said(source: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for call in ["say(", "fill(", ".table(", "caption = "] {
            let given = source.split(call).skip(1).filter_map(|rest| literal(rest.trim_start()));
            texts.extend(given.map(|(text, _)| text));
        }
        let titles = source.split('(').skip(1).filter_map(|rest| literal(rest.trim_start()));
        texts.extend(titles.filter(|(_, rest)| rest.starts_with(", Kind::")).map(|(title, _)| title));
        texts.retain(|text| text.chars().any(char::is_alphabetic));
        texts
    }

    /// The string literal at the beginning of a source text, and what follows it.
    fn literal(source: &str) -> Option<(String, &str)> {
        let mut characters = source.strip_prefix('"')?.chars();
        let mut text = String::new();
        loop {
            match characters.next()? {
                '"' => return Some((text, characters.as_str())),
                '\\' => match characters.next()? {
                    // A line that goes on: its break and the indentation are no part of the text.
                    '\n' => characters = characters.as_str().trim_start().chars(),
                    'u' => {
                        let (number, rest) = characters.as_str().strip_prefix('{')?.split_once('}')?;
                        text.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
                        characters = rest.chars();
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn literals_are_read_as_the_compiler_reads_them() {
            let source = "self.say(\"a \\\"b\\\" {c}\"); fill(\n  \"one \\\n     line\\u{a0}on\", &[]); say(other); (\"Mean, h\", Kind::Hours)";
            assert_eq!(said(source), ["a \"b\" {c}", "one line\u{a0}on", "Mean, h"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const OWN: &str = "{n} of {all}: 5 %\t{n} sur {all} : 5 %\t{n} de {all}: 5 %";

    #[test]
    fn a_text_is_given_in_the_language_with_its_values() {
        let said = |language| {
            let words = Words::new(language, &[OWN]);
            (words.fill("{n} of {all}: 5 %", &[("all", "9"), ("n", "2")]), words.say("Cases").to_owned())
        };
        assert_eq!(said(Language::English), ("2 of 9: 5 %".to_owned(), "Cases".to_owned()));
        assert_eq!(said(Language::French), ("2 sur 9\u{a0}: 5\u{a0}%".to_owned(), "Dossiers".to_owned()));
        assert_eq!(said(Language::Spanish), ("2 de 9: 5\u{a0}%".to_owned(), "Expedientes".to_owned()));
        assert_eq!(Words::new(Language::Spanish, &[]).say("no list has this"), "no list has this");
    }

    #[test]
    fn the_shared_list_has_every_text_of_this_crate() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert_eq!(testing::gaps(&sources, "").expect("is read"), Vec::<String>::new());
    }
}
