//! For tests: a small API server that keeps pods and refuses as Kubernetes does: names that are taken (409), quotas (403),
//! throttling (429), restarts (503, connections that are closed), lists in pages, deletion that takes its time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Pods of one page of a list.
const PAGE: usize = 3;

/// The server; it ends with the test's runtime.
pub(super) struct Api {
    address: std::net::SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pods: BTreeMap<String, Value>,
    asked: Vec<String>,
    quota: Option<usize>,
    is_hidden: bool,
    refusals: Option<Refusals>,
    closes: usize,
}

/// Answers that come in place of others.
struct Refusals {
    after: usize,
    count: usize,
    status: u16,
    message: String,
    retry_after: Option<u64>,
}

impl Api {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<Mutex<State>>::default();
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                serve(connection, &served).await;
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    pub(super) fn pods(&self) -> Vec<Value> {
        self.state().pods.values().cloned().collect()
    }

    /// How many requests of a method there were.
    pub(super) fn count(&self, method: &str) -> usize {
        self.state().asked.iter().filter(|asked| *asked == method).count()
    }

    pub(super) fn requests(&self) -> usize {
        self.state().asked.len()
    }

    pub(super) fn set_quota(&self, pods: Option<usize>) {
        self.state().quota = pods;
    }

    /// Lists show nothing.
    pub(super) fn hide(&self, is_hidden: bool) {
        self.state().is_hidden = is_hidden;
    }

    pub(super) fn refuse_next(&self, count: usize, status: u16, message: &str, retry_after: Option<u64>) {
        self.refuse_after(0, count, status, message, retry_after);
    }

    /// Answers some requests, and refuses those after them.
    pub(super) fn refuse_after(
        &self,
        after: usize,
        count: usize,
        status: u16,
        message: &str,
        retry_after: Option<u64>,
    ) {
        let message = message.to_owned();
        self.state().refusals = Some(Refusals { after, count, status, message, retry_after });
    }

    /// Closes the next connections without an answer.
    pub(super) fn close_next(&self, connections: usize) {
        self.state().closes = connections;
    }

    pub(super) fn set_phases(&self, phase: &str) {
        self.state().pods.values_mut().for_each(|pod| pod["status"] = json!({ "phase": phase }));
    }

    pub(super) fn set_unschedulable(&self, message: &str) {
        let condition = json!({ "type": "PodScheduled", "status": "False", "message": message });
        let status = json!({ "phase": "Pending", "conditions": [condition] });
        self.state().pods.values_mut().for_each(|pod| pod["status"] = status.clone());
    }

    pub(super) fn kill_all(&self, reason: &str, code: i64, at: &str) {
        let terminated = json!({ "reason": reason, "exitCode": code, "finishedAt": at });
        let status =
            json!({ "phase": "Failed", "containerStatuses": [{ "state": { "terminated": terminated } }] });
        self.state().pods.values_mut().for_each(|pod| pod["status"] = status.clone());
    }

    /// The pods that are being deleted have finished their tasks.
    pub(super) fn end_those_that_leave(&self) {
        self.state().pods.retain(|_, pod| !pod["metadata"]["deletionTimestamp"].is_string());
    }
}

async fn serve(mut connection: TcpStream, state: &Mutex<State>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            break (end + 4, length.map_or(0, |length| length.trim().parse().expect("a length")));
        }
        if connection.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    while bytes.len() < head + length {
        if connection.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let line = String::from_utf8_lossy(&bytes).lines().next().expect("a line").to_owned();
    let mut words = line.split(' ');
    let (method, target) = (words.next().expect("a method"), words.next().expect("a target"));
    let Some((status, retry_after, answer)) =
        state.lock().expect("not poisoned").answer(method, target, &bytes[head..])
    else {
        return;
    };
    let body = answer.to_string();
    let retry = retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{retry}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may be gone.
    let _ = connection.write_all(answer.as_bytes()).await;
    let _ = connection.shutdown().await;
}

type Answer = (u16, Option<u64>, Value);

fn refused(status: u16, message: impl Into<String>) -> Answer {
    (status, None, json!({ "kind": "Status", "code": status, "message": message.into() }))
}

impl State {
    /// The answer to a request; `None` where the connection is closed without one.
    fn answer(&mut self, method: &str, target: &str, body: &[u8]) -> Option<Answer> {
        self.asked.push(method.to_owned());
        if self.closes > 0 {
            self.closes -= 1;
            return None;
        }
        if let Some(refusals) = &mut self.refusals {
            if refusals.after > 0 {
                refusals.after -= 1;
            } else if refusals.count > 0 {
                refusals.count -= 1;
                let (status, _, answer) = refused(refusals.status, refusals.message.clone());
                return Some((status, refusals.retry_after, answer));
            }
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let deployment = path.strip_prefix("/apis/apps/v1/namespaces/customs/deployments/");
        if let Some(name) = deployment {
            return Some((
                200,
                None,
                json!({ "metadata": { "name": name, "uid": format!("uid-of-{name}") } }),
            ));
        }
        let Some(name) = path.strip_prefix("/api/v1/namespaces/customs/pods") else {
            return Some(refused(404, format!("{path} not found")));
        };
        Some(match (method, name.trim_start_matches('/')) {
            ("GET", "") => self.list(query),
            ("POST", "") => self.create(serde_json::from_slice(body).expect("JSON")),
            ("DELETE", name) => self.delete(name, query.contains("gracePeriodSeconds=0")),
            _ => refused(405, "not allowed"),
        })
    }

    fn list(&self, query: &str) -> Answer {
        assert!(query.contains("labelSelector=tidewaiter%2Frelease%3Dtidewaiter"), "{query}");
        let after = query.split('&').find_map(|part| part.strip_prefix("continue="));
        let from: usize = after.map_or(0, |after| after.parse().expect("a token"));
        let all = if self.is_hidden { 0 } else { self.pods.len() };
        let items: Vec<&Value> = self.pods.values().take(all).skip(from).take(PAGE).collect();
        let more = if from + PAGE < all { (from + PAGE).to_string() } else { String::new() };
        (200, None, json!({ "items": items, "metadata": { "continue": more } }))
    }

    fn create(&mut self, mut pod: Value) -> Answer {
        let name = pod["metadata"]["name"].as_str().expect("a name").to_owned();
        if self.pods.contains_key(&name) {
            return refused(409, format!("pods \"{name}\" already exists"));
        }
        if let Some(quota) = self.quota.filter(|quota| self.pods.len() >= *quota) {
            let message =
                format!("pods \"{name}\" is forbidden: exceeded quota: pods, limited: pods={quota}");
            return refused(403, message);
        }
        pod["metadata"]["creationTimestamp"] = json!("1970-01-01T00:00:00Z");
        pod["status"] = json!({ "phase": "Pending" });
        self.pods.insert(name, pod.clone());
        (201, None, pod)
    }

    fn delete(&mut self, name: &str, at_once: bool) -> Answer {
        let Some(pod) = self.pods.get_mut(name) else {
            return refused(404, format!("pods \"{name}\" not found"));
        };
        pod["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:10:00Z");
        let pod = pod.clone();
        if at_once {
            self.pods.remove(name);
        }
        (200, None, pod)
    }
}
