//! What the values of an export's column are: dates of a format, numbers with marks, codes, flags. One value of twenty may
//! be of another form, because real exports have wrong cells. Start at [`Profile::of`].

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime};

use crate::cells::{code_digits, is_country, is_currency};

/// Formats of dates, the likelier of two that both fit first.
pub(super) const DATES: [&str; 12] = [
    "%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y%m%d", "%d/%m/%y", "%d.%m.%y",
    "%d-%b-%Y", "%d-%b-%y", "%d %b %Y",
];

/// Formats of times of a day.
const CLOCKS: [&str; 3] = ["%H:%M:%S", "%H:%M", "%H:%M:%S%.f"];

/// One of so many values may be of another form than the rest.
const MISFITS: usize = 20;

/// What is known of a column's values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// Some values, to show.
    pub(super) shown: Vec<String>,
    /// Values of another form than nearly all have, and the first of them.
    pub(super) misfits: usize,
    pub(super) misfit: Option<String>,
    /// The format of the dates, or of the dates and times.
    pub(super) date: Option<String>,
    pub(super) time: Option<String>,
    /// The first format that would fit as well.
    pub(super) other_date: Option<String>,
    /// The decimal mark and the mark between thousands of numbers.
    pub(super) number: Option<(char, Option<char>)>,
    /// A number with three digits after its comma, where all numbers with a comma have as many: the comma may stand
    /// between thousands.
    pub(super) doubtful: Option<String>,
    /// The number of values of each number of digits that are digits, or codes with marks between them, where nearly all
    /// are.
    pub(super) lengths: BTreeMap<usize, usize>,
    pub(super) is_hs_code: bool,
    /// Whether they can be HS codes with marks between their digits, which dates and amounts can be as well.
    pub(super) can_be_hs_code: bool,
    pub(super) is_country: bool,
    pub(super) is_currency: bool,
    /// The two values of a flag: true, false.
    pub(super) flag: Option<(String, String)>,
    /// The different values, where they are few.
    pub(super) few: Vec<String>,
}

/// Words of flags, true and false.
const FLAGS: [(&str, &str); 9] = [
    ("1", "0"),
    ("true", "false"),
    ("yes", "no"),
    ("y", "n"),
    ("si", "no"),
    ("sim", "nao"),
    ("oui", "non"),
    ("s", "n"),
    ("o", "n"),
];

impl Profile {
    /// The profile of a column's values; empty ones do not count.
    pub(super) fn of<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let values: Vec<&str> = values.map(str::trim).filter(|value| !value.is_empty()).collect();
        if values.is_empty() {
            return Self::default();
        }
        let mut different = values.clone();
        different.sort_unstable();
        different.dedup();
        let mut dates: Vec<(usize, &str)> = DATES
            .iter()
            .filter_map(|format| Some((misfits(&values, |value| is_date(value, format))?.0, *format)))
            .collect();
        dates.sort_by_key(|(misfits, _)| *misfits);
        let date = dates.first().copied();
        let other_date = dates.get(1).filter(|(misfits, _)| Some(*misfits) == date.map(|(least, _)| least));
        let time = DATES.iter().flat_map(|date| {
            CLOCKS.iter().flat_map(move |clock| [format!("{date} {clock}"), format!("{date}T{clock}")])
        });
        let is_time = |format: &String| {
            misfits(&values, |value| NaiveDateTime::parse_from_str(value, format).is_ok()).is_some()
        };
        let number = number_form(&values);
        // Days with points look as codes do.
        let is_code: fn(&str) -> bool = if dates.is_empty() { is_hs_code } else { is_plain_code };
        let forms: [fn(&str) -> bool; 4] = [is_code, is_country, is_currency, can_be_hs_code];
        let codes = forms.map(|is| misfits(&values, is));
        let of_date = date.and_then(|(_, format)| misfits(&values, |value| is_date(value, format)));
        let of_number = number.and_then(|form| misfits(&values, |value| is_number(value, form)));
        let (misfits, misfit) =
            of_date.or(codes[0]).or(of_number).or(codes[3]).or(codes[1]).or(codes[2]).unwrap_or_default();
        Self {
            misfits,
            misfit: misfit.map(str::to_owned),
            shown: different.iter().take(3).map(|value| (*value).to_owned()).collect(),
            date: date.map(|(_, format)| format.to_owned()),
            other_date: other_date.map(|(_, format)| (*format).to_owned()),
            time: time.into_iter().find(is_time),
            number,
            doubtful: doubtful(&values),
            lengths: lengths(&values),
            is_hs_code: codes[0].is_some(),
            can_be_hs_code: codes[3].is_some(),
            is_country: codes[1].is_some(),
            is_currency: codes[2].is_some(),
            flag: flag_of(&different),
            few: if different.len() <= 6 {
                different.iter().map(|value| (*value).to_owned()).collect()
            } else {
                Vec::new()
            },
        }
    }
}

