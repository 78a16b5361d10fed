//! The reader: finds segments in a stream of bytes, and messages and interchanges in the segments.
//!
//! A service segment that closes what is open before its time (UNH in a message, UNB in an interchange, the end of the
//! input) is left in the buffer: first the open message is given as cut, then the open interchange, and then the
//! segment is read again. So each call gives one thing, and none is held beside the message.

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use super::{
    characters::CharacterSet,
    issue::{Issue, IssueKind},
    message::{Entry, Header, Interchange, Message},
    syntax::{Class, Syntax},
    tokens,
};

/// How much a reader holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a segment; at least 1024.
    pub segment: usize,
    /// Bytes of a message; at most 1 GiB.
    pub message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment: 1 << 20, message: 64 << 20 }
    }
}

/// What a reader gives.
#[derive(Debug)]
pub enum Event<'a> {
    /// A message, whole or cut.
    Message(&'a Message),
    /// An interchange has ended.
    End(InterchangeEnd),
}

/// An interchange after its last message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterchangeEnd {
    /// What UNB says.
    pub interchange: Arc<Interchange>,
    /// The messages that were given.
    pub messages: u64,
    /// What is wrong with its envelope.
    pub issues: Vec<Issue>,
}

/// Service segments that begin or end something.
const ENVELOPE: [&[u8]; 6] = [b"UNB", b"UNG", b"UNH", b"UNE", b"UNZ", b"UNA"];

/// A segment in the buffer.
pub(super) struct Found {
    /// Its bytes without the terminator.
    pub(super) bytes: Range<usize>,
    /// Where the next one begins.
    pub(super) next: usize,
    pub(super) issue: Option<IssueKind>,
}

/// The open interchange.
#[derive(Default)]
pub(super) struct Open {
    end: InterchangeEnd,
    groups: u64,
    /// The messages before the open group, and its reference.
    group: Option<(u64, String)>,
}

/// Reads messages. See the [module](super).
pub struct Reader<R> {
    pub(super) input: R,
    pub(super) limits: Limits,
    pub(super) buffer: Vec<u8>,
    /// What is not read yet begins here.
    pub(super) start: usize,
    /// The input's byte at `start`.
    pub(super) offset: u64,
    pub(super) ended: bool,
    pub(super) syntax: Syntax,
    pub(super) classes: [Class; 256],
    pub(super) interchange: Option<Open>,
    in_message: bool,
    given: bool,
    message: Message,
    /// Issues between interchanges, for the end of the next one.
    outside: Vec<Issue>,
    pub(super) advised: bool,
}

impl<R: Read> Reader<R> {
    /// A reader from the beginning of an input.
    pub fn new(input: R) -> Self {
        Self::with_limits(input, Limits::default())
    }

    /// A reader that holds other amounts at most.
    pub fn with_limits(input: R, limits: Limits) -> Self {
        let limits = Limits { segment: limits.segment.max(1024), message: limits.message.min(1 << 30) };
        let syntax = Syntax::default();
        Self {
            input,
            limits,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            ended: false,
            classes: syntax.classes(),
            syntax,
            interchange: None,
            in_message: false,
            given: false,
            message: Message::default(),
            outside: Vec::new(),
            advised: false,
        }
    }

