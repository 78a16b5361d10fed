//! Networks of travellers: who is linked with whom, by what, in which communities, and how near known offenders are.
//!
//! 1. [`plans`]: queries over the archive find what travellers share and make links of it, on any engine;
//! 2. [`people`]: travellers and their links in memory, compactly;
//! 3. [`analysis`]: communities, central persons, and paths to known offenders;
//! 4. [`page`]: one HTML page with a picture that can be zoomed, filtered and searched without a network, and small
//!    pictures for other reports; [`export`]: GraphML and GEXF for other programs;
//! 5. [`job`]: the job `passengers network`. Start there.

pub mod analysis;
pub mod days;
pub mod export;
pub mod job;
pub mod kind;
pub mod page;
pub mod people;
pub mod plans;
