//! What files hold, one after the other: messages, records of CSV files, and what is neither.
//!
//! A file is EDIFACT or, where it begins with `<`, IATA's XML, plain or compressed by gzip; with a mapping it is what the
//! mapping says. The identity of a message is the digest of its bytes, so that the same message is known wherever it
//! comes again. Both passes of an ingest read files by [`read`], and so count the same units.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use arrow::array::{Array, AsArray};
use flate2::bufread::MultiGzDecoder;
use tidewaiter_archive::schema::Layout;
use tidewaiter_core::{Error, Result, ResultExt, threads::check};
use tidewaiter_ingest::{ExportReader, Mapping, ParsedBlock};

use super::{
    digest::first_64_bits,
    forms::{Outcome, Table, digests},
};
use crate::{
    edifact::{Event, IssueKind, Message, Reader},
    pnr_xml,
    records::{Issue, Records},
    table::{LISTS, MESSAGES, OUTCOME_LISTS, OUTCOMES},
};

/// Bytes that are kept of the raw text of what is refused.
const RAW_BYTES: usize = 64 << 10;

/// What files hold.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// Messages.
    Messages,
    /// Records of travellers.
    Lists(Box<Mapping>),
    /// Records of inspections.
    Outcomes(Box<Mapping>),
}

impl Form {
    /// The form of files of a mapping; without one they hold messages.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a text that is no mapping of travellers or inspections.
    pub(super) fn of(mapping: &str) -> Result<Self> {
        if mapping.is_empty() {
            return Ok(Self::Messages);
        }
        let mapping = Mapping::parse(mapping, &[&LISTS, &OUTCOME_LISTS])?;
        Ok(match mapping.layout().table == LISTS.table {
            true => Self::Lists(Box::new(mapping)),
            false => Self::Outcomes(Box::new(mapping)),
        })
    }

    /// The table that has a row for each message or record, with its identity.
    pub(super) fn layout(&self) -> &'static Layout {
        match self {
            Self::Messages | Self::Lists(_) => &MESSAGES,
            Self::Outcomes(_) => &OUTCOMES,
        }
    }

    /// What quarantined rows say that they were for.
    pub(super) fn table(&self) -> &'static str {
        match self {
            Self::Messages => MESSAGES.table,
            Self::Lists(mapping) | Self::Outcomes(mapping) => mapping.layout().table,
        }
    }

    /// The reporting country that a mapping names.
    pub(super) fn country(&self) -> Option<&str> {
        match self {
            Self::Messages => None,
            Self::Lists(mapping) | Self::Outcomes(mapping) => Some(&mapping.file.country),
        }
    }
}

/// Something that a file holds.
pub(super) enum Unit<'a> {
    /// A message.
    Message { id: u64, kind: &'static str, message: &'a Message, damage: Option<&'a Issue> },
    /// A record of a traveller.
    Record { id: u64, row: i64, records: Box<Records> },
    /// A record of an inspection.
    Outcome { id: u64, outcome: Outcome },
    /// Something of which no row can be made.
    Refused(Refused),
    /// What is wrong around messages.
    Envelope(Vec<Issue>),
}

/// Something that is put aside, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// Its record, or the byte at which it begins.
    pub(super) number: i64,
    pub(super) line: Option<i64>,
    pub(super) column: Option<String>,
    pub(super) rule: String,
    pub(super) value: String,
    pub(super) raw: String,
}

impl Refused {
    /// Something that begins at a byte of a file.
    pub(super) fn at_byte(offset: u64, rule: &str, value: String, raw: &[u8]) -> Self {
        let raw = String::from_utf8_lossy(&raw[..raw.len().min(RAW_BYTES)]).into_owned();
        let number = i64::try_from(offset).unwrap_or(i64::MAX);
        Self { number, rule: rule.to_owned(), value, raw, ..Self::default() }
    }
}

