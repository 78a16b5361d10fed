//! SQL over an archive's tables: one query that reads, and nothing else.
//!
//! [`query`] plans a user's text; [`check`] holds of any plan, wherever it comes from, that it reads the files of one
//! archive and changes nothing. Both refuse what they do not know: a node of another engine's version is refused until
//! it is listed here.
//!
//! Every table of predictions has a view beside it, `predictions_NAME_latest`: of each goods item what the latest `apply`
//! said, whichever months it was run for.
//!
//! What is absent: where the query runs (that is the session's engine), and who may ask. Start at [`query`].

use std::any::Any;

use datafusion::{
    common::tree_node::TreeNodeRecursion,
    dataframe::DataFrame,
    datasource::source_as_provider,
    error::{DataFusionError, Result as DataFusionResult},
    functions_aggregate::min_max::max_udaf,
    logical_expr::{Expr, ExprFunctionExt as _, LogicalPlan, TableScan, expr::WindowFunction, ident},
    prelude::SessionContext,
};
use futures::future::BoxFuture;
use tidewaiter_core::{Error, ErrorKind, Result};

use crate::{
    Archive,
    provider::{ParquetSourceProvider, snapshot_provider},
    table::list_tables,
};

/// The folder of the tables of predictions, whose rows have the columns of [`ITEM`] and `job`, the id of the job that
/// made them. Ids are in the order of time.
const PREDICTIONS: &str = "predictions/";

/// What a goods item is known by.
const ITEM: [&str; 3] = ["country", "declaration_id", "item_number"];

/// What a query may be.
const ALLOWED: &str = "a query is one SELECT, WITH … SELECT, VALUES or EXPLAIN over tables of the archive";

/// What a table's name is followed by in the name of the view of its latest rows.
const LATEST: &str = "_latest";

/// Plans one SELECT, WITH … SELECT, VALUES or EXPLAIN over the newest snapshots of the archive's tables; `/` in a
/// table's name is written `_`, and `predictions_NAME_latest` has the latest prediction for each item.
///
/// # Errors
/// [`ErrorKind::Input`] for any other statement, for a table that the archive does not have, and for a query that
/// cannot be planned.
pub fn query<'a>(
    session: &'a SessionContext,
    archive: &'a Archive,
    text: &'a str,
) -> BoxFuture<'a, Result<DataFrame>> {
    // Boxed for the reason that `tidewaiter_core::query` gives.
    Box::pin(select(session, archive, text))
}

async fn select(session: &SessionContext, archive: &Archive, text: &str) -> Result<DataFrame> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(text, &dialect);
    if let Err(DataFusionError::NotImplemented(_)) = statement {
        return Err(Error::input(format!("the text is not one statement: {ALLOWED}")));
    }
    let statement = planned(statement)?;
    let named = planned(state.resolve_table_references(&statement))?;
    let tables = list_tables(archive).await?;
    let names = |table: &str| table.replace('/', "_");
    for table in &tables {
        let (name, view) = (names(table), format!("{}{LATEST}", names(table)));
        let is_named = |name: &str| named.iter().any(|reference| reference.table() == name);
        if is_named(&name) {
            session.register_table(name, snapshot_provider(archive, table, None).await?)?;
        }
        // A table of that name comes first.
        let is_free = tables.iter().all(|table| names(table) != view);
        if table.starts_with(PREDICTIONS) && is_named(&view) && is_free {
            let rows = session.read_table(snapshot_provider(archive, table, None).await?)?;
            session.register_table(view, latest(rows)?.into_view())?;
        }
    }
    let plan = state.statement_to_plan(statement).await;
    if plan.is_err() {
        for reference in named {
            if !session.table_exist(reference.clone())? {
                let there: Vec<String> = tables.iter().map(|table| names(table)).collect();
                let there = there.join(", ");
                return Err(Error::input(format!(
                    "the archive has no table {reference}; its tables are: {there}"
                )));
            }
        }
    }
    let plan = planned(plan)?;
    check(&plan, archive)?;
    Ok(session.execute_logical_plan(plan).await?)
}

/// The rows of each item's latest job.
fn latest(rows: DataFrame) -> Result<DataFrame> {
    let newest = ident("newest_job");
    let columns: Vec<Expr> = rows.schema().fields().iter().map(|field| ident(field.name())).collect();
    let latest = WindowFunction::new(max_udaf(), vec![ident("job")]);
    let by_item = Expr::from(latest).partition_by(ITEM.map(ident).to_vec()).build()?;
    let rows = rows.window(vec![by_item.alias("newest_job")])?;
    Ok(rows.filter(ident("job").eq(newest))?.select(columns)?)
}

