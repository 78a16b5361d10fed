//! The step of a retrain in which a head is trained on an encoder.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{Embeddings, EncodedShards, EncoderLeader, Encoding, Kept, LEARNER, Layout, Parameters};
use crate::{
    Archive, Result,
    hs::retrain::Following,
    job::Job,
    learning::{
        Leader,
        run::{Fit, run},
    },
};

/// A head that is trained.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::hs) struct Encoded {
    /// Path of the fit's last checkpoint, which holds it.
    learned: String,
    encoder: Kept,
    parameters: Parameters,
    /// Training and validation texts that were read only in part, as they are too long.
    cut: u64,
    /// The mean loss of the last steps.
    loss: f64,
}

impl Encoded {
    /// The encoder in words.
    pub(in crate::hs) fn words(&self) -> String {
        let trained = match self.parameters.fine_tune_epochs {
            0 => "as it came".to_owned(),
            epochs => {
                format!("its last {} layers trained over {epochs} passes", self.parameters.fine_tune_layers)
            }
        };
        let Kept { folder, checksum } = &self.encoder;
        format!("{folder} (SHA-256 {checksum}), {trained}; {} texts were too long for it and cut", self.cut)
    }

    /// What a model keeps of it, and the embeddings of the validation texts.
    pub(in crate::hs) async fn parts(&self, archive: &Archive) -> Result<(Encoding, Embeddings)> {
        let learned = archive.get(&self.learned).await?;
        let mut learned = EncoderLeader::restore(&learned, self.parameters.clone())?.learned()?;
        let embeddings = std::mem::take(&mut learned.valid);
        Ok((Encoding::new(self.encoder.clone(), self.parameters.most_tokens, learned), embeddings))
    }
}

/// Trains a head on the texts of a file.
pub(in crate::hs) fn fit_encoder<'a>(
    job: &Job<'a>,
    train: v1::ParquetFile,
    layout: Layout,
) -> impl Future<Output = Result<Encoded>> + use<'a> {
    let (archive, engine) = (job.archive, job.engine);
    let (session, name) = (job.session("encoder"), format!("{}-encoder", job.outcome.job));
    let (listener, folder) = (Arc::clone(&job.listener), format!("{}/encoder", job.work_folder()));
    async move {
        let files = vec![train; layout.shards as usize];
        let task = v1::FitTask {
            learner: LEARNER.to_owned(),
            shards: files.clone(),
            parameters: serde_json::to_string(&layout)?,
        };
        let (encoder, parameters) = (layout.encoder.clone(), layout.parameters.clone());
        let loader = Arc::new(EncodedShards::new(archive.clone(), files, layout));
        let checkpoint = format!("{folder}/checkpoint");
        let mut leader = if archive.exists(&checkpoint).await? {
            EncoderLeader::restore(&archive.get(&checkpoint).await?, parameters.clone())?
        } else {
            EncoderLeader::new(parameters.clone())
        };
        let mut following =
            Following { archive, checkpoint, listener, milestones: 0, step: "encoder", unit: "steps" };
        let session = session?;
        let fit = Fit {
            archive,
            engine,
            session: &session,
            name: &name,
            folder: &folder,
            task,
            loader,
            gains_from_gpu: true,
        };
        run(fit, &mut leader, &mut following).await?;
        let learned = format!("{folder}/learned");
        archive.put(&learned, leader.checkpoint()?).await?;
        let told = leader.learned()?;
        Ok(Encoded { learned, encoder, parameters, cut: told.cut + told.valid.cut, loss: told.loss })
    }
}
