//! Pools on demand with real processes: a small stand-in for Kubernetes starts an executor for each pod that is made.

#![allow(clippy::disallowed_methods, reason = "a test polls with a deadline")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    binary, document,
    processes::{Process, pause, started},
};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Pods, each with the process of its executor.
#[derive(Default)]
struct Pods {
    running: BTreeMap<String, (Value, Option<Process>)>,
    made: usize,
    deleted: usize,
    /// Refuses every pod, in these words.
    quota: Option<String>,
}

/// A stand-in for the API of Kubernetes.
struct Kubernetes {
    url: String,
    pods: Arc<Mutex<Pods>>,
}

impl Kubernetes {
    /// Executors join this scheduler once it is known.
    fn start(scheduler: Arc<Mutex<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let pods = Arc::<Mutex<Pods>>::default();
        let served = Arc::clone(&pods);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let scheduler = scheduler.lock().expect("not poisoned").clone();
                serve(connection, &mut served.lock().expect("not poisoned"), &scheduler);
            }
        });
        Self { url, pods }
    }

    fn look<T>(&self, with: impl FnOnce(&mut Pods) -> T) -> T {
        with(&mut self.pods.lock().expect("not poisoned"))
    }

    /// Waits until something is so.
    fn wait(&self, what: &str, is: impl Fn(&Pods) -> bool) {
        let begin = Instant::now();
        while !self.look(|pods| is(pods)) {
            assert!(begin.elapsed() < DEADLINE, "{what}");
            pause(Duration::from_millis(50));
        }
    }
}

fn serve(mut connection: TcpStream, pods: &mut Pods, scheduler: &str) {
    let mut reader = BufReader::new(connection.try_clone().expect("a second handle"));
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).expect("read");
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).expect("read") <= 2 {
            break;
        }
        if let Some(bytes) = header.to_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("read");
    let mut words = line.split([' ', '?']);
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let name = path.rsplit('/').next().expect("a name");
    let (status, answer) = match (method, path.contains("/deployments/")) {
        (_, true) => (200, json!({ "metadata": { "uid": "u" } })),
        ("POST", _) => pods.make(serde_json::from_slice(&body).expect("JSON"), scheduler),
        ("DELETE", _) => pods.delete(name),
        _ => {
            let items: Vec<&Value> = pods.running.values().map(|(pod, _)| pod).collect();
            (200, json!({ "items": items }))
        }
    };
    let text = answer.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    // The scheduler may be gone.
    let _ = connection.write_all(format!("{head}{text}").as_bytes());
}

impl Pods {
    fn make(&mut self, mut pod: Value, scheduler: &str) -> (u16, Value) {
        if let Some(message) = &self.quota {
            return (403, json!({ "message": message }));
        }
        let name = pod["metadata"]["name"].as_str().expect("a name").to_owned();
        if self.running.contains_key(&name) {
            return (409, json!({ "message": "already exists" }));
        }
        let device = pod["metadata"]["labels"]["tidewaiter/pool"].as_str().expect("a pool").to_owned();
        let mut command = binary();
        command.args([
            "executor",
            "--scheduler",
            scheduler,
            "--port",
            "0",
            "--name",
            &name,
            "--device",
            &device,
        ]);
        command.arg("--assume-device").stderr(Stdio::null());
        pod["status"] = json!({ "phase": "Running" });
        self.made += 1;
        self.running.insert(name, (pod, Some(Process(command.spawn().expect("starts")))));
        (201, json!({}))
    }

    fn delete(&mut self, name: &str) -> (u16, Value) {
        match self.running.remove(name) {
            Some((_, process)) => {
                drop(process);
                self.deleted += 1;
                (200, json!({}))
            }
            None => (404, json!({ "message": "not found" })),
        }
    }
}

/// The document of pools that the chart would write.
fn pools(folder: &Path, api: &str) -> String {
    let image = format!("registry.example/tidewaiter@sha256:{}", "ab".repeat(32));
    let pool = |device: &str, limits: Value| {
        let container = json!({ "name": "executor", "image": image, "resources": { "limits": limits } });
        json!({ "device": device, "slots": 1, "most": 2, "template": { "spec": { "containers": [container] } } })
    };
    let document = json!({
        "release": "tidewaiter", "namespace": "customs", "owner": "tidewaiter-scheduler", "most": 4, "api": api,
        "pools": { "cpu": pool("cpu", json!({})), "gpu": pool("gpu", json!({ "nvidia.com/gpu": "1" })) }
    });
    let path = folder.join("pools.json");
    fs::write(&path, document.to_string()).expect("is written");
    path.display().to_string()
}

#[test]
fn a_job_without_executors_gets_pods_that_do_it_and_go_and_one_that_gets_none_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let scheduler = Arc::<Mutex<String>>::default();
    let kubernetes = Kubernetes::start(Arc::clone(&scheduler));
    let mut command = binary();
    command.args(["scheduler", "--bind", "127.0.0.1:0", "--pods", &pools(folder.path(), &kubernetes.url)]);
    command.arg("--archive").arg(folder.path().join("archive")).arg("--exports").arg(folder.path());
    let (_scheduler, _stderr, line) = started(&mut command);
    let url = line.rsplit(' ').next().expect("a word").to_owned();
    scheduler.lock().expect("not poisoned").clone_from(&url);

    let mapping = folder.path().join("mapping.toml");
    let text = "table = \"releases\"\ncountry = \"UG\"\n[columns]\ncase_id = { from = \"case\" }\n\
                event = { from = \"event\" }\nevent_time = { from = \"time\" }\n";
    fs::write(&mapping, text).expect("is written");
    let ingest = |files: std::ops::Range<u32>| {
        let mut arguments = ["ingest", "releases", "--mapping"].map(str::to_owned).to_vec();
        arguments.push(mapping.display().to_string());
        for file in files {
            let path = folder.path().join(format!("{file}.csv"));
            let row = format!("case,event,time\n{file},lodge,2024-02-03T08:00Z\n");
            fs::write(&path, row).expect("is written");
            arguments.push(path.display().to_string());
        }
        arguments
    };
    let command = || {
        let mut command = binary();
        command.args(["--output", "json", "--scheduler", &url]);
        command
    };
    let ingested = document(&command().args(ingest(0..3)).output().expect("starts"));
    assert_eq!(ingested["rows"]["archived"], 3);
    kubernetes.wait("its pods stay", |pods| pods.running.is_empty());
    let (made, deleted) = kubernetes.look(|pods| (pods.made, pods.deleted));
    assert!((1..=2).contains(&made) && deleted == made, "{made} made, {deleted} deleted");

    kubernetes.look(|pods| pods.quota = Some("pods is forbidden: exceeded quota: pods=0".to_owned()));
    let submitted = command().arg("--detach").args(ingest(3..4)).output().expect("starts");
    assert!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));
    let begin = Instant::now();
    loop {
        let jobs = document(&command().args(["jobs", "list"]).output().expect("starts"));
        let waits_for = jobs.to_string();
        if waits_for.contains("exceeded quota: pods=0") && waits_for.contains("raise the quota") {
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "{waits_for}");
        pause(Duration::from_millis(100));
    }
}
