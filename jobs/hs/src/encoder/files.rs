//! An encoder's files in the archive, identified by their checksum.
//!
//! A folder of this machine is copied into the archive once, under its checksum, where every executor reads it. A model
//! names folder and checksum and refuses other bytes, because a head has no meaning on another encoder. Only these
//! files are read as safetensors; what is trained is part of the model's bytes.

use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, ResultExt};

/// The files of an encoder's folder.
const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// The archive's folder of copied encoders.
const FOLDER: &str = "encoders";

/// Digits of the checksum in a folder's name.
const DIGITS: usize = 16;

/// An encoder in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEncoder {
    /// Its folder in the archive.
    pub folder: String,
    /// SHA-256 of its files, in hexadecimal digits.
    pub checksum: String,
}

/// An encoder's files in memory.
pub(super) struct Files {
    pub(super) config: Bytes,
    pub(super) tokenizer: Bytes,
    pub(super) weights: Bytes,
}

impl Files {
    fn checksum(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, bytes) in FILES.iter().zip([&self.config, &self.tokenizer, &self.weights]) {
            hasher.update(name);
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Finds an encoder in the archive, or copies one of this machine there.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] when the path is neither, or a file of it is missing.
pub async fn store(archive: &Archive, path: &str) -> Result<StoredEncoder> {
    if archive.exists(&format!("{path}/{}", FILES[0])).await? {
        let files = read(archive, path).await?;
        return Ok(StoredEncoder { folder: path.to_owned(), checksum: files.checksum() });
    }
    let folder = Path::new(path);
    if !folder.is_dir() {
        return Err(Error::input(format!(
            "the encoder {path} is neither a folder of the archive with a {} nor one of this machine; \
             give a folder with {}",
            FILES[0],
            FILES.join(", ")
        )));
    }
    let mut bytes = Vec::new();
    for name in FILES {
        let read = std::fs::read(folder.join(name)).map_err(|error| {
            let text = format!(
                "the encoder {path} has no readable {name}; it needs {}: safetensors, not another format",
                FILES.join(", ")
            );
            Error::input(text).with_source(error)
        })?;
        bytes.push(Bytes::from(read));
    }
    let files = of_list(bytes)?;
    let checksum = files.checksum();
    let folder = format!("{FOLDER}/{}", &checksum[..DIGITS]);
    for (name, bytes) in FILES.iter().zip([files.config, files.tokenizer, files.weights]) {
        archive.put_new(&format!("{folder}/{name}"), bytes).await?;
    }
    Ok(StoredEncoder { folder, checksum })
}

impl StoredEncoder {
    /// Reads the files.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when they have another checksum.
    pub(super) async fn read(&self, archive: &Archive) -> Result<Files> {
        let files = read(archive, &self.folder).await?;
        let found = files.checksum();
        if found != self.checksum {
            return Err(Error::corrupt(format!(
                "the encoder {} has changed: its checksum is {found}, and the model was made with {}; restore \
                 the folder, or retrain the model",
                archive.display(&self.folder),
                self.checksum
            )));
        }
        Ok(files)
    }
}

async fn read(archive: &Archive, folder: &str) -> Result<Files> {
    let mut bytes = Vec::new();
    for name in FILES {
        let read = archive.get(&format!("{folder}/{name}")).await;
        bytes.push(read.context(|| format!("read the encoder {folder}"))?);
    }
    of_list(bytes)
}

fn of_list(bytes: Vec<Bytes>) -> Result<Files> {
    let [config, tokenizer, weights] =
        bytes.try_into().map_err(|_| Error::internal("an encoder has three files"))?;
    Ok(Files { config, tokenizer, weights })
}
