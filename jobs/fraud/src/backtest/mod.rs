//! Backtests: strategies of selecting goods items for inspection, replayed over past months.
//!
//! The rows are put in time order once, joined with their true outcomes (`history`). A *run* (module `run`) is one
//! strategy with one seed: one task, a plan node over these rows, because what a strategy knows depends on all that
//! it selected before. Runs are executed side by side on the engine.
//!
//! Promise: a run uses only the outcomes of items that it selected (or that the archive's own inspections revealed
//! before the first day), and only after the label delay. Outcomes enter a run at one place: when a period is over,
//! and for selected items only. The same archive, parameters and seeds give the same bytes in every table and page.
//! The true outcomes, which are revealed for selected items and by which runs are evaluated, come from files that the
//! user gives or are the archive's own.
//!
//! Intervals are those of drawing seeds and blocks of periods again; strategies are compared on the same draws.
//!
//! Source: the simulation of Kim et al. (arXiv:2010.14282), with a label delay, intervals and seeds, which it lacks.
//! Start at `backtest`; the strategies are in [`strategy::STRATEGIES`].

mod adapt;
mod drift;
mod embeddings;
mod figures;
mod history;
mod intervals;
mod operator;
mod parameters;
mod report;
mod run;
mod select;
mod span;
pub mod strategy;
mod summary;
#[cfg(test)]
mod testing;
mod training;
mod truth;

pub use history::HistoryOperator;
pub use operator::BacktestOperator;
pub use parameters::Parameters;

use clap::ArgMatches;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tidewaiter_core::{Error, Result, ResultExt, plan, threads::on_cpu};
use tidewaiter_job::{
    Job, JobParameters, Outcome, async_trait, parameters::with_arguments, summary::grouped,
};

use figures::PeriodFigures;
use history::HistoryFile;
use run::RunReport;
use span::span;
use summary::Summary;

use crate::messages;

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "backtest";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "fraud"));
    const ABOUT: &'static str = "Strategies of selecting goods items for inspection";

    /// `--seed` is the first seed of the runs, from which those of their models are derived.
    fn from_arguments(matches: &ArgMatches) -> Result<Self> {
        let mut parameters: Self = with_arguments(matches)?;
        parameters.seed = std::mem::take(&mut parameters.trees.seed);
        if matches.contains_id("epochs") {
            parameters.date.least_steps = 0;
        }
        Ok(parameters)
    }

    fn paths(&mut self) -> Vec<&mut String> {
        self.truth.iter_mut().collect()
    }

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        backtest(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let population = outcome.metrics.get("items").map(|items| {
            let number = |name: &str| grouped(items[name].as_u64().unwrap_or_default());
            format!(
                "of the {} items with a known outcome, of {} items (with 95 % intervals):",
                number("known"),
                number("all")
            )
        });
        let strategies = outcome.metrics.get("strategies").and_then(Value::as_object);
        let line = |(strategy, figures): (&String, &Value)| {
            let figure = |(name, title): (&str, &str)| {
                let of = |part: &str| figures.get(name)?.get(part)?.as_f64();
                let interval = of("low").zip(of("high"));
                let interval = interval.map(|(low, high)| format!(" ({low:.3} to {high:.3})"));
                Some(format!("{title} {:.3}{}", of("mean")?, interval.unwrap_or_default()))
            };
            let shown = [
                ("precision", "precision"),
                ("recall", "recall"),
                ("revenue_recall", "share of the revenue"),
                ("norm_precision", "normalised precision"),
            ];
            format!("{strategy}: {}", shown.into_iter().filter_map(figure).collect::<Vec<_>>().join("  "))
        };
        population.into_iter().chain(strategies.into_iter().flatten().map(line)).collect()
    }
}

