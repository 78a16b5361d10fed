//! What drives long releases: a tree over the attributes of cases, and the gain of each.
//!
//! A case is long when it takes at least the 90th percentile of those that ended the headline stage. The attribute that splits a node
//! is the one whose association with being long is the least likely by chance (Hothorn, Hornik and Zeileis,
//! "Unbiased recursive partitioning", Journal of Computational and Graphical Statistics 15, 2006: the chi-square of
//! the permutation test, held to the number of attributes by Bonferroni's rule), so that an attribute of many values
//! is not preferred for their number; where none is associated, the node is a leaf. The values are then parted in the
//! best of all ways, which is found in the order of their shares (Breiman, Friedman, Olshen and Stone,
//! "Classification and Regression Trees", 1984, section 4.2.2). The gain is what the split takes from Gini's impurity,
//! as a share of that of all cases.
//!
//! Promises: every count is an integer of one aggregate over the partitions for each level of the tree, so that the
//! tree is exact and the same on any engine. Cases that began too late to be known as long or not are left out; open
//! ones that are long already count. Start at [`find`].

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
};

use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};

use super::{
    answers::{column, count, number, query, rows, text},
    calendar::HOUR,
    distribution::ln_gamma,
    queries::quoted,
};
use crate::Result;

/// Splits from the root to a leaf, at most.
const MOST_DEPTH: usize = 4;

/// Values of a node with fewer cases are taken together: with a tenth of them long, the chi-square of fewer misleads.
const FEWEST_CASES: u64 = 50;

/// A leaf has at least this share of all cases.
const LEAST_SHARE: f64 = 0.01;

/// Attributes with more values than this name cases rather than kinds of them.
const MOST_VALUES: usize = 1000;

/// The chance of a split where nothing is associated.
const SIGNIFICANCE: f64 = 0.05;

/// What drives long releases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drivers {
    /// Cases that take at least so many hours are long.
    pub threshold: f64,
    /// The attributes, by their gain alone.
    pub attributes: Vec<Driver>,
    /// The tree's nodes: the first is of all cases, and every other comes after its parent.
    pub nodes: Vec<Node>,
}

/// What an attribute tells of long releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// A column of the cases.
    pub attribute: String,
    /// Share of the impurity of all cases that its best split of all cases takes away, 0..=1.
    pub alone: f64,
    /// Share that its splits in the tree take away.
    pub in_tree: f64,
    /// Chance of an association as strong by accident, held to the number of attributes.
    pub p_value: f64,
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The node above; none for that of all cases.
    pub parent: Option<usize>,
    /// The attribute that the node above is split by; empty for that of all cases.
    pub attribute: String,
    /// The values that lead here; an empty one: not told.
    pub values: Vec<String>,
    /// Cases.
    pub cases: u64,
    /// Those of them that are long.
    pub long: u64,
    /// Share of the impurity of all cases that the split of this node takes away; none for a leaf.
    pub gain: Option<f64>,
}

impl Node {
    /// Share of the cases that are long.
    pub fn share(&self) -> f64 {
        self.long as f64 / self.cases.max(1) as f64
    }
}

/// The cases of a node with one value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    values: Vec<String>,
    cases: u64,
    long: u64,
}

impl Cell {
    fn of<'a>(cells: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut whole = Self { values: Vec::new(), cases: 0, long: 0 };
        for cell in cells {
            whole.values.extend(cell.values.iter().cloned());
            whole.cases += cell.cases;
            whole.long += cell.long;
        }
        whole
    }

    /// Gini's impurity times the cases.
    fn impurity(&self) -> f64 {
        let long = self.long as f64;
        2.0 * long * (self.cases as f64 - long) / (self.cases as f64).max(1.0)
    }

    /// By the share of long cases, then by the values.
    fn by_share(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (
            u128::from(self.long) * u128::from(other.cases),
            u128::from(other.long) * u128::from(self.cases),
        );
        ours.cmp(&theirs).then_with(|| self.values.cmp(&other.values))
    }
}