/// What goes wrong while a query is planned is the asker's to correct.
fn planned<T>(result: DataFusionResult<T>) -> Result<T> {
    result.map_err(|error| {
        let error = Error::from(error);
        match error.kind() {
            ErrorKind::Internal => Error::input(error.chain()),
            _ => error,
        }
    })
}

/// Holds that a plan, its subqueries included, reads Parquet files of the archive alone and changes nothing.
///
/// # Errors
/// [`ErrorKind::Input`], naming what is refused.
pub fn check(plan: &LogicalPlan, archive: &Archive) -> Result<()> {
    plan.apply_with_subqueries(|node| match refused(node, archive) {
        None => Ok(TreeNodeRecursion::Continue),
        Some(what) => Err(DataFusionError::from(Error::input(format!("{what} is refused: {ALLOWED}")))),
    })?;
    Ok(())
}

/// What of a node a query may not have, in words for its author.
fn refused(node: &LogicalPlan, archive: &Archive) -> Option<String> {
    match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_) => None,
        LogicalPlan::TableScan(scan) if is_of_archive(scan, archive) => None,
        LogicalPlan::TableScan(scan) => {
            Some(format!("{}, which is not a table of the archive {},", scan.table_name, archive.url()))
        }
        LogicalPlan::Copy(_) => Some("COPY".to_owned()),
        LogicalPlan::Ddl(statement) => Some(statement.name().to_owned()),
        LogicalPlan::Dml(statement) => Some(statement.name().to_owned()),
        LogicalPlan::Statement(statement) => Some(statement.name().to_owned()),
        LogicalPlan::DescribeTable(_) => Some("DESCRIBE".to_owned()),
        LogicalPlan::RecursiveQuery(_) => Some("WITH RECURSIVE".to_owned()),
        LogicalPlan::Extension(extension) => Some(format!("the plan node {}", extension.node.name())),
    }
}

