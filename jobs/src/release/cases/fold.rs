//! The events of whole cases, folded: kept as they come, by a part of their case's hash, then put in order case by case.

use std::{cmp::Ordering, collections::HashMap, io::Write as _, sync::Arc};

use arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanBuilder, GenericByteBuilder,
        Int32Builder, Int64Builder, PrimitiveBuilder, RecordBatch, StringBuilder,
    },
    datatypes::{ByteArrayType, Int32Type, Int64Type, SchemaRef, UInt32Type},
};
use xxhash_rust::xxh3::xxh3_64;

use super::Names;
use crate::{
    Error, Result,
    release::{
        calendar::Calendar,
        queries::{BETWEEN_EVENTS, STRATA},
        stages::Calendars,
        texts::Texts,
    },
};

/// The place of the office among the strata.
const OFFICE: usize = 0;

/// Cases of a batch.
const BATCH_CASES: usize = 8192;

/// Bits of a case's hash by which events are kept apart, so that some millions of them are put in order in the
/// processor's cache.
const PART_BITS: u32 = 7;

/// Events of a chunk.
const CHUNK_EVENTS: usize = 512;

/// Different ways whose texts are remembered.
const REMEMBERED_WAYS: usize = 4096;

/// An event with numbers for its texts; 0 is none, and the texts are numbered from 1.
#[derive(Clone, Copy)]
struct Event {
    done: i64,
    begun: i64,
    order: i64,
    event: u32,
    role: u32,
    /// Its place in its part.
    place: u32,
    /// Of its clock from UTC, in minutes.
    offset: i16,
    starts: bool,
}

/// Events as they come.
pub(super) struct Fold {
    parts: Vec<Part>,
}

/// The events of some of the cases.
#[derive(Default)]
struct Part {
    /// All but the last are full, so that nothing is copied as events come.
    chunks: Vec<Chunk>,
    /// Of each event, up to the last that has a text of the column.
    strata: Strata,
}

/// Some events as they came.
struct Chunk {
    /// The names of the events' cases one after the other, and where each ends.
    ids: String,
    ends: Vec<usize>,
    events: Vec<Event>,
}

/// The numbers of the events' texts, by column.
type Strata = [Vec<u32>; STRATA.len()];

impl Default for Fold {
    fn default() -> Self {
        Self { parts: (0..1 << PART_BITS).map(|_| Part::default()).collect() }
    }
}

