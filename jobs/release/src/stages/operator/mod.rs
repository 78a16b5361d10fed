//! The plan node that measures the stages of cases: cases with their milestones in, one row of each stage
//! that began out.
//!
//! A stage that has begun and not ended is open at the cut-off, unless the case has a later milestone: then
//! its end is missing. A stage that ends before it begins is negative, unless the stage file allows it. None
//! of these is dropped: each is a row with its status. Stage 0 is from a case's first event to its last; the
//! stages of the stage file follow. Where only one stage is requested, its rows also have the case, its hours
//! and when it began.
//!
//! A target is measured on the cases that were followed for as long as the target: each of them either ended in that
//! time or did not. A case that began later is not known to meet it, however early it ended.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, Int64Builder,
        RecordBatch, StringArray, UInt32Array,
    },
    compute::{cast, concat_batches, take},
    datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use prost::Message as _;
use tidewaiter_core::{
    Error, Result,
    plan::{Input, Operator},
};

use super::{
    division::divide,
    key::{Key, Status},
};
use crate::{
    calendar::{Calendar, HOUR},
    messages,
    stage_file::{Calendars, Stage, StageFile, StageKind, role_column},
};

/// The schema of counts.
fn counted_schema() -> SchemaRef {
    whole_numbers(&["period", "stage", "status", "n", "working", "followed", "in_target"])
}

/// The schema of divided time: the steps by their numbers, and 0 for the time that none of them holds.
fn divided_schema() -> SchemaRef {
    whole_numbers(&["stage", "seconds", "microseconds"])
}

fn whole_numbers(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(
        names.iter().map(|name| Field::new(*name, DataType::Int64, false)).collect::<Vec<_>>(),
    ))
}

/// The plan node.
#[derive(Debug)]
pub struct StagesOperator {
    message: messages::StagesOperator,
    file: StageFile,
    calendars: Calendars,
}

impl StagesOperator {
    /// Its name in plans.
    pub const NAME: &'static str = "StagesExec";

    /// The operator of a message.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when the stage file is wrong.
    pub fn new(message: messages::StagesOperator) -> Result<Self> {
        let file = StageFile::parse(&message.stages)?;
        let calendars = file.calendars(message.first, message.cut_off)?;
        Ok(Self { message, file, calendars })
    }

