//! The plan nodes of a linking: travellers get their identity and their keys, and those of a block are compared.
//!
//! [`KeysOperator`] gives a traveller's text under each of its keys; the engine gathers the texts of a key into a block,
//! spilling to disk where memory is short; [`PairsOperator`] compares the travellers of one block at a time, so that
//! memory grows with the largest block and not with the archive. Start at [`PairsOperator`].

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Error, Result,
    chance::stream,
    plan::{self, Input, Operator},
    threads::on_cpu,
};
use tidewaiter_linkage::weights::{Field as Weights, Model, Patterns};
use xxhash_rust::xxh3::xxh3_64;

use super::compared::{Compared, Counts, FIELDS, KEYS, counts};

/// The columns of travellers that are compared, in the order of [`Compared::new`].
pub(super) const COLUMNS: [&str; FIELDS] =
    ["surname", "given", "birth", "document_key", "phone", "email", "name_key"];

/// The columns whose pseudonyms are the identity of a traveller.
const OF_IDENTITY: [&str; 4] = ["name_key", "document_key", "phone", "email"];

/// Rows of a block that are compared at most; of a larger one, such as that of a telephone of an agency, none are.
const MOST: usize = 1000;

/// Adds to travellers the column `identity`, a number that those of the same pseudonyms share. Who has no pseudonym at
/// all is alone.
#[derive(Debug)]
pub struct IdentityOperator;

impl IdentityOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "PassengersIdentityExec";
}

fn texts(rows: &RecordBatch, name: &str) -> Result<ArrayRef> {
    let column = rows.column_by_name(name).and_then(|column| cast(column, &DataType::Utf8).ok());
    column.ok_or_else(|| Error::internal(format!("travellers have no column {name}")))
}

fn text(column: &ArrayRef, row: usize) -> &str {
    let column = column.as_string::<i32>();
    if column.is_valid(row) { column.value(row) } else { "" }
}

impl Operator for IdentityOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        Vec::new()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in OF_IDENTITY.iter().chain(["traveller_id"].iter()) {
            input.index_of(name)?;
        }
        let mut fields: Vec<_> = input.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("identity", DataType::Int64, false)));
        Ok(Arc::new(Schema::new(fields)))
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let rows = input.rows.map(move |batch| {
            let batch = batch?;
            let columns = OF_IDENTITY.map(|name| texts(&batch, name));
            let columns = columns.into_iter().collect::<Result<Vec<_>>>()?;
            let own = texts(&batch, "traveller_id")?;
            let mut of = String::new();
            let identity = |row: usize| {
                of.clear();
                for column in &columns {
                    of.push_str(text(column, row));
                    of.push('|');
                }
                if of.len() == columns.len() {
                    of.push_str(text(&own, row));
                }
                xxh3_64(of.as_bytes()) as i64
            };
            let identities = Int64Array::from_iter_values((0..batch.num_rows()).map(identity));
            let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new("identity", DataType::Int64, false)));
            let mut all = batch.columns().to_vec();
            all.push(Arc::new(identities));
            Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), all)?)
        });
        rows.boxed()
    }
}

/// Identities that are also compared with others at random.
const SAMPLE: u64 = 40_000;

/// Identities of a block of those that are compared at random, on average.
const OF_A_SAMPLE: u64 = 8;

/// Gives each identity under each of its keys: columns `key`, and `row` as [`Compared::to_text`]. A sample is there under
/// one more key, which says nothing: by it travellers who are not alike meet.
#[derive(Debug)]
pub struct KeysOperator {
    /// How many identities there are.
    identities: u64,
}

impl KeysOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "PassengersKeysExec";

    pub(super) fn new(identities: u64) -> Self {
        Self { identities }
    }

    /// The operator of its payload.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when it is not one of this version.
    pub fn read(payload: &[u8]) -> Result<Self> {
        let identities =
            payload.try_into().map_err(|_| Error::corrupt("a plan node has no number of identities"))?;
        Ok(Self { identities: u64::from_be_bytes(identities) })
    }

    /// The key of an identity that is in the sample.
    fn at_random(&self, id: u64) -> Option<u64> {
        let is_drawn = stream(id, 1) % self.identities.max(1) < SAMPLE;
        let buckets = (self.identities.min(SAMPLE) / OF_A_SAMPLE).max(1);
        is_drawn.then(|| stream(id, 2) % buckets)
    }
}

