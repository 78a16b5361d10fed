//! Sends spans to a collector: OTLP over HTTP, as JSON, in batches.

use std::time::Duration;

use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use url::Url;

use crate::{
    recorder::{Message, RECORDER, Recorder},
    span::{Span, text},
};

/// Spans that wait to be sent, at most.
const WAITING: usize = 16_384;

/// Spans of one request, at most.
const BATCH: usize = 512;

/// How long a batch waits for more.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of a process waits for its last spans.
const LAST: Duration = Duration::from_secs(2);

/// Sends what is recorded, while [`Exporter::run`] runs.
#[derive(Debug)]
pub struct Exporter {
    messages: mpsc::Receiver<Message>,
    http: Client,
    url: Url,
    resource: Value,
}

/// Records from now on, for the collector whose OTLP/HTTP endpoint is `endpoint`, such as `http://collector:4318`;
/// `part` names what this process is. The exporter sends what is recorded, while it runs.
///
/// # Errors
/// A message, when the endpoint is no URL of HTTP or this process records already.
pub fn start(endpoint: &str, part: &str) -> Result<Exporter, String> {
    let (recorder, exporter) = exporter(endpoint, part)?;
    RECORDER.set(recorder).map_err(|_| "traces are recorded already".to_owned())?;
    Ok(exporter)
}

/// A recorder, and the exporter that sends what it records.
fn exporter(endpoint: &str, part: &str) -> Result<(Recorder, Exporter), String> {
    let wrong = |reason: String| {
        format!("the collector {endpoint:?} is not reached like that: {reason}; write http://host:4318")
    };
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let url = Url::parse(&url).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("{} is not HTTP", url.scheme())));
    }
    let http = Client::builder().timeout(TIMEOUT).build().map_err(|error| wrong(error.to_string()))?;
    let (sender, messages) = mpsc::channel(WAITING);
    let resource = json!({ "attributes": [
        text("service.name", &format!("tidewaiter-{part}")),
        text("service.version", env!("CARGO_PKG_VERSION")),
    ] });
    Ok((Recorder::new(sender), Exporter { messages, http, url, resource }))
}

/// Sends what was recorded so far, and waits for it a moment.
pub async fn flush() {
    let Some(recorder) = RECORDER.get() else { return };
    let (sender, done) = oneshot::channel();
    let sent = async {
        if recorder.messages.send(Message::Flush(sender)).await.is_ok() {
            // An exporter that is gone sends nothing more.
            let _ = done.await;
        }
    };
    if tokio::time::timeout(LAST, sent).await.is_err() {
        tracing::warn!("the last spans of the traces were not sent in time");
    }
}

impl Exporter {
    /// Sends spans as they come, until the process ends.
    pub async fn run(mut self) {
        let (mut batch, mut failures) = (Vec::new(), 0_u64);
        loop {
            let flushed = self.fill(&mut batch).await;
            if !batch.is_empty() {
                match self.send(&batch).await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        failures += 1;
                        // One line for each doubling.
                        if failures.is_power_of_two() {
                            let url = self.url.as_str();
                            tracing::warn!(url, error, failures, "the collector does not take spans");
                        }
                    }
                }
                batch.clear();
            }
            match flushed {
                Filled::Batch => {}
                // Whoever waited may have given up.
                Filled::Flush(done) => drop(done.send(())),
                Filled::End => return,
            }
        }
    }

    /// Waits for spans, and gathers those that come soon after the first.
    async fn fill(&mut self, batch: &mut Vec<Span>) -> Filled {
        let mut late = std::pin::pin!(None::<tokio::time::Sleep>);
        while batch.len() < BATCH {
            let message = match late.as_mut().as_pin_mut() {
                None => self.messages.recv().await,
                Some(late) => tokio::select! {
                    message = self.messages.recv() => message,
                    () = late => return Filled::Batch,
                },
            };
            match message {
                Some(Message::Span(span)) => batch.push(*span),
                Some(Message::Flush(done)) => return Filled::Flush(done),
                None => return Filled::End,
            }
            if batch.len() == 1 {
                late.set(Some(tokio::time::sleep(PAUSE)));
            }
        }
        Filled::Batch
    }

    async fn send(&self, batch: &[Span]) -> Result<(), String> {
        let body = request(&self.resource, batch).to_string();
        let post = self.http.post(self.url.clone()).header(header::CONTENT_TYPE, "application/json");
        let answer = post.body(body).send().await.map_err(|error| error.to_string())?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err("404: it takes no OTLP over HTTP at this address".to_owned()),
            status => Err(status.to_string()),
        }
    }
}

