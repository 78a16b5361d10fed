//! Loads shards of texts for the encoder's fit from the files of a retrain.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_collective::{Shard, ShardLoader};
use tidewaiter_core::{Error, Result, threads::on_cpu};
use tidewaiter_proto::v1::ParquetFile;
use tokio::sync::OnceCell;

use super::{
    files::StoredEncoder,
    network::EncoderParts,
    parameters::Parameters,
    shard::{EncoderShard, Shared},
};
use crate::features::texts::read_texts;

/// The learner's name in a fit's task.
pub const LEARNER: &str = "hs-encoder";

/// How shards are made of the files of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The number of shards; a shard has the texts whose numbers are its own modulo this.
    pub shards: u32,
    /// The encoder.
    pub encoder: StoredEncoder,
    /// How it is trained.
    pub parameters: Parameters,
    /// Most training texts.
    pub most_texts: u64,
    /// Path of the file of validation texts, which are encoded at the end.
    pub valid: String,
    /// Most validation texts.
    pub most_valid: u64,
}

/// Loads shards; the encoder and the texts are read once.
#[derive(Debug)]
pub struct EncoderShards {
    archive: Archive,
    files: Vec<ParquetFile>,
    layout: Layout,
    shared: OnceCell<Arc<Shared>>,
}

impl EncoderShards {
    /// A loader of shards over the file of training texts, which `files` names once for each shard.
    pub fn new(archive: Archive, files: Vec<ParquetFile>, layout: Layout) -> Self {
        Self { archive, files, layout, shared: OnceCell::new() }
    }
}

#[async_trait::async_trait]
impl ShardLoader for EncoderShards {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let file = self.files.get(shard as usize);
        let file = file.ok_or_else(|| Error::internal(format!("the fit has no shard {shard}")))?;
        let read = async {
            let files = self.layout.encoder.read(&self.archive).await?;
            let train = read_texts(&self.archive, &file.path, self.layout.most_texts).await?;
            let valid = read_texts(&self.archive, &self.layout.valid, self.layout.most_valid).await?;
            let parameters = self.layout.parameters.clone();
            let made = on_cpu(move || {
                let parts = EncoderParts::read(&files, parameters.most_tokens)?;
                Shared::new(parameters, parts, train, valid)
            });
            Ok::<_, Error>(Arc::new(made.await?))
        };
        let shared = Arc::clone(self.shared.get_or_try_init(|| read).await?);
        Ok(Box::new(EncoderShard::new(shard, self.layout.shards, shared)))
    }
}
