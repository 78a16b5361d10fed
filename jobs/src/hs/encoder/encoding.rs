//! What a model keeps of its encoder: which one it is, what was trained of it, and the head.

use std::sync::Arc;

use prost::Message;

use super::{Embeddings, Encoder, Head, Kept, Learned, network::Parts};
use crate::{Archive, Error, Result, ResultExt, threads::on_cpu};

/// An encoder's part in a model.
#[derive(Debug, Clone)]
pub(in crate::hs) struct Encoding {
    kept: Kept,
    most_tokens: u32,
    /// Weights of the last layers that take the place of the encoder's own; empty: none.
    layers: Vec<f32>,
    pub(in crate::hs) head: Head,
    /// The encoder, once it is loaded.
    encoder: Option<Arc<Encoder>>,
}

impl Encoding {
    /// Of what was learned on an encoder.
    pub(in crate::hs) fn new(kept: Kept, most_tokens: u32, learned: Learned) -> Self {
        Self { kept, most_tokens, layers: learned.layers, head: learned.head, encoder: None }
    }

    /// Loads the encoder.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when it is not there, [`crate::ErrorKind::Corrupt`] when it has changed.
    pub(in crate::hs) async fn load(&mut self, archive: &Archive) -> Result<()> {
        let files = self.kept.read(archive).await?;
        let (most_tokens, layers) = (self.most_tokens, self.layers.clone());
        let made = on_cpu(move || {
            let mut parts = Parts::read(&files, most_tokens)?;
            parts.replace(&layers)?;
            parts.encoder()
        });
        let encoder =
            made.await.context(|| format!("load the encoder {}", archive.display(&self.kept.folder)))?;
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
    /// [`crate::ErrorKind::Internal`] before [`Encoding::load`].
    pub(in crate::hs) fn encode<'a>(
        &self,
        descriptions: impl IntoIterator<Item = &'a str>,
    ) -> Result<Embeddings> {
        let encoder = self.encoder.as_ref();
        let encoder = encoder.ok_or_else(|| Error::internal("an HS model's encoder is not loaded"))?;
        encoder.encode(descriptions)
    }

    pub(in crate::hs) fn to_stored(&self) -> StoredEncoding {
        StoredEncoding {
            folder: self.kept.folder.clone(),
            checksum: self.kept.checksum.clone(),
            most_tokens: self.most_tokens,
            width: self.head.width() as u32,
            head: self.head.weights().to_vec(),
            layers: self.layers.clone(),
        }
    }

    /// Of stored parts; `None` when they do not fit so many codes.
    pub(in crate::hs) fn of_stored(stored: StoredEncoding, codes: usize) -> Option<Self> {
        let StoredEncoding { folder, checksum, most_tokens, width, head, layers } = stored;
        let head = Head::new(width as usize, codes, head)?;
        Some(Self { kept: Kept { folder, checksum }, most_tokens, layers, head, encoder: None })
    }
}

/// An encoder's part in a model's bytes.
#[derive(Clone, PartialEq, Message)]
pub(in crate::hs) struct StoredEncoding {
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
