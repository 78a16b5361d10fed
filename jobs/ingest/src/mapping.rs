//! What the columns of an export mean: the mapping file, read and checked before any data.
//!
//! A mapping is a TOML document. It names a table of the program (without a name, the first), and its `[columns]` say
//! for each standard column of the table which column of the export holds it, or which constant replaces it. What is
//! absent: the tables, which are parameters. Start at [`Mapping::parse`].

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    path::Path,
};

use chrono::format::{Item, StrftimeItems};
use serde::Deserialize;
use tidewaiter_archive::schema::{self, EVENT_TIME, Kind, Layout};
use tidewaiter_core::{Error, Result, ResultExt};

use crate::cells::{ColumnRule, Faults, Nulls, Rules, Source, Zone, convert, is_country};

/// The file format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Delimited text, plain or compressed by gzip or zstd.
    #[default]
    Csv,
    /// Apache Parquet.
    Parquet,
    /// XES event logs (IEEE 1849), plain or compressed by gzip or zstd.
    Xes,
}

/// The character encoding of a delimited text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// Latin-1, read as its superset windows-1252.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// Where one standard column comes from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMapping {
    /// The column of the export; in a file without a header its position, from 1. In an XES log the key of an event's
    /// attribute, or `case:` and the key of a trace's attribute.
    pub from: Option<String>,
    /// The value of all rows, instead of a column of the export.
    pub constant: Option<String>,
    /// The format of this column, instead of the mapping's `date_formats` or `time_formats`.
    pub format: Option<String>,
    /// Replacements of whole cells; the empty text means null. Other cells stay as they are.
    #[serde(default)]
    pub values: HashMap<String, String>,
    /// The replacement of all cells that `values` does not replace; the empty text means null.
    pub other: Option<String>,
}

/// The contents of a mapping file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingFile {
    /// The table of the rows; absent: the first of the program's tables.
    pub table: Option<String>,
    /// The reporting country, ISO 3166-1 alpha-2.
    pub country: String,
    /// The file format.
    #[serde(default)]
    pub format: Format,
    /// The character between two fields: one ASCII character.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The character that encloses a field with delimiters or line ends in it; doubled, it means itself.
    #[serde(default = "double_quote")]
    pub quote: char,
    /// The character encoding.
    #[serde(default)]
    pub encoding: Encoding,
    /// Whether the first record names the columns.
    #[serde(default = "yes")]
    pub header: bool,
    /// Cells that mean null, besides the empty cell.
    #[serde(default)]
    pub null_values: Vec<String>,
    /// Date formats in `strftime` notation, tried in order.
    #[serde(default = "iso_date")]
    pub date_formats: Vec<String>,
    /// Formats of date and time in `strftime` notation, tried in order after ISO 8601.
    #[serde(default)]
    pub time_formats: Vec<String>,
    /// The zone of times that are written without one: an IANA name or an offset such as `+02:00`.
    #[serde(default)]
    pub time_zone: Option<Zone>,
    /// Whether numbers are written `12,5`; a point in them is then an error.
    #[serde(default)]
    pub decimal_comma: bool,
    /// The source of each standard column, by the column's name.
    pub columns: BTreeMap<String, ColumnMapping>,
}

fn comma() -> char {
    ','
}

fn double_quote() -> char {
    '"'
}

fn yes() -> bool {
    true
}

fn iso_date() -> Vec<String> {
    vec!["%Y-%m-%d".to_owned()]
}

/// A mapping that was checked against the layout of its table.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The contents of its file.
    pub file: MappingFile,
    layout: &'static Layout,
}

