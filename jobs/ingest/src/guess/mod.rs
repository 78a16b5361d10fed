//! A first mapping for an export that nobody has described yet: `ingest TABLE --guess FILE`.
//!
//! The first part of the file is read. Its delimiter, encoding, header, decimal and thousands marks and formats of dates
//! come from the text; its columns are found by their names ([`names`]) and by their values ([`values`]). The answer is
//! the text of a mapping with a comment on each line that says what was seen, and on what is left over. It is a start for
//! a person, who knows the export, and not a result. Start at [`mapping`].

mod dates;
mod milestones;
mod names;
mod values;

use std::{collections::BTreeMap, fs::File, path::Path};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidewaiter_archive::schema::{Check, Column, EVENT_TIME, Kind, Layout};
use tidewaiter_core::{Error, Result, ResultExt};

pub(crate) use self::dates::advice;
use self::{milestones::Milestone, values::Profile};
use crate::{
    cells::value_text,
    encoding::Encoding,
    mapping::MILESTONE_COLUMNS,
    readers::sample,
    records::{TextForm, decoded, records},
};

/// Bytes and rows that are looked at.
const SAMPLE_BYTES: usize = 256 << 10;
const SAMPLE_ROWS: usize = 500;

/// What was seen of an export.
struct Export {
    /// Settings of the mapping, each with a comment.
    settings: Vec<(String, String)>,
    /// The names of the columns, as a mapping writes them, and what is in them.
    columns: Vec<(String, Profile)>,
}

/// The text of a first mapping of a file for a table.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for a file that is no table; [`tidewaiter_core::ErrorKind::NotFound`] when there
/// is no such file.
pub fn mapping(layout: &'static Layout, file: &Path) -> Result<String> {
    let export = look_at(layout, file).context(|| format!("look at {}", file.display()))?;
    let mut standard: Vec<&'static Column> = layout
        .columns
        .iter()
        .filter(|column| !matches!(column.kind, Kind::Offset | Kind::Position))
        .collect();
    let milestones = wide_milestones(layout, &standard, &export);
    if !milestones.is_empty() {
        standard.retain(|column| !MILESTONE_COLUMNS.contains(&column.name));
    }
    let found = assigned(&standard, &export.columns);
    let mut text = format!(
        "# A first mapping of {} for the table {}, guessed from its first rows: check each line.\n\
         # `tidewaiter archive columns {}` says what the columns mean; `ingest --dry-run` tries the mapping.\n",
        file.display(),
        layout.table,
        layout.table
    );
    let mut line = |setting: &str, comment: &str| {
        let comment = if comment.is_empty() { String::new() } else { format!("  # {comment}") };
        text.push_str(&format!("{setting}{comment}\n"));
    };
    line(&format!("table = {}", quoted(layout.table)), "");
    line("country = \"ZZ\"", "the reporting country, ISO 3166-1 alpha-2: write yours");
    for (setting, comment) in &export.settings {
        line(setting, comment);
    }
    let is_milestone = |name: &str| {
        milestones.iter().any(|milestone| milestone.title == name || milestone.start == Some(name))
    };
    let of_milestones = export.columns.iter().filter(|(name, _)| is_milestone(name)).map(|(_, seen)| seen);
    let used: Vec<&Profile> = found
        .iter()
        .filter_map(|(_, place)| Some(&export.columns[(*place)?].1))
        .chain(of_milestones)
        .collect();
    for (setting, comment) in conventions(&used, layout) {
        line(&setting, &comment);
    }
    line("", "");
    line("[columns]", "");
    for (column, place) in &found {
        match place {
            Some(place) => {
                let (name, profile) = &export.columns[*place];
                line(&mapped(column, name, profile), &seen(column, profile));
            }
            None if column.name == "item_number" => {
                line(
                    "# item_number = { constant = \"1\" }",
                    "required, and not found: name its column, or take the # away where every declaration has one item",
                );
            }
            None if column.required => {
                line(
                    &format!("# {} = {{ from = \"\" }}", column.name),
                    &format!("required, and not found: {}", column.meaning),
                );
            }
            None => {}
        }
    }
    for milestone in &milestones {
        line("", "");
        line("[[milestones]]", "");
        line(&format!("event = {}", quoted(milestone.title)), "the name of the event: write yours");
        match milestone.role {
            Some(role) => line(&format!("role = {}", quoted(role)), "what it means for a study"),
            None => line("# role = \"\"", "what it means for a study, such as lodgement or release"),
        }
        line(&format!("event_time = {}", quoted(milestone.title)), "");
        if let Some(start) = milestone.start {
            line(&format!("start_time = {}", quoted(start)), "when its work began");
        }
    }
    let left: Vec<&(String, Profile)> = export
        .columns
        .iter()
        .enumerate()
        .filter(|(place, (name, _))| {
            !found.iter().any(|(_, found)| *found == Some(*place)) && !is_milestone(name)
        })
        .map(|(_, column)| column)
        .collect();
    if !left.is_empty() {
        line("", "");
        line("# Left over:", "");
        for (name, profile) in left {
            line(&format!("#   {name}"), &profile.shown.join(", "));
        }
    }
    let absent: Vec<&str> = found
        .iter()
        .filter(|(column, place)| place.is_none() && !column.required)
        .map(|(column, _)| column.name)
        .collect();
    if !absent.is_empty() {
        line(&format!("# Columns of the table that were not found: {}", absent.join(", ")), "");
    }
    Ok(text)
}

