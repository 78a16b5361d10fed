//! That every plan node of the catalogue travels in logical and physical plans, and comes back as it was.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops where it cannot go on")]

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, Schema},
    datasource::provider_as_source,
    execution::TaskContext,
    logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder},
    physical_plan::{ExecutionPlan, displayable, empty::EmptyExec},
};
use datafusion_proto::{
    bytes::{
        logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
        physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
    },
    physical_plan::PhysicalExtensionCodec,
};
use prost::Message;
use tidewaiter_archive::{
    listed_scan::ListedScan, provider::ParquetSourceProvider, write_operator::WriteOperator,
};
use tidewaiter_catalogue::CATALOGUE;
use tidewaiter_core::plan::{Meter, OperatorExec, OperatorNode};
use tidewaiter_executor::codec::{LogicalCodec, PhysicalCodec};
use tidewaiter_fraud::{
    backtest::{BacktestOperator, HistoryOperator},
    features::FeaturesOperator,
    messages as fraud,
    model::ScoreOperator,
};
use tidewaiter_hs::{RecommendOperator, TextsOperator, messages as hs};
use tidewaiter_ingest::{IngestOperator, messages as ingest};
use tidewaiter_job::engine::{Engine, Local};
use tidewaiter_learning::fit_operator::FitOperator;
use tidewaiter_passengers::{
    features::{
        operator::{FeaturesMessage, PassengerFeaturesOperator},
        rows,
    },
    ingest::{messages as passengers, scan::ScanOperator, store::StoreOperator},
    link::operators::{IdentityOperator, KeysOperator, PairsOperator},
    model::{
        fit_operator::{GraphFitMessage, GraphFitOperator},
        operator::{PassengerScoreOperator, ScoreMessage},
    },
    privacy::seal::{PassengersSealOperator, SealOperator},
};
use tidewaiter_proto::v1::{self, FileListSource, ParquetSource, parquet_source::Source};
use tidewaiter_release::{
    cases::CasesOperator, messages as release, process::EdgesOperator, stage_file::DEFAULT,
    stages::StagesOperator,
};
use tidewaiter_xray::{
    features::squares_operator::SquaresOperator,
    ingest::{inspect::InspectImagesOperator, messages as xray_ingest, store::StoreImagesOperator},
    messages as xray,
    predict::operator::DetectOperator,
};

/// First byte of what the codecs write.
const OURS: u8 = 0xD5;

