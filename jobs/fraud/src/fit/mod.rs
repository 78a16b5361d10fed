//! Fitting the fraud model on the shards of a retrain: its classifier, then its revenue head.
//!
//! A learner is a variant of [`Learner`] and what [`ModelFit::classifier`] does for it: one fit through the
//! collective, or several one after another, each of which continues from its own checkpoint. Start at
//! [`ModelFit::fit`].

mod propensity;
mod revenue;

use std::{ops::RangeInclusive, sync::Arc};

use datafusion::prelude::SessionContext;
use tidewaiter_archive::Archive;
use tidewaiter_collective::{Leader, ShardLoader};
use tidewaiter_core::{Result, threads::on_cpu};
use tidewaiter_job::{Listener, engine::Engine};
use tidewaiter_learning::{
    follow::Followed,
    gbdt::{self, GbdtLeader},
    logistic::{self, LogisticLeader},
    rows::{Layout, MakeShard, ParquetShards},
};
use tidewaiter_proto::v1;

use crate::{
    date::{self, DateLayout, DateLeader, DateShards},
    features::{FeatureFile, features},
    model::{Classifier, FraudModel, Learner},
    parameters::RetrainParameters,
};
pub(crate) use propensity::chances_of_inspection;
use revenue::fit_revenue_head;

/// The fits of a retrain: what they read and where they run.
pub(crate) struct ModelFit<'a> {
    pub(crate) archive: &'a Archive,
    pub(crate) engine: &'a dyn Engine,
    pub(crate) session: &'a SessionContext,
    /// The id of the retrain.
    pub(crate) name: String,
    /// A folder of the archive for temporary files.
    pub(crate) folder: String,
    /// The shards: rows of the training and validation months with a known outcome.
    pub(crate) shards: &'a [FeatureFile],
    /// Days of the training months, since 1970-01-01.
    pub(crate) training_days: RangeInclusive<i32>,
    /// Days of the validation months, since 1970-01-01.
    pub(crate) validation_days: RangeInclusive<i32>,
    pub(crate) listener: Arc<dyn Listener>,
}

/// What the fits of one learner have in common.
struct LearnerSetup {
    learner: &'static str,
    /// How the learner reads a shard, as JSON.
    parameters: String,
    loader: Arc<dyn ShardLoader>,
    /// The unit of its progress.
    unit: &'static str,
    /// Milestones from one stored checkpoint to the next.
    milestones_per_checkpoint: u32,
    gains_from_gpu: bool,
}

