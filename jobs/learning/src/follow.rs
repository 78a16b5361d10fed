//! A fit that starts from its last checkpoint, stores new ones, and reports its progress.
//!
//! Promise: a fit that is interrupted and run again goes on from the last stored checkpoint and gives the same model,
//! because a leader's state between two rounds is its whole state ([`Leader::checkpoint`]). The checkpoint is one
//! object of the archive, `<folder>/checkpoint`; it stays when the fit is over, until the job's folder is removed. A
//! store that cannot be reached costs a checkpoint, and not the fit.
//! Start at [`Followed::lead`].

use std::sync::Arc;

use bytes::Bytes;
use datafusion::prelude::SessionContext;
use tidewaiter_archive::Archive;
use tidewaiter_collective::{Leader, Observer, Progress, ShardLoader};
use tidewaiter_core::{ErrorKind, Result};
use tidewaiter_job::{Listener, engine::Engine};
use tidewaiter_proto::v1;

use crate::run::{Fit, run};

/// A fit with checkpoints and progress. The fields that [`Fit`] has too have the same meaning.
pub struct Followed<'a> {
    /// The archive that holds shards and checkpoints.
    pub archive: &'a Archive,
    /// Where it runs.
    pub engine: &'a dyn Engine,
    /// A session on that engine.
    pub session: &'a SessionContext,
    /// Its name, unique among all fits that run.
    pub name: String,
    /// A folder of the archive for its checkpoint, and for files that are needed only while it runs; its alone.
    pub folder: String,
    /// The learner's name, and its parameters for reading a shard, as JSON.
    pub learner: (&'static str, String),
    /// The files of the shards, by the shards' numbers.
    pub shards: Vec<v1::ParquetFile>,
    /// Loads the shards in workers of this process.
    pub loader: Arc<dyn ShardLoader>,
    /// Whether a GPU makes it faster.
    pub gains_from_gpu: bool,
    /// Receives its progress.
    pub listener: Arc<dyn Listener>,
    /// The job's step, and the unit of its progress, such as `trees`.
    pub step: (&'static str, &'static str),
    /// Its index among the fits of the step, from 0, and their number; the progress counts over all of them.
    pub place: (u64, u64),
    /// Every so many milestones of the leader a checkpoint is stored; 1 or more.
    pub milestones_per_checkpoint: u32,
}

impl Followed<'_> {
    /// Leads the fit to its end and returns its leader, which has the model. The leader is made by `restore` from the
    /// stored checkpoint where there is one, else by `begin`.
    ///
    /// # Errors
    /// As [`run`], those of `begin` and `restore`, and those of the store.
    pub async fn lead<L: Leader>(
        self,
        begin: impl FnOnce() -> Result<L>,
        restore: impl FnOnce(&[u8]) -> Result<L>,
    ) -> Result<L> {
        let checkpoint = format!("{}/checkpoint", self.folder);
        let mut leader = match self.archive.exists(&checkpoint).await? {
            true => restore(&self.archive.get(&checkpoint).await?)?,
            false => begin()?,
        };
        let fit = Fit {
            archive: self.archive,
            engine: self.engine,
            session: self.session,
            name: &self.name,
            folder: &self.folder,
            task: v1::FitTask {
                learner: self.learner.0.to_owned(),
                shards: self.shards.clone(),
                parameters: self.learner.1.clone(),
            },
            loader: Arc::clone(&self.loader),
            gains_from_gpu: self.gains_from_gpu,
        };
        let mut follower = Follower { followed: &self, checkpoint, milestones: 0 };
        run(fit, &mut leader, &mut follower).await?;
        Ok(leader)
    }
}

/// Passes a fit's progress on and stores its checkpoints.
struct Follower<'a> {
    followed: &'a Followed<'a>,
    /// The path of the checkpoint.
    checkpoint: String,
    /// The milestones so far.
    milestones: u32,
}