/// One operator of each kind.
fn operators() -> Vec<v1::PlanOperator> {
    let archive = "memory://codec/archive".to_owned();
    let passengers_archive = archive.clone();
    let task = v1::FitTask {
        learner: "gbdt".to_owned(),
        shards: vec![v1::ParquetFile { path: "work/shard".to_owned(), size: 7 }],
        parameters: r#"{"features":["a"],"label":"label","date":"day","validation_days":[1,2]}"#.to_owned(),
    };
    let output =
        fraud::FeatureOutput { name: "shard".to_owned(), parts: 2, ..fraud::FeatureOutput::default() };
    let all = [
        (IngestOperator::NAME, ingest::IngestOperator {
            archive: archive.clone(),
            job: "job".to_owned(),
            mapping: "country = \"TW\"\n[columns]\ndeclaration_id = { from = \"id\" }\n\
                      item_number = { constant = \"1\" }\nacceptance_date = { from = \"day\" }\n\
                      hs_code = { from = \"hs\" }"
                .to_owned(),
            memory_bytes: 1 << 20,
            nomenclature: "0901\n090111".to_owned(),
            today: 20_000,
            most_quarantined: 0.5,
            first_source: 7,
            again: true,
            ingested_us: 1_700_000_000_000_000,
            forgotten: true,
        }.encode_to_vec()),
        (FeaturesOperator::NAME, fraud::FeaturesOperator {
            archive: archive.clone(),
            folder: "work".to_owned(),
            outputs: vec![output],
            parameters: "{}".to_owned(),
        }.encode_to_vec()),
        (FitOperator::NAME, v1::FitOperator {
            archive: archive.clone(),
            fit: "fit".to_owned(),
            collective: "http://127.0.0.1:1".to_owned(),
            task: Some(task),
            needs_gpu: true,
        }.encode_to_vec()),
        (ScoreOperator::NAME, fraud::ScoreOperator {
            archive: archive.clone(),
            model: "models/fraud/1/model.bin".to_owned(),
            reasons_from: Some(0.25),
            revenue_from: Some(1000.0),
        }.encode_to_vec()),
        (HistoryOperator::NAME, fraud::HistoryOperator {
            archive: archive.clone(),
            truth: vec![v1::ParquetFile { path: "work/job/truth.parquet".to_owned(), size: 7 }],
            has_truth: true,
        }.encode_to_vec()),
        (BacktestOperator::NAME, fraud::BacktestOperator {
            parameters: r#"{"strategy":"gbdt+badge","seed":1,"days":[18000,18100],"period_days":28,
                "inspection_rate":0.05,"exploration":0.1,"features":{},"trees":{},"date":{},"training_rows":1000,
                "drift":true}"#
                .to_owned(),
        }.encode_to_vec()),
        (TextsOperator::NAME, hs::HsTextsOperator {
            archive: archive.clone(),
            folder: "work".to_owned(),
            nomenclature: "work/nomenclature.csv".to_owned(),
            correlation: "work/correlation.csv".to_owned(),
        }.encode_to_vec()),
        (RecommendOperator::NAME, hs::HsRecommendOperator {
            archive: archive.clone(),
            model: "models/hs-TW/1/model.bin".to_owned(),
            fast: true,
            suggestions: true,
            rates: "work/rates.json".to_owned(),
            description_alone: true,
            without_unit: true,
        }.encode_to_vec()),
        (InspectImagesOperator::NAME, Vec::new()),
        (StoreImagesOperator::NAME, xray_ingest::StoreImagesOperator {
            left_out: vec![2, 7],
            first_source: 3,
            begins: vec![0, 4],
        }.encode_to_vec()),
        (SquaresOperator::NAME, xray::XraySquaresOperator {
            archive: archive.clone(),
            folder: "work/squares".to_owned(),
            side: 320,
            tile: 1280,
            shards: 4,
            labels: "work/labels.json".to_owned(),
        }.encode_to_vec()),
        (DetectOperator::NAME, xray::XrayDetectOperator {
            archive: archive.clone(),
            model: "models/xray-TW/1/model.bin".to_owned(),
            declared: "work/declared.json".to_owned(),
            batch: 8,
        }.encode_to_vec()),
        (
            ListedScan::NAME,
            datafusion_proto::protobuf::Schema::try_from(schema().as_ref()).expect("columns").encode_to_vec(),
        ),
        (WriteOperator::NAME, v1::WriteOperator {
            archive,
            table: "predictions/fraud".to_owned(),
            country: "TW".to_owned(),
            date_column: "acceptance_date".to_owned(),
            sort_columns: vec!["declaration_id".to_owned(), "item_number".to_owned()],
            name: "job".to_owned(),
            memory_bytes: 1 << 20,
        }.encode_to_vec()),
        (
            StagesOperator::NAME,
            release::StagesOperator { stages: DEFAULT.to_owned(), ..release::StagesOperator::default() }
                .encode_to_vec(),
        ),
        (ScanOperator::NAME, passengers::PassengersScanOperator { mapping: String::new() }.encode_to_vec()),
        (StoreOperator::NAME, passengers::PassengersStoreOperator {
            archive: passengers_archive.clone(),
            country: "KR".to_owned(),
            mapping: String::new(),
            key: "env:TIDEWAITER_PASSENGERS_KEY".to_owned(),
            fingerprint: "0123456789abcdef".to_owned(),
            job: "job".to_owned(),
            ingested_us: 1_700_000_000_000_000,
            memory_bytes: 1 << 20,
        }.encode_to_vec()),
        (PassengerFeaturesOperator::NAME, FeaturesMessage { first: 19_000, last: 19_030, neighbours: true }.encode_to_vec()),
        (PassengerScoreOperator::NAME, ScoreMessage {
            archive: passengers_archive.clone(),
            model: "models/passengers-KR/1/model.bin".to_owned(),
            reasons_from: Some(0.5),
            rules: String::new(),
        }.encode_to_vec()),
        (GraphFitOperator::NAME, GraphFitMessage {
            archive: passengers_archive.clone(),
            model: "work/job/model.bin".to_owned(),
            settings: "{}".to_owned(),
            valid_first: 19_000,
            valid_last: 19_030,
            trips: 1000,
        }.encode_to_vec()),
        (IdentityOperator::NAME, Vec::new()),
        (KeysOperator::NAME, 1000_u64.to_be_bytes().to_vec()),
        (PairsOperator::NAME, br#""Patterns""#.to_vec()),
        (
            SealOperator::NAME,
            PassengersSealOperator { key: "env:TIDEWAITER_PASSENGERS_KEY".to_owned(), before: 19_000 }.encode_to_vec(),
        ),
        (CasesOperator::NAME, release::CasesOperator { parts: 1, ..release::CasesOperator::default() }.encode_to_vec()),
        (EdgesOperator::NAME, release::EdgesOperator::default().encode_to_vec()),
    ];
    all.into_iter().map(|(name, payload)| v1::PlanOperator { name: name.to_owned(), payload }).collect()
}

