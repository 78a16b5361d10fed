//! Which format of dates fits values that a mapping's own formats do not fit. Start at [`advice`].

use std::{collections::BTreeMap, fmt::Write as _, io::Cursor, path::Path};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Date32Type,
};
use chrono::NaiveDate;
use tidewaiter_archive::schema::Kind;
use tidewaiter_core::{Result, answers};

use super::values::{DATES, is_date};
use crate::{
    cells::{IMPOSSIBLE_DATE, NO_DATE},
    mapping::{Format, Mapping},
    readers::{ExportReader, sample},
    tally::Tally,
};

/// Where more than one of so many rows breaks a rule of dates, the formats are looked at; another one fits where at most
/// one of so many values is not of it.
const MISFITS: usize = 20;

/// Files that are looked at, and bytes of each, at most.
const FILES: usize = 3;
const SAMPLE_BYTES: usize = 256 << 10;

/// For each column of dates of which many rows were put aside: the format that fits, where one does. Only the first part
/// of a few files is read, and a file that cannot be read says nothing.
pub(crate) fn advice(mapping: &Mapping, files: &[String], tally: &Tally, rows: u64) -> Vec<String> {
    let columns = mapping.layout().columns.iter().filter(|column| column.kind == Kind::Date);
    let is_doubtful = |column: &&str| {
        let of_rule = |rule: &str| tally.rules.get(&format!("{column}: {rule}")).copied().unwrap_or(0);
        (of_rule(NO_DATE) + of_rule(IMPOSSIBLE_DATE)) * MISFITS as u64 > rows
    };
    let doubtful: Vec<&str> = columns.map(|column| column.name).filter(is_doubtful).collect();
    if doubtful.is_empty() || mapping.file.format != Format::Csv {
        return Vec::new();
    }
    let mut seen: BTreeMap<&str, Seen> = BTreeMap::new();
    for file in files.iter().take(FILES) {
        // What stands in the way of reading the file, the ingest has said already.
        let _ = look_at(file, mapping, &doubtful, &mut seen);
    }
    seen.iter().filter_map(|(column, seen)| seen.advice(column, formats(mapping, column))).collect()
}

/// The formats of a column of dates.
fn formats<'a>(mapping: &'a Mapping, column: &str) -> &'a [String] {
    let own = mapping.file.columns.get(column).and_then(|column| column.format.as_ref());
    own.map_or(mapping.file.date_formats.as_slice(), std::slice::from_ref)
}

/// Values of a column of dates.
#[derive(Debug, Default)]
struct Seen {
    /// Those that the mapping's formats fit, written in its only format; their number counts where it has several.
    read: Vec<String>,
    /// Those that they do not fit.
    refused: Vec<String>,
}

impl Seen {
    fn advice(&self, column: &str, own: &[String]) -> Option<String> {
        let values: Vec<&String> = match own {
            [_] => self.read.iter().chain(&self.refused).collect(),
            _ => self.refused.iter().collect(),
        };
        let fits = |format: &str| values.iter().filter(|value| is_date(value, format)).count();
        let others = DATES.iter().filter(|format| !own.iter().any(|own| own == **format));
        // Of several that fit as many the first is the likelier.
        let (fit, best) = others.map(|format| (fits(format), *format)).rev().max_by_key(|(fit, _)| *fit)?;
        let misfits = values.len() - fit;
        if fit == 0 || misfits * MISFITS > values.len() {
            return None;
        }
        let all = self.read.len() + self.refused.len();
        let swapped = match (own, self.read.len()) {
            ([_], 1..) => {
                "; days and months of archived rows may be swapped: take the file out with `archive forget`"
            }
            _ => "",
        };
        Some(format!(
            "{column}: the mapping's date formats fit {} of {all} values that were looked at, and {best} fits {}: write \
             it into the mapping{swapped}",
            self.read.len(),
            if own.len() == 1 { fit } else { fit + self.read.len() },
        ))
    }
}

/// Adds the values of the first part of a file.
fn look_at<'a>(
    file: &str,
    mapping: &Mapping,
    columns: &[&'a str],
    seen: &mut BTreeMap<&'a str, Seen>,
) -> Result<()> {
    let bytes = sample(Path::new(file), SAMPLE_BYTES)?;
    let mut reader = ExportReader::from_read(file, Box::new(Cursor::new(bytes)), mapping)?;
    while let Some(block) = reader.next_block()? {
        for column in columns.iter().copied() {
            let values = seen.entry(column).or_default();
            let days = answers::column(&block.batch, column)?.as_primitive::<Date32Type>();
            let format = formats(mapping, column).first().map_or("%Y-%m-%d", String::as_str);
            let dates = days.iter().flatten().filter_map(NaiveDate::from_epoch_days);
            values.read.extend(dates.filter_map(|date| written(date, format)));
            values.refused.extend(refused(&block.quarantined, column)?);
        }
    }
    Ok(())
}

/// A date in a format; `None` where the format has a time of day.
fn written(date: NaiveDate, format: &str) -> Option<String> {
    let mut text = String::new();
    write!(text, "{}", date.format(format)).is_ok().then_some(text)
}

/// The cells of a column that quarantined rows were put aside for, because they are no dates.
fn refused(quarantined: &RecordBatch, column: &str) -> Result<Vec<String>> {
    let text =
        |name: &str| Ok::<_, tidewaiter_core::Error>(answers::column(quarantined, name)?.as_string::<i32>());
    let (columns, rules, values) = (text("column")?, text("rule")?, text("value")?);
    let cells = columns.iter().zip(rules).zip(values).filter_map(|((of_column, rule), value)| {
        let is_date_rule = rule.is_some_and(|rule| [NO_DATE, IMPOSSIBLE_DATE].contains(&rule));
        value.filter(|_| is_date_rule && of_column == Some(column)).map(|value| value.trim().to_owned())
    });
    Ok(cells.collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::tests::TABLES;

    #[test]
    fn the_format_that_fits_all_values_is_named() {
        let mut file = tempfile::NamedTempFile::new().expect("made");
        writeln!(file, "decl,day,hs").expect("written");
        for day in 1..=28 {
            writeln!(file, "D{day},{day:02}.03.2024,090111").expect("written");
        }
        let text = "country = \"PL\"\ndate_formats = [\"FORMAT\"]\n[columns]\ndeclaration_id = { from = \"decl\" }\n\
                    item_number = { constant = \"1\" }\nacceptance_date = { from = \"day\" }\nhs_code = { from = \"hs\" }\n";
        let path = file.path().display().to_string();
        for (format, fit) in [("%m.%d.%Y", 12), ("%Y-%m-%d", 0)] {
            let mapping = Mapping::parse(&text.replace("FORMAT", format), TABLES).expect("reads");
            let mut tally = Tally::default();
            let rule = if fit > 0 { IMPOSSIBLE_DATE } else { NO_DATE };
            tally.rules.insert(format!("acceptance_date: {rule}"), 28 - fit);
            let advice = advice(&mapping, std::slice::from_ref(&path), &tally, 28);
            let [advice] = &advice[..] else { panic!("{advice:?}") };
            let said = format!("fit {fit} of 28 values that were looked at, and %d.%m.%Y fits 28");
            assert!(advice.contains(&said) && advice.contains("swapped") == (fit > 0), "{advice}");
        }
        let mapping = Mapping::parse(&text.replace("FORMAT", "%d.%m.%Y"), TABLES).expect("reads");
        assert!(advice(&mapping, &[path], &Tally::default(), 28).is_empty());
    }
}
