//! Counting: the aggregates behind a [`QualityReport`].

use std::fmt::Write as _;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Float64Type},
};
use datafusion::prelude::SessionContext;

use super::{
    ColumnProfile, MonthProfile, Numbers, QualityReport, QuarantineCount, RuleCount, Scores,
    rules::{Dimension, RULES, Rule},
};
use crate::{
    Error, Result, ResultExt,
    archive::schema::{Column, DECLARATION_COLUMNS, Kind},
};

/// Keys shown of each broken rule.
const EXAMPLES: usize = 5;
const KEY: &str = "country, declaration_id, item_number";

/// Profiles a registered table of declarations with its partition columns.
///
/// `quarantine` says what ingest refused, where that is known. Columns that the table lacks are left out, and
/// so are the rules that read them.
///
/// # Errors
/// [`crate::ErrorKind::Input`] when the table is not registered or lacks its key or partition columns; else
/// what reading it gave.
pub async fn profile(
    session: &SessionContext,
    table: &str,
    quarantine: &[QuarantineCount],
) -> Result<QualityReport> {
    let schema = session.table(table).await.context(|| format!("profile the table {table}"))?;
    let has = |name: &str| schema.schema().has_column_with_unqualified_name(name);
    for needed in ["declaration_id", "item_number", "country", "year", "month"] {
        if !has(needed) {
            return Err(Error::input(format!(
                "the table {table} has no column {needed}; profile a table of declarations"
            )));
        }
    }
    let columns: Vec<&Column> = DECLARATION_COLUMNS.iter().filter(|column| has(column.name)).collect();
    let rules: Vec<&Rule> =
        RULES.iter().filter(|rule| rule.columns.iter().all(|column| has(column))).collect();
    let from = format!("\"{}\"", table.replace('"', "\"\""));

    let whole = query(session, &whole_query(&columns, &rules, &from)).await?;
    let rows = count(&whole, "rows", 0)?;
    let cells = (columns.len() as u64 * rows) as f64;
    let profiles: Vec<ColumnProfile> =
        columns.iter().map(|column| column_profile(column, &whole, rows)).collect::<Result<_>>()?;
    let filled: f64 =
        columns.iter().map(|column| number(&whole, &format!("n_{}", column.name), 0)).sum::<Result<f64>>()?;

    let mut counts = Vec::with_capacity(rules.len() + 1);
    for rule in &rules {
        let broken = count(&whole, &format!("broken_{}", rule.name), 0)?;
        counts.push(RuleCount {
            rule: rule.name.to_owned(),
            meaning: rule.meaning.to_owned(),
            dimension: rule.dimension,
            checked: count(&whole, &format!("checked_{}", rule.name), 0)?,
            broken,
            examples: match broken {
                0 => Vec::new(),
                _ => keys(session, &format!("SELECT {KEY} FROM {from} WHERE {}", rule.broken())).await?,
            },
        });
    }
    let repeated = format!("SELECT {KEY}, count(*) AS n FROM {from} GROUP BY {KEY} HAVING count(*) > 1");
    let surplus =
        query(session, &format!("SELECT coalesce(sum(n - 1), 0) AS surplus FROM ({repeated})")).await?;
    let surplus = count(&surplus, "surplus", 0)?;
    counts.push(RuleCount {
        rule: "duplicate_key".to_owned(),
        meaning: "a country's declaration and item number stand once".to_owned(),
        dimension: Dimension::Uniqueness,
        checked: rows,
        broken: surplus,
        examples: if surplus == 0 { Vec::new() } else { keys(session, &repeated).await? },
    });

    let quarantined: u64 = quarantine.iter().map(|count| count.rows).sum();
    let share = |good: f64, all: f64| if all == 0.0 { 1.0 } else { good / all };
    let (all, invalid) = (rows as f64, number(&whole, "invalid", 0)?);
    let scores = Scores {
        completeness: share(filled, cells),
        validity: share(all - invalid, all + quarantined as f64),
        uniqueness: share(all - surplus as f64, all),
        consistency: share(all - number(&whole, "inconsistent", 0)?, all),
    };
    Ok(QualityReport {
        table: table.to_owned(),
        rows,
        quarantined,
        scores,
        columns: profiles,
        months: months(session, &columns, &from).await?,
        rules: counts,
        quarantine: quarantine.to_vec(),
    })
}

