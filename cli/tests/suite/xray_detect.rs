//! Drives the built binary through the detection of objects on X-ray images: a retrained detector, what it finds, and
//! whether cargo fits its declaration. The images are tiny and the fits short: what is tested is the way, and not how well
//! objects are found.

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]
#![allow(clippy::disallowed_methods, reason = "a test gives up in the end")]

use std::{
    fmt::Write as _,
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    process::ChildStderr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    binary, document,
    processes::{Process, pause, started},
    tidewaiter,
};

/// Images of a month.
const EACH: usize = 12;

/// Those of them with a declaration.
const DECLARED: usize = 10;

/// An uncompressed TIFF of grey pixels.
fn tiff(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, value: u32| {
        let mut bytes = [tag.to_le_bytes(), kind.to_le_bytes()].concat();
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        bytes
    };
    let entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, width * height),
    ];
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend(9_u16.to_le_bytes());
    entries.into_iter().for_each(|(tag, kind, value)| bytes.extend(entry(tag, kind, value)));
    bytes.extend([0; 4]);
    bytes.extend(pixels);
    bytes
}

/// What is generated of an image.
struct Image {
    name: String,
    extent: (u32, u32),
    pixels: Vec<u8>,
    /// Class, left, top, width, height.
    object: Option<(&'static str, [u32; 4])>,
    /// Day of the month, declaration, HS code; no image of a bag has the latter.
    month: usize,
    day: usize,
    declared: Option<&'static str>,
}

/// Whether an image's cargo is declared under the code of the other kind: of the last month two of ten.
fn is_misdeclared(month: usize, number: usize) -> bool {
    month == 3 && [3, 6].contains(&number)
}

/// An image: light noise, every second with an object that is dark, most the cargo of a declaration.
fn image(month: usize, number: usize) -> Image {
    let is_scan = number == 5;
    let (width, height) = if is_scan { (120, 40) } else { (48, 40) };
    let mut seed = (month * 1000 + number + 1) as u32;
    let mut draw = |most: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % most
    };
    let has_cars = number < DECLARED && number.is_multiple_of(2);
    let declared = has_cars != is_misdeclared(month, number);
    let declared = (number < DECLARED).then_some(if declared { "870323" } else { "610910" });
    let mut pixels: Vec<u8> = (0..width * height).map(|_| 215 + draw(40) as u8).collect();
    if has_cars {
        // Cars are stripes of steel.
        pixels.iter_mut().enumerate().for_each(|(at, pixel)| {
            if (at as u32 / width) % 6 < 2 {
                *pixel -= 120
            }
        });
    }
    let object = number.is_multiple_of(2).then(|| match number % 4 {
        0 => ("gun", [draw(width - 14), draw(height - 12), 14, 12]),
        _ => ("knife", [draw(width - 22), draw(height - 5), 22, 5]),
    });
    if let Some((_, [left, top, across, down])) = object {
        for y in top..top + down {
            let begin = (y * width + left) as usize;
            pixels[begin..begin + across as usize].fill(25);
        }
    }
    let name = format!("{month}-{number:02}.tif");
    Image { name, extent: (width, height), pixels, object, month, day: 1 + number, declared }
}

