//! The words of the pages in their languages.

/// English, French, Spanish: one text a line.
pub(super) const WORDS: &str = include_str!("words.tsv");
