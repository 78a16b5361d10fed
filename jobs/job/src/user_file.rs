//! Files in TOML that a job names: a mapping, a list of stages. An error says where it is and quotes nothing.
//!
//! Whoever names a file is not always who may read it: the answer to a wrong name must not show what stands in it.

use serde::de::DeserializeOwned;
use tidewaiter_core::{Error, Result};
use toml::de::Error as TomlError;

/// Reads the text of a file.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a text that is not TOML or not of this form, with line and column and what
/// was expected there.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let what = match toml::from_str::<toml::Table>(text) {
            Ok(_) => expected(&error),
            Err(_) => "it is not TOML from here on".to_owned(),
        };
        Error::input(match error.span() {
            Some(span) => format!("{}: {what}", place(text, span.start)),
            None => what,
        })
    })
}

/// Line and column, from 1, of a byte of a text.
fn place(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// What a form asks for, without what the text has instead. An error names that first and what is expected last.
fn expected(error: &TomlError) -> String {
    let message = error.message();
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
    match (message, expected) {
        // A field's name is the form's.
        (message, _) if message.starts_with("missing field ") => message.to_owned(),
        (message, Some(expected)) if message.starts_with("unknown field ") => {
            format!("there is no field of that name; expected {expected}")
        }
        (message, Some(expected)) if message.starts_with("unknown variant ") => {
            format!("there is no value of that name; expected {expected}")
        }
        (_, Some(expected)) => format!("this is not what its field takes; expected {expected}"),
        (_, None) => "this is not what its field takes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use tidewaiter_core::ErrorKind;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it reads is asked")]
    struct Form {
        country: String,
        #[serde(default)]
        format: Option<Format>,
        #[serde(default)]
        delimiter: Option<char>,
        columns: BTreeMap<String, Column>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Format {
        Csv,
        Parquet,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it reads is asked")]
    struct Column {
        from: String,
    }

    #[test]
    fn an_error_says_where_and_what_is_expected_and_quotes_nothing() {
        let columns = "[columns]\na = { from = \"a\" }\n";
        for (text, says) in [
            ("root:x:0:0:secret:/root:/bin/sh\n".to_owned(), ": it is not TOML"),
            ("\n# secret\nsecret".to_owned(), "line 3"),
            ("secret = 1\nsecret = 2\n".to_owned(), "line 2"),
            ("a = \"secret".to_owned(), "line 1"),
            (format!("secret = 1\ncountry = \"KR\"\n{columns}"), "expected one of `country`, `format`"),
            (
                format!("country = [\"secret\"]\n{columns}"),
                "line 1, column 11: this is not what its field takes",
            ),
            (format!("country = \"KR\"\nformat = \"secret\"\n{columns}"), "expected `csv` or `parquet`"),
            (
                format!("country = \"KR\"\ndelimiter = \"secret, expected secret\"\n{columns}"),
                "line 2, column 13",
            ),
            ("country = \"KR\"\n[columns]\nb = { secret = \"a\" }\n".to_owned(), "line 3"),
            ("country = \"KR\"\n[columns]\nb = \"secret\"\n".to_owned(), "line 3"),
            ("[secret]\na = 1\n".to_owned(), "expected one of"),
            ("# secret\n".to_owned(), "missing field `country`"),
        ] {
            let error = read::<Form>(&text).expect_err("it is not of the form");
            assert_eq!(error.kind(), ErrorKind::Input);
            let shown = format!("{} {error:?}", error.chain());
            assert!(shown.contains(says), "{text:?}: {shown}");
            assert!(!shown.contains("secret") && !shown.contains("root"), "{text:?}: {shown}");
        }
        read::<Form>(&format!("country = \"KR\"\n{columns}")).expect("it is of the form");
    }
}
