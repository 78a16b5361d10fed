//! What follows what, counted over cases: a plan node that is run twice, so that medians are exact and nothing is sorted
//! as a whole.
//!
//! The first run counts the times of each pair of events by classes that are a sixteenth of a power of two wide, and
//! the cases of each event; the second gives the times of the classes in which medians lie, which are few, to be
//! sorted. Sums are exact whole numbers. Memory grows with the pairs and their classes, not with the events. Start at [`EdgesOperator`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
use serde::{Deserialize, Serialize};
use tidewaiter_proto::v1;

use super::{
    cases::times,
    queries::BETWEEN_EVENTS,
    texts::{Numbering, Texts},
};
use crate::{
    Error, Result, ResultExt,
    plan::{Input, Operator},
};

/// The columns of times between events: by the clock, and in open hours, which need not be there.
const GAPS: [&str; 2] = ["gaps", "working_gaps"];

/// Different ways whose edges are remembered.
const REMEMBERED_WAYS: usize = 50_000;

/// A class of times of an edge, by the names of its events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wanted {
    /// The earlier event.
    pub source: String,
    /// The later event.
    pub target: String,
    /// Whether the times are of open hours.
    pub working: bool,
    /// The class.
    pub class: i32,
}

/// The plan node.
#[derive(Debug)]
pub struct EdgesOperator {
    message: v1::EdgesOperator,
    wanted: Option<HashSet<Wanted>>,
}

impl EdgesOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when the classes that it names cannot be read.
    pub fn new(message: v1::EdgesOperator) -> Result<Self> {
        let wanted = match message.wanted.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).context(|| "read the classes of times that are wanted")?),
        };
        Ok(Self { message, wanted })
    }

    /// Counts the times of all edges, or gives those that are wanted.
    async fn count(self: Arc<Self>, mut input: Input) -> Result<RecordBatch> {
        let mut counts = Counts { wanted: self.wanted.clone(), ..Counts::default() };
        while let Some(batch) = input.rows.next().await {
            let batch = batch?;
            counts.take(&batch)?;
            input.meter.advance(batch.num_rows() as u64);
        }
        counts.count_events();
        match self.wanted {
            Some(_) => counts.gaps(),
            None => counts.classes(),
        }
    }
}

/// The class of a time: rising with it, and a sixteenth of a power of two wide.
pub fn class(gap: i64) -> i32 {
    let size = gap.unsigned_abs();
    let class = match size {
        0..16 => size as i32,
        _ => {
            let power = 63 - size.leading_zeros();
            16 * (power as i32 - 3) + ((size >> (power - 4)) & 15) as i32
        }
    };
    if gap < 0 { -class } else { class }
}

/// Times of one class.
#[derive(Debug, Clone, Copy)]
struct Class {
    count: i64,
    sum: i128,
    least: i64,
    greatest: i64,
}

/// An edge, by the numbers of its events.
#[derive(Debug, Default)]
struct Edge {
    source: u32,
    target: u32,
    /// By the clock, and in open hours.
    tallies: [Tally; 2],
}

/// The times of an edge.
#[derive(Debug, Default)]
struct Tally {
    /// The first class counted, and the counts from there on.
    first: i32,
    classes: Vec<Class>,
    /// Two at most.
    wanted: Vec<i32>,
    gaps: Vec<i64>,
}

