//! HS codes: their digits and levels, the tree that they form, and the nomenclature that gives them texts.
//!
//! A code of the Harmonized System has six digits: two of the chapter, two more of the heading, two more of the
//! subheading. They are kept as numbers ([`digits`]). [`tree`] orders the codes that a model knows as classes of three
//! levels, and [`nomenclature`] is the user's table of codes, with the editions of the HS that it covers. Start at
//! [`digits`].

pub mod digits;
pub mod nomenclature;
pub(crate) mod tree;