/// The milestones of an export for a table of events, where no column of it names the event of a row.
fn wide_milestones<'a>(
    layout: &Layout,
    standard: &[&'static Column],
    export: &'a Export,
) -> Vec<Milestone<'a>> {
    let is_of_events = layout.columns.iter().any(|column| column.name == EVENT_TIME);
    let names_events = |(name, _): &(String, Profile)| {
        let of_trace = name.strip_prefix("case:").unwrap_or(name);
        standard.iter().any(|column| column.name == "event" && names::score(column.name, of_trace) > 8)
    };
    if !is_of_events || export.columns.iter().any(names_events) {
        return Vec::new();
    }
    milestones::milestones(&export.columns)
}

fn look_at(layout: &Layout, file: &Path) -> Result<Export> {
    let mut magic = [0; 4];
    let read = File::open(file).and_then(|mut file| std::io::Read::read(&mut file, &mut magic))?;
    if magic[..read] == *b"PAR1" {
        return look_at_parquet(file);
    }
    let bytes = sample(file, SAMPLE_BYTES)?;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).replace('\0', "");
    if start.contains("<log") && start.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        return Ok(look_at_log(layout, &bytes));
    }
    look_at_text(&bytes)
}

fn look_at_parquet(file: &Path) -> Result<Export> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)
        .map_err(|error| Error::input("it is not a whole Parquet file").with_source(error))?;
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let is_time: Vec<bool> =
        builder.schema().fields().iter().map(|field| field.data_type().is_temporal()).collect();
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    if let Some(rows) = builder.with_batch_size(SAMPLE_ROWS).build()?.next() {
        let rows = rows?;
        for (values, column) in columns.iter_mut().zip(rows.columns()) {
            *values = (0..rows.num_rows()).map(|row| value_text(column, row)).collect::<Result<_>>()?;
        }
    }
    let columns = names.into_iter().zip(columns).zip(is_time).map(|((name, values), is_time)| {
        let mut profile = Profile::of(values.iter().map(String::as_str));
        if is_time {
            // Typed days and times need no format.
            profile.date = Some("%Y-%m-%d".to_owned());
            profile.time = Some(String::new());
        }
        (name, profile)
    });
    let columns = columns.collect();
    Ok(Export { settings: vec![("format = \"parquet\"".to_owned(), String::new())], columns })
}

/// An event log: the keys that its events and traces have, most of which the standard names.
fn look_at_log(layout: &Layout, bytes: &[u8]) -> Export {
    let text = String::from_utf8_lossy(bytes);
    let mut columns: Vec<(String, Profile)> = Vec::new();
    let mut in_event = false;
    for element in text.split('<') {
        match () {
            () if element.starts_with("event") => in_event = true,
            () if element.starts_with("/event") || element.starts_with("trace") => in_event = false,
            () => {}
        }
        let attribute = |name: &str| element.split_once(&format!("{name}=\""))?.1.split('"').next();
        let is_kept = ["string", "date", "int", "boolean", "id"].iter().any(|kind| element.starts_with(kind));
        let (true, Some(key), Some(value)) = (is_kept, attribute("key"), attribute("value")) else {
            continue;
        };
        let name = if in_event { key.to_owned() } else { format!("case:{key}") };
        match columns.iter_mut().find(|(known, _)| *known == name) {
            Some((_, profile)) if profile.shown.len() < 3 => profile.shown.push(value.to_owned()),
            Some(_) => {}
            None => columns.push((name, Profile { shown: vec![value.to_owned()], ..Profile::default() })),
        }
    }
    for (name, profile) in &mut columns {
        // Times of a log are ISO 8601, which needs no format.
        if name.contains("time") {
            profile.time = Some(String::new());
        }
    }
    let what = format!("an event log, for {}", layout.table);
    Export { settings: vec![("format = \"xes\"".to_owned(), what)], columns }
}