    /// The columns of the cases that it reads.
    pub fn needs(&self) -> Vec<String> {
        let roles = (0..self.file.roles.len()).map(role_column);
        let fixed = ["period", "first_us", "last_us", "office"].map(str::to_owned);
        let mut names: Vec<String> =
            fixed.into_iter().chain(roles).chain(self.message.strata.clone()).collect();
        names.extend(self.message.only.map(|_| "case_id".to_owned()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The rows of every stage of some cases.
    fn measure(&self, cases: &RecordBatch) -> Result<RecordBatch> {
        let schema = self.schema(cases.schema_ref())?;
        let columns = Columns::of(self, cases)?;
        let wanted = |number: i32| self.message.only.is_none_or(|only| only == number);
        let mut parts = Vec::new();
        if wanted(0) {
            parts.push(self.rows(cases, &schema, 0, &columns, |case| {
                let (from, to) = (columns.first.value(case), columns.last.value(case));
                Some((from, End::At(to)))
            })?);
        }
        for (number, stage) in (1..).zip(&self.file.stages).filter(|(number, _)| wanted(*number)) {
            let ends = Ends::of(&self.file, stage);
            parts.push(self.rows(cases, &schema, number, &columns, |case| ends.of_case(&columns, case))?);
        }
        Ok(concat_batches(&schema, &parts)?)
    }

    /// The rows of one stage; `ends` gives the beginning and the end of it in a case.
    fn rows(
        &self,
        cases: &RecordBatch,
        schema: &SchemaRef,
        number: i32,
        columns: &Columns,
        ends: impl Fn(usize) -> Option<(i64, End)>,
    ) -> Result<RecordBatch> {
        let (mut kept, mut statuses, mut begun) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lengths, mut in_target) = (Vec::new(), Vec::new());
        let mut followed = Int64Builder::new();
        let target = self.target(number);
        let (mut keys, mut working_keys) = (Int64Builder::new(), Int64Builder::new());
        for case in 0..cases.num_rows() {
            let Some((from, end)) = ends(case) else { continue };
            let status = end.status(from);
            let to = match end {
                End::At(to) => to,
                End::Missing => from,
                End::Open => self.message.cut_off.max(from),
            };
            begun.push(from);
            kept.push(u32::try_from(case).unwrap_or(u32::MAX));
            statuses.push(status as i32);
            lengths.push(to - from);
            let open_time = self.calendar_of(columns, case).map(|office| office.working(from, to));
            let is_open = status == Status::Open;
            let key = |length| Key { stage: number, length, is_open }.number();
            let is_timed = status.is_timed();
            followed.append_option(is_timed.then(|| self.followed(from)));
            in_target.push(self.is_in_target(target, from, end));
            keys.append_option(is_timed.then(|| key(to - from)));
            working_keys.append_option(open_time.filter(|_| is_timed).map(key));
        }
        let rows = kept.len();
        let kept = UInt32Array::from(kept);
        let of_case = |name: &str| -> Result<ArrayRef> { Ok(take(column(cases, name)?, &kept, None)?) };
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![number; rows])),
            cast(&of_case("period")?, &DataType::Int32)?,
            Arc::new(Int32Array::from(statuses)),
            Arc::new(keys.finish()),
            Arc::new(working_keys.finish()),
            Arc::new(followed.finish()),
            Arc::new(BooleanArray::from(in_target)),
        ];
        if self.message.only.is_some() {
            let hours = lengths.iter().map(|length| *length as f64 / HOUR);
            arrays.push(of_case("case_id")?);
            arrays.push(Arc::new(Float64Array::from_iter_values(hours)));
            arrays.push(Arc::new(Int64Array::from(begun)));
        }
        for stratum in &self.message.strata {
            arrays.push(of_case(stratum)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
    }

    /// The target of a stage, microseconds.
    fn target(&self, number: i32) -> Option<i64> {
        let stage = usize::try_from(number).ok()?.checked_sub(1)?;
        self.file.stages.get(stage)?.target_hours.map(|hours| (hours * HOUR) as i64)
    }

    /// For how long a stage that began at this time was followed.
    fn followed(&self, from: i64) -> i64 {
        (self.message.cut_off - from).max(0)
    }

    /// Whether a stage met its target; `None` without a target, without a time, or where the stage was not followed
    /// for so long.
    fn is_in_target(&self, target: Option<i64>, from: i64, end: End) -> Option<bool> {
        let target = target.filter(|target| end.status(from).is_timed() && self.followed(from) >= *target)?;
        Some(matches!(end, End::At(to) if to - from <= target))
    }

    /// The time of a stage that ended, divided over the steps of its cases in the study's period.
    fn divide(&self, cases: &RecordBatch, number: i32) -> Result<RecordBatch> {
        let columns = Columns::of(self, cases)?;
        let periods = cast(column(cases, "period")?, &DataType::Int32)?;
        let periods = periods.as_primitive::<Int32Type>();
        let whole = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let whole =
            whole.and_then(|place| self.file.stages.get(place)).map(|stage| Ends::of(&self.file, stage));
        let steps: Vec<(i64, Ends)> = (1..)
            .zip(&self.file.stages)
            .filter(|(_, stage)| stage.kind == StageKind::Step)
            .map(|(number, stage)| (number, Ends::of(&self.file, stage)))
            .collect();
        let complete = |ends: Option<(i64, End)>| match ends {
            Some((from, End::At(to))) if to >= from => Some((from, to)),
            _ => None,
        };
        let mut sums = vec![0_i128; steps.len() + 1];
        for case in (0..cases.num_rows()).filter(|case| periods.is_valid(*case) && periods.value(*case) == 0)
        {
            let whole = match &whole {
                Some(ends) => complete(ends.of_case(&columns, case)),
                None => Some((columns.first.value(case), columns.last.value(case))),
            };
            let Some(whole) = whole else { continue };
            let times: Vec<_> =
                steps.iter().map(|(_, ends)| complete(ends.of_case(&columns, case))).collect();
            for (sum, part) in sums.iter_mut().zip(divide(whole, &times)) {
                *sum += i128::from(part);
            }
        }
        let numbers = steps.iter().map(|(number, _)| *number).chain([0]);
        let columns: [Vec<i64>; 3] = [
            numbers.collect(),
            sums.iter().map(|sum| sum.div_euclid(1_000_000) as i64).collect(),
            sums.iter().map(|sum| sum.rem_euclid(1_000_000) as i64).collect(),
        ];
        let arrays = columns.map(|column| Arc::new(Int64Array::from(column)) as ArrayRef);
        Ok(RecordBatch::try_new(divided_schema(), arrays.to_vec())?)
    }

    /// The number of stages of some cases by period, stage and status, of those with a time in working hours, of those
    /// that were followed for as long as their target, and of those that met it.
    fn count(&self, cases: &RecordBatch) -> Result<RecordBatch> {
        let columns = Columns::of(self, cases)?;
        let periods = cast(column(cases, "period")?, &DataType::Int32)?;
        let periods = periods.as_primitive::<Int32Type>();
        let mut counts = BTreeMap::<(i32, i32), [[i64; 4]; 4]>::new();
        let mut add = |number: i32, ends: &dyn Fn(usize) -> Option<(i64, End)>| {
            for case in 0..cases.num_rows() {
                let Some((from, end)) = ends(case) else { continue };
                let status = end.status(from);
                let count = &mut counts.entry((periods.value(case), number)).or_default()[status as usize];
                count[0] += 1;
                count[1] += i64::from(status.is_timed() && self.calendar_of(&columns, case).is_some());
                let in_target = self.is_in_target(self.target(number), from, end);
                count[2] += i64::from(in_target.is_some());
                count[3] += i64::from(in_target == Some(true));
            }
        };
        add(0, &|case| Some((columns.first.value(case), End::At(columns.last.value(case)))));
        for (number, stage) in (1..).zip(&self.file.stages) {
            let ends = Ends::of(&self.file, stage);
            add(number, &|case| ends.of_case(&columns, case));
        }
        let rows = || {
            counts.iter().flat_map(|((period, stage), counts)| {
                (0..).zip(counts).map(move |(status, count)| {
                    [*period, *stage, status].map(i64::from).into_iter().chain(*count)
                })
            })
        };
        let of = |place: usize| rows().filter_map(move |mut row| row.nth(place));
        let whole = |place| Arc::new(Int64Array::from_iter_values(of(place))) as ArrayRef;
        Ok(RecordBatch::try_new(counted_schema(), (0..7).map(whole).collect())?)
    }

    fn calendar_of(&self, columns: &Columns, case: usize) -> Option<&Calendar> {
        let offices = &columns.offices;
        self.calendars.of(offices.is_valid(case).then(|| offices.value(case)))
    }
}

/// The end of a stage of a case.
#[derive(Clone, Copy)]
enum End {
    /// Its time, microseconds since 1970 UTC.
    At(i64),
    /// It was not recorded.
    Missing,
    /// Not yet.
    Open,
}

impl End {
    /// What became of a stage that began at this time.
    fn status(self, from: i64) -> Status {
        match self {
            Self::At(to) if to < from => Status::Negative,
            Self::At(_) => Status::Complete,
            Self::Missing => Status::Missing,
            Self::Open => Status::Open,
        }
    }
}

/// The places of the milestones at the ends of a stage, in the order in which they are searched.
struct Ends {
    from: Vec<usize>,
    not_before: Vec<usize>,
    to: Vec<usize>,
    may_end_early: bool,
    optional: bool,
    /// The milestones that come after every milestone of the end.
    later: Vec<usize>,
}

impl Ends {
    fn of(file: &StageFile, stage: &Stage) -> Self {
        let places = |roles: &[String]| roles.iter().filter_map(|role| file.role(role)).collect::<Vec<_>>();
        let to = places(&stage.to);
        let last = to.iter().max().copied().unwrap_or_default();
        Self {
            from: places(&stage.from),
            not_before: places(&stage.not_before),
            to,
            may_end_early: stage.may_end_early,
            optional: stage.optional,
            later: (last + 1..file.roles.len()).collect(),
        }
    }

