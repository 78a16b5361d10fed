//! The error of all crates: one type whose kind names the remedy.
//!
//! [`ErrorKind`] says what the reader can do; the message says what happened and where; the source keeps the cause.
//! The kind is mapped in one place each to an exit status ([`ErrorKind::exit_status`]), to a gRPC code (the conversion
//! into [`tonic::Status`]), and to Ballista's retry rule (the conversion into
//! [`DataFusionError`](datafusion::error::DataFusionError)): only [`ErrorKind::Unavailable`] becomes an IO error, the
//! only kind that Ballista retries. Where an error crosses a program that passes nothing but text on,
//! [`Error::encode`] and [`Error::decode`] carry its kind and message through.
//!
//! Errors of libraries are converted here and nowhere else. Start at [`ErrorKind`]; add what was being done by
//! [`ResultExt::context`].

mod engine;
mod kind;
mod libraries;
#[cfg(test)]
mod tests;
mod wire;

pub use kind::{Error, ErrorKind, Result, ResultExt};
pub use libraries::is_refusal;
