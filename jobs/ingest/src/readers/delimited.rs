//! Delimited text (RFC 4180): records are split at the delimiters where nothing is quoted, and by `csv-core` elsewhere.
//!
//! A block is read, its whole records are split into fields, and the rest of the last record stays in the buffer for
//! the next block. The splitter is reset at the first record of each block, so that the result does not depend on where
//! blocks end. Memory holds one block, or one record where that is longer, up to [`LONGEST_RECORD`]. Start at
//! [`Delimited::new`].

use std::sync::Arc;

use arrow::datatypes::Schema;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use encoding_rs::WINDOWS_1252;
use memchr::{memchr, memchr_iter, memchr2};
use tidewaiter_core::{Error, Result};

use super::source::Bytes;
use crate::{
    block::ParsedBlock,
    cells::{Nulls, Rules, assemble},
    mapping::{Encoding, Mapping},
    quarantine::{BadRecord, quarantined},
};

/// The longest record, in bytes: a longer one is a quote that is never closed.
const LONGEST_RECORD: usize = 16 << 20;

/// The place of a record: its number and line in the file, and its bytes in the buffer.
#[derive(Clone, Copy)]
struct Record {
    row: i64,
    line: i64,
    start: usize,
    end: usize,
}

/// A reader of delimited text, block by block.
pub(super) struct Delimited {
    name: String,
    bytes: Bytes,
    latin1: bool,
    block_size: usize,
    splitter: Reader,
    delimiter: u8,
    quote: u8,
    rules: Rules,
    width: usize,
    buffer: Vec<u8>,
    chunk: Vec<u8>,
    at_end: bool,
    row: i64,
    line: i64,
    /// The text of the fields of the block's good records, one after the other, and where each field ends. Both vectors
    /// are longer than what is used of them.
    fields: Vec<u8>,
    fields_used: usize,
    ends: Vec<usize>,
    ends_used: usize,
    /// The first quote or carriage return in the buffer, at or after the record for which it was searched.
    special: Option<usize>,
}

enum Split {
    /// A whole record: its bytes in the buffer, the line ends in them, and the number of its fields.
    Record { taken: usize, lines: i64, count: usize },
    /// The buffer ends before the record does.
    Unfinished,
}

impl Delimited {
    pub(super) fn new(name: &str, bytes: Bytes, mapping: &Mapping, block_size: usize) -> Result<Self> {
        let byte = |character: char| u8::try_from(character).unwrap_or(b',');
        let (delimiter, quote) = (byte(mapping.file.delimiter), byte(mapping.file.quote));
        let mut splitter = ReaderBuilder::new();
        splitter.delimiter(delimiter).quote(quote);
        let mut new = Self {
            name: name.to_owned(),
            bytes,
            latin1: mapping.file.encoding == Encoding::Latin1,
            block_size: block_size.max(1),
            splitter: splitter.build(),
            delimiter,
            quote,
            rules: Rules { columns: Vec::new(), schema: Arc::new(Schema::empty()), nulls: Nulls::default() },
            width: 0,
            buffer: Vec::new(),
            chunk: Vec::new(),
            at_end: false,
            row: 0,
            line: 1,
            fields: Vec::new(),
            fields_used: 0,
            ends: Vec::new(),
            ends_used: 0,
            special: None,
        };
        new.read_header(mapping)?;
        Ok(new)
    }

