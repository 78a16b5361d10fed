//! The travellers with the highest scores as cases: who, why, and the network around each of the first.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use maud::Markup;
use tidewaiter_archive::Archive;
use tidewaiter_core::{Result, answers};

use crate::{
    graph::components::within,
    model::Reason,
    network::{
        kind::Kind,
        page::picture::picture,
        plans::{add_facts, used},
    },
};

/// Cases of a report.
pub(crate) const LISTED: usize = 20;

/// Cases whose network is shown.
const PICTURED: usize = 6;

/// Travellers of a picture at most.
const MOST_IN_PICTURE: usize = 40;

/// Travellers that may share something that a picture shows.
const MOST_SHARING: u32 = 20;

/// Travellers around all cases whose own links are followed.
const MOST_FOLLOWED: usize = 500;

/// A traveller on a flight with a high score.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) person: String,
    pub(crate) date: String,
    pub(crate) route: String,
    pub(crate) carrier: String,
    pub(crate) probability: f64,
    /// Whether an inspection found something.
    pub(crate) found: Option<bool>,
    pub(crate) reasons: Vec<Reason>,
    /// The network around it.
    pub(crate) picture: Option<Markup>,
}

/// The cases of scored rows, which come in their order.
fn cases(top: &RecordBatch) -> Result<Vec<Case>> {
    let case = |row: usize| {
        let text =
            |name: &str| Ok::<_, tidewaiter_core::Error>(answers::text(top, name, row)?.unwrap_or_default());
        let label = answers::text(top, "label", row)?;
        let reasons = answers::text(top, "reasons", row)?;
        Ok(Case {
            person: text("person_id")?,
            date: text("flight_date")?,
            route: format!("{}–{}", text("from_airport")?, text("to_airport")?),
            carrier: text("carrier")?,
            probability: answers::number(top, "probability", row)?,
            found: label.map(|label| label.starts_with('1')),
            reasons: reasons.map_or(Ok(Vec::new()), |reasons| serde_json::from_str(&reasons))?,
            picture: None,
        })
    };
    answers::rows(top).map(case).collect()
}

/// The cases of scored rows, the first of them with pictures of their networks.
///
/// # Errors
/// Those of the queries.
pub(crate) async fn with_networks(
    session: &SessionContext,
    archive: &Archive,
    countries: &[String],
    folder: &str,
    top: RecordBatch,
) -> Result<Vec<Case>> {
    let mut cases = cases(&top)?;
    let mut seeds: Vec<String> = cases.iter().take(PICTURED).map(|case| case.person.clone()).collect();
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.is_empty() {
        return Ok(cases);
    }
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Agency).collect();
    let shared = used(session, archive, (countries, None), &kinds, &format!("{folder}/case-uses")).await?;
    let near = |people: Vec<String>, ring: u32| {
        let (shared, path) = (&shared, format!("{folder}/case-ring-{ring}"));
        async move { shared.neighbours(session, archive, (&people, &path), (&Kind::ALL, MOST_SHARING)).await }
    };
    let mut people = near(seeds.clone(), 1).await?;
    if people.len() <= MOST_FOLLOWED {
        people = near(people, 2).await?;
    }
    people.extend(seeds);
    people.sort_unstable();
    people.dedup();
    let wanted = format!("{folder}/case-wanted");
    let mut network = shared.links(session, archive, Some((&people, &wanted)), MOST_SHARING).await?;
    add_facts(session, archive, (countries, None), &mut network).await?;
    let graph = network.graph();
    let mut drawn: BTreeMap<String, Markup> = BTreeMap::new();
    for case in cases.iter_mut().take(PICTURED) {
        let Some(centre) = network.find(&case.person) else { continue };
        if let Some(known) = drawn.get(&case.person) {
            case.picture = Some(known.clone());
            continue;
        }
        let mut around = within(&graph, &[centre], 2);
        around.sort_by_key(|(number, distance)| (*distance, *number));
        let chosen: Vec<u32> = around.iter().take(MOST_IN_PICTURE).map(|(number, _)| *number).collect();
        let left_out = around.len() - chosen.len();
        let part = network.part(&chosen);
        let more = if left_out > 0 { format!("; {left_out} more are left out") } else { String::new() };
        let caption =
            format!("Around {}: {} travellers up to two links away{more}", case.person, part.count() - 1);
        let markup = picture(&part, 0, &caption);
        drawn.insert(case.person.clone(), markup.clone());
        case.picture = Some(markup);
    }
    Ok(cases)
}
