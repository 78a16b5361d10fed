//! How well a ranking of travellers finds what inspections find.
//!
//! All travellers of the months are ranked, and a share of them is selected. The detection is the share of the finds that
//! is selected. Finds are known of inspected travellers only; those who were inspected at random stand for all, and their
//! figures are given apart. Start at [`Metrics::of`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidewaiter_core::{Error, Result, statistics::average_precision};

/// Shares of travellers that are selected, in percent.
pub const PERCENTS: [f64; 3] = [0.1, 1.0, 5.0];

/// A scored traveller on a flight.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredTrip {
    /// Day of the flight, since 1970-01-01.
    pub day: i32,
    /// The traveller's number, by which chance is estimated.
    pub person: u64,
    /// Airports of departure and arrival, `ICN-JFK`.
    pub route: String,
    /// Whether an inspection found something; none: not inspected.
    pub found: Option<bool>,
    /// Whether the inspection was a random one.
    pub is_random: bool,
    /// The score.
    pub probability: f64,
}

impl ScoredTrip {
    /// The airport of arrival.
    #[must_use]
    pub fn airport(&self) -> &str {
        self.route.split('-').nth(1).unwrap_or_default()
    }
}

/// Figures of a ranking of the inspected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Inspected travellers.
    pub inspected: u64,
    /// Finds among them.
    pub found: u64,
    /// Area under the ROC curve.
    pub roc_auc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// `detected@K`: share of the finds among the K percent of all travellers with the highest scores; `precision@K`: share
    /// of finds among the inspected of these; absent where none of them was inspected.
    #[serde(flatten)]
    pub at: BTreeMap<String, f64>,
}

/// The figures of some months.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// All travellers on flights.
    pub trips: u64,
    /// Figures by all inspections.
    #[serde(flatten)]
    pub all: Ranking,
    /// Figures by random inspections alone; none where these found nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<Ranking>,
}

/// The scores from which the K percent with the highest scores begin, by [`PERCENTS`].
#[must_use]
pub fn thresholds(trips: &[ScoredTrip]) -> [f64; PERCENTS.len()] {
    let mut scores: Vec<f64> = trips.iter().map(|trip| trip.probability).collect();
    scores.sort_by(|one, other| other.total_cmp(one));
    PERCENTS.map(|percent| {
        scores.get(selected(scores.len(), percent).max(1) - 1).copied().unwrap_or(f64::INFINITY)
    })
}

/// How many of some travellers a share in percent is, at least one.
#[must_use]
pub fn selected(trips: usize, percent: f64) -> usize {
    ((trips as f64 * percent / 100.0).floor() as usize).clamp(1, trips.max(1))
}

impl Metrics {
    /// The figures of scored travellers.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] where inspections found nothing, or something with everybody.
    pub fn of(trips: &[ScoredTrip]) -> Result<Self> {
        let from = thresholds(trips);
        let all = ranking(trips, from, |_| true).ok_or_else(|| {
            let known = trips.iter().filter(|trip| trip.found.is_some()).count();
            Error::input(format!(
                "of {} travellers {known} were inspected, and not both with and without a find: a ranking cannot be \
                 evaluated, choose a longer period",
                trips.len()
            ))
        })?;
        Ok(Self { trips: trips.len() as u64, all, random: ranking(trips, from, |trip| trip.is_random) })
    }
}

