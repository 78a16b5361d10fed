//! The plan node that counts the edges of the directly-follows graph over the cases of a partition.
//!
//! It runs twice: the first run counts the times of each edge by class and the events and cases of each
//! activity; the second run gives the times of the wanted classes. Sums are exact whole numbers. Memory grows
//! with the edges and their classes, not with the events. Start at [`EdgesOperator`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::{
    array::{
        Array, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray,
        UInt32Array,
    },
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message as _;
use tidewaiter_core::{
    Error, Result, ResultExt,
    plan::{Input, Operator},
};

use super::classes::{WantedClass, class};
use crate::{
    cases::trace::{SEPARATOR, times},
    interner::{ColumnInterner, Interner},
    messages,
};

/// The columns of the times between events: by the clock, and in open hours; the second is optional.
const GAPS: [&str; 2] = ["gaps", "working_gaps"];

/// Different traces whose edges are cached.
const CACHED_TRACES: usize = 50_000;

/// The plan node.
#[derive(Debug)]
pub struct EdgesOperator {
    message: messages::EdgesOperator,
    wanted: Option<HashSet<WantedClass>>,
}

impl EdgesOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "EdgesExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Corrupt`] when the classes that it names cannot be read.
    pub fn new(message: messages::EdgesOperator) -> Result<Self> {
        let wanted = match message.wanted.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).context(|| "read the classes of times that are wanted")?),
        };
        Ok(Self { message, wanted })
    }

    /// Counts the times of all edges, or gives the times of the wanted classes.
    async fn count(self: Arc<Self>, mut input: Input) -> Result<RecordBatch> {
        let mut counter = EdgeCounter { wanted: self.wanted.clone(), ..EdgeCounter::default() };
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            counter.add(&batch)?;
            input.meter.advance(batch.num_rows() as u64);
        }
        counter.count_activities();
        match self.wanted {
            Some(_) => counter.gaps(),
            None => counter.classes(),
        }
    }
}

/// What is counted of the times of one class, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Class {
    count: i64,
    sum: i128,
    least: i64,
    greatest: i64,
}

/// An edge, by the numbers of its activities.
#[derive(Debug, Default)]
struct Edge {
    source: u32,
    target: u32,
    /// Its times by the clock, and in open hours.
    histograms: [GapHistogram; 2],
}

/// The times of an edge, by class.
#[derive(Debug, Default)]
struct GapHistogram {
    /// The first class that has counts.
    first: i32,
    /// The counts of the classes from the first on.
    classes: Vec<Class>,
    /// The classes that are wanted, at most two.
    wanted: Vec<i32>,
    /// The times of the wanted classes.
    gaps: Vec<i64>,
}

impl GapHistogram {
    fn push(&mut self, gap: i64) {
        const NONE: Class = Class { count: 0, sum: 0, least: i64::MAX, greatest: i64::MIN };
        let class = class(gap);
        if self.classes.is_empty() {
            self.first = class;
        }
        if class < self.first {
            let more = (self.first - class) as usize;
            self.classes.splice(0..0, std::iter::repeat_n(NONE, more));
            self.first = class;
        }
        let place = (class - self.first) as usize;
        if place >= self.classes.len() {
            self.classes.resize(place + 1, NONE);
        }
        let slot = &mut self.classes[place];
        slot.count += 1;
        slot.sum += i128::from(gap);
        slot.least = slot.least.min(gap);
        slot.greatest = slot.greatest.max(gap);
    }
}

/// A trace: its edges, its activities, and the cases that have it.
#[derive(Debug)]
struct Trace {
    edges: Vec<u32>,
    activities: Vec<u32>,
    cases: i64,
}

/// What is counted of the cases of a partition.
#[derive(Debug, Default)]
struct EdgeCounter {
    wanted: Option<HashSet<WantedClass>>,
    /// The names of the activities.
    names: Interner,
    /// The events and the cases of each activity.
    activities: Vec<(i64, i64)>,
    /// The number of the edge between two activities.
    numbers: HashMap<(u32, u32), u32>,
    edges: Vec<Edge>,
    /// The texts of the cached traces.
    sequences: ColumnInterner,
    /// The cached traces, by the numbers of their texts.
    traces: Vec<Trace>,
}

