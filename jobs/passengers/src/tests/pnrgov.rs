//! The samples of PNRGOV, checked by hand against their texts: flights, travellers, documents, and what is wrong with them.
//!
//! A line of a flight is its booking, route, departure, arrival and number; of a traveller the booking, names, title,
//! sex, birth and age class; of a document its traveller, kind, number, issuer and last day.

use super::{ends, found};

#[test]
fn sample_two_bookings() {
    let Some(found) = found("pnrgov/loader__2_pnrs_basic.edi") else { return };
    assert_eq!(
        found.legs,
        [
            "- LHR-JFK 2010-12-12T09:15 ? DL324",
            "0 LHR-JFK 2010-12-12T09:15 2010-12-12T12:30 DL324",
            "0 JFK-YVR 2010-12-12T22:00 2010-12-12T23:30 DL330",
            "0 YVR- 2010-12-12T15:00 2010-12-15 VN67576 on the ground",
            "1 LHR-JFK 2010-12-12T09:15 2010-12-12T12:30 DL324",
            "1 JFK-YVR 2010-12-12T22:00 2010-12-12T23:30 DL330"
        ]
    );
    assert_eq!(
        found.travellers,
        [
            "0 SMITH/JOHN/ROBERT MR M 1964-07-12 Adult",
            "0 JONES/WILLIAM/NEVELL MR M 1964-07-12 Adult",
            "1 WAYNE/JOHN/ALVA MR M 1912-07-12 Adult",
            "1 COOPER/GARY/WILLIAM MR M 1915-07-12 Adult"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 123456789 GBR 2019-08-23",
            "2 Passport 123456789 GBR 2015-08-23",
            "3 Passport 987654321 GBR 2013-01-15"
        ]
    );
    assert_eq!(found.issues, ["1 misplaced-value", "1 segment-count"]);
}

#[test]
fn sample_three_bookings() {
    let Some(found) = found("pnrgov/loader__3_pnrs.edi") else { return };
    assert_eq!(
        found.legs,
        [
            "- SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "0 SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "0 OOL-SIN 2013-05-31T09:00 2013-05-31T15:00 TZ5",
            "1 LHR-SIN 2013-05-27T19:15 2013-05-28T15:05 BA11",
            "1 SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "1 OOL-SIN 2013-06-05T09:00 2013-06-05T15:00 TZ5",
            "1 SIN-LHR 2013-06-05T22:55 2013-06-06T05:00 BA12",
            "2 SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "2 OOL-SIN 2013-06-17T09:00 2013-06-17T15:00 TZ5"
        ]
    );
    assert_eq!(
        found.travellers,
        [
            "0 VANDENBERG/KEVIN/MICHAEL MR M 1980-07-04 Adult",
            "1 DYE/DOLAN/ MR M 1990-02-01 Adult",
            "1 DYE/KAYLA/ MS F 1993-04-07 Adult",
            "1 DYE/ARCHER/ M 2012-04-15 Infant",
            "2 CAPSON/LISAL/ MS ? ? Adult",
            "2 CAPSON/HUNTER/ M 1992-04-27 Adult",
            "2 ALLEN/SETH/ ? ? Adult",
            "2 TBA/C/ ? ? Adult",
            "2 TBA/D/ ? ? Adult",
            "2 TBA/E/ ? ? Adult",
            "2 TBA/F/ ? ? Adult",
            "2 TBA/G/ ? ? Adult",
            "2 TBA/H/ ? ? Adult"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 548721687 USA 2019-01-12",
            "1 Passport 159264375 USA 2019-11-20",
            "2 Passport 345678901 USA 2018-12-15",
            "3 Passport 654321987 USA 2019-12-31"
        ]
    );
    assert_eq!(found.issues, ["6 placeholder-name"]);
}

