//! Backtests: strategies of selection, walked over history as a customs house would have lived it.
//!
//! The rows are put in time order once, beside their truth ([`history`]). Each strategy and seed is one [`walk`], a
//! plan node over them, and the walks run side by side on the engine. What it promises: a walk learns only
//! outcomes that it chose to see (or the archive's own
//! inspection saw before the first day), and those only after the label delay; the same archive, parameters
//! and seeds give the same bytes in every table and page. The truth that judges (and that a chosen item
//! reveals) comes from files that the user gives, such as the generator's, or is the archive's own outcome.
//!
//! Sources: the simulation of Kim et al. (arXiv:2010.14282), with a label delay, confidence intervals and seeds,
//! which it lacks. Start at [`backtest`]; the strategies stand in [`strategy::STRATEGIES`].

mod adapt;
mod drift;
mod history;
mod measures;
mod operator;
mod report;
mod select;
pub mod strategy;
mod summary;
mod training;
mod truth;
mod walk;

use arrow::{
    array::AsArray,
    compute,
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    functions_aggregate::expr_fn::{count, max, min},
    prelude::{DataFrame, SessionContext, cast, col, lit},
};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_proto::v1;

use history::History;
pub use history::HistoryOperator;
pub use operator::BacktestOperator;
use strategy::Strategy;
use summary::Summary;
use walk::{WalkParameters, WalkReport};

use super::{date, features};
use crate::{
    Archive, Error, Result, ResultExt,
    archive::{provider::snapshot_provider, schema::DECLARATIONS, table::Table},
    job::{Job, Period},
    learning::gbdt,
    plan,
};

/// What a backtest is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The reporting country, ISO 3166-1 alpha-2.
    pub country: String,
    /// The first month that is walked; all before it in the archive is known history.
    pub from: Period,
    /// The last month.
    pub to: Period,
    /// The strategies, at least one.
    pub strategies: Vec<Strategy>,
    /// Files (Parquet) of the true outcomes: `declaration_id`, `item_number`, `illicit`, `additional_revenue`.
    /// None: the archive's own outcomes are the truth.
    #[serde(default)]
    pub truth: Vec<String>,
    /// Repetitions of each strategy, 1 or more, each with a seed of its own.
    #[serde(default = "three")]
    pub seeds: u32,
    /// The first seed.
    #[serde(default)]
    pub seed: u64,
    /// Days of a period, 1 or more; the last period may be shorter.
    #[serde(default = "four_weeks")]
    pub period_days: u32,
    /// Share of the items of a period that is inspected, above 0 and at most 1.
    #[serde(default = "twentieth")]
    pub inspection_rate: f64,
    /// Share of the inspections that hybrids spend on exploration, 0 to 1.
    #[serde(default = "tenth")]
    pub exploration: f64,
    /// How features are computed; the label delay counts for the model's rows, too.
    #[serde(default)]
    pub features: features::Parameters,
    /// How the trees are grown, each period anew.
    #[serde(default = "trees")]
    pub trees: gbdt::Parameters,
    /// How DATE is trained, each period anew.
    #[serde(default)]
    pub date: date::Parameters,
    /// Most rows with an outcome that a model learns from, the newest ones.
    #[serde(default = "half_a_million")]
    pub training_rows: usize,
}

fn three() -> u32 {
    3
}

fn four_weeks() -> u32 {
    28
}

fn twentieth() -> f64 {
    0.05
}

fn tenth() -> f64 {
    0.1
}

fn half_a_million() -> usize {
    500_000
}

/// The trees of a backtest: fewer and smaller than a retrain's, as there is no validation period to stop them,
/// and each on a part of the features, so that seeds differ.
pub fn trees() -> gbdt::Parameters {
    gbdt::Parameters { trees: 100, leaves: 15, feature_fraction: 0.7, ..gbdt::Parameters::default() }
}

