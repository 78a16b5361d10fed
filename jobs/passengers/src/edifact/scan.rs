//! Segments found in the stream of bytes: the buffer, terminators that are released or lost, and where the next segment
//! begins.

use std::io::{self, Read};

use memchr::{memchr, memchr3};

use super::{
    characters::CharacterSet,
    issue::IssueKind,
    reader::{Found, Reader},
    syntax::Syntax,
};

/// Bytes that are asked for at once.
const CHUNK: usize = 1 << 16;

impl<R: Read> Reader<R> {
    /// Finds the next segment and leaves it in the buffer.
    #[inline]
    pub(super) fn find(&mut self) -> io::Result<Option<Found>> {
        loop {
            self.skip_blanks();
            if self.buffer.len() - self.start >= 16 || self.ended {
                break;
            }
            self.fill()?;
        }
        if self.start == self.buffer.len() {
            return Ok(None);
        }
        if self.interchange.is_none() && !self.advised {
            self.guess_separators();
        }
        if self.buffer[self.start..].starts_with(b"UNA") {
            return Ok(Some(Found { bytes: self.start..self.start + 3, next: self.start + 3, issue: None }));
        }
        if let Some(found) = self.plain() {
            return Ok(Some(found));
        }
        let mut scanned = 0;
        loop {
            let most = self.start + self.limits.segment;
            if let Some(end) = self.terminator(self.start + scanned).filter(|end| *end <= most) {
                return Ok(Some(self.shortened(end, end + 1, None)));
            }
            let length = self.buffer.len() - self.start;
            if length > self.limits.segment {
                return Ok(Some(self.shortened(most, most, Some(IssueKind::SegmentTooLong))));
            }
            if self.ended {
                let end = self.buffer.len();
                return Ok(Some(self.shortened(end, end, Some(IssueKind::MissingTerminator))));
            }
            scanned = if self.syntax.characters == CharacterSet::Iso2022 { 0 } else { length };
            self.fill()?;
        }
    }

