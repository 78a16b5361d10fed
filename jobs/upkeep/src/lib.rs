//! Upkeep of an archive: small files made into large ones, what nobody reads any more deleted, every byte verified.
//!
//! Three jobs, `archive optimise`, `archive vacuum` and `archive verify`; the first two only say what they would do with
//! `--dry-run`. What may be deleted and what is worth rewriting are decided by functions without any store
//! ([`removable`], [`compaction`]), from what [`inventory`] and the tables' logs say.
//!
//! What is absent: the rows' meaning, and the repair of what ingest did. Start at the job in question: [`vacuum`],
//! [`optimise`], [`verify`].

pub mod age;
pub mod compaction;
pub mod inventory;
pub mod optimise;
pub mod removable;
#[cfg(test)]
mod tests;
pub mod vacuum;
pub mod verify;

use tidewaiter_job::{Domain, JobKind};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain {
    jobs: &[
        JobKind::of::<optimise::Parameters>(),
        JobKind::of::<vacuum::Parameters>(),
        JobKind::of::<verify::Parameters>(),
    ],
    ..Domain::EMPTY
};
