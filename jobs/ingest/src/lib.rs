//! The ingest: export files of declarations, events and the like into the tables of the archive.
//!
//! A [`Mapping`] says what the columns of an export mean. An [`ExportReader`] reads a file (CSV of RFC 4180 with the
//! mapping's delimiter, quote, escape and encoding; Parquet; XES of IEEE 1849) as blocks of checked rows and of rows for
//! quarantine. [`ingest_file`] writes them below a table of the archive, [`IngestOperator`] does so on executors, and
//! the job ([`job`]) commits what they wrote, with a record of each source. [`forget`] takes sources out again, and
//! [`raw_records`] follows rows back to their files.
//!
//! Promises: memory stays within a few blocks; no input panics; no record is lost, so that the records read are the
//! rows archived and the rows quarantined; the rows do not depend on the block size.
//!
//! What is absent: the name of any table. Tables are those that the domains of the program registered. Start at
//! [`Mapping`] and [`ExportReader`].

mod amendment;
mod block;
mod cells;
mod commit;
mod committed;
mod dry_run;
mod encoding;
mod entities;
mod file;
mod foreseen;
pub mod forget;
mod group;
pub mod guess;
pub mod job;
mod keys;
mod known;
mod lineage;
mod listing;
mod mapping;
pub mod messages;
mod nomenclature;
pub mod numbers;
mod operator;
mod options;
mod quarantine;
mod quarantine_table;
mod readers;
mod records;
mod refusals;
mod remote;
mod removal;
mod repeated;
mod sources;
mod summary;
mod tally;
#[cfg(test)]
mod tests;
mod trace;

use std::sync::Arc;

use tidewaiter_job::{Domain, JobKind, catalogue::OperatorKind};

pub use self::{
    block::{BLOCK_SIZE, ParsedBlock, Repair, RowCounts},
    cells::{Zone, code_digits},
    encoding::Encoding,
    entities::decoded,
    file::{FileOutcome, ingest_file},
    group::{Group, GroupReport, SourceStatus},
    mapping::{ColumnMapping, Digits, Format, Mapping, MappingFile, Milestone},
    operator::IngestOperator,
    quarantine::quarantine_schema,
    quarantine_table::{QUARANTINE, quarantine_table_schema},
    readers::{ExportReader, source_digest},
    records::{TextForm, records},
    sources::{
        SOURCES, SourceRecord, sources_schema, with_digests as sources_with_digests, write as write_sources,
    },
    tally::Tally,
    trace::{RawRecord, raw_records},
};

/// What this crate adds to a program.
pub static DOMAIN: Domain = Domain {
    operators: &[OperatorKind {
        name: IngestOperator::NAME,
        read: |payload, extensions| {
            Ok(Arc::new(IngestOperator::new(prost::Message::decode(payload)?, extensions.tables())?))
        },
    }],
    jobs: &[JobKind::of::<job::Parameters>(), JobKind::of::<forget::Parameters>()],
    ..Domain::EMPTY
};
