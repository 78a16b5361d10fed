//! The times of stages: cases with their milestones in, a summary of each stage out.
//!
//! [`StagesOperator`] measures each stage of each case. A time is one whole number that holds stage, length
//! and whether it is over ([`Key`]), so that the engine sorts many of them quickly; they come back in rising
//! order and are summed up in one pass ([`crate::statistics`]), exactly and in constant memory. Periods are
//! compared in the same way. What is open counts: a case that is past its target has missed it, and periods are compared
//! over the same follow-up.
//!
//! Start at [`measure`]; [`StageTimes`] registers the tables that the queries read.

mod comparison;
mod division;
mod key;
mod operator;
mod results;
mod target;
mod times;

pub use comparison::{PeriodTimes, StageComparison, compare};
pub use key::{Key, Status};
pub use operator::StagesOperator;
pub use results::{StageResult, headline, measure, measure_by};
pub use target::TargetResult;
pub use times::{StageTimes, TimeShare};
