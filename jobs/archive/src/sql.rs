//! SQL over an archive's tables: one query that reads, and nothing else.
//!
//! [`query`] plans a user's text; [`check`] holds of any plan, wherever it comes from, that it reads the files of one
//! archive and changes nothing. Both refuse what they do not know: a node of another engine's version is refused until
//! it is listed here.
//!
//! What is absent: where the query runs (that is the session's engine), and who may ask. Start at [`query`].

use std::any::Any;

use datafusion::{
    common::tree_node::TreeNodeRecursion,
    dataframe::DataFrame,
    datasource::source_as_provider,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{LogicalPlan, TableScan},
    prelude::SessionContext,
};
use tidewaiter_core::{Error, ErrorKind, Result};

use crate::{
    Archive,
    provider::{ParquetSourceProvider, snapshot_provider},
    table::list_tables,
};

/// Plans one SELECT, WITH … SELECT, VALUES or EXPLAIN over the newest snapshots of the archive's tables; `/` in a
/// table's name is written `_`.
///
/// # Errors
/// [`ErrorKind::Input`] for any other statement, for a table that the archive does not have, and for a query that
/// cannot be planned.
pub async fn query(session: &SessionContext, archive: &Archive, text: &str) -> Result<DataFrame> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let statement = planned(state.sql_to_statement(text, &dialect))?;
    let named = planned(state.resolve_table_references(&statement))?;
    for table in list_tables(archive).await? {
        let name = table.replace('/', "_");
        if named.iter().any(|reference| reference.table() == name) {
            session.register_table(name, snapshot_provider(archive, &table, None).await?)?;
        }
    }
    let plan = planned(state.statement_to_plan(statement).await)?;
    check(&plan, archive)?;
    Ok(session.execute_logical_plan(plan).await?)
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
        Some(what) => Err(DataFusionError::from(Error::input(format!(
            "{what} is refused: a query is one SELECT, WITH … SELECT, VALUES or EXPLAIN over tables of the archive"
        )))),
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
    use super::*;
    use crate::{
        Table,
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
            let answer = query(&session(&archive), &archive, text).await.expect("plans").collect().await;
            let found: usize = answer.expect("runs").iter().map(|batch| batch.num_rows()).sum();
            assert_eq!(found, rows, "{text}");
        }
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
    }

    #[tokio::test]
    async fn a_plan_that_scans_another_archive_is_refused_wherever_the_scan_stands() {
        let (archive, other) = (filled("sql-own").await, filled("sql-other").await);
        let session = session(&archive);
        for (name, archive) in [("declarations", &archive), ("foreign_items", &other)] {
            let provider = snapshot_provider(archive, "declarations", None).await.expect("provides");
            session.register_table(name, provider).expect("registers");
        }
        let own = session.sql("SELECT declaration_id FROM declarations").await.expect("plans");
        check(own.logical_plan(), &archive).expect("its own");
        for text in [
            "SELECT * FROM foreign_items",
            "SELECT * FROM declarations WHERE declaration_id IN (SELECT declaration_id FROM foreign_items)",
            "SELECT (SELECT count(*) FROM foreign_items) FROM declarations",
            "SELECT * FROM declarations UNION ALL SELECT * FROM foreign_items",
        ] {
            let plan = session.sql(text).await.expect("plans");
            let error = check(plan.logical_plan(), &archive).expect_err(text);
            assert!(error.chain().contains("foreign_items"), "{}", error.chain());
        }
    }
}
