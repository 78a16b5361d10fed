//! What is known of images beside their pixels: country, site, scanner, time, declaration, HS code.
//!
//! The mapping file (TOML) says where each value comes from: a table of the images (CSV with a header), the images' names,
//! or one value for all of them, in this order. A time that comes from nowhere is that of the file's last change. Start at
//! [`Mapping::read`] and [`Mapping::attributes`].

use std::{collections::BTreeMap, path::Path};

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_ingest::{TextForm, records};
use tidewaiter_job::Roots;

use super::{
    digest::sha256,
    matching::assigned,
    source::{Refusal, Source},
};
use crate::table::IMAGES;

/// The columns that a mapping can fill.
const COLUMNS: [&str; 5] = ["site", "scanner", "taken_at", "declaration_id", "hs_code"];

/// The key of the title of the column that names the images.
const FILE: &str = "file";

/// Years in which images can have been taken.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;

/// What is known of an image beside its pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attributes {
    /// Microseconds since 1970 UTC.
    pub(super) taken_at: i64,
    pub(super) site: Option<String>,
    pub(super) scanner: Option<String>,
    pub(super) declaration_id: Option<String>,
    pub(super) hs_code: Option<String>,
}

/// The mapping file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    table: Option<String>,
    country: Option<String>,
    site: Option<String>,
    scanner: Option<String>,
    taken_at: Option<String>,
    /// The offset of times that have none, such as `+08:00`.
    utc_offset: Option<String>,
    /// The form of times, by strftime's letters.
    time_format: Option<String>,
    /// The form of images' names, such as `{site}/{scanner}_{taken_at}_*.png`.
    name: Option<String>,
    /// The table of images, beside the mapping.
    metadata: Option<String>,
    /// The titles of that table's columns.
    #[serde(default)]
    columns: BTreeMap<String, String>,
}

/// A mapping, with the table of images.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping {
    /// The reporting country of the images.
    pub(super) country: String,
    /// The file's text; without a file, that of one which says the same.
    pub(super) text: String,
    constants: BTreeMap<&'static str, String>,
    offset: Option<FixedOffset>,
    time_format: Option<String>,
    name: Option<Vec<Part>>,
    metadata: Metadata,
}

/// The rows of the table of images: their names, and the values of known columns.
#[derive(Debug, Clone, Default)]
struct Metadata {
    names: Vec<String>,
    rows: Vec<BTreeMap<&'static str, String>>,
}

/// A part of the form of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Any text; of a column where it has one.
    Any(Option<&'static str>),
}

impl Mapping {
    /// Reads a mapping file; without one only the country is known.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a wrong mapping, and where no country is given.
    pub(super) fn read(path: Option<&str>, country: Option<&str>, roots: &Roots) -> Result<Self> {
        let Some(path) = path else { return Self::new(MappingFile::default(), country, Metadata::default()) };
        let doing = || format!("read the mapping {path}");
        let text = std::fs::read_to_string(path).context(doing)?;
        let file: MappingFile =
            toml::from_str(&text).map_err(|error| Error::input(error.to_string())).context(doing)?;
        let (metadata, note) = match &file.metadata {
            None => (Metadata::default(), None),
            Some(name) => {
                let beside = Path::new(path).parent().unwrap_or(Path::new(".")).join(name);
                let place = roots.resolve(&beside.display().to_string())?;
                let read = || {
                    let bytes = std::fs::read(&place)?;
                    Ok::<_, Error>((Metadata::read(&bytes, &file.columns)?, sha256(&bytes)))
                };
                let (metadata, digest) = read().context(|| format!("read the table of images {place}"))?;
                (metadata, Some(format!("# metadata: {name:?}, SHA-256 {digest}")))
            }
        };
        let mut lines: Vec<&str> = text.lines().collect();
        lines.extend(note.as_deref());
        Ok(Self { text: lines.join("\n"), ..Self::new(file, country, metadata).context(doing)? })
    }

