//! The registry of models: versions that never change, and the champion among them.
//!
//! A version is the folder `models/<name>/<version>/` with `model.bin`, `model.json` (the [`Manifest`]) and, if the
//! publisher wrote one, `card.html`. The model's file is written with create-if-absent and so claims the version; the
//! manifest is written last, and a version without a manifest does not exist. The champion is a pointer that moves by
//! compare-and-append: objects `models/<name>/champion/<sequence>`, each written with create-if-absent, of which the
//! last one counts. So two writers cannot overwrite each other on any object store.
//!
//! `model.bin` is one protobuf message for every kind of model, so that one file with one checksum and one reader
//! serves all. A manifest has what Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019) ask for, and what a
//! repetition of the fit needs. What is absent: a clock; times are given.
//!
//! Start at [`Registry::publish`]; [`scope`] is the country or countries that a model is for, a part of its name;
//! [`comparison`] decides whether a model is better than the champion, [`intervals`] says how well a share is known, and
//! [`promotion`] publishes and promotes a job's model once, however often its step is repeated.

pub mod comparison;
pub mod intervals;
pub mod promotion;
pub mod scope;

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tidewaiter_archive::{
    Archive,
    seal::{self, Seal, sealed},
    table::Damage,
};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt, threads::on_cpu};

const MODEL: &str = "model.bin";
const MANIFEST: &str = "model.json";
const CARD: &str = "card.html";

/// What the documents of a model begin with.
const BEGIN: &[u8] = b"{";

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
    /// The model's name, such as `fraud-KR`.
    pub name: String,
    /// Its version, from 1.
    pub version: u64,
    /// Its origin.
    #[serde(flatten)]
    pub facts: Facts,
    /// SHA-256 of each file of the version, in hexadecimal.
    pub files: BTreeMap<String, String>,
}

/// The origin of a model: what a repetition of its fit needs, and how well it did.
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
    /// Its metrics on the test data.
    pub metrics: Value,
    /// The seed of the fit.
    pub seed: u64,
    /// When it was fitted: milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
}

/// What is known of a model's promotion when its card or report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Promotion {
    /// It is not decided: a card is written before the promotion and never changes.
    #[default]
    Pending,
    /// The model was made the champion.
    Champion,
    /// It was not, because it is not better than the champion.
    NotBetter,
    /// It was not though it is better: this version was promoted since the two were compared.
    OvertakenBy(u64),
}

/// Writes a model's card, as HTML, for the version that it is published as: once before the promotion, for the registry,
/// and once after it, for the reports.
pub type Card = Arc<dyn Fn(u64, Promotion) -> Result<String> + Send + Sync>;

/// A model to be published.
pub struct Publication {
    /// The model's bytes.
    pub model: Bytes,
    /// The model's card.
    pub card: Option<Card>,
    /// Its origin.
    pub facts: Facts,
}

/// Which version of a model to load.
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

/// A loaded model, whose files have the checksums of its manifest.
#[derive(Debug, Clone)]
pub struct Model {
    /// What is known of it.
    pub manifest: Manifest,
    /// Its bytes.
    pub model: Bytes,
    /// Its card, as HTML.
    pub card: Option<Bytes>,
}

/// Where the champion's pointer points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Champion {
    /// The version that is champion.
    pub version: u64,
    /// The number of the promotion that made it champion, from 1.
    pub sequence: u64,
}

/// The registry of an archive.
#[derive(Debug, Clone)]
pub struct Registry {
    archive: Archive,
}

impl Registry {
    /// The registry of an archive.
    pub fn new(archive: &Archive) -> Self {
        Self { archive: archive.clone() }
    }

