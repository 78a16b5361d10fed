//! Which of the inspected images are archived: those that are not refused, and of the same bytes the first that is
//! annotated, or else the first.
//!
//! Images that merely look alike, to each other or to one of the archive, are counted: their perceptual hashes differ in at
//! most [`NEAR_BITS`] bits. Start at [`choose`].

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Archive, Table, provider::snapshot_provider, table::Revision};
use tidewaiter_core::{Error, Result, query::Run as _};

use super::{
    digest,
    inspect::Notes,
    lineage::Lineage,
    quarantine::{Aside, Origin, Owner, Quarantine},
    source::Refusal,
};
use crate::table::{IMAGES, texts};

/// Bits in which the hashes of images that look alike differ, at most.
pub(super) const NEAR_BITS: u32 = 3;

/// The columns of inspected images that the choice reads.
const COLUMNS: [&str; 8] =
    ["number", "name", "rule", "value", "sha256", "perceptual_hash", "objects", "notes"];

/// Hashes with which one hash is compared in each of its parts, at most: blank images are all alike.
const COMPARED: usize = 16;

/// What becomes of the inspected images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Choice {
    /// The numbers of those that are left out, ascending.
    pub(super) left_out: Vec<u64>,
    /// Images that are archived.
    pub(super) archived: u64,
    /// Images that are in the archive already.
    pub(super) known: u64,
    /// The digest of all images that are not refused, and what the table had of it before the archive was looked at.
    pub(super) digest: String,
    pub(super) revision: Option<Revision>,
    /// What became of the images of each source, by its place among those that were named.
    pub(super) sources: BTreeMap<usize, OfSource>,
    /// What is put aside.
    pub(super) aside: Aside,
    /// Corrections, by what they are.
    pub(super) repairs: BTreeMap<String, u64>,
    /// Images with annotated objects, images annotated as clean, and images without annotation.
    pub(super) with_objects: u64,
    pub(super) clean: u64,
    pub(super) without_annotation: u64,
    /// Annotated objects.
    pub(super) objects: u64,
    /// Images that look like an earlier one, and the first such pair.
    pub(super) near: u64,
    pub(super) near_pair: Option<(String, String)>,
}

/// What became of the images of a source that are not refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OfSource {
    /// Their digest.
    pub(super) digest: String,
    /// Those that are archived.
    pub(super) archived: u64,
    /// Those that are in the archive already.
    pub(super) known: u64,
}

/// One image that is not refused.
struct Candidate {
    number: u64,
    name: String,
    sha256: String,
    hash: u64,
    objects: Option<i32>,
    notes: Notes,
}

/// Chooses among the rows of a query of inspected images.
///
/// # Errors
/// Those of the queries and of the store.
pub(super) async fn choose(
    session: &SessionContext,
    origin: &Origin,
    lineage: &Lineage,
    inspected: Option<DataFrame>,
) -> Result<Choice> {
    let mut quarantine = Quarantine::default();
    let mut left_out = Vec::new();
    let mut candidates = Vec::new();
    let mut batches = match inspected {
        Some(rows) => rows.select_columns(&COLUMNS)?.batches().await?,
        None => Vec::new(),
    };
    batches.drain(..).try_for_each(|batch| read(&batch, &mut candidates, &mut quarantine))?;
    candidates.sort_by_key(|candidate| candidate.number);
    let mut choice = Choice {
        digest: format!("images-{}", digest::of_files(candidates.iter().map(|image| image.sha256.as_str()))),
        sources: by_source(&candidates, lineage),
        ..Choice::default()
    };
    // Before the archive is read: whoever adds the same images after that changes it.
    let table = Table::open(&origin.archive, IMAGES).await?;
    choice.revision = table.revisions(&[choice.digest.as_str()]).await?.first().copied();
    let known = known(session, &origin.archive, &candidates).await?;
    let kept_of = kept_of(&candidates);
    let mut kept: Vec<&Candidate> = Vec::new();
    for candidate in &candidates {
        let sha256 = candidate.sha256.as_str();
        if known.contains(sha256) {
            choice.known += 1;
            choice.source(lineage, candidate).known += 1;
            left_out.push(candidate.number);
        } else if let Some(other) = kept_of.get(sha256).filter(|kept| kept.number != candidate.number) {
            let owner = Owner::Image(candidate.number);
            let refused = |rule: &str| Refusal::new(&candidate.name, rule, &other.name);
            if candidate.objects.is_some() {
                let rule = "annotation: another file with the same bytes has its own";
                quarantine.description(owner, refused(rule));
            }
            quarantine.image(owner, refused("another file has the same bytes"));
            left_out.push(candidate.number);
        } else {
            kept.push(candidate);
        }
    }
    for candidate in &kept {
        choice.source(lineage, candidate).archived += 1;
        choice.count(candidate, &mut quarantine);
    }
    let (near, near_pair) = near(session, &origin.archive, &kept).await?;
    let aside = quarantine.write(origin, lineage, "images").await?;
    Ok(Choice { left_out, aside, near, near_pair, ..choice })
}