impl ModelFit<'_> {
    /// Fits the model, and gives with it the mean log loss on the validation months.
    pub(crate) async fn fit(&self, parameters: &RetrainParameters) -> Result<(FraudModel, Option<f64>)> {
        let (classifier, validation_loss) = self.classifier(parameters).await?;
        let head = match &classifier {
            // DATE has its own head.
            Classifier::Date(_) => None,
            Classifier::Gbdt(_) | Classifier::Logistic(_) => {
                fit_revenue_head(self.session, self.archive, self.shards, &self.training_days).await?
            }
        };
        Ok((FraudModel { classifier, head }, validation_loss))
    }

    /// Fits the classifier of the chosen learner, and gives with it the mean log loss on the validation months.
    async fn classifier(&self, parameters: &RetrainParameters) -> Result<(Classifier, Option<f64>)> {
        match parameters.learner {
            Learner::Gbdt => {
                let (trees, loss) = self.trees(&parameters.trees, parameters.members).await?;
                Ok((Classifier::Gbdt(trees), loss))
            }
            Learner::Logistic => {
                let setup = self.on_rows(logistic::LEARNER, logistic::shard_of, "penalties", 50)?;
                let begin = || LogisticLeader::new(parameters.logistic.clone());
                let leader = self.lead(&setup, (0, 1), begin, LogisticLeader::restore).await?;
                Ok((Classifier::Logistic(leader.model()?), leader.validation_loss()))
            }
            Learner::Date => self.date(&parameters.date).await,
        }
    }

    /// Fits so many boosters, each with its own seed, and takes the mean of their log odds. The loss is the mean of
    /// their losses on the validation months, an upper bound of the loss of their mean.
    async fn trees(&self, parameters: &gbdt::Parameters, members: u32) -> Result<(gbdt::Model, Option<f64>)> {
        let setup = self.on_rows(gbdt::LEARNER, gbdt::shard_of, "trees", 10)?;
        let (mut models, mut losses) = (Vec::new(), Vec::new());
        for member in 0..members {
            let seed = parameters.seed.wrapping_add(u64::from(member));
            let begin = || GbdtLeader::new(gbdt::Parameters { seed, ..parameters.clone() });
            let leader = self.lead(&setup, (member, members), begin, GbdtLeader::restore).await?;
            models.push(leader.model()?);
            losses.extend(leader.validation_loss());
        }
        let loss = losses.iter().sum::<f64>() / f64::from(members);
        let mean = on_cpu(move || gbdt::Model::mean(models)).await?;
        Ok((mean, (!losses.is_empty()).then_some(loss)))
    }

    /// Fits a booster, then the network over its leaves.
    async fn date(&self, parameters: &date::Parameters) -> Result<(Classifier, Option<f64>)> {
        let (booster, _) = self.trees(&parameters.booster, 1).await?;
        let path = format!("{}/booster.bin", self.folder);
        self.archive.put(&path, booster.to_bytes()).await?;
        let layout = DateLayout {
            booster: path,
            parameters: parameters.clone(),
            validation_days: (*self.validation_days.start(), *self.validation_days.end()),
        };
        let setup = LearnerSetup {
            learner: date::LEARNER,
            parameters: serde_json::to_string(&layout)?,
            loader: Arc::new(DateShards::new(self.archive.clone(), self.shard_files(), layout)),
            unit: "steps",
            milestones_per_checkpoint: 1,
            gains_from_gpu: true,
        };
        let begin = || DateLeader::new(parameters.clone(), booster.clone());
        let restore = |checkpoint: &[u8]| DateLeader::restore(checkpoint, booster.clone());
        let leader = self.lead(&setup, (0, 1), begin, restore).await?;
        Ok((Classifier::Date(Box::new(leader.model()?)), leader.validation_loss()))
    }

    /// The setup of a learner whose shards are rows of features and labels.
    fn on_rows(
        &self,
        learner: &'static str,
        make: MakeShard,
        unit: &'static str,
        milestones_per_checkpoint: u32,
    ) -> Result<LearnerSetup> {
        let layout = Layout {
            features: features().iter().map(|feature| feature.name.clone()).collect(),
            label: "label".to_owned(),
            date: "acceptance_date".to_owned(),
            validation_days: (*self.validation_days.start(), *self.validation_days.end()),
        };
        let parameters = serde_json::to_string(&layout)?;
        let loader = Arc::new(ParquetShards::new(self.archive.clone(), self.shard_files(), layout, make));
        Ok(LearnerSetup {
            learner,
            parameters,
            loader,
            unit,
            milestones_per_checkpoint,
            gains_from_gpu: false,
        })
    }

    fn shard_files(&self) -> Vec<v1::ParquetFile> {
        let file = |file: &FeatureFile| v1::ParquetFile { path: file.path.clone(), size: file.size };
        self.shards.iter().map(file).collect()
    }

    /// Leads fit `number` (from 0) of `count` to its end, from its checkpoint where there is one.
    async fn lead<L: Leader>(
        &self,
        setup: &LearnerSetup,
        (number, count): (u32, u32),
        begin: impl FnOnce() -> Result<L>,
        restore: impl FnOnce(&[u8]) -> Result<L>,
    ) -> Result<L> {
        let own = format!("{}-{number}", setup.learner);
        let followed = Followed {
            archive: self.archive,
            engine: self.engine,
            session: self.session,
            name: format!("{}-{own}", self.name),
            folder: format!("{}/{own}", self.folder),
            learner: (setup.learner, setup.parameters.clone()),
            shards: self.shard_files(),
            loader: Arc::clone(&setup.loader),
            gains_from_gpu: setup.gains_from_gpu,
            listener: Arc::clone(&self.listener),
            step: ("fit", setup.unit),
            place: (u64::from(number), u64::from(count)),
            milestones_per_checkpoint: setup.milestones_per_checkpoint,
        };
        followed.lead(begin, restore).await
    }
}
