//! The pages of the domain in English, French and Spanish: a detector's card ([`model_page`]) and what an apply selected
//! ([`selection_page`]).
//!
//! Start at [`model_report`] and [`selection_report`]; [`pictures`] chooses and draws the images, and [`model_tables`] and
//! [`selection_tables`] are the same numbers for other programs.

mod facts;
mod figures;
mod images;
pub mod mismatch;
mod model_page;
pub mod pictures;
mod selection_page;
mod tables;
mod texts;

pub use self::{
    facts::ModelFacts,
    model_page::model_report,
    selection_page::{SelectionFacts, selection_report},
    tables::{model_tables, selection_tables},
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidewaiter_report::words::testing;

    use super::texts::WORDS;

    #[test]
    fn every_text_is_in_the_list_of_words() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report");
        assert_eq!(testing::gaps(&sources, WORDS).expect("is read"), Vec::<String>::new());
    }
}