/// Compares strategies over past months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for parameters out of range, for months that the archive does not
/// hold or that have no months before them, and where outcomes are all illicit, all licit or all unknown.
async fn backtest(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    let days = parameters.check()?;
    let span = job.step("span", span(job, parameters, days)).await?;
    span.check(parameters, days)?;
    let truths = job.step("truth", truth::keep(job, &parameters.truth)).await?;
    let history = job.step("history", HistoryFile::write(job, parameters, span.version, &truths)).await?;
    let reports = job.step("runs", run_all(job, parameters, days, &history)).await?;
    job.outcome.rows.read = span.rows;
    let forgotten: u64 = reports.iter().map(|report| report.forgotten).sum();
    let of = parameters.clone();
    let summary = on_cpu(move || Summary::of(&of, &reports)).await?;
    if summary.strategies.iter().all(|strategy| strategy.total.known == 0) {
        return Err(Error::input(format!(
            "no item of {} from {} to {} has a known outcome; give files of the truth with --truth, or choose \
             other months",
            parameters.country, parameters.from, parameters.to
        )));
    }
    if forgotten > 0 {
        tracing::warn!(
            keys = forgotten,
            "the histories outgrew history_capacity: unseen keys were forgotten"
        );
    }
    let (of, span) = (parameters.clone(), span.clone());
    let items = PeriodFigures::total(summary.periods());
    let (headline, files) =
        on_cpu(move || Ok((summary.headline(), report::files(&of, &span, &summary)?))).await?;
    let paths = job.step("report", report::write(job, files)).await?;
    job.outcome.metrics.insert("items".into(), json!({ "all": items.items, "known": items.known }));
    job.outcome.metrics.insert("strategies".into(), json!(headline));
    job.outcome.reports.extend(paths.iter().map(|path| job.archive.display(path)));
    Ok(())
}

/// Executes the runs, as many at a time as the engine has tasks. A run whose report is in the job's folder, from
/// before the job was interrupted, is not repeated.
fn run_all<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    days: (i32, i32),
    history: &'a HistoryFile,
) -> impl Future<Output = Result<Vec<RunReport>>> + use<'a> {
    let (archive, engine, folder) = (job.archive, job.engine, job.work_folder().to_owned());
    let runs = parameters.runs(days);
    let sessions: Result<Vec<SessionContext>> = runs.iter().map(|_| job.session("runs")).collect();
    async move {
        let tasks = engine.most_tasks().await.max(1);
        let each = runs.into_iter().zip(sessions?).enumerate().map(|(at, (run, session))| {
            let path = format!("{folder}/run-{at:04}.json");
            async move {
                if archive.exists(&path).await? {
                    return Ok(serde_json::from_slice(&archive.get(&path).await?)?);
                }
                let rows = history.scan(&session, archive)?;
                let name = format!("run of {} with seed {}", run.strategy, run.seed);
                let message = messages::BacktestOperator { parameters: serde_json::to_string(&run)? };
                let query = plan::apply(rows, BacktestOperator::new(message)?)?;
                let reports = plan::reports::<RunReport>(query).await.context(|| name)?;
                let [report] = <[RunReport; 1]>::try_from(reports)
                    .map_err(|reports| Error::internal(format!("{} tasks ran, not one", reports.len())))?;
                archive.put(&path, serde_json::to_vec(&report)?).await?;
                Ok::<_, Error>(report)
            }
        });
        futures::stream::iter(each).buffered(tasks).try_collect().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_says_of_how_many_items_the_figures_are_with_intervals() {
        let share = |mean: f64| json!({"mean": mean, "low": 0.1, "high": 0.3, "seeds": 5});
        let alone = json!({"mean": 0.4, "low": null, "high": null, "seeds": 1});
        let metrics = [
            ("items".to_owned(), json!({"all": 1500, "known": 917})),
            (
                "strategies".to_owned(),
                json!({"gbdt": {"precision": share(0.2), "recall": alone, "norm_precision": share(0.25)}}),
            ),
        ];
        let metrics = metrics.into_iter().collect();
        assert_eq!(
            Parameters::summary(&Outcome { metrics, ..Outcome::default() }),
            [
                "of the 917 items with a known outcome, of 1,500 items (with 95 % intervals):",
                "gbdt: precision 0.200 (0.100 to 0.300)  recall 0.400  normalised precision 0.250 (0.100 to 0.300)",
            ]
        );
    }
}
