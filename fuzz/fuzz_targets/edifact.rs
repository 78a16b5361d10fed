//! Any bytes as messages of airlines: the readers must not panic, must end, and must give the same whether the bytes come
//! at once or a few at a time.
//!
//! The modules of `jobs/passengers` that read messages are compiled by their paths.

#![no_main]
#![allow(dead_code, unused_imports, reason = "the modules are those of a crate that uses all of them")]

#[path = "../../jobs/passengers/src/context.rs"]
mod context;
#[path = "../../jobs/passengers/src/countries.rs"]
mod countries;
#[path = "../../jobs/passengers/src/dates.rs"]
mod dates;
#[path = "../../jobs/passengers/src/edifact/mod.rs"]
mod edifact;
#[path = "../../jobs/passengers/src/free_text.rs"]
mod free_text;
#[path = "../../jobs/passengers/src/names.rs"]
mod names;
#[path = "../../jobs/passengers/src/paxlst/mod.rs"]
mod paxlst;
#[path = "../../jobs/passengers/src/pnrgov/mod.rs"]
mod pnrgov;
#[path = "../../jobs/passengers/src/reading.rs"]
mod reading;
#[path = "../../jobs/passengers/src/records.rs"]
mod records;

use std::io::{self, Read};

use edifact::{Event, Limits, Reader};
use libfuzzer_sys::fuzz_target;

/// Gives a few bytes at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let (now, later) = self.0.split_at(self.0.len().min(to.len()).min(61));
        to[..now.len()].copy_from_slice(now);
        self.0 = later;
        Ok(now.len())
    }
}

/// What a reader gives: the bytes and issues of messages, and the issues of interchanges.
fn read(input: impl Read) -> Vec<(Vec<u8>, Vec<edifact::Issue>)> {
    let mut reader = Reader::with_limits(input, Limits { segment: 1024, message: 1 << 14 });
    let mut given = Vec::new();
    while let Some(event) = reader.next().expect("memory is readable") {
        match event {
            Event::Message(message) => {
                for segment in message.segments() {
                    let all: usize = segment.all().map(|(.., text)| text.len()).sum();
                    assert!(all <= segment.raw().len(), "{segment:?}");
                }
                let records = reading::records(message);
                assert!(records.issues.len() >= message.issues.len());
                given.push((message.raw().to_vec(), message.issues.clone()));
            }
            Event::End(end) => given.push((Vec::new(), end.issues)),
        }
    }
    given
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(1 << 14)];
    assert_eq!(read(bytes), read(Slow(bytes)));
});
