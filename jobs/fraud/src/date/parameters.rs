//! The hyper-parameters of DATE, with their ranges and defaults.

use clap::{ArgMatches, Args, FromArgMatches as _};
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, chance::mix};
use tidewaiter_learning::gbdt;

use super::embedding::TableInit;

/// How DATE is trained.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Hyper-parameters of the trees whose leaves are embedded.
    #[arg(skip)]
    pub booster: gbdt::Parameters,
    /// Most passes of DATE over the training rows, 1 or more; default: 5, and more where that is less than 600 steps.
    #[arg(long, required = false)]
    pub epochs: u32,
    /// Fewest training steps, 0 or more: with few rows the number of epochs is raised until they are made.
    #[arg(skip)]
    pub least_steps: u32,
    /// Epochs without a better average precision on the validation months after which training stops, 1 or more; it
    /// never stops before `least_steps`.
    #[arg(skip)]
    pub patience: u32,
    /// Rows of one step, over all shards; 1 or more.
    #[arg(skip)]
    pub batch_rows: u32,
    /// Steps that shards make on their own before their weights are averaged; 1 or more.
    #[arg(skip)]
    pub steps_between_averages: u32,
    /// Learning rate of the dense weights and of the leaves' vectors; above 0, at most 1.
    #[arg(skip)]
    pub learning_rate: f64,
    /// Learning rate of the vectors of importers and HS codes; above 0, at most 1.
    #[arg(skip)]
    pub embedding_rate: f64,
    /// Weight decay, apart from the gradient: a step at rate 1 takes this share of a weight away; 0 to 1.
    #[arg(skip)]
    pub weight_decay: f64,
    /// Weight of the squared error of the revenue beside the cross entropy; 0 to 1000000.
    #[arg(skip)]
    pub revenue_weight: f64,
    /// Share of the items whose importer is replaced by the zero vector at each step, and of those whose HS code is;
    /// 0 to below 1.
    #[arg(skip)]
    pub hidden_share: f64,
    /// Rows of the importers' embedding table; 2 to 4194304.
    #[arg(skip)]
    pub importer_rows: u32,
    /// Rows of the HS codes' embedding table; 2 to 4194304.
    #[arg(skip)]
    pub code_rows: u32,
    /// Seed of all random numbers.
    #[arg(skip)]
    pub seed: u64,
}

/// Most rows of an embedding table: all of them fit into one message of the collective.
const MOST_ROWS: u32 = 1 << 22;
/// Vectors of importers and HS codes start uniform from minus this to this.
const VECTOR_BOUND: f32 = 0.05;
/// The sum of squared gradients with which a row starts: about that of one item.
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
    /// Takes a command's options over. Options of boosted trees are those of the booster, and with `--epochs` there
    /// is no least number of steps.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for an option whose value its parameter cannot have.
    pub fn from_arguments(&mut self, matches: &ArgMatches) -> Result<()> {
        let updated = self.booster.update_from_arg_matches(matches);
        updated.map_err(|error| Error::input(error.to_string()))?;
        if matches.contains_id("epochs") {
            self.least_steps = 0;
        }
        Ok(())
    }

    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] naming the first parameter out of range, its value and its range.
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

    /// How the importers' embedding table starts.
    pub(super) fn importers(&self) -> TableInit {
        self.table(self.importer_rows, 1)
    }

    /// How the HS codes' embedding table starts.
    pub(super) fn codes(&self) -> TableInit {
        self.table(self.code_rows, 2)
    }

    fn table(&self, rows: u32, number: u64) -> TableInit {
        TableInit {
            rows,
            salt: mix(self.seed ^ mix(number)),
            bound: VECTOR_BOUND,
            first_square: FIRST_SQUARE,
        }
    }
}
