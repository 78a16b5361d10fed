//! Delimited text: records and fields by [`super::split`], checked and gathered in blocks.
//!
//! A block is read, its whole records are split into fields, and the rest of the last record stays in the buffer for
//! the next block. A record that is not as it should be is put aside with its line, and a second look finds where the
//! next one begins ([`Delimited::second_look`]), so that a quote that is never closed costs its own line only. Neither
//! depends on where blocks end. Memory holds one block, or one record where that is longer, up to [`LONGEST_RECORD`].
//! Start at [`Delimited::new`].

use memchr::{memchr_iter, memchr2};
use tidewaiter_core::{Error, Result};

use super::{
    source::Bytes,
    split::{Dialect, Fields, Split},
};
use crate::{
    block::ParsedBlock,
    cells::{Rules, assemble},
    encoding::Encoding,
    mapping::Mapping,
    quarantine::{BadRecord, quarantined},
};

/// The longest record, in bytes: what a quote opens and does not close by then is no record.
const LONGEST_RECORD: usize = 16 << 20;

/// The lines after a record that is not as it should be in which the next one is looked for.
const LINES_OF_LOOK: usize = 16;

/// The lines at the start of a file among which the header is looked for.
const LINES_OF_TITLE: usize = 20;

/// Bytes that are read first, by which a line `sep=;` and binary files are recognised.
const START: usize = 4096;

/// Bytes of the text that a fault shows of a record.
const SHOWN: usize = 60;

/// The place of a record: its number and line in the file, and its bytes in the buffer.
#[derive(Clone, Copy)]
struct Record {
    row: i64,
    line: i64,
    start: usize,
    end: usize,
}

/// A record that is no row: its bytes, the rule that it breaks, and the text that shows it.
struct Fault {
    taken: usize,
    rule: &'static str,
    value: String,
}

/// A reader of delimited text, block by block.
pub(super) struct Delimited {
    name: String,
    bytes: Bytes,
    block_size: usize,
    dialect: Dialect,
    /// Whether bytes that are no text come from UTF-8, or from another encoding.
    is_utf_8: bool,
    sets: Vec<Rules>,
    width: usize,
    buffer: Vec<u8>,
    at_end: bool,
    /// Data records so far.
    row: i64,
    line: i64,
    /// Rows made so far, good and bad.
    made: i64,
    /// Lines before the header that no setting names.
    title_lines: u64,
    /// The fields of the block's good records.
    fields: Fields,
    /// The first special byte in the buffer, at or after the record for which it was searched.
    special: Option<usize>,
}

impl Delimited {
    pub(super) fn new(name: &str, bytes: Bytes, mapping: &Mapping, block_size: usize) -> Result<Self> {
        let byte = |character: char| u8::try_from(character).unwrap_or(b',');
        let dialect = Dialect {
            delimiter: byte(mapping.file.delimiter),
            quote: byte(mapping.file.quote),
            escape: mapping.file.escape.map(byte),
        };
        let marked = Encoding::of_mark(bytes.start()).map(|(encoding, _)| encoding);
        let encoding = marked.or(mapping.file.encoding);
        if encoding.is_none_or(Encoding::is_utf_8)
            && let Some(encoding) = Encoding::of_nul_bytes(bytes.start())
        {
            let name_of = encoding.name().to_lowercase();
            return Err(Error::input(format!(
                "{name} is {} text without a byte order mark; set encoding = {name_of:?} in the mapping, or save it \
                 as UTF-8",
                encoding.name()
            )));
        }
        let mut new = Self {
            name: name.to_owned(),
            bytes: bytes.decoded(mapping.file.encoding)?,
            block_size: block_size.max(1),
            dialect,
            is_utf_8: encoding.is_none_or(Encoding::is_utf_8),
            sets: Vec::new(),
            width: 0,
            buffer: Vec::new(),
            at_end: false,
            row: 0,
            line: 1,
            made: 0,
            title_lines: 0,
            fields: Fields::default(),
            special: None,
        };
        new.skip_lines(mapping)?;
        new.read_header(mapping)?;
        Ok(new)
    }

