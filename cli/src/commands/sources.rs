//! Where time and chance come in.

use std::time::SystemTime;

use ulid::Ulid;

/// A new id: the time when it was made, then chance.
#[allow(clippy::disallowed_methods, reason = "the command line is where time and chance come in")]
pub(super) fn new_id() -> String {
    Ulid::new().to_string()
}

/// Milliseconds since 1970; 0 where the clock is before that.
#[allow(clippy::disallowed_methods, reason = "the command line is where time and chance come in")]
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
