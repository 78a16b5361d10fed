//! Ballista's execution of tasks, with what a task has here besides: it can be stopped, its rows are counted, and its
//! errors keep their kind. Its log lines name the job, the query, the stage and the task.

use std::sync::Arc;

use ballista_core::{JobId, config::BALLISTA_JOB_NAME, extension::SessionConfigExt as _};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::{error::Result, physical_plan::ExecutionPlan, prelude::SessionConfig};
use tidewaiter_job::LINES;

use crate::{
    connections::Connections,
    failure::{Stage, of_task},
    load::Load,
    rows::Rows,
    running::Running,
    stoppable::stoppable,
};

/// Makes the tasks of an executor.
pub(crate) struct Engine {
    ballista: DefaultExecutionEngine,
    running: Running,
    rows: Rows,
    load: Load,
}

impl Engine {
    /// An engine that notes its tasks in `running`, their rows in `rows`, and what they do in `load`.
    pub(crate) fn new(running: Running, rows: Rows, load: Load) -> Self {
        let connections = Arc::new(Connections::default());
        Self { ballista: DefaultExecutionEngine::with_client_pool(connections), running, rows, load }
    }
}

impl ExecutionEngine for Engine {
    fn create_query_stage_exec(
        &self,
        query: JobId,
        stage: usize,
        task: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        work_folder: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        let (name, counted) = (query.as_str().to_owned(), Arc::clone(&plan));
        // The name of a query is the job that was submitted.
        let config_of_query = config.ballista_config();
        let job = config_of_query.settings().get(BALLISTA_JOB_NAME);
        let span = tracing::error_span!(target: LINES, "task", job, query = name, stage, task);
        let plan = stoppable(plan, &self.running.begin(&name), &span).map_err(of_task)?;
        let made =
            self.ballista.create_query_stage_exec(query, stage, task, partitions, plan, work_folder, config);
        let made = made.map_err(of_task)?;
        self.rows.note(name, stage, Arc::clone(&counted), &made);
        Ok(Arc::new(Stage(self.load.counted(made, counted))))
    }
}
