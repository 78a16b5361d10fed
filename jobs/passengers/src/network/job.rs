//! The job `passengers network`: from the archive's tables to a page, GraphML and GEXF.
//!
//! Its steps: what travellers used ([`super::plans`]); who is a few links away from the seeds; the links, their analysis
//! and the files. Start at [`Parameters`].

use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use tidewaiter_archive::{Table, upload::write_object};
use tidewaiter_core::{Error, Period, Result, threads::on_cpu};
use tidewaiter_job::{Job, JobParameters, Outcome, async_trait, summary::grouped};
use tidewaiter_report::format::period;

use super::{
    analysis::Analysis,
    export::{gexf, graphml},
    kind::Kind,
    page::{About, Seeds, page},
    people::People,
    plans::{Shared, add_facts, seeds, used},
};
use crate::table;

/// Travellers of a network of seeds at most.
const MOST_PEOPLE: usize = 50_000;

/// The parameters of a network.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Reporting country whose travellers are linked, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub country: String,
    /// Where the network begins: identifiers of persons, bookings or trips, with commas between; or `all` for everybody;
    /// default: all.
    #[serde(default = "all")]
    #[arg(long, required = false)]
    pub seed: String,
    /// Links from the seeds up to which travellers belong to the network; default: 2.
    #[serde(default = "two")]
    #[arg(long, required = false)]
    pub hops: u32,
    /// Months of the flights, such as 2024-01..2024-06; default: all.
    #[serde(default)]
    #[arg(long)]
    pub months: Option<Period>,
    /// Kinds of links, with commas between; default: all.
    #[serde(default)]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub kinds: Vec<Kind>,
    /// Travellers that may share one thing, 2 or more; what more of them share links nobody; default: 50.
    #[serde(default = "fifty")]
    #[arg(long, required = false)]
    pub most_sharing: u32,
    /// Seed of the search for communities; default: 1.
    #[serde(default = "one")]
    #[arg(long, required = false)]
    pub random_seed: u64,
}

fn all() -> String {
    "all".to_owned()
}

fn two() -> u32 {
    2
}

fn fifty() -> u32 {
    50
}

fn one() -> u64 {
    1
}

impl Parameters {
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for values that are out of range.
    fn check(&self) -> Result<()> {
        if self.most_sharing < 2 {
            return Err(Error::input(format!("--most-sharing {} is less than 2", self.most_sharing)));
        }
        if self.seed.trim().is_empty() {
            return Err(Error::input("--seed is empty; give identifiers, or `all`"));
        }
        Ok(())
    }

    fn kinds(&self) -> Vec<Kind> {
        if self.kinds.is_empty() { Kind::ALL.into() } else { self.kinds.clone() }
    }

    /// The kinds of links that lead from the seeds to others: an agency links many who have nothing to do with each other,
    /// and leads nowhere unless only agencies are asked for.
    fn walked(&self) -> Vec<Kind> {
        let kinds = self.kinds();
        let others: Vec<Kind> = kinds.iter().copied().filter(|kind| *kind != Kind::Agency).collect();
        if others.is_empty() { kinds } else { others }
    }

    fn is_of_all(&self) -> bool {
        self.seed.trim() == "all"
    }
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "passengers";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("task", "network"));
    const ABOUT: &'static str = "The network of travellers: who is linked with whom, communities, central persons and paths to known offenders, as \
                                 a page with an interactive picture, GraphML and GEXF";

    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        network(job, self).await
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(drawn) = outcome.metrics.get("network") else { return Vec::new() };
        let number = |name: &str| grouped(drawn[name].as_u64().unwrap_or_default());
        vec![format!(
            "{} travellers, {} links, {} communities, {} known offenders, {} others a link away from one",
            number("travellers"),
            number("links"),
            number("communities"),
            number("offenders"),
            number("beside_offenders")
        )]
    }
}

/// Makes a network.
///
/// # Errors
/// [`tidewaiter_core::ErrorKind::Input`] for parameters out of range, [`tidewaiter_core::ErrorKind::NotFound`] for seeds that
/// nobody has and an archive without travellers.
async fn network(job: &mut Job<'_>, parameters: &Parameters) -> Result<()> {
    parameters.check()?;
    let shared = job.step("uses", find_uses(job, parameters)).await?;
    job.outcome.rows.read = shared.rows();
    let chosen = job.step("travellers", choose(job, parameters, &shared)).await?;
    let drawn = job.step("network", draw(job, parameters, &shared, &chosen)).await?;
    job.outcome.metrics.insert("network".into(), serde_json::to_value(&drawn.figures)?);
    job.outcome.reports.extend(drawn.files.iter().map(|file| job.archive.display(file)));
    Ok(())
}

