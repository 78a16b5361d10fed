//! The report of a profile: its page in English, French and Spanish, and its tables as files.

mod axis;
mod html;
mod tables;

use tidewaiter_report::words::{Language, Words};

/// The words of the page in its languages.
const WORDS: &str = include_str!("words.tsv");

/// The words of the page in a language.
pub(crate) fn words(language: Language) -> Words {
    Words::new(language, &[WORDS])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidewaiter_declarations::COLUMNS;
    use tidewaiter_report::words::testing;

    use super::*;
    use crate::{results::Scores, rules::RULES};

    #[test]
    fn every_text_is_in_the_list_of_words() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report");
        assert_eq!(testing::gaps(&sources, WORDS).expect("is read"), Vec::<String>::new());
        let scores = Scores::default();
        let meanings = scores.named().map(|(_, _, meaning)| meaning).into_iter();
        let names = scores.named().map(|(name, ..)| name).into_iter();
        let columns = COLUMNS.iter().map(|column| column.meaning);
        for text in meanings.chain(names).chain(columns).chain(RULES.iter().map(|rule| rule.meaning)) {
            assert!(testing::translates(Language::Spanish, WORDS, text), "{text}");
        }
    }
}
