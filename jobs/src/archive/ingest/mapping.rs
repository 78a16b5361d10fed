//! How one country's export is laid out: the mapping file, read and checked before any data.
//!
//! A mapping is a TOML document. Its `[columns]` table says, for each standard column
//! ([`schema::DECLARATION_COLUMNS`]), which column of the export holds it or which constant stands for it.
//! Start at [`Mapping::parse`].

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use chrono::format::{Item, StrftimeItems};
use serde::Deserialize;

use super::{
    cells::{ColumnRule, Faults, Source, convert},
    codes,
};
use crate::{
    Error, Result, ResultExt,
    archive::schema::{self, Kind},
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
    /// The export's column; in a file without a header, its position counted from 1.
    pub from: Option<String>,
    /// The value of every row, instead of a column of the export.
    pub constant: Option<String>,
    /// The date format of this column, instead of the mapping's `date_formats`.
    pub format: Option<String>,
    /// Replacements of whole cells; the empty text stands for null. Other cells stay as they are.
    #[serde(default)]
    pub values: HashMap<String, String>,
}

/// The layout of a country's export.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
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
    /// Whether numbers are written `12,5`; a point in them is then an error.
    #[serde(default)]
    pub decimal_comma: bool,
    /// Standard column to its source.
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

    fn check(&self) -> Result<()> {
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
        for format in self.date_formats.iter().chain(own) {
            if StrftimeItems::new(format).any(|item| item == Item::Error) {
                return Err(Error::input(format!("date format {format:?} is not in strftime notation")));
            }
        }
        for (name, column) in &self.columns {
            let Some(standard) = schema::DECLARATION_COLUMNS.iter().find(|known| known.name == name) else {
                let known: Vec<_> = schema::DECLARATION_COLUMNS.iter().map(|column| column.name).collect();
                return Err(Error::input(format!(
                    "[columns] names {name:?}, which is not a standard column; the standard columns are {}",
                    known.join(", ")
                )));
            };
            if column.from.is_some() == column.constant.is_some() {
                return Err(Error::input(format!("column {name}: give either `from` or `constant`")));
            }
            if column.format.is_some() && standard.kind != Kind::Date {
                return Err(Error::input(format!("column {name}: `format` is for dates only")));
            }
        }
        for standard in schema::DECLARATION_COLUMNS.iter().filter(|column| column.required) {
            if !self.columns.contains_key(standard.name) {
                return Err(Error::input(format!(
                    "[columns] lacks the required column {} ({})",
                    standard.name, standard.meaning
                )));
            }
        }
        for rule in self.rules(|_| Ok(0))? {
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
        let mut names: Vec<_> = self.columns.values().filter_map(|column| column.from.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }

    /// One rule for each standard column, in the schema's order; `place` finds a column of the export.
    fn rules(&self, place: impl Fn(&str) -> Result<usize>) -> Result<Vec<ColumnRule>> {
        let rule = |column: &'static schema::Column| {
            let mapped = self.columns.get(column.name);
            let source = match mapped.map(|mapped| (&mapped.from, &mapped.constant)) {
                Some((Some(from), _)) => Source::Field(
                    place(from).context(|| format!("find the source of column {}", column.name))?,
                ),
                Some((None, Some(constant))) => Source::Constant(constant.clone()),
                _ => Source::Absent,
            };
            let format = mapped.and_then(|mapped| mapped.format.clone());
            Ok(ColumnRule {
                column,
                source,
                formats: format.map_or_else(|| self.date_formats.clone(), |format| vec![format]),
                decimal_comma: self.decimal_comma,
                values: mapped.map(|mapped| mapped.values.clone()).unwrap_or_default(),
                nulls: self.null_values.clone(),
            })
        };
        schema::DECLARATION_COLUMNS.iter().map(rule).collect()
    }

    /// The rules for a file with these columns.
    pub(super) fn rules_for(&self, file: &str, columns: &[String]) -> Result<Vec<ColumnRule>> {
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