/// The image that is kept of those with the same bytes, by their checksum: the first that is annotated, or else the first.
fn kept_of(candidates: &[Candidate]) -> HashMap<&str, &Candidate> {
    let mut kept: HashMap<&str, &Candidate> = HashMap::new();
    for candidate in candidates {
        let own = kept.entry(candidate.sha256.as_str()).or_insert(candidate);
        if own.objects.is_none() && candidate.objects.is_some() {
            *own = candidate;
        }
    }
    kept
}

/// The digest of each source's images.
fn by_source(candidates: &[Candidate], lineage: &Lineage) -> BTreeMap<usize, OfSource> {
    let mut sums: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for candidate in candidates {
        sums.entry(lineage.place(candidate.number)).or_default().push(&candidate.sha256);
    }
    let of_source = |(place, sums): (usize, Vec<&str>)| {
        (place, OfSource { digest: digest::of_files(sums), ..OfSource::default() })
    };
    sums.into_iter().map(of_source).collect()
}

impl Choice {
    /// What became of the images of an image's source.
    fn source(&mut self, lineage: &Lineage, image: &Candidate) -> &mut OfSource {
        self.sources.entry(lineage.place(image.number)).or_default()
    }

    /// Counts an image that is kept.
    fn count(&mut self, image: &Candidate, quarantine: &mut Quarantine) {
        self.archived += 1;
        match image.objects {
            None => self.without_annotation += 1,
            Some(0) => self.clean += 1,
            Some(objects) => {
                self.with_objects += 1;
                self.objects += u64::try_from(objects).unwrap_or(0);
            }
        }
        let Notes { refused, cut, is_misnamed } = &image.notes;
        for (rule, value) in refused {
            quarantine.description(Owner::Image(image.number), Refusal::new(&image.name, rule, value));
        }
        let repairs = [
            ("an annotation reached beyond its image and is cut at the edge", *cut),
            ("a name ends as those of another format do", u64::from(*is_misnamed)),
        ];
        for (what, count) in repairs.into_iter().filter(|(_, count)| *count > 0) {
            *self.repairs.entry(what.to_owned()).or_default() += count;
        }
    }
}

fn read(batch: &RecordBatch, candidates: &mut Vec<Candidate>, quarantine: &mut Quarantine) -> Result<()> {
    let wrong = || Error::internal("inspected images lack a column");
    let numbers = batch.column_by_name("number").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let numbers = numbers.ok_or_else(wrong)?;
    let objects = batch.column_by_name("objects").and_then(|column| column.as_primitive_opt::<Int32Type>());
    let objects = objects.ok_or_else(wrong)?;
    let [names, rules, values, sums, hashes, notes] =
        ["name", "rule", "value", "sha256", "perceptual_hash", "notes"].map(|name| texts(batch, name));
    let (names, rules, values, sums, hashes, notes) = (names?, rules?, values?, sums?, hashes?, notes?);
    for row in 0..batch.num_rows() {
        let number = u64::try_from(numbers.value(row)).unwrap_or_default();
        let name = names(row).unwrap_or_default();
        if let Some(rule) = rules(row) {
            quarantine
                .image(Owner::Image(number), Refusal::new(name, &rule, values(row).unwrap_or_default()));
            continue;
        }
        let hash = hashes(row).and_then(|hash| u64::from_str_radix(&hash, 16).ok()).ok_or_else(wrong)?;
        candidates.push(Candidate {
            number,
            name,
            sha256: sums(row).ok_or_else(wrong)?,
            hash,
            objects: objects.is_valid(row).then(|| objects.value(row)),
            notes: serde_json::from_str(&notes(row).ok_or_else(wrong)?)?,
        });
    }
    Ok(())
}

/// The candidates whose bytes the archive has.
async fn known(
    session: &SessionContext,
    archive: &Archive,
    candidates: &[Candidate],
) -> Result<HashSet<String>> {
    let images = session.read_table(snapshot_provider(archive, IMAGES, None).await?)?;
    let mut batches = images.select_columns(&["sha256"])?.batch_stream().await?;
    let wanted: HashSet<&str> = candidates.iter().map(|image| image.sha256.as_str()).collect();
    let mut known = HashSet::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let sums = texts(&batch, "sha256")?;
        let found = (0..batch.num_rows()).filter_map(sums).filter(|sum| wanted.contains(sum.as_str()));
        known.extend(found);
    }
    Ok(known)
}

