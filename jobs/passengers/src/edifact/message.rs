//! A message with its segments split into elements and components, in a few flat vectors that are used again for the
//! next message.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{
    issue::{Issue, IssueKind},
    syntax::Syntax,
};

/// What UNB says of all messages of an interchange.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interchange {
    /// Identifier of the character set, such as `UNOA`.
    pub syntax: String,
    /// Version of the syntax, such as `4`.
    pub version: String,
    /// Who sent it.
    pub sender: String,
    /// Who is to get it.
    pub recipient: String,
    /// Day of preparation as it stands: YYMMDD or CCYYMMDD.
    pub date: String,
    /// Time of preparation as it stands: HHMM.
    pub time: String,
    /// Control reference, repeated in UNZ.
    pub reference: String,
    /// The byte of the input at which UNB begins.
    pub offset: u64,
}

/// What UNH says of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Reference number, repeated in UNT.
    pub reference: String,
    /// Message type: `PAXLST`, `PNRGOV`; guessed from the segments if there is no UNH.
    pub kind: String,
    /// Version, such as `D` or, for PNRGOV, `11`.
    pub version: String,
    /// Release, such as `02B` or, for PNRGOV, `1`.
    pub release: String,
    /// Controlling agency, such as `UN` or `IA`.
    pub agency: String,
    /// What the message has in common with others of its transfer.
    pub access: String,
    /// The first part of several is `C`, the last `F`; empty for a message in one piece.
    pub transfer: String,
}

/// The place of a component in its segment: element, repetition and component in one number, so that places compare in
/// the order of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

impl Place {
    #[inline]
    pub(super) fn new(element: u16, repetition: u16, component: u16) -> Self {
        Self(u64::from(element) << 32 | u64::from(repetition) << 16 | u64::from(component))
    }

    /// Element, repetition and component.
    #[inline]
    fn parts(self) -> [u16; 3] {
        [32, 16, 0].map(|bits| u16::try_from(self.0 >> bits & 0xffff).unwrap_or(u16::MAX))
    }

    #[inline]
    fn element(self) -> u16 {
        self.parts()[0]
    }
}

/// A token of a segment: a component at its place. The pieces of a segment are in the order of their places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) place: Place,
}

/// A segment in the vectors of its message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) tag: (u32, u32),
    pub(super) pieces: (u32, u32),
    pub(super) raw: (u32, u32),
    pub(super) offset: u64,
}

/// A message: its segments from UNH to UNT, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// What UNH says.
    pub header: Header,
    /// What UNB says.
    pub interchange: Arc<Interchange>,
    /// The separators it was written with.
    pub syntax: Syntax,
    /// What is wrong with its form.
    pub issues: Vec<Issue>,
    pub(super) text: String,
    pub(super) raw: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    pub(super) pieces: Vec<Piece>,
}

impl Message {
    /// The segments in their order, UNH and UNT among them.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = Segment<'_>> {
        self.entries.iter().enumerate().map(|(index, entry)| self.of_entry(index, entry))
    }

    /// The segment of a number, UNH being 1.
    #[must_use]
    pub fn segment(&self, number: u32) -> Option<Segment<'_>> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Some(self.of_entry(index, self.entries.get(index)?))
    }

    #[inline]
    fn of_entry(&self, index: usize, entry: &Entry) -> Segment<'_> {
        let (start, end) = entry.pieces;
        let pieces = &self.pieces[start as usize..end as usize];
        Segment { message: self, index, pieces, skipped: 0, glued: None }
    }

    /// The bytes as they were read, terminators and all.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The byte of the input at which it begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.offset)
    }

    /// Whether it has no segment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.header = Header::default();
        self.issues.clear();
        self.text.clear();
        self.raw.clear();
        self.entries.clear();
        self.pieces.clear();
    }
}

/// A segment. Elements and components are counted as the standard prints them: the element after the tag is 1, its
/// first component is 0.
#[derive(Clone, Copy)]
pub struct Segment<'a> {
    message: &'a Message,
    index: usize,
    pieces: &'a [Piece],
    /// The elements before, of a segment whose end was lost.
    skipped: u16,
    /// The tag of what was glued to such a segment.
    glued: Option<&'static str>,
}

impl<'a> Segment<'a> {
    #[inline]
    fn entry(&self) -> Entry {
        self.message.entries[self.index]
    }

