//! Tidewaiter's wire contracts: the services, and the payloads of its plan nodes.
//!
//! The sources are the `.proto` files under `tidewaiter/v1`; [`v1`] holds the types made from them.

/// Version 1 of the contracts.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("tidewaiter.v1");
}

/// The encoded file descriptors of every contract, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
