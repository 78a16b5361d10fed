//! Recommendations for the rows of a file of descriptions.
//!
//! A [`DescriptionTable`] is the file; its columns are kept beside the answers, in the same order. The answers come from a
//! model in memory ([`suggest_rows`]) or from anything else that makes suggestions ([`RowAnswers::push`]). Start at
//! [`DescriptionTable::read`].

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};
use tidewaiter_core::{Error, Result};
use tidewaiter_ingest::{Encoding, TextForm, decoded, records};

use super::suggestion::{Suggestion, national};
use crate::{
    codes::digits::{DIGITS, LEVELS},
    features::{attributes::Attributes, ngrams::is_cut},
    model::{
        hs_model::HsModel,
        scorer::{Choice, SUGGESTED, Scorer},
    },
};

/// Numbers of the rows of a file of descriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Rows read.
    pub rows: u64,
    /// Rows without a letter or digit.
    pub without_words: u64,
    /// Rows too vague to choose a heading; those without a word included.
    pub vague: u64,
    /// Rows whose description is too long to be read to its end.
    pub cut: u64,
}

/// The columns of a file, by their titles.
#[derive(Debug, Clone, Default)]
pub struct ColumnTitles {
    /// The descriptions.
    pub description: String,
    /// Countries of origin, if any.
    pub origin: Option<String>,
    /// Units of quantities, if any.
    pub unit: Option<String>,
    /// Customs values per unit, or per kilogram where a row has no unit, if any.
    pub unit_value: Option<String>,
}

/// A delimited text with a header, one row for each description.
#[derive(Debug)]
pub struct DescriptionTable {
    header: Vec<String>,
    records: Vec<Vec<String>>,
    description: usize,
    origin: Option<usize>,
    unit: Option<usize>,
    unit_value: Option<usize>,
}

impl DescriptionTable {
    /// Reads a file.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when it is empty, has no such column, is not text of the encoding, or has
    /// rows of another number of fields than the header, which another delimiter would have.
    pub fn read(file: &[u8], form: &TextForm, titles: &ColumnTitles) -> Result<Self> {
        check_encoding(file, form)?;
        let mut records = records(file, form)?.into_iter();
        let header = records.next().ok_or_else(|| Error::input("the file of descriptions is empty"))?;
        let place = |title: &String| {
            header.iter().position(|column| column.trim() == title).ok_or_else(|| {
                Error::input(format!(
                    "the file has no column {title:?}; its columns are {}; if they are not, say its --delimiter",
                    header.join(", ")
                ))
            })
        };
        let of_title = |title: &Option<String>| title.as_ref().map(place).transpose();
        let (description, origin) = (place(&titles.description)?, of_title(&titles.origin)?);
        let (unit, unit_value) = (of_title(&titles.unit)?, of_title(&titles.unit_value)?);
        let records: Vec<Vec<String>> = records.collect();
        check_rows(&header, &records, form)?;
        Ok(Self { description, origin, unit, unit_value, records, header })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The description of a row, without character references of HTML.
    pub fn description(&self, row: usize) -> Cow<'_, str> {
        decoded(self.cell(row, Some(self.description)).unwrap_or_default())
    }

    /// Origin, unit and unit value of a row. A value that is not a positive number counts as missing.
    pub fn attributes(&self, row: usize) -> (Option<&str>, Option<&str>, Option<f64>) {
        let value = self.cell(row, self.unit_value).and_then(|text| text.trim().parse().ok());
        let value = value.filter(|value: &f64| *value > 0.0 && value.is_finite());
        (self.cell(row, self.origin), self.cell(row, self.unit), value)
    }

    fn cell(&self, row: usize, place: Option<usize>) -> Option<&str> {
        self.records[row].get(place?).map(String::as_str)
    }
}

/// Refuses a file of UTF-8 that is to be read in another encoding: every letter with an accent would become two others.
fn check_encoding(file: &[u8], form: &TextForm) -> Result<()> {
    let Some(encoding) = form.encoding.filter(|encoding| *encoding != Encoding::UTF_8) else { return Ok(()) };
    let is_utf_8 = !file.is_ascii() && std::str::from_utf8(file).is_ok();
    match is_utf_8 && !file.contains(&0) {
        true => Err(Error::input(format!(
            "the file is UTF-8 text, and would be read wrongly as {}; leave out --encoding",
            encoding.name()
        ))),
        false => Ok(()),
    }
}

