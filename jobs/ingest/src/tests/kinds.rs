//! Tests that exports of the kinds that people reported to other tools are read as they are meant, or put aside with
//! the reason, and that nothing is changed without a word.

use arrow::{
    array::{BinaryArray, BooleanArray, Decimal128Array, TimestampSecondArray},
    datatypes::TimestampMicrosecondType,
};

use super::*;

/// A mapping of declarations with settings before its columns.
fn with(settings: &str, columns: &str) -> Mapping {
    let text = format!(
        "country = \"MY\"\n{settings}\n[columns]\ndeclaration_id = {{ from = \"decl\" }}\nitem_number = {{ from = \"item\" }}\n\
         acceptance_date = {{ from = \"day\" }}\nhs_code = {{ from = \"hs\" }}\n{columns}"
    );
    Mapping::parse(&text, TABLES).expect("the mapping is right")
}

const GOODS: &str = "description = { from = \"goods\" }\n";

/// The same in blocks of any size.
fn read_all(bytes: &[u8], mapping: &Mapping) -> (RecordBatch, RecordBatch, RowCounts) {
    let whole = read_in(bytes, mapping, BLOCK_SIZE).expect("reads");
    for block in [1, 7, 64] {
        assert_eq!(read_in(bytes, mapping, block).expect("reads"), whole, "{block}");
    }
    whole
}