/// Reads a file, and gives what it holds in its order.
///
/// # Errors
/// When the file cannot be read; those of `take`.
pub(super) fn read(path: &str, form: &Form, take: &mut impl FnMut(Unit<'_>) -> Result<()>) -> Result<()> {
    match form {
        Form::Messages => read_messages(path, take),
        Form::Lists(mapping) => read_table(path, mapping, take, |table, id, row, number| {
            Ok(Unit::Record { id, row: number, records: Box::new(table.records(row)?) })
        }),
        Form::Outcomes(mapping) => read_table(path, mapping, take, |table, id, row, _| {
            Ok(Unit::Outcome { id, outcome: table.outcome(row)? })
        }),
    }
}

fn read_messages(path: &str, take: &mut impl FnMut(Unit<'_>) -> Result<()>) -> Result<()> {
    let doing = || format!("read {path}");
    let mut file = BufReader::with_capacity(1 << 16, File::open(Path::new(path)).context(doing)?);
    let is_gzip = file.fill_buf().context(doing)?.starts_with(&[0x1f, 0x8b]);
    let mut input: Box<dyn BufRead> = match is_gzip {
        true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
        false => Box::new(file),
    };
    let start = match input.fill_buf() {
        Ok(start) => start,
        Err(error) if is_gzip => return take(Unit::Refused(damaged(0, &error))),
        Err(error) => return Err(error).context(doing),
    };
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let mut found = Found { path, is_gzip, count: 0 };
    match text.first() {
        None => take(Unit::Refused(Refused::at_byte(0, "the file is empty", String::new(), b""))),
        Some(b'<') => {
            let translation = pnr_xml::translate(input);
            let damage = translation.damage.map(|(offset, detail)| Issue {
                kind: IssueKind::CutMessage,
                segment: 0,
                offset,
                tag: String::new(),
                detail: format!("the XML cannot be read further: {detail}"),
            });
            found.messages(translation.message.as_slice(), "PNR-XML", damage.as_ref(), take)
        }
        Some(_) => found.messages(input, "", None, take),
    }
}

/// What was found of a file so far.
struct Found<'a> {
    path: &'a str,
    is_gzip: bool,
    count: u64,
}

impl Found<'_> {
    /// Gives the messages of a stream; `kind` is what they are, or else what they say they are.
    fn messages(
        &mut self,
        input: impl Read,
        kind: &'static str,
        damage: Option<&Issue>,
        take: &mut impl FnMut(Unit<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut reader = Reader::new(input);
        let mut last = 0;
        loop {
            check()?;
            match reader.next() {
                Ok(Some(Event::Message(message))) => {
                    self.count += 1;
                    last = message.offset();
                    let id = first_64_bits(message.raw());
                    take(Unit::Message { id, kind: kind_of(kind, message), message, damage })?;
                }
                Ok(Some(Event::End(end))) => {
                    let is_outside = |issue: &Issue| issue.kind == IssueKind::OutsideInterchange;
                    let (outside, issues): (Vec<Issue>, Vec<Issue>) =
                        end.issues.into_iter().partition(is_outside);
                    self.outside(outside, take)?;
                    if !issues.is_empty() {
                        take(Unit::Envelope(issues))?;
                    }
                }
                Ok(None) => break,
                Err(error) if self.is_gzip => {
                    self.count += 1;
                    take(Unit::Refused(damaged(last, &error)))?;
                    break;
                }
                Err(error) => return Err(error).context(|| format!("read {}", self.path)),
            }
        }
        if self.count == 0 {
            let rule = "it holds no message: neither UNB nor UNH nor XML";
            take(Unit::Refused(Refused::at_byte(0, rule, String::new(), b"")))?;
        }
        Ok(())
    }

    fn outside(&mut self, outside: Vec<Issue>, take: &mut impl FnMut(Unit<'_>) -> Result<()>) -> Result<()> {
        for issue in outside {
            self.count += 1;
            let raw = issue.detail.clone();
            let value = format!("byte {}", issue.offset);
            take(Unit::Refused(Refused::at_byte(
                issue.offset,
                "text outside of all interchanges",
                value,
                raw.as_bytes(),
            )))?;
        }
        Ok(())
    }
}

fn damaged(offset: u64, error: &io::Error) -> Refused {
    Refused::at_byte(
        offset,
        "the file is cut off or damaged: its gzip stream does not end as it should",
        error.to_string(),
        b"",
    )
}

/// What a message is, in the word of the tables.
fn kind_of(kind: &'static str, message: &Message) -> &'static str {
    match (kind, message.header.kind.as_str()) {
        ("", "PAXLST") => "PAXLST",
        ("", "PNRGOV") => "PNRGOV",
        (kind, _) => kind,
    }
}

/// Gives the records of a file of a mapping, in their order.
fn read_table<'u>(
    path: &str,
    mapping: &Mapping,
    take: &mut impl FnMut(Unit<'_>) -> Result<()>,
    unit: impl Fn(&Table<'_>, u64, usize, i64) -> Result<Unit<'u>>,
) -> Result<()> {
    let mut reader = ExportReader::open(Path::new(path), mapping)?;
    while let Some(ParsedBlock { batch, records, quarantined, .. }) = reader.next_block()? {
        check()?;
        let numbers = records.as_primitive_opt::<arrow::datatypes::Int64Type>();
        let number = |row: usize| numbers.map_or(0, |numbers| numbers.value(row));
        let ids = digests(&batch)?;
        let table = Table::new(&batch)?;
        for (row, id) in ids.into_iter().enumerate() {
            take(unit(&table, id, row, number(row))?)?;
        }
        for refused in refused(&quarantined)? {
            take(Unit::Refused(refused))?;
        }
    }
    Ok(())
}

/// The records that an export reader put aside.
fn refused(rows: &arrow::array::RecordBatch) -> Result<Vec<Refused>> {
    let wrong = || Error::internal("records that are put aside lack a column");
    let text = |name: &str| {
        rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).ok_or_else(wrong)
    };
    let number = |name: &str| {
        let column = rows.column_by_name(name);
        column.and_then(|column| column.as_primitive_opt::<arrow::datatypes::Int64Type>()).ok_or_else(wrong)
    };
    let (numbers, lines) = (number("row_number")?, number("line")?);
    let (columns, rules, values, raws) = (text("column")?, text("rule")?, text("value")?, text("raw")?);
    let of = |row: usize| Refused {
        number: numbers.value(row),
        line: lines.is_valid(row).then(|| lines.value(row)),
        column: columns.is_valid(row).then(|| columns.value(row).to_owned()),
        rule: rules.value(row).to_owned(),
        value: values.value(row).to_owned(),
        raw: raws.value(row).to_owned(),
    };
    Ok((0..rows.num_rows()).map(of).collect())
}
