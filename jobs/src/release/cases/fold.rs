//! The events of whole cases, folded: kept by column in the order in which they come, then put in order case by case.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{
        ArrayRef, AsArray, BooleanBuilder, Int32Builder, Int64Builder, ListBuilder, RecordBatch,
        StringBuilder,
    },
    datatypes::{DataType, Field, Int32Type, Int64Type, SchemaRef, UInt32Type},
};

use super::Names;
use crate::{
    Result,
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

/// A list of moments or times.
pub(super) fn list() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))
}

/// An event with numbers for its texts; 0 is none, and the texts are numbered from 1.
#[derive(Clone, Copy)]
struct Event {
    done: i64,
    begun: i64,
    order: i64,
    offset: i32,
    event: u32,
    role: u32,
    starts: bool,
    /// Its place among all events as they come.
    place: u32,
}

/// Events as they come.
#[derive(Default)]
pub(super) struct Fold {
    ids: Texts,
    cases: Vec<u32>,
    events: Vec<Event>,
    /// Of each event, where any event has a text of the column.
    strata: [Vec<u32>; STRATA.len()],
}

impl Fold {
    /// Takes some numbered events.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let whole = |place: usize| batch.column(place).as_primitive::<Int64Type>().values();
        let number = |place: usize| batch.column(place).as_primitive::<UInt32Type>().values();
        let ids = batch.column(0).as_string_view();
        let (done, begun, orders) = (whole(1), whole(2), whole(3));
        let offsets = batch.column(4).as_primitive::<Int32Type>().values();
        let starts = batch.column(5).as_boolean();
        let (events, roles) = (number(6), number(7));
        let before = self.events.len();
        for (place, column) in self.strata.iter_mut().enumerate() {
            let numbers = number(8 + place);
            if !column.is_empty() || numbers.iter().any(|number| *number > 0) {
                column.resize(before, 0);
                column.extend_from_slice(numbers);
            }
        }
        for row in 0..batch.num_rows() {
            self.cases.push(self.ids.number(ids.value(row)));
            self.events.push(Event {
                done: done[row],
                begun: begun[row],
                order: orders[row],
                offset: offsets[row],
                event: events[row],
                role: roles[row],
                starts: starts.value(row),
                place: (before + row) as u32,
            });
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
        let Self { ids, cases, events, strata } = self;
        // Where the events of each case end, once they are put side by side.
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
        drop((next, cases));
        let by_name =
            |a: &Event, b: &Event| names.events.text(a.event - 1).cmp(names.events.text(b.event - 1));
        let by_end = |a: &Event, b: &Event| {
            a.done.cmp(&b.done).then(a.order.cmp(&b.order)).then_with(|| by_name(a, b))
        };
        let by_beginning = |a: &Event, b: &Event| a.begun.cmp(&b.begun).then_with(|| by_end(a, b));
        let (mut rows, mut batches) = (Rows::new(names, &strata, &schema, calendars), Vec::new());
        let (mut ended, mut begun) = (Vec::<Event>::new(), Vec::<Event>::new());
        for case in 0..ids.len() {
            ended.clear();
            let own = &places[ends[case] as usize..ends[case + 1] as usize];
            ended.extend(own.iter().map(|place| events[*place as usize]));
            sort(&mut ended, by_end);
            if intervals {
                begun.clone_from(&ended);
                sort(&mut begun, by_beginning);
            }
            rows.push(ids.text(case as u32), &ended, intervals.then_some(&begun));
            if rows.count == BATCH_CASES {
                batches.push(rows.finish()?);
            }
        }
        if rows.count > 0 {
            batches.push(rows.finish()?);
        }
        Ok(batches)
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
    /// The numbers of the events' texts, by column.
    told: &'a [Vec<u32>; STRATA.len()],
    schema: SchemaRef,
    count: usize,
    ids: StringBuilder,
    /// First and last moment, events, different events.
    first: [Int64Builder; 4],
    variants: StringBuilder,
    sequences: StringBuilder,
    gaps: ListBuilder<Int64Builder>,
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
}

impl<'a> Rows<'a> {
    fn new(
        names: &'a Names,
        told: &'a [Vec<u32>; STRATA.len()],
        schema: &SchemaRef,
        calendars: Option<&'a Calendars>,
    ) -> Self {
        let roles = || Int64Builder::with_capacity(BATCH_CASES);
        Self {
            names,
            told,
            schema: Arc::clone(schema),
            count: 0,
            ids: StringBuilder::new(),
            first: Default::default(),
            variants: StringBuilder::new(),
            sequences: StringBuilder::new(),
            gaps: ListBuilder::new(Int64Builder::new()),
            working_gaps: calendars.map(|calendars| WorkingGaps::new(names, calendars)),
            offsets: Int32Builder::new(),
            mixed: BooleanBuilder::new(),
            odd: Default::default(),
            strata: Default::default(),
            roles: (0..names.milestones).map(|_| roles()).collect(),
            moments: vec![None; names.milestones],
            kinds: Vec::new(),
        }
    }

