//! Applying the fraud model: probability, rank and reasons of the goods items of some months.
//!
//! The items get the features that the model was trained with, computed from everything before each of them. The
//! scored rows are one commit to the table [`PREDICTIONS`]; another apply adds rows of its own, with another `job`. The
//! model is that of the country, or a regional one that is asked for. Items of months that it was trained on are scored
//! and marked, and no figure says how well it did there. Start at [`apply`].

use std::ops::RangeInclusive;

use datafusion::{
    common::ScalarValue,
    functions_window::expr_fn::row_number,
    logical_expr::ExprFunctionExt,
    prelude::{col, lit},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_archive::{
    Commit, DataFile, Table,
    write_operator::{WriteOperator, stored},
};
use tidewaiter_core::{Error, Period, Result, ResultExt, plan, threads::on_cpu};
use tidewaiter_declarations::DECLARATIONS;
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_proto::v1;
use tidewaiter_registry::{Registry, Which, comparison::Comparison, promotion::trained, scope::Scope};
use tidewaiter_report::{data, format};

use crate::{
    features::{ExtractedFeatures, Extraction, FeatureFile, extract, feature_output},
    metrics,
    model::{self, FraudModel},
    parameters::{ApplyParameters, RetrainParameters},
    population::{Basis, Estimated, Population},
    report::{LISTED, SelectionFacts, listed_items, selection_report, words},
    scored::{RankBy, ScoredFiles, Selection, by_rank},
    selected::{PREDICTIONS, Wanted, selected},
};

/// Files over which the items are distributed for scoring.
const PARTS: u32 = 8;

#[async_trait]
impl JobParameters for ApplyParameters {
    const KIND: &'static str = "apply";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("model", "fraud"));
    const ABOUT: &'static str =
        "The fraud model: probability, rank and reasons of the goods items of some months";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        apply(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(selection) = outcome.metrics.get("selection") else { return Vec::new() };
        let number = |name: &str| grouped(selection[name].as_u64().unwrap_or_default());
        let threshold = selection["threshold"].as_f64().unwrap_or_default();
        let threshold = match selection["rank_by"].as_str() {
            Some("revenue") => format!("an expected revenue of {}", format::number(threshold)),
            _ => format!("a probability of {}", format::percent(threshold).replace('\u{a0}', " ")),
        };
        let mut lines =
            vec![format!("{} of {} items selected, from {threshold}", number("selected"), number("items"))];
        if selection["unproven"] == true {
            lines.push(
                "WARNING: the model is not shown to select better than a random draw; its report has the figures".to_owned(),
            );
        }
        if selection["in_sample"].as_u64() > Some(0) {
            lines.push(format!(
                "{} items are of months that the model was trained on: no figures of those",
                number("in_sample")
            ));
        }
        lines
    }
}

/// Scores the items of some months.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::NotFound`] for a model that does not exist, [`tidewaiter_core::ErrorKind::Input`]
/// for months without items.
async fn apply(job: &mut Job<'_>, parameters: &ApplyParameters) -> Result<()> {
    let scope = parameters.check()?;
    let chosen = job.step("model", choose(job, parameters, &scope)).await?;
    let features = job.step("features", extract(extraction(job, parameters, &chosen)?)).await?;
    let files = files(&features)?;
    let items: u64 = files.iter().map(|file| file.rows).sum();
    if items == 0 {
        return Err(Error::input(format!(
            "the archive has no declarations of {} in {}; `tidewaiter archive tables` shows what there is",
            parameters.country, parameters.months
        )));
    }
    job.outcome.rows.read = features.files.rows;
    let predictions = job.step("score", score(job, parameters, &chosen, files)).await?;
    let table = job.step("commit", commit(job, &predictions)).await?;
    let reporting = report(job, parameters, &chosen, &features, predictions.selected);
    let report = job.step("report", reporting).await?;

    job.outcome.model = Some(chosen.model());
    job.outcome.metrics.insert(
        "selection".into(),
        json!({
            "items": items,
            "selected": predictions.selected,
            "threshold": predictions.threshold,
            "rank_by": parameters.rank_by,
            "in_sample": report.in_sample,
            "unproven": chosen.unproven,
        }),
    );
    job.outcome.tables.push(table);
    job.outcome.reports.push(job.archive.display(&report.path));
    Ok(())
}

/// The model that scores the items.
#[derive(Debug, Serialize, Deserialize)]
struct Chosen {
    name: String,
    version: u64,
    /// How it was trained.
    trained: RetrainParameters,
    /// Of which items its figures on the test months are.
    population: Population,
    /// Whether it was not shown to select better than a random draw there.
    #[serde(default)]
    unproven: bool,
}

impl Chosen {
    /// Name and version.
    fn model(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The illicit share of what it selects, estimated for all items of its test months, and from what.
    fn estimated_precision(&self, parameters: &ApplyParameters) -> Option<(Estimated, Basis)> {
        match (&self.population, parameters.rank_by) {
            (Population::Estimated(all), RankBy::Probability) => {
                Some((all.at("precision", parameters.capacity_percent)?, all.basis))
            }
            _ => None,
        }
    }

    /// The days from the first to the last that the model was trained on or tuned by, since 1970-01-01.
    fn trained_days(&self) -> Result<RangeInclusive<i32>> {
        let periods = self.trained.check()?;
        Ok(*periods.train.days().start()..=*periods.valid.days().end())
    }

    /// The days of some months before and after those that the model was trained on.
    fn new_days(&self, months: &Period) -> Result<Vec<RangeInclusive<i32>>> {
        let (days, trained) = (months.days(), self.trained_days()?);
        let before = *days.start()..=(*days.end()).min(*trained.start() - 1);
        let after = (*days.start()).max(*trained.end() + 1)..=*days.end();
        Ok([before, after].into_iter().filter(|days| !days.is_empty()).collect())
    }
}

fn choose<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    scope: &Scope,
) -> impl Future<Output = Result<Chosen>> + use<'a> {
    let (registry, name) = (Registry::new(job.archive), scope.model(model::NAME));
    async move {
        let which = parameters.version.map_or(Which::Champion, Which::Version);
        // Loading checks the model's bytes.
        let manifest = registry.load(&name, which).await?.manifest;
        let path = registry.model_path(&name, manifest.version);
        let needs_revenue = parameters.rank_by == RankBy::Revenue;
        if needs_revenue && !FraudModel::load(registry.archive(), &path).await?.expects_revenue() {
            return Err(Error::input(format!(
                "{}@{} expects no revenue: it was trained on months without known revenue, or before models did; \
                 rank by probability, or retrain",
                name, manifest.version
            )));
        }
        let trained = trained(manifest.facts.config, &format!("{name}@{}", manifest.version))?;
        let population = manifest.facts.metrics.get("test_population").cloned();
        let population = population.and_then(|population| serde_json::from_value(population).ok());
        let over_random = manifest.facts.metrics.get("over_random").cloned();
        let over_random: Option<Comparison> =
            over_random.and_then(|drawn| serde_json::from_value(drawn).ok());
        let unproven = over_random.is_some_and(|drawn| !drawn.is_better());
        let population = population.unwrap_or_default();
        Ok(Chosen { name, version: manifest.version, trained, population, unproven })
    }
}

