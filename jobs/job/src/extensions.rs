//! What domains register for each other: tables, learners, and anything else by its type.
//!
//! A job that serves all domains (the ingest, the generator, a fit) finds here what it serves.

use std::{any::Any, fmt, sync::Arc};

use tidewaiter_archive::{Archive, schema::Layout};
use tidewaiter_collective::ShardLoader;
use tidewaiter_core::{Result, plan};
use tidewaiter_proto::v1;

/// What learns from shards, by its name in a fit's task.
pub struct Learner {
    /// The name.
    pub name: &'static str,
    /// Makes what loads the shards of a task.
    pub loader: fn(Archive, v1::FitTask) -> Result<Arc<dyn ShardLoader>>,
}

/// What the domains of a program registered.
#[derive(Clone, Default)]
pub struct Extensions {
    pub(crate) tables: Vec<&'static Layout>,
    pub(crate) written: Vec<&'static Layout>,
    pub(crate) learners: Vec<&'static Learner>,
    pub(crate) others: Vec<&'static (dyn Any + Send + Sync)>,
}

impl Extensions {
    /// The tables that exports are read into.
    pub fn tables(&self) -> &[&'static Layout] {
        &self.tables
    }

    /// All tables that are described: those that exports are read into, then those that only jobs write.
    pub fn layouts(&self) -> impl Iterator<Item = &'static Layout> {
        self.tables.iter().chain(&self.written).copied()
    }

    /// What domains registered of a type.
    pub fn all<T: 'static>(&self) -> impl Iterator<Item = &'static T> {
        self.others.iter().filter_map(|any| any.downcast_ref())
    }

    /// Makes what loads the shards of a fit.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the task is not one of this version.
    pub fn loader(&self, archive: Archive, task: v1::FitTask) -> Result<Arc<dyn ShardLoader>> {
        let learner = self.learners.iter().find(|learner| learner.name == task.learner);
        (learner.ok_or_else(plan::unknown)?.loader)(archive, task)
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables: Vec<_> = self.tables.iter().map(|layout| layout.table).collect();
        let learners: Vec<_> = self.learners.iter().map(|learner| learner.name).collect();
        f.debug_struct("Extensions")
            .field("tables", &tables)
            .field("learners", &learners)
            .finish_non_exhaustive()
    }
}
