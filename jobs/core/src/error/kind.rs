//! [`Error`] and [`ErrorKind`], and how what was being done is added to an error.

use std::{error::Error as StdError, fmt};

use serde::{Deserialize, Serialize};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the reader of an error can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Correct the input: a file, a mapping or a parameter is wrong.
    Input,
    /// Name something that exists.
    NotFound,
    /// Ask for access rights to the thing named.
    Denied,
    /// Wait and try again: a store, a server or a device cannot be reached.
    Unavailable,
    /// Read again and repeat: somebody else changed it first.
    Conflict,
    /// Call an operator: stored data is damaged.
    Corrupt,
    /// Nothing: the job was cancelled.
    Cancelled,
    /// Report a bug.
    Internal,
}

impl ErrorKind {
    /// The process exit status for an error of this kind: 2 when the command line or a file is wrong,
    /// 1 when the job failed.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Input | Self::NotFound => 2,
            _ => 1,
        }
    }
}

/// What went wrong, where, and (by its kind) what to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// [`ErrorKind::Input`].
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// [`ErrorKind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds the cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The remedy.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message and every cause below it, on one line.
    pub fn chain(&self) -> String {
        with_causes(self)
    }
}

/// An error's text and those of every cause below it that say more, on one line.
pub(super) fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Adds to an error what was being done: a verb in the present tense and an object.
pub trait ResultExt<T> {
    /// Wraps an error, keeping its kind: `read("…").context(|| format!("read partition {path}"))`.
    fn context<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for std::result::Result<T, E> {
    fn context<S: Into<String>>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            Error { kind: error.kind, message: doing().into(), source: Some(Box::new(error)) }
        })
    }
}