impl Parameters {
    /// First and last day, as days since 1970-01-01.
    fn days(&self) -> Result<(i32, i32)> {
        let wrong = |text: String| Err(Error::input(text));
        if self.strategies.is_empty() {
            return wrong("a backtest needs at least one --strategy".to_owned());
        }
        if let Some(twice) =
            self.strategies.iter().enumerate().find(|(at, one)| self.strategies[..*at].contains(one))
        {
            return wrong(format!("the strategy {} is named twice", twice.1));
        }
        if !(self.inspection_rate > 0.0 && self.inspection_rate <= 1.0) {
            return wrong(format!(
                "the inspection rate is {}; give a share above 0 and at most 1",
                self.inspection_rate
            ));
        }
        if !(0.0..=1.0).contains(&self.exploration) {
            return wrong(format!("the exploration is {}; give a share from 0 to 1", self.exploration));
        }
        for (what, value) in [("seeds", self.seeds), ("period_days", self.period_days)] {
            if value == 0 {
                return wrong(format!("{what} is 0; give 1 or more"));
            }
        }
        if self.training_rows < 100 {
            return wrong(format!("training_rows is {}; give 100 or more", self.training_rows));
        }
        self.trees.validate()?;
        self.date.validate()?;
        let days = (*self.from.days().start(), *self.to.days().end());
        if days.1 < days.0 {
            return wrong(format!("the backtest ends with {} before it begins with {}", self.to, self.from));
        }
        Ok(days)
    }

    /// Every walk: the strategies in their order, each with its seeds; the first also measures drift.
    fn walks(&self, days: (i32, i32)) -> Vec<WalkParameters> {
        let one = |strategy: Strategy, seed: u64, first: bool| WalkParameters {
            strategy,
            seed,
            days,
            period_days: self.period_days,
            inspection_rate: self.inspection_rate,
            exploration: self.exploration,
            features: self.features,
            trees: self.trees.clone(),
            date: self.date.clone(),
            training_rows: self.training_rows,
            drift: first,
        };
        let seeds = (0..self.seeds).map(|at| self.seed.wrapping_add(u64::from(at)));
        let pairs = self.strategies.iter().flat_map(|strategy| seeds.clone().map(|seed| (*strategy, seed)));
        pairs.enumerate().map(|(at, (strategy, seed))| one(strategy, seed, at == 0)).collect()
    }
}

/// Compares strategies over the past.
///
/// # Errors
/// [`crate::ErrorKind::Input`] for parameters out of range, months that the archive does not hold or that have no
/// months before them, and outcomes of one kind only.
pub async fn backtest(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let days = parameters.days()?;
    let span = job.step("span", span(job, parameters)).await?;
    span.check(parameters, days)?;
    let truths = job.step("truth", truth::keep(job, &parameters.truth)).await?;
    let history = job.step("history", History::write(job, parameters, span.version, &truths)).await?;
    let walks = job.step("walks", walk_all(job, parameters, days, &history)).await?;
    job.outcome.rows.read = span.rows;
    let summary = Summary::of(parameters, &walks)?;
    if summary.strategies.iter().all(|strategy| strategy.total.known == 0) {
        return Err(Error::input(format!(
            "no item of {} from {} to {} has a known outcome; give files of the truth with --truth, or choose \
             other months",
            parameters.country, parameters.from, parameters.to
        )));
    }
    let forgotten: u64 = walks.iter().map(|walk| walk.forgotten).sum();
    if forgotten > 0 {
        tracing::warn!(
            keys = forgotten,
            "the histories outgrew history_capacity: unseen keys were forgotten"
        );
    }
    let reports = job.step("report", report::write(job, parameters, &span, &summary)).await?;
    job.outcome.metrics.insert("strategies".into(), json!(summary.headline()));
    job.outcome.reports.extend(reports.iter().map(|report| job.archive.display(report)));
    Ok(())
}