    /// The next segment, where its terminator is in the buffer and neither released nor behind a line break.
    #[inline]
    fn plain(&self) -> Option<Found> {
        let rest = &self.buffer[self.start..];
        let length = memchr3(self.syntax.terminator, b'\r', b'\n', rest)?;
        let is_released = length > 0 && Some(rest[length - 1]) == self.syntax.release;
        let is_plain = rest[length] == self.syntax.terminator
            && !is_released
            && length <= self.limits.segment
            && self.syntax.characters != CharacterSet::Iso2022;
        let end = self.start + length;
        is_plain.then_some(Found { bytes: self.start..end, next: end + 1, issue: None })
    }

    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        let rest = &self.buffer[self.start..];
        let mut blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == 0).count();
        if rest[blanks..].starts_with(b"\xef\xbb\xbf") {
            blanks += 3;
        }
        self.start += blanks;
        self.offset += blanks as u64;
    }

    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(length + read.as_ref().copied().unwrap_or(0));
        self.ended = read? == 0;
        Ok(())
    }

    /// The place of the next terminator that is not released, from a place on.
    #[inline]
    pub(super) fn terminator(&self, mut from: usize) -> Option<usize> {
        if self.syntax.characters == CharacterSet::Iso2022 {
            return self.terminator_in_iso_2022(from);
        }
        loop {
            let at = from + memchr(self.syntax.terminator, &self.buffer[from..])?;
            let before = &self.buffer[self.start..at];
            let is_release = |byte: &&u8| Some(**byte) == self.syntax.release;
            if before.iter().rev().take_while(is_release).count() % 2 == 0 {
                return Some(at);
            }
            from = at + 1;
        }
    }

    /// The same where bytes between `ESC $` and `ESC (` are halves of characters.
    pub(super) fn terminator_in_iso_2022(&self, from: usize) -> Option<usize> {
        let bytes = &self.buffer[from..];
        let (mut at, mut double) = (0, false);
        while at < bytes.len() {
            match bytes[at] {
                0x1b => {
                    double = bytes.get(at + 1) == Some(&b'$');
                    at += 2;
                }
                byte if !double && Some(byte) == self.syntax.release => at += 1,
                byte if !double && byte == self.syntax.terminator => return Some(from + at),
                _ => {}
            }
            at += 1;
        }
        None
    }

    /// The segment up to an end, or to where a terminator before it was lost: at a typographic apostrophe or a line
    /// break with a tag after it.
    #[inline]
    pub(super) fn shortened(&self, end: usize, next: usize, issue: Option<IssueKind>) -> Found {
        let bytes = &self.buffer[self.start..end];
        let mut passed = 0;
        for at in memchr::memchr2_iter(b'\r', b'\n', bytes) {
            // The blanks after one break are looked at once, however many breaks are among them.
            if at < passed {
                continue;
            }
            let after = bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            passed = at + after;
            if !self.begins_segment(&bytes[passed..]) {
                continue;
            }
            let before = bytes[..at].trim_ascii_end();
            let typographic =
                [b"\xe2\x80\x99".as_slice(), b"\x92"].into_iter().find_map(|it| before.strip_suffix(it));
            let (length, issue) = match typographic {
                Some(before) => (before.len(), IssueKind::TypographicTerminator),
                None => (before.len(), IssueKind::MissingTerminator),
            };
            let next = self.start + passed;
            return Found { bytes: self.start..self.start + length, next, issue: Some(issue) };
        }
        Found { bytes: self.start..end, next, issue }
    }

    pub(super) fn begins_segment(&self, bytes: &[u8]) -> bool {
        bytes.len() > 3
            && bytes[..3].iter().all(u8::is_ascii_uppercase)
            && bytes[3] == self.syntax.element
            && KNOWN_TAGS.contains(&&bytes[..3])
    }

    #[inline]
    pub(super) fn tag(&self, found: &Found) -> [u8; 3] {
        let bytes = &self.buffer[found.bytes.clone()];
        match bytes {
            [a, b, c, rest @ ..] => {
                let ends = rest.iter().find(|byte| **byte != b' ');
                let separated =
                    ends.is_none_or(|byte| [self.syntax.element, self.syntax.component].contains(byte));
                if separated || [*a, *b, *c] == *b"UNA" { [*a, *b, *c] } else { [0; 3] }
            }
            _ => [0; 3],
        }
    }

    /// The separators of an interchange that has no UNA.
    pub(super) fn guess_separators(&mut self) {
        let rest = &self.buffer[self.start..];
        if rest.starts_with(b"UNB") {
            let syntax = if rest.get(3) == Some(&0x1d) { Syntax::level_b() } else { Syntax::default() };
            self.set_syntax(syntax);
        }
    }

    pub(super) fn set_syntax(&mut self, syntax: Syntax) {
        self.syntax = syntax;
        self.classes = syntax.classes();
    }

    #[inline]
    pub(super) fn consume(&mut self, next: usize) {
        self.offset += (next - self.start) as u64;
        self.start = next;
    }
}

/// Tags after which a lost terminator is recognised.
const KNOWN_TAGS: [&[u8]; 48] = [
    b"ABI", b"ADD", b"APD", b"ATT", b"BGM", b"CNT", b"COM", b"CPI", b"DAT", b"DOC", b"DTM", b"EBD", b"EMP",
    b"EQN", b"FAR", b"FOP", b"FTI", b"FTX", b"GEI", b"IFT", b"LOC", b"LTS", b"MEA", b"MON", b"MSG", b"NAD",
    b"NAT", b"ORG", b"PTK", b"RCI", b"REF", b"RFF", b"RPI", b"SAC", b"SRC", b"SSD", b"SSR", b"TBD", b"TDT",
    b"TIF", b"TKT", b"TRA", b"TRI", b"TVL", b"TXD", b"UNT", b"UNE", b"UNZ",
];