#[test]
fn sample_adult_and_infant() {
    let Some(found) = found("pnrgov/loader__adult_and_infant.edi") else { return };
    assert_eq!(
        found.legs,
        [
            "- MTY-LAS 2013-05-23T10:39 2013-05-23T11:42 AM498",
            "0 BOG-MEX 2013-05-15T01:05 2013-05-15T05:57 AM709",
            "0 MEX-CUN 2013-05-19T15:00 2013-05-19T17:10 AM445",
            "0 CUN-BOG 2013-05-23T01:35 2013-05-23T05:00 AM718"
        ]
    );
    assert_eq!(
        found.travellers,
        [
            "0 TESTSURNAMEONE/TESTNAMEONE/ MRS F 1976-05-30 Adult",
            "0 TESTSURNAMETWO/TESTNAMETWO/ F 2011-08-10 Infant"
        ]
    );
    assert_eq!(found.documents, ["0 Passport 52263000 COL 2015-10-31", "1 Passport AO234000 COL 2022-12-21"]);
    assert!(found.issues.is_empty());
}

#[test]
fn sample_infant() {
    let Some(found) = found("pnrgov/loader__infant.edi") else { return };
    assert_eq!(
        found.legs,
        [
            "- SIN-ICN 2013-05-27T14:30 2013-05-27T22:05 SQ602",
            "0 SIN-ICN 2013-05-27T14:30 2013-05-27T22:05 SQ602"
        ]
    );
    assert_eq!(
        found.travellers,
        ["0 BELT/ISABELLE/RUTH MRS F 1978-07-01 Adult", "0 BELT/SOPHY/OLIVIA F 2012-09-20 Infant"]
    );
    assert_eq!(
        found.documents,
        ["1 Passport 512731999 GBR 2017-10-25", "0 Passport 509229987 GBR 2022-11-12"]
    );
    assert_eq!(
        found.issues,
        ["1 bad-number", "1 missing-terminator", "1 segment-count", "1 envelope typographic-terminator"]
    );
}

#[test]
fn sample_no_pnr_history() {
    let Some(found) = found("pnrgov/loader__no_pnr_history.edi") else { return };
    assert_eq!(
        found.legs,
        [
            "- MUC-YUL 2013-05-27T15:50 2013-05-27T18:20 LH474",
            "0 MUC-YUL 2013-05-27T15:50 2013-05-27T18:20 AC9099 by LH474",
            "1 VCE-MUC 2013-05-27T13:00 2013-05-27T14:05 LH9457 by EN8203",
            "1 MUC-YUL 2013-05-27T15:50 2013-05-27T18:20 LH474",
            "2 MUC-YUL 2013-05-27T15:50 2013-05-27T18:20 LH474"
        ]
    );
    assert_eq!(
        found.travellers,
        [
            "0 JACKS/JAMES/ M 1966-04-21 Unknown",
            "1 CARRERA/MARCUS/ MR M 1980-04-17 Unknown",
            "2 DORON/NINA/ MS F 1953-02-05 Unknown",
            "2 LENDROT/CHARLOTTE/ MS F 1952-02-14 Unknown"
        ]
    );
    assert_eq!(found.documents, ["1 Passport YA0196755 ITA 2020-01-11"]);
    assert!(found.issues.is_empty());
}

#[test]
fn sample_pnr1() {
    let Some(found) = found("pnrgov/loader__pnr1.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- LHR-JFK 2010-12-12T09:15 ? DL324",
            "0 LHR-JFK 2010-12-12T09:15 2010-12-12T12:30 DL324",
            "0 JFK-YVR 2010-12-12T22:00 2010-12-12T23:30 DL330",
            "0 YVR- 2010-12-12T15:00 2010-12-15 VN67576 on the ground"
        ]
    );
    assert_eq!(
        found.travellers,
        ["0 SMITH/JOHN/ROBERT MR M 1964-07-12 Adult", "0 JONES/WILLIAM/NEVELL MR M 1964-07-12 Adult"]
    );
    assert_eq!(found.documents, ["0 Passport 123456789 GBR 2019-08-23"]);
    assert_eq!(found.issues, ["1 segment-count"]);
}

