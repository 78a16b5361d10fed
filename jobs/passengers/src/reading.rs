//! A stream of interchanges read to records: the one way in for files.

use std::io::{self, Read};

use crate::{
    context::Context,
    edifact::{Event, InterchangeEnd, IssueKind, Reader},
    paxlst, pnrgov,
    records::{MessageKind, Records},
};

/// What a reading gives.
#[derive(Debug)]
pub enum Item {
    /// The records of a message.
    Message(Box<Records>),
    /// The end of an interchange with the issues of its envelope.
    End(InterchangeEnd),
}

/// Reads messages of all interchanges of an input, one at a time.
///
/// # Errors
///
/// If the input cannot be read, or from `take`, which gets each message and each end in its order.
pub fn read<E: From<io::Error>>(
    input: impl Read,
    mut take: impl FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(input);
    while let Some(event) = reader.next()? {
        take(match event {
            Event::Message(message) => Item::Message(Box::new(records(message))),
            Event::End(end) => Item::End(end),
        })?;
    }
    Ok(())
}

/// The records of a message of any type; another type's segments are kept as text.
#[must_use]
pub fn records(message: &crate::edifact::Message) -> Records {
    match message.header.kind.as_str() {
        "PAXLST" => paxlst::read(message),
        "PNRGOV" => pnrgov::read(message),
        _ => {
            let mut context = Context::new(message, MessageKind::Other);
            for segment in message.segments() {
                context.keep(segment, IssueKind::UnknownSegment);
            }
            context.records
        }
    }
}
