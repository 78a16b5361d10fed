//! Line charts, with the name of each series at the end of its line.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::{at, colour, dash, ticks::Ticks};
use crate::format::NumberFormat;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 372.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 56.0;
/// The least distance between two names at the right edge.
const NAME_HEIGHT: f64 = 17.0;
/// The most markers on one line.
const MARKERS: usize = 12;

/// An axis: its name with the unit.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// Its name and unit, such as `items inspected, % of all`.
    pub title: String,
    /// Whether the values are shares, which are labelled in percent.
    pub share: bool,
    /// Values that the axis always includes.
    pub covers: Vec<f64>,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points (x, y), x rising; points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A chart of up to four lines.
#[derive(Debug, Clone, Default)]
pub struct LineChart {
    /// What is shown: the caption, also for screen readers.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines; only the first [`super::SERIES`] are drawn.
    pub series: Vec<Series>,
    /// A dotted line for comparison.
    pub reference: Option<Series>,
    /// A vertical line at this x, and its name.
    pub mark: Option<(f64, String)>,
    /// Labels of x = 0, 1, …, such as months; empty: x is labelled with numbers.
    pub labels: Vec<String>,
    /// The number format of the report's language.
    pub numbers: NumberFormat,
}

impl LineChart {
    /// The chart's markup.
    pub fn render(&self) -> Markup {
        let series: Vec<Series> = self.series.iter().take(super::SERIES).map(finite).collect();
        let reference = self.reference.as_ref().map(finite);
        let every = || series.iter().chain(&reference).flat_map(|one| one.points.iter().copied());
        let marked = self.mark.iter().map(|mark| mark.0);
        let x_ticks = covering(every().map(|point| point.0).chain(marked), &self.x.covers);
        let y_ticks = covering(every().map(|point| point.1), &self.y.covers);
        let category = !self.labels.is_empty();
        let (x_low, x_high) = match category {
            true => (0.0, (self.labels.len() as f64 - 1.0).max(1.0)),
            false => (x_ticks.low(), x_ticks.high()),
        };
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let x = |value: f64| LEFT + (value - x_low) / (x_high - x_low) * (right - LEFT);
        let y =
            |value: f64| bottom - (value - y_ticks.low()) / (y_ticks.high() - y_ticks.low()) * (bottom - TOP);
        let marks: Vec<(f64, String)> = match category {
            true => {
                let stride = self.labels.len().div_ceil(8);
                let named = self.labels.iter().enumerate().step_by(stride.max(1));
                named.map(|(index, label)| (index as f64, label.clone())).collect()
            }
            false => {
                let label = |tick: &f64| (*tick, x_ticks.label(self.numbers, *tick, self.x.share));
                x_ticks.values.iter().map(label).collect()
            }
        };
        let names = place_names(
            series.iter().chain(&reference).map(|one| one.points.last().map_or(bottom, |point| y(point.1))),
        );
        let path = |points: &[(f64, f64)]| {
            let mut path = String::new();
            for (index, (px, py)) in points.iter().enumerate() {
                let verb = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{verb}{} {}", at(x(*px)), at(y(*py)));
            }
            path
        };
        html! {
            figure {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.title) {
                    title { (self.title) }
                    @for tick in &y_ticks.values {
                        line .grid x1=(at(LEFT)) x2=(at(right)) y1=(at(y(*tick))) y2=(at(y(*tick))) {}
                        text .soft x=(at(LEFT - 8.0)) y=(at(y(*tick) + 4.5)) text-anchor="end" {
                            (y_ticks.label(self.numbers, *tick, self.y.share))
                        }
                    }
                    text .soft x="0" y="16" { (self.y.title) }
                    line .axis x1=(at(LEFT)) x2=(at(right)) y1=(at(bottom)) y2=(at(bottom)) {}
                    @for (value, label) in &marks {
                        line .axis x1=(at(x(*value))) x2=(at(x(*value))) y1=(at(bottom)) y2=(at(bottom + 5.0)) {}
                        text .soft x=(at(x(*value))) y=(at(bottom + 21.0)) text-anchor="middle" { (label) }
                    }
                    text .soft x=(at((LEFT + right) / 2.0)) y=(at(HEIGHT - 8.0)) text-anchor="middle" {
                        (self.x.title)
                    }
                    @if let Some((at_x, name)) = &self.mark {
                        line .mark x1=(at(x(*at_x))) x2=(at(x(*at_x))) y1=(at(TOP)) y2=(at(bottom)) {}
                        text .soft x=(at(x(*at_x))) y=(at(TOP - 6.0)) { (name) }
                    }
                    @if let Some(reference) = &reference {
                        path .reference d=(path(&reference.points)) {}
                    }
                    @for (index, one) in series.iter().enumerate() {
                        path .line d=(path(&one.points)) stroke=(colour(index)) stroke-dasharray=(dash(index)) {}
                        @for (px, py) in one.points.iter().step_by(one.points.len().div_ceil(MARKERS).max(1)) {
                            (marker(index, x(*px), y(*py)))
                        }
                    }
                    @for (index, one) in series.iter().chain(&reference).enumerate() {
                        @if let Some(name_y) = names.get(index) {
                            @if index < series.len() { (marker(index, right + 14.0, *name_y)) }
                            text x=(at(right + 24.0)) y=(at(name_y + 4.5)) { (one.name) }
                        }
                    }
                }
            }
        }
    }
}

