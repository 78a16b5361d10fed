//! Drives the Time Release Study as a user does: event logs in, a study out, its figures those of pm4py.
//!
//! `figures/pm4py.json` says how its figures were got. The logs are published ones, read from a folder `shared`
//! beside the checkout.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops where it cannot go on, and says what it skips"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{document, tidewaiter};

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The published logs; `None`, said loudly, where they are not there.
fn logs() -> Option<PathBuf> {
    let folder = PathBuf::from(CHECKOUT).join("../shared/data/trs");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: the published event logs are not beside the checkout");
    None
}

fn ingest(archive: &Path, mapping: &str, file: &Path) -> Value {
    let mapping = format!("{CHECKOUT}/examples/{mapping}");
    let file = file.display().to_string();
    document(&tidewaiter(archive, &["ingest", "releases", "--mapping", &mapping, &file]))
}

/// Runs a study, and reads its document.
fn study(archive: &Path, arguments: &[&str]) -> (Value, Value) {
    let outcome = document(&tidewaiter(archive, &[&["release-study"], arguments].concat()));
    let reports: Vec<&str> =
        outcome["reports"].as_array().expect("reports").iter().filter_map(Value::as_str).collect();
    assert!(reports.iter().all(|report| Path::new(report).exists()), "{reports:?}");
    let json = reports.iter().find(|report| report.ends_with(".json")).expect("a document");
    let study = serde_json::from_slice(&std::fs::read(json).expect("is read")).expect("is JSON");
    (outcome, study)
}

fn close(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0)
}