    fn read_header(&mut self, mapping: &Mapping) -> Result<()> {
        let name = self.name.clone();
        // Enough to recognise a binary file and a byte order mark, whatever the block size.
        while self.buffer.len() < 4096 && !self.at_end {
            self.fill(4096)?;
        }
        if self.buffer.contains(&0) {
            return Err(Error::input(format!("{name} is not delimited text: it holds NUL bytes")));
        }
        if self.buffer.starts_with(&[0xef, 0xbb, 0xbf]) {
            self.buffer.drain(..3);
        }
        let (taken, lines, count) = loop {
            self.restart();
            match self.split(0) {
                Split::Record { taken, lines, count } => break (taken, lines, count),
                Split::Unfinished if self.at_end => {
                    let blank = self.buffer.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
                    let what = if blank { "holds no records" } else { "opens a quote that is never closed" };
                    return Err(Error::input(format!("{name} {what}")));
                }
                Split::Unfinished => self.fill_more()?,
            }
        };
        let mapped = mapping.named_sources().len();
        if count == 1 && mapped > 1 {
            return Err(Error::input(format!(
                "{name} has a single column where the mapping names {}: it is not text delimited by {:?}; \
                 check `delimiter` in the mapping",
                mapped, mapping.file.delimiter
            )));
        }
        self.width = count;
        let columns: Vec<String> = if mapping.file.header {
            let mut start = 0;
            let field = |&end: &usize| {
                let field = &self.fields[start..end];
                start = end;
                String::from_utf8_lossy(field).trim().to_owned()
            };
            self.ends[..count].iter().map(field).collect()
        } else {
            (1..=count).map(|position| position.to_string()).collect()
        };
        self.rules = mapping.rules_for(&name, &columns)?;
        if mapping.file.header {
            self.line += lines;
            self.buffer.drain(..taken);
        }
        Ok(())
    }

