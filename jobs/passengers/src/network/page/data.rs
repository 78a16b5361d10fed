//! What the page's script draws, as JSON: the travellers shown, their places and links, and the communities.
//!
//! Up to [`MOST_SHOWN`] travellers all stand in one picture. A larger network begins as its communities, each of which
//! can be expanded to its most central members.

use std::collections::BTreeMap;

use serde::Serialize;
use tidewaiter_report::format::ENGLISH;

use crate::{
    graph::{Graph, layout::layout},
    network::{
        analysis::Analysis,
        days::known as day,
        kind::Kind,
        people::{Link, People},
    },
};

/// Travellers that one picture shows at once.
pub const MOST_SHOWN: usize = 2000;

/// Communities that a summarised picture shows.
const MOST_COMMUNITIES: usize = 300;

/// Members to which a community of a summarised picture can be expanded, and all of them together.
const MOST_MEMBERS: usize = 150;
const MOST_MEMBERS_OF_ALL: usize = 8000;

/// Steps of the layouts.
const STEPS: usize = 300;

/// Lengths of an edge between communities that stand beside each other, at least.
const APART: f32 = 0.6;

/// From which travellers a network was made, and how far each is from them.
#[derive(Debug, Clone, Default)]
pub struct Seeds {
    /// The numbers of the seeds.
    pub seeds: Vec<u32>,
    /// By the travellers' numbers how many links away from a seed; empty where the network has no seed.
    pub hops: Vec<u32>,
}

/// The document of the script.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    summarised: bool,
    days: [i32; 2],
    kinds: Vec<KindWords>,
    pub(super) people: Columns<'a>,
    /// Six numbers a link: both ends, kind, how much is shared, first and last day.
    links: Vec<Option<i64>>,
    communities: Vec<Group>,
    /// The same for links between communities, the ends being communities.
    bridges: Vec<Option<i64>>,
}

#[derive(Debug, Serialize)]
struct KindWords {
    name: &'static str,
    words: &'static str,
    shown: bool,
}

/// The travellers, column by column.
#[derive(Debug, Default, Serialize)]
pub(super) struct Columns<'a> {
    pub(super) id: Vec<&'a str>,
    /// Places, from the centre of the community on.
    x: Vec<f64>,
    y: Vec<f64>,
    community: Vec<u32>,
    trips: Vec<u32>,
    first: Vec<Option<i32>>,
    last: Vec<Option<i32>>,
    offences: Vec<u32>,
    degree: Vec<u32>,
    rank: Vec<f64>,
    between: Vec<f64>,
    steps: Vec<Option<u32>>,
    hop: Vec<Option<u32>>,
    seed: Vec<bool>,
}

/// A community.
#[derive(Debug, Serialize)]
struct Group {
    x: f64,
    y: f64,
    radius: f64,
    /// How far its expanded members reach.
    reach: f64,
    members: usize,
    offenders: u32,
    trips: u64,
}

/// A number for a document: two decimals.
fn rounded(value: impl Into<f64>) -> f64 {
    (value.into() * 100.0).round() / 100.0
}

/// Which travellers and communities a page has, and where all of them stand.
struct Shown {
    /// Communities, the new numbers being the places in the list.
    communities: Vec<u32>,
    centres: Vec<[f32; 2]>,
    /// Travellers by their new numbers, and their places from the centre of their community on.
    people: Vec<u32>,
    places: Vec<[f32; 2]>,
    /// How far the members of each community reach.
    reach: Vec<f32>,
}

impl Document<'_> {
    /// What of so many travellers and communities the picture leaves out, as a sentence; `None` where it shows all.
    pub(super) fn left_out(&self, travellers: usize, communities: usize) -> Option<String> {
        let count = |value: usize| ENGLISH.count(value as f64);
        let shown: usize = self.communities.iter().map(|community| community.members).sum();
        let of_communities = match self.communities.len() {
            all if all == communities => format!("all {}", count(all)),
            some => format!(
                "{} of {}, those of seeds first and then by members and known offenders, with {} of the {} travellers",
                count(some),
                count(communities),
                count(shown),
                count(travellers)
            ),
        };
        self.summarised.then(|| {
            format!(
                "The picture is one of communities: {of_communities}. A community opens to {MOST_MEMBERS} members at most; \
                 {} of the {} travellers can be seen in this way.",
                count(self.people.id.len()),
                count(travellers)
            )
        })
    }
}

