//! The page of the report.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tidewaiter_report::{
    chart::{
        SERIES,
        bar::BarChart,
        line::{Axis, LineChart, Series},
    },
    page::{Footer, Page, Section},
    table::{Cell, Kind},
    words::{Language, Words},
};

use super::{
    axis::{Month, axis},
    words,
};
use crate::results::{ColumnUse, QualityReport, Scores};

/// A score and the threshold that it misses, with as many decimals as tell them apart.
fn apart(words: &Words, score: f64, least: f64) -> [String; 2] {
    let short = [score, least].map(|share| words.percent(share));
    if short[0] != short[1] {
        return short;
    }
    let fixed = |decimals| [score, least].map(|share| words.numbers().fixed(share * 100.0, decimals));
    let found = (2..7).map(fixed).find(|[score, least]| score != least);
    found.map_or(short, |texts| texts.map(|text| format!("{text}\u{a0}%")))
}

impl QualityReport {
    /// The report's HTML file; the footer says what made it.
    pub fn html(&self, language: Language, footer: Footer) -> String {
        let words = &words(language);
        let section =
            |anchor, title: &str, body| Section { anchor, title: words.say(title).to_owned(), body };
        let mut sections = vec![section("scores", words.say("Scores"), self.scores_table(words))];
        if self.countries.len() > 1 {
            sections.push(section("countries", words.say("By country"), self.countries_table(words)));
        }
        sections.push(section("rules", words.say("Rules"), self.rules_table(words)));
        if !self.quarantine.is_empty() {
            let body = self.quarantine_table(words);
            sections.push(section("quarantine", words.say("Refused at ingest"), body));
        }
        sections.extend([
            section("months", words.say("Month by month"), self.months_section(words)),
            section("columns", words.say("Columns"), self.columns_section(words)),
        ]);
        let countries: Vec<&str> = self.countries.iter().map(|one| one.country.as_str()).collect();
        let title = words.fill("Data quality of {table}", &[("table", &self.table)]);
        let origin = [countries.join(", "), self.period()];
        let origin = origin.iter().filter(|text| !text.is_empty()).map(|text| format!(" · {text}"));
        Page {
            language,
            title: title + &origin.collect::<String>(),
            subtitle: words
                .say("Completeness, validity, uniqueness, consistency and timeliness of the archive")
                .to_owned(),
            lead: self.headline(words),
            facts: vec![
                (words.say("Goods items").to_owned(), words.count(self.rows)),
                (words.say("Refused at ingest").to_owned(), words.count(self.quarantined)),
                (words.say("Countries").to_owned(), countries.join(", ")),
                (words.say("Months").to_owned(), self.period()),
            ],
            sections,
            footer,
        }
        .render()
    }

    /// The months from the first to the last that the chart shows.
    fn period(&self) -> String {
        let (months, _) = axis(&self.rows_by_month());
        match (months.first(), months.last()) {
            (Some((first, _)), Some((last, _))) if first != last => format!("{first} – {last}"),
            (Some((only, _)), _) => only.to_string(),
            _ => String::new(),
        }
    }

    /// The goods items of each month over all countries.
    fn rows_by_month(&self) -> BTreeMap<Month, u64> {
        let mut rows = BTreeMap::new();
        for month in &self.months {
            *rows.entry(Month::of(month.year, month.month)).or_default() += month.rows;
        }
        rows
    }