fn keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("row", DataType::Utf8, false),
    ]))
}

fn keyed(operator: &KeysOperator, rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = COLUMNS.map(|name| texts(rows, name)).into_iter().collect::<Result<Vec<_>>>()?;
    let ids =
        rows.column_by_name("identity").and_then(|ids| ids.as_primitive_opt::<arrow::datatypes::Int64Type>());
    let ids = ids.ok_or_else(|| Error::internal("travellers have no identity"))?;
    let (mut keys, mut texts, mut key) = (Vec::new(), Vec::new(), String::new());
    for row in 0..rows.num_rows() {
        let values: [&str; FIELDS] = std::array::from_fn(|at| text(&columns[at], row));
        let one = Compared::new(ids.value(row) as u64, values);
        let whole = one.to_text();
        for (kind, own) in one.keys().into_iter().enumerate().filter(|(_, key)| !key.is_empty()) {
            key.clear();
            write!(key, "{kind}{own}").map_err(|error| Error::internal(error.to_string()))?;
            keys.push(key.clone());
            texts.push(whole.clone());
        }
        if let Some(bucket) = operator.at_random(one.id) {
            keys.push(format!("{KEYS}{bucket}"));
            texts.push(whole);
        }
    }
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from_iter_values(keys)), Arc::new(StringArray::from_iter_values(texts))];
    Ok(RecordBatch::try_new(keys_schema(), columns)?)
}

impl Operator for KeysOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.identities.to_be_bytes().to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        for name in COLUMNS.iter().chain(["identity"].iter()) {
            input.index_of(name)?;
        }
        Ok(keys_schema())
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let meter = Arc::clone(&input.meter);
        input
            .rows
            .map(move |batch| {
                let batch = batch?;
                meter.advance(batch.num_rows() as u64);
                keyed(&self, &batch)
            })
            .boxed()
    }
}

/// What is wanted of the pairs of blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Wanted {
    /// How often patterns are seen: one report ([`plan::report`]) a partition, a [`Seen`].
    Patterns,
    /// The pairs that are links by a model: rows of [`links_schema`], one for each key that a pair shares.
    Links {
        /// Share of matches.
        matches: f64,
        /// The probabilities of the levels of each field, among matches and among others.
        fields: Vec<(Vec<f64>, Vec<f64>)>,
        /// Probability from which a pair is a link.
        threshold: f64,
    },
}

impl Wanted {
    pub(super) fn links(model: &Model, threshold: f64) -> Self {
        let fields = model.fields.iter().map(|field| (field.m.clone(), field.u.clone())).collect();
        Self::Links { matches: model.matches, fields, threshold }
    }
}

/// What a partition sees of the pairs of its blocks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Of pairs that share a key.
    pub(super) shared: Counts,
    /// Of travellers of the sample, who share none.
    pub(super) at_random: Counts,
    /// Blocks that are too large to be compared.
    pub(super) left_out: u64,
}

/// The columns of links: two identities, the weight in bits, and the births (CCYYMMDD; 0: not known).
pub(super) fn links_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("one", DataType::Int64, false),
        Field::new("other", DataType::Int64, false),
        Field::new("weight", DataType::Float64, false),
        Field::new("one_birth", DataType::UInt32, false),
        Field::new("other_birth", DataType::UInt32, false),
    ]))
}

/// Compares the travellers of blocks: rows with the columns `key` and `rows`, a list of texts.
#[derive(Debug)]
pub struct PairsOperator {
    wanted: Wanted,
}

impl PairsOperator {
    /// The name of the node in plans.
    pub const NAME: &'static str = "PassengersPairsExec";

    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted }
    }

    /// The operator of its payload.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when it is not one of this version.
    pub fn read(payload: &[u8]) -> Result<Self> {
        Ok(Self { wanted: serde_json::from_slice(payload)? })
    }

    fn model(&self) -> Option<(Model, f64)> {
        let Wanted::Links { matches, fields, threshold } = &self.wanted else { return None };
        let fields = fields.iter().map(|(m, u)| Weights { m: m.clone(), u: u.clone() }).collect();
        Some((Model { matches: *matches, fields }, *threshold))
    }

    async fn seen(self: Arc<Self>, mut input: Input) -> Result<Seen> {
        let (mut shared, mut at_random, mut left_out) = (Patterns::default(), Patterns::default(), 0);
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            input.meter.advance(batch.num_rows() as u64);
            let work = move || {
                for block in blocks(&batch)? {
                    let Block { kind, members } = block;
                    if members.len() > MOST {
                        left_out += 1;
                        continue;
                    }
                    let patterns = if kind == KEYS { &mut at_random } else { &mut shared };
                    // Who shares an earlier key is counted there.
                    pairs(kind, &members, |one, other| patterns.add(one.pattern(other)));
                }
                Ok((shared, at_random, left_out))
            };
            (shared, at_random, left_out) = on_cpu(work).await?;
        }
        Ok(Seen { shared: counts(&shared), at_random: counts(&at_random), left_out })
    }
}