fn find_uses<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
) -> impl Future<Output = Result<Shared>> + use<'a> {
    let (archive, session) = (job.archive, job.session("uses"));
    let folder = format!("{}/uses", job.work_folder());
    async move {
        let scope = (std::slice::from_ref(&parameters.country), parameters.months);
        used(&session?, archive, scope, &parameters.kinds(), &folder).await
    }
}

/// The travellers of a network and how many links each is away from a seed; `None`: all who are linked.
type Chosen = Option<Vec<(String, u32)>>;

fn choose<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    shared: &'a Shared,
) -> impl Future<Output = Result<Chosen>> + use<'a> {
    let (archive, session, folder) = (job.archive, job.session("travellers"), job.work_folder().to_owned());
    async move {
        if parameters.is_of_all() {
            return Ok(None);
        }
        let session = session?;
        let mut ring =
            seeds(&session, archive, std::slice::from_ref(&parameters.country), &parameters.seed).await?;
        let mut chosen: Vec<(String, u32)> = ring.iter().map(|seed| (seed.clone(), 0)).collect();
        let mut known: std::collections::BTreeSet<String> = ring.iter().cloned().collect();
        for hop in 1..=parameters.hops {
            let of = (ring.as_slice(), format!("{folder}/ring-{hop}"));
            let scope = (parameters.walked(), parameters.most_sharing);
            let near = shared.neighbours(&session, archive, (of.0, &of.1), (&scope.0, scope.1)).await?;
            let new: Vec<String> = near.into_iter().filter(|person| known.insert(person.clone())).collect();
            chosen.extend(new.iter().map(|person| (person.clone(), hop)));
            if chosen.len() > MOST_PEOPLE {
                return Err(Error::input(format!(
                    "{} travellers are up to {hop} links away from the seeds, more than {MOST_PEOPLE}; give fewer --hops, \
                     a smaller --most-sharing, or --seed all for a summary by communities",
                    chosen.len()
                )));
            }
            ring = new;
        }
        Ok(Some(chosen))
    }
}

/// Figures of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Figures {
    travellers: usize,
    links: usize,
    /// By their kinds.
    links_by_kind: std::collections::BTreeMap<String, usize>,
    communities: usize,
    largest_community: usize,
    offenders: usize,
    /// Who is linked with an offender and is none.
    beside_offenders: usize,
}

/// A network that was drawn.
#[derive(Debug, Serialize, Deserialize)]
struct Drawn {
    figures: Figures,
    /// Paths of the page, GraphML and GEXF in the archive.
    files: Vec<String>,
}

fn draw<'a>(
    job: &Job<'a>,
    parameters: &'a Parameters,
    shared: &'a Shared,
    chosen: &'a Chosen,
) -> impl Future<Output = Result<Drawn>> + use<'a> {
    let (archive, session, id) = (job.archive, job.session("network"), job.outcome.job.clone());
    let folder = format!("{}/wanted", job.work_folder());
    async move {
        let session = session?;
        let names: Option<Vec<String>> =
            chosen.as_ref().map(|chosen| chosen.iter().map(|(name, _)| name.clone()).collect());
        let wanted = names.as_deref().map(|names| (names, folder.as_str()));
        let mut people = shared.links(&session, archive, wanted, parameters.most_sharing).await?;
        let scope = (std::slice::from_ref(&parameters.country), parameters.months);
        add_facts(&session, archive, scope, &mut people).await?;
        if people.is_empty() {
            return Err(Error::not_found(format!(
                "no two travellers of {} share anything by which they could be linked; `tidewaiter passengers link` finds \
                 who is who first",
                parameters.country
            )));
        }
        let version = Table::open(archive, table::TRAVELLERS.table).await?.version().await?;
        let hops = chosen.iter().flatten();
        let seeds = Seeds {
            seeds: (0..)
                .zip(hops.clone())
                .filter(|(_, (_, hop))| *hop == 0)
                .map(|(number, _)| number)
                .collect(),
            hops: hops.map(|(_, hop)| *hop).collect(),
        };
        let about = about(parameters, &people, version);
        let random_seed = parameters.random_seed;
        let (analysed, html, places) = on_cpu(move || {
            let analysis = Analysis::new(&people, random_seed);
            let (html, places) = page(&people, &analysis, &seeds, &about)?;
            Ok((Arc::new((people, analysis)), html, places.unwrap_or_default()))
        })
        .await?;
        let files =
            ["html", "graphml", "gexf"].map(|ending| format!("reports/passengers-network-{id}.{ending}"));
        archive.put(&files[0], html).await?;
        let of = Arc::clone(&analysed);
        write_object(archive, &files[1], move |out| graphml(out, &of.0, &of.1)).await?;
        let of = Arc::clone(&analysed);
        write_object(archive, &files[2], move |out| gexf(out, &of.0, &of.1, &places)).await?;
        Ok(Drawn { figures: figures(&analysed.0, &analysed.1), files: files.into() })
    }
}