fn extraction<'a>(job: &Job<'a>, parameters: &'a ApplyParameters, chosen: &Chosen) -> Result<Extraction<'a>> {
    // Days that the model does not know are counted apart, and first; the others are in the range of all.
    let mut ranges = chosen.new_days(&parameters.months)?;
    ranges.push(parameters.months.days());
    Ok(Extraction {
        session: job.session("features")?,
        archive: job.archive,
        folder: job.work_folder().to_owned(),
        country: &parameters.country,
        version: None,
        last_month: parameters.months.last_month_number(),
        parameters: chosen.trained.features,
        outputs: vec![feature_output("part", PARTS, &ranges, false)],
    })
}

fn files(features: &ExtractedFeatures) -> Result<&[FeatureFile]> {
    match features.files.outputs.as_slice() {
        [parts] => Ok(&parts.files),
        _ => Err(Error::internal("the features of an apply have other outputs than were asked for")),
    }
}

/// Files of scored items that are not yet committed.
#[derive(Debug, Serialize, Deserialize)]
struct Predictions {
    files: Vec<DataFile>,
    /// Items within the capacity.
    selected: usize,
    /// The lowest probability, or expected revenue, among them.
    threshold: f64,
}

fn score<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &Chosen,
    files: &'a [FeatureFile],
) -> impl Future<Output = Result<Predictions>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("score"));
    let (path, name) = (Registry::new(archive).model_path(&chosen.name, chosen.version), chosen.model());
    let trained = chosen.trained_days();
    async move {
        let (session, trained) = (session?, trained?);
        let scored = ScoredFiles { session: &session, archive, files, model: &path };
        let items = usize::try_from(scored.count()).unwrap_or(usize::MAX);
        let selected = metrics::inspected(items, parameters.capacity_percent);
        let rank_by = parameters.rank_by;
        let threshold = scored.threshold(selected, rank_by).await?;

        let kept = [
            "declaration_id",
            "item_number",
            "acceptance_date",
            "probability",
            "expected_revenue",
            "reasons",
        ];
        let tie_breakers = ["hs_code", "customs_value"];
        let rows =
            scored.query(Some((rank_by, threshold)))?.select_columns(&[&kept[..], &tie_breakers].concat())?;
        let rank = row_number().order_by(by_rank(rank_by)).build()?.alias("rank");
        let mut columns: Vec<_> = kept.iter().map(|name| col(*name)).collect();
        columns.insert(5, col("rank"));
        let day = |day: &i32| lit(ScalarValue::Date32(Some(*day)));
        let in_sample = col("acceptance_date").between(day(trained.start()), day(trained.end()));
        columns.push(in_sample.alias("in_sample"));
        columns.push(lit(name).alias("model"));
        columns.push(lit(id.clone()).alias("job"));
        let rows = rows.window(vec![rank])?.select(columns)?;

        let schema = stored(rows.schema().as_arrow());
        let opened = Table::open_or_create(archive, PREDICTIONS, &schema).await;
        opened.context(|| {
            format!("open {PREDICTIONS}, of which one of an earlier version is to be moved to another name")
        })?;
        let writer = WriteOperator::new(v1::WriteOperator {
            archive: archive.url().to_string(),
            table: PREDICTIONS.to_owned(),
            country: parameters.country.clone(),
            date_column: "acceptance_date".to_owned(),
            sort_columns: vec!["declaration_id".to_owned(), "item_number".to_owned()],
            name: id,
            memory_bytes: 0,
        })?;
        let files = plan::reports::<Vec<DataFile>>(plan::apply(rows, writer)?).await?.concat();
        Ok(Predictions { files, selected, threshold })
    }
}

