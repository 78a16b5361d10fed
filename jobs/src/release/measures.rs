//! What measures on single cases would change: other agencies and the laboratory faster, lodgement before arrival, and
//! fewer inspections, with what the fraud model expects to lose by them.
//!
//! A case goes on when the last of its checks is over (critical path). A measure moves the end of a check, or of the
//! lodgement; where that moves the last one, the release and all after it move as much earlier, and never before the
//! goods are there. What the measure spares the others in a queue is not counted here, but in [`super::simulation`].
//! Inspections are dropped where the fraud model expects to lose the least, or by lot where the archive has no
//! predictions. Intervals are the middle 95 % of replications that draw the cases anew (Efron, "Bootstrap methods:
//! another look at the jackknife", Annals of Statistics 7, 1979), with the same cases before and after. Start at [`Sample`].

mod check;

use std::collections::HashMap;

use arrow::{
    array::{Array, AsArray, Float64Array, Int64Array, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::prelude::SessionContext;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

pub use self::check::Check;
use super::{
    answers::{column, query, rows, text},
    calendar::HOUR,
    operator::role_column,
    queries::quoted,
    replications::{Figures, REPLICATIONS, Spread, figures, seed_of, spread},
    stages::{Stage, StageFile},
};
use crate::Result;

/// The latest cases that are looked at, at most.
pub const MOST_CASES: usize = 20_000;

/// Share of the inspections that are dropped.
const DROPPED: f64 = 0.2;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseChange {
    /// Other agencies decide in half the time.
    PermitsInHalfTheTime,
    /// The laboratory takes half the time.
    LaboratoryInHalfTheTime,
    /// Declarations are lodged by arrival.
    LodgedByArrival,
    /// A fifth of the inspected cases is not: from the red channel to the green.
    FifthOfRedToGreen,
}

/// What a measure would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseMeasure {
    /// What is done.
    pub change: CaseChange,
    /// Cases that it is done to.
    pub touched: u64,
    /// Cases looked at.
    pub cases: u64,
    /// The change of the hours.
    #[serde(flatten)]
    pub hours: Spread,
    /// What is expected to be lost; none where nothing is, or nobody predicted it.
    pub loss: Option<Loss>,
}

/// What the fraud model expects of the cases that are no longer inspected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Cases with a prediction.
    pub predicted: u64,
    /// Illicit items that are not found.
    pub items: f64,
    /// Revenue that is not raised, national currency; none where the model does not tell.
    pub revenue: Option<f64>,
}

/// A case of the headline; moments in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Case {
    from: i64,
    to: i64,
    arrived: Option<i64>,
    unloaded: Option<i64>,
    lodged: Option<i64>,
    /// Accepted, and the channel selected.
    accepted: Option<i64>,
    documents: Option<i64>,
    permit: Option<(i64, i64)>,
    inspected: Option<i64>,
    laboratory: Option<(i64, i64)>,
    items: Option<f64>,
    revenue: Option<f64>,
}

impl Case {
    /// Hours of the case.
    fn hours(&self) -> f64 {
        (self.to - self.from) as f64 / HOUR
    }

    /// When the last check is over.
    fn ready(&self) -> Option<i64> {
        let ends = [
            self.accepted,
            self.documents,
            self.permit.map(|permit| permit.1),
            self.inspected,
            self.laboratory.map(|laboratory| laboratory.1),
        ];
        ends.into_iter().flatten().max()
    }

    /// Hours of the case as it would have been; `None` where nothing is done to it.
    fn changed(&self, change: CaseChange) -> Option<f64> {
        let half = |(from, to): (i64, i64)| (from, from + (to - from) / 2);
        let after = match change {
            CaseChange::PermitsInHalfTheTime => Self { permit: Some(half(self.permit?)), ..*self },
            CaseChange::LaboratoryInHalfTheTime => Self { laboratory: Some(half(self.laboratory?)), ..*self },
            CaseChange::FifthOfRedToGreen => {
                self.inspected?;
                Self { inspected: None, laboratory: None, ..*self }
            }
            CaseChange::LodgedByArrival => {
                let late = self.lodged? - self.arrived?;
                return (late > 0).then(|| self.earlier(late));
            }
        };
        self.with_checks(&after)
    }

    /// Hours of the case when its checks end as those of another; `None` where it has none.
    fn with_checks(&self, other: &Self) -> Option<f64> {
        let (before, after) = (self.ready()?, other.ready().unwrap_or(self.from));
        // What was released before its last check did not wait for it.
        Some(if before > self.to { self.hours() } else { self.earlier(before - after) })
    }

