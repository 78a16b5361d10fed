//! The models that were fitted: versions that never change, and which of them is the champion.
//!
//! A version is the folder `models/<name>/<version>/` with `model.bin`, `model.json` (the [`Manifest`]) and,
//! where there is one, `card.html`. The model's file is made with create-if-absent and so claims the
//! version; the manifest is written last, and a version without a manifest does not exist. The champion is
//! a pointer that moves by compare-and-append: objects `models/<name>/champion/<sequence>`, each made with
//! create-if-absent, of which the last one counts. So two writers cannot overwrite each other on any store.
//!
//! What a manifest keeps follows Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, and what a
//! repetition of the fit needs. Start at [`Registry::publish`].

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Error, Result, ResultExt, archive::Archive};

const MODEL: &str = "model.bin";
const MANIFEST: &str = "model.json";
const CARD: &str = "card.html";

/// The snapshot that a model was fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSnapshot {
    /// The table.
    pub table: String,
    /// Its version.
    pub version: u64,
}

/// What is known of a model without loading it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The model's name, such as `fraud`.
    pub name: String,
    /// Its version, from 1.
    pub version: u64,
    /// How it came about.
    #[serde(flatten)]
    pub facts: Facts,
    /// SHA-256 of each file of the version, in hexadecimal.
    pub files: BTreeMap<String, String>,
}

/// How a model came about: what its publisher says of it, and what a repetition of the fit needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The id of the job that made it.
    pub job: String,
    /// The learner's configuration.
    pub config: Value,
    /// The features that it reads, in order.
    pub features: Vec<String>,
    /// What it was fitted on.
    pub snapshot: Option<TrainingSnapshot>,
    /// The version of the code that fitted it.
    pub code_version: String,
    /// How well it did on the held-out months.
    pub metrics: Value,
    /// The seed of the fit.
    pub seed: u64,
    /// When it was fitted: milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
}

/// A model to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The model's bytes.
    pub model: Bytes,
    /// The model's card, as HTML.
    pub card: Option<String>,
    /// How it came about.
    pub facts: Facts,
}

/// Which version is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The champion.
    Champion,
    /// One version, from 1.
    Version(u64),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Champion => f.write_str("champion"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

/// A model that was loaded and whose files have the checksums of its manifest.
#[derive(Debug, Clone)]
pub struct Model {
    /// What is known of it.
    pub manifest: Manifest,
    /// Its bytes.
    pub model: Bytes,
    /// Its card, as HTML.
    pub card: Option<Bytes>,
}

/// Where the champion's pointer points, and how often it was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Champion {
    /// The version that is champion.
    pub version: u64,
    /// The number of the move that made it so, from 1.
    pub sequence: u64,
}

/// The models of an archive.
#[derive(Debug, Clone)]
pub struct Registry {
    archive: Archive,
}

impl Registry {
    /// The models of an archive.
    pub fn new(archive: &Archive) -> Self {
        Self { archive: archive.clone() }
    }

    /// Publishes a model as the next version of `name`. It is complete when this returns, and never
    /// changes; a publisher that fails half-way leaves a number that is skipped.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when `name` is not a model's name; [`crate::ErrorKind::Denied`] when
    /// the archive cannot be written.
    pub async fn publish(&self, name: &str, publication: Publication) -> Result<Manifest> {
        check_name(name)?;
        let mut files = BTreeMap::from([(MODEL.to_owned(), digest(&publication.model))]);
        if let Some(card) = &publication.card {
            files.insert(CARD.to_owned(), digest(card.as_bytes()));
        }
        let mut version = self.numbers(name).await?.last().copied().unwrap_or(0) + 1;
        while !self.archive.put_new(&file(name, version, MODEL), publication.model.clone()).await? {
            version += 1;
        }
        if let Some(card) = publication.card {
            self.archive.put(&file(name, version, CARD), card).await?;
        }
        let manifest = Manifest { name: name.to_owned(), version, facts: publication.facts, files };
        let path = file(name, version, MANIFEST);
        if !self.archive.put_new(&path, serde_json::to_vec_pretty(&manifest)?).await? {
            return Err(Error::conflict(format!(
                "{} appeared while its model was written; publish again",
                self.archive.display(&path)
            )));
        }
        Ok(manifest)
    }

    /// Loads a model and checks its files against the manifest's checksums.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], naming what exists; [`crate::ErrorKind::Corrupt`], naming the file
    /// that is damaged.
    pub async fn load(&self, name: &str, which: Which) -> Result<Model> {
        let manifest = self.manifest(name, which).await?;
        let version = manifest.version;
        let model = self.checked(&manifest, MODEL).await?;
        let Some(model) = model else {
            return Err(self.damaged(&file(name, version, MANIFEST), name, "names no model.bin"));
        };
        let card = self.checked(&manifest, CARD).await?;
        Ok(Model { manifest, model, card })
    }

