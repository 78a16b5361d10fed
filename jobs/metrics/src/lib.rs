//! Counters of this process, and the page on which Prometheus reads them.
//!
//! Whatever is counted has its name here ([`families`]), so that one file is the list of them; any crate adds to it, at the
//! price of a lock for some nanoseconds. What can be seen at any time, such as the jobs that run, is not counted but
//! written when somebody asks ([`Source`]). Names, units and types are those of Prometheus' conventions
//! (<https://prometheus.io/docs/practices/naming/>), the page is its text format 0.0.4. What is absent: times of its own;
//! who counts says how long something took. Start at [`serve`].

pub mod families;
mod family;
mod page;
mod process;
mod server;

pub use crate::{
    family::{Counter, Histogram},
    page::{Kind, Page},
    server::{Source, bind, serve},
};
