//! The fits of a retrain: which learner, on which rows, followed and taken up again.
//!
//! A learner is a variant of [`Learner`] and what [`Fitting::classifier`] does for it: one fit through the
//! collective or several, one after the other, each with its own checkpoint. Start there.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{
    date::{self, DateLeader},
    model::Classifier,
    retrain::Parameters,
};
use crate::{
    Archive, Result,
    engine::Engine,
    job::Listener,
    learning::{
        Leader, Progress,
        collective::{Observer, ShardLoader},
        gbdt::{self, GbdtLeader},
        logistic::{self, LogisticLeader},
        rows::{Layout, MakeShard, ParquetShards},
        run::{Fit, run},
    },
};

/// What learns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learner {
    /// Boosted trees.
    #[default]
    Gbdt,
    /// Logistic regression: the baseline.
    Logistic,
    /// A network over the leaves of boosted trees.
    Date,
}

/// What the fits of a retrain share.
pub(super) struct Fitting<'a> {
    pub(super) archive: &'a Archive,
    pub(super) engine: &'a dyn Engine,
    pub(super) session: &'a SessionContext,
    /// Names the retrain among all.
    pub(super) name: String,
    /// A folder of the archive for what is needed only while it runs.
    pub(super) folder: String,
    /// The shards.
    pub(super) files: Vec<v1::ParquetFile>,
    pub(super) layout: Layout,
    pub(super) listener: Arc<dyn Listener>,
}

/// A kind of fit.
struct Kind {
    learner: &'static str,
    /// How the learner reads a shard, as JSON.
    parameters: String,
    loader: Arc<dyn ShardLoader>,
    /// What its progress counts.
    unit: &'static str,
    /// Milestones from one stored checkpoint to the next.
    milestones: u32,
    /// Whether it computes on a GPU where there is one.
    gains_from_gpu: bool,
}

