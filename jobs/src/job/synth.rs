//! The generator as a job: a folder of raw exports, one CSV a month, their mapping, and the truth beside.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::{
    Error, Result, ResultExt,
    archive::schema::{self, DECLARATION_COLUMNS},
    synth::{
        self, Synth, SynthBatch,
        releases::{ReleaseLog, release_mapping, release_stages},
        truth_schema, write_csv,
    },
    threads::on_cpu,
};

/// What to generate, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The folder that receives the files, on the machine that runs the job.
    pub out: String,
    /// What is generated.
    pub archive: synth::Parameters,
    /// Whether the declarations' way to release is written, too.
    #[serde(default)]
    pub releases: bool,
}

/// Remembers in the folder what was generated, so that the same is not generated again.
const DONE: &str = "generated.json";

/// Generates the exports into a folder: `declarations-YYYY-MM.csv`, `truth-YYYY-MM.parquet` (the same items in
/// the same order, with what names them) and `mapping.toml`; with `releases`, `releases-YYYY-MM.csv`,
/// `releases-truth-YYYY-MM.parquet`, `releases-mapping.toml` and `releases-stages.toml`, too. A folder that holds them already is left as it is.
///
/// # Errors
/// [`crate::ErrorKind::Input`] for parameters out of range, or when the folder holds another archive's files;
/// those of the file system.
pub async fn generate(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let (parameters, listener) = (parameters.clone(), Arc::clone(&job.listener));
    let work = on_cpu(move || write_all(&parameters, listener.as_ref()));
    job.outcome.rows.read = job.step("generate", work).await?;
    Ok(())
}

/// Writes the files; gives the number of rows.
fn write_all(parameters: &Parameters, listener: &dyn super::Listener) -> Result<u64> {
    let folder = Path::new(&parameters.out);
    let mut wanted = serde_json::to_string_pretty(&parameters.archive)?;
    if parameters.releases {
        wanted.push_str("\n\"releases\"");
    }
    let (months, country) = (parameters.archive.months, parameters.archive.country.clone());
    let synth = Synth::new(parameters.archive.clone())?;
    if months == 0 {
        return Err(Error::input("the archive has no months; give one or more"));
    }
    let done = folder.join(DONE);
    match fs::read_to_string(&done) {
        Ok(there) if there == wanted => return Ok(synth.rows()),
        Ok(_) => {
            return Err(Error::input(format!(
                "{} holds an archive that was generated otherwise; choose another folder",
                folder.display()
            )));
        }
        Err(_) => {}
    }
    fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
    let write =
        |path: &Path, text: &str| fs::write(path, text).context(|| format!("write {}", path.display()));
    write(&folder.join("mapping.toml"), &mapping_text(&country))?;
    if parameters.releases {
        write(&folder.join("releases-mapping.toml"), &release_mapping(&country))?;
        write(&folder.join("releases-stages.toml"), &release_stages())?;
    }
    let mut written = 0;
    for since in 0..months {
        let (year, month) = synth.month_at(since);
        let path = folder.join(format!("declarations-{year:04}-{month:02}.csv"));
        let truth = folder.join(format!("truth-{year:04}-{month:02}.parquet"));
        let create = |path: &Path| File::create(path).context(|| format!("write {}", path.display()));
        let mut csv = BufWriter::new(create(&path)?);
        let mut truths = ArrowWriter::try_new(create(&truth)?, named_truth_schema(), None)?;
        let log = || ReleaseLog::new(parameters.archive.seed, (year * 12) as u64 + u64::from(month));
        let mut log = parameters.releases.then(log);
        for (number, batch) in synth.month(since).enumerate() {
            let batch = batch?;
            write_csv(&batch, number == 0, &mut csv)?;
            truths.write(&named_truth(&batch)?)?;
            if let Some(log) = &mut log {
                log.take(&batch)?;
            }
            written += batch.truth.num_rows() as u64;
            listener.progress("generate", written, synth.rows(), "rows");
        }
        csv.flush().context(|| format!("write {}", path.display()))?;
        truths.close()?;
        if let Some(log) = log {
            let path = folder.join(format!("releases-{year:04}-{month:02}.csv"));
            let truth = folder.join(format!("releases-truth-{year:04}-{month:02}.parquet"));
            let mut csv = BufWriter::new(create(&path)?);
            let rows = log.finish(&mut csv)?;
            csv.flush().context(|| format!("write {}", path.display()))?;
            let mut truths = ArrowWriter::try_new(create(&truth)?, rows.schema(), None)?;
            truths.write(&rows)?;
            truths.close()?;
        }
    }
    write(&done, &wanted)?;
    Ok(written)
}

/// What names an item in the truth's file, beside the row's place.
const NAMES: [&str; 3] = ["declaration_id", "item_number", "acceptance_date"];

/// The columns of a truth's file: the item's names, then those of [`truth_schema`].
fn named_truth_schema() -> SchemaRef {
    let declared = schema::declarations();
    let names = NAMES.iter().filter_map(|name| declared.field_with_name(name).ok().cloned());
    let truth = truth_schema();
    Arc::new(Schema::new(
        names.chain(truth.fields().iter().map(|field| field.as_ref().clone())).collect::<Vec<_>>(),
    ))
}

fn named_truth(batch: &SynthBatch) -> Result<RecordBatch> {
    let names = NAMES.iter().filter_map(|name| batch.declarations.column_by_name(name).cloned());
    let columns = names.chain(batch.truth.columns().iter().cloned()).collect();
    Ok(RecordBatch::try_new(named_truth_schema(), columns)?)
}

/// A mapping in which every standard column comes from the export's column of the same name.
fn mapping_text(country: &str) -> String {
    let mut text = format!("country = \"{country}\"\nformat = \"csv\"\n\n[columns]\n");
    for column in DECLARATION_COLUMNS {
        text.push_str(&format!("{0} = {{ from = \"{0}\" }}\n", column.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ingest::Mapping;

    #[test]
    fn the_mapping_is_one_that_ingest_reads() {
        assert_eq!(Mapping::parse(&mapping_text("TW")).expect("parses").country, "TW");
        assert_eq!(Mapping::parse(&release_mapping("TW")).expect("parses").country, "TW");
    }
}