fn lines(bad: &RecordBatch) -> Vec<i64> {
    bad.column_by_name("line").expect("is there").as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn text_after_a_closing_quote_costs_its_row_only() {
    let file = b"decl,item,day,hs,goods\n\
        \"B1\",1,\"2024-03-01\",\"731815\",\"Bolt \\\"M8\\\"\"\n\
        \"B2\",1,\"2024-03-02\",\"731815\",\"Bolt \\\"M8\\\", zinc, 100 pcs\"\n\
        \"B3\",1,\"2024-03-05\",\"731815\",\"plain\"\n\
        I4,1,2024-03-05,731815,\"24\" drum\"\n\
        I5,1,2024-03-05,731815,Drum 24\" wide\n";
    let (good, bad, counts) = read_all(file, &with("", GOODS));
    assert_eq!(counts, RowCounts { read: 5, archived: 2, quarantined: 3 });
    assert_eq!(texts(&good, "description"), ["plain", "Drum 24\" wide"]);
    assert_eq!(lines(&bad), [2, 3, 5]);
    let rules = texts(&bad, "rule");
    assert!(rules[0].contains("set escape") && rules[2] == "text after a closing quote", "{rules:?}");

    let (good, _, counts) =
        read_all(&file[..file.len() - 70], &with("escape = \"\\\\\"\nnull_values = [\"\\\\N\"]", GOODS));
    assert_eq!(counts.archived, 3);
    assert_eq!(texts(&good, "description"), ["Bolt \"M8\"", "Bolt \"M8\", zinc, 100 pcs", "plain"]);
}

#[test]
fn a_quote_that_is_never_closed_costs_its_own_line() {
    let good_row = |id: usize| format!("D{id},1,2024-03-05,731815,\"plain {id}\"\n");
    let rows: String = (0..40).map(good_row).collect();
    let file =
        format!("decl,item,day,hs,goods\nX1,1,2024-03-05,731815,\"open\n{rows}X2,1,2024-03-05,731815,\"end");
    let (good, bad, counts) = read_all(file.as_bytes(), &with("", GOODS));
    assert_eq!(counts, RowCounts { read: 42, archived: 40, quarantined: 2 });
    assert_eq!((lines(&bad), texts(&bad, "rule")), (vec![2, 43], vec!["unclosed quote".to_owned(); 2]));
    assert_eq!(texts(&good, "description")[0], "plain 0");
    // Lines without a quote after it.
    let rows: String = (0..40).map(|id| format!("D{id},1,2024-03-05,731815,plain\n")).collect();
    let file = format!("decl,item,day,hs,goods\nX1,1,2024-03-05,731815,\"open\n{rows}");
    let (.., counts) = read_all(file.as_bytes(), &with("", GOODS));
    assert_eq!(counts, RowCounts { read: 41, archived: 40, quarantined: 1 });
}

#[test]
fn a_nul_byte_costs_its_row_wherever_it_stands() {
    let row = |id: &str, goods: &str| format!("{id},1,2024-03-05,731815,{goods}\n");
    let many: String = (0..300).map(|id| row(&format!("M{id}"), "laptop")).collect();
    for (file, bad_rows) in [
        (row("N1", "horses") + &row("N2", "beef\0\0") + &row("N3", "trout"), 1),
        (many.clone() + &row("N", "\0") + &many, 1),
        (many + &row("N\x001", "laptop"), 1),
    ] {
        let (good, bad, counts) =
            read_all(format!("decl,item,day,hs,goods\n{file}").as_bytes(), &with("", GOODS));
        assert_eq!(counts.quarantined, bad_rows);
        assert_eq!(texts(&bad, "rule"), ["a NUL byte"]);
        let kept = [
            texts(&good, "declaration_id"),
            texts(&good, "description"),
            texts(&bad, "raw"),
            texts(&bad, "value"),
        ];
        assert!(!kept.concat().iter().any(|text| text.contains('\0')));
    }
}

#[test]
fn lines_before_the_header_are_found_or_named_and_those_after_the_data_put_aside() {
    let mapping = "delimiter = \";\"\ndate_formats = [\"%d/%m/%Y\"]\ndecimal_comma = true";
    let rows = "F1;1;02/01/2024;220421;1250,5\r\nF2;1;03/01/2024;220421;10\r\n";
    let header = "decl;item;day;hs;value\r\n";
    let value = "customs_value = { from = \"value\" }";
    for (before, settings, bad_rows) in [
        ("sep=;\r\n", "", 0),
        ("Import register, January 2024\r\nPrinted 05/02/2024;;;;\r\n\r\n", "", 0),
        ("A \"title\" with, \"quotes\r\nx\r\n", "skip_rows = 2", 0),
        ("\"a\"title\r\n", "", 0),
        ("", "", 0),
    ] {
        let file = format!("{before}{header}{rows}");
        let (good, _, counts) = read_all(file.as_bytes(), &with(&format!("{mapping}\n{settings}"), value));
        assert_eq!(counts, RowCounts { read: 2 + bad_rows, archived: 2, quarantined: bad_rows }, "{before}");
        assert_eq!(texts(&good, "declaration_id"), ["F1", "F2"]);
    }
    let footer = format!("{header}{rows}Total;;;;1260,5\r\nGrand total 1260,5\r\n{header}{rows}");
    let (_, bad, counts) = read_all(footer.as_bytes(), &with(mapping, value));
    assert_eq!(counts, RowCounts { read: 7, archived: 4, quarantined: 3 });
    assert_eq!(lines(&bad), [4, 5, 6]);

    let positions = format!("country = \"IT\"\nheader = false\n{mapping}\n[columns]\n")
        + "declaration_id = { from = \"1\" }\nitem_number = { from = \"2\" }\nacceptance_date = { from = \"3\" }\n"
        + "hs_code = { from = \"4\" }\ncustoms_value = { from = \"5\" }\n";
    for (before, settings, bad_rows) in
        [("sep=;\r\n", "", 0), ("Import register\r\n", "", 1), ("a\r\nb\r\n", "skip_rows = 2", 0)]
    {
        let mapping =
            Mapping::parse(&positions.replace("[columns]", &format!("{settings}\n[columns]")), TABLES);
        let (.., counts) = read_all(format!("{before}{rows}").as_bytes(), &mapping.expect("right"));
        assert_eq!(counts, RowCounts { read: 2 + bad_rows, archived: 2, quarantined: bad_rows }, "{before}");
    }
    let other = input_error(b"sep=,\ndecl,item,day,hs,value\n", &with(mapping, value));
    assert!(other.contains("delimiter = \",\""), "{other}");
}

#[test]
fn the_encoding_is_that_of_the_mark_or_of_the_mapping() {
    let text = "decl\titem\tday\ths\tgoods\r\nU1\t1\t2024-01-02\t090111\tcafé vert\r\n";
    let bytes = |mark: &str, big: bool| -> Vec<u8> {
        let units = format!("{mark}{text}");
        units
            .encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    let plain = with("delimiter = \"\\t\"", GOODS);
    for file in [bytes("\u{feff}", false), bytes("\u{feff}", true), format!("\u{feff}{text}").into_bytes()] {
        let (good, ..) = read_all(&file, &plain);
        assert_eq!(texts(&good, "description"), ["café vert"]);
    }
    let error = input_error(&bytes("", false), &plain);
    assert!(error.contains("UTF-16LE") && error.contains("encoding = \"utf-16le\""), "{error}");
    let named = with("delimiter = \"\\t\"\nencoding = \"utf-16le\"", GOODS);
    assert_eq!(texts(&read_all(&bytes("", false), &named).0, "description"), ["café vert"]);
    // Bytes that are no text of the encoding are not replaced.
    let korean = with("encoding = \"euc-kr\"", GOODS);
    let (_, bad, counts) = read_all(
        b"decl,item,day,hs,goods\nK1,1,2024-01-02,090111,\xb1\xb8\nK2,1,2024-01-02,090111,\xff\xff\n",
        &korean,
    );
    assert_eq!(counts.archived, 1);
    assert_eq!(texts(&bad, "rule"), ["bytes that are no text of the encoding"]);
}

#[test]
fn marks_between_thousands_are_read_by_a_setting_and_put_aside_without_one() {
    let rows = [
        "1.234.567,89",
        "1\u{a0}234,5",
        "1\u{202f}234,5",
        "1'234,5",
        "1234,5",
        "1 234",
        "1.234",
        "12,5 EUR",
        "-",
        "1,234,5",
        "1.23",
    ];
    let lines: String =
        rows.iter().enumerate().map(|(id, value)| format!("H{id};1;2024-02-01;220421;{value}\n")).collect();
    let file = format!("decl;item;day;hs;value\n{lines}");
    let value = "customs_value = { from = \"value\" }";
    let (good, ..) = read_all(file.as_bytes(), &with("delimiter = \";\"\ndecimal_comma = true", value));
    assert_eq!(texts(&good, "declaration_id"), ["H4"]);
    let (good, bad, _) = read_all(
        file.as_bytes(),
        &with("delimiter = \";\"\ndecimal_comma = true\nthousands = \". '\"", value),
    );
    let values = good.column_by_name("customs_value").expect("is there").as_primitive::<Float64Type>();
    assert_eq!(values.values().as_ref(), [1_234_567.89, 1234.5, 1234.5, 1234.5, 1234.5, 1234.0, 1234.0]);
    assert_eq!(bad.num_rows(), 4);
    let lakh = b"decl;item;day;hs;value\nI;1;2024-02-01;220421;12,34,567.50\n";
    let (good, ..) = read_all(lakh, &with("delimiter = \";\"\nthousands = \",\"", value));
    assert_eq!(
        good.column_by_name("customs_value").expect("is there").as_primitive::<Float64Type>().value(0),
        1_234_567.5
    );
    let text = MAPPING.replace("[columns]", "thousands = \".\"\n[columns]");
    let error = Mapping::parse(&text, TABLES).expect_err("it is the decimal mark");
    assert!(error.chain().contains("decimal_comma"), "{}", error.chain());
}

#[test]
fn codes_are_those_of_their_day() {
    let columns = "origin = { from = \"origin\" }\ninvoice_currency = { from = \"cur\" }";
    let file = "decl,item,day,hs,cur,origin\n\
        W1,1,2021-05-03,220300,HRK,IT\nW2,1,2009-05-04,220300,USD,AN\nW3,1,2005-05-04,220300,EUR,CS\n\
        W4,1,2024-05-03,220300,HRK,IT\nW5,1,2015-05-04,220300,USD,AN\nW6,1,2023-05-03,220300,EUR,XK\n";
    let (good, bad, _) = read_all(file.as_bytes(), &with("", columns));
    assert_eq!(texts(&good, "declaration_id"), ["W1", "W2", "W3"]);
    let wanted = [
        "a currency that was not in force on that day",
        "a country code that was not in force on that day",
        "not an ISO 3166-1 alpha-2 country",
    ];
    assert_eq!(texts(&bad, "rule"), wanted);
    let (good, ..) = read_all(file.as_bytes(), &with("user_countries = [\"XK\"]", columns));
    assert_eq!(texts(&good, "declaration_id"), ["W1", "W2", "W3", "W6"]);
}

#[test]
fn hs_codes_that_lost_a_zero_are_put_aside_or_restored_and_counted() {
    let file = b"decl,item,day,hs,goods\nZ1,1,2024-02-01,9011100,coffee\nZ2,1,2024-02-01,87032319,cars\n\
                 Z3,1,2024-02-01,3022200,plaice\n";
    let (good, bad, _) = read_all(file, &with("", GOODS));
    assert_eq!(texts(&good, "hs_code"), ["87032319"]);
    assert!(texts(&bad, "rule")[0].contains("leading zero"));
    let text = "country = \"IN\"\n[columns]\ndeclaration_id = { from = \"decl\" }\nitem_number = { from = \"item\" }\n\
                acceptance_date = { from = \"day\" }\nhs_code = { from = \"hs\", digits = 8, nomenclature = \"hs.csv\" }\n";
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("map.toml"), text).expect("written");
    std::fs::write(folder.path().join("hs.csv"), "hscode,description\n090111,a\n901110,b\n870323,c\n")
        .expect("written");
    let mapping = Mapping::open(&folder.path().join("map.toml"), TABLES).expect("opens");
    let mut reader =
        ExportReader::from_read("x.csv", Box::new(Cursor::new(file.to_vec())), &mapping).expect("opens");
    let block = reader.next_block().expect("reads").expect("has rows");
    assert_eq!(texts(&block.batch, "hs_code"), ["09011100", "87032319"]);
    assert_eq!(block.repairs, [("hs_code", "leading zero of an HS code restored", 1)]);
}

#[test]
fn hs_codes_as_tariffs_print_them_are_read_and_counted() {
    let file = "decl,item,day,hs,goods\nP1,1,2024-02-01,0901.11.00,coffee\nP2,1,2024-02-01,8703 23 31,cars\n\
                P3,1,2024-02-01,0302-22,plaice\nP4,1,2024-02-01,870323,cars\nP5,1,2024-02-01,8703.2,a number\n";
    let input = Box::new(Cursor::new(file.as_bytes().to_vec()));
    let mut reader = ExportReader::from_read("x.csv", input, &with("", GOODS)).expect("opens");
    let block = reader.next_block().expect("reads").expect("has rows");
    assert_eq!(texts(&block.batch, "hs_code"), ["09011100", "87032331", "030222", "870323"]);
    assert_eq!(block.repairs, [("hs_code", "marks between the digits of an HS code dropped", 3)]);
    assert_eq!(reader.counts().quarantined, 1);
}

#[test]
fn character_references_of_html_are_decoded_and_counted() {
    let file = b"decl,item,day,hs,goods\nE1,1,2024-02-01,090111,caf&eacute; &amp; t&#233;\nE2,1,2024-02-01,090111,R&D; x\n";
    let input = Box::new(Cursor::new(file.to_vec()));
    let mut reader = ExportReader::from_read("x.csv", input, &with("", GOODS)).expect("opens");
    let block = reader.next_block().expect("reads").expect("has rows");
    assert_eq!(texts(&block.batch, "description"), ["café & té", "R&D; x"]);
    assert_eq!(block.repairs, [("description", "HTML character references decoded", 1)]);
}

#[test]
fn days_that_cannot_be_are_put_aside() {
    let file = b"decl,item,day,hs\nT1,1,2034-01-02,090111\nT2,1,2024-01-02,090111\nT3,1,1931-01-02,090111\n";
    let today = 20_000; // 2024-10-04
    let (good, bad, _) = read_all(file, &with("first_day = \"1990-01-01\"", "").on_day(today));
    assert_eq!(texts(&good, "declaration_id"), ["T2"]);
    let rules = [
        "date after the day of ingest, or after last_day of the mapping",
        "date before first_day of the mapping",
    ];
    assert_eq!(texts(&bad, "rule"), rules);
    let (good, ..) = read_all(file, &with("last_day = \"2040-01-01\"", "").on_day(today));
    assert_eq!(good.num_rows(), 3);
}

#[test]
fn a_wide_table_makes_an_event_of_each_milestone() {
    let text = "table = \"releases\"\ncountry = \"UG\"\ntime_zone = \"Africa/Kampala\"\n\
        [columns]\ncase_id = { from = \"id\" }\nmode = { from = \"mode\" }\n\
        [[milestones]]\nevent = \"arrival\"\nrole = \"arrival\"\nevent_time = \"arrival\"\n\
        [[milestones]]\nevent = \"inspection\"\nrole = \"inspection-end\"\nevent_time = \"to\"\nstart_time = \"from\"\n\
        [[milestones]]\nevent = \"release\"\nevent_time = \"released\"\n";
    let mapping = Mapping::parse(text, TABLES).expect("right");
    let file = "id,mode,arrival,from,to,released\n\
        T1,sea,2024-02-01 08:00,2024-02-01 12:00,2024-02-01 14:00,2024-02-01 18:00\n\
        T2,sea,2024-02-02 08:00,,,2024-02-02 12:00\n\
        T3,air,soon,,,2024-02-02 12:00\n\
        T4,air,,,,\n";
    let (good, bad, counts) = read_in(file.as_bytes(), &mapping, BLOCK_SIZE).expect("reads");
    assert_eq!(counts, RowCounts { read: 8, archived: 6, quarantined: 2 });
    let mut found: Vec<String> = texts(&good, "case_id")
        .into_iter()
        .zip(texts(&good, "event"))
        .map(|(id, event)| format!("{id} {event}"))
        .collect();
    found.sort();
    assert_eq!(
        found,
        ["T1 arrival", "T1 inspection", "T1 release", "T2 arrival", "T2 release", "T3 release"]
    );
    let begun = good.column_by_name("start_time").expect("is there");
    assert_eq!(begun.len() - begun.null_count(), 1);
    assert_eq!(texts(&bad, "rule")[1], "no milestone has a time");
    let twice = text.replace("[columns]", "[columns]\nevent = { from = \"id\" }");
    assert!(Mapping::parse(&twice, TABLES).expect_err("set twice").chain().contains("[[milestones]]"));
    let declarations = MAPPING.to_owned() + "\n[[milestones]]\nevent = \"a\"\nevent_time = \"date\"\n";
    assert!(
        Mapping::parse(&declarations, TABLES).expect_err("no events").chain().contains("no table of events")
    );
}

/// Columns of declarations in Parquet.
fn columnar(
    columns: &[(&'static str, ArrayRef)],
    settings: &str,
    more: &str,
) -> (RecordBatch, RecordBatch, RowCounts) {
    let rows = columns[0].1.len();
    let text = |text: &str| Arc::new(StringArray::from(vec![text; rows])) as ArrayRef;
    let usual = [("decl", text("D")), ("item", text("1")), ("day", text("2024-01-02")), ("hs", text("0101"))];
    let usual = usual.into_iter().filter(|(name, _)| !columns.iter().any(|(known, _)| known == name));
    let all: Vec<_> = usual.chain(columns.iter().cloned()).collect();
    read_columns(all, &with(&format!("format = \"parquet\"\n{settings}"), more))
}

#[test]
fn numbers_of_databases_and_data_frames_are_codes_whole_numbers_and_flags() {
    let decimal = |values: Vec<Option<i128>>| {
        let values = values.into_iter().map(|value| value.map(|value| value * 10_i128.pow(10)));
        Arc::new(Decimal128Array::from_iter(values).with_precision_and_scale(38, 10).expect("fits"))
            as ArrayRef
    };
    let columns = [
        ("decl", decimal(vec![Some(100_200_301); 3])),
        ("item", decimal(vec![Some(1); 3])),
        ("hs", decimal(vec![Some(8_703_231_128); 3])),
        ("bad", decimal(vec![Some(0), Some(1), None])),
    ];
    let (good, _, counts) = columnar(&columns, "", "illicit = { from = \"bad\" }");
    assert_eq!(counts.archived, 3);
    assert_eq!(
        (texts(&good, "declaration_id")[0].as_str(), texts(&good, "hs_code")[0].as_str()),
        ("100200301", "8703231128")
    );
    let flags = BooleanArray::from(vec![Some(false), Some(true), None]);
    assert_eq!(good.column_by_name("illicit").expect("is there").as_boolean(), &flags);
    let floats = |values: Vec<Option<f64>>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let columns = [
        ("decl", floats(vec![Some(1e15), Some(7.0), Some(8.0)])),
        ("item", floats(vec![Some(1.0), Some(2.0), Some(1.5)])),
        ("bad", floats(vec![Some(1.0), Some(0.0), None])),
    ];
    let (good, bad, _) = columnar(&columns, "", "illicit = { from = \"bad\" }");
    assert_eq!(texts(&good, "declaration_id"), ["1000000000000000", "7"]);
    assert_eq!(texts(&bad, "rule"), ["not a whole number"]);
    let csv = b"decl,item,day,hs,bad\nP1,1.0,2024-01-02,640399.0,1.0\nP2,2.00,2024-01-02,640399,0.0\nP3,1,2024-01-02,640399,\n";
    let (good, ..) = read_all(csv, &with("", "illicit = { from = \"bad\" }"));
    assert_eq!((good.num_rows(), texts(&good, "hs_code")[0].as_str()), (3, "640399"));
}

#[test]
fn bytes_are_read_as_text_by_all_conventions_of_the_mapping() {
    let bytes = |values: [&'static [u8]; 3]| Arc::new(BinaryArray::from_iter_values(values)) as ArrayRef;
    let columns = [
        ("day", bytes([b"20240703", b"20240704", b"20240705"])),
        ("goods", bytes([b"poisson", "café".as_bytes(), b"caf\xe9"])),
        ("value", bytes([b"1250,75", b"1", b"1"])),
    ];
    let more = format!("{GOODS}customs_value = {{ from = \"value\" }}");
    let (good, bad, counts) = columnar(&columns, "date_formats = [\"%Y%m%d\"]\ndecimal_comma = true", &more);
    assert_eq!(counts, RowCounts { read: 3, archived: 2, quarantined: 1 });
    assert_eq!(texts(&good, "description"), ["poisson", "café"]);
    assert_eq!(
        good.column_by_name("customs_value").expect("is there").as_primitive::<Float64Type>().value(0),
        1250.75
    );
    assert_eq!(
        (texts(&bad, "rule"), texts(&bad, "column")),
        (vec!["invalid UTF-8".to_owned()], vec!["description".to_owned()])
    );
}

#[test]
fn times_beyond_the_years_of_the_archive_are_put_aside_with_their_true_date() {
    let micros: Vec<i64> =
        vec![1_699_142_400_000_000, 253_402_214_400_000_000, -10_000_000_000_000_000, i64::MAX, -1];
    let times = Arc::new(TimestampMicrosecondArray::from(micros.clone())) as ArrayRef;
    let (good, bad, _) = columnar(&[("day", times)], "", "");
    let days = good.column_by_name("acceptance_date").expect("is there").as_primitive::<Date32Type>();
    assert_eq!(days.values().as_ref(), [19_666, -1], "the last is of 1969");
    let values = texts(&bad, "value");
    assert_eq!(values[..2], ["9999-12-31", "1653-02-10"]);
    assert!(values[2].contains("since 1970") || values[2].starts_with("+29"), "{values:?}");
    // Seconds whose days wrap in 32 bits.
    let seconds = vec![1_699_142_400, (1_i64 << 32) * 86_400, 253_402_214_400];
    let (good, bad, _) =
        columnar(&[("day", Arc::new(TimestampSecondArray::from(seconds)) as ArrayRef)], "", "");
    assert_eq!((good.num_rows(), bad.num_rows()), (1, 2));
    // The same for times of events without a zone.
    let mapping = "table = \"releases\"\ncountry = \"UG\"\nformat = \"parquet\"\ntime_zone = \"UTC\"\n[columns]\n\
                   case_id = { from = \"case\" }\nevent = { from = \"event\" }\nevent_time = { from = \"time\" }\n";
    let mapping = Mapping::parse(mapping, TABLES).expect("right");
    let text = |text: &str| Arc::new(StringArray::from(vec![text; 5])) as ArrayRef;
    let times = Arc::new(TimestampMicrosecondArray::from(micros)) as ArrayRef;
    let (good, bad, _) = read_columns([("case", text("a")), ("event", text("b")), ("time", times)], &mapping);
    let times =
        good.column_by_name("event_time").expect("is there").as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values().as_ref(), [1_699_142_400_000_000, -1]);
    assert!(texts(&bad, "value")[0].starts_with("9999-12-31"), "{:?}", texts(&bad, "value"));
}

#[test]
fn files_of_other_kinds_are_named_with_the_remedy() {
    let mapping = with("", GOODS);
    let nested = zstd::encode_all(&b"%PDF-1.7"[..], 1).expect("in memory");
    for (bytes, words) in [
        (&b"<!DOCTYPE html><html>log in"[..], ["HTML page", "download"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1....", ["Excel", "CSV"]),
        (b"ORC\x0a....", ["ORC", "Parquet"]),
        (&nested, ["PDF", "CSV"]),
    ] {
        let error = input_error(bytes, &mapping);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let error = input_error(b"decl;item;day;hs;goods\n1;1;2024-01-02;0101;a\n", &mapping);
    assert!(error.contains("delimiter = \";\""), "{error}");
}

#[test]
fn compressed_files_are_read() {
    let text = b"decl,item,day,hs,goods\nC1,1,2024-01-02,090111,coffee\n";
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(text).expect("in memory");
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(text).expect("in memory");
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2][..],
        &zstd::encode_all(&text[..], 1).expect("in memory"),
    ]
    .concat();
    for packed in [bzip2.finish().expect("in memory"), xz.finish().expect("in memory"), skippable] {
        let (good, ..) = read_all(&packed, &with("", GOODS));
        assert_eq!(texts(&good, "description"), ["coffee"]);
        let error = input_error(&packed[..packed.len() - 6], &with("", GOODS));
        assert!(error.contains("cut off or damaged"), "{error}");
    }
}

#[test]
fn times_of_96_bits_beyond_2262_are_put_aside_with_their_true_date() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/trials/18-int96-9999/spark.parquet");
    if !path.exists() {
        eprintln!("SKIPPED: no trials at {}", path.display());
        return;
    }
    let (good, bad, _) =
        drain(ExportReader::open(&path, &with("format = \"parquet\"", GOODS)).expect("opens"))
            .expect("reads");
    assert_eq!((good.num_rows(), bad.num_rows()), (2, 2));
    assert_eq!(texts(&bad, "value"), ["9999-12-31", "2500-01-01"]);
}
