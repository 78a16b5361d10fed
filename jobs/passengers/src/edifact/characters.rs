//! The character sets that UNB names (code list 0001), and text decoded from them.

use std::borrow::Cow;

use encoding_rs::{
    Encoding, ISO_2022_JP, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7,
    ISO_8859_8, ISO_8859_15, UTF_8, WINDOWS_1252, WINDOWS_1254,
};

/// How the text of an interchange is encoded.
///
/// ISO 8859-1 and 8859-9 are read as their supersets of Windows, which senders use under these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CharacterSet {
    /// UNOA, UNOB and IATA's own: ASCII. Other bytes are read as UTF-8 or, if they are not, as Windows-1252.
    Ascii,
    /// UNOC to UNOK and UNOL: a part of ISO 8859.
    Single(&'static Encoding),
    /// UNOX: escape sequences of ISO 2022, in which a separator's byte can be half of a character.
    Iso2022,
    /// UNOW and UNOY: ISO 10646, as UTF-8.
    Utf8,
}

impl CharacterSet {
    /// The set of a syntax identifier; `None` for one that is in no list.
    #[must_use]
    pub fn of(identifier: &str) -> Option<Self> {
        Some(match identifier {
            "UNOA" | "UNOB" | "IATA" | "IATB" => Self::Ascii,
            "UNOC" => Self::Single(WINDOWS_1252),
            "UNOD" => Self::Single(ISO_8859_2),
            "UNOE" => Self::Single(ISO_8859_5),
            "UNOF" => Self::Single(ISO_8859_7),
            "UNOG" => Self::Single(ISO_8859_3),
            "UNOH" => Self::Single(ISO_8859_4),
            "UNOI" => Self::Single(ISO_8859_6),
            "UNOJ" => Self::Single(ISO_8859_8),
            "UNOK" => Self::Single(WINDOWS_1254),
            "UNOL" => Self::Single(ISO_8859_15),
            "UNOX" => Self::Iso2022,
            "UNOW" | "UNOY" => Self::Utf8,
            _ => return None,
        })
    }

    /// The text of bytes, and whether all of them are of the set.
    #[must_use]
    #[inline]
    pub fn decode(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        if self != Self::Iso2022
            && bytes.is_ascii()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return (Cow::Borrowed(text), true);
        }
        let by = |encoding: &'static Encoding| {
            let (text, unreadable) = encoding.decode_without_bom_handling(bytes);
            (text, !unreadable)
        };
        match self {
            Self::Ascii => match std::str::from_utf8(bytes) {
                Ok(text) => (Cow::Borrowed(text), false),
                Err(_) => (by(WINDOWS_1252).0, false),
            },
            Self::Single(encoding) => by(encoding),
            Self::Iso2022 => by(ISO_2022_JP),
            Self::Utf8 => by(UTF_8),
        }
    }

    /// The bytes of text; `None` if the set lacks one of its characters.
    #[must_use]
    pub fn encode(self, text: &str) -> Option<Cow<'_, [u8]>> {
        let by = |encoding: &'static Encoding| {
            let (bytes, _, unmappable) = encoding.encode(text);
            (!unmappable).then_some(bytes)
        };
        match self {
            Self::Ascii => text.is_ascii().then_some(Cow::Borrowed(text.as_bytes())),
            Self::Single(encoding) => by(encoding),
            Self::Iso2022 => by(ISO_2022_JP),
            Self::Utf8 => Some(Cow::Borrowed(text.as_bytes())),
        }
    }
}
