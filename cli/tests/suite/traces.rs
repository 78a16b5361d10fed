//! Traces and logs of real processes, as a collector and a log reader get them.

#![allow(clippy::disallowed_methods, reason = "a test polls with a deadline")]

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::ChildStderr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    binary, document,
    processes::{pause, started},
};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A collector of OTLP over HTTP: its address, and the spans that it has been sent.
struct Collector {
    endpoint: String,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let spans = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&spans);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let body = take(connection.expect("connects"));
                let of_request = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned();
                taken.lock().expect("whole").extend(of_request.expect("spans"));
            }
        });
        Self { endpoint, spans }
    }

    /// The spans of the trace whose job, by its kind, is over, when each has its parent.
    fn trace(&self, kind: &str) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let spans = self.spans.lock().expect("whole").clone();
            if let Some(root) = spans.iter().find(|span| level(span) == "job" && span["name"] == kind) {
                let of_trace = spans.iter().filter(|span| span["traceId"] == root["traceId"]);
                let of_trace: Vec<Value> = of_trace.cloned().collect();
                let ids: HashSet<&Value> = of_trace.iter().map(|span| &span["spanId"]).collect();
                if of_trace
                    .iter()
                    .all(|span| span["parentSpanId"] == "" || ids.contains(&span["parentSpanId"]))
                {
                    return of_trace;
                }
            }
            assert!(begin.elapsed() < DEADLINE, "no trace of {kind}: {spans:?}");
            pause(Duration::from_millis(50));
        }
    }
}

/// Takes one request and gives its body.
fn take(mut connection: TcpStream) -> Value {
    let mut request = Vec::new();
    let body = loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("POST /v1/traces "), "{head}");
            let head = head.to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            if body.len() >= length.parse().expect("a number") {
                break serde_json::from_str(body).expect("JSON");
            }
        }
        let mut part = [0; 1 << 16];
        let read = connection.read(&mut part).expect("read");
        assert!(read > 0, "the request is cut");
        request.extend_from_slice(&part[..read]);
    };
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    connection.write_all(answer).expect("written");
    body
}

/// Reads a log of JSON to its end, and keeps its lines; nobody may wait for a reader of its log.
fn keep(log: BufReader<ChildStderr>) -> Arc<Mutex<Vec<Value>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        // What a process says to its user is text among them.
        for line in log.lines().map_while(Result::ok) {
            kept.lock().expect("whole").extend(serde_json::from_str::<Value>(&line));
        }
    });
    lines
}

/// A line of a log that is as it should be, which must come.
fn line(lines: &Mutex<Vec<Value>>, is_it: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let lines = lines.lock().expect("whole");
        if let Some(line) = lines.iter().find(|line| is_it(line)) {
            return line.clone();
        }
        let last = &lines[lines.len().saturating_sub(9)..];
        assert!(begin.elapsed() < DEADLINE, "no such line among {}: {last:#?}", lines.len());
        drop(lines);
        pause(Duration::from_millis(50));
    }
}

fn level(span: &Value) -> &str {
    span["attributes"][0]["value"]["stringValue"].as_str().expect("a level")
}

