//! The separators of an interchange: the defaults, and those that the service string advice (UNA) names.

use super::characters::CharacterSet;

/// What a byte is to the tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    Data,
    Component,
    Element,
    Repetition,
    Release,
    LineBreak,
}

/// The separators of an interchange. All are ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// Between the components of an element.
    pub component: u8,
    /// Between the elements of a segment.
    pub element: u8,
    /// The mark of decimals.
    pub decimal: u8,
    /// Makes the next character data; level B without UNA has none.
    pub release: Option<u8>,
    /// Between the repetitions of an element; none before version 4, unless UNA names it.
    pub repetition: Option<u8>,
    /// Ends a segment.
    pub terminator: u8,
    /// How text is encoded.
    pub characters: CharacterSet,
}

impl Default for Syntax {
    fn default() -> Self {
        Self {
            component: b':',
            element: b'+',
            decimal: b'.',
            release: Some(b'?'),
            repetition: None,
            terminator: b'\'',
            characters: CharacterSet::Ascii,
        }
    }
}

impl Syntax {
    /// The separators of level B, which are no printable characters and need no release (ISO 9735, versions 1 to 3).
    #[must_use]
    pub fn level_b() -> Self {
        Self { component: 0x1f, element: 0x1d, release: None, terminator: 0x1c, ..Self::default() }
    }

    /// The separators that the six characters after `UNA` name; `None` if they cannot be told apart from each other or
    /// from data. A space is no release character and no repetition separator.
    #[must_use]
    pub fn of_advice(advice: [u8; 6]) -> Option<Self> {
        let [component, element, decimal, release, repetition, terminator] = advice;
        let unless_space = |byte: u8| (byte != b' ').then_some(byte);
        let syntax = Self {
            component,
            element,
            decimal,
            release: unless_space(release),
            repetition: unless_space(repetition),
            terminator,
            characters: CharacterSet::Ascii,
        };
        let mut separators: Vec<u8> = [component, element, terminator]
            .into_iter()
            .chain(syntax.release)
            .chain(syntax.repetition)
            .collect();
        let usable = separators
            .iter()
            .all(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b" \r\n".contains(byte));
        let count = separators.len();
        separators.sort_unstable();
        separators.dedup();
        (usable && separators.len() == count).then_some(syntax)
    }

    /// UNA with its six characters.
    #[must_use]
    pub fn advice(&self) -> [u8; 9] {
        let or_space = |byte: Option<u8>| byte.unwrap_or(b' ');
        [
            b'U',
            b'N',
            b'A',
            self.component,
            self.element,
            self.decimal,
            or_space(self.release),
            or_space(self.repetition),
            self.terminator,
        ]
    }

    /// The class of every byte.
    pub(super) fn classes(&self) -> [Class; 256] {
        let mut classes = [Class::Data; 256];
        classes[usize::from(b'\r')] = Class::LineBreak;
        classes[usize::from(b'\n')] = Class::LineBreak;
        if let Some(repetition) = self.repetition {
            classes[usize::from(repetition)] = Class::Repetition;
        }
        if let Some(release) = self.release {
            classes[usize::from(release)] = Class::Release;
        }
        classes[usize::from(self.component)] = Class::Component;
        classes[usize::from(self.element)] = Class::Element;
        classes
    }
}