    fn new(file: MappingFile, country: Option<&str>, metadata: Metadata) -> Result<Self> {
        if let Some(table) = file.table.as_ref().filter(|table| *table != IMAGES) {
            return Err(Error::input(format!("it is for the table {table} and not for {IMAGES}")));
        }
        let country = country.map(str::to_owned).or(file.country);
        let is_code = |code: &String| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let country = country.filter(is_code).ok_or_else(|| {
            Error::input(
                "give the reporting country, by --country or in the mapping, as two capitals such as KR",
            )
        })?;
        let unknown = file.columns.keys().find(|name| *name != FILE && !COLUMNS.contains(&name.as_str()));
        if let Some(unknown) = unknown {
            return Err(Error::input(format!(
                "[columns] has {unknown}; it can have {FILE}, {}",
                COLUMNS.join(", ")
            )));
        }
        if !file.columns.is_empty() && file.metadata.is_none() {
            return Err(Error::input("[columns] needs `metadata`, the file that has them"));
        }
        let constants = [("site", file.site), ("scanner", file.scanner), ("taken_at", file.taken_at)];
        let constants = constants.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let offset = file.utc_offset.map(|text| {
            text.parse().map_err(|_| Error::input(format!("utc_offset is {text:?}; give one such as +08:00")))
        });
        let (time_format, name) = (file.time_format, file.name.as_deref().map(parts).transpose()?);
        let (text, offset) = (format!("country = {country:?}"), offset.transpose()?);
        let mapping = Self { country, text, constants, offset, time_format, name, metadata };
        if let Some(time) = mapping.constants.get("taken_at") {
            mapping.time(time).map_err(Error::input)?;
        }
        Ok(mapping)
    }

    /// The attributes of each source, or why it has none; and rows of the table of images that no source has.
    pub(super) fn attributes(&self, sources: &[Source]) -> (Vec<Result<Attributes, Refusal>>, Vec<Refusal>) {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let described: Vec<&str> = self.metadata.names.iter().map(String::as_str).collect();
        let rows = assigned(&names, &described);
        let mut is_left = vec![true; described.len()];
        rows.iter().flatten().for_each(|row| is_left[*row] = false);
        let left = described.iter().zip(is_left).filter(|(_, is_left)| *is_left);
        let left =
            left.map(|(name, _)| Refusal::new(*name, "metadata: its image is not among the files", ""));
        let of_source = |(source, row): (&Source, &Option<usize>)| {
            self.attributes_of(source, row.map(|row| &self.metadata.rows[row]))
        };
        (sources.iter().zip(&rows).map(of_source).collect(), left.collect())
    }

    fn attributes_of(
        &self,
        source: &Source,
        row: Option<&BTreeMap<&'static str, String>>,
    ) -> Result<Attributes, Refusal> {
        let refuse = |rule: &str, value: String| Refusal::new(source.name.clone(), rule, value);
        if !self.metadata.names.is_empty() && row.is_none() {
            return Err(refuse("the table of images has no row of its own for it", String::new()));
        }
        let named = match &self.name {
            None => BTreeMap::new(),
            Some(parts) => captured(parts, &source.name)
                .ok_or_else(|| refuse("its name is not of the mapping's form", source.name.clone()))?,
        };
        let value = |column: &str| {
            let values = [row.and_then(|row| row.get(column)), named.get(column), self.constants.get(column)];
            values.into_iter().flatten().find(|value| !value.is_empty()).cloned()
        };
        let taken_at = match value("taken_at") {
            None => source.modified * 1_000_000,
            Some(text) => self.time(&text).map_err(|reason| refuse("its time cannot be read", reason))?,
        };
        let hs_code = match value("hs_code") {
            None => None,
            Some(text) => Some(hs_code(&text).ok_or_else(|| refuse("its HS code is not one", text))?),
        };
        let (site, scanner) = (value("site"), value("scanner"));
        Ok(Attributes { taken_at, site, scanner, declaration_id: value("declaration_id"), hs_code })
    }

    /// Microseconds since 1970 UTC of a time, or what is wrong with it.
    fn time(&self, text: &str) -> Result<i64, String> {
        let local = match &self.time_format {
            Some(format) => {
                if let Ok(time) = DateTime::parse_from_str(text, format) {
                    return in_years(time);
                }
                let day =
                    || NaiveDate::parse_from_str(text, format).ok().and_then(|day| day.and_hms_opt(0, 0, 0));
                NaiveDateTime::parse_from_str(text, format).ok().or_else(day)
            }
            None => {
                if let Ok(time) = DateTime::parse_from_rfc3339(text) {
                    return in_years(time);
                }
                let forms =
                    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
                let time = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
                let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
                time.or_else(day)
            }
        };
        let Some(local) = local else {
            return Err(format!("{text:?} is no time; give one such as 2024-05-01 13:30:00, or time_format"));
        };
        let offset = self.offset.or_else(|| FixedOffset::east_opt(0));
        let time = offset.and_then(|offset| local.and_local_timezone(offset).single());
        time.ok_or_else(|| format!("{text:?} is out of range")).and_then(in_years)
    }
}