#[test]
fn the_trace_of_a_job_leads_from_the_job_to_tasks_and_rounds() {
    let folder = tempfile::tempdir().expect("a folder");
    let collector = Collector::begin();
    let mut command = binary();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
    let wanted = "tidewaiter_scheduler=info,tidewaiter_collective=info";
    command.env("TIDEWAITER_LOG", wanted).env("TIDEWAITER_LOG_FORMAT", "json");
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--archive"]);
    command.arg(folder.path().join("archive")).arg("--exports").arg(folder.path());
    let (_scheduler, mut logs, listens) = started(&mut command);
    let url = listens.rsplit(' ').next().expect("a word").to_owned();
    let mut logged = String::new();
    logs.read_line(&mut logged).expect("it logs");
    let logged: Value = serde_json::from_str(&logged).expect("one object a line");
    assert_eq!((&logged["level"], &logged["message"]), (&"INFO".into(), &"scheduler is listening".into()));
    assert!(logged.get("job").is_none(), "{logged}");
    let of_scheduler = keep(logs);

    let mut command = binary();
    command.env("TIDEWAITER_LOG", "datafusion_physical_plan=trace").env("TIDEWAITER_LOG_FORMAT", "json");
    command.args(["executor", "--scheduler", &url, "--port", "0", "--name", "one", "--work-folder"]);
    let (_executor, logs, _) = started(command.arg(folder.path().join("work")));
    let of_executor = keep(logs);

    let (pipeline, exports) = (folder.path().join("p.toml"), folder.path().join("exports"));
    let text = format!(
        "[[job]]\nkind = \"synth\"\nout = {exports:?}\n\
         archive = {{ country = \"TW\", first_month = [2020, 1], months = 6, rows_per_year = 6000, inspection_rate = 0.5 }}\n\
         [[job]]\nkind = \"ingest\"\nmapping = \"{0}/mapping.toml\"\nfiles = [\"{0}/declarations-*.csv\"]\n\
         [[job]]\nkind = \"retrain\"\nmodel = \"fraud\"\ncountry = \"TW\"\ntrain = \"2020-01..2020-04\"\n\
         valid = \"2020-05\"\ntest = \"2020-06\"\ntrees = {{ trees = 3 }}\n",
        exports.display()
    );
    fs::write(&pipeline, text).expect("is written");
    let mut command = binary();
    command.args(["--output", "json", "--scheduler", &url, "run"]).arg(&pipeline);
    let done = document(&command.output().expect("starts"));

    // A line in a job's work names the job and the step, and on an executor the job and the query.
    let joined = line(&of_scheduler, |line| line["message"] == "worker joined the fit");
    let step = joined["step"].as_str().expect("a step");
    assert_eq!((&joined["job"], &joined["kind"]), (&done["job"], &"pipeline".into()), "{joined}");
    assert!(step.starts_with("3 retrain: "), "{joined}");
    let of_task = line(&of_executor, |line| line["job"] == done["job"]);
    assert!(of_task["query"].is_string() && of_task["stage"].is_u64(), "{of_task}");

    let spans = collector.trace("pipeline");
    let by_id: HashMap<&Value, &Value> = spans.iter().map(|span| (&span["spanId"], span)).collect();
    assert_eq!(by_id.len(), spans.len(), "each id stands for one span");
    let mut counts = HashMap::new();
    for span in &spans {
        *counts.entry(level(span)).or_insert(0) += 1;
        let parent = by_id.get(&span["parentSpanId"]).map(|parent| level(parent));
        let parents: &[Option<&str>] = match level(span) {
            "job" => &[None],
            "part" => &[Some("job")],
            "step" => &[Some("part")],
            "query" | "round" => &[Some("step")],
            "task" => &[Some("query")],
            other => panic!("a span of {other}"),
        };
        assert!(parents.contains(&parent), "{parent:?} of {span}");
        let nanoseconds = |key: &str| span[key].as_str().and_then(|text| text.parse::<u64>().ok());
        assert!(nanoseconds("startTimeUnixNano") <= nanoseconds("endTimeUnixNano"), "{span}");
        assert_eq!(span["status"], serde_json::json!({}), "{span}");
    }
    assert_eq!((counts["job"], counts["part"]), (1, 3), "{counts:?}");
    assert!(counts["step"] >= 4 && counts["query"] >= 3 && counts["task"] >= counts["query"], "{counts:?}");
    assert!(counts["round"] >= 3, "three trees: {counts:?}");

    // A command that drives its job itself sends its trace before it ends; what failed says why.
    let mut command = binary();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
    let refused = command.args(["quality", "--archive"]).arg(folder.path().join("other")).output();
    assert_eq!(refused.expect("starts").status.code(), Some(2));
    let spans = collector.trace("quality");
    let root = spans.iter().find(|span| level(span) == "job").expect("a job");
    assert_eq!(root["status"]["code"], 2, "{root}");
}

#[test]
fn settings_of_logs_and_traces_are_checked() {
    for (variable, value, says) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "http://host:4318"),
        ("TIDEWAITER_LOG_FORMAT", "xml", "text or json"),
    ] {
        let output = binary().env(variable, value).args(["models", "list"]).output().expect("starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(variable) && told.contains(says), "{told}");
    }
}
