//! The columns of cases, filled case by case.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, GenericByteBuilder, Int32Builder,
        Int64Builder, PrimitiveBuilder, RecordBatch, StringBuilder,
    },
    datatypes::{ByteArrayType, SchemaRef},
};
use tidewaiter_core::Result;

use super::{
    event_texts::{EventTexts, OFFICE},
    trace::{TraceTexts, append_times},
};
use crate::{calendar::Calendar, scope::STRATA, stage_file::Calendars};

/// Cases of a batch.
pub(super) const BATCH_CASES: usize = 8192;

/// An event with numbers for its texts: 0 stands for none, and the texts are numbered from 1.
#[derive(Clone, Copy)]
pub(super) struct Event {
    /// When it ended, microseconds since 1970 UTC.
    pub(super) done: i64,
    /// When it began.
    pub(super) begun: i64,
    /// Its place in the file.
    pub(super) order: i64,
    /// Its name.
    pub(super) activity: u32,
    /// Its role; the milestones have the least numbers.
    pub(super) role: u32,
    /// Its place in its part, by which its strata are found.
    pub(super) place: u32,
    /// The offset of its clock, minutes east of UTC.
    pub(super) offset: i16,
    /// Whether it is the start of an activity whose completion is missing.
    pub(super) starts: bool,
}

/// The numbers of the texts of each stratum, by the place of the event; a column ends with its last event
/// that has a text.
pub(super) type Strata = [Vec<u32>; STRATA.len()];

/// The columns of the cases of a batch.
pub(super) struct CaseColumns<'a> {
    texts: &'a EventTexts,
    schema: SchemaRef,
    /// Cases in the columns.
    pub(super) count: usize,
    ids: StringBuilder,
    /// First and last time, number of events, number of different activities.
    figures: [Int64Builder; 4],
    variants: StringBuilder,
    sequences: StringBuilder,
    gaps: BinaryBuilder,
    working_gaps: Option<WorkingGaps<'a>>,
    offsets: Int32Builder,
    mixed: BooleanBuilder,
    /// Events without a role, out of order, negative, unfinished, duplicates.
    anomalies: [Int64Builder; 5],
    strata: [StringBuilder; STRATA.len()],
    roles: Vec<Int64Builder>,
    /// Buffers and caches that are reused from case to case.
    milestone_times: Vec<Option<i64>>,
    sorted_events: Vec<(u32, i64, i64)>,
    traces: TraceTexts,
}

impl<'a> CaseColumns<'a> {
    pub(super) fn new(texts: &'a EventTexts, schema: &SchemaRef, calendars: Option<&'a Calendars>) -> Self {
        let roles = || Int64Builder::with_capacity(BATCH_CASES);
        Self {
            texts,
            schema: Arc::clone(schema),
            count: 0,
            ids: StringBuilder::new(),
            figures: Default::default(),
            variants: StringBuilder::new(),
            sequences: StringBuilder::new(),
            gaps: BinaryBuilder::new(),
            working_gaps: calendars.map(|calendars| WorkingGaps::new(texts, calendars)),
            offsets: Int32Builder::new(),
            mixed: BooleanBuilder::new(),
            anomalies: Default::default(),
            strata: Default::default(),
            roles: (0..texts.milestones).map(|_| roles()).collect(),
            milestone_times: vec![None; texts.milestones],
            sorted_events: Vec::new(),
            traces: TraceTexts::default(),
        }
    }

    /// Adds a case: its events in the order of their ends, and in that of their beginnings where the two may
    /// differ.
    pub(super) fn push(&mut self, id: &str, ended: &[Event], begun: Option<&[Event]>, strata: &Strata) {
        let (Some(first), Some(last)) = (ended.first(), ended.last()) else { return };
        self.count += 1;
        self.ids.append_value(id);
        let (variant, different) = self.traces.of(&self.texts.activities, activities(ended));
        self.variants.append_value(variant);
        let figures = [first.done, last.done, ended.len() as i64, *different];
        for (column, figure) in self.figures.iter_mut().zip(figures) {
            column.append_value(figure);
        }
        let duplicates =
            if *different < ended.len() as i64 { duplicates(&mut self.sorted_events, ended) } else { 0 };
        match begun {
            Some(begun) => {
                let sequence = &self.traces.of(&self.texts.activities, activities(begun)).0;
                self.sequences.append_value(sequence);
            }
            None => self.sequences.append_null(),
        }
        let trace = begun.unwrap_or(ended);
        append_times(&mut self.gaps, trace.windows(2).map(|pair| pair[1].begun - pair[0].done));
        self.offsets.append_value(i32::from(first.offset));
        self.mixed.append_value(ended.iter().any(|event| event.offset != first.offset));
        let number = |of: fn(&Event) -> bool| ended.iter().filter(|event| of(event)).count() as i64;
        let anomalies = [
            number(|event| event.role == 0),
            ended.windows(2).filter(|pair| pair[1].order < pair[0].order).count() as i64,
            number(|event| event.begun > event.done),
            number(|event| event.starts),
            duplicates,
        ];
        for (column, count) in self.anomalies.iter_mut().zip(anomalies) {
            column.append_value(count);
        }
        for (place, column) in self.strata.iter_mut().enumerate() {
            let first = match strata[place].as_slice() {
                [] => None,
                texts => {
                    let mut numbers =
                        ended.iter().filter_map(|event| texts.get(event.place as usize).copied());
                    numbers.find(|number| *number > 0)
                }
            };
            column.append_option(first.map(|number| self.texts.strata[place].text(number - 1)));
            if let Some(gaps) = self.working_gaps.as_mut().filter(|_| place == OFFICE) {
                gaps.push(first.unwrap_or_default(), trace);
            }
        }
        self.milestones(ended);
    }

