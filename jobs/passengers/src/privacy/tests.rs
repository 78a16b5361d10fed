//! Depersonalisation, deletion and re-identification over an archive of two months.

use super::{
    reidentify::testing::named,
    retention::{Delete, Depersonalise},
};
use tidewaiter_archive::Table;

use crate::testing::Place;

const DAY_MS: i64 = 86_400_000;

/// 2024-09-15.
const NOW_MS: i64 = 19_981 * DAY_MS;

fn interchange(day: &str, surname: &str, document: &str) -> String {
    format!(
        "UNB+UNOA:4+KE+GOV+{day}:1200+7'UNH+1+PAXLST:D:02B:UN'BGM+745'TDT+20+KE902+++KE'LOC+125+CDG'DTM+189:{day}1310:201'\
         LOC+87+ICN'NAD+FL+++{surname}:MIN JI'ATT+2++F'DTM+329:900513'NAT+2+QQQ'RFF+AVF:ABC123'DOC+P+{document}'LOC+91+KOR'\
         UNT+14+1'UNZ+1+7'"
    )
}

fn depersonalise(place: &Place) -> Depersonalise {
    Depersonalise { older_than: "6m".to_owned(), key: Some(place.path("key")), dry_run: false }
}

async fn place(name: &str) -> Place {
    let place = Place::new(name);
    for (file, day, surname, document) in [
        ("in/a.edi", "240301", "OLDMAN", "M1111111"),
        ("in/b.edi", "240320", "NEWMAN", "M2222222"),
        ("in/c.edi", "240820", "OLDMAN", "M1111111"),
    ] {
        place.file(file, interchange(day, surname, document).as_bytes());
    }
    place.file(
        "in/d.edi",
        b"UNB+UNOA:4+KE+GOV+240301:1200+8'UNH+1+IFTMIN:D:02B:UN'NAD+OLDMAN'UNT+3+1'UNZ+1+8'",
    );
    let ingested = place.ingest("ingest", &[place.path("in")], None).await;
    assert_eq!((ingested.error, ingested.rows.archived), (None, 3));
    place
}

/// Data files of a table that its newest snapshot does not have.
async fn data_files(place: &Place, table: &str) -> usize {
    let live =
        Table::open(&place.archive, table).await.expect("a table").snapshot(None).await.expect("reads").files;
    let all = place.archive.list(table).await.expect("lists");
    let paths = all.iter().filter_map(|file| place.archive.relative(&file.location));
    let data = paths.filter(|path| path.ends_with(".parquet") && !path.contains("_delta_log"));
    data.filter(|path| live.iter().all(|file| *path != format!("{table}/{}", file.path))).count()
}

/// The names that stand in clear, with the days of their flights.
async fn values(place: &Place) -> Vec<String> {
    place.query("SELECT value || ' ' || flight_date FROM passengers_identities WHERE kind = 'name' AND value IS NOT NULL").await
}

#[tokio::test(flavor = "multi_thread")]
async fn old_identifiers_are_sealed_links_stay_and_the_key_opens_them_for_a_reason() {
    let place = place("passengers-depersonalise").await;
    let keys = "SELECT DISTINCT document_key FROM passengers_documents d JOIN passengers_travellers t \
                ON t.traveller_id = d.traveller_id WHERE t.flight_date = DATE '2024-03-01'";
    let key = place.query(keys).await.remove(0);
    let dry = Depersonalise { dry_run: true, ..depersonalise(&place) };
    let outcome = place.run_at("dry", &dry, NOW_MS).await;
    assert_eq!(outcome.error, None);
    assert_eq!(values(&place).await.len(), 3);
    assert_eq!(data_files(&place, "passengers/identities").await, 0);

    let outcome = place.run_at("depersonalise-1", &depersonalise(&place), NOW_MS).await;
    assert_eq!(outcome.error, None);
    assert!(
        outcome.metrics["depersonalise"]["files"].as_u64().is_some_and(|files| files > 0),
        "{:?}",
        outcome.metrics
    );
    // The flight of 20 March is younger than six months by five days.
    assert_eq!(values(&place).await, ["NEWMAN 2024-03-20", "OLDMAN 2024-08-20"]);
    assert_eq!(data_files(&place, "passengers/identities").await, 0, "what was replaced is gone");
    let details = "SELECT concat_ws(' ', CAST(flight_date AS VARCHAR), kind, detail) FROM passengers_issues";
    let kept = place.query(details).await;
    assert!(kept[0] == "2024-03-01 unknown-code" && kept[1].contains("QQQ") && kept.len() == 3, "{kept:?}");
    // What was put aside is as old as its ingest, in November 2023.
    assert_eq!(place.query("SELECT raw || value FROM quarantine").await, [""]);
    // The same document is the same pseudonym before and after.
    let shared = "SELECT count(*) FROM passengers_documents GROUP BY document_key";
    assert_eq!(place.query(shared).await, ["1", "2"]);

    let path = place.path("key");
    let reason = "case 2024/17, order of the prosecutor";
    let found = named(&place.archive, &key, reason, &path).await.expect("is named");
    assert_eq!(found, ["document  KOR M1111111"]);
    let traveller = "SELECT traveller_id FROM passengers_travellers WHERE flight_date = DATE '2024-03-01'";
    let traveller = place.query(traveller).await.remove(0);
    let found = named(&place.archive, &traveller, reason, &path).await.expect("is named");
    assert!(found.contains(&"name  OLDMAN  MIN JI  1990-05-13".to_owned()), "{found:?}");
    assert!(named(&place.archive, &key, "because", &path).await.is_err(), "no reason");
    let other = place.file("other", b"another key of enough bytes");
    assert!(named(&place.archive, &key, reason, &other).await.is_err(), "no key");
    let record = "SELECT concat_ws(' ', action, reason, CAST(cutoff AS VARCHAR), table_name, CAST(rows AS VARCHAR)) FROM passengers_audit";
    let record = place.query(record).await;
    assert_eq!(record.len(), 5, "{record:?}");
    assert!(
        record.iter().any(|entry| entry == "depersonalise age 2024-03-15 passengers/identities 3"),
        "{record:?}"
    );
    assert!(record.iter().any(|entry| entry.starts_with("reidentify case 2024/17")), "{record:?}");

    // A second time there is nothing to do, which is on record.
    let again = place.run_at("depersonalise-2", &depersonalise(&place), NOW_MS).await;
    assert_eq!((again.error, again.rows.read), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_means_gone_from_all_tables_and_from_the_store() {
    let place = place("passengers-delete").await;
    let delete = Delete { older_than: "6m".to_owned(), dry_run: false };
    let outcome = place.run_at("delete-1", &delete, NOW_MS).await;
    assert_eq!(outcome.error, None);
    for table in ["messages", "travellers", "documents", "bookings", "identities", "issues"] {
        let rows = place.query(&format!("SELECT DISTINCT flight_date FROM passengers_{table}")).await;
        assert_eq!(rows, ["2024-03-20", "2024-08-20"], "{table}");
    }
    assert!(place.query("SELECT raw FROM quarantine").await.is_empty());
    for table in crate::table::TABLES {
        assert_eq!(data_files(&place, table.table).await, 0, "{}", table.table);
    }
    let record = place.query("SELECT DISTINCT action || ' ' || cutoff FROM passengers_audit").await;
    assert_eq!(record, ["delete 2024-03-15"]);
    for age in ["6", "soon"] {
        let wrong = Delete { older_than: age.to_owned(), dry_run: true };
        assert!(
            place.run_at("wrong", &wrong, NOW_MS).await.error.is_some_and(|error| error.contains("no age"))
        );
    }
}