/// Writes three months of images with annotations and a mapping, and gives the arguments that ingest them.
fn export(folder: &Path) -> Vec<String> {
    let files = folder.join("images");
    fs::create_dir_all(&files).expect("a folder");
    let classes = ["gun", "knife"];
    let (mut images, mut annotations) = (Vec::new(), Vec::new());
    let mut table = String::from("file,time,scanner,declaration,code\n");
    for image in (1..=3).flat_map(|month| (0..EACH).map(move |number| image(month, number))) {
        let (width, height) = image.extent;
        fs::write(files.join(&image.name), tiff(width, height, &image.pixels)).expect("written");
        let id = images.len();
        images.push(json!({ "id": id, "file_name": image.name, "width": width, "height": height }));
        if let Some((class, bbox)) = image.object {
            let category = classes.iter().position(|known| *known == class);
            annotations.push(
                json!({ "id": annotations.len(), "image_id": id, "category_id": category, "bbox": bbox }),
            );
        }
        let (code, declaration) = match image.declared {
            Some(code) => (code, format!("D{id}")),
            None => ("", String::new()),
        };
        let (name, month, day) = (&image.name, image.month, image.day);
        writeln!(table, "{name},2024-{month:02}-{day:02}T10:00:00Z,S{},{declaration},{code}", day % 2)
            .expect("writes");
    }
    let categories: Vec<Value> =
        classes.iter().enumerate().map(|(id, name)| json!({ "id": id, "name": name })).collect();
    let coco = json!({ "images": images, "annotations": annotations, "categories": categories });
    fs::write(folder.join("coco.json"), coco.to_string()).expect("written");
    fs::write(folder.join("images.csv"), table).expect("written");
    let mapping = "table = \"images\"\ncountry = \"TW\"\nsite = \"harbour\"\nmetadata = \"images.csv\"\n\
                   [columns]\nfile = \"file\"\ntaken_at = \"time\"\nscanner = \"scanner\"\n\
                   declaration_id = \"declaration\"\nhs_code = \"code\"\n";
    fs::write(folder.join("images.toml"), mapping).expect("written");
    let path = |name: &str| folder.join(name).display().to_string();
    let options = ["--annotations", &path("coco.json"), "--mapping", &path("images.toml")];
    [&["ingest", "images"][..], &options, &[&path("images")]]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn run(archive: &Path, arguments: &[&str]) -> Value {
    document(&tidewaiter(archive, arguments))
}

const RETRAIN: [&str; 26] = [
    "retrain",
    "xray",
    "--country",
    "TW",
    "--train",
    "2024-01",
    "--valid",
    "2024-02",
    "--test",
    "2024-03",
    "--side",
    "32",
    "--width",
    "8",
    "--epochs",
    "2",
    "--batch-images",
    "4",
    "--tile",
    "64",
    "--shards",
    "2",
    "--learning-rate",
    "0.01",
    "--language",
    "fr",
];

/// An archive with the images.
fn archive(folder: &Path) -> PathBuf {
    let archive = folder.join("archive");
    let arguments = export(folder);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ingested = run(&archive, &arguments);
    assert_eq!(ingested["rows"]["archived"], 3 * EACH, "{ingested}");
    archive
}

fn model(archive: &Path, version: u32) -> Vec<u8> {
    fs::read(archive.join(format!("models/xray-TW/{version}/model.bin"))).expect("a model")
}

#[test]
fn a_detector_is_retrained_compared_applied_reported_and_the_same_on_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive(folder.path());
    let first = run(&archive, &RETRAIN);
    let second = run(&archive, &[&RETRAIN[..], &["--workers", "1"]].concat());
    assert_eq!(model(&archive, 1), model(&archive, 2), "workers do not matter");
    let metrics = &first["metrics"];
    assert_eq!((&metrics["promoted"], &second["metrics"]["promoted"]), (&true.into(), &false.into()));
    let test = &metrics["test"];
    assert_eq!((&test["images"], &test["illicit"]), (&EACH.into(), &(EACH / 2).into()), "{test}");
    for figure in ["mAP@50", "mAP@50:95", "AUC", "detected@1", "detected@5", "detected@10"] {
        assert!(test[figure].as_f64().is_some_and(|value| (0.0..=1.0).contains(&value)), "{figure}: {test}");
    }
    let points = test["points"].as_array().expect("thresholds");
    assert_eq!(points.len(), 3);
    for point in points {
        let is_reached = point["threshold"].as_f64().is_some_and(|threshold| threshold < 1.0);
        let is_unreached = point["threshold"].is_null() && point["detected"] == 0.0;
        assert!(is_reached || is_unreached, "{point}");
    }
    assert_eq!(test["declared"], DECLARED);
    assert_eq!(second["metrics"]["comparison"]["difference"], 0.0, "the same model is not better");
    assert_eq!(second["metrics"]["champion"], *test);
    let page = fs::read_to_string(first["reports"][0].as_str().expect("a report")).expect("a page");
    assert!(page.contains("Images radiographiques") && page.contains("data:image/png;base64,"));
    assert!(page.contains("img-src data:"), "the page may show its own pictures");

    let applied = run(&archive, &["apply", "xray", "--country", "TW", "--months", "2024-02..2024-03"]);
    assert_eq!(applied["metrics"]["searched"]["images"], 2 * EACH);
    assert_eq!(applied["metrics"]["searched"]["declared"], 2 * DECLARED);
    let page = fs::read_to_string(applied["reports"][0].as_str().expect("a report")).expect("a page");
    assert!(page.contains("X-ray images to look at"));
    let query = "SELECT count(*) AS images, count(mismatch) AS declared, min(illicit) AS least, max(illicit) AS most, \
                 sum(CASE WHEN alarm THEN 1 ELSE 0 END) AS alarms, max(length(sha256)) AS digits, min(model) AS model \
                 FROM predictions_xray";
    let row = &run(&archive, &["archive", "sql", query])[0];
    assert_eq!((&row["images"], &row["declared"]), (&(2 * EACH).into(), &(2 * DECLARED).into()), "{row}");
    assert_eq!(row["alarms"], applied["metrics"]["searched"]["alarms"]);
    assert_eq!((&row["digits"], &row["model"]), (&64.into(), &"xray-TW@1".into()));
    assert!(row["least"].as_f64() >= Some(0.0) && row["most"].as_f64() <= Some(1.0), "{row}");

    let row = &run(&archive, &["archive", "sql", "SELECT min(image_id) AS image FROM images"])[0];
    let picture = folder.path().join("picture.png").display().to_string();
    let shown = run(&archive, &["xray", "show", row["image"].as_str().expect("an id"), "--out", &picture]);
    assert_eq!(shown["model"], "xray-TW@1", "{shown}");
    assert!(shown["illicit"].is_f64() && shown["found"].is_array());
    assert!(fs::read(&picture).expect("a file").starts_with(b"\x89PNG"));

    for (options, says) in [
        (
            vec![
                "retrain",
                "xray",
                "--country",
                "KR",
                "--train",
                "2024-01",
                "--valid",
                "2024-02",
                "--test",
                "2024-03",
            ],
            "of the 0 images of KR in the training months 2024-01..2024-01 none is annotated",
        ),
        (
            vec!["apply", "xray", "--country", "TW", "--months", "2023-01"],
            "no images of TW in 2023-01..2023-01",
        ),
    ] {
        let refused = tidewaiter(&archive, &options);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{told}");
        assert!(told.contains(says), "{says}: {told}");
    }
    a_cluster_makes_the_same(folder.path(), &archive);
}

