//! Tests that exports of every layout are read whole, and that rows that fail are quarantined with the reason.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stderr)]

mod kinds;

use std::{
    io::{Cursor, Write},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray, TimestampMillisecondArray,
    },
    compute::{cast, concat_batches},
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimeUnit},
};
use proptest::prelude::*;
use tidewaiter_archive::schema::Layout;
use tidewaiter_core::{ErrorKind, Result};

use super::*;

/// The tables of the program in these tests.
pub(crate) const TABLES: &[&Layout] = &[&tidewaiter_declarations::LAYOUT, &tidewaiter_release::table::LAYOUT];

const MAPPING: &str = r#"
country = "KR"
null_values = ["NA"]
[columns]
declaration_id = { from = "id" }
item_number = { constant = "1" }
acceptance_date = { from = "date" }
hs_code = { from = "hs" }
origin = { from = "origin" }
description = { from = "text" }
net_mass = { from = "mass" }
channel = { from = "channel", values = { A = "green", C = "red" } }
"#;

pub(super) const HEADER: &str = "id,date,hs,origin,text,mass,channel\n";

pub(super) fn mapping() -> Mapping {
    Mapping::parse(MAPPING, TABLES).expect("the mapping is right")
}

fn read_in(bytes: &[u8], mapping: &Mapping, block: usize) -> Result<(RecordBatch, RecordBatch, RowCounts)> {
    let input = Box::new(Cursor::new(bytes.to_vec()));
    drain(ExportReader::from_read_in_blocks("export.csv", input, mapping, block)?)
}

fn drain(mut reader: ExportReader) -> Result<(RecordBatch, RecordBatch, RowCounts)> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block()? {
        good.push(block.batch);
        bad.push(block.quarantined);
    }
    let schema = good.first().map_or_else(tidewaiter_declarations::schema, RecordBatch::schema);
    let good = concat_batches(&schema, &good)?;
    let bad = concat_batches(&quarantine_schema(), &bad)?;
    Ok((good, bad, reader.counts()))
}

/// Reads columns that were written to Parquet.
fn read_columns<'a>(
    columns: impl IntoIterator<Item = (&'a str, ArrayRef)>,
    mapping: &Mapping,
) -> (RecordBatch, RecordBatch, RowCounts) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let source = RecordBatch::try_from_iter_with_nullable(columns).expect("made");
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, source.schema(), None).expect("opens");
    writer.write(&source).expect("written");
    writer.close().expect("closed");
    let reader = ExportReader::from_parquet("x.parquet", bytes::Bytes::from(bytes), mapping);
    drain(reader.expect("opens")).expect("reads")
}

fn read(text: &str) -> (RecordBatch, RecordBatch, RowCounts) {
    read_in(text.as_bytes(), &mapping(), BLOCK_SIZE).expect("it reads")
}

fn input_error(bytes: &[u8], mapping: &Mapping) -> String {
    let error = read_in(bytes, mapping, BLOCK_SIZE).expect_err("it is refused");
    assert_eq!(error.kind(), ErrorKind::Input, "{}", error.chain());
    error.chain()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).expect("the column is there");
    column.as_string::<i32>().iter().map(|text| text.unwrap_or("null").to_owned()).collect()
}

#[test]
fn a_good_row_becomes_typed_columns() {
    let (good, bad, counts) = read(&format!(
        "{HEADER}7,2020-02-29,010121,KR,\"a \"\"b\"\",\nc\",12.5,A\r\n\r\n8,1970-01-02,8471,NA,,,\n"
    ));
    assert_eq!(counts, RowCounts { read: 2, archived: 2, quarantined: 0 });
    assert_eq!(bad.num_rows(), 0);
    assert_eq!(texts(&good, "description"), ["a \"b\",\nc", "null"]);
    assert_eq!(texts(&good, "origin"), ["KR", "null"]);
    assert_eq!(texts(&good, "channel"), ["green", "null"]);
    let days = good.column_by_name("acceptance_date").unwrap().as_primitive::<Date32Type>();
    assert_eq!(days.values(), &[18321, 1]);
    let mass = good.column_by_name("net_mass").unwrap().as_primitive::<Float64Type>();
    assert_eq!((mass.value(0), mass.is_null(1)), (12.5, true));
}

