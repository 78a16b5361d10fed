//! A seeded log of releases: into an archive in the order of time, as exports are, or into one CSV, Parquet or XES file.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{
        Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
    },
    datatypes::Schema,
};
use parquet::arrow::ArrowWriter;
use tidewaiter_archive::{Archive, PartitionWriter, Table, WriterSettings};
use tidewaiter_release::table::{RELEASES, schema as releases};

use tidewaiter_tests::BenchResult;

use super::THREADS;

/// The events of a case of the log, with their milestones and about the hours before them.
const STEPS: [(&str, &str, f64); 12] = [
    ("arrival", "arrival", 0.0),
    ("unloading", "unloading", 9.0),
    ("lodgement", "lodgement", 14.0),
    ("acceptance", "acceptance", 0.2),
    ("selection", "selection", 0.1),
    ("document check", "document-check-end", 2.0),
    ("inspection starts", "inspection-start", 5.0),
    ("inspection ends", "inspection-end", 1.5),
    ("assessment", "assessment", 0.3),
    ("payment", "payment", 7.0),
    ("release", "release", 0.1),
    ("gate-out", "gate-out", 14.0),
];

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// The next of a stream of words (SplitMix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// An event: its moment since 2024, its case, and its step.
type Event = (i64, u64, u8);

/// The events of a year by day, each day in the order of time.
struct Days {
    wanted: u64,
    made: u64,
    cases: u64,
    cases_a_day: u64,
    state: u64,
    days: Vec<Vec<Event>>,
    day: usize,
}

impl Days {
    /// Of so many events at least.
    fn new(wanted: u64) -> Self {
        // About 9.2 events a case.
        let cases_a_day = (wanted as f64 / 9.2 / 360.0).ceil() as u64;
        Self { wanted, made: 0, cases: 0, cases_a_day, state: 1, days: vec![Vec::new(); 400], day: 0 }
    }
}

impl Iterator for Days {
    type Item = Vec<Event>;

    fn next(&mut self) -> Option<Vec<Event>> {
        let day = self.day;
        self.day += 1;
        let new = if self.made < self.wanted && day < 360 { self.cases_a_day } else { 0 };
        for _ in 0..new {
            self.cases += 1;
            let mut at = day as i64 * DAY + (next(&mut self.state) % DAY as u64) as i64;
            let kind = next(&mut self.state) % 10;
            for (step, (.., hours)) in STEPS.iter().enumerate() {
                // Green cases are neither checked nor inspected, yellow ones not inspected.
                if (kind < 6 && (5..=7).contains(&step)) || (kind < 9 && (6..=7).contains(&step)) {
                    continue;
                }
                let part = (next(&mut self.state) >> 11) as f64 / (1_u64 << 53) as f64;
                at += (hours * -(1.0 - part).ln() * 3.6e9) as i64;
                if let Some(bucket) = self.days.get_mut((at / DAY) as usize) {
                    bucket.push((at, self.cases, step as u8));
                }
            }
        }
        let mut events = std::mem::take(self.days.get_mut(day)?);
        events.sort_unstable();
        self.made += events.len() as u64;
        Some(events)
    }
}

/// Writes a year's events into an archive, at least so many; gives their number.
pub(super) fn archive(archive: &Path, events: u64) -> BenchResult<u64> {
    let archive = Archive::open(&archive.display().to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(async {
        let table = Table::open_or_create(&archive, RELEASES, &releases()).await?;
        let mut writer = PartitionWriter::new(
            &archive,
            RELEASES,
            &releases(),
            "UG",
            &["event_time", "case_id", "file_order"],
            "bench-0",
            WriterSettings::default(),
        )?;
        let mut order = 0;
        for events in Days::new(events) {
            for part in events.chunks(65_536) {
                writer.write(&batch(part, &mut order)?).await?;
            }
        }
        table.commit(&writer.finish().await?, &["bench".to_owned()], "ingest").await?;
        Ok(order as u64)
    })
}

/// The moment of an event as RFC 3339.
fn moment(event: &Event) -> String {
    let moment = chrono::DateTime::from_timestamp_micros(event.0 + 19_723 * DAY).unwrap_or_default();
    moment.to_rfc3339_opts(chrono::SecondsFormat::Micros, false)
}

fn case(event: &Event) -> String {
    format!("UG2024-{:09}", event.1)
}

/// Writes the same events into a CSV file; gives their number.
pub(super) fn csv(path: &Path, events: u64) -> BenchResult<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "case,event,time")?;
    let mut count = 0;
    for event in Days::new(events).flatten() {
        writeln!(file, "{},{},{}", case(&event), STEPS[usize::from(event.2)].0, moment(&event))?;
        count += 1;
    }
    file.flush()?;
    Ok(count)
}