    /// The archive that holds the models.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Publishes a model as the next version of `name`. The version is complete when this returns, and never changes. A
    /// publisher that fails before the manifest is written leaves a number that is skipped.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when `name` is not a model's name;
    /// [`tidewaiter_core::ErrorKind::Denied`] when the archive cannot be written.
    pub async fn publish(&self, name: &str, publication: Publication) -> Result<Manifest> {
        check_name(name)?;
        let mut files = BTreeMap::from([(MODEL.to_owned(), sha256(&publication.model))]);
        let mut version = self.claimed(name).await?.last().copied().unwrap_or(0) + 1;
        while !self.archive.put_new(&file(name, version, MODEL), publication.model.clone()).await? {
            version += 1;
        }
        if let Some(card) = publication.card {
            let card = on_cpu(move || card(version, Promotion::Pending)).await?;
            files.insert(CARD.to_owned(), sha256(card.as_bytes()));
            self.archive.put(&file(name, version, CARD), card).await?;
        }
        let manifest = Manifest { name: name.to_owned(), version, facts: publication.facts, files };
        let path = file(name, version, MANIFEST);
        if !self.archive.put_new(&path, sealed(&serde_json::to_vec_pretty(&manifest)?, BEGIN)).await? {
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
    /// [`tidewaiter_core::ErrorKind::NotFound`], naming what exists;
    /// [`tidewaiter_core::ErrorKind::Corrupt`], naming the file that is damaged.
    pub async fn load(&self, name: &str, which: Which) -> Result<Model> {
        let manifest = self.manifest(name, which).await?;
        let version = manifest.version;
        let model = self.read_checked(&manifest, MODEL).await?;
        let Some(model) = model else {
            return Err(self.damaged(&file(name, version, MANIFEST), name, "names no model.bin"));
        };
        let card = self.read_checked(&manifest, CARD).await?;
        Ok(Model { manifest, model, card })
    }

    /// What is known of a model, without loading it.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`], naming what exists.
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
        let manifest: Manifest = self.document(&path, name, "is not a manifest").await?;
        if manifest.name != name || manifest.version != version {
            return Err(self.damaged(&path, name, "is another model's manifest"));
        }
        Ok(manifest)
    }

    /// The newest version of a model that a job published; `None` when it published none. A step that publishes calls
    /// this first, so that its repetition after a crash finds the version.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`], naming the manifest that is damaged.
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
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`], naming the manifest that is damaged.
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
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when `name` is not a model's name;
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the pointer is damaged.
    pub async fn champion(&self, name: &str) -> Result<Option<Champion>> {
        check_name(name)?;
        let moves = self.archive.list(&format!("models/{name}/champion")).await?;
        let Some(path) = moves.last().and_then(|meta| self.archive.relative(&meta.location)) else {
            return Ok(None);
        };
        Ok(Some(self.read_champion(name, &path).await?))
    }

    /// The champion before the promotion of this number; `None` before the first.
    ///
    /// # Errors
    /// As [`Registry::champion`].
    pub async fn champion_before(&self, name: &str, sequence: u64) -> Result<Option<Champion>> {
        check_name(name)?;
        match sequence.checked_sub(1) {
            None | Some(0) => Ok(None),
            Some(before) => Ok(Some(self.read_champion(name, &pointer(name, before)).await?)),
        }
    }

    async fn read_champion(&self, name: &str, path: &str) -> Result<Champion> {
        self.document(path, name, "is not a champion's pointer").await
    }

    /// Reads a document of a model, which is sealed; those of earlier versions are not.
    async fn document<T: DeserializeOwned>(&self, path: &str, name: &str, otherwise: &str) -> Result<T> {
        let bytes = self.archive.get(path).await?;
        if seal::check(&bytes, BEGIN) == Seal::Broken {
            return Err(self.damaged(path, name, "is not as it was written"));
        }
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(path, name, otherwise).with_source(error))
    }

    /// The path of a version's bytes in the archive.
    pub fn model_path(&self, name: &str, version: u64) -> String {
        file(name, version, MODEL)
    }

    /// Makes a version the champion, if there were `expected_sequence` promotions so far (0 before the first). The same
    /// promotion again changes nothing, so that it can be repeated when its answer was lost.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::NotFound`] when the version does not exist;
    /// [`tidewaiter_core::ErrorKind::Conflict`] when another version was promoted instead.
    pub async fn promote(&self, name: &str, version: u64, expected_sequence: u64) -> Result<Champion> {
        self.manifest(name, Which::Version(version)).await?;
        let current = self.champion(name).await?.map_or(0, |champion| champion.sequence);
        let champion = Champion { version, sequence: expected_sequence + 1 };
        let path = pointer(name, champion.sequence);
        let put = match current == expected_sequence {
            true => self.archive.put_new(&path, sealed(&serde_json::to_vec(&champion)?, BEGIN)).await,
            false => Ok(false),
        };
        if matches!(put, Ok(true)) {
            return Ok(champion);
        }
        // It may have been written although the answer was lost.
        if self.archive.exists(&path).await? && self.read_champion(name, &path).await? == champion {
            return Ok(champion);
        }
        put?;
        Err(Error::conflict(format!(
            "the champion of {name} is no longer at move {expected_sequence}: somebody else promoted a \
             version; compare with the new champion and promote again"
        )))
    }

