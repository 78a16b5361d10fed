//! The language of a report.

use std::str::FromStr;

use tidewaiter_core::{Error, Result};

/// The language of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// French.
    French,
}

impl FromStr for Language {
    type Err = Error;

    /// Reads `en` or `fr`; an empty text is English.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "en" => Ok(Self::English),
            "fr" => Ok(Self::French),
            _ => Err(Error::input(format!("the language {text:?} is neither en nor fr"))),
        }
    }
}
