//! Interchanges written: separators released, segments and messages counted.

use super::syntax::Syntax;

/// Writes an interchange into a buffer. Text that its character set lacks is not lost silently: each
/// character that cannot be written becomes `X`, as airlines' systems do.
#[derive(Debug, Clone)]
pub struct Writer {
    syntax: Syntax,
    bytes: Vec<u8>,
    interchange: String,
    message: String,
    segments: u64,
    messages: u64,
}

impl Writer {
    /// Begins an interchange with UNA and UNB. `identifier` is the syntax and its version, such as `UNOA:4`; `prepared`
    /// is a day and a time, such as `140202:0600`.
    #[must_use]
    pub fn new(
        syntax: Syntax,
        identifier: (&str, &str),
        sender: &str,
        recipient: &str,
        prepared: (&str, &str),
        reference: &str,
    ) -> Self {
        let mut writer = Self {
            syntax,
            bytes: syntax.advice().to_vec(),
            interchange: reference.to_owned(),
            message: String::new(),
            segments: 0,
            messages: 0,
        };
        writer.segment(
            "UNB",
            &[
                &[identifier.0, identifier.1],
                &[sender],
                &[recipient],
                &[prepared.0, prepared.1],
                &[reference],
            ],
        );
        writer
    }

    /// Begins a message: its reference, and what UNH names it, such as `["PAXLST", "D", "02B", "UN", "IATA"]`.
    pub fn begin(&mut self, reference: &str, kind: &[&str]) {
        reference.clone_into(&mut self.message);
        self.messages += 1;
        self.segments = 0;
        self.segment("UNH", &[&[reference], kind]);
    }

    /// A segment by its elements and their components. Empty ones at the end are left out.
    pub fn segment(&mut self, tag: &str, elements: &[&[&str]]) {
        self.segments += 1;
        self.bytes.extend_from_slice(tag.as_bytes());
        let last = elements.iter().rposition(|element| !is_empty(element)).map_or(0, |last| last + 1);
        for element in &elements[..last] {
            self.bytes.push(self.syntax.element);
            let last = element.iter().rposition(|component| !component.is_empty()).map_or(0, |last| last + 1);
            for (at, component) in element[..last].iter().enumerate() {
                if at > 0 {
                    self.bytes.push(self.syntax.component);
                }
                self.data(component);
            }
        }
        self.bytes.push(self.syntax.terminator);
    }

    /// Ends the message with UNT.
    pub fn end(&mut self) {
        let count = (self.segments + 1).to_string();
        let reference = std::mem::take(&mut self.message);
        self.segment("UNT", &[&[&count], &[&reference]]);
    }

    /// Ends the interchange with UNZ.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let count = self.messages.to_string();
        let reference = std::mem::take(&mut self.interchange);
        self.segment("UNZ", &[&[&count], &[&reference]]);
        self.bytes
    }

    fn data(&mut self, text: &str) {
        let Syntax { component, element, release, repetition, terminator, .. } = self.syntax;
        for letter in text.chars() {
            let mut space = [0; 4];
            let one: &str = letter.encode_utf8(&mut space);
            let Some(bytes) = self.syntax.characters.encode(one).filter(|_| !letter.is_control()) else {
                self.bytes.push(if letter.is_control() { b' ' } else { b'X' });
                continue;
            };
            let separates = bytes.len() == 1
                && ([component, element, terminator].contains(&bytes[0])
                    || release == Some(bytes[0])
                    || repetition == Some(bytes[0]));
            match (separates, release) {
                (true, Some(release)) => self.bytes.extend_from_slice(&[release, bytes[0]]),
                // Without a release character a separator cannot be data.
                (true, None) => self.bytes.push(b' '),
                (false, _) => self.bytes.extend_from_slice(&bytes),
            }
        }
    }
}

fn is_empty(element: &[&str]) -> bool {
    element.iter().all(|component| component.is_empty())
}