    /// Skips the line `sep=;` by which spreadsheets name the delimiter, and the lines that the mapping names.
    fn skip_lines(&mut self, mapping: &Mapping) -> Result<()> {
        self.fill(START)?;
        let separator = self.buffer.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"sep="));
        if separator && let Some(&[delimiter, b'\r' | b'\n']) = self.buffer.get(4..6) {
            if delimiter != self.dialect.delimiter {
                return Err(Error::input(format!(
                    "{} says sep={}, and the mapping {:?}; set delimiter = {:?}",
                    self.name,
                    delimiter.escape_ascii(),
                    mapping.file.delimiter,
                    char::from(delimiter).to_string()
                )));
            }
            self.skip_line()?;
        }
        for _ in 0..mapping.file.skip_rows {
            self.skip_line()?;
        }
        Ok(())
    }

    /// Skips a line of the text, which may have any form.
    fn skip_line(&mut self) -> Result<()> {
        let end = loop {
            match line_end(&self.buffer) {
                // What follows a carriage return may be the second half of the line end.
                Some(end) if end < self.buffer.len() || self.at_end => break end,
                None if self.at_end => break self.buffer.len(),
                _ => self.fill_more()?,
            }
        };
        self.buffer.drain(..end);
        self.line += 1;
        Ok(())
    }

    /// Finds the header, which may stand after some lines of titles, or for a file without one the first record that is
    /// long enough.
    fn read_header(&mut self, mapping: &Mapping) -> Result<()> {
        let name = self.name.clone();
        let (mut start, mut first_error) = (0, None);
        for _ in 0..=LINES_OF_TITLE {
            let Some((begin, taken, columns)) = self.next_header(start, mapping.file.header)? else { break };
            match mapping.rules_for(&name, &columns) {
                Ok(sets) => {
                    (self.width, self.sets) = (columns.len(), sets);
                    if mapping.file.header {
                        let titles = self.buffer[..begin].split(|byte| *byte == b'\n');
                        self.title_lines = titles.filter(|line| !line.trim_ascii().is_empty()).count() as u64;
                        self.line += lines(&self.buffer[..begin + taken]);
                        self.buffer.drain(..begin + taken);
                    }
                    return Ok(());
                }
                Err(error) => {
                    first_error = first_error.or_else(|| Some(self.no_header(mapping, &columns, error)));
                }
            }
            start = begin + taken;
        }
        if self.buffer[..self.buffer.len().min(START)].contains(&0) {
            return Err(Error::input(format!("{name} is not delimited text: it holds NUL bytes")));
        }
        Err(first_error.unwrap_or_else(|| {
            let blank = self.buffer.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            let what = if blank {
                "holds no records"
            } else {
                "opens a quote in its first line that is never closed"
            };
            Error::input(format!("{name} {what}"))
        }))
    }

    /// The next record that may be a header: where it begins, its length, and its columns; `None` at the end.
    fn next_header(&mut self, mut start: usize, named: bool) -> Result<Option<(usize, usize, Vec<String>)>> {
        loop {
            while self.buffer.get(start).is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                start += 1;
            }
            if start == self.buffer.len() {
                if self.at_end {
                    return Ok(None);
                }
                self.fill_more()?;
                continue;
            }
            self.fields.clear();
            match self.dialect.split(&self.buffer[start..], &mut self.fields) {
                Split::Record { taken, count } => {
                    let columns = match named {
                        true => {
                            let text =
                                |field| String::from_utf8_lossy(&self.fields.text()[self.fields.span(field)]);
                            (0..count).map(|field| text(field).trim().to_owned()).collect()
                        }
                        false => (1..=count).map(|position| position.to_string()).collect(),
                    };
                    return Ok(Some((start, taken, columns)));
                }
                Split::Malformed { .. } => match line_end(&self.buffer[start..]) {
                    Some(end) => return Ok(Some((start, end, Vec::new()))),
                    None if self.at_end => return Ok(None),
                    None => self.fill_more()?,
                },
                Split::Unfinished if self.at_end => return Ok(None),
                Split::Unfinished => self.fill_more()?,
            }
        }
    }

    /// The error of a file whose first line is no header of the mapping.
    fn no_header(&self, mapping: &Mapping, columns: &[String], error: Error) -> Error {
        let wanted = mapping.named_sources().len();
        if columns.len() > 1 || wanted < 2 {
            return error;
        }
        let line = &self.buffer[..line_end(&self.buffer).unwrap_or(self.buffer.len())];
        let count = |delimiter: &&u8| memchr_iter(**delimiter, line).count();
        let seen =
            [b',', b';', b'\t', b'|'].iter().filter(|delimiter| count(delimiter) > 0).max_by_key(count);
        let remedy = match seen {
            Some(delimiter) => {
                format!("set delimiter = {:?} in the mapping", char::from(*delimiter).to_string())
            }
            None => "check `delimiter` in the mapping; if title lines stand before the header, set skip_rows"
                .to_owned(),
        };
        Error::input(format!(
            "{} has a single column where the mapping names {wanted}: it is not text delimited by {:?}; {remedy}",
            self.name, mapping.file.delimiter
        ))
    }

    /// Reads more bytes into the buffer; at the end of the file ends the last record by a line end.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        if self.at_end {
            return Ok(());
        }
        let length = self.bytes.fill(&mut self.buffer, wanted)?;
        if length < wanted {
            self.at_end = true;
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    /// Reads a block, or for a record that is longer than the buffer as much as doubles it.
    fn fill_more(&mut self) -> Result<()> {
        self.fill(self.block_size.max(self.buffer.len()))
    }

    /// Rows made so far, good and bad.
    pub(super) fn read(&self) -> i64 {
        self.made
    }

    pub(super) fn next_block(&mut self) -> Result<Option<ParsedBlock>> {
        loop {
            self.fill_more()?;
            let (records, used, bad) = self.split_block();
            if records.is_empty() && bad.is_empty() {
                if self.at_end {
                    return Ok(None);
                }
                self.buffer.drain(..used);
                continue;
            }
            let block = self.parse(&records, bad)?;
            self.buffer.drain(..used);
            return Ok(Some(block));
        }
    }

    /// Splits every whole record of the buffer: the good ones, the bytes used, and the bad ones.
    fn split_block(&mut self) -> (Vec<Record>, usize, Vec<BadRecord>) {
        self.fields.clear();
        self.special = None;
        let (mut records, mut bad) = (Vec::new(), Vec::new());
        let mut position = 0;
        let valid = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        loop {
            // Line ends before a record (blank lines, or the second half of CR LF) belong to no record.
            while let Some(byte) = self.buffer.get(position).filter(|byte| matches!(byte, b'\r' | b'\n')) {
                self.line += i64::from(*byte == b'\n');
                position += 1;
            }
            if position == self.buffer.len() {
                break;
            }
            let mark = self.fields.mark();
            let (split, is_line) = self.split(position);
            let (taken, fault) = match split {
                Split::Record { taken, count } if count == self.width => {
                    let end = position + taken;
                    (taken, if end <= valid { None } else { self.no_text(position, taken) })
                }
                split => match self.second_look(position, split) {
                    Some(fault) => (fault.taken, Some(fault)),
                    None => {
                        self.fields.truncate(mark);
                        break;
                    }
                },
            };
            self.row += 1;
            let record = Record { row: self.row, line: self.line, start: position, end: position + taken };
            position += taken;
            self.line += match is_line && fault.is_none() {
                true => 1,
                false => lines(&self.buffer[record.start..position]),
            };
            match fault {
                None => records.push(record),
                Some(Fault { rule, value, .. }) => {
                    let raw = &self.buffer[record.start..record.end];
                    self.fields.truncate(mark);
                    bad.push(BadRecord::new(record.row, Some(record.line), None, rule, value, raw));
                }
            }
        }
        (records, position, bad)
    }

    /// Splits the record at `start`, appending its fields, and says whether it is known to be one line.
    fn split(&mut self, start: usize) -> (Split, bool) {
        let input = &self.buffer[start..];
        let special = match self.special.filter(|special| *special >= start) {
            Some(special) => special,
            None => self.dialect.special(input).map_or(self.buffer.len(), |place| start + place),
        };
        self.special = Some(special);
        let plain = self.dialect.split_plain(input, special - start, &mut self.fields);
        match plain {
            Some(split) => (split, true),
            None => (self.dialect.split(input, &mut self.fields), false),
        }
    }

    /// The fault of a record whose bytes are no text.
    fn no_text(&self, start: usize, taken: usize) -> Option<Fault> {
        let error = std::str::from_utf8(&self.buffer[start..start + taken]).err()?;
        let rule = if self.is_utf_8 { "invalid UTF-8" } else { "bytes that are no text of the encoding" };
        Some(Fault { taken, rule, value: error.to_string() })
    }

    /// What is wrong with the record at `start`, and how far it goes; `None` where more bytes are needed to tell.
    ///
    /// A quote that is not closed swallows the lines after its own: where one of them begins a record of the right
    /// width, only the line of the quote is put aside.
    fn second_look(&self, start: usize, split: Split) -> Option<Fault> {
        let input = &self.buffer[start..];
        let is_last = self.at_end || input.len() > LONGEST_RECORD;
        let end_after = |place: usize| match line_end(&input[place..]) {
            Some(end) => Some(place + end),
            None => is_last.then_some(input.len()),
        };
        let (taken, rule, value) = match split {
            Split::Record { taken, count } => {
                let value = format!("{count} fields where the file has {}", self.width);
                (taken, "wrong number of fields", value)
            }
            Split::Malformed { at } => {
                let rule = match at >= 2 && input[at - 2] == b'\\' && self.dialect.escape.is_none() {
                    true => {
                        "text after a closing quote: where \\\" is a quote of the text, set escape = \"\\\\\""
                    }
                    false => "text after a closing quote",
                };
                let shown = &input[at - 1..input.len().min(at + SHOWN)];
                let shown = &shown[..line_end(shown).unwrap_or(shown.len())];
                (end_after(at)?, rule, String::from_utf8_lossy(shown.trim_ascii_end()).into_owned())
            }
            Split::Unfinished if is_last => (end_after(0)?, "unclosed quote", String::new()),
            Split::Unfinished => return None,
        };
        let whole = Fault { taken, rule, value };
        let first_line = end_after(0)?;
        let mut next = first_line;
        for _ in 0..LINES_OF_LOOK {
            if next >= taken {
                return Some(whole);
            }
            match self.dialect.begins_record(&input[next..], self.width) {
                Some(true) => {
                    return Some(Fault { taken: first_line, rule: "unclosed quote", value: String::new() });
                }
                None if !is_last => return None,
                _ => next = end_after(next)?,
            }
        }
        Some(whole)
    }

    fn parse(&mut self, records: &[Record], mut bad: Vec<BadRecord>) -> Result<ParsedBlock> {
        let text = std::str::from_utf8(self.fields.text())
            .map_err(|error| Error::internal(format!("{}: checked text is not UTF-8: {error}", self.name)))?;
        let cell = |row: usize, field: usize| text.get(self.fields.span(row * self.width + field));
        let number = |row: usize| records[row].row;
        let assembled = assemble(&self.sets, records.len(), number, |_| None, cell, Vec::new())?;
        self.made += i64::try_from(bad.len() + assembled.rows).unwrap_or(i64::MAX);
        for fault in assembled.faults {
            let record = records[fault.row];
            let raw = &self.buffer[record.start..record.end];
            bad.push(BadRecord::new(
                record.row,
                Some(record.line),
                fault.column,
                fault.rule,
                fault.value,
                raw,
            ));
        }
        let mut repairs = assembled.repairs;
        if self.title_lines > 0 {
            repairs.push(("header", "lines before it skipped", std::mem::take(&mut self.title_lines)));
        }
        let (batch, records) = (assembled.batch, assembled.records);
        Ok(ParsedBlock { batch, records, quarantined: quarantined(&self.name, bad)?, repairs })
    }
}

/// The length of the first line with its line end, of which a carriage return alone is one; `None` without a line end.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let place = memchr2(b'\n', b'\r', bytes)?;
    Some(place + if bytes[place..].starts_with(b"\r\n") { 2 } else { 1 })
}

fn lines(bytes: &[u8]) -> i64 {
    i64::try_from(memchr_iter(b'\n', bytes).count()).unwrap_or(i64::MAX)
}