impl Tally {
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

/// A way: its edges, its events, and the cases that went it.
#[derive(Debug)]
struct Way {
    edges: Vec<u32>,
    events: Vec<u32>,
    cases: i64,
}

/// What is counted of the cases of a partition.
#[derive(Debug, Default)]
struct Counts {
    wanted: Option<HashSet<Wanted>>,
    events: Texts,
    /// Events and cases of each event.
    activities: Vec<(i64, i64)>,
    numbers: HashMap<(u32, u32), u32>,
    edges: Vec<Edge>,
    /// The ways remembered, by their numbers.
    sequences: Numbering,
    ways: Vec<Way>,
}

impl Counts {
    fn take(&mut self, cases: &RecordBatch) -> Result<()> {
        let column = |name: &str| {
            cases
                .column_by_name(name)
                .ok_or_else(|| Error::internal(format!("the cases have no column {name}")))
        };
        let sequences = cast(column("sequence")?, &DataType::Utf8View)?;
        let ways = self.ways_of(sequences.as_string_view());
        let told =
            GAPS.iter().enumerate().filter_map(|(place, name)| Some((place, cases.column_by_name(name)?)));
        let told = told.map(|(place, column)| Ok((place, cast(column, &DataType::Binary)?)));
        let told = told.collect::<Result<Vec<_>>>()?;
        let told: Vec<_> = told.iter().map(|(place, gaps)| (*place, gaps.as_binary::<i32>())).collect();
        let collects = self.wanted.is_some();
        for row in 0..cases.num_rows() {
            // A case without events would have no way, and tells nothing.
            let Some(way) = ways.value(row).checked_sub(1) else { continue };
            let way = &mut self.ways[way as usize];
            way.cases += 1;
            for (place, gaps) in told.iter().filter(|(_, gaps)| gaps.is_valid(row)) {
                for (edge, gap) in way.edges.iter().zip(times(gaps.value(row))) {
                    let tally = &mut self.edges[*edge as usize].tallies[*place];
                    if !collects {
                        tally.push(gap);
                    } else if tally.wanted.contains(&class(gap)) {
                        tally.gaps.push(gap);
                    }
                }
            }
        }
        Ok(())
    }

    /// The numbers of a batch's ways from 1, all of which are known then.
    fn ways_of(&mut self, sequences: &StringViewArray) -> UInt32Array {
        if self.ways.len() >= REMEMBERED_WAYS {
            self.count_events();
        }
        let numbers = self.sequences.numbers(sequences);
        for number in self.ways.len()..self.sequences.len() {
            let sequence = self.sequences.text(number as u32).to_owned();
            let events: Vec<u32> =
                sequence.split(BETWEEN_EVENTS).map(|event| self.events.number(event)).collect();
            let edges = events.windows(2).map(|pair| self.edge(pair[0], pair[1])).collect();
            self.ways.push(Way { edges, events, cases: 0 });
        }
        numbers
    }

    /// Counts the events of the ways that are remembered, and forgets them.
    fn count_events(&mut self) {
        self.activities.resize(self.events.len(), (0, 0));
        self.sequences = Numbering::default();
        for Way { mut events, cases, .. } in std::mem::take(&mut self.ways) {
            for event in &events {
                self.activities[*event as usize].0 += cases;
            }
            events.sort_unstable();
            events.dedup();
            for event in &events {
                self.activities[*event as usize].1 += cases;
            }
        }
    }

    fn edge(&mut self, source: u32, target: u32) -> u32 {
        let number = self.edges.len() as u32;
        let number = *self.numbers.entry((source, target)).or_insert(number);
        if number as usize == self.edges.len() {
            let (from, to) = (self.events.text(source), self.events.text(target));
            let mut edge = Edge { source, target, ..Edge::default() };
            let same = |wanted: &&Wanted| wanted.source == from && wanted.target == to;
            for wanted in self.wanted.iter().flatten().filter(same) {
                edge.tallies[usize::from(wanted.working)].wanted.push(wanted.class);
            }
            self.edges.push(edge);
        }
        number
    }

    /// The times of every edge, by the clock and in open hours.
    fn tallies(&self) -> impl Iterator<Item = (&Edge, bool, &Tally)> {
        self.edges.iter().flat_map(|edge| {
            [false, true].into_iter().zip(&edge.tallies).map(move |(working, tally)| (edge, working, tally))
        })
    }

