//! The job `passengers profiles`: from the archive's trips to rules, their figures and a page.
//!
//! Its steps: features of all trips of the months; the search over the inspected of the training months; figures on the test
//! months, the rules' file and the page. Start at [`Parameters`].

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch},
    datatypes::{Date32Type, Float32Type},
};
use clap::Args;
use datafusion::prelude::col;
use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Period, Result, ResultExt, answers, query::Run as _, threads::on_cpu};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_registry::scope::Scope;
use tidewaiter_report::format::period;

use super::{
    figures::{by_month, impact, interval, overlap},
    page::{Facts, Profile, page},
    rules::{Condition, Found, Rule, Rules},
    search::{Bits, Settings, Subgroup, possible, search},
    selectors::selectors,
};
use crate::{
    features::{
        query::{Extraction, extract, version},
        rows::schema,
    },
    own_files::OwnFiles,
    table,
    unmatched::{UNMATCHED, Unmatched, unmatched},
};

/// Candidates from which the profiles are chosen.
const CANDIDATES: usize = 500;

/// Conjunctions that are tried at most: half a minute of one processor on a hundred thousand inspected.
const MOST_TRIED: u64 = 30_000_000;

/// The parameters of a search for profiles.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Reporting country whose travellers are searched, ISO 3166-1 alpha-2; several with commas between.
    #[arg(long)]
    pub country: Scope,
    /// Months that are searched, such as 2023-01..2023-09.
    #[arg(long)]
    pub train: Period,
    /// Later months on which the rules are tested.
    #[arg(long)]
    pub test: Period,
    /// Conditions of a rule at most, 1 to 5; default: 3.
    #[serde(default = "three")]
    #[arg(long, required = false)]
    pub depth: u32,
    /// Rules at most, 1 to 100; default: 10.
    #[serde(default = "ten")]
    #[arg(long, required = false)]
    pub rules: u32,
    /// Inspected travellers of whom a rule holds, at least; default: 30.
    #[serde(default = "thirty")]
    #[arg(long, required = false)]
    pub least: u64,
    /// Overlap of two rules at most, 0 to 1; default: 0.5.
    #[serde(default = "half")]
    #[arg(long, required = false)]
    pub most_overlap: f64,
    /// Let rules use sex, nationality, residence and age. The law of most countries forbids it.
    #[serde(default)]
    #[arg(long)]
    pub with_protected: bool,
}

fn three() -> u32 {
    3
}

fn ten() -> u32 {
    10
}

fn thirty() -> u64 {
    30
}

fn half() -> f64 {
    0.5
}

impl Parameters {
    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::input(what));
        match self {
            _ if !self.train.is_before(&self.test) => {
                wrong(format!("the test months {} must lie after the months {}", self.test, self.train))
            }
            _ if !(1..=5).contains(&self.depth) => {
                wrong(format!("--depth {} is not from 1 to 5", self.depth))
            }
            _ if !(1..=100).contains(&self.rules) => {
                wrong(format!("--rules {} is not from 1 to 100", self.rules))
            }
            _ if !(0.0..=1.0).contains(&self.most_overlap) => {
                wrong(format!("--most-overlap {} is not from 0 to 1", self.most_overlap))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "passengers";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("task", "profiles"));
    const ABOUT: &'static str = "Risk profiles: short rules found in the results of inspections, tested on later months, with \
                                 disparate impact";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        profiles(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(profiles) = outcome.metrics.get("profiles") else { return Vec::new() };
        let rules = profiles["rules"].as_array().into_iter().flatten();
        let line = |rule: &serde_json::Value| {
            let share = |name: &str| match rule[name].as_f64() {
                Some(share) => format!("{:.1} %", share * 100.0),
                None => "–".to_owned(),
            };
            let words = rule["words"].as_str().unwrap_or_default();
            format!("{} → {} in the test months: {words}", share("precision"), share("test_precision"))
        };
        let count = |name: &str| grouped(profiles[name].as_u64().unwrap_or_default());
        let tried = format!("{} rules tried of {} possible ones", count("tried"), count("possible"));
        let told = outcome.metrics.get(UNMATCHED).and_then(|told| told.as_str()).map(str::to_owned);
        std::iter::once(tried).chain(rules.map(line)).chain(told).collect()
    }
}