fn commit<'a>(job: &Job<'a>, predictions: &'a Predictions) -> impl Future<Output = Result<String>> + use<'a> {
    let (archive, id) = (job.archive, job.outcome.job.clone());
    async move {
        let table = Table::open(archive, PREDICTIONS).await?;
        let version = match table.commit(&predictions.files, &[id], "apply").await? {
            Commit::Version(version) => version,
            Commit::AlreadyThere => table.version().await?,
        };
        Ok(format!("{PREDICTIONS}@{version}"))
    }
}

/// A report that is written.
#[derive(Debug, Serialize, Deserialize)]
struct Reported {
    /// Its path in the archive.
    path: String,
    /// Items of months that the model was trained on.
    in_sample: u64,
}

fn report<'a>(
    job: &Job<'a>,
    parameters: &'a ApplyParameters,
    chosen: &'a Chosen,
    features: &'a ExtractedFeatures,
    capacity: usize,
) -> impl Future<Output = Result<Reported>> + use<'a> {
    let (archive, id, session) = (job.archive, job.outcome.job.clone(), job.session("report"));
    async move {
        let (session, files) = (session?, files(features)?);
        let path = Registry::new(archive).model_path(&chosen.name, chosen.version);
        let model = FraudModel::load(archive, &path).await?;
        let scored = ScoredFiles { session: &session, archive, files, model: &path };
        let (precision, estimated_by) = chosen.estimated_precision(parameters).unzip();
        let facts = SelectionFacts {
            language: parameters.language,
            model: chosen.model(),
            country: parameters.country.clone(),
            months: parameters.months.to_string(),
            trained: format!("{}..{}", first(chosen.trained.train), last(chosen.trained.check()?.valid)),
            precision,
            estimated_by: estimated_by.unwrap_or_default(),
            unproven: chosen.unproven,
            capacity: parameters.capacity_percent / 100.0,
            snapshot: format!("{DECLARATIONS}@{}", features.version),
            rank_by: parameters.rank_by,
            ..SelectionFacts::default()
        };
        let top = scored.top_items(&model, capacity.min(LISTED), parameters.rank_by).await?;
        let mut items = listed_items(&words(parameters.language), top.as_ref())?;
        let selection = Selection::new(capacity as u64, known_new(features)?, Some(chosen.trained_days()?));
        let selection = scored.selection(parameters.rank_by, selection).await?;
        let in_sample = selection.in_sample;
        let wanted = Wanted {
            job: &id,
            country: &parameters.country,
            months: parameters.months,
            selected: capacity,
            capacity: parameters.capacity_percent / 100.0,
        };
        let whole = selected(&session, archive, &wanted).await?;
        whole.describe(&mut items)?;
        let (page, tables) = on_cpu(move || {
            let page = selection_report(&selection, facts, items);
            let mut tables = page.tables()?;
            tables.push(("selected_items", whole.items));
            tables.push(("selected_declarations", whole.declarations));
            Ok((page.html(), data::files(&tables)?))
        })
        .await?;
        let folder = format!("reports/selection-{}-{id}", model::NAME);
        let path = format!("{folder}.html");
        archive.put(&path, page).await?;
        for (file, bytes) in tables {
            archive.put(&format!("{folder}/{file}"), bytes).await?;
        }
        Ok(Reported { path, in_sample })
    }
}

