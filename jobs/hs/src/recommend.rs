//! The plan node that recommends codes: codes and probabilities beside each row's description.
//!
//! It adds for L = 2, 4 and 6 digits the columns `code_L` (null where the description has no word), `probability_L` (0
//! to 1) and `rank_L` (the rank of the declared code, from 1; null where no training text has it); the same with
//! national digits (`code_national`, `probability_national`, `rank_national`), null where the model knows none; then
//! `declared_probability` (of the declared six digits), `rate_difference` (points of percent of duty, see
//! [`crate::rates`], where rates are given), `vague`, and `suggestions` (JSON of the five best codes of each level; null unless requested).
//! Codes that are invalid at a row's `acceptance_date` (or `month`) are not recommended, as far as the model knows
//! editions of the HS. Start at [`RecommendOperator`].

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBuilder, Date32Array, Float32Builder, Float64Builder, Int32Builder,
        Int64Array, RecordBatch, StringBuilder,
    },
    compute::cast,
    datatypes::{DataType, Date32Type, Field, Int64Type, Schema, SchemaRef},
};
use chrono::Datelike;
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use tidewaiter_archive::Archive;
use tidewaiter_core::{
    Error, Result, ResultExt,
    plan::{Input, Operator},
    threads::on_cpu,
};
use tokio::sync::OnceCell;

use crate::{
    codes::digits::{DIGITS, LEVELS, six_digits, write, written},
    features::attributes::AttributeColumns,
    messages,
    model::{
        hs_model::HsModel,
        scorer::{Choice, SUGGESTED, Scorer},
    },
    rates::UsualRates,
};

/// The plan node.
#[derive(Debug)]
pub struct RecommendOperator {
    message: messages::HsRecommendOperator,
    archive: Archive,
    loaded: OnceCell<Arc<Loaded>>,
}

/// What the operator reads from the archive, once.
struct Loaded {
    model: HsModel,
    rates: Option<UsualRates>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("rates", &self.rates.is_some()).finish_non_exhaustive()
    }
}

