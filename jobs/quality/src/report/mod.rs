//! The report of a profile: its page, and its tables as files.

mod html;
mod tables;
