//! Images for the pages: which are shown, and how.
//!
//! An image is shrunk or enlarged to a size at which a person can judge it, in its own colours or, of two energies, as
//! their mean in grey. Start at [`chosen`] and [`alarming`].

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::DataType,
};
use datafusion::prelude::{col, lit};
use tidewaiter_core::{Error, Period, Result, answers::column, query::Run as _, threads::on_cpu};
use tidewaiter_report::picture::{Mark, MarkKind, Picture};

use crate::{
    boxes::Rectangle,
    features::images::Images,
    image::{decode, encode::png, raster::Raster},
    metrics::figures::Evaluated,
    model::detector::Threshold,
    predict::rows::ScoredImage,
};

/// Pixels of the longer side of a picture.
const SIDE: usize = 480;

/// Pictures of a kind.
const EACH: usize = 6;

/// Pictures of alarms.
const ALARMS: usize = 12;

/// Boxes of found objects on a picture, the surest ones: more would hide it.
const BOXES: usize = 5;

/// The least overlap of what is found with the truth.
const RIGHT: f32 = 0.5;

/// The pictures of a detector's card.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// The most suspect illicit images.
    pub hits: Vec<Picture>,
    /// The least suspect illicit images.
    pub misses: Vec<Picture>,
    /// The most suspect clean images.
    pub false_alarms: Vec<Picture>,
}

/// An image in 8 bits and one or three channels, whose longer side has [`SIDE`] pixels, and the factor to it.
fn shown(image: &Raster) -> (Raster, f32) {
    let (values, placement) = image.square(SIDE);
    let extent = |pixels: usize| ((pixels as f32 * placement.factor).round() as usize).clamp(1, SIDE);
    let (width, height) = (extent(image.width), extent(image.height));
    let level = |value: f32| (value * 255.0).round() as u16;
    let row = |y: usize| values[y * SIDE * 3..(y * SIDE + width) * 3].chunks_exact(3);
    let (channels, values): (usize, Vec<u16>) = match image.channels {
        3 => (3, (0..height).flat_map(row).flatten().map(|value| level(*value)).collect()),
        2 => (1, (0..height).flat_map(row).map(|pixel| level(pixel[2])).collect()),
        _ => (1, (0..height).flat_map(row).map(|pixel| level(pixel[0])).collect()),
    };
    (Raster { width, height, channels, bits: 8, values }, placement.factor)
}

/// The picture of an image with marks in its pixels.
fn picture(image: &Raster, marks: Vec<Mark>, caption: String) -> Result<Picture> {
    let (raster, factor) = shown(image);
    let marks = marks.into_iter().map(|mark| {
        let rectangle = mark.rectangle.map(|value| value * factor);
        Mark { rectangle, ..mark }
    });
    Ok(Picture {
        png: png(&raster)?,
        width: raster.width,
        height: raster.height,
        marks: marks.collect(),
        caption,
    })
}

fn sides(rectangle: &Rectangle) -> [f32; 4] {
    [rectangle.left, rectangle.top, rectangle.width, rectangle.height]
}

/// The annotated objects of an image, and the found ones of at least a score.
fn marks(image: &ScoredImage, least: f32) -> Vec<Mark> {
    let truth = || image.truth.iter().flatten();
    let annotated = truth().map(|object| Mark {
        rectangle: sides(&object.rectangle),
        label: String::new(),
        kind: MarkKind::Truth,
    });
    let found = image.found.iter().filter(|found| found.score >= least).take(BOXES).map(|found| {
        let is_right = truth()
            .any(|object| object.class == found.class && object.rectangle.overlap(&found.rectangle) >= RIGHT);
        Mark {
            rectangle: sides(&found.rectangle),
            label: format!("{} {:.2}", found.class, found.score),
            kind: if is_right { MarkKind::Right } else { MarkKind::Wrong },
        }
    });
    annotated.chain(found).collect()
}

/// What stands under a picture: the annotated classes, the probability, the scanner, and the image's identifier.
fn caption(image: &ScoredImage) -> String {
    let mut parts = Vec::new();
    let classes: Vec<&str> = image.truth.iter().flatten().map(|object| object.class.as_str()).collect();
    if !classes.is_empty() {
        parts.push(classes.join(", "));
    }
    parts.push(format!("p = {:.3}", image.illicit));
    parts.extend([&image.scanner, &image.site].into_iter().filter(|text| !text.is_empty()).cloned());
    parts.push(image.image.clone());
    parts.join(" · ")
}