/// The figures of those of the inspected for whom something holds.
fn ranking(
    trips: &[ScoredTrip],
    from: [f64; PERCENTS.len()],
    holds: impl Fn(&ScoredTrip) -> bool,
) -> Option<Ranking> {
    let known = trips.iter().filter(|trip| holds(trip));
    let mut known: Vec<(f64, bool)> =
        known.filter_map(|trip| Some((trip.probability, trip.found?))).collect();
    known.sort_by(|one, other| other.0.total_cmp(&one.0));
    let found = known.iter().filter(|(_, found)| *found).count() as u64;
    let (mut pairs, mut above, mut groups) = (0.0, 0_u64, Vec::new());
    for tied in known.chunk_by(|one, other| one.0 == other.0) {
        let hits = tied.iter().filter(|(_, found)| *found).count() as u64;
        groups.push((hits, tied.len() as u64));
        pairs += (tied.len() as u64 - hits) as f64 * (above as f64 + hits as f64 / 2.0);
        above += hits;
    }
    let clean = known.len() as u64 - found;
    if found == 0 || clean == 0 {
        return None;
    }
    let mut at = BTreeMap::new();
    for (percent, from) in PERCENTS.into_iter().zip(from) {
        let taken = known.iter().take_while(|(score, _)| *score >= from);
        let (count, hits) =
            taken.fold((0_u64, 0_u64), |sum, (_, found)| (sum.0 + 1, sum.1 + u64::from(*found)));
        at.insert(format!("detected@{percent}"), hits as f64 / found as f64);
        if count > 0 {
            at.insert(format!("precision@{percent}"), hits as f64 / count as f64);
        }
    }
    Some(Ranking {
        inspected: known.len() as u64,
        found,
        roc_auc: pairs / (found as f64 * clean as f64),
        average_precision: average_precision(groups).unwrap_or_default(),
        at,
    })
}

/// Of a group of travellers: all, inspected, finds, and finds among those selected at each of [`PERCENTS`], beside how many
/// of them are selected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group {
    /// All.
    pub trips: u64,
    /// Inspected.
    pub inspected: u64,
    /// Finds.
    pub found: u64,
    /// Selected, by the shares.
    pub selected: [u64; PERCENTS.len()],
    /// Finds among the selected.
    pub detected: [u64; PERCENTS.len()],
}

/// Groups of travellers by a key, such as month or route.
pub fn by<K: Ord>(trips: &[ScoredTrip], key: impl Fn(&ScoredTrip) -> K) -> BTreeMap<K, Group> {
    let from = thresholds(trips);
    let mut groups: BTreeMap<K, Group> = BTreeMap::new();
    for trip in trips {
        let group = groups.entry(key(trip)).or_default();
        group.trips += 1;
        group.inspected += u64::from(trip.found.is_some());
        group.found += u64::from(trip.found == Some(true));
        for (place, from) in from.into_iter().enumerate() {
            let is_selected = trip.probability >= from;
            group.selected[place] += u64::from(is_selected);
            group.detected[place] += u64::from(is_selected && trip.found == Some(true));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trips() -> Vec<ScoredTrip> {
        let trip = |number: u32| ScoredTrip {
            day: (number / 500) as i32,
            person: u64::from(number),
            route: if number.is_multiple_of(2) { "ICN-JFK".to_owned() } else { "LHR-JFK".to_owned() },
            found: number.is_multiple_of(10).then_some(number < 30),
            is_random: number.is_multiple_of(20),
            probability: 1.0 - f64::from(number) / 2000.0,
        };
        (0..1000).map(trip).collect()
    }

    #[test]
    fn detection_is_the_share_of_finds_among_the_selected_of_all() {
        let metrics = Metrics::of(&trips()).expect("both kinds");
        assert_eq!((metrics.trips, metrics.all.inspected, metrics.all.found), (1000, 100, 3));
        assert_eq!((metrics.all.roc_auc, metrics.all.average_precision), (1.0, 1.0));
        // One of a thousand, ten, fifty.
        assert!((metrics.all.at["detected@0.1"] - 1.0 / 3.0).abs() < 1e-12);
        assert!((metrics.all.at["detected@1"] - 1.0 / 3.0).abs() < 1e-12);
        assert!((metrics.all.at["detected@5"] - 1.0).abs() < 1e-12);
        assert!((metrics.all.at["precision@5"] - 0.6).abs() < 1e-12);
        let random = metrics.random.expect("random ones");
        assert_eq!((random.inspected, random.found), (50, 2));
        let error = Metrics::of(&trips()[100..]).expect_err("nothing found");
        assert!(error.to_string().contains("longer period"));
    }

    #[test]
    fn groups_have_their_finds_and_workload() {
        let groups = by(&trips(), |trip| trip.day);
        let first = groups[&0];
        assert_eq!(
            (first.trips, first.found, first.selected, first.detected),
            (500, 3, [1, 10, 50], [1, 1, 3])
        );
        assert_eq!(groups[&1].selected, [0, 0, 0]);
        let airports = by(&trips(), |trip| trip.airport().to_owned());
        assert_eq!(airports["JFK"].trips, 1000);
    }
}
