//! Reports: one self-contained HTML file each, for a screen or for paper.
//!
//! Promises: no outside resource (a content security policy forbids it), so a report opens on a PC without
//! a network; every text from the data is escaped; the same input gives the same bytes. Start at
//! [`page::Page`], which holds [`table::Table`]s and [`chart`]s; [`fraud`] is one whole report.

pub mod chart;
pub mod format;
pub mod fraud;
pub mod page;
pub mod table;
