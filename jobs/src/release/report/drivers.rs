//! What drives long releases, drawn as a tree, and the words for the attributes of cases.

use maud::{Markup, html};

use super::{Language, Writer};
use crate::{
    release::drivers::{Drivers, Node},
    report::{
        chart::tree::{Branch, Tree},
        table::{Cell, Kind},
    },
};

/// Values of a branch that are named.
const NAMED: usize = 4;

impl Writer<'_> {
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

    /// The nodes, each followed by those below it.
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

    fn branch(&self, node: &Node) -> String {
        if node.parent.is_none() {
            return self.say("all cases", "tous les dossiers").to_owned();
        }
        // Days are few and short.
        let named = if node.attribute == "weekday" { 7 } else { NAMED };
        let mut values: Vec<String> =
            node.values.iter().take(named).map(|value| self.short(&node.attribute, value)).collect();
        if let more @ 1.. = node.values.len().saturating_sub(named) {
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

    /// The gain of each attribute.
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

    /// The word for a column by which cases are told apart.
    pub(super) fn attribute(&self, column: &str) -> String {
        let word = match column {
            "office" => self.say("office", "bureau"),
            "agency" => self.say("agency that acts first", "premier organisme"),
            "actor" => self.say("who acts first", "premier intervenant"),
            "mode" => self.say("mode of transport", "mode de transport"),
            "channel" => self.say("channel", "circuit"),
            "aeo" => self.say("authorised economic operator", "opérateur économique agréé"),
            "direction" => self.say("direction", "sens"),
            "goods" => self.say("goods", "marchandises"),
            "container" => self.say("container", "conteneur"),
            "permit" => self.say("other agencies' intervention", "intervention d'autres organismes"),
            "inspected" => self.say("inspection", "visite"),
            "pre_arrival" => self.say("lodged before arrival", "déposé avant l'arrivée"),
            "weekday" => self.say("weekday of beginning", "jour du début"),
            "time_of_day" => self.say("hour of beginning", "heure du début"),
            other => return other.to_owned(),
        };
        word.to_owned()
    }

    /// The word for a value of such a column.
    pub(super) fn value(&self, column: &str, value: &str) -> String {
        let day = value.parse::<usize>().ok().filter(|_| column == "weekday");
        match (value, day.and_then(|day| self.weekdays().get(day.wrapping_sub(1)).copied())) {
            (_, Some(day)) => day.to_owned(),
            ("", _) => self.say("not told", "non renseigné").to_owned(),
            ("yes" | "true", _) => self.say("yes", "oui").to_owned(),
            ("no" | "false", _) => self.say("no", "non").to_owned(),
            _ => value.to_owned(),
        }
    }

    /// The days of the week, from Monday.
    pub(super) fn weekdays(&self) -> [&'static str; 7] {
        match self.language {
            Language::English => {
                ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
            }
            Language::French => ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
        }
    }
}
