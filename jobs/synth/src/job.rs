//! The generator as a job: a folder of raw exports, one CSV file for each month, their mapping, and the truth.
//!
//! Start at [`Parameters`]. The descriptions of the options are the texts of `--help`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args, Command, FromArgMatches as _, Id};
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Error, Result, ResultExt,
    threads::{check, on_cpu},
};
use tidewaiter_declarations::COLUMNS;
use tidewaiter_job::{Extensions, Job, JobParameters, Listener, async_trait};

use crate::{
    batch::{SynthBatch, truth_schema},
    derived_export::{DerivedExport, RegisteredExport},
    generator::Synth,
    parameters::Parameters as ArchiveParameters,
    raw_export::write_csv,
};

/// What to generate, and where.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
pub struct Parameters {
    /// Folder that receives the files.
    pub out: String,
    /// What is generated.
    #[command(flatten)]
    pub archive: ArchiveParameters,
    /// Which exports of other domains are made of the same declarations, by their [`DerivedExport::name`].
    #[serde(flatten)]
    #[arg(skip)]
    pub exports: BTreeMap<String, bool>,
}

/// Options whose form differs from that of the parameters that they set.
#[derive(Debug, Args)]
#[group(skip)]
struct Options {
    /// Whole years, from January.
    #[arg(long, default_value_t = 3)]
    years: u32,
    /// The first year.
    #[arg(long, default_value_t = 2020)]
    first_year: i32,
    /// An old scheme that nobody practises.
    #[arg(long, value_parser = ["undervaluation", "misclassification", "false_origin", "under_weighing"])]
    without_scheme: Vec<String>,
    /// All traders are alike in their inclination to fraud.
    #[arg(long)]
    no_histories: bool,
    /// There are no rings.
    #[arg(long)]
    no_rings: bool,
}

/// The group of the options that choose derived exports, each of which has the export's name.
const EXPORTS: &str = "derived-exports";

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "synth";
    const ABOUT: &'static str = "Generate a national archive's raw exports, with the truth beside them";

    fn arguments(command: Command, extensions: &Extensions) -> Command {
        let command = Options::augment_args(Self::augment_args(command));
        let exports: Vec<_> =
            extensions.all::<RegisteredExport>().map(|RegisteredExport(export)| *export).collect();
        let group = ArgGroup::new(EXPORTS).multiple(true).args(exports.iter().map(|export| export.name()));
        let options = exports.iter().map(|export| {
            Arg::new(export.name()).long(export.name()).action(ArgAction::SetTrue).help(export.about())
        });
        command.args(options).group(group)
    }

    /// The defaults of the command line are those of an archive with fewer goods items, for a laptop.
    fn from_arguments(matches: &ArgMatches) -> Result<Self> {
        let wrong = |error: clap::Error| Error::input(error.to_string());
        let options = Options::from_arg_matches(matches).map_err(wrong)?;
        let archive = ArchiveParameters { rows_per_year: 200_000, seed: 0, ..ArchiveParameters::default() };
        let mut parameters = Self { out: String::new(), archive, exports: BTreeMap::new() };
        parameters.update_from_arg_matches(matches).map_err(wrong)?;
        let archive = &mut parameters.archive;
        archive.first_month = (options.first_year, 1);
        archive.months = options.years * 12;
        let schemes = &mut archive.schemes;
        for scheme in &options.without_scheme {
            match scheme.as_str() {
                "undervaluation" => schemes.undervaluation = false,
                "misclassification" => schemes.misclassification = false,
                "false_origin" => schemes.false_origin = false,
                _ => schemes.under_weighing = false,
            }
        }
        archive.histories = !options.no_histories;
        archive.rings = !options.no_rings;
        let chosen = matches.get_many::<Id>(EXPORTS).into_iter().flatten();
        parameters.exports = chosen.map(|name| (name.to_string(), true)).collect();
        Ok(parameters)
    }

    fn paths(&mut self) -> Vec<&mut String> {
        vec![&mut self.out]
    }

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        generate(job, self).await
    }
}

/// The file in which the folder has the parameters of its exports, so that they are not generated again.
const DONE: &str = "generated.json";

/// The same while they are being generated: a job that is taken up again may overwrite what it wrote.
const BEGUN: &str = "generating.json";

/// Generates the exports into a folder: `declarations-YYYY-MM.csv`, `truth-YYYY-MM.parquet` (the same items in the same
/// order, with their ids), `mapping.toml`, and the derived exports. A folder that has them already is left unchanged.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for parameters out of range, or when the folder holds another archive's files, or
/// files of the same names that were not generated; those of the file system.
async fn generate(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let known: Vec<_> =
        job.extensions.all::<RegisteredExport>().map(|RegisteredExport(export)| *export).collect();
    for name in parameters.exports.keys() {
        if !known.iter().any(|export| export.name() == name) {
            let mut names = vec!["out", "archive"];
            names.extend(known.iter().map(|export| export.name()));
            return Err(Error::input(format!("unknown field `{name}`; the fields are {}", names.join(", "))));
        }
    }
    let exports =
        known.into_iter().filter(|export| parameters.exports.get(export.name()) == Some(&true)).collect();
    let (parameters, listener) = (parameters.clone(), Arc::clone(&job.listener));
    let work = on_cpu(move || write_all(&parameters, exports, listener.as_ref()));
    job.outcome.rows.read = job.step("generate", work).await?;
    Ok(())
}

