//! The grouping of events by case.
//!
//! Events are kept in the order in which they come, in parts by the hash of their case; at the end each
//! part's events are put together case by case and sorted. Start at [`EventGroups`].

use std::cmp::Ordering;

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    datatypes::{Int32Type, Int64Type, SchemaRef, UInt32Type},
};
use tidewaiter_core::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    columns::{BATCH_CASES, CaseColumns, Event, Strata},
    event_texts::EventTexts,
};
use crate::{interner::Interner, scope::STRATA, stage_file::Calendars};

/// Bits of a case's hash by which events are kept apart, so that some millions of them are grouped and sorted
/// in the processor's cache.
const PART_BITS: u32 = 7;

/// Events of a chunk.
const CHUNK_EVENTS: usize = 512;

/// Events, grouped by case.
pub(super) struct EventGroups {
    parts: Vec<Part>,
}

/// The events of some of the cases.
#[derive(Default)]
struct Part {
    /// All but the last are full, so that no event is copied when others come.
    chunks: Vec<Chunk>,
    /// The strata of each event.
    strata: Strata,
}

/// Some events in the order in which they came.
struct Chunk {
    /// The ids of the events' cases, one after the other.
    ids: String,
    /// Where each id ends.
    ends: Vec<usize>,
    events: Vec<Event>,
}

impl Default for EventGroups {
    fn default() -> Self {
        Self { parts: (0..1 << PART_BITS).map(|_| Part::default()).collect() }
    }
}

impl EventGroups {
    /// Adds some numbered events. Without a column `begun` they begin when they end; without a column
    /// `starts` none of them is the start of another.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let optional = |name: &str| batch.column_by_name(name);
        let column = |name: &str| {
            optional(name).ok_or_else(|| Error::internal(format!("the events have no column {name}")))
        };
        let ids = column("case_id")?.as_string::<i32>();
        let whole = |column: &'_ ArrayRef| column.as_primitive::<Int64Type>().values().clone();
        let (done, orders) = (whole(column("done")?), whole(column("file_order")?));
        let begun = optional("begun").map_or_else(|| done.clone(), whole);
        let offsets = column("utc_offset")?.as_primitive::<Int32Type>().values();
        let starts = optional("starts").map(|starts| starts.as_boolean());
        let number = |column: &'_ ArrayRef| column.as_primitive::<UInt32Type>().values().clone();
        let (events, roles) = (number(column("event")?), number(column("role")?));
        let strata = STRATA.iter().enumerate();
        let strata: Vec<_> =
            strata.filter_map(|(place, name)| Some((place, number(optional(name)?)))).collect();
        for row in 0..batch.num_rows() {
            let id = ids.value(row);
            let part = &mut self.parts[(xxh3_64(id.as_bytes()) >> (u64::BITS - PART_BITS)) as usize];
            let (chunk, before) = part.chunk_for(id);
            let place = before + chunk.events.len();
            chunk.ids.push_str(id);
            chunk.ends.push(chunk.ids.len());
            chunk.events.push(Event {
                done: done[row],
                begun: begun[row],
                order: orders[row],
                activity: events[row],
                role: roles[row],
                place: place as u32,
                offset: i16::try_from(offsets[row]).map_err(|_| {
                    Error::corrupt(format!("the clock of an event is {} minutes from UTC", offsets[row]))
                })?,
                starts: starts.is_some_and(|starts| starts.value(row)),
            });
            for (column, numbers) in strata.iter().filter(|(_, numbers)| numbers[row] > 0) {
                part.strata[*column].resize(place, 0);
                part.strata[*column].push(numbers[row]);
            }
        }
        Ok(())
    }

    /// The rows of the cases, in batches of at most [`BATCH_CASES`].
    pub(super) fn finish(
        self,
        texts: &EventTexts,
        schema: SchemaRef,
        intervals: bool,
        calendars: Option<&Calendars>,
    ) -> Result<Vec<RecordBatch>> {
        let by_name = |a: &Event, b: &Event| {
            texts.activities.text(a.activity - 1).cmp(texts.activities.text(b.activity - 1))
        };
        let by_end = |a: &Event, b: &Event| {
            a.done.cmp(&b.done).then(a.order.cmp(&b.order)).then_with(|| by_name(a, b))
        };
        let by_beginning = |a: &Event, b: &Event| a.begun.cmp(&b.begun).then_with(|| by_end(a, b));
        let (mut columns, mut batches) = (CaseColumns::new(texts, &schema, calendars), Vec::new());
        let (mut ended, mut begun) = (Vec::<Event>::new(), Vec::<Event>::new());
        for part in self.parts {
            let cases = part.cases();
            for case in 0..cases.ids.len() {
                ended.clear();
                ended.extend(cases.events(case).iter().map(|place| *part.event(*place as usize)));
                sort(&mut ended, by_end);
                if intervals {
                    begun.clone_from(&ended);
                    sort(&mut begun, by_beginning);
                }
                let id = cases.ids.text(case as u32);
                columns.push(id, &ended, intervals.then_some(begun.as_slice()), &part.strata);
                if columns.count == BATCH_CASES {
                    batches.push(columns.finish()?);
                }
            }
        }
        if columns.count > 0 {
            batches.push(columns.finish()?);
        }
        Ok(batches)
    }
}

