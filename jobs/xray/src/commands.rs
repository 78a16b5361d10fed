//! The commands `tidewaiter xray export` and `tidewaiter xray show`: images out of the archive.
//!
//! Start at [`run`].

use std::path::PathBuf;

use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand};
use datafusion::prelude::{col, lit};
use futures::{FutureExt, future::BoxFuture};
use serde_json::json;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Error, ErrorKind, Period, Result, ResultExt, query::Run as _};
use tidewaiter_job::catalogue::{Answer, Surroundings};
use tidewaiter_registry::scope::Scope;

use crate::{
    export::{Export, Form, Written, images, session},
    image::{decode, encode::png, raster::Raster},
    show::{ANNOTATED, FOUND, Seen, overlay, with_model},
    table::{Annotated, BYTES, TAKEN_AT, files, objects},
};

/// Commands of X-ray images other than jobs.
#[derive(Debug, Subcommand)]
enum Xray {
    /// Write images as the files that they came as, with their annotations.
    Export {
        /// The folder for them, which is empty or not there.
        out: PathBuf,
        /// The form of the annotations.
        #[arg(long, value_enum)]
        format: Form,
        /// The country of the images; default: the only one that there is.
        #[arg(long)]
        country: Option<String>,
        /// Their months, such as 2024-01..2024-06; default: all.
        #[arg(long)]
        months: Option<String>,
    },
    /// Write an image as a PNG with its annotated objects (green), what a model finds (red), and where it sees something
    /// (heat map).
    Show {
        /// The image's id, or its beginning.
        image_id: String,
        /// The file; default: the id with .png.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Countries of the model, as KR,TW for a regional one; default: the image's country.
        #[arg(long)]
        scope: Option<Scope>,
        /// Version of the model; default: the champion, where there is one.
        #[arg(long)]
        version: Option<u64>,
        /// Leave the model out.
        #[arg(long, conflicts_with_all = ["scope", "version"])]
        annotations_only: bool,
    },
}

/// Adds the command's help and sub-commands.
pub(crate) fn arguments(command: Command) -> Command {
    let command =
        Xray::augment_subcommands(command).about("Look at X-ray images and take them out of the archive");
    command.subcommand_required(true).arg_required_else_help(true)
}

/// Runs the command. It reads the archive itself, whether or not there is a scheduler.
pub(crate) fn run(surroundings: Surroundings, matches: ArgMatches) -> BoxFuture<'static, Result<Answer>> {
    async move {
        let command = Xray::from_arg_matches(&matches).map_err(|error| Error::input(error.to_string()))?;
        match command {
            Xray::Export { out, format, country, months } => {
                let months = months.map(|months| months.parse::<Period>()).transpose()?;
                export(&surroundings.archive, Export { out, form: format, country, months }).await
            }
            Xray::Show { image_id, out, scope, version, annotations_only } => {
                let found = find(&surroundings.archive, &image_id).await?;
                let seen = match annotations_only {
                    true => None,
                    false => seen(&surroundings.archive, &found, scope, version).await?,
                };
                show(found, seen.as_ref(), out)
            }
        }
    }
    .boxed()
}

async fn export(archive: &Archive, export: Export) -> Result<Answer> {
    let Written { images, annotated, objects } = export.run(archive).await?;
    let out = export.out.display().to_string();
    Ok(Answer {
        lines: vec![format!(
            "{images} images, {annotated} of them annotated with {objects} objects, are in {out}"
        )],
        document: json!({ "images": images, "annotated": annotated, "objects": objects, "out": out }),
        remarks: Vec::new(),
    })
}

/// What a model sees on an image; `None` where none was named and the country has no champion.
async fn seen(
    archive: &Archive,
    found: &Found,
    scope: Option<Scope>,
    version: Option<u64>,
) -> Result<Option<Seen>> {
    let is_named = scope.is_some() || version.is_some();
    let scope = scope.map_or_else(|| found.country.parse::<Scope>(), Ok)?;
    match with_model(archive, &scope, version, found.raster.clone()).await {
        Err(error) if error.kind() == ErrorKind::NotFound && !is_named => Ok(None),
        seen => seen.map(Some),
    }
}