    /// Hours of the case when it goes on so much earlier, but not before the goods are there.
    fn earlier(&self, microseconds: i64) -> f64 {
        let there = self.unloaded.or(self.arrived).unwrap_or(self.from).min(self.to);
        ((self.to - microseconds).max(there).max(self.from) - self.from) as f64 / HOUR
    }
}

/// The query of the latest cases of a stage that ended, with what a fraud model predicts of them where the session has
/// `predictions`.
fn cases_sql(file: &StageFile, stage: &Stage, country: &str, predicted: bool) -> String {
    let first = |roles: &[&str]| {
        let known: Vec<String> = roles.iter().filter_map(|role| file.role(role)).map(role_column).collect();
        match known.as_slice() {
            [] => "CAST(NULL AS BIGINT)".to_owned(),
            known => format!("coalesce({})", known.join(", ")),
        }
    };
    let of = |roles: &[String]| first(&roles.iter().map(String::as_str).collect::<Vec<_>>());
    let (from, to) = match stage.to.as_slice() {
        [] => ("first_us".to_owned(), "last_us".to_owned()),
        _ => (format!("greatest({}, {})", of(&stage.from), of(&stage.not_before)), of(&stage.to)),
    };
    let columns = [
        ("began", from),
        ("ended", to),
        ("arrived", first(&["arrival"])),
        ("unloaded", first(&["unloading"])),
        ("lodged", first(&["lodgement", "acceptance"])),
        ("accepted", first(&["selection", "acceptance"])),
        ("documents", first(&["document-check-end"])),
        ("asked", first(&["permit-request"])),
        ("decided", first(&["permit-decision"])),
        ("looked", first(&["inspection-end"])),
        ("laboratory_from", first(&["laboratory-start"])),
        ("laboratory_to", first(&["laboratory-end"])),
    ];
    let columns: Vec<String> = columns.iter().map(|(name, value)| format!("{value} AS {name}")).collect();
    let latest = format!(
        "SELECT * FROM (SELECT case_id, first_us, {} FROM cases WHERE period = 0) WHERE ended >= began \
         ORDER BY first_us DESC, case_id LIMIT {MOST_CASES}",
        columns.join(", ")
    );
    if !predicted {
        return format!(
            "SELECT *, CAST(NULL AS DOUBLE) AS items, CAST(NULL AS DOUBLE) AS revenue FROM ({latest}) \
             ORDER BY first_us, case_id"
        );
    }
    // Of an item that was scored more than once the last score counts.
    let scores = format!(
        "SELECT declaration_id, sum(probability) AS items, sum(expected_revenue) AS revenue FROM (SELECT *, \
         row_number() OVER (PARTITION BY declaration_id, item_number ORDER BY job DESC) AS nth FROM predictions \
         WHERE country = {}) WHERE nth = 1 GROUP BY declaration_id",
        quoted(country)
    );
    format!(
        "SELECT latest.*, scores.items, scores.revenue FROM ({latest}) AS latest LEFT JOIN ({scores}) AS scores \
         ON latest.case_id = scores.declaration_id ORDER BY first_us, case_id"
    )
}

/// The latest cases of a stage, on which measures are tried.
#[derive(Debug, Default)]
pub struct Sample {
    cases: Vec<Case>,
    /// The places of the cases by their names.
    places: HashMap<String, usize>,
}

impl Sample {
    /// Reads the cases; `predicted` says whether the session has the fraud model's `predictions`.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(
        session: &SessionContext,
        file: &StageFile,
        stage: &Stage,
        (country, predicted): (&str, bool),
    ) -> Result<Self> {
        let answer = query(session, &cases_sql(file, stage, country, predicted)).await?;
        let places = rows(&answer).map(|row| Ok((text(&answer, "case_id", row)?, row)));
        Ok(Self { cases: cases(&answer)?, places: places.collect::<Result<_>>()? })
    }

    /// What measures on single cases would change, those that save the most first.
    pub fn measures(&self, seed: u64) -> Vec<CaseMeasure> {
        measures(&self.cases, seed)
    }

    /// The place of a case, where it is among them.
    pub fn place(&self, case: &str) -> Option<usize> {
        self.places.get(case).copied()
    }
}