/// What the archive holds of a country.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Span {
    /// The snapshot of the declarations.
    version: u64,
    rows: u64,
    /// First and last day, since 1970-01-01.
    first: i32,
    last: i32,
}

impl Span {
    fn check(&self, parameters: &Parameters, days: (i32, i32)) -> Result<()> {
        let Parameters { country, from, to, .. } = parameters;
        if self.rows == 0 {
            return Err(Error::input(format!(
                "the archive has no declarations of {country}; `tidewaiter archive tables` shows what there is"
            )));
        }
        let date = features::date;
        if days.0 <= self.first {
            return Err(Error::input(format!(
                "the backtest begins with {from}, but the archive's first declarations of {country} are of {}; \
                 begin later, so that there is a past to learn from",
                date(self.first)
            )));
        }
        if *to.days().start() > self.last {
            return Err(Error::input(format!(
                "the backtest ends with {to}, but the archive's last declarations of {country} are of {}",
                date(self.last)
            )));
        }
        Ok(())
    }
}

fn span<'a>(job: &Job<'a>, parameters: &'a Parameters) -> impl Future<Output = Result<Span>> + use<'a> {
    let (archive, session) = (job.archive, job.session("span"));
    async move {
        let version = Table::open(archive, DECLARATIONS).await?.version().await?;
        let rows = declarations(&session?, archive, version, parameters).await?;
        let day = cast(col("acceptance_date"), DataType::Int32);
        let aggregates = vec![count(lit(1)), min(day.clone()), max(day)];
        let counted = rows.aggregate(vec![], aggregates)?.collect().await?;
        let cell = |place: usize| -> i64 {
            let batch = counted.iter().find(|batch| batch.num_rows() > 0);
            let array = batch.and_then(|batch| compute::cast(batch.column(place), &DataType::Int64).ok());
            array.map_or(0, |array| array.as_primitive::<Int64Type>().value(0))
        };
        let day = |place: usize| i32::try_from(cell(place)).unwrap_or_default();
        Ok(Span { version, rows: cell(0).unsigned_abs(), first: day(1), last: day(2) })
    }
}

/// The country's rows of a snapshot.
async fn declarations(
    session: &SessionContext,
    archive: &Archive,
    version: u64,
    parameters: &Parameters,
) -> Result<DataFrame> {
    let provider = snapshot_provider(archive, DECLARATIONS, Some(version)).await?;
    let wanted = col("country").eq(lit(parameters.country.as_str()));
    Ok(session.read_table(provider)?.filter(wanted)?)
}

/// Runs the walks side by side; those that a job finished before it was taken up again are not repeated.
fn walk_all<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    days: (i32, i32),
    history: &'a History,
) -> impl Future<Output = Result<Vec<WalkReport>>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let walks = parameters.walks(days);
    let sessions: Result<Vec<SessionContext>> = walks.iter().map(|_| job.session("walks")).collect();
    async move {
        let tasks = engine.most_tasks().await.max(1);
        let each = walks.into_iter().zip(sessions?).enumerate().map(|(at, (walk, session))| {
            let path = format!("{folder}/walk-{at:04}.json");
            async move {
                if archive.exists(&path).await? {
                    return Ok(serde_json::from_slice(&archive.get(&path).await?)?);
                }
                let rows = history.scan(&session, archive)?;
                let name = format!("walk by {} with seed {}", walk.strategy, walk.seed);
                let message = v1::BacktestOperator { parameters: serde_json::to_string(&walk)? };
                let query = plan::above(rows, BacktestOperator::new(message)?)?;
                let reports = plan::reports::<WalkReport>(query).await.context(|| name)?;
                let [report] = <[WalkReport; 1]>::try_from(reports)
                    .map_err(|reports| Error::internal(format!("{} tasks walked, not one", reports.len())))?;
                archive.put(&path, serde_json::to_vec(&report)?).await?;
                Ok::<_, Error>(report)
            }
        });
        futures::stream::iter(each).buffered(tasks).try_collect().await
    }
}
