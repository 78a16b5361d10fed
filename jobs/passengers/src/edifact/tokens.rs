//! A segment's text split at its separators, with release characters and line breaks taken out.

use super::{
    message::{Message, Piece, Place},
    syntax::Class,
};

/// The elements, repetitions and components before where the tokenizer stands in a segment.
#[derive(Default, Clone, Copy)]
struct Counts {
    element: u16,
    repetition: u16,
    component: u16,
}

impl Counts {
    #[inline]
    fn after(&mut self, separator: Class) {
        match separator {
            Class::Element => {
                *self = Self { element: self.element.saturating_add(1), ..Self::default() };
            }
            Class::Repetition => {
                self.repetition = self.repetition.saturating_add(1);
                self.component = 0;
            }
            _ => self.component = self.component.saturating_add(1),
        }
    }
}

/// Adds a segment's text and pieces to a message; says whether a release character releases nothing.
#[inline]
pub(super) fn split(message: &mut Message, text: &str, classes: &[Class; 256]) -> bool {
    let pieces = message.pieces.len();
    let base = message.text.len();
    let mut counts = Counts::default();
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let class = classes[usize::from(byte)];
        match class {
            Class::Data => {}
            Class::Release | Class::LineBreak => {
                message.pieces.truncate(pieces);
                return split_released(message, text, classes);
            }
            separator => {
                push(message, base + start, base + at, counts);
                counts.after(separator);
                start = at + 1;
            }
        }
    }
    push(message, base + start, base + text.len(), counts);
    message.text.push_str(text);
    false
}

/// The same where characters have to be taken out.
fn split_released(message: &mut Message, text: &str, classes: &[Class; 256]) -> bool {
    let mut counts = Counts::default();
    let mut start = message.text.len();
    // What is not copied yet begins here; all special characters are ASCII, so that each is a boundary of characters.
    let mut copied = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let class = classes[usize::from(bytes[at])];
        if class == Class::Data {
            at += 1;
            continue;
        }
        message.text.push_str(&text[copied..at]);
        at += 1;
        copied = at;
        match class {
            Class::LineBreak => {}
            Class::Release => {
                // A wrapped line can part the release character from what it releases.
                while bytes.get(at).is_some_and(|byte| classes[usize::from(*byte)] == Class::LineBreak) {
                    at += 1;
                }
                copied = at;
                let Some(released) = text[at..].chars().next() else {
                    push(message, start, message.text.len(), counts);
                    return true;
                };
                at += released.len_utf8();
            }
            separator => {
                let end = message.text.len();
                push(message, start, end, counts);
                counts.after(separator);
                start = end;
            }
        }
    }
    message.text.push_str(&text[copied..]);
    push(message, start, message.text.len(), counts);
    false
}

#[inline]
fn push(message: &mut Message, start: usize, end: usize, counts: Counts) {
    let Counts { element, repetition, component } = counts;
    let offset = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    let place = Place::new(element, repetition, component);
    message.pieces.push(Piece { start: offset(start), end: offset(end), place });
}
