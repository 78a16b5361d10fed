//! The foundation of all crates under `jobs/`.
//!
//! [`Error`] says by its kind what to do about it; [`plan`] makes an operator of ours a node of a query plan;
//! [`threads`] runs computations beside the runtime, on the GPU that [`devices`] leases; [`disk`] holds what is
//! larger than memory; [`Period`] is a span of whole months as users write it;
//! [`chance`] gives pseudo-random numbers that depend on their seed alone; [`statistics`] and [`answers`] hold what
//! several domains compute and read in the same way.
//!
//! What is absent: the archive, models, any operator, and any engine but DataFusion's traits. Start at
//! [`plan::Operator`].

pub mod answers;
pub mod chance;
pub mod devices;
pub mod disk;
pub mod error;
mod period;
pub mod plan;
pub mod statistics;
pub mod threads;

pub use error::{Error, ErrorKind, Result, ResultExt};
pub use period::{Period, Periods};
pub use tidewaiter_query as query;
