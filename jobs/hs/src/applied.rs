//! What an apply wrote, read back: numbers of items, the doubtful ones, and the chapters. Start at [`read_applied`].

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::Schema};
use datafusion::{
    functions::expr_fn::left,
    functions_aggregate::{count::count_all, expr_fn::count},
    logical_expr::{Expr, when},
    prelude::{DataFrame, SessionContext, col, lit},
};
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, provider::snapshot_provider};
use tidewaiter_core::{
    Result, ResultExt,
    answers::{self, one_batch},
    query::Run as _,
};

/// The table of recommended codes: `declaration_id`, `item_number`, `acceptance_date`, `hs_code` (declared),
/// `description`, `code_L` and `probability_L` for L = 2, 4, 6 and `national` (null where the model knows no national
/// digits), `rank_6` (the rank of the declared six digits, from 1), `misclassification` (0 to 1), `duty_at_stake`
/// (national currency), `vague`, `suggestions`, `in_sample` (whether the model was trained on the item's month, so that
/// the item is among its precedents), `model`, `job`.
pub const PREDICTIONS: &str = "predictions/hs";

/// A misclassification score from which an item counts as doubtful.
pub const DOUBTFUL: f64 = 0.95;

/// Doubtful items that are read, at most.
const MOST: usize = 100_000;

/// Numbers of the scored items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCounts {
    /// Items scored.
    pub items: u64,
    /// Those of months that the model was trained on; the numbers below leave them out.
    pub in_sample: u64,
    /// Items without a word in the description.
    pub without_words: u64,
    /// Items too vague to choose a heading, those without a word included.
    pub vague: u64,
    /// Items declared under the first recommendation, six digits.
    pub agreeing: u64,
    /// Items declared under a code that no training text has.
    #[serde(rename = "unknown_code")]
    pub unknown_codes: u64,
    /// Items not vague whose misclassification score is 0.95 or more.
    pub doubtful: u64,
}

/// The items of an apply.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Their numbers.
    pub counts: ItemCounts,
    /// The doubtful items, the most doubtful first, at most 100,000: `declaration_id`, `item_number`, `acceptance_date`,
    /// `description`, `hs_code`, `code_6`, `probability_6`, `misclassification`, `duty_at_stake`.
    pub doubtful: RecordBatch,
    /// By declared chapter: `chapter`, `items`, `agreeing`, `doubtful`.
    pub chapters: RecordBatch,
}

/// Reads what a job wrote to [`PREDICTIONS`].
///
/// # Errors
/// Those of the queries.
pub(crate) async fn read_applied(session: &SessionContext, archive: &Archive, job: &str) -> Result<Applied> {
    let rows = session.read_table(snapshot_provider(archive, PREDICTIONS, None).await?)?;
    let rows = rows.filter(col("job").eq(lit(job)))?;
    let counts = counts(rows.clone()).await.context(|| "count the recommended codes")?;
    let new = rows.filter(!col("in_sample"))?;
    let shown = [
        "declaration_id",
        "item_number",
        "acceptance_date",
        "description",
        "hs_code",
        "code_6",
        "probability_6",
        "misclassification",
        "duty_at_stake",
    ];
    let order = vec![
        col("misclassification").sort(false, false),
        col("declaration_id").sort(true, false),
        col("item_number").sort(true, false),
        col("hs_code").sort(true, false),
    ];
    let doubtful = new.clone().filter(is_doubtful())?.sort(order)?.limit(0, Some(MOST))?;
    let chapters = new
        .aggregate(
            vec![left(col("hs_code"), lit(2_i64)).alias("chapter")],
            vec![
                count_all().alias("items"),
                counted(col("rank_6").eq(lit(1_i32)), "agreeing")?,
                counted(is_doubtful(), "doubtful")?,
            ],
        )?
        .sort(vec![col("chapter").sort(true, false)])?;
    Ok(Applied {
        counts,
        doubtful: whole(doubtful.select_columns(&shown)?).await.context(|| "read the doubtful codes")?,
        chapters: whole(chapters).await.context(|| "count the codes by chapter")?,
    })
}

fn is_doubtful() -> Expr {
    col("misclassification").gt_eq(lit(DOUBTFUL)).and(!col("vague"))
}

/// The number of rows for which a condition holds.
fn counted(condition: Expr, name: &str) -> Result<Expr> {
    Ok(count(when(condition, lit(1_i64)).end()?).alias(name))
}

/// All rows as one batch.
async fn whole(rows: DataFrame) -> Result<RecordBatch> {
    let schema = Arc::new(Schema::clone(rows.schema().as_arrow()));
    let batches = rows.batches().await?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

async fn counts(rows: DataFrame) -> Result<ItemCounts> {
    let worded = col("code_6").is_not_null();
    let new = || !col("in_sample");
    let figures = rows.aggregate(
        Vec::new(),
        vec![
            count_all().alias("items"),
            counted(col("in_sample"), "in_sample")?,
            counted(new().and(col("code_6").is_null()), "without_words")?,
            counted(new().and(col("vague")), "vague")?,
            counted(new().and(col("rank_6").eq(lit(1_i32))), "agreeing")?,
            counted(new().and(worded.and(col("rank_6").is_null())), "unknown_code")?,
            counted(new().and(is_doubtful()), "doubtful")?,
        ],
    )?;
    let batch = one_batch(figures).await?;
    let figure = |name: &str| answers::count(&batch, name, 0);
    Ok(ItemCounts {
        items: figure("items")?,
        in_sample: figure("in_sample")?,
        without_words: figure("without_words")?,
        vague: figure("vague")?,
        agreeing: figure("agreeing")?,
        unknown_codes: figure("unknown_code")?,
        doubtful: figure("doubtful")?,
    })
}