/// The cases of a part.
struct Cases {
    ids: Interner,
    /// The places of the events, case by case.
    places: Vec<u32>,
    /// Where the places of each case begin; one more at the end.
    ends: Vec<u32>,
}

impl Part {
    /// The chunk for one more event, and the number of events in the chunks before it. A new chunk has room
    /// for ids as long as this one.
    fn chunk_for(&mut self, id: &str) -> (&mut Chunk, usize) {
        if self.chunks.last().is_none_or(|chunk| chunk.events.len() == CHUNK_EVENTS) {
            self.chunks.push(Chunk {
                ids: String::with_capacity(CHUNK_EVENTS * id.len()),
                ends: Vec::with_capacity(CHUNK_EVENTS),
                events: Vec::with_capacity(CHUNK_EVENTS),
            });
        }
        let last = self.chunks.len() - 1;
        (&mut self.chunks[last], last * CHUNK_EVENTS)
    }

    fn event(&self, place: usize) -> &Event {
        &self.chunks[place / CHUNK_EVENTS].events[place % CHUNK_EVENTS]
    }

    /// The cases, each with its events in the order in which they came.
    fn cases(&self) -> Cases {
        let (mut ids, mut cases) =
            (Interner::default(), Vec::with_capacity(self.chunks.len() * CHUNK_EVENTS));
        for chunk in &self.chunks {
            let mut from = 0;
            for end in &chunk.ends {
                cases.push(ids.number(chunk.ids.get(from..*end).unwrap_or_default()));
                from = *end;
            }
        }
        let mut ends = vec![0_u32; ids.len() + 1];
        for case in &cases {
            ends[*case as usize + 1] += 1;
        }
        for case in 1..ends.len() {
            ends[case] += ends[case - 1];
        }
        let mut next = ends.clone();
        let mut places = vec![0_u32; cases.len()];
        for (place, case) in (0..).zip(&cases) {
            let slot = &mut next[*case as usize];
            places[*slot as usize] = place;
            *slot += 1;
        }
        Cases { ids, places, ends }
    }
}

impl Cases {
    /// The places of a case's events.
    fn events(&self, case: usize) -> &[u32] {
        &self.places[self.ends[case] as usize..self.ends[case + 1] as usize]
    }
}

/// Sorts the few events of a case; equal ones keep their order.
fn sort(events: &mut [Event], order: impl Fn(&Event, &Event) -> Ordering) {
    if !events.is_sorted_by(|a, b| order(a, b) != Ordering::Greater) {
        events.sort_by(order);
    }
}