#[test]
fn every_broken_row_is_quarantined_with_its_reason() {
    let rows = [
        ("1,2020-01-01,0101,KR,\"two\nlines\",1,A", ""),
        (",2020-01-01,0101,KR,,1,A", "declaration_id: missing"),
        ("2,2020-02-30,0101,KR,,1,A", "acceptance_date: impossible date"),
        ("3,yesterday,0101,KR,,1,A", "acceptance_date: not a date in the mapping's formats"),
        ("4,1899-12-31,0101,KR,,1,A", "acceptance_date: date outside the years 1900 to 2200"),
        ("5,2020-01-01,01x1,KR,,1,A", "hs_code: not an HS code of 2 to 12 digits"),
        ("6,2020-01-01,1,KR,,1,A", "hs_code: not an HS code of 2 to 12 digits"),
        ("7,2020-01-01,0101,XX,,1,A", "origin: not an ISO 3166-1 alpha-2 country"),
        ("8,2020-01-01,0101,KR,,-1,A", "net_mass: negative"),
        ("9,2020-01-01,0101,KR,,many,A", "net_mass: not a number"),
        ("9,2020-01-01,0101,KR,,NaN,A", "net_mass: not a number"),
        ("10,2020-01-01,0101,KR,,1,B", "channel: not one of green, yellow, red"),
        ("11,2020-01-01,0101,KR,,1", "null: wrong number of fields"),
        ("12,2020-01-01,0101,KR,,1,A,9", "null: wrong number of fields"),
        ("13,2020-01-01,0101,KR,,1,\"A", "null: unclosed quote"),
    ];
    let body: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let (good, bad, counts) = read(&format!("{HEADER}{}", body.join("\n")));
    assert_eq!(counts, RowCounts { read: 15, archived: 1, quarantined: 14 });
    assert_eq!(texts(&good, "declaration_id"), ["1"]);
    let found: Vec<String> = texts(&bad, "column")
        .iter()
        .zip(texts(&bad, "rule"))
        .map(|(column, rule)| format!("{column}: {rule}"))
        .collect();
    let wanted: Vec<&str> = rows[1..].iter().map(|row| row.1).collect();
    assert_eq!(found, wanted);
    assert_eq!(texts(&bad, "raw"), body[1..]);
    assert_eq!(texts(&bad, "value")[7], "-1");
    let numbers =
        |name: &str| bad.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(numbers("row_number"), (2..=15).collect::<Vec<i64>>());
    // The header and the first record's two lines stand before.
    assert_eq!(numbers("line"), (4..=17).collect::<Vec<i64>>());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let mapping = mapping();
    assert!(input_error(b"", &mapping).contains("export.csv is empty"));
    assert!(input_error(b"\n\r\n", &mapping).contains("no records"));
    assert!(input_error(b"id,da\0te\n1,2\n", &mapping).contains("NUL"));
    assert!(input_error(b"id;date;hs\n1;2;3\n", &mapping).contains("single column"));
    assert!(input_error(b"\"id,date", &mapping).contains("never closed"));
    assert!(input_error(b"PAR1....", &mapping).contains("Parquet"));
    let missing = input_error(b"id,date,hs,origin,text,weight,channel\n", &mapping);
    assert!(missing.contains("no column \"mass\"") && missing.contains("weight"), "{missing}");
    assert!(input_error(b"id,id,date,hs,origin,text,mass,channel\n", &mapping).contains("more than one"));
    let absent = ExportReader::open(Path::new("no/such.csv"), &mapping).err().expect("refused");
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    assert!(absent.chain().contains("no/such.csv"));
}