#[test]
fn sample_pnr2() {
    let Some(found) = found("pnrgov/loader__pnr2.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- LHR-JFK 2010-12-12T09:15 ? DL324",
            "0 LHR-JFK 2010-12-12T09:15 2010-12-12T12:30 DL324",
            "0 JFK-YVR 2010-12-12T22:00 2010-12-12T23:30 DL330"
        ]
    );
    assert_eq!(
        found.travellers,
        ["0 WAYNE/JOHN/ALVA MR M 1912-07-12 Adult", "0 COOPER/GARY/WILLIAM MR M 1915-07-12 Adult"]
    );
    assert_eq!(
        found.documents,
        ["0 Passport 123456789 GBR 2015-08-23", "1 Passport 987654321 GBR 2013-01-15"]
    );
    assert_eq!(found.issues, ["1 misplaced-value", "1 segment-count"]);
}

#[test]
fn sample_pnr3() {
    let Some(found) = found("pnrgov/loader__pnr3.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- FRA-IAD 2019-08-30T12:20 2019-08-30T15:05 UA988",
            "0 FRA-OSL 2019-08-20T10:05 2019-08-20T12:00 UA9146 by LH860",
            "0 OSL-FRA 2019-08-30T06:05 2019-08-30T08:15 UA9095 by LH865",
            "0 FRA-IAD 2019-08-30T12:20 2019-08-30T15:05 UA988"
        ]
    );
    assert_eq!(
        found.travellers,
        [
            "0 DOOLIN/PETER/SEBASTIAN M 1949-09-21 Adult",
            "0 CHISOLM/MERLE/LEISA F 1948-09-21 Adult",
            "0 WOO/FEN/MULAN F 1997-09-04 Adult",
            "0 FENWICK/ABBY/LOUISE F 1953-07-06 Adult"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 276222776 GBR 2017-12-20",
            "1 Passport 872204801 USA 2020-07-02",
            "2 Other 270398251 ERI 2017-11-18",
            "3 Passport 422615487 GBR 2017-05-08"
        ]
    );
    assert_eq!(found.issues, ["1 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnr4() {
    let Some(found) = found("pnrgov/loader__pnr4.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- FRA-IAD 2019-08-26T12:20 2019-08-26T15:05 UA988",
            "0 FRA-IAD 2019-08-26T12:20 2019-08-26T15:05 UA988",
            "0 IAD-FRA 2019-08-15T17:20 2019-08-16T07:20 UA989"
        ]
    );
    assert_eq!(found.travellers, ["0 RAVAL/CHRISTOPHER/JAY M 1964-09-09 Adult"]);
    assert_eq!(found.documents, ["0 Passport 117557052 GBR 2025-05-16"]);
    assert_eq!(found.issues, ["1 misplaced-value", "1 reference", "1 envelope reference"]);
}

