//! The samples of PAXLST, checked by hand against their texts: flights, travellers, documents, and what is wrong with them.
//!
//! A line of a flight is its booking, route, departure, arrival and number; of a traveller the booking, names, title,
//! sex, birth and age class; of a document its traveller, kind, number, issuer and last day.

use super::{ends, found};

#[test]
fn sample_crew() {
    let Some(found) = found("paxlst/loader__Test1.txt") else { return };
    assert_eq!(found.legs, ["- FRA-IAD 2017-01-27T17:25 2017-01-28T07:10 UA989"]);
    assert_eq!(
        found.travellers,
        [
            "- Steur/Andrea/Pat F 1978-07-06 Unknown",
            "- Adomat/Julie/Pat F 1978-07-07 Unknown",
            "- Nalek/Clifton/Pat M 1978-07-08 Unknown",
            "- Meissener/Costa/Pat M 1978-07-09 Unknown",
            "- Pelzing/Melissa/Pat F 1978-07-10 Unknown",
            "- Merfort/Kevin/Pat M 1978-07-11 Unknown",
            "- Sautter/Kari/Pat F 1978-07-12 Unknown",
            "- Zschieschak/Jaclyn/Pat F 1978-07-13 Unknown"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 123456789 GBR 2061-02-18",
            "1 Passport 123456789 GBR 2061-02-18",
            "2 Passport 123456789 GBR 2061-02-18",
            "3 Passport 123456789 GBR 2061-02-18",
            "4 Passport 123456789 GBR 2061-02-18",
            "5 Passport 123456789 GBR 2061-02-18",
            "6 Passport 123456789 GBR 2061-02-18",
            "7 Passport 123456789 GBR 2061-02-18"
        ]
    );
    assert_eq!(found.issues, ["1 segment-count", "1 envelope reference", "1 envelope reference"]);
}

#[test]
fn sample_a_full_flight() {
    let Some(found) = found("paxlst/loader__Test3.txt") else { return };
    assert_eq!(found.legs, ["- FRA-IAD 2017-01-27T17:25 2017-01-28T07:10 UA989"]);
    assert_eq!(
        ends(&found.travellers),
        (260, "- Kuchel/Rachel/Pat F 1977-10-19 Unknown", "- Pfaffelhuber/Lisa/Pat F 1978-07-05 Unknown")
    );
    assert_eq!(
        ends(&found.documents),
        (260, "0 Passport 12345678 USA 2019-12-18", "259 Passport 12345678 GBR 2020-09-02")
    );
    assert_eq!(found.issues, ["1 character-set", "1 segment-count", "1 traveller-count"]);
}

#[test]
fn sample_separators_of_una() {
    let Some(found) = found("paxlst/loader__airline2.edi") else { return };
    assert_eq!(found.legs, ["- BRE-YEU 2014-05-11T13:40 2014-05-11T17:00 TN506"]);
    assert_eq!(
        found.travellers,
        [
            "0 BETTON/DAVID/ M 1954-10-16 Unknown",
            "0 TRIBBLE/FRANK/ M 1954-10-16 Unknown",
            "0 RIDER/GORDON/ M 1954-10-16 Unknown",
            "0 COOLEY/RAQUEL/ M 1954-10-16 Unknown",
            "0 YOUNG/JAVIER/ M 1954-10-16 Unknown",
            "0 ELLIOTT/CARMEN/ M 1954-10-16 Unknown",
            "0 WHITLOCK/APRIL/ M 1954-10-16 Unknown",
            "0 WESLEY/DAVID/ M 1954-10-16 Unknown",
            "0 STEWART/MARYJANE/ M 1954-10-16 Unknown",
            "0 LOWE/DANIEL/ M 1954-10-16 Unknown"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 178556534 USA 2018-02-21",
            "1 Passport 130906000 USA 2018-02-21",
            "2 Passport 185723910 USA 2018-02-21",
            "3 Passport 361569645 USA 2018-02-21",
            "4 Passport 132434347 USA 2018-02-21",
            "5 Passport 321648375 USA 2018-02-21",
            "6 Passport 293312850 USA 2018-02-21",
            "7 Passport 169177598 USA 2018-02-21",
            "8 Passport 179868051 USA 2018-02-21",
            "9 Passport 153284238 USA 2018-02-21"
        ]
    );
    assert_eq!(found.issues, ["1 reference", "1 segment-count", "1 traveller-count"]);
}

