//! The splitting of delimited text into records and fields (RFC 4180), strictly: nothing but white space may follow a
//! closing quote. Start at [`Dialect::split`].

use memchr::{memchr, memchr_iter, memchr2, memchr3};

/// How fields are delimited and quoted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    /// The byte that takes the meaning from the next one.
    pub(super) escape: Option<u8>,
}

/// The text of fields, one after the other, and where each ends. Both vectors are longer than what is used of them.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: Vec<u8>,
    text_used: usize,
    ends: Vec<usize>,
    ends_used: usize,
}

/// The result of splitting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// A whole record: its bytes with the line end, and the number of its fields.
    Record { taken: usize, count: usize },
    /// The text ends before the record does.
    Unfinished,
    /// Text follows a closing quote, at this place.
    Malformed { at: usize },
}

/// What takes the fields of a record.
trait Sink {
    fn push(&mut self, text: &[u8]);
    fn end(&mut self);
}

impl Sink for Fields {
    fn push(&mut self, text: &[u8]) {
        self.reserve(text.len());
        let end = self.text_used + text.len();
        self.text[self.text_used..end].copy_from_slice(text);
        self.text_used = end;
    }

    fn end(&mut self) {
        if self.ends.len() == self.ends_used {
            self.ends.resize(self.ends_used + 4096, 0);
        }
        self.ends[self.ends_used] = self.text_used;
        self.ends_used += 1;
    }
}

/// Counts fields only.
struct Count;

impl Sink for Count {
    fn push(&mut self, _: &[u8]) {}
    fn end(&mut self) {}
}

impl Fields {
    fn reserve(&mut self, more: usize) {
        if self.text.len() < self.text_used + more {
            self.text.resize(self.text_used + more.max(4096).max(self.text_used / 2), 0);
        }
    }

    pub(super) fn clear(&mut self) {
        self.truncate((0, 0));
    }

    /// How much is used: bytes and fields.
    pub(super) fn mark(&self) -> (usize, usize) {
        (self.text_used, self.ends_used)
    }

    /// Drops what was added after a mark.
    pub(super) fn truncate(&mut self, (text, ends): (usize, usize)) {
        self.text_used = text;
        self.ends_used = ends;
    }

    /// The text of all fields.
    pub(super) fn text(&self) -> &[u8] {
        &self.text[..self.text_used]
    }

    /// Where a field begins and ends in the text.
    pub(super) fn span(&self, field: usize) -> std::ops::Range<usize> {
        let start = if field == 0 { 0 } else { self.ends[field - 1] };
        start..self.ends[field]
    }
}

impl Dialect {
    /// The first byte of `input` that is not plain: a quote, an escape or a carriage return.
    pub(super) fn special(&self, input: &[u8]) -> Option<usize> {
        match self.escape {
            Some(escape) => memchr3(self.quote, b'\r', escape, input),
            None => memchr2(self.quote, b'\r', input),
        }
    }

