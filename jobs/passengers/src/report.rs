//! The pages of a retrain and of an apply.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tidewaiter_registry::{Promotion, comparison::Comparison, intervals::wilson};
use tidewaiter_report::{
    chart::bar::BarChart,
    format::{ENGLISH, period},
    page::{Footer, Page, Section},
    table::{Cell, Kind, Table},
};

use crate::{
    cases::Case,
    features::catalogue::Part,
    metrics::{Group, Metrics, PERCENTS, Ranking, ScoredTrip, by},
    model::Learner,
    network::{days, page::picture::legend},
};

/// Rows of the tables of routes and airports.
const LISTED: usize = 25;

/// Features of the chart of importance.
const CHARTED: usize = 15;

/// What the page of a model says.
pub(crate) struct ModelFacts {
    pub(crate) country: String,
    /// Training, validation and test months.
    pub(crate) periods: [String; 3],
    pub(crate) champion: Option<String>,
    pub(crate) metrics: Metrics,
    pub(crate) champion_metrics: Option<Metrics>,
    pub(crate) comparison: Option<Comparison>,
    /// What the new model is.
    pub(crate) learner: Learner,
    /// What the champion is that it is compared with.
    pub(crate) compared: Option<Learner>,
    /// Part, words and share of each input in what the model goes by.
    pub(crate) importance: Vec<(Part, &'static str, f64)>,
    /// What is told of inspections of nobody who is known.
    pub(crate) unmatched: Option<String>,
    pub(crate) parts: BTreeMap<&'static str, f64>,
    pub(crate) seed: u64,
    pub(crate) snapshot: String,
    pub(crate) trips: Vec<ScoredTrip>,
    pub(crate) cases: Vec<Case>,
}

/// The page of a model: how well it did on the test months.
pub(crate) fn model_report(facts: &ModelFacts, model: &str, promotion: Promotion) -> Page {
    let metrics = &facts.metrics;
    let shown = metrics.random.as_ref().unwrap_or(&metrics.all);
    let of = if metrics.random.is_some() { "randomly inspected" } else { "inspected" };
    let lead = lead(shown, of);
    let became = match promotion {
        Promotion::Pending => "to be decided".to_owned(),
        Promotion::Champion => "is the champion".to_owned(),
        Promotion::NotBetter => "is not better than the champion".to_owned(),
        Promotion::OvertakenBy(version) => format!("is better, but version {version} was promoted meanwhile"),
    };
    let [train, valid, test] = facts.periods.each_ref().map(|months| period(months));
    let mut list = vec![
        ("Model".to_owned(), model.to_owned()),
        ("Kind".to_owned(), facts.learner.name().to_owned()),
        ("Promotion".to_owned(), became),
        ("Country".to_owned(), facts.country.clone()),
        ("Training months".to_owned(), train),
        ("Validation months".to_owned(), valid),
        ("Test months".to_owned(), test),
        ("Travellers in the test months".to_owned(), ENGLISH.count(metrics.trips as f64)),
        ("Inspected".to_owned(), ENGLISH.count(metrics.all.inspected as f64)),
        ("Finds".to_owned(), ENGLISH.count(metrics.all.found as f64)),
    ];
    if let Some(unmatched) = &facts.unmatched {
        list.push(("Inspections left out".to_owned(), unmatched.clone()));
    }
    if let Some(champion) = &facts.champion {
        list.push(("Champion before".to_owned(), champion.clone()));
    }
    Page {
        title: format!("Model of travellers into {}", facts.country),
        subtitle: "With whom an inspection finds something, by itinerary, booking, history and network"
            .to_owned(),
        lead,
        facts: list,
        sections: vec![
            section("detection", "Detection", detection(facts)),
            section("months", "By month", months(&facts.trips)),
            section("routes", "By route", routes(&facts.trips)),
            section("airports", "Workload of airports", airports(&facts.trips)),
            section("features", "What the model goes by", importance(facts)),
            section("cases", "Travellers with the highest scores", cases(&facts.cases)),
            section("reading", "How to read this", reading()),
        ],
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: Some(facts.seed),
            snapshot: Some(facts.snapshot.clone()),
        },
        ..Page::default()
    }
}