fn look_at_text(bytes: &[u8]) -> Result<Export> {
    let mut settings = Vec::new();
    // The last line may be cut.
    let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) if bytes.len() >= SAMPLE_BYTES => &bytes[..=end],
        _ => bytes,
    };
    let marked = Encoding::of_mark(bytes).map(|(encoding, _)| encoding);
    let text = match decoded(whole, None) {
        Ok(text) => {
            if let (None, Some(encoding)) = (marked, Encoding::of_nul_bytes(bytes)) {
                let setting = format!("encoding = {}", quoted(&encoding.name().to_lowercase()));
                settings.push((setting, "every second byte is NUL".to_owned()));
            }
            text
        }
        Err(_) => {
            settings.push(("encoding = \"latin-1\"".to_owned(), "it is not UTF-8".to_owned()));
            decoded(whole, Encoding::named("latin-1"))?
        }
    };
    let split = |delimiter: char| {
        records(text.as_bytes(), &TextForm { delimiter: Some(delimiter), encoding: Some(Encoding::UTF_8) })
    };
    // The delimiter that divides most lines into the same number of fields, more than one.
    let mut best: Option<(usize, char, Vec<Vec<String>>, usize)> = None;
    for delimiter in [',', ';', '\t', '|'] {
        let mut rows = split(delimiter)?;
        rows.truncate(SAMPLE_ROWS);
        let mut widths: Vec<usize> = rows.iter().map(Vec::len).filter(|width| *width > 1).collect();
        widths.sort_unstable();
        let runs = widths.chunk_by(|a, b| a == b).map(|run| (run.len() * run[0].min(20), run[0]));
        let Some((fit, width)) = runs.max() else { continue };
        if best.as_ref().is_none_or(|(known, ..)| fit > *known) {
            best = Some((fit, delimiter, rows, width));
        }
    }
    let Some((_, delimiter, rows, width)) = best else {
        return Err(Error::input("no delimiter (comma, semicolon, tab, bar) divides its lines into columns"));
    };
    if delimiter != ',' {
        settings
            .push((format!("delimiter = {}", quoted(&delimiter.to_string())), format!("{width} columns")));
    }
    // Title lines and totals have few cells.
    let is_full = |row: &Vec<String>| row.iter().filter(|cell| !cell.trim().is_empty()).count() * 2 >= width;
    let mut rows = rows.into_iter().skip_while(|row| row.len() != width || !is_full(row)).peekable();
    let is_title = |cell: &String| !cell.trim().is_empty() && cell.chars().any(char::is_alphabetic);
    let has_header =
        rows.peek().is_some_and(|row| row.iter().filter(|cell| is_title(cell)).count() * 10 >= width * 8);
    let names: Vec<String> = match has_header {
        true => rows.next().unwrap_or_default().iter().map(|title| title.trim().to_owned()).collect(),
        false => {
            settings
                .push(("header = false".to_owned(), "the first line has values and no titles".to_owned()));
            (1..=width).map(|place| place.to_string()).collect()
        }
    };
    let (full, sparse): (Vec<_>, Vec<_>) = rows.filter(|row| row.len() == width).partition(is_full);
    let rows = if full.len() >= sparse.len() { full } else { [full, sparse].concat() };
    let columns = names
        .into_iter()
        .enumerate()
        .map(|(place, name)| (name, Profile::of(rows.iter().map(|row| row[place].as_str()))));
    Ok(Export { columns: columns.collect(), settings })
}

