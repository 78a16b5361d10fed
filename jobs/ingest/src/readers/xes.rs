//! XES event logs (IEEE 1849-2016): traces of events whose attributes are the cells of a row.
//!
//! A mapping names an attribute of an event by its key, and one of a trace by `case:` and its key, as in tables that
//! are made from such logs. Attributes of attributes, globals, classifiers and extensions are skipped. An event beside
//! the traces is a row without the attributes of a trace. The attributes of a trace must come before its events. The
//! encoding is that of the byte order mark, of the mapping, or of the XML declaration. Memory holds a few blocks and one
//! element. Start at [`Xes::new`].

use std::{
    io::BufReader,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use memchr::memchr2;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use tidewaiter_core::{Error, Result};

use super::source::Bytes;
use crate::{
    block::ParsedBlock,
    cells::{Rules, assemble},
    encoding::Encoding,
    mapping::Mapping,
    quarantine::{BadRecord, quarantined},
};

/// Where the text of a cell begins and ends in the block's text.
type Span = Option<(usize, usize)>;

/// Bytes that are read from a file at a time.
const READ_BYTES: usize = 256 << 10;

/// Parsed blocks that may wait to become rows.
const BLOCKS_AHEAD: usize = 2;

/// A reader of a log, block by block; the XML is parsed on a thread of its own.
pub(super) struct Xes {
    name: String,
    /// `None` at the end of the log.
    blocks: Receiver<Result<Option<Block>>>,
    sets: Vec<Rules>,
    /// The keys that the mapping names. A rule's field is a place in this list.
    keys: Vec<String>,
    row: i64,
    /// Rows made so far, good and bad.
    made: i64,
    ended: bool,
}

/// The events of a log, with the attributes of their traces.
struct Events {
    elements: Elements,
    keys: Vec<String>,
    block_size: usize,
    /// The attributes of the current trace, by the place of their key.
    trace: Vec<Option<String>>,
    /// Whether a trace is open, and whether it has had an event.
    in_trace: bool,
    has_event: bool,
    ended: bool,
}

/// The elements of a log, one after the other.
struct Elements {
    name: String,
    reader: Reader<BufReader<Bytes>>,
    buffer: Vec<u8>,
    /// The number of open elements, of which the first is the log.
    depth: usize,
    /// The depth of the open event: 3, or 2 beside the traces; 0 outside of events.
    event: usize,
    /// Key and value of the attribute that was read last.
    key: String,
    value: String,
}

/// Whole events; `cells` holds one span for each event and key.
#[derive(Default)]
struct Block {
    text: String,
    cells: Vec<Span>,
    rows: usize,
}

/// The next thing in the log.
enum Next {
    /// The log begins.
    Log,
    TraceBegins,
    TraceEnds,
    EventBegins,
    /// An attribute of the current trace.
    TraceAttribute,
    /// An attribute of the current event.
    EventAttribute,
    EventEnds,
    /// An event without attributes, from its begin to its end.
    EmptyEvent,
    Other,
    End,
}

impl Xes {
    pub(super) fn new(name: &str, bytes: Bytes, mapping: &Mapping, block_size: usize) -> Result<Self> {
        let keys: Vec<String> = mapping.named_sources().into_iter().map(str::to_owned).collect();
        let sets = mapping.rules_for(name, &keys)?;
        let encoding = mapping.file.encoding.or_else(|| Encoding::of_xml(bytes.start()));
        let bytes = bytes.decoded(encoding)?;
        let mut reader = Reader::from_reader(BufReader::with_capacity(READ_BYTES, bytes));
        // There is only white space between elements.
        reader.config_mut().trim_text_start = true;
        let mut elements = Elements {
            name: name.to_owned(),
            reader,
            buffer: Vec::new(),
            depth: 0,
            event: 0,
            key: String::new(),
            value: String::new(),
        };
        elements.find_log()?;
        let trace = vec![None; keys.len()];
        let block_size = block_size.max(1);
        let mut events = Events {
            elements,
            keys: keys.clone(),
            block_size,
            trace,
            in_trace: false,
            has_event: false,
            ended: false,
        };
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
        let read = move || {
            loop {
                let block = events.next_block();
                let is_last = !matches!(block, Ok(Some(_)));
                if sender.send(block).is_err() || is_last {
                    break;
                }
            }
        };
        thread::Builder::new().name("xes-reader".to_owned()).spawn(read)?;
        Ok(Self { name: name.to_owned(), blocks, sets, keys, row: 0, made: 0, ended: false })
    }

    /// Rows made so far, good and bad.
    pub(super) fn read(&self) -> i64 {
        self.made
    }

    pub(super) fn next_block(&mut self) -> Result<Option<ParsedBlock>> {
        if self.ended {
            return Ok(None);
        }
        let stopped = |_| Error::internal(format!("the reader of {} stopped", self.name));
        let block = self.blocks.recv().map_err(stopped)?;
        self.ended = !matches!(block, Ok(Some(_)));
        block?.map(|block| self.parse(&block)).transpose()
    }

    fn parse(&mut self, block: &Block) -> Result<ParsedBlock> {
        let (before, width) = (self.row, self.keys.len());
        let number = |row: usize| before + 1 + i64::try_from(row).unwrap_or(i64::MAX);
        let cell = |row: usize, field: usize| {
            let (start, end) = block.cells[row * width + field]?;
            block.text.get(start..end)
        };
        let assembled = assemble(&self.sets, block.rows, number, |_| None, cell, Vec::new())?;
        let mut bad = Vec::with_capacity(assembled.faults.len());
        for fault in assembled.faults {
            let mut raw = String::new();
            for (place, key) in self.keys.iter().enumerate() {
                if let Some(value) = cell(fault.row, place) {
                    raw.push_str(&format!("{key}={value:?} "));
                }
            }
            let (row, raw) = (number(fault.row), raw.trim_end().as_bytes());
            bad.push(BadRecord::new(row, None, fault.column, fault.rule, fault.value, raw));
        }
        self.row = number(block.rows) - 1;
        self.made += i64::try_from(assembled.rows).unwrap_or(i64::MAX);
        let quarantined = quarantined(&self.name, bad)?;
        Ok(ParsedBlock {
            batch: assembled.batch,
            records: assembled.records,
            quarantined,
            repairs: assembled.repairs,
        })
    }
}

impl Events {
    /// The next events, whole ones; `None` at the end.
    fn next_block(&mut self) -> Result<Option<Block>> {
        let mut block = Block::default();
        let mut event: Option<usize> = None;
        while !self.ended && (event.is_some() || block.text.len() < self.block_size) {
            match self.elements.next()? {
                // What follows a trace has none of its attributes.
                next @ (Next::TraceBegins | Next::TraceEnds) => {
                    self.trace.fill(None);
                    self.in_trace = matches!(next, Next::TraceBegins);
                    self.has_event = false;
                }
                Next::EventBegins => {
                    event = Some(block.cells.len());
                    block.cells.resize(block.cells.len() + self.keys.len(), None);
                }
                Next::TraceAttribute if self.in_trace => {
                    for (wanted, value) in self.keys.iter().zip(&mut self.trace) {
                        if wanted.strip_prefix("case:") != Some(self.elements.key.as_str()) {
                            continue;
                        }
                        if self.has_event {
                            return Err(Error::input(format!(
                                "{} has the attribute {wanted} of a trace after an event of it; attributes come first",
                                self.elements.name
                            )));
                        }
                        *value = Some(self.elements.value.clone());
                    }
                }
                Next::EventAttribute => {
                    let place = self.keys.iter().position(|wanted| *wanted == self.elements.key);
                    if let (Some(cells), Some(place)) = (event, place) {
                        block.cells[cells + place] = Some(block.keep(&self.elements.value));
                    }
                }
                Next::EventEnds | Next::EmptyEvent => {
                    let cells = event.take().unwrap_or_else(|| {
                        block.cells.resize(block.cells.len() + self.keys.len(), None);
                        block.cells.len() - self.keys.len()
                    });
                    self.has_event = true;
                    for (place, of_trace) in self.trace.iter().enumerate() {
                        if let (None, Some(value)) = (block.cells[cells + place], of_trace) {
                            block.cells[cells + place] = Some(block.keep(value));
                        }
                    }
                    block.rows += 1;
                }
                Next::End => self.ended = true,
                Next::TraceAttribute | Next::Log | Next::Other => {}
            }
        }
        Ok((block.rows > 0).then_some(block))
    }
}

impl Block {
    fn keep(&mut self, text: &str) -> (usize, usize) {
        let start = self.text.len();
        self.text.push_str(text);
        (start, self.text.len())
    }
}

impl Elements {
    fn find_log(&mut self) -> Result<()> {
        loop {
            match self.next()? {
                Next::Log => return Ok(()),
                Next::Other => {}
                _ => {
                    return Err(Error::input(format!(
                        "{} is not an XES log: it does not begin with <log>",
                        self.name
                    )));
                }
            }
        }
    }

    fn next(&mut self) -> Result<Next> {
        let Self { name, reader, buffer, depth, event, key, value } = self;
        let damaged = |error: quick_xml::Error| {
            Error::input(format!("{name} is cut off or damaged XML: {error}")).with_source(error)
        };
        buffer.clear();
        match reader.read_event_into(buffer).map_err(damaged)? {
            Event::Start(element) => {
                *depth += 1;
                let next = begin(&element, *depth, *event, key, value).map_err(damaged)?;
                if matches!(next, Next::EventBegins) {
                    *event = *depth;
                }
                Ok(next)
            }
            Event::Empty(element) => {
                let next = begin(&element, *depth + 1, *event, key, value).map_err(damaged)?;
                Ok(match next {
                    Next::TraceAttribute | Next::EventAttribute => next,
                    Next::EventBegins => Next::EmptyEvent,
                    _ => Next::Other,
                })
            }
            Event::End(element) => {
                let is_event = *event == *depth && *depth > 0;
                let is_trace = *depth == 2 && !is_event && element.local_name().as_ref() == b"trace";
                *depth = depth.saturating_sub(1);
                Ok(if is_event {
                    *event = 0;
                    Next::EventEnds
                } else if is_trace {
                    Next::TraceEnds
                } else {
                    Next::Other
                })
            }
            Event::Eof if *depth > 0 => Err(Error::input(format!("{name} is cut off: its XML does not end"))),
            Event::Eof => Ok(Next::End),
            _ => Ok(Next::Other),
        }
    }
}

/// What begins with an element, by its name, its depth (1: the log) and that of the open event (0: none); key and value
/// of an attribute are stored.
fn begin(
    element: &BytesStart<'_>,
    depth: usize,
    event: usize,
    key: &mut String,
    value: &mut String,
) -> std::result::Result<Next, quick_xml::Error> {
    let next = match (depth, element.local_name().as_ref()) {
        (1, b"log") => return Ok(Next::Log),
        (2, b"trace") => return Ok(Next::TraceBegins),
        (2 | 3, b"event") if event == 0 => return Ok(Next::EventBegins),
        (_, b"string" | b"date" | b"int" | b"float" | b"boolean" | b"id") => match depth {
            _ if event > 0 && depth == event + 1 => Next::EventAttribute,
            3 if event == 0 => Next::TraceAttribute,
            _ => return Ok(Next::Other),
        },
        _ => return Ok(Next::Other),
    };
    key.clear();
    value.clear();
    if let Some((plain_key, plain_value)) = plain_attribute(element.attributes_raw()) {
        key.push_str(plain_key);
        value.push_str(plain_value);
        return Ok(next);
    }
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute?;
        let text = match attribute.key.as_ref() {
            b"key" => &mut *key,
            b"value" => &mut *value,
            _ => continue,
        };
        text.clear();
        text.push_str(&attribute.decode_and_unescape_value(element.decoder())?);
    }
    Ok(next)
}