    /// The quality in a few sentences: what misses its threshold first.
    pub fn headline(&self, words: &Words) -> String {
        let rows = |count: u64| match count {
            1 => words.say("1 row").to_owned(),
            _ => words.fill("{n} rows", &[("n", &words.count(count))]),
        };
        let mut sentences = Vec::new();
        let missed = self.missed(&self.scores);
        if !missed.is_empty() {
            let missed: Vec<String> = missed
                .iter()
                .map(|(threshold, score)| {
                    let [score, least] = apart(words, *score, threshold.least);
                    words.fill(
                        "{dimension}, {score} of at least {least}",
                        &[
                            ("dimension", words.say(&threshold.dimension)),
                            ("score", &score),
                            ("least", &least),
                        ],
                    )
                })
                .collect();
            sentences.push(words.fill("Below the threshold: {missed}.", &[("missed", &missed.join("; "))]));
        }
        let number = |wanted: ColumnUse| {
            let columns = self.columns.iter().filter(|column| column.counts_as == wanted).count();
            words.count(columns as u64)
        };
        let values = [
            ("share", words.percent(self.scores.completeness)),
            ("mapped", number(ColumnUse::Counted)),
            ("unmapped", number(ColumnUse::Unmapped)),
            ("optional", number(ColumnUse::Optional)),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        sentences.push(words.fill(
            "{share} of the cells of {mapped} mapped columns are filled (columns not mapped: {unmapped}, optional: {optional}; \
             they do not count).",
            &values,
        ));
        let validity = words.percent(self.scores.validity);
        let consistency = words.percent(self.scores.consistency);
        sentences.push(words.fill(
            "{validity} of all rows with those refused at ingest are valid, and {consistency} of the archived ones are \
             consistent.",
            &[("validity", &validity), ("consistency", &consistency)],
        ));
        match self.quarantined {
            0 => {}
            1 => sentences.push(words.say("1 row was refused at ingest.").to_owned()),
            many => sentences.push(words.fill("{rows} were refused at ingest.", &[("rows", &rows(many))])),
        }
        let worst = self.rules.iter().filter(|rule| rule.broken > 0).max_by_key(|rule| rule.broken);
        sentences.push(match worst {
            Some(rule) => words.fill(
                "The rule broken most often ({rows}): {rule}.",
                &[("rows", &rows(rule.broken)), ("rule", words.say(&rule.meaning))],
            ),
            None => words.say("No archived row breaks a rule.").to_owned(),
        });
        sentences.join(" ")
    }

    /// The scores.
    fn scores_table(&self, words: &Words) -> Markup {
        let mut columns = vec![("Dimension", Kind::Text), ("Score", Kind::Percent)];
        let has_thresholds = !self.thresholds.is_empty();
        if has_thresholds {
            columns.extend([("Threshold", Kind::Percent), ("Reached", Kind::Text)]);
        }
        columns.push(("What is counted", Kind::Text));
        let mut table = words.table("100 % is perfect", &columns);
        for (name, score, meaning) in self.scores.named() {
            let mut cells: Vec<Cell> = vec![words.say(name).into(), score.into()];
            if has_thresholds {
                let least = self.thresholds.iter().find(|one| one.dimension == name).map(|one| one.least);
                let reached = least
                    .zip(score)
                    .map(|(least, score)| if score >= least { words.say("yes") } else { words.say("no") });
                cells.extend([least.into(), reached.into()]);
            }
            cells.push(words.say(meaning).into());
            table.row(cells);
        }
        table.render()
    }

    /// The scores of each country; those below their threshold are marked.
    fn countries_table(&self, words: &Words) -> Markup {
        let columns = [
            ("Country", Kind::Text),
            ("Goods items", Kind::Count),
            ("Refused at ingest", Kind::Count),
            ("Completeness", Kind::Percent),
            ("Validity", Kind::Percent),
            ("Uniqueness", Kind::Percent),
            ("Consistency", Kind::Percent),
            ("Below the threshold", Kind::Text),
        ];
        let mut table = words.table("Each country by the columns that it maps", &columns);
        for country in &self.countries {
            let Scores { completeness, validity, uniqueness, consistency, .. } = country.scores;
            let below: Vec<&str> = self
                .missed(&country.scores)
                .iter()
                .map(|(threshold, _)| words.say(&threshold.dimension))
                .collect();
            table.row(vec![
                country.country.as_str().into(),
                country.rows.into(),
                country.quarantined.into(),
                completeness.into(),
                validity.into(),
                uniqueness.into(),
                consistency.into(),
                if below.is_empty() { Cell::Absent } else { Cell::Text(below.join(", ")) },
            ]);
        }
        table.render()
    }

    /// The rules, with the first keys that break them.
    fn rules_table(&self, words: &Words) -> Markup {
        let columns = [
            ("Rule", Kind::Text),
            ("Requirement", Kind::Text),
            ("Dimension", Kind::Text),
            ("Checked", Kind::Count),
            ("Broken", Kind::Count),
            ("Share", Kind::Percent),
            ("First examples", Kind::Text),
        ];
        let mut table = words.table("Rows checked and rows that break each rule", &columns);
        for rule in &self.rules {
            table.row(vec![
                rule.rule.as_str().into(),
                words.say(&rule.meaning).into(),
                words.say(rule.dimension.name()).into(),
                rule.checked.into(),
                rule.broken.into(),
                (rule.checked > 0).then(|| rule.share()).into(),
                match rule.examples.is_empty() {
                    true => Cell::Absent,
                    false => Cell::Markup(html! { ul { @for key in &rule.examples { li { (key) } } } }),
                },
            ]);
        }
        table.render()
    }

    /// What ingest refused.
    fn quarantine_table(&self, words: &Words) -> Markup {
        let columns =
            [("Country", Kind::Text), ("Rule", Kind::Text), ("Column", Kind::Text), ("Rows", Kind::Count)];
        let mut table = words.table("Rows that were not archived, by their first failure", &columns);
        let text = |text: &str| if text.is_empty() { Cell::Absent } else { text.into() };
        for count in &self.quarantine {
            let rule = text(words.say(&count.rule));
            table.row(vec![text(&count.country), rule, text(&count.column), count.rows.into()]);
        }
        table.render()
    }

    /// Goods items and completeness of each month, as charts and as a table.
    fn months_section(&self, words: &Words) -> Markup {
        let rows = self.rows_by_month();
        let (months, strays) = axis(&rows);
        let labels: Vec<String> = months.iter().map(|(month, _)| month.to_string()).collect();
        let x = Axis { title: words.say("month of acceptance").to_owned(), ..Axis::default() };
        let items = LineChart {
            title: words.say("Goods items per month, all countries").to_owned(),
            x: x.clone(),
            y: Axis { title: words.say("goods items").to_owned(), share: false, covers: vec![0.0] },
            series: vec![Series {
                name: words.say("all items").to_owned(),
                points: months.iter().enumerate().map(|(at, month)| (at as f64, month.1 as f64)).collect(),
            }],
            labels: labels.clone(),
            numbers: words.numbers(),
            ..LineChart::default()
        };
        let place = |month: Month| months.iter().position(|(other, _)| *other == month);
        let series = self.countries.iter().take(SERIES).map(|country| {
            let own = self.months.iter().filter(|month| month.country == country.country);
            let points =
                own.filter_map(|one| Some((place(Month::of(one.year, one.month))? as f64, one.completeness)));
            Series { name: country.country.clone(), points: points.collect() }
        });
        let completeness = LineChart {
            title: words.say("Completeness, month by month").to_owned(),
            x,
            y: Axis { title: words.say("cells filled, %").to_owned(), share: true, covers: vec![0.0, 1.0] },
            series: series.collect(),
            labels,
            numbers: words.numbers(),
            ..LineChart::default()
        };
        let columns = [
            ("Country", Kind::Text),
            ("Month", Kind::Text),
            ("Goods items", Kind::Count),
            ("Completeness", Kind::Percent),
            ("Validity", Kind::Percent),
            ("Consistency", Kind::Percent),
        ];
        let mut table =
            words.table("Each month of each country; rows that ingest refused have no month", &columns);
        for month in &self.months {
            table.row(vec![
                month.country.as_str().into(),
                Cell::Text(Month::of(month.year, month.month).to_string()),
                month.rows.into(),
                month.completeness.into(),
                month.validity.into(),
                month.consistency.into(),
            ]);
        }
        let strays: Vec<String> =
            strays.iter().map(|(month, rows)| format!("{month} ({})", words.count(*rows))).collect();
        html! {
            @if months.len() > 1 { (items.render()) (completeness.render()) }
            @if !strays.is_empty() {
                p {
                    (words.fill(
                        "Not in the charts, because so few items lie so far from the others that their dates are likely wrong: \
                         {months}.",
                        &[("months", &strays.join(", "))],
                    ))
                }
            }
            (table.render())
        }
    }

    /// The columns, and the summary of those of numbers.
    fn columns_section(&self, words: &Words) -> Markup {
        let mapped = || self.columns.iter().filter(|column| column.counts_as != ColumnUse::Unmapped);
        let filled = BarChart {
            title: words.say("Rows with a value, % of all rows, of the columns that are mapped").to_owned(),
            kind: Kind::Percent,
            numbers: words.numbers(),
            bars: mapped().map(|column| (column.name.clone(), column.completeness)).collect(),
        };
        let columns = [
            ("Column", Kind::Text),
            ("Meaning", Kind::Text),
            ("Completeness counts it", Kind::Text),
            ("Filled", Kind::Percent),
            ("Distinct values, about", Kind::Count),
            ("Minimum", Kind::Text),
            ("Maximum", Kind::Text),
        ];
        let mut table = words.table("Every column; those of numbers have their range below", &columns);
        let summary = [
            ("Column", Kind::Text),
            ("Minimum", Kind::Number),
            ("25 %", Kind::Number),
            ("Median", Kind::Number),
            ("75 %", Kind::Number),
            ("Maximum", Kind::Number),
            ("Mean", Kind::Number),
        ];
        let mut numbers =
            words.table("Distribution of the columns of numbers; quartiles are approximate", &summary);
        for column in &self.columns {
            let text = |value: &Option<String>| match (&column.numbers, value) {
                (None, Some(value)) => Cell::Text(value.chars().take(40).collect()),
                _ => Cell::Absent,
            };
            let counts = match column.counts_as {
                ColumnUse::Counted => words.say("yes"),
                ColumnUse::Optional => words.say("no: optional"),
                ColumnUse::Unmapped => words.say("no: not mapped"),
            };
            table.row(vec![
                column.name.as_str().into(),
                words.say(&column.meaning).into(),
                counts.into(),
                column.completeness.into(),
                column.distinct.into(),
                text(&column.min),
                text(&column.max),
            ]);
            if let Some(summary) = &column.numbers {
                let values =
                    [summary.min, summary.p25, summary.median, summary.p75, summary.max, summary.mean];
                let mut cells = vec![column.name.as_str().into()];
                cells.extend(values.map(Cell::Number));
                numbers.row(cells);
            }
        }
        html! { (filled.render()) (table.render()) (numbers.render()) }
    }
}
