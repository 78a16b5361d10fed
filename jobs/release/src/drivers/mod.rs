//! What drives long releases: a tree over the attributes of cases, and the gain of each attribute.
//!
//! A case is long when it takes at least the 90th percentile of those that ended the headline stage. A node
//! is split by the attribute whose association with being long is the least likely by chance (Hothorn, Hornik
//! and Zeileis, "Unbiased recursive partitioning", Journal of Computational and Graphical Statistics 15,
//! 2006: the chi-square of the permutation test, with Bonferroni's correction for the number of attributes),
//! so that an attribute is not preferred for having many values; where none is associated, the node is a
//! leaf. The values are then split into the best two groups, which are found in the order of their shares of
//! long cases (Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees", 1984, section
//! 4.2.2). The gain is the decrease of Gini's impurity by the split, as a share of that of all cases.
//!
//! Promises: every count is a whole number of one aggregate over the partitions for each level of the tree,
//! so that the tree is exact and the same on any engine. Cases that began too late to be known as long or not
//! are left out; open cases that are long already count. Start at [`find`].

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
};

use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{
    Result,
    answers::{column, count, number, rows},
};

use crate::{
    calendar::HOUR,
    query::{query, text_or_empty},
    scope::quoted,
    statistics::gamma::ln_gamma,
};

/// Splits from the root to a leaf, at most.
const MAX_DEPTH: usize = 4;

/// Values of a node with fewer cases are pooled: with a tenth of them long, the chi-square of fewer cases is
/// misleading.
const FEWEST_CASES: u64 = 50;

/// The least share of all cases in a leaf.
const LEAST_SHARE: f64 = 0.01;

/// Values of an attribute, at most: one with more of them identifies cases rather than groups of them.
const MAX_VALUES: usize = 1000;

/// The p-value up to which a node is split.
const SIGNIFICANCE: f64 = 0.05;

/// What drives long releases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drivers {
    /// Cases that take at least so many hours are long.
    pub threshold: f64,
    /// The attributes, those with the greatest gain alone first.
    pub attributes: Vec<Driver>,
    /// The nodes of the tree: the first is that of all cases, and every other comes after its parent.
    pub nodes: Vec<Node>,
}

/// The association of an attribute with long cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// A column of the cases.
    pub attribute: String,
    /// Decrease of the impurity by its best split of all cases, as a share of the impurity of all cases, 0..=1.
    pub alone: f64,
    /// Decrease by its splits in the tree, as the same share.
    pub in_tree: f64,
    /// The p-value of the association, adjusted to the number of attributes.
    pub p_value: f64,
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The place of the node above; none for the node of all cases.
    pub parent: Option<usize>,
    /// The attribute by which the node above is split; empty for the node of all cases.
    pub attribute: String,
    /// The values of the attribute in this node; an empty one stands for no value.
    pub values: Vec<String>,
    /// Cases.
    pub cases: u64,
    /// Long cases among them.
    pub long: u64,
    /// Decrease of the impurity by the split of this node, as a share of that of all cases; none for a leaf.
    pub gain: Option<f64>,
}

impl Node {
    /// Share of the cases that are long.
    pub fn share(&self) -> f64 {
        self.long as f64 / self.cases.max(1) as f64
    }
}

/// The cases of a node with some values of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    values: Vec<String>,
    cases: u64,
    long: u64,
}

impl Cell {
    /// The cell of all values of some cells.
    fn of<'a>(cells: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut whole = Self { values: Vec::new(), cases: 0, long: 0 };
        for cell in cells {
            whole.values.extend(cell.values.iter().cloned());
            whole.cases += cell.cases;
            whole.long += cell.long;
        }
        whole
    }

    /// Gini's impurity times the number of cases.
    fn impurity(&self) -> f64 {
        let long = self.long as f64;
        2.0 * long * (self.cases as f64 - long) / (self.cases as f64).max(1.0)
    }

    /// Orders by the share of long cases, then by the values.
    fn by_share(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (
            u128::from(self.long) * u128::from(other.cases),
            u128::from(other.long) * u128::from(self.cases),
        );
        ours.cmp(&theirs).then_with(|| self.values.cmp(&other.values))
    }
}

/// The cells of each attribute, by the place of the attribute.
type Cells = BTreeMap<usize, Vec<Cell>>;

