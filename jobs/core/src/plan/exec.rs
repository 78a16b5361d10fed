//! The physical plan node of an operator, and the planner that makes it from the logical node.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::Session,
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result as DataFusionResult},
    execution::{SendableRecordBatchStream, TaskContext, context::QueryPlanner as QueryPlannerTrait},
    logical_expr::{LogicalPlan, UserDefinedLogicalNode, physical_planning_context::PhysicalPlanningContext},
    physical_expr::{
        Distribution, EquivalenceProperties, LexRequirement, OrderingRequirements, Partitioning,
        PhysicalExpr, PhysicalSortRequirement, expressions::Column,
    },
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
        InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
    physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner},
};
use futures::TryStreamExt;

use super::{
    meter::Meter,
    node::OperatorNode,
    operator::{Input, Operator},
};
use crate::{Error, Result};

/// An operator over a physical plan.
#[derive(Debug)]
pub struct OperatorExec {
    operator: Arc<dyn Operator>,
    input: Arc<dyn ExecutionPlan>,
    required: Option<OrderingRequirements>,
    distribution: Distribution,
    properties: Arc<PlanProperties>,
}

impl OperatorExec {
    /// The node of an operator over an input.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the input lacks what the operator needs.
    pub fn new(operator: Arc<dyn Operator>, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let input_schema = input.schema();
        let schema = operator.schema(&input_schema)?;
        let ascending = |name: &&'static str| {
            let column = Column::new_with_schema(name, &input_schema)?;
            let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
            Ok(PhysicalSortRequirement::new(Arc::new(column), Some(options)))
        };
        let columns: DataFusionResult<Vec<_>> = operator.sort_columns().iter().map(ascending).collect();
        let required = LexRequirement::new(columns?).map(OrderingRequirements::new);
        let keys = operator
            .partition_keys()
            .iter()
            .map(|name| Ok(Arc::new(Column::new_with_schema(name, &input_schema)?) as Arc<dyn PhysicalExpr>));
        let keys: Vec<_> = keys.collect::<DataFusionResult<_>>()?;
        let single = required.is_some() || operator.single_partition();
        let distribution = match (single, keys.is_empty()) {
            (true, _) => Distribution::SinglePartition,
            (false, false) => Distribution::KeyPartitioned(keys),
            (false, true) => Distribution::UnspecifiedDistribution,
        };
        let partitions = if single { 1 } else { input.output_partitioning().partition_count() };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { operator, input, required, distribution, properties: Arc::new(properties) })
    }

    /// The operator.
    pub fn operator(&self) -> &Arc<dyn Operator> {
        &self.operator
    }
}

impl DisplayAs for OperatorExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operator.name())
    }
}

impl ExecutionPlan for OperatorExec {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![self.distribution.clone()])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.required.clone()]
    }

    /// No: more partitions than the input has would be more workers than were requested.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let [input]: [Arc<dyn ExecutionPlan>; 1] = children.try_into().map_err(|children: Vec<_>| {
            DataFusionError::Plan(format!("{} has one input, not {}", self.operator.name(), children.len()))
        })?;
        Ok(Arc::new(Self::new(Arc::clone(&self.operator), input)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        task: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, Arc::clone(&task))?;
        let meter = task.session_config().get_extension::<Meter>();
        let meter = meter.unwrap_or_else(|| Arc::new(Meter::new(|_| ())));
        let input = Input { partition, rows, task, meter };
        let output = Arc::clone(&self.operator).execute(input).map_err(DataFusionError::from);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), output)))
    }
}

/// Plans queries that contain operators.
#[derive(Debug, Default)]
pub struct QueryPlanner;

#[async_trait]
impl QueryPlannerTrait for QueryPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OperatorPlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

struct OperatorPlanner;

#[async_trait]
impl ExtensionPlanner for OperatorPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<OperatorNode>() else { return Ok(None) };
        let [input] = inputs else { return Err(Error::internal("an operator has one input").into()) };
        Ok(Some(Arc::new(OperatorExec::new(Arc::clone(node.operator()), Arc::clone(input))?)))
    }
}
