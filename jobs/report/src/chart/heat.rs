//! A heat map: a grid of cells, darker for larger values.

use maud::{Markup, html};

use super::at;
use crate::{format::NumberFormat, table::Kind};

const WIDTH: f64 = 820.0;
const NAMES: f64 = 96.0;
const TOP: f64 = 26.0;
const ROW: f64 = 30.0;
/// Steps of the legend.
const STEPS: usize = 5;

/// A grid of values that are zero or more.
#[derive(Debug, Clone)]
pub struct HeatMap {
    /// What is shown, with the unit.
    pub title: String,
    /// The kind of the numbers.
    pub kind: Kind,
    /// The number format of the report's language.
    pub numbers: NumberFormat,
    /// Names of the rows, from the top.
    pub rows: Vec<String>,
    /// Names of the columns, from the left.
    pub columns: Vec<String>,
    /// The values of each row, one for each column.
    pub values: Vec<Vec<f64>>,
}

impl HeatMap {
    /// The chart's markup.
    pub fn render(&self) -> Markup {
        let most =
            self.values.iter().flatten().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let cell = (WIDTH - NAMES) / self.columns.len().max(1) as f64;
        let legend = TOP + ROW * self.rows.len() as f64 + 12.0;
        let height = legend + 26.0;
        // Every second name where columns are narrow.
        let stride = if cell < 34.0 { 2 } else { 1 };
        html! {
            figure {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(self.title) {
                    title { (self.title) }
                    @for (place, name) in self.columns.iter().enumerate().step_by(stride) {
                        text .soft x=(at(NAMES + cell * (place as f64 + 0.5))) y="16" text-anchor="middle" { (name) }
                    }
                    @for (row, (name, values)) in self.rows.iter().zip(&self.values).enumerate() {
                        @let top = TOP + ROW * row as f64;
                        text x=(at(NAMES - 10.0)) y=(at(top + 20.0)) text-anchor="end" { (name) }
                        @for (place, value) in values.iter().enumerate() {
                            rect x=(at(NAMES + cell * place as f64)) y=(at(top)) width=(at(cell - 2.0))
                                height=(at(ROW - 2.0)) fill="var(--s0)" fill-opacity=(shade(*value, most)) {
                                title { (name) " " (self.columns.get(place).map_or("", String::as_str)) ": " (self.kind.format(self.numbers, *value)) }
                            }
                        }
                    }
                    @for step in 0..=STEPS {
                        @let value = most * step as f64 / STEPS as f64;
                        @let left = NAMES + 120.0 * step as f64;
                        rect x=(at(left)) y=(at(legend)) width="22" height="16" fill="var(--s0)"
                            fill-opacity=(shade(value, most)) {}
                        text .soft x=(at(left + 28.0)) y=(at(legend + 13.0)) { (self.kind.format(self.numbers, value)) }
                    }
                }
            }
        }
    }
}

/// A cell's opacity, which is never so low that the cell cannot be seen.
fn shade(value: f64, most: f64) -> String {
    let share = if most > 0.0 && value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.2}", 0.06 + 0.94 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_is_darkest_and_a_missing_one_is_drawn() {
        let map = HeatMap {
            title: "t".to_owned(),
            kind: Kind::Count,
            numbers: NumberFormat::default(),
            rows: vec!["<a>".to_owned()],
            columns: vec!["1".to_owned(), "2".to_owned(), "3".to_owned()],
            values: vec![vec![4.0, 2.0, f64::NAN]],
        };
        let html = map.render().into_string();
        assert!(html.contains("fill-opacity=\"1.00\"") && html.contains("fill-opacity=\"0.53\""));
        assert!(!html.contains("NaN") && html.contains("&lt;a&gt;"));
    }
}
