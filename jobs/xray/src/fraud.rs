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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Date32Array, Float64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema},
    };
    use tidewaiter_archive::{PartitionWriter, Table, WriterSettings};

    use super::*;

    /// Adds the predictions of a job: of each item its declaration and probability.
    async fn predict(archive: &Archive, country: &str, job: &str, items: &[(&str, f64)]) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("declaration_id", DataType::Utf8, false),
            Field::new("acceptance_date", DataType::Date32, false),
            Field::new("probability", DataType::Float64, false),
            Field::new("job", DataType::Utf8, false),
        ]));
        let rows = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                Arc::new(StringArray::from_iter_values(items.iter().map(|item| item.0))),
                Arc::new(Date32Array::from_value(19_800, items.len())),
                Arc::new(Float64Array::from_iter_values(items.iter().map(|item| item.1))),
                Arc::new(StringArray::from_iter_values(items.iter().map(|_| job))),
            ],
        );
        let table = Table::open_or_create(archive, PREDICTIONS, &schema).await.expect("a table");
        let settings = WriterSettings::default();
        let writer =
            PartitionWriter::new(archive, PREDICTIONS, &schema, country, &["acceptance_date"], job, settings);
        let mut writer = writer.expect("a writer");
        writer.write(&rows.expect("rows")).await.expect("written");
        let files = writer.finish().await.expect("written");
        table.commit(&files, &[job.to_owned()], "apply").await.expect("committed");
    }

    #[tokio::test]
    async fn the_newest_job_gives_the_highest_probability_of_a_declaration() {
        let archive = Archive::open("memory://xray-fraud/archive").expect("opens");
        let session = crate::export::session().expect("a session");
        let wanted = ["D1", "D2", "D3", ""].map(str::to_owned);
        let countries = ["TW".to_owned()];
        let of = || probabilities(&archive, &session, &countries, &wanted);
        assert!(of().await.expect("no table").is_empty());
        predict(&archive, "TW", "01A", &[("D1", 0.9), ("D2", 0.4)]).await;
        predict(&archive, "TW", "01B", &[("D1", 0.2), ("D1", 0.3), ("D9", 0.8)]).await;
        predict(&archive, "KR", "01C", &[("D1", 0.7)]).await;
        let found = of().await.expect("reads");
        assert_eq!(found, BTreeMap::from([("D1".to_owned(), 0.3), ("D2".to_owned(), 0.4)]));
    }
}