#[test]
fn a_wrong_mapping_is_refused_with_its_fault() {
    for (from, to, fault) in [
        ("net_mass", "net_weight", "net_weight"),
        ("hs_code = { from = \"hs\" }", "", "lacks the required column hs_code"),
        ("country = \"KR\"", "country = \"Korea\"", "ISO 3166"),
        ("constant = \"1\"", "constant = \"one\"", "not a whole number"),
        ("{ from = \"hs\" }", "{ from = \"hs\", constant = \"1\" }", "either"),
        ("{ from = \"hs\" }", "{ form = \"hs\" }", "form"),
        ("{ from = \"date\" }", "{ from = \"date\", format = \"%Q\" }", "strftime"),
        ("{ from = \"date\" }", "{ from = \"date\", format = \"DD.MM.YYYY\" }", "%d.%m.%Y"),
        ("{ from = \"hs\" }", "{ from = \"hs\", format = \"%Y\" }", "dates and times only"),
        ("[columns]", "delimeter = \";\"\n[columns]", "no field of that name"),
        ("[columns]", "escape = \",\"\n[columns]", "escape"),
        ("[columns]", "encoding = \"latin-99\"\n[columns]", "expected utf-8"),
        ("[columns]", "first_day = \"2020-01-01\"\nlast_day = \"2019-01-01\"\n[columns]", "first_day"),
        ("[columns]", "user_countries = [\"DE\"]\n[columns]", "user_countries"),
        ("{ from = \"date\" }", "{ from = \"date\", digits = 8 }", "HS codes only"),
        ("{ from = \"hs\" }", "{ from = \"hs\", digits = [6, 14] }", "from 2 to 12"),
        ("[columns]", "delimiter = \"\\\"\"\n[columns]", "same"),
        ("[columns]", "date_formats = []\n[columns]", "empty"),
    ] {
        assert!(MAPPING.contains(from), "{from}");
        let error = Mapping::parse(&MAPPING.replacen(from, to, 1), TABLES).expect_err(fault);
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.chain().contains(fault), "{fault}: {}", error.chain());
    }
}

#[test]
fn a_mapping_without_a_table_is_for_the_first() {
    assert_eq!(mapping().layout().table, TABLES[0].table);
    let text = MAPPING.replacen("country", "table = \"releases\"\ncountry", 1);
    let error = Mapping::parse(&text, TABLES).expect_err("its columns are those of another table");
    assert!(error.chain().contains("event_time"), "{}", error.chain());
    let error = Mapping::parse(&text, &TABLES[..1]).expect_err("no such table");
    assert_eq!(error.kind(), ErrorKind::Input);
    assert_eq!(error.chain(), "table \"releases\" is not one of declarations");
    assert_eq!(Mapping::parse(MAPPING, &[]).expect_err("no tables").kind(), ErrorKind::Input);
}

#[test]
fn semicolons_decimal_commas_and_latin_1() {
    let text = MAPPING.replace(
        "[columns]",
        "delimiter = \";\"\nencoding = \"latin-1\"\ndecimal_comma = true\ndate_formats = [\"%d/%m/%Y\"]\n[columns]",
    );
    let mapping = Mapping::parse(&text, TABLES).expect("right");
    let mut bytes = HEADER.replace(',', ";").into_bytes();
    bytes.extend_from_slice(b"1;31/12/2020;0101;KR;caf\xe9 \x80;1,5;A\n2;31/12/2020;0101;KR;;1.5;A\n");
    for block in [1, 7, BLOCK_SIZE] {
        let (good, bad, _) = read_in(&bytes, &mapping, block).expect("reads");
        assert_eq!(texts(&good, "description"), ["café €"]);
        let mass = good.column_by_name("net_mass").unwrap().as_primitive::<Float64Type>();
        assert_eq!(mass.value(0), 1.5);
        assert_eq!(texts(&bad, "rule"), ["not a number"]);
    }
}

#[test]
fn invalid_utf_8_costs_its_row_only() {
    let mut bytes = HEADER.as_bytes().to_vec();
    // The halves of one character in two fields would be whole when set together.
    bytes.extend_from_slice(b"1,2020-01-01,0101,KR,\xc3,\xa9,A\n2,2020-01-01,0101,KR,\xc3\xa9,1,A\n");
    let (good, bad, _) = read_in(&bytes, &mapping(), 16).expect("reads");
    assert_eq!(texts(&good, "description"), ["é"]);
    assert_eq!(texts(&bad, "rule"), ["invalid UTF-8"]);
}

