//! What measures on single cases would change: other agencies and the laboratory faster, lodgement before
//! arrival, and fewer inspections, with what the fraud model expects to lose by them.
//!
//! A measure is carried along the critical path of each case ([`super::critical_path`]). What it spares other
//! cases in a queue is not counted here, but in [`super::simulation`]. Inspections are dropped where the
//! fraud model expects to lose the least, or at random where the archive has no predictions.
//!
//! The sample is drawn by the beginning of the cases: the latest of those that began long enough before the cut-off to be
//! over. Of the cases that ended last, the quick ones would be too many. Goods that are released before they arrive take
//! no time, as in the stage's own figures. Intervals are the middle 95 % of replications that draw the cases with replacement (Efron, "Bootstrap methods: another
//! look at the jackknife", Annals of Statistics 7, 1979), with the same cases before and after. Start at
//! [`Sample`].

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
use tidewaiter_core::{
    Result,
    answers::{column, rows},
};

use super::critical_path::{Case, CaseChange, Check};
use crate::{
    query::{query, text_or_empty},
    scope::quoted,
    stage_file::{Stage, StageFile, role_column},
    statistics::replications::{Changes, Figures, REPLICATIONS, figures, seed_of, with_intervals},
};

/// Cases of a sample, at most: the latest to begin.
const MAX_CASES: usize = 20_000;

/// Share of the inspections that are dropped.
const DROPPED_SHARE: f64 = 0.2;

/// A measure on single cases and its effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseMeasure {
    /// The measure.
    pub change: CaseChange,
    /// Cases that it concerns.
    pub touched: u64,
    /// Cases of the sample.
    pub cases: u64,
    /// The changes of the hours of all cases of the sample.
    #[serde(flatten)]
    pub hours: Changes,
    /// What is expected to be lost; none for measures that lose nothing, and without predictions.
    pub loss: Option<Loss>,
}

/// What the fraud model expects of the cases that are no longer inspected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Cases with a prediction.
    pub predicted: u64,
    /// Illicit items that are not found.
    pub items: f64,
    /// Revenue that is not raised, national currency; none where the model does not estimate it.
    pub revenue: Option<f64>,
}

/// Which cases a sample is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Population<'a> {
    /// The reporting country.
    pub country: &'a str,
    /// Whether the session has the fraud model's `predictions`.
    pub predicted: bool,
    /// The last time at which a case may begin, microseconds since 1970 UTC.
    pub begun_by: i64,
}

/// The query of the latest cases of a stage to begin, of those that are over, with what a fraud model predicts of them
/// where the session has `predictions`.
fn cases_sql(file: &StageFile, stage: &Stage, population: Population<'_>) -> String {
    let Population { country, predicted, begun_by } = population;
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
        _ => {
            let (first, end) = (of(&stage.from), of(&stage.to));
            let from = format!("greatest({first}, {})", of(&stage.not_before));
            // As the stage's own times have it: an early end that is allowed takes no time.
            let early = format!("{end} < {from} AND ({} OR {end} >= {first})", stage.may_end_early);
            let to = format!("CASE WHEN {early} THEN {from} ELSE {end} END");
            (from, to)
        }
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
         AND began <= {begun_by} ORDER BY began DESC, case_id LIMIT {MAX_CASES}",
        columns.join(", ")
    );
    if !predicted {
        return format!(
            "SELECT *, CAST(NULL AS DOUBLE) AS items, CAST(NULL AS DOUBLE) AS revenue FROM ({latest}) \
             ORDER BY first_us, case_id"
        );
    }
    // Where an item was scored more than once, the last score counts.
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

/// The latest cases of a stage to begin, of those that are over, on which measures are tried.
#[derive(Debug, Default)]
pub struct Sample {
    cases: Vec<Case>,
    /// The places of the cases, by their ids.
    places: HashMap<String, usize>,
}