    /// Reads more bytes into the buffer; at the end of the file ends the last record by a line end.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        let length = if self.latin1 {
            self.chunk.clear();
            let length = self.bytes.fill(&mut self.chunk, wanted)?;
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(&self.chunk);
            self.buffer.extend_from_slice(text.as_bytes());
            length
        } else {
            self.bytes.fill(&mut self.buffer, wanted)?
        };
        if length < wanted {
            self.at_end = true;
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    /// Reads a block, or for a record that is longer than the buffer as much as doubles it.
    fn fill_more(&mut self) -> Result<()> {
        if self.buffer.len() > LONGEST_RECORD {
            return Err(Error::input(format!(
                "{} has a record of more than {} MiB at line {}: a quote is opened and never closed",
                self.name,
                LONGEST_RECORD >> 20,
                self.line
            )));
        }
        self.fill(self.block_size.max(self.buffer.len()))
    }

    /// Resets the splitter to the start of a record. It is given a line end first, after which it takes no bytes for a
    /// byte order mark.
    fn restart(&mut self) {
        self.splitter.reset();
        let _ = self.splitter.read_record(b"\n", &mut [], &mut []);
        self.fields_used = 0;
        self.ends_used = 0;
        self.special = None;
    }

    /// Splits the record at `start`, appending its fields.
    fn split(&mut self, start: usize) -> Split {
        self.split_plain(start).unwrap_or_else(|| self.split_quoted(start))
    }

    /// Splits a record that is one line without a quote; `None` where it is not.
    fn split_plain(&mut self, start: usize) -> Option<Split> {
        let input = &self.buffer[start..];
        let taken = memchr(b'\n', input)? + 1;
        let line = &input[..taken - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let special = match self.special.filter(|special| *special >= start) {
            Some(special) => special,
            None => memchr2(self.quote, b'\r', input).map_or(self.buffer.len(), |place| start + place),
        };
        self.special = Some(special);
        // A carriage return also ends a record, and there may be blank lines before the first one.
        if line.is_empty() || special < start + line.len() {
            return None;
        }
        if self.fields.len() < self.fields_used + line.len() {
            self.fields.resize(self.fields_used + line.len().max(4096), 0);
        }
        let (mut from, mut count) = (0, 0);
        for to in memchr_iter(self.delimiter, line).chain([line.len()]) {
            let field = &line[from..to];
            let end = self.fields_used + field.len();
            self.fields[self.fields_used..end].copy_from_slice(field);
            if self.ends.len() == self.ends_used {
                self.ends.resize(self.ends_used + 4096, 0);
            }
            self.ends[self.ends_used] = end;
            (self.fields_used, self.ends_used) = (end, self.ends_used + 1);
            (from, count) = (to + 1, count + 1);
        }
        Some(Split::Record { taken, lines: 1, count })
    }

    /// Splits any record.
    fn split_quoted(&mut self, start: usize) -> Split {
        let (fields_base, ends_base) = (self.fields_used, self.ends_used);
        let (mut taken, mut length, mut count) = (0, 0, 0);
        let input = &self.buffer[start..];
        while taken < input.len() {
            if self.fields.len() < fields_base + length + 1024 {
                self.fields.resize(fields_base + length + 4096.max(length), 0);
            }
            if self.ends.len() < ends_base + count + 64 {
                self.ends.resize(ends_base + count + 256.max(count), 0);
            }
            let (result, read, wrote, ended) = self.splitter.read_record(
                &input[taken..],
                &mut self.fields[fields_base + length..],
                &mut self.ends[ends_base + count..],
            );
            taken += read;
            length += wrote;
            count += ended;
            let record = match result {
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => continue,
                ReadRecordResult::Record => Split::Record { taken, lines: newlines(&input[..taken]), count },
                ReadRecordResult::InputEmpty | ReadRecordResult::End => Split::Unfinished,
            };
            self.fields_used += length;
            self.ends_used += count;
            for end in &mut self.ends[ends_base..self.ends_used] {
                *end += fields_base;
            }
            return record;
        }
        Split::Unfinished
    }

    /// Data records read so far.
    pub(super) fn read(&self) -> i64 {
        self.row
    }

    pub(super) fn next_block(&mut self) -> Result<Option<ParsedBlock>> {
        loop {
            if !self.at_end {
                self.fill_more()?;
            }
            let (records, used, bad) = self.split_block()?;
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
    fn split_block(&mut self) -> Result<(Vec<Record>, usize, Vec<BadRecord>)> {
        self.restart();
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
            // Without bytes the splitter would report the end of the text.
            if position == self.buffer.len() {
                break;
            }
            let (fields_base, ends_base) = (self.fields_used, self.ends_used);
            let split = self.split(position);
            let (taken, lines, fault) = match split {
                Split::Unfinished if self.at_end && position < self.buffer.len() => {
                    let rest = &self.buffer[position..];
                    (rest.len(), newlines(rest), Some(("unclosed quote", String::new())))
                }
                Split::Unfinished => break,
                Split::Record { taken, lines, count } if count != self.width => {
                    let value = format!("{count} fields where the file has {}", self.width);
                    (taken, lines, Some(("wrong number of fields", value)))
                }
                Split::Record { taken, lines, .. } if position + taken <= valid => (taken, lines, None),
                Split::Record { taken, lines, .. } => {
                    let text = std::str::from_utf8(&self.buffer[position..position + taken]);
                    (taken, lines, text.err().map(|error| ("invalid UTF-8", error.to_string())))
                }
            };
            self.row += 1;
            let record = Record { row: self.row, line: self.line, start: position, end: position + taken };
            self.line += lines;
            match fault {
                None => records.push(record),
                Some((rule, value)) => {
                    let raw = &self.buffer[record.start..record.end];
                    self.fields_used = fields_base;
                    self.ends_used = ends_base;
                    bad.push(BadRecord::new(record.row, Some(record.line), None, rule, value, raw));
                }
            }
            position += taken;
        }
        // The fields of an unfinished record are dropped: it is split again with the next block.
        self.ends_used = records.len() * self.width;
        self.fields_used = self.ends[..self.ends_used].last().copied().unwrap_or(0);
        Ok((records, position, bad))
    }

    fn parse(&self, records: &[Record], mut bad: Vec<BadRecord>) -> Result<ParsedBlock> {
        let text = std::str::from_utf8(&self.fields[..self.fields_used])
            .map_err(|error| Error::internal(format!("{}: checked text is not UTF-8: {error}", self.name)))?;
        let cell = |row: usize, field: usize| {
            let place = row * self.width + field;
            let start = if place == 0 { 0 } else { self.ends[place - 1] };
            text.get(start..self.ends[place])
        };
        let (batch, faults) = assemble(&self.rules, records.len(), |row| records[row].row, |_| None, cell)?;
        for fault in faults {
            let record = records[fault.row];
            let raw = &self.buffer[record.start..record.end];
            bad.push(BadRecord::new(
                record.row,
                Some(record.line),
                Some(fault.column),
                fault.rule,
                fault.value,
                raw,
            ));
        }
        Ok(ParsedBlock { batch, quarantined: quarantined(&self.name, bad)? })
    }
}

fn newlines(bytes: &[u8]) -> i64 {
    i64::try_from(memchr_iter(b'\n', bytes).count()).unwrap_or(i64::MAX)
}
