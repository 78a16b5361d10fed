//! A worker's part of the classifiers' fit: loading the training texts, and training the classifiers of its shards.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::Archive;
use tidewaiter_collective::{Contribution, Shard, ShardLoader};
use tidewaiter_core::{
    Error, Result,
    chance::mix,
    threads::{check, on_cpu},
};
use tidewaiter_proto::v1::ParquetFile;
use tokio::sync::OnceCell;

use super::{
    corpus::Corpus,
    parameters::Parameters,
    wire::{ClassifierRange, CodeCounts, Instruction, Request, StoredClassifier, TrainedClassifiers},
};
use crate::{
    features::texts::read_texts,
    fit::{
        problem::problem,
        svm::{LEAST_WEIGHT, SvmTrainer},
    },
    model::weights::Classifier,
};

/// The learner's name in a fit's task.
pub const LEARNER: &str = "hs";

/// How shards are made of the file of training texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// How many shards there are.
    pub shards: u32,
    /// How the classifiers are trained.
    pub parameters: Parameters,
}

/// Loads shards; the corpus that they share is read once.
#[derive(Debug)]
pub struct ClassifierShards {
    archive: Archive,
    files: Vec<ParquetFile>,
    layout: Layout,
    corpus: OnceCell<Arc<Corpus>>,
}

impl ClassifierShards {
    /// A loader of shards over the file of training texts, which `files` names once for each shard.
    pub fn new(archive: Archive, files: Vec<ParquetFile>, layout: Layout) -> Self {
        Self { archive, files, layout, corpus: OnceCell::new() }
    }
}

#[async_trait::async_trait]
impl ShardLoader for ClassifierShards {
    async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
        let file = self.files.get(shard as usize);
        let file = file.ok_or_else(|| Error::internal(format!("the fit has no shard {shard}")))?;
        let read = async {
            let texts = read_texts(&self.archive, &file.path, self.layout.parameters.most_texts).await?;
            on_cpu(move || Ok(Arc::new(Corpus::of(texts)))).await
        };
        let corpus = Arc::clone(self.corpus.get_or_try_init(|| read).await?);
        Ok(Box::new(ClassifierShard { number: shard, layout: self.layout.clone(), corpus }))
    }
}

/// A shard: the training texts, and which of the classifiers are its own.
pub(super) struct ClassifierShard {
    pub(super) number: u32,
    pub(super) layout: Layout,
    pub(super) corpus: Arc<Corpus>,
}

impl Shard for ClassifierShard {
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn contribute(&mut self, instruction: &[u8], merged: &mut Option<Contribution>) -> Result<()> {
        let answer = match Instruction::decode(instruction)?.request {
            None => return Err(Error::internal("HS classifiers: an instruction asks nothing")),
            Some(Request::Count(_)) => {
                // All shards hold the same texts; the first one counts them.
                let codes = if self.number == 0 { self.corpus.texts.codes.as_slice() } else { &[] };
                let mut counts = CodeCounts::default();
                for run in codes.chunk_by(|one, next| one == next) {
                    counts.codes.push(run[0]);
                    counts.texts.push(run.len() as u32);
                }
                counts.encode_to_vec()
            }
            Some(Request::Train(ClassifierRange { first, end })) => self.train(first, end)?.encode_to_vec(),
        };
        Contribution::Gather(vec![(self.number, Bytes::from(answer))]).merge_onto(merged)
    }
}

impl ClassifierShard {
    /// Trains the shard's own classifiers of a range.
    fn train(&self, first: u32, end: u32) -> Result<TrainedClassifiers> {
        let corpus = &self.corpus;
        let mut trainer = SvmTrainer::new(&corpus.vectors, corpus.vocabulary.len());
        let mut trained = TrainedClassifiers::default();
        for number in (first..end).filter(|number| number % self.layout.shards == self.number) {
            check()?;
            let problem = problem(&corpus.classes, number as usize, &corpus.texts.codes)?;
            let mut settings = self.layout.parameters.settings();
            settings.seed = mix(settings.seed ^ u64::from(number));
            let Classifier { bias, weights } = trainer.train(&problem, settings).pruned(LEAST_WEIGHT);
            let (features, weights) = weights.into_iter().unzip();
            trained.classifiers.push(StoredClassifier { number, bias, features, weights });
        }
        Ok(trained)
    }
}