impl RecommendOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "HsRecommendExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the message names no archive.
    pub fn new(message: messages::HsRecommendOperator) -> Result<Self> {
        let archive = Archive::open(&message.archive)?;
        Ok(Self { message, archive, loaded: OnceCell::new() })
    }

    async fn load(&self) -> Result<Arc<Loaded>> {
        let messages::HsRecommendOperator { model, rates, .. } = &self.message;
        let load = async {
            let bytes = self.archive.get(model).await?;
            let model = HsModel::load(bytes, &self.archive).await?;
            let rates = match rates.as_str() {
                "" => None,
                path => Some(serde_json::from_slice(&self.archive.get(path).await?)?),
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
        let (years, attributes) = (Years::of(batch)?, AttributeColumns::of(batch)?);
        let wholes =
            batch.column_by_name("national").map(|column| cast(column, &DataType::Utf8)).transpose()?;
        let wholes = wholes.as_ref().unwrap_or(&codes).as_string::<i32>();
        let preferences =
            batch.column_by_name("preference").map(|column| cast(column, &DataType::Utf8)).transpose()?;
        let preference = |row: usize| {
            let known = preferences.as_ref().filter(|column| column.is_valid(row));
            known.map_or("", |column| column.as_string::<i32>().value(row))
        };
        let mut recommended = Recommended::default();
        let mut scorer = Scorer::new(model, self.message.fast);
        let mut buffers = RowBuffers::default();
        let texts = descriptions.as_string::<i32>().iter().map(Option::unwrap_or_default);
        // Files of texts are ordered by them: equal ones follow each other and are encoded once.
        let (mut distinct, mut numbers) = (Vec::<&str>::new(), Vec::with_capacity(batch.num_rows()));
        for text in texts.clone() {
            if distinct.last() != Some(&text) {
                distinct.push(text);
            }
            numbers.push(distinct.len() - 1);
        }
        let embeddings = model.encode(self.message.fast, distinct)?;
        for (row, (description, code)) in texts.zip(codes.as_string::<i32>()).enumerate() {
            if let Some(year) = years.at(row) {
                scorer.set_year(year);
            }
            if !self.message.description_alone {
                let own = attributes.at(row);
                let own = if self.message.without_unit { own.without_unit() } else { own };
                scorer.set_attributes(&own);
            }
            scorer.score(description, embeddings.row(numbers[row]));
            if !scorer.has_words() {
                recommended.push_nulls();
                continue;
            }
            let declared = code.and_then(six_digits).and_then(|code| model.nomenclature.current(code));
            buffers.json.clear();
            for level in 0..LEVELS {
                let top = scorer.top(level);
                let (class, probability) = top.first().copied().unwrap_or_default();
                buffers.code.clear();
                write(model.code(level, class), level, &mut buffers.code);
                if level == LEVELS - 1 {
                    let difference = loaded.rates.as_ref().and_then(|rates| {
                        let declared = written(declared?, LEVELS - 1);
                        rates.difference(preference(row), &declared, &buffers.code)
                    });
                    recommended.rates.append_option(difference);
                }
                recommended.codes[level].append_value(&buffers.code);
                recommended.probabilities[level].append_value(probability);
                let rank = declared.and_then(|code| scorer.rank(code, level));
                recommended.ranks[level].append_option(rank.and_then(|(rank, _)| i32::try_from(rank).ok()));
                if level == LEVELS - 1 {
                    recommended.declared.append_option(rank.map(|(_, probability)| probability));
                }
                buffers.write_level(model, level, top);
            }
            if model.nationals.is_empty() {
                recommended.push_no_national();
            } else {
                let best = scorer.best_national(SUGGESTED);
                let first = best.first();
                recommended.national.append_option(first.map(|choice| &choice.code));
                recommended.national_probability.append_option(first.map(|choice| choice.probability));
                let whole = if wholes.is_valid(row) { wholes.value(row) } else { "" };
                let rank = scorer.rank_national(whole);
                let rank = rank.and_then(|(rank, _)| i32::try_from(rank).ok());
                recommended.national_rank.append_option(rank);
                buffers.json.push_str(",\"national\":[");
                for (place, Choice { code, probability }) in best.iter().enumerate() {
                    buffers.write_pair(place, |json| json.push_str(code), *probability);
                }
                buffers.json.push(']');
            }
            buffers.json.push('}');
            recommended.vague.append_value(scorer.is_vague());
            recommended.suggestions.append_option(self.message.suggestions.then_some(&buffers.json));
        }
        let mut arrays = batch.columns().to_vec();
        arrays.extend(recommended.finish());
        Ok(RecordBatch::try_new(self.schema(&batch.schema())?, arrays)?)
    }
}

/// The times of acceptance of rows, from which their years follow.
enum Years {
    /// Days since 1970.
    Days(Date32Array),
    /// Months as 12 × year + month - 1; 0: unknown.
    Months(Int64Array),
    /// Unknown.
    Unknown,
}

impl Years {
    fn of(batch: &RecordBatch) -> Result<Self> {
        Ok(if let Some(days) = batch.column_by_name("acceptance_date") {
            Self::Days(cast(days, &DataType::Date32)?.as_primitive::<Date32Type>().clone())
        } else if let Some(months) = batch.column_by_name("month") {
            Self::Months(cast(months, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        } else {
            Self::Unknown
        })
    }

    fn at(&self, row: usize) -> Option<i32> {
        match self {
            Self::Days(days) => days.value_as_date(row).map(|date| date.year()),
            Self::Months(months) => i32::try_from(months.value(row) / 12).ok().filter(|year| *year > 0),
            Self::Unknown => None,
        }
    }
}

/// Buffers that are used again from row to row.
#[derive(Default)]
struct RowBuffers {
    code: String,
    json: String,
}

impl RowBuffers {
    /// Appends a level's best codes to the JSON of all levels.
    fn write_level(&mut self, model: &HsModel, level: usize, top: &[(usize, f32)]) {
        self.json.push_str(["{\"2\":[", ",\"4\":[", ",\"6\":["][level]);
        for (place, (class, probability)) in top.iter().copied().take(SUGGESTED).enumerate() {
            self.write_pair(place, |json| write(model.code(level, class), level, json), probability);
        }
        self.json.push(']');
    }

    /// Appends a pair of code and probability, with four decimals, as the element of a list.
    fn write_pair(&mut self, place: usize, code: impl FnOnce(&mut String), probability: f32) {
        let json = &mut self.json;
        json.push_str(if place == 0 { "[\"" } else { ",[\"" });
        code(json);
        json.push_str("\",");
        let parts = (probability * 1e4).round() as u32;
        let digits = [10_000, 1000, 100, 10, 1].map(|unit| char::from(b'0' + (parts / unit % 10) as u8));
        json.push(digits[0]);
        json.push('.');
        json.extend(&digits[1..]);
        json.push(']');
    }
}

impl Operator for RecommendOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
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
        add("code_national".to_owned(), DataType::Utf8);
        add("probability_national".to_owned(), DataType::Float32);
        add("rank_national".to_owned(), DataType::Int32);
        add("declared_probability".to_owned(), DataType::Float32);
        add("rate_difference".to_owned(), DataType::Float64);
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
                let scored = on_cpu(move || operator.recommend(&loaded, &batch)).await;
                meter.advance(rows);
                scored
            }
        })
        .boxed()
    }
}

/// The builders of the added columns.
#[derive(Default)]
struct Recommended {
    codes: [StringBuilder; LEVELS],
    probabilities: [Float32Builder; LEVELS],
    ranks: [Int32Builder; LEVELS],
    national: StringBuilder,
    national_probability: Float32Builder,
    national_rank: Int32Builder,
    declared: Float32Builder,
    rates: Float64Builder,
    vague: BooleanBuilder,
    suggestions: StringBuilder,
}

impl Recommended {
    /// Appends the row of a description without a word.
    fn push_nulls(&mut self) {
        for level in 0..LEVELS {
            self.codes[level].append_null();
            self.probabilities[level].append_null();
            self.ranks[level].append_null();
        }
        self.push_no_national();
        self.declared.append_null();
        self.rates.append_null();
        self.vague.append_value(true);
        self.suggestions.append_null();
    }

    /// Appends nulls for the codes with national digits.
    fn push_no_national(&mut self) {
        self.national.append_null();
        self.national_probability.append_null();
        self.national_rank.append_null();
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for level in 0..LEVELS {
            arrays.push(Arc::new(self.codes[level].finish()));
            arrays.push(Arc::new(self.probabilities[level].finish()));
            arrays.push(Arc::new(self.ranks[level].finish()));
        }
        arrays.push(Arc::new(self.national.finish()));
        arrays.push(Arc::new(self.national_probability.finish()));
        arrays.push(Arc::new(self.national_rank.finish()));
        arrays.push(Arc::new(self.declared.finish()));
        arrays.push(Arc::new(self.rates.finish()));
        arrays.push(Arc::new(self.vague.finish()));
        arrays.push(Arc::new(self.suggestions.finish()));
        arrays
    }
}