impl Sample {
    /// Reads the sample from the session's `cases`.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(
        session: &SessionContext,
        file: &StageFile,
        stage: &Stage,
        population: Population<'_>,
    ) -> Result<Self> {
        let answer = query(session, &cases_sql(file, stage, population)).await?;
        let places = rows(&answer).map(|row| Ok((text_or_empty(&answer, "case_id", row)?, row)));
        Ok(Self { cases: cases(&answer)?, places: places.collect::<Result<_>>()? })
    }

    /// Whether it has no case.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// The effects of the measures, those that save the most first.
    pub fn measures(&self, seed: u64) -> Vec<CaseMeasure> {
        measures(&self.cases, seed)
    }

    /// The place of a case in the sample.
    pub fn place(&self, case: &str) -> Option<usize> {
        self.places.get(case).copied()
    }

    /// The effect of delays of an activity on the sample: the number of cases that it moves, and the change
    /// of the hours of all cases. `places` are the cases of the single events, and `delays` by how many
    /// microseconds later they end; none where the event no longer takes place. With a seed the cases are
    /// drawn with replacement.
    pub(super) fn effect_of_delays(
        &self,
        check: Check,
        places: &[Option<usize>],
        delays: &[Option<i64>],
        seed: Option<u64>,
    ) -> (u64, Figures) {
        let mut pairs: Vec<(f64, f64)> = self.cases.iter().map(|case| (case.hours(), case.hours())).collect();
        let mut touched = 0;
        for (place, by) in places.iter().zip(delays) {
            let Some(place) = *place else { continue };
            let (Some(pair), Some(case)) = (pairs.get_mut(place), self.cases.get(place)) else { continue };
            if let Some(hours) = case.moved(check, *by) {
                pair.1 = hours;
                touched += 1;
            }
        }
        let figures = match seed {
            Some(seed) => effect(&drawn(&pairs, seed)),
            None => effect(&pairs),
        };
        (touched, figures)
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
    let times = names.map(whole).into_iter().collect::<Result<Vec<_>>>()?;
    let (items, revenue) = (real("items")?, real("revenue")?);
    let case = |row: usize| {
        let at = |place: usize| times[place].is_valid(row).then(|| times[place].value(row));
        let score = |scores: &Float64Array| scores.is_valid(row).then(|| scores.value(row));
        Case {
            from: at(0).unwrap_or_default(),
            to: at(1).unwrap_or_default(),
            arrived: at(2),
            unloaded: at(3),
            lodged: at(4),
            accepted: at(5),
            documents: at(6),
            permit: at(7).zip(at(8)).filter(|(requested, decided)| decided >= requested),
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
            CaseChange::FifthOfRedToGreen => Some(dropped_inspections(cases, seed)),
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

/// Which inspected cases would no longer be inspected: those of which the least is expected, or at random. They are
/// ordered by the expected revenue where every prediction has one, and by the expected illicit items otherwise: never
/// by the one and the other in one list.
fn dropped_inspections(cases: &[Case], seed: u64) -> Vec<bool> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut inspected: Vec<(f64, u64, usize)> = Vec::new();
    let is_inspected = |case: &&Case| case.inspected.is_some();
    let by_revenue =
        cases.iter().filter(is_inspected).all(|case| case.items.is_none() || case.revenue.is_some());
    for (place, case) in cases.iter().enumerate().filter(|(_, case)| is_inspected(case)) {
        // A case without a prediction is not known to be harmless.
        let expected = if by_revenue { case.revenue } else { case.items };
        inspected.push((expected.unwrap_or(f64::MAX), random.random(), place));
    }
    inspected.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let many = (inspected.len() as f64 * DROPPED_SHARE).round() as usize;
    let mut dropped = vec![false; cases.len()];
    for (.., place) in inspected.into_iter().take(many) {
        dropped[place] = true;
    }
    dropped
}

/// What is expected to be lost by dropped inspections; none without predictions.
fn loss(cases: &[Case], dropped: &[bool]) -> Option<Loss> {
    let chosen = || cases.iter().zip(dropped).filter(|(_, dropped)| **dropped).map(|(case, _)| case);
    let predicted = chosen().filter(|case| case.items.is_some()).count() as u64;
    let sum = |of: fn(&Case) -> Option<f64>| chosen().filter_map(of).reduce(|a, b| a + b);
    let cents = |amount: f64| (amount * 100.0).round() / 100.0;
    Some(Loss {
        predicted,
        items: cents(sum(|case| case.items)?),
        revenue: sum(|case| case.revenue).map(cents),
    })
}

/// A measure with its effect on pairs of hours before and after.
fn measure(
    change: CaseChange,
    touched: u64,
    pairs: &[(f64, f64)],
    loss: Option<Loss>,
    seed: u64,
) -> CaseMeasure {
    let replications = (0..REPLICATIONS).map(|number| effect(&drawn(pairs, seed_of(seed, number))));
    let hours = with_intervals(effect(pairs), &replications.collect::<Vec<_>>());
    CaseMeasure { change, touched, cases: pairs.len() as u64, hours, loss }
}

/// As many pairs, drawn with replacement.
fn drawn(pairs: &[(f64, f64)], seed: u64) -> Vec<(f64, f64)> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0xB007);
    (0..pairs.len()).map(|_| pairs[random.random_range(0..pairs.len())]).collect()
}