/// The cells of each attribute, by its place.
type Counts = BTreeMap<usize, Vec<Cell>>;

/// Looks for what drives long cases: grows the tree level by level. The session's table `headline` has a row of each
/// case with `hours`, `begun`, `status`, `period` and the attributes. `None` where no case is long, or all are.
///
/// # Errors
/// Those of the queries.
pub async fn find(
    session: &SessionContext,
    attributes: &[&str],
    threshold: f64,
    cut_off: i64,
) -> Result<Option<Drivers>> {
    let mut attributes = attributes.to_vec();
    let mut nodes: Vec<Node> = Vec::new();
    let mut found = Vec::new();
    let mut level = vec![0];
    let least = |cases: u64| FEWEST_CASES.max((cases as f64 * LEAST_SHARE).ceil() as u64);
    for depth in 0..MOST_DEPTH {
        let mut counts = counts(session, &nodes, &level, &attributes, (threshold, cut_off)).await?;
        if depth == 0 {
            let Some(all) = counts.get(&0).and_then(|counts| counts.values().next()).map(Cell::of) else {
                return Ok(None);
            };
            if all.long == 0 || all.long == all.cases {
                return Ok(None);
            }
            let kept = |place: usize| (2..=MOST_VALUES).contains(&counts[&0].get(&place).map_or(0, Vec::len));
            let places: Vec<usize> = (0..attributes.len()).filter(|place| kept(*place)).collect();
            attributes = places.iter().map(|place| attributes[*place]).collect();
            let cells = |place: &usize| counts[&0].get(place).cloned().unwrap_or_default();
            let root: Counts = places.iter().map(cells).enumerate().collect();
            found = alone(&attributes, &root, all.impurity(), least(all.cases));
            let node = Node {
                parent: None,
                attribute: String::new(),
                values: Vec::new(),
                cases: all.cases,
                long: all.long,
                gain: None,
            };
            nodes.push(node);
            counts = BTreeMap::from([(0, root)]);
        }
        let (whole, least) = (Cell::impurity(&cell_of(&nodes[0])), least(nodes[0].cases));
        let mut below = Vec::new();
        for (place, counts) in counts {
            let Some(split) = best_split(&counts, least) else { continue };
            nodes[place].gain = Some(split.gain / whole);
            found[split.attribute].in_tree += split.gain / whole;
            // The longer ones first.
            for side in [split.above, split.below] {
                below.push(nodes.len());
                nodes.push(Node {
                    parent: Some(place),
                    attribute: attributes[split.attribute].to_owned(),
                    values: side.values,
                    cases: side.cases,
                    long: side.long,
                    gain: None,
                });
            }
        }
        let open = |place: &usize| nodes[*place].cases >= 2 * least && nodes[*place].long > 0;
        level = below.into_iter().filter(open).collect();
        if level.is_empty() || attributes.is_empty() {
            break;
        }
    }
    found.sort_by(|a, b| b.alone.total_cmp(&a.alone).then_with(|| a.attribute.cmp(&b.attribute)));
    Ok(Some(Drivers { threshold, attributes: found, nodes }))
}

fn cell_of(node: &Node) -> Cell {
    Cell { values: Vec::new(), cases: node.cases, long: node.long }
}