    /// The classes of every edge; without a source, the events and the cases of an event.
    fn classes(self) -> Result<RecordBatch> {
        let (mut sources, mut targets, mut working) = (Vec::new(), Vec::new(), Vec::new());
        let mut classes = Vec::new();
        let mut figures: [Vec<i64>; 6] = Default::default();
        for (edge, is_working, tally) in self.tallies() {
            for (class, found) in (tally.first..).zip(&tally.classes).filter(|(_, found)| found.count > 0) {
                sources.push(Some(self.events.text(edge.source)));
                targets.push(self.events.text(edge.target));
                working.push(is_working);
                classes.push(class);
                let (seconds, rest) = (found.sum.div_euclid(1_000_000), found.sum.rem_euclid(1_000_000));
                let row = [found.count, seconds as i64, rest as i64, found.least, found.greatest, 0];
                figures.iter_mut().zip(row).for_each(|(column, figure)| column.push(figure));
            }
        }
        for (event, (count, cases)) in (0..).zip(&self.activities) {
            sources.push(None);
            targets.push(self.events.text(event));
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

    /// The times that are wanted.
    fn gaps(self) -> Result<RecordBatch> {
        let (mut sources, mut targets, mut working) = (Vec::new(), Vec::new(), Vec::new());
        let mut gaps = Vec::new();
        for (edge, is_working, tally) in self.tallies() {
            let (source, target) = (self.events.text(edge.source), self.events.text(edge.target));
            for gap in &tally.gaps {
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
        "EdgesExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::Edges(self.message.clone())) }
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

/// The times of an edge by class, and where its median lies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Classes {
    /// Count, least and greatest time of each class.
    pub classes: BTreeMap<i32, (u64, i64, i64)>,
}

/// The two middle ones of sorted times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Middle {
    /// They are known.
    Known(i64, i64),
    /// They stand at these places among the times of these classes.
    Among {
        /// The classes; the same twice where both lie in one.
        classes: [i32; 2],
        /// The places from 0.
        places: [u64; 2],
    },
}

impl Classes {
    /// Where the two middle times are; the same where their number is odd.
    pub fn middle(&self) -> Option<Middle> {
        let count: u64 = self.classes.values().map(|class| class.0).sum();
        let low = self.at(count.checked_sub(1)? / 2)?;
        let high = self.at(count / 2)?;
        let known =
            |(_, _, (_, least, greatest)): (i32, u64, (u64, i64, i64))| (least == greatest).then_some(least);
        Some(match (known(low), known(high)) {
            (Some(low), Some(high)) => Middle::Known(low, high),
            _ => {
                let before = if low.0 == high.0 { 0 } else { low.2.0 };
                Middle::Among { classes: [low.0, high.0], places: [low.1, before + high.1] }
            }
        })
    }

    /// The class of a rank, the rank in it, and the class's figures.
    fn at(&self, rank: u64) -> Option<(i32, u64, (u64, i64, i64))> {
        let mut before = 0;
        for (class, figures) in &self.classes {
            if rank < before + figures.0 {
                return Some((*class, rank - before, *figures));
            }
            before += figures.0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn classes_rise_with_times_and_hold_the_middle(mut gaps in prop::collection::vec(-3_000_000_i64..60_000_000, 1..300)) {
            gaps.sort_unstable();
            prop_assert!(gaps.windows(2).all(|pair| class(pair[0]) <= class(pair[1])));
            let mut edge = Tally::default();
            // In any order.
            gaps.iter().rev().step_by(2).chain(gaps.iter().rev().skip(1).step_by(2)).for_each(|gap| edge.push(*gap));
            let found = (edge.first..).zip(&edge.classes).filter(|(_, class)| class.count > 0);
            let classes = found.map(|(class, found)| (class, (found.count as u64, found.least, found.greatest)));
            let classes = Classes { classes: classes.collect() };
            let wanted = (gaps[(gaps.len() - 1) / 2], gaps[gaps.len() / 2]);
            match classes.middle().expect("there are times") {
                Middle::Known(low, high) => prop_assert_eq!((low, high), wanted),
                Middle::Among { classes, places } => {
                    let among: Vec<i64> = gaps.iter().copied().filter(|gap| classes.contains(&class(*gap))).collect();
                    prop_assert_eq!((among[places[0] as usize], among[places[1] as usize]), wanted);
                }
            }
            let sum: i128 = edge.classes.iter().map(|class| class.sum).sum();
            prop_assert_eq!(sum, gaps.iter().map(|gap| i128::from(*gap)).sum::<i128>());
        }
    }

    #[test]
    fn a_class_is_a_sixteenth_of_a_power_of_two() {
        assert_eq!([0, 1, 15, 16, 17, 31, 32, 33, 34].map(class), [0, 1, 15, 16, 17, 31, 32, 32, 33]);
        assert_eq!([-1, -16, -33].map(class), [-1, -16, -32]);
        assert!(class(i64::MAX) < 1000 && class(i64::MIN) > -1000);
    }
}