    /// Splits a record that is one line and has no special byte before `special`, appending its fields; `None` where it
    /// is not.
    pub(super) fn split_plain(&self, input: &[u8], special: usize, fields: &mut Fields) -> Option<Split> {
        let taken = memchr(b'\n', input)? + 1;
        let line = &input[..taken - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A carriage return also ends a record, and there may be blank lines before the first one.
        if line.is_empty() || special < line.len() {
            return None;
        }
        fields.reserve(line.len());
        let (mut from, mut count) = (0, 0);
        for to in memchr_iter(self.delimiter, line).chain([line.len()]) {
            let field = &line[from..to];
            let end = fields.text_used + field.len();
            fields.text[fields.text_used..end].copy_from_slice(field);
            fields.text_used = end;
            fields.end();
            (from, count) = (to + 1, count + 1);
        }
        Some(Split::Record { taken, count })
    }

    /// Splits any record at the start of `input`, appending its fields. What was appended of one that is no whole
    /// record is for the caller to drop.
    pub(super) fn split(&self, input: &[u8], fields: &mut Fields) -> Split {
        self.scan::<false>(input, fields)
    }

    /// Whether a record of so many fields begins at the start of `input`, without a quote in an unquoted field.
    pub(super) fn begins_record(&self, input: &[u8], width: usize) -> Option<bool> {
        match self.scan::<true>(input, &mut Count) {
            Split::Record { count, .. } => Some(count == width),
            Split::Malformed { .. } => Some(false),
            Split::Unfinished => None,
        }
    }

    /// Splits a record; `STRICT`: a quote in an unquoted field is malformed, too.
    fn scan<const STRICT: bool>(&self, input: &[u8], sink: &mut impl Sink) -> Split {
        let (mut at, mut count) = (0, 0);
        loop {
            let field = match input.get(at) {
                None => return Split::Unfinished,
                Some(byte) if *byte == self.quote => self.quoted(input, at + 1, sink),
                Some(_) => self.unquoted::<STRICT>(input, at, sink),
            };
            let end = match field {
                Ok(end) => end,
                Err(split) => return split,
            };
            sink.end();
            count += 1;
            at = end + 1;
            if input[end] != self.delimiter {
                return Split::Record { taken: at, count };
            }
        }
    }

    /// Reads a field after its opening quote; gives the place of the delimiter or line end after it.
    fn quoted(&self, input: &[u8], mut at: usize, sink: &mut impl Sink) -> Result<usize, Split> {
        loop {
            let rest = input.get(at..).ok_or(Split::Unfinished)?;
            let found = match self.escape {
                Some(escape) => memchr2(self.quote, escape, rest),
                None => memchr(self.quote, rest),
            };
            let place = at + found.ok_or(Split::Unfinished)?;
            sink.push(&input[at..place]);
            let next = *input.get(place + 1).ok_or(Split::Unfinished)?;
            if Some(input[place]) == self.escape {
                sink.push(&[self.unescaped(next)]);
                at = place + 2;
            } else if next == self.quote {
                sink.push(&[self.quote]);
                at = place + 2;
            } else {
                let blank = |byte: &&u8| **byte == b' ' || **byte == b'\t' && self.delimiter != b'\t';
                let blanks = input[place + 1..].iter().take_while(blank).count();
                let end = place + 1 + blanks;
                return match input.get(end) {
                    None => Err(Split::Unfinished),
                    Some(byte) if self.ends_field(*byte) => Ok(end),
                    Some(_) => Err(Split::Malformed { at: place + 1 }),
                };
            }
        }
    }

    /// Reads a field without quotes; gives the place of the delimiter or line end after it.
    fn unquoted<const STRICT: bool>(
        &self,
        input: &[u8],
        mut at: usize,
        sink: &mut impl Sink,
    ) -> Result<usize, Split> {
        let start = at;
        loop {
            let rest = input.get(at..).ok_or(Split::Unfinished)?;
            let end = at + memchr3(self.delimiter, b'\n', b'\r', rest).ok_or(Split::Unfinished)?;
            let escape =
                self.escape.and_then(|escape| memchr(escape, &input[at..end])).map(|place| at + place);
            let text = &input[at..escape.unwrap_or(end)];
            if STRICT && memchr(self.quote, text).is_some() {
                return Err(Split::Malformed { at });
            }
            let Some(escape) = escape else {
                sink.push(text);
                return Ok(end);
            };
            let next = *input.get(escape + 1).ok_or(Split::Unfinished)?;
            sink.push(text);
            // `\N` alone is how databases write null.
            let is_null = escape == start
                && next == b'N'
                && input.get(escape + 2).is_none_or(|byte| self.ends_field(*byte));
            match is_null {
                true => sink.push(&input[escape..escape + 2]),
                false => sink.push(&[self.unescaped(next)]),
            }
            at = escape + 2;
        }
    }

    /// The byte that an escaped one stands for.
    fn unescaped(&self, byte: u8) -> u8 {
        match byte {
            _ if self.escape != Some(b'\\') => byte,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            byte => byte,
        }
    }

    fn ends_field(&self, byte: u8) -> bool {
        byte == self.delimiter || byte == b'\n' || byte == b'\r'
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RFC: Dialect = Dialect { delimiter: b',', quote: b'"', escape: None };
    const MYSQL: Dialect = Dialect { escape: Some(b'\\'), ..RFC };

    fn fields(dialect: Dialect, text: &str) -> Result<Vec<String>, Split> {
        let mut fields = Fields::default();
        match dialect.split(text.as_bytes(), &mut fields) {
            Split::Record { count, .. } => Ok((0..count)
                .map(|field| String::from_utf8_lossy(&fields.text()[fields.span(field)]).into_owned())
                .collect()),
            other => Err(other),
        }
    }

    #[test]
    fn fields_are_those_of_rfc_4180_and_no_others() {
        let read = |text: &str| fields(RFC, text);
        assert_eq!(
            read("1,\"a \"\"b\"\",\nc\",2\r\n"),
            Ok(vec!["1".into(), "a \"b\",\nc".into(), "2".into()])
        );
        assert_eq!(
            read("Drum 24\" wide,\"x\" \t,\n"),
            Ok(vec!["Drum 24\" wide".into(), "x".into(), String::new()])
        );
        assert_eq!(read("\"Bolt \\\"M8\\\"\",1\n"), Err(Split::Malformed { at: 8 }));
        assert_eq!(read("\"24\" drum\",1\n"), Err(Split::Malformed { at: 4 }));
        assert_eq!(read("\"open,1\n"), Err(Split::Unfinished));
        assert_eq!((read("\"a\""), read("")), (Err(Split::Unfinished), Err(Split::Unfinished)));
    }

    #[test]
    fn an_escape_takes_the_meaning_from_the_next_byte() {
        let read = |text: &str| fields(MYSQL, text);
        assert_eq!(
            read("\"Bolt \\\"M8\\\", zinc\",\\N\n"),
            Ok(vec!["Bolt \"M8\", zinc".into(), "\\N".into()])
        );
        assert_eq!(read("\"path C:\\\\\",a\\,b\n"), Ok(vec!["path C:\\".into(), "a,b".into()]));
        assert_eq!(
            read("\\Nx,two\\nlines,\"q\"\"q\"\n"),
            Ok(vec!["Nx".into(), "two\nlines".into(), "q\"q".into()])
        );
        assert_eq!(read("a\\"), Err(Split::Unfinished));
    }

    proptest! {
        #[test]
        fn quoted_texts_are_read_back(texts in prop::collection::vec("[a,\"\\\\\n\ré ]{0,8}", 1..5)) {
            let quoted = |escape: bool| {
                let quoted = texts.iter().map(|text| match escape {
                    true => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                    false => format!("\"{}\"", text.replace('"', "\"\"")),
                });
                quoted.collect::<Vec<_>>().join(",") + "\n"
            };
            prop_assert_eq!(fields(RFC, &quoted(false)), Ok(texts.clone()));
            prop_assert_eq!(fields(MYSQL, &quoted(true)), Ok(texts.clone()));
        }

        #[test]
        fn plain_lines_are_split_alike(line in "[a-c,é ]{1,30}", end in "\r?\n") {
            let (mut plain, mut any) = (Fields::default(), Fields::default());
            let text = format!("{line}{end}");
            let found = RFC.split_plain(text.as_bytes(), text.len(), &mut plain).expect("is plain");
            let Split::Record { count, .. } = RFC.split(text.as_bytes(), &mut any) else {
                panic!("a record");
            };
            prop_assert_eq!(found, Split::Record { taken: text.len(), count });
            prop_assert_eq!(plain.text(), any.text());
            prop_assert!((0..count).all(|field| plain.span(field) == any.span(field)));
        }

        #[test]
        fn no_text_panics(text in "[ab,\"\\\\\n\r ]{0,40}", width in 0_usize..4) {
            for dialect in [RFC, MYSQL] {
                let _ = (fields(dialect, &text), dialect.begins_record(text.as_bytes(), width));
            }
        }
    }
}
