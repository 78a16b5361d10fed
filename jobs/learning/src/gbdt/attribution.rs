//! Additive attributions (TreeSHAP): what each feature adds to a row's raw score.
//!
//! Source: Lundberg, Erion and Lee, "Consistent Individualized Feature Attribution for Tree Ensembles"
//! (arXiv:1802.03888), algorithm 2, with the training rows of each node as its cover.
//! Start at [`Model::attributions`].

use tidewaiter_core::{Error, Result};

use super::model::{Model, Tree};

/// A feature on the path from the root, with the names of the paper: the fraction of permutations that follow the path
/// when the feature is not known (`zero`) and when it is known (`one`), and the weight of the subsets of its place.
#[derive(Clone, Copy)]
struct Step {
    feature: u32,
    zero: f64,
    one: f64,
    weight: f64,
}

/// The feature of the step that stands for the root.
const ROOT: u32 = u32::MAX;

impl Model {
    /// The mean raw score over the training rows, from which attributions are differences.
    pub fn expected_raw(&self) -> f64 {
        self.base
            + self
                .trees
                .iter()
                .map(|tree| {
                    let rows: u64 = tree.leaf_rows.iter().sum();
                    let sum: f64 =
                        tree.leaf_values.iter().zip(&tree.leaf_rows).map(|(v, rows)| v * *rows as f64).sum();
                    if rows == 0 { 0.0 } else { sum / rows as f64 }
                })
                .sum::<f64>()
    }

    /// What each feature of each row adds to the raw score, in log odds: row by row, in each the features in order.
    /// [`Model::expected_raw`] plus the sum of a row's numbers is the row's raw score.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the columns do not fit the model.
    pub fn attributions(&self, columns: &[&[f32]]) -> Result<Vec<f64>> {
        let rows = self.rows_of(columns)?;
        let features = self.features as usize;
        let mut all = vec![0.0; rows * features];
        if features == 0 {
            return Ok(all);
        }
        let mut path = Vec::new();
        for (row, attributions) in all.chunks_exact_mut(features).enumerate() {
            for tree in &self.trees {
                attribute(tree, &tree.leaf_values, columns, row, attributions, &mut path);
            }
        }
        Ok(all)
    }

    /// The attributions of one row for other values of the leaves, one value for each leaf of all trees.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the columns do not fit the model,
    /// [`tidewaiter_core::ErrorKind::Internal`] when there is no such row or another number of leaves.
    pub fn attributions_with(&self, values: &[f64], columns: &[&[f32]], row: usize) -> Result<Vec<f64>> {
        let leaves: usize = self.trees.iter().map(|tree| tree.leaf_values.len()).sum();
        if row >= self.rows_of(columns)? || values.len() != leaves {
            return Err(Error::internal(format!(
                "boosted trees: {} values were given for {leaves} leaves at row {row}",
                values.len()
            )));
        }
        let mut attributions = vec![0.0; self.features as usize];
        let (mut path, mut values) = (Vec::new(), values);
        for tree in &self.trees {
            let (own, others) = values.split_at(tree.leaf_values.len());
            attribute(tree, own, columns, row, &mut attributions, &mut path);
            values = others;
        }
        Ok(attributions)
    }
}

/// Adds what each feature of a row adds in one tree.
fn attribute(
    tree: &Tree,
    values: &[f64],
    columns: &[&[f32]],
    row: usize,
    attributions: &mut [f64],
    path: &mut Vec<Step>,
) {
    if !tree.features.is_empty() {
        path.clear();
        let mut shap = TreeShap { tree, values, columns, row, attributions };
        shap.visit(0, path, 0, Step { feature: ROOT, zero: 1.0, one: 1.0, weight: 0.0 });
    }
}

/// The recursion of the algorithm over one tree, for one row.
struct TreeShap<'a> {
    tree: &'a Tree,
    /// The values of the leaves.
    values: &'a [f64],
    columns: &'a [&'a [f32]],
    row: usize,
    attributions: &'a mut [f64],
}

