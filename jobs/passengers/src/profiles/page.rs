//! The page of profiles.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tidewaiter_report::{
    format::{ENGLISH, period},
    page::{Footer, Page, Section},
    table::{Cell, Kind, Table},
};

use super::figures::{Impact, Share};

/// A profile with its figures.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) words: String,
    /// In the training months, corrected for the number of possible rules.
    pub(super) train: Share,
    pub(super) train_lift: f64,
    pub(super) test: Share,
    pub(super) test_lift: Option<f64>,
    /// Finds of all months that no profile before it has.
    pub(super) new_finds: u64,
    /// Finds and inspections by month, of all months.
    pub(super) months: BTreeMap<String, (u64, u64)>,
    /// All travellers of the test months of whom it holds, inspected or not.
    pub(super) test_trips: u64,
    /// Whom it selects.
    pub(super) impact: Vec<Impact>,
}

pub(super) struct Facts {
    pub(super) country: String,
    pub(super) train: String,
    pub(super) test: String,
    pub(super) tried: u64,
    /// Whether the search was ended before it had seen all that it had to see.
    pub(super) is_cut: bool,
    /// Rules that compete.
    pub(super) possible: u64,
    pub(super) conditions: usize,
    /// Finds and inspections of all in both periods.
    pub(super) base: [(u64, u64); 2],
    pub(super) test_trips: u64,
    pub(super) profiles: Vec<Profile>,
    /// Overlap of each two.
    pub(super) overlaps: Vec<Vec<f64>>,
    pub(super) impact: Vec<Impact>,
    pub(super) with_protected: bool,
    pub(super) snapshot: String,
    /// Path of the rules.
    pub(super) rules: String,
}

/// A share of finds below which a month says little.
const FEW: u64 = 5;

pub(super) fn page(facts: &Facts) -> Page {
    let holding =
        facts.profiles.iter().filter(|profile| profile.test_lift.is_some_and(|lift| lift > 1.0)).count();
    let lead = match facts.profiles.len() {
        0 => {
            "No rule is better than chance after the correction for the number of possible rules.".to_owned()
        }
        count => format!(
            "{count} rules of {} possible ones; {holding} of them find more than the average in the test months, too.",
            ENGLISH.count(facts.possible as f64)
        ),
    };
    let rate = |(found, of): (u64, u64)| {
        let share = ENGLISH.percent(found as f64 / of.max(1) as f64);
        format!("{share}: {} of {} inspected", ENGLISH.count(found as f64), ENGLISH.count(of as f64))
    };
    let tried = match facts.is_cut {
        true => format!(
            "{}, where the search was ended; better rules can be among the others",
            ENGLISH.count(facts.tried as f64)
        ),
        false => ENGLISH.count(facts.tried as f64),
    };
    let used = if facts.with_protected { "used, as asked for" } else { "not used" };
    Page {
        title: format!("Risk profiles of travellers into {}", facts.country),
        subtitle: "Short rules found in the results of inspections, tested on later months".to_owned(),
        lead,
        facts: vec![
            ("Searched months".to_owned(), period(&facts.train)),
            ("Test months".to_owned(), period(&facts.test)),
            ("Share of finds, searched months".to_owned(), rate(facts.base[0])),
            ("Share of finds, test months".to_owned(), rate(facts.base[1])),
            ("Conditions".to_owned(), ENGLISH.count(facts.conditions as f64)),
            ("Possible rules".to_owned(), ENGLISH.count(facts.possible as f64)),
            ("Rules tried".to_owned(), tried),
            ("Protected attributes".to_owned(), used.to_owned()),
            ("Rules for `apply passengers --profiles`".to_owned(), facts.rules.clone()),
        ],
        sections: vec![
            section("profiles", "Profiles", profiles(facts)),
            section("months", "Stability by month", months(facts)),
            section("overlap", "Overlap", overlaps(facts)),
            section("impact", "Whom the profiles select", impacts(facts)),
            section("reading", "How to read this", reading()),
        ],
        footer: Footer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: None,
            snapshot: Some(facts.snapshot.clone()),
        },
        ..Page::default()
    }
}

fn section(anchor: &'static str, title: &str, body: Markup) -> Section {
    Section { anchor, title: title.to_owned(), body }
}

fn range(share: &Share) -> String {
    if share.of == 0 {
        return "–".to_owned();
    }
    format!("{} to {}", ENGLISH.percent(share.low), ENGLISH.percent(share.high))
}