impl Fold {
    /// Takes some numbered events. Those that do not tell when they begin begin when they end, and no event is the
    /// start of another unless it is told.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let told = |name: &str| batch.column_by_name(name);
        let column = |name: &str| {
            told(name).ok_or_else(|| Error::internal(format!("the events have no column {name}")))
        };
        let ids = column("case_id")?.as_string::<i32>();
        let whole = |column: &'_ ArrayRef| column.as_primitive::<Int64Type>().values().clone();
        let (done, orders) = (whole(column("done")?), whole(column("file_order")?));
        let begun = told("begun").map_or_else(|| done.clone(), whole);
        let offsets = column("utc_offset")?.as_primitive::<Int32Type>().values();
        let starts = told("starts").map(|starts| starts.as_boolean());
        let number = |column: &'_ ArrayRef| column.as_primitive::<UInt32Type>().values().clone();
        let (events, roles) = (number(column("event")?), number(column("role")?));
        let strata = STRATA.iter().enumerate();
        let strata: Vec<_> = strata.filter_map(|(place, name)| Some((place, number(told(name)?)))).collect();
        for row in 0..batch.num_rows() {
            let id = ids.value(row);
            let part = &mut self.parts[(xxh3_64(id.as_bytes()) >> (u64::BITS - PART_BITS)) as usize];
            let (chunk, before) = part.open(id);
            let place = before + chunk.events.len();
            chunk.ids.push_str(id);
            chunk.ends.push(chunk.ids.len());
            chunk.events.push(Event {
                done: done[row],
                begun: begun[row],
                order: orders[row],
                event: events[row],
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

    /// The rows of the cases.
    pub(super) fn finish(
        self,
        names: &Names,
        schema: SchemaRef,
        intervals: bool,
        calendars: Option<&Calendars>,
    ) -> Result<Vec<RecordBatch>> {
        let by_name =
            |a: &Event, b: &Event| names.events.text(a.event - 1).cmp(names.events.text(b.event - 1));
        let by_end = |a: &Event, b: &Event| {
            a.done.cmp(&b.done).then(a.order.cmp(&b.order)).then_with(|| by_name(a, b))
        };
        let by_beginning = |a: &Event, b: &Event| a.begun.cmp(&b.begun).then_with(|| by_end(a, b));
        let (mut rows, mut batches) = (Rows::new(names, &schema, calendars), Vec::new());
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
                rows.push(id, &ended, intervals.then_some(begun.as_slice()), &part.strata);
                if rows.count == BATCH_CASES {
                    batches.push(rows.finish()?);
                }
            }
        }
        if rows.count > 0 {
            batches.push(rows.finish()?);
        }
        Ok(batches)
    }
}

/// The cases of a part.
struct Cases {
    ids: Texts,
    /// The places of the cases' events, side by side, and where those of each case end.
    places: Vec<u32>,
    ends: Vec<u32>,
}

impl Part {
    /// The chunk for one event more, and the events of those before it; a new one has room for names as long as this.
    fn open(&mut self, id: &str) -> (&mut Chunk, usize) {
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

    /// The cases, each with its events as they came.
    fn cases(&self) -> Cases {
        let (mut ids, mut cases) = (Texts::default(), Vec::with_capacity(self.chunks.len() * CHUNK_EVENTS));
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

/// Sorts the few events of a case; those that compare equal stay as they came.
fn sort(events: &mut [Event], order: impl Fn(&Event, &Event) -> Ordering) {
    if !events.is_sorted_by(|a, b| order(a, b) != Ordering::Greater) {
        events.sort_by(order);
    }
}

/// The columns of cases as they grow.
struct Rows<'a> {
    names: &'a Names,
    schema: SchemaRef,
    count: usize,
    ids: StringBuilder,
    /// First and last moment, events, different events.
    first: [Int64Builder; 4],
    variants: StringBuilder,
    sequences: StringBuilder,
    gaps: BinaryBuilder,
    working_gaps: Option<WorkingGaps<'a>>,
    offsets: Int32Builder,
    mixed: BooleanBuilder,
    /// Without a role, out of order, negative, unfinished, duplicates.
    odd: [Int64Builder; 5],
    strata: [StringBuilder; STRATA.len()],
    roles: Vec<Int64Builder>,
    /// Reused from case to case.
    moments: Vec<Option<i64>>,
    kinds: Vec<(u32, i64, i64)>,
    ways: Ways,
}

impl<'a> Rows<'a> {
    fn new(names: &'a Names, schema: &SchemaRef, calendars: Option<&'a Calendars>) -> Self {
        let roles = || Int64Builder::with_capacity(BATCH_CASES);
        Self {
            names,
            schema: Arc::clone(schema),
            count: 0,
            ids: StringBuilder::new(),
            first: Default::default(),
            variants: StringBuilder::new(),
            sequences: StringBuilder::new(),
            gaps: BinaryBuilder::new(),
            working_gaps: calendars.map(|calendars| WorkingGaps::new(names, calendars)),
            offsets: Int32Builder::new(),
            mixed: BooleanBuilder::new(),
            odd: Default::default(),
            strata: Default::default(),
            roles: (0..names.milestones).map(|_| roles()).collect(),
            moments: vec![None; names.milestones],
            kinds: Vec::new(),
            ways: Ways::default(),
        }
    }

    /// Adds a case by its events in the order of their ends, and in that of their beginnings where it may be another.
    fn push(&mut self, id: &str, ended: &[Event], begun: Option<&[Event]>, strata: &Strata) {
        let (Some(first), Some(last)) = (ended.first(), ended.last()) else { return };
        self.count += 1;
        self.ids.append_value(id);
        let (variant, different) = self.ways.of(self.names, ended);
        self.variants.append_value(variant);
        let figures = [first.done, last.done, ended.len() as i64, *different];
        for (column, figure) in self.first.iter_mut().zip(figures) {
            column.append_value(figure);
        }
        let duplicates = if *different < ended.len() as i64 { duplicates(&mut self.kinds, ended) } else { 0 };
        match begun {
            Some(begun) => self.sequences.append_value(&self.ways.of(self.names, begun).0),
            None => self.sequences.append_null(),
        }
        let way = begun.unwrap_or(ended);
        append_times(&mut self.gaps, way.windows(2).map(|pair| pair[1].begun - pair[0].done));
        self.offsets.append_value(i32::from(first.offset));
        self.mixed.append_value(ended.iter().any(|event| event.offset != first.offset));
        let number = |of: fn(&Event) -> bool| ended.iter().filter(|event| of(event)).count() as i64;
        let odd = [
            number(|event| event.role == 0),
            ended.windows(2).filter(|pair| pair[1].order < pair[0].order).count() as i64,
            number(|event| event.begun > event.done),
            number(|event| event.starts),
            duplicates,
        ];
        for (column, count) in self.odd.iter_mut().zip(odd) {
            column.append_value(count);
        }
        for (place, column) in self.strata.iter_mut().enumerate() {
            let told = match strata[place].as_slice() {
                [] => None,
                told => {
                    let mut numbers =
                        ended.iter().filter_map(|event| told.get(event.place as usize).copied());
                    numbers.find(|number| *number > 0)
                }
            };
            column.append_option(told.map(|number| self.names.strata[place].text(number - 1)));
            if let Some(gaps) = self.working_gaps.as_mut().filter(|_| place == OFFICE) {
                gaps.push(told.unwrap_or_default(), way);
            }
        }
        self.milestones(ended);
    }

    /// The first moment of each milestone; work with a beginning tells when it began.
    fn milestones(&mut self, ended: &[Event]) {
        self.moments.fill(None);
        for event in ended {
            let Some(place) = (event.role as usize).checked_sub(1) else { continue };
            let mut meet = |place: usize, moment: i64| {
                if let Some(slot) = self.moments.get_mut(place) {
                    *slot = Some(slot.map_or(moment, |earlier| earlier.min(moment)));
                }
            };
            meet(place, event.done);
            if let Some(beginning) =
                self.names.beginnings.get(place).copied().flatten().filter(|_| event.begun < event.done)
            {
                meet(beginning, event.begun);
            }
        }
        for (column, moment) in self.roles.iter_mut().zip(&self.moments) {
            column.append_option(*moment);
        }
    }

    /// The rows so far; none are left.
    fn finish(&mut self) -> Result<RecordBatch> {
        self.count = 0;
        let mut columns = vec![taken_texts(&mut self.ids)];
        columns.extend(self.first.iter_mut().map(taken));
        columns.push(taken_texts(&mut self.variants));
        columns.push(taken_texts(&mut self.sequences));
        columns.push(taken_texts(&mut self.gaps));
        columns.push(taken(&mut self.offsets));
        columns.push(Arc::new(self.mixed.finish()));
        columns.extend(self.odd.iter_mut().map(taken));
        columns.extend(self.strata.iter_mut().map(taken_texts));
        columns.extend(self.roles.iter_mut().map(taken));
        columns.extend(self.working_gaps.iter_mut().map(|gaps| taken_texts(&mut gaps.column)));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// A batch's texts; room is made for about as many bytes in the next.
fn taken_texts<T: ByteArrayType>(column: &mut GenericByteBuilder<T>) -> ArrayRef {
    let bytes = column.values_slice().len();
    let next = GenericByteBuilder::with_capacity(BATCH_CASES, bytes + bytes / 8);
    Arc::new(std::mem::replace(column, next).finish())
}

/// A batch's numbers; room is made for the next.
fn taken<T: ArrowPrimitiveType>(column: &mut PrimitiveBuilder<T>) -> ArrayRef {
    Arc::new(std::mem::replace(column, PrimitiveBuilder::with_capacity(BATCH_CASES)).finish())
}

/// Events that are there twice: of one kind, with the same beginning and end.
fn duplicates(kinds: &mut Vec<(u32, i64, i64)>, events: &[Event]) -> i64 {
    kinds.clear();
    kinds.extend(events.iter().map(|event| (event.event, event.begun, event.done)));
    kinds.sort_unstable();
    kinds.windows(2).filter(|pair| pair[0] == pair[1]).count() as i64
}

/// Appends times in microseconds as one value: eight bytes each, the lowest first. A list's levels would take longer
/// to write and to read than the times themselves; [`super::times`] reads them.
fn append_times(column: &mut BinaryBuilder, times: impl Iterator<Item = i64>) {
    for time in times {
        // A builder grows and does not fail.
        let _ = column.write_all(&time.to_le_bytes());
    }
    column.append_value([]);
}

/// The times between events in which the case's office is open; none where it has no hours.
struct WorkingGaps<'a> {
    /// By the office's number; the first of a case without an office.
    calendars: Vec<Option<&'a Calendar>>,
    column: BinaryBuilder,
}

impl<'a> WorkingGaps<'a> {
    fn new(names: &Names, calendars: &'a Calendars) -> Self {
        let offices = std::iter::once(None).chain(names.strata[OFFICE].all().map(Some));
        Self { calendars: offices.map(|office| calendars.of(office)).collect(), column: BinaryBuilder::new() }
    }

    fn push(&mut self, office: u32, way: &[Event]) {
        match self.calendars.get(office as usize).copied().flatten() {
            Some(calendar) => {
                // Most events end when they begin: what is open before one is looked up once.
                let mut last = (i64::MIN, 0);
                let mut open_before = |moment: i64| {
                    if moment != last.0 {
                        last = (moment, calendar.before(moment));
                    }
                    last.1
                };
                let times = way.windows(2).map(|pair| {
                    let from = open_before(pair[0].done);
                    open_before(pair[1].begun) - from
                });
                append_times(&mut self.column, times);
            }
            None => self.column.append_null(),
        }
    }
}

/// The texts of ways and the number of their different events, by the numbers of their events.
#[derive(Default)]
struct Ways {
    known: HashMap<Vec<u32>, (String, i64), ahash::RandomState>,
    numbers: Vec<u32>,
}

impl Ways {
    fn of(&mut self, names: &Names, events: &[Event]) -> &(String, i64) {
        self.numbers.clear();
        self.numbers.extend(events.iter().map(|event| event.event));
        if self.known.len() == REMEMBERED_WAYS && !self.known.contains_key(&self.numbers) {
            self.known.clear();
        }
        if !self.known.contains_key(&self.numbers) {
            let mut text = String::new();
            for (place, number) in self.numbers.iter().enumerate() {
                if place > 0 {
                    text.push(BETWEEN_EVENTS);
                }
                text.push_str(names.events.text(number - 1));
            }
            let mut different = self.numbers.clone();
            different.sort_unstable();
            different.dedup();
            self.known.insert(self.numbers.clone(), (text, different.len() as i64));
        }
        &self.known[&self.numbers]
    }
}
