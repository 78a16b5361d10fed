//! The report of an apply: how many declared codes are doubtful, and which to look at first.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, UInt64Type},
};
use maud::{Markup, html};
use tidewaiter_core::{Error, Result};
use tidewaiter_report::{
    format::period,
    page::{Footer, Page, Section},
    table::{Cell, Kind},
    words::{Language, Words},
};

use super::WORDS;
use crate::applied::{Applied, DOUBTFUL};

/// Items that a list of the page shows, at most.
const LISTED: usize = 50;

/// Characters of a description that are shown.
const SHOWN: usize = 140;

/// What the report of an apply states beside the items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppliedFacts {
    /// The language of the page.
    pub language: Language,
    /// The model that scored, `hs-KR@3`.
    pub model: String,
    /// The reporting country.
    pub country: String,
    /// The scored months, `2021-04..2021-06`.
    pub months: String,
    /// The model's training and validation months.
    pub trained: [String; 2],
    /// Whether unit and value per unit counted.
    pub uses_unit: bool,
    /// The snapshot of the table that was read, `declarations@12`.
    pub snapshot: String,
}

/// The tables of the report as data: `doubtful` and `chapters`.
pub fn applied_tables(applied: &Applied) -> Vec<(&'static str, RecordBatch)> {
    vec![("doubtful", applied.doubtful.clone()), ("chapters", applied.chapters.clone())]
}

/// The page of an apply.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Internal`] when a column is missing.
pub fn applied_report(applied: &Applied, facts: &AppliedFacts) -> Result<Page> {
    let words = &Words::new(facts.language, &[WORDS]);
    let counts = &applied.counts;
    let doubtful = Doubtful::of(&applied.doubtful)?;
    let by_duty = doubtful.by_duty();
    let section = |anchor, title: &str, body: Markup| Section { anchor, title: title.to_owned(), body };
    let mut sections = Vec::new();
    if doubtful.len() > 0 {
        let listed: Vec<usize> = (0..doubtful.len().min(LISTED)).collect();
        let caption = words.fill(
            "The {n} most doubtful of {all} declared codes",
            &[("n", &words.count(listed.len() as u64)), ("all", &words.count(counts.doubtful))],
        );
        let body = html! { (doubtful.table(words, &caption, &listed)) (remarks(words, facts)) };
        sections.push(section("doubtful", words.say("Doubtful codes"), body));
    }
    if !by_duty.is_empty() {
        let listed: Vec<usize> = by_duty.iter().copied().take(LISTED).collect();
        let caption = words.fill(
            "The {n} of {all} doubtful codes whose recommended code would add duty, the most first",
            &[("n", &words.count(listed.len() as u64)), ("all", &words.count(by_duty.len() as u64))],
        );
        let note = words.say(
            "Duty at stake is an estimate: the usual rate of the recommended code less that of the declared one, both the \
             median among items of the same preference, of the customs value.",
        );
        let body = html! { (doubtful.table(words, &caption, &listed)) p { (note) } };
        sections.push(section("duty", words.say("Doubtful codes by the duty at stake"), body));
    }
    sections.push(section("by-chapter", words.say("Every chapter"), chapters(words, &applied.chapters)?));
    let number = |count: u64| words.count(count);
    let [train, valid] = &facts.trained;
    let months = period(&facts.months);
    let shown = [
        ("Model", facts.model.clone()),
        ("Country", facts.country.clone()),
        ("Months scored", months.clone()),
        ("Training months", period(train)),
        ("Validation months", period(valid)),
        ("Items scored", number(counts.items)),
        ("Of months that the model knows", number(counts.in_sample)),
        ("Others, which alone are counted below", number(counts.items - counts.in_sample)),
        ("Declared as first recommended", number(counts.agreeing)),
        ("Doubtful codes", number(counts.doubtful)),
        ("Too vague", number(counts.vague)),
        ("Code without training text", number(counts.unknown_codes)),
    ];
    Ok(Page {
        language: facts.language,
        title: format!(
            "{} · {} · {}",
            words.fill("Declared HS codes: {model}", &[("model", &facts.model)]),
            facts.country,
            months
        ),
        subtitle: words.say("Declared HS codes that the descriptions of the goods do not suggest").to_owned(),
        lead: lead(words, applied, facts),
        facts: shown.into_iter().map(|(name, value)| (words.say(name).to_owned(), value)).collect(),
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: None,
            snapshot: Some(facts.snapshot.clone()),
        },
    })
}

