//! The cells of an export: from text or typed columns to the columns of a table, with their checks.
//!
//! A mapping makes a [`ColumnRule`] for each standard column. [`assemble`] reads the columns of a block by their rules:
//! text by `text`, and typed columns of Parquet as they are by `typed`, with the same result. Codes are checked against
//! the lists of `codes`, by the day of their row. What is absent: the formats of files. Start at [`assemble`].

mod assemble;
mod codes;
mod formats;
mod hs;
mod numbers;
mod rules;
mod text;
mod times;
mod typed;

pub(crate) use assemble::assemble;
pub(crate) use codes::{is_country, is_currency};
pub(crate) use formats::spelled;
pub use hs::code_digits;
pub(crate) use rules::{ALL_DAYS, ColumnRule, Days, Fault, Faults, HsRule, Nulls, Rules, Source, TRACED};
pub(crate) use text::{IMPOSSIBLE_DATE, NO_DATE, convert};
pub use times::Zone;
pub(crate) use typed::{days, is_binary, is_taken, value_text};
