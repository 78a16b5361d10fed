//! A decision tree as an indented list of nodes: each with its condition, a share as a bar, and its size.

use maud::{Markup, html};

use super::{at, shorten};
use crate::format::NumberFormat;

const WIDTH: f64 = 820.0;
const ROW: f64 = 28.0;
/// The indentation of a node from its parent.
const INDENT: f64 = 22.0;
/// Where the bars begin, and how long the longest one is.
const BARS: f64 = 440.0;
const LENGTH: f64 = 210.0;
/// The approximate width of a character.
const CHARACTER: f64 = 7.0;

/// A node.
#[derive(Debug, Clone)]
pub struct Branch {
    /// The number of its ancestors.
    pub depth: usize,
    /// The condition by which it differs from its siblings.
    pub name: String,
    /// The share of its members that the tree explains, 0..=1.
    pub share: f64,
    /// The number of its members.
    pub count: f64,
}

/// A tree.
#[derive(Debug, Clone)]
pub struct Tree {
    /// What is shown.
    pub title: String,
    /// The nodes in depth-first order.
    pub branches: Vec<Branch>,
    /// The number format of the report's language.
    pub numbers: NumberFormat,
}

impl Tree {
    /// The chart's markup. The dashed line is the share of the first node, with which the others are compared.
    pub fn render(&self) -> Markup {
        let height = ROW * self.branches.len() as f64 + 6.0;
        let most = self.branches.iter().map(|branch| branch.share).fold(0.0, f64::max);
        let scale = if most > 0.0 { LENGTH / most } else { 0.0 };
        let middle = |row: usize| ROW * row as f64 + ROW / 2.0;
        let left = |depth: usize| INDENT * depth as f64;
        let overall = self.branches.first().map_or(0.0, |branch| branch.share);
        html! {
            figure {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(self.title) {
                    title { (self.title) }
                    @for (row, branch) in self.branches.iter().enumerate() {
                        @if let Some(parent) = self.parent(row) {
                            path .axis fill="none" d=(format!(
                                "M{} {}V{}H{}",
                                at(left(branch.depth) - INDENT + 6.0), at(middle(parent) + 9.0),
                                at(middle(row)), at(left(branch.depth) - 3.0),
                            )) {}
                        }
                        text x=(at(left(branch.depth))) y=(at(middle(row) + 4.5)) {
                            title { (branch.name) }
                            (shorten(&branch.name, ((BARS - left(branch.depth) - 12.0) / CHARACTER) as usize))
                        }
                        rect x=(at(BARS)) y=(at(middle(row) - 9.0)) width=(at(branch.share * scale)) height="18"
                            fill=(if branch.share > overall { "var(--s1)" } else { "var(--s0)" }) {}
                        text x=(at(BARS + branch.share * scale + 8.0)) y=(at(middle(row) + 4.5)) {
                            (self.numbers.percent(branch.share)) " × " (self.numbers.count(branch.count))
                        }
                    }
                    line .reference x1=(at(BARS + overall * scale)) x2=(at(BARS + overall * scale)) y1="0" y2=(at(height)) {}
                }
            }
        }
    }

    /// The row of a node's parent.
    fn parent(&self, row: usize) -> Option<usize> {
        let depth = self.branches[row].depth.checked_sub(1)?;
        self.branches[..row].iter().rposition(|other| other.depth == depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_belongs_to_the_nearest_one_above_that_is_less_deep() {
        let branch = |depth, name: &str, share| Branch { depth, name: name.to_owned(), share, count: 1234.0 };
        let tree = Tree {
            title: "t".to_owned(),
            branches: vec![
                branch(0, "all", 0.1),
                branch(1, "<red>", 0.5),
                branch(2, "sea", 0.6),
                branch(1, "green", 0.01),
            ],
            numbers: NumberFormat::default(),
        };
        assert_eq!([0, 1, 2, 3].map(|row| tree.parent(row)), [None, Some(0), Some(1), Some(0)]);
        let html = tree.render().into_string();
        assert!(html.contains("&lt;red&gt;") && html.contains("50.0\u{a0}% × 1,234"), "{html}");
        assert_eq!(
            html.matches("var(--s1)").count(),
            2,
            "shares above the overall one have a colour of their own"
        );
    }
}