/// Refuses rows that have another number of fields than the header.
fn check_rows(header: &[String], records: &[Vec<String>], form: &TextForm) -> Result<()> {
    let of = header.len();
    let Some(row) = records.iter().position(|record| record.len() != of) else { return Ok(()) };
    let delimiter = if form.delimiter.is_some() { "another --delimiter" } else { "the --delimiter" };
    Err(Error::input(format!(
        "row {} has {} fields and the header {of}; give {delimiter}, or put quotation marks around fields that hold the \
         delimiter",
        row + 1,
        records[row].len(),
    )))
}

/// The answers to the rows of a table.
#[derive(Debug)]
pub struct RowAnswers<'a> {
    table: &'a DescriptionTable,
    /// A CSV text with a row for each row of the table: its number, its columns, and the answers.
    pub csv: String,
    /// The same rows as objects.
    pub rows: Vec<Value>,
    /// The numbers of rows.
    pub counts: RowCounts,
}

impl<'a> RowAnswers<'a> {
    /// No answers yet.
    pub fn new(table: &'a DescriptionTable) -> Self {
        let mut csv = String::from("row");
        for title in &table.header {
            csv.push(',');
            push_cell(&mut csv, title);
        }
        csv.push_str(",vague");
        for level in levels() {
            for place in 1..=SUGGESTED {
                csv.push_str(&format!(",code_{level}_{place},probability_{level}_{place}"));
            }
        }
        csv.push('\n');
        Self { table, csv, rows: Vec::with_capacity(table.len()), counts: RowCounts::default() }
    }

    /// Adds the answer to the next row.
    pub fn push(&mut self, suggestion: Suggestion) {
        let subheadings = suggestion.subheadings.into_iter().map(|explained| explained.choice).collect();
        let best = [suggestion.chapters, suggestion.headings, subheadings, suggestion.national];
        self.push_best(suggestion.vague, best);
    }

    fn push_best(&mut self, vague: bool, best: [Vec<Choice>; LEVELS + 1]) {
        let row = self.rows.len();
        self.counts.rows += 1;
        self.counts.without_words += u64::from(best[0].is_empty());
        self.counts.vague += u64::from(vague);
        self.counts.cut += u64::from(is_cut(&self.table.description(row)));
        let cells = &self.table.records[row];
        self.csv.push_str(&self.counts.rows.to_string());
        let mut input = Map::new();
        for (place, title) in self.table.header.iter().enumerate() {
            let cell = cells.get(place).map_or("", String::as_str);
            self.csv.push(',');
            push_cell(&mut self.csv, cell);
            input.insert(title.clone(), json!(cell));
        }
        self.csv.push_str(&format!(",{vague}"));
        let mut object = json!({ "row": self.counts.rows, "input": input, "vague": vague });
        for (level, best) in levels().into_iter().zip(best) {
            for place in 0..SUGGESTED {
                match best.get(place) {
                    Some(Choice { code, probability }) => {
                        self.csv.push_str(&format!(",{code},{probability:.4}"))
                    }
                    None => self.csv.push_str(",,"),
                }
            }
            object[level] = json!(best);
        }
        self.csv.push('\n');
        self.rows.push(object);
    }
}

/// The names of the levels in the answers: digits, and codes with national digits.
fn levels() -> [String; LEVELS + 1] {
    let [chapter, heading, subheading] = DIGITS.map(|digits| digits.to_string());
    [chapter, heading, subheading, "national".to_owned()]
}

/// Appends a cell of a CSV text, quoted where it must be.
fn push_cell(csv: &mut String, cell: &str) {
    if cell.contains([',', '"', '\n', '\r']) {
        csv.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
    } else {
        csv.push_str(cell);
    }
}

