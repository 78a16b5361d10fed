//! Reports: one self-contained HTML file each, for a screen or for paper.
//!
//! Promises: no outside resource (a content security policy forbids it), so a report opens on a PC without
//! a network; every text from the data is escaped; the same input gives the same bytes. Start at
//! [`page::Page`], which holds [`table::Table`]s and [`chart`]s; [`fraud`] and [`selection`] are
//! whole reports.

pub mod chart;
pub mod data;
pub mod format;
pub mod fraud;
pub mod measures;
pub mod page;
pub mod selection;
pub mod table;

/// Writes a test's page into the folder named by `TIDEWAITER_KEEP_REPORTS`, where that is set, to look at it.
#[cfg(test)]
pub(crate) fn keep(name: &str, html: &str) {
    if let Some(folder) = std::env::var_os("TIDEWAITER_KEEP_REPORTS") {
        std::fs::write(std::path::Path::new(&folder).join(name), html).expect("the folder can be written");
    }
}
