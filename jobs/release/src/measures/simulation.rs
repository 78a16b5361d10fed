//! What would help at a queue: the work of an activity at an office, simulated event by event and fitted to
//! the archive.
//!
//! A piece of work arrives when the event before it ended, waits for one of a number of servers (inspectors
//! or other resources), first come first served, and is done within the opening hours: it takes as much open
//! time as it did, and what is not done when the office closes goes on when it opens again. The number of
//! servers is the one whose waits are nearest to those of the archive by the distance of Kolmogorov and
//! Smirnov; a large distance means that the work waited for something else than a server. A measure changes
//! one thing, and its effect is given with the middle 95 % of replications that draw days of arrival, with all
//! their work, with replacement (Künsch, "The jackknife and the bootstrap for general stationary observations",
//! 1989): services drawn one by one would undo the busy days that make the queue.
//!
//! Source: queueing theory from Erlang ("Solution of some problems in the theory of probabilities of
//! significance in automatic telephone exchanges", 1917); the tests compare the simulation with Erlang's
//! formula and with Lindley's recursion. Start at [`simulate`].

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::{
    calendar::{Calendar, HOUR, WorkEnd},
    statistics::replications::{Changes, Figures, REPLICATIONS, figures, seed_of, with_intervals},
};

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

/// Pieces of work that are simulated, at most: the latest.
pub const MAX_WORK: usize = 20_000;

/// Servers that are tried, at most.
const MAX_SERVERS: usize = 64;

/// From this distance on the queue does not explain the waiting.
pub const TOO_FAR: f64 = 0.2;

/// A piece of work; times in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// When it arrived.
    pub arrival: i64,
    /// When it began.
    pub begun: i64,
    /// When it was done.
    pub done: i64,
}

/// The queue of an activity at an office; times in hours.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// The activity.
    pub event: String,
    /// The office; empty where it is not known.
    #[serde(default)]
    pub office: String,
    /// Pieces of work in the period.
    #[serde(default)]
    pub all: u64,
    /// Pieces of work that are simulated.
    pub work: u64,
    /// Inspectors, or other resources, of the simulated queue that is nearest to the archive.
    #[serde(rename = "inspectors")]
    pub servers: u64,
    /// Kolmogorov and Smirnov's distance of its waits from those of the archive, 0..=1.
    pub distance: f64,
    /// Median wait in the archive, and in the simulation.
    pub median_wait: (f64, f64),
    /// 90th percentile of the wait in the archive, and in the simulation.
    pub p90_wait: (f64, f64),
    /// The measures, those that save the most first.
    pub measures: Vec<Measure>,
}

/// A measure at a queue and its effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// The measure.
    pub change: Change,
    /// The changes of the hours from arrival to done.
    #[serde(flatten)]
    pub hours: Changes,
    /// The effect on the cases of the headline; none where it is not known what waits for the work.
    #[serde(default)]
    pub release: Option<ReleaseEffect>,
}

/// The effect of a measure at a queue on the cases of the headline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseEffect {
    /// Cases of the sample whose work at the queue is simulated.
    pub touched: u64,
    /// The changes of the hours of all cases of the sample.
    #[serde(flatten)]
    pub hours: Changes,
}

/// The effect of delays on cases: from how many microseconds later each piece of work is done (none where it
/// does not arrive) to the number of cases moved and the change of the hours of all. With a seed the cases
/// are drawn with replacement.
pub type EffectOnCases<'a> = &'a dyn Fn(&[Option<i64>], Option<u64>) -> (u64, Figures);

/// A measure at a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// One more inspector.
    OneMoreInspector,
    /// Two more inspectors.
    TwoMoreInspectors,
    /// A fifth of the work does not arrive, as when inspections are moved from the red channel to the green.
    FifthLessWork,
    /// Each piece of work takes a fifth less time.
    FifthFaster,
    /// The office is open two hours longer each day.
    TwoHoursLonger,
}

/// The opening hours of the office: now, and with a measure.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hours<'a> {
    /// The opening hours; absent: always open.
    pub now: Option<&'a Calendar>,
    /// Two hours longer.
    pub longer: Option<&'a Calendar>,
}

