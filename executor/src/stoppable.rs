//! Plans of tasks that can be stopped.
//!
//! What is logged in a task lies in its span, also where it runs in a task of the runtime of its own.
//!
//! Ballista can abort the future of a task, but the tasks of the runtime that write its rows go on. So the rows end
//! instead: [`StoppableExec`] stands between a stage's writer and the plan whose rows it writes.

use std::{fmt, sync::Arc};

use datafusion::{
    common::tree_node::TreeNodeRecursion,
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        ReplaceChildrenOptions, metrics::MetricsSet, stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, stream};
use tracing::Span;

use crate::running::Task;

/// The plan of a stage, whose input can be stopped with the task.
///
/// # Errors
/// When the plan cannot have another input.
pub(crate) fn stoppable(
    stage: Arc<dyn ExecutionPlan>,
    task: &Arc<Task>,
    span: &Span,
) -> Result<Arc<dyn ExecutionPlan>> {
    let stoppable = |input: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
        Arc::new(StoppableExec { inner: Arc::clone(input), task: Arc::clone(task), span: span.clone() })
    };
    let inputs = stage.children().into_iter().map(stoppable).collect();
    stage.replace_children(inputs, RECOMPUTE)
}

const RECOMPUTE: ReplaceChildrenOptions = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);

/// A plan whose rows end when its task is stopped. For Ballista, which looks for nodes of its own in a stage, it is the
/// plan itself; only over a leaf, which Ballista replaces, it is a node of its own.
#[derive(Debug)]
struct StoppableExec {
    inner: Arc<dyn ExecutionPlan>,
    task: Arc<Task>,
    span: Span,
}

impl StoppableExec {
    fn is_over_leaf(&self) -> bool {
        self.inner.children().is_empty()
    }
}

impl DisplayAs for StoppableExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_over_leaf() {
            true => f.write_str(self.name()),
            false => self.inner.fmt_as(format, f),
        }
    }
}

impl ExecutionPlan for StoppableExec {
    fn name(&self) -> &str {
        if self.is_over_leaf() { "StoppableExec" } else { self.inner.name() }
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        (!self.is_over_leaf()).then_some(self.inner.as_ref())
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.is_over_leaf() { vec![&self.inner] } else { self.inner.children() }
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = match <[Arc<dyn ExecutionPlan>; 1]>::try_from(children) {
            Ok([leaf]) if self.is_over_leaf() => leaf,
            Ok(children) => Arc::clone(&self.inner).replace_children(children.into(), options)?,
            Err(children) => Arc::clone(&self.inner).replace_children(children, options)?,
        };
        Ok(Arc::new(Self { inner, task: Arc::clone(&self.task), span: self.span.clone() }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, RECOMPUTE)
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match self.is_over_leaf() {
            true => Ok(TreeNodeRecursion::Continue),
            false => self.inner.apply_expressions(apply),
        }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        if self.is_over_leaf() { None } else { self.inner.metrics() }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.span.in_scope(|| self.inner.execute(partition, context))?;
        let (schema, guarded) = (rows.schema(), Arc::clone(&self.task).guard(rows));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, within(self.span.clone(), guarded))))
    }
}

/// A stream that is polled in a span of the log.
fn within<S: Stream>(span: Span, rows: S) -> impl Stream<Item = S::Item> {
    let mut rows = Box::pin(rows);
    stream::poll_fn(move |context| span.in_scope(|| rows.as_mut().poll_next(context)))
}

#[cfg(test)]
mod tests {
    use crate::running::Running;
    use datafusion::{
        arrow::datatypes::Schema,
        physical_plan::{coalesce_partitions::CoalescePartitionsExec, empty::EmptyExec},
    };

    use super::*;

    #[test]
    fn a_plan_is_for_others_what_it_is_without_the_guard() {
        let running = Running::default();
        let task = running.begin("query");
        let leaf: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(Arc::new(Schema::empty())));
        let merge: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::clone(&leaf)));
        let guarded = |inner: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
            let (inner, task, span) = (Arc::clone(inner), Arc::clone(&task), Span::none());
            Arc::new(StoppableExec { inner, task, span })
        };

        let over_merge = guarded(&merge);
        assert!(over_merge.is::<CoalescePartitionsExec>());
        assert!(over_merge.children()[0].is::<EmptyExec>());
        // Ballista replaces the leaves of a stage, and rebuilds what is above them.
        let rebuilt = over_merge.replace_children(vec![Arc::clone(&leaf)], RECOMPUTE).expect("one input");
        let as_any = rebuilt.as_ref() as &dyn std::any::Any;
        assert!(as_any.is::<StoppableExec>() && rebuilt.is::<CoalescePartitionsExec>());

        let over_leaf = guarded(&leaf);
        assert!(!over_leaf.is::<EmptyExec>(), "Ballista would put another leaf in its place");
        assert!(over_leaf.children()[0].is::<EmptyExec>());
        let rebuilt = over_leaf.replace_children(vec![leaf], RECOMPUTE).expect("one input");
        assert_eq!(rebuilt.name(), "StoppableExec");
    }
}