/// The columns that any of the operators needs of its input.
fn schema() -> Arc<Schema> {
    let mut fields = tidewaiter_fraud::features::file_schema().fields().to_vec();
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
        ("day", DataType::Int64),
        ("declaration", DataType::Utf8),
        ("image_id", DataType::Utf8),
        ("objects", DataType::Utf8),
        ("record", DataType::Utf8),
        ("bytes", DataType::Binary),
        ("traveller_id", DataType::Utf8),
        ("name_key", DataType::Utf8),
        ("document_key", DataType::Utf8),
        ("phone", DataType::Utf8),
        ("email", DataType::Utf8),
        ("surname", DataType::Utf8),
        ("given", DataType::Utf8),
        ("birth", DataType::Utf8),
        ("identity", DataType::Int64),
        ("key", DataType::Utf8),
        ("value", DataType::Utf8),
        ("sealed", DataType::Utf8),
        ("flight_date", DataType::Date32),
    ];
    fields.extend(more.map(|(name, kind)| Arc::new(Field::new(name, kind, true))));
    Arc::new(Schema::new(fields))
}

/// The columns of an operator's input: those of events for cases, and of cases for what is made of them.
fn input_of(message: &v1::PlanOperator, all: &[v1::PlanOperator]) -> Arc<Schema> {
    let events = || {
        let mut fields = tidewaiter_release::table::schema().fields().to_vec();
        fields.push(Arc::new(Field::new("done", DataType::Int64, true)));
        Arc::new(Schema::new(fields))
    };
    let cases = || {
        let cases = all.iter().find(|message| message.name == CasesOperator::NAME).expect("an example");
        let cases = CATALOGUE.operator(cases).expect("an operator").schema(&events()).expect("columns");
        let mut fields = cases.fields().to_vec();
        fields.push(Arc::new(Field::new("period", DataType::Int64, true)));
        Arc::new(Schema::new(fields))
    };
    match message.name.as_str() {
        CasesOperator::NAME => events(),
        StagesOperator::NAME | EdgesOperator::NAME => cases(),
        PassengerFeaturesOperator::NAME => Arc::new(Schema::new(
            rows::input().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>(),
        )),
        PassengerScoreOperator::NAME | GraphFitOperator::NAME => rows::schema(true),
        _ => schema(),
    }
}

#[tokio::test]
async fn every_operator_travels_in_logical_and_physical_plans() {
    let engine = Local::new(1, 1 << 20).expect("an engine");
    let session = engine.session("job", Meter::new(|_| ())).expect("a session");
    let task = session.task_ctx();
    let messages = operators();
    let mut names: Vec<_> = messages.iter().map(|message| message.name.as_str()).collect();
    let mut known: Vec<_> = CATALOGUE.operator_names().collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known, "an operator has no example here");
    for message in &messages {
        let operator = CATALOGUE.operator(message).expect("an operator");
        let schema = || input_of(message, &messages);
        let source = ParquetSource {
            archive: "memory://codec/archive".to_owned(),
            source: Some(Source::Files(FileListSource::default())),
        };
        let provider = ParquetSourceProvider::try_new(source, schema()).expect("a provider");
        let input = LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(provider)), None);
        let input = input.expect("scans").build().expect("builds");
        let node = OperatorNode::new(Arc::clone(&operator), input).expect("a node");
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let codec = LogicalCodec::new(CATALOGUE);
        let bytes = logical_plan_to_bytes_with_extension_codec(&plan, &codec).expect("encodes");
        let back = logical_plan_from_bytes_with_extension_codec(&bytes, &task, &codec).expect("decodes");
        assert_eq!(back.display_indent_schema().to_string(), plan.display_indent_schema().to_string());
        let LogicalPlan::Extension(Extension { node }) = back else { panic!("not a node of ours") };
        let ours = node.as_any().downcast_ref::<OperatorNode>().expect("an operator");
        assert_eq!(
            (ours.operator().name(), ours.operator().payload()),
            (message.name.as_str(), message.payload.clone())
        );

        let exec = OperatorExec::new(operator, Arc::new(EmptyExec::new(schema()))).expect("a node");
        let exec: Arc<dyn ExecutionPlan> = Arc::new(exec);
        let codec = PhysicalCodec::new(CATALOGUE);
        let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(&exec), &codec).expect("encodes");
        let back = physical_plan_from_bytes_with_extension_codec(&bytes, &task, &codec).expect("decodes");
        let ours = back.downcast_ref::<OperatorExec>().expect("an operator");
        assert_eq!(
            (ours.operator().name(), ours.operator().payload()),
            (message.name.as_str(), message.payload.clone())
        );
        let show = |plan: &dyn ExecutionPlan| displayable(plan).indent(true).to_string();
        assert_eq!(show(back.as_ref()), show(exec.as_ref()));
    }
}

#[test]
fn a_message_of_no_operator_is_refused() {
    for bytes in [&[OURS][..], &[OURS, 1, 2, 3], &[OURS, 0x32, 0]] {
        let error = PhysicalCodec::new(CATALOGUE).try_decode(
            bytes,
            &[Arc::new(EmptyExec::new(schema()))],
            &TaskContext::default(),
            &datafusion_proto::physical_plan::DefaultPhysicalProtoConverter {},
        );
        assert!(error.is_err());
    }
}
