//! The step of a retrain in which a head is trained on an encoder.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_collective::Leader;
use tidewaiter_core::Result;
use tidewaiter_job::Job;
use tidewaiter_learning::follow::Followed;
use tidewaiter_proto::v1;

use super::{
    files::StoredEncoder,
    leader::EncoderLeader,
    loader::{EncoderShards, LEARNER, Layout},
    model_part::ModelEncoder,
    network::Embeddings,
    parameters::Parameters,
};

/// Milestones of the fit (epochs) from one stored checkpoint to the next.
const MILESTONES_PER_CHECKPOINT: u32 = 4;

/// A trained head.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FittedEncoder {
    /// Path of the fit's last checkpoint, which holds it.
    learned: String,
    encoder: StoredEncoder,
    parameters: Parameters,
    /// Training and validation texts that are too long to be read to their end.
    cut: u64,
    /// The mean loss of the last steps.
    loss: f64,
}

impl FittedEncoder {
    /// The encoder in words, for the report.
    pub(crate) fn words(&self) -> String {
        let trained = match self.parameters.fine_tune_epochs {
            0 => "not fine-tuned".to_owned(),
            epochs => {
                format!("its last {} layers fine-tuned for {epochs} epochs", self.parameters.fine_tune_layers)
            }
        };
        let StoredEncoder { folder, checksum } = &self.encoder;
        format!("{folder} (SHA-256 {checksum}), {trained}; {} texts were too long for it and cut", self.cut)
    }

    /// The encoder's part of a model, and the embeddings of the validation texts.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn parts(&self, archive: &Archive) -> Result<(ModelEncoder, Embeddings)> {
        let checkpoint = archive.get(&self.learned).await?;
        let mut trained = EncoderLeader::restore(&checkpoint, self.parameters.clone())?.trained()?;
        let embeddings = std::mem::take(&mut trained.valid);
        Ok((ModelEncoder::new(self.encoder.clone(), self.parameters.most_tokens, trained), embeddings))
    }
}

/// Trains a head on the texts of a file.
pub(crate) fn fit_encoder<'a>(
    job: &Job<'a>,
    train: v1::ParquetFile,
    layout: Layout,
) -> impl Future<Output = Result<FittedEncoder>> + use<'a> {
    let (archive, engine) = (job.archive, job.engine);
    let (session, name) = (job.session("encoder"), format!("{}-encoder", job.outcome.job));
    let (listener, folder) = (Arc::clone(&job.listener), format!("{}/encoder", job.work_folder()));
    async move {
        let shards = vec![train; layout.shards as usize];
        let learner = (LEARNER, serde_json::to_string(&layout)?);
        let (encoder, parameters) = (layout.encoder.clone(), layout.parameters.clone());
        let fit = Followed {
            archive,
            engine,
            session: &session?,
            name,
            folder: folder.clone(),
            learner,
            shards: shards.clone(),
            loader: Arc::new(EncoderShards::new(archive.clone(), shards, layout)),
            gains_from_gpu: true,
            listener,
            step: ("encoder", "steps"),
            place: (0, 1),
            milestones_per_checkpoint: MILESTONES_PER_CHECKPOINT,
        };
        let begin = || Ok(EncoderLeader::new(parameters.clone()));
        let leader = fit.lead(begin, |bytes| EncoderLeader::restore(bytes, parameters.clone())).await?;
        let learned = format!("{folder}/learned");
        archive.put(&learned, leader.checkpoint()?).await?;
        let trained = leader.trained()?;
        let (cut, loss) = (trained.cut + trained.valid.cut, trained.loss);
        Ok(FittedEncoder { learned, encoder, parameters, cut, loss })
    }
}