    /// Appends the first time of each milestone. The end of an activity that took time is also the milestone
    /// of its beginning, where the study has one.
    fn milestones(&mut self, ended: &[Event]) {
        self.milestone_times.fill(None);
        for event in ended {
            let Some(place) = (event.role as usize).checked_sub(1) else { continue };
            let mut meet = |place: usize, time: i64| {
                if let Some(slot) = self.milestone_times.get_mut(place) {
                    *slot = Some(slot.map_or(time, |earlier| earlier.min(time)));
                }
            };
            meet(place, event.done);
            if let Some(beginning) =
                self.texts.beginnings.get(place).copied().flatten().filter(|_| event.begun < event.done)
            {
                meet(beginning, event.begun);
            }
        }
        for (column, time) in self.roles.iter_mut().zip(&self.milestone_times) {
            column.append_option(*time);
        }
    }

    /// The rows so far, which are taken away.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        self.count = 0;
        let mut columns = vec![take_bytes(&mut self.ids)];
        columns.extend(self.figures.iter_mut().map(take_numbers));
        columns.push(take_bytes(&mut self.variants));
        columns.push(take_bytes(&mut self.sequences));
        columns.push(take_bytes(&mut self.gaps));
        columns.push(take_numbers(&mut self.offsets));
        columns.push(Arc::new(self.mixed.finish()));
        columns.extend(self.anomalies.iter_mut().map(take_numbers));
        columns.extend(self.strata.iter_mut().map(take_bytes));
        columns.extend(self.roles.iter_mut().map(take_numbers));
        columns.extend(self.working_gaps.iter_mut().map(|gaps| take_bytes(&mut gaps.column)));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// The finished array of a builder of texts or bytes; the next has room for about as many bytes.
fn take_bytes<T: ByteArrayType>(column: &mut GenericByteBuilder<T>) -> ArrayRef {
    let bytes = column.values_slice().len();
    let next = GenericByteBuilder::with_capacity(BATCH_CASES, bytes + bytes / 8);
    Arc::new(std::mem::replace(column, next).finish())
}

/// The finished array of a builder of numbers; the next has room for a batch.
fn take_numbers<T: ArrowPrimitiveType>(column: &mut PrimitiveBuilder<T>) -> ArrayRef {
    Arc::new(std::mem::replace(column, PrimitiveBuilder::with_capacity(BATCH_CASES)).finish())
}

/// The number of events that repeat another: of the same activity, with the same beginning and end.
fn duplicates(sorted: &mut Vec<(u32, i64, i64)>, events: &[Event]) -> i64 {
    sorted.clear();
    sorted.extend(events.iter().map(|event| (event.activity, event.begun, event.done)));
    sorted.sort_unstable();
    sorted.windows(2).filter(|pair| pair[0] == pair[1]).count() as i64
}

/// The numbers of the activities of some events.
fn activities(events: &[Event]) -> impl Iterator<Item = u32> {
    events.iter().map(|event| event.activity)
}

/// The column of the times between events in which the case's office is open; null where it has no opening
/// hours.
struct WorkingGaps<'a> {
    /// By the number of the office; the first is that of a case without an office.
    calendars: Vec<Option<&'a Calendar>>,
    column: BinaryBuilder,
}

impl<'a> WorkingGaps<'a> {
    fn new(texts: &EventTexts, calendars: &'a Calendars) -> Self {
        let offices = std::iter::once(None).chain(texts.strata[OFFICE].all().map(Some));
        Self { calendars: offices.map(|office| calendars.of(office)).collect(), column: BinaryBuilder::new() }
    }

    fn push(&mut self, office: u32, trace: &[Event]) {
        match self.calendars.get(office as usize).copied().flatten() {
            Some(calendar) => {
                // Most events end when they begin: the open time before such an event is looked up once.
                let mut last = (i64::MIN, 0);
                let mut open_before = |time: i64| {
                    if time != last.0 {
                        last = (time, calendar.before(time));
                    }
                    last.1
                };
                let times = trace.windows(2).map(|pair| {
                    let from = open_before(pair[0].done);
                    open_before(pair[1].begun) - from
                });
                append_times(&mut self.column, times);
            }
            None => self.column.append_null(),
        }
    }
}