/// For each standard column the place of the export's column that is most likely it.
fn assigned(
    standard: &[&'static Column],
    columns: &[(String, Profile)],
) -> Vec<(&'static Column, Option<usize>)> {
    let mut scores: Vec<(u32, usize, usize)> = Vec::new();
    for (place, column) in standard.iter().enumerate() {
        for (from, (name, profile)) in columns.iter().enumerate() {
            let of_trace = name.strip_prefix("case:").map_or(0, |key| names::score(column.name, key));
            let by_name = names::score(column.name, name).max(of_trace.saturating_sub(2));
            let score = match fits(column, profile) {
                Fit::No => 0,
                Fit::Maybe => by_name,
                Fit::Only(bonus) => by_name + bonus,
            };
            if score > 0 {
                scores.push((score, place, from));
            }
        }
    }
    scores.sort_by_key(|(score, place, from)| (std::cmp::Reverse(*score), *place, *from));
    let mut found: Vec<_> = standard.iter().map(|column| (*column, None)).collect();
    let mut used = vec![false; columns.len()];
    for (_, place, from) in scores {
        if found[place].1.is_none() && !used[from] {
            found[place].1 = Some(from);
            used[from] = true;
        }
    }
    found
}

/// Whether a column's values can be those of a standard column.
enum Fit {
    No,
    Maybe,
    /// They are of a form that few other columns have, which counts so much.
    Only(u32),
}

fn fits(column: &Column, profile: &Profile) -> Fit {
    let is_empty = profile.shown.is_empty();
    let when = |fits: bool| if fits || is_empty { Fit::Maybe } else { Fit::No };
    match (column.kind, column.check) {
        (Kind::Date, _) if profile.date.is_some() || profile.time.is_some() => Fit::Only(5),
        (Kind::Time, _) if profile.time.is_some() => Fit::Only(if column.required { 5 } else { 0 }),
        (Kind::Date | Kind::Time, _) => Fit::No,
        (_, Check::HsCode) if profile.is_hs_code => Fit::Only(4),
        (_, Check::HsCode) => when(profile.number.is_some() || profile.can_be_hs_code),
        (_, Check::Currency) if profile.is_currency => Fit::Only(6),
        (_, Check::Country) if profile.is_country => Fit::Only(1),
        (_, Check::Country | Check::Currency) => when(!profile.few.is_empty()),
        (_, Check::OneOf(_)) => when(!profile.few.is_empty()),
        (Kind::Number | Kind::Integer, _) => when(profile.number.is_some()),
        (Kind::Flag, _) => when(profile.flag.is_some() || profile.few.len() <= 2),
        _ => Fit::Maybe,
    }
}

/// The settings of numbers, dates and zones that the columns need.
fn conventions(used: &[&Profile], layout: &Layout) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let numbers = || {
        used.iter()
            .filter(|profile| !profile.is_hs_code && profile.date.is_none())
            .filter_map(|profile| profile.number)
    };
    if numbers().any(|(decimal, _)| decimal == ',') {
        settings.push(("decimal_comma = true".to_owned(), "numbers are written 12,5".to_owned()));
    }
    if let Some(shown) = used.iter().find_map(|profile| profile.doubtful.as_ref()) {
        settings.push((
            "# thousands = \",\"".to_owned(),
            format!("{shown} was taken for a number with a decimal comma; take the # and decimal_comma away if it is not"),
        ));
    }
    let mut marks: Vec<char> = numbers().filter_map(|(_, thousands)| thousands).collect();
    marks.sort_unstable();
    marks.dedup();
    if !marks.is_empty() {
        let marks: String = marks.into_iter().collect();
        settings.push((format!("thousands = {}", quoted(&marks)), "marks between thousands".to_owned()));
    }
    let distinct = |of: fn(&Profile) -> Option<&String>| {
        let mut formats: Vec<&String> =
            used.iter().filter_map(|profile| of(profile)).filter(|format| !format.is_empty()).collect();
        formats.sort_unstable();
        formats.dedup();
        formats.iter().map(|format| quoted(format)).collect::<Vec<_>>()
    };
    let dates = distinct(|profile| profile.date.as_ref());
    if dates.iter().any(|format| format != "\"%Y-%m-%d\"") {
        let other =
            used.iter().find_map(|profile| profile.other_date.as_ref().filter(|_| profile.date.is_some()));
        let comment = other.map(|other| format!("{other} would fit as well")).unwrap_or_default();
        settings.push((format!("date_formats = [{}]", dates.join(", ")), comment));
    }
    if layout.columns.iter().any(|column| column.kind == Kind::Time) {
        let times = distinct(|profile| profile.time.as_ref());
        let times: Vec<_> = times.into_iter().filter(|format| !format.starts_with("\"%Y-%m-%d")).collect();
        if !times.is_empty() {
            settings.push((format!("time_formats = [{}]", times.join(", ")), String::new()));
        }
        settings.push((
            "time_zone = \"UTC\"".to_owned(),
            "the zone of times without one: write yours".to_owned(),
        ));
    } else if let Some(format) =
        used.iter().filter(|profile| profile.date.is_none()).find_map(|profile| profile.time.as_ref())
    {
        settings.push((format!("date_formats = [{}]", quoted(format)), "days with a time of day".to_owned()));
    }
    settings
}