#[test]
fn a_byte_order_mark_and_a_file_without_header() {
    let (good, ..) = read(&format!("\u{feff}{HEADER}1,2020-01-01,0101,KR,,1,A"));
    assert_eq!(good.num_rows(), 1);
    let text = MAPPING.replace("[columns]", "header = false\n[columns]");
    let names = ["id", "date", "hs", "origin", "text", "mass", "channel"];
    let text = names.iter().enumerate().fold(text, |text, (place, name)| {
        text.replace(&format!("from = \"{name}\""), &format!("from = \"{}\"", place + 1))
    });
    let mapping = Mapping::parse(&text, TABLES).expect("right");
    let rows = b"1,2020-01-01,0101,KR,,1,A\n2,2020-01-01,0101,KR,,1,A\n";
    assert_eq!(read_in(rows, &mapping, 8).expect("reads").0.num_rows(), 2);
}

pub(super) fn many_rows(rows: usize) -> String {
    let row = |n: usize| format!("{n},2020-01-01,0101,KR,\"text, {n}\nmore\",{n}.5,A\n");
    HEADER.to_owned() + &(0..rows).map(row).collect::<String>()
}

#[test]
fn gzip_members_zstd_and_their_damage() {
    let text = many_rows(3000);
    let plain = read(&text);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("in memory");
        encoder.finish().expect("in memory")
    };
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let members = [gzip(first), gzip(second)].concat();
    let zstd = zstd::encode_all(text.as_bytes(), 1).expect("in memory");
    for packed in [members, zstd] {
        let unpacked = read_in(&packed, &mapping(), 1000).expect("reads");
        assert_eq!((&unpacked.0, unpacked.2), (&plain.0, plain.2));
        let error = input_error(&packed[..packed.len() - 20], &mapping());
        assert!(error.contains("export.csv is cut off or damaged"), "{error}");
    }
}

#[test]
fn parquet_passes_the_same_checks() {
    let mapping = Mapping::parse(&MAPPING.replace("[columns]", "format = \"parquet\"\n[columns]"), TABLES)
        .expect("right");
    let text = |values: [&'static str; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let source = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("date", Arc::new(TimestampMillisecondArray::from(vec![86_400_001, 0, 0])) as ArrayRef),
        ("hs", text(["0101", "0101", "0101"])),
        ("origin", text(["KR", "XX", ""])),
        ("text", text(["a", "b", "c"])),
        ("mass", Arc::new(Float64Array::from(vec![Some(0.1), Some(1.0), Some(-1.0)])) as ArrayRef),
        ("channel", text(["A", "A", "A"])),
    ])
    .expect("made");
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, source.schema(), None).expect("opens");
    writer.write(&source).expect("written");
    writer.close().expect("closed");
    let bytes = bytes::Bytes::from(bytes);
    let reader = ExportReader::from_parquet("x.parquet", bytes.clone(), &mapping).expect("opens");
    let (good, bad, counts) = drain(reader).expect("reads");
    assert_eq!(counts, RowCounts { read: 3, archived: 1, quarantined: 2 });
    assert_eq!(good.column_by_name("acceptance_date").unwrap().as_primitive::<Date32Type>().value(0), 1);
    assert_eq!(good.column_by_name("net_mass").unwrap().as_primitive::<Float64Type>().value(0), 0.1);
    assert_eq!(texts(&bad, "column"), ["origin", "net_mass"]);
    let cut = bytes.slice(..bytes.len() - 9);
    let error = ExportReader::from_parquet("x.parquet", cut, &mapping).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Input);
}