    /// Adds a case by its events in the order of their ends, and in that of their beginnings where it may be another.
    fn push(&mut self, id: &str, ended: &[Event], begun: Option<&Vec<Event>>) {
        let (Some(first), Some(last)) = (ended.first(), ended.last()) else { return };
        self.count += 1;
        self.ids.append_value(id);
        self.kinds.clear();
        self.kinds.extend(ended.iter().map(|event| (event.event, event.begun, event.done)));
        self.kinds.sort_unstable();
        let pairs = self.kinds.windows(2);
        let (mut different, mut duplicates) = (1, 0);
        for pair in pairs {
            different += i64::from(pair[0].0 != pair[1].0);
            duplicates += i64::from(pair[0] == pair[1]);
        }
        let figures = [first.done, last.done, ended.len() as i64, different];
        for (column, figure) in self.first.iter_mut().zip(figures) {
            column.append_value(figure);
        }
        way(&mut self.variants, self.names, ended);
        match begun {
            Some(begun) => way(&mut self.sequences, self.names, begun),
            None => self.sequences.append_null(),
        }
        let way = begun.map_or(ended, Vec::as_slice);
        for pair in way.windows(2) {
            self.gaps.values().append_value(pair[1].begun - pair[0].done);
        }
        self.gaps.append(true);
        self.offsets.append_value(first.offset);
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
            let told = match self.told[place].as_slice() {
                [] => None,
                told => ended.iter().map(|event| told[event.place as usize]).find(|number| *number > 0),
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
        let mut columns: Vec<ArrayRef> = vec![Arc::new(self.ids.finish())];
        columns.extend(self.first.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.push(Arc::new(self.variants.finish()));
        columns.push(Arc::new(self.sequences.finish()));
        columns.push(Arc::new(self.gaps.finish()));
        columns.push(Arc::new(self.offsets.finish()));
        columns.push(Arc::new(self.mixed.finish()));
        columns.extend(self.odd.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend(self.strata.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend(self.roles.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
        columns.extend(self.working_gaps.iter_mut().map(|gaps| Arc::new(gaps.column.finish()) as ArrayRef));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// The times between events in which the case's office is open; none where it has no hours.
struct WorkingGaps<'a> {
    /// By the office's number; the first of a case without an office.
    calendars: Vec<Option<&'a Calendar>>,
    column: ListBuilder<Int64Builder>,
}

impl<'a> WorkingGaps<'a> {
    fn new(names: &Names, calendars: &'a Calendars) -> Self {
        let offices = std::iter::once(None).chain(names.strata[OFFICE].all().map(Some));
        Self {
            calendars: offices.map(|office| calendars.of(office)).collect(),
            column: ListBuilder::new(Int64Builder::new()),
        }
    }

    fn push(&mut self, office: u32, way: &[Event]) {
        let calendar = self.calendars.get(office as usize).copied().flatten();
        if let Some(calendar) = calendar {
            for pair in way.windows(2) {
                self.column.values().append_value(calendar.working(pair[0].done, pair[1].begun));
            }
        }
        self.column.append(calendar.is_some());
    }
}

/// Writes the names of events, one after the other.
fn way(column: &mut StringBuilder, names: &Names, events: &[Event]) {
    use std::fmt::Write as _;
    for (place, event) in events.iter().enumerate() {
        if place > 0 {
            let _ = column.write_char(BETWEEN_EVENTS);
        }
        let _ = column.write_str(names.events.text(event.event - 1));
    }
    column.append_value("");
}