/// Every aggregate over the whole table, in one pass.
fn whole_query(columns: &[&Column], rules: &[&Rule], from: &str) -> String {
    let mut sql = "SELECT count(*) AS rows".to_owned();
    for Column { name, kind, .. } in columns {
        let _ = write!(sql, ", count({name}) AS n_{name}");
        let _ = match kind {
            Kind::Flag => write!(
                sql,
                ", max(CASE WHEN {name} THEN 1 ELSE 0 END) + max(CASE WHEN {name} THEN 0 WHEN NOT {name} \
                 THEN 1 ELSE 0 END) AS distinct_{name}, CAST(bool_and({name}) AS VARCHAR) AS min_{name}, \
                 CAST(bool_or({name}) AS VARCHAR) AS max_{name}"
            ),
            // The sketch hashes text and whole numbers, so other types are counted by their text.
            _ => write!(
                sql,
                ", approx_distinct(CAST({name} AS VARCHAR)) AS distinct_{name}, CAST(min({name}) AS VARCHAR) AS \
                 min_{name}, CAST(max({name}) AS VARCHAR) AS max_{name}"
            ),
        };
        if matches!(kind, Kind::Number | Kind::Integer) {
            let _ = write!(sql, ", avg({name}) AS mean_{name}");
            for percent in [25, 50, 75] {
                let _ = write!(
                    sql,
                    ", approx_percentile_cont(CAST({name} AS DOUBLE), {}) AS p{percent}_{name}",
                    f64::from(percent) / 100.0
                );
            }
        }
    }
    for rule in rules {
        let name = rule.name;
        let _ = write!(
            sql,
            ", count(*) FILTER (WHERE {}) AS checked_{name}, count(*) FILTER (WHERE {}) AS broken_{name}",
            rule.checked(),
            rule.broken()
        );
    }
    for (name, dimension) in [("invalid", Dimension::Validity), ("inconsistent", Dimension::Consistency)] {
        let broken: Vec<String> =
            rules.iter().filter(|rule| rule.dimension == dimension).map(|rule| rule.broken()).collect();
        let broken = if broken.is_empty() { "false".to_owned() } else { broken.join(" OR ") };
        let _ = write!(sql, ", count(*) FILTER (WHERE {broken}) AS {name}");
    }
    let _ = write!(sql, " FROM {from}");
    sql
}

fn column_profile(column: &Column, whole: &RecordBatch, rows: u64) -> Result<ColumnProfile> {
    let name = column.name;
    let filled = number(whole, &format!("n_{name}"), 0)?;
    let of = |part: &str| number(whole, &format!("{part}_{name}"), 0);
    let numbers = match column.kind {
        Kind::Number | Kind::Integer if filled > 0.0 => Some(Numbers {
            min: of("min")?,
            p25: of("p25")?,
            median: of("p50")?,
            p75: of("p75")?,
            max: of("max")?,
            mean: of("mean")?,
        }),
        _ => None,
    };
    Ok(ColumnProfile {
        name: name.to_owned(),
        meaning: column.meaning.to_owned(),
        completeness: if rows == 0 { 1.0 } else { filled / rows as f64 },
        distinct: count(whole, &format!("distinct_{name}"), 0)?,
        min: text(whole, &format!("min_{name}"), 0)?,
        max: text(whole, &format!("max_{name}"), 0)?,
        numbers,
    })
}

async fn months(session: &SessionContext, columns: &[&Column], from: &str) -> Result<Vec<MonthProfile>> {
    let filled: Vec<String> = columns.iter().map(|column| format!("count({})", column.name)).collect();
    let sql = format!(
        "SELECT country, year, month, count(*) AS rows, {} AS filled FROM {from} GROUP BY country, year, month \
         ORDER BY country, year, month",
        filled.join(" + ")
    );
    let batch = query(session, &sql).await?;
    (0..batch.num_rows())
        .map(|row| {
            let rows = count(&batch, "rows", row)?;
            Ok(MonthProfile {
                country: text(&batch, "country", row)?.unwrap_or_default(),
                year: number(&batch, "year", row)? as i32,
                month: number(&batch, "month", row)? as i32,
                rows,
                completeness: number(&batch, "filled", row)? / (rows * columns.len() as u64) as f64,
            })
        })
        .collect()
}

/// The first keys of a query, in their order.
async fn keys(session: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let batch = query(session, &format!("SELECT {KEY} FROM ({sql}) ORDER BY {KEY} LIMIT {EXAMPLES}")).await?;
    (0..batch.num_rows())
        .map(|row| {
            let part = |name: &str| Ok::<_, Error>(text(&batch, name, row)?.unwrap_or_default());
            Ok(format!("{} {}/{}", part("country")?, part("declaration_id")?, part("item_number")?))
        })
        .collect()
}

async fn query(session: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let frame = session.sql(sql).await.context(|| "plan a quality query")?;
    let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.context(|| "count the quality of a table")?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

/// A number of a result; null counts as zero.
fn number(batch: &RecordBatch, name: &str, row: usize) -> Result<f64> {
    let values = cast(column_of(batch, name)?, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    Ok(if values.is_null(row) { 0.0 } else { values.value(row) })
}

fn count(batch: &RecordBatch, name: &str, row: usize) -> Result<u64> {
    Ok(number(batch, name, row)? as u64)
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Result<Option<String>> {
    let values = cast(column_of(batch, name)?, &DataType::Utf8)?;
    let values = values.as_string::<i32>();
    Ok((!values.is_null(row)).then(|| values.value(row).to_owned()))
}

fn column_of<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a std::sync::Arc<dyn Array>> {
    batch
        .column_by_name(name)
        .ok_or_else(|| Error::internal(format!("a quality query gave no column {name}")))
}
