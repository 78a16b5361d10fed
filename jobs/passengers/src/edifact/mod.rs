//! UN/EDIFACT (ISO 9735, versions 1 to 4) as a stream of messages.
//!
//! A [`Reader`] reads any number of interchanges, one after the other, and gives each message with its segments split
//! into elements and components. It never holds more than one message and never stops at bad text: what does not
//! follow the standard becomes an [`Issue`] with the segment's number and the byte at which it begins, and the message
//! is given all the same. Only a failed read is an error. [`Writer`] is the other direction.
//!
//! Start at [`Reader::next`].

mod characters;
mod issue;
mod message;
mod reader;
mod scan;
mod syntax;
mod tokens;
mod writer;

#[cfg(test)]
mod tests;

pub use characters::CharacterSet;
pub use issue::{Issue, IssueKind};
pub use message::{Header, Interchange, Message, Segment};
pub use reader::{Event, InterchangeEnd, Limits, Reader};
pub use syntax::Syntax;
pub use writer::Writer;
