//! Columns that a table gains or loses from one version of the program to the next.
//!
//! The columns of a table are the union of all that were ever written: a column that is new is appended and null in
//! older files, and one that a newer program does not write any more is null in newer files. So both are allowed to be
//! null from then on. Types never change. Start at [`evolved`].
//!
//! Source: the Delta transaction log protocol, section "Change Metadata"; columns are matched by name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use deltalake_core::kernel::{Action, MetadataExt as _, StructType, engine::arrow_conversion::TryIntoKernel};
use tidewaiter_core::{Error, Result};

use super::{Table, change::ATTEMPTS, classify};
use crate::schema::{data_columns, with_partitions};

impl Table {
    /// Makes room for rows with the columns `wanted` (without the partition columns): what the table lacks is added to
    /// it by a commit.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when a column has another type in the table;
    /// [`tidewaiter_core::ErrorKind::Conflict`] when other writers came first too often.
    pub(super) async fn evolve(&self, wanted: &Schema) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let state = self.state(None).await?;
            let found = state.snapshot().arrow_schema();
            let evolved = evolved(&data_columns(&found), wanted);
            let evolved = evolved.map_err(|column| {
                Error::input(format!(
                    "table {} exists with other columns: {column}; write to another table, or migrate this one",
                    self.place()
                ))
            })?;
            let Some(evolved) = evolved else { return Ok(()) };
            let columns: StructType = with_partitions(&evolved).as_ref().try_into_kernel()?;
            let metadata =
                state.metadata().clone().with_schema(&columns).map_err(|error| classify(error.into()))?;
            let actions = vec![Action::Metadata(metadata)];
            if self.attempt(&state, actions, Vec::new(), "columns", None).await?.is_some() {
                return Ok(());
            }
        }
        Err(self.too_many())
    }
}

/// The columns of a table with the columns `found` once rows with the columns `wanted` are written to it, both without
/// the partition columns; `None` when the table has them all.
///
/// # Errors
/// The column whose type differs, in words.
fn evolved(found: &Schema, wanted: &Schema) -> Result<Option<Schema>, String> {
    let mut fields: Vec<Field> = Vec::new();
    for field in found.fields() {
        let nullable = match wanted.field_with_name(field.name()) {
            Ok(wanted) if !is_same(field.data_type(), wanted.data_type()) => {
                return Err(format!(
                    "{} is {} there and {} here",
                    field.name(),
                    field.data_type(),
                    wanted.data_type()
                ));
            }
            Ok(wanted) => field.is_nullable() || wanted.is_nullable(),
            Err(_) => true,
        };
        fields.push(field.as_ref().clone().with_nullable(nullable));
    }
    let new = wanted.fields().iter().filter(|field| found.field_with_name(field.name()).is_err());
    fields.extend(new.map(|field| field.as_ref().clone().with_nullable(true)));
    let is_there = fields.len() == found.fields().len()
        && fields.iter().zip(found.fields()).all(|(a, b)| a.is_nullable() == b.is_nullable());
    Ok((!is_there).then(|| Schema::new(fields)))
}

