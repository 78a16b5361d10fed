//! The pools that an operator allows: a JSON document, which the Helm chart writes from its values.
//!
//! A pool's template is that of the chart's own executors, so that resources, volumes and security are written once. Images
//! are named by digest only: a tag can be another program tomorrow, and pods are made without anybody looking.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;
use tidewaiter_core::{Error, Result, ResultExt};

/// The label that says whose pods these are; its value is the release's name.
pub const RELEASE: &str = "tidewaiter/release";

/// What a pool's executors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// Processor cores only.
    Cpu,
    /// At least one GPU.
    Gpu,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// What its executors have.
    pub device: Device,
    /// Tasks that an executor runs at once.
    pub slots: usize,
    /// The most pods of all jobs together.
    pub most: usize,
    /// Seconds without a task for it after which a job's pods go, although the job goes on.
    #[serde(default = "idle")]
    pub idle_seconds: u64,
    /// Seconds after which Kubernetes ends a pod, whatever happens to this scheduler.
    #[serde(default = "longest")]
    pub longest_seconds: u64,
    /// The template of its pods: `metadata` and `spec`.
    pub template: Value,
}

fn idle() -> u64 {
    300
}

fn longest() -> u64 {
    86_400
}

/// The pools of a release.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Name of the release, with which the names of its pods begin.
    pub release: String,
    /// Namespace of the pods.
    pub namespace: String,
    /// Whose work it is, as a label of each pod.
    #[serde(default)]
    pub tenant: String,
    /// Name of the scheduler's Deployment, which owns the pods; empty: nobody does.
    #[serde(default)]
    pub owner: String,
    /// The most pods of all pools together.
    pub most: usize,
    /// By their names, in whose order they are filled.
    pub pools: BTreeMap<String, Pool>,
    /// Where the API is, as http://host:port; absent: where a pod's environment says.
    #[serde(default)]
    pub api: Option<String>,
}

/// The Deployment of the scheduler, which owns the pods: when it is gone, Kubernetes removes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: String,
}

impl Settings {
    /// Reads the document at a path.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when it cannot be read, or says what cannot be.
    pub fn read(path: &Path) -> Result<Self> {
        let what = || format!("read the pools of {}", path.display());
        let text = std::fs::read_to_string(path).context(what)?;
        Self::parse(&text).map_err(|error| Error::input(what()).with_source(error))
    }

    /// Reads the document.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let settings: Self = serde_json::from_str(text)
            .map_err(|error| Error::input(format!("no document of pools: {error}")))?;
        if !is_label(&settings.release) || !is_label(&settings.namespace) {
            return Err(Error::input(
                "release and namespace are names of Kubernetes: lower-case letters, digits and -",
            ));
        }
        for (name, pool) in &settings.pools {
            pool.check().map_err(|error| Error::input(format!("the pool {name}")).with_source(error))?;
            if !is_label(name) {
                return Err(Error::input(format!(
                    "{name:?} is no name of a pool; use lower-case letters, digits and -"
                )));
            }
        }
        Ok(settings)
    }
}

impl Pool {
    fn check(&self) -> Result<()> {
        if self.slots == 0 {
            return Err(Error::input("slots is 0: its executors would take no task"));
        }
        let containers = self.template["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
        if containers.is_empty() {
            return Err(Error::input("template.spec.containers is missing"));
        }
        let more = self.template["spec"]["initContainers"].as_array().map_or(&[][..], Vec::as_slice);
        for container in containers.iter().chain(more) {
            let image = container["image"].as_str().unwrap_or_default();
            if !is_by_digest(image) {
                return Err(Error::input(format!(
                    "the image {image:?} is not named by digest: write REPOSITORY@sha256:…, as a registry gives it"
                )));
            }
        }
        let limits = &containers[0]["resources"]["limits"];
        let has_gpu = limits.as_object().is_some_and(|limits| {
            limits.iter().any(|(name, count)| name.ends_with("/gpu") && *count != "0" && *count != 0)
        });
        if (self.device == Device::Gpu) != has_gpu {
            return Err(Error::input(format!(
                "device is {}, and the limits of its first container {} a GPU: make both say the same",
                if self.device == Device::Gpu { "gpu" } else { "cpu" },
                if has_gpu { "have" } else { "have not" }
            )));
        }
        Ok(())
    }
}

/// Whether an image is named by its digest.
pub fn is_by_digest(image: &str) -> bool {
    image.split_once("@sha256:").is_some_and(|(repository, digest)| {
        !repository.is_empty()
            && digest.len() == 64
            && digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn is_label(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(change: impl FnOnce(&mut Value)) -> Result<Settings> {
        let image = format!("registry.example/tidewaiter@sha256:{}", "ab".repeat(32));
        let mut document = json!({
            "release": "tidewaiter", "namespace": "customs", "tenant": "kr", "most": 10,
            "pools": { "gpu": {
                "device": "gpu", "slots": 1, "most": 8,
                "template": { "spec": { "containers": [{
                    "name": "executor", "image": image, "resources": { "limits": { "nvidia.com/gpu": "1" } }
                }] } }
            } }
        });
        change(&mut document);
        Settings::parse(&document.to_string())
    }

    #[test]
    fn a_document_is_read_with_its_defaults() {
        let settings = document(|_| ()).expect("reads");
        let pool = &settings.pools["gpu"];
        assert_eq!((pool.device, pool.idle_seconds, pool.longest_seconds), (Device::Gpu, 300, 86_400));
        assert_eq!(settings.api, None);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let container = "/pools/gpu/template/spec/containers/0";
        let set = |path: String, value: Value| {
            move |document: &mut Value| {
                *document.pointer_mut(&path).expect("a value") = value;
            }
        };
        for (path, value, message) in [
            (format!("{container}/image"), json!("tidewaiter:latest"), "by digest"),
            (format!("{container}/image"), json!("tidewaiter@sha256:ab"), "by digest"),
            (format!("{container}/image"), json!(null), "by digest"),
            (format!("{container}/resources/limits"), json!({}), "make both say the same"),
            ("/pools/gpu/device".to_owned(), json!("cpu"), "make both say the same"),
            ("/pools/gpu/device".to_owned(), json!("tpu"), "tpu"),
            ("/pools/gpu/slots".to_owned(), json!(0), "slots is 0"),
            ("/pools/gpu/template".to_owned(), json!({}), "containers is missing"),
            ("/release".to_owned(), json!("Release_1"), "names of Kubernetes"),
            ("/most".to_owned(), json!(-1), "expected usize"),
        ] {
            let error = document(set(path.clone(), value)).expect_err(&path);
            assert!(error.chain().contains(message), "{path}: {}", error.chain());
        }
        let unknown = document(|document| document["pools"]["gpu"]["mosst"] = json!(1));
        assert!(unknown.expect_err("unknown").chain().contains("mosst"));
    }
}
