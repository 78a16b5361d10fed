//! That a domain is added by its own crate and one entry of the catalogue: a toy one with a table, an operator and a
//! job runs in this process and on a cluster, as those of the catalogue do.
//!
//! It counts what ships bring to a port. Everything that a domain needs stands below, as it would in its own crate.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops where it cannot go on")]

use std::{sync::Arc, time::Duration};

use tidewaiter_archive::Archive;
use tidewaiter_executor::Options as ExecutorOptions;
use tidewaiter_job::{
    Catalogue, Job, Listener, NoLog, Outcome, Roots, Setting, Specification,
    engine::{Engine, Local},
    remote,
};
use tidewaiter_proto::v1::{JobStatus, SubmitRequest, WatchRequest, job_service_client::JobServiceClient};
use tidewaiter_scheduler::{
    driver::{Retries, Sources},
    server,
};

/// The one entry of the catalogue.
static CATALOGUE: Catalogue = Catalogue::new(&[&tidewaiter_ingest::DOMAIN, &port_calls::DOMAIN]);

mod port_calls {
    //! The toy domain.

    use std::sync::Arc;

    use arrow::{
        array::{AsArray, RecordBatch},
        datatypes::{Float64Type, Schema, SchemaRef},
    };
    use clap::Args;
    use futures::{StreamExt, stream::BoxStream};
    use serde::{Deserialize, Serialize};
    use tidewaiter_archive::{
        provider::snapshot_provider,
        schema::{Check, Column, Kind, Layout, arrow_schema, column},
    };
    use tidewaiter_core::{
        Error, Result,
        plan::{self, Input, Operator},
    };
    use tidewaiter_job::{
        Domain, Job, JobKind, JobParameters, Outcome, async_trait, catalogue::OperatorKind, summary::figures,
    };

    pub(super) static DOMAIN: Domain = Domain {
        tables: &[&LAYOUT],
        operators: &[OperatorKind {
            name: CountOperator::NAME,
            read: |payload, _| Ok(Arc::new(serde_json::from_slice::<CountOperator>(payload)?)),
        }],
        jobs: &[JobKind::of::<Parameters>()],
        ..Domain::EMPTY
    };

    /// The table.
    static LAYOUT: Layout = Layout {
        table: "port_calls",
        about: "Calls of ships at ports: one row per call",
        columns: COLUMNS,
        date_column: "day",
        sort_columns: &["ship"],
        key: &["ship"],
        schema,
    };

    const COLUMNS: &[Column] = &[
        column("ship", Kind::Text, true, Check::Any, "name of the ship"),
        column("day", Kind::Date, true, Check::Any, "day of the call"),
        column("containers", Kind::Number, false, Check::NotNegative, "containers unloaded"),
    ];

    fn schema() -> SchemaRef {
        arrow_schema(COLUMNS)
    }

    /// The job.
    #[derive(Debug, Clone, Args, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parameters {
        /// Containers of a call that counts, at least; default: 1.
        #[serde(default = "one")]
        #[arg(long, required = false)]
        at_least: f64,
    }

    fn one() -> f64 {
        1.0
    }

    #[async_trait]
    impl JobParameters for Parameters {
        const KIND: &'static str = "count-containers";
        const ABOUT: &'static str = "Count the containers that ships unloaded";

        async fn run(&self, job: &mut Job<'_>) -> Result<()> {
            let operator = CountOperator { at_least: self.at_least };
            let (archive, session) = (job.archive, job.session("count"));
            let counted = async move {
                let calls = session?.read_table(snapshot_provider(archive, LAYOUT.table, None).await?)?;
                let calls = calls.select_columns(&["containers"])?;
                let counts: Vec<f64> = plan::reports(plan::apply(calls, operator)?).await?;
                Ok(counts.iter().sum::<f64>())
            };
            let containers = job.step("count", counted).await?;
            job.outcome.metrics.insert("containers".into(), containers.into());
            Ok(())
        }

        fn summary(outcome: &Outcome) -> Vec<String> {
            vec![figures(&outcome.metrics, &["containers"], 0)]
        }
    }

    /// The operator.
    #[derive(Debug, Serialize, Deserialize)]
    struct CountOperator {
        at_least: f64,
    }

    impl CountOperator {
        const NAME: &'static str = "CountContainersExec";
    }

    impl Operator for CountOperator {
        fn name(&self) -> &'static str {
            Self::NAME
        }

        fn payload(&self) -> Vec<u8> {
            serde_json::to_vec(self).expect("a number has a JSON form")
        }

        fn schema(&self, input: &Schema) -> Result<SchemaRef> {
            input.index_of("containers").map_err(|_| Error::input("the rows have no containers"))?;
            Ok(plan::report_schema())
        }

        fn execute(self: Arc<Self>, mut input: Input) -> BoxStream<'static, Result<RecordBatch>> {
            let count = async move {
                let mut containers = 0.0;
                while let Some(batch) = input.rows.next().await {
                    let batch = batch?;
                    let values = batch.column(0).as_primitive::<Float64Type>();
                    containers +=
                        values.iter().flatten().filter(|value| *value >= self.at_least).sum::<f64>();
                }
                plan::report(&containers)
            };
            futures::stream::once(count).boxed()
        }
    }
}

