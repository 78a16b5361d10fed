//! Judging a model on a file of texts: what it recommends, beside what was declared.

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Float32Type, Int32Type, Int64Type},
};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tidewaiter_proto::v1;

use super::{
    metrics::{Evaluation, Judged},
    score::RecommendOperator,
    texts::{Written, file_schema},
    tree::DIGITS,
};
use crate::{
    Archive, Error, Result,
    plan::{self, tasks},
};

/// Judges a model, by its path in the archive, on a file of texts, with their particulars or by the descriptions alone.
pub(super) async fn judge(
    archive: &Archive,
    session: &SessionContext,
    file: &Written,
    model: &str,
    description_alone: bool,
) -> Result<Evaluation> {
    let files = vec![v1::ParquetFile { path: file.path.clone(), size: file.size }];
    let rows = tasks::scan(session, archive, files, file_schema(), false)?;
    let operator = RecommendOperator::new(v1::HsRecommendOperator {
        archive: archive.url().to_string(),
        model: model.to_owned(),
        fast: false,
        suggestions: false,
        rates: String::new(),
        description_alone,
    })?;
    let mut evaluation = Evaluation::default();
    let mut stream = plan::above(rows, operator)?.execute_stream().await?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let column = |name: &str, kind: DataType| {
            let column = batch.column_by_name(name);
            let column = column.ok_or_else(|| Error::internal(format!("scored texts lack {name}")))?;
            Ok::<_, Error>(arrow::compute::cast(column, &kind)?)
        };
        let (texts, codes) = (column("description", DataType::Utf8)?, column("hs_code", DataType::Utf8)?);
        let (items, vague) = (column("rows", DataType::Int64)?, column("vague", DataType::Boolean)?);
        let months = column("month", DataType::Int64)?;
        let (nationals, places) =
            (column("national", DataType::Utf8)?, column("rank_national", DataType::Int32)?);
        let (nationals, places) = (nationals.as_string::<i32>(), places.as_primitive::<Int32Type>());
        let mut levels = Vec::new();
        for digits in DIGITS {
            levels.push((
                column(&format!("code_{digits}"), DataType::Utf8)?,
                column(&format!("probability_{digits}"), DataType::Float32)?,
                column(&format!("rank_{digits}"), DataType::Int32)?,
            ));
        }
        for row in 0..batch.num_rows() {
            evaluation.add(&Judged {
                items: items.as_primitive::<Int64Type>().value(row).unsigned_abs(),
                description: texts.as_string::<i32>().value(row),
                declared: codes.as_string::<i32>().value(row),
                recommended: std::array::from_fn(|level| levels[level].0.as_string::<i32>().value(row)),
                probability: std::array::from_fn(|level| {
                    levels[level].1.as_primitive::<Float32Type>().value(row)
                }),
                rank: std::array::from_fn(|level| {
                    let ranks = levels[level].2.as_primitive::<Int32Type>();
                    ranks.is_valid(row).then(|| ranks.value(row).unsigned_abs())
                }),
                vague: vague.as_boolean().value(row),
                month: months.as_primitive::<Int64Type>().value(row),
                national: (!nationals.value(row).is_empty())
                    .then(|| places.is_valid(row).then(|| places.value(row).unsigned_abs())),
            });
        }
    }
    Ok(evaluation)
}
