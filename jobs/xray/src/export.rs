//! Images out of the archive: the files as they came, and their annotations as COCO JSON or YOLO text.
//!
//! The folder can be ingested again, by its own mapping: `images/`, named by their ids; `metadata.csv` and `mapping.toml`,
//! with what is known beside the pixels; `annotations.json`, or `labels/` with `classes.txt`. An image that nobody has
//! annotated is not in the annotations, and one that was annotated as clean is there without objects. Start at
//! [`Export::run`].

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int32Type, TimestampMicrosecondType},
};
use chrono::{DateTime, SecondsFormat};
use datafusion::prelude::{SessionContext, col, lit};
use futures::StreamExt;
use tidewaiter_archive::{Archive, Table, provider::snapshot_provider};
use tidewaiter_core::{Error, Period, Result, ResultExt, plan::Meter, query::Run as _};
use tidewaiter_job::engine::{Engine, Local};

use crate::{
    boxes::Rectangle,
    coco::{Classes, Coco},
    table::{Annotated, BYTES, IMAGES, TAKEN_AT, files, objects, texts},
};

/// Images that are read at a time.
const BATCH_ROWS: usize = 16;

/// Bytes that sorts and the like may hold; an export has none.
const MEMORY: usize = 256 << 20;

/// The form of exported annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// One JSON document.
    Coco,
    /// One text for each image.
    Yolo,
}

/// An export.
#[derive(Debug, Clone)]
pub struct Export {
    /// The folder, which is empty or not there.
    pub out: PathBuf,
    /// The form of annotations.
    pub form: Form,
    /// The country of the images; absent: the only one that there is.
    pub country: Option<String>,
    /// Their months; absent: all.
    pub months: Option<Period>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Images.
    pub images: u64,
    /// Images among them that are annotated.
    pub annotated: u64,
    /// Annotated objects.
    pub objects: u64,
}

/// A session in this process that reads few images at a time.
///
/// # Errors
/// Those of the engine.
pub(crate) fn session() -> Result<SessionContext> {
    let session = Local::new(1, MEMORY)?.session("images", Meter::new(|_| ()))?;
    let state = session.state_ref();
    let mut state = state.write();
    let options = state.config_mut().options_mut();
    options.set("datafusion.execution.batch_size", &BATCH_ROWS.to_string())?;
    // The files of rows that are not wanted are not decoded.
    options.execution.parquet.pushdown_filters = true;
    drop(state);
    Ok(session)
}

/// The table's newest snapshot.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] when the archive has no images.
pub(crate) async fn images(
    session: &SessionContext,
    archive: &Archive,
) -> Result<datafusion::prelude::DataFrame> {
    let provider = snapshot_provider(archive, IMAGES, None).await;
    let provider =
        provider.context(|| "the archive has no images; `tidewaiter ingest images` brings them in")?;
    Ok(session.read_table(provider)?)
}

impl Export {
    /// Writes the images.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a folder that is not empty, and for images of several countries;
    /// [`tidewaiter_core::ErrorKind::NotFound`] where there is none; those of the file system.
    pub async fn run(&self, archive: &Archive) -> Result<Written> {
        let country = self.country_of(archive).await?;
        let session = session()?;
        let mut rows = images(&session, archive).await?.filter(col("country").eq(lit(&country)))?;
        if let Some(months) = self.months {
            let (year, month) = months.first_month();
            let number = col("year") * lit(12) + col("month") - lit(1);
            let first = 12 * year + month as i32 - 1;
            rows = rows.filter(number.between(lit(first), lit(months.last_month_number())))?;
        }
        let columns = [
            "image_id",
            TAKEN_AT,
            "name",
            "site",
            "scanner",
            "declaration_id",
            "hs_code",
            "format",
            "width",
            "height",
            "objects",
            BYTES,
        ];
        let mut batches = rows.select_columns(&columns)?.batch_stream().await?;
        let mut folder = Folder::new(&self.out, self.form, &country)?;
        while let Some(batch) = batches.next().await {
            folder.add(&batch?)?;
        }
        folder.finish()
    }

    /// The country of the images.
    async fn country_of(&self, archive: &Archive) -> Result<String> {
        let files = Table::open(archive, IMAGES).await;
        let files =
            files.context(|| "the archive has no images; `tidewaiter ingest images` brings them in")?;
        let files = files.snapshot(None).await?.files;
        let mut known: Vec<&str> = files.iter().map(|file| file.country.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        match (&self.country, known.as_slice()) {
            (Some(country), known) if known.contains(&country.as_str()) => Ok(country.clone()),
            (None, [country]) => Ok((*country).to_owned()),
            (_, []) => {
                Err(Error::not_found("the archive has no images; `tidewaiter ingest images` brings them in"))
            }
            (Some(country), known) => Err(Error::not_found(format!(
                "there are no images of {country}; there are of {}",
                known.join(", ")
            ))),
            (None, known) => {
                Err(Error::input(format!("say --country: there are images of {}", known.join(", "))))
            }
        }
    }
}

/// The ending of a file of a format.
fn ending(format: &str) -> &'static str {
    match format {
        "jpeg" => "jpg",
        "tiff" => "tif",
        "dicom" => "dcm",
        _ => "png",
    }
}

/// The folder of an export.
struct Folder {
    path: PathBuf,
    form: Form,
    country: String,
    metadata: BufWriter<File>,
    /// Of YOLO's lines.
    classes: Classes,
    coco: Coco,
    written: Written,
}

/// The columns of the table of images, and of the mapping.
const METADATA: [&str; 7] = ["file", "name", "site", "scanner", "taken_at", "declaration_id", "hs_code"];

