//! The generator of X-ray images as a job: files, annotations, a mapping with declaration numbers, and the truth.
//!
//! The folder is one that `ingest images` reads. The declarations are invented, or those that `synth` has generated
//! ([`Parameters::declarations`]), so that images and declarations of one archive belong together. Of the containers a
//! share is of other goods than declared, which `truth.csv` says. Start at [`Parameters`].

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{Days, NaiveDate};
use clap::Args;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_core::{
    Error, Period, Result, ResultExt,
    chance::{mix, stream},
    threads::{check, on_cpu},
};
use tidewaiter_ingest::{TextForm, records};
use tidewaiter_job::{Job, JobParameters, Listener, Outcome, async_trait, summary::grouped};

use crate::{
    coco::Coco,
    export::quoted,
    features::sections::section,
    generator::{Content, Form, KINDS, Picture, Rates, picture_of, sections},
    image::encode::{png, tiff},
    table::Annotated,
};

/// Images that are made at a time.
const BATCH: usize = 64;

/// Codes under which goods are declared, one of each of the generator's sections.
const CODES: [&str; 8] = ["100630", "220421", "390110", "440710", "620342", "700510", "721420", "845011"];

/// The file in which the folder has the parameters of its images, so that they are not generated again.
const DONE: &str = "generated.json";

/// What to generate, and where.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Folder that receives the files.
    pub out: String,
    /// The reporting country, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub country: String,
    /// Images; default: 1000.
    #[serde(default = "images")]
    #[arg(long, required = false)]
    pub images: u64,
    /// The months over which they are spread; default: 2024-01..2024-12.
    #[serde(default = "months")]
    #[arg(long, required = false)]
    pub months: String,
    /// Share of images with a threat; default: 0.2.
    #[serde(default = "threats")]
    #[arg(long, required = false)]
    pub threats: f64,
    /// Share of images of containers, which have a declaration; the others are bags. Default: 0.4.
    #[serde(default = "containers")]
    #[arg(long, required = false)]
    pub containers: f64,
    /// Share of containers that are of other goods than declared; default: 0.1.
    #[serde(default = "misdeclared")]
    #[arg(long, required = false)]
    pub misdeclared: f64,
    /// A folder of `tidewaiter synth` whose declarations the containers have; default: invented ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long)]
    pub declarations: Option<String>,
    /// The seed.
    #[serde(default)]
    #[arg(long, required = false)]
    pub seed: u64,
}

fn images() -> u64 {
    1000
}

fn months() -> String {
    "2024-01..2024-12".to_owned()
}

fn threats() -> f64 {
    0.2
}

fn containers() -> f64 {
    0.4
}

fn misdeclared() -> f64 {
    0.1
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "synth";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("export", "xray"));
    const ABOUT: &'static str =
        "Generate X-ray images with annotations and declaration numbers, and the truth";

    fn paths(&mut self) -> Vec<&mut String> {
        std::iter::once(&mut self.out).chain(&mut self.declarations).collect()
    }

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for parameters out of range, or when the folder holds other images.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let period = self.checked()?;
        let (parameters, listener) = (self.clone(), Arc::clone(&job.listener));
        let made = on_cpu(move || generate(&parameters, period, listener.as_ref()));
        let made = job.step("generate", made).await?;
        job.outcome.rows.read = made.images;
        job.outcome.metrics.insert("xray".to_owned(), json!(made));
        Ok(())
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(made) = outcome.metrics.get("xray") else { return Vec::new() };
        let count = |name: &str| grouped(made[name].as_u64().unwrap_or(0));
        vec![format!(
            "{} images, {} with threats; {} of {} containers are misdeclared",
            count("images"),
            count("with_threats"),
            count("misdeclared"),
            count("containers")
        )]
    }
}

impl Parameters {
    fn checked(&self) -> Result<Period> {
        for (name, share) in
            [("threats", self.threats), ("containers", self.containers), ("misdeclared", self.misdeclared)]
        {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::input(format!("--{name} is {share}; give a share from 0 to 1")));
            }
        }
        self.months.parse()
    }
}

/// What was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    images: u64,
    with_threats: u64,
    containers: u64,
    misdeclared: u64,
}

/// A declaration whose goods the generator knows.
#[derive(Debug, Clone)]
struct Declaration {
    id: String,
    hs_code: String,
    section: u32,
    day: NaiveDate,
}

