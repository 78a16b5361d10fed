//! Personal data as law asks: pseudonyms by a key that is not in the archive, depersonalisation and deletion by age, and
//! re-identification for a reason, each with a record.
//!
//! Start at [`key`] for pseudonyms, at [`retention`] for the jobs, and at [`reidentify`].

mod age;
mod audit;
pub(crate) mod hexadecimal;
pub mod key;
pub(crate) mod reidentify;
pub mod retention;
pub mod seal;
#[cfg(test)]
mod tests;
