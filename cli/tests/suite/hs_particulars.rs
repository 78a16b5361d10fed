//! Drives the built binary through HS classification by more than the description: origin, unit and value per unit.

#![allow(clippy::expect_used, reason = "a test stops where it cannot go on")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{document, tidewaiter};

/// Pairs of goods that have the same descriptions: code, noun, origin, unit, kilograms of a unit, value of a unit.
const GOODS: [(&str, &str, &str, &str, f64, f64); 6] = [
    ("8517130000", "telephone", "KR", "NAR", 0.2, 300.0),
    ("8517180000", "telephone", "CN", "NAR", 0.5, 20.0),
    ("3901100000", "polymer", "SA", "KGM", 1.0, 2.0),
    ("3209100000", "polymer", "DE", "LTR", 1.2, 2.0),
    ("0306170000", "shrimps", "TH", "KGM", 1.0, 9.0),
    ("1605210000", "shrimps", "VN", "KGM", 1.0, 30.0),
];

const WORDS: [&str; 7] = ["new", "assorted", "boxed", "for resale", "grade A", "10 pcs", "first quality"];

/// The columns that every export has.
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
"#;

const MORE: &str = r#"
origin = { from = "origin" }
quantity = { from = "quantity" }
quantity_unit = { from = "unit" }
net_mass = { from = "mass" }
"#;

/// A polymer declared under another code than its goods have, in litres, as the tariff prescribes for that code.
const PLANTED: &str = "planted\t2020-04-16\t3209100000\tnew polymer boxed\tUS\t10\tLTR\t10\t20\n";

const PERIODS: [&str; 6] = ["--train", "2020-01..2020-02", "--valid", "2020-03", "--test", "2020-04"];

/// An archive of four months, with or without the columns beside the descriptions, and a retrained model.
fn retrained(folder: &Path, more: &str, options: &[&str]) -> (PathBuf, Value) {
    let mut text = String::from("id\tday\tcode\ttext\torigin\tquantity\tunit\tmass\tvalue\n");
    let mut id = 0;
    for month in 1..=4 {
        for round in 0..40_usize {
            for (code, noun, origin, unit, mass, value) in GOODS {
                id += 1;
                let word = |step: usize| WORDS[(round * step + month) % WORDS.len()];
                let quantity = 10.0 * (1 + (round * 7 + month) % 13) as f64;
                // Prices differ by a half up or down; a fifth of the items come from elsewhere or say nothing more.
                let price = value * (1.0 + 0.5 * ((round * 11 + month * 3) as f64).sin());
                let (mass, value) = (mass * quantity, price * quantity);
                let origin = if round % 5 == 1 { "US" } else { origin };
                let (quantity, unit) =
                    if round % 5 == 2 { (String::new(), "") } else { (quantity.to_string(), unit) };
                let (one, other) = (word(3), word(5));
                writeln!(
                    text,
                    "{id}\t2020-{month:02}-15\t{code}\t{one} {noun} {other}\t{origin}\t{quantity}\t{unit}\t{mass}\t{value}"
                )
                .expect("writes");
            }
        }
    }
    text.push_str(PLANTED);
    std::fs::create_dir_all(folder).expect("made");
    let (archive, file, mapping) =
        (folder.join("archive"), folder.join("export.tsv"), folder.join("mapping.toml"));
    std::fs::write(&file, text).expect("written");
    std::fs::write(&mapping, format!("{MAPPING}{more}")).expect("written");
    let (file, mapping) = (file.display().to_string(), mapping.display().to_string());
    document(&tidewaiter(&archive, &["ingest", "declarations", "--mapping", &mapping, &file]));
    let retrain = [&["retrain", "hs", "--country", "TW"], &PERIODS[..], options].concat();
    let outcome = document(&tidewaiter(&archive, &retrain));
    (archive, outcome["metrics"].clone())
}