#[test]
fn every_public_log_gives_the_figures_of_pm4py() {
    let Some(logs) = logs() else { return };
    let figures: Value = serde_json::from_str(include_str!("figures/pm4py.json")).expect("is JSON");
    for (name, mapping, file) in [
        ("receipt", "receipt.toml", "receipt.csv.gz"),
        ("receipt", "receipt-xes.toml", "receipt.xes.gz"),
        ("road-traffic", "road-traffic.toml", "roadtraffic100traces.csv"),
        ("orders", "orders.toml", "interval_event_log.csv.gz"),
        ("running-example", "running-example.toml", "running-example.xes"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let wanted = &figures["logs"][name];
        let ingested = ingest(folder.path(), mapping, &logs.join(file));
        assert_eq!(ingested["rows"]["archived"], wanted["events"], "{file}");
        let (_, study) = study(folder.path(), &[]);
        for count in ["events", "cases", "variants"] {
            assert_eq!(study[count], wanted[count], "{file}: {count}");
        }
        assert_eq!(study["frequent_variants"][0]["cases"], wanted["top_variant"], "{file}");
        let (found, wanted_times) = (&study["stages"][0]["elapsed"], &wanted["throughput"]);
        let number = |value: &Value| value.as_f64().expect("a number");
        assert_eq!(found["count"], wanted_times["count"]);
        for figure in ["mean", "sum"] {
            let (found, wanted) = (number(&found[figure]) * 3600.0, number(&wanted_times[figure]));
            assert!(close(found, wanted), "{file}: {figure} {found} {wanted}");
        }
        for place in 0..6 {
            let (found, wanted) =
                (number(&found["quantiles"][place]) * 3600.0, number(&wanted_times["quantiles"][place]));
            assert!(close(found, wanted), "{file}: quantile {place} {found} {wanted}");
        }
        let (edges, wanted) =
            (study["edges"].as_array().expect("edges"), wanted["edges"].as_array().expect("edges"));
        assert_eq!(edges.len(), wanted.len(), "{file}");
        for wanted in wanted {
            let same = |edge: &&Value| edge["source"] == wanted["from"] && edge["target"] == wanted["to"];
            let edge = edges.iter().find(same).unwrap_or_else(|| panic!("{file}: no edge {wanted}"));
            assert_eq!(edge["count"], wanted["count"], "{file}: {wanted}");
            for figure in ["mean", "median", "sum"] {
                let (found, wanted_figure) = (number(&edge[figure]), number(&wanted[figure]));
                assert!(close(found, wanted_figure), "{file}: {figure} {edge} {wanted}");
            }
        }
    }
}

#[test]
fn a_study_of_the_receipt_log_has_its_strata_comparison_and_tables() {
    let Some(logs) = logs() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    ingest(folder.path(), "receipt.toml", &logs.join("receipt.csv.gz"));
    let again = ingest(folder.path(), "receipt.toml", &logs.join("receipt.csv.gz"));
    assert_eq!(again["rows"]["archived"], 0, "the same bytes add nothing");
    let stages = folder.path().join("stages.toml");
    let days = ["monday", "tuesday", "wednesday", "thursday", "friday"]
        .map(|day| format!("{day} = [\"07:00-17:00\"]"));
    let text =
        std::fs::read_to_string(format!("{CHECKOUT}/examples/release-stages.toml")).expect("the default");
    let text = format!("{text}\n[calendar]\ntime_zone = \"UTC\"\nhours = {{ {} }}\n", days.join(", "));
    std::fs::write(&stages, text).expect("written");
    let stages = stages.display().to_string();

    let (outcome, whole) =
        study(folder.path(), &["--stages", &stages, "--by", "channel", "--language", "fr"]);
    // The anchors' figures: means and medians of channels, and the mean in working hours, by pm4py.
    let channels = whole["strata"].as_array().expect("strata");
    for (channel, cases, mean, median) in [
        ("Internet", 1250, 124.6, 0.5),
        ("Desk", 109, 141.2, 18.8),
        ("Post", 53, 180.8, 97.4),
        ("e-mail", 21, 258.1, 0.6),
    ] {
        let found = channels.iter().find(|stratum| stratum["value"] == channel).expect(channel);
        let times = &found["stages"][0]["elapsed"];
        assert_eq!(times["count"], cases, "{channel}");
        assert!((times["mean"].as_f64().expect("a mean") - mean).abs() < 0.051, "{channel}: {times}");
        assert!(
            (times["quantiles"][2].as_f64().expect("a median") - median).abs() < 0.051,
            "{channel}: {times}"
        );
    }
    let working = whole["stages"][0]["working"]["mean"].as_f64().expect("a mean");
    assert!((working - 38.8).abs() < 0.051, "{working}");
    let number = |value: &Value| value.as_f64().expect("a number");
    let figures: Value = serde_json::from_str(include_str!("figures/pm4py.json")).expect("is JSON");
    let wanted = &figures["logs"]["receipt"]["working"];
    let sum = number(&whole["stages"][0]["working"]["sum"]) * 3600.0;
    assert!(close(sum, number(&wanted["throughput_sum"])), "{sum}");
    for wanted in wanted["edges"].as_array().expect("edges") {
        let same = |edge: &&Value| edge["source"] == wanted["from"] && edge["target"] == wanted["to"];
        let edge = whole["edges"].as_array().expect("edges").iter().find(same).expect("an edge");
        for figure in ["mean", "median", "sum"] {
            let (found, wanted_figure) = (number(&edge["working"][figure]), number(&wanted[figure]));
            assert!(close(found, wanted_figure), "{figure} {edge} {wanted}");
        }
    }
    // The tree of long cases is that of scikit-learn and SciPy.
    let wanted: Value = serde_json::from_str(include_str!("figures/drivers.json")).expect("is JSON");
    let drivers = &whole["drivers"];
    assert!(close(number(&drivers["threshold"]), number(&wanted["threshold"])), "{drivers}");
    let nodes = drivers["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), wanted["nodes"].as_array().expect("nodes").len(), "{drivers}");
    for (node, wanted) in nodes.iter().zip(wanted["nodes"].as_array().expect("nodes")) {
        for field in ["parent", "attribute", "values", "cases", "long"] {
            assert_eq!(node[field], wanted[field], "{node}");
        }
        assert!(
            close(node["gain"].as_f64().unwrap_or(0.0), wanted["gain"].as_f64().unwrap_or(0.0)),
            "{node}"
        );
    }
    for (attribute, figures) in wanted["alone"].as_object().expect("attributes") {
        let found = drivers["attributes"].as_array().expect("attributes");
        let found = found.iter().find(|found| found["attribute"] == attribute.as_str()).expect(attribute);
        assert!(close(number(&found["alone"]), number(&figures[0])), "{found}");
        let (p, wanted) = (number(&found["p_value"]), number(&figures[1]));
        assert!((p - wanted).abs() <= 1e-6 * wanted, "{found}");
    }
    let worst = &whole["edges"][0];
    assert_eq!(worst["target"], "T06 Determine necessity of stop advice");
    assert_eq!(worst["count"], 791);
    assert!(outcome["metrics"]["release"]["median_hours"].is_number());
    let html = outcome["reports"][0].as_str().expect("a page");
    let html = std::fs::read_to_string(html).expect("is read");
    assert!(html.contains("lang=\"fr\"") && html.contains("Goulets d'étranglement"));
    let tables = outcome["reports"][2].as_str().expect("a folder");
    for table in
        ["stages", "edges", "drivers", "tree", "variants", "anomalies", "survival", "time_shares", "queues"]
    {
        for ending in ["csv", "parquet", "json"] {
            assert!(Path::new(tables).join(format!("{table}.{ending}")).exists(), "{table}.{ending}");
        }
    }

    let periods = ["--from", "2011-01", "--to", "2011-12-31", "--compare", "2010-10..2010-12"];
    let (_, compared) = study(folder.path(), &periods);
    let comparison = &compared["comparisons"][0];
    let count = |period: &str, figure: &str| comparison[period][figure].as_u64().expect("a count");
    assert_eq!(count("after", "cases"), compared["cases"].as_u64().expect("a count"));
    assert!(count("before", "cases") > 0 && count("before", "cases") + count("after", "cases") < 1434);
    for period in ["before", "after"] {
        let (followed, cases) = (count(period, "followed"), count(period, "cases"));
        assert!(followed * 10 >= cases * 9 && followed <= cases, "{comparison}");
        assert_eq!(comparison["test"][period].as_u64(), Some(followed));
    }
    let p = comparison["log_rank"]["p_value"].as_f64().expect("a p-value");
    assert!((0.0..=1.0).contains(&p), "{p}");
    // Half a year after the start the later cases are unknown: they are open or not there.
    let (_, cut) = study(folder.path(), &["--from", "2010-10", "--to", "2011-03", "--cut-off", "2011-03-31"]);
    let open = cut["stages"]
        .as_array()
        .expect("stages")
        .iter()
        .map(|stage| stage["open"].as_u64().expect("a count"));
    assert!(open.sum::<u64>() > 0);
}

#[test]
fn odd_events_are_counted_and_wrong_requests_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mapping = folder.path().join("mapping.toml");
    std::fs::write(
        &mapping,
        "table = \"releases\"\ncountry = \"UG\"\ntime_zone = \"Africa/Kampala\"\n[columns]\ncase_id = { from = \"case\" }\n\
         event = { from = \"event\" }\nrole = { from = \"event\", other = \"\", values = { lodge = \"lodgement\", \
         accept = \"acceptance\", inspect = \"inspection-start\", done = \"inspection-end\", free = \"release\" } }\n\
         event_time = { from = \"time\" }\nlifecycle = { from = \"step\" }\n",
    )
    .expect("written");
    let rows = [
        // In order, with a local time and a UTC one: 08:00 and 09:00 at Kampala.
        "a,lodge,2024-01-01 08:00,",
        "a,free,2024-01-01T06:00:00Z,",
        // Later in the file, earlier in time; and an unknown name, twice.
        "b,free,2024-01-02 12:00,",
        "b,lodge,2024-01-02 10:00,",
        "b,coffee,2024-01-02 11:00,",
        "b,coffee,2024-01-02 11:00,",
        // Never ends.
        "c,lodge,2024-01-03 08:00,",
        // Released before it is lodged.
        "d,free,2024-01-04 08:00,",
        "d,lodge,2024-01-04 09:00,",
        // An inspection without an end, and work with a start: half an hour.
        "e,lodge,2024-01-05 08:00,",
        "e,inspect,2024-01-05 09:00,start",
        "e,inspect,2024-01-05 09:30,complete",
        "e,free,2024-01-05 10:00,",
        // Refused.
        "f,lodge,yesterday,",
        ",lodge,2024-01-05 08:00,",
    ];
    let export = folder.path().join("events.csv");
    std::fs::write(&export, format!("case,event,time,step\n{}\n", rows.join("\n"))).expect("written");
    let archive = folder.path().join("archive");
    let (mapping, export) = (mapping.display().to_string(), export.display().to_string());
    let ingested = document(&tidewaiter(&archive, &["ingest", "releases", "--mapping", &mapping, &export]));
    assert_eq!(ingested["rows"]["in"], 15);
    assert_eq!(ingested["rows"]["quarantined"], 2);
    let (_, found) = study(&archive, &[]);
    let anomaly = |name: &str| {
        let all = found["anomalies"].as_array().expect("anomalies").clone();
        all.iter().find(|anomaly| anomaly["name"] == name).expect(name)["count"].as_u64().expect("a count")
    };
    assert_eq!((found["cases"].as_u64(), found["events"].as_u64()), (Some(5), Some(12)));
    assert_eq!(anomaly("unknown_event_names"), 2);
    assert_eq!(anomaly("duplicate_events"), 1);
    assert_eq!(anomaly("out_of_order_in_the_file"), 1);
    assert_eq!(anomaly("cases_with_mixed_offsets"), 1);
    assert_eq!(anomaly("unfinished_work"), 0);
    // Customs of case d.
    assert_eq!(anomaly("negative_times"), 1);
    // Acceptance of a, b, d and e, which were released without it, and the end of the inspection of e.
    assert_eq!(anomaly("missing_events"), 5);
    let customs =
        found["stages"].as_array().expect("stages").iter().find(|stage| stage["stage"]["part"] == "customs");
    let customs = customs.expect("is measured");
    assert_eq!((customs["complete"].as_u64(), customs["open"].as_u64()), (Some(3), Some(1)));
    assert_eq!(customs["elapsed"]["mean"].as_f64(), Some((1.0 + 2.0 + 2.0) / 3.0));
    let edge = |source: &str, target: &str| {
        let all = found["edges"].as_array().expect("edges").clone();
        all.iter().find(|edge| edge["source"] == source && edge["target"] == target).expect("an edge")["sum"]
            .as_f64()
    };
    assert_eq!(edge("lodge", "inspect"), Some(3600.0));
    assert_eq!(edge("inspect", "free"), Some(1800.0));

    for (arguments, says) in [
        (&["--country", "KE"][..], "KE"),
        (&["--by", "colour"], "colour"),
        (&["--from", "2031-01"], "no case"),
        (&["--from", "2024-13"], "2024-13"),
        (&["--from", "2024-01-02", "--compare", "2023-01"], "compared with"),
        (&["--language", "tlh"], "tlh"),
        (&["--stages", "nowhere.toml"], "nowhere.toml"),
    ] {
        let output = tidewaiter(&archive, &[&["release-study"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(says), "{error}");
    }
    let declarations = tidewaiter(&archive, &["ingest", "declarations", "--mapping", &mapping, &export]);
    assert!(String::from_utf8_lossy(&declarations.stderr).contains("is for releases"));
}

#[test]
fn a_generated_archive_is_studied_as_it_was_planted() {
    // Enough for the queue of the busiest office to be seen.
    const MONTHS: std::ops::RangeInclusive<u32> = 1..=4;
    let folder = tempfile::tempdir().expect("a folder");
    let exports = folder.path().join("exports");
    let out = exports.display().to_string();
    let archive = folder.path().join("archive");
    let synth = ["synth", "--country", "TW", "--years", "1", "--rows-per-year", "20000", "--seed", "5"];
    let more = ["--inspection-rate", "0.3", "--releases", &out];
    document(&tidewaiter(&archive, &[&synth[..], &more].concat()));
    let of = |name: &str| format!("{out}/{name}");
    let (mapping, stages) = (of("releases-mapping.toml"), of("releases-stages.toml"));
    let logs: Vec<String> = MONTHS.map(|month| of(&format!("releases-2020-{month:02}.csv"))).collect();
    let mut arguments = vec!["ingest", "releases", "--mapping", &mapping];
    arguments.extend(logs.iter().map(String::as_str));
    let ingested = document(&tidewaiter(&archive, &arguments));
    assert_eq!(ingested["rows"]["quarantined"], 0);
    let (_, found) = study(&archive, &["--stages", &stages, "--by", "guide"]);

    // The truth: cases by what was planted, and the true mean hours of the sound ones.
    let mut planted = std::collections::BTreeMap::<String, u64>::new();
    let (mut hours, mut waits) = (Vec::new(), Vec::new());
    for month in MONTHS {
        let file =
            std::fs::File::open(of(&format!("releases-truth-2020-{month:02}.parquet"))).expect("the truth");
        let rows = parquet_rows(file);
        for row in rows {
            let kind = row["planted"].as_str().unwrap_or_default().to_owned();
            if !["negative_time", "never_ends", "missing_release"].contains(&kind.as_str()) {
                hours.push(row["release_hours"].as_f64().expect("hours"));
            }
            if kind != "never_ends" {
                waits.extend(row["inspection_wait"].as_f64());
            }
            *planted.entry(kind).or_default() += 1;
        }
    }
    assert_eq!(found["cases"].as_u64().expect("cases"), planted.values().sum::<u64>());
    let anomaly = |name: &str| {
        let all = found["anomalies"].as_array().expect("anomalies");
        all.iter().find(|anomaly| anomaly["name"] == name).expect(name)["count"].as_u64().expect("a count")
    };
    assert_eq!(anomaly("unknown_event_names"), planted["unknown_event"]);
    assert_eq!(anomaly("duplicate_events"), planted["duplicate_event"]);
    assert_eq!(anomaly("cases_with_mixed_offsets"), planted["mixed_zone"]);
    let named = |name: &str| {
        let all = found["stages"].as_array().expect("stages");
        all.iter().find(|stage| stage["stage"]["name"] == name).expect(name).clone()
    };
    let customs = named("Customs: lodgement to release");
    assert_eq!(customs["negative"].as_u64(), Some(planted["negative_time"]));
    assert_eq!(customs["missing"].as_u64(), Some(planted["missing_release"]));
    assert_eq!(customs["open"].as_u64(), Some(planted["never_ends"]));
    let mean = customs["elapsed"]["mean"].as_f64().expect("a mean");
    let true_mean = hours.iter().sum::<f64>() / hours.len() as f64;
    assert_eq!(customs["complete"].as_u64(), Some(hours.len() as u64));
    assert!((mean - true_mean).abs() < 1e-6, "{mean} {true_mean}");
    let inspections = named("Inspection")["elapsed"].clone();
    assert_eq!(inspections["count"].as_u64(), Some(waits.len() as u64));
    assert!((inspections["mean"].as_f64().expect("a mean") - 1.5).abs() < 0.1, "{inspections}");
    // What is by the guide is told apart, and what lengthens a case is among what drives it.
    let strata = found["strata"].as_array().expect("strata");
    for column in ["goods", "channel", "mode", "office", "aeo", "permit", "pre_arrival", "inspected"] {
        assert!(strata.iter().filter(|stratum| stratum["column"] == column).count() > 1, "{column}");
    }
    let used = |attribute: &str| {
        let nodes = found["drivers"]["nodes"].as_array().expect("nodes");
        nodes.iter().any(|node| node["attribute"] == attribute)
    };
    assert!(used("mode") && used("pre_arrival") && used("permit"), "{}", found["drivers"]);
    let measures = found["measures"].as_array().expect("measures");
    assert_eq!(measures.len(), 4, "{measures:?}");
    assert!(measures.iter().all(|measure| measure["loss"].is_null()), "the archive has no predictions");
    // The busiest office's inspectors are a queue that is found again.
    let queues = found["queues"].as_array().expect("queues");
    let queue = queues.iter().find(|queue| queue["event"] == "inspection").expect("a queue");
    assert!(queue["distance"].as_f64().expect("a distance") < 0.15, "{queue}");
    // What is done there reaches the release, and no more of it than the work itself.
    let number = |value: &Value| value.as_f64().expect("a number");
    for measure in queue["measures"].as_array().expect("measures") {
        let release = &measure["release"];
        let touched = release["touched"].as_u64().expect("cases");
        assert!(touched > 0 && Some(touched) <= queue["work"].as_u64(), "{measure}");
        for figure in ["mean", "median", "p90"] {
            let [_, low, high] = [0, 1, 2].map(|place| number(&release[figure][place]));
            assert!(low <= high && low <= 0.0, "{figure} {measure}");
        }
        let (all, own) = (number(&release["mean"][0]), number(&measure["mean"][0]));
        assert!(all < 0.0 && all >= own, "{measure}");
    }
}

#[test]
fn fewer_inspections_cost_what_the_fraud_model_expects_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (archive, out) = (folder.path().join("archive"), folder.path().join("exports").display().to_string());
    let run = |arguments: &[&str]| document(&tidewaiter(&archive, arguments));
    let synth = ["synth", "--country", "TW", "--years", "1", "--rows-per-year", "12000", "--seed", "5"];
    run(&[&synth[..], &["--inspection-rate", "0.3", "--releases", &out]].concat());
    let of = |name: &str| format!("{out}/{name}");
    let declarations = of("declarations-*.csv");
    run(&["ingest", "declarations", "--mapping", &of("mapping.toml"), &declarations]);
    run(&["ingest", "releases", "--mapping", &of("releases-mapping.toml"), &of("releases-2020-*.csv")]);
    let train = ["--train", "2020-01..2020-06", "--valid", "2020-07..2020-08", "--test", "2020-09"];
    let size = ["--trees", "20", "--leaves", "8"];
    run(&[&["retrain", "fraud", "--country", "TW"][..], &train, &size].concat());
    run(&["apply", "fraud", "--country", "TW", "--months", "2020-10..2020-12"]);
    let stages = of("releases-stages.toml");
    // Every case of these months began so long before the last event that nearly all like it are over.
    let of_the_study = ["--stages", &stages, "--from", "2020-10", "--to", "2020-11"];

    let (outcome, found) = study(&archive, &of_the_study);
    let measures = found["measures"].as_array().expect("measures");
    let red =
        measures.iter().find(|measure| measure["change"] == "fifth-of-red-to-green").expect("a measure");
    let number = |value: &Value| value.as_f64().expect("a number");
    let (items, revenue) = (number(&red["loss"]["items"]), number(&red["loss"]["revenue"]));
    // Every declaration of these months was scored, and the loss is that of the fifth of the inspected ones of which the
    // least revenue is expected. Read by other means it is nearly so: a case belongs to the month of its first event, and a
    // few are not released.
    assert!(red["touched"].as_u64() > Some(20) && red["loss"]["predicted"] == red["touched"], "{red}");
    let query = "SELECT sum(items) AS items, sum(revenue) AS revenue FROM (SELECT items, revenue, row_number() OVER \
                 (ORDER BY revenue, id) AS place, count(*) OVER () AS n FROM (SELECT declaration_id AS id, \
                 sum(probability) AS items, sum(expected_revenue) AS revenue FROM predictions_fraud WHERE acceptance_date < DATE '2020-12-01' AND declaration_id IN \
                 (SELECT case_id FROM releases WHERE role = 'inspection-end') GROUP BY declaration_id)) WHERE place <= round(n * 0.2)";
    let least = &run(&["archive", "sql", query])[0];
    for (found, least) in [(items, &least["items"]), (revenue, &least["revenue"])] {
        assert!(found > 0.0 && (found / number(least) - 1.0).abs() < 0.06, "{red} {least}");
    }
    let saved = number(&red["median"][0]);
    assert!(
        saved <= 0.0 && number(&red["median"][1]) <= saved && saved <= number(&red["median"][2]),
        "{red}"
    );

    // The report and its table say it.
    let reports = outcome["reports"].as_array().expect("reports");
    let page = std::fs::read_to_string(reports[0].as_str().expect("a page")).expect("is read");
    assert!(page.contains(&format!("It expects {items:.1} illicit items")), "{items}");
    let table = Path::new(reports[2].as_str().expect("a folder")).join("case_measures.csv");
    let table = std::fs::read_to_string(table).expect("is read");
    let row = table.lines().find(|line| line.starts_with("FifthOfRedToGreen")).expect("a row");
    assert!(row.ends_with(&format!("{items:?},{revenue:?}")), "{row}");
}

/// The rows of a Parquet file as JSON objects.
fn parquet_rows(file: std::fs::File) -> Vec<Value> {
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let mut lines = arrow::json::LineDelimitedWriter::new(Vec::new());
    for batch in reader.build().expect("reads") {
        lines.write(&batch.expect("a batch")).expect("writes");
    }
    lines.finish().expect("writes");
    let text = String::from_utf8(lines.into_inner()).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}
