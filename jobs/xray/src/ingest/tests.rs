//! The ingest as a job in this process: what becomes of good and bad files, and that they come back.

use std::{fs, io::Write, sync::Arc};

use arrow::array::AsArray;
use datafusion::physical_plan::{ExecutionPlan, collect};
use tempfile::TempDir;
use tidewaiter_archive::Archive;
use tidewaiter_core::{plan::Meter, query::Run as _};
use tidewaiter_job::{
    Job, JobParameters, Listener, NoLog, Outcome, Roots, Setting,
    engine::{Engine, Local},
};

use super::{
    Parameters,
    digest::{self, sha256},
    source::{Listing, list},
};
use crate::{
    DOMAIN,
    boxes::Rectangle,
    export::{Export, Form, images, session},
    image::{encode::png, raster::Raster},
    table::{Annotated, IMAGES, files, objects, schema, texts},
};

struct Silent;

impl Listener for Silent {
    fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
}

/// An archive in memory, and a folder for files.
struct Place {
    archive: Archive,
    folder: TempDir,
}

impl Place {
    fn new(name: &str) -> Self {
        let archive = Archive::open(&format!("memory://{name}/archive")).expect("opens");
        Self { archive, folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, bytes).expect("written");
        path.display().to_string()
    }

    async fn ingest(&self, id: &str, parameters: &Parameters) -> Outcome {
        self.run(id, parameters).await
    }

    async fn forget(&self, id: &str, sources: &[&str]) -> Outcome {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        self.run(id, &tidewaiter_ingest::forget::Parameters { sources }).await
    }

    async fn run<P: JobParameters>(&self, id: &str, parameters: &P) -> Outcome {
        static DOMAINS: &[&tidewaiter_job::Domain] = &[&DOMAIN];
        let engine = Local::new(2, 64 << 20).expect("an engine");
        let mut job = Job::new(
            P::KIND,
            Setting {
                archive: &self.archive,
                engine: &engine,
                extensions: tidewaiter_job::Catalogue::new(DOMAINS).extensions(),
                listener: Arc::new(Silent),
                log: &NoLog,
                id,
                submitted_ms: 1_700_000_000_000,
                roots: Roots::Anywhere,
            },
        );
        let result = parameters.run(&mut job).await;
        job.finish(&result)
    }

    /// The first columns of a query's rows, as texts, sorted.
    async fn query(&self, text: &str) -> Vec<String> {
        let session = session().expect("a session");
        let rows = tidewaiter_archive::sql::query(&session, &self.archive, text).await.expect("plans");
        let mut found = Vec::new();
        for batch in rows.batches().await.expect("answers") {
            let column =
                arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).expect("text");
            found.extend(column.as_string::<i32>().iter().map(|text| text.unwrap_or("null").to_owned()));
        }
        found.sort();
        found
    }

    /// Names, files and objects of all images, by the bytes of the files.
    async fn all(&self) -> Vec<(Vec<u8>, Option<Vec<Annotated>>)> {
        let session = session().expect("a session");
        let rows = images(&session, &self.archive).await.expect("there").batches().await.expect("reads");
        let mut all = Vec::new();
        for batch in rows {
            let of_rows = objects(&batch).expect("objects");
            all.extend(files(&batch).expect("files").into_iter().map(<[u8]>::to_vec).zip(of_rows));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

fn parameters(files: &[String]) -> Parameters {
    Parameters {
        files: files.to_vec(),
        annotations: None,
        classes: Vec::new(),
        mapping: None,
        country: Some("TW".to_owned()),
    }
}

/// The pixels of a picture that no other number has.
fn raster(number: u64) -> Raster {
    let value = |at: u64| (tidewaiter_core::chance::stream(number, at) >> 56) as u16;
    Raster { width: 20, height: 10, channels: 1, bits: 8, values: (0..200).map(value).collect() }
}

fn picture(number: u64) -> Vec<u8> {
    png(&raster(number)).expect("writes")
}

/// A TAR archive with files, a name that leads out of it, and a link.
pub(super) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let header = |name: &str, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().expect("gnu").name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(size as u64);
        header.set_mtime(1_600_000_000);
        header.set_cksum();
        header
    };
    for (name, bytes) in files {
        archive.append(&header(name, bytes.len()), *bytes).expect("added");
    }
    archive.append(&header("../out.png", 3), &b"out"[..]).expect("added");
    let mut link = header("link.png", 0);
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_link_name("/etc/passwd").expect("a name");
    link.set_cksum();
    archive.append(&link, &b""[..]).expect("added");
    archive.into_inner().expect("ended")
}