    #[inline]
    fn text(&self, piece: &Piece) -> &'a str {
        let text = &self.message.text[piece.start as usize..piece.end as usize];
        match text.as_bytes() {
            [] => text,
            // Between two of these nothing is to be trimmed, as in nearly every component.
            [byte] | [byte, .., _] if !byte.is_ascii_graphic() => text.trim(),
            [.., byte] if !byte.is_ascii_graphic() => text.trim(),
            _ => text,
        }
    }

    /// The pieces of an element.
    #[inline]
    fn element(&self, element: u16) -> &'a [Piece] {
        let element = element.saturating_add(self.skipped);
        let before = self.pieces.iter().take_while(|piece| piece.place.element() < element).count();
        let from = &self.pieces[before..];
        &from[..from.iter().take_while(|piece| piece.place.element() == element).count()]
    }

    /// The tag, such as `NAD`.
    #[must_use]
    #[inline]
    pub fn tag(&self) -> &'a str {
        if let Some(tag) = self.glued {
            return tag;
        }
        let (start, end) = self.entry().tag;
        &self.message.text[start as usize..end as usize]
    }

    /// Its number in the message, UNH being 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        u32::try_from(self.index + 1).unwrap_or(u32::MAX)
    }

    /// The byte of the input at which it begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.entry().offset
    }

    /// A component without the spaces around it; empty if it is not there.
    #[must_use]
    #[inline]
    pub fn get(&self, element: u16, component: u16) -> &'a str {
        self.repeated(element, 0, component)
    }

    /// A component of a repetition of an element, the first being 0.
    #[must_use]
    #[inline]
    pub fn repeated(&self, element: u16, repetition: u16, component: u16) -> &'a str {
        let place = Place::new(element.saturating_add(self.skipped), repetition, component);
        let found = self.pieces.iter().find(|piece| piece.place >= place);
        found.filter(|piece| piece.place == place).map_or("", |piece| self.text(piece))
    }

    /// The number of its last element: that of elements after the tag.
    #[must_use]
    pub fn elements(&self) -> u16 {
        self.pieces.last().map_or(0, |piece| piece.place.element().saturating_sub(self.skipped))
    }

    /// The components of an element, those of its repetitions among them.
    pub fn components(&self, element: u16) -> impl Iterator<Item = &'a str> + use<'a> {
        let segment = *self;
        self.element(element).iter().map(move |piece| segment.text(piece))
    }

    /// Every element with its repetitions and components, in their order.
    pub fn all(&self) -> impl Iterator<Item = (u16, u16, u16, &'a str)> + use<'a> {
        let segment = *self;
        self.pieces.iter().filter_map(move |piece| {
            let [element, repetition, component] = piece.place.parts();
            Some((element.checked_sub(segment.skipped)?, repetition, component, segment.text(piece)))
        })
    }

    /// The components from one on, joined by the component separator: text in which the separator stood unreleased.
    #[must_use]
    pub fn rest(&self, element: u16, from: u16) -> Cow<'a, str> {
        let pieces = self.element(element).get(usize::from(from)..).unwrap_or_default();
        if let [] | [_] = pieces {
            return Cow::Borrowed(pieces.first().map_or("", |piece| self.text(piece)));
        }
        let mut text = String::new();
        for (at, piece) in pieces.iter().enumerate() {
            if at > 0 {
                text.push(char::from(self.message.syntax.component));
            }
            text.push_str(self.text(piece));
        }
        Cow::Owned(text)
    }

    /// The segment of a tag that was glued to the end of an element, because the terminator before it was lost.
    #[must_use]
    pub fn tail(&self, element: u16, tag: &'static str) -> Self {
        Self { skipped: self.skipped.saturating_add(element), glued: Some(tag), ..*self }
    }

    /// The text as it was read, without the terminator.
    #[must_use]
    pub fn raw(&self) -> String {
        let (start, end) = self.entry().raw;
        let bytes = &self.message.raw[start as usize..end as usize];
        self.message.syntax.characters.decode(bytes).0.into_owned()
    }

    /// An issue at this segment.
    #[must_use]
    pub fn issue(&self, kind: IssueKind, detail: impl Into<String>) -> Issue {
        Issue {
            kind,
            segment: self.number(),
            offset: self.offset(),
            tag: self.tag().to_owned(),
            detail: detail.into(),
        }
    }
}

impl fmt::Debug for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.number(), self.raw())
    }
}
