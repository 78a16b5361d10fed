//! The pages of a retrain and of an apply.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tidewaiter_registry::{Promotion, comparison::Comparison};
use tidewaiter_report::{
    chart::bar::BarChart,
    format::ENGLISH,
    page::{Footer, Page, Section},
    table::{Cell, Kind, Table},
};

use crate::{
    cases::Case,
    features::catalogue::FEATURES,
    metrics::{Group, Metrics, PERCENTS, Ranking, ScoredTrip, by},
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
    /// Shares of the features in the gain.
    pub(crate) importance: Vec<f64>,
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
    let [_, one, _] = PERCENTS;
    let detected = shown.at.get(&format!("detected@{one}")).copied().unwrap_or_default();
    let lead = format!(
        "Selecting {one} % of the travellers finds {} of what was found with {of} travellers in the test months.",
        ENGLISH.percent(detected)
    );
    let became = match promotion {
        Promotion::Pending => "to be decided".to_owned(),
        Promotion::Champion => "is the champion".to_owned(),
        Promotion::NotBetter => "is not better than the champion".to_owned(),
        Promotion::OvertakenBy(version) => format!("is better, but version {version} was promoted meanwhile"),
    };
    let [train, valid, test] = facts.periods.clone();
    let mut list = vec![
        ("Model".to_owned(), model.to_owned()),
        ("Promotion".to_owned(), became),
        ("Country".to_owned(), facts.country.clone()),
        ("Training months".to_owned(), train),
        ("Validation months".to_owned(), valid),
        ("Test months".to_owned(), test),
        ("Travellers in the test months".to_owned(), ENGLISH.count(metrics.trips as f64)),
        ("Inspected".to_owned(), ENGLISH.count(metrics.all.inspected as f64)),
        ("Finds".to_owned(), ENGLISH.count(metrics.all.found as f64)),
    ];
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
    for (name, metrics) in models {
        let Some(metrics) = metrics else { continue };
        if let Some(random) = &metrics.random {
            row(&format!("{name}, random inspections"), random);
        }
        row(&format!("{name}, all inspections"), &metrics.all);
    }
    html! {
        (table.render())
        p { "All travellers are ranked by their score. Those who were inspected at random stand for all of them; inspections \
             that officers or models chose look where more is found, so that their figures are not those of everybody." }
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
        let mut cells: Vec<Cell> = vec![airport.as_str().into(), (group.trips as f64 / count).into()];
        cells.extend(group.selected.map(|selected| Cell::from(selected as f64 / count)));
        cells.push((group.selected[1] as f64 / group.trips as f64).into());
        table.row(cells);
    }
    table.render()
}

fn importance(facts: &ModelFacts) -> Markup {
    let mut features: Vec<(String, f64)> = FEATURES
        .iter()
        .map(|feature| feature.words.to_owned())
        .zip(facts.importance.iter().copied())
        .collect();
    features.sort_by(|one, other| other.1.total_cmp(&one.1));
    features.truncate(CHARTED);
    let chart = |title: &str, bars: Vec<(String, f64)>| {
        BarChart { title: title.to_owned(), kind: Kind::Percent, numbers: ENGLISH, bars }.render()
    };
    let mut parts: Vec<(String, f64)> =
        facts.parts.iter().map(|(part, share)| ((*part).to_owned(), *share)).collect();
    parts.sort_by(|one, other| other.1.total_cmp(&one.1));
    html! {
        (chart("Share of each part of the features in the gain of the trees", parts))
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
        ("Months".to_owned(), facts.months.clone()),
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
        subtitle: facts.months.clone(),
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
