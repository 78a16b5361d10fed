//! The generator as a job: a folder of raw exports, one CSV a month, their mapping, and the truth beside.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use parquet::arrow::ArrowWriter;

use super::Job;
use crate::{
    Error, Result, ResultExt,
    archive::schema::DECLARATION_COLUMNS,
    synth::{Parameters, Synth, truth_schema, write_csv},
};

/// Generates the exports into a folder: `declarations-YYYY-MM.csv`, `truth-YYYY-MM.parquet` and
/// `mapping.toml`. Gives the CSV files, in the order of their months.
///
/// # Errors
/// [`crate::ErrorKind::Input`] for parameters out of range; those of the file system.
pub async fn generate(job: &mut Job<'_>, parameters: Parameters, folder: &Path) -> Result<Vec<PathBuf>> {
    let listener = job.listener;
    let folder = folder.to_owned();
    let (files, rows) = job.step("generate", async { write_all(parameters, &folder, listener) }).await?;
    job.outcome.rows.read = rows;
    Ok(files)
}

fn write_all(
    parameters: Parameters,
    folder: &Path,
    listener: &dyn super::Listener,
) -> Result<(Vec<PathBuf>, u64)> {
    let (months, country) = (parameters.months, parameters.country.clone());
    let synth = Synth::new(parameters)?;
    fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
    let mapping = folder.join("mapping.toml");
    fs::write(&mapping, mapping_text(&country)).context(|| format!("write {}", mapping.display()))?;
    let mut files = Vec::new();
    let mut written = 0;
    for since in 0..months {
        let (year, month) = synth.month_at(since);
        let path = folder.join(format!("declarations-{year:04}-{month:02}.csv"));
        let truth = folder.join(format!("truth-{year:04}-{month:02}.parquet"));
        let create = |path: &Path| File::create(path).context(|| format!("write {}", path.display()));
        let mut csv = BufWriter::new(create(&path)?);
        let mut truths = ArrowWriter::try_new(create(&truth)?, truth_schema(), None)?;
        for (number, batch) in synth.month(since).enumerate() {
            let batch = batch?;
            write_csv(&batch, number == 0, &mut csv)?;
            truths.write(&batch.truth)?;
            written += batch.truth.num_rows() as u64;
            listener.progress("generate", written, synth.rows(), "rows");
        }
        csv.flush().context(|| format!("write {}", path.display()))?;
        truths.close()?;
        files.push(path);
    }
    if files.is_empty() {
        return Err(Error::input("the archive has no months; give one or more"));
    }
    Ok((files, written))
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
    }
}
