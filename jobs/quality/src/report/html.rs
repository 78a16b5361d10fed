//! The page of the report.

use maud::{Markup, html};
use tidewaiter_report::{
    chart::{
        bar::BarChart,
        line::{Axis, LineChart, Series},
    },
    format::{self, Numbers},
    page::{Footer, Page, Section},
    table::{Cell, Kind, Table},
};

use crate::results::QualityReport;

impl QualityReport {
    /// The report's HTML file; the footer says what made it.
    pub fn html(&self, footer: Footer) -> String {
        let mut sections = vec![
            Section { anchor: "scores", title: "Scores".to_owned(), body: self.scores_table() },
            Section { anchor: "rules", title: "Rules".to_owned(), body: self.rules_table() },
        ];
        if !self.quarantine.is_empty() {
            let (anchor, title) = ("quarantine", "Refused at ingest".to_owned());
            sections.push(Section { anchor, title, body: self.quarantine_table() });
        }
        sections.extend([
            Section { anchor: "months", title: "Month by month".to_owned(), body: self.months_chart() },
            Section { anchor: "columns", title: "Columns".to_owned(), body: self.columns_table() },
        ]);
        Page {
            title: format!("Data quality of {}", self.table),
            subtitle: "Completeness, validity, uniqueness, consistency and timeliness of the archive"
                .to_owned(),
            lead: self.headline(),
            facts: vec![
                ("Goods items".to_owned(), format::count(self.rows as f64)),
                ("Refused at ingest".to_owned(), format::count(self.quarantined as f64)),
                ("Country months".to_owned(), format::count(self.months.len() as f64)),
            ],
            sections,
            footer,
            ..Page::default()
        }
        .render()
    }

    /// The quality in one or two sentences.
    pub fn headline(&self) -> String {
        let worst = self.rules.iter().filter(|rule| rule.broken > 0).max_by_key(|rule| rule.broken);
        let empty = self.columns.iter().filter(|column| column.completeness == 0.0).count();
        let rows = |count: u64| {
            format!("{} {}", format::count(count as f64), if count == 1 { "row" } else { "rows" })
        };
        let mut text = format!("{} of all cells are filled", format::percent(self.scores.completeness));
        if empty > 0 && self.rows > 0 {
            text.push_str(&format!(" ({empty} of {} columns hold nothing)", self.columns.len()));
        }
        text.push_str(&format!(
            ", {} of rows are valid and {} are consistent",
            format::percent(self.scores.validity),
            format::percent(self.scores.consistency),
        ));
        match worst {
            Some(rule) => text.push_str(&format!(
                ". The rule broken most often ({}): {}.",
                rows(rule.broken),
                rule.meaning
            )),
            None => text.push_str("; no rule is broken."),
        }
        if self.quarantined > 0 {
            let were = if self.quarantined == 1 { "was" } else { "were" };
            text.push_str(&format!(" {} {were} refused at ingest.", rows(self.quarantined)));
        }
        text
    }

    /// The scores.
    fn scores_table(&self) -> Markup {
        let columns = [("Dimension", Kind::Text), ("Score", Kind::Percent), ("What is counted", Kind::Text)];
        let mut table = Table::new("100 % is perfect", &columns);
        for (name, score, meaning) in self.scores.named() {
            table.row(vec![name.into(), score.into(), meaning.into()]);
        }
        table.render()
    }

    /// The rules, with the first keys that break them.
    fn rules_table(&self) -> Markup {
        let columns = [
            ("Rule", Kind::Text),
            ("Asks that", Kind::Text),
            ("Counts for", Kind::Text),
            ("Checked", Kind::Count),
            ("Broken", Kind::Count),
            ("Share", Kind::Percent),
            ("First examples", Kind::Text),
        ];
        let mut table = Table::new("Rows checked and rows that break each rule", &columns);
        for rule in &self.rules {
            table.row(vec![
                rule.rule.as_str().into(),
                rule.meaning.as_str().into(),
                rule.dimension.name().into(),
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
    fn quarantine_table(&self) -> Markup {
        let columns = [("Rule", Kind::Text), ("Column", Kind::Text), ("Rows", Kind::Count)];
        let mut table = Table::new("Rows that were not archived, by their first failure", &columns);
        for count in &self.quarantine {
            table.row(vec![count.rule.as_str().into(), count.column.as_str().into(), count.rows.into()]);
        }
        table.render()
    }

    /// The goods items of each month, as a chart and as a table.
    fn months_chart(&self) -> Markup {
        // The chart joins the countries; the table keeps them apart.
        let mut rows = std::collections::BTreeMap::<(i32, i32), u64>::new();
        for month in &self.months {
            *rows.entry((month.year, month.month)).or_default() += month.rows;
        }
        let points = rows.values().enumerate().map(|(index, rows)| (index as f64, *rows as f64)).collect();
        let chart = LineChart {
            title: "Goods items per month, all countries".to_owned(),
            x: Axis { title: "month of acceptance".to_owned(), ..Axis::default() },
            y: Axis { title: "goods items".to_owned(), share: false, covers: vec![0.0] },
            series: vec![Series { name: "all items".to_owned(), points }],
            reference: None,
            mark: None,
            labels: rows.keys().map(|(year, month)| format!("{year}-{month:02}")).collect(),
            numbers: Numbers::default(),
        };
        let columns = [
            ("Country", Kind::Text),
            ("Month", Kind::Text),
            ("Goods items", Kind::Count),
            ("Cells filled", Kind::Percent),
        ];
        let mut table = Table::new("Each month of each country", &columns);
        for month in &self.months {
            table.row(vec![
                month.country.as_str().into(),
                Cell::Text(format!("{}-{:02}", month.year, month.month)),
                month.rows.into(),
                month.completeness.into(),
            ]);
        }
        html! { @if rows.len() > 1 { (chart.render()) } (table.render()) }
    }

    /// The columns, and the summary of those of numbers.
    fn columns_table(&self) -> Markup {
        let filled = BarChart {
            title: "Rows with a value, % of all rows".to_owned(),
            kind: Kind::Percent,
            numbers: Numbers::default(),
            bars: self.columns.iter().map(|column| (column.name.clone(), column.completeness)).collect(),
        };
        let columns = [
            ("Column", Kind::Text),
            ("Meaning", Kind::Text),
            ("Filled", Kind::Percent),
            ("Distinct, about", Kind::Count),
            ("Least", Kind::Text),
            ("Greatest", Kind::Text),
        ];
        let mut table = Table::new("Every column; least and greatest of numbers stand below", &columns);
        let summary = [
            ("Column", Kind::Text),
            ("Least", Kind::Number),
            ("25 %", Kind::Number),
            ("Median", Kind::Number),
            ("75 %", Kind::Number),
            ("Greatest", Kind::Number),
            ("Mean", Kind::Number),
        ];
        let mut numbers = Table::new("Spread of the columns of numbers; quartiles are approximate", &summary);
        for column in &self.columns {
            let text = |value: &Option<String>| match (&column.numbers, value) {
                (None, Some(value)) => Cell::Text(value.chars().take(40).collect()),
                _ => Cell::Absent,
            };
            table.row(vec![
                column.name.as_str().into(),
                column.meaning.as_str().into(),
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