/// How long a fit may take to its first checkpoint, and to its end, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(200);

/// Looks until something is there.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "{what} does not happen");
        pause(Duration::from_millis(10));
    }
}

/// A scheduler whose archive is the folder `shared`.
fn scheduler(folder: &Path, address: &str) -> (Process, BufReader<ChildStderr>, String) {
    let mut command = binary();
    command.args(["scheduler", "--bind", address, "--exports"]).arg(folder);
    started(command.arg("--archive").arg(folder.join("shared")))
}

/// A scheduler and two executors make the same detector of the same images; and they do when the scheduler and one of the
/// executors are killed in the middle of its fit, which goes on from its checkpoint.
fn a_cluster_makes_the_same(folder: &Path, alone: &Path) {
    let path = |name: &str| folder.join(name);
    let (mut killed, _stderr, line) = scheduler(folder, "127.0.0.1:0");
    let url = line.rsplit(' ').next().expect("a word");
    let [_one, mut two] = ["one", "two"].map(|name| {
        let mut command = binary();
        command.args(["executor", "--scheduler", url, "--port", "0", "--name", name, "--work-folder"]);
        started(command.arg(path(name)))
    });
    let run = |arguments: &[&str]| {
        let command = ["--output", "json", "--scheduler", url].into_iter().chain(arguments.iter().copied());
        document(&binary().args(command).output().expect("starts"))
    };
    let arguments = export(folder);
    run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    run(&RETRAIN);
    assert_eq!(model(alone, 1), model(&path("shared"), 1));
    let applied = run(&["apply", "xray", "--country", "TW", "--months", "2024-03"]);
    assert_eq!(applied["metrics"]["searched"]["images"], EACH);

    let mut longer = RETRAIN;
    let epochs = longer.iter().position(|word| *word == "--epochs").expect("is there");
    longer[epochs + 1] = "25";
    let job = run(&[&["--detach"], &longer[..]].concat());
    let job = job["job"].as_str().expect("an id");
    let checkpoint = path("shared/work").join(job).join("fit/checkpoint");
    until("a checkpoint", || checkpoint.exists().then_some(()));
    for process in [&mut two.0, &mut killed] {
        drop(process.0.kill());
        process.0.wait().expect("it ends");
    }
    assert!(checkpoint.exists(), "the fit was over before it could be killed");
    let _anew = scheduler(folder, url.trim_start_matches("http://"));
    let ended = until("the end of the job", || {
        Some(run(&["jobs", "show", job])).filter(|job| job["ended_ms"].is_i64())
    });
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let steps = ended["steps"].as_array().expect("steps");
    let tries = |step: &str| steps.iter().find(|known| known["name"] == step).map(|step| &step["tries"]);
    assert_eq!((tries("squares"), tries("fit")), (Some(&1.into()), Some(&2.into())), "{ended}");
    document(&tidewaiter(alone, &longer));
    assert_eq!(model(alone, 3), model(&path("shared"), 2), "the model of a fit that went on");
}