/// The document, and the places of all travellers where one picture shows all.
pub(super) fn document<'a>(
    people: &'a People,
    analysis: &Analysis,
    seeds: &Seeds,
) -> (Document<'a>, Option<Vec<[f32; 2]>>) {
    let summarised = people.count() > MOST_SHOWN;
    let (shown, places) = match summarised {
        false => {
            let places = layout(&analysis.graph, STEPS);
            (whole(analysis, &places), Some(places))
        }
        true => (summary(people, analysis, seeds), None),
    };
    let mut person = vec![u32::MAX; people.count()];
    (0..).zip(&shown.people).for_each(|(own, number)| person[*number as usize] = own);
    let mut group = vec![u32::MAX; analysis.communities.len()];
    (0..).zip(&shown.communities).for_each(|(own, number)| group[*number as usize] = own);
    let days = people.links.iter().filter_map(|link| Some((day(link.days.0)?, day(link.days.1)?)));
    let days = days.fold(None, |found: Option<(i32, i32)>, (first, last)| {
        let (least, most) = found.unwrap_or((first, last));
        Some((least.min(first), most.max(last)))
    });
    let days = days.unwrap_or_default();
    let has_other_kinds = people.links.iter().any(|link| link.kind != Kind::Agency);
    let document = Document {
        summarised,
        days: [days.0, days.1],
        kinds: Kind::ALL
            .map(|kind| KindWords {
                name: kind.name(),
                words: kind.words(),
                // Agencies link many who have nothing to do with each other.
                shown: kind != Kind::Agency || !has_other_kinds,
            })
            .into(),
        people: columns(people, analysis, seeds, &shown, &group),
        links: links(people, &person),
        communities: groups(analysis, &shown),
        bridges: bridges(people, analysis, &group),
    };
    (document, places)
}

/// All travellers in one picture.
fn whole(analysis: &Analysis, places: &[[f32; 2]]) -> Shown {
    let centre = |members: &[u32]| {
        let sum = members.iter().fold([0.0_f32; 2], |sum, member| {
            let place = places[*member as usize];
            [sum[0] + place[0], sum[1] + place[1]]
        });
        sum.map(|sum| sum / members.len().max(1) as f32)
    };
    let centres: Vec<[f32; 2]> =
        analysis.communities.iter().map(|community| centre(&community.members)).collect();
    let inside = |number: u32| {
        let ([x, y], [left, top]) =
            (places[number as usize], centres[analysis.community[number as usize] as usize]);
        [x - left, y - top]
    };
    let people: Vec<u32> = analysis.graph.all().collect();
    Shown {
        communities: (0..).take(analysis.communities.len()).collect(),
        places: people.iter().map(|number| inside(*number)).collect(),
        reach: analysis.communities.iter().map(|community| reach(community.members.len())).collect(),
        people,
        centres,
    }
}

/// About how far so many vertices reach from their centre.
fn reach(members: usize) -> f32 {
    0.7 * (members as f32).sqrt()
}

/// The communities that matter, each with its most central members.
fn summary(people: &People, analysis: &Analysis, seeds: &Seeds) -> Shown {
    let with_seed: std::collections::BTreeSet<u32> =
        seeds.seeds.iter().map(|seed| analysis.community[*seed as usize]).collect();
    let mut communities: Vec<u32> = (0..).take(analysis.communities.len()).collect();
    communities.sort_by_key(|number| {
        let community = &analysis.communities[*number as usize];
        let worth = community.members.len() + 20 * community.offenders as usize;
        std::cmp::Reverse((with_seed.contains(number), worth))
    });
    communities.truncate(MOST_COMMUNITIES);
    let centres = centres(people, analysis, &communities);
    let mut shown = Shown { communities, centres, people: Vec::new(), places: Vec::new(), reach: Vec::new() };
    let is_seed = |member: &u32| seeds.seeds.contains(member);
    for number in &shown.communities {
        let members = &analysis.communities[*number as usize].members;
        let room = MOST_MEMBERS.min(MOST_MEMBERS_OF_ALL.saturating_sub(shown.people.len()));
        // Seeds and offenders first; the others by their rank, in which members are.
        let first = members.iter().filter(|member| is_seed(member) || people.facts(**member).offences > 0);
        let mut taken: Vec<u32> = first.copied().take(room).collect();
        let known: std::collections::BTreeSet<u32> = taken.iter().copied().collect();
        let others = members.iter().copied().filter(|member| !known.contains(member));
        taken.extend(others.take(room - taken.len()));
        let places = layout(&people.part(&taken).graph(), STEPS);
        let middle = places.iter().fold([0.0_f32; 2], |most, [x, y]| [most[0].max(*x), most[1].max(*y)]);
        shown.places.extend(places.iter().map(|[x, y]| [x - middle[0] / 2.0, y - middle[1] / 2.0]));
        shown.reach.push(middle[0].max(middle[1]) / 2.0 + 1.0);
        shown.people.extend(taken);
    }
    shown
}

/// The radius of a community as one circle.
fn radius(members: usize) -> f32 {
    0.25 + 0.18 * (members as f32).ln_1p()
}

