//! A generator of event logs: the releases of generated declarations, one log a month, with known errors and
//! the truth.
//!
//! Each declaration is a case. It arrives (some are lodged before), is unloaded, lodged, accepted and given
//! its channel; the documents of yellow and red ones are checked, food needs another agency's permit, the
//! inspected ones wait for one of their office's inspectors, first come first served in opening hours, and a
//! few go to the laboratory; then the case is assessed, paid, released and leaves. The queue is simulated: an
//! office has as few inspectors as are busy most of the time ([`LOAD`]), and an inspection takes an
//! exponentially distributed time of mean [`SERVICE_HOURS`].
//!
//! Promises: the log is a function of the month's declarations and the seed; a case has at most one planted
//! error ([`PLANTED`], each at [`PLANTED_RATE`]), which the truth names. A month begins with empty queues, so
//! that months are independent. Start at [`ReleaseLog`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fmt::Write as _,
    io::{BufWriter, Write},
    path::Path,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{AsArray, Float64Array, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Date32Type, Field, Int32Type, Schema, SchemaRef},
};
use chrono::{DateTime, Datelike, Timelike, Weekday};
use parquet::arrow::ArrowWriter;
use rand::{Rng, SeedableRng};
use rand_distr::{Exp1, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidewaiter_core::{Error, Result, ResultExt as _};
use tidewaiter_synth::{
    SynthBatch,
    derived_export::{DerivedExport, DerivedExportMonth},
    job::{create_file, write_file},
    mix,
};

use crate::stage_file::DEFAULT;

/// Names of the planted errors, in the truth's column `planted`: an event that has no role, the release
/// before the lodgement, the release not recorded, the release recorded twice, a case that never ends, and a
/// time in UTC among local ones.
pub const PLANTED: [&str; 6] =
    ["unknown_event", "negative_time", "missing_release", "duplicate_event", "never_ends", "mixed_zone"];

/// Share of the cases with each planted error.
pub const PLANTED_RATE: f64 = 0.005;

/// Mean hours of an inspection.
pub const SERVICE_HOURS: f64 = 1.5;

/// Share of the opening hours in which an office's inspectors are busy, at most.
const LOAD: f64 = 0.85;

/// Opening hours of every office, by the local clock, Monday to Friday.
const OPEN: std::ops::Range<i64> = 8..17;

/// Hours east of UTC of the local clock.
const OFFSET_HOURS: i64 = 2;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The columns of the log.
const HEADER: &str = "case,event,started,time,office,agency,actor,mode,channel,aeo,goods,container\n";

/// The mapping of the log, for its country.
fn release_mapping(country: &str) -> String {
    format!(
        "# Made by `tidewaiter synth --releases`: the events of its releases logs.\ntable = \"releases\"\n\
         country = \"{country}\"\nformat = \"csv\"\n\n[columns]\ncase_id = {{ from = \"case\" }}\n\
         event = {{ from = \"event\" }}\nevent_time = {{ from = \"time\" }}\nstart_time = {{ from = \"started\" }}\n\
         office = {{ from = \"office\" }}\nagency = {{ from = \"agency\" }}\nactor = {{ from = \"actor\" }}\n\
         mode = {{ from = \"mode\" }}\nchannel = {{ from = \"channel\" }}\naeo = {{ from = \"aeo\" }}\n\
         goods = {{ from = \"goods\" }}\ncontainer = {{ from = \"container\" }}\n\n\
         # What the events stand for. A check that has a beginning is its …-start, too.\n[columns.role]\n\
         from = \"event\"\nother = \"\"\n[columns.role.values]\n{}",
        EVENTS.iter().map(|(event, role)| format!("\"{event}\" = \"{role}\"\n")).collect::<String>()
    )
}

/// The default stage file with the opening hours of the log's offices.
fn release_stages() -> String {
    let days = ["monday", "tuesday", "wednesday", "thursday", "friday"];
    let hours = days.map(|day| format!("{day} = [\"{:02}:00-{:02}:00\"]", OPEN.start, OPEN.end));
    // The POSIX sign: a zone two hours east of UTC.
    format!(
        "{DEFAULT}\n[calendar]\ntime_zone = \"Etc/GMT-{OFFSET_HOURS}\"\nhours = {{ {} }}\n",
        hours.join(", ")
    )
}

/// The event log, as the generator's job offers it.
pub struct ReleaseExport;

impl DerivedExport for ReleaseExport {
    fn name(&self) -> &'static str {
        "releases"
    }

    fn about(&self) -> &'static str {
        "Write the event log of the declarations' releases, too, with planted clock errors and the truth"
    }

    fn begin(&self, folder: &Path, country: &str) -> Result<()> {
        write_file(&folder.join("releases-mapping.toml"), &release_mapping(country))?;
        write_file(&folder.join("releases-stages.toml"), &release_stages())
    }

    fn month(&self, seed: u64, year: i32, month: u32) -> Box<dyn DerivedExportMonth> {
        let log = ReleaseLog::new(seed, (year * 12) as u64 + u64::from(month));
        Box::new(ReleaseMonth { log, name: format!("{year:04}-{month:02}") })
    }
}