/// The line of a column.
fn mapped(column: &Column, name: &str, profile: &Profile) -> String {
    let mut values: Vec<(String, &str)> = Vec::new();
    if let (Kind::Flag, Some((yes, no))) = (column.kind, &profile.flag) {
        let is_read = |value: &str| {
            ["1", "0", "true", "false", "yes", "no", "y", "n", "1.0", "0.0"]
                .contains(&value.to_lowercase().as_str())
        };
        if !(is_read(yes) && is_read(no)) {
            values = vec![(yes.clone(), "true"), (no.clone(), "false")];
        }
    }
    if let Check::OneOf(words) = column.check
        && !profile.few.iter().all(|value| words.contains(&value.as_str()))
    {
        values = profile.few.iter().filter_map(|value| Some((value.clone(), channel(value)?))).collect();
    }
    let values: Vec<String> =
        values.iter().map(|(from, to)| format!("{} = {}", quoted(from), quoted(to))).collect();
    match values.is_empty() {
        true => format!("{} = {{ from = {} }}", column.name, quoted(name)),
        false => {
            format!("{} = {{ from = {}, values = {{ {} }} }}", column.name, quoted(name), values.join(", "))
        }
    }
}

/// The word for a colour of a channel in several languages.
fn channel(value: &str) -> Option<&'static str> {
    match names::plain(value).as_str() {
        "g" | "green" | "verde" | "v" | "vert" => Some("green"),
        "y" | "yellow" | "amarillo" | "amarelo" | "jaune" | "naranja" | "orange" | "laranja" | "a" | "j" => {
            Some("yellow")
        }
        "r" | "red" | "rojo" | "rouge" | "vermelho" => Some("red"),
        _ => None,
    }
}

/// What was seen in a column, as a comment.
fn seen(column: &Column, profile: &Profile) -> String {
    let check = column.check.words();
    let shown: Vec<String> = profile.shown.iter().map(|value| value.chars().take(40).collect()).collect();
    let mut shown = if shown.is_empty() { "no value".to_owned() } else { shown.join(", ") };
    if let (count @ 1.., Some(misfit)) = (profile.misfits, &profile.misfit)
        && (column.kind != Kind::Text || column.check != Check::Any)
    {
        let misfit: String = misfit.chars().take(40).collect();
        shown.push_str(&format!("; {count} of the cells looked at may be wrong, such as {misfit}"));
    }
    if let (Check::HsCode, Some(warning)) = (column.check, lost_zeros(&profile.lengths)) {
        return format!("{shown}: {warning}");
    }
    match check.is_empty() {
        true => shown,
        false => format!("{shown} ({check})"),
    }
}

/// A warning about HS codes of which some have an odd number of digits, so that a program seems to have taken their leading
/// zero. `lengths` are the numbers of values of each length.
fn lost_zeros(lengths: &BTreeMap<usize, usize>) -> Option<String> {
    let odd: usize = lengths.iter().filter(|(length, _)| *length % 2 == 1).map(|(_, count)| count).sum();
    if odd == 0 {
        return None;
    }
    let whole = lengths.keys().map(|length| length + length % 2).max().unwrap_or_default();
    Some(format!(
        "{odd} of {} codes have an odd number of digits and are put aside: a leading zero may be lost; with \
         digits = {whole} and nomenclature = \"FILE\" it is restored where that has only one such code",
        lengths.values().sum::<usize>()
    ))
}