fn show(found: Found, seen: Option<&Seen>, out: Option<PathBuf>) -> Result<Answer> {
    let Found { id, raster, objects, .. } = found;
    let annotated = objects.iter().flatten().map(|object| (object.rectangle, ANNOTATED));
    let of_model = seen.iter().flat_map(|seen| &seen.objects).map(|object| (object.rectangle, FOUND));
    let boxes: Vec<_> = annotated.chain(of_model).collect();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{id}.png")));
    let bytes = png(&overlay(&raster, seen.map(|seen| seen.heat.as_slice()), &boxes))?;
    std::fs::write(&out, bytes).context(|| format!("write {}", out.display()))?;
    let mut lines = match &objects {
        None => vec!["it is not annotated".to_owned()],
        Some(objects) if objects.is_empty() => vec!["it is annotated as clean".to_owned()],
        Some(objects) => objects.iter().map(line).collect(),
    };
    let mut document = json!({ "image_id": id, "objects": objects, "out": out.display().to_string() });
    if let Some(Seen { model, objects, illicit, .. }) = seen {
        lines.push(format!("{model} finds something illicit with a probability of {illicit:.3}"));
        lines.extend(objects.iter().map(|object| {
            let annotated =
                Annotated { class: object.class.clone(), rectangle: object.rectangle, is_crowd: false };
            format!("found {}, score {:.2}", line(&annotated), object.score)
        }));
        document["model"] = json!(model);
        document["illicit"] = json!(illicit);
        document["found"] = serde_json::to_value(objects)?;
    }
    lines.push(out.display().to_string());
    Ok(Answer { document, lines, remarks: Vec::new() })
}

fn line(object: &Annotated) -> String {
    let rectangle = object.rectangle;
    format!(
        "{} at {:.0}, {:.0}, {:.0} × {:.0} pixels",
        object.class, rectangle.left, rectangle.top, rectangle.width, rectangle.height
    )
}

/// An image of the archive.
struct Found {
    id: String,
    country: String,
    raster: Raster,
    objects: Option<Vec<Annotated>>,
}

/// The image whose id begins so. It is looked for without the files, of which one is read then.
async fn find(archive: &Archive, wanted: &str) -> Result<Found> {
    let session = session()?;
    let digits = wanted.to_ascii_lowercase();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::input(format!("{wanted:?} is not an image's id; give hexadecimal digits")));
    }
    let begins = col("image_id").like(lit(format!("{digits}%")));
    let rows = images(&session, archive).await?.filter(begins)?;
    let known =
        rows.select_columns(&["image_id", "country", "year", "month", TAKEN_AT])?.limit(0, Some(2))?;
    let known = known.batches().await?;
    let rows: usize = known.iter().map(arrow::array::RecordBatch::num_rows).sum();
    let first = known.iter().find(|batch| batch.num_rows() > 0);
    let first = match (rows, first) {
        (1, Some(first)) => first,
        (0, _) | (_, None) => return Err(Error::not_found(format!("no image has the id {wanted}"))),
        _ => {
            return Err(Error::input(format!(
                "several images have ids that begin with {wanted}; give more digits"
            )));
        }
    };
    let mut row = images(&session, archive).await?;
    for (place, field) in first.schema().fields().iter().enumerate() {
        let value = datafusion::common::ScalarValue::try_from_array(first.column(place), 0)?;
        row = row.filter(col(field.name()).eq(lit(value)))?;
    }
    let id = crate::table::texts(first, "image_id")?(0).unwrap_or_default();
    let country = crate::table::texts(first, "country")?(0).unwrap_or_default();
    let batches = row.select_columns(&["objects", BYTES])?.batches().await?;
    let batch = batches.iter().find(|batch| batch.num_rows() > 0);
    let batch = batch.ok_or_else(|| Error::not_found(format!("no image has the id {wanted}")))?;
    let file = files(batch)?.first().copied().unwrap_or_default();
    let raster = decode::image(file).map_err(|error| Error::corrupt(format!("the image {id}: {error}")))?;
    Ok(Found { raster, objects: objects(batch)?.swap_remove(0), id, country })
}
