//! The section "What drives long cases": the tree of drivers, and the gain of each attribute.

use maud::{Markup, html};
use tidewaiter_report::{
    chart::tree::{Branch, Tree},
    table::{Cell, Kind},
};

use super::writer::Writer;
use crate::{
    drivers::{Drivers, Node},
    language::Language,
};

/// Values of a branch that are shown, at most.
const SHOWN_VALUES: usize = 4;

impl Writer<'_> {
    /// The section.
    pub(super) fn drivers(&self) -> Markup {
        let Some(drivers) = &self.study.drivers else {
            return html! { p { (self.say(
                "No case of the headline is longer than the others, so that nothing tells the long ones apart.",
                "Aucun dossier n'est plus long que les autres\u{a0}: rien ne distingue les longs.",
            )) } };
        };
        let threshold = self.hours(drivers.threshold);
        let stage = self.study.headline().map(|result| self.name(result)).unwrap_or_default();
        let note = match self.language {
            Language::English => format!(
                "“{stage}”: cases of {threshold} or more are long (the 90th percentile). The tree parts the cases where being long \
                 goes with an attribute beyond chance; it shows what long cases have in common, not why they are long."
            ),
            Language::French => format!(
                "«\u{a0}{stage}\u{a0}»\u{a0}: les dossiers de {threshold} ou plus sont longs (90e centile). L'arbre sépare les dossiers là où la \
                 longueur dépend d'un attribut au-delà du hasard\u{a0}; il montre ce que les longs ont en commun, non pourquoi ils le sont."
            ),
        };
        let tree = Tree {
            title: self
                .say(
                    "Share of long cases × cases; the dashed line is the share of all",
                    "Part de dossiers longs × dossiers\u{a0}; la ligne en tirets est la part de tous",
                )
                .to_owned(),
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
            return self.say("all cases", "tous les dossiers").to_owned();
        }
        // All days of the week have room.
        let shown = if node.attribute == "weekday" { 7 } else { SHOWN_VALUES };
        let mut values: Vec<String> =
            node.values.iter().take(shown).map(|value| self.short(&node.attribute, value)).collect();
        if let more @ 1.. = node.values.len().saturating_sub(shown) {
            values.push(match self.language {
                Language::English => format!("{more} more"),
                Language::French => format!("{more} autres"),
            });
        }
        format!("{}{} {}", self.attribute(&node.attribute), self.say(":", " :"), values.join(", "))
    }

    /// The word for a value where there is little room: three letters of a day.
    fn short(&self, column: &str, value: &str) -> String {
        let word = self.value(column, value);
        if column == "weekday" { word.chars().take(3).collect() } else { word }
    }

    /// The table of the gain of each attribute.
    fn gains(&self, drivers: &Drivers) -> Markup {
        let columns = [
            (self.say("Attribute", "Attribut"), Kind::Text),
            (self.say("Gain alone", "Gain seul"), Kind::Percent),
            (self.say("Gain in the tree", "Gain dans l'arbre"), Kind::Percent),
            (self.say("p (Bonferroni)", "p (Bonferroni)"), Kind::Text),
        ];
        let caption = self.say(
            "The gain of each attribute: what parting the cases by it takes from the impurity of being long (Gini), of 100 % for all",
            "Le gain de chaque attribut\u{a0}: ce que la séparation par lui ôte à l'impureté (Gini), sur 100 % pour tous",
        );
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