fn lead(words: &Words, applied: &Applied, facts: &AppliedFacts) -> String {
    let counts = &applied.counts;
    let new = counts.items - counts.in_sample;
    let mut text = words.fill(
        "Of {items} items of {country} in {months}, {doubtful} are declared under a code that the description makes \
         doubtful: the model gives all other codes together a probability of {threshold} or more. {vague} descriptions are \
         too vague to tell, and {unknown} items have a code that no training text has.",
        &[
            ("items", &words.count(new)),
            ("country", &facts.country),
            ("months", &period(&facts.months)),
            ("doubtful", &words.count(counts.doubtful)),
            ("threshold", &words.percent(DOUBTFUL)),
            ("vague", &words.count(counts.vague)),
            ("unknown", &words.count(counts.unknown_codes)),
        ],
    );
    if counts.in_sample > 0 {
        let [train, valid] = &facts.trained;
        text.push(' ');
        text.push_str(&words.fill(
            "Another {n} items are of months that the model was trained on ({train}, {valid}): it knows their codes, so that \
             nothing here counts or lists them.",
            &[("n", &words.count(counts.in_sample)), ("train", &period(train)), ("valid", &period(valid))],
        ));
    }
    text
}

/// What a doubtful code is, and what counted.
fn remarks(words: &Words, facts: &AppliedFacts) -> Markup {
    html! {
        p {
            (words.say(
                "A doubtful code is a reason to look and no finding: the model learned from declared codes, some of which are \
                 wrong, and a description may say too little. All doubtful items are in the file beside this page.",
            ))
        }
        p {
            @if facts.uses_unit {
                (words.say("Unit and value per unit count: the model was trained with --unit-independent."))
            } @else {
                (words.say(
                    "Unit and value per unit do not count: the tariff prescribes the unit by the declared code, so that a \
                     wrong code would bring its own confirmation.",
                ))
            }
        }
    }
}

/// The columns of the doubtful items.
struct Doubtful {
    texts: [arrow::array::StringArray; 6],
    numbers: [arrow::array::Float64Array; 3],
}