/// Why a batch is sent.
enum Filled {
    /// It is full, or has waited long enough.
    Batch,
    /// Somebody waits for it.
    Flush(oneshot::Sender<()>),
    /// Nothing is recorded any more.
    End,
}

/// The message `ExportTraceServiceRequest`.
fn request(resource: &Value, batch: &[Span]) -> Value {
    let scope = json!({ "name": "tidewaiter", "version": env!("CARGO_PKG_VERSION") });
    let spans: Vec<Value> = batch.iter().map(Span::to_json).collect();
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "scope": scope, "spans": spans }] }] })
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::{Level, begin, innermost, new_id, now, record};

    /// Takes requests and gives their bodies.
    async fn collector(listener: TcpListener, bodies: mpsc::Sender<Value>) {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = Vec::new();
            loop {
                let text = String::from_utf8_lossy(&request).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
                    let length = head.to_lowercase().split("content-length: ").nth(1).map(str::to_owned);
                    let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
                    if body.len() >= length.expect("a length") {
                        bodies.send(serde_json::from_str(body).expect("JSON")).await.expect("read");
                        break;
                    }
                }
                assert!(connection.read_buf(&mut request).await.expect("read") > 0);
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            connection.write_all(answer).await.expect("written");
        }
    }

    #[test]
    fn a_wrong_collector_is_refused_with_a_right_one() {
        for wrong in ["collector", "collector:4318", "ftp://collector", ""] {
            let error = exporter(wrong, "test").map(drop).expect_err(wrong);
            assert!(error.contains("http://host:4318"), "{error}");
        }
    }

    // One test for all: what a process records is one.
    #[tokio::test]
    async fn spans_lie_in_each_other_and_reach_the_collector() {
        drop(begin("before", Level::Job, "nobody records this"));
        assert_eq!((innermost("before"), new_id("before")), (None, None));

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let endpoint = format!("http://{}/", listener.local_addr().expect("an address"));
        let (sender, mut bodies) = mpsc::channel(8);
        tokio::spawn(collector(listener, sender));
        let exporter = start(&endpoint, "test").expect("starts");
        start(&endpoint, "test").expect_err("it has started");
        tokio::spawn(exporter.run());

        let job = begin("j", Level::Job, "retrain");
        let step = begin("j", Level::Step, "fit");
        let other = begin("k", Level::Job, "ingest");
        let (id, parent) = (new_id("j").expect("recorded"), innermost("j"));
        let (begun, ended) = (now(), now());
        let (name, attributes) = ("query q".to_owned(), vec![("tidewaiter.query", "q".to_owned())]);
        record(Span {
            job: "j".to_owned(),
            id,
            parent,
            level: Level::Query,
            name,
            begun,
            ended,
            attributes,
            error: None,
        });
        step.end(Some("no space".to_owned()));
        job.end(None);
        drop(other);
        assert_eq!((innermost("j"), innermost("k")), (None, None));
        flush().await;

        let body = bodies.recv().await.expect("a request");
        let resource = &body["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "tidewaiter-test");
        let spans = resource["scopeSpans"][0]["spans"].as_array().expect("spans");
        let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().expect("a name")).collect();
        assert_eq!(names, ["query q", "fit", "retrain", "ingest"]);
        let [query, fit, retrain, ingest] = &spans[..] else { panic!("four") };
        assert_eq!(query["parentSpanId"], fit["spanId"]);
        assert_eq!(fit["parentSpanId"], retrain["spanId"]);
        assert_eq!((&retrain["parentSpanId"], &ingest["parentSpanId"]), (&json!(""), &json!("")));
        assert_eq!(query["traceId"], retrain["traceId"]);
        assert_ne!(ingest["traceId"], retrain["traceId"]);
        assert_eq!(fit["status"], json!({ "code": 2, "message": "no space" }));
        assert_eq!(retrain["status"], json!({}));
        assert_eq!(ingest["status"]["message"], "it was given up");
    }
}