/// The number of values that are not of a form, and the first of them; `None` where they are more than one of twenty.
fn misfits<'a>(values: &[&'a str], is: impl Fn(&str) -> bool) -> Option<(usize, Option<&'a str>)> {
    let (mut count, mut first) = (0, None);
    for value in values.iter().copied().filter(|value| !is(value)) {
        count += 1;
        first = first.or(Some(value));
        if count * MISFITS > values.len() {
            return None;
        }
    }
    Some((count, first))
}

/// Whether a value is a date of a format with a year that can be.
pub(super) fn is_date(value: &str, format: &str) -> bool {
    let is_short = !value.bytes().any(|byte| !byte.is_ascii_digit()) && value.len() != 8;
    !is_short
        && NaiveDate::parse_from_str(value, format)
            .is_ok_and(|date| (1950..2100).contains(&chrono::Datelike::year(&date)))
}

/// Whether a value is an HS code by its digits, or by at least three groups of them with points or spaces.
fn is_hs_code(value: &str) -> bool {
    let has_groups = || value.split(|character: char| !character.is_ascii_digit()).count() > 2;
    is_plain_code(value) || (!value.contains('-') && has_groups() && can_be_hs_code(value))
}

fn is_plain_code(value: &str) -> bool {
    (6..=12).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a value is an HS code as a tariff prints it.
fn can_be_hs_code(value: &str) -> bool {
    code_digits(value).is_some_and(|code| (6..=12).contains(&code.len()))
}

/// The decimal mark and the mark between thousands with which the fewest values, if any, are no numbers.
fn number_form(values: &[&str]) -> Option<(char, Option<char>)> {
    let forms = [
        ('.', None),
        (',', None),
        ('.', Some(',')),
        (',', Some('.')),
        (',', Some(' ')),
        ('.', Some(' ')),
        ('.', Some('\'')),
    ];
    let fitting =
        forms.into_iter().filter_map(|form| Some((misfits(values, |value| is_number(value, form))?.0, form)));
    fitting.min_by_key(|(misfits, _)| *misfits).map(|(_, form)| form)
}

/// The first number with a comma, where all of them have three digits after it and at most three before, as those with a
/// comma between thousands have.
fn doubtful(values: &[&str]) -> Option<String> {
    if number_form(values) != Some((',', None)) {
        return None;
    }
    let mut with_comma = values.iter().filter_map(|value| Some((value, value.split_once(',')?))).peekable();
    let first = with_comma.peek().map(|(value, _)| (**value).to_owned());
    let is_group = |(whole, rest): (&str, &str)| rest.len() == 3 && whole.trim_start_matches('-').len() <= 3;
    with_comma.all(|(_, parts)| is_group(parts)).then_some(first).flatten()
}

fn lengths(values: &[&str]) -> BTreeMap<usize, usize> {
    let is_digits = |value: &str| value.bytes().all(|byte| byte.is_ascii_digit());
    let has_marks = |value: &str| !is_digits(value) && can_be_hs_code(value);
    let mut lengths = BTreeMap::new();
    if misfits(values, |value| is_digits(value) || has_marks(value)).is_some() {
        for value in values.iter().filter(|value| is_digits(value) || has_marks(value)) {
            *lengths.entry(value.bytes().filter(u8::is_ascii_digit).count()).or_default() += 1;
        }
    }
    lengths
}

fn is_number(value: &str, (decimal, thousands): (char, Option<char>)) -> bool {
    let value = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = value.split_once(decimal).unwrap_or((value, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mark = |character: char| match thousands {
        Some(' ') => matches!(character, ' ' | '\u{a0}' | '\u{202f}'),
        mark => mark == Some(character),
    };
    let groups: Vec<&str> = whole.split(is_mark).collect();
    let grouped =
        groups.len() == 1 || (groups[0].len() <= 3 && groups[1..].iter().all(|group| group.len() == 3));
    !whole.is_empty()
        && grouped
        && groups.iter().all(|group| !group.is_empty() && is_digits(group))
        && is_digits(fraction)
}

/// The two values of a flag, as the export writes them.
fn flag_of(different: &[&str]) -> Option<(String, String)> {
    if different.len() > 2 {
        return None;
    }
    FLAGS.iter().find_map(|(yes, no)| {
        let find = |word: &str| {
            different.iter().find(|value| {
                let value = value.strip_suffix(".0").unwrap_or(value);
                super::names::plain(value) == word
            })
        };
        match (find(yes), find(no)) {
            (Some(yes), Some(no)) => Some(((*yes).to_owned(), (*no).to_owned())),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Profile {
        Profile::of(values.iter().copied())
    }

    #[test]
    fn values_say_what_they_are() {
        assert_eq!(of(&["31/12/2024", "01/02/2024"]).date.as_deref(), Some("%d/%m/%Y"));
        let open = of(&["01/02/2024"]);
        assert_eq!((open.date.as_deref(), open.other_date.as_deref()), (Some("%d/%m/%Y"), Some("%m/%d/%Y")));
        assert_eq!(of(&["2024-02-01 08:00"]).time.as_deref(), Some("%Y-%m-%d %H:%M"));
        assert_eq!(of(&["1.234.567,89", "12"]).number, Some((',', Some('.'))));
        assert_eq!(of(&["1,234.50", "12"]).number, Some(('.', Some(','))));
        assert_eq!(of(&["12.5", "3"]).number, Some(('.', None)));
        assert_eq!(of(&["12,5", "3"]).number, Some((',', None)));
        assert_eq!(of(&["many", "3"]).number, None);
        assert!(of(&["8703231128", "090111"]).is_hs_code && of(&["KR", "CN"]).is_country);
        let printed = of(&["0901.11.00", "8703.23.31"]);
        assert!(printed.is_hs_code && printed.lengths == BTreeMap::from([(8, 2)]));
        assert!(of(&["0901 11 00", "8703 23 31"]).is_hs_code);
        let hyphens = of(&["0901-11", "8703-23"]);
        assert!(hyphens.can_be_hs_code && !hyphens.is_hs_code);
        assert!(!of(&["01.02.2024", "15.02.2024"]).is_hs_code && !of(&["2024-01-15"]).is_hs_code);
        let amounts = of(&["1250.75", "3400.20"]);
        assert!(!amounts.is_hs_code && amounts.number == Some(('.', None)));
        assert_eq!(of(&["Sí", "No", ""]).flag, Some(("Sí".to_owned(), "No".to_owned())));
        assert_eq!(of(&["1.0", "0.0"]).flag, Some(("1.0".to_owned(), "0.0".to_owned())));
        assert_eq!(of(&[""]), Profile::default());
    }

    #[test]
    fn a_few_wrong_cells_do_not_hide_what_a_column_is() {
        let with = |value: &str, wrong: &str, wrongs: usize| {
            let values: Vec<&str> = [vec![value; 60], vec![wrong; wrongs]].concat();
            of(&values)
        };
        let dates = with("28/02/2023", "31/02/2023", 2);
        assert_eq!((dates.date.as_deref(), dates.misfits), (Some("%d/%m/%Y"), 2));
        assert_eq!(dates.misfit.as_deref(), Some("31/02/2023"));
        let codes = with("870323", "ABC", 1);
        assert!(codes.is_hs_code && codes.lengths == BTreeMap::from([(6, 60)]));
        assert!(with("KR", "ZZ", 1).is_country && with("EUR", "?", 3).is_currency);
        assert_eq!(with("1.250,5", "n/a", 1).number, Some((',', Some('.'))));
        assert_eq!(with("12", "many", 4).number, None, "more than one of twenty");
        assert_eq!(of(&["12/02/2023", "soon"]).date, None, "a small sample says nothing");
    }
}
