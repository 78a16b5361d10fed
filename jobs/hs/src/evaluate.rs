//! From scored rows to a verdict.
//!
//! [`add_rows`] and [`is_better`] are pure: rows of the plan node ([`crate::recommend`]) become measures, and the
//! measures of two models on the same rows a decision. [`evaluate`] runs the query between them on a file of texts.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, Int32Type, Int64Type},
};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_core::{Error, Result, plan};
use tidewaiter_proto::v1;

use crate::{
    codes::digits::DIGITS,
    features::texts::{TextFile, file_schema},
    messages,
    metrics::{Evaluation, ScoredItem},
    recommend::RecommendOperator,
};

/// Measures by their names in the documentation.
pub(crate) type Figures = BTreeMap<String, f64>;

/// The measure that decides between challenger and champion.
const DECIDING: &str = "accuracy@1/6";

/// Whether the challenger becomes the champion, by the measures of both on the same items; without a champion it does.
pub(crate) fn is_better(challenger: &Figures, champion: Option<&Figures>) -> bool {
    champion.is_none_or(|champion| challenger[DECIDING] > champion[DECIDING])
}

/// Evaluates a model, by its path in the archive, on a file of texts: with their attributes, or by the descriptions
/// alone.
///
/// # Errors
/// Those of the query, and of reading the model.
pub(crate) async fn evaluate(
    archive: &Archive,
    session: &SessionContext,
    file: &TextFile,
    model: &str,
    description_alone: bool,
) -> Result<Evaluation> {
    let files = vec![v1::ParquetFile { path: file.path.clone(), size: file.size }];
    let rows = tasks::scan(session, archive, files, file_schema(), false)?;
    let operator = RecommendOperator::new(messages::HsRecommendOperator {
        archive: archive.url().to_string(),
        model: model.to_owned(),
        fast: false,
        suggestions: false,
        rates: String::new(),
        description_alone,
    })?;
    let mut evaluation = Evaluation::default();
    let mut stream = plan::apply(rows, operator)?.execute_stream().await?;
    while let Some(batch) = stream.next().await {
        add_rows(&mut evaluation, &batch?)?;
    }
    Ok(evaluation)
}

/// Adds scored rows of a file of texts to an evaluation.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when a column is missing.
pub(crate) fn add_rows(evaluation: &mut Evaluation, batch: &RecordBatch) -> Result<()> {
    let column = |name: &str, kind: DataType| {
        let column = batch.column_by_name(name);
        let column = column.ok_or_else(|| Error::internal(format!("scored texts lack {name}")))?;
        Ok::<_, Error>(arrow::compute::cast(column, &kind)?)
    };
    let (texts, codes) = (column("description", DataType::Utf8)?, column("hs_code", DataType::Utf8)?);
    let (items, vague) = (column("rows", DataType::Int64)?, column("vague", DataType::Boolean)?);
    let months = column("month", DataType::Int64)?;
    let (nationals, national_ranks) =
        (column("national", DataType::Utf8)?, column("rank_national", DataType::Int32)?);
    let nationals = nationals.as_string::<i32>();
    let rank_of = |ranks: &dyn Array, row: usize| {
        let ranks = ranks.as_primitive::<Int32Type>();
        ranks.is_valid(row).then(|| ranks.value(row).unsigned_abs())
    };
    let mut levels = Vec::new();
    for digits in DIGITS {
        levels.push((
            column(&format!("code_{digits}"), DataType::Utf8)?,
            column(&format!("probability_{digits}"), DataType::Float32)?,
            column(&format!("rank_{digits}"), DataType::Int32)?,
        ));
    }
    for row in 0..batch.num_rows() {
        let has_national = !nationals.value(row).is_empty();
        evaluation.add(&ScoredItem {
            items: items.as_primitive::<Int64Type>().value(row).unsigned_abs(),
            description: texts.as_string::<i32>().value(row),
            declared: codes.as_string::<i32>().value(row),
            recommended: std::array::from_fn(|level| levels[level].0.as_string::<i32>().value(row)),
            probability: std::array::from_fn(|level| {
                levels[level].1.as_primitive::<Float32Type>().value(row)
            }),
            rank: std::array::from_fn(|level| rank_of(&levels[level].2, row)),
            vague: vague.as_boolean().value(row),
            month: months.as_primitive::<Int64Type>().value(row),
            national: has_national.then(|| rank_of(&national_ranks, row)),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenger_must_beat_the_champion_and_anything_beats_none() {
        let figures = |accuracy: f64| Figures::from([(DECIDING.to_owned(), accuracy)]);
        assert!(is_better(&figures(0.1), None));
        assert!(is_better(&figures(0.6), Some(&figures(0.5))));
        assert!(!is_better(&figures(0.5), Some(&figures(0.5))));
    }
}
