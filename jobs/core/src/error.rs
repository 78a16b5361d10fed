//! The error of all crates: one type whose kind names the remedy.
//!
//! [`ErrorKind`] says what the reader can do; the message says what happened and where; the source keeps the cause.
//! The kind is mapped in one place each to an exit status ([`ErrorKind::exit_status`]), to a gRPC code (the conversion
//! into [`tonic::Status`]), and to Ballista's retry rule (the conversion into [`DataFusionError`]): only
//! [`ErrorKind::Unavailable`] becomes an IO error, the only kind that Ballista retries.
//!
//! Errors of libraries are converted here and nowhere else. Start at [`ErrorKind`]; add what was being done by
//! [`ResultExt::context`].

use std::{error::Error as StdError, fmt, io, sync::Arc};

use datafusion::error::DataFusionError;
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
        let mut text = self.message.clone();
        let mut cause = self.source();
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
}

impl Error {
    /// The error for an engine's error that is shared and so cannot be taken apart: its kind and its text.
    fn of_shared(shared: &DataFusionError) -> Self {
        use arrow::error::ArrowError;
        match shared.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<Self>() {
                Some(ours) => Self::new(ours.kind, ours.chain()),
                None => Self::internal(shared.to_string()),
            },
            DataFusionError::IoError(io) => Self::new(ErrorKind::Unavailable, io.to_string()),
            DataFusionError::ParquetError(what) => Self::damaged_parquet(&what.to_string()),
            DataFusionError::ResourcesExhausted(what) => Self::too_little_memory(what),
            DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
                ArrowError::ParquetError(what) => Self::damaged_parquet(what),
                ArrowError::ExternalError(inner) => match inner.downcast_ref::<Self>() {
                    Some(ours) => Self::new(ours.kind, ours.chain()),
                    None => Self::internal(shared.to_string()),
                },
                _ => Self::internal(shared.to_string()),
            },
            _ => Self::internal(shared.to_string()),
        }
    }

    fn too_little_memory(what: &str) -> Self {
        Self::input(format!(
            "a sort, join or buffer does not fit the memory that it was given, even by spilling; give more with \
             --memory-mib ({what})"
        ))
    }

    fn damaged_parquet(what: &str) -> Self {
        Self::corrupt(format!(
            "a Parquet file of the tables read is damaged ({what}); restore it from a backup"
        ))
    }
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

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        use tonic::Code;
        let code = match error.kind {
            ErrorKind::Input => Code::InvalidArgument,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Denied => Code::PermissionDenied,
            ErrorKind::Unavailable => Code::Unavailable,
            ErrorKind::Conflict => Code::Aborted,
            ErrorKind::Corrupt => Code::DataLoss,
            ErrorKind::Cancelled => Code::Cancelled,
            ErrorKind::Internal => Code::Internal,
        };
        Self::new(code, error.chain())
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let kind = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => ErrorKind::Input,
            Code::NotFound => ErrorKind::NotFound,
            Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
            Code::Unavailable | Code::DeadlineExceeded | Code::Unknown => ErrorKind::Unavailable,
            Code::Aborted | Code::AlreadyExists => ErrorKind::Conflict,
            Code::DataLoss => ErrorKind::Corrupt,
            Code::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, status.message())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
            io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
            io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotADirectory => ErrorKind::Input,
            _ => ErrorKind::Unavailable,
        };
        // An IO error that only carries one of ours through an engine becomes ours again.
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return Self::new(inner.kind, inner.chain());
        }
        Self::new(kind, error.to_string()).with_source(error)
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        // The file system's own error is below whatever the store wraps around it.
        let of_file_system = |error: &(dyn StdError + 'static)| {
            let mut cause = Some(error);
            while let Some(current) = cause {
                if let Some(io) = current.downcast_ref::<io::Error>() {
                    return match io.kind() {
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                            Some(ErrorKind::Denied)
                        }
                        io::ErrorKind::NotADirectory => Some(ErrorKind::Input),
                        _ => None,
                    };
                }
                cause = current.source();
            }
            None
        };
        let kind = match &error {
            E::NotFound { .. } => ErrorKind::NotFound,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => ErrorKind::Denied,
            E::AlreadyExists { .. } | E::Precondition { .. } => ErrorKind::Conflict,
            E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => ErrorKind::Input,
            E::NotSupported { .. } | E::NotImplemented { .. } => ErrorKind::Internal,
            other => of_file_system(other).unwrap_or(ErrorKind::Unavailable),
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::corrupt(error.to_string()).with_source(error)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::internal(error.to_string()).with_source(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::corrupt(format!("JSON: {error}")).with_source(error)
    }
}