/// Writes the same events into a Parquet file; gives their number.
pub(super) fn parquet(path: &Path, events: u64) -> BenchResult<u64> {
    let (mut writer, mut count) = (None, 0);
    for events in Days::new(events).filter(|events| !events.is_empty()) {
        let text = |of: fn(&Event) -> String| {
            Arc::new(StringArray::from_iter_values(events.iter().map(of))) as Arc<dyn Array>
        };
        let times = events.iter().map(|event| event.0 + 19_723 * DAY);
        let rows = RecordBatch::try_from_iter([
            ("case", text(case)),
            ("event", text(|event| STEPS[usize::from(event.2)].0.to_owned())),
            ("time", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")) as _),
        ])?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(ArrowWriter::try_new(File::create(path)?, rows.schema(), None)?),
        };
        writer.write(&rows)?;
        count += rows.num_rows() as u64;
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(count)
}

/// Writes the same events into an XES file, case by case; gives their number.
pub(super) fn xes(path: &Path, events: u64) -> BenchResult<u64> {
    let mut events: Vec<Event> = Days::new(events).flatten().collect();
    events.sort_unstable_by_key(|event| (event.1, event.0, event.2));
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<log xes.version=\"1.0\">")?;
    for case_events in events.chunk_by(|a, b| a.1 == b.1) {
        let name = case_events.first().map(case).unwrap_or_default();
        writeln!(file, "<trace>\n<string key=\"concept:name\" value=\"{name}\"/>")?;
        for event in case_events {
            let (name, at) = (STEPS[usize::from(event.2)].0, moment(event));
            writeln!(
                file,
                "<event><string key=\"concept:name\" value=\"{name}\"/><date key=\"time:timestamp\" value=\"{at}\"/></event>"
            )?;
        }
        writeln!(file, "</trace>")?;
    }
    writeln!(file, "</log>")?;
    file.flush()?;
    Ok(events.len() as u64)
}

/// The mapping by which `ingest releases` reads such a file.
pub(super) fn mapping(form: &str) -> String {
    let names = match form {
        "xes" => ["case:concept:name", "concept:name", "time:timestamp"],
        _ => ["case", "event", "time"],
    };
    let roles: Vec<String> = STEPS.iter().map(|(name, role, _)| format!("{name:?} = {role:?}\n")).collect();
    format!(
        "table = \"releases\"\ncountry = \"UG\"\nformat = {form:?}\n[columns]\ncase_id = {{ from = {:?} }}\n\
         event = {{ from = {:?} }}\nevent_time = {{ from = {:?} }}\n[columns.role]\nfrom = {:?}\nother = \"\"\n\
         [columns.role.values]\n{}",
        names[0],
        names[1],
        names[2],
        names[1],
        roles.concat()
    )
}

/// The rows of some events: moment since 2024, case, and step.
fn batch(rows: &[Event], order: &mut i64) -> BenchResult<RecordBatch> {
    let schema: Arc<Schema> = releases();
    let text = |of: &dyn Fn(&Event) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(of)));
    let start = *order;
    *order += rows.len() as i64;
    let columns = schema.fields().iter().map(|field| -> Arc<dyn Array> {
        match field.name().as_str() {
            "case_id" => text(&case),
            "event" => text(&|row| STEPS[usize::from(row.2)].0.to_owned()),
            "role" => text(&|row| STEPS[usize::from(row.2)].1.to_owned()),
            "event_time" => {
                let times = rows.iter().map(|row| row.0 + 19_723 * DAY);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            "utc_offset" => Arc::new(Int32Array::from(vec![180; rows.len()])),
            "file_order" => Arc::new(Int64Array::from_iter_values(start + 1..=*order)),
            "office" => text(&|row| format!("OFFICE {}", row.1 % 40)),
            "agency" => text(&|row| ["customs", "port", "bank"][usize::from(row.2 % 3)].to_owned()),
            "actor" => text(&|row| format!("actor {}", (row.1 / 7 + u64::from(row.2)) % 900)),
            "mode" => text(&|row| ["sea", "air", "road"][(row.1 / 3 % 3) as usize].to_owned()),
            "goods" => text(&|row| format!("chapter {}", row.1 / 5 % 97)),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    });
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect())?)
}
