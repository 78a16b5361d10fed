//! The times of the stages as a plan node: cases with their milestones in, one row of each stage that began out.
//!
//! A stage that has begun and not ended is open at the cut-off, unless a later milestone is there: then its end is
//! missing. A stage that ends before it begins is negative. Neither is dropped: each is a row with its status. The
//! first stage, number 0, is from a case's first event to its last, as process mining has it; those of the stage
//! file follow.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float64Builder, Int32Array, Int64Array, RecordBatch, StringArray,
        UInt32Array,
    },
    compute::{cast, concat_batches, take},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use futures::{StreamExt, stream::BoxStream};
use tidewaiter_proto::v1;

use super::{
    calendar::{Calendar, HOUR},
    stages::{Stage, StageFile},
};
use crate::{
    Error, Result,
    plan::{Input, Operator},
};

/// What became of a stage of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It ended.
    Complete = 0,
    /// It had not ended at the cut-off.
    Open = 1,
    /// The case went on, but the end was not recorded.
    Missing = 2,
    /// Its end is before its beginning.
    Negative = 3,
}

/// The column of the cases that has the first time of the milestone at a place of the stage file.
pub fn role_column(place: usize) -> String {
    format!("role_{place}")
}

/// The plan node.
#[derive(Debug)]
pub struct StagesOperator {
    message: v1::StagesOperator,
    file: StageFile,
    calendar: Option<Calendar>,
    offices: BTreeMap<String, Calendar>,
}

impl StagesOperator {
    /// The operator of a message.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Input`] when the stage file is wrong.
    pub fn new(message: v1::StagesOperator) -> Result<Self> {
        let file = StageFile::parse(&message.stages)?;
        let lay_out = |hours| Calendar::new(hours, message.first, message.cut_off);
        let calendar = file.calendar.as_ref().map(lay_out).transpose()?;
        let offices = file.offices.iter().map(|(office, hours)| Ok((office.clone(), lay_out(hours)?)));
        let offices = offices.collect::<Result<_>>()?;
        Ok(Self { message, file, calendar, offices })
    }

    /// The rows of every stage of some cases.
    fn measure(&self, cases: &RecordBatch) -> Result<RecordBatch> {
        let schema = self.schema(cases.schema_ref())?;
        let columns = Columns::of(self, cases)?;
        let mut parts = vec![self.rows(cases, &schema, 0, &columns, |case| {
            Some((columns.first.value(case), Some(columns.last.value(case)), false))
        })?];
        for (number, stage) in (1..).zip(&self.file.stages) {
            let ends = Ends::of(&self.file, stage);
            let part = self.rows(cases, &schema, number, &columns, |case| {
                let from = columns.earliest(&ends.from, case)?;
                let later = ends.later.iter().any(|role| columns.roles[*role].is_valid(case));
                Some((from, columns.earliest(&ends.to, case), later))
            })?;
            parts.push(part);
        }
        Ok(concat_batches(&schema, &parts)?)
    }

    /// The rows of one stage; `ends` tells a case's beginning and end, and whether a later milestone is there.
    fn rows(
        &self,
        cases: &RecordBatch,
        schema: &SchemaRef,
        number: i32,
        columns: &Columns,
        ends: impl Fn(usize) -> Option<(i64, Option<i64>, bool)>,
    ) -> Result<RecordBatch> {
        let (mut kept, mut statuses) = (Vec::new(), Vec::new());
        let (mut hours, mut working) = (Float64Builder::new(), Float64Builder::new());
        for case in 0..cases.num_rows() {
            let Some((from, to, later)) = ends(case) else { continue };
            let (status, to) = match to {
                Some(to) if to < from => (Status::Negative, to),
                Some(to) => (Status::Complete, to),
                None if later => (Status::Missing, from),
                None => (Status::Open, self.message.cut_off.max(from)),
            };
            kept.push(u32::try_from(case).unwrap_or(u32::MAX));
            statuses.push(status as i32);
            hours.append_value((to - from) as f64 / HOUR);
            working
                .append_option(self.calendar_of(columns, case).map(|office| office.working_hours(from, to)));
        }
        let rows = kept.len();
        let kept = UInt32Array::from(kept);
        let of_case = |name: &str| -> Result<ArrayRef> { Ok(take(column(cases, name)?, &kept, None)?) };
        let mut arrays: Vec<ArrayRef> = vec![
            of_case("case_id")?,
            Arc::new(Int32Array::from(vec![number; rows])),
            cast(&of_case("period")?, &DataType::Int32)?,
            Arc::new(Int32Array::from(statuses)),
            Arc::new(hours.finish()),
            Arc::new(working.finish()),
        ];
        for stratum in &self.message.strata {
            arrays.push(of_case(stratum)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
    }

    fn calendar_of(&self, columns: &Columns, case: usize) -> Option<&Calendar> {
        let offices = &columns.offices;
        let own = offices.is_valid(case).then(|| self.offices.get(offices.value(case))).flatten();
        own.or(self.calendar.as_ref())
    }
}

/// The milestones at the ends of a stage, by their places, in the order in which they are looked for.
struct Ends {
    from: Vec<usize>,
    to: Vec<usize>,
    /// Those after every end.
    later: Vec<usize>,
}

impl Ends {
    fn of(file: &StageFile, stage: &Stage) -> Self {
        let places = |roles: &[String]| roles.iter().filter_map(|role| file.role(role)).collect::<Vec<_>>();
        let to = places(&stage.to);
        let last = to.iter().max().copied().unwrap_or_default();
        Self { from: places(&stage.from), to, later: (last + 1..file.roles.len()).collect() }
    }
}

/// The columns of some cases that times come from.
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

    /// The time of the first of some milestones that a case has.
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
        "StagesExec"
    }