impl Doubtful {
    fn of(items: &RecordBatch) -> Result<Self> {
        let text = |name: &str| Ok::<_, Error>(column(items, name, &DataType::Utf8)?.as_string().clone());
        let number = |name: &str| {
            Ok::<_, Error>(column(items, name, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
        };
        Ok(Self {
            texts: [
                text("declaration_id")?,
                text("item_number")?,
                text("acceptance_date")?,
                text("description")?,
                text("hs_code")?,
                text("code_6")?,
            ],
            numbers: [number("probability_6")?, number("misclassification")?, number("duty_at_stake")?],
        })
    }

    fn len(&self) -> usize {
        self.numbers[0].len()
    }

    /// The rows whose recommended code would add duty, the most first.
    fn by_duty(&self) -> Vec<usize> {
        let duty = &self.numbers[2];
        let mut rows: Vec<usize> =
            (0..self.len()).filter(|row| duty.is_valid(*row) && duty.value(*row) > 0.0).collect();
        rows.sort_by(|one, other| duty.value(*other).total_cmp(&duty.value(*one)));
        rows
    }

    fn table(&self, words: &Words, caption: &str, rows: &[usize]) -> Markup {
        let columns = [
            ("Declaration / item", Kind::Text),
            ("Date", Kind::Text),
            ("Description", Kind::Text),
            ("Declared", Kind::Text),
            ("Recommended", Kind::Text),
            ("Its probability", Kind::Percent),
            ("All but the declared", Kind::Percent),
            ("Duty at stake", Kind::Money),
        ];
        let mut table = words.table(caption, &columns);
        let [declarations, items, days, descriptions, declared, recommended] = &self.texts;
        let text = |column: &arrow::array::StringArray, row: usize| {
            if column.is_valid(row) { column.value(row).to_owned() } else { String::new() }
        };
        for row in rows.iter().copied() {
            let mut description: String = text(descriptions, row).chars().take(SHOWN + 1).collect();
            if description.chars().count() > SHOWN {
                description.pop();
                description.push('…');
            }
            let mut cells: Vec<Cell> = vec![
                Cell::Text(format!("{} / {}", text(declarations, row), text(items, row))),
                Cell::Text(text(days, row)),
                Cell::Text(description),
                Cell::Text(text(declared, row)),
                Cell::Text(text(recommended, row)),
            ];
            cells.extend(
                self.numbers.iter().map(|column| column.is_valid(row).then(|| column.value(row)).into()),
            );
            table.row(cells);
        }
        table.render()
    }
}

fn chapters(words: &Words, chapters: &RecordBatch) -> Result<Markup> {
    let columns = [
        ("Chapter", Kind::Text),
        ("Items", Kind::Count),
        ("Declared as first recommended", Kind::Count),
        ("Doubtful codes", Kind::Count),
        ("Doubtful share", Kind::Percent),
    ];
    let mut table = words.table("Items by declared chapter", &columns);
    let names = column(chapters, "chapter", &DataType::Utf8)?;
    let [items, agreeing, doubtful] =
        ["items", "agreeing", "doubtful"].map(|name| column(chapters, name, &DataType::UInt64));
    let (items, agreeing, doubtful) = (items?, agreeing?, doubtful?);
    for row in 0..chapters.num_rows() {
        let [items, agreeing, doubtful] =
            [&items, &agreeing, &doubtful].map(|column| column.as_primitive::<UInt64Type>().value(row));
        table.row(vec![
            names.as_string::<i32>().value(row).into(),
            items.into(),
            agreeing.into(),
            doubtful.into(),
            (doubtful as f64 / items.max(1) as f64).into(),
        ]);
    }
    Ok(table.render())
}

fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<arrow::array::ArrayRef> {
    let column = batch.column_by_name(name);
    let column = column.ok_or_else(|| Error::internal(format!("the items of an apply lack {name}")))?;
    Ok(cast(column, kind)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Float64Array, StringArray};
    use tidewaiter_report::data::{batch, count_column, text_column};

    use super::*;
    use crate::applied::ItemCounts;

    #[test]
    fn the_page_counts_new_items_only_and_lists_no_duty_where_none_is_added() {
        let texts = |texts: [&'static str; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        let numbers =
            |numbers: [Option<f64>; 2]| -> ArrayRef { Arc::new(Float64Array::from(numbers.to_vec())) };
        let doubtful = batch(vec![
            ("declaration_id", texts(["A-1", "A-2"])),
            ("item_number", texts(["1", "2"])),
            ("acceptance_date", Arc::new(Date32Array::from(vec![18_000, 18_001]))),
            ("description", texts(["frozen shrimps", "boots"])),
            ("hs_code", texts(["0101210000", "020110"])),
            ("code_6", texts(["030617", "640340"])),
            ("probability_6", numbers([Some(0.97), Some(0.9)])),
            ("misclassification", numbers([Some(0.99), Some(0.96)])),
            ("duty_at_stake", numbers([Some(-5.0), Some(120.0)])),
        ]);
        let chapters = batch(vec![
            ("chapter", text_column(["01", "02"].into_iter())),
            ("items", count_column([60, 40].into_iter())),
            ("agreeing", count_column([50, 30].into_iter())),
            ("doubtful", count_column([1, 1].into_iter())),
        ]);
        let counts = ItemCounts {
            items: 130,
            in_sample: 30,
            vague: 4,
            agreeing: 80,
            unknown_codes: 3,
            doubtful: 2,
            ..ItemCounts::default()
        };
        let applied =
            Applied { counts, doubtful: doubtful.expect("a table"), chapters: chapters.expect("a table") };
        let facts = AppliedFacts {
            model: "hs-KR@1".to_owned(),
            country: "KR".to_owned(),
            months: "2021-06".to_owned(),
            trained: ["2021-06".to_owned(), "2021-07".to_owned()],
            ..AppliedFacts::default()
        };
        let page = applied_report(&applied, &facts).expect("a page");
        assert!(page.lead.starts_with("Of 100 items of KR in 2021-06, 2 are declared"), "{}", page.lead);
        assert!(page.lead.contains("Another 30 items are of months that the model was trained on"));
        let card = |name: &str| page.facts.iter().find(|fact| fact.0 == name).map(|fact| fact.1.as_str());
        assert_eq!(card("Others, which alone are counted below"), Some("100"));
        let anchors: Vec<&str> = page.sections.iter().map(|section| section.anchor).collect();
        assert_eq!(anchors, ["doubtful", "duty", "by-chapter"]);
        let duty = &page.sections[1].body.0;
        assert!(duty.contains("boots") && !duty.contains("frozen shrimps"), "{duty}");
        assert!(page.sections[0].body.0.contains("do not count: the tariff prescribes"));
    }
}