/// The counts of each node of a level.
async fn counts(
    session: &SessionContext,
    nodes: &[Node],
    level: &[usize],
    attributes: &[&str],
    (threshold, cut_off): (f64, i64),
) -> Result<BTreeMap<usize, Counts>> {
    if attributes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let known = cut_off.saturating_sub((threshold * HOUR).ceil() as i64);
    let sql = level_sql(nodes, level, attributes, threshold, known);
    let answer = query(session, &sql).await?;
    let mut counts = BTreeMap::<usize, BTreeMap<usize, BTreeMap<String, (u64, u64)>>>::new();
    for row in rows(&answer) {
        let node = number(&answer, "node", row)? as usize;
        // A row is of the one attribute that is not null.
        for (place, attribute) in attributes.iter().enumerate() {
            if column(&answer, attribute)?.is_valid(row) {
                let cell = (count(&answer, "n", row)?, count(&answer, "long", row)?);
                let value = text(&answer, attribute, row)?;
                counts.entry(node).or_default().entry(place).or_default().insert(value, cell);
            }
        }
    }
    let cells = |values: BTreeMap<String, (u64, u64)>| {
        let cell = |(value, (cases, long))| Cell { values: vec![value], cases, long };
        values.into_iter().map(cell).collect()
    };
    let of_node = |counts: BTreeMap<usize, BTreeMap<String, (u64, u64)>>| {
        counts.into_iter().map(|(place, values)| (place, cells(values))).collect()
    };
    Ok(counts.into_iter().map(|(node, counts)| (node, of_node(counts))).collect())
}

/// Cases and long cases by node and attribute: an aggregate over several groupings.
fn level_sql(nodes: &[Node], level: &[usize], attributes: &[&str], threshold: f64, known: i64) -> String {
    let node = match nodes {
        [] => "0".to_owned(),
        _ => {
            let arms = level.iter().map(|place| format!("WHEN {} THEN {place}", condition(nodes, *place)));
            format!("CASE {} END", arms.collect::<Vec<_>>().join(" "))
        }
    };
    let told: Vec<String> =
        attributes.iter().map(|column| format!("coalesce({column}, '') AS {column}")).collect();
    let sets: Vec<String> = attributes.iter().map(|column| format!("(node, {column})")).collect();
    format!(
        "SELECT node, {}, count(*) AS n, sum(long) AS long FROM (SELECT {node} AS node, {}, \
         CASE WHEN hours >= CAST({threshold:?} AS DOUBLE) THEN 1 ELSE 0 END AS long FROM headline \
         WHERE period = 0 AND status <= 1 AND begun <= {known}) WHERE node IS NOT NULL GROUP BY GROUPING SETS ({})",
        attributes.join(", "),
        told.join(", "),
        sets.join(", ")
    )
}

/// What the cases of a node have in common, in SQL.
fn condition(nodes: &[Node], place: usize) -> String {
    let mut parts = Vec::new();
    let mut at = Some(place);
    while let Some(node) = at.and_then(|place| nodes.get(place)) {
        if node.parent.is_some() {
            let values: Vec<String> = node.values.iter().map(|value| quoted(value)).collect();
            parts.push(format!("coalesce({}, '') IN ({})", node.attribute, values.join(", ")));
        }
        at = node.parent;
    }
    parts.join(" AND ")
}

/// A way of parting the cases of a node.
#[derive(Debug, PartialEq)]
struct Split {
    attribute: usize,
    gain: f64,
    ln_p_value: f64,
    above: Cell,
    below: Cell,
}

/// The split of a node, where an attribute is associated with being long.
fn best_split(counts: &Counts, least: u64) -> Option<Split> {
    let tests: Vec<(usize, Vec<Cell>)> =
        counts.iter().map(|(place, cells)| (*place, pooled(cells))).collect();
    let number = tests.iter().filter(|(_, cells)| cells.len() > 1).count() as f64;
    let splits = tests.iter().filter_map(|(attribute, cells)| {
        let ln_p_value = (ln_association(cells) + number.ln()).min(0.0);
        let (gain, above, below) = parted(cells, least)?;
        Some(Split { attribute: *attribute, gain, ln_p_value, above, below })
    });
    let best = splits.min_by(|a, b| {
        let by_chance = a.ln_p_value.total_cmp(&b.ln_p_value);
        by_chance.then(b.gain.total_cmp(&a.gain)).then(a.attribute.cmp(&b.attribute))
    })?;
    (best.ln_p_value <= SIGNIFICANCE.ln()).then_some(best)
}

