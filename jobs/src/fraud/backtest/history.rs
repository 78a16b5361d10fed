//! What the walks go through: a country's rows up to the last month, in the order of time, beside their truth.
//!
//! They are joined and sorted once, whatever the number of strategies and seeds, to one file in the job's folder
//! that every walk reads from beginning to end. Join and sort spill, so that memory does not grow with the rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::prelude::{DataFrame, SessionContext, col, lit};
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{Parameters, declarations, operator::TRUTH, truth};
use crate::{
    Archive, Error, Result, ResultExt,
    archive::{DataFile, schema, write_operator::WriteOperator},
    fraud::{
        features::{INPUT, ORDER},
        prepare::day_of,
    },
    job::Job,
    plan::{self, tasks},
};

/// The rows as a file of the job's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    path: String,
    size: u64,
}

impl History {
    /// Writes the rows of a snapshot of the declarations.
    pub(super) fn write<'a>(
        job: &Job<'a>,
        parameters: &'a Parameters,
        version: u64,
        truths: &'a [(String, u64)],
    ) -> impl Future<Output = Result<Self>> + use<'a> {
        let (archive, folder, session) = (job.archive, job.work_folder().to_owned(), job.session("history"));
        async move {
            let session = session?;
            join_by_sorting(&session);
            let rows = declarations(&session, archive, version, parameters).await?;
            let rows = rows.filter(col("acceptance_date").lt_eq(lit(day_of(parameters.to.last()))))?;
            let rows = truth::beside(&session, archive, rows.select_columns(INPUT)?, truths)?;
            let writer = WriteOperator::new(v1::WriteOperator {
                archive: archive.url().to_string(),
                table: folder.clone(),
                country: parameters.country.clone(),
                date_column: String::new(),
                name: "history".to_owned(),
                order: ORDER.map(str::to_owned).to_vec(),
            })?;
            let files = plan::reports::<Vec<DataFile>>(plan::above(rows, writer)?).await;
            let files = files.context(|| "put the declarations in the order of time")?.concat();
            match files.as_slice() {
                [file] => Ok(Self { path: format!("{folder}/{}", file.path), size: file.size }),
                _ => Err(Error::internal(format!("{} files hold the history, not one", files.len()))),
            }
        }
    }

    /// A query of the rows, in their order.
    pub(super) fn scan(&self, session: &SessionContext, archive: &Archive) -> Result<DataFrame> {
        let file = v1::ParquetFile { path: self.path.clone(), size: self.size };
        tasks::scan(session, archive, vec![file], columns()?, true)
    }
}

/// The columns of the file.
fn columns() -> Result<SchemaRef> {
    let declared = schema::declarations();
    let mut fields = INPUT
        .iter()
        .map(|name| Ok(declared.field_with_name(name)?.clone()))
        .collect::<Result<Vec<Field>>>()?;
    let kinds = [DataType::Boolean, DataType::Float64];
    fields.extend(TRUTH.into_iter().zip(kinds).map(|(name, kind)| Field::new(name, kind, true)));
    Ok(Arc::new(Schema::new(fields)))
}

/// Lets a session join by sorting, which spills; a hash join holds the whole truth. The engine does so only where
/// there is more than one partition.
fn join_by_sorting(session: &SessionContext) {
    let state = session.state_ref();
    let mut state = state.write();
    let options = state.config_mut().options_mut();
    options.optimizer.prefer_hash_join = false;
    options.execution.target_partitions = options.execution.target_partitions.max(2);
}
