//! How our table providers and plan nodes travel, beside everything that Ballista's codecs carry themselves.
//!
//! Providers travel by reference, nodes as their operators' messages. The same codecs sit in the client, the
//! scheduler and the executors.

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
use tidewaiter_jobs::{
    archive::provider::{decode_provider, try_encode_provider},
    catalogue,
    plan::{self, Operator, OperatorExec, OperatorNode},
};
use tidewaiter_proto::v1;

/// First byte of what these codecs write; Ballista's own messages begin with another.
const OURS: u8 = 0xD5;

fn decode_operator(message: &[u8]) -> Result<Arc<dyn Operator>> {
    Ok(catalogue::operator(v1::PlanOperator::decode(message).map_err(tidewaiter_jobs::Error::from)?)?)
}

fn one<T>(inputs: Vec<T>) -> Result<T> {
    let count = inputs.len();
    let input = inputs.into_iter().next().filter(|_| count == 1);
    input.ok_or_else(|| {
        DataFusionError::Plan(format!("a plan node of tidewaiter has {count} inputs, not one"))
    })
}

/// The logical codec of a Tidewaiter cluster.
#[derive(Debug, Default)]
pub struct LogicalCodec {
    ballista: BallistaLogicalExtensionCodec,
}

impl LogicalExtensionCodec for LogicalCodec {
    fn try_decode(&self, bytes: &[u8], inputs: &[LogicalPlan], context: &TaskContext) -> Result<Extension> {
        match bytes.split_first() {
            Some((&OURS, message)) => {
                let node = OperatorNode::new(decode_operator(message)?, one(inputs.to_vec())?)?;
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
            Some((&OURS, reference)) => Ok(decode_provider(reference, schema)?),
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
#[derive(Debug, Default)]
pub struct PhysicalCodec {
    ballista: BallistaPhysicalExtensionCodec,
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
                Ok(Arc::new(OperatorExec::new(decode_operator(message)?, one(inputs.to_vec())?)?))
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

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::datatypes::{DataType, Field, Schema},
        datasource::provider_as_source,
        logical_expr::LogicalPlanBuilder,
        physical_plan::{displayable, empty::EmptyExec},
    };
    use datafusion_proto::bytes::{
        logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
        physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
    };
    use tidewaiter_jobs::{
        archive::provider::ParquetSourceProvider,
        engine::{Engine, Local},
        plan::Meter,
    };
    use tidewaiter_proto::v1::{FileListSource, ParquetSource, parquet_source::Source};

    use super::*;

    /// One operator of each kind.
    fn operators() -> Vec<v1::PlanOperator> {
        use v1::plan_operator::Operator as Message;
        let archive = "memory://codec/archive".to_owned();
        let task = v1::FitTask {
            learner: "gbdt".to_owned(),
            shards: vec![v1::ParquetFile { path: "work/shard".to_owned(), size: 7 }],
            parameters: r#"{"features":["a"],"label":"label","date":"day","validation_days":[1,2]}"#
                .to_owned(),
        };
        let output = v1::FeatureOutput { name: "shard".to_owned(), parts: 2, ..v1::FeatureOutput::default() };
        let all = [
            Message::Ingest(v1::IngestOperator {
                archive: archive.clone(),
                job: "job".to_owned(),
                mapping: "country = \"TW\"\n[columns]\ndeclaration_id = { from = \"id\" }\n\
                          item_number = { constant = \"1\" }\nacceptance_date = { from = \"day\" }\n\
                          hs_code = { from = \"hs\" }"
                    .to_owned(),
                memory_bytes: 1 << 20,
                first: 3,
            }),
            Message::Features(v1::FeaturesOperator {
                archive: archive.clone(),
                folder: "work".to_owned(),
                outputs: vec![output],
                parameters: "{}".to_owned(),
            }),
            Message::Fit(v1::FitOperator {
                archive: archive.clone(),
                fit: "fit".to_owned(),
                collective: "http://127.0.0.1:1".to_owned(),
                task: Some(task),
                needs_gpu: true,
            }),
            Message::Score(v1::ScoreOperator {
                archive: archive.clone(),
                model: "models/fraud/1/model.bin".to_owned(),
                reasons_from: Some(0.25),
                revenue_from: Some(1000.0),
            }),
            Message::History(v1::HistoryOperator {
                archive: archive.clone(),
                truth: vec![v1::ParquetFile { path: "work/job/truth.parquet".to_owned(), size: 7 }],
                has_truth: true,
            }),
            Message::Backtest(v1::BacktestOperator {
                parameters: r#"{"strategy":"gbdt+badge","seed":1,"days":[18000,18100],"period_days":28,
                    "inspection_rate":0.05,"exploration":0.1,"features":{},"trees":{},"date":{},"training_rows":1000,
                    "drift":true}"#
                    .to_owned(),
            }),
            Message::HsTexts(v1::HsTextsOperator {
                archive: archive.clone(),
                folder: "work".to_owned(),
                nomenclature: "work/nomenclature.csv".to_owned(),
                correlation: "work/correlation.csv".to_owned(),
            }),
            Message::HsRecommend(v1::HsRecommendOperator {
                archive: archive.clone(),
                model: "models/hs/1/model.bin".to_owned(),
                fast: true,
                suggestions: true,
                rates: "work/rates.json".to_owned(),
                description_alone: true,
            }),
            Message::Write(v1::WriteOperator {
                archive,
                table: "predictions/fraud".to_owned(),
                country: "TW".to_owned(),
                date_column: "acceptance_date".to_owned(),
                name: "job".to_owned(),
                memory_bytes: 1 << 20,
            }),
        ];
        all.into_iter().map(|operator| v1::PlanOperator { operator: Some(operator) }).collect()
    }

    /// The columns that any of the operators needs of its input.
    fn schema() -> Arc<Schema> {
        let mut fields = tidewaiter_jobs::fraud::features::file_schema().fields().to_vec();
        let more = [
            ("task", DataType::Utf8),
            ("net_mass", DataType::Float64),
            ("part", DataType::Int64),
            ("description", DataType::Utf8),
            ("rows", DataType::Int64),
            ("unit", DataType::Utf8),
            ("mass_value", DataType::Float64),
            ("unit_value", DataType::Float64),
            ("true_illicit", DataType::Boolean),
            ("true_revenue", DataType::Float64),
        ];
        fields.extend(more.map(|(name, kind)| Arc::new(Field::new(name, kind, true))));
        Arc::new(Schema::new(fields))
    }

    #[tokio::test]
    async fn every_operator_travels_in_logical_and_physical_plans() {
        let engine = Local::new(1, 1 << 20).expect("an engine");
        let session = engine.session("job", Meter::new(|_| ())).expect("a session");
        let task = session.task_ctx();
        for message in operators() {
            let operator = catalogue::operator(message.clone()).expect("an operator");
            let source = ParquetSource {
                archive: "memory://codec/archive".to_owned(),
                source: Some(Source::Files(FileListSource::default())),
            };
            let provider = ParquetSourceProvider::try_new(source, schema()).expect("a provider");
            let input = LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(provider)), None);
            let input = input.expect("scans").build().expect("builds");
            let node = OperatorNode::new(Arc::clone(&operator), input).expect("a node");
            let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
            let codec = LogicalCodec::default();
            let bytes = logical_plan_to_bytes_with_extension_codec(&plan, &codec).expect("encodes");
            let back = logical_plan_from_bytes_with_extension_codec(&bytes, &task, &codec).expect("decodes");
            assert_eq!(back.display_indent_schema().to_string(), plan.display_indent_schema().to_string());
            let LogicalPlan::Extension(Extension { node }) = back else { panic!("not a node of ours") };
            let ours = node.as_any().downcast_ref::<OperatorNode>().expect("an operator");
            assert_eq!(ours.operator().message(), message);

            let exec = OperatorExec::new(operator, Arc::new(EmptyExec::new(schema()))).expect("a node");
            let exec: Arc<dyn ExecutionPlan> = Arc::new(exec);
            let codec = PhysicalCodec::default();
            let bytes =
                physical_plan_to_bytes_with_extension_codec(Arc::clone(&exec), &codec).expect("encodes");
            let back = physical_plan_from_bytes_with_extension_codec(&bytes, &task, &codec).expect("decodes");
            let ours = back.downcast_ref::<OperatorExec>().expect("an operator");
            assert_eq!(ours.operator().message(), message);
            let show = |plan: &dyn ExecutionPlan| displayable(plan).indent(true).to_string();
            assert_eq!(show(back.as_ref()), show(exec.as_ref()));
        }
    }

    #[test]
    fn a_message_of_no_operator_is_refused() {
        for bytes in [&[OURS][..], &[OURS, 1, 2, 3], &[OURS, 0x32, 0]] {
            let error = PhysicalCodec::default().try_decode(
                bytes,
                &[Arc::new(EmptyExec::new(schema()))],
                &TaskContext::default(),
                &datafusion_proto::physical_plan::DefaultPhysicalProtoConverter {},
            );
            assert!(error.is_err());
        }
    }
}
