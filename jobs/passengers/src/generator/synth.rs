//! The generator as a job: a folder of messages, one file a day, with inspections and the truth.
//!
//! `messages/` is what `ingest passengers` reads; `outcomes.csv` has the inspections, with `outcomes.toml` as its mapping;
//! `truth.csv` has everybody who smuggles or travels for a ring, and `people.csv` every traveller with the number of the
//! person, by which a linking is measured; `pseudonym.key` is a key for generated data. Start at [`Parameters`].

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{Days, NaiveDate, NaiveTime};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidewaiter_core::{
    Error, Period, Result, ResultExt,
    threads::{check, on_cpu},
};
use tidewaiter_job::{Job, JobParameters, Listener, Outcome, async_trait, summary::grouped};

use super::{
    bookings::{Bookings, Flight, Member, Plan},
    draws::Draws,
    inspections::{Inspection, Shares, inspection},
    people::Population,
    rings::{Ring, RingTrip, Way, rings},
    texts::{Named, messages, named},
    world::{AIRPORTS, Airport, HUBS},
};
use crate::{privacy::hexadecimal::hexadecimal, records::Moment};

/// Travellers of a flight, on average.
const OF_A_FLIGHT: u64 = 110;

/// Agencies that make bookings.
const AGENCIES: u64 = 80;

/// The file in which the folder has the parameters by which it was made, so that it is not made again.
const DONE: &str = "generated.json";

/// What to generate, and where.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Folder that receives the files.
    pub out: String,
    /// The country into which they fly, ISO 3166-1 alpha-2.
    #[arg(long)]
    pub country: String,
    /// The months; default: 2024-01..2024-08.
    #[serde(default = "months")]
    #[arg(long, required = false)]
    pub months: String,
    /// Travellers a month, about; default: 20000.
    #[serde(default = "travellers")]
    #[arg(long, required = false)]
    pub travellers: u64,
    /// Share of travellers who travel for a planted ring; default: 0.004.
    #[serde(default = "ring_share")]
    #[arg(long, required = false)]
    pub ring_share: f64,
    /// Probability that an ordinary traveller from an ordinary origin smuggles; default: 0.0012.
    #[serde(default = "base_rate")]
    #[arg(long, required = false)]
    pub base_rate: f64,
    /// Share of travellers who are inspected at random; default: 0.03.
    #[serde(default = "random_share")]
    #[arg(long, required = false)]
    pub random_share: f64,
    /// Share of travellers who are inspected because an officer chose them; default: 0.05.
    #[serde(default = "officer_share")]
    #[arg(long, required = false)]
    pub officer_share: f64,
    /// The seed.
    #[serde(default)]
    #[arg(long, required = false)]
    pub seed: u64,
}

fn months() -> String {
    "2024-01..2024-08".to_owned()
}

fn travellers() -> u64 {
    20_000
}

fn ring_share() -> f64 {
    0.004
}

fn base_rate() -> f64 {
    0.0012
}

fn random_share() -> f64 {
    0.03
}

fn officer_share() -> f64 {
    0.05
}

/// What was generated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Made {
    flights: u64,
    bookings: u64,
    travellers: u64,
    of_rings: u64,
    rings: u64,
    illicit: u64,
    inspected: u64,
    found: u64,
    bytes: u64,
}

#[async_trait]
impl JobParameters for Parameters {
    const KIND: &'static str = "synth";
    const VARIANT: Option<(&'static str, &'static str)> = Some(("export", "passengers"));
    const ABOUT: &'static str =
        "Generate PNRGOV and PAXLST messages with planted rings, inspections and the truth";