#[test]
fn sample_two_flights() {
    let Some(found) = found("paxlst/parsers__apisMessage.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- ATL-ORD 2007-02-19T15:40 2007-02-19T17:40 AA123",
            "- ORD-JFK 2007-02-19T18:40 2007-02-19T19:55 AA124"
        ]
    );
    assert_eq!(
        found.travellers,
        ["0 CLARK/MICHAEL/ M 1972-09-07 Unknown", "0 CLARK/CHERYL/ F 1973-04-07 Unknown"]
    );
    assert!(found.documents.is_empty());
    assert!(found.issues.is_empty());
}

#[test]
fn sample_flight_1() {
    let Some(found) = found("pnrgov/job-scheduler-war__flight1.txt") else { return };
    assert_eq!(found.legs, ["- SCL-JFK 2020-01-19T23:00 2020-01-20T07:40 LA532"]);
    assert_eq!(
        found.travellers,
        [
            "0 JIANG/HSIUYUAN/ F 1967-06-03 Unknown",
            "1 CAPONE/LISA/ALVINA F 1972-08-05 Unknown",
            "2 CANNON/ALEXANDRA/EVA F 1985-09-14 Unknown",
            "2 STEFANSKI/GUY/GUILLERMO M 1961-10-21 Unknown",
            "2 JOSEPH/GAYLA/COOKE F 1970-02-02 Unknown",
            "2 NOOD/TEGAN/EMILY F 1964-12-21 Unknown",
            "2 CROUCH/MILES/RODGER M 1997-11-02 Unknown",
            "3 MUNOZ/CHARLES/STEVE M 1941-01-08 Unknown",
            "3 HARPOLE/AIDA/REBBECA F 1980-04-20 Unknown",
            "3 O GRADY/EMMA/MAISIE F 2000-05-20 Unknown"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Other 433419360 CHN 2023-09-20",
            "0 Visa 57131424 USA 2021-07-29",
            "1 Passport 907316631 USA 2025-11-03",
            "2 Passport 396949747 2026-12-05",
            "2 Visa 86443634 USA 2020-05-17",
            "3 Passport 816522620 USA 2024-02-29",
            "4 Passport 276616110 GBR 2021-01-31",
            "4 Visa 07970853 USA 2020-02-08",
            "5 Passport 611192669 GBR 2021-10-26",
            "5 Visa 95130935 USA 2021-07-23",
            "6 Passport 67972726 USA 2018-12-23",
            "7 Passport 910936537 USA 2019-09-28",
            "8 Passport 118810667 USA 2019-07-06",
            "9 Passport 209415811 GBR 2018-08-05",
            "9 Visa 39528517 USA 2019-12-17"
        ]
    );
    assert_eq!(found.issues, ["1 missing-value", "1 segment-count"]);
}