#[async_trait::async_trait]
impl Observer for Follower<'_> {
    fn progress(&mut self, progress: Progress) {
        let (step, unit) = self.followed.step;
        let (place, of) = self.followed.place;
        let done = place * progress.total + progress.done;
        self.followed.listener.noted_progress(step, done, of * progress.total, unit, &progress.note);
    }

    async fn checkpoint(&mut self, checkpoint: Bytes) -> Result<()> {
        self.milestones += 1;
        if !self.milestones.is_multiple_of(self.followed.milestones_per_checkpoint) {
            return Ok(());
        }
        match self.followed.archive.put(&self.checkpoint, checkpoint).await {
            // The next may be stored; until then the fit would go on from the one before.
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(path = self.checkpoint, error = error.chain(), "a checkpoint is not stored");
                Ok(())
            }
            stored => stored,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use arrow::array::{ArrayRef, Date32Array, Float32Array, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use tidewaiter_collective::Shard;
    use tidewaiter_core::{Error, chance::mix, plan::Meter};
    use tidewaiter_job::engine::Local;

    use super::*;
    use crate::{
        gbdt::{self, GbdtLeader, Parameters},
        rows::{Layout, ParquetShards},
    };

    /// Records a fit's progress.
    #[derive(Default)]
    struct Recorded(Mutex<Vec<(String, u64, u64, String)>>);

    impl Listener for Recorded {
        fn progress(&self, step: &str, done: u64, total: u64, unit: &str) {
            let mut recorded = self.0.lock().expect("not poisoned");
            recorded.push((step.to_owned(), done, total, unit.to_owned()));
        }
    }

    /// Rows of one feature that decides most labels; every fifth day is a validation day.
    async fn shard(archive: &Archive, number: u64) -> v1::ParquetFile {
        let feature = |row: u64| (mix(1000 * number + row) % 100) as f32;
        let label = |row: u64| f32::from(u8::from(feature(row) + (mix(row) % 30) as f32 > 60.0));
        let columns: [(&str, ArrayRef); 3] = [
            ("amount", Arc::new(Float32Array::from_iter_values((0..300).map(feature)))),
            ("label", Arc::new(Float32Array::from_iter_values((0..300).map(label)))),
            ("date", Arc::new(Date32Array::from_iter_values((0..300).map(|row| row % 5)))),
        ];
        let rows = RecordBatch::try_from_iter(columns).expect("columns of one length");
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).expect("a writer");
        writer.write(&rows).expect("writes");
        let bytes = writer.into_inner().expect("closes");
        let (path, size) = (format!("work/shards/{number}.parquet"), bytes.len() as u64);
        archive.put(&path, bytes).await.expect("stores");
        v1::ParquetFile { path, size }
    }

    /// The archive, two shards in it, and how they are read.
    async fn data() -> (Archive, Vec<v1::ParquetFile>, Layout) {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let folder = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let archive = Archive::open(&format!("memory://follow/archive-{folder}")).expect("opens");
        let shards = vec![shard(&archive, 0).await, shard(&archive, 1).await];
        let layout = Layout {
            features: vec!["amount".to_owned()],
            label: "label".to_owned(),
            date: "date".to_owned(),
            validation_days: (4, 4),
        };
        (archive, shards, layout)
    }

    fn parameters() -> Parameters {
        Parameters { trees: 10, leaves: 4, early_stopping_rounds: 0, ..Parameters::default() }
    }

    /// Loads shards, after it has failed some times.
    struct Failing {
        shards: ParquetShards,
        kind: ErrorKind,
        left: AtomicUsize,
    }

    #[async_trait::async_trait]
    impl ShardLoader for Failing {
        async fn load(&self, shard: u32) -> Result<Box<dyn Shard>> {
            let fails =
                self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            match fails {
                Ok(_) => Err(Error::new(self.kind, "the store is away")),
                Err(_) => self.shards.load(shard).await,
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn workers_that_fail_for_a_while_join_again_and_damaged_data_end_the_fit() {
        let (archive, shards, layout) = data().await;
        let engine = Local::new(2, 1 << 26).expect("an engine");
        let session = engine.session("job", Meter::new(|_| ())).expect("a session");
        let fit = async |failures: usize, kind: ErrorKind| {
            let loader = ParquetShards::new(archive.clone(), shards.clone(), layout.clone(), gbdt::shard_of);
            let left = AtomicUsize::new(failures);
            let fit = Fit {
                archive: &archive,
                engine: &engine,
                session: &session,
                name: &format!("{kind:?}-{failures}"),
                folder: "work/fit",
                task: v1::FitTask { shards: shards.clone(), ..v1::FitTask::default() },
                loader: Arc::new(Failing { shards: loader, kind, left }),
                gains_from_gpu: false,
            };
            let mut leader = GbdtLeader::new(parameters()).expect("parameters");
            run(fit, &mut leader, &mut Silent).await?;
            Ok::<_, Error>(leader.model().expect("a model").to_bytes())
        };
        let undisturbed = fit(0, ErrorKind::Unavailable).await.expect("the fit ends");
        // Both workers fail, and one of them twice.
        assert_eq!(fit(3, ErrorKind::Unavailable).await.expect("the fit ends"), undisturbed);
        let error = fit(1, ErrorKind::Corrupt).await.expect_err("waiting does not help");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
    }

    /// Does nothing.
    struct Silent;

    #[async_trait::async_trait]
    impl Observer for Silent {
        fn progress(&mut self, _: Progress) {}

        async fn checkpoint(&mut self, _: Bytes) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_fit_goes_on_from_its_stored_checkpoint_and_gives_the_same_model() {
        let (archive, shards, layout) = data().await;
        let engine = Local::new(2, 1 << 26).expect("an engine");
        let session = engine.session("job", Meter::new(|_| ())).expect("a session");
        let listener = Arc::new(Recorded::default());
        let fit = |index: u64| Followed {
            archive: &archive,
            engine: &engine,
            session: &session,
            name: format!("fit-{index}"),
            folder: "work/fit".to_owned(),
            learner: (gbdt::LEARNER, serde_json::to_string(&layout).expect("JSON")),
            shards: shards.clone(),
            loader: Arc::new(ParquetShards::new(
                archive.clone(),
                shards.clone(),
                layout.clone(),
                gbdt::shard_of,
            )),
            gains_from_gpu: false,
            listener: Arc::clone(&listener) as Arc<dyn Listener>,
            step: ("fit", "trees"),
            place: (1, 2),
            milestones_per_checkpoint: 4,
        };
        let first =
            fit(0).lead(|| GbdtLeader::new(parameters()), |_| Err(Error::internal("no checkpoint yet")));
        let first = first.await.expect("the fit ends");

        // The ten trees and the binning are eleven milestones: the last checkpoint is that of the eighth, with seven trees.
        listener.0.lock().expect("not poisoned").clear();
        let begin = || Err(Error::internal("there is a checkpoint"));
        let second = fit(1).lead(begin, GbdtLeader::restore).await.expect("the fit ends");
        let model = second.model().expect("a model");
        assert_eq!(model.trees.len(), 10);
        assert_eq!(model.to_bytes(), first.model().expect("a model").to_bytes());
        // It is the second of two fits.
        let recorded = std::mem::take(&mut *listener.0.lock().expect("not poisoned"));
        assert!(
            recorded
                .iter()
                .all(|(step, _, total, unit)| (step.as_str(), *total, unit.as_str()) == ("fit", 20, "trees"))
        );
        let mut done: Vec<u64> = recorded.iter().map(|progress| progress.1).collect();
        done.dedup();
        assert_eq!(done, [17, 18, 19, 20]);
    }
}
