//! The ingest as a job in this process: what becomes of messages, good and bad, and of CSV files.

use std::io::Write as _;

use crate::testing::{Place, samples};

/// A passenger list of two travellers.
fn list(reference: &str, people: &str) -> String {
    format!(
        "UNH+{reference}+PAXLST:D:02B:UN:IATA'BGM+745'NAD+MS+++CENTRE'COM+0821234567:TE'TDT+20+KE902+++KE'LOC+125+CDG'\
         DTM+189:2403011310:201'LOC+87+ICN'DTM+232:2403020840:201'{people}UNT+SEGMENTS+{reference}'"
    )
}

/// A message with its number of segments.
fn counted(text: &str) -> String {
    text.replace("SEGMENTS", &text.matches('\'').count().to_string())
}

fn interchange(messages: &[String]) -> String {
    let texts: String = messages.iter().map(|text| counted(text)).collect();
    format!("UNB+UNOA:4+KE+GOV+240229:1200+7'{texts}UNZ+{}+7'", messages.len())
}

const KIM: &str = "NAD+FL+++KIM:MIN JI'ATT+2++F'DTM+329:900513'NAT+2+KOR'RFF+AVF:ABC123'DOC+P+M12345678'DTM+36:300101'\
                   LOC+91+KOR'";

const LEE: &str = "NAD+FL+++LEE:JUN'ATT+2++M'DTM+329:851201'NAT+2+KOR'RFF+AVF:ABC123'RFF+SEA:12A'DOC+P+M87654321'LOC+91+QQQ'";