async fn profiles(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    parameters.check()?;
    let features = job.step("features", features(job, parameters)).await?;
    job.outcome.rows.read = features.files.rows();
    let found = job.step("profiles", find(job, parameters, &features)).await?;
    if let Some(told) = features.unmatched.sentence() {
        job.outcome.metrics.insert(UNMATCHED.into(), told.into());
    }
    job.outcome.metrics.insert("profiles".into(), serde_json::to_value(&found)?);
    job.outcome.reports.extend([&found.report, &found.file].map(|path| job.archive.display(path)));
    Ok(())
}

/// Features of all trips of the months.
#[derive(Debug, Serialize, Deserialize)]
struct Features {
    version: u64,
    files: OwnFiles,
    /// Inspections of nobody who is known.
    unmatched: Unmatched,
}

fn features<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
) -> impl Future<Output = Result<Features>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("features"), job.work_folder().to_owned());
    let days = (*parameters.train.days().start(), *parameters.test.days().end());
    async move {
        let version = version(archive).await?;
        let extraction = Extraction {
            countries: parameters.country.countries(),
            days,
            folder: &folder,
            name: "features",
            neighbours: false,
        };
        let session = session?;
        let files = extract(&session, archive, &extraction).await?;
        let unmatched = unmatched(&session, archive, extraction.countries, days.0..=days.1).await?;
        Ok(Features { version, files, unmatched })
    }
}

/// What was found, for the outcome.
#[derive(Debug, Serialize, Deserialize)]
struct Profiles {
    /// Rules that were tried.
    tried: u64,
    /// Rules that compete, for which intervals are corrected.
    possible: u64,
    rules: Vec<ProfileFigures>,
    /// Path of the rules in the archive.
    file: String,
    /// Path of the page.
    report: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProfileFigures {
    words: String,
    support: u64,
    precision: f64,
    lift: f64,
    test_support: u64,
    test_precision: Option<f64>,
    test_lift: Option<f64>,
}

fn find<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    features: &'a Features,
) -> impl Future<Output = Result<Profiles>> + use<'a> {
    let (archive, session, id) = (job.archive, job.session("profiles"), job.outcome.job.clone());
    async move {
        let session = session?;
        let order = vec![col("flight_date").sort(true, false), col("trip_id").sort(true, false)];
        let rows = features.files.scan(&session, archive, schema(false))?.sort(order)?;
        let batches = rows.batches().await.context(|| "read features of travellers")?;
        let own = parameters.clone();
        let (file, base) =
            (format!("reports/passengers-profiles-{id}.toml"), format!("reports/passengers-profiles-{id}"));
        let snapshot = format!("{}@{}", table::TRAVELLERS.table, features.version);
        let rules_at = archive.display(&file);
        let (rules, html, [tried, possible]) = on_cpu(move || {
            let rows = concat_batches(&schema(false), &batches)?;
            let (facts, rules) = discovered(&rows, &own, snapshot, rules_at)?;
            Ok((rules, page(&facts).render(), [facts.tried, facts.possible]))
        })
        .await?;
        archive
            .put(&file, Rules { rules: rules.iter().map(|(rule, _)| rule.clone()).collect() }.to_text()?)
            .await?;
        let report = format!("{base}.html");
        archive.put(&report, html).await?;
        let rules = rules.into_iter().map(|(_, figures)| figures).collect();
        Ok(Profiles { tried, possible, rules, file, report })
    }
}

/// Rows with their labels and whether they lie in a period.
struct Part {
    rows: RecordBatch,
    found: Bits,
    positives: u64,
}