    fn message(&self) -> v1::PlanOperator {
        v1::PlanOperator { operator: Some(v1::plan_operator::Operator::Stages(self.message.clone())) }
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        let mut fields = vec![
            input.field_with_name("case_id")?.clone(),
            Field::new("stage", DataType::Int32, false),
            Field::new("period", DataType::Int32, true),
            Field::new("status", DataType::Int32, false),
            Field::new("hours", DataType::Float64, false),
            Field::new("working_hours", DataType::Float64, true),
        ];
        for stratum in &self.message.strata {
            fields.push(input.field_with_name(stratum)?.clone());
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    fn execute(self: Arc<Self>, input: Input) -> BoxStream<'static, Result<RecordBatch>> {
        input.rows.map(move |cases| self.measure(&cases?)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Float64Type, Int32Type};

    use super::*;

    const STAGES: &str = r#"
        roles = ["lodgement", "acceptance", "release"]
        calendar = { time_zone = "UTC", hours = { thursday = ["00:00-01:00"] } }
        [[stage]]
        name = "customs"
        kind = "whole"
        from = ["acceptance", "lodgement"]
        to = ["release"]
        [[stage]]
        name = "acceptance"
        kind = "step"
        from = ["lodgement"]
        to = ["acceptance"]
    "#;

    #[test]
    fn each_stage_of_a_case_has_its_time_and_its_status() {
        let hours = |times: [Option<f64>; 4]| -> ArrayRef {
            Arc::new(Int64Array::from_iter(times.map(|time| time.map(|time| (time * HOUR) as i64))))
        };
        let texts = |texts: [&str; 4]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        let cases = RecordBatch::try_from_iter([
            ("case_id", texts(["whole", "open", "unrecorded", "backwards"])),
            ("period", Arc::new(Int32Array::from(vec![0; 4])) as ArrayRef),
            ("first_us", hours([Some(0.0), Some(1.0), Some(0.0), Some(2.0)])),
            ("last_us", hours([Some(5.0), Some(1.0), Some(4.0), Some(9.0)])),
            ("office", texts(["A", "A", "A", "A"])),
            ("role_0", hours([Some(0.5), Some(1.0), Some(0.0), Some(9.0)])),
            ("role_1", hours([Some(1.0), None, None, Some(8.0)])),
            ("role_2", hours([Some(5.0), None, Some(4.0), Some(2.0)])),
        ])
        .expect("a batch");
        let message = v1::StagesOperator {
            stages: STAGES.to_owned(),
            first: 0,
            cut_off: (10.0 * HOUR) as i64,
            strata: vec![],
        };
        let operator = StagesOperator::new(message).expect("is right");
        let rows = operator.measure(&cases).expect("measures");
        let numbers = |name: &str| {
            rows.column_by_name(name).expect("is there").as_primitive::<Int32Type>().values().to_vec()
        };
        let times = |name: &str| {
            rows.column_by_name(name).expect("is there").as_primitive::<Float64Type>().values().to_vec()
        };
        assert_eq!(numbers("stage"), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert_eq!(numbers("status"), [0, 0, 0, 0, 0, 1, 0, 3, 0, 1, 2, 3]);
        assert_eq!(times("hours"), [5.0, 0.0, 4.0, 7.0, 4.0, 9.0, 4.0, -6.0, 0.5, 9.0, 0.0, -1.0]);
        // 1970 began on a Thursday; the office is open in its first hour alone.
        assert_eq!(times("working_hours")[..4], [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(times("working_hours")[8], 0.5);
    }
}