/// The files of one month.
struct ReleaseMonth {
    log: ReleaseLog,
    /// The month, as its files are named.
    name: String,
}

impl DerivedExportMonth for ReleaseMonth {
    fn take(&mut self, batch: &SynthBatch) -> Result<()> {
        self.log.take(batch)
    }

    fn finish(self: Box<Self>, folder: &Path) -> Result<()> {
        let path = folder.join(format!("releases-{}.csv", self.name));
        let mut csv = BufWriter::new(create_file(&path)?);
        let truth = self.log.finish(&mut csv)?;
        csv.flush().context(|| format!("write {}", path.display()))?;
        let path = folder.join(format!("releases-truth-{}.parquet", self.name));
        let mut truths = ArrowWriter::try_new(create_file(&path)?, truth.schema(), None)?;
        truths.write(&truth)?;
        truths.close()?;
        Ok(())
    }
}

/// The events and their milestones.
const EVENTS: [(&str, &str); 14] = [
    ("arrival", "arrival"),
    ("unloading", "unloading"),
    ("lodgement", "lodgement"),
    ("acceptance", "acceptance"),
    ("selection", "selection"),
    ("document check", "document-check-end"),
    ("permit request", "permit-request"),
    ("permit decision", "permit-decision"),
    ("inspection", "inspection-end"),
    ("laboratory analysis", "laboratory-end"),
    ("assessment", "assessment"),
    ("payment", "payment"),
    ("release", "release"),
    ("gate-out", "gate-out"),
];