/// Whether values of both types are the same; names of a list's elements do not count.
fn is_same(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => is_same(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            let same = |(a, b): (&Arc<Field>, &Arc<Field>)| {
                a.name() == b.name() && is_same(a.data_type(), b.data_type())
            };
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, BooleanArray, RecordBatch},
        datatypes::SchemaRef,
    };
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;
    use tidewaiter_core::query::{Plan as _, Run as _};

    use super::*;
    use crate::{
        Archive, PartitionWriter, WriterSettings,
        provider::{snapshot_by_month, snapshot_provider},
        testing::{memory, rows, schema, write},
    };

    /// The columns of a newer program: one is new and not null there, one is gone.
    fn newer() -> SchemaRef {
        let mut fields: Vec<Field> = schema().fields()[..3].iter().map(|field| (**field).clone()).collect();
        fields.insert(1, Field::new("in_sample", DataType::Boolean, false));
        Arc::new(Schema::new(fields))
    }

    async fn write_newer(archive: &Archive, table: &Table, job: &str) {
        let old = rows(100, 5);
        let flags = Arc::new(BooleanArray::from(vec![true; 5]));
        let columns =
            vec![Arc::clone(old.column(0)), flags as _, Arc::clone(old.column(1)), Arc::clone(old.column(2))];
        let batch = RecordBatch::try_new(newer(), columns).expect("a batch");
        let settings = WriterSettings::default();
        let mut writer =
            PartitionWriter::new(archive, table.name(), &newer(), "KR", &["acceptance_date"], job, settings)
                .expect("a writer");
        writer.write(&batch).await.expect("takes");
        let files = writer.finish().await.expect("finishes");
        table.commit(&files, &[job.to_owned()], "apply").await.expect("commits");
    }

    async fn count(archive: &Archive, condition: &str) -> i64 {
        let session = SessionContext::new();
        session.register_object_store(&archive.store_url(), Arc::clone(archive.store()));
        let provider = snapshot_provider(archive, "declarations", None).await.expect("provides");
        session.register_table("declarations", provider).expect("registers");
        let sql = format!("SELECT count(*) AS n FROM declarations WHERE {condition}");
        let answer = session.query(&sql).await.expect("plans").batches().await.expect("runs");
        answer[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0)
    }

    #[tokio::test]
    async fn a_newer_program_appends_to_an_older_table_and_the_older_one_still_writes() {
        let archive = memory("evolution");
        let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
        let files = write(&archive, "declarations", "old", &rows(0, 10)).await;
        table.commit(&files, &["old".to_owned()], "ingest").await.expect("commits");
        let table = Table::open_or_create(&archive, "declarations", &newer()).await.expect("evolves");
        write_newer(&archive, &table, "new").await;
        // The older program again: it knows nothing of the new column.
        let table = Table::open_or_create(&archive, "declarations", &schema()).await.expect("opens");
        let files = write(&archive, "declarations", "old-again", &rows(20, 7)).await;
        table.commit(&files, &["old-again".to_owned()], "ingest").await.expect("commits");

        assert_eq!(count(&archive, "in_sample IS NULL").await, 17);
        assert_eq!(count(&archive, "in_sample AND customs_value IS NULL AND month = 4").await, 5);
        let snapshot = table.snapshot(None).await.expect("reads");
        let names: Vec<&str> = snapshot.schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(
            names,
            [
                "declaration_id",
                "item_number",
                "acceptance_date",
                "customs_value",
                "in_sample",
                "country",
                "year",
                "month"
            ]
        );
        let version = table.version().await.expect("reads");
        Table::open_or_create(&archive, "declarations", &newer()).await.expect("opens");
        assert_eq!(table.version().await.expect("reads"), version, "there is nothing left to add");
        assert_eq!(table.snapshots().await.expect("reads")[2].operation, "columns");
        snapshot_by_month(&archive, "declarations", None, "KR", 0).await.expect("provides");
        assert_eq!(table.snapshot(Some(1)).await.expect("an old snapshot").schema.fields().len(), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_column_that_two_add_at_once_is_added_once() {
        let archive = memory("evolution-at-once");
        Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
        let tasks = (0..4).map(|_| {
            let archive = archive.clone();
            tokio::spawn(async move { Table::open_or_create(&archive, "declarations", &newer()).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("ends").expect("opens");
        }
        let table = Table::open(&archive, "declarations").await.expect("opens");
        assert_eq!(table.version().await.expect("reads"), 1);
    }

    #[tokio::test]
    async fn a_column_of_another_type_is_named() {
        let archive = memory("evolution-type");
        Table::open_or_create(&archive, "declarations", &schema()).await.expect("creates");
        let other = Schema::new(vec![Field::new("item_number", DataType::Utf8, false)]);
        let error = Table::open_or_create(&archive, "declarations", &other).await.expect_err("differs");
        assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
        assert!(error.chain().contains("item_number is Int32 there and Utf8 here"), "{}", error.chain());
    }

    /// Columns of a few names, each of one type.
    fn any_schema() -> impl Strategy<Value = Schema> {
        let columns = prop::collection::btree_map(0_u8..6, any::<bool>(), 0..6);
        columns.prop_map(|columns| {
            let field = |(name, nullable): (u8, bool)| {
                Field::new(
                    format!("c{name}"),
                    if name < 3 { DataType::Utf8 } else { DataType::Int32 },
                    nullable,
                )
            };
            Schema::new(columns.into_iter().map(field).collect::<Vec<_>>())
        })
    }

    proptest! {
        #[test]
        fn what_was_written_once_can_be_read_and_written_for_ever(
            schemas in prop::collection::vec(any_schema(), 1..6),
        ) {
            let mut table = schemas[0].clone();
            for wanted in &schemas[1..] {
                let before = table.clone();
                table = evolved(&table, wanted).expect("no type changes").unwrap_or(table);
                prop_assert_eq!(evolved(&table, wanted).expect("no type changes"), None);
                // Columns keep their places, and none that may be null is declared not null.
                for (old, now) in before.fields().iter().zip(table.fields()) {
                    prop_assert_eq!(old.name(), now.name());
                    prop_assert!(now.is_nullable() || !old.is_nullable());
                }
            }
            for written in &schemas {
                for field in table.fields() {
                    let found = written.field_with_name(field.name());
                    prop_assert!(field.is_nullable() || found.is_ok_and(|found| !found.is_nullable()));
                }
                prop_assert!(written.fields().iter().all(|field| table.field_with_name(field.name()).is_ok()));
            }
        }
    }
}