#[test]
fn typed_times_are_read_as_their_text_is() {
    let mapping = "table = \"releases\"\ncountry = \"UG\"\nformat = \"parquet\"\n[columns]\n\
                   case_id = { from = \"case\" }\nevent = { from = \"event\" }\nevent_time = { from = \"time\" }\n";
    let mapping = Mapping::parse(mapping, TABLES).expect("right");
    let text = |text: &str| Arc::new(StringArray::from(vec![text; 4])) as ArrayRef;
    // The last is in 2201.
    let times = vec![Some(1_318_333_540_276_001), None, Some(-1), Some(7_289_654_400_000_000)];
    let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
    let read = |time| read_columns([("case", text("a")), ("event", text("b")), ("time", time)], &mapping);
    let typed = read(Arc::new(times.clone()));
    assert_eq!(typed.2, RowCounts { read: 4, archived: 2, quarantined: 2 });
    assert_eq!(texts(&typed.1, "rule"), ["missing", "date outside the years 1900 to 2200"]);
    let offsets = typed.0.column_by_name("utc_offset").expect("is there").as_primitive::<Int32Type>();
    assert_eq!((offsets.values().as_ref(), offsets.null_count()), ([0, 0].as_slice(), 0));
    let texts = read(cast(&times, &DataType::Utf8).expect("casts"));
    assert_eq!((&typed.0, typed.2), (&texts.0, texts.2));
    assert_eq!(typed.1.column_by_name("value"), texts.1.column_by_name("value"));
}

#[test]
fn the_digest_is_that_of_the_bytes() {
    let mut file = tempfile::NamedTempFile::new().expect("made");
    file.write_all(b"abc").expect("written");
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(source_digest(file.path()).expect("read"), known);
}