/// The words of a command as a job.
fn asked(words: &str) -> Specification {
    let command = clap::Command::new("tidewaiter").subcommands(CATALOGUE.job_commands());
    let matches = command.try_get_matches_from(words.split(' ')).expect("a command");
    let (name, options) = matches.subcommand().expect("a command");
    CATALOGUE.specification(name, options).expect("right options").expect("a job")
}

struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

async fn run_here(archive: &Archive, engine: &dyn Engine, specification: &Specification) -> Outcome {
    let (id, listener, extensions) = (specification.kind(), Arc::new(Silent), CATALOGUE.extensions());
    let roots = Roots::Anywhere;
    let setting = Setting { archive, engine, extensions, listener, log: &NoLog, id, submitted_ms: 0, roots };
    let mut job = Job::new(id, setting);
    let result = specification.run(&mut job).await;
    job.finish(&result)
}

async fn run_on_cluster(url: &str, specification: &Specification) -> Outcome {
    let mut client = JobServiceClient::new(remote::connect(url).await.expect("connects"));
    let specification = specification.to_json().expect("writes").to_string();
    let request = SubmitRequest { specification, request_id: String::new() };
    let job = client.submit(request).await.expect("submits").into_inner().job;
    let mut events = client.watch(WatchRequest { job }).await.expect("follows").into_inner();
    let mut last = None;
    while let Some(event) = events.message().await.expect("an event") {
        last = event.job.or(last);
    }
    let last = last.expect("a job");
    assert_eq!(last.status(), JobStatus::Succeeded, "{}", last.outcome);
    serde_json::from_str(&last.outcome).expect("an outcome")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toy_domain_is_ingested_and_counted_here_and_on_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let (calls, mapping) = (folder.path().join("calls.csv"), folder.path().join("mapping.toml"));
    std::fs::write(&calls, "ship,day,containers\nA,2024-01-02,3\nB,2024-02-03,4\nC,2024-02-30,5\n")
        .expect("written");
    let columns = "[columns]\nship = { from = \"ship\" }\nday = { from = \"day\" }\ncontainers = { from = \"containers\" }\n";
    std::fs::write(&mapping, format!("table = \"port_calls\"\ncountry = \"NL\"\n{columns}"))
        .expect("written");
    let ingest =
        asked(&format!("tidewaiter ingest port_calls --mapping {} {}", mapping.display(), calls.display()));
    let count = asked("tidewaiter count-containers --at-least 4");

    let archive = Archive::open(&folder.path().join("archive").display().to_string()).expect("opens");
    let engine = Local::new(2, 64 << 20).expect("an engine");
    let ingested = run_here(&archive, &engine, &ingest).await;
    assert_eq!((ingested.rows.archived, ingested.rows.quarantined), (2, 1), "{:?}", ingested.error);
    let counted = run_here(&archive, &engine, &count).await;
    assert_eq!(counted.metrics["containers"], 4.0, "{:?}", counted.error);
    assert_eq!(CATALOGUE.summary(&counted), ["containers 4"]);

    let archive = Archive::open(&folder.path().join("cluster").display().to_string()).expect("opens");
    let listener = server::bind("127.0.0.1:0".parse().expect("an address")).await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    let options = server::Options {
        archive,
        url: server::url(&listener, None).expect("a URL"),
        needs: server::needs_of_plan,
        sources: Sources { now_ms: || 0, new_id },
        catalogue: CATALOGUE,
        retries: Retries::new(0, Duration::from_secs(60)),
        gpu_wait: Duration::MAX,
        exports: Roots::below(&[folder.path().to_owned()]).expect("a folder"),
        patience: server::Patience::default(),
        jobs_at_once: 10,
        metrics: None,
        pools: None,
        routine: None,
        lease: None,
    };
    tokio::spawn(server::serve(listener, options, Box::pin(std::future::pending())));
    let executor = ExecutorOptions {
        catalogue: CATALOGUE,
        name: Some("toy".into()),
        process: "toy".into(),
        device: "cpu".into(),
        gpus: 0,
        slots: 2,
        host: "127.0.0.1".into(),
        port: 0,
        scheduler_host: "127.0.0.1".into(),
        scheduler_port: address.port(),
        work_folder: Some(folder.path().join("work")),
        memory: Some(64 << 20),
        about: tidewaiter_executor::About::default(),
    };
    tokio::spawn(tidewaiter_executor::Executor::bind(executor).expect("listens").run());
    let url = format!("http://{address}");
    assert_eq!(run_on_cluster(&url, &ingest).await.rows.archived, 2);
    assert_eq!(run_on_cluster(&url, &count).await.metrics["containers"], 4.0);
}

/// The ids of two jobs, in their order.
fn new_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("job-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