/// The travellers of a key.
struct Block {
    kind: usize,
    /// By their identities.
    members: Vec<Compared>,
}

fn blocks(rows: &RecordBatch) -> Result<Vec<Block>> {
    let wrong = || Error::internal("blocks of travellers lack a column");
    let keys = texts(rows, "key")?;
    let lists = rows.column_by_name("rows").and_then(|lists| lists.as_list_opt::<i32>()).ok_or_else(wrong)?;
    let values = cast(lists.values(), &DataType::Utf8)?;
    let offsets = lists.value_offsets();
    let block = |row: usize| {
        let kind = text(&keys, row).bytes().next().map_or(0, |digit| usize::from(digit.saturating_sub(b'0')));
        let places = offsets[row] as usize..offsets[row + 1] as usize;
        let mut members: Vec<Compared> =
            places.filter_map(|place| Compared::of_text(text(&values, place))).collect();
        members.sort_unstable_by_key(|one| one.id);
        members.dedup_by_key(|one| one.id);
        Block { kind, members }
    };
    Ok((0..rows.num_rows()).map(block).collect())
}

/// Gives each pair of a block, but for those that share a key of one of the first `kinds`.
fn pairs(kinds: usize, members: &[Compared], mut take: impl FnMut(&Compared, &Compared)) {
    let keys: Vec<[String; KEYS]> =
        if kinds == 0 { Vec::new() } else { members.iter().map(Compared::keys).collect() };
    for one in 0..members.len() {
        for other in one + 1..members.len() {
            let met =
                (0..kinds.min(KEYS)).any(|at| !keys[one][at].is_empty() && keys[one][at] == keys[other][at]);
            if !met {
                take(&members[one], &members[other]);
            }
        }
    }
}

fn links(rows: &RecordBatch, model: &Model, threshold: f64) -> Result<RecordBatch> {
    let (mut ones, mut others, mut weights, mut births) =
        (Vec::new(), Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    let is_compared = |block: &Block| block.kind < KEYS && block.members.len() <= MOST;
    for Block { members, .. } in blocks(rows)?.into_iter().filter(is_compared) {
        // A pair that meets under several keys is given under each: the block of another key can be too large.
        pairs(0, &members, |one, other| {
            let pattern = one.pattern(other);
            if model.probability(&pattern) >= threshold {
                ones.push(one.id as i64);
                others.push(other.id as i64);
                weights.push(model.weight(&pattern));
                births[0].push(one.birth());
                births[1].push(other.birth());
            }
        });
    }
    let [one_births, other_births] = births.map(|births| Arc::new(UInt32Array::from(births)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ones)),
        Arc::new(Int64Array::from(others)),
        Arc::new(Float64Array::from(weights)),
        one_births,
        other_births,
    ];
    Ok(RecordBatch::try_new(links_schema(), columns)?)
}

impl Operator for PairsOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        serde_json::to_vec(&self.wanted).unwrap_or_default()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        input.index_of("key")?;
        input.index_of("rows")?;
        Ok(match self.wanted {
            Wanted::Patterns => plan::report_schema(),
            Wanted::Links { .. } => links_schema(),
        })
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        match self.model() {
            None => futures::stream::once(async move { plan::report(&self.seen(input).await?) }).boxed(),
            Some((model, threshold)) => {
                let model = Arc::new(model);
                let (meter, rows) = (Arc::clone(&input.meter), input.rows);
                rows.then(move |batch| {
                    let (model, meter) = (Arc::clone(&model), Arc::clone(&meter));
                    async move {
                        let batch = batch?;
                        meter.advance(batch.num_rows() as u64);
                        on_cpu(move || links(&batch, &model, threshold)).await
                    }
                })
                .boxed()
            }
        }
    }
}
