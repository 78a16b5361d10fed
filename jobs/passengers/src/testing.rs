//! For the tests of this crate: an archive in memory, a folder for files, and jobs over both in this process.

use std::{fs, path::PathBuf, sync::Arc};

use arrow::{array::AsArray, compute::cast, datatypes::DataType};
use tempfile::TempDir;
use tidewaiter_archive::Archive;
use tidewaiter_core::{plan::Meter, query::Run as _};
use tidewaiter_job::{
    Catalogue, Domain, Job, JobParameters, Listener, NoLog, Outcome, Roots, Setting,
    engine::{Engine, Local},
};

use crate::{DOMAIN, ingest};

struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

/// An archive in memory, and a folder for files.
pub(crate) struct Place {
    pub(crate) archive: Archive,
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let archive = Archive::open(&format!("memory://{name}/archive")).expect("opens");
        let place = Self { archive, folder: tempfile::tempdir().expect("a folder") };
        place.file("key", b"a key of enough bytes");
        place
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }

    /// Runs a job that was asked for at a time.
    pub(crate) async fn run_at<P: JobParameters>(
        &self,
        id: &str,
        parameters: &P,
        submitted_ms: i64,
    ) -> Outcome {
        static DOMAINS: &[&Domain] = &[&DOMAIN];
        let engine = Local::new(2, 256 << 20).expect("an engine");
        let mut job = Job::new(
            P::KIND,
            Setting {
                archive: &self.archive,
                engine: &engine,
                extensions: Catalogue::new(DOMAINS).extensions(),
                listener: Arc::new(Silent),
                log: &NoLog,
                id,
                submitted_ms,
                roots: Roots::Anywhere,
            },
        );
        let result = parameters.run(&mut job).await;
        job.finish(&result)
    }

    /// Runs a job.
    pub(crate) async fn run<P: JobParameters>(&self, id: &str, parameters: &P) -> Outcome {
        self.run_at(id, parameters, 1_700_000_000_000).await
    }

    /// Ingests files or, with a mapping, CSV files.
    pub(crate) async fn ingest(&self, id: &str, files: &[String], mapping: Option<String>) -> Outcome {
        let country = mapping.is_none().then(|| "KR".to_owned());
        let key = Some(self.path("key"));
        self.run(id, &ingest::Parameters { files: files.to_vec(), country, mapping, key }).await
    }

    /// The rows of a query of one column of texts, sorted.
    pub(crate) async fn query(&self, text: &str) -> Vec<String> {
        let engine = Local::new(1, 64 << 20).expect("an engine");
        let session = engine.session("test", Meter::new(|_| ())).expect("a session");
        let rows = tidewaiter_archive::sql::query(&session, &self.archive, text).await.expect("plans");
        let mut found = Vec::new();
        for batch in rows.batches().await.expect("answers") {
            let column = cast(batch.column(0), &DataType::Utf8).expect("text");
            found.extend(column.as_string::<i32>().iter().map(|text| text.unwrap_or("null").to_owned()));
        }
        found.sort();
        found
    }
}

/// The folder of sample messages, if it is beside the checkout.
pub(crate) fn samples() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found =
        folder.ancestors().map(|above| above.join("shared/data/passengers")).find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: the sample messages are not beside the checkout (shared/data/passengers)");
    }
    found
}