/// An image that is to be made.
struct Plan {
    number: u64,
    declaration: Option<Declaration>,
    day: NaiveDate,
}

/// Plans the images: which are containers, of which declaration, and when they were taken.
struct Planner<'a> {
    parameters: &'a Parameters,
    period: Period,
    /// Generated ones, in the order of their files; none where they are invented.
    declarations: Vec<Declaration>,
}

impl Planner<'_> {
    fn plan(&self, number: u64) -> Plan {
        let seed = mix(self.parameters.seed ^ 0x706c_616e);
        let draw = |place: u64| stream(seed, 4 * number + place);
        let share = |draw: u64| (draw >> 11) as f64 / (1_u64 << 53) as f64;
        let below = |draw: u64, count: usize| ((u128::from(draw) * count as u128) >> 64) as usize;
        let days = self.period.last().signed_duration_since(self.period.first()).num_days() + 1;
        let day = Days::new(below(draw(0), usize::try_from(days).unwrap_or(1)) as u64);
        let day = self.period.first().checked_add_days(day).unwrap_or(self.period.first());
        if share(draw(1)) >= self.parameters.containers {
            return Plan { number, declaration: None, day };
        }
        let declaration = match self.declarations.len() {
            0 => {
                let place = below(draw(2), CODES.len());
                let section = section(CODES[place]).unwrap_or_default();
                Declaration { id: format!("X{number:08}"), hs_code: CODES[place].to_owned(), section, day }
            }
            count => self.declarations[below(draw(2), count)].clone(),
        };
        Plan { number, day: declaration.day, declaration: Some(declaration) }
    }
}

/// The declarations of a folder of `synth` of a period whose goods the generator knows.
fn declarations(folder: &Path, period: Period) -> Result<Vec<Declaration>> {
    let doing = || format!("read the declarations in {}", folder.display());
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .context(doing)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .context(doing)?;
    files.retain(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("declarations-") && name.ends_with(".csv")
    });
    files.sort();
    let known: Vec<u32> = sections().collect();
    let mut found: Vec<Declaration> = Vec::new();
    for file in &files {
        let mut records = records(&fs::read(file).context(doing)?, &TextForm::default())?.into_iter();
        let titles = records.next().unwrap_or_default();
        let place = |title: &str| {
            titles.iter().position(|known| known == title).ok_or_else(|| {
                Error::input(format!(
                    "{} has no column {title}; give a folder of `tidewaiter synth`",
                    file.display()
                ))
            })
        };
        let (id, code, day) = (place("declaration_id")?, place("hs_code")?, place("acceptance_date")?);
        for record in records {
            let cell = |place: usize| record.get(place).map_or("", |cell| cell.trim());
            let Ok(day) = cell(day).parse::<NaiveDate>() else { continue };
            let section = section(cell(code)).filter(|section| known.contains(section));
            let Some(section) = section.filter(|_| (period.first()..=period.last()).contains(&day)) else {
                continue;
            };
            // Of a declaration's items the first one that the generator knows.
            if found.last().is_none_or(|last| last.id != cell(id)) {
                found.push(Declaration {
                    id: cell(id).to_owned(),
                    hs_code: cell(code).to_owned(),
                    section,
                    day,
                });
            }
        }
    }
    if found.is_empty() {
        return Err(Error::input(format!(
            "{} has no declaration in the months whose goods can be drawn; name a folder of `tidewaiter synth`",
            folder.display()
        )));
    }
    Ok(found)
}

/// Generates the images into a folder: `images/`, `annotations.json`, `metadata.csv`, `mapping.toml` and `truth.csv`. A
/// folder that has them already is left unchanged.
fn generate(parameters: &Parameters, period: Period, listener: &dyn Listener) -> Result<Made> {
    let folder = Path::new(&parameters.out);
    let description = serde_json::to_string_pretty(&Parameters { out: String::new(), ..parameters.clone() })?;
    let done = folder.join(DONE);
    if let Ok(there) = fs::read_to_string(&done) {
        let there: Done = serde_json::from_str(&there).context(|| format!("read {}", done.display()))?;
        if there.description == description {
            return Ok(there.made);
        }
        return Err(Error::input(format!(
            "{} holds images that were generated otherwise; choose another folder",
            folder.display()
        )));
    }
    let declarations = match &parameters.declarations {
        Some(folder) => declarations(Path::new(folder), period)?,
        None => Vec::new(),
    };
    let planner = Planner { parameters, period, declarations };
    let mut output = Output::new(folder)?;
    let rates = Rates { threats: parameters.threats, containers: 0.0, misdeclared: parameters.misdeclared };
    let numbers: Vec<u64> = (0..parameters.images).collect();
    for numbers in numbers.chunks(BATCH) {
        check()?;
        let made: Vec<Image> =
            numbers.par_iter().map(|number| image(&planner, *number, rates)).collect::<Result<_>>()?;
        for image in &made {
            output.add(image)?;
        }
        listener.progress("generate", output.made.images, parameters.images, "images");
    }
    let made = output.finish(&parameters.country)?;
    let done_text = serde_json::to_string_pretty(&Done { description, made })?;
    fs::write(&done, done_text).context(|| format!("write {}", done.display()))?;
    Ok(made)
}