/// Writes the files and returns the number of goods items.
fn write_all(
    parameters: &Parameters,
    exports: Vec<&dyn DerivedExport>,
    listener: &dyn Listener,
) -> Result<u64> {
    let folder = Path::new(&parameters.out);
    let mut description = serde_json::to_string_pretty(&parameters.archive)?;
    for export in &exports {
        description.push_str(&format!("\n\"{}\"", export.name()));
    }
    let (months, country) = (parameters.archive.months, parameters.archive.country.clone());
    let synth = Synth::new(parameters.archive.clone())?;
    let done = folder.join(DONE);
    match fs::read_to_string(&done) {
        Ok(there) if there == description => return Ok(synth.rows()),
        Ok(_) => {
            return Err(Error::input(format!(
                "{} holds an archive that was generated otherwise; choose another folder",
                folder.display()
            )));
        }
        Err(_) => {}
    }
    fs::create_dir_all(folder).context(|| format!("make the folder {}", folder.display()))?;
    let begun = folder.join(BEGUN);
    if fs::read_to_string(&begun).is_ok_and(|there| there != description) || !begun.exists() {
        check_free(folder, &exports)?;
        write_file(&begun, &description)?;
    }
    write_file(&folder.join("mapping.toml"), &mapping_text(&country))?;
    for export in &exports {
        export.begin(folder, &country)?;
    }
    let mut written = 0;
    for since in 0..months {
        let (year, month) = synth.month_at(since);
        let path = folder.join(format!("declarations-{year:04}-{month:02}.csv"));
        let truth = folder.join(format!("truth-{year:04}-{month:02}.parquet"));
        let mut csv = BufWriter::new(create_file(&path)?);
        let mut truths = ArrowWriter::try_new(create_file(&truth)?, truth_file_schema(), None)?;
        let mut planted: Vec<_> =
            exports.iter().map(|export| export.month(parameters.archive.seed, year, month)).collect();
        for (number, batch) in synth.month(since).enumerate() {
            check()?;
            let batch = batch?;
            write_csv(&batch, number == 0, &mut csv)?;
            truths.write(&truth_file_rows(&batch)?)?;
            for month in &mut planted {
                month.take(&batch)?;
            }
            written += batch.truth.num_rows() as u64;
            listener.progress("generate", written, synth.rows(), "rows");
        }
        csv.flush().context(|| format!("write {}", path.display()))?;
        truths.close()?;
        for month in planted {
            month.finish(folder)?;
        }
    }
    write_file(&done, &description)?;
    fs::remove_file(&begun).context(|| format!("delete {}", begun.display()))?;
    Ok(written)
}

/// Holds that a folder has no file of a name that would be written.
fn check_free(folder: &Path, exports: &[&dyn DerivedExport]) -> Result<()> {
    let begins = ["declarations", "truth"].into_iter().chain(exports.iter().map(|export| export.name()));
    let begins: Vec<String> = begins.map(|name| format!("{name}-")).collect();
    let doing = || format!("look into the folder {}", folder.display());
    for entry in fs::read_dir(folder).context(doing)? {
        let name = entry.context(doing)?.file_name().to_string_lossy().into_owned();
        if name == "mapping.toml" || begins.iter().any(|begin| name.starts_with(begin.as_str())) {
            return Err(Error::input(format!(
                "{} is there already, and was not generated by this job; choose another folder",
                folder.join(name).display()
            )));
        }
    }
    Ok(())
}

/// Writes a text file.
///
/// # Errors
/// Those of the file system, naming the file.
pub fn write_file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).context(|| format!("write {}", path.display()))
}

/// Creates a file, or empties the one that is there.
///
/// # Errors
/// Those of the file system, naming the file.
pub fn create_file(path: &Path) -> Result<File> {
    File::create(path).context(|| format!("write {}", path.display()))
}

/// The columns that identify an item in the truth's file.
const ID_COLUMNS: [&str; 3] = ["declaration_id", "item_number", "acceptance_date"];

/// The columns of the truth's file: those that identify the item, then those of [`truth_schema`].
fn truth_file_schema() -> SchemaRef {
    let declared = tidewaiter_declarations::schema();
    let names = ID_COLUMNS.iter().filter_map(|name| declared.field_with_name(name).ok().cloned());
    let truth = truth_schema();
    Arc::new(Schema::new(
        names.chain(truth.fields().iter().map(|field| field.as_ref().clone())).collect::<Vec<_>>(),
    ))
}

