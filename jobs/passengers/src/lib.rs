//! Passengers: what airlines send before a flight, as records, and the graphs of who travels with whom.
//!
//! 1. [`edifact`]: the bytes of any number of UN/EDIFACT interchanges become messages, segment by segment;
//! 2. [`paxlst`] and [`pnrgov`]: a message becomes [`records`] that refer to each other, and [`issues`](records::Issue)
//!    with segment and byte for all that is wrong; [`reading`] does both, and [`pnr_xml`]
//!    makes a message of IATA's XML;
//! 3. [`identity`]: travellers as rows for record linkage across trips;
//! 4. [`graph`]: graphs in compressed adjacency, their components, central vertices and communities.
//!
//! [`write`](mod@write) makes messages of records, for generated data and for tests. Start at [`reading::read`].

mod context;
pub mod countries;
pub mod dates;
pub mod edifact;
pub mod free_text;
pub mod graph;
pub mod identity;
pub mod names;
pub mod paxlst;
pub mod pnr_xml;
pub mod pnrgov;
pub mod reading;
pub mod records;
pub mod write;

#[cfg(test)]
mod tests;
