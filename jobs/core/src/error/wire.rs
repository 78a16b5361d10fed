//! How an error reaches another process: as a gRPC status, and as text that other programs pass on.

use super::kind::{Error, ErrorKind};

/// Begins the tail of an encoded error; the tail ends with a bracket, so that one that was cut off is not read.
const TAIL: &str = "[tidewaiter-error ";

impl Error {
    /// The error as text, for a way that carries nothing else (Ballista's, or a message of a fit's worker): the chain for
    /// people, and behind it kind and chain for [`Error::decode`], in hexadecimal digits, which no quoting changes.
    pub fn encode(&self) -> String {
        let chain = self.chain();
        // A kind and a text always have a JSON form; without one the tail is empty, and is not read.
        let tail = serde_json::to_vec(&(self.kind(), &chain)).unwrap_or_default();
        let digits: String = tail.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{chain} {TAIL}{digits}]")
    }

    /// The error that [`Error::encode`] wrote, whatever was added before and behind it and however it was quoted; `None`
    /// for a text without one.
    pub fn decode(text: &str) -> Option<Self> {
        let (_, tail) = text.split_once(TAIL)?;
        let (digits, _) = tail.split_once(']')?;
        let pairs = digits.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
        let (kind, chain): (ErrorKind, String) = serde_json::from_slice(&bytes).ok()?;
        Some(Self::new(kind, chain))
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        use tonic::Code;
        let code = match error.kind() {
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
