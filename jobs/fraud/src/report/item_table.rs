//! The table of the items that rank first, each with the reasons of its score.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use tidewaiter_report::{
    table::{Cell, Kind},
    words::Words,
};

/// Characters of a description that are shown.
const SHOWN: usize = 160;

/// One item selected for inspection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectedItem {
    /// Rank, from 1.
    pub rank: u64,
    /// Identifier of the declaration.
    pub declaration: String,
    /// Number of the goods item.
    pub item: u64,
    /// Day of acceptance, `2021-04-01`.
    pub date: String,
    /// Importer.
    pub importer: String,
    /// Commodity code.
    pub hs_code: String,
    /// Country of origin.
    pub origin: String,
    /// Customs office; empty: not read.
    pub office: String,
    /// Description of the goods; empty: not read.
    pub description: String,
    /// Customs value, national currency.
    pub value: Option<f64>,
    /// Predicted probability of fraud.
    pub probability: f64,
    /// Revenue expected from inspecting it.
    pub expected_revenue: Option<f64>,
    /// Whether it was found illicit; `None`: unknown.
    pub illicit: Option<bool>,
    /// The reasons of its score: a text and its contribution in log odds, the largest first.
    pub reasons: Vec<(String, f64)>,
}

/// The table of items; columns without any value are left out.
pub(super) fn table(words: &Words, caption: &str, items: &[SelectedItem], currency: &str) -> Markup {
    let amount = |what: &str| match currency {
        "" => what.to_owned(),
        _ => format!("{what}, {currency}"),
    };
    let (value, expected) = (amount(words.say("Customs value")), amount(words.say("Expected revenue")));
    let has_value = items.iter().any(|item| item.value.is_some());
    let has_expected = items.iter().any(|item| item.expected_revenue.is_some());
    let has_outcome = items.iter().any(|item| item.illicit.is_some());
    let has_office = items.iter().any(|item| !item.office.is_empty());
    let mut columns = vec![
        ("Rank", Kind::Count),
        ("Declaration / item", Kind::Text),
        ("Date", Kind::Text),
        ("Importer", Kind::Text),
        ("HS code", Kind::Text),
        ("Origin", Kind::Text),
        ("Probability", Kind::Percent),
    ];
    let optional: [(bool, &str, Kind); 3] = [
        (has_value, &value, Kind::Count),
        (has_expected, &expected, Kind::Count),
        (has_outcome, "Proved illicit", Kind::Text),
    ];
    if has_office {
        columns.insert(3, ("Office", Kind::Text));
    }
    columns.extend(optional.iter().filter(|column| column.0).map(|(_, name, kind)| (*name, *kind)));
    let mut table = words.table(caption, &columns);
    let code = |text: &str| if text.is_empty() { Cell::Absent } else { text.into() };
    for item in items {
        let reasons = html! {
            @if !item.description.is_empty() { p { (shorten(&item.description)) } }
            ul {
                @for (text, contribution) in &item.reasons {
                    li {
                        (if *contribution < 0.0 { "▼ " } else { "▲ " }) (text)
                        " (" (if *contribution < 0.0 { "" } else { "+" }) (words.numbers().fixed(*contribution, 2)) ")"
                    }
                }
            }
        };
        let mut cells = vec![
            item.rank.into(),
            Cell::Text(format!("{} / {}", item.declaration, item.item)),
            code(&item.date),
            code(&item.importer),
            code(&item.hs_code),
            code(&item.origin),
            item.probability.into(),
        ];
        if has_office {
            cells.insert(3, code(&item.office));
        }
        let outcome = item.illicit.map(|illicit| if illicit { words.say("yes") } else { words.say("no") });
        let optional = [item.value.into(), item.expected_revenue.into(), outcome.into()];
        let shown = [has_value, has_expected, has_outcome];
        cells.extend(optional.into_iter().zip(shown).filter(|(_, shown)| *shown).map(|(cell, _)| cell));
        table.row_with_note(cells, reasons);
    }
    html! {
        p {
            (words.say(
                "▲ raises the probability, ▼ lowers it, by so much in log-odds: +0.69 doubles the odds of fraud, +1.39 \
                 makes them four times as high. What is about the same, such as a price told in several ways, is one reason \
                 with the sum of them. An item has more reasons than are shown. HS 6 × origin: earlier items of \
                 the same commodity (six digits) and origin; illicit shares are drawn towards that of all items, the \
                 more so the fewer outcomes there are.",
            ))
        }
        (table.render())
    }
}

/// The beginning of a description.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