fn profiles(facts: &Facts) -> Markup {
    let mut table = Table::new(
        "Profiles by quality in the searched months; the intervals there hold of all possible rules together",
        &[
            ("Profile", Kind::Text),
            ("Inspected", Kind::Count),
            ("Finds", Kind::Count),
            ("Precision", Kind::Percent),
            ("Lift", Kind::Ratio),
            ("Interval, corrected", Kind::Text),
            ("Test: inspected", Kind::Count),
            ("Test: finds", Kind::Count),
            ("Test: precision", Kind::Percent),
            ("Test: lift", Kind::Ratio),
            ("Test: interval", Kind::Text),
            ("New finds", Kind::Count),
            ("Selects in the test months", Kind::Percent),
        ],
    );
    for profile in &facts.profiles {
        let (train, test) = (&profile.train, &profile.test);
        table.row_with_note(
            vec![
                profile.name.as_str().into(),
                train.of.into(),
                train.found.into(),
                train.share().into(),
                profile.train_lift.into(),
                range(train).as_str().into(),
                test.of.into(),
                test.found.into(),
                test.share().into(),
                profile.test_lift.into(),
                range(test).as_str().into(),
                profile.new_finds.into(),
                (profile.test_trips as f64 / facts.test_trips.max(1) as f64).into(),
            ],
            html! { ul { li { (profile.words) } } },
        );
    }
    table.render()
}

fn months(facts: &Facts) -> Markup {
    let names: std::collections::BTreeSet<&String> =
        facts.profiles.iter().flat_map(|profile| profile.months.keys()).collect();
    let columns: Vec<(&str, Kind)> = std::iter::once(("Profile", Kind::Text))
        .chain(names.iter().map(|name| (name.as_str(), Kind::Percent)))
        .collect();
    let mut table =
        Table::new(format!("Precision by month; empty where fewer than {FEW} were inspected"), &columns);
    for profile in &facts.profiles {
        let mut cells: Vec<Cell> = vec![profile.name.as_str().into()];
        cells.extend(names.iter().map(|name| {
            let (found, of) = profile.months.get(*name).copied().unwrap_or_default();
            Cell::from((of >= FEW).then(|| found as f64 / of as f64))
        }));
        table.row(cells);
    }
    table.render()
}

fn overlaps(facts: &Facts) -> Markup {
    let columns: Vec<(&str, Kind)> = std::iter::once(("Profile", Kind::Text))
        .chain(facts.profiles.iter().map(|profile| (profile.name.as_str(), Kind::Percent)))
        .collect();
    let mut table =
        Table::new("Inspected travellers whom both profiles hold of, of those whom either does", &columns);
    for (profile, row) in facts.profiles.iter().zip(&facts.overlaps) {
        let mut cells: Vec<Cell> = vec![profile.name.as_str().into()];
        cells.extend(row.iter().map(|share| Cell::from(*share)));
        table.row(cells);
    }
    table.render()
}

fn impact_table(caption: &str, impacts: &[Impact]) -> Table {
    let mut table = Table::new(
        caption,
        &[
            ("Attribute", Kind::Text),
            ("Group", Kind::Text),
            ("Travellers", Kind::Count),
            ("Selected", Kind::Count),
            ("Share selected", Kind::Percent),
            ("Times that of all others", Kind::Ratio),
            ("Finds among the inspected of the group", Kind::Percent),
        ],
    );
    for impact in impacts {
        table.row(vec![
            impact.attribute.as_str().into(),
            impact.group.as_str().into(),
            impact.trips.into(),
            impact.selected.into(),
            (impact.selected as f64 / impact.trips.max(1) as f64).into(),
            impact.ratio.into(),
            impact.found.into(),
        ]);
    }
    table
}

fn impacts(facts: &Facts) -> Markup {
    let worst = |profile: &Profile| {
        let by = |impact: &&Impact| impact.ratio.filter(|_| impact.selected >= 5);
        let most = profile.impact.iter().filter(|impact| by(impact).is_some());
        most.max_by(|one, other| one.ratio.unwrap_or(0.0).total_cmp(&other.ratio.unwrap_or(0.0))).cloned()
    };
    let mut each = Table::new(
        "The group that each profile hits most",
        &[
            ("Profile", Kind::Text),
            ("Attribute", Kind::Text),
            ("Group", Kind::Text),
            ("Times all others", Kind::Ratio),
        ],
    );
    for profile in &facts.profiles {
        let Some(impact) = worst(profile) else { continue };
        each.row(vec![
            profile.name.as_str().into(),
            impact.attribute.as_str().into(),
            impact.group.as_str().into(),
            impact.ratio.into(),
        ]);
    }
    html! {
        (impact_table("Travellers of the test months of whom any profile holds, by protected attributes", &facts.impact).render())
        (each.render())
        p { "A ratio far from 1 is a reason to look at the rule: a route or an agency can stand for an origin. That a group is \
             selected more often is justified by no more than what the inspections of the group find." }
    }
}

fn reading() -> Markup {
    html! {
        p { "A profile is a description of whom inspections found something with, and no cause. The interval of the searched \
             months is corrected for all possible rules, those too that need not be tried because they cannot come into the list; \
             the test months were not searched, and theirs is not corrected." }
        p { "Lift is the precision over the share of finds of all inspected. New finds are those of all months that no profile \
             above has." }
    }
}
