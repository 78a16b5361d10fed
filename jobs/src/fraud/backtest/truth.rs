//! The truth of a backtest: files that a user gives, kept in the archive while the job runs, beside the items.
//!
//! An item is named by `declaration_id` and `item_number`. What the files say twice of one item counts as illicit
//! when one of them says so. With two workers or more the join sorts both sides and spills;
//! with one the engine joins by hashing and holds the truth in memory.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::{
    common::JoinType,
    functions_aggregate::expr_fn::max,
    prelude::{DataFrame, SessionContext, cast, col},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidewaiter_proto::v1::ParquetFile;

use crate::{Archive, Error, Result, ResultExt, job::Job, plan::tasks};

/// The columns that a file must have, in these types.
fn columns() -> [(&'static str, DataType); 4] {
    [
        ("declaration_id", DataType::Utf8),
        ("item_number", DataType::Int32),
        ("illicit", DataType::Boolean),
        ("additional_revenue", DataType::Float64),
    ]
}

fn schema() -> SchemaRef {
    let fields = columns().map(|(name, kind)| Field::new(name, kind, true));
    std::sync::Arc::new(Schema::new(fields.to_vec()))
}

/// Copies the files into the job's folder, where every task can read them, after a look at their columns.
pub(super) fn keep<'a>(
    job: &Job<'a>,
    files: &'a [String],
) -> impl Future<Output = Result<Vec<(String, u64)>>> + use<'a> {
    let (archive, folder) = (job.archive, job.work_folder().to_owned());
    async move {
        let mut kept = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let bytes = tokio::fs::read(file).await.context(|| format!("read the truth in {file}"))?;
            let bytes = bytes::Bytes::from(bytes);
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
                .map_err(|error| Error::input(format!("{file} is no Parquet file")).with_source(error))?;
            for (name, kind) in columns() {
                let found = builder.schema().field_with_name(name).ok();
                if found.is_none_or(|field| field.data_type() != &kind) {
                    return Err(Error::input(format!(
                        "the truth in {file} has no column {name} of {kind}; a truth has declaration_id (text), \
                         item_number (32-bit integer), illicit (flag) and additional_revenue (64-bit float)"
                    )));
                }
            }
            let path = format!("{folder}/truth-{number:04}.parquet");
            let size = bytes.len() as u64;
            archive.put(&path, bytes).await?;
            kept.push((path, size));
        }
        Ok(kept)
    }
}

/// Adds `true_illicit` and `true_revenue` to rows, null where nobody knows.
pub(super) fn beside(
    session: &SessionContext,
    archive: &Archive,
    rows: DataFrame,
    files: &[(String, u64)],
) -> Result<DataFrame> {
    if files.is_empty() {
        let rows = rows.with_column("true_illicit", col("illicit"))?;
        return Ok(rows.with_column("true_revenue", col("additional_revenue"))?);
    }
    let files = files.iter().map(|(path, size)| ParquetFile { path: path.clone(), size: *size });
    let truth = tasks::scan(session, archive, files.collect(), schema(), false)?;
    let truth = truth
        .select(vec![
            col("declaration_id").alias("true_declaration"),
            col("item_number").alias("true_item"),
            cast(col("illicit"), DataType::Int32).alias("illicit"),
            col("additional_revenue"),
        ])?
        .aggregate(
            vec![col("true_declaration"), col("true_item")],
            vec![
                max(col("illicit")).alias("known_illicit"),
                max(col("additional_revenue")).alias("true_revenue"),
            ],
        )?;
    let named = ["declaration_id", "item_number"];
    let joined = rows.join(truth, JoinType::Left, &named, &["true_declaration", "true_item"], None)?;
    let joined = joined.with_column("true_illicit", cast(col("known_illicit"), DataType::Boolean))?;
    Ok(joined.drop_columns(&["true_declaration", "true_item", "known_illicit"])?)
}