/// How much of what was found the selection finds: how many of how many, and how sure the share is.
fn lead(shown: &Ranking, of: &str) -> String {
    let [_, one, _] = PERCENTS;
    let share = shown.at.get(&format!("detected@{one}")).copied().unwrap_or_default();
    let (low, high) = wilson(share, shown.found.max(1) as f64);
    let end = |share: f64| ENGLISH.percent(share).trim_end_matches("\u{a0}%").to_owned();
    let finds = if shown.found == 1 { "find" } else { "finds" };
    format!(
        "Selecting {one} % of the travellers finds {} of the {} {finds} with {of} travellers in the test months: {} (95 % \
         interval {} to {}).",
        ENGLISH.count((share * shown.found as f64).round()),
        ENGLISH.count(shown.found as f64),
        ENGLISH.percent(share),
        end(low),
        end(high)
    )
}

fn section(anchor: &'static str, title: &str, body: Markup) -> Section {
    Section { anchor, title: title.to_owned(), body }
}

fn detection(facts: &ModelFacts) -> Markup {
    let mut table = Table::new(
        "Figures of the test months",
        &[
            ("Model and inspections", Kind::Text),
            ("Inspected", Kind::Count),
            ("Finds", Kind::Count),
            ("ROC AUC", Kind::Ratio),
            ("Average precision", Kind::Ratio),
            ("Detected at 0.1 %", Kind::Percent),
            ("Detected at 1 %", Kind::Percent),
            ("Detected at 5 %", Kind::Percent),
            ("Precision at 1 %", Kind::Percent),
        ],
    );
    let mut row = |name: &str, ranking: &Ranking| {
        let at = |name: String| Cell::from(ranking.at.get(&name).copied());
        table.row(vec![
            name.into(),
            ranking.inspected.into(),
            ranking.found.into(),
            ranking.roc_auc.into(),
            ranking.average_precision.into(),
            at(format!("detected@{}", PERCENTS[0])),
            at(format!("detected@{}", PERCENTS[1])),
            at(format!("detected@{}", PERCENTS[2])),
            at(format!("precision@{}", PERCENTS[1])),
        ]);
    };
    let models = [("New model", Some(&facts.metrics)), ("Champion before", facts.champion_metrics.as_ref())];
    for ((name, metrics), learner) in models.into_iter().zip([Some(facts.learner), facts.compared]) {
        let Some(metrics) = metrics else { continue };
        let name = learner.map_or(name.to_owned(), |learner| format!("{name} ({})", learner.name()));
        if let Some(random) = &metrics.random {
            row(&format!("{name}, random inspections"), random);
        }
        row(&format!("{name}, all inspections"), &metrics.all);
    }
    html! {
        (table.render())
        p { "All travellers are ranked by their score. Those who were inspected at random stand for all of them; inspections \
             that officers or models chose look where more is found, so that their figures are not those of everybody. Both \
             models rank the same travellers, each by what it reads." }
        @if let Some(comparison) = &facts.comparison {
            p {
                "Against the champion the average precision differs by "
                (format!("{:+.4} (95 % interval {:+.4} to {:+.4})", comparison.difference, comparison.low, comparison.high))
                " over inspected travellers and days drawn anew."
            }
        }
    }
}

/// Columns of tables of groups.
const OF_GROUP: [(&str, Kind); 8] = [
    ("Travellers", Kind::Count),
    ("Inspected", Kind::Count),
    ("Finds", Kind::Count),
    ("Selected at 0.1 %", Kind::Count),
    ("Selected at 1 %", Kind::Count),
    ("Selected at 5 %", Kind::Count),
    ("Detected at 1 %", Kind::Percent),
    ("Detected at 5 %", Kind::Percent),
];

fn group_table(caption: &str, first: &str, groups: impl Iterator<Item = (String, Group)>) -> Table {
    let columns: Vec<(&str, Kind)> = std::iter::once((first, Kind::Text)).chain(OF_GROUP).collect();
    let mut table = Table::new(caption, &columns);
    for (name, group) in groups {
        let share =
            |place: usize| (group.found > 0).then(|| group.detected[place] as f64 / group.found as f64);
        let mut cells: Vec<Cell> =
            vec![name.as_str().into(), group.trips.into(), group.inspected.into(), group.found.into()];
        cells.extend(group.selected.map(Cell::from));
        cells.extend([share(1), share(2)].map(Cell::from));
        table.row(cells);
    }
    table
}