fn is_of_archive(scan: &TableScan, archive: &Archive) -> bool {
    source_as_provider(&scan.source).is_ok_and(|provider| {
        let provider: &dyn Any = provider.as_ref();
        provider.downcast_ref::<ParquetSourceProvider>().is_some_and(|ours| ours.is_of(archive))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use tidewaiter_core::query::{Plan as _, Run as _};

    use arrow::{
        array::{RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema},
        util::pretty::pretty_format_batches,
    };

    use super::*;
    use crate::{
        PartitionWriter, Table, WriterSettings,
        testing::{memory, rows, schema, write},
    };

    /// An archive with three goods items in the table `declarations`.
    async fn filled(name: &str) -> Archive {
        let archive = memory(name);
        let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
        let files = write(&archive, "declarations", "job", &rows(0, 3)).await;
        table.commit(&files, &["job".to_owned()], "ingest").await.expect("commits");
        archive
    }

    fn session(archive: &Archive) -> SessionContext {
        let session = SessionContext::new();
        session.register_object_store(&archive.store_url(), archive.store().clone());
        session
    }

    #[tokio::test]
    async fn a_query_that_reads_tables_of_the_archive_is_taken() {
        let archive = filled("sql-taken").await;
        for (text, rows) in [
            ("SELECT declaration_id FROM declarations", 3),
            ("WITH d AS (SELECT * FROM declarations) SELECT count(*) FROM d GROUP BY item_number", 1),
            ("SELECT 1 WHERE EXISTS (SELECT 1 FROM declarations) UNION ALL SELECT 2", 2),
            ("VALUES (1), (2)", 2),
            ("EXPLAIN SELECT * FROM declarations", 2),
        ] {
            let answer = query(&session(&archive), &archive, text).await.expect("plans").batches().await;
            let found: usize = answer.expect("runs").iter().map(|batch| batch.num_rows()).sum();
            assert_eq!(found, rows, "{text}");
        }
    }

    #[tokio::test]
    async fn the_view_of_the_latest_predictions_has_each_item_once() {
        let archive = memory("sql-latest");
        let items = rows(0, 4);
        for (table, applies) in [
            ("predictions/fraud", vec![("01B", 0, 4), ("01C", 2, 2), ("01A", 0, 4)]),
            ("predictions/hs", vec![("01A", 0, 2)]),
        ] {
            for (job, from, count) in applies {
                let rows = items.slice(from, count);
                let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
                fields.push(Arc::new(Field::new("job", DataType::Utf8, false)));
                let schema = Arc::new(Schema::new(fields));
                let mut columns = rows.columns().to_vec();
                columns.push(Arc::new(StringArray::from(vec![job; count])));
                let rows = RecordBatch::try_new(Arc::clone(&schema), columns).expect("a batch");
                let (order, settings) = (["acceptance_date"], WriterSettings::default());
                let mut writer = PartitionWriter::new(&archive, table, &schema, "KR", &order, job, settings)
                    .expect("a writer");
                writer.write(&rows).await.expect("takes");
                let files = writer.finish().await.expect("finishes");
                let opened = Table::open_or_create(&archive, table, &schema).await.expect("creates");
                opened.commit(&files, &[job.to_owned()], "apply").await.expect("commits");
            }
        }
        for (text, wanted) in [
            (
                "SELECT string_agg(job || declaration_id, ' ' ORDER BY declaration_id) FROM predictions_fraud_latest",
                "01BD000000 01BD000001 01CD000002 01CD000003",
            ),
            ("SELECT count(*) FROM predictions_fraud_latest WHERE month = 1 AND country = 'KR'", "| 4 "),
            (
                "SELECT count(*) FROM predictions_fraud AS a JOIN predictions_fraud_latest USING (declaration_id)",
                "| 10 ",
            ),
            ("SELECT count(*) FROM predictions_hs_latest", "| 2 "),
            (
                "SELECT * FROM predictions_fraud_latest ORDER BY declaration_id LIMIT 1",
                "| D000000        | 1           | 2020-01-01      | 0.0           | 01B | KR      | 2020 | 1     |",
            ),
        ] {
            let answer = query(&session(&archive), &archive, text).await.expect(text).batches().await;
            let answer = pretty_format_batches(&answer.expect("runs")).expect("formats").to_string();
            assert!(answer.contains(wanted), "{text}: {answer}");
        }
        let error = query(&session(&archive), &archive, "SELECT 1 FROM declarations_latest").await;
        assert_eq!(error.expect_err("there is none").kind(), ErrorKind::Input);
    }

    #[tokio::test]
    async fn anything_else_is_refused_and_nothing_is_written() {
        let archive = filled("sql-refused").await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret.csv");
        std::fs::write(&file, "a,b\n1,2\n").expect("written");
        let (file, out) = (file.display(), folder.path().join("out.parquet"));
        let to = out.display();
        for text in [
            format!("COPY declarations TO '{to}'"),
            format!("COPY (SELECT * FROM declarations) TO '{to}'"),
            format!("EXPLAIN ANALYZE COPY declarations TO '{to}'"),
            format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{file}'"),
            "CREATE TABLE t AS SELECT * FROM declarations".to_owned(),
            "CREATE VIEW v AS SELECT * FROM declarations".to_owned(),
            "SELECT * INTO t FROM declarations".to_owned(),
            "INSERT INTO declarations SELECT * FROM declarations".to_owned(),
            "DELETE FROM declarations".to_owned(),
            "DROP TABLE declarations".to_owned(),
            "SET datafusion.execution.batch_size = 1".to_owned(),
            "SHOW ALL".to_owned(),
            "DESCRIBE declarations".to_owned(),
            "SELECT * FROM generate_series(1, 10)".to_owned(),
            format!("SELECT * FROM '{file}'"),
            format!("SELECT * FROM read_csv('{file}')"),
            "SELECT * FROM nowhere".to_owned(),
            "SELECT 1; SELECT 2".to_owned(),
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT * FROM n".to_owned(),
            "not SQL".to_owned(),
        ] {
            let error = query(&session(&archive), &archive, &text).await.expect_err(&text);
            assert_eq!(error.kind(), ErrorKind::Input, "{text}: {}", error.chain());
            assert!(!out.exists(), "{text}");
        }
        for (text, said) in [
            ("SELECT * FROM nowhere", "the archive has no table nowhere; its tables are: declarations"),
            ("SELECT 1; SELECT 2", "the text is not one statement: a query is one SELECT"),
        ] {
            let error = query(&session(&archive), &archive, text).await.expect_err(text);
            assert!(error.chain().contains(said), "{}", error.chain());
        }
    }

    #[tokio::test]
    async fn a_plan_that_scans_another_archive_is_refused_wherever_the_scan_stands() {
        let (archive, other) = (filled("sql-own").await, filled("sql-other").await);
        let session = session(&archive);
        for (name, archive) in [("declarations", &archive), ("foreign_items", &other)] {
            let provider = snapshot_provider(archive, "declarations", None).await.expect("provides");
            session.register_table(name, provider).expect("registers");
        }
        let own = session.query("SELECT declaration_id FROM declarations").await.expect("plans");
        check(own.logical_plan(), &archive).expect("its own");
        for text in [
            "SELECT * FROM foreign_items",
            "SELECT * FROM declarations WHERE declaration_id IN (SELECT declaration_id FROM foreign_items)",
            "SELECT (SELECT count(*) FROM foreign_items) FROM declarations",
            "SELECT * FROM declarations UNION ALL SELECT * FROM foreign_items",
        ] {
            let plan = session.query(text).await.expect("plans");
            let error = check(plan.logical_plan(), &archive).expect_err(text);
            assert!(error.chain().contains("foreign_items"), "{}", error.chain());
        }
    }
}