/// Chooses and draws the pictures of a detector's card.
///
/// # Errors
/// Those of the query.
pub async fn chosen(
    images: &Images<'_>,
    test: Period,
    evaluated: &Evaluated,
    object_threshold: f32,
) -> Result<Chosen> {
    let of_kind = |kind: bool| {
        let mut all: Vec<&ScoredImage> =
            evaluated.images.iter().filter(|image| image.is_illicit() == Some(kind)).collect();
        all.sort_by(|a, b| b.illicit.total_cmp(&a.illicit).then_with(|| a.image.cmp(&b.image)));
        all
    };
    let (illicit, clean) = (of_kind(true), of_kind(false));
    // Illicit images in halves, so that none is shown as hit and as miss.
    let shown = EACH.min(illicit.len().div_ceil(2));
    let hits = illicit[..shown].to_vec();
    let misses: Vec<&ScoredImage> = illicit[shown..].iter().rev().take(EACH).copied().collect();
    let false_alarms: Vec<&ScoredImage> = clean.into_iter().take(EACH).collect();
    let all: Vec<&ScoredImage> = [&hits[..], &misses[..], &false_alarms[..]].concat();
    let files = files(images, test, &all).await?;
    let draw = |of: Vec<&ScoredImage>| {
        let jobs: Vec<(ScoredImage, Vec<u8>)> = of
            .into_iter()
            .filter_map(|image| Some((image.clone(), files.get(&image.image)?.clone())))
            .collect();
        drawn(jobs, object_threshold)
    };
    Ok(Chosen {
        hits: draw(hits).await?,
        misses: draw(misses).await?,
        false_alarms: draw(false_alarms).await?,
    })
}

/// Draws the most suspect images that alarm.
///
/// # Errors
/// Those of the query.
pub async fn alarming(
    images: &Images<'_>,
    months: Period,
    found: &[ScoredImage],
    (threshold, object_threshold): (Option<Threshold>, f32),
) -> Result<Vec<Picture>> {
    let alarms = |image: &&ScoredImage| threshold.is_none_or(|threshold| threshold.is_reached(image.illicit));
    let mut all: Vec<&ScoredImage> =
        found.iter().filter(|image| image.unreadable.is_empty()).filter(alarms).collect();
    all.sort_by(|a, b| b.illicit.total_cmp(&a.illicit).then_with(|| a.image.cmp(&b.image)));
    all.truncate(ALARMS);
    let mut files = files(images, months, &all).await?;
    let jobs = all.into_iter().filter_map(|image| Some((image.clone(), files.remove(&image.image)?)));
    drawn(jobs.collect(), object_threshold).await
}

async fn drawn(jobs: Vec<(ScoredImage, Vec<u8>)>, least: f32) -> Result<Vec<Picture>> {
    on_cpu(move || {
        let mut pictures = Vec::with_capacity(jobs.len());
        for (image, file) in jobs {
            // It was decoded before, or it would have no score.
            if let Ok(raster) = decode::image(&file) {
                pictures.push(picture(&raster, marks(&image, least), caption(&image))?);
            }
        }
        Ok(pictures)
    })
    .await
}

/// The files of some images.
async fn files(
    images: &Images<'_>,
    period: Period,
    some: &[&ScoredImage],
) -> Result<BTreeMap<String, Vec<u8>>> {
    if some.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids = some.iter().map(|image| lit(&image.image)).collect();
    let rows = images.within(period).await?.filter(col("image_id").in_list(ids, false))?;
    let mut files = BTreeMap::new();
    for batch in rows.select_columns(&["image_id", "bytes"])?.batches().await? {
        let ids = cast(column(&batch, "image_id")?, &DataType::Utf8)?;
        let bytes = cast(column(&batch, "bytes")?, &DataType::Binary)?;
        let (ids, bytes) = (ids.as_string::<i32>(), bytes.as_binary::<i32>());
        for row in 0..batch.num_rows() {
            if ids.is_valid(row) && bytes.is_valid(row) {
                files.insert(ids.value(row).to_owned(), bytes.value(row).to_vec());
            }
        }
    }
    Ok::<_, Error>(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{predict::objects::FoundObject, table::Annotated};

    #[test]
    fn a_picture_is_enlarged_with_its_marks() {
        let image =
            Raster { width: 240, height: 120, channels: 2, bits: 16, values: vec![30_000; 240 * 120 * 2] };
        let rectangle = Rectangle { left: 10.0, top: 20.0, width: 30.0, height: 40.0 };
        let annotated = Annotated { class: "knife".to_owned(), rectangle, is_crowd: false };
        let found = |left: f32, score: f32| FoundObject {
            class: "knife".to_owned(),
            score,
            rectangle: Rectangle { left, ..rectangle },
        };
        let scored = ScoredImage {
            image: "abc".to_owned(),
            truth: Some(vec![annotated]),
            found: vec![found(12.0, 0.8), found(100.0, 0.6), found(150.0, 0.1)],
            illicit: 0.9,
            ..ScoredImage::default()
        };
        let picture = picture(&image, marks(&scored, 0.5), caption(&scored)).expect("a picture");
        assert_eq!((picture.width, picture.height), (480, 240));
        let kinds: Vec<MarkKind> = picture.marks.iter().map(|mark| mark.kind).collect();
        assert_eq!(kinds, [MarkKind::Truth, MarkKind::Right, MarkKind::Wrong]);
        assert_eq!(picture.marks[0].rectangle, [20.0, 40.0, 60.0, 80.0]);
        assert_eq!(picture.caption, "knife · p = 0.900 · abc");
        let drawn = decode::image(&picture.png).expect("a PNG");
        assert_eq!((drawn.width, drawn.height, drawn.channels), (480, 240, 1));
    }
}