fn in_years(time: DateTime<FixedOffset>) -> Result<i64, String> {
    let utc = time.to_utc();
    if YEARS.contains(&utc.year()) {
        Ok(utc.timestamp_micros())
    } else {
        Err(format!("{time} is out of range"))
    }
}

/// An HS code without separators: 2 to 12 digits.
fn hs_code(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|letter| !matches!(letter, '.' | ' ')).collect();
    let is_code = (2..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_code.then_some(digits)
}

impl Metadata {
    fn read(bytes: &[u8], columns: &BTreeMap<String, String>) -> Result<Self> {
        let mut records = records(bytes, &TextForm::default())?.into_iter();
        let titles = records.next().unwrap_or_default();
        let place = |name: &str, title: &str| {
            titles.iter().position(|known| known.trim() == title).ok_or_else(|| {
                Error::input(format!(
                    "there is no column {title:?} for {name}; there are {}",
                    titles.join(", ")
                ))
            })
        };
        let file = columns.get(FILE).ok_or_else(|| Error::input(format!("[columns] lacks {FILE}")))?;
        let file = place(FILE, file)?;
        let mut places = Vec::new();
        for name in COLUMNS {
            if let Some(title) = columns.get(name) {
                places.push((name, place(name, title)?));
            }
        }
        let mut metadata = Self::default();
        for record in records {
            let cell =
                |place: usize| record.get(place).map(|cell| cell.trim().to_owned()).unwrap_or_default();
            metadata.names.push(cell(file));
            metadata.rows.push(places.iter().map(|(name, place)| (*name, cell(*place))).collect());
        }
        Ok(metadata)
    }
}

/// The parts of the form of a name.
fn parts(form: &str) -> Result<Vec<Part>> {
    let wrong = |what: &str| Error::input(format!("the form of names {form:?} {what}"));
    let (mut parts, mut rest) = (Vec::new(), form);
    while !rest.is_empty() {
        let next = rest.find(['{', '*']).unwrap_or(rest.len());
        if next > 0 {
            parts.push(Part::Literal(rest[..next].to_owned()));
            rest = &rest[next..];
            continue;
        }
        if matches!(parts.last(), Some(Part::Any(_))) {
            return Err(wrong("has two parts of any text without something between them"));
        }
        if let Some(after) = rest.strip_prefix('*') {
            parts.push(Part::Any(None));
            rest = after;
            continue;
        }
        let (name, after) = rest[1..].split_once('}').ok_or_else(|| wrong("lacks a }"))?;
        let known = COLUMNS.iter().find(|column| **column == name);
        let known =
            known.ok_or_else(|| wrong(&format!("has {{{name}}}; it can have {}", COLUMNS.join(", "))))?;
        parts.push(Part::Any(Some(*known)));
        rest = after;
    }
    Ok(parts)
}