/// An image, its plan and its file.
struct Image {
    plan: Plan,
    picture: Picture,
    file: Vec<u8>,
}

fn image(planner: &Planner<'_>, number: u64, rates: Rates) -> Result<Image> {
    let plan = planner.plan(number);
    let declared = plan.declaration.as_ref();
    let content = declared.map_or(Content::Bag, |declared| Content::DeclaredAs(declared.section));
    let picture = picture_of(planner.parameters.seed, number, rates, content);
    let file = match picture.scanner.form {
        Form::DualEnergy => tiff(&picture.raster)?,
        Form::Colour | Form::Grey => png(&picture.raster)?,
    };
    Ok(Image { plan, picture, file })
}

/// What [`DONE`] says.
#[derive(Serialize, Deserialize)]
struct Done {
    description: String,
    made: Made,
}

/// The folder of generated images.
struct Output {
    folder: PathBuf,
    coco: Coco,
    metadata: BufWriter<File>,
    truth: BufWriter<File>,
    made: Made,
}

impl Output {
    fn new(folder: &Path) -> Result<Self> {
        let doing = || format!("make the folder {}", folder.display());
        fs::create_dir_all(folder.join("images")).context(doing)?;
        let file = |name: &str, titles: &str| -> Result<BufWriter<File>> {
            let mut file = BufWriter::new(File::create(folder.join(name)).context(doing)?);
            writeln!(file, "{titles}").context(doing)?;
            Ok(file)
        };
        Ok(Self {
            folder: folder.to_owned(),
            coco: Coco::default(),
            metadata: file("metadata.csv", "file,site,scanner,taken_at,declaration_id,hs_code")?,
            truth: file("truth.csv", "file,section,declared_section,misdeclared,threats")?,
            made: Made::default(),
        })
    }

    fn add(&mut self, image: &Image) -> Result<()> {
        let Image { plan, picture, file } = image;
        let doing = || format!("write generated images into {}", self.folder.display());
        let (scanner, raster) = (picture.scanner, &picture.raster);
        let ending = if scanner.form == Form::DualEnergy { "tif" } else { "png" };
        let name = format!("{:08}.{ending}", plan.number);
        fs::write(self.folder.join("images").join(&name), file).context(doing)?;
        let annotated = picture.objects.iter().map(|object| Annotated {
            class: KINDS[object.class as usize % KINDS.len()].to_owned(),
            rectangle: object.rectangle,
            is_crowd: object.is_crowd,
        });
        let objects: Vec<Annotated> = annotated.collect();
        self.coco.add(&name, raster.width as i64, raster.height as i64, &objects);
        let declared = plan.declaration.as_ref();
        let id = quoted(declared.map_or("", |declared| &declared.id));
        let code = declared.map_or("", |declared| &declared.hs_code);
        // A site has one scanner; the hour differs from image to image.
        let site = format!("site-{}", &scanner.name[scanner.name.len().saturating_sub(3)..]);
        let time = format!("{}T{:02}:{:02}:00Z", plan.day, 8 + plan.number % 10, plan.number / 10 % 60);
        let cells: [&str; 6] = [&name, &site, scanner.name, &time, &id, code];
        writeln!(self.metadata, "{}", cells.join(",")).context(doing)?;
        let number = |section: Option<u32>| section.map(|section| section.to_string()).unwrap_or_default();
        let is_misdeclared = picture.section != picture.declared;
        let threats: Vec<&str> = objects.iter().map(|object| object.class.as_str()).collect();
        let cells = [
            name.clone(),
            number(picture.section),
            number(picture.declared),
            u8::from(is_misdeclared).to_string(),
            threats.join(" "),
        ];
        writeln!(self.truth, "{}", cells.join(",")).context(doing)?;
        self.made.images += 1;
        self.made.with_threats += u64::from(!objects.is_empty());
        self.made.containers += u64::from(picture.section.is_some());
        self.made.misdeclared += u64::from(is_misdeclared);
        Ok(())
    }