    fn paths(&mut self) -> Vec<&mut String> {
        vec![&mut self.out]
    }

    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] for parameters out of range, or when the folder holds something else.
    async fn run(&self, job: &mut Job<'_>) -> Result<()> {
        let (period, homes) = self.checked()?;
        let (parameters, listener) = (self.clone(), Arc::clone(&job.listener));
        let made = on_cpu(move || generate(&parameters, period, &homes, listener.as_ref()));
        let made = job.step("generate", made).await?;
        job.outcome.rows.read = made.travellers;
        job.outcome.metrics.insert("passengers".to_owned(), json!(made));
        Ok(())
    }

    fn summary(outcome: &Outcome) -> Vec<String> {
        let Some(made) = outcome.metrics.get("passengers") else { return Vec::new() };
        let count = |name: &str| grouped(made[name].as_u64().unwrap_or(0));
        vec![
            format!(
                "{} travellers of {} bookings on {} flights, in {} bytes of messages",
                count("travellers"),
                count("bookings"),
                count("flights"),
                count("bytes")
            ),
            format!(
                "{} smuggle; {} travel for {} rings; {} were inspected, with {} finds",
                count("illicit"),
                count("of_rings"),
                count("rings"),
                count("inspected"),
                count("found")
            ),
        ]
    }
}

impl Parameters {
    fn checked(&self) -> Result<(Period, Vec<Airport>)> {
        for (name, share) in [
            ("ring-share", self.ring_share),
            ("base-rate", self.base_rate),
            ("random-share", self.random_share),
            ("officer-share", self.officer_share),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::input(format!("--{name} is {share}; give a share from 0 to 1")));
            }
        }
        let homes: Vec<Airport> =
            AIRPORTS.into_iter().filter(|airport| airport.country == self.country).collect();
        if homes.is_empty() {
            let mut known: Vec<&str> = AIRPORTS.iter().map(|airport| airport.country).collect();
            known.sort_unstable();
            known.dedup();
            return Err(Error::input(format!(
                "the generated world has no airport in {:?}; its countries are {}",
                self.country,
                known.join(", ")
            )));
        }
        Ok((self.months.parse()?, homes))
    }
}

/// The files that grow day by day.
struct Files {
    out: PathBuf,
    outcomes: BufWriter<File>,
    truth: BufWriter<File>,
    people: BufWriter<File>,
}

impl Files {
    fn create(out: &Path) -> Result<Self> {
        let create = |name: &str| -> Result<BufWriter<File>> {
            let path = out.join(name);
            Ok(BufWriter::new(File::create(&path).context(|| format!("write {}", path.display()))?))
        };
        fs::create_dir_all(out.join("messages")).context(|| format!("make {}", out.display()))?;
        let mut files = Self {
            out: out.to_owned(),
            outcomes: create("outcomes.csv")?,
            truth: create("truth.csv")?,
            people: create("people.csv")?,
        };
        writeln!(
            files.outcomes,
            "carrier,flight,departs_on,from_airport,surname,given,birth,document_number,document_issuer,locator,selected_by,\
             inspected_on,known_on,found,category,amount"
        )?;
        writeln!(files.truth, "flight_id,document,surname,given,birth,person,illicit,ring,ring_kind")?;
        writeln!(files.people, "flight_id,locator,document,person")?;
        Ok(files)
    }

    fn finish(mut self) -> Result<()> {
        for file in [&mut self.outcomes, &mut self.truth, &mut self.people] {
            file.flush()?;
        }
        Ok(())
    }
}

