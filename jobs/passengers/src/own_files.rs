//! Rows that a job writes for itself and reads again in its next queries.

use arrow::datatypes::SchemaRef;
use datafusion::prelude::{DataFrame, SessionContext};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, DataFile, tasks, write_operator::WriteOperator};
use tidewaiter_core::{Result, plan};
use tidewaiter_proto::v1;

/// Files of rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OwnFiles {
    /// Path, bytes and rows of each.
    files: Vec<(String, u64, u64)>,
}

impl OwnFiles {
    /// Runs a query and writes its rows to a folder of the archive.
    ///
    /// # Errors
    /// Those of the query and of the store.
    pub(crate) async fn write(archive: &Archive, rows: DataFrame, folder: &str, name: &str) -> Result<Self> {
        let writer = WriteOperator::new(v1::WriteOperator {
            archive: archive.url().to_string(),
            table: folder.to_owned(),
            name: name.to_owned(),
            ..v1::WriteOperator::default()
        })?;
        let written = plan::reports::<Vec<DataFile>>(plan::apply(rows, writer)?).await?.concat();
        let files = written.into_iter().map(|file| (format!("{folder}/{}", file.path), file.size, file.rows));
        let mut files: Vec<_> = files.collect();
        files.sort_unstable();
        Ok(Self { files })
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> u64 {
        self.files.iter().map(|(_, _, rows)| rows).sum()
    }

    /// The files as a fit reads them.
    pub(crate) fn parquet(&self) -> Vec<v1::ParquetFile> {
        self.files.iter().map(|(path, size, _)| v1::ParquetFile { path: path.clone(), size: *size }).collect()
    }

    /// The rows as a query.
    ///
    /// # Errors
    /// Those of the session.
    pub(crate) fn scan(
        &self,
        session: &SessionContext,
        archive: &Archive,
        schema: SchemaRef,
    ) -> Result<DataFrame> {
        tasks::scan(session, archive, self.parquet(), schema, false)
    }
}
