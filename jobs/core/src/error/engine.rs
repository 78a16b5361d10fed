//! Errors that come from the query engine, and ours on their way through it.
//!
//! The engine wraps an error differently from plan to plan, and shares it between tasks; a cluster hands it back as
//! text. Kind and text must not depend on either, so all ways lead through [`of_engine`], which reads and never takes
//! apart. Start there.

use std::{error::Error as StdError, io};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;

use super::{
    kind::{Error, ErrorKind, with_causes},
    libraries::{io_kind, store_kind},
};

/// What Ballista says of a query that it could not finish for a reason of its own.
const BALLISTA: [(&str, ErrorKind); 8] = [
    ("all executors were lost", ErrorKind::Unavailable),
    ("most recent failure reason", ErrorKind::Unavailable),
    ("Shuffle fetch partition error", ErrorKind::Unavailable),
    ("Stream closed without job completing", ErrorKind::Unavailable),
    ("tonic::transport::Error", ErrorKind::Unavailable),
    ("Grpc connection error", ErrorKind::Unavailable),
    ("code: Unavailable", ErrorKind::Unavailable),
    ("failed: Cancelled", ErrorKind::Cancelled),
];

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(other) => of_any(other.as_ref()),
            },
            other => of_engine(&other),
        }
    }
}

impl From<&DataFusionError> for Error {
    /// For an error that is shared, or that somebody else needs.
    fn from(error: &DataFusionError) -> Self {
        of_engine(error)
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Unavailable => Self::IoError(io::Error::other(error)),
            _ => Self::External(Box::new(error)),
        }
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        of_arrow(&error)
    }
}

impl From<&ArrowError> for Error {
    /// For an error that is shared, or that somebody else needs.
    fn from(error: &ArrowError) -> Self {
        of_arrow(error)
    }
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        of_reading(&error).unwrap_or_else(|| Self::corrupt(error.to_string()).with_source(error))
    }
}

/// The error for an engine's error: its kind, and its text with that of every cause.
fn of_engine(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => of_any(inner.as_ref()),
        DataFusionError::Shared(inner) => of_engine(inner),
        DataFusionError::Diagnostic(_, inner) => of_engine(inner),
        // The context is the engine's advice, which names settings that users cannot reach.
        DataFusionError::Context(_, inner)
            if matches!(inner.find_root(), DataFusionError::ResourcesExhausted(_)) =>
        {
            of_engine(inner)
        }
        DataFusionError::Context(doing, inner) => {
            let inner = of_engine(inner);
            Error::new(inner.kind(), doing.as_str()).with_source(inner)
        }
        DataFusionError::ArrowError(arrow, _) => of_arrow(arrow),
        DataFusionError::ParquetError(parquet) => of_parquet(parquet),
        DataFusionError::ObjectStore(store) => of_any(store.as_ref()),
        DataFusionError::IoError(io) => of_io(io),
        DataFusionError::ResourcesExhausted(what) => Error::input(format!(
            "a sort, join or buffer does not fit the memory that it was given, even by spilling; give more with \
             --memory-mib ({what})"
        )),
        DataFusionError::SQL(..) | DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => {
            Error::input(error.to_string())
        }
        DataFusionError::Collection(errors) => {
            let kind = errors.first().map_or(ErrorKind::Internal, |first| of_engine(first).kind());
            Error::new(kind, error.to_string())
        }
        DataFusionError::Execution(text) | DataFusionError::Internal(text) => of_text(text),
        other => Error::internal(with_causes(other)),
    }
}

/// The error for one that the engine carries without knowing it.
fn of_any(error: &(dyn StdError + 'static)) -> Error {
    if let Some(ours) = error.downcast_ref::<Error>() {
        Error::new(ours.kind(), ours.chain())
    } else if let Some(engine) = error.downcast_ref::<DataFusionError>() {
        of_engine(engine)
    } else if let Some(arrow) = error.downcast_ref::<ArrowError>() {
        of_arrow(arrow)
    } else if let Some(parquet) = error.downcast_ref::<ParquetError>() {
        of_parquet(parquet)
    } else if let Some(store) = error.downcast_ref::<object_store::Error>() {
        Error::new(store_kind(store), with_causes(store))
    } else if let Some(io) = error.downcast_ref::<io::Error>() {
        of_io(io)
    } else {
        of_text(&with_causes(error))
    }
}

fn of_arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => of_any(inner.as_ref()),
        ArrowError::IoError(_, io) => of_io(io),
        ArrowError::ParquetError(what) => damaged(what),
        other => of_text(&with_causes(other)),
    }
}

fn of_parquet(error: &ParquetError) -> Error {
    of_reading(error).unwrap_or_else(|| damaged(&error.to_string()))
}

/// The reason for which a Parquet file's bytes could not be had, where it is not the file that is at fault.
fn of_reading(error: &ParquetError) -> Option<Error> {
    let ParquetError::External(inner) = error else { return None };
    let cause = of_any(inner.as_ref());
    matches!(cause.kind(), ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Cancelled).then_some(cause)
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("a Parquet file of the tables read is damaged ({what}); restore it from a backup"))
}

fn of_io(error: &io::Error) -> Error {
    match error.get_ref() {
        Some(inner) if inner.is::<Error>() || inner.is::<DataFusionError>() => of_any(inner),
        _ => {
            let text = error.to_string();
            Error::decode(&text).unwrap_or_else(|| Error::new(io_kind(error.kind()), text))
        }
    }
}

/// The error that a text holds, or that Ballista means by it.
fn of_text(text: &str) -> Error {
    Error::decode(text).unwrap_or_else(|| {
        let known = BALLISTA.iter().find(|(words, _)| text.contains(words));
        Error::new(known.map_or(ErrorKind::Internal, |(_, kind)| *kind), text)
    })
}
