//! The fraud model's predictions, as far as reports on images read them.
//!
//! This crate does not know the fraud domain; it knows a table of the archive by its name and the columns `country`,
//! `declaration_id`, `probability` and `job`. The table may be absent. Start at [`probabilities`].

use std::collections::BTreeMap;

use datafusion::{
    functions_aggregate::expr_fn::max,
    prelude::{Expr, SessionContext, col, lit},
};
use tidewaiter_archive::{Archive, provider::snapshot_provider};
use tidewaiter_core::{
    ErrorKind, Result, ResultExt,
    answers::{self, one_batch, rows},
};

/// Name of the table.
const PREDICTIONS: &str = "predictions/fraud";

/// The highest probability of fraud that the newest job gave an item of each declaration, where the archive has such.
pub(crate) async fn probabilities(
    archive: &Archive,
    session: &SessionContext,
    countries: &[String],
    declarations: &[String],
) -> Result<BTreeMap<String, f64>> {
    let mut probabilities = BTreeMap::new();
    let named: Vec<Expr> =
        declarations.iter().filter(|declaration| !declaration.is_empty()).map(lit).collect();
    if named.is_empty() {
        return Ok(probabilities);
    }
    let predictions = match snapshot_provider(archive, PREDICTIONS, None).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(probabilities),
        found => found?,
    };
    let own = countries.iter().map(lit).collect();
    let items = session.read_table(predictions)?.filter(col("country").in_list(own, false))?;
    let items = items.filter(col("declaration_id").in_list(named, false))?;
    let highest = items.aggregate(
        vec![col("declaration_id"), col("job")],
        vec![max(col("probability")).alias("probability")],
    )?;
    let highest = highest.sort(vec![col("job").sort(true, false)])?;
    let batch = one_batch(highest).await.context(|| format!("read {PREDICTIONS}"))?;
    for row in rows(&batch) {
        if let Some(declaration) = answers::text(&batch, "declaration_id", row)? {
            probabilities.insert(declaration, answers::number(&batch, "probability", row)?);
        }
    }
    Ok(probabilities)
}