#[test]
fn sample_pnrmessageexample() {
    let Some(found) = found("pnrgov/loader__pnrMessageExample.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988",
            "0 WDH-ADD 2018-09-27T14:20 2018-09-27T21:20 ET834",
            "0 ADD-FRA 2018-09-27T23:20 2018-09-28T05:31 ET706",
            "0 FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"
        ]
    );
    assert_eq!(
        found.travellers,
        [
            "0 LOBB/MOLLY/ZARA MRS F 1954-08-13 Adult",
            "0 PHILIPPS/MATTHIAS/TIM MR M 1942-10-21 Adult",
            "0 BOLOGNA/BRANDON/WINSTON MR M 1960-06-16 Adult",
            "0 EULENBERGER/LUCA/MARIO MR M 1941-10-23 Adult",
            "0 HABTE/LIYA/SOPHIA MRS F 1960-03-29 Adult"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 796428965 GBR 2025-04-26",
            "1 Passport 330102546 2024-01-08",
            "2 Passport 445488562 USA 2019-01-07",
            "3 Passport 761852513 ERI 2020-12-06",
            "4 Passport 254881089 DEU 2021-05-04"
        ]
    );
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_bigmessagepnr() {
    let Some(found) = found("pnrgov/parsers__bigMessagePnr.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988",
            "0 WDH-ADD 2018-09-27T14:20 2018-09-27T21:20 ET834",
            "0 ADD-FRA 2018-09-27T23:20 2018-09-28T05:31 ET706",
            "0 FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"
        ]
    );
    assert_eq!(
        found.travellers,
        [
            "0 HOLCOMBE/LORELEI/LISE MRS F 1998-08-12 Adult",
            "0 EMMETT/JOSEPH/DANIEL MR M 1970-03-23 Adult",
            "0 MALDONADO/JACQUELYNN/FAITH MRS F 1976-04-16 Adult",
            "0 NUGUSE/NEGISTI/TEMSHE MRS F 1972-10-01 Adult",
            "0 SLOCOMBE/LUCY/LYDIA MRS F 1969-11-09 Adult",
            "0 MICHAELS/WELDON/RAPHAEL MR M 1992-08-26 Adult",
            "0 HOU/LI/SHI MR M 1993-09-25 Adult"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 813281747 USA 2019-12-08",
            "1 Passport 388349438 GBR 2026-05-01",
            "2 Passport 315507126 USA 2021-04-18",
            "3 Passport 355146303 CHN 2026-04-04",
            "4 Passport 548241627 GBR 2022-02-25",
            "5 Passport 381798541 USA 2027-01-15",
            "6 Passport 945329717 ERI 2023-04-21"
        ]
    );
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_modifypnr77forcodeshare() {
    let Some(found) = found("pnrgov/parsers__modifyPnr77ForCodeShare.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "0 LHR-ARN 2022-01-11T19:00 2022-01-11T22:30 SQ5678 by SK1524",
            "0 ATL-AMS 2010-04-01T22:35 2010-04-02T12:00 DL8976 by KL972",
            "0 SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "0 OOL-SIN 2013-05-31T09:00 2013-05-31 TZ2",
            "0 SIN-OOL 2013-05-28T22:25 2013-05-29T12:34 TZ1",
            "0 OOL-SIN 2013-05-31T09:00 2013-05-31T15:00 TZ5"
        ]
    );
    assert_eq!(found.travellers, ["0 VANDENBERG/KEVIN/MICHAEL MR M 1980-07-04 Adult"]);
    assert_eq!(found.documents, ["0 Passport 548721687 USA 2019-01-12"]);
    assert_eq!(
        found.issues,
        ["1 bad-date", "1 missing-terminator", "1 segment-count", "1 envelope missing-terminator"]
    );
}

