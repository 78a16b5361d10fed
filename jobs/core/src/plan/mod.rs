//! Plan nodes that carry an operator: work of Tidewaiter's own inside a DataFusion plan, on any engine.
//!
//! An [`Operator`] turns a stream of batches into another. [`apply`] puts it over a query as a logical node
//! ([`OperatorNode`]), and [`QueryPlanner`] plans that as a physical node ([`OperatorExec`]). Both are serialised as
//! the operator's name and payload ([`encode`]). An operator that writes files answers with [`report`] rows, which
//! [`reports`] reads.
//!
//! One node serves every operator, so that the engine's rules are met in one place: an operator is never a leaf (each
//! task of a leaf would see every partition); it keeps the partitions of its input, requires that rows of equal keys
//! share a partition, or requires one partition, sorted or not.
//!
//! The engine cannot see which columns an operator reads, because it looks no further than the schema of the
//! operator's input. A query over a wide table must therefore select the columns before the operator.
//!
//! What is absent: any operator. Start at [`Operator`].

mod exec;
mod meter;
mod node;
mod operator;
mod report;

pub use exec::{OperatorExec, QueryPlanner};
pub use meter::{Meter, QueryProgress};
pub use node::{OperatorNode, apply};
pub use operator::{Input, Operator, encode, unknown};
pub use report::{report, report_schema, reports};