/// Where communities stand: those that are linked near each other, and none upon another.
fn centres(people: &People, analysis: &Analysis, communities: &[u32]) -> Vec<[f32; 2]> {
    let mut number = vec![u32::MAX; analysis.communities.len()];
    (0..).zip(communities).for_each(|(own, community)| number[*community as usize] = own);
    let mut sums: BTreeMap<(u32, u32), f32> = BTreeMap::new();
    for link in people.links.iter().filter(|link| link.kind != Kind::Agency) {
        let of = |end: u32| number[analysis.community[end as usize] as usize];
        let (one, other) = (of(link.ends.0), of(link.ends.1));
        if one != other && one.max(other) != u32::MAX {
            *sums.entry((one.min(other), one.max(other))).or_default() += 1.0;
        }
    }
    let edges: Vec<(u32, u32, f32)> =
        sums.into_iter().map(|((one, other), weight)| (one, other, weight)).collect();
    let mut places = layout(&Graph::new(communities.len(), &edges), STEPS);
    let radii: Vec<f32> = communities
        .iter()
        .map(|number| radius(analysis.communities[*number as usize].members.len()))
        .collect();
    places.iter_mut().flatten().for_each(|value| *value *= 3.0);
    for _ in 0..60 {
        for one in 0..places.len() {
            for other in one + 1..places.len() {
                let [x, y] = [0, 1].map(|axis| places[other][axis] - places[one][axis]);
                let (distance, wanted) =
                    ((x * x + y * y).sqrt().max(1e-3), radii[one] + radii[other] + APART);
                if distance < wanted {
                    let share = (wanted - distance) / distance / 2.0;
                    for (axis, difference) in [x, y].into_iter().enumerate() {
                        places[one][axis] -= difference * share;
                        places[other][axis] += difference * share;
                    }
                }
            }
        }
    }
    places
}

fn columns<'a>(
    people: &'a People,
    analysis: &Analysis,
    seeds: &Seeds,
    shown: &Shown,
    group: &[u32],
) -> Columns<'a> {
    let mut columns = Columns::default();
    for (number, [x, y]) in shown.people.iter().zip(&shown.places) {
        let (facts, at) = (people.facts(*number), *number as usize);
        columns.id.push(people.name(*number));
        columns.x.push(rounded(*x));
        columns.y.push(rounded(*y));
        columns.community.push(group[analysis.community[at] as usize]);
        columns.trips.push(facts.trips);
        columns.first.push(day(facts.days.0));
        columns.last.push(day(facts.days.1));
        columns.offences.push(facts.offences);
        columns.degree.push(analysis.degrees[at]);
        columns.rank.push(rounded(analysis.rank[at]));
        columns.between.push(analysis.between[at].round());
        columns.steps.push(analysis.nearest.distance(*number));
        columns.hop.push(seeds.hops.get(at).copied().filter(|hop| *hop != u32::MAX));
        columns.seed.push(seeds.seeds.contains(number));
    }
    columns
}

/// Six numbers of a link.
fn numbers(ends: (u32, u32), link: &Link, shared: u32) -> [Option<i64>; 6] {
    [
        Some(i64::from(ends.0)),
        Some(i64::from(ends.1)),
        Some(link.kind as i64),
        Some(i64::from(shared)),
        day(link.days.0).map(i64::from),
        day(link.days.1).map(i64::from),
    ]
}

/// Links between travellers that are shown.
fn links(people: &People, person: &[u32]) -> Vec<Option<i64>> {
    let inside = people.links.iter().filter_map(|link| {
        let ends = (person[link.ends.0 as usize], person[link.ends.1 as usize]);
        (ends.0.max(ends.1) != u32::MAX).then(|| numbers(ends, link, link.shared))
    });
    inside.flatten().collect()
}

/// Links between communities: how many, and from when to when.
fn bridges(people: &People, analysis: &Analysis, group: &[u32]) -> Vec<Option<i64>> {
    let mut sums: BTreeMap<(u32, u32, Kind), (u32, Link)> = BTreeMap::new();
    for link in &people.links {
        let of = |end: u32| group[analysis.community[end as usize] as usize];
        let (one, other) = (of(link.ends.0), of(link.ends.1));
        if one == other || one.max(other) == u32::MAX {
            continue;
        }
        let (count, sum) = sums.entry((one.min(other), one.max(other), link.kind)).or_insert((0, *link));
        *count += 1;
        sum.days = (sum.days.0.min(link.days.0), sum.days.1.max(link.days.1));
    }
    sums.iter().flat_map(|((one, other, _), (count, link))| numbers((*one, *other), link, *count)).collect()
}

fn groups(analysis: &Analysis, shown: &Shown) -> Vec<Group> {
    let of = |((number, [x, y]), reach): ((&u32, &[f32; 2]), &f32)| {
        let community = &analysis.communities[*number as usize];
        Group {
            x: rounded(*x),
            y: rounded(*y),
            radius: rounded(radius(community.members.len())),
            reach: rounded(*reach),
            members: community.members.len(),
            offenders: community.offenders,
            trips: community.trips,
        }
    };
    shown.communities.iter().zip(&shown.centres).zip(&shown.reach).map(of).collect()
}