#[test]
fn sample_pnraddressphonectcm() {
    let Some(found) = found("pnrgov/parsers__pnrAddressPhoneCTCM.txt") else { return };
    assert_eq!(found.legs, ["- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"]);
    assert_eq!(found.travellers, ["0 LOBB/MOLLY/ MRS ? ? Adult"]);
    assert!(found.documents.is_empty());
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnredge() {
    let Some(found) = found("pnrgov/parsers__pnrEdge.txt") else { return };
    assert_eq!(found.legs, ["- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"]);
    assert_eq!(found.travellers, ["0 LOBB/MOLLY/ MRS ? ? Adult"]);
    assert!(found.documents.is_empty());
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnrmessage() {
    let Some(found) = found("pnrgov/parsers__pnrMessage.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- LHR-JFK 2010-12-12T09:15 ? DL324",
            "0 LHR-JFK 2010-12-12T09:15 2010-12-12T12:30 DL324",
            "0 JFK-YVR 2010-12-12T22:00 2010-12-12T23:30 DL330",
            "0 YVR- 2010-12-12T15:00 2010-12-15 VN67576 on the ground"
        ]
    );
    assert_eq!(
        found.travellers,
        ["0 SMITH/JOHN/ROBERT MR M 1964-07-12 Adult", "0 JONES/WILLIAM/NEVELL MR M 1964-07-12 Adult"]
    );
    assert_eq!(found.documents, ["0 Passport 123456789 GBR 2019-08-23"]);
    assert_eq!(found.issues, ["1 segment-count"]);
}

#[test]
fn sample_pnrmessageexample_of_parsers() {
    let Some(found) = found("pnrgov/parsers__pnrMessageExample.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988",
            "0 WDH-ADD 2018-09-27T14:20 2018-09-27T21:20 ET834",
            "0 ADD-FRA 2018-09-27T23:20 2018-09-28T05:31 ET706",
            "0 FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"
        ]
    );
    assert_eq!(
        found.travellers,
        [
            "0 LOBB/MOLLY/ZARA MRS F 1954-08-13 Adult",
            "0 PHILIPPS/MATTHIAS/TIM MR M 1942-10-21 Adult",
            "0 BOLOGNA/BRANDON/WINSTON MR M 1960-06-16 Adult",
            "0 EULENBERGER/LUCA/MARIO MR M 1941-10-23 Adult",
            "0 HABTE/LIYA/SOPHIA MRS F 1960-03-29 Adult"
        ]
    );
    assert_eq!(
        found.documents,
        [
            "0 Passport 796428965 GBR 2025-04-26",
            "1 Passport 330102546 2024-01-08",
            "2 Passport 445488562 USA 2019-01-07",
            "3 Passport 761852513 ERI 2020-12-06",
            "4 Passport 254881089 DEU 2021-05-04"
        ]
    );
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnrmessagepg75() {
    let Some(found) = found("pnrgov/parsers__pnrMessagePg75.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- ICN-SIN 2013-05-27T16:40 2013-05-27T22:00 SQ609",
            "0 ICN-SIN 2013-05-27T16:40 2013-05-27T22:00 KE609 by SQ303",
            "1 ICN-SIN 2013-05-27T16:40 2013-05-27T22:00 OZ609 by SQ752"
        ]
    );
    assert_eq!(
        found.travellers,
        ["0 PARK/SE JOON/ MR M 1972-09-10 Unknown", "1 KIM/KONG CHUN/ MRS F 1957-02-15 Adult"]
    );
    assert_eq!(
        found.documents,
        ["0 Passport JR3364288 KOR 2016-07-05", "1 Passport M17072944 KOR 2019-03-23"]
    );
    assert_eq!(found.issues, ["1 missing-terminator", "1 segment-count", "3 typographic-terminator"]);
}

#[test]
fn sample_pnrmessagepg76() {
    let Some(found) = found("pnrgov/parsers__pnrMessagePg76.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "0 MUC-YUL 2013-05-27T15:50 2013-05-27T18:20 LH474"
        ]
    );
    assert_eq!(
        found.travellers,
        ["0 DORON/NINA/ MS F 1953-02-05 Unknown", "0 LENDROT/CHARLOTTE/ MS F 1952-02-14 Unknown"]
    );
    assert!(found.documents.is_empty());
    assert_eq!(found.issues, ["1 segment-count", "1 envelope missing-terminator"]);
}

#[test]
fn sample_pnrmessagepg77() {
    let Some(found) = found("pnrgov/parsers__pnrMessagePg77.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "0 SIN-OOL 2013-05-28T22:25 2013-05-29T07:50 TZ6",
            "0 OOL-SIN 2013-05-31T09:00 2013-05-31T15:00 TZ5"
        ]
    );
    assert_eq!(found.travellers, ["0 VANDENBERG/KEVIN/MICHAEL MR M 1980-07-04 Adult"]);
    assert_eq!(found.documents, ["0 Passport 548721687 USA 2019-01-12"]);
    assert_eq!(found.issues, ["1 missing-terminator", "1 segment-count", "1 envelope missing-terminator"]);
}

