//! Horizontal bars.

use maud::{Markup, html};

use super::{at, shorten};
use crate::{format::NumberFormat, table::Kind};

const WIDTH: f64 = 820.0;
/// The approximate width of a character, and the most room for names.
const CHARACTER: f64 = 7.0;
const NAMES: f64 = 410.0;
const VALUES: f64 = 110.0;
const ROW: f64 = 26.0;
/// Characters of a name that fit beside a bar.
const NAME_CHARACTERS: usize = 57;

/// A chart of horizontal bars from zero.
#[derive(Debug, Clone)]
pub struct BarChart {
    /// What is shown, with the unit.
    pub title: String,
    /// The kind of the numbers.
    pub kind: Kind,
    /// The number format of the report's language.
    pub numbers: NumberFormat,
    /// Name and value of each bar, from the top; values below zero are drawn as zero.
    pub bars: Vec<(String, f64)>,
}

impl BarChart {
    /// The chart's markup.
    pub fn render(&self) -> Markup {
        let height = ROW * self.bars.len() as f64 + 4.0;
        let most = self.bars.iter().map(|bar| bar.1).filter(|value| value.is_finite()).fold(0.0, f64::max);
        let longest = self.bars.iter().map(|bar| bar.0.chars().count()).max().unwrap_or_default();
        let names = (longest as f64 * CHARACTER + 16.0).min(NAMES);
        let scale = if most > 0.0 { (WIDTH - names - VALUES) / most } else { 0.0 };
        let length = |value: f64| if value.is_finite() { value.max(0.0) * scale } else { 0.0 };
        html! {
            figure {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(self.title) {
                    title { (self.title) }
                    @for (index, (name, value)) in self.bars.iter().enumerate() {
                        @let top = ROW * index as f64;
                        text x=(at(names - 10.0)) y=(at(top + 18.0)) text-anchor="end" {
                            title { (name) }
                            (shorten(name, NAME_CHARACTERS))
                        }
                        rect x=(at(names)) y=(at(top + 4.0)) width=(at(length(*value))) height=(at(ROW - 8.0))
                            fill="var(--s0)" {}
                        text x=(at(names + length(*value) + 8.0)) y=(at(top + 18.0)) {
                            (self.kind.format(self.numbers, *value))
                        }
                    }
                    line .axis x1=(at(names)) x2=(at(names)) y1="0" y2=(at(height)) {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width_and_others_follow() {
        let bars = vec![("a".to_owned(), 0.5), ("b".to_owned(), 0.25), ("c".to_owned(), f64::NAN)];
        let html =
            BarChart { title: "t".to_owned(), kind: Kind::Percent, numbers: NumberFormat::default(), bars }
                .render()
                .into_string();
        assert!(html.contains("width=\"687.0\"") && html.contains("width=\"343.5\""));
        assert!(html.contains("50.0\u{a0}%") && !html.contains("NaN"));
    }
}
