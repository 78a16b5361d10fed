//! The whole selection of an apply as tables: the items, and the declarations that they are in, with a quota per office.
//!
//! People inspect declarations, and an office inspects its own. A declaration ranks by its riskiest item; each office gets
//! as large a share of its declarations as the capacity is of all items, so that no office is sent all the work. Both
//! tables are read back from what the apply wrote. Start at [`selected`].

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{cast as cast_array, concat_batches},
    datatypes::{DataType, Schema},
};
use datafusion::{
    common::ScalarValue,
    functions::expr_fn::ceil,
    functions_aggregate::{
        count::count_udaf,
        expr_fn::{count, max, min, sum},
    },
    functions_window::expr_fn::row_number,
    logical_expr::{ExprFunctionExt, JoinType, expr::WindowFunction, when},
    prelude::{DataFrame, Expr, SessionContext, cast, col, lit},
};
use tidewaiter_archive::{Archive, provider::snapshot_provider};
use tidewaiter_core::{Error, Period, Result, ResultExt, query::Run as _};
use tidewaiter_declarations::DECLARATIONS;

use crate::report::SelectedItem;

/// The table of scored items: `declaration_id`, `item_number`, `acceptance_date`, `probability` (0 to 1),
/// `expected_revenue` (national currency; null for a model without a revenue head), `rank` (1 comes first in the
/// apply), `reasons` (JSON; for the items within the capacity), `in_sample` (whether the model was trained on the item's
/// month, so that its probability is not that of a new item), `model`, `job`.
pub const PREDICTIONS: &str = "predictions/fraud";

/// Rows that a table holds, at most.
const MOST: usize = 200_000;

/// The selection of an apply.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The selected items by rank: `rank`, `declaration_id`, `item_number`, `acceptance_date`, `office`,
    /// `description`, `probability`, `expected_revenue`, `in_sample`, `reasons`.
    pub items: RecordBatch,
    /// The declarations within their office's quota, by office: `office`, `rank_in_office`, `declaration_id`,
    /// `acceptance_date`, `items`, `selected_items`, `probability` (of the riskiest item), `expected_revenue`,
    /// `office_declarations`, `office_quota`.
    pub declarations: RecordBatch,
}

impl Selected {
    /// Adds office and description to items, by their ranks.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when a column is missing.
    pub(crate) fn describe(&self, items: &mut [SelectedItem]) -> Result<()> {
        let text = |name: &str| {
            let column = self.items.column_by_name(name);
            let column = column.ok_or_else(|| Error::internal(format!("selected items lack {name}")))?;
            Ok::<_, Error>(cast_array(column, &DataType::Utf8)?)
        };
        let (offices, descriptions) = (text("office")?, text("description")?);
        for (row, item) in items.iter_mut().enumerate().take(self.items.num_rows()) {
            let of = |texts: &ArrayRef| match texts.is_valid(row) {
                true => texts.as_string::<i32>().value(row).to_owned(),
                false => String::new(),
            };
            (item.office, item.description) = (of(&offices), of(&descriptions));
        }
        Ok(())
    }
}

/// What is read of an apply.
pub(crate) struct Wanted<'a> {
    pub(crate) job: &'a str,
    pub(crate) country: &'a str,
    pub(crate) months: Period,
    /// Selected items.
    pub(crate) selected: usize,
    /// Share of the declarations of an office, 0 to 1.
    pub(crate) capacity: f64,
}

/// Reads the selection of a job.
///
/// # Errors
/// Those of the queries.
pub(crate) async fn selected(
    session: &SessionContext,
    archive: &Archive,
    wanted: &Wanted<'_>,
) -> Result<Selected> {
    let day = |day: i32| lit(ScalarValue::Date32(Some(day)));
    let days = wanted.months.days();
    let within = col("acceptance_date").between(day(*days.start()), day(*days.end()));
    let scored = session.read_table(snapshot_provider(archive, PREDICTIONS, None).await?)?;
    let scored = scored.filter(col("job").eq(lit(wanted.job)).and(within.clone()))?;
    let declared = session
        .read_table(snapshot_provider(archive, DECLARATIONS, None).await?)?
        .filter(col("country").eq(lit(wanted.country)).and(within))?;
    let of_declaration = vec![col("declaration_id").alias("declared")];
    let offices =
        declared.clone().aggregate(of_declaration.clone(), vec![min(col("office")).alias("office")])?;
    // Of two items under one number the first text is taken.
    let of_item = [of_declaration, vec![col("item_number").alias("declared_item")]].concat();
    let described = declared.aggregate(
        of_item,
        vec![min(col("office")).alias("office"), min(col("description")).alias("description")],
    )?;
    let is_selected = col("rank").lt_eq(lit(wanted.selected as u64));

    let shown = [
        "rank",
        "declaration_id",
        "item_number",
        "acceptance_date",
        "office",
        "description",
        "probability",
        "expected_revenue",
        "in_sample",
        "reasons",
    ];
    let items = scored
        .clone()
        .filter(is_selected.clone())?
        .join(
            described,
            JoinType::Left,
            &["declaration_id", "item_number"],
            &["declared", "declared_item"],
            None,
        )?
        .sort(vec![col("rank").sort(true, false)])?
        .limit(0, Some(MOST))?
        .select_columns(&shown)?;

    let rolled_up = scored.aggregate(
        vec![col("declaration_id")],
        vec![
            min(col("acceptance_date")).alias("acceptance_date"),
            count(lit(1_i64)).alias("items"),
            count(when(is_selected, lit(1_i64)).end()?).alias("selected_items"),
            max(col("probability")).alias("probability"),
            sum(col("expected_revenue")).alias("expected_revenue"),
            min(col("rank")).alias("first_rank"),
        ],
    )?;
    let by_office = || vec![col("office")];
    let rank = row_number()
        .partition_by(by_office())
        .order_by(vec![col("first_rank").sort(true, false), col("declaration_id").sort(true, false)])
        .build()?
        .alias("rank_in_office");
    let all = Expr::from(WindowFunction::new(count_udaf(), vec![lit(1_i64)]));
    let all = all.partition_by(by_office()).build()?.alias("office_declarations");
    let quota = ceil(cast(col("office_declarations"), DataType::Float64) * lit(wanted.capacity));
    let columns = [
        "office",
        "rank_in_office",
        "declaration_id",
        "acceptance_date",
        "items",
        "selected_items",
        "probability",
        "expected_revenue",
        "office_declarations",
        "office_quota",
    ];
    let declarations = rolled_up
        .join(offices, JoinType::Left, &["declaration_id"], &["declared"], None)?
        // One after the other: the engine takes windows of one order only.
        .window(vec![all])?
        .window(vec![rank])?
        .with_column("office_quota", cast(quota, DataType::UInt64))?
        .filter(col("rank_in_office").lt_eq(col("office_quota")))?
        .sort(vec![col("office").sort(true, true), col("rank_in_office").sort(true, false)])?
        .limit(0, Some(MOST))?
        .select_columns(&columns)?;
    Ok(Selected {
        items: whole(items).await.context(|| "read the selected items")?,
        declarations: whole(declarations).await.context(|| "read the selected declarations")?,
    })
}

/// All rows as one batch.
async fn whole(rows: DataFrame) -> Result<RecordBatch> {
    let schema = Arc::new(Schema::clone(rows.schema().as_arrow()));
    let batches = rows.batches().await?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}