/// The month of a day: `2024-03`.
fn month(day: i32) -> String {
    days::text(day).unwrap_or_default().chars().take(7).collect()
}

fn months(trips: &[ScoredTrip]) -> Markup {
    group_table("By month of the flight", "Month", by(trips, |trip| month(trip.day)).into_iter()).render()
}

fn routes(trips: &[ScoredTrip]) -> Markup {
    let mut groups: Vec<(String, Group)> = by(trips, |trip| trip.route.clone()).into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse((group.found, group.trips)));
    groups.truncate(LISTED);
    group_table("Routes with the most finds", "Route", groups.into_iter()).render()
}

fn airports(trips: &[ScoredTrip]) -> Markup {
    let first = trips.iter().map(|trip| trip.day).min().unwrap_or_default();
    let last = trips.iter().map(|trip| trip.day).max().unwrap_or_default();
    let count = f64::from(last - first + 1);
    let mut table = Table::new(
        "Selected travellers a day, where so many percent of all are selected",
        &[
            ("Airport", Kind::Text),
            ("Travellers a day", Kind::Number),
            ("At 0.1 %", Kind::Number),
            ("At 1 %", Kind::Number),
            ("At 5 %", Kind::Number),
            ("Share of the airport's travellers at 1 %", Kind::Percent),
        ],
    );
    let mut groups: Vec<(String, Group)> = by(trips, |trip| trip.airport().to_owned()).into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.trips));
    for (airport, group) in groups.into_iter().take(LISTED) {
        let a_day = |travellers: u64| Cell::from((travellers as f64 / count * 100.0).round() / 100.0);
        let mut cells: Vec<Cell> = vec![airport.as_str().into(), a_day(group.trips)];
        cells.extend(group.selected.map(a_day));
        cells.push((group.selected[1] as f64 / group.trips as f64).into());
        table.row(cells);
    }
    table.render()
}

fn importance(facts: &ModelFacts) -> Markup {
    let mut features: Vec<(String, f64)> =
        facts.importance.iter().map(|(_, words, share)| ((*words).to_owned(), *share)).collect();
    features.sort_by(|one, other| other.1.total_cmp(&one.1));
    features.truncate(CHARTED);
    let chart = |title: &str, bars: Vec<(String, f64)>| {
        BarChart { title: title.to_owned(), kind: Kind::Percent, numbers: ENGLISH, bars }.render()
    };
    let mut parts: Vec<(String, f64)> =
        facts.parts.iter().map(|(part, share)| ((*part).to_owned(), *share)).collect();
    parts.sort_by(|one, other| other.1.total_cmp(&one.1));
    let of = match facts.learner {
        Learner::Graph => "in how much the answers change without it",
        Learner::Trees => "in the gain of the trees",
    };
    html! {
        (chart(&format!("Share of each part of the features {of}"), parts))
        (chart("Share of each feature", features))
    }
}

/// Cases with their reasons, and the networks of the first.
pub(crate) fn cases(cases: &[Case]) -> Markup {
    let mut table = Table::new(
        "Travellers with the highest scores, and why",
        &[
            ("Traveller", Kind::Text),
            ("Flight", Kind::Text),
            ("Route", Kind::Text),
            ("Airline", Kind::Text),
            ("Score", Kind::Ratio),
            ("Inspection", Kind::Text),
        ],
    );
    for case in cases {
        let found = match case.found {
            None => "none",
            Some(true) => "found something",
            Some(false) => "found nothing",
        };
        let note = html! { ul { @for reason in &case.reasons { li { (reason.reason) } } } };
        table.row_with_note(
            vec![
                case.person.as_str().into(),
                case.date.as_str().into(),
                case.route.as_str().into(),
                case.carrier.as_str().into(),
                case.probability.into(),
                found.into(),
            ],
            note,
        );
    }
    let pictured: Vec<&Markup> = cases.iter().filter_map(|case| case.picture.as_ref()).collect();
    html! {
        (table.render())
        @if !pictured.is_empty() {
            h3 { "Networks of the first" }
            (legend())
            div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem 1.25rem" {
                @for picture in pictured { (picture) }
            }
        }
    }
}

