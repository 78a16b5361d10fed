//! What the columns of an export mean: the mapping file, read and checked before any data.
//!
//! A mapping is a TOML document. It names a table of the program (without a name, the first), and its `[columns]` say
//! for each standard column of the table which column of the export holds it, or which constant replaces it. What is
//! absent: the tables, which are parameters. Start at [`Mapping::parse`].

use std::{
    borrow::Cow,
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use chrono::{
    NaiveDate,
    format::{Item, StrftimeItems},
};
use serde::Deserialize;
use tidewaiter_archive::schema::{self, Check, EVENT_TIME, Kind, Layout};
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_job::user_file;

use crate::{
    cells::{
        ALL_DAYS, ColumnRule, Days, Faults, HsRule, Nulls, Rules, Source, Zone, convert, is_country,
        is_currency, spelled,
    },
    encoding::Encoding,
    nomenclature,
};

/// The file format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Delimited text, plain or compressed (gzip, zstd, bzip2, xz, a zip archive of one file).
    #[default]
    Csv,
    /// Apache Parquet.
    Parquet,
    /// XES event logs (IEEE 1849), plain or compressed as delimited text.
    Xes,
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
    /// For HS codes: how many digits a whole code has, national digits included.
    #[serde(default)]
    pub digits: Digits,
    /// For HS codes: a CSV file of the codes that there are, by which a lost leading zero is restored. Its path is
    /// relative to the mapping's folder.
    pub nomenclature: Option<String>,
}

/// How many digits whole HS codes have: one number, or a list of them; empty: any even number.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged)]
pub enum Digits {
    /// Any even number.
    #[default]
    Any,
    /// One number.
    One(usize),
    /// Several numbers.
    Several(Vec<usize>),
}

/// An event of a wide table, in which a row has one column for each event.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// The name of the event.
    pub event: String,
    /// What it means for a study.
    pub role: Option<String>,
    /// The column of its time; a row whose cell is empty has no such event.
    pub event_time: String,
    /// The column of the time at which its work began.
    pub start_time: Option<String>,
}

/// The columns that a [`Milestone`] sets.
pub(crate) const MILESTONE_COLUMNS: [&str; 4] = ["event", "role", EVENT_TIME, "start_time"];

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
    /// The character that takes the meaning from the next one, as in `\\"` of MySQL; absent: there is none, and a quote
    /// in a quoted field is doubled.
    #[serde(default)]
    pub escape: Option<char>,
    /// Lines before the header, or before the first record where there is none.
    #[serde(default)]
    pub skip_rows: u64,
    /// The character encoding; absent: UTF-8, or what the file says. A byte order mark overrides it.
    #[serde(default)]
    pub encoding: Option<Encoding>,
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
    /// The marks between thousands, each one character; a space stands for all kinds of spaces.
    #[serde(default)]
    pub thousands: String,
    /// The first day that a date or time may lie on; absent: 1900-01-01.
    #[serde(default)]
    pub first_day: Option<NaiveDate>,
    /// The last day that a date or time may lie on; absent: the day after that of the ingest.
    #[serde(default)]
    pub last_day: Option<NaiveDate>,
    /// Country codes that are allowed beside those of ISO 3166-1, such as `XK`.
    #[serde(default)]
    pub user_countries: Vec<String>,
    /// Currency codes that are allowed beside those of ISO 4217.
    #[serde(default)]
    pub user_currencies: Vec<String>,
    /// The events of a wide table: each makes a row of its own where its time is there.
    #[serde(default)]
    pub milestones: Vec<Milestone>,
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
    /// The codes of the nomenclature that the file names; empty: none.
    nomenclature: Arc<BTreeSet<String>>,
    /// The last day that may be where the file names none.
    last_day: i32,
    /// The numbers of records that are put aside to show their raw text.
    traced: Arc<BTreeSet<i64>>,
}

