//! How our table providers and plan nodes travel, beside everything that Ballista's codecs carry themselves.
//!
//! Providers travel by reference, nodes as their operators' messages. The same codecs sit in the client, the
//! scheduler and the executors. Whoever submitted the plan reads of an error here only its text, so errors are encoded
//! in it ([`as_text`]).

use std::sync::Arc;

use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::TableProvider,
    common::TableReference,
    datasource::file_format::FileFormatFactory,
    error::{DataFusionError, Result},
    execution::TaskContext,
    logical_expr::{AggregateUDF, Extension, LogicalPlan, ScalarUDF, WindowUDF},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    logical_plan::LogicalExtensionCodec,
    physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension},
};
use prost::Message;
use tidewaiter_archive::provider::{decode_provider, try_encode_provider};
use tidewaiter_core::plan::{self, Operator, OperatorExec, OperatorNode};
use tidewaiter_job::Catalogue;
use tidewaiter_proto::v1;

use crate::failure::as_text;

/// First byte of what these codecs write; Ballista's own messages begin with another.
const OURS: u8 = 0xD5;

fn decode_operator(message: &[u8], catalogue: &Catalogue) -> Result<Arc<dyn Operator>> {
    let message = v1::PlanOperator::decode(message).map_err(|error| as_text(error.into()))?;
    catalogue.operator(&message).map_err(as_text)
}

fn one<T>(inputs: Vec<T>) -> Result<T> {
    let count = inputs.len();
    let input = inputs.into_iter().next().filter(|_| count == 1);
    input.ok_or_else(|| {
        DataFusionError::Plan(format!("a plan node of tidewaiter has {count} inputs, not one"))
    })
}

/// The logical codec of a Tidewaiter cluster.
#[derive(Debug)]
pub struct LogicalCodec {
    catalogue: Catalogue,
    ballista: BallistaLogicalExtensionCodec,
}

impl LogicalCodec {
    /// A codec that knows the plan nodes of a catalogue.
    pub fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, ballista: BallistaLogicalExtensionCodec::default() }
    }
}

impl LogicalExtensionCodec for LogicalCodec {
    fn try_decode(&self, bytes: &[u8], inputs: &[LogicalPlan], context: &TaskContext) -> Result<Extension> {
        match bytes.split_first() {
            Some((&OURS, message)) => {
                let operator = decode_operator(message, &self.catalogue)?;
                let node = OperatorNode::new(operator, one(inputs.to_vec())?).map_err(as_text)?;
                Ok(Extension { node: Arc::new(node) })
            }
            _ => self.ballista.try_decode(bytes, inputs, context),
        }
    }

    fn try_encode(&self, node: &Extension, bytes: &mut Vec<u8>) -> Result<()> {
        match node.node.as_any().downcast_ref::<OperatorNode>() {
            Some(ours) => {
                bytes.push(OURS);
                bytes.extend(plan::encode(ours.operator().as_ref()));
                Ok(())
            }
            None => self.ballista.try_encode(node, bytes),
        }
    }

    fn try_decode_table_provider(
        &self,
        bytes: &[u8],
        table: &TableReference,
        schema: SchemaRef,
        context: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        match bytes.split_first() {
            Some((&OURS, reference)) => decode_provider(reference, schema).map_err(as_text),
            _ => self.ballista.try_decode_table_provider(bytes, table, schema, context),
        }
    }

    fn try_encode_table_provider(
        &self,
        table: &TableReference,
        provider: Arc<dyn TableProvider>,
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        match try_encode_provider(provider.as_ref()) {
            Some(reference) => {
                bytes.push(OURS);
                bytes.extend(reference);
                Ok(())
            }
            None => self.ballista.try_encode_table_provider(table, provider, bytes),
        }
    }

    fn try_decode_file_format(
        &self,
        bytes: &[u8],
        context: &TaskContext,
    ) -> Result<Arc<dyn FileFormatFactory>> {
        self.ballista.try_decode_file_format(bytes, context)
    }

    fn try_encode_file_format(&self, bytes: &mut Vec<u8>, format: Arc<dyn FileFormatFactory>) -> Result<()> {
        self.ballista.try_encode_file_format(bytes, format)
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.ballista.try_decode_udf(name, bytes)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udf(function, bytes)
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.ballista.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udaf(function, bytes)
    }

    fn try_decode_udwf(&self, name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
        self.ballista.try_decode_udwf(name, bytes)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udwf(function, bytes)
    }
}

/// The physical codec of a Tidewaiter cluster.
#[derive(Debug)]
pub struct PhysicalCodec {
    catalogue: Catalogue,
    ballista: BallistaPhysicalExtensionCodec,
}

impl PhysicalCodec {
    /// A codec that knows the plan nodes of a catalogue.
    pub fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, ballista: BallistaPhysicalExtensionCodec::default() }
    }
}

impl PhysicalExtensionCodec for PhysicalCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match bytes.split_first() {
            Some((&OURS, message)) => {
                let operator = decode_operator(message, &self.catalogue)?;
                Ok(Arc::new(OperatorExec::new(operator, one(inputs.to_vec())?).map_err(as_text)?))
            }
            _ => self.ballista.try_decode(bytes, inputs, context, converter),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        match node.downcast_ref::<OperatorExec>() {
            Some(ours) => {
                bytes.push(OURS);
                bytes.extend(plan::encode(ours.operator().as_ref()));
                Ok(())
            }
            None => self.ballista.try_encode(node, bytes, converter),
        }
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.ballista.try_decode_udf(name, bytes)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udf(function, bytes)
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.ballista.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udaf(function, bytes)
    }

    fn try_decode_udwf(&self, name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
        self.ballista.try_decode_udwf(name, bytes)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.ballista.try_encode_udwf(function, bytes)
    }
}