#[test]
fn what_is_known_beside_a_description_helps_and_its_lack_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (poor, poor_metrics) = retrained(&folder.path().join("poor"), "", &[]);
    let (rich, rich_metrics) = retrained(&folder.path().join("rich"), MORE, &["--unit-independent"]);
    let share = |metrics: &Value, of: &str| metrics[of]["accuracy@1/6"].as_f64().expect("a figure");
    // The figures that lead are those of descriptions alone.
    assert_eq!(share(&rich_metrics, "test"), share(&poor_metrics, "test"));
    assert!(share(&poor_metrics, "test") < 0.7, "{poor_metrics}");
    assert!(share(&rich_metrics, "test_with_attributes") > 0.95, "{rich_metrics}");
    assert!(poor_metrics.get("test_with_attributes").is_none(), "{poor_metrics}");

    let suggest = |archive: &Path, more: &[&str]| {
        document(&tidewaiter(archive, &[&["hs", "suggest", "new telephone"], more].concat()))
    };
    let alone = suggest(&rich, &[]);
    assert_eq!(alone, suggest(&poor, &[]), "a description alone is judged as without the columns");
    // The same code whatever is known of the other particulars; what is not known of the model says nothing.
    for more in [
        &["--unit", "NAR", "--unit-value", "280"][..],
        &["--origin", "KR"],
        &["--unit-value", "1500"],
        &["--origin", "KR", "--unit", "ZZZ", "--unit-value", "7"],
    ] {
        let best = suggest(&rich, more)["subheadings"][0].clone();
        assert_eq!(best["code"], "851713", "{more:?}: {best}");
        assert!(best["probability"].as_f64().is_some_and(|share| share > 0.7), "{more:?}: {best}");
    }
    let cheap = suggest(&rich, &["--unit", "NAR", "--unit-value", "18"])["subheadings"][0].clone();
    assert_eq!(cheap["code"], "851718");
    let words: Vec<&Value> = cheap["words"].as_array().expect("a list").iter().map(|word| &word[0]).collect();
    assert!(words.iter().any(|word| **word == "value per NAR"), "{cheap}");
    assert_eq!(suggest(&poor, &["--origin", "KR"]), alone, "a model that knows no origins heeds none");
    for wrong in ["0", "-3", "many", "inf"] {
        let refused = tidewaiter(&rich, &["hs", "suggest", "telephone", &format!("--unit-value={wrong}")]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }

    let file = folder.path().join("goods.csv");
    let rows =
        "goods,from,unit,price\ntelephone,CN,NAR,21\ntelephone,KR,,\ntelephone,KR,NAR,none\npolymer,,LTR,\n";
    std::fs::write(&file, rows).expect("written");
    let file = file.display().to_string();
    let titles = ["--column", "goods", "--origin", "from", "--unit", "unit", "--unit-value", "price"];
    let rows = document(&tidewaiter(&rich, &[&["hs", "suggest", "--file", &file], &titles[..]].concat()));
    let csv = rows["csv"].as_str().expect("a text").to_owned();
    let header: Vec<&str> = csv.lines().next().expect("a header").split(',').collect();
    let at = header.iter().position(|title| *title == "code_6_1").expect("a column");
    let codes: Vec<&str> = csv.lines().skip(1).map(|row| row.split(',').nth(at).expect("a cell")).collect();
    assert_eq!(codes, ["851718", "851713", "851713", "320910"]);

    let apply = ["apply", "hs", "--country", "TW", "--months", "2020-04", "--fast"];
    let items = document(&tidewaiter(&rich, &apply))["metrics"]["items"].clone();
    assert_eq!(items["items"], 241);
    assert!(items["agreeing"].as_u64().is_some_and(|agreeing| agreeing > 225), "{items}");

    // The planted item's unit follows from its wrong code: a model that knows no units is not calmed by it.
    let retrain = ["retrain", "hs", "--country", "TW", "--compare", "nothing"];
    let without = document(&tidewaiter(&rich, &[&retrain[..], &PERIODS].concat()));
    assert_eq!((&without["model"], &without["metrics"]["promoted"]), (&"hs-TW@2".into(), &false.into()));
    document(&tidewaiter(&rich, &[&apply[..], &["--version", "2"]].concat()));
    let query = "SELECT model, misclassification AS doubt FROM predictions_hs WHERE declaration_id = 'planted' \
                 ORDER BY model";
    let doubts = document(&tidewaiter(&rich, &["archive", "sql", query]));
    let doubt = |row: usize| doubts[row]["doubt"].as_f64().expect("a score");
    assert!(doubt(0) < 0.2 && doubt(1) > doubt(0) + 0.2, "{doubts}");
}
