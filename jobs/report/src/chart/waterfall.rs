//! A waterfall chart: horizontal bars, each of which begins where the one above it ends.

use maud::{Markup, html};

use super::{at, colour};
use crate::{format::NumberFormat, table::Kind};

const WIDTH: f64 = 820.0;
/// The approximate width of a character, and the most room for names.
const CHARACTER: f64 = 7.8;
const NAMES: f64 = 330.0;
const VALUES: f64 = 90.0;
const ROW: f64 = 30.0;
/// Characters of a name that fit beside a bar.
const NAME_CHARACTERS: usize = 46;

/// One bar.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its length, from the end of the bar above; negative ones are drawn as zero.
    pub length: f64,
    /// The distance of a mark from its beginning, such as the median in a bar of the mean.
    pub mark: Option<f64>,
    /// The series that gives its colour; none: that of secondary text.
    pub series: Option<usize>,
}

/// A chart of bars that add up.
#[derive(Debug, Clone)]
pub struct Waterfall {
    /// What is shown, with the unit.
    pub title: String,
    /// The kind of the numbers.
    pub kind: Kind,
    /// The number format of the report's language.
    pub numbers: NumberFormat,
    /// The bars, from the top.
    pub steps: Vec<Step>,
}

impl Waterfall {
    /// The chart's markup.
    pub fn render(&self) -> Markup {
        let length = |step: &Step| if step.length.is_finite() { step.length.max(0.0) } else { 0.0 };
        let total: f64 = self.steps.iter().map(length).sum();
        let longest = self.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or_default();
        let names = (longest as f64 * CHARACTER + 16.0).min(NAMES);
        let scale = if total > 0.0 { (WIDTH - names - VALUES) / total } else { 0.0 };
        let height = ROW * self.steps.len() as f64 + 4.0;
        let starts = self.steps.iter().scan(0.0, |end, step| {
            let start = *end;
            *end += length(step);
            Some(start)
        });
        html! {
            figure {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(self.title) {
                    title { (self.title) }
                    @for (row, (step, start)) in self.steps.iter().zip(starts).enumerate() {
                        @let top = ROW * row as f64;
                        @let left = names + start * scale;
                        @let right = left + length(step) * scale;
                        text x=(at(names - 10.0)) y=(at(top + 20.0)) text-anchor="end" {
                            title { (step.name) }
                            (step.name.chars().take(NAME_CHARACTERS).collect::<String>())
                        }
                        rect x=(at(left)) y=(at(top + 4.0)) width=(at((right - left).max(1.0))) height=(at(ROW - 8.0))
                            fill=(step.series.map_or("var(--soft)".to_owned(), colour)) {}
                        @if let Some(mark) = step.mark.filter(|mark| mark.is_finite() && *mark >= 0.0) {
                            @let x = left + mark.min(length(step)) * scale;
                            line x1=(at(x)) x2=(at(x)) y1=(at(top + 2.0)) y2=(at(top + ROW - 2.0)) stroke="var(--ink)" stroke-width="2.5" {}
                        }
                        @if row + 1 < self.steps.len() {
                            line .grid x1=(at(right)) x2=(at(right)) y1=(at(top + ROW - 4.0)) y2=(at(top + ROW + 4.0)) {}
                        }
                        text x=(at(right + 8.0)) y=(at(top + 20.0)) { (self.kind.format(self.numbers, step.length)) }
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
    fn each_bar_begins_where_the_one_before_ends() {
        let step = |name: &str, length: f64| Step {
            name: name.to_owned(),
            length,
            mark: Some(length / 2.0),
            series: Some(0),
        };
        let steps = vec![step("a", 3.0), step("b", 1.0), step("c", f64::NAN)];
        let html =
            Waterfall { title: "t".to_owned(), kind: Kind::Number, numbers: NumberFormat::default(), steps }
                .render()
                .into_string();
        // 820 less 23.8 for names and 90 for values is 706.2 for 4.
        assert!(html.contains("x=\"23.8\" y=\"4.0\" width=\"529.7\""), "{html}");
        assert!(html.contains("x=\"553.5\" y=\"34.0\" width=\"176.5\""), "{html}");
        assert!(!html.contains("NaN"));
    }
}