    /// The next message, or the end of an interchange; `None` at the end of the input. Text outside of all
    /// interchanges is reported at the end of an interchange of no message.
    ///
    /// # Errors
    ///
    /// If the input cannot be read.
    #[allow(clippy::should_implement_trait, reason = "what is given borrows from the reader")]
    pub fn next(&mut self) -> io::Result<Option<Event<'_>>> {
        if std::mem::take(&mut self.given) {
            self.message.clear();
        }
        loop {
            let Some(found) = self.find()? else {
                if self.in_message {
                    return Ok(Some(self.cut("the input ends")));
                }
                if self.interchange.is_some() {
                    return Ok(Some(self.close_cut("the input ends")));
                }
                if self.outside.is_empty() {
                    return Ok(None);
                }
                let issues = std::mem::take(&mut self.outside);
                return Ok(Some(Event::End(InterchangeEnd { issues, ..InterchangeEnd::default() })));
            };
            let tag = self.tag(&found);
            let begins =
                if tag.starts_with(b"UN") { ENVELOPE.into_iter().find(|it| *it == tag) } else { None };
            if let (Some(envelope), true) = (begins, self.in_message) {
                let by = String::from_utf8_lossy(envelope).into_owned();
                return Ok(Some(self.cut(&format!("{by} begins"))));
            }
            if matches!(begins, Some(b"UNB" | b"UNA")) && self.interchange.is_some() {
                return Ok(Some(self.close_cut("another interchange begins")));
            }
            match (begins, tag.as_slice()) {
                (Some(b"UNA"), _) => self.advice(),
                (Some(b"UNB"), _) => self.open(found),
                (Some(b"UNZ"), _) if self.interchange.is_some() => return Ok(Some(self.close(found))),
                (Some(b"UNG" | b"UNE"), _) if self.interchange.is_some() => self.group(found),
                (Some(b"UNZ" | b"UNG" | b"UNE"), _) => self.skip(found),
                (None, _) if self.interchange.is_none() => self.skip(found),
                (_, b"UNT") => {
                    self.add(found, tag);
                    return Ok(Some(self.complete()));
                }
                _ => self.add(found, tag),
            }
        }
    }

    /// Reads UNA and its six characters.
    fn advice(&mut self) {
        let rest = &self.buffer[self.start + 3..];
        let mut six = [b' '; 6];
        for (to, from) in six.iter_mut().zip(rest) {
            *to = *from;
        }
        let mut length = 9.min(self.buffer.len() - self.start);
        let mut issue = None;
        if six[5] == 0x92 || rest.get(5..8) == Some(b"\xe2\x80\x99") {
            length = if six[5] == 0x92 { length } else { 11 };
            six[5] = b'\'';
            issue = Some((
                IssueKind::TypographicTerminator,
                "UNA names a typographic apostrophe; ' is read".to_owned(),
            ));
        }
        let syntax = Syntax::of_advice(six);
        if syntax.is_none() {
            let named = String::from_utf8_lossy(&six).into_owned();
            issue = Some((IssueKind::BadAdvice, format!("the separators \"{named}\" cannot be told apart")));
        }
        let offset = self.offset;
        self.outside.extend(issue.map(|(kind, detail)| envelope_issue(kind, "UNA", offset, detail)));
        self.set_syntax(syntax.unwrap_or_default());
        self.advised = true;
        self.consume(self.start + length);
    }

    /// Splits a segment that is no part of a message.
    fn envelope(&mut self, found: &Found) -> Message {
        let mut message = Message { syntax: self.syntax, ..Message::default() };
        let bytes = &self.buffer[found.bytes.clone()];
        let text = self.syntax.characters.decode(bytes).0;
        tokens::split(&mut message, &text, &self.classes);
        let pieces = (0, u32::try_from(message.pieces.len()).unwrap_or(u32::MAX));
        message.entries.push(Entry { tag: (0, 0), pieces, raw: (0, 0), offset: self.offset });
        message
    }

    /// UNB.
    fn open(&mut self, found: Found) {
        let advised = std::mem::take(&mut self.advised);
        let message = self.envelope(&found);
        let mut issues = std::mem::take(&mut self.outside);
        let Some(segment) = message.segment(1) else { return };
        let get = |element, component| segment.get(element, component).to_owned();
        let interchange = Interchange {
            syntax: get(1, 0),
            version: get(1, 1),
            sender: get(2, 0),
            recipient: get(3, 0),
            date: get(4, 0),
            time: get(4, 1),
            reference: get(5, 0),
            offset: self.offset,
        };
        let characters = CharacterSet::of(&interchange.syntax);
        if characters.is_none() {
            let detail =
                format!("{:?} is no identifier of a character set; ASCII is read", interchange.syntax);
            issues.push(envelope_issue(IssueKind::UnknownSyntax, "UNB", self.offset, detail));
        }
        issues.extend(found.issue.map(|kind| envelope_issue(kind, "UNB", self.offset, "UNB".to_owned())));
        let mut syntax = self.syntax;
        syntax.characters = characters.unwrap_or(CharacterSet::Ascii);
        // UNA says by a space that there is no repetition.
        if interchange.version.starts_with('4') && !advised && syntax.release.is_some() {
            syntax.repetition = Some(b'*');
        }
        self.set_syntax(syntax);
        let end = InterchangeEnd { interchange: Arc::new(interchange), messages: 0, issues };
        self.interchange = Some(Open { end, ..Open::default() });
        self.consume(found.next);
    }

    /// UNG and UNE.
    fn group(&mut self, found: Found) {
        let message = self.envelope(&found);
        let begins = self.buffer[found.bytes.clone()].starts_with(b"UNG");
        let offset = self.offset;
        self.consume(found.next);
        let (Some(segment), Some(open)) = (message.segment(1), &mut self.interchange) else { return };
        if begins {
            open.groups += 1;
            open.group = Some((open.end.messages, segment.get(5, 0).to_owned()));
            return;
        }
        let (before, reference) = open.group.take().unwrap_or_default();
        let messages = open.end.messages - before;
        let issues = &mut open.end.issues;
        count_issue(issues, "UNE", offset, segment.get(1, 0), messages);
        reference_issue(issues, "UNE", offset, segment.get(2, 0), &reference);
    }

    /// UNZ.
    fn close(&mut self, found: Found) -> Event<'_> {
        let message = self.envelope(&found);
        let mut open = self.interchange.take().unwrap_or_default();
        if let Some(segment) = message.segment(1) {
            let count = if open.groups > 0 { open.groups } else { open.end.messages };
            count_issue(&mut open.end.issues, "UNZ", self.offset, segment.get(1, 0), count);
            let reference = &open.end.interchange.reference;
            reference_issue(&mut open.end.issues, "UNZ", self.offset, segment.get(2, 0), reference);
        }
        open.end
            .issues
            .extend(found.issue.map(|kind| envelope_issue(kind, "UNZ", self.offset, String::new())));
        self.consume(found.next);
        self.set_syntax(Syntax::default());
        Event::End(open.end)
    }

    fn close_cut(&mut self, why: &str) -> Event<'_> {
        let mut open = self.interchange.take().unwrap_or_default();
        let detail = format!("{why} before UNZ");
        open.end.issues.push(envelope_issue(IssueKind::CutInterchange, "UNZ", self.offset, detail));
        self.set_syntax(Syntax::default());
        Event::End(open.end)
    }

    /// Text outside of an interchange.
    fn skip(&mut self, found: Found) {
        let bytes = &self.buffer[found.bytes.clone()];
        // Where a beginning stands within, it is read from there.
        let advice = memchr::memmem::find(bytes, b"UNA").filter(|at| *at > 0);
        let is_tag =
            |at: &usize| *at > 0 && bytes.get(*at + 3).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let header = memchr::memmem::find_iter(bytes, b"UNB").find(is_tag);
        let next = advice.into_iter().chain(header).min().map(|at| found.bytes.start + at);
        if self.outside.len() < MOST_OUTSIDE {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            let detail = format!("{shown:?} belongs to no interchange");
            self.outside.push(envelope_issue(IssueKind::OutsideInterchange, "", self.offset, detail));
        }
        self.consume(next.unwrap_or(found.next));
    }

    /// Adds a segment to the message, which begins with it if there is none.
    fn add(&mut self, found: Found, tag: [u8; 3]) {
        if !self.in_message {
            self.in_message = true;
            self.message.syntax = self.syntax;
            if let Some(open) = &mut self.interchange {
                self.message.interchange = Arc::clone(&open.end.interchange);
                open.end.messages += 1;
            }
        }
        let bytes = &self.buffer[found.bytes.clone()];
        let offset = self.offset;
        if self.message.raw.len() + bytes.len() > self.limits.message && tag != *b"UNT" {
            if !self.message.issues.iter().any(|issue| issue.kind == IssueKind::MessageTooLong) {
                let detail = format!("over {} bytes", self.limits.message);
                self.issue(IssueKind::MessageTooLong, offset, detail);
            }
            self.consume(found.next);
            return;
        }
        let (text, readable) = self.syntax.characters.decode(bytes);
        let message = &mut self.message;
        let (raw, pieces) = (message.raw.len(), message.pieces.len());
        message.raw.extend_from_slice(&self.buffer[self.start..found.next]);
        let lone = tokens::split(message, &text, &self.classes);
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let tag_piece = message.pieces[pieces];
        let (start, end) = (tag_piece.start as usize, tag_piece.end as usize);
        let tag_length = message.text[start..end].trim_end().len();
        let entry = Entry {
            tag: (tag_piece.start, place(start + tag_length)),
            pieces: (place(pieces), place(message.pieces.len())),
            raw: (place(raw), place(raw + found.bytes.len())),
            offset,
        };
        message.entries.push(entry);
        let shown = &message.text[start..start + tag_length];
        let is_tag = shown.len() == 3 && shown.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !is_tag {
            let detail: String = shown.chars().take(20).collect();
            self.issue(IssueKind::BadTag, offset, format!("{detail:?} is no tag"));
        }
        if !readable {
            let identifier = self.message.interchange.syntax.clone();
            self.issue(IssueKind::CharacterSet, offset, format!("bytes that {identifier} does not have"));
        }
        if lone {
            self.issue(IssueKind::LoneRelease, offset, "the segment ends in a release character".to_owned());
        }
        if let Some(kind) = found.issue {
            self.issue(
                kind,
                offset,
                "the segment's end was found by the next tag, the limit or the end".to_owned(),
            );
        }
        if self.message.entries.len() == 1 {
            self.begin(tag);
        }
        self.consume(found.next);
    }

    /// Reads the header from the first segment.
    fn begin(&mut self, tag: [u8; 3]) {
        let Some(segment) = self.message.segment(1) else { return };
        if tag == *b"UNH" {
            let get = |element, component| segment.get(element, component).to_owned();
            self.message.header = Header {
                reference: get(1, 0),
                kind: get(2, 0),
                version: get(2, 1),
                release: get(2, 2),
                agency: get(2, 3),
                access: get(3, 0),
                transfer: get(4, 1),
            };
            return;
        }
        let kind = match &tag {
            b"BGM" | b"NAD" | b"TDT" => "PAXLST",
            b"MSG" | b"ORG" | b"TVL" | b"EQN" | b"SRC" | b"RCI" => "PNRGOV",
            _ => "",
        };
        self.message.header.kind = kind.to_owned();
        self.issue(IssueKind::MissingHeader, self.offset, "the message begins without UNH".to_owned());
    }

    fn issue(&mut self, kind: IssueKind, offset: u64, detail: String) {
        let segment = u32::try_from(self.message.entries.len()).unwrap_or(u32::MAX);
        let tag = self.message.segment(segment).map_or(String::new(), |segment| segment.tag().to_owned());
        self.message.issues.push(Issue { kind, segment, offset, tag, detail });
    }

    fn cut(&mut self, why: &str) -> Event<'_> {
        self.in_message = false;
        self.given = true;
        self.issue(IssueKind::CutMessage, self.offset, format!("{why} before UNT"));
        Event::Message(&self.message)
    }

    /// Checks UNT.
    fn complete(&mut self) -> Event<'_> {
        self.in_message = false;
        self.given = true;
        let count = u32::try_from(self.message.entries.len()).unwrap_or(u32::MAX);
        let mut issues = Vec::new();
        if let Some(segment) = self.message.segment(count) {
            let stated = segment.get(1, 0);
            if stated.parse() != Ok(count) {
                let detail = format!("UNT counts {stated:?} segments; there are {count}");
                issues.push(segment.issue(IssueKind::SegmentCount, detail));
            }
            let (stated, reference) = (segment.get(2, 0), &self.message.header.reference);
            if stated != reference {
                let detail = format!("UNT has the reference {stated:?}, UNH {reference:?}");
                issues.push(segment.issue(IssueKind::Reference, detail));
            }
        }
        self.message.issues.extend(issues);
        Event::Message(&self.message)
    }
}

/// Most findings of text outside of interchanges that are kept until the next interchange.
const MOST_OUTSIDE: usize = 100;

fn envelope_issue(kind: IssueKind, tag: &str, offset: u64, detail: String) -> Issue {
    Issue { kind, segment: 0, offset, tag: tag.to_owned(), detail }
}

fn count_issue(issues: &mut Vec<Issue>, tag: &str, offset: u64, stated: &str, count: u64) {
    if stated.parse() != Ok(count) {
        let detail = format!("{tag} counts {stated:?}; there are {count}");
        issues.push(envelope_issue(IssueKind::MessageCount, tag, offset, detail));
    }
}

fn reference_issue(issues: &mut Vec<Issue>, tag: &str, offset: u64, stated: &str, reference: &str) {
    if stated != reference {
        let detail = format!("{tag} has the reference {stated:?}, the beginning {reference:?}");
        issues.push(envelope_issue(IssueKind::Reference, tag, offset, detail));
    }
}
