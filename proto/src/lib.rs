//! Tidewaiter's wire contracts: the services, and the payloads of its plan nodes.
//!
//! The sources are the `.proto` files under `tidewaiter/v1`; [`v1`] holds the types made from them.

/// Version 1 of the contracts.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("tidewaiter.v1");
}

/// The largest message that any process sends or takes, in bytes. What may grow beyond it is streamed in pieces, or goes
/// through the archive's store.
pub const LARGEST_MESSAGE: usize = 64 << 20;

/// The encoded file descriptors of every contract, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
