//! The orders of scored rows: by rank, and by time.

use clap::ValueEnum;
use datafusion::{logical_expr::SortExpr, prelude::col};
use serde::{Deserialize, Serialize};

/// What items are ranked by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankBy {
    /// The probability of fraud.
    #[default]
    Probability,
    /// The revenue that an inspection is expected to raise.
    Revenue,
}

impl RankBy {
    /// The column of scored rows that holds it.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Probability => "probability",
            Self::Revenue => "expected_revenue",
        }
    }
}

/// The highest score first; equal scores in the order of [`by_time`].
pub(crate) fn by_rank(rank_by: RankBy) -> Vec<SortExpr> {
    let mut order = vec![col(rank_by.column()).sort(false, false)];
    order.extend(by_time());
    order
}

/// By time; items of one day by their identifiers and values.
pub(crate) fn by_time() -> Vec<SortExpr> {
    let columns = ["acceptance_date", "declaration_id", "item_number", "hs_code", "customs_value"];
    columns.map(|column| col(column).sort(true, false)).into()
}