fn truth_file_rows(batch: &SynthBatch) -> Result<RecordBatch> {
    let names = ID_COLUMNS.iter().filter_map(|name| batch.declarations.column_by_name(name).cloned());
    let columns = names.chain(batch.truth.columns().iter().cloned()).collect();
    Ok(RecordBatch::try_new(truth_file_schema(), columns)?)
}

/// A mapping of every column of the archive to the export's column of the same name.
fn mapping_text(country: &str) -> String {
    let mut text = format!("country = \"{country}\"\nformat = \"csv\"\n\n[columns]\n");
    for column in COLUMNS {
        text.push_str(&format!("{0} = {{ from = \"{0}\" }}\n", column.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use tidewaiter_ingest::Mapping;
    use tidewaiter_job::{Catalogue, Domain};

    use super::*;
    use crate::derived_export::DerivedExportMonth;

    struct Labels;

    impl DerivedExport for Labels {
        fn name(&self) -> &'static str {
            "labels"
        }

        fn about(&self) -> &'static str {
            "Write the labels, too"
        }

        fn begin(&self, _: &Path, _: &str) -> Result<()> {
            Ok(())
        }

        fn month(&self, _: u64, _: i32, _: u32) -> Box<dyn DerivedExportMonth> {
            unreachable!("nothing is generated here")
        }
    }

    static LABELS: Domain = Domain { extensions: &[&RegisteredExport(&Labels)], ..Domain::EMPTY };

    static DOMAINS: [&Domain; 1] = [&LABELS];

    #[test]
    fn options_set_the_parameters_and_choose_the_exports() {
        for domains in [&DOMAINS[..0], &DOMAINS] {
            let command = Parameters::arguments(Command::new("synth"), &Catalogue::new(domains).extensions());
            let line = ["synth", "--country", "TW", "--years", "2", "--seed", "7", "--no-rings", "exports"];
            let matches = command.clone().try_get_matches_from(line).expect("parses");
            let parameters = Parameters::from_arguments(&matches).expect("reads");
            let archive = ArchiveParameters {
                country: "TW".to_owned(),
                first_month: (2020, 1),
                months: 24,
                rows_per_year: 200_000,
                seed: 7,
                rings: false,
                ..ArchiveParameters::default()
            };
            let wanted = Parameters { out: "exports".to_owned(), archive, exports: BTreeMap::new() };
            assert_eq!(parameters, wanted);
            let matches = command.try_get_matches_from(line.iter().chain([&"--labels"]));
            let Ok(matches) = matches else {
                assert!(domains.is_empty(), "the option is that of the export");
                continue;
            };
            let exports = BTreeMap::from([("labels".to_owned(), true)]);
            let parameters = Parameters::from_arguments(&matches).expect("reads");
            assert_eq!(parameters, Parameters { exports, ..wanted });
        }
    }

    struct Nobody;

    impl Listener for Nobody {
        fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
    }

    #[test]
    fn files_that_it_did_not_make_are_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let archive = ArchiveParameters { months: 1, rows_per_year: 1200, ..ArchiveParameters::default() };
        let out = folder.path().display().to_string();
        let mut parameters = Parameters { out, archive, exports: BTreeMap::new() };
        let write = |parameters: &Parameters| write_all(parameters, Vec::new(), &Nobody);
        for name in ["mapping.toml", "declarations-2020-01.csv", "truth-1999-12.parquet"] {
            fs::write(path(name), "mine").expect("written");
            let error = write(&parameters).expect_err(name);
            assert_eq!(error.kind(), tidewaiter_core::ErrorKind::Input);
            assert!(error.chain().contains(name), "{}", error.chain());
            assert_eq!(fs::read_to_string(path(name)).expect("is there"), "mine");
            fs::remove_file(path(name)).expect("deleted");
        }
        fs::write(path("notes.txt"), "mine").expect("written");
        // A job that was interrupted goes on; one of other parameters does not.
        let description = serde_json::to_string_pretty(&parameters.archive).expect("JSON");
        fs::write(path(BEGUN), &description).expect("written");
        fs::write(path("mapping.toml"), "half").expect("written");
        parameters.archive.seed += 1;
        write(&parameters).expect_err("another job's");
        parameters.archive.seed -= 1;
        let rows = write(&parameters).expect("goes on");
        assert_eq!(write(&parameters).expect("has them"), rows);
        assert!(!path(BEGUN).exists() && path("notes.txt").exists());
    }

    #[test]
    fn the_mapping_is_one_that_ingest_reads() {
        let mapping =
            Mapping::parse(&mapping_text("TW"), &[&tidewaiter_declarations::LAYOUT]).expect("parses");
        assert_eq!(mapping.file.country, "TW");
    }
}