    /// When the stage of a case began, and how it ended; `None` where it did not begin.
    fn of_case(&self, columns: &Columns, case: usize) -> Option<(i64, End)> {
        let first = columns.earliest(&self.from, case)?;
        let from = columns.earliest(&self.not_before, case).map_or(first, |time| time.max(first));
        let end = match columns.earliest(&self.to, case) {
            // Declared ahead of the goods: the early end is right, and the stage takes no time.
            Some(to) if to < from && (self.may_end_early || to >= first) => End::At(from),
            Some(to) => End::At(to),
            None if self.optional => return None,
            None if self.later.iter().any(|role| columns.roles[*role].is_valid(case)) => End::Missing,
            None => End::Open,
        };
        Some((from, end))
    }
}

/// The columns of cases by which stages are measured.
struct Columns {
    first: Int64Array,
    last: Int64Array,
    roles: Vec<Int64Array>,
    offices: StringArray,
}

impl Columns {
    fn of(operator: &StagesOperator, cases: &RecordBatch) -> Result<Self> {
        let integers = |name: &str| -> Result<Int64Array> {
            Ok(cast(column(cases, name)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        };
        let roles = (0..operator.file.roles.len()).map(|place| integers(&role_column(place)));
        Ok(Self {
            first: integers("first_us")?,
            last: integers("last_us")?,
            roles: roles.collect::<Result<_>>()?,
            offices: cast(column(cases, "office")?, &DataType::Utf8)?.as_string::<i32>().clone(),
        })
    }

    /// The time of the first milestone in a list that a case has.
    fn earliest(&self, roles: &[usize], case: usize) -> Option<i64> {
        roles
            .iter()
            .map(|role| &self.roles[*role])
            .find(|times| times.is_valid(case))
            .map(|times| times.value(case))
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("the cases have no column {name}")))
}

impl Operator for StagesOperator {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn payload(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        if self.message.counted {
            return Ok(counted_schema());
        }
        if self.message.divided.is_some() {
            return Ok(divided_schema());
        }
        let mut fields = vec![
            Field::new("stage", DataType::Int32, false),
            Field::new("period", DataType::Int32, true),
            Field::new("status", DataType::Int32, false),
            Field::new("key", DataType::Int64, true),
            Field::new("working_key", DataType::Int64, true),
            Field::new("followed", DataType::Int64, true),
            Field::new("in_target", DataType::Boolean, true),
        ];
        if self.message.only.is_some() {
            fields.push(input.field_with_name("case_id")?.clone());
            fields.push(Field::new("hours", DataType::Float64, false));
            fields.push(Field::new("begun", DataType::Int64, false));
        }
        for stratum in &self.message.strata {
            fields.push(input.field_with_name(stratum)?.clone());
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        let rows = move |cases: datafusion::error::Result<RecordBatch>| match self.message.divided {
            Some(number) => self.divide(&cases?, number),
            None if self.message.counted => self.count(&cases?),
            None => self.measure(&cases?),
        };
        input.rows.map(rows).boxed()
    }
}

#[cfg(test)]
mod tests;
