//! A walk as a plan node: rows that come in time order go in, one report goes out.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use tidewaiter_proto::v1;

use super::walk::{Walk, WalkParameters, WalkReport};
use crate::{
    Error, Result, ResultExt,
    fraud::features::ORDER,
    plan::{self, Input, Operator},
    threads::on_cpu,
};

/// The columns that it reads beside those of the features: the truth, null where nobody knows it.
pub(super) const TRUTH: [&str; 2] = ["true_illicit", "true_revenue"];

/// The plan node.
#[derive(Debug)]
pub struct BacktestOperator {
    message: v1::BacktestOperator,
    parameters: WalkParameters,
}

impl BacktestOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the message is not one of this version.
    pub fn new(message: v1::BacktestOperator) -> Result<Self> {
        let parameters = serde_json::from_str(&message.parameters).context(|| "read a backtest operator")?;
        Ok(Self { message, parameters })
    }
}

impl Operator for BacktestOperator {
    fn name(&self) -> &'static str {
        "BacktestExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::Backtest(self.message.clone())) }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match ORDER.iter().chain(&TRUTH).find(|name| input.index_of(name).is_err()) {
            None => Ok(plan::report_schema()),
            Some(name) => Err(Error::input(format!("a backtest needs the column {name}"))),
        }
    }

    fn undivided(&self) -> bool {
        true
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.walk(input).await?) }).boxed()
    }
}

impl BacktestOperator {
    async fn walk(&self, mut input: Input) -> Result<WalkReport> {
        let mut walk = Walk::new(self.parameters.clone())?;
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            let rows = batch.num_rows() as u64;
            walk = on_cpu(move || {
                walk.push(&batch)?;
                Ok(walk)
            })
            .await?;
            input.meter.advance(rows);
        }
        on_cpu(move || walk.finish()).await
    }
}