impl EdgeCounter {
    fn add(&mut self, cases: &RecordBatch) -> Result<()> {
        let column = |name: &str| {
            cases
                .column_by_name(name)
                .ok_or_else(|| Error::internal(format!("the cases have no column {name}")))
        };
        let sequences = cast(column("sequence")?, &DataType::Utf8View)?;
        let traces = self.traces_of(sequences.as_string_view());
        let present =
            GAPS.iter().enumerate().filter_map(|(place, name)| Some((place, cases.column_by_name(name)?)));
        let present = present.map(|(place, column)| Ok((place, cast(column, &DataType::Binary)?)));
        let present = present.collect::<Result<Vec<_>>>()?;
        let present: Vec<_> = present.iter().map(|(place, gaps)| (*place, gaps.as_binary::<i32>())).collect();
        let collects = self.wanted.is_some();
        for row in 0..cases.num_rows() {
            // A case without events would have no trace.
            let Some(trace) = traces.value(row).checked_sub(1) else { continue };
            let trace = &mut self.traces[trace as usize];
            trace.cases += 1;
            for (place, gaps) in present.iter().filter(|(_, gaps)| gaps.is_valid(row)) {
                for (edge, gap) in trace.edges.iter().zip(times(gaps.value(row))) {
                    let histogram = &mut self.edges[*edge as usize].histograms[*place];
                    if !collects {
                        histogram.push(gap);
                    } else if histogram.wanted.contains(&class(gap)) {
                        histogram.gaps.push(gap);
                    }
                }
            }
        }
        Ok(())
    }

    /// The numbers of a batch's traces, from 1; afterwards all of them are cached.
    fn traces_of(&mut self, sequences: &StringViewArray) -> UInt32Array {
        if self.traces.len() >= CACHED_TRACES {
            self.count_activities();
        }
        let numbers = self.sequences.numbers(sequences);
        for number in self.traces.len()..self.sequences.len() {
            let sequence = self.sequences.text(number as u32).to_owned();
            let activities: Vec<u32> =
                sequence.split(SEPARATOR).map(|activity| self.names.number(activity)).collect();
            let edges = activities.windows(2).map(|pair| self.edge(pair[0], pair[1])).collect();
            self.traces.push(Trace { edges, activities, cases: 0 });
        }
        numbers
    }

    /// Counts the activities of the cached traces, and empties the cache.
    fn count_activities(&mut self) {
        self.activities.resize(self.names.len(), (0, 0));
        self.sequences = ColumnInterner::default();
        for Trace { mut activities, cases, .. } in std::mem::take(&mut self.traces) {
            for activity in &activities {
                self.activities[*activity as usize].0 += cases;
            }
            activities.sort_unstable();
            activities.dedup();
            for activity in &activities {
                self.activities[*activity as usize].1 += cases;
            }
        }
    }

    /// The number of the edge between two activities, which is added if it is new.
    fn edge(&mut self, source: u32, target: u32) -> u32 {
        let number = self.edges.len() as u32;
        let number = *self.numbers.entry((source, target)).or_insert(number);
        if number as usize == self.edges.len() {
            let (from, to) = (self.names.text(source), self.names.text(target));
            let mut edge = Edge { source, target, ..Edge::default() };
            let same = |wanted: &&WantedClass| wanted.source == from && wanted.target == to;
            for wanted in self.wanted.iter().flatten().filter(same) {
                edge.histograms[usize::from(wanted.working)].wanted.push(wanted.class);
            }
            self.edges.push(edge);
        }
        number
    }

    /// The times of every edge, by the clock and in open hours.
    fn histograms(&self) -> impl Iterator<Item = (&Edge, bool, &GapHistogram)> {
        self.edges.iter().flat_map(|edge| {
            [false, true]
                .into_iter()
                .zip(&edge.histograms)
                .map(move |(working, histogram)| (edge, working, histogram))
        })
    }

