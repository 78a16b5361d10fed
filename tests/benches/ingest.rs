//! The ingest of one CSV beside DuckDB's `COPY … TO … (FORMAT parquet, PARTITION_BY …)` of the same file.
//!
//! Arguments: the file's size in bytes (2000000000) and the number of rounds (3). The interpreter that
//! `TIDEWAITER_BENCH_PYTHON` names must have the package `duckdb`; without it only ours is measured. The two
//! take turns, each in a process of its own so that its peak memory is its own. Ours checks every cell,
//! writes the quarantine and commits; DuckDB is given the columns' types and passes over rows that it
//! cannot read. DuckDB has two threads; ours has a reader and a writer.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench takes the time and prints its figures"
)]

use std::{
    env,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
    time::Instant,
};

use serde_json::{Value, json};
use tidewaiter_archive::{Archive, Table, WriterSettings, schema::Kind};
use tidewaiter_declarations::{COLUMNS, DECLARATIONS, LAYOUT, schema};
use tidewaiter_ingest::{Mapping, ingest_file};
use tidewaiter_synth::{Parameters, Synth, write_csv};
use tidewaiter_tests::{BenchResult, answer, median, peak_kib, python};

/// About the bytes of a generated row.
const ROW_BYTES: u64 = 233;

/// The argument that makes this program ingest one file and print what it took.
const OURS: &str = "ours";

const DUCKDB: &str = r#"
import duckdb, json, resource, sys, time
source, target, types = sys.argv[1:]
connection = duckdb.connect()
connection.execute("SET threads = 2")
connection.execute("SET enable_progress_bar = false")
started = time.monotonic()
connection.execute(f"""
    COPY (SELECT *, 'ZA' AS country, year(acceptance_date) AS year, month(acceptance_date) AS month
          FROM read_csv('{source}', header = true, types = {types}, ignore_errors = true))
    TO '{target}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (country, year, month))""")
seconds = time.monotonic() - started
rows = connection.execute(f"SELECT count(*) FROM '{target}/**/*.parquet'").fetchone()[0]
print(json.dumps({"seconds": seconds, "rows": rows, "version": duckdb.__version__,
                  "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"#;

fn main() -> BenchResult<()> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode, csv, archive] = arguments.as_slice()
        && mode == OURS
    {
        println!("{}", ours(Path::new(csv), archive)?);
        return Ok(());
    }
    let number = |place: usize, default: u64| {
        arguments.get(place).map_or(Ok(default), |argument| argument.parse::<u64>())
    };
    let (bytes, rounds) = (number(0, 2_000_000_000)?, number(1, 3)?.max(1));
    let folder = tempfile::tempdir()?;
    let csv = folder.path().join("declarations.csv");
    let rows = generate(&csv, bytes)?;
    println!("{rows} rows, {} bytes", fs::metadata(&csv)?.len());
    let python = python("duckdb");
    let (mut our_seconds, mut peer_seconds) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let target = folder.path().join(format!("ours-{round}"));
        let done = answer(&Command::new(env::current_exe()?).args([OURS]).arg(&csv).arg(&target).output()?)?;
        println!("ours   {done}");
        assert_eq!(done["read"].as_u64(), Some(rows), "every row is accounted for");
        our_seconds.push(done["seconds"].as_f64().expect("seconds"));
        fs::remove_dir_all(&target)?;
        if let Some(python) = &python {
            let target = folder.path().join(format!("duckdb-{round}"));
            let mut duckdb = Command::new(python);
            let done =
                answer(&duckdb.args(["-c", DUCKDB]).arg(&csv).arg(&target).arg(duckdb_types()).output()?)?;
            println!("duckdb {done}");
            peer_seconds.push(done["seconds"].as_f64().expect("seconds"));
            fs::remove_dir_all(&target)?;
        }
    }
    let ours = median(our_seconds);
    println!("ours: {ours:.2} s (median of {rounds})");
    if !peer_seconds.is_empty() {
        let peer = median(peer_seconds);
        println!("DuckDB: {peer:.2} s; ours / DuckDB = {:.2}", ours / peer);
    }
    Ok(())
}

/// Writes a year's declarations as one CSV file and the mapping beside it; gives the number of rows.
fn generate(csv: &Path, bytes: u64) -> BenchResult<u64> {
    let parameters =
        Parameters { rows_per_year: (bytes / ROW_BYTES).max(12), months: 12, ..Parameters::default() };
    let synth = Synth::new(parameters)?;
    let mut file = BufWriter::new(File::create(csv)?);
    let mut rows = 0;
    for batch in (0..12).flat_map(|month| synth.month(month)) {
        let batch = batch?;
        write_csv(&batch, rows == 0, &mut file)?;
        rows += batch.truth.num_rows() as u64;
    }
    file.flush()?;
    let mut mapping = "country = \"ZA\"\n[columns]\n".to_owned();
    for column in COLUMNS {
        mapping.push_str(&format!("{0} = {{ from = \"{0}\" }}\n", column.name));
    }
    fs::write(csv.with_extension("toml"), mapping)?;
    Ok(rows)
}

/// Ingests the file into a new archive: digest, checks, quarantine, data files, commit.
fn ours(csv: &Path, archive: &str) -> BenchResult<Value> {
    let mapping = Mapping::open(&csv.with_extension("toml"), &[&LAYOUT])?;
    let archive = Archive::open(archive)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let started = Instant::now();
    let done = runtime.block_on(async {
        let table = Table::open_or_create(&archive, DECLARATIONS, &schema()).await?;
        let done = ingest_file(&table, &mapping, csv, "bench-0", WriterSettings::default(), &|_| ()).await?;
        table.commit(&done.files, std::slice::from_ref(&done.digest), "ingest").await?;
        Ok::<_, tidewaiter_core::Error>(done)
    })?;
    Ok(json!({
        "seconds": started.elapsed().as_secs_f64(),
        "read": done.counts.read,
        "archived": done.counts.archived,
        "quarantined": done.counts.quarantined,
        "peak_kib": peak_kib(),
    }))
}

/// The archive's types in DuckDB's words.
fn duckdb_types() -> String {
    let columns = COLUMNS.iter().map(|column| {
        let kind = match column.kind {
            Kind::Text => "VARCHAR",
            Kind::Date => "DATE",
            Kind::Integer | Kind::Offset => "INTEGER",
            Kind::Position => "BIGINT",
            Kind::Time => "TIMESTAMPTZ",
            Kind::Number => "DOUBLE",
            Kind::Flag => "BOOLEAN",
        };
        format!("'{}': '{kind}'", column.name)
    });
    format!("{{{}}}", columns.collect::<Vec<_>>().join(", "))
}