fn generate(
    parameters: &Parameters,
    period: Period,
    homes: &[Airport],
    listener: &dyn Listener,
) -> Result<Made> {
    let out = Path::new(&parameters.out);
    let wanted = json!(Parameters { out: String::new(), ..parameters.clone() });
    if let Ok(text) = fs::read_to_string(out.join(DONE)) {
        let done: (serde_json::Value, Made) = serde_json::from_str(&text)?;
        return match done.0 == wanted {
            true => Ok(done.1),
            false => Err(Error::input(format!(
                "{} holds other generated passengers; name another folder",
                out.display()
            ))),
        };
    }
    let first = period.first();
    let days = u64::try_from((period.last() - first).num_days() + 1).unwrap_or(1);
    let mut code = [0; 2];
    code.copy_from_slice(&parameters.country.as_bytes()[..2]);
    let population = Population {
        seed: parameters.seed,
        persons: (parameters.travellers * 6).max(400),
        country: code,
        first,
    };
    let all = parameters.travellers as f64 * f64::from(period.months());
    let (rings, trips) = rings(&population, all * parameters.ring_share, days, AGENCIES);
    let world = World {
        population: &population,
        bookings: Bookings {
            population: &population,
            rings: &rings,
            agencies: AGENCIES,
            base: parameters.base_rate,
        },
        shares: Shares { random: parameters.random_share, officer: parameters.officer_share },
        homes,
        of_a_day: parameters.travellers as f64 / 30.4,
    };
    let mut files = Files::create(out)?;
    let mut made = Made { rings: rings.len() as u64, ..Made::default() };
    for number in 0..days {
        check()?;
        let day = first + Days::new(number);
        let trips = trips.get(&number).map_or(&[][..], Vec::as_slice);
        world.day(day, number, trips, &rings, &mut files, &mut made)?;
        listener.progress("generate", number + 1, days, "days");
    }
    files.finish()?;
    fs::write(out.join("outcomes.toml"), mapping(&parameters.country))?;
    let mut draws = Draws::of(parameters.seed, 90, [0, 0]);
    let key: Vec<u8> = (0..4).flat_map(|_| draws.next().to_be_bytes()).collect();
    fs::write(out.join("pseudonym.key"), hexadecimal(&key))?;
    fs::write(out.join(DONE), serde_json::to_vec(&(wanted, &made))?)?;
    Ok(made)
}

/// The mapping of the inspections.
fn mapping(country: &str) -> String {
    let columns = [
        "carrier",
        "flight",
        "departs_on",
        "from_airport",
        "surname",
        "given",
        "birth",
        "document_number",
        "document_issuer",
        "locator",
        "selected_by",
        "inspected_on",
        "known_on",
        "found",
        "category",
        "amount",
    ];
    let columns: Vec<String> =
        columns.iter().map(|name| format!("{name} = {{ from = \"{name}\" }}\n")).collect();
    format!("table = \"passengers/outcomes\"\ncountry = \"{country}\"\n\n[columns]\n{}", columns.concat())
}

/// What is the same on all days.
struct World<'a> {
    population: &'a Population,
    bookings: Bookings<'a>,
    shares: Shares,
    homes: &'a [Airport],
    of_a_day: f64,
}