const BOOKING: &str = "UNH+9+PNRGOV:11:1:IA'MSG+:22'ORG+KE:SEL'TVL+010324:1310:020324:0840+CDG+ICN+KE+902'EQN+1'SRC'\
    RCI+KE:ABC123::010224:1015'DAT+700:020224:1100'ORG+1A:PAR+12345678:PAR1A+PAR++T+FR:EUR+A1'\
    IFT+4:28::KE+CTCE KIM.MINJI//MAIL.ORG'TIF+KIM+MINJI MS:A:1'REF+:N1'\
    SSR+DOCS:HK:1:KE:::::/P/KOR/M12345678/KOR/13MAY90/F/01JAN30/KIM/MIN JI++::1'\
    FOP+CC::950:VI:XXXXXXXXXXXX1234:0128'TVL+010324:1310:020324:0840+CDG+ICN+KE+902:Y'RPI++HK'\
    TVL+100324:0900:100324:1400+ICN+CDG+KE+901:Y'RPI++HK'ABC+1'UNT+SEGMENTS+9'";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_becomes_rows_of_all_tables_with_pseudonyms_that_agree() {
    let place = Place::new("passengers-rows");
    let file =
        place.file("a.edi", interchange(&[list("1", &[KIM, LEE].concat()), BOOKING.to_owned()]).as_bytes());
    let outcome = place.ingest("job-1", &[file], None).await;
    assert_eq!(outcome.error, None);
    assert_eq!((outcome.rows.read, outcome.rows.archived, outcome.rows.quarantined), (2, 2, 0));
    let messages =
        "SELECT kind || ' ' || flight_id || ' ' || travellers || ' ' || characters FROM passengers_messages";
    assert_eq!(
        place.query(messages).await,
        ["PAXLST KE902-20240301-CDG 2 UNOA", "PNRGOV KE902-20240301-CDG 1 UNOA"]
    );
    let travellers = "SELECT concat_ws(' ', CAST(age AS VARCHAR), sex, nationality, seat, CAST(documents AS VARCHAR)) FROM passengers_travellers";
    assert_eq!(place.query(travellers).await, ["33 F KOR 1", "33 F KOR 1", "38 M KOR 12A 1"]);
    // Both messages have the same person, document and booking, under the same pseudonyms.
    let shared = |column: &str, table: &str| {
        format!("SELECT count(*) FROM passengers_{table} GROUP BY {column} ORDER BY 1")
    };
    assert_eq!(place.query(&shared("name_key", "travellers")).await, ["1", "2"]);
    assert_eq!(place.query(&shared("document_key", "documents")).await, ["1", "2"]);
    assert_eq!(place.query(&shared("booking_id", "travellers")).await, ["3"]);
    assert_eq!(
        place.query("SELECT concat_ws(' ', CAST(legs AS VARCHAR), origin, destination, CAST(is_return AS VARCHAR), CAST(changes AS VARCHAR)) FROM passengers_bookings WHERE legs > 0").await,
        ["2 CDG ICN true 0"]
    );
    let legs = "SELECT concat_ws(' ', CAST(number AS VARCHAR), flight_id, status, class) FROM passengers_legs WHERE booking_id IS NOT NULL";
    assert_eq!(place.query(legs).await, ["1 KE902-20240301-CDG HK Y", "2 KE901-20240310-ICN HK Y"]);
    let kept = "SELECT kind || ' ' || value FROM passengers_identities WHERE kind NOT IN ('name', 'locator')";
    assert_eq!(
        place.query(kept).await,
        [
            "account VI/XXXXXXXXXXXX1234/0128",
            "agent 12345678/A1",
            "document KOR M12345678",
            "document KOR M12345678",
            "document QQQ M87654321",
            "email kim.minji@mail.org",
            "phone 0821234567",
        ]
    );
    let issues = "SELECT concat_ws(' ', kind, CAST(segment AS VARCHAR), tag, raw) FROM passengers_issues";
    assert_eq!(place.query(issues).await, ["unknown-code 25 LOC", "unknown-segment 19 ABC ABC+1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ingested_adds_nothing_and_what_comes_twice_is_taken_once() {
    let place = Place::new("passengers-again");
    let (one, two) = (list("1", KIM), list("2", LEE));
    let file = place.file("a.edi", interchange(&[one.clone(), two.clone(), one.clone()]).as_bytes());
    let first = place.ingest("job-1", std::slice::from_ref(&file), None).await;
    assert_eq!((first.error, first.rows.archived), (None, 2));
    assert_eq!(first.metrics["passengers"]["repeated"], 1);
    // The same bytes, then the same message beside a new one in a compressed file of two interchanges.
    let again = place.ingest("job-2", &[file], None).await;
    assert_eq!(
        (again.error, again.rows.read, &again.metrics["passengers"]["known_files"]),
        (None, 0, &1.into())
    );
    let both = [interchange(&[two]), interchange(&[list("3", &[KIM, LEE].concat())])].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(both.as_bytes()).expect("in memory");
    place.file("more/b.edi.gz", &gzip.finish().expect("ended"));
    let more = place.ingest("job-3", &[place.path("more")], None).await;
    assert_eq!((more.error, more.rows.archived, &more.metrics["passengers"]["known"]), (None, 1, &1.into()));
    assert_eq!(place.query("SELECT count(*) FROM passengers_travellers").await, ["4"]);
    let other = place.file("key", b"another key of enough bytes");
    let refused = place.ingest("job-4", &[place.path("more")], None).await;
    assert!(refused.error.is_some_and(|error| error.contains(&other) && error.contains("another key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_input_is_kept_and_flagged_or_put_aside_with_its_place() {
    let place = Place::new("passengers-broken");
    let whole = interchange(&[list("1", KIM)]);
    let cut = whole.split("DOC+P").next().expect("a beginning").to_owned();
    let count = whole.replace("UNZ+1", "UNZ+5").replace("UNT+", "UNT+9").replace("KIM:MIN JI", "PARK:SU");
    let births = interchange(&[list("2", &KIM.replace("NAT+2", "DTM+329:900514'NAT+2"))]);
    let other = "UNB+UNOA:4+KE+GOV+240229:1200+8'UNH+1+IFTMIN:D:02B:UN'BGM+1'UNT+3+1'UNZ+1+8'";
    let nothing = "UNB+UNOA:4+KE+GOV+240229:1200+9'UNH+1+PAXLST:D:02B:UN'BGM+745'UNT+3+1'UNZ+1+9'";
    let mut latin = interchange(&[list("4", &KIM.replace("KIM:MIN JI", "MUELLER:ZOE"))]).into_bytes();
    let at = latin.windows(3).position(|three| three == b"ZOE").expect("there");
    latin[at + 2] = 0xcb;
    let latin = [b"UNB+UNOC".as_slice(), &latin[8..]].concat();
    for (name, bytes) in [
        ("a-cut.edi", cut.as_bytes()),
        ("b-count.edi", count.as_bytes()),
        ("c-births.edi", births.as_bytes()),
        ("d-other.edi", other.as_bytes()),
        ("e-nothing.edi", nothing.as_bytes()),
        ("f-empty.edi", b""),
        ("g-garbage.edi", b"\x7fELF nonsense"),
        ("h-latin.edi", &latin),
        ("i-damaged.edi.gz", b"\x1f\x8b\x08\x00nonsense"),
    ] {
        place.file(&format!("in/{name}"), bytes);
    }
    let outcome = place.ingest("job-1", &[place.path("in")], None).await;
    assert_eq!(outcome.error, None);
    assert_eq!((outcome.rows.read, outcome.rows.archived, outcome.rows.quarantined), (9, 4, 5));
    let flagged = "SELECT DISTINCT kind || ' ' || (message_id IS NULL) FROM passengers_issues";
    assert_eq!(
        place.query(flagged).await,
        [
            "birth-dates false",
            "cut-interchange true",
            "cut-message false",
            "message-count true",
            "segment-count false"
        ]
    );
    let aside = "SELECT right(file, strpos(reverse(file), '/') - 1) || ': ' || rule FROM quarantine";
    assert_eq!(
        place.query(aside).await,
        [
            "d-other.edi: it is neither PAXLST nor PNRGOV",
            "e-nothing.edi: it has no flight, no booking and no traveller",
            "f-empty.edi: the file is empty",
            "g-garbage.edi: text outside of all interchanges",
            "i-damaged.edi.gz: the file is cut off or damaged: its gzip stream does not end as it should",
        ]
    );
    let raw = place.query("SELECT raw FROM quarantine WHERE file LIKE '%d-other%'").await;
    assert_eq!(raw, ["UNH+1+IFTMIN:D:02B:UN'BGM+1'UNT+3+1'"]);
    let names = "SELECT value || ' ' || given FROM passengers_identities WHERE kind = 'name'";
    assert_eq!(place.query(names).await, ["KIM MIN JI", "KIM MIN JI", "MUELLER ZOË", "PARK SU"]);
    let nothing = place.ingest("job-2", &[place.path("in/g-garbage.edi")], None).await;
    assert!(nothing.error.is_some_and(|error| error.contains("everything is put aside")));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_inspections_come_from_csv_by_a_mapping_under_the_same_pseudonyms() {
    let place = Place::new("passengers-csv");
    let file = place.file("a.edi", interchange(&[list("1", KIM)]).as_bytes());
    assert_eq!(place.ingest("job-1", &[file], None).await.error, None);
    let mapping = "country = \"KR\"\ndelimiter = \";\"\n[columns]\ncarrier = { from = \"airline\" }\nflight = { from = \"no\" }\n\
                   departs_on = { from = \"day\" }\nfrom_airport = { from = \"from\" }\nsurname = { from = \"surname\" }\n\
                   given = { from = \"given\" }\nbirth = { from = \"birth\" }\ndocument_number = { from = \"passport\" }\n\
                   document_issuer = { from = \"issuer\" }\nlocator = { from = \"pnr\" }\nbags = { from = \"bags\" }\n";
    let mapping = place.file("lists.toml", mapping.as_bytes());
    let rows = "airline;no;day;from;surname;given;birth;passport;issuer;pnr;bags\n\
                KE;0902;2024-03-01;CDG;Kim;Min Ji;1990-05-13;M 1234 5678;KR;abc123;2\n\
                KE;902;someday;CDG;Lee;Jun;1985-12-01;M87654321;KR;ABC123;1\n";
    let rows = place.file("lists.csv", rows.replace("abc123", "ABC123").as_bytes());
    let lists = place.ingest("job-2", std::slice::from_ref(&rows), Some(mapping.clone())).await;
    assert_eq!((lists.error, lists.rows.archived, lists.rows.quarantined), (None, 1, 1));
    for (column, table) in
        [("name_key", "travellers"), ("document_key", "documents"), ("booking_id", "travellers")]
    {
        let query = format!("SELECT count(DISTINCT {column}) || ' ' || count(*) FROM passengers_{table}");
        assert_eq!(place.query(&query).await, ["1 2"], "{column}");
    }
    assert_eq!(place.query("SELECT bags FROM passengers_travellers WHERE bags IS NOT NULL").await, ["2"]);
    let again = place.ingest("job-3", &[rows], Some(mapping)).await;
    assert_eq!((again.error, again.rows.archived), (None, 0));

    let mapping = "table = \"passengers/outcomes\"\ncountry = \"KR\"\n[columns]\ncarrier = { constant = \"KE\" }\n\
                   flight = { from = \"no\" }\ndeparts_on = { from = \"day\" }\nfrom_airport = { constant = \"CDG\" }\n\
                   document_number = { from = \"passport\" }\ndocument_issuer = { constant = \"KOR\" }\n\
                   inspected_on = { from = \"inspected\" }\nfound = { from = \"found\" }\ncategory = { from = \"what\" }\n\
                   selected_by = { constant = \"officer\" }\n";
    let mapping = place.file("outcomes.toml", mapping.as_bytes());
    let rows = "no,day,passport,inspected,found,what\n902,2024-03-01,M12345678,2024-03-02,true,cash\n";
    let rows = place.file("outcomes.csv", rows.as_bytes());
    let outcomes = place.ingest("job-4", std::slice::from_ref(&rows), Some(mapping.clone())).await;
    assert_eq!((outcomes.error, outcomes.rows.archived), (None, 1));
    let found = "SELECT o.category || ' ' || o.selected_by || ' ' || o.known_on FROM passengers_outcomes o \
                 JOIN passengers_documents d ON o.document_key = d.document_key \
                 JOIN passengers_travellers t ON t.traveller_id = d.traveller_id AND t.flight_id = o.flight_id \
                 JOIN passengers_messages m ON m.message_id = t.message_id WHERE m.kind = 'PAXLST'";
    assert_eq!(place.query(found).await, ["cash officer 2024-03-02"]);
    let again = place.ingest("job-5", &[rows], Some(mapping)).await;
    assert_eq!((again.error, again.rows.archived), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_published_samples_are_archived() {
    let Some(folder) = samples() else { return };
    let place = Place::new("passengers-samples");
    let folders = ["paxlst", "pnrgov", "pnrgov-xml"].map(|name| folder.join(name).display().to_string());
    let outcome = place.ingest("job-1", &folders, None).await;
    assert_eq!(outcome.error, None);
    let counts =
        "SELECT kind || ' ' || count(*) || ' ' || sum(travellers) FROM passengers_messages GROUP BY kind";
    println!("{:?}", place.query(counts).await);
    println!("{:?}", place.query("SELECT file || rule || value FROM quarantine").await);
    println!("{:#?}", outcome.metrics);
    assert_eq!(outcome.rows.read, outcome.rows.archived + outcome.rows.quarantined);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_ingest_is_an_input_error() {
    let place = Place::new("passengers-input");
    let file = place.file("a.edi", interchange(&[list("1", KIM)]).as_bytes());
    let asked = crate::ingest::Parameters {
        files: vec![file.clone()],
        country: Some("KR".to_owned()),
        mapping: None,
        key: Some(place.path("key")),
    };
    let mapping = place.file("m.toml", b"country = \"KR\"\n[columns]\nname = { from = \"x\" }\n");
    for (number, (parameters, says)) in [
        (crate::ingest::Parameters { country: None, ..asked.clone() }, "--country"),
        (crate::ingest::Parameters { key: Some(place.path("none")), ..asked.clone() }, "key"),
        (
            crate::ingest::Parameters { key: Some("env:TIDEWAITER_NO_SUCH".to_owned()), ..asked.clone() },
            "--key",
        ),
        (crate::ingest::Parameters { files: vec![place.path("none")], ..asked.clone() }, "none"),
        (crate::ingest::Parameters { mapping: Some(mapping), ..asked.clone() }, "standard column"),
    ]
    .into_iter()
    .enumerate()
    {
        let error = place.run(&format!("job-{number}"), &parameters).await.error.expect(says);
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(place.run("right", &asked).await.error, None);
}
