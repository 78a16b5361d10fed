//! Plans the queries of jobs: long file lists go through the archive's store, into the job's work folder.

use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::{config::BALLISTA_JOB_NAME, extension::SessionConfigExt};
use datafusion::{
    catalog::Session, error::Result, execution::context::QueryPlanner as QueryPlannerTrait,
    logical_expr::LogicalPlan, physical_plan::ExecutionPlan,
};
use tidewaiter_archive::{
    Archive,
    listed_scan::{MOST_FILES, shorten},
};
use tidewaiter_core::plan::QueryPlanner;
use tidewaiter_job::work_folder;

/// Plans queries over an archive.
#[derive(Debug)]
pub(crate) struct JobPlanner {
    pub(crate) archive: Archive,
}

#[async_trait]
impl QueryPlannerTrait for JobPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = QueryPlanner.create_physical_plan(plan, session).await?;
        let settings = session.config().ballista_config();
        // A query of nobody's job has no folder.
        let Some(job) = settings.settings().get(BALLISTA_JOB_NAME).filter(|job| !job.is_empty()) else {
            return Ok(plan);
        };
        let folder = format!("{}/scans", work_folder(job));
        Ok(shorten(plan, session, &self.archive, &folder, MOST_FILES).await?)
    }
}
