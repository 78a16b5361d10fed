//! Risk profiles: short rules that an officer can read and challenge, found in what inspections found.
//!
//! 1. [`rules`]: a rule of conditions, its file and whom it holds of; hand-written criteria have the same form;
//! 2. [`selectors`]: the conditions that a search may use;
//! 3. [`search`]: subgroup discovery;
//! 4. [`figures`]: support, precision, lift, intervals, months, overlap, and disparate impact;
//! 5. [`job`]: the job `passengers profiles`. Start there.

pub mod figures;
pub mod job;
mod page;
pub mod rules;
pub mod search;
pub mod selectors;
