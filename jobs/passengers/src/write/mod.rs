//! Records written as messages: what the generator sends through the parsers, and the other direction of their tests.
//!
//! What is written is read back as the same records, but for the numbers of segments. A record whose traveller, booking
//! or leg is not in its list is left out.

mod message_paxlst;
mod message_pnrgov;
mod parts;

#[cfg(test)]
mod tests;

pub use message_paxlst::paxlst;
pub use message_pnrgov::pnrgov;