    /// The classes of every edge, and the activities: rows without a source, with their events and cases.
    fn classes(self) -> Result<RecordBatch> {
        let (mut sources, mut targets, mut working) = (Vec::new(), Vec::new(), Vec::new());
        let mut classes = Vec::new();
        let mut figures: [Vec<i64>; 6] = Default::default();
        for (edge, is_working, histogram) in self.histograms() {
            for (class, found) in
                (histogram.first..).zip(&histogram.classes).filter(|(_, found)| found.count > 0)
            {
                sources.push(Some(self.names.text(edge.source)));
                targets.push(self.names.text(edge.target));
                working.push(is_working);
                classes.push(class);
                let (seconds, rest) = (found.sum.div_euclid(1_000_000), found.sum.rem_euclid(1_000_000));
                let row = [found.count, seconds as i64, rest as i64, found.least, found.greatest, 0];
                figures.iter_mut().zip(row).for_each(|(column, figure)| column.push(figure));
            }
        }
        for (activity, (count, cases)) in (0..).zip(&self.activities) {
            sources.push(None);
            targets.push(self.names.text(activity));
            working.push(false);
            classes.push(0);
            let row = [*count, 0, 0, 0, 0, *cases];
            figures.iter_mut().zip(row).for_each(|(column, figure)| column.push(figure));
        }
        let mut columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(StringArray::from(sources)),
            Arc::new(StringArray::from(targets)),
            Arc::new(BooleanArray::from(working)),
            Arc::new(Int32Array::from(classes)),
        ];
        columns.extend(figures.map(|column| Arc::new(Int64Array::from(column)) as Arc<dyn Array>));
        Ok(RecordBatch::try_new(classes_schema(), columns)?)
    }

    /// The times of the wanted classes.
    fn gaps(self) -> Result<RecordBatch> {
        let (mut sources, mut targets, mut working) = (Vec::new(), Vec::new(), Vec::new());
        let mut gaps = Vec::new();
        for (edge, is_working, histogram) in self.histograms() {
            let (source, target) = (self.names.text(edge.source), self.names.text(edge.target));
            for gap in &histogram.gaps {
                sources.push(source);
                targets.push(target);
                working.push(is_working);
                gaps.push(*gap);
            }
        }
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(StringArray::from(sources)),
            Arc::new(StringArray::from(targets)),
            Arc::new(BooleanArray::from(working)),
            Arc::new(Int64Array::from(gaps)),
        ];
        Ok(RecordBatch::try_new(gaps_schema(), columns)?)
    }
}

fn classes_schema() -> SchemaRef {
    let mut fields = vec![
        Field::new("source", DataType::Utf8, true),
        Field::new("target", DataType::Utf8, false),
        Field::new("working", DataType::Boolean, false),
        Field::new("class", DataType::Int32, false),
    ];
    let figures = ["n", "seconds", "microseconds", "least", "greatest", "cases"];
    fields.extend(figures.map(|name| Field::new(name, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

fn gaps_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("target", DataType::Utf8, false),
        Field::new("working", DataType::Boolean, false),
        Field::new("gap", DataType::Int64, false),
    ]))
}

impl Operator for EdgesOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        input.field_with_name("sequence")?;
        input.field_with_name(GAPS[0])?;
        Ok(if self.wanted.is_some() { gaps_schema() } else { classes_schema() })
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        stream::once(self.count(input)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::classes::{Classes, Median},
        *,
    };

    proptest! {
        #[test]
        fn classes_rise_with_times_and_hold_the_median(mut gaps in prop::collection::vec(-3_000_000_i64..60_000_000, 1..300)) {
            gaps.sort_unstable();
            prop_assert!(gaps.windows(2).all(|pair| class(pair[0]) <= class(pair[1])));
            let mut edge = GapHistogram::default();
            // In any order.
            gaps.iter().rev().step_by(2).chain(gaps.iter().rev().skip(1).step_by(2)).for_each(|gap| edge.push(*gap));
            let found = (edge.first..).zip(&edge.classes).filter(|(_, class)| class.count > 0);
            let classes = found.map(|(class, found)| (class, (found.count as u64, found.least, found.greatest)));
            let classes = Classes(classes.collect());
            let wanted = (gaps[(gaps.len() - 1) / 2], gaps[gaps.len() / 2]);
            match classes.median().expect("there are times") {
                Median::Known(low, high) => prop_assert_eq!((low, high), wanted),
                Median::Among { classes, places } => {
                    let among: Vec<i64> = gaps.iter().copied().filter(|gap| classes.contains(&class(*gap))).collect();
                    prop_assert_eq!((among[places[0] as usize], among[places[1] as usize]), wanted);
                }
            }
            let sum: i128 = edge.classes.iter().map(|class| class.sum).sum();
            prop_assert_eq!(sum, gaps.iter().map(|gap| i128::from(*gap)).sum::<i128>());
        }
    }
}
