//! The errors of libraries other than the query engine.

use std::{error::Error as StdError, io};

use super::kind::{Error, ErrorKind};

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        // An IO error that only carries one of ours through an engine becomes ours again.
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return Self::new(inner.kind(), inner.chain());
        }
        Self::new(io_kind(error.kind()), error.to_string()).with_source(error)
    }
}

/// The remedy for an error of the file system or of a connection.
pub(super) fn io_kind(kind: io::ErrorKind) -> ErrorKind {
    match kind {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
        io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory => ErrorKind::Input,
        _ => ErrorKind::Unavailable,
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        let message = match lacks_credentials(&error) {
            true => format!("no credentials for the bucket: {}", credentials_of(&error)),
            false => error.to_string(),
        };
        Self::new(store_kind(&error), message).with_source(error)
    }
}

/// The addresses at which a machine of AWS, Azure or Google is asked for the credentials of its role, where the
/// environment has none.
const ROLE_ADDRESSES: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];

/// Whether a store's error says that the machine gave no credentials.
fn lacks_credentials(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        let text = current.to_string();
        if ROLE_ADDRESSES.iter().any(|address| text.contains(address)) {
            return true;
        }
        cause = current.source();
    }
    false
}

/// What gives credentials to the client of the store that an error comes from.
fn credentials_of(error: &object_store::Error) -> &'static str {
    match error {
        object_store::Error::Generic { store: "GCS", .. } => {
            "set GOOGLE_SERVICE_ACCOUNT to the file of a service account's key, or give the machine a service account"
        }
        object_store::Error::Generic { store: "MicrosoftAzure", .. } => {
            "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or give the machine a managed identity"
        }
        _ => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role that has them",
    }
}

/// The remedy for an error of an object store.
pub(super) fn store_kind(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => ErrorKind::Denied,
        E::AlreadyExists { .. } | E::Precondition { .. } => ErrorKind::Conflict,
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => ErrorKind::Input,
        E::NotSupported { .. } | E::NotImplemented { .. } => ErrorKind::Internal,
        other if is_refusal(other) => ErrorKind::Denied,
        other => inner_kind(other).unwrap_or(ErrorKind::Unavailable),
    }
}

/// The codes with which S3 refuses credentials by the status 400, which the client does not tell from other errors.
const REFUSALS: [&str; 4] =
    ["ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed"];

/// Whether a store's error says that the credentials are refused, so that waiting is of no use.
pub fn is_refusal(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        let text = current.to_string();
        if REFUSALS.iter().any(|code| text.contains(code)) {
            return true;
        }
        cause = current.source();
    }
    false
}

/// The remedy by the file system's own error or by one of ours, which is below whatever a store wraps around it.
fn inner_kind(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return Some(ours.kind());
        }
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