/// Which rows of a period are meant.
#[derive(Clone, Copy)]
enum Of {
    /// All trips.
    All,
    /// The inspected trips.
    Inspected,
    /// The inspected trips whose results are known before a day.
    KnownBefore(i32),
}

/// Rows of a period.
fn part(rows: &RecordBatch, period: Period, of: Of) -> Result<Part> {
    let days = answers::column(rows, "flight_date")?.as_primitive::<Date32Type>();
    let labels = answers::column(rows, "label")?.as_primitive::<Float32Type>();
    let known_on = answers::column(rows, "known_on")?.as_primitive::<Date32Type>();
    let range = period.days();
    let is_meant = |row: usize| match of {
        Of::All => true,
        Of::Inspected => labels.is_valid(row),
        Of::KnownBefore(day) => labels.is_valid(row) && known_on.value(row) < day,
    };
    let keep = |row: usize| range.contains(&days.value(row)) && is_meant(row);
    let keep: BooleanArray = (0..rows.num_rows()).map(|row| Some(keep(row))).collect();
    let rows = filter_record_batch(rows, &keep)?;
    let labels = answers::column(&rows, "label")?.as_primitive::<Float32Type>();
    let found: Vec<bool> = labels.iter().map(|label| label.is_some_and(|label| label > 0.5)).collect();
    let positives = found.iter().filter(|found| **found).count() as u64;
    Ok(Part { found: Bits::new(&found), positives, rows })
}

/// A rule and its rows among the inspected.
struct Chosen {
    rule: Rule,
    subgroup: Subgroup,
    train: Bits,
    test: Bits,
}

/// Searches, and computes all figures.
fn discovered(
    rows: &RecordBatch,
    parameters: &Parameters,
    snapshot: String,
    rules_at: String,
) -> Result<(Facts, Vec<(Rule, ProfileFigures)>)> {
    let train = part(rows, parameters.train, Of::KnownBefore(*parameters.test.days().start()))?;
    let test = part(rows, parameters.test, Of::Inspected)?;
    let inspected = |part: &Part| part.rows.num_rows() as u64;
    if train.positives == 0 || train.positives == inspected(&train) {
        return Err(Error::input(format!(
            "in {} {} travellers were inspected, {} of them with a find; both results are needed, choose other months or \
             ingest outcomes",
            parameters.train,
            inspected(&train),
            train.positives
        )));
    }
    let (conditions, selectors) = selectors(&train.rows, parameters.least, parameters.with_protected)?;
    let settings = Settings {
        depth: parameters.depth as usize,
        top: CANDIDATES,
        least_rows: parameters.least,
        most_tried: MOST_TRIED,
    };
    let (candidates, tried) = search(&selectors, &train.found, inspected(&train), settings);
    let possible = possible(&selectors, settings.depth);
    let base = train.positives as f64 / inspected(&train) as f64;
    let chosen = choose(candidates, &conditions, (&train, &test), (base, possible), parameters)?;
    let all_trips = part(rows, parameters.test, Of::All)?;
    let everybody = part(rows, whole(parameters)?, Of::Inspected)?;
    let test_base = test.positives as f64 / inspected(&test).max(1) as f64;
    let mut any = vec![false; all_trips.rows.num_rows()];
    let mut known = Bits::new(&vec![false; everybody.rows.num_rows()]);
    let (mut profiles, mut rules) = (Vec::new(), Vec::new());
    for one in &chosen {
        let holds = one.rule.holds(&all_trips.rows)?;
        any.iter_mut().zip(&holds).for_each(|(any, holds)| *any |= holds);
        let of_everybody = one.rule.holds(&everybody.rows)?;
        let bits = Bits::new(&of_everybody);
        let before = known.common(&everybody.found);
        known = known.or(&bits);
        let in_test = interval(one.test.common(&test.found), one.test.count(), 1);
        let in_train = interval(one.subgroup.positives, one.subgroup.rows, possible);
        let precision = in_train.share().unwrap_or_default();
        let test_lift = in_test.share().filter(|_| test_base > 0.0).map(|share| share / test_base);
        let figures = ProfileFigures {
            words: one.rule.words(),
            support: in_train.of,
            precision,
            lift: precision / base,
            test_support: in_test.of,
            test_precision: in_test.share(),
            test_lift,
        };
        let found = Found {
            support: in_train.of,
            found: in_train.found,
            precision,
            test_precision: in_test.share(),
            test_lift,
        };
        profiles.push(Profile {
            name: one.rule.name.clone(),
            words: one.rule.words(),
            train: in_train,
            train_lift: precision / base,
            test: in_test,
            test_lift,
            new_finds: known.common(&everybody.found) - before,
            months: by_month(&everybody.rows, &of_everybody)?,
            test_trips: holds.iter().filter(|holds| **holds).count() as u64,
            impact: impact(&all_trips.rows, &holds)?,
        });
        rules.push((Rule { found: Some(found), ..one.rule.clone() }, figures));
    }
    let overlaps =
        chosen.iter().map(|one| chosen.iter().map(|other| overlap(&one.train, &other.train)).collect());
    let facts = Facts {
        country: parameters.country.to_string(),
        train: period(&parameters.train.to_string()),
        test: period(&parameters.test.to_string()),
        tried,
        is_cut: tried >= MOST_TRIED,
        possible,
        conditions: conditions.len(),
        base: [(train.positives, inspected(&train)), (test.positives, inspected(&test))],
        test_trips: all_trips.rows.num_rows() as u64,
        overlaps: overlaps.collect(),
        impact: impact(&all_trips.rows, &any)?,
        profiles,
        with_protected: parameters.with_protected,
        snapshot,
        rules: rules_at,
    };
    Ok((facts, rules))
}