/// What each attribute tells alone.
fn alone(attributes: &[&str], counts: &Counts, whole: f64, least: u64) -> Vec<Driver> {
    let tests: Vec<Vec<Cell>> = counts.values().map(|cells| pooled(cells)).collect();
    let number = tests.iter().filter(|cells| cells.len() > 1).count() as f64;
    let driver = |(attribute, cells): (&&str, &Vec<Cell>)| Driver {
        attribute: (*attribute).to_owned(),
        alone: parted(cells, least).map_or(0.0, |(gain, ..)| gain / whole),
        in_tree: 0.0,
        p_value: (ln_association(cells) + number.ln()).min(0.0).exp(),
    };
    attributes.iter().zip(&tests).map(driver).collect()
}

/// The cells with the rare values in one; in the greatest cell where they are few even together.
fn pooled(cells: &[Cell]) -> Vec<Cell> {
    let (mut kept, rare): (Vec<Cell>, Vec<Cell>) =
        cells.iter().cloned().partition(|cell| cell.cases >= FEWEST_CASES);
    let rare = Cell::of(&rare);
    let most = kept.iter_mut().min_by_key(|cell| (Reverse(cell.cases), cell.values.clone()));
    match most {
        Some(most) if rare.cases < FEWEST_CASES => *most = Cell::of([&*most, &rare]),
        _ => kept.push(rare),
    }
    kept
}

/// The logarithm of the chance of an association of being long with the cells as strong as theirs.
fn ln_association(cells: &[Cell]) -> f64 {
    let whole = Cell::of(cells);
    let (all, long) = (whole.cases as f64, whole.long as f64);
    if cells.len() < 2 || long == 0.0 || long == all {
        return 0.0;
    }
    let mut statistic = 0.0;
    for cell in cells {
        let expected = cell.cases as f64 * long / all;
        statistic += (cell.long as f64 - expected).powi(2) / (expected * (1.0 - long / all));
    }
    // Pearson's statistic by n / (n - 1) is that of the fixed margins of a permutation.
    ln_chi_square_tail(statistic * (all - 1.0) / all, (cells.len() - 1) as f64)
}

/// The best parting of cells by what it takes from the impurity, with the side of the greater share first; `None`
/// where no side can have its least number of cases.
fn parted(cells: &[Cell], least: u64) -> Option<(f64, Cell, Cell)> {
    let mut sorted = cells.to_vec();
    sorted.sort_by(Cell::by_share);
    let whole = Cell::of(&sorted);
    let (mut best, mut below) = (None::<(f64, usize)>, Cell::of([]));
    for (cut, cell) in (1..).zip(&sorted) {
        below.cases += cell.cases;
        below.long += cell.long;
        let above =
            Cell { values: Vec::new(), cases: whole.cases - below.cases, long: whole.long - below.long };
        let gain = whole.impurity() - below.impurity() - above.impurity();
        if below.cases >= least && above.cases >= least && gain > best.map_or(0.0, |best| best.0) {
            best = Some((gain, cut));
        }
    }
    let (gain, cut) = best?;
    let (mut below, mut above) = (Cell::of(&sorted[..cut]), Cell::of(&sorted[cut..]));
    above.values.sort();
    below.values.sort();
    Some((gain, above, below))
}

/// The logarithm of the chance that chi-square exceeds a value: the series of the incomplete gamma function below its
/// middle, the continued fraction above (Abramowitz and Stegun, 6.5.29 and 6.5.31).
fn ln_chi_square_tail(value: f64, freedom: f64) -> f64 {
    let (a, x) = (freedom / 2.0, value / 2.0);
    if x <= 0.0 {
        return 0.0;
    }
    let ln_factor = a * x.ln() - x - ln_gamma(a);
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-16 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return (-(ln_factor.exp() * sum)).ln_1p();
    }
    // Lentz's evaluation.
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (f64::MAX, 1.0 / b);
    let mut fraction = d;
    for i in 1..10_000 {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    ln_factor + fraction.ln()
}

#[cfg(test)]
mod tests;