/// Simulates a queue and the measures at it; `work` is in the order of arrival. `None` without work.
pub fn simulate(
    event: &str,
    work: &[Work],
    hours: Hours<'_>,
    effect_on_cases: Option<EffectOnCases<'_>>,
    seed: u64,
) -> Option<Queue> {
    let arrivals: Vec<i64> = work.iter().map(|work| work.arrival).collect();
    let services: Vec<i64> =
        work.iter().map(|work| open_time(work.begun, work.done, hours.now).max(0)).collect();
    let mut observed: Vec<i64> = work.iter().map(|work| (work.begun - work.arrival).max(0)).collect();
    observed.sort_unstable();
    let most = busiest(work).clamp(1, MAX_SERVERS);
    let fits = (1..=most).map(|servers| {
        let served = serve(&arrivals, &services, servers, hours.now);
        let mut waits: Vec<i64> = served.iter().map(|served| served.wait).collect();
        waits.sort_unstable();
        (distance(&waits, &observed), servers, waits)
    });
    let (distance, servers, waits) = fits.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))?;
    if work.is_empty() {
        return None;
    }
    let mut changes =
        vec![Change::OneMoreInspector, Change::TwoMoreInspectors, Change::FifthLessWork, Change::FifthFaster];
    if hours.longer.is_some() {
        changes.push(Change::TwoHoursLonger);
    }
    let queue = FittedQueue { arrivals: &arrivals, services: &services, servers, hours };
    let mut measures: Vec<Measure> =
        changes.into_iter().map(|change| queue.measure(change, effect_on_cases, seed)).collect();
    measures.sort_by(|a, b| a.hours.mean.0.total_cmp(&b.hours.mean.0));
    Some(Queue {
        event: event.to_owned(),
        office: String::new(),
        all: work.len() as u64,
        work: work.len() as u64,
        servers: servers as u64,
        distance,
        median_wait: (quantile(&observed, 0.5), quantile(&waits, 0.5)),
        p90_wait: (quantile(&observed, 0.9), quantile(&waits, 0.9)),
        measures,
    })
}

/// The simulated queue that is nearest to the archive.
struct FittedQueue<'a> {
    arrivals: &'a [i64],
    /// In open time.
    services: &'a [i64],
    servers: usize,
    hours: Hours<'a>,
}

impl FittedQueue<'_> {
    fn measure(&self, change: Change, effect_on_cases: Option<EffectOnCases<'_>>, seed: u64) -> Measure {
        let whole = self.run(change, seed);
        let on_cases =
            effect_on_cases.map(|effect| effect(&whole.delays(), None)).filter(|(touched, _)| *touched > 0);
        let days = self.days();
        let (mut effects, mut effects_on_cases) = (Vec::new(), Vec::new());
        for replication in 0..REPLICATIONS {
            let seed = seed_of(seed, replication);
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let drawn: Vec<usize> =
                days.iter().flat_map(|_| days[random.random_range(0..days.len())].clone()).collect();
            effects.push(whole.of(&drawn).effect());
            if let Some(effect) = effect_on_cases.filter(|_| on_cases.is_some()) {
                effects_on_cases.push(effect(&whole.delays(), Some(seed)).1);
            }
        }
        let release = on_cases.map(|(touched, whole)| ReleaseEffect {
            touched,
            hours: with_intervals(whole, &effects_on_cases),
        });
        Measure { change, hours: with_intervals(whole.effect(), &effects), release }
    }

    /// The work of each day of arrival.
    fn days(&self) -> Vec<Range<usize>> {
        let mut days: Vec<Range<usize>> = Vec::new();
        for group in self.arrivals.chunk_by(|a, b| a.div_euclid(DAY) == b.div_euclid(DAY)) {
            let begin = days.last().map_or(0, |day| day.end);
            days.push(begin..begin + group.len());
        }
        days
    }

    /// The queue without a measure and with it.
    fn run(&self, change: Change, seed: u64) -> Run {
        let services = self.services;
        let times = |services: &[i64], servers, hours| -> Vec<i64> {
            serve(self.arrivals, services, servers, hours).iter().map(|served| served.total).collect()
        };
        let all = |times: Vec<i64>| times.into_iter().map(Some).collect();
        let more = |servers| all(times(services, self.servers + servers, self.hours.now));
        let after = match change {
            Change::OneMoreInspector => more(1),
            Change::TwoMoreInspectors => more(2),
            Change::FifthFaster => {
                let faster: Vec<i64> = services.iter().map(|service| service / 5 * 4).collect();
                all(times(&faster, self.servers, self.hours.now))
            }
            Change::FifthLessWork => {
                let mut random = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x5eed);
                let stays: Vec<bool> = services.iter().map(|_| random.random::<f64>() >= 0.2).collect();
                let kept = |all: &[i64]| -> Vec<i64> {
                    all.iter().zip(&stays).filter(|(_, stays)| **stays).map(|(value, _)| *value).collect()
                };
                let (arrivals, services) = (kept(self.arrivals), kept(services));
                let served = serve(&arrivals, &services, self.servers, self.hours.now);
                let mut times = served.iter().map(|served| served.total);
                stays.iter().map(|stays| if *stays { times.next() } else { None }).collect()
            }
            Change::TwoHoursLonger => all(times(services, self.servers, self.hours.longer)),
        };
        Run { before: times(services, self.servers, self.hours.now), after }
    }
}

