//! Tables. Each column has a [`Kind`], which decides how its numbers are rounded and aligned. Start at [`Table`].

use maud::{Markup, html};

use crate::format::{self, NumberFormat};

/// The content of a column, which decides rounding and alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words or codes, aligned left.
    Text,
    /// Whole numbers.
    Count,
    /// Shares in 0..=1, shown in percent with one decimal.
    Percent,
    /// Amounts of currency.
    Money,
    /// Measures with three decimals.
    Ratio,
    /// NumberFormat of any size, with four significant figures.
    Number,
    /// Hours, with two decimals.
    Hours,
}

impl Kind {
    /// A number as text, in the number format of a language.
    pub fn format(self, numbers: NumberFormat, value: f64) -> String {
        match self {
            Self::Count => numbers.count(value),
            Self::Percent => numbers.percent(value),
            Self::Money => numbers.money(value),
            Self::Ratio => numbers.ratio(value),
            Self::Hours => numbers.fixed(value, 2),
            Self::Text | Self::Number => numbers.number(value),
        }
    }
}

/// One cell.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Text, which is escaped.
    Text(String),
    /// A number, in the format of its column.
    Number(f64),
    /// No value, shown as a dash.
    Absent,
    /// Markup, which is not escaped.
    Markup(Markup),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Number(value as f64)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Into::into)
    }
}

/// A table of so many rows at most is not divided over two pages of paper.
const SHORT: usize = 12;

/// A table with a caption; the first cell of each row is the row's header.
#[derive(Debug, Clone)]
pub struct Table {
    caption: String,
    columns: Vec<(String, Kind)>,
    rows: Vec<(Vec<Cell>, Option<Markup>)>,
    numbers: NumberFormat,
}

impl Table {
    /// A table of the given columns.
    pub fn new(caption: impl Into<String>, columns: &[(&str, Kind)]) -> Self {
        let columns = columns.iter().map(|(title, kind)| ((*title).to_owned(), *kind)).collect();
        Self { caption: caption.into(), columns, rows: Vec::new(), numbers: NumberFormat::default() }
    }

    /// The same table in the number format of a language.
    #[must_use]
    pub fn with_numbers(self, numbers: NumberFormat) -> Self {
        Self { numbers, ..self }
    }

    /// Adds a row. Cells beyond the last column are dropped, missing ones are shown as absent.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push((cells, None));
    }

    /// Adds a row with a note below it, over the whole width.
    pub fn row_with_note(&mut self, cells: Vec<Cell>, note: Markup) {
        self.rows.push((cells, Some(note)));
    }

    /// The table's markup.
    pub fn render(&self) -> Markup {
        let class = |kind: Kind| if kind == Kind::Text { "t" } else { "n" };
        let cell = |row: &Vec<Cell>, index: usize, kind: Kind| match row.get(index) {
            // A date or a code is not broken over lines.
            Some(Cell::Text(text)) if text.len() <= 16 && !text.contains(' ') => {
                html! { span .c { (text) } }
            }
            Some(Cell::Text(text)) => html! { (text) },
            Some(Cell::Number(value)) => html! { (kind.format(self.numbers, *value)) },
            Some(Cell::Markup(markup)) => markup.clone(),
            Some(Cell::Absent) | None => html! { (format::ABSENT) },
        };
        html! {
            div .wide tabindex="0" role="region" aria-label=(self.caption) {
                table .short[self.rows.len() <= SHORT] {
                    caption { (self.caption) }
                    thead { tr {
                        @for (title, kind) in &self.columns { th scope="col" class=(class(*kind)) { (title) } }
                    } }
                    tbody {
                        @for (row, note) in &self.rows {
                            tr .noted[note.is_some()] {
                                @for (index, (_, kind)) in self.columns.iter().enumerate() {
                                    @if index == 0 {
                                        th scope="row" class=(class(*kind)) { (cell(row, index, *kind)) }
                                    } @else {
                                        td class=(class(*kind)) { (cell(row, index, *kind)) }
                                    }
                                }
                            }
                            @if let Some(note) = note {
                                tr .note { td colspan=(self.columns.len()) { (note) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_round_and_text_is_escaped() {
        let mut table =
            Table::new("c", &[("name", Kind::Text), ("share", Kind::Percent), ("n", Kind::Count)]);
        table.row(vec!["<script>".into(), 0.125.into(), 1234_u64.into()]);
        table.row(vec!["b".into(), None::<f64>.into()]);
        let html = table.render().into_string();
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"));
        assert!(html.contains("12.5\u{a0}%") && html.contains("1,234"));
        assert!(html.contains(r#"<th scope="row" class="t"><span class="c">b</span></th><td class="n">–</td><td class="n">–</td>"#));
    }
}
