//! A pod of a pool as the API shows it, as far as a decision needs it.

use chrono::DateTime;
use serde_json::Value;

use crate::settings::RELEASE;

/// The label and annotation of the job that a pod is for; the label may be cut, the annotation is the job's id.
pub const JOB: &str = "tidewaiter/job";
/// The label of a pod's pool.
pub const POOL: &str = "tidewaiter/pool";
/// The label of a pod's tenant.
pub const TENANT: &str = "tidewaiter/tenant";
/// The label of a pod's number among those of its job and pool.
pub const NUMBER: &str = "tidewaiter/number";
/// The label that says how many pods of that number have ended before.
pub const ATTEMPT: &str = "tidewaiter/attempt";

/// Where a pod stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Its executor may join at any time; what keeps it from starting, if anything does.
    Starting(Option<String>),
    /// It runs.
    Running,
    /// It has ended, at a time in milliseconds since 1970, and why.
    Ended(i64, String),
    /// It is being deleted.
    Leaving,
}

/// A pod of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// The pool.
    pub pool: String,
    /// The job that it is for.
    pub job: String,
    /// Its number among those of its job and pool.
    pub number: usize,
    /// How many of that number have ended before.
    pub attempt: u32,
    /// Where it stands.
    pub phase: Phase,
}

impl Pod {
    /// Whether its executor runs, or will.
    pub fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Starting(_) | Phase::Running)
    }

    /// A pod of a release as the API shows it; `None` for what is none of its pools.
    pub fn read(object: &Value, release: &str) -> Option<Self> {
        let meta = &object["metadata"];
        let label = |name: &str| meta["labels"][name].as_str();
        if label(RELEASE)? != release {
            return None;
        }
        Some(Self {
            name: meta["name"].as_str()?.to_owned(),
            pool: label(POOL)?.to_owned(),
            job: meta["annotations"][JOB].as_str()?.to_owned(),
            number: label(NUMBER)?.parse().ok()?,
            attempt: label(ATTEMPT)?.parse().ok()?,
            phase: phase(object),
        })
    }
}

fn phase(object: &Value) -> Phase {
    let (meta, status) = (&object["metadata"], &object["status"]);
    if meta["deletionTimestamp"].is_string() {
        return Phase::Leaving;
    }
    match status["phase"].as_str().unwrap_or_default() {
        "Running" => Phase::Running,
        "Succeeded" | "Failed" => Phase::Ended(ended_ms(object), why_ended(status)),
        _ => Phase::Starting(trouble(status)),
    }
}

/// The container statuses of a pod.
fn containers(status: &Value) -> impl Iterator<Item = &Value> {
    status["containerStatuses"].as_array().into_iter().flatten()
}

/// When the last of its containers ended, or, where none began, when the pod was made.
fn ended_ms(object: &Value) -> i64 {
    let ended = containers(&object["status"]).filter_map(|container| {
        let terminated = &container["state"]["terminated"];
        milliseconds(&terminated["finishedAt"])
    });
    ended.max().or_else(|| milliseconds(&object["metadata"]["creationTimestamp"])).unwrap_or(0)
}

fn milliseconds(time: &Value) -> Option<i64> {
    Some(DateTime::parse_from_rfc3339(time.as_str()?).ok()?.timestamp_millis())
}

fn why_ended(status: &Value) -> String {
    let own = [&status["reason"], &status["message"]];
    let own = own.into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join(": ");
    if !own.is_empty() {
        return own;
    }
    let of_container = containers(status).find_map(|container| {
        let terminated = &container["state"]["terminated"];
        let (reason, code) = (terminated["reason"].as_str()?, terminated["exitCode"].as_i64()?);
        Some(match code {
            0 => reason.to_owned(),
            code => format!("{reason}, exit status {code}"),
        })
    });
    of_container.unwrap_or_else(|| "it ended".to_owned())
}

/// What keeps a pod from starting.
fn trouble(status: &Value) -> Option<String> {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let unschedulable = conditions
        .filter(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")
        .map(|condition| {
            let message = condition["message"].as_str().unwrap_or("no node takes it");
            format!("cannot be scheduled: {message}")
        })
        .next();
    let waiting = || {
        containers(status).find_map(|container| {
            let waiting = &container["state"]["waiting"];
            let reason = waiting["reason"].as_str()?;
            let harmless = ["ContainerCreating", "PodInitializing"].contains(&reason);
            let message = waiting["message"].as_str().map(|message| format!(": {message}"));
            (!harmless).then(|| format!("{reason}{}", message.unwrap_or_default()))
        })
    };
    unschedulable.or_else(waiting)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Option<Pod> {
        let object = json!({
            "metadata": {
                "name": "tidewaiter-gpu-1", "creationTimestamp": "1970-01-01T00:00:01Z",
                "annotations": { JOB: "01JOB" },
                "labels": { RELEASE: "tidewaiter", POOL: "gpu", NUMBER: "3", ATTEMPT: "1" }
            },
            "status": status
        });
        Pod::read(&object, "tidewaiter")
    }

    #[test]
    fn a_pod_is_read_with_what_keeps_it_from_starting() {
        let phase = |status: Value| pod(status).expect("one of the pool's").phase;
        assert_eq!(phase(json!({})), Phase::Starting(None));
        assert_eq!(phase(json!({ "phase": "Running" })), Phase::Running);
        let unschedulable = json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
              "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu." }
        ] });
        let words = "cannot be scheduled: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.";
        assert_eq!(phase(unschedulable), Phase::Starting(Some(words.to_owned())));
        let waiting = |reason: &str| {
            json!({ "phase": "Pending", "containerStatuses": [
            { "state": { "waiting": { "reason": reason, "message": "not found" } } }
        ] })
        };
        assert_eq!(phase(waiting("ContainerCreating")), Phase::Starting(None));
        let words = "ImagePullBackOff: not found";
        assert_eq!(phase(waiting("ImagePullBackOff")), Phase::Starting(Some(words.to_owned())));
        let killed = json!({ "phase": "Failed", "containerStatuses": [ { "state": { "terminated": {
            "reason": "OOMKilled", "exitCode": 137, "finishedAt": "1970-01-01T00:00:09Z"
        } } } ] });
        assert_eq!(phase(killed), Phase::Ended(9_000, "OOMKilled, exit status 137".to_owned()));
        let expired = json!({ "phase": "Failed", "reason": "DeadlineExceeded", "message": "too long" });
        assert_eq!(phase(expired), Phase::Ended(1_000, "DeadlineExceeded: too long".to_owned()));
    }

    #[test]
    fn other_pods_are_left_alone() {
        let object = json!({ "metadata": { "name": "other", "labels": { "app": "x" } } });
        assert_eq!(Pod::read(&object, "tidewaiter"), None);
        let of_pool = pod(json!({})).expect("one of the pool's");
        assert_eq!((of_pool.job.as_str(), of_pool.number, of_pool.attempt), ("01JOB", 3, 1));
    }
}
