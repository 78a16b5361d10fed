//! Drives the built binary through HS classification: exports in, a retrained model, suggestions, predictions.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops where it cannot go on, and says what it skips"
)]

use std::{fmt::Write as _, path::Path};

use serde_json::Value;

use crate::support::{document, encoder::write_encoder, tidewaiter};

/// Goods by their codes; the first word of each tells the code.
const GOODS: [(&str, &str); 8] = [
    ("0306170000", "shrimps"),
    ("0303890000", "mackerel"),
    ("0101290000", "horses"),
    ("6403400000", "boots"),
    ("6402990000", "sandals"),
    ("8517120000", "smartphone"),
    ("8518220000", "loudspeaker"),
    ("7304190000", "pipeline tubes"),
];

const WORDS: [&str; 12] = [
    "frozen",
    "new",
    "assorted",
    "boxed",
    "of steel",
    "for resale",
    "grade A",
    "10 pcs",
    "25kg",
    "black",
    "size 42",
    "spare",
];

const MAPPING: &str = r#"
country = "TW"
delimiter = "\t"
[columns]
declaration_id = { from = "id" }
item_number = { constant = "1" }
acceptance_date = { from = "day" }
hs_code = { from = "code" }
description = { from = "text" }
customs_value = { from = "value" }
duty_rate = { from = "rate" }
"#;

const NOMENCLATURE: &str = "section,hscode,description\nI,01,Animals; live\nI,0101,Horses\nI,010129,Other\nI,03,Fish\n\
    I,0306,Crustaceans\nI,030617,\"Other shrimps and prawns, frozen\"\nI,030389,Other\nXII,640340,Boots\nXII,640299,Other\n\
    XVI,851712,Telephones\nXVI,851822,Loudspeakers\nXV,730419,Line pipe\nXV,730490,Other\n";

/// What has become of a code of an older edition.
const CORRELATION: &str = "from_edition,from_hs6,to_edition,to_hs6,relationship,is_conversion_target\n\
    HS2017,730419,HS2012,730410,1:1,1\n";

/// An export of four months; the last rows of each are hostile.
fn export() -> String {
    let mut text = String::from("id\tday\tcode\ttext\tvalue\trate\n");
    let mut id = 0;
    for month in 1..=4 {
        for round in 0..30 {
            for (at, (code, noun)) in GOODS.iter().enumerate() {
                id += 1;
                // The same words for all goods, so that they say nothing.
                let word = |step: usize| WORDS[(round * step + month) % WORDS.len()];
                let (one, other) = (word(5), word(7));
                let rate = at * 2;
                writeln!(
                    text,
                    "{id}\t2020-{month:02}-15\t{code}\t{one} {noun} {other} {round}\t1000\t{rate}"
                )
                .expect("writes");
            }
        }
        let long = "shrimps ".repeat(20_000);
        for (code, hostile) in [
            ("0306170000", ""),
            ("0306170000", "."),
            ("0306170000", "x"),
            ("0306170000", long.as_str()),
            ("0306170000", "冷凍蝦 креветки \u{1}\u{7f}\u{fffd} ｓｈｒｉｍｐｓ"),
            ("8517", "smartphone"),
            ("999999", "goods of no code"),
            ("730410", "old pipeline tubes"),
            ("7304900000", if month == 1 { "the only tube of its kind" } else { "tube" }),
        ] {
            id += 1;
            writeln!(text, "{id}\t2020-{month:02}-16\t{code}\t{hostile}\t\t").expect("writes");
        }
    }
    text
}

fn archive_of(folder: &Path) -> std::path::PathBuf {
    let archive = folder.join("archive");
    let (file, mapping) = (folder.join("export.tsv"), folder.join("mapping.toml"));
    std::fs::write(&file, export()).expect("written");
    std::fs::write(&mapping, MAPPING).expect("written");
    std::fs::write(folder.join("nomenclature.csv"), NOMENCLATURE).expect("written");
    std::fs::write(folder.join("correlation.csv"), CORRELATION).expect("written");
    let (file, mapping) = (file.display().to_string(), mapping.display().to_string());
    let ingested = document(&tidewaiter(&archive, &["ingest", "declarations", "--mapping", &mapping, &file]));
    assert_eq!(ingested["rows"]["archived"], 4 * 249, "{}", ingested["rows"]);
    archive
}

fn retrain(archive: &Path, folder: &Path, shards: &str, workers: &str) -> Value {
    let nomenclature = folder.join("nomenclature.csv").display().to_string();
    let periods = ["--train", "2020-01..2020-02", "--valid", "2020-03", "--test", "2020-04"];
    let correlation = folder.join("correlation.csv").display().to_string();
    let mut arguments = vec!["retrain", "hs", "--country", "TW", "--nomenclature", &nomenclature];
    arguments.extend(["--correlation", &correlation]);
    arguments.extend(["--shards", shards, "--workers", workers]);
    arguments.extend(periods);
    document(&tidewaiter(archive, &arguments))
}