impl TreeShap<'_> {
    /// Visits a child with the path to its parent, which begins at `start` of the shared buffer.
    fn visit(&mut self, child: i32, buffer: &mut Vec<Step>, start: usize, step: Step) {
        // Each visit has its own copy of the path, after its parent's in one buffer.
        let own = buffer.len();
        buffer.extend_from_within(start..);
        extend(buffer, own, step);
        if child < 0 {
            let value = self.values[!child as usize];
            let path = &buffer[own..];
            for at in 1..path.len() {
                let step = path[at];
                self.attributions[step.feature as usize] +=
                    unwound_weight(path, at) * (step.one - step.zero) * value;
            }
        } else {
            let node = child as usize;
            let feature = self.tree.features[node];
            let left = self.tree.value_goes_left(node, self.columns[feature as usize][self.row]);
            let (hot, cold) = if left {
                (self.tree.left[node], self.tree.right[node])
            } else {
                (self.tree.right[node], self.tree.left[node])
            };
            let (mut zero, mut one) = (1.0, 1.0);
            if let Some(at) = buffer[own..].iter().position(|step| step.feature == feature) {
                (zero, one) = (buffer[own + at].zero, buffer[own + at].one);
                unwind(buffer, own, at);
            }
            let rows = self.tree.cover(child).max(1.0);
            let share = |child| zero * self.tree.cover(child) / rows;
            let (hot_share, cold_share) = (share(hot), share(cold));
            self.visit(hot, buffer, own, Step { feature, zero: hot_share, one, weight: 0.0 });
            self.visit(cold, buffer, own, Step { feature, zero: cold_share, one: 0.0, weight: 0.0 });
        }
        buffer.truncate(own);
    }
}

/// Appends a step to the path (EXTEND of the paper).
fn extend(buffer: &mut Vec<Step>, own: usize, step: Step) {
    let length = buffer.len() - own;
    buffer.push(Step { weight: if length == 0 { 1.0 } else { 0.0 }, ..step });
    let path = &mut buffer[own..];
    let all = (length + 1) as f64;
    for at in (0..length).rev() {
        path[at + 1].weight += step.one * path[at].weight * (at + 1) as f64 / all;
        path[at].weight = step.zero * path[at].weight * (length - at) as f64 / all;
    }
}

/// Removes the step at `at` from the path, which reverses [`extend`] (UNWIND of the paper).
fn unwind(buffer: &mut Vec<Step>, own: usize, at: usize) {
    let path = &mut buffer[own..];
    let last = path.len() - 1;
    let all = (last + 1) as f64;
    let Step { zero, one, .. } = path[at];
    let mut next = path[last].weight;
    for j in (0..last).rev() {
        if one != 0.0 {
            let before = path[j].weight;
            path[j].weight = next * all / ((j + 1) as f64 * one);
            next = before - path[j].weight * zero * (last - j) as f64 / all;
        } else {
            path[j].weight = path[j].weight * all / (zero * (last - j) as f64);
        }
    }
    for j in at..last {
        let Step { feature, zero, one, .. } = path[j + 1];
        path[j] = Step { feature, zero, one, weight: path[j].weight };
    }
    buffer.pop();
}

/// The sum of the path's weights after [`unwind`].
fn unwound_weight(path: &[Step], at: usize) -> f64 {
    let last = path.len() - 1;
    let all = (last + 1) as f64;
    let Step { zero, one, .. } = path[at];
    let mut next = path[last].weight;
    let mut sum = 0.0;
    for j in (0..last).rev() {
        if one != 0.0 {
            let weight = next * all / ((j + 1) as f64 * one);
            sum += weight;
            next = path[j].weight - weight * zero * (last - j) as f64 / all;
        } else {
            sum += path[j].weight * all / (zero * (last - j) as f64);
        }
    }
    sum
}
