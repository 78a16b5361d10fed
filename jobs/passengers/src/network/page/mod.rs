//! A network as one HTML page: a picture that a script draws, and tables for those who have no script.
//!
//! Promises: the page loads nothing, so that it opens on a computer without a network; a content security policy lets
//! only its own script run, by its hash; every text of the data is escaped or set as text. Places are computed here and
//! not by the browser, so that the picture is there at once and the same network gives the same bytes. Start at
//! [`page`]; [`picture`](picture::picture) is for other reports.

mod data;
pub mod picture;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use tidewaiter_core::Result;
use tidewaiter_report::{
    chart::palette_css,
    picture::base64,
    table::{Kind as ColumnKind, Table},
};

pub use self::data::{MOST_SHOWN, Seeds};
use super::{analysis::Analysis, kind::Kind, people::People};

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// Rows of the tables.
const LISTED: usize = 25;

/// What a network is of.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Its title.
    pub title: String,
    /// A sentence about what it was made of.
    pub subtitle: String,
    /// What stands at the bottom: version, snapshot, seed.
    pub footer: String,
}

/// The page, and the places of all travellers where one picture shows all.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Corrupt`] where the data has no JSON form.
pub fn page(
    people: &People,
    analysis: &Analysis,
    seeds: &Seeds,
    about: &About,
) -> Result<(String, Option<Vec<[f32; 2]>>)> {
    let (document, places) = data::document(people, analysis, seeds);
    // In a script's element only `<` could end it.
    let json = serde_json::to_string(&document)?.replace('<', "\\u003c");
    let hash = base64(&Sha256::digest(SCRIPT.as_bytes()));
    let policy =
        format!("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'");
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(policy);
                title { (about.title) }
                style { (PreEscaped(palette_css())) (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (about.title) }
                    p { (about.subtitle) }
                    @if let Some(sentence) = document.left_out(people.count(), analysis.communities.len()) {
                        p { (sentence) }
                    }
                }
                div .stage {
                    div .picture {
                        canvas #picture tabindex="0" role="application" aria-describedby="keys-short"
                            aria-label={ "Network of " (people.count()) " travellers" } {
                            "The tables below list central persons and communities."
                        }
                        div .tools {
                            button #zoom-in type="button" aria-label="Zoom in" { "+" }
                            button #zoom-out type="button" aria-label="Zoom out" { "−" }
                            button #fit type="button" { "Show all" }
                            button #help type="button" { "Keys" }
                        }
                        div .tip #tip hidden {}
                        (keys())
                    }
                    aside aria-label="Search, filters and details" { (panel()) }
                }
                main { (tables(people, analysis)) }
                footer { (about.footer) }
                script type="application/json" id="data" { (PreEscaped(json)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok((markup.into_string(), places))
}

fn keys() -> Markup {
    let keys = [
        ("Arrows", "move"),
        ("+ −", "zoom"),
        ("0", "show all"),
        ("n p", "next and previous, by importance"),
        ("Enter", "expand or collapse the community"),
        ("f", "only the neighbours of the selection, or all again"),
        ("o", "path to a known offender"),
        ("/", "search"),
        ("Esc", "select nothing"),
        ("?", "this list"),
    ];
    html! {
        div .keys #keys hidden {
            @for (key, what) in keys { div { kbd { (key) } " " (what) } }
        }
        p #keys-short hidden { "Press ? for the keys." }
    }
}

fn panel() -> Markup {
    html! {
        p .soft #shown {}
        label for="search" { "Search" }
        input #search type="search" placeholder="part of an identifier" autocomplete="off";
        ul #found {}
        h3 { "Links" }
        @for (number, kind) in Kind::ALL.into_iter().enumerate() {
            label .kind {
                input id={ "kind-" (kind.name()) } type="checkbox" checked;
                svg viewBox="0 0 36 12" aria-hidden="true" {
                    line x1="1" y1="6" x2="35" y2="6" stroke={ "var(--k" (number) ")" } stroke-width="2.5"
                        stroke-dasharray=(["none", "7 3", "2 3", "9 3 2 3", "12 4", "1 4"][number]) {}
                }
                span { (kind.words()) }
            }
        }
        label { input #lonely type="checkbox"; " Show travellers without links" }
        h3 { "Time" }
        output #days {}
        label { "from" input #from type="range"; }
        label { "to" input #to type="range"; }
        h3 { "Selection" }
        div .details #details {}
        p .soft { "Red squares are known offenders, a ring marks a seed, colours are communities; a circle with a number \
                   is a community of so many. Double-click expands a community, or shows only the neighbours of a \
                   traveller." }
        p #said aria-live="polite" style="position:absolute;left:-99rem" {}
    }
}

/// Central persons and communities.
fn tables(people: &People, analysis: &Analysis) -> Markup {
    let mut central = Table::new(
        "The most central travellers by PageRank",
        &[
            ("Traveller", ColumnKind::Text),
            ("Community", ColumnKind::Count),
            ("Flights", ColumnKind::Count),
            ("Linked with", ColumnKind::Count),
            ("PageRank, times the mean", ColumnKind::Number),
            ("Betweenness", ColumnKind::Count),
            ("Offences", ColumnKind::Count),
            ("Path to the nearest known offender", ColumnKind::Text),
        ],
    );
    for number in analysis.central(LISTED) {
        let (facts, at, name) = (people.facts(number), number as usize, people.name(number));
        let path = analysis.nearest.path(number);
        let way = match path.len() {
            0 => "none".to_owned(),
            1 => "is one".to_owned(),
            _ => path.iter().map(|step| people.name(*step)).collect::<Vec<_>>().join(" → "),
        };
        central.row(vec![
            tidewaiter_report::table::Cell::Markup(html! {
                button type="button" data-person=(name) { (name) }
            }),
            (u64::from(analysis.community[at]) + 1).into(),
            u64::from(facts.trips).into(),
            u64::from(analysis.degrees[at]).into(),
            analysis.rank[at].into(),
            analysis.between[at].into(),
            u64::from(facts.offences).into(),
            way.as_str().into(),
        ]);
    }
    let mut groups = Table::new(
        "The largest communities",
        &[
            ("Community", ColumnKind::Count),
            ("Members", ColumnKind::Count),
            ("Known offenders", ColumnKind::Count),
            ("Flights", ColumnKind::Count),
            ("Most central member", ColumnKind::Text),
        ],
    );
    for (number, community) in (1_u64..).zip(analysis.communities.iter().take(LISTED)) {
        let first = community.members.first().map_or("", |member| people.name(*member));
        groups.row(vec![
            number.into(),
            (community.members.len() as u64).into(),
            u64::from(community.offenders).into(),
            community.trips.into(),
            first.into(),
        ]);
    }
    html! {
        h2 { "Central travellers" }
        (central.render())
        h2 { "Communities" }
        (groups.render())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::people::{Facts, Link};

    /// A network of rings of eight, some linked with each other; the first of a ring with an even number is an offender.
    pub(crate) fn rings(count: u32) -> People {
        let mut people = People::default();
        for ring in 0..count {
            for place in 0..8 {
                let number = people.number(&format!("P{:06}", ring * 8 + place));
                let offences = u32::from(place == 0 && ring % 2 == 0);
                people.know(number, Facts { trips: 1 + place, days: (18_262, 18_292), offences });
            }
        }
        let mut link = |one: u32, other: u32, kind: Kind, day: i32| {
            people.links.push(Link { ends: (one, other), kind, shared: 1 + one % 3, days: (day, day + 20) });
        };
        for ring in 0..count {
            let first = ring * 8;
            for place in 0..8 {
                let (one, other) = (first + place, first + (place + 1) % 8);
                link(one.min(other), one.max(other), Kind::ALL[(place % 5) as usize], 18_262 + place as i32);
            }
            link(first, first + 4, Kind::Payment, 18_270);
            if ring % 4 != 3 && ring + 1 < count {
                link(first + 3, first + 8, Kind::Contact, 18_280);
            }
        }
        people
    }

    fn rendered(people: &People, seeds: &Seeds) -> String {
        let analysis = Analysis::new(people, 1);
        let about = About {
            title: "Network <of> travellers".to_owned(),
            subtitle: "All travellers of one month.".to_owned(),
            footer: "Tidewaiter".to_owned(),
        };
        let (html, places) = page(people, &analysis, seeds, &about).expect("renders");
        assert_eq!(places.is_some(), people.count() <= MOST_SHOWN);
        tidewaiter_report::keep(&format!("network-{}.html", people.count()), &html).expect("is written");
        html
    }

    #[test]
    fn a_page_loads_nothing_and_escapes_the_data() {
        let mut people = rings(3);
        let odd = people.number("</script><script>alert(1)</script>");
        people.know(odd, Facts { trips: 1, days: (i32::MAX, i32::MIN), offences: 0 });
        let seeds = Seeds { seeds: vec![0], hops: vec![0; people.count()] };
        let html = rendered(&people, &seeds);
        assert!(html.contains("Network &lt;of&gt; travellers") && html.contains("\\u003c/script>"));
        assert_eq!(html.matches("<script").count(), 2, "its data and its script");
        for load in ["http://", "https://", "src=", "url(", "@import", "<link", "innerHTML", "eval("] {
            assert!(!html.contains(load), "{load}");
        }
        assert!(html.contains("script-src 'sha256-") && !html.contains("script-src 'unsafe"));
        assert_eq!(html, rendered(&people, &seeds));
    }

    #[test]
    fn a_large_network_is_summarised_by_its_communities() {
        let people = rings(400);
        let html = rendered(&people, &Seeds::default());
        assert!(html.contains("\"summarised\":true") && html.len() < 1_500_000, "{} bytes", html.len());
        let said = html.split("The picture is one of communities: ").nth(1).expect("says what it leaves out");
        assert!(
            said.starts_with("all 100. ") && said.contains("; 3,200 of the 3,200 travellers"),
            "{}",
            &said[..200]
        );
    }

    #[test]
    fn two_thousand_travellers_are_one_picture() {
        assert!(rendered(&rings(250), &Seeds::default()).contains("\"summarised\":false"));
    }

    #[test]
    fn a_small_picture_has_no_script() {
        let people = rings(1);
        let markup = picture::picture(&people, 0, "a <case>").into_string();
        assert!(markup.contains("a &lt;case&gt;") && !markup.contains("<script"));
        assert_eq!(markup.matches("<line").count(), people.links.len());
    }
}
