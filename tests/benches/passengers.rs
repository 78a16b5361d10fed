//! Messages of airlines read to segments, and on to records: megabytes a second of one core.
//!
//! `TIDEWAITER_BENCH_MESSAGES=FOLDER cargo bench --workspace --bench passengers`: a folder of PAXLST and PNRGOV messages, such
//! as `messages/` of `tidewaiter synth passengers`. `TIDEWAITER_BENCH_MEGABYTES` (default 200), up to which its files are
//! repeated, and `TIDEWAITER_BENCH_REPEATS` (default 3) make it smaller or surer.
//!
//! Seconds are those for which the thread has run (Linux), which other programs on the machine disturb little; the
//! median is printed, for all messages and for those of each type. Records are dropped one message after the other.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures")]

use std::{env, fs, io, path::Path};

use tidewaiter_passengers::{
    edifact::{Event, Reader},
    reading::{self, Item},
};
use tidewaiter_tests::{is_bench, median, number};

fn main() {
    if !is_bench("passengers") {
        return;
    }
    let Some(folder) = env::var_os("TIDEWAITER_BENCH_MESSAGES") else {
        println!("NO MESSAGES: set TIDEWAITER_BENCH_MESSAGES to a folder of them");
        return;
    };
    let most = number("TIDEWAITER_BENCH_MEGABYTES", 200) * 1_000_000;
    let repeats = number("TIDEWAITER_BENCH_REPEATS", 3).max(1);
    let files = files(Path::new(&folder));
    println!("megabytes a second of one core, median of {repeats}");
    println!("messages       MB  segments/message  bytes/segment  to segments  to records");
    for kind in ["", "PAXLST", "PNRGOV"] {
        let input = repeated(&of_kind(&files, kind), most);
        if input.is_empty() {
            continue;
        }
        let (messages, segments) = read_segments(&input);
        let size = input.len() as f64;
        let speed = |work: &dyn Fn()| size / 1e6 / median((0..repeats).map(|_| seconds(work)).collect());
        println!(
            "{:<10} {:6.0}  {:16.1}  {:13.1}  {:11.0}  {:10.0}",
            if kind.is_empty() { "all" } else { kind },
            size / 1e6,
            segments as f64 / messages as f64,
            size / segments as f64,
            speed(&|| assert_eq!(read_segments(&input), (messages, segments))),
            speed(&|| assert_eq!(read_records(&input), messages)),
        );
    }
}

/// The bytes of the files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// The messages of a type, each in an interchange of the default separators; all files where none is named.
fn of_kind(files: &[Vec<u8>], kind: &str) -> Vec<u8> {
    let all = files.concat();
    if kind.is_empty() {
        return all;
    }
    let mut found = Vec::new();
    let mut reader = Reader::new(all.as_slice());
    while let Some(event) = reader.next().expect("memory is readable") {
        if let Event::Message(message) = event
            && message.header.kind == kind
        {
            found.extend_from_slice(&message.syntax.advice());
            found.extend_from_slice(b"UNB+UNOC:4+A+B+240101:0000+1'");
            found.extend_from_slice(message.raw());
            found.extend_from_slice(b"UNZ+1+1'");
        }
    }
    found
}

fn repeated(once: &[u8], most: usize) -> Vec<u8> {
    let times = if once.is_empty() { 0 } else { most.div_ceil(once.len()) };
    once.repeat(times)
}

/// How many messages and segments there are.
fn read_segments(input: &[u8]) -> (usize, usize) {
    let (mut messages, mut segments) = (0, 0);
    let mut reader = Reader::new(input);
    while let Some(event) = reader.next().expect("memory is readable") {
        if let Event::Message(message) = event {
            messages += 1;
            segments += message.segments().len();
        }
    }
    (messages, segments)
}

/// How many messages became records.
fn read_records(input: &[u8]) -> usize {
    let mut messages = 0;
    reading::read::<io::Error>(input, |item| {
        messages += usize::from(matches!(item, Item::Message(_)));
        Ok(())
    })
    .expect("memory is readable");
    messages
}

/// The seconds for which this thread works.
fn seconds(work: &dyn Fn()) -> f64 {
    let run = || -> f64 {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        text.split(' ').next().and_then(|text| text.parse::<f64>().ok()).expect("nanoseconds") / 1e9
    };
    let start = run();
    work();
    run() - start
}