/// The figures after minus those before.
fn effect(pairs: &[(f64, f64)]) -> Figures {
    let (before, after) = pairs.iter().copied().unzip();
    figures(after).minus(figures(before))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::{super::critical_path::tests::case, *};

    const H: i64 = 3_600_000_000;

    #[test]
    fn the_least_risky_are_no_longer_inspected_and_their_loss_is_given() {
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
        assert_eq!((red.touched, red.loss), (2, None), "at random, without a prediction");
        assert!(measures(&[], 1).is_empty());
    }

    #[test]
    fn revenue_and_items_are_not_in_one_order() {
        // Of five cases one has no revenue. By items the least is expected of the fifth; 0.9 items would rank before any
        // revenue above 0.9.
        let predicted = |items, revenue| Case { items: Some(items), revenue, ..case() };
        let cases = [
            predicted(0.9, None),
            predicted(0.5, Some(100.0)),
            predicted(0.6, Some(50.0)),
            predicted(0.7, Some(70.0)),
            predicted(0.1, Some(900.0)),
        ];
        let dropped = |cases: &[Case]| dropped_inspections(cases, 1).iter().position(|dropped| *dropped);
        assert_eq!(dropped(&cases), Some(4));
        // With every revenue known it is the second of these.
        assert_eq!(dropped(&[&cases[1..], &[predicted(0.2, Some(60.0))]].concat()), Some(1));
    }

    /// The cases of a stage from arrival to release that are sampled where they began by an hour, with their hours.
    async fn sampled(begun_by: i64) -> Vec<(String, f64)> {
        let stages = StageFile::parse(
            "roles = [\"arrival\", \"release\"]\n[[stage]]\nname = \"s\"\nkind = \"whole\"\nfrom = [\"arrival\"]\n\
             to = [\"release\"]\nmay_end_early = true\n",
        )
        .expect("is right");
        let hours = |times: [Option<i64>; 4]| {
            Arc::new(Int64Array::from_iter(times.map(|time| time.map(|time| time * H)))) as ArrayRef
        };
        let rows = RecordBatch::try_from_iter([
            ("case_id", Arc::new(StringArray::from(vec!["long", "early", "quick", "open"])) as ArrayRef),
            ("period", Arc::new(Int64Array::from(vec![0; 4]))),
            ("first_us", hours([Some(0), Some(2), Some(90), Some(95)])),
            ("last_us", hours([Some(50), Some(10), Some(91), Some(95)])),
            ("role_0", hours([Some(0), Some(10), Some(90), Some(95)])),
            ("role_1", hours([Some(50), Some(2), Some(91), None])),
        ])
        .expect("a batch");
        let session = SessionContext::new();
        session.register_batch("cases", rows).expect("registers");
        let population = Population { country: "UG", predicted: false, begun_by };
        let sample = Sample::read(&session, &stages, &stages.stages[0], population).await.expect("reads");
        let mut found: Vec<(String, f64)> =
            sample.places.iter().map(|(id, place)| (id.clone(), sample.cases[*place].hours())).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    #[tokio::test]
    async fn cases_are_sampled_by_their_beginning_and_early_releases_take_no_time() {
        let named = |cases: &[(&str, f64)]| -> Vec<(String, f64)> {
            cases.iter().map(|(id, hours)| ((*id).to_owned(), *hours)).collect()
        };
        // At a cut-off of 100 a case that began at 90 is over only because it was quick.
        assert_eq!(sampled(40 * H).await, named(&[("early", 0.0), ("long", 50.0)]));
        assert_eq!(sampled(i64::MAX).await, named(&[("early", 0.0), ("long", 50.0), ("quick", 1.0)]));
    }

    #[test]
    fn delays_have_an_effect_on_the_hours_of_all_cases() {
        let sample = Sample { cases: vec![case(); 4], ..Sample::default() };
        let places = [Some(0), None, Some(2)];
        let delays = [Some(-5 * H), Some(-5 * H), None];
        let (touched, change) = sample.effect_of_delays(Check::Inspection, &places, &delays, None);
        // 44, 44, 39 and 34 hours.
        let wanted = figures(vec![39.0, 44.0, 34.0, 44.0]);
        let before = figures(vec![44.0; 4]);
        assert_eq!((touched, change), (2, wanted.minus(before)));
        let again = |seed| sample.effect_of_delays(Check::Inspection, &places, &delays, Some(seed));
        assert_eq!(again(3), again(3));
    }
}
