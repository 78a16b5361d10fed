//! The part of a model that is its encoder: which one it is, its trained layers, and the head.

use std::sync::Arc;

use prost::Message;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, Result, ResultExt, threads::on_cpu};

use super::{
    files::StoredEncoder,
    head::Head,
    leader::TrainedEncoder,
    network::{Embeddings, Encoder, EncoderParts},
};

/// The encoder of a model.
#[derive(Debug, Clone)]
pub(crate) struct ModelEncoder {
    stored: StoredEncoder,
    most_tokens: u32,
    /// The weights of the last layers, where those were trained; empty otherwise.
    layers: Vec<f32>,
    pub(crate) head: Head,
    /// The encoder, once it is loaded.
    encoder: Option<Arc<Encoder>>,
}

impl ModelEncoder {
    /// Of a stored encoder and what was trained on it; not loaded.
    pub(crate) fn new(stored: StoredEncoder, most_tokens: u32, trained: TrainedEncoder) -> Self {
        Self { stored, most_tokens, layers: trained.layers, head: trained.head, encoder: None }
    }

    /// Loads the encoder.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](tidewaiter_core::ErrorKind::NotFound) when it is not in the archive,
    /// [`ErrorKind::Corrupt`](tidewaiter_core::ErrorKind::Corrupt) when it has changed.
    pub(crate) async fn load(&mut self, archive: &Archive) -> Result<()> {
        let files = self.stored.read(archive).await?;
        let (most_tokens, layers) = (self.most_tokens, self.layers.clone());
        let made = on_cpu(move || {
            let mut parts = EncoderParts::read(&files, most_tokens)?;
            parts.replace(&layers)?;
            parts.encoder()
        });
        let encoder =
            made.await.context(|| format!("load the encoder {}", archive.display(&self.stored.folder)))?;
        if encoder.width() != self.head.width() {
            return Err(Error::corrupt(
                "an HS model's head does not fit its encoder; promote another version",
            ));
        }
        self.encoder = Some(Arc::new(encoder));
        Ok(())
    }

    /// The embeddings of descriptions.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] before [`ModelEncoder::load`].
    pub(crate) fn encode<'a>(&self, descriptions: impl IntoIterator<Item = &'a str>) -> Result<Embeddings> {
        let encoder = self.encoder.as_ref();
        let encoder = encoder.ok_or_else(|| Error::internal("an HS model's encoder is not loaded"))?;
        encoder.encode(descriptions)
    }

    /// The form in a model's bytes.
    pub(crate) fn to_stored(&self) -> StoredModelEncoder {
        StoredModelEncoder {
            folder: self.stored.folder.clone(),
            checksum: self.stored.checksum.clone(),
            most_tokens: self.most_tokens,
            width: self.head.width() as u32,
            head: self.head.weights().to_vec(),
            layers: self.layers.clone(),
        }
    }

    /// Of a model's bytes; `None` when they do not fit so many codes.
    pub(crate) fn of_stored(stored: StoredModelEncoder, codes: usize) -> Option<Self> {
        let StoredModelEncoder { folder, checksum, most_tokens, width, head, layers } = stored;
        let head = Head::new(width as usize, codes, head)?;
        Some(Self { stored: StoredEncoder { folder, checksum }, most_tokens, layers, head, encoder: None })
    }
}

/// The encoder in a model's bytes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredModelEncoder {
    /// The encoder's folder in the archive.
    #[prost(string, tag = "1")]
    folder: String,
    /// SHA-256 of its files.
    #[prost(string, tag = "2")]
    checksum: String,
    #[prost(uint32, tag = "3")]
    most_tokens: u32,
    /// Numbers in an embedding.
    #[prost(uint32, tag = "4")]
    width: u32,
    /// The head: a row for each subheading.
    #[prost(float, repeated, tag = "5")]
    head: Vec<f32>,
    /// The weights of the layers that were trained; empty: none.
    #[prost(float, repeated, tag = "6")]
    layers: Vec<f32>,
}