    fn finish(mut self, country: &str) -> Result<Made> {
        let doing = || format!("write generated images into {}", self.folder.display());
        self.metadata.flush().and_then(|()| self.truth.flush()).context(doing)?;
        let columns = ["file", "site", "scanner", "taken_at", "declaration_id", "hs_code"];
        let columns: String = columns.map(|name| format!("{name} = \"{name}\"\n")).concat();
        let mapping = format!(
            "# Made by `tidewaiter synth xray`: what is known of the images beside their pixels.\n\
             table = \"images\"\ncountry = \"{country}\"\nmetadata = \"metadata.csv\"\n\n[columns]\n{columns}"
        );
        fs::write(self.folder.join("mapping.toml"), mapping).context(doing)?;
        let document = serde_json::to_vec(&self.coco.document())?;
        fs::write(self.folder.join("annotations.json"), document).context(doing)?;
        Ok(self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Listener for Silent {
        fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
    }

    fn parameters(out: &Path) -> Parameters {
        Parameters {
            out: out.display().to_string(),
            country: "TW".to_owned(),
            images: 10,
            months: "2024-02..2024-03".to_owned(),
            threats: 0.5,
            containers: 0.8,
            misdeclared: 0.5,
            declarations: None,
            seed: 4,
        }
    }

    #[test]
    fn the_same_parameters_give_the_same_files_and_the_truth_counts_misdeclared_containers() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let wanted = parameters(&first);
        let period = wanted.checked().expect("right");
        let made = generate(&wanted, period, &Silent).expect("generates");
        assert_eq!(generate(&parameters(&second), period, &Silent).expect("generates"), made);
        for name in ["annotations.json", "metadata.csv", "truth.csv", "mapping.toml"] {
            let read = |folder: &Path| fs::read(folder.join(name)).expect("is there");
            assert_eq!(read(&first), read(&second), "{name}");
        }
        let truth = fs::read_to_string(first.join("truth.csv")).expect("is there");
        let planted = truth.lines().skip(1).filter(|line| line.split(',').nth(3) == Some("1")).count();
        assert_eq!(planted as u64, made.misdeclared);
        assert!(made.misdeclared > 0 && made.misdeclared < made.containers, "{made:?}");
        let metadata = fs::read_to_string(first.join("metadata.csv")).expect("is there");
        assert!(
            metadata.lines().skip(1).all(|line| line.contains(",2024-02-") || line.contains(",2024-03-"))
        );
        assert_eq!(generate(&wanted, period, &Silent).expect("is there already"), made);
        let other = Parameters { seed: 5, ..wanted };
        assert!(generate(&other, period, &Silent).is_err(), "the folder has other images");
    }

    #[test]
    fn containers_have_the_declarations_of_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "declaration_id,item_number,acceptance_date,hs_code\nD1,1,2024-02-03,845011\nD1,2,2024-02-03,100630\n\
                    D2,1,2024-02-04,970110\nD3,1,2025-02-04,845011\n";
        fs::write(folder.path().join("declarations-2024-02.csv"), text).expect("written");
        let period: Period = "2024-02".parse().expect("a month");
        let found = declarations(folder.path(), period).expect("reads");
        let ids: Vec<_> = found.iter().map(|found| (found.id.as_str(), found.section)).collect();
        assert_eq!(ids, [("D1", 16)]);
        let wanted = parameters(folder.path());
        let planner = Planner { parameters: &wanted, period, declarations: found };
        let plans: Vec<Plan> = (0..20).map(|number| planner.plan(number)).collect();
        assert!(plans.iter().any(|plan| plan.declaration.is_some()));
        assert!(
            plans.iter().filter_map(|plan| plan.declaration.as_ref()).all(|declared| declared.id == "D1")
        );
        assert!(declarations(&folder.path().join("none"), period).is_err());
    }

    #[test]
    fn every_code_is_of_a_section_that_can_be_drawn() {
        let known: Vec<u32> = sections().collect();
        assert!(CODES.iter().all(|code| section(code).is_some_and(|section| known.contains(&section))));
    }
}