/// Which of the kept images look like an earlier one. Hashes that differ in at most [`NEAR_BITS`] bits have one of four
/// parts in common.
struct Alike<'a> {
    images: &'a [&'a Candidate],
    /// The places of images by a part of their hashes.
    by_part: HashMap<(u32, u64), Vec<usize>>,
    /// For each image the name of an earlier one like it.
    earlier: Vec<Option<String>>,
}

/// The four parts of a hash, each with its place.
fn parts(hash: u64) -> impl Iterator<Item = (u32, u64)> {
    const PARTS: u32 = NEAR_BITS + 1;
    const BITS: u32 = u64::BITS / PARTS;
    (0..PARTS).map(move |part| (part, hash >> (part * BITS) & ((1 << BITS) - 1)))
}

impl<'a> Alike<'a> {
    /// Compares the images with each other.
    fn new(images: &'a [&'a Candidate]) -> Self {
        let mut alike = Self { images, by_part: HashMap::new(), earlier: vec![None; images.len()] };
        for (place, image) in images.iter().enumerate() {
            let earlier = alike.near(image.hash).next();
            alike.earlier[place] = earlier.map(|other| images[other].name.clone());
            for part in parts(image.hash) {
                let places = alike.by_part.entry(part).or_default();
                if places.len() < COMPARED {
                    places.push(place);
                }
            }
        }
        alike
    }

    /// The places of images that look like a hash.
    fn near(&self, hash: u64) -> impl Iterator<Item = usize> {
        let places = parts(hash).filter_map(|part| self.by_part.get(&part)).flatten().copied();
        places.filter(move |place| (self.images[*place].hash ^ hash).count_ones() <= NEAR_BITS)
    }

    /// Compares the images with one of the archive.
    fn compare(&mut self, hash: u64, name: &str) {
        let places: Vec<usize> = self.near(hash).filter(|place| self.earlier[*place].is_none()).collect();
        for place in places {
            self.earlier[place] = Some(name.to_owned());
        }
    }

    /// How many images look like an earlier one, and the first such pair.
    fn found(self) -> (u64, Option<(String, String)>) {
        let pairs = || {
            self.earlier
                .iter()
                .zip(self.images)
                .filter_map(|(earlier, image)| Some((earlier.as_ref()?, image)))
        };
        let first = pairs().next().map(|(earlier, image)| (earlier.clone(), image.name.clone()));
        (pairs().count() as u64, first)
    }
}

/// Compares the kept images with each other and with all of the archive.
async fn near(
    session: &SessionContext,
    archive: &Archive,
    images: &[&Candidate],
) -> Result<(u64, Option<(String, String)>)> {
    let mut alike = Alike::new(images);
    if images.is_empty() {
        return Ok(alike.found());
    }
    let archived = session.read_table(snapshot_provider(archive, IMAGES, None).await?)?;
    let mut batches = archived.select_columns(&["perceptual_hash", "name"])?.batch_stream().await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let (hashes, names) = (texts(&batch, "perceptual_hash")?, texts(&batch, "name")?);
        for row in 0..batch.num_rows() {
            let hash = hashes(row).and_then(|hash| u64::from_str_radix(&hash, 16).ok());
            if let Some(hash) = hash {
                alike.compare(hash, &names(row).unwrap_or_default());
            }
        }
    }
    Ok(alike.found())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, hash: u64) -> Candidate {
        Candidate {
            number: 0,
            name: name.to_owned(),
            sha256: name.to_owned(),
            hash,
            objects: None,
            notes: Notes::default(),
        }
    }

    #[test]
    fn images_that_look_alike_are_found_by_any_part_of_their_hash() {
        let hash = 0x0123_4567_89ab_cdef;
        let images = [
            image("a", hash),
            image("b", hash ^ 0x1_0001_0001),
            image("c", hash ^ 0xf),
            image("d", !hash),
            image("e", !hash ^ 0x8000_0000_0000_0000),
        ];
        let images: Vec<&Candidate> = images.iter().collect();
        let mut alike = Alike::new(&images);
        alike.compare(hash ^ 0x3, "archived");
        assert_eq!(alike.earlier[0].as_deref(), Some("archived"));
        alike.compare(hash ^ 0x5, "later");
        assert_eq!(alike.earlier[0].as_deref(), Some("archived"));
        let (count, pair) = alike.found();
        assert_eq!((count, pair), (4, Some(("archived".to_owned(), "a".to_owned()))));
        let (count, pair) = Alike::new(&images).found();
        assert_eq!((count, pair), (2, Some(("a".to_owned(), "b".to_owned()))));
    }
}