/// The cases of an answer.
fn cases(answer: &RecordBatch) -> Result<Vec<Case>> {
    let whole = |name: &str| -> Result<Int64Array> {
        Ok(cast(column(answer, name)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    };
    let real = |name: &str| -> Result<Float64Array> {
        Ok(cast(column(answer, name)?, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
    };
    let names = [
        "began",
        "ended",
        "arrived",
        "unloaded",
        "lodged",
        "accepted",
        "documents",
        "asked",
        "decided",
        "looked",
        "laboratory_from",
        "laboratory_to",
    ];
    let moments = names.map(whole).into_iter().collect::<Result<Vec<_>>>()?;
    let (items, revenue) = (real("items")?, real("revenue")?);
    let case = |row: usize| {
        let at = |place: usize| moments[place].is_valid(row).then(|| moments[place].value(row));
        let score = |scores: &Float64Array| scores.is_valid(row).then(|| scores.value(row));
        Case {
            from: at(0).unwrap_or_default(),
            to: at(1).unwrap_or_default(),
            arrived: at(2),
            unloaded: at(3),
            lodged: at(4),
            accepted: at(5),
            documents: at(6),
            permit: at(7).zip(at(8)).filter(|(asked, decided)| decided >= asked),
            inspected: at(9),
            laboratory: at(10).zip(at(11)).filter(|(from, to)| to >= from),
            items: score(&items),
            revenue: score(&revenue),
        }
    };
    Ok(rows(answer).map(case).collect())
}

/// The measures on some cases.
fn measures(cases: &[Case], seed: u64) -> Vec<CaseMeasure> {
    let before: Vec<f64> = cases.iter().map(Case::hours).collect();
    let mut found: Vec<CaseMeasure> = [
        CaseChange::PermitsInHalfTheTime,
        CaseChange::LaboratoryInHalfTheTime,
        CaseChange::LodgedByArrival,
        CaseChange::FifthOfRedToGreen,
    ]
    .into_iter()
    .filter_map(|change| {
        let dropped = match change {
            CaseChange::FifthOfRedToGreen => Some(spared(cases, seed)),
            _ => None,
        };
        let done = |place: usize| dropped.as_ref().is_none_or(|dropped| dropped[place]);
        let after: Vec<Option<f64>> = cases
            .iter()
            .enumerate()
            .map(|(place, case)| case.changed(change).filter(|_| done(place)))
            .collect();
        let touched = after.iter().flatten().count();
        let pairs: Vec<(f64, f64)> =
            before.iter().zip(&after).map(|(before, after)| (*before, after.unwrap_or(*before))).collect();
        (touched > 0).then(|| {
            measure(
                change,
                touched as u64,
                &pairs,
                dropped.as_ref().and_then(|dropped| loss(cases, dropped)),
                seed,
            )
        })
    })
    .collect();
    found.sort_by(|a, b| a.hours.mean.0.total_cmp(&b.hours.mean.0));
    found
}

/// Which inspected cases would no longer be: those of which the least is expected, or by lot.
fn spared(cases: &[Case], seed: u64) -> Vec<bool> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut inspected: Vec<(f64, u64, usize)> = Vec::new();
    for (place, case) in cases.iter().enumerate().filter(|(_, case)| case.inspected.is_some()) {
        // A case that nobody scored is not known to be harmless.
        let expected = case.revenue.or(case.items);
        inspected.push((expected.unwrap_or(f64::MAX), chance.random(), place));
    }
    inspected.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let many = (inspected.len() as f64 * DROPPED).round() as usize;
    let mut spared = vec![false; cases.len()];
    for (.., place) in inspected.into_iter().take(many) {
        spared[place] = true;
    }
    spared
}

/// What is expected of the cases that are spared; none where nobody scored them.
fn loss(cases: &[Case], spared: &[bool]) -> Option<Loss> {
    let chosen = || cases.iter().zip(spared).filter(|(_, spared)| **spared).map(|(case, _)| case);
    let predicted = chosen().filter(|case| case.items.is_some()).count() as u64;
    let sum = |of: fn(&Case) -> Option<f64>| chosen().filter_map(of).reduce(|a, b| a + b);
    let cents = |amount: f64| (amount * 100.0).round() / 100.0;
    Some(Loss {
        predicted,
        items: cents(sum(|case| case.items)?),
        revenue: sum(|case| case.revenue).map(cents),
    })
}

/// The change of mean, median and 90th percentile over pairs of hours before and after.
fn measure(
    change: CaseChange,
    touched: u64,
    pairs: &[(f64, f64)],
    loss: Option<Loss>,
    seed: u64,
) -> CaseMeasure {
    let replications = (0..REPLICATIONS).map(|number| effect(&drawn(pairs, seed_of(seed, number))));
    let hours = spread(effect(pairs), &replications.collect::<Vec<_>>());
    CaseMeasure { change, touched, cases: pairs.len() as u64, hours, loss }
}

/// As many pairs, drawn anew.
fn drawn(pairs: &[(f64, f64)], seed: u64) -> Vec<(f64, f64)> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0xB007);
    (0..pairs.len()).map(|_| pairs[chance.random_range(0..pairs.len())]).collect()
}

/// Mean, median and 90th percentile after, less those before.
fn effect(pairs: &[(f64, f64)]) -> Figures {
    let (before, after) = pairs.iter().copied().unzip();
    figures(after).less(figures(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: i64 = 3_600_000_000;

    /// Arrived at 0, unloaded at 2, lodged at 10, selected at 11, a permit from 11 to 31, inspected until 25, analysed
    /// from 25 to 41, released at 44.
    pub(super) fn case() -> Case {
        Case {
            from: 0,
            to: 44 * H,
            arrived: Some(0),
            unloaded: Some(2 * H),
            lodged: Some(10 * H),
            accepted: Some(11 * H),
            documents: None,
            permit: Some((11 * H, 31 * H)),
            inspected: Some(25 * H),
            laboratory: Some((25 * H, 41 * H)),
            items: Some(0.5),
            revenue: Some(100.0),
        }
    }

    #[test]
    fn only_the_last_check_holds_a_case() {
        let case = case();
        // The laboratory is the last; at 33 it still is; without it the permit is, at 31.
        assert_eq!(case.changed(CaseChange::PermitsInHalfTheTime), Some(44.0));
        assert_eq!(case.changed(CaseChange::LaboratoryInHalfTheTime), Some(36.0));
        assert_eq!(case.changed(CaseChange::FifthOfRedToGreen), Some(34.0));
        assert_eq!(case.changed(CaseChange::LodgedByArrival), Some(34.0));
        let green = Case { inspected: None, laboratory: None, ..case };
        assert_eq!(green.changed(CaseChange::PermitsInHalfTheTime), Some(34.0));
        assert_eq!(green.changed(CaseChange::FifthOfRedToGreen), None);
        // Nothing is released before it is unloaded, and what did not wait for a check gains nothing by it.
        let quick = Case { to: 11 * H, accepted: Some(H), permit: None, ..green };
        assert_eq!(Case { lodged: Some(30 * H), ..quick }.changed(CaseChange::LodgedByArrival), Some(2.0));
        assert_eq!(
            Case { permit: Some((H, 20 * H)), ..quick }.changed(CaseChange::PermitsInHalfTheTime),
            Some(11.0)
        );
        assert_eq!(Case { lodged: Some(-H), ..quick }.changed(CaseChange::LodgedByArrival), None);
    }

    #[test]
    fn the_least_risky_are_spared_and_their_loss_is_told() {
        let mut cases: Vec<Case> =
            (0..10).map(|n| Case { revenue: Some(f64::from(n * 7 % 10)), ..case() }).collect();
        cases.push(Case { inspected: None, ..case() });
        let found = measures(&cases, 1);
        let red = found.iter().find(|found| found.change == CaseChange::FifthOfRedToGreen).expect("is there");
        assert_eq!((red.touched, red.cases), (2, 11));
        assert_eq!(red.loss, Some(Loss { predicted: 2, items: 1.0, revenue: Some(1.0) }));
        let (mean, low, high) = red.hours.mean;
        // Two of eleven cases are ten hours shorter.
        assert!((mean + 20.0 / 11.0).abs() < 1e-9 && low <= mean && mean <= high);
        assert_eq!(found, measures(&cases, 1));
        assert!(found.windows(2).all(|pair| pair[0].hours.mean.0 <= pair[1].hours.mean.0));
        for case in &mut cases {
            (case.items, case.revenue) = (None, None);
        }
        let found = measures(&cases, 1);
        let red = found.iter().find(|found| found.change == CaseChange::FifthOfRedToGreen).expect("is there");
        assert_eq!((red.touched, red.loss), (2, None), "by lot, without a prediction");
        assert!(measures(&[], 1).is_empty());
    }
}
