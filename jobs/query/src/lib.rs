//! Planning and running queries, compiled once.
//!
//! The body of an asynchronous function is compiled by every crate that awaits it, with all that it calls; for a query
//! that is the engine's whole planner, in each crate anew. Behind a box it is compiled here. `clippy.toml` refuses the
//! engine's own methods in other crates. Start at [`Plan::query`] and [`Run::batches`].
#![allow(clippy::disallowed_methods, reason = "here they are boxed")]

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::{
    error::Result,
    execution::SendableRecordBatchStream,
    physical_plan::ExecutionPlan,
    prelude::{DataFrame, SessionContext},
};
use futures::future::BoxFuture;

/// Queries of a session.
pub trait Plan {
    /// The query of that text.
    fn query<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<DataFrame>>;

    /// The whole registered table of that name.
    fn whole_table<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<DataFrame>>;
}

impl Plan for SessionContext {
    fn query<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<DataFrame>> {
        Box::pin(self.sql(sql))
    }

    fn whole_table<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<DataFrame>> {
        Box::pin(self.table(name))
    }
}

/// What is done with a query.
pub trait Run {
    /// Runs it and gives all its rows: for answers that fit into memory.
    fn batches(self) -> BoxFuture<'static, Result<Vec<RecordBatch>>>;

    /// Runs it and gives its rows batch by batch, in the query's order.
    fn batch_stream(self) -> BoxFuture<'static, Result<SendableRecordBatchStream>>;

    /// Runs it and counts its rows.
    fn row_count(self) -> BoxFuture<'static, Result<usize>>;

    /// Its optimised plan, as it would run.
    fn physical_plan(self) -> BoxFuture<'static, Result<Arc<dyn ExecutionPlan>>>;
}

impl Run for DataFrame {
    fn batches(self) -> BoxFuture<'static, Result<Vec<RecordBatch>>> {
        Box::pin(self.collect())
    }

    fn batch_stream(self) -> BoxFuture<'static, Result<SendableRecordBatchStream>> {
        Box::pin(self.execute_stream())
    }

    fn row_count(self) -> BoxFuture<'static, Result<usize>> {
        Box::pin(self.count())
    }

    fn physical_plan(self) -> BoxFuture<'static, Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move { self.create_physical_plan().await })
    }
}