/// The schema of the truth: `case_id`, `planted` (null where the case has no error), `office`, `inspectors`
/// (of its office that month), `inspection_wait` (hours, null where not inspected) and `release_hours` (from
/// arrival or lodgement, whichever is later, to the true release).
pub fn release_truth_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("case_id", DataType::Utf8, false),
            Field::new("planted", DataType::Utf8, true),
            Field::new("office", DataType::Utf8, false),
            Field::new("inspectors", DataType::Int32, false),
            Field::new("inspection_wait", DataType::Float64, true),
            Field::new("release_hours", DataType::Float64, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// A case; times in seconds since 1970 by the local clock.
struct Case {
    id: String,
    planted: Option<usize>,
    office: String,
    mode: &'static str,
    channel: String,
    aeo: bool,
    goods: String,
    number: u64,
    arrival: i64,
    unloading: i64,
    lodgement: i64,
    acceptance: i64,
    selection: i64,
    check: Option<(i64, i64)>,
    permit: Option<(i64, i64)>,
    inspected: bool,
    /// When the inspection may begin, and how long it takes.
    ready: i64,
    service: i64,
    begun: i64,
    laboratory: Option<i64>,
    pay_after: i64,
    leave_after: i64,
}

impl Case {
    fn inspection_end(&self) -> Option<i64> {
        self.inspected.then_some(self.begun + self.service)
    }

    fn laboratory_end(&self) -> Option<i64> {
        Some(self.inspection_end()? + self.laboratory?)
    }

    /// When all checks are over.
    fn assessment(&self) -> i64 {
        let ends = [
            Some(self.selection),
            self.check.map(|check| check.1),
            self.permit.map(|permit| permit.1),
            self.inspection_end(),
            self.laboratory_end(),
        ];
        ends.into_iter().flatten().max().unwrap_or(self.selection) + 600
    }

    fn payment(&self) -> i64 {
        self.assessment() + self.pay_after
    }

    /// Goods are released when they are paid and there.
    fn release(&self) -> i64 {
        self.payment().max(self.unloading) + 300
    }
}

/// The releases of one month's declarations.
pub struct ReleaseLog {
    rng: Xoshiro256PlusPlus,
    seed: u64,
    cases: Vec<Case>,
    /// Inspectors of each office.
    inspectors: BTreeMap<String, i32>,
}

impl ReleaseLog {
    /// The log of a month; `month` is its year times 12 and its number.
    pub fn new(seed: u64, month: u64) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(mix(seed ^ 0x7215, month));
        Self { rng, seed, cases: Vec::new(), inspectors: BTreeMap::new() }
    }

    /// Adds the next declarations of the month.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Internal`] when the batch is not one of declarations.
    pub fn take(&mut self, batch: &SynthBatch) -> Result<()> {
        let rows = &batch.declarations;
        let column = |name: &str| {
            rows.column_by_name(name).ok_or_else(|| Error::internal(format!("declarations lack {name}")))
        };
        let ids = column("declaration_id")?.as_string::<i32>();
        let items = column("item_number")?.as_primitive::<Int32Type>();
        let days = column("acceptance_date")?.as_primitive::<Date32Type>();
        let (offices, modes) =
            (column("office")?.as_string::<i32>(), column("transport_mode")?.as_string::<i32>());
        let (channels, importers) =
            (column("channel")?.as_string::<i32>(), column("importer")?.as_string::<i32>());
        let (codes, inspected) = (column("hs_code")?.as_string::<i32>(), column("inspected")?.as_boolean());
        for row in (0..rows.num_rows()).filter(|row| items.value(*row) == 1) {
            let trader =
                importers.value(row).bytes().fold(self.seed, |word, byte| mix(word, u64::from(byte)));
            let facts = Facts {
                id: ids.value(row),
                day: i64::from(days.value(row)),
                office: offices.value(row),
                mode: match modes.value(row) {
                    "1" => "sea",
                    "4" => "air",
                    _ => "road",
                },
                channel: channels.value(row),
                aeo: trader % 100 < 15,
                chapter: &codes.value(row)[..2],
                inspected: inspected.value(row),
            };
            let case = self.declare(&facts);
            self.cases.push(case);
        }
        Ok(())
    }

    /// Seconds of a log-normal distribution with a median in hours.
    fn hours(&mut self, median: f64, spread: f64) -> i64 {
        let normal: f64 = self.rng.sample(StandardNormal);
        (median * (spread * normal).exp() * HOUR as f64) as i64
    }

    /// The case of a declaration.
    fn declare(&mut self, facts: &Facts<'_>) -> Case {
        let draw: f64 = self.rng.random();
        let planted = (0..PLANTED.len()).find(|kind| draw < PLANTED_RATE * (*kind as f64 + 1.0));
        let lodgement = facts.day * DAY + (self.rng.random_range(7.0..19.0) * HOUR as f64) as i64;
        let ahead = self.rng.random::<f64>() < if facts.aeo { 0.6 } else { 0.2 };
        let (voyage, unload) = match facts.mode {
            "sea" => (40.0, 9.0),
            "air" => (8.0, 3.0),
            _ => (3.0, 0.5),
        };
        let distance = self.hours(voyage, 0.7);
        let arrival = if ahead { lodgement + distance / 2 } else { lodgement - distance };
        let unloading = arrival + self.hours(unload, 0.4);
        let acceptance = lodgement + self.rng.random_range(60..900);
        let selection = acceptance + self.rng.random_range(20..180);
        let check = (facts.channel != "green").then(|| {
            let begun = opens(selection + self.hours(1.5, 0.8));
            (begun, begun + self.hours(0.4, 0.5))
        });
        let food = facts.chapter < "25";
        let permit = (food && self.rng.random::<f64>() < 0.7).then(|| {
            let requested = lodgement + self.rng.random_range(600..3600);
            (requested, requested + self.hours(30.0, 0.6))
        });
        let service = (SERVICE_HOURS * HOUR as f64 * self.rng.sample::<f64, _>(Exp1)) as i64;
        let laboratory = (self.rng.random::<f64>() < 0.06).then(|| self.hours(60.0, 0.3));
        let pay_after = if facts.aeo { self.hours(1.0, 0.6) } else { self.hours(7.0, 0.9) };
        let leave_after = self.hours(14.0, 0.8);
        let ready = [selection, unloading, check.map_or(0, |check| check.1)];
        let ready = ready.into_iter().max().unwrap_or(selection);
        Case {
            id: facts.id.to_owned(),
            planted,
            office: facts.office.to_owned(),
            mode: facts.mode,
            channel: facts.channel.to_owned(),
            aeo: facts.aeo,
            goods: facts.chapter.to_owned(),
            number: self.cases.len() as u64,
            arrival,
            unloading,
            lodgement,
            acceptance,
            selection,
            check,
            permit,
            inspected: facts.inspected,
            ready,
            service,
            begun: ready,
            laboratory: laboratory.filter(|_| facts.inspected),
            pay_after,
            leave_after,
        }
    }

    /// Puts the inspected cases of each office in the queue for its inspectors.
    fn inspect(&mut self) {
        let mut queues = BTreeMap::<String, Vec<usize>>::new();
        for (place, case) in self.cases.iter().enumerate().filter(|(_, case)| case.inspected) {
            queues.entry(case.office.clone()).or_default().push(place);
        }
        for (office, mut queue) in queues {
            queue.sort_by_key(|place| (self.cases[*place].ready, *place));
            let hours_open = 22.0 * (OPEN.end - OPEN.start) as f64;
            let needed = (queue.len() as f64 * SERVICE_HOURS / hours_open / LOAD).ceil().max(1.0);
            self.inspectors.insert(office, needed as i32);
            let mut free: BinaryHeap<_> = (0..needed as usize).map(|_| Reverse(i64::MIN)).collect();
            for place in queue {
                let case = &mut self.cases[place];
                let earliest = free.pop().map_or(i64::MIN, |free| free.0);
                case.begun = opens(earliest.max(case.ready));
                free.push(Reverse(case.begun + case.service));
            }
        }
    }

    /// Writes the month's events in the order of their times, and returns the truth of its cases.
    ///
    /// # Errors
    /// Those of `writer`.
    pub fn finish(mut self, writer: &mut impl Write) -> Result<RecordBatch> {
        self.inspect();
        let mut lines: Vec<(i64, usize, String)> = Vec::new();
        for case in &self.cases {
            events(case, &mut lines);
        }
        lines.sort_unstable();
        writer.write_all(HEADER.as_bytes())?;
        for (.., line) in &lines {
            writer.write_all(line.as_bytes())?;
        }
        let cases = || self.cases.iter();
        let inspectors = cases().map(|case| self.inspectors.get(&case.office).copied().unwrap_or(0));
        let wait = |case: &Case| case.inspected.then(|| hours(case.begun - case.ready));
        let release = cases().map(|case| hours(case.release() - case.arrival.max(case.lodgement)));
        Ok(RecordBatch::try_new(
            release_truth_schema(),
            vec![
                Arc::new(StringArray::from_iter_values(cases().map(|case| &case.id))),
                Arc::new(StringArray::from_iter(cases().map(|case| case.planted.map(|kind| PLANTED[kind])))),
                Arc::new(StringArray::from_iter_values(cases().map(|case| &case.office))),
                Arc::new(Int32Array::from_iter_values(inspectors)),
                Arc::new(cases().map(wait).collect::<Float64Array>()),
                Arc::new(Float64Array::from_iter_values(release)),
            ],
        )?)
    }
}