impl Mapping {
    /// Reads and checks a mapping file for one of `tables`.
    ///
    /// # Errors
    /// As [`Mapping::parse`]; [`tidewaiter_core::ErrorKind::NotFound`] when there is no such file.
    pub fn open(path: &Path, tables: &[&'static Layout]) -> Result<Self> {
        let doing = || format!("read mapping {}", path.display());
        let text = std::fs::read_to_string(path).context(doing)?;
        let mapping = Self::parse(&text, tables).context(doing)?;
        let Some(nomenclature) = mapping.nomenclature_file() else { return Ok(mapping) };
        let file = path.parent().unwrap_or(Path::new(".")).join(nomenclature);
        let read = || nomenclature::codes(&std::fs::read(&file)?);
        let codes = read().context(|| format!("read the nomenclature {}", file.display())).context(doing)?;
        Ok(mapping.with_nomenclature(codes))
    }

    /// The nomenclature that the mapping names for its HS codes.
    pub(crate) fn nomenclature_file(&self) -> Option<&str> {
        self.file.columns.values().find_map(|column| column.nomenclature.as_deref())
    }

    /// With the codes of the nomenclature that the mapping names.
    #[must_use]
    pub fn with_nomenclature(mut self, codes: BTreeSet<String>) -> Self {
        self.nomenclature = Arc::new(codes);
        self
    }

    /// The codes of the nomenclature that the mapping names; empty without one.
    pub fn nomenclature(&self) -> &BTreeSet<String> {
        &self.nomenclature
    }

    /// With the day of the ingest, since 1970-01-01: later ones, but for one of another time zone, are refused where the
    /// mapping does not say otherwise.
    #[must_use]
    pub fn on_day(mut self, today: i32) -> Self {
        self.last_day = today.saturating_add(1).min(ALL_DAYS.last);
        self
    }

    /// By which the records of these numbers, from 1, are put aside with their raw text, whatever they hold.
    #[must_use]
    pub(crate) fn tracing(mut self, records: BTreeSet<i64>) -> Self {
        self.traced = Arc::new(records);
        self
    }

    /// Reads and checks the text of a mapping for one of `tables`; without `table` it is for the first.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for a text that is not a mapping, an unknown table, an unknown or missing
    /// column, a constant that its own column refuses, or a setting out of its range.
    pub fn parse(text: &str, tables: &[&'static Layout]) -> Result<Self> {
        let file: MappingFile = user_file::read(text)?;
        let named = |layout: &&'static Layout| file.table.as_ref().is_none_or(|table| layout.table == table);
        let layout = tables.iter().copied().find(named).ok_or_else(|| {
            let known: Vec<_> = tables.iter().map(|layout| layout.table).collect();
            let table = file.table.as_deref().unwrap_or_default();
            Error::input(format!("table {table:?} is not one of {}", known.join(", ")))
        })?;
        let (nomenclature, last_day, traced) = (Arc::default(), ALL_DAYS.last, Arc::default());
        let mapping = Self { file, layout, nomenclature, last_day, traced };
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
                "country {:?} is not an ISO 3166-1 alpha-2 code in capitals; write the one whose customs made the export, \
                 such as country = \"KE\"",
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
        if let Some(escape) = self.file.escape
            && (!escape.is_ascii_punctuation() || [self.file.delimiter, self.file.quote].contains(&escape))
        {
            return Err(Error::input(
                "escape is not an ASCII mark of its own; leave it out where quotes are doubled",
            ));
        }
        self.check_values()?;
        if self.file.date_formats.is_empty() {
            return Err(Error::input("date_formats is empty; leave it out for %Y-%m-%d"));
        }
        let own = self.file.columns.values().filter_map(|column| column.format.as_ref());
        for format in self.file.date_formats.iter().chain(&self.file.time_formats).chain(own) {
            if !format.contains('%') {
                return Err(Error::input(format!(
                    "date format {format:?} has no %: it is spelled {:?}",
                    spelled(format)
                )));
            }
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
            let has_codes = !column.digits.list().is_empty() || column.nomenclature.is_some();
            if has_codes && standard.check != Check::HsCode {
                return Err(Error::input(format!(
                    "column {name}: `digits` and `nomenclature` are for HS codes only"
                )));
            }
            if column.digits.list().iter().any(|digits| !(2..=12).contains(digits)) {
                return Err(Error::input(format!("column {name}: `digits` are from 2 to 12")));
            }
            if !self.file.milestones.is_empty() && MILESTONE_COLUMNS.contains(&name.as_str()) {
                return Err(Error::input(format!(
                    "[columns] and [[milestones]] both set {name}; leave it out of [columns]"
                )));
            }
        }
        if !self.file.milestones.is_empty() && !layout.columns.iter().any(|column| column.name == EVENT_TIME)
        {
            return Err(Error::input(format!(
                "[[milestones]] make events, and {} is no table of events",
                layout.table
            )));
        }
        for standard in layout.columns.iter().filter(|column| column.required && mapped(column)) {
            let by_milestone = !self.file.milestones.is_empty() && MILESTONE_COLUMNS.contains(&standard.name);
            if !by_milestone && !self.file.columns.contains_key(standard.name) {
                return Err(Error::input(format!(
                    "[columns] lacks the required column {} ({})",
                    standard.name, standard.meaning
                )));
            }
        }
        let sets = self.rules(|_| Ok(0))?;
        for rule in sets.into_iter().flat_map(|set| set.columns) {
            if let Source::Constant(constant) = &rule.source {
                let mut faults = Faults::new(1);
                convert(&rule, 1, |_| Some(constant.as_str()), |_| None, &mut faults);
                if let Some(fault) = faults.list.first() {
                    return Err(Error::input(format!(
                        "column {}: the constant {constant:?} is refused: {}",
                        rule.column.name, fault.rule
                    )));
                }
            }
        }
        Ok(())
    }

    /// Checks the settings of numbers, days and codes.
    fn check_values(&self) -> Result<()> {
        let decimal = if self.file.decimal_comma { ',' } else { '.' };
        let is_mark = |mark: char| !mark.is_alphanumeric() && !['-', '+', decimal].contains(&mark);
        if !self.file.thousands.chars().all(is_mark) {
            return Err(Error::input(format!(
                "thousands has a character that is no mark between thousands where the decimal mark is {decimal:?} \
                 (see decimal_comma)"
            )));
        }
        let days = self.days();
        if days.first > days.last {
            return Err(Error::input("first_day is after last_day"));
        }
        let is_code = |code: &str, length: usize| {
            code.len() == length && code.bytes().all(|byte| byte.is_ascii_uppercase())
        };
        for (key, codes, length) in [
            ("user_countries", &self.file.user_countries, 2),
            ("user_currencies", &self.file.user_currencies, 3),
        ] {
            let is_new = |code: &str| !is_country(code) && !is_currency(code);
            if !codes.iter().all(|code| is_code(code, length) && is_new(code)) {
                return Err(Error::input(format!(
                    "{key} has a text that is not a code of {length} capitals which the standard leaves free"
                )));
            }
        }
        Ok(())
    }

    /// The days that a date or time may lie on.
    fn days(&self) -> Days {
        let day = |date: NaiveDate| date.to_epoch_days().clamp(ALL_DAYS.first, ALL_DAYS.last);
        Days {
            first: self.file.first_day.map_or(ALL_DAYS.first, day),
            last: self.file.last_day.map_or(self.last_day, day),
        }
    }

    /// One set of rules, or one for each milestone, with a rule for each standard column in the order of the schema;
    /// `place` finds the place of a column of the export.
    fn rules(&self, place: impl Fn(&str) -> Result<usize>) -> Result<Vec<Rules>> {
        let milestones = self.file.milestones.iter().map(Some);
        let none = self.file.milestones.is_empty().then_some(None);
        milestones.chain(none).map(|milestone| self.rules_of(milestone, &place)).collect()
    }

    fn rules_of(
        &self,
        milestone: Option<&Milestone>,
        place: &impl Fn(&str) -> Result<usize>,
    ) -> Result<Rules> {
        let layout = self.layout;
        let rule = |column: &'static schema::Column| {
            // The offset is in the cell of the time.
            let name = if column.kind == Kind::Offset { EVENT_TIME } else { column.name };
            let by_milestone = milestone.and_then(|milestone| milestone.column(name)).map(Cow::Owned);
            let mapped = by_milestone.or_else(|| self.file.columns.get(name).map(Cow::Borrowed));
            let mapped = mapped.as_deref();
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
                thousands: self.file.thousands.chars().collect(),
                user_codes: match column.check {
                    Check::Country => self.file.user_countries.clone(),
                    Check::Currency => self.file.user_currencies.clone(),
                    _ => Vec::new(),
                },
                hs: HsRule {
                    digits: mapped.map(|mapped| mapped.digits.list().to_vec()).unwrap_or_default(),
                    nomenclature: Arc::clone(&self.nomenclature),
                },
                days: self.days(),
                as_text: milestone.is_some(),
                values: mapped.map(|mapped| mapped.values.clone().into_iter().collect()).unwrap_or_default(),
                other: mapped.and_then(|mapped| mapped.other.clone()),
                nulls: self.file.null_values.clone(),
                text_bytes: Cell::default(),
            })
        };
        let columns = layout.columns.iter().map(rule).collect::<Result<_>>()?;
        Ok(Rules {
            columns,
            schema: (layout.schema)(),
            date_column: layout.date_column,
            nulls: Nulls::default(),
            traced: Arc::clone(&self.traced),
        })
    }

    /// The columns of the export that the mapping names, each once.
    pub(crate) fn named_sources(&self) -> Vec<&str> {
        let columns = self.file.columns.values().filter_map(|column| column.from.as_deref());
        let milestones = self.file.milestones.iter().flat_map(|milestone| {
            std::iter::once(milestone.event_time.as_str()).chain(milestone.start_time.as_deref())
        });
        let mut names: Vec<_> = columns.chain(milestones).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The rules for a file with these columns.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the file lacks a column of the mapping or has two of its name.
    pub(crate) fn rules_for(&self, file: &str, columns: &[String]) -> Result<Vec<Rules>> {
        self.rules(|wanted| {
            let mut places = (0..columns.len()).filter(|&place| columns[place].trim() == wanted.trim());
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                (Some(_), Some(_)) => {
                    Err(Error::input(format!("{file} has more than one column {wanted:?}")))
                }
                (None, _) => {
                    // What is no text in the encoding is read as this character.
                    let is_other = columns.iter().any(|column| column.contains(char::REPLACEMENT_CHARACTER));
                    let remedy = match is_other {
                        true => "; it is not in the encoding of the mapping: set encoding = \"latin-1\", or its own",
                        false => "",
                    };
                    Err(Error::input(format!(
                        "{file} has no column {wanted:?}; its columns are {}{remedy}",
                        columns.join(", ")
                    )))
                }
            }
        })
    }
}

impl Digits {
    fn list(&self) -> &[usize] {
        match self {
            Self::Any => &[],
            Self::One(digits) => std::slice::from_ref(digits),
            Self::Several(digits) => digits,
        }
    }
}

impl Milestone {
    /// Where a standard column comes from, where the milestone sets it.
    fn column(&self, name: &str) -> Option<ColumnMapping> {
        let constant =
            |text: &String| ColumnMapping { constant: Some(text.clone()), ..ColumnMapping::default() };
        let from = |text: &String| ColumnMapping { from: Some(text.clone()), ..ColumnMapping::default() };
        match name {
            "event" => Some(constant(&self.event)),
            "role" => self.role.as_ref().map(constant),
            EVENT_TIME => Some(from(&self.event_time)),
            "start_time" => self.start_time.as_ref().map(from),
            _ => None,
        }
    }
}
