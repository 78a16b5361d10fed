//! What is wrong with a message, and where. Nothing of a message is dropped because of an issue.

use std::fmt;

/// What does not follow the standard, or contradicts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IssueKind {
    /// The service string advice repeats a separator or names a letter or digit; the default separators are used.
    BadAdvice,
    /// A typographic apostrophe stands where the segment terminator belongs.
    TypographicTerminator,
    /// A segment ends without its terminator.
    MissingTerminator,
    /// A tag is not three capital letters or digits.
    BadTag,
    /// A segment is longer than the limit and was cut.
    SegmentTooLong,
    /// A message is longer than the limit; its later segments were dropped.
    MessageTooLong,
    /// The last character is a release character, which releases nothing.
    LoneRelease,
    /// Bytes that the character set of the interchange does not have.
    CharacterSet,
    /// An unknown identifier of the character set or version of the syntax.
    UnknownSyntax,
    /// Text that belongs to no interchange.
    OutsideInterchange,
    /// Segments that belong to no message (no UNH).
    MissingHeader,
    /// The message ends without UNT.
    CutMessage,
    /// The interchange ends without UNZ.
    CutInterchange,
    /// UNT counts other segments than there are.
    SegmentCount,
    /// UNZ or UNE counts other messages or groups than there are.
    MessageCount,
    /// The reference at the end is not that at the beginning.
    Reference,
    /// CNT counts other travellers than there are.
    TravellerCount,
    /// A segment that the message type does not have; it is kept as text.
    UnknownSegment,
    /// A segment stands where it has no meaning; it is kept as text.
    MisplacedSegment,
    /// A code that is in no list that we know; it is kept as it stands.
    UnknownCode,
    /// A date or time that does not exist; it is left empty.
    BadDate,
    /// A number that cannot be read; it is left empty.
    BadNumber,
    /// Two birth dates of one traveller.
    BirthDates,
    /// A value stands in the place of another one; it was read as what it is.
    MisplacedValue,
    /// A value that must be there is not.
    MissingValue,
    /// A name that stands for one that was not known at the booking.
    PlaceholderName,
}

impl IssueKind {
    /// A word for tables and reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BadAdvice => "bad-advice",
            Self::TypographicTerminator => "typographic-terminator",
            Self::MissingTerminator => "missing-terminator",
            Self::BadTag => "bad-tag",
            Self::SegmentTooLong => "segment-too-long",
            Self::MessageTooLong => "message-too-long",
            Self::LoneRelease => "lone-release",
            Self::CharacterSet => "character-set",
            Self::UnknownSyntax => "unknown-syntax",
            Self::OutsideInterchange => "outside-interchange",
            Self::MissingHeader => "missing-header",
            Self::CutMessage => "cut-message",
            Self::CutInterchange => "cut-interchange",
            Self::SegmentCount => "segment-count",
            Self::MessageCount => "message-count",
            Self::Reference => "reference",
            Self::TravellerCount => "traveller-count",
            Self::UnknownSegment => "unknown-segment",
            Self::MisplacedSegment => "misplaced-segment",
            Self::UnknownCode => "unknown-code",
            Self::BadDate => "bad-date",
            Self::BadNumber => "bad-number",
            Self::BirthDates => "birth-dates",
            Self::MisplacedValue => "misplaced-value",
            Self::MissingValue => "missing-value",
            Self::PlaceholderName => "placeholder-name",
        }
    }
}

/// Something wrong, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// What is wrong.
    pub kind: IssueKind,
    /// The segment's number in its message, UNH being 1; 0 for the envelope around messages.
    pub segment: u32,
    /// The byte of the input at which the segment begins, from 0.
    pub offset: u64,
    /// The segment's tag.
    pub tag: String,
    /// What was found and, where there is one, what was expected.
    pub detail: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, segment, offset, tag, detail } = self;
        write!(f, "segment {segment} ({tag}) at byte {offset}: {}: {detail}", kind.word())
    }
}