impl Folder {
    fn new(path: &Path, form: Form, country: &str) -> Result<Self> {
        let doing = || format!("make the folder {}", path.display());
        fs::create_dir_all(path).context(doing)?;
        if fs::read_dir(path).context(doing)?.next().is_some() {
            return Err(Error::input(format!("{} is not empty; choose another folder", path.display())));
        }
        fs::create_dir(path.join("images")).context(doing)?;
        if form == Form::Yolo {
            fs::create_dir(path.join("labels")).context(doing)?;
        }
        let mut metadata = BufWriter::new(File::create(path.join("metadata.csv")).context(doing)?);
        writeln!(metadata, "{}", METADATA.join(",")).context(doing)?;
        Ok(Self {
            path: path.to_owned(),
            form,
            country: country.to_owned(),
            metadata,
            classes: Classes::default(),
            coco: Coco::default(),
            written: Written::default(),
        })
    }

    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let wrong = || Error::internal("exported images lack a column");
        let [ids, names, sites, scanners, declarations, codes, formats] =
            ["image_id", "name", "site", "scanner", "declaration_id", "hs_code", "format"]
                .map(|name| texts(rows, name));
        let (ids, names, sites, scanners) = (ids?, names?, sites?, scanners?);
        let (declarations, codes, formats) = (declarations?, codes?, formats?);
        let number = |name: &str| {
            let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>());
            column.ok_or_else(wrong)
        };
        let (widths, heights) = (number("width")?, number("height")?);
        let times = rows.column_by_name(TAKEN_AT);
        let times =
            times.and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>()).ok_or_else(wrong)?;
        for (row, (file, objects)) in files(rows)?.into_iter().zip(objects(rows)?).enumerate() {
            let id = ids(row).unwrap_or_default();
            let name = format!("{id}.{}", ending(&formats(row).unwrap_or_default()));
            let path = self.path.join("images").join(&name);
            fs::write(&path, file).context(|| format!("write {}", path.display()))?;
            self.written.images += 1;
            let time = DateTime::from_timestamp_micros(times.value(row)).unwrap_or_default();
            let time = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            let cells = [
                Some(name.clone()),
                names(row),
                sites(row),
                scanners(row),
                Some(time),
                declarations(row),
                codes(row),
            ];
            let line: Vec<String> = cells.into_iter().map(|cell| quoted(&cell.unwrap_or_default())).collect();
            writeln!(self.metadata, "{}", line.join(",")).context(|| "write metadata.csv")?;
            if let Some(objects) = objects {
                self.written.annotated += 1;
                self.written.objects += objects.len() as u64;
                self.annotate(&name, widths.value(row), heights.value(row), &objects)?;
            }
        }
        Ok(())
    }

    fn annotate(&mut self, name: &str, width: i32, height: i32, objects: &[Annotated]) -> Result<()> {
        if self.form == Form::Coco {
            self.coco.add(name, width.into(), height.into(), objects);
            return Ok(());
        }
        let line = |object: &Annotated| {
            yolo_line(self.classes.number(&object.class), &object.rectangle, width, height)
        };
        let text: String = objects.iter().map(line).collect();
        let path = self.path.join("labels").join(name).with_extension("txt");
        fs::write(&path, text).context(|| format!("write {}", path.display()))
    }

    fn finish(mut self) -> Result<Written> {
        let doing = || format!("write the export {}", self.path.display());
        self.metadata.flush().context(doing)?;
        let columns: String = METADATA
            .iter()
            .filter(|name| **name != "name")
            .map(|name| format!("{name} = \"{name}\"\n"))
            .collect();
        let mapping = format!(
            "# Made by `tidewaiter xray export`: what is known of the images beside their pixels.\n\
             table = \"{IMAGES}\"\ncountry = \"{}\"\nmetadata = \"metadata.csv\"\n\n[columns]\n{columns}",
            self.country
        );
        fs::write(self.path.join("mapping.toml"), mapping).context(doing)?;
        match self.form {
            Form::Yolo => {
                let names: String = self.classes.names().iter().map(|name| format!("{name}\n")).collect();
                fs::write(self.path.join("labels").join("classes.txt"), names).context(doing)?;
            }
            Form::Coco => {
                let mut file =
                    BufWriter::new(File::create(self.path.join("annotations.json")).context(doing)?);
                serde_json::to_writer(&mut file, &self.coco.document())?;
                file.flush().context(doing)?;
            }
        }
        Ok(self.written)
    }
}

/// A line of YOLO's text: class, centre and extents as shares.
fn yolo_line(class: usize, rectangle: &Rectangle, width: i32, height: i32) -> String {
    let Rectangle { left, top, width: across, height: down } = *rectangle;
    let share = |value: f32, whole: i32| f64::from(value) / f64::from(whole.max(1));
    format!(
        "{class} {} {} {} {}\n",
        share(left, width) + share(across, width) / 2.0,
        share(top, height) + share(down, height) / 2.0,
        share(across, width),
        share(down, height)
    )
}

/// A CSV cell.
pub(crate) fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode::Format;

    #[test]
    fn a_line_of_yolo_is_of_shares() {
        let rectangle = Rectangle { left: 10.0, top: 10.0, width: 20.0, height: 5.0 };
        assert_eq!(yolo_line(3, &rectangle, 100, 50), "3 0.2 0.25 0.2 0.1\n");
    }

    #[test]
    fn files_have_the_endings_of_their_formats() {
        for format in [Format::Png, Format::Jpeg, Format::Tiff, Format::Dicom] {
            let name = format!("x.{}", ending(format.name()));
            assert!(format.is_ending(&name), "{name} for {format:?}");
        }
    }

    #[test]
    fn cells_with_separators_are_quoted() {
        assert_eq!((quoted("a b").as_str(), quoted("a,\"b\"").as_str()), ("a b", "\"a,\"\"b\"\"\""));
    }
}
