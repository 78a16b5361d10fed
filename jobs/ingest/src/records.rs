//! A small delimited text as a whole: a nomenclature, a list of descriptions.
//!
//! It has the forms of an export: a byte order mark or an encoding, a delimiter, a line `sep=;`. A delimiter that is not
//! given is the one of comma, semicolon, tab and bar that is most frequent in the first line. Start at [`records`].

use std::io::Read;

use csv_core::{ReadFieldResult, ReaderBuilder};
use memchr::memchr_iter;
use tidewaiter_core::{Error, Result};

use crate::encoding::{Decoded, Encoding};

/// The form of a text.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextForm {
    /// The character between two fields; absent: the most frequent one in the first line.
    pub delimiter: Option<char>,
    /// The encoding; absent: UTF-8. A byte order mark overrides it.
    pub encoding: Option<Encoding>,
}

/// The records of a text.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a text that is not of its encoding, with its line, and for a delimiter that
/// is not ASCII.
pub fn records(bytes: &[u8], form: &TextForm) -> Result<Vec<Vec<String>>> {
    let text = decoded(bytes, form.encoding)?;
    let (text, marked) = match text.get(..4).filter(|start| start.eq_ignore_ascii_case("sep=")) {
        Some(_) => match text[4..].split_once('\n') {
            Some((line, rest)) => (rest, line.chars().next()),
            None => (text.as_str(), None),
        },
        None => (text.as_str(), None),
    };
    let delimiter = match form.delimiter.or(marked) {
        Some(delimiter) => u8::try_from(delimiter).ok().filter(u8::is_ascii),
        None => Some(likely_delimiter(text)),
    };
    let delimiter = delimiter.ok_or_else(|| Error::input("the delimiter is not one ASCII character"))?;
    Ok(split(text.as_bytes(), delimiter))
}

/// A text as UTF-8, without a byte order mark.
pub(crate) fn decoded(bytes: &[u8], encoding: Option<Encoding>) -> Result<String> {
    let (encoding, mark) = match Encoding::of_mark(bytes) {
        Some(found) => found,
        None => (encoding.or_else(|| Encoding::of_nul_bytes(bytes)).unwrap_or(Encoding::UTF_8), 0),
    };
    let mut text = Vec::new();
    if encoding.is_utf_8() {
        text.extend_from_slice(&bytes[mark..]);
    } else {
        Decoded::new(&bytes[mark..], encoding).read_to_end(&mut text)?;
    }
    String::from_utf8(text).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let line = memchr_iter(b'\n', &error.as_bytes()[..place]).count() + 1;
        Error::input(format!(
            "line {line} is not {} text; say which encoding it has, such as latin-1",
            encoding.name()
        ))
    })
}

/// The most frequent of the usual delimiters in the first line.
pub(crate) fn likely_delimiter(text: &str) -> u8 {
    let line = text.trim_start().lines().next().unwrap_or_default();
    let mut best = (0, b',');
    for delimiter in [b',', b';', b'\t', b'|'] {
        let count = memchr_iter(delimiter, line.as_bytes()).count();
        if count > best.0 {
            best = (count, delimiter);
        }
    }
    best.1
}

fn split(mut rest: &[u8], delimiter: u8) -> Vec<Vec<String>> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let (mut records, mut record) = (Vec::new(), Vec::new());
    let (mut length, mut field) = (0, vec![0; 4096]);
    loop {
        let (result, read, written) = reader.read_field(rest, &mut field[length..]);
        rest = &rest[read..];
        length += written;
        match result {
            ReadFieldResult::OutputFull => field.resize(field.len() * 2, 0),
            ReadFieldResult::Field { record_end } => {
                record.push(String::from_utf8_lossy(&field[..length]).into_owned());
                length = 0;
                if record_end {
                    records.push(std::mem::take(&mut record));
                }
            }
            ReadFieldResult::InputEmpty => {}
            ReadFieldResult::End => return records,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_form_gives_the_same_records() {
        let wanted = vec![vec!["ref", "description"], vec!["1", "boots; café"]];
        let utf_16: Vec<u8> = "\u{feff}ref\tdescription\r\n1\tboots; café\r\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let latin_1 = TextForm { encoding: Encoding::named("latin-1"), ..TextForm::default() };
        for (bytes, form) in [
            ("ref,description\n1,boots; café\n".as_bytes(), TextForm::default()),
            ("\u{feff}ref;description\r\n1;\"boots; café\"".as_bytes(), TextForm::default()),
            ("sep=|\nref|description\n1|boots; café\n".as_bytes(), TextForm::default()),
            (&utf_16, TextForm::default()),
            (b"ref;description\n1;\"boots; caf\xe9\"\n", latin_1),
        ] {
            assert_eq!(records(bytes, &form).expect("reads"), wanted);
        }
        let error = records(b"a,b\n1,caf\xe9\n", &TextForm::default()).expect_err("is not UTF-8");
        assert!(error.chain().contains("line 2") && error.chain().contains("encoding"), "{}", error.chain());
        assert!(records(b"", &TextForm::default()).expect("is empty").is_empty());
    }
}
