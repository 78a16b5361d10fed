//! Reports: one self-contained HTML file each, for screen and paper.
//!
//! Promises: no outside resource and no script (a content security policy forbids them), so a report opens on a
//! computer without a network; every text from the data is escaped; the same input gives the same bytes. NumberFormat are
//! written by the [`format::NumberFormat`] of the report's language; the words are the report's own. What is absent: any
//! domain's report.
//!
//! Start at [`page::Page`], which holds [`table::Table`]s, [`chart`]s and [`picture`]s; [`data`] writes the same tables as CSV and
//! Parquet.

pub mod chart;
pub mod data;
pub mod format;
pub mod page;
pub mod picture;
pub mod table;
pub mod words;

/// For tests: writes a page into the folder that the variable `TIDEWAITER_KEEP_REPORTS` names, if it is set, so that a
/// person can look at it.
///
/// # Errors
/// Those of the file system.
#[doc(hidden)]
pub fn keep(name: &str, html: &str) -> std::io::Result<()> {
    match std::env::var_os("TIDEWAITER_KEEP_REPORTS") {
        Some(folder) => std::fs::write(std::path::Path::new(&folder).join(name), html),
        None => Ok(()),
    }
}