/// Microseconds from arrival to done of each piece of work without a measure and with it; none where it does
/// not arrive.
struct Run {
    before: Vec<i64>,
    after: Vec<Option<i64>>,
}

impl Run {
    /// The run of some pieces of work.
    fn of(&self, places: &[usize]) -> Self {
        Self {
            before: places.iter().map(|place| self.before[*place]).collect(),
            after: places.iter().map(|place| self.after[*place]).collect(),
        }
    }

    /// The figures with the measure minus those without.
    fn effect(&self) -> Figures {
        let hours = |time: i64| time as f64 / HOUR;
        let before = self.before.iter().map(|time| hours(*time)).collect();
        figures(self.after.iter().flatten().map(|time| hours(*time)).collect()).minus(figures(before))
    }

    /// By how many microseconds each piece of work is done later.
    fn delays(&self) -> Vec<Option<i64>> {
        self.after.iter().zip(&self.before).map(|(after, before)| Some((*after)? - before)).collect()
    }
}

/// The part of the time between two times in which the office is open, microseconds.
fn open_time(from: i64, to: i64, hours: Option<&Calendar>) -> i64 {
    hours.map_or(to - from, |hours| hours.working(from, to))
}

/// A piece of work that was served; microseconds of the clock.
struct Served {
    /// From arrival to beginning.
    wait: i64,
    /// From arrival to done.
    total: i64,
}

/// Serves each piece of work, first come first served. Services are in open time, in which the queue moves; a server
/// that the closing of the office interrupts goes on when it opens.
fn serve(arrivals: &[i64], services: &[i64], servers: usize, hours: Option<&Calendar>) -> Vec<Served> {
    let mut free: BinaryHeap<Reverse<i64>> = (0..servers).map(|_| Reverse(i64::MIN)).collect();
    let clock = |open_time: i64, end| hours.map_or(open_time, |hours| hours.at(open_time, end));
    let serve = |(arrival, service): (&i64, &i64)| {
        let Reverse(earliest) = free.pop().unwrap_or(Reverse(i64::MIN));
        let ready = earliest.max(hours.map_or(*arrival, |hours| hours.before(*arrival)));
        free.push(Reverse(ready + service));
        let begun = clock(ready, WorkEnd::Beginning).max(*arrival);
        let done = clock(ready + service, WorkEnd::End).max(begun);
        Served { wait: begun - arrival, total: done - arrival }
    };
    arrivals.iter().zip(services).map(serve).collect()
}

/// The most pieces of work that were under way at once.
fn busiest(work: &[Work]) -> usize {
    let mut changes: Vec<(i64, i32)> =
        work.iter().flat_map(|work| [(work.begun, 1), (work.done, -1)]).collect();
    // Work that ends when other work begins frees its server.
    changes.sort_unstable();
    let under_way = changes.iter().scan(0, |under_way, change| {
        *under_way += change.1;
        Some(*under_way)
    });
    usize::try_from(under_way.max().unwrap_or_default()).unwrap_or_default()
}

/// The greatest difference of the distributions of two sorted samples (Kolmogorov and Smirnov).
fn distance(a: &[i64], b: &[i64]) -> f64 {
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        i += a[i..].partition_point(|other| *other <= value);
        j += b[j..].partition_point(|other| *other <= value);
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    most
}