#[test]
fn sample_flight_2() {
    let Some(found) = found("pnrgov/job-scheduler-war__flight2.txt") else { return };
    assert_eq!(found.legs, ["- KEF-JFK 2020-02-26T12:00 2020-02-26T18:00 FI615"]);
    assert_eq!(
        found.travellers,
        [
            "0 WATERFIELD/RHYS/THOMAS M 1953-12-24 Unknown",
            "1 CHIANG/XIUYUAN/ F 1967-06-04 Unknown",
            "2 BAIRD/EMOGENE/EMERITA F 1947-05-20 Unknown",
            "2 LARSON/ROBBIN/ZORA F 1966-05-19 Unknown",
            "2 PARNELL/JACOB/BAILEY M 1979-09-20 Unknown",
            "2 GWOCK/HUI/ZHEN F 1966-06-28 Unknown",
            "3 THEBAULT/REUBEN/ M 1945-01-13 Unknown",
            "3 PANG/MIKA/CASSIE F 1943-05-15 Unknown",
            "4 ERNEST/MARISA/MALVINA F 1964-05-01 Unknown",
            "4 LOWE/JESSICA/KATE F 1965-03-08 Unknown"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Other 482606407 2018-11-09",
            "0 Other 48302004 USA 2021-04-25",
            "1 Passport 51447450 CHN 2019-11-10",
            "1 Visa 69396759 USA 2020-03-27",
            "2 Passport 480251811 USA 2026-07-08",
            "3 Passport 548938958 USA 2018-08-28",
            "4 Passport 40360733 GBR 2025-07-28",
            "4 Visa 44829663 USA 2020-09-18",
            "5 Passport 404520533 ERI 2024-10-03",
            "5 Visa 47832521 USA 2020-08-25",
            "6 Passport 700731195 ERI 2019-01-16",
            "6 Visa 90814620 USA 2021-05-31",
            "7 Passport 776756271 USA 2018-06-09",
            "8 Passport 971686627 USA 2026-10-19",
            "9 Passport 339436223 GBR 2023-12-02",
            "9 Other 33303259 USA 2020-11-09"
        ]
    );
    assert_eq!(found.issues, ["1 missing-value", "1 segment-count", "2 unknown-code"]);
}

#[test]
fn sample_flight_3() {
    let Some(found) = found("pnrgov/job-scheduler-war__flight3.txt") else { return };
    assert_eq!(found.legs, ["- IAD-BRU 2020-04-24T12:00 2020-04-24T13:22 YY123"]);
    assert_eq!(
        found.travellers,
        [
            "0 MCLOUGHLIN/BEN/HARRY M 1946-10-07 Unknown",
            "1 DELEON/ANGELA/THERESA F 1953-09-19 Unknown",
            "1 MUHLBAUER/JINDRA/SABINA F 1956-01-28 Unknown",
            "1 OBRIEN/HARLEY/ELLIS M 1993-11-28 Unknown",
            "2 WARREN/KAYLEIGH/ELOISE F 2001-03-28 Unknown",
            "3 STRINGER/WILLIAM/MORGAN M 1996-01-25 Unknown",
            "4 JIANG/XIUYUAN/ F 1967-06-03 Unknown",
            "5 SPOONER/GROVER/RUBIN M 1972-12-23 Unknown",
            "6 JOSEPH/GAELLA/COOK M 1970-02-02 Unknown",
            "7 YOHANNES/MUSTAFA/DAWIT M 1967-03-26 Unknown"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 563056942 GBR 2020-09-09",
            "0 Visa 67379768 USA 2020-05-22",
            "1 Passport 792869438 USA 2017-07-24",
            "2 Passport 741425896 ERI 2019-08-07",
            "2 Visa 12781931 USA 2020-08-26",
            "3 Passport 489741956 GBR 2024-04-23",
            "3 Visa 77328686 USA 2020-07-29",
            "4 Passport 291326056 GBR 2026-06-14",
            "4 Visa 59088135 USA 2021-04-16",
            "5 Passport 91950436 GBR 2017-03-31",
            "5 Visa 39947468 USA 2021-06-12",
            "6 Passport 461448207 CHN 2021-02-26",
            "6 Visa 19495986 USA 2020-08-15",
            "7 Passport 115610430 USA 2026-01-10",
            "8 Passport 581607302 GBR 2021-01-07",
            "8 Visa 23030162 USA 2021-03-27",
            "9 Passport 849816808 IND 2026-09-14",
            "9 Visa 23366392 USA 2021-02-13"
        ]
    );
    assert_eq!(found.issues, ["1 segment-count"]);
}