/// Recommends codes for the rows of a table by a model.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when the model's encoder is not loaded ([`HsModel::load`]).
pub fn suggest_rows<'a>(model: &HsModel, table: &'a DescriptionTable) -> Result<RowAnswers<'a>> {
    let mut answers = RowAnswers::new(table);
    let mut scorer = Scorer::new(model, false);
    let descriptions: Vec<_> = (0..table.len()).map(|row| table.description(row)).collect();
    let embeddings = model.encode(false, descriptions.iter().map(|description| &**description))?;
    for (row, description) in descriptions.iter().enumerate() {
        let (origin, unit, value) = table.attributes(row);
        scorer.set_attributes(&Attributes::given(origin, unit, value)?);
        scorer.score(description, embeddings.row(row));
        let best = |level: usize| if scorer.has_words() { scorer.best(level, SUGGESTED) } else { Vec::new() };
        answers.push_best(scorer.is_vague(), [best(0), best(1), best(2), national(model, &scorer)]);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_any_form_keeps_its_columns_beside_the_answers() {
        let file = "\u{feff}ref;description;qty\r\n1;\"caf&eacute;, green\";5\r\n2;\"a \"\"b\"\"\";\r\n";
        let titles = ColumnTitles { description: "description".to_owned(), ..ColumnTitles::default() };
        let table = DescriptionTable::read(file.as_bytes(), &TextForm::default(), &titles).expect("reads");
        assert_eq!(table.description(0), "café, green");
        let mut answers = RowAnswers::new(&table);
        let choice = || vec![Choice { code: "09".to_owned(), probability: 0.5 }];
        answers.push_best(false, [choice(), Vec::new(), Vec::new(), Vec::new()]);
        answers.push_best(true, Default::default());
        let lines: Vec<&str> = answers.csv.lines().collect();
        assert!(lines[0].starts_with("row,ref,description,qty,vague,code_2_1,probability_2_1,"));
        assert!(lines[1].starts_with("1,1,\"caf&eacute;, green\",5,false,09,0.5000,,"), "{}", lines[1]);
        assert!(lines[2].starts_with("2,2,\"a \"\"b\"\"\",,true,,"), "{}", lines[2]);
        assert_eq!(answers.rows[0]["input"]["qty"], "5");
        assert_eq!(answers.rows[0]["2"][0]["code"], "09");
        assert_eq!((answers.counts.rows, answers.counts.without_words), (2, 1));
        let wrong = ColumnTitles { description: "goods".to_owned(), ..titles };
        let form = TextForm { delimiter: Some(','), ..TextForm::default() };
        let error = DescriptionTable::read(file.as_bytes(), &form, &wrong).expect_err("no such column");
        assert!(error.chain().contains("--delimiter"), "{}", error.chain());
    }

    #[test]
    fn a_wrong_delimiter_or_encoding_is_said() {
        let read = |file: &[u8], delimiter: Option<char>, encoding: &str| {
            let titles = ColumnTitles { description: "goods".to_owned(), ..ColumnTitles::default() };
            let form = TextForm { delimiter, encoding: Encoding::named(encoding) };
            DescriptionTable::read(file, &form, &titles).map(|table| table.len())
        };
        // The only column's texts hold commas, or the texts hold the delimiter that is given.
        for (file, delimiter) in [
            ("goods\nboots, black\n", None),
            ("goods\tn\nboots; black\t1\n", Some(';')),
            ("goods|n\nboots | black|1\n", None),
            ("goods;n\nboots\n", None),
        ] {
            let error = read(file.as_bytes(), delimiter, "utf-8").expect_err(file);
            assert!(error.chain().contains("--delimiter"), "{}", error.chain());
        }
        let utf_8 = "goods;n\ncafé vert;1\n";
        let error = read(utf_8.as_bytes(), None, "latin-1").expect_err("is UTF-8");
        assert!(error.chain().contains("leave out --encoding"), "{}", error.chain());
        let latin_1 = b"goods;n\ncaf\xe9 vert;1\n";
        let error = read(latin_1, None, "utf-8").expect_err("is not UTF-8");
        assert!(error.chain().contains("encoding"), "{}", error.chain());
        let error = read(latin_1, None, "shift_jis").expect_err("is not Shift JIS");
        assert!(error.chain().contains("encoding"), "{}", error.chain());
        assert_eq!(read(latin_1, None, "latin-1").expect("reads"), 1);
        assert_eq!(read(utf_8.as_bytes(), None, "utf-8").expect("reads"), 1);
        assert_eq!(read(b"goods;n\nboots, black;1\n", None, "latin-1").expect("reads"), 1);
    }
}