/// Key and value in the common form ` key="…" value="…"` without an escape, for which quick-xml takes three times as
/// long; `None` for any other form.
fn plain_attribute(raw: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(raw).ok()?.strip_prefix(" key=\"")?;
    let (key, text) = text.split_at_checked(memchr2(b'"', b'&', text.as_bytes())?)?;
    let text = text.strip_prefix("\" value=\"")?;
    let (value, rest) = text.split_at_checked(memchr2(b'"', b'&', text.as_bytes())?)?;
    (rest.trim_ascii_end() == "\"").then_some((key, value))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use arrow::{array::AsArray, compute::concat_batches, datatypes::Int64Type};
    use proptest::prelude::*;

    use super::*;
    use crate::{ExportReader, Mapping};

    const MAPPING: &str = r#"
        table = "releases"
        country = "NL"
        format = "xes"
        [columns]
        case_id = { from = "case:concept:name" }
        event = { from = "concept:name" }
        event_time = { from = "time:timestamp" }
        channel = { from = "case:channel" }
    "#;
    const LOG: &str = r#"<?xml version="1.0"?><log xmlns="http://www.xes-standard.org/">
        <global scope="event"><string key="concept:name" value="no"/></global>
        <trace><string key="concept:name" value="A"/><string key="channel" value="red &amp; green">
            <string key="concept:name" value="nested"/></string>
          <event><string key="concept:name" value="Lodge"><string key="x" value="y"/></string>
            <date key="time:timestamp" value="2024-01-01T10:00:00.000+01:00"/></event>
          <event><string key="concept:name" value="Release"/><date key="time:timestamp" value="soon"/></event>
        </trace>
        <trace><string key="concept:name" value="B"/>
          <event><date key="time:timestamp" value="2024-01-02T10:00:00Z"/><string key="concept:name" value="Lodge"/></event>
        </trace></log>"#;

    fn read(bytes: &[u8], block: usize) -> Result<(arrow::array::RecordBatch, usize)> {
        let mapping = Mapping::parse(MAPPING, &[&tidewaiter_release::table::LAYOUT])?;
        let input = Box::new(Cursor::new(bytes.to_vec()));
        let mut reader = ExportReader::from_read_in_blocks("log.xes", input, &mapping, block)?;
        let (mut good, mut bad) = (Vec::new(), 0);
        while let Some(block) = reader.next_block()? {
            bad += block.quarantined.num_rows();
            good.push(block.batch);
        }
        Ok((concat_batches(&tidewaiter_release::table::schema(), &good)?, bad))
    }

    #[test]
    fn events_become_rows_with_the_attributes_of_their_trace() {
        for block in [1, 1 << 20] {
            let (good, bad) = read(LOG.as_bytes(), block).expect("reads");
            assert_eq!(bad, 1, "the time that is none");
            let texts = |name: &str| -> Vec<String> {
                let column = good.column_by_name(name).expect("is there").as_string::<i32>();
                column.iter().map(|text| text.unwrap_or("null").to_owned()).collect()
            };
            assert_eq!(texts("case_id"), ["A", "B"]);
            assert_eq!(texts("event"), ["Lodge", "Lodge"]);
            assert_eq!(texts("channel"), ["red & green", "null"]);
            let order = good.column_by_name("file_order").expect("is there").as_primitive::<Int64Type>();
            assert_eq!(order.values(), &[1, 3]);
        }
    }

    #[test]
    fn a_log_that_is_cut_or_no_log_is_refused() {
        let cut = read(&LOG.as_bytes()[..LOG.len() - 20], 64).expect_err("is cut");
        assert!(cut.chain().contains("cut off"), "{}", cut.chain());
        for text in ["<html></html>", "case,event\n1,2\n", "<log><trace></log>"] {
            assert_eq!(
                read(text.as_bytes(), 64).expect_err(text).kind(),
                tidewaiter_core::ErrorKind::Input,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_attribute_reads_alike_plain_or_not(key in "[a-z:]{0,9}", text in "[ -~é\t\n]{0,20}") {
            let value = quick_xml::escape::escape(text.as_str());
            let read = |attributes: &str| {
                let element = BytesStart::from_content(format!("string {attributes}"), 6);
                let (mut key, mut value) = (String::new(), String::new());
                begin(&element, 4, 3, &mut key, &mut value).map(|_| (key, value)).expect("is XML")
            };
            let plain = read(&format!("key=\"{key}\" value=\"{value}\""));
            prop_assert_eq!(&plain, &read(&format!("value=\"{value}\" key=\"{key}\"")));
            prop_assert_eq!(plain.0, key);
        }

        #[test]
        fn damaged_logs_never_panic(place in any::<prop::sample::Index>(), byte: u8, block in 1_usize..200) {
            let mut bytes = LOG.as_bytes().to_vec();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let _ = read(&bytes, block);
        }
    }
}