/// From the first searched to the last test month.
fn whole(parameters: &Parameters) -> Result<Period> {
    let month = |period: Period, last: bool| {
        let day = if last { period.last() } else { period.first() };
        day.format("%Y-%m").to_string()
    };
    format!("{}..{}", month(parameters.train, false), month(parameters.test, true)).parse()
}

/// Candidates that are better than chance after the correction and do not repeat each other, the best first.
fn choose(
    candidates: Vec<Subgroup>,
    conditions: &[Condition],
    (train, test): (&Part, &Part),
    (base, possible): (f64, u64),
    parameters: &Parameters,
) -> Result<Vec<Chosen>> {
    let mut chosen: Vec<Chosen> = Vec::new();
    for subgroup in candidates {
        if chosen.len() >= parameters.rules as usize {
            break;
        }
        if interval(subgroup.positives, subgroup.rows, possible).low <= base {
            continue;
        }
        let when: Vec<Condition> =
            subgroup.selectors.iter().map(|number| conditions[*number].clone()).collect();
        let rule =
            Rule { name: format!("R{}", chosen.len() + 1), description: String::new(), when, found: None };
        let bits = Bits::new(&rule.holds(&train.rows)?);
        if chosen.iter().any(|other| overlap(&other.train, &bits) > parameters.most_overlap) {
            continue;
        }
        let description = rule.words();
        let test = Bits::new(&rule.holds(&test.rows)?);
        chosen.push(Chosen { rule: Rule { description, ..rule }, subgroup, train: bits, test });
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Float32Array, StringArray, new_null_array};

    use super::*;

    /// Two years of inspected trips; two of three that are paid in cash shortly before the flight are finds, of the others
    /// one of forty.
    fn rows() -> RecordBatch {
        let schema = schema(false);
        let count = 4000_usize;
        let is_risky = |row: usize| row % 20 == 3;
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            let numbers = |of: &dyn Fn(usize) -> f32| {
                Arc::new(Float32Array::from_iter_values((0..count).map(of))) as ArrayRef
            };
            let days = |later: i32| {
                let of = |row: usize| 18_262 + later + (row * 730 / count) as i32;
                Arc::new(Date32Array::from_iter_values((0..count).map(of))) as ArrayRef
            };
            match field.name().as_str() {
                "flight_date" => days(0),
                "known_on" => days(3),
                "label" => numbers(&|row| {
                    let is_find = if is_risky(row) { row / 20 % 3 != 0 } else { row % 40 == 7 };
                    f32::from(u8::from(is_find))
                }),
                "paid_cash" => numbers(&|row| f32::from(u8::from(is_risky(row) || row % 5 == 1))),
                "days_booked_before" => {
                    numbers(&|row| if is_risky(row) || row % 7 == 2 { 1.0 } else { 30.0 + (row % 50) as f32 })
                }
                "trip_id" => {
                    Arc::new(StringArray::from_iter_values((0..count).map(|row| format!("{row:06}"))))
                }
                "sex" => Arc::new(StringArray::from_iter_values((0..count).map(|row| ["M", "F"][row % 2]))),
                _ if field.is_nullable() => new_null_array(field.data_type(), count),
                _ => numbers(&|_| 0.0),
            }
        });
        let columns: Vec<ArrayRef> = columns.collect();
        RecordBatch::try_new(schema, columns).expect("a batch")
    }

    fn parameters() -> Parameters {
        serde_json::from_str(r#"{"country":"KR","train":"2020-01..2020-12","test":"2021-01..2021-12"}"#)
            .expect("reads")
    }

    #[test]
    fn a_planted_profile_is_found_tested_and_explained() {
        let (facts, rules) =
            discovered(&rows(), &parameters(), "t@1".to_owned(), "x.toml".to_owned()).expect("finds");
        let (rule, figures) = &rules[0];
        let fields: Vec<&str> = rule.when.iter().map(|condition| condition.field.as_str()).collect();
        assert!(fields.contains(&"paid_cash") && fields.contains(&"days_booked_before"), "{fields:?}");
        assert!(figures.precision > 0.35 && figures.test_precision.expect("inspected") > 0.35, "{figures:?}");
        assert!(facts.profiles[0].train.low > 0.1 && facts.tried > 10);
        assert!(facts.impact.iter().any(|impact| impact.attribute == "sex"));
        assert!(rules.iter().all(|(rule, _)| rule.when.iter().all(|condition| condition.field != "sex")));
        let html = page(&facts).render();
        assert!(html.contains("paid in cash: yes") && !html.contains("<script"));
        tidewaiter_report::keep("passengers-profiles.html", &html).expect("is written");
        let file = Rules { rules: rules.into_iter().map(|(rule, _)| rule).collect() };
        assert_eq!(Rules::read(&file.to_text().expect("writes")).expect("reads"), file);
    }

    #[test]
    fn a_profile_is_found_in_what_is_known_before_the_test_months() {
        // Results are known after three days: those of the last three days of 2020 are known in 2021.
        let (rows, parameters) = (rows(), parameters());
        let count = |of: Of| part(&rows, parameters.train, of).expect("a part").rows.num_rows();
        let days = answers::column(&rows, "flight_date").expect("there").as_primitive::<Date32Type>();
        let last = *parameters.train.days().end();
        let late = days.values().iter().filter(|day| (last - 2..=last).contains(*day)).count();
        assert!(late > 0);
        assert_eq!(count(Of::KnownBefore(*parameters.test.days().start())), count(Of::Inspected) - late);
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        assert!(parameters().check().is_ok());
        assert!(Parameters { depth: 9, ..parameters() }.check().is_err());
        assert!(Parameters { most_overlap: 2.0, ..parameters() }.check().is_err());
        let test = parameters().train;
        assert!(Parameters { test, ..parameters() }.check().is_err());
    }
}
