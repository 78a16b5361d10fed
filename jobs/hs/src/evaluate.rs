//! From scored rows to measures.
//!
//! [`add_rows`] makes measures of the rows of the plan node ([`crate::recommend`]); [`evaluate`] runs the query on a file
//! of texts. [`crate::results`] makes of them what is reported, and compares models.

use std::collections::{BTreeMap, HashSet};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Float32Type, Int32Type, Int64Type},
};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_core::{Error, Result, plan, query::Run as _};
use tidewaiter_proto::v1;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    codes::digits::DIGITS,
    features::{
        ngrams::Extractor,
        texts::{TextFile, file_schema, text_hash},
    },
    messages,
    metrics::{Evaluation, ScoredItem},
    recommend::RecommendOperator,
};

/// Measures by their names in the documentation.
pub(crate) type Figures = BTreeMap<String, f64>;

/// What a model may know of an item beside its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing.
    Nothing,
    /// What does not follow from the declared code: origin and value per kilogram.
    WithoutUnit,
    /// Unit and value per unit, too.
    All,
}

/// Evaluates a model, by its path in the archive, on a file of texts; `training` are the hashes of the training texts
/// ([`text_hash`]).
///
/// # Errors
/// Those of the query, and of reading the model.
pub(crate) async fn evaluate(
    archive: &Archive,
    session: &SessionContext,
    file: &TextFile,
    model: &str,
    beside: Beside,
    training: &HashSet<u64>,
) -> Result<Evaluation> {
    let files = vec![v1::ParquetFile { path: file.path.clone(), size: file.size }];
    let rows = tasks::scan(session, archive, files, file_schema(), false)?;
    let operator = RecommendOperator::new(messages::HsRecommendOperator {
        archive: archive.url().to_string(),
        model: model.to_owned(),
        fast: false,
        suggestions: false,
        rates: String::new(),
        description_alone: beside == Beside::Nothing,
        without_unit: beside != Beside::All,
    })?;
    let mut evaluation = Evaluation::default();
    let mut stream = plan::apply(rows, operator)?.batch_stream().await?;
    while let Some(batch) = stream.next().await {
        add_rows(&mut evaluation, &batch?, training)?;
    }
    Ok(evaluation)
}

/// Adds scored rows of a file of texts to an evaluation.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when a column is missing.
pub(crate) fn add_rows(
    evaluation: &mut Evaluation,
    batch: &RecordBatch,
    training: &HashSet<u64>,
) -> Result<()> {
    let column = |name: &str, kind: DataType| {
        let column = batch.column_by_name(name);
        let column = column.ok_or_else(|| Error::internal(format!("scored texts lack {name}")))?;
        Ok::<_, Error>(arrow::compute::cast(column, &kind)?)
    };
    let (texts, codes) = (column("description", DataType::Utf8)?, column("hs_code", DataType::Utf8)?);
    let (items, vague) = (column("rows", DataType::Int64)?, column("vague", DataType::Boolean)?);
    let months = column("month", DataType::Int64)?;
    let (days, declarations) = (column("day", DataType::Int64)?, column("declaration", DataType::Utf8)?);
    let declarations = declarations.as_string::<i32>();
    let mut extractor = Extractor::default();
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
        let description = texts.as_string::<i32>().value(row);
        evaluation.add(&ScoredItem {
            items: items.as_primitive::<Int64Type>().value(row).unsigned_abs(),
            description,
            declared: codes.as_string::<i32>().value(row),
            recommended: std::array::from_fn(|level| levels[level].0.as_string::<i32>().value(row)),
            probability: std::array::from_fn(|level| {
                levels[level].1.as_primitive::<Float32Type>().value(row)
            }),
            rank: std::array::from_fn(|level| rank_of(&levels[level].2, row)),
            vague: vague.as_boolean().value(row),
            month: months.as_primitive::<Int64Type>().value(row),
            national: has_national.then(|| rank_of(&national_ranks, row)),
            declaration: xxh3_64(declarations.value(row).as_bytes()),
            day: days.as_primitive::<Int64Type>().value(row),
            seen: !training.is_empty() && training.contains(&text_hash(&mut extractor, description)),
        });
    }
    Ok(())
}
