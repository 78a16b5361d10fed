//! How fast messages are read: `passengers_speed MEGABYTES FILE…` repeats the files up to a size, reads them to segments
//! and then to records, and prints megabytes per
//! second of processor time (Linux), which other programs on the machine disturb little.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement for a terminal")]

use tidewaiter_passengers::{
    edifact::{Event, Reader},
    reading::{self, Item},
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let megabytes: usize = arguments.next().and_then(|text| text.parse().ok()).expect("megabytes");
    let once: Vec<u8> = arguments.flat_map(|path| std::fs::read(path).expect("a file")).collect();
    let mut input = Vec::with_capacity(megabytes * 1_000_000 + once.len());
    while input.len() < megabytes * 1_000_000 {
        input.extend_from_slice(&once);
    }
    let size = input.len() as f64 / 1e6;

    let start = processor_seconds();
    let (mut messages, mut segments) = (0_u64, 0_usize);
    let mut reader = Reader::new(input.as_slice());
    while let Some(event) = reader.next().expect("memory is readable") {
        if let Event::Message(message) = event {
            messages += 1;
            segments += message.segments().len();
        }
    }
    let seconds = processor_seconds() - start;
    println!("segments: {messages} messages, {segments} segments, {:.0} MB/s", size / seconds);

    let start = processor_seconds();
    let (mut travellers, mut documents) = (0, 0);
    reading::read::<std::io::Error>(input.as_slice(), |item| {
        if let Item::Message(records) = item {
            travellers += records.travellers.len();
            documents += records.documents.len();
        }
        Ok(())
    })
    .expect("memory is readable");
    let seconds = processor_seconds() - start;
    println!("records: {travellers} travellers, {documents} documents, {:.0} MB/s", size / seconds);
}

/// The time for which this thread has run.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|text| text.parse::<f64>().ok()).expect("nanoseconds") / 1e9
}
