//! Recommending as a plan node: codes and probabilities beside each row's description.
//!
//! Adds for 2, 4 and 6 digits (L) the columns `code_L` (null where the description has no word),
//! `probability_L` (0 to 1) and `rank_L` (the place of the declared code, from 1; null where no training
//! text has it), then `declared_probability` (of the declared six digits), `usual_rate` (percent, of the
//! recommended six digits, where rates are given), `vague` and `suggestions` (JSON of the five best codes at
//! each level; null where not asked for).

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, BooleanBuilder, Float32Builder, Float64Builder, Int32Builder, RecordBatch,
        StringBuilder,
    },
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use serde_json::json;
use tidewaiter_proto::v1;
use tokio::sync::OnceCell;

use super::{
    model::Model,
    tree::{DIGITS, LEVELS, six_digits, written},
};
use crate::{
    Archive, Error, Result, ResultExt,
    plan::{Input, Operator},
};

/// Codes that are suggested at each level.
pub const SUGGESTED: usize = 5;

/// The plan node.
#[derive(Debug)]
pub struct RecommendOperator {
    message: v1::HsRecommendOperator,
    archive: Archive,
    loaded: OnceCell<Arc<Loaded>>,
}

/// What the operator reads from the archive.
struct Loaded {
    model: Model,
    rates: BTreeMap<String, f64>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("rates", &self.rates.len()).finish_non_exhaustive()
    }
}

impl RecommendOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: v1::HsRecommendOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive, loaded: OnceCell::new() })
    }

    async fn load(&self) -> Result<Arc<Loaded>> {
        let v1::HsRecommendOperator { model, rates, .. } = &self.message;
        let load = async {
            let bytes = self.archive.get(model).await?;
            let model = Model::load(bytes, &self.archive).await?;
            let rates = match rates.as_str() {
                "" => BTreeMap::new(),
                path => serde_json::from_slice(&self.archive.get(path).await?)?,
            };
            Ok::<_, Error>(Arc::new(Loaded { model, rates }))
        };
        let loaded = self.loaded.get_or_try_init(|| load).await;
        loaded.cloned().context(|| format!("load the model {model}"))
    }

    fn recommend(&self, loaded: &Loaded, batch: &RecordBatch) -> Result<RecordBatch> {
        let model = &loaded.model;
        let text = |name: &str| -> Result<ArrayRef> {
            let column = batch.column_by_name(name);
            let column = column.ok_or_else(|| Error::internal(format!("the rows have no column {name}")))?;
            Ok(cast(column, &DataType::Utf8)?)
        };
        let (descriptions, codes) = (text("description")?, text("hs_code")?);
        let mut recommended = Recommended::default();
        let mut scorer = model.scorer(self.message.fast);
        let texts = descriptions.as_string::<i32>().iter().map(Option::unwrap_or_default);
        let embeddings = model.encode(self.message.fast, texts.clone())?;
        for (row, (description, code)) in texts.zip(codes.as_string::<i32>()).enumerate() {
            scorer.score(description, embeddings.row(row));
            if !scorer.has_words() {
                recommended.nothing();
                continue;
            }
            let declared = code.and_then(six_digits).and_then(|code| model.nomenclature.current(code));
            for level in 0..LEVELS {
                let (class, probability) = scorer.top(level);
                let code = written(model.code(level, class), level);
                if level == LEVELS - 1 {
                    recommended.rates.append_option(loaded.rates.get(&code).copied());
                }
                recommended.codes[level].append_value(code);
                recommended.probabilities[level].append_value(probability);
                let rank = declared.and_then(|code| scorer.rank(code, level));
                recommended.ranks[level].append_option(rank.and_then(|(rank, _)| i32::try_from(rank).ok()));
                if level == LEVELS - 1 {
                    recommended.declared.append_option(rank.map(|(_, probability)| probability));
                }
            }
            recommended.vague.append_value(scorer.is_vague());
            let suggestions = self.message.suggestions.then(|| {
                let levels = (0..LEVELS).map(|level| {
                    let best = scorer.best(level, SUGGESTED);
                    let pairs =
                        best.into_iter().map(|choice| json!([choice.code, rounded(choice.probability)]));
                    (DIGITS[level].to_string(), pairs.collect())
                });
                serde_json::Value::Object(levels.collect()).to_string()
            });
            recommended.suggestions.append_option(suggestions);
        }
        let mut arrays = batch.columns().to_vec();
        arrays.extend(recommended.finish());
        Ok(RecordBatch::try_new(self.schema(&batch.schema())?, arrays)?)
    }
}

/// A probability as texts carry it: four decimals.
pub(super) fn rounded(probability: f32) -> f64 {
    (f64::from(probability) * 1e4).round() / 1e4
}

impl Operator for RecommendOperator {
    fn name(&self) -> &'static str {
        "HsRecommendExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::HsRecommend(self.message.clone())) }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in ["description", "hs_code"] {
            if input.index_of(name).is_err() {
                return Err(Error::input(format!("recommending codes needs the column {name}")));
            }
        }
        let mut fields = input.fields().to_vec();
        let mut add = |name: String, kind: DataType| fields.push(Arc::new(Field::new(name, kind, true)));
        for digits in DIGITS {
            add(format!("code_{digits}"), DataType::Utf8);
            add(format!("probability_{digits}"), DataType::Float32);
            add(format!("rank_{digits}"), DataType::Int32);
        }
        add("declared_probability".to_owned(), DataType::Float32);
        add("usual_rate".to_owned(), DataType::Float64);
        add("vague".to_owned(), DataType::Boolean);
        add("suggestions".to_owned(), DataType::Utf8);
        Ok(Arc::new(Schema::new(fields)))
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let Input { rows, meter, .. } = input;
        rows.then(move |batch| {
            let (operator, meter) = (Arc::clone(&self), Arc::clone(&meter));
            async move {
                let batch = batch?;
                let rows = batch.num_rows() as u64;
                let loaded = operator.load().await?;
                let scoring = tokio::task::spawn_blocking(move || operator.recommend(&loaded, &batch));
                let scored = scoring.await;
                meter.advance(rows);
                scored.map_err(|error| Error::internal("recommending stopped").with_source(error))?
            }
        })
        .boxed()
    }
}

/// The added columns while they grow.
#[derive(Default)]
struct Recommended {
    codes: [StringBuilder; LEVELS],
    probabilities: [Float32Builder; LEVELS],
    ranks: [Int32Builder; LEVELS],
    declared: Float32Builder,
    rates: Float64Builder,
    vague: BooleanBuilder,
    suggestions: StringBuilder,
}

impl Recommended {
    /// The row of a description that says nothing.
    fn nothing(&mut self) {
        for level in 0..LEVELS {
            self.codes[level].append_null();
            self.probabilities[level].append_null();
            self.ranks[level].append_null();
        }
        self.declared.append_null();
        self.rates.append_null();
        self.vague.append_value(true);
        self.suggestions.append_null();
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for level in 0..LEVELS {
            arrays.push(Arc::new(self.codes[level].finish()));
            arrays.push(Arc::new(self.probabilities[level].finish()));
            arrays.push(Arc::new(self.ranks[level].finish()));
        }
        arrays.push(Arc::new(self.declared.finish()));
        arrays.push(Arc::new(self.rates.finish()));
        arrays.push(Arc::new(self.vague.finish()));
        arrays.push(Arc::new(self.suggestions.finish()));
        arrays
    }
}
