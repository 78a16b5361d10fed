//! A run as a plan node: its input are rows in time order with their true outcomes, its output is one report.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use tidewaiter_core::{
    Error, Result, ResultExt,
    plan::{self, Input, Operator},
    threads::on_cpu,
};

use super::{
    run::{Run, RunParameters, RunReport},
    truth::TRUTH,
};
use crate::{features::TIME_ORDER, messages};

/// The plan node.
#[derive(Debug)]
pub struct BacktestOperator {
    message: messages::BacktestOperator,
    parameters: RunParameters,
}

impl BacktestOperator {
    /// The name of the plan node.
    pub const NAME: &'static str = "BacktestExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the message is not one of this version.
    pub fn new(message: messages::BacktestOperator) -> Result<Self> {
        let parameters = serde_json::from_str(&message.parameters).context(|| "read a backtest operator")?;
        Ok(Self { message, parameters })
    }
}

impl Operator for BacktestOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match TIME_ORDER.iter().chain(&TRUTH).find(|name| input.index_of(name).is_err()) {
            None => Ok(plan::report_schema()),
            Some(name) => Err(Error::input(format!("a backtest needs the column {name}"))),
        }
    }

    fn single_partition(&self) -> bool {
        true
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.run(input).await?) }).boxed()
    }
}

impl BacktestOperator {
    async fn run(&self, mut input: Input) -> Result<RunReport> {
        let mut run = Run::new(self.parameters.clone())?;
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            let rows = batch.num_rows() as u64;
            run = on_cpu(move || {
                run.push(&batch)?;
                Ok(run)
            })
            .await?;
            input.meter.advance(rows);
        }
        on_cpu(move || run.finish()).await
    }
}
