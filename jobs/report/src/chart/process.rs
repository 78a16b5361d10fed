//! A process map: activities from the top in the usual order of a case, with arrows for the directly-follows relation.
//!
//! An arrow to the next row runs straight down, one that skips rows curves to the right, and one that goes back curves
//! to the left, so that rework is seen at once and no layout has to be computed. The width of an arrow is its frequency;
//! arrows with a large share of the time have the second colour.

use maud::{Markup, html};

use super::{at, shorten};

const WIDTH: f64 = 820.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 560.0;
const ROW: f64 = 74.0;
const BOX: f64 = 34.0;
/// The most characters of a name in a box.
const NAME_CHARACTERS: usize = 42;
/// The least distance between two labels on the same side.
const LABEL_HEIGHT: f64 = 16.0;
/// From this share of the total time on, an arrow has the second colour.
const LARGE_SHARE: f64 = 0.05;

/// An arrow between two boxes.
#[derive(Debug, Clone)]
pub struct Arrow {
    /// The index of the box where it begins.
    pub from: usize,
    /// The index of the box where it ends.
    pub to: usize,
    /// How often its end follows its beginning.
    pub count: f64,
    /// Its share of the total time, 0..=1.
    pub share: f64,
    /// Its label.
    pub label: String,
}

/// A chart of boxes and arrows.
#[derive(Debug, Clone)]
pub struct ProcessMap {
    /// What is shown.
    pub title: String,
    /// The name and the figure of each box, from the top.
    pub boxes: Vec<(String, String)>,
    /// The arrows; those from or to a box that does not exist are left out.
    pub arrows: Vec<Arrow>,
}

impl ProcessMap {
    /// The chart's markup.
    pub fn render(&self) -> Markup {
        let height = ROW * self.boxes.len() as f64 - (ROW - BOX) + 12.0;
        let most = self.arrows.iter().map(|arrow| arrow.count).fold(1.0, f64::max);
        let known = |arrow: &&Arrow| arrow.from < self.boxes.len() && arrow.to < self.boxes.len();
        let arrows: Vec<&Arrow> = self.arrows.iter().filter(known).collect();
        let labels = place_labels(&arrows);
        html! {
            figure {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(self.title) {
                    title { (self.title) }
                    @for (arrow, label) in arrows.iter().zip(&labels) { (draw(arrow, most, *label)) }
                    @for (row, (name, number)) in self.boxes.iter().enumerate() {
                        @let top = top_of(row);
                        rect x=(at(LEFT)) y=(at(top)) width=(at(RIGHT - LEFT)) height=(at(BOX)) rx="5" fill="var(--panel)" stroke="var(--soft)" {}
                        text x=(at((LEFT + RIGHT) / 2.0)) y=(at(top + 15.0)) text-anchor="middle" {
                            title { (name) }
                            (shorten(name, NAME_CHARACTERS))
                        }
                        text .soft x=(at((LEFT + RIGHT) / 2.0)) y=(at(top + 29.0)) text-anchor="middle" { (number) }
                    }
                }
            }
        }
    }
}

fn top_of(row: usize) -> f64 {
    6.0 + ROW * row as f64
}

/// The height of an arrow's middle.
fn middle(arrow: &Arrow) -> f64 {
    (top_of(arrow.from) + top_of(arrow.to) + BOX) / 2.0
}

/// The height of each curved arrow's label: that of the arrow's middle, moved down until no labels on the same side
/// overlap. Labels keep the order of their arrows.
fn place_labels(arrows: &[&Arrow]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..arrows.len()).collect();
    order.sort_by(|a, b| middle(arrows[*a]).total_cmp(&middle(arrows[*b])).then(a.cmp(b)));
    let mut heights = vec![f64::NEG_INFINITY; arrows.len()];
    let mut lowest = [f64::NEG_INFINITY; 2];
    for place in order {
        let arrow = arrows[place];
        // A straight arrow has its label beside itself, where no curved arrow's label is.
        if arrow.to == arrow.from + 1 {
            continue;
        }
        let lowest = &mut lowest[usize::from(arrow.to > arrow.from)];
        *lowest = (middle(arrow) + 4.5).max(*lowest + LABEL_HEIGHT);
        heights[place] = *lowest;
    }
    heights
}

fn draw(arrow: &Arrow, most: f64, label: f64) -> Markup {
    let colour = if arrow.share >= LARGE_SHARE { "var(--s1)" } else { "var(--s0)" };
    let width = at(1.0 + 6.0 * (arrow.count / most).clamp(0.0, 1.0));
    let (start, end) = (top_of(arrow.from), top_of(arrow.to));
    if arrow.to == arrow.from + 1 {
        let middle = (LEFT + RIGHT) / 2.0;
        let (from, to) = (start + BOX, end - 6.0);
        return html! {
            line x1=(at(middle)) x2=(at(middle)) y1=(at(from)) y2=(at(to)) stroke=(colour) stroke-width=(width) {}
            path d=(format!("M{} {}l-6 -8h12z", at(middle), at(end))) fill=(colour) {}
            text x=(at(middle + 14.0)) y=(at((from + to) / 2.0 + 6.0)) { (arrow.label) }
        };
    }
    let forward = arrow.to > arrow.from;
    let side = if forward { RIGHT } else { LEFT };
    let away = if forward { 1.0 } else { -1.0 };
    let rows = arrow.to.abs_diff(arrow.from) as f64;
    let bow = side + away * (34.0 + 16.0 * rows).min(150.0);
    // A loop leaves and reaches its box at different heights.
    let (from, to) = match arrow.to == arrow.from {
        true => (start + 8.0, start + BOX - 8.0),
        false => (start + BOX * 0.7, end + BOX * 0.3),
    };
    let tip = side + away * 6.0;
    let d = format!(
        "M{} {}C{} {} {} {} {} {}",
        at(side),
        at(from),
        at(bow),
        at(from),
        at(bow),
        at(to),
        at(tip),
        at(to)
    );
    let head = format!("M{} {}l{} -6v12z", at(side), at(to), at(away * 9.0));
    // Beside the widest curve, so that no curve crosses a label.
    let x = side + away * 122.0;
    let anchor = if forward { "start" } else { "end" };
    // The outermost point of the curve, from where a thin line leads to the label.
    let (apex, half_way) = (side + 0.75 * (bow - side), middle(arrow));
    html! {
        line .thread x1=(at(apex)) y1=(at(half_way)) x2=(at(x - away * 4.0)) y2=(at(label - 4.5)) {}
        path d=(d) fill="none" stroke=(colour) stroke-width=(width) {}
        path d=(head) fill=(colour) {}
        text x=(at(x)) y=(at(label)) text-anchor=(anchor) { (arrow.label) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_go_down_forward_and_back_and_unknown_boxes_are_left_out() {
        let arrow = |from, to| Arrow { from, to, count: 2.0, share: 0.0, label: format!("{from}{to}") };
        let boxes = ["a", "b", "c"].map(|name| (name.to_owned(), "1".to_owned())).to_vec();
        let arrows = vec![arrow(0, 1), arrow(0, 2), arrow(2, 1), arrow(1, 1), arrow(0, 7)];
        let html = ProcessMap { title: "t".to_owned(), boxes, arrows }.render().into_string();
        assert_eq!(html.matches("<path").count(), 1 + 2 * 3);
        assert!(html.contains("text-anchor=\"end\">21<") && html.contains("text-anchor=\"start\">02<"));
        assert!(!html.contains(">07<"));
    }
}