    /// What is known of a model, without loading it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], naming what exists.
    pub async fn manifest(&self, name: &str, which: Which) -> Result<Manifest> {
        check_name(name)?;
        let version = match which {
            Which::Version(version) => version,
            Which::Champion => match self.champion(name).await? {
                Some(champion) => champion.version,
                None => return Err(self.absent(name, which).await?),
            },
        };
        let path = file(name, version, MANIFEST);
        if !self.archive.exists(&path).await? {
            return Err(self.absent(name, Which::Version(version)).await?);
        }
        let bytes = self.archive.get(&path).await?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| self.damaged(&path, name, "is not a manifest").with_source(error))?;
        if manifest.name != name || manifest.version != version {
            return Err(self.damaged(&path, name, "is another model's manifest"));
        }
        Ok(manifest)
    }

    /// The newest version of a model that a job made; `None` when it made none. A step that publishes asks
    /// this first, so that its repetition after a crash finds what it published.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`], naming the manifest that is damaged.
    pub async fn of_job(&self, name: &str, job: &str) -> Result<Option<Manifest>> {
        for version in self.versions(name).await?.into_iter().rev() {
            let manifest = self.manifest(name, Which::Version(version)).await?;
            if manifest.facts.job == job {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// The manifests of every version of a model, or of all models, by name and version.
    pub async fn list(&self, name: Option<&str>) -> Result<Vec<Manifest>> {
        let names = match name {
            Some(name) => vec![name.to_owned()],
            None => self.archive.folders("models").await?,
        };
        let mut manifests = Vec::new();
        for name in names {
            for version in self.versions(&name).await? {
                manifests.push(self.manifest(&name, Which::Version(version)).await?);
            }
        }
        Ok(manifests)
    }

    /// The champion; `None` before the first promotion.
    pub async fn champion(&self, name: &str) -> Result<Option<Champion>> {
        check_name(name)?;
        let moves = self.archive.list(&format!("models/{name}/champion")).await?;
        let Some(path) = moves.last().and_then(|meta| self.archive.relative(&meta.location)) else {
            return Ok(None);
        };
        let bytes = self.archive.get(&path).await?;
        let champion: Champion = serde_json::from_slice(&bytes)
            .map_err(|error| self.damaged(&path, name, "is not a champion's pointer").with_source(error))?;
        Ok(Some(champion))
    }

    /// Makes a version the champion, if the pointer was moved `expected_sequence` times so far (0 before
    /// the first promotion).
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when the version does not exist; [`crate::ErrorKind::Conflict`] when
    /// somebody else moved the pointer.
    pub async fn promote(&self, name: &str, version: u64, expected_sequence: u64) -> Result<Champion> {
        self.manifest(name, Which::Version(version)).await?;
        let current = self.champion(name).await?.map_or(0, |champion| champion.sequence);
        let champion = Champion { version, sequence: expected_sequence + 1 };
        let path = format!("models/{name}/champion/{:010}", champion.sequence);
        if current != expected_sequence
            || !self.archive.put_new(&path, serde_json::to_vec(&champion)?).await?
        {
            return Err(Error::conflict(format!(
                "the champion of {name} is no longer at move {expected_sequence}: somebody else promoted a \
                 version; compare with the new champion and promote again"
            )));
        }
        Ok(champion)
    }

    /// The version numbers that exist, ascending.
    pub async fn versions(&self, name: &str) -> Result<Vec<u64>> {
        let mut versions = Vec::new();
        for version in self.numbers(name).await? {
            if self.archive.exists(&file(name, version, MANIFEST)).await? {
                versions.push(version);
            }
        }
        Ok(versions)
    }

    /// The numbers that were claimed, ascending, whether or not their version was completed.
    async fn numbers(&self, name: &str) -> Result<Vec<u64>> {
        let folders = self.archive.folders(&format!("models/{name}")).await?;
        let mut numbers: Vec<u64> = folders.iter().filter_map(|folder| folder.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A file of a version, checked; `None` when the manifest names no such file.
    async fn checked(&self, manifest: &Manifest, name: &str) -> Result<Option<Bytes>> {
        let Some(expected) = manifest.files.get(name) else { return Ok(None) };
        let path = file(&manifest.name, manifest.version, name);
        if !self.archive.exists(&path).await? {
            return Err(self.damaged(&path, &manifest.name, "is missing"));
        }
        let bytes = self.archive.get(&path).await.context(|| format!("load model {}", manifest.name))?;
        let found = digest(&bytes);
        if found != *expected {
            let what = format!("has the SHA-256 {found} instead of {expected}");
            return Err(self.damaged(&path, &manifest.name, &what));
        }
        Ok(Some(bytes))
    }

    fn damaged(&self, path: &str, name: &str, what: &str) -> Error {
        Error::corrupt(format!(
            "{} {what}; restore the file from a backup, or promote another version of {name}",
            self.archive.display(path)
        ))
    }

    async fn absent(&self, name: &str, which: Which) -> Result<Error> {
        let versions = self.versions(name).await?;
        if !versions.is_empty() {
            let versions: Vec<String> = versions.iter().map(u64::to_string).collect();
            let versions = versions.join(", ");
            return Ok(Error::not_found(format!("model {name} has no {which}; its versions: {versions}")));
        }
        let mut models = Vec::new();
        for model in self.archive.folders("models").await? {
            if !self.versions(&model).await?.is_empty() {
                models.push(model);
            }
        }
        let models = if models.is_empty() { "none".to_owned() } else { models.join(", ") };
        Ok(Error::not_found(format!("there is no model {name}; models here: {models}")))
    }
}

fn file(name: &str, version: u64, file: &str) -> String {
    format!("models/{name}/{version}/{file}")
}

fn check_name(name: &str) -> Result<()> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
        return Ok(());
    }
    Err(Error::input(format!("{name:?} is not a model's name; use letters, digits, - and _")))
}

fn digest(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