impl Fitting<'_> {
    /// Fits the classifier that was asked for; with it the mean log loss on the validation months.
    pub(super) async fn classifier(&self, parameters: &Parameters) -> Result<(Classifier, Option<f64>)> {
        match parameters.learner {
            Learner::Gbdt => {
                let (trees, loss) = self.trees(&parameters.trees, parameters.members).await?;
                Ok((Classifier::Gbdt(trees), loss))
            }
            Learner::Logistic => {
                let kind = self.on_rows(logistic::LEARNER, logistic::shard_of, "penalties", 50)?;
                let begin = || LogisticLeader::new(parameters.logistic.clone());
                let leader = self.lead(&kind, (0, 1), begin, LogisticLeader::restore).await?;
                Ok((Classifier::Logistic(leader.model()?), leader.validation_loss()))
            }
            Learner::Date => self.date(&parameters.date).await,
        }
    }

    /// Fits so many boosters, each with a seed of its own, and takes the mean of their log odds; with it the mean
    /// of their losses on the validation months, which the loss of their mean is not above.
    async fn trees(&self, parameters: &gbdt::Parameters, members: u32) -> Result<(gbdt::Model, Option<f64>)> {
        let kind = self.on_rows(gbdt::LEARNER, gbdt::shard_of, "trees", 10)?;
        let (mut models, mut losses) = (Vec::new(), Vec::new());
        for member in 0..members {
            let seed = parameters.seed.wrapping_add(u64::from(member));
            let begin = || GbdtLeader::new(gbdt::Parameters { seed, ..parameters.clone() });
            let leader = self.lead(&kind, (member, members), begin, GbdtLeader::restore).await?;
            models.push(leader.model()?);
            losses.extend(leader.validation_loss());
        }
        let loss = losses.iter().sum::<f64>() / f64::from(members);
        Ok((gbdt::Model::mean(models)?, (!losses.is_empty()).then_some(loss)))
    }

    /// Fits a booster, and then the network over its leaves.
    async fn date(&self, parameters: &date::Parameters) -> Result<(Classifier, Option<f64>)> {
        let (booster, _) = self.trees(&parameters.booster, 1).await?;
        let path = format!("{}/booster.bin", self.folder);
        self.archive.put(&path, booster.to_bytes()).await?;
        let layout = date::Layout {
            booster: path,
            parameters: parameters.clone(),
            validation_days: self.layout.validation_days,
        };
        let kind = Kind {
            learner: date::LEARNER,
            parameters: serde_json::to_string(&layout)?,
            loader: Arc::new(date::ParquetShards::new(self.archive.clone(), self.files.clone(), layout)),
            unit: "epochs",
            milestones: 1,
            gains_from_gpu: true,
        };
        let begin = || DateLeader::new(parameters.clone(), booster.clone());
        let restore = |checkpoint: &[u8]| DateLeader::restore(checkpoint, booster.clone());
        let leader = self.lead(&kind, (0, 1), begin, restore).await?;
        Ok((Classifier::Date(Box::new(leader.model()?)), leader.validation_loss()))
    }

    /// A kind of fit whose shards are made of rows of features and labels.
    fn on_rows(
        &self,
        learner: &'static str,
        make: MakeShard,
        unit: &'static str,
        milestones: u32,
    ) -> Result<Kind> {
        let (archive, files, layout) = (self.archive.clone(), self.files.clone(), self.layout.clone());
        let parameters = serde_json::to_string(&layout)?;
        let loader = Arc::new(ParquetShards::new(archive, files, layout, make));
        Ok(Kind { learner, parameters, loader, unit, milestones, gains_from_gpu: false })
    }

    /// Leads one fit to its end, from its checkpoint where there is one: the first (0) of so many, or a later one.
    async fn lead<L: Leader>(
        &self,
        kind: &Kind,
        (place, of): (u32, u32),
        begin: impl FnOnce() -> Result<L>,
        restore: impl FnOnce(&[u8]) -> Result<L>,
    ) -> Result<L> {
        let Self { archive, engine, session, folder, files, .. } = self;
        let own = format!("{}-{place}", kind.learner);
        let (name, folder) = (format!("{}-{own}", self.name), format!("{folder}/{own}"));
        let checkpoint = format!("{folder}/checkpoint");
        let mut leader = match archive.exists(&checkpoint).await? {
            true => restore(&archive.get(&checkpoint).await?)?,
            false => begin()?,
        };
        let task = v1::FitTask {
            learner: kind.learner.to_owned(),
            shards: files.clone(),
            parameters: kind.parameters.clone(),
        };
        let loader = Arc::clone(&kind.loader);
        let listener = Arc::clone(&self.listener);
        let (place, of) = (u64::from(place), u64::from(of));
        let mut following = Following { archive, checkpoint, listener, kind, place, of, milestones: 0 };
        let fit = Fit {
            archive,
            engine: *engine,
            session,
            name: &name,
            folder: &folder,
            task,
            loader,
            gains_from_gpu: kind.gains_from_gpu,
        };
        run(fit, &mut leader, &mut following).await?;
        Ok(leader)
    }
}

/// Tells of a fit's progress and keeps its checkpoints.
struct Following<'a> {
    archive: &'a Archive,
    checkpoint: String,
    listener: Arc<dyn Listener>,
    kind: &'a Kind,
    /// The fit's place among so many.
    place: u64,
    of: u64,
    milestones: u32,
}

#[async_trait::async_trait]
impl Observer for Following<'_> {
    fn progress(&mut self, progress: Progress) {
        let done = self.place * progress.total + progress.done;
        self.listener.progress("fit", done, self.of * progress.total, self.kind.unit);
    }

    async fn checkpoint(&mut self, checkpoint: Bytes) -> Result<()> {
        self.milestones += 1;
        if self.milestones.is_multiple_of(self.kind.milestones) {
            self.archive.put(&self.checkpoint, checkpoint).await?;
        }
        Ok(())
    }
}
