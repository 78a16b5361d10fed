//! The first pass as a plan node: the identities of what files hold, without its rows. Start at [`ScanOperator`].

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::tasks;
use tidewaiter_core::{
    Error, Result,
    plan::{self, Input, Operator},
    threads::on_cpu,
};
use tidewaiter_ingest::source_digest;

use super::{
    messages,
    units::{Form, Unit, read},
};

/// What the first pass finds of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scanned {
    /// Its place among the files of the job.
    pub(super) number: usize,
    /// The SHA-256 of its bytes.
    pub(super) digest: String,
    /// The identities of its messages or records, in their order.
    pub(super) ids: Vec<u64>,
    /// Things in it of which no row can be made.
    pub(super) refused: u64,
}

/// The operator: each task is a list of places and paths as JSON, and each partition answers with one report
/// ([`plan::report`]): a list of [`Scanned`].
#[derive(Debug)]
pub struct ScanOperator {
    message: messages::PassengersScanOperator,
    form: Form,
}

impl ScanOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "PassengersScanExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when its mapping is wrong.
    pub fn new(message: messages::PassengersScanOperator) -> Result<Self> {
        let form = Form::of(&message.mapping)?;
        Ok(Self { message, form })
    }

    async fn scan_all(&self, mut input: Input) -> Result<Vec<Scanned>> {
        let mut scanned = Vec::new();
        while let Some(batch) = input.rows.next().await {
            for (_, task) in tasks::of_batch(&batch?)? {
                let files: Vec<(usize, String)> = serde_json::from_str(&task)?;
                for (number, path) in files {
                    let form = self.form.clone();
                    let found = on_cpu(move || scan(number, &path, &form)).await?;
                    input.meter.advance(found.ids.len() as u64);
                    scanned.push(found);
                }
            }
        }
        Ok(scanned)
    }
}

fn scan(number: usize, path: &str, form: &Form) -> Result<Scanned> {
    let mut scanned = Scanned { number, digest: source_digest(path.as_ref())?, ids: Vec::new(), refused: 0 };
    read(path, form, &mut |unit| {
        match unit {
            Unit::Message { id, .. } | Unit::Record { id, .. } | Unit::Outcome { id, .. } => {
                scanned.ids.push(id)
            }
            Unit::Refused(_) => scanned.refused += 1,
            Unit::Envelope(_) => {}
        }
        Ok(())
    })?;
    Ok(scanned)
}

impl Operator for ScanOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        match input.index_of("task") {
            Ok(_) => Ok(plan::report_schema()),
            Err(_) => Err(Error::internal("an ingest of passengers needs rows that name files")),
        }
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        futures::stream::once(async move { plan::report(&self.scan_all(input).await?) }).boxed()
    }
}