fn reading() -> Markup {
    html! {
        p { "A score is an estimate from earlier inspections. The reasons say what raised it; they prove nothing about a \
             traveller. Sex, nationality, age and residence are no features. Identifiers are keyed pseudonyms." }
        p { "The reasons of a graph network say what the score loses without one value, or without all linked travellers; a \
             few of these are looked at, drawn by chance where there are many." }
        p { "Features know only what was known on the days before the flight: results of inspections count from the day on \
             which they were known, links only once both travellers have flown." }
    }
}

/// What the page of a selection says.
pub(crate) struct SelectionFacts {
    pub(crate) country: String,
    pub(crate) months: String,
    pub(crate) model: String,
    pub(crate) snapshot: String,
    pub(crate) capacity_percent: f64,
    pub(crate) threshold: f64,
    pub(crate) trips: u64,
    pub(crate) selected: u64,
    /// Of months that the model learned from.
    pub(crate) in_sample: u64,
    /// Rules and how many fulfil them.
    pub(crate) rules: Vec<(String, u64)>,
    /// Matches of the watch list: entry, traveller, flight, what matched, score.
    pub(crate) watched: Vec<(String, String, String, String, f64)>,
    pub(crate) scored: Vec<ScoredTrip>,
    pub(crate) cases: Vec<Case>,
}

/// The page of a selection.
pub(crate) fn selection_report(facts: &SelectionFacts) -> Page {
    let lead = format!(
        "{} of {} travellers are selected by their score, from {:.3}.",
        ENGLISH.count(facts.selected as f64),
        ENGLISH.count(facts.trips as f64),
        facts.threshold
    );
    let mut sections = vec![section("cases", "Travellers with the highest scores", cases(&facts.cases))];
    if !facts.rules.is_empty() {
        let mut table = Table::new(
            "Rules and how many travellers fulfil them",
            &[("Rule", Kind::Text), ("Travellers", Kind::Count)],
        );
        facts.rules.iter().for_each(|(name, count)| table.row(vec![name.as_str().into(), (*count).into()]));
        sections.push(section("rules", "Rules", table.render()));
    }
    if !facts.watched.is_empty() {
        let columns = [
            ("Entry of the watch list", Kind::Text),
            ("Traveller", Kind::Text),
            ("Flight", Kind::Text),
            ("What matched", Kind::Text),
            ("Score", Kind::Ratio),
        ];
        let mut table = Table::new("Matches of the watch list, which an officer has to confirm", &columns);
        for (entry, person, date, what, score) in &facts.watched {
            table.row(vec![
                entry.as_str().into(),
                person.as_str().into(),
                date.as_str().into(),
                what.as_str().into(),
                (*score).into(),
            ]);
        }
        sections.push(section("watch-list", "Watch list", table.render()));
    }
    sections.push(section("airports", "Workload of airports", airports(&facts.scored)));
    sections.push(section("reading", "How to read this", reading()));
    let mut list = vec![
        ("Model".to_owned(), facts.model.clone()),
        ("Country".to_owned(), facts.country.clone()),
        ("Months".to_owned(), period(&facts.months)),
        ("Capacity".to_owned(), format!("{} % of the travellers", facts.capacity_percent)),
    ];
    if facts.in_sample > 0 {
        list.push((
            "Of months that the model learned from".to_owned(),
            format!("{} travellers", ENGLISH.count(facts.in_sample as f64)),
        ));
    }
    Page {
        title: format!("Selection of travellers into {}", facts.country),
        subtitle: period(&facts.months),
        lead,
        facts: list,
        sections,
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: None,
            snapshot: Some(facts.snapshot.clone()),
        },
        ..Page::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_few_finds_says_of_how_many_and_how_sure() {
        let ranking = |found: u64, share: f64| Ranking {
            inspected: 40,
            found,
            roc_auc: 0.9,
            average_precision: 0.5,
            at: [("detected@1".to_owned(), share)].into(),
        };
        // Wilson's interval of 2 in 3.
        let few = lead(&ranking(3, 2.0 / 3.0), "randomly inspected");
        assert!(few.contains("finds 2 of the 3 finds with randomly inspected"), "{few}");
        assert!(few.contains("66.7\u{a0}% (95 % interval 20.8 to 93.9)"), "{few}");
        assert!(lead(&ranking(1, 0.0), "inspected").contains("0 of the 1 find with"));
    }
}