/// The first month of a period, as users write it.
fn first(period: Period) -> String {
    period.first().format("%Y-%m").to_string()
}

/// The last month of a period.
fn last(period: Period) -> String {
    period.last().format("%Y-%m").to_string()
}

/// Items with a known outcome, of days that the model was not trained on: all ranges but the last, see [`extraction`].
fn known_new(features: &ExtractedFeatures) -> Result<u64> {
    match features.files.outputs.as_slice() {
        [parts] => Ok(parts.ranges.iter().rev().skip(1).map(|range| range.labelled).sum()),
        _ => Err(Error::internal("the features of an apply have other outputs than were asked for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_that_the_model_knows_are_cut_out() {
        let trained = r#"{"country":"TW","train":"2020-03..2020-08","valid":"2020-09","test":"2020-11"}"#;
        let chosen = Chosen {
            name: "fraud-TW".to_owned(),
            version: 1,
            trained: serde_json::from_str(trained).expect("parameters"),
            population: Population::All,
            unproven: false,
        };
        let months = |text: &str| {
            let days = chosen.new_days(&text.parse().expect("a period")).expect("days");
            let text = |day: &i32| crate::calendar::date_of(*day).to_string();
            days.iter().map(|days| (text(days.start()), text(days.end()))).collect::<Vec<_>>()
        };
        let days = |first: &str, last: &str| (first.to_owned(), last.to_owned());
        assert_eq!(months("2020-10..2020-12"), [days("2020-10-01", "2020-12-31")]);
        assert_eq!(
            months("2020-01..2020-10"),
            [days("2020-01-01", "2020-02-29"), days("2020-10-01", "2020-10-31")]
        );
        assert!(months("2020-04..2020-09").is_empty());
    }

    #[test]
    fn the_console_names_the_threshold_in_the_unit_of_its_ranking() {
        let said = |rank_by: &str, threshold: f64, unproven: bool| {
            let selection = json!({
                "items": 6865, "selected": 343, "threshold": threshold, "rank_by": rank_by, "in_sample": 0,
                "unproven": unproven,
            });
            let metrics = [("selection".to_owned(), selection)].into_iter().collect();
            ApplyParameters::summary(&Outcome { metrics, ..Outcome::default() })
        };
        assert_eq!(
            said("revenue", 5920.2, false),
            ["343 of 6,865 items selected, from an expected revenue of 5,920"]
        );
        let lines = said("probability", 0.3124, true);
        assert_eq!(lines[0], "343 of 6,865 items selected, from a probability of 31.2 %");
        assert!(lines[1].starts_with("WARNING"), "{lines:?}");
    }
}