impl World<'_> {
    fn flights(&self, day: NaiveDate, number: u64) -> Vec<Flight> {
        let count = (self.of_a_day / OF_A_FLIGHT as f64).round().max(1.0) as u64;
        let origins: Vec<Airport> = AIRPORTS
            .into_iter()
            .filter(|origin| self.homes.iter().all(|home| home.country != origin.country))
            .collect();
        let flight = |place: u64| {
            let mut draws = Draws::of(self.population.seed, 10, [number, place]);
            // Afar and risky origins have fewer flights.
            let mut origin = draws.one(&origins, AIRPORTS[0]);
            if origin.risk > 2.0 && draws.happens(0.6) {
                origin = draws.one(&origins, AIRPORTS[0]);
            }
            let destination =
                if draws.happens(0.85) { self.homes[0] } else { draws.one(self.homes, self.homes[0]) };
            let minutes = draws.below(1320);
            let departs =
                NaiveTime::from_num_seconds_from_midnight_opt(u32::try_from(minutes * 60).unwrap_or(0), 0);
            let landed = i64::try_from(minutes).unwrap_or(0) + origin.hours * 60;
            let arrives = NaiveTime::from_num_seconds_from_midnight_opt(
                u32::try_from(landed % 1440 * 60).unwrap_or(0),
                0,
            );
            Flight {
                origin,
                destination,
                number: format!("{}", 100 + place * 10 + draws.below(10)),
                departs: Moment { day, time: departs },
                arrives: Moment {
                    day: day + Days::new(u64::try_from(landed / 1440).unwrap_or(0)),
                    time: arrives,
                },
            }
        };
        (0..count).map(flight).collect()
    }

    /// Generates a day.
    fn day(
        &self,
        day: NaiveDate,
        number: u64,
        trips: &[RingTrip],
        rings: &[Ring],
        files: &mut Files,
        made: &mut Made,
    ) -> Result<()> {
        let flights = self.flights(day, number);
        let places = flights.len() as u64;
        let each = (self.of_a_day / places.max(1) as f64).round() as u64;
        let mut texts = Vec::new();
        for (place, flight) in flights.iter().enumerate() {
            let mut plans = self.bookings.of_flight(flight, place as u64, places, each);
            for trip in trips.iter().filter(|trip| self.is_aboard(&flights, place, rings, trip)) {
                let seated = plans.iter().map(|plan| plan.members.len() as u64).sum();
                plans.extend(self.bookings.of_ring(flight, trip, seated));
            }
            texts.extend(messages(self.population, flight, &plans));
            made.flights += 1;
            made.bookings += plans.len() as u64;
            for plan in &plans {
                for member in &plan.members {
                    self.traveller(flight, plan, member, rings, files, made)?;
                }
            }
        }
        let path = files.out.join(format!("messages/{}.edi", day.format("%Y-%m-%d")));
        fs::write(&path, &texts).context(|| format!("write {}", path.display()))?;
        made.bytes += texts.len() as u64;
        Ok(())
    }

    /// Whether a trip of a ring is on a flight: on the riskiest of the day, and broken travel by a hub if there is one.
    fn is_aboard(&self, flights: &[Flight], place: usize, rings: &[Ring], trip: &RingTrip) -> bool {
        let Some(ring) = rings.get(trip.ring) else { return false };
        let wish = |place: usize| {
            let mut draws =
                Draws::of(self.population.seed, 80, [ring.number << 20 | trip.number, place as u64]);
            let is_hub = HUBS.contains(&flights[place].origin.code);
            let hub = if ring.way == Way::BrokenTravel && is_hub { 10.0 } else { 0.0 };
            hub + draws.unit() * flights[place].origin.risk
        };
        let best = (0..flights.len()).max_by(|one, other| wish(*one).total_cmp(&wish(*other)));
        best == Some(place)
    }

    fn traveller(
        &self,
        flight: &Flight,
        plan: &Plan,
        member: &Member,
        rings: &[Ring],
        files: &mut Files,
        made: &mut Made,
    ) -> Result<()> {
        let Named { surname, given, birth, passport, .. } =
            named(self.population, member, flight.departs.day);
        let (issuer, person, locator) = (member.person.home.three, member.person.number, &plan.locator);
        let (carrier, day) = (flight.origin.carrier, flight.departs.day);
        let flight_id = format!("{carrier}{}-{}-{}", flight.number, day.format("%Y%m%d"), flight.origin.code);
        made.travellers += 1;
        writeln!(files.people, "{flight_id},{locator},{issuer}{passport},{person}")?;
        let ring = plan.ring.and_then(|ring| rings.get(ring));
        made.of_rings += u64::from(ring.is_some());
        made.illicit += u64::from(member.is_illicit);
        if ring.is_some() || member.is_illicit {
            let (number, way) =
                ring.map_or((String::new(), ""), |ring| (ring.number.to_string(), ring.way.word()));
            let is_illicit = member.is_illicit;
            writeln!(
                files.truth,
                "{flight_id},{issuer}{passport},{surname},{given},{birth},{person},{is_illicit},{number},{way}"
            )?;
        }
        if let Some(inspection) = inspection(self.population, self.shares, flight, plan, member) {
            let Inspection { selected_by, inspected_on, known_on, found, category, amount } = inspection;
            made.inspected += 1;
            made.found += u64::from(found);
            let amount = if found { format!("{amount:.1}") } else { String::new() };
            writeln!(
                files.outcomes,
                "{carrier},{},{day},{},{surname},{given},{birth},{passport},{issuer},{locator},{selected_by},\
                 {inspected_on},{known_on},{found},{category},{amount}",
                flight.number, flight.origin.code
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::Place;

    fn parameters(out: String) -> Parameters {
        Parameters {
            out,
            country: "KR".to_owned(),
            months: "2024-02".to_owned(),
            travellers: 600,
            ring_share: 0.1,
            base_rate: 0.01,
            random_share: 0.2,
            officer_share: 0.2,
            seed: 7,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn generated_messages_are_read_without_an_issue_and_agree_with_the_truth() {
        let place = Place::new("passengers-synth");
        let made = place.run("synth", &parameters(place.path("made"))).await;
        assert_eq!(made.error, None);
        let figures = made.metrics["passengers"].clone();
        let count = |name: &str| figures[name].as_u64().expect("a count");
        assert!(
            (550..800).contains(&count("travellers")) && count("rings") > 2 && count("found") > 5,
            "{figures}"
        );
        let ingested = place.ingest("ingest", &[place.path("made/messages")], None).await;
        assert_eq!(ingested.error, None);
        assert_eq!(ingested.metrics["passengers"]["issues"], json!({}));
        assert_eq!(ingested.rows.archived, 2 * count("flights"));
        let rows = "SELECT count(*) FROM passengers_travellers t JOIN passengers_messages m ON m.message_id = t.message_id \
                    GROUP BY m.kind";
        assert_eq!(
            place.query(rows).await,
            [count("travellers").to_string(), count("travellers").to_string()]
        );
        let outcomes = place
            .ingest("outcomes", &[place.path("made/outcomes.csv")], Some(place.path("made/outcomes.toml")))
            .await;
        assert_eq!((outcomes.error, outcomes.rows.archived), (None, count("inspected")));
        // Every inspection finds its traveller by the document, on the same flight, in both messages.
        let known = "SELECT count(*) FROM passengers_outcomes o JOIN passengers_documents d ON d.document_key = o.document_key \
                     JOIN passengers_travellers t ON t.traveller_id = d.traveller_id AND t.flight_id = o.flight_id";
        assert_eq!(place.query(known).await, [(2 * count("inspected")).to_string()]);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_rings_share_what_they_should() {
        struct Silent;
        impl Listener for Silent {
            fn progress(&self, _: &str, _: u64, _: u64, _: &str) {}
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut all = Vec::new();
        for name in ["a", "b"] {
            let out = folder.path().join(name);
            let parameters = parameters(out.display().to_string());
            let (period, homes) = parameters.checked().expect("right");
            let made = generate(&parameters, period, &homes, &Silent).expect("generates");
            let again = generate(&parameters, period, &homes, &Silent).expect("is there");
            assert_eq!(made, again);
            let other = Parameters { seed: 8, ..parameters.clone() };
            assert!(generate(&other, period, &homes, &Silent).is_err());
            let texts: Vec<String> = ["truth.csv", "people.csv", "outcomes.csv", "messages/2024-02-29.edi"]
                .map(|name| fs::read_to_string(out.join(name)).expect("there"))
                .to_vec();
            all.push(texts);
        }
        assert_eq!(all[0], all[1]);
        let mut ways: HashMap<&str, u64> = HashMap::new();
        for line in all[0][0].lines().skip(1).filter(|line| !line.ends_with(',')) {
            *ways.entry(line.rsplit(',').next().expect("a column")).or_default() += 1;
        }
        assert_eq!(ways.len(), 4, "{ways:?}");
    }
}