#[test]
fn codes_are_learned_suggested_with_reasons_and_written_to_the_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive_of(folder.path());

    let first = retrain(&archive, folder.path(), "1", "1");
    let second = retrain(&archive, folder.path(), "3", "2");
    let bytes = |version: u32| std::fs::read(archive.join(format!("models/hs-TW/{version}/model.bin")));
    assert_eq!(bytes(1).expect("a model"), bytes(2).expect("a model"), "shards and workers do not matter");
    assert_eq!(
        (&first["metrics"]["promoted"], &second["metrics"]["promoted"]),
        (&true.into(), &false.into())
    );
    assert_eq!((&first["metrics"]["test_looks"], &second["metrics"]["test_looks"]), (&1.into(), &2.into()));
    let comparison = &second["metrics"]["comparison"];
    assert_eq!(comparison["by_day"]["groups"], 2, "{comparison}");
    assert!(comparison["by_declaration"]["groups"].as_u64() > Some(200), "{comparison}");
    let test = &first["metrics"]["test"];
    assert!(test["accuracy@1/6"].as_f64().expect("a figure") > 0.95, "{test}");
    assert!(test["accuracy@1/national"].as_f64().expect("a figure") > 0.95, "{test}");
    let judged = &first["metrics"]["texts"][2];
    for (count, expected) in [
        ("without_words", 2),
        ("without_code", 1),
        ("not_in_nomenclature", 1),
        ("cut", 1),
        ("carried", 1),
        ("items", 245),
    ] {
        assert_eq!(judged[count], expected, "{count}: {judged}");
    }
    for (count, expected) in [("empty", 1), ("one_character", 2), ("junk", 1), ("mixed_scripts", 1)] {
        assert_eq!(judged["odd"][count], expected, "{count}: {judged}");
    }
    let report = first["reports"][0].as_str().expect("a report");
    let report = std::fs::read_to_string(report).expect("read");
    for section in [
        "Of 249 items of TW in 2020-04, 245 have a description",
        "1 have a code that the nomenclature lacks",
        "How much can be automated",
        "Drift by month",
        "2020-04",
        "Unusual descriptions and codes",
    ] {
        assert!(report.contains(section), "{section}");
    }

    let suggested = document(&tidewaiter(&archive, &["hs", "suggest", "Frozen SHRIMPS, peeled"]));
    let best = &suggested["subheadings"][0];
    assert_eq!(
        (best["code"].clone(), suggested["headings"][0]["code"].clone()),
        ("030617".into(), "0306".into())
    );
    assert_eq!(best["words"][0][0], "shrimps");
    assert_eq!(suggested["national"][0]["code"], "0306170000");
    assert!(best["path"].as_array().is_some_and(|path| path.len() == 4), "{best}");
    assert!(suggested["similar"][0]["description"].as_str().expect("a text").contains("shrimps"));
    assert_eq!(suggested["vague"], false);
    for vague in ["qqq", "...", "", "new"] {
        let suggested = document(&tidewaiter(&archive, &["hs", "suggest", vague]));
        assert_eq!(suggested["vague"], true, "{vague}");
    }

    let file = folder.path().join("goods.csv");
    std::fs::write(&file, "n,goods\n1,\"boots, black\"\n2,\n3,\u{fffd}\n4,loudspeaker\n").expect("written");
    let file = file.display().to_string();
    let rows = document(&tidewaiter(&archive, &["hs", "suggest", "--file", &file, "--column", "goods"]));
    assert_eq!(
        (rows["counts"]["rows"].clone(), rows["counts"]["without_words"].clone()),
        (4.into(), 2.into())
    );
    assert!(rows["csv"].as_str().expect("a text").contains(",640340,"));
    let wrong = tidewaiter(&archive, &["hs", "suggest", "--file", &file, "--column", "text"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("n, goods"));

    // The validation month is one that the model was trained on: it is scored, and nothing counts it.
    for (months, scored, more) in [("2020-04", 249, &[][..]), ("2020-03..2020-04", 498, &["--fast"])] {
        let apply = ["apply", "hs", "--country", "TW", "--months", months];
        let applied = document(&tidewaiter(&archive, &[&apply, more].concat()));
        let items = &applied["metrics"]["items"];
        assert_eq!(
            (&items["items"], &items["in_sample"]),
            (&scored.into(), &(scored - 249).into()),
            "{items}"
        );
        assert_eq!((&items["without_words"], &items["unknown_code"]), (&2.into(), &2.into()), "{items}");
        assert!(items["agreeing"].as_u64().expect("a count") >= 238, "{items}");
        let page = std::fs::read_to_string(applied["reports"][0].as_str().expect("a report")).expect("read");
        assert!(page.contains("Of 249 items of TW in") && page.contains("Every chapter"), "{page}");
        assert_eq!(page.contains("Another 249 items are of months"), scored > 249);
    }
    let other = tidewaiter(&archive, &["hs", "suggest", "boots", "--country", "KR"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("models here: hs-TW"));
    let query = "SELECT declaration_id, code_6, code_national, misclassification, duty_at_stake, suggestions FROM predictions_hs \
                 WHERE hs_code = '0303890000' ORDER BY job, declaration_id LIMIT 1";
    let answer = document(&tidewaiter(&archive, &["archive", "sql", query]));
    assert_eq!(
        (answer[0]["code_6"].clone(), answer[0]["code_national"].clone()),
        ("030389".into(), "0303890000".into())
    );
    assert!(answer[0]["misclassification"].as_f64().is_some_and(|score| score < 0.5), "{answer}");
    assert_eq!(answer[0]["duty_at_stake"], 0.0);
    let suggestions = answer[0]["suggestions"].as_str().expect("a text");
    let suggestions: Value = serde_json::from_str(suggestions).expect("JSON");
    assert_eq!(
        (suggestions["6"][0][0].clone(), suggestions["2"][0][0].clone()),
        ("030389".into(), "03".into())
    );
    assert!(suggestions["4"].as_array().is_some_and(|codes| codes.len() == 5), "{suggestions}");
    let none = tidewaiter(&archive, &["apply", "hs", "--country", "TW", "--months", "2031-01"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn without_a_model_or_texts_the_remedy_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive_of(folder.path());
    let none = tidewaiter(&archive, &["hs", "suggest", "boots"]);
    assert!(!none.status.success());
    assert!(String::from_utf8_lossy(&none.stderr).contains("hs"));
    let months = ["--train", "2020-01..2020-02", "--valid", "2020-03", "--test", "2020-09"];
    let empty = tidewaiter(&archive, &[&["retrain", "hs", "--country", "TW"], &months[..]].concat());
    assert_eq!(empty.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("2020-09"));
}

#[test]
fn an_encoder_is_one_more_evidence_and_a_changed_one_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive_of(folder.path());
    let encoder = folder.path().join("encoder");
    write_encoder(&encoder);
    let encoder = encoder.display().to_string();
    let periods = ["--train", "2020-01..2020-02", "--valid", "2020-03", "--test", "2020-04"];
    let retrain = |encoder: &str, workers: &str, epochs: &str| {
        let arguments = ["retrain", "hs", "--country", "TW", "--shards", "2", "--encoder", encoder];
        let more = ["--workers", workers, "--fine-tune-epochs", epochs, "--fine-tune-layers", "1"];
        tidewaiter(&archive, &[&arguments[..], &periods, &more].concat())
    };
    let model = |version: u32| std::fs::read(archive.join(format!("models/hs-TW/{version}/model.bin")));
    let first = document(&retrain(&encoder, "1", "1"));
    let kept = first["metrics"]["encoder"]["encoder"]["folder"].as_str().expect("a folder").to_owned();
    // The second time, the encoder is found in the archive.
    document(&retrain(&kept, "2", "1"));
    assert_eq!(model(1).expect("a model"), model(2).expect("a model"), "workers do not matter");
    // Of three periods two are read; a text of a megabyte is in each month.
    assert_eq!(first["metrics"]["encoder"]["cut"], 2, "{}", first["metrics"]["encoder"]);
    assert!(first["metrics"]["test"]["accuracy@1/6"].as_f64().expect("a figure") > 0.95);
    let report = std::fs::read_to_string(first["reports"][0].as_str().expect("a report")).expect("read");
    assert!(report.contains("Text encoder") && report.contains(&kept), "the report names the encoder");

    let suggested = document(&tidewaiter(&archive, &["hs", "suggest", "Frozen SHRIMPS, peeled"]));
    assert_eq!(suggested["subheadings"][0]["code"], "030617");
    let apply = ["apply", "hs", "--country", "TW", "--months", "2020-04"];
    let items = &document(&tidewaiter(&archive, &apply))["metrics"]["items"];
    assert_eq!((&items["items"], &items["without_words"]), (&249.into(), &2.into()), "{items}");

    let config = archive.join(&kept).join("config.json");
    let text = std::fs::read_to_string(&config).expect("read").replace("0.02", "0.03");
    std::fs::write(&config, text).expect("written");
    let refused = tidewaiter(&archive, &["hs", "suggest", "boots"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("its checksum is"));
    let missing = retrain("no/such/encoder", "1", "0");
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no/such/encoder"));
}
