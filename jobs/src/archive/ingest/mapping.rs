//! How one country's export is laid out: the mapping file, read and checked before any data.
//!
//! A mapping is a TOML document. It names a table ([`schema::TABLES`]), and its `[columns]` say, for each
//! standard column of the table, which column of the export holds it or which constant stands for it.
//! Start at [`Mapping::parse`].

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    path::Path,
};

use chrono::format::{Item, StrftimeItems};
use serde::Deserialize;

use super::{
    cells::{ColumnRule, Faults, Nulls, Rules, Source, convert},
    codes,
    moments::Zone,
};
use crate::{
    Error, Result, ResultExt,
    archive::schema::{self, DECLARATIONS, EVENT_TIME, Kind, Layout},
};

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
    /// The export's column; in a file without a header, its position counted from 1. In an XES log the key of
    /// an event's attribute, or `case:` and the key of a trace's.
    pub from: Option<String>,
    /// The value of every row, instead of a column of the export.
    pub constant: Option<String>,
    /// The format of this column, instead of the mapping's `date_formats` or `time_formats`.
    pub format: Option<String>,
    /// Replacements of whole cells; the empty text stands for null. Other cells stay as they are.
    #[serde(default)]
    pub values: HashMap<String, String>,
    /// What stands for every cell that `values` does not replace; the empty text stands for null.
    pub other: Option<String>,
}

/// The layout of a country's export.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The table that the rows belong to.
    #[serde(default = "declarations")]
    pub table: String,
    /// The reporting country, ISO 3166-1 alpha-2.
    pub country: String,
    /// The file format.
    #[serde(default)]
    pub format: Format,
    /// What separates two fields: one ASCII character.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// What encloses a field that holds delimiters or line ends; doubled, it stands for itself.
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
    /// Standard column to its source.
    pub columns: BTreeMap<String, ColumnMapping>,
}

fn declarations() -> String {
    DECLARATIONS.to_owned()
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

impl Mapping {
    /// Reads and checks a mapping file.
    ///
    /// # Errors
    /// As [`Mapping::parse`]; [`crate::ErrorKind::NotFound`] when there is no such file.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).context(|| format!("read mapping {}", path.display()))?;
        Self::parse(&text).context(|| format!("read mapping {}", path.display()))
    }

    /// Reads and checks a mapping.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] for a text that is not a mapping, an unknown or missing column, a
    /// constant that its own column refuses, or a setting out of its range.
    pub fn parse(text: &str) -> Result<Self> {
        let mapping: Self = toml::from_str(text).map_err(|error| Error::input(error.to_string()))?;
        mapping.check()?;
        Ok(mapping)
    }

    /// The layout of the mapping's table.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when exports are not read into a table of that name.
    pub fn layout(&self) -> Result<&'static Layout> {
        schema::TABLES.iter().find(|layout| layout.table == self.table).ok_or_else(|| {
            let known: Vec<_> = schema::TABLES.iter().map(|layout| layout.table).collect();
            Error::input(format!("table {:?} is not one of {}", self.table, known.join(", ")))
        })
    }

    fn check(&self) -> Result<()> {
        let layout = self.layout()?;
        if !codes::is_country(&self.country) {
            return Err(Error::input(format!(
                "country {:?} is not an ISO 3166-1 alpha-2 code in capitals",
                self.country
            )));
        }
        for (name, character) in [("delimiter", self.delimiter), ("quote", self.quote)] {
            if !character.is_ascii() || matches!(character, '\r' | '\n' | '\0') {
                return Err(Error::input(format!("{name} {character:?} is not one ASCII character")));
            }
        }
        if self.delimiter == self.quote {
            return Err(Error::input("delimiter and quote are the same character"));
        }
        if self.date_formats.is_empty() {
            return Err(Error::input("date_formats is empty; leave it out for %Y-%m-%d"));
        }
        let own = self.columns.values().filter_map(|column| column.format.as_ref());
        for format in self.date_formats.iter().chain(&self.time_formats).chain(own) {
            if StrftimeItems::new(format).any(|item| item == Item::Error) {
                return Err(Error::input(format!("date format {format:?} is not in strftime notation")));
            }
        }
        for (name, column) in &self.columns {
            let mapped = |column: &schema::Column| !matches!(column.kind, Kind::Offset | Kind::Position);
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
        let given = |kind| matches!(kind, Kind::Offset | Kind::Position);
        for standard in layout.columns.iter().filter(|column| column.required && !given(column.kind)) {
            if !self.columns.contains_key(standard.name) {
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

    /// The number of different columns of the export that the mapping names.
    pub(super) fn sources(&self) -> usize {
        self.named_sources().len()
    }

    /// One rule for each standard column, in the schema's order; `place` finds a column of the export.
    pub(super) fn rules(&self, place: impl Fn(&str) -> Result<usize>) -> Result<Rules> {
        let layout = self.layout()?;
        let rule = |column: &'static schema::Column| {
            // The offset stands in the same cell as the time.
            let name = if column.kind == Kind::Offset { EVENT_TIME } else { column.name };
            let mapped = self.columns.get(name);
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
                Kind::Time | Kind::Offset => &self.time_formats,
                _ => &self.date_formats,
            };
            Ok(ColumnRule {
                column,
                source,
                formats: format.map_or_else(|| formats.clone(), |format| vec![format]),
                zone: self.time_zone,
                decimal_comma: self.decimal_comma,
                values: mapped.map(|mapped| mapped.values.clone().into_iter().collect()).unwrap_or_default(),
                other: mapped.and_then(|mapped| mapped.other.clone()),
                nulls: self.null_values.clone(),
                text_bytes: Cell::default(),
            })
        };
        let columns = layout.columns.iter().map(rule).collect::<Result<_>>()?;
        Ok(Rules { columns, schema: (layout.schema)(), nulls: Nulls::default() })
    }

    /// The columns of the export that the mapping names, each once.
    pub(super) fn named_sources(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.columns.values().filter_map(|column| column.from.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The rules for a file with these columns.
    pub(super) fn rules_for(&self, file: &str, columns: &[String]) -> Result<Rules> {
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
