//! The domain's jobs in this process, one after the other: images are generated, ingested, learned and searched.

use std::sync::Arc;

use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_job::{
    Catalogue, Domain, Job, JobParameters, Listener, NoLog, Outcome, Roots, Setting, engine::Local,
};

use crate::{
    DOMAIN, ingest,
    parameters::{ApplyParameters, RetrainParameters},
    synth,
};

struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

/// Runs a job of these parameters, which must succeed.
async fn run<P: JobParameters>(archive: &Archive, id: &str, parameters: serde_json::Value) -> Outcome {
    static DOMAINS: &[&Domain] = &[&DOMAIN];
    let engine = Local::new(2, 64 << 20).expect("an engine");
    let mut job = Job::new(
        P::KIND,
        Setting {
            archive,
            engine: &engine,
            extensions: Catalogue::new(DOMAINS).extensions(),
            listener: Arc::new(Silent),
            log: &NoLog,
            id,
            submitted_ms: 1_700_000_000_000,
            roots: Roots::Anywhere,
        },
    );
    let parameters: P = serde_json::from_value(parameters).expect("parameters");
    let result = parameters.run(&mut job).await;
    let outcome = job.finish(&result);
    assert!(result.is_ok(), "{:?}", outcome.error);
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_generated_ingested_learned_and_searched() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = Archive::open("memory://xray-jobs/archive").expect("opens");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let months = "2024-01..2024-03";
    let synth =
        json!({ "out": path("images"), "country": "TW", "images": 45, "months": months, "threats": 0.5 });
    run::<synth::Parameters>(&archive, "1-synth", synth).await;
    let ingest = json!({
        "files": [path("images/images")],
        "annotations": path("images/annotations.json"),
        "mapping": path("images/mapping.toml"),
    });
    let ingested = run::<ingest::Parameters>(&archive, "2-ingest", ingest).await;
    assert_eq!(ingested.rows.archived, 45);

    let detector = json!({ "side": 32, "width": 8, "epochs": 1, "batch_images": 4 });
    let retrain = json!({
        "country": "TW", "train": "2024-01", "valid": "2024-02", "test": "2024-03", "shards": 2, "tile": 0,
        "detector": detector, "language": "es",
    });
    let trained = run::<RetrainParameters>(&archive, "3-retrain", retrain).await;
    assert_eq!(trained.model.as_deref(), Some("xray-TW@1"));
    assert_eq!(trained.metrics["promoted"], true);
    assert!(trained.metrics["test"]["mAP@50"].is_f64() && trained.metrics["test"]["AUC"].is_f64());

    let apply = json!({ "country": "TW", "months": "2024-03" });
    let applied = run::<ApplyParameters>(&archive, "5-apply", apply).await;
    assert_eq!(applied.metrics["searched"]["images"], trained.metrics["test"]["images"]);
    for (name, report) in [
        ("xray-model.html", "reports/xray-TW-1.html"),
        ("xray-apply.html", "reports/xray-apply-5-apply.html"),
    ] {
        let page = archive.get(report).await.expect("a page");
        let page = String::from_utf8(page.to_vec()).expect("text");
        assert!(page.contains("data:image/png;base64,"));
        tidewaiter_report::keep(name, &page).expect("is kept");
    }
    for (report, tables) in [
        (
            "xray-TW-1",
            &[
                "classes",
                "thresholds",
                "roc",
                "froc",
                "scanners",
                "sites",
                "calibration",
                "months",
                "mismatches",
                "data",
            ][..],
        ),
        (
            "xray-apply-5-apply",
            &["alarms", "classes", "scanners", "sites", "months", "mismatches", "unreadable"],
        ),
    ] {
        for table in tables {
            for form in ["csv", "parquet", "json"] {
                let path = format!("reports/{report}/{table}.{form}");
                assert!(archive.exists(&path).await.expect("answers"), "{path}");
            }
        }
    }
    let data = archive.get("reports/xray-TW-1/data.csv").await.expect("a table");
    let data = String::from_utf8(data.to_vec()).expect("text");
    assert!(data.starts_with("part,images,annotated,illicit\ntrain,"), "{data}");
}