impl Mapping {
    /// Reads and checks a mapping file for one of `tables`.
    ///
    /// # Errors
    /// As [`Mapping::parse`]; [`tidewaiter_core::ErrorKind::NotFound`] when there is no such file.
    pub fn open(path: &Path, tables: &[&'static Layout]) -> Result<Self> {
        let text = std::fs::read_to_string(path).context(|| format!("read mapping {}", path.display()))?;
        Self::parse(&text, tables).context(|| format!("read mapping {}", path.display()))
    }

    /// Reads and checks the text of a mapping for one of `tables`; without `table` it is for the first.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a text that is not a mapping, an unknown table, an unknown or missing
    /// column, a constant that its own column refuses, or a setting out of its range.
    pub fn parse(text: &str, tables: &[&'static Layout]) -> Result<Self> {
        let file: MappingFile = toml::from_str(text).map_err(|error| Error::input(error.to_string()))?;
        let named = |layout: &&'static Layout| file.table.as_ref().is_none_or(|table| layout.table == table);
        let layout = tables.iter().copied().find(named).ok_or_else(|| {
            let known: Vec<_> = tables.iter().map(|layout| layout.table).collect();
            let table = file.table.as_deref().unwrap_or_default();
            Error::input(format!("table {table:?} is not one of {}", known.join(", ")))
        })?;
        let mapping = Self { layout, file };
        mapping.check()?;
        Ok(mapping)
    }

    /// The layout of the table of the rows.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    fn check(&self) -> Result<()> {
        let layout = self.layout;
        if !is_country(&self.file.country) {
            return Err(Error::input(format!(
                "country {:?} is not an ISO 3166-1 alpha-2 code in capitals",
                self.file.country
            )));
        }
        for (name, character) in [("delimiter", self.file.delimiter), ("quote", self.file.quote)] {
            if !character.is_ascii() || matches!(character, '\r' | '\n' | '\0') {
                return Err(Error::input(format!("{name} {character:?} is not one ASCII character")));
            }
        }
        if self.file.delimiter == self.file.quote {
            return Err(Error::input("delimiter and quote are the same character"));
        }
        if self.file.date_formats.is_empty() {
            return Err(Error::input("date_formats is empty; leave it out for %Y-%m-%d"));
        }
        let own = self.file.columns.values().filter_map(|column| column.format.as_ref());
        for format in self.file.date_formats.iter().chain(&self.file.time_formats).chain(own) {
            if StrftimeItems::new(format).any(|item| item == Item::Error) {
                return Err(Error::input(format!("date format {format:?} is not in strftime notation")));
            }
        }
        let mapped = |column: &schema::Column| !matches!(column.kind, Kind::Offset | Kind::Position);
        for (name, column) in &self.file.columns {
            let mut columns = layout.columns.iter().filter(|column| mapped(column));
            let Some(standard) = columns.clone().find(|known| known.name == name) else {
                let known: Vec<_> = columns.by_ref().map(|column| column.name).collect();
                return Err(Error::input(format!(
                    "[columns] names {name:?}, which is not a standard column; the standard columns are {}",
                    known.join(", ")
                )));
            };
            if column.from.is_some() == column.constant.is_some() {
                return Err(Error::input(format!("column {name}: give either `from` or `constant`")));
            }
            if column.format.is_some() && !matches!(standard.kind, Kind::Date | Kind::Time) {
                return Err(Error::input(format!("column {name}: `format` is for dates and times only")));
            }
        }
        for standard in layout.columns.iter().filter(|column| column.required && mapped(column)) {
            if !self.file.columns.contains_key(standard.name) {
                return Err(Error::input(format!(
                    "[columns] lacks the required column {} ({})",
                    standard.name, standard.meaning
                )));
            }
        }
        for rule in self.rules(|_| Ok(0))?.columns {
            if let Source::Constant(constant) = &rule.source {
                let mut faults = Faults::new(1);
                convert(&rule, 1, |_| Some(constant.as_str()), &mut faults);
                if let Some(fault) = faults.list.first() {
                    return Err(Error::input(format!(
                        "column {}: the constant {constant:?} is refused: {}",
                        fault.column, fault.rule
                    )));
                }
            }
        }
        Ok(())
    }

    /// One rule for each standard column, in the order of the schema; `place` finds the place of a column of the
    /// export.
    fn rules(&self, place: impl Fn(&str) -> Result<usize>) -> Result<Rules> {
        let layout = self.layout;
        let rule = |column: &'static schema::Column| {
            // The offset is in the cell of the time.
            let name = if column.kind == Kind::Offset { EVENT_TIME } else { column.name };
            let mapped = self.file.columns.get(name);
            let source = match mapped.map(|mapped| (&mapped.from, &mapped.constant)) {
                Some((Some(from), _)) => Source::Field(
                    place(from).context(|| format!("find the source of column {}", column.name))?,
                ),
                Some((None, Some(constant))) => Source::Constant(constant.clone()),
                _ if column.kind == Kind::Position => Source::Position,
                _ => Source::Absent,
            };
            let format = mapped.and_then(|mapped| mapped.format.clone());
            let formats = match column.kind {
                Kind::Time | Kind::Offset => &self.file.time_formats,
                _ => &self.file.date_formats,
            };
            Ok(ColumnRule {
                column,
                source,
                formats: format.map_or_else(|| formats.clone(), |format| vec![format]),
                zone: self.file.time_zone,
                decimal_comma: self.file.decimal_comma,
                values: mapped.map(|mapped| mapped.values.clone().into_iter().collect()).unwrap_or_default(),
                other: mapped.and_then(|mapped| mapped.other.clone()),
                nulls: self.file.null_values.clone(),
                text_bytes: Cell::default(),
            })
        };
        let columns = layout.columns.iter().map(rule).collect::<Result<_>>()?;
        Ok(Rules { columns, schema: (layout.schema)(), nulls: Nulls::default() })
    }

    /// The columns of the export that the mapping names, each once.
    pub(crate) fn named_sources(&self) -> Vec<&str> {
        let mut names: Vec<_> =
            self.file.columns.values().filter_map(|column| column.from.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The rules for a file with these columns.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the file lacks a column of the mapping or has two of its name.
    pub(crate) fn rules_for(&self, file: &str, columns: &[String]) -> Result<Rules> {
        self.rules(|wanted| {
            let mut places = (0..columns.len()).filter(|&place| columns[place].trim() == wanted.trim());
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                (Some(_), Some(_)) => {
                    Err(Error::input(format!("{file} has more than one column {wanted:?}")))
                }
                (None, _) => Err(Error::input(format!(
                    "{file} has no column {wanted:?}; its columns are {}",
                    columns.join(", ")
                ))),
            }
        })
    }
}