fn about(parameters: &Parameters, people: &People, version: u64) -> About {
    let Parameters { country, seed, hops, months, most_sharing, .. } = parameters;
    let months = months.map_or("all months".to_owned(), |months| period(&months.to_string()));
    let of = match parameters.is_of_all() {
        true => "all travellers who share something".to_owned(),
        false => format!("travellers up to {hops} links away from {}", seeds_in_words(seed)),
    };
    About {
        title: format!("Network of travellers into {country}"),
        subtitle: format!(
            "{} travellers and {} links: {of}, {months}. What more than {most_sharing} travellers share links nobody.",
            grouped(people.count() as u64),
            grouped(people.links.len() as u64)
        ),
        footer: format!(
            "Tidewaiter {} · snapshot {}@{version} · seed {} · identifiers are keyed pseudonyms",
            env!("CARGO_PKG_VERSION"),
            table::TRAVELLERS.table,
            parameters.random_seed
        ),
    }
}

/// Seeds that are named one by one.
const NAMED_SEEDS: usize = 3;

/// The seeds in words: a long list only by its number.
fn seeds_in_words(seed: &str) -> String {
    let seeds: Vec<&str> = seed.split(',').map(str::trim).filter(|seed| !seed.is_empty()).collect();
    match seeds.len() {
        count if count > NAMED_SEEDS => format!("{count} seeds"),
        _ => seeds.join(", "),
    }
}

fn figures(people: &People, analysis: &Analysis) -> Figures {
    let mut links_by_kind = std::collections::BTreeMap::new();
    for link in &people.links {
        *links_by_kind.entry(link.kind.name().to_owned()).or_insert(0) += 1;
    }
    let at_distance = |wanted| {
        analysis.graph.all().filter(|number| analysis.nearest.distance(*number) == Some(wanted)).count()
    };
    Figures {
        travellers: people.count(),
        links: people.links.len(),
        links_by_kind,
        communities: analysis.communities.len(),
        largest_community: analysis.communities.first().map_or(0, |community| community.members.len()),
        offenders: at_distance(0),
        beside_offenders: at_distance(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_its_default() {
        let read: Parameters = serde_json::from_str(r#"{"country":"KR"}"#).expect("reads");
        assert_eq!((read.seed.as_str(), read.hops, read.most_sharing), ("all", 2, 50));
        assert!(read.is_of_all() && read.kinds().len() == 6 && read.check().is_ok());
        assert!(Parameters { most_sharing: 1, ..read.clone() }.check().is_err());
        let given = r#"{"country":"KR","seed":"a1","kinds":["payment"],"months":"2024-01"}"#;
        let read: Parameters = serde_json::from_str(given).expect("reads");
        assert_eq!((read.kinds(), read.is_of_all()), (vec![Kind::Payment], false));
        let of = |kinds: &[Kind]| Parameters { kinds: kinds.into(), ..read.clone() }.walked();
        assert_eq!(of(&[Kind::Agency, Kind::Payment]), [Kind::Payment]);
        assert_eq!(of(&[Kind::Agency]), [Kind::Agency]);
        assert_eq!([seeds_in_words("a, b"), seeds_in_words("a,b,c,d,")], ["a, b", "4 seeds"]);
    }
}