/// Grows the tree, level by level. The session's table `headline` has a row of each case with `hours`,
/// `begun`, `status`, `period` and the attributes; `threshold` is in hours, `cut_off` in microseconds since
/// 1970 UTC. `None` where no case is long, or all are.
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
    for depth in 0..MAX_DEPTH {
        let mut counts = counts(session, &nodes, &level, &attributes, (threshold, cut_off)).await?;
        if depth == 0 {
            let Some(all) = counts.get(&0).and_then(|counts| counts.values().next()).map(Cell::of) else {
                return Ok(None);
            };
            if all.long == 0 || all.long == all.cases {
                return Ok(None);
            }
            let kept = |place: usize| (2..=MAX_VALUES).contains(&counts[&0].get(&place).map_or(0, Vec::len));
            let places: Vec<usize> = (0..attributes.len()).filter(|place| kept(*place)).collect();
            attributes = places.iter().map(|place| attributes[*place]).collect();
            let cells = |place: &usize| counts[&0].get(place).cloned().unwrap_or_default();
            let root: Cells = places.iter().map(cells).enumerate().collect();
            found = gains_alone(&attributes, &root, all.impurity(), least(all.cases));
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
            // The group with more long cases first.
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
) -> Result<BTreeMap<usize, Cells>> {
    if attributes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let known = cut_off.saturating_sub((threshold * HOUR).ceil() as i64);
    let sql = level_sql(nodes, level, attributes, threshold, known);
    let answer = query(session, &sql).await?;
    let mut counts = BTreeMap::<usize, BTreeMap<usize, BTreeMap<String, (u64, u64)>>>::new();
    for row in rows(&answer) {
        let node = number(&answer, "node", row)? as usize;
        // A row belongs to the one attribute that is not null.
        for (place, attribute) in attributes.iter().enumerate() {
            if column(&answer, attribute)?.is_valid(row) {
                let cell = (count(&answer, "n", row)?, count(&answer, "long", row)?);
                let value = text_or_empty(&answer, attribute, row)?;
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

/// The query of cases and long cases by node and attribute: an aggregate with several grouping sets.
fn level_sql(nodes: &[Node], level: &[usize], attributes: &[&str], threshold: f64, known: i64) -> String {
    let node = match nodes {
        [] => "0".to_owned(),
        _ => {
            let arms = level.iter().map(|place| format!("WHEN {} THEN {place}", condition(nodes, *place)));
            format!("CASE {} END", arms.collect::<Vec<_>>().join(" "))
        }
    };
    let selected: Vec<String> =
        attributes.iter().map(|column| format!("coalesce({column}, '') AS {column}")).collect();
    let sets: Vec<String> = attributes.iter().map(|column| format!("(node, {column})")).collect();
    format!(
        "SELECT node, {}, count(*) AS n, sum(long) AS long FROM (SELECT {node} AS node, {}, \
         CASE WHEN hours >= CAST({threshold:?} AS DOUBLE) THEN 1 ELSE 0 END AS long FROM headline \
         WHERE period = 0 AND status <= 1 AND begun <= {known}) WHERE node IS NOT NULL GROUP BY GROUPING SETS ({})",
        attributes.join(", "),
        selected.join(", "),
        sets.join(", ")
    )
}

/// The SQL condition of the cases of a node.
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

/// A split of the cases of a node into two groups.
#[derive(Debug, PartialEq)]
struct Split {
    attribute: usize,
    gain: f64,
    ln_p_value: f64,
    above: Cell,
    below: Cell,
}

/// The split of a node; `None` where no attribute is associated with being long.
fn best_split(counts: &Cells, least: u64) -> Option<Split> {
    let tests: Vec<(usize, Vec<Cell>)> =
        counts.iter().map(|(place, cells)| (*place, pooled(cells))).collect();
    let number = tests.iter().filter(|(_, cells)| cells.len() > 1).count() as f64;
    let splits = tests.iter().filter_map(|(attribute, cells)| {
        let ln_p_value = (ln_p_value_of(cells) + number.ln()).min(0.0);
        let (gain, above, below) = best_groups(cells, least)?;
        Some(Split { attribute: *attribute, gain, ln_p_value, above, below })
    });
    let best = splits.min_by(|a, b| {
        let by_chance = a.ln_p_value.total_cmp(&b.ln_p_value);
        by_chance.then(b.gain.total_cmp(&a.gain)).then(a.attribute.cmp(&b.attribute))
    })?;
    (best.ln_p_value <= SIGNIFICANCE.ln()).then_some(best)
}

/// The gain of each attribute by one split of all cases.
fn gains_alone(attributes: &[&str], counts: &Cells, whole: f64, least: u64) -> Vec<Driver> {
    let tests: Vec<Vec<Cell>> = counts.values().map(|cells| pooled(cells)).collect();
    let number = tests.iter().filter(|cells| cells.len() > 1).count() as f64;
    let driver = |(attribute, cells): (&&str, &Vec<Cell>)| Driver {
        attribute: (*attribute).to_owned(),
        alone: best_groups(cells, least).map_or(0.0, |(gain, ..)| gain / whole),
        in_tree: 0.0,
        p_value: (ln_p_value_of(cells) + number.ln()).min(0.0).exp(),
    };
    attributes.iter().zip(&tests).map(driver).collect()
}

/// The cells with the rare values pooled in one; in the largest cell where even together they are few.
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

/// The logarithm of the p-value of the association of being long with the cells.
fn ln_p_value_of(cells: &[Cell]) -> f64 {
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
    // With the fixed margins of a permutation test, Pearson's statistic is multiplied by (n - 1) / n.
    ln_chi_square_tail(statistic * (all - 1.0) / all, (cells.len() - 1) as f64)
}

/// The split of cells into two groups with the greatest decrease of the impurity: the decrease, the group
/// with the greater share, and the other. `None` where no split leaves the least number of cases in both
/// groups.
fn best_groups(cells: &[Cell], least: u64) -> Option<(f64, Cell, Cell)> {
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

/// The logarithm of the probability that chi-square exceeds a value: the series of the incomplete gamma
/// function below its middle, the continued fraction above (Abramowitz and Stegun, 6.5.29 and 6.5.31).
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