/// What a case takes from its declaration.
struct Facts<'a> {
    id: &'a str,
    day: i64,
    office: &'a str,
    mode: &'static str,
    channel: &'a str,
    aeo: bool,
    chapter: &'a str,
    inspected: bool,
}

/// Seconds in hours.
fn hours(seconds: i64) -> f64 {
    seconds as f64 / HOUR as f64
}

/// The first time from this one on at which offices are open.
fn opens(time: i64) -> i64 {
    let mut at = time;
    loop {
        let local = DateTime::from_timestamp(at, 0).unwrap_or_default();
        let (hour, midnight) = (i64::from(local.hour()), at.div_euclid(DAY) * DAY);
        let weekend = matches!(local.weekday(), Weekday::Sat | Weekday::Sun);
        at = match hour {
            _ if weekend => midnight + DAY,
            hour if hour >= OPEN.end => midnight + DAY,
            hour if hour < OPEN.start => midnight + OPEN.start * HOUR,
            _ => return at,
        };
    }
}

/// The lines of a case's events, with its planted error.
fn events(case: &Case, lines: &mut Vec<(i64, usize, String)>) {
    let planted = case.planted.map(|kind| PLANTED[kind]);
    let mut line = |event: &str, begun: Option<i64>, time: i64, agency: &str, actor: u64| {
        let mut text = String::with_capacity(160);
        let utc = planted == Some("mixed_zone") && event == "acceptance";
        let _ = write!(text, "{},{event},", case.id);
        if let Some(begun) = begun {
            stamp(&mut text, begun, false);
        }
        text.push(',');
        stamp(&mut text, time, utc);
        let aeo = if case.aeo { "yes" } else { "no" };
        let Case { office, mode, channel, goods, .. } = case;
        let container = mix(case.number, (case.lodgement / DAY) as u64) % 10_000_000;
        let _ = writeln!(
            text,
            ",{office},{agency},{agency} {actor},{mode},{channel},{aeo},chapter {goods},TWAU{container:07}"
        );
        lines.push((time, lines.len(), text));
    };
    let by = |many: u64| 1 + case.number % many;
    line("arrival", None, case.arrival, "carrier", by(40));
    line("unloading", None, case.unloading, "terminal", by(9));
    line("lodgement", None, case.lodgement, "declarant", by(200));
    line("acceptance", None, case.acceptance, "customs system", 1);
    line("selection", None, case.selection, "customs system", 1);
    if planted == Some("never_ends") {
        return;
    }
    if planted == Some("unknown_event") {
        line("SCAN 17", None, case.selection + 60, "terminal", by(9));
    }
    if let Some((begun, end)) = case.check {
        line("document check", Some(begun), end, "customs", by(25));
    }
    if let Some((requested, decided)) = case.permit {
        line("permit request", None, requested, "declarant", by(200));
        line("permit decision", None, decided, "food safety", by(6));
    }
    if let Some(end) = case.inspection_end() {
        line("inspection", Some(case.begun), end, "customs", by(25));
    }
    if let (Some(begun), Some(end)) = (case.inspection_end(), case.laboratory_end()) {
        line("laboratory analysis", Some(begun), end, "laboratory", by(3));
    }
    line("assessment", None, case.assessment(), "customs system", 1);
    line("payment", None, case.payment(), "bank", by(5));
    match planted {
        Some("missing_release") => {}
        Some("negative_time") => line("release", None, case.lodgement - 3 * HOUR, "customs system", 1),
        Some("duplicate_event") => {
            line("release", None, case.release(), "customs system", 1);
            line("release", None, case.release(), "customs system", 1);
        }
        _ => line("release", None, case.release(), "customs system", 1),
    }
    line("gate-out", None, case.release() + case.leave_after, "terminal", by(9));
}

/// Writes a local time with its zone, or the same time in UTC.
fn stamp(text: &mut String, local: i64, utc: bool) {
    let (shift, zone) = if utc { (OFFSET_HOURS * HOUR, "Z") } else { (0, "+02:00") };
    let time = DateTime::from_timestamp(local - shift, 0).unwrap_or_default();
    let _ = write!(text, "{}{zone}", time.format("%Y-%m-%dT%H:%M:%S"));
}

#[cfg(test)]
mod tests {
    use tidewaiter_ingest::Mapping;

    use super::*;
    use crate::{stage_file::StageFile, table::LAYOUT};

    #[test]
    fn the_mapping_is_one_that_ingest_reads() {
        assert_eq!(Mapping::parse(&release_mapping("TW"), &[&LAYOUT]).expect("parses").file.country, "TW");
    }

    #[test]
    fn the_stage_file_is_one_that_the_study_reads() {
        assert!(StageFile::parse(&release_stages()).expect("parses").has_calendar());
    }
}