#[test]
fn sample_pnrnoorgmsg() {
    let Some(found) = found("pnrgov/parsers__pnrNoOrgMsg.txt") else { return };
    assert_eq!(found.legs, ["- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"]);
    assert_eq!(found.travellers, ["0 LOBB/MOLLY/ MRS ? ? Adult"]);
    assert!(found.documents.is_empty());
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnrphonectcm() {
    let Some(found) = found("pnrgov/parsers__pnrPhoneCTCM.txt") else { return };
    assert_eq!(found.legs, ["- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"]);
    assert_eq!(found.travellers, ["0 LOBB/MOLLY/ MRS ? ? Adult"]);
    assert!(found.documents.is_empty());
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnrphonectc_m() {
    let Some(found) = found("pnrgov/parsers__pnrPhoneCTC_M.txt") else { return };
    assert_eq!(found.legs, ["- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"]);
    assert_eq!(found.travellers, ["0 LOBB/MOLLY/ MRS ? ? Adult"]);
    assert!(found.documents.is_empty());
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnrseatformats() {
    let Some(found) = found("pnrgov/parsers__pnrSeatFormats.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988",
            "0 FRA-IAD 2019-01-22T12:20 2019-01-22T15:05 UA988"
        ]
    );
    assert_eq!(found.travellers, ["0 LOBB/MOLLY/ZARA MRS F 1954-08-13 Adult"]);
    assert_eq!(found.documents, ["0 Passport 796428965 GBR 2025-04-26"]);
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnrwithbags() {
    let Some(found) = found("pnrgov/parsers__pnrWithBags.txt") else { return };
    assert_eq!(
        ends(&found.legs),
        (
            382,
            "- FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988",
            "126 FRA-IAD 2018-09-28T12:20 2018-09-28T15:05 UA988"
        )
    );
    assert_eq!(
        ends(&found.travellers),
        (
            268,
            "0 FENNER/JACKI/ANJA MRS F 1970-06-02 Adult",
            "126 ALLKINS/ELISE/CHARLIE MRS F 1964-02-21 Adult"
        )
    );
    assert_eq!(
        ends(&found.documents),
        (268, "0 Other 448763368 USA 2022-05-18", "267 Passport 628326846 GBR 2022-07-22")
    );
    assert_eq!(
        found.issues,
        ["128 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]
    );
}

#[test]
fn sample_pnrwithdoco() {
    let Some(found) = found("pnrgov/parsers__pnrWithDoco.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- FRA-IAD 2018-05-12T12:20 2018-05-12T15:05 UA988",
            "0 WDH-ADD 2018-05-11T14:20 2018-05-11T21:20 ET834",
            "0 ADD-FRA 2018-05-11T23:20 2018-05-12T05:31 ET706",
            "0 FRA-IAD 2018-05-12T12:20 2018-05-12T15:05 UA988"
        ]
    );
    assert_eq!(found.travellers, ["0 ACKARY/CHARLES/MUHAMMAD MR M 1948-12-26 Adult"]);
    assert_eq!(found.documents, ["0 Passport 602120901 GBR 2021-01-30", "0 Visa 8675309 ?"]);
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}

#[test]
fn sample_pnrwithprefixesandbookingdetailbags() {
    let Some(found) = found("pnrgov/parsers__pnrWithPrefixesAndBookingDetailBags.txt") else { return };
    assert_eq!(
        found.legs,
        [
            "- FRA-IAD 2018-10-11T12:20 2018-10-11T15:05 UA988",
            "0 IAD-FRA 2018-10-03T17:20 2018-10-04T07:20 UA989",
            "0 FRA-KWI 2018-10-04T13:35 2018-10-04T20:05 UA8749 by LH624",
            "0 KWI-FRA 2018-10-11T01:50 2018-10-11T07:00 UA8750 by LH625",
            "0 FRA-IAD 2018-10-11T12:20 2018-10-11T15:05 UA988"
        ]
    );
    assert_eq!(
        found.travellers,
        ["0 ADONAY/YORDA/KISANET MRS F 1997-06-18 Adult", "0 PETROS/FNAN/ZAHRA MRS F 1992-09-06 Adult"]
    );
    assert_eq!(
        found.documents,
        ["0 Passport 182291927 CHN 2020-07-06", "1 Passport 586993080 CZE 2025-07-17"]
    );
    assert_eq!(found.issues, ["2 misplaced-value", "1 reference", "1 segment-count", "1 envelope reference"]);
}