pub(super) fn listed(name: &str, bytes: &[u8]) -> (Listing, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    (list(&[path.display().to_string()]).expect("lists"), folder)
}

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../image/samples/", $name)).as_slice()
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_put_aside_with_their_reasons_and_the_others_archived() {
    let place = Place::new("xray-bad");
    let good = picture(1);
    let mut bomb = good.clone();
    bomb[16..24].copy_from_slice(&[0, 1, 0x86, 0xA0, 0, 1, 0x86, 0xA0]);
    let mut without_pixels = good.clone();
    without_pixels[16..20].fill(0);
    for (name, bytes) in [
        ("a.png", good.as_slice()),
        ("b/copy.png", &good),
        ("bomb.png", &bomb),
        ("cut.png", &good[..good.len() / 2]),
        ("empty.png", b""),
        ("named.jpg", &picture(2)),
        ("none.png", &without_pixels),
        ("palette.png", sample!("palette.png")),
        ("cmyk.jpg", sample!("cmyk.jpg")),
        ("turned.jpg", sample!("turned.jpg")),
        ("moving.png", sample!("animated.png")),
        ("moving.gif", sample!("animated.gif")),
        ("energies.tif", sample!("two_energies.tif")),
        ("views.tif", sample!("views.tif")),
        ("text.png", b"hello"),
        ("notes.txt", b"no image"),
    ] {
        place.file(&format!("in/{name}"), bytes);
    }
    let outcome = place.ingest("bad", &parameters(&[place.path("in")])).await;
    assert_eq!(outcome.error, None);
    assert_eq!((outcome.rows.read, outcome.rows.archived, outcome.rows.quarantined), (15, 5, 10));
    let archived =
        place.query("SELECT name || ' ' || pages || ' ' || channels || ' ' || bits FROM images").await;
    assert_eq!(
        archived,
        ["a.png 1 1 8", "energies.tif 2 2 16", "named.jpg 1 1 8", "palette.png 1 3 8", "views.tif 3 1 16"]
    );
    let aside = place.query("SELECT file || ': ' || rule FROM quarantine WHERE table_name = 'images'").await;
    assert_eq!(
        aside,
        [
            "b/copy.png: another file has the same bytes",
            "bomb.png: it declares more pixels than are read",
            "cmyk.jpg: its values are not grey, two energies or RGB of 8 or 16 bits",
            "cut.png: it cannot be decoded",
            "empty.png: it is empty",
            "moving.gif: it is not a PNG, JPEG, TIFF or DICOM file",
            "moving.png: it is an animation",
            "none.png: it has no pixels",
            "text.png: it is not a PNG, JPEG, TIFF or DICOM file",
            "turned.jpg: its EXIF asks for a rotation",
        ]
    );
    assert_eq!(outcome.metrics["repaired"]["a name ends as those of another format do"], 1);
    let lines = Parameters::summary(&outcome);
    assert_eq!(lines[0], "15 images in = 5 archived + 10 put aside");

    let again = place.ingest("again", &parameters(&[place.path("in")])).await;
    assert_eq!((again.rows.archived, again.metrics["ingested_before"].as_u64()), (0, Some(6)));
    for (table, rows) in [("images", "5"), ("quarantine", "10"), ("sources", "1")] {
        assert_eq!(place.query(&format!("SELECT count(*) FROM {table}")).await, [rows], "{table}");
    }
    let nothing = place.ingest("none", &parameters(&[place.path("in/text.png")])).await;
    assert!(nothing.error.is_some_and(|error| error.contains("all 1 images are put aside")));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_files_with_the_same_bytes_the_annotated_one_is_kept() {
    let place = Place::new("xray-copies");
    for (name, number) in [("a.png", 1), ("b.png", 1), ("c.png", 1), ("d.png", 2)] {
        place.file(&format!("in/{name}"), &picture(number));
    }
    let coco = r#"{"images": [{"id": 1, "file_name": "b.png"}, {"id": 2, "file_name": "c.png"}],
        "categories": [{"id": 7, "name": "gun"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}]}"#;
    let annotations = Some(place.file("coco.json", coco.as_bytes()));
    let outcome =
        place.ingest("copies", &Parameters { annotations, ..parameters(&[place.path("in")]) }).await;
    assert_eq!(outcome.error, None);
    assert_eq!((outcome.rows.read, outcome.rows.archived, outcome.rows.quarantined), (4, 2, 2));
    assert_eq!(
        place.query("SELECT name || ' ' || coalesce(cardinality(objects), -1) FROM images").await,
        ["b.png 1", "d.png -1"]
    );
    assert_eq!(
        place.query("SELECT file || ': ' || rule || ' ' || value FROM quarantine").await,
        [
            "a.png: another file has the same bytes b.png",
            "c.png: annotation: another file with the same bytes has its own b.png",
            "c.png: another file has the same bytes b.png",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_back_byte_for_byte_with_their_annotations_in_both_forms() {
    let place = Place::new("xray-round");
    for number in 0..5 {
        place.file(&format!("in/{number}.png"), &picture(number));
    }
    place.file("in/4.tif", sample!("two_energies.tif"));
    let coco = r#"{"images": [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name": "1.png", "width": 20, "height": 10},
            {"id": 3, "file_name": "2.png"}, {"id": 4, "file_name": "9.png"}, {"id": 5, "file_name": "4.tif"}],
        "categories": [{"id": 7, "name": "gun"}, {"id": 3, "name": "razor, \"blade\""}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1.25, 2, 3.5, 4], "iscrowd": 1},
            {"id": 2, "image_id": 1, "category_id": 3, "bbox": [15, 5, 50, 2]},
            {"id": 3, "image_id": 1, "category_id": 8, "bbox": [1, 2, 3, 4]},
            {"id": 4, "image_id": 3, "category_id": 7, "bbox": [1, 2, 0, 4]},
            {"id": 5, "image_id": 3, "category_id": 7, "bbox": [30, 2, 2, 4]}]}"#;
    let annotations = place.file("coco.json", coco.as_bytes());
    let metadata = "image,when,no,hs\n0.png,2024-01-05 10:00,\"D,1\",8517.12\n1.png,2024-02-05,,\n2.png,2024-02-06,,\n\
                    3.png,2024-02-06,,\n4.png,soon,,\n4.tif,2024-02-06,,\n";
    place.file("metadata.csv", metadata.as_bytes());
    let mapping = "country = \"TW\"\nsite = \"KEE\"\nmetadata = \"metadata.csv\"\n[columns]\nfile = \"image\"\n\
                   taken_at = \"when\"\ndeclaration_id = \"no\"\nhs_code = \"hs\"\n";
    let mapping = place.file("mapping.toml", mapping.as_bytes());
    let annotated = Parameters {
        annotations: Some(annotations),
        mapping: Some(mapping),
        country: None,
        ..parameters(&[place.path("in")])
    };
    let outcome = place.ingest("coco", &annotated).await;
    assert_eq!(outcome.error, None);
    assert_eq!((outcome.rows.read, outcome.rows.archived, outcome.rows.quarantined), (6, 5, 1));
    let aside = place.query("SELECT file || ': ' || rule FROM quarantine").await;
    assert_eq!(
        aside,
        [
            "2.png: annotation: it has no area",
            "2.png: annotation: it lies outside of the image",
            "4.png: its time cannot be read",
            "9.png: annotation: no image among the files is its own",
            "annotation 3: annotation: its class has no name",
        ]
    );
    let all = place.all().await;
    assert_eq!(all.len(), 5);
    let of = |number: u64| {
        let bytes = picture(number);
        all.iter().find(|(file, _)| *file == bytes).expect("archived").1.clone()
    };
    let object = |class: &str, left, top, width, height, is_crowd| Annotated {
        class: class.to_owned(),
        rectangle: Rectangle { left, top, width, height },
        is_crowd,
    };
    let first =
        [object("gun", 1.25, 2.0, 3.5, 4.0, true), object("razor, \"blade\"", 15.0, 5.0, 5.0, 2.0, false)];
    assert_eq!(of(0).as_deref(), Some(&first[..]));
    assert_eq!((of(1), of(2), of(3)), (Some(Vec::new()), None, None), "clean, all refused, not annotated");
    assert_eq!(outcome.metrics["images"]["clean"], 2);
    let months =
        place.query("SELECT year || '-' || month || ' ' || count(*) FROM images GROUP BY year, month").await;
    assert_eq!(months, ["2024-1 1", "2024-2 4"]);
    let known = place.query("SELECT declaration_id || ' ' || hs_code || ' ' || site FROM images").await;
    assert_eq!(known, ["D,1 851712 KEE", "null", "null", "null", "null"]);

    for (form, name) in [(Form::Coco, "coco"), (Form::Yolo, "yolo")] {
        let out = place.folder.path().join(name);
        let export = Export { out: out.clone(), form, country: None, months: None };
        let written = export.run(&place.archive).await.expect("exports");
        assert_eq!((written.images, written.annotated, written.objects), (5, 3, 2), "{name}");
        assert!(export.run(&place.archive).await.is_err(), "the folder is not empty");
        let other = Place::new(&format!("xray-round-{name}"));
        let path = |name: &str| out.join(name).display().to_string();
        let back = Parameters {
            annotations: Some(path(if form == Form::Coco { "annotations.json" } else { "labels" })),
            mapping: Some(path("mapping.toml")),
            country: None,
            ..parameters(&[path("images")])
        };
        let outcome = other.ingest(name, &back).await;
        assert_eq!((outcome.error, outcome.rows.archived, outcome.rows.quarantined), (None, 5, 0), "{name}");
        let back = other.all().await;
        for ((file, before), (same, after)) in all.iter().zip(&back) {
            assert_eq!(file, same, "{name}: byte for byte");
            assert_eq!(before.is_none(), after.is_none(), "{name}");
            for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
                assert_eq!(before.class, after.class);
                assert!(before.rectangle.overlap(&after.rectangle) > 0.999, "{before:?} {after:?}");
                assert!(form == Form::Yolo || before == after, "{before:?} {after:?}");
            }
        }
        let columns = "SELECT declaration_id || hs_code || site || taken_at FROM images";
        assert_eq!(other.query(columns).await, place.query(columns).await, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_and_archives_give_the_same_images() {
    let place = Place::new("xray-archives");
    let pictures: Vec<(String, Vec<u8>)> =
        (0..40).map(|number| (format!("{number:02}.png"), picture(number))).collect();
    let members: Vec<(&str, &[u8])> =
        pictures.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let tar = tar_of(&members);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    Write::write_all(&mut gzip, &tar).expect("in memory");
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in &members {
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(*name, stored).expect("begun");
        Write::write_all(&mut zip, bytes).expect("in memory");
    }
    for (name, bytes, aside) in [
        ("a.tar", tar.clone(), 2),
        ("a.tar.gz", gzip.finish().expect("ended"), 2),
        ("a.zip", zip.finish().expect("ended").into_inner(), 0),
    ] {
        let other = Place::new(&format!("xray-archives-{name}"));
        let file = place.file(name, &bytes);
        let outcome = other.ingest("job", &parameters(&[file])).await;
        assert_eq!(
            (outcome.error, outcome.rows.archived, outcome.rows.quarantined),
            (None, 40, aside),
            "{name}"
        );
        let all = other.all().await;
        assert_eq!(all.len(), 40, "{name}");
        assert!(members.iter().all(|(_, bytes)| all.iter().any(|(file, _)| file == bytes)), "{name}");
    }
}

/// Bytes that the scans of a plan have read.
fn scanned(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name("bytes_scanned"));
    own.map_or(0, |own| own.as_usize()) + plan.children().into_iter().map(scanned).sum::<usize>()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_the_files_does_not_read_them() {
    let place = Place::new("xray-columns");
    for number in 0..3 {
        let value = |at: u64| (tidewaiter_core::chance::stream(number, at) >> 56) as u16;
        let values = (0..300 * 200).map(value).collect();
        let raster = Raster { width: 300, height: 200, channels: 1, bits: 8, values };
        place.file(&format!("in/{number}.png"), &png(&raster).expect("writes"));
    }
    let outcome = place.ingest("job", &parameters(&[place.path("in")])).await;
    assert_eq!((outcome.error, outcome.rows.archived), (None, 3));
    let mut read = Vec::new();
    for text in ["SELECT image_id, objects FROM images", "SELECT image_id, bytes FROM images"] {
        let engine = Local::new(1, 64 << 20).expect("an engine");
        let session = engine.session("test", Meter::new(|_| ())).expect("opens");
        let rows = tidewaiter_archive::sql::query(&session, &place.archive, text).await.expect("plans");
        let plan = rows.physical_plan().await.expect("plans");
        collect(Arc::clone(&plan), session.task_ctx()).await.expect("answers");
        read.push(scanned(&plan));
    }
    assert!(read[0] > 0 && read[0] < 20_000 && read[1] > 150_000, "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_ingest_is_an_input_error() {
    let place = Place::new("xray-input");
    fs::create_dir(place.folder.path().join("empty")).expect("made");
    place.file("a.png", &picture(1));
    let wrong = [
        (parameters(&[place.path("empty")]), "there is no image"),
        (parameters(&[place.path("missing")]), "missing"),
        (Parameters { country: None, ..parameters(&[place.path("a.png")]) }, "--country"),
        (
            Parameters { annotations: Some(place.path("empty")), ..parameters(&[place.path("a.png")]) },
            "holds no annotations",
        ),
    ];
    for (number, (parameters, says)) in wrong.iter().enumerate() {
        let error = place.ingest(&format!("job-{number}"), parameters).await.error.expect(says);
        assert!(error.contains(says), "{error}");
    }
    let names = place.ingest("right", &parameters(&[place.path("a.png")])).await;
    assert_eq!(names.rows.archived, 1);
    let session = session().expect("opens");
    let rows = images(&session, &place.archive).await.expect("there").batches().await.expect("reads");
    assert_eq!(texts(&rows[0], "name").expect("names")(0).as_deref(), Some("a.png"));

    // One pixel differs from an image of the archive: it is another file that looks the same.
    let mut like = raster(1);
    like.values[0] ^= 1;
    place.file("b.png", &png(&like).expect("writes"));
    let like = place.ingest("like", &parameters(&[place.path("b.png")])).await;
    assert_eq!((like.rows.archived, &like.metrics["images"]["near"]), (1, &1.into()), "{:?}", like.error);
    assert_eq!(like.metrics["images"]["near_pair"], serde_json::json!(["a.png", "b.png"]));
}

/// The table of sources, a line for each: number, file's name, rows read, archived, put aside.
const SOURCES: &str = "SELECT source || ' ' || regexp_replace(file, '.*/', '') || ' ' || rows_read || ' ' || \
                       rows_archived || ' ' || rows_quarantined FROM sources WHERE table_name = 'images'";

#[tokio::test(flavor = "multi_thread")]
async fn every_source_has_a_record_by_which_its_images_are_found() {
    let place = Place::new("xray-sources");
    let tar = tar_of(&[("1.png", &picture(1)), ("2.png", b"no image")]);
    let tar_digest = sha256(&tar);
    let tar = place.file("scans.tar", &tar);
    for number in [3, 4] {
        place.file(&format!("folder/b/{number}.png"), &picture(number));
    }
    place.file("folder/a.png", b"");
    let single = place.file("5.png", &picture(5));
    let annotations = place.file(
        "coco.json",
        br#"{"images": [{"id": 1, "file_name": "b/3.png"}], "categories": [], "annotations": []}"#,
    );
    let named = [tar, place.path("folder"), single];
    let with_annotations = Parameters { annotations: Some(annotations), ..parameters(&named) };
    let outcome = place.ingest("first", &with_annotations).await;
    assert_eq!((outcome.error, outcome.rows.archived, outcome.rows.quarantined), (None, 4, 4));
    // Of the archive two members are refused by their names, and one is no image.
    let recorded = ["1 scans.tar 4 1 3", "2 folder 3 2 1", "3 5.png 1 1 0"];
    assert_eq!(place.query(SOURCES).await, recorded);
    let of_folder = digest::of_files([sha256(&picture(3)).as_str(), sha256(&picture(4)).as_str()]);
    let digests = place.query("SELECT source || ' ' || digest FROM sources").await;
    assert_eq!(
        digests,
        [format!("1 {tar_digest}"), format!("2 {of_folder}"), format!("3 {}", sha256(&picture(5)))]
    );
    let mappings = place.query("SELECT DISTINCT mapping || ' ' || job FROM sources").await;
    assert!(mappings[0].starts_with("country = \"TW\"\n# annotations: "), "{mappings:?}");
    assert!(mappings[0].contains("coco.json\", SHA-256 ") && mappings[0].ends_with(" first"), "{mappings:?}");
    let images = "SELECT source || ' ' || source_row || ' ' || name FROM images";
    assert_eq!(place.query(images).await, ["1 1 1.png", "2 1 b/3.png", "2 2 b/4.png", "3 1 5.png"]);
    let aside = place.query("SELECT source || ' ' || source_row || ' ' || file FROM quarantine").await;
    assert_eq!(aside, ["1 0 ../out.png", "1 0 link.png", "1 2 2.png", "2 0 a.png"]);

    // What is there already adds nothing, and a source of which something is new has a number of its own.
    let again = place.ingest("again", &parameters(&named[2..])).await;
    assert_eq!((again.error, again.rows.read, again.rows.archived), (None, 0, 0));
    assert_eq!(place.query(SOURCES).await, recorded);
    place.file("folder/b/6.png", &picture(6));
    fs::remove_file(place.path("folder/a.png")).expect("removed");
    let more = place.ingest("more", &parameters(&[place.path("folder")])).await;
    assert_eq!((more.error, more.rows.read, more.rows.archived), (None, 1, 1));
    assert_eq!(place.query(SOURCES).await[3..], ["4 folder 1 1 0"]);
    assert_eq!(
        place.query("SELECT source || ' ' || source_row FROM images WHERE name = 'b/6.png'").await,
        ["4 3"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_source_leaves_with_its_images_and_may_come_again() {
    let place = Place::new("xray-forgotten");
    let tar = tar_of(&[("1.png", &picture(1)), ("2.png", &picture(2)), ("bad.png", b"no image")]);
    let named = [place.file("scans.tar", &tar), place.file("3.png", &picture(3))];
    let mapping = place.file("mapping.toml", b"country = \"TW\"\ntaken_at = \"2024-01-05 10:00\"\n");
    let parameters = Parameters { mapping: Some(mapping), country: None, ..parameters(&named) };
    let outcome = place.ingest("first", &parameters).await;
    assert_eq!((outcome.error, outcome.rows.archived), (None, 3));
    // Of the two data files one has an image of either source.
    let forgotten = place.forget("forget", &["1"]).await;
    assert_eq!(forgotten.error, None);
    assert_eq!(forgotten.metrics["forgotten"]["images"]["rows"], 2);
    assert_eq!(place.query(SOURCES).await, ["2 3.png 1 1 0"]);
    assert_eq!(place.query("SELECT count(*) FROM quarantine").await, ["0"]);
    let left = place.all().await;
    assert_eq!(left.len(), 1);
    assert!(left[0].0 == picture(3), "byte for byte");

    let again = place.ingest("again", &parameters).await;
    assert_eq!((again.error, again.rows.archived, again.rows.quarantined), (None, 2, 3));
    assert_eq!(again.metrics["ingested_before"], 1);
    assert_eq!(place.query(SOURCES).await, ["2 3.png 1 1 0", "3 scans.tar 5 2 3"]);
    assert_eq!(place.all().await.len(), 3);

    // Another mapping may read what one has put aside: it is a source of its own, with the same bytes.
    let other =
        place.file("other.toml", b"country = \"TW\"\nsite = \"KEE\"\ntaken_at = \"2024-01-05 10:00\"\n");
    let other = place.ingest("other", &Parameters { mapping: Some(other), ..parameters.clone() }).await;
    assert_eq!((other.error, other.rows.archived, other.rows.quarantined), (None, 0, 3));
    let recorded = place.query(SOURCES).await;
    assert_eq!(recorded, ["2 3.png 1 1 0", "3 scans.tar 5 2 3", "5 scans.tar 3 0 3"]);
    let both = place.forget("both", &[&sha256(&tar)[..12]]).await;
    assert_eq!((both.error, &both.metrics["forgotten"]["images"]["rows"]), (None, &2.into()));
    assert_eq!(place.query(SOURCES).await, recorded[..1]);
    assert_eq!(place.query("SELECT count(*) FROM quarantine").await, ["0"]);
    let unknown = place.forget("unknown", &["1"]).await;
    assert!(unknown.error.is_some_and(|error| error.contains("no source 1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_an_earlier_version_stay_readable_beside_new_ones() {
    let place = Place::new("xray-earlier");
    tidewaiter_archive::Table::open_or_create(&place.archive, IMAGES, &schema()).await.expect("as it was");
    place.file("in/1.png", &picture(1));
    let outcome = place.ingest("job", &parameters(&[place.path("in")])).await;
    assert_eq!((outcome.error, outcome.rows.archived), (None, 1));
    assert_eq!(place.query("SELECT source FROM images").await, ["1"]);
}
