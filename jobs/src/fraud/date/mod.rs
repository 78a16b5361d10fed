//! DATE: a network over the leaves of boosted trees, attended to by importer and HS code.
//!
//! Source: Kim et al., "DATE: Dual Attentive Tree-aware Embedding for Customs Fraud Detection" (KDD 2020). Boosted
//! trees are grown first; the leaves that an item falls in are embedded and attend to each other, importer and HS
//! code ask what in them matters, and two heads tell the probability of fraud and the revenue of an inspection.
//!
//! Training is data parallel by local SGD: every shard makes some steps on its own rows from the same state, and
//! the leader averages weights and their running moments, by rows (Stich, "Local SGD Converges Fast and
//! Communicates Little", ICLR 2019; Yu, Jin and Yang, ICML 2019, for the moments). The outer step is the plain
//! average: a batch is divided over the shards, so that an epoch has the same number of steps however many there
//! are, and there is nothing for an outer momentum to make up for. Vectors of importers and HS codes travel only
//! where they changed. Promise: the same rows, parameters, seed and number of shards give the same bytes.
//!
//! What differs from the authors' code, on purpose: an importer or HS code that is not given or was never learned
//! is the zero vector, and some are hidden in training so that the network knows such items; features are of the
//! past only; the revenue's loss leaves out illicit items whose revenue is not known; the revenue's head is linear,
//! as in the paper (equation 7), because the ReLU of the authors' code can fall to 0 for all items and then learns
//! nothing more; the epoch is chosen by the average precision on the validation months; and every draw is seeded.
//!
//! Start at [`leader`] (what is asked), then [`shard`] (what is answered), [`network`] (the model itself), and
//! [`model`] (how it is used).

mod back;
mod batch;
mod embedding;
mod graph;
mod lanes;
pub mod leader;
mod load;
pub mod model;
mod network;
mod optimiser;
pub mod shard;
#[cfg(test)]
mod tests;
mod weights;
mod wire;

pub use leader::DateLeader;
pub use load::{Keys, LEARNER, Layout, ParquetShards, taught_revenue};
pub use model::DateModel;
pub use shard::{DateShard, Taught};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    learning::{gbdt, mix},
};
use embedding::Start;

/// How DATE is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// How the trees are grown whose leaves are embedded.
    pub booster: gbdt::Parameters,
    /// Most passes over the training rows; 1 or more.
    pub epochs: u32,
    /// Fewest steps: where the rows are few, so many passes are made as it takes; 0 or more.
    pub least_steps: u32,
    /// Epochs without a better average precision on the validation months after which training stops, once the
    /// fewest steps are made; 1 or more.
    pub patience: u32,
    /// Rows of one step, over all shards; 1 or more.
    pub batch_rows: u32,
    /// Steps that shards make on their own before their weights are averaged; 1 or more.
    pub steps_between_averages: u32,
    /// Step size of the dense weights and of the leaves' vectors; above 0.
    pub learning_rate: f64,
    /// Step size of the vectors of importers and HS codes; above 0.
    pub embedding_rate: f64,
    /// Share of a weight that a step at rate 1 takes away; 0 or more.
    pub weight_decay: f64,
    /// Weight of the squared error of the revenue beside the cross entropy; 0 or more.
    pub revenue_weight: f64,
    /// Share of the importers, and of the HS codes, that are hidden at each step; 0 to below 1.
    pub hidden_share: f64,
    /// Rows of the table of importers; 2 to 4194304.
    pub importer_rows: u32,
    /// Rows of the table of HS codes; 2 to 4194304.
    pub code_rows: u32,
    /// The seed of everything drawn.
    pub seed: u64,
}

/// Most rows of a table: all of them fit one message of a fit.
const MOST_ROWS: u32 = 1 << 22;
/// Vectors of importers and HS codes begin within this.
const VECTOR_BOUND: f32 = 0.05;
/// The sum of squares of a row before its first gradient: about that of one item's.
const FIRST_SQUARE: f32 = 0.01;

impl Default for Parameters {
    fn default() -> Self {
        Self {
            booster: gbdt::Parameters {
                trees: 100,
                leaves: 16,
                learning_rate: 0.3,
                min_rows_per_leaf: 1,
                early_stopping_rounds: 0,
                ..gbdt::Parameters::default()
            },
            epochs: 5,
            least_steps: 600,
            patience: 3,
            batch_rows: 256,
            steps_between_averages: 24,
            learning_rate: 0.005,
            embedding_rate: 0.01,
            weight_decay: 0.01,
            revenue_weight: 10.0,
            hidden_share: 0.05,
            importer_rows: MOST_ROWS,
            code_rows: 1 << 17,
            seed: 0,
        }
    }
}

impl Parameters {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] naming the first parameter out of range, its value and its range.
    pub fn validate(&self) -> Result<()> {
        self.booster.validate()?;
        let rate = |value: f64| value > 0.0 && value <= 1.0;
        let amount = |value: f64| (0.0..=1e6).contains(&value);
        let rows = |value: u32| (2..=MOST_ROWS).contains(&value);
        let checks = [
            ("epochs", f64::from(self.epochs), self.epochs >= 1, "1 or more"),
            ("patience", f64::from(self.patience), self.patience >= 1, "1 or more"),
            ("batch_rows", f64::from(self.batch_rows), self.batch_rows >= 1, "1 or more"),
            (
                "steps_between_averages",
                f64::from(self.steps_between_averages),
                self.steps_between_averages >= 1,
                "1 or more",
            ),
            ("learning_rate", self.learning_rate, rate(self.learning_rate), "above 0 and at most 1"),
            ("embedding_rate", self.embedding_rate, rate(self.embedding_rate), "above 0 and at most 1"),
            ("weight_decay", self.weight_decay, (0.0..=1.0).contains(&self.weight_decay), "from 0 to 1"),
            ("revenue_weight", self.revenue_weight, amount(self.revenue_weight), "from 0 to 1000000"),
            ("hidden_share", self.hidden_share, (0.0..1.0).contains(&self.hidden_share), "from 0 to below 1"),
            ("importer_rows", f64::from(self.importer_rows), rows(self.importer_rows), "from 2 to 4194304"),
            ("code_rows", f64::from(self.code_rows), rows(self.code_rows), "from 2 to 4194304"),
        ];
        for (name, value, good, range) in checks {
            if !good {
                let text = format!("DATE: the parameter {name} is {value}; set it to a value {range}");
                return Err(Error::input(text));
            }
        }
        Ok(())
    }

    /// How the table of importers begins.
    fn importers(&self) -> Start {
        self.table(self.importer_rows, 1)
    }

    /// How the table of HS codes begins.
    fn codes(&self) -> Start {
        self.table(self.code_rows, 2)
    }

    fn table(&self, rows: u32, number: u64) -> Start {
        Start { rows, salt: mix(self.seed ^ mix(number)), bound: VECTOR_BOUND, first_square: FIRST_SQUARE }
    }
}