fn finite(series: &Series) -> Series {
    let points = series.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
    Series { name: series.name.clone(), points: points.collect() }
}

fn covering(values: impl Iterator<Item = f64>, extra: &[f64]) -> Ticks {
    let (low, high) = values
        .chain(extra.iter().copied())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    Ticks::covering(low, high)
}

/// Moves names down until none overlap, then up again from the bottom edge; their order stays.
fn place_names(wanted: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut placed: Vec<(usize, f64)> = wanted.enumerate().collect();
    placed.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    for index in 1..placed.len() {
        placed[index].1 = placed[index].1.max(placed[index - 1].1 + NAME_HEIGHT);
    }
    let mut limit = HEIGHT - BOTTOM;
    for (_, y) in placed.iter_mut().rev() {
        *y = y.min(limit);
        limit = *y - NAME_HEIGHT;
    }
    placed.sort_by_key(|(index, _)| *index);
    placed.into_iter().map(|(_, y)| y).collect()
}

/// The marker of a series: circle, square, triangle or diamond.
fn marker(series: usize, x: f64, y: f64) -> Markup {
    let d = match series % super::SERIES {
        0 => return html! { circle cx=(at(x)) cy=(at(y)) r="4" fill=(colour(0)) {} },
        1 => format!("M{} {}h8v8h-8z", at(x - 4.0), at(y - 4.0)),
        2 => format!("M{} {}l5 9h-10z", at(x), at(y - 5.0)),
        _ => format!("M{} {}l5 5l-5 5l-5 -5z", at(x), at(y - 5.0)),
    };
    html! { path d=(d) fill=(colour(series)) {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_overlap() {
        let names = place_names([100.0, 101.0, 102.0, 300.0, 304.0].into_iter());
        let mut sorted = names.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT - 1e-9), "{names:?}");
        assert!(names.iter().all(|y| *y <= HEIGHT - BOTTOM));
    }

    #[test]
    fn gaps_and_empty_series_do_not_break_a_chart() {
        let series = vec![
            Series { name: "<a>".to_owned(), points: vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)] },
            Series { name: "b".to_owned(), points: vec![] },
        ];
        let html = LineChart { series, ..LineChart::default() }.render().into_string();
        assert!(!html.contains("NaN") && !html.contains("inf") && html.contains("&lt;a&gt;"));
    }
}
