//! The logical plan node of an operator.

use std::{cmp::Ordering, fmt, hash, sync::Arc};

use datafusion::{
    common::{DFSchema, DFSchemaRef},
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore},
    prelude::DataFrame,
};

use super::operator::{Operator, encode};
use crate::Result;

/// An operator over a logical plan.
#[derive(Clone)]
pub struct OperatorNode {
    operator: Arc<dyn Operator>,
    /// The operator's serialised form, by which nodes are compared.
    message: Vec<u8>,
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl OperatorNode {
    /// The node of an operator over an input.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the input lacks what the operator needs.
    pub fn new(operator: Arc<dyn Operator>, input: LogicalPlan) -> Result<Self> {
        let schema = operator.schema(input.schema().as_arrow())?;
        let schema = Arc::new(DFSchema::try_from(schema)?);
        Ok(Self { message: encode(operator.as_ref()), operator, input, schema })
    }

    /// The operator.
    pub fn operator(&self) -> &Arc<dyn Operator> {
        &self.operator
    }
}

/// The query whose rows are the output of an operator over the rows of `query`.
///
/// # Errors
/// As [`OperatorNode::new`].
pub fn apply(query: DataFrame, operator: impl Operator) -> Result<DataFrame> {
    let (state, plan) = query.into_parts();
    let node = OperatorNode::new(Arc::new(operator), plan)?;
    Ok(DataFrame::new(state, LogicalPlan::Extension(Extension { node: Arc::new(node) })))
}

impl fmt::Debug for OperatorNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorNode").field("operator", &self.operator).field("input", &self.input).finish()
    }
}

impl PartialEq for OperatorNode {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message && self.input == other.input
    }
}

impl Eq for OperatorNode {}

impl PartialOrd for OperatorNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.message.cmp(&other.message) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            order => Some(order),
        }
    }
}

impl hash::Hash for OperatorNode {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.message.hash(state);
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for OperatorNode {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operator.name())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let [input]: [LogicalPlan; 1] = inputs.try_into().map_err(|inputs: Vec<_>| {
            DataFusionError::Plan(format!("{} has one input, not {}", self.operator.name(), inputs.len()))
        })?;
        Ok(Self::new(Arc::clone(&self.operator), input)?)
    }
}