impl From<prost::DecodeError> for Error {
    fn from(error: prost::DecodeError) -> Self {
        Self::corrupt(format!("protobuf: {error}")).with_source(error)
    }
}

impl From<deltalake_core::DeltaTableError> for Error {
    fn from(error: deltalake_core::DeltaTableError) -> Self {
        use deltalake_core::DeltaTableError as E;
        match error {
            E::ObjectStore { source } => source.into(),
            E::NotATable(_) | E::InvalidTableLocation(_) => Self::not_found(error.to_string()),
            E::VersionAlreadyExists(_) => Self::conflict(error.to_string()),
            _ => Self::corrupt(error.to_string()).with_source(error),
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => Self::internal(other.to_string()).with_source(other),
            },
            DataFusionError::IoError(io) => io.into(),
            DataFusionError::ObjectStore(store) => (*store).into(),
            DataFusionError::ParquetError(parquet) => (*parquet).into(),
            DataFusionError::ResourcesExhausted(what) => Self::too_little_memory(&what),
            // The context is the engine's advice, which names settings that users cannot reach.
            DataFusionError::Context(_, inner)
                if matches!(inner.find_root(), DataFusionError::ResourcesExhausted(_)) =>
            {
                (*inner).into()
            }
            DataFusionError::Context(doing, inner) => {
                let inner = Self::from(*inner);
                Self { kind: inner.kind, message: doing, source: Some(Box::new(inner)) }
            }
            DataFusionError::Diagnostic(_, inner) => (*inner).into(),
            DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
                Ok(alone) => alone.into(),
                Err(shared) => Self::of_shared(&shared),
            },
            DataFusionError::SQL(..) | DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => {
                Self::input(error.to_string())
            }
            DataFusionError::ArrowError(arrow, _) => match *arrow {
                arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Self>() {
                    Ok(ours) => *ours,
                    Err(other) => Self::internal(other.to_string()).with_source(other),
                },
                arrow::error::ArrowError::ParquetError(what) => Self::damaged_parquet(&what),
                other => other.into(),
            },
            other => Self::internal(other.to_string()).with_source(other),
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Unavailable => Self::IoError(io::Error::other(error)),
            _ => Self::External(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_errors_become_io_errors() {
        let transient = DataFusionError::from(Error::unavailable("the store cannot be reached"));
        assert!(matches!(transient.find_root(), DataFusionError::IoError(_)));
        let permanent = DataFusionError::from(Error::input("negative mass"));
        assert!(matches!(permanent.find_root(), DataFusionError::External(_)));
    }

    #[test]
    fn the_kind_survives_being_shared() {
        let shared = Arc::new(DataFusionError::from(Error::input("negative mass")));
        let error = Error::from(DataFusionError::Shared(Arc::clone(&shared)));
        assert_eq!((error.kind(), error.chain().as_str()), (ErrorKind::Input, "negative mass"));
        let error = Error::from(DataFusionError::Shared(shared));
        assert_eq!((error.kind(), error.chain().as_str()), (ErrorKind::Input, "negative mass"));
    }

    #[test]
    fn too_little_memory_says_what_to_give() {
        let exhausted = || DataFusionError::ResourcesExhausted("10.0 MB for a sort".to_owned());
        let advised = exhausted().context("Consider increasing a setting of the engine");
        let shared = Arc::new(exhausted());
        for error in [exhausted(), advised, DataFusionError::Shared(Arc::clone(&shared))] {
            let error = Error::from(error);
            assert_eq!(error.kind(), ErrorKind::Input);
            let text = error.chain();
            assert!(text.contains("--memory-mib") && text.contains("10.0 MB for a sort"), "{text}");
            assert!(!text.contains("setting"), "{text}");
        }
    }

    #[test]
    fn the_kind_survives_the_wire() {
        use ErrorKind::{Cancelled, Conflict, Corrupt, Denied, Input, Internal, NotFound, Unavailable};
        for kind in [Input, NotFound, Denied, Unavailable, Conflict, Corrupt, Cancelled, Internal] {
            let error = Error::from(tonic::Status::from(Error::new(kind, "cause")));
            assert_eq!((error.kind(), error.chain().as_str()), (kind, "cause"));
        }
    }

    #[test]
    fn the_kind_survives_the_engine_and_added_context() {
        for kind in [ErrorKind::Input, ErrorKind::Unavailable, ErrorKind::Corrupt] {
            let error: Error = DataFusionError::from(Error::new(kind, "cause")).into();
            let error = Err::<(), _>(error).context(|| "read partition 3").expect_err("it is an error");
            assert_eq!(error.kind(), kind);
            assert_eq!(error.chain(), "read partition 3: cause");
        }
    }
}