/// A text of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{ExportReader, Mapping, tests::TABLES};

    /// The rows that a guessed mapping archives, and the mapping.
    fn guessed(table: usize, bytes: &[u8]) -> (u64, String) {
        let mut file = tempfile::NamedTempFile::new().expect("made");
        file.write_all(bytes).expect("written");
        // What the user writes: the country, and that each declaration has one item where no column names it.
        let text = mapping(TABLES[table], file.path()).expect("guesses").replace("\"ZZ\"", "\"PE\"");
        let text = text.replace("# item_number = ", "item_number = ");
        let mapping =
            Mapping::parse(&text, TABLES).unwrap_or_else(|error| panic!("{}: {text}", error.chain()));
        let mut reader = ExportReader::open(file.path(), &mapping).expect("opens");
        while reader.next_block().expect("reads").is_some() {}
        (reader.counts().archived, text)
    }

    #[test]
    fn a_first_mapping_reads_the_export_that_it_was_guessed_from() {
        let spanish = "Número DUA;Fecha numeración;Partida arancelaria;Descripción comercial;País origen;Peso neto;Valor CIF;Moneda;Canal;Inspección;Otro\r\n\
            118-2024-1;31/12/2024;8703231128;camión;CN;1.250,5;12.345,00;USD;V;Sí;x\r\n118-2024-2;01/12/2024;0901110000;café;BR;10;1.000,25;EUR;R;No;y\r\n";
        let latin_1: Vec<u8> = spanish.chars().map(|character| character as u8).collect();
        for bytes in [spanish.as_bytes(), &latin_1] {
            let (rows, text) = guessed(0, bytes);
            assert_eq!(rows, 2, "{text}");
            for line in [
                "delimiter = \";\"",
                "decimal_comma = true",
                "thousands = \".\"",
                "date_formats = [\"%d/%m/%Y\"]",
                "#   Otro",
            ] {
                assert!(text.contains(line), "{line}: {text}");
            }
            assert!(text.contains("\"V\" = \"green\"") && text.contains("\"Sí\" = \"true\""), "{text}");
        }
        let titled = b"Import register, January 2024\r\nPrinted 05/02/2024;;;;\r\n\r\ndecl;item;day;hs;value\r\nF1;1;02/01/2024;220421;1250,5\r\nF2;2;03/01/2024;220421;10\r\nTotal;;;;1260,5\r\n";
        let (rows, text) = guessed(0, titled);
        assert!(rows == 2 && text.contains("decimal_comma = true") && !text.contains("Left over"), "{text}");
        let english = b"Import register\n\nEntry No,Reg Date,HS Code,Goods,Origin\nE1,2024-03-05,090111,coffee,BR\nE2,2024-03-06,870323,cars,JP\n";
        let (rows, text) = guessed(0, english);
        assert!(rows == 2 && text.contains("item_number = { constant = \"1\" }"), "{text}");
        for code in ["0901.11.00", "0901 11 00", "0901-11"] {
            let printed = format!(
                "Entry No,Item,Reg Date,HS,Value\nE1,1,2024-03-05,{code},1250.75\nE2,1,2024-03-06,8703.23.31,20\n"
            );
            let (rows, text) = guessed(0, printed.as_bytes());
            assert!(rows == 2 && text.contains("hs_code = { from = \"HS\""), "{text}");
        }
        let bare = b"E1\t20240305\t090111\tBR\nE2\t20240306\t870323\tJP\n";
        let mut file = tempfile::NamedTempFile::new().expect("made");
        file.write_all(bare).expect("written");
        let text = mapping(TABLES[0], file.path()).expect("guesses");
        assert!(text.contains("header = false") && text.contains("# declaration_id = "), "{text}");
    }

    #[test]
    fn what_is_doubtful_is_said() {
        let zeros = b"Entry No,Item,Reg Date,HS Code,Value\nE1,1,2024-03-05,9011100,\"1,250\"\nE2,1,2024-03-06,87032310,\"2,000\"\n";
        let (_, text) = guessed(0, zeros);
        assert!(
            text.contains("1 of 2 codes have an odd number of digits") && text.contains("digits = 8"),
            "{text}"
        );
        assert!(text.contains("# thousands = \",\"") && text.contains("1,250"), "{text}");
    }

    #[test]
    fn a_first_mapping_of_events_has_their_keys() {
        let log = b"<log><trace><string key=\"concept:name\" value=\"A\"/><event><string key=\"concept:name\" value=\"Lodge\"/>\
            <date key=\"time:timestamp\" value=\"2024-01-01T10:00:00Z\"/></event></trace></log>";
        let (rows, text) = guessed(1, log);
        assert_eq!(rows, 1, "{text}");
        let wide = b"consignment,mode,arrival,lodged,inspected_from,inspected_to,released\n\
            T1,sea,2024-02-01 08:00,2024-02-01 10:00,2024-02-01 12:00,2024-02-01 14:00,2024-02-01 18:00\n\
            T2,sea,2024-02-02 08:00,2024-02-02 09:00,,,2024-02-02 12:00\n";
        let (rows, text) = guessed(1, wide);
        assert_eq!(rows, 7, "{text}");
        assert!(
            text.contains("role = \"release\"") && text.contains("start_time = \"inspected_from\""),
            "{text}"
        );
        let table = b"case,activity,when,status\nL1,Lodge,2024-04-01 08:00,complete\nL1,Release,2024-04-01 13:00,complete\n";
        let (rows, text) = guessed(1, table);
        assert_eq!(rows, 2, "{text}");
    }
}