/// The values that a name has by its form: each part of any text ends where the next literal first occurs.
fn captured(parts: &[Part], name: &str) -> Option<BTreeMap<&'static str, String>> {
    let (mut values, mut rest) = (BTreeMap::new(), name);
    for (place, part) in parts.iter().enumerate() {
        match part {
            Part::Literal(text) => rest = rest.strip_prefix(text.as_str())?,
            Part::Any(column) => {
                let end = match parts.get(place + 1) {
                    // The last literal ends the name.
                    Some(Part::Literal(text)) if place + 2 == parts.len() => rest
                        .len()
                        .checked_sub(text.len())
                        .filter(|end| rest.get(*end..) == Some(text.as_str()))?,
                    Some(Part::Literal(text)) => rest.find(text.as_str())?,
                    _ => rest.len(),
                };
                let (value, after) = rest.split_at(end);
                if let Some(column) = column {
                    values.insert(*column, value.to_owned());
                }
                rest = after;
            }
        }
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use tidewaiter_core::ErrorKind;

    use super::*;
    use crate::ingest::source::Packing;

    fn source(name: &str) -> Source {
        Source {
            path: name.to_owned(),
            name: name.to_owned(),
            begin: 0,
            stored: 1,
            size: 1,
            packing: Packing::Plain,
            checksum: None,
            modified: 1_600_000_000,
        }
    }

    fn read(text: &str, metadata: &str) -> Result<Mapping> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("metadata.csv"), metadata).expect("written");
        let path = folder.path().join("mapping.toml");
        std::fs::write(&path, text).expect("written");
        Mapping::read(Some(&path.display().to_string()), None, &Roots::Anywhere)
    }

    #[test]
    fn values_come_from_the_table_then_the_name_then_the_constant() {
        let text = "country = \"TW\"\nscanner = \"all\"\nutc_offset = \"+08:00\"\nname = \"{site}/*.png\"\n\
                    metadata = \"metadata.csv\"\n[columns]\nfile = \"Image\"\nscanner = \"Machine\"\n\
                    taken_at = \"When\"\ndeclaration_id = \"No\"\nhs_code = \"HS\"\n";
        let metadata = "Image,Machine,When,No,HS\na/1.png,M1,2024-05-01 08:00,D1,8517.12\na/2.png,,2024-05-01,,\n\
                        a/3.png,,never,,\na/4.png,,,,x\nz.png,,,,\n";
        let mapping = read(text, metadata).expect("reads");
        let names = ["a/1.png", "a/2.png", "a/3.png", "a/4.png", "a/5.png"];
        let (attributes, left) = mapping.attributes(&names.map(source));
        let first = attributes[0].as_ref().expect("read");
        let day = 1_714_521_600_000_000;
        assert_eq!((first.taken_at, first.site.as_deref()), (day, Some("a")));
        assert_eq!((first.scanner.as_deref(), first.hs_code.as_deref()), (Some("M1"), Some("851712")));
        let second = attributes[1].as_ref().expect("read");
        assert_eq!((second.taken_at, second.scanner.as_deref()), (day - 8 * 3_600_000_000, Some("all")));
        assert_eq!(second.declaration_id, None);
        let rules: Vec<_> = attributes[2..]
            .iter()
            .map(|refused| refused.as_ref().expect_err("refused").rule.as_str())
            .collect();
        assert_eq!(
            rules,
            [
                "its time cannot be read",
                "its HS code is not one",
                "the table of images has no row of its own for it"
            ]
        );
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn a_name_is_taken_apart_by_its_form() {
        let form = parts("{site}/{scanner}_{taken_at}_*.png").expect("a form");
        let values = captured(&form, "KEE/SC-1_20240501_x_7.png").expect("of the form");
        assert_eq!(values["site"], "KEE");
        assert_eq!((values["scanner"].as_str(), values["taken_at"].as_str()), ("SC-1", "20240501"));
        assert!(captured(&form, "KEE/SC-1.png").is_none());
        assert!(captured(&form, "KEE/SC-1_20240501_x.jpg").is_none());
        for wrong in ["{site}{scanner}", "{colour}.png", "{site"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_a_mapping_the_time_is_that_of_the_file_and_the_country_is_given() {
        let mapping = Mapping::read(None, Some("TW"), &Roots::Anywhere).expect("reads");
        let (attributes, _) = mapping.attributes(&[source("a.png")]);
        assert_eq!(attributes[0].as_ref().expect("known").taken_at, 1_600_000_000_000_000);
        for country in [None, Some("Taiwan"), Some("tw")] {
            let error = Mapping::read(None, country, &Roots::Anywhere).expect_err("no country");
            assert_eq!(error.kind(), ErrorKind::Input);
        }
    }

    #[test]
    fn wrong_mappings_are_refused() {
        for (text, says) in [
            ("country = \"TW\"\ncolour = 1", "unknown field"),
            ("country = \"TW\"\ntable = \"releases\"", "releases"),
            ("country = \"TW\"\ntaken_at = \"soon\"", "soon"),
            ("country = \"TW\"\nutc_offset = \"8\"", "utc_offset"),
            ("country = \"TW\"\n[columns]\nfile = \"f\"", "metadata"),
            ("country = \"TW\"\nmetadata = \"metadata.csv\"\n[columns]\nfile = \"f\"", "no column \"f\""),
            ("country = \"TW\"\nmetadata = \"metadata.csv\"\n[columns]\nsize = \"s\"", "lacks file"),
            ("country = \"TW\"\nmetadata = \"none.csv\"\n[columns]\nfile = \"f\"", "none.csv"),
        ] {
            let error = read(text, "a,b\n").expect_err(text).chain();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