    /// Makes a version the champion, whichever is champion by now.
    ///
    /// # Errors
    /// As [`Registry::promote`]; [`tidewaiter_core::ErrorKind::Conflict`], naming the champion, when somebody else
    /// promoted another version at the same time.
    pub async fn make_champion(&self, name: &str, version: u64) -> Result<Champion> {
        let before = self.champion(name).await?;
        let promoted = match before.filter(|champion| champion.version == version) {
            Some(there) => {
                self.manifest(name, Which::Version(version)).await?;
                Ok(there)
            }
            None => self.promote(name, version, before.map_or(0, |champion| champion.sequence)).await,
        };
        if let Err(error) = &promoted
            && error.kind() != ErrorKind::Conflict
        {
            return promoted;
        }
        match self.champion(name).await? {
            Some(champion) if champion.version == version => Ok(champion),
            Some(champion) => Err(Error::conflict(format!(
                "{name}@{version} is not the champion: somebody else promoted {name}@{} at the same time; compare \
                 the two, and promote {name}@{version} again if it is the better one",
                champion.version
            ))),
            None => promoted,
        }
    }

    /// The versions that exist, ascending.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn versions(&self, name: &str) -> Result<Vec<u64>> {
        let mut versions = Vec::new();
        for version in self.claimed(name).await? {
            if self.archive.exists(&file(name, version, MANIFEST)).await? {
                versions.push(version);
            }
        }
        Ok(versions)
    }

    /// Reads every file of all models: how many are as they were written, and the damage of the others.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn verify(&self) -> Result<(u64, Vec<Damage>)> {
        let (mut whole, mut damages) = (0, Vec::new());
        let mut note = |path: String, read: Result<()>| match read {
            Ok(()) => {
                whole += 1;
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                damages.push(Damage::new(path, error.chain()));
                Ok(())
            }
            Err(error) => Err(error),
        };
        for name in self.archive.folders("models").await? {
            for version in self.versions(&name).await? {
                let manifest = self.manifest(&name, Which::Version(version)).await;
                let files: Vec<&str> = manifest
                    .iter()
                    .flat_map(|manifest| manifest.files.keys().map(String::as_str))
                    .filter(|file| [MODEL, CARD].contains(file))
                    .collect();
                for part in files {
                    if let Ok(manifest) = &manifest {
                        let read = self.read_checked(manifest, part).await.map(|_| ());
                        note(file(&name, version, part), read)?;
                    }
                }
                note(file(&name, version, MANIFEST), manifest.map(|_| ()))?;
            }
            for meta in self.archive.list(&format!("models/{name}/champion")).await? {
                let Some(path) = self.archive.relative(&meta.location) else { continue };
                let read = self.read_champion(&name, &path).await.map(|_| ());
                note(path, read)?;
            }
        }
        Ok((whole, damages))
    }

    /// The version numbers that were claimed, ascending, whether or not the version was completed.
    async fn claimed(&self, name: &str) -> Result<Vec<u64>> {
        let folders = self.archive.folders(&format!("models/{name}")).await?;
        let mut numbers: Vec<u64> = folders.iter().filter_map(|folder| folder.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Reads a file of a version and checks its checksum; `None` when the manifest names no such file.
    async fn read_checked(&self, manifest: &Manifest, name: &str) -> Result<Option<Bytes>> {
        let Some(expected) = manifest.files.get(name) else { return Ok(None) };
        let path = file(&manifest.name, manifest.version, name);
        if !self.archive.exists(&path).await? {
            return Err(self.damaged(&path, &manifest.name, "is missing"));
        }
        let bytes = self.archive.get(&path).await.context(|| format!("load model {}", manifest.name))?;
        let found = sha256(&bytes);
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
        // Earlier versions had one model for all countries, whose name is the kind alone.
        let kind = name.split('-').next().unwrap_or(name);
        let old = match models.iter().any(|model| model == kind && model != name) {
            true => {
                format!("; {kind} is of an earlier version and for no country: retrain, then there is {name}")
            }
            false => String::new(),
        };
        let models = if models.is_empty() { "none".to_owned() } else { models.join(", ") };
        Ok(Error::not_found(format!("there is no model {name}; models here: {models}{old}")))
    }
}

fn file(name: &str, version: u64, file: &str) -> String {
    format!("models/{name}/{version}/{file}")
}

fn pointer(name: &str, sequence: u64) -> String {
    format!("models/{name}/champion/{sequence:010}")
}

fn check_name(name: &str) -> Result<()> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
        return Ok(());
    }
    Err(Error::input(format!("{name:?} is not a model's name; use letters, digits, - and _")))
}

fn sha256(bytes: &[u8]) -> String {
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
