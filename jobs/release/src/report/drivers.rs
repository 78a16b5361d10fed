//! The section "What drives long cases": the tree of drivers, and the gain of each attribute.

use maud::{Markup, html};
use tidewaiter_report::{
    chart::tree::{Branch, Tree},
    table::{Cell, Kind},
};

use super::writer::Writer;
use crate::drivers::{Drivers, Node};

/// Values of a branch that are shown, at most.
const SHOWN_VALUES: usize = 4;

impl Writer<'_> {
    /// The section.
    pub(super) fn drivers(&self) -> Markup {
        let Some(drivers) = &self.study.drivers else {
            return html! { p { (self.say("No case is longer than the others, so that there are no long ones to explain.")) } };
        };
        let note = self.fill(
            "“{stage}”: cases of {threshold} or more are long (the 90th percentile of those that ended). The tree splits the \
             cases where being long goes with an attribute beyond chance; it shows what long cases have in common, not why \
             they are long.",
            &[("stage", &self.headline_name()), ("threshold", &self.hours(drivers.threshold))],
        );
        let tree = Tree {
            title: self.say("Share of long cases × cases; the dashed line is the share of all").to_owned(),
            branches: self.branches(&drivers.nodes),
            numbers: self.numbers(),
        };
        html! { p { (note) } (tree.render()) (self.gains(drivers)) }
    }

    /// The branches of the nodes, each followed by those below it.
    fn branches(&self, nodes: &[Node]) -> Vec<Branch> {
        let (mut branches, mut open) = (Vec::new(), vec![(0, 0)]);
        while let Some((place, depth)) = open.pop() {
            let Some(node) = nodes.get(place) else { continue };
            branches.push(Branch {
                depth,
                name: self.branch(node),
                share: node.share(),
                count: node.cases as f64,
            });
            let below = nodes.iter().enumerate().filter(|(_, other)| other.parent == Some(place));
            open.extend(below.rev().map(|(place, _)| (place, depth + 1)));
        }
        branches
    }

    /// The name of a branch: its attribute and values.
    fn branch(&self, node: &Node) -> String {
        if node.parent.is_none() {
            return self.say("all cases").to_owned();
        }
        // All days of the week have room.
        let shown = if node.attribute == "weekday" { 7 } else { SHOWN_VALUES };
        let mut values: Vec<String> =
            node.values.iter().take(shown).map(|value| self.short(&node.attribute, value)).collect();
        if let more @ 1.. = node.values.len().saturating_sub(shown) {
            values.push(self.fill("{n} more", &[("n", &more.to_string())]));
        }
        self.fill(
            "{attribute}: {values}",
            &[("attribute", &self.attribute(&node.attribute)), ("values", &values.join(", "))],
        )
    }

    /// The word for a value where there is little room: three letters of a day.
    fn short(&self, column: &str, value: &str) -> String {
        let word = self.value(column, value);
        if column == "weekday" { word.chars().take(3).collect() } else { word }
    }

    /// The table of the gain of each attribute.
    fn gains(&self, drivers: &Drivers) -> Markup {
        let columns = [
            ("Attribute", Kind::Text),
            ("Gain alone", Kind::Percent),
            ("Gain in the tree", Kind::Percent),
            ("p (Bonferroni)", Kind::Text),
        ];
        let caption = "The gain of each attribute: the reduction of Gini impurity (long or not) by a split on it, as a share of that of all cases";
        let mut table = self.table(caption, &columns);
        for driver in &drivers.attributes {
            table.row(vec![
                Cell::Text(self.attribute(&driver.attribute)),
                driver.alone.into(),
                driver.in_tree.into(),
                Cell::Text(self.p_value(driver.p_value)),
            ]);
        }
        table.render()
    }
}