/// A quantile of sorted microseconds, in hours, by linear interpolation.
fn quantile(sorted: &[i64], quantile: f64) -> f64 {
    let place = sorted.len().saturating_sub(1) as f64 * quantile;
    let at = |rank: usize| sorted.get(rank).map_or(0.0, |value| *value as f64 / 3.6e9);
    let (low, high) = (at(place.floor() as usize), at(place.ceil() as usize));
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, Exp};

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    /// Exponential gaps and services, in microseconds, of rates by the hour.
    fn chance(rate: f64, service_rate: f64, count: usize, seed: u64) -> (Vec<i64>, Vec<i64>) {
        let mut source = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (gaps, services) = (Exp::new(rate).expect("a rate"), Exp::new(service_rate).expect("a rate"));
        let mut now = 0.0;
        let micros = |hours: f64| (hours * HOUR as f64) as i64;
        (0..count)
            .map(|_| {
                now += gaps.sample(&mut source);
                (micros(now), micros(services.sample(&mut source)))
            })
            .unzip()
    }

    fn waits(arrivals: &[i64], services: &[i64], servers: usize, hours: Option<&Calendar>) -> Vec<i64> {
        serve(arrivals, services, servers, hours).iter().map(|served| served.wait).collect()
    }

    /// Erlang's formula: the mean wait of M/M/c.
    fn erlang_wait(rate: f64, service_rate: f64, servers: usize) -> f64 {
        let load = rate / service_rate;
        let c = servers as f64;
        let (mut term, mut sum) = (1.0, 0.0);
        for k in 0..servers {
            sum += term;
            term *= load / (k as f64 + 1.0);
        }
        let waiting = term * c / (c - load);
        waiting / (sum + waiting) / (c * service_rate - rate)
    }

    #[test]
    fn the_wait_is_erlangs_within_its_interval() {
        // M/M/1 at 4 of 5 by the hour: 0.8 hours.
        assert!((erlang_wait(4.0, 5.0, 1) - 0.8).abs() < 1e-12);
        for (rate, service_rate, servers) in [(4.0, 5.0, 1), (8.0, 5.0, 2), (20.0, 3.0, 8)] {
            let wanted = erlang_wait(rate, service_rate, servers);
            // Means of separate runs, whose spread gives the interval.
            let means: Vec<f64> = (0..100)
                .map(|seed| {
                    let (arrivals, services) = chance(rate, service_rate, 20_000, seed);
                    let waits = waits(&arrivals, &services, servers, None);
                    waits[2000..].iter().map(|wait| *wait as f64).sum::<f64>() / HOUR as f64 / 18_000.0
                })
                .collect();
            let mean = means.iter().sum::<f64>() / 100.0;
            let spread =
                (means.iter().map(|other| (other - mean).powi(2)).sum::<f64>() / 99.0 / 100.0).sqrt();
            assert!(
                (mean - wanted).abs() < 2.8 * spread,
                "{servers}: {mean} is not {wanted} within {spread}"
            );
            assert!(spread < 0.05 * wanted.max(0.1));
        }
    }

    #[test]
    fn the_waits_of_one_server_are_lindleys() {
        // Lindley 1952: a wait is the wait before it and its service, less the gap, and not below zero.
        let (arrivals, services) = chance(4.0, 5.0, 5000, 9);
        let found = waits(&arrivals, &services, 1, None);
        for place in 1..found.len() {
            let gap = arrivals[place] - arrivals[place - 1];
            assert_eq!(found[place], (found[place - 1] + services[place - 1] - gap).max(0));
        }
    }

    #[test]
    fn a_queue_is_found_again_and_more_servers_shorten_it() {
        let (arrivals, services) = chance(14.0, 5.0, 8000, 3);
        let waits = waits(&arrivals, &services, 3, None);
        let work: Vec<Work> = arrivals
            .iter()
            .zip(&services)
            .zip(waits)
            .map(|((arrival, service), wait)| Work {
                arrival: *arrival,
                begun: arrival + wait,
                done: arrival + wait + service,
            })
            .collect();
        let queue = simulate("inspection", &work, Hours::default(), None, 1).expect("has work");
        assert_eq!((queue.servers, queue.distance), (3, 0.0));
        assert_eq!(queue.measures[0].change, Change::TwoMoreInspectors);
        for measure in &queue.measures {
            let (effect, low, high) = measure.hours.mean;
            assert!(effect < 0.0 && low <= high && high < 0.0, "{measure:?}");
        }
        // The distance shows that work waits for something else than a server.
        let late: Vec<Work> =
            work.iter().map(|work| Work { arrival: work.arrival - 30 * HOUR, ..*work }).collect();
        assert!(simulate("other", &late, Hours::default(), None, 1).expect("has work").distance > TOO_FAR);
        assert_eq!(simulate("none", &[], Hours::default(), None, 1), None);
        assert_eq!(
            simulate("again", &work, Hours::default(), None, 1).map(|s| s.measures),
            Some(queue.measures)
        );
    }

    #[test]
    fn work_waits_for_the_office_to_open() {
        let hours = toml::from_str(
            "time_zone = \"UTC\"\nhours = { thursday = [\"08:00-09:00\"], friday = [\"08:00-09:00\"] }",
        );
        let office = Calendar::new(&hours.expect("parses"), 0, 3 * 24 * HOUR).expect("is a calendar");
        let found = waits(&[0, 8 * HOUR + 1, 10 * HOUR], &[HOUR / 2; 3], 1, Some(&office));
        assert_eq!(found, [8 * HOUR, HOUR / 2 - 1, 22 * HOUR]);
    }

    /// An office that is open from 09:00 for so many hours every day of a week from Thursday, 1970-01-01.
    fn office(hours: i64) -> Calendar {
        let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        let days = days.map(|day| format!("{day} = [\"09:00-{:02}:00\"]", 9 + hours)).join(", ");
        let hours = toml::from_str(&format!("time_zone = \"UTC\"\nhours = {{ {days} }}")).expect("parses");
        Calendar::new(&hours, 0, 7 * 24 * HOUR).expect("is a calendar")
    }

    #[test]
    fn a_closed_office_holds_no_inspector() {
        // Begun at 16:30, an hour of work is over at 09:30 on the next day: the inspector is free for a piece that
        // arrives at 09:00 then, and not after a night that is counted as work.
        let (now, longer) = (office(8), office(10));
        let at = |day: i64, hour: f64| day * 24 * HOUR + (hour * HOUR as f64) as i64;
        assert_eq!(open_time(at(0, 16.5), at(1, 9.5), Some(&now)), HOUR);
        let arrivals = [at(0, 16.5), at(1, 9.0)];
        let totals = |office: &Calendar| -> Vec<i64> {
            serve(&arrivals, &[HOUR, 2 * HOUR], 1, Some(office)).iter().map(|served| served.total).collect()
        };
        assert_eq!(totals(&now), [17 * HOUR, HOUR / 2 + 2 * HOUR]);
        // Open until 19:00 the first piece is over at 17:30, and the second does not wait.
        assert_eq!(totals(&longer), [HOUR, 2 * HOUR]);
        let work: Vec<Work> = (0..5)
            .map(|day| Work { arrival: at(day, 16.5), begun: at(day, 16.5), done: at(day + 1, 9.5) })
            .collect();
        let hours = Hours { now: Some(&now), longer: Some(&longer) };
        let queue = simulate("inspection", &work, hours, None, 1).expect("has work");
        let measure = queue.measures.iter().find(|measure| measure.change == Change::TwoHoursLonger);
        let (mean, ..) = measure.expect("is tried").hours.mean;
        assert_eq!(mean, -16.0, "17 hours become one");
    }

    /// One busy day of four pieces at once, of an hour each, and three days of one minute's work: with a second inspector the four
    /// take 1, 1, 2 and 2 hours instead of 1 to 4, in all 4 hours less over 7 pieces. Of the days drawn, none to all
    /// are the busy one: from 0 to 4 / 4 hours less.
    #[test]
    fn days_are_drawn_whole_and_the_interval_holds_the_effect() {
        let day = |number: i64| number * 24 * 3_600_000_000;
        let hour = 3_600_000_000;
        let arrivals = [day(0), day(0), day(0), day(0), day(1), day(2), day(3)];
        let minute = hour / 60;
        let services = [hour, hour, hour, hour, minute, minute, minute];
        let queue =
            FittedQueue { arrivals: &arrivals, services: &services, servers: 1, hours: Hours::default() };
        assert_eq!(queue.days(), [0..4, 4..5, 5..6, 6..7]);
        let (mean, low, high) = queue.measure(Change::OneMoreInspector, None, 1).hours.mean;
        assert!((mean + 4.0 / 7.0).abs() < 1e-12, "{mean}");
        assert!((-1.0..=mean).contains(&low) && (mean..=0.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn distances_are_counted_by_hand() {
        assert_eq!(distance(&[1, 2, 3, 4], &[1, 2, 3, 4]), 0.0);
        assert_eq!(distance(&[1, 2], &[3, 4]), 1.0);
        assert_eq!(distance(&[1, 2, 3, 4], &[3, 3, 4, 4]), 0.5);
        let work = |begun, done| Work { arrival: 0, begun, done };
        assert_eq!(busiest(&[work(0, 2), work(1, 3), work(2, 4)]), 2);
    }
}