#[test]
fn the_korean_files_are_read_whole() {
    let mapping = Mapping::parse(include_str!("../../../../examples/korea.toml"), TABLES).expect("right");
    for (file, rows) in [("train", 37_385), ("valid", 8_134), ("test", 8_481)] {
        let name = format!("../../../shared/data/declarations/df_syn_{file}_eng.csv.gz");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        if !path.exists() {
            eprintln!("SKIPPED: no real data at {}", path.display());
            return;
        }
        let (good, bad, counts) = drain(ExportReader::open(&path, &mapping).expect("opens")).expect("reads");
        assert_eq!(counts, RowCounts { read: rows, archived: rows, quarantined: 0 }, "{bad:?}");
        let illicit = good.column_by_name("illicit").unwrap().as_boolean();
        let share = illicit.true_count() as f64 / illicit.len() as f64;
        assert!((0.209..0.218).contains(&share), "{file}: {share}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_block_size_changes_nothing_and_no_row_is_lost(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "1", ",", ",", ",", "\n", "\r\n", "\r", "\"", "\"\"", "é", "\u{feff}", "x",
                "2,2020-01-01,0101,KR,\"a\nb\",1,A\n", "3,2020-13-01,0101,KR,,1,A\r\n",
            ]),
            0..60,
        ),
        noise in prop::collection::vec(any::<u8>(), 0..40),
        block in 1_usize..64,
        padding in 4100_usize..4200,
    ) {
        // The padding carries the pieces past the bytes that the header reads.
        let mut bytes = HEADER.as_bytes().to_vec();
        bytes.extend_from_slice(format!("1,2020-01-01,0101,KR,{},1,A\n", "p".repeat(padding)).as_bytes());
        bytes.extend_from_slice(pieces.concat().as_bytes());
        bytes.extend_from_slice(&noise);
        let whole = read_in(&bytes, &mapping(), BLOCK_SIZE).expect("the header is right");
        let small = read_in(&bytes, &mapping(), block).expect("the header is right");
        prop_assert_eq!(&whole, &small);
        prop_assert_eq!(whole.2.read, whole.2.archived + whole.2.quarantined);
        let rows = u64::try_from(whole.0.num_rows() + whole.1.num_rows()).expect("small");
        prop_assert_eq!(whole.2.read, rows);
    }

    #[test]
    fn typed_columns_are_read_as_their_text_is(
        rows in prop::collection::vec(
            (
                prop::option::of(prop::sample::select(vec![0, 18_262, -25_567, -25_568, 84_370, 84_371, 99_999])),
                prop::option::of(prop::sample::select(vec![0.1, -0.5, 3.0, 1e300, f64::NAN, f64::INFINITY])),
            ),
            1..40,
        ),
        whole: bool,
        null in prop::sample::select(vec!["NA", "NaN", "inf", "0.1", "3"]),
    ) {
        let mapping = MAPPING.replace("[columns]", "format = \"parquet\"\n[columns]").replace("NA", null);
        let mapping = Mapping::parse(&mapping, TABLES).expect("right");
        let text = |text: &str| Arc::new(StringArray::from(vec![text; rows.len()])) as ArrayRef;
        let mass = Float64Array::from_iter(rows.iter().map(|row| row.1));
        let whole_mass = Int64Array::from_iter(rows.iter().map(|row| row.1.map(|mass| mass as i64 % 1000)));
        let dates = Arc::new(Date32Array::from_iter(rows.iter().map(|row| row.0))) as ArrayRef;
        let times = cast(&dates, &DataType::Timestamp(TimeUnit::Microsecond, None)).expect("casts");
        let columns = [
            ("id", text("1")),
            ("date", if whole { dates } else { times }),
            ("hs", text("0101")),
            ("origin", text("KR")),
            ("text", text("a")),
            ("mass", if whole { Arc::new(whole_mass) as ArrayRef } else { Arc::new(mass) }),
            ("channel", text("A")),
        ];
        let read = |as_text: bool| {
            let columns = columns.iter().map(|(name, column)| match as_text {
                // A time is written as its day, as an export of days does.
                true if *name == "date" => {
                    let days = cast(column, &DataType::Date32).expect("casts");
                    (*name, cast(&days, &DataType::Utf8).expect("casts"))
                }
                true => (*name, cast(column, &DataType::Utf8).expect("casts")),
                false => (*name, Arc::clone(column)),
            });
            read_columns(columns, &mapping)
        };
        let (typed, texts) = (read(false), read(true));
        prop_assert_eq!((&typed.0, typed.2), (&texts.0, texts.2));
        for column in ["row_number", "column", "rule", "value"] {
            prop_assert_eq!(typed.1.column_by_name(column), texts.1.column_by_name(column));
        }
    }

    #[test]
    fn fields_are_the_same_with_and_without_quotes(
        rows in prop::collection::vec(
            (prop::collection::vec("[^,\"\r\n\\x00]{0,6}", 6..8), prop::sample::select(vec!["\n", "\r\n", "\n\n"])),
            1..20,
        ),
    ) {
        let written = |quote: &str| {
            let row = |(fields, end): &(Vec<String>, &str)| {
                let quoted: Vec<String> = fields.iter().map(|field| format!("{quote}{field}{quote}")).collect();
                format!("{}{end}", quoted.join(","))
            };
            HEADER.to_owned() + &rows.iter().map(row).collect::<String>()
        };
        let (plain, quoted) = (read(&written("")), read(&written("\"")));
        prop_assert_eq!((&plain.0, plain.2), (&quoted.0, quoted.2));
        for column in ["column", "rule", "value", "line"] {
            prop_assert_eq!(plain.1.column_by_name(column), quoted.1.column_by_name(column));
        }
    }

    #[test]
    fn a_mapping_with_typing_errors_never_panics(
        errors in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..12, prop::sample::select(vec![
                "", "\"", "\n", "=", "{", "[", "]", "%", "%Q", "é", "\0", "-1", "from", "constant = \"x\"",
                "\ndelimiter = \"\\u0000\"\n", "\nquote = \",\"\n", "\nheader = false\n", "\ndate_formats = []\n",
                "\nencoding = \"latin-1\"\n", "\nformat = \"parquet\"\n", "\ndecimal_comma = true\n",
            ])),
            1..5,
        ),
    ) {
        let mut text: Vec<char> = MAPPING.chars().collect();
        for (place, removed, added) in errors {
            let place = place.index(text.len() + 1);
            let end = (place + removed).min(text.len());
            text.splice(place..end, added.chars());
        }
        if let Ok(mapping) = Mapping::parse(&text.into_iter().collect::<String>(), TABLES) {
            let _ = read_in(format!("{HEADER}1,2020-01-01,0101,KR,x,1,A\n").as_bytes(), &mapping, BLOCK_SIZE);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_in(&bytes, &mapping(), 5);
    }
}
