//! Fitting the revenue head on feature files.

use std::ops::RangeInclusive;

use arrow::{
    array::AsArray,
    datatypes::{Float32Type, Float64Type},
};
use datafusion::{
    common::ScalarValue,
    prelude::{SessionContext, col, lit},
};
use futures::StreamExt;
use tidewaiter_archive::{Archive, tasks};
use tidewaiter_core::{Result, query::Run as _, threads::on_cpu};
use tidewaiter_proto::v1::ParquetFile;

use crate::{
    features::{FeatureFile, file_schema},
    model::{RevenueHead, revenue::FEATURES},
    scored::by_time,
};

/// Fits the head on the illicit rows of some days (since 1970-01-01) whose revenue is known; `None` where there are
/// too few.
pub(super) async fn fit_revenue_head(
    session: &SessionContext,
    archive: &Archive,
    files: &[FeatureFile],
    days: &RangeInclusive<i32>,
) -> Result<Option<RevenueHead>> {
    let files = files.iter().filter(|file| file.rows > 0);
    let files = files.map(|file| ParquetFile { path: file.path.clone(), size: file.size }).collect();
    let day = |day: i32| lit(ScalarValue::Date32(Some(day)));
    let training_rows = col("label")
        .eq(lit(1.0_f32))
        .and(col("additional_revenue").gt(lit(0.0)))
        .and(col("acceptance_date").between(day(*days.start()), day(*days.end())));
    let rows = tasks::scan(session, archive, files, file_schema(), false)?.filter(training_rows)?;
    // Sums of floating-point numbers depend on the order of rows: this one does not depend on the shards.
    let mut order = by_time();
    order.push(col("additional_revenue").sort(true, false));
    let rows = rows.sort(order)?.select_columns(&[&FEATURES[..], &["additional_revenue"]].concat())?;
    let (mut columns, mut revenue) = (vec![Vec::new(); FEATURES.len()], Vec::new());
    let mut stream = rows.batch_stream().await?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        for (column, values) in columns.iter_mut().zip(batch.columns()) {
            column.extend_from_slice(values.as_primitive::<Float32Type>().values());
        }
        revenue.extend_from_slice(batch.column(FEATURES.len()).as_primitive::<Float64Type>().values());
    }
    on_cpu(move || RevenueHead::fit(&columns, &revenue)).await
}
